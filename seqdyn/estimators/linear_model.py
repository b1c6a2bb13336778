"""What linear models offer beyond prediction: their matrices in two views, their state, and k-step predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
import pandas as pd
import torch
import xarray
from scipy.signal import dlti
from sklearn.utils.validation import check_is_fitted
from torch import nn

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression
from seqdyn.cells.linear import Linear
from seqdyn.codecs import tensor
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.estimators.numbers import best_start, measured_numbers, numbers_that_count, r2, run_from
from seqdyn.estimators.parameters import at_least
from seqdyn.estimators.residual_tests import errors_of, residual_tests
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.starts import estimated, given_state, is_estimate
from seqdyn.identification.identify import least_squares_starts
from seqdyn.identification.kalman import filtered, prediction_deviation, predictions_ahead
from seqdyn.identification.records import DataRecord
from seqdyn.identification.system import BlockForm, ControlForm, LinearSystem
from seqdyn.state import State, flatten, unflatten
from seqdyn.typed_bases import RegressorMixin

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(kw_only=True, repr=False, eq=False)
class LinearModel(RegressorMixin, SequenceEstimator):
    """A regressor whose network is a :class:`~seqdyn.cells.linear.Linear` cell with offsets.

    Attributes
    ----------
    feedthrough_, readout_, input_map_, transition_ : array
        A (x → y), B (h → y), C (x → h) and D (h → h), with inputs and outputs in their own units and the state in
        network units.
    output_offset_, state_offset_ : array
        y_0 in the units of the outputs, and h_0.
    system_ : LinearSystem
        All of them and the model of the noise in one object, with poles, zeros and responses, names, figures and
        standard errors.
    estimation_ : Estimation or None
        What is known of the way it was estimated, in network units; ``system_.estimation`` is in those of the data.
        None where the system was given, or trained by gradient.
    dt_, time_unit_ : float, str
        Time between two steps, and its unit.
    block_matrix_ : xarray.DataArray
        [A B; C D] with the names of inputs, outputs and states.
    """

    # ---------------------------------------------------------------- the model

    @property
    def system_(self) -> LinearSystem:
        """The fitted model between inputs and outputs in their own units."""
        known = vars(self)
        scaled = replace(
            scaled_system(self.cell_),
            noise_gain=known.get("noise_gain_"),
            noise_covariance=known.get("noise_covariance_"),
            dt=known.get("dt_", 1.0),
            time_unit=known.get("time_unit_", ""),
            estimation=known.get("estimation_"),
        )
        own, targets = self.alignment.own_past, self.target_scaling_
        inputs = self.input_scaling_ if own is None else delay_line_scaling(own, self.input_scaling_)
        outputs = (np.repeat(part, self.task.head.outputs) for part in (targets.mean, targets.scale))
        system = scaled.in_units(inputs.mean, inputs.scale, *outputs)
        names, labels = self._names(system.inputs), getattr(self, "target_names_", None) or ()
        return system.with_names(names, labels if len(labels) == system.outputs else ())

    def _names(self, inputs: int) -> tuple[str, ...]:
        """The names of the inputs, as those of the features; none of a delay line."""
        names = tuple(map(str, getattr(self, "feature_names_in_", ())))
        return names if len(names) == inputs else ()

    @property
    def feedthrough_(self) -> Array:
        """A, (outputs, inputs)."""
        return self.system_.feedthrough

    @property
    def readout_(self) -> Array:
        """B, (outputs, order)."""
        return self.system_.readout

    @property
    def input_map_(self) -> Array:
        """C, (order, inputs)."""
        return self.system_.input_map

    @property
    def transition_(self) -> Array:
        """D, (order, order)."""
        return self.system_.transition

    @property
    def output_offset_(self) -> Array:
        """y_0, (outputs,)."""
        return np.asarray(self.system_.output_offset)

    @property
    def state_offset_(self) -> Array:
        """h_0, (order,)."""
        return np.asarray(self.system_.state_offset)

    @property
    def block_matrix_(self) -> xarray.DataArray:
        """[A B; C D]: from inputs and states (columns) to outputs and states (rows)."""
        system = self.system_
        states = [f"h{i}" for i in range(system.order)]
        inputs = system.input_names or tuple(f"x{i}" for i in range(system.inputs))
        outputs = system.output_names or tuple(f"y{i}" for i in range(system.outputs))
        values = np.block([[system.feedthrough, system.readout], [system.input_map, system.transition]])
        coords = {"to": [*outputs, *states], "from": [*inputs, *states]}
        return xarray.DataArray(values, coords, ("to", "from"), name="block_matrix")

    def as_block(self) -> BlockForm:
        """[y_t; h_t] = [A B; C D] [x_t; h_{t-1}], in the units of the data; the offsets are attributes of their own."""
        return self.system_.as_block()

    def as_control(self) -> ControlForm:
        """Control theory's letters: A_control = D, B_control = C, C_control = B, D_control = A."""
        return self.system_.as_control()

    def to_scipy(self) -> dlti:
        """The model as a discrete-time ``scipy.signal`` state space, without its offsets."""
        return self.system_.to_scipy()

    def plot_bode(self, frequencies: Any = None, **options: Any) -> Figure:
        """Gain and phase of the system, see :meth:`LinearSystem.plot_bode`."""
        return self.system_.plot_bode(frequencies, **options)

    def plot_poles(self, **options: Any) -> Figure:
        """Poles and zeros of the system, see :meth:`LinearSystem.plot_poles`."""
        return self.system_.plot_poles(**options)

    def plot_response(self, kind: str = "step", time: int | None = None, **options: Any) -> Figure:
        """What the outputs do after a step or an impulse, see :meth:`LinearSystem.plot_response`."""
        return self.system_.plot_response(kind, time, **options)

    def plot_singular_values(self, chosen: int | None = None) -> Figure:
        """The Hankel singular values of the system, see :meth:`LinearSystem.plot_singular_values`."""
        return self.system_.plot_singular_values(chosen)

    def summary(self) -> str:
        """One screen of text on the system, see :meth:`LinearSystem.summary`."""
        return self.system_.summary()

    # ---------------------------------------------------------------- predicting

    @overload
    def predict(
        self,
        X: Array,
        *,
        y: Any = None,
        steps_ahead: int | None = None,
        initial_state: Any = None,
        return_state: Literal[False] = False,
        return_std: Literal[False] = False,
    ) -> Array: ...
    @overload
    def predict(
        self,
        X: Any,
        *,
        y: Any = None,
        steps_ahead: int | None = None,
        initial_state: Any = None,
        return_state: bool = False,
        return_std: bool = False,
    ) -> Any: ...
    def predict(
        self,
        X: Any,
        *,
        y: Any = None,
        steps_ahead: int | None = None,
        initial_state: Any = None,
        return_state: bool = False,
        return_std: bool = False,
    ) -> Any:
        """Predict a target for every step: the free run, or k steps ahead of what was measured.

        Parameters
        ----------
        X : array, list of arrays, DataFrame, or xarray.DataArray
            Sequences in any container ``fit`` takes. Of a model without inputs: (time, 0), a frame with an index and no
            columns, or None beside a y, which then says how many steps.
        y : array, list of arrays, or DataFrame, optional
            The measured outputs beside X, for ``steps_ahead`` and ``initial_state="estimate"``; NaN where there was
            none. The free run of a model without inputs does not look at them.
        steps_ahead : int, at least 1, optional
            k: ŷ_t is predicted from the inputs up to t and the outputs up to t − k, through the Kalman filter of the
            model. None: the free run, which sees no output at all.
        initial_state : State, array-like, "zero", "estimate" or None
            h_{-1} in network units, one row, or one a series; plain numbers are (order,) or (series, order); ``"zero"``
            are zeros. ``"estimate"``: the least-squares start of the first rows of every record, see :meth:`score`.
            None: the strategy, zero unless another was asked for.
        return_state : bool
            Give back the state after the last step, too; with ``steps_ahead`` the filtered one.
        return_std : bool
            Give back the standard deviation of y_t − ŷ_t, too, which the noise makes: with ``steps_ahead`` only.

        Returns
        -------
        y : array
            Shaped as the targets of ``fit``, in their units.
        std : array
            Shaped as y, in its units, with ``return_std=True`` only. The model and the start count as known.
        state : State
            With ``return_state=True`` only.

        Raises
        ------
        ValueError
            If X or y do not fit the model, or it has no model of the noise.
        """
        X = inputs_beside(X, y)
        if steps_ahead is None and not return_std:
            y = y if is_estimate(initial_state) or vars(self).get("n_features_in_") else None
            if y is None or is_estimate(initial_state):
                return run_from(self, X, y, initial_state, return_state, self._best_start)
        sequences = self.read(X)
        k, system = _checked_ahead(y, steps_ahead), self._noisy_system()
        sequences, numbers = measured_numbers(self, sequences, y)
        records = _measured_records(sequences, numbers, self._starts(initial_state, sequences, numbers))
        found = [np.concatenate([predictions_ahead(system, *record, k) for record in records])]
        if return_std:
            found.append(np.concatenate([prediction_deviation(system, record.y, k) for record in records]))
        answer = [self.labelled(values, sequences) for values in found]
        if return_state:
            answer.append(self._as_state(np.array([filtered(system, *record)[-1] for record in records])))
        return answer[0] if len(answer) == 1 else tuple(answer)

    def _starts(self, start: Any, sequences: Sequences, numbers: Array) -> Array:
        """h_{-1} of every record, (series, order)."""
        series = len(sequences.lengths)
        if is_estimate(start):
            state = estimated(self.predictor_, sequences, numbers, self._best_start)[0]
        else:
            given = given_state(self.predictor_, start, series)
            state = self.cell_.initial_state(series) if given is None else self.predictor_.as_state(given, series)
        return self._flat(state)

    @property
    def _scored_start(self) -> Any:
        """Where the records of a score start, unless something else is said; None: the strategy."""
        return None

    def _noisy_system(self) -> LinearSystem:
        """The system, if k-step predictions can be made with it."""
        if self.alignment.own_past is not None:
            raise ValueError(
                "steps_ahead needs inputs and outputs apart, but with autoregression the outputs' last values are "
                "inputs: give them in X, NaN where they are not known."
            )
        system = self.system_
        if system.noise_gain is None:
            raise ValueError(
                f"This {type(self).__name__} has no model of the noise, which k-step predictions need: fit on longer "
                "records, with loss='mse', return_sequences=True and output_lag=0, or feed back outputs with "
                "autoregression."
            )
        return system

    def _flat(self, state: State) -> Array:
        """A state as rows of numbers, (series, order)."""
        flat, order = flatten(state), linear_of(self.cell_).hidden_size
        if flat.shape[1] != order:
            raise ValueError(f"initial_state has {flat.shape[1]} numbers a row, the model has {order}.")
        return flat.detach().cpu().double().numpy()

    def _as_state(self, rows: Array) -> State:
        """Rows of numbers as a state, the inverse of :meth:`_flat`."""
        like = self.cell_.initial_state(1)
        return unflatten(tensor(rows, flatten(like)), like)

    def estimate_state(self, X: Any, y: Any) -> State:
        """The state at the start of a record, from its first rows, by least squares.

            h_{-1} = argmin Σ_t ‖y_t − ŷ_t(h_{-1})‖²        of the free run ŷ, which is linear in it

        Parameters
        ----------
        X, y : array, list of arrays, or DataFrame
            The first rows of the record (or records), as in ``fit``; some ten to a hundred usually suffice. NaN in y
            marks a missing target.

        Returns
        -------
        State
            For ``predict(X, initial_state=…)`` over the same record from its beginning; the shortest where several do
            as well.
        """
        return self._best_start(*measured_numbers(self, inputs_beside(X, y), y))

    def _best_start(self, sequences: Sequences, numbers: Array) -> State:
        if self.alignment.own_past is not None or self.task.head.outputs > 1:
            return best_start(self.predictor_, sequences, numbers)
        weight = 1.0 / self.target_scaling_.scale**2
        records = [
            DataRecord.of(sequences.rows[first : first + length], numbers[first : first + length], weight)
            for first, length in zip(sequences.starts, sequences.lengths, strict=True)
        ]
        return self._as_state(least_squares_starts(self.system_, records))

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, initial_state: Any = None, steps_ahead: int | None = None
    ) -> float:
        """R², the mean over outputs; warm-up rows and missing targets are left out.

        It is that of the free run; of a model without inputs that of the prediction one step ahead: such a model has
        nothing but its past to go by, and its free run soon is its mean.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.
        initial_state : State, array-like, "zero", "estimate" or None
            As in :meth:`predict`. ``"estimate"``: the least-squares start of the first rows of every record, which then
            carry no score. They are a tenth of the record, and at least twice the order; a record shorter than three
            times the order, or without a known target among them, starts from zero, and all of it is scored. None:
            ``"estimate"`` of a model with this as its own ``initial_state``, else the strategy.
        steps_ahead : int, at least 1, optional
            k, as in :meth:`predict`; outputs without weight count as not measured. None: the free run; of a model with
            noise and without inputs 1. Its free run is any k that no record is longer than.

        Returns
        -------
        float
            At most 1; 0 is as good as the mean of y.
        """
        check_is_fitted(self)
        system, X = self.system_, inputs_beside(X, y)
        start = self._scored_start if initial_state is None else initial_state
        if steps_ahead is None and not (self.n_features_in_ or system.noise_gain is None):
            steps_ahead = 1
        if steps_ahead is None:
            return r2(self, X, y, sample_weight, start, self._best_start)
        self.alignment.check_per_step()
        k, system = _checked_ahead(y, steps_ahead), self._noisy_system()

        def ahead(sequences: Sequences, table: Array, weight: Array, start: State | None) -> Array:
            numbers = numbers_that_count(table, weight)
            records = _measured_records(sequences, numbers, self._starts(start, sequences, numbers))
            return np.concatenate([predictions_ahead(system, *record, k) for record in records])

        return r2(self, X, y, sample_weight, start, self._best_start, ahead)

    # ---------------------------------------------------------------- checking

    def residual_tests(self, X: Any, y: Any, lags: int = 20) -> pd.DataFrame:
        """Whether the errors still hold something: whiteness of the one-step errors, and correlation with the inputs.

        Parameters
        ----------
        X, y : array, list of arrays, or DataFrame
            As in ``fit``. Where outputs are missing, every pair of known errors counts; no pair is of two records.
        lags : int, at least 1

        Returns
        -------
        DataFrame
            One row a test: test, output, input, statistic, p_value, verdict. Errors are those of one-step predictions
            where the model knows its noise, else (and for ``"input, free run"``) of the free run from an estimated
            start.

        Raises
        ------
        ValueError
            If ``lags`` is no such number, or an output has fewer than 4 · lags known rows.

        Examples
        --------
        >>> import numpy as np
        >>> from seqdyn import LinearStateSpaceRegressor
        >>> x = np.random.default_rng(0).normal(size=(400, 1))
        >>> y = np.convolve(x[:, 0], 0.8 ** np.arange(40))[:400] + 0.1 * np.random.default_rng(1).normal(size=400)
        >>> model = LinearStateSpaceRegressor(order=1).fit(x, y)
        >>> model.residual_tests(x, y)["verdict"].tolist()
        ['nothing left', 'nothing left', 'nothing left', 'nothing left']
        """
        if self.task.head.outputs > 1:
            raise ValueError(f"loss={getattr(self, 'loss', None)!r} has several outputs a target: fit with loss='mse'.")
        X = inputs_beside(X, y)
        sequences, numbers = measured_numbers(self, X, y)
        system, labels = self.system_, self.block_matrix_
        records = _measured_records(sequences, numbers, self._flat(self._best_start(sequences, numbers)))
        names = list(labels["to"].values[: system.outputs]), list(labels["from"].values[: system.inputs])
        return residual_tests([errors_of(system, *record) for record in records], lags, names)


class _Measured(NamedTuple):
    """One record: x (time, inputs), y (time, outputs), and h_{-1}, (order,)."""

    x: Array
    y: Array
    start: Array


def _measured_records(sequences: Sequences, numbers: Array, starts: Array) -> list[_Measured]:
    """Inputs, what was measured beside them, and the start of every record."""
    cuts = sequences.starts[1:]
    return list(map(_Measured, np.split(sequences.rows, cuts), np.split(numbers, cuts), starts))


def _checked_ahead(y: Any, steps_ahead: Any) -> int:
    """The number of steps ahead, if there is one, and measured outputs to start from."""
    good, text = at_least(1)
    if y is None or steps_ahead is None or not good(steps_ahead):
        raise ValueError(
            f"steps_ahead={steps_ahead!r} and y={'None' if y is None else 'given'}: a k-step prediction, and its "
            f"standard deviation, need both, the measured outputs and steps_ahead, {text}; the free run needs neither."
        )
    return int(steps_ahead)


def delay_line_scaling(own: Autoregression, scaling: Scaling) -> Scaling:
    """The scaling of a delay line of the leading inputs, and of the other inputs."""
    first, rest, lags = slice(own.targets), slice(own.targets, None), own.lags - own.centred
    mean = np.tile(scaling.mean[first], lags) * (not own.centred)
    scale = np.tile(scaling.scale[first], lags)
    return Scaling(np.r_[mean, scaling.mean[rest]], np.r_[scale, scaling.scale[rest]])


def linear_of(network: nn.Module) -> Linear:
    """The linear cell inside a network."""
    return next(module for module in network.modules() if isinstance(module, Linear))


def scaled_system(network: nn.Module) -> LinearSystem:
    """The system between scaled inputs and outputs that a linear cell with a constant last input is."""
    linear = linear_of(network)
    feedthrough, readout, input_map, transition = (
        getattr(linear, name).detach().cpu().double().numpy()
        for name in ("feedthrough", "readout", "input_map", "transition")
    )
    return LinearSystem(
        feedthrough[:, :-1], readout, input_map[:, :-1], transition, feedthrough[:, -1], input_map[:, -1]
    )


def write_system(network: nn.Module, system: LinearSystem) -> None:
    """Make the linear cell of a network this system, the inverse of :func:`scaled_system`."""
    linear = linear_of(network)
    matrices = {
        "feedthrough": np.column_stack([system.feedthrough, system.output_offset]),
        "readout": system.readout,
        "input_map": np.column_stack([system.input_map, system.state_offset]),
        "transition": system.transition,
    }
    with torch.no_grad():
        for name, matrix in matrices.items():
            getattr(linear, name).copy_(torch.as_tensor(matrix))


def inputs_beside(X: Any, y: Any) -> Any:
    """X, or no inputs at all beside every step of y: a system that moves by itself."""
    if X is not None:
        return X
    if y is None:
        raise ValueError("X is None: without inputs say how many steps, as np.empty((time, 0)), or give y, too.")
    if isinstance(y, pd.Series | pd.DataFrame):
        return pd.DataFrame(index=y.index)
    if isinstance(y, list) and len(y) and np.ndim(y[0]) > 0:
        return [np.empty((len(part), 0)) for part in y]
    values = np.asarray(y)
    return np.empty((*values.shape[: max(1, values.ndim - 1)], 0))

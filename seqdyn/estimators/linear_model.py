"""What linear models offer beyond prediction: their matrices in two views, their state, and k-step predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray
from scipy.signal import dlti
from torch import nn

from seqdyn.cells.linear import Linear
from seqdyn.codecs import tensor
from seqdyn.estimators.parameters import at_least
from seqdyn.estimators.residual_tests import residual_tests
from seqdyn.estimators.tasks import NumberEstimator
from seqdyn.identification.identify import least_squares_starts
from seqdyn.identification.kalman import filtered, predicted
from seqdyn.identification.records import Record
from seqdyn.identification.system import BlockForm, ControlForm, LinearSystem
from seqdyn.state import State, flatten, unflatten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class LinearModel(NumberEstimator):
    """A regressor whose network is a :class:`~seqdyn.cells.linear.Linear` cell with offsets.

    Attributes
    ----------
    feedthrough_, readout_, input_map_, transition_ : array
        A (x → y), B (h → y), C (x → h) and D (h → h), with inputs and outputs in their own units and the state in
        network units.
    output_offset_, state_offset_ : array
        y_0 in the units of the outputs, and h_0.
    system_ : LinearSystem
        All of them and the model of the noise in one object, with poles, zeros and responses.
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
        outputs = (np.repeat(part, self._heads) for part in (self.target_scaling_.mean, self.target_scaling_.scale))
        system = scaled.in_units(self._mean(), self._scale(), *outputs)
        inputs, targets = self._names(len(self._scale())), getattr(self, "target_names_", None) or ()
        return system.with_names(inputs, targets if len(targets) == system.outputs else ())

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
        offset: Array = self.system_.output_offset
        return offset

    @property
    def state_offset_(self) -> Array:
        """h_0, (order,)."""
        offset: Array = self.system_.state_offset
        return offset

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

    @property
    def _heads(self) -> int:
        return 1

    def _scale(self) -> Array:
        """The scale of every input of the linear cell."""
        return self.input_scaling_.scale

    def _mean(self) -> Array:
        """The mean of every input of the linear cell."""
        return self.input_scaling_.mean

    # ---------------------------------------------------------------- predicting

    def predict(
        self,
        X: Any,
        *,
        y: Any = None,
        steps_ahead: int | None = None,
        initial_state: State | None = None,
        return_state: bool = False,
    ) -> Any:
        """Predict a target for every step: the free run, or k steps ahead of what was measured.

        Parameters
        ----------
        X : array, list of arrays, DataFrame, or xarray.DataArray
            Sequences in any container ``fit`` takes. Of a model without inputs: (time, 0), a frame with an index and no
            columns, or None beside a y.
        y : array, list of arrays, or DataFrame, optional
            The measured outputs beside X, for ``steps_ahead``; NaN where there was none.
        steps_ahead : int, at least 1, optional
            k: ŷ_t is predicted from the inputs up to t and the outputs up to t − k, through the Kalman filter of the
            model. None: the free run, which sees no output at all.
        initial_state : State, optional
            h_{-1} in network units, one row, or one a series; zero if None.
        return_state : bool
            Give back the state after the last step, too; with ``steps_ahead`` the filtered one.

        Returns
        -------
        y : array
            Shaped as the targets of ``fit``, in their units.
        state : State
            With ``return_state=True`` only.

        Raises
        ------
        ValueError
            If X or y do not fit the model, or it has no model of the noise.
        """
        X = inputs_beside(X, y)
        if y is None and steps_ahead is None:
            return super().predict(X, initial_state=initial_state, return_state=return_state)
        return self._predict_ahead(X, y, steps_ahead, initial_state, return_state)

    def _predict_ahead(self, X: Any, y: Any, k: int | None, initial_state: State | None, return_state: bool) -> Any:
        good, text = at_least(1)
        if y is None or k is None or not good(k):
            raise ValueError(
                f"steps_ahead={k!r} and y={'None' if y is None else 'given'}: a k-step prediction needs both, the "
                f"measured outputs and steps_ahead, {text}; the free run needs neither."
            )
        system = self._noisy_system()
        sequences, numbers = self._measured(X, y)
        starts = self._flat_states(initial_state, len(sequences.lengths))
        outputs, states = [], []
        for start, first, length in zip(starts, sequences.starts, sequences.lengths, strict=True):
            rows = slice(first, first + length)
            seen = (sequences.rows[rows], numbers[rows], start)
            outputs.append(predicted(system, *seen, k))
            states.append(filtered(system, *seen)[-1])
        values = self._container(np.concatenate(outputs), sequences)
        like = self.cell_.initial_state(1)
        return (values, unflatten(tensor(np.array(states), flatten(like)), like)) if return_state else values

    def _noisy_system(self) -> LinearSystem:
        """The system, if k-step predictions can be made with it."""
        if self._own_past is not None:
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

    def _flat_states(self, state: State | None, series: int) -> Array:
        """One row of numbers a series."""
        if state is None:
            state = self.cell_.initial_state(series)
        flat = flatten(self.predictor_.as_state(state, series))
        if flat.shape[1] != linear_of(self.cell_).hidden_size:
            raise ValueError(
                f"initial_state has {flat.shape[1]} numbers a row, the model has {linear_of(self.cell_).hidden_size}."
            )
        return flat.detach().cpu().double().numpy()

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
        if self._own_past is not None or self._heads > 1:
            return super().estimate_state(X, y)
        sequences, numbers = self._measured(inputs_beside(X, y), y)
        weight = 1.0 / self.target_scaling_.scale**2
        records = [
            Record.of(sequences.rows[first : first + length], numbers[first : first + length], weight)
            for first, length in zip(sequences.starts, sequences.lengths, strict=True)
        ]
        starts = least_squares_starts(self.system_, records)
        like = self.cell_.initial_state(1)
        return unflatten(tensor(starts, flatten(like)), like)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of the free run from rest, the mean over outputs; warm-up rows and missing targets are left out.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.

        Returns
        -------
        float
            At most 1; 0 is as good as the mean of y.
        """
        return super().score(inputs_beside(X, y), y, sample_weight)

    # ---------------------------------------------------------------- checking

    def residual_tests(self, X: Any, y: Any, lags: int = 20) -> pd.DataFrame:
        """Whether the errors still hold something: whiteness of the one-step errors, and correlation with the inputs.

        Parameters
        ----------
        X, y : array, list of arrays, or DataFrame
            As in ``fit``.
        lags : int, at least 1

        Returns
        -------
        DataFrame
            One row a test: test, output, input, statistic, p_value, verdict. Errors are those of one-step predictions
            where the model knows its noise, else (and for ``"input, free run"``) of the free run from an estimated
            start.

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
        if self._heads > 1:
            raise ValueError(f"loss={getattr(self, 'loss', None)!r} has several outputs a target: fit with loss='mse'.")
        X = inputs_beside(X, y)
        sequences, numbers = self._measured(X, y)
        starts = self._flat_states(self.estimate_state(X, y), len(sequences.lengths))
        system = self.system_
        free, ahead = np.full_like(numbers, np.nan), np.full_like(numbers, np.nan)
        for start, first, length in zip(starts, sequences.starts, sequences.lengths, strict=True):
            rows = slice(first, first + length)
            x, measured = sequences.rows[rows], numbers[rows]
            free[rows] = measured - system.simulate(x, start)[0]
            ahead[rows] = (
                free[rows] if system.noise_gain is None else measured - predicted(system, x, measured, start, 1)
            )
        names = list(self.block_matrix_["to"].values[: system.outputs]), list(self.block_matrix_["from"].values)
        series = np.repeat(np.arange(len(sequences.lengths)), sequences.lengths)
        return residual_tests(series, sequences.rows, ahead, free, lags, (names[0], names[1][: system.inputs]))


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

"""The linear state-space model as a regressor: identified in closed form, refined by exact gradients."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.cells.linear import Linear, LinearState
from seqdyn.checks import outside
from seqdyn.codecs import tensor
from seqdyn.composition import Offset
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.estimators.linear_model import LinearModel, inputs_beside
from seqdyn.estimators.parameters import Rule, accepted, at_least, check_parameters, either, one_of, optional
from seqdyn.estimators.tasks import NumberTask
from seqdyn.identification.excitation import Excitation
from seqdyn.identification.identify import LARGEST_ORDER, Identification, Settings, examine, identify, noise_of
from seqdyn.identification.records import Record
from seqdyn.identification.stability import pulled_inside, spectral_radius
from seqdyn.identification.subspace import WEIGHTINGS
from seqdyn.identification.system import LinearSystem
from seqdyn.initial_state import NAMED, Strategy, Warmup, Zero, as_strategy
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run
from seqdyn.training.loop import Trainer

Array = np.ndarray[Any, Any]
METHODS = ("subspace+gradient", "subspace", "gradient")
LARGEST_TRAINED_RADIUS = 0.9999
"""Where a transition that training made unstable is moved."""
UNIDENTIFIED_ORDER = 4
"""States of ``order="auto"`` where the subspace of the states is not looked for."""


@dataclass(kw_only=True, repr=False, eq=False)
class LinearStateSpaceRegressor(LinearModel, NumberTask):
    """A linear state-space model: [y_t; h_t] = [A B; C D] [x_t; h_{t-1}] + [y_0; h_0], with noise K e_t in h_t.

    Identified by subspace methods in closed form, then refined by exact gradients of the *free-run* error together
    with the start of every record.

    Parameters
    ----------
    order : int of at least 1, or "auto"
        Width of h. ``"auto"`` compares the orders from 0 (no memory) to 10 in the free run over the last
        ``validation_fraction`` of every record, see ``order_search_``; beside it stand the ``singular_values_``.
    method : {"subspace+gradient", "subspace", "gradient"}
        Closed form and refinement, the closed form alone, or gradient steps from random weights.
    weighting : {"cva", "n4sid", "moesp"}
        Of the subspace method. ``"n4sid"`` needs inputs that change quickly.
    feedthrough : bool
        False: A = 0, x_t reaches y_{t+1} first.
    stable : bool
        Keep the spectral radius of D below 1: an estimate outside is moved in, and the refinement cannot leave.
    initial_state : "estimate", or as in every estimator
        ``"estimate"``: the start of every record is estimated with the model, see ``starts_``. Prediction then starts
        from zero (the mean, in scaled units), or from what ``estimate_state`` finds.
    block_rows : int or None
        Past and future steps of the Hankel matrices; None: 20, or fewer where the data are short.
    validation_fraction : float in (0, 1)
        The end of every record on which orders are compared.
    dtype : {"float64", "float32"}
    **others
        The training, see :class:`~seqdyn.estimators.gradient.GradientEstimator`.

    Attributes
    ----------
    feedthrough_, readout_, input_map_, transition_, output_offset_, state_offset_, system_, block_matrix_
        The model, see :class:`~seqdyn.estimators.linear_model.LinearModel`.
    order_ : int
        Width of h.
    starts_ : State
        h_{-1} of every training record: ``predict(X, initial_state=model.starts_)`` is the run that was fitted. The
        training loop begins where prediction does.
    singular_values_ : array
        Of the weighted projection: canonical correlations with ``"cva"``.
    order_search_ : DataFrame
        Orders tried by ``"auto"``: singular_value, and the RMS errors over the validation part in scaled units; taken
        is the least N ln error² + 2 n (2 outputs + inputs), Akaike's criterion with the validation error.
    excitation_ : Excitation
        What the inputs reveal: order of excitation, levels, delay.
    method_ : str
        How the model was found: the closed form, refined by ``"least squares"`` or by ``"training"``.

    Notes
    -----
    The closed form needs outputs of their own for every step: with ``autoregression``, ``return_sequences=False`` or
    ``output_lag`` the model is trained by gradient, and ``"auto"`` is an order of 4. The refinement is least squares
    where the loss is the squared error over whole records; with another loss, windows, truncated BPTT,
    ``early_stopping``, ``weight_decay`` or another ``initial_state`` than ``"estimate"``, ``"zero"`` and ``"warmup"``
    the training loop takes the closed form as its start; a transition that it makes unstable is moved back, with a
    warning. ``method_`` says what was done. ``partial_fit`` identifies on its first data, and then trains.

    A mean that is less than four standard errors (of independent values) away from 0 is taken for 0, so that a system
    without offsets is at rest at 0, and not at its sample's mean.

    References
    ----------
    Van Overschee & De Moor (1996), Subspace Identification for Linear Systems; Ljung (1999), System Identification.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import LinearStateSpaceRegressor
    >>> x = np.random.default_rng(0).normal(size=(300, 1))
    >>> y = np.convolve(x[:, 0], 0.8 ** np.arange(60))[:300]
    >>> model = LinearStateSpaceRegressor(order=1).fit(x, y)
    >>> model.transition_.round(6)
    array([[0.8]])
    >>> model.system_.dc_gain().round(6)
    array([[5.]])
    """

    order: Any = "auto"
    method: str = "subspace+gradient"
    weighting: str = "cva"
    feedthrough: bool = True
    stable: bool = True
    initial_state: Any = "estimate"
    block_rows: int | None = None
    validation_fraction: float = 0.25
    dtype: str = "float64"

    # ---------------------------------------------------------------- systems that are known

    @classmethod
    def from_system(cls, system: LinearSystem) -> Self:
        """A fitted regressor that is this system, with inputs, outputs and state in its units."""
        model = cls(order=system.order)
        model.fitted_params_ = model.get_params(deep=False)
        model.n_features_in_, model.n_outputs_ = system.inputs, system.outputs
        model.input_mean_, model.input_scaling_ = np.zeros(system.inputs), Scaling.identity(system.inputs)
        model.target_scaling_ = Scaling.identity(system.outputs)
        model.flat_targets_, model.target_names_, model.held_length_ = system.outputs == 1, None, None
        model.method_, model.excitation_, model.dt_ = "given", None, system.dt
        model.trials_, model.singular_values_ = np.zeros((0, 4)), np.zeros(0)
        model._adopt(system)
        model.network_.eval()
        model.state_ = model.starts_ = model.cell_.initial_state(1)
        model.forgetting_time_ = system.forgetting_time()
        return model

    @classmethod
    def from_block(cls, A: Any, B: Any = None, C: Any = None, D: Any = None) -> Self:
        """A fitted regressor from the lectures' block matrix [A B; C D]."""
        return cls.from_system(LinearSystem.from_block(A, B, C, D))

    @classmethod
    def from_control(cls, A: Any, B: Any = None, C: Any = None, D: Any = None) -> Self:
        """A fitted regressor from control theory's quadruple."""
        return cls.from_system(LinearSystem.from_control(A, B, C, D))

    @classmethod
    def from_rnn(cls, W_ih: Any, W_hh: Any, W_hy: Any, b_h: Any = None, b_y: Any = None) -> Self:
        """A fitted regressor from a linear recurrent network, see :meth:`LinearSystem.from_rnn`."""
        return cls.from_system(LinearSystem.from_rnn(W_ih, W_hh, W_hy, b_h, b_y))

    # ---------------------------------------------------------------- before a fit

    def check_excitation(self, X: Any, y: Any) -> Excitation:
        """Whether these data can tell what a fit would ask of them; printed, it says so in plain words.

        Parameters
        ----------
        X, y : array, list of arrays, or DataFrame
            As in ``fit``; nothing is fitted.

        Returns
        -------
        Excitation
        """
        check_parameters(self)
        probe = type(self)(**self.get_params(deep=False))
        probe._without_inputs = X is None
        sequences = probe._read_inputs(inputs_beside(X, y), reset=True)
        targets = probe._read_targets(y, sequences)
        numbers, _ = probe._encode(targets, True)
        scaled = Scaling.fit(sequences.rows).apply(sequences.rows), Scaling.fit(numbers).apply(numbers)
        ends = np.cumsum(sequences.lengths)[:-1]
        records = [Record.of(x, y) for x, y in zip(*(np.split(values, ends) for values in scaled), strict=True)]
        return examine(records, self._settings())

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Identify the model from sequences.

        Parameters
        ----------
        X : array (time, features) or (series, time, features), list of arrays, DataFrame, or None
            One experiment, many of one length, many of unlike lengths, or one with labels. None: a system that moves by
            itself, without inputs.
        y : array, Series, DataFrame, or list of arrays
            Outputs beside X; NaN marks a missing one.
        sample_weight : array, optional
            What every step counts in the error; 0 leaves it out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If parameters or data do not fit, or the data are too short for the order; the message says what to change.

        Warns
        -----
        UserWarning
            If the inputs do not tell what is asked for, or the estimate had to be made stable.
        """
        self._without_inputs = X is None
        try:
            return super().fit(inputs_beside(X, y), y, sample_weight)
        finally:
            del self._without_inputs

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Identify on the first data, then train for one more epoch on every further piece.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`.

        Returns
        -------
        self
        """
        self._without_inputs = X is None
        try:
            return super().partial_fit(inputs_beside(X, y), y, sample_weight)
        finally:
            del self._without_inputs

    @property
    def _fewest_inputs(self) -> int:
        return 0 if vars(self).get("_without_inputs") or vars(self).get("n_features_in_") == 0 else 1

    @property
    def order_search_(self) -> pd.DataFrame:
        """Orders tried by ``order="auto"``; empty where the order was given."""
        columns = ["order", "singular_value", "subspace_error", "refined_error"]
        return pd.DataFrame(self.trials_, columns=columns).astype({"order": int})

    @property
    def _identifiable(self) -> bool:
        """Whether every row of the targets is an output of the step beside it, and stands for a level."""
        return self.autoregression is None and self._per_step and not self._lag and self._heads == 1

    @property
    def _refined_by_least_squares(self) -> bool:
        """Whether the training would minimise the squared error of the free run over whole records."""
        plain = isinstance(self.loss, str) and self.loss == "mse" and self.weight_decay == 0.0
        whole = self.window is None and self.bptt_length is None and not self.early_stopping
        return plain and whole and isinstance(self._strategy, Zero | Warmup)

    @property
    def _strategy(self) -> Strategy:
        return Zero() if self._estimates_starts else as_strategy(self.initial_state)

    @property
    def _estimates_starts(self) -> bool:
        return isinstance(self.initial_state, str) and self.initial_state == "estimate"

    def _settings(self) -> Settings:
        return Settings(
            order=self.order,
            refine=self.method == "subspace+gradient" and self._refined_by_least_squares,
            weighting=self.weighting,
            feedthrough=self.feedthrough,
            stable=self.stable,
            free_starts=self._estimates_starts,
            block_rows=self.block_rows,
            validation_fraction=self.validation_fraction,
        )

    def _network(self, inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
        linear = Linear(inputs + 1, self.order_, outputs, generator)
        with torch.no_grad():
            linear.input_map[:, -1] = 0.0  # no offset to begin with, as in the feedthrough
        return self._start(Offset(linear))

    def _fresh_network(self, generator: torch.Generator) -> nn.Module:
        self.order_ = int(self.order) if isinstance(self.order, Integral) else UNIDENTIFIED_ORDER
        return super()._fresh_network(generator)

    def _begin(self, rows: Rows) -> None:
        """Identify the model in closed form, if the method and the data allow it."""
        self.method_, self.starts_ = "training", self.cell_.initial_state(len(rows.starts))
        self.trials_, self.singular_values_ = np.zeros((0, 4)), np.zeros(0)
        self._keep_noise(None, None)
        self.excitation_: Excitation | None = None
        if self.method == "gradient" or not self._identifiable:
            return
        found = identify(self._records(rows), self._settings())
        self._say(found)
        self.trials_, self.singular_values_ = np.array(found.trials).reshape(-1, 4), found.singular_values
        self.excitation_ = found.excitation
        self.method_ = "subspace" + ("+least squares" if found.refined else "")
        if not self._refined_by_least_squares and self.method == "subspace+gradient":
            self.method_ = "subspace+training"
        self._adopt(found.system)
        if self._estimates_starts:
            self.starts_ = LinearState(tensor(found.starts, self.predictor_.like))

    def _adopt(self, system: LinearSystem) -> None:
        """Make the network this system, in network units."""
        self.order_ = system.order
        self.network_ = super()._fresh_network(torch.Generator())
        matrices = {
            "feedthrough": np.column_stack([system.feedthrough, system.output_offset]),
            "readout": system.readout,
            "input_map": np.column_stack([system.input_map, system.state_offset]),
            "transition": system.transition,
        }
        with torch.no_grad():
            for name, matrix in matrices.items():
                getattr(self._linear, name).copy_(torch.as_tensor(matrix))
        self._keep_noise(system.noise_gain, system.noise_covariance)

    def _keep_noise(self, gain: Array | None, covariance: Array | None) -> None:
        self.noise_gain_, self.noise_covariance_ = gain, covariance

    def _say(self, found: Identification) -> None:
        """Warn of what the data do not tell, and of what was changed."""
        outputs = np.concatenate([record.y for record in self._seen])
        for place in np.flatnonzero(np.nanmax(outputs, axis=0) == np.nanmin(outputs, axis=0)):
            warnings.warn(
                f"Output {place} never changes: the model is this constant. Check the sensor, or leave it out.",
                stacklevel=outside(),
            )
        for message in found.excitation.messages if found.excitation else ():
            warnings.warn(message, stacklevel=outside())
        if found.trials and found.system.order == LARGEST_ORDER:
            seen = found.excitation.delay.tolist() if found.excitation else []
            warnings.warn(
                f"order='auto' took the largest order it tries, {LARGEST_ORDER}. A long delay may be the cause ({seen} "
                "steps are seen): shift the input by it. Else give a higher order.",
                stacklevel=outside(),
            )
        radius, longest = found.system.spectral_radius(), max(len(record.x) for record in self._seen)
        grew = found.spectral_radius_before > 1.0 + 1e-6  # an integrator or an undamped mode does not
        if self.stable and grew and radius > math.exp(-2.0 / longest):
            warnings.warn(
                f"The closed-form estimate was unstable (spectral radius {found.spectral_radius_before:.4g}) and was "
                f"kept inside the unit circle, at {radius:.4g}. If the system itself is unstable, set stable=False; if "
                "not, the data are too few or too noisy for this order: lower it.",
                stacklevel=outside(),
            )

    def _fit_scaling(self, sequences: Sequences, raw: Array, train: Array, counts: Array) -> None:
        """As everywhere, but a mean that the data cannot tell from 0 is 0: such a system is at rest at 0."""
        super()._fit_scaling(sequences, raw, train, counts)
        if self.method != "gradient" and self._identifiable and self.scale:
            rows = int(train.sum())
            self.input_scaling_ = _plain_mean(self.input_scaling_, rows)
            self.target_scaling_ = _plain_mean(self.target_scaling_, rows)

    def _training_rows(self, sequences: Sequences, table: Array, weight: Array | None) -> Rows:
        rows = super()._training_rows(sequences, table, weight)
        self._seen = self._records(rows) if self._identifiable else []
        return rows

    def _records(self, rows: Rows) -> list[Record]:
        """The scaled training data as experiments; targets in the warm-up are not looked at."""
        warmup = self.predictor_.warmup_steps(rows.lengths.numpy())
        x, y = rows.x.cpu().double().numpy(), rows.y.cpu().double().numpy()
        weight = (
            np.ones_like(y) if rows.weight is None else np.broadcast_to(rows.weight.cpu().double().numpy(), y.shape)
        )
        records = []
        for first, length, skipped in zip(rows.starts.tolist(), rows.lengths.tolist(), warmup.tolist(), strict=True):
            span = slice(first, first + length)
            counted = weight[span] * (np.arange(length) >= skipped)[:, None]
            records.append(Record.of(x[span], np.where(counted > 0, y[span], np.nan), counted))
        return records

    def _train(self, trainer: Trainer, fresh: bool) -> None:
        if not fresh or self.method_.endswith("training"):
            super()._train(trainer, fresh)
            self.method_ = self.method_ if self.method_.endswith("training") else f"{self.method_}+training"
            self._keep_stable()

    def _keep_stable(self) -> None:
        """Move a trained transition inside the unit circle, if it has to be there."""
        linear = self._linear
        transition = linear.transition.detach().cpu().double().numpy()
        if self.stable and spectral_radius(transition) >= 1.0:
            warnings.warn(
                f"The training led to an unstable model (spectral radius {spectral_radius(transition):.4g}), which was "
                "moved inside the unit circle: what it predicts changes. Train with a smaller learning_rate, or set "
                "stable=False.",
                stacklevel=outside(),
            )
            with torch.no_grad():
                linear.transition.copy_(torch.as_tensor(pulled_inside(transition, LARGEST_TRAINED_RADIUS)))

    def _close(self, sequences: Sequences, generator: torch.Generator) -> None:
        super()._close(sequences, generator)
        records = self.__dict__.pop("_seen", [])
        if self.method_.endswith("training"):
            self.starts_ = self.cell_.initial_state(len(sequences.lengths))
        elif self._estimates_starts:
            self.state_ = run(self.network_, self.predictor_.rows(sequences), self.starts_)[1]
        if records and self.method_.endswith("training"):
            found = noise_of(_system_of(self._linear), records, self.block_rows)
            if found.noise_gain is not None or not self._still_filters():
                self._keep_noise(found.noise_gain, found.noise_covariance)

    def _still_filters(self) -> bool:
        """Whether the gain there is makes a stable filter of the model as it is now."""
        gain, system = self.noise_gain_, _system_of(self._linear)
        if gain is None or gain.shape[0] != system.order:
            return False
        return spectral_radius(system.transition - gain @ system.readout) < 1.0

    def _forgetting_time(self, rows: Rows, generator: torch.Generator) -> float:
        return self.system_.forgetting_time()

    # ---------------------------------------------------------------- parameters

    def _rules(self) -> dict[str, Rule]:
        names = ", ".join(map(repr, NAMED))
        return super()._rules() | {
            "order": either(at_least(1), one_of("auto")),
            "method": one_of(*METHODS),
            "weighting": one_of(*WEIGHTINGS),
            "feedthrough": one_of(False, True),
            "stable": one_of(False, True),
            "block_rows": optional(at_least(2)),
            "initial_state": either(
                one_of("estimate"), accepted(as_strategy, f"one of {names}, a strategy, or a State")
            ),
        }

    @property
    def _heads(self) -> int:
        return self._head().outputs

    @property
    def _own_past(self) -> Autoregression | None:
        """A feedthrough reads the last value itself: a linear model of the change is one of the level."""
        own = self.autoregression
        return replace(own, residual=False) if own is not None and self.feedthrough else own

    def _scale(self) -> Array:
        """The scale of every input of the linear cell: of X, or of its delay line."""
        own, scale = self._own_past, self.input_scaling_.scale
        if own is None:
            return scale
        return np.concatenate([np.tile(scale[: own.targets], own.lags - own.centred), scale[own.targets :]])

    def _mean(self) -> Array:
        """The mean of every input of the linear cell; lags relative to the last value have none."""
        own, mean = self._own_past, self.input_scaling_.mean
        if own is None:
            return mean
        lags = np.tile(mean[: own.targets], own.lags - own.centred) * (not own.centred)
        return np.concatenate([lags, mean[own.targets :]])


def _plain_mean(scaling: Scaling, rows: int) -> Scaling:
    """The scaling with means of less than four standard errors set to 0."""
    near = np.abs(scaling.mean) < 4 * scaling.scale / math.sqrt(rows)
    return Scaling(np.where(near, 0.0, scaling.mean), scaling.scale)


def _system_of(linear: Linear) -> LinearSystem:
    """The system between scaled inputs and outputs that a cell with a constant last input is."""
    feedthrough, readout, input_map, transition = (
        getattr(linear, name).detach().cpu().double().numpy()
        for name in ("feedthrough", "readout", "input_map", "transition")
    )
    return LinearSystem(
        feedthrough[:, :-1], readout, input_map[:, :-1], transition, feedthrough[:, -1], input_map[:, -1]
    )

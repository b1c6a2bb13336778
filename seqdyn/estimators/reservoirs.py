"""Reservoirs: features of the past that are not learnt, and ridge regression on them, validated in free run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression
from seqdyn.cell import Cell
from seqdyn.composition import Readout
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.estimators.closed_form import (
    ONE_LAG,
    keep_network,
    keep_scalings,
    measured_examples,
    of_level,
    solving_pairs,
    weighed_scalings,
    with_own_past,
)
from seqdyn.estimators.experiments import Experiments
from seqdyn.estimators.learning import Scalings
from seqdyn.estimators.numbers import estimate_start, predict_numbers, score_r2
from seqdyn.estimators.parameters import (
    Rule,
    check_parameters,
    check_unchanged,
    either,
    non_negative,
    one_of,
    unchanged_on_error,
)
from seqdyn.estimators.reading import read_inputs
from seqdyn.estimators.ridge import Triangle
from seqdyn.estimators.selection import Choice, Task, Trial, choose, held_out, onto_last
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.training import Alignment
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run_network
from seqdyn.typed_bases import RegressorMixin

FREE_RIDGES = tuple(10.0 ** np.arange(0, -19, -2))
"""Ridges that are tried in free run, the strongest first."""

HELD_OUT_RIDGES = tuple(10.0 ** np.arange(4, -13, -2))
"""Ridges that are tried on held-out data where nothing is fed back."""

WITHOUT_VALIDATION = 1e-6
"""The ridge where the data are too short to hold any out."""

LONGEST_WASHOUT = 200
"""At most so many steps are left out where no warm-up is given: a tenth of ten times as many."""


@dataclass(kw_only=True, repr=False, eq=False)
class ReservoirRegressor(RegressorMixin, SequenceEstimator):
    """Features of the past, and a readout of them by ridge regression: y_t = V φ_t + b.

    A subclass says which cell makes the features (:meth:`_reservoir`) and which settings are tried (:meth:`_choices`).

    **What is fed back.** Where the leading columns of X are the last values of the targets, X_t = (y_{t-1}, …), the
    outputs can take their place. That is so with ``autoregression``, and is found out without it: y is then the leading
    columns of X one step later. The readout then predicts the change, y_t = y_{t-1} + V φ_t + b, targets have the
    scaling of their last values, and what is not given is chosen by *free runs*: the last part of the training data is
    held out, runs begin in it, and the settings with the smallest mean error of the free run are kept, then solved for
    on all data. Otherwise the error of prediction on the held-out part decides.

    Parameters
    ----------
    warmup : int or None
        Leading steps of every series that carry no weight and no score. None: a tenth of it, at most 200.
    autoregression : Autoregression or None
        The leading columns of X are the last values of the targets, and may be NaN: the model's own predictions then
        take their place.
    ridge : float, at least 0, or "auto"
        ρ, the penalty on squared weights of standardised features, relative to the mean squared error in standard
        deviations. ``"auto"`` chooses among powers of 100.
    validation_fraction : float in (0, 1)
        The last share of every series that is held out to choose; it is solved for in the end, too.
    scale : bool
        Standardise inputs and targets inside; the scaling is frozen by ``partial_fit``.

    Attributes
    ----------
    cell_ : Cell
    state_ : State
        After the last row of the data of the last fit; one row a series.
    ridge_ : float
    feeds_back_ : bool
        Whether the leading columns of X are the last values of the targets.
    validation_ : dict of arrays
        What was tried: every setting, ``ridge``, and ``error``, the mean error of the free run (1: the truth is lost
        at once) or the mean squared error. Empty where nothing was chosen. ``pandas.DataFrame(validation_)`` shows it.
    """

    _tuned: ClassVar[tuple[str, ...]] = ()
    """Settings with a fitted value, such as ``"spectral_radius"``, which becomes ``spectral_radius_``."""

    warmup: int | None = None
    autoregression: Autoregression | None = None
    ridge: Any = "auto"
    validation_fraction: float = 0.2
    scale: bool = True

    def _reservoir(self, inputs: int, settings: Mapping[str, Any]) -> Cell:
        """The cell that makes the features."""
        raise NotImplementedError

    def _choices(self, inputs: int, rows: int) -> list[dict[str, Any]]:
        """The settings to be tried, for so many inputs and rows that count."""
        raise NotImplementedError

    def _draw(self) -> None:
        """Draw once what all cells of a fit share."""

    def _rules(self) -> Mapping[str, Rule]:
        """What the parameters of this class must be, beside the common rules."""
        return {}

    # ---------------------------------------------------------------- the parts

    @property
    def alignment(self) -> Alignment:
        """How outputs stand beside inputs."""
        return Alignment(warmup=self.warmup, window=10 * LONGEST_WASHOUT, own_past=of_level(self.autoregression))

    @property
    def _last_values(self) -> int:
        """How many leading inputs are last values of the targets."""
        return self.n_outputs_ if self.feeds_back_ else 0

    def _untrained(self) -> nn.Module:
        settings = {name: getattr(self, f"{name}_") for name in self._tuned}
        cell = self._reservoir(self.n_features_in_, settings)
        readout = Readout(cell, self.n_outputs_, generator=torch.Generator())
        return with_own_past(readout, self.alignment.own_past)

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the readout.

        Parameters
        ----------
        X : array (time, features) or (series, time, features), list of arrays, or DataFrame
        y : array, Series, DataFrame, or list of arrays
            One target a step; NaN marks a missing one.
        sample_weight : array, optional
            What every step, or every sequence, counts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If parameters or data do not fit; the message says where.
        """
        with unchanged_on_error(self):
            check_parameters(self, RESERVOIR_RULES | dict(self._rules()))
            self.fitted_params_ = self.get_params(deep=False)
            data = measured_examples(self, read_inputs(self, X, True, self.alignment.missing), y, sample_weight, True)
            keep_scalings(self, self._units(data))
            self._draw()
            with torch.no_grad():
                rows, wanted = self._pairs(data)
                best = self._best(rows, wanted, data)
            self.validation_, self.ridge_ = best.table, float(best.trial.ridges[best.place])
            for name in self._tuned:
                setattr(self, f"{name}_", best.trial.settings[name])
            self._finish(data, best.trial.cell, best.trial.whole)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Take in more sequences: the readout becomes the one of a fit to all of them, old and new, exactly.

        The scaling, the ridge and the settings stay those of the first call. Each sequence starts anew; no row is kept.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.

        Returns
        -------
        self
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y, sample_weight)
        with unchanged_on_error(self):
            check_parameters(self, RESERVOIR_RULES | dict(self._rules()))
            check_unchanged(self)
            data = measured_examples(self, read_inputs(self, X, False, self.alignment.missing), y, sample_weight, False)
            network: Any = self.network_
            cell = network.cell if self.alignment.own_past is None else network.cell.cell
            with torch.no_grad():
                rows, wanted = self._pairs(data)
                features = run_network(cell, rows)[0].numpy()
            before = Triangle(self.resume_["triangle"], features.shape[1])
            self._finish(data, cell, before.joined(Triangle.of(features, wanted, data.weight)))
        return self

    def _units(self, data: Experiments) -> Scalings:
        """Scalings, one and the same for targets and their last values; and whether they are fed back."""
        own = self.alignment.own_past
        self.feeds_back_ = own is not None or is_one_step_later(data.sequences, data.numbers)
        mean, inputs, targets = weighed_scalings(data, own)
        if not self.scale:
            return Scalings(mean, Scaling.identity(self.n_features_in_), Scaling.identity(self.n_outputs_))
        if self.feeds_back_:
            last = slice(self.n_outputs_)
            targets = Scaling(inputs.mean[last], inputs.scale[last])
        return Scalings(mean, inputs, targets)

    def _pairs(self, data: Experiments) -> tuple[Rows, Array]:
        """Inputs, and what the readout has to give: the scaled targets, or their change."""
        rows, scaled = solving_pairs(self, data)
        scaled[:, : self._last_values] -= rows.x[:, : self._last_values].numpy()
        return rows, scaled

    def _best(self, rows: Rows, wanted: Array, data: Experiments) -> Choice:
        """The settings and the ridge, as given or by validation."""
        trials = self._trials(rows, wanted, data)
        if len(trials) * len(trials[0].ridges) == 1:
            return Choice(trials[0], 0, {})
        return choose(trials, Task(rows, wanted, data.weight, self._last_values, self.validation_fraction))

    def _trials(self, rows: Rows, wanted: Array, data: Experiments) -> list[Trial]:
        """Every choice of the settings: one without anything held out where there is none to be made."""
        later = held_out(rows, data.weight, self.validation_fraction)
        choices = self._choices(self.n_features_in_, int(np.count_nonzero(data.weight)))
        fixed = None if self.ridge == "auto" else (float(self.ridge),)
        if later is None or (len(choices) == 1 and fixed):
            cell, features = self._features(rows, choices[0])
            whole = Triangle.of(features, wanted, data.weight)
            return [Trial(choices[0], cell, whole, None, fixed or (WITHOUT_VALIDATION,), ())]
        ridges = fixed or (FREE_RIDGES if self.feeds_back_ else HELD_OUT_RIDGES)
        weights = (data.weight * ~later, data.weight * later)
        return [self._trial(rows, wanted, weights, settings, ridges) for settings in choices]

    def _trial(
        self, rows: Rows, wanted: Array, weights: Sequence[Array], settings: Mapping[str, Any], ridges: Sequence[float]
    ) -> Trial:
        """One choice of the settings, solved for on what comes first."""
        cell, features = self._features(rows, settings)
        first, held = (Triangle.of(features, wanted, weight) for weight in weights)
        return Trial(settings, cell, first, held, ridges, first.solved(ridges))

    def _features(self, rows: Rows, settings: Mapping[str, Any]) -> tuple[Cell, Array]:
        cell = self._reservoir(self.n_features_in_, settings).double()
        return cell, run_network(cell, rows)[0].numpy()

    def _finish(self, data: Experiments, cell: Cell, triangle: Triangle) -> None:
        """Read the cell out, keep the triangle, and run over the data."""
        weight, bias = onto_last(triangle.solved([self.ridge_])[0], self._last_values)
        network = Readout(cell, self.n_outputs_, generator=torch.Generator()).double()
        with torch.no_grad():
            network.affine.weight.copy_(torch.as_tensor(weight.T))
            network.affine.bias.copy_(torch.as_tensor(bias))
        self.resume_ = {"triangle": triangle.matrix}
        keep_network(self, network, data.sequences)

    # ---------------------------------------------------------------- predicting

    predict = predict_numbers
    estimate_state = estimate_start
    score = score_r2


RESERVOIR_RULES: dict[str, Rule] = {**ONE_LAG, "ridge": either(one_of("auto"), non_negative())}
"""What the parameters of every reservoir must be."""


def is_one_step_later(sequences: Sequences, numbers: Array) -> bool:
    """Whether targets (total, outputs) are the leading inputs one step later, wherever both are known.

    Where one of them was kept in float32 alone, they are compared in float32.
    """
    outputs = numbers.shape[1]
    if sequences.rows.shape[1] < outputs:
        return False
    within = np.flatnonzero(sequences.steps[1:] > 0)
    now, later = numbers[within], sequences.rows[within + 1, :outputs]
    known = ~np.isnan(now)
    now, later = now[known], later[known]
    coarse_now, coarse_later = _rounded(now), _rounded(later)
    if (coarse_now == now).all() or (coarse_later == later).all():
        now, later = coarse_now, coarse_later
    return bool(known.any() and (now == later).all())


def _rounded(values: Array) -> Array:
    """To float32, and infinite beyond it."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)

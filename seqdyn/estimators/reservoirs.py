"""Reservoirs: features of the past that are not learnt, and ridge regression on them, validated in free run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from seqdyn.cell import Cell
from seqdyn.composition import Readout
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.estimators.closed_form import ClosedFormEstimator, Measured
from seqdyn.estimators.parameters import Rule, check_parameters, either, non_negative, one_of
from seqdyn.estimators.ridge import Triangle
from seqdyn.estimators.selection import Choice, Task, Trial, choose, held_out, onto_last
from seqdyn.estimators.sequence import unchanged_on_error
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run_network

Array = np.ndarray[Any, Any]

FREE_RIDGES = tuple(10.0 ** np.arange(0, -19, -2))
"""Ridges that are tried in free run, the strongest first."""

HELD_OUT_RIDGES = tuple(10.0 ** np.arange(4, -13, -2))
"""Ridges that are tried on held-out data where nothing is fed back."""

WITHOUT_VALIDATION = 1e-6
"""The ridge where the data are too short to hold any out."""


@dataclass(kw_only=True, repr=False, eq=False)
class ReservoirEstimator(ClosedFormEstimator):
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

    ridge: Any = "auto"
    validation_fraction: float = 0.2
    scale: bool = True

    def _reservoir(self, inputs: int, settings: Mapping[str, Any]) -> Cell:
        """The cell that makes the features."""
        raise NotImplementedError

    def _choices(self, inputs: int, rows: int) -> list[dict[str, Any]]:
        """The settings to be tried, for so many inputs and rows that count."""
        raise NotImplementedError

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
            check_parameters(self)
            self._check_unchanged()
            data = self._measured_rows(X, y, sample_weight, reset=False)
            cell = self._readout_network().cell
            self._take_in(data, cell)
        return self

    @property
    def _warmup(self) -> int | None:
        return self.warmup

    @property
    def _window(self) -> int | None:
        return 2000  # at most 200 steps, a tenth of it, are left out where no warm-up is given

    @property
    def _last_values(self) -> int:
        """How many leading inputs are last values of the targets."""
        return self.n_outputs_ if self.feeds_back_ else 0

    def _fit_scaling(self, data: Measured) -> None:
        super()._fit_scaling(data)
        self.feeds_back_ = self._own_past is not None or is_one_step_later(data.sequences, data.numbers)
        if not self.scale:
            self.input_scaling_ = Scaling.identity(self.n_features_in_)
            self.target_scaling_ = Scaling.identity(self.n_outputs_)
        elif self.feeds_back_:
            own = slice(self.n_outputs_)
            self.target_scaling_ = Scaling(self.input_scaling_.mean[own], self.input_scaling_.scale[own])

    def _solve_from(self, data: Measured) -> None:
        with torch.no_grad():
            rows, wanted = self._pairs(data)
            trials = self._trials(rows, wanted, data)
            only = len(trials) * len(trials[0].ridges) == 1
            task = Task(rows, wanted, data.weight, self._last_values, self.validation_fraction)
            best = Choice(trials[0], 0, {}) if only else choose(trials, task)
        self.validation_, self.ridge_ = best.table, float(best.trial.ridges[best.place])
        for name in self._tuned:
            setattr(self, f"{name}_", best.trial.settings[name])
        self._finish(data, best.trial.cell, best.trial.whole)

    def _take_in(self, data: Measured, cell: Cell) -> None:
        with torch.no_grad():
            rows, wanted = self._pairs(data)
            features = run_network(cell, rows)[0].numpy()
        before = Triangle(self._memory["triangle"], features.shape[1])
        self._finish(data, cell, before.joined(Triangle.of(features, wanted, data.weight)))

    def _pairs(self, data: Measured) -> tuple[Rows, Array]:
        """Inputs, and what the readout has to give: the scaled targets, or their change."""
        rows = self._solving_rows(data.sequences)
        unknown: Any = np.isnan(data.numbers).any(axis=1)
        scaled = np.where(unknown[:, None], 0.0, self.target_scaling_.apply(data.numbers))
        scaled[:, : self._last_values] -= rows.x[:, : self._last_values].numpy()
        return rows, scaled

    def _trials(self, rows: Rows, wanted: Array, data: Measured) -> list[Trial]:
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
        cell = self._reservoir(self.n_features_in_, settings).to(self._device, self._precision)
        return cell, run_network(cell, rows)[0].numpy()

    def _finish(self, data: Measured, cell: Cell, triangle: Triangle) -> None:
        """Read the cell out, keep the triangle, and run over the data."""
        weight, bias = onto_last(triangle.solved([self.ridge_])[0], self._last_values)
        network = Readout(cell, self.n_outputs_, generator=torch.Generator()).to(self._device, self._precision)
        with torch.no_grad():
            network.affine.weight.copy_(torch.as_tensor(weight.T))
            network.affine.bias.copy_(torch.as_tensor(bias))
        self.network_ = self._closed(network).eval()
        self._memory = {"triangle": triangle.matrix}
        self.state_ = run_network(self.network_, self.predictor_.rows(data.sequences))[1]

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        settings = {name: getattr(self, f"{name}_") for name in self._tuned}
        return Readout(self._reservoir(inputs, settings), outputs, generator=torch.Generator())

    def _readout_network(self) -> Any:
        """The network without its own past around it."""
        network: Any = self.network_
        return network if self._own_past is None else network.cell

    def _rules(self) -> dict[str, Rule]:
        return super()._rules() | {"ridge": either(one_of("auto"), non_negative())}


def is_one_step_later(sequences: Sequences, numbers: Array) -> bool:
    """Whether the targets are the leading inputs one step later, wherever both are known.

    Where one of them was kept in float32 alone, they are compared in float32.

    Parameters
    ----------
    sequences : Sequences
    numbers : array, shape (total, outputs)
        Targets, NaN where unknown.

    Returns
    -------
    bool
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

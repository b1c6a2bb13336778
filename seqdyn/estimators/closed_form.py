"""Regressors whose weights are solved for, not trained: y ≈ Φ θ by least squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import nn

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression
from seqdyn.codecs import usable
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import as_weights
from seqdyn.estimators.experiments import Experiments
from seqdyn.estimators.learning import Scalings
from seqdyn.estimators.numbers import estimate_start, numbers_beside, predict_numbers, score_r2
from seqdyn.estimators.parameters import Rule, check_parameters, unchanged_on_error
from seqdyn.estimators.reading import read_inputs
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.training import Alignment
from seqdyn.predictor import warmup_steps
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run_network
from seqdyn.typed_bases import RegressorMixin


@dataclass(kw_only=True, repr=False, eq=False)
class ClosedFormRegressor(RegressorMixin, SequenceEstimator):
    """A cell whose weights have a closed form, between the same scalings as every estimator.

    A subclass owes :meth:`_network`, an unsolved cell, and :meth:`_solved`.

    Parameters
    ----------
    warmup : int or None
        Leading steps that carry no weight in the solution and no score.
    autoregression : Autoregression or None
        How the leading columns of X, the last values of the targets, are used; they may then be NaN. Steps without
        them carry no weight in the solution. ``residual`` makes no difference: a linear model of the change is one of
        the level.

    Attributes
    ----------
    cell_ : Cell
        The network, in network units.
    state_ : State
        After the last row of the training data; one row a series.
    """

    warmup: int | None = None
    autoregression: Autoregression | None = None

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        """An unsolved cell of these widths."""
        raise NotImplementedError

    def _solved(self, rows: Rows, targets: Array, weight: Array) -> nn.Module:
        """The cell with its weights: targets (total, outputs) count ``weight`` (total,), 0 where unknown."""
        raise NotImplementedError

    def _scalings(self, data: Experiments) -> Scalings:
        """Mean and deviation of the inputs, and of the targets that count."""
        return weighed_scalings(data, self.alignment.own_past)

    def _rules(self) -> Mapping[str, Rule]:
        """What the parameters of this class must be, beside the common rules."""
        return {}

    # ---------------------------------------------------------------- the parts

    @property
    def alignment(self) -> Alignment:
        """How outputs stand beside inputs."""
        return Alignment(warmup=self.warmup or 0, own_past=of_level(self.autoregression))

    def _untrained(self) -> nn.Module:
        return with_own_past(self._network(self.n_features_in_, self.n_outputs_), self.alignment.own_past)

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the weights.

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
            check_parameters(self, ONE_LAG | dict(self._rules()))
            self.fitted_params_ = self.get_params(deep=False)
            data = measured_examples(self, read_inputs(self, X, True, self.alignment.missing), y, sample_weight, True)
            keep_scalings(self, self._scalings(data))
            with torch.no_grad():
                network = self._solved(*solving_pairs(self, data), data.weight)
            keep_network(self, network, data.sequences)
        return self

    # ---------------------------------------------------------------- predicting

    predict = predict_numbers
    estimate_state = estimate_start
    score = score_r2


# -------------------------------------------------------------------- what a solution is made of


def of_level(own: Autoregression | None) -> Autoregression | None:
    """Own past as a solved model uses it: a linear model of the change is one of the level."""
    return own and replace(own, residual=False)


def measured_examples(
    estimator: SequenceEstimator, sequences: Sequences, y: Any, sample_weight: Any, reset: bool
) -> Experiments:
    """Inputs, and targets beside them with what they count; widths are remembered with ``reset``, else checked.

    Nothing counts in the warm-up, and where the target or a last value is not known.
    """
    targets = estimator.targets_beside(sequences, y)
    measured = numbers_beside(estimator, targets, y, reset)
    sequences, alignment = targets.sequences, estimator.alignment
    known: Any = ~(np.isnan(measured).any(axis=1) | np.isnan(sequences.rows).any(axis=1))
    warmup = warmup_steps(alignment.warmup, alignment.window, sequences.lengths)
    given = as_weights(sample_weight, sequences)
    counts: Array = known * (1.0 if given is None else given)
    counts = counts * (sequences.steps >= np.repeat(warmup, sequences.lengths))
    if np.count_nonzero(counts) < 2:
        raise ValueError(
            f"Only {np.count_nonzero(counts)} of n_samples={len(counts)} steps have a known target after the "
            "warm-up; at least 2 are needed."
        )
    return Experiments(sequences, measured, counts)


def weighed_scalings(data: Experiments, own: Autoregression | None) -> Scalings:
    """Mean and deviation of the inputs, and of the targets that count."""
    rows = data.sequences.rows
    inputs = Scaling.fit(rows)
    targets = Scaling.fit(data.numbers[data.weight > 0]) if own is None else own.target_scaling(inputs)
    return Scalings(np.nanmean(rows, axis=0), inputs, targets)


def keep_scalings(estimator: SequenceEstimator, scalings: Scalings) -> None:
    """Let these be the units of the estimator's network."""
    estimator.input_mean_, estimator.input_scaling_, estimator.target_scaling_ = scalings


def keep_network(estimator: SequenceEstimator, network: nn.Module, sequences: Sequences) -> None:
    """Let this be the estimator's network, with its own past around it, and run over the data."""
    estimator.network_ = with_own_past(network, estimator.alignment.own_past).eval()
    estimator.state_ = run_network(estimator.network_, estimator.predictor_.rows(sequences))[1]


def solving_pairs(estimator: SequenceEstimator, data: Experiments) -> tuple[Rows, Array]:
    """Scaled inputs of the cell, and scaled targets, 0 where one is not known; unknown last values repeat."""
    sequences, own = data.sequences, estimator.alignment.own_past
    filled = sequences.rows
    if own is not None:
        series = np.repeat(np.arange(len(sequences.lengths)), sequences.lengths)
        filled = pd.DataFrame(filled).groupby(series).ffill().fillna(pd.Series(estimator.input_mean_)).to_numpy()
    x = usable(estimator.input_scaling_.apply(filled), filled, torch.zeros(0, dtype=torch.float64))
    starts, lengths = torch.as_tensor(sequences.starts), torch.as_tensor(sequences.lengths)
    unknown: Any = np.isnan(data.numbers).any(axis=1)
    scaled = np.where(unknown[:, None], 0.0, estimator.target_scaling_.apply(data.numbers))
    return Rows(x, x.new_zeros(len(x), 0), None, starts, lengths), scaled


def with_own_past(network: Any, own: Autoregression | None) -> nn.Module:
    """A network with its own past around it, if it has one, in float64."""
    network = network.to(dtype=torch.float64)
    return network if own is None else own.wrap(network, 1, (0,), 0).to(dtype=torch.float64)


def _has_one_lag(own: Any) -> bool:
    """Whether own past is what a solved model can use: the last value, one step ahead."""
    return own is None or (isinstance(own, Autoregression) and own.lags == own.horizon == 1 and not own.centred)


ONE_LAG: dict[str, Rule] = {"autoregression": (_has_one_lag, "None or a seqdyn.Autoregression of one lag and one step")}
"""What own past a solved model can use."""


def least_squares(regressors: Array, targets: Array, weight: Array) -> Array:
    """θ (regressors, outputs) minimising Σ_t w_t ‖y_t − φ_t θ‖², of smallest norm where it is not unique."""
    root = np.sqrt(weight)[:, None]
    return np.asarray(np.linalg.lstsq(regressors * root, targets * root, rcond=None)[0])

"""Estimators whose weights are solved for, not trained: y ≈ Φ θ by least squares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.codecs import usable
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import as_weights
from seqdyn.estimators.parameters import check_parameters
from seqdyn.estimators.sequence import unchanged_on_error
from seqdyn.estimators.tasks import NumberEstimator
from seqdyn.predictor import warmup_steps
from seqdyn.state import State
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run_network
from seqdyn.training.heads import Head, Squared

Array = np.ndarray[Any, Any]


class Measured(NamedTuple):
    """What is solved from: ``sequences``, ``numbers`` (total, outputs), NaN where a target is not known, and what every
    step counts, ``weight`` (total,)."""

    sequences: Sequences
    numbers: Array
    weight: Array


@dataclass(kw_only=True, repr=False, eq=False)
class ClosedFormEstimator(NumberEstimator):
    """A cell whose weights have a closed form, between the same scalings as every estimator.

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
    state_ : State
        After the last row of the training data; one row a series.
    """

    warmup: int | None = None
    autoregression: Autoregression | None = None

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        """An unsolved cell of these widths."""
        raise NotImplementedError

    def _solve(self, rows: Rows, targets: Array, weight: Array) -> None:
        """Set the weights of ``network_``: targets (total, outputs) count ``weight`` (total,), 0 where unknown."""
        raise NotImplementedError

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
            check_parameters(self)
            self.fitted_params_ = self.get_params(deep=False)
            data = self._measured_rows(X, y, sample_weight, reset=True)
            self._fit_scaling(data)
            self._solve_from(data)
        return self

    def _measured_rows(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> Measured:
        """Inputs, and targets beside them with what they count; widths are remembered with ``reset``, else checked."""
        sequences, numbers = self._beside(self._read_inputs(X, reset=reset), y, reset)
        return Measured(sequences, numbers, self._counted(sequences, numbers, as_weights(sample_weight, sequences)))

    def _counted(self, sequences: Sequences, numbers: Array, given: Array | None) -> Array:
        """What every step counts: nothing in the warm-up, and where the target or a last value is not known."""
        known: Any = ~(np.isnan(numbers).any(axis=1) | np.isnan(sequences.rows).any(axis=1))
        warmup = warmup_steps(self._warmup, self._window, sequences.lengths)
        counts: Array = known * (1.0 if given is None else given)
        counts = counts * (sequences.steps >= np.repeat(warmup, sequences.lengths))
        if np.count_nonzero(counts) < 2:
            raise ValueError(
                f"Only {np.count_nonzero(counts)} of n_samples={len(counts)} steps have a known target after the "
                "warm-up; at least 2 are needed."
            )
        return counts

    def _fit_scaling(self, data: Measured) -> None:
        """Mean and deviation of the inputs, and of the targets that count."""
        rows = data.sequences.rows
        self.input_mean_ = np.nanmean(rows, axis=0)
        self.input_scaling_ = Scaling.fit(rows)
        self.target_scaling_ = Scaling.fit(data.numbers[data.weight > 0])
        self._share_scaling()

    def _solve_from(self, data: Measured) -> None:
        """Set the network, and the state after the data."""
        self.network_ = self._unsolved()
        unknown: Any = np.isnan(data.numbers).any(axis=1)
        scaled = np.where(unknown[:, None], 0.0, self.target_scaling_.apply(data.numbers))
        with torch.no_grad():
            self._solve(self._solving_rows(data.sequences), scaled, data.weight)
        self.network_ = self._closed(self.network_).eval()
        self.state_: State = run_network(self.network_, self.predictor_.rows(data.sequences))[1]

    def _head(self) -> Head:
        return Squared()

    @property
    def _own_past(self) -> Autoregression | None:
        own = self.autoregression
        return own and replace(own, residual=False)

    def _solving_rows(self, sequences: Sequences) -> Rows:
        """Scaled inputs of the inner cell; last values that are not known repeat the one before."""
        filled = sequences.rows
        if self._own_past is not None:
            series = np.repeat(np.arange(len(sequences.lengths)), sequences.lengths)
            filled = pd.DataFrame(filled).groupby(series).ffill().fillna(pd.Series(self.input_mean_)).to_numpy()
        like = torch.zeros(0, dtype=self._precision, device=self._device)
        x = usable(self.input_scaling_.apply(filled), filled, like)
        starts, lengths = torch.as_tensor(sequences.starts), torch.as_tensor(sequences.lengths)
        return Rows(x, x.new_zeros(len(x), 0), None, starts, lengths)

    def _unsolved(self) -> nn.Module:
        return self._network(self.n_features_in_, self.n_outputs_).to(self._device, self._precision)

    def _closed(self, network: Any) -> nn.Module:
        """The network with its own past, if it has one."""
        own = self._own_past
        return network if own is None else own.wrap(network, 1, (0,), 0).to(self._device, self._precision)

    def _rebuild(self) -> nn.Module:
        return self._closed(self._unsolved())

    def _rules(self) -> dict[str, Any]:
        text = "None or a seqdyn.Autoregression of one lag and one step"
        return super()._rules() | {"autoregression": (_is_plain, text)}


def _is_plain(own: Any) -> bool:
    """Whether own past is what a solved model can use: the last value, one step ahead."""
    return own is None or (isinstance(own, Autoregression) and own.lags == own.horizon == 1 and not own.centred)


def least_squares(regressors: Array, targets: Array, weight: Array) -> Array:
    """θ (regressors, outputs) minimising Σ_t w_t ‖y_t − φ_t θ‖², of smallest norm where it is not unique."""
    root = np.sqrt(weight)[:, None]
    solution: Array = np.linalg.lstsq(regressors * root, targets * root, rcond=None)[0]
    return solution

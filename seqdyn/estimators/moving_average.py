"""Moving averages as regressors: filter every feature, then read out by least squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from sklearn.utils import Tags
from torch import Tensor, nn

from seqdyn.arrays import Array
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.composition import Readout
from seqdyn.estimators.closed_form import ClosedFormRegressor, least_squares
from seqdyn.estimators.documented import documented
from seqdyn.estimators.parameters import Rule, at_least
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run_network


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class MovingAverageRegressor(ClosedFormRegressor):
    """The stateless moving average: y_t = Σ_i c_i Σ_{k<K} w_{ik} x_{t-k,i} + b.

    Parameters
    ----------
    window : int, at least 1
        K.
    weights : {"uniform", "learned"}
        ``"uniform"``: w = 1/K, and the readout c, b by least squares. ``"learned"``: w by least squares too; exact for
        one output, for several by alternating between w and c.
    warmup : int or None
        Leading steps that carry no weight and no score.

    Attributes
    ----------
    cell_, state_
        See :class:`~seqdyn.estimators.closed_form.ClosedFormRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import MovingAverageRegressor
    >>> x = np.random.default_rng(0).normal(size=(200, 1))
    >>> y = (x[:, 0] + np.r_[0, x[:-1, 0]]) / 2
    >>> float(round(MovingAverageRegressor(window=2).fit(x, y).score(x, y), 4))
    1.0
    """

    window: int = 5
    weights: str = "uniform"

    def _rules(self) -> Mapping[str, Rule]:
        return {"window": at_least(1)}  # needed here

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        generator = torch.Generator()
        return Readout(MovingAverage(inputs, self.window, self.weights), outputs, generator=generator)

    def _solved(self, rows: Rows, targets: Array, weight: Array) -> nn.Module:
        network = self._network(self.n_features_in_, self.n_outputs_).double()
        _read_out(network, rows, targets, weight)
        if self.weights == "learned":
            lags = _lagged(rows, self.window)
            for _ in range(1 if targets.shape[1] == 1 else 20):
                _solve_window(network, lags, targets, weight)
                _read_out(network, rows, targets, weight)
        return network

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = self.weights == "uniform" and self.window > 1  # it blurs what is no series
        return tags


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class ExponentialMovingAverageRegressor(ClosedFormRegressor):
    """The stateful moving average with a readout: h_t = γ h_{t-1} + (1 − γ) x_t, y_t = c · h_t + b.

    Parameters
    ----------
    gamma : float in (0, 1) or None
        γ, shared by all features; None finds the one with the smallest squared error.
    warmup : int or None
        Leading steps that carry no weight and no score.

    Attributes
    ----------
    gamma_ : float
        γ.
    cell_, state_
        See :class:`~seqdyn.estimators.closed_form.ClosedFormRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from seqdyn import ExponentialMovingAverageRegressor
    >>> x = np.random.default_rng(0).normal(size=(300, 1))
    >>> y = pd.Series(x[:, 0]).ewm(alpha=0.2, adjust=False).mean()
    >>> round(ExponentialMovingAverageRegressor().fit(x, y).gamma_, 2)
    0.8
    """

    gamma: float | None = None

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        return _exponential(inputs, outputs, self.gamma_)

    def _solved(self, rows: Rows, targets: Array, weight: Array) -> nn.Module:
        self.gamma_ = _best_gamma(rows, targets, weight) if self.gamma is None else float(self.gamma)
        network = self._network(self.n_features_in_, self.n_outputs_).double()
        _read_out(network, rows, targets, weight)
        return network


def _exponential(inputs: int, outputs: int, gamma: float) -> Readout:
    """An exponential moving average of every feature, read out."""
    return Readout(ExponentialMovingAverage(inputs, gamma), outputs, generator=torch.Generator())


def _best_gamma(rows: Rows, targets: Array, weight: Array) -> float:
    """γ by a search over the time constant −1/ln γ on a logarithmic scale, refined around the best."""
    widths = rows.x.shape[1], targets.shape[1]

    def error(log_time: float) -> float:
        network = _exponential(*widths, float(np.exp(-np.exp(-log_time)))).double()
        return _read_out(network, rows, targets, weight)

    longest = np.log(max(10.0, float(rows.lengths.max())))
    grid = np.linspace(-2.0, longest, 30)
    best = int(np.argmin([error(point) for point in grid]))
    near = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(error, bounds=near, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(-np.exp(-found.x)))


def _solve_window(network: Any, lags: Array, targets: Array, weight: Array) -> None:
    """w and b for the readout c as it is."""
    readout = network.affine
    gain = readout.weight.numpy()  # (outputs, inputs)
    gain = np.where(np.abs(gain).max(axis=0) > 0, gain, 1.0)
    steps, window, inputs = lags.shape
    outputs = len(gain)
    regressors = np.einsum("oi,tki->otki", gain, lags).reshape(outputs * steps, window * inputs)
    offsets = np.kron(np.eye(outputs), np.ones((steps, 1)))
    wanted = targets.T.reshape(-1, 1)
    solution = least_squares(np.column_stack([regressors, offsets]), wanted, np.tile(weight, outputs))[:, 0]
    network.cell.weight.copy_(torch.as_tensor(solution[: window * inputs].reshape(window, inputs).T))


def _read_out(network: Any, rows: Rows, targets: Array, weight: Array) -> float:
    """Solve for the readout of the filtered features; returns the squared error."""
    filtered, _ = run_network(network.cell, rows)
    regressors = np.column_stack([filtered.numpy(), np.ones(len(filtered))])
    solution = least_squares(regressors, targets, weight)
    network.affine.weight.copy_(torch.as_tensor(solution[:-1].T))
    network.affine.bias.copy_(torch.as_tensor(solution[-1]))
    return float(np.sum(weight[:, None] * (targets - regressors @ solution) ** 2))


def _lagged(rows: Rows, window: int) -> Array:
    """x_{t-k} for k < K, 0 before a series begins: (total, window, inputs)."""
    x: Tensor = rows.x
    lags = np.zeros((len(x), window, x.shape[1]))
    for start, length in zip(rows.starts.tolist(), rows.lengths.tolist(), strict=True):
        for k in range(min(window, length)):
            lags[start + k : start + length, k] = x[start : start + length - k].numpy()
    return lags

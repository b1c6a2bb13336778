"""How far a forecast may be off, from errors in the past: their size, their growth with the steps, their law.

|e_ik| ≈ σ_i kᵃ                 error k steps ahead of series i
z = e_ik / (σ_i kᵃ)             all series, origins and steps together
quantile p, k steps ahead:      ŷ + σ_i kᵃ z_p
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, t

Array = np.ndarray[Any, Any]

FEW = 8.0
"""Windows below which a series leans on the others for the size of its errors, and on the normal law for its tails."""

SMALLEST = 1e-6
"""The smallest error, relative to the size of a series: no interval has width zero."""


@dataclass(frozen=True)
class ErrorGrowth:
    """Errors of past forecasts in short.

    Attributes
    ----------
    size : array, shape (series,)
        σ.
    power : float in [0, 1]
        a.
    scores : array, shape (errors,)
        |z|, sorted.
    skew : float
        How much further errors reach up than down: the ratio of the mean z above 0 and below.
    windows : array, shape (series,)
        How many horizons fit into the rows that were tested on.
    """

    size: Array
    power: float
    scores: Array
    windows: Array

    @classmethod
    def measured(cls, errors: Array, series: Array, usual: Array, windows: Array) -> ErrorGrowth:
        """From errors of forecasts that did not know what came.

        Parameters
        ----------
        errors : array, shape (origins, horizon)
            NaN where nothing is known.
        series : array of int, shape (origins,)
        usual : array, shape (series,)
            How much a series changes in one step, or season; above 0.
        windows : array, shape (series,)

        Returns
        -------
        ErrorGrowth
        """
        size = np.abs(errors) / usual[series][:, None]
        power = _power(size)
        steps = np.arange(1, errors.shape[1] + 1) ** power
        own, count = np.zeros(len(usual)), np.zeros(len(usual))
        np.add.at(own, series, np.nansum(size / steps, axis=1))
        np.add.at(count, series, (~np.isnan(size)).sum(axis=1))
        common = own.sum() / max(count.sum(), 1.0) if count.any() else 1.0
        own = np.where(count > 0, own / np.maximum(count, 1), common)
        alone = len(usual) == 1
        share = np.ones(1) if alone else windows / (windows + FEW / 2)
        sigma = usual * np.maximum(share * own + (1 - share) * common, SMALLEST)
        z = np.abs(errors) / (sigma[series][:, None] * steps)
        return cls(sigma, power, np.sort(z[~np.isnan(z)]), windows)

    def offsets(self, levels: Array, horizon: int, series: Array) -> Array:
        """What is added to a point forecast for every quantile, (origins, horizon, quantiles)."""
        steps = np.arange(1, horizon + 1) ** self.power
        factor = self._quantiles(np.abs(2 * levels - 1), series) * np.sign(levels - 0.5)
        return self.size[series][:, None, None] * steps[:, None] * factor[:, None, :]

    def _quantiles(self, shares: Array, series: Array) -> Array:
        """How many σ hold a share of the errors, (origins, shares); wider where the windows are few."""
        plain = norm.ppf(0.5 + shares / 2) * np.sqrt(np.pi / 2)
        effective = float(self.windows.sum()) * 2
        found = plain
        if len(self.scores) >= 20:
            rank = np.minimum(np.ceil((len(self.scores) + 1) * shares), len(self.scores)).astype(int) - 1
            trust = effective / (effective + FEW) * (effective * (1 - shares) / (1 + effective * (1 - shares)))
            found = trust * self.scores[rank] + (1 - trust) * plain
        freedom = np.maximum(2 * self.windows[series] + 1, 2.0)
        wider = t.ppf(0.5 + shares / 2, freedom[:, None]) / norm.ppf(0.5 + shares / 2)
        return found * wider


def _power(size: Array) -> float:
    """a of σ kᵃ by least squares of the logarithms of the mean errors by step."""
    count = (~np.isnan(size)).sum(axis=0)
    mean = np.nansum(size, axis=0) / np.maximum(count, 1)
    known = (count > 0) & (mean > 0)
    if known.sum() < 2:
        return 0.5
    x, y, w = np.log(np.arange(1, len(mean) + 1)[known]), np.log(mean[known]), count[known].astype(float)
    x = x - np.average(x, weights=w)
    slope = float((w * x * y).sum() / (w * x**2).sum())
    return float(np.clip(slope, 0.0, 1.0))

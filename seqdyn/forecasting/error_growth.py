"""How far a forecast may be off, from errors in the past: their size, their growth with the steps, their law.

    E|e_ik| = σ_i kᵃ                    the mean error k steps ahead of series i
    z = |e_ik| / (σ_i kᵃ)               of all series, origins and steps together
    ŷ ± σ_i kᵃ z_s                      the central interval that holds a share s

z_s is the quantile of z where many windows lie beyond it, that of the normal law where few do, and wider by Student's t
where a series has few windows of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from seqdyn.arrays import Array
from seqdyn.forecasting.error_quantiles import size_quantiles, student_factor

LEANING_WINDOWS = 8.0
"""Windows below which a series leans on the others for the size of its errors, and on the normal law for its tails."""

GUESS, GUESS_WINDOWS = 0.7, 0.5
"""The error of one step, in usual changes, that is guessed at first, and how many windows the guess counts as."""

ERRORS_PER_WINDOW, LEAST_SCORES = 2.0, 20
"""How many errors of a window count as independent; errors below which their own law is not looked at."""

LEAST_RELATIVE_ERROR = 1e-6
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
        z, sorted.
    windows : array, shape (series,)
        How many horizons fit into the rows that were tried.

    References
    ----------
    Lei et al. (2018), Distribution-Free Predictive Inference for Regression, section 5.2 (in units of the local size).

    Examples
    --------
    >>> errors = np.random.default_rng(0).normal(size=(200, 4)) * np.arange(1, 5)
    >>> growth = ErrorGrowth.from_errors(errors, np.zeros(200, int), np.ones(1), np.array([50.0]))
    >>> round(growth.power, 1), growth.offsets(np.array([0.1, 0.9]), 2, np.zeros(1, int)).round(1)[0].tolist()
    (1.0, [[-1.3, 1.3], [-2.6, 2.6]])
    """

    size: Array
    power: float
    scores: Array
    windows: Array

    @classmethod
    def from_errors(cls, errors: Array, series: Array, usual: Array, windows: Array) -> ErrorGrowth:
        """From errors (origins, horizon) of forecasts that did not know what came, NaN where nothing is known.

        ``usual``, above 0, is how much each series changes in one step, or season.
        """
        size = np.abs(errors) / usual[series][:, None]
        power = _power(size)
        steps = np.arange(1, errors.shape[1] + 1) ** power
        own, count = np.zeros(len(usual)), np.zeros(len(usual))
        np.add.at(own, series, np.nansum(size / steps, axis=1))
        np.add.at(count, series, (~np.isnan(size)).sum(axis=1))
        all_windows = float(windows.sum())
        guess = GUESS_WINDOWS / (1 + all_windows**2)
        common = (all_windows * own.sum() / max(count.sum(), 1.0) + guess * GUESS) / (all_windows + guess)
        own = np.where(count > 0, own / np.maximum(count, 1), common)
        trust = GUESS_WINDOWS / (1 + windows**2) if len(usual) == 1 else LEANING_WINDOWS / 2
        sigma = usual * np.maximum((windows * own + trust * common) / (windows + trust), LEAST_RELATIVE_ERROR)
        z = np.abs(errors) / (sigma[series][:, None] * steps)
        return cls(sigma, power, np.sort(z[~np.isnan(z)]), windows)

    def offsets(self, levels: Array, horizon: int, series: Array) -> Array:
        """What is added to a point forecast for every quantile, (origins, horizon, quantiles)."""
        steps = np.arange(1, horizon + 1) ** self.power
        factor = self._quantiles(np.abs(2 * levels - 1), series) * np.sign(levels - 0.5)
        return self.size[series][:, None, None] * steps[:, None] * factor[:, None, :]

    def _quantiles(self, shares: Array, series: Array) -> Array:
        """How many σ hold a share of the errors, (origins, shares); wider where the windows are few."""
        normal = norm.ppf(0.5 + shares / 2)
        found = normal * np.sqrt(np.pi / 2)
        if len(self.scores) >= LEAST_SCORES:
            independent = ERRORS_PER_WINDOW * float(self.windows.sum())
            beyond = independent * (1 - shares)
            trust = independent / (independent + LEANING_WINDOWS) * beyond / (1 + beyond)
            found = trust * size_quantiles(self.scores, shares) + (1 - trust) * found
        freedom = np.maximum(ERRORS_PER_WINDOW * self.windows[series] + 1, 2.0)
        return np.where(normal > 0, found * student_factor(0.5 + shares / 2, freedom[:, None]), 0.0)


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

"""Bootstrap intervals: of a median over sequences, and of a ratio of errors that follow each other in time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.dynamics.gradients import known_quantiles

RESAMPLES, INTERVAL_PERCENT = 2000, 95
"""How many times the data are resampled, and the percentage that an interval covers."""

TINY = 1e-300
"""The smallest divisor."""


class Estimate(NamedTuple):
    """A median with its bootstrap interval."""

    median: float
    low: float
    high: float


def estimate(values: Array, seed: int) -> Estimate:
    """The median of all values with its 95 % interval, for which sequences are resampled; NaN is left out.

    Values are (sequences, errors). Of a single sequence the errors are resampled: they depend on each other, and the
    interval is too narrow.

    Examples
    --------
    >>> estimate(np.array([[1.0, np.nan], [3.0, 2.0], [2.0, 2.0]]), seed=0)
    Estimate(median=2.0, low=1.0, high=2.5)
    """
    rows = values if len(values) > 1 else values.T
    rows = rows[~np.isnan(rows).all(axis=1)]
    if not len(rows):
        return Estimate(np.nan, np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(len(rows), size=(RESAMPLES, len(rows)))
    pooled = torch.as_tensor(rows[drawn].reshape(RESAMPLES, -1).T)
    medians = known_quantiles(pooled, [0.5])[:, 0].sort().values
    tails = (1 - INTERVAL_PERCENT / 100) / 2, (1 + INTERVAL_PERCENT / 100) / 2
    low, high = (float(medians[round(share * (RESAMPLES - 1))]) for share in tails)
    return Estimate(median(rows), low, high)


def median(values: Array) -> float:
    """The median of all values but NaN; infinities count."""
    return sample_quantiles(values, [0.5])[0]


def sample_quantiles(values: Array, levels: list[float]) -> list[float]:
    """Quantiles of all values but NaN; infinities count.

    Examples
    --------
    >>> sample_quantiles(np.array([1.0, 2.0, np.nan, 3.0]), [0.0, 0.25])
    [1.0, 1.5]
    """
    found: list[float] = known_quantiles(torch.as_tensor(values).reshape(-1, 1), levels)[0].tolist()
    return found


def block_length(difference: Array, series: Array) -> int:
    """Rows in a block: twice the integrated autocorrelation time of a difference of squared errors.

    The autocorrelation is summed up to its first lag that is not positive. ``series`` has the number of every row's
    series.
    """
    centred = difference - difference.mean()
    power = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    correlation = np.fft.irfft(power)[: len(centred)] / max(float(centred @ centred), TINY)
    negative = np.flatnonzero(correlation <= 0)
    total = 2 * correlation[: negative[0] if len(negative) else None].sum() - 1
    rows = np.bincount(series)
    shortest = int(rows[rows > 0].min())
    wanted = np.clip(2 * total, len(centred) ** (1 / 3), len(centred) / 5)
    return int(np.clip(np.ceil(wanted), 1, shortest))


def improvement_interval(
    linear: Array, nonlinear: Array, series: Array, length: int, generator: np.random.Generator
) -> tuple[float, float]:
    """The interval of 1 − RMSE / RMSE by a block bootstrap over rows and seeds (Künsch 1989).

    Squared errors are (seeds, rows); ``series`` has the number of the series of every row, and no block of ``length``
    rows crosses the border of two.
    """
    starts = np.flatnonzero(series[: len(series) - length + 1] == series[length - 1 :])
    drawn = generator.integers(len(starts), size=(RESAMPLES, -(-len(series) // length)))

    def resampled(squares: Array) -> Array:
        total = np.pad(np.cumsum(squares, axis=1), ((0, 0), (1, 0)))
        blocks = total[:, starts + length] - total[:, starts]  # (seeds, starts)
        errors = np.sqrt(np.stack([one[drawn].mean(axis=1) for one in blocks]))  # (seeds, draws)
        seeds = generator.integers(len(errors), size=errors.shape)
        return np.take_along_axis(errors, seeds, axis=0).mean(axis=0)

    shares = 1 - resampled(nonlinear) / np.maximum(resampled(linear), TINY)
    low, high = np.percentile(shares, [50 - INTERVAL_PERCENT / 2, 50 + INTERVAL_PERCENT / 2])
    return float(low), float(high)

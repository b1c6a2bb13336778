"""The interval of a ratio of errors that follow each other in time."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DRAWS, LEVEL = 2000, 95
"""Resamples, and the percentage the interval should cover."""

TINY = 1e-300
"""Nothing is divided by less."""


def block_length(difference: Array, series: Array) -> int:
    """Twice the integrated autocorrelation time of a difference of squared errors, up to its first negative lag."""
    centred = difference - difference.mean()
    spectrum = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    correlation = np.fft.irfft(spectrum)[: len(centred)] / max(float(centred @ centred), TINY)
    negative = np.flatnonzero(correlation <= 0)
    total = 2 * correlation[: negative[0] if len(negative) else None].sum() - 1
    rows = np.bincount(series)
    shortest = int(rows[rows > 0].min())
    wanted = np.clip(2 * total, len(centred) ** (1 / 3), len(centred) / 5)
    return int(np.clip(np.ceil(wanted), 1, shortest))


def bootstrap(
    linear: Array, nonlinear: Array, series: Array, length: int, generator: np.random.Generator
) -> tuple[float, float]:
    """The interval of 1 − RMSE / RMSE, where blocks of neighbouring rows and seeds are drawn anew (Künsch 1989)."""
    starts = np.flatnonzero(series[: len(series) - length + 1] == series[length - 1 :])
    drawn = generator.integers(len(starts), size=(DRAWS, -(-len(series) // length)))

    def resampled(squares: Array) -> Array:
        total = np.pad(np.cumsum(squares, axis=1), ((0, 0), (1, 0)))
        blocks = total[:, starts + length] - total[:, starts]  # (seeds, starts)
        errors = np.sqrt(np.stack([one[drawn].mean(axis=1) for one in blocks]))  # (seeds, draws)
        seeds = generator.integers(len(errors), size=errors.shape)
        return np.take_along_axis(errors, seeds, axis=0).mean(axis=0)

    shares = 1 - resampled(nonlinear) / np.maximum(resampled(linear), TINY)
    low, high = np.percentile(shares, [50 - LEVEL / 2, 50 + LEVEL / 2])
    return float(low), float(high)

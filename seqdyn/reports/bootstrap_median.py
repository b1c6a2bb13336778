"""The median of what several sequences say, with its bootstrap interval: sequences are drawn anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from seqdyn.dynamics.gradients import known_quantiles

Array = np.ndarray[Any, Any]

DRAWS, LEVEL = 2000, 0.95
"""Resamples, and how much of them an interval holds."""


class Estimate(NamedTuple):
    """A median with its bootstrap interval."""

    median: float
    low: float
    high: float


def estimate(values: Array, seed: int) -> Estimate:
    """The median of all values and its 95 % interval: sequences are drawn anew, NaN is left out.

    A single sequence has nothing to be drawn but its errors, which follow each other and make the interval too narrow.

    Parameters
    ----------
    values : array, shape (sequences, errors)
    seed : int

    Examples
    --------
    >>> estimate(np.array([[1.0, np.nan], [3.0, 2.0], [2.0, 2.0]]), seed=0)
    Estimate(median=2.0, low=1.0, high=2.5)
    """
    rows = values if len(values) > 1 else values.T
    rows = rows[~np.isnan(rows).all(axis=1)]
    if not len(rows):
        return Estimate(np.nan, np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(len(rows), size=(DRAWS, len(rows)))
    pooled = torch.as_tensor(rows[drawn].reshape(DRAWS, -1).T)
    medians = known_quantiles(pooled, [0.5])[:, 0].sort().values
    low, high = (float(medians[round(share * (DRAWS - 1))]) for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(median(rows), low, high)


def median(values: Array) -> float:
    """The median of what is not NaN; infinities are values.

    Examples
    --------
    >>> median(np.array([-np.inf, 2.0, np.nan]))
    -inf
    """
    return quantiles(values, [0.5])[0]


def quantiles(values: Array, levels: list[float]) -> list[float]:
    """Quantiles of what is not NaN; infinities are values.

    Examples
    --------
    >>> quantiles(np.array([1.0, 2.0, np.nan, 3.0]), [0.0, 0.25])
    [1.0, 1.5]
    """
    found: list[float] = known_quantiles(torch.as_tensor(values).reshape(-1, 1), levels)[0].tolist()
    return found

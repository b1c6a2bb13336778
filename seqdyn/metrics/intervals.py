"""Scores of prediction intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.metrics.observed import columns_alike, mean_of_known, ratio
from seqdyn.metrics.scaled import naive_error


def interval_score(y: Any, lower: Any, upper: Any, level: float = 95.0) -> float:
    """Mean interval score, mean (u − l) + (2/α) (l − y)⁺ + (2/α) (y − u)⁺, with α = 1 − level/100, in the unit of y.

    It is (2/α) (ρ_{α/2}(y, l) + ρ_{1−α/2}(y, u)): narrow is good, missing y is paid for. Missing observations are left
    out.

    Parameters
    ----------
    y, lower, upper : array-like, of one shape
    level : float in (1, 100)
        The percentage that should lie inside: 80 means the quantiles 0.1 and 0.9.

    Returns
    -------
    float
        NaN if nothing is known.

    References
    ----------
    Gneiting & Raftery (2007), Strictly Proper Scoring Rules, Prediction, and Estimation, section 6.2.

    Examples
    --------
    >>> interval_score([1.0, 5.0], [0.0, 0.0], [4.0, 4.0], level=80)
    9.0
    """
    y, lower, upper = columns_alike(y, lower=lower, upper=upper)
    return mean_of_known(_checked_interval(y, lower, upper, level), y)


def msis(y: Any, lower: Any, upper: Any, training: Any, season_length: int = 1, level: float = 95.0) -> float:
    """Mean scaled interval score, the interval score divided by Q of :func:`mase`; M4 uses the level 95.

    The mean over outputs. Missing observations are left out.

    Parameters
    ----------
    y, lower, upper : array-like, shape (horizon,) or (horizon, outputs)
        Of one series.
    training : array-like, shape (n,) or (n, outputs)
    season_length : int, at least 1
        m, in steps.
    level : float in (1, 100)
        The percentage that should lie inside.

    Returns
    -------
    float
        NaN where it is not defined, as in :func:`mase`.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61 forecasting methods.

    Examples
    --------
    >>> msis([1.0, 5.0], [0.0, 0.0], [4.0, 4.0], training=[1.0, 3.0, 5.0], level=80)
    4.5
    """
    y, lower, upper = columns_alike(y, lower=lower, upper=upper)
    score = _checked_interval(y, lower, upper, level)
    error = np.array([mean_of_known(score[:, i], y[:, i]) for i in range(y.shape[1])])
    return float(np.mean(ratio(error, naive_error(training, season_length, 1, y.shape[1]))))


def coverage(y: Any, lower: Any, upper: Any) -> float:
    """The share of observations inside their interval, mean 1{l ≤ y ≤ u}; missing ones are left out.

    Parameters
    ----------
    y, lower, upper : array-like, of one shape

    Returns
    -------
    float
        Between 0 and 1, to be compared with level / 100; NaN if nothing is known, or a bound beside a known y is NaN.

    Examples
    --------
    >>> coverage([1.0, 5.0, np.nan], [0.0, 0.0, 0.0], [4.0, 4.0, 4.0])
    0.5
    """
    y, lower, upper = columns_alike(y, lower=lower, upper=upper)
    inside = ((lower <= y) & (y <= upper)).astype(np.float64)
    return mean_of_known(np.where(np.isnan(lower) | np.isnan(upper), np.nan, inside), y)


def _checked_interval(y: Array, lower: Array, upper: Array, level: float) -> Array:
    if not 1 < level < 100:
        raise ValueError(f"level is a percentage between 1 and 100, got {level!r}: 95, not 0.95.")
    alpha = 1 - level / 100
    score: Array = upper - lower + 2 / alpha * (np.maximum(lower - y, 0) + np.maximum(y - upper, 0))
    return score

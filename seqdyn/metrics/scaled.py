"""Errors on the scale of the past of the same series, which makes them comparable between series."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.metrics.observed import columns_alike, flat_columns, mean_of_known, ratio


def mase(y: Any, predicted: Any, training: Any, season_length: int = 1) -> float:
    """Mean absolute scaled error, mean |y − ŷ| / Q, with Q = mean_{t>m} |y_t − y_{t−m}| of the training part alone.

    Q is the error of the seasonal naive forecast where it was fitted, one step of length m ahead. The mean over
    outputs. Missing observations are left out, in y and in pairs of the training part.

    Parameters
    ----------
    y, predicted : array-like, shape (horizon,) or (horizon, outputs)
        Of one series. For many series take the mean of theirs.
    training : array-like, shape (n,) or (n, outputs)
        The series up to the forecast.
    season_length : int, at least 1
        m, in steps.

    Returns
    -------
    float
        At least 0; NaN where it is not defined: n ≤ m, or Q = 0 (a series that repeats itself exactly). Leave such
        series out of a mean over series, and say how many there were.

    References
    ----------
    Hyndman & Koehler (2006), Another look at measures of forecast accuracy.

    Examples
    --------
    >>> mase([4.0, 5.0], [4.0, 4.0], training=[1.0, 2.0, 3.0])
    0.5
    >>> mase([4.0, 5.0], [4.0, 4.0], training=[3.0, 3.0, 3.0])
    nan
    """
    y, predicted = columns_alike(y, predicted=predicted)
    error = np.array([mean_of_known(np.abs(y - predicted)[:, i], y[:, i]) for i in range(y.shape[1])])
    return float(np.mean(ratio(error, naive_error(training, season_length, 1, y.shape[1]))))


def rmsse(y: Any, predicted: Any, training: Any, season_length: int = 1) -> float:
    """Root mean squared scaled error, sqrt(mean (y − ŷ)² / mean_{t>m} (y_t − y_{t−m})²), the latter of training alone.

    With m = 1 as in M5. The mean over outputs. Missing observations are left out, in y and in pairs of the training
    part.

    Parameters
    ----------
    y, predicted : array-like, shape (horizon,) or (horizon, outputs)
        Of one series.
    training : array-like, shape (n,) or (n, outputs)
    season_length : int, at least 1
        m, in steps.

    Returns
    -------
    float
        At least 0; NaN where it is not defined, as in :func:`mase`.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2022), The M5 competition: Background, organization, and implementation.

    Examples
    --------
    >>> rmsse([4.0, 5.0], [4.0, 3.0], training=[1.0, 2.0, 3.0])
    1.4142135623730951
    """
    y, predicted = columns_alike(y, predicted=predicted)
    error = np.array([mean_of_known((y - predicted)[:, i] ** 2, y[:, i]) for i in range(y.shape[1])])
    return float(np.mean(np.sqrt(ratio(error, naive_error(training, season_length, 2, y.shape[1])))))


def owa(smape: float, mase: float, smape_naive2: float, mase_naive2: float) -> float:
    """Overall weighted average of M4, ½ (sMAPE / sMAPE_Naive2 + MASE / MASE_Naive2); 1 is as good as Naive2.

    Parameters
    ----------
    smape, mase : float
        Averaged over all series first: this is a ratio of means, not a mean of ratios.
    smape_naive2, mase_naive2 : float
        The same of the benchmark Naive2, the last value after a seasonal adjustment.

    Returns
    -------
    float
        At least 0.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61 forecasting methods.

    Examples
    --------
    >>> owa(9.1915, 2.395, smape_naive2=18.383, mase_naive2=2.395)
    0.75
    """
    return 0.5 * (smape / smape_naive2 + mase / mase_naive2)


def naive_error(training: Any, season_length: int, power: int, outputs: int) -> Array:
    """mean_{t>m} |y_t − y_{t−m}|^p of every output; 0 or NaN where it cannot scale anything."""
    check_count("season_length", season_length)
    past = flat_columns(training)
    if past.shape[1] != outputs:
        raise ValueError(f"training has {past.shape[1]} outputs, y has {outputs}: both must be of the same series.")
    change = np.abs(past[season_length:] - past[:-season_length]) ** power
    return np.array([mean_of_known(column, column) for column in change.T])

"""Errors of point predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.metrics.observed import columns_alike, mean_of_known, ratio


def fit_percent(y: Any, predicted: Any) -> float:
    """FIT = 100 (1 − ‖y − ŷ‖ / ‖y − ȳ‖), in percent; the mean over outputs.

    100 is perfect, 0 is as good as the mean of y, and it may be negative. Missing observations (NaN in y) are left out.

    Parameters
    ----------
    y, predicted : array-like, shape (time,) or (time, outputs)

    Returns
    -------
    float
        At most 100; −inf where y is constant and ŷ is not y.

    References
    ----------
    Ljung (1999), System Identification, section 16.

    Examples
    --------
    >>> fit_percent([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    100.0
    """
    y, predicted = columns_alike(y, predicted=predicted)
    known = ~np.isnan(y)
    return float(np.mean([_fit_percent(y[one, i], predicted[one, i]) for i, one in enumerate(known.T)]))


def _fit_percent(y: Array, predicted: Array) -> float:
    error = float(np.linalg.norm(y - predicted))
    spread = float(np.linalg.norm(y - y.mean())) if len(y) else np.nan
    if error == 0 and len(y):
        return 100.0
    return 100 * (1 - error / spread) if spread else -np.inf


def rmse(y: Any, predicted: Any) -> float:
    """Root mean squared error, sqrt(mean((y − ŷ)²)), in the unit of y; missing observations are left out.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        At least 0; NaN if nothing is known.

    Examples
    --------
    >>> rmse([1.0, 1.0], [1.0, 3.0])
    1.4142135623730951
    """
    y, predicted = columns_alike(y, predicted=predicted)
    return float(np.sqrt(mean_of_known((y - predicted) ** 2, y)))


def mae(y: Any, predicted: Any) -> float:
    """Mean absolute error, mean |y − ŷ|, in the unit of y; missing observations are left out.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        At least 0; NaN if nothing is known.

    Examples
    --------
    >>> mae([1.0, np.nan, 3.0], [2.0, 7.0, 3.0])
    0.5
    """
    y, predicted = columns_alike(y, predicted=predicted)
    return mean_of_known(np.abs(y - predicted), y)


def mape(y: Any, predicted: Any) -> float:
    """Mean absolute percentage error, 100 mean(|y − ŷ| / |y|), in percent; missing observations are left out.

    Not defined where y is 0: then it is NaN. It punishes forecasts that are too high more than those too low.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        At least 0, in percent; NaN if a known y is 0, or nothing is known.

    References
    ----------
    Hyndman & Koehler (2006), Another look at measures of forecast accuracy.

    Examples
    --------
    >>> mape([100.0, 200.0], [110.0, 180.0])
    10.0
    >>> mape([0.0, 200.0], [0.0, 180.0])
    nan
    """
    y, predicted = columns_alike(y, predicted=predicted)
    return 100 * mean_of_known(ratio(np.abs(y - predicted), np.abs(y)), y)


def smape(y: Any, predicted: Any) -> float:
    """Symmetric MAPE as in M4, 200 mean(|y − ŷ| / (|y| + |ŷ|)), between 0 and 200; 0/0 counts as 0.

    Missing observations (NaN in y) are left out. Other definitions are a half or a hundredth of this one.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        Between 0 and 200, in percent; NaN if nothing is known.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61 forecasting methods.

    Examples
    --------
    >>> smape([1.0, 0.0], [3.0, 0.0]), smape([1.0], [-1.0])
    (50.0, 200.0)
    """
    y, predicted = columns_alike(y, predicted=predicted)
    error, size = np.abs(y - predicted), np.abs(y) + np.abs(predicted)
    return 200 * mean_of_known(np.where(size == 0, 0.0, ratio(error, size)), y)

"""Scores, with their exact definitions. Missing targets and warm-up rows are left out before they come here."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def fit_percent(y: Any, predicted: Any) -> float:
    """FIT = 100 (1 − ‖y − ŷ‖ / ‖y − ȳ‖), in percent; the mean over outputs.

    100 is perfect, 0 is as good as the mean of y, and it may be negative.

    Parameters
    ----------
    y, predicted : array-like, shape (time,) or (time, outputs)

    References
    ----------
    Ljung (1999), System Identification, section 16.

    Examples
    --------
    >>> fit_percent([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    100.0
    """
    y, predicted = _columns(y), _columns(predicted)
    error = np.linalg.norm(y - predicted, axis=0)
    spread = np.linalg.norm(y - y.mean(axis=0), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0.0, error / spread)
    return float(np.mean(100 * (1 - ratio)))


def rmse(y: Any, predicted: Any) -> float:
    """Root mean squared error, sqrt(mean((y − ŷ)²)), in the unit of y.

    Examples
    --------
    >>> rmse([1.0, 1.0], [1.0, 3.0])
    1.4142135623730951
    """
    return float(np.sqrt(np.mean((_columns(y) - _columns(predicted)) ** 2)))


def _columns(values: Any) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(len(array), -1)

"""Losses of quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.metrics.observed import columns_alike, mean_of_known, ratio, with_last_axis


def pinball(y: Any, predicted: Any, quantile: float) -> float:
    """Mean pinball loss, mean ρ_q(y, z), with ρ_q(y, z) = max(q (y − z), (q − 1) (y − z)), in the unit of y.

    Smallest in expectation where z is the q-quantile. ρ_0.5 is half the absolute error. Missing observations are left
    out.

    Parameters
    ----------
    y, predicted : array-like, of one shape
    quantile : float in (0, 1)
        q.

    Returns
    -------
    float
        At least 0; NaN if nothing is known.

    References
    ----------
    Koenker & Bassett (1978), Regression Quantiles.

    Examples
    --------
    >>> pinball([1.0, 3.0], [2.0, 2.0], quantile=0.75)
    0.5
    """
    y, predicted = columns_alike(y, predicted=predicted)
    return mean_of_known(_pinball(y, predicted, *_checked_levels([quantile])), y)


def wql(y: Any, predicted: Any, quantiles: Any) -> float:
    """Weighted quantile loss, mean_q 2 Σ ρ_q(y, z_q) / Σ |y|: everything is pooled before dividing.

    Of a point forecast, the same at all quantiles that lie symmetrically about a half, it is Σ |y − ŷ| / Σ |y|.
    Missing observations are left out.

    Parameters
    ----------
    y : array-like
        All series and steps.
    predicted : array-like, shape (*y.shape, quantiles)
        z_q, the quantiles on the last axis.
    quantiles : sequence of float in (0, 1)

    Returns
    -------
    float
        At least 0; NaN if y is 0 everywhere, or nothing is known.

    References
    ----------
    Salinas et al. (2020), DeepAR: Probabilistic forecasting with autoregressive recurrent networks.

    Examples
    --------
    >>> wql([2.0, 4.0], [[1.0, 3.0], [3.0, 5.0]], quantiles=[0.25, 0.75])
    0.16666666666666666
    """
    levels = _checked_levels(quantiles)
    y, values = with_last_axis(y, predicted, "quantiles", len(levels))
    known = ~np.isnan(y)
    loss = _pinball(y[..., None], values, levels)[known]
    return float(ratio(2 * loss.sum() / len(levels), np.abs(y[known]).sum()))


def _pinball(y: Array, z: Array, quantile: Array) -> Array:
    loss: Array = np.maximum(quantile * (y - z), (quantile - 1) * (y - z))
    return loss


def _checked_levels(quantiles: Any) -> Array:
    levels = np.asarray(quantiles, dtype=np.float64)
    if levels.ndim != 1 or not len(levels) or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"Quantiles lie between 0 and 1, got {quantiles!r}: 0.9, not 90.")
    return levels

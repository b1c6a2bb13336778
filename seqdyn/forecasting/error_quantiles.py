"""From errors in the past to quantiles of a forecast: ranks where there are many errors, Student's t where few.

Ridge autoregressions, conformal intervals and error growth differ in what they divide errors by, and share these.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from seqdyn.arrays import Array

ROUNDED = 1e-9
"""What a rank may be off by rounding."""

ERRORS_BEYOND = 4
"""How many past errors must lie beyond a quantile for it to be read off them."""

PRIOR_ERRORS = 10
"""How many errors of its own step weigh as much as the line through all steps."""


def error_quantiles(errors: Array, levels: Array, walk: Array) -> Array:
    """Quantiles about a point forecast at every step, (series, horizon, quantiles).

        t_ν(q) σ_k,    σ_k² = (1 + (k − 1)/N_1) (N_k m_k + 10 (a + b (k − 1))) / (N_k + 10)

    m_k is the mean square of the N_k errors y − ŷ at step k, of errors (series, horizon, origins), which are NaN where
    there is none; a and b ≥ 0 are their line over the steps, ν = N_1/2 and at least 2: errors of neighbouring origins
    overlap, the more the farther they look, and share one estimate of the trend. Where (N_k + 1) times the tail is at
    least 4, the quantile is the ⌈(N_k + 1) q⌉-th of the sorted errors instead. Upper quantiles are never below the
    point, lower ones never above. ``walk`` is the deviation of one step of series without any error; it grows as that
    of a random walk.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, section 4.2 (the rank of split conformal
    prediction).

    Examples
    --------
    >>> many = np.arange(-50.0, 51.0)[None, None]
    >>> error_quantiles(many, np.array([0.1, 0.5, 0.9]), np.ones(1)).tolist()
    [[[-41.0, 0.0, 41.0]]]
    """
    count = (~np.isnan(errors)).sum(axis=2)
    freedom = np.maximum(count[:, :1] / 2, 2.0)[..., None]
    wide = student.ppf(levels, freedom) * np.sqrt(error_variance(errors, walk))[..., None]
    enough = (count[..., None] + 1) * np.minimum(levels, 1 - levels) >= ERRORS_BEYOND
    found = np.where(enough, ranked_quantiles(errors, levels), wide)
    low, high = np.where(levels > 0.5, 0.0, -np.inf), np.where(levels < 0.5, 0.0, np.inf)
    return np.sort(np.clip(found, low, high), axis=2)


def error_variance(errors: Array, walk: Array) -> Array:
    """σ_k² of :func:`error_quantiles`, shape (series, horizon)."""
    count = (~np.isnan(errors)).sum(axis=2)
    square = np.nansum(errors**2, axis=2) / np.maximum(count, 1)
    step = np.arange(count.shape[1])
    line = _rising_line(square, count / (step + 1.0) ** 2, step)
    found = (count * square + PRIOR_ERRORS * line) / (count + PRIOR_ERRORS) * (1 + step / np.maximum(count[:, :1], 1))
    return np.where(count[:, :1] > 0, found, walk[:, None] ** 2 * (step + 1.0))


def _rising_line(values: Array, weight: Array, step: Array) -> Array:
    """The weighted straight line over the steps that neither falls nor starts below 0, at all steps."""
    total = np.maximum(weight.sum(axis=1), 1e-300)
    mean, middle = (weight * values).sum(axis=1) / total, (weight * step).sum(axis=1) / total
    off = step - middle[:, None]
    size = (weight * off**2).sum(axis=1)
    slope = np.maximum((weight * off * values).sum(axis=1) / np.where(size > 0, size, 1.0), 0.0)
    slope = np.minimum(slope, mean / np.where(middle > 0, middle, np.inf)) * (middle > 0)
    return mean[:, None] + slope[:, None] * off


def ranked_quantiles(errors: Array, levels: Array) -> Array:
    """Split-conformal quantiles of errors along the last axis, (…, quantiles); NaN where they are too few for one.

    Of n known errors the p-quantile is the one of rank ⌈(n + 1) p⌉, and of −errors for p < ½: a new error exceeds it
    with probability at most 1 − p.

    Examples
    --------
    >>> ranked_quantiles(np.arange(9.0), np.array([0.1, 0.5, 0.95]))
    array([ 0.,  4., nan])
    """
    count = (~np.isnan(errors)).sum(axis=-1)[..., None]
    exact = (count + 1) * levels
    rank = np.where(levels >= 0.5, np.ceil(exact - ROUNDED), np.floor(exact + ROUNDED)).astype(np.int64)
    place = np.clip(rank, 1, np.maximum(count, 1)) - 1
    return np.where((rank >= 1) & (rank <= count), np.take_along_axis(np.sort(errors, axis=-1), place, axis=-1), np.nan)


def size_quantiles(sizes: Array, shares: Array) -> Array:
    """The sizes |e|, given sorted, that shares of new ones do not exceed, by the same rank; the largest at most."""
    rank = np.ceil((len(sizes) + 1) * shares - ROUNDED).astype(np.int64)
    found: Array = sizes[np.clip(rank, 1, len(sizes)) - 1]
    return found


def student_factor(tail: Array | float, freedom: Array | float) -> Array:
    """t_{p,ν} / z_p: how much wider an interval is because ν is small; 1 in the middle, p = ½."""
    normal = norm.ppf(tail)
    found: Array = np.where(normal > 0, student.ppf(tail, freedom) / np.where(normal > 0, normal, 1.0), 1.0)
    return found

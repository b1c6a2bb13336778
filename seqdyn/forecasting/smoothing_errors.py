"""How wide the intervals of exponential smoothing are: the error of one step, and its growth with the steps.

    ν = n − parameters − states              the states are the level, the trend and m − 1 of the season
    σ² = (1 + states / n) Σ e² / ν           the error of the next step, and that of the states that it starts from
    σ_k² = σ² (1 + Σ_{j<k} r_{k,j}²)         r_{k,j}, what an error at step j does to the forecast of step k

Where ν is small, errors of the fit tell little: σ² is then at least the mean squared difference of successive values,
what nothing but the last value would be wrong by, and ν is n − 1.
"""

from __future__ import annotations

import numpy as np

from seqdyn.arrays import Array
from seqdyn.forecasting.smoothing import LEAST_FACTOR, Form, SmoothingState

ENOUGH = 5
"""With a smaller ν errors of the fit tell nothing."""


def one_step(errors: Array, values: Array, parameters: int, states: Array) -> tuple[Array, Array]:
    """σ of the next step, and the degrees of freedom that it is known with, (series,) each; 1 without two known values.

    ``errors`` are those of the fit, 0 where nothing is known; ``values`` about 1 in size, NaN where missing.

    Examples
    --------
    >>> deviation, freedom = one_step(np.array([[1.0], [-1.0]] * 8), np.array([[1.0], [2.0]] * 8), 1, np.array([1]))
    >>> deviation.round(3).tolist(), freedom.tolist()
    ([1.102], [14])
    """
    known = (~np.isnan(values)).sum(axis=0)
    freedom = known - parameters - states
    variance = (1 + states / np.maximum(known, 1)) * (errors**2).sum(axis=0) / np.maximum(freedom, 1)
    naive = _mean_square_step(values)
    few = freedom < ENOUGH
    variance = np.where(few, np.maximum(naive, variance), variance)
    freedom = np.where(few, known - 1, freedom)
    alone = known < 2
    return np.where(alone, 1.0, np.sqrt(variance)), np.where(alone, 1, np.maximum(freedom, 1))


def deviation_growth(form: Form, own: Array, state: SmoothingState, horizon: int) -> Array:
    """σ_k / σ of the steps after some states, (origins, horizon).

    Examples
    --------
    >>> state = SmoothingState(np.array([5.0]), np.array([0.0]), np.zeros((1, 1)))
    >>> deviation_growth(Form("none"), np.array([[1.0], [0.0], [0.0], [1.0]]), state, 4) ** 2
    array([[1., 2., 3., 4.]])

    References
    ----------
    Hyndman, Koehler, Ord & Snyder (2008), Forecasting with Exponential Smoothing, table 6.1, for added seasons; for
    factors by one step of the recursion.
    """
    steps, m = np.arange(1, horizon + 1), len(state.season)
    reach = np.cumsum(own[3][:, None] ** steps, axis=1)
    level = own[0][:, None] * (1 + own[1][:, None] * reach * (form.trend != "none"))
    season = own[2][:, None] * (steps % m == 0) * (form.season != "none")
    base, factor = np.ones_like(reach), np.ones_like(reach)
    if form.season == "mul":
        base = np.maximum(state.level[:, None] + reach * state.trend[:, None], LEAST_FACTOR)
        factor = np.maximum(state.season[(steps - 1) % m].T, LEAST_FACTOR)
    grown = np.ones_like(reach)
    for k in range(1, horizon):
        response = level[:, k - 1 :: -1] * factor[:, [k]] / factor[:, :k]
        response += season[:, k - 1 :: -1] * base[:, [k]] / base[:, :k]
        grown[:, k] += (response**2).sum(axis=1)
    found: Array = np.sqrt(grown)
    return found


def _mean_square_step(values: Array) -> Array:
    """The mean squared difference of successive known values, (series,); 0 where there are none."""
    known = ~np.isnan(values)
    place = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    later = known[1:] & (place[:-1] >= 0)
    before = np.take_along_axis(values, np.maximum(place[:-1], 0), axis=0)
    square = np.where(later, values[1:] - before, 0.0) ** 2
    return square.sum(axis=0) / np.maximum(later.sum(axis=0), 1)

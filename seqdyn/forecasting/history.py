"""What the rows before an origin tell: last known values, changes, and how large these are.

Missing values do not count: where a formula says y_n, the last *known* value before the origin stands.
"""

from __future__ import annotations

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.tables import blocks, series_means, table


def last_known(panel: Panel) -> Array:
    """The place of the last known target at or before every row of its series, shape (total,)."""
    place = np.where(np.isnan(panel.target), -1, np.arange(len(panel.target)))
    return np.maximum(np.maximum.accumulate(place), panel.starts[panel.series])


def seasonal_places(panel: Panel, series: Array, rows: Array, season: int, phases: int) -> Array:
    """Where the next phases were last observed, (origins, phases); −1 where never."""
    begin = panel.starts[series][:, None]
    missing = np.isnan(panel.target)
    place = rows[:, None] - season + np.arange(phases)
    while True:
        absent = (place >= begin) & missing[np.maximum(place, 0)]
        if not absent.any():
            return np.where(place >= begin, place, -1)
        place = np.where(absent, place - season, place)


def differences(panel: Panel, lag: int, values: Array | None = None) -> Array:
    """v_t − v_{t−lag} of every row, v the target if not given; NaN where one is missing or before its series."""
    values = panel.target if values is None else values
    found = np.full(len(values), np.nan)
    if lag < len(found):
        found[lag:] = values[lag:] - values[:-lag]
    found[panel.steps < lag] = np.nan
    return found


def mean_changes(panel: Panel, season: int, values: Array | None = None, otherwise: Array | None = None) -> Array:
    """mean |v_t − v_{t−m}| of every series, above 0: the error of the seasonal naive forecast; v is the target if None.

    Where that is not known or 0, the mean change over one step; then ``otherwise``; then 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.DataFrame({"a": [1.0, 2.0, 4.0, 8.0], "b": [1.0, 3.0, 1.0, 3.0], "c": 4 * [5.0]}))
    >>> mean_changes(panel, 2)
    array([4.5, 2. , 1. ])
    """
    found = np.zeros(len(panel.names))
    for lag in (season, 1):
        change = np.nan_to_num(series_means(np.abs(differences(panel, lag, values)), panel.starts))
        found = np.where(found > 0, found, change)
    if otherwise is not None:
        found = np.where(found > 0, found, np.nan_to_num(otherwise))
    return np.where(found > 0, found, 1.0)


def one_step_deviation(panel: Panel, series: Array, rows: Array) -> Array:
    """Root mean square of the one-step differences before every origin, shape (origins,)."""
    return running_deviation(panel, differences(panel, 1), series, rows)


def running_deviation(panel: Panel, errors: Array, series: Array, rows: Array) -> Array:
    """Root mean square of the known errors of a series before every origin; NaN where there are none."""
    total, count = running_sums(panel, errors**2, series, rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.where(count > 0, total / count, np.nan))


def running_sums(panel: Panel, values: Array, series: Array, rows: Array) -> tuple[Array, Array]:
    """Sum and number of a series' known values before every origin; each series has its own sums, so its own digits."""
    total, count = np.zeros(len(rows)), np.zeros(len(rows))
    wanted, own = np.unique(series, return_inverse=True)
    order, each = np.argsort(own, kind="stable"), np.bincount(own)
    edges = np.concatenate([[0], np.cumsum(each)])
    for block in blocks(panel.lengths[wanted], 4):
        origins = np.concatenate([order[edges[i] : edges[i + 1]] for i in block])
        line, step = np.repeat(np.arange(len(block)), each[block]), rows[origins] - panel.starts[series[origins]]
        held = table(values, panel.starts[wanted[block]], panel.lengths[wanted[block]])
        known = ~np.isnan(held)
        for sums, parts in ((total, np.where(known, held, 0.0)), (count, known * 1.0)):
            sums[origins] = np.where(step > 0, np.cumsum(parts, axis=1)[line, np.maximum(step - 1, 0)], 0.0)
    return total, count


def moving_average(panel: Panel, window: int, rows: Array) -> Array:
    """The mean of the last ``window`` known values at some rows, fewer where the series has no more."""
    known = np.flatnonzero(~np.isnan(panel.target))
    values, owner = panel.target[known], panel.series[known]
    newest = np.searchsorted(known, last_known(panel)[rows])
    total, count = np.zeros(len(rows)), np.zeros(len(rows))
    for back in range(min(window, int(panel.lengths.max()))):
        place = np.maximum(newest - back, 0)
        own = (newest >= back) & (owner[place] == owner[newest])
        total += np.where(own, values[place], 0.0)
        count += own
    return total / count


def root_mean_square(errors: Array) -> float:
    """√mean e², NaN left out; NaN if nothing is known."""
    known = errors[~np.isnan(errors)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else np.nan

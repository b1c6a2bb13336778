"""Seasons: classical indices of many series at once, and the lengths that a record itself suggests."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.panels import Panel

SEARCHED_ROWS, SEARCHED_SERIES = 4000, 2000
"""Rows of a series, and series of a panel, that a season is looked for in."""

PROMINENT, STANDARD_ERRORS = 0.1, 4.0
"""How much an autocorrelation must stand out to suggest a season, also in standard errors of that of noise."""


def seasonal_indices_of(values: Array, season: int, multiply: bool) -> Array:
    """Classical seasonal indices of many series, by phase counted from the first row, (m, series).

    y over (or less) its centred moving average of m steps, averaged by phase; their mean is 1 (or 0). Values are
    (time, series), NaN after the end of a series and where missing; less than two seasons have 1 (or 0).

    Examples
    --------
    >>> seasonal_indices_of(np.tile([1.0, 2.0, 3.0], 4)[:, None], 3, True)[:, 0]
    array([0.5, 1. , 1.5])
    """
    neutral = 1.0 if multiply else 0.0
    rows, series = values.shape
    if season == 1 or rows < 2 * season:
        return np.full((season, series), neutral)
    average = _centred_average(gaps_continued(values, season), season)
    ends = rows - np.argmax(~np.isnan(values[::-1]), axis=0)
    average[np.arange(rows)[:, None] >= ends - season // 2] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        beside = values / average if multiply else values - average
    padded = np.full((-(-rows // season) * season, series), np.nan)
    padded[:rows] = beside
    blocks = padded.reshape(-1, season, series)
    count = np.isfinite(blocks).sum(axis=0)
    index = np.where(np.isfinite(blocks), blocks, 0.0).sum(axis=0) / np.maximum(count, 1)
    mean = index.mean(axis=0)
    index = index / np.where(mean != 0, mean, 1.0) if multiply else index - mean
    whole = (count > 0).all(axis=0)
    found: Array = np.where(whole, index, neutral)
    return found


def given_seasons(season_length: Any, panel: Panel) -> tuple[int, ...]:
    """The lengths of a season, the shortest first: those given as a number or several, or that of the frequency.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series(range(50), pd.date_range("2024-01-01", periods=50, freq="D")))
    >>> given_seasons(None, panel), given_seasons([168, 24], panel)
    ((7,), (24, 168))
    """
    if season_length is None:
        return (panel.grid.season_length(),)
    several = season_length if isinstance(season_length, list | tuple | np.ndarray) else [season_length]
    if not len(several):
        raise ValueError("season_length is an empty sequence: give one season or more, or None.")
    return tuple(sorted({int(check_count("season_length", own, others=(None,))) for own in several}))


def season_lengths(panel: Panel, most: int = 2) -> list[int]:
    """Lengths that the autocorrelation of a panel suggests, the strongest first; none where nothing stands out.

    A length is where the mean autocorrelation of the series' differences has a peak that is higher than all before it
    within its multiples, and stands out of what is between.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> wave = pd.Series(np.sin(np.arange(200) * 2 * np.pi / 17))
    >>> season_lengths(read_panel(wave))
    [17]
    """
    curve, rows = _autocorrelation(panel)
    if len(curve) < 4:
        return []
    least = max(PROMINENT, STANDARD_ERRORS / np.sqrt(rows))
    peaks = [lag for lag in range(2, len(curve) - 1) if curve[lag] >= curve[lag - 1] and curve[lag] > curve[lag + 1]]
    strong = [lag for lag in peaks if curve[lag] - curve[1:lag].min() > least and curve[lag] > least]
    ordered = sorted(strong, key=lambda lag: -curve[lag])
    found: list[int] = []
    for lag in ordered:
        if not any(abs(lag / own - round(lag / own)) < 0.1 and lag > own for own in found):
            found.append(lag)
    basic = [lag for lag in found if not any(_divides(lag, own, curve) for own in strong)]
    return basic[:most]


def _divides(lag: int, own: int, curve: Array) -> bool:
    """Whether a shorter length explains one about as well."""
    ratio = lag / own
    return own < lag and abs(ratio - round(ratio)) < 0.1 and curve[own] > 0.8 * curve[lag]


def _autocorrelation(panel: Panel) -> tuple[Array, int]:
    """The mean over series of the autocorrelation of the differences, by lag to a quarter of the rows; and the rows."""
    most = int(min(np.median(panel.lengths), SEARCHED_ROWS)) // 4
    total, weight, rows = np.zeros(most + 1), 0, 0
    for number in np.unique(np.linspace(0, len(panel.names) - 1, SEARCHED_SERIES).astype(int)):
        own = panel.target[panel.rows(number)][-SEARCHED_ROWS:]
        own = np.diff(own / (np.nanmax(np.abs(own)) or 1.0))
        own = np.nan_to_num(own - np.nanmean(own)) if len(own) > 3 and not np.isnan(own).all() else np.zeros(4)
        if len(own) < 2 * most or not own.any():
            continue
        power = np.abs(np.fft.rfft(own, 2 * len(own))) ** 2
        found = np.fft.irfft(power)[: most + 1] / (len(own) - np.arange(most + 1))
        total += found / found[0]
        weight, rows = weight + 1, rows + len(own)
    return (total / weight, rows) if weight else (np.zeros(0), 0)


def gaps_continued(values: Array, season: int) -> Array:
    """Values (time, series) whose gaps hold the value of one season before; before there is one, of one step before.

    Examples
    --------
    >>> gaps_continued(np.array([[1.0], [2.0], [np.nan], [np.nan], [np.nan]]), 2)[:, 0]
    array([1., 2., 1., 2., 1.])
    """
    filled = values.copy()
    for row in np.flatnonzero(np.isnan(values).any(axis=1)).tolist():
        before = filled[row - season if row >= season else max(int(row) - 1, 0)]
        filled[row] = np.where(np.isnan(filled[row]), before, filled[row])
    return filled


def _centred_average(values: Array, season: int) -> Array:
    """The centred moving average of m steps (half weights at both ends if m is even); NaN where it does not fit."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    half, even = season // 2, season % 2 == 0
    inner = total[season:] - total[:-season]
    if even:
        inner = (inner[1:] + inner[:-1]) / 2
    found = np.full(values.shape, np.nan)
    found[half : half + len(inner)] = inner / season
    return found

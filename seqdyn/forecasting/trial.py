"""Trials: the last rows of every series, forecast from origins in them by models fitted to the rows before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqdyn.data.panels import Panel
from seqdyn.forecasting.held_out import values_after
from seqdyn.forecasting.origins import future_after
from seqdyn.forecasting.tables import series_means

Array = np.ndarray[Any, Any]

MOST_HORIZONS = 10
"""How many horizons of rows are tried at most; a third of a series at most, too."""

MOST_ORIGINS, MOST_FORECASTS = 40, 400_000
"""Origins of one series, and of all series together."""

LEAST_FIRST_ROWS = 6
"""Rows that are left for the first fit where there are so many."""


@dataclass(frozen=True)
class Holdout:
    """Origins of every series, and what came after them.

    Attributes
    ----------
    panel : Panel
    before : Panel
        The rows of every series before its first origin.
    series, rows : array of int, shape (origins,)
    horizon : int
    came : array, shape (origins, horizon)
        y; NaN past the end of a series, and where missing.
    usual : array, shape (series,)
        How much a series changes from one season to the next (or from step to step) before its first origin; above 0.
    """

    panel: Panel
    before: Panel
    series: Array
    rows: Array
    horizon: int
    came: Array
    usual: Array

    @classmethod
    def of(cls, panel: Panel, horizon: int, season: int) -> Holdout:
        """The trial of a panel.

        Parameters
        ----------
        panel : Panel
        horizon : int
            Steps ahead.
        season : int
            m; two of them are tried where a third of a series has them.

        Examples
        --------
        >>> import pandas as pd
        >>> from seqdyn.data.panel_reading import read_panel
        >>> trial = Holdout.of(read_panel(pd.Series(range(12))), 2, 1)
        >>> trial.rows.tolist(), trial.before.lengths.tolist()
        ([8, 9, 10, 11], [8])
        """
        lengths = panel.lengths
        most = np.maximum(MOST_HORIZONS * horizon, 2 * season)
        left = np.minimum(lengths - 1, LEAST_FIRST_ROWS)
        tried = np.maximum(np.minimum(np.minimum(lengths // 3, most), lengths - left), lengths > 2)
        count = np.minimum(tried, max(4, min(MOST_ORIGINS, MOST_FORECASTS // len(lengths))))
        stride = -(-tried // np.maximum(count, 1))
        count = -(-tried // np.maximum(stride, 1))
        series = np.repeat(np.arange(len(lengths)), count)
        turn = np.repeat(np.cumsum(count), count) - 1 - np.arange(len(series))
        rows = panel.ends[series] - 1 - turn * stride[series]
        before = panel.head(lengths - tried)
        came = values_after(panel, series, rows, horizon, panel.target)
        return cls(panel, before, series, rows, horizon, came, _usual(before, season))

    @property
    def windows(self) -> Array:
        """How many horizons of rows are tried of every series, (series,)."""
        found: Array = (self.panel.lengths - self.before.lengths) / self.horizon
        return found

    def forecasts(self, fitted: Any) -> Array:
        """What a model that was fitted to ``before`` says at the origins, (origins, horizon)."""
        future = future_after(self.panel, self.rows, self.horizon)
        found: Array = fitted._roll(self.panel, self.series, self.rows, self.horizon, future, None).mean
        return found

    def errors(self, forecasts: Array) -> Array:
        """Mean |y − ŷ| of every series over ``usual``, (series,); inf where one is no number, NaN without an origin."""
        known = ~np.isnan(self.came)
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.where(known, np.nan_to_num(np.abs(self.came - forecasts), nan=np.inf), 0.0)
        total = np.bincount(self.series, off.sum(axis=1), len(self.usual))
        count = np.bincount(self.series, known.sum(axis=1), len(self.usual))
        mean: Array = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0) / self.usual
        return mean


def _usual(panel: Panel, season: int) -> Array:
    """Mean |y_t − y_{t−m}| of every series, of one step where that is not known or 0; then its mean |y|; then 1."""
    found = np.zeros(len(panel.names))
    sizes = [np.abs(_lagged(panel, lag)) for lag in (season, 1)] + [np.abs(panel.target)]
    for size in sizes:
        mean = np.nan_to_num(series_means(size, panel.starts))
        found = np.where(found > 0, found, mean)
    return np.where(found > 0, found, 1.0)


def _lagged(panel: Panel, lag: int) -> Array:
    """y_t − y_{t−lag}; NaN in the first rows of a series."""
    found = np.full(len(panel.target), np.nan)
    if lag < len(found):
        found[lag:] = panel.target[lag:] - panel.target[:-lag]
    return np.where(panel.steps < lag, np.nan, found)

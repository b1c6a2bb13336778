"""Holdouts: the last rows of every series, forecast from origins in them by models fitted to the rows before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.request import ForecastRequest
from seqdyn.forecasting.tables import series_means

MOST_HORIZONS = 10
"""How many horizons of rows are held out at most; a third of a series at most, too."""

MOST_ORIGINS, MOST_FORECASTS = 40, 400_000
"""Origins of one series, and of all series together."""

LEAST_FIRST_ROWS = 6
"""Rows that are left for the first fit where there are so many."""


@dataclass(frozen=True)
class Holdout:
    """Origins of every series, and what came after them.

    Attributes
    ----------
    request : ForecastRequest
        The origins.
    before : Panel
        The rows of every series before its first origin.
    actual : array, shape (origins, horizon)
        y; NaN past the end of a series, and where missing.
    usual : array, shape (series,)
        The mean change of a series from one season to the next (or from step to step) before its first origin, or its
        mean size where it does not change; above 0.
    """

    request: ForecastRequest
    before: Panel
    actual: Array
    usual: Array

    @classmethod
    def of(cls, panel: Panel, horizon: int, season: int) -> Holdout:
        """The holdout of a panel; two seasons are held out where a third of a series has them.

        Examples
        --------
        >>> import pandas as pd
        >>> from seqdyn.data.panel_reading import read_panel
        >>> holdout = Holdout.of(read_panel(pd.Series(range(12))), 2, 1)
        >>> holdout.request.rows.tolist(), holdout.before.lengths.tolist()
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
        request = ForecastRequest.within(panel, series, rows, horizon)
        size = series_means(np.abs(before.target), before.starts)
        return cls(request, before, request.actual(), mean_changes(before, season, otherwise=size))

    @property
    def windows(self) -> Array:
        """How many horizons of rows are held out of every series, (series,)."""
        found: Array = (self.request.panel.lengths - self.before.lengths) / self.request.horizon
        return found

    def errors(self, forecasts: Array) -> Array:
        """Mean |y − ŷ| of every series over ``usual``, (series,); inf where one is no number, NaN without an origin."""
        known = ~np.isnan(self.actual)
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.where(known, np.nan_to_num(np.abs(self.actual - forecasts), nan=np.inf), 0.0)
        total = np.bincount(self.request.series, off.sum(axis=1), len(self.usual))
        count = np.bincount(self.request.series, known.sum(axis=1), len(self.usual))
        mean: Array = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0) / self.usual
        return mean

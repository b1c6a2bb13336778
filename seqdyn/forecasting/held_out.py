"""The later half of every series, forecast part by part from what came before: what settings are chosen by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqdyn.data.panels import Panel
from seqdyn.forecasting.bounds import held_within, limits
from seqdyn.forecasting.linear_weights import Weights, roll_out
from seqdyn.forecasting.origins import future_after
from seqdyn.forecasting.tables import series_means
from seqdyn.forecasting.units import Units, seasonal_change

Array = np.ndarray[Any, Any]

FOLD_COUNT = 4
"""In how many parts the later half is forecast, each by weights fitted to the rows before it."""

ORIGINS_PER_HORIZON = 4
"""How many origins a horizon has."""


@dataclass(frozen=True)
class ForwardChaining:
    """Origins in the later half of every series, and what came after them.

    Attributes
    ----------
    panel : Panel
    part : array of int, shape (total,)
        The part of every row, from 0 on; −1 in the earlier half.
    series, rows : array of int, shape (origins,)
        Grouped by series.
    actual : array, shape (origins, horizon)
        What came; NaN past the end of the series.
    scale : array, shape (series,)
        Mean absolute seasonal difference, as in MASE.
    """

    panel: Panel
    part: Array
    series: Array
    rows: Array
    actual: Array
    scale: Array

    @classmethod
    def of(cls, panel: Panel, horizon: int, season: int) -> ForwardChaining:
        """Origins a quarter of the horizon apart.

        Parameters
        ----------
        panel : Panel
        horizon : int
            Steps that count; of series of fewer than four horizons a quarter of their rows.
        season : int
        """
        horizon = max(1, min(horizon, int(np.median(panel.lengths)) // 4))
        begin = np.maximum(panel.lengths // 2, 1)
        after, left = panel.steps - begin[panel.series], (panel.lengths - begin)[panel.series]
        part = np.where(after >= 0, after * FOLD_COUNT // np.maximum(left, 1), -1)
        turn = (after >= 0) & (after % max(1, -(-horizon // ORIGINS_PER_HORIZON)) == 0)
        rows = np.flatnonzero(turn & ((after <= left - horizon) | (after == 0)))
        series = panel.series[rows]
        actual = values_after(panel, series, rows, horizon, panel.target)
        return cls(panel, part, series, rows, actual, seasonal_change(panel, panel.target, season))

    def errors(self, fitted: Callable[[Array], tuple[Units, list[Weights]]]) -> Array:
        """Mean |y − ŷ|/Q of every choice and series, (choices, series); NaN where nothing is known.

        Parameters
        ----------
        fitted : callable
            Takes which rows may be targets, (total,), and gives units and the weights of every choice.
        """
        horizon, every = self.actual.shape[1], np.arange(len(self.scale))
        bounds, future = (
            limits(self.panel, self.series, self.rows, horizon),
            future_after(self.panel, self.rows, horizon),
        )
        parts = []
        for part in range(FOLD_COUNT):
            own = np.flatnonzero(self.part[self.rows] == part)
            units, choices = fitted(self.part < part)
            series, rows, edges = self.series[own], self.rows[own], (bounds[0][own], bounds[1][own])
            rolled = (roll_out(self.panel, every, units, one, series, rows, horizon, future[own]) for one in choices)
            parts.append([np.abs(self.actual[own] - held_within(units.restored(z, series), edges)[0]) for z in rolled])
        order = np.argsort(np.concatenate([np.flatnonzero(self.part[self.rows] == part) for part in range(FOLD_COUNT)]))
        return np.array([self._means(np.concatenate(choice)[order]) for choice in zip(*parts, strict=True)])

    def _means(self, off: Array) -> Array:
        """Mean errors of every series over its Q; NaN for those without an origin."""
        found = np.full(len(self.scale), np.nan)
        some, first = np.unique(self.series, return_index=True)
        if len(some):
            found[some] = series_means(off.reshape(-1), first * off.shape[1]) / self.scale[some]
        return found


def values_after(panel: Panel, series: Array, rows: Array, horizon: int, values: Array) -> Array:
    """Values of the rows from every origin on, (origins, horizon); NaN past the series' end."""
    place = rows[:, None] + np.arange(horizon)
    inside = place < panel.ends[series][:, None]
    return np.where(inside, values[np.minimum(place, len(values) - 1)], np.nan)


def best_choices(errors: Array, together: bool) -> Array:
    """The number of the choice of least error for every series.

    Parameters
    ----------
    errors : array, shape (choices, series)
    together : bool
        One choice for all, by their mean error; else each its own, and that of all where it has no errors.

    Returns
    -------
    array of int, shape (series,)

    Examples
    --------
    >>> best_choices(np.array([[1.0, 4.0, np.nan], [2.0, 1.0, np.nan]]), False)
    array([0, 1, 1])
    """
    means = series_means(errors.reshape(-1), np.arange(len(errors)) * errors.shape[1])
    of_all = int(np.nanargmin(means)) if (~np.isnan(means)).any() else 0
    if together:
        return np.full(errors.shape[1], of_all)
    unknown = np.isnan(errors).any(axis=0)
    return np.where(unknown, of_all, np.argmin(np.where(unknown, 0.0, errors), axis=0))

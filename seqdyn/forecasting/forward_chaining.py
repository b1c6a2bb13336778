"""Cross-validation forwards in time: the later half of every series, forecast part by part from the rows before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.envelope import Envelope, held_within
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.linear_weights import Weights, roll_out
from seqdyn.forecasting.request import ForecastRequest
from seqdyn.forecasting.tables import series_means
from seqdyn.forecasting.units import Units, deviations

FOLD_COUNT = 4
"""In how many parts the later half is forecast, each by weights fitted to the rows before it."""

ORIGINS_PER_HORIZON = 4
"""How many origins a horizon has."""


@dataclass(frozen=True)
class ForwardChaining:
    """Origins in the later half of every series, and what came after them.

    Attributes
    ----------
    request : ForecastRequest
        The origins, grouped by series.
    part : array of int, shape (total,)
        The part of every row, from 0 on; −1 in the earlier half.
    scale : array, shape (series,)
        Mean absolute seasonal difference, as in MASE.
    """

    request: ForecastRequest
    part: Array
    scale: Array

    @classmethod
    def of(cls, panel: Panel, horizon: int, season: int) -> ForwardChaining:
        """Origins a quarter of the horizon apart.

        Of series of fewer than four horizons a quarter of their rows is the horizon.
        """
        horizon = max(1, min(horizon, int(np.median(panel.lengths)) // 4))
        begin = np.maximum(panel.lengths // 2, 1)
        after, left = panel.steps - begin[panel.series], (panel.lengths - begin)[panel.series]
        part = np.where(after >= 0, after * FOLD_COUNT // np.maximum(left, 1), -1)
        turn = (after >= 0) & (after % max(1, -(-horizon // ORIGINS_PER_HORIZON)) == 0)
        rows = np.flatnonzero(turn & ((after <= left - horizon) | (after == 0)))
        request = ForecastRequest.within(panel, panel.series[rows], rows, horizon)
        return cls(request, part, mean_changes(panel, season, otherwise=deviations(panel, panel.target)))

    def errors(self, fitted: Callable[[Array], tuple[Units, list[Weights]]]) -> Array:
        """Mean |y − ŷ|/Q of every choice and series, (choices, series); NaN where nothing is known.

        ``fitted`` takes which rows may be targets, (total,), and gives units and the weights of every choice.
        """
        asked, every = self.request, np.arange(len(self.scale))
        low, high = Envelope.of(asked.panel, asked.rows).limits(asked.horizon)
        actual, parts, order = asked.actual(), [], []
        for part in range(FOLD_COUNT):
            own = np.flatnonzero(self.part[asked.rows] == part)
            units, choices = fitted(self.part < part)
            some = asked.part(own)
            rolled = (units.restored(roll_out(some, every, units, one), some.series) for one in choices)
            parts.append([np.abs(actual[own] - held_within(y, (low[own], high[own]))[0]) for y in rolled])
            order.append(own)
        place = np.argsort(np.concatenate(order))
        return np.array([self._means(np.concatenate(choice)[place]) for choice in zip(*parts, strict=True)])

    def _means(self, off: Array) -> Array:
        """Mean errors of every series over its Q; NaN for those without an origin."""
        found = np.full(len(self.scale), np.nan)
        some, first = np.unique(self.request.series, return_index=True)
        if len(some):
            found[some] = series_means(off.reshape(-1), first * off.shape[1]) / self.scale[some]
        return found


def best_choices(errors: Array, together: bool) -> Array:
    """The number of the choice of least error for every series, of errors (choices, series).

    It is one for all ``together``, by their mean error; else each has its own, or that of all where it has no errors.

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

"""What a forecaster is asked, and what it answers.

An *origin* is a place in a series: the row number of the first step to be forecast. All rows before it are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.stats import norm

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel


@dataclass(frozen=True)
class ForecastRequest:
    """Forecasts of so many steps, asked for from origins of a panel.

    Attributes
    ----------
    panel : Panel
        The known rows. Of each series, only rows before an origin may be used for a forecast from it.
    series, rows : array of int, shape (origins,)
        For each origin, the number of its series in the panel and the row that is forecast first. From the end of a
        series that is the row after its last.
    horizon : int
        Steps ahead.
    future : array, shape (origins, horizon, covariates known ahead)
    levels : array, shape (quantiles,), or None
        The quantiles asked for.
    """

    panel: Panel
    series: Array
    rows: Array
    horizon: int
    future: Array
    levels: Array | None = None

    @classmethod
    def within(cls, panel: Panel, series: Array, rows: Array, horizon: int, levels: Array | None = None) -> Self:
        """From origins inside a panel, whose own rows hold the covariates known ahead."""
        return cls(panel, series, rows, horizon, future_after(panel, rows, horizon), levels)

    @classmethod
    def at_end(cls, panel: Panel, horizon: int, future: Array, levels: Array | None = None) -> Self:
        """From the end of every series."""
        return cls(panel, np.arange(len(panel.names)), panel.ends, horizon, future, levels)

    def part(self, chosen: Array) -> Self:
        """The same for some of the origins."""
        return replace(self, series=self.series[chosen], rows=self.rows[chosen], future=self.future[chosen])

    def numbers(self, names: pd.Index) -> Array:
        """The place of every origin's series among some names, (origins,)."""
        if names is self.panel.names:
            return self.series
        found: Array = names.get_indexer(self.panel.names)[self.series]
        return found

    def actual(self, values: Array | None = None) -> Array:
        """The values from every origin on, (origins, horizon): NaN past the end of a series; the target if not given.

        Examples
        --------
        >>> from seqdyn.data.panel_reading import read_panel
        >>> panel = read_panel(pd.Series([1.0, 2.0, 3.0]))
        >>> ForecastRequest.within(panel, np.array([0, 0]), np.array([1, 2]), 2).actual()
        array([[ 2.,  3.],
               [ 3., nan]])
        """
        values = self.panel.target if values is None else values
        place = self.rows[:, None] + np.arange(self.horizon)
        inside = place < self.panel.ends[self.series][:, None]
        return np.where(inside, values[np.minimum(place, len(values) - 1)], np.nan)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts from some origins.

    Attributes
    ----------
    mean : array, shape (origins, horizon)
        The point forecasts.
    quantiles : array, shape (origins, horizon, quantiles), or None
        Where quantiles were asked for; they never cross.
    notes : tuple of str
        What a reader of them should know: ``forecast`` warns of it, a backtest notes it.
    """

    mean: Array
    quantiles: Array | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def gaussian(cls, mean: Array, deviation: Callable[[], Array], levels: Array | None) -> Self:
        """Point forecasts with Gaussian quantiles z_q σ around them; σ is computed only where quantiles are wanted."""
        if levels is None:
            return cls(mean)
        return cls(mean, np.sort(mean[..., None] + deviation()[..., None] * norm.ppf(levels), axis=-1))


def future_after(panel: Panel, rows: Array, horizon: int) -> Array:
    """Covariates known ahead of every origin, (origins, horizon, covariates).

    Past the end of a series its last ones are repeated.
    """
    last = panel.ends[panel.series[rows - 1]] - 1  # an origin may be the row after its series' last
    return panel.future[np.minimum(rows[:, None] + np.arange(horizon), last[:, None])]


def quantile_levels(quantiles: Sequence[float] | None, level: float | Sequence[float] | None) -> Array | None:
    """The quantiles asked for, either as such or as central intervals in percent; None if there are none.

    Examples
    --------
    >>> quantile_levels(None, [80, 95])
    array([0.025, 0.1  , 0.9  , 0.975])
    """
    if quantiles is None and level is None:
        return None
    given: Any = [] if quantiles is None else np.atleast_1d(np.asarray(quantiles, dtype=object))
    found = [float(value) if isinstance(value, int | float | np.number) else np.nan for value in given]
    for percent in [] if level is None else np.atleast_1d(np.asarray(level, dtype=np.float64)):
        if 0 < percent <= 1:
            raise ValueError(f"level is in percent: did you mean {min(100 * percent, 99):g}? Got {percent:g}.")
        if not 0 < percent < 100:
            raise ValueError(f"level is a share of central intervals in percent, between 0 and 100, got {percent:g}.")
        found += [0.5 - percent / 200, 0.5 + percent / 200]
    if not found or not all(0 < value < 1 for value in found):
        raise ValueError(f"quantiles must be numbers in (0, 1), got {quantiles!r}.")
    levels = np.unique(np.round(found, 10))
    if len({f"{value:g}" for value in levels}) < len(levels):
        raise ValueError(f"quantiles must differ within six digits, which name the columns, got {quantiles!r}.")
    return levels


def quantile_columns(levels: Any) -> list[str]:
    """The names of the columns of quantiles: ``"0.1"`` for 0.1."""
    return [f"{level:g}" for level in levels]

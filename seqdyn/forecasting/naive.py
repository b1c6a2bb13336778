"""Naive forecasters: what anything else has to beat. All of them forecast from many origins at once.

Missing values do not count: where a formula says y_n, the last *known* value before the origin stands. With quantiles
the forecast is Gaussian around the point, its σ the root mean square of the in-sample differences before the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from seqdyn.checks import check_count
from seqdyn.data.panels import Panel
from seqdyn.forecasting.contract import Forecasts, PanelForecaster
from seqdyn.forecasting.tables import blocks, table

Array = np.ndarray[Any, Any]

SIGNIFICANT = 1.645
"""How many standard errors the autocorrelation at lag m needs to count as a season: 90 %, two-sided."""


@dataclass(kw_only=True, repr=False, eq=False)
class NaiveForecaster(PanelForecaster):
    """Tomorrow is as today: the last known value.

        ŷ_{n+k} = y_n,    σ_k = σ √k

    σ is that of the one-step differences; steps count from the last known value.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static
        As in every forecaster; covariates are not used.

    References
    ----------
    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., sections 5.2 and 5.5.

    Examples
    --------
    >>> import pandas as pd
    >>> NaiveForecaster().fit(pd.Series([3.0, 1.0, 4.0])).forecast(2).tolist()
    [4.0, 4.0]
    """

    used_covariates = ()

    def _learn(self, panel: Panel) -> None:
        check_season(self._season(panel))

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        last = last_known(panel)[rows - 1]
        mean = np.repeat(panel.target[last][:, None], horizon, axis=1)
        steps = rows[:, None] + np.arange(horizon) - last[:, None]
        return gaussian(mean, lambda: one_step_deviation(panel, series, rows)[:, None] * np.sqrt(steps), levels)


@dataclass(kw_only=True, repr=False, eq=False)
class SeasonalNaiveForecaster(PanelForecaster):
    """As a season ago: the last observed value of the same phase.

        ŷ_{n+k} = y_{n+k−jm},    σ_k = σ √j,    j the least for which it is known: ⌊(k − 1)/m⌋ + 1 without gaps

    σ is that of the m-step differences. A phase that was never observed gets the last known value.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static
        As in every forecaster; m is ``season_length``, or that of the frequency. Covariates are not used.

    References
    ----------
    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., sections 5.2 and 5.5.

    Examples
    --------
    >>> import pandas as pd
    >>> SeasonalNaiveForecaster(season_length=2).fit(pd.Series([1.0, 2.0, 3.0, 4.0])).forecast(3).tolist()
    [3.0, 4.0, 3.0]
    """

    used_covariates = ()

    def _learn(self, panel: Panel) -> None:
        check_season(self._season(panel))

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        season, step = self._season(panel), np.arange(horizon)
        place = seasonal_places(panel, series, rows, season, min(season, horizon))[:, step % season]
        seen = place >= 0
        place = np.where(seen, place, last_known(panel)[rows - 1][:, None])
        steps = rows[:, None] + step - place

        def deviation() -> Array:
            single = one_step_deviation(panel, series, rows)[:, None]
            found = running_deviation(panel, differences(panel, season), series, rows)[:, None]
            found = np.where(np.isnan(found), single, found)
            return np.where(seen, found * np.sqrt(steps / season), single * np.sqrt(steps))

        return gaussian(panel.target[place], deviation, levels)


@dataclass(kw_only=True, repr=False, eq=False)
class DriftForecaster(PanelForecaster):
    """The straight line through the first and the last known value.

        ŷ_{n+k} = y_n + k (y_n − y_1)/(n − 1),    σ_k = σ √(k (1 + k/(n − 1)))

    σ is that of the one-step differences about their mean; steps count from the last known value.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static
        As in every forecaster; covariates are not used.

    References
    ----------
    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., sections 5.2 and 5.5.

    Examples
    --------
    >>> import pandas as pd
    >>> DriftForecaster().fit(pd.Series([1.0, 5.0, 3.0])).forecast(2).tolist()
    [4.0, 5.0]
    """

    used_covariates = ()

    def _learn(self, panel: Panel) -> None:
        check_season(self._season(panel))

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        first, last = panel.starts[series], last_known(panel)[rows - 1]
        slope = (panel.target[last] - panel.target[first]) / np.maximum(last - first, 1)
        steps = (rows - last)[:, None] + np.arange(horizon)
        mean = panel.target[last][:, None] + steps * slope[:, None]

        def deviation() -> Array:
            spread = _about_the_slope(panel, series, rows, slope)[:, None]
            return spread * np.sqrt(steps * (1 + steps / np.maximum(last - first, 1)[:, None]))

        return gaussian(mean, deviation, levels)


@dataclass(kw_only=True, repr=False, eq=False)
class MovingAverageForecaster(PanelForecaster):
    """The mean of the last known values.

        ŷ_{n+k} = (1/w) Σ_{i<w} y_{n−i},    σ_k = σ

    σ is that of its own one-step errors before the origin: it takes the level to stay where it is.

    Parameters
    ----------
    window : int or None, at least 1
        w, how many known values count; a season if None, or 5 where there is none.
    freq, season_length, id_col, time_col, target_col, past, future, static
        As in every forecaster; covariates are not used.

    References
    ----------
    Hyndman & Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., section 5.2; w = n there.

    Examples
    --------
    >>> import pandas as pd
    >>> MovingAverageForecaster(window=2).fit(pd.Series([1.0, 5.0, 3.0])).forecast(2).tolist()
    [4.0, 4.0]
    """

    window: int | None = None

    used_covariates = ()

    def _learn(self, panel: Panel) -> None:
        check_season(self._season(panel))
        check_count("window", self.window, others=(None,))

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        season = self._season(panel)
        window = self.window or (season if season > 1 else 5)
        mean = np.repeat(moving_average(panel, window, rows - 1)[:, None], horizon, axis=1)

        def deviation() -> Array:
            error = panel.target.copy()
            error[1:] -= moving_average(panel, window, np.arange(len(error) - 1))
            error[panel.starts] = np.nan
            return np.repeat(running_deviation(panel, error, series, rows)[:, None], horizon, axis=1)

        return gaussian(mean, deviation, levels)


@dataclass(kw_only=True, repr=False, eq=False)
class Naive2Forecaster(PanelForecaster):
    """Naive2 of the M competitions: the last value, seasonally adjusted where a test finds a season.

        ŷ_{n+k} = (y_n / s_{φ(n)}) s_{φ(n+k)},    σ_k = σ √k s_{φ(n+k)}

    s are the classical multiplicative indices: y over its centred moving average of m steps, averaged by phase φ, with
    mean 1. Seasonal if n ≥ 3m and |r_m| > 1.645 √((1 + 2 Σ_{i<m} r_i²)/n), r the autocorrelations, and m ≤ 10 log₁₀ n
    (as far as R's ``acf`` goes); else s = 1. Of a history with values ≤ 0 the indices are differences, and add. σ is
    that of the one-step differences of the adjusted values. For the test and the indices, gaps are filled with the
    last value of the same phase.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static
        As in every forecaster; m is ``season_length``, or that of the frequency. Covariates are not used.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition, section 2 and the R code of its benchmarks.

    Examples
    --------
    >>> import pandas as pd
    >>> sawtooth = pd.Series([1.0, 2.0, 3.0] * 20)
    >>> Naive2Forecaster(season_length=3).fit(sawtooth).forecast(4).round(6).tolist()
    [1.0, 2.0, 3.0, 1.0]
    """

    used_covariates = ()

    def _learn(self, panel: Panel) -> None:
        check_season(self._season(panel))

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        season, last = self._season(panel), last_known(panel)
        mean = np.empty((len(rows), horizon))
        deviation = np.empty_like(mean)
        for number in np.unique(series):
            chosen = np.flatnonzero(series == number)
            begin = int(panel.starts[number])
            length = rows[chosen] - begin
            values = filled_by_phase(panel.target[begin : begin + int(length.max())], season)
            adjust = _Adjustment.of(values, length, season)
            place = last[rows[chosen] - 1] - begin
            mean[chosen] = adjust.forecast(values, place, length, horizon)
            if levels is not None:
                deviation[chosen] = adjust.deviation(panel.target[begin:], place, length, horizon)
        return gaussian(mean, lambda: deviation, levels)


@dataclass
class _Adjustment:
    """Seasonal indices of one series at many origins: ``index`` (origins, m), and whether they multiply."""

    index: Array
    times: Array

    @classmethod
    def of(cls, values: Array, length: Array, season: int) -> _Adjustment:
        times = np.minimum.accumulate(values)[length - 1] > 0
        index = np.where(times[:, None], 1.0, 0.0) * np.ones(season)
        seasonal = is_seasonal(values, length, season)
        for multiply in (True, False):
            chosen = seasonal & (times == multiply)
            if chosen.any():
                index[chosen] = seasonal_indices(values, length[chosen], season, multiply)
        return cls(index, times)

    def forecast(self, values: Array, place: Array, length: Array, horizon: int) -> Array:
        """The last known value, adjusted, times (or plus) the indices ahead."""
        origin, ahead = np.arange(len(length)), self._ahead(length, horizon)
        own = self.index[origin, place % self.index.shape[1]]
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.where(self.times, values[place] / own, values[place] - own)[:, None]
        return np.where(self.times[:, None], level * ahead, level + ahead)

    def deviation(self, target: Array, place: Array, length: Array, horizon: int) -> Array:
        """σ of the adjusted values' one-step differences, grown and put back into season."""
        phase = np.arange(int(length.max())) % self.index.shape[1]
        spread = np.empty(len(length))
        for origin, (n, multiply) in enumerate(zip(length, self.times, strict=True)):
            index = self.index[origin, phase[:n]]
            adjusted = target[:n] / index if multiply else target[:n] - index
            spread[origin] = root_mean_square(np.diff(adjusted))
        steps = (length - place)[:, None] + np.arange(horizon)
        season = np.where(self.times[:, None], self._ahead(length, horizon), 1.0)
        return spread[:, None] * np.sqrt(steps) * season

    def _ahead(self, length: Array, horizon: int) -> Array:
        phase = (length[:, None] + np.arange(horizon)) % self.index.shape[1]
        return np.take_along_axis(self.index, phase, axis=1)


def is_seasonal(values: Array, length: Array, season: int) -> Array:
    """Whether the leading rows of a series show a season, by M4's test on the autocorrelation.

    Parameters
    ----------
    values : array, shape (time,)
    length : array of int, shape (origins,)
        How many leading rows count.
    season : int

    Returns
    -------
    array of bool, shape (origins,)

    Examples
    --------
    >>> is_seasonal(np.tile([1.0, 2.0, 3.0], 20), np.array([8, 60]), 3)
    array([False,  True])
    """
    enough = (length >= 3 * season) & (season <= np.floor(10 * np.log10(length)))
    if season == 1 or not enough.any():
        return np.zeros(len(length), dtype=bool)
    r = _autocorrelations(values - values[0], length[enough], season)
    limit = SIGNIFICANT * np.sqrt((1 + 2 * np.sum(r[:, :-1] ** 2, axis=1)) / length[enough])
    found = np.zeros(len(length), dtype=bool)
    found[enough] = np.abs(r[:, -1]) > limit
    return found


def _autocorrelations(values: Array, length: Array, lags: int) -> Array:
    """r_1 … r_lags of the leading rows, (origins, lags), from running sums; constant rows have none: 0."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    square = np.cumsum(values**2)[length - 1]
    mean = total[length] / length
    covariance = np.empty((len(length), lags))
    for lag in range(1, lags + 1):
        product = np.concatenate([np.zeros(lag), np.cumsum(values[lag:] * values[:-lag])])[length - 1]
        sides = total[length] - total[lag] + total[length - lag]
        covariance[:, lag - 1] = product - mean * sides + (length - lag) * mean**2
    variance = square - length * mean**2
    flat = variance <= 1e-12 * square
    return np.where(flat[:, None], 0.0, covariance / np.where(flat, 1.0, variance)[:, None])


def seasonal_indices(values: Array, length: Array, season: int, multiply: bool) -> Array:
    """Classical seasonal indices of the leading rows, (origins, season), by phase counted from the first row.

    Parameters
    ----------
    values : array, shape (time,)
    length : array of int, shape (origins,)
        How many leading rows count; at least two seasons.
    season : int
    multiply : bool
        Ratios to the moving average, with mean 1; else differences, with mean 0.

    Returns
    -------
    array, shape (origins, season)

    Examples
    --------
    >>> seasonal_indices(np.tile([1.0, 2.0, 3.0], 4), np.array([12]), 3, True)
    array([[0.5, 1. , 1.5]])
    """
    weights = np.ones(season) if season % 2 else np.concatenate([[0.5], np.ones(season - 1), [0.5]])
    half = season // 2
    average = np.convolve(values, weights / season, mode="valid")
    inner = values[half : half + len(average)]
    blocks = np.zeros((-(-len(values) // season), season))
    count = np.zeros_like(blocks)
    blocks.reshape(-1)[half : half + len(average)] = inner / average if multiply else inner - average
    count.reshape(-1)[half : half + len(average)] = 1.0
    block = (length[:, None] - 1 - half - np.arange(season)) // season
    phase = np.arange(season)
    index = np.cumsum(blocks, axis=0)[block, phase] / np.cumsum(count, axis=0)[block, phase]
    mean = index.mean(axis=1, keepdims=True)
    return index / mean if multiply else index - mean


def filled_by_phase(values: Array, season: int) -> Array:
    """Values whose gaps hold the last value of the same phase; before there is one, the last value.

    Parameters
    ----------
    values : array, shape (time,)
        The first is known.
    season : int

    Returns
    -------
    array, shape (time,)

    Examples
    --------
    >>> filled_by_phase(np.array([1.0, 2.0, np.nan, np.nan, np.nan]), 2)
    array([1., 2., 1., 2., 1.])
    """
    filled = values.copy()
    for row in np.flatnonzero(np.isnan(values)).tolist():
        filled[row] = filled[row - season] if row >= season else filled[max(row - 1, 0)]
    return filled


def gaussian(mean: Array, deviation: Any, levels: Array | None) -> Forecasts:
    """A Gaussian forecast: z_q σ about the mean; the deviation is asked for with quantiles only."""
    if levels is None:
        return Forecasts(mean)
    return Forecasts(mean, np.sort(mean[..., None] + deviation()[..., None] * norm.ppf(levels), axis=-1))


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


def check_season(season: int) -> int:
    """The season's length, if it is at least 1."""
    if season < 1:
        raise ValueError(f"season_length must be None or an int of at least 1, got {season!r}.")
    return season


def _about_the_slope(panel: Panel, series: Array, rows: Array, slope: Array) -> Array:
    """Standard deviation of the one-step differences about a slope; one degree of freedom is the slope's."""
    step = differences(panel, 1)
    square, count = running_sums(panel, step**2, series, rows)
    total, _ = running_sums(panel, step, series, rows)
    variance = np.maximum(square - 2 * slope * total + count * slope**2, 0.0) / np.maximum(count - 1, 1)
    return np.where(count > 0, np.sqrt(variance), np.nan)


def root_mean_square(errors: Array) -> float:
    """√mean e², NaN left out; NaN if nothing is known."""
    known = errors[~np.isnan(errors)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else np.nan

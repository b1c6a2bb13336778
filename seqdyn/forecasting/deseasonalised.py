"""Naive2 of the M competitions: the last value, seasonally adjusted where a test finds a season."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqdyn.arrays import Array
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.history import last_known, root_mean_square
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.seasons import gaps_continued

SIGNIFICANT = 1.645
"""How many standard errors the autocorrelation at lag m needs to count as a season: 90 %, two-sided."""


@dataclass(kw_only=True, repr=False, eq=False)
class DeseasonalisedNaiveForecaster(PanelForecaster):
    """Naive2 of the M competitions: the last value, seasonally adjusted where a test finds a season.

        ŷ_{n+k} = (y_n / s_{φ(n)}) s_{φ(n+k)},    σ_k = σ √k s_{φ(n+k)}

    s are the classical multiplicative indices: y over its centred moving average of m steps, averaged by phase φ, with
    mean 1. Seasonal if n ≥ 3m and |r_m| > 1.645 √((1 + 2 Σ_{i<m} r_i²)/n), r the autocorrelations, and m ≤ 10 log₁₀ n
    (as far as R's ``acf`` goes); else s = 1. Of a history with values ≤ 0 the indices are differences, and add. σ is
    that of the one-step differences of the adjusted values. For the test and the indices, gaps are filled with the
    last value of the same phase.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster; m is ``season_length``, or that of the frequency. Covariates are not used.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition, section 2 and the R code of its benchmarks.

    Examples
    --------
    >>> import pandas as pd
    >>> sawtooth = pd.Series([1.0, 2.0, 3.0] * 20)
    >>> DeseasonalisedNaiveForecaster(season_length=3).fit(sawtooth).forecast(4).round(6).tolist()
    [1.0, 2.0, 3.0, 1.0]
    """

    used_covariates = ()

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, series, rows, horizon = request.panel, request.series, request.rows, request.horizon
        season, last = self.season_of(panel), last_known(panel)
        mean = np.empty((len(rows), horizon))
        deviation = np.empty_like(mean)
        for number in np.unique(series):
            chosen = np.flatnonzero(series == number)
            begin = int(panel.starts[number])
            length = rows[chosen] - begin
            values = gaps_continued(panel.target[begin : begin + int(length.max()), None], season)[:, 0]
            adjust = _Adjustment.of(values, length, season)
            place = last[rows[chosen] - 1] - begin
            mean[chosen] = adjust.forecast(values, place, length, horizon)
            if request.levels is not None:
                deviation[chosen] = adjust.deviation(panel.target[begin:], place, length, horizon)
        return Forecasts.gaussian(mean, lambda: deviation, request.levels)


Naive2Forecaster = DeseasonalisedNaiveForecaster
"""The name of the M competitions."""


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
        sigma = np.empty(len(length))
        for origin, (n, multiply) in enumerate(zip(length, self.times, strict=True)):
            index = self.index[origin, phase[:n]]
            adjusted = target[:n] / index if multiply else target[:n] - index
            sigma[origin] = root_mean_square(np.diff(adjusted))
        steps = (length - place)[:, None] + np.arange(horizon)
        season = np.where(self.times[:, None], self._ahead(length, horizon), 1.0)
        return sigma[:, None] * np.sqrt(steps) * season

    def _ahead(self, length: Array, horizon: int) -> Array:
        phase = (length[:, None] + np.arange(horizon)) % self.index.shape[1]
        return np.take_along_axis(self.index, phase, axis=1)


def is_seasonal(values: Array, length: Array, season: int) -> Array:
    """Whether leading rows of a series show a season, by M4's test on the autocorrelation, (origins,).

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

    Rows are at least two seasons. If indices multiply they are ratios to the moving average, with mean 1; else
    differences, with mean 0.

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

"""Naive forecasters: what every other one has to beat. They forecast from many origins at once.

Missing values do not count: where a formula says y_n, the last *known* value before the origin stands. With quantiles
the forecast is Gaussian around the point, its σ the root mean square of the in-sample differences before the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.panels import Panel
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.history import (
    differences,
    last_known,
    moving_average,
    one_step_deviation,
    running_deviation,
    running_sums,
    seasonal_places,
)
from seqdyn.forecasting.request import ForecastRequest, Forecasts


@dataclass(kw_only=True, repr=False, eq=False)
class NaiveForecaster(PanelForecaster):
    """The naive forecast: the last known value.

        ŷ_{n+k} = y_n,    σ_k = σ √k

    σ is that of the one-step differences; steps count from the last known value.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
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

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, rows, horizon = request.panel, request.rows, request.horizon
        last = last_known(panel)[rows - 1]
        mean = np.repeat(panel.target[last][:, None], horizon, axis=1)
        steps = rows[:, None] + np.arange(horizon) - last[:, None]

        def deviation() -> Array:
            return one_step_deviation(panel, request.series, rows)[:, None] * np.sqrt(steps)

        return Forecasts.gaussian(mean, deviation, request.levels)


@dataclass(kw_only=True, repr=False, eq=False)
class SeasonalNaiveForecaster(PanelForecaster):
    """The seasonal naive forecast: the last known value of the same phase of the season.

        ŷ_{n+k} = y_{n+k−jm},    σ_k = σ √j,    j the least for which it is known: ⌊(k − 1)/m⌋ + 1 without gaps

    σ is that of the m-step differences. A phase that was never observed gets the last known value.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
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

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, series, rows = request.panel, request.series, request.rows
        season, step = self.season_of(panel), np.arange(request.horizon)
        place = seasonal_places(panel, series, rows, season, min(season, len(step)))[:, step % season]
        seen = place >= 0
        place = np.where(seen, place, last_known(panel)[rows - 1][:, None])
        steps = rows[:, None] + step - place

        def deviation() -> Array:
            single = one_step_deviation(panel, series, rows)[:, None]
            found = running_deviation(panel, differences(panel, season), series, rows)[:, None]
            found = np.where(np.isnan(found), single, found)
            return np.where(seen, found * np.sqrt(steps / season), single * np.sqrt(steps))

        return Forecasts.gaussian(panel.target[place], deviation, request.levels)


@dataclass(kw_only=True, repr=False, eq=False)
class DriftForecaster(PanelForecaster):
    """The straight line through the first and the last known value.

        ŷ_{n+k} = y_n + k (y_n − y_1)/(n − 1),    σ_k = σ √(k (1 + k/(n − 1)))

    σ is that of the one-step differences about their mean; steps count from the last known value.

    Parameters
    ----------
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
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

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, series, rows = request.panel, request.series, request.rows
        first, last = panel.starts[series], last_known(panel)[rows - 1]
        slope = (panel.target[last] - panel.target[first]) / np.maximum(last - first, 1)
        steps = (rows - last)[:, None] + np.arange(request.horizon)
        mean = panel.target[last][:, None] + steps * slope[:, None]

        def deviation() -> Array:
            sigma = _about_the_slope(panel, series, rows, slope)[:, None]
            return sigma * np.sqrt(steps * (1 + steps / np.maximum(last - first, 1)[:, None]))

        return Forecasts.gaussian(mean, deviation, request.levels)


@dataclass(kw_only=True, repr=False, eq=False)
class MovingAverageForecaster(PanelForecaster):
    """The mean of the last known values.

        ŷ_{n+k} = (1/w) Σ_{i<w} y_{n−i},    σ_k = σ

    σ is that of its own one-step errors before the origin: it takes the level to stay where it is.

    Parameters
    ----------
    window : int or None, at least 1
        w, how many known values count; a season if None, or 5 where there is none.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
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
        check_count("window", self.window, others=(None,))

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, series, rows, horizon = request.panel, request.series, request.rows, request.horizon
        season = self.season_of(panel)
        window = self.window or (season if season > 1 else 5)
        mean = np.repeat(moving_average(panel, window, rows - 1)[:, None], horizon, axis=1)

        def deviation() -> Array:
            error = panel.target.copy()
            error[1:] -= moving_average(panel, window, np.arange(len(error) - 1))
            error[panel.starts] = np.nan
            return np.repeat(running_deviation(panel, error, series, rows)[:, None], horizon, axis=1)

        return Forecasts.gaussian(mean, deviation, request.levels)


def _about_the_slope(panel: Panel, series: Array, rows: Array, slope: Array) -> Array:
    """Standard deviation of the one-step differences about a slope; one degree of freedom is the slope's."""
    step = differences(panel, 1)
    square, count = running_sums(panel, step**2, series, rows)
    total, _ = running_sums(panel, step, series, rows)
    variance = np.maximum(square - 2 * slope * total + count * slope**2, 0.0) / np.maximum(count - 1, 1)
    return np.where(count > 0, np.sqrt(variance), np.nan)

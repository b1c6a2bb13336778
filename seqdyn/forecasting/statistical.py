"""Exponential smoothing, one model a series: statsmodels fits it, own recursions run it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.auto_regression import LEAST_ROWS, AutoRegForecaster, last_value_notes, linearly_bridged
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.envelope import Envelope, held_forecasts, held_within
from seqdyn.forecasting.history import root_mean_square
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.progress import Callback, track

__all__ = ["AutoRegForecaster", "ExponentialSmoothingForecaster"]


class Smoothing(NamedTuple):
    """Parameters of exponential smoothing; of one series as numbers, of many as arrays.

    Attributes
    ----------
    level, trend, season : float in [0, 1]
        α, β and γ.
    damping : float in (0, 1]
        φ.
    """

    level: Any = 1.0
    trend: Any = 0.0
    season: Any = 0.0
    damping: Any = 1.0


@dataclass(kw_only=True, repr=False, eq=False)
class ExponentialSmoothingForecaster(PanelForecaster):
    """Holt–Winters exponential smoothing: a level, a trend and a season, each an exponentially weighted average.

        ŷ_{t+k} = (l_t + (φ + … + φᵏ) b_t) s_{t+k−m}
        l_t = α y_t / s_{t−m} + (1 − α)(l_{t−1} + φ b_{t−1})
        b_t = β (l_t − l_{t−1}) + (1 − β) φ b_{t−1}
        s_t = γ y_t / (l_{t−1} + φ b_{t−1}) + (1 − γ) s_{t−m}

    for a multiplicative season; s is added and subtracted in an additive one. α, β, γ, φ and the first states are
    statsmodels' least squares for every series. Missing values are interpolated linearly for the fit; when the
    history before an origin is run through, the model's own prediction takes their place, so nothing later is looked
    at. σ_k follows from the response of the forecast to a shock of one step; errors of a multiplicative model are
    relative. Forecasts are clipped as those of :class:`seqdyn.RidgeForecaster` are. A series that cannot be fitted
    gets its last value; a warning and ``notes_`` say so.

    Parameters
    ----------
    trend : bool
        Whether there is a trend.
    damped : bool
        Whether φ is fitted; else φ = 1.
    seasonal : {"auto", "add", "mul"} or None
        "auto": multiplicative for series that are positive, else additive; none if 1 < m ≤ ``longest_season`` does not
        hold. A series shorter than three seasons has none.
    longest_season : int, at least 1
        See ``seasonal``; longer seasons have too many states.
    n_jobs : int or None
        Series fitted at the same time, as in joblib.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster; covariates are not used.

    Attributes
    ----------
    smoothing_ : array, shape (series, 4)
        α, β, γ, φ.
    initial_ : array, shape (series, 2)
        Level and trend before the first row.
    seasons_ : array, shape (series, m)
        The season before the first row, from its phase on.
    multiply_ : array of bool, shape (series,)
    deviation_ : array, shape (series,)
        Root mean square of the one-step errors in the fit, relative where the season multiplies.
    notes_ : list of str
        Series that could not be fitted, and why.

    References
    ----------
    Winters (1960), Forecasting Sales by Exponentially Weighted Moving Averages; Hyndman & Athanasopoulos (2021),
    Forecasting: Principles and Practice, 3rd ed., sections 8.3 and 8.7.

    Examples
    --------
    >>> import pandas as pd
    >>> line = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    >>> ExponentialSmoothingForecaster().fit(line).forecast(2).round(3).tolist()
    [11.0, 12.0]
    """

    trend: bool = True
    damped: bool = False
    seasonal: Any = "auto"
    longest_season: int = 60
    n_jobs: int | None = None

    used_covariates = ()

    def _learn(self, panel: Panel) -> None:
        season = self.season_of(panel)
        if self.seasonal not in ("auto", "add", "mul", None):
            raise ValueError(f"seasonal must be 'auto', 'add', 'mul' or None, got {self.seasonal!r}.")
        names = [repr(name) for name in panel.names]
        blocks = [panel.target[panel.rows(i)] for i in range(len(names))]
        tasks = [(block, *self._kind(block, season)) for block in blocks]
        fits = _fit_series(self.n_jobs, tasks, self.verbose, self.callback)
        self.smoothing_ = np.array([fit["smoothing"] for fit in fits])
        self.initial_ = np.array([fit["initial"] for fit in fits])
        self.multiply_ = np.array([fit["multiply"] for fit in fits])
        self.deviation_ = np.array([fit["deviation"] for fit in fits])
        self.seasons_ = np.array([_tiled(fit["seasons"], season) for fit in fits])
        self.notes_ = last_value_notes(type(self).__name__, names, [fit["note"] for fit in fits])

    def _kind(self, values: Array, season: int) -> tuple[str | None, str | None, bool, int]:
        """Trend, season, damping and m for one series."""
        trend = "add" if self.trend else None
        kind = self.seasonal
        if not 1 < season <= self.longest_season or len(values) < 3 * season:
            kind = None
        elif kind == "auto":
            kind = "mul" if np.nanmin(values) > 0 else "add"
        return trend, kind, self.damped and self.trend, season

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, series, rows, horizon = request.panel, request.series, request.rows, request.horizon
        owner = self.panel_.names.get_indexer(panel.names)
        level, trend = np.empty(len(rows)), np.empty(len(rows))
        seasons = np.empty((len(rows), self.seasons_.shape[1]))
        for number in np.unique(series):
            chosen = np.flatnonzero(series == number)
            states = self._filtered(panel, int(number), int(owner[number]), rows[chosen] - panel.starts[number])
            level[chosen], trend[chosen], seasons[chosen] = states
        states = level, trend, seasons
        plain = self._run(owner[series], states, horizon, 0.0)
        mean, _ = held_within(plain, Envelope.of(panel, rows).limits(horizon))
        found = Forecasts.gaussian(mean, lambda: self._deviation(owner[series], states, plain), request.levels)
        return held_forecasts(type(self).__name__, request, plain, found.quantiles)[0]

    def _filtered(self, panel: Panel, number: int, own: int, length: Array) -> tuple[Array, Array, Array]:
        """Level, trend and the seasons ahead of one series, before some of its rows."""
        level, trend, seasons = self._start(panel, number, own)
        smoothing, multiply, m = Smoothing(*map(float, self.smoothing_[own])), bool(self.multiply_[own]), len(seasons)
        values = panel.target[panel.rows(number)][: int(length.max())].tolist()
        path = []
        wanted, current = set(length.tolist()), list(seasons)
        for step, value in enumerate(values):
            phase = step % m
            level, trend, current[phase], _ = smooth(smoothing, multiply, level, trend, current[phase], value)
            if step + 1 in wanted:
                ahead = (step + 1) % m
                path.append((level, trend, current[ahead:] + current[:ahead]))
        place = np.searchsorted(np.unique(length), length)
        return tuple(np.array(part)[place] for part in zip(*path, strict=True))  # type: ignore[return-value]

    def _start(self, panel: Panel, number: int, own: int) -> tuple[float, float, list[float]]:
        """The first state; where a history begins elsewhere than that of the fit, the season is turned to its phase."""
        level, trend = map(float, self.initial_[own])
        seasons = self.seasons_[own].tolist()
        fitted, here = self.panel_.times[self.panel_.starts[own]], panel.times[panel.starts[number]]
        if fitted == here:
            return level, trend, seasons
        shift = len(panel.grid.between(min(fitted, here), max(fitted, here))) - 1
        shift = (shift if here > fitted else -shift) % len(seasons)
        seasons = seasons[shift:] + seasons[:shift]
        first = float(panel.target[panel.starts[number]])
        return (first / seasons[0] if self.multiply_[own] else first - seasons[0]), trend, seasons

    def _run(self, owner: Array, states: tuple[Array, Array, Array], horizon: int, shock: Any) -> Array:
        """Forecasts from many states, (origins, horizon), the first step's value being ``shock`` off its prediction."""
        (level, trend, seasons), season = states, self.seasons_.shape[1]
        smoothing, multiply = Smoothing(*self.smoothing_[owner].T), self.multiply_[owner]
        seasons = seasons.copy()
        found = np.empty((len(level), horizon))
        for step in range(horizon):
            phase = step % season
            found[:, step] = one_step_prediction(smoothing, multiply, level, trend, seasons[:, phase])
            value = found[:, step] + (shock if step == 0 else 0.0)
            level, trend, seasons[:, phase], _ = smooth(smoothing, multiply, level, trend, seasons[:, phase], value)
        return found

    def _deviation(self, owner: Array, states: tuple[Array, Array, Array], plain: Array) -> Array:
        """σ_k: the own error of every step, and what shocks of the steps before have grown to."""
        multiply = self.multiply_[owner][:, None]
        own = self.deviation_[owner][:, None] * np.where(multiply, np.abs(plain), 1.0)
        response = self._run(owner, states, plain.shape[1], own[:, 0]) - plain
        return np.sqrt(own**2 + np.cumsum(response**2, axis=1))


def one_step_prediction(smoothing: Smoothing, multiply: Any, level: Any, trend: Any, season: Any) -> Any:
    """The one-step prediction of exponential smoothing; of numbers, or of arrays elementwise."""
    base = level + smoothing.damping * trend
    if isinstance(multiply, bool):
        return base * season if multiply else base + season
    return np.where(multiply, base * season, base + season)


def smooth(smoothing: Smoothing, multiply: Any, level: Any, trend: Any, season: Any, value: Any) -> tuple[Any, ...]:
    """One step of exponential smoothing: level, trend and season of this phase after it, and the prediction before it.

    A missing value (NaN) is taken as predicted.

    Examples
    --------
    >>> smooth(Smoothing(0.5), False, 1.0, 0.0, 0.0, 3.0)
    (2.0, 0.0, 0.0, 1.0)
    """
    guess = one_step_prediction(smoothing, multiply, level, trend, season)
    base = level + smoothing.damping * trend
    if isinstance(multiply, bool):
        value = guess if value != value else value
        bare, ratio = _taken_out(value, season, multiply), _taken_out(value, base, multiply)
    else:
        value = np.where(np.isnan(value), guess, value)
        with np.errstate(divide="ignore", invalid="ignore"):
            bare = np.where(multiply, np.where(season != 0, value / season, base), value - season)
            ratio = np.where(multiply, np.where(base != 0, value / base, season), value - base)
    after = smoothing.level * bare + (1 - smoothing.level) * base
    slope = smoothing.trend * (after - level) + (1 - smoothing.trend) * smoothing.damping * trend
    return after, slope, smoothing.season * ratio + (1 - smoothing.season) * season, guess


def _taken_out(value: float, part: float, multiply: bool) -> float:
    if not multiply:
        return value - part
    return value / part if part else value


def _fit_series(
    n_jobs: int | None, tasks: list[tuple[Any, ...]], verbose: bool | int, callback: Callback | None
) -> list[dict[str, Any]]:
    """The fits of all series, side by side if asked for; the last value of those that the callback leaves out."""
    work = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(_smoothed)(*task) for task in tasks)
    watched = track(work, "fit", "series", total=len(tasks), verbose=verbose, callback=callback)
    found: list[dict[str, Any]] = list(watched)
    rest = tasks[len(found) :]
    return found + [_last_value(linearly_bridged(task[0]), "the fit was ended before it") for task in rest]


def _smoothed(values: Array, trend: str | None, seasonal: str | None, damped: bool, season: int) -> dict[str, Any]:
    """Exponential smoothing of one series; the last value if it cannot be fitted."""
    multiply = seasonal == "mul"
    whole = linearly_bridged(values)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = _statsmodels_smoothing(whole, trend, seasonal, damped, season)
        found = fitted.params
        known: dict[str, Any] = {
            "smoothing": _fitted_parameters(found, trend, seasonal, damped),
            "initial": (float(found["initial_level"]), float(found["initial_trend"]) if trend else 0.0),
            "seasons": np.asarray(found["initial_seasons"], dtype=np.float64) if seasonal else np.zeros(1),
        }
        guess = np.asarray(fitted.fittedvalues)
        if not np.isfinite(guess).all() or not all(np.isfinite(part).all() for part in known.values()):
            raise ValueError("the fit is not finite")
    except (ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError) as error:
        return _last_value(whole, str(error))
    off = (whole - guess) / np.where(multiply, guess, 1.0)
    return known | {"multiply": multiply, "deviation": root_mean_square(off[~np.isnan(values)]), "note": ""}


def _last_value(whole: Array, note: str) -> dict[str, Any]:
    """What stands for a fit that failed: the last value goes on."""
    return {
        "smoothing": Smoothing(),
        "initial": (float(whole[0]), 0.0),
        "seasons": np.zeros(1),
        "multiply": False,
        "deviation": root_mean_square(np.diff(whole)),
        "note": note,
    }


def _statsmodels_smoothing(values: Array, trend: str | None, seasonal: str | None, damped: bool, season: int) -> Any:
    if len(values) < LEAST_ROWS:
        raise ValueError(f"it has {len(values)} rows, fewer than {LEAST_ROWS}")
    model = ExponentialSmoothing(
        values,
        trend=trend,
        damped_trend=damped,
        seasonal=seasonal,
        seasonal_periods=season if seasonal else None,
        initialization_method="estimated",
    )
    return model.fit()


def _fitted_parameters(found: dict[str, Any], trend: str | None, seasonal: str | None, damped: bool) -> Smoothing:
    return Smoothing(
        float(found["smoothing_level"]),
        float(found["smoothing_trend"]) if trend else 0.0,
        float(found["smoothing_seasonal"]) if seasonal else 0.0,
        float(found["damping_trend"]) if damped else 1.0,
    )


def _tiled(seasons: Array, season: int) -> Array:
    """A season as an array of m; one number stands for all phases."""
    return np.full(season, seasons[0]) if len(seasons) == 1 else seasons

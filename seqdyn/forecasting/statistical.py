"""Classical statistical forecasters, one model a series: exponential smoothing and autoregression."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from seqdyn.checks import check_choice, check_count, outside
from seqdyn.data.panels import Panel
from seqdyn.forecasting.bounds import held, input_stretch, limits, runaways
from seqdyn.forecasting.contract import Forecasts, PanelForecaster
from seqdyn.forecasting.held_out import HeldOut, best
from seqdyn.forecasting.lags import default_input_lags
from seqdyn.forecasting.least_squares import Order, fit
from seqdyn.forecasting.linear_weights import Weights, roll
from seqdyn.forecasting.naive import check_season, gaussian, root_mean_square
from seqdyn.forecasting.tables import series_means
from seqdyn.forecasting.units import Units, log_choices

Array = np.ndarray[Any, Any]

FEWEST = 8
"""Rows below which nothing is fitted."""


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
    """Exponential smoothing after Holt and Winters: a level, a trend and a season, each an average that forgets.

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
    freq, season_length, id_col, time_col, target_col, past, future, static
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
        season = check_season(self._season(panel))
        if self.seasonal not in ("auto", "add", "mul", None):
            raise ValueError(f"seasonal must be 'auto', 'add', 'mul' or None, got {self.seasonal!r}.")
        names = [repr(name) for name in panel.names]
        blocks = [panel.target[panel.rows(i)] for i in range(len(names))]
        fits = _each(self.n_jobs, _smoothed, [(block, *self._kind(block, season)) for block in blocks])
        self.smoothing_ = np.array([fit["smoothing"] for fit in fits])
        self.initial_ = np.array([fit["initial"] for fit in fits])
        self.multiply_ = np.array([fit["multiply"] for fit in fits])
        self.deviation_ = np.array([fit["deviation"] for fit in fits])
        self.seasons_ = np.array([_tiled(fit["seasons"], season) for fit in fits])
        self.notes_ = _notes(type(self).__name__, names, [fit["note"] for fit in fits])

    def _kind(self, values: Array, season: int) -> tuple[str | None, str | None, bool, int]:
        """Trend, season, damping and m for one series."""
        trend = "add" if self.trend else None
        kind = self.seasonal
        if not 1 < season <= self.longest_season or len(values) < 3 * season:
            kind = None
        elif kind == "auto":
            kind = "mul" if np.nanmin(values) > 0 else "add"
        return trend, kind, self.damped and self.trend, season

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        owner = self.panel_.names.get_indexer(panel.names)
        level, trend = np.empty(len(rows)), np.empty(len(rows))
        seasons = np.empty((len(rows), self.seasons_.shape[1]))
        for number in np.unique(series):
            chosen = np.flatnonzero(series == number)
            states = self._filtered(panel, int(number), int(owner[number]), rows[chosen] - panel.starts[number])
            level[chosen], trend[chosen], seasons[chosen] = states
        states = level, trend, seasons
        plain = self._run(owner[series], states, horizon, 0.0)
        bounds = limits(panel, series, rows, horizon)
        mean, count = held(plain, bounds)
        notes = runaways(type(self).__name__, panel, series, count)
        found = gaussian(mean, lambda: self._deviation(owner[series], states, plain), levels)
        quantiles = None if found.quantiles is None else held(found.quantiles, bounds)[0]
        return Forecasts(mean, quantiles, notes)

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
            found[:, step] = predicted(smoothing, multiply, level, trend, seasons[:, phase])
            value = found[:, step] + (shock if step == 0 else 0.0)
            level, trend, seasons[:, phase], _ = smooth(smoothing, multiply, level, trend, seasons[:, phase], value)
        return found

    def _deviation(self, owner: Array, states: tuple[Array, Array, Array], plain: Array) -> Array:
        """σ_k: the own error of every step, and what shocks of the steps before have grown to."""
        multiply = self.multiply_[owner][:, None]
        own = self.deviation_[owner][:, None] * np.where(multiply, np.abs(plain), 1.0)
        response = self._run(owner, states, plain.shape[1], own[:, 0]) - plain
        return np.sqrt(own**2 + np.cumsum(response**2, axis=1))


def predicted(smoothing: Smoothing, multiply: Any, level: Any, trend: Any, season: Any) -> Any:
    """The one-step prediction of exponential smoothing; of numbers, or of arrays elementwise."""
    base = level + smoothing.damping * trend
    if isinstance(multiply, bool):
        return base * season if multiply else base + season
    return np.where(multiply, base * season, base + season)


def smooth(smoothing: Smoothing, multiply: Any, level: Any, trend: Any, season: Any, value: Any) -> tuple[Any, ...]:
    """One step of exponential smoothing; a missing value (NaN) is taken as predicted.

    Parameters
    ----------
    smoothing : Smoothing
    multiply : bool, or array of bool
    level, trend, season : float or array
        l, b and s of this phase, before the step.
    value : float or array
        y.

    Returns
    -------
    tuple
        Level, trend and season after the step, and the prediction before it.

    Examples
    --------
    >>> smooth(Smoothing(0.5), False, 1.0, 0.0, 0.0, 3.0)
    (2.0, 0.0, 0.0, 1.0)
    """
    guess = predicted(smoothing, multiply, level, trend, season)
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


@dataclass(kw_only=True, repr=False, eq=False)
class AutoRegForecaster(PanelForecaster):
    """Autoregression by least squares, one model a series.

        z_t = c + Σ_{i≤p} φ_i z_{t−i} + Σ_{j≤q} β_j u_{t−j} + ε_t,    σ_k² = σ² Σ_{j<k} ψ_j²

    ψ is the model's response to a shock of one step; z are values or logarithms, standardised; u are the covariates
    known ahead. Missing values are interpolated linearly for the fit; when the history before an origin is run
    through, the model's own prediction takes their place, so nothing later is looked at. A forecast that leaves its
    history and its trend by several ranges is held there, and a warning names the series. A series that cannot be
    fitted gets its last value; a warning and ``notes_`` say so.

    Parameters
    ----------
    lags : int or None, at least 1
        p. None: the larger of m and 10 log₁₀ n, but at most a quarter of the series, and 60.
    input_lags : int or None, at least 0
        q, how many earlier values of a covariate count, besides the present one. None: 4, less for series of fewer
        than 80 rows.
    log : bool or "auto"
        Logarithms; "auto": of series whose values are all positive in the fit, where they forecast the later half
        better by weights fitted to what came before.
    n_jobs : int or None
        Unused: all series are fitted at once. It is kept for files that name it.
    freq, season_length, id_col, time_col, target_col, past, future, static
        As in every forecaster; ``past`` and ``static`` are not used.

    Attributes
    ----------
    coefficients_ : array, shape (series, lags, 1)
        φ, that of the last value last.
    intercepts_ : array, shape (series, 1)
        c.
    input_coefficients_ : array, shape (series, input_lags + 1, inputs, 1)
        β, that of the present value last, in units of the inputs' deviations.
    logged_ : array of bool, shape (series,)
    deviation_ : array, shape (series,)
        σ, of z.
    notes_ : list of str
        Series that could not be fitted, and why.

    References
    ----------
    Hamilton (1994), Time Series Analysis, eqs. 3.4.31 and 4.2.28.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> wave = pd.Series(np.sin(np.arange(61) * np.pi / 6))
    >>> AutoRegForecaster(lags=2).fit(wave).forecast(2).round(3).tolist()
    [0.5, 0.866]
    """

    lags: int | None = None
    input_lags: int | None = None
    log: Any = "auto"
    n_jobs: int | None = None

    used_covariates = ("future",)

    def _learn(self, panel: Panel) -> None:
        season = check_season(self._season(panel))
        check_count("lags", self.lags, others=(None,))
        check_count("input_lags", self.input_lags, 0, (None,))
        check_choice("log", self.log, ("auto", True, False))
        whole, lags = _interpolated(panel), self._lags(panel.lengths, season)
        least = self._fewest(panel, lags)
        self.logged_ = self._logged(panel, whole, lags, season)
        units, weights = self._fitted(whole, self.logged_, lags)
        self.centre_, self.scale_ = units.centre, units.scale
        self.input_centre_, self.input_scale_ = units.input_centre, units.input_scale
        self.coefficients_, self.intercepts_ = weights.coefficients, weights.intercepts
        self.input_coefficients_ = weights.inputs
        self.deviation_ = self._residual(whole, units, weights, np.where(panel.lengths < least, 1, lags))
        rows = zip(panel.lengths, least, strict=True)
        faults = [f"it has {count} rows, fewer than {few}" if count < few else "" for count, few in rows]
        self.notes_ = _notes(type(self).__name__, [repr(name) for name in panel.names], faults)

    def _logged(self, panel: Panel, whole: Panel, lags: Array, season: int) -> Array:
        """Which series are logged: those that are forecast better so, where that is to be found out."""
        choices = log_choices(panel, self.log)
        if len(choices) == 1:
            return choices[0]
        last = HeldOut.of(panel, season, season)
        found = [last.errors(partial(self._tried, whole, logged, lags)) for logged in choices]
        return np.array(choices)[best(np.concatenate(found), False), np.arange(len(lags))]

    def _tried(self, whole: Panel, logged: Array, lags: Array, kept: Array) -> tuple[Units, list[Weights]]:
        units, weights = self._fitted(whole, logged, lags, kept)
        return units, [weights]

    def _lags(self, lengths: Array, season: int) -> Array:
        if self.lags is not None:
            return np.full(len(lengths), int(self.lags))
        most = np.minimum(np.maximum(season, (10 * np.log10(lengths)).astype(np.int64)), 60)
        return np.maximum(1, np.minimum(most, lengths // 4))

    def _fewest(self, panel: Panel, lags: Array) -> Array:
        """Rows below which a series is not fitted."""
        inputs = panel.future.shape[1] * (self._input_lags(panel) + 1)
        return np.maximum(FEWEST, 2 * lags + 2 + inputs)

    def _input_lags(self, panel: Panel) -> int:
        if not panel.future.shape[1]:
            return 0
        return default_input_lags(panel) if self.input_lags is None else int(self.input_lags)

    def _fitted(self, panel: Panel, logged: Array, lags: Array, kept: Array | None = None) -> tuple[Units, Weights]:
        """Units and weights of a panel without gaps, of some targets; the last value where there are too few."""
        units = Units.of(panel, 1, logged, "deviation")
        values, inputs = units.of_panel(panel, np.arange(len(lags))), units.of_inputs(panel.future, panel.series)
        parts = []
        for count in np.unique(lags):
            own = np.flatnonzero(lags == count)
            order = Order(int(count), self._input_lags(panel))
            parts.append((own, fit(panel, values, inputs, order, np.zeros((1, 1)), kept=kept, numbers=own)[0]))
        weights = Weights.joined(parts)
        rows = panel.lengths if kept is None else np.add.reduceat(kept, panel.starts, dtype=np.int64)
        few = rows < self._fewest(panel, lags)
        for part in (weights.coefficients, weights.intercepts, weights.inputs):
            part[few] = 0.0
        weights.coefficients[few, -1] = 1.0
        return units, weights

    def _residual(self, whole: Panel, units: Units, weights: Weights, lags: Array) -> Array:
        """Root mean square of the one-step errors of z in the rows of the fit, shape (series,)."""
        every = np.arange(len(lags))
        first = np.maximum(lags, weights.window - 1)
        rows = np.flatnonzero(whole.steps >= first[whole.series])
        z = roll(whole, every, units, weights, whole.series[rows], rows, 1, whole.future[rows][:, None])
        square = np.full(len(whole.target), np.nan)
        square[rows] = (units.of_panel(whole, every)[rows] - z[:, 0]) ** 2
        return np.sqrt(series_means(square, whole.starts))

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        number = self.panel_.names.get_indexer(panel.names)
        owner = number[series]
        units = Units(self.centre_, self.scale_, self.logged_, self.input_centre_, self.input_scale_)
        weights = Weights(self.coefficients_, self.intercepts_, self.input_coefficients_)
        z = roll(panel, number, units, weights, series, rows, horizon, future)
        bounds = limits(panel, series, rows, horizon, input_stretch(units.of_inputs(future, owner)))
        mean, count = held(units.restored(z, owner), bounds)
        notes = runaways(type(self).__name__, panel, series, count)
        found = gaussian(z, lambda: self._deviation(horizon)[owner], levels)
        if found.quantiles is None:
            return Forecasts(mean, None, notes)
        return Forecasts(mean, held(units.restored(found.quantiles, owner), bounds)[0], notes)

    def _deviation(self, horizon: int) -> Array:
        """σ_k of every series, (series, horizon), of z."""
        count, lags = self.coefficients_.shape[:2]
        shock = np.zeros((count, lags))
        shock[:, -1] = 1.0
        plain = Weights(self.coefficients_, np.zeros_like(self.intercepts_), np.zeros((count, 0, 0, 1)))
        response = np.ones((count, horizon))
        if horizon > 1:
            response[:, 1:] = plain.ahead(np.arange(count), shock, np.zeros((count, horizon, 0)), horizon - 1)
        with np.errstate(over="ignore"):
            return self.deviation_[:, None] * np.sqrt(np.cumsum(np.minimum(response**2, 1e100), axis=1))


def _interpolated(panel: Panel) -> Panel:
    """The panel with the gaps of its target bridged by straight lines."""
    target = panel.target.copy()
    for number in np.unique(panel.series[np.isnan(target)]):
        own = slice(int(panel.starts[number]), int(panel.ends[number]))
        target[own] = _bridged(target[own])
    return replace(panel, target=target)


def _each(n_jobs: int | None, fit: Any, tasks: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The fits of all series, side by side if asked for."""
    if n_jobs in (None, 1):
        return [fit(*task) for task in tasks]
    found: list[dict[str, Any]] = Parallel(n_jobs=n_jobs)(delayed(fit)(*task) for task in tasks)
    return found


def _smoothed(values: Array, trend: str | None, seasonal: str | None, damped: bool, season: int) -> dict[str, Any]:
    """Exponential smoothing of one series; the last value if it cannot be fitted."""
    multiply = seasonal == "mul"
    whole = _bridged(values)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = _statsmodels_smoothing(whole, trend, seasonal, damped, season)
        found = fitted.params
        known: dict[str, Any] = {
            "smoothing": _smoothing(found, trend, seasonal, damped),
            "initial": (float(found["initial_level"]), float(found["initial_trend"]) if trend else 0.0),
            "seasons": np.asarray(found["initial_seasons"], dtype=np.float64) if seasonal else np.zeros(1),
        }
        guess = np.asarray(fitted.fittedvalues)
        if not np.isfinite(guess).all() or not all(np.isfinite(part).all() for part in known.values()):
            raise ValueError("the fit is not finite")
    except (ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError) as error:
        step = np.diff(whole)
        return {
            "smoothing": Smoothing(),
            "initial": (float(whole[0]), 0.0),
            "seasons": np.zeros(1),
            "multiply": False,
            "deviation": float(np.sqrt(np.mean(step**2))) if len(step) else np.nan,
            "note": str(error),
        }
    off = (whole - guess) / np.where(multiply, guess, 1.0)
    return known | {"multiply": multiply, "deviation": root_mean_square(off[~np.isnan(values)]), "note": ""}


def _statsmodels_smoothing(values: Array, trend: str | None, seasonal: str | None, damped: bool, season: int) -> Any:
    if len(values) < FEWEST:
        raise ValueError(f"it has {len(values)} rows, fewer than {FEWEST}")
    model = ExponentialSmoothing(
        values,
        trend=trend,
        damped_trend=damped,
        seasonal=seasonal,
        seasonal_periods=season if seasonal else None,
        initialization_method="estimated",
    )
    return model.fit()


def _smoothing(found: dict[str, Any], trend: str | None, seasonal: str | None, damped: bool) -> Smoothing:
    return Smoothing(
        float(found["smoothing_level"]),
        float(found["smoothing_trend"]) if trend else 0.0,
        float(found["smoothing_seasonal"]) if seasonal else 0.0,
        float(found["damping_trend"]) if damped else 1.0,
    )


def _bridged(values: Array) -> Array:
    """Values whose gaps are bridged by straight lines; after the last known one they are level."""
    known = ~np.isnan(values)
    return np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])


def _tiled(seasons: Array, season: int) -> Array:
    """A season as an array of m; one number stands for all phases."""
    return np.full(season, seasons[0]) if len(seasons) == 1 else seasons


def _notes(model: str, names: list[str], faults: list[str]) -> list[str]:
    """What could not be fitted; one warning for all of it."""
    notes = [
        f"{model} could not be fitted to series {name} ({fault}): it forecasts the last value there."
        for name, fault in zip(names, faults, strict=True)
        if fault
    ]
    if notes:
        also = f" The same holds for {len(notes) - 1} other series; see notes_." if len(notes) > 1 else ""
        warnings.warn(notes[0] + also, stacklevel=outside())
    return notes

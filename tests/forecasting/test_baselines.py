"""Baselines against closed forms, statsmodels, loops by hand, and numbers that are known for public data."""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel
from seqdyn.forecasting.combination import CombinedForecaster
from seqdyn.forecasting.defaults import BASELINES, default_baselines
from seqdyn.forecasting.deseasonalised import DeseasonalisedNaiveForecaster
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.naive import (
    DriftForecaster,
    MovingAverageForecaster,
    NaiveForecaster,
    SeasonalNaiveForecaster,
)
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.ridge import RIDGE_PENALTIES, RidgeForecaster
from seqdyn.forecasting.statistical import AutoRegForecaster, ExponentialSmoothingForecaster

Array = np.ndarray[Any, Any]

LEVELS = np.array([0.05, 0.3, 0.5, 0.9])

ALL = {
    "naive": NaiveForecaster(season_length=4),
    "seasonal_naive": SeasonalNaiveForecaster(season_length=4),
    "drift": DriftForecaster(season_length=4),
    "moving_average": MovingAverageForecaster(season_length=4, window=3),
    "naive2": DeseasonalisedNaiveForecaster(season_length=4),
    "exponential_smoothing": ExponentialSmoothingForecaster(season_length=4),
    "exponential_smoothing_add": ExponentialSmoothingForecaster(season_length=4, seasonal="add", damped=True),
    "auto_regression": AutoRegForecaster(season_length=4),
    "ridge": RidgeForecaster(season_length=4, calibration=12),
    "ridge_direct": RidgeForecaster(season_length=4, strategy="direct", horizon=3, calibration=12),
    "ridge_pooled": RidgeForecaster(season_length=4, pooled=True, penalty=1.0, calibration=12),
    "ridge_difference": RidgeForecaster(season_length=4, difference=1, centred=False, scale=None, calibration=12),
    "ridge_auto": RidgeForecaster(season_length=4, lags="auto", penalty="auto", selection="series", calibration=12),
    "combined": CombinedForecaster(
        models={"naive": NaiveForecaster(), "ridge": RidgeForecaster(calibration=12)},
        weights="validated",
        season_length=4,
    ),
}


FIVE = {
    "log": RidgeForecaster(centred=False, log=True),
    "log centred": RidgeForecaster(log=True),
    "raw": RidgeForecaster(log=False, penalty=100.0, centred=False),
    "raw centred": RidgeForecaster(log=False, penalty=100.0),
    "seasonal": SeasonalNaiveForecaster(),
}
"""Members of the combination for M4 Hourly."""


def sample(positive: bool = True, seed: int = 0) -> Panel:
    """Two series of a season of 4, of different lengths, with gaps."""
    generator = np.random.default_rng(seed)
    frames = []
    for name, length in (("long", 72), ("short", 50)):
        steps = np.arange(length)
        y = 20 + 0.1 * steps + 4 * np.sin(steps * np.pi / 2 + 0.3) + generator.normal(size=length)
        y = y if positive else y - 20
        y[generator.choice(np.arange(1, length), 6, replace=False)] = np.nan
        frames.append(pd.DataFrame({"unique_id": name, "ds": steps, "y": y}))
    return read_panel(pd.concat(frames))


def rolled(model: Any, panel: Panel, series: Any, rows: Any, horizon: int, levels: Any = None) -> Forecasts:
    """Forecasts from some origins."""
    series, rows = np.asarray(series), np.asarray(rows)
    request = ForecastRequest(panel, series, rows, horizon, np.zeros((len(rows), horizon, 0)), levels)
    found: Forecasts = model.forecast_from(request)
    return found


def forecast(model: Any, values: Any, horizon: int) -> Array:
    """Fit to the values and forecast what follows."""
    found: Array = model.fit(pd.Series(np.asarray(values, dtype=float))).forecast(horizon).to_numpy()
    return found


@pytest.fixture(scope="module", params=list(ALL))
def fitted(request: Any) -> tuple[Any, Panel]:
    """Every forecaster, fitted to the leading 40 rows of a panel, and the whole of it."""
    panel = sample()
    return clone(ALL[request.param]).fit_panel(panel.head(np.array([40, 40]))), panel


# -------------------------------------------------------------------- what every forecaster does


def test_many_origins_are_one_at_a_time(fitted: tuple[Any, Panel]) -> None:
    """All origins at once give what each gives by itself, from a panel that ends there."""
    model, panel = fitted
    series, steps = np.array([0, 1, 0, 1, 0, 0]), np.array([60, 45, 41, 50, 60, 3])
    together = rolled(model, panel, series, panel.starts[series] + steps, 7, LEVELS)
    for origin, (number, length) in enumerate(zip(series, steps, strict=True)):
        history = panel.head(np.where(np.arange(2) == number, length, 1))
        alone = rolled(model, history, [number], history.starts[[number]] + length, 7, LEVELS)
        np.testing.assert_allclose(together.mean[origin], alone.mean[0], rtol=1e-9)
        np.testing.assert_allclose(together.quantiles[origin], alone.quantiles[0], rtol=1e-9)  # type: ignore[index]


def test_the_future_is_not_looked_at(fitted: tuple[Any, Panel]) -> None:
    """Whatever comes at or after an origin, the forecast is the same to the last digit."""
    model, panel = fitted
    for step in (30, 44):
        rows = panel.starts + step
        before = rolled(model, panel, [0, 1], rows, 6, LEVELS)
        later = np.arange(len(panel.target)) - panel.starts[panel.series] >= step
        changes = (np.where(later, 1e6, panel.target), np.where(later, np.nan, panel.target))
        for changed in (*changes, np.where(later, -5.0, panel.target)):
            after = rolled(model, replace(panel, target=changed), [0, 1], rows, 6, LEVELS)
            np.testing.assert_array_equal(after.mean, before.mean)
            np.testing.assert_array_equal(after.quantiles, before.quantiles)


def test_series_are_known_by_name(fitted: tuple[Any, Panel]) -> None:
    """A panel of one of the series only, or in another order, changes nothing."""
    model, panel = fitted
    whole = rolled(model, panel, [1], panel.ends[[1]], 5, LEVELS)
    part = panel.select(np.array([1]))
    alone = rolled(model, part, [0], part.ends, 5, LEVELS)
    np.testing.assert_allclose(alone.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(alone.quantiles, whole.quantiles, rtol=1e-9)  # type: ignore[arg-type]


def test_quantiles_are_ordered_and_a_shorter_horizon_is_a_prefix(fitted: tuple[Any, Panel]) -> None:
    """Quantiles rise, forecasts are finite, and the first steps do not depend on how many follow."""
    model, panel = fitted
    found = rolled(model, panel, [0, 1], panel.ends, 9, LEVELS)
    assert found.quantiles is not None and found.quantiles.shape == (2, 9, 4)
    assert np.isfinite(found.quantiles).all() and (np.diff(found.quantiles, axis=2) >= 0).all()
    np.testing.assert_allclose(rolled(model, panel, [0, 1], panel.ends, 4).mean, found.mean[:, :4], rtol=1e-9)


def test_content_holds_all_that_forecasting_needs(fitted: tuple[Any, Panel]) -> None:
    """A forecaster made of another one's content forecasts the same; what was fitted are plain values."""
    model, panel = fitted
    content = model.to_content()
    plain = (bool, int, float, str, list, dict, np.ndarray, Panel, Envelope)
    assert all(isinstance(value, plain) for value in content["fitted"].values())
    again = type(model).from_content(content)
    ours, theirs = (rolled(one, panel, [0, 1], panel.ends, 5, LEVELS) for one in (model, again))
    np.testing.assert_array_equal(ours.mean, theirs.mean)
    np.testing.assert_array_equal(ours.quantiles, theirs.quantiles)


@pytest.mark.parametrize("name", list(ALL))
def test_negative_values_and_short_series(name: str) -> None:
    """No forecaster needs positive values, and short or constant series are forecast by something finite."""
    panel = sample(positive=False)
    assert np.isfinite(rolled(clone(ALL[name]).fit_panel(panel), panel, [0, 1], panel.ends, 6, LEVELS).mean).all()
    for values in ([3.0], [1.0, 2.0], [5.0] * 30, [0.0] * 9):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*could not be fitted to series")
            found = forecast(clone(ALL[name]), values, 3)
        assert np.isfinite(found).all(), values
        if len(set(values)) == 1:
            np.testing.assert_allclose(found, values[0], atol=1e-6)


# -------------------------------------------------------------------- closed forms


def test_naive_forecasts_by_hand() -> None:
    """The formulas, with missing values in the history."""
    y = [1.0, 4.0, 2.0, 6.0, 3.0, np.nan]
    np.testing.assert_allclose(forecast(NaiveForecaster(), y, 2), [3, 3])
    np.testing.assert_allclose(forecast(SeasonalNaiveForecaster(season_length=2), y, 5), [3, 6, 3, 6, 3])
    np.testing.assert_allclose(forecast(DriftForecaster(), y, 2), [4, 4.5])
    np.testing.assert_allclose(forecast(MovingAverageForecaster(window=3), y, 1), [11 / 3])
    np.testing.assert_allclose(forecast(SeasonalNaiveForecaster(season_length=4), [1.0, np.nan, 3.0], 4), [3, 1, 3, 3])


def test_naive_quantiles_by_hand() -> None:
    """z σ √k, z σ √j and the drift's, for σ the root mean square of the differences."""
    y = np.array([1.0, 4.0, 2.0, 6.0, 3.0])
    z, series, k = 1.2815515655446004, pd.Series(y), np.arange(1, 6)

    def width(model: Any) -> Array:
        found = model.fit(series).forecast(5, level=80)
        return (found["0.9"] - found["0.1"]).to_numpy() / 2

    step, season = np.diff(y), y[2:] - y[:-2]
    np.testing.assert_allclose(width(NaiveForecaster()), z * np.sqrt(np.mean(step**2) * k))
    j = np.array([1, 1, 2, 2, 3])
    np.testing.assert_allclose(width(SeasonalNaiveForecaster(season_length=2)), z * np.sqrt(np.mean(season**2) * j))
    np.testing.assert_allclose(width(DriftForecaster()), z * step.std(ddof=1) * np.sqrt(k * (1 + k / 4)))
    error = [y[1] - y[0], y[2] - y[:2].mean(), y[3] - y[1:3].mean(), y[4] - y[2:4].mean()]
    np.testing.assert_allclose(width(MovingAverageForecaster(window=2)), z * np.sqrt(np.mean(np.square(error))))


def test_seasonal_naive_is_the_last_observed_of_its_phase() -> None:
    """Against a search backwards, one value at a time."""
    panel = sample()
    model = SeasonalNaiveForecaster(season_length=4).fit_panel(panel)
    series = np.repeat([0, 1], 20)
    rows = panel.ends[series] - np.tile(np.arange(20), 2)
    found = rolled(model, panel, series, rows, 10).mean
    for origin, row in enumerate(rows):
        for step in range(10):
            place = row + step - 4
            while place >= row or np.isnan(panel.target[place]):
                place -= 4
            assert found[origin, step] == panel.target[place]


def _naive2_by_hand(y: Array, m: int, horizon: int) -> Array:
    """The definition, step by step, for a history without gaps."""
    n, index, limit, r = len(y), np.ones(m), np.inf, [0.0]
    if n >= 3 * m and m <= 10 * np.log10(n):
        z = y - y.mean()
        r = [np.sum(z[k:] * z[: n - k]) / np.sum(z**2) for k in range(1, m + 1)]
        limit = 1.645 * np.sqrt((1 + 2 * np.sum(np.square(r[:-1]))) / n)
    if abs(r[-1]) > limit:
        ratios: list[list[float]] = [[] for _ in range(m)]
        for t in range(m // 2, n - m // 2):
            window = y[t - m // 2 : t + m // 2 + 1]
            weights = np.ones(len(window))
            if m % 2 == 0:
                weights[[0, -1]] = 0.5
            ratios[t % m].append(y[t] / (weights @ window / m))
        index = np.array([np.mean(own) for own in ratios])
        index /= index.mean()
    return y[-1] / index[(n - 1) % m] * index[(n + np.arange(horizon)) % m]


@pytest.mark.parametrize("m", [3, 4, 7])
def test_naive2_is_its_definition(m: int) -> None:
    """From origins with and without a season found."""
    generator = np.random.default_rng(m)
    steps = np.arange(80)
    y = 50 + 3 * np.sin(2 * np.pi * steps / m) + np.cumsum(generator.normal(size=80))
    panel = read_panel(pd.Series(y))
    model = DeseasonalisedNaiveForecaster(season_length=m).fit_panel(panel)
    rows = np.arange(5, 81)
    found = rolled(model, panel, np.zeros(len(rows), dtype=int), rows, 9).mean
    np.testing.assert_allclose(found, [_naive2_by_hand(y[:row], m, 9) for row in rows], rtol=1e-9)


def test_naive_forecasters_take_milliseconds_for_500_origins() -> None:
    """500 origins of 48 steps; the bound leaves room for a busy machine."""
    panel = read_panel(pd.Series(10 + np.random.default_rng(0).normal(size=1000)))
    series, rows = np.zeros(500, dtype=int), np.arange(500, 1000)
    for name in ("naive", "seasonal_naive", "drift", "moving_average", "naive2"):
        model = BASELINES[name](season_length=24).fit_panel(panel)
        start = time.perf_counter()
        rolled(model, panel, series, rows, 48)
        assert time.perf_counter() - start < 0.5, name


# -------------------------------------------------------------------- statsmodels


def test_exponential_smoothing_is_statsmodels() -> None:
    """One-step forecasts from all origins are its fitted values, later ones the textbook's from its last state."""
    y = np.exp(sample().target[:72]) ** 0.1
    y = pd.Series(y).interpolate().to_numpy()
    for kind, trend, damped in (("add", True, False), ("mul", True, True), ("mul", False, False), (None, True, False)):
        model = ExponentialSmoothingForecaster(season_length=4, seasonal=kind, trend=trend, damped=damped)
        model.fit(pd.Series(y))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = ExponentialSmoothing(
                y,
                trend="add" if trend else None,
                damped_trend=damped,
                seasonal=kind,
                seasonal_periods=4 if kind else None,
                initialization_method="estimated",
            ).fit()
        rows = np.arange(1, 72)
        one_step = rolled(model, model.panel_, np.zeros(71, dtype=int), rows, 1).mean[:, 0]
        np.testing.assert_allclose(one_step, peer.fittedvalues[1:], rtol=1e-8)
        np.testing.assert_allclose(model.forecast(3), peer.forecast(3), rtol=1e-8)  # its 4th repeats a stale season


def test_smoothing_intervals_are_the_closed_form_of_the_additive_model() -> None:
    """σ_k² = σ² (1 + Σ_j c_j²) with c_j = α (1 + j β) + γ 1{m divides j}."""
    panel = read_panel(pd.Series(sample(positive=False).target[:72]))
    model = ExponentialSmoothingForecaster(season_length=4).fit_panel(panel)
    model.smoothing_ = np.array([[0.3, 0.2, 0.4, 1.0]])
    found = rolled(model, panel, [0], panel.ends, 9, np.array([0.4, 0.6]))
    assert found.quantiles is not None
    j = np.arange(1, 9)
    c = 0.3 * (1 + 0.2 * j) + 0.4 * (j % 4 == 0)
    sigma = model.deviation_[0] * np.sqrt(np.cumsum(np.concatenate([[1.0], c**2])))
    np.testing.assert_allclose(np.diff(found.quantiles[0], axis=1)[:, 0], 2 * 0.2533471031 * sigma, rtol=1e-8)


def test_a_history_that_begins_elsewhere_is_in_season() -> None:
    """The seasons of the fit are turned to the phase of the first row, earlier or later than that of the fit."""
    y = pd.Series(np.tile([10.0, 14.0, 11.0, 5.0], 12) + 0.01 * np.arange(48))
    for kind in ("add", "mul"):
        model = ExponentialSmoothingForecaster(season_length=4, seasonal=kind, trend=False).fit(y[5:40])
        for begin in (0, 5, 10):
            panel = read_panel(y[begin:])
            found = rolled(model, replace(panel, names=model.panel_.names), [0], panel.ends, 4).mean[0]
            np.testing.assert_allclose(found, [10, 14, 11, 5], atol=0.8)


def test_auto_regression_is_statsmodels() -> None:
    """Forecasts and intervals at the end of the fit, and later with fixed parameters."""
    y = pd.Series(sample(positive=False).target[:72]).interpolate().to_numpy()
    model = AutoRegForecaster(lags=5, log=False).fit(pd.Series(y[:60]))
    peer = AutoReg(y[:60], lags=5, trend="c").fit()
    found = model.forecast(6, level=80)
    np.testing.assert_allclose(found["mean"], peer.forecast(6), rtol=1e-6)
    bounds = peer.get_prediction(60, 65).conf_int(alpha=0.2)
    np.testing.assert_allclose(found[["0.1", "0.9"]].to_numpy(), np.asarray(bounds), rtol=1e-6)
    whole = read_panel(pd.Series(y))
    later = rolled(model, replace(whole, names=model.panel_.names), [0], [70], 4).mean[0]
    np.testing.assert_allclose(later, peer.append(y[60:70]).forecast(4), rtol=1e-6)


def test_a_series_that_cannot_be_fitted_says_so() -> None:
    """A warning names it, and its forecast is its last value."""
    frame = pd.DataFrame({"a": np.arange(40.0), "b": [np.nan] * 37 + [1.0, 5.0, 2.0]})
    for model in (ExponentialSmoothingForecaster(), AutoRegForecaster(lags=2)):
        with pytest.warns(UserWarning, match="could not be fitted to series 'b'"):
            model.fit(frame)
        assert len(model.notes_) == 1
        np.testing.assert_allclose(model.forecast(2)["b"], 2.0)


def test_statistical_fits_side_by_side_are_the_same() -> None:
    """n_jobs changes no number."""
    panel = sample()
    alone = AutoRegForecaster(season_length=4).fit_panel(panel)
    with joblib.parallel_config(backend="threading"):
        beside = AutoRegForecaster(season_length=4, n_jobs=2).fit_panel(panel)
    np.testing.assert_array_equal(alone.coefficients_, beside.coefficients_)


# -------------------------------------------------------------------- ridge


def _ridge_by_hand(z: Array, p: int, steps: int, penalty: float, centred: bool) -> tuple[Array, Array]:
    """Weights (p, steps) and intercepts, row by row."""
    rows, targets = [], []
    for t in range(p, len(z) - steps + 1):
        past, ahead = z[t - p : t], z[t : t + steps]
        if np.isnan(past).any() or np.isnan(ahead).any():
            continue
        last = past[-1] if centred else 0.0
        rows.append([*(past - last), 1.0])
        targets.append(ahead - last)
    a, b = np.array(rows), np.array(targets)
    w = np.linalg.solve(a.T @ a + np.diag([penalty] * p + [1e-6]), a.T @ b)
    return w[:-1], w[-1]


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_ridge_is_a_regression_by_hand(centred: bool, steps: int) -> None:
    """Logged, scaled, fitted without rows that miss something, rolled out, and put back."""
    y = sample().target[:72].copy()
    y[-6:] = [21.0, 22.0, 20.0, 19.0, 21.5, 23.0]
    q = np.log(y)
    c, s = np.nanmean(q), np.nanmean(np.abs(q[4:] - q[:-4]))
    w, b = _ridge_by_hand((q - c) / s, 6, steps, 2.0, centred)
    history = list((q - c) / s)
    while len(history) < 72 + 6:
        past = np.array(history[-6:])
        last = past[-1] if centred else 0.0
        history += list((past - last) @ w + b + last)
    expected = np.exp(np.array(history[72:78]) * s + c)
    strategy = "direct" if steps > 1 else "recursive"
    parameters = {"centred": centred, "strategy": strategy, "horizon": steps}
    model = RidgeForecaster(season_length=4, lags=6, penalty=2.0, log=True, **parameters)
    np.testing.assert_allclose(forecast(model, y, 6), expected, rtol=1e-8)
    assert model.clipped_ == 0


def test_ridge_on_differences_is_a_regression_by_hand() -> None:
    """Twice differenced: rolled out and summed up twice."""
    y = np.cumsum(np.cumsum(np.random.default_rng(1).normal(size=60))) - 100
    z = np.diff(y, n=2)
    w, b = _ridge_by_hand(z, 3, 1, 0.5, False)
    history = list(z)
    for _ in range(5):
        history.append(float(np.array(history[-3:]) @ w[:, 0] + b[0]))
    expected = y[-1] + np.cumsum(y[-1] - y[-2] + np.cumsum(history[-5:]))
    model = RidgeForecaster(lags=3, penalty=0.5, difference=2, scale=None, centred=False, log=False)
    np.testing.assert_allclose(forecast(model, y, 5), expected, rtol=1e-6)


def test_pooled_ridge_stacks_the_rows_of_all_series() -> None:
    """One Gram matrix: the weights of the stacked regression."""
    panel = sample()
    model = RidgeForecaster(season_length=4, lags=3, penalty=1.0, pooled=True, log=False, centred=False)
    model.fit_panel(panel)
    blocks = [panel.target[panel.rows(i)] for i in range(2)]
    z = [(y - np.nanmean(y)) / np.nanmean(np.abs(y[4:] - y[:-4])) for y in blocks]
    joined = np.concatenate([z[0], [np.nan] * 4, z[1]])
    w, b = _ridge_by_hand(joined, 3, 1, 1.0, False)
    np.testing.assert_allclose(model.coefficients_[0], w, rtol=1e-8)
    np.testing.assert_allclose(model.intercepts_[0], b, rtol=1e-6, atol=1e-10)


def test_a_gap_is_filled_by_the_own_prediction() -> None:
    """Forecasting over a gap is forecasting further: a missing last value changes nothing but the step."""
    y = sample().target[:72].copy()
    model = RidgeForecaster(season_length=4, lags=4).fit(pd.Series(y[:60]))
    panel = read_panel(pd.Series(y))
    gap = replace(panel, names=model.panel_.names, target=np.where(np.arange(72) >= 60, np.nan, panel.target))
    far = rolled(model, gap, [0], [60], 8).mean[0]
    np.testing.assert_allclose(rolled(model, gap, [0], [64], 4).mean[0], far[4:], rtol=1e-9)


def test_automatic_choices_are_the_best_of_a_loop_by_hand() -> None:
    """Logarithm and penalty have the least error over the later half, by models fitted before each of its parts."""
    frame = pd.Series(sample(seed=3).target[:72]).interpolate()
    auto = RidgeForecaster(season_length=4, penalty="auto", lags=5, horizon=4).fit(frame)
    panel = auto.panel_
    errors = {}
    for log, penalty in product((False, True), RIDGE_PENALTIES):
        off = []
        for first in range(36, 72, 9):
            model = RidgeForecaster(season_length=4, penalty=penalty, lags=5, log=log).fit_panel(panel.head([first]))
            rows = np.arange(first, min(first + 9, 69))
            found = rolled(model, panel, 0 * rows, rows, 4).mean
            off.append(np.abs(found - panel.target[rows[:, None] + np.arange(4)]))
        errors[log, penalty] = np.mean(np.concatenate(off))
    log, penalty = min(errors, key=errors.__getitem__)
    assert (auto.logged_[0], auto.penalties_[0]) == (log, penalty)


def test_a_runaway_recursion_is_held_and_named() -> None:
    """An oscillation that explodes: no forecast leaves the bounds, and one warning names the series."""
    model = RidgeForecaster(lags=1, penalty=0.0, centred=False, log=False, scale=None)
    with pytest.warns(UserWarning, match="series 'y' runs away from its history") as said:
        found = forecast(model, (-1.5) ** np.arange(20), 30)
    path, low, high = (-1.5) ** np.arange(20, 50), -(1.5**19), 1.5**18
    reach = (high - low) * (3 + np.arange(1, 31) / 19)
    expected = np.clip(path, low - reach, high + reach)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert len(said) == 1 and model.clipped_ == int((expected != path).sum()) > 20
    assert RidgeForecaster(lags=1).fit(pd.Series([1.0, 2.0] * 10)).clipped_ == 0


def test_ridge_quantiles_cover_what_they_promise() -> None:
    """On an autoregression of known law, 80 % of later values lie within, at near and at far steps."""
    generator = np.random.default_rng(0)
    y = np.zeros(3000)
    for t in range(1, 3000):
        y[t] = 0.8 * y[t - 1] + generator.normal()
    model = RidgeForecaster(lags=2, penalty=1.0, calibration=400).fit(pd.Series(y[:1500]))
    table = model.backtest(pd.Series(y), 5, 290, level=80, baselines=None).metrics("step")
    assert ((table["coverage_80"] > 73) & (table["coverage_80"] < 87)).all()


# -------------------------------------------------------------------- choosing them


def test_default_baselines() -> None:
    """All that are quick, none, or those named; what is left out is said."""
    panel = sample()
    chosen = default_baselines("auto", panel, 6, 3)
    assert list(chosen.models) == list(BASELINES) and not chosen.notes
    assert default_baselines(None, panel, 6).models == default_baselines((), panel, 6).models == {}
    assert list(default_baselines(("ridge", "naive"), panel, 6).models) == ["ridge", "naive"]
    many = default_baselines("auto", panel, 6, 51, season_length=4)
    assert len(many.notes) == 2 and "exponential_smoothing" not in many.models
    assert many.models["ridge"].season_length == 4
    with pytest.raises(ValueError, match="no baseline 'arima'"):
        default_baselines(["arima"], panel, 6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NaiveForecaster(season_length=0), "season_length must be"),
        (MovingAverageForecaster(window=0), "window must be"),
        (RidgeForecaster(lags=0), "lags must be"),
        (RidgeForecaster(penalty=-1.0), "penalty must be"),
        (RidgeForecaster(strategy="both"), "strategy must be one of"),
        (RidgeForecaster(log=True), "series 'y' has values ≤ 0"),
        (AutoRegForecaster(lags=0), "lags must be"),
        (ExponentialSmoothingForecaster(seasonal="yes"), "seasonal must be"),
    ],
)
def test_wrong_parameters_are_refused(model: Any, message: str) -> None:
    """With what was received and what is expected."""
    with pytest.raises(ValueError, match=message):
        model.fit(pd.Series([0.0, 1.0, 2.0, 3.0]))


# -------------------------------------------------------------------- public data


def folder() -> Path:
    """Where public data lies on this machine."""
    return Path(os.environ.get("SEQDYN_DATA", str(Path(__file__).parents[3] / "shared" / "data")))


def _read(name: str, **options: Any) -> pd.DataFrame:
    path = folder() / name
    if not path.exists():
        pytest.skip(f"{name} is not in {path.parent}")
    return pd.read_csv(path, **options)


@pytest.fixture(scope="module")
def passengers() -> pd.Series:
    """AirPassengers, 144 months."""
    frame = _read("air_passengers.csv", index_col=0)
    values = frame.iloc[:, 0].to_numpy(dtype=float)
    return pd.Series(values, pd.PeriodIndex(frame.index, freq="M"))


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (NaiveForecaster(), (14.25, 23.58)),
        (SeasonalNaiveForecaster(), (9.99, 15.52)),
        (
            RidgeForecaster(lags=13, penalty=0.01, log=True, difference=1, scale=None, centred=False),
            (4.31, 4.90),
        ),
        (ExponentialSmoothingForecaster(), (2.06, 6.52)),  # 2.21, 6.39 by statsmodels' forecast, stale at every 12th
    ],
    ids=["naive", "seasonal naive", "ridge on differences of logs", "Holt and Winters"],
)
def test_air_passengers(passengers: pd.Series, model: Any, known: tuple[float, float]) -> None:
    """MAPE over the last 12 and 24 months, in percent."""
    for horizon, expected in zip((12, 24), known, strict=True):
        found = model.fit(passengers[:-horizon]).forecast(horizon)
        actual = passengers[-horizon:]
        assert 100 * float((found / actual - 1).abs().mean()) == pytest.approx(expected, abs=0.015)


def test_air_passengers_six_months_ahead(passengers: pd.Series) -> None:
    """MAPE of the sixth step from 19 rolling origins, weights from before 1959-02."""
    model = RidgeForecaster(lags=13, penalty=0.01, log=True, difference=1, scale=None, centred=False)
    model.fit(passengers[:"1959-01"])
    with pytest.warns(UserWarning, match="in-sample"):  # the first origin is a month earlier
        frame = model.backtest(passengers, 6, 19, 1, baselines=None).frame
    last = frame[frame["step"] == 6]
    assert 100 * float((last["mean"] / last["y"] - 1).abs().mean()) == pytest.approx(2.67, abs=0.01)


@pytest.mark.parametrize(
    ("model", "known"), [(SeasonalNaiveForecaster(), 1.84), (RidgeForecaster(penalty="auto", horizon=12), 0.95)]
)
def test_monthly_milk_with_absent_months(model: Any, known: float) -> None:
    """MAPE on the observed months of 1974 and 1975; 13 months are absent from the file."""
    frame = _read("monthly_milk_incomplete.csv", index_col=0).dropna()
    milk = pd.Series(frame.iloc[:, 0].to_numpy(dtype=float), pd.PeriodIndex(frame.index, freq="M"))
    actual = milk["1974":]
    found = model.fit(milk[:"1973-12"]).forecast(24).reindex(actual.index)
    assert 100 * float((found / actual - 1).abs().mean()) == pytest.approx(known, abs=0.01)


def test_gas_furnace_by_its_own_past() -> None:
    """RMSE of the last value and an AR(4) at 12 steps, fitted to 200 rows, from all origins in the last 96."""
    co2 = _read("gasrate_co2.csv").iloc[:, 1]
    for model, known in ((NaiveForecaster(), 3.017), (AutoRegForecaster(lags=4, log=False), 2.754)):
        table = model.fit(co2[:200]).backtest(co2, 12, 85, 1, baselines=None).metrics("step")
        assert table["RMSE"].iloc[-1] == pytest.approx(known, abs=1e-3)


@pytest.fixture(scope="module")
def hourly() -> Panel:
    """M4 Hourly, 414 series with the 48 hours to forecast at their ends."""
    train, test = (_read(f"m4_hourly_{part}.csv", index_col=0) for part in ("train", "test"))
    rows = np.concatenate([train.to_numpy(dtype=float), np.full((len(train), 1), np.nan)], axis=1)
    lengths = (~np.isnan(rows)).sum(axis=1)
    blocks = [np.concatenate([row[:n], ahead]) for row, n, ahead in zip(rows, lengths, test.to_numpy(), strict=True)]
    names = np.repeat(train.index.to_numpy(), lengths + 48)
    steps = np.concatenate([np.arange(n + 48) for n in lengths])
    return read_panel(pd.DataFrame({"unique_id": names, "ds": steps, "y": np.concatenate(blocks)}))


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (NaiveForecaster(season_length=24), (43.003, 11.608, 3.593)),
        (SeasonalNaiveForecaster(season_length=24), (13.912, 1.193, 0.628)),
        (DeseasonalisedNaiveForecaster(season_length=24), (18.383, 2.395, 1.000)),
        (RidgeForecaster(season_length=24, log=True), (9.674, 0.841, 0.439)),
        (RidgeForecaster(season_length=24, log=True, centred=False), (9.582, 0.845, 0.437)),
        (
            RidgeForecaster(season_length=24, log=True, pooled=True, strategy="direct", horizon=48),
            (13.43, 0.982, 0.570),
        ),
        (CombinedForecaster(models=FIVE, weights="median", season_length=24), (9.344, 0.769, 0.4147)),
    ],
    ids=["naive", "seasonal naive", "naive2", "ridge", "ridge not centred", "ridge pooled direct", "median of five"],
)
def test_m4_hourly(hourly: Panel, model: Any, known: tuple[float, float, float]) -> None:
    """sMAPE, MASE and OWA over 48 hours of all 414 series, each a mean over series first."""
    history = hourly.head(hourly.lengths - 48)
    every = np.arange(len(hourly.names))
    found = rolled(model.fit_panel(history), hourly, every, hourly.ends - 48, 48).mean
    actual = hourly.target[hourly.ends[:, None] - 48 + np.arange(48)]
    error = np.abs(actual - found)
    scale = [np.abs(y[24:] - y[:-24]).mean() for y in (history.target[history.rows(i)] for i in range(len(every)))]
    smape = float(np.mean(200 * error / (np.abs(actual) + np.abs(found))))
    mase = float(np.mean(error.mean(axis=1) / scale))
    owa = 0.5 * (smape / 18.383 + mase / 2.395)
    np.testing.assert_allclose((smape, mase, owa), known, atol=6e-3, rtol=5e-4)

"""Exponential smoothing of many series at once: its recursion, its fit and its state, against statsmodels."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from statsmodels.tsa.holtwinters import ExponentialSmoothing

import seqdyn
from seqdyn.forecasting.smoothers import SmoothingForecaster, ThetaForecaster
from seqdyn.forecasting.smoothing import (
    BEGINNINGS,
    LOWER_BOUNDS,
    UPPER_BOUNDS,
    Form,
    SmoothingState,
    extrapolate,
    fit_smoothing,
    run_smoothing,
    smoothing_step,
    squared_errors,
)
from seqdyn.forecasting.smoothing_errors import deviation_growth, one_step

FORMS = [Form(trend, season) for trend in ("none", "damped", "linear") for season in ("none", "add", "mul")]


def airline(seed: int, rows: int = 96, noise: float = 0.03) -> np.ndarray:
    t = np.arange(rows)
    error = noise * np.random.default_rng(seed).normal(size=rows)
    return 120 * np.exp(0.006 * t + 0.15 * np.sin(2 * np.pi * t / 12) + error)


def series(values: np.ndarray, freq: str = "MS") -> pd.Series:
    return pd.Series(values, pd.date_range("2010-01-01", periods=len(values), freq=freq), name="y")


def panel(rows: list[np.ndarray]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": pd.date_range("2010-01-01", periods=len(y), freq="MS"), "y": y})
        for i, y in enumerate(rows)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_recursion_is_that_of_statsmodels(form: Form) -> None:
    y, m = airline(0), 12
    own, start = fit_smoothing(form, y[:, None] / 100, m)
    alpha, beta, gamma, phi = own[:, 0]
    season = {"initial_seasonal": start.season[:, 0]} if form.season != "none" else {}
    trend = {"initial_trend": start.trend[0]} if form.trend != "none" else {}
    model = ExponentialSmoothing(
        y / 100,
        trend=None if form.trend == "none" else "add",
        damped_trend=form.trend == "damped",
        seasonal=None if form.season == "none" else form.season,
        seasonal_periods=m if form.season != "none" else None,
        initialization_method="known",
        initial_level=start.level[0],
        **trend,
        **season,
    )
    fixed = {"smoothing_level": alpha}
    if form.trend != "none":
        fixed["smoothing_trend"] = beta
    if form.trend == "damped":
        fixed["damping_trend"] = phi
    if form.season != "none":
        fixed["smoothing_seasonal"] = gamma
    found = model.fit(**fixed, optimized=False)
    course = run_smoothing(form, own, start, y[:, None] / 100)
    np.testing.assert_allclose(course.errors[:, 0], found.resid, atol=1e-10)
    state = course.at(np.array([len(y)]), np.array([0]))
    theirs = found.forecast(15)
    theirs[11] = np.nan  # statsmodels forgets what the last row says of its season
    here = np.where(np.isnan(theirs), np.nan, extrapolate(form, own, state, 15)[0])
    np.testing.assert_allclose(here, theirs, atol=1e-10)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_fit_is_about_as_close_as_an_optimiser_gets_from_the_same_beginning(form: Form) -> None:
    y = airline(1)[:, None] / 100
    own, start = fit_smoothing(form, y, 12)
    low, high = LOWER_BOUNDS[form.free], UPPER_BOUNDS[form.free]

    def loss(part: np.ndarray) -> float:
        place = own[:, 0].copy()
        place[form.free] = part
        return float(squared_errors(form, place[:, None], start, y)[0])

    begins = [np.array([*begin, 0.93])[form.free] for begin in BEGINNINGS]
    nearest = min(begins, key=loss)
    best = minimize(loss, nearest, method="Nelder-Mead", bounds=list(zip(low, high, strict=True)))
    assert loss(own[form.free, 0]) < 1.05 * best.fun


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_series_side_by_side_are_each_as_alone(form: Form) -> None:
    rows = [airline(seed, 60 + 12 * seed) for seed in range(4)]
    values = np.full((max(map(len, rows)), 4), np.nan)
    for i, y in enumerate(rows):
        values[: len(y), i] = y / 100
    own, start = fit_smoothing(form, values, 12)
    for i, y in enumerate(rows):
        alone, first = fit_smoothing(form, y[:, None] / 100, 12)
        np.testing.assert_allclose(own[:, i], alone[:, 0], atol=1e-9)
        np.testing.assert_allclose(start.season[:, i], first.season[:, 0], atol=1e-9)


def test_a_run_goes_on_from_its_own_state() -> None:
    form, y = Form("damped", "mul"), airline(2)[:, None] / 100
    own, start = fit_smoothing(form, y, 12)
    whole = run_smoothing(form, own, start, y)
    middle = run_smoothing(form, own, start, y[:41]).at(np.array([41]), np.array([0]))
    later = run_smoothing(form, own, middle, y[41:])
    np.testing.assert_allclose(later.errors, whole.errors[41:], atol=1e-12)
    np.testing.assert_allclose(later.seasons[-12:], whole.seasons[-12:], atol=1e-12)


def test_a_missing_value_is_taken_as_predicted() -> None:
    form = Form("linear")
    own = np.array([[0.5], [0.2], [0.0], [1.0]])
    start = SmoothingState(np.array([1.0]), np.array([1.0]), np.zeros((1, 1)))
    course = run_smoothing(form, own, start, np.array([[2.0], [np.nan], [4.0]]))
    assert course.errors[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert course.levels[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0]


MODELS = [
    SmoothingForecaster(),
    SmoothingForecaster(trend="linear", seasonal="add", log=True),
    SmoothingForecaster(trend="none", seasonal="mul"),
    ThetaForecaster(seasonal="mul"),
    ThetaForecaster(seasonal="add", log=True),
    ThetaForecaster(slope=0.0),
]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_update_in_pieces_is_one_pass(model: SmoothingForecaster) -> None:
    y = series(airline(3))
    model = model.fit(y[:60])
    whole = model.backtest(y, 6, 1, baselines=None).frame["mean"].to_numpy()
    for begin in (60, 61, 75):
        model.update(y[begin : {60: 61, 61: 75, 75: 90}[begin]])
    np.testing.assert_allclose(model.forecast(6), whole, rtol=1e-10)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_forecasts_do_not_depend_on_the_series_beside(model: SmoothingForecaster) -> None:
    rows = [airline(seed, 60 + 10 * seed) for seed in range(3)] + [airline(9) - 200]
    together = model.fit(panel(rows)).forecast(5, level=80)
    for i, y in enumerate(rows):
        alone = model.fit(panel([y])).forecast(5, level=80)
        own = together[together["unique_id"] == f"s{i}"]
        np.testing.assert_allclose(own[["mean", "0.1", "0.9"]], alone[["mean", "0.1", "0.9"]], rtol=1e-8)


def test_a_history_that_begins_elsewhere_keeps_its_season() -> None:
    y = series(airline(4, 120, noise=0.0))
    model = SmoothingForecaster(trend="linear", seasonal="mul").fit(y[:100])
    early, late = (
        model.backtest(y, 6, 1, baselines=None).frame["mean"],
        model.backtest(y[17:], 6, 1, baselines=None).frame["mean"],
    )
    assert np.abs(early / y[-6:].to_numpy() - 1).max() < 0.02
    assert np.abs(late / y[-6:].to_numpy() - 1).max() < 0.04


def test_theta_is_half_the_slope_of_the_line_above_simple_smoothing() -> None:
    y = airline(5, 40)
    model = ThetaForecaster().fit(series(y))
    slope = np.polyfit(np.arange(40), y, 1)[0]
    alpha = model.smoothing_[0, 0]
    flat = ThetaForecaster(slope=0.0).fit(series(y)).forecast(4).to_numpy()
    drift = slope / 2 * (np.arange(4) + (1 - (1 - alpha) ** 40) / alpha)
    np.testing.assert_allclose(model.forecast(4), flat + drift, rtol=1e-9)


def test_intervals_of_the_last_level_are_those_of_a_random_walk() -> None:
    y = 100 + np.cumsum(np.random.default_rng(0).normal(size=(110, 200)), axis=0)
    frame = pd.DataFrame(y, pd.date_range("2010-01-01", periods=110, freq="MS"))
    found = SmoothingForecaster(trend="none").fit(frame[:100]).forecast(10, level=80)
    low, high = (found.xs(name, axis=1, level=1).to_numpy() for name in ("0.1", "0.9"))
    inside = ((low <= y[100:]) & (y[100:] <= high)).mean(axis=0)
    assert abs(inside.mean() - 0.8) < 4 * inside.std() / np.sqrt(200)


SEASONAL = {"season_length": 12, "seasonal": "add"}


@pytest.mark.parametrize(
    "model",
    [
        SmoothingForecaster(),
        SmoothingForecaster(trend="none"),
        SmoothingForecaster(**SEASONAL),
        SmoothingForecaster(trend="none", **SEASONAL),
        ThetaForecaster(),
        ThetaForecaster(**SEASONAL),
    ],
    ids=repr,
)
@pytest.mark.parametrize("rows", [12, 24, 36])
def test_intervals_of_few_rows_hold_what_they_say(model: SmoothingForecaster, rows: int) -> None:
    """80 % intervals one to six steps ahead of noise: what was fitted is not taken for known."""
    y = np.random.default_rng(rows).normal(size=(rows + 6, 400))
    frame = pd.DataFrame(y, pd.date_range("2010-01-01", periods=rows + 6, freq="MS")).add_prefix("s")
    test = model.backtest(frame, 6, level=80, refit=True, baselines=None)
    one_season = rows == 12 and model.seasonal != "none"  # errors of 0: how they grow is unknown, and they are wide
    assert 70 < test.metrics()["coverage_80"].iloc[0] < (98 if one_season else 92)


def test_one_or_two_values_say_nothing_of_how_far_they_stray() -> None:
    """Intervals are as wide as the values are large, and are called guesses."""
    for model in (SmoothingForecaster(), ThetaForecaster(seasonal="mul")):
        for values, rows in (([50.0], 1), ([50.0, 53.0], 2)):
            fitted_ = model.fit(series(np.array(values)))
            with pytest.warns(UserWarning, match=r"Intervals are guesses in 1 series, such as 'y': one or two known"):
                found = fitted_.forecast(2, level=80)
            assert (found["0.9"] - found["0.1"] > (100 if rows == 1 else 15)).all()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(series(np.array([50.0, 53.0, 51.0, 52.0]))).forecast(2, level=80)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_errors_grow_as_in_simulated_paths(form: Form) -> None:
    """Small errors at every step, through the recursion itself; a season of factors that differ fivefold."""
    own = np.array([[0.5], [0.2 * (form.trend != "none")], [0.3 * (form.season != "none")], [0.9]])
    factors = {"none": [0.0], "add": [-0.5, 0.5, 0.0], "mul": [0.4, 2.0, 0.6]}[form.season]
    state = SmoothingState(np.array([10.0]), np.array([0.2]), np.array(factors)[:, None])
    paths, noise = 20_000, 1e-3 * np.random.default_rng(0).normal(size=(8, 20_000))
    level, trend, season = np.full(paths, 10.0), np.full(paths, 0.2), [np.full(paths, own_) for own_ in factors]
    if form.trend == "none":
        state, trend = state._replace(trend=np.zeros(1)), np.zeros(paths)
    spread = []
    for row in range(8):
        here = SmoothingState(level, trend, np.stack(season))
        y = extrapolate(form, np.repeat(own, paths, axis=1), here, 1)[:, 0] + noise[row]
        spread.append(y.std() / 1e-3)
        level, trend, new, _ = smoothing_step(form, np.repeat(own, paths, axis=1), level, trend, season[0], y)
        season = [*season[1:], new]
    np.testing.assert_allclose(deviation_growth(form, own, state, 8)[0], spread, rtol=0.03)


def test_the_size_of_errors_is_that_of_a_regression() -> None:
    """Of a mean: s² (1 + 1/n) with n − 1 degrees; of very few rows, the mean squared difference."""
    y = np.random.default_rng(1).normal(size=(9, 1))
    deviation, freedom = one_step(y - y.mean(), y, 0, np.array([1]))
    assert deviation[0] == pytest.approx(y.std(ddof=1) * np.sqrt(10 / 9)) and freedom[0] == 8
    y[4] = np.nan
    deviation, freedom = one_step(np.nan_to_num(0 * y), y, 5, np.array([1]))
    assert deviation[0] == pytest.approx(np.sqrt(np.mean(np.diff(y[~np.isnan(y)]) ** 2))) and freedom[0] == 7


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_files_keep_parameters_and_state(model: SmoothingForecaster, tmp_path) -> None:
    y = series(airline(6))
    model = model.fit(y[:80])
    model.save(tmp_path / "model.safetensors")
    again = seqdyn.load(tmp_path / "model.safetensors")
    assert again.update(y[80:90]).forecast(5, level=80).equals(model.update(y[80:90]).forecast(5, level=80))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"trend": "up"}, "trend"), ({"seasonal": "both"}, "seasonal"), ({"log": "yes"}, "log")],
)
def test_wrong_parameters_are_named(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmoothingForecaster(**wrong).fit(series(airline(0)))
    with pytest.raises(ValueError, match="slope is a share"):
        ThetaForecaster(slope=2.0).fit(series(airline(0)))


def test_the_score_is_that_of_the_rows_after_the_fit() -> None:
    y = series(airline(7))
    model = SmoothingForecaster(seasonal="mul").fit(y[:84])
    scale = np.abs(y[12:84].to_numpy() - y[:72].to_numpy()).mean()
    expected = -np.abs(model.forecast(12) - y[84:]).mean() / scale
    assert np.isclose(model.score(y[84:]), expected)

"""The network of a forecaster: it goes on with trends, does not memorise, and leaves alone what was given."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import seqdyn
from seqdyn import (
    ElmanRegressor,
    Forecaster,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    SeasonalNaiveForecaster,
)
from seqdyn.data.panel_reading import read_panel
from seqdyn.forecasting.descriptions import describe_forecaster
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.linear_choice import (
    START_PENALTIES,
    SeriesSetting,
    ValidationOrigins,
    best_setting,
    candidate_settings,
    linear_errors,
    validation_origins,
)
from seqdyn.forecasting.network import mixed, recipe, starts_open
from seqdyn.forecasting.request import ForecastRequest

QUICK: dict[str, Any] = {"hidden_size": 4, "max_epochs": 2, "random_state": 0, "dtype": "float64"}


def months(values: Any) -> pd.Series:
    return pd.Series(np.asarray(values, float), pd.date_range("2010-01-01", periods=len(values), freq="MS"), name="y")


def quarters(rows: int, seed: int) -> pd.Series:
    """A walking level, a fixed season and noise."""
    rng = np.random.default_rng(seed)
    season = np.tile([8.0, -3.0, 2.0, -7.0], rows)[:rows]
    values = 100 + np.cumsum(rng.normal(size=rows)) + season + 3 * rng.normal(size=rows)
    return pd.Series(values, pd.date_range("2000-01-01", periods=rows, freq="QS"))


def line(rows: int = 120) -> pd.Series:
    return months(5 + 0.3 * np.arange(rows))


# -------------------------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize(
    ("estimator", "log"),
    [(None, "auto"), (LSTMRegressor(max_epochs=20, random_state=0), None)],
    ids=["default", "LSTM"],
)
def test_a_line_and_exact_growth_go_on(estimator: Any, log: Any) -> None:
    for whole in (line(144), months(100 * 1.01 ** np.arange(144))):
        ahead = Forecaster(estimator, log=log).fit(whole[:120]).forecast(24)
        np.testing.assert_allclose(ahead, whole[120:], rtol=1e-3)


def test_it_does_not_memorise() -> None:
    """Six series on which 100 epochs without validation lose to the seasonal naive forecast, and hold 47 of 80 %."""
    own, naive, inside = [], [], []
    for seed in range(6):
        series = quarters(98, seed)
        ahead = Forecaster(LSTMRegressor(random_state=0)).fit(series[:90]).forecast(8, level=80)
        came = series[90:]
        own.append(np.abs(ahead["mean"] - came).mean())
        naive.append(np.abs(SeasonalNaiveForecaster().fit(series[:90]).forecast(8) - came).mean())
        inside.append(((ahead["0.1"] <= came) & (came <= ahead["0.9"])).mean())
    assert np.mean(own) < np.mean(naive)
    assert 0.6 < np.mean(inside) < 0.97  # 48 values, of which those of one series go together


def test_no_gradient_explodes_on_a_growing_series() -> None:
    t = np.arange(200)
    whole = months(300 + 0.1 * t + 0.0005 * t**2 + 3 * np.sin(2 * np.pi * t / 12))
    model = Forecaster(GRURegressor(random_state=0)).fit(whole[:150])
    norms = model.estimator_.history_["gradient_norm"]
    assert not len(norms) or norms.max() < 10  # no step is trained where no share of it helps
    np.testing.assert_allclose(model.forecast(50), whole[150:], rtol=0.02)


def test_what_a_recurrence_alone_can_know_is_kept() -> None:
    """y_t = 3.7 y_{t-1} (1 − y_{t-1}): no linear model says more than the mean, and a network does."""
    values = [0.3]
    for _ in range(299):
        values.append(3.7 * values[-1] * (1 - values[-1]))
    series = pd.Series(values)
    network = LSTMRegressor(random_state=0, max_epochs=60, window=50, stride=10, learning_rate=2e-2)
    model = Forecaster(network, horizon=2, lags=2).fit(series[:280])
    assert model.plan_.share > 0
    error = []
    for row in range(280, 300):
        error.append(abs(model.forecast(1).iloc[0] - values[row]))
        model.update(series[row : row + 1])
    assert np.mean(error) < 0.5 * np.abs(series[280:] - series[:280].mean()).mean()


# ----------------------------------------------------------------------------------------------------------- oracles


def test_the_start_alone_is_the_linear_model_it_was_chosen_as() -> None:
    """Of one long series, free runs of the network without a step are those of ridge regression by hand."""
    rng = np.random.default_rng(0)
    y = np.zeros(600)
    for t in range(2, 600):
        y[t] = 1.2 * y[t - 1] - 0.5 * y[t - 2] + rng.normal()
    given: dict[str, Any] = {"lags": 2, "centred": False, "difference": 0, "log": False}
    model = Forecaster(GRURegressor(max_epochs=0, dtype="float64", random_state=0), **given).fit(pd.Series(y))
    z = (y - y.mean()) / y.std()
    rows = np.column_stack([z[1:-1], z[:-2], np.ones(598)])
    ridge = np.diag([model.plan_.setting.penalty] * 2 + [0])
    a, b, c = np.linalg.solve(rows.T @ rows + ridge, rows.T @ z[2:])
    past = list(z[-2:])
    for _ in range(5):
        past.append(a * past[-1] + b * past[-2] + c)
    np.testing.assert_allclose(model.forecast(5), y.mean() + y.std() * np.array(past[2:]), atol=0.02)


def test_the_start_of_a_short_series_errs_as_the_chosen_model_did() -> None:
    """With 13 lags in 90 rows the first rows, whose lags are not all known, would tell another model."""
    series = quarters(90, 4)
    model = Forecaster(GRURegressor(max_epochs=0, dtype="float64", random_state=0), lags=13).fit(series)
    panel = read_panel(series)
    tests = validation_origins(panel, 8, 30)
    own, scale = model.plan_.setting, mean_changes(tests.before, 4)[tests.request.series]
    chosen = linear_errors(own, [own.penalty], 4, tests, scale)
    np.testing.assert_allclose(model.plan_.error, chosen[0], rtol=0.01)


def test_the_linear_errors_are_those_of_least_squares_by_hand() -> None:
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.normal(size=80))
    panel = read_panel(pd.Series(values))
    request = ForecastRequest.within(panel, np.array([0]), np.array([70]), 10)
    tests = ValidationOrigins(request, panel.head(np.array([70])))
    scale = mean_changes(tests.before, 1)
    found = linear_errors(SeriesSetting(scaling=None, centred=False), [0.0], 1, tests, scale)
    rows = np.column_stack([values[1:69], values[:68], np.ones(68)])
    a, b, c = np.linalg.lstsq(rows, values[2:70], rcond=None)[0]
    past = list(values[68:70])
    for _ in range(10):
        past.append(a * past[-1] + b * past[-2] + c)
    wanted = np.abs(values[70:] - past[2:]).mean() / np.abs(np.diff(values[:70])).mean()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(scale, np.abs(np.diff(values[:70])).mean())


def test_the_right_setting_is_chosen() -> None:
    t = np.arange(144)
    noise = np.random.default_rng(0).normal(size=144)
    growing = np.exp(4 + 0.02 * t + 0.3 * np.sin(2 * np.pi * t / 12) + 0.02 * noise)
    panel = read_panel(months(growing))
    tests = validation_origins(panel, 12, 30)
    choice = best_setting(candidate_settings(tests.before, [12], "seasonal", {}), START_PENALTIES, 12, tests)
    plain = best_setting(candidate_settings(tests.before, [12], "seasonal", {"log": False}), START_PENALTIES, 12, tests)
    assert choice.setting.log == "auto"
    assert choice.error < plain.error < 1.0


def test_a_share_lies_between_the_start_and_the_whole() -> None:
    """Without memory in the way, what a share says is a straight line between the two."""
    series = quarters(60, 0)
    start = Forecaster(GRURegressor(**QUICK | {"max_epochs": 0}), validation=4).fit(series).estimator_
    whole = clone(start).set_params(max_epochs=3)
    rows = np.random.default_rng(0).normal(size=(40, start.n_features_in_))
    whole.fit(rows, rows.sum(axis=1))
    begun = clone(whole).set_params(max_epochs=0).fit(rows, rows.sum(axis=1))
    first, last = (model.predict(rows) for model in (mixed(begun, whole, 0.0), whole))
    np.testing.assert_allclose(first, begun.predict(rows), atol=1e-10)
    np.testing.assert_allclose(mixed(begun, whole, 0.25).predict(rows), 0.75 * first + 0.25 * last, atol=1e-10)


# ------------------------------------------------------------------------------------------------- what was given


def test_what_was_given_is_kept() -> None:
    given: dict[str, Any] = {"lags": 3, "centred": False, "log": True, "difference": 1, "scaling": "standard"}
    plan = Forecaster(GRURegressor(**QUICK), **given).fit(quarters(60, 0)).plan_
    own = plan.setting
    assert (own.lags, own.centred, own.log, own.difference, own.scaling) == tuple(given.values())
    assert plan.chosen
    assert own.seasonal_difference == 0


def test_parameters_that_differ_from_the_class_are_kept() -> None:
    panel = read_panel(pd.Series(np.arange(1000.0)))
    mine = {"learning_rate": 1e-4, "schedule": "plateau", "max_steps": 9, "window": 77, "early_stopping": True}
    found = recipe(LSTMRegressor(**mine), SeriesSetting(penalty=3.0), panel)
    assert found == {"skip": True, "linear_start": 3.0}
    assert set(recipe(LSTMRegressor(), SeriesSetting(), panel)) == {
        *("learning_rate", "schedule", "max_epochs", "max_steps", "window", "stride", "skip", "linear_start")
    }


@pytest.mark.parametrize(
    "estimator",
    [
        GRURegressor(skip=True, **QUICK),
        GRURegressor(skip=True, linear_start=1.0, **QUICK),
        LinearStateSpaceRegressor(order=2, max_epochs=2, random_state=0),
    ],
    ids=["skip", "linear start", "linear"],
)
def test_a_start_of_its_own_is_taken_as_it_is(estimator: Any) -> None:
    model = Forecaster(estimator).fit(quarters(60, 0))
    assert not starts_open(estimator)
    assert not model.plan_.chosen
    assert model.plan_.setting == SeriesSetting(lags=5)
    assert {**estimator.get_params(), "autoregression": None} == {
        **model.estimator_.get_params(), "autoregression": None
    }  # fmt: skip


def test_without_validation_nothing_is_chosen() -> None:
    """The estimator that is fitted is the one that was given, and the same forecasts follow from fitting it by hand."""
    series = quarters(60, 0)
    estimator = ElmanRegressor(**QUICK)
    model = Forecaster(estimator, lags=1, scaling=None, validation=0).fit(series)
    values = series.to_numpy()
    by_hand = clone(estimator).set_params(autoregression=model.estimator_.autoregression)
    by_hand.fit(np.append(np.nan, values[:-1])[:, None], values)
    ahead = np.full((4, 1), np.nan)
    ahead[0] = values[-1]
    np.testing.assert_allclose(model.forecast(4), by_hand.predict(ahead, initial_state=by_hand.state_))


def test_one_seed_one_forecast() -> None:
    series = quarters(60, 0)
    one, other = (Forecaster(LSTMRegressor(random_state=3)).fit(series).forecast(4, level=80) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_a_file_keeps_the_plan(tmp_path: Any) -> None:
    model = Forecaster(GRURegressor(**QUICK)).fit(quarters(60, 0))
    model.save(tmp_path / "model.safetensors")
    back = seqdyn.load(tmp_path / "model.safetensors")
    assert back.plan_ == model.plan_
    pd.testing.assert_series_equal(back.forecast(3), model.forecast(3))


def test_counts_that_may_be_zero_one_day_are_not_logged() -> None:
    counts = months(np.random.default_rng(0).integers(1, 6, 80))
    model = Forecaster(GRURegressor(**QUICK)).fit(counts)
    assert model.plan_.setting.log is False
    model.update(pd.Series([0.0], pd.date_range("2016-09-01", periods=1, freq="MS"), name="y"))


def test_short_and_constant_series_start_from_the_last_value() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in ([1.0, 2.0, 4.0], [7.0] * 30, [0.0] * 30):
            ahead = Forecaster().fit(pd.Series(values)).forecast(3)
            assert np.isfinite(ahead).all()
    np.testing.assert_allclose(Forecaster().fit(pd.Series([7.0] * 30)).forecast(3), 7.0)


def test_a_validation_below_none_is_refused() -> None:
    with pytest.raises(ValueError, match="validation must be"):
        Forecaster(validation=-1).fit(line())


def test_what_is_linear_says_so_and_keeps_the_parameters_asked_for() -> None:
    """A walk: nothing is to be learnt, so α = 0, and the summary shows no network that nobody reads."""
    walk = pd.Series(np.random.default_rng(0).normal(size=60).cumsum())
    model = Forecaster(GRURegressor(hidden_size=4, max_epochs=3, random_state=0)).fit(walk)
    assert model.plan_.share == 0 and model.estimator_.max_epochs == 3
    text = "\n".join(describe_forecaster(model, model.panel_))
    assert "linear, recursive: the network's correction did not help" in text
    assert "max_epochs=3" in text and "weights" not in text and "training" not in text
    few = replace(model.plan_, error=np.nan)
    assert few.linear == "there were too few rows to try the network's correction on"
    assert not replace(few, share=1.0).linear


def test_one_row_is_refused_as_too_few_for_a_network() -> None:
    one = pd.Series([3.0])
    with pytest.raises(ValueError, match="No series has more than one row: a network needs two or more") as said:
        Forecaster(GRURegressor(max_epochs=1)).fit(one)
    assert "horizon" not in str(said.value)
    with pytest.raises(ValueError, match="horizon=3, but the longest series has 3 rows: a direct model needs more"):
        Forecaster(GRURegressor(max_epochs=1), strategy="direct", horizon=3).fit(pd.Series([3.0, 1.0, 2.0]))

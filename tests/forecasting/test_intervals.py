"""Intervals: they hold what they promise, are measured on rows held out, and are wider where these are few."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

import seqdyn
from seqdyn import (
    ARXRegressor,
    ConformalForecaster,
    Forecaster,
    GRURegressor,
    LinearStateSpaceRegressor,
    NaiveForecaster,
)
from seqdyn.data.panel_reading import read_panel
from seqdyn.forecasting import paths
from seqdyn.forecasting.conformal import Conformal, at_the_end, usual_errors
from seqdyn.forecasting.request import ForecastRequest, Forecasts

Array = np.ndarray[Any, Any]
HELD: dict[str, Any] = {"hidden_size": 4, "max_epochs": 5, "random_state": 0, "early_stopping": True}
LEVELS = np.array([0.1, 0.9])

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the budget is small


class Decay:
    """ŷ_{t+k} = a^k y_t: what is known of a first-order autoregression, without a fit."""

    def __init__(self, a: float, names: pd.Index):
        self.a, self.names = a, names

    def point(self, request: ForecastRequest) -> Array:
        return request.panel.target[request.rows - 1][:, None] * self.a ** np.arange(1, request.horizon + 1)

    def truth(self, request: ForecastRequest) -> Array:
        return request.actual()


def autoregressive(a: float, rows: int, count: int, generator: np.random.Generator) -> Array:
    """y_t = a y_{t-1} + ε, (rows, count)."""
    noise = generator.normal(size=(rows, count))
    for t in range(1, rows):
        noise[t] += a * noise[t - 1]
    return noise


def measured(a: float, y: Array, held: int, horizon: int, shrunk: float = 1.0) -> Conformal:
    """The errors of the true model on the last rows; those on the others are made too small, as by heart."""
    panel = read_panel(pd.DataFrame(y))
    model, counts = Decay(a, panel.names), np.full(y.shape[1], held)
    usual = shrunk * usual_errors(model, panel.head(panel.lengths - counts), horizon)
    return Conformal.measure(model, panel, at_the_end(panel, counts, horizon), usual)


@pytest.mark.parametrize("a", [1.0, 0.8, 0.0])
@pytest.mark.parametrize(("held", "shrunk"), [(15, 1.0), (15, 0.2), (40, 1.0)])
def test_few_errors_hold_what_they_promise(a: float, held: int, shrunk: float) -> None:
    """80 % of what comes, over 60 short series; never far less, and little more."""
    generator, inside = np.random.default_rng(0), []
    for _ in range(60):
        y = autoregressive(a, 162, 1, generator)
        width = measured(a, y[:150], held, 12, shrunk).widths(np.array([0]), LEVELS, 12)[0]
        error = y[150:, 0] - y[149, 0] * a ** np.arange(1, 13)
        inside.append(((width[:, 0] <= error) & (error <= width[:, 1])).mean())
    slack = 3 * np.std(inside) / np.sqrt(len(inside))
    assert 0.8 - slack < np.mean(inside) < 0.86 + slack


def test_many_series_need_no_widening() -> None:
    """The quantiles of a random walk's errors are z_p √k, and beyond the steps measured they go on so."""
    y = autoregressive(1.0, 60, 400, np.random.default_rng(1))
    found = measured(1.0, y, 6, 6)
    assert found.widening == 1.0
    assert found.reason(LEVELS) == ""
    width = found.widths(np.arange(400), LEVELS, 12).mean(axis=0)
    known = norm.ppf(LEVELS) * np.sqrt(np.arange(1, 13))[:, None]
    np.testing.assert_allclose(width, known, rtol=0.15)


def test_every_series_keeps_its_own_size() -> None:
    y = autoregressive(0.5, 200, 3, np.random.default_rng(2)) * [0.1, 1.0, 10.0]
    width = measured(0.5, y, 20, 5).widths(np.arange(3), LEVELS, 5)[:, :, 1]
    np.testing.assert_allclose(width[0] / width[1], 0.1, rtol=0.3)
    np.testing.assert_allclose(width[2] / width[1], 10.0, rtol=0.3)


def test_too_few_errors_are_said() -> None:
    found = measured(1.0, autoregressive(1.0, 30, 1, np.random.default_rng(3)), 2, 2)
    assert found.stretches == pytest.approx(1 + (2 / 1 + 1 / 2) / 2)
    assert "they are wider for it" in found.reason(np.array([0.025, 0.975]))


@pytest.fixture(scope="module")
def walks() -> pd.DataFrame:
    """Twenty random walks."""
    values = 50 + autoregressive(1.0, 120, 20, np.random.default_rng(4))
    return pd.DataFrame(values, pd.date_range("2024-01-01", periods=120, freq="D"))


@pytest.fixture(scope="module")
def held_out(walks: pd.DataFrame) -> Forecaster:
    """A network that holds rows out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Forecaster(GRURegressor(**HELD), horizon=6, lags=2, validation=0).fit(walks.iloc[:100])


def test_early_stopping_measures_errors_at_no_further_fit(held_out: Forecaster, walks: pd.DataFrame) -> None:
    """From every origin in the tenth held out of every series; what is said of the next rows holds."""
    assert held_out.errors_.conformal is not None
    assert held_out.errors_.conformal.scores.shape == (20 * 10, 6)
    result = held_out.backtest(walks, 6, 14, 1, level=80, baselines=None)
    assert 70 < result.metrics()["coverage_80"].iloc[0] < 90
    assert not result.notes


def test_the_errors_are_those_of_a_backtest(held_out: Forecaster, walks: pd.DataFrame) -> None:
    """By hand: forecasts from the rows held out, beside what came."""
    with pytest.warns(UserWarning, match="in-sample"):
        result = held_out.backtest(walks.iloc[:100], 6, 5, 1, baselines=None).frame
    found = held_out.errors_.conformal
    assert found is not None
    scores = (result["y"] - result["mean"]).to_numpy().reshape(20, 5, 6) / found.spread[:, None]
    np.testing.assert_allclose(found.scores.reshape(20, 10, 6)[:, :5], scores, atol=1e-4)


def test_intervals_survive_files_updates_and_other_series(
    held_out: Forecaster, walks: pd.DataFrame, tmp_path: Any
) -> None:
    held_out.save(tmp_path / "model.safetensors")
    read = seqdyn.load(tmp_path / "model.safetensors")
    ahead = held_out.forecast(9, level=[80, 95])
    pd.testing.assert_frame_equal(read.forecast(9, level=[80, 95]), ahead, check_freq=False)
    read.update(walks.iloc[100:103])
    assert read.forecast(3, level=80).shape == (3, 60)
    new = held_out.apply(walks[[3]].rename(columns={3: "new"}))
    assert new.forecast(3, level=80).shape == (3, 3)


def test_intervals_are_never_of_no_width() -> None:
    """Not even about what is always the same; they hold their own mean."""
    flat = pd.DataFrame({"flat": np.full(60, 7.0), "line": np.arange(60.0)}, pd.RangeIndex(60))
    found = Forecaster(GRURegressor(**HELD), lags=2).fit(flat).forecast(5, quantiles=[0.1, 0.5, 0.9])
    for name in flat:
        assert (found[name]["0.1"] < found[name]["mean"]).all()
        assert (found[name]["mean"] < found[name]["0.9"]).all()
        np.testing.assert_allclose(found[name]["0.5"], found[name]["mean"])


def test_errors_of_rows_seen_come_with_a_warning(walks: pd.DataFrame) -> None:
    """That names two ways out; a linear model of a few weights has learnt nothing by heart."""
    seen = Forecaster(GRURegressor(**HELD | {"early_stopping": False}), lags=2, n_samples=20, validation=0)
    seen.fit(walks.iloc[:9])
    with pytest.warns(UserWarning, match=r"early_stopping=True.*ConformalForecaster") as said:
        seen.forecast(2, level=80)
    assert len(said) == 1
    result = seen.backtest(walks, 3, 1, level=80, baselines=None)
    assert any("early_stopping=True" in note for note in result.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Forecaster(ARXRegressor(output_lags=0, input_lags=0), n_samples=20).fit(walks).forecast(2, level=80)
        seen.forecast(2)


def test_rows_held_out_to_choose_on_measure_errors_too(walks: pd.DataFrame) -> None:
    """The usual way: they hold what they promise on the rows that come, though all rows were fitted to."""
    quick = {"hidden_size": 4, "max_epochs": 5, "random_state": 0}
    model = Forecaster(GRURegressor(**quick), horizon=6, validation=10).fit(walks.iloc[:100])
    assert model.errors_.conformal is not None
    result = model.backtest(walks, 6, 14, 1, level=80, baselines=None)
    assert 70 < result.metrics()["coverage_80"].iloc[0] < 90
    assert not result.notes


def test_a_direct_model_has_intervals_from_rows_held_out(walks: pd.DataFrame) -> None:
    model = Forecaster(GRURegressor(**HELD), strategy="direct", horizon=4, lags=2, validation=0).fit(walks.iloc[:100])
    assert 60 < model.backtest(walks, 4, 16, 1, level=80, baselines=None).metrics()["coverage_80"].iloc[0] < 95


def test_training_around_a_gap_holds_out_the_end() -> None:
    y = pd.Series(autoregressive(0.8, 400, 1, np.random.default_rng(5))[:, 0])
    y.iloc[100:300] = np.nan
    model = Forecaster(LinearStateSpaceRegressor(order=2, max_epochs=3, random_state=0, early_stopping=True), lags=2)
    found = model.fit(y).errors_.conformal
    assert found is not None
    assert len(found.scores) == round(model.estimator_.validation_fraction * 100)
    assert (~np.isnan(found.scores[:, 0])).all()


def test_quantiles_of_paths_do_not_depend_on_what_is_held_at_once(
    walks: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is as the paths of ``sample`` say, and many pieces are drawn as one."""
    model = Forecaster(ARXRegressor(output_lags=0, input_lags=0), n_samples=4000, random_state=0).fit(walks)
    whole = model.forecast(3, level=80)
    drawn = model.sample(3, 4000).quantile([0.1, 0.9], "sample").transpose("series", "step", "quantile")
    monkeypatch.setattr(paths, "VALUES_AT_ONCE", 40_000)
    pieces = model.forecast(3, level=80)
    for number, name in enumerate(walks):
        np.testing.assert_allclose(whole[name][["0.1", "0.9"]], drawn[number])
        np.testing.assert_allclose(pieces[name][["0.1", "0.9"]], drawn[number], atol=0.25)


@pytest.mark.parametrize(("rows", "horizon", "origins"), [(500, 6, 100), (108, 12, 36), (24, 6, 5), (12, 3, 2)])
def test_a_calibration_that_is_left_open_takes_what_rows_there_are(rows: int, horizon: int, origins: int) -> None:
    """A third of them, at most 100, and as many as leave two horizons and two to fit to."""
    walk = pd.Series(np.cumsum(np.random.default_rng(0).normal(size=rows)))
    model = ConformalForecaster(NaiveForecaster(), horizon=horizon).fit(walk)
    assert len(model.conformal_.scores) == origins
    with pytest.raises(ValueError, match=r"calibration=1 origin of 6 steps leave at most 3 rows"):
        ConformalForecaster(NaiveForecaster(), horizon=6).fit(walk[:9])


@dataclass(kw_only=True, repr=False, eq=False)
class Doubting(NaiveForecaster):
    """It says that it doubts itself."""

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        return replace(super().forecast_from(request), notes=("I doubt it.",))


def test_what_a_calibrated_model_says_is_passed_on() -> None:
    walk = pd.Series(np.cumsum(np.random.default_rng(0).normal(size=200)))
    model = ConformalForecaster(Doubting(), horizon=2).fit(walk[:150])
    for asked in ({}, {"level": 80}):
        with pytest.warns(UserWarning, match="I doubt it"):
            model.forecast(2, **asked)
    assert model.backtest(walk, 2, 3, baselines=None).notes == ["I doubt it."]

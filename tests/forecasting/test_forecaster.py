"""The forecaster: its laws, its oracles, and what it does with bad input."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

import seqdyn
from seqdyn import (
    ARXRegressor,
    Autoregression,
    CombinedForecaster,
    ConformalForecaster,
    ElmanRegressor,
    Forecaster,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    MovingAverageRegressor,
    NaiveForecaster,
    PersistenceRegressor,
)
from seqdyn.forecasting.request import ForecastRequest
from seqdyn.state import leaves

pytestmark = pytest.mark.filterwarnings("ignore:Forecaster. . of 3 forecasts are far beyond")  # two epochs learn little

QUICK: dict[str, Any] = {"hidden_size": 4, "max_epochs": 2, "random_state": 0, "dtype": "float64"}

MODELS: dict[str, Callable[[], Forecaster]] = {
    "gru": lambda: Forecaster(GRURegressor(**QUICK), lags=3),
    "lstm, two layers": lambda: Forecaster(LSTMRegressor(num_layers=2, **QUICK), lags=2, calendar="auto"),
    "elman, plain lags": lambda: Forecaster(ElmanRegressor(**QUICK), lags=1, centred=False, scaling="mean"),
    "linear": lambda: Forecaster(LinearStateSpaceRegressor(order=3, max_epochs=2, random_state=0), lags=4),
    "differences": lambda: Forecaster(GRURegressor(**QUICK), difference=1, seasonal_difference=1, season_length=4),
    "logarithm": lambda: Forecaster(GRURegressor(skip=True, **QUICK), log=True, scaling="robust"),
    "quantiles": lambda: Forecaster(LSTMRegressor(loss="quantile", **QUICK), lags=2, log="auto"),
    "gaussian": lambda: Forecaster(LSTMRegressor(loss="gaussian", **QUICK), lags=2),
    "direct": lambda: Forecaster(GRURegressor(**QUICK), strategy="direct", horizon=6, lags=3),
    "direct, quantiles": lambda: Forecaster(
        GRURegressor(loss="quantile", **QUICK), strategy="direct", horizon=6, lags=3, scaling="seasonal"
    ),
    "short context": lambda: Forecaster(GRURegressor(**QUICK), lags=3, context_length=10),
    "persistence": lambda: Forecaster(PersistenceRegressor()),
    "moving average": lambda: Forecaster(MovingAverageRegressor(window=3)),
    "autoregression": lambda: Forecaster(ARXRegressor(output_lags=0, input_lags=2)),
}
STATEFUL = {name: make for name, make in MODELS.items() if name != "short context"}
RECURSIVE = {name: make for name, make in MODELS.items() if not name.startswith("direct")}


def panel(rows: int = 40, series: int = 3, seed: int = 0) -> pd.DataFrame:
    """A wide frame of positive series with a gap, and one that begins later."""
    generator = np.random.default_rng(seed)
    steps = np.arange(rows)[:, None]
    values = (
        10 + np.arange(series) + np.sin(steps * 1.3 + np.arange(series)) + 0.1 * generator.normal(size=(rows, series))
    )
    values[12:15, 0] = np.nan
    values[:5, series - 1] = np.nan
    return pd.DataFrame(values, pd.date_range("2024-01-01", periods=rows, freq="D"), list("abcdefgh")[:series])


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Forecaster:
    """Every model, fitted on the leading rows."""
    return MODELS[request.param]().fit(panel().iloc[:30])


@pytest.fixture(params=STATEFUL)
def stateful(request: pytest.FixtureRequest) -> Forecaster:
    """Every model that conditions on the whole past, fitted on the leading rows."""
    return STATEFUL[request.param]().fit(panel().iloc[:30])


def same(one: Any, other: Any, tolerance: float = 1e-9) -> None:
    """Two frames of one shape and equal values."""
    assert one.shape == other.shape
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=tolerance, atol=tolerance)


# -------------------------------------------------------------------------------------------------------------- laws


def test_forecasting_changes_nothing(model: Forecaster) -> None:
    first = model.forecast(4)
    before = [leaf.clone() for leaf in leaves(model.state_)]
    same(first, model.forecast(4), 0)
    assert all((a == b).all() for a, b in zip(before, leaves(model.state_), strict=True))


def test_a_short_forecast_is_the_beginning_of_a_long_one(model: Forecaster) -> None:
    same(model.forecast(3), model.forecast(6).iloc[:3])


def test_updating_twice_row_by_row_and_at_once_are_the_same(stateful: Forecaster) -> None:
    frame = panel()
    frame.iloc[32, 1] = np.nan
    once, twice, single = (pickle.loads(pickle.dumps(stateful)) for _ in range(3))
    once.update(frame.iloc[30:38])
    twice.update(frame.iloc[30:33]).update(frame.iloc[33:38])
    for row in range(30, 38):
        single.update(frame.iloc[[row]])
    for other in (twice, single):
        same(once.forecast(4), other.forecast(4))
        for a, b in zip(leaves(once.state_), leaves(other.state_), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


def test_reading_rows_gives_another_memory_and_changes_none(stateful: Forecaster) -> None:
    kept, before = stateful.memory_, stateful.state.copy(deep=True)
    ahead = stateful.forecast(4)
    stateful.update(panel().iloc[30:34])
    assert stateful.memory_ is not kept
    assert before.identical(kept.labelled(stateful.known_.names))
    stateful.memory_, stateful.known_ = kept, stateful.fitted_until_
    same(stateful.forecast(4), ahead, 0)


def test_an_update_leaves_the_weights_alone(stateful: Forecaster) -> None:
    before = [p.clone() for p in stateful.estimator_.network_.parameters()]
    stateful.update(panel().iloc[30:])
    assert all((a == b).all() for a, b in zip(before, stateful.estimator_.network_.parameters(), strict=True))


def test_an_updated_model_forecasts_as_a_backtest_does_from_there(model: Forecaster) -> None:
    frame = panel()
    result = model.backtest(frame, 4, 1, baselines=None).frame
    model.update(frame.iloc[30:36])
    wide = result.pivot(index="time", columns="series", values="mean")
    same(model.forecast(4), wide, 1e-8)


def test_a_backtest_equals_the_loop_step_by_step(model: Forecaster) -> None:
    frame = panel()
    result = model.backtest(frame, 3, 7, 1, baselines=None).frame
    for row in range(31, 38):
        wide = result[result["cutoff"] == frame.index[row - 1]].pivot(index="time", columns="series", values="mean")
        same(model.forecast(3) if row == 30 else _moved(model, frame, row).forecast(3), wide, 1e-8)


def _moved(model: Forecaster, frame: pd.DataFrame, row: int) -> Forecaster:
    copied: Forecaster = pickle.loads(pickle.dumps(model))
    return copied.update(frame.iloc[30:row])


def test_a_backtest_does_not_see_the_future(model: Forecaster) -> None:
    frame = panel()
    changed = frame.copy()
    changed.iloc[36:] *= 3
    one, other = (model.backtest(data, 4, 1, baselines=None).frame["mean"] for data in (frame, changed))
    same(one, other, 0)


def test_a_series_does_not_know_its_companions(stateful: Forecaster) -> None:
    frame = panel()
    together = stateful.backtest(frame, 4, 2, baselines=None).frame
    for name in frame:
        alone = stateful.backtest(frame[[name]], 4, 2, baselines=None).frame
        same(together[together["series"] == name]["mean"], alone["mean"])


def test_a_file_keeps_everything(model: Forecaster, tmp_path: Any) -> None:
    model.save(tmp_path / "model.safetensors")
    read = seqdyn.load(tmp_path / "model.safetensors")
    if model.context_length is None:
        same(model.forecast(4), read.forecast(4), 0)
        same(model.update(panel().iloc[30:34]).forecast(4), read.update(panel().iloc[30:34]).forecast(4), 0)
    same(
        model.backtest(panel(), 3, baselines=None).frame["mean"],
        read.backtest(panel(), 3, baselines=None).frame["mean"],
        0,
    )


def test_clone_forgets_and_a_refit_repeats(model: Forecaster) -> None:
    again = clone(model)
    assert not hasattr(again, "estimator_")
    same(again.fit(panel().iloc[:30]).forecast(4), model.forecast(4), 0)


@pytest.mark.parametrize("name", MODELS)
def test_rows_in_any_order_and_any_layout_are_the_same(name: str) -> None:
    frame = panel().iloc[:30]
    wide = MODELS[name]().fit(frame).forecast(3)
    long = frame.rename_axis("ds").reset_index().melt("ds", var_name="unique_id", value_name="y").dropna()
    found = MODELS[name]().fit(long.sample(frac=1, random_state=0).sort_values("unique_id", kind="stable")).forecast(3)
    same(found.pivot(index="ds", columns="unique_id", values="mean"), wide)


@pytest.mark.parametrize("name", RECURSIVE)
@pytest.mark.filterwarnings("ignore:Intervals are drawn from the errors of rows")
def test_quantiles_are_in_order_about_the_point(name: str) -> None:
    model = RECURSIVE[name]().set_params(n_samples=50).fit(panel().iloc[:30])
    if name == "short context":
        return
    values = model.forecast(4, quantiles=[0.1, 0.3, 0.5, 0.9])
    for series in panel():
        spread, mean = values[series].drop(columns="mean").to_numpy(), values[series]["mean"].to_numpy()
        assert (np.diff(spread, axis=1) >= 0).all()
        assert ((spread[:, 1] <= mean) & (mean <= spread[:, 3])).all()


def test_the_global_random_state_is_left_alone() -> None:
    import torch

    before, legacy = torch.random.get_rng_state(), np.random.mtrand._rand.get_state()[1].copy()
    MODELS["gru"]().fit(panel()).forecast(3, level=80)
    assert (torch.random.get_rng_state() == before).all()
    assert (np.random.mtrand._rand.get_state()[1] == legacy).all()


# ----------------------------------------------------------------------------------------------------------- oracles


def autoregressive(rows: int = 4000, a: float = 0.8, seed: int = 1) -> pd.Series:
    """y_t = a y_{t-1} + ε, ε ~ N(0, 1)."""
    noise = np.random.default_rng(seed).normal(size=rows)
    values = np.zeros(rows)
    for t in range(1, rows):
        values[t] = a * values[t - 1] + noise[t]
    return pd.Series(values, pd.date_range("2020-01-01", periods=rows, freq="h"), name="y")


def test_a_first_order_autoregression_forecasts_its_closed_form() -> None:
    y = autoregressive()
    model = Forecaster(ARXRegressor(output_lags=0, input_lags=0), n_samples=20_000, random_state=0).fit(y)
    slope, offset = np.polyfit(y[:-1], y[1:], 1)
    expected = [y.iloc[-1]]
    for _ in range(5):
        expected.append(slope * expected[-1] + offset)
    np.testing.assert_allclose(model.forecast(5), expected[1:], rtol=1e-9)
    sigma = np.std(y[1:].to_numpy() - slope * y[:-1].to_numpy() - offset)
    spread = model.sample(5, 20_000).std("sample").to_numpy()[0]
    known = sigma * np.sqrt([(1 - slope ** (2 * k)) / (1 - slope**2) for k in range(1, 6)])
    np.testing.assert_allclose(spread, known, rtol=4 / np.sqrt(2 * 20_000))


def test_sample_paths_of_a_gaussian_head_have_its_spread() -> None:
    y = autoregressive()
    model = Forecaster(
        LinearStateSpaceRegressor(
            order=1, loss="gaussian", max_epochs=150, learning_rate=0.02, random_state=0, window=200
        ),
        lags=1,
        centred=False,
        random_state=0,
    ).fit(y)
    spread = model.sample(6, 4000).std("sample").to_numpy()[0]
    known = np.sqrt([(1 - 0.8 ** (2 * k)) / (1 - 0.8**2) for k in range(1, 7)])
    np.testing.assert_allclose(spread, known, rtol=0.12)


def test_conformal_intervals_cover() -> None:
    y = autoregressive(9000)
    inner = Forecaster(ARXRegressor(output_lags=0, input_lags=0))
    model = ConformalForecaster(inner, horizon=4, calibration=3000).fit(y.iloc[:5000])
    result = model.backtest(y, 4, 3900, 1, level=[80, 95], baselines=None)
    assert result.metrics()["coverage_80"].iloc[0] == pytest.approx(80, abs=3)
    assert result.metrics()["coverage_95"].iloc[0] == pytest.approx(95, abs=1.5)


@pytest.mark.parametrize("order", [["smooth", "noisy", "noisier"], ["noisier", "smooth", "noisy"]])
def test_every_series_has_intervals_of_its_own_width(order: list[str]) -> None:
    noise = np.random.default_rng(0).normal(size=(1500, 3))
    values = {name: [0.0] for name in ("smooth", "noisy", "noisier")}
    for row in noise:
        for path, size, drawn in zip(values.values(), (0.02, 0.5, 1.0), row, strict=True):
            path.append(0.8 * path[-1] + size * drawn)
    frame = pd.DataFrame(values, pd.RangeIndex(1501))[order]
    model = Forecaster(ARXRegressor(output_lags=0, input_lags=0), scaling=None, n_samples=400, random_state=0)
    table = model.fit(frame.iloc[:1300]).backtest(frame, 3, 150, 1, level=80, baselines=None).metrics("series")
    assert ((table["coverage_80"] > 68) & (table["coverage_80"] < 92)).all()


def test_there_is_one_way_to_calibrate() -> None:
    with pytest.raises(TypeError, match="calibration"):
        Forecaster(GRURegressor(**QUICK), calibration=25)  # type: ignore[call-arg]


def test_what_a_calibration_needs_is_said() -> None:
    inner = Forecaster(GRURegressor(**QUICK), scale_features=True)
    with pytest.raises(ValueError, match="calibration=25 origins of 5 steps leave"):
        ConformalForecaster(inner, horizon=5, calibration=25).fit(panel())
    frame = panel()
    frame["late"] = np.where(np.arange(40) < 34, np.nan, frame["a"])
    with pytest.warns(UserWarning, match="Calibration"):
        model = ConformalForecaster(inner, horizon=3, calibration=5).fit(frame)
    assert model.forecast(2, level=50)["late"].shape == (2, 3)
    with pytest.raises(ValueError, match="measured errors up to 3 steps ahead"):
        model.forecast(4, level=50)
    with pytest.warns(UserWarning, match="too few for the quantile 0.995"):
        model.forecast(2, level=99)


def test_a_short_context_survives_a_file_and_updates(tmp_path: Any) -> None:
    frame = panel()
    model = MODELS["short context"]().fit(frame.iloc[:30])
    model.save(tmp_path / "model.safetensors")
    read = seqdyn.load(tmp_path / "model.safetensors")
    same(read.forecast(3), model.forecast(3), 0)
    same(read.update(frame.iloc[30:35]).forecast(3), model.update(frame.iloc[30:35]).forecast(3), 0)


def test_going_back_to_a_state_goes_back_to_its_forecast() -> None:
    for name in ("gru", "differences"):
        model = MODELS[name]().fit(panel().iloc[:30])
        kept, ahead = model.state, model.forecast(3)
        model.update(panel().iloc[30:35])
        model.state = kept
        same(model.forecast(3), ahead)
        with pytest.raises(ValueError, match="variables"):
            model.state = kept.drop_vars("pending")
        with pytest.raises(ValueError, match="not finite"):
            model.state = kept * np.nan


def test_training_goes_around_long_gaps() -> None:
    y = autoregressive(400)
    y.iloc[60:360] = np.nan
    model = MODELS["gru"]().fit(y)
    assert np.isfinite(model.forecast(3)).all()
    begins, ends = model.panel_.stretches(50)
    assert (begins.tolist(), ends.tolist()) == ([0, 360], [60, 400])


def test_rows_missing_among_new_ones_are_named() -> None:
    frame = panel()
    model = MODELS["gru"]().fit(frame.iloc[:30])
    with pytest.raises(ValueError, match="fill_gaps"):
        model.update(frame.iloc[[30, 33]])
    model.update(frame.iloc[[30, 33]], fill_gaps=True)
    assert model.known_.last[0] == frame.index[33]


def test_another_frequency_is_refused() -> None:
    model = MODELS["gru"]().fit(panel())
    hourly = panel().set_axis(pd.date_range("2024-01-01", periods=40, freq="h"))
    for use in (lambda: model.backtest(hourly, 3, baselines=None), lambda: model.apply(hourly)):
        with pytest.raises(ValueError, match="frequency 'h'"):
            use()


def test_swapped_levels_and_dims() -> None:
    stacked = panel().stack()
    with pytest.raises(ValueError, match="swaplevel"):
        MODELS["gru"]().fit(stacked.rename("y"))
    array = xr.DataArray(
        panel().fillna(11.0).to_numpy(),
        {"date": panel().index, "station": [1, 2, 3]},
        ("date", "station"),
    )
    assert MODELS["gru"]().fit(array).forecast(2).sizes == {"station": 3, "date": 2}


def test_conformal_intervals_around_anything() -> None:
    walk = pd.Series(100 + np.cumsum(np.random.default_rng(3).normal(size=6000)), pd.RangeIndex(6000), name="walk")
    model = ConformalForecaster(NaiveForecaster(), horizon=4, calibration=2000, log=False).fit(walk.iloc[:3000])
    result = model.backtest(walk, 4, 2900, 1, level=[80, 95], baselines=None)
    assert result.metrics()["coverage_80"].iloc[0] == pytest.approx(80, abs=3)
    assert result.metrics()["coverage_95"].iloc[0] == pytest.approx(95, abs=1.5)
    ahead = model.forecast(4, level=80)
    sigma = np.sqrt(np.arange(1, 5)) * 1.2816
    np.testing.assert_allclose(ahead["0.9"] - ahead["mean"], sigma, rtol=0.15)
    assert model.update(walk.iloc[3000:3010]).forecast(2).iloc[0] == walk.iloc[3009]


def test_conformal_intervals_of_a_combination_survive_a_file(tmp_path: Any) -> None:
    members = {"gru": MODELS["gru"](), "naive": NaiveForecaster()}
    model = ConformalForecaster(CombinedForecaster(models=members), horizon=3, calibration=12)
    model.fit(panel().iloc[:30]).save(tmp_path / "model.safetensors")
    read = seqdyn.load(tmp_path / "model.safetensors")
    same(model.forecast(3, level=60), read.forecast(3, level=60), 0)
    with pytest.raises(TypeError, match="forecaster of seqdyn"):
        ConformalForecaster(GRURegressor()).fit(panel())


def test_a_trend_is_continued() -> None:
    steps = pd.Series(np.arange(1.0, 121.0), pd.RangeIndex(120))
    model = Forecaster(GRURegressor(hidden_size=8, max_epochs=100, random_state=0)).fit(steps)
    np.testing.assert_allclose(model.forecast(10), np.arange(121.0, 131.0), rtol=0.01)


def test_a_pure_delay_of_a_covariate_is_found_at_the_right_lag_and_not_at_others() -> None:
    u = np.random.default_rng(0).normal(size=404)
    index = pd.RangeIndex(400)
    errors = {}
    for shift in (-1, 0, 1, 2):  # a row holds the covariate of its own step and of the one before
        frame = pd.DataFrame({"y": u[1:401], "u": u[1 + shift : 401 + shift]}, index)
        model = Forecaster(ARXRegressor(output_lags=0, input_lags=0), future=["u"]).fit(frame.iloc[:390])
        ahead = model.forecast(10, frame[["u"]].iloc[390:])["y"]
        errors[shift] = float(np.abs(ahead.to_numpy() - frame["y"].to_numpy()[390:]).max())
    assert errors[0] < 1e-6
    assert errors[1] < 1e-6
    assert errors[-1] > 0.5
    assert errors[2] > 0.5


def test_a_gap_is_run_through_on_own_predictions() -> None:
    y = autoregressive(400)
    model = Forecaster(ARXRegressor(output_lags=0, input_lags=0)).fit(y)
    slope, offset = np.polyfit(y[:-1], y[1:], 1)
    index = pd.date_range(y.index[-1], periods=4, freq="h")[1:]
    model.update(pd.Series([np.nan, np.nan, np.nan], index, name="y"))
    level = y.iloc[-1]
    for _ in range(4):
        level = slope * level + offset
    assert model.forecast(1).iloc[0] == pytest.approx(level)
    late = Forecaster(ARXRegressor(output_lags=0, input_lags=0)).fit(y)
    late.update(pd.Series([1.0], index[2:], name="y"), fill_gaps=True)
    assert late.forecast(1).iloc[0] == pytest.approx(slope + offset)


def test_differences_are_undone_from_own_predictions_where_values_are_missing() -> None:
    """A line with a seasonal pattern, its last season half missing: seasonal differences go on from the right level."""
    steps = np.arange(60)
    y = pd.Series(2.0 * steps + np.tile([0.0, 5.0, -3.0, 1.0], 15), pd.RangeIndex(60))
    expected = 2.0 * np.arange(60, 66) + np.tile([0.0, 5.0, -3.0, 1.0], 2)[:6]
    y.iloc[57:] = np.nan
    model = Forecaster(ARXRegressor(output_lags=0, input_lags=0), seasonal_difference=1, season_length=4, scaling=None)
    np.testing.assert_allclose(model.fit(y).forecast(6), expected, atol=1e-6)
    later = Forecaster(
        ARXRegressor(output_lags=0, input_lags=0), seasonal_difference=1, season_length=4, scaling=None
    ).fit(y.iloc[:57])
    np.testing.assert_allclose(later.update(y.iloc[57:]).forecast(6), expected, atol=1e-6)


def test_absent_rows_are_missing_values() -> None:
    frame = panel().iloc[:30]
    absent = frame["a"].drop(frame.index[20:23])
    missing = frame["a"].where(~frame.index.isin(frame.index[20:23]))
    same(MODELS["gru"]().fit(absent).forecast(3), MODELS["gru"]().fit(missing).forecast(3), 0)


def test_covariates_known_ahead_go_along_with_updates() -> None:
    frame = panel()
    frame["known"] = np.random.default_rng(0).normal(size=len(frame))
    model = Forecaster(GRURegressor(**QUICK), lags=3, future=["known"]).fit(frame.iloc[:30])
    once, twice = pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(model))
    ahead = frame[["known"]].iloc[36:]
    once.update(frame.iloc[30:36])
    twice.update(frame.iloc[30:33]).update(frame.iloc[33:36])
    same(once.forecast(4, ahead), twice.forecast(4, ahead))
    wide = model.backtest(frame, 4, 1, baselines=None).frame.pivot(index="time", columns="series", values="mean")
    same(once.forecast(4, ahead), wide, 1e-8)
    other = ahead.copy()
    other.iloc[2] += 1.0
    changed = once.forecast(4, other)
    same(once.forecast(4, ahead).iloc[:2], changed.iloc[:2])
    assert np.abs(changed - once.forecast(4, ahead)).to_numpy()[2].max() > 1e-6


def test_past_covariates_are_forecast_along() -> None:
    steps = np.arange(300)
    frame = pd.DataFrame({"y": np.sin(0.3 * (steps - 1)), "lead": np.sin(0.3 * steps)}, pd.RangeIndex(300))
    model = Forecaster(ARXRegressor(output_lags=0, input_lags=1), past=["lead"]).fit(frame)
    np.testing.assert_allclose(model.forecast(20)["y"], np.sin(0.3 * (np.arange(300, 320) - 1)), atol=1e-6)


def test_static_covariates_tell_series_apart() -> None:
    rows = []
    for number, kind in enumerate(["low", "high", "low", "high"]):
        level = 1.0 if kind == "low" else -1.0
        rows.append(
            pd.DataFrame(
                {
                    "unique_id": f"s{number}",
                    "ds": np.arange(30),
                    "y": np.cumsum(np.full(30, level)) + number,
                    "kind": kind,
                }
            )
        )
    frame = pd.concat(rows)
    model = Forecaster(ARXRegressor(output_lags=0, input_lags=0), static=["kind"], scaling=None).fit(frame)
    ahead = model.forecast(2)
    last = frame.groupby("unique_id")["y"].last()
    for number, kind in enumerate(["low", "high", "low", "high"]):
        own = ahead[ahead["unique_id"] == f"s{number}"]["mean"].to_numpy()
        sign = 1.0 if kind == "low" else -1.0
        np.testing.assert_allclose(own, last[f"s{number}"] + sign * np.array([1.0, 2.0]), atol=1e-6)


def test_free_run_training_and_scheduled_sampling_change_what_is_learnt() -> None:
    frame = panel()
    plain = Forecaster(GRURegressor(**QUICK), lags=2, validation=0).fit(frame).forecast(3)
    for change in ({"free_run": 5}, {"teacher_forcing": 0.5}, {"teacher_forcing": "linear"}):
        other = Forecaster(GRURegressor(**QUICK), lags=2, validation=0, **change).fit(frame).forecast(3)
        assert np.abs(other - plain).to_numpy().max() > 1e-9


# ------------------------------------------------------------------------------------------------------------- tools


def test_a_wide_frame_in_a_grid_search() -> None:
    grid = GridSearchCV(
        Forecaster(GRURegressor(**QUICK)), {"lags": [2, 3], "estimator__hidden_size": [2, 4]}, cv=TimeSeriesSplit(2)
    )
    grid.fit(panel(60))
    assert set(grid.best_params_) == {"lags", "estimator__hidden_size"}
    assert np.isfinite(grid.best_score_)


def test_a_search_by_backtest() -> None:
    found = MODELS["gru"]().search({"lags": [2, 3]}, panel(), 3, n_windows=2)
    assert len(found.table) == 2
    assert found.table["MASE"].is_monotonic_increasing
    assert found.best.lags == found.best_params["lags"]
    assert "MASE" in repr(found)


def test_the_training_of_a_network_is_seen(tmp_path: Any) -> None:
    """As the regressor has it, also from a file; one that is solved for has no training."""
    series = pd.Series(np.sin(np.arange(80) / 3))
    forecaster = Forecaster(GRURegressor(hidden_size=2, max_epochs=2, skip=True, random_state=0))
    with pytest.raises(NotFittedError):
        _ = forecaster.history_
    forecaster.fit(series).save(tmp_path / "file.safetensors")
    assert len(forecaster.history_) == 2 and "loss" in forecaster.history_
    pd.testing.assert_frame_equal(seqdyn.load(tmp_path / "file.safetensors").history_, forecaster.history_)
    assert not hasattr(Forecaster(ARXRegressor()).fit(series), "history_")


def test_the_state_is_seen_and_set() -> None:
    model = MODELS["gru"]().fit(panel().iloc[:30])
    kept, ahead = model.state, model.forecast(3)
    assert kept.sizes["series"] == 3
    model.update(panel().iloc[30:35])
    model.state = kept
    assert all(np.array_equal(kept[name], model.state[name]) for name in kept)
    with pytest.raises(ValueError, match="rows"):
        model.state = kept.isel(series=[0, 1])
    assert ahead.shape == (3, 3)


def test_apply_reads_other_series_with_the_same_weights() -> None:
    frame = panel(40, 4)
    model = MODELS["gru"]().fit(frame[["a", "b"]])
    other = model.apply(frame[["c", "d"]])
    assert list(other.forecast(2).columns) == ["c", "d"]
    assert other.estimator_.network_ is model.estimator_.network_
    same(model.forecast(2), MODELS["gru"]().fit(frame[["a", "b"]]).forecast(2), 0)


def test_the_summary_ends_in_the_verdict() -> None:
    text = MODELS["gru"]().set_params(season_length=7).fit(panel(60)).summary(horizon=5)
    assert "series of" in text
    assert text.splitlines()[-1].startswith("The model ")


def test_predict_is_forecast() -> None:
    model = MODELS["gaussian"]().set_params(random_state=0).fit(panel())
    same(model.predict(3, level=80), model.forecast(3, level=80), 0)


def test_several_seasons() -> None:
    """The shortest is that of MASE and of what is differenced over a season; lags reach over the longest."""
    model = Forecaster(GRURegressor(**QUICK), season_length=(12, 4), seasonal_difference=1, validation=0)
    model.fit(panel(60))
    assert (model.season_length_, model.transform_.season_length) == (4, 4)
    assert model.estimator_.autoregression.lags == 13
    test = model.backtest(panel(70), 4, 1, baselines=["seasonal_naive", "ridge"])
    assert test.season_length == 4
    assert set(test.models) == {"model", "seasonal_naive", "ridge"}
    assert MODELS["gru"]().set_params(season_length=[4, 4]).fit(panel()).season_length_ == 4
    for bad, message in (((), "empty sequence"), ((4, 0), "season_length must be"), ("week", "season_length must be")):
        with pytest.raises(ValueError, match=message):
            Forecaster(GRURegressor(**QUICK), season_length=bad).fit(panel())


def test_the_default_model_forecasts_a_season() -> None:
    days = pd.date_range("2024-01-01", periods=150, freq="D")
    y = pd.Series(20 + 5 * np.sin(np.arange(150) * 2 * np.pi / 7), days)
    ahead = Forecaster().fit(y.iloc[:-14]).forecast(14)
    assert np.abs(ahead.to_numpy() - y.iloc[-14:].to_numpy()).max() < 1.0


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"estimator": object()}, "regressor of seqdyn"),
        ({"estimator": GRURegressor(autoregression=Autoregression())}, "sets autoregression itself"),
        ({"estimator": GRURegressor(return_sequences=False)}, "return_sequences=True"),
        ({"strategy": "both"}, "strategy must be one of"),
        ({"strategy": "direct", "horizon": None}, "give horizon"),
        ({"scaling": "minmax"}, "scaling must be one of"),
        ({"lags": 0}, "lags must be"),
        ({"lags": 1, "centred": True}, "at least 2"),
        ({"difference": -1}, "difference must be"),
        ({"seasonal_difference": 1, "season_length": 50}, "leave nothing of it"),
        ({"calendar": "moon"}, "calendar features are"),
        ({"future": ["weather"]}, "weather"),
        ({"horizon": 0}, "horizon must be"),
        ({"teacher_forcing": 2.0}, "teacher_forcing"),
        ({"season_length": 7, "log": "maybe"}, "log must be one of"),
        ({"centred": 3}, "centred must be one of"),
        ({"context_length": 500}, "context_length=500"),
        ({"strategy": "direct", "horizon": 100}, "needs more rows than steps"),
        ({"time_col": "mean"}, "rename the column"),
        ({"estimator": ARXRegressor(), "lags": 9}, "leave out lags"),
        ({"season_length": 0}, "season_length must be"),
        ({"estimator": PersistenceRegressor(), "strategy": "direct", "horizon": 3}, "recursive"),
    ],
)
def test_parameters_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Forecaster(**{"estimator": GRURegressor(**QUICK), **change}).fit(panel())


def test_a_new_series_is_refused_with_the_way_out() -> None:
    model = MODELS["gru"]().fit(panel().iloc[:30])
    with pytest.raises(ValueError, match="apply"):
        model.update(panel(40, 4).iloc[30:])


def test_constant_and_short_series() -> None:
    days = pd.date_range("2024-01-01", periods=20, freq="D")
    frame = pd.DataFrame(
        {"flat": np.full(20, 7.0), "zero": np.zeros(20), "short": [*[np.nan] * 17, 1.0, 2.0, 3.0]}, days
    )
    ahead = MODELS["gru"]().fit(frame).forecast(5)
    assert np.isfinite(ahead.to_numpy()).all()
    np.testing.assert_allclose(ahead["flat"], 7.0, rtol=1e-3)
    np.testing.assert_allclose(ahead["zero"], 0.0, atol=2.0)


def test_a_horizon_beyond_a_direct_model_is_refused() -> None:
    model = MODELS["direct"]().fit(panel())
    assert len(model.forecast()) == 6
    with pytest.raises(ValueError, match="horizon=6"):
        model.forecast(7)
    plain = MODELS["direct"]().set_params(validation=0).fit(panel())
    with pytest.raises(ValueError, match="ConformalForecaster"):
        plain.forecast(3, level=80)


def test_quantiles_beyond_those_fitted_are_refused() -> None:
    model = MODELS["direct, quantiles"]().fit(panel())
    assert model.forecast(3, level=60)["a"].shape == (3, 3)
    with pytest.raises(ValueError, match="do not reach"):
        model.forecast(3, level=95)


def test_levels_that_are_none() -> None:
    model = MODELS["gru"]().fit(panel())
    for bad in ({"level": 0.8e3}, {"quantiles": [1.2]}, {"quantiles": []}, {"quantiles": "0.5"}, {"quantiles": 2}):
        with pytest.raises(ValueError, match="level|quantiles"):
            model.forecast(2, **bad)
    with pytest.raises(ValueError, match="in percent: did you mean 90"):
        model.forecast(2, level=0.9)


def test_a_logarithm_needs_positive_values() -> None:
    frame = panel()
    frame.iloc[3, 1] = -1.0
    with pytest.raises(ValueError, match="positive"):
        Forecaster(GRURegressor(**QUICK), log=True).fit(frame)
    model = Forecaster(GRURegressor(**QUICK), log="auto", validation=0).fit(frame)
    later = panel(44).iloc[40:]
    later.iloc[0, 0] = -3.0
    with pytest.raises(ValueError, match="stay positive"):
        model.update(later)


def test_nothing_is_warned_of_in_a_quiet_fit() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)  # the budget is small
        Forecaster(GRURegressor(window=20, stride=5, **QUICK), lags=3).fit(panel()).forecast(3)


COMPOSITES: dict[str, Callable[[], Any]] = {
    "conformal": lambda: ConformalForecaster(Forecaster(GRURegressor(**QUICK), lags=3), horizon=2, calibration=3),
    "conformal twice": lambda: ConformalForecaster(
        ConformalForecaster(Forecaster(GRURegressor(**QUICK), lags=2, scale_features=True), horizon=2, calibration=3),
        horizon=2,
        calibration=3,
    ),
    "combined": lambda: CombinedForecaster(
        models={"naive": NaiveForecaster(), "network": Forecaster(GRURegressor(**QUICK), lags=3)}
    ),
}


@pytest.mark.parametrize("name", [*MODELS, *COMPOSITES])
@pytest.mark.filterwarnings("ignore:Calibration")
def test_what_is_kept_by_updates_is_what_the_whole_history_says(name: str) -> None:
    """Forecasts from the kept state are those of a pass over all rows, also of a forecaster inside another one."""
    frame = panel()
    model = (MODELS | COMPOSITES)[name]().fit(frame.iloc[:34])
    model.update(frame.iloc[34:36]).update(frame.iloc[36:39, 1:])
    whole, future = model._own_panel(), np.zeros((3, 2, 0))
    assert whole.lengths.tolist() == [36, 39, 34]
    kept = model.forecast_ahead(2, future).mean
    same(kept, model.forecast_from(ForecastRequest.at_end(whole, 2, future)).mean)
    assert (kept != pickle.loads(pickle.dumps(model)).fit(frame.iloc[:34]).forecast_ahead(2, future).mean).any()


def test_an_updated_forecaster_inside_another_takes_its_panel_and_its_own_is_not_joined() -> None:
    frame = panel(50)
    inner = Forecaster(GRURegressor(**QUICK), lags=3)
    model = ConformalForecaster(inner, horizon=2, calibration=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(frame.iloc[:40]).update(frame.iloc[40:45])
    assert model.forecaster_._own_panel() is model.panel_
    alone = inner.fit(frame.iloc[:40]).update(frame.iloc[40:42])
    assert alone.panel_.lengths.max() == 40 and alone._own_panel().lengths.max() == 42

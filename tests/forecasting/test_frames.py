"""Forecasters on frames as people have them: any calendar, any library, categories that vary in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import seqdyn
from seqdyn.estimators.baselines import ARXRegressor
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.forecasting.calibrated import ConformalForecaster
from seqdyn.forecasting.combination import CombinedForecaster
from seqdyn.forecasting.contract import PanelForecaster, quantile_levels
from seqdyn.forecasting.forecaster import Forecaster
from seqdyn.forecasting.naive import DriftForecaster, NaiveForecaster, SeasonalNaiveForecaster
from seqdyn.forecasting.ridge import RidgeForecaster
from seqdyn.forecasting.statistical import AutoRegForecaster, ExponentialSmoothingForecaster

CLOSED = ["2023-12-25", "2023-12-26", "2024-01-01"]
OPEN_DAYS = pd.offsets.CustomBusinessDay(holidays=CLOSED)
QUARTERS = pd.offsets.FY5253Quarter(qtr_with_extra_week=4, startingMonth=1, weekday=6, variation="nearest")
FREQS: dict[str, tuple[Any, int]] = {
    "open days": (OPEN_DAYS, 5),
    "4-4-5 quarters": (QUARTERS, 4),
    "semi-month ends": ("SME", 24),
    "last Fridays": ("LWOM-FRI", 12),
    "the 15th": (pd.DateOffset(months=1, day=15), 12),
    "15 March": (pd.DateOffset(years=1, month=3, day=15), 1),
    "the 31st": (pd.DateOffset(months=1, day=31), 12),
    "hours": ("h", 24),
}


@pytest.mark.parametrize(("freq", "season"), FREQS.values(), ids=FREQS)
def test_forecasts_land_on_the_right_stamps(freq: Any, season: int, tmp_path: Path) -> None:
    """Those of pandas, from the index's own frequency, from a column with it given, and after a file and an update."""
    index = pd.date_range("2023-03-15", periods=45, freq=freq)
    assert len(index) == 45
    series = pd.Series(np.arange(45.0), index)
    column = series.rename("y").rename_axis("ds").reset_index()
    for data, given in ((series, None), (column, freq)):
        model = DriftForecaster(freq=given).fit(data.iloc[:40])
        model.save(tmp_path / "model")
        for own in (model, seqdyn.load(tmp_path / "model")):
            for known in (40, 42):
                if known == 42:
                    own.update(data.iloc[40:42])
                found = own.forecast(3)
                stamps = found["ds"] if "ds" in found else found.index
                assert list(stamps) == list(index[known : known + 3])
                values = found["mean"] if "ds" in found else found
                np.testing.assert_allclose(values, np.arange(known, known + 3.0))
        assert model.season_length_ == season


def test_holidays_are_kept() -> None:
    """Forecasts do not fall on them, and an observation on one is refused."""
    index = pd.date_range("2023-10-02", "2023-12-22", freq=OPEN_DAYS)
    series = pd.Series(np.arange(len(index), dtype=float), pd.DatetimeIndex(index.to_numpy()))
    model = NaiveForecaster(freq=OPEN_DAYS).fit(series)
    expected = ["2023-12-27", "2023-12-28", "2023-12-29", "2024-01-02"]
    assert [str(stamp.date()) for stamp in model.forecast(4).index] == expected
    assert model.season_length_ == 5
    closed = pd.concat([series, pd.Series([1.0], pd.to_datetime(["2023-12-25"]))])
    with pytest.raises(ValueError, match="2023-12-25.*does not lie on the grid"):
        NaiveForecaster(freq=OPEN_DAYS).fit(closed)


# -------------------------------------------------------------------- categories


def shops() -> pd.DataFrame:
    """Two series that depend on whether a day is a holiday: 10, 15 on holidays, and a weekly wave."""
    generator = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=90)
    frame = pd.DataFrame({"unique_id": np.repeat(["b", "a"], 90), "ds": [*days, *days]})
    frame["day"] = np.where(generator.random(180) < 0.25, "holiday", "work")
    frame["shop"] = generator.choice(["open", "shut"], 180)
    wave = 2 * np.sin(2 * np.pi * np.arange(180) / 7)
    return frame.assign(y=10 + 5 * (frame["day"] == "holiday") + wave + 0.1 * generator.normal(size=180))


def combined(**roles: Any) -> CombinedForecaster:
    """Of two."""
    return CombinedForecaster(models={"ridge": RidgeForecaster(**roles), "naive": NaiveForecaster(**roles)}, **roles)


MODELS: dict[str, Callable[..., PanelForecaster]] = {
    "naive": NaiveForecaster,
    "seasonal naive": SeasonalNaiveForecaster,
    "smoothing": ExponentialSmoothingForecaster,
    "autoregression": AutoRegForecaster,
    "ridge": RidgeForecaster,
    "combined": combined,
    "conformal": lambda **roles: ConformalForecaster(NaiveForecaster(**roles), horizon=3, calibration=5, **roles),
    "arx": lambda **roles: Forecaster(ARXRegressor(), **roles),
    "gru": lambda **roles: Forecaster(GRURegressor(hidden_size=4, max_epochs=2, random_state=0), **roles),
}
EVERY = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def filled(frame: Any) -> Any:
    """Work ahead, in pandas or polars."""
    if isinstance(frame, pd.DataFrame):
        return frame.assign(day="work")
    import polars

    return frame.with_columns(day=polars.lit("work"))


@EVERY
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_forecaster_takes_categories(make: Callable[..., PanelForecaster], library: str, tmp_path: Path) -> None:
    """Fit, the frame to fill, forecast, file, update and backtest; polars says what pandas says."""
    frame = shops()
    parts: list[Any] = [frame, frame[frame["ds"] < "2024-03-20"], frame[frame["ds"] >= "2024-03-20"]]
    if library == "polars":
        polars = pytest.importorskip("polars", reason="polars is not installed")
        parts = [polars.from_dict({name: part[name].to_numpy() for name in part}) for part in parts]
    whole, head, rest = parts
    model = make(future=("day",), past=("shop",)).fit(head)
    kept = model.forecast(3, filled(model.future_frame(3)), level=80)
    model.save(tmp_path / "model")
    loaded = seqdyn.load(tmp_path / "model")
    for own in (model, loaded):
        own.update(rest)
    found = [own.forecast(3, filled(own.future_frame(3))) for own in (model, loaded)]
    assert type(kept) is type(whole) and type(found[0]) is type(whole) and found[0].equals(found[1])
    assert np.isfinite(np.asarray(found[0]["mean"], float)).all() and list(kept.columns)[-3:] == ["mean", "0.1", "0.9"]
    assert list(found[0]["unique_id"]) == ["b"] * 3 + ["a"] * 3
    test = model.backtest(whole, 3, 2, baselines=None)
    assert test.metrics()["n"].tolist() == [12]
    assert type(test.table()) is type(whole) and len(test.table()) == len(test.frame) == 12
    assert list(test.table()["time"]) == list(test.frame["time"])


@pytest.mark.parametrize("name", ["autoregression", "arx"])
def test_a_category_is_used(name: str) -> None:
    """A holiday ahead is 5 more than a day of work, as the data were made."""
    frame = shops().drop(columns="shop")
    model = MODELS[name](future=("day",)).fit(frame)
    ahead = model.future_frame(1)
    work, holiday = (model.forecast(1, ahead.assign(day=day))["mean"] for day in ("work", "holiday"))
    np.testing.assert_allclose(holiday - work, 5, atol=0.3)


@EVERY
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_values_that_no_fit_has_seen(make: Callable[..., PanelForecaster]) -> None:
    """They are refused ahead, in an update and in a backtest of the fitted model, with series, time and known ones."""
    frame = shops()
    head, rest = frame[frame["ds"] < "2024-03-20"], frame[frame["ds"] >= "2024-03-20"]
    model = make(future=("day",), past=("shop",)).fit(head)
    known = "which was not in the fit; it knew 'holiday', 'work'"
    with pytest.raises(
        ValueError, match=rf"'day' of future is 'strike' for series 'b' at 2024-03-20 .*step 1.*{known}"
    ):
        model.forecast(2, model.future_frame(2).assign(day="strike"))
    with pytest.raises(ValueError, match=rf"'day' of df is 'strike' in series 'b' at 2024-03-20 .*{known}"):
        model.update(rest.assign(day="strike"))
    strange = pd.concat([head, rest.assign(day="strike")])
    with pytest.raises(ValueError, match=rf"'day' of df is 'strike' in series .*{known}"):
        model.backtest(strange, 3, baselines=None)
    model.fit(strange)
    assert model.known_.categories["day"] == ("holiday", "strike", "work")


# -------------------------------------------------------------------- types, aliases and levels


@pytest.mark.parametrize("dtype", ["float32", "Float64", "Int64"])
def test_types_of_the_target(dtype: str) -> None:
    """The point forecast and its quantiles have them, in long and wide frames."""
    values = (np.arange(60) % 7).astype(float)
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": values}).astype({"y": dtype})
    found = SeasonalNaiveForecaster().fit(frame).forecast(7, level=80)
    expected = {"float32": "float32", "Float64": "Float64", "Int64": "Float64"}[dtype]
    assert {str(found[name].dtype) for name in ("mean", "0.1", "0.9")} == {expected}
    wide = frame.set_index("ds").rename(columns={"y": "a"}).assign(b=lambda table: table["a"])
    assert {str(kind) for kind in SeasonalNaiveForecaster().fit(wide).forecast(7).dtypes} == {expected}
    np.testing.assert_array_equal(found["mean"].to_numpy(float), np.arange(60, 67) % 7)


def test_predict_is_forecast() -> None:
    """Under the name that others give it, with all of its options."""
    series = pd.Series(np.sin(np.arange(40.0)), pd.date_range("2024-01-01", periods=40))
    model = SeasonalNaiveForecaster().fit(series)
    pd.testing.assert_frame_equal(model.predict(5, level=80), model.forecast(5, level=80))


@pytest.mark.parametrize(("level", "hint"), [(0.9, "90"), (0.8, "80"), ([80, 0.95], "95"), (1, "99")])
def test_levels_are_in_percent(level: Any, hint: str) -> None:
    """A share is refused, with the percentage that was meant."""
    with pytest.raises(ValueError, match=f"level is in percent: did you mean {hint}"):
        quantile_levels(None, level)


def test_seconds_are_times() -> None:
    """A recording on a regular step is fitted, continued and tested."""
    times = np.arange(200) * 0.05
    wave = pd.Series(np.sin(2 * np.pi * np.arange(200) / 20), times)
    model = SeasonalNaiveForecaster(season_length=20).fit(wave.iloc[:180])
    np.testing.assert_allclose(model.forecast(20).index, times[180:], atol=1e-9)
    model.update(wave.iloc[180:])
    assert model.forecast(1).index[0] == pytest.approx(10.0)
    assert model.backtest(wave, 10, 3, refit=True, baselines=None).metrics()["MAE"].iloc[0] < 1e-12


def test_every_third_month_is_a_quarter() -> None:
    """A slice says it has steps of three months; other series that are found to be quarterly are of the same grid."""
    months = pd.Series(np.arange(90.0), pd.date_range("2015-01-01", periods=90, freq="MS"))
    quarters = months.iloc[::3]
    assert quarters.index.freqstr == "3MS"
    model = Forecaster(ARXRegressor()).fit(quarters)
    plain = quarters.set_axis(pd.DatetimeIndex(quarters.index.to_numpy()))
    assert model.apply(plain).known_.grid.freq == "QS-JAN" and model.season_length_ == 4
    with pytest.raises(ValueError, match="df has the frequency 'MS', but the model was fitted for '3MS'"):
        model.apply(months)

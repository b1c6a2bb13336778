"""Backtests: errors are those of brute force, fits see their rows and no others, and what is left out is said."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from seqdyn import metrics
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel
from seqdyn.forecasting.backtest import Backtest
from seqdyn.forecasting.backtest_run import forecast_rows
from seqdyn.forecasting.calibrated import ConformalForecaster
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.defaults import BASELINES, Baselines
from seqdyn.forecasting.naive import NaiveForecaster
from seqdyn.forecasting.origins import Origins, naive_scales
from seqdyn.forecasting.request import ForecastRequest, Forecasts, future_after
from seqdyn.forecasting.ridge import RidgeForecaster

Array = np.ndarray[Any, Any]
DAYS = pd.date_range("2024-01-01", periods=60, freq="D")
LEVELS = np.array([0.1, 0.5, 0.9])
CHANGE = "Use the baseline, or change the model."


@dataclass(kw_only=True, repr=False, eq=False)
class Recorder(PanelForecaster):
    """Forecasts the last value times a factor, and writes down what it was fitted to and asked for."""

    factor: float = 1.0
    rivals: tuple[str, ...] = ()

    fits: ClassVar[list[Panel]] = []
    rolls: ClassVar[list[tuple[Panel, Array, Array, Array]]] = []

    def _learn(self, panel: Panel) -> None:
        self.fits.append(panel)

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, rows, horizon, levels = request.panel, request.rows, request.horizon, request.levels
        self.rolls.append((panel, request.series, rows, request.future))
        filled = pd.Series(panel.target).ffill().to_numpy()
        mean = np.repeat(self.factor * filled[rows - 1][:, None], horizon, axis=1)
        spread = None if levels is None else mean[:, :, None] + np.arange(1, horizon + 1)[:, None] * (levels - 0.5)
        return Forecasts(mean, spread)

    def baselines_for(self, choice: Any, panel: Panel, horizon: int, windows_count: int = 1) -> Baselines:
        return Baselines({name: Recorder(factor=1 + 0.1 * (i + 1)) for i, name in enumerate(self.rivals)}, [])


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Every test begins with an empty record."""
    Recorder.fits.clear()
    Recorder.rolls.clear()


def frame(series: int = 3, length: int = 60, seed: int = 0) -> pd.DataFrame:
    """Random walks, some values missing."""
    steps = np.random.default_rng(seed).normal(size=(length, series))
    values = 20 + np.cumsum(steps, axis=0)
    values[length - 4, 0] = values[length - 9, 1] = np.nan
    return pd.DataFrame(values, index=DAYS[:length], columns=[*"abcdef"[:series]])


def ragged() -> pd.DataFrame:
    """A long frame of series of 60, 12 and 5 rows."""
    whole = frame()
    pieces = [
        pd.DataFrame({"unique_id": name, "ds": DAYS[-length:], "y": whole[name].to_numpy()[:length]})
        for name, length in (("a", 60), ("b", 12), ("c", 5))
    ]
    return pd.concat(pieces, ignore_index=True)


def backtest(data: Any = None, *, rivals: tuple[str, ...] = ("naive2", "other"), **options: Any) -> Backtest:
    """A backtest of 4 windows of 5 steps, 3 apart."""
    chosen: dict[str, Any] = {"horizon": 5, "n_windows": 4, "step_size": 3, "quantiles": LEVELS} | options
    return Recorder(rivals=rivals).backtest(frame() if data is None else data, **chosen)


# -------------------------------------------------------------------- the frame


def test_rows_are_where_they_belong() -> None:
    """Every window ends where it should; y is the frame's; the forecast is of the cutoff."""
    data, result = frame(), backtest()
    assert list(result.frame.columns) == ["model", "series", "cutoff", "time", "step", "y", "mean", "0.1", "0.5", "0.9"]
    assert len(result.frame) == 3 * 3 * 4 * 5 and result.models == ["model", "naive2", "other"]
    assert result.quantiles == [0.1, 0.5, 0.9] and result.season_length == 7
    cutoffs = [DAYS[60 - 5 - 3 * back - 1] for back in (3, 2, 1, 0)]
    for (model, series), rows in result.frame.groupby(["model", "series"]):
        assert rows["cutoff"].drop_duplicates().tolist() == cutoffs and rows["step"].tolist() == [1, 2, 3, 4, 5] * 4
        assert (rows["time"] == rows["cutoff"] + rows["step"] * pd.Timedelta("1D")).all()
        np.testing.assert_array_equal(rows["y"], data[series].reindex(rows["time"]))
        factor = {"model": 1.0, "naive2": 1.1, "other": 1.2}[str(model)]
        np.testing.assert_allclose(rows["mean"], factor * data[series].ffill().reindex(rows["cutoff"]))
        np.testing.assert_allclose(rows["0.9"], rows["mean"] + 0.4 * rows["step"])


@pytest.mark.parametrize(
    "times",
    [DAYS.to_period("D"), DAYS.tz_localize("Europe/Berlin"), pd.RangeIndex(60)],
    ids=["periods", "zone", "ints"],
)
def test_times_of_every_kind(times: pd.Index) -> None:
    """The same errors, whatever the times are."""
    result = Recorder(season_length=7, rivals=("naive2",)).backtest(frame().set_axis(times), 5, 4, 3, level=80)
    expected = Recorder(season_length=7, rivals=("naive2",)).backtest(frame(), 5, 4, 3, level=80)
    pd.testing.assert_frame_equal(result.metrics(), expected.metrics())
    assert (result.frame["cutoff"] == times[DAYS.get_indexer(expected.frame["cutoff"])]).all()


# -------------------------------------------------------------------- metrics


def by_hand(result: Backtest, data: pd.DataFrame) -> pd.DataFrame:
    """MAE, MASE and sMAPE of every window by the functions of ``seqdyn.metrics``."""
    found = []
    for (model, series, cutoff), rows in result.frame.groupby(["model", "series", "cutoff"], sort=False):
        y, mean = rows["y"].to_numpy(), rows["mean"].to_numpy()
        training = data[series].loc[:cutoff].to_numpy()
        known = ~np.isnan(y)
        found.append(
            {
                "model": model,
                "series": series,
                "cutoff": cutoff,
                "MAE": metrics.mae(y, mean),
                "MASE": metrics.mase(y, mean, training, result.season_length),
                "sMAPE": metrics.smape(y, mean),
                "n": known.sum(),
            }
        )
    return pd.DataFrame(found)


def test_metrics_are_those_of_the_functions() -> None:
    """Steps are averaged, then windows; RMSE and WQL pool all errors; OWA is a ratio of means."""
    data, result = frame(), backtest()
    windows, table = by_hand(result, data), result.metrics()
    for model in result.models:
        own, rows = windows[windows["model"] == model], result.frame[result.frame["model"] == model]
        found = table.loc[model]
        for name in ("MAE", "MASE", "sMAPE"):
            assert found[name] == pytest.approx(own[name].mean())
        assert found["RMSE"] == pytest.approx(metrics.rmse(rows["y"], rows["mean"]))
        assert found["WQL"] == pytest.approx(metrics.wql(rows["y"], rows[["0.1", "0.5", "0.9"]], LEVELS))
        assert found["coverage_80"] == pytest.approx(100 * metrics.coverage(rows["y"], rows["0.1"], rows["0.9"]))
        reference = windows[windows["model"] == "naive2"][["sMAPE", "MASE"]].mean()
        expected = metrics.owa(own["sMAPE"].mean(), own["MASE"].mean(), reference["sMAPE"], reference["MASE"])
        assert found["OWA"] == pytest.approx(expected) and found["n"] == own["n"].sum()
    assert table.loc["naive2", "OWA"] == pytest.approx(1)


@pytest.mark.parametrize("by", ["series", "cutoff", "time", "step", ["series", "step"], ["cutoff", "series"]])
def test_metrics_by_part(by: Any) -> None:
    """Each part is the backtest of these rows alone."""
    result = backtest()
    table = result.metrics(by)
    keys = [by] if isinstance(by, str) else by
    assert list(table.index.names) == ["model", *keys]
    for labels, rows in result.frame.groupby(keys, sort=False):
        part = Backtest(rows, result.season_length, result.scales)
        if not rows["y"].notna().any():
            continue
        whole = part.metrics()
        found = table.xs(labels, level=keys, drop_level=False).droplevel(keys)
        pd.testing.assert_frame_equal(found, whole, check_like=True)


def test_parts_that_there_are_not() -> None:
    """What errors can be split by is said."""
    with pytest.raises(ValueError, match="by may name 'series', 'cutoff', 'time', 'step', got 'model'"):
        backtest().metrics("model")


def test_without_quantiles_and_reference() -> None:
    """No columns that nobody asked for."""
    table = backtest(quantiles=None, rivals=()).metrics()
    assert list(table.columns) == ["MAE", "RMSE", "MASE", "sMAPE", "n"] and list(table.index) == ["model"]


def test_levels_are_quantiles() -> None:
    """An interval has one coverage; a lone quantile has none."""
    table = backtest(quantiles=[0.3], level=[80, 95]).metrics()
    assert [name for name in table.columns if "coverage" in name] == ["coverage_95", "coverage_80"]
    table = backtest(quantiles=[0.3]).metrics("step")
    assert list(table.columns) == ["MAE", "RMSE", "MASE", "sMAPE", "OWA", "pinball", "WQL", "n"] and len(table) == 15


def test_a_baseline_without_quantiles() -> None:
    """It has no WQL and no coverage, rather than good ones."""
    result = backtest()
    rows = result.frame
    rows.loc[rows["model"] == "other", ["0.1", "0.5", "0.9"]] = np.nan
    table = result.metrics()
    assert table.loc["other", ["WQL", "coverage_80"]].isna().all() and table.drop("other").notna().all().all()


def test_forecasts_that_are_nan_do_not_count_as_good() -> None:
    """One is enough: an average over the others would reward it."""
    result = backtest()
    rows = result.frame
    rows.loc[rows.index[(rows["model"] == "model") & rows["y"].notna()][3], "mean"] = np.nan
    table = result.metrics()
    assert table.loc["model", ["MAE", "RMSE", "MASE", "sMAPE", "OWA"]].isna().all()
    assert table.loc["naive2", ["MAE", "RMSE", "MASE", "sMAPE"]].notna().all()
    assert result.verdict() == "The model FAILED: some of its forecasts are not numbers (NaN)."
    assert result.metrics("step")["MAE"].isna().sum() == 1
    rows.loc[rows["model"] != "other", "mean"] = rows["y"]
    rows.loc[rows["model"] == "other", "mean"] = np.nan
    assert "no better than the best of 1 baseline:" in result.verdict()  # a baseline that fails is none


def test_zeros() -> None:
    """0/0 of sMAPE is 0; MASE without a scale is left out and noted, not 0; WQL of zeros is not defined."""
    data = frame(2, 40).assign(a=0.0)
    result = backtest(data)
    table = result.metrics("series")
    assert table.loc[("model", "a"), "sMAPE"] == 0 and table.loc[("model", "a"), "MAE"] == 0
    assert np.isnan(table.loc[("model", "a"), "MASE"]) and np.isnan(table.loc[("model", "a"), "WQL"])
    assert result.metrics().loc["model", "MASE"] == pytest.approx(table.loc[("model", "b"), "MASE"])
    assert result.notes == [
        "MASE leaves out 4 of 8 windows: the rows before them are too few, or repeat themselves every 7 steps."
    ]


def test_nothing_known() -> None:
    """Windows without any value cannot be scored."""
    data = frame()
    data.iloc[-14:] = np.nan
    with pytest.raises(ValueError, match="No value is known in the windows of this backtest"):
        backtest(data).metrics()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_scales_are_those_of_mase(data: Any) -> None:
    """Q of every series up to every origin, by brute force, whatever is missing; sizes far apart do not mix."""
    lengths = data.draw(st.lists(st.integers(3, 12), min_size=1, max_size=3))
    season = data.draw(st.integers(1, 5))
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    blocks = []
    for number, length in enumerate(lengths):
        y = generator.normal(size=length) * 10.0 ** (12 - 12 * number)
        y[1:][generator.random(length - 1) < 0.3] = np.nan
        blocks.append(pd.DataFrame({"unique_id": number, "ds": range(length), "y": y}))
    panel = read_panel(pd.concat(blocks))
    series = np.repeat(np.arange(len(lengths)), 2)
    rows = panel.starts[series] + np.tile([2, 3], len(lengths))
    found = naive_scales(panel, series, rows, season)["scale"].to_numpy()
    for number, row, scale in zip(series, rows, found, strict=True):
        y = panel.target[panel.starts[number] : row]
        change = np.abs(y[season:] - y[:-season])
        expected = np.mean(change[~np.isnan(change)]) if (~np.isnan(change)).any() else np.nan
        np.testing.assert_allclose(scale, expected, rtol=1e-12)


# -------------------------------------------------------------------- verdicts


def verdict(own: float, *others: float) -> str:
    """The verdict on a model with this error, beside baselines with theirs."""
    errors = {"model": own} | {f"rival{i}": other for i, other in enumerate(others)}
    rows = [(name, "a", 0, 1, 1, 10.0, 10.0 + error) for name, error in errors.items()]
    columns = ["model", "series", "cutoff", "time", "step", "y", "mean"]
    table = pd.DataFrame({"series": ["a"], "cutoff": [0], "scale": [2.0]})
    return Backtest(pd.DataFrame(rows, columns=columns), 1, table).verdict()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((1, 2, 4), "The model beats all 2 baselines: MASE 0.5 against 1 of rival0, the best of them."),
        ((1, 2), "The model beats the one baseline: MASE 0.5 against 1 of rival0."),
        ((3, 4, 2), f"The model LOSES to 1 of 2 baselines: MASE 1.5 against 1 of rival1. {CHANGE}"),
        ((3, 2), f"The model LOSES to 1 of 1 baseline: MASE 1.5 against 1 of rival0. {CHANGE}"),
        ((2, 2, 3), f"The model is no better than the best of 2 baselines: MASE 1 against 1 of rival0. {CHANGE[:16]}."),
        ((1,), "No baseline was run beside the model."),
    ],
)  # fmt: skip
def test_verdicts(errors: tuple[float, ...], expected: str) -> None:
    """One sentence, by the best baseline."""
    assert verdict(*errors) == expected


def test_the_verdict_without_scales() -> None:
    """By MAE where MASE is not defined."""
    result = backtest(pd.DataFrame({"a": np.full(40, 3.0), "b": 5.0}, DAYS[:40]))
    assert result.verdict().startswith("The model beats all 2 baselines: MAE 0 against 0.4 of naive2")


def test_the_printed_result() -> None:
    """What it is, the table, the verdict, the notes."""
    lines = repr(backtest(ragged())).split("\n")
    assert lines[0] == "Backtest of 1 series, 4 windows of 5 steps"  # the second begins after the fit ends
    assert lines[1].split()[:3] == ["MAE", "RMSE", "MASE"]
    text = "\n".join(lines)
    assert "6 windows of 2 series are left out" in text and "baselines:" in text and "were not in the fit" in text


def test_no_series_is_fitted_to_the_future_of_another() -> None:
    """Series that end at unlike times: what comes after the first origin of any changes no forecast from it."""
    whole = frame(2).dropna()
    long = pd.concat(
        [
            pd.DataFrame({"unique_id": name, "ds": whole.index[:length], "y": whole[name].to_numpy()[:length]})
            for name, length in (("a", 30), ("b", len(whole)))
        ]
    )
    model = RidgeForecaster(lags=2, pooled=True, penalty=1.0)
    origin = model.backtest(long, 5, 2).frame.query("series == 'a'")
    changed = long.copy()
    changed.loc[changed["ds"] > origin["cutoff"].min(), "y"] += 7.0
    again = model.backtest(changed, 5, 2).frame.query("series == 'a'")
    first = origin["cutoff"] == origin["cutoff"].min()
    np.testing.assert_array_equal(origin["mean"][first], again["mean"][first])
    assert any("future of some series" in note for note in model.backtest(long, 5, 2).notes)


# -------------------------------------------------------------------- windows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 25), min_size=1, max_size=4), st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
def test_windows_are_those_of_a_loop(lengths: list[int], horizon: int, count: int, step: int) -> None:
    """The last ones of every series that leave two rows before them; how many do not is noted."""
    pieces = [pd.DataFrame({"unique_id": i, "ds": range(n), "y": 1.0}) for i, n in enumerate(lengths)]
    panel = read_panel(pd.concat(pieces))
    expected = [
        (series, window, n - horizon - (count - 1 - window) * step)
        for series, n in enumerate(lengths)
        for window in range(count)
    ]
    good = [origin for origin in expected if origin[2] >= 2]
    if not good:
        with pytest.raises(ValueError, match=rf"No series is long enough for {count} windows? of {horizon} steps?, "):
            Origins.of(panel, horizon, count, step)
        return
    origins = Origins.of(panel, horizon, count, step)
    found = zip(origins.series, origins.window, origins.rows - panel.starts[origins.series], strict=True)
    assert list(found) == good
    assert len(origins.notes) == (len(good) < len(expected))
    if origins.notes:
        short = len({series for series, _, row in expected if row < 2})
        lost = len(expected) - len(good)
        one = f"1 window of {short} series is left out: too few rows before it."
        more = f"{lost} windows of {short} series are left out: too few rows before them."
        assert origins.notes == [one if lost == 1 else more]
    first = {}
    for series, _, row in good:
        first.setdefault(series, row)
    before = origins.before(panel)
    assert list(before.names) == list(first) and before.lengths.tolist() == list(first.values())


@pytest.mark.parametrize("name", ["n_windows", "step_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_numbers_of_windows_that_are_none(name: str, value: Any) -> None:
    """Ints of at least 1."""
    with pytest.raises(ValueError, match=f"{name} must be an int of at least 1, got"):
        backtest(**{name: value})


def test_what_follows() -> None:
    """Covariates known ahead stay within their series: past its end the last ones are repeated."""
    panel = read_panel(pd.DataFrame({"a": [1.0] * 4, "b": [2.0] * 4}))
    panel = Panel(**{**vars(panel), "future": np.arange(8.0)[:, None]})
    found = future_after(panel, np.array([2, 4, 7, 8]), 3)
    assert found[:, :, 0].tolist() == [[2, 3, 3], [3, 3, 3], [7, 7, 7], [7, 7, 7]]


def test_steps_past_the_end_are_left_out() -> None:
    """A tidy frame has only steps that lie within their series."""
    panel = read_panel(pd.DataFrame({"a": np.arange(4.0), "b": np.arange(4.0) + 10}))
    request = ForecastRequest.within(panel, np.array([0, 1]), np.array([3, 6]), 3, LEVELS)
    rows = forecast_rows(Forecasts(np.zeros((2, 3))), request, "model")
    assert rows["series"].tolist() == ["a", "b", "b"] and rows["y"].tolist() == [3, 12, 13]
    assert rows["step"].tolist() == [1, 1, 2] and rows["0.5"].isna().all()


# -------------------------------------------------------------------- fits


@pytest.mark.parametrize(("refit", "firsts"), [(False, [0]), (True, [0, 1, 2, 3]), (2, [0, 2]), (3, [0, 3]), (9, [0])])
def test_every_kth_window_is_fitted_anew(refit: bool | int, firsts: list[int]) -> None:
    """To the rows before the first of its windows, and to no row after; baselines alike."""
    backtest(refit=refit, rivals=("naive2",))
    origins = [60 - 5 - 3 * back for back in (3, 2, 1, 0)]
    assert len(Recorder.fits) == 2 * len(firsts) == len(Recorder.rolls)
    for panel, first in zip(Recorder.fits, firsts * 2, strict=True):
        assert panel.lengths.tolist() == [origins[first]] * 3 and panel.last == [DAYS[origins[first] - 1]] * 3
        np.testing.assert_array_equal(panel.target, frame()[: origins[first]].to_numpy().T.ravel())
    rows = np.concatenate([rows for _, _, rows, _ in Recorder.rolls[: len(firsts)]])
    assert sorted(rows) == sorted(60 * series + origin for series in range(3) for origin in origins)


@pytest.mark.parametrize("refit", [0, -1, 1.5, "yes", None])
def test_refits_that_are_none(refit: Any) -> None:
    """0 is no way to say False."""
    with pytest.raises(ValueError, match="refit must be True, False or a number of windows of at least 1, got"):
        backtest(refit=refit)


def test_refit_does_not_change_a_model_that_does_not_learn() -> None:
    """The same rows in the end, and in the same order within each window."""
    keys = ["model", "series", "cutoff", "step"]
    one, other = (backtest(refit=refit).frame.sort_values(keys, ignore_index=True) for refit in (False, True))
    pd.testing.assert_frame_equal(one, other)


def test_series_of_unlike_lengths() -> None:
    """Each gives the windows it has room for; a window no series has room for is no fit."""
    result = backtest(ragged(), refit=True, rivals=())
    assert result.notes[0] == "6 windows of 2 series are left out: too few rows before them."
    assert result.frame.groupby("series")["cutoff"].nunique().to_dict() == {"a": 4, "b": 2}
    assert [dict(zip(panel.names, panel.lengths, strict=True)) for panel in Recorder.fits] == [
        {"a": 46},
        {"a": 49},
        {"a": 52, "b": 4},
        {"a": 55, "b": 7},
    ]
    Recorder.fits.clear()
    short = ragged().query("unique_id == 'b'")
    assert backtest(short, refit=True, rivals=()).frame["cutoff"].nunique() == 2
    assert [panel.lengths.tolist() for panel in Recorder.fits] == [[4], [7]]


def test_a_fitted_model_is_used_as_it_is() -> None:
    """With a word if it has seen what it is tested on."""
    data = frame()
    model = Recorder(rivals=("naive2",)).fit(data[:46])
    Recorder.fits.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.backtest(data, 5, 4, 3)
    assert len(Recorder.fits) == 1  # the baseline
    model = Recorder().fit(data[:47])
    with pytest.warns(
        UserWarning, match=r"fitted on rows up to 2024-02-16 .*\(2024-02-15 .* in series 'a'\).*in-sample"
    ) as said:
        model.backtest(data, 5, 4, 3)
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.backtest(data, 5, 4, 3, refit=True)
        model.update(data[47:]).backtest(data, 5, 3, 3)  # the weights have not seen the new rows


def test_the_past_is_that_of_each_series() -> None:
    """A series that was fitted to its end is found among others that were not."""
    data = ragged()
    model = Recorder().fit(data[(data["unique_id"] == "b") | (data["ds"] < DAYS[40])])
    with pytest.warns(UserWarning, match="in series 'b'"):
        result = model.backtest(data, 5, 1)
    assert result.frame["series"].unique().tolist() == ["a", "b"]


def test_series_that_the_fit_did_not_know() -> None:
    """They are left out and noted, and are not in the panel that is rolled; if there are no others, it is an error."""
    data = frame()
    model = Recorder().fit(data[["c", "a"]][:40])
    result = model.backtest(data, 5, 2, 5)
    assert result.notes == ["1 series, such as 'b', were not in the fit of model: left out."]
    assert result.frame["series"].unique().tolist() == ["a", "c"] and list(Recorder.rolls[0][0].names) == ["a", "c"]
    alone = Recorder().fit(data[["c", "a"]][:40]).backtest(data[["a", "c"]], 5, 2, 5)
    pd.testing.assert_frame_equal(result.frame, alone.frame)
    with pytest.raises(ValueError, match="None of the series, such as 'b', were in the fit of model: fit it to them"):
        model.backtest(data[["b"]], 5, 2, 5)


def test_times_of_another_kind() -> None:
    """A fitted model is tested on times of its own zone."""
    model = Recorder().fit(frame()[:40])
    with pytest.raises(ValueError, match="time zone UTC, those of the fit None"):
        model.backtest(frame().tz_localize("UTC"), 5, 2)


def test_covariates_known_ahead_go_with_their_steps() -> None:
    """Each origin is given those of its own rows."""
    data = frame(2).assign(u=np.arange(60.0))
    Recorder(future=("u",)).backtest(data, 5, 2, 3)
    _, _, _, future = Recorder.rolls[0]
    assert future[:, :, 0].tolist() == [[*range(52, 57)], [*range(55, 60)]] * 2


def test_every_forecaster_is_compared_with_all_baselines_with_some_or_with_none() -> None:
    """As names, a dict or "auto"; also of a forecaster that wraps another one."""
    data = pd.Series(np.sin(np.arange(60)) + 0.1 * np.arange(60), DAYS)
    for model in (RidgeForecaster(lags=2, penalty=1.0), ConformalForecaster(NaiveForecaster(), horizon=2)):
        test = model.backtest(data, 2, 2)
        assert test.models == ["model", *[name for name in BASELINES if name != "ridge_pooled"]]
        assert "baselines" in test.verdict()
        assert model.backtest(data, 2, 2, baselines=["drift"]).models == ["model", "drift"]
        assert model.backtest(data, 2, 2, baselines={"mine": NaiveForecaster()}).models == ["model", "mine"]
        assert model.backtest(data, 2, 2, baselines=None).models == ["model"]
    drift = clone(model).fit(data).forecast(2, baselines=["drift"])["drift"]
    np.testing.assert_allclose(drift, data.iloc[-1] + (data.iloc[-1] - data.iloc[0]) / 59 * np.arange(1, 3))
    with pytest.raises(ValueError, match="There is no baseline 'arima'"):
        model.backtest(data, 2, 2, baselines=["arima"])
    with pytest.raises(TypeError, match=r"takes names, or a dict: \{'mine': NaiveForecaster\(\)\}"):
        model.backtest(data, 2, 2, baselines=NaiveForecaster())


def test_one_of_anything_is_in_the_singular() -> None:
    short = pd.DataFrame({"unique_id": [*"aaaaabb"], "ds": [0, 1, 2, 3, 4, 0, 1], "y": 1.0})
    test = Recorder().backtest(short, 1, 1)
    assert repr(test).startswith("Backtest of 1 series, 1 window of 1 step\n")
    assert "1 window of 1 series is left out: too few rows before it." in test.notes
    with pytest.raises(ValueError, match="1 window of 5 steps, 5 apart: the longest has 5 rows"):
        Recorder().backtest(short, 5, 1)
    with pytest.raises(ValueError, match=r"calibration=1 origin of 3 steps leave at most 2 rows"):
        ConformalForecaster(NaiveForecaster(), horizon=3, calibration=1).fit(short)

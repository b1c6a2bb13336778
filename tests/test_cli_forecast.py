"""`seqdyn forecast` and `seqdyn backtest`: they do what the Python API does, and every error is one line."""

from __future__ import annotations

import gzip
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import seqdyn
from seqdyn.cli.main import app
from seqdyn.cli.options import TRAINED_FORECASTERS, ForecasterName, Options
from seqdyn.cli.training import one_thread
from seqdyn.data.panels import Panel
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.forecasting.automatic import AutoForecaster
from seqdyn.forecasting.defaults import BASELINES
from seqdyn.forecasting.forecaster import Forecaster
from tests.test_cli import fail, invoke, succeed

ONE = "one.csv --time ds --target y"
MANY = "many.csv --time when --target sales --id shop"
TINY = "--model gru --hidden-size 3 --epochs 1"
PNG = b"\x89PNG"


@pytest.fixture(autouse=True, scope="module")
def small_networks() -> Any:
    """Small networks on many threads of a busy machine wait for each other."""
    with one_thread():
        yield


@pytest.fixture(autouse=True, scope="module")
def commands_built_once() -> Any:
    """Building the commands from their signatures takes longer than most of them do here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command), raising=False)
        yield


@pytest.fixture(scope="module")
def tables() -> dict[str, str]:
    """``one.csv`` (ds, y), ``many.csv`` (shop, when, sales, price, wind, size), and others, as text."""
    generator = np.random.default_rng(0)
    steps = np.arange(72)
    wave = 20 + 5 * np.sin(steps * np.pi / 6) + 0.3 * generator.normal(size=72)
    months = pd.date_range("2010-01-01", periods=72, freq="MS")
    days = pd.date_range("2024-01-01", periods=76)
    shops = []
    for size, shop in enumerate(["north", "south"]):
        price = generator.normal(size=76)
        sales = 30 + 4 * np.sin(np.arange(76) * 2 * np.pi / 7) + 2 * price
        columns = {"shop": shop, "when": days, "sales": sales, "price": price, "wind": price**2, "size": size + 0.5}
        shops.append(pd.DataFrame(columns))
    table = pd.concat(shops)
    frames = {
        "one.csv": pd.DataFrame({"ds": months, "y": wave}),
        "many.csv": table[table["when"] < days[70]],
        "ahead.csv": table[table["when"] >= days[70]].drop(columns=["sales", "wind"]),
        "text.csv": pd.DataFrame({"a": ["x", "y"]}),
        "oops.csv": pd.DataFrame({"ds": days[:3], "y": ["1", "oops", "3"]}),
    }
    return {name: frame.to_csv(index=False) for name, frame in frames.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, str]) -> Path:
    """A working folder that holds these tables."""
    monkeypatch.chdir(tmp_path)
    for name, text in tables.items():
        Path(name).write_text(text, encoding="utf-8")
    return tmp_path


def finish(command: str) -> str:
    """Run a command that ends well, whether its model is worth anything (exit code 0) or not (3, and one line)."""
    result = invoke(command)
    lost = [line for line in result.stderr.splitlines() if "loses to the naive forecast" in line]
    assert result.exit_code == (3 if lost else 0) and len(lost) <= 1, result.output
    return result.stdout


def read(path: str, time: str = "ds") -> pd.DataFrame:
    return pd.read_csv(path, parse_dates=[time])


# --- forecast


@pytest.mark.filterwarnings("ignore:Intervals rest on")
def test_forecast_is_the_python_api(folder: Path) -> None:
    """The same numbers as in Python, a picture, a model that can be loaded, and a report that says what was done."""
    output = finish(
        f"forecast {ONE} --horizon 6 {TINY} --learning-rate 0.02 --seed 3 --log yes --level 80,95 --device cpu "
        "--out f.csv --plot f.png --save m.safetensors"
    )
    frame = read("one.csv")
    network = GRURegressor(hidden_size=3, max_epochs=1, learning_rate=0.02, random_state=3, device="cpu")
    model = Forecaster(network, horizon=6, log=True, random_state=3).fit(frame)
    expected, written = model.forecast(6, level=[80, 95]), read("f.csv")
    assert list(written.columns) == ["ds", "mean", "0.025", "0.1", "0.9", "0.975"]
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    assert Path("f.png").read_bytes().startswith(PNG)
    assert isinstance(seqdyn.load("m.safetensors"), Forecaster)
    for words in [
        "one.csv: 72 steps, 2010-01-01 to 2015-12-01",
        "MS (found in the times); season of 12 (by the frequency)",
        "missing     nothing",
        "training    its linear start is kept: no epoch was better on the rows held out; ",
        "6 steps, 2016-01-01 to 2016-06-01",
        "written     f.csv, f.png, m.safetensors",
        "the last 6 steps, which it was not fitted on",
    ]:
        assert words in output
    verdict = model.backtest(frame, 6, 1, refit=True).verdict()
    assert f"verdict     {verdict}" in output


def test_standard_output_holds_the_table_alone(folder: Path) -> None:
    """Without --out the table can be piped on; the report goes to standard error."""
    result = invoke(f"forecast {ONE} --horizon 2 --model naive --no-check")
    assert result.exit_code == 0
    last = read("one.csv")["y"].iloc[-1]
    lines = result.stdout.splitlines()
    assert lines[0] == "ds,mean,0.1,0.9" and lines[1].startswith("2016-01-01,") and len(lines) == 3
    assert float(lines[1].split(",")[1]) == round(last, 4)  # printed; a file holds all of it
    assert result.stderr.startswith("data        one.csv: 72 steps")


@pytest.mark.filterwarnings("ignore:Intervals are drawn from")
@pytest.mark.parametrize("model", [model for model in ForecasterName if model is not ForecasterName.AUTO])
def test_every_model_forecasts(folder: Path, model: ForecasterName) -> None:
    """Every kind of model; a network is checked elsewhere."""
    tiny = f"{TINY} --no-check" if model in TRAINED_FORECASTERS else ""
    output = finish(f"forecast {ONE} --horizon 3 {tiny} --model {model} --out f.csv")
    written = read("f.csv")
    assert len(written) == 3 and written.notna().all(axis=None)
    assert (written["0.1"] <= written["0.9"]).all()
    assert ("\nverdict     The model " in output) is (model not in TRAINED_FORECASTERS)


def test_the_models_are_all_baselines_and_four_networks() -> None:
    """The list that `--help` shows, without loading anything, is that of the library, with auto as the default."""
    closed = {
        str(model).replace("-", "_")
        for model in ForecasterName
        if model not in (*TRAINED_FORECASTERS, ForecasterName.AUTO)
    }
    assert closed == set(BASELINES) and Options().model is ForecasterName.AUTO


def test_auto_is_the_default(folder: Path) -> None:
    """Closed forms, weighted: the numbers of Python, within bounds; and with --verbose what was chosen and why."""
    options = "--no-network --upper 26 --verbose --no-check"
    output = succeed(f"forecast {ONE} --horizon 6 {options} --out f.csv --save m.safetensors", note="fit:")
    model = AutoForecaster(horizon=6, network=None, upper=26.0, random_state=0).fit(read("one.csv"))
    expected = model.forecast(6, level=80)
    np.testing.assert_allclose(read("f.csv")[["mean", "0.1", "0.9"]], expected[["mean", "0.1", "0.9"]], rtol=1e-6)
    assert model.summary() in output and expected["0.9"].max() <= 26
    assert isinstance(seqdyn.load("m.safetensors"), AutoForecaster)
    pd.read_csv("one.csv")[:12].to_csv("one.csv", index=False)
    quiet = invoke(f"forecast {ONE} --horizon 6 --no-network --no-check").stderr
    assert "AutoForecaster(" in quiet and "weight" not in quiet


def test_many_series_with_covariates(folder: Path) -> None:
    """Covariates of all three kinds, a calendar, and the picture of a chosen series."""
    output = succeed(
        f"forecast {MANY} --horizon 6 {TINY} --future-columns price --future ahead.csv --past-columns wind "
        "--static-columns size --calendar auto --out f.csv --plot f.svg --series south --no-check"
    )
    assert "2 series of 70 steps" in output and "D (found in the times); season of 7" in output
    written = read("f.csv", "when")
    assert list(written.columns) == ["shop", "when", "mean", "0.1", "0.9"]
    assert list(written["shop"]) == ["north"] * 6 + ["south"] * 6
    assert "<svg" in Path("f.svg").read_text(encoding="utf-8")


def test_a_direct_model_has_quantiles(folder: Path) -> None:
    """All steps at once: quantiles are fitted, for the levels that were asked for."""
    output = succeed(
        f"forecast {ONE} --horizon 4 {TINY} --model lstm --strategy direct --level 50,90 --log no --calendar month "
        "--no-check --out f.csv"
    )
    assert "quantiles=(0.05, 0.25, 0.5, 0.75, 0.95)" in output
    assert list(read("f.csv").columns[2:]) == ["0.05", "0.25", "0.75", "0.95"]


def test_marks_of_missing_numbers(folder: Path) -> None:
    """A dash is a missing value: the forecast is that with an empty cell, and both are counted."""
    lines = Path("one.csv").read_text(encoding="utf-8").splitlines()
    for name, mark in (("dash.csv", "-"), ("empty.csv", "")):
        cut = [f"{line.split(',')[0]},{mark}" if row in (20, 30) else line for row, line in enumerate(lines)]
        Path(name).write_text("\n".join(cut), encoding="utf-8")
    command = "--horizon 3 --model seasonal-naive --no-check"
    result, expected = (invoke(f"forecast {name}.csv {command}") for name in ("dash", "empty"))
    assert result.stdout == expected.stdout != ""
    assert "dash.csv: 2 cells of 'y' with '-' were read as missing." in result.stderr
    assert "2 empty cells of the target" in result.stderr and "2 empty cells of the target" in expected.stderr


def test_frequency_and_season_are_given(folder: Path) -> None:
    """--freq and --season-length are taken as they are, and the report says so."""
    output = succeed(
        f"forecast {ONE} --horizon 3 --model seasonal-naive --freq MS --season-length 6 --no-check --out f.csv"
    )
    assert "MS (given); season of 6 (given)" in output
    np.testing.assert_allclose(read("f.csv")["mean"], read("one.csv")["y"].iloc[-6:-3])


@pytest.mark.filterwarnings("ignore:NaiveForecaster. 1 of 1 forecasts are not finite")
def test_gaps_are_reported(folder: Path) -> None:
    """Absent rows and empty cells are missing values."""
    table = pd.read_csv("one.csv")
    table.loc[[50, 51, 60], "y"] = np.nan
    table.drop([10, 11, 12, 30]).to_csv("holes.csv", index=False)
    output = succeed("forecast holes.csv --time ds --target y --horizon 3 --model ridge --no-check --out f.csv")
    assert "3 empty cells of the target; 4 absent rows in 2 gaps, the first after 2010-10-01" in output
    command = "forecast one.csv --time ds --target y --freq D --horizon 3 --model naive --no-check --out f.csv"
    output = invoke(command).stdout
    assert "more than half of the rows are absent: is the frequency right?" in output


def test_rows_without_times_are_numbered(folder: Path) -> None:
    """Without times, or with --time row, the forecast goes on with the numbers of the rows; so does a saved model."""
    pd.read_csv("one.csv")[["y"]].to_csv("plain.csv", index=False)
    end = "--target y --horizon 2 --model naive --no-check --out f.csv"
    assert "no season known" in succeed(f"forecast plain.csv {end}")
    assert list(pd.read_csv("f.csv")["row"]) == [73, 74]
    succeed(f"forecast one.csv --time row {end} --save m.safetensors", "'ds'")
    assert list(pd.read_csv("f.csv")["row"]) == [73, 74]
    assert "no row is new" in invoke("forecast one.csv --load m.safetensors --horizon 1 --no-check --out f.csv").stdout


@pytest.mark.parametrize(
    ("columns", "time"),
    [
        ({"ds": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]}, "ds"),
        ({"Month": ["2024-01", "2024-02", "2024-03", "2024-04"], "month_of_year": [1, 2, 3, 4]}, "Month"),
        ({"Tag": ["31.01.2024", "01.02.2024", "02.02.2024", "03.02.2024"]}, "Tag"),
        ({"q": ["2010Q1", "2010Q2", "2010Q3", "2010Q4"], "note": ["a 1", "may", "12", "-"]}, "q"),
        ({"date": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "sent": ["2024-05-05"] * 4}, "date"),
        ({"date": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "year": [2024] * 4}, "date"),
        ({"year": [2001, 2002, 2003, 2004], "month": [1, 1, 1, 1]}, "year"),
        ({"place": ["Shop 1", "Shop 2", "Shop 3", "Shop 4"], "month": [1, 2, 1, 2]}, None),
    ],
)
def test_the_column_of_times_is_found(folder: Path, columns: dict[str, list[Any]], time: str | None) -> None:
    """Dates of a usual name, then other dates, then whole numbers of a usual name, each once: with a note."""
    pd.DataFrame({**columns, "y": [1.5, 2.5, 3.5, 4.5]}).to_csv("t.csv", index=False)
    command = "forecast t.csv --target y --horizon 1 --model naive --no-check"
    result = invoke(command)
    assert result.exit_code == 0, result.output
    assert result.stdout.split(",")[0] == (time or "row")
    assert (f"the times are those of {time!r}; --time chooses others" in result.stderr) is (time is not None)
    assert result.stdout == invoke(f"{command} --time {time or 'row'}").stdout


def test_no_time_column_is_chosen_in_doubt(folder: Path) -> None:
    """Of two an error names --time; a bad cell is named; what is called time and is none is said aloud."""
    days = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    table = pd.DataFrame({"sent": days, "paid": days, "y": [1.5, 2.5, 3.5, 4.5]})
    table.to_csv("t.csv", index=False)
    command = "forecast t.csv --target y --horizon 1 --model naive --no-check"
    line = fail(command)
    assert "2 columns of times ('sent', 'paid'): say which one it is, such as --time sent." in line
    succeed(f"{command} --time paid --out f.csv", "'sent'")
    table.assign(paid=[*days[:3], "soon"])[["paid", "y"]].to_csv("t.csv", index=False)
    assert "Column 'paid' of t.csv is not a date or a number in row 4: 'soon'." in invoke(command).stderr
    table.assign(quarter=["Q1 10", "Q2 10", "Q3 10", "Q4 10"])[["quarter", "y"]].to_csv("t.csv", index=False)
    assert "'quarter', such as 'Q1 10', is not read as times: the rows are numbered." in invoke(command).stderr
    table.assign(day=["1|1", "2|1", "3|1", "4|1"])[["day", "y"]].to_csv("t.csv", index=False)
    assert invoke(f"{command} --date-format %d|%m").stdout.splitlines()[1].startswith("05|01,")


def test_ctrl_c_keeps_what_is_learnt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted training forecasts and saves with what is learnt; nothing is fitted after it; the code is 130."""
    fit = GRURegressor.fit

    def interrupted(self: Any, *data: Any, **more: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("Training was interrupted", stacklevel=1)
        return fit(self, *data, **more)

    monkeypatch.setattr(GRURegressor, "fit", interrupted)
    result = invoke(f"forecast {ONE} --horizon 2 {TINY} --out f.csv --save m.safetensors")
    assert result.exit_code == 130 and "check" not in result.stdout
    assert "seqdyn: note: Training was interrupted" in result.stderr
    assert len(read("f.csv")) == 2 and Path("m.safetensors").exists()


# --- how tables are written


def test_periods_come_out_as_they_went_in(folder: Path) -> None:
    """Quarters in, quarters out; in the report, too."""
    quarters = [f"{year}Q{quarter}" for year in range(2018, 2024) for quarter in range(1, 5)]
    pd.DataFrame({"q": quarters, "y": np.arange(24.0)}).to_csv("q.csv", index=False)
    command = "forecast q.csv --time q --target y --horizon 2 --model drift --out f.csv --no-check"
    output = succeed(f"{command} --save m.safetensors")
    assert list(pd.read_csv("f.csv")["q"]) == ["2024Q1", "2024Q2"]
    lines = invoke("forecast --load m.safetensors --horizon 1 --no-check").stdout.splitlines()
    assert lines[1].startswith("2024Q1,") and isinstance(seqdyn.load("m.safetensors"), seqdyn.DriftForecaster)
    assert "24 steps, 2018Q1 to 2023Q4" in output and "2 steps, 2024Q1 to 2024Q2" in output
    finish("backtest q.csv --time q --target y --horizon 2 --model drift --out b.csv --windows 2")
    assert set(pd.read_csv("b.csv")["cutoff"]) == {"2022Q4", "2023Q2"}


def test_months_that_might_be_days(folder: Path) -> None:
    """Day first, as is said on standard error; the option chooses the other order."""
    months = pd.date_range("2024-01-01", periods=12, freq="MS")
    pd.DataFrame({"t": months.strftime("%d/%m/%Y"), "y": np.arange(12) + 10.0}).to_csv("m.csv", index=False)
    command = "forecast m.csv --time t --target y --horizon 1 --model naive --no-check"
    result = invoke(command)
    assert result.stdout.splitlines()[1].startswith("01/01/2025,21")
    assert "01/12/2024 was read as 1 December 2024; both ways are regular: --month-first" in result.stderr
    assert invoke(f"{command} --month-first").stdout.splitlines()[1].startswith("01/13/2024,")


def test_local_times_across_a_clock_change(folder: Path) -> None:
    """Distances to UTC that change: forecasts are at the last one, or as the clocks of --time-zone go on."""
    hours = pd.date_range("2022-10-27", "2022-10-30", freq="h", tz="Europe/Berlin")  # the night of the change
    load = pd.DataFrame({"t": hours.astype(str), "y": np.arange(len(hours)) % 24 + 1.0})
    load.to_csv("load.csv", index=False)
    command = "forecast load.csv --time t --target y --horizon 4 --model naive --no-check --out f.csv --time-zone"
    succeed(f"{command} Europe/Berlin --save m.safetensors")
    expected = ["01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00"]
    assert [text.split()[1] for text in pd.read_csv("f.csv")["t"]] == expected
    later = pd.DataFrame({"t": ["2022-10-30 01:00:00+02:00", "2022-10-30 02:00:00+02:00"], "y": [2.0, 3.0]})
    pd.concat([load, later]).to_csv("load.csv", index=False)
    output = succeed("forecast load.csv --load m.safetensors --horizon 1 --no-check --out g.csv")
    assert "2 new rows" in output and list(pd.read_csv("g.csv")["t"]) == ["2022-10-30 02:00:00+01:00"]


def test_a_table_from_elsewhere(folder: Path) -> None:
    """Semicolons, commas of fractions and points of thousands, days first, another code page, compressed."""
    days = pd.date_range("2024-02-20", periods=20, freq="D")
    rows = [f"{day:%d.%m.%Y};1.{number:03},5" for number, day in enumerate(days)]
    text = "\r\n".join(["Tag;Umsätze", *rows])
    Path("u.csv.gz").write_bytes(gzip.compress(text.encode("cp1252")))
    result = invoke("forecast u.csv.gz --time Tag --target Umsätze --horizon 1 --model naive --no-check")
    assert result.stdout.splitlines()[1].startswith("11.03.2024,1019.5,")
    assert "read as cp1252 (Western European), such as 'Tag;Umsätze'; --encoding names another" in result.stderr
    options = "--sep ; --decimal , --thousands . --encoding latin-1 --date-format %d.%m.%Y"
    again = invoke(f"forecast u.csv.gz --time Tag --target Umsätze --horizon 1 --model naive --no-check {options}")
    assert again.stdout == result.stdout and "note" not in again.stderr


def test_standard_input(folder: Path) -> None:
    """A dash is standard input."""
    table = Path("one.csv").read_bytes()
    command = "forecast - --time ds --target y --horizon 2 --model seasonal-naive --no-check"
    result = CliRunner().invoke(app, command.split(), input=table)
    assert result.exit_code == 0 and result.stdout == invoke(command.replace("-", "one.csv", 1)).stdout


def test_numbers_are_rounded(folder: Path) -> None:
    """Printed to the figures of the data; in a file as they are, unless --round says otherwise."""
    pd.DataFrame({"y": [112, 118, 132, 129, 121, 135, 148, 148]}).to_csv("p.csv", index=False)
    command = "forecast p.csv --target y --horizon 1 --model drift --no-check"
    exact = 148 + 36 / 7
    assert float(invoke(command).stdout.splitlines()[1].split(",")[1]) == round(exact, 1)
    for option, expected in (("", exact), ("--round 3", round(exact, 3))):
        succeed(f"{command} --out f.csv {option}")
        assert pd.read_csv("f.csv")["mean"][0] == pytest.approx(expected, abs=1e-12)


# --- several targets


def test_several_targets(folder: Path) -> None:
    """Columns become series, which share what is known ahead; a saved model finds them in the next table again."""
    generator = np.random.default_rng(1)
    days = pd.date_range("2024-01-01", periods=60)
    price = generator.normal(size=60)
    table = pd.DataFrame({"day": days, "a": 10 + price, "b": 20 - price, "note": "x", "price": price})
    table[:50].to_csv("wide.csv", index=False)
    table[["day", "price"]][50:].to_csv("next.csv", index=False)
    known = f"{TINY} --future-columns price --future next.csv --no-check"
    succeed(
        f"forecast wide.csv --time day --target a --target b --horizon 3 {known} --out f.csv --plot f.png --series b "
        "--save m.safetensors",
        "'note'",
    )
    written = read("f.csv", "day")
    assert list(written["series"]) == ["a"] * 3 + ["b"] * 3 and written["day"].nunique() == 3
    long = table[:50].melt(["day", "price"], ["a", "b"], "series", "value")
    network = GRURegressor(hidden_size=3, max_epochs=1, random_state=0)
    model = Forecaster(network, horizon=3, log="auto", future=["price"], random_state=0, id_col="series")
    model.set_params(time_col="day", target_col="value").fit(long)
    ahead = long[["series"]].drop_duplicates().merge(table[["day", "price"]][50:53], how="cross")
    np.testing.assert_allclose(written["mean"], model.forecast(3, ahead)["mean"])
    table[:55].to_csv("wide.csv", index=False)
    output = invoke(
        "forecast wide.csv --load m.safetensors --future next.csv --horizon 1 --no-check --out g.csv"
    ).stdout
    assert "10 new rows, up to 2024-02-24" in output and list(read("g.csv", "day")["series"]) == ["a", "b"]


def test_targets_between_commas(folder: Path) -> None:
    """y,z are two columns, unless one is called so; the file is the same as with two options."""
    days = pd.date_range("2024-01-01", periods=30)
    pd.DataFrame({"ds": days, "a": np.arange(30.0), "b": 1.5, "a,b": 7.0}).to_csv("wide.csv", index=False)
    command = "forecast wide.csv --time ds --horizon 1 --model naive --no-check --target"
    assert invoke(f"{command} a,b").stdout.splitlines()[1].split(",")[1] == "7.0"
    pd.read_csv("wide.csv").drop(columns="a,b").to_csv("wide.csv", index=False)
    both = invoke(f"{command} a,b")
    assert both.exit_code == 0 and both.stdout == invoke(f"{command} a --target b").stdout
    assert "no column 'c' (--target)" in fail(f"{command} a,c")


def test_all_columns_of_numbers_are_targets(folder: Path) -> None:
    """Without --target all of them, but those with another role; a note says which."""
    table = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=30), "a": np.arange(30.0), "b": 1.5, "c": "x"})
    table.to_csv("wide.csv", index=False)
    command = "forecast wide.csv --time ds --horizon 1 --model naive --no-check --out f.csv"
    result = invoke(command)
    assert "all columns of numbers will be forecast: 'a', 'b'; --target chooses" in result.stderr
    assert dict(pd.read_csv("f.csv")[["series", "mean"]].to_numpy()) == {"a": 29, "b": 1.5}
    assert "the one column of numbers will be forecast: 'y'" in invoke(command.replace("wide", "one")).stderr


# --- the exit code


@pytest.mark.parametrize(("model", "code"), [("seasonal-naive", 0), ("exponential-smoothing", 0), ("drift", 3)])
def test_the_exit_code_says_who_loses(folder: Path, model: str, code: int) -> None:
    """3 if the error is larger than that of the naive forecast of the last season; all files are written before."""
    command = f"backtest {ONE} --horizon 6 --windows 3 --model {model} --out b.csv"
    result = invoke(command)
    errors = pd.read_csv("b.csv").assign(error=lambda table: (table["y"] - table["mean"]).abs())
    mean = errors.groupby("model")["error"].mean()
    lost = bool(mean["model"] > mean.get("seasonal_naive", mean["model"]))
    assert result.exit_code == code == (3 if lost else 0)
    assert (result.stderr != "") is lost
    checked = invoke(f"forecast {ONE} --horizon 6 --model {model} --out f.csv")
    assert checked.exit_code == code and len(read("f.csv")) == 6
    if lost:
        assert re.fullmatch(r"seqdyn: the model loses to the naive forecast \(seasonal_naive\): .*\n", checked.stderr)


def test_a_model_that_loses_to_the_last_value(folder: Path) -> None:
    """Where no season is known: a mean of the past loses on a line by law, a ridge on this random walk by measure."""
    walk = np.random.default_rng(6).normal(size=80).cumsum()
    for name, values, model in (("line", np.arange(40.0), "moving-average"), ("walk", walk, "ridge")):
        pd.DataFrame({"y": values}).to_csv(f"{name}.csv", index=False)
        result = invoke(f"forecast {name}.csv --target y --horizon 4 --model {model} --out f.csv")
        assert result.exit_code == 3 and len(pd.read_csv("f.csv")) == 4
        said = [line for line in result.stderr.splitlines() if "loses" in line]
        assert len(said) == 1 and said[0].startswith("seqdyn: the model loses to the naive forecast (")
        naive = np.abs(values[-4:] - values[-5]).mean() / np.abs(np.diff(values[:-4])).mean()
        assert float(said[0].split()[-1].rstrip(".")) == pytest.approx(naive, rel=1e-3)


# --- a saved model


def test_a_saved_model_goes_on(folder: Path) -> None:
    """It takes in the rows it does not know, is checked on them, and equals a model that was updated in Python."""
    table = read("one.csv")
    table.iloc[:60].to_csv("old.csv", index=False)
    succeed(f"forecast old.csv --time ds --target y --horizon 6 {TINY} --no-check --out f.csv --save m.safetensors")
    output = finish("forecast one.csv --load m.safetensors --horizon 6 --out g.csv --plot g.png --save n.safetensors")
    assert "fitted up to 2014-12-01" in output and "12 new rows, up to 2015-12-01" in output
    assert "the last 6 steps, which it was not fitted on" in output
    model = seqdyn.load("m.safetensors")
    expected = model.update(table.iloc[60:]).forecast(6, level=80)
    np.testing.assert_allclose(read("g.csv")["mean"], expected["mean"], rtol=1e-6)
    output = finish("forecast one.csv --load n.safetensors --horizon 6 --out h.csv")
    assert "no row is new" in output
    pd.testing.assert_frame_equal(read("h.csv"), read("g.csv"))
    output = succeed("forecast --load n.safetensors --horizon 6 --out h.csv --plot h.png")
    assert "left out: it needs 6 rows that the saved model was not fitted on" in output
    pd.testing.assert_frame_equal(read("h.csv"), read("g.csv"))


def test_a_saved_model_of_many_series(folder: Path) -> None:
    """Series may be known up to unlike times; each takes in its own new rows."""
    table = read("many.csv", "when").drop(columns=["price", "wind", "size"])
    late = (table["shop"] == "south") & (table["when"] >= "2024-03-01")
    table[~late].to_csv("old.csv", index=False)
    columns = "--time when --target sales --id shop"
    succeed(f"forecast old.csv {columns} --horizon 3 --model ridge --no-check --out f.csv --save m.safetensors")
    table.to_csv("new.csv", index=False)
    output = succeed("forecast new.csv --load m.safetensors --horizon 3 --out f.csv")
    assert f"{int(late.sum())} new rows" in output
    written = read("f.csv", "when")
    assert (written.groupby("shop")["when"].min() == pd.Timestamp("2024-03-11")).all()


def test_a_saved_model_needs_its_covariates(folder: Path) -> None:
    """The model knows which columns are known ahead, and asks for them."""
    succeed(
        f"forecast {MANY} --horizon 3 {TINY} --future-columns price --future ahead.csv --no-check --out f.csv "
        "--save m.safetensors",
        "nobody said what 'wind', 'size' is for: left out",
    )
    assert "price: known ahead, so give the next 3 rows" in fail("forecast --load m.safetensors --horizon 3", 2)
    result = invoke("forecast --load m.safetensors --horizon 3 --future ahead.csv --no-check --out g.csv")
    assert result.exit_code == 0
    pd.testing.assert_frame_equal(read("f.csv", "when"), read("g.csv", "when"))


# --- backtest


def test_backtest_is_the_python_api(folder: Path) -> None:
    """The table and the verdict of the library, every forecast in a file, and a picture."""
    output = finish(
        f"backtest {ONE} --horizon 6 --windows 3 --step 4 {TINY} --level 80,95 --out b.csv --plot b.png --device cpu"
    )
    frame = read("one.csv")
    network = GRURegressor(hidden_size=3, max_epochs=1, random_state=0, device="cpu")
    model = Forecaster(network, horizon=6, log="auto", random_state=0)
    expected = model.backtest(frame, 6, 3, 4, level=[80, 95])
    assert expected.metrics().round(4).to_string() in output
    assert f"verdict     {expected.verdict()}" in output and "3 origins, 4 steps apart" in output
    written = pd.read_csv("b.csv", parse_dates=["cutoff", "time"])
    pd.testing.assert_frame_equal(written, expected.frame, check_dtype=False)
    assert Path("b.png").read_bytes().startswith(PNG)


def test_refit_fits_before_every_origin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--refit: one fit a window; by default one, before the first origin."""
    from seqdyn.forecasting.ridge import RidgeForecaster

    seen: list[int] = []
    learn = RidgeForecaster._learn

    def counted(self: Any, panel: Panel) -> None:
        seen.append(int(panel.lengths[0]))
        learn(self, panel)

    monkeypatch.setattr(RidgeForecaster, "_learn", counted)
    succeed(f"backtest {ONE} --horizon 6 --windows 3 --model ridge")
    assert seen == [54]
    seen.clear()
    succeed(f"backtest {ONE} --horizon 6 --windows 3 --model ridge --refit")
    assert seen == [54, 60, 66]


def test_a_baseline_meets_the_others(folder: Path) -> None:
    """A baseline is compared with all baselines but itself."""
    output = succeed(f"backtest {ONE} --horizon 6 --model seasonal-naive --windows 2")
    models = [line.split()[0] for line in output.split("\n\n")[1].splitlines()[2:]]
    assert models[0] == "model" and "ridge" in models and "naive2" in models and "seasonal_naive" not in models


def test_backtest_of_many_series(folder: Path) -> None:
    """The picture shows a chosen series, the table all of them."""
    output = finish(
        f"backtest {MANY} --horizon 3 --model ridge-pooled --windows 2 --series south --plot b.pdf --out b.csv"
    )
    assert "2 series of 70 steps" in output and Path("b.pdf").exists()
    assert set(pd.read_csv("b.csv")["series"]) == {"north", "south"}


# --- what can be wrong


WRONG = [
    ("forecast many.csv --time when --id shop --horizon 3", 1, "but there are 4 targets ('sales', 'price',"),
    ("forecast text.csv --horizon 3", 1, "text.csv has no column of numbers to forecast: it has 'a'."),
    ("forecast oops.csv --horizon 3", 1, "Column 'y' of oops.csv is not numeric: it holds 'oops' at row 2."),
    (f"forecast {ONE} --horizon 3 --time-zone Mars", 1, "--time-zone Mars: there is no such time zone"),
    (f"forecast {ONE} --horizon 3 --round -1", 2, "greater than or equal to 0"),
    ("forecast --target y --horizon 3", 2, "give a CSV file, or a saved model with --load."),
    (f"forecast {ONE}", 2, "Missing option '--horizon'"),
    (f"forecast {ONE} --horizon 0", 2, "greater than or equal to 1"),
    (f"forecast {ONE} --horizon 3 --model arx", 2, "Invalid value for '--model'"),
    (f"forecast {ONE} --horizon 3 --log maybe", 2, "Invalid value for '--log'"),
    (f"forecast {ONE} --horizon 3 --level 120", 2, "above 1 and below 100, such as 80,95; got '120'."),
    (f"forecast {ONE} --horizon 3 --level 0.9", 2, "got '0.9'. Did you mean 90?"),
    (f"backtest {ONE} --horizon 3 --level 0.8,0.95", 2, "got '0.8,0.95'. Did you mean 80,95?"),
    (f"forecast {ONE} --horizon 3 --lower 5 --upper 2", 2, "give a number below --upper; got 5.0 and 2.0."),
    ("forecast none.csv --horizon 3 --season-length 0", 2, "give steps, at least 1, such as 24 or 24,168; got '0'"),
    (f"forecast {ONE} --horizon 3 --model gru --learning-rate -1", 2, "give a number above 0, such as 0.01; got -1.0."),
    (f"forecast {ONE} --horizon 3 --level x", 2, "got 'x'"),
    ("forecast none.csv --time ds --target y --horizon 3", 1, "No such file or directory: none.csv"),
    ("forecast one.csv --time ds --target z --horizon 3", 1, "no column 'z' (--target). It has 'ds', 'y'."),
    ("forecast one.csv --time dates --target y --horizon 3", 1, "no column 'dates' (--time)"),
    (f"forecast {ONE} --horizon 3 --past-columns a", 1, "no column 'a' (--past-columns)"),
    (f"forecast {ONE} --horizon 3 --out no/f.csv", 1, "There is no folder"),
    (f"forecast {ONE} --horizon 3 --plot f.jpeg", 1, "--plot writes .png, .pdf, .svg, got 'f.jpeg'"),
    (f"forecast {ONE} --horizon 3 --season-length x", 2, "give steps, at least 1, such as 24 or 24,168; got 'x'"),
    (f"forecast {ONE} --horizon 3 --epochs 2", 1, "--model auto has no use for --epochs: leave it out."),
    (f"forecast {ONE} --horizon 3 --model gru --lower 0", 1, "--model gru has no use for --lower: leave it out."),
    (f"forecast {ONE} --horizon 3 --no-network --lower 30", 1, "leave lower out, or give one that holds in the past"),
    (f"forecast {ONE} --horizon 3 --model naive --past-columns y", 1, "no use for --past-columns"),
    (f"forecast {ONE} --horizon 3 --freq nonsense", 1, "'nonsense' is no pandas frequency"),
    (f"forecast {ONE} --horizon 3 --freq W", 1, "does not lie on the grid of freq='W-SUN'"),
    (f"forecast {ONE} --horizon 3 --series b", 1, "--series b: there is no such series; there are 'y'."),
    (f"forecast {ONE} --horizon 3 --model ridge --epochs 3 --calendar auto", 1, "no use for --epochs and --calendar"),
    (f"forecast {ONE} --horizon 3 --model naive --log no", 1, "--model naive has no use for --log: leave it out."),
    (f"forecast {ONE} --horizon 3 --future f.csv", 1, "Name them with --future-columns."),
    (
        f"forecast {MANY} --horizon 3 --future-columns price",
        2,
        "'--future': price: known ahead, so give the next 3 rows",
    ),
    (
        f"forecast {MANY} --horizon 3 --future-columns price --future one.csv",
        1,
        "no column 'shop', 'when', 'price' (--future)",
    ),
    ("forecast many.csv --target sales --horizon 3", 1, "Then name their column with --id."),
    ("forecast many.csv --time row --target sales --id shop --horizon 3", 1, "give --time."),
    ("forecast one.csv --load one.csv --horizon 3", 1, "is not a safetensors file"),
    ("forecast one.csv --load none.st --horizon 3", 1, "No such file or directory: none.st"),
    ("forecast one.csv --load one.csv --horizon 3 --target y --epochs 2", 1, "leave out --epochs and --target."),
    (f"forecast {ONE} --horizon 3 --device tpu", 1, "--device must be auto, cpu or cuda, got 'tpu'."),
    (f"backtest {ONE} --horizon 71", 1, "No series is long enough for 3 windows of 71 steps"),
    (f"backtest {ONE} --horizon 3 --windows 0", 2, "greater than or equal to 1"),
    (f"backtest {ONE} --horizon 3 --load m.st", 2, "No such option: --load"),
]


@pytest.mark.parametrize(("command", "code", "expected"), WRONG, ids=[expected for _, _, expected in WRONG])
def test_wrong_input(folder: Path, command: str, code: int, expected: str) -> None:
    """One line that says what is wrong, before anything is fitted."""
    result = invoke(command)
    assert result.exit_code == code, result.output
    line = result.stderr.splitlines()[-1]
    assert line.startswith("seqdyn: ") and expected in line and "Traceback" not in result.output
    assert "training" not in result.output


def test_other_files_are_no_forecasters(folder: Path) -> None:
    """A file of `seqdyn fit`, and a forecaster of another layout, are refused with the way out."""
    succeed("fit one.csv --target y --time ds --model persistence --out p.safetensors")
    line = fail("forecast one.csv --load p.safetensors --horizon 3")
    assert "PersistenceRegressor, not a forecaster" in line
    series = read("one.csv").set_index("ds")["y"]
    seqdyn.Forecaster(GRURegressor(hidden_size=2, max_epochs=1)).fit(series).save("s.safetensors")
    assert "a frame of the kind 'series'" in fail("forecast one.csv --load s.safetensors --horizon 3")


def test_a_check_that_is_impossible_does_no_harm(folder: Path) -> None:
    """A series too short to hold steps back is forecast all the same."""
    pd.read_csv("one.csv").iloc[:6].to_csv("short.csv", index=False)
    output = succeed("forecast short.csv --time ds --target y --horizon 6 --model naive --out f.csv")
    assert "check       left out: No series is long enough" in output and len(read("f.csv")) == 6


def test_both_commands_have_the_options_of_the_model(folder: Path) -> None:
    """Both commands have the same options of the data and the model."""
    for command in ("forecast", "backtest"):
        text = succeed(f"{command} --help")
        for option in ("--id", "--season-length", "--model", "--strategy", "--calendar", "--future-columns", "--seed"):
            assert f"{option} " in text

"""The command line: its commands do what the Python API does, and every error is one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner, Result

import seqdyn
from seqdyn.cells.gru import GRU
from seqdyn.cli.demo_cases import CASES, Case, baselines, co2, lorenz, run_case, sunspots
from seqdyn.cli.main import app
from seqdyn.cli.training import one_thread
from seqdyn.files import load, save

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="module")
def small_networks() -> Any:
    """Small networks on many threads of a busy machine wait for each other."""
    with one_thread():
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with two tables: ``inputs.csv`` (ds, a, b, site, y) and ``own.csv`` (ds, y)."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    a, b = np.sin(0.3 * np.arange(60)), generator.normal(size=60)
    y = np.zeros(60)
    for t in range(60):
        y[t] = 0.7 * y[t - 1] * (t > 0) + a[t] + 0.5 * b[t]
    times = pd.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d")
    table = pd.DataFrame({"ds": times, "a": a, "b": b, "site": "x", "y": y})
    table.to_csv("inputs.csv", index=False)
    table[["ds", "y"]].to_csv("own.csv", index=False)
    return tmp_path


def invoke(command: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, command.split())


def succeed(command: str, note: str = "") -> str:
    """Run a command that must end well and say nothing on stderr but a note; returns its output."""
    result = invoke(command)
    assert result.exit_code == 0, result.output
    assert note in result.stderr and (note or result.stderr == "")
    return result.stdout


def fail(command: str, code: int = 1) -> str:
    """Run a command that must fail with one line on stderr; returns that line."""
    result = invoke(command)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("seqdyn: "), result.stderr
    return result.stderr


def start(*words: str, **how: Any) -> subprocess.Popen[str]:
    """Start `python -m seqdyn` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "seqdyn", *words], env=environment, **pipes, **how)


# --- the whole


def test_help_is_worth_reading() -> None:
    """The program and every command explain themselves and give an example."""
    assert "seqdyn fit data.csv" in succeed("--help")
    assert succeed("") == succeed("--help")
    for command in ("demo", "fit", "predict", "forecast", "backtest", "diagnose"):
        text = succeed(f"{command} --help")
        assert f"Example:\n    seqdyn {command} " in text
        assert len(text.split("Example:")[0].split()) > 40


def test_version() -> None:
    """The version is that of the package."""
    assert succeed("--version") == f"seqdyn {seqdyn.__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    """`seqdyn --help` answers at once: torch, pandas and matplotlib stay on the shelf."""
    script = (
        "import sys; from seqdyn.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: print(sorted({'torch', 'numpy', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n"), done.stdout


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("fit", "Missing argument"),
        ("fit inputs.csv --target y", "Missing option '--out'"),
        ("explain", "No such command 'explain'"),
        ("--nonsense", "No such option: --nonsense"),
        ("fit inputs.csv --target y --out m.safetensors --epochs none", "Invalid value for '--epochs'"),
        ("fit inputs.csv --target y --out m.safetensors --test-fraction 1.5", "Invalid value for '--test-fraction'"),
        ("fit inputs.csv --target y --out m.safetensors --model lstn", "Invalid value for '--model'"),
    ],
)
def test_wrong_usage(folder: Path, command: str, expected: str) -> None:
    """Wrong usage is one line that points to the help, with exit code 2."""
    line = fail(command, code=2)
    assert expected in line and re.search(r"[.?] See 'seqdyn( fit)? --help'\.$", line)


def test_debug_shows_the_traceback(folder: Path) -> None:
    """With --debug, before or after the command, the error itself comes through."""
    for command in ("--debug fit none.csv --target y --out m", "fit none.csv --target y --out m --debug"):
        result = invoke(command)
        assert isinstance(result.exception, FileNotFoundError) and result.exit_code == 1


def test_an_error_nobody_expected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is one line as well, which names the kind of error and the way to its traceback."""

    def broken(*_: Any) -> None:
        raise RuntimeError("first line\n  second line")

    monkeypatch.setattr("seqdyn.cli.fit.read_table", broken)
    line = fail("fit inputs.csv --target y --out m.safetensors")
    assert "RuntimeError: first line second line" in line and "--debug" in line


def test_warnings_are_notes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library warns of is one line without a place in the source, and no filter stays changed."""

    def warned(*_: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("a first line\nand a second", stacklevel=1)
        raise ValueError("and then it stopped")

    monkeypatch.setattr("seqdyn.cli.fit.read_table", warned)
    before = list(warnings.filters), warnings.showwarning
    result = invoke("fit inputs.csv --target y --out m.safetensors")
    assert result.stderr == "seqdyn: note: a first line and a second\nseqdyn: and then it stopped\n"
    assert (list(warnings.filters), warnings.showwarning) == before


# --- in a process of its own


def test_subprocess(folder: Path) -> None:
    """`python -m seqdyn`: one line and code 1 without --debug, the traceback with it."""
    plain, debug = start("predict", "none", "own.csv"), start("--debug", "predict", "none", "own.csv")
    output, error = plain.communicate(timeout=60)
    assert (output, error, plain.returncode) == ("", "seqdyn: No such file or directory: none\n", 1)
    _, error = debug.communicate(timeout=60)
    assert debug.returncode == 1 and "Traceback" in error and "FileNotFoundError" in error


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to a process on Windows")
def test_ctrl_c_keeps_what_is_learnt(folder: Path) -> None:
    """Ctrl-C ends a training: a note, the model is saved, and the exit code is 130."""
    pd.DataFrame({"y": np.sin(np.arange(3000))}).to_csv("long.csv", index=False)
    process = start(*"fit long.csv --target y --epochs 100000 --hidden-size 100 --out m.safetensors --verbose".split())
    assert process.stdout is not None and process.stderr is not None
    while not process.stderr.read(1):  # the progress bar: the training has begun
        pass
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "seqdyn: note: Training was interrupted" in error and error.endswith("seqdyn: interrupted.\n")
    assert "Traceback" not in error
    assert "saved" in output and load("m.safetensors").n_features_in_ == 1


# --- fit and predict


def test_fit_and_predict_are_the_python_api(folder: Path) -> None:
    """The same model and the same predictions as in Python, to the last digit."""
    output = succeed(
        "fit inputs.csv --target y --features a,b --time ds --model gru --hidden-size 5 --epochs 7 "
        "--learning-rate 0.02 --test-fraction 0.25 --seed 3 --device cpu --out m.safetensors"
    )
    assert succeed("predict m.safetensors inputs.csv --time ds --out p.csv") == "wrote 60 rows to p.csv\n"
    frame = pd.read_csv("inputs.csv", index_col="ds", parse_dates=["ds"])
    X, y = frame[["a", "b"]], frame["y"]
    model = seqdyn.GRURegressor(hidden_size=5, max_epochs=7, learning_rate=0.02, random_state=3, device="cpu")
    expected = model.fit(X.iloc[:45], y.iloc[:45]).predict(X)
    written = pd.read_csv("p.csv", index_col="ds", parse_dates=["ds"])
    assert written.index.equals(frame.index) and list(written.columns) == ["y"]
    np.testing.assert_allclose(written["y"], expected, rtol=1e-12)
    saved = seqdyn.load("m.safetensors")
    assert list(saved.feature_names_in_) == ["a", "b"] and list(saved.target_names_) == ["y"]
    residual = y.iloc[45:] - expected[45:]
    assert f"RMSE {np.sqrt(np.mean(residual**2)):.4g}" in output
    assert f"R² {1 - np.sum(residual**2) / np.sum((y.iloc[45:] - y.iloc[45:].mean()) ** 2):.3f}" in output
    assert f"RMSE {np.sqrt(np.mean((y.iloc[45:] - y.iloc[:45].mean()) ** 2)):.4g}" in output
    assert "given the inputs" in output and "45 rows to 2020-02-14" in output


def test_a_linear_model_is_identified(folder: Path) -> None:
    """Without a number of epochs the closed form is taken, and the order is found."""
    assert "states by subspace" in succeed("fit inputs.csv --target y --time ds --model linear --out m.safetensors")


@pytest.mark.parametrize("model", ["lstm", "elman", "linear", "moving-average", "exponential", "arx"])
def test_every_model(folder: Path, model: str) -> None:
    """Every kind of model fits, scores, saves and predicts under the name of the target."""
    epochs = " --epochs 2" if model in ("lstm", "elman", "linear") else ""
    output = succeed(f"fit inputs.csv --target y --time ds --model {model}{epochs} --out m.safetensors")
    assert "inputs      a, b (left out, not numeric: site)" in output and "training mean" in output
    assert "free run" in output if model == "arx" else "given the inputs" in output
    written = succeed("predict m.safetensors inputs.csv --time ds").splitlines()
    assert len(written) == 61 and written[0] == "ds,y" and written[1].startswith("2020-01-01,")


def test_tables_written_elsewhere(folder: Path) -> None:
    """fit, predict and diagnose take the options of how a table is written: the model and its numbers are the same."""
    table = pd.read_csv("inputs.csv", parse_dates=["ds"]).round({"a": 3, "b": 3, "y": 3})
    table.to_csv("plain.csv", index=False)
    table["ds"] = table["ds"].dt.strftime("%y|%d|%m")
    table.to_csv("other.csv", index=False, sep="~", decimal=",", encoding="utf-16")
    options = {"plain.csv": "", "other.csv": "--sep ~ --decimal , --encoding utf-16 --date-format %y|%d|%m"}
    said, predicted = [], []
    for number, (path, how) in enumerate(options.items()):
        succeed(f"fit {path} --time ds --target y --model elman --epochs 1 --out {number}.safetensors {how}")
        predicted.append(succeed(f"predict {number}.safetensors {path} --time ds {how}"))
        said.append(invoke(f"diagnose {number}.safetensors {path} --time ds --tier fast {how}").stdout)
    assert predicted[0] == predicted[1] and predicted[0].count("\n") == 61
    assert said[0] == said[1] != ""


@pytest.mark.parametrize("model", ["gru", "arx", "persistence"])
def test_own_past(folder: Path, model: str) -> None:
    """A target alone is learnt from its own past: every row from those before it, and the next one as well."""
    epochs = " --epochs 2" if model == "gru" else ""
    output = succeed(f"fit own.csv --target y --time ds --model {model}{epochs} --out m.safetensors")
    assert "from its own past" in output and "one step ahead" in output and "last value" in output
    text = succeed("predict m.safetensors own.csv --time ds")
    assert text.splitlines()[0] == "ds,y" and text.splitlines()[1] == "2020-01-01,"
    own = pd.read_csv("own.csv")["y"].to_numpy()
    written = pd.DataFrame([line.split(",") for line in text.splitlines()[2:]], columns=["ds", "y"])
    assert list(written["ds"]) == list(pd.date_range("2020-01-02", periods=60).strftime("%Y-%m-%d"))
    names = list(seqdyn.load("m.safetensors").feature_names_in_)
    expected = seqdyn.load("m.safetensors").predict(pd.DataFrame(own[:, None], columns=names))
    np.testing.assert_allclose(written["y"].astype(float), expected)
    if model == "persistence":
        np.testing.assert_array_equal(written["y"].astype(float), own)


def test_own_past_beside_features(folder: Path) -> None:
    """Naming the target among the features gives the model its last value; without the coming inputs no next row."""
    succeed("fit inputs.csv --target y --features y,a --model arx --out m.safetensors")
    assert list(seqdyn.load("m.safetensors").feature_names_in_) == ["y[t-1]", "a"]
    text = succeed("predict m.safetensors inputs.csv")
    assert len(text.splitlines()) == 61 and text.splitlines()[1] == '""'


def test_missing_targets(folder: Path) -> None:
    """Empty cells of the target are neither learnt nor scored."""
    table = pd.read_csv("inputs.csv")
    table.loc[[3, 50], "y"] = np.nan
    table.to_csv("holes.csv", index=False)
    assert "R²" in succeed("fit holes.csv --target y --model linear --epochs 2 --out m.safetensors")
    assert "no value at row 4" in fail("fit holes.csv --target y --features y --out m.safetensors")


def test_continue_state(folder: Path) -> None:
    """--continue-state goes on where the training ended: as if all rows came in one file."""
    succeed("fit inputs.csv --target y --time ds --model linear --epochs 3 --out m.safetensors")
    succeed("predict m.safetensors inputs.csv --time ds --out whole.csv")
    pd.read_csv("inputs.csv").iloc[48:].to_csv("rest.csv", index=False)
    succeed("predict m.safetensors rest.csv --time ds --continue-state --out rest_p.csv")
    whole, rest = pd.read_csv("whole.csv"), pd.read_csv("rest_p.csv")
    np.testing.assert_allclose(rest["y"], whole["y"].iloc[48:], rtol=1e-4, atol=1e-5)
    assert list(rest["ds"]) == list(whole["ds"].iloc[48:])
    succeed("predict m.safetensors rest.csv --time ds --out fresh_p.csv")
    assert abs(pd.read_csv("fresh_p.csv")["y"][0] - rest["y"][0]) > 1e-3


def test_continue_state_of_own_past(folder: Path) -> None:
    """For a model of its own past the file begins with the last row of the training data."""
    succeed("fit own.csv --target y --model gru --epochs 3 --out m.safetensors")
    train = int(next(line for line in succeed("predict m.safetensors own.csv").splitlines() if line) == "y") * 47
    whole = seqdyn.load("m.safetensors").set_predict_output("pandas")
    own = pd.read_csv("own.csv")["y"].to_numpy()
    expected = whole.predict(pd.DataFrame(own[:, None], columns=["y[t-1]"])).to_numpy()
    pd.read_csv("own.csv").iloc[train:].to_csv("rest.csv", index=False)
    lines = succeed("predict m.safetensors rest.csv --continue-state").splitlines()
    np.testing.assert_allclose([float(line) for line in lines[2:]], expected[train:], rtol=1e-4, atol=1e-5)


def test_a_model_without_names(folder: Path) -> None:
    """A model fitted on arrays takes the numeric columns in their order, if there are as many."""
    frame = pd.read_csv("inputs.csv")
    model = seqdyn.ARXRegressor().fit(frame[["a", "b"]].to_numpy(), frame["y"].to_numpy())
    model.save("m.safetensors")
    frame[["a", "b", "site"]].to_csv("two.csv", index=False)
    lines = succeed("predict m.safetensors two.csv").splitlines()
    assert lines[0] == "y0"
    np.testing.assert_allclose([float(line) for line in lines[1:]], model.predict(frame[["a", "b"]].to_numpy()))
    assert "2 features without names" in fail("predict m.safetensors inputs.csv")


# --- what can be wrong with the data


FIT = "--target y --out m.safetensors --model arx"


def rewrite(how: Any) -> None:
    """Change the table and write it as bad.csv."""
    table = pd.read_csv("inputs.csv")
    how(table).to_csv("bad.csv", index=False)


BAD_TABLES = [
    ("", lambda t: t.sample(frac=1, random_state=0), "bad.csv is not sorted by ds"),
    ("", lambda t: t.iloc[[0, 1, 1, 2, 3]], "two rows at ds = 2020-01-02"),
    ("", lambda t: t.drop(range(20, 40)), "has a hole after 2020-01-20"),
    ("", lambda t: t.assign(a=t.a.where(t.index != 7)), "Column 'a' of bad.csv has no value at 2020-01-08"),
    ("", lambda t: t.assign(b=t.b.where(t.index != 7, np.inf)), "Column 'b' of bad.csv is infinite at 2020-01-08"),
    ("", lambda t: t.assign(y=t.y.where(t.index != 7, np.inf)), "Column 'y' of bad.csv is infinite at 2020-01-08"),
    ("", lambda t: t.assign(y=t.y.where(t.index != 7, "oops").astype(str)), "not numeric: it holds 'oops' at 2020"),
    ("", lambda t: t.assign(ds=t.ds.where(t.index != 7, "soon")), "not a date or a number in row 8: 'soon'"),
    ("", lambda t: t.assign(y=np.nan), "y is NaN everywhere"),
    ("", lambda t: t.iloc[:0], "but no rows"),
    ("", lambda t: t.iloc[:1], "at least 2 are needed"),
    ("--features a,site", lambda t: t, "Column 'site' of bad.csv is not numeric: it holds 'x'"),
    ("--features ,", lambda t: t, "--features names no column: bad.csv has 'a', 'b', 'site', 'y'."),
    ("--features A", lambda t: t, "no column 'A' (--features). Did you mean 'a'? It has 'a', 'b', 'site', 'y'."),
]


@pytest.mark.parametrize(("options", "how", "expected"), BAD_TABLES, ids=[expected for _, _, expected in BAD_TABLES])
def test_bad_tables(folder: Path, options: str, how: Any, expected: str) -> None:
    """What is wrong with a table is said in one line, with the place."""
    rewrite(how)
    assert expected in fail(f"fit bad.csv {FIT} --time ds {options}")
    assert not Path("m.safetensors").exists()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"fit none.csv {FIT}", "No such file or directory: none.csv"),
        (f"fit . {FIT}", "Is a directory"),
        (f"fit inputs.csv {FIT} --time date", "no column 'date' (--time)"),
        ("fit inputs.csv --target Y --out m.safetensors", "no column 'Y' (--target). Did you mean 'y'?"),
        ("fit inputs.csv --target y --out none/m.safetensors", "There is no folder"),
        (
            f"fit inputs.csv {FIT} --epochs 5 --hidden-size 3",
            "arx is solved for, not trained: leave out --hidden-size and --epochs",
        ),
        ("fit inputs.csv --target y --out m.safetensors --learning-rate -1", "learning_rate must be a number above 0"),
        ("fit inputs.csv --target y --out m.safetensors --device tpu", "--device must be auto, cpu or cuda"),
        ("fit inputs.csv --target y --out m --model persistence --features a", "takes no --features"),
        ("predict none.safetensors inputs.csv", "No such file or directory: none.safetensors"),
        ("predict inputs.csv inputs.csv", "inputs.csv is not a safetensors file"),
        ("demo --quick --out inputs.csv", "File exists: inputs.csv"),
        ("demo --quick --seed -1", "int from 0 to"),
    ],
)
def test_bad_arguments(folder: Path, command: str, expected: str) -> None:
    """What cannot be done is said in one line, before anything long is begun."""
    assert expected in fail(command)
    assert not Path("m.safetensors").exists()


def test_files_that_are_no_tables(folder: Path) -> None:
    """Empty, binary and ragged files."""
    Path("empty.csv").write_text("")
    Path("binary.csv").write_bytes(bytes(range(256)))
    Path("ragged.csv").write_text("a,y\n1,2\n1,2,3,4\n")
    assert "empty.csv is empty" in fail(f"fit empty.csv {FIT}")
    assert "binary.csv does not read as a CSV file" in fail(f"fit binary.csv {FIT}")
    assert "ragged.csv does not read as a CSV file" in fail(f"fit ragged.csv {FIT}")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(folder: Path) -> None:
    """Asking for a GPU that is not there is one line."""
    assert "torch finds no GPU" in fail("fit inputs.csv --target y --out m.safetensors --device cuda")


def test_predict_with_other_columns(folder: Path) -> None:
    """Columns are found by name: others do not matter, missing ones are named."""
    succeed("fit inputs.csv --target y --features a,b --model arx --out m.safetensors")
    table = pd.read_csv("inputs.csv")
    table[["site", "b", "a"]].to_csv("other.csv", index=False)
    assert succeed("predict m.safetensors other.csv") == succeed("predict m.safetensors inputs.csv")
    table.rename(columns={"b": "bb"}).to_csv("renamed.csv", index=False)
    line = fail("predict m.safetensors renamed.csv")
    assert "no column 'b' (the model was fitted on it). Did you mean 'bb'?" in line
    table.assign(a=np.nan).to_csv("gap.csv", index=False)
    assert "'a' of gap.csv has no value at row 1 (60 such cells)" in fail("predict m.safetensors gap.csv")
    succeed("fit own.csv --target y --model persistence --out own.safetensors")
    table[["a"]].to_csv("without.csv", index=False)
    assert "no column 'y' (the model predicts it from its past)" in fail("predict own.safetensors without.csv")


def test_files_that_are_no_estimators(folder: Path) -> None:
    """A bare cell, half a file, one value a sequence, and a model that reads the future."""
    save("cell.safetensors", GRU(2, 3))
    assert "bare GRU cell" in fail("predict cell.safetensors inputs.csv")
    content = Path("cell.safetensors").read_bytes()
    Path("half.safetensors").write_bytes(content[: len(content) // 2])
    assert "truncated or damaged" in fail("predict half.safetensors inputs.csv")
    X, y = np.random.default_rng(0).normal(size=(6, 5, 2)), np.arange(6.0)
    seqdyn.GRURegressor(hidden_size=2, max_epochs=1, return_sequences=False).fit(X, y).save("one.safetensors")
    assert "one value for a whole sequence" in fail("predict one.safetensors inputs.csv")
    both = seqdyn.GRURegressor(hidden_size=2, max_epochs=1, bidirectional=True).fit(X, X[:, :, 0])
    both.save("both.safetensors")
    pd.read_csv("inputs.csv")[["a", "b"]].to_csv("two.csv", index=False)
    assert "bidirectional" in fail("predict both.safetensors two.csv --continue-state")
    assert len(succeed("predict both.safetensors two.csv").splitlines()) == 61


# --- the demonstration


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What `seqdyn demo --quick` says, and the folder it writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("demo"))
        return succeed("demo --quick --seed 3"), Path("seqdyn-demo").resolve()


def test_demo(demonstration: tuple[str, Path]) -> None:
    """`seqdyn demo --quick` writes all it says, marks the best, and says so if the network loses."""
    output, out = demonstration
    listed = re.findall(r"^  (\S+\.(?:csv|png|html|safetensors))$", output, re.MULTILINE)
    assert sorted(path.name for path in out.iterdir()) == sorted(listed) and len(listed) == 12
    table = pd.read_csv(out / "table.csv").set_index(["data", "model"])
    assert table.groupby(level="data").size().to_dict() == {"lorenz": 10, "co2": 10, "economy": 11, "sunspots": 10}
    for name in ("MAE", "RMSE", "MASE", "sMAPE"):
        best = table[table[f"best_{name}"]]
        assert (best[name].to_numpy() == table.groupby("data", sort=False)[name].min()).all() and len(best) == 4
    assert output.count("*") == 4 * 4 + 1  # four errors of four data sets, and the legend
    assert output.startswith("lorenz") and output.count("Its state earns its keep") == 1
    assert table["coverage_80"].between(0, 100).all() and (table["coverage_80"] <= table["coverage_95"]).all()
    assert (table["seconds"] > 0).all()
    won = table["MASE"].unstack().drop(columns="auto").idxmin(axis=1) == "GRU"
    assert len(re.findall("The model (LOSES|is no better)", output)) == (~won).sum()
    report = (out / "stability.html").read_text(encoding="utf-8")
    assert report.startswith("<!DOCTYPE html>") and "required lag" in report.lower() and len(report) < 2e6
    kept = output.count("its linear start is kept")
    assert kept == sum(not len(seqdyn.load(out / f"{name}.safetensors").estimator_.history_) for name in won.index)
    for name in ("forecasts.png", "training.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert (out / "forecasts.png").stat().st_size > 50_000


def test_what_the_demo_saved_goes_on(demonstration: tuple[str, Path]) -> None:
    """A saved forecaster has read all rows: it forecasts what the demo wrote, and takes in the next ones."""
    _, out = demonstration
    written = pd.read_csv(out / "co2-forecast.csv", parse_dates=["time"]).set_index("time")
    model = seqdyn.load(out / "co2.safetensors")
    again = model.forecast(12, level=[80, 95])
    np.testing.assert_allclose(again, written)
    assert list(again.columns) == ["mean", "0.025", "0.1", "0.9", "0.975"] and again.index[0] == pd.Timestamp("2002-01")
    assert model.update(again["mean"].rename("co2")).forecast(1).index[0] == pd.Timestamp("2003-01")
    economy = pd.read_csv(out / "economy-forecast.csv")
    assert economy.groupby("series").size().to_dict() == dict.fromkeys(economy["series"].unique(), 8)
    assert economy["series"].nunique() == 5


@pytest.mark.parametrize("make", CASES)
def test_the_demo_tests_on_the_last_quarter(make: Callable[[], Case]) -> None:
    """The backtest fills the last quarter, whose rows change nothing that was fitted; all baselines run beside it."""
    case = make()
    outcome = run_case(case, seed=0, max_epochs=1)
    assert outcome.test.frame["time"].max() == case.data.index[-1] and not outcome.test.notes
    assert case.cut <= case.data.index.get_loc(outcome.test.frame["time"].min()) < case.cut + case.step
    assert len(case.past) == round(0.75 * len(case.data)) == case.cut
    expected = {"model", "auto", *baselines(case)}
    assert set(outcome.test.models) == expected == set(outcome.seconds) and len(expected) == 10 + (
        case.shown is not None
    )
    data = case.data.copy()
    data.iloc[case.cut :] = 50.0
    fitted = run_case(replace(case, data=data), seed=0, max_epochs=1).model.estimator_.cell_.state_dict()
    for name, weight in outcome.model.estimator_.cell_.state_dict().items():
        torch.testing.assert_close(fitted[name], weight, rtol=0, atol=0)


def test_the_same_seed_gives_the_same_table() -> None:
    """Two runs agree, another seed changes the network alone, and the errors of a baseline are those by hand."""
    first, second, third = (run_case(sunspots(), seed, max_epochs=5).table()["MAE"] for seed in (0, 0, 1))
    assert first.equals(second) and first.drop(("sunspots", "GRU")).equals(third.drop(("sunspots", "GRU")))
    case = sunspots()
    values, origins = case.data.to_numpy(), range(len(case.data) - case.horizon, case.cut - 1, -case.step)
    errors = [np.abs(values[k : k + case.horizon] - values[k - 1]).mean() for k in origins]
    assert first[("sunspots", "naive")] == pytest.approx(np.mean(errors)) and len(errors) == case.windows


def test_the_state_earns_its_keep() -> None:
    """The fewer rows the network of the first case sees, the more it errs; with all it beats all closed forms.

    Of sixty epochs thirty are enough to see it. No gradient was large. The AutoForecaster, which takes the network in,
    beats them as well.
    """
    outcome = run_case(lorenz(), seed=0, max_epochs=30)
    mase = outcome.test.metrics()["MASE"]
    best = mase.drop(["model", "auto"]).min()
    assert mase["model"] < 0.75 * best and mase["auto"] < 0.9 * best
    assert outcome.forgetful[2] > outcome.forgetful[4] > 1.4 * mase["model"] > 1.2 * outcome.forgetful[32]
    history = outcome.model.estimator_.history_
    assert (history["gradient_norm"] < 1).all()


def test_instants_of_the_demo() -> None:
    """Months, years and quarters are written as people write them."""
    assert [case.label(case.data.index[-1]) for case in (make() for make in CASES)] == [
        "1199",
        "2001-12",
        "2008",
        "2009Q3",
    ]
    assert co2().forecaster(0).horizon == 12


def test_ctrl_c_ends_the_demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a training ends the demonstration, not only that training."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seqdyn.training.loop.Trainer.epoch", interrupt)
    result = invoke("demo --quick")
    assert (result.exit_code, result.stderr) == (130, "seqdyn: interrupted.\n")


# --- progress ---------------------------------------------------------------------------------------------------------


def test_verbose_shows_progress_on_stderr(folder: Path) -> None:
    """Once: a bar with the loss; twice: the learning rate, too; without: nothing. The files are the same."""
    fitted = "fit inputs.csv --time ds --target y --model gru --hidden-size 2 --epochs 3"
    shown = {}
    for flags in ("", "-v", "-vv", "--verbose"):
        result = invoke(f"{fitted} --out m{flags}.safetensors {flags}")
        assert result.exit_code == 0, result.output
        shown[flags] = result.stderr
        assert (folder / f"m{flags}.safetensors").read_bytes()
    assert shown[""] == "" and all("fit:" in shown[flags] and "3/3" in shown[flags] for flags in ("-v", "--verbose"))
    assert "learning_rate=" not in shown["-v"] and "learning_rate=" in shown["-vv"]
    result = invoke("predict m.safetensors inputs.csv --time ds -v")
    assert "predict:" in result.stderr and "3/3" in result.stderr
    assert result.stdout == succeed("predict m.safetensors inputs.csv --time ds")


def test_every_command_that_trains_takes_verbose() -> None:
    """Once or twice, as -v and -vv."""
    commands = ["demo", "fit", "predict", "forecast", "backtest", "diagnose"]
    for command in [*commands, "text fit", "translate fit", "images fit"]:
        assert "-v, --verbose" in succeed(f"{command} --help"), command

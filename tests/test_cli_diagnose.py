"""`seqdyn diagnose`: the report of the Python API, and exit codes that a pipeline can act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seqdyn
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.files import save
from tests.test_cli import fail, folder, invoke, small_networks  # noqa: F401


@pytest.fixture
def table(folder: Path) -> pd.DataFrame:  # noqa: F811
    """``table.csv``: two inputs and their sum, 600 rows."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(600, 2)), columns=["a", "b"])
    frame["y"] = frame.sum(axis=1)
    frame.to_csv("table.csv", index=False)
    return frame


def cell(gain: float) -> Linear:
    own = Linear(2, 4, output_size=1, generator=torch.Generator().manual_seed(0))
    torch.nn.init.orthogonal_(own.transition, gain=gain, generator=torch.Generator().manual_seed(1))
    return own


def test_a_fitted_model(table: pd.DataFrame) -> None:
    """The files hold what the Python API says, and the target comes from the table."""
    invoke("fit table.csv --target y --model gru --hidden-size 6 --epochs 3 --out model.safetensors")
    result = invoke("diagnose model.safetensors table.csv --required-lag 20 --html r.html --json r.json --png r.png")
    model = seqdyn.load("model.safetensors")
    report = seqdyn.stability_report(model, table[["a", "b"]], table["y"], required_lag=20)
    assert result.exit_code == report.exit_code, result.output
    assert Path("r.json").read_text(encoding="utf-8") == report.to_json()
    assert Path("r.html").read_text(encoding="utf-8") == report.to_html()
    assert Path("r.png").read_bytes().startswith(b"\x89PNG")
    assert str(report) in result.stdout and "wrote r.html" in result.stdout
    assert report.content["subject"]["errors"] == "mse"


@pytest.mark.parametrize(
    ("gain", "options", "code"),
    [(1.0, "", 0), (0.85, "", 0), (0.85, "--fail-on warn", 1), (0.5, "", 1), (1.5, "--tier fast", 1)],
)
def test_exit_codes(table: pd.DataFrame, gain: float, options: str, code: int) -> None:
    """0 passed, 1 failed; a warning fails only if asked to."""
    save(Path("cell.safetensors"), cell(gain))
    table[["a", "b"]].to_csv("inputs.csv", index=False)
    result = invoke(f"diagnose cell.safetensors inputs.csv --required-lag 50 {options}")
    assert result.exit_code == code, result.output


def test_no_verdict(table: pd.DataFrame) -> None:
    """What stands against a verdict is one line, and the exit code is 2."""
    save(Path("cell.safetensors"), LSTM(5, 3))
    assert "takes 5 inputs" in fail("diagnose cell.safetensors table.csv", code=2)
    assert "No such file" in fail("diagnose none.safetensors table.csv", code=2)
    assert "is not a safetensors file" in fail("diagnose table.csv table.csv", code=2)
    save(Path("cell.safetensors"), cell(1.0))
    table.assign(a="x")[["a", "b"]].to_csv("text.csv", index=False)
    assert "numeric columns" in fail("diagnose cell.safetensors text.csv", code=2)
    table[["a", "b"]].to_csv("inputs.csv", index=False)
    line = fail("diagnose cell.safetensors inputs.csv --html nowhere/r.html --tier fast", code=2)
    assert "No such file or directory: nowhere/r.html" in line
    assert "Invalid value for '--fail-on'" in fail("diagnose cell.safetensors inputs.csv --fail-on never", code=2)


def test_a_forecaster_is_refused_with_the_way_out(folder: Path) -> None:  # noqa: F811
    model: Any = seqdyn.NaiveForecaster().fit(pd.Series(np.arange(30.0), pd.date_range("2020", periods=30)))
    model.save("naive.safetensors")
    assert "takes an estimator or a cell" in fail("diagnose naive.safetensors own.csv", code=2)

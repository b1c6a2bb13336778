"""Forecasts of real series: covariates known ahead, gaps in the data, and whole histories from one pass.

Numbers to compare with were computed from the same files: an ARX with 4 lags and known inputs has RMSE 1.43 and 1.47 at
6 and 12 steps of the gas furnace, an AR(4) 2.70 and 2.75; of the milk series the seasonal naive forecast on the last
observed same month has a MAPE of 1.84 %.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqdyn import ARXRegressor, Forecaster, GRURegressor, SeasonalNaiveForecaster


def table(name: str) -> pd.DataFrame:
    """A file of the data folder, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("SEQDYN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / name).exists():
        pytest.skip(f"{name} is not in {folder}; set SEQDYN_DATA to the folder that holds it.")
    return pd.read_csv(folder / name)


def test_known_inputs_halve_the_error_of_the_gas_furnace() -> None:
    frame = table("gasrate_co2.csv").set_axis(["gas", "co2"], axis=1)
    errors = {}
    for name, data, future in (("without", frame[["co2"]], []), ("with", frame, ["gas"])):
        model = Forecaster(ARXRegressor(output_lags=0, input_lags=3), future=future).fit(data.iloc[:200])
        errors[name] = model.backtest(data, 12, 85, 1, baselines=None).metrics("step")["RMSE"].to_numpy()
    assert errors["with"][11] == pytest.approx(1.47, abs=0.02)
    assert errors["with"][11] < 0.6 * errors["without"][11]


def test_a_gru_goes_through_the_gaps_of_the_milk_series() -> None:
    frame = table("monthly_milk_incomplete.csv").dropna().set_axis(["ds", "y"], axis=1)
    frame = frame.assign(ds=pd.to_datetime(frame["ds"]), y=frame["y"].astype(float))
    truth = frame[frame["ds"] >= "1974"].set_index("ds")["y"]
    network = GRURegressor(hidden_size=8, skip=True, linear_start=1.0, max_epochs=60, random_state=0)
    errors = {}
    for name, model in (("gru", Forecaster(network, log=True)), ("naive", SeasonalNaiveForecaster())):
        ahead = model.fit(frame[frame["ds"] < "1974"]).forecast(24).set_index("ds")["mean"]
        errors[name] = 100 * np.mean(np.abs(ahead[truth.index] / truth - 1))
    assert errors["naive"] == pytest.approx(1.84, abs=0.01)
    assert errors["gru"] < errors["naive"]

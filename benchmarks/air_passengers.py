"""AirPassengers: six steps ahead, rolling over 1959-06 to 1960-12, of models fitted up to 1959-01.

    python benchmarks/air_passengers.py [--seeds 0 1 2 3 4] [--validate]

The 19 values scored are those six steps ahead, as in darts' example. Weights stay as they were fitted; the state reads
every new month. ``--validate`` does the same for models fitted up to 1953-12, 1954-12, 1955-12 and 1956-12, over the 19
months that follow each: settings are chosen there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from measure import data_folder, machine

from seqdyn import Forecaster, GRURegressor, LSTMRegressor, RidgeForecaster, SeasonalNaiveForecaster

AHEAD, MONTHS, SEASON = 6, 19, 12
FITS = {False: (121,), True: (60, 72, 84, 96)}
"""Rows of each fit: for the test, and for the choice of settings."""

TRAINING: dict[str, Any] = {
    "hidden_size": 8, "skip": True, "linear_start": 0.3, "max_epochs": 60, "tol": 0.0, "n_iter_no_change": 1000,
    "learning_rate": 3e-3, "schedule": "cosine",
}  # fmt: skip

GIVEN: dict[str, Any] = {"centred": False, "scaling": "standard", "validation": 0}
"""What both networks are shown is settled here: nothing is left to be chosen."""

MODELS: dict[str, Callable[[int], Any]] = {
    "seasonal naive": lambda seed: SeasonalNaiveForecaster(season_length=SEASON),
    "ridge AR(13) on the differences of the log": lambda seed: RidgeForecaster(
        lags=13, penalty=0.01, log=True, difference=1, scale=None, centred=False
    ),
    "LSTM on seasonal differences of the log": lambda seed: Forecaster(
        LSTMRegressor(random_state=seed, **TRAINING),
        log=True, season_length=SEASON, seasonal_difference=1, lags=2, **GIVEN,
    ),
    "GRU on differences of the log": lambda seed: Forecaster(
        GRURegressor(random_state=seed, **TRAINING | {"max_epochs": 20}),
        log=True, season_length=SEASON, difference=1, lags=13, **GIVEN,
    ),
}  # fmt: skip


def score(model: Any, series: pd.Series, fitted: int) -> float:
    """MAPE of the forecasts six steps ahead, in percent."""
    known = series.iloc[: fitted + AHEAD - 2 + MONTHS]
    frame = model.fit(series.iloc[:fitted]).backtest(known, AHEAD, MONTHS, 1, baselines=None).frame
    last = frame[frame["step"] == AHEAD]
    assert len(last) == MONTHS
    return float(100 * (last["mean"] / last["y"] - 1).abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--validate", action="store_true")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", "The model was fitted on rows")  # the first origin lies one month inside the fit
    print(machine())
    table = pd.read_csv(data_folder() / "air_passengers.csv")
    series = pd.Series(table.iloc[:, 1].to_numpy(dtype=float), pd.to_datetime(table.iloc[:, 0]))
    for name, make in MODELS.items():
        begin = time.perf_counter()
        seeds = chosen.seeds if "GRU" in name or "LSTM" in name else [0]
        found = [np.mean([score(make(seed), series, fit) for fit in FITS[chosen.validate]]) for seed in seeds]
        seconds = (time.perf_counter() - begin) / len(seeds)
        print(f"  {name:<44} MAPE {np.median(found):5.2f} %  {np.round(found, 2)}  {seconds:5.1f} s")


if __name__ == "__main__":
    main()

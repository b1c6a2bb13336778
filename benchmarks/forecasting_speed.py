"""Forecasting, how fast: a backtest of 500 origins, one forecast, and a fit, on ETTh1's oil temperature.

    python benchmarks/forecasting_speed.py [--rounds 5] [--what backtest forecast fit]

Peers in the same process, in turns: darts (RNNModel) and neuralforecast (GRU, LSTM), where they are installed. All have
one layer of 64 neurons, windows of 96 hours, batches of 32 windows, 300 steps.
"""

from __future__ import annotations

import argparse
import copy
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from measure import data_folder, machine, report, take_turns

from seqdyn import Forecaster, GRURegressor, LSTMRegressor

WINDOW, HIDDEN, STEPS, BATCH, HORIZON = 96, 64, 300, 32, 48


def read() -> pd.DataFrame:
    """The oil temperature, hourly, a wide frame of one column."""
    return pd.read_csv(data_folder() / "etth1.csv", index_col="date", parse_dates=True)[["OT"]].astype("float32")


def ours(kind: Any, **changes: Any) -> Forecaster:
    """A recursive forecaster: one value in, one out, the whole past in its state."""
    training = {"window": WINDOW, "batch_size": BATCH, "max_steps": STEPS, "max_epochs": 100, "random_state": 0}
    return Forecaster(
        kind(hidden_size=HIDDEN, **training | changes), lags=1, centred=False, scaling="standard", validation=0
    )


def darts(kind: str, frame: pd.DataFrame) -> Callable[[], Any]:
    """The same in darts; its windows are 96 hours long, too."""
    from darts import TimeSeries
    from darts.models import RNNModel

    series = TimeSeries.from_dataframe(frame)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu",
             "enable_checkpointing": False, "max_steps": STEPS}  # fmt: skip

    def fit() -> Any:
        return RNNModel(
            input_chunk_length=WINDOW - 1, training_length=WINDOW, model=kind, hidden_dim=HIDDEN, batch_size=BATCH,
            n_epochs=100, random_state=0, pl_trainer_kwargs=quiet,
        ).fit(series)  # fmt: skip

    return fit


def neuralforecast(kind: str, frame: pd.DataFrame) -> Callable[[], Any]:
    """The same in neuralforecast, recursive."""
    import neuralforecast.models
    from neuralforecast import NeuralForecast

    long = frame["OT"].rename("y").rename_axis("ds").reset_index().assign(unique_id="OT")

    def fit() -> Any:
        model = getattr(neuralforecast.models, kind)(
            h=1, input_size=WINDOW - 1, encoder_n_layers=1, encoder_hidden_size=HIDDEN, recurrent=True, max_steps=STEPS,
            windows_batch_size=BATCH, batch_size=1, random_seed=0, logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, accelerator="cpu",
        )  # fmt: skip
        wrapped = NeuralForecast([model], freq="h")
        wrapped.fit(long)
        return wrapped

    return fit


def measure_backtest(frame: pd.DataFrame) -> None:
    """500 origins of 48 steps from one pass, and the same origin by origin."""
    model = ours(GRURegressor).fit(frame.iloc[:8640])
    cut = 8640 + 499 + HORIZON
    begin = time.perf_counter()
    found = model.backtest(frame.iloc[:cut], HORIZON, 500, 1, baselines=None)
    seconds = time.perf_counter() - begin
    walker = copy.deepcopy(model)
    begin = time.perf_counter()
    paths = []
    for origin in range(8640, 8640 + 500):
        paths.append(walker.forecast(HORIZON)["OT"].to_numpy())
        walker.update(frame.iloc[[origin]])
    looped = time.perf_counter() - begin
    difference = np.abs(found.frame["mean"].to_numpy().reshape(500, HORIZON) - np.array(paths)).max()
    size = np.abs(np.array(paths)).max()
    print(f"  backtest, 500 origins x 48 steps   {seconds:.2f} s; origin by origin {looped:.2f} s")
    print(f"  largest difference {difference:.2e} °C, {difference / size:.1e} of the largest value")


def measure_forecast(frame: pd.DataFrame, rounds: int) -> None:
    """``forecast(24)`` of one fitted series."""
    for kind in (GRURegressor, LSTMRegressor):
        model = ours(kind, max_steps=2).fit(frame.iloc[:2000])
        model.forecast(24)
        times = []
        for _ in range(40 * rounds):
            begin = time.perf_counter()
            model.forecast(24)
            times.append(time.perf_counter() - begin)
        low, middle, high = 1e3 * np.quantile(times, [0.25, 0.5, 0.75])
        print(f"  forecast(24), {kind.__name__:<14} median {middle:.2f} ms (quartiles {low:.2f} to {high:.2f})")


def measure_fit(frame: pd.DataFrame, rounds: int) -> None:
    """300 steps of training, in turns with the peers that are here."""
    for kind, estimator in (("GRU", GRURegressor), ("LSTM", LSTMRegressor)):
        contestants: dict[str, Callable[[], Any]] = {"seqdyn": lambda estimator=estimator: ours(estimator).fit(frame)}
        for name, make in (("darts", darts), ("neuralforecast", neuralforecast)):
            try:
                contestants[name] = make(kind, frame)
            except ImportError as error:
                print(f"  {name} is not here: {error}")
        seconds = take_turns(contestants, rounds)
        print(f"  fit, {kind}")
        for peer in list(contestants)[1:]:
            report({name: seconds[name] for name in ("seqdyn", peer)}, "seqdyn", peer, 1.0, "s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--what", nargs="+", default=["backtest", "forecast", "fit"])
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print(machine())
    frame = read()
    if "backtest" in chosen.what:
        measure_backtest(frame)
    if "forecast" in chosen.what:
        measure_forecast(frame, chosen.rounds)
    if "fit" in chosen.what:
        measure_fit(frame, chosen.rounds)


if __name__ == "__main__":
    main()

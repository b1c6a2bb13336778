"""ETTh1, seven channels, 12 / 4 / 4 months: one recurrent network for all channels, beside ridge regression.

    python benchmarks/etth1.py [--horizons 96 336] [--seeds 0 1 2] [--validate]

The protocol of the literature: every channel is standardised by the training part; all 2880 − H + 1 windows of the test
part are scored, none is dropped; MSE and MAE are means over windows, steps and channels in standardised units.
``--validate`` fits on the first eight months and scores the next four, which is where settings are chosen.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import pandas as pd
from measure import data_folder, machine

from seqdyn import Forecaster, GRURegressor, RidgeForecaster

MONTH = 30 * 24
BORDERS = {False: (12 * MONTH, 16 * MONTH, 20 * MONTH), True: (8 * MONTH, 8 * MONTH, 12 * MONTH)}
"""End of the training part; begin and end of the part that is scored; for the test, and for the choice of settings."""

SETTINGS: dict[int, dict[str, Any]] = {
    96: {"linear_start": 1e4},
    336: {"linear_start": 3e4},
}


def read(validate: bool) -> tuple[pd.DataFrame, int, int, int]:
    """All channels, standardised by the training part, and the borders."""
    fitted, begin, end = BORDERS[validate]
    frame = pd.read_csv(data_folder() / "etth1.csv", index_col="date", parse_dates=True).iloc[:end]
    part = frame.iloc[:fitted]
    return (frame - part.mean()) / part.std(ddof=0), fitted, begin, end


def gru(horizon: int, seed: int, **changes: Any) -> Forecaster:
    """Three weeks of centred lags, a linear start, all steps at once."""
    estimator = GRURegressor(**{
        "hidden_size": 64,
        "skip": True,
        "window": 96,
        "stride": 48,
        "warmup": 32,
        "batch_size": 32,
        "optimizer": "adamw",
        "loss": "mae",
        "learning_rate": 1e-4,
        "schedule": "warmup_cosine",
        "weight_average": 0.95,
        "max_epochs": 4,
        "n_iter_no_change": 1000,
        "random_state": seed,
        **SETTINGS[horizon],
        **changes,
    })  # fmt: skip
    given = {"lags": 505, "centred": True, "log": False, "scaling": "standard", "validation": 0}
    return Forecaster(estimator, horizon=horizon, strategy="direct", **given)


def errors(forecaster: Any, frame: pd.DataFrame, horizon: int, begin: int, end: int) -> tuple[float, float]:
    """MSE and MAE over every window whose targets lie in the part that is scored."""
    windows = end - begin - horizon + 1
    found = forecaster.backtest(frame, horizon, windows, 1, baselines=None).frame
    difference = found["mean"] - found["y"]
    assert len(found) == windows * horizon * frame.shape[1]
    return float((difference**2).mean()), float(difference.abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--horizons", nargs="+", type=int, default=[96, 336])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--validate", action="store_true")
    chosen = parser.parse_args()
    print(machine())
    frame, fitted, begin, end = read(chosen.validate)
    for horizon in chosen.horizons:
        print(f"ETTh1, horizon {horizon}, {end - begin - horizon + 1} windows of 7 channels")
        shared = {"strategy": "direct", "horizon": horizon, "pooled": True, "log": False, "scale": "deviation"}
        models: dict[str, Any] = {
            "ridge, 336 centred lags": RidgeForecaster(lags=336, penalty=100.0, **shared),
            "ridge, 504 centred lags": RidgeForecaster(lags=504, penalty=SETTINGS[horizon]["linear_start"], **shared),
        }
        models |= {f"GRU, seed {seed}": gru(horizon, seed) for seed in chosen.seeds}
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(frame.iloc[:fitted])
            seconds = time.perf_counter() - start
            mse, mae = errors(model, frame, horizon, begin, end)
            print(f"  {name:<28} MSE {mse:.4f}  MAE {mae:.4f}  fit {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()

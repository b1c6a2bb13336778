"""M4 Hourly: one global LSTM, its combination with closed-form baselines, their intervals, and a linear model.

    python benchmarks/m4_hourly.py [--what lstm combination intervals linear] [--seeds 0 1 2] [--validate]

The competition's files are read from SEQDYN_DATA, else from ../shared/data. Scores as in the competition: sMAPE, MASE
with m = 24, and OWA against its Naive2 (18.383 and 2.395). ``--validate`` scores the last 48 hours of the training
parts in place of the test part: settings are chosen there.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
from measure import data_folder, machine

from seqdyn import (
    CombinedForecaster,
    ConformalForecaster,
    Forecaster,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    RidgeForecaster,
    SeasonalNaiveForecaster,
)
from seqdyn.metrics import coverage, mase, msis, owa, smape, wql

HORIZON, SEASON = 48, 24
LEVELS = [0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975]
TRAINING: dict[str, Any] = {
    "loss": "mae",
    "window": 120,
    "stride": 24,
    "warmup": 24,
    "batch_size": 16,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "schedule": "warmup_cosine",
    "weight_average": 0.99,
    "max_epochs": 1000,
    "n_iter_no_change": 1000,
}
"""How both networks are trained: windows of 120 hours, their delay lines filled from the hours before."""

COMMON: dict[str, Any] = {
    "horizon": HORIZON,
    "strategy": "direct",
    "lags": 169,
    "centred": True,
    "log": True,
    "scaling": "standard",
    "validation": 0,
    "season_length": SEASON,
    "scale_features": True,
    "weight": "weight",
}
"""Inputs of both: a week of values relative to the last one, and the scales of the series."""


NAMES: dict[str, Any] = {"season_length": SEASON, "static": ("weight",)}
"""What a forecaster around others must know of the frame."""


def read(validate: bool) -> tuple[pd.DataFrame, np.ndarray, list[np.ndarray]]:
    """The training rows as a long frame, the truth (series, 48), and the training part of every series."""
    folder = data_folder()
    table = pd.read_csv(folder / "m4_hourly_train.csv", index_col=0)
    past = [row[~np.isnan(row)] for row in table.to_numpy(dtype=float)]
    truth = pd.read_csv(folder / "m4_hourly_test.csv", index_col=0).to_numpy(dtype=float)
    if validate:
        truth = np.array([values[-HORIZON:] for values in past])
        past = [values[:-HORIZON] for values in past]
    rows = [
        pd.DataFrame({"unique_id": name, "ds": np.arange(len(values)), "y": values, "weight": importance(values)})
        for name, values in zip(table.index, past, strict=True)
    ]
    return pd.concat(rows, ignore_index=True), truth, past


def importance(values: np.ndarray) -> float:
    """What an absolute error in z counts in OWA, linearised: σ(log y) (100 / 18.383 + ȳ / Q / 2.395)."""
    scale = np.abs(values[SEASON:] - values[:-SEASON]).mean()
    return float(np.std(np.log(values)) * (100 / 18.383 + values.mean() / max(scale, 1e-9) / 2.395))


def lstm(seed: int, steps: int, **changes: Any) -> Forecaster:
    """One global LSTM that begins as a ridge regression on its delay line."""
    estimator = LSTMRegressor(
        hidden_size=96, dropout=0.1, skip=True, linear_start=300.0, max_steps=steps, random_state=seed, **TRAINING
    )
    return Forecaster(estimator, **COMMON | changes)


def linear(seed: int, steps: int) -> Forecaster:
    """One global linear state-space model, [y; h] = [A B; C D] [x; h]."""
    estimator = LinearStateSpaceRegressor(
        order=48, method="gradient", stable=False, dtype="float32", max_steps=steps, random_state=seed, **TRAINING
    )
    return Forecaster(estimator, **COMMON)


def ridge(lags: int, **changes: Any) -> RidgeForecaster:
    """One ridge autoregression a series, on the log."""
    return RidgeForecaster(**{"lags": lags, "penalty": 300.0, "log": True, "season_length": SEASON, **changes})


def ridges() -> dict[str, Any]:
    """Ridge autoregressions series by series, on the log and not, centred and not, and the two seasonal naive ones."""
    found: dict[str, Any] = {
        f"ridge {'log' if log else 'plain'} {'centred' if centred else 'free'} {lags} {penalty:g}": ridge(
            lags, penalty=penalty, log=log, centred=centred
        )
        for log in (True, False)
        for centred in (True, False)
        for lags in (168, 192)
        for penalty in (100.0, 300.0)
    }
    for season in (SEASON, 7 * SEASON):
        found[f"seasonal naive {season}"] = SeasonalNaiveForecaster(season_length=season)
    return found


def score(forecast: np.ndarray, truth: np.ndarray, past: list[np.ndarray]) -> tuple[float, float, float]:
    """sMAPE, MASE and OWA."""
    errors = [smape(y, z) for y, z in zip(truth, forecast, strict=True)]
    scaled = [mase(y, z, values, SEASON) for y, z, values in zip(truth, forecast, past, strict=True)]
    first, second = float(np.mean(errors)), float(np.mean(scaled))
    return first, second, owa(first, second, 18.383, 2.395)


def table(forecaster: Any, column: str = "mean", **options: Any) -> np.ndarray:
    """A forecast as an array (series, 48)."""
    return forecaster.forecast(HORIZON, **options)[column].to_numpy().reshape(-1, HORIZON)


def report(name: str, forecast: np.ndarray, truth: np.ndarray, past: list[np.ndarray], seconds: float) -> None:
    first, second, both = score(forecast, truth, past)
    print(f"  {name:<44} sMAPE {first:7.3f}  MASE {second:6.4f}  OWA {both:.4f}  {seconds:6.1f} s", flush=True)


def timed(name: str, forecaster: Any, df: pd.DataFrame, truth: np.ndarray, past: list[np.ndarray]) -> Any:
    """Fit, forecast, score."""
    begin = time.perf_counter()
    forecast = table(forecaster.fit(df))
    report(name, forecast, truth, past, time.perf_counter() - begin)
    return forecast


def probabilistic(name: str, forecaster: Any, truth: np.ndarray, past: list[np.ndarray]) -> None:
    """WQL over the deciles, MSIS at 95 %, coverage at 80 % and 95 %."""
    frame = forecaster.forecast(HORIZON, quantiles=LEVELS)
    spread = {level: frame[f"{level:g}"].to_numpy().reshape(truth.shape) for level in LEVELS}
    deciles = LEVELS[1:-1]
    pooled = wql(truth, np.stack([spread[level] for level in deciles], axis=-1), deciles)
    width = np.mean(
        [msis(y, spread[0.025][i], spread[0.975][i], past[i], SEASON, level=95) for i, y in enumerate(truth)]
    )
    shares = [100 * coverage(truth, spread[low], spread[high]) for low, high in ((0.1, 0.9), (0.025, 0.975))]
    print(f"  {name:<44} WQL {pooled:.4f}  MSIS {width:.3f}  coverage {shares[0]:.1f} % of 80, {shares[1]:.1f} % of 95")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", default=["baselines", "lstm", "combination", "intervals", "linear"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--calibration", type=int, default=168)
    parser.add_argument("--validate", action="store_true")
    chosen = parser.parse_args()
    print(machine())
    df, truth, past = read(chosen.validate)
    plain = df.drop(columns="weight")
    part = "validation: the last 48 hours of the training parts" if chosen.validate else "test"
    print(f"M4 Hourly, {len(past)} series, {part}")
    if "baselines" in chosen.what:
        timed("seasonal naive 24", SeasonalNaiveForecaster(season_length=SEASON), plain, truth, past)
        timed("ridge autoregression 168, by series", ridge(168), plain, truth, past)
        members = ridges()
        timed("the median of all baselines", CombinedForecaster(models=members, weights="median"), plain, truth, past)
    if "lstm" in chosen.what:
        found = [timed(f"LSTM, seed {seed}", lstm(seed, chosen.steps), df, truth, past) for seed in chosen.seeds]
        report("the mean of these networks, on the log", np.exp(np.mean(np.log(found), axis=0)), truth, past, 0.0)
    if "combination" in chosen.what:
        for seed in chosen.seeds[:1]:
            members = {"lstm": lstm(seed, chosen.steps), **ridges()}
            both = CombinedForecaster(
                models=members, weights="validated", n_windows=6, step_size=24, horizon=HORIZON, **NAMES
            )
            timed(f"LSTM and baselines, validated weights, seed {seed}", both, df, truth, past)
            print(both.weights_.iloc[0].round(3)[lambda shares: shares > 0.005].to_string())
    if "intervals" in chosen.what:
        for seed in chosen.seeds[:1]:
            both = {
                "lstm": lstm(seed, chosen.steps),
                "baselines": CombinedForecaster(models=ridges(), weights="median"),
            }
            models = {
                f"LSTM and the median of the baselines, seed {seed}": CombinedForecaster(models=both, **NAMES),
                f"LSTM, seed {seed}": lstm(seed, chosen.steps),
            }
            for name, model in models.items():
                calibrated = ConformalForecaster(model, horizon=HORIZON, calibration=chosen.calibration, **NAMES)
                timed(name, calibrated, df, truth, past)
                probabilistic("    its calibrated quantiles", calibrated, truth, past)
    if "linear" in chosen.what:
        for seed in chosen.seeds:
            timed(f"linear state space, seed {seed}", linear(seed, chosen.steps), df, truth, past)


if __name__ == "__main__":
    main()

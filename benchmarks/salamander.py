"""A salamander's central pattern generator, learnt: do free runs keep rhythm and gait, and can they be steered?

    python salamander.py [--estimator gru|lstm|linear] [--seeds 0 1 2] [--epochs 40] [--keep FOLDER]

The simulator drives; models learn 24 series of 40 s at 25 Hz, in which drives are random staircases. The test: 30
constant drives that no series had, each with 2 s of warm-up and 20 s of free run. Printed: the share of drives with the
right gait, errors of frequency and of phase lags, medians and the worst. Then, for the first seed, what clamped neurons
do, and whether the cycle closes.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import measure
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from seqdyn import ARXRegressor, GRURegressor, LinearStateSpaceRegressor, LSTMRegressor, load
from seqdyn.datasets import load_salamander
from seqdyn.dynamics import limit_cycle
from seqdyn.motion.model import MotionModel, default_estimator
from seqdyn.motion.rhythms import rhythm, wrap_cycles
from seqdyn.motion.steering import steering_map, steering_neurons

RATE = 25.0
BODY = range(8)
WARMUP, FREE = int(2 * RATE), int(20 * RATE)
DRIVES = np.random.default_rng(1).uniform(1.0, 5.0, 30)


def truth() -> tuple[np.ndarray, np.ndarray]:
    """Drives (30, time, 2) and angles (30, time, 12) of the test."""
    held = np.tile(DRIVES[:, None, None], (1, WARMUP + FREE, 2))
    frame = load_salamander(len(held), (WARMUP + FREE) / RATE, rate=RATE, drives=held, discard=15.0, random_state=7)
    values = frame.drop(columns="gait").to_numpy(dtype=float).reshape(len(DRIVES), WARMUP + FREE, -1)
    return values[..., :2], values[..., 2:]


def estimator(name: str, seed: int, epochs: int) -> object:
    """What is to learn it."""
    if name == "linear":
        return ARXRegressor(output_lags=0, input_lags=1)
    kind = {"gru": GRURegressor, "lstm": LSTMRegressor}[name]
    common = default_estimator().get_params(deep=False)
    shared = {key: value for key, value in common.items() if key in kind().get_params(deep=False)}
    return kind(**shared | {"max_epochs": epochs, "random_state": seed})


def scored(model: MotionModel, drive: np.ndarray, angles: np.ndarray) -> pd.DataFrame:
    """One row a drive: the gaits, and the errors of frequency and lags."""
    rows = []
    for level, d, y in zip(DRIVES, drive, angles, strict=True):
        wanted = rhythm(y[WARMUP:], RATE)
        try:
            found = rhythm(model.free_run(d, y[:WARMUP]))
        except FloatingPointError:
            rows.append((level, wanted.wave(BODY), "diverged", 1.0, 0.5))
            continue
        gap = np.abs(wrap_cycles(found.lags(BODY) - wanted.lags(BODY))).max()
        gait, error = found.wave(BODY), abs(found.frequency / wanted.frequency - 1)
        rows.append((level, wanted.wave(BODY), gait, error, 0.5 if np.isnan(gap) else gap))
    return pd.DataFrame(rows, columns=["drive", "gait", "found", "frequency", "lag"])


def one_seed(name: str, seed: int, epochs: int, keep: Path | None) -> MotionModel:
    """Train, or load what was kept, and print how the free runs do."""
    path = keep and keep / f"salamander_{name}_{seed}.safetensors"
    begin = time.perf_counter()
    if path and path.exists():
        model = load(path)
    else:
        data = load_salamander(24, seconds=40.0, rate=RATE, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = MotionModel(estimator(name, seed, epochs), rate=RATE).fit(data.iloc[:, :2], data.iloc[:, 2:14])
        if path:
            model.save(path)
    seconds = time.perf_counter() - begin
    table = scored(model, *truth())
    right = (table["gait"] == table["found"]).mean()
    good = ((table["frequency"] <= 0.02) & (table["lag"] <= 0.02) & (table["gait"] == table["found"])).mean()
    print(f"{name} seed {seed}, {seconds:.0f} s: right gait {right:.1%}, all three bars {good:.1%}; frequency "
          f"{table['frequency'].median():.2%} (worst {table['frequency'].max():.1%}), lags {table['lag'].median():.4f} "
          f"cycles (worst {table['lag'].max():.3f})", flush=True)  # fmt: skip
    if name == "linear":
        print(table.sort_values("drive").round(3).to_string(index=False))
    return model


def one_gait_each() -> None:
    """A linear state space on one gait alone: does its free run keep it?"""
    for level in (2.0, 4.0):
        frame = load_salamander(1, seconds=62.0, rate=RATE, drives=level, discard=15.0, random_state=3).loc[0]
        angles = frame.drop(columns=["drive_left", "drive_right", "gait"]).to_numpy(dtype=float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = MotionModel(LinearStateSpaceRegressor(order=2, random_state=0), rate=RATE).fit(None, angles[:1000])
        wanted, found = rhythm(angles[1050:], RATE), rhythm(model.free_run(None, angles[1000:1050], FREE))
        print(f"linear state space of order 2, drive {level} alone: {found.frequency:.4f} Hz (animal "
              f"{wanted.frequency:.4f}), lags {found.lags(BODY).round(3)}", flush=True)  # fmt: skip


def steered(model: MotionModel) -> None:
    """Which clamped neurons move frequency and turning in one direction only, over twice their range."""
    drive, angles = truth()
    swims = int(np.argmin(np.abs(DRIVES - 4.0)))
    for quantity in ("frequency", "turning"):
        options = {"drive": drive[swims], "start": angles[swims, :WARMUP], "steps": FREE, "joints": list(BODY)}
        ranked = steering_neurons(model, quantity, **options)
        monotone = ranked[ranked["monotone"]].sort_values("effect", ascending=False)
        print(
            f"{quantity} at drive {DRIVES[swims]:.2f}: {len(monotone)} of {len(ranked)} neurons move it monotonically"
        )
        print(monotone.head(5).round(3).to_string())
        best = steering_map(model, quantity, list(monotone.index[:2]), **options)
        print(best.values.round(3), "free", round(float(best.free), 3), flush=True)


def closed(model: MotionModel) -> None:
    """The limit cycle of the free run at three drives."""
    for level in (2.0, 4.0, 5.0):
        try:
            cycle = limit_cycle(model.autonomous([level, level]), dt=1 / RATE)
            print(
                f"drive {level}: {cycle}, {cycle.frequency:.4f} Hz, lags {cycle.lags(of=list(BODY)).numpy().round(3)}"
            )
        except ValueError as error:
            print(f"drive {level}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estimator", choices=["gru", "lstm", "linear"], default="gru")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--keep", type=Path, default=None)
    options = parser.parse_args()
    print(measure.machine())
    if options.estimator == "linear":
        one_gait_each()
    models = [one_seed(options.estimator, seed, options.epochs, options.keep) for seed in options.seeds]
    if options.estimator != "linear":
        steered(models[0])
        closed(models[0])


if __name__ == "__main__":
    main()

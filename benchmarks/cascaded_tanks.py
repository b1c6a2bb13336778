"""Cascaded Tanks: free run of GRU regressors over the test record, which see the level in its first 50 rows only.

    python benchmarks/cascaded_tanks.py [--seeds 0 1 2] [--validate]

Every network is trained on windows of the estimation record that are built as a test is: the pump voltage and its
exponential averages, and the level in the first 50 rows, which carry no loss: a warm-up run finds the state. It meets
every fourth row, for the tanks are slow; the four shifted records are run one by one. The simulation of a seed is the
mean of five networks, cut at the 10 V where the sensor ends. RMSE in volts from row 50 on.

``--validate`` fits the same without a part of the estimation record and scores that part: settings are chosen there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from measure import data_folder, machine

from seqdyn import GRURegressor
from seqdyn.metrics import rmse

KNOWN, WINDOW, STRIDE, EVERY, NETWORKS, SENSOR = 50, 300, 13, 4, 5, 10.0
MEMORIES = (10, 30, 100)
"""Rows over which the voltage is averaged."""

TRAINING: dict[str, Any] = {
    "hidden_size": 64, "dropout": 0.6, "skip": True, "linear_start": 1.0, "warmup": -(-KNOWN // EVERY),
    "optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 3e-3, "schedule": "cosine", "batch_size": 16,
    "max_epochs": 200, "tol": 0.0, "n_iter_no_change": 1000,
}  # fmt: skip

HELD_OUT = {
    "rows 700 to 1023": (slice(700, 1024), [slice(0, 700)]),
    "rows 340 to 689": (slice(340, 690), [slice(0, 340), slice(690, 1024)]),
    "rows 0 to 323": (slice(0, 324), [slice(324, 1024)]),
}

OFFICIAL = {"GRU": 0.396, "LSTM": 0.490, "poly-NARX": 0.413, "RNN": 0.543, "ARX": 0.685}
"""Test RMSE in free run, Champneys et al. (2024), arXiv 2405.10779."""


def inputs(record: np.ndarray, centre: float) -> np.ndarray:
    """One row a time: the level while it is known, whether it is, the voltage and its exponential averages."""
    known = np.arange(len(record)) < KNOWN
    voltage = pd.Series(record[:, 0])
    averages = [voltage.ewm(alpha=1 / memory, adjust=False).mean() for memory in MEMORIES]
    return np.column_stack([np.where(known, record[:, 1] - centre, 0.0), known, voltage, *averages])


def fit(records: list[np.ndarray], centre: float, seed: int) -> list[GRURegressor]:
    """Networks that differ in their random numbers alone."""
    X, y = [], []
    for record in records:
        for number, begin in enumerate(range(0, len(record) - WINDOW + 1, STRIDE)):
            window = record[begin : begin + WINDOW]
            X.append(inputs(window, centre)[number % EVERY :: EVERY])
            y.append(window[number % EVERY :: EVERY, 1])
    return [GRURegressor(random_state=NETWORKS * seed + k, **TRAINING).fit(X, y) for k in range(NETWORKS)]


def simulate(network: GRURegressor, record: np.ndarray, centre: float) -> np.ndarray:
    """The free run over a record: of its levels, the first 50 are seen."""
    X = inputs(record, centre)
    level = np.empty(len(X))
    for shift in range(EVERY):
        level[shift::EVERY] = network.predict(X[shift::EVERY])
    return np.minimum(level, SENSOR)


def score(records: list[np.ndarray], record: np.ndarray, seed: int) -> tuple[float, list[float]]:
    """RMSE of the mean of the networks, and of each alone."""
    centre = float(np.concatenate(records)[:, 1].mean())
    runs = [simulate(network, record, centre) for network in fit(records, centre, seed)]
    together, *alone = (rmse(record[KNOWN:, 1], run[KNOWN:]) for run in [np.mean(runs, axis=0), *runs])
    return together, alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--validate", action="store_true")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", "warmup=")  # the test allows no more than these 50 rows
    print(machine())
    table = pd.read_csv(data_folder() / "cascaded_tanks.csv")
    estimation, test = (table[[f"u{part}", f"y{part}"]].to_numpy(dtype=float) for part in ("Est", "Val"))
    parts = {"test record": (test, [estimation])}
    if chosen.validate:
        parts = {name: (estimation[out], [estimation[rows] for rows in kept]) for name, (out, kept) in HELD_OUT.items()}
    for name, (record, records) in parts.items():
        found = []
        for seed in chosen.seeds:
            begin = time.perf_counter()
            together, alone = score(records, record, seed)
            found.append(together)
            print(
                f"  {name}, seed {seed}: RMSE {together:.3f} V, its networks alone {np.round(alone, 3)}, "
                f"{time.perf_counter() - begin:.0f} s",
                flush=True,
            )
        print(f"  {name}: median {np.median(found):.3f} V, from {min(found):.3f} to {max(found):.3f}")
    if not chosen.validate:
        print("  official, one network: " + ", ".join(f"{name} {value:.3f}" for name, value in OFFICIAL.items()))


if __name__ == "__main__":
    main()

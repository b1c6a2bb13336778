"""Cascaded Tanks: the free run of recurrent regressors that begin as a linear state-space model.

    python benchmarks/cascaded_tanks.py [--seeds 0 1 2] [--validate]

The network sees the pump voltage alone. Its recurrence begins as the linear model identified on the same record
(``linear_start``), and is trained on the whole record. Of the test record the state is estimated from the first 50
rows; then it runs freely, cut at the 10 V where the sensor ends. RMSE in volts from row 50 on, of every network and of
the mean of five.

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

from seqdyn import ElmanRegressor, GRURegressor, LinearStateSpaceRegressor, LSTMRegressor
from seqdyn.metrics import rmse

KNOWN, NETWORKS, SENSOR = 50, 5, 10.0
TRAINING: dict[str, Any] = {
    "hidden_size": 16, "linear_start": LinearStateSpaceRegressor(order=3), "warmup": KNOWN, "learning_rate": 3e-3,
    "schedule": "cosine", "max_epochs": 300, "tol": 0.0, "n_iter_no_change": 1000,
}  # fmt: skip
MODELS = {"GRU": GRURegressor, "LSTM": LSTMRegressor, "Elman": ElmanRegressor}

HELD_OUT = {
    "rows 700 to 1023": (slice(700, 1024), [slice(0, 700)]),
    "rows 340 to 689": (slice(340, 690), [slice(0, 340), slice(690, 1024)]),
    "rows 0 to 323": (slice(0, 324), [slice(324, 1024)]),
}

OFFICIAL = {"GRU": 0.396, "LSTM": 0.490, "poly-NARX": 0.413, "RNN": 0.543, "ARX": 0.685}
"""Test RMSE in free run, Champneys et al. (2024), arXiv 2405.10779."""

Record = tuple[np.ndarray, np.ndarray]


def simulate(model: Any, record: Record) -> np.ndarray:
    """The free run over a record, from the state its first 50 rows show."""
    u, level = record
    start = model.estimate_state(u[:KNOWN], level[:KNOWN])
    return np.minimum(model.predict(u, initial_state=start), SENSOR)


def score(model: Any, records: list[Record], record: Record, seed: int) -> tuple[float, list[float]]:
    """RMSE of the mean of the networks, which differ in their random numbers alone, and of each."""
    fitted = [
        model(random_state=NETWORKS * seed + k, **TRAINING).fit(*map(list, zip(*records, strict=True)))
        for k in range(NETWORKS)
    ]
    runs = [simulate(network, record) for network in fitted]
    together, *alone = (rmse(record[1][KNOWN:], run[KNOWN:]) for run in [np.mean(runs, axis=0), *runs])
    return together, alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["GRU", "LSTM"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--validate", action="store_true")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", "warmup=")  # the protocol allows no more than these 50 rows
    print(machine())
    table = pd.read_csv(data_folder() / "cascaded_tanks.csv")
    estimation, test = ((table[[f"u{p}"]].to_numpy(float), table[f"y{p}"].to_numpy(float)) for p in ("Est", "Val"))
    parts: dict[str, tuple[Record, list[Record]]] = {"test record": (test, [estimation])}
    if chosen.validate:
        parts = {
            name: (
                (estimation[0][out], estimation[1][out]),
                [(estimation[0][rows], estimation[1][rows]) for rows in kept],
            )
            for name, (out, kept) in HELD_OUT.items()
        }
    for model in chosen.models:
        for name, (record, records) in parts.items():
            singles: list[float] = []
            for seed in chosen.seeds:
                begin = time.perf_counter()
                together, alone = score(MODELS[model], records, record, seed)
                singles += alone
                print(
                    f"  {model}, {name}, seed {seed}: RMSE {together:.3f} V, its networks alone {np.round(alone, 3)}, "
                    f"{time.perf_counter() - begin:.0f} s",
                    flush=True,
                )
            print(
                f"  {model}, {name}: one network, median of {len(singles)} {np.median(singles):.3f} V "
                f"({min(singles):.3f} to {max(singles):.3f})"
            )
    print(
        "  official, one network, test record: " + ", ".join(f"{name} {value:.3f}" for name, value in OFFICIAL.items())
    )


if __name__ == "__main__":
    main()

"""Should one long sequence be cut into chunks unless the user says so?

Whole: one optimizer step sees all of time (full BPTT). Chunks: a step sees 100 rows, the state is carried on
(``bptt_length=100``). Everything else is at its default; every task is one sequence, cut in time into a part to fit and
one to test, which is predicted with the state that leads there. Test R² and the seconds of the fit, seed by seed.

    python benchmarks/whole_or_chunks.py [--seeds 3] [--models LSTM,Elman] [--only echo,…]
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from measure import data_folder, machine
from scipy.signal import lfilter
from sklearn.metrics import r2_score

from seqdyn import ElmanRegressor, GRURegressor, LSTMRegressor
from seqdyn.datasets import load_sunspots

Array = np.ndarray[Any, Any]
MODELS = {"LSTM": LSTMRegressor, "GRU": GRURegressor, "Elman": ElmanRegressor}
PLANS: dict[str, dict[str, Any]] = {"whole": {}, "chunks": {"bptt_length": 100}}


def sine() -> tuple[Array, Array, int]:
    t = np.arange(0, 250, 0.1)
    return np.sin(t)[:, None], np.sin(t / 2), 2000


def echo(lag: int) -> tuple[Array, Array, int]:
    x = np.random.default_rng(0).normal(size=3000)
    return x[:, None], np.r_[np.zeros(lag), x[:-lag]], 2000


def slow_filter() -> tuple[Array, Array, int]:
    """A memory of about 200 steps."""
    x = np.random.default_rng(0).normal(size=3000)
    return x[:, None], lfilter([0.1], [1.0, -0.995], x), 2000


def narma() -> tuple[Array, Array, int]:
    """NARMA of order 10 (Atiya & Parlos 2000)."""
    u, y = np.random.default_rng(0).uniform(0, 0.5, 3000), np.zeros(3000)
    for t in range(10, 3000):
        y[t] = 0.3 * y[t - 1] + 0.05 * y[t - 1] * y[t - 10 : t].sum() + 1.5 * u[t - 10] * u[t - 1] + 0.1
    return u[:, None], y, 2000


def sunspots() -> tuple[Array, Array, int]:
    values = load_sunspots()["sunspots"].to_numpy()
    return values[:-1, None], values[1:], 240


def dryer() -> tuple[Array, Array, int]:
    u, y = np.loadtxt(data_folder() / "daisy" / "dryer.dat").T
    return u[:, None], y, 700


def heating() -> tuple[Array, Array, int]:
    _, u, y = np.loadtxt(data_folder() / "daisy" / "heating_system.dat").T
    return u[:, None], y, 550


def tanks() -> tuple[Array, Array, int]:
    """The estimation record, and the validation record behind it."""
    frame = pd.read_csv(data_folder() / "cascaded_tanks.csv")
    u, y = (np.concatenate([frame[f"{name}Est"], frame[f"{name}Val"]]) for name in "uy")
    return u[:, None], y, 1024


def transformer() -> tuple[Array, Array, int]:
    """Oil temperature from the six loads, 4,000 hours to fit."""
    frame = pd.read_csv(data_folder() / "etth1.csv").iloc[:5000]
    return frame.drop(columns=["date", "OT"]).to_numpy(), frame["OT"].to_numpy(), 4000


TASKS: dict[str, Any] = {
    "sin t → sin t/2": sine,
    "echo of 5": lambda: echo(5),
    "echo of 20": lambda: echo(20),
    "slow filter": slow_filter,
    "NARMA 10": narma,
    "sunspots": sunspots,
    "dryer": dryer,
    "heating system": heating,
    "cascaded tanks": tanks,
    "transformer": transformer,
}


def score(model: Any, X: Array, y: Array, first: int) -> tuple[float, float, int]:
    """Test R², the seconds of the fit, and its epochs."""
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[:first], y[:first])
    seconds = time.perf_counter() - begin
    return r2_score(y[first:], model.predict(X)[first:]), seconds, len(model.history_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default="LSTM,Elman")
    parser.add_argument("--only", default=",".join(TASKS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(machine())
    for task in arguments.only.split(","):
        X, y, first = TASKS[task]()
        for name in arguments.models.split(","):
            for plan, changes in PLANS.items():
                runs = [
                    score(MODELS[name](random_state=seed, **changes), X, y, first) for seed in range(arguments.seeds)
                ]
                scores, seconds, epochs = zip(*runs, strict=True)
                print(f"{task:20s} {first:5d} rows  {name:5s} {plan:6s}  R² " + " ".join(f"{r2:6.3f}" for r2 in scores)
                      + f"   {np.median(seconds):6.1f} s, {np.median(epochs):.0f} epochs", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

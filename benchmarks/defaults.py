"""What do estimators reach out of the box, with every parameter at its default?

* cylinder–bell–funnel (Saito 1994): 300 series of 128 steps, one of three classes each; test accuracy, beside a random
  forest on the same 128 numbers;
* sin t → sin t/2, t = 0, 0.1, …, 200: the period of the target is in no input; R² of the fit;
* echo: y_t = x_{t-5} of white noise, 2,000 rows to fit, 2,000 to test; test R².

    python benchmarks/defaults.py [--threads 2] [--only cbf,sine,echo]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from measure import machine
from sklearn.ensemble import RandomForestClassifier

from seqdyn import ElmanRegressor, GRUClassifier, GRURegressor, LSTMClassifier, LSTMRegressor

Array = np.ndarray[Any, Any]
BARS = {"cbf": 0.95, "sine": 0.99, "echo": 0.98}


def cylinder_bell_funnel(count: int, seed: int, steps: int = 128) -> tuple[Array, Array]:
    """Series (count, steps, 1), and their classes."""
    draws = np.random.default_rng(seed)
    series, classes, t = [], [], np.arange(steps)
    for _ in range(count):
        kind, begin = draws.integers(3), draws.integers(16, 33)
        end = begin + draws.integers(32, 97)
        shape = (1.0, (t - begin) / (end - begin), (end - t) / (end - begin))[kind]
        series.append((6 + draws.normal()) * ((t >= begin) & (t <= end)) * shape + draws.normal(size=steps))
        classes.append("cbf"[kind])
    return np.array(series)[:, :, None], np.array(classes)


def cbf() -> Iterator[tuple[str, int, float, float]]:
    """Five seeds of each classifier, and of a forest that knows no time."""
    (X, y), (unseen, truth) = cylinder_bell_funnel(300, 1), cylinder_bell_funnel(300, 99)
    for seed in range(5):
        for kind in (LSTMClassifier, GRUClassifier):
            yield kind.__name__, seed, *timed(kind(return_sequences=False, random_state=seed), (X, y), (unseen, truth))
        forest = RandomForestClassifier(random_state=seed)
        yield "RandomForestClassifier", seed, *timed(forest, (X[:, :, 0], y), (unseen[:, :, 0], truth))


def sine() -> Iterator[tuple[str, int, float, float]]:
    """Three seeds of each; whoever guesses the mean has 0."""
    t = np.arange(0, 200.05, 0.1)
    data = np.sin(t)[:, None], np.sin(t / 2)
    for seed in range(3):
        for kind in (LSTMRegressor, GRURegressor):
            yield kind.__name__, seed, *timed(kind(random_state=seed), data, data)


def echo() -> Iterator[tuple[str, int, float, float]]:
    """Three seeds of each."""
    x = np.random.default_rng(0).normal(size=4000)
    y = np.r_[np.zeros(5), x[:-5]]
    fitted, unseen = ((x[part, None], y[part]) for part in (slice(2000), slice(2000, None)))
    for seed in range(3):
        for kind in (LSTMRegressor, GRURegressor, ElmanRegressor):
            yield kind.__name__, seed, *timed(kind(random_state=seed), fitted, unseen)


def timed(model: Any, fitted: tuple[Array, Array], unseen: tuple[Array, Array]) -> tuple[float, float]:
    """The score, and the seconds of the fit."""
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(*fitted)
    seconds = time.perf_counter() - begin
    return float(model.score(*unseen)), seconds


TASKS: dict[str, Callable[[], Iterator[tuple[str, int, float, float]]]] = {"cbf": cbf, "sine": sine, "echo": echo}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(TASKS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(machine())
    for name in arguments.only.split(","):
        found: dict[str, list[tuple[float, float]]] = {}
        for model, _, score, seconds in TASKS[name]():
            found.setdefault(model, []).append((score, seconds))
        for model, runs in found.items():
            scores, seconds = zip(*runs, strict=True)
            peer = model.startswith("Random")
            verdict = "the peer" if peer else f"bar {BARS[name]}: {'met' if min(scores) >= BARS[name] else 'MISSED'}"
            print(f"{name:5s} {model:23s} " + " ".join(f"{score:.4f}" for score in scores)
                  + f"   {np.median(seconds):6.1f} s ({min(seconds):.1f}–{max(seconds):.1f})   {verdict}")  # fmt: skip


if __name__ == "__main__":
    main()

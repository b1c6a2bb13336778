"""When do recurrences that are parallel in time pay, and when is a GRU better?

Four tasks, every network with the same width, steps, batches and rates; what is printed is the error on fresh data,
median and range over the seeds, and the seconds of a step of training:

* echo: the input of 20 steps ago, at every step; x uniform, T = 200; mean squared error as a share of the variance;
* adding, T = 200: the sum of the two marked values, after the last step; mean squared error, chance 1/6;
* characters: the next character of Shakespeare; bits a character on the last tenth of the text, hidden size 128;
* ETTh1: all seven channels 24 hours ahead, from the hours so far; mean squared error in standardised units.

Gates start with memories of up to the length of the task (``("chrono", T)``), and the λ of an LRU near the unit circle,
at all angles for the echo of white noise, and at small ones for the adding problem. The last two tasks take all as it
comes. Networks of two layers have a residual.

    SEQDYN_DATA=… python benchmarks/parallel_recurrences.py [--task echo adding …] [--network GRU …] [--seeds 3]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from measure import data_folder, machine

import seqdyn
from seqdyn import GRURegressor, LanguageModel, LRURegressor, MinGRURegressor, MinLSTMRegressor

Array = np.ndarray[Any, Any]

STEPS, DELAY, HIDDEN, AHEAD = 200, 20, 32, 24
MONTH = 30 * 24
CHARACTERS, CHUNKS = 400_000, 250

GATED = {"GRU": GRURegressor, "MinGRU": MinGRURegressor, "MinLSTM": MinLSTMRegressor}
NETWORKS = [f"{name}, {layers}" for name in (*GATED, "LRU") for layers in ("one layer", "two layers")]
RINGS = {DELAY: {"r_min": 0.9, "r_max": 0.999}, STEPS: {"r_min": 0.9, "r_max": 0.999, "max_phase": math.pi / 10}}
"""Where the λ of an LRU start, by the length of the task."""


class Result(NamedTuple):
    """The error on fresh data, and the seconds of a step of training."""

    error: float
    seconds: float


def regressor(network: str, seed: int, memory: int | None, **recipe: Any) -> Any:
    """An estimator by the name of its network; ``memory`` is the length of the task."""
    name, layers = network.split(", ")
    deep = {"num_layers": 2, "residual": True} if layers == "two layers" else {}
    if name == "LRU":
        return LRURegressor(**recipe, **deep, **RINGS.get(memory, {}), random_state=seed)
    start = None if memory is None else ("chrono", memory)
    return GATED[name](**recipe, **deep, initialise=start, random_state=seed)


def timed(model: Any, X: Any, y: Any, steps: int) -> float:
    """Seconds of a step; a first one, which may compile, is not counted."""
    model.set_params(max_steps=1).fit(X, y)
    began = time.perf_counter()
    model.set_params(max_steps=steps).fit(X, y)
    return (time.perf_counter() - began) / steps


RECIPE: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "max_epochs": None,
    "batch_size": 32,
    "schedule": "cosine",
    "n_iter_no_change": 10**6,
}


def echo(network: str, seed: int) -> Result:
    """y_t = x_{t−20}, after the first 20."""

    def draw(count: int, seed: int) -> tuple[Array, Array]:
        x = np.random.default_rng(seed).uniform(size=(count, STEPS, 1))
        return x, np.roll(x[..., 0], DELAY, axis=1)

    X, y = draw(1000, 0)
    fresh_X, fresh_y = draw(200, 1)
    model = regressor(network, seed, DELAY, **RECIPE, learning_rate=5e-3, warmup=DELAY)
    seconds = timed(model, X, y, 1000)
    error = (model.predict(fresh_X) - fresh_y)[:, DELAY:]
    return Result(float(np.mean(error**2) * 12), seconds)


def adding(network: str, seed: int) -> Result:
    """Two of 200 values are marked."""

    def draw(count: int, seed: int) -> tuple[Array, Array]:
        generator = np.random.default_rng(seed)
        values, marks = generator.uniform(size=(count, STEPS)), np.zeros((count, STEPS))
        rows, half = np.arange(count), STEPS // 2
        first, second = (generator.integers(begin, begin + half, count) for begin in (0, half))
        marks[rows, first] = marks[rows, second] = 1
        return np.stack([values, marks], 2), values[rows, first] + values[rows, second]

    X, y = draw(2000, 0)
    fresh_X, fresh_y = draw(1000, 1)
    model = regressor(network, seed, STEPS, **RECIPE, learning_rate=5e-3, return_sequences=False)
    seconds = timed(model, X, y, 1500)
    return Result(float(np.mean((model.predict(fresh_X) - fresh_y) ** 2)), seconds)


def characters(network: str, seed: int) -> Result:
    """Bits a character of the last tenth of the text."""
    text = (data_folder() / "tinyshakespeare.txt").read_text(encoding="utf-8")[:CHARACTERS]
    split = len(text) * 9 // 10
    name, layers = network.split(", ")
    cell: Any = {"GRU": seqdyn.GRU, "MinGRU": seqdyn.MinGRU, "MinLSTM": seqdyn.MinLSTM, "LRU": rectified}[name]
    deep = {"num_layers": 2, "residual": True} if layers == "two layers" else {}
    model = LanguageModel(
        cell=cell,
        hidden_size=128,
        embedding_size=128,
        streams=32,
        max_epochs=None,
        max_steps=CHUNKS,
        random_state=seed,
        **deep,
    )
    began = time.perf_counter()
    model.fit(text[:split])
    seconds = (time.perf_counter() - began) / CHUNKS
    return Result(model.evaluate(text[split:])["bits_per_character"], seconds)


def rectified(inputs: int, hidden: int, generator: torch.Generator) -> seqdyn.LRU:
    """An LRU with a nonlinearity."""
    return seqdyn.LRU(inputs, hidden, output_activation="relu", generator=generator)


def etth1(network: str, seed: int) -> Result:
    """A day ahead: twelve months to learn from, four to be tested on."""
    frame = pd.read_csv(data_folder() / "etth1.csv", index_col="date").to_numpy()[: 20 * MONTH]
    fitted = frame[: 12 * MONTH]
    frame = (frame - fitted.mean(0)) / fitted.std(0)
    X, y = frame[:-AHEAD], frame[AHEAD:]
    recipe = RECIPE | {"window": 168, "stride": 24, "warmup": 48, "skip": True, "learning_rate": 2e-3}
    model = regressor(network, seed, None, **recipe)
    seconds = timed(model, X[: 12 * MONTH - AHEAD], y[: 12 * MONTH - AHEAD], 600)
    return Result(float(np.mean((model.predict(X) - y)[16 * MONTH :] ** 2)), seconds)


TASKS: dict[str, Callable[[str, int], Result]] = {
    "echo": echo,
    "adding": adding,
    "characters": characters,
    "etth1": etth1,
}


def row(network: str, results: list[Result]) -> str:
    """One line of the table."""
    errors = [result.error for result in results]
    seconds = 1000 * float(np.median([result.seconds for result in results]))
    spread = f"{min(errors):.3g} … {max(errors):.3g}"
    return f"| {network:<20} | {np.median(errors):>8.3g} | {spread:<19} | {seconds:>7.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # a budget that ends while the loss still falls is what is compared
    print(machine())
    for task in given.task:
        print(f"\n| {task:<20} | error    | of {given.seeds} seeds          | ms/step |\n|---|---|---|---|")
        for network in given.network:
            print(row(network, [TASKS[task](network, seed) for seed in range(given.seeds)]), flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Do gated networks solve the classical tasks of a long memory within ten minutes on one thread, and does Elman's?

* adding, T = 400 (Hochreiter & Schmidhuber 1997, 5.4): x_t = (u_t, m_t), u_t uniform in [0, 1], m_t = 1 at one step of
  each half; after the last step the sum of the two marked values. Always answering their mean, 1, costs 1/6;
* copy, T = 100 (Arjovsky, Shah & Bengio 2016): 10 symbols out of 8, T − 1 blanks, a delimiter, 10 blanks. The outputs
  are T + 10 blanks, then the 10 symbols. Who has forgotten them guesses one of 8: 10 ln 8 / (T + 20) nats a step;
* order (Hochreiter & Schmidhuber 1997, 5.6, task 6a): 100 to 110 letters, E the first, B the last, distractors out of
  a, b, c, d between them; X or Y stands at one of the steps 10 … 20 and again at one of 50 … 60, and the class is
  which of the four pairs it was.

Every network of a task has the same width, data, steps and rates. The gates start with memories of up to the length of
a sequence (``("chrono", T)``); an Elman network has no gate, and starts orthogonal, as it does by itself. Inputs are
standardised, as by default: what is rare, a marker or a symbol to be kept, is then large. Results are those on fresh
sequences. LSTM and GRU have to reach the bar with every seed, else the exit code is 1; ten minutes end a training.

    python benchmarks/toy_tasks.py [--task adding copy order] [--network LSTM GRU Elman] [--seeds 2] [--threads 1]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from measure import machine
from sklearn.exceptions import ConvergenceWarning

import seqdyn

Array = np.ndarray[Any, Any]

ADDING_STEPS = 400
COPY_STEPS, KEPT, SYMBOLS = 100, 10, 8
BLANK, DELIMITER = 0, SYMBOLS + 1
LETTERS = "abcdXYEB"
TEN_MINUTES = 600.0


@dataclass(frozen=True)
class Task:
    """One task: its data, what counts, and how all networks are trained.

    Attributes
    ----------
    draw : callable
        ``draw(count, generator) -> X, y``.
    score : callable
        ``score(model, X, y) -> results``: the first is held against the bar.
    units, chance : tuples of str
        Of every result.
    bar : float
        To be passed upwards where ``upwards``, else downwards.
    count, fresh : int
        Sequences to learn from, and unseen ones.
    kind : {"Regressor", "Classifier"}
    longest : float
        The longest memory a gate starts with, in steps.
    recipe : dict
        Parameters of the estimator.
    """

    draw: Callable[[int, np.random.Generator], tuple[Any, Array]]
    score: Callable[[Any, Any, Array], tuple[float, ...]]
    units: tuple[str, ...]
    chance: tuple[str, ...]
    bar: float
    upwards: bool
    count: int
    fresh: int
    kind: str
    longest: float
    recipe: dict[str, Any]

    def reached(self, result: float) -> bool:
        """Whether a result is beyond the bar."""
        return result >= self.bar if self.upwards else result < self.bar


def adding(count: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """X (count, 400, 2), values and markers, and y (count,), the sums."""
    values = generator.uniform(size=(count, ADDING_STEPS))
    half, row = ADDING_STEPS // 2, np.arange(count)
    first, second = generator.integers(0, half, count), generator.integers(half, ADDING_STEPS, count)
    markers = np.zeros_like(values)
    markers[row, first] = markers[row, second] = 1
    return np.stack([values, markers], axis=2), values[row, first] + values[row, second]


def copy_memory(count: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """X (count, 120, 10), one column a symbol, the blank and the delimiter, and y (count, 120), the symbols to say."""
    kept = generator.integers(1, SYMBOLS + 1, (count, KEPT))
    seen = np.full((count, COPY_STEPS + 2 * KEPT), BLANK)
    said = seen.copy()
    seen[:, :KEPT], seen[:, COPY_STEPS + KEPT - 1], said[:, -KEPT:] = kept, DELIMITER, kept
    return np.eye(SYMBOLS + 2)[seen], said


def temporal_order(count: int, generator: np.random.Generator) -> tuple[list[Array], Array]:
    """Sequences of 100 to 110 steps, one column a letter, and y (count,), the class of the pair."""
    pairs = generator.integers(0, 2, (count, 2))
    lengths, places = generator.integers(100, 111, count), generator.integers([10, 50], [21, 61], (count, 2))
    sequences = []
    for pair, place, length in zip(pairs, places, lengths, strict=True):
        letters = generator.integers(0, 4, length)
        letters[place] = LETTERS.index("X") + pair
        letters[[0, -1]] = LETTERS.index("E"), LETTERS.index("B")
        sequences.append(np.eye(len(LETTERS))[letters])
    return sequences, 2 * pairs[:, 0] + pairs[:, 1]


def squared_error(model: Any, X: Array, y: Array) -> tuple[float]:
    """The mean squared error."""
    return (float(np.mean((model.predict(X) - y) ** 2)),)


def accuracy(model: Any, X: Any, y: Array) -> tuple[float]:
    """The share of right classes."""
    return (float(np.mean(model.predict(X) == y)),)


def recall(model: Any, X: Array, y: Array) -> tuple[float, float]:
    """The share of right symbols among the last ten, and the mean nats of all steps."""
    probability = model.predict_proba(X)
    right = np.take_along_axis(probability, y[:, :, None], axis=2)[:, :, 0]
    correct = model.classes_[probability.argmax(axis=2)] == y
    return float(correct[:, -KEPT:].mean()), float(-np.log(np.maximum(right, 1e-30)).mean())


COMMON: dict[str, Any] = {
    "batch_size": 20,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "n_iter_no_change": 10**6,
    "max_time": TEN_MINUTES,
}
"""Of every training; nothing but the number of its epochs, or ten minutes, ends it."""

TASKS = {
    "adding": Task(
        draw=adding,
        score=squared_error,
        units=("MSE",),
        chance=(f"{1 / 6:.4f}",),
        bar=0.01,
        upwards=False,
        count=10_000,
        fresh=2000,
        kind="Regressor",
        longest=ADDING_STEPS,
        recipe=COMMON | {"return_sequences": False, "hidden_size": 32, "max_epochs": 4, "learning_rate": 5e-3},
    ),
    "copy": Task(
        draw=copy_memory,
        score=recall,
        units=("accuracy of the last 10", "nats a step"),
        chance=(f"{1 / SYMBOLS:.4f}", f"{KEPT * math.log(SYMBOLS) / (COPY_STEPS + 2 * KEPT):.4f}"),
        bar=0.99,
        upwards=True,
        count=20_000,
        fresh=1000,
        kind="Classifier",
        longest=COPY_STEPS + 2 * KEPT,
        recipe=COMMON | {"hidden_size": 128, "max_epochs": 10},
    ),
    "order": Task(
        draw=temporal_order,
        score=accuracy,
        units=("accuracy",),
        chance=(f"{1 / 4:.4f}",),
        bar=0.99,
        upwards=True,
        count=10_000,
        fresh=2000,
        kind="Classifier",
        longest=110,
        recipe=COMMON | {"return_sequences": False, "hidden_size": 16, "max_epochs": 4},
    ),
}

NETWORKS = ("LSTM", "GRU", "Elman")
GATED = ("LSTM", "GRU")


def estimator(task: Task, network: str, seed: int) -> Any:
    """An untrained estimator; the start of the gates is all that differs between the networks."""
    start = ("chrono", task.longest) if network in GATED else None
    return getattr(seqdyn, network + task.kind)(**task.recipe, initialise=start, random_state=seed)


def train(task: Task, network: str, seed: int) -> tuple[tuple[float, ...], float, float]:
    """Results on fresh sequences, and the seconds of the training: those that passed, and those of the processor."""
    X, y = task.draw(task.count, np.random.default_rng([seed, 0]))
    model = estimator(task, network, seed)
    begin, used = time.perf_counter(), time.process_time()
    model.fit(X, y)
    passed, used = time.perf_counter() - begin, time.process_time() - used
    return task.score(model, *task.draw(task.fresh, np.random.default_rng([seed, 1]))), passed, used


def line(*cells: str) -> None:
    """One row of a table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def table(name: str, networks: list[str], seeds: int) -> Iterator[tuple[str, bool]]:
    """Print the table of a task; gives every network and whether it reached the bar."""
    task = TASKS[name]
    sign = "≥" if task.upwards else "<"
    shown = ", ".join(f"{key} {value}" for key, value in task.recipe.items() if key != "n_iter_no_change")
    print(f"\n{name}: {task.count} sequences, gates start with memories up to {task.longest:g} steps; {shown}\n")
    line("network", "seed", *task.units, "reached", "seconds", "of the processor")
    print("|---" * (len(task.units) + 5) + "|")
    line("chance", "", *task.chance, "", "", "")
    line("bar", "", f"{sign} {task.bar:g}", *[""] * (len(task.units) - 1), "", f"≤ {TEN_MINUTES:g}", "")
    for network in networks:
        for seed in range(seeds):
            results, passed, used = train(task, network, seed)
            reached = task.reached(results[0])
            figures = [f"{result:.5f}" for result in results]
            line(network, str(seed), *figures, "yes" if reached else "no", f"{passed:.0f}", f"{used:.0f}")
            yield network, reached


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    arguments.add_argument("--network", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--threads", type=int, default=1)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is meant
    print(machine())
    outcomes = [
        (f"{network} at {name}", network, reached)
        for name in options.task
        for network, reached in table(name, options.network, options.seeds)
    ]
    missed = sorted({told for told, network, reached in outcomes if network in GATED and not reached})
    if any(network in GATED for network in options.network):
        print("\n" + (f"missed: {', '.join(missed)}" if missed else "every gated network reached every bar"))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

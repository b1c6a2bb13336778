"""Contestants take turns: the order within a round is drawn, and every round gives one ratio."""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]

Measured = dict[str, float]
"""What one turn of a contestant gives, by name: ``seconds`` and what else is counted."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
TURN = 0.02
"""Seconds that one turn takes at least: short calls are repeated, and their mean is counted."""


@dataclass(frozen=True)
class Comparison:
    """Two contestants, what is asked of them, and the bar; see :data:`benchmarks.speed.statistics.MEASURES`."""

    ours: str
    peer: str | None
    measure: str = "ratio"
    bar: float | None = None
    of: str = "seconds"


@dataclass(frozen=True)
class Case:
    """One line of a table: what is measured (``labels``), by whom, and what is known beside it (``facts``)."""

    labels: dict[str, Any]
    contestants: Mapping[str, Callable[[], Measured]]
    comparisons: tuple[Comparison, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Row:
    """A case that was measured: all rounds, by contestant and name."""

    labels: dict[str, Any]
    facts: dict[str, Any]
    comparisons: list[Comparison]
    rounds: dict[str, dict[str, list[float]]]

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Row:
        """A row as it is stored."""
        comparisons = [Comparison(**one) for one in stored["comparisons"]]
        return cls(stored["labels"], stored["facts"], comparisons, stored["rounds"])

    def stored(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


def interleave(case: Case, rounds: int, seed: int) -> Row:
    """Every contestant once a round, in an order that is drawn."""
    order = np.random.default_rng(seed)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in case.contestants}
    for _ in range(rounds):
        for name in order.permutation(list(case.contestants)):
            for key, value in case.contestants[name]().items():
                found[name].setdefault(key, []).append(float(value))
    return Row(case.labels, case.facts, list(case.comparisons), found)


def timed(call: Callable[[], object]) -> Callable[[], Measured]:
    """The call as a contestant: seconds and minor page faults of one, after three that are not counted."""
    for _ in range(2):
        call()
    begin = time.perf_counter()
    call()
    repeats = int(np.clip(TURN / (time.perf_counter() - begin), 1, 50))

    def turn() -> Measured:
        gc.collect(0)
        faults, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        for _ in range(repeats):
            call()
        seconds = time.perf_counter() - begin
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        return {"seconds": seconds / repeats, "faults": faults / repeats}

    return turn


def joined(parts: list[list[Row]]) -> list[Row]:
    """The same cases measured in several processes: their rounds one after another; facts are those of the first."""
    rows = parts[0]
    for other in parts[1:]:
        for row, again in zip(rows, other, strict=True):
            for contestant, columns in row.rounds.items():
                for key, values in columns.items():
                    values.extend(again.rounds[contestant][key])
    return rows


# -------------------------------------------------------------------- fresh processes


def fresh(
    function: Callable[..., Any], *, threads: int = 2, environment: Mapping[str, str] | None = None, **given: Any
) -> Any:
    """``function(**given)`` in a new process of this interpreter; arguments and answer are plain values."""
    name = f"{function.__module__}:{function.__qualname__}"
    surroundings = os.environ | dict.fromkeys(THREADS, str(threads)) | dict(environment or {})
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        command = [sys.executable, "-m", "benchmarks.speed.protocol", name, json.dumps(given), answer.name]
        done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name} failed in its own process:\n{done.stderr[-4000:]}")
        return json.load(answer)


def answer(name: str, given: str, path: str) -> None:
    """What the new process does."""
    module, function = name.split(":")
    found = getattr(importlib.import_module(module), function)(**json.loads(given))
    Path(path).write_text(json.dumps(found))


def peak_memory() -> float:
    """The most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    answer(*sys.argv[1:])

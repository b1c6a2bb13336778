"""How long does a whole ``fit`` take, beside neuralforecast, darts, skorch and a plain torch loop?

One layer of 64 units, 300 steps of 32 windows of 96 hours of one series made from a seed: the same windows, steps,
optimizer, rate, clipping and loss. Every library runs in a process of its own, in turns. Import, the first call and the
300 steps are timed apart. Where weights and order are shared as well (plain torch, skorch), loss curves must agree; the
held-out error is the mean squared error one step ahead on other data.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.speed.fits.task import KINDS, SECTION, STEPS, Last, Task, held_out
from benchmarks.speed.protocol import Case, Comparison, Measured, Row, fresh, interleave, peak_memory

LIBRARIES = ("seqdyn", "torch", "skorch", "darts", "neuralforecast")
LANES = {"default": False, "tuned": True}
BARS = {"GRU": 3.0, "Elman": 3.0, "LSTM": 1.2}
BARRED = ("darts", "neuralforecast")

SAME_MODEL = {"default": ("seqdyn", "torch"), "tuned": ("seqdyn", "torch", "skorch")}
"""Who starts from the same weights and sees the same windows in the same order."""

DIFFERS = {
    ("skorch", "default"): "another order of windows",
    ("darts", "default"): "another start and order of windows",
    ("darts", "tuned"): "another start and order of windows",
    ("neuralforecast", "default"): "not the same model: another head, its loss at the last hour",
    ("neuralforecast", "tuned"): "another start and choice of windows",
    ("neuralforecast", "tuned", "LSTM"): "another start and choice of windows, its loss at the last hour",
}
"""What is not the same in the others, by lane, and by model where that matters."""

AGREEMENT = 0.02
"""How far their losses may lie apart, as a part of the loss; means of thirty steps."""

TARGET = 1.1
"""The target error, in units of the held-out error of the plain loop after its last step."""


def measure(quick: bool, threads: int) -> list[Row]:
    """Rounds of all libraries; then the curves, once."""
    rounds = 2 if quick else 5
    there = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
    with tempfile.TemporaryDirectory() as folder:
        fresh(prepare, folder=folder)
        seeds = itertools.count()
        contestants = {name: partial(turn, name, folder, threads, seeds) for name in there}
        everything = interleave(Case({}, contestants), rounds, seed=0)
        curves = {name: fresh(watched, threads=threads, library=name, folder=folder) for name in there}
    return [row(everything, curves, kind, lane) for kind in KINDS for lane in LANES]


def prepare(folder: str) -> None:
    """What the libraries share."""
    importlib.import_module("benchmarks.speed.fits.with_seqdyn").prepare(folder)


def turn(library: str, folder: str, threads: int, seeds: Iterator[int]) -> Measured:
    """One process of one library."""
    return fresh(in_one_process, threads=threads, library=library, folder=folder, seed=next(seeds))


def in_one_process(library: str, folder: str, seed: int) -> Measured:
    """Seconds of the import, and of every kind and lane: of the first call, of two steps, and of 300 steps."""
    begin = time.perf_counter()
    train = quiet_train(library)
    found = {"import": time.perf_counter() - begin}
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # where some keep their logs
        pairs = [(kind, lane) for kind in KINDS for lane in LANES]
        for number in np.random.default_rng(seed).permutation(len(pairs)):
            kind, lane = pairs[number]
            task = Task.read(folder, kind)
            for name, steps in (("first", 2), ("seconds", STEPS)):
                begin = time.perf_counter()
                train(task, LANES[lane], steps, None)
                found[f"{kind} {lane} {name}"] = time.perf_counter() - begin
        os.chdir("/")
    return found | {"memory": peak_memory()}


def watched(library: str, folder: str) -> dict[str, dict[str, Any]]:
    """Losses and held-out errors by section, and the number of parameters, of every kind and lane."""
    train = quiet_train(library)
    windows, after = held_out()
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for kind, lane in itertools.product(KINDS, LANES):
            losses: list[float] = []
            errors: list[float] = []

            def watch(step: int, loss: float, last: Last, losses: Any = losses, errors: Any = errors) -> None:
                losses.append(loss)
                if len(losses) % SECTION == 0:
                    errors.append(float(np.mean((last(windows) - after) ** 2)))

            trained = train(Task.read(folder, kind), LANES[lane], STEPS, watch)
            means = np.reshape(losses, (-1, SECTION)).mean(axis=1).tolist()
            found[f"{kind} {lane}"] = {"losses": means, "errors": errors, "parameters": trained.parameters}
        os.chdir("/")
    return found


def quiet_train(library: str) -> Callable[..., Any]:
    """Import a library, with its warnings and its log turned off."""
    warnings.simplefilter("ignore")
    return importlib.import_module(f"benchmarks.speed.fits.with_{library}").train


def row(everything: Row, curves: dict[str, Any], kind: str, lane: str) -> Row:
    """One kind in one lane, of all that was measured."""
    own = {name: curve[f"{kind} {lane}"] for name, curve in curves.items()}
    rounds = {
        name: {key: columns[f"{kind} {lane} {key}"] for key in ("first", "seconds")}
        | {key: columns[key] for key in ("import", "memory")}
        for name, columns in everything.rounds.items()
    }
    comparisons = [
        Comparison("seqdyn", peer, bar=BARS[kind] if peer in BARRED else None) for peer in rounds if peer != "seqdyn"
    ]
    target = TARGET * own["torch"]["errors"][-1]
    for curve in own.values():
        reached = [step for step, error in enumerate(curve["errors"], start=1) if error <= target]
        curve["steps_to_target"] = reached[0] * SECTION if reached else None
    facts = {"curves": own, "target": target, "curves_apart": agreement(own, kind, lane)}
    return Row({"model": kind, "lane": lane}, facts, comparisons, rounds)


def agreement(curves: dict[str, Any], kind: str, lane: str) -> dict[str, float]:
    """How far loss curves lie from seqdyn's, as a part of it; those of the same model must be close."""
    ours = np.array(curves["seqdyn"]["losses"])
    apart = {name: float(np.abs(np.array(c["losses"]) / ours - 1).max()) for name, c in curves.items()}
    for name in SAME_MODEL[lane]:
        if name in apart and not apart[name] <= AGREEMENT:
            raise AssertionError(f"{kind}, {lane}: the losses of {name} lie {apart[name]:.1%} from seqdyn's.")
    return apart

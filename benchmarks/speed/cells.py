"""How long is one training step, forward and backward, of each cell, beside torch's own module?

No gradient to x, h_{-1} = 0, float32, a fixed random gradient of the output, gradients set to None before. Where the
model is torch's, weights are copied, and outputs and gradients must agree before anything is timed. MinGRU and LRU are
beside ``nn.GRU`` of the same size. The roof is the time that the matrix products alone take at the speed of a large
matrix product in the same process: 3 · 2 · B T G H (I + H) operations, G gates.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed.protocol import Case, Comparison, Measured, Row, fresh, interleave, joined, timed
from seqdyn import from_torch, scan


class Workload(NamedTuple):
    """Sizes of one batch."""

    batch: int
    time: int
    inputs: int
    hidden: int

    def products(self, gates: int) -> int:
        """Operations of the matrix products of one step, forward and backward."""
        return 3 * 2 * self.batch * self.time * gates * self.hidden * (self.inputs + self.hidden)

    def __str__(self) -> str:
        return f"B {self.batch}, T {self.time}, I {self.inputs}, H {self.hidden}"


class Kind(NamedTuple):
    """A cell, torch's module beside it, how many gates it has (None: it is another model), and a bar a workload."""

    peer: type[nn.RNNBase]
    gates: int | None
    bars: tuple[float, ...]
    module: str | None = None


WORKLOADS = (
    Workload(32, 64, 1, 32), Workload(32, 96, 7, 64), Workload(64, 96, 7, 128), Workload(64, 64, 65, 256),
    Workload(1, 1000, 1, 32),
)  # fmt: skip

KINDS = {
    "GRU": Kind(nn.GRU, 3, (4.5, 4, 2, 1.25, 50)),
    "Elman": Kind(nn.RNN, 1, (4, 3, 1.6, 1.3, 25)),
    "LSTM": Kind(nn.LSTM, 4, (0.95, 0.95, 1.1, 0.95, 0.95)),
    "MinGRU": Kind(nn.GRU, None, (8, 8, 5, 3, 100), "seqdyn.cells.min_gru"),
    "LRU": Kind(nn.GRU, None, (8, 8, 5, 3, 100), "seqdyn.cells.lru"),
}
"""The bars hold for two threads."""

PROCESSES, ROUNDS = 3, 15
TOLERANCES = {"output": 1e-5, "gradient": 1e-4}


def measure(quick: bool, threads: int) -> list[Row]:
    """So many threads and one, each in several fresh processes, in turns: the same code differs between processes."""
    processes, rounds = (1, 3) if quick else (PROCESSES, ROUNDS)
    found: dict[int, list[list[Row]]] = {number: [] for number in (threads, 1)}
    for process in range(processes):
        for number, parts in found.items():
            rows = fresh(in_one_process, threads=number, rounds=rounds, seed=process, own_threads=number)
            parts.append([Row.read(row) for row in rows])
    return [row for parts in found.values() for row in joined(parts)]


def in_one_process(rounds: int, seed: int, own_threads: int) -> list[dict[str, Any]]:
    """All cells on all workloads, as stored rows."""
    torch.set_num_threads(own_threads)
    rows = [interleave(case, rounds, seed).stored() for case in cases(WORKLOADS, own_threads, product_speed(), seed)]
    return rows


def cases(workloads: tuple[Workload, ...], threads: int, speed: float, seed: int) -> Iterator[Case]:
    """One case a cell and workload, in the order of the workloads' bars; cells that are not there are left out."""
    for name, kind in KINDS.items():
        build = builder(name, kind)
        for load, bar in zip(workloads, kind.bars, strict=False):
            if build is None:
                continue
            torch.manual_seed(seed)
            peer = kind.peer(load.inputs, load.hidden, batch_first=True)
            x = torch.randn(load.batch, load.time, load.inputs)
            ours, theirs = Step(build(peer, load), x), Step(peer, x)
            facts: dict[str, Any] = {}
            contestants = {"seqdyn": timed(ours), "torch": timed(theirs)}
            if kind.gates is not None:
                facts |= check_agreement(ours, theirs, f"{name}, {load}")
                contestants["seqdyn"] = beside_roof(contestants["seqdyn"], load.products(kind.gates) / speed)
            labels = {"cell": name, "workload": str(load), "threads": threads}
            yield Case(labels, contestants, (Comparison("seqdyn", "torch", bar=bar if threads == 2 else None),), facts)


def builder(name: str, kind: Kind) -> Callable[[nn.RNNBase, Workload], nn.Module] | None:
    """How the cell is made beside its peer; None where this version does not have it."""
    if kind.module is None:
        return lambda peer, load: from_torch(peer)
    try:
        cell = getattr(importlib.import_module(kind.module), name)
    except ImportError:
        return None
    return lambda peer, load: cell(load.inputs, load.hidden)


class Step:
    """One training step: set the gradients to None, go forward, go back from a fixed gradient of the output."""

    def __init__(self, module: nn.Module, x: Tensor):
        self.module, self.x = module, x
        with torch.no_grad():
            self.gradient = torch.randn(self.output().shape, generator=torch.Generator().manual_seed(1))

    def output(self) -> Tensor:
        """All outputs."""
        if isinstance(self.module, nn.RNNBase):
            return self.module(self.x)[0]
        return scan(self.module, self.x).output

    def __call__(self) -> None:
        for parameter in self.module.parameters():
            parameter.grad = None
        self.output().backward(self.gradient)


def check_agreement(ours: Step, theirs: Step, what: str) -> dict[str, float]:
    """The largest differences of outputs and gradients, relative to the largest value; they must be small."""
    ours(), theirs()
    pairs = [(ours.output(), theirs.output())]
    for name, own in ours.module.named_parameters():
        peer, _, part = ours.module.torch_names[name].split(" ")[0].partition("[")
        gradient = theirs.module.get_parameter(peer).grad
        pairs.append((own.grad, gradient[-len(own) :] if part else gradient))
    apart = [((own - peer).abs().max() / peer.abs().max()).item() for own, peer in pairs]
    found = {"output": apart[0], "gradient": max(apart[1:])}
    for name, value in found.items():
        if not value <= TOLERANCES[name]:
            raise AssertionError(
                f"{what}: the {name} differs from torch's by {value:.1e}, more than {TOLERANCES[name]}."
            )
    return {f"{name}_difference": value for name, value in found.items()}


def beside_roof(turn: Callable[[], Measured], seconds: float) -> Callable[[], Measured]:
    """Every turn with what the matrix products alone would take in this process."""
    return lambda: turn() | {"roof": seconds}


def product_speed() -> float:
    """Operations a second of a product of 1024 × 1024 matrices in float32: the fastest of twenty."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    seconds = []
    for _ in range(20):
        begin = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - begin)
    return 2 * 1024**3 / float(np.min(seconds))

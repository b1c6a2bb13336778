"""How fast are the Jacobians along a trajectory and the norms of their products, and how much memory do they need?

- ``closed``: all J_t of an LSTM and a GRU, H 64, T 200, B 8, float64, through ``Trajectory`` (its copy of the cell
  and its scan included), beside ``torch.func.vmap(jacrev(step))`` over the same steps, whose states are given. Bar: 5
  times faster, values equal to 1e-12.
- ``norms``: ``transition_norms`` of an LSTM, H 64, T 500, B 8, at dyadic lags, in a process of its own. Bar: 5 s with
  64 starts, 1 GB.
- ``long``: peak memory of ``transition_norms`` at 10⁴ and 10⁵ steps, H 16, each in a process of its own. Bar: it does
  not grow with the number of steps.

    python benchmarks/jacobians.py [--what closed norms long] [--rounds 9]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import machine, report, take_turns
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.dynamics.trajectory import Trajectory, float64_copy
from seqdyn.dynamics.transitions import transition_norms
from seqdyn.loops import scan
from seqdyn.state import flatten, unflatten

HIDDEN, BATCH = 64, 8
CELLS: dict[str, Callable[..., Cell]] = {"LSTM": LSTM, "GRU": GRU}


def driven(kind: str, hidden: int, batch: int, steps: int) -> tuple[Cell, Tensor]:
    """A fresh cell of three inputs, and noise."""
    generator = torch.Generator().manual_seed(0)
    return CELLS[kind](3, hidden, generator=generator), torch.randn(batch, steps, 3, generator=generator)


def walk(cell: Cell, x: Tensor) -> None:
    """All Jacobians, one stretch after the other; none is kept."""
    for stretch in Trajectory(cell, x).forward():
        stretch.jacobians()


def differentiated(cell: Cell, x: Tensor, chunk: int) -> Callable[[], Tensor]:
    """The peer: reverse-mode differentiation of the written step at every state, ``chunk`` steps at a time."""
    cell = float64_copy(cell)
    rows = x.double().flatten(0, 1)
    like = cell.initial_state(1)
    after = scan(cell, x.double(), record=lambda x, before, output, after: flatten(after)).record
    before = torch.cat([flatten(cell.initial_state(len(x))).unsqueeze(1), after[:, :-1]], 1).flatten(0, 1)

    def step(state: Tensor, x: Tensor) -> Tensor:
        return flatten(cell(x.unsqueeze(0), unflatten(state.unsqueeze(0), like))[1])[0]

    jacobian = torch.func.vmap(torch.func.jacrev(step), chunk_size=chunk)
    return lambda: jacobian(before, rows)


def closed(rounds: int) -> None:
    for kind in CELLS:
        cell, x = driven(kind, HIDDEN, BATCH, 200)
        ours = torch.cat([stretch.jacobians() for stretch in Trajectory(cell, x).forward()], 1).flatten(0, 1)
        peers = {f"vmap(jacrev), {chunk} at a time": differentiated(cell, x, chunk) for chunk in (32, 1600)}
        worst = max((run() - ours).abs().max().item() for run in peers.values())
        print(f"{kind}, H {HIDDEN}, T 200, B {BATCH}; largest difference {worst:.1e}")
        seconds = take_turns({"Trajectory": lambda: walk(cell, x), **peers}, rounds)  # noqa: B023
        for peer in peers:
            print(f"    {1 / report(seconds, 'Trajectory', peer, 1e3, 'ms'):.1f} times faster")


def norms(rounds: int) -> None:
    for options in ({"starts": 32}, {"starts": 64}, {"norm": "frobenius"}, {}):
        alone("LSTM", HIDDEN, BATCH, 500, options)


def long(rounds: int) -> None:
    for steps in (10**4, 10**5):
        alone("LSTM", 16, 1, steps, {"starts": 64})
    for steps in (10**4, 10**5):
        alone("LSTM", 16, 1, steps, {"norm": "frobenius"})


def alone(*what: object) -> None:
    """Measure in a process of its own: the peak of a process never falls."""
    code = f"import jacobians; jacobians.once(*{what!r})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=sys.path[0])


def once(kind: str, hidden: int, batch: int, steps: int, options: dict) -> None:
    """Print the time of one call and the peak memory of the process above its start."""
    cell, x = driven(kind, hidden, batch, steps)
    transition_norms(cell, x[:, :2])
    start, begin = peak(), time.perf_counter()
    found = transition_norms(cell, x, **options)
    seconds = time.perf_counter() - begin
    print(
        f"    {kind}, H {hidden}, T {steps}, B {batch}, {options or 'all starts'}: {seconds:.2f} s, peak {peak():.0f} "
        f"MiB, {peak() - start:.0f} above the start; {found.counts[0]} to {found.counts[-1]} starts"
    )


def peak() -> float:
    """Of resident memory, in MiB; unlike ``ru_maxrss`` it does not begin at the peak of the parent."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main() -> None:
    questions = {"closed": closed, "norms": norms, "long": long}
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--what", nargs="+", choices=questions, default=list(questions))
    arguments.add_argument("--rounds", type=int, default=9)
    options = arguments.parse_args()
    print(machine())
    for question in options.what:
        print(question)
        questions[question](options.rounds)


if __name__ == "__main__":
    main()

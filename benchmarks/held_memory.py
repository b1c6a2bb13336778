"""Does a memory that is held cost anything per step, backwards too?

A cell with a query at every step reads a memory of 64 rows of 128 numbers, the same at all steps: forward and backward
through T steps, the memory held (stride 0 in time), copied to every step, and in a bare torch loop that keeps it beside
the loop. The time of the held memory has to grow linearly in T, as the bare loop's does.

    python benchmarks/held_memory.py [--rounds 15]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from measure import machine, take_turns
from torch import Tensor

from seqdyn import Cell, hold, scan

BATCH, ROWS, WIDTH = 16, 64, 128
STEPS = (10, 20, 40, 80, 160, 320)


class Asked(NamedTuple):
    """A query (batch, width) and the memory (batch, rows, width)."""

    query: Tensor
    memory: Tensor


class Reader(Cell):
    """h_t = tanh(x_t + αᵀ M), α = softmax(M (x_t + h_{t-1}))."""

    input_shape = None

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.zeros(batch, self.hidden_size),)

    def forward(self, x: Asked, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        weights = torch.softmax((x.memory @ (x.query + state[0]).unsqueeze(2)).squeeze(2), 1)
        h = torch.tanh(x.query + (weights.unsqueeze(1) @ x.memory).squeeze(1))
        return h, (h,)


def both_ways(outputs: Tensor, *wanted: Tensor) -> None:
    torch.autograd.grad(outputs.sum(), wanted)


def contestants(time: int) -> dict[str, Callable[[], None]]:
    """The same computation three times."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(BATCH, time, WIDTH, generator=generator, requires_grad=True)
    memory = torch.randn(BATCH, ROWS, WIDTH, generator=generator, requires_grad=True)
    cell = Reader(WIDTH, WIDTH)

    def held() -> None:
        both_ways(scan(cell, Asked(query, hold(memory, time))).output, query, memory)

    def copied() -> None:
        both_ways(scan(cell, Asked(query, hold(memory, time).contiguous())).output, query, memory)

    def bare() -> None:
        h, outputs = torch.zeros(BATCH, WIDTH), []
        for x in query.unbind(1):
            weights = torch.softmax((memory @ (x + h).unsqueeze(2)).squeeze(2), 1)
            h = torch.tanh(x + (weights.unsqueeze(1) @ memory).squeeze(1))
            outputs.append(h)
        both_ways(torch.stack(outputs, 1), query, memory)

    return {"held": held, "copied": copied, "bare loop": bare}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    options = arguments.parse_args()
    print(machine())
    print(f"batch {BATCH}, memory ({ROWS}, {WIDTH}), forward and backward, median of {options.rounds} rounds")
    print("    T    held, ms  copied, ms  bare loop, ms  ms a step, held  held / bare (quartiles)")
    held = []
    for time in STEPS:
        seconds = take_turns(contestants(time), options.rounds)
        medians = {name: float(np.median(values)) * 1e3 for name, values in seconds.items()}
        low, ratio, high = np.quantile(seconds["held"] / seconds["bare loop"], [0.25, 0.5, 0.75])
        held.append(medians["held"])
        print(
            f"{time:5d} {medians['held']:11.2f} {medians['copied']:11.2f} {medians['bare loop']:14.2f} "
            f"{medians['held'] / time:16.3f}  {ratio:.3f} ({low:.3f} to {high:.3f})"
        )
    slope = np.polyfit(np.log(STEPS), np.log(held), 1)[0]
    print(f"exponent of the growth with T, held: {slope:.2f} (1 is linear)")


if __name__ == "__main__":
    main()

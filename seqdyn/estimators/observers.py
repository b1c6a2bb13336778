"""What an estimator watches while it is trained."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.dynamics.state_gradients import remembers, share_reached, sweep
from seqdyn.loops import scan
from seqdyn.state import detach, leaves, map_leaves, steps, take
from seqdyn.training.batches import Batch

FIRST = 1000
"""Steps before the first measurement."""

ROWS, STEPS = 4, 500
"""At most so many sequences, and steps at their end, are looked at."""


class ReachObserver:
    """How far back the loss of an epoch's first batch reaches: after 1,000, 4,000, … steps, and in the last epoch.

    A measurement costs about as much as ten steps of a fused network, so it is made seldom. It looks at a copy on the
    CPU, without dropout, so that nothing of the training changes: no gradient, no random number, no mode. An encoder of
    two directions has no past alone: it is left out.

    Attributes
    ----------
    found : dict of int to float
        The share of steps whose state receives a gradient, by epoch, see
        :func:`~seqdyn.dynamics.state_gradients.steps_reached`.
    """

    def __init__(self) -> None:
        self.found: dict[int, float] = {}
        self.epoch, self.steps, self.due = -1, 0, FIRST
        self.first: tuple[Batch, Tensor] | None = None

    def __call__(self, epoch: int, batch: Batch, network: nn.Module, output: Tensor) -> None:
        self.steps += 1
        if epoch == self.epoch:
            return
        assert output.grad is not None
        self.epoch, self.first = epoch, (batch, output.grad)
        if self.steps > self.due:
            self.due = 4 * self.steps
            self.measure(network)

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on, as a tree that files can hold."""
        first = None if self.first is None else _excerpt(*self.first)
        return {
            "found": dict(self.found),
            "counters": {"epoch": self.epoch, "steps": self.steps, "due": self.due},
            "first": None if first is None else (tuple(first[0]), first[1]),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.found, first = dict(state["found"]), state["first"]
        self.first = None if first is None else (Batch(*first[0]), first[1])
        vars(self).update(state["counters"])

    def measure(self, network: nn.Module) -> None:
        """Measure on the first batch of the epoch that is going on, or of the last one after the training."""
        if self.first is not None and self.epoch not in self.found and isinstance(network, Cell):
            cell = copy.deepcopy(network).to("cpu").eval().requires_grad_(False)
            self.found[self.epoch] = _reach(cell, *_excerpt(*self.first))


def _reach(cell: Cell, batch: Batch, slope: Tensor) -> float:
    """The share of the last steps of these rows that the gradient of the loss reaches."""
    size, time = leaves(batch.x)[0].shape[:2]
    head = max(time - STEPS, 0)
    state = cell.initial_state(size) if batch.lead is None else cell.primed(*batch.lead)
    if not remembers(state):
        return math.nan
    before, after = (
        Batch(steps(batch.x, *span), None, reset=steps(batch.reset, *span), mask=steps(batch.mask, *span))
        for span in ((0, head), (head, time))
    )
    with torch.no_grad():
        if head:
            state = scan(cell, before.x, state, reset=before.reset).state
    end = steps(slope, head)
    run = sweep(cell, after.x, lambda output: (output * end).sum(), detach(state), after.reset)
    return share_reached(run, after.mask)


def _excerpt(batch: Batch, slope: Tensor) -> tuple[Batch, Tensor]:
    """The longest few rows of a batch, and ∂C/∂y of them, on the CPU."""
    size, time = leaves(batch.x)[0].shape[:2]
    lengths = torch.full((size,), time) if batch.mask is None else batch.mask.sum(1).cpu()
    rows = lengths.argsort(descending=True, stable=True)[:ROWS]
    longest = int(lengths[rows].max())

    def taken(tree: Any) -> Any:
        return map_leaves(lambda leaf: leaf.detach().cpu(), take(tree, rows))

    seen = Batch(*(steps(taken(part), 0, longest) for part in (batch.x, None, None, batch.mask, batch.reset)))
    return seen._replace(lead=taken(batch.lead)), steps(taken(slope), 0, longest)

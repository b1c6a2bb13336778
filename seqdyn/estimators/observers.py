"""What an estimator watches while it is trained."""

from __future__ import annotations

import copy
import math
from typing import cast

import torch
from torch import Tensor, nn

from seqdyn.autoregression import Autoregressive
from seqdyn.cell import Cell
from seqdyn.dynamics.reach import reached, remembers, sweep
from seqdyn.scan import scan
from seqdyn.state import State, detach, map_leaves
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
        :func:`~seqdyn.dynamics.reach.steps_reached`.
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

    def measure(self, network: nn.Module) -> None:
        """Measure on the first batch of the epoch that is going on, or of the last one after the training."""
        if self.first is not None and self.epoch not in self.found and isinstance(network, Cell):
            cell = copy.deepcopy(network).to("cpu").eval().requires_grad_(False)
            self.found[self.epoch] = _reach(cell, *_excerpt(*self.first))


def _reach(cell: Cell, batch: Batch, slope: Tensor) -> float:
    """The share of the last steps of these rows that the gradient of the loss reaches."""
    head = max(batch.x.shape[1] - STEPS, 0)
    state = _start(cell, batch)
    if not remembers(state):
        return math.nan
    reset = batch.reset
    with torch.no_grad():
        if head:
            state = scan(cell, batch.x[:, :head], state, reset=None if reset is None else reset[:, :head]).state
    run = sweep(
        cell,
        batch.x[:, head:],
        lambda output: (output * slope[:, head:]).sum(),
        detach(state),
        None if reset is None else reset[:, head:],
    )
    return reached(run, None if batch.mask is None else batch.mask[:, head:])


def _start(cell: Cell, batch: Batch) -> State:
    if batch.lead is not None and isinstance(cell, Autoregressive):
        return cell.primed(*batch.lead)
    return cell.initial_state(len(batch.x))


def _excerpt(batch: Batch, slope: Tensor) -> tuple[Batch, Tensor]:
    """The longest few rows of a batch, and ∂C/∂y of them, on the CPU."""
    lengths = torch.full((len(batch.x),), batch.x.shape[1]) if batch.mask is None else batch.mask.sum(1).cpu()
    rows = lengths.argsort(descending=True, stable=True)[:ROWS]
    longest = int(lengths[rows].max())

    def taken(value: Tensor) -> Tensor:
        return value.detach()[rows.to(value.device), :longest].cpu()

    lead = None if batch.lead is None else tuple(part[rows.to(part.device)].cpu() for part in batch.lead)
    seen = batch._replace(
        x=taken(batch.x),
        mask=map_leaves(taken, batch.mask),
        reset=map_leaves(taken, batch.reset),
        lead=cast(tuple[Tensor, Tensor] | None, lead),
    )
    return seen, taken(slope)

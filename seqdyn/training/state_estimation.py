"""The state at the start of a record, from the record itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.levenberg_marquardt import descended
from seqdyn.loops import scan
from seqdyn.state import State, detach, flatten, map_leaves, take, unflatten

STEP = 1e-6
"""Of the differences in double precision that stand for derivatives."""
RUNS_AT_ONCE = 2**13
"""Runs side by side: every record needs one for each number in its state."""


class _FreeRuns(NamedTuple):
    """States (records, n), the weighted errors of the free runs from them (records, ·), and their sums of squares."""

    state: Tensor
    errors: Tensor
    error: Array


@torch.no_grad()
def estimate_state(
    cell: Cell, x: Any, y: Tensor, weight: Tensor, point: Callable[[Tensor], Tensor], iterations: int = 30
) -> State:
    """h_{-1} that makes the free run over each record fit best: argmin_h Σ_t w_t ‖ŷ_t(h) − y_t‖².

    Every record goes down by damped Gauss–Newton steps of its own, in double precision. A linear model makes this a
    least-squares problem, which the first step solves; for others it finds the optimum next to the cell's own initial
    state, which need not be a state the cell could reach by itself.

    Parameters
    ----------
    cell : Cell
    x : tree, leaves (batch, time, *inputs)
    y, weight : Tensor, shape (batch, time, targets)
        Weight 0 where a target is missing.
    point : callable
        From outputs to predictions ŷ (batch, time, targets).
    iterations : int
        At most so many steps.

    Returns
    -------
    State
        One row a series.

    References
    ----------
    Marquardt (1963), An Algorithm for Least-Squares Estimation of Nonlinear Parameters.
    """
    like = cell.initial_state(len(y))
    start = flatten(like)
    if not start.numel():  # no memory
        return like
    exact = copy.deepcopy(cell).double()
    some = max(1, RUNS_AT_ONCE // start.shape[1])
    data = map_leaves(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, (start, x, y, weight))
    groups = [take(data, slice(begin, begin + some)) for begin in range(0, len(y), some)]
    found = torch.cat([_estimated(exact, like, point, iterations, *group) for group in groups])
    return detach(unflatten(found.to(start), like))


def _estimated(
    cell: Cell,
    like: State,
    point: Callable[[Tensor], Tensor],
    iterations: int,
    state: Tensor,
    x: Any,
    y: Tensor,
    weight: Tensor,
) -> Tensor:
    """The states of some records after their steps."""
    like = map_leaves(lambda leaf: leaf.double(), like)
    unit = torch.eye(state.shape[1], dtype=state.dtype, device=state.device)

    def at(state: Tensor) -> _FreeRuns:
        rows = torch.arange(len(y), device=y.device).repeat(len(state) // len(y))
        output = scan(cell, take(x, rows), unflatten(state, like)).output
        errors = (weight[rows].sqrt() * (point(output) - y[rows])).flatten(1)
        return _FreeRuns(state, errors, (errors**2).sum(1).nan_to_num(torch.inf).cpu().numpy())

    def linearised(here: _FreeRuns) -> Callable[[Array], _FreeRuns]:
        moved = at((here.state + STEP * unit[:, None]).flatten(0, 1)).errors.view(len(unit), len(y), -1)
        jacobian = ((moved - here.errors) / STEP).permute(1, 2, 0).nan_to_num()
        square, slope = jacobian.mT @ jacobian, (jacobian.mT @ here.errors.unsqueeze(-1)).nan_to_num()
        size = square.diagonal(dim1=1, dim2=2).mean(1).clamp_min(torch.finfo(unit.dtype).tiny)

        def step(damping: Array) -> _FreeRuns:
            """δ = −(JᵀJ + λ s I)⁻¹ Jᵀ e for every record, with s the mean of JᵀJ's diagonal."""
            damped = square + (torch.as_tensor(damping).to(size) * size)[:, None, None] * unit
            return at(here.state - torch.linalg.solve(damped, slope).squeeze(-1))

        return step

    return descended(at(state), linearised, _better_of, iterations, trials=iterations).state


def _better_of(better: Array, new: _FreeRuns, old: _FreeRuns) -> _FreeRuns:
    """The new records where they are better."""
    rows = torch.as_tensor(better, device=new.state.device)[:, None]
    state, errors = torch.where(rows, new.state, old.state), torch.where(rows, new.errors, old.errors)
    return _FreeRuns(state, errors, np.where(better, new.error, old.error))

"""The state at the start of a record, from the record itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.loops import scan
from seqdyn.state import State, detach, flatten, map_leaves, take, unflatten

STEP = 1e-6
"""Of the differences in double precision that stand for derivatives."""
ROWS_AT_ONCE = 2**13
"""Runs side by side: every record needs one for each number in its state."""
LARGEST_DAMPING = 1e6
TOLERANCE = 1e-6
"""Relative gain of a step below which a record is done."""


class _Place(NamedTuple):
    """States (records, n), the weighted errors of their free runs (records, ·), and the sums of their squares."""

    state: Tensor
    errors: Tensor
    loss: Tensor


@torch.no_grad()
def estimate_state(
    cell: Cell,
    x: Any,
    y: Tensor,
    weight: Tensor,
    point: Callable[[Tensor], Tensor],
    iterations: int = 30,
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
    some = max(1, ROWS_AT_ONCE // start.shape[1])
    data = map_leaves(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, (start, x, y, weight))
    groups = [take(data, slice(begin, begin + some)) for begin in range(0, len(y), some)]
    found = torch.cat([_descended(exact, like, point, iterations, *group) for group in groups])
    return detach(unflatten(found.to(start), like))


def _descended(
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

    def at(state: Tensor, records: Tensor) -> _Place:
        rows = records.repeat(len(state) // len(records))
        output = scan(cell, take(x, rows), unflatten(state, like)).output
        errors = (weight[rows].sqrt() * (point(output) - y[rows])).flatten(1)
        return _Place(state, errors, (errors**2).sum(1).nan_to_num(torch.inf))

    open_ = torch.arange(len(y), device=y.device)
    place, damping = at(state, open_), torch.full((len(y),), 1e-3, dtype=state.dtype, device=state.device)
    found = state.clone()
    for _ in range(iterations):
        trial = at(place.state - _step(at, place, damping, open_), open_)
        better = trial.loss < place.loss
        gained = (place.loss - trial.loss) > TOLERANCE * place.loss
        damping = torch.where(better, damping / 10, damping * 4)
        place = _Place(*(_chosen(better, new, old) for new, old in zip(trial, place, strict=True)))
        found[open_] = place.state
        going = ~((better & ~gained) | (damping > LARGEST_DAMPING))
        open_, damping, place = open_[going], damping[going], _Place(*(part[going] for part in place))
        if not len(open_):
            break
    return found


def _step(at: Callable[[Tensor, Tensor], _Place], place: _Place, damping: Tensor, records: Tensor) -> Tensor:
    """(JᵀJ + λ s I)⁻¹ Jᵀ e for every record, with s the mean of JᵀJ's diagonal."""
    count, n = place.state.shape
    unit = torch.eye(n, dtype=place.state.dtype, device=place.state.device)
    moved = at((place.state + STEP * unit[:, None]).flatten(0, 1), records).errors.view(n, count, -1)
    jacobian = ((moved - place.errors) / STEP).permute(1, 2, 0).nan_to_num()
    square = jacobian.mT @ jacobian
    size = square.diagonal(dim1=1, dim2=2).mean(1).clamp_min(torch.finfo(unit.dtype).tiny)
    damped = square + (damping * size)[:, None, None] * unit
    return torch.linalg.solve(damped, (jacobian.mT @ place.errors.unsqueeze(-1)).nan_to_num()).squeeze(-1)


def _chosen(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """The new rows where they are better."""
    return torch.where(better.view(-1, *[1] * (new.dim() - 1)), new, old)

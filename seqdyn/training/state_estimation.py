"""The state at the start of a record, from the record itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.scan import scan
from seqdyn.state import State, detach, flatten, unflatten


def estimate_state(
    cell: Cell,
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    point: Callable[[Tensor], Tensor],
    iterations: int = 50,
) -> State:
    """h_{-1} that makes the free run over the record fit best: argmin_h Σ_t w_t ‖ŷ_t(h) − y_t‖².

    A linear model makes this a least-squares problem, which the quasi-Newton iteration solves; for others it finds the
    optimum next to the cell's own initial state, which need not be a state the cell could reach by itself.

    Parameters
    ----------
    cell : Cell
    x : Tensor, shape (batch, time, inputs)
    y, weight : Tensor, shape (batch, time, targets)
        Weight 0 where a target is missing.
    point : callable
        From outputs to predictions ŷ (batch, time, targets).
    iterations : int
        At most so many steps of L-BFGS (Liu & Nocedal 1989).

    Returns
    -------
    State
        One row a series.
    """
    like = cell.initial_state(len(x))
    if not flatten(like).numel():  # no memory
        return like
    start = flatten(like).detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [start], max_iter=iterations, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def error() -> Tensor:
        optimizer.zero_grad()
        predicted = point(scan(cell, x, unflatten(start, like)).output)
        loss = (weight * (predicted - y) ** 2).sum() / weight.sum()
        loss.backward(inputs=[start])
        return loss

    with torch.enable_grad():
        optimizer.step(error)
    return detach(unflatten(start, like))

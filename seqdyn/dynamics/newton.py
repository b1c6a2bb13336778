"""Newton's method for fixed points, damped by the size of its own steps, so that closed gates do not stop it.

    δ = −A⁻¹ F(h),   A = J − I,   F = f − h;   h ← h + λ δ   as soon as   ‖A⁻¹ F(h + λ δ)‖ ≤ (1 − λ/4) ‖δ‖

A gate that holds a unit scales its row of F and of A alike, and A⁻¹F does not change. What is measured by ‖F‖ stops
where gates close; what is measured by ‖A⁻¹F‖ goes through.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqdyn.dynamics.certificate import STEP_ROUNDING
from seqdyn.dynamics.held import Field
from seqdyn.dynamics.region import Box

STEP_HALVINGS = 8
"""Of λ, in one step, before a row is stuck."""

ARRIVED = 1e-13
"""A step below this, relative to 1 + max_i |h_i|, is rounding."""

Solve = Callable[[Tensor], Tensor]


def newton_roots(field: Field, begin: Tensor, box: Box, max_iterations: int) -> Tensor:
    """Run Newton's method from every row (m, n) inside the box; each row has its own damping λ and its own end.

    What comes back are roots, and where rows without one got stuck: the certificate tells them apart. Deuflhard (2004),
    Newton Methods for Nonlinear Problems, section 3.2: the natural monotonicity test.

    Examples
    --------
    A unit of which a gate keeps all but 1e-9 rests where its candidate does:

    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.dynamics.held import held_input
    >>> cell = GRU(1, 1)
    >>> for weight in cell.parameters():
    ...     _ = torch.nn.init.zeros_(weight)
    >>> with torch.no_grad():
    ...     cell.bias[1:] = torch.tensor([20.0, 0.5])
    >>> box = Box(torch.tensor([-1.0]).double(), torch.tensor([1.0]).double())
    >>> root = newton_roots(Field(cell, held_input(cell, None)), torch.tensor([[-0.9]]).double(), box, 50)
    >>> round(root.item(), 6), round(torch.tanh(torch.tensor(0.5)).item(), 6)
    (0.462117, 0.462117)
    """
    h, share = box.clamp(begin), torch.ones(len(begin), dtype=torch.float64)
    moving = torch.ones(len(begin), dtype=torch.bool)
    for _ in range(max_iterations):
        rows = moving.nonzero().squeeze(1)
        if not len(rows):
            break
        gap, solve = field.gap(h[rows]), _solver(field.slope(h[rows]))
        step = -solve(gap)
        size = step.norm(dim=1)
        h[rows], share[rows], better = _line_search(field, solve, h[rows], step, share[rows], box)
        far = size > ARRIVED * (1 + h[rows].abs().amax(1))
        moving[rows] = better & far
    return h


def _solver(slope: Tensor) -> Solve:
    """A⁻¹, its rows scaled to 1: those of units that are held would count for nothing as pivots.

    A unit that is held to all digits stays where it is, so that the others find their places beside it.
    """
    scale = slope.abs().amax(2, keepdim=True)
    stays = scale <= STEP_ROUNDING
    rows = torch.where(stays, torch.eye(slope.shape[1], dtype=slope.dtype), slope / scale)
    scale = torch.where(stays, 1.0, scale)
    factors, pivots, _ = torch.linalg.lu_factor_ex(rows)
    return lambda gap: torch.linalg.lu_solve(factors, pivots, gap.unsqueeze(2) / scale).squeeze(2)


def _line_search(
    field: Field, solve: Solve, h: Tensor, step: Tensor, share: Tensor, box: Box
) -> tuple[Tensor, Tensor, Tensor]:
    """The first of λ, λ/2, λ/4, … that shortens Newton's next step, the next λ to try, and whether one was found."""
    size, better = step.norm(dim=1), torch.zeros(len(h), dtype=torch.bool)
    for _ in range(STEP_HALVINGS):
        tried = box.clamp(h + share.unsqueeze(1) * step)
        left = solve(field.gap(tried)).norm(dim=1)
        good = ~better & (left <= (1 - share / 4) * size)
        h, better = torch.where(good.unsqueeze(1), tried, h), better | good
        share = torch.where(better, share, share / 2)
        if better.all():
            break
    return h, torch.where(better, 4 * share, share).clamp_max(1.0), better

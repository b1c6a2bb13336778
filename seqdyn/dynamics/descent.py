"""Search for fixed points: Levenberg–Marquardt steps on f(x*, h) − h, then Newton's."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.dynamics.held import Field
from seqdyn.dynamics.region import Box


def damped_descent(
    field: Field, begin: Tensor, tolerance: float, max_iterations: int, box: Box | None = None
) -> Tensor:
    """Minimise ‖f(x*, h) − h‖² from every row by Levenberg–Marquardt steps inside the box; rows that converged stay."""
    h, damping = begin.clone(), torch.full((len(begin),), 1e-3, dtype=torch.float64)
    cost = cost_of(field.gap(h))
    moving = cost.isfinite()
    for _ in range(max_iterations):
        rows = moving.nonzero().squeeze(1)
        if not len(rows):
            break
        step = _damped_step(field, h[rows], damping[rows])
        tried = h[rows] + step if box is None else box.clamp(h[rows] + step)
        value = cost_of(field.gap(tried))
        better = value < cost[rows]
        h[rows] = torch.where(better.unsqueeze(1), tried, h[rows])
        cost[rows] = torch.where(better, value, cost[rows])
        damping[rows] = torch.where(better, damping[rows] / 10, damping[rows] * 10).clamp_min(1e-14)
        moving[rows] = _goes_on(step, h[rows], cost[rows], damping[rows], tolerance)
    return _newton_polished(field, h)


def _goes_on(step: Tensor, h: Tensor, cost: Tensor, damping: Tensor, tolerance: float) -> Tensor:
    """Whether a row has neither converged to a fixed point nor stopped where no step helps."""
    size = 1 + h.abs().amax(1)
    still = (step.abs().amax(1) < 1e-12 * size) | (damping > 1e12)
    return (cost > (0.1 * tolerance * size) ** 2 / 2) & ~still


def _damped_step(field: Field, h: Tensor, damping: Tensor) -> Tensor:
    """δ = −(AᵀA + μ D)⁻¹ Aᵀ F with F = f − h, A = J − I, and D the mean square of A's columns."""
    slope = field.slope(h)
    normal = slope.mT @ slope
    load = damping * normal.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    loaded = normal + torch.diag_embed(load.unsqueeze(1).expand(-1, field.width))
    step, _ = torch.linalg.solve_ex(loaded, slope.mT @ field.gap(h).unsqueeze(2))
    return -step.squeeze(2)


def _newton_polished(field: Field, h: Tensor) -> Tensor:
    """A few plain Newton steps, δ = −A⁻¹F, as long as they help: they do not square the condition of A."""
    for _ in range(5):
        slope, gap = field.slope(h), field.gap(h)
        step, _ = torch.linalg.solve_ex(slope, gap.unsqueeze(2))
        tried = h - step.squeeze(2)
        better = cost_of(field.gap(tried)) < cost_of(gap)
        if not better.any():
            break
        h = torch.where(better.unsqueeze(1), tried, h)
    return h


def cost_of(gap: Tensor) -> Tensor:
    """q = ½ ‖F‖²."""
    return gap.square().sum(1) / 2

"""Certify fixed points: by the size of Newton's step in the directions that rounding does not hide.

    δ = −(J − I)⁻¹ (f(h) − h)

Where a gate holds a unit, z → 1, f(h) − h and J − I both carry the factor 1 − z: the state moves little wherever
it is. Newton's step does not know this factor. It is small near a fixed point; and where a second one is far smaller
than the first, there is a fixed point.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STEP_ROUNDING = 8 * torch.finfo(torch.float64).eps
"""How well f_i(h) − h_i is known, relative to 1 + |h_i|: it is the difference of two numbers of this size."""

CERTIFIED = 1e-6
"""A fixed point is this near, relative to 1 + max_i |h_i|."""

CONTRACTION = 0.25
"""What may be left of Newton's step: at a double root, the worst that is one, it is this."""

UNSEEN = 32.0
"""So many roundings may stand in a direction along which f(h) − h has no slope."""


def newton_steps(h: Tensor, gap: Tensor, jacobian: Tensor) -> Tensor:
    """The size of Newton's step at every row, max_i |δ_i|, (m,): how far away the fixed point is.

    It is inf where there is no step: f(h) − h is not 0 in a direction in which it does not change. Along a line of
    fixed points, or what cannot be told from one because 1 − z is not above the rounding error, f(h) − h says nothing:
    these directions count only if nothing but rounding stands in them.

    Examples
    --------
    A unit of which a gate keeps all but a millionth moves by 1e-6 a step, but its fixed point, 0, is 1 away:

    >>> h, kept = torch.ones(1, 1).double(), 1 - 1e-6
    >>> round(float(newton_steps(h, kept * h - h, kept * torch.ones(1, 1, 1).double())), 6)
    1.0
    """
    blur, slope = _in_roundings(h, jacobian)
    gap = gap / blur
    inverse, _ = torch.linalg.inv_ex(slope)
    sizes = (inverse @ gap.unsqueeze(2)).abs().amax((1, 2))
    blind = unresolved(h, jacobian)
    sizes[blind] = _pseudo(slope[blind], gap[blind], CERTIFIED * _size(h[blind]))
    return sizes


def contracts(gap_at: Callable[[Tensor], Tensor], h: Tensor, gap: Tensor, jacobian: Tensor) -> Tensor:
    """Whether Newton's step leads to a fixed point, (m,): a second one, of the same slope, is at most a quarter of it.

    For rows whose fixed point rounding does not hide (:func:`unresolved`). True also where nothing but rounding is
    left, False where f(h) − h almost vanishes and turns back. Kantorovich's theorem, as in Deuflhard (2004), Newton
    Methods for Nonlinear Problems, theorem 2.1: with h₀ ≤ ½ the second step is at most h₀/2 of the first.

    Examples
    --------
    h ← h + h² + 1e-13 has no fixed point; from 5e-7 on Newton's step is short, and leads to no end:

    >>> h = torch.tensor([[5e-7]], dtype=torch.float64)
    >>> gap, jacobian = h**2 + 1e-13, (1 + 2 * h).unsqueeze(2)
    >>> certified(h, newton_steps(h, gap, jacobian)).tolist()
    [True]
    >>> contracts(lambda h: h**2 + 1e-13, h, gap, jacobian).tolist()
    [False]
    """
    blur, slope = _in_roundings(h, jacobian)
    inverse, _ = torch.linalg.inv_ex(slope)
    first = (inverse @ (gap / blur).unsqueeze(2)).squeeze(2)
    second = (inverse @ (gap_at(h - first) / blur).unsqueeze(2)).squeeze(2)
    rounding = inverse.abs().sum(2).amax(1)
    return second.abs().amax(1) <= CONTRACTION * first.abs().amax(1) + rounding


def unresolved(h: Tensor, jacobian: Tensor) -> Tensor:
    """Whether rounding leaves a fixed point at h unknown by more than 1e-6 · (1 + max_i |h_i|), (m,) bool."""
    inverse, failed = torch.linalg.inv_ex(_in_roundings(h, jacobian)[1])
    reach = inverse.abs().sum(2).amax(1)
    return (failed != 0) | ~(reach <= CERTIFIED * _size(h))


def certified(h: Tensor, steps: Tensor) -> Tensor:
    """Whether Newton's step is small enough for a fixed point, (m,) bool."""
    return steps <= CERTIFIED * _size(h)


def _in_roundings(h: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """The rounding of f(h) − h, (m, n), and J − I with every row in units of it."""
    blur = STEP_ROUNDING * (1 + h.abs())
    return blur, (jacobian - torch.eye(h.shape[1], dtype=h.dtype)) / blur.unsqueeze(2)


def _size(h: Tensor) -> Tensor:
    return 1 + h.abs().amax(1)


def _pseudo(slope: Tensor, gap: Tensor, width: Tensor) -> Tensor:
    """The size of the step in the directions known to ``width``; inf if the gap in the others is more than rounding."""
    left, values, right = torch.linalg.svd(slope)
    along = (left.mT @ gap.unsqueeze(2)).squeeze(2)
    seen = values * width.unsqueeze(1) > 1
    step = (right.mT @ torch.where(seen, along / values, 0.0).unsqueeze(2)).squeeze(2)
    drifts = (torch.where(seen, 0.0, along).abs() > UNSEEN).any(1)
    return torch.where(drifts, torch.inf, step.abs().amax(1))

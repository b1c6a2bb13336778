"""Diagonal recurrences, h_t = a_t ∘ h_{t-1} + b_t, with their exact adjoint.

No channel sees another, and h enters by a product alone. So the gradients are a recurrence of the same kind, backwards
in time. With g_t the gradient by h_t and d_t that by h_t in total,

    d_t = g_t + ā_{t+1} ∘ d_{t+1},   ∂L/∂b_t = d_t,   ∂L/∂a_t = d_t ∘ h̄_{t-1},   ∂L/∂h_{-1} = ā_0 ∘ d_0,

with ā the complex conjugate. On the CPU one compiled loop runs through time, over all rows and channels at once. Where
that does not apply, as on a GPU, a tree of products runs in parallel in time: two neighbouring steps make one,

    h_t = (a_t ∘ a_{t-1}) ∘ h_{t-2} + (a_t ∘ b_{t-1} + b_t),

so that half as many are left, log₂ T times. It divides by nothing: any |a| ≤ 1 is safe, 0 included.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.kernels.memory import recycled
from seqdyn.kernels.through_time import NO_MASK, run_rows, unfit
from seqdyn.kernels.transforms import gradient_with_history, transformed

STEP_COST = 32
"""Multiplications of a product of matrices that take as long as one number of one step, which waits for memory."""


def diagonal_recurrence(factor: Tensor, drive: Tensor, h: Tensor, mask: Tensor | None = None) -> Tensor:
    """All states h_t = a_t ∘ h_{t-1} + b_t (batch, time, channels), for real or complex numbers of one dtype.

    Parameters
    ----------
    factor : Tensor, shape (batch, time, channels), or (channels,)
        a; constant where it has no time.
    drive : Tensor, shape (batch, time, channels)
        b.
    h : Tensor, shape (batch, channels)
        h_{-1}.
    mask : Tensor of bool, shape (batch, time), optional
        Where False, h_t = h_{t-1}.

    Examples
    --------
    The sum so far, and one that forgets:

    >>> ones, start = torch.ones(1, 4, 2), torch.zeros(1, 2)
    >>> diagonal_recurrence(torch.tensor([1.0, 0.5]), ones, start)[0].T.tolist()
    [[1.0, 2.0, 3.0, 4.0], [1.0, 1.5, 1.75, 1.875]]
    """
    if transformed():
        return _states(factor, drive, h, mask)
    states: Tensor = _DiagonalRecurrence.apply(factor, drive, h, mask)
    return states


def diagonal_path(factor: Tensor, drive: Tensor, h: Tensor) -> str:
    """What runs the recurrence on these tensors, in words that follow "it runs".

    Examples
    --------
    >>> value = torch.zeros(1, 1, 1, dtype=torch.bfloat16)
    >>> diagonal_path(value, value, value[0])
    'as a tree, parallel in time: x is bfloat16, and compiled loops know float32 and float64'
    """
    reason = _unfit(factor, drive, h)
    return "in compiled loops" if reason is None else f"as a tree, parallel in time: {reason}"


def _unfit(factor: Tensor, drive: Tensor, h: Tensor) -> str | None:
    """Why compiled loops cannot run on these tensors; None where they can."""
    if factor.dtype == drive.dtype == h.dtype and drive.is_complex():
        factor, drive, h = (torch.view_as_real(value.resolve_conj()) for value in (factor, drive, h))
    return unfit(drive, factor, h)


class _DiagonalRecurrence(torch.autograd.Function):
    """From a, b and h_{-1} to all h_t."""

    @staticmethod
    def forward(ctx: Any, factor: Tensor, drive: Tensor, h: Tensor, mask: Tensor | None) -> Tensor:
        looping = _unfit(factor, drive, h) is None
        states = (_looped_states if looping else _states)(factor, drive, h, mask)
        ctx.save_for_backward(factor, drive, h, states)
        ctx.mask, ctx.looping = mask, looping
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        factor, drive, h, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *gradient_with_history(partial(_states, mask=ctx.mask), [factor, drive, h], gradients[0]), None
        adjoint = _looped_adjoint if ctx.looping else _adjoint
        return *adjoint(gradients[0], factor, h, ctx.mask, states), None


# ---------------------------------------------------------------- in compiled loops


def _looped_states(factor: Tensor, drive: Tensor, h: Tensor, mask: Tensor | None) -> Tensor:
    """All h_t."""
    from seqdyn.kernels.diagonal_loops import diagonal_forward

    states = recycled(tuple(drive.shape), drive.dtype)
    run_lanes(diagonal_forward, states, _in_time(factor), drive, h, present_steps(mask), states)
    return states


def _looped_adjoint(
    gradient: Tensor, factor: Tensor, h: Tensor, mask: Tensor | None, states: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by a, b and h_{-1}."""
    from seqdyn.kernels.diagonal_loops import diagonal_backward

    by_drive, carry = recycled(tuple(states.shape), states.dtype), h.new_zeros(h.shape)
    factors = _in_time(factor)
    one = factors.shape[1] == 1  # a sum, which starts at 0
    by_factor = h.new_zeros(len(h), 1, h.shape[1]) if one else recycled(tuple(states.shape), states.dtype)
    own = gradient, factors, h, present_steps(mask), states, by_drive, by_factor, carry
    run_lanes(diagonal_backward, states, *own)
    return by_factor.sum((0, 1)) if factor.dim() == 1 else by_factor, by_drive, carry


def run_lanes(loop: Callable[..., None], states: Tensor, *values: Any) -> None:
    """Call ``loop(first, last, *values)`` on all lanes, of which threads have equal parts."""
    batch, _, channels = states.shape
    own = [value.resolve_conj() if isinstance(value, Tensor) else value for value in values]
    run_rows(loop, (batch * channels, STEP_COST * states.numel()), *own)


def _in_time(factor: Tensor) -> Tensor:
    """a with an axis for rows and one for time."""
    return factor[None, None] if factor.dim() == 1 else factor


def present_steps(mask: Tensor | None) -> Any:
    """A mask as the loops take it."""
    return NO_MASK if mask is None else np.ascontiguousarray(mask.cpu().numpy())


# ---------------------------------------------------------------- in torch, as a tree


def _states(factor: Tensor, drive: Tensor, h: Tensor, mask: Tensor | None) -> Tensor:
    """All h_t, by operations that autograd records."""
    factor = _in_time(factor)
    if mask is not None:
        there = mask[..., None]
        factor, drive = torch.where(there, factor, 1.0), torch.where(there, drive, 0.0)
    if drive.shape[1] == 0:
        return drive
    first = drive[:, :1] + factor[:, :1] * h[:, None]
    return _tree(factor, torch.cat([first, drive[:, 1:]], 1))


def _tree(a: Tensor, b: Tensor) -> Tensor:
    """All h_t from h_{-1} = 0: those at odd t are of half as many steps, and those between are one step further."""
    time, constant = b.shape[1], a.shape[1] == 1
    if time == 1:
        return b
    early, late = (a, a) if constant else (a[:, 0::2], a[:, 1::2])
    pairs = time // 2
    odd = _tree(late * early[:, :pairs], late * b[:, 0 : 2 * pairs : 2] + b[:, 1::2])
    between = (early if constant else early[:, 1:]) * odd[:, : (time - 1) // 2] + b[:, 2::2]
    even = torch.cat([b[:, :1], between], 1)
    joined = torch.stack([even[:, :pairs], odd], 2).flatten(1, 2)
    return joined if time % 2 == 0 else torch.cat([joined, even[:, -1:]], 1)


def _adjoint(
    gradient: Tensor, factor: Tensor, h: Tensor, mask: Tensor | None, states: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by a, b and h_{-1}: the same tree, backwards in time."""
    there = None if mask is None else mask[..., None]
    a = _in_time(factor).conj() if there is None else torch.where(there, _in_time(factor).conj(), 1.0)
    later = a if a.shape[1] == 1 else torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1)
    errors = _tree(later.flip(1), gradient.flip(1)).flip(1)
    by_h = (a[:, :1] * errors[:, :1])[:, 0]
    by_drive = errors if there is None else torch.where(there, errors, 0.0)
    by_factor = by_drive * torch.cat([h[:, None], states[:, :-1]], 1).conj()
    return by_factor.sum((0, 1)) if factor.dim() == 1 else by_factor, by_drive, by_h

"""A moving average with a gate, h_t = h_{t-1} + z_t ∘ (n_t − h_{t-1}), with its gradient written out.

    z_t = σ(s_t):   a diagonal recurrence with a_t = 1 − z_t and b_t = z_t ∘ n_t

With d_t the gradient by h_t in total, backwards in time,

    ∂L/∂n_t = d ∘ z,   ∂L/∂s_t = d ∘ (n_t − h_{t-1}) ∘ z ∘ (1 − z),   d_{t-1} = ∂L/∂h_{t-1} + d ∘ (1 − z)

In compiled loops the gate opens where it is used, and a and b are never written down.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqdyn.kernels.diagonal import diagonal_recurrence, present_steps, run_lanes
from seqdyn.kernels.memory import recycled
from seqdyn.kernels.through_time import fits, wants_gradient
from seqdyn.kernels.transforms import gradient_with_history, transformed


def gated_recurrence(sums: Tensor, h: Tensor, mask: Tensor | None = None) -> Tensor:
    """All states h_t (batch, time, channels).

    Parameters
    ----------
    sums : Tensor, shape (batch, time, 2 · channels)
        s and n, side by side.
    h : Tensor, shape (batch, channels)
        h_{-1}.
    mask : Tensor of bool, shape (batch, time), optional
        Where False, h_t = h_{t-1}.

    Examples
    --------
    Half of what is new, at every step:

    >>> gated_recurrence(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), torch.zeros(1, 1)).flatten().tolist()
    [0.5, 0.75]
    """
    if transformed() or not fits(sums, h):
        return _by_diagonal(sums, h, mask)
    if wants_gradient(sums, h):
        states: Tensor = _GatedRecurrence.apply(sums, h, mask)
        return states
    return _gated_states(sums, h, mask, steps=1)[0]


def _by_diagonal(sums: Tensor, h: Tensor, mask: Tensor | None) -> Tensor:
    """The same as a diagonal recurrence, recorded by autograd."""
    s, n = sums.chunk(2, dim=-1)
    z = torch.sigmoid(s)
    return diagonal_recurrence(1 - z, z * n, h, mask)


class _GatedRecurrence(torch.autograd.Function):
    """From s and n (batch, time, 2 · channels) and h_{-1} to all h_t."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, h: Tensor, mask: Tensor | None) -> Tensor:
        states, gates = _gated_states(sums, h, mask, steps=sums.shape[1])
        ctx.save_for_backward(sums, h, states, gates)
        ctx.mask = mask
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from seqdyn.kernels.gated_loops import gated_backward

        sums, h, states, gates = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *gradient_with_history(partial(_by_diagonal, mask=ctx.mask), [sums, h], gradients[0]), None
        errors, carry = recycled(tuple(sums.shape), sums.dtype), h.new_zeros(h.shape)
        run_lanes(gated_backward, states, gradients[0], sums, h, present_steps(ctx.mask), states, gates, errors, carry)
        return errors, carry, None


def _gated_states(sums: Tensor, h: Tensor, mask: Tensor | None, steps: int) -> tuple[Tensor, Tensor]:
    """All h_t, and z of ``steps`` steps."""
    from seqdyn.kernels.gated_loops import gated_forward

    batch, time, both = sums.shape
    states, gates = (recycled((batch, kept, both // 2), sums.dtype) for kept in (time, steps))
    run_lanes(gated_forward, states, sums, h, present_steps(mask), states, gates)
    return states, gates

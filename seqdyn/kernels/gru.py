"""The GRU recurrence with its gradient written out, in compiled loops, in both of its forms.

    r_t, z_t = σ(a^r_t + U_r h_{t-1}), σ(a^z_t + U_z h_{t-1}),   a_t = W x_t + b
    n_t = tanh(a^n_t + r_t ∘ q_t),   q_t = U_n h_{t-1} + c           the reset acts after the product
    n_t = tanh(a^n_t + U_n q_t),     q_t = r_t ∘ h_{t-1}             the reset acts before it
    h_t = n_t + z_t ∘ (h_{t-1} − n_t)

With d_t the gradient by h_t in total and e the gradients by the arguments of σ and tanh, backwards in time,

    e^n = d ∘ (1 − z) ∘ (1 − n²),   e^z = d ∘ (h_{t-1} − n) ∘ z ∘ (1 − z)
    d_{t-1} = ∂L/∂h_{t-1} + d ∘ z + U_rᵀ e^r + U_zᵀ e^z + p
    after:   e^q = e^n ∘ r,    e^r = e^q ∘ q ∘ (1 − r),              p = U_nᵀ e^q
    before:  e^q = U_nᵀ e^n,   e^r = e^q ∘ h_{t-1} ∘ r ∘ (1 − r),    p = e^q ∘ r

The gradients of the weights are sums over all steps, one product of matrices each.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from seqdyn.kernels.memory import recycled
from seqdyn.kernels.through_time import (
    extent_of,
    mask_array,
    packed,
    project,
    run_rows,
    start_at,
    sum_over_steps,
    wants_gradient,
)
from seqdyn.kernels.transforms import gradient_with_history


class _Weights(NamedTuple):
    """W (3 · hidden, inputs), U (3 · hidden, hidden), b (3 · hidden,), and c (hidden,) where the reset acts after."""

    input: Tensor
    recurrent: Tensor
    bias: Tensor
    inner: Tensor | None


def gru_recurrence(
    x: Tensor,
    h: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    inner: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """All states h_t (batch, time, hidden) of a GRU.

    Parameters
    ----------
    x : Tensor, shape (batch, time, inputs)
    h : Tensor, shape (batch, hidden)
        h_{-1}.
    weight, recurrent, bias : Tensor
        W (3 · hidden, inputs), U (3 · hidden, hidden) and b (3 · hidden,), of r, z and n in this order.
    inner : Tensor, shape (hidden,), optional
        c. With it the reset acts after the product with U_n, without it before.
    mask : Tensor of bool, shape (batch, time), optional
        Where False, h_t = h_{t-1}.
    """
    own = _Weights(weight, recurrent, bias, inner)
    if wants_gradient(x, h, *(value for value in own if value is not None)):
        states: Tensor = _GRURecurrence.apply(x, h, *own, mask)
    else:
        states, _ = _gru_states(packed(x.transpose(0, 1)), h, own, mask_array(mask), kept=1)
        states = states[1:]
    return states.transpose(0, 1)


class _GRURecurrence(torch.autograd.Function):
    """From x (batch, time, inputs), h_{-1}, W, U, b and c to all h_t (time, batch, hidden)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, *rest: Any) -> Tensor:
        own, mask = _Weights(*rest[:4]), rest[4]
        rows, present = packed(x.transpose(0, 1)), mask_array(mask)
        states, gates = _gru_states(rows, h, own, present, kept=len(rows))
        ctx.save_for_backward(x, h, *own, rows, states, gates)
        ctx.present, ctx.written = present, partial(_gru_steps, mask=mask)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, x, states, gates = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *gradient_with_history(ctx.written, inputs, gradients[0]), None
        own = _Weights(*inputs[2:])
        by_weights = _reset_after if own.inner is not None else _reset_before
        by_x, d, by_own = by_weights(gradients[0], own, ctx.present, states, gates, x, ctx.needs_input_grad[0])
        return by_x, d, *by_own, None


def _gru_states(x: Tensor, h: Tensor, own: _Weights, present: Any, kept: int) -> tuple[Tensor, Tensor]:
    """h_{-1}, h_0, … on (time + 1, batch, hidden), and r, z, n, q of ``kept`` steps, from x (time, batch, inputs)."""
    from seqdyn.kernels.gru_loops import gru_after_forward, gru_before_forward

    states, size = start_at(h, len(x)), h.shape[1]
    gates, extent = recycled((kept, len(h), 4 * size), x.dtype), extent_of(states, own.recurrent)
    sums, recurrent = project(x, own.input, own.bias), own.recurrent.detach()
    if own.inner is not None:
        run_rows(gru_after_forward, extent, sums, own.inner.detach(), recurrent.T, present, states, gates)
    else:
        both, candidate = recurrent[: 2 * size].T, recurrent[2 * size :].T
        run_rows(gru_before_forward, extent, sums, both, candidate, present, states, gates)
    return states, gates


def _reset_after(
    gradient: Tensor, own: _Weights, present: Any, states: Tensor, gates: Tensor, x: Tensor, to_x: bool
) -> tuple[Tensor | None, Tensor, list[Tensor | None]]:
    """The gradients by x, h_{-1} and the weights, where the reset acts after the product."""
    from seqdyn.kernels.gru_loops import gru_after_backward

    size = states.shape[2]
    errors, d = recycled(tuple(gates.shape), x.dtype), torch.zeros_like(states[0])  # errors of n, r, z and q
    run_rows(
        gru_after_backward, extent_of(states, own.recurrent), gradient, own.recurrent, present, states, gates, errors, d
    )
    by_sums, by_pushed, total = errors[..., : 3 * size], errors[..., size:], errors.sum((0, 1))
    by_x = (by_sums @ own.input.roll(size, 0)).transpose(0, 1) if to_x else None
    by_weight, by_recurrent = sum_over_steps(by_sums, x), sum_over_steps(by_pushed, states[:-1])
    return by_x, d, [by_weight.roll(-size, 0), by_recurrent, total[: 3 * size].roll(-size, 0), total[3 * size :]]


def _reset_before(
    gradient: Tensor, own: _Weights, present: Any, states: Tensor, gates: Tensor, x: Tensor, to_x: bool
) -> tuple[Tensor | None, Tensor, list[Tensor | None]]:
    """The same where it acts before."""
    from seqdyn.kernels.gru_loops import gru_before_backward

    size = states.shape[2]
    errors, d = recycled((*gates.shape[:2], 3 * size), x.dtype), torch.zeros_like(states[0])  # r, z, n
    both, candidate = own.recurrent.detach().split([2 * size, size])
    run_rows(
        gru_before_backward,
        extent_of(states, own.recurrent),
        gradient,
        both,
        candidate,
        present,
        states,
        gates,
        errors,
        d,
    )
    by_x = (errors @ own.input).transpose(0, 1) if to_x else None
    by_both = sum_over_steps(errors[..., : 2 * size], states[:-1])
    by_candidate = sum_over_steps(errors[..., 2 * size :], gates[..., 3 * size :])
    return by_x, d, [sum_over_steps(errors, x), torch.cat([by_both, by_candidate]), errors.sum((0, 1)), None]


def _gru_steps(
    x: Tensor,
    h: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    inner: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    """All h_t (time, batch, hidden), step by step and recorded by autograd."""
    states = []
    U_rz, U_n = recurrent.split([2 * h.shape[1], h.shape[1]])
    for t, a in enumerate(linear(x, weight, bias).unbind(1)):
        a_rz, a_n = a.split([2 * h.shape[1], h.shape[1]], 1)
        r, z = torch.sigmoid(a_rz + linear(h, U_rz)).chunk(2, 1)
        q = linear(r * h, U_n) if inner is None else r * linear(h, U_n, inner)
        new = torch.lerp(torch.tanh(a_n + q), h, z)
        h = new if mask is None else torch.where(mask[:, t, None], new, h)
        states.append(h)
    return torch.stack(states)

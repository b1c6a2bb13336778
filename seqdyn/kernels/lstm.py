"""The LSTM recurrence with its gradient written out, in compiled loops.

    i_t, f_t, o_t = σ(a_t + U h_{t-1}),   g_t = tanh(a^g_t + U_g h_{t-1}),   a_t = W x_t + b
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t,   h_t = o_t ∘ tanh c_t

With d_t and δ_t the gradients by h_t and c_t in total and e those by the arguments of σ and tanh, backwards in time,

    e^o = d ∘ tanh c ∘ o ∘ (1 − o),   δ ← δ + d ∘ o ∘ (1 − tanh² c)
    e^i = δ ∘ g ∘ i ∘ (1 − i),   e^f = δ ∘ c_{t-1} ∘ f ∘ (1 − f),   e^g = δ ∘ i ∘ (1 − g²)
    δ_{t-1} = δ ∘ f,   d_{t-1} = ∂L/∂h_{t-1} + Uᵀ e

The gradients of the weights are sums over all steps, one product of matrices each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

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


def lstm_recurrence(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """All states h_t (batch, time, hidden) of an LSTM, and the last c (batch, hidden).

    Parameters
    ----------
    x : Tensor, shape (batch, time, inputs)
    h, c : Tensor, shape (batch, hidden)
        h_{-1} and c_{-1}.
    weight, recurrent, bias : Tensor
        W (4 · hidden, inputs), U (4 · hidden, hidden) and b (4 · hidden,), of i, f, g and o in this order.
    mask : Tensor of bool, shape (batch, time), optional
        Where False, h_t = h_{t-1} and c_t = c_{t-1}.
    """
    weights = weight, recurrent, bias
    if wants_gradient(x, h, c, *weights):
        states, last = _LSTMRecurrence.apply(x, h, c, *weights, mask)
    else:
        states, memories, _ = _lstm_states(packed(x.transpose(0, 1)), h, c, weights, mask_array(mask), kept=1)
        states, last = states[1:], memories[-1].clone()
    return states.transpose(0, 1), last


class _LSTMRecurrence(torch.autograd.Function):
    """From x (batch, time, inputs), h_{-1}, c_{-1}, W, U and b to all h_t (time, batch, hidden) and the last c."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, c: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        *weights, mask = rest
        rows, present = packed(x.transpose(0, 1)), mask_array(mask)
        states, memories, gates = _lstm_states(rows, h, c, weights, present, kept=len(rows))
        ctx.save_for_backward(x, h, c, *weights, rows, states, memories, gates)
        ctx.present, ctx.written = present, partial(_lstm_steps, mask=mask)
        return states[1:], memories[-1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from seqdyn.kernels.lstm_loops import lstm_backward

        *inputs, x, states, memories, gates = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *gradient_with_history(ctx.written, inputs, gradients), None
        _, _, _, weight, recurrent, _ = inputs
        errors = recycled((*x.shape[:2], len(weight)), x.dtype)
        d, e = torch.zeros_like(states[0]), gradients[1].clone(memory_format=torch.contiguous_format)
        extent = extent_of(states, recurrent)
        run_rows(lstm_backward, extent, gradients[0], recurrent, ctx.present, memories, gates, errors, d, e)
        by_x = (errors @ weight).transpose(0, 1) if ctx.needs_input_grad[0] else None
        by_weight, by_recurrent = sum_over_steps(errors, x), sum_over_steps(errors, states[:-1])
        return by_x, d, e, by_weight, by_recurrent, errors.sum((0, 1)), None


def _lstm_states(
    x: Tensor, h: Tensor, c: Tensor, weights: Sequence[Tensor], present: Any, kept: int
) -> tuple[Tensor, Tensor, Tensor]:
    """All h and all c from h_{-1} and c_{-1} on (time + 1, batch, hidden), and i, f, g, o, tanh c of ``kept`` steps."""
    from seqdyn.kernels.lstm_loops import lstm_forward

    weight, recurrent, bias = weights
    states, memories = start_at(h, len(x)), start_at(c, len(x))
    gates = recycled((kept, len(h), 5 * h.shape[1]), x.dtype)
    run_rows(
        lstm_forward,
        extent_of(states, recurrent),
        project(x, weight, bias),
        recurrent.T,
        present,
        states,
        memories,
        gates,
    )
    return states, memories, gates


def _lstm_steps(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """All h_t (time, batch, hidden) and the last c, step by step and recorded by autograd."""
    states = []
    for t, a in enumerate(linear(x, weight, bias).unbind(1)):
        i, f, g, o = (a + linear(h, recurrent)).chunk(4, 1)
        memory = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        new = torch.sigmoid(o) * torch.tanh(memory)
        if mask is not None:
            new, memory = torch.where(mask[:, t, None], new, h), torch.where(mask[:, t, None], memory, c)
        h, c = new, memory
        states.append(h)
    return torch.stack(states), c

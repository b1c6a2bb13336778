"""The Elman recurrence with its gradient written out, in compiled loops: h_t = σ(W x_t + b + U h_{t-1}).

With d_t the gradient by h_t in total, backwards in time,

    e_t = d_t ∘ σ'_t,   d_{t-1} = ∂L/∂h_{t-1} + Uᵀ e_t,

    dW = Σ_t e_t x_tᵀ,   dU = Σ_t e_t h_{t-1}ᵀ,   db = Σ_t e_t,   dx_t = Wᵀ e_t.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from seqdyn.activations import ACTIVATIONS
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

ACTIVATION_CODES = {"tanh": 0, "relu": 1, "sigmoid": 2}
"""How the loops count σ."""


def elman_recurrence(
    x: Tensor,
    h: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    mask: Tensor | None = None,
    activation: str = "tanh",
) -> Tensor:
    """All states h_t (batch, time, hidden) of an Elman network.

    Parameters
    ----------
    x : Tensor, shape (batch, time, inputs)
    h : Tensor, shape (batch, hidden)
        h_{-1}.
    weight, recurrent, bias : Tensor
        W (hidden, inputs), U (hidden, hidden) and b (hidden,).
    mask : Tensor of bool, shape (batch, time), optional
        Where False, h_t = h_{t-1}.
    activation : {"tanh", "relu", "sigmoid"}
        σ.
    """
    if wants_gradient(x, h, weight, recurrent, bias):
        states: Tensor = _ElmanRecurrence.apply(x, h, weight, recurrent, bias, mask, activation)
    else:
        rows, present = packed(x.transpose(0, 1)), mask_array(mask)
        states = _elman_states(rows, h, weight, recurrent, bias, present, activation)[1:]
    return states.transpose(0, 1)


class _ElmanRecurrence(torch.autograd.Function):
    """From x (batch, time, inputs), h_{-1}, W, U and b to all h_t (time, batch, hidden)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        h: Tensor,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor,
        mask: Tensor | None,
        activation: str,
    ) -> Tensor:
        rows, present = packed(x.transpose(0, 1)), mask_array(mask)
        states = _elman_states(rows, h, weight, recurrent, bias, present, activation)
        ctx.save_for_backward(x, h, weight, recurrent, bias, rows, states)
        ctx.present, ctx.activation = present, activation
        ctx.written = partial(_elman_steps, mask=mask, activation=activation)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from seqdyn.kernels.elman_loops import elman_backward

        *inputs, x, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *gradient_with_history(ctx.written, inputs, gradients[0]), None, None
        _, _, weight, recurrent, _ = inputs
        to_x, _, to_weight, to_recurrent, to_bias = ctx.needs_input_grad[:5]
        errors, d = recycled(tuple(states[1:].shape), x.dtype), torch.zeros_like(states[0])
        given = gradients[0], recurrent, ctx.present, ACTIVATION_CODES[ctx.activation], states
        run_rows(elman_backward, extent_of(states, recurrent), *given, errors, d)
        return (
            (errors @ weight).transpose(0, 1) if to_x else None,
            d,
            sum_over_steps(errors, x) if to_weight else None,
            sum_over_steps(errors, states[:-1]) if to_recurrent else None,
            errors.sum((0, 1)) if to_bias else None,
            None,
            None,
        )


def _elman_states(
    x: Tensor, h: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, present: Any, activation: str
) -> Tensor:
    """h_{-1}, h_0, … (time + 1, batch, hidden) from x (time, batch, inputs)."""
    from seqdyn.kernels.elman_loops import elman_forward

    states = start_at(h, len(x))
    sums = project(x, weight, bias)
    run_rows(
        elman_forward, extent_of(states, recurrent), sums, recurrent.T, present, ACTIVATION_CODES[activation], states
    )
    return states


def _elman_steps(
    x: Tensor,
    h: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    activation: str,
) -> Tensor:
    """All h_t (time, batch, hidden), step by step and recorded by autograd."""
    states = []
    for t, a in enumerate(linear(x, weight, bias).unbind(1)):
        new = ACTIVATIONS[activation](a + linear(h, recurrent))
        h = new if mask is None else torch.where(mask[:, t, None], new, h)
        states.append(h)
    return torch.stack(states)

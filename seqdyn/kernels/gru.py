"""The GRU recurrence with its gradient written out, for training on a CPU.

    r_t, z_t = σ(a^r_t + U_r h_{t-1}), σ(a^z_t + U_z h_{t-1})
    q_t = U_n h_{t-1} + c
    n_t = tanh(a^n_t + r_t ⊙ q_t)
    h_t = n_t + z_t ⊙ (h_{t-1} − n_t)

What does not depend on h_{t-1} is computed for all steps at once: a_t = W x_t + b before the loop, and afterwards the
gradients of all weights, each one product of matrices. A step of the loops is one product and some elementwise lines.
Where the gradient itself is to be differentiated, it is that of the written steps, recorded by autograd.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from seqdyn.kernels.transforms import gradient_with_history


class _GRURecurrence(torch.autograd.Function):
    """From x, h_{-1}, W, U, b and c to all h_t (time, hidden, batch).

    The batch comes last, so that the gates, which lie below each other, are contiguous.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        x, h, weight, recurrent, bias, inner_bias = inputs
        a = linear(x, weight, bias).permute(1, 2, 0).contiguous()  # (time, 3 hidden, batch)
        time, _, batch = a.shape
        size = h.shape[1]
        gates = torch.empty_like(a)  # r, z, n
        inner, states = a.new_empty(time, size, batch), a.new_empty(time + 1, size, batch)
        states[0] = h.T
        pushed, c = a.new_empty(3 * size, batch), inner_bias.unsqueeze(1)
        for t in range(time):
            torch.mm(recurrent, states[t], out=pushed)
            both = torch.add(a[t, : 2 * size], pushed[: 2 * size], out=gates[t, : 2 * size]).sigmoid_()
            q = torch.add(pushed[2 * size :], c, out=inner[t])
            n = torch.addcmul(a[t, 2 * size :], both[:size], q, out=gates[t, 2 * size :]).tanh_()
            torch.lerp(n, states[t], both[size:], out=states[t + 1])
        ctx.save_for_backward(*inputs, gates, inner, states)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, gates, inner, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradient_with_history(_all_states, inputs, gradient)
        x, _, weight, recurrent, _, _ = inputs
        before, size = states[:-1], states.shape[1]
        r, z, n = gates.split(size, 1)
        to_n = (1 - z) * (1 - n * n)
        to_z = (before - n) * z * (1 - z)
        to_r = inner * r * (1 - r)
        direct, pushed = torch.empty_like(gates), torch.empty_like(gates)  # by a, and by U h
        dh, transposed = torch.zeros_like(states[0]), recurrent.T.contiguous()
        for t in range(len(gates) - 1, -1, -1):
            dh = dh + gradient[t]
            dn = torch.mul(dh, to_n[t], out=direct[t, 2 * size :])
            torch.mul(dn, to_r[t], out=pushed[t, :size])
            torch.mul(dh, to_z[t], out=pushed[t, size : 2 * size])
            torch.mul(dn, r[t], out=pushed[t, 2 * size :])
            dh = torch.addmm(dh * z[t], transposed, pushed[t])
        direct[:, : 2 * size] = pushed[:, : 2 * size]
        by_recurrent = _product_over_steps(pushed, before.transpose(1, 2))
        by_weight = _product_over_steps(direct, x.transpose(0, 1))
        by_x = (direct.transpose(1, 2) @ weight).transpose(0, 1) if ctx.needs_input_grad[0] else None
        return by_x, dh.T, by_weight, by_recurrent, direct.sum((0, 2)), pushed[:, 2 * size :].sum((0, 2))


def _product_over_steps(left: Tensor, right: Tensor) -> Tensor:
    """Σ l rᵀ over time and batch, of (time, m, batch) and (time, batch, n)."""
    return left.transpose(0, 1).flatten(1) @ right.flatten(0, 1)


def _all_states(x: Tensor, h: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, inner_bias: Tensor) -> Tensor:
    """All h_t (time, hidden, batch), step by step and recorded by autograd."""
    states = []
    for a in linear(x, weight, bias).unbind(1):
        a_r, a_z, a_n = a.chunk(3, 1)
        q_r, q_z, q_n = linear(h, recurrent).chunk(3, 1)
        n = torch.tanh(a_n + torch.sigmoid(a_r + q_r) * (q_n + inner_bias))
        h = torch.lerp(n, h, torch.sigmoid(a_z + q_z))
        states.append(h)
    return torch.stack(states).transpose(1, 2)


def gru_recurrence(
    x: Tensor, h: Tensor, input_weight: Tensor, recurrent: Tensor, bias: Tensor, inner: Tensor
) -> Tensor:
    """All states (batch, time, hidden) of a GRU whose reset acts after the product, with a gradient of its own.

    x is (batch, time, inputs), h (batch, hidden); W (3 · hidden, inputs) and U (3 · hidden, hidden) hold reset, update
    and candidate below each other, b is (3 · hidden,) and ``inner`` is c, (hidden,).
    """
    states: Tensor = _GRURecurrence.apply(x, h, input_weight, recurrent, bias, inner)
    return states.permute(2, 0, 1)

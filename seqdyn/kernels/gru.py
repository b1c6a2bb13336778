"""The GRU recurrence with its gradient written out, for training on a CPU.

    r_t, z_t = σ(a^r_t + U_r h_{t-1}), σ(a^z_t + U_z h_{t-1})
    q_t = U_n h_{t-1} + c
    n_t = tanh(a^n_t + r_t ⊙ q_t)
    h_t = n_t + z_t ⊙ (h_{t-1} − n_t)

What does not depend on h_{t-1} is computed for all steps at once: a_t = W x_t + b before the loop, and afterwards the
gradients of all weights, each one product of matrices. A step of the loops is one product and some elementwise lines.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


class _Recurrence(torch.autograd.Function):
    """From a (time, 3 · hidden, batch), h_{-1} (hidden, batch), U and c to all h_t (time, hidden, batch).

    The batch comes last, so that the gates, which lie below each other, are contiguous.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, h: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
        time, _, batch = a.shape
        size = len(h)
        gates = torch.empty_like(a)  # r, z, n
        inner, states = a.new_empty(time, size, batch), a.new_empty(time + 1, size, batch)
        states[0] = h
        pushed, c = a.new_empty(3 * size, batch), bias.unsqueeze(1)
        for t in range(time):
            torch.mm(recurrent, states[t], out=pushed)
            both = torch.add(a[t, : 2 * size], pushed[: 2 * size], out=gates[t, : 2 * size]).sigmoid_()
            q = torch.add(pushed[2 * size :], c, out=inner[t])
            n = torch.addcmul(a[t, 2 * size :], both[:size], q, out=gates[t, 2 * size :]).tanh_()
            torch.lerp(n, states[t], both[size:], out=states[t + 1])
        ctx.save_for_backward(gates, inner, states, recurrent)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gates, inner, states, recurrent = ctx.saved_tensors
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
        weight = pushed.transpose(0, 1).flatten(1) @ before.transpose(0, 1).flatten(1).T
        return direct, dh, weight, pushed[:, 2 * size :].sum((0, 2))


def gru_recurrence(
    x: Tensor, h: Tensor, input_weight: Tensor, recurrent: Tensor, bias: Tensor, inner: Tensor
) -> Tensor:
    """All states of a GRU whose reset acts after the product, with a gradient that can be taken once.

    Parameters
    ----------
    x : Tensor, shape (batch, time, inputs)
    h : Tensor, shape (batch, hidden)
    input_weight, recurrent : Tensor, shape (3 · hidden, inputs) and (3 · hidden, hidden)
        W and U; reset, update and candidate below each other.
    bias : Tensor, shape (3 · hidden,)
        b.
    inner : Tensor, shape (hidden,)
        c.

    Returns
    -------
    Tensor, shape (batch, time, hidden)
    """
    a = linear(x, input_weight, bias).permute(1, 2, 0).contiguous()
    states: Tensor = _Recurrence.apply(a, h.T, recurrent, inner)
    return states.permute(2, 0, 1)

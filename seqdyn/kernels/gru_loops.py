"""The loops of the GRU over time, forward and backward, in both of its forms; see :mod:`seqdyn.kernels.gru`.

Arrays are time-major; a thread has some rows of the batch for all steps. ``mask`` (time, batch) is empty where all
steps are there; where a step is not, the state is held. ``gates`` (time, batch, 4 · hidden) keeps r, z, n and q
of every step for the gradient, side by side; it has one step where no gradient is wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.kernels.compiled import compiled
from seqdyn.kernels.loops import add_product, sigmoid, tanh


@compiled
def gru_after_forward(
    first: int, last: int, sums: Any, inner: Any, recurrent: Any, mask: Any, states: Any, gates: Any
) -> None:
    """q_t = U_n h_{t-1} + c, n_t = tanh(a^n_t + r_t ∘ q_t): the reset acts after the product.

    ``sums`` is a_t = W x_t + b, (time, batch, 3 · hidden); ``recurrent`` is Uᵀ, (hidden, 3 · hidden); ``inner`` is c.
    """
    size = states.shape[2]
    z, n, q = size, 2 * size, 3 * size
    pushed = np.empty((last - first, 3 * size), states.dtype)
    for t in range(len(sums)):
        for i in range(last - first):
            for j in range(2 * size):
                pushed[i, j] = sums[t, first + i, j]
            for j in range(size):
                pushed[i, n + j] = inner[j]
        add_product(pushed, states[t, first:last, :size], recurrent)
        for i in range(first, last):
            kept, own, a = gates[t % len(gates), i], pushed[i - first], sums[t, i]
            before, after = states[t, i], states[t + 1, i]
            for j in range(2 * size):
                kept[j] = sigmoid(own[j])
            for j in range(size):
                kept[q + j] = own[n + j]
            for j in range(size):
                kept[n + j] = tanh(a[n + j] + kept[j] * own[n + j])
            for j in range(size):
                after[j] = kept[n + j] + kept[z + j] * (before[j] - kept[n + j])
            if mask.size and not mask[t, i]:
                for j in range(size):
                    after[j] = before[j]


@compiled
def gru_after_backward(
    first: int, last: int, gradient: Any, recurrent: Any, mask: Any, states: Any, gates: Any, errors: Any, carry: Any
) -> None:
    """From the gradient by all h_t to ``errors`` (time, batch, 4 · hidden) by the sums of n, r and z, and by q.

    ``recurrent`` is U, (3 · hidden, hidden); ``carry`` (batch, hidden) starts at 0 and ends as the gradient by h_{-1}.
    """
    size = states.shape[2]
    z, n, q = size, 2 * size, 3 * size
    to_r, to_z, to_q = size, 2 * size, 3 * size
    for t in range(len(gates) - 1, -1, -1):
        for i in range(first, last):
            d, error, kept, before = carry[i], errors[t, i], gates[t, i], states[t, i]
            for j in range(size):
                d[j] += gradient[t, i, j]
            if mask.size and not mask[t, i]:
                for j in range(len(error)):
                    error[j] = 0
                continue
            for j in range(size):
                error[j] = d[j] * (1 - kept[z + j]) * (1 - kept[n + j] * kept[n + j])
            for j in range(size):
                error[to_z + j] = d[j] * (before[j] - kept[n + j]) * kept[z + j] * (1 - kept[z + j])
            for j in range(size):
                error[to_q + j] = error[j] * kept[j]
            for j in range(size):
                error[to_r + j] = error[to_q + j] * kept[q + j] * (1 - kept[j])
            for j in range(size):
                d[j] *= kept[z + j]
        add_product(carry[first:last], errors[t, first:last, size:], recurrent)


@compiled
def gru_before_forward(
    first: int, last: int, sums: Any, recurrent: Any, candidate: Any, mask: Any, states: Any, gates: Any
) -> None:
    """q_t = r_t ∘ h_{t-1}, n_t = tanh(a^n_t + U_n q_t): the reset acts before the product.

    ``recurrent`` is [U_r; U_z]ᵀ, (hidden, 2 · hidden), and ``candidate`` is U_nᵀ, (hidden, hidden).
    """
    size = states.shape[2]
    z, n, q = size, 2 * size, 3 * size
    pushed, seen = np.empty((last - first, 2 * size), states.dtype), np.empty((last - first, size), states.dtype)
    for t in range(len(sums)):
        for i in range(last - first):
            for j in range(2 * size):
                pushed[i, j] = sums[t, first + i, j]
        add_product(pushed, states[t, first:last, :size], recurrent)
        for i in range(first, last):
            kept, own, before, after = gates[t % len(gates), i], pushed[i - first], states[t, i], states[t + 1, i]
            for j in range(2 * size):
                kept[j] = sigmoid(own[j])
            for j in range(size):
                seen[i - first, j] = kept[j] * before[j]
            for j in range(size):
                kept[q + j] = seen[i - first, j]
            for j in range(size):
                after[j] = sums[t, i, n + j]
        add_product(states[t + 1, first:last], seen[:, :size], candidate)
        for i in range(first, last):
            kept, before, after = gates[t % len(gates), i], states[t, i], states[t + 1, i]
            for j in range(size):
                kept[n + j] = tanh(after[j])
            for j in range(size):
                after[j] = kept[n + j] + kept[z + j] * (before[j] - kept[n + j])
            if mask.size and not mask[t, i]:
                for j in range(size):
                    after[j] = before[j]


@compiled
def gru_before_backward(
    first: int,
    last: int,
    gradient: Any,
    recurrent: Any,
    candidate: Any,
    mask: Any,
    states: Any,
    gates: Any,
    errors: Any,
    carry: Any,
) -> None:
    """From the gradient by all h_t to ``errors`` (time, batch, 3 · hidden) by the sums of r, z and n.

    ``recurrent`` is [U_r; U_z], (2 · hidden, hidden), ``candidate`` is U_n; ``carry`` as in :func:`gru_after_backward`.
    """
    size = states.shape[2]
    z, n = size, 2 * size
    by_seen = np.empty((last - first, size), states.dtype)
    for t in range(len(gates) - 1, -1, -1):
        for i in range(first, last):
            d, error, kept, before = carry[i], errors[t, i], gates[t, i], states[t, i]
            for j in range(size):
                d[j] += gradient[t, i, j]
            if mask.size and not mask[t, i]:
                for j in range(len(error)):
                    error[j] = 0
                continue
            for j in range(size):
                error[n + j] = d[j] * (1 - kept[z + j]) * (1 - kept[n + j] * kept[n + j])
            for j in range(size):
                error[z + j] = d[j] * (before[j] - kept[n + j]) * kept[z + j] * (1 - kept[z + j])
            for j in range(size):
                d[j] *= kept[z + j]
        for i in range(last - first):
            for j in range(size):
                by_seen[i, j] = 0
        add_product(by_seen, errors[t, first:last, n:], candidate)
        for i in range(first, last):
            d, error, kept, before, to_q = carry[i], errors[t, i], gates[t, i], states[t, i], by_seen[i - first]
            for j in range(size):
                error[j] = to_q[j] * before[j] * kept[j] * (1 - kept[j])
            for j in range(size):
                d[j] += to_q[j] * kept[j]
        add_product(carry[first:last], errors[t, first:last, :n], recurrent)

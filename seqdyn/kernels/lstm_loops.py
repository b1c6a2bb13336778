"""The loops of the LSTM over time, forward and backward; see :mod:`seqdyn.kernels.lstm`.

Arrays are time-major; a thread has some rows of the batch for all steps. ``mask`` (time, batch) is empty where all
steps are there; where a step is not, the state is held. ``gates`` (time, batch, 5 · hidden) keeps i, f, g, o and tanh c
of every step for the gradient, side by side; it has one step where no gradient is wanted.
"""

from __future__ import annotations

from typing import Any

from seqdyn.kernels.compiled import compiled
from seqdyn.kernels.loops import add_product, sigmoid, tanh


@compiled
def lstm_forward(
    first: int, last: int, sums: Any, recurrent: Any, mask: Any, states: Any, memories: Any, gates: Any
) -> None:
    """c_t = f_t ∘ c_{t-1} + i_t ∘ g_t, h_t = o_t ∘ tanh c_t.

    ``sums`` is W x_t + b, (time, batch, 4 · hidden), and is written over; ``recurrent`` is Uᵀ, (hidden, 4 · hidden).
    """
    size = states.shape[2]
    f, g, o, tanh_c = size, 2 * size, 3 * size, 4 * size
    for t in range(len(sums)):
        add_product(sums[t, first:last], states[t, first:last, :size], recurrent)
        for row in range(first, last):
            own, kept, before = sums[t, row], gates[t % len(gates), row], memories[t, row]
            h, c = states[t + 1, row], memories[t + 1, row]
            for j in range(4 * size):
                kept[j] = sigmoid(own[j])
            for j in range(size):
                kept[g + j] = tanh(own[g + j])
            for j in range(size):
                c[j] = kept[f + j] * before[j] + kept[j] * kept[g + j]
            for j in range(size):
                kept[tanh_c + j] = tanh(c[j])
            for j in range(size):
                h[j] = kept[o + j] * kept[tanh_c + j]
            if mask.size and not mask[t, row]:
                for j in range(size):
                    h[j], c[j] = states[t, row, j], before[j]


@compiled
def lstm_backward(
    first: int,
    last: int,
    gradient: Any,
    recurrent: Any,
    mask: Any,
    memories: Any,
    gates: Any,
    errors: Any,
    carry: Any,
    memory_carry: Any,
) -> None:
    """From the gradient by all h_t to ``errors`` (time, batch, 4 · hidden) by the sums of i, f, g and o.

    ``recurrent`` is U, (4 · hidden, hidden). ``carry`` starts at 0, ``memory_carry`` as the gradient by the last c,
    both (batch, hidden); they end as the gradients by h_{-1} and c_{-1}.
    """
    size = carry.shape[1]
    f, g, o, tanh_c = size, 2 * size, 3 * size, 4 * size
    for t in range(len(gates) - 1, -1, -1):
        for row in range(first, last):
            d, e, error, kept, before = carry[row], memory_carry[row], errors[t, row], gates[t, row], memories[t, row]
            for j in range(size):
                d[j] += gradient[t, row, j]
            if mask.size and not mask[t, row]:
                for j in range(4 * size):
                    error[j] = 0
                continue
            for j in range(size):
                error[o + j] = d[j] * kept[tanh_c + j] * kept[o + j] * (1 - kept[o + j])
            for j in range(size):
                e[j] += d[j] * kept[o + j] * (1 - kept[tanh_c + j] * kept[tanh_c + j])
            for j in range(size):
                error[j] = e[j] * kept[g + j] * kept[j] * (1 - kept[j])
            for j in range(size):
                error[g + j] = e[j] * kept[j] * (1 - kept[g + j] * kept[g + j])
            for j in range(size):
                error[f + j] = e[j] * before[j] * kept[f + j] * (1 - kept[f + j])
            for j in range(size):
                e[j] *= kept[f + j]
                d[j] = 0
        add_product(carry[first:last], errors[t, first:last, : 4 * size], recurrent)

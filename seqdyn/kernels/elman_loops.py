"""The loops of the Elman network over time, forward and backward; see :mod:`seqdyn.kernels.elman`.

Arrays are time-major; a thread has some rows of the batch for all steps. ``mask`` (time, batch) is empty where all
steps are there; where a step is not, the state is held. ``activation`` is 0 for tanh, 1 for relu, 2 for sigmoid.
"""

from __future__ import annotations

from typing import Any

from seqdyn.kernels.compiled import compiled
from seqdyn.kernels.loops import add_product, sigmoid, tanh


@compiled
def elman_forward(first: int, last: int, sums: Any, recurrent: Any, mask: Any, activation: int, states: Any) -> None:
    """h_t = σ(a_t + U h_{t-1}) from a_t = ``sums`` and Uᵀ = ``recurrent``."""
    size = states.shape[2]
    for t in range(len(sums)):
        for i in range(first, last):
            for j in range(size):
                states[t + 1, i, j] = sums[t, i, j]
        add_product(states[t + 1, first:last], states[t, first:last, :size], recurrent)
        for i in range(first, last):
            if mask.size == 0 or mask[t, i]:
                _activate(states[t + 1, i], activation)
            else:
                for j in range(size):
                    states[t + 1, i, j] = states[t, i, j]


@compiled
def _activate(values: Any, activation: int) -> None:
    if activation == 0:
        for j in range(len(values)):
            values[j] = tanh(values[j])
    elif activation == 1:
        for j in range(len(values)):
            values[j] = 0 if values[j] < 0 else values[j]
    else:
        for j in range(len(values)):
            values[j] = sigmoid(values[j])


@compiled
def elman_backward(
    first: int,
    last: int,
    gradient: Any,
    recurrent: Any,
    mask: Any,
    activation: int,
    states: Any,
    errors: Any,
    carry: Any,
) -> None:
    """From the gradient by all h_t to ``errors`` (time, batch, hidden) by the sums a_t + U h_{t-1}.

    ``recurrent`` is U; ``carry`` (batch, hidden) starts at 0 and ends as the gradient by h_{-1}.
    """
    size = states.shape[2]
    for t in range(len(errors) - 1, -1, -1):
        for i in range(first, last):
            d, error = carry[i], errors[t, i]
            there = mask.size == 0 or mask[t, i]
            for j in range(size):
                total = d[j] + gradient[t, i, j]
                error[j] = total if there else 0
                d[j] = 0 if there else total
            _through_activation(error, states[t + 1, i], activation)
        add_product(carry[first:last], errors[t, first:last, :size], recurrent)


@compiled
def _through_activation(error: Any, h: Any, activation: int) -> None:
    """error ← error ∘ σ', from h = σ(·)."""
    if activation == 0:
        for j in range(len(h)):
            error[j] *= 1 - h[j] * h[j]
    elif activation == 1:
        for j in range(len(h)):
            error[j] = 0 if h[j] <= 0 else error[j]
    else:
        for j in range(len(h)):
            error[j] *= h[j] * (1 - h[j])

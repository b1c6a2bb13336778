"""The loops of diagonal recurrences over time, forward and backward; see :mod:`seqdyn.kernels.diagonal`.

Numbers are real or complex. A lane is one channel of one row: no lane knows of another, and a thread has some of them
for all steps. Arrays are (batch, time, channels); a factor that does not change has one row of one step, and ``mask``
(batch, time) is empty where all steps are there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.kernels.compiled import compiled


@compiled
def diagonal_forward(first: int, last: int, factor: Any, drive: Any, start: Any, mask: Any, states: Any) -> None:
    """h_t = a_t ∘ h_{t-1} + b_t, with a in ``factor``, b in ``drive``, h_{-1} in ``start``."""
    channels = states.shape[2]
    for i in range(first // channels, -(-last // channels)):
        own = slice(max(0, first - i * channels), min(channels, last - i * channels))
        factors, before = factor[i % len(factor)], start[i, own]
        for t in range(states.shape[1]):
            a, b, after = factors[t % len(factors), own], drive[i, t, own], states[i, t, own]
            if mask.size and not mask[i, t]:
                for j in range(len(after)):
                    after[j] = before[j]
            else:
                for j in range(len(after)):
                    after[j] = a[j] * before[j] + b[j]
            before = after


@compiled
def diagonal_backward(
    first: int,
    last: int,
    gradient: Any,
    factor: Any,
    start: Any,
    mask: Any,
    states: Any,
    by_drive: Any,
    by_factor: Any,
    carry: Any,
) -> None:
    """From the gradient by all h_t to those by b_t, d_t, and by a_t, d_t ∘ h̄_{t-1}, of which a constant a has the sum.

    ``carry`` (batch, channels) starts at 0 and ends as the gradient by h_{-1}; a sum starts at 0, too.
    """
    channels, constant = states.shape[2], by_factor.shape[1] == 1
    for i in range(first // channels, -(-last // channels)):
        own = slice(max(0, first - i * channels), min(channels, last - i * channels))
        factors, d = factor[i % len(factor)], carry[i, own]
        for t in range(states.shape[1] - 1, -1, -1):
            a, before = factors[t % len(factors), own], states[i, t - 1, own] if t else start[i, own]
            g, error, by_a = gradient[i, t, own], by_drive[i, t, own], by_factor[i, t % by_factor.shape[1], own]
            if mask.size and not mask[i, t]:
                for j in range(len(d)):
                    d[j] += g[j]
                    error[j] = 0
                    by_a[j] = by_a[j] if constant else error[j]
            elif constant:
                for j in range(len(d)):
                    error[j] = d[j] + g[j]
                    by_a[j] += error[j] * np.conj(before[j])
                    d[j] = error[j] * np.conj(a[j])
            else:
                for j in range(len(d)):
                    error[j] = d[j] + g[j]
                    by_a[j] = error[j] * np.conj(before[j])
                    d[j] = error[j] * np.conj(a[j])

"""The loops of the gated average over time, forward and backward; see :mod:`seqdyn.kernels.gated`.

Lanes and arrays are those of :mod:`seqdyn.kernels.diagonal_loops`. ``sums`` (batch, time, 2 · channels) holds s and n;
``gates`` keeps z of every step for the gradient, and has one step where none is wanted.
"""

from __future__ import annotations

from typing import Any

from seqdyn.kernels.compiled import compiled
from seqdyn.kernels.loops import sigmoid


@compiled
def gated_forward(first: int, last: int, sums: Any, start: Any, mask: Any, states: Any, gates: Any) -> None:
    """h_t = h_{t-1} + σ(s_t) ∘ (n_t − h_{t-1})."""
    channels = states.shape[2]
    for i in range(first // channels, -(-last // channels)):
        low, high = max(0, first - i * channels), min(channels, last - i * channels)
        before = start[i, low:high]
        for t in range(states.shape[1]):
            s, n = sums[i, t, low:high], sums[i, t, channels + low : channels + high]
            z, after = gates[i, t % gates.shape[1], low:high], states[i, t, low:high]
            if mask.size and not mask[i, t]:
                for j in range(len(after)):
                    z[j] = 0
                    after[j] = before[j]
            else:
                for j in range(len(after)):
                    z[j] = sigmoid(s[j])
                    after[j] = before[j] + z[j] * (n[j] - before[j])
            before = after


@compiled
def gated_backward(
    first: int,
    last: int,
    gradient: Any,
    sums: Any,
    start: Any,
    mask: Any,
    states: Any,
    gates: Any,
    errors: Any,
    carry: Any,
) -> None:
    """From the gradient by all h_t to ``errors`` (batch, time, 2 · channels) by s and n.

    ``carry`` (batch, channels) starts at 0 and ends as the gradient by h_{-1}.
    """
    channels = states.shape[2]
    for i in range(first // channels, -(-last // channels)):
        low, high = max(0, first - i * channels), min(channels, last - i * channels)
        d = carry[i, low:high]
        for t in range(states.shape[1] - 1, -1, -1):
            g, z, n = gradient[i, t, low:high], gates[i, t, low:high], sums[i, t, channels + low : channels + high]
            before = states[i, t - 1, low:high] if t else start[i, low:high]
            by_s, by_n = errors[i, t, low:high], errors[i, t, channels + low : channels + high]
            if mask.size and not mask[i, t]:
                for j in range(len(d)):
                    d[j] += g[j]
                    by_s[j] = 0
                    by_n[j] = 0
            else:
                for j in range(len(d)):
                    total = d[j] + g[j]
                    by_n[j] = total * z[j]
                    d[j] = total - by_n[j]
                    by_s[j] = d[j] * z[j] * (n[j] - before[j])

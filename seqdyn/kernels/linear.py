"""The linear recurrence in blocks: matrix products instead of a step loop.

    [y_t; h_t] = [A B; C D] [x_t; h_{t-1}]

Over a block of L steps the states and outputs are linear in the block's inputs and in the state before it. So the
whole sequence is three matrix products, and a recurrence over the block borders that is itself such a system, L
times shorter.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 32
"""Steps in a block."""


def linear_recurrence(
    x: Tensor, h: Tensor, feedthrough: Tensor, readout: Tensor, input_map: Tensor, transition: Tensor
) -> tuple[Tensor, Tensor]:
    """All outputs and the last state of the linear recurrence, exactly and differentiably.

    Parameters
    ----------
    x : Tensor, shape (batch, time, inputs)
    h : Tensor, shape (batch, hidden)
        h_{-1}.
    feedthrough, readout, input_map, transition : Tensor
        A (outputs, inputs), B (outputs, hidden), C (hidden, inputs), D (hidden, hidden).

    Returns
    -------
    output : Tensor, shape (batch, time, outputs)
    h : Tensor, shape (batch, hidden)
    """
    before, last = _states(x @ input_map.T, h, transition)
    return x @ feedthrough.T + before @ readout.T, last


def _states(drive: Tensor, h: Tensor, transition: Tensor) -> tuple[Tensor, Tensor]:
    """h_{t-1} for every t, and the last state, of h_t = D h_{t-1} + u_t with u = ``drive`` (batch, time, hidden)."""
    batch, time, hidden = drive.shape
    length = min(BLOCK, time)
    if time <= length:
        return _short(drive, h, transition)
    blocks, rest = divmod(time, length)
    powers = _powers(transition, length)  # (L + 1, hidden, hidden)
    whole = drive[:, : blocks * length].reshape(batch, blocks, length, hidden)
    carried = torch.einsum("lij,bklj->bki", powers[:length].flip(0), whole)  # what a block adds to the state after it
    borders, last = _states(carried, h, powers[length])  # (batch, blocks, hidden): the state before each block
    within = torch.einsum("imhj,bkmj->bkih", _toeplitz(powers, length), whole)
    before = torch.einsum("lij,bkj->bkli", powers[:length], borders) + within
    before = before.reshape(batch, blocks * length, hidden)
    if rest:
        tail, last = _short(drive[:, blocks * length :], last, transition)
        before = torch.cat([before, tail], dim=1)
    return before, last


def _short(drive: Tensor, h: Tensor, transition: Tensor) -> tuple[Tensor, Tensor]:
    """The same, step by step."""
    before = []
    for u in drive.unbind(1):
        before.append(h)
        h = torch.addmm(u, h, transition.T)
    return torch.stack(before, dim=1), h


def _powers(transition: Tensor, count: int) -> Tensor:
    """D^0 … D^count, by doubling."""
    powers = torch.eye(len(transition), dtype=transition.dtype, device=transition.device).unsqueeze(0)
    step = transition.unsqueeze(0)
    while len(powers) <= count:
        powers = torch.cat([powers, step @ powers])  # step = D^len(powers)
        step = step @ step
    return powers[: count + 1]


def _toeplitz(powers: Tensor, length: int) -> Tensor:
    """M[i, m] = D^{i-1-m} for m < i, else 0: how the inputs of a block reach the states before its steps."""
    steps = torch.arange(length, device=powers.device)
    lag = steps[:, None] - 1 - steps
    return powers[lag.clamp(min=0)] * (lag >= 0)[..., None, None]

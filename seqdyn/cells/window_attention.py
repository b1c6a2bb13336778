"""A transformer layer as a recurrence: its state is a window of its own past."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.scores import softmax_over, split_heads
from seqdyn.state import steps

ATTENTION_STEPS_AT_ONCE = 128
"""Steps that are read at once at least, as one masked matrix."""


@shown_by_shape
class AttentionWindow(NamedTuple):
    """The past that is still seen, newest first: ``keys`` and ``values`` (batch, window − 1, size), and whether each
    was ever ``seen`` (batch, window − 1), 1 or 0."""

    keys: Tensor
    values: Tensor
    seen: Tensor


class WindowAttention(Cell):
    """A layer that attends to the last n steps of what comes in, as transformers do: y_t, h_t = f(x_t, h_{t-1}).

        q_t, k_t, v_t = W_q u_t, W_k u_t, W_v u_t,   u_t = norm(x_t)
        α_ti = softmax_i(q_tᵀ k_{t-i} / √d + p_i)    over the lags i = 0 … n − 1 that there are, head by head
        r_t = x_t + W_o Σ_i α_ti v_{t-i}
        y_t = r_t + W_2 relu(W_1 norm(r_t))

    h_t are the last n − 1 keys and values: a transformer with a finite window is a recurrence with a finite memory,
    and its training in parallel, a masked matrix of scores, is :meth:`unroll`. The positions are the lags: p_i is
    learnt for every head.

    Parameters
    ----------
    size : int
        Width of x_t and y_t.
    window : int, at least 1
        n, the steps it sees, the present one with them.
    heads : int, at least 1
        They divide ``size``.
    inner_size : int, optional
        Width of W_1; 4 · size if None.
    generator : torch.Generator, optional

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, sections 3.2 and 3.3; Xiong et al. (2020), On layer normalization
    in the transformer architecture (the norm inside); Shaw, Uszkoreit & Vaswani (2018), Self-attention with relative
    position representations (positions as lags).

    Examples
    --------
    >>> from seqdyn.composition import Stack
    >>> from seqdyn.loops import scan
    >>> transformer = Stack([WindowAttention(8, window=16, heads=2) for _ in range(2)])
    >>> scan(transformer, torch.zeros(1, 40, 8)).output.shape
    torch.Size([1, 40, 8])
    """

    def __init__(
        self,
        size: int,
        window: int,
        heads: int = 1,
        inner_size: int | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__(size, 2 * size * (check_count("window", window) - 1), size)
        self.size, self.window, self.heads = size, window, check_count("heads", heads)
        if size % heads:
            raise ValueError(f"{heads} heads do not divide a size of {size}: give numbers that divide.")
        self.inner_size = 4 * size if inner_size is None else check_count("inner_size", inner_size)
        self.query, self.value, self.join = (Affine(size, size, generator) for _ in range(3))
        self.key = nn.Parameter(torch.empty(size, size))  # a bias would shift all scores alike
        nn.init.xavier_uniform_(self.key, generator=own_generator(generator))
        self.position = nn.Parameter(torch.zeros(heads, window))
        self.before, self.between = nn.LayerNorm(size), nn.LayerNorm(size)
        self.rise, self.fall = Affine(size, self.inner_size, generator), Affine(self.inner_size, size, generator)

    def initial_state(self, batch: int) -> AttentionWindow:
        past = self.zeros(batch, self.window - 1, self.size)
        return AttentionWindow(past, past, past[:, :, 0])

    def forward(self, x: Tensor, state: AttentionWindow) -> tuple[Tensor, AttentionWindow]:
        query, key, value = self._asked(x.unsqueeze(1))
        keys, values = torch.cat([key, state.keys], 1), torch.cat([value, state.values], 1)
        seen = torch.cat(
            [torch.ones_like(state.seen[:, :1]) if self.window > 1 else key[:, :, 0] * 0 + 1, state.seen], 1
        )
        context = self._context(query, keys, values, self.position.unsqueeze(1), seen.unsqueeze(1) > 0)
        return self._read(x, context.squeeze(1)), AttentionWindow(keys[:, :-1], values[:, :-1], seen[:, :-1])

    def unroll(self, x: Tensor, state: AttentionWindow, mask: Tensor | None = None) -> Any:
        """Stretch by stretch, each a matrix of scores of which a band counts."""
        if mask is not None:
            return NotImplemented
        time, stretch, outputs = x.shape[1], max(ATTENTION_STEPS_AT_ONCE, self.window), []
        for start, stop in pairwise([*range(0, time, stretch), time]):
            output, state = self._banded(steps(x, start, stop), state)
            outputs.append(output)
        return torch.cat(outputs, 1), state

    def _banded(self, x: Tensor, state: AttentionWindow) -> tuple[Tensor, AttentionWindow]:
        """A stretch of steps at once."""
        query, key, value = self._asked(x)
        keys, values = torch.cat([state.keys.flip(1), key], 1), torch.cat([state.values.flip(1), value], 1)
        seen = torch.cat([state.seen.flip(1), torch.ones_like(key[:, :, 0])], 1)
        past, time = self.window - 1, x.shape[1]
        lag = torch.arange(time, device=x.device)[:, None] + past - torch.arange(past + time, device=x.device)
        inside = (lag >= 0) & (lag < self.window)
        position = self.position[:, lag.clamp(0, past)]
        context = self._context(query, keys, values, position, inside & (seen.unsqueeze(1) > 0))
        rest = AttentionWindow(*(leaf[:, time:].flip(1) for leaf in (keys, values, seen)))
        return self._read(x, context), rest

    def _asked(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v of rows (batch, time, size)."""
        u = self.before(x)
        return self.query(u), nn.functional.linear(u, self.key), self.value(u)

    def _context(self, query: Tensor, keys: Tensor, values: Tensor, position: Tensor, there: Tensor) -> Tensor:
        """Σ α v of all heads side by side, (batch, time, size); marks (batch, time, source) say what is seen."""
        q, k, v = (split_heads(rows, self.heads) for rows in (query, keys, values))
        scores = q @ k.mT * (self.size // self.heads) ** -0.5 + position
        return (softmax_over(scores, there.unsqueeze(1)) @ v).transpose(1, 2).flatten(2)

    def _read(self, x: Tensor, context: Tensor) -> Tensor:
        """y_t from x_t and what was attended to."""
        r = x + self.join(context)
        return r + self.fall(torch.relu(self.rise(self.between(r))))

"""Hard attention: a decoder looks at one row of its memory at each step.

    p(y_t) = Σ_j α_tj p(y_t | j)

Which row it is, is not fed back: the sum is exact at every step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.affine import Affine
from seqdyn.cell import Cell, apart, noisy
from seqdyn.loops import unroll
from seqdyn.scores import Attention, Attentive, Memory, check_queries, read_once
from seqdyn.state import State


class Explored(NamedTuple):
    """What a decoder gives at positions that were drawn, along sequences.

    Attributes
    ----------
    scores : Tensor, shape (batch, time, symbols)
        ln p(y_t | j_t) of every symbol.
    log_weight : Tensor, shape (batch, time)
        ln α_t(j_t), how likely the position was.
    position : Tensor of int64, shape (batch, time)
        j_t.
    query : Tensor, shape (batch, time, ·)
        s_t, from which a baseline may be read.
    """

    scores: Tensor
    log_weight: Tensor
    position: Tensor
    query: Tensor


class HardAttention(Attentive):
    """A decoder that looks at one row of its memory at each step, and gives the probability over all it may look at.

        s_t, h_t = lower(x_t, h_{t-1}),   α_tj = softmax_j(score(s_t, k_j))
        p(y_t | j) = softmax(W_y tanh(W_c [s_t; v_j] + b_c) + b_y)
        y_t = ln Σ_j α_tj p(y_t | j)

    Along a sequence the sum over all rows takes memory for batch · time · source · symbols numbers.

    The recurrence does not see which row was looked at, so that the sum over all rows is exact, step by step: the
    scores are log-probabilities, and their cross-entropy is the likelihood. :meth:`explore` looks at rows that are
    drawn, for the gradient estimate of :class:`~seqdyn.training.reinforce.Reinforce`.

    Parameters
    ----------
    lower : Cell
    attention : Attention
        Its queries are as wide as the outputs of ``lower``.
    output_size : int
        Symbols.
    generator : torch.Generator, optional
        Draws W_c and W_y.

    References
    ----------
    Xu et al. (2015), Show, attend and tell, section 4.1; Deng et al. (2018), Latent alignment and variational
    attention, section 3 (the exact marginal).

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> HardAttention(GRU(3, 8), Attention("general", 8, 6), 20).output_size
    20
    """

    attention: Attention

    def __init__(self, lower: Cell, attention: Attention, output_size: int, generator: torch.Generator | None = None):
        check_queries(lower, attention)
        super().__init__(lower.input_size, lower.hidden_size, output_size)
        self.input_shape = lower.input_shape
        self.lower, self.attention = lower, attention
        self.ask = Affine(lower.output_size, lower.output_size, generator)
        self.look = Affine(attention.context_size, lower.output_size, generator)
        self.readout = Affine(lower.output_size, output_size, generator)

    def initial_state(self, batch: int) -> State:
        return self.lower.initial_state(batch)

    def forward(self, x: Any, state: State) -> tuple[Tensor, State]:
        (value, memory), drawn = apart(x)
        query, after = self.lower(noisy(value, drawn), state)
        return self._marginal(query.unsqueeze(1), memory).squeeze(1), after

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        once = NotImplemented if mask is not None else read_once(x)
        if once is NotImplemented:
            return NotImplemented
        (value, memory), drawn = apart(once)
        query, after = unroll(self.lower, noisy(value, drawn), state)
        return self._marginal(query, memory), after

    def explore(self, x: Any, state: State, uniform: Tensor) -> Explored:
        """Look at one row at each step of a sequence, drawn from α by uniform numbers (batch, time) in [0, 1)."""
        (value, memory), drawn = apart(read_once(x))
        query, _ = unroll(self.lower, noisy(value, drawn), state)
        log_weights = self.attention.log_weights(query, memory)
        position = drawn_position(log_weights.exp(), uniform).unsqueeze(2)
        log_weight = log_weights.gather(2, position).squeeze(2)
        rows = memory.values.gather(1, position.expand(-1, -1, memory.values.shape[2]))
        scores = self._read(self.ask(query), self.look(rows))
        return Explored(scores, log_weight, position.squeeze(2), query)

    def gates(self, x: Any, before: State, output: Any, after: State) -> dict[str, Tensor]:
        """``"attention"``: α_t, (batch, source)."""
        (value, memory), drawn = apart(x)
        query, _ = self.lower(noisy(value, drawn), before)
        return {"attention": self.attention(query, memory).weights}

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        return self.lower.noise(batch, time, generator)

    def _marginal(self, query: Tensor, memory: Memory) -> Tensor:
        """ln Σ_j α_tj p(y_t | j), (batch, time, symbols), from queries (batch, time, ·)."""
        log_p = self._read(self.ask(query).unsqueeze(2), self.look(memory.values).unsqueeze(1))
        return torch.logsumexp(self.attention.log_weights(query, memory).unsqueeze(3) + log_p, 2)

    def _read(self, asked: Tensor, seen: Tensor) -> Tensor:
        return torch.log_softmax(self.readout(torch.tanh(asked + seen)), -1)


def drawn_position(weights: Tensor, uniform: Tensor) -> Tensor:
    """The first row at which the sum of α (…, source) passes a uniform number; never one that weighs nothing.

    Examples
    --------
    >>> drawn_position(torch.tensor([0.5, 0.0, 0.5]), torch.tensor(0.5))
    tensor(2)
    """
    mass = weights.detach().double().cumsum(-1)
    passed = mass > (uniform.double() * mass[..., -1]).unsqueeze(-1)
    return passed.int().argmax(-1)

"""Soft attention: a query weighs the rows of a memory and reads their mean.

    e_tj = score(q_t, k_j),   α_t = softmax(e_t),   c_t = Σ_j α_tj v_j

| kind | score(q, k) | source |
|---|---|---|
| ``additive`` | vᵀ tanh(W q + U k) | Bahdanau, Cho & Bengio (2015) |
| ``dot`` | qᵀ k | Luong, Pham & Manning (2015) |
| ``general`` | qᵀ W k | Luong, Pham & Manning (2015) |
| ``scaled_dot`` | qᵀ k / √d | Vaswani et al. (2017) |

:class:`Attention` is one of them; :class:`MultiHead` has several scaled ones side by side. Keys are made once for a
memory, which is then a constant.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell, apart, noisy
from seqdyn.checks import check_choice, check_count
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.state import constant, is_held, leaves, map_leaves


@shown_by_shape
class Memory(NamedTuple):
    """The memory that attention reads: one row for every position.

    Attributes
    ----------
    keys : Tensor, shape (batch, source, ·)
        By which a row is found.
    values : Tensor, shape (batch, source, ·)
        What it says.
    there : Tensor of bool, shape (batch, source)
        False at padding, which weighs nothing.
    """

    keys: Tensor
    values: Tensor
    there: Tensor


@shown_by_shape
class Attended(NamedTuple):
    """What a query reads: the ``context`` (batch, [time,] ·), and the ``weights`` α (batch, [time,] source)."""

    context: Tensor
    weights: Tensor


class Score(nn.Module):
    """How well queries (batch, time, ·) and keys (batch, source, ·) fit: (batch, time, source)."""

    def keys(self, rows: Tensor) -> Tensor:
        """What queries are compared with, made once of the rows of a memory."""
        return rows

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define forward(query, keys).")


class Additive(Score):
    """vᵀ tanh(W q + U k)."""

    def __init__(self, query_size: int, memory_size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.query = Affine(query_size, query_size, generator)
        self.key = nn.Parameter(torch.empty(query_size, memory_size))
        self.score = nn.Parameter(torch.empty(1, query_size))
        for weight in (self.key, self.score):
            nn.init.xavier_uniform_(weight, generator=own_generator(generator))

    def keys(self, rows: Tensor) -> Tensor:
        return nn.functional.linear(rows, self.key)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        hidden = torch.tanh(self.query(query).unsqueeze(2) + keys.unsqueeze(1))
        return nn.functional.linear(hidden, self.score).squeeze(3)


class Dot(Score):
    """qᵀ k, or qᵀ k / √d."""

    def __init__(self, query_size: int, memory_size: int, scaled: bool = False):
        super().__init__()
        if query_size != memory_size:
            raise ValueError(
                f"A dot product needs queries as wide as the memory, got {query_size} and {memory_size}: make them "
                "equal, or take attention='general'."
            )
        self.factor = query_size**-0.5 if scaled else 1.0

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return self.factor * query @ keys.mT


class General(Score):
    """qᵀ W k."""

    def __init__(self, query_size: int, memory_size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(query_size, memory_size))
        nn.init.xavier_uniform_(self.weight, generator=own_generator(generator))

    def keys(self, rows: Tensor) -> Tensor:
        return nn.functional.linear(rows, self.weight)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.mT


SCORES = ("additive", "dot", "general", "scaled_dot")
"""How a query is compared with a key."""


class Attention(nn.Module):
    """Soft attention by one of the scores: c_t = Σ_j softmax_j(score(q_t, k_j)) v_j.

    Along a sequence the products take memory for batch · time · source numbers, the additive score for ``query_size``
    times as many.

    Parameters
    ----------
    kind : {"additive", "dot", "general", "scaled_dot"}
    query_size, memory_size : int
        Widths of queries, and of the rows that are remembered, which are also the values.
    generator : torch.Generator, optional
        Draws the weights.

    References
    ----------
    Bahdanau, Cho & Bengio (2015), Neural machine translation by jointly learning to align and translate, eqs. (5) and
    (6); Luong, Pham & Manning (2015), Effective approaches to attention-based neural machine translation, eqs. (7) and
    (8); Vaswani et al. (2017), Attention is all you need, eq. (1).

    Examples
    --------
    The first key is the query itself, the second is orthogonal to it:

    >>> attention = Attention("dot", 2, 2)
    >>> rows = torch.tensor([[[9.0, 0.0], [0.0, 9.0]]])
    >>> attention(torch.tensor([[1.0, 0.0]]), attention.memory(rows)).weights
    tensor([[9.9988e-01, 1.2339e-04]])
    """

    def __init__(self, kind: str, query_size: int, memory_size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.kind = check_choice("attention", kind, SCORES)
        self.query_size, self.memory_size, self.context_size = query_size, memory_size, memory_size
        self.score: Score
        if kind in ("dot", "scaled_dot"):
            self.score = Dot(query_size, memory_size, kind == "scaled_dot")
        else:
            self.score = (Additive if kind == "additive" else General)(query_size, memory_size, generator)

    def memory(self, rows: Tensor, there: Tensor | None = None) -> Memory:
        """The memory of rows (batch, source, memory_size), of which those that are not ``there`` weigh nothing."""
        rows, there = _read_rows(rows, there)
        return Memory(self.score.keys(rows), rows, there)

    def forward(self, query: Tensor, memory: Memory) -> Attended:
        """Read with queries (batch, query_size), or with those of many steps, (batch, time, query_size)."""
        alone = query.dim() == 2
        scores = self._scores(query.unsqueeze(1) if alone else query, memory)
        weights = softmax_over(scores, memory.there.unsqueeze(1))
        context = weights @ memory.values
        return Attended(context.squeeze(1), weights.squeeze(1)) if alone else Attended(context, weights)

    def log_weights(self, query: Tensor, memory: Memory) -> Tensor:
        """ln α (batch, time, source), from queries (batch, time, query_size); lower than any other where nothing is."""
        scores = self._scores(query, memory)
        return torch.log_softmax(scores.masked_fill(~memory.there.unsqueeze(1), torch.finfo(scores.dtype).min), -1)

    def _scores(self, query: Tensor, memory: Memory) -> Tensor:
        check_memory(memory)
        return cast(Tensor, self.score(query, memory.keys))


class MultiHead(nn.Module):
    """Attention with several heads, each on its own projection: c_t = W_o [head_1; …; head_n].

        head_i = Σ_j softmax_j(q_iᵀ k_ij / √d) v_ij,   q = W_q q_t,  k = W_k row,  v = W_v row

    The weights that it tells are the mean over its heads; :meth:`each` tells them apart.

    Parameters
    ----------
    heads : int, at least 1
        Divides ``query_size``.
    query_size, memory_size : int
    generator : torch.Generator, optional

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, section 3.2.2.

    Examples
    --------
    >>> attention = MultiHead(2, 4, 6)
    >>> context, weights = attention(torch.zeros(1, 5, 4), attention.memory(torch.zeros(1, 3, 6)))
    >>> context.shape, weights.shape
    (torch.Size([1, 5, 4]), torch.Size([1, 5, 3]))
    """

    def __init__(self, heads: int, query_size: int, memory_size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.heads = check_count("heads", heads)
        if query_size % heads:
            raise ValueError(f"{heads} heads do not divide queries {query_size} wide: give widths that they divide.")
        self.query_size, self.memory_size, self.context_size = query_size, memory_size, query_size
        self.query, self.value, self.output = (
            Affine(width, query_size, generator) for width in (query_size, memory_size, query_size)
        )
        self.key = nn.Parameter(torch.empty(query_size, memory_size))  # a bias would shift all scores alike
        nn.init.xavier_uniform_(self.key, generator=own_generator(generator))

    def memory(self, rows: Tensor, there: Tensor | None = None) -> Memory:
        """The memory of rows (batch, source, memory_size)."""
        rows, there = _read_rows(rows, there)
        return Memory(nn.functional.linear(rows, self.key), self.value(rows), there)

    def forward(self, query: Tensor, memory: Memory) -> Attended:
        alone = query.dim() == 2
        check_memory(memory)
        weights = self.each(query.unsqueeze(1) if alone else query, memory)
        parts = weights @ split_heads(memory.values, self.heads)
        context, mean = self.output(parts.transpose(1, 2).flatten(2)), weights.mean(1)
        return Attended(context.squeeze(1), mean.squeeze(1)) if alone else Attended(context, mean)

    def each(self, query: Tensor, memory: Memory) -> Tensor:
        """α of every head, (batch, heads, time, source), from queries (batch, time, query_size)."""
        own, keys = split_heads(self.query(query), self.heads), split_heads(memory.keys, self.heads)
        scores = own @ keys.mT * (self.query_size // self.heads) ** -0.5
        return softmax_over(scores, memory.there[:, None, None])


Reader = Attention | MultiHead


class Attentive(Cell):
    """A cell that reads a memory by its ``attention``, which also makes the memory of rows."""

    attends = True
    attention: Reader


def attention_of(
    kind: str, query_size: int, memory_size: int, heads: int = 4, generator: torch.Generator | None = None
) -> Reader:
    """Attention by its name: one of :data:`SCORES`, or ``"multi_head"``."""
    if kind == "multi_head":
        return MultiHead(heads, query_size, memory_size, generator)
    return Attention(kind, query_size, memory_size, generator)


def softmax_over(scores: Tensor, there: Tensor) -> Tensor:
    """softmax over what is there of (…, source): exactly 0 elsewhere, and everywhere in rows without anything.

    Examples
    --------
    >>> softmax_over(torch.tensor([0.0, 0.0, 7.0]), torch.tensor([True, True, False]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    return torch.softmax(scores.masked_fill(~there, torch.finfo(scores.dtype).min), -1) * there


def split_heads(rows: Tensor, heads: int) -> Tensor:
    """Rows (batch, time, heads · width) as (batch, heads, time, width)."""
    return rows.unflatten(2, (heads, -1)).transpose(1, 2)


def check_memory(memory: Memory) -> None:
    """Raise unless a memory has rows: (batch, source, ·) in a step."""
    if memory.keys.dim() != 3:
        raise ValueError(
            f"In a step the memory has keys of shape {tuple(memory.keys.shape)}, expected (batch, source, ·): along a "
            "sequence hold it, as in Attending(x, hold(memory, time))."
        )


def _read_rows(rows: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows, and which are there; what is not is never read."""
    if there is None:
        return rows, everywhere(rows)
    return torch.where(there.unsqueeze(2), rows, rows.new_zeros(())), there


def everywhere(rows: Tensor) -> Tensor:
    """Marks (batch, source) that are all True."""
    return torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)


def read_once(x: Any) -> Any:
    """An input along a sequence with its memory (batch, …), which is the same at every step; else NotImplemented."""
    given, noise = apart(x)
    if not all(leaf.shape[1] == 1 or is_held(leaf) for leaf in leaves(given.memory)):
        return NotImplemented
    return noisy(given._replace(memory=map_leaves(constant, given.memory)), noise)


def check_queries(lower: Cell, attention: Reader) -> None:
    """Raise unless a layer asks with rows of the width that attention takes."""
    if lower.output_shape != (attention.query_size,):
        raise ValueError(
            f"attention asks with rows {attention.query_size} wide, but {type(lower).__name__} gives "
            f"{lower.output_shape}: make them equal."
        )

"""Decoding: choose symbols one after the other from the scores of any cell.

    scores y_t → log p = log softmax(y_t) → the strategy's log q → a symbol s_t → the next input

:class:`Drawn` wraps a cell that gives scores: its outputs are the symbols that were drawn, with both probabilities. A
text that writes itself is :func:`seqdyn.loops.rollout` of it, with its symbol fed back. :class:`Beam` follows several
beginnings at once, and :func:`hypotheses` reads the likeliest texts from its rollout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from seqdyn.cell import Cell, apart, noisy
from seqdyn.checks import check_count, is_number
from seqdyn.decoding_strategy import DecodingStrategy, draw_symbol, without
from seqdyn.facts import shown_by_shape
from seqdyn.loops import Scan
from seqdyn.state import State, leaves, map_leaves
from seqdyn.wrapper import Wrapper

NEVER = -1e9
"""ln p of what does not stand on a beam: finite, so that states stay so."""


@shown_by_shape
class Draw(NamedTuple):
    """The symbol that was drawn at a step, with its log-probabilities.

    Attributes
    ----------
    symbol : Tensor of int64, shape (batch,)
    log_probability : Tensor, shape (batch,)
        ln p of the symbol: what the model says, and what scores are compared by.
    sampler_log_probability : Tensor, shape (batch,)
        ln q: what the strategy made of it.
    """

    symbol: Tensor
    log_probability: Tensor
    sampler_log_probability: Tensor


class Chance(NamedTuple):
    """What is drawn for a step: ``uniform`` (batch,) in [0, 1), and the ``inner`` cell's own noise."""

    uniform: Tensor
    inner: Any


class Drawn(Wrapper):
    """A cell that draws a symbol from the scores of its inner cell: s_t ~ q_t.

    Its output is a :class:`Draw`. It draws nothing itself: the uniform numbers come as noise (:meth:`noise`, or
    :meth:`seeded` with a seed for every sequence), and s_t is the first symbol at which the sum of q passes them.
    Without noise s_t is the likeliest symbol, as dropout without noise is off.

    Parameters
    ----------
    cell : Cell
        Its outputs are scores (batch, symbols).
    strategy : DecodingStrategy

    Raises
    ------
    ValueError
        If the cell's output is no vector of scores.

    Examples
    --------
    A cell that is sure of the next of three symbols counts in a circle:

    >>> from seqdyn.cell import Noisy
    >>> from seqdyn.cells.linear import Linear
    >>> from seqdyn.composition import Offset
    >>> from seqdyn.loops import rollout
    >>> circle = Linear(3, 0, 3)
    >>> _ = circle.feedthrough.data.copy_(50 * torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    >>> drawn = Drawn(circle, DecodingStrategy())
    >>> one_hot = lambda symbol: torch.nn.functional.one_hot(symbol, 3).float()
    >>> start = Draw(torch.tensor([0]), torch.zeros(1), torch.zeros(1))
    >>> feed = lambda draw, chance: Noisy(one_hot(draw.symbol), chance)
    >>> run = rollout(drawn, drawn.initial_state(1), 5, last=start, feed=feed, exogenous=drawn.seeded([7], 5))
    >>> run.output.symbol.tolist()
    [[1, 2, 0, 1, 2]]
    """

    def __init__(self, cell: Cell, strategy: DecodingStrategy | None = None):
        super().__init__(cell)
        _check_scores(cell)
        self.strategy = DecodingStrategy() if strategy is None else strategy
        self.output_shape = None

    def see(self, x: Any) -> Any:
        """The inner cell's input, with its own noise."""
        value, chance = apart(x)
        return noisy(value, None if chance is None else chance.inner)

    def read(self, output: Any, x: Any) -> Draw:
        """The draw from scores (…, symbols)."""
        _, chance = apart(x)
        log_p = torch.log_softmax(output, -1)
        log_q = self.strategy.log_probabilities(log_p)
        greedy = chance is None or self.strategy.name == "greedy"
        symbol = log_q.argmax(-1, keepdim=True) if greedy else draw_symbol(log_q, chance.uniform).unsqueeze(-1)
        return Draw(*(tree.squeeze(-1) for tree in (symbol, log_p.gather(-1, symbol), log_q.gather(-1, symbol))))

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Chance:
        like, inner = self.zeros(1), self.cell.noise(batch, time, generator)
        return Chance(torch.rand(batch, time, generator=generator, dtype=like.dtype).to(like.device), inner)

    def seeded(self, seeds: Sequence[int | torch.Generator], time: int) -> Chance:
        """The noise of a seed for every sequence: what is drawn does not depend on the batch.

        Parameters
        ----------
        seeds : sequence of int or torch.Generator, one a sequence
            A generator goes on from where it is, so that noise can be drawn in pieces.
        time : int, at least 1

        Examples
        --------
        >>> from seqdyn.cells.gru import GRU
        >>> both, alone = (Drawn(GRU(2, 3)).seeded(seeds, 5).uniform for seeds in ([3, 4], [4]))
        >>> torch.equal(both[1:], alone)
        True
        """
        check_count("time", time)
        own = (s if isinstance(s, torch.Generator) else torch.Generator().manual_seed(int(s)) for s in seeds)
        rows = [self.noise(1, time, generator) for generator in own]
        return cast(Chance, map_leaves(lambda *parts: torch.cat(parts), *rows))


@shown_by_shape
class Ended(NamedTuple):
    """The best hypotheses that have ended, best first; leaves (batch, beams).

    Attributes
    ----------
    score : Tensor
        ln p divided by the length penalty; :data:`NEVER` where there is none yet.
    log_probability : Tensor
        ln p.
    step : Tensor
        The step of its last symbol.
    parent : Tensor
        The beam it was on before that step.
    """

    score: Tensor
    log_probability: Tensor
    step: Tensor
    parent: Tensor


@shown_by_shape
class BeamState(NamedTuple):
    """``inner``, the state of the inner cell on every beam, leaves (batch, beams, …); ``log_probability`` (batch,
    beams) of what stands on it; what has ``ended``; ``time`` (batch,), the steps taken."""

    inner: State
    log_probability: Tensor
    ended: Ended
    time: Tensor


@shown_by_shape
class Extension(NamedTuple):
    """What a step of a beam search did, leaves (batch, beams).

    Attributes
    ----------
    symbol : Tensor of int64
        What was appended.
    parent : Tensor of int64
        To which beam of the step before.
    log_probability : Tensor
        ln p of all that now stands on the beam; :data:`NEVER` where nothing does.
    over : Tensor of bool, shape (batch,)
        Whether no beam can still overtake what has ended.
    """

    symbol: Tensor
    parent: Tensor
    log_probability: Tensor
    over: Tensor


class Beam(Cell):
    """A cell that follows its likeliest outputs side by side: beam search as a recurrence.

        candidates     ln p(y_1…y_{t-1}) + ln p(y_t | y_1…y_{t-1})      of every beam and symbol
        y_t            the ``width`` best that do not end               the state follows its beam
        score          ln p / lp(n),   lp(n) = ((5 + n) / 6)^α          of what ends after n symbols, the end counted

    Its input is (batch, width, *input_shape), one a beam; its output an :class:`Extension`. What ends among the
    ``width`` best candidates leaves its beam to another, and stays in the state if it is among the ``width`` best of
    those. With width 1 and α = 0 it is the greedy search; with a beam for every text it is exhaustive.

    Parameters
    ----------
    cell : Cell
        Its outputs are scores (batch, symbols).
    width : int, at least 1
        Beams of every sequence.
    end : int, optional
        The symbol that ends a text; None: none does.
    length_penalty : float, at least 0
        α: 0 compares texts of unlike length by ln p, which favours short ones; 0.6 to 1 is usual.
    longest : int, optional
        Symbols a text may have, with its end: with α > 0 the search is then over as soon as nothing can change.
    forbidden : tuple of int
        Symbols that never come.

    References
    ----------
    Wu et al. (2016), Google's Neural Machine Translation System, eq. (14) for the length penalty.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.composition import Embedding, Readout
    >>> from seqdyn.loops import rollout
    >>> beam = Beam(Embedding(Readout(GRU(3, 8), 5), 5), width=2)
    >>> first = beam.first(torch.tensor([4]))
    >>> run = rollout(beam, beam.initial_state(1), 3, last=first, feed=lambda y, _: y.symbol)
    >>> run.output.symbol.shape
    torch.Size([1, 3, 2])
    """

    def __init__(
        self,
        cell: Cell,
        width: int,
        end: int | None = None,
        length_penalty: float = 0.0,
        longest: int | None = None,
        forbidden: tuple[int, ...] = (),
    ):
        super().__init__(cell.input_size, cell.hidden_size, cell.output_size)
        _check_scores(cell)
        self.cell, self.attends = cell, cell.attends
        self.width, self.end = check_count("width", width), end
        if not is_number(length_penalty) or not 0 <= length_penalty < math.inf:
            raise ValueError(f"length_penalty must be a number of at least 0, got {length_penalty!r}.")
        self.length_penalty, self.forbidden = float(length_penalty), tuple(forbidden)
        self.longest = check_count("longest", longest, others=(None,))
        self.input_shape = self.output_shape = None

    def initial_state(self, batch: int) -> BeamState:
        return self.fanned(self.cell.initial_state(batch))

    def fanned(self, state: State) -> BeamState:
        """The state of a search that starts from one state (batch, …) of the inner cell: one beam is alive."""
        batch = len(leaves(state)[0])
        zero = self.zeros(batch, self.width)
        nothing = torch.full_like(zero, NEVER)
        inner = map_leaves(lambda leaf: leaf.unsqueeze(1).expand(-1, self.width, *leaf.shape[1:]).clone(), state)
        alive = torch.cat([zero[:, :1], nothing[:, 1:]], 1)
        return BeamState(inner, alive, Ended(nothing, nothing, zero, zero), zero[:, 0])

    def first(self, symbol: Tensor) -> Extension:
        """The output before the first step, from the last symbol that is known, (batch,)."""
        symbol = symbol.unsqueeze(1).expand(-1, self.width)
        zero = self.zeros(*symbol.shape)
        return Extension(symbol, torch.zeros_like(symbol), zero, zero[:, 0] > 0)

    def forward(self, x: Any, state: BeamState) -> tuple[Extension, BeamState]:
        scores, inner = self.cell(*(map_leaves(lambda leaf: leaf.flatten(0, 1), tree) for tree in (x, state.inner)))
        log_p = without(torch.log_softmax(scores, -1), self.forbidden).unflatten(0, (-1, self.width))
        symbols = log_p.shape[-1]
        totals = (state.log_probability.unsqueeze(-1) + log_p).flatten(1)
        best, place = _ordered_largest(totals, min(2 * self.width, totals.shape[1]))
        parent, symbol = place // symbols, place % symbols
        ends = symbol == self.end if self.end is not None else torch.zeros_like(symbol, dtype=torch.bool)
        ended = self._ended(state, best, parent, ends)
        live = torch.argsort(ends.int(), dim=1, stable=True)[:, : self.width]
        best, parent, symbol, ends = (value.gather(1, live) for value in (best, parent, symbol, ends))
        best = best.masked_fill(ends, NEVER).clamp(min=NEVER)
        followed = map_leaves(lambda leaf: _follow(leaf.unflatten(0, (-1, self.width)), parent), inner)
        after = BeamState(followed, best, ended, state.time + 1)
        return Extension(symbol, parent, best, self._over(after)), after

    def penalty(self, length: Any) -> Any:
        """lp(n), what ln p of a text of n symbols is divided by."""
        return ((5 + length) / 6) ** self.length_penalty

    def _ended(self, state: BeamState, best: Tensor, parent: Tensor, ends: Tensor) -> Ended:
        """What had ended, and what does now among the first ``width`` candidates: the best of both."""
        first = slice(self.width)
        log_p = best[:, first].masked_fill(~ends[:, first], NEVER).clamp(min=NEVER)
        step = state.time.unsqueeze(1).expand_as(log_p)
        score = torch.where(log_p > NEVER, log_p / self.penalty(step + 1), NEVER)
        now = Ended(score, log_p, step, parent[:, first].to(step))
        both = Ended(*(torch.cat(pair, 1) for pair in zip(state.ended, now, strict=True)))
        _, order = _ordered_largest(both.score, self.width)
        return Ended(*(value.gather(1, order) for value in both))

    def _over(self, state: BeamState) -> Tensor:
        """Whether the worst of what has ended is better than the best that a live beam can become."""
        if self.end is None or (self.length_penalty and self.longest is None):
            return torch.zeros_like(state.time, dtype=torch.bool)
        bound = state.log_probability.amax(1) / self.penalty(self.longest or 0)
        return state.ended.score[:, -1] >= bound


@dataclass(frozen=True)
class Hypothesis:
    """A text that a beam search has found.

    Attributes
    ----------
    symbols : tuple of int
        With its end, if it has ended.
    log_probabilities : tuple of float
        ln p of every symbol, given those before it.
    score : float
        ln p divided by the length penalty, by which hypotheses are ordered.
    ended : bool
        Whether it ends with the end symbol, or was cut off.
    """

    symbols: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    score: float
    ended: bool

    @property
    def log_probability(self) -> float:
        """ln p of all its symbols."""
        return sum(self.log_probabilities)


def hypotheses(beam: Beam, run: Scan) -> list[list[Hypothesis]]:
    """The texts of a rollout of a :class:`Beam`, for every sequence, best first: those that ended, then the others."""
    state, output = (map_leaves(lambda leaf: leaf.detach().cpu(), tree) for tree in (run.state, run.output))
    rows = range(len(state.time))
    return [_of_row(beam, *(map_leaves(lambda leaf: leaf[row], tree) for tree in (state, output))) for row in rows]  # noqa: B023


def _of_row(beam: Beam, state: BeamState, output: Extension) -> list[Hypothesis]:
    """The hypotheses of one sequence."""
    taken, found = int(state.time), []
    for score, log_p, step, parent in zip(*(leaf.tolist() for leaf in state.ended), strict=True):
        if score > NEVER:
            symbols, totals = _trace_back(output, int(step) - 1, int(parent))
            found.append(_hypothesis([*symbols, cast(int, beam.end)], [*totals, log_p], score, True))
    for place, log_p in enumerate(state.log_probability.tolist()):
        if log_p > NEVER:
            found.append(_hypothesis(*_trace_back(output, taken - 1, place), log_p / beam.penalty(taken), False))
    return found


def _hypothesis(symbols: list[int], totals: list[float], score: float, ended: bool) -> Hypothesis:
    """From the sums of ln p after every symbol."""
    return Hypothesis(tuple(symbols), tuple(after - before for before, after in pairwise([0.0, *totals])), score, ended)


def _trace_back(output: Extension, step: int, place: int) -> tuple[list[int], list[float]]:
    """The symbols that lead to a beam after a step, along the back-pointers, and ln p of all up to each."""
    symbols, totals = [], []
    for t in range(step, -1, -1):
        symbols.append(int(output.symbol[t, place]))
        totals.append(float(output.log_probability[t, place]))
        place = int(output.parent[t, place])
    return symbols[::-1], totals[::-1]


def _ordered_largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest values of every row and their places, in decreasing order; of equals the first comes first."""
    place = values.topk(count, 1).indices.sort(1).values
    ordered, order = values.gather(1, place).sort(dim=1, descending=True, stable=True)
    return ordered, place.gather(1, order)


def _follow(leaf: Tensor, parent: Tensor) -> Tensor:
    """A leaf (batch, beams, …), of which every beam takes the row of its parent."""
    rows = torch.arange(len(leaf), device=leaf.device).unsqueeze(1)
    return leaf[rows, parent]


def _check_scores(cell: Cell) -> None:
    """Raise unless a cell's output is one row of scores."""
    if cell.output_shape is None or len(cell.output_shape) != 1:
        raise ValueError(
            f"{type(cell).__name__} gives outputs of shape {cell.output_shape}, and symbols are drawn from scores "
            "(symbols,), one for each."
        )

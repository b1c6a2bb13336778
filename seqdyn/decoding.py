"""Decoding: symbols from the scores of any cell, one after the other.

    scores y_t → log p = log softmax(y_t) → the strategy's log q → a symbol s_t → the next input

:class:`Drawn` wraps a cell that gives scores: its outputs are the symbols that were drawn, with both probabilities. A
text that writes itself is :func:`seqdyn.loops.rollout` of it, with its symbol fed back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell, apart, noisy
from seqdyn.checks import check_choice, check_count, is_number
from seqdyn.composition import Wrapper
from seqdyn.state import map_leaves

STRATEGIES = ("sample", "greedy")


@dataclass(frozen=True)
class Strategy:
    """Which symbol follows: q, a distribution made from that of the model, p.

    ``"greedy"`` takes the likeliest symbol, of equals the first. ``"sample"`` draws from q, made in this order:

        q ∝ p^(1/τ)                                                          temperature
        only the k likeliest are kept, exactly k                             top_k
        only the smallest set of the likeliest whose mass reaches m is kept  top_p

    Parameters
    ----------
    name : {"sample", "greedy"}
    temperature : float > 0
        τ: below 1 bolder, above 1 more even; 1 is p itself.
    top_k : int, at least 1, optional
        k.
    top_p : float in (0, 1], optional
        m: the symbol that crosses it is kept, too.

    References
    ----------
    Holtzman et al. (2020), The curious case of neural text degeneration (top_p).

    Examples
    --------
    >>> log_p = torch.tensor([0.5, 0.3, 0.2]).log()
    >>> Strategy(top_k=2).log_probabilities(log_p).exp()
    tensor([0.6250, 0.3750, 0.0000])
    >>> Strategy("greedy").log_probabilities(log_p).exp()
    tensor([1., 0., 0.])
    """

    name: str = "sample"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        check_choice("strategy", self.name, STRATEGIES)
        if not is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature must be a finite number above 0, got {self.temperature!r}; for its limit at 0 take "
                "strategy='greedy'."
            )
        check_count("top_k", self.top_k, others=(None,))
        if self.top_p is not None and (not is_number(self.top_p) or not 0 < self.top_p <= 1):
            raise ValueError(f"top_p must be a number in (0, 1], got {self.top_p!r}.")
        if self.name == "greedy" and (self.temperature != 1 or self.top_k is not None or self.top_p is not None):
            raise ValueError(
                "strategy='greedy' always takes the likeliest symbol: temperature, top_k and top_p change nothing. "
                "Leave them out, or take strategy='sample'."
            )

    def log_probabilities(self, log_p: Tensor) -> Tensor:
        """ln q from ln p, (…, symbols): −∞ where nothing is ever drawn."""
        if self.name == "greedy":
            return torch.full_like(log_p, -math.inf).scatter(-1, log_p.argmax(-1, keepdim=True), 0.0)
        log_q = torch.log_softmax(log_p / self.temperature, -1)
        if self.top_k is None and self.top_p is None:
            return log_q
        ordered, place = log_q.sort(dim=-1, descending=True, stable=True)
        kept = torch.ones_like(ordered, dtype=torch.bool)
        if self.top_k is not None:
            kept[..., self.top_k :] = False
        if self.top_p is not None:
            mass = torch.softmax(ordered.masked_fill(~kept, -math.inf), -1)
            kept = kept & (mass.cumsum(-1) - mass < self.top_p)
        ordered = torch.log_softmax(ordered.masked_fill(~kept, -math.inf), -1)
        return torch.full_like(log_q, -math.inf).scatter(-1, place, ordered)


class Draw(NamedTuple):
    """What was drawn at a step.

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
    """A cell read through a draw: s_t ~ q_t, from the scores that it gives.

    Its output is a :class:`Draw`. It draws nothing itself: the uniform numbers come as noise (:meth:`noise`, or
    :meth:`seeded` with a seed for every sequence), and s_t is the first symbol at which the sum of q passes them.
    Without noise s_t is the likeliest symbol, as dropout without noise is off.

    Parameters
    ----------
    cell : Cell
        Its outputs are scores (batch, symbols).
    strategy : Strategy

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
    >>> drawn = Drawn(circle, Strategy())
    >>> one_hot = lambda symbol: torch.nn.functional.one_hot(symbol, 3).float()
    >>> start = Draw(torch.tensor([0]), torch.zeros(1), torch.zeros(1))
    >>> feed = lambda draw, chance: Noisy(one_hot(draw.symbol), chance)
    >>> run = rollout(drawn, drawn.initial_state(1), 5, last=start, feed=feed, exogenous=drawn.seeded([7], 5))
    >>> run.output.symbol.tolist()
    [[1, 2, 0, 1, 2]]
    """

    def __init__(self, cell: Cell, strategy: Strategy | None = None):
        super().__init__(cell)
        if cell.output_shape is None or len(cell.output_shape) != 1:
            raise ValueError(
                f"{type(cell).__name__} gives outputs of shape {cell.output_shape}, and symbols are drawn from scores "
                "(symbols,), one for each."
            )
        self.strategy = Strategy() if strategy is None else strategy
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
        symbol = log_q.argmax(-1, keepdim=True) if greedy else drawn(log_q, chance.uniform).unsqueeze(-1)
        return Draw(*(tree.squeeze(-1) for tree in (symbol, log_p.gather(-1, symbol), log_q.gather(-1, symbol))))

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Chance:
        like, inner = self.zeros(1), self.cell.noise(batch, time, generator)
        return Chance(torch.rand(batch, time, generator=generator, dtype=like.dtype).to(like.device), inner)

    def seeded(self, seeds: Sequence[int], time: int) -> Chance:
        """The noise of a seed for every sequence: what is drawn does not depend on the batch.

        Parameters
        ----------
        seeds : sequence of int, one a sequence
        time : int, at least 1

        Examples
        --------
        >>> from seqdyn.cells.gru import GRU
        >>> both, alone = (Drawn(GRU(2, 3)).seeded(seeds, 5).uniform for seeds in ([3, 4], [4]))
        >>> torch.equal(both[1:], alone)
        True
        """
        check_count("time", time)
        rows = [self.noise(1, time, torch.Generator().manual_seed(int(seed))) for seed in seeds]
        joined: Chance = map_leaves(lambda *parts: torch.cat(parts), *rows)
        return joined


def drawn(log_q: Tensor, uniform: Tensor) -> Tensor:
    """The first symbol at which the sum of q passes a uniform number; never one of probability 0.

    Examples
    --------
    >>> drawn(torch.tensor([0.5, 0.0, 0.5]).log(), torch.tensor(0.5))
    tensor(2)
    """
    mass = log_q.double().exp().cumsum(-1)
    passed = mass > (uniform.double() * mass[..., -1]).unsqueeze(-1)
    possible = log_q > -math.inf
    return torch.where(passed.any(-1), (passed & possible).int().argmax(-1), log_q.argmax(-1))

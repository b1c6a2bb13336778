"""Texts that write themselves: a language model on its own symbols, drawn or searched for.

    prompt → state → symbol s_t ~ q(· | s_1 … s_{t-1}) → the next input → …

Every sequence has a seed of its own, so that what is drawn does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.cell import Cell, Noisy
from seqdyn.data.text import REPLACEMENT, Vocabulary
from seqdyn.decoding import Beam, Draw, Drawn, Hypothesis, hypotheses
from seqdyn.loops import rollout, scan
from seqdyn.state import State, map_leaves

Array = np.ndarray[Any, Any]

AT_ONCE = 16
"""Symbols that are drawn before an iterator hands them on."""

IN_ALL = 1024
"""Symbols that are drawn before it is asked whether all texts are over."""


@dataclass(frozen=True)
class Generation:
    """A text that a model has written.

    Attributes
    ----------
    text : str
        Without the prompt.
    symbols : tuple of int
        The numbers of its symbols.
    log_probabilities : array, shape (symbols,)
        ln p of every symbol, given the prompt and those before it: what :meth:`LanguageModel.score` is the mean of.
    sampler_log_probabilities : array, shape (symbols,)
        ln q, what the strategy made of p; 0 in a search, which draws nothing.
    score : float
        ln p of all of it; in a search, divided by the length penalty.
    """

    text: str
    symbols: tuple[int, ...]
    log_probabilities: Array
    sampler_log_probabilities: Array
    score: float


class Primed(NamedTuple):
    """Prompts that a network has seen all but the last symbol of: its ``state``, and that symbol, ``last`` (batch,)."""

    state: State
    last: Tensor


def primed(network: Cell, prompts: Sequence[Array], begin: int) -> Primed:
    """Let a network see prompts, each the numbers of its symbols; it may be empty.

    Parameters
    ----------
    network : Cell
        Takes tokens.
    prompts : sequence of array of int
    begin : int
        The token before the first symbol.
    """
    device = network.zeros(1).device
    rows = [torch.tensor([begin, *prompt], device=device) for prompt in prompts]
    last = torch.stack([row[-1] for row in rows])
    seen = torch.tensor([len(row) - 1 for row in rows], device=device)
    if not int(seen.max()):
        return Primed(network.initial_state(len(rows)), last)
    x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)[:, :-1]
    mask = torch.arange(x.shape[1], device=device) < seen[:, None]
    return Primed(scan(network, x, mask=None if bool(mask.all()) else mask).state, last)


def drawn_texts(
    drawn: Drawn, vocabulary: Vocabulary, start: Primed, length: int, seeds: Sequence[int], stops: Sequence[str]
) -> list[Generation]:
    """Draw a text for every prompt, of at most so many symbols."""
    rows: list[list[Draw]] = [[] for _ in seeds]
    for pieces in _written(drawn, start, length, seeds, Endings(vocabulary, stops, len(seeds)), IN_ALL):
        for row, piece in zip(rows, pieces, strict=True):
            row.append(piece)
    return [_generation(vocabulary, map_leaves(lambda *parts: torch.cat(parts), *row)) for row in rows]


def drawn_pieces(
    drawn: Drawn, vocabulary: Vocabulary, start: Primed, length: int, seed: int, stops: Sequence[str]
) -> Iterator[str]:
    """Draw one text, handed on in pieces as it goes; half a character waits for its other half."""
    waiting: list[int] = []
    for ((symbols, *_),) in _written(drawn, start, length, [seed], Endings(vocabulary, stops, 1), AT_ONCE):
        waiting += symbols.tolist()
        text = vocabulary.decode(np.array(waiting))
        if vocabulary.unit != "subword" or not text.endswith(REPLACEMENT):
            waiting = []
            yield text
    if waiting:
        yield vocabulary.decode(np.array(waiting))


def searched_texts(beam: Beam, vocabulary: Vocabulary, start: Primed, length: int) -> list[list[Generation]]:
    """Search for the likeliest texts after every prompt, best first."""
    with torch.inference_mode():
        run = rollout(
            beam,
            beam.fanned(start.state),
            length,
            last=beam.first(start.last),
            feed=lambda extension, _: extension.symbol,
            until=None if beam.end is None else lambda extension: extension.over,
        )
    return [[_of_hypothesis(vocabulary, found) for found in row[: beam.width]] for row in hypotheses(beam, run)]


def unwritten(vocabulary: Vocabulary) -> tuple[int, ...]:
    """The numbers that are never written: those of marks."""
    return tuple(range(len(vocabulary.marks)))


class Endings:
    """Which of several texts are over: each as soon as it holds one of some strings. It is asked after every step.

    Parameters
    ----------
    vocabulary : Vocabulary
    stops : sequence of str
        With none of them a text goes on.
    rows : int
        Texts side by side.

    Attributes
    ----------
    over : list of bool
    """

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str], rows: int):
        self.vocabulary, self.stops = vocabulary, tuple(stops)
        self.longest = max((len(stop.encode()) for stop in stops), default=0)  # a symbol has a byte at least
        self.tails: list[list[int]] = [[] for _ in range(rows)]
        self.over = [False] * rows

    def __call__(self, draw: Draw) -> Tensor:
        for row, symbol in enumerate(draw.symbol.tolist()):
            if not self.over[row]:
                self.tails[row] = [*self.tails[row][-self.longest :], symbol]
                text = self.vocabulary.decode(np.array(self.tails[row]))
                self.over[row] = any(stop in text for stop in self.stops)
        return torch.tensor(self.over, device=draw.symbol.device)


def _written(
    drawn: Drawn, start: Primed, length: int, seeds: Sequence[int], endings: Endings, at_once: int
) -> Iterator[list[Draw]]:
    """A rollout on its own symbols, in pieces: of every row, what was drawn, leaves (symbols,)."""
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    greedy, (state, last) = drawn.strategy.name == "greedy", start
    for place in range(0, length, at_once):
        count, nothing, over = min(at_once, length - place), drawn.zeros(len(last)), list(endings.over)
        with torch.inference_mode():
            run = rollout(
                drawn,
                state,
                count,
                last=Draw(last, nothing, nothing),
                feed=lambda draw, noise: draw.symbol if noise is None else Noisy(draw.symbol, noise),
                exogenous=None if greedy else drawn.seeded(generators, count),
                until=endings if endings.stops else None,
            )
        state, last = run.state, run.output.symbol[:, -1]
        there = [run.output.symbol.shape[1]] * len(seeds) if run.mask is None else run.mask.sum(1).tolist()
        lengths = [0 if ended else steps for ended, steps in zip(over, there, strict=True)]
        output = map_leaves(lambda leaf: leaf.cpu(), run.output)
        yield [map_leaves(lambda leaf: leaf[row, :stop], output) for row, stop in enumerate(lengths)]  # noqa: B023
        if all(endings.over):
            return


def _generation(vocabulary: Vocabulary, row: Draw) -> Generation:
    symbols, log_p, log_q = (leaf.numpy() for leaf in row)
    return Generation(vocabulary.decode(symbols), tuple(symbols.tolist()), log_p, log_q, float(log_p.sum()))


def _of_hypothesis(vocabulary: Vocabulary, found: Hypothesis) -> Generation:
    text, log_p = vocabulary.decode(np.array(found.symbols)), np.array(found.log_probabilities)
    return Generation(text, found.symbols, log_p, np.zeros(len(log_p)), found.score)

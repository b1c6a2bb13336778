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
from seqdyn.data.text import Vocabulary
from seqdyn.decoding import Beam, Draw, Drawn, Hypothesis, Strategy, hypotheses
from seqdyn.loops import Until, rollout, scan
from seqdyn.state import State, map_leaves, steps

Array = np.ndarray[Any, Any]

AT_ONCE = 16
"""Symbols that are drawn before an iterator hands them on."""


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


class Begun(NamedTuple):
    """Prompts that a network has seen all but the last symbol of: its ``state``, and that symbol, ``last`` (batch,)."""

    state: State
    last: Tensor


def begun(network: Cell, prompts: Sequence[Array], begin: int) -> Begun:
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
        return Begun(network.initial_state(len(rows)), last)
    x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)[:, :-1]
    mask = torch.arange(x.shape[1], device=device) < seen[:, None]
    return Begun(scan(network, x, mask=None if bool(mask.all()) else mask).state, last)


def drawn_texts(
    network: Cell,
    vocabulary: Vocabulary,
    start: Begun,
    length: int,
    strategy: Strategy,
    seeds: Sequence[int],
    stop: Stop,
) -> list[Generation]:
    """Draw a text for every prompt, of at most so many symbols."""
    drawn = Drawn(network, strategy)
    run = _run(drawn, start.state, start.last, _chance(drawn, seeds, length), length, stop.until(len(start.last)))
    lengths = [length] * len(start.last) if run.mask is None else run.mask.sum(1).tolist()
    return [_generation(vocabulary, row, count) for row, count in zip(_rows(run.output), lengths, strict=True)]


def drawn_pieces(
    network: Cell, vocabulary: Vocabulary, start: Begun, length: int, strategy: Strategy, seed: int, stop: Stop
) -> Iterator[str]:
    """Draw one text, handed on in pieces as it goes."""
    drawn = Drawn(network, strategy)
    chance, (state, last) = _chance(drawn, [seed], length), start
    until, symbols, told = stop.until(1), [], ""
    for place in range(0, length, AT_ONCE):
        count = min(AT_ONCE, length - place)
        part = None if chance is None else steps(chance, place, place + count)
        run = _run(drawn, state, last, part, count, until)
        taken = count if run.mask is None else int(run.mask.sum())
        state, last = run.state, run.output.symbol[:, taken - 1]
        symbols += run.output.symbol[0, :taken].tolist()
        text = vocabulary.decode(np.array(symbols))
        whole = text.removesuffix("\N{REPLACEMENT CHARACTER}")  # a character whose last bytes are still to come
        yield whole[len(told) :]
        told = whole
        if until is not None and stop.over:
            return


def searched_texts(
    network: Cell,
    vocabulary: Vocabulary,
    start: Begun,
    length: int,
    width: int,
    length_penalty: float,
    end: int | None,
) -> list[list[Generation]]:
    """Search for the likeliest texts after every prompt, best first."""
    beam = Beam(network, width, end, length_penalty, length, unwritten(vocabulary))
    last = beam.first(start.last)
    with torch.inference_mode():
        run = rollout(
            beam,
            beam.fanned(start.state),
            length,
            last=last,
            feed=lambda extension, _: extension.symbol,
            until=None if end is None else lambda extension: extension.over,
        )
    return [[_of_hypothesis(vocabulary, hypothesis) for hypothesis in found[:width]] for found in hypotheses(beam, run)]


def unwritten(vocabulary: Vocabulary) -> tuple[int, ...]:
    """The numbers that are never written: those of marks."""
    return tuple(range(len(vocabulary.marks)))


class Stop:
    """When a text is over: as soon as it holds one of some strings.

    Parameters
    ----------
    vocabulary : Vocabulary
    texts : sequence of str
        Texts that end it; with none it goes on.
    """

    def __init__(self, vocabulary: Vocabulary, texts: Sequence[str]):
        self.texts, self.written = tuple(texts), vocabulary.labels
        self.over = False

    def until(self, rows: int) -> Until | None:
        """What :func:`~seqdyn.loops.rollout` asks after every step."""
        if not self.texts:
            return None
        longest = max(map(len, self.texts)) - 1
        tails = [""] * rows

        def until(draw: Draw) -> Tensor:
            ended = []
            for row, symbol in enumerate(draw.symbol.tolist()):
                text = tails[row] + self.written[symbol]
                ended.append(any(stop in text for stop in self.texts))
                tails[row] = text[-longest:] if longest else ""
            self.over = all(ended)
            return torch.tensor(ended, device=draw.symbol.device)

        return until


def _chance(drawn: Drawn, seeds: Sequence[int], length: int) -> Any:
    """The noise of every sequence; None where nothing is drawn."""
    return None if drawn.strategy.name == "greedy" else drawn.seeded(seeds, length)


def _run(drawn: Drawn, state: State, last: Tensor, chance: Any, length: int, until: Until | None) -> Any:
    """A rollout on its own symbols."""
    nothing = drawn.zeros(len(last))
    with torch.inference_mode():
        return rollout(
            drawn,
            state,
            length,
            last=Draw(last, nothing, nothing),
            feed=lambda draw, noise: draw.symbol if noise is None else Noisy(draw.symbol, noise),
            exogenous=chance,
            until=until,
        )


def _rows(output: Draw) -> list[Draw]:
    """What was drawn for every sequence."""
    there = map_leaves(lambda leaf: leaf.cpu(), output)
    return [map_leaves(lambda leaf: leaf[row], there) for row in range(len(there.symbol))]  # noqa: B023


def _generation(vocabulary: Vocabulary, row: Draw, count: int) -> Generation:
    symbols, log_p, log_q = (leaf[:count].numpy() for leaf in row)
    return Generation(vocabulary.decode(symbols), tuple(symbols.tolist()), log_p, log_q, float(log_p.sum()))


def _of_hypothesis(vocabulary: Vocabulary, found: Hypothesis) -> Generation:
    log_p = np.array(found.log_probabilities)
    return Generation(
        vocabulary.decode(np.array(found.symbols)), found.symbols, log_p, np.zeros(len(log_p)), found.score
    )

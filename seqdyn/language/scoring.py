"""Scores of a text: ln p of every symbol, computed in chunks with the state carried on, and its sums.

    ln p(text) = Σ ln p(s_t | s_1 … s_{t-1})

Sums of nats and counts are kept apart until the end, so that no mean is a mean of means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.data.text import Vocabulary
from seqdyn.loops import scan
from seqdyn.state import State
from seqdyn.training.pairs import shift_right

STEPS_HELD = 4096
SCORES_HELD = 1 << 22
"""What is held in memory when a text is scored: steps, and scores of all symbols in all steps."""


class ScoredPiece(NamedTuple):
    """A piece of a text: the ``text``, its ``numbers``, and ``log_p`` of each, (symbols,) both."""

    text: str
    numbers: Array
    log_p: Array


class SymbolScorer:
    """A network that scores one text, piece by piece, after the token ``begin``; the state is carried on."""

    def __init__(self, network: Cell, begin: int):
        self.network, self.symbols, self.last = network, begin, begin
        self.state: State | None = None

    def log_probabilities(self, numbers: Array) -> Array:
        """ln p of each of the symbols that come next, (symbols,)."""
        chunk, found = max(1, min(STEPS_HELD, SCORES_HELD // self.symbols)), [np.empty(0)]
        tokens = torch.as_tensor(numbers, dtype=torch.int64, device=self.network.zeros(1).device)
        with torch.inference_mode():
            for now in tokens.split(chunk) if len(tokens) else ():
                scores, self.state, *_ = scan(self.network, shift_right(self.last, now)[None], self.state)
                log_p = torch.log_softmax(scores[0].double(), -1)
                found.append(log_p.gather(1, now[:, None]).squeeze(1).cpu().numpy())
                self.last = int(now[-1])
        return np.concatenate(found)


def score_pieces(network: Cell, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[ScoredPiece]:
    """ln p of the symbols of one text that comes in pieces."""
    scorer = SymbolScorer(network, len(vocabulary))
    for text in texts:
        numbers = vocabulary.encode(text)
        yield ScoredPiece(text, numbers, scorer.log_probabilities(numbers))


@dataclass
class TextTotals:
    """Sums over a text: nats of its log-likelihood, and counts."""

    log_likelihood: float = 0.0
    symbols: int = 0
    unknown: int = 0
    characters: int = 0
    bytes: int = 0
    words: int = 0

    @classmethod
    def of(cls, pieces: Iterable[ScoredPiece], vocabulary: Vocabulary) -> TextTotals:
        """The sums over the pieces of a text."""
        inside = False
        total, unknown = cls(), vocabulary.marks.index("unknown") if "unknown" in vocabulary.marks else -1
        for text, numbers, log_p in pieces:
            total.log_likelihood += float(log_p.sum())
            total.symbols += len(numbers)
            total.unknown += int((numbers == unknown).sum())
            total.characters += len(text)
            total.bytes += len(text.encode("utf-8", "surrogatepass"))
            total.words += len(text.split()) - (inside and not text[:1].isspace())
            inside = not text[-1:].isspace()
        if not total.symbols:
            raise ValueError(NO_SYMBOL)
        return total

    @property
    def mean(self) -> float:
        """The mean log-likelihood of a symbol."""
        return self.log_likelihood / self.symbols

    def figures(self) -> dict[str, float]:
        """The mean over characters, bytes and words, see :meth:`~seqdyn.language.model.LanguageModel.evaluate`."""
        nats = -self.log_likelihood
        return {
            "nats_per_character": nats / self.characters,
            "bits_per_character": nats / self.characters / math.log(2),
            "bits_per_byte": nats / self.bytes / math.log(2),
            "perplexity_per_word": _exp(nats / self.words) if self.words else math.nan,
            "symbols_scored": self.symbols,
            "unknown_symbols": self.unknown,
        }


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


NO_SYMBOL = "The text is empty: there is no symbol to be scored. Give one of a symbol or more."

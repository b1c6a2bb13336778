"""Sentences that a decoder writes about a source: beam search, scores and attention weights.

ŷ = argmax_y ln p(y | x) / lp(|y|) + β Σ_j ln min(Σ_t α_tj, 1)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.checks import is_number
from seqdyn.data.text import Vocabulary
from seqdyn.decoding import Beam, Hypothesis
from seqdyn.encoder_decoder import EncoderDecoder, searched
from seqdyn.state import leaves, map_leaves
from seqdyn.training.batches import Padded
from seqdyn.training.pairs import shift_right


@dataclass(frozen=True)
class Sentence(Hypothesis):
    """A hypothesis about a source, with its text; its ``score`` holds the coverage penalty, too.

    Attributes
    ----------
    text : str
        Without marks.
    """

    text: str


@dataclass(frozen=True)
class SentencePredictor:
    """An encoder and a decoder with the vocabulary of what is written.

    Parameters
    ----------
    network : EncoderDecoder
        Its decoder takes tokens, and gives scores of the symbols.
    vocabulary : Vocabulary
        With the mark ``"end"``; the token after its last is the beginning.
    longest : int
        Symbols a sentence may have, with its end.
    """

    network: EncoderDecoder
    vocabulary: Vocabulary
    longest: int

    @property
    def begin(self) -> int:
        """The token that stands before a sentence."""
        return len(self.vocabulary)

    @property
    def end(self) -> int:
        """The mark behind it."""
        return self.vocabulary.mark("end")

    def search(
        self, source: Padded, width: int, length_penalty: float = 0.0, coverage_penalty: float = 0.0
    ) -> list[list[Sentence]]:
        """The likeliest sentences for every source, best first: those that ended, then the others.

        Parameters
        ----------
        source : Padded
        width : int, at least 1
            Beams.
        length_penalty : float, at least 0
            α of lp(n) = ((5 + n) / 6)^α, n with the end.
        coverage_penalty : float, at least 0
            β: what is found is put in order again by what no symbol attended to.
        """
        if not is_number(coverage_penalty) or coverage_penalty < 0:
            raise ValueError(f"coverage_penalty must be a number of at least 0, got {coverage_penalty!r}.")
        others = tuple(number for number, mark in enumerate(self.vocabulary.marks) if mark != "end")
        beam = Beam(self.network.decoder, width, self.end, length_penalty, self.longest, others)
        with torch.inference_mode():
            found = searched(self.network, self.network.encode(source.value, source.gaps), self.begin, beam)
        sentences = [[self._sentence(hypothesis) for hypothesis in row] for row in found]
        return self._covered(source, sentences, coverage_penalty) if coverage_penalty else sentences

    def log_probabilities(self, source: Padded, targets: Sequence[Tensor]) -> list[Array]:
        """ln p of every symbol of a target for each source, with its end where that is one of them."""
        padded = torch.nn.utils.rnn.pad_sequence(list(targets), batch_first=True)
        with torch.inference_mode():
            scores = self.network.forced(source.value, source.gaps, shift_right(self.begin, padded))
            log_p = torch.log_softmax(scores.double(), -1).gather(2, padded.unsqueeze(2)).squeeze(2).cpu().numpy()
        return [row[: len(target)] for row, target in zip(log_p, targets, strict=True)]

    def weights(self, source: Padded, targets: Sequence[Tensor]) -> list[Array]:
        """α of every symbol of a target for each source, (target, rows of the memory)."""
        padded = torch.nn.utils.rnn.pad_sequence(list(targets), batch_first=True)
        alpha, there = self.network.weights(source.value, source.gaps, shift_right(self.begin, padded))
        rows, lengths = alpha.cpu().numpy(), there.sum(1).tolist()
        return [row[: len(target), :length] for row, target, length in zip(rows, targets, lengths, strict=True)]

    def _covered(self, source: Padded, rows: list[list[Sentence]], coverage_penalty: float) -> list[list[Sentence]]:
        """The sentences of every source, with the coverage penalty in their score, in its order."""
        numbers = torch.tensor([number for number, row in enumerate(rows) for _ in row])
        flat = [sentence for row in rows for sentence in row]
        repeated = Padded(*(map_leaves(lambda leaf: leaf[numbers.to(leaf.device)], part) for part in source))
        targets = [torch.tensor(sentence.symbols, device=leaves(source)[0].device) for sentence in flat]
        seen = [np.log(np.clip(alpha.sum(0), 1e-9, 1.0)).sum() for alpha in self.weights(repeated, targets)]
        scored = [
            replace(one, score=one.score + coverage_penalty * float(own)) for one, own in zip(flat, seen, strict=True)
        ]
        places = iter(scored)
        again = [[next(places) for _ in row] for row in rows]
        return [sorted(row, key=lambda sentence: (not sentence.ended, -sentence.score)) for row in again]

    def _sentence(self, found: Hypothesis) -> Sentence:
        return Sentence(**vars(found), text=sentence_text(self.vocabulary, found.symbols))


def sentence_numbers(vocabulary: Vocabulary, text: str) -> Array:
    """Return the numbers of a sentence; a space is put before its first word, so that a word is one symbol anywhere."""
    return vocabulary.encode(spaced(text, vocabulary.unit))


def spaced(text: str, unit: str) -> str:
    """A sentence as it is split.

    Examples
    --------
    >>> spaced("a word ", "word"), spaced("a word ", "character")
    (' a word', 'a word ')
    """
    return text if unit == "character" else f" {text.strip()}"


def sentence_text(vocabulary: Vocabulary, symbols: Sequence[int]) -> str:
    """Return the text of some symbols, without marks and without the space before the first word."""
    text = vocabulary.decode(np.array(symbols, dtype=np.int64))
    return text if vocabulary.unit == "character" else text.removeprefix(" ")


def padded_rows(rows: Sequence[Tensor]) -> Padded:
    """Pad sequences of unlike lengths to one batch."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    value = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    return Padded(value, torch.arange(value.shape[1], device=value.device) < lengths[:, None])


SENTENCES_AT_ONCE = 64
"""Sequences that are run side by side."""


def groups_of_like_length(rows: Sequence[Tensor]) -> Iterator[list[int]]:
    """Yield the numbers of sequences in groups of similar length.

    Examples
    --------
    >>> list(groups_of_like_length([torch.zeros(3), torch.zeros(1), torch.zeros(2)]))
    [[1, 2, 0]]
    """
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for start in range(0, len(order), SENTENCES_AT_ONCE):
        yield order[start : start + SENTENCES_AT_ONCE]

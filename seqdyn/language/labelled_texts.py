"""Texts and their labels as a classifier reads them: split into symbols, and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from seqdyn.arrays import Array
from seqdyn.checks import is_number
from seqdyn.data.targets import missing_targets
from seqdyn.data.text import Vocabulary

Text = str | Sequence[str]
"""A text, or its tokens."""


@dataclass(frozen=True)
class TextReader:
    """How texts are split into symbols of a unit, perhaps in lower case; a list of tokens is taken as it is.

    Examples
    --------
    >>> reader = TextReader("word", lowercase=True)
    >>> reader.symbols(["A word", ["a", "Token"]], Vocabulary((), "word"))
    [[' a', ' word'], [' a', ' token']]
    """

    unit: str
    lowercase: bool

    def prepared(self, text: str) -> str:
        """A text as it is split: every word with a space before it."""
        text = text.lower() if self.lowercase else text
        return f" {text.strip()}" if self.unit == "word" else text

    def symbols(self, texts: Sequence[Text], vocabulary: Vocabulary) -> list[list[str]]:
        """The symbols of every text, none of them empty."""
        found = [self._split(text, number, vocabulary) for number, text in enumerate(texts)]
        empty = [number for number, symbols in enumerate(found) if not symbols]
        if empty:
            raise ValueError(f"Text {empty[0]} of X is empty ({len(empty)} are): leave them out, with their labels.")
        return found

    def _split(self, text: Any, number: int, vocabulary: Vocabulary) -> list[str]:
        if isinstance(text, str):
            return vocabulary.split(self.prepared(text)) if text.strip() or self.unit != "word" else []
        if isinstance(text, list | tuple) and all(isinstance(token, str) for token in text):
            if self.unit == "word" and any(len(token.split()) != 1 for token in text):
                raise ValueError(f"Text {number} of X is {text!r:.60}: a token is one word. Several texts are a list.")
            read = [token.lower() if self.lowercase else token for token in text]
            return [f" {token}" for token in read] if self.unit == "word" else read
        raise ValueError(f"Text {number} of X is {text!r:.60}, expected a str, or a list of tokens.")

    def vocabulary(self, texts: Sequence[Text], size: int | None, min_count: int) -> Vocabulary:
        """The symbols of the texts, the most frequent first, and a mark for unknown ones."""
        if self.unit == "subword":
            whole = "\n".join(self.prepared(text) if isinstance(text, str) else " ".join(text) for text in texts)
            return Vocabulary.of(whole, "subword", ("unknown",), size, min_count)
        counts = Counter(symbol for text in self.symbols(texts, Vocabulary((), self.unit)) for symbol in text)
        often = tuple(symbol for symbol, count in counts.most_common(size) if count >= min_count)
        if not often:
            raise ValueError(f"No {self.unit} of the texts appears min_count={min_count} times: keep more.")
        return Vocabulary(often, self.unit, ("unknown",))


def as_texts(X: Any) -> list[Text]:
    """X as a list of texts."""
    if isinstance(X, str):
        raise ValueError(f"X is one text, {X[:40]!r}: give a list of texts, such as [text].")
    if hasattr(X, "columns") or isinstance(X, dict) or (isinstance(X, np.ndarray) and X.ndim != 1):
        raise ValueError(f"X is a {type(X).__name__} of shape {np.shape(X)}: give a list or one column of texts.")
    texts = list(X)
    if not texts:
        raise ValueError("X holds no text: give one at least.")
    return texts


def as_text_labels(y: Any, symbols: Sequence[Sequence[str]], per_token: bool) -> Any:
    """Labels of texts: an array, or with ``per_token`` an array for every text, one label a symbol."""
    if y is None or len(y) != len(symbols):
        found = "None" if y is None else f"{len(y)} labels"
        raise ValueError(f"X holds {len(symbols)} texts, y {found}: give one for each.")
    if per_token:
        return [_labels_of_tokens(own, text, number) for number, (own, text) in enumerate(zip(y, symbols, strict=True))]
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise ValueError(
            f"y has shape {labels.shape}, expected one label a text; for one a token set return_sequences=True."
        )
    missing = missing_targets(labels)
    if missing.any():
        raise ValueError(f"The label of text {int(np.argmax(missing))} is missing: leave the text out.")
    check_classification_targets(labels)
    return labels


def _labels_of_tokens(labels: Any, text: Sequence[str], number: int) -> Array:
    found = np.asarray(labels)
    if found.shape != (len(text),):
        raise ValueError(
            f"Text {number} has {len(text)} tokens, {' '.join(text)[:60]!r}, but labels of shape {found.shape}: give "
            "one for each token."
        )
    return found


def text_weights(sample_weight: Any, count: int) -> Array:
    """What every text counts."""
    if sample_weight is None:
        return np.ones(count)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (count,) or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
        told = f"{weight.min()} to {weight.max()}" if weight.size and is_number(weight.min()) else "none"
        raise ValueError(
            f"sample_weight has shape {weight.shape} and values {told}, expected one number of at least 0 for each of "
            f"{count} texts, and one above."
        )
    return weight

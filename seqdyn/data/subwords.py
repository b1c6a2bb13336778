"""Sub-words: byte pair encoding, through the library ``tokenizers`` (``pip install seqdyn[text]``).

A text is its UTF-8 bytes, cut into words; the most frequent pair of neighbours becomes one symbol, again and again. All
256 bytes are symbols, so that every text can be written, and nothing is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

SIZE = 4096
"""How many sub-words are learnt unless a number is given."""

BYTES = 256
"""The symbols to begin with."""


class Subwords:
    """From a text to its sub-words, and back.

    Parameters
    ----------
    symbols : sequence of str
        As the library writes them: one printable character a byte.
    merges : sequence of str
        Which two were made one, in this order, with a space between them.

    Raises
    ------
    ImportError
        If the library is not there.

    References
    ----------
    Sennrich, Haddow & Birch (2016), Neural machine translation of rare words with subword units.
    """

    def __init__(self, symbols: Sequence[str], merges: Sequence[str]):
        library = _library()
        pairs = [(one, other) for one, other in (merge.split(" ") for merge in merges)]
        numbers = {symbol: number for number, symbol in enumerate(symbols)}
        self._tokenizer = _by_bytes(library, library.models.BPE(vocab=numbers, merges=pairs))

    def split(self, text: str) -> list[str]:
        """The sub-words of a text.

        Raises
        ------
        ValueError
            If the text holds half a character, which has no bytes; the message says where.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Character {error.start} of the text is {text[error.start]!r}, half a character, which UTF-8 cannot "
                "write: leave it out, or take unit='character'."
            ) from None
        return cast(list[str], self._tokenizer.encode(text, add_special_tokens=False).tokens)

    def join(self, symbols: Sequence[str]) -> str:
        """The text of sub-words; bytes that are no character become �."""
        return cast(str, self._tokenizer.decoder.decode(list(symbols)))


def learn(texts: Iterable[str], size: int | None = None, min_count: int = 1) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The sub-words of texts, and the merges that make them.

    Parameters
    ----------
    texts : iterable of str
    size : int, at least 256
        Symbols at most; :data:`SIZE` if None.
    min_count : int
        How often a pair has to be seen.
    """
    size = SIZE if size is None else size
    if size < BYTES:
        raise ValueError(f"size={size} is less than the {BYTES} bytes that sub-words are made of: give more.")
    library = _library()
    tokenizer = _by_bytes(library, library.models.BPE())
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    trainer = library.trainers.BpeTrainer(
        vocab_size=size, min_frequency=min_count, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    numbers = tokenizer.get_vocab()
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tuple(sorted(numbers, key=numbers.__getitem__)), tuple(" ".join(pair) for pair in merges)


def _by_bytes(library: Any, model: Any) -> Any:
    """A tokenizer of this model that loses nothing: no space is added, none is stripped."""
    tokenizer = library.Tokenizer(model)
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    return tokenizer


def _library() -> Any:
    """The library, which is loaded when it is needed."""
    try:
        import tokenizers
    except ImportError:
        raise ImportError(
            "Sub-words need the library tokenizers: pip install 'seqdyn[text]', or take unit='word'."
        ) from None
    return tokenizers

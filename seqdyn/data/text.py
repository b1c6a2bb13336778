"""Text as numbers: a vocabulary, and a corpus that need not fit into memory.

    text → symbols → numbers → (one-hot or an embedding) → network → numbers → symbols → text

A symbol is a character, a word, or a sub-word. Joined again, the symbols of a text are the text: nothing is lost, in
any language.
"""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count
from seqdyn.data.subwords import Subwords, learn

TextSource = str | os.PathLike[str] | Iterable[os.PathLike[str]]

TEXT_UNITS = ("character", "word", "subword")
MARKS = ("padding", "begin", "end", "unknown")
"""Symbols that no text holds: behind a shorter text, before one, after one, and for what is not in the vocabulary."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What an unknown symbol is written as."""

WORD = re.compile(r" ?\w+| ?[^\w\s]|\s")
"""A word or a sign, with the space before it, or any other white space: every character belongs to exactly one."""

EMPTY = "The corpus is empty: there is no symbol to be learnt."

CHARACTERS_AT_ONCE = 1 << 20
"""Characters or bytes that are read at once."""


@dataclass(frozen=True)
class Vocabulary:
    """Symbols and their numbers: the marks first, then the symbols.

    Parameters
    ----------
    symbols : tuple of str
        In the order of their numbers, each once.
    unit : {"character", "word", "subword"}
        A word has the space before it with it, so that the words of a text, joined, are the text. Sub-words are made
        of bytes, see :mod:`seqdyn.data.subwords`.
    marks : tuple of {"padding", "begin", "end", "unknown"}
        Which marks there are, in the order of their numbers.
    merges : tuple of str
        How sub-words are made.

    Examples
    --------
    The worked example of the lectures, four letters and their vectors:

    >>> vocabulary = Vocabulary.of("hello")
    >>> vocabulary.symbols, vocabulary.encode("hello")
    (('h', 'e', 'l', 'o'), array([0, 1, 2, 2, 3]))
    >>> vocabulary.one_hot("he")
    array([[1., 0., 0., 0.],
           [0., 1., 0., 0.]])
    >>> vocabulary.decode([0, 1, 2, 2, 3])
    'hello'
    """

    symbols: tuple[str, ...]
    unit: str = "character"
    marks: tuple[str, ...] = ()
    merges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("unit", self.unit, TEXT_UNITS)
        for mark in self.marks:
            check_choice("a mark", mark, MARKS)
        for name, own in (("symbols", self.symbols), ("marks", self.marks)):
            twice = [symbol for symbol, count in Counter(own).items() if count > 1]
            if twice:
                raise ValueError(f"The {name} hold {twice[0]!r} twice: each has one number.")

    @classmethod
    def of(
        cls,
        source: TextSource,
        unit: str = "character",
        marks: Sequence[str] = (),
        size: int | None = None,
        min_count: int = 1,
        encoding: str = "utf-8",
    ) -> Vocabulary:
        """The vocabulary of a corpus, in the order in which its symbols appear.

        Parameters
        ----------
        source : str, path, or iterable of paths
            A str is the text itself.
        unit, marks
            As above.
        size : int, optional
            Keep so many symbols, the most frequent; all if None. The others are unknown. Of sub-words: learn so many,
            at least 256; 4,096 if None.
        min_count : int, at least 1
            Keep those that appear so often; of sub-words, the pairs.
        encoding : str
            Of files.

        Raises
        ------
        ValueError
            If the corpus is empty, or symbols are left out and there is no mark for what is unknown.
        """
        return cls.of_texts(pieces(source, unit, encoding), unit, marks, size, min_count)

    @classmethod
    def of_texts(
        cls,
        texts: Iterable[str],
        unit: str = "character",
        marks: Sequence[str] = (),
        size: int | None = None,
        min_count: int = 1,
    ) -> Vocabulary:
        """The vocabulary of many texts, of which no symbol reaches from one into the next.

        Parameters
        ----------
        texts : iterable of str
        unit, marks, size, min_count
            As in :meth:`of`.

        Examples
        --------
        >>> Vocabulary.of_texts(["to", "be"]).symbols
        ('t', 'o', 'b', 'e')
        """
        check_count("size", size, others=(None,))
        check_count("min_count", min_count)
        if check_choice("unit", unit, TEXT_UNITS) == "subword":
            return cls._of_subwords(iter(texts), tuple(marks), size, min_count)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split(text, unit))
        if not counts:
            raise ValueError(EMPTY)
        often = {symbol for symbol, count in counts.most_common(size) if count >= min_count}
        if not often or (len(often) < len(counts) and "unknown" not in marks):
            raise ValueError(
                f"Of {len(counts)} symbols {len(counts) - len(often)} are left out by size={size} and "
                f"min_count={min_count}: keep more, or give marks=('unknown',) for the others."
            )
        return cls(tuple(symbol for symbol in counts if symbol in often), unit, tuple(marks))

    @classmethod
    def _of_subwords(cls, texts: Iterator[str], marks: tuple[str, ...], size: int | None, min_count: int) -> Vocabulary:
        first = next(texts, None)
        if first is None:
            raise ValueError(EMPTY)
        symbols, merges = learn(chain([first], texts), size, min_count)
        return cls(symbols, "subword", marks, merges)

    def __len__(self) -> int:
        return len(self.marks) + len(self.symbols)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, len(self.marks))}

    def mark(self, name: str) -> int:
        """The number of a mark.

        Examples
        --------
        >>> Vocabulary.of("abc", marks=("padding", "unknown")).mark("unknown")
        1
        """
        if name not in self.marks:
            raise ValueError(f"The vocabulary has no mark {name!r}; it has {self.marks or 'none'}.")
        return self.marks.index(name)

    def encode(self, text: str) -> Array:
        """The numbers of the symbols of a text, int64, shape (time,).

        A first word that the vocabulary knows only with a space before it is read as that one.

        Raises
        ------
        ValueError
            If a symbol is not in the vocabulary, which has no mark for such; the message says which, and where.
        """
        symbols = self.split(text)
        if self.unit == "word" and symbols and symbols[0] not in self._numbers and f" {symbols[0]}" in self._numbers:
            symbols[0] = f" {symbols[0]}"
        return self.numbers(symbols)

    def split(self, text: str) -> list[str]:
        """The symbols of a text.

        Examples
        --------
        >>> Vocabulary.of("to be or not to be", "word").split("not to be")
        ['not', ' to', ' be']
        """
        return split(text, self.unit) if self.unit != "subword" else self._subwords.split(text)

    @cached_property
    def _subwords(self) -> Subwords:
        return Subwords(self.symbols, self.merges)

    def numbers(self, symbols: Sequence[str], before: int = 0) -> Array:
        """The numbers of symbols (time,), which :meth:`split` gave; ``before`` is where they begin in their text."""
        unknown = self.marks.index("unknown") if "unknown" in self.marks else -1
        found = np.fromiter((self._numbers.get(symbol, unknown) for symbol in symbols), np.int64, len(symbols))
        if unknown < 0 and (found < 0).any():
            place = int(np.argmax(found < 0))
            raise ValueError(
                f"{symbols[place]!r}, {self.unit} {before + place}, is not in the vocabulary of {len(self.symbols)} "
                f"{self.unit}s: leave it out, or give the vocabulary a mark for what is unknown, marks=('unknown',); a "
                "LanguageModel has one with min_count=2."
            )
        return found

    def decode(self, numbers: Any) -> str:
        """The text of numbers (time,): marks are left out, and what is unknown is written as �.

        Raises
        ------
        ValueError
            If a number is none of a symbol.
        """
        numbers = check_symbols(numbers, len(self))
        if self.unit == "subword":
            first = len(self.marks)
            return self._subwords.join([self.symbols[n - first] for n in numbers.tolist() if n >= first])
        return "".join(self._written[number] for number in numbers.tolist())

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What every number is called, in the order of the numbers: marks as ⟨mark⟩, half characters as ⟨bytes⟩.

        Examples
        --------
        >>> Vocabulary.of("no", marks=("unknown",)).labels
        ('⟨unknown⟩', 'n', 'o')
        """
        symbols = self.symbols if self.unit != "subword" else [self._spelt(symbol) for symbol in self.symbols]
        return (*(f"⟨{mark}⟩" for mark in self.marks), *symbols)

    def _spelt(self, subword: str) -> str:
        """The text of a sub-word; of half a character, its bytes as the library writes them."""
        text = self._subwords.join([subword])
        return f"⟨{subword}⟩" if REPLACEMENT in text else text

    @cached_property
    def _written(self) -> tuple[str, ...]:
        """What stands for every number in a text."""
        return (*(REPLACEMENT if mark == "unknown" else "" for mark in self.marks), *self.symbols)

    def one_hot(self, text: Any) -> Array:
        """One vector a symbol, 1 at its number and 0 elsewhere: shape (time, symbols).

        No two symbols are nearer to each other than any other two; as the numbers 0, 1, 2 they would be.

        Parameters
        ----------
        text : str, or array of int, shape (time,)
        """
        numbers = self.encode(text) if isinstance(text, str) else check_symbols(text, len(self))
        return np.eye(len(self))[numbers]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds every number."""
        return np.min_scalar_type(len(self) - 1)


def check_symbols(numbers: Any, symbols: int) -> Array:
    """Numbers (time,) as an array, if each is one of so many symbols."""
    numbers = np.asarray(numbers)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ValueError(
            f"numbers has shape {numbers.shape} and dtype {numbers.dtype}, expected whole numbers (time,)."
        )
    wrong = (numbers < 0) | (numbers >= symbols)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise ValueError(f"Number {numbers[place]} at {place} is none of the {symbols} of the vocabulary.")
    return numbers


def split(text: str, unit: str) -> list[str]:
    """The characters or words of a text; joined, they are the text.

    Examples
    --------
    >>> split("To be, or not.", "word")
    ['To', ' be', ',', ' or', ' not', '.']
    """
    return list(text) if check_choice("unit", unit, TEXT_UNITS[:2]) == "character" else WORD.findall(text)


def pieces(source: TextSource, unit: str, encoding: str = "utf-8") -> Iterator[str]:
    """A corpus in pieces of some :data:`CHARACTERS_AT_ONCE` characters, none empty, cut where no symbol goes on."""
    check_choice("unit", unit, TEXT_UNITS)
    for text in texts(source, encoding):
        rest = ""
        for piece in text:
            rest += piece
            cut = len(rest) if unit == "character" else _last_border(rest, len(rest) - len(piece))
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
        if rest:
            yield rest


def _last_border(text: str, start: int) -> int:
    """Where the last space behind a sign stands, from ``start`` on: neither words nor sub-words cross it; 0 without."""
    places = range(len(text) - 1, max(start, 1) - 1, -1)
    return next((i for i in places if text[i] in " \n" and not text[i - 1].isspace()), 0)


def texts(source: TextSource, encoding: str = "utf-8") -> Iterator[Iterator[str]]:
    """The texts of a corpus, one a file, each in pieces.

    Raises
    ------
    ValueError
        If a str is the name of a file, or a file has another encoding; the message says where.
    FileNotFoundError
        If a file is not there.
    TypeError
        If it is neither text nor paths.
    """
    if isinstance(source, str):
        if len(source) < 1000 and os.path.isfile(source):  # a text may be too long for a path
            raise ValueError(f"{source!r} is a text, and the name of a file: for the file give pathlib.Path(…).")
        yield (source[start : start + CHARACTERS_AT_ONCE] for start in range(0, len(source), CHARACTERS_AT_ONCE))
        return
    if not isinstance(source, os.PathLike | Iterable) or isinstance(source, bytes):
        raise TypeError(f"A corpus is a str, a path or an iterable of paths, got {type(source).__name__}.")
    for path in [source] if isinstance(source, os.PathLike) else source:
        if not isinstance(path, os.PathLike):
            raise TypeError(
                f"A corpus of files is made of paths, got {type(path).__name__}: give pathlib.Path(…), or the texts "
                "joined as one str."
            )
        yield _file_pieces(Path(path), encoding)


def _file_pieces(path: Path, encoding: str) -> Iterator[str]:
    """A file in pieces, its line ends as they are."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        done, ended = 0, False
        while not ended:
            data = file.read(CHARACTERS_AT_ONCE)
            ended = not data
            waiting = len(decoder.getstate()[0])
            try:
                yield decoder.decode(data, final=ended)
            except UnicodeDecodeError as error:
                offset = done - waiting + error.start
                raise ValueError(
                    f"{path} is not {encoding}: byte 0x{error.object[error.start]:02x} at offset {offset} "
                    f"({error.reason}). Give its encoding, such as encoding='latin-1'."
                ) from None
            done += len(data)


def encode_corpus(
    source: TextSource, vocabulary: Vocabulary, path: str | os.PathLike[str] | None = None, encoding: str = "utf-8"
) -> Array:
    """The numbers of a corpus, shape (time,), in the smallest type that holds them.

    Parameters
    ----------
    source : str, path, or iterable of paths
    vocabulary : Vocabulary
    path : path, optional
        Where the numbers are written; what comes back is mapped from there, and needs no memory. In memory if None.
    encoding : str
        Of files.

    Examples
    --------
    >>> encode_corpus("hello", Vocabulary.of("hello"))
    array([0, 1, 2, 2, 3], dtype=uint8)
    """
    encoded = _encoded(source, vocabulary, encoding)
    if path is None:
        return np.concatenate([np.empty(0, vocabulary.dtype), *encoded])
    beside = Path(f"{os.fspath(path)}.part")
    try:
        with beside.open("wb") as file:
            for piece in encoded:
                piece.tofile(file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    empty = not Path(path).stat().st_size
    return np.empty(0, vocabulary.dtype) if empty else np.memmap(path, vocabulary.dtype, "r")


def _encoded(source: TextSource, vocabulary: Vocabulary, encoding: str) -> Iterator[Array]:
    done = 0
    for piece in pieces(source, vocabulary.unit, encoding):
        symbols = vocabulary.split(piece)
        yield vocabulary.numbers(symbols, done).astype(vocabulary.dtype)
        done += len(symbols)

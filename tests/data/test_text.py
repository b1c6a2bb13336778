"""Vocabularies and corpora: nothing is lost on the way to numbers and back, and nothing need fit into memory."""

from __future__ import annotations

import tempfile
import tracemalloc
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqdyn.data.text as module
from seqdyn.data.text import MARKS, TEXT_UNITS, Vocabulary, encode_corpus, pieces, split
from seqdyn.files import read, write

anything = st.text(st.characters(), max_size=80)
"""All of Unicode, half characters too."""


whole = st.text(st.characters(codec="utf-8"), max_size=80)
"""What UTF-8 can write."""


@given(anything, st.sampled_from(TEXT_UNITS[:2]), st.sets(st.sampled_from(MARKS)))
def test_nothing_is_lost(text: str, unit: str, marks: set[str]) -> None:
    """Joined, the symbols are the text; so are their numbers, decoded."""
    assert "".join(split(text, unit)) == text
    if text:
        vocabulary = Vocabulary.of(text, unit, sorted(marks))
        assert "".join(vocabulary.split(text)) == text
        numbers = vocabulary.encode(text)
        assert vocabulary.decode(numbers) == text
        assert numbers.min() >= len(marks) and numbers.max() == len(vocabulary) - 1
        np.testing.assert_array_equal(encode_corpus(text, vocabulary), numbers)


@given(whole, whole, st.sets(st.sampled_from(MARKS)))
def test_nothing_is_lost_by_subwords(corpus: str, text: str, marks: set[str]) -> None:
    """Learnt on one text, they write every other."""
    pytest.importorskip("tokenizers")
    vocabulary = Vocabulary.of(corpus + "x", "subword", sorted(marks), size=300)
    numbers = vocabulary.encode(text)
    assert vocabulary.decode(numbers) == text and len(vocabulary) <= 300 + len(marks)
    assert all(numbers >= len(marks)) and vocabulary.decode([*range(len(marks)), *numbers]) == text
    np.testing.assert_array_equal(encode_corpus(text, vocabulary), numbers)


def test_subwords_are_learnt() -> None:
    """What is frequent becomes one symbol; what was never seen falls into bytes."""
    pytest.importorskip("tokenizers")
    vocabulary = Vocabulary.of("the cat and the hat and the rat " * 20, "subword", size=280)
    assert vocabulary.split(" and the") == ["Ġand", "Ġthe"] and vocabulary.decode(vocabulary.encode(" the")) == " the"
    assert len(vocabulary.split("ü")) == 2 and vocabulary.decode(vocabulary.encode("ü")[:1]) == "�"
    with pytest.raises(ValueError, match=r"Character 1 of the text is '\\ud800', half a character"):
        vocabulary.encode("a\ud800")


@given(st.lists(whole, min_size=1, max_size=4), st.sampled_from(TEXT_UNITS), st.integers(1, 9))
def test_pieces_make_no_difference(texts: list[str], unit: str, piece: int) -> None:
    """A corpus in files, read a few bytes at a time, has the symbols of its texts."""
    size = 300 if unit == "subword" else None
    if size:
        pytest.importorskip("tokenizers")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHARACTERS_AT_ONCE", piece)
        paths = [Path(folder) / f"{i}.txt" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text.encode())
        assert "".join(pieces(texts[0], unit)) == texts[0]
        if any(texts):
            vocabulary = Vocabulary.of(paths, unit, size=size)
            numbers = encode_corpus(paths, vocabulary, Path(folder) / "numbers")
            assert vocabulary.decode(numbers) == "".join(texts)
            expected = [symbol for text in texts for symbol in vocabulary.split(text)]
            assert [vocabulary.split(vocabulary.decode([n]))[0] for n in numbers] == expected or size
            np.testing.assert_array_equal(numbers, np.concatenate([vocabulary.encode(text) for text in texts]))


def test_the_example_of_the_lectures() -> None:
    """h, e, l, o: four vectors with a single 1, every two equally far apart."""
    vocabulary = Vocabulary.of("hello")
    np.testing.assert_array_equal(vocabulary.one_hot("hell"), [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    vectors = vocabulary.one_hot("helo")
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)[~np.eye(4, dtype=bool)]
    assert (apart == apart[0]).all()


def test_marks_and_what_is_unknown() -> None:
    """Marks come first, are read as nothing, and what is left out has one of its own."""
    vocabulary = Vocabulary.of("a rose is a rose is a rose", "word", MARKS, min_count=2)
    assert vocabulary.symbols == (" rose", " is", " a") and [vocabulary.mark(mark) for mark in MARKS] == [0, 1, 2, 3]
    numbers = vocabulary.encode("a rose is red")
    assert numbers.tolist() == [6, 4, 5, 3] and vocabulary.decode([1, *numbers, 2, 0]) == " a rose is�"
    assert len(Vocabulary.of("aabbbc", marks=("unknown",), size=2)) == 3
    with pytest.raises(ValueError, match="The vocabulary has no mark 'end'; it has none"):
        Vocabulary.of("ab").mark("end")


def test_a_first_word_has_no_space_before_it() -> None:
    """It is the word that the vocabulary knows; where it knows both, they are two."""
    vocabulary = Vocabulary.of("the cat and the dog", "word")
    assert vocabulary.decode(vocabulary.encode("cat and")) == " cat and"
    assert vocabulary.decode(vocabulary.encode("the cat")) == "the cat"
    with pytest.raises(ValueError, match="'fox', word 0, is not in the vocabulary of 5 words"):
        vocabulary.encode("fox and")


def test_a_text_that_spells_a_mark_is_text() -> None:
    """Marks are numbers, and no text can be one."""
    vocabulary = Vocabulary.of("<unknown> padding", "word", MARKS)
    assert vocabulary.decode(vocabulary.encode("<unknown> padding")) == "<unknown> padding"


def test_a_vocabulary_goes_through_a_file(tmp_path: Path) -> None:
    """With its unit and its marks."""
    for unit in TEXT_UNITS if find_spec("tokenizers") else TEXT_UNITS[:2]:
        vocabulary = Vocabulary.of("to be or not", unit, ("end",))
        numbers = vocabulary.encode("to be")
        write(tmp_path / "v", {"vocabulary": vocabulary})
        again = read(tmp_path / "v")["vocabulary"]
        assert again == vocabulary
        np.testing.assert_array_equal(again.encode("to be"), numbers)


def test_a_corpus_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million symbols take the memory of a piece, not theirs."""
    monkeypatch.setattr(module, "CHARACTERS_AT_ONCE", 1 << 14)
    path = tmp_path / "long.txt"
    line = "the quick brown fox jumps over the lazy dog\n"
    path.write_text(line * 50_000)
    tracemalloc.start()
    vocabulary = Vocabulary.of(path)
    numbers = encode_corpus(path, vocabulary, tmp_path / "numbers")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(numbers) == 50_000 * len(line) == path.stat().st_size and numbers.dtype == np.uint8
    assert vocabulary.decode(numbers[-len(line) :]) == line
    assert peak < 1e6  # a piece's characters and their numbers; those of the whole would be 35 MB


def test_a_corpus_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """No half file beside the one that was asked for."""
    with pytest.raises(ValueError, match="not in the vocabulary"):
        encode_corpus("abc", Vocabulary.of("ab"), tmp_path / "numbers")
    assert not list(tmp_path.iterdir())


def test_a_text_too_long_for_a_path() -> None:
    """It is a text."""
    assert len(Vocabulary.of("x" * 300 + "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 400)) == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Vocabulary.of(""), ValueError, "The corpus is empty"),
        (lambda: Vocabulary.of([]), ValueError, "The corpus is empty"),
        (lambda: Vocabulary.of("aab", size=1), ValueError, "Of 2 symbols 1 are left out by size=1 and min_count=1"),
        (lambda: Vocabulary.of("ab", marks=("unknown",), min_count=9), ValueError, "Of 2 symbols 2 are left out"),
        (
            lambda: Vocabulary.of("ab", "syllable"),
            ValueError,
            "unit must be one of 'character', 'word', 'subword', got 'syl",
        ),
        (lambda: Vocabulary.of("ab", "subword", size=100), ValueError, "size=100 is less than the 256 bytes"),
        (lambda: Vocabulary.of("", "subword"), ValueError, "The corpus is empty"),
        (lambda: Vocabulary.of("ab", marks=("stop",)), ValueError, "a mark must be one of"),
        (lambda: Vocabulary(("a", "a")), ValueError, "The symbols hold 'a' twice"),
        (lambda: Vocabulary(("a",), marks=("end", "end")), ValueError, "The marks hold 'end' twice"),
        (lambda: Vocabulary.of("ab").encode("abc"), ValueError, "'c', character 2, is not in the vocabulary of 2 char"),
        (lambda: Vocabulary.of("ab").decode([0, 2]), ValueError, "Number 2 at 1 is none of the 2 of the vocabulary"),
        (lambda: Vocabulary.of("ab").decode([0.5]), ValueError, "expected whole numbers"),
        (lambda: Vocabulary.of("ab").one_hot([-1]), ValueError, "Number -1 at 0 is none of the 2"),
        (lambda: Vocabulary.of(b"ab"), TypeError, "A corpus is a str, a path or an iterable of paths, got bytes"),
        (lambda: Vocabulary.of(["ab"]), TypeError, "made of paths, got str"),
        (lambda: Vocabulary.of(3), TypeError, "got int"),
        (lambda: Vocabulary.of(Path("nowhere.txt")), FileNotFoundError, "nowhere.txt"),
    ],
)
def test_what_is_no_corpus(call: Any, error: Any, message: str) -> None:
    """The message says what was given, and what is needed."""
    with pytest.raises(error, match=message):
        call()


def test_files_that_are_not_what_they_seem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another encoding, named with its offset wherever a piece ends; a name that is taken for a text."""
    path = tmp_path / "old.txt"
    path.write_bytes("eine Brücke über den Fluß".encode("latin-1"))
    for piece in (1, 8, 1000):
        monkeypatch.setattr(module, "CHARACTERS_AT_ONCE", piece)
        with pytest.raises(ValueError, match=r"old.txt is not utf-8: byte 0xfc at offset 7 .*encoding='latin-1'"):
            Vocabulary.of(path)
    assert "ß" in Vocabulary.of(path, encoding="latin-1").symbols
    with pytest.raises(ValueError, match=r"is a text, and the name of a file: for the file give pathlib.Path"):
        Vocabulary.of(str(path))

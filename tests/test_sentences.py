"""Sentences as numbers and back, over all of Unicode, and side by side."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.data.text import Vocabulary
from seqdyn.sentences import padded_rows, sentence_numbers, sentence_text, spaced

UNITS = ["character", "word", *(["subword"] if find_spec("tokenizers") else [])]


@pytest.mark.parametrize("unit", UNITS)
@settings(deadline=None, max_examples=60)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_sentence_comes_back(unit: str, text: str) -> None:
    """As it was, but for the white space around it where symbols are words or their parts."""
    expected = text if unit == "character" else text.strip()
    if not expected:
        return
    vocabulary = Vocabulary.of_texts([spaced(text, unit)], unit, ("end",), 256 if unit == "subword" else None)
    numbers = sentence_numbers(vocabulary, text)
    assert sentence_text(vocabulary, [*numbers.tolist(), vocabulary.mark("end")]) == expected


def test_the_first_word_is_the_word_that_it_is_elsewhere() -> None:
    """One symbol, not two."""
    vocabulary = Vocabulary.of_texts([spaced(text, "word") for text in ("a dog", "the dog")], "word")
    assert vocabulary.symbols == (" a", " dog", " the")
    assert sentence_numbers(vocabulary, "dog a").tolist() == [1, 0]


def test_side_by_side() -> None:
    """Padded behind, and marked."""
    value, mask = padded_rows([torch.tensor([1, 2, 3]), torch.tensor([4])])
    assert value.tolist()[0] == [1, 2, 3] and value[1, 0] == 4
    assert mask.tolist() == [[True, True, True], [True, False, False]]

"""What objects show of themselves: one line, or a table in which nothing is taken for markup."""

from __future__ import annotations

from collections import OrderedDict
from html.parser import HTMLParser
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from seqdyn.facts import MOST_ITEMS, WIDEST, fact_line, fact_table, shown


class Point(NamedTuple):
    """A record whose own repr would print every number."""

    place: torch.Tensor
    weight: float


class Cells(HTMLParser):
    """The tags that are met, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, "3"),
        (True, "True"),
        (None, "None"),
        (np.int64(3), "3"),
        (1 / 3, "0.3333"),
        (np.float32(0.5), "0.5"),
        (float("nan"), "nan"),
        ("a\n  b", "a b"),
        (np.zeros((3, 2), dtype=np.float32), "float32 (3, 2)"),
        (torch.zeros(1, 8, dtype=torch.float64), "float64 (1, 8)"),
        (np.array(2.0), "float64 ()"),
        (pd.DataFrame({"a": [1, 2]}), "DataFrame (2, 1)"),
        (pd.Series([1.0]), "float64 (1,)"),
        ((32, 16), "(32, 16)"),
        ((32,), "(32,)"),
        ([], "[]"),
        ({"a": 1.23456}, "{a: 1.235}"),
        (OrderedDict(a=1), "{a: 1}"),
        ({3}, "{3}"),
        (Point(torch.zeros(2, 9), 0.25), "Point(place=float32 (2, 9), weight=0.25)"),
        (object(), "object"),
        (np.ndarray, "ndarray"),
        (len, "len"),
        (fact_line, "fact_line"),
        (nn.Sequential(nn.Linear(1, 2)), "Sequential"),
    ],
)
def test_a_value_is_one_short_line(value: Any, expected: str) -> None:
    assert shown(value) == expected


def test_long_collections_say_how_long_they_are() -> None:
    assert shown(range(3)) == "range(0, 3)"
    assert shown(list(range(100))) == f"[{', '.join(map(str, range(MOST_ITEMS)))}, … 100 in all]"


def test_a_line_reads_like_a_call_and_stays_short() -> None:
    assert fact_line("Empty", {}) == "Empty()"
    assert (
        fact_line("Scan", {"output": torch.ones(2, 5, 3), "mask": None}) == "Scan(output=float32 (2, 5, 3), mask=None)"
    )
    line = fact_line("Long", {"text": "x" * 1000, "after": 1})
    assert len(line) < WIDEST + 30 and line.endswith("…, after=1)")


def test_a_table_holds_every_fact_whole_and_no_markup_of_the_values() -> None:
    facts = {"<b>name</b>": "<script>alert('x')</script>", "text": "y" * 1000, "shape": (3, 4)}
    page = Cells(fact_table("<i>Title & co</i>", facts))
    assert page.tags == ["table", "caption", *["tr", "th", "td"] * 3]
    told = [item for name, value in facts.items() for item in (name, shown(value))]
    assert page.texts == ["<i>Title & co</i>", *told]

"""What objects show of themselves: one line, or a table in which nothing is taken for markup."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from html.parser import HTMLParser
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.cell import Cell, outline
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Embedding, Readout, Stack
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import as_sequences
from seqdyn.estimators.baselines import ARXRegressor
from seqdyn.facts import MOST_ITEMS, WIDEST, fact_line, fact_table, shown
from seqdyn.loops import scan
from seqdyn.registry import REGISTRY, registered
from seqdyn.state import leaves


class Point(NamedTuple):
    """A record whose own repr would print every number."""

    place: torch.Tensor
    weight: float


class Page(HTMLParser):
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
    page = Page(fact_table("<i>Title & co</i>", facts))
    assert page.tags == ["table", "caption", *["tr", "th", "td"] * 3]
    told = [item for name, value in facts.items() for item in (name, shown(value))]
    assert page.texts == ["<i>Title & co</i>", *told]


# --- what users hold --------------------------------------------------------------------------------------------------


def cells() -> list[tuple[str, Cell, torch.Tensor]]:
    """Cells of several kinds, and a sequence for each."""
    x = torch.zeros(2, 5, 3)
    return [
        ("GRU(3 → 16)", GRU(3, 16), x),
        ("LSTM(3 → 16)", LSTM(3, 16), x),
        ("Readout(Stack(GRU(3 → 4), LSTM(4 → 2)))", Readout(Stack([GRU(3, 4), LSTM(4, 2)]), 1), x),
        ("Embedding(GRU(3 → 4))", Embedding(GRU(3, 4), 9), x[..., 0].long()),
        ("MovingAverage(3 → 9)", MovingAverage(3, window=4), x),
    ]


@pytest.mark.parametrize(("name", "cell", "x"), cells(), ids=[name for name, _, _ in cells()])
def test_cells_scans_and_states_are_one_line_each(name: str, cell: Cell, x: torch.Tensor) -> None:
    """By sizes and shapes, never by numbers; a state stays the tuple that it is."""
    assert outline(cell) == name
    found = scan(cell, x)
    for value in (found, found.state):
        assert "\n" not in repr(value) and "tensor(" not in repr(value) and "float32 (2, " in repr(value)
    copied = pickle.loads(pickle.dumps(found.state))
    assert repr(copied) == repr(found.state) and type(copied) is type(found.state)
    assert all(torch.equal(one, other) for one, other in zip(leaves(copied), leaves(found.state), strict=True))


@pytest.mark.parametrize("name", [name for name in REGISTRY if name.endswith("State") or name == "AttentionWindow"])
def test_every_state_shows_shapes_alone(name: str) -> None:
    """A state of any cell that files know, with its fields in their order."""
    kind = registered(name)
    if not hasattr(kind, "_fields") or kind.__module__.startswith("seqdyn.forecasting"):
        return
    state = kind(*[torch.zeros(1, 40)] * len(kind._fields))
    assert repr(state) == f"{name}({', '.join(f'{field}=float32 (1, 40)' for field in kind._fields)})"
    assert state._replace(**{kind._fields[0]: None})[0] is None and isinstance(state, tuple)


def test_values_of_the_lower_floors_show_what_they_are() -> None:
    """Containers, scalings, autoregressions and predictors: what matters of them, in a line and in a table."""
    many = as_sequences([np.zeros((3, 2)), np.zeros((5, 2))])
    frame = as_sequences(pd.DataFrame({"level": [1.0, 2.0, 3.0]}))
    scaling = Scaling(np.array([0.0, 1 / 3]), np.ones(2))
    own = Autoregression(lags=3, centred=True)
    x = np.random.default_rng(0).normal(size=(30, 1))
    predictor = ARXRegressor().fit(x, np.cumsum(x)).predictor_
    told = [
        (many, "Sequences(container=list, series=2, steps=[3, 5], features=[0, 1])"),
        (frame, "Sequences(container=frame, series=1, steps=3, features=[level])"),
        (scaling, "Scaling(mean=[0, 0.3333], scale=[1, 1])"),
        (own, "Autoregression(lags=3, centred=True)"),
        (Autoregression(), "Autoregression()"),
        (predictor, "Predictor(network="),
    ]
    for value, text in told:
        assert repr(value).startswith(text) and "\n" not in repr(value)
        assert Page(value._repr_html_()).texts[0] == type(value).__name__

"""Models taken apart: what belongs to which recurrence, by widths and order."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from seqdyn.model_parts import attention_in, how_to_convert, left_out, parts_of
from seqdyn.row_modules import Widths, layer_widths

MODELS: dict[str, Any] = {
    "alone": (lambda: nn.Sequential(nn.GRU(3, 4)), "from_torch(model[0])"),
    "widths decide": (
        lambda: nn.Sequential(nn.Linear(9, 7), nn.GRU(3, 4), nn.Linear(5, 1), nn.Linear(4, 2)),
        "from_torch(model[1], head=model[3])",
    ),
    "chains": (
        lambda: nn.Sequential(
            nn.Embedding(9, 5), nn.Dropout(0.1), nn.Linear(5, 3), nn.LSTM(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)
        ),
        "from_torch(model[3], head=nn.Sequential(model[4], model[5]), encoder=nn.Sequential(model[0], model[2]))",
    ),
    "both directions": (
        lambda: nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 4, bidirectional=True), nn.Linear(8, 1)),
        'from_torch(model[1], encoder=model[0], direction="forward")',
    ),
    "several": (
        lambda: nn.ModuleDict({"up": nn.Linear(2, 3), "a": nn.GRU(3, 4), "b": nn.GRU(4, 4), "down": nn.Linear(4, 1)}),
        "from_torch(model['a'], encoder=model['up']) or from_torch(model['b'], head=model['down'])",
    ),
    "of unknown width": (
        lambda: nn.Sequential(nn.Conv1d(2, 3, 1), nn.RNNCell(3, 4), nn.Bilinear(4, 4, 1)),
        "from_torch(model[1])",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_how_to_convert(name: str) -> None:
    """A head reads what the recurrence gives, an encoder gives what it takes, and both lie on their side of it."""
    make, expected = MODELS[name]
    assert how_to_convert(make()) == expected


LEFT_OUT: dict[str, Any] = {
    "between": (nn.Sequential(nn.GRU(3, 4), nn.MultiheadAttention(4, 1), nn.Linear(4, 1)), ["model[1]"]),
    "before and behind": (nn.Sequential(nn.Linear(3, 2), nn.GRU(3, 4), nn.Linear(5, 1)), ["model[0]", "model[2]"]),
    "without weights": (nn.Sequential(nn.GRU(3, 4), nn.ReLU(), nn.Linear(4, 1)), ["model[1]"]),
    "idle": (nn.Sequential(nn.GRU(3, 4), nn.Dropout(), nn.Identity(), nn.Linear(4, 1), nn.MSELoss()), []),
    "of one of two": (nn.Sequential(nn.Linear(2, 3), nn.GRU(3, 4), nn.GRU(4, 5), nn.Linear(5, 1)), []),
    "reads both directions": (nn.Sequential(nn.GRU(3, 4, bidirectional=True), nn.Linear(8, 1)), ["model[1]"]),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_left_out(name: str) -> None:
    """Whatever computes something and stands in no call."""
    model, expected = LEFT_OUT[name]
    assert left_out(model) == expected


def test_a_weight_of_the_model_itself_is_left_out() -> None:
    model = nn.Sequential(nn.GRU(3, 4), nn.Linear(4, 1))
    model.register_parameter("query", nn.Parameter(nn.Linear(1, 4).weight))
    assert left_out(model) == ["model.query"]


def test_parts_cover_the_model_once() -> None:
    """Every parameter belongs to one part."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ModuleList([nn.GRU(3, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh())]))
    parts = parts_of(model)
    assert [part.name for part in parts] == ["model[0]", "model[1][0]", "model[1][1]"]
    found = [id(parameter) for part in parts for parameter in part.module.parameters()]
    assert sorted(found) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(3, 4), Widths((3,), (4,))),
        (nn.Sequential(nn.Embedding(9, 5), nn.ReLU(), nn.LayerNorm(5)), Widths((), (5,))),
        (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)), Widths((3,), (2,))),
        (nn.Sequential(nn.Conv1d(2, 3, 1), nn.Linear(3, 2)), Widths(None, (2,))),
        (nn.Sequential(nn.Linear(3, 2), nn.PReLU()), Widths((3,), None)),
        (nn.Tanh(), Widths(None, None)),
    ],
)
def test_widths(module: nn.Module, expected: Widths) -> None:
    """What the first and the last layer with weights tell, and None where they do not."""
    assert layer_widths(module) == expected


def test_attention() -> None:
    """torch's own, by type, wherever it stands; nothing in a recurrence."""
    assert attention_in(nn.Transformer(8, 2, 1, 1, 8, batch_first=True)) == [
        "encoder.layers.0.self_attn",
        "decoder.layers.0.self_attn",
        "decoder.layers.0.multihead_attn",
    ]
    assert attention_in(nn.LSTM(3, 4)) == []
    assert attention_in(nn.ModuleDict({"cross_attn": nn.Linear(2, 2), "attnorm": nn.Linear(2, 2)})) == ["cross_attn"]
    assert attention_in(type("Attn", (nn.Linear,), {})(2, 2)) == ["itself"]

"""Which path runs a cell is told as it is, for every cell and every reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seqdyn import GRU, LSTM, Elman, Linear, Readout, Stack, explain_backend
from seqdyn.cell import Cell
from seqdyn.kernels import through_time


class Leaky(Cell):
    """A user's cell, without a fast path."""

    def __init__(self, size: int):
        super().__init__(size, size)
        self.rate = torch.nn.Parameter(torch.tensor(0.1))

    def initial_state(self, batch: int) -> tuple[torch.Tensor]:
        return (self.zeros(batch, self.hidden_size),)

    def forward(self, x: Any, state: Any) -> Any:
        h = state[0] + self.rate * (x - state[0])
        return h, (h,)


X = torch.zeros(2, 6, 3)
MASK = torch.arange(6) < torch.tensor([[6], [4]])


@pytest.mark.parametrize("cell", [Elman(3, 4), Elman(3, 4, activation="sigmoid"), LSTM(3, 4), GRU(3, 4, "before")])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "ragged"])
def test_compiled_loops_run(cell: Cell, mask: Any) -> None:
    """On plain tensors on the CPU, with a mask or without."""
    assert explain_backend(cell, X, mask) == f"{type(cell).__name__}(3 → 4) runs in compiled loops."


HOLES = torch.arange(6).remainder(2).bool().expand(2, 6)
LATE = torch.arange(40) < torch.tensor([[40], [25]])


@pytest.mark.parametrize(
    ("cell", "mask", "words"),
    [
        (GRU(3, 4), None, "in torch's own kernel: numba is not installed: pip install 'seqdyn[fast]'."),
        (GRU(3, 4, "before"), None, "knows no reset before the product."),
        (Elman(3, 4, activation="sigmoid"), None, "knows no sigmoid."),
        (LSTM(3, 4), HOLES, "knows no masks."),
        (LSTM(3, 4), LATE, "in torch's own kernel: numba is not installed: pip install 'seqdyn[fast]'."),
    ],
)
def test_without_numba(cell: Cell, mask: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own kernel runs where it knows the form, on the stretches between the ends of rows; else the steps do."""
    monkeypatch.setattr(through_time, "available", lambda: False)
    time = 6 if mask is None else mask.shape[1]
    assert explain_backend(cell, torch.zeros(2, time, 3), mask).endswith(words)


@pytest.mark.parametrize(
    ("cell", "x", "words"),
    [
        (GRU(3, 4).bfloat16(), X.bfloat16(), "x is bfloat16, and compiled loops know float32 and float64."),
        (Elman(0, 4), X[..., :0], "x is empty."),
        (LSTM(3, 4, peepholes=True), X, "step by step: no kernel knows peepholes."),
        (Linear(3, 4), X, "in torch operations over whole stretches of time."),
        (Leaky(3), X, "step by step: it has no kernel."),
    ],
)
def test_reasons(cell: Cell, x: Any, words: str) -> None:
    """Dtype, device, form, no kernel at all."""
    assert explain_backend(cell, x).endswith(words)


def test_other_devices() -> None:
    """Compiled loops stay away from what is not on the CPU."""
    assert through_time.unfit(X.to("meta")) == "the tensors are on meta, and compiled loops run on the CPU"


def test_every_recurrence_is_told() -> None:
    """In a composition each has its line; one that takes its own past is run step by step as a whole."""
    told = explain_backend(Readout(Stack([GRU(3, 8), LSTM(8, 4, peepholes=True)]), 1), X)
    assert told.splitlines() == [
        "GRU(3 → 8) runs in compiled loops.",
        "LSTM(8 → 4) runs step by step: no kernel knows peepholes.",
    ]
    with torch.autocast("cpu"):
        assert "no kernel runs under autocast" in explain_backend(GRU(3, 4), X)

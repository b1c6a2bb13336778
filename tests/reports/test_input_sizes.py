"""Inputs are judged as the recurrence sees them, and are scaled in the form they came in."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from seqdyn import from_torch
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.composition import Embedding, Identity, Readout, Stack
from seqdyn.reports.input_sizes import input_sizes, scaling_code
from seqdyn.step_function import StepFunction

ROWS = np.random.default_rng(0).normal(2000.0, 500.0, size=(4, 30, 3))
ROWS[..., 1] = 1000.1  # a feature that never changes


def tensor(*shape: int) -> Tensor:
    return torch.as_tensor(ROWS.reshape(*shape), dtype=torch.float32)


CONTAINERS: dict[str, Any] = {
    "array": lambda: ROWS,
    "one sequence": lambda: ROWS[0],
    "float32": lambda: ROWS.astype(np.float32),
    "tensor": lambda: tensor(4, 30, 3),
    "tensor of one sequence": lambda: tensor(120, 3),
    "list": lambda: [*ROWS],
    "list of tensors": lambda: [*tensor(4, 30, 3)],
    "table": lambda: pd.DataFrame(ROWS[0], columns=["a", "b", "c"]),
    "packed": lambda: pack_sequence([*tensor(4, 30, 3)]),
}


def values(X: Any) -> np.ndarray[Any, Any]:
    if isinstance(X, list):
        return np.concatenate([np.asarray(rows) for rows in X])
    return np.asarray(getattr(X, "data", X) if hasattr(X, "batch_sizes") else X).reshape(-1, 3)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_code_centres_and_scales(name: str) -> None:
    """Pasted, it keeps the container and its shape; a constant feature becomes 0, not NaN."""
    X = CONTAINERS[name]()
    space = {"X": X, "StandardScaler": StandardScaler, "np": np, "torch": torch}
    exec(re.findall("`(.+)`", scaling_code(X))[0], space)
    after = space["X"]
    assert type(after) is type(X) and values(after).shape == values(X).shape
    found = values(after)
    np.testing.assert_allclose(found.mean(0), 0.0, atol=1e-3)
    np.testing.assert_allclose(found.std(0), [1, 0, 1], atol=1e-3)


NESTED = torch.nested.nested_tensor([torch.zeros(2, 3)], layout=torch.jagged)


@pytest.mark.parametrize("X", [None, NESTED, [[[0.0]]], pd.Series([1.0])])
def test_no_code_for_what_no_line_scales(X: Any) -> None:
    assert "`" not in scaling_code(X)


@pytest.mark.parametrize(
    ("cell", "largest"),
    [
        (GRU(3, 4), 3000.0),
        (Readout(GRU(3, 4), 1), 3000.0),
        (Stack([GRU(3, 4), GRU(4, 4)]), 3000.0),
        (from_torch(nn.GRU(3, 4), encoder=nn.LayerNorm(3)), 1.0),
        (from_torch(nn.GRU(3, 4), nn.Linear(4, 1), encoder=nn.LayerNorm(3)), 1.0),
        (from_torch(nn.GRU(3, 4), encoder=nn.Tanh(), input_size=3), 1.0),
        (from_torch(nn.GRU(3, 4), encoder=nn.Identity(), input_size=3), 3000.0),
    ],
)
def test_sizes_are_those_behind_the_encoder(cell: Any, largest: float) -> None:
    """Within a factor of two: a layer norm brings them to 1, and nothing to what they were."""
    found = input_sizes(cell, 3000 * torch.randn(8, 50, 3, generator=torch.Generator().manual_seed(0)))
    assert found is not None and largest / 2 < float(found.largest.max()) < 2 * largest


class Normalised(nn.Module):
    """A step that brings its inputs to unit size itself."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.cell = nn.LayerNorm(3), nn.GRUCell(3, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.cell(self.norm(x), h)
        return h, h


@pytest.mark.parametrize(
    ("cell", "x"),
    [
        (Linear(3, 4), torch.full((2, 5, 3), 1e3)),
        (StepFunction(Normalised(), torch.zeros(4), 3), torch.full((2, 5, 3), 1e3)),
        (Embedding(Identity(3), 5), torch.ones(2, 5, dtype=torch.long)),
        (GRU(3, 4), torch.full((2, 5, 3), torch.nan)),
    ],
)
def test_where_size_does_not_matter(cell: Any, x: Tensor) -> None:
    assert input_sizes(cell, x) is None

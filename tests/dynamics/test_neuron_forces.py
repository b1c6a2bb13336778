"""Neurons by name: where they stand, clamps and nudges, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqdyn import GRU, LSTM, Autoregression, DelayLine, GRURegressor, OwnPast, Readout, Stack, scan
from seqdyn.cell import Cell
from seqdyn.dynamics import clamp, neurons, nudge
from seqdyn.dynamics.neuron_forces import memory, with_memory
from seqdyn.state import flatten, leaves

CELLS: dict[str, Cell] = {
    "gru": GRU(2, 3),
    "lstm": LSTM(2, 3),
    "stack": Stack([GRU(2, 3), LSTM(3, 2)]),
    "readout": Readout(Stack([GRU(2, 3), GRU(3, 3)]), 2),
    "own past": OwnPast(Readout(GRU(2, 3), 2)),
    "delay line": OwnPast(DelayLine(Readout(GRU(4, 3), 2), targets=2, lags=2)),
}


@pytest.mark.parametrize("name", CELLS)
def test_names_stand_for_the_columns_of_the_memory(name: str) -> None:
    """A clamp of the k-th name changes the k-th column of the flattened memory, and nothing else."""
    cell = CELLS[name]
    state = cell.initial_state(2)
    names = neurons(cell)
    width = flatten(memory(state)).shape[1]
    assert len(names) == len(set(names)) == width
    for column, neuron in enumerate(names):
        changed = clamp(cell, {neuron: 0.25})(0, state)
        expected = flatten(memory(state)).clone()
        expected[:, column] = 0.25
        assert torch.equal(flatten(memory(changed)), expected)
        beside = [leaf for leaf in leaves(with_memory(changed, ())) if leaf.numel()]
        assert all(torch.equal(a, b) for a, b in zip(beside, leaves(with_memory(state, ())), strict=True))


def test_names_are_paths() -> None:
    assert neurons(CELLS["stack"]) == ["0.h[0]", "0.h[1]", "0.h[2]", "1.h[0]", "1.h[1]", "1.c[0]", "1.c[1]"]
    assert neurons(CELLS["delay line"]) == ["h[0]", "h[1]", "h[2]"]
    x = np.random.default_rng(0).normal(size=(40, 1))
    own = Autoregression(residual=True)
    model = GRURegressor(hidden_size=3, max_epochs=1, autoregression=own, random_state=0).fit(x[:-1], x[1:])
    assert neurons(model.cell_) == ["h[0]", "h[1]", "h[2]"]


@pytest.mark.parametrize("name", CELLS)
def test_a_neuron_clamped_to_its_own_path_changes_nothing(name: str) -> None:
    cell = CELLS[name].double()
    x: Any = torch.randn(2, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = cell.alone(2, 6) if isinstance(cell, OwnPast) else x
    with torch.no_grad():
        free = scan(cell, x, record=lambda x, before, output, after: flatten(memory(before)))
        values = {neuron: free.record[:, :, column].numpy() for column, neuron in enumerate(neurons(cell))}
        assert torch.equal(scan(cell, x, force=clamp(cell, values)).output, free.output)
        assert torch.equal(scan(cell, x, force=nudge(cell, {neurons(cell)[0]: 0.0})).output, free.output)


def test_a_clamp_in_time_and_over_rows() -> None:
    cell = GRU(1, 2).double()
    x = torch.zeros(2, 4, 1, dtype=torch.float64)
    values = np.array([[np.nan, 0.5, np.nan, np.nan], [np.nan, np.nan, np.nan, -0.5]])
    with torch.no_grad():
        seen = scan(cell, x, force=clamp(cell, {"h[1]": values, "h[0]": np.nan}), record=lambda x, h, y, after: h.h)
        free = scan(cell, x, record=lambda x, h, y, after: h.h)
    assert seen.record[0, 1, 1] == 0.5 and seen.record[1, 3, 1] == -0.5
    assert torch.equal(seen.record[0, 1, 0], free.record[0, 1, 0])
    assert torch.equal(seen.record[1, :3], free.record[1, :3])


def test_a_nudge_adds() -> None:
    cell = GRU(1, 2).double()
    state = cell.initial_state(3)
    force = nudge(cell, {"h[1]": [0.25, np.nan], "h[0]": [[1.0], [2.0], [3.0]]})
    assert force(0, state).h.tolist() == [[1.0, 0.25], [2.0, 0.25], [3.0, 0.25]]
    assert force(1, state).h.tolist() == [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    assert state.h.abs().max() == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"h[7]": 0.0}, r"no neuron 'h\[7\]'. GRU has 3, such as 'h\["),
        ({"c[0]": 0.0}, "no neuron"),
        ({}, "No neuron is named"),
        ({"h[0]": np.inf}, "infinite"),
        ({"h[0]": np.zeros((2, 2, 2))}, "shape"),
        ({"h[0]": [0.0, 0.0], "h[1]": [0.0, 0.0, 0.0]}, r"do not go together.*h\[0\] \(1, 2\), h\[1\] \(1, 3\)"),
    ],
)
def test_wrong_forces_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        clamp(GRU(1, 3), values)


def test_values_without_names_are_refused() -> None:
    with pytest.raises(TypeError, match=r"mapping such as \{'h\[0\]': 0.5\}, got list"):
        clamp(GRU(1, 3), [0.5])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got float"):
        nudge(GRU(1, 3), 0.5)  # type: ignore[arg-type]


def test_a_force_that_is_too_short_is_named() -> None:
    with pytest.raises(ValueError, match="values for 2 steps, but there is a step 2"):
        scan(GRU(1, 3), torch.zeros(1, 4, 1), force=clamp(GRU(1, 3), {"h[0]": [0.0, 1.0]}))

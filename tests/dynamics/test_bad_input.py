"""Bad input is refused by every instrument alike, with what was received, where, and the way out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from seqdyn import dynamics
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.dynamics.gradients import accumulated_gradient, gradient_by_lag, parameter_gradients

DRIVEN: dict[str, Callable[[Any, Any], Any]] = {
    "jacobians": dynamics.jacobians,
    "input_jacobians": dynamics.input_jacobians,
    "transition_norms": dynamics.transition_norms,
    "transition_map": dynamics.transition_map,
    "transition_singular_values": dynamics.transition_singular_values,
    "leading_singular_value": dynamics.leading_singular_value,
    "gradient_by_lag": lambda cell, x: dynamics.gradient_by_lag(cell, x, torch.square),
    "accumulated_gradient": lambda cell, x: dynamics.accumulated_gradient(cell, x, torch.square),
    "parameter_gradients": lambda cell, x: dynamics.parameter_gradients(cell, x, torch.square),
    "omega": lambda cell, x: dynamics.omega(cell, x, torch.sum),
    "steps_reached": lambda cell, x: dynamics.steps_reached(cell, x, torch.sum),
    "eigenvalues": dynamics.eigenvalues,
    "spectral_radius": dynamics.spectral_radius,
    "lyapunov_spectrum": dynamics.lyapunov_spectrum,
    "finite_time_exponents": lambda cell, x: dynamics.finite_time_exponents(cell, x, lag=2),
    "divergence_exponent": dynamics.divergence_exponent,
    "fixed_points": lambda cell, x: dynamics.fixed_points(cell, x, starts=4),
    "gate_statistics": dynamics.gate_statistics,
    "saturation": dynamics.saturation,
    "memory_horizons": dynamics.memory_horizons,
}
"""The instruments that take x; memory_capacity makes its own."""

every_instrument = pytest.mark.parametrize("instrument", DRIVEN.values(), ids=list(DRIVEN))


def cell() -> Elman:
    return Elman(2, 3, generator=torch.Generator().manual_seed(0))


@every_instrument
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_found(instrument: Callable[[Any, Any], Any], value: float) -> None:
    """The first one, by sequence, step and feature, and how many there are."""
    x = torch.zeros(3, 8, 2)
    x[1, 5, 1] = x[2, 0, 0] = value
    expected = rf"x holds {value} at sequence 1, step 5, feature 1, expected finite numbers \(2 of 48 are not\)"
    with pytest.raises(ValueError, match=expected):
        instrument(cell(), x)


@every_instrument
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_numbers_are_floating_point(instrument: Callable[[Any, Any], Any], dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"x has dtype {dtype}, expected floating point: give x\.double\(\)"):
        instrument(cell(), torch.ones(1, 8, 2, dtype=dtype))


@every_instrument
def test_no_sequence_is_nothing_to_measure(instrument: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(ValueError, match=r"x has shape \(0, 8, 2\), expected at least one sequence"):
        instrument(cell(), torch.zeros(0, 8, 2))


class Keeping(Elman):
    """A cell that keeps its last state, with its history."""

    def forward(self, x: Tensor, state: Any) -> tuple[Any, Any]:
        output, after = super().forward(x, state)
        self.last = {"state": after}
        return output, after


@pytest.mark.parametrize("name", [*DRIVEN, "memory_capacity"])
def test_what_cannot_be_copied_is_named(name: str) -> None:
    """torch copies no tensor with a history; the error of torch does not say which one it is."""
    instrument = DRIVEN.get(name, lambda cell, x: dynamics.memory_capacity(cell))
    keeping = Keeping(2, 3)
    keeping(torch.zeros(1, 2), keeping.initial_state(1))
    with pytest.raises(ValueError, match=r"Keeping keeps last, computed with a history.*store value\.detach\(\)"):
        instrument(keeping, torch.zeros(1, 8, 2))


def test_what_was_never_run_with_a_history_is_measured() -> None:
    assert dynamics.jacobians(Keeping(2, 3), torch.zeros(1, 8, 2)).shape == (1, 8, 3, 3)


class Memory(NamedTuple):
    h: Tensor


class Chosen(Cell):
    """Reads a row of a table by its number, which stands in a tree beside what is measured."""

    input_shape = None

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.table = torch.nn.Parameter(torch.eye(2))

    def initial_state(self, batch: int) -> Memory:
        return Memory(self.table.new_zeros(batch, 2))

    def forward(self, x: dict[str, Tensor], state: Memory) -> tuple[Tensor, Memory]:
        hidden = 0.5 * state.h + self.table[x["row"]] + x["value"]
        return hidden, Memory(hidden)


def test_trees_may_hold_indices() -> None:
    """Their other leaves are checked by name."""
    x = {"row": torch.ones(1, 4, dtype=torch.int64), "value": torch.zeros(1, 4, 2)}
    torch.testing.assert_close(dynamics.jacobians(Chosen(), x)[0, 3], 0.5 * torch.eye(2, dtype=torch.float64))
    x["value"][0, 2, 1] = math.inf
    with pytest.raises(ValueError, match=r"x\.value holds inf at sequence 0, step 2, feature 1"):
        dynamics.jacobians(Chosen(), x)


def test_states_that_do_not_stay_finite_are_a_finding() -> None:
    """The input is sound: what the cell makes of it is what is to be seen."""
    x = torch.ones(1, 400, 2)
    wild = Elman(2, 3, activation="relu")
    torch.nn.init.constant_(wild.recurrent_weight, 100.0)
    torch.nn.init.constant_(wild.input_weight, 1.0)
    states = torch.cat([stretch.states() for stretch in dynamics.Trajectory(wild, x).forward()], 1)
    assert not states.isfinite().all()


def test_a_state_is_a_tree_of_tensors() -> None:
    with pytest.raises(TypeError, match="state is of type function"):
        dynamics.memory_horizons(cell(), torch.zeros(1, 8, 2), lambda y: y)


# --- the arguments of gradients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [0, -3, 2.0, "8", True])
def test_the_longest_lag_is_a_count(longest: Any) -> None:
    with pytest.raises(ValueError, match=r"longest.* must be .*an int of at least 1, got"):
        gradient_by_lag(cell(), torch.zeros(1, 8, 2), torch.square, longest=longest)


@pytest.mark.parametrize("anchors", [[1.5], True, [True], 2.0, "3", None, np.array([0.5]), [[1]], torch.tensor([True])])
@pytest.mark.parametrize("instrument", [gradient_by_lag, parameter_gradients])
def test_anchors_are_ints(instrument: Any, anchors: Any) -> None:
    with pytest.raises(ValueError, match="anchors must be an int, how many, or a sequence of ints"):
        instrument(cell(), torch.zeros(1, 8, 2), torch.square, anchors=anchors)


STEPS = [[3, 6], (3, 6), np.array([3, 6]), torch.tensor([3, 6]), [np.int64(3), torch.tensor(6)], range(3, 7, 3)]


@pytest.mark.parametrize("anchors", STEPS, ids=lambda anchors: type(anchors).__name__)
def test_anchors_of_every_kind(anchors: Any) -> None:
    found = gradient_by_lag(cell(), torch.zeros(1, 8, 2), torch.square, anchors=anchors)
    assert found.anchors.tolist() == [3, 6]


@pytest.mark.parametrize(
    "count", [2, np.int64(2), np.array(2), torch.tensor(2)], ids=lambda count: type(count).__name__
)
def test_the_number_of_anchors(count: Any) -> None:
    found = gradient_by_lag(cell(), torch.zeros(1, 8, 2), torch.square, anchors=count, longest=np.int64(3))
    assert found.anchors.tolist() == [4, 7] and found.lags.tolist() == [1, 2, 3]


@pytest.mark.parametrize("edges", [[0, 1.5], [0, True], 4, "0123", [None]])
def test_edges_are_ints(edges: Any) -> None:
    with pytest.raises(ValueError, match="edges must be a sequence of ints"):
        parameter_gradients(cell(), torch.zeros(1, 8, 2), torch.square, edges=edges)
    found = parameter_gradients(cell(), torch.ones(1, 8, 2), torch.square, edges=np.array([0, 2]), anchors=[7])
    assert found.edges == (0, 2, 7)


@pytest.mark.parametrize(
    "instrument",
    [gradient_by_lag, accumulated_gradient, parameter_gradients, dynamics.omega, dynamics.steps_reached],
    ids=lambda instrument: instrument.__name__,
)
def test_a_loss_is_a_callable(instrument: Any) -> None:
    with pytest.raises(TypeError, match=r"loss must be a callable, loss\(output\) -> errors, got str \('mse'\)"):
        instrument(cell(), torch.zeros(1, 8, 2), "mse")

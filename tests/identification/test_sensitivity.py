"""Exact sensitivities: those of a plain loop under autograd, for every entry and every start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqdyn.identification import sensitivity
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.sensitivity import MATRICES, Equations, equations
from seqdyn.identification.system import LinearSystem

Array = np.ndarray[Any, Any]
SIZES = [(1, 1, 1), (2, 1, 1), (3, 2, 2), (4, 3, 1), (2, 0, 2), (1, 2, 3)]
LENGTHS = (17, 30, 9, 31)

every_size = pytest.mark.parametrize(("order", "inputs", "outputs"), SIZES)


def drawn_system(order: int, inputs: int, outputs: int) -> LinearSystem:
    """With offsets of output and state; ρ = 0.9."""
    random = np.random.default_rng(order)
    transition = random.normal(size=(order, order))
    return LinearSystem(
        random.normal(size=(outputs, inputs)),
        random.normal(size=(outputs, order)),
        random.normal(size=(order, inputs)),
        0.9 * transition / np.abs(np.linalg.eigvals(transition)).max(),
        random.normal(size=outputs),
        random.normal(size=order),
    )


def drawn_records(inputs: int, outputs: int, lengths: tuple[int, ...] = LENGTHS) -> list[DataRecord]:
    """Unlike lengths, unlike weights, some outputs missing."""
    random = np.random.default_rng(7)
    records = []
    for time in lengths:
        y = random.normal(size=(time, outputs))
        y[random.random(y.shape) < 0.1] = np.nan
        records.append(DataRecord.of(random.normal(size=(time, inputs)), y, random.uniform(0.5, 2.0, size=y.shape)))
    return records


def weighted_errors(system: LinearSystem, records: list[DataRecord], theta: Tensor) -> Tensor:
    """√w (y − ŷ) of a plain loop, with θ = [starts, entries of MATRICES]."""
    sizes = [len(records) * system.order, *(getattr(system, name).size for name in MATRICES)]
    starts, *entries = torch.split(theta, sizes)
    shapes = [getattr(system, name).shape for name in MATRICES]
    D, C, B, A, offset = (entry.reshape(shape) for entry, shape in zip(entries, shapes, strict=True))
    errors = []
    for record, h in zip(records, starts.reshape(len(records), -1), strict=True):
        for x, y, weight in zip(*map(torch.as_tensor, record), strict=True):
            known = ~torch.isnan(y)
            error = torch.nan_to_num(y) - A @ x - B @ h - offset
            errors.append((weight.sqrt() * error)[known])
            h = C @ x + D @ h + torch.as_tensor(system.state_offset)
    return torch.cat(errors)


def by_the_loop(system: LinearSystem, records: list[DataRecord], starts: Array) -> tuple[Array, Array]:
    """J of ŷ and the errors, through autograd."""
    theta = torch.as_tensor(np.concatenate([starts.ravel(), *(getattr(system, name).ravel() for name in MATRICES)]))
    jacobian = -torch.func.jacrev(lambda theta: weighted_errors(system, records, theta))(theta)
    return jacobian.numpy(), weighted_errors(system, records, theta).numpy()


def close(found: Equations, R: Array, z: Array) -> None:
    scale = np.abs(R.T @ R).max()
    np.testing.assert_allclose(found.matrix.T @ found.matrix, R.T @ R, atol=1e-12 * scale)
    np.testing.assert_allclose(found.matrix.T @ found.target, R.T @ z, atol=1e-12 * scale)


@every_size
@pytest.mark.parametrize("records", [1, 4])
def test_all_entries_are_those_of_the_loop(order: int, inputs: int, outputs: int, records: int) -> None:
    """RᵀR = JᵀJ and Rᵀz = Jᵀe, from starts that are known; measured: 1e-15 of the largest."""
    system, data = drawn_system(order, inputs, outputs), drawn_records(inputs, outputs, LENGTHS[:records])
    starts = np.random.default_rng(3).normal(size=(records, order))
    J, errors = by_the_loop(system, data, starts)
    close(equations(system, grouped(data), starts, free_starts=False), J[:, starts.size :], errors)


@every_size
def test_unknown_starts_are_taken_out(order: int, inputs: int, outputs: int) -> None:
    """What is left of J and the errors is orthogonal to the derivatives by the starts."""
    system, data = drawn_system(order, inputs, outputs), drawn_records(inputs, outputs)
    starts = np.random.default_rng(3).normal(size=(len(data), order))
    J, errors = by_the_loop(system, data, starts)
    own, entries = np.split(J, [starts.size], axis=1)
    left = np.eye(len(J)) - own @ np.linalg.pinv(own)
    close(equations(system, grouped(data), starts, free_starts=True), left @ entries, errors)


@every_size
def test_the_steps_of_the_starts_go_with_the_step_of_the_entries(order: int, inputs: int, outputs: int) -> None:
    system, data = drawn_system(order, inputs, outputs), drawn_records(inputs, outputs)
    starts = np.random.default_rng(3).normal(size=(len(data), order))
    J, errors = by_the_loop(system, data, starts)
    own, entries = np.split(J, [starts.size], axis=1)
    step = np.random.default_rng(4).normal(size=entries.shape[1])
    found = equations(system, grouped(data), starts, free_starts=True).start_steps(step, len(data))
    expected = np.linalg.lstsq(own, errors - entries @ step, rcond=None)[0]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("free_starts", [False, True])
@pytest.mark.parametrize("chunk", [1, 200, 1000])
def test_chunks_change_nothing(chunk: int, free_starts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one step at once to some."""
    system, groups, starts = drawn_system(3, 2, 2), grouped(drawn_records(2, 2)), np.ones((4, 3))
    whole = equations(system, groups, starts, free_starts)
    monkeypatch.setattr(sensitivity, "SENSITIVITIES_AT_ONCE", chunk)
    parts = equations(system, groups, starts, free_starts)
    close(parts, whole.matrix, whole.target)
    step = np.random.default_rng(0).normal(size=whole.matrix.shape[1])
    if free_starts:
        np.testing.assert_allclose(parts.start_steps(step, 4), whole.start_steps(step, 4), rtol=1e-9)


def test_records_padded_side_by_side_are_records_alone() -> None:
    """What the equations of single records add up to."""
    system, data, starts = drawn_system(3, 2, 2), drawn_records(2, 2), np.ones((4, 3))
    alone = [equations(system, grouped([record]), np.ones((1, 3)), True) for record in data]
    close(
        equations(system, grouped(data), starts, True),
        np.vstack([one.matrix for one in alone]),
        np.concatenate([one.target for one in alone]),
    )


def test_a_long_record_is_the_loop_too() -> None:
    """1 500 steps: the kernel's blocks, not its loop."""
    system, data, starts = drawn_system(2, 1, 1), drawn_records(1, 1, (1500,)), np.ones((1, 2))
    J, errors = by_the_loop(system, data, starts)
    close(equations(system, grouped(data), starts, False), J[:, 2:], errors)


def test_a_step_of_the_linear_entries_is_exact() -> None:
    """In C, A, y_0 and the starts the free run is linear: Rθ − z predicts the error after any step."""
    system, data = drawn_system(3, 2, 2), drawn_records(2, 2)
    starts = np.zeros((4, 3))
    here = equations(system, grouped(data), starts, False)
    step = np.random.default_rng(5).normal(size=here.matrix.shape[1])
    sizes = np.cumsum([getattr(system, name).size for name in MATRICES])
    step[: sizes[0]] = step[sizes[1] : sizes[2]] = 0.0  # D and B stay
    theta = np.concatenate([getattr(system, name).ravel() for name in MATRICES]) + step
    before = weighted_errors(system, data, torch.as_tensor(np.concatenate([starts.ravel(), theta - step])))
    after = weighted_errors(system, data, torch.as_tensor(np.concatenate([starts.ravel(), theta])))
    gained = float(before.square().sum() - after.square().sum())
    expected = here.target @ here.target - ((here.matrix @ step - here.target) ** 2).sum()
    assert gained == pytest.approx(expected, rel=1e-9)

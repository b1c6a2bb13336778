"""How far an estimate may be from the truth: against repeated records, closed forms and regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.signal import lfilter

from seqdyn.identification.estimation import Estimation
from seqdyn.identification.prediction_error import innovation_form, predicting
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit, Problem, linear_part, refined
from seqdyn.identification.system import LinearSystem
from seqdyn.identification.uncertainty import (
    autoregression,
    coloured_root,
    directions,
    free_parameters,
    white_root,
)
from tests.identification.plants import PLANT, closed_loop, filtered_noise, with_gain
from tests.identification.test_prediction_error import WIDTHS, a_fit, drifting, problem_of, runs

Array = np.ndarray[Any, Any]
RECORDS = 100
BAR = 3 / np.sqrt(2 * RECORDS)
"""Three standard errors of a standard deviation from so many values."""


# -------------------------------------------------------------------- against the spread over repeated records


def informed(problem: Problem, fit: Fit, root: Array) -> LinearSystem:
    """The system of a fit that knows how sure it is."""
    told = Estimation("prediction", np.array([1]), 1, 0.0, 0.0, directions(problem, fit, root))
    form = fit if fit.system.noise_gain is None else innovation_form(fit)
    return replace(form.system, estimation=told)


def one_step(record: DataRecord, truth: LinearSystem, **changes: Any) -> LinearSystem:
    problem = problem_of([record], **changes)
    fit = predicting([record], problem, a_fit(problem, truth))
    return informed(problem, fit, white_root(problem, fit))


def free_run(record: DataRecord, truth: LinearSystem, root: Callable[[Problem, Fit], Array]) -> LinearSystem:
    problem, start = Problem(grouped([record]), 1), np.zeros((1, truth.order))
    truth = replace(truth, noise_gain=None)
    fit = refined(problem, Fit(truth, start, problem.error(truth, start)))
    return informed(problem, fit, root(problem, fit))


def ratios(systems: Sequence[LinearSystem]) -> Array:
    """Standard deviation over the records, in standard errors: of the pole with the largest real part, and the gain."""
    values, errors = [], []
    for system in systems:
        place = int(system.poles().real.argmax())
        values.append([system.poles()[place].real, system.dc_gain()[0, 0]])
        told = system.pole_standard_errors().real[place], system.standard_error(LinearSystem.dc_gain)[0, 0]
        errors.append(told)
    return np.std(values, axis=0) / np.sqrt(np.mean(np.square(errors), axis=0))


FIRST = LinearSystem([[0.0]], [[1.0]], [[0.5]], [[0.8]], noise_gain=[[0.3]])
LOOPED = LinearSystem([[0.0]], [[1.0]], [[0.5]], [[0.7]], noise_gain=[[0.7]])


def armax(seed: int) -> LinearSystem:
    """(1 − 0.8 z⁻¹) y = 0.5 z⁻¹ x + (1 − 0.5 z⁻¹) e."""
    return one_step(filtered_noise([0.0, 0.5], [1.0, -0.8], [1.0, -0.5], [1.0, -0.8], 500, seed, 0.3), FIRST)


def looped(seed: int) -> LinearSystem:
    return one_step(closed_loop(0.7, 0.5, 0.4, 500, seed, 2.0), LOOPED, feedthrough=False)


def white(seed: int) -> LinearSystem:
    return free_run(filtered_noise([0.0, 0.5], [1.0, -0.8], [1.0], [1.0], 500, seed, 0.3), FIRST, coloured_root)


def coloured(seed: int) -> LinearSystem:
    """The free run under noise that remembers: white_root would be off by a factor of 2.4 and more."""
    record = filtered_noise([0.0, 0.5], [1.0, -0.8], [1.0], [1.0, -0.9], 500, seed, 0.1)
    return free_run(record, FIRST, coloured_root)


@pytest.mark.parametrize("family", [armax, looped, white, coloured])
def test_standard_errors_are_the_spread_over_repeated_records(family: Callable[[int], LinearSystem]) -> None:
    found = ratios([family(seed) for seed in range(RECORDS)])
    np.testing.assert_allclose(found, 1.0, atol=BAR + 0.05)  # 0.05: what a linear theory leaves out at 500 steps


def test_noise_that_remembers_needs_its_own_root() -> None:
    """The white one takes slow noise for so many independent values: the spread is 2.4 and 3.0 times as large."""
    records = [filtered_noise([0.0, 0.5], [1.0, -0.8], [1.0], [1.0, -0.9], 500, seed, 0.1) for seed in range(40)]
    assert ratios([free_run(record, FIRST, white_root) for record in records]).min() > 1.7


@pytest.mark.parametrize("seed", range(4))
def test_where_noise_is_white_the_two_roots_agree(seed: int) -> None:
    record = filtered_noise([0.0, 0.5], [1.0, -0.8], [1.0], [1.0], 4000, seed, 0.3)
    errors = [
        free_run(record, FIRST, root).standard_error(LinearSystem.dc_gain) for root in (white_root, coloured_root)
    ]
    np.testing.assert_allclose(errors[0], errors[1], rtol=0.1)


# -------------------------------------------------------------------- closed forms


def static_fit(noise: Array, seed: int = 0) -> tuple[Array, Problem, Fit]:
    """y = A x + y_0 + noise: the regressors [x, 1], the problem and its fit."""
    x = lfilter([1.0], [1.0, -0.7], np.random.default_rng([seed, 2]).normal(size=(len(noise), 2)), axis=0)
    record = DataRecord.of(x, x @ [[2.0], [-1.0]] + 3.0 + noise[:, None])
    problem = Problem(grouped([record]), 1)
    return np.column_stack([x, np.ones(len(x))]), problem, linear_part(problem, np.zeros((1, 0)), np.zeros((0, 0)))


def test_without_states_it_is_regression() -> None:
    """s² (XᵀX)⁻¹ with N − 3 degrees of freedom."""
    X, problem, fit = static_fit(np.random.default_rng(0).normal(size=60))
    root = white_root(problem, fit)
    expected = fit.error / (60 - 3) * np.linalg.inv(X.T @ X)
    np.testing.assert_allclose(root @ root.T, expected, rtol=1e-9)
    assert free_parameters(problem, fit) == 3


def test_coloured_errors_make_the_sandwich() -> None:
    """(XᵀX)⁻¹ XᵀΩX (XᵀX)⁻¹ with Ω of the true AR(1) noise; its root from 8,000 values is off by a few per cent."""
    count, memory = 8000, 0.8
    noise = lfilter([1.0], [1.0, -memory], np.random.default_rng(1).normal(size=count))
    X, problem, fit = static_fit(noise)
    weights = np.linalg.inv(X.T @ X)
    middle = X.T @ toeplitz(memory ** np.arange(count) / (1 - memory**2)) @ X
    root = coloured_root(problem, fit)
    expected = np.sqrt(np.diag(weights @ middle @ weights))
    np.testing.assert_allclose(np.sqrt(np.diag(root @ root.T)), expected, rtol=0.1)


def test_two_outputs_share_what_their_noises_share() -> None:
    """The same noise on both: the covariance between their offsets is that of each."""
    random = np.random.default_rng(0)
    x, noise = random.normal(size=(500, 1)), random.normal(size=(500, 1))
    record = DataRecord.of(x, np.hstack([x, -x]) + noise + 1e-3 * random.normal(size=(500, 2)))
    problem = Problem(grouped([record]), 1)
    fit = linear_part(problem, np.zeros((2, 0)), np.zeros((0, 0)))
    root = coloured_root(problem, fit)
    covariance = (root @ root.T)[2:, 2:]
    np.testing.assert_allclose(covariance / covariance[0, 0], np.ones((2, 2)), atol=0.05)


# -------------------------------------------------------------------- directions


@pytest.mark.parametrize(("order", "inputs", "outputs"), WIDTHS)
def test_changes_of_basis_are_no_directions(order: int, inputs: int, outputs: int) -> None:
    """n² of them move no error: E in D̃ = D + E D − D E, B̃ = B − B E, C̃ = C + E C, K̃ = K + E K."""
    system = replace(with_gain(order, inputs, outputs), state_offset=None)
    problem = problem_of(runs(system, [300, 250]))
    fit = a_fit(problem, system)
    along = directions(problem, fit, white_root(problem, fit))
    free = free_parameters(problem, fit)
    assert free == order * (2 * outputs + inputs) + outputs * inputs + outputs
    assert len(along.transition) == free
    for E in np.random.default_rng(0).normal(size=(3, order, order)):
        D, B, C, K = system.transition, system.readout, system.input_map, system.noise_gain
        tangent = {"transition": E @ D - D @ E, "readout": -B @ E, "input_map": E @ C, "noise_gain": E @ K}
        shown = sum((getattr(along, name) * change).sum(axis=(1, 2)) for name, change in tangent.items())
        sizes = np.sqrt(sum((getattr(along, name) ** 2).sum(axis=(1, 2)) for name in tangent))
        assert np.abs(shown / sizes).max() < 1e-4


@pytest.mark.parametrize("outputs", [1, 2])
def test_fixed_entries_have_no_directions(outputs: int) -> None:
    system = drifting(with_gain(2, 1, outputs))
    problem = problem_of(runs(system, [300]), feedthrough=False, disturbances=outputs)
    fit = a_fit(problem, system)
    along = directions(problem, fit, white_root(problem, fit))
    fixed = [along.feedthrough, along.transition[:, 2:], along.transition[:, :, 2:], along.input_map[:, 2:]]
    for part in (*fixed, along.readout[:, :, 2:], along.output_offset):
        np.testing.assert_array_equal(part, 0)
    assert (np.abs(along.noise_gain).max(axis=0) > 0).all()
    assert len(along.transition) == free_parameters(problem, fit) == 2 * (2 * outputs + 1) + outputs**2


def test_a_free_run_tells_nothing_of_the_gain() -> None:
    record = filtered_noise([0.0, 0.5], [1.0, -0.8], [1.0], [1.0], 300, 0)
    system = free_run(record, FIRST, coloured_root)
    assert system.estimation is not None and system.estimation.directions is not None
    np.testing.assert_array_equal(system.estimation.directions.noise_gain, 0)
    np.testing.assert_array_equal(system.estimation.directions.state_offset, 0)


# -------------------------------------------------------------------- the autoregression of errors


def test_an_autoregression_is_found() -> None:
    """To four standard errors of 1/√N; two records count as one law."""
    e = np.random.default_rng(0).normal(size=(2, 4000))
    errors = lfilter([1.0], [1.0, -1.2, 0.5], e, axis=1)
    found = autoregression([errors[:1], errors[1:]])
    assert 2 <= len(found) <= 8
    np.testing.assert_allclose(found[:2], [1.2, -0.5], atol=4 / np.sqrt(8000) + 0.03)


def test_white_errors_have_next_to_no_autoregression() -> None:
    for seed in range(5):
        found = autoregression([np.random.default_rng(seed).normal(size=(1, 2000))])
        assert np.abs(found).sum() < 0.3


def test_few_errors_and_none_have_no_autoregression() -> None:
    assert len(autoregression([np.zeros((1, 50))])) == 0
    assert len(autoregression([np.ones((1, 1))])) == 0
    assert len(autoregression([np.random.default_rng(0).normal(size=(1, 9))])) == 0
    assert len(autoregression([np.random.default_rng(0).normal(size=(1, 500))], longest=0)) == 0


def test_an_oscillating_plant_has_as_many_directions_after_the_search() -> None:
    record = runs(PLANT, [400])[0]
    system = one_step(record, PLANT)
    assert system.estimation is not None and system.estimation.directions is not None
    assert len(system.estimation.directions.transition) == 2 * 3 + 1 + 1

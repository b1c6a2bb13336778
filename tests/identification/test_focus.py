"""The two errors that an estimate can make small: their forms, their memories, their drift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.focus import (
    Freedom,
    Prediction,
    Simulation,
    counted_from_rest,
    in_unit_states,
    simulation_errors,
)
from seqdyn.identification.hankel import horizon
from seqdyn.identification.kalman import states
from seqdyn.identification.prediction_error import innovation_form, predictor
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit, Problem
from seqdyn.identification.system import LinearSystem
from tests.identification.plants import PLANT, walking, with_gain, without_inputs
from tests.identification.test_prediction_error import (
    WIDTHS,
    a_fit,
    drifting,
    problem_of,
    runs,
    with_gaps,
)
from tests.identification.test_standard_errors import estimated
from tests.identification.test_subspace import READY_MADE, innovations

Array = np.ndarray[Any, Any]
every_width = pytest.mark.parametrize(("order", "inputs", "outputs"), WIDTHS)


# -------------------------------------------------------------------- laws


@pytest.mark.parametrize("focus", [Simulation, Prediction])
@pytest.mark.parametrize("lost", [0.0, 0.1])
def test_the_errors_are_those_that_the_fit_counts(focus: Any, lost: float) -> None:
    """Σ ‖e‖² = its error, from the closed form and after the search, which makes them smaller."""
    records = [with_gaps(record, lost) for record in runs(READY_MADE, [200, 120])]
    here = focus.of(records, Freedom())
    data = horizon(records, 2, 8)
    begin, _ = here.begin(here.state_subspace(data), 2)
    end = here.refine(begin)
    totals = [sum(float((error**2).sum()) for error in here.errors(records, fit)) for fit in (begin, end)]
    assert totals[1] < totals[0]
    if not lost or focus is Simulation:  # a gap is crossed by a straight line at first, and by predictions then
        assert totals == pytest.approx([begin.error, end.error], rel=1e-9)
    for record, error in zip(records, here.errors(records, end), strict=True):
        np.testing.assert_allclose(error[np.isnan(record.y)], 0, atol=1e-12)


@every_width
def test_unit_states_change_no_output(order: int, inputs: int, outputs: int) -> None:
    system = with_gain(order, inputs, outputs)
    problem = problem_of(runs(system, [80, 80]))
    fit = a_fit(problem, system)
    unit = in_unit_states(fit, problem)
    assert problem.error(unit.system, unit.starts) == pytest.approx(fit.error, rel=1e-9)
    (group,) = problem.groups
    h, _ = states(predictor(unit.system)).simulate(group.x.numpy(), unit.starts)
    np.testing.assert_allclose(np.sqrt((h**2).mean(axis=(0, 1))), 1.0, rtol=1e-9)


def test_disturbances_keep_the_unit_of_the_outputs() -> None:
    system = drifting(with_gain(2, 1, 2))
    problem = problem_of(runs(system, [80]), disturbances=2)
    unit = in_unit_states(a_fit(problem, system), problem).system
    np.testing.assert_array_equal(unit.readout[:, 2:], np.eye(2))
    np.testing.assert_array_equal(unit.transition[2:, 2:], np.eye(2))


@every_width
def test_at_rest_nothing_is_changed_but_where_states_are_counted_from(order: int, inputs: int, outputs: int) -> None:
    system = estimated(with_gain(order, inputs, outputs))
    fit = Fit(system, np.random.default_rng(0).normal(size=(1, order)), 0.0)
    rest = counted_from_rest(fit)
    x = np.random.default_rng(1).normal(size=(30, inputs))
    expected, _ = system.simulate(x, fit.starts[0])
    np.testing.assert_allclose(rest.system.simulate(x, rest.starts[0])[0], expected, atol=1e-9)
    np.testing.assert_array_equal(rest.system.state_offset, 0)
    at_zero = system.readout @ system.steady_state(np.zeros(inputs)) + system.output_offset
    np.testing.assert_allclose(rest.system.output_offset, at_zero, atol=1e-9)


@every_width
def test_at_rest_is_as_sure_as_before(order: int, inputs: int, outputs: int) -> None:
    """Every quantity between inputs and outputs keeps its standard error, that of the output at rest included."""
    system = estimated(with_gain(order, inputs, outputs), size=1e-5)
    rest = counted_from_rest(Fit(system, np.zeros((1, order)), 0.0)).system

    def resting(one: LinearSystem) -> Array:
        return one.readout @ one.steady_state(np.zeros(inputs)) + one.output_offset

    for quantity in (resting, LinearSystem.dc_gain, lambda one: one.markov_parameters(5)):
        np.testing.assert_allclose(rest.standard_error(quantity), system.standard_error(quantity), rtol=1e-4)


def test_an_integrator_has_no_rest() -> None:
    system = replace(drifting(PLANT), state_offset=[0.3, 0.1, 0.0])
    fit = Fit(system, np.zeros((1, 3)), 0.0)
    assert counted_from_rest(fit) is fit


# -------------------------------------------------------------------- memories


@pytest.mark.parametrize("longest", [100, 1000])
def test_the_longest_memory_is_about_half_of_the_longest_record(longest: int) -> None:
    problem = Problem(grouped(runs(PLANT, [50, longest])), 2)
    assert -1 / np.log(problem.largest_radius) == pytest.approx(0.55 * longest)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_is_not_learnt_as_a_memory_longer_than_the_record_supports(seed: int) -> None:
    """Of the free run, closed form and search; the memory of the plant itself is 4.5 steps."""
    record = walking(300, seed, walk=0.5)
    here = Simulation.of([record], Freedom())
    begin, _ = here.begin(here.state_subspace(horizon([record], 3, None)), 3)
    for fit in (begin, here.refine(begin)):
        assert fit.system.spectral_radius() <= here.problem.largest_radius + 1e-9


def test_what_lasts_longer_is_kept_where_the_data_insist() -> None:
    """An integrator without noise: its own memory has no end, and half of the record would not do."""
    summing = LinearSystem([[0.0]], [[1.0]], [[1.0]], [[1.0]])
    record = innovations(summing, 200, start=(0.0,))
    here = Simulation.of([record], Freedom())
    begin, radius = here.begin(here.state_subspace(horizon([record], 1, None)), 1)
    assert radius == pytest.approx(1, abs=1e-9)
    assert 1 > begin.system.spectral_radius() > 1 - 1e-8
    loose = Simulation.of(
        [innovations(replace(summing, transition=[[1.05]]), 100, start=(0.0,))], Freedom(stable=False)
    )
    free, _ = loose.begin(loose.state_subspace(horizon(loose.records, 1, None)), 1)
    assert free.system.spectral_radius() == pytest.approx(1.05, abs=1e-9)


# -------------------------------------------------------------------- what is known in the end


def test_a_static_model_is_regression() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2))
    y = x @ [[2.0, 0.0], [-1.0, 1.0]] + [3.0, 0.0] + random.normal(size=(200, 2))
    fit = Simulation.of([DataRecord.of(x, y)], Freedom()).static()
    joined = np.column_stack([x, np.ones(200)])
    expected = np.linalg.lstsq(joined, y, rcond=None)[0]
    np.testing.assert_allclose(np.vstack([fit.system.feedthrough.T, fit.system.output_offset]), expected, atol=1e-10)
    residual = y - joined @ expected
    np.testing.assert_allclose(fit.system.noise_covariance, residual.T @ residual / 200, atol=1e-10)
    assert fit.system.estimation is not None
    assert fit.system.estimation.parameters == 6


@pytest.mark.parametrize("focus", [Simulation, Prediction])
@pytest.mark.parametrize("refine", [False, True])
def test_only_a_refined_fit_knows_how_sure_it_is(focus: Any, refine: bool) -> None:
    """Both know their noise and their likelihood; one number more or less is free in neither."""
    records = runs(READY_MADE, [300])
    here, data = focus.of(records, Freedom()), horizon(records, 2, 8)
    fit, _ = here.begin(here.state_subspace(data), 2)
    fit = here.refine(fit) if refine else fit
    told = here.finish(fit, data, refine).system.estimation
    assert (told.focus, told.parameters) == (focus.name, 2 * (2 * 2 + 2) + 4 + 2 + 2)  # the start is estimated, too
    assert (told.directions is not None) == refine


def test_a_finished_prediction_predicts_the_same() -> None:
    records = runs(READY_MADE, [300])
    here, data = Prediction.of(records, Freedom()), horizon(records, 2, 8)
    fit = here.refine(here.begin(here.state_subspace(data), 2)[0])
    done = here.finish(fit, data, True)
    for found, expected in (
        (simulation_errors(records, done), simulation_errors(records, innovation_form(fit))),
        (np.linalg.eigvals(predictor(done.system).transition), np.linalg.eigvals(predictor(fit.system).transition)),
    ):
        np.testing.assert_allclose(np.sort_complex(np.ravel(found)), np.sort_complex(np.ravel(expected)), atol=1e-8)


def test_a_model_without_inputs_predicts() -> None:
    records = [without_inputs([1.0], [1.0, -0.9], 300, 0)]
    here, data = Prediction.of(records, Freedom()), horizon(records, 1, 8)
    done = here.finish(here.refine(here.begin(here.state_subspace(data), 1)[0]), data, True)
    assert done.system.inputs == 0
    assert done.system.poles()[0].real == pytest.approx(0.9, abs=0.08)


# -------------------------------------------------------------------- drift


@pytest.mark.parametrize("refine", [False, True])
def test_no_input_reaches_a_disturbance(refine: bool) -> None:
    """Its entries of D, B and C are what they were, to the last bit, from the closed form to the end."""
    record = walking(400, 0)
    here, data = Prediction.of([record], Freedom(), disturbances=1), horizon([record], 1, 8)
    fit, _ = here.begin(here.state_subspace(data), 1)
    system = here.finish(here.refine(fit) if refine else fit, data, refine).system
    np.testing.assert_array_equal(system.transition[1], [0.0, 1.0])
    np.testing.assert_array_equal(system.transition[:, 1], [0.0, 1.0])
    np.testing.assert_array_equal(system.input_map[1], 0.0)
    np.testing.assert_array_equal(system.readout[:, 1], 1.0)
    assert system.output_offset == 0
    raised, plain = (system.simulate(record.x, np.array([0.0, level]))[0] for level in (5.0, 0.0))
    np.testing.assert_allclose(raised - plain, 5.0, atol=1e-9)

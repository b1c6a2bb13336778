"""Least squares on the one-step error: its derivatives, its search, and what it finds under noise and feedback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.hankel import horizon
from seqdyn.identification.identify import Settings, identify
from seqdyn.identification.kalman import predictions_ahead
from seqdyn.identification.prediction_error import (
    PredictionProblem,
    beginning,
    completed,
    from_predictor,
    innovation_form,
    one_step_errors,
    predicting,
    predictor,
    search_form,
    with_outputs_as_inputs,
)
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit, derivatives
from seqdyn.identification.sensitivity import MATRICES
from seqdyn.identification.subspace import predictor_subspace
from seqdyn.identification.system import LinearSystem
from tests.identification.plants import PLANT, closed_loop, with_gain, without_inputs
from tests.identification.test_subspace import READY_MADE, innovations

Array = np.ndarray[Any, Any]
WIDTHS = [(1, 1, 1), (2, 1, 1), (3, 2, 1), (2, 1, 2), (4, 2, 3), (2, 0, 1)]
"""Orders, inputs and outputs."""
every_width = pytest.mark.parametrize(("order", "inputs", "outputs"), WIDTHS)


def problem_of(records: Sequence[DataRecord], **changes: Any) -> PredictionProblem:
    bridged = [record.bridged() for record in records]
    return PredictionProblem(grouped(with_outputs_as_inputs(bridged)), len(records), **changes)


def flat(system: LinearSystem, names: Sequence[str]) -> Array:
    return np.concatenate([np.ravel(getattr(system, name)) for name in names])


def moved(system: LinearSystem, step: Array, names: Sequence[str]) -> LinearSystem:
    sizes = [np.size(getattr(system, name)) for name in names]
    parts = np.split(step, np.cumsum(sizes)[:-1])
    entries = {name: getattr(system, name) for name in names}
    return replace(
        system, **{n: e + part.reshape(e.shape) for (n, e), part in zip(entries.items(), parts, strict=True)}
    )


def runs(system: LinearSystem, times: Sequence[int], noise: float = 0.5) -> list[DataRecord]:
    """Runs of the innovation form, one of every length."""
    return [innovations(system, time, noise, seed, (0.0,) * system.order) for seed, time in enumerate(times)]


def a_fit(problem: PredictionProblem, system: LinearSystem) -> Fit:
    starts = np.random.default_rng(3).normal(size=(problem.records, system.order))
    return Fit(system, starts, problem.error(system, starts))


# -------------------------------------------------------------------- laws of the forms


@every_width
def test_the_chain_is_the_derivative_of_the_predictor(order: int, inputs: int, outputs: int) -> None:
    """The predictor is of second degree in the entries: central differences are exact up to rounding."""
    system = with_gain(order, inputs, outputs)
    problem = problem_of(runs(system, [30]))
    steps = np.eye(len(flat(system, problem.entries)))
    numerical = [
        (flat(predictor(moved(system, step, problem.entries)), MATRICES) - flat(behind, MATRICES)) / 2
        for step, behind in ((s, predictor(moved(system, -s, problem.entries))) for s in steps)
    ]
    np.testing.assert_allclose(problem.chain(system), np.array(numerical).T, atol=1e-12)


@every_width
def test_a_system_and_its_predictor_lead_to_each_other(order: int, inputs: int, outputs: int) -> None:
    system = with_gain(order, inputs, outputs)
    back = from_predictor(predictor(system))
    for name in (*MATRICES, "state_offset", "noise_gain"):
        np.testing.assert_allclose(getattr(back, name), getattr(system, name), atol=1e-14)


@every_width
def test_the_two_forms_of_the_offset_lead_to_each_other(order: int, inputs: int, outputs: int) -> None:
    system = with_gain(order, inputs, outputs)
    fit = Fit(system, np.zeros((1, order)), 1.0)
    for there, back in ((innovation_form, search_form), (search_form, innovation_form)):
        np.testing.assert_allclose(back(there(fit)).system.state_offset, system.state_offset, atol=1e-14)
    assert np.abs(innovation_form(fit).system.state_offset - system.state_offset).max() > 1e-3


@every_width
@pytest.mark.parametrize("lost", [0.0, 0.1])
def test_one_step_errors_are_those_of_the_kalman_filter(order: int, inputs: int, outputs: int, lost: float) -> None:
    """Also where outputs are missing: without a covariance the filter takes their errors as 0."""
    system = with_gain(order, inputs, outputs)
    records = [with_gaps(record, lost) for record in runs(system, [60, 35])]
    fit = a_fit(problem_of(records), system)
    errors = one_step_errors(completed(records, fit), fit)
    form = innovation_form(fit).system
    for record, start, error in zip(records, fit.starts, errors, strict=True):
        expected = record.y - predictions_ahead(form, record.x, record.y, start, 1)
        np.testing.assert_allclose(error, np.nan_to_num(expected), atol=1e-10)


def with_gaps(record: DataRecord, share: float, seed: int = 0) -> DataRecord:
    lost = np.random.default_rng(seed).random(record.y.shape) < share
    return DataRecord.of(record.x, np.where(lost, np.nan, record.y))


# -------------------------------------------------------------------- derivatives


def weighted_errors(problem: PredictionProblem, system: LinearSystem, starts: Array) -> Array:
    parts = []
    for group in problem.groups:
        y, _ = predictor(system).simulate(group.x.numpy(), starts[group.places])
        parts.append((np.sqrt(group.weight.numpy()) * (group.y.numpy() - y)).ravel())
    return np.concatenate(parts)


def numerical(problem: PredictionProblem, fit: Fit) -> tuple[Array, Array]:
    """Derivatives of the errors by the starts and by the free entries, from central differences."""
    size, free = 1e-6, problem.columns(fit.system, problem.entries)
    starts, entries = np.eye(fit.starts.size), np.eye(len(flat(fit.system, problem.entries)))[free]

    def difference(start_step: Array, entry_step: Array) -> Array:
        ends = [
            weighted_errors(
                problem,
                moved(fit.system, sign * size * entry_step, problem.entries),
                fit.starts + sign * size * start_step.reshape(fit.starts.shape),
            )
            for sign in (1, -1)
        ]
        return (ends[0] - ends[1]) / (2 * size)

    still = np.zeros(len(flat(fit.system, problem.entries)))
    by_starts = [difference(step, still) for step in starts]
    by_entries = [difference(np.zeros(fit.starts.size), step) for step in entries]
    return np.array(by_starts).T, np.array(by_entries).T


@every_width
@pytest.mark.parametrize("free_starts", [True, False])
@pytest.mark.parametrize("kind", ["plain", "weighted", "gaps", "no feedthrough", "drift"])
def test_derivatives_are_those_of_finite_differences(
    order: int, inputs: int, outputs: int, kind: str, free_starts: bool
) -> None:
    """RᵀR = JᵀJ with the starts taken out; the differences are off by 1e-9 or so."""
    system = with_gain(order, inputs, outputs)
    records = runs(system, [40, 25])
    if kind == "weighted":
        records = [record._replace(weight=np.random.default_rng(5).random(record.y.shape)) for record in records]
    if kind == "gaps":
        records = [with_gaps(record, 0.15) for record in records]
    system = drifting(system) if kind == "drift" else system
    changes = {"feedthrough": kind != "no feedthrough", "disturbances": outputs if kind == "drift" else 0}
    problem = problem_of(records, free_starts=free_starts, **changes)
    fit = a_fit(problem, system)
    own, entries = numerical(problem, fit)
    left = entries - own @ np.linalg.lstsq(own, entries, rcond=1e-12)[0] if free_starts else entries
    found = derivatives(problem, fit)
    assert entries.shape[1] == found.shape[1]
    np.testing.assert_allclose(found.T @ found, left.T @ left, atol=1e-6 * np.abs(left.T @ left).max())


def drifting(system: LinearSystem) -> LinearSystem:
    """The system with an integrator of the noise on every output, and no other offset of these."""
    n, outputs = system.order, system.outputs
    assert system.noise_gain is not None
    return LinearSystem(
        system.feedthrough,
        np.hstack([system.readout, np.eye(outputs)]),
        np.vstack([system.input_map, np.zeros((outputs, system.inputs))]),
        np.block([[system.transition, np.zeros((n, outputs))], [np.zeros((outputs, n)), np.eye(outputs)]]),
        noise_gain=np.vstack([system.noise_gain, 0.2 * np.eye(outputs)]),
    )


# -------------------------------------------------------------------- laws of the search


def started(records: Sequence[DataRecord], order: int, **changes: Any) -> tuple[PredictionProblem, Fit]:
    problem = problem_of(records, **changes)
    data = horizon(records, order, 8)
    return problem, beginning(records, problem, predictor_subspace(data, problem.feedthrough), order)[0]


def spread_of(records: Sequence[DataRecord], fit: Fit) -> float:
    """ln det Σ e_t e_tᵀ."""
    errors = np.concatenate(one_step_errors(completed(records, fit), fit))
    return float(np.linalg.slogdet(errors.T @ errors)[1])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("seed", range(2))
def test_the_search_never_ends_worse_than_it_begins(order: int, outputs: int, seed: int) -> None:
    """det Σ e eᵀ: where tr(R⁻¹ Σ e eᵀ) falls from its value at R, the determinant falls, too, and most of all it."""
    system = with_gain(3, 1, outputs, seed)
    records = runs(system, [150, 90])
    problem, begin = started(records, order)
    end = predicting(records, problem, begin)
    assert spread_of(records, end) <= spread_of(records, begin) + 1e-9
    assert end.error == pytest.approx(problem.error(end.system, end.starts), rel=1e-12)
    assert predictor(end.system).spectral_radius() < 1
    assert end.system.spectral_radius() < 1


def test_the_truth_is_no_better_than_what_the_search_ends_in() -> None:
    records = runs(READY_MADE, [400, 300])
    problem, begin = started(records, 2)
    end = predicting(records, problem, begin)
    at_truth = Fit(READY_MADE, np.zeros((2, 2)), 0.0)
    assert spread_of(records, end) < spread_of(records, at_truth)
    assert spread_of(records, at_truth) - spread_of(records, end) < 0.2  # some 23 numbers, of 700 steps and 2 outputs


def test_units_of_the_outputs_do_not_change_the_fit() -> None:
    """R⁻¹ weighs them: the one-step predictions of an output in other units are the same in these."""
    records = runs(READY_MADE, [400])
    scale = np.array([1.0, 20.0])
    others = [DataRecord.of(record.x, record.y * scale) for record in records]
    plain, scaled = (predicting(some, *started(some, 2), tolerance=1e-10) for some in (records, others))
    found = one_step_errors(others, scaled)[0] / scale
    np.testing.assert_allclose(found, one_step_errors(records, plain)[0], atol=2e-3)


def test_no_predictor_remembers_longer_than_its_system_and_a_tenth_of_the_record() -> None:
    records = runs(PLANT, [100])
    problem = problem_of(records)
    assert problem.steady_radius == pytest.approx(np.exp(-0.1))
    slow = replace(PLANT, transition=np.diag([0.5, 0.3]), noise_gain=[[-0.48], [0.0]])
    assert predictor(slow).spectral_radius() == pytest.approx(0.98, abs=1e-9)
    assert problem.error(slow, np.zeros((1, 2))) == np.inf
    slow_itself = replace(slow, transition=np.diag([0.985, 0.3]), noise_gain=[[0.005], [0.0]])
    assert predictor(slow_itself).spectral_radius() > 0.97
    assert np.isfinite(problem.error(slow_itself, np.zeros((1, 2))))


# -------------------------------------------------------------------- what is found under feedback and without inputs


def deviations(system: LinearSystem, pole: float, gain: float) -> Array:
    """Pole and first response, off by so many standard errors."""
    found = np.array([system.poles()[0].real, system.markov_parameters(2)[1, 0, 0]])
    errors = [system.pole_standard_errors().real[0], system.standard_error(lambda s: s.markov_parameters(2))[1, 0, 0]]
    return (found - [pole, gain]) / np.array(errors)


@pytest.mark.parametrize("seed", range(6))
def test_a_loop_is_found_within_three_standard_errors(seed: int) -> None:
    """And these are small enough to tell: the free run of the same order gives a pole of 0.24."""
    record, settings = closed_loop(0.9, 0.5, 0.8, 3000, seed), Settings(order=1, feedthrough=False, focus="auto")
    found = identify([record], settings)
    assert found.focus == "prediction"
    assert found.system.pole_standard_errors().real[0] < 0.06
    assert np.abs(deviations(found.system, 0.9, 0.5)).max() < 3
    assert identify([record], replace(settings, focus="simulation")).system.poles()[0].real < 0.5


@pytest.mark.parametrize("memory", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_an_unstable_plant_is_found_from_its_loop(seed: int, memory: float) -> None:
    record = closed_loop(1.05, 1.0, 0.3, 1000, seed, reference=1.0, memory=memory)
    settings = Settings(order=1, feedthrough=False, focus="prediction", stable=False)
    system = identify([record], settings).system
    assert predictor(system).spectral_radius() < 1
    assert system.pole_standard_errors().real[0] < 0.03
    assert np.abs(deviations(system, 1.05, 1.0)).max() < 3
    held = identify([record], replace(settings, stable=True)).system
    assert held.spectral_radius() < 1


@pytest.mark.parametrize(("C", "A"), [([1.0], [1.0, -1.5, 0.7]), ([1.0, 0.5], [1.0, -1.5, 0.7])], ids=["AR", "ARMA"])
@pytest.mark.parametrize("seed", range(2))
def test_without_inputs_the_order_is_found_and_the_prediction_is_the_best(C: Any, A: Any, seed: int) -> None:
    """The best predictor of fresh data errs by 1; a root mean square over 4,000 steps is itself known to 1.1 %."""
    found = identify([without_inputs(C, A, 1000, seed)], Settings(focus="auto"))
    assert found.focus == "prediction"
    assert 2 <= found.order <= 4
    fresh = without_inputs(C, A, 4000, 100 + seed)
    errors = fresh.y - predictions_ahead(found.system, fresh.x, fresh.y, np.zeros(found.order), 1)
    assert np.sqrt((errors[50:] ** 2).mean()) < 1.05

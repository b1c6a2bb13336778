"""Least squares on the free run: never worse than its start, exact where it is linear, and stable throughout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.hankel import factor
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit, Problem, linear_part, refined, with_linear_part
from seqdyn.identification.stability import largest_modulus, pulled_inside
from seqdyn.identification.subspace import subspace
from seqdyn.identification.system import LinearSystem
from seqdyn.levenberg_marquardt import minimised
from tests.identification.test_subspace import READY_MADE, innovations, markov_error, sorted_poles

Array = np.ndarray[Any, Any]


def problem_of(records: list[DataRecord], **changes: bool) -> Problem:
    return Problem(grouped(records), len(records), **changes)


def started(problem: Problem, records: list[DataRecord], order: int, rows: int = 6) -> Fit:
    candidates = subspace(factor(records, rows, rows), "cva")
    transition = candidates.transition(order)
    return linear_part(
        problem, candidates.readout(order), pulled_inside(transition, 0.99) if problem.stable else transition
    )


def residual(record: DataRecord, fit: Fit, place: int = 0) -> Array:
    return record.y - fit.system.simulate(record.x, fit.starts[place])[0]


def nudged(size: float, seed: int = 0) -> LinearSystem:
    """The ready-made system with errors in every entry."""
    random = np.random.default_rng(seed)
    entries = {
        name: getattr(READY_MADE, name) + size * random.normal(size=getattr(READY_MADE, name).shape)
        for name in ("feedthrough", "readout", "input_map", "transition")
    }
    return LinearSystem(**entries)


# -------------------------------------------------------------------- laws


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_never_worse_than_its_start(order: int, stable: bool, seed: int) -> None:
    """Whatever the order; and the error is the one stated, of the free run from the starts found."""
    records = [innovations(READY_MADE, time, 0.3, seed + time) for time in (90, 140)]
    problem = problem_of(records, stable=stable)
    start = started(problem, records, order)
    fit = refined(problem, start)
    assert fit.error <= start.error
    by_hand = sum(float((residual(record, fit, place) ** 2).sum()) for place, record in enumerate(records))
    assert fit.error == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize("stable", [False, True])
def test_a_higher_order_is_no_worse(stable: bool) -> None:
    """Started from the lower one with a state more that does nothing yet."""
    records = [innovations(READY_MADE, 200, 0.3)]
    problem = problem_of(records, stable=stable)
    low = refined(problem, started(problem, records, 1))
    wider = LinearSystem(
        low.system.feedthrough,
        np.hstack([low.system.readout, 0.01 * np.ones((2, 1))]),
        np.vstack([low.system.input_map, np.zeros((1, 2))]),
        np.diag([float(low.system.transition[0, 0]), 0.5]),
        low.system.output_offset,
    )
    high = refined(problem, with_linear_part(problem, wider, np.hstack([low.starts, [[0.0]]])))
    assert high.error < 0.7 * low.error


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_nudged_system_finds_back(stable: bool, seed: int) -> None:
    """From errors of 0.05 in every entry, without noise; the entries may come back in another basis."""
    record = innovations(READY_MADE, 300, seed=seed)
    problem = problem_of([record], stable=stable)
    wrong = nudged(0.05, seed)
    fit = refined(problem, Fit(wrong, np.zeros((1, 2)), problem.error(wrong, np.zeros((1, 2)))))
    assert markov_error(wrong) > 0.05
    assert markov_error(fit.system) < 1e-7


def test_the_linear_part_is_closed_form_least_squares() -> None:
    """Simulated output by output from unit entries, it is one regression."""
    records = [innovations(READY_MADE, time, 0.3, time) for time in (60, 45)]
    B, D = READY_MADE.readout, READY_MADE.transition
    columns = []
    for entry in range(4 + 4 + 2 + 4):  # C, A, y_0, two starts
        unit = np.eye(14)[entry]
        system = LinearSystem(unit[4:8].reshape(2, 2), B, unit[:4].reshape(2, 2), D, unit[8:10])
        runs = [
            system.simulate(record.x, start)[0] for record, start in zip(records, unit[10:].reshape(2, 2), strict=True)
        ]
        columns.append(np.concatenate(runs).ravel())
    regressors, target = np.array(columns).T, np.concatenate([record.y for record in records]).ravel()
    solution, error, _, _ = np.linalg.lstsq(regressors, target, rcond=None)
    fit = linear_part(problem_of(records), B, D)
    assert fit.error == pytest.approx(float(error[0]), rel=1e-9)
    np.testing.assert_allclose(fit.system.input_map.ravel(), solution[:4], atol=1e-9)
    np.testing.assert_allclose(fit.system.feedthrough.ravel(), solution[4:8], atol=1e-9)
    np.testing.assert_allclose(fit.system.output_offset, solution[8:10], atol=1e-9)
    np.testing.assert_allclose(fit.starts.ravel(), solution[10:], atol=1e-9)


def test_the_gradient_is_nothing_where_it_ends() -> None:
    """The free run's error falls by no small step of any entry: relative to the error, to its square."""
    record = innovations(READY_MADE, 200, 0.3)
    problem = problem_of([record])
    fit = refined(problem, started(problem, [record], 2))
    for seed in range(5):
        away = np.random.default_rng(seed)
        for size in (1e-3, -1e-3):
            entries = {
                name: getattr(fit.system, name) + size * away.normal(size=getattr(fit.system, name).shape)
                for name in ("feedthrough", "readout", "input_map", "transition")
            }
            moved = replace(fit.system, **entries)
            assert problem.error(moved, fit.starts) > fit.error * (1 - 1e-6)


# -------------------------------------------------------------------- stability


@pytest.mark.parametrize("seed", range(3))
def test_a_refined_model_is_stable_whatever_the_truth(seed: int) -> None:
    """Poles 1.03 and 0.5: kept below 1, and never worse; without ``stable`` the poles are found."""
    growing = LinearSystem(np.zeros((1, 1)), np.ones((1, 2)), np.array([[1.0], [-0.5]]), np.diag([1.03, 0.5]))
    record = innovations(growing, 120, 0.1, seed)
    held, unbound = problem_of([record]), problem_of([record], stable=False)
    start = linear_part(held, np.ones((1, 2)), np.diag([0.99, 0.5]))
    fit = refined(held, start)
    assert largest_modulus(fit.system.transition) < 1
    assert fit.error <= start.error
    free = refined(unbound, started(unbound, [record], 2))
    np.testing.assert_allclose(np.sort(free.system.poles().real), [0.5, 1.03], atol=0.05)
    assert free.error < fit.error


# -------------------------------------------------------------------- what is free, and what counts


def test_without_feedthrough_it_is_0() -> None:
    delayed = replace(READY_MADE, feedthrough=np.zeros((2, 2)))
    records = [innovations(delayed, 200, 0.1)]
    problem = problem_of(records, feedthrough=False)
    start = started(problem, records, 2)
    fit = refined(problem, start)
    assert not start.system.feedthrough.any()
    assert not fit.system.feedthrough.any()
    assert markov_error(fit.system, delayed) < 0.03


def test_starts_that_are_not_free_stay_0() -> None:
    """It costs an error where the run did not start from 0, and nothing where it did."""
    for begin, ratio in (((0.0, 0.0), 1.2), ((8.0, -9.0), np.inf)):
        record = innovations(READY_MADE, 200, 0.1, start=begin)
        fits = [
            refined(each, started(each, [record], 2))
            for each in (problem_of([record], free_starts=free) for free in (False, True))
        ]
        assert not fits[0].starts.any()
        assert fits[1].starts.any()
        assert fits[1].error < fits[0].error < ratio * fits[1].error
        assert ratio < np.inf or fits[0].error > 2 * fits[1].error


def test_missing_outputs_count_nothing() -> None:
    """The fit is that of the known ones, also when what stands at the others would be absurd."""
    record = innovations(READY_MADE, 300, 0.2)
    lost = np.random.default_rng(0).random(record.y.shape) < 0.05
    gaps = DataRecord.of(record.x, np.where(lost, np.nan, record.y))
    absurd = DataRecord.of(record.x, np.where(lost, 1e3, record.y), np.where(lost, 0.0, 1.0))
    fits = [refined(problem_of([each]), Fit(nudged(0.02), np.zeros((1, 2)), np.inf)) for each in (gaps, absurd)]
    np.testing.assert_allclose(fits[0].system.transition, fits[1].system.transition, atol=1e-9)
    assert fits[0].error == pytest.approx(fits[1].error, rel=1e-9)
    assert markov_error(fits[0].system) < 0.1


def test_a_weight_of_two_is_a_record_twice() -> None:
    one, other = innovations(READY_MADE, 150, 0.3, 1), innovations(READY_MADE, 150, 0.3, 2)
    twice = DataRecord.of(one.x, one.y, 2.0)
    begin = Fit(nudged(0.02), np.zeros((2, 2)), np.inf)
    weighted = refined(problem_of([twice, other]), begin)
    repeated = refined(problem_of([one, other, one]), replace(begin, starts=np.zeros((3, 2))))
    assert weighted.error == pytest.approx(repeated.error, rel=1e-6)
    np.testing.assert_allclose(sorted_poles(weighted.system), sorted_poles(repeated.system), atol=1e-5)


def test_an_output_that_counts_more_is_met_better() -> None:
    """A model of order 1, too low for both outputs, serves the one with the larger weight."""
    record = innovations(READY_MADE, 300)
    errors = []
    for weights in ([1.0, 100.0], [100.0, 1.0]):
        problem = problem_of([DataRecord.of(record.x, record.y, np.array(weights))])
        fit = refined(problem, started(problem, [record], 1))
        errors.append((residual(record, fit) ** 2).sum(axis=0))
    assert errors[1][0] < errors[0][0]
    assert errors[0][1] < errors[1][1]


# -------------------------------------------------------------------- no model


def test_a_model_that_overflows_is_none() -> None:
    """Its error is infinite, and steps lead back from it."""
    record = innovations(READY_MADE, 800)
    problem = problem_of([record], stable=False)
    wild = replace(READY_MADE, transition=np.diag([3.0, 2.0]))
    assert problem.error(wild, np.zeros((1, 2))) == np.inf
    assert with_linear_part(problem, wild, np.zeros((1, 2))).error == np.inf


def test_an_order_of_0_is_static_least_squares() -> None:
    record = innovations(READY_MADE, 100, 0.3)
    fit = linear_part(problem_of([record]), np.zeros((2, 0)), np.zeros((0, 0)))
    regressors = np.column_stack([record.x, np.ones(100)])
    expected = np.linalg.lstsq(regressors, record.y, rcond=None)[0].T
    np.testing.assert_allclose(fit.system.feedthrough, expected[:, :2], atol=1e-12)
    np.testing.assert_allclose(fit.system.output_offset, expected[:, 2], atol=1e-12)


class Parabola:
    """(a − 3)² with a slope that is stated ``factor`` times too steep."""

    def __init__(self, place: float, factor: float = 1.0) -> None:
        self.place, self.factor = place, factor

    @property
    def error(self) -> float:
        return (self.place - 3.0) ** 2

    def linearised(self) -> Any:
        slope = np.array([[1.0 / self.factor]])
        return slope, np.array([3.0 - self.place]), lambda step: Parabola(self.place + float(step[0]), self.factor)


@pytest.mark.parametrize("factor", [1.0, 5.0])
def test_steps_that_overshoot_are_damped_until_they_do_not(factor: float) -> None:
    """Five times too far makes it worse: a damping of some units comes to the minimum all the same."""
    found = minimised(Parabola(-4.0, factor), Parabola.linearised)
    assert found.error < 1e-4


def test_where_no_step_is_better_the_point_is_kept() -> None:
    uphill = Parabola(0.0, -1.0)
    assert minimised(uphill, Parabola.linearised) is uphill

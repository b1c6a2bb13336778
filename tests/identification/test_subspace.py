"""Subspace identification of the ready-made system: exact without noise, and as good as it can be with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqdyn.identification.hankel import Factor, factor
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit, Problem, linear_part
from seqdyn.identification.stability import largest_modulus
from seqdyn.identification.subspace import (
    WEIGHTINGS,
    Subspace,
    noise_markov,
    predictor_subspace,
    realisation,
    subspace,
)
from seqdyn.identification.system import LinearSystem
from tests.identification.test_hankel import columns

Array = np.ndarray[Any, Any]
READY_MADE = LinearSystem(
    feedthrough=np.diag([0.2, -0.3]),
    readout=np.array([[1.0, 0.0], [0.5, -1.0]]),
    input_map=np.array([[1.0, 0.3], [-0.4, 0.8]]),
    transition=np.array([[0.7, 0.5], [-0.5, 0.7]]),
    noise_gain=np.array([[0.3, 0.1], [-0.1, 0.2]]),
)
"""Order 2, two inputs, two outputs; poles 0.7 ± 0.5i, and 0.784 the radius of its filter."""

every_weighting = pytest.mark.parametrize("weighting", WEIGHTINGS)


def innovations(
    system: LinearSystem, time: int, noise: float = 0.0, seed: int = 0, start: tuple[float, ...] = (2.0, -1.0)
) -> DataRecord:
    """A run of the innovation form, step by step, from white inputs and errors of standard deviation ``noise``."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(time, system.inputs))
    errors = noise * random.normal(size=(time, system.outputs))
    gain = np.zeros((system.order, system.outputs)) if system.noise_gain is None else system.noise_gain
    h, y = np.array(start), []
    for now, error in zip(x, errors, strict=True):
        y.append(system.feedthrough @ now + system.readout @ h + system.output_offset + error)
        h = system.input_map @ now + system.transition @ h + system.state_offset + gain @ error
    return DataRecord.of(x, np.array(y))


def closed_form(records: list[DataRecord], rows: int, weighting: str, order: int = 2) -> tuple[Factor, Subspace, Fit]:
    data = factor(records, rows, rows)
    candidates = subspace(data, weighting)
    problem = Problem(grouped(records), len(records))
    return data, candidates, linear_part(problem, candidates.readout(order), candidates.transition(order))


def markov_error(found: LinearSystem, system: LinearSystem = READY_MADE) -> float:
    return float(np.abs(found.markov_parameters(15) - system.markov_parameters(15)).max())


# -------------------------------------------------------------------- without noise


@every_weighting
@pytest.mark.parametrize("seed", range(4))
def test_without_noise_the_system_is_found_to_rounding(weighting: str, seed: int) -> None:
    """Measured over four seeds: at most 9e-15 in the Markov parameters, 5e-14 in the free run from the found start."""
    record = innovations(READY_MADE, 400, seed=seed)
    _, _, fit = closed_form([record], 8, weighting)
    assert markov_error(fit.system) < 1e-13
    np.testing.assert_allclose(fit.system.simulate(record.x, fit.starts[0])[0], record.y, atol=1e-12)


@pytest.mark.parametrize(("weighting", "rest"), [("moesp", 1e-14), ("n4sid", 1e-14), ("cva", 1e-9)])
def test_singular_values_fall_to_nothing_behind_the_order(weighting: str, rest: float) -> None:
    """CVA's floor on the covariance leaves 2e-11, the others 1e-15."""
    _, candidates, _ = closed_form([innovations(READY_MADE, 400)], 8, weighting)
    values = candidates.singular_values
    assert values[1] > 0.9
    assert values[2] < rest


@every_weighting
@pytest.mark.parametrize("seed", range(3))
def test_three_short_records_do_as_well_as_a_long_one(weighting: str, seed: int) -> None:
    """Of 60, 35 and 90 samples, each with a start of its own: at most 1e-14. Joined in time they miss by 0.07."""
    starts = [(2.0, -1.0), (0.0, 3.0), (-1.0, 1.0)]
    records = [
        innovations(READY_MADE, time, seed=10 * seed + place, start=starts[place])
        for place, time in enumerate((60, 35, 90))
    ]
    _, _, fit = closed_form(records, 8, weighting)
    assert markov_error(fit.system) < 1e-12
    joined = DataRecord.of(*(np.concatenate([record[field] for record in records]) for field in (0, 1)))
    _, candidates, fit = closed_form([joined], 8, weighting)
    assert markov_error(fit.system) > 0.01
    assert candidates.singular_values[2] > 0.1


@every_weighting
def test_missing_outputs_leave_the_answer_exact(weighting: str) -> None:
    """3 % of the samples are missing in either output; some 40 % of the columns survive."""
    record = innovations(READY_MADE, 400)
    record.y[np.random.default_rng(1).random(400) < 0.03] = np.nan
    gaps = DataRecord.of(record.x, record.y)
    data, _, fit = closed_form([gaps], 8, weighting)
    assert 150 < data.columns < 300
    assert markov_error(fit.system) < 1e-12


@every_weighting
def test_offsets_are_found_beside_the_system(weighting: str) -> None:
    """Of output and state, on inputs that have a mean."""
    system = LinearSystem(*(getattr(READY_MADE, name) for name in ENTRIES), [3.0, -1.0], [0.5, 0.2])
    record = innovations(system, 400)
    moved = record.x + np.array([5.0, -2.0])
    shifted = DataRecord.of(moved, system.simulate(moved, np.zeros(2))[0])
    _, _, fit = closed_form([shifted], 8, weighting)
    assert markov_error(fit.system) < 1e-12
    at_rest = [found.output_offset + found.readout @ found.steady_state([0.0, 0.0]) for found in (system, fit.system)]
    np.testing.assert_allclose(*at_rest, rtol=1e-10)


ENTRIES = ("feedthrough", "readout", "input_map", "transition")


# -------------------------------------------------------------------- with noise


def projections(record: DataRecord, rows: int) -> dict[str, Array]:
    """What the singular values are taken of, from the block Hankel matrices themselves."""
    blocks = columns(record, rows, rows)
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    future, past, outputs = np.split(blocks, [2 * rows, 6 * rows])
    weights = np.linalg.lstsq(np.vstack([future, past]).T, outputs.T, rcond=None)[0].T
    oblique = weights[:, 2 * rows :] @ past
    away = np.eye(blocks.shape[1]) - np.linalg.pinv(future) @ future
    left = outputs @ away
    values, vectors = np.linalg.eigh(left @ left.T)
    whitened = vectors / np.sqrt(values) @ vectors.T @ oblique @ away
    size = np.sqrt(blocks.shape[1])
    return {"n4sid": oblique / size, "moesp": oblique @ away / size, "cva": whitened}


@every_weighting
def test_singular_values_are_those_of_the_projection_itself(weighting: str) -> None:
    """Onto the past, along the future inputs (n4sid), or across them (moesp), or as correlations of that (cva)."""
    x = innovations(READY_MADE, 150).x
    slow = np.array([x[: step + 1].sum(axis=0) * 0.3 for step in range(150)])  # so that the three differ
    y = READY_MADE.simulate(slow)[0] + 0.3 * np.random.default_rng(3).normal(size=(150, 2))
    record = DataRecord.of(slow, y)
    expected = np.linalg.svd(projections(record, 4)[weighting], compute_uv=False)[:8]
    found = subspace(factor([record], 4, 4), weighting).singular_values
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@every_weighting
@pytest.mark.parametrize(("time", "bar"), [(500, 0.040), (5000, 0.012)])
def test_the_error_falls_with_the_root_of_the_samples(weighting: str, time: int, bar: float) -> None:
    """Reference for the mean of five seeds: 0.029 and 0.0092; measured here 0.0244 (0.012 … 0.039) and 0.0083."""
    fits = [closed_form([innovations(READY_MADE, time, 0.3, seed)], 10, weighting)[2] for seed in range(5)]
    assert np.mean([markov_error(fit.system) for fit in fits]) < bar


def test_canonical_correlations_show_the_order_through_noise() -> None:
    """Reference: .997 .993 | .131 at 5 000 samples; measured .997 .992 | .134."""
    _, candidates, _ = closed_form([innovations(READY_MADE, 5000, 0.3)], 10, "cva")
    values = candidates.singular_values
    np.testing.assert_allclose(values[:3], [0.997, 0.993, 0.13], atol=0.02)
    assert (values <= 1 + 1e-12).all()


def test_what_the_past_leaves_unexplained_shows_the_gain() -> None:
    """[I; BK; BDK; …] at 5 000 samples; measured over five seeds: off by at most 0.035, the largest entry is 0.36."""
    for seed in range(3):
        shown = noise_markov(factor([innovations(READY_MADE, 5000, 0.3, seed)], 10, 10))
        powers = [np.linalg.matrix_power(READY_MADE.transition, lag) for lag in range(9)]
        expected = [np.eye(2), *(READY_MADE.readout @ power @ READY_MADE.noise_gain for power in powers)]
        np.testing.assert_allclose(shown, np.vstack(expected), atol=0.07)


# -------------------------------------------------------------------- special data


@every_weighting
def test_without_inputs_the_poles_are_found(weighting: str) -> None:
    """An autonomous system, from two starts: exact, since it has no noise; from one start the state is a line."""
    records = [innovations(autonomous(), 100, start=start) for start in ((2.0, -1.0), (0.0, 1.0))]
    assert records[0].x.shape == (100, 0)
    _, _, fit = closed_form(records, 5, weighting)
    np.testing.assert_allclose(sorted_poles(fit.system), sorted_poles(READY_MADE), atol=1e-9)


def autonomous() -> LinearSystem:
    """The ready-made system without its inputs."""
    return LinearSystem(np.zeros((2, 0)), READY_MADE.readout, np.zeros((2, 0)), READY_MADE.transition)


def sorted_poles(system: LinearSystem) -> Array:
    return np.sort_complex(system.poles())


def test_inputs_that_hold_the_last_outputs_give_the_response_to_them() -> None:
    """y_t = 1.2 x_t − 0.5 x_{t-1} + e_t with x_{t+1} = y_t: the impulse response is regressed."""
    series = np.zeros(400)
    random = np.random.default_rng(0)
    for step in range(2, 400):
        series[step] = 1.2 * series[step - 1] - 0.5 * series[step - 2] + random.normal()
    record = DataRecord.of(series[:-1, None], series[1:, None])
    data = factor([record], 6, 6)
    assert data.inputs_hold_outputs
    candidates = realisation(data)
    fit = linear_part(Problem(grouped([record]), 1), candidates.readout(1), candidates.transition(1))
    np.testing.assert_allclose(fit.system.markov_parameters(2).ravel(), [1.2, -0.5], atol=0.12)


@every_weighting
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_maciejowskis_transition_is_stable(weighting: str, order: int) -> None:
    """Also where the system, of poles 1.05 and 0.5, is not: ‖ΓDh‖² ≤ ‖Γh‖² − ‖Bh‖²."""
    growing = LinearSystem(np.zeros((1, 1)), np.ones((1, 2)), np.array([[1.0], [-0.5]]), np.diag([1.05, 0.5]))
    candidates = subspace(factor([innovations(growing, 120, 0.3)], 6, 6), weighting)
    assert largest_modulus(candidates.transition(2)) > 1
    transition, observability = candidates.stable_transition(order), candidates.directions[:, :order]
    assert largest_modulus(transition) < 1
    shown, readout = observability.T @ observability, candidates.readout(order)
    lost = shown - transition.T @ shown @ transition - readout.T @ readout
    assert np.linalg.eigvalsh(lost).min() > -1e-9 * np.abs(shown).max()


def test_the_horizon_limits_the_order() -> None:
    data = factor([innovations(READY_MADE, 400)], 4, 4)
    assert subspace(data, "moesp").largest_order == 3 * 2


# -------------------------------------------------------------------- the subspace of the predictor


def looped(time: int, seed: int) -> DataRecord:
    """y_t = 0.9 y_{t-1} + 0.5 x_{t-1} + e_t − 0.5 e_{t-1} under x_t = r_t − 0.8 y_t: its predictor has the pole 0.5."""
    random = np.random.default_rng(seed)
    r, e = 0.5 * random.normal(size=time), random.normal(size=time)
    y = np.zeros(time)
    for t in range(time):
        y[t] = (0.5 * y[t - 1] + 0.5 * r[t - 1] - 0.5 * e[t - 1] if t else 0.0) + e[t]
    return DataRecord.of((r - 0.8 * y)[:, None], y[:, None])


def poles_in_a_loop(time: int) -> tuple[Array, Array]:
    """Of the predictor, by its own subspace, and of the plant, by the classical one; four records."""
    factors = [factor([looped(time, seed)], 10, 10) for seed in range(4)]
    own = [predictor_subspace(data, False).transition(1)[0, 0] for data in factors]
    return np.array(own), np.array([subspace(data, "cva").transition(1)[0, 0] for data in factors])


def test_feedback_leaves_the_predictor_as_it_is_and_biases_the_plant() -> None:
    """16 times as many steps bring the one to the truth, 0.5, and leave the other 0.3 away from it, 0.9."""
    short, _ = poles_in_a_loop(2000)
    long, classical = poles_in_a_loop(32_000)
    np.testing.assert_allclose(long, 0.5, atol=0.06)
    assert np.sqrt(((long - 0.5) ** 2).mean()) < np.sqrt(((short - 0.5) ** 2).mean())
    assert (np.abs(classical - 0.9) > 0.2).all()


@pytest.mark.parametrize("feedthrough", [True, False])
def test_the_singular_values_of_the_predictor_are_correlations(feedthrough: bool) -> None:
    """Two stand out of the noise, and none is above 1."""
    record = innovations(READY_MADE, 2000, 0.3)
    values = predictor_subspace(factor([record], 8, 8), feedthrough).singular_values
    assert 1 + 1e-9 >= values[0] >= values[1] > 0.8
    assert values[2] < 0.5


@pytest.mark.parametrize("time", [2000, 8000])
def test_the_poles_of_the_predictor_are_those_of_d_minus_kb(time: int) -> None:
    record = innovations(READY_MADE, time, 0.3)
    assert READY_MADE.noise_gain is not None
    expected = np.sort_complex(np.linalg.eigvals(READY_MADE.transition - READY_MADE.noise_gain @ READY_MADE.readout))
    found = np.sort_complex(np.linalg.eigvals(predictor_subspace(factor([record], 10, 10), True).transition(2)))
    np.testing.assert_allclose(found, expected, atol=6 / np.sqrt(time))


def test_a_process_without_inputs_has_a_predictor_too() -> None:
    """y_t = 1.2 y_{t-1} − 0.5 y_{t-2} + e_t − 0.6 e_{t-1}: D − K B has the poles 0.6, of the errors, and 0."""
    e = np.random.default_rng(0).normal(size=8000)
    y = np.zeros(8000)
    for t in range(2, 8000):
        y[t] = 1.2 * y[t - 1] - 0.5 * y[t - 2] + e[t] - 0.6 * e[t - 1]
    data = factor([DataRecord.of(np.zeros((8000, 0)), y[:, None])], 10, 10)
    for feedthrough in (True, False):
        found = np.linalg.eigvals(predictor_subspace(data, feedthrough).transition(2))
        np.testing.assert_allclose(np.sort(np.abs(found)), [0.0, 0.6], atol=0.25)

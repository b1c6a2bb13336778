"""The model of the noise: its filter is the loop by hand, its gain the best one, its errors the innovations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.hankel import factor
from seqdyn.identification.kalman import filtered, predictions_ahead
from seqdyn.identification.noise import with_noise
from seqdyn.identification.records import DataRecord
from seqdyn.identification.stability import largest_modulus
from seqdyn.identification.system import LinearSystem
from tests.identification.test_subspace import READY_MADE, innovations

Array = np.ndarray[Any, Any]
GAIN = np.array([[0.3, 0.1], [-0.1, 0.2]])
WITH_OFFSETS = replace(READY_MADE, output_offset=np.array([1.0, -2.0]), state_offset=np.array([0.3, 0.1]))


def kalman_loop(system: LinearSystem, x: Array, y: Array, start: Array, ahead: int) -> tuple[Array, Array]:
    """ŷ_{t|t-k} and h_t, step by step: every step starts afresh from the state k steps ago."""
    known, states = [start], []
    for now, measured in zip(x, y, strict=True):
        h = known[-1]
        error = measured - system.feedthrough @ now - system.readout @ h - system.output_offset
        error = np.where(np.isnan(error), 0.0, error)
        known.append(system.input_map @ now + system.transition @ h + system.state_offset + system.noise_gain @ error)
        states.append(known[-1])
    outputs = []
    for time in range(len(x)):
        seen = max(0, time - ahead + 1)
        h = known[seen]
        for now in x[seen:time]:
            h = system.input_map @ now + system.transition @ h + system.state_offset
        outputs.append(system.feedthrough @ x[time] + system.readout @ h + system.output_offset)
    return np.array(outputs), np.array(states)


# -------------------------------------------------------------------- the filter


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("ahead", [1, 2, 3, 7, 59, 60, 200])
def test_predictions_are_those_of_the_kalman_filter_by_hand(ahead: int, gaps: bool) -> None:
    """Over missing outputs the model runs on freely, also where only one of two is missing."""
    record, start = innovations(WITH_OFFSETS, 60, 0.3), np.array([0.5, -0.5])
    y = record.y.copy()
    if gaps:
        y[:3] = y[20:25] = y[30, 0] = y[32] = y[-1, 1] = np.nan
    outputs, states = kalman_loop(WITH_OFFSETS, record.x, y, start, ahead)
    np.testing.assert_allclose(predictions_ahead(WITH_OFFSETS, record.x, y, start, ahead), outputs, atol=1e-12)
    np.testing.assert_allclose(filtered(WITH_OFFSETS, record.x, y, start), states, atol=1e-12)


def test_so_far_ahead_that_nothing_was_measured_it_is_the_free_run() -> None:
    record, start = innovations(WITH_OFFSETS, 60, 0.3), np.array([0.5, -0.5])
    free = WITH_OFFSETS.simulate(record.x, start)[0]
    for ahead in (60, 61, 1000):
        np.testing.assert_allclose(predictions_ahead(WITH_OFFSETS, record.x, record.y, start, ahead), free, atol=1e-12)


def test_without_any_measured_output_it_is_the_free_run() -> None:
    record, start = innovations(WITH_OFFSETS, 60, 0.3), np.array([0.5, -0.5])
    nothing = np.full_like(record.y, np.nan)
    free = WITH_OFFSETS.simulate(record.x, start)[0]
    np.testing.assert_allclose(predictions_ahead(WITH_OFFSETS, record.x, nothing, start, 1), free, atol=1e-12)


def test_a_filter_of_gain_0_is_the_free_run() -> None:
    record = innovations(WITH_OFFSETS, 60, 0.3)
    deaf = replace(WITH_OFFSETS, noise_gain=np.zeros((2, 2)))
    free = deaf.simulate(record.x, np.zeros(2))[0]
    np.testing.assert_allclose(predictions_ahead(deaf, record.x, record.y, np.zeros(2), 1), free, atol=1e-12)


def test_a_filter_continues_from_the_state_it_reached() -> None:
    record, start = innovations(WITH_OFFSETS, 80, 0.3), np.array([0.5, -0.5])
    whole = filtered(WITH_OFFSETS, record.x, record.y, start)
    half = filtered(WITH_OFFSETS, record.x[:33], record.y[:33], start)
    rest = filtered(WITH_OFFSETS, record.x[33:], record.y[33:], half[-1])
    np.testing.assert_allclose(np.vstack([half, rest]), whole, atol=1e-12)


def test_the_true_filter_finds_the_errors() -> None:
    """From the true start, what it leaves is the noise that was put in: white, of standard deviation 0.3."""
    record = innovations(READY_MADE, 4000, 0.3)
    errors = record.y - predictions_ahead(READY_MADE, record.x, record.y, np.array([2.0, -1.0]), 1)
    np.testing.assert_allclose(errors.T @ errors / 4000, 0.09 * np.eye(2), atol=0.01)
    lagged = errors[1:].T @ errors[:-1] / 4000
    assert np.abs(lagged).max() < 4 * 0.09 / np.sqrt(4000)


# -------------------------------------------------------------------- the gain


def found_noise(records: list[DataRecord], system: LinearSystem = READY_MADE, refine: bool = True) -> LinearSystem:
    """The noise of a system that is known otherwise, from the true starts."""
    silent = replace(system, noise_gain=None, noise_covariance=None)
    starts = np.tile([2.0, -1.0], (len(records), 1))
    return with_noise(silent, factor(records, 10, 10), records, starts, refine)


@pytest.mark.parametrize(("time", "bar"), [(500, 0.12), (5000, 0.04)])
def test_the_gain_is_found(time: int, bar: float) -> None:
    """Off by at most 0.058 and 0.022 over the five seeds; the covariance by 0.009 and 0.0034."""
    for seed in range(5):
        found = found_noise([innovations(READY_MADE, time, 0.3, seed)])
        np.testing.assert_allclose(found.noise_gain, GAIN, atol=bar)
        np.testing.assert_allclose(found.noise_covariance, 0.09 * np.eye(2), atol=0.02 if time == 500 else 0.007)
        assert largest_modulus(found.transition - found.noise_gain @ found.readout) < 1


def test_no_gain_near_it_predicts_better() -> None:
    """The trace of the covariance of the one-step errors is at its minimum."""
    record = innovations(READY_MADE, 600, 0.3)
    found = found_noise([record])

    def error(gain: Array) -> float:
        ahead = predictions_ahead(replace(found, noise_gain=gain), record.x, record.y, np.array([2.0, -1.0]), 1)
        return float(((record.y - ahead) ** 2).sum())

    best = error(found.noise_gain)
    assert np.trace(found.noise_covariance) == pytest.approx(best / 600, rel=1e-9)
    assert best <= error(GAIN)
    for seed in range(8):
        step = np.random.default_rng(seed).normal(size=(2, 2))
        for size in (0.02, -0.02):
            assert error(found.noise_gain + size * step) > best


def test_the_refinement_predicts_better_than_what_the_factor_shows() -> None:
    """Which is right to 0.05, too: the closed form is no worse than 2 % in the errors."""
    for seed in range(3):
        records = [innovations(READY_MADE, 600, 0.3, seed)]
        errors = [np.trace(found_noise(records, refine=refine).noise_covariance) for refine in (True, False)]
        assert errors[0] < errors[1] < 1.02 * errors[0]


def test_output_noise_needs_no_gain() -> None:
    """White errors of the outputs alone say nothing about the state: K = 0, measured 0.018 at most over five seeds."""
    quiet = replace(READY_MADE, noise_gain=np.zeros((2, 2)))
    found = found_noise([innovations(quiet, 5000, 0.3)], quiet)
    np.testing.assert_allclose(found.noise_gain, 0.0, atol=0.04)
    np.testing.assert_allclose(found.noise_covariance, 0.09 * np.eye(2), atol=0.01)


def test_several_records_with_gaps_give_one_gain() -> None:
    records = [innovations(READY_MADE, 1500, 0.3, seed) for seed in range(3)]
    for record in records:
        record.y[np.random.default_rng(0).random(1500) < 0.01] = np.nan
    gaps = [DataRecord.of(record.x, record.y) for record in records]
    np.testing.assert_allclose(found_noise(gaps).noise_gain, GAIN, atol=0.06)


def test_the_filter_is_stable_where_the_first_gain_is_not() -> None:
    """An unstable system whose filter has to hold it: poles 1.03 and 0.5, gain (0.8, 0.1)."""
    growing = LinearSystem(
        np.zeros((1, 1)),
        np.ones((1, 2)),
        np.array([[1.0], [-0.5]]),
        np.diag([1.03, 0.5]),
        noise_gain=np.array([[0.8], [0.1]]),
    )
    records = [innovations(growing, 100, 0.3, seed) for seed in range(4)]
    found = found_noise(records, growing)
    radius = largest_modulus(found.transition - found.noise_gain @ found.readout)
    assert radius < 1
    np.testing.assert_allclose(found.noise_gain, growing.noise_gain, atol=0.15)


def test_one_step_errors_are_below_those_of_the_free_run() -> None:
    """On fresh data of the innovation form; 10 steps ahead lie between; the free run's is the largest."""
    found = found_noise([innovations(READY_MADE, 2000, 0.3)])
    fresh, start = innovations(READY_MADE, 2000, 0.3, seed=9), np.array([2.0, -1.0])
    errors = [
        float(np.sqrt(((fresh.y - predictions_ahead(found, fresh.x, fresh.y, start, ahead)) ** 2).mean()))
        for ahead in (1, 2, 4, 8, 2000)
    ]
    assert errors == sorted(errors)
    assert errors[0] == pytest.approx(0.3, rel=0.05)
    assert errors[-1] > 1.1 * errors[0]

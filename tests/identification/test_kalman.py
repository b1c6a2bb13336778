"""The Kalman filter: the steady one where nothing is missing, the free run where all is, the exact one in between."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

from seqdyn.identification.kalman import equal_runs, filtered, prediction_deviation, predictions_ahead
from seqdyn.identification.system import LinearSystem
from tests.identification.test_subspace import READY_MADE

Array = np.ndarray[Any, Any]
CORRELATED = replace(
    READY_MADE,
    output_offset=np.array([1.0, -2.0]),
    state_offset=np.array([0.3, 0.1]),
    noise_covariance=np.array([[0.09, 0.2], [0.2, 1.0]]),
)
"""Errors of the two outputs with a correlation of 2/3, and deviations of 0.3 and 1."""
GROWING = LinearSystem(
    np.zeros((1, 1)),
    np.ones((1, 2)),
    np.array([[1.0], [-0.5]]),
    np.diag([1.03, 0.5]),
    noise_gain=np.array([[0.8], [0.1]]),
    noise_covariance=np.array([[0.25]]),
)
"""An unstable system, which its filter holds."""
DELAYED = LinearSystem(
    np.zeros((1, 1)),
    np.array([[0.0, 0.0, 0.9]]),
    np.zeros((3, 1)),
    np.array([[0.0, 0.0, 0.9], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    noise_gain=np.array([[1.0], [0.0], [0.0]]),
    noise_covariance=np.array([[2.0]]),
)
"""y_t = 0.9 y_{t-3} + e_t: noise that shows three steps later."""
SYSTEMS = {"correlated": CORRELATED, "growing": GROWING, "delayed": DELAYED}
START = {"correlated": [0.5, -0.5], "growing": [0.5, -0.5], "delayed": [1.0, 0.0, -1.0]}
every_system = pytest.mark.parametrize("name", SYSTEMS)


def record_of(name: str, steps: int = 150, seed: int = 0) -> tuple[Array, Array, Array]:
    """Inputs, outputs, and the start of a run with correlated errors."""
    system, random = SYSTEMS[name], np.random.default_rng(seed)
    x, errors = random.normal(size=(steps, system.inputs)), _errors(system, steps, random)
    h, y = np.array(START[name]), []
    for now, error in zip(x, errors, strict=True):
        y.append(system.feedthrough @ now + system.readout @ h + system.output_offset + error)
        h = system.input_map @ now + system.transition @ h + system.state_offset + system.noise_gain @ error
    return x, np.array(y), np.array(START[name])


def _errors(system: LinearSystem, steps: int, random: np.random.Generator) -> Array:
    return random.normal(size=(steps, system.outputs)) @ np.linalg.cholesky(system.noise_covariance).T


def with_gaps(y: Array, seed: int = 1) -> Array:
    """Whole gaps, gaps of one output, and single missing values."""
    random, seen = np.random.default_rng(seed), y.copy()
    seen[random.random(y.shape) < 0.2] = np.nan
    seen[:2], seen[30:45], seen[60:80, 0] = np.nan, np.nan, np.nan
    seen[100:120] = y[100:120]
    return seen


def textbook(system: LinearSystem, x: Array, y: Array, start: Array) -> tuple[Array, Array, Array]:
    """ŷ_{t|t-1}, its covariance, and h_t, by a filter of the state [h_{t-1}; e_t] that measures without noise."""
    order, outputs = system.order, system.outputs
    move = np.block([[system.transition, system.noise_gain], [np.zeros((outputs, order + outputs))]])
    look, fresh = np.hstack([system.readout, np.eye(outputs)]), np.zeros((order + outputs, order + outputs))
    fresh[order:, order:] = system.noise_covariance
    s, spread, ahead, covariances, states = np.concatenate([start, np.zeros(outputs)]), fresh, [], [], []
    for now, measured in zip(x, y, strict=True):
        ahead.append(look @ s + system.feedthrough @ now + system.output_offset)
        covariances.append(look @ spread @ look.T)
        seen = ~np.isnan(measured)
        gain = spread @ look[seen].T @ np.linalg.inv(covariances[-1][np.ix_(seen, seen)])
        s = s + gain @ (measured - ahead[-1])[seen]
        spread = spread - gain @ look[seen] @ spread
        s = move @ s + np.concatenate([system.input_map @ now + system.state_offset, np.zeros(outputs)])
        spread = move @ spread @ move.T + fresh
        states.append(s[:order])
    return np.array(ahead), np.array(covariances), np.array(states)


# -------------------------------------------------------------------- laws


@every_system
def test_where_nothing_is_missing_the_gain_is_the_steady_one(name: str) -> None:
    """Whatever the covariance of the noise is."""
    (x, y, start), system = record_of(name), SYSTEMS[name]
    blind = replace(system, noise_covariance=None)
    np.testing.assert_allclose(filtered(system, x, y, start), filtered(blind, x, y, start), atol=1e-10)
    h = start
    for now, measured, found in zip(x, y, filtered(system, x, y, start), strict=True):
        error = measured - system.feedthrough @ now - system.readout @ h - system.output_offset
        h = system.input_map @ now + system.transition @ h + system.state_offset + system.noise_gain @ error
        np.testing.assert_allclose(found, h, rtol=1e-9, atol=1e-9)


@every_system
@pytest.mark.parametrize("ahead", [1, 3])
def test_where_all_is_missing_it_is_the_free_run(name: str, ahead: int) -> None:
    (x, y, start), system = record_of(name), SYSTEMS[name]
    free = system.simulate(x, start)[0]
    np.testing.assert_allclose(predictions_ahead(system, x, np.full_like(y, np.nan), start, ahead), free, rtol=1e-10)


def test_without_a_covariance_a_missing_output_is_taken_as_it_was_predicted() -> None:
    x, y, start = record_of("correlated")
    system, seen = replace(CORRELATED, noise_covariance=None), with_gaps(y)
    ahead = predictions_ahead(system, x, seen, start, 1)
    filled = np.where(np.isnan(seen), ahead, seen)
    np.testing.assert_allclose(predictions_ahead(system, x, filled, start, 1), ahead, atol=1e-10)


def test_without_correlation_and_state_noise_of_the_missing_output_nothing_is_learnt_of_it() -> None:
    """Two systems side by side that share nothing: the filter of one does not look at the gaps of the other."""
    apart = LinearSystem(
        np.zeros((2, 0)),
        np.eye(2),
        np.zeros((2, 0)),
        np.diag([0.9, 0.5]),
        noise_gain=np.diag([0.4, 0.3]),
        noise_covariance=np.diag([1.0, 4.0]),
    )
    y = np.random.default_rng(0).normal(size=(200, 2))
    seen = y.copy()
    seen[50:120, 1] = np.nan
    whole, gaps = (predictions_ahead(apart, np.zeros((200, 0)), values, np.zeros(2), 1) for values in (y, seen))
    np.testing.assert_allclose(gaps[:, 0], whole[:, 0], atol=1e-12)
    assert np.abs(gaps[51:120, 1] - whole[51:120, 1]).max() > 0.1


@every_system
def test_it_does_not_depend_on_the_units(name: str) -> None:
    """Outputs in units as unlike as 1e-6 and 1e6."""
    (x, y, start), system = record_of(name), SYSTEMS[name]
    scale, seen = np.array([1e-6, 1e6])[: system.outputs], with_gaps(y)
    one, none = np.ones(system.inputs), np.zeros(system.inputs)
    other = system.in_units(none, one, np.zeros(system.outputs), scale)
    np.testing.assert_allclose(filtered(other, x, seen * scale, start), filtered(system, x, seen, start), rtol=1e-7)
    deviations = [prediction_deviation(system, seen, 2) * scale, prediction_deviation(other, seen * scale, 2)]
    np.testing.assert_allclose(deviations[1], deviations[0], rtol=1e-9)


# -------------------------------------------------------------------- oracles


@every_system
def test_with_gaps_it_is_the_textbook_filter(name: str) -> None:
    """Of the augmented state [h_{t-1}; e_t], which knows no steady gain and no correlation."""
    (x, y, start), system = record_of(name), SYSTEMS[name]
    seen = with_gaps(y)
    ahead, covariances, states = textbook(system, x, seen, start)
    np.testing.assert_allclose(filtered(system, x, seen, start), states, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(predictions_ahead(system, x, seen, start, 1), ahead, rtol=1e-7, atol=1e-8)
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    np.testing.assert_allclose(prediction_deviation(system, seen, 1) ** 2, variances, rtol=1e-7)


def test_long_gaps_of_one_output_are_the_textbook_filter_too() -> None:
    """Beyond the steps at which the filter of the gap has become stationary."""
    x, y, start = record_of("correlated", 1200)
    seen = y.copy()
    seen[100:500, 0] = seen[600:700] = seen[800:1100, 1] = np.nan
    _, covariances, states = textbook(CORRELATED, x, seen, start)
    np.testing.assert_allclose(filtered(CORRELATED, x, seen, start), states, atol=1e-8)
    deviation = prediction_deviation(CORRELATED, seen, 1)
    np.testing.assert_allclose(deviation**2, np.diagonal(covariances, axis1=1, axis2=2), rtol=1e-8)


def test_statsmodels_finds_the_same() -> None:
    x, y, start = record_of("correlated")
    seen, order, outputs = with_gaps(y), 2, 2
    peer = KalmanFilter(k_endog=outputs, k_states=order + outputs, k_posdef=outputs)
    peer.bind(np.asfortranarray(seen.T.copy()))
    zeros = np.zeros((outputs, order + outputs))
    peer["transition"] = np.block([[CORRELATED.transition, CORRELATED.noise_gain], [zeros]])
    peer["design"] = np.hstack([CORRELATED.readout, np.eye(outputs)])
    peer["selection"] = np.vstack([np.zeros((order, outputs)), np.eye(outputs)])
    peer["state_cov"] = CORRELATED.noise_covariance
    peer["obs_intercept"] = (x @ CORRELATED.feedthrough.T + CORRELATED.output_offset).T
    drive = (x @ CORRELATED.input_map.T + CORRELATED.state_offset).T
    peer["state_intercept"] = np.vstack([drive, np.zeros((outputs, len(x)))])
    spread = np.zeros((order + outputs, order + outputs))
    spread[order:, order:] = CORRELATED.noise_covariance
    peer.initialize_known(np.concatenate([start, np.zeros(outputs)]), spread)
    result = peer.filter()
    np.testing.assert_allclose(predictions_ahead(CORRELATED, x, seen, start, 1), result.forecasts.T, atol=1e-6)
    variances = np.diagonal(result.forecasts_error_cov, axis1=0, axis2=1)
    np.testing.assert_allclose(prediction_deviation(CORRELATED, seen, 1) ** 2, variances, rtol=1e-6)


@pytest.mark.parametrize("ahead", [1, 4])
def test_the_deviation_is_that_of_many_runs(ahead: int) -> None:
    """Over 150 runs a ratio of variances has a standard error of 12 %, the mean of 160 of them one near 1 %."""
    x, y, _ = record_of("correlated", 80)
    gaps = np.isnan(with_gaps(y))
    errors = []
    for seed in range(150):
        x, y, start = record_of("correlated", 80, seed)
        errors.append(y - predictions_ahead(CORRELATED, x, np.where(gaps, np.nan, y), start, ahead))
    deviation = prediction_deviation(CORRELATED, np.where(gaps, np.nan, 0.0), ahead)
    ratio = np.mean(np.square(errors), axis=0) / deviation**2
    assert ratio.mean() == pytest.approx(1.0, abs=0.04)
    np.testing.assert_allclose(ratio, 1.0, atol=0.55)


def test_the_exact_gain_predicts_better_than_the_steady_one() -> None:
    """Two sensors of one slow state, the good one of which fails: a third less error in the gap."""
    system = LinearSystem(
        np.zeros((2, 0)),
        np.ones((2, 1)),
        np.zeros((1, 0)),
        np.array([[0.98]]),
        noise_gain=np.array([[0.8, 0.008]]),
        noise_covariance=np.array([[0.07, 0.06], [0.06, 1.06]]),
    )
    drawn, h, y = _errors(system, 3000, np.random.default_rng(3)), np.zeros(1), []
    for error in drawn:
        y.append(h + error)
        h = 0.98 * h + system.noise_gain @ error
    y, seen = np.array(y), np.array(y)
    seen[(np.arange(3000) % 500 >= 250), 0] = np.nan
    gap, missing = np.isnan(seen[:, 0]), []
    for covariance in (system.noise_covariance, None):
        told = replace(system, noise_covariance=covariance)
        missing.append(np.std((y - predictions_ahead(told, np.zeros((3000, 0)), seen, np.zeros(1), 1))[gap, 0]))
    assert missing[0] < 0.67 * missing[1]


# -------------------------------------------------------------------- sizes and limits


@pytest.mark.parametrize("rate", [0.001, 0.3])
def test_a_long_record_with_gaps_takes_seconds(rate: float) -> None:
    """Measured: 0.2 s and 1.6 s."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20_000, 2)), random.normal(size=(20_000, 2))
    y[random.random(y.shape) < rate] = np.nan
    begun = time.perf_counter()
    filtered(CORRELATED, x, y, np.zeros(2))
    assert time.perf_counter() - begun < 10


def test_a_state_that_grows_through_a_long_gap_stays_finite() -> None:
    """1.03^20,000 is more than a number can hold; what was lost is found again when outputs come back."""
    blown = replace(GROWING, input_map=np.zeros((2, 1)))
    y = np.full((20_050, 1), np.nan)
    y[:5] = y[20_000:] = 0.0
    deviation = prediction_deviation(blown, y, 1)
    assert np.isfinite(deviation).all()
    assert deviation[20_000] > 1e40
    assert deviation[-1] == pytest.approx(0.5, rel=1e-6)
    assert np.isfinite(filtered(blown, np.zeros((20_050, 1)), y, np.zeros(2))).all()


def test_noise_of_one_output_alone_needs_no_inverse() -> None:
    """A covariance without full rank: a third output that is the sum of two, and one without noise."""
    mix = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    system = LinearSystem(
        np.zeros((4, 1)),
        mix @ np.eye(2),
        np.ones((2, 1)),
        np.diag([0.9, 0.5]),
        noise_gain=np.hstack([np.diag([0.4, 0.3]), np.zeros((2, 2))]),
        noise_covariance=mix @ mix.T,
    )
    random = np.random.default_rng(0)
    drawn, h, y, truth = random.normal(size=(60, 2)), np.zeros(2), [], []
    for error in drawn:
        y.append(mix @ h + mix @ error)
        h = np.diag([0.9, 0.5]) @ h + np.diag([0.4, 0.3]) @ error
        truth.append(h)
    seen = np.array(y)
    seen[20:40, 1] = np.nan  # the sum tells it
    np.testing.assert_allclose(filtered(system, np.zeros((60, 1)), seen, np.zeros(2)), truth, atol=1e-8)


@pytest.mark.parametrize("order", [0, 1])
def test_no_steps_and_no_states_are_no_exception(order: int) -> None:
    system = LinearSystem(
        np.ones((2, 1)),
        np.zeros((2, order)),
        np.zeros((order, 1)),
        np.zeros((order, order)),
        noise_gain=np.zeros((order, 2)),
        noise_covariance=np.eye(2),
    )
    y = np.array([[1.0, np.nan], [np.nan, np.nan], [1.0, 1.0]])
    assert filtered(system, np.ones((3, 1)), y, np.zeros(order)).shape == (3, order)
    np.testing.assert_array_equal(prediction_deviation(system, y, 2), np.ones((3, 2)))
    assert predictions_ahead(system, np.zeros((0, 1)), y[:0], np.zeros(order), 2).shape == (0, 2)
    assert prediction_deviation(system, y[:0], 2).shape == (0, 2)


def test_rows_that_are_alike_lie_together() -> None:
    assert equal_runs(np.array([1, 1, 0, 1])) == [(0, 2), (2, 3), (3, 4)]
    assert equal_runs(np.zeros((3, 2))) == [(0, 3)]
    assert equal_runs(np.zeros((0, 2))) == []


def test_a_system_without_noise_is_refused() -> None:
    silent = replace(READY_MADE, noise_gain=None)
    with pytest.raises(ValueError, match="no noise_gain"):
        filtered(silent, np.zeros((3, 2)), np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="no noise_covariance"):
        prediction_deviation(READY_MADE, np.zeros((3, 2)), 1)

"""The tests of the errors: no more often wrong than they say, and sharp where something is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import kstest
from statsmodels.stats.diagnostic import acorr_ljungbox

from seqdyn.identification.correlation import cross_correlation, feedback_p_value, whiteness

Array = np.ndarray[Any, Any]


def closed_loop(strength: float, time: int = 400, seed: int = 0, memory: float = 0.0) -> tuple[Array, Array]:
    """Inputs u_t = r_t − strength · y_{t-1} of y_t = 0.7 y_{t-1} + 0.5 u_t + e_t, and the errors e_t."""
    random = np.random.default_rng(seed)
    wanted, errors = lfilter([1.0], [1.0, -memory], random.normal(size=time)), random.normal(size=time)
    last, inputs = 0.0, []
    for now, error in zip(wanted, errors, strict=True):
        inputs.append(now - strength * last)
        last = 0.7 * last + 0.5 * inputs[-1] + error
    return np.array(inputs)[:, None], errors[:, None]


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_without_feedback_the_p_value_is_uniform(memory: float) -> None:
    """Over 200 records, with white inputs and with coloured ones; at 1 % accused (of 1,000): 0.4 and 0.8 %."""
    values = [feedback_p_value(*([part] for part in closed_loop(0.0, 300, seed, memory)), 10) for seed in range(200)]
    assert kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) < 0.01) < 0.04


def test_several_inputs_and_outputs_count_as_several_trials() -> None:
    """The least of six p-values is uniform no more; the value given is."""
    values = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        values.append(feedback_p_value([random.normal(size=(200, 3))], [random.normal(size=(200, 2))], 5))
    assert kstest(values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("strength", "share"), [(0.1, 0.1), (0.2, 0.8), (0.4, 1.0)])
def test_feedback_is_seen(strength: float, share: float) -> None:
    """At 1 %, over 50 records of 400 steps: 20, 94 and 100 %."""
    values = [feedback_p_value(*([part] for part in closed_loop(strength, 400, seed)), 10) for seed in range(50)]
    assert np.mean(np.array(values) < 0.01) >= share


def test_records_and_gaps_add_up() -> None:
    """Two records, one in two stretches, tell more than one, and nothing is counted over a border."""
    first, second = closed_loop(0.15, 500, 1), closed_loop(0.15, 500, 2)
    second[1][250] = np.nan
    both = feedback_p_value([first[0], second[0]], [first[1], second[1]], 10)
    alone = feedback_p_value([first[0]], [first[1]], 10), feedback_p_value([second[0]], [second[1]], 10)
    assert both < min(alone)
    parts = [(second[0][:250], second[1][:250]), (second[0][251:], second[1][251:])]
    pieces = feedback_p_value([x for x, _ in parts], [e for _, e in parts], 10)
    assert pieces == pytest.approx(alone[1], rel=1e-12)


def test_where_nothing_can_be_told_there_is_no_value() -> None:
    x, errors = closed_loop(0.4)
    assert np.isnan(feedback_p_value([x[:30]], [errors[:30]], 10))
    assert np.isnan(feedback_p_value([np.ones_like(x)], [errors], 10))
    assert np.isnan(feedback_p_value([x[:, :0]], [errors], 10))


def test_whiteness_is_statsmodels_own() -> None:
    errors = np.random.default_rng(0).normal(size=200)
    statistic, p_value = whiteness(errors, 10)
    peer = acorr_ljungbox(errors, lags=[10])
    assert (statistic, p_value) == pytest.approx((peer["lb_stat"].iloc[0], peer["lb_pvalue"].iloc[0]), rel=1e-9)
    assert np.isnan(whiteness(np.ones(50), 5)).all()


def test_of_white_inputs_and_errors_it_is_the_sum_of_squared_correlations() -> None:
    """T Σ r_i² / (σ_e² σ_x²), to the accuracy of the sample autocovariances."""
    errors, inputs = np.random.default_rng(0).normal(size=(2, 20_000))
    plain = sum(np.mean(errors[lag:] * inputs[: len(inputs) - lag]) ** 2 for lag in range(5)) * 20_000
    statistic, freedom = cross_correlation(errors, inputs, range(5))
    assert freedom == 5
    assert statistic == pytest.approx(plain, rel=0.2)

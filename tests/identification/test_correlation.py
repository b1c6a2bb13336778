"""The tests of the errors: no more often wrong than they say, and sharp where something is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import chi2
from statsmodels.stats.diagnostic import acorr_ljungbox

from seqdyn.identification.correlation import cross_correlation, whiteness

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


def p_value(x: Array, errors: Array, lags: range) -> float:
    return float(chi2.sf(*cross_correlation(errors[:, 0], x[:, 0], lags)))


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_without_feedback_the_p_value_is_uniform(memory: float) -> None:
    """200 records: the share below 5 % lies within four standard errors."""
    values = [p_value(*closed_loop(0.0, 300, seed, memory), range(-10, 0)) for seed in range(200)]
    assert abs(np.mean(np.array(values) < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 200)


def test_feedback_is_seen() -> None:
    values = [p_value(*closed_loop(0.4, 400, seed), range(-10, 0)) for seed in range(50)]
    assert np.mean(np.array(values) < 0.01) > 0.9


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


# -------------------------------------------------------------------- gaps


def test_errors_that_are_known_throughout_between_gaps_are_those_of_records() -> None:
    """The gap between two records takes no part: the order of records does not matter, nor how wide the gap is."""
    random = np.random.default_rng(0)
    errors, inputs = random.normal(size=(2, 3, 120))

    def joined(order: list[int], gap: int) -> tuple[Array, Array]:
        late, seen = (np.pad(v[order], ((0, 0), (0, gap)), constant_values=np.nan) for v in (errors, inputs))
        return late.ravel()[:-gap], seen.ravel()[:-gap]

    one, other = joined([0, 1, 2], 40), joined([2, 0, 1], 90)
    assert whiteness(one[0], 10) == pytest.approx(whiteness(other[0], 10), rel=1e-9)
    for lags in (range(8), range(-8, 0)):
        assert cross_correlation(*one, lags) == pytest.approx(cross_correlation(*other, lags), rel=1e-9)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_p_values_are_uniform_over_gaps(memory: float) -> None:
    """400 series of 200 errors, half of them missing: the share below 5 % lies within four standard errors."""
    random, values = np.random.default_rng(0), []
    for _ in range(400):
        errors = np.where(random.random(200) < 0.5, np.nan, random.normal(size=200))
        inputs = lfilter([1.0], [1.0, -memory], random.normal(size=200))
        values.append((whiteness(errors, 5)[1], p_value(inputs[:, None], errors[:, None], range(6))))
    share = (np.array(values) < 0.05).mean(axis=0)
    np.testing.assert_allclose(share, 0.05, atol=4 * np.sqrt(0.05 * 0.95 / 400))


def test_what_is_left_is_seen_between_gaps() -> None:
    random = np.random.default_rng(0)
    inputs, errors = random.normal(size=400), lfilter([1.0], [1.0, -0.5], random.normal(size=400))
    errors[3:] += 0.5 * inputs[:-3]
    errors[random.random(400) < 0.5] = np.nan
    assert whiteness(errors, 5)[1] < 1e-3
    assert p_value(inputs[:, None], errors[:, None], range(6)) < 1e-6


def test_lags_of_which_no_pair_is_known_do_not_count() -> None:
    """Every second error: the odd lags say nothing, and Q is that of the known ones beside each other."""
    errors = np.random.default_rng(0).normal(size=400)
    errors[1::2] = np.nan
    assert whiteness(errors, 10) == pytest.approx(whiteness(errors[::2], 5), rel=1e-9)
    assert np.isnan(whiteness(errors, 1)).all()

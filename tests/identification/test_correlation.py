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

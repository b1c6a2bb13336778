"""Scores against scipy, scikit-learn, brute force and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    root_mean_squared_error,
)

from seqdyn.metrics import (
    coverage,
    crps_gaussian,
    crps_samples,
    fit_percent,
    interval_score,
    mae,
    mape,
    mase,
    msis,
    owa,
    pinball,
    rmse,
    rmsse,
    smape,
    wql,
)

Array = np.ndarray[Any, Any]

DECILES = np.arange(1, 10) / 10


def data(*shape: int) -> tuple[Array, Array]:
    """Observations away from 0, and forecasts of them."""
    generator = np.random.default_rng(0)
    y = generator.uniform(1, 9, size=shape or (50,))
    return y, y + generator.normal(size=y.shape)


# --- points --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(50,), (50, 3), (7, 50, 3)], ids=str)
def test_point_errors_against_scikit_learn(shape: tuple[int, ...]) -> None:
    """Over all axes at once."""
    y, z = data(*shape)
    flat = y.reshape(-1), z.reshape(-1)
    assert mae(y, z) == pytest.approx(mean_absolute_error(*flat))
    assert rmse(y, z) == pytest.approx(root_mean_squared_error(*flat))
    assert mape(y, z) == pytest.approx(100 * mean_absolute_percentage_error(*flat))
    assert smape(y, z) == pytest.approx(200 * np.mean(np.abs(y - z) / (np.abs(y) + np.abs(z))))


def test_fit_percent() -> None:
    """100 is perfect, 0 the mean, −inf a constant that is missed; the mean over outputs."""
    y, z = data()
    assert fit_percent(y, y) == 100 and fit_percent(y, np.full(50, y.mean())) == pytest.approx(0)
    assert fit_percent(np.ones(3), np.zeros(3)) == -np.inf and fit_percent(np.ones(3), np.ones(3)) == 100
    both = fit_percent(np.column_stack([y, y]), np.column_stack([z, y]))
    assert both == pytest.approx((fit_percent(y, z) + 100) / 2)


def test_percentages_at_zero() -> None:
    """MAPE is not defined where y is 0, and never 0 there; sMAPE takes 0/0 for 0 and is at most 200."""
    assert np.isnan(mape([0.0, 1.0], [0.0, 1.0])) and np.isnan(mape([0.0, 1.0], [1.0, 1.0]))
    assert mape([-2.0], [-1.0]) == 50
    assert smape([0.0, 0.0], [0.0, 1.0]) == 100 and smape([2.0, -1.0], [-2.0, 5.0]) == 200


@pytest.mark.parametrize("metric", [mae, rmse, mape, smape, fit_percent], ids=lambda metric: metric.__name__)
def test_missing_observations(metric: Any) -> None:
    """NaN in y is left out; NaN in a forecast of a known y is a NaN; nothing known is a NaN, without a warning."""
    y, z = data()
    holes = y.copy()
    holes[::7] = np.nan
    known = ~np.isnan(holes)
    assert metric(holes, z) == pytest.approx(metric(y[known], z[known]))
    assert metric(holes, np.where(known, z, np.nan)) == pytest.approx(metric(y[known], z[known]))
    assert np.isnan(metric(y, np.where(known, z, np.nan)))
    assert np.isnan(metric(np.full(3, np.nan), np.ones(3)))


@pytest.mark.parametrize("metric", [mae, rmse, mape, smape, fit_percent], ids=lambda metric: metric.__name__)
def test_nothing_is_broadcast(metric: Any) -> None:
    """(50,) beside (50, 1) is one output; anything else of another shape is an error. pandas counts by place."""
    y, z = data()
    assert metric(y, z[:, None]) == metric(y, z) == metric(pd.Series(y), pd.Series(z, range(7, 57)))
    for other in (z[:-1], 3.0, np.column_stack([z, z])):
        with pytest.raises(ValueError, match=r"predicted has the shape .*, y has \(50,\)"):
            metric(y, other)


# --- against the past ----------------------------------------------------------------------------------------------


def test_mase_by_hand() -> None:
    """Q is the mean seasonal difference of the training part, never of the future."""
    training = np.array([1.0, 5.0, 2.0, 7.0, 4.0, 8.0])
    y, z = np.array([5.0, 9.0]), np.array([4.0, 12.0])
    scale = np.mean(np.abs([2 - 1, 7 - 5, 4 - 2, 8 - 7]))
    assert mase(y, z, training, season_length=2) == pytest.approx(2 / scale)
    assert rmsse(y, z, training) == pytest.approx(np.sqrt(5 / np.mean(np.diff(training) ** 2)))
    assert rmsse(y, z, training, 2) == pytest.approx(np.sqrt(5 / np.mean([1, 4, 4, 1])))


def test_the_naive_forecast_in_the_training_part_has_mase_one() -> None:
    """By definition, for every season length."""
    y, _ = data(60)
    for m in (1, 7):
        assert mase(y[m:], y[:-m], y, m) == pytest.approx(1) and rmsse(y[m:], y[:-m], y, m) == pytest.approx(1)


@pytest.mark.parametrize("training", [[1.0, 2.0], [3.0, 4.0, 3.0, 4.0], [1.0, np.nan, 3.0, np.nan]])
def test_scaled_errors_that_are_not_defined(training: list[float]) -> None:
    """n ≤ m, Q = 0, no pair known: NaN, not 0, and no shorter season in silence."""
    expected = pytest.approx(0.5) if np.isnan(training).any() else np.nan
    m = 2
    if np.isnan(training).any():
        assert mase([1.0], [2.0], training, m) == expected and np.isnan(mase([1.0], [2.0], training, 1))
        return
    assert np.isnan(mase([1.0], [1.0], training, m)) and np.isnan(rmsse([1.0], [2.0], training, m))
    assert np.isnan(msis([1.0], [0.0], [2.0], training, m))


def test_scaled_errors_of_many_outputs() -> None:
    """Each has its own Q; missing observations are left out, also in pairs of the training part."""
    y, z = data(8, 2)
    training, _ = data(40, 2)
    each = [mase(y[:, i], z[:, i], training[:, i], 3) for i in range(2)]
    assert mase(y, z, training, 3) == pytest.approx(np.mean(each))
    holes = training[:, 0].copy()
    holes[5] = np.nan
    pairs = [abs(training[t, 0] - training[t - 3, 0]) for t in range(3, 40) if 5 not in (t, t - 3)]
    assert mase(y[:, 0], z[:, 0], holes, 3) == pytest.approx(mae(y[:, 0], z[:, 0]) / np.mean(pairs))
    with pytest.raises(ValueError, match="training has 2 outputs, y has 1"):
        mase(y[:, 0], z[:, 0], training)
    for wrong in (0, 1.5, None):
        with pytest.raises(ValueError, match="season_length must be an int of at least 1"):
            mase(y, z, training, wrong)  # type: ignore[arg-type]


def test_owa_of_the_m4_competition() -> None:
    """Naive2 is 1; the published Theta of M4 Hourly."""
    assert owa(18.383, 2.395, 18.383, 2.395) == 1
    assert owa(18.138, 2.455, 18.383, 2.395) == pytest.approx(1.006, abs=5e-4)


# --- distributions -------------------------------------------------------------------------------------------------


def test_pinball_against_scikit_learn() -> None:
    """And half the absolute error at the median; the quantile is where it is smallest."""
    y, z = data()
    for quantile in DECILES:
        assert pinball(y, z, quantile) == pytest.approx(mean_pinball_loss(y, z, alpha=quantile))
    assert pinball(y, z, 0.5) == pytest.approx(mae(y, z) / 2)
    losses = [pinball(y, np.full(50, value), 0.8) for value in np.sort(y)]
    assert np.sort(y)[int(np.argmin(losses))] == pytest.approx(np.quantile(y, 0.8, method="inverted_cdf"), rel=0.05)


def test_wql() -> None:
    """Of a point forecast it is Σ|e| / Σ|y|; pooled before dividing, not a mean over series; missing ones left out."""
    y, z = data(4, 30)
    y *= np.array([[1.0], [10.0], [100.0], [0.1]])
    z *= np.array([[1.0], [10.0], [100.0], [0.1]])
    point = np.repeat(z[..., None], 9, axis=-1)
    assert wql(y, point, DECILES) == pytest.approx(np.abs(y - z).sum() / np.abs(y).sum())
    spread = z[..., None] * np.linspace(0.5, 1.5, 9)
    brute = np.mean([2 * 120 * pinball(y, spread[..., i], q) / np.abs(y).sum() for i, q in enumerate(DECILES)])
    assert wql(y, spread, DECILES) == pytest.approx(brute)
    apart = np.mean([wql(one, values, DECILES) for one, values in zip(y, spread, strict=True)])
    assert abs(apart - brute) > 1e-3
    holes = np.where(np.arange(30) % 4 == 0, np.nan, y)
    kept = np.arange(30) % 4 != 0
    assert wql(holes, spread, DECILES) == pytest.approx(wql(y[:, kept], spread[:, kept], DECILES))
    assert np.isnan(wql(np.zeros(3), np.ones((3, 9)), DECILES))


def test_crps_of_a_gaussian() -> None:
    """Against the integral; σ = 0 is the absolute error; nine deciles overstate it."""
    for y, mean, deviation in [(0.3, 1.0, 2.0), (-4.0, 0.0, 0.5), (1e3, 0.0, 1.0)]:
        low, _ = quad(lambda z, m=mean, s=deviation: norm.cdf(z, m, s) ** 2, -60, min(y, 60), limit=500)
        high, _ = quad(lambda z, m=mean, s=deviation: norm.sf(z, m, s) ** 2, min(y, 60), 60, limit=500)
        beyond = max(y - 60, 0)
        assert crps_gaussian([y], [mean], [deviation]) == pytest.approx(low + high + beyond, rel=1e-6)
    assert crps_gaussian([0.3], [1.0], [2.0]) == pytest.approx(0.564, abs=5e-4)
    deciles = norm.ppf(DECILES, 1, 2)
    assert wql([0.3], deciles[None], DECILES) * 0.3 == pytest.approx(0.614, abs=5e-4)
    assert crps_gaussian([1.0, 2.0], [3.0, 2.5], [0.0, 0.0]) == 1.25
    assert crps_gaussian([1.0, np.nan], [3.0, 0.0], [0.0, 0.0]) == 2
    with pytest.raises(ValueError, match="deviation must be at least 0"):
        crps_gaussian([1.0], [1.0], [-1.0])


def test_crps_of_samples() -> None:
    """Against the double sum; one sample is a point; fair is unbiased; many samples come to the closed form."""
    generator = np.random.default_rng(0)
    y, samples = generator.normal(size=(4, 5)), generator.normal(size=(4, 5, 6))
    near = np.abs(samples - y[..., None]).mean(-1)
    apart = np.abs(samples[..., :, None] - samples[..., None, :])
    assert crps_samples(y, samples) == pytest.approx((near - apart.mean((-1, -2)) / 2).mean())
    assert crps_samples(y, samples, fair=True) == pytest.approx((near - apart.sum((-1, -2)) / 60).mean())
    assert crps_samples(y, samples[..., :1]) == pytest.approx(mae(y, samples[..., 0]))
    many = generator.normal(1, 2, size=(1, 200_000))
    assert crps_samples([0.3], many) == pytest.approx(crps_gaussian([0.3], [1.0], [2.0]), rel=0.02)
    few = generator.normal(1, 2, size=(20_000, 3))
    assert crps_samples(np.full(20_000, 0.3), few, fair=True) == pytest.approx(0.564, rel=0.03)
    assert crps_samples(np.full(20_000, 0.3), few) > 0.8
    holes = np.where(np.arange(5) == 2, np.nan, y)
    kept = np.arange(5) != 2
    assert crps_samples(holes, samples) == pytest.approx(crps_samples(y[:, kept], samples[:, kept]))
    with pytest.raises(ValueError, match="1 on its last axis, expected at least 2 for fair"):
        crps_samples(y, samples[..., :1], fair=True)
    with pytest.raises(ValueError, match=r"samples have the shape \(4, 6\), expected \(4, 5, 'samples'\)"):
        crps_samples(y, samples[:, 0])


@pytest.mark.parametrize("level", [50, 80, 95.0])
def test_interval_score_is_a_sum_of_pinballs(level: float) -> None:
    """(2/α) (ρ_{α/2}(y, l) + ρ_{1−α/2}(y, u)); scaled as MASE is."""
    y, z = data(40, 2)
    lower, upper = z - 1, z + 0.7
    alpha = 1 - level / 100
    expected = 2 / alpha * (pinball(y, lower, alpha / 2) + pinball(y, upper, 1 - alpha / 2))
    assert interval_score(y, lower, upper, level) == pytest.approx(expected)
    training, _ = data(30)
    one = interval_score(y[:, 0], lower[:, 0], upper[:, 0], level)
    scale = np.mean(np.abs(training[4:] - training[:-4]))
    assert msis(y[:, 0], lower[:, 0], upper[:, 0], training, 4, level) == pytest.approx(one / scale)


def test_coverage() -> None:
    """Bounds are inside; missing observations are left out; a missing bound is a NaN."""
    assert coverage([1.0, 2.0, 3.0, 4.0], [1.0, 2.5, 0.0, 0.0], [2.0, 3.0, 3.0, 3.9]) == 0.5
    assert coverage([1.0, np.nan], [0.0, 0.0], [2.0, 2.0]) == 1
    assert np.isnan(coverage([1.0, 1.0], [0.0, np.nan], [2.0, 2.0]))
    y = norm.rvs(size=20_000, random_state=0)
    assert coverage(y, np.full(20_000, norm.ppf(0.1)), np.full(20_000, norm.ppf(0.9))) == pytest.approx(0.8, abs=0.01)


def test_levels_and_quantiles_that_are_none() -> None:
    """The usual confusion of shares and percentages is named."""
    y, z = data()
    for level in (0.95, 0, 100, -5):
        with pytest.raises(ValueError, match=r"level is a percentage .*95, not 0\.95"):
            interval_score(y, z, z, level)
    for quantile in (90, 0.0, 1.0):
        with pytest.raises(ValueError, match=r"Quantiles lie between 0 and 1.*0\.9, not 90"):
            pinball(y, z, quantile)
    with pytest.raises(ValueError, match=r"quantiles have the shape \(50, 9\), expected \(50, 3\)"):
        wql(y, np.ones((50, 9)), [0.1, 0.5, 0.9])

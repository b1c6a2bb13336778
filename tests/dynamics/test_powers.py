"""Powers of constant matrices: multiprecision, closed forms, and the theorems that bound them."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

from seqdyn.dynamics.non_normality import Normality, normality
from seqdyn.dynamics.powers import power_norms

JORDAN = np.array([[0.9, 10.0], [0.0, 0.9]])
"""Row T22 of the reference on gradient diagnostics: radius 0.9, and a peak of 38.7."""


def drawn(size: int, radius: float, seed: int, departure: float = 0.0) -> np.ndarray:
    """A random matrix of this spectral radius; ``departure`` sets the size of what stands above its eigenvalues."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(size, size))
    if departure:
        basis = np.linalg.qr(matrix)[0]
        above = departure * np.triu(generator.normal(size=(size, size)), 1)
        return basis @ (above + np.diag(radius * np.linspace(0.5, 1, size))) @ basis.T
    return matrix * radius / np.abs(np.linalg.eigvals(matrix)).max()


def orthogonal(size: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def exact(matrix: np.ndarray, lag: int) -> float:
    """ln ‖D^k‖ in 80 digits."""
    with mpmath.workdps(80):
        power = mpmath.matrix(matrix.tolist()) ** lag
        largest = max(abs(entry) for entry in power)
        return float(mpmath.log(mpmath.svd_r(power / largest, compute_uv=False)[0]) + mpmath.log(largest))


def test_the_reference_matrix() -> None:
    """All numbers of row T22 and of section 4."""
    found = normality(JORDAN)
    assert found.peak == pytest.approx(38.745922717546996, rel=1e-12)
    assert (found.peak_lag, found.first_below_one) == (9, 63)
    assert found.largest_singular_value == pytest.approx(10.080354318352215, rel=1e-12)
    assert found.henrici == pytest.approx(10, rel=1e-14)
    assert found.numerical_radius == pytest.approx(5.9, rel=1e-12)
    assert found.kreiss == pytest.approx(25.01, abs=1e-9)
    assert found.spectral_radius == 0.9
    assert found.eigenvector_condition > 1e15  # defective
    assert found.eigenvalues.tolist() == [0.9, 0.9]


@pytest.mark.parametrize("lag", [0, 1, 9, 62, 63, 1000, 10**6])
def test_a_defective_matrix_has_a_closed_form(lag: int) -> None:
    """[[a, b], [0, a]]^k = a^k [[1, kb/a], [0, 1]], whose norm is (s + √(s² + 4)) / 2 with s = kb/a."""
    s = lag * 10 / 0.9
    expected = lag * math.log(0.9) + math.log((s + math.sqrt(s**2 + 4)) / 2)
    assert power_norms(JORDAN, [lag])[0].item() == pytest.approx(expected, abs=1e-12 * max(1, lag))
    frobenius = lag * math.log(0.9) + 0.5 * math.log(2 + s**2)
    assert power_norms(JORDAN, [lag], norm="frobenius")[0].item() == pytest.approx(frobenius, abs=1e-12 * max(1, lag))


@pytest.mark.parametrize("lag", [1, 2, 3, 7, 10, 63, 1000])
@pytest.mark.parametrize("departure", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("radius", [0.3, 1.0, 1.7])
def test_against_multiprecision(lag: int, departure: float, radius: float) -> None:
    """Random matrices, also with ill-conditioned eigenvectors: eigenvalues move by κ ε, and logarithms by k κ ε."""
    for seed in range(2):
        matrix = drawn(6, radius, seed, departure)
        condition = np.linalg.cond(np.linalg.eig(matrix)[1])
        found = power_norms(torch.from_numpy(matrix), [lag])[0].item()
        assert found == pytest.approx(exact(matrix, lag), abs=1e-14 * lag * max(10, condition))


def test_short_lags_of_an_ill_conditioned_matrix_are_exact() -> None:
    """κ(V) = 1e10: V Λ^k V⁻¹ would be wrong from the seventh digit on."""
    matrix = ill_conditioned()
    found = power_norms(matrix, [1, 3, 10])
    expected = [exact(matrix, lag) for lag in (1, 3, 10)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    values, vectors = np.linalg.eig(matrix)
    assert np.linalg.cond(vectors) > 1e9
    other = math.log(np.linalg.norm(vectors @ np.diag(values**10) @ np.linalg.inv(vectors), 2))
    assert abs(other - expected[2]) > 1e-9


def ill_conditioned() -> np.ndarray:
    generator = np.random.default_rng(0)
    above = 8 * np.triu(generator.normal(size=(6, 6)), 1)
    basis = orthogonal(6, 1)
    return basis @ (above + np.diag(np.linspace(0.8, 0.9, 6))) @ basis.T


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_orthogonal_matrices(size: int) -> None:
    """Norm 1 at any lag; normal in every number."""
    matrix = orthogonal(size)
    for lag, log in zip(lags := [0, 1, 10, 1000, 10**6], power_norms(matrix, lags), strict=True):
        assert abs(log.item()) <= 1e-12 * max(1, lag)
    found = normality(matrix)
    assert found.kreiss == 1 and found.eigenvector_condition == 1
    assert found.henrici < 1e-13 * size
    assert found.numerical_radius == pytest.approx(1, rel=1e-4)
    assert found.numerical_radius <= 1 + 1e-14
    assert found.peak == pytest.approx(1, abs=1e-12)
    assert (found.peak_lag, found.first_below_one) == (1, None)


@pytest.mark.parametrize("off", [-1e-15, 0.0, 1e-15, 5e-15])
def test_a_radius_of_one_is_one_up_to_rounding(off: float) -> None:
    """What another processor rounds otherwise does not make bounded powers unbounded."""
    found = normality(orthogonal(7) * (1 + off))
    assert (found.kreiss, found.peak_lag) == (1, 1)
    assert found.peak == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_normal_matrices(seed: int) -> None:
    """Rotations, scaled, in a random basis: Henrici 0, K 1, w = ρ = σ_1, and powers ρ^k."""
    generator, basis = np.random.default_rng(seed), orthogonal(7, seed)
    angles, scales = generator.uniform(0, np.pi, 3), generator.uniform(0.3, 0.95, 3)
    blocks = [
        r * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a, r in zip(angles, scales, strict=True)
    ]
    matrix = basis @ block_diag(*blocks, [[0.5]]) @ basis.T
    found, radius = normality(matrix), max(0.5, scales.max())
    assert found.henrici < 1e-13 and found.kreiss == 1 and found.eigenvector_condition == 1
    for number in (found.numerical_radius, found.spectral_radius, found.largest_singular_value, found.peak):
        assert number == pytest.approx(radius, rel=1e-12)
    assert (found.peak_lag, found.first_below_one) == (1, 1)
    np.testing.assert_allclose(power_norms(matrix, [1, 5, 400]), np.log(radius) * np.array([1, 5, 400]), rtol=1e-12)


def test_henrici_does_not_cancel() -> None:
    """√(‖D‖_F² − Σ|λ|²) of a matrix this near to normal would have no correct digit."""
    matrix = np.array([[0.5, 1e-10], [0.0, 0.5]])
    assert normality(matrix).henrici == pytest.approx(1e-10, rel=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(2, 8),
    radius=st.floats(0.2, 0.99),
    departure=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    seed=st.integers(0, 10**6),
)
def test_bounds(size: int, radius: float, departure: float, seed: int) -> None:
    """K ≤ sup ‖D^k‖ ≤ e n K, ‖D^k‖ ≤ 2 w^k, ‖D^k‖ ≤ κ(V) ρ^k, ρ^k ≤ ‖D^k‖, ρ ≤ w ≤ σ_1 ≤ 2 w; the peak by force."""
    matrix = drawn(size, radius, seed, departure)
    found, lags = normality(matrix), np.arange(1, 300)
    logs = power_norms(matrix, lags).numpy()
    top = max(1.0, found.peak)
    assert 1 <= found.kreiss <= top * (1 + 1e-9) and top <= math.e * size * found.kreiss
    assert (logs <= math.log(2) + lags * math.log(found.numerical_radius) + 1e-9).all()
    assert (logs >= lags * math.log(found.spectral_radius) - 1e-9).all()
    if found.eigenvector_condition < 1e6:  # else it knows other eigenvalues than the powers have
        assert (logs <= math.log(found.eigenvector_condition) + lags * math.log(found.spectral_radius) + 1e-6).all()
    ordered = (found.spectral_radius, found.numerical_radius, found.largest_singular_value, 2 * found.numerical_radius)
    assert all(low <= high * (1 + 1e-9) for low, high in pairwise(ordered))
    if found.first_below_one is not None and found.first_below_one < 300:
        assert math.log(found.peak) == pytest.approx(logs.max(), abs=1e-9)
        assert found.peak_lag == pytest.approx(1 + int(np.argmax(logs >= logs.max() - 1e-9)))
        assert found.first_below_one == 1 + int(np.argmax(logs < 0))


@settings(max_examples=15, deadline=None)
@given(size=st.integers(2, 6), departure=st.sampled_from([0.0, 1.0, 10.0]), seed=st.integers(0, 10**6))
def test_maxima_by_force(size: int, departure: float, seed: int) -> None:
    """The Kreiss constant and the numerical radius are no less than on a fine grid, and not above it by much."""
    matrix = drawn(size, 0.9, seed, departure)
    angles, radii = np.linspace(0, np.pi, 121), 1 + np.geomspace(1e-3, 100, 120)
    points = radii[:, None] * np.exp(1j * angles)
    smallest = np.linalg.svd(points[..., None, None] * np.eye(size) - matrix, compute_uv=False)[..., -1]
    kreiss = max(1.0, ((radii[:, None] - 1) / smallest).max())
    found = normality(matrix)
    assert kreiss * (1 - 1e-9) <= found.kreiss <= kreiss * 1.05
    turned = np.exp(1j * np.linspace(0, np.pi, 1001))[:, None, None] * matrix
    radius = np.linalg.eigvalsh((turned + turned.conj().transpose(0, 2, 1)) / 2)[:, -1].max()
    assert radius * (1 - 1e-12) <= found.numerical_radius <= radius * (1 + 1e-5)


def test_gelfand() -> None:
    """‖D^k‖^{1/k} → ρ, from above."""
    matrix = drawn(20, 1.3, 0)
    logs = power_norms(matrix, [10, 1000, 10**5, 10**6])
    slopes = logs / torch.tensor([10, 1000, 10**5, 10**6])
    assert (slopes >= math.log(1.3) - 1e-12).all() and (slopes.diff() <= 1e-12).all()
    assert slopes[-1].item() == pytest.approx(math.log(1.3), abs=1e-5)


def growth(found: Normality) -> tuple[Any, ...]:
    return found.kreiss, found.peak, found.peak_lag, found.first_below_one


def test_unstable_and_marginal_matrices() -> None:
    """ρ > 1 and a defective ρ = 1 grow without bound; a projection does not, and its K and peak are its norm."""
    unbounded = (math.inf, math.inf, None, None)
    assert growth(normality(np.diag([1.01, 0.2]))) == unbounded
    assert growth(normality(np.array([[1.0, 1.0], [0.0, 1.0]]))) == unbounded
    basis = np.array([[2.0, 1.0], [1.0, 1.0]])
    assert growth(normality(basis @ np.array([[1.0, 1.0], [0.0, 1.0]]) @ np.linalg.inv(basis))) == unbounded
    projection = normality(np.array([[1.0, 3.0], [0.0, 0.0]]))
    assert projection.peak == pytest.approx(math.sqrt(10), rel=1e-12)
    assert projection.kreiss == pytest.approx(math.sqrt(10), rel=1e-6)
    assert (projection.peak_lag, projection.first_below_one) == (1, None)
    chain = np.random.default_rng(0).uniform(size=(5, 5))  # stochastic: its powers go to 1 πᵀ
    assert normality(chain / chain.sum(1, keepdims=True)).first_below_one is None


@pytest.mark.parametrize("radius", [0.9999, 1 - 1e-7])
def test_peaks_beyond_the_lags_that_are_walked_through(radius: float) -> None:
    """k a^{k−1} peaks at −1/ln a, thousands and millions of steps away."""
    found = normality(np.array([[radius, 1.0], [0.0, radius]]))
    assert found.peak_lag == pytest.approx(-1 / math.log(radius), rel=1e-4)
    assert found.peak == pytest.approx(1 / (math.e * (1 - radius)), rel=1e-3)
    k = found.first_below_one
    below, above = power_norms(np.array([[radius, 1.0], [0.0, radius]]), [k, k - 1])
    assert below < 0 <= above


def test_powers_that_vanish() -> None:
    """Nilpotent matrices are 0 from some lag on; the zero matrix at once."""
    shift = np.diag([2.0, 2.0], 1)
    assert power_norms(shift, [0, 1, 2, 3, 10**6]).tolist() == pytest.approx(
        [0.0, math.log(2), math.log(4), -math.inf, -math.inf], abs=1e-15
    )
    found = normality(shift)
    assert (found.peak, found.peak_lag, found.first_below_one) == (pytest.approx(4), 2, 3)
    assert growth(normality(np.zeros((3, 3)))) == (1, 0, 1, 1)
    assert power_norms(np.zeros((3, 3)), [0, 1]).tolist() == [pytest.approx(0, abs=1e-15), -math.inf]


def test_huge_departures_from_normality() -> None:
    """A Kreiss constant of 1e10 and one of 1e36 obey their bounds; where float64 ends, it is said."""
    for above, size in ((1.0, 40), (5.0, 40)):
        matrix = 0.5 * np.eye(size) + above * np.eye(size, k=1)
        found = normality(matrix)
        assert found.kreiss <= found.peak <= math.e * size * found.kreiss
        assert math.log(found.peak) == pytest.approx(exact(matrix, found.peak_lag), abs=1e-9)
    with pytest.raises(ValueError, match="more than 1e290"):
        normality(0.5 * np.eye(128) + 100 * np.eye(128, k=1))
    with pytest.raises(ValueError, match="more than 1e290"):
        power_norms(0.5 * np.eye(128) + 100 * np.eye(128, k=1), [5000])


def test_lags_in_any_order_and_container() -> None:
    """The answer stands in the order of the question."""
    matrix, lags = drawn(4, 0.9, 0), [7, 1, 7, 0, 300]
    expected = [power_norms(matrix, [lag])[0].item() for lag in lags]
    for container in (lags, tuple(lags), np.array(lags), torch.tensor(lags)):
        np.testing.assert_allclose(power_norms(matrix, container), expected, rtol=1e-12, atol=1e-14)
    assert power_norms(matrix, []).shape == (0,)
    assert power_norms(torch.tensor(matrix, dtype=torch.float32, requires_grad=True), [1]).dtype == torch.float64


def test_the_matrix_stays_as_it_is() -> None:
    """Neither the values nor torch's random state change."""
    matrix, state = torch.from_numpy(drawn(5, 0.9, 0)), torch.random.get_rng_state()
    before = matrix.clone()
    normality(matrix)
    power_norms(matrix, [1, 2, 3])
    assert torch.equal(matrix, before) and torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("measure", [normality, lambda matrix: power_norms(matrix, [1])])
@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\), expected \(n, n\)"),
        (np.zeros((0, 0)), r"shape \(0, 0\)"),
        (torch.zeros(4, 2, 2), r"shape \(4, 2, 2\)"),
        (np.array([[1.0, math.nan], [math.inf, 0.0]]), "2 values that are not finite"),
        (np.eye(2) * 1j, "complex128, expected real"),
    ],
)
def test_errors(measure: Any, matrix: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measure(matrix)


@pytest.mark.parametrize("lags", [[-1], [1.0], 3, [[1]], [True]])
def test_bad_lags(lags: Any) -> None:
    with pytest.raises(ValueError, match="lags must be"):
        power_norms(np.eye(2), lags)
    with pytest.raises(ValueError, match="norm must be one of"):
        power_norms(np.eye(2), [1], norm="nuclear")


def test_time() -> None:
    """n = 128 with twenty lags up to a million: about 20 ms on one core, and never a second."""
    matrix, lags = drawn(128, 0.98, 0), np.unique(np.geomspace(1, 10**6, 20).astype(int))
    start = time.perf_counter()
    power_norms(matrix, lags)
    assert time.perf_counter() - start < 1

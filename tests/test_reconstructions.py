"""Divergences of generated trajectories: closed forms, brute force, known floors, and the right order of models."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from seqdyn.flow import Flow, FlowState
from seqdyn.metrics import Divergence, power_spectrum_error, state_space_divergence
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.rossler import Rossler
from seqdyn.systems.simulate import simulate

Array = np.ndarray[Any, Any]
Score = Callable[..., Divergence]

SCORES: list[Score] = [state_space_divergence, power_spectrum_error]
STEPS = 5000


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def run(system: Flow, steps: int, starts: int = 1) -> Array:
    """Trajectories on the attractor, (starts, steps, 3)."""
    start = torch.from_numpy(normal(starts, 3, seed=5))
    return simulate(system.double(), steps, FlowState(start), discard=2000).numpy()


@pytest.fixture(scope="module")
def rossler() -> Array:
    """Independent trajectories, (8, 20000, 3)."""
    return run(Rossler(dt=0.1), 20_000, starts=8)


@pytest.fixture(scope="module")
def strangers() -> list[Array]:
    """Trajectories of other parameters, and of another system."""
    return [run(system, STEPS)[0] for system in (Rossler(c=4.0, dt=0.1), Lorenz(dt=0.02))]


def histogram_divergence(y: Array, z: Array, bins: int) -> float:
    """All boxes counted and smoothed, also the empty ones, with numpy."""
    sigma, low, high = y.std(axis=0, ddof=1), y.min(axis=0), y.max(axis=0)
    edges = [np.linspace(low[i] - 0.1 * sigma[i], high[i] + 0.1 * sigma[i], bins + 1) for i in range(y.shape[1])]
    p, q = (np.histogramdd(one, edges)[0].ravel() + 1e-5 for one in (y, z))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


# --- the places that are visited ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_bins_of_two_normals(shift: float) -> None:
    """KL(N(0, 1) ‖ N(μ, 1)) = μ²/2; the error of 10 000 points and 30 bins is about a twentieth."""
    found = state_space_divergence(normal(10_000), normal(10_000, seed=1) + shift, method="bins")
    assert found.value == pytest.approx(shift**2 / 2, rel=0.12)


@pytest.mark.parametrize(("shift", "variance"), [(1.0, 1.0), (2.0, 1.0), (2.0, 0.5)])
def test_the_mixture_of_two_normals(shift: float, variance: float) -> None:
    """Both are widened to 1 + σ²: μ² / (2 (1 + σ²)), within four errors of the 1 000 draws and 20 000 points."""
    found = state_space_divergence(normal(10_000), normal(10_000, seed=1) + shift, method="mixture", variance=variance)
    wide = 1 + variance
    drawn = shift / np.sqrt(wide) / np.sqrt(1000)  # ln p − ln q of one draw has the variance μ² / (1 + σ²)
    means = shift / wide * np.sqrt(2 / 10_000)  # the means of both samples are not quite 0 and μ
    assert found.value == pytest.approx(shift**2 / (2 * wide), abs=4 * np.hypot(drawn, means))


def test_the_mixture_in_many_dimensions() -> None:
    """The squared distance of the means adds up over outputs."""
    shift = np.linspace(0, 1, 7)
    found = state_space_divergence(normal(10_000, 7), normal(10_000, 7, seed=1) + shift, variance=4.0)
    apart = shift @ shift / 5
    error = np.hypot(np.sqrt(apart / 1000), np.sqrt(apart) * np.sqrt(2 / 10_000 / 5))
    assert found.value == pytest.approx(apart / 2, abs=4 * error + 0.02)


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_bins_against_a_whole_histogram(outputs: int) -> None:
    y, z = normal(3000, outputs), 1.3 * normal(3000, outputs, seed=1) + 0.3
    found = state_space_divergence(y, z, bins=12)
    assert found.value == pytest.approx(histogram_divergence(y, z, 12))
    assert found.outside > 0


def test_the_mixture_against_its_definition() -> None:
    """The same draws, one density after the other."""
    y, z = normal(50, 2), normal(50, 2, seed=1) + 1
    generator = np.random.default_rng(7)
    noise = np.sqrt(0.5) * generator.standard_normal((1000, 2))
    drawn = y[generator.integers(50, size=1000)] + noise

    def density(points: Array) -> Array:
        return np.exp(-((drawn[:, None] - points) ** 2).sum(axis=2) / 2 / 0.5).mean(axis=1)

    found = state_space_divergence(y, z, method="mixture", variance=0.5, seed=7)
    assert found.value == pytest.approx(np.mean(np.log(density(y) / density(z))))


@pytest.mark.parametrize(("outputs", "floor", "spread"), [(1, 0.005, 0.002), (2, 0.152, 0.014), (3, 2.19, 0.08)])
def test_the_floor_of_white_noise(outputs: int, floor: float, spread: float) -> None:
    """Two samples of 10 000 from one distribution are apart, the farther the more boxes; measured over 20 pairs."""
    found = [
        state_space_divergence(normal(20_000, outputs, seed=seed), normal(10_000, outputs, seed=100 + seed))
        for seed in range(5)
    ]
    floors, values = [one.floor for one in found], [one.value for one in found]
    assert np.mean(floors) == pytest.approx(floor, abs=4 * spread / np.sqrt(5))
    assert np.mean(values) == pytest.approx(floor, abs=4 * spread / np.sqrt(5))


@pytest.mark.parametrize(("steps", "floor"), [(1000, 3.17), (5000, 0.74), (20_000, 0.14)])
def test_the_floor_of_a_chaotic_system_falls_with_its_length(rossler: Array, steps: int, floor: float) -> None:
    """The numbers of one pair of trajectories; a quarter is the spread between pairs."""
    y = rossler[:, :steps]
    found = [state_space_divergence(y[i], y[i], other=y[i + 1]).floor for i in range(0, 8, 2)]
    assert np.mean(found) == pytest.approx(floor, rel=0.5)


def test_counts_of_more_than_sixteen_bits() -> None:
    """100 000 points in one box, and one in another."""
    y, z = np.zeros(100_001), np.zeros(100_001)
    y[0], z[:50_001] = 1.0, 1.0
    assert state_space_divergence(y, z, bins=2).value == pytest.approx(np.log(2), abs=2e-4)


def test_five_outputs_need_no_memory_for_all_boxes() -> None:
    """30^5 boxes of eight bytes would be 194 megabytes."""
    y, z = normal(2000, 5), normal(2000, 5, seed=1)
    tracemalloc.start()
    found = state_space_divergence(y, z)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()
    assert 0 < found.value < np.inf


def test_what_is_outside_is_left_out_and_reported(rossler: Array) -> None:
    """A run that leaves for good half-way hardly scores worse: its outside share tells."""
    y, half = rossler[0, :STEPS], rossler[1, :STEPS].copy()
    half[STEPS // 2 :] = 1e6
    found = state_space_divergence(y, half, other=rossler[1, :STEPS])
    assert found.outside == 0.5
    assert found.value == pytest.approx(histogram_divergence(y, half[: STEPS // 2], 30))
    assert found.floor < found.value < 2 * found.floor


@pytest.mark.parametrize("lost", [np.nan, np.inf, 1e200], ids=str)
@pytest.mark.parametrize("method", ["bins", "mixture"])
def test_nothing_inside_is_infinitely_far(lost: float, method: str) -> None:
    found = state_space_divergence(normal(100, 2), np.full((100, 2), lost), method=method)
    assert (found.value, found.outside) == (np.inf, 1.0)


def test_the_mixture_tells_how_far_away_a_run_is() -> None:
    """ln p − ln q is kept where q underflows, so that far is farther than near."""
    y = normal(1000)
    near, far = (state_space_divergence(y, y + shift, method="mixture").value for shift in (20.0, 1000.0))
    assert 50 < near < far / 1000 < np.inf


def test_the_edge_of_the_box_is_inside() -> None:
    """0, 1, 2 have the standard deviation 1 with T − 1: the box is [−0.1, 2.1]."""
    y = [0.0, 1.0, 2.0]
    assert state_space_divergence(y, [-0.1, 2.09, 2.1]).outside == 0
    assert state_space_divergence(y, [-0.11, 1.0, 2.11]).outside == pytest.approx(2 / 3)


def test_the_mixture_leaves_out_what_is_not_finite() -> None:
    """What is left weighs as much as all: the same points half as often are the same distribution."""
    half = normal(200, 2)
    y, generated = np.tile(half, (2, 1)), np.concatenate([half, np.full((200, 2), np.nan)])
    found = state_space_divergence(y, generated, method="mixture")
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.outside == 0.5


def test_the_mixture_reads_the_first_ten_thousand_points() -> None:
    y = normal(10_100)
    late, last = y.copy(), y.copy()
    late[10_000:], last[9_999:] = 100.0, 100.0
    assert state_space_divergence(y, late, method="mixture").value == 0
    assert state_space_divergence(y, last, method="mixture").value != 0


def test_bins_up_to_five_outputs_the_mixture_beyond() -> None:
    y, z = normal(500, 6), normal(500, 6, seed=1)
    assert state_space_divergence(y, z).value == state_space_divergence(y, z, method="mixture").value
    few = [state_space_divergence(y[:, :5], z[:, :5], method=method).value for method in ("auto", "bins", "mixture")]
    assert few[0] == few[1] != few[2]


def test_the_seed_is_that_of_the_draws() -> None:
    y, z = normal(500), normal(500, seed=1) + 1
    values = [state_space_divergence(y, z, method="mixture", seed=seed).value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


# --- the frequencies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 0.0), (1.01, 0.06), (1.1, 0.42), (2.0, 1.0)])
def test_a_tone_that_is_shifted(factor: float, expected: float) -> None:
    turn = 2 * np.pi * 250 * np.arange(5000) / 5000
    found = power_spectrum_error(np.sin(turn), np.sin(factor * turn))
    assert found.value == pytest.approx(expected, abs=0.005)


def test_two_tones_are_as_far_apart_as_two_gaussians() -> None:
    """Lines smoothed by s and δ bins apart: H² = 1 − exp(−δ² / 8 s²)."""
    turn = 2 * np.pi * np.arange(10_000) / 10_000
    found = power_spectrum_error(np.sin(1000 * turn), np.sin(1060 * turn), smoothing=30)
    assert found.value == pytest.approx(np.sqrt(1 - np.exp(-(60**2) / 8 / 30**2)), abs=2e-3)


def test_spectra_against_their_definition() -> None:
    y, z = normal(999, 2).cumsum(axis=0), normal(999, 2, seed=1).cumsum(axis=0)
    expected = []
    for i in range(2):
        shares = []
        for one in (y[:, i], z[:, i]):
            power = gaussian_filter1d(np.abs(np.fft.rfft((one - one.mean()) / one.std())) ** 2, 20)
            shares.append(power / power.sum())
        expected.append(np.sqrt(1 - np.sum(np.sqrt(shares[0] * shares[1]))))
    assert power_spectrum_error(y, z).value == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(("smoothing", "floor"), [(20.0, 0.06), (0.0, 0.46)])
def test_the_spectral_floor_of_white_noise(smoothing: float, floor: float) -> None:
    """Without smoothing two runs of one noise are far apart: 10 000 samples."""
    found = power_spectrum_error(normal(20_000), normal(10_000, seed=1), smoothing=smoothing)
    assert found.floor == pytest.approx(floor, abs=0.01)
    assert found.value == pytest.approx(floor, abs=0.01)


def test_level_and_amplitude_do_not_matter() -> None:
    y = normal(1000, 2)
    assert power_spectrum_error(y, 1e3 * y + [5.0, -7.0]).value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("lost", [np.nan, np.inf, 3.0, 0.0], ids=str)
def test_what_does_not_move_or_is_not_finite_shares_nothing(lost: float) -> None:
    y = normal(400, 2)
    generated = y.copy()
    generated[:, 1] = lost
    assert power_spectrum_error(y, generated).value == pytest.approx(0.5, abs=1e-9)


def test_a_run_near_the_largest_number_has_a_spectrum() -> None:
    y = normal(400)
    assert power_spectrum_error(y, 1e307 * y / np.abs(y).max()).value == pytest.approx(0, abs=1e-6)


# --- both --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_nothing_is_nearer_than_the_same(score: Score, rossler: Array) -> None:
    found = score(rossler[0, :STEPS], rossler[0, :STEPS])
    assert found.value == 0
    assert found.outside == 0


def test_the_mixture_of_the_same_is_zero() -> None:
    assert state_space_divergence(normal(300, 7), normal(300, 7)).value == 0


@pytest.mark.parametrize("score", SCORES)
def test_the_right_order_of_models(score: Score, rossler: Array, strangers: list[Array]) -> None:
    """The same system is where the floors are; other parameters are farther, another system farther still."""
    y = rossler[0, :STEPS]
    floors = [score(y, y, other=other[:STEPS]).floor for other in rossler[2:]]
    values = [score(y, one).value for one in (rossler[1, :STEPS], *strangers)]
    assert values[0] < 1.5 * max(floors)
    assert 2 * max(floors) < values[1] < values[2] / 1.1


def test_places_know_no_order_and_spectra_do(rossler: Array) -> None:
    """Shuffled in time, a trajectory keeps its places and loses its frequencies."""
    y, other = rossler[0, :STEPS], rossler[1, :STEPS]
    shuffled = np.random.default_rng(0).permutation(other)
    places, frequencies = (score(y, shuffled, other=other) for score in SCORES)
    assert places.value == pytest.approx(places.floor)
    assert frequencies.value > 0.5 > 20 * frequencies.floor


@pytest.mark.parametrize("score", SCORES)
def test_the_floor_is_that_of_the_last_steps(score: Score) -> None:
    """y of 2 T steps or more: the first T are compared, the last T are the second piece."""
    y, generated = normal(2500, 2), normal(1000, 2, seed=1)
    found = score(y, generated)
    assert found == score(y[:1000], generated, other=y[-1000:])
    assert found.floor == score(y[:1000], y[-1000:]).value
    assert np.isnan(score(y[:1000], generated).floor)


@pytest.mark.parametrize("score", SCORES)
def test_nobody_is_changed_and_nothing_global(score: Score) -> None:
    y, z = normal(500, 2), normal(500, 2, seed=1)
    before, state = (y.copy(), z.copy()), np.random.get_state()[1].copy()  # noqa: NPY002
    score(y, z, other=z)
    assert (y == before[0]).all() and (z == before[1]).all()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_a_short_text() -> None:
    found = state_space_divergence(normal(200), normal(100, seed=1))
    assert repr(found) == f"Divergence(value={found.value:.4g}, floor={found.floor:.4g}, outside={found.outside:.4g})"


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("y", "generated", "other", "message"),
    [
        (normal(150), normal(100), None, "y has 150 steps and generated 100.*give 100 steps of y, or at least 200"),
        (normal(90), normal(100), None, "y has 90 steps and generated 100"),
        (normal(200), normal(100), normal(100), "y has 200 steps and generated 100"),
        (normal(100), normal(100), normal(90), r"other has the shape \(90, 1\), y \(100, 1\)"),
        (normal(100, 2), normal(100, 3), None, r"generated has the shape \(100, 3\), y \(100, 2\)"),
        (normal(2, 100, 2), normal(100, 2), None, r"y has the shape \(2, 100, 2\), expected \(time, outputs\)"),
        (normal(9), normal(0, 1), None, r"generated has the shape \(0, 1\)"),
        (normal(9), normal(1), None, "a distribution needs many"),
        ([0.0, np.nan, 1.0], normal(3), None, "y is nan in output 0, at step 1 of the 3 that are compared"),
        (normal(3), normal(3), [0.0, 1.0, np.inf], "other is inf in output 0, at step 2"),
        (np.c_[normal(50), np.full(50, 0.1)], normal(50, 2), None, "Output 1 of .* never changes"),
    ],
)
def test_bad_trajectories(score: Score, y: Any, generated: Any, other: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(y, generated, other=other)


@pytest.mark.parametrize(
    ("outputs", "options", "message"),
    [
        (6, {"method": "bins"}, r"6 outputs in 30 bins each are 30\^6 boxes.*take method='mixture'"),
        (5, {"bins": 10_000}, r"10000\^5 boxes"),
        (1, {"bins": 1}, "bins must be an int of at least 2, got 1"),
        (1, {"method": "kde"}, "method must be one of 'auto', 'bins', 'mixture', got 'kde'"),
        (1, {"method": "mixture", "variance": 0.0}, "variance must be a positive number, got 0.0"),
    ],
)
def test_bad_options(outputs: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        state_space_divergence(normal(20, outputs), normal(20, outputs), **options)


@pytest.mark.parametrize("smoothing", [-1.0, np.nan, "20"])
def test_bad_smoothing(smoothing: Any) -> None:
    with pytest.raises(ValueError, match="smoothing must be a number of frequency bins of at least 0"):
        power_spectrum_error(normal(20), normal(20), smoothing=smoothing)

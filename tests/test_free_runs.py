"""Valid prediction times against brute force, the law of growing errors, and forecasters whose times are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqdyn.flow import FlowState
from seqdyn.metrics import ValidPredictionTime, valid_prediction_time
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.simulate import simulate

Array = np.ndarray[Any, Any]

EXPONENT = 0.9056
DT = 0.025


@pytest.fixture(scope="module")
def lorenz() -> Array:
    """Trajectories on the attractor, (10, time, 3)."""
    return run(np.random.default_rng(0).normal(size=(10, 3)) + 1, 1600, discard=400)


def run(start: Array, steps: int, discard: int = 0) -> Array:
    """The Lorenz system from (starts, 3), four steps of Runge–Kutta a sample: (starts, steps, 3)."""
    fine = simulate(Lorenz(dt=DT / 4).double(), 4 * steps, FlowState(torch.from_numpy(start)), discard=4 * discard)
    return fine[:, 3::4].numpy()


def windows(trajectories: Array, steps: int) -> tuple[Array, Array]:
    """50 starts, each with the two samples that a run begins from, (50, 2, 3), and the truth after them."""
    at = np.linspace(0, trajectories.shape[1] - steps - 2, 5).astype(int)
    cut = np.concatenate([trajectories[:, one : one + 2 + steps] for one in at])
    return cut[:, :2], cut[:, 2:]


def deviations(trajectories: Array) -> Array:
    return trajectories.std(axis=(0, 1))


# --- laws and oracles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["rms", "smape"])
def test_against_a_loop(norm: str) -> None:
    """One number after the other, as the definition says."""
    generator = np.random.default_rng(0)
    y = generator.normal(size=(20, 30, 2))
    z = y * (1 + generator.normal(size=y.shape) * np.linspace(0, 1, 30)[:, None])
    sigma, threshold = np.array([0.5, 2.0]), 0.4 if norm == "rms" else 30.0
    expected = []
    for truth, forecast in zip(y, z, strict=True):
        steps = 0
        for a, b in zip(truth, forecast, strict=True):
            rms = float(np.sqrt(sum(((a[i] - b[i]) / sigma[i]) ** 2 for i in range(2)) / 2))
            smape = float(100 * sum(2 * abs(a[i] - b[i]) / (abs(a[i]) + abs(b[i])) for i in range(2)) / 2)
            if (rms if norm == "rms" else smape) > threshold:
                break
            steps += 1
        expected.append(0.3 * 0.1 * steps)
    found = valid_prediction_time(y, z, exponent=0.3, dt=0.1, scale=sigma if norm == "rms" else None, norm=norm)
    assert found.times == pytest.approx(expected)
    assert len(set(expected)) > 5


def test_a_perfect_model_reaches_the_horizon(lorenz: Array) -> None:
    start, truth = windows(lorenz, 80)
    found = valid_prediction_time(truth, run(start[:, 1], 80), exponent=EXPONENT, dt=DT, scale=deviations(lorenz))
    assert found.times == pytest.approx(np.full(50, EXPONENT * DT * 80))
    assert found.horizon == pytest.approx(EXPONENT * DT * 80)


@pytest.mark.parametrize(("threshold", "norm"), [(0.4, "rms"), (0.5, "rms"), (30.0, "smape")])
def test_persistence_is_soon_wrong(lorenz: Array, threshold: float, norm: str) -> None:
    start, truth = windows(lorenz, 80)
    still = np.broadcast_to(start[:, 1:], truth.shape)
    scale = deviations(lorenz) if norm == "rms" else None
    found = valid_prediction_time(truth, still, exponent=EXPONENT, dt=DT, threshold=threshold, scale=scale, norm=norm)
    assert 0.02 < found.median < 0.2
    assert found.share_above(1) == 0


def test_a_smaller_first_error_buys_its_logarithm(lorenz: Array) -> None:
    """Errors grow by a factor e in a Lyapunov time: 100 times smaller ones are seen ln 100 = 4.6 later."""
    start, truth = windows(lorenz, 900)
    now, scale = start[:, 1], deviations(lorenz)
    direction = np.random.default_rng(1).normal(size=now.shape)
    times = [
        valid_prediction_time(truth, run(now + size * direction, 900), exponent=EXPONENT, dt=DT, scale=scale).times
        for size in (1e-4, 1e-6)
    ]
    later = times[1] - times[0]
    error = later.std() / np.sqrt(len(later))
    assert later.mean() == pytest.approx(np.log(100), abs=4 * error)
    assert error < 0.5


def test_the_smallest_one_step_error_is_not_the_best_run(lorenz: Array) -> None:
    """Next-generation reservoirs of 400 points: with a weak ridge they blow up, with a strong one not."""
    start, truth = windows(lorenz[:, 500:], 300)
    found = {}
    for ridge in (2.5e-6, 1.0):
        forecast = nonlinear_autoregression(lorenz[0, :400], ridge, start, 300)
        found[ridge] = valid_prediction_time(
            truth, forecast, exponent=EXPONENT, dt=DT, threshold=0.5, scale=deviations(lorenz)
        )
        blown = ~np.isfinite(forecast[:, -1]).all(axis=1) | (np.abs(forecast[:, -1]).max(axis=1) > 1e3)
        assert blown.mean() > 0.9 if ridge < 1e-3 else blown.mean() == 0
    assert found[2.5e-6].median < 0.4
    assert 2.5 < found[1.0].median < 5.5
    assert found[1.0].share_above(1) > 0.9


def nonlinear_autoregression(trajectory: Array, ridge: float, start: Array, steps: int) -> Array:
    """x_{t+1} − x_t from all monomials up to degree two of (x_t, x_{t−1}), in closed loop: (starts, steps, 3)."""
    i, j = np.triu_indices(6)

    def features(now: Array, before: Array) -> Array:
        both = np.hstack([now, before])
        return np.hstack([np.ones((len(both), 1)), both, both[:, i] * both[:, j]])

    x = features(trajectory[1:-1], trajectory[:-2])
    augmented = np.vstack([x, np.sqrt(ridge) * np.eye(x.shape[1])])
    change = np.vstack([np.diff(trajectory[1:], axis=0), np.zeros((x.shape[1], 3))])
    weights = np.linalg.lstsq(augmented, change, rcond=None)[0]
    (before, now), found = start.transpose(1, 0, 2), []
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            before, now = now, now + features(now, before) @ weights
            found.append(now)
    return np.stack(found, axis=1)


# --- conventions -------------------------------------------------------------------------------------------------


def test_being_close_again_does_not_count() -> None:
    found = valid_prediction_time([0.0, 0.0, 0.0, 0.0], [0.0, 9.0, 0.0, 0.0], exponent=1, dt=1, scale=1)
    assert found.times.tolist() == [1.0]


def test_an_error_as_large_as_the_threshold_is_valid() -> None:
    found = valid_prediction_time([0.0, 0.0], [0.5, 0.5 + 1e-9], exponent=1, dt=1, scale=1, threshold=0.5)
    assert found.times.tolist() == [1.0]


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 1e308], ids=str)
@pytest.mark.parametrize("norm", ["rms", "smape"])
def test_a_run_that_blows_up_counts_with_what_it_reached(lost: float, norm: str) -> None:
    y = np.ones((3, 6, 2))
    predicted = y.copy()
    predicted[1, 4:] = lost
    predicted[2, 0, 1] = lost
    scale = 1e-3 if norm == "rms" else None
    found = valid_prediction_time(y, predicted, exponent=1, dt=0.5, scale=scale, norm=norm)
    assert found.times.tolist() == [3.0, 2.0, 0.0]


def test_nothing_wrong_about_zero_for_the_percentage() -> None:
    found = valid_prediction_time([0.0, 0.0], [0.0, 1e-12], exponent=1, dt=1, norm="smape")
    assert found.times.tolist() == [1.0]


def test_the_unit_does_not_matter() -> None:
    """Nor does a common factor of everything that has a unit."""
    generator = np.random.default_rng(2)
    y, z = generator.normal(size=(2, 5, 40, 3))
    plain = valid_prediction_time(y, z, exponent=0.9, dt=0.1, threshold=1.5, scale=[1, 1, 1])
    unit = np.array([1, 10, 0.1])
    large = valid_prediction_time(y * unit, z * unit, exponent=9, dt=0.01, threshold=1.5, scale=unit)
    assert large.times == pytest.approx(plain.times)
    assert plain.times.max() > 0


def test_summaries() -> None:
    found = ValidPredictionTime(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), horizon=5.0)
    assert (found.median, found.quartiles) == (2.0, (1.0, 3.0))
    assert (found.share_above(1), found.share_above(0.5), found.share_above(4)) == (0.6, 0.8, 0.0)
    assert repr(found) == "ValidPredictionTime(median 2, quartiles 1 to 3, of 5 starts, horizon 5 Lyapunov times)"


# --- bad input ---------------------------------------------------------------------------------------------------


GOOD: dict[str, Any] = {"exponent": 0.9, "dt": 0.1, "scale": 1.0}


@pytest.mark.parametrize(
    ("y", "predicted", "options", "message"),
    [
        (np.zeros((4, 2)), np.zeros((5, 2)), {}, r"predicted has the shape \(5, 2\), y has \(4, 2\)"),
        (np.zeros((4, 2)), np.zeros((4, 1)), {}, "cut them to the steps they have in common"),
        (np.zeros((1, 1, 4, 2)), np.zeros((1, 1, 4, 2)), {}, "must be"),
        (np.zeros((0, 2)), np.zeros((0, 2)), {}, "not empty"),
        ([0.0, np.nan], [0.0, 0.0], {}, r"y is nan at \(1,\): the truth"),
        ([0.0, 0.0], [0.0, 0.0], {"dt": -0.1}, "dt must be a positive number, got -0.1"),
        ([0.0, 0.0], [0.0, 0.0], {"exponent": 0.0}, "exponent must be a positive number, got 0.0"),
        ([0.0, 0.0], [0.0, 0.0], {"threshold": np.nan}, "threshold must be a positive number, got nan"),
        ([0.0, 0.0], [0.0, 0.0], {"scale": None}, r"scale=trajectory.std\(axis=0\). The 2 steps of y are no such"),
        ([0.0, 0.0], [0.0, 0.0], {"scale": [1.0, 2.0]}, "for each of the 1 outputs"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"scale": [1.0, 0.0]}, "an output that does not change"),
        ([0.0, 0.0], [0.0, 0.0], {"norm": "smape"}, "takes no scale"),
        ([0.0, 0.0], [0.0, 0.0], {"norm": "max"}, "norm must be one of 'rms', 'smape', got 'max'"),
    ],
)
def test_bad_input(y: Any, predicted: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        valid_prediction_time(y, predicted, **{**GOOD, **options})


def test_no_share_beyond_the_horizon() -> None:
    found = valid_prediction_time(np.zeros(9), np.zeros(9), exponent=1, dt=0.1, scale=1)
    with pytest.raises(ValueError, match="The runs end after 0.9 Lyapunov times"):
        found.share_above(1)

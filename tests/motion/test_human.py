"""The protocol of human motion: the published figures in their true time, and what has to hold for any clip."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqdyn.datasets import SOURCES, fetch_cmu_walking
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.motion.clips import cut, halve, published_starts, separate_starts
from seqdyn.motion.continuations import NearestContinuation, RidgeAutoregression, constant_velocity, zero_velocity
from seqdyn.motion.human import euler_errors, evaluate_continuations
from seqdyn.motion.model import MotionModel
from seqdyn.motion.rotations import euler_angles

FOLDER = Path(os.environ.get("SEQDYN_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture(scope="module")
def walking() -> Any:
    """The clips of CMU, where they are."""
    if not (FOLDER / SOURCES["cmu_walking_test_1"].file).is_file():
        pytest.skip("cmu_walking is not in SEQDYN_DATA or ../shared/data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQDYN_DATA", str(FOLDER))
        return fetch_cmu_walking()


def waves(frames: int = 400, columns: int = 15, seed: int = 0) -> np.ndarray:
    phase = np.random.default_rng(seed).uniform(0, 6, columns)
    return 0.4 * np.sin(0.05 * np.arange(frames)[:, None] + phase)


def score(model: Any, clip: Any, starts: Any = published_starts) -> np.ndarray:
    frames = halve(clip)
    return evaluate_continuations({"it": model}, cut(frames, starts(len(frames)))).loc["it"].to_numpy()


# ---------------------------------------------------------------- the published figures


def test_the_windows_are_those_of_the_protocol(walking):
    assert len(halve(walking.test)) == 180
    assert published_starts(180) == [2, 102, 47, 12, 51, 33, 43, 60] and separate_starts(180) == [0, 75]


@pytest.mark.parametrize(
    ("learn", "expected"),
    [
        (lambda clips: zero_velocity, [0.407, 0.602, 0.832, 0.951, 1.085, 1.338]),
        (lambda clips: constant_velocity, [0.957, 1.839, 2.669, 3.194, 4.02, 4.75]),
        (RidgeAutoregression(20, 10, 300.0).fit, [0.338, 0.452, 0.520, 0.566, 0.585, 0.703]),
        (RidgeAutoregression(20, 10, 300.0, True).fit, [0.323, 0.439, 0.526, 0.585, 0.644, 0.747]),
        (RidgeAutoregression(10, 5, 30.0, True).fit, [0.337, 0.474, 0.609, 0.690, 0.757, 0.862]),
        (NearestContinuation(5).fit, [0.331, 0.389, 0.471, 0.542, 0.610, 0.635]),
    ],
    ids=["zero velocity", "constant velocity", "ridge", "ridge, standardised", "ridge of 10", "nearest"],
)
def test_baselines_on_walking(walking, learn, expected):
    np.testing.assert_allclose(score(learn(walking.train), walking.test), expected, atol=0.005)


def test_zero_velocity_on_windows_that_do_not_overlap(walking):
    found = score(zero_velocity, walking.test, separate_starts)
    np.testing.assert_allclose(found, [0.384, 0.661, 0.816, 0.903, 1.158, 1.280], atol=0.005)


# ---------------------------------------------------------------- any clip


def test_what_is_right_has_no_error_and_the_root_is_not_scored():
    windows = cut(waves(), [0, 10])
    futures = iter(windows.future.copy())

    def knows(past: np.ndarray) -> np.ndarray:
        future = next(futures)
        future[:, :6] += 1.0
        return future

    assert (evaluate_continuations({"knows": knows}, windows) == 0).all(axis=None)


def test_errors_are_the_norm_over_the_angles_that_move():
    """Written out, window by window; a joint that stands still is not scored, however wrong."""
    true, predicted = (np.stack([waves(30, seed=seed), waves(30, seed=seed + 1)]) for seed in (1, 5))
    true[:, :, 9:12] = 0.2
    expected = np.empty((2, 30))
    for window in range(2):
        for frame in range(30):
            joints = [slice(6, 9), slice(12, 15)]
            gaps = [euler_angles(predicted[window, frame, j]) - euler_angles(true[window, frame, j]) for j in joints]
            expected[window, frame] = np.linalg.norm(np.concatenate(gaps))
    np.testing.assert_allclose(euler_errors(predicted, true), expected, rtol=1e-12)


def test_windows_are_pieces_of_the_clip_and_halves_make_the_whole():
    clip = waves(301)
    assert np.array_equal(halve(pd.DataFrame(clip), 1), clip[1::2]) and np.array_equal(halve(clip), clip[::2])
    past, future = cut(clip, [3, 226])
    assert np.array_equal(past[0], clip[3:53]) and np.array_equal(future[1], clip[276:301])
    assert separate_starts(74 + 75 * 3) == [0, 75, 150] and separate_starts(75) == [0]
    assert set(published_starts(77, 50)) == {0, 1}


def test_the_table_says_the_true_time():
    windows = cut(waves(), [0])
    table = evaluate_continuations({"a": zero_velocity, "b": constant_velocity}, windows)
    assert table.index.tolist() == ["a", "b"] and table.index.name == "model"
    assert table.columns.names == ["frame", "true_ms", "published_ms"]
    assert table.columns.get_level_values("true_ms").tolist() == [33, 67, 133, 167, 233, 417]
    assert table.columns.get_level_values("published_ms").tolist() == [80, 160, 320, 400, 560, 1000]
    slow = evaluate_continuations({"a": zero_velocity}, windows, rate=25.0, frames=[1, 2])
    assert slow.columns.tolist() == [(1, 80, 80), (2, 120, "")]


def test_a_model_that_writes_into_the_past_spoils_nothing():
    windows = cut(waves(), [0, 40])
    before = windows.past.copy()

    def careless(past: np.ndarray) -> np.ndarray:
        past[:] = 0
        return past[:25]

    evaluate_continuations({"careless": careless}, windows)
    assert np.array_equal(windows.past, before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_motion_model_is_a_continuation():
    """Its free run is taken as it comes, with labels."""
    windows = cut(waves(), [0, 80])
    model = MotionModel(GRURegressor(hidden_size=4, max_steps=3, random_state=0), rate=60.0).fit(None, waves())
    table = evaluate_continuations({"network": lambda past: model.free_run(None, past, 25)}, windows)
    runs = model.free_run(None, windows.past, 25).to_numpy()
    expected = euler_errors(runs, windows.future).mean(axis=0)[[1, 3, 7, 9, 13, 24]]
    np.testing.assert_allclose(table.loc["network"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: halve(np.zeros((10, 8))), "There are 8 columns, expected 6 of the root and 3 for every joint"),
        (lambda: halve(np.zeros((10, 6))), "There are 6 columns"),
        (lambda: halve(np.zeros(10)), r"A clip has shape \(10,\), expected \(frames, columns\)"),
        (lambda: halve(np.full((10, 9), np.nan)), "NaN or infinite, first at frame 0, column 0"),
        (lambda: halve(np.zeros((10, 9)), 2), "phase must be one of 0, 1, got 2"),
        (lambda: published_starts(75), "frames must be an int of at least 76, got 75: a window takes 75"),
        (lambda: separate_starts(74), "frames must be an int of at least 75, got 74"),
        (lambda: cut(waves(100), [0, 26]), r"starts holds \[26\], but a window of 75 frames begins at 0 to 25"),
        (lambda: cut(waves(100), []), "starts holds nothing"),
        (lambda: cut(waves(100), [-1]), r"starts holds \[-1\]"),
        (lambda: euler_errors(np.zeros((1, 2, 9)), np.zeros((1, 3, 9))), "expected the same, "),
        (lambda: euler_errors(np.zeros((2, 9)), np.zeros((2, 9))), r"\(windows, frames, columns\)"),
        (lambda: euler_errors(np.full((1, 2, 9), np.nan), np.zeros((1, 2, 9))), "NaN or infinite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda past: past, {}, r"'it' gives shape \(50, 15\), expected finite \(25, 15\)"),
        (lambda past: past[:25] * np.nan, {}, "'it' gives NaN or infinity"),
        (zero_velocity, {"frames": [25]}, "frames holds 25, but 25 are predicted: 0 to 24"),
        (zero_velocity, {"frames": []}, "frames holds nothing"),
        (zero_velocity, {"frames": [-1]}, "frames must be an int of at least 0, got -1"),
        (zero_velocity, {"rate": 0.0}, "rate must be the frames a second, a positive number, got 0.0"),
    ],
)
def test_bad_models_and_options(model, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate_continuations({"it": model}, cut(waves(), [0]), **options)

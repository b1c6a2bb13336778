"""Measured motion: what is known of the files is found again in the frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seqdyn import datasets

AXES = [f"axis_{k}" for k in range(1, 9)]
KINEMATICS = {
    "swimming": (
        [11.1, 12.8, 12.1, 12.6, 22.1, 32.8, 29.6, 31.5],
        [0.127, 0.320, 0.404, 0.489, 0.599, 0.749, 0.889, 1.006],
    ),
    "walking": (
        [4.7, 20.2, 16.8, 1.4, 17.8, 15.7, 1.8, 4.5],
        [0.919, 0.019, 0.013, 0.014, 0.500, 0.475, 0.839, 0.932],
    ),
}
"""By gait: amplitude (degrees) and delay (cycles) of the fundamental of every axis."""


@pytest.mark.parametrize("gait", KINEMATICS)
@pytest.mark.parametrize("harmonics", [1, 5, None])
def test_salamander_kinematics(local, gait, harmonics):
    """What is known of the files, found again in rad at a rate that has nothing to do with theirs."""
    local(f"salamander_{gait}")
    frame = datasets.fetch_salamander(gait, rate=300.0, frequency=1.5, cycles=3, harmonics=harmonics)
    assert frame.shape == (600, {"swimming": 8, "walking": 24}[gait])
    coefficient = 2 * np.fft.rfft(frame[AXES].to_numpy(), axis=0)[3] / len(frame)
    amplitude, delay = np.abs(coefficient), -np.angle(coefficient) / (2 * np.pi)
    expected, delays = KINEMATICS[gait]
    np.testing.assert_allclose(np.rad2deg(amplitude), expected, atol=0.06 if harmonics else 0.1)
    np.testing.assert_allclose((delay - delays + 0.5) % 1 - 0.5, 0, atol=0.01)


@pytest.mark.parametrize(("gait", "hertz", "rows"), [("swimming", 3.2, 625), ("walking", 0.88, 2273)])
def test_salamander_time(local, gait, hertz, rows):
    local(f"salamander_{gait}")
    frame = datasets.fetch_salamander(gait)
    assert len(frame) == rows and frame.index.name == "time" and frame.index[-1] < 20 / hertz <= rows / 100
    assert frame.attrs["frequency"] == hertz and frame.attrs["rate"] == 100 and frame.attrs["interval"] == 0.01
    assert set(frame.attrs["units"].values()) == {"rad"} and set(frame.attrs["units"]) == set(frame.columns)
    power = np.abs(np.fft.rfft(datasets.fetch_salamander(gait, rate=100 * hertz)[AXES], axis=0)) ** 2
    assert (power[np.arange(len(power)) % 20 != 0] < 1e-20 * power.max()).all()  # exactly periodic, 20 cycles


def test_salamander_limbs_are_half_a_cycle_apart(local):
    local("salamander_walking")
    frame = datasets.fetch_salamander("walking", rate=100, frequency=1, cycles=1)
    sides = [frame.columns[frame.columns.str.startswith(side)] for side in ("left_", "right_")]
    assert [name.partition("_")[2] for name in sides[0]] == [name.partition("_")[2] for name in sides[1]]
    assert len(sides[0]) == 8
    left, right = np.roll(frame[sides[0]], 50, axis=0), frame[sides[1]].to_numpy()
    assert min(np.corrcoef(left[:, k], right[:, k])[0, 1] for k in range(8)) > 0.995
    assert np.abs(left - right).max() < 0.08  # of ranges from 0.47 to 1.56 rad


def test_salamander_harmonics_close_the_cycle_and_none_keeps_its_jump(local):
    local("salamander_swimming")
    table = pd.read_csv(datasets.fetch("salamander_swimming")).to_numpy()[:, 1:]
    raw = np.rad2deg(datasets.fetch_salamander(rate=1000, frequency=1, cycles=2, harmonics=None).to_numpy())
    np.testing.assert_allclose(raw, np.tile(table, (2, 1)), atol=1e-10)
    whole = np.rad2deg(datasets.fetch_salamander(rate=1001, frequency=1, cycles=1, harmonics=499).to_numpy())
    np.testing.assert_allclose(whole[0], table[0], atol=0.2)  # all of the cycle but its fastest alternation
    assert np.abs(np.diff(raw, axis=0))[999].max() > 10
    smooth = np.rad2deg(datasets.fetch_salamander(rate=1000, frequency=1, cycles=2).to_numpy())
    assert np.abs(np.diff(smooth, axis=0)).max() < 0.3 and np.abs(smooth - raw).max() < 6.7
    np.testing.assert_allclose(smooth[:1000].mean(axis=0), table.mean(axis=0), atol=1e-10)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gait": "trotting", "frequency": 1.0}, "gait must be one of 'swimming', 'walking', got 'trotting'"),
        ({"harmonics": 0}, "harmonics must be None or an int of at least 1, got 0"),
        ({"harmonics": 500, "rate": 1e5}, "harmonics=500 is more than the 499"),
        ({"rate": 32.0}, "rate=32 Hz is too low for 5 harmonics of 3.2 Hz: take more than 32 Hz"),
        ({"frequency": 0.0}, "frequency must be a positive number, in Hz, got 0.0"),
        ({"rate": True}, "rate must be a positive number, in Hz, got True"),
        ({"cycles": 1.5}, "cycles must be an int of at least 1, got 1.5"),
    ],
)
def test_salamander_kinematics_say_what_is_wrong(local, wrong, message):
    local("salamander_swimming")
    with pytest.raises(ValueError, match=message):
        datasets.fetch_salamander(**wrong)


@pytest.fixture
def clips(local):
    local(*(name for name in datasets.SOURCES if name.startswith("cmu_walking")))
    return datasets.fetch_cmu_walking()


def test_cmu_walking(clips):
    assert [len(clip) for clip in clips.train] == [344, 599, 495, 317, 330] and len(clips.test) == 359
    for clip in (*clips.train, clips.test):
        assert clip.shape[1] == 117 and clip.index.name == "time" and clip.index[120] == 1.0
        assert clip.columns[[0, 3, 6, 116]].tolist() == ["root_x", "root_rotation_x", "joint_00_x", "joint_36_z"]
        assert set(clip.attrs["units"]) == set(clip.columns) and clip.attrs["rate"] == clips.rate == 120.0
        assert not clip.isna().any(axis=None) and 15.5 < clip["root_y"].min() < clip["root_y"].max() < 18.5
    for first, columns, joints in ((0, 70, 64), (1, 68, 62)):
        varied = pd.concat([clip.iloc[first:] for clip in clips.train]).std(ddof=0) >= 1e-4
        assert varied.sum() == columns and varied.filter(like="joint_").sum() == joints


def test_cmu_walking_takes_a_stride_in_its_true_time(clips):
    """The lag at which the joints agree best with themselves is a step pair of 1.08 to 1.21 s: 130 to 145 rows."""
    strides = [best_lag(clip.filter(like="joint_").iloc[1:].to_numpy()) / clips.rate for clip in clips.train]
    assert 1.08 < min(strides) < max(strides) < 1.21
    assert best_lag(clips.test.filter(like="joint_").iloc[1:].to_numpy()) == 135


def best_lag(values):
    values = values - values.mean(axis=0)
    pairs = {lag: (values[lag:], values[:-lag]) for lag in range(80, 200)}
    agreement = {lag: (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) for lag, (a, b) in pairs.items()}
    return max(agreement, key=agreement.get)


def test_cmu_walking_begins_with_a_pose_and_leaps_where_the_card_says(clips):
    for clip in (*clips.train, clips.test):
        assert (clip.iloc[0, :3] == clip.iloc[1, :3]).all() and (clip.iloc[0] == 0).sum() == 107
    leaps = np.abs(np.diff(clips.train[2]["joint_26_y"])) > 3
    assert (np.flatnonzero(leaps) + 1).tolist() == [458, 461]

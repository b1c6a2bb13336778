"""The simulated salamander: published gaits, staircases of drives, rates, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seqdyn import datasets

BODY = [f"body_{k}" for k in range(1, 9)]
LIMBS = [f"limb_{side}_{end}" for end in ("fore", "hind") for side in ("left", "right")]


@pytest.fixture(scope="module")
def staircases():
    return datasets.load_salamander(40, 14.0, rate=10.0, hold=(2.0, 4.0), turning=0.4, discard=0.0)


@pytest.fixture(scope="module")
def steady():
    """By drive: ten seconds of 0.5, of 2, of 4, and of 4.8 left and 3.2 right, after 15 s of the same."""
    drives = {0.5: 0.5, 2.0: 2.0, 4.0: 4.0, "turning": [4.8, 3.2]}
    both = np.stack([np.ones((200, 2)) * drive for drive in drives.values()])
    frame = datasets.load_salamander(4, 10.0, drives=both, rate=20.0, discard=15.0, random_state=3)
    return {drive: frame.loc[k] for k, drive in enumerate(drives)}


def wave(values, cycles):
    """Amplitude and delay, in cycles, of the fundamental of every column: A cos 2π(τ − delay)."""
    coefficient = 2 * np.fft.rfft(values, axis=0)[cycles] / len(values)
    return np.abs(coefficient), -np.angle(coefficient) / (2 * np.pi)


@pytest.mark.parametrize(
    ("drive", "hertz", "axial", "limb", "lags"),
    [
        (2.0, 0.4, 0.326, 0.393, [0.024, 0.012, 0.054, 0.369, 0.057, 0.013, 0.024]),
        (4.0, 1.1, 0.456, 0.0, [0.125] * 7),
    ],
)
def test_salamander_has_its_published_gaits(steady, drive, hertz, axial, limb, lags):
    """Frequency, amplitude and lags from head to tail, as published: the angle of a joint is 2 r cos θ."""
    frame = steady[drive]
    power = np.abs(np.fft.rfft(frame[BODY].to_numpy(), axis=0)) ** 2
    assert (power[round(10 * hertz)] > 0.999 * power.sum(axis=0)).all()
    amplitude, delay = wave(frame[BODY].to_numpy(), round(10 * hertz))
    np.testing.assert_allclose(amplitude, 2 * axial, atol=0.003)
    np.testing.assert_allclose(np.diff(delay) % 1, lags, atol=0.002)
    np.testing.assert_allclose(frame[LIMBS].max(), 2 * limb, atol=0.003)
    assert set(frame["gait"]) == {"walking" if drive <= 3 else "swimming"}


def test_salamander_limbs_trot_and_tell_left_from_right(steady):
    """Diagonal limbs together, the others opposite; the left fore limb keeps time with the left of the trunk."""
    frame = steady[2.0]
    delays = dict(zip(LIMBS, wave(frame[LIMBS].to_numpy(), 4)[1], strict=True))
    apart = [(delays[name] - delays[LIMBS[0]]) % 1 for name in LIMBS[1:3]]
    np.testing.assert_allclose(apart, 0.5, atol=0.01)
    assert abs((delays["limb_right_hind"] - delays[LIMBS[0]] + 0.5) % 1 - 0.5) < 0.01
    assert frame["body_2"].corr(frame["limb_left_fore"]) > 0.9 and frame["body_2"].corr(frame["limb_right_fore"]) < -0.9


def test_salamander_turns_and_rests(steady):
    """An angle of r_left − r_right on average; none at all where no oscillator is awake."""
    turn = steady["turning"]
    assert turn[BODY].to_numpy().mean() == pytest.approx(0.104, abs=0.002)  # over one wavelength: the wave cancels
    still = steady[0.5]
    assert still[BODY + LIMBS].abs().to_numpy().max() < 1e-9 and set(still["gait"]) == {"rest"}


def test_salamander_frame(staircases):
    assert staircases.columns.tolist() == ["drive_left", "drive_right", *BODY, *LIMBS, "gait"]
    assert staircases.index.names == ["series", "time"] and staircases.shape == (5600, 15)
    assert staircases.loc[39].index.equals(pd.Index(np.arange(140) / 10, name="time"))
    assert set(staircases.attrs["units"]) == set(staircases.columns) and staircases.attrs["rate"] == 10.0
    assert staircases.attrs["interval"] == 0.1 and staircases.attrs["interval_unit"] == "s"


def test_salamander_is_drawn_by_its_random_state():
    one, same, other = (datasets.load_salamander(2, 1.0, discard=0.2, random_state=seed) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(one, same)
    assert not np.allclose(one[BODY], other[BODY]) and not np.allclose(one.loc[0, BODY], one.loc[1, BODY])


def test_salamander_staircases_hold_their_levels_and_turn_within_a_gait(staircases):
    spans, levels = [], []
    for _, one in staircases.groupby("series"):
        both = one[["drive_left", "drive_right"]].to_numpy()
        starts = np.flatnonzero(np.any(np.diff(both, axis=0), axis=1)) + 1
        spans += [*np.diff([0, *starts])]
        levels += [*both[[0, *starts]]]
    levels = np.array(levels)
    assert min(spans) >= 20 and max(spans) <= 40 and len(levels) > 150
    assert levels.min() >= 1 and levels.max() <= 5 and ((levels > 3).all(axis=1) | (levels <= 3).all(axis=1)).all()
    share = (levels[:, 0] != levels[:, 1]).mean()
    assert abs(share - 0.4) < 4 * np.sqrt(0.24 / len(levels))  # four standard errors
    assert abs(levels.mean() - 3) < 4 * np.sqrt(16 / 12 / len(levels))
    assert np.abs(levels[:, 0] - levels[:, 1]).max() <= 1
    swims = staircases[["drive_left", "drive_right"]].min(axis=1) > 3
    assert ((staircases["gait"] == "swimming") == swims).all() and not (staircases["gait"] == "rest").any()


def test_salamander_is_the_same_at_every_rate():
    """Rows at 25 Hz are every second row at 50 Hz; what is discarded is the time before."""
    slow, fast = (datasets.load_salamander(2, 2.0, rate=rate, drives=2.5, discard=0.4) for rate in (25.0, 50.0))
    np.testing.assert_allclose(slow[BODY], fast[BODY].to_numpy().reshape(2, 50, 2, 8)[:, :, 1].reshape(-1, 8))
    whole = datasets.load_salamander(2, 2.4, rate=50.0, drives=2.5, discard=0.0)
    np.testing.assert_allclose(fast.loc[1, BODY], whole.loc[1, BODY].iloc[20:])
    fine = datasets.load_salamander(2, 1.0, rate=400.0, drives=2.5, discard=0.4)  # in steps of 2.5 ms
    np.testing.assert_allclose(fine.loc[0, BODY].iloc[15::16], slow.loc[0, BODY].iloc[:25], atol=2e-5)


def test_salamander_takes_drives():
    ramp = np.linspace(0.5, 5.5, 50)
    both = datasets.load_salamander(2, 1.0, drives=ramp, discard=0.0)
    assert (both.loc[1, "drive_right"] == ramp).all() and (both.loc[0, "drive_left"] == ramp).all()
    assert both.loc[0, "gait"].tolist() == ["rest"] * 5 + ["walking"] * 20 + ["swimming"] * 20 + ["rest"] * 5
    own = np.random.default_rng(0).uniform(1, 5, (2, 50, 2))
    frame = datasets.load_salamander(2, 1.0, drives=own, discard=0.0)
    assert np.array_equal(frame[["drive_left", "drive_right"]].to_numpy(), own.reshape(100, 2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_series": 0}, "n_series must be an int of at least 1, got 0"),
        ({"seconds": 0.0}, "seconds > 0.*seconds=0.0"),
        ({"rate": -1.0}, "rate > 0.*rate=-1.0"),
        ({"rate": float("nan")}, "rate must be a finite number, got nan"),
        ({"turning": 1.5}, "turning <= 1.*turning=1.5"),
        ({"discard": "none"}, "discard must be a finite number, got 'none'"),
        ({"hold": (5.0, 2.0)}, r"hold must be the least and the most.*\(5.0, 2.0\)"),
        ({"hold": 5.0}, "hold must be the least and the most.*5.0"),
        (
            {"drives": np.ones((3, 2))},
            r"drives has shape \(3, 2\), expected a number, \(50,\), \(50, 2\) or \(2, 50, 2\)",
        ),
        ({"drives": np.nan}, "drives must be finite, got nan"),
    ],
)
def test_salamander_says_what_is_wrong(wrong, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_salamander(**{"n_series": 2, "seconds": 1.0} | wrong)

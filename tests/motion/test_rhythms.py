"""The rhythm of a motion: against what it was made of, and against the published gaits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.datasets import load_salamander
from seqdyn.motion.rhythms import cycle_error, rhythm, rhythm_errors, wrap_cycles

GAITS = [  # drive, frequency, lags: of Ijspeert et al. (2007), computed anew with an Euler step of 5 ms
    (1.0, 0.2, [0.029, 0.016, 0.061, 0.345, 0.067, 0.018, 0.028], "standing"),
    (2.0, 0.4, [0.024, 0.012, 0.054, 0.369, 0.057, 0.013, 0.024], "standing"),
    (4.0, 1.1, [0.125] * 7, "travelling"),
]


@settings(max_examples=30, deadline=None)
@given(
    frequency=st.floats(0.3, 5.0),
    phases=st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=4),
    seconds=st.floats(8.0, 20.0),
    offset=st.floats(-2.0, 2.0),
)
def test_a_rhythm_is_what_it_was_made_of(frequency: float, phases: list[float], seconds: float, offset: float) -> None:
    time = np.arange(0, seconds, 0.02)
    sizes = np.linspace(1.0, 0.5, len(phases))
    found = rhythm(offset + sizes * np.cos(2 * np.pi * (frequency * time[:, None] + phases)), 50.0)
    assert found.frequency == pytest.approx(frequency, rel=0.01)
    np.testing.assert_allclose(found.amplitude, sizes, rtol=0.02)
    np.testing.assert_allclose(wrap_cycles(found.lags() + np.diff(phases)), 0, atol=2e-3)


@pytest.mark.parametrize(("drive", "frequency", "lags", "wave"), GAITS)
def test_the_simulated_salamander_has_the_published_gaits(
    drive: float, frequency: float, lags: list[float], wave: str
) -> None:
    frame = load_salamander(1, seconds=20.0, drives=drive, discard=15.0)
    found = rhythm(frame.loc[0].filter(like="body"))
    assert found.frequency == pytest.approx(frequency, rel=0.002)
    np.testing.assert_allclose(found.lags(), lags, atol=0.002)
    assert found.wave() == wave and found.names is not None and found.names[0] == "body_1"


def test_a_still_motion_rests() -> None:
    found = rhythm(np.full((50, 3), 0.2), 50.0)
    assert (found.frequency, found.wave()) == (0.0, "rest")
    assert np.isnan(found.phase).all() and np.allclose(found.offset, 0.2)


def swims(limbs: float) -> np.ndarray:
    """Ten seconds of eight joints at 1.1 Hz, and four limbs that move by so many rad."""
    phase = 1.1 * np.arange(0, 10, 0.02)[:, None] - np.arange(12) / 8
    return np.array([0.5] * 8 + [limbs] * 4) * np.cos(2 * np.pi * phase)


def test_silent_joints_have_no_phase_and_do_not_count() -> None:
    animal = swims(0.0)
    noisy = animal + 1e-6 * np.random.default_rng(0).normal(size=animal.shape)
    found = rhythm(noisy, 50.0)
    np.testing.assert_array_equal(np.isnan(found.phase), [False] * 8 + [True] * 4)
    np.testing.assert_allclose(found.lags()[:7], 0.125, atol=1e-5)
    assert np.isnan(found.lags()[7:]).all()
    assert found.travelling_index() == pytest.approx(1.0, abs=1e-3) and found.wave([9, 10]) == "rest"
    assert rhythm_errors(noisy, animal, 50.0)["lag_error"] < 1e-4


@pytest.mark.parametrize(("size", "silent"), [(0.004, True), (0.006, False), (0.02, False)])
def test_a_joint_is_silent_below_a_share_of_the_largest(size: float, silent: bool) -> None:
    assert np.isnan(rhythm(swims(size), 50.0).phase[8]) == silent
    small = rhythm(0.04 * swims(5 * size), 50.0, still=0.001)  # less than 0.01 rad, but 4 % and more of the largest
    assert not np.isnan(small.phase).any()


def test_a_run_without_a_common_lag_has_the_largest_lag_error() -> None:
    errors = rhythm_errors(np.zeros((500, 12)), swims(0.2), 50.0)
    assert (errors["lag_error"], errors["frequency_error"], errors["amplitude_error"]) == (0.5, 1.0, pytest.approx(1))
    assert rhythm_errors(np.zeros((500, 12)), np.zeros((500, 12)), 50.0)["lag_error"] == 0.0


@pytest.mark.parametrize("turns", [1.6, 1.9, 2.0, 2.3])
@pytest.mark.parametrize("phase", [0.0, 0.2, 0.7])
def test_few_turns_of_a_sinusoid_are_enough(turns: float, phase: float) -> None:
    time = np.arange(round(50 * turns)) / 50
    found = rhythm(0.3 + np.cos(2 * np.pi * (time[:, None] + phase - np.array([0, 0.25]))), 50.0)
    assert found.frequency == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose([*found.offset, *found.amplitude, *found.lags()], [0.3, 0.3, 1, 1, 0.25], atol=1e-5)


@pytest.mark.parametrize(("turns", "bound"), [(1.75, 0.023), (2.0, 0.008), (3.0, 0.0013)])
def test_the_error_by_a_harmonic_is_as_documented(turns: float, bound: float) -> None:
    time = 2 * np.pi * np.arange(round(50 * turns))[:, None] / 50
    phases = [(p, q) for p in np.linspace(0, 6, 13) for q in np.linspace(0, 6, 7)]
    found = [rhythm(np.cos(time + p) + 0.1 * np.cos(2 * (time + p) + q), 50.0).frequency for p, q in phases]
    assert bound / 4 < np.abs(np.array(found) - 1).max() < bound


@pytest.mark.parametrize("turns", [0.4, 0.7, 1.0, 1.4])
def test_too_few_turns_are_not_known(turns: float) -> None:
    motion = np.cos(2 * np.pi * (np.arange(round(100 * turns)) / 100)[:, None] + np.arange(3))
    found = rhythm(motion, 100.0)
    assert np.isnan([found.frequency, *found.amplitude, *found.phase, found.travelling_index()]).all()
    assert found.wave() == "unknown"
    with pytest.raises(ValueError, match="observed has less than 1.5 turns"):
        rhythm_errors(motion, motion, 100.0)
    with pytest.raises(ValueError, match="angles has less than 1.5 turns"):
        cycle_error(motion, motion, 1.0, 100.0)


def test_a_run_that_drifts_has_the_largest_errors() -> None:
    drifts = np.linspace(0, 1, 500)[:, None] * np.ones(12)
    errors = rhythm_errors(drifts, swims(0.2), 50.0)
    assert errors == {
        "frequency_error": 1.0, "amplitude_error": 1.0, "lag_error": 0.5, "same_wave": 0.0, "diverged": 0.0
    }  # fmt: skip


def test_rest_is_in_the_unit_of_the_angles() -> None:
    """A third of a degree is rest in degrees and in radians, and moves only where nobody said that it is degrees."""
    time = np.arange(0, 10, 0.02)
    motion = xarray.DataArray(
        np.cos(2 * np.pi * time)[:, None] / 3, {"time": time, "angle": ["hip"]}, ("time", "angle"), attrs={}
    )
    degrees = motion.assign_attrs(units="degrees")
    frame = pd.DataFrame({"hip": motion.values[:, 0]}, index=time)
    frame.attrs["units"] = {"hip": "deg"}
    assert [rhythm(one).wave() for one in (degrees, frame, np.deg2rad(motion))] == ["rest"] * 3
    assert [rhythm(one).frequency for one in (motion, 10 * degrees)] == [pytest.approx(1.0)] * 2
    assert rhythm(degrees, still=0.01).frequency == pytest.approx(1.0)
    assert rhythm_errors(degrees, degrees.values, 50.0)["frequency_error"] == 0.0


def test_one_series_of_a_panel_is_a_motion_and_several_are_none() -> None:
    panel = load_salamander(3, seconds=6.0, drives=4.0).filter(like="body")
    with pytest.raises(ValueError, match=r"angles holds 3 series \(series: 0, 1, 2\).*angles.loc\[0\]"):
        rhythm(panel)
    assert rhythm(panel.loc[[1]]).frequency == rhythm(panel.loc[1]).frequency


def test_time_is_even_and_of_the_rate_that_is_given() -> None:
    time = np.arange(500) / 60
    motion = np.cos(2 * np.pi * time)[:, None]
    assert rhythm(pd.DataFrame(motion, index=time.round(3))).frequency == pytest.approx(1.0, rel=1e-4)
    assert rhythm(pd.DataFrame(motion, index=time), rate=60).frequency == pytest.approx(1.0, rel=1e-6)
    with pytest.raises(ValueError, match=r"rate=25 Hz, but angles is indexed by steps of 0.02 s, 50 Hz"):
        rhythm(pd.DataFrame(motion, index=np.arange(500) / 50), rate=25)
    kept = np.delete(np.arange(500), 100)
    with pytest.raises(ValueError, match=r"uneven: 0.0333333 s from sample 99 to the next, usual: 0.0166667 s"):
        rhythm(pd.DataFrame(motion[kept], index=time[kept]))
    with pytest.raises(ValueError, match="uneven"):
        rhythm(pd.DataFrame(motion, index=time[::-1]))


def test_waves_that_stand_and_travel() -> None:
    turn = 2 * np.pi * np.arange(0, 10, 0.02)[:, None]
    place = np.arange(8) / 8
    travels, stands = np.cos(turn - 2 * np.pi * place), np.cos(turn) * np.cos(2 * np.pi * place)
    assert rhythm(travels, 50.0).travelling_index() == pytest.approx(1.0, abs=1e-3)
    assert rhythm(stands, 50.0).travelling_index() == pytest.approx(0.0, abs=1e-3)
    assert rhythm(travels, 50.0).travelling_index([0, 4]) == pytest.approx(0.0, abs=1e-3)


def test_a_motion_is_compared_with_its_cycle() -> None:
    """Noise of a known size, a shift of the phase that does not count, and a drift that is told apart."""
    turn = 2 * np.pi * np.arange(100)[:, None] / 100
    cycle = np.concatenate([np.cos(turn), np.cos(turn + 1) + 0.5 * np.sin(3 * turn)], axis=1)
    phase = 2 * np.pi * (1.02 * np.arange(0, 20, 0.01)[:, None] + 0.37)
    moved = np.concatenate([np.cos(phase), np.cos(phase + 1) + 0.5 * np.sin(3 * phase)], axis=1)
    noise = 0.05 * np.random.default_rng(0).normal(size=moved.shape)
    found = cycle_error(moved + noise, cycle, 1.0, rate=100.0)
    np.testing.assert_allclose(found.error, 0.05 / np.ptp(cycle, axis=0), rtol=0.1)
    assert found.drift == pytest.approx(0.02, abs=1e-4)


@pytest.mark.parametrize(
    ("angles", "rate", "words"),
    [
        (np.zeros(50), 50.0, "shape"),
        (np.zeros((4, 2)), 50.0, "at least 8 samples"),
        (np.full((50, 2), np.nan), 50.0, "NaN or infinite, first at sample 0, joint 0"),
        (np.zeros((50, 2)), None, "rate"),
        (np.zeros((50, 2)), -1.0, "rate"),
        (pd.DataFrame(np.zeros((50, 2))), None, "rate"),
    ],
)
def test_what_is_no_motion_is_named(angles: Any, rate: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rhythm(angles, rate)


def test_joints_and_cycles_that_do_not_fit_are_named() -> None:
    angles = np.cos(np.arange(100.0))[:, None]
    with pytest.raises(ValueError, match="no joint 'tail'"):
        rhythm(angles, 50.0).lags(["tail"])
    with pytest.raises(ValueError, match=r"cycle has shape \(10, 2\)"):
        cycle_error(angles, np.zeros((10, 2)), 1.0, 50.0)
    for frequency in (0, -1.0, np.nan, "1", True):
        with pytest.raises(ValueError, match="frequency must be that of the cycle"):
            cycle_error(angles, np.zeros((10, 1)), frequency, 50.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cycle is NaN or infinite, first at point 3"):
        cycle_error(angles, np.where(np.arange(10) == 3, np.nan, 1.0)[:, None], 1.0, 50.0)

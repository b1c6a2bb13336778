"""The rhythm of a motion: against what it was made of, and against the published gaits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.datasets import load_salamander
from seqdyn.motion.rhythms import cycle_error, rhythm, wrapped

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
    np.testing.assert_allclose(wrapped(found.lags() + np.diff(phases)), 0, atol=2e-3)


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

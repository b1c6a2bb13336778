"""Progress of what takes long: free runs, maps of all neurons, clips left out one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqdyn import MotionModel, steering_map, steering_neurons
from seqdyn.motion import NearestContinuation, leave_one_clip_out
from seqdyn.progress import Progress


def mean_angle(angles: Any) -> float:
    """A quantity that every run has."""
    return float(angles.mean())


def test_a_long_free_run_shows_a_bar(circling: MotionModel, capsys: pytest.CaptureFixture[str]) -> None:
    """If ``verbose`` asks for it; the motion is the same."""
    quiet = circling.free_run([1.0], None, 1500)
    assert capsys.readouterr() == ("", "")
    np.testing.assert_array_equal(circling.free_run([1.0], None, 1500, verbose=1), quiet)
    assert "free run" in capsys.readouterr().err


def test_a_map_that_is_ended_early_has_its_first_runs(circling: MotionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of the first batch are those of a whole map, the others NaN."""
    monkeypatch.setattr("seqdyn.motion.steering.STEERED_RUNS_AT_ONCE", 4)
    seen: list[Progress] = []

    def callback(progress: Progress) -> bool:
        seen.append(progress)
        return True

    options: dict[str, Any] = {"neurons": ["h[0]", "h[1]"], "values": 3, "drive": [1.0], "steps": 60}
    whole = steering_map(circling, mean_angle, **options)
    part = steering_map(circling, mean_angle, callback=callback, **options)
    known = ~np.isnan(part.values)
    assert known.sum() == 3 and (seen[0].what, seen[0].total) == ("steer", 2)
    np.testing.assert_allclose(part.values[known], whole.values[known], rtol=1e-6)
    assert sorted(steering_neurons(circling, mean_angle, callback=callback, **options).index) == ["h[0]", "h[1]"]


def test_clips_are_left_out_until_the_callback_ends_it() -> None:
    """The mean is that over the clips that were left out until then."""
    walks = [0.3 * np.sin(0.1 * np.arange(200)[:, None] + np.arange(9) + k) for k in range(3)]
    candidates = {"looks up": NearestContinuation(5).fit}
    first = leave_one_clip_out(candidates, walks, callback=lambda progress: progress.done == 1)
    assert first.shape == leave_one_clip_out(candidates, walks).shape and np.isfinite(first.values).all()

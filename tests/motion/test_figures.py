"""Figures of motion: what they draw, and the path of the animal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seqdyn.motion import animate_salamander, plot_joint_angles
from seqdyn.motion.figures import _bodies

TURN = 2 * np.pi * (np.arange(100)[:, None] / 25 - np.arange(8) / 8)


def test_joints_are_drawn_one_below_the_other_on_the_shades_of_gaits() -> None:
    gaits = ["walking"] * 60 + ["swimming"] * 40
    drawing = plot_joint_angles(np.cos(TURN[:, :3]), 25.0, gaits=gaits, beside=np.sin(TURN[:, :3]))
    (axes,) = drawing.axes
    assert len(axes.lines) == 6 and [text.get_text() for text in axes.texts] == ["walking", "swimming"]
    drawn = [np.asarray(line.get_ydata()) for line in axes.lines[1::2]]
    ticks = axes.get_yticks()
    for base, line, column in zip(ticks, drawn, np.cos(TURN[:, :3]).T, strict=True):
        np.testing.assert_allclose(line - base, column, atol=1e-12)
    assert len(axes.patches) == 2 and axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()


@pytest.mark.parametrize("name", ["gaits", "beside"])
def test_other_lengths_are_refused(name: str) -> None:
    rows: Any = ["walking"] * 9 if name == "gaits" else np.zeros((9, 3))
    with pytest.raises(ValueError, match=f"{name} has 9 samples, the angles 100"):
        plot_joint_angles(np.cos(TURN[:, :3]), 25.0, **{name: rows})


def test_the_body_has_the_angles_that_were_given() -> None:
    """Between neighbouring links of the drawn body lies the angle of their joint."""
    angles = 0.4 * np.cos(TURN)
    links = np.diff(_bodies(angles, 25.0), axis=1)
    way = np.unwrap(np.arctan2(links[..., 1], links[..., 0]), axis=1)
    np.testing.assert_allclose(-np.diff(way, axis=1), angles, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(links, axis=2), 1 / 9)


def test_it_goes_straight_on_and_turns_with_its_mean_bend() -> None:
    ends = []
    for bend in (-0.05, 0.0, 0.05):
        path = _bodies(0.4 * np.cos(TURN) + bend, 25.0)[:, 4]
        ends.append(path[-1] - path[0])
    left, straight, right = np.array(ends)
    assert abs(straight[1]) < 0.1 and straight[0] == pytest.approx(0.3 * 99 / 25, rel=0.05)
    assert left[1] * right[1] < 0 and min(abs(left[1]), abs(right[1])) > 0.3


def test_the_animal_moves(tmp_path: Path) -> None:
    angles = np.concatenate([0.4 * np.cos(TURN), 0.3 + 0.2 * np.cos(TURN[:, :4])], axis=1)
    animate_salamander(angles, tmp_path / "moves.gif", 25.0, frames_per_second=5, labels=["swims"] * 100)
    with Image.open(tmp_path / "moves.gif") as film:
        assert film.n_frames == 20 and film.info["duration"] == 200
        first = np.asarray(film.convert("L"), dtype=float)
        film.seek(10)
        assert np.abs(np.asarray(film.convert("L"), dtype=float) - first).max() > 50
    with pytest.raises(ValueError, match="8 joints in its body"):
        animate_salamander(angles[:, :5], tmp_path / "x.gif", 25.0)

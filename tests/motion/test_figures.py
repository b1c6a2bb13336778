"""Figures of motion: what they draw, and the path of the animal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from PIL import Image, ImageSequence

from seqdyn.motion import animate_salamander, plot_joint_angles, plot_steering_map
from seqdyn.motion.figures import _between, _bodies, _frames

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


def labelled(values: np.ndarray, units: str | None = None) -> xarray.DataArray:
    """Joints at 25 Hz whose time begins at 2 s."""
    coordinates = {"time": 2 + np.arange(len(values)) / 25, "angle": [f"joint_{k}" for k in range(values.shape[1])]}
    return xarray.DataArray(values, coordinates, ("time", "angle"), attrs={} if units is None else {"units": units})


def test_other_joints_and_units_are_refused() -> None:
    angles = np.cos(TURN)
    with pytest.raises(ValueError, match="beside has 3 joints, the angles 8"):
        plot_joint_angles(angles, 25.0, beside=angles[:, :3])
    with pytest.raises(ValueError, match="beside is in degrees, the angles in rad"):
        plot_joint_angles(labelled(angles, "radians"), beside=labelled(angles, "degrees"))


def test_time_begins_where_it_does() -> None:
    (axes,) = plot_joint_angles(labelled(np.cos(TURN)), beside=np.cos(TURN), gaits=["swimming"] * 100).axes
    for line in axes.lines:
        np.testing.assert_allclose(line.get_xdata(), 2 + np.arange(100) / 25)
    assert axes.get_xlim() == pytest.approx((2, 2 + 99 / 25))
    assert axes.patches[0].get_extents().width > 0 and axes.texts[0].get_position()[0] == pytest.approx(2 + 99 / 50)


@pytest.mark.parametrize(
    ("units", "unit", "shown"),
    [(None, None, "rad"), ("radians", None, "rad"), ("degrees", None, "degrees"), (None, "°", "°")],
)
def test_the_title_has_the_unit(units: str | None, unit: str | None, shown: str) -> None:
    (axes,) = plot_joint_angles(labelled(np.cos(TURN), units), unit=unit).axes
    assert f" {shown} from line to line" in axes.get_title()


def test_what_is_no_steering_map_is_named() -> None:
    with pytest.raises(TypeError, match=r"responses is ndarray of shape \(3, 4\), expected a DataArray"):
        plot_steering_map(np.zeros((3, 4)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"lacks the coordinates \['neuron', 'value', 'free'\]"):
        plot_steering_map(xarray.DataArray(np.zeros((3, 4)), dims=("neuron", "dose")))


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


@pytest.mark.parametrize("rate", [20.0, 25.0, 50.0, 60.0])
def test_the_film_runs_in_true_time(tmp_path: Path, rate: float) -> None:
    angles = 0.4 * np.cos(2 * np.pi * (np.arange(round(2.5 * rate))[:, None] / rate - np.arange(8) / 8))
    animate_salamander(angles, tmp_path / "true.gif", rate)
    with Image.open(tmp_path / "true.gif") as film:
        lasts = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
    assert sum(lasts) == pytest.approx(2500, rel=0.02) and min(lasts) >= 20
    assert len(lasts) / 2.5 == pytest.approx(15, rel=0.08)


def test_frames_show_the_motion_at_their_time() -> None:
    """Seven centiseconds a frame at 60 Hz: between samples, on a straight line."""
    places = _frames(240, 60.0, 7)
    np.testing.assert_allclose(places / 60, np.arange(len(places)) * 0.07)
    track = np.arange(240.0)[:, None, None] * np.array([[1.0, -2.0]])
    np.testing.assert_allclose(_between(track, places)[:, 0], places[:, None] * [1, -2])


def test_a_slow_walk_is_drawn_with_its_own_pace() -> None:
    """At 0.4 Hz two seconds have less than one turn: more of the motion is looked at."""
    turn = 2 * np.pi * 0.4 * np.arange(500)[:, None] / 25
    path = _bodies(0.4 * np.cos(turn - np.arange(8)), 25.0)[:, 4]
    np.testing.assert_allclose(np.diff(path[:, 0]), 0.3 * 0.4 / 25, rtol=0.05)


def test_degrees_are_drawn_as_the_radians_that_they_are(tmp_path: Path) -> None:
    angles = 0.4 * np.cos(TURN[:30])
    for name, given in (("rad", labelled(angles)), ("degrees", labelled(np.rad2deg(angles), "degrees"))):
        animate_salamander(given, tmp_path / f"{name}.gif", frames_per_second=5)
    with Image.open(tmp_path / "rad.gif") as one, Image.open(tmp_path / "degrees.gif") as other:
        one.seek(4)
        other.seek(4)
        gap = np.abs(np.asarray(one.convert("L"), dtype=float) - np.asarray(other.convert("L"), dtype=float))
    assert gap.mean() < 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ["a"]}, "labels has 1 entries, the angles 100 samples"),
        ({"frames_per_second": 0}, "frames_per_second"),
        ({"frames_per_second": 2.5}, "frames_per_second"),
    ],
)
def test_films_that_cannot_be_are_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        animate_salamander(np.cos(TURN), tmp_path / "x.gif", 25.0, **change)
    assert not (tmp_path / "x.gif").exists()

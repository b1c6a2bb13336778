"""Figures of motion: joint angles over time with their gaits, dose and response, and a stick salamander that moves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.figures import MODELS, PALETTE, figure
from seqdyn.motion.joint_angles import JointAngles, joint_angles
from seqdyn.motion.rhythms import rhythm

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SHADES = ("#FFFFFF", "#DCEAF5", "#FBE9D9", "#E3F1E3", "#F5E3EE")
"""Backgrounds of gaits, in the order in which they come."""

BEND = 3.0
"""Turns of the path for every radian of mean bend, a cycle: how sharply the drawn animal turns."""


SIGHT = 1.2
"""Body lengths that are seen to every side of the animal."""


def plot_joint_angles(
    angles: Any,
    rate: float | None = None,
    *,
    gaits: Sequence[str] | None = None,
    beside: Any = None,
    unit: str | None = None,
    title: str | None = None,
) -> Figure:
    """Plot joint angles over time, one trace a joint from head to tail, on the background of the gait.

    Parameters
    ----------
    angles : array or DataArray, shape (time, joints), or DataFrame
        One motion. What is indexed by seconds is drawn over its own time, all else from 0 on.
    rate : float > 0, optional
        Samples a second; not needed of what is indexed by seconds.
    gaits : sequence of str, one a sample, optional
        Names of the gaits; each gets a shade, and its name where it begins.
    beside : as angles, optional
        The same joints of another source (what was observed), in grey behind.
    unit : str, optional
        Of the angles, for the title. If None what ``attrs["units"]`` says, and rad where it says nothing.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If ``gaits`` or ``beside`` are not as long as the angles, or ``beside`` has other joints or another unit, or the
        angles are several series, uneven in time, not at ``rate``, or not finite.

    Examples
    --------
    >>> t = np.arange(100)[:, None] / 25
    >>> drawing = plot_joint_angles(np.cos(2 * np.pi * (t - np.arange(4) / 8)), 25.0, gaits=["swimming"] * 100)
    >>> len(drawing.axes[0].lines)
    4
    """
    read = joint_angles(angles, rate)
    other = None if beside is None else joint_angles(beside, rate or read.rate, "beside")
    _check_beside(read, gaits, other)
    values, names, joints = read.values, read.names, read.values.shape[1]
    time = read.begin + np.arange(len(values)) / read.rate
    room = 1.1 * max(float(np.ptp(values, axis=0).max()), 1e-6)
    drawing, axes = figure(height=1.6 + 0.32 * joints)
    _shade(axes, time, gaits)
    for number in range(joints):
        base = -number * room
        if other is not None:
            axes.plot(time, base + other.values[:, number], color=PALETTE["baseline"], linewidth=1.0)
        axes.plot(time, base + values[:, number], color=MODELS[0], linewidth=1.2)
    axes.set_yticks([-number * room for number in range(joints)], names or [f"joint {k}" for k in range(joints)])
    axes.set_xlabel("time, s")
    axes.set_xlim(time[0], time[-1])
    axes.set_title(title or f"Joint angles ({room:.2g} {unit or read.unit or 'rad'} from line to line)")
    return drawing


def _check_beside(read: JointAngles, gaits: Sequence[str] | None, other: JointAngles | None) -> None:
    """Raise if what stands beside the angles does not go with them."""
    for name, rows in (("gaits", gaits), ("beside", None if other is None else other.values)):
        if rows is not None and len(rows) != len(read.values):
            raise ValueError(f"{name} has {len(rows)} samples, the angles {len(read.values)}.")
    if other is None:
        return
    if other.values.shape[1] != read.values.shape[1]:
        raise ValueError(
            f"beside has {other.values.shape[1]} joints, the angles {read.values.shape[1]}: give the same joints."
        )
    if None not in (other.unit, read.unit) and other.unit != read.unit:
        raise ValueError(f"beside is in {other.unit}, the angles in {read.unit}: give both in the same unit.")


def _shade(axes: Axes, time: Array, gaits: Sequence[str] | None) -> None:
    """The background of every gait, and its name where it begins."""
    if gaits is None:
        return
    marks = np.asarray(gaits, dtype=object)
    order = list(dict.fromkeys(marks.tolist()))
    borders = [0, *(np.flatnonzero(marks[1:] != marks[:-1]) + 1).tolist(), len(marks)]
    for begin, end in pairwise(borders):
        stop = time[min(end, len(time) - 1)]
        axes.axvspan(time[begin], stop, color=SHADES[1 + order.index(marks[begin]) % (len(SHADES) - 1)], zorder=0)
        if stop - time[begin] > 0.08 * (time[-1] - time[0]):
            place = (time[begin] + stop) / 2
            axes.text(place, 1.0, marks[begin], transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8)


def plot_steering_map(responses: xarray.DataArray, *, shown: int = 6, unit: str | None = None) -> Figure:
    """Plot dose and response: curves of the neurons with the largest effect, and a map of all neurons.

    Parameters
    ----------
    responses : DataArray, dims (neuron, dose)
        From :func:`~seqdyn.motion.steering.steering_map`.
    shown : int
        How many curves.
    unit : str, optional
        Of the quantity, for its axis.

    Returns
    -------
    Figure

    Raises
    ------
    TypeError
        If ``responses`` is no DataArray.
    ValueError
        If it lacks a dim or a coordinate of a steering map.

    Examples
    --------
    >>> import xarray
    >>> doses = np.linspace(-1, 1, 5)
    >>> made = xarray.DataArray(
    ...     np.outer([1.0, 0.2], doses), {"value": (("neuron", "dose"), np.tile(doses, (2, 1))),
    ...     "neuron": ["h[0]", "h[1]"], "free": 0.1}, ("neuron", "dose"), name="turning")
    >>> len(plot_steering_map(made, unit="rad").axes)
    3
    """
    _check_map(responses)
    name = f"{responses.name or 'response'}{f', {unit}' if unit else ''}"
    effect = np.ptp(responses.fillna(responses.free).values, axis=1)
    order = np.argsort(-effect)
    drawing, (curves, table) = figure(columns=2, width=9.0, height=3.6)
    for number in order[:shown]:
        one = responses.isel(neuron=int(number))
        curves.plot(one["value"], one, marker="o", markersize=3, label=str(one["neuron"].item()))
    curves.axhline(float(responses.free), color=PALETTE["baseline"], linewidth=1.0, linestyle="--")
    curves.set(xlabel="neuron held at", ylabel=name, title="The neurons that move it most")
    curves.legend(ncols=2, fontsize=8)
    change = responses.values[order] - float(responses.free)
    size = float(np.nanmax(np.abs(change))) or 1.0
    image = table.imshow(change, aspect="auto", cmap="RdBu_r", vmin=-size, vmax=size, interpolation="nearest")
    table.grid(False)
    table.set(xlabel="dose, from low to high", ylabel="neuron, the strongest first", title="Change from the free run")
    drawing.colorbar(image, ax=table)
    return drawing


def _check_map(responses: Any) -> None:
    """Raise if this is no steering map."""
    if not hasattr(responses, "dims") or not hasattr(responses, "coords"):
        kind, shape = type(responses).__name__, np.shape(responses)
        raise TypeError(f"responses is {kind} of shape {shape}, expected a DataArray: give what steering_map returns.")
    if set(responses.dims) != {"neuron", "dose"}:
        raise ValueError(f"responses has the dims {responses.dims}, expected (neuron, dose): give a steering_map.")
    missing = [name for name in ("neuron", "value", "free") if name not in responses.coords]
    if missing:
        raise ValueError(f"responses lacks the coordinates {missing}: give what steering_map returns.")


def animate_salamander(
    angles: Any,
    path: str | os.PathLike[str],
    rate: float | None = None,
    *,
    frames_per_second: int = 15,
    labels: Sequence[str] | None = None,
) -> None:
    """Write an animated GIF of a stick salamander with these joint angles.

    The shape is that of the angles. The path is drawn, not simulated: the animal goes forward a fixed part of its
    length with every cycle, and turns with the mean bend of its body.

    Parameters
    ----------
    angles : array or DataArray, shape (time, joints), or DataFrame
        In rad, or in degrees where ``attrs["units"]`` says so: eight joints of the body from head to tail first; four
        more are legs, LF, RF, LH, RH.
    path : path
        Of the GIF.
    rate : float > 0, optional
        Samples a second; not needed of what is indexed by seconds.
    frames_per_second : int, at least 1
        About how many; at most ``rate``. The GIF runs in true time: its frames last a whole number of centiseconds, at
        least 2, as GIFs do, and show the motion at that time, between its samples too.
    labels : sequence of str, one a sample, optional
        Written above the animal: the gait, or the drive.

    Raises
    ------
    ValueError
        If there are fewer than 8 joints, there are not as many labels as samples, ``frames_per_second`` is no count, or
        the angles are nothing that :func:`plot_joint_angles` takes.

    Examples
    --------
    >>> import tempfile
    >>> t = np.arange(50)[:, None] / 25
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     animate_salamander(np.cos(2 * np.pi * (t - np.arange(8) / 8)), folder + "/swims.gif", 25.0)
    ...     os.path.getsize(folder + "/swims.gif") > 1000
    True
    """
    read = joint_angles(angles, rate)
    if read.values.shape[1] < 8:
        raise ValueError(
            f"A salamander has 8 joints in its body, and 4 limbs: angles has {read.values.shape[1]} columns."
        )
    if labels is not None and len(labels) != len(read.values):
        raise ValueError(f"labels has {len(labels)} entries, the angles {len(read.values)} samples: give one a sample.")
    check_count("frames_per_second", frames_per_second)
    values = np.deg2rad(read.values) if read.unit == "degrees" else read.values
    centiseconds = max(2, round(100 / min(frames_per_second, read.rate)))
    places = _frames(len(values), read.rate, centiseconds)
    bodies, limbs = _between(_bodies(values[:, :8], read.rate), places), _between(values[:, 8:12], places)
    texts = [f"{place / read.rate:.1f} s" for place in places]
    if labels is not None:
        texts = [f"{text}   {labels[int(place)]}" for text, place in zip(texts, places, strict=True)]
    _film(path, bodies, limbs, texts, centiseconds)


def _frames(samples: int, rate: float, centiseconds: int) -> Array:
    """Where every frame stands among the samples."""
    count = max(1, round(100 * samples / rate / centiseconds))
    return np.minimum(np.arange(count) * centiseconds * rate / 100, samples - 1)


def _between(track: Array, places: Array) -> Array:
    """A track (time, …) at places between its samples."""
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(track) - 1)
    share = (places - before).reshape(-1, *[1] * (track.ndim - 1))
    return track[before] * (1 - share) + track[after] * share


def _film(path: str | os.PathLike[str], bodies: Array, limbs: Array, texts: Sequence[str], centiseconds: int) -> None:
    """Write the frames; Pillow does it without the rounding of a rate of frames."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    drawing, axes = figure(width=4.0, height=4.2)
    canvas = FigureCanvasAgg(drawing)
    ground = np.stack(
        np.meshgrid(*(np.arange(low, high, 0.5) for low, high in _ground_limits(bodies))), axis=-1
    ).reshape(-1, 2)
    pictures = []
    for frame, text in enumerate(texts):
        _scene(axes, ground, bodies[: frame + 1], limbs[frame])
        axes.set_title(text, fontsize=10)
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    first, *others = pictures
    first.save(path, format="GIF", save_all=True, append_images=others, duration=10 * centiseconds, loop=0)


def _scene(axes: Axes, ground: Array, bodies: Array, limbs: Array) -> None:
    """The animal at the last of these bodies, on the path that it came."""
    axes.clear()
    axes.set_axis_off()
    x, y = bodies[-1, 4]
    axes.set(xlim=(x - SIGHT, x + SIGHT), ylim=(y - SIGHT, y + SIGHT), aspect="equal")
    axes.plot(*ground.T, ".", color=PALETTE["grid"], markersize=4)
    axes.plot(*bodies[:, 4].T, color=PALETTE["memory"], linewidth=3.0)
    _animal(axes, bodies[-1], limbs)


def _ground_limits(bodies: Array) -> list[tuple[float, float]]:
    """Least and greatest place in both directions, with what is in sight from there, on a grid of halves."""
    low, high = bodies.reshape(-1, 2).min(axis=0), bodies.reshape(-1, 2).max(axis=0)
    return [(np.floor(a) - 1.5, np.ceil(b) + 2.0) for a, b in zip(low, high, strict=True)]


def _bodies(body: Array, rate: float) -> Array:
    """The ten points of the body at every sample, (time, 10, 2), in body lengths."""
    segments = np.concatenate([np.zeros((len(body), 1)), np.cumsum(-body, axis=1)], axis=1)
    segments -= segments[:, :5].mean(axis=1, keepdims=True)
    heading, place = _path(body, rate)
    way = segments + heading[:, None]
    links = -np.stack([np.cos(way), np.sin(way)], axis=-1) / 9  # from the head backwards
    points = np.concatenate([np.zeros((len(body), 1, 2)), np.cumsum(links, axis=1)], axis=1)
    return np.asarray(points - points[:, 4:5] + place[:, None])


def _path(body: Array, rate: float) -> tuple[Array, Array]:
    """Heading (time,) and place (time, 2) of an animal that goes on by the rhythm, and turns by the mean bend."""
    window = max(8, round(2 * rate))
    speed = np.zeros(len(body))
    for begin in range(0, len(body), window):
        speed[begin : begin + window] = 0.3 * _late_frequency(body, begin + window, window, rate) / rate
    kernel = np.ones(min(window, len(body))) / min(window, len(body))
    bend = np.convolve(body.mean(axis=1), kernel, mode="same")
    heading = np.cumsum(2 * np.pi * BEND * bend * speed)
    return heading, np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1) * speed[:, None], axis=0)


def _late_frequency(body: Array, end: int, window: int, rate: float) -> float:
    """The frequency at the end of a stretch, measured over a longer one where needed; 0 if it stays unknown."""
    begin = max(0, min(end, len(body)) - window)
    piece = body[begin : begin + window]
    found = rhythm(piece, rate).frequency if len(piece) >= 8 else 0.0
    if np.isnan(found) and window < len(body):
        return _late_frequency(body, end, 2 * window, rate)
    return float(np.nan_to_num(found))


def _animal(axes: Axes, points: Array, limbs: Array) -> None:
    """Its body, its head, and its four legs: they reach forward as their angle grows."""
    axes.plot(*points.T, color=MODELS[0], linewidth=5, solid_capstyle="round")
    axes.plot(*points[0], "o", color=MODELS[0], markersize=11)
    for number, limb in enumerate(limbs):
        place, side = (2, 6)[number // 2], (1, -1)[number % 2]
        along = points[place - 1] - points[place]
        along = along / max(float(np.linalg.norm(along)), 1e-9)
        across = side * np.array([-along[1], along[0]])
        swing = np.clip(2 * (limb - 0.3), -0.8, 0.8)
        foot = points[place] + 0.1 * (np.cos(swing) * across + np.sin(swing) * along)
        axes.plot(*np.stack([points[place], foot]).T, color=MODELS[1], linewidth=3, solid_capstyle="round")

"""Motions in any container as arrays: the drive and the angles of every series, checked for what users get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray

from seqdyn.checks import check_count
from seqdyn.data.sequences import as_sequences

Array = np.ndarray[Any, Any]

TURNS = 4.0
"""Angles in radians that range over more turns than these are degrees."""

SLACK = 0.05
"""By how much of its range a drive may leave that of the training."""


class Motion(NamedTuple):
    """Series of one motion.

    Attributes
    ----------
    drives : list of array, shape (time, drives)
    angles : list of array, shape (time, joints)
    names, drive_names : tuple of str
        Of the joints, and of the columns of the drive.
    """

    drives: list[Array]
    angles: list[Array]
    names: tuple[str, ...]
    drive_names: tuple[str, ...]


def read_motion(drive: Any, angles: Any, joints: Any, rate: float) -> Motion:
    """Read a drive and the angles beside it.

    Parameters
    ----------
    drive : container or None
    angles : container
    joints : sequence of str, int or None
        Which joints there have to be: names, a number, or whatever is there.
    rate : float
        Samples a second; labels of time in seconds have to agree.

    Raises
    ------
    ValueError
        If a joint is missing, the time is another one, or drive and angles do not go together.
    """
    read = as_sequences(angles, "angles")
    given = tuple(map(str, read.features)) if read.features is not None else None
    rows = read.rows
    if given is not None and joints is not None and not isinstance(joints, int):
        rows, given = rows[:, _columns(given, joints)], tuple(joints)
    names = _names(given, joints, rows.shape[1])
    _check_time(angles, rate)
    cuts = np.cumsum(read.lengths)[:-1]
    series = np.split(rows, cuts)
    if drive is None:
        return Motion([np.zeros((len(part), 0)) for part in series], series, names, ())
    beside = as_sequences(drive, "drive")
    if not np.array_equal(beside.lengths, read.lengths):
        raise ValueError(
            f"drive has series of {beside.lengths.tolist()[:5]} steps, angles of {read.lengths.tolist()[:5]}: one row "
            "of the drive goes with every row of the angles."
        )
    columns = tuple(map(str, beside.features)) if beside.features is not None else None
    drive_names = columns or tuple(f"drive_{number}" for number in range(beside.rows.shape[1]))
    return Motion(np.split(beside.rows, cuts), series, names, drive_names)


def _columns(given: tuple[str, ...], joints: Sequence[str]) -> list[int]:
    """Where the joints stand among the columns of a frame."""
    missing = [joint for joint in joints if joint not in given]
    if missing:
        raise ValueError(f"The joints {missing} are missing from angles, which has {list(given)}.")
    return [given.index(joint) for joint in joints]


def _names(given: tuple[str, ...] | None, joints: Any, width: int) -> tuple[str, ...]:
    """The names of the joints, or an error if there are not as many as there should be."""
    expected = given if joints is None else tuple(joints) if not isinstance(joints, int) else None
    count = width if joints is None else joints if isinstance(joints, int) else len(joints)
    if count != width:
        named = f" {list(joints)}" if not isinstance(joints, int) else ""
        raise ValueError(f"angles has {width} columns, but the model is of {count} joints{named}.")
    return tuple(map(str, expected or given or (f"angle_{number}" for number in range(width))))


def _check_time(angles: Any, rate: float) -> None:
    """Raise if labels of time in seconds say another rate."""
    time = None
    if hasattr(angles, "columns"):
        time = np.asarray(angles.index.get_level_values(-1))
    elif hasattr(angles, "dims") and "time" in getattr(angles, "coords", {}):
        time = np.asarray(angles.coords["time"])
    if time is None or time.dtype.kind != "f" or len(time) < 2:
        return
    gaps = np.diff(time)
    step = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.0
    if step and abs(step * rate - 1) > 0.01:
        raise ValueError(
            f"angles is indexed by steps of {step:g} s, {1 / step:g} Hz, but rate={rate:g} Hz: set rate={1 / step:g}."
        )


def check_unit(angles: list[Array], names: Sequence[str], unit: str) -> None:
    """Raise if angles in radians look like degrees."""
    if unit != "radians":
        return
    ranges = np.ptp(np.concatenate(angles), axis=0)
    worst = int(ranges.argmax())
    if ranges[worst] > TURNS * 2 * np.pi:
        raise ValueError(
            f"The joint {names[worst]!r} ranges over {ranges[worst]:.3g} rad, more than {TURNS:g} turns: these look "
            "like degrees. Give np.deg2rad(angles), or unit='degrees'."
        )


def read_start(start: Any, names: Sequence[str], unit: str, span: Array) -> tuple[Array, bool]:
    """The angles a free run starts from, (series, warm-up, joints), and whether they are of one series."""
    if start is None:
        return np.zeros((1, 0, len(names))), True
    if hasattr(start, "columns"):
        start = start.iloc[:, _columns(tuple(map(str, start.columns)), names)].to_numpy()
    values = np.asarray(start, dtype=np.float64)
    if values.ndim not in (2, 3) or values.shape[-1] != len(names):
        raise ValueError(
            f"start has shape {values.shape}, expected (steps, {len(names)}) or (series, steps, {len(names)}): the "
            f"joints {list(names)}."
        )
    if not np.isfinite(values).all():
        raise ValueError("start holds NaN or infinity: a free run starts from angles that were observed.")
    check_scale(values, span, names, unit)
    return (values[None], True) if values.ndim == 2 else (values, False)


def check_scale(values: Array, span: Array, names: Sequence[str], unit: str) -> None:
    """Raise if angles lie so far outside of what was learnt that they are in another unit."""
    size = np.maximum(np.abs(span).max(), 1e-12)
    if values.size and unit == "radians" and np.abs(values).max() > 20 * size:
        worst = int(np.abs(values).reshape(-1, values.shape[-1]).max(axis=0).argmax())
        raise ValueError(
            f"start has {np.abs(values).max():.3g} in {names[worst]!r}, the training at most {size:.3g} rad: these "
            "look like degrees. Give np.deg2rad(start)."
        )


def read_drive(drive: Any, columns: int, led: int, count: int | None) -> tuple[Array, bool]:
    """The drive of a warm-up and a free run, (series, led + steps, columns), and whether of one series."""
    if drive is None or columns == 0:
        if columns or drive is not None:
            have = f"a drive of {columns} columns" if columns else "no drive"
            raise ValueError(f"The model was fitted with {have}: give it the same.")
        return np.zeros((1, led + _steps(count), 0)), True
    values = np.asarray(drive, dtype=np.float64)
    values = values[None] if values.ndim == 0 else values
    if values.ndim > 3 or values.shape[-1] != columns or not np.isfinite(values).all():
        raise ValueError(
            f"drive has shape {values.shape}, expected finite ({columns},), a constant, or (steps, {columns}) or "
            f"(series, steps, {columns})."
        )
    if values.ndim == 1:
        return np.broadcast_to(values, (1, led + _steps(count), columns)), True
    rows = values.shape[-2]
    wanted = rows if count is None else led + _steps(count)
    if rows < wanted or wanted <= led:
        raise ValueError(
            f"drive has {rows} rows, but start has {led} and {count or 1} steps are to follow: the drive begins beside "
            f"the first row of start and needs {led + (count or 1)} rows."
        )
    cut = values[..., :wanted, :]
    return (cut[None], True) if values.ndim == 2 else (cut, False)


def _steps(count: int | None) -> int:
    if count is None:
        raise ValueError("steps says how long to run, where no drive of every step does: give steps=….")
    return check_count("steps", count)


def check_drive(driven: Array, span: Array, names: Sequence[str]) -> None:
    """Raise if a drive leaves the range of the training."""
    low, high = span
    room = SLACK * (high - low) + 1e-9
    outside = (driven < low - room) | (driven > high + room)
    if outside.any():
        series, step, column = np.argwhere(outside)[0]
        raise ValueError(
            f"The drive {names[column]!r} is {driven[series, step, column]:g} at step {step}, outside of the range of "
            f"the training, {low[column]:g} to {high[column]:g}: what the model does there was never observed."
        )


def labelled(values: Array, names: Sequence[str], led: int, rate: float, single: bool, unit: str) -> xarray.DataArray:
    """Generated angles (series, time, joints) with their names and their time in seconds."""
    coordinates = {"time": (led + np.arange(values.shape[1])) / rate, "angle": list(names)}
    attributes = {"units": unit, "rate": rate}
    if single:
        return xarray.DataArray(values[0], coordinates, ("time", "angle"), name="angles", attrs=attributes)
    return xarray.DataArray(values, coordinates, ("series", "time", "angle"), name="angles", attrs=attributes)

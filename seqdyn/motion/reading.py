"""Motions in any container as arrays: the drive and the angles of every series, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.sequences import as_sequences

TURNS = 4.0
"""Angles in radians that range over more turns than these are degrees."""

SLACK = 0.05
"""By how much of its range a drive may leave that of the training."""


class Motion(NamedTuple):
    """Series of one motion: ``drives`` and ``angles``, arrays (time, columns), and what their columns are called."""

    drives: list[Array]
    angles: list[Array]
    names: tuple[str, ...]
    drive_names: tuple[str, ...]


class MotionTable(NamedTuple):
    """Series laid end to end: ``rows`` (total, columns), ``lengths`` (series,), ``names`` of the columns or None, and
    the labels of the rows, or None."""

    rows: Array
    lengths: Array
    names: tuple[str, ...] | None
    index: Any

    def parts(self) -> list[Array]:
        """One array a series."""
        return np.split(self.rows, np.cumsum(self.lengths)[:-1])


def read_columns(container: Any, what: str, names: Sequence[str] | None, rate: float) -> MotionTable:
    """Read any container; columns that have names are put in the order of ``names``, others are left out.

    ``what`` is how errors call it. Labels of time in seconds have to agree with the ``rate``.
    """
    framed = hasattr(container, "columns")
    if framed and names is not None:
        container = container.iloc[:, _column_places(tuple(map(str, container.columns)), names, what)]
    read = as_sequences(container, what)
    given = tuple(map(str, read.features)) if read.features is not None else None
    rows = read.rows
    if given is not None and names is not None and not framed:
        rows, given = rows[:, _column_places(given, names, what)], tuple(names)
    _check_time(container, what, rate)
    return MotionTable(rows, read.lengths, given, getattr(container, "index", None) if framed else None)


def read_motion(drive: Any, angles: Any, joints: Any, rate: float, drives: Sequence[str] | None = None) -> Motion:
    """Read a drive and the angles beside it.

    ``joints`` are the names, or the number, of those there have to be, ``drives`` the columns of the drive; None:
    whatever is there. Labels of time in seconds have to agree with the ``rate``.
    """
    wanted = None if joints is None or isinstance(joints, int) else tuple(joints)
    moved = read_columns(angles, "angles", wanted, rate)
    names = _joint_names(moved.names, joints, moved.rows.shape[1])
    if drive is None or (drives is not None and not drives):
        _check_same_drive(drive, drives)
        return Motion([np.zeros((len(part), 0)) for part in moved.parts()], moved.parts(), names, ())
    beside = read_columns(drive, "drive", drives, rate)
    if not np.array_equal(beside.lengths, moved.lengths):
        raise ValueError(
            f"drive has series of {beside.lengths.tolist()[:5]} steps, angles of {moved.lengths.tolist()[:5]}: one row "
            "of the drive goes with every row of the angles."
        )
    if beside.index is not None and moved.index is not None and not beside.index.equals(moved.index):
        raise ValueError("drive and angles are indexed differently: give frames of one index, or arrays.")
    if drives is not None and beside.rows.shape[1] != len(drives):
        raise ValueError(f"drive has {beside.rows.shape[1]} columns, but the model is driven by {list(drives)}.")
    own = beside.names or tuple(f"drive_{number}" for number in range(beside.rows.shape[1]))
    return Motion(beside.parts(), moved.parts(), names, tuple(drives or own))


def one_step_pairs(motion: Motion) -> tuple[list[Array], list[Array]]:
    """Rows (y_{t-1}, d_t) and y_t of every series; y_{-1} is not known."""
    rows = []
    for drive, angles in zip(motion.drives, motion.angles, strict=True):
        past = np.concatenate([np.full((1, angles.shape[1]), np.nan), angles[:-1]])
        rows.append(np.concatenate([past, drive], axis=1))
    return rows, list(motion.angles)


def value_range(parts: list[Array]) -> Array:
    """Least and greatest values over all series, (2, columns)."""
    together = np.concatenate(parts)
    return np.stack([together.min(axis=0, initial=np.inf), together.max(axis=0, initial=-np.inf)])


def _check_same_drive(drive: Any, drives: Sequence[str] | None) -> None:
    """Raise if there is a drive where the fit had none, or the other way round."""
    if drive is None and drives:
        raise ValueError(f"The model was fitted with a drive of {len(drives)} columns, {list(drives)}: give it.")
    if drive is not None:
        raise ValueError("The model was fitted with no drive: give None.")


def _column_places(given: tuple[str, ...], wanted: Sequence[str], what: str) -> list[int]:
    """Where columns stand among those of a frame."""
    missing = [name for name in wanted if name not in given]
    if missing:
        kind = "joints" if what != "drive" else "columns"
        raise ValueError(f"The {kind} {missing} are missing from {what}, which has {list(given)}.")
    return [given.index(name) for name in wanted]


def _joint_names(given: tuple[str, ...] | None, joints: Any, width: int) -> tuple[str, ...]:
    """The names of the joints, or an error if there are not as many as there should be."""
    expected = given if joints is None else tuple(joints) if not isinstance(joints, int) else None
    count = width if joints is None else joints if isinstance(joints, int) else len(joints)
    if count != width:
        named = f" {list(joints)}" if not isinstance(joints, int) else ""
        raise ValueError(f"angles has {width} columns, but the model is of {count} joints{named}.")
    return tuple(map(str, expected or given or (f"angle_{number}" for number in range(width))))


def _check_time(container: Any, what: str, rate: float) -> None:
    """Raise if labels of time in seconds say another rate."""
    time = None
    if hasattr(container, "columns"):
        time = np.asarray(container.index.get_level_values(-1))
    elif hasattr(container, "dims") and "time" in getattr(container, "coords", {}):
        time = np.asarray(container.coords["time"])
    if time is None or time.dtype.kind != "f" or len(time) < 2:
        return
    gaps = np.diff(time)
    step = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.0
    if step and abs(step * rate - 1) > 0.01:
        raise ValueError(
            f"{what} is indexed by steps of {step:g} s, {1 / step:g} Hz, but rate={rate:g} Hz: set rate={1 / step:g}."
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


def read_start(start: Any, names: Sequence[str], unit: str, span: Array, rate: float) -> tuple[Array, bool]:
    """The angles a free run starts from, (series, warm-up, joints), and whether they are of one series."""
    if start is None:
        return np.zeros((1, 0, len(names))), True
    if not hasattr(start, "columns") and not hasattr(start, "dims") and np.shape(start)[-1:] != (len(names),):
        raise ValueError(
            f"start has shape {np.shape(start)}, expected (steps, {len(names)}) or (series, steps, {len(names)}): the "
            f"joints {list(names)}."
        )
    read = read_columns(start, "start", names, rate)
    values = _together(read, "start")
    check_scale(values, span, names, unit)
    return values, np.ndim(start) == 2 and len(values) == 1


def _together(table: MotionTable, what: str) -> Array:
    """Series of one length as (series, steps, columns)."""
    if len(set(table.lengths.tolist())) > 1:
        raise ValueError(
            f"{what} has series of {sorted(set(table.lengths.tolist()))} steps: side by side they need one length."
        )
    return np.stack(table.parts())


def check_scale(values: Array, span: Array, names: Sequence[str], unit: str) -> None:
    """Raise if angles lie so far outside of what was learnt that they are in another unit."""
    size = np.maximum(np.abs(span).max(), 1e-12)
    if values.size and unit == "radians" and np.abs(values).max() > 20 * size:
        worst = int(np.abs(values).reshape(-1, values.shape[-1]).max(axis=0).argmax())
        raise ValueError(
            f"start has {np.abs(values).max():.3g} in {names[worst]!r}, the training at most {size:.3g} rad: these "
            "look like degrees. Give np.deg2rad(start)."
        )


def read_drive(drive: Any, names: Sequence[str], led: int, count: int | None, rate: float = 1.0) -> tuple[Array, bool]:
    """The drive of a warm-up and a free run, (series, led + steps, columns), and whether of one series."""
    columns = len(names)
    if drive is None or not names:
        _check_same_drive(drive, names)
        return np.zeros((1, led + _checked_steps(count), 0)), True
    plain = not hasattr(drive, "columns") and not hasattr(drive, "dims")
    shape = np.shape(drive)
    if plain and (len(shape) > 3 or (shape or (1,))[-1] != columns):
        raise ValueError(
            f"drive has shape {shape}, expected ({columns},), a constant, or (steps, {columns}) or (series, steps, "
            f"{columns})."
        )
    if plain and len(shape) < 2:
        return np.broadcast_to(constant_drive(drive, names), (1, led + _checked_steps(count), columns)), True
    values = _together(read_columns(drive, "drive", names, rate), "drive")
    rows = values.shape[1]
    wanted = rows if count is None else led + _checked_steps(count)
    if rows < wanted or wanted <= led:
        raise ValueError(
            f"drive has {rows} rows, but start has {led} and {count or 1} steps are to follow: the drive begins beside "
            f"the first row of start and needs {led + (count or 1)} rows."
        )
    return values[:, :wanted], len(shape) == 2 and len(values) == 1


def constant_drive(drive: Any, names: Sequence[str]) -> Array:
    """A constant drive, (columns,)."""
    if drive is None or not names:
        _check_same_drive(drive, names)
        return np.zeros(0)
    values = np.atleast_1d(np.asarray(drive, dtype=np.float64))
    if values.shape != (len(names),) or not np.isfinite(values).all():
        raise ValueError(f"A constant drive is {len(names)} finite numbers, {list(names)}, got {drive!r}.")
    return values


def _checked_steps(count: int | None) -> int:
    if count is None:
        raise ValueError("steps is None, and no drive of every step says how long to run: give steps=….")
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


def labelled_angles(
    values: Array, names: Sequence[str], led: int, rate: float, single: bool, unit: str
) -> xarray.DataArray:
    """Generated angles (series, time, joints) with their names and their time in seconds."""
    coordinates = {"time": (led + np.arange(values.shape[1])) / rate, "angle": list(names)}
    attributes = {"units": unit, "rate": rate}
    if single:
        return xarray.DataArray(values[0], coordinates, ("time", "angle"), name="angles", attrs=attributes)
    return xarray.DataArray(values, coordinates, ("series", "time", "angle"), name="angles", attrs=attributes)

"""The joint angles of one motion in any container: their numbers, rate, names, unit and beginning."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import is_number

UNEVEN = 0.1
"""Steps of time that differ by more than this share from the median are uneven."""

SPELLINGS = {"rad": ("rad", "radian", "radians"), "degrees": ("degrees", "degree", "deg", "°")}
"""What containers call the units of angles."""


class JointAngles(NamedTuple):
    """The angles of one motion, ``values`` (time, joints), at a ``rate`` in Hz; the first sample is at ``begin``, in s.

    ``unit`` is ``"rad"``, ``"degrees"`` or another that the container says; ``names`` are those of the joints. Both may
    be None.
    """

    values: Array
    rate: float
    names: tuple[str, ...] | None
    unit: str | None
    begin: float


def joint_angles(angles: Any, rate: float | None = None, name: str = "angles") -> JointAngles:
    """Read the angles (time, joints) of one motion from an array, or from what is labelled.

    A frame may be indexed by (series, time), with one series. The ``rate``, in Hz, is not needed of what is indexed by
    floating-point seconds. ``name`` is how messages call the angles.

    Examples
    --------
    >>> import pandas as pd
    >>> read = joint_angles(pd.DataFrame({"hip": np.zeros(9)}, index=3 + np.arange(9) / 25))
    >>> round(read.rate, 6), read.names, read.begin
    (25.0, ('hip',), 3.0)
    """
    _check_single(angles, name)
    values = np.asarray(angles, dtype=np.float64)
    if values.ndim != 2 or len(values) < 8 or values.shape[1] < 1:
        raise ValueError(f"{name} has shape {values.shape}, expected (time, joints) with at least 8 samples.")
    if not np.isfinite(values).all():
        step, joint = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"{name} is NaN or infinite, first at sample {step}, joint {joint}.")
    time, names = _labels(angles)
    begin = 0.0 if time is None else float(time[0])
    return JointAngles(values, _rate(time, rate, name), names, _unit(angles), begin)


def _check_single(angles: Any, name: str) -> None:
    """Raise if a frame holds several series."""
    if not hasattr(angles, "columns") or angles.index.nlevels == 1:
        return
    series = angles.index.droplevel(-1).unique()
    if len(series) > 1:
        shown = f"{', '.join(map(str, series.names))}: {', '.join(map(str, series[:3]))}{', …' * (len(series) > 3)}"
        raise ValueError(
            f"{name} holds {len(series)} series ({shown}): they are no single motion. Give one, as "
            f"{name}.loc[{series.tolist()[0]!r}]."
        )


def _labels(angles: Any) -> tuple[Array | None, tuple[str, ...] | None]:
    """Time in seconds and names of joints of what is labelled; None where there are none."""
    time = names = None
    if hasattr(angles, "columns"):
        time, names = np.asarray(angles.index.get_level_values(-1)), tuple(map(str, angles.columns))
    elif hasattr(angles, "dims"):
        time = np.asarray(angles.coords["time"]) if "time" in angles.coords else None
        names = tuple(map(str, angles.coords["angle"].values)) if "angle" in angles.coords else None
    return (time if time is not None and time.ndim == 1 and time.dtype.kind == "f" else None), names


def _rate(time: Array | None, rate: float | None, name: str) -> float:
    """Samples a second: of the index, or as given; where both say it they have to agree."""
    if rate is not None and (not is_number(rate) or not 0 < rate < np.inf):
        raise ValueError(f"rate must be the samples a second, a positive number, got {rate!r}.")
    own = None if time is None else _own_rate(time, name)
    if rate is None and own is None:
        raise ValueError(f"rate is None, and {name} is not indexed by seconds (floats): give samples a second.")
    if rate is not None and own is not None and abs(own / rate - 1) > 0.01:
        raise ValueError(
            f"rate={rate:g} Hz, but {name} is indexed by steps of {1 / own:g} s, {own:g} Hz: leave out rate."
        )
    return float(rate or own or 0.0)


def _own_rate(time: Array, name: str) -> float:
    """The rate of even time; the mean step is taken, which the rounding of times does not bias."""
    steps = np.diff(time)
    median = float(np.median(steps))
    uneven = ~(np.abs(steps - median) <= UNEVEN * median)
    if uneven.any():
        place = int(np.flatnonzero(uneven)[0])
        raise ValueError(
            f"The time of {name} is uneven: {steps[place]:g} s from sample {place} to the next, usual: {median:g} s. "
            "Resample it to even steps, or cut it where a piece is missing."
        )
    return (len(time) - 1) / float(time[-1] - time[0])


def _unit(angles: Any) -> str | None:
    """What a container says of its unit: one for all, or the same of every column."""
    said = getattr(angles, "attrs", {}).get("units")
    told = [said.get(column) for column in getattr(angles, "columns", ())] if isinstance(said, dict) else [said]
    if not told or any(each != told[0] for each in told) or told[0] is None:
        return None
    return next((unit for unit, names in SPELLINGS.items() if told[0] in names), str(told[0]))

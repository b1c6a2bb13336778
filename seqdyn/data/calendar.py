"""Calendar features: where an instant stands in its hour, day, week and year."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.data.offsets import unit_of

CYCLES: dict[str, tuple[Callable[[pd.DatetimeIndex], Any], float]] = {
    "minute": (lambda t: t.minute, 60),
    "hour": (lambda t: t.hour + t.minute / 60, 24),
    "day_of_week": (lambda t: t.day_of_week + t.hour / 24, 7),
    "day_of_month": (lambda t: (t.day - 1) / t.days_in_month, 1),
    "day_of_year": (lambda t: t.day_of_year - 1, 365.25),
    "month": (lambda t: t.month - 1, 12),
    "quarter": (lambda t: t.quarter - 1, 4),
}
"""Every cycle: the phase of an instant, and how long a turn is. Each gives a sine and a cosine."""

AUTOMATIC: dict[str, tuple[str, ...]] = {
    "ns": ("minute", "hour"),
    "s": ("minute", "hour"),
    "min": ("hour", "day_of_week"),
    "h": ("hour", "day_of_week", "day_of_year"),
    "D": ("day_of_week", "day_of_month", "day_of_year"),
    "B": ("day_of_week", "day_of_month", "day_of_year"),
    "W": ("day_of_year",),
    "SM": ("day_of_month", "day_of_year"),
    "M": ("month",),
    "Q": ("quarter",),
}
"""The features that go with a unit of time."""


def calendar_names(choice: Any, season_length: int, freq: Any, kind: str) -> tuple[str, ...]:
    """Return the calendar features that are asked for: none, those named, or those that fit the frequency (``"auto"``).

    Raises
    ------
    ValueError
        If there is no such feature, or times are integers.

    Examples
    --------
    >>> calendar_names("auto", 12, "MS", "datetime"), calendar_names("hour", 24, "h", "datetime")
    (('month',), ('hour',))
    """
    if choice is None or (not isinstance(choice, str) and not len(choice)):
        return ()
    if isinstance(choice, str) and choice != "auto":
        choice = (choice,)
    if choice == "auto":
        return _fitting_cycles(freq, kind)
    unknown = [name for name in choice if name not in CYCLES]
    if unknown:
        raise ValueError(f"calendar features are {', '.join(map(repr, CYCLES))} or 'auto', got {unknown[0]!r}.")
    if kind in ("integer", "float"):
        raise ValueError("Numbers as times have no calendar: use dates or periods, or leave calendar out.")
    return tuple(choice)


def calendar_features(stamps: pd.Index, names: Sequence[str]) -> Array:
    """Return sin and cos of 2π · phase for every feature, shape (time, 2 · features).

    Examples
    --------
    >>> calendar_features(pd.date_range("2020-01-01", periods=3, freq="6h"), ["hour"]).round(2) + 0.0
    array([[ 0.,  1.],
           [ 1.,  0.],
           [ 0., -1.]])
    """
    if not names:
        return np.zeros((len(stamps), 0))
    instants = stamps.to_timestamp() if isinstance(stamps, pd.PeriodIndex) else stamps
    waves = []
    for name in names:
        phase, turn = CYCLES[name]
        angle = 2 * np.pi * np.asarray(phase(instants), dtype=np.float64) / turn
        waves += [np.sin(angle), np.cos(angle)]
    return np.stack(waves, axis=1)


def _fitting_cycles(freq: Any, kind: str) -> tuple[str, ...]:
    """The cycles longer than a step and not longer than a year."""
    if kind in ("integer", "float"):
        return ()
    unit, multiple = unit_of(freq)
    if unit in ("D", "B") and multiple >= 7:
        unit = "W"
    return AUTOMATIC.get(unit, ())

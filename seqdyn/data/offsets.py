"""Steps of a calendar: pandas' offsets, their spelling, their seasons, and how files store them."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Any

import numpy as np
import pandas as pd

SEASONS = {"s": 60, "min": 1440, "h": 24, "D": 7, "B": 5, "W": 52, "SM": 24, "M": 12, "Q": 4, "HY": 2, "Y": 1}
"""Steps in a season, by unit of time; a multiple of the unit divides it where it can."""

CALENDAR_UNITS = {
    name: name.lstrip("B")[0] for name in ("MS", "ME", "BMS", "BME", "QS", "QE", "BQS", "BQE", "YS", "YE", "BYS", "BYE")
} | {
    **dict.fromkeys(("WOM", "LWOM", "CBMS", "CBME"), "M"),
    **dict.fromkeys(("SMS", "SME"), "SM"),
    **dict.fromkeys(("HYS", "HYE", "BHYS", "BHYE"), "HY"),
    **{"C": "B", "REQ": "Q", "RE": "Y"},
}
"""Units of the calendar by what pandas calls their beginnings and ends, its weeks of months and its 4-4-5 calendars."""

KEYWORDS = {"months": "M", "years": "Y", "weeks": "W", "days": "D", "hours": "h", "minutes": "min", "seconds": "s"}
"""The steps of a ``DateOffset``."""

BUSINESS = ("CustomBusinessDay", "CustomBusinessHour", "CustomBusinessMonthEnd", "CustomBusinessMonthBegin")
"""Offsets that hold a calendar of open days."""

WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def offset_of(freq: Any) -> Any:
    """Return a frequency of dates or periods as a pandas offset.

    It may be all that pandas takes; of periods also the names of theirs, M, Q and Y.

    Raises
    ------
    ValueError
        If pandas knows no such frequency, or it goes backwards.

    Examples
    --------
    >>> offset_of("2M") == offset_of("2ME"), offset_of("D").n
    (True, 1)
    """
    if isinstance(freq, str):  # periods call the ends of months, quarters and years M, Q and Y
        freq = re.sub(r"^(\d*)([MQY])(?=-|$)", r"\1\2E", freq)
    try:
        offset = pd.tseries.frequencies.to_offset(freq)
        if offset is not None and offset.n > 0:
            return offset
        cause: Exception | None = None
    except (ValueError, TypeError) as error:
        cause = error
    raise ValueError(
        f"freq={freq!r} is no pandas frequency; examples: 'min', 'h', 'D', 'B', 'W', 'MS', 'ME', 'QE', 'YE', or an "
        "offset such as pandas.DateOffset(months=1)."
    ) from cause


def spelled(offset: Any) -> Any:
    """Return the alias of an offset if it describes the offset fully, else the offset itself.

    Examples
    --------
    >>> spelled(pd.offsets.Hour(2)), spelled(pd.offsets.CustomBusinessDay(holidays=["2024-12-25"]))
    ('2h', <CustomBusinessDay>)
    """
    if type(offset) is pd.DateOffset:
        return offset
    if type(offset).__name__ in BUSINESS:
        offset = offset_from(offset_content(offset))
    alias: str = offset.freqstr
    try:
        return alias if pd.tseries.frequencies.to_offset(alias) == offset else offset
    except ValueError:
        return offset


def unit_of(freq: Any) -> tuple[str, int]:
    """Return the unit of a frequency, one of :data:`SEASONS`, and how many units one step has.

    Examples
    --------
    >>> unit_of("90min"), unit_of("3600s"), unit_of("QS-OCT"), unit_of("2M"), unit_of(pd.DateOffset(months=1, day=15))
    (('min', 90), ('h', 1), ('Q', 1), ('M', 2), ('M', 1))
    """
    offset = offset_of(freq)
    if type(offset) is pd.DateOffset:
        steps = [(KEYWORDS[name], int(count)) for name, count in offset.kwds.items() if name in KEYWORDS]
        return (steps[0][0], steps[0][1] * int(offset.n)) if len(steps) == 1 else ("DateOffset", int(offset.n))
    if not isinstance(offset, pd.tseries.offsets.Tick):
        name = type(offset).__name__ if isinstance(offset, pd.offsets.Easter) else offset.rule_code.split("-")[0]
        return CALENDAR_UNITS.get(name, name), int(offset.n)
    step = pd.Timedelta(offset).value
    for unit, size in (("D", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if step % (size * 10**9) == 0:
            return unit, step // (size * 10**9)
    return "ns", step


def season_of(freq: Any) -> int:
    """m, the steps in a season; of custom business days the open days in a week, 1 where no season is known.

    Examples
    --------
    >>> season_of("2h"), season_of("SME"), season_of(pd.offsets.CustomBusinessDay(weekmask="Mon Wed Fri"))
    (12, 24, 3)
    """
    unit, multiple = unit_of(freq)
    season = SEASONS.get(unit, 1)
    offset = offset_of(freq)
    if type(offset).__name__ == "CustomBusinessDay":
        season = int(np.sum(offset.calendar.weekmask))
    return season // multiple if season % multiple == 0 else 1


def monthly(months: int, day: int) -> Any:
    """Return the date some months later, on the given day, or on the last day of a shorter month.

    pandas' own ``DateOffset(months=1)`` forgets the day: 31 January, 29 February, 29 March.

    Examples
    --------
    >>> [str(stamp.date()) for stamp in pd.date_range("2024-01-31", periods=3, freq=monthly(1, 31))]
    ['2024-01-31', '2024-02-29', '2024-03-31']
    """
    years, rest = divmod(months, 12)
    return pd.DateOffset(months=months, day=day) if rest else pd.DateOffset(years=years, day=day)


def anchored(offset: Any, stamps: pd.DatetimeIndex) -> Any:
    """A ``DateOffset`` of whole months with the day that stamps fall on; any other offset as it is."""
    counts = getattr(offset, "kwds", {})
    if type(offset) is not pd.DateOffset or not counts or not counts.keys() <= {"months", "years"}:
        return offset
    months = int(offset.n) * (int(counts.get("months", 0)) + 12 * int(counts.get("years", 0)))
    return monthly(months, int(stamps.day.max()))


def offset_content(offset: Any) -> dict[str, Any]:
    """An offset as its class name and keyword arguments, plain values that files can hold.

    Examples
    --------
    >>> offset_content(pd.DateOffset(months=1, day=15))
    {'name': 'DateOffset', 'arguments': {'n': 1, 'normalize': False, 'day': 15, 'months': 1}}
    >>> offset_from(offset_content(pd.offsets.CustomBusinessDay(holidays=["2024-12-25"]))).holidays
    (np.datetime64('2024-12-25'),)
    """
    known = dict(offset.kwds)
    calendar = known.pop("calendar", None)
    if calendar is not None:  # it holds the open days, wherever they were given
        known["weekmask"] = " ".join(day for day, is_open in zip(WEEK, calendar.weekmask, strict=True) if is_open)
        known["holidays"] = calendar.holidays
    arguments = {name: _without_objects(value) for name, value in sorted(known.items()) if value is not None}
    plain = {"n": int(offset.n), "normalize": bool(offset.normalize)}
    return {"name": type(offset).__name__, "arguments": plain | arguments}


def offset_from(content: dict[str, Any]) -> Any:
    """The inverse of :func:`offset_content`.

    Raises
    ------
    ValueError
        If pandas has no offset of that name.
    """
    kind = getattr(pd.offsets, content["name"], None)
    if not (isinstance(kind, type) and issubclass(kind, pd.offsets.BaseOffset)):
        raise ValueError(f"{content['name']!r} is no offset of pandas.")
    arguments = dict(content["arguments"])
    if "offset" in arguments:
        arguments["offset"] = timedelta(seconds=arguments["offset"])
    for name in {"start", "end"} & arguments.keys():
        arguments[name] = [time.fromisoformat(text) for text in arguments[name]]
    return kind(**arguments)


def _without_objects(value: Any) -> Any:
    """An argument of an offset without objects."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple | np.ndarray):
        return [_without_objects(item) for item in value]
    if isinstance(value, time | np.datetime64):
        return value.isoformat() if isinstance(value, time) else str(value)
    return value.item() if isinstance(value, np.generic) else value

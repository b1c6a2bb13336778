"""Candidates for the frequency of time stamps, the likeliest first."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.data.offsets import monthly, spelled, unit_of

DAY = 86_400 * 10**9
"""Nanoseconds."""


def candidate_frequencies(stamps: pd.DatetimeIndex) -> Iterator[Any]:
    """Yield the frequencies to try. None is so fine that most of its instants would have no stamp.

    What pandas finds in all of the stamps; then what it finds in stretches of them and what days of the month say, the
    coarsest first; then the greatest step that divides all gaps.

    Parameters
    ----------
    stamps : DatetimeIndex
        Unique and sorted.

    Yields
    ------
    str or offset
        None for fewer than three stamps.

    Examples
    --------
    >>> import pandas as pd
    >>> next(candidate_frequencies(pd.to_datetime(["2024-07-15", "2024-08-15", "2024-09-15"])))
    <DateOffset: day=15, months=1>
    """
    if len(stamps) >= 3:
        yield from (freq for freq in _coarsest_first(stamps) if fits_memory(stamps, freq))


def _coarsest_first(stamps: pd.DatetimeIndex) -> Iterator[Any]:
    whole, months = _inferred(stamps), _of_months(stamps)
    if whole is not None and not (months and unit_of(whole)[0] == "D"):  # three 15ths may lie 31 days apart
        yield whole
    found = {
        freq for width in (5, 3) for part in _runs_of_stamps(stamps, width) if (freq := _inferred(part)) is not None
    }
    if months:
        found = {freq for freq in found if unit_of(freq)[0] != "D"}
    start = stamps[0].tz_localize(None)
    yield from sorted([*found, *months], key=lambda freq: -_span(start, freq))
    yield from _divisor(stamps)


def fits_memory(stamps: pd.DatetimeIndex, freq: Any) -> bool:
    """Whether the number of instants of a frequency is in proportion to the number of stamps."""
    start = stamps[0].tz_localize(None)
    steps = 12 * (stamps[-1] - stamps[0]).total_seconds() / max(_span(start, freq), 1e-12)
    return steps <= 1000 * len(stamps) + 100_000


def _inferred(stamps: pd.DatetimeIndex) -> str | None:
    """What pandas finds: an alias, or an offset in newer versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pd.infer_freq(stamps)
    return None if found is None else str(getattr(found, "freqstr", found))


def _runs_of_stamps(stamps: pd.DatetimeIndex, width: int) -> list[pd.DatetimeIndex]:
    """Up to 200 runs of neighbouring stamps, spread over all of them."""
    width = min(width, len(stamps))
    places = np.unique(np.linspace(0, len(stamps) - width, 200).astype(int))
    return [stamps[place : place + width] for place in places]


def _of_months(stamps: pd.DatetimeIndex) -> list[Any]:
    """What the days of the month say: the same one every so many months, two a month, or the last Friday."""
    wall = stamps.tz_localize(None)
    if (wall - wall.normalize()).nunique() > 1:
        return []
    day, end = wall.day, wall.days_in_month
    largest = int(day.max())
    if (day == np.minimum(largest, end)).all():
        step = int(np.gcd.reduce(np.diff(12 * wall.year + wall.month)))
        return [_same_day(step, largest, bool((day == end).all()))] if step else []
    first, middle, last = day == 1, day == 15, day == end
    if middle.any() and (first | middle).all():
        return ["SMS"]
    if middle.any() and (middle | last).all():
        return ["SME"]
    if (day > end - 7).all() and wall.day_of_week.nunique() == 1:
        return [spelled(pd.offsets.LastWeekOfMonth(weekday=int(wall.day_of_week[0])))]
    return []


def _same_day(months: int, day: int, at_end: bool) -> Any:
    """Every so many months on a day: by an alias, where that day is the first or the last."""
    if day == 1 or at_end:
        return f"{months}MS" if day == 1 else f"{months}ME"
    return monthly(months, day)


def _span(start: pd.Timestamp, freq: Any) -> float:
    """How long twelve steps take."""
    instants = pd.date_range(start, periods=13, freq=freq)
    return float((instants[-1] - instants[0]).total_seconds())


def _divisor(stamps: pd.DatetimeIndex) -> list[str]:
    """Days, if all gaps on the wall clock are; else the greatest common divisor of the true gaps."""
    wall = np.gcd.reduce(np.diff(stamps.tz_localize(None).as_unit("ns").asi8))
    if wall % DAY == 0:
        return [f"{wall // DAY}D"]
    smallest = int(np.gcd.reduce(np.diff(stamps.as_unit("ns").asi8)))
    return [pd.tseries.frequencies.to_offset(pd.Timedelta(smallest, "ns")).freqstr]

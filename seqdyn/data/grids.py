"""Grids of time: the regular instants that observations lie on, from dates, periods, integers or numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.data.labels import counted, quoted
from seqdyn.data.offsets import anchored, monthly, offset_of, season_of, spelled, unit_of

WAYS = (
    "give freq=, the step, if rows are missing; else resample them to a regular step, e.g. with numpy.interp, or make "
    "them dates with pandas.to_datetime(…, unit='s')."
)
"""What to do about numbers that are irregular."""


@dataclass(frozen=True)
class Grid:
    """Instants at equal steps of a calendar.

    Attributes
    ----------
    freq : str, offset or int
        A pandas frequency (``"h"``, ``"MS"``, …), an offset where no alias says all of it (custom business days with
        their holidays, ``DateOffset(months=1, day=15)``), or the step between integers or numbers.
    kind : {"datetime", "period", "integer", "float"}
        Numbers with a fraction, such as seconds, are compared to a millionth of a step.
    """

    freq: Any
    kind: str

    def between(self, first: Any, last: Any) -> pd.Index:
        """All instants from the first to the last."""
        if self.kind == "integer":
            return pd.RangeIndex(int(first), int(last) + 1, int(self.freq))
        if self.kind == "float":
            return self.rounded(pd.Index(first + self.freq * np.arange(round((last - first) / self.freq) + 1)))
        if self.kind == "period":
            return pd.period_range(first, last, freq=self.freq)
        return self._dates(first, end=last)

    def after(self, last: Any, steps: int) -> pd.Index:
        """The next instants."""
        if self.kind == "integer":
            step = int(self.freq)
            return pd.RangeIndex(int(last) + step, int(last) + step * (steps + 1), step)
        if self.kind == "float":
            return self.rounded(pd.Index(last + self.freq * np.arange(1, steps + 1)))
        if self.kind == "period":
            return pd.period_range(last + 1, periods=steps, freq=self.freq)
        return self._dates(last, periods=steps + 1)[1:]

    def _dates(self, first: pd.Timestamp, **until: Any) -> pd.DatetimeIndex:
        """Hours and parts of them pass evenly; all else goes by the wall clock, which may skip or repeat an instant."""
        offset = offset_of(self.freq)
        even = isinstance(offset, pd.tseries.offsets.Tick) and not isinstance(offset, pd.tseries.offsets.Day)
        if first.tz is None or even:
            return pd.date_range(first, freq=offset, **until)
        if "end" in until:
            until = {"end": until["end"].tz_localize(None)}
        wall = pd.date_range(first.tz_localize(None), freq=offset, **until)
        return wall.tz_localize(first.tz, nonexistent="shift_forward", ambiguous=np.ones(len(wall), bool))

    def rounded(self, stamps: pd.Index) -> pd.Index:
        """Round stamps that are numbers to the grid; return other stamps as they are."""
        if self.kind != "float":
            return stamps
        digits = 6 - int(np.floor(np.log10(self.freq)))
        return pd.Index(np.round(stamps.to_numpy(dtype=np.float64), digits), name=stamps.name)

    def same(self, other: Grid, first: Any, last: Any) -> bool:
        """Whether another grid has the same instants from the first to the last and after it, however it is spelled.

        Examples
        --------
        >>> Grid("3MS", "datetime").same(Grid("QS-JAN", "datetime"), pd.Timestamp("2024-01-01"), pd.Timestamp("2025"))
        True
        """
        if self == other or self.kind != other.kind or self.kind == "period":
            return self == other
        own = self.between(first, last)
        if not len(own) or not own.equals(other.between(first, last)):
            return False
        return self.after(own[-1], 24).equals(other.after(own[-1], 24))

    def season_length(self) -> int:
        """m, the steps in a season: 24 for hours, 12 for months, 7 for days …; 1 where none is known.

        Examples
        --------
        >>> Grid("2h", "datetime").season_length(), Grid("MS", "datetime").season_length()
        (12, 12)
        """
        return 1 if self.kind in ("integer", "float") else season_of(self.freq)


def grid_of(stamps: pd.Index, freq: Any = None) -> Grid:
    """Return the grid that stamps lie on, given or found. Some of its instants may be missing.

    Parameters
    ----------
    stamps : Index
        Unique and sorted.
    freq : str, offset or int, optional
        The frequency, if it is known: any that pandas has. A ``DateOffset`` of months keeps the day of the stamps.

    Raises
    ------
    ValueError
        If there is no such grid, or the stamps do not lie on the given one.

    Examples
    --------
    >>> grid_of(pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-05-01"])).freq
    'MS'
    """
    kind = _kind_of_stamps(stamps)
    if kind == "period":
        own = stamps.freqstr
        if freq is not None and offset_of(freq) != offset_of(own):
            raise ValueError(f"The periods have the frequency {own!r}, but freq={freq!r} was given: leave it out.")
        return Grid(own, kind)
    if kind == "integer":
        return _integers(stamps.to_numpy(), freq)
    if kind == "float":
        return _floats(stamps, freq)
    if freq is not None:
        return _grid_of_offset(stamps, offset_of(freq))
    for candidate in candidate_frequencies(stamps):
        grid = Grid(candidate, kind)
        if _off(stamps, grid) is None:
            return grid
    raise ValueError(
        f"No frequency fits the {counted(len(stamps), 'stamp')} from {stamps[0]!s} to {stamps[-1]!s}: they lie on no "
        "regular grid, or are too few. Give freq='h', 'D', 'MS', … or an offset, as pandas.offsets.FY5253Quarter for "
        "4-4-5 quarters; or resample the frame first."
    )


def positions(stamps: pd.Index, full: pd.Index) -> Array:
    """Return the positions of stamps on a grid; −1 for those that are not on it."""
    return cast(Array, full.get_indexer(stamps))


def _kind_of_stamps(stamps: pd.Index) -> str:
    if isinstance(stamps, pd.PeriodIndex):
        return "period"
    if isinstance(stamps, pd.DatetimeIndex):
        return "datetime"
    if pd.api.types.is_integer_dtype(stamps.dtype):
        return "integer"
    if pd.api.types.is_float_dtype(stamps.dtype):
        return "float"
    raise ValueError(
        f"Times must be dates, periods or numbers, got {stamps.dtype} such as {quoted(stamps[0])}: make them dates "
        "with pandas.to_datetime."
    )


def _grid_of_offset(stamps: pd.DatetimeIndex, offset: Any) -> Grid:
    """The grid of a frequency that was given, if the stamps lie on it."""
    grid = Grid(spelled(offset), "datetime")
    if not fits_memory(stamps, offset):
        raise ValueError(
            f"freq={grid.freq!r} is too fine for {counted(len(stamps), 'stamp')} from {stamps[0]!s} to "
            f"{stamps[-1]!s}: round the stamps to a coarser one."
        )
    kept = Grid(spelled(anchored(offset, stamps)), "datetime")
    return kept if _off(stamps, kept) is None else _check_on_grid(stamps, grid)


def _integers(stamps: Array, freq: Any) -> Grid:
    if freq is None:
        gaps = np.diff(stamps)
        return Grid(int(np.gcd.reduce(gaps)) if len(gaps) else 1, "integer")
    if isinstance(freq, bool) or not isinstance(freq, int | np.integer) or freq < 1:
        raise ValueError(f"With integer times freq is a step of at least 1, got {freq!r}.")
    return _check_on_grid(pd.Index(stamps), Grid(int(freq), "integer"))


def _floats(stamps: pd.Index, freq: Any) -> Grid:
    """The step between numbers: the one given, or the smallest there is, measured over all of them."""
    if freq is None and len(stamps) < 2:
        raise ValueError(f"One time, {stamps[0]}, has no step to the next: give freq=, the step.")
    if freq is not None and (isinstance(freq, bool) or not isinstance(freq, int | float | np.number) or not freq > 0):
        raise ValueError(f"With numbers as times freq is a step above 0, got {freq!r}.")
    extent = float(stamps[-1] - stamps[0])
    step = float(np.diff(stamps).min()) if freq is None else float(freq)
    count = round(extent / step)
    if count > 1000 * len(stamps) + 100_000:
        raise ValueError(f"The {len(stamps)} times from {stamps[0]} to {stamps[-1]} are no multiples of a step: {WAYS}")
    step = step if freq is not None or not count else extent / count
    grid = Grid(float(f"{step:.15g}"), "float")
    stray = _off(stamps, grid)
    if stray is not None:
        raise ValueError(
            f"The time {stray} does not lie on a grid of step {grid.freq:g} that begins at {stamps[0]}: {WAYS}"
        )
    return grid


def _check_on_grid(stamps: pd.Index, grid: Grid) -> Grid:
    stray = _off(stamps, grid)
    if stray is not None:
        raise ValueError(
            f"{stray!s} does not lie on the grid of freq={grid.freq!r} that begins at {stamps[0]!s}: round the stamps, "
            "or give their true frequency."
        )
    return grid


def _off(stamps: pd.Index, grid: Grid) -> Any:
    """The first stamp that is not on the grid through the first, or None."""
    missing = positions(grid.rounded(stamps), grid.between(stamps[0], stamps[-1])) < 0
    return stamps[int(np.argmax(missing))] if missing.any() else None


DAY = 86_400 * 10**9
"""Nanoseconds."""


def candidate_frequencies(stamps: pd.DatetimeIndex) -> Iterator[Any]:
    """Yield the frequencies to try. None is so fine that most of its instants would have no stamp.

    What pandas finds in all of the stamps; then what it finds in stretches of them and what days of the month say, the
    coarsest first; then the greatest step that divides all gaps.

    The stamps are unique and sorted; of fewer than three there is no candidate.

    Examples
    --------
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

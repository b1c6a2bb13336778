"""Grids of time: the regular instants that observations lie on, from dates, periods or integers."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]

SEASONS = {"s": 60, "min": 1440, "h": 24, "D": 7, "B": 5, "W": 52, "M": 12, "Q": 4, "Y": 1}
"""Steps in a season, by unit of time; a multiple of the unit divides it where it can."""

CALENDAR_UNITS = {
    name: name.lstrip("B")[0] for name in ("MS", "ME", "BMS", "BME", "QS", "QE", "BQS", "BQE", "YS", "YE", "BYS", "BYE")
}
"""Units of the calendar by what pandas calls their beginnings and ends."""

DAY = 86_400 * 10**9
"""Nanoseconds."""


@dataclass(frozen=True)
class Grid:
    """Instants at equal steps of a calendar.

    Attributes
    ----------
    freq : str or int
        A pandas frequency (``"h"``, ``"MS"``, …), or the step between integers.
    kind : {"datetime", "period", "integer"}
    """

    freq: Any
    kind: str

    def between(self, first: Any, last: Any) -> pd.Index:
        """All instants from the first to the last."""
        if self.kind == "integer":
            return pd.RangeIndex(int(first), int(last) + 1, int(self.freq))
        if self.kind == "period":
            return pd.period_range(first, last, freq=self.freq)
        return self._dates(first, end=last)

    def after(self, last: Any, steps: int) -> pd.Index:
        """The next instants."""
        if self.kind == "integer":
            step = int(self.freq)
            return pd.RangeIndex(int(last) + step, int(last) + step * (steps + 1), step)
        if self.kind == "period":
            return pd.period_range(last + 1, periods=steps, freq=self.freq)
        return self._dates(last, periods=steps + 1)[1:]

    def _dates(self, first: pd.Timestamp, **until: Any) -> pd.DatetimeIndex:
        """Hours and parts of them pass evenly; all else goes by the wall clock, which may skip or repeat an instant."""
        offset = _offset(self.freq)
        even = isinstance(offset, pd.tseries.offsets.Tick) and not isinstance(offset, pd.tseries.offsets.Day)
        if first.tz is None or even:
            return pd.date_range(first, freq=offset, **until)
        if "end" in until:
            until = {"end": until["end"].tz_localize(None)}
        wall = pd.date_range(first.tz_localize(None), freq=offset, **until)
        return wall.tz_localize(first.tz, nonexistent="shift_forward", ambiguous=np.ones(len(wall), bool))

    def season_length(self) -> int:
        """m, the steps in a season: 24 for hours, 12 for months, 7 for days …; 1 where none is known.

        Examples
        --------
        >>> Grid("2h", "datetime").season_length(), Grid("MS", "datetime").season_length()
        (12, 12)
        """
        if self.kind == "integer":
            return 1
        unit, multiple = unit_of(self.freq)
        season = SEASONS.get(unit, 1)
        return season // multiple if season % multiple == 0 else 1


def grid_of(stamps: pd.Index, freq: Any = None) -> Grid:
    """The grid that stamps lie on, given or found; some of its instants may be missing among them.

    Parameters
    ----------
    stamps : Index
        Unique and sorted.
    freq : str or int, optional
        The frequency, if it is known.

    Returns
    -------
    Grid

    Raises
    ------
    ValueError
        If there is no such grid, or the stamps do not lie on the given one.

    Examples
    --------
    >>> import pandas as pd
    >>> grid_of(pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-05-01"])).freq
    'MS'
    """
    kind = _kind(stamps)
    if kind == "period":
        own = stamps.freqstr
        if freq is not None and _offset(freq) != _offset(own):
            raise ValueError(f"The periods have the frequency {own!r}, but freq={freq!r} was given: leave it out.")
        return Grid(own, kind)
    if kind == "integer":
        return _integers(stamps.to_numpy(), freq)
    if freq is not None:
        spelled = _offset(freq).freqstr
        if not _fits_memory(stamps, spelled):
            raise ValueError(
                f"freq={spelled!r} is too fine for {len(stamps)} stamps that reach from {stamps[0]!s} to "
                f"{stamps[-1]!s}: round the stamps to a coarser one."
            )
        return _checked(stamps, Grid(spelled, kind))
    for candidate in _candidates(stamps):
        grid = Grid(candidate, kind)
        if _off(stamps, grid) is None:
            return grid
    raise ValueError(
        f"No frequency fits the {len(stamps)} stamps from {stamps[0]!s} to {stamps[-1]!s}: they lie on no regular "
        "grid, or are too few. Give freq='h', 'D', 'MS', …; or resample the frame first."
    )


def positions(stamps: pd.Index, full: pd.Index) -> Array:
    """Where stamps stand among all instants of a grid; −1 for those that are not on it."""
    found: Array = full.get_indexer(stamps)
    return found


def _kind(stamps: pd.Index) -> str:
    if isinstance(stamps, pd.PeriodIndex):
        return "period"
    if isinstance(stamps, pd.DatetimeIndex):
        return "datetime"
    if pd.api.types.is_integer_dtype(stamps.dtype):
        return "integer"
    raise ValueError(
        f"Times must be dates, periods or integers, got {stamps.dtype} such as {stamps[0]!r}: convert them with "
        "pandas.to_datetime."
    )


def unit_of(freq: Any) -> tuple[str, int]:
    """A frequency of dates or periods as a unit of :data:`SEASONS`, and how many of them are a step.

    Examples
    --------
    >>> unit_of("90min"), unit_of("3600s"), unit_of("QS-OCT"), unit_of("2M")
    (('min', 90), ('h', 1), ('Q', 1), ('M', 2))
    """
    offset = _offset(freq)
    if not isinstance(offset, pd.tseries.offsets.Tick):
        name = offset.rule_code.split("-")[0]
        return CALENDAR_UNITS.get(name, name), int(offset.n)
    step = pd.Timedelta(offset).value
    for unit, size in (("D", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if step % (size * 10**9) == 0:
            return unit, step // (size * 10**9)
    return "ns", step


def _integers(stamps: Array, freq: Any) -> Grid:
    if freq is None:
        gaps = np.diff(stamps)
        return Grid(int(np.gcd.reduce(gaps)) if len(gaps) else 1, "integer")
    if isinstance(freq, bool) or not isinstance(freq, int | np.integer) or freq < 1:
        raise ValueError(f"With integer times freq is a step of at least 1, got {freq!r}.")
    return _checked(pd.Index(stamps), Grid(int(freq), "integer"))


def _checked(stamps: pd.Index, grid: Grid) -> Grid:
    stray = _off(stamps, grid)
    if stray is not None:
        raise ValueError(
            f"{stray!s} does not lie on the grid of freq={grid.freq!r} that begins at {stamps[0]!s}: round the stamps, "
            "or give their true frequency."
        )
    return grid


def _off(stamps: pd.Index, grid: Grid) -> Any:
    """The first stamp that is not on the grid through the first, or None."""
    missing = positions(stamps, grid.between(stamps[0], stamps[-1])) < 0
    return stamps[int(np.argmax(missing))] if missing.any() else None


def _candidates(stamps: pd.DatetimeIndex) -> list[str]:
    """Frequencies of stretches of the stamps, the coarsest first; then the greatest step that divides all gaps."""
    if len(stamps) < 3:
        return []
    whole = _inferred(stamps)
    if whole is not None and _off(stamps, Grid(whole, "datetime")) is None:  # pandas takes 17 lost hours for a night
        return [whole]
    stretches = [stretch for width in (5, 3) for stretch in _stretches(stamps, width)]
    found = {freq for stretch in stretches if (freq := _inferred(stretch)) is not None}
    start = stamps[0].tz_localize(None)
    calendar = sorted(found, key=lambda freq: -_span(start, freq))
    return [freq for freq in [*calendar, *_divisor(stamps)] if _fits_memory(stamps, freq)]


def _inferred(stamps: pd.DatetimeIndex) -> str | None:
    """What pandas finds: an alias, or an offset in newer versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pd.infer_freq(stamps)
    return None if found is None else str(getattr(found, "freqstr", found))


def _stretches(stamps: pd.DatetimeIndex, width: int) -> list[pd.DatetimeIndex]:
    """Up to 200 runs of neighbouring stamps, spread over all of them."""
    width = min(width, len(stamps))
    places = np.unique(np.linspace(0, len(stamps) - width, 200).astype(int))
    return [stamps[place : place + width] for place in places]


def _span(start: pd.Timestamp, freq: str) -> float:
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


def _fits_memory(stamps: pd.DatetimeIndex, freq: str) -> bool:
    """Whether a frequency has a number of instants in proportion to that of the stamps; else they are irregular."""
    start = stamps[0].tz_localize(None)
    steps = 12 * (stamps[-1] - stamps[0]).total_seconds() / max(_span(start, freq), 1e-12)
    return steps <= 1000 * len(stamps) + 100_000


def _offset(freq: Any) -> Any:
    """A frequency of dates or periods as a pandas offset."""
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
        f"freq={freq!r} is no pandas frequency; examples: 'min', 'h', 'D', 'B', 'W', 'MS', 'ME', 'QE', 'YE'."
    ) from cause

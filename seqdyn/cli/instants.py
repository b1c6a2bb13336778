"""Columns of times: read in the way they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from seqdyn.cli.dates import Spelling, check_there, offset_text, parse_dates, regularity

if TYPE_CHECKING:
    import pandas as pd


OFFSET = r"(Z|UTC|[+-]\d{2}:?\d{2}|[+-]\d{2})"
"""The end of an instant that says how far its clock is from UTC."""


class Clock(NamedTuple):
    """How times are written; what is None is found in them.

    ``day_first``: whether 01/02/2024 is in February; ``date_format``: as in ``strftime``; ``time_zone``: whose wall
    clock the times show, or are shown in.
    """

    day_first: bool | None = None
    date_format: str | None = None
    time_zone: str | None = None

    def as_in(self, spelling: Spelling) -> Clock:
        """What is not given yet, as it is in another table, which goes with this one."""
        pattern = spelling.pattern or ""
        front = {"%d": True, "%m": False}.get(pattern[:2]) if spelling.period is None else None
        plain = pattern if pattern == "%Y%m%d" else None
        day_first = front if self.day_first is None else self.day_first
        return self._replace(day_first=day_first, date_format=self.date_format or plain)


AS_WRITTEN = Clock()
"""All is found in the times."""


def read_instants(
    column: pd.Series, clock: Clock, name: str, series: pd.Series | None = None
) -> tuple[pd.Series, Spelling, list[str]]:
    """A column of times as integers or instants, how they were written, and notes where another reading was possible.

    A period is its beginning. Instants have a time zone where distances to UTC were written, or a time zone was given.
    ``series`` is which series every row belongs to: an hour that the clock shows twice comes twice in each. Raises if a
    cell of the file, which errors call ``name``, is no time, or the wall clock of the time zone never showed it.

    Examples
    --------
    >>> import pandas as pd
    >>> times, spelling, notes = read_instants(pd.Series(["31.01.2024", "01.02.2024"]), Clock(), "a.csv")
    >>> times.iloc[1], spelling.one(times.iloc[1])
    (Timestamp('2024-02-01 00:00:00'), '01.02.2024')
    """
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        return in_zone(column, clock.time_zone, name, series), Spelling(), []
    column = _as_text(column, clock)
    if pd.api.types.is_numeric_dtype(column):
        return column, Spelling(), []
    text = column.astype("string").str.strip()
    check_there(column, text.isna(), name)
    bare, offsets = split_offsets(text)
    times, spelling, notes = parse_dates(column, bare, clock.day_first, clock.date_format, name)
    if offsets.isna().all():
        return in_zone(times, clock.time_zone, name, series), spelling, notes
    times, more = at_offsets(times, column, offsets, clock.time_zone, name)
    return times, with_offset(spelling, offsets), notes + more


def _as_text(column: pd.Series, clock: Clock) -> pd.Series:
    """Numbers that are dates, such as 20240131, as text: if a format is given, or only then are they regular."""
    import numpy as np
    import pandas as pd

    if not pd.api.types.is_integer_dtype(column):
        return column
    if clock.date_format is not None:
        return column.astype(str)
    steps = np.diff(np.unique(column.to_numpy()))
    dates = column.between(19000101, 21001231).all() and len(steps) > 1 and len(set(steps.tolist())) > 1
    if dates and pd.to_datetime(column.astype(str), format="%Y%m%d", errors="coerce").notna().all():
        return column.astype(str)
    return column


def split_offsets(text: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Wall-clock times, and the distances to UTC behind them; a date alone has none."""
    clocked = text.str.contains(":") | text.str.contains(r"T\d{2}")
    offsets = text.str.extract(rf"\d ?{OFFSET}$")[0].where(clocked)
    if offsets.isna().any():
        offsets = offsets.where(offsets.notna() & offsets.notna().all())
    lengths = offsets.str.len().fillna(0).astype(int)
    bare = [cell[: len(cell) - size].rstrip() for cell, size in zip(text, lengths, strict=True)]
    return text.__class__(bare, index=text.index, dtype="string", name=text.name), offsets


def in_zone(times: pd.Series, time_zone: str | None, name: str, series: pd.Series | None) -> pd.Series:
    """Wall-clock times in their time zone; as they are if none is given."""
    import pandas as pd

    if time_zone is None:
        return times
    zone = _zone(time_zone)
    if times.dt.tz is not None:
        return times.dt.tz_convert(zone)
    keys = times.to_frame("time").assign(series=0 if series is None else series.to_numpy())
    first = ~keys.duplicated(["series", "time"])
    placed = times.dt.tz_localize(zone, ambiguous=first.to_numpy(), nonexistent="NaT")
    if placed.isna().any():
        row = int(placed.isna().to_numpy().argmax())
        raise ValueError(
            f"Row {row + 1} of {name} is at {times.iloc[row]}, which the clocks of {time_zone} never showed: they "
            "were set forward. Is --time-zone right? Times in standard time all year round need none."
        )
    return pd.Series(placed, index=times.index, name=times.name)


def at_offsets(
    times: pd.Series, column: pd.Series, offsets: pd.Series, time_zone: str | None, name: str
) -> tuple[pd.Series, list[str]]:
    """Instants by their distances to UTC, in the time zone that is given, else at the last of these distances."""
    import pandas as pd

    minutes = offsets.map(_minutes)
    instants = (times - pd.to_timedelta(minutes, unit="min")).dt.tz_localize("UTC")
    if time_zone is not None:
        return instants.dt.tz_convert(_zone(time_zone)), []
    last = int(minutes.loc[instants.idxmax()])
    fixed = instants.dt.tz_convert("UTC" if last == 0 else _fixed(last))
    if minutes.nunique() == 1:
        return fixed, []
    both = " and ".join(sorted(offsets.unique())[:2])
    if regularity(instants.dt.tz_localize(None)) < 0.5 <= regularity(times):
        raise ValueError(
            f"The times in column {column.name!r} of {name} are regular on the wall clock, whose distance to UTC "
            f"changes ({both}): say whose clock it is, such as --time-zone Europe/Berlin."
        )
    text = offset_text(fixed.iloc[0], str(offsets.iloc[0]))
    note = f"{name} has times at {both} of UTC; read in UTC, and forecast at {text}: --time-zone gives local times."
    return fixed, [note]


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"--time-zone {name}: there is no such time zone; try Europe/Berlin or UTC.") from None


def _fixed(minutes: int) -> Any:
    from datetime import timedelta, timezone

    return timezone(timedelta(minutes=minutes))


def _minutes(offset: str) -> int:
    """+05:30 as 330."""
    if offset in ("Z", "UTC"):
        return 0
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    return (60 * hours + minutes) * (-1 if offset[0] == "-" else 1)


def with_offset(spelling: Spelling, offsets: pd.Series) -> Spelling:
    """The same format with distances to UTC behind it."""
    if spelling.pattern is None or spelling.period is not None:
        return Spelling()
    return Spelling(spelling.pattern, str(offsets.iloc[0]), padded=spelling.padded)

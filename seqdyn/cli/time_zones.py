"""Wall clocks: time zones, and distances to UTC that are written behind times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqdyn.cli.dates import regularity
from seqdyn.cli.spelling import Spelling, offset_text

if TYPE_CHECKING:
    import pandas as pd

OFFSET = r"(Z|UTC|[+-]\d{2}:?\d{2}|[+-]\d{2})"
"""The end of an instant that says how far its clock is from UTC."""


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

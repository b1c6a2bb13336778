"""Columns of times: read in the way they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seqdyn.cli.dates import parse_dates
from seqdyn.cli.spelling import Spelling, check_there
from seqdyn.cli.time_zones import at_offsets, in_zone, split_offsets, with_offset

if TYPE_CHECKING:
    import pandas as pd


class Clock(NamedTuple):
    """How times are written; what is None is found in them.

    Attributes
    ----------
    day_first : bool or None
        Whether 01/02/2024 is in February.
    date_format : str or None
        As in ``strftime``.
    time_zone : str or None
        Whose wall clock the times show, or are shown in.
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
    """A column of times as numbers or instants, and how they were written.

    Parameters
    ----------
    column : Series
    clock : Clock
    name : str
        How errors call the file.
    series : Series, optional
        Which series every row belongs to: an hour that the clock shows twice comes twice in each.

    Returns
    -------
    times : Series
        Integers, or instants; a period is its beginning; with a time zone where distances to UTC were written, or a
        time zone was given.
    spelling : Spelling
    notes : list of str
        Where another reading was possible, which one was taken, and the option that chooses the other.

    Raises
    ------
    ValueError
        If a cell is no time, or the wall clock of the time zone never showed it.

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

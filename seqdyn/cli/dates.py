"""Dates in text: periods, days and months in either order, and all that begins with a year."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DAY_OR_MONTH = r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})([ T].*)?"
"""A date whose first number is a day or a month."""

PERIODS = {
    "quarter": r"(\d{4})([- ]?Q)([1-4])",
    "week": r"(\d{4})(-?W)(\d{2})",
    "month": r"(\d{4})([-/])(0[1-9]|1[0-2])",
}
"""Periods by how they are written: a year, a mark, and a number."""


@dataclass(frozen=True)
class Spelling:
    """How instants are written.

    ``pattern`` is as in ``strftime``, None as pandas writes them; ``offset`` an example of how the distance to UTC is
    written, None where it is not. With ``period``, a key of ``PERIODS``, the pattern is the mark between the year and
    the number. ``padded`` says whether the days and months below ten begin with a zero.
    """

    pattern: str | None = None
    offset: str | None = None
    period: str | None = None
    padded: bool = True

    def write(self, times: Any) -> list[Any]:
        """Instants as they are written in a table; numbers stay what they are.

        Examples
        --------
        >>> import pandas as pd
        >>> Spelling("Q", period="quarter").write(pd.DatetimeIndex(["2024-04-01"])), Spelling().write([1, 2])
        (['2024Q2'], [1, 2])
        """
        import pandas as pd

        index = pd.Index(times)
        if not isinstance(index, pd.DatetimeIndex):
            return list(times)
        if self.period is not None:
            return [_period_text(instant, self.period, str(self.pattern)) for instant in index]
        if self.pattern is None:
            plain = index.tz_localize(None)
            whole = bool((plain == plain.normalize()).all()) and index.tz is None
            return [str(instant).removesuffix(" 00:00:00") if whole else str(instant) for instant in index]
        written = list(index.strftime(self.pattern))
        if not self.padded:
            written = [re.sub(r"(?<![\d:.])0(\d)(?=[./-])|(?<=[./-])0(\d)(?=[./-])", r"\1\2", text) for text in written]
        if self.offset is None:
            return written
        return [text + offset_text(instant, self.offset) for text, instant in zip(written, index, strict=True)]

    def one(self, instant: Any) -> str:
        """A single instant as it is written in a table."""
        import pandas as pd

        return str(self.write(pd.Index([instant]))[0])


Dated = tuple["pd.Series", Spelling, list[str]]
"""Times, how they are written, and what has to be said."""


def parse_dates(
    column: pd.Series, bare: pd.Series, day_first: bool | None, date_format: str | None, name: str
) -> Dated:
    """Text as instants without a time zone; raises at the first cell that is no date.

    ``column`` is the text as it stands in the file, for errors; ``bare`` is the same without distances to UTC. For
    ``day_first`` and ``date_format`` see :class:`~seqdyn.cli.instants.Clock`; ``name`` is how errors call the file.
    """
    if date_format is not None:
        times = _strictly(bare, date_format)
        if times.isna().any():
            times = _strictly(column.astype("string").str.strip(), date_format)
        check_there(column, times.isna(), name, f"It is not written as --date-format {date_format}.")
        return times, Spelling(date_format), []
    for period, words in PERIODS.items():
        if bare.str.fullmatch(words).all():
            return _period_times(column, bare, period, words, name)
    if bare.str.fullmatch(DAY_OR_MONTH).all():
        return _day_or_month(column, bare, day_first, name)
    times = _guessed(bare)
    check_there(column, times.isna(), name, "Write dates as 2024-12-31, or give their --date-format.")
    return times, _spelling_of(bare, times, day_first=bool(day_first)), []


def _strictly(text: pd.Series, pattern: str) -> pd.Series:
    import pandas as pd

    return pd.to_datetime(text, format=pattern, errors="coerce")


def _guessed(text: pd.Series) -> pd.Series:
    """Dates that begin with the year, or have names of months."""
    import warnings

    import pandas as pd

    iso = text.str.match(r"\d{4}-?\d{2}-?\d{2}").all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a format that cannot be inferred ends in an error of its own
        return pd.to_datetime(text, errors="coerce", format="ISO8601" if iso else None)


def _period_times(column: pd.Series, bare: pd.Series, period: str, words: str, name: str) -> Dated:
    """Where periods begin."""
    import pandas as pd

    parts = bare.str.extract(words)
    year, mark, number = parts[0], parts[1], parts[2]
    if period == "week":
        times = pd.to_datetime(year + "-" + number + "-1", format="%G-%V-%u", errors="coerce")
    else:
        month = number if period == "month" else (3 * number.astype(int) - 2).astype(str)
        times = pd.to_datetime(year + "-" + month, format="%Y-%m", errors="coerce")
    check_there(column, times.isna(), name, f"There is no such {period}.")
    return times, Spelling(str(mark.iloc[0]), period=period), []


def _day_or_month(column: pd.Series, bare: pd.Series, day_first: bool | None, name: str) -> Dated:
    """Dates whose first number is a day or a month: as the option says, as is possible, or as is regular."""
    options = {True: _ordered(bare, day_first=True), False: _ordered(bare, day_first=False)}
    if day_first is not None:
        option = "--day-first" if day_first else "--month-first"
        check_there(column, options[day_first][0].isna(), name, f"With {option} there is no such date.")
        return *options[day_first], []
    possible = [first for first, (times, _) in options.items() if times.notna().all()]
    if not possible:
        failing = max(options.values(), key=lambda option: option[0].notna().sum())[0]
        check_there(column, failing.isna(), name, "Write dates as 2024-12-31, or give --day-first or --month-first.")
    if len(possible) == 1 or "." in str(bare.iloc[0])[:3]:  # with points the day comes first everywhere
        return *options[possible[0]], []
    share = {first: regularity(options[first][0]) for first in possible}
    best = share[True] >= share[False]
    if min(share.values()) < 0.9 * max(share.values()) or options[True][0].equals(options[False][0]):
        return *options[best], []
    last, spelling = options[best]
    option = "--month-first" if best else "--day-first"
    said = f"{bare.iloc[-1]} was read as {last.iloc[-1]:%-d %B %Y}; both ways are regular: {option} chooses the other."
    return last, spelling, [said]


def _ordered(bare: pd.Series, *, day_first: bool) -> tuple[pd.Series, Spelling]:
    """Dates of which the day, or the month, comes first."""
    first = re.fullmatch(DAY_OR_MONTH, str(bare.iloc[0]))
    assert first is not None
    mark, year, clock = first.group(2), "%Y" if len(first.group(4)) == 4 else "%y", first.group(5) or ""
    front = f"%d{mark}%m{mark}{year}" if day_first else f"%m{mark}%d{mark}{year}"
    times = _strictly(bare, front + _clock_pattern(clock))
    padded = bool(bare.str.fullmatch(r"\d\d.\d\d.*").all())
    return times, Spelling(front + _clock_pattern(clock), padded=padded)


def _clock_pattern(text: str) -> str:
    """The format of a time of day: 14:30, 14:30:00, 02:30 PM."""
    half = bool(re.search(r"[AaPp][Mm]$", text))
    pattern = re.sub(r"\d{1,2}(?=:)", "%I" if half else "%H", text, count=1)
    pattern = re.sub(r":\d{2}", ":%M", pattern, count=1)
    pattern = re.sub(r"(?<=:%M):\d{2}", ":%S", pattern)
    return re.sub(r"[AaPp][Mm]$", "%p", re.sub(r"\.\d+", ".%f", pattern))


def regularity(times: pd.Series) -> float:
    """How regular times are: the share of the instants of their grid that are there; 0 if they have no grid."""
    import pandas as pd

    from seqdyn.data.grids import grid_of

    unique = pd.DatetimeIndex(times.unique()).sort_values()
    if len(unique) < 3:
        return 0.0
    try:
        grid = grid_of(unique)
    except ValueError:
        return 0.0
    return len(unique) / len(grid.between(unique[0], unique[-1]))


def _spelling_of(bare: pd.Series, times: pd.Series, *, day_first: bool) -> Spelling:
    """The format that gives back what was read, if there is one."""
    import pandas as pd
    from pandas.tseries.api import guess_datetime_format

    pattern = guess_datetime_format(str(bare.iloc[0]), dayfirst=day_first)
    if pattern is None or list(pd.DatetimeIndex(times).strftime(pattern)) != list(bare):
        return Spelling()
    return Spelling(pattern)


def offset_text(instant: Any, like: str) -> str:
    """The distance of an instant to UTC, written like another."""
    minutes = int(instant.utcoffset().total_seconds() // 60)
    if like in ("Z", "UTC") and minutes == 0:
        return like
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    if len(like) == 3 and rest == 0:
        return f"{sign}{hours:02}"
    return f"{sign}{hours:02}{'' if len(like) == 5 else ':'}{rest:02}"


def _period_text(instant: Any, period: str, mark: str) -> str:
    if period == "week":
        year, week, _ = instant.isocalendar()
        return f"{year}{mark}{week:02}"
    return f"{instant.year}{mark}{(instant.month + 2) // 3}" if period == "quarter" else instant.strftime(f"%Y{mark}%m")


def check_there(column: pd.Series, missing: pd.Series, name: str, hint: str = "") -> None:
    """Raise at the first cell that is no time."""
    bad = column[missing]
    if len(bad):
        text = f"Column {column.name!r} of {name} is not a date or a number in row {bad.index[0] + 1}: {bad.iloc[0]!r}."
        raise ValueError(f"{text} {hint or 'Write dates as 2024-12-31.'}")

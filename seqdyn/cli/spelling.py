"""How times are written in a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PERIODS = {
    "quarter": r"(\d{4})([- ]?Q)([1-4])",
    "week": r"(\d{4})(-?W)(\d{2})",
    "month": r"(\d{4})([-/])(0[1-9]|1[0-2])",
}
"""Periods by how they are written: a year, a mark, and a number."""


@dataclass(frozen=True)
class Spelling:
    """How instants are written.

    Attributes
    ----------
    pattern : str or None
        As in ``strftime``; as pandas does if None.
    offset : str or None
        An example of how the distance to UTC is written; not at all if None.
    period : str or None
        A key of ``PERIODS``; then pattern is the mark between the year and the number.
    padded : bool
        Whether the days and months below ten begin with a zero.
    """

    pattern: str | None = None
    offset: str | None = None
    period: str | None = None
    padded: bool = True

    def write(self, times: Any) -> list[Any]:
        """Instants as they are written in a table; numbers stay what they are.

        Parameters
        ----------
        times : Index or Series
            Instants or numbers.

        Returns
        -------
        list

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

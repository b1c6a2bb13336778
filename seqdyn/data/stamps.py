"""Convert times, as people write them, to dates, periods or numbers where their meaning is clear."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

ISO = re.compile(r"\d{4}-?\d{2}(-?\d{2}([T ]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?)?")
"""Dates and instants of ISO 8601: the year first, then the month."""

CHANGES = {3: (1, 2, 3), 4: (1, 2, 3), 9: (1, 2, 3), 10: (0, 1, 2, 3), 11: (0, 1, 2)}
"""Months and hours in which clocks are put forward or back, on Sundays."""


def times_of(stamps: pd.Index, name: str = "df") -> pd.Index:
    """Return times as dates, periods or numbers; NaT where missing.

    ISO strings, dates of Python's and of pyarrow, and nullable numbers are read; what else they are is left as it is,
    for :func:`~seqdyn.data.grids.grid_of` to refuse.

    Raises
    ------
    ValueError
        If they are strings that are no ISO dates, or of several time zones.

    Examples
    --------
    >>> times_of(pd.Index(["2024-01-01", "2024-02-01"]))[1]
    Timestamp('2024-02-01 00:00:00')
    """
    if isinstance(stamps, pd.DatetimeIndex | pd.PeriodIndex):
        return stamps
    kind = _kind_of_values(stamps)
    if kind in ("date", "datetime", "datetime64"):
        return _dates(stamps)
    if kind == "string":
        return _parsed(stamps, name)
    if kind == "period":
        return pd.PeriodIndex(stamps)
    if kind in ("integer", "floating") and not stamps.hasnans:
        return _plain_numbers(stamps, kind)
    return stamps


def clock_hint(stamp: Any) -> str:
    """What to do about a naive instant at which clocks may have been changed; empty elsewhere.

    Examples
    --------
    >>> clock_hint(pd.Timestamp("2024-10-27 02:00"))[:38], clock_hint(pd.Timestamp("2024-10-28 02:00"))
    (' Clocks may have been changed there: w', '')
    """
    if not isinstance(stamp, pd.Timestamp) or stamp.tz is not None or stamp.day_of_week != 6:
        return ""
    if stamp.hour not in CHANGES.get(stamp.month, ()):
        return ""
    return (
        " Clocks may have been changed there: wall-clock hours without a time zone miss one hour in spring and have "
        "one twice in autumn. If so, say which zone they are of, as in df.index.tz_localize('Europe/Berlin', "
        "ambiguous='infer') for a single series in the order of time."
    )


def _kind_of_values(stamps: pd.Index) -> str:
    """What the values are, as pandas calls it."""
    kind: str = getattr(stamps.dtype, "kind", "O")
    if hasattr(stamps.dtype, "pyarrow_dtype") and kind == "M":
        return "datetime64"
    return str(pd.api.types.infer_dtype(stamps, skipna=True))


def _dates(stamps: pd.Index) -> pd.Index:
    """Dates, if they are of one time zone; else as they are."""
    try:
        return pd.DatetimeIndex(stamps)
    except (ValueError, TypeError):
        return stamps


def _plain_numbers(stamps: pd.Index, kind: str) -> pd.Index:
    """Numbers as numpy's own; those of single precision are what they are written as, 0.1 and not 0.10000000149."""
    if kind == "floating" and stamps.dtype.itemsize < 8:
        return pd.Index(stamps.to_numpy(dtype=np.float32).astype(str).astype(np.float64), name=stamps.name)
    plain = isinstance(stamps.dtype, np.dtype) and stamps.dtype.kind in "iuf"
    return stamps if plain else stamps.astype(np.int64 if kind == "integer" else np.float64)


def _parsed(stamps: pd.Index, name: str) -> pd.Index:
    """Strings as dates; each different one is looked at once."""
    code, texts = pd.factorize(stamps)
    other = next((text for text in texts if not ISO.fullmatch(str(text).strip())), None)
    if other is not None:
        raise ValueError(
            f"The times of {name} are str values such as {other!r}, which say no date for certain (day or month "
            "first?): make them dates of one time zone with pandas.to_datetime(…, format='%d/%m/%Y'), or the like. "
            "Strings are read where the year comes first, as in '2024-01-31' or '2024-01-31 12:00'."
        )
    plain = pd.Index([str(text).strip() for text in texts])
    try:
        dates = pd.DatetimeIndex(pd.to_datetime(plain, format="ISO8601"))
    except ValueError as error:
        raise _unread(plain, name) from error
    return dates.take(code, allow_fill=True, fill_value=pd.NaT).rename(stamps.name)


def _unread(texts: pd.Index, name: str) -> ValueError:
    """What is wrong with strings that look like dates: a day that there is not, or several time zones."""
    none = pd.isna(pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True))
    if none.any():
        return ValueError(f"The times of {name} are str values such as {texts[none][0]!r}, which is no date.")
    return ValueError(
        f"The times of {name} are str values of several time zones, such as {texts[0]!r} and {texts[-1]!r}: make them "
        "dates with pandas.to_datetime(…, utc=True), and then tz_convert to their zone."
    )

"""Which column of a table holds its times, where nobody said so."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seqdyn.cli.dates import DAY_OR_MONTH, PERIODS
from seqdyn.cli.tables import note, spoken

if TYPE_CHECKING:
    import pandas as pd

USUAL = (
    "ds", "date", "datetime", "timestamp", "time", "day", "week", "month", "quarter", "year", "period", "step", "row",
)  # fmt: skip
"""What columns of times are called, in any case of the letters."""

DATED = r"\d{4}(?:[-/ ]|\d{2})|\d{1,2} [^\W\d]{3}|[^\W\d]{3,9}[ .-]"
"""How other dates than periods, and those that begin with a day or a month, begin."""

SAMPLED_CELLS = 200
"""Cells that are looked at."""


def find_times(
    frame: pd.DataFrame, others: Sequence[str], series: str | None, path: Path, date_format: str | None = None
) -> str | None:
    """The column of times, said aloud on standard error; None if there is none.

    Dates in a column of a usual name come first, then dates in any column, then whole numbers under a usual name, if
    none of them comes twice in a series.

    Parameters
    ----------
    frame : DataFrame
    others : sequence of str
        Columns that have another role.
    series : str or None
        The column that names the series.
    path : Path
    date_format : str, optional
        How dates are written, as in ``strftime``.

    Returns
    -------
    str or None

    Raises
    ------
    ValueError
        If there are several such columns.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"quarter": ["2010Q1", "2010Q2"], "note": ["a", "b"], "y": [1, 2]})
    >>> find_times(table, ["y"], None, Path("a.csv"))
    'quarter'
    """
    free = [str(name) for name in frame.columns if name not in (*others, series)]
    usual = [name for name in free if name.lower() in USUAL]
    dated = [name for name in free if holds_dates(frame[name], date_format)]
    counted = [name for name in usual if _counts(frame, name, series)]
    named = [name for name in dated if name in usual]
    found = named or dated or counted
    if len(found) > 1:
        raise ValueError(
            f"{path} has {len(found)} columns of times ({spoken(found)}): say which one it is, such as "
            f"--time {found[0]}."
        )
    if found:
        note([f"{path}: the times are those of {found[0]!r}; --time chooses others, --time row numbers the rows."])
    elif usual and (cells := frame[usual[0]].dropna().astype(str)).size:
        note([f"{path}: {usual[0]!r}, such as {cells.iloc[0]!r}, is not read as times: the rows are numbered."])
    return found[0] if found else None


def holds_dates(column: pd.Series, date_format: str | None = None) -> bool:
    """Whether more than half of the cells are dates or periods; the others are errors, which are named later."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return False
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    text = column.dropna().iloc[:SAMPLED_CELLS].astype("string").str.strip()
    period = sum((text.str.fullmatch(words) for words in PERIODS.values()), start=pd.Series(False, text.index))
    like = text.str.fullmatch(DAY_OR_MONTH) | text.str.match(DATED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # either order of days and months is a date
        dates = (
            pd.to_datetime(text.where(like), errors="coerce", format="mixed", utc=True)
            if date_format is None
            else pd.to_datetime(text, errors="coerce", format=date_format)
        )
    return int((dates.notna() | (period > 0)).sum()) > len(text) / 2


def _counts(frame: pd.DataFrame, name: str, series: str | None) -> bool:
    """Whether a column holds whole numbers, none of them twice in a series."""
    import pandas as pd

    keys = [name] if series is None or series not in frame else [series, name]
    return pd.api.types.is_integer_dtype(frame[name]) and not frame.duplicated(keys).any()

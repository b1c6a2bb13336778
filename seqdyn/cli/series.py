"""Series in CSV files: what their columns are, and what was found in them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqdyn.cli.dates import DAY_OR_MONTH, PERIODS, Spelling
from seqdyn.cli.dialects import AS_FOUND, Dialect
from seqdyn.cli.instants import AS_WRITTEN, Clock
from seqdyn.cli.tables import as_times, check_columns, check_numbers, mostly_numbers, note, read_rows, spoken
from seqdyn.cli.written import count_of, echo

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.data.panels import Panel

ROW = "row"
"""The column of times of a table without one, or if it is asked for: the numbers of its rows, from 1."""

SERIES, VALUE = "series", "value"
"""The columns of names and of values, where several columns of a table are the series."""


USUAL = (
    "ds", "date", "datetime", "timestamp", "time", "day", "week", "month", "quarter", "year", "period", "step", "row",
)  # fmt: skip
"""What columns of times are called, in any case of the letters."""

DATED = r"\d{4}(?:[-/ ]|\d{2})|\d{1,2} [^\W\d]{3}|[^\W\d]{3,9}[ .-]"
"""How other dates than periods, and those that begin with a day or a month, begin."""

SAMPLED_CELLS = 200
"""Cells that are looked at."""


class ColumnRoles(NamedTuple):
    """What the columns of a table are; without targets, all numbers nobody named."""

    targets: tuple[str, ...]
    time: str | None
    id: str | None = None
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The one target."""
        return self.targets[0]


class SeriesTable(NamedTuple):
    """A long frame with times, what its columns are, and how its times are written."""

    frame: pd.DataFrame
    columns: ColumnRoles
    spelling: Spelling


def names(text: str | None) -> tuple[str, ...]:
    """``a,b,c`` as names."""
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def read_series(
    path: Path, columns: ColumnRoles, dialect: Dialect = AS_FOUND, clock: Clock = AS_WRITTEN
) -> SeriesTable:
    """The columns that are used, as a long frame with times; several targets become series of one column.

    Raises where a column is not there or holds no numbers, or two rows are of the same time and series.
    """
    frame = read_rows(path, dialect)
    columns = columns._replace(targets=_split_names(frame, columns.targets))
    frame, columns = _with_times(frame, columns, path, clock)
    used = _used(frame, columns, path)
    columns = columns if columns.targets else columns._replace(targets=_numeric(frame, columns, path))
    used = list(dict.fromkeys([*used, *columns.targets]))
    if columns.id is not None and len(columns.targets) > 1:
        raise ValueError(
            f"--id {columns.id} makes series of one column, but there are {len(columns.targets)} targets "
            f"({spoken(columns.targets)}): name one with --target."
        )
    check_numbers(frame, [*columns.targets, *columns.past, *columns.future, *columns.static], path, missing=True)
    unused = [name for name in frame.columns if name not in used]
    if unused:
        note([f"{path}: nobody said what {spoken(unused)} is for: left out."])
    series = None if columns.id is None else frame[columns.id]
    times, spelling = as_times(frame[columns.time], path, clock, series)
    frame = frame[used].assign(**{str(columns.time): times})
    _check_repeated(frame, columns, path, spelling)
    return SeriesTable(*(_melted(frame, columns) if len(columns.targets) > 1 else (frame, columns)), spelling)


def _split_names(frame: pd.DataFrame, targets: tuple[str, ...]) -> tuple[str, ...]:
    """Targets as they were named: ``a,b`` is two columns, if none is called so."""
    parts = [(text,) if text in frame else names(text) for text in targets]
    return tuple(dict.fromkeys(name for part in parts for name in part))


def _with_times(
    frame: pd.DataFrame, columns: ColumnRoles, path: Path, clock: Clock
) -> tuple[pd.DataFrame, ColumnRoles]:
    """The table with a column of times: the one that was named, else the one that holds times, else row numbers."""
    if columns.time is None:
        others = [*columns.targets, *columns.past, *columns.future, *columns.static]
        columns = columns._replace(time=find_times(frame, others, columns.id, path, clock.date_format))
    if columns.time is not None and (columns.time != ROW or ROW in frame):
        return frame, columns
    if columns.id is not None or columns.future:
        raise ValueError(f"The rows of {path} need times, if there are many series or covariates: give --time.")
    return frame.assign(**{ROW: range(1, len(frame) + 1)}), columns._replace(time=ROW)


def find_times(
    frame: pd.DataFrame, others: Sequence[str], series: str | None, path: Path, date_format: str | None = None
) -> str | None:
    """The column of times, said aloud on standard error; None if there is none.

    Dates in a column of a usual name come first, then dates in any column, then whole numbers under a usual name, if
    none of them comes twice in a series; several such columns are an error. ``others`` are columns that have another
    role, ``series`` is the one that names the series.

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


def _used(frame: pd.DataFrame, columns: ColumnRoles, path: Path) -> list[str]:
    """The columns that are named, each of which is there."""
    wanted = [(name, "--target") for name in columns.targets]
    wanted = [(name, option) for name, option in ((columns.time, "--time"), (columns.id, "--id")) if name] + wanted
    for option, several in zip(("past", "future", "static"), columns[3:], strict=True):
        wanted += [(name, f"--{option}-columns") for name in several]
    for name, option in wanted:
        check_columns(frame, [name], path, option)
    return [name for name, _ in wanted]


def _numeric(frame: pd.DataFrame, columns: ColumnRoles, path: Path) -> tuple[str, ...]:
    """All columns of numbers that nobody named, as targets; those with few other cells, too: an error names these."""
    others = [columns.time, columns.id, *columns.past, *columns.future, *columns.static]
    found = tuple(str(name) for name in frame.columns if name not in others and mostly_numbers(frame[name]))
    if not found:
        raise ValueError(
            f"{path} has no column of numbers to forecast: it has {spoken(frame.columns.drop(ROW, errors='ignore'))}."
        )
    many = "all columns of numbers" if len(found) > 1 else "the one column of numbers"
    note([f"{path}: {many} will be forecast: {spoken(found)}; --target chooses."])
    return found


def _melted(frame: pd.DataFrame, columns: ColumnRoles) -> tuple[pd.DataFrame, ColumnRoles]:
    """Several columns below each other, as series of one."""
    kept = [name for name in frame.columns if name not in columns.targets]
    long = frame.melt(kept, list(columns.targets), SERIES, VALUE)
    return long, columns._replace(targets=(VALUE,), id=SERIES)


def read_grid(frame: pd.DataFrame, columns: ColumnRoles, freq: Any, path: Path) -> Panel:
    """The table as series on one grid of time; raises if there is no such grid, or a series has no value."""
    from seqdyn.data.panel_reading import read_panel
    from seqdyn.data.panels import Roles

    roles = Roles(columns.id or "unique_id", columns.time or ROW, columns.target, *columns[3:])
    return read_panel(frame, roles, freq, str(path))


def choose_series(panel: Panel, name: str | None) -> Any:
    """The label of the series that a user names; the first one's if None."""
    if name is None:
        return panel.names[0]
    found = [label for label in panel.names if str(label) == name]
    if not found:
        raise ValueError(f"--series {name}: there is no such series; there are {spoken(panel.names)}.")
    return found[0]


def _check_repeated(frame: pd.DataFrame, columns: ColumnRoles, path: Path, spelling: Spelling) -> None:
    keys = [name for name in (columns.id, columns.time) if name is not None]
    repeated = frame[frame.duplicated(keys)]
    if len(repeated):
        row = repeated.iloc[0]
        where = " and ".join(
            f"{name} = {spelling.one(row[name]) if name == columns.time else row[name]}" for name in keys
        )
        many = "" if columns.id else " Does it hold many series? Then name their column with --id."
        clock = " Was the clock set back there? Then give its --time-zone." if _may_repeat(row[columns.time]) else ""
        raise ValueError(f"{path} has two rows at {where}: keep one row per time.{many}{clock}")


def _may_repeat(instant: Any) -> bool:
    """Whether clocks are set back at such an hour: at night in spring or autumn."""
    import pandas as pd

    local = isinstance(instant, pd.Timestamp) and instant.tz is None
    return local and instant.month in (3, 4, 10, 11) and 0 < instant.hour < 4


def describe_data(
    path: Path, panel: Panel, season_length: int, given: set[str], spelling: Spelling, aside: bool = False
) -> None:
    """What was read: size, frequency and how it was found, gaps and missing values."""
    import numpy as np

    count, lengths = len(panel.names), panel.lengths
    first, last = spelling.one(panel.times.min()), spelling.one(panel.times.max())
    size = f"{lengths[0]} steps" if len(set(lengths)) == 1 else f"{lengths.min()} to {lengths.max()} steps"
    echo("data", f"{path}: {f'{count} series of ' if count > 1 else ''}{size}, {first} to {last}", aside)
    how = "given" if "freq" in given else "found in the times"
    season = f"season of {season_length} ({'given' if 'season_length' in given else 'by the frequency'})"
    step = f"every {panel.grid.freq}" if panel.grid.kind in ("integer", "float") else panel.grid.freq
    echo("frequency", f"{step} ({how}); {season if season_length > 1 else 'no season known'}", aside)
    gaps, empty = panel.gaps(), int(np.isnan(panel.target[panel.present]).sum())
    found = [f"{count_of(empty, 'empty cell')} of the target"] if empty else []
    if len(gaps):
        place = f" of {gaps['series'].iloc[0]}" if count > 1 else ""
        absent = count_of(int(gaps["missing"].sum()), "absent row")
        found.append(
            f"{absent} in {count_of(len(gaps), 'gap')}, the first{place} after {spelling.one(gaps['after'].iloc[0])}"
        )
    echo("missing", "; ".join(found) or "nothing", aside)
    if panel.present.mean() < 0.5:
        echo("", "more than half of the rows are absent: is the frequency right? Give another with --freq.", aside)

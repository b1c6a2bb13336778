"""Series in CSV files: what their columns are, and what was found in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from seqdyn.cli.tables import as_times, check_columns, check_numbers, read_rows, spoken

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.data.panels import Panel

ROW = "row"
"""The column of times of a table without one: the numbers of its rows, from 1."""


class Columns(NamedTuple):
    """What the columns of a table are."""

    target: str
    time: str | None
    id: str | None = None
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()


def names(text: str | None) -> tuple[str, ...]:
    """``a,b,c`` as names."""
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def read_series(path: Path, columns: Columns) -> pd.DataFrame:
    """The columns that are used, as a long frame with times.

    Raises
    ------
    ValueError
        If a column is not there or holds no numbers, or two rows are of the same time and series.
    """
    frame = read_rows(path)
    if columns.time is None:
        if columns.id is not None or columns.future:
            raise ValueError(f"The rows of {path} need times, if there are many series or covariates: give --time.")
        frame, columns = frame.assign(**{ROW: range(1, len(frame) + 1)}), columns._replace(time=ROW)
    asked = {"--time": columns.time, "--id": columns.id, "--target": columns.target}
    wanted = [(name, option) for option, name in asked.items() if name is not None]
    for option, several in zip(("past", "future", "static"), columns[3:], strict=True):
        wanted += [(name, f"--{option}-columns") for name in several]
    for name, option in wanted:
        check_columns(frame, [name], path, option)
    check_numbers(frame, [columns.target, *columns.past, *columns.future, *columns.static], path, missing=True)
    used = list(dict.fromkeys(name for name, _ in wanted))
    unused = [name for name in frame.columns if name not in used]
    frame = with_times(frame[used], str(columns.time), path)
    _check_repeated(frame, columns, path)
    if unused:
        typer.echo(f"seqdyn: note: {path}: nobody said what {spoken(unused)} is for: left out.", err=True)
    return frame


def with_times(frame: pd.DataFrame, time: str, path: Path) -> pd.DataFrame:
    """A table whose column of times holds dates or numbers."""
    return frame.assign(**{time: as_times(frame[time], path)})


def read_grid(frame: pd.DataFrame, columns: Columns, freq: Any, path: Path) -> Panel:
    """The table as series on one grid of time.

    Raises
    ------
    ValueError
        If there is no such grid, or a series has no value.
    """
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


def _check_repeated(frame: pd.DataFrame, columns: Columns, path: Path) -> None:
    keys = [name for name in (columns.id, columns.time) if name is not None]
    repeated = frame[frame.duplicated(keys)]
    if len(repeated):
        where = " and ".join(f"{name} = {shown(repeated[name].iloc[0])}" for name in keys)
        many = "" if columns.id else " Does it hold many series? Then name their column with --id."
        raise ValueError(f"{path} has two rows at {where}: keep one row per time.{many}")


def shown(instant: Any) -> str:
    """An instant as it is written in a table."""
    return str(instant).removesuffix(" 00:00:00")


# --- the report


def say(label: str, text: str, aside: bool = False) -> None:
    """One line of the report; aside: on standard error, since standard output holds the result."""
    typer.echo(f"{label:<12}{text}", err=aside)


def describe_data(path: Path, panel: Panel, season_length: int, given: set[str], aside: bool = False) -> None:
    """What was read: size, frequency and how it was found, gaps and missing values."""
    import numpy as np

    count, lengths = len(panel.names), panel.lengths
    first, last = shown(panel.times.min()), shown(panel.times.max())
    size = f"{lengths[0]} steps" if len(set(lengths)) == 1 else f"{lengths.min()} to {lengths.max()} steps"
    say("data", f"{path}: {f'{count} series of ' if count > 1 else ''}{size}, {first} to {last}", aside)
    how = "given" if "freq" in given else "found in the times"
    season = f"season of {season_length} ({'given' if 'season_length' in given else 'by the frequency'})"
    step = f"every {panel.grid.freq}" if panel.grid.kind == "integer" else panel.grid.freq
    say("frequency", f"{step} ({how}); {season if season_length > 1 else 'no season known'}", aside)
    gaps, empty = panel.gaps(), int(np.isnan(panel.target[panel.present]).sum())
    found = [f"{counted(empty, 'empty cell')} of the target"] if empty else []
    if len(gaps):
        place = f" of {gaps['series'].iloc[0]}" if count > 1 else ""
        absent = counted(int(gaps["missing"].sum()), "absent row")
        found.append(f"{absent} in {counted(len(gaps), 'gap')}, the first{place} after {shown(gaps['after'].iloc[0])}")
    say("missing", "; ".join(found) or "nothing", aside)
    if panel.present.mean() < 0.5:
        say("", "more than half of the rows are absent: is the frequency right? Give another with --freq.", aside)


def counted(number: int, what: str) -> str:
    """A number of things, in the plural where it must be."""
    return f"{number} {what}{'' if number == 1 else 's'}"

"""Additions to a panel that was read: new rows, and a frame of static covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray

from seqdyn.arrays import Array
from seqdyn.data.containers import as_pandas
from seqdyn.data.grids import Grid
from seqdyn.data.labels import quoted
from seqdyn.data.panel_layouts import stamps_of
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel


def read_more(data: Any, panel: Panel, name: str = "df", fill_gaps: bool = False) -> Panel:
    """Read new rows of a panel's series; each series goes on directly after its last row.

    Parameters
    ----------
    data : as in :func:`~seqdyn.data.panel_reading.read_panel`
        In any layout. Static covariates are not read again. Where the panel is a single series, an unnamed Series or
        DataArray is that one.
    panel : Panel
    name : str
    fill_gaps : bool
        Take rows that are absent between the known and the new ones as missing targets. (Those absent among the new
        ones always are, as when the panel was read.)

    Returns
    -------
    Panel
        Of those series that have new rows.

    Raises
    ------
    ValueError
        If rows overlap with the known ones or leave a gap, or a series is not known.

    Examples
    --------
    >>> import pandas as pd
    >>> panel = read_panel(pd.Series([1.0, 2.0], [10, 11]))
    >>> new = read_more(pd.Series([4.0], [13]), panel, fill_gaps=True)
    >>> panel.joined(new).target
    array([ 1.,  2., nan,  4.])
    """
    roles = replace(panel.roles, static=())
    data = _without(as_pandas(data, name), panel.roles.static)
    check_zone(stamps_of(data, roles, name), panel, name)
    new = _renamed(read_panel(data, roles, panel.grid.freq, name, True, panel.categories), panel)
    unknown = new.names.difference(panel.names, sort=False)
    if len(unknown):
        some = ", ".join(map(quoted, panel.names[:3])) + (" …" if len(panel.names) > 3 else "")
        raise ValueError(
            f"Series {quoted(unknown[0])} of {name} was not in the fit, which knows {some}: fit again with it, or use "
            "apply on its whole history."
        )
    last = panel.times[panel.ends[panel.names.get_indexer(new.names)] - 1]
    shift = _checked_shift(new, last, panel.grid, fill_gaps, name)
    return new if (shift == 1).all() else _preceded(new, shift - 1, last, name)


def static_frame(frame: Any, panel: Panel, columns: Sequence[str]) -> pd.DataFrame:
    """Static covariates that come as a frame of their own, in the order of the panel's series.

    Parameters
    ----------
    frame : DataFrame
        Indexed by series, or with a column of them; it may hold more series and columns.
    panel : Panel
    columns : sequence of str
        Which of its columns.


    Raises
    ------
    ValueError
        If a column or series is not there, or a series is there twice.

    Examples
    --------
    >>> import pandas as pd
    >>> panel = read_panel(pd.DataFrame({"b": [1.0, 2.0, 3.0], "a": [1.0, 2.0, 3.0]}))
    >>> static_frame(pd.DataFrame({"area": [3.0, 4.0]}, index=["a", "b"]), panel, ["area"])["area"].tolist()
    [4.0, 3.0]
    """
    frame = as_pandas(frame, "static")
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"static must be a DataFrame indexed by series, got {type(frame).__name__}.")
    if panel.roles.id_col in frame.columns:
        frame = frame.set_index(panel.roles.id_col)
    unknown = [column for column in columns if column not in frame.columns]
    if unknown:
        raise ValueError(f"static has no column {quoted(unknown[0])}; it has {list(frame.columns)}.")
    if frame.index.has_duplicates:
        raise ValueError(f"static has two rows for series {frame.index[frame.index.duplicated()][0]!r}.")
    missing = panel.names.difference(frame.index)
    if len(missing):
        raise ValueError(f"static has no row for series {quoted(missing[0])}; its index must hold the series.")
    return frame.loc[panel.names, list(columns)]


def check_zone(stamps: pd.Index, panel: Panel, name: str) -> None:
    """Raise if times are not of the kind, frequency of periods and time zone of the panel's."""
    if not len(stamps):
        raise ValueError(f"{name} has no rows.")
    kinds = [_kind_of_labels(index) for index in (stamps, panel.times)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"The times of {name} are {kinds[0]} such as {stamps[0]!s}, those of the fit were {kinds[1]} such as "
            f"{panel.times[0]!s}."
        )
    zones = [str(getattr(index, "tz", None)) for index in (stamps, panel.times)]
    if zones[0] != zones[1]:
        raise ValueError(
            f"The times of {name} have the time zone {zones[0]}, those of the fit {zones[1]}: convert them with "
            "tz_localize or tz_convert."
        )


def _kind_of_labels(index: pd.Index) -> str:
    if isinstance(index, pd.PeriodIndex):
        return f"periods of {index.freqstr!r}"
    if isinstance(index, pd.DatetimeIndex):
        return "dates"
    if pd.api.types.is_float_dtype(index.dtype):
        return "numbers with a fraction"
    return "integers" if pd.api.types.is_integer_dtype(index.dtype) else f"values of {index.dtype}"


def _without(data: Any, columns: Sequence[str]) -> Any:
    """A frame less some columns, where it has them."""
    if isinstance(data, pd.DataFrame):
        return data.drop(columns=[column for column in columns if column in data.columns])
    if isinstance(data, xarray.Dataset):
        return data.drop_vars(columns, errors="ignore")
    return data


def _renamed(new: Panel, panel: Panel) -> Panel:
    """New rows that name no series, called as the only one there is."""
    unnamed = new.layout.kind in ("series", "xarray") and new.layout.single and new.layout.names[0] is None
    return replace(new, names=panel.names) if unnamed and len(panel.names) == 1 else new


def _checked_shift(new: Panel, last: pd.Index, grid: Grid, fill_gaps: bool, name: str) -> Array:
    """How many steps after the last known instant the rows of each series begin; raises if not 1, or not allowed."""
    first = new.times[new.starts]
    pairs = list(zip(last, first, strict=True))
    known = {pair: _steps_between(grid, *pair) for pair in dict.fromkeys(pairs)}
    shift = np.array([known[pair] for pair in pairs], dtype=np.int64)
    wrong = (shift < 1) | ((shift > 1) & (not fill_gaps))
    if not wrong.any():
        return shift
    number = int(np.argmax(wrong))
    where = f"Series {quoted(new.names[number])} of {name} begins at {first[number]!s}, but"
    if shift[number] < 1:
        raise ValueError(f"{where} is known up to {last[number]!s}: leave out the rows that overlap.")
    raise ValueError(
        f"{where} {grid.after(last[number], 1)[0]!s} comes next: give the rows in between, or fill_gaps=True to take "
        "them as missing."
    )


def _steps_between(grid: Grid, last: Any, first: Any) -> int:
    """How many steps of the grid lie between two instants."""
    if first == last:
        return 0
    low, high = min(last, first), max(last, first)
    full = grid.between(low, high)
    low, high = grid.rounded(pd.Index([low, high]))
    if not len(full) or full[0] != low or full[-1] != high:
        raise ValueError(
            f"{first!s} does not lie on the grid of freq={grid.freq!r} through {last!s}: round the stamps."
        )
    return (len(full) - 1) * (1 if first > last else -1)


def _preceded(new: Panel, count: Array, last: pd.Index, name: str) -> Panel:
    """New rows with ``count`` missing ones in front of every series."""
    if new.roles.future:
        raise ValueError(f"{name} leaves a gap, in which the covariates known ahead are not known: give these rows.")
    lengths = new.lengths + count
    row = np.arange(len(new.target)) + np.cumsum(count)[new.series]
    gaps = [new.grid.after(instant, int(steps)) for instant, steps in zip(last, count, strict=True)]
    order = np.argsort(np.concatenate([row, np.setdiff1d(np.arange(lengths.sum()), row)]))

    def spread(values: Array, missing: Any) -> Array:
        wide = np.full((int(lengths.sum()), *values.shape[1:]), missing, dtype=values.dtype)
        wide[row] = values
        return wide

    return replace(
        new,
        lengths=lengths,
        times=new.times.append(gaps)[order],
        target=spread(new.target, np.nan),
        past=spread(new.past, np.nan),
        future=spread(new.future, np.nan),
        present=spread(new.present, False),
    )

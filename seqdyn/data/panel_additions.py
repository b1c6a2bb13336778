"""Additions to a panel that was read: new rows, static covariates, and covariates that are known ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray

from seqdyn.arrays import Array
from seqdyn.data.columns import column_as_numbers, encoded, unknown_value
from seqdyn.data.containers import as_pandas
from seqdyn.data.grids import Grid
from seqdyn.data.labels import quoted
from seqdyn.data.panel_layouts import stamps_of
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel
from seqdyn.data.stamps import times_of


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


def read_future(data: Any, panel: Panel, horizon: int, name: str = "future") -> Array:
    """Read the covariates of the next steps of every series.

    Parameters
    ----------
    data : DataFrame or Dataset
        In the layout of the panel, without the target; of a wide frame the covariates alone. Without an axis of series
        they are shared by all. It may reach further, and hold other columns.
    panel : Panel
    horizon : int
    name : str

    Returns
    -------
    array, shape (series, horizon, columns)
        As :meth:`~seqdyn.data.panels.Panel.columns` calls them: a category has one a value.

    Raises
    ------
    ValueError
        If a covariate is not given, does not reach the horizon, is missing somewhere, or has a value that is not known.

    Examples
    --------
    >>> from seqdyn.data.panel_reading import read_panel
    >>> from seqdyn.data.panels import Roles
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 3.0], "price": [5.0, 6.0, 7.0]}, index=[0, 1, 2])
    >>> panel = read_panel(frame, Roles(future=("price",)))
    >>> read_future(pd.DataFrame({"price": [8.0, 9.0]}, index=[3, 4]), panel, 2)
    array([[[8.],
            [9.]]])
    """
    wanted = list(panel.roles.future)
    if not wanted:
        raise ValueError(f"{name} was given, but no covariate is known ahead: name them in future= of the forecaster.")
    if data is None:
        raise ValueError(
            f"The covariates {wanted} are known ahead: give them for the next {horizon} steps as future=; "
            f"future_frame({horizon}) makes the frame to fill."
        )
    frame = _future_rows(as_pandas(data, name), panel, name)
    for column in wanted:
        if column not in frame.columns:
            raise ValueError(f"{name} has no column {column!r}; it has {list(frame.columns)}.")
    check_zone(frame.index.get_level_values(-1), panel, name)
    if frame.index.has_duplicates:
        raise ValueError(f"{name} has two rows for {frame.index[frame.index.duplicated()][0]!s}.")
    ahead = panel.ahead(horizon)
    place = frame.index.get_indexer(_labels_ahead(frame.index, panel, ahead, name))
    columns = [_ahead_of(frame[column], place, panel, ahead, name) for column in wanted]
    return np.concatenate(columns, axis=1).reshape(len(ahead), horizon, -1)


def frame_ahead(panel: Panel, horizon: int) -> Any:
    """Return the rows and columns to fill with known covariates, a frame in the layout of the panel; all is missing.

    Examples
    --------
    >>> from seqdyn.data.panel_reading import read_panel
    >>> from seqdyn.data.panels import Roles
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 3.0], "price": [5.0, 6.0, 7.0]}, index=[0, 1, 2])
    >>> frame_ahead(read_panel(frame, Roles(future=("price",))), 2)
       price
    3    NaN
    4    NaN
    """
    layout, times = panel.layout, panel.ahead(horizon)
    series, time = layout.names[1:]
    stamps = times[0].append(times[1:]) if len(times) > 1 else times[0]
    if layout.kind in ("wide", "series") or layout.single:
        index = layout.stamps(stamps.unique().sort_values()).rename(time)
    else:
        index = pd.MultiIndex.from_arrays([panel.names.repeat(horizon), layout.stamps(stamps)], names=[series, time])
    text = {name: name in panel.categories or layout.container != "pandas" for name in panel.roles.future}
    blank = {name: pd.Series(None, index, object if text[name] else float) for name in panel.roles.future}
    frame = pd.DataFrame(blank, index=index)
    if layout.kind == "xarray":
        return frame.to_xarray()
    if layout.kind != "long":
        return frame
    known = {name: "String" if name in panel.categories else "Float64" for name in panel.roles.future}
    return layout.given_back(frame.reset_index(), {name: (dtype, {}) for name, dtype in known.items()})


def _ahead_of(column: pd.Series, place: Array, panel: Panel, ahead: list[pd.Index], name: str) -> Array:
    """A covariate as numbers at the steps ahead of all series, (series · horizon, columns); −1 is an absent row."""
    horizon = len(ahead[0])

    def where(row: int) -> str:
        series, step = divmod(row, horizon)
        return (
            f"for series {quoted(panel.names[series])} at {ahead[series][step]!s}, step {step + 1} of the horizon "
            f"{horizon}"
        )

    if column.name in panel.categories:
        values = panel.categories[column.name]
        numbers, _ = encoded(column, values)
        strange = np.flatnonzero((numbers.sum(axis=1) == 0)[place] & (place >= 0))
        if len(strange):
            row = int(strange[0])
            raise unknown_value(str(column.name), name, column.iloc[place[row]], where(row), values)
    else:
        numbers = column_as_numbers(column, name)[:, None]
    numbers = np.where(place[:, None] < 0, np.nan, numbers[place])
    bad = ~np.isfinite(numbers).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} does not hold {column.name!r} {where(int(np.argmax(bad)))}: the row is absent, or the value "
            "missing or infinite."
        )
    return numbers


def _future_rows(data: Any, panel: Panel, name: str) -> pd.DataFrame:
    """Covariates indexed by (series, time), or by time where all series share them."""
    roles = panel.roles
    if isinstance(data, xarray.Dataset | xarray.DataArray):
        dataset = data if isinstance(data, xarray.Dataset) else data.to_dataset(name=data.name or roles.future[0])
        time = "time" if "time" in dataset.dims else panel.layout.names[2]
        return dataset.to_dataframe(dim_order=sorted(dataset.dims, key=lambda dim: dim == time))
    if isinstance(data, pd.Series):
        data = data.to_frame(roles.future[0] if data.name is None else data.name)
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame or Dataset, got {type(data).__name__}.")
    keys = [column for column in (roles.id_col, roles.time_col) if column in data.columns]
    frame = data.set_index(keys) if roles.time_col in keys else data
    if frame.index.nlevels > 2:
        raise ValueError(f"{name} has {frame.index.nlevels} index levels, expected time, or series and time.")
    return frame.set_axis(_read_times(frame.index, panel.grid, name))


def _read_times(index: pd.Index, grid: Grid, name: str) -> pd.Index:
    """An index of times, or of series and times, with the times as the grid spells them."""
    if index.nlevels == 1:
        return _spelled(index, grid, name)
    series, times = index.get_level_values(0), index.get_level_values(1)
    read = _spelled(times, grid, name)
    return index if read is times else pd.MultiIndex.from_arrays([series, read], names=index.names)


def _spelled(times: pd.Index, grid: Grid, name: str) -> pd.Index:
    read = times_of(times, name)
    return grid.rounded(read) if pd.api.types.is_numeric_dtype(read.dtype) else read


def _labels_ahead(index: pd.Index, panel: Panel, ahead: list[pd.Index], name: str) -> pd.Index:
    """The rows of the steps ahead, as a frame of this index calls them."""
    stamps = ahead[0].append(ahead[1:]) if len(ahead) > 1 else ahead[0]
    if index.nlevels == 1:
        return stamps
    absent = ~panel.names.isin(index.get_level_values(0))
    if absent.any():
        raise ValueError(f"{name} has no rows for series {quoted(panel.names[int(np.argmax(absent))])}.")
    return pd.MultiIndex.from_arrays([panel.names.repeat(len(ahead[0])), stamps])

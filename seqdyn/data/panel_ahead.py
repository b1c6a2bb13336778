"""Covariates that are known ahead: the frame to fill, and how it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray

from seqdyn.arrays import Array
from seqdyn.data.columns import column_as_numbers, encoded, unknown_value
from seqdyn.data.containers import as_pandas
from seqdyn.data.grids import Grid
from seqdyn.data.labels import quoted
from seqdyn.data.panel_additions import check_zone
from seqdyn.data.panels import Panel
from seqdyn.data.stamps import times_of


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
    >>> import pandas as pd
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
    >>> import pandas as pd
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

"""The layouts of frames: each is read into one table of observations.

| layout                               | what it is                                                              |
|--------------------------------------|-------------------------------------------------------------------------|
| Series indexed by time               | one series                                                              |
| wide frame indexed by time           | a series a column, beside the columns named as covariates, which all share |
| MultiIndex (series, time)            | a target column, and the columns named as covariates; or a Series       |
| long frame                           | the same, with series and time in columns (one series without the former) |
| xarray DataArray, Dataset            | dims (series, time) or (time,); a Dataset's other variables are covariates |
| polars DataFrame, pyarrow Table      | long                                                                    |

Times are dates, periods or integers; what else is read as such, see :mod:`seqdyn.data.stamps`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray

from seqdyn.arrays import Array
from seqdyn.data.columns import column_as_numbers
from seqdyn.data.containers import as_container, as_pandas, container_of, dtypes_of
from seqdyn.data.stamps import times_of


@dataclass(frozen=True)
class Roles:
    """The roles of the columns of a frame.

    Attributes
    ----------
    id_col, time_col, target_col : str
        Of a long frame; the last also of a MultiIndex frame and a Dataset of several columns.
    past : tuple of str
        Covariates known up to the present.
    future : tuple of str
        Covariates known ahead.
    static : tuple of str
        Constants of a series.
    """

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @property
    def covariates(self) -> tuple[str, ...]:
        """All columns beside the target."""
        return (*self.past, *self.future, *self.static)


@dataclass(frozen=True)
class Layout:
    """The layout of a frame that was read.

    Attributes
    ----------
    kind : {"series", "wide", "multiindex", "long", "xarray"}
    names : tuple of str or None
        The name of the target, of the axis of series, and of that of time.
    single : bool
        Whether it has no axis of series.
    dtypes : tuple
        The types that forecasts, series and times get, in the order of ``names``; None where they need none. Of pandas
        a name such as ``"Float64"`` or ``"timestamp[ns][pyarrow]"``; of another library its name and arguments.
    container : str
        The library the frame was of: ``"pandas"``, ``"polars"``, ``"pyarrow"``.
    """

    kind: str
    names: tuple[Any, Any, Any]
    single: bool = False
    dtypes: tuple[Any, Any, Any] = (None, None, None)
    container: str = "pandas"

    def restore(self, names: pd.Index, columns: dict[str, Array], times: list[pd.Index]) -> Any:
        """Forecasts in this layout, see :meth:`seqdyn.data.panels.Panel.restore`; ``names`` are those of the series."""
        (target, series, time), horizon = self.names, len(times[0])
        dtype = self._own(0)
        values: dict[str, Any] = {name: array.reshape(-1) for name, array in columns.items()}
        if dtype is not None:
            values = {name: pd.array(array, dtype=dtype) for name, array in values.items()}
        if self.kind == "wide":
            return self._wide(names, columns, times)
        stamps = self.stamps(times[0].append(times[1:]) if len(times) > 1 else times[0])
        names = names.repeat(horizon)
        if self.kind == "series":
            frame = pd.DataFrame(values, index=stamps.rename(time))
            return frame.iloc[:, 0].rename(target) if len(columns) == 1 else frame
        if self.kind == "long":
            labels = {} if self.single else {series: names}
            frame = pd.DataFrame(labels | {time: stamps} | values)
            return self.given_back(frame, dict.fromkeys(columns, self.dtypes[0]))
        if self.kind == "xarray":
            return self._labelled(values, names, stamps)
        return pd.DataFrame(values, index=pd.MultiIndex.from_arrays([names, stamps], names=[series, time]))

    def stamps(self, times: pd.Index) -> pd.Index:
        """Times in the type that came in."""
        dtype = self._own(2)
        return times if dtype is None else times.astype(dtype)

    def given_back(self, frame: pd.DataFrame, dtypes: dict[str, Any]) -> Any:
        """A long frame in the library it came from, with its own types, and these of other columns."""
        if self.container == "pandas":
            return frame
        dtypes = dtypes | {self.names[1]: self.dtypes[1], self.names[2]: self.dtypes[2]}
        return as_container(frame, self.container, {name: dtype for name, dtype in dtypes.items() if dtype is not None})

    def _own(self, place: int) -> Any:
        """A type of pandas."""
        return self.dtypes[place] if self.container == "pandas" else None

    def _wide(self, names: pd.Index, columns: dict[str, Array], times: list[pd.Index]) -> pd.DataFrame:
        """A column a series, or a column a series and array."""
        table = np.stack(list(columns.values()), axis=1)  # (series, arrays, horizon)
        index = times[0]
        if not all(own is index or own.equals(index) for own in times):
            index = times[0].append(times[1:]).unique().sort_values()
            full = np.full((*table.shape[:2], len(index)), np.nan)
            for number, own in enumerate(times):
                full[number][:, index.get_indexer(own)] = table[number]
            table = full
        if len(columns) > 1:
            pairs = [names.repeat(len(columns)), [*columns] * len(names)]
            names = pd.MultiIndex.from_arrays(pairs, names=[names.name, None])
        index = self.stamps(index).rename(self.names[2])
        frame = pd.DataFrame(table.reshape(-1, len(index)).T, index=index, columns=names)
        return frame if self._own(0) is None else frame.astype(self._own(0))

    def _labelled(self, values: dict[str, Any], names: pd.Index, stamps: pd.Index) -> Any:
        """A Dataset, or a DataArray if there is one array; the series in their own order."""
        target, series, time = self.names
        if self.single:
            dataset = pd.DataFrame(values, index=stamps.rename(time)).to_xarray()
        else:
            index = pd.MultiIndex.from_arrays([names, stamps], names=[series, time])
            dataset = pd.DataFrame(values, index=index).to_xarray().reindex({series: names.unique()})
        return dataset[next(iter(values))].rename(target) if len(values) == 1 else dataset


def forecast_dtype(dtype: Any) -> str | None:
    """The type of forecasts of a target of this type; None for plain float64.

    Examples
    --------
    >>> forecast_dtype(pd.Series([1.0], dtype="float32").dtype), forecast_dtype(pd.Series([1], dtype="Int64").dtype)
    ('float32', 'Float64')
    """
    name = str(dtype)
    if name.endswith("[pyarrow]"):
        return "float[pyarrow]" if name in ("float[pyarrow]", "halffloat[pyarrow]") else "double[pyarrow]"
    if name in ("float16", "float32"):
        return "float32"
    return None if isinstance(dtype, np.dtype) else "Float32" if name == "Float32" else "Float64"


def time_dtype(given: Any, read: pd.Index) -> str | None:
    """The type that times come back in: that of pyarrow's and of nullable numbers."""
    numbers = read.dtype.kind in "iuf" and given != read.dtype and str(given) != "object"
    return str(given) if numbers or (str(given).endswith("[pyarrow]") and "string" not in str(given)) else None


@dataclass
class Observations:
    """A frame as columns: one row an observation, in any order.

    Attributes
    ----------
    code : array of int, shape (rows,)
        The number of the series of every row.
    names : Index, shape (series,)
        In the order in which they come in the frame.
    stamps : Index, shape (rows,)
    columns : DataFrame
        Target and covariates.
    target : str
        Which of the columns is the target.
    layout : Layout
    freq : offset or None
        The frequency that an index of dates says it has.
    """

    code: Array
    names: pd.Index
    stamps: pd.Index
    columns: pd.DataFrame
    target: Any
    layout: Layout
    freq: Any = None


def table_of(data: Any, roles: Roles, name: str = "df") -> Observations:
    """The observations of a frame of any layout.

    Parameters
    ----------
    data : Series, DataFrame, DataArray or Dataset
        Of pandas or xarray; or a DataFrame of polars, or a Table of pyarrow.
    roles : Roles
    name : str
        How errors call the frame.

    Raises
    ------
    TypeError
        If it is no labelled container.
    ValueError
        If the layout is not clear: columns of one name or of no role, index levels too many, ids that are missing.

    Examples
    --------
    >>> frame = pd.DataFrame({"unique_id": ["b", "a", "b"], "ds": [2, 1, 1], "y": [3.0, 4.0, 5.0]})
    >>> table = table_of(frame, Roles())
    >>> table.layout.kind, list(table.names), table.code
    ('long', ['b', 'a'], array([0, 1, 0]))
    """
    container = container_of(data)
    table = _observations(as_pandas(data, name), roles, name)
    given = table.stamps
    table.stamps = times_of(given, name)
    numbers = None if table.target is None else forecast_dtype(table.columns[table.target].dtype)
    dtypes: tuple[Any, Any, Any] = (numbers, None, time_dtype(given.dtype, table.stamps))
    if container != "pandas":
        own = dtypes_of(data)
        number = "Float32" if own[table.layout.names[0]][0] == "Float32" else "Float64"
        dtypes = ((number, {}), own.get(table.layout.names[1]), own[table.layout.names[2]])
    table.layout = replace(table.layout, dtypes=dtypes, container=container)
    return table


def _observations(data: Any, roles: Roles, name: str) -> Observations:
    """The observations of a frame of pandas or xarray, times as they stand there."""
    if isinstance(data, xarray.DataArray | xarray.Dataset):
        return _from_xarray(data, roles, name)
    if isinstance(data, pd.Series):
        return _from_series(data, roles, name)
    if not isinstance(data, pd.DataFrame):
        raise TypeError(
            f"{name} must be a pandas Series or DataFrame, a polars DataFrame, a pyarrow Table, or an xarray DataArray "
            f"or Dataset, got {type(data).__name__}. Arrays have no times: estimators take them."
        )
    if data.columns.nlevels > 1:
        raise ValueError(
            f"The columns of {name} have {data.columns.nlevels} levels {list(data.columns.names)}: flatten them, e.g. "
            "with df.stack(), or take one of them with xs."
        )
    if data.columns.has_duplicates:
        raise ValueError(f"{name} has two columns of the name {data.columns[data.columns.duplicated()][0]!r}.")
    if isinstance(data.index, pd.MultiIndex):
        return _from_multiindex(data, roles, name)
    if roles.time_col in data.columns:
        return _from_long(data, roles, name)
    return _from_wide(data, roles, name)


def stamps_of(data: Any, roles: Roles, name: str = "df") -> pd.Index:
    """The times of a frame, and nothing else of it."""
    if isinstance(data, xarray.DataArray | xarray.Dataset):
        return data.indexes[
            _dims_with_time_last([dim for dim in data.dims if dim in data.indexes], roles, data.indexes)[-1]
        ]
    if isinstance(data, pd.DataFrame) and roles.time_col in data.columns:
        return times_of(pd.Index(data[roles.time_col]), name)
    if not isinstance(data, pd.Series | pd.DataFrame):
        raise TypeError(f"{name} must come in a frame, got {type(data).__name__}.")
    return times_of(data.index.get_level_values(-1), name)


def _from_series(data: pd.Series, roles: Roles, name: str) -> Observations:
    label = roles.target_col if data.name is None else data.name
    if isinstance(data.index, pd.MultiIndex):
        return _from_multiindex(data.rename(label).to_frame(), roles, name)
    _check_alone(roles, name)
    layout = Layout("series", (data.name, None, data.index.name), single=True)
    code, columns = np.zeros(len(data), int), data.rename(label).to_frame()
    return Observations(code, _only(label), data.index, columns, label, layout, _freq(data.index))


def _from_long(data: pd.DataFrame, roles: Roles, name: str) -> Observations:
    single = roles.id_col not in data.columns
    keys = [roles.time_col] if single else [roles.id_col, roles.time_col]
    columns = data.drop(columns=keys)
    target = _target_column(columns, roles, name)
    layout = Layout("long", (target, roles.id_col, roles.time_col), single)
    stamps = pd.Index(data[roles.time_col])
    if single:
        return Observations(np.zeros(len(data), int), _only(target), stamps, columns, target, layout)
    code, names = _coded(data[roles.id_col], roles.id_col, name)
    return Observations(code, names, stamps, columns, target, layout)


def _from_multiindex(data: pd.DataFrame, roles: Roles, name: str) -> Observations:
    if data.index.nlevels != 2:
        raise ValueError(
            f"{name} has {data.index.nlevels} index levels {list(data.index.names)}, expected (series, time)."
        )
    first, second = data.index.levels
    if _holds_dates(first) and not _holds_dates(second):
        raise ValueError(
            f"The first index level {data.index.names[0]!r} of {name} holds times, expected (series, time): turn them "
            "round with swaplevel()."
        )
    alone = data.shape[1] == 1 and not roles.covariates
    target = data.columns[0] if alone else _target_column(data, roles, name)
    series, time = data.index.names
    code, names = _coded(data.index.get_level_values(0), series, name)
    layout = Layout("multiindex", (target, series, time))
    stamps = data.index.get_level_values(1)
    freq = _freq(second)
    whole = freq is not None and stamps.nunique() == len(second)
    return Observations(code, names, stamps, data, target, layout, freq if whole else None)


def _from_wide(data: pd.DataFrame, roles: Roles, name: str) -> Observations:
    _check_wide(data, roles, name)
    shared = [*roles.past, *roles.future]
    own = data.columns.drop(shared)
    if not len(own):
        raise ValueError(
            f"{name} has no column to forecast{': all are covariates' if shared else ', and none at all'}."
        )
    values = _columns_end_to_end(data, own, name)
    columns = pd.concat([data[shared]] * len(own), ignore_index=True)
    target = roles.target_col if roles.target_col not in shared else f"target, beside {shared}"
    columns.insert(0, target, values)
    layout = Layout("wide", (None, None, data.index.name))
    stamps = data.index.append([data.index] * (len(own) - 1)) if len(own) > 1 else data.index
    code = np.repeat(np.arange(len(own)), len(data))
    return Observations(code, own, stamps, columns, target, layout, _freq(data.index))


def _columns_end_to_end(data: pd.DataFrame, own: pd.Index, name: str) -> Any:
    """Columns one after the other, in the type that all of them have, if they have one."""
    values = np.concatenate([column_as_numbers(data[column], name) for column in own])
    types = {forecast_dtype(data[column].dtype) for column in own}
    return pd.array(values, dtype=types.pop()) if len(types) == 1 and types != {None} else values


def _freq(index: pd.Index) -> Any:
    """The frequency of an index that says it; where it runs backwards, that of its instants in order."""
    freq = getattr(index, "freq", None) if isinstance(index, pd.DatetimeIndex) else None
    return freq if freq is None or freq.n > 0 else -freq


def _check_wide(data: pd.DataFrame, roles: Roles, name: str) -> None:
    """Raise if a frame without series and time in columns or levels is no wide frame either."""
    if roles.id_col in data.columns:
        raise ValueError(
            f"{name} has a column {roles.id_col!r} but none named {roles.time_col!r} for the time; it has "
            f"{list(data.columns)}. Name it with time_col, or take the times out of the index with reset_index."
        )
    if roles.static:
        raise ValueError(
            f"{name} is a wide frame, which has no column of static covariates {list(roles.static)}: give them to fit "
            "as static=."
        )
    for column in (*roles.past, *roles.future):
        if column not in data.columns:
            raise ValueError(
                f"{name} has no column {column!r}, which is named as a covariate; it has {list(data.columns)}."
            )
    own = data.columns.drop([*roles.past, *roles.future])
    text = [column for column in own if not _holds_numbers(data[column])]
    if text and not isinstance(data.index, pd.DatetimeIndex | pd.PeriodIndex):
        raise ValueError(
            f"{name} is read as a wide frame, one series a column, since it has no column {roles.time_col!r}; but "
            f"{text[0]!r} does not hold numbers. For a long frame name id_col, time_col and target_col."
        )


def _holds_numbers(column: pd.Series) -> bool:
    """Whether a column holds numbers, decimals or truth values."""
    kinds = pd.api.types.is_numeric_dtype(column.dtype), pd.api.types.is_bool_dtype(column.dtype)
    return any(kinds) or pd.api.types.infer_dtype(column, skipna=True) == "decimal"


def _from_xarray(data: Any, roles: Roles, name: str) -> Observations:
    dataset = data.to_dataset(name=roles.target_col) if isinstance(data, xarray.DataArray) else data
    if roles.target_col not in dataset:
        raise ValueError(f"{name} has no variable {roles.target_col!r}; it has {list(dataset.data_vars)}.")
    dims = _dims_with_time_last(dataset[roles.target_col].dims, roles, dataset.indexes)
    if not 1 <= len(dims) <= 2:
        raise ValueError(f"{name} has the dims {dims}, expected (time,) or (series, time).")
    for dim in dims:
        if dim not in dataset.coords:
            raise ValueError(f"The dim {dim!r} of {name} has no coordinate: give it labels with assign_coords.")
    dataset = dataset.reset_coords([known for known in roles.covariates if known in dataset.coords])
    frame = dataset.reset_coords(drop=True).to_dataframe(dim_order=dims)
    label = data.name if isinstance(data, xarray.DataArray) else roles.target_col
    if len(dims) == 2:
        table = _from_multiindex(frame, roles, name)
        table.layout = Layout("xarray", (label, *dims))
        return table
    target = _target_column(frame, roles, name)
    layout = Layout("xarray", (label, None, dims[0]), single=True)
    names = _only(target if label is None else label)
    return Observations(np.zeros(len(frame), int), names, frame.index, frame, target, layout)


def _dims_with_time_last(dims: Any, roles: Roles, indexes: Any) -> list[Any]:
    """Dims with time as the last: the one of that name, else the only one with dates or periods, else the last one."""
    dims = list(dims)
    dated = [dim for dim in dims if dim in indexes and _holds_dates(indexes[dim])]
    named = [dim for dim in dims if dim in ("time", roles.time_col)]
    time = [*named, *(dated if len(dated) == 1 else dims[-1:]), None][0]
    return sorted(dims, key=lambda dim: dim == time)


def _holds_dates(index: pd.Index) -> bool:
    """Whether labels are dates or periods."""
    return isinstance(index, pd.DatetimeIndex | pd.PeriodIndex)


def _target_column(columns: pd.DataFrame, roles: Roles, name: str) -> Any:
    """The target column; every other one must have been named, too."""
    wanted = (roles.target_col, *roles.covariates)
    for column in wanted:
        if column not in columns.columns:
            raise ValueError(
                f"{name} has no column {column!r}; beside series and time it has {list(columns.columns)}. Name the "
                "target with target_col, covariates with past, future and static."
            )
    unknown = [column for column in columns.columns if column not in wanted]
    if unknown:
        raise ValueError(
            f"Nobody said what the columns {unknown} of {name} are: name them in past, future or static, or drop them."
        )
    return roles.target_col


def _check_alone(roles: Roles, name: str) -> None:
    """Raise if covariates are named, but there is no place for them."""
    if roles.covariates:
        raise ValueError(
            f"{name} is a Series, which has no column {roles.covariates[0]!r}: give a frame with the covariates."
        )


def _coded(labels: Any, column: Any, name: str) -> tuple[Array, pd.Index]:
    """The number of every row's series, and their names as they come."""
    code, names = pd.factorize(labels)
    if (code < 0).any():
        raise ValueError(f"Row {int(np.argmax(code < 0))} of {name} has no series: {column!r} is missing there.")
    return code, pd.Index(names, tupleize_cols=False)


def _only(label: Any) -> pd.Index:
    """The names of a panel of one series."""
    return pd.Index([label], tupleize_cols=False)

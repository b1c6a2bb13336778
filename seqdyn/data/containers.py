"""Frames of other libraries (polars, pyarrow): read as pandas frames at the boundary, and given back as they came."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

Dtype = tuple[str, dict[str, Any]]
"""A type of narwhals, by its name and arguments."""


def container_of(data: Any) -> str:
    """Return the library of a frame, by narwhals' name: ``"polars"``, ``"pyarrow"``, …; ``"pandas"`` for all else.

    Examples
    --------
    >>> container_of(pd.DataFrame())
    'pandas'
    """
    frame = _narwhal(data)
    return "pandas" if frame is None else str(frame.implementation.value)


def as_pandas(data: Any, name: str = "df") -> Any:
    """Convert a frame of another library to pandas; return anything else as it is.

    Raises
    ------
    TypeError
        If it is a lazy frame, or a single column, which has no times.
    """
    frame = _narwhal(data)
    if frame is None:
        _check_eager(data, name)
        return data
    return pd.DataFrame({column: _column_as_pandas(frame[column], name) for column in frame.columns})


def dtypes_of(data: Any) -> dict[str, Dtype]:
    """Return the types of the columns of a frame of another library, as plain values."""
    frame = _narwhal(data)
    return {} if frame is None else {name: _dtype_as_values(dtype) for name, dtype in frame.schema.items()}


def as_container(frame: pd.DataFrame, container: str, dtypes: dict[str, Dtype]) -> Any:
    """Convert a pandas frame, less its index, to a library that :func:`container_of` names.

    Columns get the types that :func:`dtypes_of` gives.
    """
    backend = nw.Implementation.from_string(container)
    made = nw.from_dict({str(name): _column_as_array(frame[name]) for name in frame.columns}, backend=backend)  # type: ignore[arg-type]
    for name, (kind, arguments) in dtypes.items():
        if name in made.columns:
            made = made.with_columns(_cast(made, name, kind, arguments))
    return made.to_native()


def _narwhal(data: Any) -> Any:
    """A frame that narwhals knows and pandas does not make itself; else None."""
    if isinstance(data, pd.DataFrame | pd.Series):
        return None
    found = nw.from_native(data, eager_only=True, pass_through=True)
    return found if isinstance(found, nw.DataFrame) else None


def _check_eager(data: Any, name: str) -> None:
    if isinstance(data, pd.DataFrame | pd.Series):
        return
    found = nw.from_native(data, allow_series=True, pass_through=True)
    if isinstance(found, nw.LazyFrame):
        raise TypeError(f"{name} is a lazy frame, which holds no rows yet: give {name}.collect().")
    if isinstance(found, nw.Series):
        raise TypeError(
            f"{name} is a single {type(data).__module__.split('.')[0]} column, which has no times: give a frame."
        )


def _column_as_pandas(column: Any, name: str) -> Any:
    """A column as pandas holds it."""
    dtype = column.dtype
    if isinstance(dtype, nw.Datetime) and dtype.time_zone is not None:
        return pd.DatetimeIndex(column.to_numpy()).tz_localize("UTC").tz_convert(dtype.time_zone)
    if isinstance(dtype, nw.Categorical | nw.Enum):
        return pd.Categorical(column.cast(nw.String).to_list())
    if isinstance(dtype, nw.Boolean):
        return pd.array(column.to_list(), dtype="boolean")
    if isinstance(dtype, nw.String):
        return pd.Series(column.to_list(), dtype=object if column.is_null().all() else None)
    if not (dtype.is_numeric() or isinstance(dtype, nw.Datetime | nw.Date)) and not column.is_null().all():
        raise TypeError(f"Column {column.name!r} of {name} has the type {dtype}: give numbers, dates or strings.")
    return column.to_numpy()


def _dtype_as_values(dtype: Any) -> Dtype:
    if isinstance(dtype, nw.Datetime):
        return "Datetime", {"time_unit": dtype.time_unit, "time_zone": dtype.time_zone}
    return type(dtype).__name__, {"categories": list(dtype.categories)} if isinstance(dtype, nw.Enum) else {}


def _column_as_array(column: pd.Series) -> Any:
    """A column as an array that every library takes; instants in UTC."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _column_as_array(column.dt.tz_convert("UTC").dt.tz_localize(None))
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        return column.dt.as_unit("us" if column.dt.unit == "s" else column.dt.unit).to_numpy()
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return column.to_numpy()
    return [None if pd.isna(value) else value for value in column.tolist()]


def _cast(made: Any, name: str, kind: str, arguments: dict[str, Any]) -> Any:
    """A column in its own type again."""
    column, zone = nw.col(name), arguments.get("time_zone")
    if zone is not None:
        column = column.cast(nw.Datetime(arguments["time_unit"])).dt.replace_time_zone("UTC")
        return column.dt.convert_time_zone(zone)
    if kind == "Enum" and made.implementation.is_pyarrow():
        kind, arguments = "Categorical", {}
    return column.cast(getattr(nw, kind)(**arguments))

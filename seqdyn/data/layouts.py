"""The layout of a frame, with the roles and types of its columns, in which forecasts are given back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.data.containers import as_container


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
        """Forecasts in this layout.

        Parameters
        ----------
        names : Index, shape (series,)
        columns : dict of array, shape (series, horizon)
            By name; the first is the point forecast.
        times : list of Index, one a series

        Returns
        -------
        DataFrame, Series, DataArray or Dataset
            See :meth:`seqdyn.data.panels.Panel.restore`.
        """
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
    >>> import pandas as pd
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

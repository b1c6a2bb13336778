"""Sequences: every container in, the same container out.

Whatever the user holds becomes *rows laid end to end*, ``(total, features)``, and the length of each series. A batch
of whole series, of windows or of streams is then one gather of rows.

| container                           | meaning                             |
|-------------------------------------|-------------------------------------|
| 2-D array ``(time, features)``      | one sequence                        |
| 3-D array ``(series, time, features)`` | many sequences of one length     |
| list or object array of arrays ``(time, features)`` or ``(time,)`` | many sequences of unlike lengths |
| nested lists of unlike lengths      | the same                            |
| DataFrame indexed by time           | one sequence, its labels kept       |
| DataFrame indexed by (series, time) | many sequences of unlike lengths, their labels kept |
| xarray with dims (time, feature)    | one sequence, its coordinates kept  |
| xarray with dims (series, time, feature) | many sequences; rows that are NaN at the end of a series are not there |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array

from seqdyn.arrays import Array
from seqdyn.data.time_index import check_time_index, series_lengths
from seqdyn.facts import shown_by_facts

if TYPE_CHECKING:
    import xarray


FEATURES = ("feature", "features", "input", "inputs")
"""The names under which the features of an xarray are found."""


class EndToEnd:
    """Series of some ``lengths`` (series,) whose rows are laid end to end."""

    lengths: Array

    @property
    def starts(self) -> Array:
        """The row each series begins at, shape (series,)."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    @property
    def series(self) -> Array:
        """The number of the series every row belongs to, shape (total,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def steps(self) -> Array:
        """The number of every row within its series, shape (total,)."""
        return np.arange(self.lengths.sum()) - np.repeat(self.starts, self.lengths)


@shown_by_facts
@dataclass(frozen=True)
class Sequences(EndToEnd):
    """Series laid end to end.

    Attributes
    ----------
    rows : array, shape (total, features)
    lengths : array of int, shape (series,)
    container : {"array", "series", "list", "frame"}
        What the user gave, and gets back; ``"series"`` is a 3-D array.
    index : pandas.Index or None
        The labels of a frame: of time, or of (series, time).
    features : array of str, or None
        The columns of frames, the coordinate of the features of an xarray.
    width : int or None
        The steps of a 3-D array; series that are shorter are padded with NaN.
    template : xarray.DataArray or None
        An xarray that came in, without its features: dims (time,) or (series, time).
    times : tuple of (pandas.Index or None), or None
        The labels of each part of a list, where it is a frame.
    """

    rows: Array
    lengths: Array
    container: str
    index: pd.Index | None = None
    features: Array | None = None
    width: int | None = None
    template: Any = None
    times: tuple[pd.Index | None, ...] | None = None

    @property
    def present(self) -> Array:
        """Which steps of a 3-D array are there, rather than padding: bool, shape (series, width)."""
        return np.arange(self.width or self.lengths.max()) < self.lengths[:, None]

    def places(self, lag: int = 0) -> Array:
        """The number of every row once each series is continued by ``lag`` rows, shape (total,)."""
        return np.arange(len(self.rows)) + lag * self.series

    def held(self, length: int) -> Sequences:
        """Series of a single step, held for ``length`` steps: one-to-many."""
        series = len(self.lengths)
        index = None
        if self._many_labels:
            steps = np.tile(np.arange(length), series)
            index = pd.MultiIndex.from_arrays([self.series_labels().repeat(length), steps], names=["series", "time"])
        return replace(
            self,
            rows=np.repeat(self.rows, length, axis=0),
            lengths=np.full(series, length, dtype=np.int64),
            index=index,
            width=length,
            template=None,
        )

    def facts(self) -> dict[str, object]:
        """Return what the repr shows."""
        names = list(range(self.rows.shape[1])) if self.features is None else self.features.tolist()
        lengths = self.lengths.tolist() if len(set(self.lengths)) > 1 else int(self.lengths[0])
        return {"container": self.container, "series": len(self.lengths), "steps": lengths, "features": names}

    # ---------------------------------------------------------------- giving back

    def restore(self, values: Array) -> Any:
        """Give values back, one row per step ``(total, …)``, in the container that came in.

        Frames and xarrays give arrays; where a series of an xarray was over, its values are NaN.
        """
        if self.container == "series":
            return _scatter(values, self.series, self.steps, (len(self.lengths), self.width or self.lengths.max()))
        if self.container == "list":
            return np.split(values, self.starts[1:])
        return values

    def labels(self) -> pd.Index:
        """What every row is called: by time, or by (series, time); numbers where the container has no labels."""
        if self.index is not None:
            return self.index
        dims = ["series", "time"] if self.template is None else list(self.template.dims)
        times = self.steps if self.template is None else self.template.get_index(dims[-1])[self.steps]
        if self.container in ("series", "list"):
            return pd.MultiIndex.from_arrays([self.series_labels()[self.series], times], names=dims)
        return pd.Index(times, name=dims[-1])

    def series_labels(self) -> pd.Index:
        """What every series is called; numbers where the container has no labels."""
        if isinstance(self.index, pd.MultiIndex):
            return self.index[self.starts].get_level_values(0)
        if self._many_labels:
            return self.template.get_index(self.template.dims[0])
        return pd.RangeIndex(len(self.lengths), name="series")

    def to_xarray(self, values: Array, per_step: bool = True) -> xarray.DataArray:
        """Values with the labels of their rows, or of their series: dims (time | series | series, time; outputs).

        Parameters
        ----------
        values : array, shape (total, outputs), or (series, outputs) with one row a series
        per_step : bool
            One row a step, or one a series.

        Returns
        -------
        xarray.DataArray
            NaN where a series has no row. An xarray that came in gives its own dims and coordinates.
        """
        from xarray import DataArray

        if self.template is not None and (per_step or self._many_labels):
            like = self.template if per_step else self.template.isel({self.template.dims[-1]: 0}, drop=True)
            full = self.restore(values) if per_step else values
            return DataArray(full, dims=(*like.dims, "outputs"), coords=like.coords)
        if not per_step:
            return DataArray(
                values, dims=("series", "outputs"), coords={"series": self.series_labels().rename("series")}
            )
        labels = self.labels()
        if not isinstance(labels, pd.MultiIndex):
            return DataArray(values, dims=("time", "outputs"), coords={"time": labels.rename("time")})
        place, times = pd.factorize(labels.get_level_values(1), sort=True)
        full = _scatter(values, self.series, place, (len(self.lengths), len(times)))
        coordinates = {"series": self.series_labels().rename("series"), "time": times.rename("time")}
        return DataArray(full, dims=("series", "time", "outputs"), coords=coordinates)

    def ends(self, count: int = 4) -> dict[Any, pd.Index] | None:
        """The last time labels of every series, by its label (None for a single one); None where time has none."""
        return self._stretches(self.starts + np.maximum(self.lengths - count, 0), self.starts + self.lengths)

    def beginnings(self, count: int = 4) -> dict[Any, pd.Index] | None:
        """The first time labels of every series, as :meth:`ends`."""
        return self._stretches(self.starts, self.starts + np.minimum(self.lengths, count))

    def _stretches(self, starts: Array, stops: Array) -> dict[Any, pd.Index] | None:
        if self.index is None and (self.template is None or self.template.dims[-1] not in self.template.indexes):
            return None
        labels = self.labels()
        many = isinstance(labels, pd.MultiIndex)
        times = labels.get_level_values(1) if many else labels
        keys = self.series_labels() if many else [None]
        return {key: times[start:stop] for key, start, stop in zip(keys, starts, stops, strict=True)}

    def where(self, row: int) -> str:
        """Name a row as the user knows it: by its labels, or by series and step."""
        if self.index is not None or self.template is not None:
            label = self.labels()[row]
            return f"in series {label[0]!s} at {label[1]!s}" if isinstance(label, tuple) else f"at {label!s}"
        series, step = self.series[row], self.steps[row]
        return f"at step {step}" if len(self.lengths) == 1 else f"in series {series} at step {step}"

    @property
    def _many_labels(self) -> bool:
        """Whether the series themselves have labels."""
        return isinstance(self.index, pd.MultiIndex) or (self.template is not None and self.template.ndim == 2)


def as_sequences(X: Any, name: str = "X", missing: int = 0) -> Sequences:
    """Read a container; every row is checked to be finite.

    Parameters
    ----------
    X : array, list of arrays, DataFrame, or xarray.DataArray
        See the table of this module; series ``(time,)`` have one feature. The dims of an xarray are found by name, in
        any order: ``time``, and one of ``feature``, ``features``, ``input``, ``inputs``; other names must stand in the
        order (series, time, feature).
    name : str
        How errors call it.
    missing : int
        How many leading features may be NaN. They do not tell whether a step of a padded xarray is there.

    Raises
    ------
    ValueError
        If the shape is not one of the table, a row is NaN or infinite, the time index is unsorted, has duplicates or
        holes, the rows of a series do not stand together, or the dims of an xarray cannot be told apart.
    TypeError
        For an xarray Dataset, and for a column of a frame that holds no numbers.

    Examples
    --------
    >>> as_sequences([np.zeros((3, 2)), np.zeros((5, 2))]).lengths
    array([3, 5])
    >>> index = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 2)], names=["series", "time"])
    >>> as_sequences(pd.DataFrame({"level": [1.0, 2.0, 3.0]}, index)).lengths
    array([2, 1])
    """
    sequences = _read_container(X, name, missing)
    check_finite_rows(sequences, name, sequences.features, missing)
    return sequences


def is_xarray(X: Any) -> bool:
    """Whether this is an object of xarray, whose axes have names."""
    return hasattr(X, "dims") and hasattr(X, "coords")


def is_flat(X: Any) -> bool:
    """Whether a container is one 2-D table, as scikit-learn knows it, rather than many series or an xarray."""
    return not is_xarray(X) and series_of(X) is None and rank(X) != 3


def as_row(x: Any, features: int, names: Sequence[str] | None = None) -> Array:
    """One step of features, shape (features,), or an error; a Series with names is put in the order of ``names``."""
    if isinstance(x, pd.Series) and names is not None and not isinstance(x.index, pd.RangeIndex):
        if len(x) != len(names) or set(x.index) != set(names):
            raise ValueError(f"x has the features {list(x.index)}, but those of the fit were {list(names)}.")
        x = x[list(names)]
    row = np.array(x, dtype=np.float64)
    if row.shape != (features,):
        raise ValueError(f"x has shape {row.shape}, expected ({features},): one number a feature.")
    return row


def rank(values: Any) -> int:
    """The number of axes of an array or of anything that becomes one."""
    own = getattr(values, "ndim", None)
    return np.asarray(values).ndim if own is None else int(own)


def check_finite_rows(sequences: Sequences, name: str, features: Array | None = None, missing: int = 0) -> None:
    """Raise if any row is NaN or infinite, naming the first, and its feature by its label where there is one.

    The first ``missing`` features may be NaN.
    """
    rows = sequences.rows
    if np.isfinite(rows.sum()):
        return
    wrong = ~np.isfinite(rows)
    wrong[:, :missing] = np.isinf(rows[:, :missing])
    if not wrong.any():
        return
    row, column = np.argwhere(wrong)[0]
    value = "NaN" if np.isnan(rows[row, column]) else "infinity (inf)"
    feature = int(column) if features is None else repr(str(features[column]))
    raise ValueError(
        f"Input {name} contains {value} {sequences.where(int(row))}, feature {feature}. Inputs must be known at "
        "every step: fill or interpolate them, or drop the leading rows. (Only targets may be missing.)"
    )


def _read_container(X: Any, name: str, missing: int) -> Sequences:
    if is_xarray(X):
        return _read_xarray(X, name, missing)
    if isinstance(X, pd.DataFrame):
        check_numeric_columns(X, name)
        features = np.array([str(column) for column in X.columns], dtype=object)
        return Sequences(_checked_array(X, name, ndim=2), series_lengths(X.index, name), "frame", X.index, features)
    if isinstance(X, pd.Series):
        raise ValueError(f"{name} is a Series; make it a frame of one feature with {name}.to_frame().")
    parts = series_of(X)
    if parts is not None:
        return _read_list(parts, name)
    if rank(X) == 3:
        values = _checked_array(X, name, ndim=3)
        series, time, features = values.shape
        return Sequences(values.reshape(series * time, features), np.full(series, time), "series", width=time)
    values = _checked_array(X, name, ndim=2)
    return Sequences(values, np.array([len(values)]), "array")


def _read_xarray(X: Any, name: str, missing: int) -> Sequences:
    """Axes found by name; the labels are kept in a template without features."""
    *many, time, feature = _dims(X, name)
    if time in X.indexes:
        check_time_index(X.indexes[time], name, "xarray")
    values = _checked_array(X.transpose(*many, time, feature).to_numpy(), name, ndim=X.ndim)
    names = X.indexes.get(feature)
    named = names is not None and all(isinstance(label, str) for label in names)
    features = np.array(names, dtype=object) if named else None
    own = [label for label, coordinate in X.coords.items() if feature in coordinate.dims]
    template = X.drop_vars(own).isel({feature: 0}).transpose(*many, time)
    if not many:
        return Sequences(values, np.array([len(values)]), "array", features=features, template=template)
    telling = values[:, :, missing:]
    known = ~np.isnan(telling).all(axis=2) if telling.size else np.ones(values.shape[:2], dtype=bool)
    lengths = (known * np.arange(1, known.shape[1] + 1)).max(axis=1)
    if (lengths == 0).any():
        label = template.get_index(many[0])[int(np.argmin(lengths))]
        raise ValueError(f"Input {name} is NaN everywhere in series {label!s}: leave the series out.")
    sequences = Sequences(values[:, 0], lengths, "series", None, features, known.shape[1], template)
    return replace(sequences, rows=values[sequences.present])


def _dims(X: Any, name: str) -> list[Any]:
    """The dims of an xarray in the order (series, time, feature)."""
    if not hasattr(X, "to_numpy"):
        raise TypeError(
            f"{name} is an xarray {type(X).__name__}, expected a DataArray: give {name}.to_dataarray('feature')."
        )
    dims = list(X.dims)
    named = next((dim for dim in dims if dim in FEATURES), dims[-1] if dims else None)
    time = "time" if "time" in dims else dims[-2] if len(dims) > 1 else None
    by_name = "time" in dims and named in FEATURES
    if len(dims) not in (2, 3) or not (by_name or dims[-2:] == [time, named]):
        raise ValueError(
            f"{name} is an xarray with the dims {tuple(dims)}, expected (time, feature) or (series, time, feature). "
            f"To be found in another order the dims must be named 'time' and one of {FEATURES}: "
            f"{name}.rename({{…: 'time', …: 'feature'}})."
        )
    return [*(dim for dim in dims if dim not in (time, named)), time, named]


def _read_list(X: list[Any], name: str) -> Sequences:
    """Ragged series; those of one feature may come without its axis."""
    for i, part in enumerate(X):
        if isinstance(part, pd.DataFrame | pd.Series):
            check_time_index(part.index, f"{name}[{i}]")
        if isinstance(part, pd.DataFrame):
            check_numeric_columns(part, f"{name}[{i}]")
    columns = {tuple(map(str, part.columns)) for part in X if isinstance(part, pd.DataFrame)}
    if len(columns) > 1:
        raise ValueError(f"The frames of {name} have unlike columns: {sorted(columns)[:2]}.")
    features = np.array(columns.pop(), dtype=object) if columns else None
    times = tuple(part.index if isinstance(part, pd.DataFrame | pd.Series) else None for part in X)
    X = [np.asarray(part)[:, None] if rank(part) == 1 else part for part in X]
    parts = [_checked_array(part, f"{name}[{i}]", ndim=2) for i, part in enumerate(X)]
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        shapes = [part.shape for part in parts]
        raise ValueError(
            f"The series of {name} have {sorted(widths)} features, expected one number; the first shapes are "
            f"{shapes[:4]}."
        )
    lengths = np.array([len(part) for part in parts])
    return Sequences(np.concatenate(parts), lengths, "list", None, features, times=times)


def series_of(X: Any) -> list[Any] | None:
    """The series of a ragged container, each (time, …); None where X is one array or table.

    A list of arrays holds a series in each. Nested lists are what numpy makes of them, as in scikit-learn, and ragged
    where it makes nothing of them.

    Examples
    --------
    >>> series_of([[1.0, 2.0], [3.0, 4.0]]), series_of([[1.0, 2.0], [3.0]])
    (None, [array([1., 2.]), array([3.])])
    """
    own = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1
    if not (own or isinstance(X, list | tuple)) or len(X) == 0:
        return None
    ranks = {getattr(part, "ndim", None) for part in X}
    if ranks <= {1, 2}:
        return list(X)
    try:
        parts = [np.asarray(part) for part in X]
    except ValueError:  # a part is ragged in itself
        return None
    found = [part.ndim for part in parts]
    if max(found) == 0 or (len({part.shape for part in parts}) == 1 and not own):
        return None
    for i, axes in enumerate(found):
        if axes not in (1, 2):
            raise ValueError(
                f"Item {i} of a ragged container is {str(X[i])[:40]!r}, with {axes} axes: expected series, each "
                "(time, features) or (time,)."
            )
    return parts


def check_numeric_columns(frame: pd.DataFrame, name: str) -> None:
    """Raise if a column holds no numbers, naming it, with a way out."""
    for column in frame.columns[[not pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]]:
        values = frame[column]
        if values.dtype == object and pd.to_numeric(values, errors="coerce").notna().equals(values.notna()):
            continue
        way = f"encode it, e.g. pd.get_dummies({name}, columns=[{column!r}], dtype=float)"
        if values.dtype.kind in "mM":
            way = f"make it the index, {name}.set_index({column!r}), or a number of its own"
        raise TypeError(
            f"Column {column!r} of {name} is of dtype {values.dtype} and holds no numbers (the first is "
            f"{str(values.iloc[0])!r}): {way}; or leave it out."
        )


def _scatter(values: Array, series: Array, place: Array, shape: tuple[int, int]) -> Array:
    """Rows (total, …) at their places in an array (series, time, …), missing elsewhere."""
    if len(values) == shape[0] * shape[1]:
        return values.reshape(*shape, *values.shape[1:])
    kind = values.dtype.kind
    dtype = values.dtype if kind in "fc" else np.float64 if kind in "iu" else object
    full = np.full((*shape, *values.shape[1:]), np.nan, dtype=dtype)
    full[series, place] = values
    return full


def _checked_array(values: Any, name: str, ndim: int) -> Array:
    if type(values) is np.ndarray and values.dtype.kind in "biuf" and values.ndim == ndim and 0 not in values.shape:
        return values  # at once: there may be many
    checked: Array = check_array(
        values,
        dtype="numeric",
        ensure_all_finite=False,
        ensure_2d=ndim == 2,
        allow_nd=ndim == 3,
        ensure_min_features=0,  # an estimator says how many it needs
        input_name=name,
    )
    if ndim == 3 and 0 in checked.shape[:2]:
        raise ValueError(f"{name} has shape {checked.shape}, expected at least one series and one step.")
    return checked

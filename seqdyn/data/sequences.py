"""Sequences: every container in, the same container out.

Whatever the user holds becomes *rows laid end to end*, ``(total, features)``, and the length of each series. A batch
of whole series, of windows or of streams is then one gather of rows.

| container                           | meaning                             |
|-------------------------------------|-------------------------------------|
| 2-D array ``(time, features)``      | one sequence                        |
| 3-D array ``(series, time, features)`` | many sequences of one length     |
| list of 2-D arrays                  | many sequences of unlike lengths    |
| DataFrame indexed by time           | one sequence, its labels kept       |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sequences:
    """Series laid end to end.

    Attributes
    ----------
    rows : array, shape (total, features)
    lengths : array of int, shape (series,)
    container : {"array", "series", "list", "frame"}
        What the user gave, and gets back.
    index : pandas.Index or None
        The time labels of a frame.
    features : array of str, or None
        The columns of frames.
    """

    rows: Array
    lengths: Array
    container: str
    index: pd.Index | None = None
    features: Array | None = None

    @property
    def starts(self) -> Array:
        """The row each series begins at, shape (series,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    def places(self, lag: int = 0) -> Array:
        """The number of every row once each series is continued by ``lag`` rows, shape (total,)."""
        series = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return np.arange(len(self.rows)) + lag * series

    def held(self, length: int) -> Sequences:
        """Series of a single step, held for ``length`` steps: one-to-many."""
        lengths = np.full(len(self.lengths), length, dtype=np.int64)
        return replace(self, rows=np.repeat(self.rows, length, axis=0), lengths=lengths)

    def restore(self, values: Array) -> Any:
        """Give values back, one row per step ``(total, …)``, in the container that came in; a frame gives an array."""
        if self.container == "series":
            return values.reshape(len(self.lengths), -1, *values.shape[1:])
        if self.container == "list":
            return np.split(values, self.starts[1:])
        return values

    def where(self, row: int) -> str:
        """Name a row as the user knows it: by time label, or by series and step."""
        if self.index is not None:
            return f"at {self.index[row]!s}"
        series = int(np.searchsorted(self.starts, row, side="right")) - 1
        step = row - int(self.starts[series])
        return f"at step {step}" if len(self.lengths) == 1 else f"in series {series} at step {step}"


def as_sequences(X: Any, name: str = "X") -> Sequences:
    """Read a container; every row is checked to be finite.

    Parameters
    ----------
    X : array, list of arrays, or DataFrame
        See the table of this module.
    name : str
        How errors call it.

    Returns
    -------
    Sequences

    Raises
    ------
    ValueError
        If the shape is not one of the table, a row is NaN or infinite, or the time index is unsorted, has
        duplicates or holes.

    Examples
    --------
    >>> import numpy as np
    >>> as_sequences([np.zeros((3, 2)), np.zeros((5, 2))]).lengths
    array([3, 5])
    """
    sequences = _read(X, name)
    check_finite(sequences, name)
    return sequences


def refuse_labelled(X: Any, name: str) -> None:
    """Raise for an xarray object: its axes have names, and reading them by position would be a guess."""
    if hasattr(X, "dims") and hasattr(X, "coords"):
        raise TypeError(
            f"{name} is an xarray {type(X).__name__} with the dims {tuple(X.dims)}. Give its values in the order "
            f"(time, feature) or (series, time, feature): {name}.transpose(…).to_numpy()."
        )


def is_flat(X: Any) -> bool:
    """Whether a container is one 2-D table, as scikit-learn knows it, rather than many series."""
    return not _is_ragged(X) and rank(X) != 3


def rank(values: Any) -> int:
    """The number of axes of an array or of anything that becomes one."""
    own = getattr(values, "ndim", None)
    return np.asarray(values).ndim if own is None else int(own)


def check_finite(sequences: Sequences, name: str, features: Array | None = None) -> None:
    """Raise if any row is NaN or infinite, naming the first, and its feature by its label where there is one."""
    rows = sequences.rows
    if np.isfinite(rows.sum()) or np.isfinite(rows).all():
        return
    row, column = np.argwhere(~np.isfinite(rows))[0]
    value = "NaN" if np.isnan(rows[row, column]) else "infinity (inf)"
    feature = int(column) if features is None else repr(str(features[column]))
    raise ValueError(
        f"Input {name} contains {value} {sequences.where(int(row))}, feature {feature}. Inputs must be known at "
        "every step: fill or interpolate them, or drop the leading rows. (Only targets may be missing.)"
    )


def check_time_index(index: pd.Index, name: str) -> None:
    """Raise if a frame's rows are not one unbroken stretch of time.

    Raises
    ------
    ValueError
        For a MultiIndex, duplicate or unsorted labels, and for holes, as a shuffled or plain KFold leaves them.
    """
    if isinstance(index, pd.MultiIndex):
        raise ValueError(
            f"{name} has a MultiIndex with the levels {list(index.names)}. Give one 2-D array a series in a list, e.g. "
            "[frame.loc[key] for key in frame.index.unique(0)]."
        )
    if index.hasnans:
        raise ValueError(f"The index of {name} has a missing label (NaT or NaN): every row needs its instant.")
    if index.has_duplicates:
        label = index[index.duplicated()][0]
        raise ValueError(
            f"The index of {name} has duplicates, the first at {label!s}. One row per instant is expected: aggregate "
            f"them, e.g. {name}.groupby(level=0).mean()."
        )
    if not index.is_monotonic_increasing:
        raise ValueError(
            f"The index of {name} is not sorted in time. Sort it with {name}.sort_index(); if a split shuffled it, use "
            "sklearn.model_selection.TimeSeriesSplit."
        )
    hole = _hole(index)
    if hole is not None:
        raise ValueError(
            f"The index of {name} has a hole after {hole!s}: rows that are not neighbours in time would be joined. "
            "In cross-validation use sklearn.model_selection.TimeSeriesSplit; for missing rows reindex the frame to "
            "its full frequency and fill the inputs (targets may stay NaN). If the rows do follow each other, as "
            f"trading hours do, give {name}.reset_index(drop=True)."
        )


def _read(X: Any, name: str) -> Sequences:
    if isinstance(X, pd.DataFrame):
        check_time_index(X.index, name)
        return Sequences(_numeric(X, name, ndim=2), np.array([len(X)]), "frame", X.index)
    if isinstance(X, pd.Series):
        raise ValueError(f"{name} is a Series; make it a frame of one feature with {name}.to_frame().")
    if _is_ragged(X):
        return _read_list(X, name)
    if rank(X) == 3:
        values = _numeric(X, name, ndim=3)
        series, time, features = values.shape
        return Sequences(values.reshape(-1, features), np.full(series, time), "series")
    values = _numeric(X, name, ndim=2)
    return Sequences(values, np.array([len(values)]), "array")


def _read_list(X: Any, name: str) -> Sequences:
    """A list of 2-D arrays: ragged series."""
    for i, part in enumerate(X):
        if isinstance(part, pd.DataFrame):
            check_time_index(part.index, f"{name}[{i}]")
    columns = {tuple(map(str, part.columns)) for part in X if isinstance(part, pd.DataFrame)}
    if len(columns) > 1:
        raise ValueError(f"The frames of {name} have unlike columns: {sorted(columns)[:2]}.")
    features = np.array(columns.pop(), dtype=object) if columns else None
    parts = [_numeric(part, f"{name}[{i}]", ndim=2) for i, part in enumerate(X)]
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        shapes = [part.shape for part in parts]
        raise ValueError(
            f"The series of {name} have {sorted(widths)} features, expected one number; the first shapes are "
            f"{shapes[:4]}."
        )
    return Sequences(np.concatenate(parts), np.array([len(part) for part in parts]), "list", None, features)


def _is_ragged(X: Any) -> bool:
    return isinstance(X, list | tuple) and len(X) > 0 and all(getattr(part, "ndim", None) == 2 for part in X)


def _numeric(values: Any, name: str, ndim: int) -> Array:
    checked: Array = check_array(
        values,
        dtype="numeric",
        ensure_all_finite=False,
        ensure_2d=ndim == 2,
        allow_nd=ndim == 3,
        input_name=name,
    )
    if ndim == 3 and 0 in checked.shape:
        raise ValueError(f"{name} has shape {checked.shape}, expected at least one series, one step and one feature.")
    return checked


def _hole(index: pd.Index) -> Any:
    """The label before the first hole, or None.

    An index may advance in months, in business days or by one duration; where a step of its grid is missing, there is
    a hole (among business days only from three in a row on, or a tenth of all: fewer are holidays). Between instants
    on no grid, a gap of more than ten usual ones is a hole.
    """
    if len(index) < 3:
        return None
    instants = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index
    if isinstance(instants, pd.DatetimeIndex):
        gaps = np.diff(instants.asi8)
        local = instants.tz_localize(None)
        grids = [_months(local), _business_days(local), _even(gaps), _even(np.diff(local.asi8))]
    elif isinstance(instants, pd.TimedeltaIndex) or pd.api.types.is_numeric_dtype(index.dtype):
        gaps = np.diff(instants.asi8 if isinstance(instants, pd.TimedeltaIndex) else index.to_numpy())
        grids = [_even(gaps)]
    else:
        return None
    fitting = [steps for steps in grids if steps is not None]
    if any((steps == 1).all() for steps in fitting):
        return None
    wide = fitting[0] > 1 if fitting else gaps > 10 * np.median(gaps)
    return index[int(np.argmax(wide))] if wide.any() else None


def _even(gaps: Array) -> Array | None:
    """Gaps as multiples of the smallest; None if they are none."""
    steps = gaps / gaps.min()
    return np.round(steps) if np.allclose(steps, np.round(steps), rtol=0, atol=1e-4) else None


def _months(instants: pd.DatetimeIndex) -> Array | None:
    """Steps in whole months, as multiples of the smallest; None if some lie within one month."""
    months = np.diff(instants.year.to_numpy() * 12 + instants.month.to_numpy())
    return _even(months) if months.min() >= 1 else None


def _business_days(instants: pd.DatetimeIndex) -> Array | None:
    """Steps in business days, holidays taken as present; None if there are hours or weekends."""
    if not (instants == instants.normalize()).all() or (instants.day_of_week >= 5).any():
        return None
    days = instants.to_numpy().astype("datetime64[D]")
    steps = np.busday_count(days[:-1], days[1:])
    if steps.min() != 1:
        return _even(steps)
    missing = steps - 1
    holidays = missing.max() < 3 and missing.sum() < 0.1 * len(instants)
    return np.ones_like(steps) if holidays else steps

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
    """

    rows: Array
    lengths: Array
    container: str
    index: pd.Index | None = None

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
            "its full frequency and fill the inputs (targets may stay NaN)."
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
    parts = [_numeric(part, f"{name}[{i}]", ndim=2) for i, part in enumerate(X)]
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        shapes = [part.shape for part in parts]
        raise ValueError(
            f"The series of {name} have {sorted(widths)} features, expected one number; the first shapes are "
            f"{shapes[:4]}."
        )
    return Sequences(np.concatenate(parts), np.array([len(part) for part in parts]), "list")


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

    An index of integers must advance evenly. Instants may be irregular (months, business days); a hole is a gap of
    more than ten usual steps, or the one gap between two stretches of the same regular frequency.
    """
    if len(index) < 3:
        return None
    if pd.api.types.is_integer_dtype(index.dtype):
        steps = np.diff(index.to_numpy())
        uneven = np.flatnonzero(steps != np.min(steps))
        return index[uneven[0]] if len(uneven) else None
    instants = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index
    if not isinstance(instants, pd.DatetimeIndex | pd.TimedeltaIndex):
        return None
    gaps = np.diff(instants.to_numpy())
    widest = int(np.argmax(gaps))
    if gaps[widest] > 10 * np.median(gaps):
        return index[widest]
    before, after = _advance(instants[: widest + 1]), _advance(instants[widest + 1 :])
    joined = before is not None and before == after and _advance(instants) is None
    return index[widest] if joined else None


def _advance(instants: Any) -> tuple[str, int] | None:
    """How a regular index advances: by one duration, or by whole months; None if it is irregular or too short."""
    if len(instants) < 3:
        return None
    durations = np.unique(np.diff(instants.to_numpy()).astype(np.int64))
    if len(durations) == 1:
        return "duration", int(durations[0])
    if isinstance(instants, pd.DatetimeIndex):
        months = np.unique(np.diff(instants.year * 12 + instants.month))
        if len(months) == 1 and months[0] > 0:
            return "months", int(months[0])
    return None

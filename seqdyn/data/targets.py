"""Targets: one row for every step of the sequences, or one for every sequence.

| X                        | y, one a step                              | y, one a sequence          |
|--------------------------|--------------------------------------------|----------------------------|
| 2-D, DataFrame           | ``(time,)``, ``(time, outputs)``           | –                          |
| DataFrame (series, time) | ``(total,)``, ``(total, outputs)``         | ``(series,)``, ``(series, outputs)`` |
| 3-D                      | ``(series, time)``, ``(series, time, outputs)`` | ``(series,)``, ``(series, outputs)`` |
| list                     | list of ``(time,)`` or ``(time, outputs)`` | ``(series,)``, ``(series, outputs)`` |
| xarray                   | the dims of X without features, and ``outputs`` | the same without time |

One-to-many: X with one step a series and a longer y; the input is held. Where both X and y have labels, rows are joined
by them: y is put in the order of X, and labels that are not those of X are an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from sklearn.utils import check_array, check_consistent_length

from seqdyn.arrays import Array
from seqdyn.data.sequences import Sequences, is_xarray, rank, series_of

OUTPUTS = ("output", "outputs", "target", "targets", "feature", "features", "variable")
"""The names under which the outputs of an xarray are found."""


@dataclass(frozen=True)
class Targets:
    """Targets as a table.

    Attributes
    ----------
    table : array, shape (total, outputs), or (series, outputs) with one a sequence
    flat : bool
        Whether y came without the axis of outputs; predictions leave it out too.
    sequences : Sequences
        The inputs, held if y was longer (one-to-many).
    """

    table: Array
    flat: bool
    sequences: Sequences


def as_targets(y: Any, sequences: Sequences, per_step: bool, name: str = "y") -> Targets:
    """Read targets beside the inputs they belong to.

    Parameters
    ----------
    y : array, Series, DataFrame, xarray.DataArray or list of arrays
        See the table of this module.
    sequences : Sequences
    per_step : bool
        One target a step, or one a sequence.
    name : str
        How errors call it.

    Raises
    ------
    ValueError
        If lengths, shapes, dims or labels of series do not fit the inputs; the message says which.
    """
    y = _in_order_of_inputs(y, sequences, per_step, name)
    y = _by_dimension(y, sequences, per_step, name)
    if not per_step:
        return _one_a_sequence(y, sequences, name)
    if sequences.container == "list":
        return _ragged(y, sequences, name)
    if sequences.container == "series":
        return _target_panel(y, sequences, name)
    values = np.asarray(y)
    if values.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {values.shape}, expected (time,) or (time, outputs) beside a 2-D X.")
    check_consistent_length(sequences.rows, values)
    return Targets(values.reshape(len(values), -1), values.ndim == 1, sequences)


def _in_order_of_inputs(y: Any, sequences: Sequences, per_step: bool, name: str) -> Any:
    """y in the order of X, where both have labels: rows are joined by these, never by position."""
    if sequences.times is not None and per_step and (parts := series_of(y)) is not None:
        beside = [*sequences.times, *[None] * (len(parts) - len(sequences.times))]
        return [
            _aligned_rows(part, labels, f"{name}[{i}]", f"X[{i}]")
            for i, (part, labels) in enumerate(zip(parts, beside, strict=False))
        ]
    if sequences.template is not None:
        return _beside_xarray(y, sequences.template, per_step, name)
    if is_xarray(y) and sequences.index is not None:
        y = _as_frame(y, list(sequences.index.names))
    if per_step or not isinstance(sequences.index, pd.MultiIndex):
        return _aligned_rows(y, sequences.index if per_step else None, name, "X")
    return _aligned_rows(y, sequences.series_labels(), name, "the series of X")


def _beside_xarray(y: Any, template: Any, per_step: bool, name: str) -> Any:
    """A Series or frame in the order of an xarray: its rows are the first dim, the columns of a table the second."""
    if not isinstance(y, pd.Series | pd.DataFrame):
        return y
    y = _aligned_rows(y, template.indexes.get(template.dims[0]), name, "X")
    table = per_step and template.ndim == 2 and isinstance(y, pd.DataFrame)
    return _aligned_rows(y.T, template.indexes.get(template.dims[1]), f"{name}.T", "X").T if table else y


def _as_frame(y: Any, levels: list[Any]) -> Any:
    """An xarray as a Series or frame whose rows have the labels of its dims; as it is where it has none."""
    base = [dim for dim in y.dims if dim not in OUTPUTS]
    base = levels if set(base) == set(levels) else base
    if not base or len(y.dims) - len(base) > 1 or any(dim not in y.indexes for dim in base):
        return y
    rows = y.stack(rows=base) if len(base) > 1 else y.rename({base[0]: "rows"})
    return rows.transpose("rows", ...).to_pandas()


def _aligned_rows(y: Any, labels: pd.Index | None, name: str, beside: str) -> Any:
    """A Series or frame in the order of these labels."""
    if labels is None or not isinstance(y, pd.Series | pd.DataFrame) or y.index.equals(labels):
        return y
    alike = y.index.nlevels == labels.nlevels and len(y) == len(labels) and y.index.is_unique
    if alike and labels.isin(y.index).all():
        return y.reindex(labels)
    if len(y) == len(labels):
        row = next(i for i, (one, other) in enumerate(zip(y.index, labels, strict=True)) if one != other)
        what = f"the label {y.index[row]!s} in row {row}, where {beside} has {labels[row]!s}"
    else:
        what = f"{len(y)} labels, {beside} {len(labels)}"
    raise ValueError(
        f"{name} has {what}: rows are joined by their labels, never by position. Give both the same index. A target "
        f"that lies ahead is shifted to the row it is predicted at, as in {name} = series.shift(-1), whose last value, "
        f"NaN, is a missing target. If the rows do belong together as they stand, give {name}.to_numpy()."
    )


def _by_dimension(y: Any, sequences: Sequences, per_step: bool, name: str) -> Any:
    """An xarray beside an xarray as an array, its axes found by name and put in the order of X."""
    template = sequences.template
    if not is_xarray(y) or template is None:
        return y
    shared = list(template.dims if per_step else template.dims[:-1])
    others = [dim for dim in y.dims if dim not in shared]
    if not set(shared) <= set(y.dims) or len(others) > 1 or not set(others) <= set(OUTPUTS):
        raise ValueError(
            f"{name} has the dims {tuple(y.dims)}, expected {tuple(shared)} as X, and for many outputs one named "
            f"'outputs' (or one of {OUTPUTS})."
        )
    for dim in shared:
        own, wanted = y.indexes.get(dim), template.indexes.get(dim)
        held = dim == template.dims[-1] and template.sizes[dim] == 1
        if own is None or wanted is None or held or own.equals(wanted):
            continue
        if len(own) != len(wanted) or not own.is_unique or not wanted.isin(own).all():
            raise ValueError(
                f"The coordinate {dim!r} of {name} is not that of X, and values are joined by their coordinates, never "
                f"by position: give both the same, or {name}.drop_vars({dim!r}) if they belong together as they stand."
            )
        y = y.sel({dim: wanted})
    return y.transpose(*shared, *others).to_numpy()


def _target_panel(y: Any, sequences: Sequences, name: str) -> Targets:
    values = np.asarray(y)
    series, time = sequences.present.shape
    if values.ndim not in (2, 3) or len(values) != series:
        raise ValueError(
            f"{name} has shape {values.shape}, expected ({series}, {time}) or ({series}, {time}, outputs) beside X "
            f"with {series} series of {time} steps. For one target a sequence set return_sequences=False."
        )
    if time == 1 and values.shape[1] > 1:
        sequences = sequences.held(values.shape[1])
    elif values.shape[1] != time:
        raise ValueError(f"{name} has {values.shape[1]} steps a series, X has {time}: they must agree.")
    table = values.reshape(*values.shape[:2], -1)[sequences.present]
    return Targets(table, values.ndim == 2, sequences)


def _ragged(y: Any, sequences: Sequences, name: str) -> Targets:
    parts = [np.asarray(part) for part in y] if isinstance(y, list | tuple | np.ndarray) else []
    if len(parts) != len(sequences.lengths):
        raise ValueError(
            f"{name} must be a list of {len(sequences.lengths)} arrays, one a series of X, got {type(y).__name__} of "
            f"length {len(y)}. For one target a sequence set return_sequences=False."
        )
    hint = "" if parts[0].ndim else " For one target a sequence set return_sequences=False."
    for i, (part, length) in enumerate(zip(parts, sequences.lengths, strict=True)):
        if part.ndim not in (1, 2) or len(part) != length or part.ndim != parts[0].ndim:
            raise ValueError(
                f"{name}[{i}] has shape {part.shape}, expected ({length},) or ({length}, outputs) like X[{i}] and "
                f"{name}[0].{hint}"
            )
    flat = parts[0].ndim == 1
    widths = {part.shape[1] for part in parts if not flat}
    if len(widths) > 1:
        raise ValueError(f"The series of {name} have {sorted(widths)} outputs, expected one number.")
    return Targets(np.concatenate([part.reshape(len(part), -1) for part in parts]), flat, sequences)


def _one_a_sequence(y: Any, sequences: Sequences, name: str) -> Targets:
    values = np.asarray(y)
    series = len(sequences.lengths)
    if values.ndim not in (1, 2) or len(values) != series:
        one = sequences.container in ("array", "frame") and series == 1
        hint = " A 2-D X is one sequence; many need a 3-D X, a list or a MultiIndex (series, time)." if one else ""
        if one and values.shape[:1] == (len(sequences.rows),):
            frame = sequences.container == "frame"
            hint += (
                f" X has as many rows as {name} has targets: if every row is a sequence of its own (the layout of the "
                f"UCR archive), give X{'.to_numpy()' if frame else ''}[:, :, None]."
            )
        raise ValueError(
            f"{name} has shape {values.shape}, expected ({series},) or ({series}, outputs): with "
            f"return_sequences=False every sequence of X has one target.{hint}"
        )
    return Targets(values.reshape(series, -1), values.ndim == 1, sequences)


def target_numbers(table: Any) -> Array:
    """Return targets as finite numbers or NaN."""
    limits = {"ensure_all_finite": "allow-nan", "ensure_2d": True, "ensure_min_samples": 1}
    return cast(Array, check_array(table, dtype=np.float64, input_name="y", **limits))


def as_labels(table: Array) -> Array:
    """Labels from a table of one column."""
    if table.shape[1] != 1:
        raise ValueError(f"y has {table.shape[1]} columns; a classifier predicts one label: give one column.")
    return table[:, 0]


def missing_targets(values: Any) -> Array:
    """Return which targets are missing: NaN, None or NaT."""
    return np.asarray(pd.isna(values))


def target_rows(table: Array, sequences: Sequences, per_step: bool) -> Array:
    """Return one row of targets for every step; that of a whole sequence stands at its last step, after NaN."""
    if per_step:
        return table.astype(np.float64)
    rows = np.full((len(sequences.rows), table.shape[1]), np.nan)
    rows[sequences.starts + sequences.lengths - 1] = table
    return rows


def check_no_infinity(table: Array, sequences: Sequences, per_step: bool, name: str = "y") -> None:
    """Raise if a target is infinite, naming the first."""
    if table.dtype.kind not in "fc" or not np.isinf(table).any():
        return
    row, column = np.argwhere(np.isinf(table))[0]
    where = sequences.where(int(row)) if per_step else f"in series {row}"
    raise ValueError(
        f"Input {name} contains infinity (inf) {where}, output {column}: targets are numbers, or NaN where missing."
    )


def target_names(y: Any) -> list[str] | None:
    """The labels of the targets, if they came with any."""
    if isinstance(y, pd.Series):
        return None if y.name is None else [str(y.name)]
    if is_xarray(y):
        dim = next((dim for dim in y.dims if dim in OUTPUTS), None)
        alone = None if dim is not None or y.name is None else [str(y.name)]
        return [str(label) for label in y.indexes[dim]] if dim in y.indexes else alone
    return [str(name) for name in y.columns] if isinstance(y, pd.DataFrame) else None


def as_weights(sample_weight: Any, sequences: Sequences) -> Array | None:
    """Sample weights as one number a step, or None where all are the same.

    Parameters
    ----------
    sample_weight : array, list of arrays, or xarray.DataArray, optional
        One a step (shaped as y), or one a series.

    Raises
    ------
    ValueError
        If they are negative, not finite, all 0, or fit neither the steps nor the series.
    """
    if sample_weight is None:
        return None
    total, lengths = len(sequences.rows), sequences.lengths
    series = len(lengths)
    ragged = sequences.container == "list" and series_of(sample_weight) is not None
    if ragged or isinstance(sample_weight, pd.Series | pd.DataFrame):
        per_step = ragged or len(sample_weight) == total
        sample_weight = _in_order_of_inputs(sample_weight, sequences, per_step, "sample_weight")
    if ragged:
        parts = [np.asarray(part, dtype=np.float64) for part in sample_weight]
        if [part.shape for part in parts] != [(length,) for length in lengths]:
            raise ValueError(
                f"sample_weight has the shapes {[part.shape for part in parts]}, expected one number a step: the "
                f"lengths of X are {lengths.tolist()}."
            )
        values = np.concatenate(parts)
    else:
        by_dimension = _by_dimension(sample_weight, sequences, rank(sample_weight) > 1, "sample_weight")
        values = np.asarray(by_dimension, np.float64)
    shape = values.shape
    if shape == (series,) and series != total:
        values = np.repeat(values, lengths)
    elif sequences.container == "series" and shape == sequences.present.shape:
        values = values[sequences.present]
    if values.shape != (total,):
        raise ValueError(
            f"sample_weight has shape {shape}, expected one number for each of the {total} steps or for each of the "
            f"{series} series."
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("sample_weight must be finite and at least 0 everywhere.")
    if not values.any():
        raise ValueError("Sample weights contain only zeros: at least one step must count.")
    return None if (values == values[0]).all() else values

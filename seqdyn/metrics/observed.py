"""Observations with gaps: check shapes, and take means over what is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array


def flat_columns(values: Any) -> Array:
    """Values as float64 columns (time, outputs); a vector is one column.

    Examples
    --------
    >>> flat_columns([1, 2, 3]).shape
    (3, 1)
    """
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    return array.reshape(len(array), -1 if array.size else 1)


def columns_alike(y: Any, **others: Any) -> list[Array]:
    """All as columns (time, outputs), of one shape: nothing is broadcast.

    Raises
    ------
    ValueError
        If one of them has another shape than y.

    Examples
    --------
    >>> [column.shape for column in columns_alike([1.0, 2.0], predicted=[1.0, 3.0])]
    [(2, 1), (2, 1)]
    """
    target = flat_columns(y)
    found = {name: flat_columns(values) for name, values in others.items()}
    for name, values in found.items():
        if values.shape != target.shape:
            raise ValueError(
                f"{name} has the shape {np.shape(others[name])}, y has {np.shape(y)}: every observation needs its own "
                "value, in the same place."
            )
    return [target, *found.values()]


def with_last_axis(y: Any, values: Any, name: str, count: int | None) -> tuple[Array, Array]:
    """y, and as many values for each of it on a last axis; ``count`` of them, unless it is None.

    Raises
    ------
    ValueError
        If the values do not have the shape of y and a last axis.

    Examples
    --------
    >>> y, samples = with_last_axis([1.0, 2.0], [[1.0, 3.0], [2.0, 4.0]], "samples", None)
    >>> samples.shape
    (2, 2)
    """
    target, many = np.asarray(y, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if many.shape[:-1] != target.shape or count not in (None, many.shape[-1]) or not many.ndim:
        raise ValueError(
            f"The {name} have the shape {many.shape}, expected {(*target.shape, name if count is None else count)}: "
            f"the shape of y, {target.shape}, and the {name} on the last axis."
        )
    return target, many


def mean_of_known(values: Array, y: Array) -> float:
    """The mean where y is known; NaN where nothing is.

    Examples
    --------
    >>> mean_of_known(np.array([1.0, 2.0]), np.array([0.0, np.nan]))
    1.0
    """
    known = ~np.isnan(y)
    return float(values[known].mean()) if known.any() else np.nan


def ratio(above: Any, below: Any) -> Array:
    """above / below; NaN where below is 0.

    Examples
    --------
    >>> ratio([1.0, 1.0], [2.0, 0.0]).tolist()
    [0.5, nan]
    """
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below != 0)

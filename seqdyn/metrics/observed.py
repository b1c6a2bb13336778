"""Observations with gaps: check shapes, and take means over what is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array


def flat_columns(values: Any) -> Array:
    """Values as float64 columns (time, outputs); a vector is one column."""
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    return array.reshape(len(array), -1 if array.size else 1)


def columns_alike(y: Any, **others: Any) -> list[Array]:
    """All as columns (time, outputs), of one shape: nothing is broadcast."""
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
    """y, and as many values for each of it on a last axis; ``count`` of them, unless it is None."""
    target, many = np.asarray(y, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if many.shape[:-1] != target.shape or count not in (None, many.shape[-1]) or not many.ndim:
        raise ValueError(
            f"The {name} have the shape {many.shape}, expected {(*target.shape, name if count is None else count)}: "
            f"the shape of y, {target.shape}, and the {name} on the last axis."
        )
    return target, many


def mean_of_known(values: Array, y: Array) -> float:
    """The mean where y is known; NaN where nothing is."""
    known = ~np.isnan(y)
    return float(values[known].mean()) if known.any() else np.nan


def ratio(above: Any, below: Any) -> Array:
    """above / below; NaN where below is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below != 0)

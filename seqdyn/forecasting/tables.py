"""Series of a panel side by side: padded tables of them block by block, and means of every series at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqdyn.arrays import Array

BUDGET = 4_000_000
"""Numbers that a block holds at once: 32 MB."""


def blocks(lengths: Array, width: int) -> Iterator[Array]:
    """Numbers of series, those of like length together; a padded table of a block, times a width, stays small.

    A series that is too long for one stands alone.

    Examples
    --------
    >>> [block.tolist() for block in blocks(np.array([9, 1_000_000, 7]), 3)]
    [[2, 0], [1]]
    """
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(order):
        held = np.arange(1, len(order) - begin + 1) * lengths[order[begin:]] * max(width, 1)
        end = begin + max(1, int(np.searchsorted(held, BUDGET, side="right")))
        yield order[begin:end]
        begin = end


def table(values: Array, starts: Array, lengths: Array) -> Array:
    """Rows of some series side by side, (series, longest, …); NaN after the end of a shorter one.

    Examples
    --------
    >>> table(np.arange(5.0), np.array([0, 3]), np.array([3, 2]))
    array([[ 0.,  1.,  2.],
           [ 3.,  4., nan]])
    """
    step = np.arange(int(lengths.max()))
    inside = step < lengths[:, None]
    found = values[np.minimum(starts[:, None] + step, len(values) - 1)]
    return np.where(inside.reshape(*inside.shape, *[1] * (values.ndim - 1)), found, np.nan)


def series_means(values: Array, starts: Array) -> Array:
    """The mean of the known values of every series, shape (series, …); NaN where none is known.

    Examples
    --------
    >>> series_means(np.array([1.0, np.nan, 3.0, 5.0]), np.array([0, 3]))
    array([2., 5.])
    """
    known = ~np.isnan(values)
    count = np.add.reduceat(known, starts, axis=0, dtype=np.float64)
    total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

"""Series of a panel side by side: padded tables of them block by block, and means of every series at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel

BUDGET = 4_000_000
"""Numbers that a block holds at once: 32 MB."""


def blocks(lengths: Array, width: int) -> Iterator[Array]:
    """Numbers of series, those of like length together; a padded table of a block, times a width, stays small.

    Parameters
    ----------
    lengths : array of int, shape (series,)
    width : int
        Numbers that are held for every row.

    Yields
    ------
    array of int
        One block; a series that is too long for one stands alone.

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

    Parameters
    ----------
    values : array, shape (total, …)
    starts, lengths : array of int, shape (series,)

    Returns
    -------
    array, shape (series, longest, …)

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


def running(values: Array, panel: Panel, accumulated: np.ufunc) -> Array:
    """What a ufunc has made of a series' values so far, at every row, (total,): ``np.add`` gives running sums.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.DataFrame({"a": [1.0, 3.0, 2.0], "b": [5.0, 4.0, 6.0]}))
    >>> running(panel.target, panel, np.fmax).tolist()
    [1.0, 3.0, 3.0, 5.0, 5.0, 6.0]
    """
    found = np.empty(len(values))
    starts, lengths = panel.starts, panel.lengths
    for block in blocks(lengths, 2):
        own = accumulated.accumulate(table(values, starts[block], lengths[block]), axis=1)
        step = np.arange(own.shape[1])
        inside = step < lengths[block, None]
        found[(starts[block, None] + step)[inside]] = own[inside]
    return found


def series_means(values: Array, starts: Array) -> Array:
    """The mean of the known values of every series, shape (series, …); NaN where none is known.

    Parameters
    ----------
    values : array, shape (total, …)
    starts : array of int, shape (series,)
        The row each series begins at; none is empty.

    Returns
    -------
    array, shape (series, …)

    Examples
    --------
    >>> series_means(np.array([1.0, np.nan, 3.0, 5.0]), np.array([0, 3]))
    array([2., 5.])
    """
    known = ~np.isnan(values)
    count = np.add.reduceat(known, starts, axis=0, dtype=np.float64)
    total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

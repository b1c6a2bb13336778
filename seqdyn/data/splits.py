"""Splits in time for scikit-learn: every series is cut at the same instants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length, indexable

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.sequences import rank


class PanelTimeSplit(BaseCrossValidator):
    """Rolling origins over many series: train on all rows before a cut, test on the next instants of every series.

    With the instants τ_0 < … < τ_{n-1} at which any series has a row, fold k of K tests on the rows at
    τ_{c_k} … τ_{c_k + H - 1} and trains on those up to τ_{c_k - gap - 1}, with c_k = n − (K − k) H. A series
    without rows in one part of a fold is not in that part. Of a 2-D array, or a frame without a level of series, every
    row is an instant, and the folds are those of :class:`sklearn.model_selection.TimeSeriesSplit`.

    Parameters
    ----------
    n_splits : int, at least 2
        K, the folds.
    test_size : int, at least 1, or None
        H, in instants. None: n // (K + 1).
    gap : int, at least 0
        Instants left out between training and test.
    max_train_size : int, at least 1, or None
        The most instants to train on, the last ones before the cut; None: all.

    Raises
    ------
    ValueError
        If a parameter is out of its range; in ``split`` if there are too few instants, so that a fold would be empty,
        a label of time is missing, or X is 3-D or a list, whose rows are not instants.

    Notes
    -----
    A test part does not contain its past: a model starts it from its initial state, unless the scorer carries the
    state on (:func:`seqdyn.estimators.scorers.time_scorer`).

    References
    ----------
    Tashman (2000), Out-of-sample tests of forecasting accuracy: an analysis and review.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> index = pd.MultiIndex.from_tuples([("a", 0), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)])
    >>> X = pd.DataFrame({"level": np.arange(6.0)}, index)
    >>> for train, test in PanelTimeSplit(n_splits=2, test_size=1).split(X):
    ...     print(train, test)
    [0 1 3] [2 4]
    [0 1 2 3 4] [5]
    """

    def __init__(
        self, n_splits: int = 5, *, test_size: int | None = None, gap: int = 0, max_train_size: int | None = None
    ):
        self.n_splits, self.test_size, self.gap, self.max_train_size = n_splits, test_size, gap, max_train_size
        for name, least in (("n_splits", 2), ("test_size", 1), ("gap", 0), ("max_train_size", 1)):
            check_count(name, getattr(self, name), least, (None,) if name in ("test_size", "max_train_size") else ())

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of folds; the arguments are ignored."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Array, Array]]:
        """The rows of training and test of every fold.

        Parameters
        ----------
        X : DataFrame with the levels (series, time), or 2-D array or frame
        y : array, optional
            As long as X.
        groups : ignored

        Yields
        ------
        train, test : arrays of int
            Numbers of rows, in the order of X.
        """
        X, y = indexable(X, y)
        check_consistent_length(X, y)
        place, count = _instants(X)
        size = count // (self.n_splits + 1) if self.test_size is None else self.test_size
        first = count - self.n_splits * size
        if size < 1 or first - self.gap < 1:
            raise ValueError(
                f"n_splits={self.n_splits} folds of test_size={self.test_size} instants after gap={self.gap} do not "
                f"fit into the {count} instants of X with one left to train on: lower one of them."
            )
        for cut in range(first, count, size):
            stop = cut - self.gap
            start = 0 if self.max_train_size is None else max(0, stop - self.max_train_size)
            yield (
                np.flatnonzero((start <= place) & (place < stop)),
                np.flatnonzero((cut <= place) & (place < cut + size)),
            )


def _instants(X: Any) -> tuple[Array, int]:
    """The number of the instant of every row, and how many there are."""
    index = getattr(X, "index", None)
    if not isinstance(index, pd.MultiIndex):
        if isinstance(X, list) or rank(X) == 3:
            raise ValueError(
                "PanelTimeSplit cuts rows, but X is 3-D or a list of series. Give a frame with the levels (series, "
                "time), e.g. pd.concat({name: pd.DataFrame(values) for name, values in …})."
            )
        return np.arange(len(X)), len(X)
    if index.nlevels != 2:
        raise ValueError(f"The index of X has the levels {list(index.names)}, expected two: (series, time).")
    place, instants = pd.factorize(index.get_level_values(1), sort=True)
    if (place < 0).any():
        raise ValueError("The index of X has a missing label of time (NaT or NaN): every row needs its instant.")
    return place, len(instants)

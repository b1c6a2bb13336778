"""Checks of labels of time: sorted, without duplicates and without holes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array

_WAYS_OUT = {
    "frame": {
        "aggregate": "{name}.groupby(level=0).mean()",
        "sort": "{name}.sort_index()",
        "split": "sklearn.model_selection.TimeSeriesSplit",
        "renumber": "give {name}.reset_index(drop=True)",
    },
    "panel": {
        "aggregate": "{name}.groupby(level=[0, 1], sort=False).mean()",
        "sort": "{name}.sort_index()",
        "split": "seqdyn.data.splits.PanelTimeSplit",
        "renumber": "let the second level be {name}.groupby(level=0).cumcount()",
    },
    "xarray": {
        "aggregate": '{name}.groupby("time").mean()',
        "sort": '{name}.sortby("time")',
        "split": "sklearn.model_selection.TimeSeriesSplit",
        "renumber": 'give {name}.drop_vars("time")',
    },
}
"""What errors on labels of time suggest, by container."""


def check_time_index(index: pd.Index, name: str, container: str = "frame", series: Any = None) -> None:
    """Raise if rows are not one unbroken stretch of time.

    ``name`` and ``series`` are how errors call the container and a series of it; ``container`` sets what they suggest.

    Raises
    ------
    ValueError
        For a MultiIndex, missing, duplicate or unsorted labels, and for holes, as a shuffled or plain KFold leaves
        them.
    """
    if isinstance(index, pd.MultiIndex):
        raise ValueError(
            f"{name} has a MultiIndex with the levels {list(index.names)}, expected labels of time alone. Many series "
            "are one frame with the two levels (series, time), or a list of frames indexed by time."
        )
    ways = {key: text.format(name=name) for key, text in _WAYS_OUT[container].items()}
    labels = f"The index of {name}" if container != "xarray" else f"The time coordinate of {name}"
    labels = labels if container != "panel" else f"{labels}, series {series!s},"
    if index.hasnans:
        raise ValueError(f"{labels} has a missing label (NaT or NaN): every row needs its instant.")
    if index.has_duplicates:
        label = index[index.duplicated()][0]
        raise ValueError(
            f"{labels} has duplicates, the first at {label!s}. One row per instant is expected: aggregate them, e.g. "
            f"{ways['aggregate']}."
        )
    if not index.is_monotonic_increasing:
        raise ValueError(
            f"{labels} is not sorted in time. Sort it with {ways['sort']}; if a split shuffled it, use {ways['split']}."
        )
    hole = _hole(index)
    if hole is not None:
        raise ValueError(
            f"{labels} has a hole after {hole!s}: rows that are not neighbours in time would be joined. "
            f"In cross-validation use {ways['split']}; for missing rows reindex to the full frequency and fill the "
            "inputs (targets may stay NaN). If the rows do follow each other, as trading hours do, "
            f"{ways['renumber']}."
        )


def series_lengths(index: pd.Index, name: str) -> Array:
    """Return the length of every series of a frame: of one series, or of many with the levels (series, time).

    Raises
    ------
    ValueError
        If the rows of a series do not stand together or are not one unbroken stretch of time, naming the series.
    """
    if not isinstance(index, pd.MultiIndex) or index.nlevels != 2:
        check_time_index(index, name)
        return np.array([len(index)])
    starts = np.append(_series_starts(index, name), len(index))
    times = index.get_level_values(1)
    if not _is_regular(times, starts):
        for start, stop in pairwise(starts):
            check_time_index(times[start:stop], name, "panel", index[start][0])
    return np.diff(starts)


def directly_follows(head: pd.Index, tail: pd.Index) -> bool:
    """Whether the labels of ``head`` go on, without a hole, where those of ``tail`` end.

    They are some first labels of the later stretch, and some last ones of the earlier; three or more together. It is
    False also where it cannot be told, as between names.

    Examples
    --------
    >>> directly_follows(pd.RangeIndex(4, 8), pd.RangeIndex(4)), directly_follows(pd.RangeIndex(5, 8), pd.RangeIndex(4))
    (True, False)
    """
    joined = tail.append(head)
    ordered = joined.is_monotonic_increasing and joined.is_unique and not joined.hasnans
    return bool(ordered and len(joined) >= 3 and _is_ordered_scale(joined) and _hole(joined) is None)


def _series_starts(index: pd.MultiIndex, name: str) -> Array:
    """The first row of every series, which must stand together."""
    labels = index.get_level_values(0)
    codes, unique = pd.factorize(labels)
    if (codes < 0).any():
        raise ValueError(f"The index of {name} has a missing label in its level of series: every row needs its series.")
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(starts) > len(unique):
        again = starts[pd.Series(codes[starts]).duplicated().to_numpy()][0]
        raise ValueError(
            f"The rows of series {labels[again]!s} of {name} do not stand together. The levels are "
            f"{list(index.names)}, expected (series, time), series by series: sort with {name}.sort_index(), after "
            f"{name}.swaplevel() if the levels are the other way round."
        )
    return starts


def _is_regular(times: pd.Index, starts: Array) -> bool:
    """Whether all steps within all series are equal and forward: then nothing more need be checked."""
    if times.dtype.kind not in "iM" or times.hasnans:
        return False
    gaps = np.diff(times.asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy())
    gaps = np.delete(gaps, starts[1:-1] - 1)
    return len(gaps) == 0 or bool(gaps[0] > 0 and (gaps == gaps[0]).all())


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
    elif _is_ordered_scale(instants):
        gaps = np.diff(instants.asi8 if isinstance(instants, pd.TimedeltaIndex) else index.to_numpy())
        grids = [_even(gaps)]
    else:
        return None
    fitting = [steps for steps in grids if steps is not None]
    if any((steps == 1).all() for steps in fitting):
        return None
    wide = fitting[0] > 1 if fitting else gaps > 10 * np.median(gaps)
    return index[int(np.argmax(wide))] if wide.any() else None


def _is_ordered_scale(index: pd.Index) -> bool:
    """Whether labels are instants, spans or numbers, rather than names."""
    spans = pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex
    return isinstance(index, spans) or pd.api.types.is_numeric_dtype(index.dtype)


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

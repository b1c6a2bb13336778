"""The time between two steps: as it is given, or as the labels of the data tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seqdyn.checks import is_number
from seqdyn.data.sequences import Sequences, series_of
from seqdyn.estimators.parameters import Rule, accepted, instance_of

UNITS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
"""Units of time that labels are read in, and their seconds; the largest first."""
UNLIKE = 1.01
"""Ratio of two steps from which they are not the same."""


class Sampling(NamedTuple):
    """The time between two steps: ``dt`` in ``unit``; the unit is empty where none is known."""

    dt: float
    unit: str


def sampling(dt: Any, unit: str, labels: Sequence[pd.Index] = ()) -> Sampling:
    """The time between two steps, and its unit.

    A number ``dt`` is in the given unit. None: the median step of the ``labels`` of every record, if they are times,
    and 1 if they are not. An empty ``unit`` is that of ``dt``, or the largest of d, h, min and s that a step of time
    fills.

    Examples
    --------
    >>> sampling("10min", ""), sampling("10min", "h"), sampling(0.5, "V")
    (Sampling(dt=10.0, unit='min'), Sampling(dt=0.16666666666666666, unit='h'), Sampling(dt=0.5, unit='V'))
    >>> sampling(None, "", [pd.date_range("2024-01-01", periods=9, freq="2h")])
    Sampling(dt=2.0, unit='h')
    """
    if is_number(dt) and not isinstance(dt, np.timedelta64):  # which counts as a whole number
        return Sampling(_positive(float(dt)), unit)
    step = _step(labels) if dt is None else as_timedelta(dt)
    if step is None:
        return Sampling(1.0, unit)
    seconds = _positive(step / pd.Timedelta(1, "s"))
    if unit and unit not in UNITS:
        raise ValueError(f"time_unit={unit!r}, but the step is a time, {step}: take one of {', '.join(UNITS)}.")
    unit = unit or next((name for name, size in UNITS.items() if size <= seconds), "s")
    return Sampling(seconds / UNITS[unit], unit)


STEP_RULES: dict[str, Rule] = {
    "dt": accepted(lambda dt: sampling(dt, ""), "None, a number above 0, or a time such as '10min'"),
    "time_unit": instance_of(str, "the name of a unit"),
}
"""What the parameters of an estimator that say the step must be."""


def as_timedelta(value: Any) -> pd.Timedelta:
    """A step of time from what stands for one, such as ``"10min"``."""
    if not isinstance(value, str | timedelta | np.timedelta64):
        raise ValueError(f"dt={value!r} is no time: give a number, a Timedelta, or text such as '10min'.")
    return pd.Timedelta(value)


def time_labels(sequences: Sequences, y: Any) -> list[pd.Index]:
    """The labels of the steps of every record: those of the inputs, or else of the outputs y beside them."""
    if sequences.times is not None:
        return [labels for labels in sequences.times if labels is not None]
    if sequences.index is not None or sequences.template is not None:
        labels = sequences.labels()
        return _split(labels, sequences)
    parts = [y] if isinstance(y, pd.Series | pd.DataFrame) else series_of(y) or ()
    return [part.index for part in parts if isinstance(part, pd.Series | pd.DataFrame)]


def _split(labels: pd.Index, sequences: Sequences) -> list[pd.Index]:
    times = labels.get_level_values(-1)
    return [times[first : first + length] for first, length in zip(sequences.starts, sequences.lengths, strict=True)]


def _step(labels: Sequence[pd.Index]) -> pd.Timedelta | None:
    """The median step of all records, None where no labels are times."""
    found = [step for step in map(_median_step, labels) if step is not None]
    if not found:
        return None
    if max(found) > UNLIKE * min(found):
        raise ValueError(
            f"Some records have a step of {min(found)}, others of {max(found)}: a model has one. Resample them, or set "
            "dt if they belong together as they stand."
        )
    return found[0]


def _median_step(labels: pd.Index) -> pd.Timedelta | None:
    times = labels.to_timestamp() if isinstance(labels, pd.PeriodIndex) else labels
    if not isinstance(times, pd.DatetimeIndex | pd.TimedeltaIndex) or len(times) < 2:
        return None
    return pd.Timedelta(times.to_series().diff().median())


def _positive(number: float) -> float:
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"dt must be a time above 0, got {number:g}.")
    return number

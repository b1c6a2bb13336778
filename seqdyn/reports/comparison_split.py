"""Records cut in time: the rows for fitting, for estimating a state, and for scoring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.checks import check_count, is_int
from seqdyn.data.sequences import Sequences, as_sequences
from seqdyn.data.targets import Targets, as_targets, check_no_infinity, target_names, target_numbers

MOST_TARGETS = 50
"""At most this many rows, evenly spaced over the test part, are predicted k steps ahead."""


class ScoredRecord(NamedTuple):
    """A record: ``x`` (time, inputs), which may be a frame, ``y`` (time, outputs), and the ``first`` row to predict."""

    x: Any
    y: Array
    first: int


@dataclass(frozen=True, eq=False)
class ComparisonSplit:
    """Records cut in time, and the rows that are scored in free run and k steps ahead.

    sequences   the user's X
    records     the records, whose ``first`` is the first row of the test part
    outputs     the names of the outputs
    flat        whether the user's y had no axis of outputs
    horizons    the values of k
    window      how many rows a state is estimated from
    """

    sequences: Sequences
    records: list[ScoredRecord]
    outputs: list[str]
    flat: bool
    horizons: tuple[int, ...]
    window: int

    @property
    def fitted(self) -> int:
        """How many rows the training part has."""
        return sum(record.first for record in self.records)

    @cached_property
    def scored(self) -> Array:
        """Which rows of all records, end to end, are scored: bool, shape (total,)."""
        return np.concatenate([np.arange(len(r.y)) >= r.first + self.window for r in self.records])

    @cached_property
    def measured(self) -> Array:
        """y of the scored rows: (rows, outputs)."""
        return np.concatenate([record.y[record.first + self.window :] for record in self.records])

    @cached_property
    def series(self) -> Array:
        """The number of the record of every scored row."""
        return np.repeat(np.arange(len(self.records)), [len(r.y) - r.first - self.window for r in self.records])

    @cached_property
    def scale(self) -> Array:
        """The divisor of errors: 1, or for several outputs their standard deviations over the training part."""
        deviation = np.nanstd(np.concatenate([record.y[: record.first] for record in self.records]), axis=0)
        return np.ones(1) if len(deviation) == 1 else np.where(deviation > 0, deviation, 1.0)

    @cached_property
    def targets(self) -> Array:
        """The numbers of the scored rows that are predicted k steps ahead."""
        after = np.concatenate([np.arange(count) for count in np.bincount(self.series)])
        possible = np.flatnonzero((after >= max(self.horizons) - 1) & ~np.isnan(self.measured).all(axis=1))
        places = np.linspace(0, len(possible) - 1, min(MOST_TARGETS, len(possible)))
        return possible[np.unique(places.round().astype(int))]

    def training(self) -> tuple[Any, Any]:
        """X and y of the training part, for ``fit``."""
        parts = [(record.x[: record.first], self.shaped(record.y[: record.first])) for record in self.records]
        return parts[0] if len(parts) == 1 else tuple(map(list, zip(*parts, strict=True)))  # type: ignore[return-value]

    def windows(self, horizon: int) -> tuple[Array, Array]:
        """For every target the rows of X up to it, (targets, window + k, inputs), and of y up to k rows before it."""
        rows = np.flatnonzero(self.scored)[self.targets]
        y = np.concatenate([record.y for record in self.records])
        steps = np.arange(-horizon - self.window + 1, 1)
        return self.sequences.rows[rows[:, None] + steps], self.shaped(y[rows[:, None] + steps[: self.window]])

    def shaped(self, y: Array) -> Array:
        """y in the user's form: without the axis of outputs if it had none."""
        return y[..., 0] if self.flat else y


def read_split(X: Any, y: Any, test_fraction: Any, horizons: Any, window: Any) -> ComparisonSplit:
    """Read and check the data and parameters of a comparison."""
    steps = _checked_horizons(horizons)
    check_count("window", window)
    if isinstance(test_fraction, bool) or not isinstance(test_fraction, Real) or not 0 < float(test_fraction) < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1, got {test_fraction!r}.")
    if isinstance(X, pd.Series):
        raise ValueError("X is a Series; make it a frame of one feature with X.to_frame().")
    sequences, targets, numbers = read_records(X, y)
    outputs = target_names(y) or [f"y{i}" for i in range(numbers.shape[1])]
    records = scored_records(sequences, numbers, lambda length, _: length - round(float(test_fraction) * length))
    split = ComparisonSplit(sequences, records, list(map(str, outputs)), targets.flat, steps, int(window))
    _check_rows(split)
    return split


def read_records(X: Any, y: Any) -> tuple[Sequences, Targets, Array]:
    """The user's records: sequences, a finite target for every step, and the targets as numbers (total, outputs)."""
    sequences = as_sequences(X)
    targets = as_targets(y, sequences, per_step=True)
    check_no_infinity(targets.table, sequences, per_step=True)
    return sequences, targets, target_numbers(targets.table)


def scored_records(sequences: Sequences, numbers: Array, first: Callable[[int, int], int]) -> list[ScoredRecord]:
    """The records one by one; ``first(length, number)`` is the first row to predict."""
    records = []
    for number, (start, length) in enumerate(zip(sequences.starts, sequences.lengths, strict=True)):
        x, y = sequences.rows[start : start + length], numbers[start : start + length]
        named = x if sequences.features is None else pd.DataFrame(x, columns=sequences.features)
        records.append(ScoredRecord(named, y, first(int(length), number)))
    return records


def _check_rows(split: ComparisonSplit) -> None:
    """Raise if a record is too short, or has no known outputs for estimating a state or for scoring."""
    needed = split.window + max(split.horizons)
    for number, (_, y, first) in enumerate(split.records):
        which = "" if len(split.records) == 1 else f" of record {number}"
        if len(y) - first < needed:
            raise ValueError(
                f"The test part{which} has {len(y) - first} of {len(y)} rows, but window={split.window} and the "
                f"longest horizon {max(split.horizons)} need {needed}: give more rows, a larger test_fraction, a "
                "smaller window, or shorter horizons."
            )
        if first < 2:
            raise ValueError(f"The training part{which} has {first} of {len(y)} rows: lower test_fraction.")
        if np.isnan(y[first : first + split.window]).all():
            raise ValueError(
                f"y is NaN in all of the first {split.window} rows of the test part{which}: no state can be "
                "estimated from them. Use a longer window, or another test_fraction."
            )
    empty = np.isnan(split.measured).all(axis=0) | np.isnan(split.measured[split.targets]).all(axis=0)
    if empty.any() or not len(split.targets):
        output = split.outputs[int(np.argmax(empty))]
        raise ValueError(f"y has no known value of {output} after the window of the test part: nothing can be scored.")


def _checked_horizons(horizons: Any) -> tuple[int, ...]:
    steps = [horizons] if isinstance(horizons, Integral) else list(horizons)
    if not steps or not all(is_int(k) and k >= 1 for k in steps):
        raise ValueError(f"horizons must be ints of at least 1, such as (1, 5, 20), got {horizons!r}.")
    return tuple(sorted({int(k) for k in steps}))

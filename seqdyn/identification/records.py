"""Records of inputs and outputs, each with an initial state of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.facts import shown_by_shape

TOGETHER = 256
"""Records in a group, at most."""


@shown_by_shape
class DataRecord(NamedTuple):
    """One record of inputs and outputs.

    ``x`` (time, inputs) finite; ``y`` (time, outputs), NaN where it was not measured; ``weight`` (time, outputs) what
    an error counts, 0 where y is NaN.
    """

    x: Array
    y: Array
    weight: Array

    @classmethod
    def of(cls, x: Any, y: Any, weight: Any = None) -> DataRecord:
        """A record from arrays; every measured output counts 1 if no weight is given."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
            raise ValueError(f"x {x.shape} and y {y.shape} must be (time, inputs) and (time, outputs) of one length.")
        known = ~np.isnan(y)
        return cls(x, y, known.astype(np.float64) if weight is None else np.where(known, weight, 0.0))

    def before(self, time: int) -> DataRecord:
        """The first ``time`` steps."""
        return DataRecord(self.x[:time], self.y[:time], self.weight[:time])

    def delayed(self, delays: Sequence[int]) -> DataRecord:
        """The record with input i of d_i steps before beside every output; the first max d_i steps are left out."""
        longest = max(delays, default=0)
        if len(delays) != self.x.shape[1] or min(delays, default=0) < 0 or longest >= len(self.x):
            raise ValueError(
                f"Delays of {tuple(delays)} steps do not fit a record of {len(self.x)} steps and {self.x.shape[1]} "
                "inputs: give one an input, from 0 to less than the steps of the shortest record."
            )
        x = self.x[longest:].copy()
        for place, d in enumerate(delays):
            x[:, place] = self.x[longest - d : len(self.x) - d, place]
        return DataRecord(x, self.y[longest:], self.weight[longest:])

    def unseen(self) -> int:
        """Steps before the first known output; 0 where none is known at all."""
        seen = np.flatnonzero(~np.isnan(self.y).all(axis=1))
        return int(seen[0]) if len(seen) else 0

    def after(self, time: int) -> DataRecord:
        """All but the first ``time`` steps."""
        return DataRecord(self.x[time:], self.y[time:], self.weight[time:])

    def bridged(self) -> DataRecord:
        """The record with missing outputs on straight lines between known ones, which count nothing."""
        y, steps = self.y.copy(), np.arange(len(self.y))
        for column in y.T:
            known = ~np.isnan(column)
            column[~known] = np.interp(steps[~known], steps[known], column[known]) if known.any() else 0.0
        return DataRecord(self.x, y, self.weight)

    def detrended(self) -> DataRecord:
        """The record without the straight lines that fit its inputs and outputs best; their means stay."""
        time = np.linspace(-1.0, 1.0, len(self.x))
        x, y = (np.array([_level(column, time) for column in part.T]) for part in (self.x, self.y))
        return DataRecord(x.T.reshape(self.x.shape), y.T.reshape(self.y.shape), self.weight)


def _level(column: Array, time: Array) -> Array:
    """A column without its slope."""
    known = ~np.isnan(column)
    if known.sum() < 3:
        return column
    slope = np.polyfit(time[known], column[known], 1)[0]
    moved: Array = column - slope * (time - time[known].mean())
    return moved


@dataclass(frozen=True)
class Group:
    """Records of similar length side by side, (records, time, width), padded with steps that count nothing.

    ``places`` says which of the records these are.
    """

    places: list[int]
    x: Tensor
    y: Tensor
    weight: Tensor


def grouped(records: Iterable[DataRecord]) -> list[Group]:
    """Records in groups whose lengths differ by less than a factor of two."""
    records = list(records)
    classes: dict[int, list[int]] = {}
    for place, record in enumerate(records):
        classes.setdefault(len(record.x).bit_length(), []).append(place)
    parts = [
        places[first : first + TOGETHER] for places in classes.values() for first in range(0, len(places), TOGETHER)
    ]
    return [_group([records[place] for place in places], places) for places in parts]


def _group(records: list[DataRecord], places: list[int]) -> Group:
    time = max(len(record.x) for record in records)

    def padded(values: Iterator[Array]) -> Tensor:
        ends = [np.pad(value, ((0, time - len(value)), (0, 0))) for value in values]
        return torch.as_tensor(np.stack(ends))

    return Group(
        places,
        padded(record.x for record in records),
        padded(np.nan_to_num(record.y) for record in records),
        padded(record.weight for record in records),
    )

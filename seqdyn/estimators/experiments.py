"""What a system is identified from: inputs and outputs beside each other, scaled, one record an experiment."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.estimators.learning import check_known
from seqdyn.identification.records import DataRecord


class Experiments(NamedTuple):
    """Inputs (``sequences``), the outputs beside them (``numbers``), and what every step counts (``weight``).

    Numbers (total, outputs) are NaN where an output is not known; the weight (total,) is 0 in the warm-up.
    """

    sequences: Sequences
    numbers: Array
    weight: Array

    def leading(self, lengths: Array) -> Experiments:
        """The first steps of every record, and no record of which there are none."""
        inside = self.sequences.steps < np.repeat(lengths, self.sequences.lengths)
        head = Sequences(self.sequences.rows[inside], lengths[lengths > 0], "list")
        return Experiments(head, self.numbers[inside], self.weight[inside])

    @property
    def known(self) -> Array:
        """The outputs that count, NaN elsewhere."""
        return np.where(self.weight[:, None] > 0, self.numbers, np.nan)

    def scalings(self, scale: bool) -> tuple[Scaling, Scaling]:
        """Of inputs and outputs; a mean that the data cannot tell from 0 is 0, so that such a system rests at 0."""
        rows, known = self.sequences.rows, self.known
        if len(rows) < 2:
            raise ValueError(f"X has n_samples={len(rows)} step: at least 2 are needed to fit.")
        check_known(known)
        if not scale:
            return Scaling.identity(rows.shape[1]), Scaling.identity(known.shape[1])
        return scaling_at_rest(rows, len(rows)), scaling_at_rest(known, len(rows))

    def records(self, inputs: Scaling, outputs: Scaling) -> list[DataRecord]:
        """One record an experiment, in scaled units."""
        ends = np.cumsum(self.sequences.lengths)[:-1]
        x, y = inputs.apply(self.sequences.rows), outputs.apply(self.known)
        weight = np.broadcast_to(self.weight[:, None], y.shape)
        return [DataRecord.of(*parts) for parts in zip(*(np.split(part, ends) for part in (x, y, weight)), strict=True)]


def scaling_at_rest(values: Array, rows: int) -> Scaling:
    """Mean and deviation of values (total, columns); a mean of less than four standard errors is 0.

    The standard error is that of so many independent ``rows``.
    """
    scaling = Scaling.fit(values)
    near = np.abs(scaling.mean) < 4 * scaling.scale / math.sqrt(rows)
    return Scaling(np.where(near, 0.0, scaling.mean), scaling.scale)

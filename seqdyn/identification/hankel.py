"""Block Hankel matrices of past and future, and their triangular factor: all that subspace methods need of data.

A column of the block Hankel matrices stacks p past and f future steps. The columns of several experiments stand side
by side; no column reaches over a border, and none holds a missing value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from seqdyn.arrays import Array
from seqdyn.identification.records import DataRecord

HANKEL_COLUMNS_AT_ONCE = 4096
"""Columns held at once."""
BLOCK_ROWS = 20
"""Past and future steps of the Hankel matrices where the data allow so many."""


@dataclass(frozen=True)
class Factor:
    """The lower triangular factor of [U_f; W_p; Y_f], with W_p = [U_p; Y_p], divided by the root of the columns.

        [U_f]   [L11         ] [Q1]
        [W_p] = [L21 L22     ] [Q2]
        [Y_f]   [L31 L32 L33 ] [Q3]

    Attributes
    ----------
    lower : array
        L; its blocks have f·inputs, p·(inputs + outputs) and f·outputs rows.
    past, future, inputs, outputs : int
        p, f and the widths.
    columns : int
        How many columns the data gave.
    """

    lower: Array
    past: int
    future: int
    inputs: int
    outputs: int
    columns: int

    def block(self, row: int, column: int) -> Array:
        """L11 … L33, counted from 1."""
        sizes = [self.future * self.inputs, self.past * (self.inputs + self.outputs), self.future * self.outputs]
        ends = np.cumsum([0, *sizes])
        return self.lower[ends[row - 1] : ends[row], ends[column - 1] : ends[column]]

    @property
    def inputs_hold_outputs(self) -> bool:
        """Whether an output comes back as an input of the next step, as in X = the series and y = the series later.

        The future inputs then say all about an output but the last, and nothing is left for the past to explain.
        """
        first = slice(self.outputs)
        left = np.hstack([self.block(3, 2)[first], self.block(3, 3)[first]])
        whole = np.hstack([self.block(3, 1)[first], left])
        return bool((np.linalg.norm(left, axis=1) < 1e-6 * np.linalg.norm(whole, axis=1)).any())


def factor(records: Iterable[DataRecord], past: int, future: int) -> Factor:
    """The factor of the Hankel matrices of all records, their means taken out; the columns come and go in chunks.

    Verhaegen (1994), Identification of the deterministic part of MIMO state space models, section 4.
    """
    records = list(records)
    inputs, outputs = records[0].x.shape[1], records[0].y.shape[1]
    width = 1 + (past + future) * (inputs + outputs)
    upper, count = np.zeros((0, width)), 0
    for columns in _hankel_columns(records, past, future):
        count += len(columns)
        upper = triangular(upper, columns)
    lower = np.zeros((width - 1, width - 1))
    lower[:, : max(0, len(upper) - 1)] = upper[1:, 1:].T / np.sqrt(max(count, 1))  # what the constant leaves
    return Factor(lower, past, future, inputs, outputs, count)


def triangular(upper: Array, rows: Array) -> Array:
    """R of the QR factorisation of [upper; rows].

    By torch, as the recurrence is: numpy's threads beside torch's would wait for each other.
    """
    result: Array = torch.linalg.qr(torch.as_tensor(np.vstack([upper, rows])), mode="r").R.numpy()
    return result


def _hankel_columns(records: list[DataRecord], past: int, future: int) -> Iterator[Array]:
    """Rows [1, u_f, u_p, y_p, y_f], one for every instant that has its whole past and future."""
    reach = past + future
    for record in records:
        if len(record.x) < reach:
            continue
        x = sliding_window_view(record.x, reach, axis=0).swapaxes(1, 2)  # (columns, reach, inputs), no copy
        y = sliding_window_view(record.y, reach, axis=0).swapaxes(1, 2)
        missing: Array = np.any(np.isnan(record.y), axis=1)
        known: Array = ~np.any(sliding_window_view(missing, reach), axis=1)
        for start in range(0, len(x), HANKEL_COLUMNS_AT_ONCE):
            chosen = start + np.flatnonzero(known[start : start + HANKEL_COLUMNS_AT_ONCE])
            if not len(chosen):
                continue
            one = np.ones(len(chosen))
            parts = (one, x[chosen, past:], x[chosen, :past], y[chosen, :past], y[chosen, past:])
            yield np.concatenate([part.reshape(len(chosen), -1) for part in parts], axis=1)


class TooShort(ValueError):
    """The records have too few steps for what was asked."""


def horizon(records: Sequence[DataRecord], order: int | None, block_rows: int | None) -> Factor:
    """The factor of the data with as many block rows as they allow, and as the order needs."""
    inputs, outputs = records[0].x.shape[1], records[0].y.shape[1]
    least = 2 if order is None else math.ceil(order / outputs) + 1
    chosen = block_rows or _block_rows(records, inputs + outputs, least)
    data = factor(records, chosen, chosen)
    needed = 2 * chosen * (inputs + outputs)
    if data.columns < needed and any(np.isnan(record.y).any() for record in records):
        records = [record.bridged() for record in records]
        chosen = block_rows or _block_rows(records, inputs + outputs, least)
        data, needed = factor(records, chosen, chosen), 2 * chosen * (inputs + outputs)
    if data.columns < needed or chosen < least:
        asked = f"block_rows={block_rows}" if block_rows and block_rows >= least else f"an order of {order or 1}"
        rows = max(chosen, least)
        raise TooShort(
            f"{data.columns} stretches of {2 * chosen} known steps are too few: {asked} with {inputs} inputs and "
            f"{outputs} outputs needs {rows} block rows and {2 * rows * (inputs + outputs)} stretches of {2 * rows} "
            f"steps, as a record of {2 * rows * (inputs + outputs + 1) - 1} steps has. {_advice(block_rows, least)}"
        )
    return data


def _advice(block_rows: int | None, least: int) -> str:
    """Advice for records that are too short."""
    if block_rows is None:
        return "Give longer records, a lower order, or method='gradient'."
    if block_rows < least:
        return f"Set block_rows={least} or more, or None for as many as the data allow, or give a lower order."
    return "Set block_rows=None for as many as the data allow, or lower it, or give longer records."


def _block_rows(records: Sequence[DataRecord], width: int, least: int) -> int:
    """The most block rows, up to 20, that leave two columns for every row of the Hankel matrices."""
    unknown = [np.flatnonzero(np.isnan(record.y).any(axis=1)) for record in records]
    lengths = np.concatenate(
        [np.diff([-1, *gaps, len(record.x)]) - 1 for gaps, record in zip(unknown, records, strict=True)]
    )
    for rows in range(max(BLOCK_ROWS, least), least, -1):
        if np.maximum(lengths - 2 * rows + 1, 0).sum() >= 4 * rows * width:
            return rows
    return least

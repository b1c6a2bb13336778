"""How far the Hankel matrices look back and ahead: as far as the data allow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from seqdyn.identification.hankel import Factor, factor
from seqdyn.identification.records import Record

BLOCK_ROWS = 20
"""Past and future steps of the Hankel matrices where the data allow so many."""


class TooShort(ValueError):
    """The records have too few steps for what was asked."""


def horizon(records: Sequence[Record], order: int | None, block_rows: int | None) -> Factor:
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
    """What to do about records that are too short."""
    if block_rows is None:
        return "Give longer records, a lower order, or method='gradient'."
    if block_rows < least:
        return f"Set block_rows={least} or more, or None for as many as the data allow, or give a lower order."
    return "Set block_rows=None for as many as the data allow, or lower it, or give longer records."


def _block_rows(records: Sequence[Record], width: int, least: int) -> int:
    """The most block rows, up to 20, that leave two columns for every row of the Hankel matrices."""
    unknown = [np.flatnonzero(np.isnan(record.y).any(axis=1)) for record in records]
    lengths = np.concatenate(
        [np.diff([-1, *gaps, len(record.x)]) - 1 for gaps, record in zip(unknown, records, strict=True)]
    )
    for rows in range(max(BLOCK_ROWS, least), least, -1):
        if np.maximum(lengths - 2 * rows + 1, 0).sum() >= 4 * rows * width:
            return rows
    return least

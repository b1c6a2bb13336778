"""States at many origins from one pass over the history, and what follows from them in one batched run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.loops import scan
from seqdyn.state import State, leaves, map_leaves, take
from seqdyn.training.batches import Rows
from seqdyn.training.forward import ROWS_AT_ONCE, run_network

ORIGINS_AT_ONCE = 4096
"""How many origins are run ahead in one batch."""


@torch.inference_mode()
def at_origins(cell: Cell, rows: Rows, series: Array, origins: Array, context_length: int | None = None) -> State:
    """The state before each origin: every row of its series before it has been read, or the last ``context_length``."""
    starts = rows.starts.numpy()
    offsets = origins - starts[series]
    if context_length is not None:
        lengths = np.minimum(offsets, context_length)
        spans = rows.part(torch.as_tensor(origins - lengths), torch.as_tensor(lengths))
        _, state = run_network(cell, spans)
        return state
    found, places = [], []
    for block in _origin_blocks(series):
        for chosen, state in _passed(cell, rows, series[block], offsets[block]):
            found.append(state)
            places.append(block[chosen])
    joined = map_leaves(lambda *parts: torch.cat(parts), *found)
    return take(joined, np.argsort(np.concatenate(places)))


@torch.inference_mode()
def outputs_ahead(cell: Cell, state: State, x: Any) -> Tensor:
    """Outputs of the steps after every origin, (origins, steps, outputs)."""
    pieces = []
    for begin in range(0, len(leaves(x)[0]), ORIGINS_AT_ONCE):
        part = slice(begin, begin + ORIGINS_AT_ONCE)
        pieces.append(scan(cell, take(x, part), take(state, part)).output)
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _origin_blocks(series: Array, size: int = 512) -> Iterator[Array]:
    """Origins by series, so many series at a time."""
    _, number = np.unique(series, return_inverse=True)
    for begin in range(0, int(number.max()) + 1, size):
        yield np.flatnonzero((number >= begin) & (number < begin + size))


def _passed(cell: Cell, rows: Rows, series: Array, offsets: Array) -> Iterator[tuple[Array, State]]:
    """Walk along some series together, from cut to cut: yields the origins that stand there, and their states."""
    members, row = np.unique(series, return_inverse=True)
    starts = rows.starts[torch.as_tensor(members)]
    ends = np.zeros(len(members), dtype=np.int64)
    np.maximum.at(ends, row, offsets)
    last = torch.as_tensor(ends)
    state = cell.initial_state(len(members))
    for begin, cut in pairwise([0, *np.unique(offsets)]):
        state = _states_after(cell, rows.x, starts, last, int(begin), int(cut), state)
        here = np.flatnonzero(offsets == cut)
        place = torch.as_tensor(row[here])
        yield here, take(state, place)


def _states_after(cell: Cell, x: Any, starts: Tensor, last: Tensor, begin: int, cut: int, state: State) -> State:
    """The states after the steps from ``begin`` to ``cut``; series that have ended before hold theirs."""
    size = max(1, ROWS_AT_ONCE // len(starts))
    for first in range(begin, cut, size):
        steps = torch.arange(first, min(first + size, cut))
        mask = None if bool((last > steps[-1]).all()) else (steps < last[:, None]).to(leaves(x)[0].device)
        index = starts[:, None] + torch.minimum(steps, last[:, None] - 1)
        state = scan(cell, take(x, index), state, mask=mask).state
    return state

"""Which path a cell takes over a sequence: compiled loops, torch's own kernel, or its written step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqdyn.cell import Cell, outline
from seqdyn.loops import kernel_watch, scan
from seqdyn.state import State


def explain_backend(cell: Cell, x: Any, mask: Tensor | None = None) -> str:
    """Say which path runs a cell over x, and why: a sentence for each recurrence in it.

    The cell is run over x once, as :func:`seqdyn.scan` runs it, and what it does is told.

    Parameters
    ----------
    cell : Cell
    x : Tensor, shape (batch, time, *input_shape), or a tree of such
    mask : Tensor of bool, shape (batch, time), optional

    Returns
    -------
    str
        One line a recurrence. *Compiled loops* are numba's (the extra ``fast``), the fastest on a CPU; *torch's own
        kernel* is the fastest on a GPU; *step by step* calls the cell's ``forward`` at every step.

    Examples
    --------
    >>> import torch
    >>> from seqdyn import GRU, LSTM, Readout, Stack
    >>> print(explain_backend(Readout(Stack([GRU(3, 8), LSTM(8, 4)]), 1), torch.zeros(2, 5, 3)))
    GRU(3 → 8) runs in compiled loops.
    LSTM(8 → 4) runs in compiled loops.
    >>> explain_backend(LSTM(3, 8, peepholes=True), torch.zeros(2, 5, 3))
    'LSTM(3 → 8) runs step by step: no kernel knows peepholes.'
    >>> with torch.autocast("cpu"):
    ...     explain_backend(GRU(3, 8), torch.zeros(2, 5, 3))
    'GRU(3 → 8) runs step by step: no kernel runs under autocast, a tracer or torch.func.'
    """
    asked: dict[Cell, str] = {}

    def tell(part: Cell, x: Any, state: State, mask: Tensor | None) -> None:
        inner = any(isinstance(module, Cell) for module in list(part.modules())[1:])
        asked[part] = "" if inner else f"{outline(part)} runs {part.backend(x, state, mask)}."

    token = kernel_watch.set(tell)
    try:
        with torch.no_grad():
            scan(cell, x, mask=mask)
    finally:
        kernel_watch.reset(token)
    if not asked:
        return f"{outline(cell)} runs step by step: no kernel runs under autocast, a tracer or torch.func."
    return "\n".join(filter(None, asked.values())) or f"{outline(cell)} runs step by step: it has no kernel as a whole."

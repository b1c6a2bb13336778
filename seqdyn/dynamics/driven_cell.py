"""Measure a cell under data in its own units, or without input.

E_t = ½(y_t − target_t)²
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.data.sequences import Sequences, as_sequences
from seqdyn.data.targets import as_targets, check_no_infinity, target_numbers, target_rows
from seqdyn.data.tensors import one_a_series
from seqdyn.dynamics.closed_loop import on_own_output
from seqdyn.dynamics.driven import Driven, StepErrors
from seqdyn.state import map_leaves
from seqdyn.training.batches import Rows


def cell_driven_by(cell: Cell, X: Any, y: Any = None, columns: bool = True) -> Driven:
    """A cell under rows of numbers, or tokens, in its own units, and the errors ½(y − target)².

    Of the targets, one a step, NaN is missing; class numbers, given as integers, stay integers. Every output has to
    have a target where ``columns`` says so, as these errors need it. An error says where shapes do not fit, an input is
    not finite, or no target is known.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> driven = cell_driven_by(GRU(3, 1), np.zeros((4, 50, 3)), np.zeros((4, 50)))
    >>> driven.rows.lengths.tolist(), driven.errors.name
    ([50, 50, 50, 50], '½(y − target)²')
    """
    sequences = _tokens(X) if cell.input_shape == () else as_sequences(X, "X")
    x = torch.as_tensor(np.asarray(sequences.rows, dtype=np.float64))
    nothing = x[:, :0]
    if cell.input_shape == ():
        x = x[:, 0].long()
    elif x.shape[1] != cell.input_size:
        raise ValueError(f"X has {x.shape[1]} features, but {type(cell).__name__} takes {cell.input_size} inputs.")
    rows = Rows(x, nothing, None, torch.as_tensor(sequences.starts), torch.as_tensor(sequences.lengths))
    if y is None:
        return Driven(cell, rows)
    _check_one_a_step(y, sequences, cell.output_size)
    rows = _with_targets(rows, y, sequences)
    if columns and rows.y.shape[1] != cell.output_size:
        raise ValueError(
            f"y has {rows.y.shape[1]} columns, but the model gives {cell.output_size} outputs, and the errors "
            "½(y − target)² need a target for every output. For class numbers or errors of another kind give loss, as "
            'loss=torch.nn.CrossEntropyLoss(reduction="none").'
        )
    return Driven(cell, rows, StepErrors(lambda output, target: 0.5 * (output - target) ** 2, "½(y − target)²"))


def _tokens(X: Any) -> Sequences:
    """Whole numbers, one a step."""
    sequences = as_sequences(X[..., None] if isinstance(X, np.ndarray) and X.ndim < 3 else X, "X")
    if sequences.rows.shape[1] != 1 or (sequences.rows != np.round(sequences.rows)).any():
        raise ValueError(
            f"X has {sequences.rows.shape[1]} feature(s) of {sequences.rows.dtype}, but the model reads one token a "
            "step: give whole numbers, (series, time)."
        )
    return sequences


def _with_targets(rows: Rows, y: Any, sequences: Sequences) -> Rows:
    """Targets beside the rows: numbers, of which NaN is missing, or class numbers, which stay whole."""
    targets = as_targets(y, sequences, per_step=True)
    check_no_infinity(targets.table, sequences, per_step=True)
    numbers = target_rows(target_numbers(targets.table), sequences, per_step=True)
    known = torch.as_tensor(~np.isnan(numbers))
    if not known.any():
        raise ValueError(f"y holds {known.numel()} targets, and all are NaN, missing: leave y out, or give some.")
    values = torch.as_tensor(np.where(known, numbers, _first_known(numbers)))
    whole = targets.table.dtype.kind in "iu"
    return replace(rows, y=values.long() if whole else values, weight=known.double())


def _check_one_a_step(y: Any, sequences: Sequences, outputs: int) -> None:
    """Raise if there is one target a series: a cell needs a target, or NaN, at every step."""
    series, steps = len(sequences.lengths), int(sequences.lengths.max())
    try:
        shape: tuple[int, ...] = np.shape(y)
    except ValueError:  # a list of series of unlike lengths
        return
    if steps > 1 and shape in ((series,), (series, 1), (series, outputs)) and shape != (series, steps):
        raise ValueError(one_a_series(shape, series, steps))


def _first_known(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The first known target of every column, which replaces missing ones so that any loss is defined there."""
    known = ~np.isnan(numbers)
    first = numbers[known.argmax(0), np.arange(numbers.shape[1])]
    return np.where(known.any(0), first, 0.0)


def cell_alone(cell: Cell, y: Any = None, steps: int = 2000) -> Driven:
    """A cell that runs ``steps`` steps without inputs, or on its own output if it can; targets y are refused."""
    if y is not None:
        raise ValueError("y without X: targets stand beside the inputs that lead to them.")
    check_count("steps", steps, 2)
    if cell.input_size and cell.input_shape != cell.output_shape:
        raise ValueError(
            f"{type(cell).__name__} is driven by {cell.input_size} input(s): give X (series, time, {cell.input_size})."
        )
    cell = on_own_output(cell) if cell.input_size else cell
    x = map_leaves(lambda leaf: leaf[0], cell.alone(1, steps))
    nothing = torch.zeros(steps, 0, dtype=torch.float64)
    return Driven(cell, Rows(x, nothing, None, torch.tensor([0]), torch.tensor([steps])), alone=True)

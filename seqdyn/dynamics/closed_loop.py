"""How to run a cell that is measured: driven by an input, without input, or on its own output, x_t = y_{t-1}.

A closed loop is :class:`~seqdyn.autoregression.OwnPast`, of whose past nothing is known. Its state is (h, y): where y_t
is a function of h_t alone, as in a GRU with a readout, that has as many directions too many as there are outputs; they
die in one step (eigenvalues 0, exponents −∞).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.autoregression import OwnPast
from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.dynamics.trajectory import check_cell
from seqdyn.state import State, leaves, map_leaves


class RunPlan(NamedTuple):
    """A cell with its input, its initial state, and whether it is driven, "conditional", or alone, "autonomous"."""

    cell: Cell
    x: Any
    state: State | None
    kind: str


def run_plan(
    cell: Cell, x: Any = None, state: State | None = None, *, steps: int | None = None, last: Tensor | None = None
) -> RunPlan:
    """Decide how to run a cell: driven by x if it is given, alone if the cell takes no input, else on its own output.

    It takes ``steps`` steps, all of x if None; ``state`` is h_{-1} of the cell, ``last`` is y_{-1} of a closed loop. An
    error says what to give where something is missing or does not fit.
    """
    check_cell(cell)
    if steps is not None:
        check_count("steps", steps)
    if x is None:
        return _run_without_input(cell, state, steps, last)
    if last is not None:
        raise ValueError("last is for a closed loop: with x given the cell is driven by x. Leave one of them out.")
    time = min((leaf.shape[1] for leaf in leaves(x) if leaf.dim() > 1), default=0)
    if steps is not None and steps > time:
        raise ValueError(f"steps={steps}, but x has {time} steps.")
    kind = "autonomous" if cell.input_shape == (0,) else "conditional"
    return RunPlan(cell, map_leaves(lambda leaf: leaf[:, :steps] if leaf.dim() > 1 else leaf, x), state, kind)


def on_own_output(cell: Cell) -> OwnPast:
    """Close the loop of a cell, if it gives what it takes: its output is its next input.

    Examples
    --------
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.loops import scan
    >>> loop = on_own_output(ExponentialMovingAverage(1, gamma=0.5))
    >>> scan(loop, loop.alone(1, 3), loop.start_from(None, torch.ones(1, 1))).output.flatten()
    tensor([0.5000, 0.5000, 0.5000])
    """
    if cell.input_shape != cell.output_shape or cell.input_shape is None:
        raise ValueError(
            f"{type(cell).__name__} takes {_spoken(cell.input_shape, 'input')} and gives "
            f"{_spoken(cell.output_shape, 'output')}, so it cannot run on its own output: give x (batch, time, …) to "
            f"drive it, or put a Readout(cell, {cell.input_size}) around it."
        )
    return OwnPast(cell)


def _spoken(shape: tuple[int, ...] | None, what: str) -> str:
    return f"a tree of {what}s" if shape is None else f"{shape[0]} {what}(s)" if len(shape) == 1 else f"{shape} {what}s"


def _run_without_input(cell: Cell, state: State | None, steps: int | None, last: Tensor | None) -> RunPlan:
    driven = cell.input_shape != (0,)
    loop = on_own_output(cell) if driven else None
    if steps is None:
        raise ValueError(f"{type(cell).__name__} is to run without x, for an unknown number of steps: give steps=….")
    if loop is not None:
        start = loop.start_from(state, last)
        return RunPlan(loop, loop.alone(len(start.last), steps), start, "autonomous")
    if last is not None:
        raise ValueError(f"last is for a closed loop, but {type(cell).__name__} takes no input: leave it out.")
    first = next(iter(leaves(cell.initial_state(1) if state is None else state)), torch.zeros(1))
    return RunPlan(cell, first.new_zeros(len(first), steps, 0), state, "autonomous")

"""A cell on its own output, x_t = y_{t-1}, as a cell without input; and how an instrument is to run a cell."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Block, Cell
from seqdyn.dynamics.trajectory import check_cell
from seqdyn.state import State, leaves, map_leaves


class ClosedLoopState(NamedTuple):
    """``state``, the cell's own, and ``output`` (batch, outputs), the y_{t-1} it is fed next."""

    state: State
    output: Tensor


class ClosedLoop(Cell):
    """A cell on its own output: y_t, h_t = f(y_{t-1}, h_{t-1}), a cell of no input with the state (h, y).

    Its Jacobian comes from the inner cell's block: ∂(h_t, y_t)/∂(h_{t-1}, y_{t-1}) = [D C; B A].

    Parameters
    ----------
    cell : Cell
        With ``input_size == output_size``.

    Raises
    ------
    ValueError
        If the cell does not give what it takes.

    Notes
    -----
    The last output is part of the state. Where y_t is a function of h_t alone, as in a GRU with a readout, (h, y) has
    as many directions too many as there are outputs: they die in one step (eigenvalues 0, exponents −∞).

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.scan import scan
    >>> loop = ClosedLoop(ExponentialMovingAverage(1, gamma=0.5))
    >>> start = loop.start_from(None, torch.ones(1, 1))
    >>> scan(loop, torch.zeros(1, 3, 0), start).output.flatten()
    tensor([0.5000, 0.5000, 0.5000])
    """

    def __init__(self, cell: Cell):
        if cell.input_size != cell.output_size:
            raise ValueError(
                f"{type(cell).__name__} takes {cell.input_size} input(s) and gives {cell.output_size} output(s): it "
                "cannot run on its own output. Give x (batch, time, inputs), or put a "
                f"Readout(cell, {cell.input_size}) around it."
            )
        super().__init__(0, cell.hidden_size + cell.output_size, cell.output_size)
        self.cell = cell

    def initial_state(self, batch: int) -> ClosedLoopState:
        return ClosedLoopState(self.cell.initial_state(batch), self.cell.zeros(batch, self.output_size))

    def start_from(self, state: State | None = None, last: Tensor | None = None) -> ClosedLoopState:
        """The state after the output ``last`` = y_{-1}, (batch, outputs), and in the cell's own state h_{-1}.

        Each is that of a fresh start (zeros, the cell's initial state) if None.
        """
        if last is not None and (not isinstance(last, Tensor) or last.dim() != 2 or last.shape[1] != self.output_size):
            shape = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
            raise ValueError(f"last, the output before the first step, is (batch, {self.output_size}), got {shape}.")
        given = [leaf for leaf in leaves(state) if state is not None] + ([] if last is None else [last])
        fresh = self.initial_state(len(given[0]) if given else 1)
        return ClosedLoopState(
            fresh.state if state is None else state, fresh.output if last is None else last.to(fresh.output)
        )

    def forward(self, x: Any, state: ClosedLoopState) -> tuple[Any, ClosedLoopState]:
        output, inner = self.cell(state.output, state.state)
        return output, ClosedLoopState(inner, output)

    def jacobian(self, x: Any, before: ClosedLoopState, output: Any, after: ClosedLoopState) -> Any:
        inner: Block = self.cell.block(before.output, before.state, output, after.state)
        if inner is NotImplemented:
            return NotImplemented
        above = torch.cat([inner.transition, inner.input_map], 2)
        return torch.cat([above, torch.cat([inner.readout, inner.feedthrough], 2)], 1)

    def gates(self, x: Any, before: ClosedLoopState, output: Any, after: ClosedLoopState) -> dict[str, Tensor]:
        return self.cell.gates(before.output, before.state, output, after.state)


class Run(NamedTuple):
    """What an instrument walks through: a cell, its input, its start, and what drives it.

    Attributes
    ----------
    cell : Cell
    x : tree, leaves (batch, steps, *inputs)
    state : State or None
    kind : {"conditional", "autonomous"}
        Driven by an input, or alone.
    """

    cell: Cell
    x: Any
    state: State | None
    kind: str


def planned(
    cell: Cell, x: Any = None, state: State | None = None, *, steps: int | None = None, last: Tensor | None = None
) -> Run:
    """Say how a cell is to be run: driven by x, alone if it takes no input, else on its own output.

    Parameters
    ----------
    cell : Cell
    x : Tensor, shape (batch, time, *inputs), or a tree of such, optional
        What drives it.
    state : State, optional
        h_{-1}, of ``cell``.
    steps : int, optional
        How many; all of x if None.
    last : Tensor, shape (batch, outputs), optional
        y_{-1}, for a closed loop.

    Raises
    ------
    ValueError
        If something is missing or does not fit; the message says what to give.
    """
    check_cell(cell)
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ValueError(f"steps must be an int of at least 1, got {steps!r}.")
    if x is None:
        return _alone(cell, state, steps, last)
    if last is not None:
        raise ValueError("last is for a closed loop: with x given the cell is driven by x. Leave one of them out.")
    time = min((leaf.shape[1] for leaf in leaves(x) if leaf.dim() > 1), default=0)
    if steps is not None and steps > time:
        raise ValueError(f"steps={steps}, but x has {time} steps.")
    kind = "conditional" if cell.input_size else "autonomous"
    return Run(cell, map_leaves(lambda leaf: leaf[:, :steps] if leaf.dim() > 1 else leaf, x), state, kind)


def _alone(cell: Cell, state: State | None, steps: int | None, last: Tensor | None) -> Run:
    if cell.input_size and cell.input_size != cell.output_size:
        raise ValueError(
            f"{type(cell).__name__} takes {cell.input_size} input(s) and gives {cell.output_size} output(s), so it "
            f"cannot run on its own output: give x (batch, time, {cell.input_size}) to drive it."
        )
    if steps is None:
        raise ValueError(f"Without x there is nothing to say how long {type(cell).__name__} is to run: give steps=….")
    if cell.input_size:
        loop = ClosedLoop(cell)
        cell, state = loop, loop.start_from(state, last)
    elif last is not None:
        raise ValueError(f"last is for a closed loop, but {type(cell).__name__} takes no input: leave it out.")
    first = next(iter(leaves(cell.initial_state(1) if state is None else state)), torch.zeros(1))
    return Run(cell, first.new_zeros(len(first), steps, 0), state, "autonomous")

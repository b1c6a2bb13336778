"""A cell around another one with the same memory, which changes its input or its output alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqdyn.cell import Block, Cell
from seqdyn.loops import unroll
from seqdyn.state import State


class Wrapper(Cell):
    """A cell around another one, with the same memory.

        o_t, h_t = cell(see(x_t), h_{t-1}),   y_t = read(o_t, x_t)

    A subclass says what the inner cell sees and how its output is read, and gets the step, the fast path and the
    Jacobian for it. Both work on one step as on a whole sequence: on the last axes alone.

    Parameters
    ----------
    cell : Cell
    output_size : int, optional
        Width of y_t, if it is not that of o_t.

    Attributes
    ----------
    steps_alike : bool
        Whether a step is that of the inner cell, which is then all that a figure shows.
    """

    steps_alike = False

    def __init__(self, cell: Cell, output_size: int | None = None):
        super().__init__(cell.input_size, cell.hidden_size, cell.output_size if output_size is None else output_size)
        self.cell = cell
        self.input_shape, self.attends = cell.input_shape, cell.attends
        self.output_shape = cell.output_shape if output_size is None else (output_size,)

    def see(self, x: Any) -> Any:
        """What the inner cell takes, from x (it may be :class:`~seqdyn.cell.Noisy`)."""
        return x

    def read(self, output: Any, x: Any) -> Any:
        """y from the inner cell's output, and x as it came."""
        return output

    def initial_state(self, batch: int) -> State:
        return self.cell.initial_state(batch)

    def primed(self, lead: Any, there: Tensor) -> State:
        return self.cell.primed(self.see(lead), there)

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        output, state = self.cell(self.see(x), state)
        return self.read(output, x), state

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        output, state = unroll(self.cell, self.see(x), state, mask)
        return self.read(output, x), state

    def jacobian(self, x: Any, before: State, output: Any, after: State) -> Any:
        return self.cell.jacobian(self.see(x), before, self.inner_output(x, before, output), after)

    def block(self, x: Any, before: State, output: Any, after: State) -> Any:
        inner = self.cell.block(self.see(x), before, self.inner_output(x, before, output), after)
        return inner if inner is NotImplemented else self.outer_block(inner, output)

    def gates(self, x: Any, before: State, output: Any, after: State) -> dict[str, Tensor]:
        return self.cell.gates(self.see(x), before, self.inner_output(x, before, output), after)

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        return self.cell.noise(batch, time, generator)

    def inner_output(self, x: Any, before: State, output: Any) -> Any:
        """The inner cell's own output o_t at this step."""
        return self.cell(self.see(x), before)[0]

    def outer_block(self, inner: Block, output: Any) -> Any:
        """The derivative of this cell's step from that of the inner one, or ``NotImplemented``."""
        return NotImplemented


def check_row(what: str, cell: Cell, shape: tuple[int, ...] | None) -> None:
    """Raise unless a cell takes or gives one row of numbers a step."""
    if shape is None or len(shape) != 1:
        raise ValueError(
            f"{what} a row of numbers (batch, ·), but for {type(cell).__name__} the shape is {shape}: put a cell of "
            "your own between them."
        )

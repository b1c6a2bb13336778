"""A cell whose input is held is a map of its states: h ↦ f(x*, h), for many rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqdyn.dynamics.derivatives import record_jacobian
from seqdyn.dynamics.trajectory import Trajectory, check_all_finite, check_driving, double
from seqdyn.loops import scan
from seqdyn.state import State, expand, flatten, hold, map_leaves, unflatten
from seqdyn.wrapper import Wrapper

if TYPE_CHECKING:
    from seqdyn.cell import Cell

FIELD_NUMBERS_AT_ONCE = 2**22
"""Entries of Jacobians that are held at a time: 32 MiB."""


class Field:
    """h ↦ f(x*, h) for rows of flattened states, on a float64 copy of the cell; x* is one row, of :func:`held_input`.

    ``like`` is the cell's initial state, one row, ``width`` n, that of the flattened state, and ``name`` is that of the
    cell in messages.
    """

    def __init__(self, cell: Cell, x: Any):
        trajectory = Trajectory(cell, hold(x, 1))  # its copy and its checks
        self.cell, self.like, self.width, self.x = trajectory.cell, trajectory.start, trajectory.width, x
        self.name = cell_name(cell)

    def rows(self, h: Tensor) -> tuple[Any, State]:
        """x* and the states, as the cell takes them."""
        return expand(self.x, len(h)), unflatten(h, self.like)

    @torch.no_grad()
    def gap(self, h: Tensor) -> Tensor:
        """f(x*, h) − h, (m, n)."""
        return flatten(self.cell(*self.rows(h))[1]) - h

    @torch.no_grad()
    def jacobian(self, h: Tensor) -> Tensor:
        """∂f/∂h, (m, n, n)."""
        x, before = self.rows(h)
        found: Tensor = record_jacobian(self.cell)(x, before, *self.cell(x, before))
        return found

    def slope(self, h: Tensor) -> Tensor:
        """∂(f − h)/∂h = J − I, (m, n, n)."""
        return self.jacobian(h) - torch.eye(self.width, dtype=h.dtype)

    @property
    def rows_at_once(self) -> int:
        """How many rows' Jacobians fit together."""
        return max(1, FIELD_NUMBERS_AT_ONCE // self.width**2)

    def chunks(self, h: Tensor) -> Iterator[Tensor]:
        """Rows whose Jacobians fit together."""
        yield from h.split(self.rows_at_once)

    @torch.no_grad()
    def walk(self, x: Any, state: State) -> Tensor:
        """The states along the way, (batch · time, n), those that are finite."""
        record = scan(self.cell, x, state, record=lambda x, before, output, after: flatten(after)).record.flatten(0, 1)
        return record[record.isfinite().all(1) & (record.abs().amax(1) < 1e6)]


def cell_name(cell: Cell) -> str:
    """The name of a cell in messages: its type, or that of the cell inside a wrapper without a state of its own."""
    inner, own = getattr(cell, "cell", None), type(cell).__name__
    if inner is None:
        return own
    return cell_name(inner) if isinstance(cell, Wrapper) else f"{own}({cell_name(inner)})"


def held_input(cell: Cell, x: Any) -> Any:
    """x*, one row, in float64."""
    if x is None:
        return double(map_leaves(lambda leaf: leaf[:, 0], cell.alone(1, 1)))
    shape = cell.input_shape
    if isinstance(x, Tensor) and (shape is None or len(shape) != 1 or x.shape[-1:] != shape or x.dim() not in (1, 3)):
        inputs = ", ".join(map(str, shape)) if shape is not None else "…"
        raise ValueError(
            f"x must be a tensor ({inputs},), the input to hold, or (batch, time, {inputs}), got {tuple(x.shape)}."
        )
    if isinstance(x, Tensor) and x.dim() == 1:
        check_all_finite("x", x, ["feature"])
        return double(x[None])
    check_driving(cell, x)
    return map_leaves(lambda leaf: leaf.mean((0, 1)).unsqueeze(0), double(x))

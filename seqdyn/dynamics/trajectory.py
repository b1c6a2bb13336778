"""Walk a cell along a trajectory in stretches, so that measurements need bounded memory.

    h_t = f(x_t, h_{t-1}),   ∂(y_t, h_t)/∂(x_t, h_{t-1}) = [A_t B_t; C_t D_t],   D_t = J_t

What is measured is a copy in float64, on the CPU, in evaluation mode; the model stays as it is.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Block, Cell
from seqdyn.dynamics.derivatives import record_block, record_jacobian
from seqdyn.loops import Recorder, check_input, scan
from seqdyn.state import State, flatten, leaves, map_leaves, named_leaves

NUMBERS_AT_ONCE = 2**19
"""Entries of Jacobians that are held at a time: 4 MiB, which stays in cache."""


def float64_copy(cell: Cell) -> Cell:
    """Copy a cell to measure it: in float64, on the CPU, in evaluation mode, without gradients of its own.

    Raises
    ------
    TypeError
        If it is no cell; the message names the way to one.
    ValueError
        If it cannot be copied, because it keeps a tensor with a history as an attribute.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> float64_copy(GRU(2, 3)).bias.dtype
    torch.float64
    """
    check_cell(cell)
    own = _copied(cell).to("cpu", torch.float64).eval().requires_grad_(False)
    for part in own.modules():
        if isinstance(part, Cell) and not [*part.parameters(), *part.buffers()]:  # nothing else tells its precision
            part.register_buffer("precision", torch.empty(0, dtype=torch.float64), persistent=False)
    return own


def measured(cell: Cell) -> Cell:
    """The former name of :func:`float64_copy`; it goes in the next release."""
    warnings.warn("measured is now called float64_copy.", FutureWarning, stacklevel=2)
    return float64_copy(cell)


def _copied(cell: Cell) -> Cell:
    """Copy a cell, or raise an error that names what cannot be copied: torch copies no tensor that has a history."""
    try:
        return copy.deepcopy(cell)
    except RuntimeError as error:
        kept = list(_with_history(cell))
        if not kept:
            raise
        raise ValueError(
            f"{type(cell).__name__} keeps {', '.join(kept)}, computed with a history, and cannot be copied: store "
            "value.detach(), or do not keep it. A step is pure: what it remembers is its state."
        ) from error


def _with_history(cell: Cell) -> Iterator[str]:
    """The attributes of a cell and its parts that hold a tensor with a history, as "last" or "layers.0.last"."""
    for part, module in cell.named_modules():
        own = {name: value for name, value in vars(module).items() if name not in ("_parameters", "_modules")}
        for name, value in (own | own.pop("_buffers")).items():
            if any(not leaf.is_leaf for leaf in _tensors(value)):
                yield f"{part}.{name}" if part else name


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in whatever an attribute holds, so far as it is made of containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def check_cell(cell: Any) -> None:
    """Raise unless it is a cell, and say how to make one."""
    if isinstance(cell, Cell):
        return
    way = "the one inside a fitted estimator is est.cell_" if hasattr(cell, "get_params") else "write one in ten lines"
    if isinstance(cell, torch.nn.Module):
        way = "seqdyn.from_torch makes one of torch's own RNN, LSTM or GRU"
    raise TypeError(f"Instruments take a seqdyn.Cell, got {type(cell).__name__}: {way}.")


def check_driving(cell: Cell, x: Any) -> tuple[int, int]:
    """Check the shape, kind and numbers of what drives a cell, and give its sizes of batch and time."""
    batch, time = check_input(cell, x)
    if isinstance(x, Tensor) and not x.is_floating_point() and cell.input_shape != ():
        raise ValueError(
            f"x has dtype {x.dtype}, expected floating point: give x.double(). Indices, which are no quantities, may "
            "stand in a tree."
        )
    if not batch:
        raise ValueError(f"x has shape {tuple(leaves(x)[0].shape)}, expected at least one sequence: there is none.")
    for name, leaf in named_leaves(x, "x"):
        check_all_finite(name, leaf, ("sequence", "step", *["feature"] * (leaf.dim() - 2)))
    return batch, time


def check_all_finite(name: str, leaf: Tensor, axes: Sequence[str]) -> None:
    """Raise if a number is NaN or infinite, and say where the first one stands."""
    bad = ~leaf.isfinite()
    if bad.any():
        first = bad.nonzero()[0].tolist()
        where = ", ".join(f"{axis} {place}" for axis, place in zip(axes, first, strict=True))
        raise ValueError(
            f"{name} holds {leaf[tuple(first)].item()} at {where}, expected finite numbers ({int(bad.sum())} of "
            f"{bad.numel()} are not): fill the gaps, or leave these steps out."
        )


class Stretch(NamedTuple):
    """Some steps of a trajectory from the number ``start`` on: x_t, h_{t-1}, y_t and h_t, leaves (batch, steps, …)."""

    cell: Cell
    start: int
    x: Any
    before: State
    output: Any
    after: State

    @property
    def stop(self) -> int:
        """The number of the step after its last one."""
        return self.start + leaves(self.after)[0].shape[1]

    def states(self) -> Tensor:
        """h_t, flattened: (batch, steps, n)."""
        return flatten(rows_of(self.after)).unflatten(0, leaves(self.after)[0].shape[:2])

    def jacobians(self) -> Tensor:
        """J_t = ∂h_t/∂h_{t-1}, (batch, steps, n, n)."""
        found: Tensor = self.recorded(record_jacobian(self.cell))
        return found

    def blocks(self) -> Block:
        """[A_t B_t; C_t D_t], each (batch, steps, ·, ·)."""
        found: Block = self.recorded(record_block(self.cell))
        return found

    @torch.no_grad()
    def recorded(self, record: Recorder) -> Any:
        """What a recorder says of every step, leaves (batch, steps, …).

        A step is pure, so that steps are as good as rows of a batch: all are recorded at once.
        """
        batch, steps = leaves(self.after)[0].shape[:2]
        found = record(*map(rows_of, (self.x, self.before, self.output, self.after)))
        return map_leaves(lambda rows: rows.reshape(batch, steps, *rows.shape[1:]), found)


class Trajectory:
    """A cell driven by x, walked through forward or backward, stretch by stretch.

    Parameters
    ----------
    cell : Cell
        It stays as it is; see :func:`float64_copy`.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None.
    numbers : int, optional
        About how many numbers the Jacobians of a stretch may be; ``NUMBERS_AT_ONCE`` if None.

    Attributes
    ----------
    cell : Cell
        The copy that is measured.
    batch, time, width : int
        Sequences, steps, and n, the width of the flattened state.

    Raises
    ------
    ValueError
        If the input or the state does not fit the cell, the input is empty, not floating point or not finite, or the
        cell has no memory. States that do not stay finite are no error but a finding.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.gru import GRU
    >>> walk = Trajectory(GRU(2, 3), torch.zeros(4, 10, 2))
    >>> walk.batch, walk.time, walk.width
    (4, 10, 3)
    """

    def __init__(self, cell: Cell, x: Any, state: State | None = None, *, numbers: int | None = None):
        self.cell = float64_copy(cell)
        self.x = x
        self.batch, self.time = check_driving(cell, x)
        first = double(map_leaves(lambda leaf: leaf[:, :1], x))
        if state is not None:
            list(named_leaves(state, "state"))  # its check: a tree of tensors
        start = None if state is None else double(state)
        with torch.no_grad():
            scan(self.cell, first, start)  # its checks
            self.start = self.cell.initial_state(self.batch) if start is None else start
        self.width = sum(leaf[0].numel() for leaf in leaves(self.start))
        if not self.width:
            raise ValueError(f"{type(cell).__name__} has no memory: there is no h_{{t-1}} to differentiate by.")
        for name, leaf in named_leaves(self.start, "state"):
            if not leaf.is_floating_point():
                raise ValueError(
                    f"{name} holds {leaf.dtype}: h_t has no derivative by it. Give it as an input instead."
                )
        self.steps = max(1, min(self.time, (numbers or NUMBERS_AT_ONCE) // (self.batch * self.width**2)))
        self._borders: list[State] = []

    def forward(self) -> Iterator[Stretch]:
        """From the first stretch to the last."""
        state = self.start
        for index, begin in enumerate(range(0, self.time, self.steps)):
            if index == len(self._borders):
                self._borders.append(state)
            stretch = self._stretch(begin, state)
            state = map_leaves(lambda leaf: leaf[:, -1].clone(), stretch.after)
            yield stretch

    def backward(self) -> Iterator[Stretch]:
        """From the last stretch to the first; of what lies before them only the states between them are kept."""
        if len(self._borders) * self.steps < self.time:
            for _ in self.forward():
                pass
        for index in reversed(range(len(self._borders))):
            yield self._stretch(index * self.steps, self._borders[index])

    @torch.no_grad()
    def _stretch(self, begin: int, state: State) -> Stretch:
        x = double(map_leaves(lambda leaf: leaf[:, begin : begin + self.steps], self.x))
        run = scan(self.cell, x, state, record=lambda x, before, output, after: after)
        output, after = run.output, run.record
        before = map_leaves(lambda first, rest: torch.cat([first.unsqueeze(1), rest[:, :-1]], 1), state, after)
        return Stretch(self.cell, begin, x, before, output, after)


def jacobians(cell: Cell, x: Any, state: State | None = None) -> Tensor:
    """The Jacobians along a driven trajectory, J_t = ∂h_t/∂h_{t-1}, all of them at once.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None.

    Returns
    -------
    Tensor, shape (batch, time, n, n)
        In float64, over the flattened state: an LSTM's is (h, c), a stack's that of one layer after the other.

    Raises
    ------
    ValueError
        If input or state do not fit the cell, or the cell has no memory.

    Notes
    -----
    They take 8 · batch · time · n² bytes. The other instruments never hold them all;
    :class:`Trajectory` hands them out stretch by stretch.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.lstm import LSTM
    >>> jacobians(LSTM(2, 3), torch.zeros(1, 5, 2)).shape
    torch.Size([1, 5, 6, 6])
    """
    return torch.cat([stretch.jacobians() for stretch in Trajectory(cell, x, state).forward()], 1)


def input_jacobians(cell: Cell, x: Tensor, state: State | None = None) -> Tensor:
    """How the input moves the state along a driven trajectory, C_t = ∂h_t/∂x_t.

    Parameters
    ----------
    cell : Cell
        Takes and gives one row of numbers a step; it is not changed.
    x : Tensor, shape (batch, time, inputs)
    state : State, optional
        h_{-1}; the cell's initial state if None.

    Returns
    -------
    Tensor, shape (batch, time, n, inputs)

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.gru import GRU
    >>> input_jacobians(GRU(2, 3), torch.zeros(1, 5, 2)).shape
    torch.Size([1, 5, 3, 2])
    """
    return torch.cat([stretch.blocks().input_map for stretch in Trajectory(cell, x, state).forward()], 1)


def double(tree: Any) -> Any:
    """The same tree, its floating-point leaves in float64 and all of it on the CPU, without history."""
    return map_leaves(
        lambda leaf: leaf.detach().to("cpu", torch.float64 if leaf.is_floating_point() else leaf.dtype), tree
    )


def rows_of(tree: Any) -> Any:
    """(batch, steps, …) as rows of one batch."""
    return map_leaves(lambda leaf: leaf.flatten(0, 1), tree)

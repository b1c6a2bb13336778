"""Derivatives of one step, recorded along a scan: J_t = ∂h_t/∂h_{t-1}, and the whole block matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqdyn.cell import Block
from seqdyn.scan import Record
from seqdyn.state import State, flatten, leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell


def jacobian(cell: Cell) -> Record:
    """A recorder of J_t = ∂h_t/∂h_{t-1}, (batch, n, n) a step over the flattened state.

    The cell's closed form is used where it has one, else reverse-mode differentiation of the written step.

    Parameters
    ----------
    cell : Cell

    Returns
    -------
    callable
        For ``scan(…, record=jacobian(cell))``; the record is ``(batch, time, n, n)``.

    Notes
    -----
    P_{s,t} = ∂h_t/∂h_s = J_t J_{t-1} … J_{s+1}: t − s factors, the newest on the left.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks, eq. (5).

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.scan import scan
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> scan(average, torch.zeros(1, 3, 1), record=jacobian(average)).record.flatten()
    tensor([0.5000, 0.5000, 0.5000])
    """

    def record(x: Any, before: State, output: Any, after: State) -> Tensor:
        closed = cell.jacobian(x, before, output, after)
        return autodiff_jacobian(cell, x, before) if closed is NotImplemented else closed

    return record


def block(cell: Cell) -> Record:
    """A recorder of ∂(y_t, h_t)/∂(x_t, h_{t-1}) = [A_t B_t; C_t D_t], a :class:`~seqdyn.cell.Block` a step.

    Parameters
    ----------
    cell : Cell
        Takes and gives one row of numbers a step.

    Returns
    -------
    callable
        For ``scan(…, record=block(cell))``; the record is a Block with leaves ``(batch, time, ·, ·)``.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.scan import scan
    >>> average = ExponentialMovingAverage(1, gamma=0.75)
    >>> scan(average, torch.zeros(1, 1, 1), record=block(average)).record.input_map
    tensor([[[[0.2500]]]])
    """

    def record(x: Any, before: State, output: Any, after: State) -> Block:
        closed = cell.block(x, before, output, after)
        return autodiff_block(cell, x, before) if closed is NotImplemented else closed

    return record


def autodiff_block(cell: Cell, x: Tensor, before: State) -> Block:
    """[A B; C D] by reverse-mode differentiation of the written step, for any cell of one input and one output."""
    if not isinstance(x, Tensor) or x.dim() != 2:
        raise ValueError(f"{type(cell).__name__} does not take one row of numbers (batch, inputs) a step.")
    inputs = x.shape[1]
    here = _vector(before, x)

    def step(joined: Tensor) -> Tensor:
        output, after = cell(joined[:, :inputs], unflatten(joined[:, inputs:], before))
        if not isinstance(output, Tensor) or output.dim() != 2:
            raise ValueError(f"{type(cell).__name__} does not give one row of numbers (batch, outputs) a step.")
        return torch.cat([output, _vector(after, x)], 1).sum(0)

    slopes = torch.func.jacrev(step)(torch.cat([x, here], 1)).transpose(0, 1)
    outputs = slopes.shape[1] - here.shape[1]
    above, below = slopes[:, :outputs], slopes[:, outputs:]
    return Block(above[..., :inputs], above[..., inputs:], below[..., :inputs], below[..., inputs:])


def _vector(state: State, like: Tensor) -> Tensor:
    """The flattened state, of width 0 where there is none."""
    return flatten(state) if leaves(state) else like.new_zeros(len(like), 0)


def autodiff_jacobian(cell: Cell, x: Any, before: State) -> Tensor:
    """J_t by reverse-mode differentiation of the written step, for any cell.

    Rows of a batch do not talk to each other, so the derivative of the sum over the batch holds every row's own.
    """

    def step(vector: Tensor) -> Tensor:
        _, after = cell(x, unflatten(vector, before))
        return flatten(after).sum(0)

    vector = flatten(before)
    if not vector.numel():  # no memory
        return vector.new_zeros(len(vector), 0, 0)
    return torch.func.jacrev(step)(vector).transpose(0, 1)

"""State Jacobians of one step, J_t = ∂h_t/∂h_{t-1}, recorded along a scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqdyn.scan import Record
from seqdyn.state import State, flatten, unflatten

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

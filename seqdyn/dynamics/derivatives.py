"""Derivatives of one step, recorded along a scan: J_t = ∂h_t/∂h_{t-1}, and the whole block matrix."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqdyn.cell import Block, apart, noisy
from seqdyn.loops import Recorder
from seqdyn.state import State, flatten, leaves, map_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell


def record_jacobian(cell: Cell) -> Recorder:
    """A recorder of J_t = ∂h_t/∂h_{t-1}, (batch, n, n) a step over the flattened state.

    The cell's closed form is used where it has one, else reverse-mode differentiation of the written step.

    Parameters
    ----------
    cell : Cell

    Returns
    -------
    callable
        For ``scan(…, record=record_jacobian(cell))``; the record is ``(batch, time, n, n)``.

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
    >>> from seqdyn.loops import scan
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> scan(average, torch.zeros(1, 3, 1), record=record_jacobian(average)).record.flatten()
    tensor([0.5000, 0.5000, 0.5000])
    """

    def record(x: Any, before: State, output: Any, after: State) -> Tensor:
        closed = cell.jacobian(x, before, output, after)
        return autodiff_jacobian(cell, x, before) if closed is NotImplemented else closed

    return record


def record_block(cell: Cell) -> Recorder:
    """A recorder of ∂(y_t, h_t)/∂(x_t, h_{t-1}) = [A_t B_t; C_t D_t], a :class:`~seqdyn.cell.Block` a step.

    Parameters
    ----------
    cell : Cell
        Of pictures and trees, inputs and outputs are flattened leaf after leaf.

    Returns
    -------
    callable
        For ``scan(…, record=record_block(cell))``; the record is a Block with leaves ``(batch, time, ·, ·)``.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.loops import scan
    >>> average = ExponentialMovingAverage(1, gamma=0.75)
    >>> scan(average, torch.zeros(1, 1, 1), record=record_block(average)).record.input_map
    tensor([[[[0.2500]]]])
    """

    def record(x: Any, before: State, output: Any, after: State) -> Block:
        closed = cell.block(x, before, output, after)
        return autodiff_block(cell, x, before) if closed is NotImplemented else closed

    return record


def jacobian(cell: Cell) -> Recorder:
    """The former name of :func:`record_jacobian`; it goes in the next release."""
    warnings.warn("jacobian is now called record_jacobian.", FutureWarning, stacklevel=2)
    return record_jacobian(cell)


def block(cell: Cell) -> Recorder:
    """The former name of :func:`record_block`; it goes in the next release."""
    warnings.warn("block is now called record_block.", FutureWarning, stacklevel=2)
    return record_block(cell)


def autodiff_block(cell: Cell, x: Any, before: State) -> Block:
    """[A B; C D] by reverse-mode differentiation of the written step, for any cell.

    Inputs and outputs are flattened leaf after leaf, as the state is; whole numbers and what is drawn are held.
    """
    value, noise = apart(x)
    free = [leaf for leaf in leaves(value) if leaf.is_floating_point()]
    like = next(iter([*leaves(before), *free]), torch.zeros(len(leaves(value)[0])))
    seen, here = _flat_vector(free, like), _flat_vector(before, like)
    inputs = seen.shape[1]

    def step(joined: Tensor) -> Tensor:
        pieces = iter(unflatten(joined[:, :inputs], free))
        moved = map_leaves(lambda leaf: next(pieces) if leaf.is_floating_point() else leaf, value)
        output, after = cell(noisy(moved, noise), unflatten(joined[:, inputs:], before))
        return torch.cat([flatten(output), _flat_vector(after, like)], 1).sum(0)

    slopes = torch.func.jacrev(step)(torch.cat([seen, here], 1)).transpose(0, 1)
    outputs = slopes.shape[1] - here.shape[1]
    above, below = slopes[:, :outputs], slopes[:, outputs:]
    return Block(above[..., :inputs], above[..., inputs:], below[..., :inputs], below[..., inputs:])


def _flat_vector(tree: Any, like: Tensor) -> Tensor:
    """A flattened tree, of width 0 where there is nothing in it."""
    return flatten(tree) if leaves(tree) else like.new_zeros(len(like), 0)


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

"""Linearise any cell about a point or along a trajectory.

y_t ≈ y* + A (x_t − x*) + B (h_{t-1} − h*)          A = ∂y/∂x, B = ∂y/∂h
h_t ≈ f(x*, h*) + C (x_t − x*) + D (h_{t-1} − h*)   C = ∂f/∂x, D = ∂f/∂h
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.cell import Block
from seqdyn.dynamics.derivatives import autodiff_jacobian, record_block
from seqdyn.dynamics.trajectory import float64_copy
from seqdyn.identification.system import LinearSystem
from seqdyn.loops import scan
from seqdyn.state import State, flatten, hold, leaves, map_leaves, named_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell


STEPS_BETWEEN_LOOKS, MOST_LOOKS = 500, 20
"""Steps run at a time while the state settles, and how often at most."""

NEARLY_AT_REST = 1e-3
"""Change a step, relative to the state, from which Newton's method takes over."""

DERIVATIVES_AT_ONCE = 2**22
"""Derivatives that are computed in one go."""


def linearised_at(cell: Cell, x: Any, state: State | None = None, dt: float = 1.0) -> LinearSystem:
    """Linearise a cell about an operating point (x*, h*).

    Parameters
    ----------
    cell : Cell
        It stays as it is: what is measured is a copy in float64, on the CPU and in evaluation mode.
    x : array-like, shape (inputs,)
        x*, in the units of the cell.
    state : State, optional
        h*, one row; it need not be a point of rest. If None the point of rest that the cell reaches from its initial
        state when x* is held.
    dt : float
        Time between two steps.

    Returns
    -------
    LinearSystem
        Between x and y, the offsets such that it gives exactly y* and f(x*, h*) at (x*, h*). Its state is the cell's,
        leaf after leaf (an LSTM's is [h; c]); :meth:`~seqdyn.identification.analysis.Analysis.steady_state` of x*
        is h* where that is a point of rest.

    Raises
    ------
    ValueError
        If the state does not settle, or the cell does not take and give one row of numbers a step.

    References
    ----------
    Sussillo & Barak (2013), Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural
    networks, Neural Computation 25.

    Examples
    --------
    An Elman cell with h_t = tanh(x_t + 0.5 h_{t-1}) at rest:

    >>> import torch
    >>> from seqdyn.cells.elman import Elman
    >>> cell = Elman(1, 1)
    >>> for name, weight in cell.named_parameters():
    ...     _ = torch.nn.init.constant_(weight, {"input_weight": 1.0, "recurrent_weight": 0.5, "bias": 0.0}[name])
    >>> linearised_at(cell, [0.0]).transition
    array([[0.5]])
    """
    own = _of_rows(cell)
    point = _checked_input(own, x)
    before = _settled(own, point) if state is None else _own_state(own, state)
    return _systems(own, point, before, dt)[0]


def linearised_along(cell: Cell, x: Any, state: State | None = None, dt: float = 1.0) -> list[LinearSystem]:
    """Linearise a cell at every step of a trajectory, about (x_t, h_{t-1}).

    Parameters
    ----------
    cell : Cell
        It stays as it is, see :func:`linearised_at`.
    x : array-like, shape (time, inputs)
        In the units of the cell.
    state : State, optional
        h_{-1}, one row; the cell's initial state if None.
    dt : float
        Time between two steps.

    Returns
    -------
    list of LinearSystem
        One a step: a system that changes in time. Run one after the other they give the trajectory itself, and to
        first order every one near it.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn.cells.gru import GRU
    >>> len(linearised_along(GRU(2, 3), np.zeros((5, 2))))
    5
    """
    own = _of_rows(cell)
    rows = torch.as_tensor(np.asarray(x, dtype=np.float64))
    if rows.dim() != 2 or rows.shape[1] != own.input_size or not len(rows) or not bool(rows.isfinite().all()):
        raise ValueError(f"x has shape {tuple(rows.shape)}, expected (time, {own.input_size}), all of it finite.")
    start = own.initial_state(1) if state is None else _own_state(own, state)
    with torch.no_grad():
        kept = scan(own, rows[None], start, record=lambda x, before, output, after: before).record
    return _systems(own, rows, map_leaves(lambda leaf: leaf[0], kept), dt)


# --- the copy that is measured, its input and its state ---------------------------------------------------------------


def _of_rows(cell: Cell) -> Cell:
    """The copy that is measured of a cell between rows of numbers: a system has no other inputs and outputs."""
    for name, shape in (("input_shape", cell.input_shape), ("output_shape", cell.output_shape)):
        if shape is not None and len(shape) > 1:
            raise ValueError(f"{type(cell).__name__} has {name}={shape}: a system is between rows of numbers.")
    return float64_copy(cell)


def _checked_input(cell: Cell, x: Any) -> Tensor:
    point = torch.as_tensor(np.asarray(x, dtype=np.float64))
    if tuple(point.shape) != (cell.input_size,) or not bool(point.isfinite().all()):
        raise ValueError(
            f"x is {np.array2string(point.numpy(), threshold=5)} of shape {tuple(point.shape)}, expected "
            f"({cell.input_size},): one finite number for each input of the cell."
        )
    return point[None]


def _own_state(cell: Cell, state: State) -> State:
    """A given state, if it has the leaves of the cell's own, in float64."""
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(cell.initial_state(1))}
    given = {name: tuple(leaf.shape) for name, leaf in named_leaves(state)}
    if given != expected:
        raise ValueError(f"state has the leaves {given}, but the cell needs {expected}: one row.")
    return map_leaves(lambda leaf: leaf.detach().to("cpu", torch.float64), state)


# --- the point of rest ------------------------------------------------------------------------------------------------


@torch.no_grad()
def _settled(cell: Cell, x: Tensor) -> State:
    """Find the state of rest while x is held: run until it hardly moves, then apply Newton's method."""
    state = cell.initial_state(1)
    if not leaves(state) or not flatten(state).numel():
        return state
    for _ in range(MOST_LOOKS):
        change = _unrest(cell, x, state)
        if change <= 1e-3 * NEARLY_AT_REST or not np.isfinite(change):
            break
        state = scan(cell, hold(x, STEPS_BETWEEN_LOOKS), state).state
    change = _unrest(cell, x, state)
    if not change <= NEARLY_AT_REST:
        raise _restless(x, f"still changes by {change:.2g} of its size a step")
    if change <= 1e-15:
        return state
    polished = _newton_at_rest(cell, x, state)
    if _unrest(cell, x, polished) > 1e-10:
        raise _restless(x, "comes to no point at which it stays")
    radius = float(np.abs(np.linalg.eigvals(autodiff_jacobian(cell, x, polished)[0].numpy())).max())
    if radius > 1 + 1e-9:
        raise _restless(x, f"does not stay at its only near point of rest (spectral radius {radius:.6g})")
    return polished


def _restless(x: Tensor, what: str) -> ValueError:
    held = np.array2string(x[0].numpy(), precision=4, threshold=5)
    return ValueError(
        f"With x held at {held} (in the units of the cell) the state does not settle: after "
        f"{STEPS_BETWEEN_LOOKS * MOST_LOOKS} steps or fewer it {what}. It oscillates, drifts or grows. "
        "Give the state to linearise about: state=…, such as the one a run returned."
    )


def _newton_at_rest(cell: Cell, x: Tensor, state: State) -> State:
    """Newton's method on f(x, h) − h = 0; a step that does not help is halved."""
    for _ in range(50):
        here = flatten(state)
        gap, size = _next_state(cell, x, state) - here, _unrest(cell, x, state)
        if size <= 1e-15:
            break
        slope = autodiff_jacobian(cell, x, state)[0] - torch.eye(here.shape[1], dtype=here.dtype)
        step = -torch.linalg.lstsq(slope, gap.T, driver="gelsd").solution.T
        tried = (unflatten(here + step * 0.5**halvings, state) for halvings in range(30))
        better = next((other for other in tried if _unrest(cell, x, other) < size), None)
        if better is None:
            break
        state = better
    return state


def _next_state(cell: Cell, x: Tensor, state: State) -> Tensor:
    """f(x, h), flat."""
    return flatten(cell(x, state)[1])


def _unrest(cell: Cell, x: Tensor, state: State) -> float:
    """How far one step moves the state, relative to 1 + its size."""
    here = flatten(state)
    return float((_next_state(cell, x, state) - here).abs().max() / (1 + here.abs().max()))


# --- the derivatives --------------------------------------------------------------------------------------------------


@torch.no_grad()
def _systems(cell: Cell, x: Tensor, before: State, dt: float) -> list[LinearSystem]:
    """One system a row of x (rows, inputs) and of the state (rows, …)."""
    states = sum(leaf[0].numel() for leaf in leaves(before))
    at_once = max(1, DERIVATIVES_AT_ONCE // (1 + (x.shape[1] + states) * (states + cell.output_size)))
    systems = []
    for start in range(0, len(x), at_once):
        here, state = map_leaves(lambda leaf: leaf[start : start + at_once], (x, before))  # noqa: B023
        output, after = cell(here, state)
        slopes = record_block(cell)(here, state, output, after)
        points = (here, _flat(state, here), output, _flat(after, here))
        systems += [_system(Block(*row[:4]), row[4:], dt) for row in zip(*slopes, *points, strict=True)]
    return systems


def _flat(state: State, like: Tensor) -> Tensor:
    return flatten(state) if leaves(state) else like.new_zeros(len(like), 0)


def _system(slope: Block, point: Sequence[Tensor], dt: float) -> LinearSystem:
    """The tangent at one point (x*, h*, y, h), from the derivative of [y; h] by [x, h] there."""
    x, before, output, after = point
    output_rest = output - slope.feedthrough @ x - slope.readout @ before
    state_rest = after - slope.input_map @ x - slope.transition @ before
    A, B, C, D, y, h = (part.numpy() for part in (*slope, output_rest, state_rest))
    return LinearSystem(A, B, C, D, y, h, dt=dt)

"""Scan and rollout: the only loops over time.

    y_t, h_t = f(x_t, h_{t-1})        t = 0, 1, …

:func:`scan` drives a cell with a given input (open loop), :func:`rollout` with its own output (closed loop).
Order inside a step: reset → force → forward → mask.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.state import State, leaves, map_leaves, named_leaves, select, stack

if TYPE_CHECKING:
    from seqdyn.cell import Cell

Force = Callable[[int, State], State]
Record = Callable[[Any, State, Any, State], Any]


class Scan(NamedTuple):
    """What a pass through time returns, always.

    Attributes
    ----------
    output : tree, leaves (batch, time, *outputs)
    state : State
        After each row's last valid step.
    record : tree, leaves (batch, time, …), or None
        What ``record`` returned at every step.
    """

    output: Any
    state: State
    record: Any = None


def scan(
    cell: Cell,
    x: Any,
    state: State | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    force: Force | None = None,
    record: Record | None = None,
    reverse: bool = False,
) -> Scan:
    """Run a cell along a sequence: y_t, h_t = f(x_t, h_{t-1}).

    Parameters
    ----------
    cell : Cell
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; ``cell.initial_state(batch)`` if None.
    mask : Tensor of bool, shape (batch, time), optional
        False marks a step that is not there: the state is held, and its reset and force do not happen. Outputs
        at such steps are finite and mean nothing.
    reset : Tensor of bool, shape (batch, time), optional
        True starts again from ``cell.initial_state`` before this step.
    force : callable, optional
        ``force(t, state) -> state`` clamps or nudges the state before step t; t counts from this call.
    record : callable, optional
        ``record(x_t, before, output, after) -> tree`` says what to keep of every step.
    reverse : bool
        Walk from the last step to the first.

    Returns
    -------
    Scan
        Always ``(output, state, record)``.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit the cell; the message says which.

    Notes
    -----
    Without ``force`` and ``record`` the cell's fast path ``unroll`` is used where it has one. A kernel that knows
    no masks or resets is run on the stretches of time between them.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> scan(average, torch.ones(1, 3, 1)).output.squeeze()
    tensor([0.5000, 0.7500, 0.8750])
    """
    batch, time = check_input(cell, x)
    _check_marks("mask", mask, batch, time)
    _check_marks("reset", reset, batch, time)
    own = cell.initial_state(batch)
    state = own if state is None else _check_state(cell, state, own)
    _check_dtype(cell, x, state)
    if reverse:
        backward = scan(cell, _flip(x), state, mask=_flip(mask), reset=_flip(reset), force=force, record=record)
        return Scan(_flip(backward.output), backward.state, _flip(backward.record))
    if force is None and record is None:
        fast = _unroll(cell, x, state, mask, reset)
        if fast is not NotImplemented:
            return Scan(*fast)
    return _loop(cell, x, state, mask, reset, force, record)


def unroll(cell: Cell, x: Any, state: State, mask: Tensor | None = None) -> tuple[Any, State]:
    """What :func:`scan` does between its checks, for composite cells: the fast path, or else the loop."""
    fast = _unroll(cell, x, state, mask, None)
    return fast if fast is not NotImplemented else _loop(cell, x, state, mask, None, None, None)[:2]


def rollout(
    cell: Cell,
    state: State,
    steps: int,
    *,
    last: Any,
    feed: Callable[[Any, Any], Any],
    exogenous: Any = None,
    force: Force | None = None,
) -> Scan:
    """Run a cell on its own output: x_t = feed(y_{t-1}, exogenous_t).

    Parameters
    ----------
    cell : Cell
    state : State
        Where to start, e.g. ``scan(cell, past).state``.
    steps : int
        How many steps to take, at least 1.
    last : Tensor, shape (batch, *outputs)
        y_{-1}: the previous *output*.
    feed : callable
        ``feed(y, exogenous_t) -> x`` makes the next input; ``exogenous_t`` is None if there is none.
    exogenous : Tensor, shape (batch, steps, *features), or a tree of such, optional
        What is known of the future; exactly ``steps`` rows.
    force : callable, optional
        As in :func:`scan`.

    Returns
    -------
    Scan
        ``output`` is ``(batch, steps, *outputs)``, ``record`` is None.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> start = average.initial_state(1)
    >>> rollout(average, start, 3, last=torch.ones(1, 1), feed=lambda y, _: y).output.squeeze()
    tensor([0.5000, 0.5000, 0.5000])
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    batch = len(leaves(last)[0])
    _check_state(cell, state, cell.initial_state(batch))
    known = exogenous if exogenous is not None else leaves(last)[0].new_zeros(batch, steps, 0)
    for name, leaf in named_leaves(known):
        if tuple(leaf.shape[:2]) != (batch, steps):
            raise ValueError(
                f"exogenous{'.' + name if name else ''} has shape {tuple(leaf.shape)}: {leaf.shape[1]} rows in time "
                f"for {leaf.shape[0]} series, expected exactly steps={steps} for {batch}, one row for every step ahead."
            )
    closed = _ClosedLoop(cell, feed, known=exogenous is not None)
    steer = None if force is None else lambda t, loop: _Loop(force(t, loop.state), loop.last)
    result = _loop(closed, known, _Loop(state, last), None, None, steer, None)
    return Scan(result.output, result.state.state)


def hold(value: Tensor, time: int) -> Tensor:
    """Make a constant an input that does not change: (batch, …) → (batch, time, …), without copying.

    Examples
    --------
    >>> import torch
    >>> hold(torch.zeros(2, 3), 5).shape
    torch.Size([2, 5, 3])
    """
    return value.unsqueeze(1).expand(len(value), time, *value.shape[1:])


class _Loop(NamedTuple):
    state: State
    last: Any


class _ClosedLoop:
    """The cell whose state includes its last output, which it feeds to itself."""

    def __init__(self, cell: Cell, feed: Callable[[Any, Any], Any], known: bool):
        self.cell, self.feed, self.known = cell, feed, known

    def __call__(self, x: Any, loop: _Loop) -> tuple[Any, _Loop]:
        output, state = self.cell(self.feed(loop.last, x if self.known else None), loop.state)
        return output, _Loop(state, output)


def _loop(
    cell: Any,
    x: Any,
    state: State,
    mask: Tensor | None,
    reset: Tensor | None,
    force: Force | None,
    record: Record | None,
) -> Scan:
    """The written step, repeated: this is the definition of a scan."""
    initial = None if reset is None else cell.initial_state(len(reset))
    outputs, records = [], []
    for t, x_t in enumerate(_steps(x)):
        before = state
        if reset is not None:
            before = select(reset[:, t], initial, before)
        if force is not None:
            before = _forced(force, t, before)
        output, after = cell(x_t, before)
        state = after if mask is None else select(mask[:, t], after, state)
        outputs.append(output)
        if record is not None:
            records.append(record(x_t, before, output, after))
    return Scan(stack(outputs), state, stack(records) if record is not None else None)


def _forced(force: Force, t: int, state: State) -> State:
    forced = force(t, state)
    if forced is None:
        raise TypeError("force(t, state) returned None: it must return the state, changed or not.")
    return forced


def _unroll(cell: Cell, x: Any, state: State, mask: Tensor | None, reset: Tensor | None) -> Any:
    """The cell's kernel over the whole time axis, or over stretches in which no row starts, ends or is reset."""
    if reset is None:
        whole = cell.unroll(x, state, mask)
        if mask is None or whole is not NotImplemented:
            return whole
    cuts = _cuts(mask, reset, leaves(x)[0].shape[1])
    if 4 * (len(cuts) - 1) > cuts[-1] > 4:  # stretches this short are no faster than the loop
        return NotImplemented
    initial = None if reset is None else cell.initial_state(len(reset))
    outputs = []
    for start, stop in pairwise(cuts):
        present = None if mask is None else mask[:, start]
        if reset is not None:
            fresh = reset[:, start] if present is None else reset[:, start] & present
            state = select(fresh, initial, state)
        piece = _stretch(cell, map_leaves(lambda leaf: leaf[:, start:stop], x), state, present)  # noqa: B023
        if piece is NotImplemented:
            return NotImplemented
        output, state = piece
        outputs.append(output)
    return map_leaves(lambda *pieces: torch.cat(pieces, dim=1), *outputs), state


def _stretch(cell: Cell, x: Any, state: State, present: Tensor | None) -> Any:
    """Run the kernel on the rows that are present; the others hold their state."""
    if present is None or bool(present.all()):
        return cell.unroll(x, state, None)
    rows = present.nonzero().flatten()
    if not len(rows):  # nobody is there: run anyway, so that the outputs have their shape, and keep the state
        nobody = cell.unroll(x, state, None)
        return nobody if nobody is NotImplemented else (nobody[0], state)
    piece = cell.unroll(map_leaves(lambda leaf: leaf[rows], x), map_leaves(lambda leaf: leaf[rows], state), None)
    if piece is NotImplemented:
        return NotImplemented
    output, after = piece
    state = map_leaves(lambda old, new: old.index_copy(0, rows, new), state, after)
    spread = map_leaves(lambda leaf: leaf.new_zeros(len(present), *leaf.shape[1:]).index_copy(0, rows, leaf), output)
    return spread, state


def _cuts(mask: Tensor | None, reset: Tensor | None, time: int) -> list[int]:
    """The instants at which some row starts, ends or is reset, with 0 and ``time`` at the ends."""
    if mask is not None:
        change = torch.nn.functional.pad((mask[:, 1:] != mask[:, :-1]).any(0), (1, 0))
    else:
        change = torch.zeros(time, dtype=torch.bool)
    if reset is not None:
        change = change | (reset if mask is None else reset & mask).any(0).to(change.device)
    inner = [t for t in change.nonzero().flatten().tolist() if t > 0]
    return [0, *inner, time]


def _steps(x: Any) -> Iterator[Any]:
    """The inputs of one step after the other."""
    if isinstance(x, Tensor):
        yield from x.unbind(1)
        return
    columns = map_leaves(lambda leaf: leaf.movedim(1, 0), x)
    for t in range(leaves(x)[0].shape[1]):
        yield map_leaves(lambda leaf: leaf[t], columns)  # noqa: B023


def _flip(tree: Any) -> Any:
    return map_leaves(lambda leaf: leaf.flip(1), tree)


def check_input(cell: Cell, x: Any) -> tuple[int, int]:
    """The extents of batch and time, after the shapes have been found to fit."""
    try:
        found = list(named_leaves(x, "x"))
    except TypeError:
        found = []
    if not found:
        raise TypeError(f"x must be a tensor (batch, time, *inputs) or a tree of such, got {type(x).__name__}.")
    for name, leaf in found:
        if leaf.dim() < 2 or leaf.shape[1] == 0:
            raise ValueError(
                f"{name} has shape {tuple(leaf.shape)}, expected (batch, time, *inputs) with at least one step."
            )
        if leaf.shape[:2] != found[0][1].shape[:2]:
            raise ValueError(
                f"{name} has shape {tuple(leaf.shape)}, but {found[0][0]} has {tuple(found[0][1].shape)}: all "
                "inputs need the same (batch, time). Constants become inputs with hold(value, time)."
            )
    size = getattr(cell, "input_size", None)
    first = found[0][1]
    if size is not None and isinstance(x, Tensor) and (first.dim() != 3 or first.shape[2] != size):
        raise ValueError(f"x has shape {tuple(first.shape)}, but {type(cell).__name__} expects (batch, time, {size}).")
    return first.shape[0], first.shape[1]


def _check_marks(name: str, marks: Tensor | None, batch: int, time: int) -> None:
    if marks is None:
        return
    if not isinstance(marks, Tensor):
        raise TypeError(f"{name} must be a tensor ({batch}, {time}) of torch.bool, got {type(marks).__name__}.")
    if marks.dtype != torch.bool or tuple(marks.shape) != (batch, time):
        raise ValueError(
            f"{name} has shape {tuple(marks.shape)} and dtype {marks.dtype}, expected ({batch}, {time}) and torch.bool."
        )


def _check_dtype(cell: Cell, x: Any, state: State) -> None:
    own = next((leaf.dtype for leaf in leaves(state) if leaf.is_floating_point()), None)
    for name, leaf in named_leaves(x, "x"):
        if own is not None and leaf.is_floating_point() and leaf.dtype != own:
            raise ValueError(
                f"{name} has dtype {leaf.dtype}, but the state of {type(cell).__name__} has {own}: convert one of "
                f"them with x.to({own}) or cell.to({leaf.dtype})."
            )


def _check_state(cell: Cell, state: State, own: State) -> State:
    """Compare a given state with the cell's own, leaf by leaf."""
    expected = {name: leaf for name, leaf in named_leaves(own, "state")}
    given = {name: leaf for name, leaf in named_leaves(state, "state")}
    if expected.keys() != given.keys():
        raise ValueError(
            f"The state has the leaves {sorted(given)}, but {type(cell).__name__} expects {sorted(expected)}. "
            "Start from cell.initial_state(batch) or from the state of an earlier scan."
        )
    for name, leaf in given.items():
        shape = tuple(expected[name].shape)
        if tuple(leaf.shape) != shape or leaf.dtype != expected[name].dtype:
            raise ValueError(
                f"{name} has shape {tuple(leaf.shape)} and dtype {leaf.dtype}, but {type(cell).__name__} expects "
                f"{shape} and {expected[name].dtype}."
            )
    return state


class _CallableModule(ModuleType):
    """``seqdyn.scan`` names this module and its function: calling the module calls the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Scan:
        return scan(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule

"""Scan and rollout: the only loops over time.

    y_t, h_t = f(x_t, h_{t-1})        t = 0, 1, …

:func:`scan` drives a cell with a given input (open loop), :func:`rollout` with its own output (closed loop).
Order inside a step: reset → force → forward → mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Attending, Cell, apart
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape
from seqdyn.kernels.transforms import transformed
from seqdyn.prepared import quick_step
from seqdyn.state import (
    State,
    constant,
    hold,
    is_held,
    leaves,
    map_leaves,
    named_leaves,
    select,
    stack,
    steps,
    take,
    unbind,
)

Force = Callable[[int, State], State]
Recorder = Callable[[Any, State, Any, State], Any]
Feed = Callable[[Any, Any], Any]
Until = Callable[[Any], Tensor]

kernel_watch: ContextVar[Callable[..., None] | None] = ContextVar("kernel_watch", default=None)
"""Who is told which cell is about to run on what, wherever a fast path may be taken; see :mod:`seqdyn.backend`."""


@shown_by_shape
class Scan(NamedTuple):
    """What a pass through time returns, always.

    Attributes
    ----------
    output : tree, leaves (batch, time, *outputs)
    state : State
        After each row's last valid step.
    record : tree, leaves (batch, time, …), or None
        What ``record`` returned at every step.
    mask : Tensor of bool, shape (batch, time), or None
        Which steps are there; None: all of them.
    """

    output: Any
    state: State
    record: Any = None
    mask: Tensor | None = None


def scan(
    cell: Cell,
    x: Any,
    state: State | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    force: Force | None = None,
    record: Recorder | None = None,
    reverse: bool = False,
) -> Scan:
    """Run a cell along a sequence: y_t, h_t = f(x_t, h_{t-1}).

    Parameters
    ----------
    cell : Cell
    x : Tensor, shape (batch, time, *input_shape), a tree of such, or Noisy
    state : State, optional
        h_{-1}; ``cell.initial_state(batch)`` if None.
    mask : Tensor of bool, shape (batch, time), optional
        False marks a step that is not there: the state is held, and its reset and force do not happen. Nothing that
        stands in x there is ever read: the cell meets zeros. Outputs at such steps are finite and mean nothing.
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
        Always ``(output, state, record, mask)``.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit the cell; the message says which.
    TypeError
        If the cell does not give a pair (output, state).

    Notes
    -----
    Without ``force`` and ``record`` the cell's fast path ``unroll`` is used where it has one. A kernel that knows
    no masks or resets is run on the stretches of time between them. Under autocast, in transforms of ``torch.func``
    and where torch traces the program (``torch.compile``, ``torch.export``), the written step takes over.

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
    if mask is not None:
        x = blanked(x, mask)
    if reverse:
        backward = _scanned(cell, _flip(x), state, _flip(mask), _flip(reset), force, record)
        return Scan(_flip(backward.output), backward.state, _flip(backward.record), mask)
    return _scanned(cell, x, state, mask, reset, force, record)._replace(mask=mask)


def _scanned(
    cell: Cell,
    x: Any,
    state: State,
    mask: Tensor | None,
    reset: Tensor | None,
    force: Force | None,
    record: Recorder | None,
) -> Scan:
    """The fast path where nobody looks into the steps, else the loop."""
    if force is None and record is None:
        fast = _unroll(cell, x, state, mask, reset)
        if fast is not NotImplemented:
            return Scan(*fast)
    return _run_steps(cell, unbind(x), state, mask=mask, reset=reset, force=force, record=record)


def unroll(cell: Cell, x: Any, state: State, mask: Tensor | None = None) -> tuple[Any, State]:
    """What :func:`scan` does between its checks, for composite cells: the fast path, or else the loop."""
    return _scanned(cell, x, state, mask, None, None, None)[:2]


def walk(cell: Cell, x: Any, state: State) -> tuple[Any, State]:
    """The written step, repeated, for composite cells whose kernel does not apply: (output, state)."""
    return _run_steps(cell, unbind(x), state)[:2]


def rollout(
    cell: Cell,
    state: State,
    steps: int,
    *,
    last: Any,
    feed: Feed,
    exogenous: Any = None,
    force: Force | None = None,
    record: Recorder | None = None,
    until: Until | None = None,
) -> Scan:
    """Run a cell on its own output: x_t = feed(y_{t-1}, exogenous_t).

    Parameters
    ----------
    cell : Cell
    state : State
        Where to start, e.g. ``scan(cell, past).state``.
    steps : int
        How many steps to take at most, at least 1.
    last : tree, leaves (batch, *outputs)
        y_{-1}: the previous *output*.
    feed : callable
        ``feed(y, exogenous_t) -> x`` makes the next input; ``exogenous_t`` is None if there is none.
    exogenous : Tensor, shape (batch, steps, *features), or a tree of such, optional
        What is known of the future; exactly ``steps`` rows.
    force, record : callable, optional
        As in :func:`scan`: they see the cell's own input and state.
    until : callable, optional
        ``until(output) -> (batch,) bool``: a row is over after the step at which it holds; later ones are masked. When
        all rows are over the loop ends.

    Returns
    -------
    Scan
        ``output`` is ``(batch, steps taken, *outputs)``, ``state`` that after each row's last step, ``mask`` says which
        steps belong to each row (None without ``until``). The next rollout may go on from there and the last output.

    Raises
    ------
    ValueError
        If ``steps``, ``exogenous`` or the state do not fit; the message says which.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> start = average.initial_state(1)
    >>> rollout(average, start, 3, last=torch.ones(1, 1), feed=lambda y, _: y).output.squeeze()
    tensor([0.5000, 0.5000, 0.5000])
    """
    check_count("steps", steps)
    batch = len(leaves(last)[0])
    _check_state(cell, state, cell.initial_state(batch))
    for name, leaf in named_leaves(exogenous, "exogenous"):
        if tuple(leaf.shape[:2]) != (batch, steps):
            raise ValueError(
                f"{name} has shape {tuple(leaf.shape)}: {leaf.shape[1]} rows in time for {leaf.shape[0]} series, "
                f"expected exactly steps={steps} for {batch}, one row for every step ahead."
            )
    known = repeat(None, steps) if exogenous is None else unbind(exogenous)
    return _run_steps(cell, known, state, force=force, record=record, closed=_Closed(feed, last), until=until)


class _Closed(NamedTuple):
    """How a closed loop makes its input, and the output before its first step."""

    feed: Feed
    last: Any


def _run_steps(
    cell: Cell,
    inputs: Iterator[Any],
    state: State,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    force: Force | None = None,
    record: Recorder | None = None,
    closed: _Closed | None = None,
    until: Until | None = None,
) -> Scan:
    """The written step, repeated: this is the definition of a scan and of a rollout."""
    bare = not torch.is_grad_enabled() and all(hook is None for hook in (mask, reset, force, record, until))
    initial = None if reset is None else cell.initial_state(len(reset))
    mixed = any(torch.is_autocast_enabled(leaf.device.type) for leaf in leaves(state)[:1])
    last, there = None if closed is None else closed.last, None
    step: Any = cell
    outputs, records, present = [], [], []
    for t, x_t in enumerate(inputs):
        there = mask[:, t] if mask is not None else there
        if closed is not None:
            x_t = closed.feed(last, x_t)
        if t == 1 and bare and not mixed:  # nobody looks into the steps: one row may go on in numpy
            step = quick_step(cell, state)
            state = step.enter(state)
        before = state
        if reset is not None:
            before = select(reset[:, t], initial, before)
        if force is not None:
            before = _apply_force(force, t, before)
        output, after = step(x_t, before) if t else _first_step(cell, x_t, before, mixed)
        if mixed:
            after = map_leaves(lambda new, old: new.to(old.dtype), after, before)
        state = after if there is None else select(there, after, state)
        outputs.append(output)
        if record is not None:
            records.append(record(x_t, before, output, after))
        if closed is not None:
            last = output if there is None else select(there, output, last)
        if until is not None:
            over = until(output)
            present.append(torch.ones_like(over) if there is None else there)
            there = present[-1] & ~over
            if not bool(there.any()):
                break
    kept = stack(records) if record is not None else None
    state = state if step is cell else step.leave(state)
    return Scan(stack(outputs), state, kept, torch.stack(present, 1) if until is not None else mask)


def _first_step(cell: Cell, x: Any, before: State, mixed: bool) -> tuple[Any, State]:
    """The first step of a loop, after which a cell that does not keep the contract is named."""
    result: Any = cell(x, before)
    if not isinstance(result, tuple) or len(result) != 2:
        what = f"{type(result).__name__} of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(
            f"{type(cell).__name__}.forward(x, state) gave {what}, expected the pair (output, state): "
            "return output, NewState(…)."
        )
    given, expected = (
        {name: (tuple(leaf.shape), None if mixed else leaf.dtype) for name, leaf in named_leaves(state, "state")}
        for state in (result[1], before)
    )
    if given != expected:
        raise ValueError(
            f"{type(cell).__name__}.forward(x, state) gave a state with {_leaves_in_words(given)}, but it started from "
            f"{_leaves_in_words(expected)}: structure, shapes and dtypes of a state stay as initial_state made them."
        )
    return result


def _leaves_in_words(signature: dict[str, Any]) -> str:
    words = (f"{name} {shape} {dtype or ''}".strip() for name, (shape, dtype) in signature.items())
    return ", ".join(words) or "no leaves"


def _apply_force(force: Force, t: int, state: State) -> State:
    if (forced := force(t, state)) is None:
        raise TypeError("force(t, state) returned None: it must return the state, changed or not.")
    return forced


def _kernel(cell: Cell, x: Any, state: State, mask: Tensor | None) -> Any:
    """The cell's kernel, where one may run: transforms and tracers see the written step only."""
    if torch.compiler.is_compiling() or transformed() or torch.is_autocast_enabled(leaves(x)[0].device.type):
        return NotImplemented
    if (watch := kernel_watch.get()) is not None:
        watch(cell, x, state, mask)
    return cell.unroll(x, state, mask)


def _unroll(cell: Cell, x: Any, state: State, mask: Tensor | None, reset: Tensor | None) -> Any:
    """The cell's kernel over the whole time axis, or over stretches in which no row starts, ends or is reset."""
    if reset is None:
        whole = _kernel(cell, x, state, mask)
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
        piece = _stretch(cell, steps(x, start, stop), state, present)
        if piece is NotImplemented:
            return NotImplemented
        output, state = piece
        outputs.append(output)
    return map_leaves(lambda *pieces: torch.cat(pieces, dim=1), *outputs), state


def _stretch(cell: Cell, x: Any, state: State, present: Tensor | None) -> Any:
    """Run the kernel on the rows that are present; the others hold their state."""
    if present is None or bool(present.all()):
        return _kernel(cell, x, state, None)
    rows = present.nonzero().flatten()
    if not len(rows):  # nobody is there: run anyway, so that the outputs have their shape, and keep the state
        nobody = _kernel(cell, x, state, None)
        return nobody if nobody is NotImplemented else (nobody[0], state)
    piece = _kernel(cell, _rows_of(x, rows), take(state, rows), None)
    if piece is NotImplemented:
        return NotImplemented
    output, after = piece
    state = map_leaves(lambda old, new: old.index_copy(0, rows, new), state, after)
    spread = map_leaves(lambda leaf: leaf.new_zeros(len(present), *leaf.shape[1:]).index_copy(0, rows, leaf), output)
    return spread, state


def _rows_of(x: Any, rows: Tensor) -> Any:
    """Some rows of x; what is held stays held."""

    def choose(leaf: Tensor) -> Tensor:
        if not is_held(leaf):
            return leaf[rows]
        return hold(constant(leaf)[rows], leaf.shape[1])

    return map_leaves(choose, x)


def _cuts(mask: Tensor | None, reset: Tensor | None, time: int) -> list[int]:
    """The instants at which some row starts, ends or is reset, with 0 and ``time`` at the ends."""
    change = torch.zeros(time, dtype=torch.bool)
    if mask is not None:
        change = torch.nn.functional.pad((mask[:, 1:] != mask[:, :-1]).any(0), (1, 0))
    if reset is not None:
        change = change | (reset if mask is None else reset & mask).any(0).to(change.device)
    inner = [t for t in change.nonzero().flatten().tolist() if t > 0]
    return [0, *inner, time]


def blanked(x: Any, mask: Tensor) -> Any:
    """x with zeros at the steps that are not there; what is held stays held, in rows without any step it is zero."""

    def blank(leaf: Tensor) -> Tensor:
        if is_held(leaf):
            row = constant(leaf)
            return hold(torch.where(_marks_like(mask.any(1), row), row, row.new_zeros(())), leaf.shape[1])
        return torch.where(_marks_like(mask, leaf), leaf, leaf.new_zeros(()))

    return map_leaves(blank, x)


def _marks_like(marks: Tensor, leaf: Tensor) -> Tensor:
    """Marks (batch, …) with as many axes as a leaf, on its device."""
    return marks.to(leaf.device).reshape(*marks.shape, *[1] * (leaf.dim() - marks.dim()))


def _flip(tree: Any) -> Any:
    """The same steps from the last to the first; what is held stays as it is."""
    return map_leaves(lambda leaf: leaf if is_held(leaf) else leaf.flip(1), tree)


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
    if cell.input_shape is not None:
        _check_input_shape(cell, _attending(cell, apart(x)[0]), cell.input_shape)
    batch, time = found[0][1].shape[:2]
    return batch, time


def _attending(cell: Cell, x: Any) -> Any:
    """The input itself, of a cell that reads a memory without it."""
    if cell.attends != isinstance(x, Attending):
        expected = "seqdyn.cell.Attending(x, hold(memory, time))" if cell.attends else "no memory"
        raise ValueError(f"x is a {type(x).__name__}, but {type(cell).__name__} expects {expected}.")
    return x.x if cell.attends else x


def _check_input_shape(cell: Cell, x: Any, shape: tuple[int, ...]) -> None:
    """Raise unless x is one tensor of the shape that the cell takes."""
    expected = f"{type(cell).__name__} expects (batch, time{''.join(f', {extent}' for extent in shape)})"
    if not isinstance(x, Tensor):
        raise ValueError(
            f"x is a {type(x).__name__} with the leaves {[name for name, _ in named_leaves(x)]}, but {expected}, one "
            "tensor. What is drawn comes as seqdyn.cell.Noisy(x, noise); a cell of a tree says input_shape = None."
        )
    if tuple(x.shape[2:]) != tuple(shape):
        raise ValueError(f"x has shape {tuple(x.shape)}, but {expected}.")
    if not shape and x.dtype != torch.int64:
        raise ValueError(f"x has dtype {x.dtype}, but {expected} of torch.int64, tokens by number: give x.long().")


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

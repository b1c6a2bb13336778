"""The initial state h_{-1} of a measurement, in the form of the cell, of torch's networks or of step functions.

| given                                                  | read as                              |
|--------------------------------------------------------|--------------------------------------|
| a state of the cell, 1 row or a row for every series   | as it is                             |
| h_0, or (h_0, c_0) of an LSTM: (layers, rows, hidden)  | that of every layer                  |
| the same of a torch cell, (rows, hidden)               | that of its layer                    |
| the same without rows: (layers, hidden) or (hidden,)   | that of every series                 |
| the state of a step function, with one row or none     | that of every series                 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from seqdyn.autoregression import OwnPast
from seqdyn.cell import Cell
from seqdyn.conversion import from_torch
from seqdyn.dynamics.driven import Driven
from seqdyn.state import State, leaves, map_leaves, named_leaves
from seqdyn.step_function import form


def begin_from(driven: Driven, initial_state: Any) -> Driven:
    """Let a cell begin from a given state, which has one row or one row for each series; None changes nothing.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.training.batches import Rows
    >>> driven = Driven(from_torch(torch.nn.GRU(3, 5)), Rows.of(torch.zeros(8, 20, 3)))
    >>> begin_from(driven, torch.ones(1, 8, 5)).states.h.shape
    torch.Size([8, 5])
    """
    if initial_state is None:
        return driven
    loop = driven.cell if driven.alone and isinstance(driven.cell, OwnPast) else None
    cell: Any = driven.cell if loop is None else loop.cell
    series = len(driven.rows.lengths)
    state = _as_state(initial_state, cell.initial_state(1))
    rows = set() if state is None else {len(leaf) for leaf in leaves(state)}
    if state is None or rows not in ({1}, {series}):
        raise ValueError(_expected_state(cell, initial_state, series))
    state = map_leaves(lambda leaf: leaf.detach().expand(series, *leaf.shape[1:]), state)
    return replace(driven, states=state if loop is None else loop.start_from(state))


def _as_state(given: Any, like: State) -> State | None:
    """The given state in the form of the cell's; None if it does not fit."""
    if not _tensor_leaves(given):
        return None
    return given if _shapes(given) == _shapes(like) else _of_layers(leaves(given), like)


def _shapes(state: State) -> list[tuple[str, Any]]:
    """The leaves by name, without their rows."""
    return [(name, tuple(leaf.shape[1:])) for name, leaf in named_leaves(state) if leaf.dim()]


def _of_layers(parts: list[Tensor], like: State) -> State | None:
    """A state of torch's, h_0 or (h_0, c_0) of all layers, layer by layer; None if it does not fit."""
    wanted, kinds = leaves(like), _kinds(like)
    count = len(wanted) // kinds
    layered = [_layered(part, count) for part in parts]
    if len(parts) != kinds or any(part is None for part in layered):
        return None
    found = [part[layer] for layer in range(count) for part in layered if part is not None]
    if [leaf.shape[1:] for leaf in found] != [leaf.shape[1:] for leaf in wanted]:
        return None
    rest = iter(found)
    return map_leaves(lambda _: next(rest), like)


def _kinds(like: State) -> int:
    """How many tensors the state of a layer has: 2 for an LSTM, h and c."""
    return max(1, len({name.rpartition(".")[2] for name, _ in named_leaves(like)}))


def _layered(part: Tensor, count: int) -> Tensor | None:
    """A tensor of torch's as (layers, rows, hidden); None if it has another number of layers."""
    if part.dim() < 3 and count == 1:
        part = part.unsqueeze(0) if part.dim() == 2 else part.reshape(1, 1, -1)
    elif part.dim() == 2:
        part = part.unsqueeze(1)
    return part if part.dim() == 3 and len(part) == count else None


def _expected_state(cell: Cell, given: Any, series: int) -> str:
    """The message about a state that does not fit the cell."""
    like, rows = cell.initial_state(1), "1" if series == 1 else f"1 or {series}"
    name = getattr(cell, "torch_module", None)
    told = f"initial_state is {form(given)}, expected"
    if name is None:
        return f"{told} {form(like)}, or with a row for each of {series} series: cell.initial_state(1) is one."
    kinds, hidden = _kinds(like), leaves(like)[0].shape[-1]
    layers = "" if name.endswith("Cell") else f"{len(leaves(like)) // kinds}, "
    what = f"{'(h_0, c_0), both' if kinds > 1 else 'h_0'} of shape ({layers}{rows}, {hidden})"
    return f"{told} {what}, as the {name} takes it, or a state of cell = from_torch(model), as cell.initial_state(1)."


def one_row(step: Callable[..., Any], state: State, input_size: int) -> State:
    """Return the state of one row of a step function, without the batch axis.

    Several rows, which would be taken for one row of a larger state, raise a ValueError.
    """
    found = _tensor_leaves(state)
    if not found or any(leaf.dim() < 2 for leaf in found):
        return state
    rows, first = {len(leaf) for leaf in found}, map_leaves(lambda leaf: leaf[0], state)
    if rows == {1}:
        return first
    if len(rows) == 1 and _works(step, first, input_size):
        raise ValueError(
            f"initial_state is {form(state)}, {rows.pop()} rows, expected one row for all series: "
            f"{form(map_leaves(lambda leaf: leaf[:1], state))}. If it is the state of a single row after all, add an "
            "axis in front: h.unsqueeze(0)."
        )
    return state


def _tensor_leaves(state: Any) -> list[Tensor]:
    """The leaves of a tree of tensors; an empty list for anything else."""
    try:
        return leaves(state)
    except TypeError:
        return []


def _works(step: Callable[..., Any], state: State, input_size: int) -> bool:
    try:
        from_torch(step, initial_state=state, input_size=input_size)
    except (TypeError, ValueError):
        return False
    return True

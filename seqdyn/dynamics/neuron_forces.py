"""Neurons by name, to clamp or to nudge: ``"h[12]"``, ``"0.h[12]"`` in a stack.

A name is the path of a leaf of the state and the place in it. What a cell with its own past keeps beside the network's
memory, its last output and its delay line, is no neuron: the path begins at the memory itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.autoregression import OwnPastState
from seqdyn.cell import Cell
from seqdyn.delay_line import DelayLineState
from seqdyn.dynamics.trajectory import check_cell
from seqdyn.loops import Force
from seqdyn.state import State, flatten, named_leaves, unflatten


def memory(state: State) -> State:
    """The state of the network itself, inside that of the cells that feed its own output back to it."""
    while isinstance(state, OwnPastState | DelayLineState):
        state = state.inner
    return state


def with_memory(state: State, inner: State) -> State:
    """The state with another one of the network itself: the inverse of :func:`memory`."""
    if isinstance(state, OwnPastState | DelayLineState):
        return state._replace(inner=with_memory(state.inner, inner))
    return inner


def neurons(cell: Cell) -> list[str]:
    """The names of all neurons of a cell, in the order of its flattened memory.

    Parameters
    ----------
    cell : Cell

    Returns
    -------
    list of str

    Raises
    ------
    TypeError
        If it is no cell; the message names the way to one.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.cells.lstm import LSTM
    >>> from seqdyn.composition import Stack
    >>> neurons(LSTM(1, 2))
    ['h[0]', 'h[1]', 'c[0]', 'c[1]']
    >>> neurons(Stack([GRU(1, 1), GRU(1, 2)]))
    ['0.h[0]', '1.h[0]', '1.h[1]']
    """
    check_cell(cell)
    return [
        f"{name or 'state'}[{', '.join(map(str, place))}]"
        for name, leaf in named_leaves(memory(cell.initial_state(1)))
        for place in np.ndindex(*leaf.shape[1:])
    ]


def places(cell: Cell, names: Sequence[str]) -> list[int]:
    """Where neurons, as :func:`neurons` names them, stand in the flattened memory of a cell."""
    found = {name: place for place, name in enumerate(neurons(cell))}
    for name in names:
        if name not in found:
            near = difflib.get_close_matches(str(name), found, n=1, cutoff=0.0)
            raise ValueError(
                f"There is no neuron {name!r}. {type(cell).__name__} has {len(found)}"
                + (f", such as {near[0]!r}; neurons(cell) lists them." if near else ".")
            )
    return [found[name] for name in names]


def clamp(cell: Cell, values: Mapping[str, Any]) -> Force:
    """Hold neurons at values before every step: a ``force`` for :func:`~seqdyn.loops.scan`.

        h_{t-1, i} ← v_{t, i}

    Parameters
    ----------
    cell : Cell
    values : mapping of str to float or array
        By name of the neuron: a number; an array (time,), one value a step; or an array (batch, time), where either may
        be 1. NaN leaves the neuron free.

    Returns
    -------
    callable
        ``force(t, state) -> state``.

    Raises
    ------
    TypeError
        If it is no cell, or the values are no mapping.
    ValueError
        If there is no such neuron, a value is infinite, or arrays do not go together.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.loops import scan
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> scan(average, torch.zeros(1, 3, 1), force=clamp(average, {"h[0]": [4.0, float("nan"), 4.0]})).output.flatten()
    tensor([2., 1., 2.])
    """
    return _force_on_neurons(cell, values, lambda own, value: torch.where(value.isnan(), own, value))


def nudge(cell: Cell, values: Mapping[str, Any]) -> Force:
    """Add to neurons before every step: a ``force`` for :func:`~seqdyn.loops.scan`.

        h_{t-1, i} ← h_{t-1, i} + v_{t, i}

    Parameters
    ----------
    cell, values
        As in :func:`clamp`; NaN adds nothing.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.loops import scan
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> scan(average, torch.zeros(1, 3, 1), force=nudge(average, {"h[0]": 4.0})).output.flatten()
    tensor([2.0000, 3.0000, 3.5000])
    """
    return _force_on_neurons(cell, values, lambda own, value: own + value.nan_to_num(nan=0.0))


def _force_on_neurons(cell: Cell, values: Mapping[str, Any], change: Callable[[Tensor, Tensor], Tensor]) -> Force:
    check_cell(cell)
    if not isinstance(values, Mapping):
        raise TypeError(f"values must be a mapping such as {{'h[0]': 0.5}}, got {type(values).__name__}.")
    columns = torch.tensor(places(cell, list(values)), dtype=torch.long)
    table = _values_of_all(values)
    time = table.shape[1]

    def force(t: int, state: State) -> State:
        if time > 1 and t >= time:
            raise ValueError(f"The force has values for {time} steps, but there is a step {t}.")
        own = memory(state)
        flat = flatten(own).clone()
        value = table[:, t if time > 1 else 0].to(flat)
        flat[:, columns] = change(flat[:, columns], value.expand(len(flat), -1))
        return with_memory(state, unflatten(flat, own))

    return force


def _values_of_all(values: Mapping[str, Any]) -> Tensor:
    """The values of all neurons, (batch or 1, time or 1, neurons)."""
    if not values:
        raise ValueError("No neuron is named: give a mapping such as {'h[0]': 0.5}.")
    rows = {name: _values_of_one(name, value) for name, value in values.items()}
    try:
        shape = np.broadcast_shapes(*(row.shape for row in rows.values()))
    except ValueError:
        given = ", ".join(f"{name} {row.shape}" for name, row in rows.items())
        raise ValueError(f"The values of the neurons do not go together, (batch, time) are: {given}.") from None
    return torch.as_tensor(np.stack([np.broadcast_to(row, shape) for row in rows.values()], axis=-1))


def _values_of_one(name: str, value: Any) -> Array:
    """One neuron's values as (batch or 1, time or 1)."""
    row = np.asarray(value, dtype=np.float64)
    if row.ndim > 2 or row.size == 0 or np.isinf(row).any():
        raise ValueError(
            f"The values of {name} have shape {row.shape}{' and are infinite' if np.isinf(row).any() else ''}: give a "
            "finite number, an array (time,) or an array (batch, time); NaN leaves the neuron free."
        )
    return np.atleast_2d(row)

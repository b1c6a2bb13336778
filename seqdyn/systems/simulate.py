"""Simulation: run a known system and keep what can be observed."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.flow import Flow
from seqdyn.loops import scan
from seqdyn.state import State, leaves, take

TRIALS, TRIED_STEPS = 8, 5000
"""How often, and for how many steps at most, smaller time steps are tried where one was too large."""


def simulate(system: Cell, steps: int, state: State | None = None, x: Tensor | None = None, discard: int = 0) -> Tensor:
    """Run a system for ``discard`` + ``steps`` steps and return the outputs of the last ``steps``.

    Parameters
    ----------
    system : Cell
    steps : int, at least 1
    state : State, optional
        Where to start; ``system.initial_state`` if None.
    x : Tensor, shape (batch, discard + steps, inputs), optional
        What drives the system; an autonomous system (``input_size == 0``) needs none.
    discard : int, at least 0
        Leading steps left out, until the transient has died away.

    Returns
    -------
    Tensor, shape (batch, steps, outputs)
        The batch is that of ``state`` or ``x``, else 1.

    Raises
    ------
    ValueError
        If the counts are out of range, x has another shape, x or the state is not finite, a driven system gets no x, or
        the system leaves the finite numbers: then a time step is named with which it does not.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.systems.logistic import Logistic, LogisticState
    >>> start = LogisticState(torch.tensor([[0.25], [0.75]]))
    >>> simulate(Logistic(r=4.0), steps=3, state=start, discard=1).shape
    torch.Size([2, 3, 1])
    """
    time = check_count("steps", steps) + check_count("discard", discard, 0)
    if x is None:
        x = _nothing(system, time, state)
    _check_given(x, state, time)
    output = scan(system, x, state).output
    _check_finite(system, x, state, output)
    return output[:, discard:]


def _check_given(x: Tensor, state: State | None, time: int) -> None:
    """Raise where x has another number of steps, or what is given is not finite."""
    if not isinstance(x, Tensor) or x.ndim != 3:
        raise ValueError(f"x must be a tensor (batch, time, inputs), got {type(x).__name__} of {np.shape(x)}.")
    if x.shape[1] != time:
        raise ValueError(f"x has {x.shape[1]} steps, expected discard + steps = {time}.")
    if not x.isfinite().all():
        series, step, column = (~x.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"x is {x[series, step, column]:g} at step {step} of series {series}, column {column}.")
    if state is not None and not all(leaf.isfinite().all() for leaf in leaves(state)):
        raise ValueError(f"The state to start from is not finite: {state}.")


def _check_finite(system: Cell, x: Tensor, state: State | None, output: Tensor) -> None:
    """Raise where a system has left the finite numbers."""
    lost = ~output.isfinite().flatten(2).all(2)
    if not lost.any():
        return
    number, step = divmod(int(lost.flatten().int().argmax()), lost.shape[1])
    advice = "It leaves for good from where it begins."
    if isinstance(system, Flow):
        begin = take(system.initial_state(len(x)) if state is None else state, torch.tensor([number]))
        advice = f"dt is {system.dt:g}; {_smaller_steps(system, x[number : number + 1], begin)}."
    raise ValueError(f"{type(system).__name__} is not finite any more at step {step} of series {number}. {advice}")


def _smaller_steps(system: Flow, x: Tensor, begin: State) -> str:
    """What one series does with a time step that is stable where it begins, and with halves of that."""
    (h,) = leaves(begin)
    dt = min(system.largest_step(h[0].detach(), x[0, 0].double()), system.dt / 1.01)
    for _ in range(TRIALS):
        finer = copy.copy(system)
        finer.dt = float(f"{dt:.2g}")
        time = min(math.ceil(x.shape[1] * system.dt / finer.dt), TRIED_STEPS)
        held = (torch.arange(time) * (finer.dt / system.dt)).long().clamp(max=x.shape[1] - 1)
        if scan(finer, x[:, held.to(x.device)], begin).output.isfinite().all():
            return f"with {finer.dt:g} it stays finite for {time} steps"
        dt = finer.dt / 2
    return f"it leaves with smaller ones, too, down to {finer.dt:g}"


def _nothing(system: Cell, time: int, state: State | None) -> Tensor:
    """The input of an autonomous system: (batch, time, 0)."""
    if system.input_size:
        raise ValueError(
            f"{type(system).__name__} is driven by {system.input_size} input(s): give x (batch, {time}, "
            f"{system.input_size}). A constant input is hold(value, {time})."
        )
    leaf = leaves(system.initial_state(1) if state is None else state)[0]
    return leaf.new_zeros(len(leaf), time, 0)

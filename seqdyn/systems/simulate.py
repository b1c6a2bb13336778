"""Simulation: run a known system and keep what can be observed."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import NamedTuple

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

STRETCHES, ENTRIES = 16, 2**19
"""A run is looked at where so many stretches meet; of large systems and many series less, by entries of derivatives."""

STEP_MARGIN, UNSTABLE_SHARE = 1.05, 0.25
"""A time step is too large if it exceeds the largest stable one by this much, at this share of the places.

Fast phases that last for moments are right all the same: Rössler's at dt = 0.2 has 2 % of such places.
"""


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
        If the counts are out of range, x has another shape, x or the state is not finite, or a driven system gets no x.
        If the system leaves the finite numbers, or the time step of a :class:`~seqdyn.flow.Flow` is larger than its
        ``largest_step`` at a quarter of the places that are looked at: then one is named with which it is right.

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
    if isinstance(system, Flow):
        return _flown(system, x, state)[:, discard:]
    output = scan(system, x, state).output
    lost = _lost(output)
    if lost is not None:
        raise ValueError(f"{_escape_message(system, *lost)} From this initial state the system diverges.")
    return output[:, discard:]


class SampledRun(NamedTuple):
    """``output`` of a flow, and what it was where stretches meet: ``h`` and its input ``x``, (places, series, …)."""

    output: Tensor
    h: Tensor
    x: Tensor


def _flown(system: Flow, x: Tensor, state: State | None) -> Tensor:
    """The outputs of a flow, if its time step is not too large."""
    state = system.initial_state(len(x)) if state is None else state
    run = _run_in_pieces(system, x, state)
    lost = _lost(run.output)
    if lost is not None:
        fault, number = _escape_message(system, *lost), lost[0]
    else:
        unstable = _unstable(system, run)
        if not (unstable >= UNSTABLE_SHARE * len(run.h)).any():
            return run.output
        worst = int(unstable.argmax())
        number = int(_sampled_series(x, run.h.shape[1])[worst])
        fault = (
            f"The time step of {type(system).__name__} is too large at {int(unstable[worst])} of {len(run.h)} places "
            f"along series {number}: the run is finite, but not right."
        )
    begin = take(state, torch.tensor([number]))
    raise ValueError(f"{fault} dt is {system.dt:g}; {_advice_on_step(system, x[number : number + 1], begin)}.")


def _run_in_pieces(system: Flow, x: Tensor, state: State) -> SampledRun:
    """The run, in stretches."""
    size, time = system.hidden_size**2, x.shape[1]
    stretches = min(max(1, ENTRIES // size - 1), STRETCHES, time)
    chosen = _sampled_series(x, max(1, ENTRIES // (size * (stretches + 1))))
    borders = [time * k // stretches for k in range(stretches + 1)]
    outputs, places = [], []
    for start, stop in pairwise(borders):
        output, after = scan(system, x[:, start:stop], state)[:2]
        outputs.append(output)
        places += [leaves(state)[0][chosen]]
        state = after
    places += [leaves(state)[0][chosen]]
    inputs = [x[chosen, min(border, time - 1)] for border in borders]
    return SampledRun(torch.cat(outputs, 1), torch.stack(places), torch.stack(inputs))


def _sampled_series(x: Tensor, most: int) -> Tensor:
    """The series that are looked at: all, or some, equally far from each other."""
    return torch.linspace(0, len(x) - 1, min(most, len(x)), device=x.device).long()


def _unstable(system: Flow, run: SampledRun) -> Tensor:
    """At how many places the time step is too large, (series,)."""
    largest = system.largest_steps(run.h.flatten(0, 1), run.x.flatten(0, 1)).view(run.h.shape[:2])
    return (system.dt > STEP_MARGIN * largest).sum(0)


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


def _lost(output: Tensor) -> tuple[int, int] | None:
    """The first series that has left the finite numbers, and at which step."""
    lost = ~output.isfinite().flatten(2).all(2)
    return divmod(int(lost.flatten().int().argmax()), lost.shape[1]) if lost.any() else None


def _escape_message(system: Cell, number: int, step: int) -> str:
    return f"{type(system).__name__} is not finite any more at step {step} of series {number}."


def _advice_on_step(system: Flow, x: Tensor, begin: State) -> str:
    """What one series does with a time step that is stable where it begins, and with halves of that."""
    (h,) = leaves(begin)
    dt = min(system.largest_step(h[0], x[0, 0]), system.dt / 1.01)
    for _ in range(TRIALS):
        finer = copy.copy(system)
        finer.dt = float(f"{dt:.2g}")
        time = min(math.ceil(x.shape[1] * system.dt / finer.dt), TRIED_STEPS)
        held = (torch.arange(time) * (finer.dt / system.dt)).long().clamp(max=x.shape[1] - 1)
        run = _run_in_pieces(finer, x[:, held.to(x.device)], begin)
        if run.output.isfinite().all() and int(_unstable(finer, run)) < UNSTABLE_SHARE * len(run.h):
            return f"with {finer.dt:g} it stays finite and stable for {time} steps"
        dt = finer.dt / 2
    return f"with none that is smaller, down to {finer.dt:g}, it stays finite and stable"


def _nothing(system: Cell, time: int, state: State | None) -> Tensor:
    """The input of an autonomous system: (batch, time, 0)."""
    if system.input_size:
        raise ValueError(
            f"{type(system).__name__} is driven by {system.input_size} input(s): give x (batch, {time}, "
            f"{system.input_size}). A constant input is hold(value, {time})."
        )
    leaf = leaves(system.initial_state(1) if state is None else state)[0]
    return leaf.new_zeros(len(leaf), time, 0)

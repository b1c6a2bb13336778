"""Simulation: run a known system and keep what can be observed."""

from __future__ import annotations

from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.flow import Flow
from seqdyn.loops import scan
from seqdyn.state import State, leaves


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
        If the counts are out of range, x has another number of steps, a driven system gets no x, or the system leaves
        the finite numbers: then a time step is named that is safe where it began.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.systems.logistic import Logistic, LogisticState
    >>> start = LogisticState(torch.tensor([[0.25], [0.75]]))
    >>> simulate(Logistic(r=4.0), steps=3, state=start, discard=1).shape
    torch.Size([2, 3, 1])
    """
    if steps < 1 or discard < 0:
        raise ValueError(f"steps must be at least 1 and discard at least 0, got {steps} and {discard}.")
    if x is None:
        x = _nothing(system, steps + discard, state)
    if x.shape[1] != steps + discard:
        raise ValueError(f"x has {x.shape[1]} steps, expected discard + steps = {steps + discard}.")
    output = scan(system, x, state).output
    _check_finite(system, x, state, output)
    return output[:, discard:]


def _check_finite(system: Cell, x: Tensor, state: State | None, output: Tensor) -> None:
    """Raise where a system has left the finite numbers."""
    lost = ~output.isfinite().flatten(2).all(2)
    if not lost.any():
        return
    number, step = divmod(int(lost.flatten().int().argmax()), lost.shape[1])
    advice = "It leaves for good from where it begins."
    if isinstance(system, Flow):
        h = leaves(system.initial_state(len(x)) if state is None else state)[0]
        safe = system.largest_step(h[number].detach(), x[number, 0].double())
        advice = f"dt is {system.dt:g}; where it begins, {safe:.2g} is the largest stable one."
    raise ValueError(f"{type(system).__name__} is not finite any more at step {step} of series {number}. {advice}")


def _nothing(system: Cell, time: int, state: State | None) -> Tensor:
    """The input of an autonomous system: (batch, time, 0)."""
    if system.input_size:
        raise ValueError(
            f"{type(system).__name__} is driven by {system.input_size} input(s): give x (batch, {time}, "
            f"{system.input_size}). A constant input is hold(value, {time})."
        )
    leaf = leaves(system.initial_state(1) if state is None else state)[0]
    return leaf.new_zeros(len(leaf), time, 0)

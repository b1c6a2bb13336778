"""Flows: systems given by a differential equation, one Runge–Kutta step of time a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.kernels.runge_kutta import runge_kutta


class FlowState(NamedTuple):
    """``h`` (batch, hidden): where the system is."""

    h: Tensor


class Flow(Cell):
    """A system given by dh/dt = f(h, x), whose output is where it is: y_t = h_t.

    A subclass says :meth:`flow`. One step advances the time by ``dt`` with the classical Runge–Kutta method of order 4;
    the input, if there is one, is held during the step. Without inputs the scan's x is (batch, time, 0).

    Parameters
    ----------
    start : sequence of float
        Where it begins; its length is the dimension.
    dt : float > 0
        The time one step covers.
    input_size : int
        Numbers that drive it.

    Raises
    ------
    ValueError
        If dt is not positive and finite.

    Examples
    --------
    >>> from seqdyn.systems.simulate import simulate
    >>> class Decay(Flow):
    ...     def flow(self, h, x):
    ...         return -h
    >>> simulate(Decay([1.0], dt=0.5), steps=2)[0, :, 0]
    tensor([0.6068, 0.3682])
    """

    start: Tensor

    def __init__(self, start: Sequence[float], dt: float, input_size: int = 0):
        if not 0 < dt < math.inf:
            raise ValueError(f"dt must be positive and finite, got {dt}.")
        super().__init__(input_size, hidden_size=len(start))
        self.dt = dt
        self.register_buffer("start", torch.tensor(start, dtype=torch.get_default_dtype()))

    def initial_state(self, batch: int) -> FlowState:
        return FlowState(self.start.expand(batch, -1))

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        """dh/dt, (batch, hidden), from h (batch, hidden) and x (batch, inputs)."""
        raise NotImplementedError(f"{type(self).__name__} does not say flow(h, x), its dh/dt.")

    def largest_step(self, h: Tensor, x: Tensor) -> float:
        """The largest dt at which the method is stable near one place: 2.7 / max |λ|, λ the eigenvalues of ∂f/∂h.

        The fourth-order method damps what decays up to |λ| dt = 2.79, and keeps what oscillates up to 2.83.

        Parameters
        ----------
        h, x : Tensor, shape (hidden,) and (inputs,)
        """
        derivative = torch.func.jacrev(lambda place: self.flow(place[None], x[None])[0])(h.double())
        rate = float(torch.linalg.eigvals(derivative).abs().max())
        return 2.7 / rate if rate > 0 else float("inf")

    def forward(self, x: Tensor, state: FlowState) -> tuple[Tensor, FlowState]:
        h = runge_kutta(lambda h, _: self.flow(h, x), state.h, self.dt)
        return h, FlowState(h)

"""The Mackey–Glass equation: a scalar with a delayed feedback, so that its memory is a shift register."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.facts import shown_by_shape
from seqdyn.kernels.runge_kutta import runge_kutta


@shown_by_shape
class MackeyGlassState(NamedTuple):
    """The delay register: ``past`` (batch, delay + 1) holds h_t, h_{t-1}, …, h_{t-delay}, newest first."""

    past: Tensor


class MackeyGlass(Cell):
    """The Mackey–Glass equation: dh/dt = β h(t−τ) / (1 + h(t−τ)ⁿ) − γ h(t).

    One step advances the time by ``dt`` with the classical Runge–Kutta method; half way between two steps the
    delayed value is their mean. The output is the new h_t, (batch, 1). It has no input: the scan's x is
    (batch, time, 0).

    Parameters
    ----------
    beta, gamma : float
        β, production, and γ, decay, per unit of time.
    n : float
        The steepness of the feedback.
    tau : float
        τ, the delay. With the other defaults h rests below about 4.5, oscillates above, and is chaotic from about
        16.8 on.
    dt : float
        The time one step covers; τ must be a whole number of steps, at least 1.

    Attributes
    ----------
    delay : int
        τ / dt.

    Raises
    ------
    ValueError
        If dt is not positive, τ is not a whole number of steps, or γ dt > 2.7, where the method is not stable.

    Notes
    -----
    The state holds ``delay`` + 1 values: the delayed one, the present one and all between. The error falls with
    dt², because of the interpolated delay.

    References
    ----------
    Mackey & Glass (1977), Oscillation and chaos in physiological control systems, eq. (4b).

    Examples
    --------
    h = 1 is the fixed point where β = 2 γ:

    >>> import torch
    >>> from seqdyn.systems.simulate import simulate
    >>> system = MackeyGlass()
    >>> system.initial_state(1).past.shape
    torch.Size([1, 18])
    >>> simulate(system, steps=3, state=MackeyGlassState(torch.ones(1, 18))).flatten()
    tensor([1., 1., 1.])
    """

    start: Tensor

    def __init__(self, beta: float = 0.2, gamma: float = 0.1, n: float = 10.0, tau: float = 17.0, dt: float = 1.0):
        delay = round(tau / dt) if dt > 0 and math.isfinite(tau) else 0
        if delay < 1 or abs(delay * dt - tau) > 1e-6 * dt:
            raise ValueError(f"tau must be a whole number of steps of dt > 0, at least 1, got tau={tau} and dt={dt}.")
        if not gamma * dt <= 2.7:
            raise ValueError(f"dt={dt} is too large for gamma={gamma}: its decay is stable up to {2.7 / gamma:.2g}.")
        super().__init__(input_size=0, hidden_size=delay + 1, output_size=1)
        self.beta = beta
        self.gamma = gamma
        self.n = n
        self.tau = tau
        self.dt = dt
        self.delay = delay
        self.register_buffer("start", torch.tensor([1.25]))

    def initial_state(self, batch: int) -> MackeyGlassState:
        return MackeyGlassState(self.start.expand(batch, self.hidden_size))

    def flow(self, h: Tensor, delayed: Tensor) -> Tensor:
        """dh/dt, from h(t) and h(t−τ)."""
        return self.beta * delayed / (1 + delayed**self.n) - self.gamma * h

    def forward(self, x: Tensor, state: MackeyGlassState) -> tuple[Tensor, MackeyGlassState]:
        early, late = state.past[:, -1:], state.past[:, -2:-1]  # h(t−τ) at the beginning and at the end of the step
        h = runge_kutta(lambda h, s: self.flow(h, early + s * (late - early)), state.past[:, :1], self.dt)
        return h, MackeyGlassState(torch.cat([h, state.past[:, :-1]], dim=1))

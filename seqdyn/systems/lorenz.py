"""The Lorenz system, three coupled equations of convection, one Runge–Kutta step of time a step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.kernels.runge_kutta import runge_kutta


class LorenzState(NamedTuple):
    """``h`` (batch, 3): the coordinates x, y, z."""

    h: Tensor


class Lorenz(Cell):
    """The Lorenz system: dx/dt = σ (y − x), dy/dt = x (ρ − z) − y, dz/dt = x y − β z.

    One step advances the time by ``dt`` with the classical Runge–Kutta method of order 4; the output is
    h_t = (x, y, z). It has no input: the scan's x is (batch, time, 0).

    Parameters
    ----------
    sigma : float
        σ, the Prandtl number.
    rho : float
        ρ, the Rayleigh number relative to the onset of convection; chaotic at 28.
    beta : float
        β, from the shape of the convection cell.
    dt : float > 0
        The time one step covers.

    Raises
    ------
    ValueError
        If dt is not positive.

    Notes
    -----
    Neighbouring trajectories part by a factor e every 1.1 units of time (the largest Lyapunov exponent is 0.906),
    which is 110 steps of the default dt.

    References
    ----------
    Lorenz (1963), Deterministic nonperiodic flow, eqs. (25)–(27).

    Examples
    --------
    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(Lorenz(), steps=100).shape
    torch.Size([1, 100, 3])
    """

    start: Tensor

    def __init__(self, sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3, dt: float = 0.01):
        if dt <= 0:
            raise ValueError(f"dt must be positive, got {dt}.")
        super().__init__(input_size=0, hidden_size=3)
        self.sigma = sigma
        self.rho = rho
        self.beta = beta
        self.dt = dt
        self.register_buffer("start", torch.ones(3))

    def initial_state(self, batch: int) -> LorenzState:
        return LorenzState(self.start.expand(batch, -1))

    def flow(self, h: Tensor) -> Tensor:
        """dh/dt, (batch, 3)."""
        x, y, z = h.unbind(1)
        return torch.stack([self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z], dim=1)

    def forward(self, x: Tensor, state: LorenzState) -> tuple[Tensor, LorenzState]:
        h = runge_kutta(lambda h, _: self.flow(h), state.h, self.dt)
        return h, LorenzState(h)

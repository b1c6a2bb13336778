"""The Lorenz system, three coupled equations of convection, one Runge–Kutta step of time a step."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.flow import Flow, FlowState

LorenzState = FlowState
"""The state by its older name."""


class Lorenz(Flow):
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

    def __init__(self, sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3, dt: float = 0.01):
        super().__init__([1.0, 1.0, 1.0], dt)
        self.sigma, self.rho, self.beta = sigma, rho, beta

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        u, v, w = h.unbind(1)
        return torch.stack([self.sigma * (v - u), u * (self.rho - w) - v, u * v - self.beta * w], dim=1)

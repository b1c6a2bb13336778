"""The Duffing oscillator: a spring that stiffens, or two wells, shaken in time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqdyn.flow import Flow, FlowState


class Duffing(Flow):
    """The Duffing oscillator: d²x/dt² = −δ dx/dt − α x − β x³ + γ cos φ, dφ/dt = ω.

    The output is h_t = (x, dx/dt, φ), with the phase φ of the force in [0, 2π); it has no input. The phase belongs to
    the state, so that the force is exact within a step and the system is autonomous.

    Parameters
    ----------
    delta : float
        δ, friction.
    alpha, beta : float
        The linear and the cubic stiffness; α < 0 < β gives two wells, at ±√(−α/β).
    gamma, omega : float
        Amplitude and angular frequency of the force.
    dt : float > 0
        The time one step covers.

    Notes
    -----
    At the defaults it jumps between its wells for ever. All three exponents sum to −δ, and one of them is 0.

    References
    ----------
    Duffing (1918), Erzwungene Schwingungen bei veränderlicher Eigenfrequenz; Moon & Holmes (1979), A magnetoelastic
    strange attractor.

    Examples
    --------
    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(Duffing(), steps=100).shape
    torch.Size([1, 100, 3])
    """

    def __init__(
        self,
        delta: float = 0.3,
        alpha: float = -1.0,
        beta: float = 1.0,
        gamma: float = 0.5,
        omega: float = 1.2,
        dt: float = 0.05,
    ):
        super().__init__([1.0, 0.0, 0.0], dt)
        self.delta, self.alpha, self.beta, self.gamma, self.omega = delta, alpha, beta, gamma, omega

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        place, speed, phase = h.unbind(1)
        force = self.gamma * phase.cos() - self.delta * speed - self.alpha * place - self.beta * place**3
        return torch.stack([speed, force, torch.full_like(phase, self.omega)], dim=1)

    def forward(self, x: Tensor, state: FlowState) -> tuple[Tensor, FlowState]:
        h, _ = super().forward(x, state)
        turned = torch.cat([h[:, :2], h[:, 2:].remainder(2 * math.pi)], 1)
        return turned, FlowState(turned)

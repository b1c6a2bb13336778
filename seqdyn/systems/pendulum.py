"""A pendulum with friction, driven by a torque."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.flow import Flow


class Pendulum(Flow):
    """A damped, driven pendulum: d²θ/dt² = −ω₀² sin θ − c dθ/dt + u.

    The output is h_t = (θ, dθ/dt), θ in radians from where it hangs, and turns are counted: θ grows by 2π with each.
    The input u is a torque divided by the moment of inertia, rad/s², held during a step.

    Parameters
    ----------
    frequency : float > 0
        ω₀ = √(g/l), rad/s, of small swings without friction.
    damping : float, at least 0
        c, 1/s.
    dt : float > 0
        The time one step covers, s.

    Raises
    ------
    ValueError
        If a constant is outside its range.

    Notes
    -----
    Undriven, it swings once in 4 K(sin(θ_max / 2)) / ω₀ seconds without friction, K the complete elliptic integral.
    A torque u = 1.5 cos(2 t / 3) drives one with ω₀ = 1 and c = 0.5 into chaos.

    References
    ----------
    Baker & Gollub (1996), Chaotic dynamics, eq. (1.2).

    Examples
    --------
    >>> import torch
    >>> from seqdyn.systems.simulate import simulate
    >>> push = torch.zeros(1, 100, 1)
    >>> push[:, :10] = 1.0
    >>> simulate(Pendulum(), 100, x=push)[0, 10::30, 0]
    tensor([ 0.1337,  0.3249, -0.0052])
    """

    def __init__(self, frequency: float = 1.0, damping: float = 0.5, dt: float = 0.05):
        if not frequency > 0 or not damping >= 0:
            raise ValueError(f"frequency must be positive and damping at least 0, got {frequency} and {damping}.")
        super().__init__([0.0, 0.0], dt, input_size=1)
        self.frequency, self.damping = frequency, damping

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        angle, speed = h.unbind(1)
        return torch.stack([speed, -(self.frequency**2) * angle.sin() - self.damping * speed + x[:, 0]], dim=1)

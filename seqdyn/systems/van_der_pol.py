"""The Van der Pol oscillator, whose limit cycle attracts every other trajectory."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.flow import Flow


class VanDerPol(Flow):
    """The Van der Pol oscillator: d²x/dt² = μ (1 − x²) dx/dt − x + u.

    The output is h_t = (x, dx/dt), the input u a force, held during a step; a constant 0 leaves it alone.

    Parameters
    ----------
    mu : float, at least 0
        μ: a harmonic oscillator at 0, jumps between two slow branches where it is large.
    dt : float > 0
        The time one step covers.

    Raises
    ------
    ValueError
        If μ is negative: every orbit would leave for good.

    Notes
    -----
    Undriven, the period is 6.6633 at μ = 1, and the amplitude of x is close to 2 at every μ > 0.

    References
    ----------
    Van der Pol (1926), On relaxation-oscillations, eq. (2).

    Examples
    --------
    >>> import torch
    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(VanDerPol(), 2000, x=torch.zeros(1, 2000, 1))[0, 1000:, 0].max()
    tensor(2.0086)
    """

    def __init__(self, mu: float = 1.0, dt: float = 0.05):
        if not mu >= 0:
            raise ValueError(f"mu must be at least 0, got {mu}.")
        super().__init__([2.0, 0.0], dt, input_size=1)
        self.mu = mu

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        place, speed = h.unbind(1)
        return torch.stack([speed, self.mu * (1 - place**2) * speed - place + x[:, 0]], dim=1)

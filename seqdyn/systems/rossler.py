"""The Rössler system, the simplest flow that folds: one nonlinear term."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.flow import Flow


class Rossler(Flow):
    """The Rössler system: dx/dt = −y − z, dy/dt = x + a y, dz/dt = b + z (x − c).

    The output is h_t = (x, y, z); it has no input.

    Parameters
    ----------
    a, b, c : float
        Chaotic at 0.2, 0.2 and 5.7: a spiral outwards in the plane, lifted and folded back where x > c.
    dt : float > 0
        The time one step covers.

    Notes
    -----
    The largest Lyapunov exponent is 0.071 at the defaults; one turn takes about 5.9 units of time.

    References
    ----------
    Rössler (1976), An equation for continuous chaos, eq. (2).

    Examples
    --------
    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(Rossler(), steps=100).shape
    torch.Size([1, 100, 3])
    """

    def __init__(self, a: float = 0.2, b: float = 0.2, c: float = 5.7, dt: float = 0.05):
        super().__init__([1.0, 1.0, 0.0], dt)
        self.a, self.b, self.c = a, b, c

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        u, v, w = h.unbind(1)
        return torch.stack([-v - w, u + self.a * v, self.b + w * (u - self.c)], dim=1)

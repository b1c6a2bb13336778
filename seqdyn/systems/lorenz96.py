"""The Lorenz-96 system: a ring of sites, the standard model of chaos in many dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.checks import check_count
from seqdyn.flow import Flow


class Lorenz96(Flow):
    """The Lorenz-96 system on a ring: dh_i/dt = (h_{i+1} − h_{i−2}) h_{i−1} − h_i + F.

    The output is h_t, (batch, size); it has no input. It starts at rest, h_i = F, with the first site pushed by 0.01.

    Parameters
    ----------
    size : int, at least 4
        Sites of the ring.
    forcing : float
        F; chaotic at 8.
    dt : float > 0
        The time one step covers.

    Raises
    ------
    ValueError
        If the ring has fewer than four sites.

    Notes
    -----
    With 40 sites and F = 8 the largest Lyapunov exponent is about 1.68, and 13 exponents are positive.

    References
    ----------
    Lorenz (1996), Predictability: a problem partly solved, eq. (1); Lorenz & Emanuel (1998), Optimal sites for
    supplementary weather observations.

    Examples
    --------
    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(Lorenz96(8), steps=100).shape
    torch.Size([1, 100, 8])
    """

    def __init__(self, size: int = 40, forcing: float = 8.0, dt: float = 0.05):
        check_count("size", size, 4)
        super().__init__([forcing + 0.01, *[float(forcing)] * (size - 1)], dt)
        self.size, self.forcing = size, forcing

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        after, before, before_that = (torch.roll(h, shift, 1) for shift in (-1, 1, 2))
        return (after - before_that) * before - h + self.forcing

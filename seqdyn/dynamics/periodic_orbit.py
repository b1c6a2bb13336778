"""Periodic orbits of a map: F^p(h) = h, by Newton's method, and their Floquet multipliers.

h_{t+p} = h_t,   M = J_p J_{p-1} … J_1,   δ = (I − M)⁻¹ (F^p(h) − h)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdyn.dynamics.angles import Lifted
from seqdyn.dynamics.products import scaled, total
from seqdyn.dynamics.spectrum import eigenvalues

RECURRENCE_TOLERANCE = 1e-7
"""A run that comes back so near, relative to its size, may repeat itself."""

NEUTRAL = 1e-6
"""|μ| this near to 1 neither decays nor grows."""

WEAK = 0.1
"""Of the power of the strongest harmonic."""

ORBIT_ITERATIONS = 20
"""Of Newton's method, at most."""


@dataclass(frozen=True)
class Orbit:
    """A periodic orbit: h_0 … h_{p−1}, the eigenvalues of M, the largest modulus first, and how well it is closed.

    The residual is max |F(h_{p−1}) − h_0|, relative to the size of the orbit.
    """

    points: Tensor
    multipliers: Tensor
    residual: float

    @property
    def isolated(self) -> bool:
        """Whether no multiplier is 1: no orbit of the same period lies beside it."""
        return bool(((self.multipliers - 1).abs() > NEUTRAL).all())

    @property
    def turns(self) -> int:
        """q: how many times it turns in its p steps, as its strongest harmonic says that has no common divisor with p.

        1 if that is weak, as it is of orbits that come from doubled periods.
        """
        steps = len(self.points)
        power = torch.fft.rfft(self.points - self.points.mean(0), dim=0).abs().square().sum(1)
        prime = [k for k in range(1, steps // 2 + 1) if math.gcd(k, steps) == 1]
        strongest = max(prime, key=lambda k: float(power[k]))
        return strongest if power[strongest] > WEAK * power.max() else 1


def recurrence(step: Lifted, run: Tensor) -> int | None:
    """The smallest p after which the end of a run (time, n) repeats itself, to 1e-7 of its size.

    None if it does not repeat itself twice within the run.
    """
    tail = run[-1]
    size = orbit_size(step, run)
    back = step.short(run[:-1] - tail).abs().amax(1).flip(0)
    for period in (back <= RECURRENCE_TOLERANCE * size).nonzero().flatten().add(1).tolist():
        if 2 * period > len(run):
            return None
        gap = step.short(run[-period:] - run[-2 * period : -period]).abs().max()
        if gap <= 10 * RECURRENCE_TOLERANCE * size:
            return int(period)
    return None


def orbit_size(step: Lifted, run: Tensor) -> float:
    """The largest standard deviation of a component of a run (time, n), of angles at most that of all directions."""
    deviation = run.std(0)
    return float(torch.where(step.angles, deviation.clamp_max(math.pi / math.sqrt(3)), deviation).max())


def periodic_orbit(step: Lifted, start: Tensor, period: int, size: float, tolerance: float) -> Orbit:
    """The periodic orbit near a state (n,), the best one that Newton's method on F^p(h) = h meets.

    Directions in which the orbit is not isolated are left as they are. ``size`` is that of :func:`orbit_size`; the
    method stops at a thousandth of ``tolerance``.
    """
    best, gap = start, math.inf
    h = start
    for _ in range(ORBIT_ITERATIONS):
        points = walked(step, h, period)
        back = step.short(step(points[-1:])[0] - h)
        error = float(back.abs().max()) / size
        if not error < gap:
            break
        best, gap = h, error
        if error <= 1e-3 * tolerance:
            break
        monodromy = _monodromy(step, points)
        h = h + torch.linalg.lstsq(torch.eye(len(h), dtype=h.dtype) - monodromy, back, rcond=NEUTRAL, driver="gelsd")[0]
    points = walked(step, best, period)
    return Orbit(points, eigenvalues(_monodromy(step, points)), gap)


def walked(step: Lifted, start: Tensor, count: int) -> Tensor:
    """The states along an orbit, (count, n): start, F(start), F(F(start)), …"""
    points = [start[None]]
    for _ in range(count - 1):
        points.append(step(points[-1]))
    return torch.cat(points)


def _monodromy(step: Lifted, points: Tensor) -> Tensor:
    """M = J_p … J_1 along the points, (n, n)."""
    product = total(scaled(step.field.jacobian(points)))
    return product.matrix * product.log.exp()

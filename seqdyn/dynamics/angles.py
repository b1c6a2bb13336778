"""States that are angles: a map takes them modulo 2π, so they may grow without bound or jump by a turn.

    F(h + 2π e_i) = F(h) + 2π e_i        a phase that grows
    F(h + 2π e_i) = F(h)                 a phase that is kept within one turn

The lifted map moves such a component by its way around the circle, in (−π, π], so that it is continuous.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqdyn.dynamics.held import Field

TURN = 2 * math.pi

SAME_MAP = 1e-9
"""Relative to 1 + max |h|: so well is a map known to take a component modulo a turn."""


def wrapped_angle(angle: Tensor) -> Tensor:
    """The same angle in [−π, π)."""
    return torch.remainder(angle + math.pi, TURN) - math.pi


class Lifted:
    """A map of states, made continuous in the components that ``angles`` (n,) marks.

    Examples
    --------
    The phase of a shaken pendulum is kept in [0, 2π); lifted, it grows.

    >>> from seqdyn.systems.duffing import Duffing
    >>> from seqdyn.dynamics.held import held_input
    >>> field = Field(Duffing(), held_input(Duffing(), None))
    >>> late = torch.tensor([[0.0, 0.0, 6.28]]).double()
    >>> lifted = Lifted(field, torch.tensor([False, False, True]))
    >>> [round(float(each[0, 2]), 2) for each in (late + field.gap(late), lifted(late))]
    [0.06, 6.34]
    """

    def __init__(self, field: Field, angles: Tensor):
        self.field, self.angles = field, angles

    def __call__(self, h: Tensor) -> Tensor:
        """F(h), (m, n)."""
        return h + self.short(self.field.gap(h))

    def short(self, way: Tensor) -> Tensor:
        """Differences of states, (m, n); of angles the shorter way around the circle."""
        return torch.where(self.angles, wrapped_angle(way), way)

    def unwound(self, run: Tensor) -> Tensor:
        """A run (time, n) in which angles do not jump."""
        ways = self.short(run.diff(dim=0)).cumsum(0)
        return torch.cat([run[:1], run[:1] + ways])


def angles_of(field: Field, run: Tensor) -> Tensor:
    """Find the components of a run (time, n) that are angles: the map ignores their full turns."""
    ways = wrapped_angle(run.diff(dim=0)).sum(0).abs()
    found = ways > TURN
    at = run[:: max(1, len(run) // 3)][:3]
    for place in found.nonzero().flatten().tolist():
        found[place] = _modulo_a_turn(field, at, place)
    return found


def _modulo_a_turn(field: Field, h: Tensor, place: int) -> bool:
    """Whether the map ignores a full turn of one component, but not a part of a turn."""
    turn = torch.zeros(h.shape[1], dtype=h.dtype)
    turn[place] = TURN
    here, size = h + field.gap(h), SAME_MAP * (1 + h.abs().max())
    change = h + turn + field.gap(h + turn) - here
    part = h + turn / 3 + field.gap(h + turn / 3) - here
    same = min(float(change.abs().max()), float((change - turn).abs().max()))
    return same <= float(size) < float(part.abs().max())

"""The Jacobian of a typical step of a trajectory: the step whose spectral radius is the median."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.dynamics.non_normality import Normality, normality
from seqdyn.dynamics.spectrum import spectral_radius
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.facts import shown_by_shape
from seqdyn.state import State


@shown_by_shape
class TypicalStep(NamedTuple):
    """One step's Jacobian, where it was taken, and the spectral radii of all steps that were looked at."""

    at: str
    matrix: Normality
    radii: Tensor


def typical_step(cell: Cell, x: Any, state: State, *, sampled: int = 64) -> TypicalStep:
    """The Jacobian J_t = ∂h_t/∂h_{t-1} of the step of median spectral radius, and the radii along the way.

    At most ``sampled`` steps of the first sequence are looked at, evenly spread.

    Examples
    --------
    >>> from seqdyn.cells.linear import Linear
    >>> cell = Linear(1, 3)
    >>> found = typical_step(cell, torch.ones(1, 20, 1), cell.initial_state(1))
    >>> found.at, len(found.radii)
    ('every step', 20)
    """
    trajectory = Trajectory(cell, x, state)
    wanted = torch.linspace(0, trajectory.time - 1, min(sampled, trajectory.time)).round().long().unique()
    kept = []
    for stretch in trajectory.forward():
        here = wanted[(wanted >= stretch.start) & (wanted < stretch.stop)] - stretch.start
        if len(here):
            kept.append(stretch.jacobians()[:1, here])
    matrices = torch.cat(kept, 1)[0]
    radii = spectral_radius(matrices)
    typical = int(radii.argsort()[(len(radii) - 1) // 2])
    constant = bool((matrices == matrices[0]).all())
    at = "every step" if constant else f"step {int(wanted[typical])} of the first sequence, of median spectral radius"
    return TypicalStep(at, normality(matrices[typical]), radii)

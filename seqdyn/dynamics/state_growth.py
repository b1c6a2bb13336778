"""How much the states of a run grow: it tells plain growth from chaos."""

from __future__ import annotations

from typing import Any

import torch

from seqdyn.cell import Cell
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.state import State


def state_growth(cell: Cell, x: Any, state: State) -> float:
    """The logarithm of how much larger the states of the second half of a run are than those of the first.

        ln max_{t ≥ T/2} ‖h_t‖ − ln max_{t < T/2} ‖h_t‖

    ``x`` and ``state`` hold one row. The result is 0 where the states of the first half are all 0.
    """
    sizes = torch.cat([part.states() for part in Trajectory(cell, x, state).forward()], 1)[0].norm(dim=1)
    early, late = sizes.chunk(2)
    return float((late.max() / early.max()).log()) if bool(early.any()) else 0.0

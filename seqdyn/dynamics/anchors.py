"""Choose the steps whose errors are followed back in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.dynamics.gradients import output_gradient
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.state import State


def anchors(cell: Cell, x: Any, loss: Callable[[Tensor], Tensor], state: State, *, lag: int, count: int) -> list[int]:
    """Choose at most ``count`` steps whose errors are followed back; none if no error has a gradient.

    They lie in the second half, and at least ``lag`` steps in, where possible.

    Examples
    --------
    >>> from seqdyn.cells.linear import Linear
    >>> cell = Linear(1, 2).double()
    >>> x = torch.ones(1, 100, 1, dtype=torch.float64)
    >>> anchors(cell, x, lambda output: output**2, cell.initial_state(1), lag=10, count=3)
    [50, 74, 99]
    """
    trajectory = Trajectory(cell, x, state)
    slopes = output_gradient(trajectory, loss)
    there = (slopes != 0).flatten(2).any(2).any(0).nonzero().flatten()
    for earliest in (max(lag - 1, trajectory.time // 2), lag - 1, 0):
        late = there[there >= earliest]
        if len(late):
            return late[torch.linspace(0, len(late) - 1, min(count, len(late))).round().long()].tolist()
    return []

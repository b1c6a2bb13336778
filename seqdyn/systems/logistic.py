"""The logistic map, the simplest chaotic recurrence: h_t = r h_{t-1} (1 − h_{t-1})."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.facts import shown_by_shape


@shown_by_shape
class LogisticState(NamedTuple):
    """``h`` (batch, 1), in [0, 1]."""

    h: Tensor


class Logistic(Cell):
    """The logistic map: y_t = h_t, h_t = r h_{t-1} (1 − h_{t-1}).

    It settles on a fixed point for r < 3, on cycles of 2, 4, 8, … steps up to r ≈ 3.57, and is chaotic for most r
    beyond. It has no input: x is (batch, time, 0).

    Parameters
    ----------
    r : float in [0, 4]
        The growth rate; within these bounds h stays in [0, 1].

    Raises
    ------
    ValueError
        If r is outside [0, 4].

    Notes
    -----
    ∂h_t/∂h_{t-1} = r (1 − 2 h_{t-1}). At r = 4 the map has a closed form, h_t = sin²(2ᵗ arcsin √h_0).

    References
    ----------
    May (1976), Simple mathematical models with very complicated dynamics.

    Examples
    --------
    At r = 2 it finds the fixed point 1 − 1/r:

    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(Logistic(r=2.0), steps=4).flatten()
    tensor([0.4688, 0.4980, 0.5000, 0.5000])
    """

    start: Tensor

    def __init__(self, r: float = 3.9):
        if not 0 <= r <= 4:
            raise ValueError(f"r must be in [0, 4], where h stays in [0, 1], got {r}.")
        super().__init__(input_size=0, hidden_size=1)
        self.r = r
        self.register_buffer("start", torch.tensor([0.375]))

    def initial_state(self, batch: int) -> LogisticState:
        return LogisticState(self.start.expand(batch, -1))

    def forward(self, x: Tensor, state: LogisticState) -> tuple[Tensor, LogisticState]:
        h = self.r * state.h * (1 - state.h)
        return h, LogisticState(h)

    def jacobian(self, x: Tensor, before: LogisticState, output: Tensor, after: LogisticState) -> Tensor:
        return (self.r * (1 - 2 * before.h)).unsqueeze(-1)

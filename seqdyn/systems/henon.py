"""The Hénon map, a chaotic recurrence in the plane that contracts areas."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.facts import shown_by_shape


@shown_by_shape
class HenonState(NamedTuple):
    """``h`` (batch, 2): the coordinates x and y."""

    h: Tensor


class Henon(Cell):
    """The Hénon map: x_t = 1 − a x_{t-1}² + y_{t-1}, y_t = b x_{t-1}; the output is h_t = (x_t, y_t).

    It folds and stretches the plane onto a fractal. It has no input: the scan's x is (batch, time, 0).

    Parameters
    ----------
    a : float
        How strongly it folds.
    b : float
        The share of area left after a step, with reversed orientation: det ∂h_t/∂h_{t-1} = −b everywhere.

    Notes
    -----
    With the default constants most starts with |x|, |y| ≲ 0.5 reach the attractor; starts far away escape to
    infinity.

    References
    ----------
    Hénon (1976), A two-dimensional mapping with a strange attractor.

    Examples
    --------
    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(Henon(), steps=2)
    tensor([[[ 1.0000,  0.0000],
             [-0.4000,  0.3000]]])
    """

    start: Tensor

    def __init__(self, a: float = 1.4, b: float = 0.3):
        super().__init__(input_size=0, hidden_size=2)
        self.a = a
        self.b = b
        self.register_buffer("start", torch.zeros(2))

    def initial_state(self, batch: int) -> HenonState:
        return HenonState(self.start.expand(batch, -1))

    def forward(self, x: Tensor, state: HenonState) -> tuple[Tensor, HenonState]:
        first, second = state.h.unbind(1)
        h = torch.stack([1 - self.a * first**2 + second, self.b * first], dim=1)
        return h, HenonState(h)

    def jacobian(self, x: Tensor, before: HenonState, output: Tensor, after: HenonState) -> Tensor:
        first = before.h[:, 0]
        one, zero = torch.ones_like(first), torch.zeros_like(first)
        rows = [torch.stack([-2 * self.a * first, one], 1), torch.stack([self.b * one, zero], 1)]
        return torch.stack(rows, dim=1)

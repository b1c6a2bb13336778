"""Two tanks, one above the other, that may overflow: a driven system with a soft and a hard nonlinearity."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.facts import shown_by_shape
from seqdyn.kernels.runge_kutta import runge_kutta


@shown_by_shape
class CascadedTanksState(NamedTuple):
    """``level`` (batch, 2): the water levels of the upper and the lower tank, as their sensors' volts."""

    level: Tensor


class CascadedTanks(Cell):
    """A pump fills an upper tank, which drains into a lower one: x is the pump's voltage, y the lower level.

        dx_1/dt = −k_1 √x_1 + k_4 u
        dx_2/dt = k_2 √x_1 − k_3 √x_2

    The levels stay in [0, ``maximum``]. What the pump delivers to a full upper tank spills over its rim, and the
    share ``overflow`` of it falls into the lower tank; what the lower tank cannot hold is lost.

    Parameters
    ----------
    k1, k2, k3 : float > 0
        The outflow of the upper tank, the inflow and the outflow of the lower one, √V/s. The ratio k_2/k_1 is
        that of the areas of the tanks, upper to lower.
    k4 : float
        The inflow the pump gives, 1/s.
    maximum : float > 0
        The level at which a tank is full, V.
    overflow : float in [0, 1]
        The share of the spilled water that the lower tank catches.
    dt : float > 0
        The time one step covers, s; u is held constant during it.

    Raises
    ------
    ValueError
        If a constant is outside its range.

    Notes
    -----
    One step is one Runge–Kutta step of order 4, then the overflow. The output y_t is the level *after* u_t has
    acted for dt. A constant voltage without overflow leads to √x_1 = k_4 u / k_1 and √x_2 = k_2 √x_1 / k_3. The
    default constants are rounded from a least-squares fit to the benchmark's measurements.

    References
    ----------
    Schoukens & Noël (2017), Three benchmarks addressing open challenges in nonlinear system identification.

    Examples
    --------
    The pump is switched off, and the tanks run dry:

    >>> import torch
    >>> from seqdyn.loops import scan
    >>> scan(CascadedTanks(), torch.zeros(1, 100, 1)).output[0, ::33, 0]
    tensor([4.9917, 0.2943, 0.0000, 0.0000])
    """

    start: Tensor

    def __init__(
        self,
        k1: float = 0.06,
        k2: float = 0.035,
        k3: float = 0.035,
        k4: float = 0.05,
        maximum: float = 10.0,
        overflow: float = 0.5,
        dt: float = 4.0,
    ):
        for name, value in (("k1", k1), ("k2", k2), ("k3", k3), ("maximum", maximum), ("dt", dt)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}.")
        if not 0 <= overflow <= 1:
            raise ValueError(f"overflow is a share and must be in [0, 1], got {overflow}.")
        super().__init__(input_size=1, hidden_size=2, output_size=1)
        self.k1, self.k2, self.k3, self.k4 = k1, k2, k3, k4
        self.maximum = maximum
        self.overflow = overflow
        self.dt = dt
        self.register_buffer("start", torch.full((2,), maximum / 2))

    def initial_state(self, batch: int) -> CascadedTanksState:
        return CascadedTanksState(self.start.expand(batch, -1))

    def flow(self, level: Tensor, voltage: Tensor) -> Tensor:
        """d(level)/dt below the rims, V/s, (batch, 2), from level (batch, 2) and voltage (batch, 1)."""
        upper, lower = _smooth_root(level).unbind(1)
        return torch.stack([-self.k1 * upper + self.k4 * voltage[:, 0], self.k2 * upper - self.k3 * lower], dim=1)

    def forward(self, x: Tensor, state: CascadedTanksState) -> tuple[Tensor, CascadedTanksState]:
        level = self.spill(runge_kutta(lambda level, _: self.flow(level, x), state.level, self.dt))
        return level[:, 1:], CascadedTanksState(level)

    def spill(self, level: Tensor) -> Tensor:
        """Let the water above the upper rim fall, and bring both levels into [0, maximum]."""
        upper, lower = level.unbind(1)
        caught = self.overflow * self.k2 / self.k1 * torch.relu(upper - self.maximum)
        return torch.stack([upper, lower + caught], dim=1).clamp(0.0, self.maximum)


def _smooth_root(level: Tensor) -> Tensor:
    """√level where there is water, else 0, with a gradient that is finite everywhere."""
    wet = level > 0
    return torch.where(wet, torch.where(wet, level, 1.0).sqrt(), 0.0)

"""The salamander's central pattern generator: twenty coupled oscillators that walk, swim and turn by their drive."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.flow import Flow, FlowState

SEGMENTS = 8
LEFT, RIGHT, LIMBS = slice(0, 8), slice(8, 16), slice(16, 20)
"""Where the oscillators stand: eight left and eight right ones along the body, and four limbs, LF, RF, LH, RH."""


class Oscillators(NamedTuple):
    """``phase``, ``amplitude`` and ``speed`` (dr/dt), each (batch, 20)."""

    phase: Tensor
    amplitude: Tensor
    speed: Tensor


class Salamander(Flow):
    """The central pattern generator of a salamander: the drive of both sides in, the angles of its joints out.

        dθ_i/dt = 2π ν_i + Σ_j r_j w_ij sin(θ_j − θ_i − φ_ij)
        d²r_i/dt² = a ((a/4) (R_i − r_i) − dr_i/dt)
        ν_i = c_ν1 d + c_ν0,   R_i = c_R1 d + c_R0        where d is in the range of oscillator i, else 0
        y_k = r_left,k (1 + cos θ_left,k) − r_right,k (1 + cos θ_right,k)        the body, from head to tail
        y_l = r_l (1 + cos θ_l)                                                  the limbs LF, RF, LH, RH

    Neighbours along the body pull each other to a lag of an eighth of a cycle, both sides to opposite phases, and every
    limb pulls the half of the body beside it. Above d = 3 the limbs fall silent, and a standing wave (walking) becomes
    a travelling one (swimming).

    The input (batch, 2) is the drive d of the left and of the right side, held during a step; the output (batch, 12) is
    in radians. A drive below 1 or above 5 leaves it at rest, unlike drives make it turn.

    Parameters
    ----------
    convergence : float > 0
        a, 1/s: amplitudes follow R with a time constant of 2/a.
    axial_coupling, limb_coupling : float
        The weights w between neighbours, and from a limb to the body.
    dt : float > 0
        The time one step covers, s.

    Notes
    -----
    It walks at 0.2 d Hz for 1 ≤ d ≤ 3, and swims at 0.2 d + 0.3 Hz for 3 < d ≤ 5, with a lag of 0.125 cycles a segment.

    References
    ----------
    Ijspeert, Crespi, Ryczko & Cabelguen (2007), From swimming to walking with a salamander robot driven by a spinal
    cord model, equations of the supplement and Table S1.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.systems.simulate import simulate
    >>> drive = torch.full((1, 3000, 2), 4.0)
    >>> angles = simulate(Salamander(), 3000, x=drive)
    >>> angles.shape
    torch.Size([1, 3000, 12])
    >>> head = angles[0, 2000:, 0]
    >>> int(((head[:-1] < 0) & (head[1:] >= 0)).sum())  # turns in 10 s of swimming, at 1.1 Hz
    11
    """

    weight: Tensor
    bias: Tensor
    low: Tensor
    high: Tensor
    rate: Tensor
    size: Tensor

    def __init__(
        self,
        convergence: float = 20.0,
        axial_coupling: float = 10.0,
        limb_coupling: float = 30.0,
        dt: float = 0.01,
    ):
        if not convergence > 0:
            raise ValueError(f"convergence must be positive, got {convergence}.")
        phases = [0.1 * number + math.pi * (number // SEGMENTS % 2) for number in range(20)]
        super().__init__([*phases, *[0.1] * 20, *[0.0] * 20], dt, input_size=2)
        self.output_size, self.output_shape = 12, (12,)
        self.convergence, self.axial_coupling, self.limb_coupling = convergence, axial_coupling, limb_coupling
        weight, bias = connections(axial_coupling, limb_coupling)
        axial, limb = torch.ones(16), torch.ones(4)
        tables = {
            "weight": weight,
            "bias": bias,
            "low": torch.ones(20),
            "high": torch.cat([5.0 * axial, 3.0 * limb]),
            "rate": torch.stack([0.2 * torch.ones(20), torch.cat([0.3 * axial, 0.0 * limb])]),
            "size": torch.stack([torch.cat([0.065 * axial, 0.131 * limb]), torch.cat([0.196 * axial, 0.131 * limb])]),
        }
        for name, table in tables.items():
            self.register_buffer(name, table)

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        phase, amplitude, speed = oscillators(h)
        frequency, wanted = self.intrinsic(x)
        apart = phase.unsqueeze(1) - phase.unsqueeze(2) - self.bias
        pull = (self.weight * apart.sin() * amplitude.unsqueeze(1)).sum(2)
        a = self.convergence
        change = a * (a / 4 * (wanted - amplitude) - speed)
        return torch.cat([2 * math.pi * frequency + pull, speed, change], 1)

    def intrinsic(self, drive: Tensor) -> tuple[Tensor, Tensor]:
        """ν, in Hz, and R of every oscillator, (batch, 20), from the drive of both sides (batch, 2)."""
        left, right = drive[:, :1], drive[:, 1:]
        d = torch.cat([left.expand(-1, 8), right.expand(-1, 8), left, right, left, right], 1)
        awake = (self.low <= d) & (d <= self.high)
        return torch.where(awake, self.rate[0] * d + self.rate[1], 0.0), torch.where(
            awake, self.size[0] * d + self.size[1], 0.0
        )

    def forward(self, x: Tensor, state: FlowState) -> tuple[Tensor, FlowState]:
        h, after = super().forward(x, state)
        phase, amplitude, _ = oscillators(h)
        moved = amplitude * (1 + phase.cos())
        return torch.cat([moved[:, LEFT] - moved[:, RIGHT], moved[:, LIMBS]], 1), after


def oscillators(h: Tensor) -> Oscillators:
    """The parts of a state h, (batch, 60)."""
    return Oscillators(h[:, :20], h[:, 20:40], h[:, 40:])


def connections(axial: float, limb: float) -> tuple[Tensor, Tensor]:
    """w and φ, (20, 20): row i receives from column j."""
    weight, bias = torch.zeros(20, 20), torch.zeros(20, 20)
    lag = 2 * math.pi / SEGMENTS
    for side in (0, 8):
        for k in range(side, side + 7):
            weight[k + 1, k] = weight[k, k + 1] = axial
            bias[k + 1, k], bias[k, k + 1] = lag, -lag
    opposite = [(k, k + 8) for k in range(8)] + [(16, 17), (18, 19), (16, 18), (17, 19)]
    for one, other in opposite:
        weight[one, other] = weight[other, one] = axial
        bias[one, other] = bias[other, one] = math.pi
    for number, first in ((16, 0), (17, 8), (18, 4), (19, 12)):
        weight[first : first + 4, number] = limb
    return weight, bias

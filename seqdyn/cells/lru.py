"""The linear recurrent unit: complex and diagonal, stable by parametrisation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seqdyn.activations import ACTIVATIONS, through
from seqdyn.cell import Block, Cell
from seqdyn.checks import check_choice
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.diagonal import diagonal_path, diagonal_recurrence
from seqdyn.kernels.projection import projected
from seqdyn.kernels.through_time import PRECISIONS


@shown_by_shape
class LRUState(NamedTuple):
    """``h`` (batch, hidden): the real and the imaginary part of each complex number, side by side."""

    h: Tensor


class LRU(Cell):
    """The linear recurrent unit: complex numbers that turn and decay, each on its own.

        h_t = λ ∘ h_{t-1} + γ ∘ B x_t,   λ = exp(−e^ν + i e^θ)
        y_t = σ_y(Re(C h_t) + D x_t)

    |λ| = exp(−e^ν) < 1 whatever ν is: it is always stable. A number forgets in e^{−ν} steps and turns once in
    2π e^{−θ}. With σ_y the identity this is a linear model with the poles λ and λ̄; linear memory under a nonlinear
    σ_y and a readout comes near any function that forgets.

    Parameters
    ----------
    input_size, hidden_size : int
        ``hidden_size`` counts real numbers, as in any other cell: two for each of the λ. It is even.
    output_size : int, optional
        ``hidden_size`` if None.
    output_activation : {"identity", "tanh", "relu", "sigmoid", "softmax"}
        σ_y.
    r_min, r_max : float in [0, 1]
        The λ start at random on the ring between these radii, evenly over its area. Near 1, memory is long.
    max_phase : float in (0, 2π]
        And at angles up to this one. A small one starts with slow oscillations only.
    generator : torch.Generator, optional
        Draws the weights; a fresh one if None.

    Attributes
    ----------
    log_decay, log_phase : Parameter, shape (hidden / 2,)
        ν and θ; the paper's θ, too, is a logarithm.
    log_gain : Parameter, shape (hidden / 2,)
        ln γ; starts at γ = √(1 − |λ|²), where white noise as input gives every number the same variance.
    input_map : Parameter, shape (hidden, inputs)
        B: Re B and Im B in alternate rows; starts normal.
    readout : Parameter, shape (outputs, hidden)
        C: Re C and −Im C in alternate columns, so that Re(C h) is the product with h as it is kept; starts normal.
    feedthrough : Parameter, shape (outputs, inputs)
        D; starts Glorot uniform.

    References
    ----------
    Orvieto et al. (2023), Resurrecting recurrent neural networks for long sequences, section 3 and appendix A.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> cell = LRU(2, 8, output_size=3, r_min=0.9)
    >>> scan(cell, torch.zeros(1, 5, 2)).output.shape
    torch.Size([1, 5, 3])
    >>> bool((cell.poles().abs() >= 0.9).all())
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        output_activation: str = "identity",
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        generator: torch.Generator | None = None,
    ):
        super().__init__(input_size, hidden_size, output_size)
        if hidden_size % 2:
            raise ValueError(f"hidden_size must be even, two real numbers for each complex one, got {hidden_size}.")
        self.output_activation = check_choice("output_activation", output_activation, list(ACTIVATIONS))
        self.r_min, self.r_max, self.max_phase = _checked_ring(r_min, r_max, max_phase)
        self.log_decay = nn.Parameter(torch.empty(hidden_size // 2))
        self.log_phase = nn.Parameter(torch.empty(hidden_size // 2))
        self.log_gain = nn.Parameter(torch.empty(hidden_size // 2))
        self.input_map = nn.Parameter(torch.empty(hidden_size, input_size))
        self.readout = nn.Parameter(torch.empty(self.output_size, hidden_size))
        self.feedthrough = nn.Parameter(torch.empty(self.output_size, input_size))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, λ on the ring."""
        generator = own_generator(generator)
        least = torch.finfo(self.log_decay.dtype).tiny
        area, angle = (torch.rand(len(self.log_decay), generator=generator).to(self.log_decay) for _ in range(2))
        square = (self.r_min**2 + area * (self.r_max**2 - self.r_min**2)).clamp(least, 1 - 1e-7)  # |λ|²
        with torch.no_grad():
            self.log_decay.copy_(torch.log(-0.5 * torch.log(square)))
            self.log_phase.copy_(torch.log((self.max_phase * angle).clamp(least)))
            self.log_gain.copy_(0.5 * torch.log1p(-square))
        nn.init.normal_(self.input_map, 0.0, (2 * max(self.input_size, 1)) ** -0.5, generator=generator)
        nn.init.normal_(self.readout, 0.0, max(len(self.log_decay), 1) ** -0.5, generator=generator)
        nn.init.xavier_uniform_(self.feedthrough, generator=generator)

    def poles(self) -> Tensor:
        """λ (hidden / 2,), complex."""
        return torch.exp(torch.complex(-torch.exp(self.log_decay), torch.exp(self.log_phase)))

    def initial_state(self, batch: int) -> LRUState:
        return LRUState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: LRUState) -> tuple[Tensor, LRUState]:
        a, b = self._turn()
        real, imaginary = state.h.unflatten(1, (-1, 2)).unbind(2)
        turned = torch.stack([a * real - b * imaginary, b * real + a * imaginary], 2).flatten(1)
        h = turned + linear(x, self._driven())
        read = linear(h, self.readout) + linear(x, self.feedthrough)
        return ACTIVATIONS[self.output_activation](read), LRUState(h)

    def unroll(self, x: Tensor, state: LRUState, mask: Tensor | None = None) -> Any:
        if x.dtype not in PRECISIONS:
            return NotImplemented
        drive, start = (_as_complex(value) for value in (projected(x, self._driven()), state.h))
        h = torch.view_as_real(diagonal_recurrence(self.poles(), drive, start, mask)).flatten(2)
        read = projected(h, self.readout, projected(x, self.feedthrough))
        return ACTIVATIONS[self.output_activation](read), LRUState(h[:, -1].clone())

    def backend(self, x: Tensor, state: LRUState, mask: Tensor | None = None) -> str:
        if x.dtype not in PRECISIONS:
            return f"step by step: its numbers are complex, and of {str(x.dtype).removeprefix('torch.')} there are none"
        return diagonal_path(self.input_map, x, state.h)

    def block(self, x: Tensor, before: LRUState, output: Tensor, after: LRUState) -> Block:
        a, b = self._turn()
        beside = torch.stack([b, torch.zeros_like(b)], 1).flatten()[:-1]
        transition = torch.diag(a.repeat_interleave(2)) + torch.diag(beside, -1) - torch.diag(beside, 1)
        input_map = self._driven()
        feedthrough = through(self.output_activation, output, self.readout @ input_map + self.feedthrough)
        readout = through(self.output_activation, output, self.readout @ transition)
        return Block(feedthrough, readout, input_map.expand(len(x), -1, -1), transition.expand(len(x), -1, -1))

    def _turn(self) -> tuple[Tensor, Tensor]:
        """Re λ and Im λ, in any precision."""
        radius, angle = torch.exp(-torch.exp(self.log_decay)), torch.exp(self.log_phase)
        return radius * torch.cos(angle), radius * torch.sin(angle)

    def _driven(self) -> Tensor:
        """γ ∘ B."""
        pairs = self.input_map.unflatten(0, (-1, 2))
        return (torch.exp(self.log_gain)[:, None, None] * pairs).flatten(0, 1)


def _as_complex(h: Tensor) -> Tensor:
    """Pairs of real numbers along the last axis as complex ones."""
    return torch.view_as_complex(h.unflatten(-1, (-1, 2)).contiguous())


def _checked_ring(r_min: float, r_max: float, max_phase: float) -> tuple[float, float, float]:
    """The ring on which λ starts; a ValueError where there is none."""
    if not 0 <= r_min <= r_max <= 1 or r_max == 0:
        raise ValueError(f"The λ start between r_min and r_max, 0 ≤ r_min ≤ r_max ≤ 1, got {r_min!r} and {r_max!r}.")
    if not 0 < max_phase <= 2 * math.pi:
        raise ValueError(f"max_phase must be an angle in (0, 2π], got {max_phase!r}.")
    return float(r_min), float(r_max), float(max_phase)

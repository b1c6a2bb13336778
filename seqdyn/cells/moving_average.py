"""Moving averages, as a window over the last inputs and as an exponential filter with a state."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seqdyn.activations import ARRAY_ACTIVATIONS
from seqdyn.arrays import Array
from seqdyn.cell import Block, Cell
from seqdyn.checks import check_choice, check_count
from seqdyn.facts import shown_by_shape
from seqdyn.kernels.exponential import exponential_average
from seqdyn.prepared import shared_arrays


@shown_by_shape
class WindowState(NamedTuple):
    """The shift register: ``past`` (batch, window − 1, inputs) holds x_{t-1}, x_{t-2}, …"""

    past: Tensor


@shown_by_shape
class AverageState(NamedTuple):
    """``h`` (batch, inputs): the average so far."""

    h: Tensor


class MovingAverage(Cell):
    """The stateless moving average, a window sliding along the input: y_t = Σ_{k=0}^{K-1} w_k x_{t-k}.

    Its horizon is finite: the state is a shift register of the last K − 1 inputs. In signal processing it is an
    FIR filter; along a whole sequence it is one convolution, which :meth:`unroll` runs.

    Parameters
    ----------
    input_size : int
    window : int, at least 1
        K.
    weights : {"uniform", "learned"}
        ``"uniform"`` fixes w_k = 1/K; ``"learned"`` starts there and trains one weight per lag and feature.

    Attributes
    ----------
    weight : Tensor, shape (inputs, window)
        w_k, newest lag first; a parameter if learned.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> ramp = torch.arange(1.0, 5.0).view(1, 4, 1)
    >>> scan(MovingAverage(1, window=2), ramp).output.squeeze()
    tensor([0.5000, 1.5000, 2.5000, 3.5000])
    """

    def __init__(self, input_size: int, window: int = 5, weights: str = "uniform"):
        check_count("window", window)
        super().__init__(input_size, hidden_size=(window - 1) * input_size, output_size=input_size)
        self.window = window
        self.weights = check_choice("weights", weights, ("uniform", "learned"))
        uniform = torch.full((input_size, window), 1.0 / window)
        if weights == "learned":
            self.weight = nn.Parameter(uniform)
        else:
            self.register_buffer("weight", uniform)

    def window_weight(self) -> Tensor:
        """w, shape (inputs, window); 1/K in full precision whatever the dtype."""
        return self.weight if self.weights == "learned" else torch.full_like(self.weight, 1.0 / self.window)

    def initial_state(self, batch: int) -> WindowState:
        return WindowState(self.zeros(batch, self.window - 1, self.input_size))

    def forward(self, x: Tensor, state: WindowState) -> tuple[Tensor, WindowState]:
        seen = torch.cat([x.unsqueeze(1), state.past], dim=1)  # (batch, window, inputs)
        return (seen * self.window_weight().T).sum(1), WindowState(seen[:, :-1])

    def unroll(self, x: Tensor, state: WindowState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        seen = torch.cat([state.past.flip(1), x], dim=1)  # (batch, window − 1 + time, inputs)
        kernel = self.window_weight().flip(1).unsqueeze(1)  # (inputs, 1, window)
        output = nn.functional.conv1d(seen.transpose(1, 2), kernel, groups=self.input_size).transpose(1, 2)
        return output, WindowState(seen[:, seen.shape[1] - self.window + 1 :].flip(1))

    def prepared(self) -> Any:
        (w,) = shared_arrays(self.window_weight().T)

        def step(x: Array, state: tuple[Array]) -> tuple[Array, tuple[Array]]:
            seen = np.concatenate([x[..., None, :], state[0]], -2)  # (…, window, inputs)
            return (seen * w).sum(-2), (seen[..., :-1, :],)

        return step

    def jacobian(self, x: Tensor, before: WindowState, output: Tensor, after: WindowState) -> Tensor:
        shift = torch.diag(x.new_ones(max(self.window - 2, 0)), -1)[: self.window - 1, : self.window - 1]
        return torch.kron(shift, torch.eye(self.input_size).to(x)).expand(len(x), -1, -1)

    def block(self, x: Tensor, before: WindowState, output: Tensor, after: WindowState) -> Block:
        newest, *past = (torch.diag(weight) for weight in self.window_weight().unbind(1))
        readout = torch.cat(past, 1) if past else x.new_zeros(self.input_size, 0)
        input_map = torch.eye((self.window - 1) * self.input_size, self.input_size).to(x)
        feedthrough, readout, input_map = (own.expand(len(x), -1, -1) for own in (newest, readout, input_map))
        return Block(feedthrough, readout, input_map, self.jacobian(x, before, output, after))


class ExponentialMovingAverage(Cell):
    """The stateful moving average: y_t = h_t, h_t = γ h_{t-1} + (1 − γ) x_t.

    Its horizon is infinite: every past input still counts, with weight (1 − γ) γ^k. In signal processing it is an
    IIR filter.

    Parameters
    ----------
    input_size : int
    gamma : float in (0, 1)
        γ; the average forgets to 1/e in −1/ln γ steps.
    learned : bool
        Train one γ per feature, starting from ``gamma``.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> scan(ExponentialMovingAverage(1, gamma=0.9), torch.ones(1, 2, 1)).output.squeeze()
    tensor([0.1000, 0.1900])
    """

    def __init__(self, input_size: int, gamma: float = 0.9, learned: bool = False):
        if not 0 < gamma < 1:
            raise ValueError(f"gamma must lie strictly between 0 and 1, got {gamma}.")
        super().__init__(input_size, hidden_size=input_size)
        self.gamma = gamma
        self.learned = learned
        logit = torch.full((input_size,), math.log(gamma / (1 - gamma)))
        if learned:
            self.logit = nn.Parameter(logit)  # γ = sigmoid(logit) stays in (0, 1)
        else:
            self.register_buffer("logit", logit)

    def decay(self) -> Tensor:
        """γ, shape (inputs,)."""
        return torch.sigmoid(self.logit) if self.learned else torch.full_like(self.logit, self.gamma)

    def initial_state(self, batch: int) -> AverageState:
        return AverageState(self.zeros(batch, self.input_size))

    def forward(self, x: Tensor, state: AverageState) -> tuple[Tensor, AverageState]:
        gamma = self.decay()
        h = gamma * state.h + (1 - gamma) * x
        return h, AverageState(h)

    def unroll(self, x: Tensor, state: AverageState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        output = exponential_average(x, state.h, self.decay())
        return output, AverageState(output[:, -1])

    def prepared(self) -> Any:
        logit, fixed = shared_arrays(self.logit, self.decay())
        sigmoid = ARRAY_ACTIVATIONS["sigmoid"]

        def step(x: Array, state: tuple[Array]) -> tuple[Array, tuple[Array]]:
            gamma = sigmoid(logit) if self.learned else fixed
            h = gamma * state[0] + (1 - gamma) * x
            return h, (h,)

        return step

    def jacobian(self, x: Tensor, before: AverageState, output: Tensor, after: AverageState) -> Tensor:
        return torch.diag(self.decay()).expand(len(x), -1, -1)

    def block(self, x: Tensor, before: AverageState, output: Tensor, after: AverageState) -> Block:
        transition = self.jacobian(x, before, output, after)
        input_map = torch.diag(1 - self.decay()).expand(len(x), -1, -1)
        return Block(input_map, transition, input_map, transition)

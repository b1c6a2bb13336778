"""Cells of every kind of input, as users may write them: tokens, pictures, a query of a held memory, a latent one."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell, apart
from seqdyn.files import register


@register
class HiddenState(NamedTuple):
    """``h`` (batch, …)."""

    h: Tensor


@register
class Tokens(Cell):
    """Whole numbers in, scores out: h_t = tanh(E[x_t] + U h_{t-1}), y_t = W h_t."""

    input_shape = ()

    def __init__(self, symbols: int, hidden_size: int):
        super().__init__(symbols, hidden_size, symbols)
        self.symbols = symbols
        self.embedding = nn.Embedding(symbols, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size)
        self.scores = nn.Linear(hidden_size, symbols)

    def initial_state(self, batch: int) -> HiddenState:
        return HiddenState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = torch.tanh(self.embedding(x) + self.recurrent(state.h))
        return self.scores(h), HiddenState(h)


@register
class Pictures(Cell):
    """Pictures in and out: H_t = tanh(K_x ∗ X_t + K_h ∗ H_{t-1}), Y_t = H_t."""

    def __init__(self, channels: int, height: int, width: int):
        super().__init__(channels * height * width, channels * height * width)
        self.channels, self.height, self.width = channels, height, width
        self.input_shape = self.output_shape = (channels, height, width)
        self.see = nn.Conv2d(channels, channels, 3, padding=1)
        self.keep = nn.Conv2d(channels, channels, 3, padding=1)

    def initial_state(self, batch: int) -> HiddenState:
        return HiddenState(self.zeros(batch, self.channels, self.height, self.width))

    def forward(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = torch.tanh(self.see(x) + self.keep(state.h))
        return h, HiddenState(h)


@register
class Memory(NamedTuple):
    """``keys`` and ``values`` (batch, positions, ·), held in time."""

    keys: Tensor
    values: Tensor


@register
class Asked(NamedTuple):
    """``query`` (batch, inputs), and the ``memory`` it is asked of."""

    query: Tensor
    memory: Memory


@register
class Attends(Cell):
    """Reads a held memory: α = softmax(K W [x_t; h_{t-1}]), h_t = tanh(U [x_t; αᵀ V])."""

    input_shape = None

    def __init__(self, input_size: int, hidden_size: int, memory_size: int):
        super().__init__(input_size, hidden_size)
        self.memory_size = memory_size
        self.ask = nn.Linear(input_size + hidden_size, memory_size)
        self.join = nn.Linear(input_size + memory_size, hidden_size)

    def initial_state(self, batch: int) -> HiddenState:
        return HiddenState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Asked, state: HiddenState) -> tuple[Tensor, HiddenState]:
        query = self.ask(torch.cat([x.query, state.h], 1))
        weights = torch.softmax((x.memory.keys @ query.unsqueeze(2)).squeeze(2), 1)
        context = (weights.unsqueeze(1) @ x.memory.values).squeeze(1)
        h = torch.tanh(self.join(torch.cat([x.query, context], 1)))
        return h, HiddenState(h)


@register
class Latent(Cell):
    """Draws anew at every step: z_t = μ(h_{t-1}) + σ ε_t, h_t = tanh(W [x_t; z_t] + U h_{t-1}), y_t = z_t."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size, input_size)
        self.mean = nn.Linear(hidden_size, input_size)
        self.scale = nn.Parameter(torch.zeros(input_size))
        self.drive = nn.Linear(2 * input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch: int) -> HiddenState:
        return HiddenState(self.zeros(batch, self.hidden_size))

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, time, self.input_size, generator=generator, dtype=self.zeros(1).dtype)

    def forward(self, x: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        value, noise = apart(x)
        z = self.mean(state.h) if noise is None else self.mean(state.h) + self.scale.exp() * noise
        h = torch.tanh(self.drive(torch.cat([value, z], 1)) + self.recurrent(state.h))
        return z, HiddenState(h)

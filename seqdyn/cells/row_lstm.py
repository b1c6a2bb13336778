"""The Row LSTM: a long short-term memory that moves down a picture, row by row.

    a_r = K_is ⊛ x_r + K_ss ⊛ h_{r-1} + b              4 hidden sums a pixel: i, f, g, o
    c_r = σ(f) ⊙ c_{r-1} + σ(i) ⊙ tanh(g)
    h_r = σ(o) ⊙ tanh(c_r)

K_is lets a pixel see itself and those to its left, K_ss all of the row above that it reaches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.loops import unroll
from seqdyn.rows import RowCell


@shown_by_shape
class RowState(NamedTuple):
    """``h`` and ``c``, (batch, width, hidden) each: the row above."""

    h: Tensor
    c: Tensor


class RowLSTM(RowCell):
    """A row of memories, each fed by its neighbours above.

    Parameters
    ----------
    width : int
        Pixels in a row.
    input_size : int
        Features of a pixel, which may show its own value no more than those after it.
    hidden_size : int
    size : int, odd
        Of both kernels, along the row.
    generator : torch.Generator, optional
        Draws both.

    Attributes
    ----------
    input_weight : Parameter, shape ((size // 2 + 1) · inputs, 4 hidden)
        K_is, the farthest pixel first.
    state_weight : Parameter, shape (size · hidden, 4 hidden)
        K_ss, from left to right.
    bias : Parameter, shape (4 hidden,)
        The forget gate's starts at 1.

    References
    ----------
    Van den Oord, Kalchbrenner & Kavukcuoglu (2016), Pixel recurrent neural networks, section 3.1.

    Examples
    --------
    >>> from seqdyn.loops import scan
    >>> scan(RowLSTM(5, 3, 8), torch.zeros(1, 4, 5, 3)).output.shape
    torch.Size([1, 4, 5, 8])
    """

    def __init__(
        self, width: int, input_size: int, hidden_size: int, size: int = 3, generator: torch.Generator | None = None
    ):
        super().__init__(width, input_size, hidden_size)
        if check_count("size", size) % 2 == 0:
            raise ValueError(f"size must be odd, so that a pixel is the middle of its kernel, got {size}.")
        self.size, self.reach = size, size // 2
        self.input_weight = nn.Parameter(torch.empty((self.reach + 1) * input_size, 4 * hidden_size))
        self.state_weight = nn.Parameter(torch.empty(size * hidden_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        generator = own_generator(generator)
        for weight in (self.input_weight, self.state_weight):
            for gate in weight.chunk(4, 1):
                nn.init.xavier_uniform_(gate, generator=generator)
        nn.init.ones_(self.bias.chunk(4)[1])

    def initial_state(self, batch: int) -> RowState:
        return RowState(*(self.zeros(batch, self.width, self.hidden_size) for _ in range(2)))

    def forward(self, x: Tensor, state: RowState) -> tuple[Tensor, RowState]:
        return self.step(self._project(x), state)

    def step(self, projected: Tensor, state: RowState) -> tuple[Tensor, RowState]:
        """A row from K_is ⊛ x_r + b."""
        h, c = _row_memory(projected + self._from_above(state.h), state.c)
        return h, RowState(h, c)

    def unroll(self, x: Tensor, state: RowState, mask: Tensor | None = None) -> Any:
        return unroll(_Projected(self), self._project(x), state, mask)

    def above(self, state: RowState) -> RowState:
        """K_ss ⊛ h_{r-1}, and c_{r-1}."""
        return RowState(self._from_above(state.h), state.c)

    def left(self, batch: int) -> Tensor:
        return self.zeros(batch, self.reach, self.input_size)

    def pixel(self, x: Tensor, above: RowState, left: Tensor) -> tuple[Tensor, RowState, Tensor]:
        seen = torch.cat([left, x.unsqueeze(1)], 1)
        h, c = _row_memory(seen.flatten(1) @ self.input_weight + self.bias + above.h, above.c)
        return h, RowState(h, c), seen[:, 1:]

    def below(self, x: Tensor, kept: RowState, state: RowState) -> RowState:
        return kept

    def _project(self, x: Tensor) -> Tensor:
        """K_is ⊛ x + b of rows (…, width, inputs)."""
        shifted = [nn.functional.pad(x, (0, 0, by, -by)) for by in range(self.reach, -1, -1)]
        return nn.functional.linear(torch.cat(shifted, -1), self.input_weight.T, self.bias)

    def _from_above(self, h: Tensor) -> Tensor:
        """K_ss ⊛ h of a row (batch, width, hidden)."""
        shifted = [nn.functional.pad(h, (0, 0, by, -by)) for by in range(self.reach, -self.reach - 1, -1)]
        return torch.cat(shifted, -1) @ self.state_weight


class _Projected(Cell):
    """The recurrence alone, on rows that are projected already."""

    def __init__(self, cell: RowLSTM):
        super().__init__(4 * cell.hidden_size, cell.hidden_size)
        self.cell, self.input_shape = cell, (cell.width, self.input_size)

    def forward(self, x: Tensor, state: RowState) -> tuple[Tensor, RowState]:
        return self.cell.step(x, state)


def _row_memory(sums: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """h and c from the four sums and the memory before."""
    i, f, g, o = sums.chunk(4, -1)
    c = torch.sigmoid(f) * before + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c

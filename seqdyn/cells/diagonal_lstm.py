"""The Diagonal BiLSTM: memories that run along the rows of a picture, in both directions, each fed from above.

    →  a_rc = W x_rc + U h_{r,c-1} + V h_{r-1,c} + b              4 hidden sums a pixel: i, f, o, g
       c_rc = σ(f) ⊙ c_{r,c-1} + σ(i) ⊙ tanh(g),   h_rc = σ(o) ⊙ tanh(c_rc)
    ←  the same from right to left, with its own weights: h'_rc
       y_rc = h_rc + h'_{r-1,c}

A pixel sees its own row to the left, and through the second direction, shifted down by a row, all of the row above to
the right. Pixels on one anti-diagonal do not need each other: a picture of n rows takes n + width − 1 steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.diagonal_lstm import diagonal_lstm_recurrence
from seqdyn.loops import scan
from seqdyn.rows import RowCell, Seen


@shown_by_shape
class DiagonalState(NamedTuple):
    """``h`` of the row above from left to right, ``back`` from right to left, (batch, width, hidden) each."""

    h: Tensor
    back: Tensor


@shown_by_shape
class LineState(NamedTuple):
    """``h`` and ``c``, (batch, …, hidden): the pixel before."""

    h: Tensor
    c: Tensor


class DiagonalLSTM(RowCell):
    """Two memories that run along the rows of a picture.

    Parameters
    ----------
    width : int
        Pixels in a row.
    input_size : int
        Features of a pixel, which may show its own value no more than those after it.
    hidden_size : int
    generator : torch.Generator, optional
        Draws W, U and V.

    Attributes
    ----------
    input_weight : Parameter, shape (2, inputs, 4 hidden)
        W, of both directions.
    state_weight : Parameter, shape (2, 2 · hidden, 4 hidden)
        U, what comes from the side, and V, from above.
    bias : Parameter, shape (2, 4 hidden)
        The forget gate's starts at 1.

    References
    ----------
    Van den Oord, Kalchbrenner & Kavukcuoglu (2016), Pixel recurrent neural networks, section 3.2.

    Examples
    --------
    >>> scan(DiagonalLSTM(5, 3, 8), torch.zeros(1, 4, 5, 3)).output.shape
    torch.Size([1, 4, 5, 8])
    """

    def __init__(self, width: int, input_size: int, hidden_size: int, generator: torch.Generator | None = None):
        super().__init__(width, input_size, hidden_size)
        self.input_weight = nn.Parameter(torch.empty(2, input_size, 4 * hidden_size))
        self.state_weight = nn.Parameter(torch.empty(2, 2 * hidden_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.zeros(2, 4 * hidden_size))
        generator = own_generator(generator)
        for weight in (*self.input_weight.detach(), *self.state_weight.detach()):
            for gate in weight.chunk(4, 1):
                nn.init.xavier_uniform_(gate, generator=generator)
        nn.init.ones_(self.bias.detach()[:, hidden_size : 2 * hidden_size])

    def initial_state(self, batch: int) -> DiagonalState:
        return DiagonalState(*(self.zeros(batch, self.width, self.hidden_size) for _ in range(2)))

    def above(self, state: DiagonalState) -> DiagonalState:
        return state

    def left(self, batch: int) -> LineState:
        return LineState(*(self.zeros(batch, self.hidden_size) for _ in range(2)))

    def pixel(self, x: Tensor, above: DiagonalState, left: LineState) -> tuple[Tensor, Tensor, LineState]:
        h, left = self.line(x, above.h, left, 0)
        return h + above.back, h, left

    def below(self, x: Tensor, kept: Tensor, state: DiagonalState) -> DiagonalState:
        back = scan(_Leftward(self), Seen(x, state.back), reverse=True).output
        return DiagonalState(kept, back)

    def line(self, x: Tensor, above: Tensor, left: LineState, direction: int) -> tuple[Tensor, LineState]:
        """One pixel of a row, along one of both directions."""
        seen = torch.cat([left.h, above], 1)
        sums = x @ self.input_weight[direction] + seen @ self.state_weight[direction] + self.bias[direction]
        after = _diagonal_memory(sums, left.c)
        return after.h, after

    def unroll(self, x: Tensor, state: DiagonalState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        batch, time = x.shape[:2]
        pixels = x.permute(1, 2, 0, 3)  # (time, width, batch, inputs): a diagonal is a slice
        both = torch.stack([pixels, pixels.flip(1)]).flatten(1, 3)
        projected = torch.baddbmm(self.bias.unsqueeze(1), both, self.input_weight)
        above = torch.stack([state.h, state.back.flip(1)]).transpose(1, 2)
        hidden = diagonal_lstm_recurrence(projected.unflatten(1, (-1, batch)), above, self.state_weight)
        h, back = hidden.unflatten(1, (time, -1)).permute(0, 3, 1, 2, 4)
        back = back.flip(2)
        shifted = torch.cat([state.back.unsqueeze(1), back[:, :-1]], 1)
        return h + shifted, DiagonalState(h[:, -1], back[:, -1])


class _Leftward(Cell):
    """The second direction along one row: x is :class:`Seen`."""

    input_shape = None

    def __init__(self, cell: DiagonalLSTM):
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell = cell

    def initial_state(self, batch: int) -> LineState:
        return self.cell.left(batch)

    def forward(self, x: Seen, state: LineState) -> tuple[Tensor, LineState]:
        return self.cell.line(x.x, x.above, state, 1)


def _diagonal_memory(sums: Tensor, before: Tensor) -> LineState:
    """h and c from the four sums and the memory before."""
    hidden = before.shape[-1]
    i, f, o = torch.sigmoid(sums[..., : 3 * hidden]).chunk(3, -1)
    c = f * before + i * torch.tanh(sums[..., 3 * hidden :])
    return LineState(o * torch.tanh(c), c)

"""A masked window on a picture: every pixel sees those before it, as far as the window reaches, and never itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.rows import RowCell


@shown_by_shape
class MaskedWindowState(NamedTuple):
    """``rows`` (batch, reach, width): the values of the last rows, oldest first."""

    rows: Tensor


class MaskedWindow(RowCell):
    """The first layer of a model of pictures: y_rc = Σ_{(u,v) before (0,0)} K_uv x_{r+u,c+v} + b, "mask A".

    Parameters
    ----------
    width : int
        Pixels in a row.
    output_size : int
        Features of a pixel.
    size : int, odd, at least 3
        Of the window: it reaches size // 2 rows up, and as many columns to both sides.
    generator : torch.Generator, optional
        Draws K.

    Attributes
    ----------
    weight : Parameter, shape (reach · size + reach, outputs), reach = size // 2
        K: the rows above, from the first on, then the pixels to the left, from the farthest on.
    bias : Parameter, shape (outputs,)

    References
    ----------
    Van den Oord, Kalchbrenner & Kavukcuoglu (2016), Pixel recurrent neural networks, section 3.4.

    Examples
    --------
    >>> from seqdyn.loops import scan
    >>> scan(MaskedWindow(width=5, output_size=8), torch.zeros(1, 4, 5)).output.shape
    torch.Size([1, 4, 5, 8])
    """

    def __init__(self, width: int, output_size: int, size: int = 7, generator: torch.Generator | None = None):
        super().__init__(width, 1, 0, output_size)
        if check_count("size", size, 3) % 2 == 0:
            raise ValueError(f"size must be odd, so that a pixel is the middle of its window, got {size}.")
        self.size, self.input_size, self.input_shape = size, width, (width,)  # a row of numbers, one a pixel
        self.reach = size // 2
        self.weight = nn.Parameter(torch.empty(self.reach * size + self.reach, output_size))
        self.bias = nn.Parameter(torch.zeros(output_size))
        nn.init.xavier_uniform_(self.weight, generator=own_generator(generator))

    def initial_state(self, batch: int) -> MaskedWindowState:
        return MaskedWindowState(self.zeros(batch, self.reach, self.width))

    def entering(self, x: Tensor) -> Tensor:
        """The value to the left of every pixel."""
        return nn.functional.pad(x, (1, -1))

    def above(self, state: MaskedWindowState) -> Tensor:
        taps = [(row, column) for row in range(self.reach) for column in range(self.size)]
        seen = self._seen(state.rows, taps, 1).squeeze(1)
        return seen @ self.weight[: -self.reach] + self.bias

    def left(self, batch: int) -> Tensor:
        return self.zeros(batch, self.reach - 1)

    def pixel(self, x: Tensor, above: Tensor, left: Tensor) -> tuple[Tensor, Any, Tensor]:
        beside = torch.cat([left, x.unsqueeze(1)], 1)
        return above + beside @ self.weight[-self.reach :], (), beside[:, 1:]

    def below(self, x: Tensor, kept: Any, state: MaskedWindowState) -> MaskedWindowState:
        return MaskedWindowState(torch.cat([state.rows[:, 1:], x.unsqueeze(1)], 1))

    def forward(self, x: Tensor, state: MaskedWindowState) -> tuple[Tensor, MaskedWindowState]:
        y, state = self.unroll(x.unsqueeze(1), state)
        return y.squeeze(1), state

    def unroll(self, x: Tensor, state: MaskedWindowState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        rows = torch.cat([state.rows, x], 1)
        taps = [divmod(number, self.size) for number in range(len(self.weight))]
        return self._seen(rows, taps, x.shape[1]) @ self.weight + self.bias, MaskedWindowState(rows[:, -self.reach :])

    def _seen(self, rows: Tensor, taps: list[tuple[int, int]], time: int) -> Tensor:
        """What stands at some places of the window of every pixel, (batch, time, width, taps); 0 outside."""
        padded = nn.functional.pad(rows, (self.reach, self.reach))
        return torch.stack([padded[:, r : r + time, c : c + self.width] for r, c in taps], -1)

"""Encoders of pictures: one row of features for every cell of a grid, and a summary of all rows.

    a_i = tanh(W φ_i + p_i)        φ_i of cell i: a small convolutional network made here, or given features
    s = tanh(W_s ā + b)            ā the mean of all a_i; where nothing is looked at later, [a_1; …; a_L]

No cell sees the cells beside it, so that what is looked at is where it is.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.encoder import Encoding
from seqdyn.generators import own_generator


class PatchFeatures(nn.Module):
    """φ: two layers of 3 × 3 filters inside every cell, none of which sees the cells beside it.

    Parameters
    ----------
    channels, size : int
        Of a picture; of a cell, pixels.
    filters : int
    generator : torch.Generator, optional
        Draws them.

    Attributes
    ----------
    output_size : int
        Numbers of a cell.
    scale : Tensor, shape (1,)
        The largest pixel of the training, by which pictures are divided: paper stays 0.
    """

    scale: Tensor

    def __init__(self, channels: int, size: int, filters: int = 32, generator: torch.Generator | None = None):
        super().__init__()
        self.channels, self.size = channels, size
        self.first, self.second = (nn.Conv2d(inputs, filters, 3, padding=1) for inputs in (channels, filters))
        generator = own_generator(generator)
        for layer in (self.first, self.second):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
        self.output_size = filters * (-(-size // 2)) ** 2
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (batch, channels, height, width) → (batch, cells, numbers)."""
        cells = (x / self.scale).unfold(2, self.size, self.size).unfold(3, self.size, self.size)
        batch, channels, rows, columns = cells.shape[:4]
        patches = cells.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels, self.size, self.size)
        seen = torch.relu(nn.functional.max_pool2d(self.first(patches), 2, ceil_mode=True))
        seen = torch.relu(self.second(seen))
        return seen.reshape(batch, rows * columns, -1)

    def shape(self, cells: int) -> tuple[int, ...]:
        """Of a picture of one row of cells."""
        return self.channels, self.size, self.size * cells


class GivenFeatures(nn.Module):
    """φ as it comes, (batch, cells, numbers), brought to mean 0 and deviation 1.

    Parameters
    ----------
    size : int
        Numbers of a cell.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.output_size = size
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale

    def shape(self, cells: int) -> tuple[int, ...]:
        """Of the features of one picture."""
        return cells, self.output_size


class PictureEncoder(nn.Module):
    """Encodes pictures, or features of them, as the memory and the initial state of a decoder.

    Parameters
    ----------
    features : nn.Module
        φ, with an ``output_size``, and the ``shape(cells)`` of what it takes.
    cells : int
        L.
    output_size : int
        Width of every row, and of the summary.
    shown : bool
        False: there is nothing to look at, one row of zeros; the picture is in the first state alone.
    generator : torch.Generator, optional
        Draws W and W_s.

    References
    ----------
    Vinyals et al. (2015), Show and tell (not shown); Xu et al. (2015), Show, attend and tell.

    Examples
    --------
    >>> encoder = PictureEncoder(PatchFeatures(1, 8), cells=9, output_size=16)
    >>> rows, summary = encoder(torch.zeros(2, 1, 1, 24, 24))
    >>> rows.shape, summary.shape
    (torch.Size([2, 9, 16]), torch.Size([2, 16]))
    """

    def __init__(
        self,
        features: nn.Module,
        cells: int,
        output_size: int,
        shown: bool = True,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.features, self.shown, self.output_size = features, shown, output_size
        self.affine = Affine(features.output_size, output_size, generator)  # type: ignore[arg-type]
        self.place = nn.Parameter(torch.empty(cells, output_size))
        nn.init.normal_(self.place, 0.0, 0.5, generator=own_generator(generator))
        self.whole = Affine(output_size if shown else cells * output_size, output_size, generator)

    def forward(self, x: Any, mask: Tensor | None = None, noise: Any = None) -> Encoding:
        """Pictures (batch, 1, …), one step each."""
        rows = torch.tanh(self.affine(self.features(x[:, 0])) + self.place)
        summary = torch.tanh(self.whole(rows.mean(1) if self.shown else rows.flatten(1)))
        return Encoding(rows if self.shown else torch.zeros_like(rows[:, :1]), summary)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one step of x: of a picture, or of its features."""
        return cast(tuple[int, ...], self.features.shape(len(self.place)))  # type: ignore[operator]

    def noise(self, batch: int, time: int, generator: torch.Generator) -> None:
        """What is drawn for one pass: nothing."""

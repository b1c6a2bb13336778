"""A window of Gaussian filters on a picture: what is read from it, or written to it, through N × N of them.

    g_X = (A − 1)/2 + (A + 1)/2 · g̃_X,   g_Y = (B − 1)/2 + (B + 1)/2 · g̃_Y       the centre, in pixels from 0
    δ = (max(A, B) − 1)/(N − 1) · δ̃                                              between two filters; 0 if N = 1
    μ_i = g + (i − (N − 1)/2) δ                                                  i = 0 … N − 1
    F[i, a] = exp(−(a − μ_i)²/(2 σ²)) / Z_i                                      every row sums to 1
    read(x) = γ F_Y x F_Xᵀ,   write(w) = F_Yᵀ w F_X / γ

of pictures of B rows and A columns. Rows are normalised by a softmax: a window that leaves the picture sticks to its
border, and a narrow filter between two pixels takes the nearest.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape

LARGEST_EXPONENT = 4.0
"""Logarithms of a window are 4 tanh(· / 4)."""


@shown_by_shape
class Window(NamedTuple):
    """Where a window lies: (batch,) each.

    Attributes
    ----------
    x, y : Tensor
        The centre, in pixels from 0.
    stride : Tensor
        δ, pixels between two filters.
    variance : Tensor
        σ², pixels².
    intensity : Tensor
        γ.
    """

    x: Tensor
    y: Tensor
    stride: Tensor
    variance: Tensor
    intensity: Tensor


def window_of(numbers: Tensor, size: int, height: int, width: int) -> Window:
    """The window that five numbers (batch, 5) stand for: g̃_X, g̃_Y, and logarithms of σ², δ̃ and γ.

    With zeros it covers the picture, and σ = δ/2 (½ where there is one filter).

    Examples
    --------
    >>> whole = window_of(torch.zeros(1, 5), 4, 4, 4)
    >>> whole.x, whole.stride
    (tensor([1.5000]), tensor([1.]))
    """
    across, down = numbers[:, 0], numbers[:, 1]
    variance, stride, intensity = (LARGEST_EXPONENT * torch.tanh(numbers[:, 2:] / LARGEST_EXPONENT)).exp().unbind(1)
    whole = (max(height, width) - 1) / (size - 1) if size > 1 else 0.0
    return Window(
        (width - 1) / 2 + (width + 1) / 2 * across,
        (height - 1) / 2 + (height + 1) / 2 * down,
        whole * stride,
        (whole / 2 if whole else 0.5) ** 2 * variance,
        intensity,
    )


def filters(centre: Tensor, stride: Tensor, variance: Tensor, size: int, length: int) -> Tensor:
    """F (batch, size, length): N Gaussians along one side of a picture, from g, δ and σ², (batch,) each.

    Examples
    --------
    >>> narrow = filters(torch.tensor([1.0]), torch.tensor([1.0]), torch.tensor([1e-4]), 3, 3)
    >>> torch.equal(narrow[0], torch.eye(3))
    True
    """
    places = torch.arange(size, device=centre.device, dtype=centre.dtype) - (size - 1) / 2
    mean = centre.unsqueeze(1) + places * stride.unsqueeze(1)
    pixels = torch.arange(length, device=centre.device, dtype=centre.dtype)
    return torch.softmax(-((pixels - mean.unsqueeze(2)) ** 2) / (2 * variance[:, None, None]), -1)


def pair_of_filters(window: Window, size: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """F_Y (batch, N, height) and F_X (batch, N, width)."""
    across = filters(window.x, window.stride, window.variance, size, width)
    return filters(window.y, window.stride, window.variance, size, height), across


def seen_through(image: Tensor, window: Window, size: int) -> Tensor:
    """γ F_Y x F_Xᵀ of pictures (batch, channels, height, width): (batch, channels, N, N)."""
    down, across = pair_of_filters(window, size, *image.shape[2:])
    return window.intensity[:, None, None, None] * (down[:, None] @ image @ across[:, None].mT)


def put_through(patch: Tensor, window: Window, height: int, width: int) -> Tensor:
    """F_Yᵀ w F_X / γ of patches (batch, channels, N, N): (batch, channels, height, width)."""
    down, across = pair_of_filters(window, patch.shape[2], height, width)
    return (down[:, None].mT @ patch @ across[:, None]) / window.intensity[:, None, None, None]


class _Glimpse(nn.Module):
    """A map to a window on a picture, or to the whole of it where the size is None."""

    name: str

    def __init__(
        self, shape: tuple[int, int, int], hidden_size: int, size: int | None, generator: torch.Generator | None = None
    ):
        super().__init__()
        channels, height, width = shape
        if size is not None and check_count(self.name, size) > min(height, width):
            raise ValueError(f"{self.name}={size} is more than a picture of {height} × {width} has: make it smaller.")
        self.shape, self.hidden_size, self.size = shape, hidden_size, size
        self.place = None if size is None else Affine(hidden_size, 5, generator)
        self.pixels = channels * (height * width if size is None else size * size)

    def window(self, h: Tensor) -> Window:
        """Where it lies, from the decoder's state (batch, hidden)."""
        if self.place is None or self.size is None:
            raise ValueError("It sees the whole picture: there is no window.")
        return window_of(self.place(h), self.size, *self.shape[1:])


class Read(_Glimpse):
    """What an encoder is given of a picture x and of what it lacks yet, x̂: both, whole or through a window.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width.
    hidden_size : int
        Of the state that says where the window lies.
    size : int or None
        N; None reads everything.
    generator : torch.Generator, optional
        Draws the map to the window.
    """

    name = "read_size"

    @property
    def output_size(self) -> int:
        """Numbers of both pictures."""
        return 2 * self.pixels

    def forward(self, x: Tensor, lacking: Tensor, h: Tensor) -> Tensor:
        if self.size is not None:
            window = self.window(h)
            x, lacking = (seen_through(image, window, self.size) for image in (x, lacking))
        return torch.cat([x.flatten(1), lacking.flatten(1)], 1)


class Write(_Glimpse):
    """What a decoder adds to a canvas: everywhere, or through a window.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width.
    hidden_size : int
    size : int or None
        N; None writes everywhere.
    generator : torch.Generator, optional
        Draws the maps.
    """

    name = "write_size"

    def __init__(
        self, shape: tuple[int, int, int], hidden_size: int, size: int | None, generator: torch.Generator | None = None
    ):
        super().__init__(shape, hidden_size, size, generator)
        self.patch = Affine(hidden_size, self.pixels, generator)

    def forward(self, h: Tensor) -> Tensor:
        patch = self.patch(h)
        if self.size is None:
            return patch.unflatten(1, self.shape)
        patch = patch.unflatten(1, (self.shape[0], self.size, self.size))
        return put_through(patch, self.window(h), *self.shape[1:])

"""A fitted DRAW network in use: new pictures glimpse by glimpse, and bounds on how likely pictures are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Noisy
from seqdyn.cells.draw import DRAWCell, DRAWState, PainterState
from seqdyn.glimpses import Window
from seqdyn.loops import scan
from seqdyn.state import hold
from seqdyn.training.variational import Bound, bound

PATHS_AT_ONCE = 256
"""Pictures, or paths of them, that are run side by side."""


class Strip(NamedTuple):
    """Pictures at every glimpse of their painting.

    Attributes
    ----------
    images : array of 0 and 1, shape (pictures, *image)
        Drawn from the last canvas.
    probabilities : array, shape (pictures, glimpses, *image)
        σ(c_t), the probability of a 1 at every pixel.
    read, write : array, shape (pictures, glimpses, 5), or None
        The windows: the centre's column and row, their half width δ (N − 1)/2, σ, all in pixels, and γ. ``read`` is
        None where no picture was seen, both without attention.
    """

    images: Array
    probabilities: Array
    read: Array | None
    write: Array | None


@dataclass(frozen=True)
class PaintingPredictor:
    """A network that paints, with the number of its glimpses."""

    network: DRAWCell
    glimpses: int

    def paint(self, seeds: list[int]) -> Strip:
        """New pictures, z_t ~ N(0, I), by a seed each. Only the painter takes part: nothing that sees a picture."""
        painter = self.network.painter
        z, uniform = self.chance(seeds)
        with torch.inference_mode():
            run = scan(painter, z, record=_canvas_and_state)
        canvas, h = run.record
        return Strip(_binary_pictures(canvas, uniform), _probabilities(canvas), None, self._windows(h, reads=False))

    def repaint(self, x: Tensor, seeds: list[int]) -> Strip:
        """Pictures (batch, channels, height, width) painted while they are seen, with the reading windows."""
        noise, uniform = self.chance(seeds)
        with torch.inference_mode():
            run = scan(self.network, Noisy(hold(x, self.glimpses), noise), record=_canvas_and_states)
        canvas, h, heard = run.record
        windows = self._windows(heard, reads=True), self._windows(h, reads=False)
        return Strip(_binary_pictures(canvas, uniform), _probabilities(canvas), *windows)

    def chance(self, seeds: list[int]) -> tuple[Tensor, Tensor]:
        """The random numbers of each picture: noise (batch, glimpses, latent), and one number a pixel."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = torch.cat([self.network.noise(1, self.glimpses, generator) for generator in generators])
        shape = self.network.painter.write.shape
        return noise, torch.stack([torch.rand(shape, generator=generator) for generator in generators])

    def bounds(self, x: Tensor, generator: torch.Generator) -> Bound:
        """The bound of one path a picture, see :func:`~seqdyn.training.variational.bound`."""
        with torch.inference_mode():
            return bound(self.network, x, self.network.noise(len(x), self.glimpses, generator))

    def told(self, x: Tensor) -> Array:
        """The means of all z_t, (batch, glimpses, latent), each after the means before."""
        with torch.inference_mode():
            found: Array = scan(self.network, hold(x, self.glimpses)).output.mean.cpu().numpy()
        return found

    def _windows(self, h: Tensor, reads: bool) -> Array | None:
        """The windows that states (batch, time, hidden) of the decoder point at."""
        part: Any = self.network.read if reads else self.network.painter.write
        if part.size is None:
            return None
        with torch.inference_mode():
            window: Window = part.window(h.flatten(0, 1))
        half = window.stride * (part.size - 1) / 2
        numbers = torch.stack([window.x, window.y, half, window.variance.sqrt(), window.intensity], 1)
        return np.asarray(numbers.view(*h.shape[:2], 5).cpu().numpy())


def _canvas_and_state(z: Any, before: PainterState, output: Any, after: PainterState) -> tuple[Tensor, Tensor]:
    """c_t, and h^dec_t."""
    return after.canvas, after.decoder.h


def _canvas_and_states(x: Any, before: DRAWState, output: Any, after: DRAWState) -> tuple[Tensor, Tensor, Tensor]:
    """c_t, h^dec_t and h^dec_{t-1}."""
    return after.painter.canvas, after.heard, before.heard


def _probabilities(canvas: Tensor) -> Array:
    return np.asarray(torch.sigmoid(canvas).cpu().numpy())


def _binary_pictures(canvas: Tensor, uniform: Tensor) -> Array:
    """Pictures of 0 and 1 from the log-odds (batch, glimpses, …) of the last step, and a number for every pixel."""
    return np.asarray((uniform < torch.sigmoid(canvas[:, -1]).cpu()).long().numpy())

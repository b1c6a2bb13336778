"""A fitted model of pixels in use: how likely pictures are, new pictures, and pictures that are completed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Noisy
from seqdyn.decoding import Draw, Drawn
from seqdyn.decoding_strategy import DecodingStrategy
from seqdyn.estimators.batched_prediction import track_batches
from seqdyn.loops import rollout, scan
from seqdyn.rows import Pixels, Raster
from seqdyn.state import steps
from seqdyn.training.heads import Bernoulli, CrossEntropy, Head

PICTURES_AT_ONCE = 250
"""Pictures that are run side by side."""


class Completion(NamedTuple):
    """Pictures whose hidden pixels were drawn.

    Attributes
    ----------
    images : array of int, shape (pictures, completions, height, width)
    exact : array of bool, shape (pictures,)
        Whether they are drawn from p(hidden | known) itself: no known pixel comes after a hidden one.
    log_weights : array, shape (pictures, completions)
        ln w, of the known pixels that come after the first hidden one: Σ ln p(x_i | x_<i); 0 where ``exact``. What was
        drawn, weighted by w / Σ w, stands for p(hidden | known).
    log_probabilities : array, shape (pictures, completions)
        ln p of what was drawn, each pixel given those before it.
    """

    images: Array
    exact: Array
    log_weights: Array
    log_probabilities: Array

    @property
    def effective_sample_size(self) -> Array:
        """(Σ w)² / Σ w² of every picture: how many of its completions count."""
        weights = np.exp(self.log_weights - self.log_weights.max(1, keepdims=True))
        return np.asarray(weights.sum(1) ** 2 / (weights**2).sum(1))


@dataclass(frozen=True)
class PicturePredictor:
    """A network of pixels with the height of its pictures; ``verbose`` shows a bar if there are many."""

    network: Pixels
    height: int
    verbose: bool | int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.network.width

    @property
    def head(self) -> Head:
        """What the scores of a pixel mean."""
        return Bernoulli() if self.network.levels == 2 else CrossEntropy(self.network.levels)

    def log_probabilities(self, images: Tensor) -> Tensor:
        """ln p(x_i | x_<i) of every pixel, (pictures, height, width)."""
        found = []
        with torch.inference_mode():
            for part in track_batches(images.split(PICTURES_AT_ONCE), "score", self.verbose):
                x = part.to(self.network.zeros(1))
                found.append(-self.head.loss(scan(self.network, x).output, x).double())
        return torch.cat(found)

    def drawn(self, seeds: list[int], known: Tensor | None = None, values: Tensor | None = None) -> tuple[Array, Array]:
        """New pictures (pictures, height, width), by a seed each, and ln p of every pixel that was drawn.

        Where a pixel is ``known``, its value is kept.
        """
        batches = list(self._parts(seeds, known, values))
        parts = [self._drawn(*batch) for batch in track_batches(batches, "draw", self.verbose)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _parts(self, seeds: list[int], known: Tensor | None, values: Tensor | None) -> Iterator[tuple[Any, ...]]:
        device = self.network.zeros(1).device
        known = torch.zeros(len(seeds), *self.shape, dtype=torch.bool) if known is None else known
        values = torch.zeros(known.shape, dtype=torch.long) if values is None else values
        for start in range(0, len(seeds), PICTURES_AT_ONCE):
            own = slice(start, start + PICTURES_AT_ONCE)
            yield seeds[own], known[own].to(device), values[own].to(device)

    def _drawn(self, seeds: list[int], known: Tensor, values: Tensor) -> tuple[Array, Array]:
        """From the first row on that is not known in every picture."""
        batch, width = len(seeds), self.network.width
        first = int((~known).flatten(2).any(2).any(0).int().argmax())
        cell = Drawn(Raster(self.network), DecodingStrategy())
        with torch.inference_mode():
            rows = self.network.initial_state(batch)
            if first:
                rows = scan(self.network, steps(values, 0, first).to(self.network.zeros(1)), rows).state
            count = (self.height - first) * width
            given = torch.where(known, values, -1)[:, first:].flatten(1)
            before = torch.nn.functional.pad(given, (1, -1), value=-1)
            nothing = self.network.zeros(batch)
            last = Draw(values[:, first - 1, -1] if first else torch.zeros_like(values[:, 0, 0]), nothing, nothing)
            run = rollout(
                cell,
                cell.cell.beginning(rows),  # type: ignore[operator]
                count,
                last=last,
                feed=_next_pixel,
                exogenous=(before, steps(cell.seeded(seeds, self.height * width), first * width)),
            )
        found = values.clone()
        found[:, first:] = torch.where(given >= 0, given, run.output.symbol).view(batch, -1, width)
        log_p = torch.zeros(found.shape, dtype=torch.float64)
        log_p[:, first:] = (
            torch.where(given >= 0, 0.0, run.output.log_probability.double()).view(batch, -1, width).cpu()
        )
        return found.cpu().numpy(), log_p.numpy()


def _next_pixel(draw: Draw, given: Any) -> Noisy:
    """The last pixel, as it was drawn or as it is known."""
    known, chance = given
    return Noisy(torch.where(known >= 0, known, draw.symbol), chance)


def known_first(known: Array) -> Array:
    """Whether no known pixel comes after a hidden one, for pictures (pictures, height, width).

    Examples
    --------
    >>> known_first(np.array([[[True, True], [False, False]], [[True, False], [True, False]]]))
    array([ True, False])
    """
    flat = known.reshape(len(known), -1)
    return np.asarray((flat[:, 1:] <= flat[:, :-1]).all(1))

"""Sample paths: every path draws its own next value, feeds it back, and carries its own state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.autoregression import Past
from seqdyn.cell import Cell
from seqdyn.codecs import tensor
from seqdyn.forecasting.fitted import Departure, FittedNetwork
from seqdyn.loops import rollout, scan
from seqdyn.state import State, map_leaves, steps
from seqdyn.training.heads import Head

VALUES_AT_ONCE = 500_000
"""How many values of sample paths are held at once."""

MOST_RESIDUALS = 20_000
"""How many errors paths draw from at most."""


@dataclass(frozen=True)
class Residuals:
    """One-step errors of a point prediction, which sample paths draw from.

    Attributes
    ----------
    pool : array, shape (errors, columns)
        Of all series, divided by the usual error of each.
    sizes : array, shape (series, columns)
        The usual errors.
    seen : float
        Weights a known row, where the weights have seen the rows that the errors are of; 0 where they have not.
    """

    pool: Array
    sizes: Array
    seen: float

    @classmethod
    def of(cls, errors: Array, owner: Array, series: int, seen: float = 0.0) -> Residuals:
        """From errors (errors, columns) and the series of each."""
        size = spread_by_series(errors, owner, series)
        if not len(errors):
            return cls(np.zeros((1, size.shape[1])), size, seen)
        pool = errors / size[owner]
        return cls((pool - pool.mean(axis=0))[:: -(-len(pool) // MOST_RESIDUALS)], size, seen)

    @property
    def flatters(self) -> bool:
        """Whether the errors are much smaller than those to come: more than one weight for five of the rows seen."""
        return self.seen > 0.2


@dataclass(frozen=True)
class Sampler:
    """Draws a value from what a network says of the next step.

    Attributes
    ----------
    head : Head
        One that knows quantiles is drawn from; others are a point plus a residual.
    targets : int
        Values drawn together.
    residuals : Tensor, shape (count, targets)
        One-step errors to draw from, for point predictions, in units of each series' own.
    widths : Tensor, shape (batch, targets)
        How large they are in the series of each row.
    generator : torch.Generator
    """

    head: Head
    targets: int
    residuals: Tensor
    widths: Tensor
    generator: torch.Generator

    def __call__(self, output: Tensor) -> Tensor:
        """Values (batch, targets) from network outputs (batch, targets · outputs)."""
        if "quantiles" in self.head.provides:
            return self.head.sample(output, self.generator)
        row = torch.randint(len(self.residuals), (len(output),), generator=self.generator)
        return self.head.point(output) + self.widths * self.residuals[row]


def sample_paths(cell: Cell, state: State, x: Past, count: int, draw: Sampler) -> Tensor:
    """Paths of the targets from every origin, (origins, count, horizon, targets), in network units.

    The first row of x holds the last value; the others only what is known ahead.
    """
    origins, horizon = x.value.shape[:2]
    x, state = (map_leaves(lambda leaf: leaf.repeat_interleave(count, 0), tree) for tree in (x, state))
    first = scan(cell, steps(x, 0, 1), state)
    drawn: list[Tensor] = []

    def feed(output: Tensor, row: Past) -> Past:
        drawn.append(draw(output))
        return row._replace(value=drawn[-1], known=torch.ones_like(drawn[-1]))

    last = first.output[:, 0]
    if horizon > 1:
        ahead = rollout(cell, first.state, horizon - 1, last=last, feed=feed, exogenous=steps(x, 1))
        last = ahead.output[:, -1]
    drawn.append(draw(last))
    return torch.stack(drawn, 1).unflatten(0, (origins, count))


def path_pieces(
    network: FittedNetwork, start: Departure, count: int, residuals: Residuals | None, generator: torch.Generator
) -> Iterator[Array]:
    """Sample paths of a recursive network in the units of the data, some origins a time, (origins, horizon, paths)."""
    horizon = start.x.value.shape[1]
    size = max(1, VALUES_AT_ONCE // (count * horizon))
    for begin in range(0, len(start.series), size):
        piece = start.part(slice(begin, begin + size))
        z = _drawn_paths(network, piece, count, residuals, generator)
        yield network.transform.backward(z, piece.series, piece.tails)


@torch.inference_mode()
def _drawn_paths(
    network: FittedNetwork, start: Departure, count: int, residuals: Residuals | None, generator: torch.Generator
) -> Array:
    """Paths of z of the target, (origins, horizon, paths)."""
    predictor = network.estimator.predictor_
    scaling, columns = predictor.codec.targets.scaling, start.x.value.shape[2]
    pool, sizes = np.zeros((1, columns)), np.ones((len(start.series), columns))
    if residuals is not None:
        pool, sizes = residuals.pool, residuals.sizes[start.series] / scaling.scale
    widths = tensor(np.repeat(sizes, count, axis=0), predictor.like)
    draw = Sampler(network.head, columns, tensor(pool, predictor.like), widths, generator)
    drawn = sample_paths(network.estimator.cell_, start.state, start.x, count, draw)
    z: Array = drawn[..., 0].double().cpu().numpy() * scaling.scale[0] + scaling.mean[0]
    return np.moveaxis(z, 1, 2)


def spread_by_series(errors: Array, owner: Array, series: int) -> Array:
    """Root mean square errors of every series, (series, columns); of all together where a series has fewer than ten."""
    total = np.zeros((series, errors.shape[1]))
    np.add.at(total, owner, errors**2)
    count = np.bincount(owner, minlength=series)[:, None]
    common = (errors**2).mean(axis=0) if len(errors) else np.ones(errors.shape[1])
    found: Array = np.sqrt(np.where(count >= 10, total / np.maximum(count, 1), common))
    return np.where(found > 0, found, 1.0)

"""The variational bound of a cell that paints what it sees: what the pixels cost, and what is told of them.

L_x = −ln D(x | c_T) = Σ_pixels ln(1 + e^c) − x c
L_z = Σ_t Σ_d ½ (μ² + σ² − ln σ² − 1)
ln p(x) ≥ −E[L_x + L_z]

ln w = ln D(x | c_T) + Σ_t Σ_d (ε² − z²)/2 + ln σ,   ln p(x) ≥ E ln(1/K Σ_k w_k)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from seqdyn.cell import Noisy
from seqdyn.cells.draw import DRAWCell, Latent
from seqdyn.loops import scan
from seqdyn.state import State, hold
from seqdyn.training.batches import Batch
from seqdyn.training.objective import Pass


class Bound(NamedTuple):
    """What a pass over pictures costs, in nats.

    Attributes
    ----------
    pixels : Tensor, shape (batch,)
        L_x.
    divergence : Tensor, shape (batch, time)
        L_z of every glimpse.
    log_weight : Tensor, shape (batch,)
        ln w of this very path.
    """

    pixels: Tensor
    divergence: Tensor
    log_weight: Tensor


def bound(cell: DRAWCell, x: Tensor, noise: Tensor) -> Bound:
    """One pass over pictures (batch, channels, height, width) of 0 and 1, with ε (batch, time, latent)."""
    run = scan(cell, Noisy(hold(x, noise.shape[1]), noise))
    canvas, latent = run.state.painter.canvas, run.output
    pixels = binary_cross_entropy_with_logits(canvas, x, reduction="none").flatten(1).sum(1)
    told = ((noise**2 - latent.z**2) / 2 + latent.log_scale).flatten(1).sum(1)
    return Bound(pixels, divergence(latent), told - pixels)


def divergence(latent: Latent) -> Tensor:
    """The Kullback–Leibler divergence of N(μ, σ²) from N(0, I), summed over the last axis.

    Examples
    --------
    >>> nothing = torch.zeros(2, 3, 5)
    >>> divergence(Latent(nothing, nothing, nothing)).shape, float(divergence(Latent(nothing, nothing, nothing)).sum())
    (torch.Size([2, 3]), 0.0)
    """
    found: Tensor = (latent.mean**2 + torch.exp(2 * latent.log_scale) - 1).sum(-1) / 2 - latent.log_scale.sum(-1)
    return found


@dataclass(frozen=True)
class Variational:
    """Make the bound high: the mean of L_x + L_z over pictures, by one path each.

    Parameters
    ----------
    glimpses : int
        T.

    References
    ----------
    Kingma & Welling (2014), Auto-encoding variational Bayes; Gregor et al. (2015), DRAW, eqs. (9) to (12).
    """

    glimpses: int

    def __call__(
        self, network: DRAWCell, batch: Batch, state: State | None, generator: torch.Generator, progress: float
    ) -> Pass:
        x = batch.x[:, 0]
        pixels, told, _ = bound(network, x, network.noise(len(x), self.glimpses, generator))
        parts = {"pixels": pixels.mean(), "divergence": told.sum(1).mean()}
        return Pass(parts["pixels"] + parts["divergence"], float(len(x)), None, None, parts, batch)


def importance_weighted(log_weights: Tensor) -> Tensor:
    """ln(1/K Σ_k w_k) of ln w (batch, K): a tighter bound the more paths there are.

    References
    ----------
    Burda, Grosse & Salakhutdinov (2016), Importance weighted autoencoders.
    """
    return torch.logsumexp(log_weights, 1) - math.log(log_weights.shape[1])

"""Losses: what a prediction costs at every step, and the point prediction a trained output stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Loss:
    """A loss with one output a target: ℓ(ŷ, y), step by step and target by target.

    The trainer averages ℓ over what counts: Σ w ℓ / Σ w, with weight 0 at missing targets, padding and warm-up. BPTT
    sums the gradient over these steps, as the mean does.

    Parameters
    ----------
    function : callable
        ``function(output, target) -> loss``, elementwise, all of one shape ``(batch, time, targets)``.
    """

    function: Callable[[Tensor, Tensor], Tensor]

    @property
    def heads(self) -> int:
        """Network outputs per target."""
        return 1

    @property
    def located(self) -> tuple[int, ...]:
        """Which of them move with the level of the target."""
        return tuple(range(self.heads))

    @property
    def middle(self) -> int:
        """Which of them stands for the point prediction."""
        return 0

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return self.function(output, target)

    def point(self, output: Tensor) -> Tensor:
        """The point prediction (…, targets)."""
        return output


@dataclass(frozen=True)
class Quantile:
    """The pinball loss at several quantiles: ℓ = Σ_q max(q e, (q − 1) e) / Q with e = y − ŷ_q.

    Parameters
    ----------
    quantiles : sequence of float in (0, 1), increasing

    References
    ----------
    Koenker & Bassett (1978), Regression quantiles.
    """

    quantiles: tuple[float, ...]

    @property
    def heads(self) -> int:
        return len(self.quantiles)

    @property
    def located(self) -> tuple[int, ...]:
        """All of them move with the level of the target."""
        return tuple(range(self.heads))

    @property
    def middle(self) -> int:
        """The quantile nearest to the median stands for the point prediction."""
        return min(range(self.heads), key=lambda i: abs(self.quantiles[i] - 0.5))

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        levels = torch.tensor(self.quantiles, dtype=output.dtype, device=output.device)
        error = target.unsqueeze(-1) - self.spread(output)
        return torch.maximum(levels * error, (levels - 1) * error).mean(-1)

    def spread(self, output: Tensor) -> Tensor:
        """ŷ_q, shape (…, targets, quantiles)."""
        return output.unflatten(-1, (-1, self.heads))

    def quantile(self, output: Tensor) -> Tensor:
        """ŷ_q sorted, so that quantiles never cross (Chernozhukov et al. 2010), (…, targets, quantiles)."""
        return self.spread(output).sort(-1).values

    def point(self, output: Tensor) -> Tensor:
        """The quantile nearest to the median."""
        return self.quantile(output)[..., self.middle]


@dataclass(frozen=True)
class Gaussian:
    """The negative log-likelihood of y ~ N(μ, σ²): ℓ = log σ + (y − μ)² / 2σ² + log(2π) / 2."""

    quantiles: tuple[float, ...]

    @property
    def heads(self) -> int:
        return 2

    @property
    def located(self) -> tuple[int, ...]:
        """Only μ moves with the level of the target."""
        return (0,)

    @property
    def middle(self) -> int:
        """μ stands for the point prediction."""
        return 0

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        mean, scale = self.parameters(output)
        return scale.log() + 0.5 * ((target - mean) / scale) ** 2 + 0.5 * math.log(2 * math.pi)

    def parameters(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """μ and σ, each (…, targets)."""
        mean, raw = output.unflatten(-1, (-1, 2)).unbind(-1)
        return mean, functional.softplus(raw) + 1e-4

    def quantile(self, output: Tensor) -> Tensor:
        """μ + σ Φ⁻¹(q), shape (…, targets, quantiles)."""
        mean, scale = self.parameters(output)
        levels = torch.tensor(self.quantiles, dtype=output.dtype, device=output.device)
        return mean.unsqueeze(-1) + scale.unsqueeze(-1) * torch.special.ndtri(levels)

    def point(self, output: Tensor) -> Tensor:
        """μ."""
        return self.parameters(output)[0]


@dataclass(frozen=True)
class CrossEntropy:
    """The negative log-probability of the true class: ℓ = −log softmax(output)_y; targets are class numbers."""

    classes: int

    @property
    def heads(self) -> int:
        return self.classes

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        rows = functional.cross_entropy(output.flatten(0, -2), target.flatten().long(), reduction="none")
        return rows.view(target.shape)

    def point(self, output: Tensor) -> Tensor:
        """Class probabilities (…, classes)."""
        return output.softmax(-1)


POINTWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda output, target: (output - target) ** 2,
    "mae": lambda output, target: (output - target).abs(),
    "huber": lambda output, target: functional.huber_loss(output, target, reduction="none"),
}


def regression_loss(loss: Any, quantiles: Sequence[float]) -> Any:
    """The loss object for a name or a callable.

    Raises
    ------
    ValueError
        For an unknown name, or quantiles that are not increasing in (0, 1).
    """
    if callable(loss):
        return Loss(loss)
    if loss in ("quantile", "gaussian"):
        levels = check_quantiles(quantiles)
        return Quantile(levels) if loss == "quantile" else Gaussian(levels)
    if loss not in POINTWISE:
        names = ", ".join(map(repr, [*POINTWISE, "quantile", "gaussian"]))
        raise ValueError(f"loss must be one of {names}, or a callable (output, target) -> loss, got {loss!r}.")
    return Loss(POINTWISE[loss])


def check_quantiles(quantiles: Any) -> tuple[float, ...]:
    """The quantiles as a tuple, if they are increasing numbers in (0, 1)."""
    levels = tuple(float(level) for level in quantiles)
    if not levels or not all(0 < level < 1 for level in levels) or any(low >= high for low, high in pairwise(levels)):
        raise ValueError(f"quantiles must be increasing numbers in (0, 1), got {tuple(quantiles)}.")
    return levels


def elementwise(values: Any, target: Tensor) -> Tensor:
    """A loss's values, if it has not averaged them already."""
    if not isinstance(values, Tensor) or values.shape != target.shape:
        came = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"loss(output, target) gave {came}, expected a tensor of the target's shape {tuple(target.shape)}: it "
            "must be elementwise, as torch's losses are with reduction='none'; the trainer averages over what counts."
        )
    return values


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Σ w ℓ / Σ w; the plain mean where there are no weights."""
    if weight is None:
        return values.mean()
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(values.dtype).tiny)

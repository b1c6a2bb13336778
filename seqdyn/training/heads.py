"""Heads: what the outputs of a network mean, and what a prediction costs.

A head says how many outputs describe one target, which of them is the point prediction, what quantiles, samples and
probabilities they stand for, and what they cost beside the truth:

| head | outputs a target | ℓ | says |
|---|---|---|---|
| :class:`Squared` | ŷ | (ŷ − y)² | the mean |
| :class:`Absolute` | ŷ | \\|ŷ − y\\| | the median |
| :class:`Huber` | ŷ | ½ e² near 0, \\|e\\| − ½ beyond 1 | between both |
| :class:`Quantile` | ŷ_q | Σ_q max(q e, (q − 1) e) / Q | quantiles, samples |
| :class:`Gaussian` | μ, σ | −ln N(y; μ, σ²) | all of the distribution |
| :class:`CrossEntropy` | a score a class | −ln softmax(scores)_y | the probability of every class |
| :class:`Averaged` | those of several networks | the mean of theirs | the mean of their probabilities |
| :class:`Bernoulli` | a logit | −ln P(y) | the probability of 1 |
| :class:`Custom` | ŷ, or scores | a user's function | the point |

Outputs are (…, targets · outputs), targets (…, targets); the trainer averages ℓ over what counts, Σ w ℓ / Σ w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional


class Head:
    """What the outputs of a network mean: the interface of all heads.

    A subclass owes :meth:`loss`. What it does not know it refuses, in words.

    Attributes
    ----------
    outputs : int
        How many of the network's outputs describe one target.
    location_outputs : tuple of int
        Which of them are locations: they move with the level of the target, as a mean does and a scale does not.
    point_output : int
        Which of them is the point prediction.
    provides : frozenset of {"quantiles", "density", "classes"}
        What it says beyond the point: quantiles (and so samples), log-probabilities, the probability of every class.
    """

    provides: frozenset[str] = frozenset()

    @property
    def outputs(self) -> int:
        return 1

    @property
    def location_outputs(self) -> tuple[int, ...]:
        return tuple(range(self.outputs))

    @property
    def point_output(self) -> int:
        return 0

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """ℓ of every target, shaped as the targets."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(output, target).")

    def point(self, output: Tensor) -> Tensor:
        """The point prediction of every target (…, targets)."""
        return output

    def quantile(self, output: Tensor, levels: Sequence[float]) -> Tensor:
        """Quantiles at these levels, increasing, (…, targets, levels); they never cross."""
        self._refuse("quantiles", "fit with loss='quantile' or loss='gaussian'")

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """One draw for every target, (…, targets)."""
        self._refuse("samples", "fit with loss='quantile' or loss='gaussian'")

    def log_probability(self, output: Tensor, target: Tensor) -> Tensor:
        """ln p of every target, (…, targets)."""
        self._refuse("probabilities", "fit with loss='gaussian' or, for classes, loss='cross_entropy'")

    def log_probabilities(self, output: Tensor) -> Tensor:
        """ln p of every class, (…, targets, classes)."""
        self._refuse("classes", "fit a classifier")

    def probabilities(self, output: Tensor) -> Tensor:
        """The probability of every class, (…, targets, classes)."""
        return self.log_probabilities(output).exp()

    def _refuse(self, what: str, way: str) -> NoReturn:
        raise ValueError(f"{type(self).__name__} knows no {what}: {way}.")


@dataclass(frozen=True)
class Squared(Head):
    """The squared error, ℓ = (ŷ − y)²: the prediction is the mean."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target) ** 2


@dataclass(frozen=True)
class Absolute(Head):
    """The absolute error, ℓ = |ŷ − y|: the prediction is the median."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs()


@dataclass(frozen=True)
class Huber(Head):
    """Huber's error, ℓ = e²/2 for |e| ≤ 1, else |e| − 1/2: outliers count as in the absolute error.

    References
    ----------
    Huber (1964), Robust estimation of a location parameter.
    """

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.huber_loss(output, target, reduction="none")


@dataclass(frozen=True)
class Quantile(Head):
    """The pinball loss at several quantiles: ℓ = Σ_q max(q e, (q − 1) e) / Q with e = y − ŷ_q.

    Parameters
    ----------
    levels : tuple of float in (0, 1), increasing

    References
    ----------
    Koenker & Bassett (1978), Regression quantiles; Chernozhukov, Fernández-Val & Galichon (2010), Quantile and
    probability curves without crossing.

    Examples
    --------
    >>> head = Quantile((0.1, 0.5, 0.9))
    >>> head.quantile(torch.tensor([[3.0, 1.0, 2.0]]), (0.3, 0.5))  # sorted, and straight lines between
    tensor([[[1.5000, 2.0000]]])
    """

    levels: tuple[float, ...]
    provides = frozenset({"quantiles"})

    @property
    def outputs(self) -> int:
        return len(self.levels)

    @property
    def point_output(self) -> int:
        """The quantile nearest to the median."""
        return min(range(self.outputs), key=lambda i: abs(self.levels[i] - 0.5))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        levels = self._as_tensor(output)
        error = target.unsqueeze(-1) - output.unflatten(-1, (-1, self.outputs))
        return torch.maximum(levels * error, (levels - 1) * error).mean(-1)

    def point(self, output: Tensor) -> Tensor:
        return self._own(output)[..., self.point_output]

    def quantile(self, output: Tensor, levels: Sequence[float]) -> Tensor:
        """On straight lines between the levels that were fitted; beyond them nothing is known."""
        own, wanted = self.levels, tuple(levels)
        if wanted == own:
            return self._own(output)
        if wanted[0] < own[0] - 1e-9 or wanted[-1] > own[-1] + 1e-9:
            raise ValueError(
                f"The model was fitted for the quantiles {list(own)}, which do not reach {[wanted[0], wanted[-1]]}: "
                "give the estimator quantiles=…"
            )
        return self._between(self._own(output), torch.tensor(wanted).to(output))

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """Values at uniform levels on the polygon through the quantiles, continued straight at its ends."""
        own = self._own(output)
        if len(self.levels) == 1:
            return own[..., 0]
        drawn = torch.rand(own.shape[:-1], generator=generator, dtype=own.dtype)
        return self._between(own, drawn.unsqueeze(-1)).squeeze(-1)

    def _own(self, output: Tensor) -> Tensor:
        """ŷ_q sorted, (…, targets, levels)."""
        return output.unflatten(-1, (-1, self.outputs)).sort(-1).values

    def _between(self, own: Tensor, levels: Tensor) -> Tensor:
        """The polygon through the quantiles at other levels (…, m)."""
        if len(self.levels) == 1:
            return own.expand(*own.shape[:-1], levels.shape[-1])
        known = self._as_tensor(own)
        right = torch.searchsorted(known, levels.contiguous()).clamp(1, len(known) - 1)
        share = (levels - known[right - 1]) / (known[right] - known[right - 1])
        place = right.expand(*own.shape[:-1], right.shape[-1])
        start, stop = own.gather(-1, place - 1), own.gather(-1, place)
        return start + (stop - start) * share

    def _as_tensor(self, like: Tensor) -> Tensor:
        return torch.tensor(self.levels, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Gaussian(Head):
    """The negative log-likelihood of y ~ N(μ, σ²): ℓ = log σ + (y − μ)² / 2σ² + log(2π) / 2.

    Examples
    --------
    >>> Gaussian().quantile(torch.tensor([[1.0, 0.5413]]), (0.5,)).shape
    torch.Size([1, 1, 1])
    """

    provides = frozenset({"quantiles", "density"})
    outputs = 2
    location_outputs = (0,)  # only μ moves with the level of the target

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        mean, scale = self.parameters(output)
        return scale.log() + 0.5 * ((target - mean) / scale) ** 2 + 0.5 * math.log(2 * math.pi)

    def parameters(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """μ and σ, each (…, targets)."""
        mean, raw = output.unflatten(-1, (-1, 2)).unbind(-1)
        return mean, functional.softplus(raw) + 1e-4

    def point(self, output: Tensor) -> Tensor:
        """μ."""
        return self.parameters(output)[0]

    def quantile(self, output: Tensor, levels: Sequence[float]) -> Tensor:
        """μ + σ Φ⁻¹(q)."""
        mean, scale = self.parameters(output)
        wanted = torch.tensor(tuple(levels), dtype=output.dtype, device=output.device)
        return mean.unsqueeze(-1) + scale.unsqueeze(-1) * torch.special.ndtri(wanted)

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        mean, scale = self.parameters(output)
        return mean + scale * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)

    def log_probability(self, output: Tensor, target: Tensor) -> Tensor:
        return -self.loss(output, target)


@dataclass(frozen=True)
class CrossEntropy(Head):
    """The negative log-probability of the true class: ℓ = −log softmax(scores)_y; targets are class numbers.

    Parameters
    ----------
    classes : int
    smoothing : float in [0, 1)
        ε: the loss is (1 − ε) ℓ and ε of the mean of −log p over all classes; probabilities are as they are.

    References
    ----------
    Szegedy et al. (2016), Rethinking the Inception architecture for computer vision, section 7 (smoothing).

    Examples
    --------
    >>> head = CrossEntropy(3)
    >>> scores = torch.tensor([[0.0, 2.0, 1.0]])
    >>> head.point(scores), head.probabilities(scores).argmax()
    (tensor([[1]]), tensor(1))
    """

    classes: int
    smoothing: float = 0.0
    provides = frozenset({"classes", "density"})

    @property
    def outputs(self) -> int:
        return self.classes

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return self._nats(output, target, self.smoothing)

    def point(self, output: Tensor) -> Tensor:
        """The number of the likeliest class."""
        return output.unflatten(-1, (-1, self.classes)).argmax(-1)

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """A class by its probability."""
        shares = self.probabilities(output)
        drawn = torch.multinomial(shares.reshape(-1, self.classes), 1, generator=generator)
        return drawn.view(shares.shape[:-1])

    def log_probability(self, output: Tensor, target: Tensor) -> Tensor:
        return -self._nats(output, target, 0.0)

    def log_probabilities(self, output: Tensor) -> Tensor:
        return output.unflatten(-1, (-1, self.classes)).log_softmax(-1)

    def probabilities(self, output: Tensor) -> Tensor:
        return output.unflatten(-1, (-1, self.classes)).softmax(-1)

    def _nats(self, output: Tensor, target: Tensor, smoothing: float) -> Tensor:
        scores, classes = output.reshape(-1, self.classes), target.reshape(-1).long()
        rows = functional.cross_entropy(scores, classes, reduction="none", label_smoothing=smoothing)
        return rows.view(target.shape)


@dataclass(frozen=True)
class Averaged(Head):
    """Several networks side by side: ℓ is the mean of theirs, and so is the probability of every class.

    Parameters
    ----------
    head : CrossEntropy
        Of each of them.
    members : int, at least 1

    References
    ----------
    Lakshminarayanan, Pritzel & Blundell (2017), Simple and scalable predictive uncertainty estimation using deep
    ensembles, section 2.4.

    Examples
    --------
    >>> scores = torch.tensor([[9.0, -9.0, 0.0, 0.0]])  # one is sure, the other knows nothing
    >>> Averaged(CrossEntropy(2), members=2).probabilities(scores)
    tensor([[[0.7500, 0.2500]]])
    """

    head: CrossEntropy
    members: int
    provides = frozenset({"classes", "density"})

    @property
    def outputs(self) -> int:
        return self.members * self.head.outputs

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.stack([self.head.loss(own, target) for own in self._each(output)]).mean(0)

    def point(self, output: Tensor) -> Tensor:
        """The number of the likeliest class."""
        return self.log_probabilities(output).argmax(-1)

    def log_probability(self, output: Tensor, target: Tensor) -> Tensor:
        return self.log_probabilities(output).gather(-1, target.long().unsqueeze(-1)).squeeze(-1)

    def log_probabilities(self, output: Tensor) -> Tensor:
        each = torch.stack([self.head.log_probabilities(own) for own in self._each(output)])
        return each.logsumexp(0) - math.log(self.members)

    def _each(self, output: Tensor) -> tuple[Tensor, ...]:
        return output.chunk(self.members, dim=-1)


@dataclass(frozen=True)
class Bernoulli(Head):
    """The negative log-probability of a yes or no, 1 or 0: ℓ = −y ln p − (1 − y) ln(1 − p), p = σ(output).

    Examples
    --------
    >>> Bernoulli().probabilities(torch.tensor([[0.0]]))
    tensor([[[0.5000, 0.5000]]])
    """

    provides = frozenset({"classes", "density"})

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(output, target.to(output), reduction="none")

    def point(self, output: Tensor) -> Tensor:
        """p, the probability of 1, which is also the mean."""
        return output.sigmoid()

    def sample(self, output: Tensor, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(output.sigmoid(), generator=generator)

    def log_probability(self, output: Tensor, target: Tensor) -> Tensor:
        return -self.loss(output, target)

    def log_probabilities(self, output: Tensor) -> Tensor:
        """Of 0 and of 1."""
        return functional.logsigmoid(torch.stack([-output, output], -1))


@dataclass(frozen=True)
class Custom(Head):
    """A user's loss.

    Parameters
    ----------
    function : callable
        ``function(output, target) -> loss``, elementwise, shaped as the target (…, targets).
    classes : int, optional
        The outputs are a score for each of so many classes, and targets are class numbers.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    classes: int | None = None

    @property
    def provides(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset() if self.classes is None else frozenset({"classes"})

    @property
    def outputs(self) -> int:
        return 1 if self.classes is None else self.classes

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return self.function(output, target)

    def point(self, output: Tensor) -> Tensor:
        return output if self.classes is None else CrossEntropy(self.classes).point(output)

    def log_probabilities(self, output: Tensor) -> Tensor:
        """By softmax, if the outputs are scores of classes."""
        if self.classes is None:
            return super().log_probabilities(output)
        return CrossEntropy(self.classes).log_probabilities(output)


POINTWISE: dict[str, Head] = {"mse": Squared(), "mae": Absolute(), "huber": Huber()}
"""Heads of one output a target, by the names of their losses."""


def regression_head(loss: Any, quantiles: Sequence[float]) -> Head:
    """The head for a name of a loss, or a callable.

    Raises
    ------
    ValueError
        For an unknown name, or quantiles that are not increasing in (0, 1).
    """
    if callable(loss):
        return Custom(loss)
    if loss in ("quantile", "gaussian"):
        levels = check_quantiles(quantiles)
        return Quantile(levels) if loss == "quantile" else Gaussian()
    if loss not in POINTWISE:
        names = ", ".join(map(repr, [*POINTWISE, "quantile", "gaussian"]))
        raise ValueError(f"loss must be one of {names}, or a callable (output, target) -> loss, got {loss!r}.")
    return POINTWISE[loss]


def check_quantiles(quantiles: Any) -> tuple[float, ...]:
    """The quantiles as a tuple, if they are increasing numbers in (0, 1)."""
    levels = tuple(float(level) for level in quantiles)
    if not levels or not all(0 < level < 1 for level in levels) or any(low >= high for low, high in pairwise(levels)):
        raise ValueError(f"quantiles must be increasing numbers in (0, 1), got {tuple(quantiles)}.")
    return levels

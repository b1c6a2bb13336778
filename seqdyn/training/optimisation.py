"""What one step does with a gradient: its length is measured and limited, the weights move, and so does their average.

c_t = min(c, Q_q(‖g_1‖, …, ‖g_t‖))          how long a gradient may be
g   ← g · min(1, c_t / ‖g‖)
θ   ← optimizer(θ, g, η s(p))               η learning rate, s schedule, p progress
θ̄   ← a θ̄ + (1 − a) θ                       a weight average
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from seqdyn.checks import is_number
from seqdyn.training.ledger import Monitor, shortening

if TYPE_CHECKING:
    from seqdyn.training.loop import Recipe

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


class Descent:
    """The steps of an optimizer on some parameters, by the rules of a recipe.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        What is trained, by name; one at least.
    recipe : Recipe
    state : dict, optional
        ``optimizer.state_dict()`` of an earlier training of them, to go on from.
    norms : Tensor, optional
        Norms of the steps of an earlier training, in increasing order, for ``clip_quantile``.

    Attributes
    ----------
    optimizer : torch.optim.Optimizer
    schedule : Schedule
    clipping : Clipping
    monitor : Monitor
    average : list of Tensor
        θ̄, parameter by parameter; empty without one.
    averaged : bool
        Whether the average stands in the place of the weights, and these in its.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        recipe: Recipe,
        state: dict[str, Any] | None = None,
        norms: Tensor | None = None,
    ):
        self.recipe, self.weights = recipe, list[Tensor](parameters.values())
        rules = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        self.optimizer = OPTIMIZERS[recipe.optimizer](self.weights, fused=True, **rules)
        if state is not None:
            self.optimizer.load_state_dict(copy.deepcopy(state))
        self.schedule = as_schedule(recipe.schedule)
        self.clipping = Clipping(recipe.clip_norm, recipe.clip_quantile, norms)
        self.monitor = Monitor(parameters)
        self.average = clones(self.weights) if recipe.weight_average else []
        self.averaged = False

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def clear(self) -> None:
        """Forget the gradients of the last step."""
        for weight in self.weights:
            weight.grad = None

    def clip(self, loss: Tensor) -> Tensor:
        """Shorten the gradient to its limit, as torch does; returns [loss, norm before, limit, norm of every
        parameter's before]."""
        gradients = self.monitor.gradients()
        norms = self.monitor.norms(gradients)
        norm = torch.linalg.vector_norm(norms)
        limit = self.clipping.limit(norm)
        if self.clipping.limits:
            torch._foreach_mul_(gradients, shortening(norm, limit).to(gradients[0].dtype))
        return torch.cat([loss.to(norms).view(1), norm.view(1), limit.view(1), norms])

    def update(self, progress: float, step: int) -> None:
        """Move the weights at the rate the schedule says, and their average towards them.

        Parameters
        ----------
        progress : float in [0, 1]
        step : int, from 1
            Early on the average moves faster, so that the start is soon forgotten.
        """
        rate = self.recipe.learning_rate * self.schedule.factor(progress)
        if not math.isfinite(rate):
            raise ValueError(f"The schedule made the learning rate {rate} at progress {progress:.3f}.")
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.average:
            share = 1 - min(self.recipe.weight_average, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.weights, share)

    @torch.no_grad()
    def use_average(self, use: bool) -> None:
        """Put the average in the place of the weights, where one is kept, or the weights back in theirs."""
        if use != self.averaged:
            for average, weight in zip(self.average, self.weights, strict=False):
                kept = weight.clone()
                weight.copy_(average)
                average.copy_(kept)
            self.averaged = use

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on, but the weights and their average."""
        moments = copy.deepcopy(self.optimizer.state_dict())
        return {"optimizer": moments, "schedule": self.schedule.state(), "norms": self.clipping.seen}

    def load_state(self, state: Mapping[str, Any], average: list[Tensor]) -> None:
        """Go on from what :meth:`state` gave; the average is apart, and what stands in the weights are the weights."""
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.schedule.load_state(state["schedule"])
        self.clipping.seen, self.average, self.averaged = state["norms"], average, False


class Clipping:
    """The limit of every step: c_t = min(c, Q_q(‖g_1‖, …, ‖g_t‖)).

    Parameters
    ----------
    norm : float or None
        c; None: no fixed limit.
    quantile : float in (0, 1), or None
        q, of the norms of all steps so far, this one included; None: no such limit.
    seen : Tensor, shape (steps,), optional
        Norms of earlier steps, in increasing order.

    Attributes
    ----------
    seen : Tensor or None
        The norms so far, in increasing order, on their device; None without a quantile.
    limits : bool
        Whether there is any limit.

    Notes
    -----
    Nothing here waits for the device.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks, algorithm 1; Seetharaman
    et al. (2020), AutoClip: Adaptive gradient clipping for source separation networks.

    Examples
    --------
    >>> clipping = Clipping(None, 0.5)
    >>> [float(clipping.limit(torch.tensor(norm))) for norm in (4.0, 2.0, 9.0)]
    [4.0, 3.0, 4.0]
    """

    def __init__(self, norm: float | None, quantile: float | None = None, seen: Tensor | None = None):
        self.norm = math.inf if norm is None else norm
        self.quantile, self.seen = quantile, None if quantile is None else seen
        self.limits = quantile is not None or math.isfinite(self.norm)

    def limit(self, norm: Tensor) -> Tensor:
        """The longest a gradient of this norm may stay; infinite where there is no limit."""
        if self.quantile is None:
            return norm.new_full((), self.norm)
        self.seen = norm.view(1) if self.seen is None else inserted(self.seen.to(norm), norm)
        return at_quantile(self.seen, self.quantile).clamp(max=self.norm)


def inserted(ordered: Tensor, value: Tensor) -> Tensor:
    """A sorted vector with one more number at its place.

    Examples
    --------
    >>> inserted(torch.tensor([1.0, 3.0]), torch.tensor(2.0))
    tensor([1., 2., 3.])
    """
    below, above = pad(ordered, (1, 0), value=-math.inf), pad(ordered, (0, 1), value=math.inf)
    return torch.maximum(below, torch.minimum(value, above))


def at_quantile(ordered: Tensor, quantile: float) -> Tensor:
    """The quantile of a sorted vector, linear between its numbers, as numpy's."""
    place = quantile * (len(ordered) - 1)
    low = math.floor(place)
    return torch.lerp(ordered[low], ordered[min(low + 1, len(ordered) - 1)], place - low)


class Stateful:
    """What learns from one epoch to the next, and can go on later from what it knew."""

    kept: ClassVar[tuple[str, ...]] = ()
    """The names of what it knows."""

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on."""
        return {name: getattr(self, name) for name in self.kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        vars(self).update(state)


@dataclass
class Schedule(Stateful):
    """A factor on the learning rate, here by the progress alone, from 0 to 1; it sees the loss of every epoch."""

    shape: Callable[[float], float]

    def factor(self, progress: float) -> float:
        """Factor on the learning rate."""
        return self.shape(progress)

    def observe(self, loss: float) -> None:
        """See the monitored loss of an epoch."""


class Plateau(Schedule):
    """Halve the rate whenever the loss has not improved for some epochs, down to a thousandth."""

    kept = ("rate", "best", "waited")

    def __init__(self, patience: int = 5):
        super().__init__(lambda progress: self.rate)
        self.patience, self.rate, self.best, self.waited = patience, 1.0, math.inf, 0

    def observe(self, loss: float) -> None:
        """Count the epochs since the last improvement."""
        improved = loss < self.best
        self.best = min(self.best, loss)
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.patience:
            self.rate, self.waited = max(self.rate / 2, 1e-3), 0


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def warmup(progress: float, share: float = 0.05) -> float:
    """A straight line from 0 to 1 over the first ``share`` of the training, then 1; never exactly 0."""
    return min(1.0, max(progress / share, 0.01))


SCHEDULE_SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": cosine,
    "warmup": warmup,
    "warmup_cosine": lambda progress: min(warmup(progress), 1.0) * cosine(max(0.0, (progress - 0.05) / 0.95)),
}


CLIPPINGS = "None, a number above 0, or ('quantile', q) or ('quantile', q, number) with q in (0, 1)"


def as_clipping(clip_norm: Any) -> tuple[float | None, float | None]:
    """The longest gradient, and the quantile of the norms so far that it may have, from ``clip_norm``; None: no limit.

    Examples
    --------
    >>> as_clipping(1.0), as_clipping(("quantile", 0.1)), as_clipping(("quantile", 0.1, 1.0))
    ((1.0, None), (None, 0.1), (1.0, 0.1))
    """
    if clip_norm is None:
        return None, None
    if is_number(clip_norm) and 0 < clip_norm < math.inf:
        return clip_norm, None
    if isinstance(clip_norm, tuple | list) and len(clip_norm) in (2, 3) and clip_norm[0] == "quantile":
        quantile, norm = clip_norm[1], as_clipping(*clip_norm[2:] or (None,))[0]
        if is_number(quantile) and 0 < quantile < 1:
            return norm, quantile
    raise ValueError(f"clip_norm must be {CLIPPINGS}, got {clip_norm!r}.")


def as_schedule(schedule: Any) -> Schedule:
    """A schedule from its name, from a callable of the progress in [0, 1], or from None (constant)."""
    if schedule is None:
        return Schedule(SCHEDULE_SHAPES["constant"])
    if callable(schedule):
        return Schedule(schedule)
    if schedule == "plateau":
        return Plateau()
    if schedule not in SCHEDULE_SHAPES:
        names = ", ".join(map(repr, [*SCHEDULE_SHAPES, "plateau"]))
        raise ValueError(f"schedule must be None, one of {names}, or a callable of the progress, got {schedule!r}.")
    return Schedule(SCHEDULE_SHAPES[schedule])


def clones(weights: Sequence[Tensor]) -> list[Tensor]:
    """Weights as they are now.

    Examples
    --------
    >>> weights = [torch.ones(2)]
    >>> kept = clones(weights)
    >>> weights[0] += 1
    >>> kept
    [tensor([1., 1.])]
    """
    return [weight.detach().clone() for weight in weights]

"""When a training ends: patience, budgets, and whether the loss still fell when a budget was spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

EPOCHS, STEPS = 200, 1000
"""The budget of a training that is given none: so many epochs or steps, whichever is more."""

STILL_FALLING = 0.05
"""Share of all that was gained; if the last tenth of a training brought more, it was ended too early."""


@dataclass
class Patience:
    """Counts the epochs and steps since the loss improved by ``tol``, and keeps the best weights if asked to.

    Parameters
    ----------
    tol : float
        Improvements add up: a loss that creeps down by less an epoch has improved once it is lower by as much in all.
    epochs : float
        A training has waited long enough after more than so many epochs …
    steps : int
        … and at least so many steps.
    """

    tol: float
    epochs: float
    steps: int
    best: float = math.inf
    reference: float = math.inf
    waited_epochs: int = 0
    waited_steps: int = 0
    weights: list[dict[str, Tensor]] | None = None

    def observe(self, loss: float, steps: int, modules: Sequence[nn.Module] = ()) -> None:
        """See the loss of an epoch of so many steps; remember the modules' weights if it is the best so far."""
        improved = loss <= self.reference - self.tol or math.isinf(self.reference)
        self.waited_epochs = 0 if improved else self.waited_epochs + 1
        self.waited_steps = 0 if improved else self.waited_steps + steps
        self.reference = loss if improved else self.reference
        if loss < self.best:
            self.best = loss
            self.weights = [copied(module) for module in modules] or None

    def exhausted(self) -> bool:
        """Whether the loss has not improved for too long."""
        return self.waited_epochs > self.epochs and self.waited_steps >= self.steps

    def restore(self, modules: Sequence[nn.Module]) -> None:
        """Give the modules their best weights back, where they were kept."""
        for module, weights in zip(modules, self.weights or (), strict=False):
            module.load_state_dict(weights)

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on."""
        names = ("best", "reference", "waited_epochs", "waited_steps", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        vars(self).update(state)


def copied(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a module, as they are now."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def gained_at_the_end(losses: Sequence[float]) -> float:
    """The share of all that was gained which the last tenth of a training brought; 0 where it is within the scatter.

    Examples
    --------
    >>> gained_at_the_end([5.0, 4.0, 3.0, 2.0, 1.0])
    0.25
    >>> gained_at_the_end([4.0, 1.0, 1.0, 1.0])
    0.0
    """
    if len(losses) < 2:
        return 0.0
    part = max(1, len(losses) // 10)
    late, before = np.asarray(losses[-part:]), np.asarray(losses[-2 * part : -part])
    scatter = math.sqrt((late.var() + before.var()) / part)
    fall, whole = float(before.mean() - late.mean()), float(losses[0] - min(losses))
    return fall / whole if whole > 0 and fall > 2 * scatter else 0.0

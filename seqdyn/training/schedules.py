"""Schedules: the learning rate as a factor that changes during the training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Schedule(Protocol):
    """What the trainer asks: a factor on the learning rate, and a chance to see the loss of every epoch."""

    def factor(self, progress: float) -> float:
        """Factor on the learning rate at a progress between 0 and 1."""

    def observe(self, loss: float) -> None:
        """See the monitored loss of an epoch."""

    def state(self) -> dict[str, Any]:
        """What it has seen, to go on from later."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


@dataclass
class Timed:
    """A factor that depends on the progress alone."""

    shape: Callable[[float], float]

    def factor(self, progress: float) -> float:
        return self.shape(progress)

    def observe(self, loss: float) -> None:
        """Ignored."""

    def state(self) -> dict[str, Any]:
        """Nothing: the progress says all."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


@dataclass
class Plateau:
    """Halve the rate whenever the loss has not improved for some epochs, down to a thousandth."""

    patience: int = 5
    rate: float = 1.0
    best: float = math.inf
    waited: int = 0

    def factor(self, progress: float) -> float:
        return self.rate

    def observe(self, loss: float) -> None:
        """Count the epochs since the last improvement."""
        improved = loss < self.best
        self.best = min(self.best, loss)
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.patience:
            self.rate, self.waited = max(self.rate / 2, 1e-3), 0

    def state(self) -> dict[str, Any]:
        """The rate, and what it waits for."""
        return {"rate": self.rate, "best": self.best, "waited": self.waited}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        vars(self).update(state)


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def warmup(progress: float, share: float = 0.05) -> float:
    """A straight line from 0 to 1 over the first ``share`` of the training, then 1; never exactly 0."""
    return min(1.0, max(progress / share, 0.01))


SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": cosine,
    "warmup": warmup,
    "warmup_cosine": lambda progress: min(warmup(progress), 1.0) * cosine(max(0.0, (progress - 0.05) / 0.95)),
}


def as_schedule(schedule: Any) -> Schedule:
    """A schedule from its name, from a callable of the progress in [0, 1], or from None (constant)."""
    if schedule is None:
        return Timed(SHAPES["constant"])
    if callable(schedule):
        return Timed(schedule)
    if schedule == "plateau":
        return Plateau()
    if schedule not in SHAPES:
        names = ", ".join(map(repr, [*SHAPES, "plateau"]))
        raise ValueError(f"schedule must be None, one of {names}, or a callable of the progress, got {schedule!r}.")
    return Timed(SHAPES[schedule])

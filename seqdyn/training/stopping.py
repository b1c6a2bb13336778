"""When a training ends: a budget is spent, the loss no longer improves, or something is not finite."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from seqdyn.checks import outside
from seqdyn.training.optimisation import Descent, Stateful, clones

if TYPE_CHECKING:
    from seqdyn.training.loop import Recipe

EPOCHS, STEPS = 200, 1000
"""The budget of a training that is given none: so many epochs or steps, whichever is more."""

STILL_FALLING = 0.05
"""Share of all that was gained; if the last tenth of a training brought more, it was ended too early."""


class NonFiniteError(FloatingPointError):
    """A loss, gradient or weight became NaN or infinite; the message says where.

    Parameters
    ----------
    message : str
    epoch, batch : int or None
        Where, both from 0.
    parameters : tuple of str
        All parameters whose gradient (or value, after the last update) is not finite; empty where only the loss is.
    """

    def __init__(
        self, message: str, epoch: int | None = None, batch: int | None = None, parameters: tuple[str, ...] = ()
    ):
        super().__init__(message)
        self.epoch, self.batch, self.parameters = epoch, batch, parameters


@dataclass
class Budget:
    """How far a training may go, and how far it is.

    Parameters
    ----------
    recipe : Recipe
    batches : int
        In an epoch.

    Attributes
    ----------
    epochs : int
        As many as there may be.
    epoch, batch : int
        What comes next: the number of the epoch, and of the batch in it.
    steps : int
        Of the optimizer, so far.
    batches_done : int
        All so far; those without a target are no step.
    elapsed : float
        Seconds before the clock was started.
    """

    recipe: Recipe
    batches: int
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    batches_done: int = 0
    elapsed: float = 0.0
    began: float | None = None

    @property
    def epochs(self) -> int:
        return self.recipe.epochs(self.batches)

    def start(self) -> None:
        """Start the clock, which goes on from the seconds before."""
        self.began = time.monotonic() - self.elapsed

    def seconds(self) -> float:
        """What the training took so far."""
        return self.elapsed if self.began is None else time.monotonic() - self.began

    def progress(self) -> float:
        """How much of the longest possible training is done, in [0, 1]."""
        done = self.batches_done / (self.epochs * self.batches)
        if self.recipe.max_steps is not None:
            done = max(done, self.steps / self.recipe.max_steps)
        if self.recipe.max_time is not None:
            done = max(done, self.seconds() / self.recipe.max_time)
        return min(done, 1.0)

    def spent(self) -> str | None:
        """``"max_steps"`` or ``"max_time"``, if that is used up; the training then ends within an epoch."""
        if self.recipe.max_steps is not None and self.steps >= self.recipe.max_steps:
            return "max_steps"
        if self.recipe.max_time is not None and self.seconds() >= self.recipe.max_time:
            return "max_time"
        return None

    def warn_of_an_early_end(self, reason: str, losses: Sequence[float]) -> None:
        """Say that a budget was spent while the monitored loss still fell, and what to set."""
        gained = gained_at_the_end(losses)
        if gained <= STILL_FALLING:
            return
        now = f"{self.epochs} epochs" if reason == "max_epochs" else f"{reason}={getattr(self.recipe, reason)}"
        warnings.warn(
            f"The training ended after {now} ({self.steps} steps) while the loss still fell: its last tenth brought "
            f"{gained:.0%} of all that was gained. Set a larger {reason} to learn on.",
            ConvergenceWarning,
            stacklevel=outside(),
        )

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on."""
        counters = {"number": self.epoch, "index": self.batch, "steps": self.steps, "batches_done": self.batches_done}
        return counters | {"elapsed": self.seconds()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave; the clock is started."""
        self.epoch, self.batch = state["number"], state["index"]
        self.steps, self.batches_done, self.elapsed = state["steps"], state["batches_done"], state["elapsed"]
        self.start()


@dataclass
class Patience(Stateful):
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
    kept = ("best", "reference", "waited_epochs", "waited_steps", "weights")

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


class Guard:
    """Watches that losses, gradients and weights stay finite, and goes back to the last good weights where they do not.

    Where waiting for the device costs nothing (on the CPU) every step is checked before it changes a weight; elsewhere
    an epoch is checked when it is over.

    Parameters
    ----------
    parameters : mapping of str to Parameter
    descent : Descent
    every_step : bool

    Attributes
    ----------
    events : list of dict
        Where something was not finite: epoch, batch, parameters.
    before : list of Tensor
        The weights before the last update; where every step is checked, they are good.
    begin, good : list of Tensor
        The weights at the beginning of the epoch, and the last good ones; empty where every step is checked.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], descent: Descent, every_step: bool):
        self.parameters, self.descent, self.every_step = parameters, descent, every_step
        self.events: list[dict[str, Any]] = []
        self.before = clones(descent.weights)
        self.begin: list[Tensor] = []
        self.good: list[Tensor] = []

    def open_epoch(self) -> None:
        """Remember the weights an epoch begins with."""
        if not self.every_step:
            self.begin = clones(self.descent.weights)
            self.good = self.good or self.begin

    @torch.no_grad()
    def open_update(self) -> None:
        """Remember the weights an update begins with."""
        torch._foreach_copy_(self.before, self.descent.weights)

    def check_step(self, row: Tensor, epoch: int, batch: int) -> None:
        """Raise if loss or gradient norm of a step are not finite."""
        loss, norm = row[:2].tolist()
        if math.isfinite(loss) and math.isfinite(norm):
            return
        bad = self.descent.monitor.broken(row)
        where = f"first in {_quoted_parameters(bad)}" if bad else "in the loss itself"
        clip_norm = self.descent.recipe.clip_norm
        limit = "set clip_norm" if clip_norm is None else f"lower clip_norm (now {clip_norm:g})"
        self._fail(
            f"Not finite in epoch {epoch}, batch {batch}: loss {loss:g}, gradient norm {norm:g}, {where}.",
            f", {limit}, or look at the data of this batch.",
            (epoch, batch, bad),
        )

    def check_epoch(self, table: Tensor, epoch: int) -> None:
        """Look through the rows of an epoch whose steps were not checked one by one; if all are finite, it was good."""
        if self.every_step:
            return
        broken = ~table[:, :2].isfinite().all(1)
        if bool(broken.any()):
            first = int(broken.nonzero()[0])
            self.good = self.begin if first > 0 else self.good
            self.check_step(table[first], epoch, first)
        self.good = self.begin

    def check_weights(self, epoch: int, batch: int) -> None:
        """Raise if the last update, which no loss has seen, made weights that are not finite."""
        bad = tuple(name for name, p in self.parameters.items() if not bool(p.isfinite().all()))
        if bad:
            self._fail(
                f"The update in epoch {epoch}, batch {batch} made weights that are not finite, "
                f"first in {_quoted_parameters(bad)}.",
                ".",
                (epoch, batch, bad),
            )

    def check_validation(self, loss: float, epoch: int, batch: int) -> None:
        """Raise if the loss on the part held out is not finite."""
        if not math.isfinite(loss):
            self._fail(
                f"The validation loss in epoch {epoch}, after batch {batch}, is {loss:g}.", ".", (epoch, batch, ())
            )

    def state(self) -> dict[str, list[Tensor]]:
        """The weights that the next step may go back to."""
        late = {} if self.every_step else {"begin": clones(self.begin), "good": clones(self.good)}
        return {"before": clones(self.before)} | late

    def load_state(self, state: Mapping[str, list[Tensor]], events: list[dict[str, Any]]) -> None:
        """Go on from what :meth:`state` gave, and from the events so far."""
        self.before, self.events = state["before"], events
        if not self.every_step:
            self.begin, self.good = (state.get(name) or clones(self.before) for name in ("begin", "good"))

    @torch.no_grad()
    def _fail(self, what: str, way_out: str, place: tuple[int, int, tuple[str, ...]]) -> NoReturn:
        """Go back to the last good weights, write the event down, and raise; an average of the others is given up."""
        self.descent.average = []
        good = self.before if self.every_step else self.good
        for weight, kept in zip(self.descent.weights, good, strict=True):
            weight.copy_(kept)
        self.events.append(dict(zip(("epoch", "batch", "parameters"), place, strict=True)))
        raise NonFiniteError(
            f"{what} The last good weights are kept. Lower learning_rate (now {self.descent.rate:g}){way_out}", *place
        )


def _quoted_parameters(parameters: tuple[str, ...]) -> str:
    return f"the parameter{'s' if len(parameters) > 1 else ''} {', '.join(map(repr, parameters))}"

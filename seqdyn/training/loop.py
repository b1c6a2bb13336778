"""The training loop: backpropagation through time, full or truncated, of whatever an objective says.

It knows no models and no losses. Nothing in an epoch waits for the device: losses and norms stay there until the epoch
is over. (On the CPU, where waiting costs nothing, every step is checked before it changes a weight.)
"""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from tqdm import tqdm

from seqdyn.checks import is_number, outside
from seqdyn.initial_state import drawing, seeded_generators
from seqdyn.state import State, leaves
from seqdyn.training.batches import Batch, Batches
from seqdyn.training.checkpoint import Checkpoint, described
from seqdyn.training.clipping import Clipping
from seqdyn.training.ledger import Ledger
from seqdyn.training.monitor import Monitor, by_parameter
from seqdyn.training.objective import Objective, Pass
from seqdyn.training.patience import EPOCHS, STEPS, STILL_FALLING, Patience, copied, gained_at_the_end
from seqdyn.training.schedules import Schedule, as_schedule
from seqdyn.training.workers import Workers

HISTORY = (
    "epoch",
    "loss",
    "validation_loss",
    "gradient_norm",
    "clip_coefficient",
    "learning_rate",
    "seconds",
    "clip_fraction",
)
"""What is written down of every epoch; :attr:`Trainer.columns` adds the parts of the loss, and every parameter."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

Observer = Callable[[int, Batch, nn.Module, Any], None]


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


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    optimizer : {"adam", "adamw", "sgd"}
    learning_rate : float > 0
    schedule : None, str or callable
        See :func:`~seqdyn.training.schedules.as_schedule`.
    weight_decay : float
    clip_norm : float or None
        Gradients longer than this, over all parameters together, are shortened to it.
    clip_quantile : float in (0, 1), or None
        q: those longer than the q-quantile of the norms of all steps so far are shortened to that.
    max_epochs : int or None
        None: 200, or as many as 1,000 steps take, or as ``max_steps`` asks for.
    max_steps : int or None
        Optimizer steps in all.
    max_time : float or None
        Seconds in all.
    weight_average : float in [0, 1)
        a: what is validated and kept is the exponential average of the weights, w̄ ← a w̄ + (1 − a) w after every step.
    n_iter_no_change, patience_steps, tol
        Stop when the monitored loss has not improved by ``tol`` for more than so many epochs and for so many steps.
    verbose : int
        1 shows a progress bar.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-2
    schedule: Any = None
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    clip_quantile: float | None = None
    max_epochs: int | None = None
    max_steps: int | None = None
    max_time: float | None = None
    weight_average: float = 0.0
    n_iter_no_change: float = 10
    patience_steps: int = 500
    tol: float = 1e-4
    verbose: int = 0

    def epochs(self, batches: int) -> int:
        """How many epochs of so many batches there may be.

        Examples
        --------
        >>> Recipe().epochs(1), Recipe().epochs(10), Recipe(max_steps=30).epochs(10), Recipe(max_epochs=5).epochs(1)
        (1000, 200, 3, 5)
        """
        if self.max_epochs is not None:
            return self.max_epochs
        if self.max_steps is not None:
            return -(-self.max_steps // batches)
        return max(EPOCHS, -(-STEPS // batches))


@dataclass
class Trainer:
    """Train a network on batches by an objective.

    Parameters
    ----------
    network : nn.Module
    batches : Batches
    objective : Objective
        ``objective(network, batch, state, generator, progress) -> Pass``. If it is a module, its parameters are trained
        with those of the network, and its buffers are kept.
    recipe : Recipe
    generator : torch.Generator
        Orders the batches and draws what the objective draws.
    validate : callable, optional
        ``validate() -> float``; if given, it is monitored instead of the training loss, and the best weights are
        restored at the end.
    observer : callable, optional
        ``observer(epoch, batch, network, output)`` sees every step after its backward pass, before clipping and
        update; ``output.grad`` is ∂loss/∂output.
    checkpoint : Checkpoint, optional
        Where the training is kept while it runs; if there is one already, it goes on from there, to the bit.
    workers : Workers, optional
        Others that train the same network on other rows of the same batches.
    optimizer_state : dict, optional
        ``optimizer.state_dict()`` of an earlier training of this network, to go on from.
    norms : Tensor, optional
        Norms of the steps of an earlier training, in increasing order, for ``clip_quantile``.

    Attributes
    ----------
    history : list of dict
        One entry an epoch.
    non_finite : list of dict
        Where a loss, gradient or weight was not finite: epoch, batch, parameters.
    ended : {"patience", "max_steps", "max_time", "max_epochs"} or None
        Why the training ended; None while it has not.
    """

    network: nn.Module
    batches: Batches
    objective: Objective
    recipe: Recipe
    generator: torch.Generator
    validate: Callable[[], float] | None = None
    observer: Observer | None = None
    checkpoint: Checkpoint | None = None
    workers: Workers | None = None
    optimizer_state: dict[str, Any] | None = None
    norms: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    non_finite: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        own = [("objective.", self.objective)] if isinstance(self.objective, nn.Module) else []
        self.modules = [self.network, *(module for _, module in own)]
        named = [
            (prefix + name, parameter)
            for prefix, module in [("", self.network), *own]
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        ]
        first = {parameter: name for name, parameter in reversed(named)}  # one that both hold is trained once
        self.parameters = {name: parameter for name, parameter in named if first[parameter] == name}
        self.optimizer = OPTIMIZERS[self.recipe.optimizer](
            self.parameters.values(),
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            fused=True,
        )
        if self.optimizer_state is not None:
            self.optimizer.load_state_dict(copy.deepcopy(self.optimizer_state))
        self.schedule: Schedule = as_schedule(self.recipe.schedule)
        self.epochs = self.recipe.epochs(len(self.batches))
        self.number = self.index = 0  # of the epoch, and of the batch in it, that come next
        self.steps = self.batches_done = 0
        self.elapsed = 0.0
        self.ended: str | None = None if self.epochs else "max_epochs"
        self.opening = self.generator.get_state()
        self.noise = self.generator if self.workers is None else torch.Generator()
        if self.workers is not None and self.recipe.max_time is not None:
            raise ValueError("max_time would end the training of every worker at another step: set max_steps.")
        self.starts: list[Tensor] = []  # where the generators of random starts stand when the run begins
        self.carried: State | None = None
        self.ledger = Ledger()
        self.patience = Patience(self.recipe.tol, self.recipe.n_iter_no_change, self.recipe.patience_steps)
        self.checks_every_step = next(iter(self.parameters.values())).device.type == "cpu"
        self.monitor = Monitor(self.parameters)
        self.clipping = Clipping(self.recipe.clip_norm, self.recipe.clip_quantile, self.norms)
        self.before = self.copy()
        self.begin = self.copy()
        self.good = self.before if self.checks_every_step else self.copy()
        self.average = self.copy() if self.recipe.weight_average else []
        self.settled = False  # whether the average stands in the place of the weights

    @property
    def columns(self) -> tuple[str, ...]:
        """What is written down of every epoch."""
        known = (*HISTORY, *by_parameter(self.monitor.names))
        parts = dict.fromkeys(name for entry in self.history for name in entry if name not in known)
        return (*HISTORY, *parts, *by_parameter(self.monitor.names))

    def run(self) -> list[dict[str, float]]:
        """Train until a budget is spent or the loss stops improving; Ctrl-C ends it early and keeps what is learnt.

        Warns
        -----
        ConvergenceWarning
            If a budget was spent while the loss still fell.
        """
        if self.checkpoint is not None:
            self.checkpoint.restore(self)
        finished = self.ended is not None
        if finished and self.settled:
            return self.history
        self.settle(False)
        self.began = time.monotonic() - self.elapsed
        self.set_mode(training=True)
        try:
            with drawing(self.network, self.noise), _bar(self.recipe, self.epochs, self.number) as bar:
                for own, begun in zip(seeded_generators(self.network), self.starts, strict=False):
                    own.set_state(begun)
                while self.ended is None:
                    entry = self.epoch()
                    if bar is not None:
                        _show(bar, entry)
                self.check_weights()
            if self.checkpoint is not None and not finished:
                self.checkpoint.write(self)
        except KeyboardInterrupt:
            warnings.warn(
                f"Training was interrupted in epoch {len(self.history)}, after {self.steps} steps; the estimator "
                "keeps the weights learnt so far.",
                stacklevel=outside(),
            )
        finally:
            self.set_mode(training=False)
            self.settle(True)
            self.patience.restore(self.modules)
        self.warn_of_an_early_end()
        return self.history

    def epoch(self) -> dict[str, float]:
        """The batches of this epoch that are still to come; returns its entry in the history."""
        if self.index == 0:
            self.begin = self.good if self.checks_every_step else self.copy()
        for batch in self.coming():
            self.step(batch)
            self.batches_done += 1
            self.index += 1
            if self.checkpoint is not None:
                self.checkpoint.offer(self)
            if self.spent():
                break
        entry = self.close()
        self.ended = self.reason()
        return entry

    def coming(self) -> Iterator[Batch]:
        """The rest of the epoch: what it draws is drawn from where the generator stood at its beginning."""
        if self.index == 0:
            self.opening = self.generator.get_state()
            yield from self.batches.epoch(self.generator)
            return
        now = self.generator.get_state()
        self.generator.set_state(self.opening)
        rest = self.batches.epoch(self.generator, self.index)
        first = next(rest, None)
        self.generator.set_state(now)
        if first is not None:
            yield first
            yield from rest

    def step(self, batch: Batch) -> None:
        """Forward, backward, clip, update; what was measured goes to the ledger."""
        state = self.carried if batch.follows else None
        if not batch.counts and self.workers is None:
            with torch.no_grad():
                self.carried = self.passed(batch, state).state
            return
        self.optimizer.zero_grad(set_to_none=True)
        passed = self.passed(batch, state)
        self.carried = passed.state
        loss, weight = self.differentiated(batch, passed)
        if self.workers is not None and float(weight) == 0:
            return  # nobody has a target in this batch
        row = self.clip(loss)
        if self.checks_every_step:
            self.check(row, self.index)
        self.keep()
        self.update()
        ratios = self.monitor.ratios(self.before) if self.index == 0 else self.monitor.unmeasured
        self.ledger.add(torch.cat([row, ratios]), weight, passed.parts)

    def differentiated(self, batch: Batch, passed: Pass) -> tuple[Tensor, Tensor | float]:
        """Backpropagation, seen by the observer and summed over workers: the loss, and what it counts."""
        if self.observer is not None:
            for leaf in leaves(passed.output):
                if leaf.requires_grad:
                    leaf.retain_grad()
        passed.loss.backward()
        if self.observer is not None:
            self.observer(self.number, batch if passed.batch is None else passed.batch, self.network, passed.output)
        loss, weight = passed.loss.detach(), passed.weight if batch.counts else 0.0
        if self.workers is None:
            return loss, weight
        gradients = self.monitor.gradients()
        for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        return self.workers.share(gradients, loss, weight)

    def passed(self, batch: Batch, state: State | None) -> Pass:
        """What the objective makes of a batch."""
        if self.workers is not None:
            self.workers.seed(self.noise, self.generator.initial_seed(), self.batches_done)
        found = self.objective(self.network, batch, state, self.noise, self.progress())
        if not isinstance(found, Pass) or not isinstance(found.loss, Tensor) or found.loss.dim():
            given = type(found).__name__ if not isinstance(found, Pass) else f"loss={_spoken(found.loss)}"
            raise TypeError(
                f"The objective gave {given}, expected a seqdyn.training.objective.Pass whose loss is a scalar tensor: "
                "the mean over `weight` items."
            )
        self.check_pass(found)
        taken = set(found.parts) & {*HISTORY, "steps_reached", *by_parameter(self.monitor.names)}
        if taken:
            raise ValueError(f"The objective's parts {sorted(taken)} are columns of the history: name them otherwise.")
        return found

    def check_pass(self, found: Pass) -> None:
        """Raise if the weight is no weight, or a part no scalar. (What lies on a GPU is not waited for.)"""
        weight = found.weight
        there = isinstance(weight, Tensor) and weight.device.type != "cpu"
        if not is_scalar(weight) or not (there or 0 <= float(weight) < math.inf):
            raise ValueError(
                f"The objective gave weight={_told(weight)}, expected a number of at least 0: how many items its loss "
                "is the mean of."
            )
        if not isinstance(found.parts, Mapping):
            raise TypeError(f"The objective gave parts={found.parts!r}, expected a dict of names to scalar tensors.")
        for name, part in found.parts.items():
            if not is_scalar(part):
                raise ValueError(
                    f"The part {name!r} of the objective is {_told(part)}, expected a scalar: a mean over the batch."
                )

    def set_mode(self, training: bool) -> None:
        """Training or evaluation, of the network and of an objective that is a module."""
        for module in self.modules:
            module.train(training)

    def copy(self) -> list[Tensor]:
        """The parameters as they are now."""
        return [parameter.detach().clone() for parameter in self.parameters.values()]

    @torch.no_grad()
    def keep(self) -> None:
        """Remember the parameters as they are before the update; where steps are checked, they are good."""
        torch._foreach_copy_(self.before, list(self.parameters.values()))

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the last parameters whose loss and gradient were finite; an average of the others is given up."""
        self.average = []
        for good, parameter in zip(self.good, self.parameters.values(), strict=True):
            parameter.copy_(good)

    def clip(self, loss: Tensor) -> Tensor:
        """Shorten the gradient to its limit, as torch does; returns [loss, norm before, factor, whether it was longer,
        norm of every parameter's before]."""
        gradients = self.monitor.gradients()
        norms = self.monitor.norms(gradients)
        norm = torch.linalg.vector_norm(norms)
        limit = self.clipping.limit(norm)
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        if isinstance(limit, Tensor) or math.isfinite(limit):
            torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))
        return torch.cat([torch.stack([loss.to(norms), norm, factor, (norm > limit).to(norms)]), norms])

    def update(self) -> None:
        """One optimizer step at the rate the schedule says."""
        rate = self.recipe.learning_rate * self.schedule.factor(self.progress())
        if not math.isfinite(rate):
            raise ValueError(f"The schedule made the learning rate {rate} at progress {self.progress():.3f}.")
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.steps += 1
        self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average of the weights towards them; early on faster, so that the start is soon forgotten."""
        if self.average:
            share = 1 - min(self.recipe.weight_average, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self.average, list(self.parameters.values()), share)

    def settle(self, over: bool) -> None:
        """Put the average in the place of the weights, where one is kept, or the weights back in theirs."""
        if over != self.settled:
            self.exchange()
            self.settled = over

    @torch.no_grad()
    def exchange(self) -> None:
        """Swap the weights with their average, where one is kept."""
        for average, parameter in zip(self.average, self.parameters.values(), strict=False):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    # --- how far it is ------------------------------------------------------------------------------------------------

    def progress(self) -> float:
        """How much of the longest possible training is done, in [0, 1]."""
        done = self.batches_done / (self.epochs * len(self.batches))
        if self.recipe.max_steps is not None:
            done = max(done, self.steps / self.recipe.max_steps)
        if self.recipe.max_time is not None:
            done = max(done, (time.monotonic() - self.began) / self.recipe.max_time)
        return min(done, 1.0)

    def spent(self) -> bool:
        """Whether the budget of steps or of seconds is used up."""
        return self._out_of_steps() or self._out_of_time()

    def reason(self) -> str | None:
        """Why the training is over; None if it goes on."""
        reasons = {
            "max_steps": self._out_of_steps(),
            "max_time": self._out_of_time(),
            "patience": self.patience.exhausted(),
            "max_epochs": self.number >= self.epochs,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _out_of_steps(self) -> bool:
        return self.recipe.max_steps is not None and self.steps >= self.recipe.max_steps

    def _out_of_time(self) -> bool:
        return self.recipe.max_time is not None and time.monotonic() - self.began >= self.recipe.max_time

    def warn_of_an_early_end(self) -> None:
        """Say that a budget was spent while the loss still fell, and what to set."""
        column = "loss" if self.validate is None else "validation_loss"
        gained = gained_at_the_end([entry[column] for entry in self.history])
        if self.ended in (None, "patience") or gained <= STILL_FALLING:
            return
        now = {
            "max_steps": f"max_steps={self.recipe.max_steps}",
            "max_time": f"max_time={self.recipe.max_time}",
            "max_epochs": f"{self.epochs} epochs",
        }[self.ended]
        warnings.warn(
            f"The training ended after {now} ({self.steps} steps) while the loss still fell: its last tenth brought "
            f"{gained:.0%} of all that was gained. Set a larger {self.ended} to learn on.",
            ConvergenceWarning,
            stacklevel=outside(),
        )

    # --- what is not finite -------------------------------------------------------------------------------------------

    def check(self, row: Tensor, index: int) -> None:
        """Raise if loss or gradient norm of a step of this epoch is not finite."""
        loss, norm = row[:2].tolist()
        if math.isfinite(loss) and math.isfinite(norm):
            return
        bad = self.monitor.broken(row)
        where = f"first in {_named(bad)}" if bad else "in the loss itself"
        limit = "set clip_norm" if self.recipe.clip_norm is None else f"lower clip_norm (now {self.recipe.clip_norm:g})"
        self.fail(
            f"Not finite in epoch {self.number}, batch {index}: loss {loss:g}, gradient norm {norm:g}, {where}.",
            f", {limit}, or look at the data of this batch.",
            (self.number, index, bad),
        )

    def check_weights(self) -> None:
        """Raise if the last update, which no loss has seen, made weights that are not finite."""
        bad = tuple(name for name, p in self.parameters.items() if not bool(p.isfinite().all()))
        if bad:
            epoch, index = len(self.history) - 1, len(self.batches) - 1
            self.fail(
                f"The update in epoch {epoch}, batch {index} made weights that are not finite, first in {_named(bad)}.",
                ".",
                (epoch, index, bad),
            )

    def check_validation(self, loss: float) -> None:
        """Raise if the loss on the part held out is not finite."""
        if self.validate is not None and not math.isfinite(loss):
            index = len(self.batches) - 1
            self.fail(
                f"The validation loss in epoch {self.number}, after batch {index}, is {loss:g}.",
                ".",
                (self.number, index, ()),
            )

    def fail(self, what: str, way_out: str, place: tuple[int, int, tuple[str, ...]]) -> NoReturn:
        """Go back to the last good weights, write the event down, and raise."""
        self.restore()
        self.non_finite.append(dict(zip(("epoch", "batch", "parameters"), place, strict=True)))
        rate = self.optimizer.param_groups[0]["lr"]
        raise NonFiniteError(
            f"{what} The last good weights are kept. Lower learning_rate (now {rate:g}){way_out}", *place
        )

    # --- the end of an epoch ------------------------------------------------------------------------------------------

    def close(self) -> dict[str, float]:
        """Bring the epoch's measurements to the host, validate, and write the history."""
        table = self.ledger.table(len(self.monitor.columns))
        if not self.checks_every_step and self.ledger.rows:
            self.check_late(table)
        self.good = self.good if self.checks_every_step else self.begin
        means = self.monitor.means(table) | {"loss": self.ledger.mean_loss()}
        self.exchange()
        entry = {
            "epoch": self.number,
            "loss": means.pop("loss"),
            "validation_loss": self.validation_loss(),
            "gradient_norm": means.pop("gradient_norm"),
            "clip_coefficient": means.pop("clip_coefficient"),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": time.monotonic() - self.began,
            "clip_fraction": means.pop("clip_fraction"),
            **self.ledger.mean_parts(),
            **means,
        }
        self.history.append(entry)
        self.check_validation(entry["validation_loss"])
        monitored = entry["loss"] if self.validate is None else entry["validation_loss"]
        self.schedule.observe(monitored)
        self.patience.observe(monitored, len(self.ledger.rows), self.modules if self.validate is not None else ())
        self.exchange()
        self.number, self.index, self.carried, self.ledger = self.number + 1, 0, None, Ledger()
        return entry

    def check_late(self, table: Tensor) -> None:
        """Look through an epoch whose steps were not checked one by one."""
        broken = ~table[:, :2].isfinite().all(1)
        if bool(broken.any()):
            first = int(broken.nonzero()[0])
            self.good = self.begin if first > 0 else self.good
            self.check(table[first], first)

    def validation_loss(self) -> float:
        """The loss on the part held out in time; NaN if there is none."""
        if self.validate is None:
            return math.nan
        self.set_mode(training=False)
        try:
            return self.validate()
        finally:
            self.set_mode(training=True)

    # --- going on later -----------------------------------------------------------------------------------------------

    def mark(self) -> dict[str, str]:
        """What a training is of, as far as the trainer knows: its recipe, the shapes of its weights, its batches.

        Where nothing depends on the progress, the budget is left out: one that was spent may be raised.
        """
        free = {"verbose", *(BUDGETS if self.recipe.schedule is None else ())}
        recipe = {part.name: getattr(self.recipe, part.name) for part in fields(self.recipe) if part.name not in free}
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in self.parameters.items())
        own = {"weights": shapes, "batches": f"{len(self.batches)} an epoch"}
        return {name: described(value) for name, value in recipe.items()} | own

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on, as a tree that files can hold; going on from it is bit-equal.

        With ``max_time`` the clock has a say in the progress, which no state can repeat.
        """
        over = self.settled
        self.settle(False)
        try:
            return self._state()
        finally:
            self.settle(over)

    def _state(self) -> dict[str, Any]:
        return {
            "modules": [copied(module) for module in self.modules],
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "schedule": self.schedule.state(),
            "patience": copy.deepcopy(self.patience.state()),
            "ledger": self.ledger.state(),
            "generator": {"opening": self.opening.clone(), "now": self.generator.get_state()},
            "starts": [own.get_state() for own in seeded_generators(self.network)] or self.starts,
            "carried": self.carried,
            "weights": {name: [weight.clone() for weight in getattr(self, name)] for name in self._kept()},
            "norms": self.clipping.seen,
            "counters": {name: getattr(self, name) for name in COUNTERS} | {"elapsed": self._elapsed()},
            "history": [dict(entry) for entry in self.history],
            "non_finite": copy.deepcopy(self.non_finite),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave, in a trainer that was made as that one was."""
        device = next(iter(self.parameters.values())).device
        for module, weights in zip(self.modules, state["modules"], strict=True):
            module.load_state_dict(weights)
        self.settled = False
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.schedule.load_state(state["schedule"])
        self.patience.load_state(copy.deepcopy(state["patience"]))
        self.ledger = Ledger()
        self.ledger.load_state(state["ledger"], device)
        self.opening = state["generator"]["opening"].cpu()
        self.generator.set_state(state["generator"]["now"].cpu())
        self.starts = [begun.cpu() for begun in state["starts"]]
        self.carried = state["carried"]
        for name, kept in state["weights"].items():
            setattr(self, name, [weight.to(device, copy=True) for weight in kept])
        self.good = self.before if self.checks_every_step else self.good
        self.clipping.seen = state["norms"]
        vars(self).update(state["counters"])
        self.history = [dict(entry) for entry in state["history"]]
        self.non_finite = copy.deepcopy(state["non_finite"])
        self.began = time.monotonic() - self.elapsed
        if self.index == 0 and self.number:
            self.ended = self.reason()  # a budget may be larger now

    def _kept(self) -> tuple[str, ...]:
        """The copies of the weights that the next step may go back to."""
        return ("before", "average", *(() if self.checks_every_step else ("begin", "good")))

    def _elapsed(self) -> float:
        return time.monotonic() - self.began if "began" in vars(self) else self.elapsed


BUDGETS = ("max_epochs", "max_steps", "max_time")
"""What says how long a training may be."""

COUNTERS = ("number", "index", "steps", "batches_done", "ended")
"""Where a training stands."""


def _named(parameters: tuple[str, ...]) -> str:
    return f"the parameter{'s' if len(parameters) > 1 else ''} {', '.join(map(repr, parameters))}"


def _spoken(loss: Any) -> str:
    return f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__


def is_scalar(value: Any) -> bool:
    """Whether a value is one number, in a tensor or by itself."""
    return value.dim() == 0 if isinstance(value, Tensor) else is_number(value)


def _told(value: Any) -> str:
    return _spoken(value) if isinstance(value, Tensor) and value.dim() else repr(value)


def _bar(recipe: Recipe, epochs: int, done: int) -> AbstractContextManager[tqdm[Any] | None]:
    """A progress bar with ``verbose``; nothing otherwise, since even a disabled bar starts a thread."""
    return tqdm(total=epochs, initial=done, unit="epoch") if recipe.verbose else nullcontext()


def _show(bar: tqdm[Any], entry: dict[str, float]) -> None:
    """Advance the bar by one epoch."""
    bar.set_postfix({key: f"{entry[key]:.3g}" for key in ("loss", "validation_loss") if math.isfinite(entry[key])})
    bar.update()

"""The training loop: backpropagation through time, full or truncated, of whatever an objective says.

It knows no models and no losses. Nothing in an epoch waits for the device: losses and norms stay there until the epoch
is over. (On the CPU, where waiting costs nothing, every step is checked before it changes a weight.)
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from seqdyn.checks import outside
from seqdyn.facts import shown_by_facts
from seqdyn.initial_state import drawing, seeded_generators
from seqdyn.kernels.compiled import compile_seconds
from seqdyn.progress import Callback, Meter
from seqdyn.state import State, leaves
from seqdyn.training.batches import Batch, Batches
from seqdyn.training.capture import Capture, Slope
from seqdyn.training.checkpoint import Checkpoint, described
from seqdyn.training.ledger import ROW_START, Ledger, by_parameter
from seqdyn.training.objective import Objective, Pass, check_pass
from seqdyn.training.optimisation import Descent, clones
from seqdyn.training.stopping import EPOCHS, STEPS, Budget, Guard, NonFiniteError, Patience, copied
from seqdyn.training.workers import Workers

__all__ = ["BUDGETS", "HISTORY", "NonFiniteError", "Observer", "Recipe", "Trainer"]

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

BUDGETS = ("max_epochs", "max_steps", "max_time")
"""What says how long a training may be."""

Observer = Callable[[int, Batch, nn.Module, Any], None]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    optimizer : {"adam", "adamw", "sgd"}
    learning_rate : float > 0
    schedule : None, str or callable
        See :func:`~seqdyn.training.optimisation.as_schedule`.
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
    verbose : bool or int
        1 shows a progress bar with the loss, 2 also the learning rate and the norm of the gradient.
    callback : callable, optional
        ``callback(Progress)`` after every epoch; a true answer ends the training there, as a spent budget does.

    Examples
    --------
    >>> Recipe(learning_rate=0.1, max_epochs=5)
    Recipe(learning_rate=0.1, max_epochs=5)
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
    verbose: bool | int = 0
    callback: Callback | None = None

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

    def mark(self) -> dict[str, str]:
        """What a training by this recipe is known by; without the budget, where nothing depends on the progress: one
        that was spent may be raised."""
        free = {"verbose", "callback", *(BUDGETS if self.schedule is None else ())}
        return {part.name: described(getattr(self, part.name)) for part in fields(self) if part.name not in free}

    def __repr__(self) -> str:
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        given = [f"{part.name}={values[part.name]!r}" for part in fields(self) if values[part.name] != part.default]
        return f"Recipe({', '.join(given)})"


@shown_by_facts
@dataclass(repr=False)
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
    capture : Capture, optional
        Records a step on a GPU and replays it, where that is possible: ``Capture(CudaRecorder())``.
    optimizer_state : dict, optional
        ``optimizer.state_dict()`` of an earlier training of this network, to go on from.
    norms : Tensor, optional
        Norms of the steps of an earlier training, in increasing order, for ``clip_quantile``.

    Attributes
    ----------
    history : list of dict
        One entry an epoch.
    parameters : dict of str to Parameter
        What is trained, by name.
    descent, guard, budget, patience : Descent, Guard, Budget, Patience
        How the weights move, what keeps them finite, how far the training is, and how long it waits.
    carried : State or None
        The state that the next batch goes on from.
    ended : {"patience", "max_steps", "max_time", "max_epochs", "callback"} or None
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
    capture: Capture | None = None
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.workers is not None and self.recipe.max_time is not None:
            raise ValueError("max_time would end the training of every worker at another step: set max_steps.")
        own = [self.objective] if isinstance(self.objective, nn.Module) else []
        self.modules = [self.network, *own]
        self.parameters = trained_parameters(self.network, *own)
        self.device = next(iter(self.parameters.values())).device
        self.descent = Descent(self.parameters, self.recipe, self.optimizer_state, self.norms)
        self.guard = Guard(self.parameters, self.descent, every_step=self.device.type == "cpu")
        self.taken = frozenset((*HISTORY, "steps_reached", *by_parameter(self.descent.monitor.names)))
        self.budget = Budget(self.recipe, len(self.batches))
        self.patience = Patience(self.recipe.tol, self.recipe.n_iter_no_change, self.recipe.patience_steps)
        self.ledger = Ledger()
        self.carried: State | None = None
        self.ended: str | None = None if self.budget.epochs else "max_epochs"
        self.opening = self.generator.get_state()
        self.noise = self.generator if self.workers is None else torch.Generator()
        self.starts: list[Tensor] = []  # where the generators of random starts stand when the run begins

    @property
    def columns(self) -> tuple[str, ...]:
        """What is written down of every epoch."""
        last = by_parameter(self.descent.monitor.names)
        parts = dict.fromkeys(name for entry in self.history for name in entry if name not in (*HISTORY, *last))
        return (*HISTORY, *parts, *last)

    @property
    def non_finite(self) -> list[dict[str, Any]]:
        """Where a loss, gradient or weight was not finite: epoch, batch, parameters."""
        return self.guard.events

    def facts(self) -> dict[str, object]:
        """What is trained on what, and how far it is."""
        names = {"network": self.network, "batches": self.batches, "objective": self.objective}
        done = {"epochs": f"{self.budget.epoch} of {self.budget.epochs}", "steps": self.budget.steps}
        return {name: type(value).__name__ for name, value in names.items()} | done | {"ended": self.ended}

    def run(self) -> list[dict[str, float]]:
        """Train until a budget is spent or the loss stops improving; Ctrl-C ends it early and keeps what is learnt.

        Raises
        ------
        NonFiniteError
            If a loss, gradient or weight is not finite; the last good weights are kept.

        Warns
        -----
        ConvergenceWarning
            If a budget was spent while the loss still fell.
        """
        if self.checkpoint is not None:
            self.checkpoint.restore(self)
        finished = self.ended is not None
        if finished and self.descent.averaged:
            return self.history
        self.descent.use_average(False)
        self.budget.start()
        self.set_mode(training=True)
        try:
            self._epochs()
            if self.checkpoint is not None and not finished:
                self.checkpoint.write(self)
        except KeyboardInterrupt:
            warnings.warn(
                f"Training was interrupted in epoch {len(self.history)}, after {self.budget.steps} steps; the "
                "estimator keeps the weights learnt so far.",
                stacklevel=outside(),
            )
        finally:
            self.set_mode(training=False)
            self.descent.use_average(True)
            self.patience.restore(self.modules)
        if self.ended in BUDGETS:
            column = "loss" if self.validate is None else "validation_loss"
            self.budget.warn_of_an_early_end(self.ended, [entry[column] for entry in self.history])
        return self.history

    def _epochs(self) -> None:
        """All epochs to come, with a bar where one is asked for."""
        budget, recipe = self.budget, self.recipe
        with (
            drawing(self.network, self.noise),
            Meter(
                "fit", "epoch", budget.epochs, recipe.verbose, recipe.callback, budget.epoch, budget.elapsed
            ) as meter,
        ):
            for own, begun in zip(seeded_generators(self.network), self.starts, strict=False):
                own.set_state(begun)
            compiling = compile_seconds()
            while self.ended is None:
                entry = self.epoch()
                if (spent := compile_seconds() - compiling) > 0:
                    meter.say(f"compiled the loops over time in {spent:.1f} s, once for this machine")
                    compiling += spent
                if meter.advance(entry["loss"], _detail(entry, recipe.verbose)):
                    self.ended = self.ended or "callback"
            self.guard.check_weights(len(self.history) - 1, len(self.batches) - 1)

    def epoch(self) -> dict[str, float]:
        """The batches of this epoch that are still to come; returns its entry in the history."""
        if self.budget.batch == 0:
            self.guard.open_epoch()
        for batch in self.coming():
            self.step(batch)
            self.budget.batches_done += 1
            self.budget.batch += 1
            if self.checkpoint is not None:
                self.checkpoint.offer(self)
            if self.budget.spent():
                break
        entry = self.close()
        self.ended = self.reason()
        return entry

    def coming(self) -> Iterator[Batch]:
        """The rest of the epoch: what it draws is drawn from where the generator stood at its beginning."""
        if self.budget.batch == 0:
            self.opening = self.generator.get_state()
            yield from self.batches.epoch(self.generator)
            return
        now = self.generator.get_state()
        self.generator.set_state(self.opening)
        rest = self.batches.epoch(self.generator, self.budget.batch)
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
        slope = self.slope(batch, state) if self.capture is None else self.capture.slope(self, batch, state)
        self.carried = slope.state
        if (row := slope.row) is None:
            return
        if self.guard.every_step:
            self.guard.check_step(row, self.budget.epoch, self.budget.batch)
        self.guard.open_update()
        self.descent.update(self.budget.progress(), self.budget.steps + 1)
        self.budget.steps += 1
        if self.budget.batch == 0:
            self.ledger.ratios = self.descent.monitor.ratios(self.guard.before)
        self.ledger.add(row, slope.weight, slope.parts)

    def slope(self, batch: Batch, state: State | None) -> Slope:
        """Forward, backward, clip: the gradient of a batch stands in the parameters then."""
        self.descent.clear()
        passed = self.passed(batch, state)
        loss, weight = self.differentiated(batch, passed)
        idle = self.workers is not None and float(weight) == 0
        return Slope(None if idle else self.descent.clip(loss), weight, passed.parts, passed.state)

    def passed(self, batch: Batch, state: State | None) -> Pass:
        """What the objective makes of a batch."""
        if self.workers is not None:
            self.workers.seed(self.noise, self.generator.initial_seed(), self.budget.batches_done)
        return check_pass(self.objective(self.network, batch, state, self.noise, self.budget.progress()), self.taken)

    def differentiated(self, batch: Batch, passed: Pass) -> tuple[Tensor, Tensor | float]:
        """Backpropagation, seen by the observer and summed over workers: the loss, and what it counts."""
        if self.observer is not None:
            for leaf in leaves(passed.output):
                if leaf.requires_grad:
                    leaf.retain_grad()
        passed.loss.backward()
        if self.observer is not None:
            seen = batch if passed.batch is None else passed.batch
            self.observer(self.budget.epoch, seen, self.network, passed.output)
        loss, weight = passed.loss.detach(), passed.weight if batch.counts else 0.0
        if self.workers is None:
            return loss, weight
        gradients = self.descent.monitor.gradients()
        for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        return self.workers.share(gradients, loss, weight)

    def set_mode(self, training: bool) -> None:
        """Training or evaluation, of the network and of an objective that is a module."""
        for module in self.modules:
            module.train(training)

    def close(self) -> dict[str, float]:
        """Bring the epoch's measurements to the host, validate, and write the history."""
        monitor, budget, steps = self.descent.monitor, self.budget, len(self.ledger.rows)
        table = self.ledger.table(len(ROW_START) + len(monitor.names))
        self.guard.check_epoch(table, budget.epoch)
        means = monitor.means(table, self.ledger.ratios)
        self.descent.use_average(True)
        entry = {
            "epoch": budget.epoch,
            "loss": self.ledger.mean_loss(),
            "validation_loss": math.nan if self.validate is None else self.validation_loss(self.validate),
            "gradient_norm": means["gradient_norm"],
            "clip_coefficient": means["clip_coefficient"],
            "learning_rate": self.descent.rate,
            "seconds": budget.seconds(),
            "clip_fraction": means["clip_fraction"],
            **self.ledger.mean_parts(),
        }
        entry |= {name: mean for name, mean in means.items() if name not in entry}
        self.history.append(entry)
        monitored = entry["loss"]
        if self.validate is not None:
            monitored = entry["validation_loss"]
            self.guard.check_validation(monitored, budget.epoch, len(self.batches) - 1)
        self.descent.schedule.observe(monitored)
        self.patience.observe(monitored, steps, self.modules if self.validate is not None else ())
        self.descent.use_average(False)
        budget.epoch, budget.batch, self.carried, self.ledger = budget.epoch + 1, 0, None, Ledger()
        return entry

    def validation_loss(self, validate: Callable[[], float]) -> float:
        """The loss on the part held out in time."""
        self.set_mode(training=False)
        try:
            return validate()
        finally:
            self.set_mode(training=True)

    def reason(self) -> str | None:
        """Why the training is over; None if it goes on."""
        if spent := self.budget.spent():
            return spent
        if self.patience.exhausted():
            return "patience"
        return "max_epochs" if self.budget.epoch >= self.budget.epochs else None

    def mark(self) -> dict[str, str]:
        """What a training is of, as far as the trainer knows: its recipe, the shapes of its weights, its batches."""
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in self.parameters.items())
        return self.recipe.mark() | {"weights": shapes, "batches": f"{len(self.batches)} an epoch"}

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on, as a tree that files can hold; going on from it is bit-equal.

        With ``max_time`` the clock has a say in the progress, which no state can repeat.
        """
        over = self.descent.averaged
        self.descent.use_average(False)
        try:
            return {
                "modules": [copied(module) for module in self.modules],
                "patience": copy.deepcopy(self.patience.state()),
                "ledger": self.ledger.state(),
                "generator": {"opening": self.opening.clone(), "now": self.generator.get_state()},
                "starts": [own.get_state() for own in seeded_generators(self.network)] or self.starts,
                "carried": self.carried,
                "weights": self.guard.state() | {"average": clones(self.descent.average)},
                "counters": self.budget.state() | {"ended": self.ended},
                "history": [dict(entry) for entry in self.history],
                "non_finite": copy.deepcopy(self.guard.events),
                **self.descent.state(),
            }
        finally:
            self.descent.use_average(over)

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave, in a trainer that was made as that one was."""
        for module, weights in zip(self.modules, state["modules"], strict=True):
            module.load_state_dict(weights)
        kept = {name: [w.to(self.device, copy=True) for w in group] for name, group in state["weights"].items()}
        self.descent.load_state(state, kept["average"])
        self.guard.load_state(kept, copy.deepcopy(state["non_finite"]))
        self.patience.load_state(copy.deepcopy(state["patience"]))
        self.budget.load_state(state["counters"])
        self.ledger = Ledger()
        self.ledger.load_state(state["ledger"], self.device)
        self.opening = state["generator"]["opening"].cpu()
        self.generator.set_state(state["generator"]["now"].cpu())
        self.starts = [begun.cpu() for begun in state["starts"]]
        self.carried = state["carried"]
        self.history = [dict(entry) for entry in state["history"]]
        self.ended = state["counters"]["ended"]
        if self.budget.batch == 0 and self.budget.epoch:
            self.ended = self.reason()  # a budget may be larger now


def trained_parameters(network: nn.Module, objective: nn.Module | None = None) -> dict[str, nn.Parameter]:
    """What a training changes, by name; a parameter that both hold is trained once, under its name in the network."""
    own = [] if objective is None else [("objective.", objective)]
    named = [
        (prefix + name, parameter)
        for prefix, module in [("", network), *own]
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]
    first = {parameter: name for name, parameter in reversed(named)}
    return {name: parameter for name, parameter in named if first[parameter] == name}


def _detail(entry: dict[str, float], verbose: bool | int) -> str:
    """What the bar says of an epoch beside its loss."""
    columns = ("validation_loss", "learning_rate", "gradient_norm") if verbose > 1 else ("validation_loss",)
    return ", ".join(f"{name}={entry[name]:.3g}" for name in columns if math.isfinite(entry[name]))

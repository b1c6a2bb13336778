"""The training loop: backpropagation through time, full or truncated.

Nothing in an epoch waits for the device: losses and norms stay there until the epoch is over. (On the CPU, where
waiting costs nothing, every step is checked before it changes a weight.)
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from tqdm import tqdm

from seqdyn.initial_state import drawing
from seqdyn.state import State
from seqdyn.training.batches import Batch, Spans, Streams
from seqdyn.training.forward import forward
from seqdyn.training.losses import elementwise, weighted_mean
from seqdyn.training.schedules import Schedule, as_schedule

HISTORY = (
    "epoch",
    "loss",
    "validation_loss",
    "gradient_norm",
    "clip_coefficient",
    "learning_rate",
    "seconds",
)
"""What is written down of every epoch."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

Observer = Callable[[int, Batch, nn.Module], None]
Penalty = Callable[[nn.Module], Tensor]
Prepare = Callable[[Batch, float, torch.Generator], Batch]


class NonFiniteError(FloatingPointError):
    """A loss or gradient became NaN or infinite; the message names epoch, batch and parameter."""


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
    max_epochs : int
    max_steps : int or None
        Optimizer steps in all.
    max_time : float or None
        Seconds in all.
    weight_average : float in [0, 1)
        a: what is validated and kept is the exponential average of the weights, w̄ ← a w̄ + (1 − a) w after every step.
    n_iter_no_change, tol
        Stop when the monitored loss has not improved by ``tol`` for so many epochs.
    verbose : int
        1 shows a progress bar.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-2
    schedule: Any = None
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    max_epochs: int = 200
    max_steps: int | None = None
    max_time: float | None = None
    weight_average: float = 0.0
    n_iter_no_change: float = 10
    tol: float = 1e-4
    verbose: int = 0


@dataclass
class Trainer:
    """Train a network on batches.

    Parameters
    ----------
    network : Cell or Annotator
    batches : Spans or Streams
    loss : Loss
    recipe : Recipe
    generator : torch.Generator
        Orders the batches and draws dropout and random starts.
    validate : callable, optional
        ``validate() -> float``; if given, it is monitored instead of the training loss, and the best weights are
        restored at the end.
    penalty : callable, optional
        ``penalty(network) -> scalar`` joins the loss.
    prepare : callable, optional
        ``prepare(batch, progress, generator) -> batch`` may change what a step sees, such as hiding inputs.
    observer : callable, optional
        ``observer(epoch, batch, network)`` sees every step after its backward pass, before the update.
    optimizer_state : dict, optional
        ``optimizer.state_dict()`` of an earlier training of this network, to go on from.

    Attributes
    ----------
    history : list of dict
        One entry an epoch.
    """

    network: nn.Module
    batches: Spans | Streams
    loss: Any
    recipe: Recipe
    generator: torch.Generator
    validate: Callable[[], float] | None = None
    penalty: Penalty | None = None
    prepare: Prepare | None = None
    observer: Observer | None = None
    optimizer_state: dict[str, Any] | None = None
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parameters = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self.optimizer = OPTIMIZERS[self.recipe.optimizer](
            self.parameters.values(),
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            fused=True,
        )
        if self.optimizer_state is not None:
            self.optimizer.load_state_dict(self.optimizer_state)
        self.schedule: Schedule = as_schedule(self.recipe.schedule)
        self.steps = self.batches_done = 0
        self.patience = Patience(self.recipe.tol, self.recipe.n_iter_no_change)
        self.checks_every_step = next(iter(self.parameters.values())).device.type == "cpu"
        self.good = self.copy()
        self.average = self.copy() if self.recipe.weight_average else []

    def run(self) -> list[dict[str, float]]:
        """Train until a budget is spent or the loss stops improving; Ctrl-C ends it early and keeps what is learnt."""
        self.began = time.monotonic()
        self.network.train()
        try:
            with drawing(self.network, self.generator), _bar(self.recipe) as bar:
                for number in range(self.recipe.max_epochs):
                    entry = self.epoch(number)
                    if bar is not None:
                        _show(bar, entry)
                    if self.spent() or self.patience.exhausted():
                        break
                self.check_weights()
        except KeyboardInterrupt:
            warnings.warn(
                f"Training was interrupted in epoch {len(self.history)}, after {self.steps} steps; the estimator "
                "keeps the weights learnt so far.",
                stacklevel=2,
            )
        finally:
            self.network.eval()
            self.exchange()
            self.patience.restore(self.network)
        return self.history

    def epoch(self, number: int) -> dict[str, float]:
        """All batches once; returns the entry of the history."""
        ledger: list[Tensor] = []
        state: State | None = None
        self.begin = self.good if self.checks_every_step else self.copy()
        for index, batch in enumerate(self.batches.epoch(self.generator)):
            state, measured = self.step(number, index, batch, state if batch.follows else None)
            ledger.extend(measured)
            self.batches_done += 1
            if self.spent():
                break
        return self.close(number, ledger)

    def step(self, epoch: int, index: int, batch: Batch, state: State | None) -> tuple[State | None, list[Tensor]]:
        """Forward, backward, clip, update; returns the state to carry on and [loss, gradient norm]."""
        if not batch.counts:
            with torch.no_grad():
                return forward(self.network, batch, state, self.generator)[1], []
        self.optimizer.zero_grad(set_to_none=True)
        if self.prepare is not None:
            batch = self.prepare(batch, self.progress(), self.generator)
        output, state = forward(self.network, batch, state, self.generator)
        loss = weighted_mean(elementwise(self.loss(output, batch.y), batch.y), batch.weight)
        if self.penalty is not None:
            loss = loss + self.penalty(self.network)
        loss.backward()
        if self.observer is not None:
            self.observer(epoch, batch, self.network)
        measured = torch.stack([loss.detach(), self.clip()])
        if self.checks_every_step:
            self.check(epoch, index, measured)
            self.keep()
        self.update()
        return state, [measured]

    def copy(self) -> list[Tensor]:
        """The parameters as they are now."""
        return [parameter.detach().clone() for parameter in self.parameters.values()]

    @torch.no_grad()
    def keep(self) -> None:
        """Remember these parameters: their loss and gradient are finite."""
        for good, parameter in zip(self.good, self.parameters.values(), strict=True):
            good.copy_(parameter)

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the last parameters whose loss and gradient were finite; an average of the others is given up."""
        self.average = []
        for good, parameter in zip(self.good, self.parameters.values(), strict=True):
            parameter.copy_(good)

    def clip(self) -> Tensor:
        """Shorten the gradient to ``clip_norm``; returns its norm before."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = get_total_norm(gradients, foreach=True)
        if self.recipe.clip_norm is not None:
            clip_grads_with_norm_(self.parameters.values(), self.recipe.clip_norm, norm, foreach=True)
        return norm

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

    @torch.no_grad()
    def exchange(self) -> None:
        """Swap the weights with their average, where one is kept."""
        for average, parameter in zip(self.average, self.parameters.values(), strict=False):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    def progress(self) -> float:
        """How much of the longest possible training is done, in [0, 1]."""
        done = self.batches_done / (self.recipe.max_epochs * len(self.batches))
        if self.recipe.max_steps is not None:
            done = max(done, self.steps / self.recipe.max_steps)
        if self.recipe.max_time is not None:
            done = max(done, (time.monotonic() - self.began) / self.recipe.max_time)
        return min(done, 1.0)

    def check(self, epoch: int, index: int, measured: Tensor) -> None:
        """Raise if loss or gradient norm is not finite."""
        loss, norm = measured.tolist()
        if math.isfinite(loss) and math.isfinite(norm):
            return
        bad = next(
            (n for n, p in self.parameters.items() if p.grad is not None and not bool(p.grad.isfinite().all())), None
        )
        where = f"first in the parameter {bad!r}" if bad else "in the loss itself"
        self.restore()
        limit = "set clip_norm" if self.recipe.clip_norm is None else f"lower clip_norm (now {self.recipe.clip_norm:g})"
        raise NonFiniteError(
            f"Not finite in epoch {epoch}, batch {index}: loss {loss:g}, gradient norm {norm:g}, {where}. The last "
            f"good weights are kept. Lower learning_rate (now {self.optimizer.param_groups[0]['lr']:g}), {limit}, or "
            "look at the data of this batch."
        )

    def check_weights(self) -> None:
        """Raise if the last update, which no loss has seen, made weights that are not finite."""
        bad = next((name for name, p in self.parameters.items() if not bool(p.isfinite().all())), None)
        if bad is not None:
            self.restore()
            raise NonFiniteError(
                f"The update in epoch {len(self.history) - 1}, batch {len(self.batches) - 1} made weights that are not "
                f"finite, first in the parameter {bad!r}. The last good weights are kept. Lower learning_rate (now "
                f"{self.optimizer.param_groups[0]['lr']:g})."
            )

    def check_validation(self, epoch: int, loss: float) -> None:
        """Raise if the loss on the part held out is not finite."""
        if self.validate is not None and not math.isfinite(loss):
            self.restore()
            raise NonFiniteError(
                f"The validation loss in epoch {epoch}, after batch {len(self.batches) - 1}, is {loss:g}. The last "
                f"good weights are kept. Lower learning_rate (now {self.optimizer.param_groups[0]['lr']:g})."
            )

    def close(self, number: int, ledger: list[Tensor]) -> dict[str, float]:
        """Bring the epoch's measurements to the host, validate, and write the history."""
        losses, norms = torch.stack(ledger).T.double().cpu() if ledger else torch.full((2, 1), math.nan)
        if not self.checks_every_step and not bool((losses + norms).isfinite().all()):
            first = int((~(losses + norms).isfinite()).nonzero()[0])
            self.good = self.begin if first > 0 else self.good
            self.check(number, first, torch.stack([losses[first], norms[first]]))
        self.good = self.good if self.checks_every_step else self.begin
        coefficient = torch.clamp((self.recipe.clip_norm or math.inf) / (norms + 1e-6), max=1.0)
        self.exchange()
        entry = {
            "epoch": number,
            "loss": float(losses.mean()),
            "validation_loss": self.validation_loss(),
            "gradient_norm": float(norms.mean()),
            "clip_coefficient": float(coefficient.mean()),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": time.monotonic() - self.began,
        }
        self.history.append(entry)
        self.check_validation(number, entry["validation_loss"])
        monitored = entry["loss"] if self.validate is None else entry["validation_loss"]
        self.schedule.observe(monitored)
        self.patience.observe(monitored, self.network if self.validate is not None else None)
        self.exchange()
        return entry

    def validation_loss(self) -> float:
        """The loss on the part held out in time; NaN if there is none."""
        if self.validate is None:
            return math.nan
        self.network.eval()
        try:
            return self.validate()
        finally:
            self.network.train()

    def spent(self) -> bool:
        """Whether the budget of steps or of seconds is used up."""
        steps, seconds = self.recipe.max_steps, self.recipe.max_time
        out_of_steps = steps is not None and self.steps >= steps
        return out_of_steps or (seconds is not None and time.monotonic() - self.began >= seconds)


@dataclass
class Patience:
    """Counts the epochs since the loss improved by ``tol``, and keeps the best weights if asked to."""

    tol: float
    epochs: float
    best: float = math.inf
    waited: int = 0
    weights: dict[str, Tensor] | None = None

    def observe(self, loss: float, network: nn.Module | None) -> None:
        """See the loss of an epoch; remember the network's weights if it is the best so far."""
        self.waited = 0 if loss <= self.best - self.tol or math.isinf(self.best) else self.waited + 1
        if loss < self.best:
            self.best = loss
            self.weights = None if network is None else _weights(network)

    def exhausted(self) -> bool:
        """Whether the loss has not improved for too long."""
        return self.waited > self.epochs

    def restore(self, network: nn.Module) -> None:
        """Give the network its best weights back."""
        if self.weights is not None:
            network.load_state_dict(self.weights)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _bar(recipe: Recipe) -> AbstractContextManager[tqdm[Any] | None]:
    """A progress bar with ``verbose``; nothing otherwise, since even a disabled bar starts a thread."""
    return tqdm(total=recipe.max_epochs, unit="epoch") if recipe.verbose else nullcontext()


def _show(bar: tqdm[Any], entry: dict[str, float]) -> None:
    """Advance the bar by one epoch."""
    bar.set_postfix({key: f"{entry[key]:.3g}" for key in ("loss", "validation_loss") if math.isfinite(entry[key])})
    bar.update()

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
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from tqdm import tqdm

from seqdyn.initial_state import drawing
from seqdyn.state import State
from seqdyn.training.batches import Batch, Spans, Streams
from seqdyn.training.clipping import Clipping
from seqdyn.training.forward import forward
from seqdyn.training.losses import elementwise, weighted_mean
from seqdyn.training.monitor import Monitor, by_parameter
from seqdyn.training.schedules import Schedule, as_schedule

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
"""What is written down of every epoch; :attr:`Trainer.columns` adds what is written down of every parameter."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

Observer = Callable[[int, Batch, nn.Module, Tensor], None]
Penalty = Callable[[nn.Module, Batch], Tensor]
Prepare = Callable[[Batch, float, torch.Generator], Batch]


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
    clip_quantile: float | None = None
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
        ``penalty(network, batch) -> scalar`` joins the loss.
    prepare : callable, optional
        ``prepare(batch, progress, generator) -> batch`` may change what a step sees, such as hiding inputs.
    observer : callable, optional
        ``observer(epoch, batch, network, output)`` sees every step after its backward pass, before clipping and
        update; ``output.grad`` is ∂C/∂y of the loss without the penalty.
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
    norms: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    non_finite: list[dict[str, Any]] = field(default_factory=list)

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
        self.monitor = Monitor(self.parameters)
        self.clipping = Clipping(self.recipe.clip_norm, self.recipe.clip_quantile, self.norms)
        self.before = self.copy()
        self.good = self.before if self.checks_every_step else self.copy()
        self.average = self.copy() if self.recipe.weight_average else []

    @property
    def columns(self) -> tuple[str, ...]:
        """What is written down of every epoch."""
        return (*HISTORY, *by_parameter(self.monitor.names))

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
        """Forward, backward, clip, update; returns the state to carry on and the row of the monitor, if any."""
        if not batch.counts:
            with torch.no_grad():
                return forward(self.network, batch, state, self.generator)[1], []
        self.optimizer.zero_grad(set_to_none=True)
        if self.prepare is not None:
            batch = self.prepare(batch, self.progress(), self.generator)
        output, state = forward(self.network, batch, state, self.generator)
        loss = weighted_mean(elementwise(self.loss(output, batch.y), batch.y), batch.weight)
        if self.penalty is not None:
            loss = loss + self.penalty(self.network, batch)
        if self.observer is not None:
            output.retain_grad()
        loss.backward()
        if self.observer is not None:
            self.observer(epoch, batch, self.network, output)
        row = self.clip(loss.detach())
        if self.checks_every_step:
            self.check(epoch, index, row)
        self.keep()
        self.update()
        ratios = self.monitor.ratios(self.before) if index == 0 else self.monitor.unmeasured
        return state, [torch.cat([row, ratios])]

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

    def check(self, epoch: int, index: int, row: Tensor) -> None:
        """Raise if loss or gradient norm is not finite."""
        loss, norm = row[:2].tolist()
        if math.isfinite(loss) and math.isfinite(norm):
            return
        bad = self.monitor.broken(row)
        where = f"first in {_named(bad)}" if bad else "in the loss itself"
        limit = "set clip_norm" if self.recipe.clip_norm is None else f"lower clip_norm (now {self.recipe.clip_norm:g})"
        self.fail(
            f"Not finite in epoch {epoch}, batch {index}: loss {loss:g}, gradient norm {norm:g}, {where}.",
            f", {limit}, or look at the data of this batch.",
            (epoch, index, bad),
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

    def check_validation(self, epoch: int, loss: float) -> None:
        """Raise if the loss on the part held out is not finite."""
        if self.validate is not None and not math.isfinite(loss):
            index = len(self.batches) - 1
            self.fail(
                f"The validation loss in epoch {epoch}, after batch {index}, is {loss:g}.", ".", (epoch, index, ())
            )

    def fail(self, what: str, way_out: str, place: tuple[int, int, tuple[str, ...]]) -> NoReturn:
        """Go back to the last good weights, write the event down, and raise."""
        self.restore()
        self.non_finite.append(dict(zip(("epoch", "batch", "parameters"), place, strict=True)))
        rate = self.optimizer.param_groups[0]["lr"]
        raise NonFiniteError(
            f"{what} The last good weights are kept. Lower learning_rate (now {rate:g}){way_out}", *place
        )

    def close(self, number: int, ledger: list[Tensor]) -> dict[str, float]:
        """Bring the epoch's measurements to the host, validate, and write the history."""
        width = len(self.monitor.columns)
        table = torch.stack(ledger).cpu().double() if ledger else torch.full((1, width), math.nan)
        broken = ~table[:, :2].isfinite().all(1)
        if not self.checks_every_step and ledger and bool(broken.any()):
            first = int(broken.nonzero()[0])
            self.good = self.begin if first > 0 else self.good
            self.check(number, first, table[first])
        self.good = self.good if self.checks_every_step else self.begin
        means = self.monitor.means(table)
        self.exchange()
        entry = {
            "epoch": number,
            "loss": means.pop("loss"),
            "validation_loss": self.validation_loss(),
            "gradient_norm": means.pop("gradient_norm"),
            "clip_coefficient": means.pop("clip_coefficient"),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": time.monotonic() - self.began,
            **means,
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


def _named(parameters: tuple[str, ...]) -> str:
    return f"the parameter{'s' if len(parameters) > 1 else ''} {', '.join(map(repr, parameters))}"


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _bar(recipe: Recipe) -> AbstractContextManager[tqdm[Any] | None]:
    """A progress bar with ``verbose``; nothing otherwise, since even a disabled bar starts a thread."""
    return tqdm(total=recipe.max_epochs, unit="epoch") if recipe.verbose else nullcontext()


def _show(bar: tqdm[Any], entry: dict[str, float]) -> None:
    """Advance the bar by one epoch."""
    bar.set_postfix({key: f"{entry[key]:.3g}" for key in ("loss", "validation_loss") if math.isfinite(entry[key])})
    bar.update()

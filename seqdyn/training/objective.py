"""Objectives: what a step of a training minimises. The loop knows no other models and no other losses.

    objective(network, batch, state, generator, progress) → Pass(loss, weight, state, output, parts)

:class:`Supervised` is one: predict the targets. A latent model with a KL part, an encoder–decoder on pairs, a policy
gradient are others, each a function or a module of some ten lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from seqdyn.checks import is_number
from seqdyn.state import State
from seqdyn.training.batches import Batch, Batches
from seqdyn.training.forward import forward
from seqdyn.training.heads import Head

Penalty = Callable[[nn.Module, Batch], Tensor]
Prepare = Callable[[Batch, float, torch.Generator], Batch]


class Pass(NamedTuple):
    """What an objective makes of one batch.

    Attributes
    ----------
    loss : Tensor
        A scalar, the mean over ``weight`` items: parts of a batch, workers and batches of a validation part then add
        up. Its gradient is what the step follows.
    weight : Tensor or float
        How many items, or how much weight, it is the mean of.
    state : State or None
        To carry on to the next batch, if that one follows; detached.
    output : tree or None
        What an observer may look at; ∂loss/∂output is kept for it.
    parts : mapping of str to Tensor
        What the loss is made of, or anything else that is worth a column in the history; means over ``weight`` items.
    batch : Batch or None
        What the network saw, where that is not the batch as it came.
    """

    loss: Tensor
    weight: Tensor | float
    state: State | None = None
    output: Any = None
    parts: Mapping[str, Tensor] = MappingProxyType({})
    batch: Batch | None = None


class Objective(Protocol):
    """What a training minimises. It may be a module: its parameters are trained, its buffers are kept."""

    def __call__(
        self, network: Any, batch: Batch, state: State | None, generator: torch.Generator, progress: float
    ) -> Pass:
        """One pass over a batch: all that is random is drawn from ``generator``; ``progress`` goes from 0 to 1."""


@dataclass(frozen=True)
class Supervised:
    """Predict the targets: Σ w ℓ(f(x), y) / Σ w, and penalties where there are any.

    Parameters
    ----------
    head : Head
        What the outputs mean, and what they cost.
    penalties : mapping of str to callable
        Each ``penalty(network, batch) -> scalar`` joins the loss, and stands in the history under its name.
    prepare : callable, optional
        ``prepare(batch, progress, generator) -> batch`` may change what a step sees, such as hiding inputs.
    """

    head: Head
    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    prepare: Prepare | None = None

    def __call__(
        self, network: nn.Module, batch: Batch, state: State | None, generator: torch.Generator, progress: float
    ) -> Pass:
        if self.prepare is not None:
            batch = self.prepare(batch, progress, generator)
        output, after = forward(network, batch, state, generator)
        check_width(self.head, output, batch.y)
        values = elementwise(self.head.loss(output, batch.y), batch.y)
        parts = {name: penalty(network, batch) for name, penalty in self.penalties.items()}
        loss = sum(parts.values(), weighted_mean(values, batch.weight))
        return Pass(loss, total_weight(values, batch.weight), after, output, parts, batch)


def check_width(head: Head, output: Any, target: Any) -> None:
    """Raise if a network does not give as many outputs as the head describes the targets by."""
    if not (isinstance(output, Tensor) and isinstance(target, Tensor) and output.dim() and target.dim()):
        return
    given, needed = output.shape[-1], target.shape[-1] * head.outputs
    if given != needed:
        raise ValueError(
            f"The network gives {given} outputs a step, but {type(head).__name__} needs {needed}: {head.outputs} for "
            f"each of {target.shape[-1]} targets. Give the network as many, as in Readout(cell, {needed})."
        )


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


def total_weight(values: Tensor, weight: Tensor | None) -> Tensor | float:
    """Σ w; the number of values where there are no weights."""
    return float(values.numel()) if weight is None else weight.expand_as(values).sum()


def check_pass(found: Any, taken: frozenset[str]) -> Pass:
    """What an objective gave, if it is a pass. (What lies on a GPU is not waited for.)

    Parameters
    ----------
    found : object
    taken : frozenset of str
        Names that no part may have.

    Raises
    ------
    TypeError, ValueError
        If it is none, the loss or a part is no scalar, the weight no weight, or a name is taken.
    """
    if not isinstance(found, Pass) or not isinstance(found.loss, Tensor) or found.loss.dim():
        given = type(found).__name__ if not isinstance(found, Pass) else f"loss={_form_given(found.loss)}"
        raise TypeError(
            f"The objective gave {given}, expected a seqdyn.training.objective.Pass whose loss is a scalar tensor: "
            "the mean over `weight` items."
        )
    weight = found.weight
    waits = isinstance(weight, Tensor) and weight.device.type != "cpu"
    if not is_scalar(weight) or not (waits or 0 <= float(weight) < math.inf):
        raise ValueError(
            f"The objective gave weight={_value_given(weight)}, expected a number of at least 0: how many items its "
            "loss is the mean of."
        )
    if not isinstance(found.parts, Mapping):
        raise TypeError(f"The objective gave parts={found.parts!r}, expected a dict of names to scalar tensors.")
    for name, part in found.parts.items():
        if not is_scalar(part):
            raise ValueError(
                f"The part {name!r} of the objective is {_value_given(part)}, expected a scalar: a mean over the batch."
            )
    if names := sorted(taken.intersection(found.parts)):
        raise ValueError(f"The objective's parts {names} are columns of the history: name them otherwise.")
    return found


def is_scalar(value: Any) -> bool:
    """Whether a value is one number, in a tensor or by itself."""
    return value.dim() == 0 if isinstance(value, Tensor) else is_number(value)


def _form_given(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _value_given(value: Any) -> str:
    return _form_given(value) if isinstance(value, Tensor) and value.dim() else repr(value)


@torch.no_grad()  # not inference_mode: an objective may keep what it saw, such as a baseline, for the training
def evaluated(network: nn.Module, batches: Batches, objective: Objective, seed: int = 0) -> dict[str, float]:
    """The loss and its parts over all batches, without learning: Σ w ℓ / Σ w.

    Parameters
    ----------
    network : nn.Module
        Evaluated as it is used: without dropout, a random start at its mean.
    batches : Batches
        In their order; the state is carried on where one follows the other.
    objective : Objective
        At progress 1.
    seed : int
        Of what it draws.

    Returns
    -------
    dict
        ``"loss"``, and every part by its name; the loss is NaN where nothing counts.
    """
    generator, state = torch.Generator().manual_seed(seed), None
    sums: dict[str, Tensor] = {}
    total: Tensor | float = 0.0
    own = [network, *([objective] if isinstance(objective, nn.Module) else [])]
    before = {module: module.training for one in own for module in one.modules()}
    for one in own:
        one.eval()
    try:
        for batch in batches.epoch(generator):
            found = objective(network, batch, state if batch.follows else None, generator, 1.0)
            state = found.state
            if batch.counts:
                total = total + found.weight
                for name, value in {"loss": found.loss, **found.parts}.items():
                    sums[name] = sums.get(name, 0.0) + value * found.weight
    finally:
        for module, training in before.items():
            module.training = training
    return {"loss": math.nan} | {name: float(value / total) for name, value in sums.items()}

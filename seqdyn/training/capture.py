"""Steps that are recorded once and replayed: a small network on a GPU then no longer waits for its host.

    record:  (x, y) → loss → ∂loss/∂θ → clip        once, on buffers that stay where they are
    replay:  copy a batch into the buffers, run all of it by one call

What is recorded has no effect but on its buffers: it may be run in vain. The weights move outside, as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from seqdyn.initial_state import seeded_generators
from seqdyn.state import State, leaves, map_leaves
from seqdyn.training.batches import Batch
from seqdyn.training.objective import Supervised

if TYPE_CHECKING:
    from seqdyn.training.loop import Trainer

WARM_UPS = 3
"""Runs before the recording, as CUDA graphs ask for."""


class Slope(NamedTuple):
    """What a batch says of the weights; its gradient stands in them.

    ``row`` is that of the ledger (None: nobody has a target), ``weight`` and ``parts`` are those of the loss, ``state``
    is carried on.
    """

    row: Tensor | None
    weight: Tensor | float
    parts: Mapping[str, Tensor]
    state: State | None


class StepRecorder(Protocol):
    """What records work on a device."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Run work as it will be recorded, so that whatever it sets up once is set up."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record work; what is returned runs it again on the same memory."""


class CudaRecorder:
    """Recording by CUDA graphs, on a stream of its own.

    References
    ----------
    The documentation of ``torch.cuda.CUDAGraph``.
    """

    def warm_up(self, work: Callable[[], None]) -> None:
        own, current = torch.cuda.Stream(), torch.cuda.current_stream()
        own.wait_stream(current)
        with torch.cuda.stream(own):
            work()
        current.wait_stream(own)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay


class Recorded(NamedTuple):
    """A step on memory that stays where it is: ``seen`` is what it reads of a batch, ``found`` are the row, the weight,
    the state and the gradients that :attr:`replay` writes."""

    seen: Any
    found: Any
    replay: Callable[[], None]


class Capture:
    """The slope of a loss, recorded where that is possible, else as it is written.

    A step is recorded if it may be repeated blindly: its objective is plain :class:`Supervised` learning without a
    penalty, no quantile limits it, nobody observes it, no worker shares it, its batch is neither masked nor carried on,
    and nothing is drawn. The first batch of an epoch, and one of another shape, such as the last, run as they are
    written. A Python hook in the network would run while it is recorded and never again: do without capture there.

    Parameters
    ----------
    recorder : StepRecorder

    Attributes
    ----------
    recorded : Recorded or None
    refused : str or None
        Why nothing is recorded, once that is known.
    """

    def __init__(self, recorder: StepRecorder):
        self.recorder = recorder
        self.recorded: Recorded | None = None
        self.refused: str | None = None

    def slope(self, trainer: Trainer, batch: Batch, state: State | None) -> Slope:
        """What :meth:`Trainer.slope` gives, by a replay where one is recorded."""
        self.refused = self.refused or obstacle(trainer)
        if self.refused is not None or trainer.budget.batch == 0 or not repeatable(batch):
            return trainer.slope(batch, state)
        if self.recorded is None:
            self._record(trainer, batch)
        own = self.recorded
        if own is None or _form(_read_of(batch)) != _form(own.seen):
            return trainer.slope(batch, state)
        _write(own.seen, _read_of(batch))
        own.replay()
        row, weight, after, gradients = own.found
        for parameter, gradient in zip(trainer.descent.weights, gradients, strict=True):
            parameter.grad = gradient
        return Slope(row.clone(), weight.clone(), {}, map_leaves(Tensor.clone, after))

    def _record(self, trainer: Trainer, batch: Batch) -> None:
        """Warm up and record on copies of this batch; what was drawn meanwhile is given back."""
        generators = [trainer.noise, *seeded_generators(trainer.network)]
        before = [generator.get_state() for generator in generators]
        try:
            self.recorded = self._tried(trainer, batch, generators)
        except RuntimeError as error:
            self.refused = f"it cannot be recorded: {error}"
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)

    def _tried(self, trainer: Trainer, batch: Batch, generators: list[torch.Generator]) -> Recorded:
        seen = map_leaves(Tensor.clone, _read_of(batch))
        static = batch._replace(x=seen[0], y=seen[1], weight=seen[2])
        before = [generator.get_state() for generator in generators]
        found: list[Any] = []

        def measure() -> Any:
            slope = trainer.slope(static, None)
            assert slope.row is not None
            weight = slope.weight
            weight = weight if isinstance(weight, Tensor) else slope.row.new_full((), weight)
            return slope.row, weight, slope.state, [own.grad for own in trainer.descent.weights]

        for _ in range(WARM_UPS):
            self.recorder.warm_up(lambda: found.append(map_leaves(torch.empty_like, measure())))
        if any(not old.equal(own.get_state()) for old, own in zip(before, generators, strict=True)):
            raise RuntimeError("numbers are drawn in a step")
        return Recorded(seen, found[-1], self.recorder.record(lambda: _write(found[-1], measure())))


def obstacle(trainer: Trainer) -> str | None:
    """Why no step of this training can be recorded; None if one may be."""
    objective = trainer.objective
    plain = type(objective) is Supervised and objective.prepare is None and not objective.penalties
    found = {
        "the objective is not plain supervised learning": not plain,
        "an observer looks at every step": trainer.observer is not None,
        "workers share every step": trainer.workers is not None,
        "a quantile of all norms limits the gradient": trainer.descent.clipping.quantile is not None,
    }
    return next((reason for reason, holds in found.items() if holds), None)


def repeatable(batch: Batch) -> bool:
    """Whether a step on this batch depends on nothing but its numbers."""
    apart = batch.mask is None and batch.reset is None and batch.lead is None
    return apart and batch.counts and not batch.follows


def _read_of(batch: Batch) -> Any:
    return batch.x, batch.y, batch.weight


def _form(tree: Any) -> list[Any]:
    """What must not change from replay to replay."""
    return [type(tree), *((leaf.shape, leaf.dtype, leaf.device) for leaf in leaves(tree))]


@torch.no_grad()
def _write(static: Any, values: Any) -> None:
    """Bring values into memory that stays."""
    for own, value in zip(leaves(static), leaves(values), strict=True):
        own.copy_(value)

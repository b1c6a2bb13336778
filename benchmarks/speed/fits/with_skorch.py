"""skorch: the same module, trained by NeuralNetRegressor.

*default* is skorch's DataLoader over arrays, shuffled, with its log; *tuned* has no callbacks but the clipping, fused
Adam, and an iterator of its own that slices whole batches in the shared order. Neither holds out data.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import torch
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback, GradientNormClipping
from torch import Tensor

from benchmarks.speed.fits.task import BATCH, CLIP, RATE, Task, Trained, Watch
from benchmarks.speed.fits.with_torch import Network, Scaled


class Sliced:
    """Batches in the shared order: one gather each."""

    def __init__(self, dataset: Any, batch_size: int, order: Tensor):
        self.dataset, self.batches = dataset, order.split(batch_size)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in self.batches:
            yield self.dataset.X.index_select(0, chosen), self.dataset.y.index_select(0, chosen)


class Watched(Callback):
    """Tells of every step."""

    def __init__(self, watch: Watch, scaled: Scaled):
        self.watch, self.scaled, self.steps = watch, scaled, 0

    def on_batch_end(self, net: Any, training: bool = True, **given: Any) -> None:
        self.watch(self.steps, net.history[-1]["batches"][-1]["train_loss"], self.scaled.last(net.module_))
        self.steps += 1


def train(task: Task, tuned: bool, steps: int, watch: Watch | None) -> Trained:
    """One epoch over the windows of so many steps."""
    scaled, order = Scaled(task.values), torch.from_numpy(task.order)[: steps * BATCH]
    callbacks: list[Any] = [("clip", GradientNormClipping(CLIP))]
    if watch is not None:
        callbacks.append(("watch", Watched(watch, scaled)))
    x, y = scaled.inputs, scaled.targets
    if tuned:
        lane: dict[str, Any] = {"iterator_train": Sliced, "iterator_train__order": order, "verbose": 0}
        lane |= {"callbacks__print_log": None, "optimizer__fused": True}
    else:
        lane = {"iterator_train__shuffle": True}
        x, y = x[order], y[order]
    net = NeuralNetRegressor(
        Network, module__kind=task.kind, module__start=task.weights, module__one_bias=watch is not None, max_epochs=1,
        batch_size=BATCH, lr=RATE, optimizer=torch.optim.Adam, train_split=None, callbacks=callbacks, **lane,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        net.fit(x, y)
    return Trained(scaled.last(net.module_), sum(value.numel() for value in net.module_.parameters()))

"""darts: RNNModel, which reads windows of 96 hours and has a loss at each of them, too. It draws weights and order."""

from __future__ import annotations

from typing import Any

import torch
from darts import TimeSeries
from darts.models import RNNModel
from torch import Tensor

from benchmarks.speed.fits.lightning import QUIET, Watched, last_of
from benchmarks.speed.fits.task import BATCH, CLIP, HIDDEN, KINDS, RATE, WINDOW, Task, Trained, Watch


def train(task: Task, tuned: bool, steps: int, watch: Watch | None) -> Trained:
    """One epoch over all windows, which ends after so many steps."""
    trainer: dict[str, Any] = {"accelerator": "cpu", "max_steps": steps, "gradient_clip_val": CLIP}
    rules: dict[str, Any] = {"lr": RATE}
    if tuned:
        trainer |= QUIET
        rules["fused"] = True
    if watch is not None:
        trainer["callbacks"] = [Watched(watch, output)]
    model = RNNModel(
        input_chunk_length=WINDOW - 1, training_length=WINDOW, model=KINDS[task.kind], hidden_dim=HIDDEN,
        batch_size=BATCH, n_epochs=1, optimizer_cls=torch.optim.Adam, optimizer_kwargs=rules, random_state=0,
        pl_trainer_kwargs=trainer,
    )  # fmt: skip
    model.fit(TimeSeries.from_values(task.values))
    return Trained(last_of(model.model, output), sum(value.numel() for value in model.model.parameters()))


def output(module: Any, windows: Tensor) -> Tensor:
    """What its network answers."""
    return module.V(module.rnn(windows)[0])

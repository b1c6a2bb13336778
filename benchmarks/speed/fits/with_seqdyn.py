"""seqdyn: one call, in both lanes."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.speed.fits.task import BATCH, HIDDEN, KINDS, SECTION, STEPS, WINDOW, Task, Trained, Watch, series
from seqdyn import ElmanRegressor, GRURegressor, LSTMRegressor

ESTIMATORS = {"GRU": GRURegressor, "Elman": ElmanRegressor, "LSTM": LSTMRegressor}


def train(task: Task, tuned: bool, steps: int, watch: Watch | None) -> Trained:
    """One epoch over all windows."""
    if watch is not None:
        watch_sections(task, steps, watch)
    model = fitted(task, max_epochs=1, max_steps=steps)
    return Trained(lambda windows: model.predict(windows)[:, -1], sum(value.numel() for value in weights(model)))


def fitted(task: Task, **budget: Any) -> Any:
    """The estimator with its defaults of optimizer, rate, clipping and scaling."""
    model = ESTIMATORS[task.kind](hidden_size=HIDDEN, window=WINDOW, batch_size=BATCH, random_state=0, **budget)
    return model.fit(task.values[:-1, None], task.values[1:])


def weights(model: Any) -> list[torch.Tensor]:
    """What was trained."""
    return list(model.cell_.parameters())


def watch_sections(task: Task, steps: int, watch: Watch) -> None:
    """The curve, from trainings of 30, 60, … steps: the loss of an epoch is the mean over its steps."""
    before = 0.0
    for some in range(SECTION, steps + 1, SECTION):
        model = fitted(task, max_epochs=1, max_steps=some)
        total = float(model.history_["loss"].iloc[0]) * some
        for step in range(some - SECTION, some):
            watch(step, (total - before) / SECTION, lambda windows, model=model: model.predict(windows)[:, -1])
        before = total


def prepare(folder: str) -> None:
    """Write the weights that seqdyn starts from, and the order in which it will see the windows."""
    for kind in KINDS:
        task = Task(kind, series(0, STEPS * BATCH + WINDOW), {}, torch.empty(0).numpy())
        start = fitted(task, max_epochs=0)
        order = torch.randperm(STEPS * BATCH, generator=torch.Generator().set_state(start.resume_["generator"]))
        drawn = {name: value.detach().numpy() for name, value in start.cell_.named_parameters()}
        Task(kind, task.values, drawn, order.numpy()).write(folder)

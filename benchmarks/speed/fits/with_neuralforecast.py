"""neuralforecast: its GRU, RNN and LSTM. It draws weights, and the windows of every step anew.

*default* has its head of two layers, and a loss at the last hour of a window alone. *tuned* has a linear readout and a
loss at every hour (``recurrent=True, input_size=1, h_train=96``): the same model. Its recursive LSTM is another one,
whose recurrence passes through a single number, and slower, so that for the LSTM *tuned* is the direct form with a
linear readout and a loss at the last hour.
"""

from __future__ import annotations

from typing import Any

import neuralforecast.models
import pandas as pd
import torch
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MSE
from torch import Tensor

from benchmarks.speed.fits.lightning import QUIET, Watched, last_of
from benchmarks.speed.fits.task import BATCH, CLIP, HIDDEN, KINDS, RATE, WINDOW, Task, Trained, Watch

RECURSIVE = {"recurrent": True, "input_size": 1, "h_train": WINDOW}


def train(task: Task, tuned: bool, steps: int, watch: Watch | None) -> Trained:
    """So many steps, each of 32 windows of the one series."""
    lane: dict[str, Any] = {"input_size": WINDOW}
    if tuned:
        lane = {"optimizer": torch.optim.Adam, "optimizer_kwargs": {"lr": RATE, "fused": True}, **QUIET}
        lane |= {"input_size": WINDOW, "decoder_layers": 1} if task.kind == "LSTM" else RECURSIVE
    if watch is not None:
        lane["callbacks"] = [Watched(watch, output)]
    model = getattr(neuralforecast.models, KINDS[task.kind])(
        h=1, encoder_n_layers=1, encoder_hidden_size=HIDDEN, loss=MSE(), max_steps=steps,
        learning_rate=RATE, batch_size=1, windows_batch_size=BATCH, scaler_type="identity", random_seed=0,
        accelerator="cpu", gradient_clip_val=CLIP, **lane,
    )  # fmt: skip
    stamps = pd.date_range("2016-07-01", periods=len(task.values), freq="h")
    frame = pd.DataFrame({"unique_id": "series", "ds": stamps, "y": task.values})
    wrapped = NeuralForecast([model], freq="h")
    wrapped.fit(frame)
    network = wrapped.models[0]
    return Trained(last_of(network, output), sum(value.numel() for value in network.parameters()))


def output(module: Any, windows: Tensor) -> Tensor:
    """What its network answers."""
    head = module.proj if module.RECURRENT else module.mlp_decoder
    return head(module.hist_encoder(windows)[0])

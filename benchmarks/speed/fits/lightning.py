"""What darts and neuralforecast share: Lightning's trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from benchmarks.speed.fits.task import Last, Watch

QUIET: dict[str, Any] = {
    "logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False,
    "num_sanity_val_steps": 0,
}  # fmt: skip
"""What the tuned lane tells the trainer."""


class Watched(Callback):
    """Tells of every step; ``output(module, windows)`` is what the network answers at every step of windows."""

    def __init__(self, watch: Watch, output: Callable[[Any, Tensor], Tensor]):
        self.watch, self.output, self.steps = watch, output, 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.watch(self.steps, outputs["loss"].item(), last_of(pl_module, self.output))
        self.steps += 1


def last_of(module: Any, output: Callable[[Any, Tensor], Tensor]) -> Last:
    """The network's answer to the last step of windows."""

    @torch.inference_mode()
    def answer(windows: np.ndarray) -> np.ndarray:
        return output(module, torch.from_numpy(windows))[:, -1, 0].numpy()

    return answer

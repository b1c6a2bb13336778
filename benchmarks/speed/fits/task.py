"""What is trained: one recurrent layer of 64 units and a linear readout, one step ahead, every window of 96 hours once.

300 steps of 32 windows, Adam with rate 1e-2, gradients clipped at 1, mean squared error over all steps of a window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

WINDOW, HIDDEN, BATCH, STEPS, RATE, CLIP = 96, 64, 32, 300, 1e-2, 1.0

SECTION = 30
"""Steps over which a loss is a mean, and after which the held-out error is taken."""

KINDS = {"GRU": "GRU", "Elman": "RNN", "LSTM": "LSTM"}
"""What seqdyn calls the cells, and what the others do."""

Last = Callable[[np.ndarray], np.ndarray]
"""A network's answer to the last step of windows: (windows, time, 1) → (windows,), in the units of the series."""

Watch = Callable[[int, float, Last], None]
"""``watch(step, loss, last)``, called after every step where the curve is wanted; nothing is timed then."""


class Trained(NamedTuple):
    """The network as it is at the end, and how many numbers were trained."""

    last: Last
    parameters: int


@dataclass(frozen=True)
class Task:
    """A series, and for one kind of cell the weights to start from and the order of the windows."""

    kind: str
    values: np.ndarray
    weights: dict[str, np.ndarray]
    order: np.ndarray

    @classmethod
    def read(cls, folder: str, kind: str) -> Task:
        """As :meth:`write` left it."""
        stored = dict(np.load(Path(folder) / f"{kind}.npz"))
        return cls(kind, series(0, STEPS * BATCH + WINDOW), order=stored.pop("order"), weights=stored)

    def write(self, folder: str) -> None:
        """Keep what seqdyn draws, for the others."""
        np.savez(Path(folder) / f"{self.kind}.npz", order=self.order, **self.weights)


def series(seed: int, hours: int) -> np.ndarray:
    """A day, a week and a disturbance that dies out, d_t = 0.9 d_{t-1} + e_t; of about unit variance, float32."""
    time = np.arange(hours)
    disturbance = lfilter([1.0], [1.0, -0.9], np.random.default_rng(seed).normal(scale=0.2, size=hours))
    values = np.sin(2 * np.pi * time / 24) + 0.5 * np.sin(2 * np.pi * time / 168) + disturbance
    return values.astype(np.float32)


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """1,000 windows of another draw, (1000, 96, 1), and the value after each."""
    values = series(1, 1000 + WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)[:1000, :, None]
    return np.ascontiguousarray(windows), values[WINDOW:]

"""A small motion: two joints that go round at the speed of their drive, and a model that has learnt it."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from seqdyn import Autoregression, GRURegressor, MotionModel

RATE = 25.0


class Made(NamedTuple):
    """``drive`` (series, time, 1) and ``angles`` (series, time, 2)."""

    drive: np.ndarray
    angles: np.ndarray


def made(series: int, steps: int, seed: int) -> Made:
    """Turns at the drive's Hz, a new drive every 50 steps."""
    drive = np.random.default_rng(seed).uniform(0.5, 1.5, (series, steps // 50)).repeat(50, axis=1)
    phase = 2 * np.pi * np.cumsum(drive, axis=1) / RATE
    return Made(drive[:, :, None], np.stack([np.sin(phase), 0.5 * np.cos(phase) + 0.2], axis=-1))


@pytest.fixture(scope="session")
def circling() -> MotionModel:
    """A GRU of 12 units that goes round as the drive says."""
    network = GRURegressor(
        hidden_size=12,
        window=40,
        stride=20,
        max_steps=400,
        schedule="cosine",
        autoregression=Autoregression(free_run=25),
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MotionModel(network, angles=["hip", "knee"], rate=RATE, warmup=20).fit(*made(12, 200, 0))

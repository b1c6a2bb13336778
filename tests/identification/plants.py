"""Simulated plants whose noise has dynamics, and loops around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.signal import lfilter

from seqdyn.identification.records import DataRecord
from seqdyn.identification.system import LinearSystem
from tests.identification.test_identify import stable_system

Array = np.ndarray[Any, Any]
PLANT = LinearSystem([[0.0]], [[1.0, 0.5]], [[1.0], [0.0]], [[1.5, -0.7], [1.0, 0.0]], noise_gain=[[0.8], [0.3]])
"""y_t = 1.5 y_{t-1} − 0.7 y_{t-2} + x_{t-1} + 0.5 x_{t-2} + e_t + …; a predictor of radius 0.77."""


def with_gain(order: int, inputs: int, outputs: int, seed: int = 0) -> LinearSystem:
    """A random stable system with offsets and a Kalman gain, whose predictor has a spectral radius below 0.96."""
    system = stable_system(order, max(1, inputs), outputs, seed)
    system = replace(system, feedthrough=system.feedthrough[:, :inputs], input_map=system.input_map[:, :inputs])
    random = np.random.default_rng([seed, 1])
    gain, offset = random.normal(size=(order, outputs)), random.normal(size=order)
    while np.abs(np.linalg.eigvals(system.transition - gain @ system.readout)).max(initial=0.0) > 0.96:
        gain = gain / 2
    return replace(system, noise_gain=gain, state_offset=offset)


def filtered_noise(B: Any, A: Any, C: Any, D: Any, time: int, seed: int, size: float = 1.0) -> DataRecord:
    """y = B/A x + C/D e, with white x of variance 1 and white e of standard deviation ``size``."""
    random = np.random.default_rng(seed)
    x = random.normal(size=time)
    y = lfilter(B, A, x) + lfilter(C, D, size * random.normal(size=time))
    return DataRecord.of(x[:, None], y[:, None])


def closed_loop(
    pole: float, gain: float, feedback: float, time: int, seed: int, reference: float = 0.5, memory: float = 0.0
) -> DataRecord:
    """y_t = pole y_{t-1} + gain x_{t-1} + e_t − memory e_{t-1} under x_t = r_t − feedback y_t."""
    random = np.random.default_rng(seed)
    r, e = reference * random.normal(size=time), random.normal(size=time)
    closed = [1.0, feedback * gain - pole]
    y = lfilter([0.0, gain], closed, r) + lfilter([1.0, -memory], closed, e)
    return DataRecord.of((r - feedback * y)[:, None], y[:, None])


def without_inputs(C: Any, A: Any, time: int, seed: int) -> DataRecord:
    """A(z) y = C(z) e."""
    y = lfilter(C, A, np.random.default_rng(seed).normal(size=time))
    return DataRecord.of(np.zeros((time, 0)), y[:, None])


def walking(time: int, seed: int, walk: float = 0.2, white: float = 0.2) -> DataRecord:
    """y_t = 0.8 y_{t-1} + x_{t-1} without noise, beside it a random walk and white noise."""
    random = np.random.default_rng(seed)
    x = random.normal(size=time)
    level = np.cumsum(walk * random.normal(size=time))
    y = lfilter([0.0, 1.0], [1.0, -0.8], x) + level + white * random.normal(size=time)
    return DataRecord.of(x[:, None], y[:, None])

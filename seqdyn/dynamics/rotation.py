"""The rotation number of a run: how many turns it makes a step, from its spectrum."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

DIVISORS = 4
"""A run may show its second, third or fourth harmonic more than its first."""


def leading_frequency(signals: Tensor) -> float:
    """The frequency, in turns a step, in (0, ½], at which a run (time, k) has most power.

    Laskar (1990), The chaotic motion of the solar system: a numerical estimate of the size of the chaotic zones.

    Examples
    --------
    >>> time = torch.arange(1000).double()
    >>> signal = (6.283185307179586 * 0.123456 * time).cos()[:, None]
    >>> round(leading_frequency(signal), 8)
    0.123456
    """
    steps = len(signals)
    window = torch.hann_window(steps, periodic=False, dtype=signals.dtype).unsqueeze(1)
    centred = (signals - (window * signals).sum(0) / window.sum()) * window
    power = torch.fft.rfft(centred, dim=0).abs().square().sum(1)
    power[0] = 0.0
    bin_ = int(power.argmax())
    time = torch.arange(steps, dtype=signals.dtype)

    def loss(frequency: float) -> float:
        carrier = torch.exp(-2j * torch.pi * frequency * time)
        return -float((carrier @ centred.to(carrier.dtype)).abs().square().sum())

    low, high = (bin_ - 1) / steps, (bin_ + 1) / steps
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    frequency = abs(float(found.x))
    return min(frequency % 1, 1 - frequency % 1)


def rotation_candidates(frequency: float) -> Iterator[float]:
    """The rotation numbers ω of which a frequency may be a harmonic: m ω = f mod 1, small m first."""
    for multiple in range(1, DIVISORS + 1):
        for wraps in range(multiple):
            yield (frequency + wraps) / multiple


def resolved_harmonics(rotation: float, steps: int, most: int) -> int:
    """How many harmonics a run of some steps tells apart: fewer than p/2 if it all but repeats itself after p."""
    for period in range(2, 2 * most + 1):
        away = abs(rotation * period - round(rotation * period))
        if away * steps < 1:
            return max(1, (period - 1) // 2)
    return most

"""The sinusoids of one frequency that fit a motion best, by least squares under Hann's window.

    min over f, m, a, b of  Σ_t w_t Σ_i (y_i(t) − m_i − a_i cos 2πft − b_i sin 2πft)²

Zechmeister & Kürster (2009), The generalised Lomb-Scargle periodogram, Eq. 2-5.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from seqdyn.arrays import Array


def best_frequency(moved: Array, rate: float) -> float:
    """The frequency in Hz whose sinusoids fit best, from half a turn in the whole time upwards.

    ``moved`` (time, joints) has at least 8 samples, and mean 0.

    Examples
    --------
    >>> round(best_frequency(np.cos(2 * np.pi * 1.3 * np.arange(0, 2, 0.01))[:, None], 100.0), 4)
    1.3
    """
    size = 4 * len(moved)
    width = rate / size
    place = 2 + int(np.argmax(_explained(moved, size)))
    low, high = max(place - 2, 1) * width, min(place + 2, size // 2 - 1) * width

    def left(frequency: float) -> float:
        return -sinusoids(moved, frequency / rate)[1]

    return float(minimize_scalar(left, bounds=(low, high), method="bounded", options={"xatol": 1e-9 * rate}).x)


def _explained(moved: Array, size: int) -> Array:
    """What sinusoids explain at k/size turns a sample, k ≥ 2: Σ_i r_iᵀ N⁻¹ r_i, with the normal equations N c = r."""
    window, k = np.hanning(len(moved)), np.arange(2, size // 2 - 1)
    weights, powers = np.fft.fft(window, size), np.fft.rfft(window[:, None] * moved, size, axis=0)
    once, twice, all_of_it = weights[k], weights[2 * k], np.full(len(k), weights[0].real)
    matrix = np.array(
        [
            [all_of_it, once.real, -once.imag],
            [once.real, (all_of_it + twice.real) / 2, -twice.imag / 2],
            [-once.imag, -twice.imag / 2, (all_of_it - twice.real) / 2],
        ]
    ).transpose(2, 0, 1)
    right = np.stack([np.broadcast_to(powers[0].real, powers[k].shape), powers[k].real, -powers[k].imag], axis=1)
    return np.einsum("kij,kij->k", right, np.linalg.solve(matrix, right))


def sinusoids(moved: Array, turns: float) -> tuple[Array, float]:
    """Offset m, cosine a and sine b of one frequency, (3, joints), by least squares, and the squares they explain.

    ``turns`` is the frequency, in turns a sample.

    Examples
    --------
    >>> found, _ = sinusoids(3 + 2 * np.cos(0.2 * np.arange(80))[:, None], 0.1 / np.pi)
    >>> found.ravel().round(6) + 0.0
    array([3., 2., 0.])
    """
    phase = 2 * np.pi * turns * np.arange(len(moved))
    forms = np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=1)
    weighted = (np.hanning(len(moved))[:, None] * forms).T
    right = weighted @ moved
    found = np.linalg.solve(weighted @ forms, right)
    return found, float((right * found).sum())

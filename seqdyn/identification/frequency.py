"""The response of a linear system to sinusoids, at many frequencies in one pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import schur

from seqdyn.arrays import EPSILON, Array
from seqdyn.facts import shown_by_shape


@shown_by_shape
class FrequencyResponse(NamedTuple):
    """H at every frequency.

    Attributes
    ----------
    frequencies : array, shape (frequencies,)
        In cycles per unit of time.
    response : array of complex, shape (frequencies, outputs, inputs)
        H; its modulus is the gain of a sinusoid, its argument the phase it is ahead.
    """

    frequencies: Array
    response: Array


def response_at(z: Array, transition: Array, input_map: Array, readout: Array, feedthrough: Array) -> Array:
    """H(z) = A + B (zI − D)⁻¹ C at every z, (frequencies, outputs, inputs).

    D is brought to triangular form once: Laub (1981), Efficient multivariable frequency response computations.
    """
    triangular, basis = schur(transition.astype(complex), output="complex")
    driven, seen = basis.conj().T @ input_map, readout @ basis
    reached = np.zeros((len(z), *driven.shape), dtype=complex)  # (zI − D)⁻¹ C, (frequencies, order, inputs)
    for i in reversed(range(len(triangular))):
        right = driven[i] + np.einsum("k,fkm->fm", triangular[i, i + 1 :], reached[:, i + 1 :])
        reached[:, i] = right / _away_from_zero(z - triangular[i, i])[:, None]
    response: Array = feedthrough + np.einsum("on,fnm->fom", seen, reached)
    return response


def checked_frequencies(frequencies: Any, dt: float) -> Array:
    """One row of frequencies from 0 to the Nyquist frequency 1 / (2 dt)."""
    at = np.asarray(frequencies, dtype=np.float64)
    nyquist = 0.5 / dt
    if at.ndim != 1 or not np.isfinite(at).all() or (at < 0).any() or (at > nyquist * (1 + 1e-12)).any():
        raise ValueError(
            f"frequencies must be one row of numbers from 0 to the Nyquist frequency 1 / (2 dt) = {nyquist:g} "
            f"cycles per unit of time, beyond which the response repeats; got an array of shape {at.shape} "
            f"between {np.min(at, initial=np.inf):g} and {np.max(at, initial=-np.inf):g}."
        )
    return at


def _away_from_zero(values: Array) -> Array:
    """The values, moved away from 0 by at least rounding."""
    return np.where(np.abs(values) < EPSILON, EPSILON, values)

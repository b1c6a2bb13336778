"""Whether a generated trajectory moves at the same frequencies as the truth."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from seqdyn.arrays import Array
from seqdyn.checks import is_number
from seqdyn.metrics.reconstructions import Divergence, against_floor, segments

LEAST_DEVIATION = 1e-12
"""A standard deviation below this share of the largest value is rounding: the output does not move."""


def power_spectrum_error(y: Any, generated: Any, *, other: Any = None, smoothing: float = 20.0) -> Divergence:
    """Spectral distance D_H = mean_i H(p_i, q_i), H(p, q) = ‖√p − √q‖₂ / √2, p and q smoothed power spectra.

    0 where all frequencies have the same share of the power, 1 where no frequency is shared. Like the state-space
    divergence it depends on the number of steps: compare scores of one length, with their floor.

    Parameters
    ----------
    y : array-like, shape (time, outputs)
        The truth, of T steps, or of 2 T or more: then its first T are compared, and its last T give the floor.
    generated : array-like, shape (T, outputs)
        The free run, without its transient.
    other : array-like, shape (T, outputs), optional
        A second true trajectory for the floor, where y has T steps. Without one and with T steps of y the floor is
        NaN; to have one from a single trajectory give ``generated[: len(y) // 2]``.
    smoothing : float, at least 0
        The standard deviation of the Gaussian that smooths the spectrum, in frequency bins: in cycles per unit of time
        it is smoothing / (T Δt). 0 smooths nothing; then two runs of the same noise are far apart.

    Returns
    -------
    Divergence
        ``value`` in [0, 1]. An output that does not move, or is not finite somewhere, shares nothing with the truth
        and counts as 1.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the truth has gaps or an output that never changes.

    Notes
    -----
    Every output is standardised by its own mean and standard deviation, so that neither its level nor its amplitude
    matters; |rfft|² is smoothed with ``scipy.ndimage.gaussian_filter1d`` (reflected at the ends, cut at 4 standard
    deviations), negative values become 0, and it is divided by its sum.

    References
    ----------
    Hess, Monfared, Brenner & Durstewitz (2023), Generalized Teacher Forcing for Learning Chaotic Dynamics; Mikhaeil,
    Monfared & Durstewitz (2022), On the difficulty of learning chaotic dynamics with RNNs.

    Examples
    --------
    250 cycles, against a tone whose frequency is 10 % higher:

    >>> turn = 2 * np.pi * 250 * np.arange(5000) / 5000
    >>> round(power_spectrum_error(np.sin(turn), np.sin(1.1 * turn)).value, 2)
    0.42
    """
    if not is_number(smoothing) or not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing must be a number of frequency bins of at least 0, got {smoothing!r}.")
    found = segments(y, generated, other)
    for true in (found.true, found.true if found.second is None else found.second):
        still = np.flatnonzero(true.std(axis=0) < LEAST_DEVIATION * np.abs(true).max(axis=0, initial=1e-300))
        if still.size:
            raise ValueError(f"Output {still[0]} of the truth never changes, so it has no spectrum: leave it out.")
    return against_floor(partial(_spectral, smoothing=float(smoothing)), found)


def _spectral(true: Array, generated: Array, smoothing: float) -> float:
    pairs = zip(true.T, generated.T, strict=True)
    distances = [_hellinger(power_shares(one, smoothing), power_shares(two, smoothing)) for one, two in pairs]
    return float(np.mean(distances))


def _hellinger(p: Array | None, q: Array | None) -> float:
    if p is None or q is None:
        return 1.0
    return float(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2))


def power_shares(values: Array, smoothing: float) -> Array | None:
    """The share of every frequency in the power, from 0 to half a cycle a step, smoothed over ``smoothing`` bins.

    It is None where nothing moves, or not all is finite.
    """
    largest = np.abs(values).max()
    if not 0 < largest < np.inf:
        return None
    values = values / largest  # values of a run that blows up have no square
    deviation = values.std()
    if deviation < LEAST_DEVIATION:
        return None
    power = np.abs(np.fft.rfft((values - values.mean()) / deviation)) ** 2
    power = np.maximum(gaussian_filter1d(power, smoothing), 0) if smoothing else power
    share: Array = power / power.sum()
    return share

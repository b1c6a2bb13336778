"""The rhythm of a motion: its frequency, and every joint's amplitude, phase and offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from seqdyn.arrays import Array
from seqdyn.checks import is_number
from seqdyn.motion.joint_angles import JointAngles, joint_angles
from seqdyn.motion.sinusoids import best_frequency, sinusoids

TRAVELS = 0.5
"""A wave with this travelling index or more counts as travelling."""

RESTING = 0.01
"""In rad: what moves less than this rests."""

SILENT = 0.01
"""A joint that rests, and moves less than this share of the one that moves most, has no phase."""

FEWEST_TURNS = 1.5
"""With fewer turns than this the frequency is not known."""


@dataclass(frozen=True)
class Rhythm:
    """A motion as one oscillation: y_i(t) ≈ m_i + A_i cos(2π (f t + φ_i)).

    Attributes
    ----------
    frequency : float
        f, in Hz; 0 at rest, NaN where there are too few turns to know it.
    offset : array, shape (joints,)
        m, in the unit of the angles; their mean at rest and where f is not known.
    amplitude : array, shape (joints,)
        A of the fundamental, in the unit of the angles; 0 at rest, NaN where f is not known.
    phase : array, shape (joints,)
        φ at the first sample, in cycles from −½ to ½; NaN of a joint that is silent, at rest and where f is not known.
    names : tuple of str, or None
        Of the joints.
    """

    frequency: float
    offset: Array
    amplitude: Array
    phase: Array
    names: tuple[str, ...] | None = None

    def lags(self, joints: Sequence[Any] | None = None) -> Array:
        """How much later every joint is than the one before it, φ_i − φ_{i+1}, in cycles from −½ to ½.

        NaN beside a joint that is silent.

        Parameters
        ----------
        joints : sequence of int or str, optional
            Which joints, in this order; all if None.
        """
        return wrap_cycles(-np.diff(self.phase[self._places(joints)]))

    def travelling_index(self, joints: Sequence[Any] | None = None) -> float:
        """The share of the wave along the joints that travels: 0 for a standing wave, 1 for a pure travelling one.

        It is σ₂/σ₁ of the matrix [Re c, Im c], c_i = A_i exp(2πi φ_i), 0 of a silent joint; NaN at
        rest.

        Parameters
        ----------
        joints : sequence of int or str, optional

        References
        ----------
        Feeny (2008), A complex orthogonal decomposition for wave motion analysis.
        """
        places = self._places(joints)
        phase = self.phase[places]
        if len(phase) < 2 or np.isnan(phase).all():
            return float("nan")
        c = np.where(np.isnan(phase), 0.0, self.amplitude[places] * np.exp(2j * np.pi * np.nan_to_num(phase)))
        sizes = np.linalg.svd(np.stack([c.real, c.imag], axis=1), compute_uv=False)
        return float(sizes[1] / sizes[0])

    def wave(self, joints: Sequence[Any] | None = None) -> str:
        """The kind of wave along the joints: ``"rest"``, ``"standing"`` or ``"travelling"``.

        ``"unknown"`` where there are too few turns.
        """
        if np.isnan(self.frequency):
            return "unknown"
        if np.isnan(self.phase[self._places(joints)]).all():
            return "rest"
        return "travelling" if self.travelling_index(joints) >= TRAVELS else "standing"

    def _places(self, joints: Sequence[Any] | None) -> list[int]:
        return list(range(len(self.phase))) if joints is None else joint_places(joints, len(self.phase), self.names)


class CycleError(NamedTuple):
    """The errors of a motion that should repeat a cycle.

    Attributes
    ----------
    error : array, shape (joints,)
        Root mean squared difference over the range of the joint, after the phases were aligned once.
    drift : float
        By how much the motion is ahead of the cycle after one turn of it, in cycles: f / f₀ − 1.
    """

    error: Array
    drift: float


def rhythm(angles: Any, rate: float | None = None, *, still: float | None = None) -> Rhythm:
    """Measure the rhythm of a motion: one sinusoid a joint, all of the frequency that fits best.

        min over f, m, a, b of  Σ_t w_t Σ_i (y_i(t) − m_i − a_i cos 2πft − b_i sin 2πft)²

    Parameters
    ----------
    angles : array or DataArray, shape (time, joints), or DataFrame
        One motion, in rad or degrees, with at least two turns of the rhythm.
    rate : float > 0
        Samples a second, Hz. Not needed of a DataArray or a DataFrame that is indexed by time in seconds.
    still : float, at least 0, optional
        In the unit of the angles. Where no joint's standard deviation is above this, the motion is at rest. Beside
        others that move, a joint whose amplitude is below this and below 1 % of the largest is silent: it has no phase.
        If None 0.01 rad; 0.57 degrees of angles whose ``attrs["units"]`` says degrees.

    Returns
    -------
    Rhythm

    Raises
    ------
    ValueError
        If the shape does not fit, there are several series or fewer than 8 samples, a number is NaN or infinite, the
        time is uneven, or ``rate`` is not that of the index.

    Notes
    -----
    w is Hann's window. The error of f is far below the resolution 1/T of a spectrum, as long as one rhythm is there.
    Of a pure sinusoid f is exact. With a second harmonic of 10 % its error is at most 0.1 % with three turns, 0.8 %
    with two and 2.2 % with 1.75. With fewer than one and a half, frequency, amplitudes and phases are NaN.

    Examples
    --------
    >>> t = np.arange(0, 10, 0.01)
    >>> turns = 1.1 * t[:, None] - [0, 0.125]
    >>> found = rhythm(np.cos(2 * np.pi * turns), rate=100.0)
    >>> round(found.frequency, 3), found.lags().round(3)
    (1.1, array([0.125]))

    References
    ----------
    Zechmeister & Kürster (2009), The generalised Lomb-Scargle periodogram, Eq. 2–5.
    """
    read = joint_angles(angles, rate)
    return _fit_rhythm(read, _still(read) if still is None else still)


def _still(read: JointAngles) -> float:
    """What moves less than this rests, in the unit of the angles."""
    return float(np.rad2deg(RESTING)) if read.unit == "degrees" else RESTING


def _fit_rhythm(read: JointAngles, still: float) -> Rhythm:
    """The rhythm of angles that were read."""
    mean = read.values.mean(axis=0)
    moved, nothing = read.values - mean, np.zeros(read.values.shape[1])
    if not (moved.std(axis=0) > still).any():
        return Rhythm(0.0, mean, nothing, nothing + np.nan, read.names)
    frequency = best_frequency(moved, read.rate)
    if frequency * len(moved) / read.rate < FEWEST_TURNS:
        return Rhythm(float("nan"), mean, nothing + np.nan, nothing + np.nan, read.names)
    (m, a, b), _ = sinusoids(moved, frequency / read.rate)
    amplitude, phase = np.hypot(a, b), np.arctan2(-b, a) / (2 * np.pi)
    phase[(amplitude < SILENT * amplitude.max()) & (amplitude < still)] = np.nan
    return Rhythm(frequency, mean + m, amplitude, phase, read.names)


def cycle_error(angles: Any, cycle: Any, frequency: float, rate: float | None = None) -> CycleError:
    """Compare a motion with a cycle that it should repeat, after one alignment of the phase.

        e_i = sqrt(mean_t (y_i(t) − c_i(f t + φ))²) / (max c_i − min c_i),   φ the best one

    f is the motion's own frequency, so that a drift of the phase does not count twice: it is told apart.

    Parameters
    ----------
    angles : array, shape (time, joints), DataArray or DataFrame
        One motion.
    cycle : array, shape (points, joints)
        One closed turn at even fractions of it, at least 3, in the unit of the angles.
    frequency : float > 0
        f₀, of the cycle, in Hz.
    rate : float > 0
        Samples a second of ``angles``.

    Returns
    -------
    CycleError

    Raises
    ------
    ValueError
        If the cycle does not go with the angles or is not finite, the frequency is not positive, or the angles are none
        that :func:`rhythm` takes, or have too few turns.

    Examples
    --------
    >>> turn = np.cos(2 * np.pi * np.arange(64) / 64)[:, None]
    >>> t = np.arange(0, 20, 0.01)
    >>> found = cycle_error(np.cos(2 * np.pi * 1.01 * (t + 0.3))[:, None], turn, 1.0, rate=100.0)
    >>> bool(found.error[0] < 1e-3), round(found.drift, 3)
    (True, 0.01)
    """
    read = joint_angles(angles, rate)
    values, turn = read.values, np.asarray(cycle, dtype=np.float64)
    if turn.ndim != 2 or turn.shape[1] != values.shape[1] or len(turn) < 3:
        raise ValueError(f"cycle has shape {turn.shape}, expected (points, {values.shape[1]}): the joints of angles.")
    if not np.isfinite(turn).all():
        raise ValueError(f"cycle is NaN or infinite, first at point {np.argwhere(~np.isfinite(turn))[0][0]}.")
    if not is_number(frequency) or not 0 < frequency < np.inf:
        raise ValueError(f"frequency must be that of the cycle in Hz, a positive number, got {frequency!r}.")
    own = _checked_rhythm(_fit_rhythm(read, _still(read)), read, "angles").frequency
    time = np.arange(len(values)) / read.rate
    scale = np.ptp(turn, axis=0)

    def gap(phase: float) -> Array:
        wanted = np.stack([_cycle_at(column, own * time + phase) for column in turn.T], axis=1)
        return np.sqrt(((values - wanted) ** 2).mean(axis=0)) / np.where(scale > 0, scale, 1.0)

    grid = np.arange(128) / 128
    best = grid[int(np.argmin([np.square(gap(phase)).sum() for phase in grid]))]
    found = minimize_scalar(lambda phase: float(np.square(gap(phase)).sum()), bounds=(best - 0.01, best + 0.01))
    return CycleError(gap(float(found.x)), own / frequency - 1)


DIVERGED_ERRORS = {"frequency_error": 1.0, "amplitude_error": 1.0, "lag_error": 0.5, "same_wave": 0.0, "diverged": 1.0}
"""The errors of a free run that has diverged."""


def rhythm_errors(run: Any, observed: Any, rate: float) -> dict[str, float]:
    """Compare the rhythm of a free run with the observed one.

    Parameters
    ----------
    run, observed : array or DataArray, shape (time, joints)
        In the same unit: degrees if ``attrs["units"]`` of one says so, else rad.
    rate : float > 0
        Samples a second.

    Returns
    -------
    dict
        ``frequency_error`` and ``amplitude_error`` as shares of the true ones (the amplitude of the joint that moves
        most), 1 where the run has too few turns; ``lag_error``, in cycles, the largest between neighbours of which both
        move in the run and in what was observed, and 0.5 where the run has no such; ``same_wave`` and ``diverged``, 0
        or 1.

    Raises
    ------
    ValueError
        If what was observed has too few turns, or either is nothing that :func:`rhythm` takes.

    Examples
    --------
    >>> turn = 2 * np.pi * np.arange(200)[:, None] / 25
    >>> round(rhythm_errors(np.cos(1.02 * turn), np.cos(turn), 25.0)["frequency_error"], 3)
    0.02
    """
    true, own = joint_angles(observed, rate, "observed"), joint_angles(run, rate, "run")
    still = max(_still(true), _still(own))
    wanted, found = _checked_rhythm(_fit_rhythm(true, still), true, "observed"), _fit_rhythm(own, still)
    known = not np.isnan(found.frequency)
    size = float(np.abs(found.amplitude - wanted.amplitude).max() / max(wanted.amplitude.max(), 1e-9))
    return {
        "frequency_error": abs(found.frequency - wanted.frequency) / max(wanted.frequency, 1e-9) if known else 1.0,
        "amplitude_error": size if known else 1.0,
        "lag_error": _lag_error(found.lags(), wanted.lags()),
        "same_wave": float(found.wave() == wanted.wave()),
        "diverged": 0.0,
    }


def _lag_error(found: Array, wanted: Array) -> float:
    """The largest error of the lags that both have; half a cycle, the worst there is, if they share none."""
    gaps = np.abs(wrap_cycles(found - wanted))
    gaps = gaps[~np.isnan(gaps)]
    if len(gaps):
        return float(gaps.max())
    return 0.0 if np.isnan(wanted).all() else DIVERGED_ERRORS["lag_error"]


def _checked_rhythm(found: Rhythm, read: JointAngles, name: str) -> Rhythm:
    """A rhythm, or an error if there are too few turns to know it."""
    if np.isnan(found.frequency):
        seconds = len(read.values) / read.rate
        raise ValueError(
            f"{name} has less than {FEWEST_TURNS:g} turns of its rhythm in {len(read.values)} samples, {seconds:g} s, "
            "expected at least two: give a longer piece."
        )
    return found


def joint_places(joints: Sequence[Any], count: int, names: Sequence[str] | None) -> list[int]:
    """Joints by number or by name as numbers."""
    known = list(names or ())
    found = [known.index(joint) if joint in known else joint for joint in joints]
    for joint in found:
        if not isinstance(joint, int | np.integer) or not -count <= joint < count:
            raise ValueError(f"There is no joint {joint!r}. There are {count}: {known or f'0 to {count - 1}'}.")
    return [int(joint) for joint in found]


def wrap_cycles(phase: Any) -> Array:
    """Phases in cycles, from −½ up to ½.

    Examples
    --------
    >>> wrap_cycles([0.75, -0.5, 0.25])
    array([-0.25,  0.5 ,  0.25])
    """
    return 0.5 - np.mod(0.5 - np.asarray(phase, dtype=np.float64), 1.0)


def _cycle_at(column: Array, phase: Array) -> Array:
    """A closed cycle at phases in cycles, through its Fourier series."""
    c = np.fft.rfft(column) / len(column)
    c[1 : (len(column) + 1) // 2] *= 2
    return np.real(np.exp(2j * np.pi * np.outer(np.mod(phase, 1.0), np.arange(len(c)))) @ c)

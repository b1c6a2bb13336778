"""The rhythm of a motion: its frequency, and every joint's amplitude, phase and offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from seqdyn.checks import is_number

Array = np.ndarray[Any, Any]

TRAVELS = 0.5
"""A wave with this travelling index or more counts as travelling."""


@dataclass(frozen=True)
class Rhythm:
    """A motion as one oscillation: y_i(t) ≈ m_i + A_i cos(2π (f t + φ_i)).

    Attributes
    ----------
    frequency : float
        f, in Hz; 0 at rest.
    offset : array, shape (joints,)
        m, the mean, in rad.
    amplitude : array, shape (joints,)
        A of the fundamental, in rad; 0 at rest.
    phase : array, shape (joints,)
        φ at the first sample, in cycles from −½ to ½; NaN at rest.
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

        Parameters
        ----------
        joints : sequence of int or str, optional
            Which joints, in this order; all if None.
        """
        return wrapped(-np.diff(self.phase[self._places(joints)]))

    def travelling_index(self, joints: Sequence[Any] | None = None) -> float:
        """How much of the wave along the joints travels: 0 for a standing wave, 1 for one that keeps its form.

        It is σ₂/σ₁ of the matrix [Re c, Im c], c_i = A_i exp(2πi φ_i); NaN at rest.

        Parameters
        ----------
        joints : sequence of int or str, optional

        References
        ----------
        Feeny (2008), A complex orthogonal decomposition for wave motion analysis.
        """
        places = self._places(joints)
        c = self.amplitude[places] * np.exp(2j * np.pi * self.phase[places])
        if len(c) < 2 or not np.isfinite(c).all():
            return float("nan")
        sizes = np.linalg.svd(np.stack([c.real, c.imag], axis=1), compute_uv=False)
        return float(sizes[1] / sizes[0])

    def wave(self, joints: Sequence[Any] | None = None) -> str:
        """What goes along the joints: ``"rest"``, a ``"standing"`` wave or a ``"travelling"`` one."""
        if self.frequency == 0:
            return "rest"
        return "travelling" if self.travelling_index(joints) >= TRAVELS else "standing"

    def _places(self, joints: Sequence[Any] | None) -> list[int]:
        return list(range(len(self.phase))) if joints is None else joint_places(joints, len(self.phase), self.names)


class CycleError(NamedTuple):
    """How far a motion is from a cycle that it should repeat.

    Attributes
    ----------
    error : array, shape (joints,)
        Root mean squared difference over the range of the joint, after the phases were aligned once.
    drift : float
        By how much the motion is ahead of the cycle after one turn of it, in cycles: f / f₀ − 1.
    """

    error: Array
    drift: float


def rhythm(angles: Any, rate: float | None = None, *, still: float = 0.01) -> Rhythm:
    """Measure the rhythm of a motion: f maximises the power at one frequency, Σ_i |Σ_t w_t y_i(t) exp(−2πi f t)|².

    Parameters
    ----------
    angles : array or DataArray, shape (time, joints), or DataFrame
        In rad. At least two turns of the rhythm.
    rate : float > 0
        Samples a second, Hz. Not needed of a DataArray or a DataFrame that is indexed by time in seconds.
    still : float, at least 0
        Where no joint's standard deviation is above this, in rad, the motion is at rest.

    Returns
    -------
    Rhythm

    Raises
    ------
    ValueError
        If the shape does not fit, there are fewer than 8 samples, or a number is NaN or infinite.

    Notes
    -----
    w is Hann's window. The error of f is far below the resolution 1/T of a spectrum, as long as one rhythm is there.

    Examples
    --------
    >>> t = np.arange(0, 10, 0.01)
    >>> turns = 1.1 * t[:, None] - [0, 0.125]
    >>> found = rhythm(np.cos(2 * np.pi * turns), rate=100.0)
    >>> round(found.frequency, 3), found.lags().round(3)
    (1.1, array([0.125]))
    """
    values, rate, names = as_motion(angles, rate)
    offset = values.mean(axis=0)
    moved = values - offset
    if not (moved.std(axis=0) > still).any():
        nothing = np.zeros(values.shape[1])
        return Rhythm(0.0, offset, nothing, nothing + np.nan, names)
    time, window = np.arange(len(moved)) / rate, np.hanning(len(moved))
    frequency = _peak(moved * window[:, None], time, rate)
    c = 2 * (window * np.exp(-2j * np.pi * frequency * time)) @ moved / window.sum()
    return Rhythm(frequency, offset, np.abs(c), np.angle(c) / (2 * np.pi), names)


def cycle_error(angles: Any, cycle: Any, frequency: float, rate: float | None = None) -> CycleError:
    """Compare a motion with a cycle that it should repeat, after one alignment of the phase.

        e_i = sqrt(mean_t (y_i(t) − c_i(f t + φ))²) / (max c_i − min c_i),   φ the best one

    f is the motion's own frequency, so that a drift of the phase does not count twice: it is told apart.

    Parameters
    ----------
    angles : array, shape (time, joints), DataArray or DataFrame
        In rad.
    cycle : array, shape (points, joints)
        One closed turn at even fractions of it, in rad.
    frequency : float > 0
        f₀, of the cycle, in Hz.
    rate : float > 0
        Samples a second of ``angles``.

    Returns
    -------
    CycleError

    Examples
    --------
    >>> turn = np.cos(2 * np.pi * np.arange(64) / 64)[:, None]
    >>> t = np.arange(0, 20, 0.01)
    >>> found = cycle_error(np.cos(2 * np.pi * 1.01 * (t + 0.3))[:, None], turn, 1.0, rate=100.0)
    >>> bool(found.error[0] < 1e-3), round(found.drift, 3)
    (True, 0.01)
    """
    values, rate, _ = as_motion(angles, rate)
    turn = np.asarray(cycle, dtype=np.float64)
    if turn.ndim != 2 or turn.shape[1] != values.shape[1]:
        raise ValueError(f"cycle has shape {turn.shape}, expected (points, {values.shape[1]}): the joints of angles.")
    own = rhythm(values, rate).frequency
    time = np.arange(len(values)) / rate
    scale = np.ptp(turn, axis=0)

    def gap(phase: float) -> Array:
        wanted = np.stack([_periodic(column, own * time + phase) for column in turn.T], axis=1)
        return np.sqrt(((values - wanted) ** 2).mean(axis=0)) / np.where(scale > 0, scale, 1.0)

    grid = np.arange(128) / 128
    best = grid[int(np.argmin([np.square(gap(phase)).sum() for phase in grid]))]
    found = minimize_scalar(lambda phase: float(np.square(gap(phase)).sum()), bounds=(best - 0.01, best + 0.01))
    return CycleError(gap(float(found.x)), own / frequency - 1)


DIVERGED = {"frequency_error": 1.0, "amplitude_error": 1.0, "lag_error": 0.5, "same_wave": 0.0, "diverged": 1.0}
"""The errors of a free run that left for good."""


def free_run_errors(run: Any, observed: Any, rate: float) -> dict[str, float]:
    """How far the rhythm of a free run is from that of what was observed.

    Parameters
    ----------
    run, observed : array, shape (time, joints)
        In rad.
    rate : float > 0
        Samples a second.

    Returns
    -------
    dict
        ``frequency_error`` and ``amplitude_error`` as shares of the true ones (the amplitude of the joint that moves
        most), ``lag_error``, the largest between neighbours, in cycles, ``same_wave`` and ``diverged``, 0 or 1.

    Examples
    --------
    >>> turn = 2 * np.pi * np.arange(200)[:, None] / 25
    >>> round(free_run_errors(np.cos(1.02 * turn), np.cos(turn), 25.0)["frequency_error"], 3)
    0.02
    """
    wanted, found = rhythm(observed, rate), rhythm(run, rate)
    return {
        "frequency_error": abs(found.frequency - wanted.frequency) / max(wanted.frequency, 1e-9),
        "amplitude_error": float(np.abs(found.amplitude - wanted.amplitude).max()) / max(wanted.amplitude.max(), 1e-9),
        "lag_error": float(np.nanmax(np.abs(wrapped(found.lags() - wanted.lags())), initial=0.0)),
        "same_wave": float(found.wave() == wanted.wave()),
        "diverged": 0.0,
    }


def as_motion(angles: Any, rate: float | None = None) -> tuple[Array, float, tuple[str, ...] | None]:
    """Angles (time, joints), their rate in Hz and the names of the joints, from an array or from what is labelled.

    Raises
    ------
    ValueError
        If there is no rate, the shape does not fit, or a number is NaN or infinite.
    """
    values = np.asarray(angles, dtype=np.float64)
    if values.ndim != 2 or len(values) < 8 or values.shape[1] < 1:
        raise ValueError(f"angles has shape {values.shape}, expected (time, joints) with at least 8 samples.")
    if not np.isfinite(values).all():
        step, joint = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"angles is NaN or infinite, first at sample {step}, joint {joint}.")
    time, names = _labels(angles)
    if rate is None and time is not None and len(time) > 1:
        rate = (len(time) - 1) / float(time[-1] - time[0])
    if rate is None or not is_number(rate) or not rate > 0:
        raise ValueError(f"rate must be the samples a second, a positive number, got {rate!r}.")
    return values, float(rate), names


def joint_places(joints: Sequence[Any], count: int, names: Sequence[str] | None) -> list[int]:
    """Joints by number or by name as numbers.

    Raises
    ------
    ValueError
        If there is no such joint.
    """
    known = list(names or ())
    found = [known.index(joint) if joint in known else joint for joint in joints]
    for joint in found:
        if not isinstance(joint, int | np.integer) or not -count <= joint < count:
            raise ValueError(f"There is no joint {joint!r}. There are {count}: {known or f'0 to {count - 1}'}.")
    return [int(joint) for joint in found]


def wrapped(phase: Any) -> Array:
    """Phases in cycles, from −½ up to ½.

    Examples
    --------
    >>> wrapped([0.75, -0.5, 0.25])
    array([-0.25,  0.5 ,  0.25])
    """
    return 0.5 - np.mod(0.5 - np.asarray(phase, dtype=np.float64), 1.0)


def _labels(angles: Any) -> tuple[Array | None, tuple[str, ...] | None]:
    """Time in seconds and names of joints of what is labelled; None where there are none."""
    if hasattr(angles, "columns"):
        index = np.asarray(angles.index.get_level_values(-1))
        return (index if index.dtype.kind == "f" else None), tuple(map(str, angles.columns))
    if hasattr(angles, "dims"):
        time = np.asarray(angles.coords["time"]) if "time" in angles.coords else None
        return time, tuple(map(str, angles.coords["angle"].values)) if "angle" in angles.coords else None
    return None, None


def _peak(moved: Array, time: Array, rate: float) -> float:
    """The frequency of most power, above one turn in the whole time."""
    size = 4 * len(moved)
    power = (np.abs(np.fft.rfft(moved, size, axis=0)) ** 2).sum(axis=1)
    first = size // len(moved)
    place = first + int(np.argmax(power[first:]))
    width = rate / size

    def lost(frequency: float) -> float:
        return -float((np.abs(np.exp(-2j * np.pi * frequency * time) @ moved) ** 2).sum())

    low, high = max(place - 2, 1) * width, (place + 2) * width
    return float(minimize_scalar(lost, bounds=(low, high), method="bounded", options={"xatol": 1e-9 * rate}).x)


def _periodic(column: Array, phase: Array) -> Array:
    """A closed cycle at phases in cycles, through its Fourier series."""
    c = np.fft.rfft(column) / len(column)
    c[1 : (len(column) + 1) // 2] *= 2
    return np.real(np.exp(2j * np.pi * np.outer(np.mod(phase, 1.0), np.arange(len(c)))) @ c)

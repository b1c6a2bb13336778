"""From discrete to continuous time and back, with inputs that are held between two steps.

[D C; 0 I] = exp([F G; 0 0] dt)        ds/dt = F s + G x,  y = B s + A x
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.linalg import expm, logm
from scipy.signal import cont2discrete

Array = np.ndarray[Any, Any]

EPSILON = float(np.finfo(np.float64).eps)


def continuous(transition: Array, input_map: Array, dt: float) -> tuple[Array, Array]:
    """F and G of the continuous-time system with the same states at every step.

    Parameters
    ----------
    transition : array, shape (order, order)
        D.
    input_map : array, shape (order, inputs)
        C.
    dt : float
        Time between two steps.

    Returns
    -------
    array, shape (order, order), and array, shape (order, inputs)
        F and G, per unit of time; of all the systems that turn into this one, the slowest.

    Raises
    ------
    ValueError
        If a pole is 0 or a negative number: no real continuous-time system is at that pole after a step.

    Examples
    --------
    >>> rate, drive = continuous(np.array([[np.exp(-0.1)]]), np.array([[1 - np.exp(-0.1)]]), dt=0.1)
    >>> rate.round(9), drive.round(9)
    (array([[-1.]]), array([[1.]]))
    """
    order, inputs = input_map.shape
    _check_poles(np.linalg.eigvals(transition))
    joined = np.block([[transition, input_map], [np.zeros((inputs, order)), np.eye(inputs)]])
    if not order:
        return transition.copy(), input_map.copy()
    with warnings.catch_warnings():  # what scipy warns of is checked below
        warnings.simplefilter("ignore", RuntimeWarning)
        rate = np.real(logm(joined))
    gap = np.linalg.norm(expm(rate) - joined) if np.isfinite(rate).all() else np.inf
    if gap > 1e-8 * np.linalg.norm(joined):
        raise ValueError(
            f"No continuous-time system was found: an exponential comes back to the system only up to {gap:.2g}. Poles "
            "close to 0, such as those of a delay, have no logarithm: take the delay out of the system, and give it to "
            "the inputs."
        )
    return rate[:order, :order] / dt, rate[:order, order:] / dt


def discrete(F: Array, G: Array, readout: Array, feedthrough: Array, dt: float) -> tuple[Array, Array]:
    """D and C of the system that a continuous one is from step to step when its inputs are held.

    Parameters
    ----------
    F : array, shape (order, order)
        State → its rate of change.
    G : array, shape (order, inputs)
        Input → rate of change of the state.
    readout, feedthrough : array
        B and A, which stay as they are.
    dt : float
        Time between two steps.

    Returns
    -------
    array, shape (order, order), and array, shape (order, inputs)
    """
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt must be a time above 0, got {dt!r}.")
    transition, input_map, *_ = cont2discrete((F, G, readout, feedthrough), dt, method="zoh")
    return transition, input_map


def _check_poles(poles: Array) -> None:
    """None on the negative real axis or at 0."""
    still = np.abs(poles) <= 100 * EPSILON
    negative = (poles.real < 0) & (np.abs(poles.imag) <= 100 * EPSILON * np.abs(poles))
    if still.any():
        raise ValueError(
            f"There is no continuous-time system: {still.sum()} of the poles are 0, and nothing in continuous time is "
            "gone after one step. A pole at 0 is a delay: identify the system without it, and shift the inputs."
        )
    if negative.any():
        raise ValueError(
            f"There is no continuous-time system of this order: the poles {_listed(poles[negative])} are negative "
            "numbers, which change sign at every step; a pole in continuous time does so only together with a second "
            "one. Sample faster, or choose a lower order."
        )


def _listed(poles: Array) -> str:
    return ", ".join(f"{pole.real:.4g}" for pole in poles)

"""Trajectories of known systems without noise, simulated in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from seqdyn.datasets.frames import label_frame

if TYPE_CHECKING:
    from seqdyn.cell import Cell


def load_logistic(steps: int = 1000, *, r: float = 3.9, discard: int = 100) -> pd.DataFrame:
    """A trajectory of the logistic map, x_t = r x_{t-1} (1 − x_{t-1}), without noise.

    Parameters
    ----------
    steps : int, at least 1
        How many rows.
    r : float in [0, 4]
        The growth parameter.
    discard : int
        How many steps are left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 1)
        Column ``x`` (no unit, in [0, 1]); RangeIndex ``time``.

    References
    ----------
    :class:`seqdyn.systems.logistic.Logistic`; May (1976).

    Examples
    --------
    >>> load_logistic(steps=3, r=2.0)["x"].tolist()
    [0.5, 0.5, 0.5]
    """
    from seqdyn.systems.logistic import Logistic

    return _simulated_frame(Logistic(r), steps, discard, ["x"])


def load_henon(steps: int = 1000, *, a: float = 1.4, b: float = 0.3, discard: int = 100) -> pd.DataFrame:
    """A trajectory of the Hénon map, without noise.

    Parameters
    ----------
    steps : int, at least 1
        How many rows.
    a, b : float
        The parameters of the map.
    discard : int
        How many steps are left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 2)
        Columns ``x`` and ``y`` (no unit); RangeIndex ``time``.

    References
    ----------
    :class:`seqdyn.systems.henon.Henon`; Hénon (1976).

    Examples
    --------
    >>> load_henon().shape
    (1000, 2)
    """
    from seqdyn.systems.henon import Henon

    return _simulated_frame(Henon(a, b), steps, discard, ["x", "y"])


def load_lorenz(
    steps: int = 5000,
    *,
    dt: float = 0.01,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8 / 3,
    discard: int = 1000,
) -> pd.DataFrame:
    """A trajectory of the Lorenz system, without noise.

    Parameters
    ----------
    steps : int, at least 1
        How many rows.
    dt : float
        The time between two rows.
    sigma, rho, beta : float
        The parameters of the system.
    discard : int
        How many steps are left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 3)
        Columns ``x``, ``y``, ``z`` (no unit); RangeIndex ``time``, ``dt`` apart.

    References
    ----------
    :class:`seqdyn.systems.lorenz.Lorenz`; Lorenz (1963).

    Examples
    --------
    >>> load_lorenz(steps=200).shape
    (200, 3)
    """
    from seqdyn.systems.lorenz import Lorenz

    return _simulated_frame(Lorenz(sigma, rho, beta, dt), steps, discard, ["x", "y", "z"], dt)


def load_mackey_glass(steps: int = 2000, *, tau: float = 17.0, dt: float = 1.0, discard: int = 1000) -> pd.DataFrame:
    """A trajectory of the Mackey–Glass equation with β = 0.2, γ = 0.1, n = 10, without noise.

    Parameters
    ----------
    steps : int, at least 1
        How many rows.
    tau : float
        The delay; a whole number of steps.
    dt : float
        The time between two rows.
    discard : int
        How many steps are left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 1)
        Column ``x`` (no unit); RangeIndex ``time``, ``dt`` apart.

    References
    ----------
    :class:`seqdyn.systems.mackey_glass.MackeyGlass`; Mackey & Glass (1977).

    Examples
    --------
    >>> load_mackey_glass(steps=300).shape
    (300, 1)
    """
    from seqdyn.systems.mackey_glass import MackeyGlass

    return _simulated_frame(MackeyGlass(tau=tau, dt=dt), steps, discard, ["x"], dt)


def _simulated_frame(
    system: Cell, steps: int, discard: int, columns: Sequence[str], interval: float = 1.0
) -> pd.DataFrame:
    """Simulate an autonomous system in double precision."""
    from seqdyn.systems.simulate import simulate

    values = simulate(system.double(), steps, discard=discard)[0].numpy()
    frame = pd.DataFrame(values, columns=list(columns)).rename_axis("time")
    source = f"simulated by {type(system).__module__}"
    return label_frame(frame, dict.fromkeys(columns, "1"), source, interval)

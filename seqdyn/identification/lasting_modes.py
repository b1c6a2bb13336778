"""Modes that neither decay nor are driven, such as a drift: they have no part in gains, but make I − D singular."""

from __future__ import annotations

import numpy as np
from scipy.linalg import matrix_balance

from seqdyn.arrays import EPSILON, Array

LASTING = 1 - 1e-6
"""From this modulus on a mode counts as one that does not decay: rounding moves a double pole at 1 by 1e-8."""

UNDRIVEN = 1e-11
"""What drives a mode less than this, beside the norms of D and of what drives, in balanced units, is rounding."""


def without_undriven_modes(transition: Array, driven: Array) -> tuple[Array, Array]:
    """The changes F and E into and out of coordinates without the modes that neither decay nor are driven by G.

        wᴴ [D − λI, G] = 0  with |λ| ≥ 1        the left vectors w of the modes that are left out

    F E = I, D E = E F D E and G = E F G: what starts in the columns of E stays there. All states are kept where all
    modes decay, or are driven. The new coordinates have units that balance D. Hautus (1969), Controllability and
    observability conditions of linear autonomous systems; Parlett & Reinsch (1969), Balancing a matrix for calculation
    of eigenvalues.
    """
    transition, (units, _) = matrix_balance(transition, permute=False, separate=True)
    driven = driven / units[:, None]
    size = np.linalg.norm(driven, axis=0)
    driven = driven / np.where(size > 0, size, 1.0)
    basis = np.eye(len(transition))
    while True:
        undriven = _undriven_modes(basis.T @ transition @ basis, basis.T @ driven)
        if not undriven.shape[1]:
            return basis.T / units, units[:, None] * basis
        corners, _ = np.linalg.qr(undriven, mode="complete")
        basis = basis @ corners[:, undriven.shape[1] :]


def _undriven_modes(transition: Array, driven: Array) -> Array:
    """The left vectors of one pole that does not decay and is not driven; real and imaginary parts of a pair."""
    tolerance = UNDRIVEN * max(1.0, float(np.linalg.norm(transition)))
    for pole in lasting(np.linalg.eigvals(transition)):
        at = 1.0 if abs(pole - 1) < 1 - LASTING else pole if pole.imag else pole.real
        left, sizes, _ = np.linalg.svd(np.hstack([transition - at * np.eye(len(transition)), driven]))
        undriven = left[:, sizes <= tolerance]
        if undriven.shape[1]:
            return np.hstack([undriven.real, undriven.imag]) if np.iscomplexobj(undriven) else undriven
    return np.zeros((len(transition), 0))


def lasting(poles: Array) -> Array:
    """The poles that do not decay."""
    return poles[np.abs(poles) > LASTING]


def state_at_rest(transition: Array, driven: Array) -> Array:
    """h = (I − D)⁻¹ G; what does not decay and is not driven is 0."""
    forth, back = without_undriven_modes(transition, driven)
    gap = np.eye(len(forth)) - forth @ transition @ back
    if len(gap) and np.linalg.cond(gap) > 0.01 / EPSILON:
        raise ValueError(
            "There is a pole at 1 that inputs or offsets drive, an integrator: a constant input grows without bound, "
            "so there is no gain at frequency 0 and no state of rest."
        )
    solved: Array = back @ np.linalg.solve(gap, forth @ driven)
    return solved

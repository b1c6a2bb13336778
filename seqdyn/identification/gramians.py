"""How strongly the inputs reach the states and the states show in the outputs, from sums that double."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

EPSILON = float(np.finfo(np.float64).eps)


class Gramians(NamedTuple):
    """Two matrices of a stable system: how strongly inputs reach the states, and states show in the outputs.

    Attributes
    ----------
    controllability, observability : array, shape (order, order)
    """

    controllability: Array
    observability: Array


def gramian_root(transition: Array, driven: Array) -> Array:
    """L with L Lᵀ = Σ_k D^k G Gᵀ (D^k)ᵀ: every round doubles the number of terms."""
    factor, power = driven, transition
    while True:
        more = power @ factor
        if np.linalg.norm(more) <= EPSILON * np.linalg.norm(factor) or not power.size:
            return factor
        _, upper = np.linalg.qr(np.hstack([factor, more]).T)
        factor, power = upper.T, power @ power


def balancing(reach: Array, show: Array, order: int | None) -> tuple[Array, Array]:
    """Into the coordinates in which both Gramians are diag(σ), and back.

    Parameters
    ----------
    reach, show : array, shape (states, …) and (…, states)
        L and R, with W_c = L Lᵀ and W_o = Rᵀ R.
    order : int or None
        States to keep; all that matter if None.

    Returns
    -------
    array, shape (order, states), and array, shape (states, order)

    References
    ----------
    Tombs & Postlethwaite (1987), Truncated balanced realization of a stable non-minimal state-space system.
    """
    left, values, right = np.linalg.svd(show @ reach, full_matrices=False)
    minimal = int((values > 1e-12 * values.max(initial=0.0)).sum())
    kept = minimal if order is None else order
    if not 0 <= kept <= minimal:
        raise ValueError(f"order must lie between 0 and the {minimal} states that matter, got {order!r}.")
    root = np.sqrt(values[:kept])
    return (left[:, :kept] / root).T @ show, reach @ (right[:kept].T / root)

"""Gramians, Hankel singular values and balanced coordinates of a stable system."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seqdyn.arrays import EPSILON, Array
from seqdyn.facts import shown_by_shape

if TYPE_CHECKING:
    from seqdyn.identification.system import LinearSystem


@shown_by_shape
class Gramians(NamedTuple):
    """The controllability and observability Gramians of a stable system.

    Attributes
    ----------
    controllability, observability : array, shape (order, order)
    """

    controllability: Array
    observability: Array


def gramians(system: LinearSystem) -> Gramians:
    """The controllability and observability Gramians.

        W_c = Σ_k D^k C Cᵀ (D^k)ᵀ,    W_o = Σ_k (D^k)ᵀ Bᵀ B D^k

    Returns
    -------
    Gramians
        ``(controllability, observability)``, the solutions of W_c = D W_c Dᵀ + C Cᵀ and W_o = Dᵀ W_o D + Bᵀ B.

    Raises
    ------
    ValueError
        If the system is not stable: the sums grow without end. ``input_output_part()`` may be.

    References
    ----------
    Smith (1968), Matrix equation XA + BX = C, SIAM J. Applied Mathematics 16, for the doubling that sums them.

    Examples
    --------
    >>> from seqdyn.identification.system import LinearSystem
    >>> LinearSystem.from_block([[0.0]], [[3.0]], [[1.0]], [[0.5]]).gramians().observability
    array([[12.]])
    """
    reach, show = gramian_roots(system)
    return Gramians(reach @ reach.T, show.T @ show)


def hankel_singular_values(system: LinearSystem) -> Array:
    """The Hankel singular values: how much every state matters, in balanced coordinates, between inputs and outputs.

        σ_i = √ λ_i(W_c W_o)

    Returns
    -------
    array, shape (order,)
        Largest first; 0 for a state that the inputs do not reach or the outputs do not show. A model that keeps
        the first r states errs at no frequency by more than 2 Σ_{i>r} σ_i.

    Raises
    ------
    ValueError
        If ``input_output_part()`` is not stable.

    References
    ----------
    Moore (1981), Principal component analysis in linear systems, IEEE Trans. Automatic Control 26.

    Examples
    --------
    >>> from seqdyn.identification.system import LinearSystem
    >>> LinearSystem.from_block([[0.0]], [[3.0]], [[1.0]], [[0.5]]).hankel_singular_values().round(9)
    array([4.])
    """
    reach, show = gramian_roots(system.input_output_part())
    values = np.linalg.svd(show @ reach, compute_uv=False)
    return np.concatenate([values, np.zeros(len(system.transition))])[: len(system.transition)]


def gramian_roots(system: LinearSystem) -> tuple[Array, Array]:
    """Roots L and R of the Gramians, W_c = L Lᵀ and W_o = Rᵀ R, found without forming the Gramians."""
    if not system.is_stable() or system.input_output_part() is not system:
        raise ValueError(
            f"Gramians, Hankel singular values and balanced coordinates need a stable system, but the spectral "
            f"radius is {system.spectral_radius():.6g}: what it sums grows without end. Where no input reaches the "
            "poles that do not decay, input_output_part() is stable."
        )
    return gramian_root(system.transition, system.input_map), gramian_root(system.transition.T, system.readout.T).T


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
    """The changes into and out of the coordinates in which both Gramians, L Lᵀ and Rᵀ R, are diag(σ).

    ``reach`` is L, ``show`` is R; ``order`` states are kept, all that matter if None. Tombs &
    Postlethwaite (1987), Truncated balanced realization of a stable non-minimal state-space system.
    """
    left, values, right = np.linalg.svd(show @ reach, full_matrices=False)
    minimal = int((values > 1e-12 * values.max(initial=0.0)).sum())
    kept = minimal if order is None else order
    if not 0 <= kept <= minimal:
        raise ValueError(f"order must lie between 0 and the {minimal} states that matter, got {order!r}.")
    root = np.sqrt(values[:kept])
    return (left[:, :kept] / root).T @ show, reach @ (right[:kept].T / root)

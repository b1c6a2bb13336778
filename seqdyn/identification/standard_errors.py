"""Standard errors of a system and of any function of it, by the delta method.

Var f ≈ Σ_j (∂f/∂d_j)²        d_j the changes of the system whose outer products are the covariance of its entries
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from scipy.linalg import eig

from seqdyn.arrays import Array
from seqdyn.checks import check_count, is_int
from seqdyn.facts import shown_by_shape
from seqdyn.identification.analysis import pole_order
from seqdyn.identification.estimation import Directions, central_differences

if TYPE_CHECKING:
    from seqdyn.identification.system import LinearSystem


INFINITE = complex(np.inf, np.inf)
"""The standard error of a complex number of which the data tell nothing."""
DEFECTIVE = 1e-8
"""The cosine of the angle between left and right eigenvector at which a pole counts as a multiple one."""


@shown_by_shape
class PoleErrors(NamedTuple):
    """Standard errors of the poles, in the order of the poles; inf of a multiple pole, which is not differentiable.

    Attributes
    ----------
    real, imaginary : array, shape (order,)
        Of the real and of the imaginary part; the imaginary part of a real pole has none.
    modulus : array, shape (order,)
        Of |λ|.
    angle : array, shape (order,)
        Of arg λ, in rad a step.
    time_constant : array, shape (order,)
        Of −dt / ln |λ|, in the unit of dt; NaN where |λ| ≥ 1 or λ = 0.
    """

    real: Array
    imaginary: Array
    modulus: Array
    angle: Array
    time_constant: Array


def has_standard_errors(system: LinearSystem) -> bool:
    """Whether the system has standard errors: it was estimated, and its covariance was computed."""
    return system.estimation is not None and system.estimation.directions is not None


def moved(system: LinearSystem, size: float, j: int) -> LinearSystem:
    """The system moved by ``size`` standard deviations along direction j of its estimation.

    Parameters
    ----------
    size : float
    j : int
        From 0 to the number of directions, less 1.

    Returns
    -------
    LinearSystem
        Without an ``estimation``: it is none.

    Raises
    ------
    ValueError
        If there is no such direction.
    """
    count = len(_known_directions(system).transition)
    if not is_int(j) or not 0 <= j < count:
        raise ValueError(f"j={j!r}, expected a direction of the estimation: a whole number from 0 to {count - 1}.")
    return _moved_along(system, _known_directions(system), size, j)


def _moved_along(system: LinearSystem, directions: Directions, size: float, j: int) -> LinearSystem:
    changes = {
        name: getattr(system, name) + size * change[j]
        for name, change in directions._asdict().items()
        if getattr(system, name) is not None
    }
    return replace(system, **changes, estimation=None)


def standard_error(system: LinearSystem, quantity: Callable[[Any], Any]) -> Array:
    """The standard error of a quantity of the system, by the delta method.

        √ Σ_j (∂f/∂d_j)²

    Parameters
    ----------
    quantity : callable
        Gives a number or an array for a LinearSystem, smoothly and in an order that does not depend on the
        numbers: ``LinearSystem.dc_gain``, ``lambda system: system.markov_parameters(10)``. For poles take
        :func:`pole_standard_errors`.

    Returns
    -------
    array, of the shape of the quantity
        Of a complex quantity a complex number: the standard error of the real part, and that of the imaginary
        part.

    Raises
    ------
    ValueError
        If the system was not estimated, or its covariance was not computed.

    References
    ----------
    Ljung (1999), System Identification, section 9.4 and appendix 9B.

    Examples
    --------
    A pole of 0.5 with a standard error of 0.02, and a gain of 1 / (1 − 0.5):

    >>> import numpy as np
    >>> from seqdyn.identification.estimation import Directions, Estimation
    >>> from seqdyn.identification.system import LinearSystem
    >>> nothing = np.zeros((1, 1, 1))
    >>> along = Directions(nothing, nothing, nothing, nothing + 0.02, nothing[0], nothing[0], nothing)
    >>> told = Estimation("prediction", np.array([100]), 3, -140.0, 0.0, along)
    >>> system = LinearSystem([[0.0]], [[1.0]], [[1.0]], [[0.5]], estimation=told)
    >>> system.standard_error(LinearSystem.dc_gain).round(6)
    array([[0.08]])
    """
    found = norms(changes(system, quantity))
    return np.where(_changes_unknown(system, quantity), INFINITE if np.iscomplexobj(found) else np.inf, found)


def _changes_unknown(system: LinearSystem, quantity: Callable[[Any], Any]) -> Array:
    """Whether a quantity changes along a direction that the data do not determine."""
    now = np.asarray(quantity(system))
    found = np.zeros(now.shape, dtype=bool)
    along = system.estimation.undetermined if system.estimation else None
    for j in range(0 if along is None else len(along.transition)):
        moved = np.asarray(quantity(_moved_along(system, cast(Directions, along), 1e-6, j)))
        found |= np.abs(moved - now) > 1e-9 * np.maximum(np.abs(now), 1.0)
    return found


def changes(system: LinearSystem, quantity: Callable[[Any], Any]) -> Array:
    """The changes of a quantity along every direction of the estimation: a root of its covariance.

    Parameters
    ----------
    quantity : callable
        As for :func:`standard_error`.

    Returns
    -------
    array, shape (directions, …)

    Raises
    ------
    ValueError
        If the system was not estimated, or its covariance was not computed.
    """
    count = len(_known_directions(system).transition)
    found = central_differences(lambda size, j: np.asarray(quantity(moved(system, size, j))), count)
    return found.reshape(count, *np.shape(quantity(system)))


def pole_standard_errors(system: LinearSystem) -> PoleErrors:
    """Standard errors of the poles, by first-order perturbation: dλ = wᴴ dD v / wᴴ v.

    Returns
    -------
    PoleErrors
        Of real and imaginary part, modulus, angle and time constant; w and v are left and right eigenvectors.

    Raises
    ------
    ValueError
        If the system was not estimated, or its covariance was not computed.

    References
    ----------
    Golub & Van Loan (2013), Matrix Computations, section 7.2.2.
    """
    poles, changes = system.poles(), pole_changes(system)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = changes / poles
        modulus = np.where(poles == 0, np.abs(changes), np.abs(poles) * relative.real)
        log = np.log(np.abs(poles))
        constant = np.where((log < 0) & np.isfinite(log), system.dt * relative.real / log**2, np.nan)
        return PoleErrors(*(norms(part) for part in (changes.real, changes.imag, modulus, relative.imag, constant)))


def pole_changes(system: LinearSystem) -> Array:
    """The changes of the poles along every direction of the estimation.

    Returns
    -------
    array of complex, shape (directions, order)
        A root of the covariance of the poles; inf of a multiple pole that the direction moves.
    """
    change = _known_directions(system).transition
    values, left, right = eig(system.transition, left=True, right=True)
    sort = pole_order(values)
    left, right = left[:, sort], right[:, sort]
    moved = np.einsum("ni,jnm,mi->ji", left.conj(), change, right)
    overlap = np.einsum("ni,ni->i", left.conj(), right)
    still = np.abs(moved) <= 1e-12 * np.linalg.norm(change, axis=(1, 2))[:, None]
    multiple = np.abs(overlap) < DEFECTIVE
    found = np.where(multiple, INFINITE, moved / np.where(multiple, 1.0, overlap))
    return np.where(still, 0.0, found)


def prediction_covariance(system: LinearSystem, steps_ahead: int) -> Array:
    """Covariance of the errors of forecasts 1, 2, … steps ahead, from a state known from a long past.

        Σ_1 = R,    Σ_k = R + Σ_{j=1}^{k−1} (B D^{j−1} K) R (B D^{j−1} K)ᵀ

    Parameters
    ----------
    steps_ahead : int, at least 1
        In steps.

    Returns
    -------
    array, shape (steps_ahead, outputs, outputs)
        The last is that of a forecast ``steps_ahead`` steps ahead. The inputs are known, the system is taken to
        be right; the roots of the diagonals are standard deviations in the units of the outputs.

    Raises
    ------
    ValueError
        If the system has no model of the noise.

    References
    ----------
    Anderson & Moore (1979), Optimal Filtering, section 9.2.

    Examples
    --------
    A random walk, seen without noise: every step adds its variance.

    >>> from seqdyn.identification.system import LinearSystem
    >>> none = [[]]
    >>> walk = LinearSystem(none, [[1.0]], none, [[1.0]], noise_gain=[[1.0]], noise_covariance=[[4.0]])
    >>> walk.prediction_covariance(3).ravel()
    array([ 4.,  8., 12.])
    """
    check_count("steps_ahead", steps_ahead)
    if system.noise_gain is None or system.noise_covariance is None:
        missing = "noise_gain" if system.noise_gain is None else "noise_covariance"
        raise ValueError(
            f"The system has no model of its noise ({missing} is None), so the errors of its forecasts are unknown: "
            "give noise_gain and noise_covariance, or estimate the system from data."
        )
    covariance, carried = [system.noise_covariance], system.noise_gain
    for _ in range(steps_ahead - 1):
        seen = system.readout @ carried
        covariance.append(covariance[-1] + seen @ system.noise_covariance @ seen.T)
        carried = system.transition @ carried
    return np.array(covariance)


def _known_directions(system: LinearSystem) -> Directions:
    if system.estimation is None:
        raise ValueError(
            "This system was given, not estimated, so it has no standard errors. Take the system_ of a model that was "
            "fitted to data."
        )
    if system.estimation.directions is None:
        raise ValueError(
            "The covariance of this system's entries was not computed, so it has no standard errors: fit it with "
            "refinement, and with more steps than free numbers."
        )
    return system.estimation.directions


def norms(changes: Array) -> Array:
    """√ Σ_j over the first axis; of complex values of the real and of the imaginary part."""
    if np.iscomplexobj(changes):
        parts = np.empty(changes.shape[1:], dtype=complex)
        parts.real, parts.imag = norms(changes.real), norms(changes.imag)
        return parts
    root: Array = np.sqrt((changes**2).sum(axis=0))
    return root

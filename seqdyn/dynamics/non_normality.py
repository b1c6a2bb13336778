"""How far a constant transition is from a normal matrix.

A normal matrix (D Dᵀ = Dᵀ D) has ‖D^k‖ = ρ^k at every lag k. For all others the eigenvalues alone tell nothing of the
short run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import rsf2csf, schur
from scipy.ndimage import maximum_filter
from scipy.optimize import minimize
from torch import Tensor

from seqdyn.arrays import EPSILON, Array
from seqdyn.dynamics.powers import EIGENVALUE_ROUNDING, checked_transition, power_growth
from seqdyn.facts import shown_by_shape

CLOSEST = 1e-8
"""The least |z| − 1 at which the resolvent is looked at, where the eigenvalues are no farther from the circle."""
ANGLES = 128
"""Parts of the half circle in which the numerical range is supported first."""
ASIDE = 0.03
"""How far beside a point, in units of |z| − 1, an ascent starts: on the real axis the slope is 0 also at a saddle."""


@shown_by_shape
class Normality(NamedTuple):
    """What :func:`normality` finds of a transition D (n, n).

    Attributes
    ----------
    eigenvalues : Tensor, complex, shape (n,)
        The largest modulus first.
    singular_values : Tensor, shape (n,)
        The largest first.
    spectral_radius : float
        ρ, the largest |λ|: ‖D^k‖^{1/k} → ρ (Gelfand).
    largest_singular_value : float
        σ_1 = ‖D‖, the gain of one step.
    eigenvector_condition : float
        κ(V) of the matrix of unit eigenvectors, at least 1: ‖D^k‖ ≤ κ(V) ρ^k. 1 for a normal matrix, infinite or above
        1e15 for a defective one.
    henrici : float
        √(‖D‖_F² − Σ|λ|²): what is left of D beside its eigenvalues, 0 for a normal matrix.
    numerical_radius : float
        w = max |v* D v| over unit vectors v: ‖D^k‖ ≤ 2 w^k.
    kreiss : float
        K = sup (|z| − 1) ‖(zI − D)⁻¹‖ over |z| > 1, at least 1: K ≤ sup_k ‖D^k‖ ≤ e n K. Infinite where the powers are
        unbounded.
    peak : float
        The largest ‖D^k‖ over k ≥ 1. Infinite where the powers are unbounded.
    peak_lag : int or None
        The first lag at which it is reached; None where it is infinite.
    first_below_one : int or None
        The first lag k ≥ 1 with ‖D^k‖ < 1; None if there is none (up to 2^40).
    """

    eigenvalues: Tensor
    singular_values: Tensor
    spectral_radius: float
    largest_singular_value: float
    eigenvector_condition: float
    henrici: float
    numerical_radius: float
    kreiss: float
    peak: float
    peak_lag: int | None
    first_below_one: int | None


def normality(matrix: Tensor | Array) -> Normality:
    """Measure how far a constant transition D is from normal, and how its powers grow before they decay.

    Parameters
    ----------
    matrix : Tensor or array, shape (n, n)
        D, real and finite; measured in float64.

    Returns
    -------
    Normality

    Raises
    ------
    ValueError
        If the matrix is not square, real and finite, or if ‖D^k‖ exceeds ρ^k by more than 1e290.

    Notes
    -----
    - ρ > 1: the powers grow without bound, ``peak`` and ``kreiss`` are infinite, ``peak_lag`` and ``first_below_one``
      None.
    - ρ = 1 up to rounding (10 n ε ‖D‖): the powers are bounded if the eigenvalues on the circle are not defective, as
      of an orthogonal matrix. Whether they are is read from their growth between the lags 2^19 and 2^20. If so,
      ``peak`` is the largest up to 2^20 and ``first_below_one`` None, as ‖D^k‖ ≥ ρ^k; if not, it is as above.
    - ρ < 1: after a lag with ‖D^k‖ < 1 no later power exceeds the earlier ones, so the search ends there. Every lag up
      to 1024 is looked at. Later ones lie on a grid that grows by 2^(1/16) a point and is refined around what was
      found: a peak or a dip narrower than 4 % of its lag may be missed there.

    ``kreiss`` and ``numerical_radius`` are maxima of smooth functions of one and two variables, sought on a grid and
    refined; they are lower bounds, tight to about 1e-7 unless a higher maximum lies between the points of the grid (for
    w it is higher by 1e-4 at most). The eigenvalues of a defective block of size m have errors of about ε^{1/m}.

    References
    ----------
    Trefethen & Embree (2005), Spectra and Pseudospectra, on the Kreiss matrix theorem and the numerical range; Henrici
    (1962), Bounds for iterates, inverses, spectral variation and fields of values of non-normal matrices.

    Examples
    --------
    All eigenvalues are 0.9, and yet a perturbation grows to 38.7 before it decays:

    >>> import torch
    >>> found = normality(torch.tensor([[0.9, 10.0], [0.0, 0.9]], dtype=torch.float64))
    >>> round(found.peak, 3), found.peak_lag, found.first_below_one
    (38.746, 9, 63)
    """
    transition = checked_transition(matrix)
    blocks = schur(transition, output="real")[0]
    triangle = rsf2csf(blocks, np.eye(len(blocks)))[0]
    eigenvalues = np.linalg.eigvals(blocks)  # those that the powers have, too
    eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")].astype(np.complex128)
    singular_values = np.linalg.svd(transition, compute_uv=False)
    radius, gain = float(np.abs(eigenvalues[0])), float(singular_values[0])
    growth = power_growth(blocks, radius, gain)
    return Normality(
        eigenvalues=torch.from_numpy(eigenvalues),
        singular_values=torch.from_numpy(singular_values),
        spectral_radius=radius,
        largest_singular_value=gain,
        eigenvector_condition=_eigenvector_condition(transition, triangle),
        henrici=_henrici(triangle),
        numerical_radius=_numerical_radius(transition),
        kreiss=_kreiss(triangle) if math.isfinite(growth.peak) else math.inf,
        peak=growth.peak,
        peak_lag=growth.peak_lag,
        first_below_one=growth.first_below_one,
    )


def _henrici(triangle: Array) -> float:
    """‖N‖_F of the Schur form Λ + N, which is √(‖D‖_F² − Σ|λ|²) without the cancellation."""
    return float(np.linalg.norm(np.triu(triangle, 1)))


def _eigenvector_condition(transition: Array, triangle: Array) -> float:
    """κ(V); a normal matrix has orthogonal eigenvectors, also where LAPACK gives others of a repeated eigenvalue."""
    return 1.0 if _is_normal(triangle) else float(np.linalg.cond(np.linalg.eig(transition)[1]))


def _is_normal(triangle: Array) -> bool:
    size = float(np.linalg.norm(triangle))
    return _henrici(triangle) <= EIGENVALUE_ROUNDING * len(triangle) * EPSILON * size


def _numerical_radius(transition: Array) -> float:
    """w = max_θ λ_max((e^{iθ} D + e^{−iθ} Dᵀ) / 2), with θ in [0, π] as D is real.

    The maximum lies beside a point of the grid with at least w cos(π / 2 ANGLES): h(θ) = λ_max is the support function
    of a convex set, so h'' + h ≥ 0.
    """
    symmetric, skew = (transition + transition.T) / 2, (transition - transition.T) / 2

    def support(angles: Array) -> Array:
        shape = (-1, 1, 1)
        turned = np.cos(angles).reshape(shape) * symmetric + 1j * np.sin(angles).reshape(shape) * skew
        return np.asarray(torch.linalg.eigvalsh(torch.from_numpy(turned))[:, -1])

    angles = np.linspace(0, np.pi, ANGLES + 1)
    values = support(angles)
    return max(_closed_in(support, angles[index], np.pi / ANGLES) for index in _summits(values, 3))


def _summits(values: Array, count: int) -> list[int]:
    """The highest local maxima of a grid, by their places in the flattened one."""
    places = np.flatnonzero(values == maximum_filter(values, size=3, mode="nearest"))
    return sorted(places.tolist(), key=lambda place: -values.flat[place])[:count]


def _closed_in(function: Callable[[Array], Array], centre: float, width: float) -> float:
    """The maximum of a curve near a point, by grids that close in on it."""
    best = -math.inf
    while width > 1e-8:
        points = centre + width * np.linspace(-1, 1, 9)
        values = function(points)
        best, centre, width = max(best, float(values.max())), float(points[values.argmax()]), width / 4
    return best


def _kreiss(triangle: Array) -> float:
    """K from the Schur form: a grid around the unit circle, then ascent from its highest summits."""
    if _is_normal(triangle):
        return 1.0
    moduli = np.abs(np.diag(triangle))
    closest = max(CLOSEST, (1 - moduli.max()) / 10)
    logs = np.log(np.geomspace(closest, 10 * (1 + np.linalg.norm(triangle, 2)), 24))
    leading = np.abs(np.angle(np.diag(triangle)[np.argsort(-moduli)][:12]))
    angles = np.unique(np.concatenate([np.linspace(0, np.pi, 17), leading]))
    heights = np.array([log - np.log(_smallest(_resolvent_matrices(triangle, log, angles)).value) for log in logs])
    starts = [divmod(place, len(angles)) for place in _summits(heights, 6)]
    summits = [_ascended(triangle, logs[circle], angles[turn]) for circle, turn in starts]
    return math.exp(max(0.0, heights.max(), *summits))


def _resolvent_matrices(triangle: Array, log: float, angles: Array) -> Tensor:
    """zI − T at the points z = (1 + e^log) e^{i angle}."""
    points = (1 + math.exp(log)) * np.exp(1j * angles)
    return torch.from_numpy(points.reshape(-1, 1, 1) * np.eye(len(triangle)) - triangle)


class _Smallest(NamedTuple):
    """σ_min (points,) with its singular vectors (points, n)."""

    value: Array
    left: Array
    right: Array


def _smallest(matrices: Tensor, vectors: bool = False) -> _Smallest:
    """The smallest singular values; by inverse iteration where the SVD's error of ε σ_max would show."""
    if vectors:
        left, values, right = torch.linalg.svd(matrices)
        found = _Smallest(values[:, -1].numpy(), left[:, :, -1].numpy(), right[:, -1].conj().resolve_conj().numpy())
    else:
        values = torch.linalg.svdvals(matrices)
        found = _Smallest(values[:, -1].numpy(), np.empty(0), np.empty(0))
    faint = values[:, -1] < 1e-8 * values[:, 0]
    if faint.any():
        iterated = _iterated(matrices[faint])
        for own, better in zip(found, iterated, strict=True):
            if own.size:
                own[faint.numpy()] = better
    return found


def _iterated(matrices: Tensor, rounds: int = 30) -> _Smallest:
    """The same of triangular matrices by inverse iteration, which is right to full relative accuracy."""
    size = matrices.shape[-1]
    start = torch.randn(size, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    after = start.to(matrices.dtype).expand(len(matrices), size, 1)
    for _ in range(rounds):
        left = after / torch.linalg.vector_norm(after, dim=1, keepdim=True)
        right = torch.linalg.solve_triangular(matrices, left, upper=True)
        norm = torch.linalg.vector_norm(right, dim=1, keepdim=True)
        right = right / norm
        after = torch.linalg.solve_triangular(matrices.mH, right, upper=False)
    return _Smallest((1 / norm).flatten().numpy(), left.squeeze(2).numpy(), right.squeeze(2).numpy())


def _ascended(triangle: Array, log: float, angle: float) -> float:
    """The local maximum of ln (|z| − 1) − ln σ_min(zI − T) over ln (|z| − 1) and the angle of z."""

    def depth(place: Array) -> tuple[float, Array]:
        distance = math.exp(place[0])
        found = _smallest(_resolvent_matrices(triangle, place[0], place[1:]), vectors=True)
        slope = np.vdot(found.left, found.right) * np.exp(1j * place[1]) / found.value[0]  # of ln σ_min along z
        gradient = np.array([distance * slope.real - 1, -(1 + distance) * slope.imag])
        return math.log(found.value[0]) - float(place[0]), gradient

    start, bounds = np.array([log, angle + ASIDE * min(1.0, math.exp(log))]), [(log - 3, log + 3), (None, None)]
    return -float(minimize(depth, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-14).fun)

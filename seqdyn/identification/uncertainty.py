"""The covariance of an estimate, from the derivatives of its errors.

    θ̂ − θ ≈ (JᵀJ)⁺ Jᵀ e        J the derivatives of the errors by the entries θ

One step ahead e is white, and Cov θ̂ = σ² (JᵀJ)⁺. In the free run e is whatever the noise is, H e_t with e_t white, and
Cov θ̂ = (JᵀJ)⁺ (Jᵀ H R Hᵀ J) (JᵀJ)⁺. A change of basis of the states changes no error: along these directions, n² of
them, nothing is known and nothing need be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from seqdyn.arrays import Array
from seqdyn.identification.estimation import Directions
from seqdyn.identification.hankel import triangular
from seqdyn.identification.records import Group
from seqdyn.identification.refinement import Fit, Problem, derivatives
from seqdyn.identification.sensitivity import every_row

DERIVATIVE_RANK = 1e-10
"""Share of the largest singular value below which a direction is not seen."""


def directions(problem: Problem, fit: Fit, root: Array) -> Directions:
    """Changes of the system from changes of its free entries, the columns of ``root``."""
    system, count = fit.system, root.shape[1]
    changes = np.zeros((count, sum(np.size(getattr(system, name)) for name in problem.entries)))
    changes[:, problem.columns(system, problem.entries)] = root.T
    ends = np.cumsum([np.size(getattr(system, name)) for name in problem.entries])[:-1]
    parts = {
        name: part.reshape(count, *np.shape(getattr(system, name)))
        for name, part in zip(problem.entries, np.split(changes, ends, axis=1), strict=True)
    }
    gain = parts.pop("noise_gain", np.zeros((count, system.order, system.outputs)))
    offset = gain @ system.output_offset
    if system.noise_gain is not None and "noise_gain" in problem.entries:
        offset = offset + parts["output_offset"] @ system.noise_gain.T
    return Directions(**parts, state_offset=offset, noise_gain=gain)


def free_parameters(problem: Problem, fit: Fit) -> int:
    """d: free entries, without the n² that only choose the basis of the states."""
    return len(problem.columns(fit.system, problem.entries)) - problem.dynamic(fit.system) ** 2


def white_root(problem: Problem, fit: Fit) -> Array:
    """A root of σ² (JᵀJ)⁺, for errors that are white: (free entries, directions).

    Ljung (1999), System Identification, section 9.4.
    """
    right, values = _seen_directions(problem, fit, derivatives(problem, fit))
    counted = sum(int((group.weight > 0).sum()) for group in problem.groups)
    root: Array = math.sqrt(fit.error / counted * _inflation(problem, fit)) * right / values
    return root


def coloured_root(problem: Problem, fit: Fit) -> Array:
    """A root of (JᵀJ)⁺ (Jᵀ Ω J) (JᵀJ)⁺, for errors whose covariance over time is Ω.

    Every output's errors are taken as an autoregression, e_t = Σ_i a_i e_{t-i} + ε_t, of the order that Akaike's
    criterion chooses: Jᵀ Ω J is the covariance of ε between what the derivatives become, filtered backwards in time.
    Ljung (1999), System Identification, section 9.4, for estimates without a model of the noise.
    """
    parts = [_without_starts(problem, fit, group) for group in problem.groups]
    errors = [error for _, error in parts]
    models = [autoregression([error[:, :, output] for error in errors]) for output in range(errors[0].shape[2])]
    covariance = _innovations(models, errors) * _inflation(problem, fit)
    loose = np.linalg.cholesky(covariance + 1e-12 * np.trace(covariance) * np.eye(len(covariance)) + 1e-300)
    middle = np.zeros((0, parts[0][0].shape[-1]))
    upper = middle
    for derivative, _ in parts:
        upper = triangular(upper, derivative.reshape(-1, derivative.shape[-1]))
        late = [
            lfilter([1.0], np.r_[1.0, -model], derivative[:, ::-1, output], axis=1)
            for output, model in enumerate(models)
        ]
        mixed = np.einsum("ortp,oi->ritp", np.array(late), loose)
        middle = triangular(middle, mixed.reshape(-1, mixed.shape[-1]))
    right, values = _seen_directions(problem, fit, upper)
    root: Array = right / values**2 @ (right.T @ middle.T)
    return root


def autoregression(errors: Sequence[Array], longest: int = 20) -> Array:
    """a_1 … a_p of e_t = Σ_i a_i e_{t-i} + ε_t by Yule and Walker, of the order with the least Akaike's criterion.

    ``errors`` are arrays (records, time); orders up to ``longest`` are tried.
    """
    count = sum(int(np.count_nonzero(error)) for error in errors)
    reach = min(longest, *(error.shape[1] - 1 for error in errors), max(0, count // 10))
    products = ([error[:, : error.shape[1] - k] * error[:, k:] for error in errors] for k in range(reach + 1))
    correlation = np.array([sum(float(part.sum()) for part in parts) for parts in products])
    if count == 0 or correlation[0] == 0:
        return np.zeros(0)
    found = [solve_toeplitz(correlation[:p], correlation[1 : p + 1]) if p else np.zeros(0) for p in range(reach + 1)]
    left = [correlation[0] - a @ correlation[1 : len(a) + 1] for a in found]
    criteria = [count * math.log(max(v, 1e-300)) + 2 * len(a) for v, a in zip(left, found, strict=True)]
    return found[int(np.argmin(criteria))]


def undetermined(problem: Problem, fit: Fit) -> Array:
    """Changes of the free entries that change no error and are no change of basis: (free entries, directions).

    The data tell nothing of them, as of each of two inputs that are the same.
    """
    matrix = derivatives(problem, fit)
    _, values, right = np.linalg.svd(matrix)
    rank = int((values > DERIVATIVE_RANK * values.max(initial=0.0)).sum())
    nothing, basis = right[rank:].T, _changes_of_basis(problem, fit)
    left = nothing - basis @ (basis.T @ nothing)
    vectors, sizes, _ = np.linalg.svd(left, full_matrices=False)
    found: Array = vectors[:, sizes > 0.1]
    return found


def _changes_of_basis(problem: Problem, fit: Fit) -> Array:
    """An orthonormal basis of the changes h̃ = (I + S) h makes of the free entries, for small S."""
    system, own = fit.system, problem.dynamic(fit.system)
    shift = np.zeros((own * own, system.order, system.order))
    shift[:, :own, :own] = np.eye(own * own).reshape(-1, own, own)
    moved = {
        "transition": shift @ system.transition - system.transition @ shift,
        "input_map": shift @ system.input_map,
        "readout": -system.readout @ shift,
        "noise_gain": shift @ (np.zeros((system.order, 0)) if system.noise_gain is None else system.noise_gain),
    }
    count = own * own
    parts = [
        moved[name].reshape(count, -1) if name in moved else np.zeros((count, np.size(getattr(system, name))))
        for name in problem.entries
    ]
    columns = np.hstack(parts)[:, problem.columns(system, problem.entries)]
    vectors, sizes, _ = np.linalg.svd(columns.T, full_matrices=False)
    basis: Array = vectors[:, sizes > DERIVATIVE_RANK * sizes.max(initial=0.0)]
    return basis


def _without_starts(problem: Problem, fit: Fit, group: Group) -> tuple[Array, Array]:
    """J in the free entries, what the starts can do taken out, (records, time, outputs, entries); and the errors."""
    rows = every_row(problem.running(fit.system), group, fit.starts[group.places]).numpy()
    order = fit.starts.shape[1]
    chain = problem.chain(fit.system)[:, problem.columns(fit.system, problem.entries)]
    own, derivative, errors = rows[..., :order], rows[..., order:-1] @ chain, rows[..., -1]
    if problem.free_starts and order:
        flat = own.reshape(len(own), -1, order)
        solution = np.linalg.pinv(flat, rcond=1e-9) @ derivative.reshape(len(own), -1, derivative.shape[-1])
        derivative = derivative - (flat @ solution).reshape(derivative.shape)
    return derivative, errors


def _innovations(models: Sequence[Array], errors: Sequence[Array]) -> Array:
    """The covariance of ε over all records."""
    white = [
        np.stack(
            [lfilter(np.r_[1.0, -a], [1.0], error[:, :, output], axis=1) for output, a in enumerate(models)], axis=-1
        )
        for error in errors
    ]
    flat = np.concatenate([part.reshape(-1, len(models)) for part in white])
    known = (flat != 0).astype(float)
    covariance: Array = flat.T @ flat / np.maximum(known.T @ known, 1.0)
    return covariance


def _inflation(problem: Problem, fit: Fit) -> float:
    """N / (N − d): the correction for d fitted numbers."""
    counted = sum(int((group.weight > 0).sum()) for group in problem.groups)
    spent = free_parameters(problem, fit) + problem.records * fit.starts.shape[1] * problem.free_starts
    return counted / max(1, counted - spent)


def _seen_directions(problem: Problem, fit: Fit, matrix: Array) -> tuple[Array, Array]:
    """The right singular vectors and the singular values of the derivatives, without changes of basis of the states."""
    _, values, right = np.linalg.svd(matrix, full_matrices=False)
    known = matrix.shape[1] - problem.dynamic(fit.system) ** 2
    known = min(known, int((values > DERIVATIVE_RANK * values.max(initial=0.0)).sum()))
    return right[:known].T, values[:known]

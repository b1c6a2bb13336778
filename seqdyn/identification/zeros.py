"""Invariant zeros of a linear system, by reduction to full rank."""

from __future__ import annotations

import numpy as np

from seqdyn.arrays import Array


def invariant_zeros(transition: Array, input_map: Array, readout: Array, feedthrough: Array) -> Array:
    """Every z at which [D − zI, C; B, A] has a lower rank than at nearly every other number, in no order.

    Emami-Naeini & Van Dooren (1982), Computation of zeros of linear multivariable systems, Automatica 18.
    """
    quadruple = (transition, *_balanced_channels(input_map, readout, feedthrough))
    transition, input_map, readout, feedthrough = _full_row_rank(*quadruple)
    transposed = _full_row_rank(transition.T, readout.T, input_map.T, feedthrough.T)
    transition, readout, input_map, feedthrough = (matrix.T for matrix in transposed)
    if not len(transition):
        return np.zeros(0, dtype=complex)
    return np.linalg.eigvals(transition - input_map @ np.linalg.solve(feedthrough, readout)).astype(complex)


def _balanced_channels(input_map: Array, readout: Array, feedthrough: Array) -> tuple[Array, Array, Array]:
    """Every input and every output in a unit of its own size: zeros do not depend on it, ranks are easier to see."""
    for _ in range(10):  # the size of an input depends on the units of the outputs, and the other way round
        size = np.linalg.norm(np.vstack([input_map, feedthrough]), axis=0)
        input_map, feedthrough = (matrix / np.where(size > 0, size, 1.0) for matrix in (input_map, feedthrough))
        size = np.linalg.norm(np.hstack([readout, feedthrough]), axis=1)[:, None]
        readout, feedthrough = (matrix / np.where(size > 0, size, 1.0) for matrix in (readout, feedthrough))
    return input_map, readout, feedthrough


def _full_row_rank(
    transition: Array, input_map: Array, readout: Array, feedthrough: Array
) -> tuple[Array, Array, Array, Array]:
    """A system with the same zeros whose feedthrough has full row rank.

    Where an output has no feedthrough, an output of 0 asks the states that it reads to be 0. These are left out, and
    that they are 0 at the next step, too, becomes a further output to be 0.
    """
    tolerance = 1e-11 * max(1.0, float(np.linalg.norm(transition)))
    while True:
        left, rank = _split_rows(feedthrough, tolerance)
        feedthrough, readout = left.T @ feedthrough, left.T @ readout
        basis, seen = _split_rows(readout[rank:].T, tolerance)
        if not seen:
            return transition, input_map, readout[:rank], feedthrough[:rank]
        moved, driven, read = basis.T @ transition @ basis, basis.T @ input_map, readout[:rank] @ basis
        transition, input_map = moved[seen:, seen:], driven[seen:]
        readout = np.vstack([read[:, seen:], moved[:seen, seen:]])
        feedthrough = np.vstack([feedthrough[:rank], driven[:seen]])


def _split_rows(matrix: Array, tolerance: float) -> tuple[Array, int]:
    """An orthogonal basis whose first columns span those of the matrix, and how many these are."""
    basis, sizes, _ = np.linalg.svd(matrix, full_matrices=True)
    return basis, int((sizes > tolerance).sum())

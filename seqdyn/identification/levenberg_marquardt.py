"""Nonlinear least squares by damped steps that never make the error larger.

δ = argmin ‖R δ − z‖² + λ ‖S δ‖²        S = diag of the lengths of R's columns
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
LARGEST_DAMPING = 1e6
"""λ beyond which no step is worth trying."""


class Point(Protocol):
    """Somewhere in the space of models."""

    @property
    def error(self) -> float:
        """The sum of squares there; infinite where there is no model."""
        ...


Place = TypeVar("Place", bound=Point)
Linearised = Callable[[Place], tuple[Array, Array, Callable[[Array], Place]]]


def minimised(point: Place, linearised: Linearised[Place], iterations: int = 50, tolerance: float = 1e-6) -> Place:
    """The point after damped Gauss–Newton steps.

    Parameters
    ----------
    point
        Where to begin.
    linearised : callable
        Gives R and z about a point, and the function that makes a step from it.
    iterations : int
        At most so many steps.
    tolerance : float
        Relative decrease of the error below which the search ends.

    References
    ----------
    Marquardt (1963), An Algorithm for Least-Squares Estimation of Nonlinear Parameters.
    """
    damping = 1e-3
    for _ in range(iterations):
        matrix, target, move = linearised(point)
        step = _damped_steps(matrix, target)
        trial = move(step(damping))
        while not trial.error < point.error:
            damping *= 4
            if damping > LARGEST_DAMPING:
                return point
            trial = move(step(damping))
        gained, point, damping = point.error - trial.error, trial, damping / 10
        if gained <= tolerance * point.error:
            break
    return point


def _damped_steps(matrix: Array, target: Array) -> Callable[[float], Array]:
    """The step for every damping, from one decomposition; least in length where it is not unique."""
    lengths = column_lengths(matrix)
    left, values, right = np.linalg.svd(matrix / lengths, full_matrices=False)
    seen = left.T @ target
    return lambda damping: (right.T @ (values / (values**2 + damping) * seen)) / lengths


def column_lengths(matrix: Array) -> Array:
    """The length of every column, 1 for columns of nothing."""
    lengths: Array = np.linalg.norm(matrix, axis=0)
    return np.where(lengths > 0, lengths, 1.0)

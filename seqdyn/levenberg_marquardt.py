"""Nonlinear least squares by damped Gauss–Newton steps (Levenberg–Marquardt), which never make the error larger.

δ = argmin ‖R δ − z‖² + λ ‖S δ‖²        S = diag of the lengths of R's columns
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from seqdyn.arrays import Array

LARGEST_DAMPING = 1e6
"""λ beyond which no step is worth trying."""


class Point(Protocol):
    """Somewhere in the space of models: one model, or several side by side."""

    @property
    def error(self) -> Any:
        """The sum of squares there, an array for several models; infinite where there is no model."""
        ...


Place = TypeVar("Place", bound=Point)
Linearised = Callable[[Place], tuple[Array, Array, Callable[[Array], Place]]]


def descended(
    place: Place,
    linearised: Callable[[Place], Callable[[Array], Place]],
    chosen: Callable[[Array, Place, Place], Place],
    iterations: int,
    trials: float = math.inf,
    tolerance: float = 1e-6,
) -> Place:
    """The place after damped steps: a smaller error divides λ by 10, any other multiplies it by 4 and is undone.

    ``linearised(place)`` gives ``step(λ)``, the place after a step with the damping of every model; ``chosen(better,
    new, old)`` gives the models of the new place where it is better, else those of the old one. There are at most
    ``iterations`` linearisations, and ``trials`` steps with those that are undone; a model is done where its error
    falls by less than the relative ``tolerance``.

    References
    ----------
    Marquardt (1963), An Algorithm for Least-Squares Estimation of Nonlinear Parameters.
    """
    damping, done = np.full(np.shape(place.error), 1e-3), np.zeros(np.shape(place.error), dtype=bool)
    while iterations and trials > 0 and not done.all():
        step, better, iterations = linearised(place), done & False, iterations - 1
        while trials > 0 and not (better.any() or done.all()):
            trial, trials = step(damping), trials - 1
            better = ~done & (trial.error < place.error)
            with np.errstate(invalid="ignore"):
                settled = place.error - trial.error <= tolerance * trial.error
            damping = np.where(better, damping / 10, damping * 4)
            done = done | (better & settled) | (damping > LARGEST_DAMPING)
            place = chosen(better, trial, place)
    return place


def minimised(point: Place, linearised: Linearised[Place], iterations: int = 50, tolerance: float = 1e-6) -> Place:
    """The point of one model after damped steps, each by the singular values of R.

    ``linearised(point)`` gives R and z about a point, and the function that makes a step from it.
    """

    def about(place: Place) -> Callable[[Array], Place]:
        matrix, target, move = linearised(place)
        step = _damped(matrix, target)
        return lambda damping: move(step(float(damping)))

    return descended(point, about, lambda better, new, old: new if better else old, iterations, tolerance=tolerance)


def _damped(matrix: Array, target: Array) -> Callable[[float], Array]:
    """The step for every damping, from one decomposition; least in length where it is not unique."""
    lengths = column_lengths(matrix)
    left, values, right = np.linalg.svd(matrix / lengths, full_matrices=False)
    seen = left.T @ target
    return lambda damping: (right.T @ (values / (values**2 + damping) * seen)) / lengths


def column_lengths(matrix: Array) -> Array:
    """The length of every column, 1 for columns of nothing."""
    lengths: Array = np.linalg.norm(matrix, axis=0)
    return np.where(lengths > 0, lengths, 1.0)

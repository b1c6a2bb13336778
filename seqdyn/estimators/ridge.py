"""Ridge regression from the triangle of a QR decomposition: exact updates, and nothing is lost to squaring.

    Q R = √w [1 Φ Y],   minimise Σ_t w_t ‖y_t − b − φ_t V‖² / Σ_t w_t + ρ Σ_ij (σ_i V_ij)²

The triangle R holds all that the data say of every ridge ρ: means, standard deviations σ, and singular values of the
standardised features. ΦᵀΦ, whose condition number is the square of that of Φ, is never formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqdyn.arrays import Array

ROWS_OF_A_BLOCK = 2**13
"""Rows in one decomposition: it bounds the copy that is made of them."""

CONSTANT = 1e-13
"""A feature that deviates from its mean by less than this share of it says nothing."""


class Affinity(NamedTuple):
    """An affine map, y = φ V + b: ``weight`` V (features, outputs) and ``bias`` b (outputs,)."""

    weight: Array
    bias: Array


@dataclass(frozen=True)
class Triangle:
    """R of weighted features and targets: an upper triangular ``matrix`` of 1 + features + outputs rows.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> half = Triangle.of(x[:10], 3 * x[:10] + 1, np.ones(10))
    >>> whole = half.joined(Triangle.of(x[10:], 3 * x[10:] + 1, np.ones(10)))
    >>> weight, bias = whole.solved([0.0])[0]
    >>> round(float(weight[0, 0]), 6), round(float(bias[0]), 6)
    (3.0, 1.0)
    """

    matrix: Array
    features: int

    @classmethod
    def of(cls, features: Array, targets: Array, weight: Array) -> Triangle:
        """The triangle of features (rows, features) and targets (rows, outputs), each row of a weight of at least 0."""
        width = 1 + features.shape[1] + targets.shape[1]
        matrix, counted = np.zeros((width, width)), np.flatnonzero(weight)
        for start in range(0, len(counted), ROWS_OF_A_BLOCK):
            rows = counted[start : start + ROWS_OF_A_BLOCK]
            table = np.column_stack([np.ones(len(rows)), features[rows], targets[rows]])
            matrix = _triangle(np.vstack([matrix, np.sqrt(weight[rows])[:, None] * table]))
        return cls(matrix, features.shape[1])

    def joined(self, other: Triangle) -> Triangle:
        """The triangle of the rows of both."""
        return Triangle(_triangle(np.vstack([self.matrix, other.matrix])), self.features)

    @property
    def total(self) -> float:
        """Σ_t w_t."""
        return float(self.matrix[0, 0] ** 2)

    def solved(self, ridges: Sequence[float]) -> list[Affinity]:
        """The solution of every ridge ρ, from one singular value decomposition; with ρ = 0 the one of smallest norm."""
        means, centred = self.matrix[0, 1:] / self.matrix[0, 0], self.matrix[1:, 1:] / np.sqrt(self.total)
        features, targets = centred[:, : self.features], centred[:, self.features :]
        deviation = np.linalg.norm(features, axis=0)
        deviation[deviation <= CONSTANT * np.abs(means[: self.features])] = np.inf
        left, values, right = np.linalg.svd(features / np.where(deviation > 0, deviation, np.inf), full_matrices=False)
        seen = left.T @ targets
        floor = np.finfo(np.float64).eps * max(self.features, 1) * values.max(initial=0.0)
        found = []
        for ridge in ridges:
            kept = values > (floor if ridge == 0 else 0)
            gain = np.where(kept, values, 0.0) / np.where(kept, values**2 + ridge, 1.0)
            weight = (right.T @ (gain[:, None] * seen)) / np.where(deviation > 0, deviation, np.inf)[:, None]
            found.append(Affinity(weight, means[self.features :] - means[: self.features] @ weight))
        return found

    def error(self, solution: Affinity) -> float:
        """The mean squared error of a solution on these rows, over outputs, too."""
        outputs = np.eye(len(solution.bias))
        residuals = self.matrix @ np.vstack([-solution.bias[None], -solution.weight, outputs])
        return float((residuals**2).sum() / (self.total * len(solution.bias)))


def _triangle(table: Array) -> Array:
    """R of a QR decomposition, square whatever the number of rows."""
    found = np.linalg.qr(table, mode="r")
    square = np.zeros((table.shape[1], table.shape[1]))
    square[: len(found)] = found
    return square

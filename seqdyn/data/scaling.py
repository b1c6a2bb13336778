"""Standardisation of features, fitted on the training part: z = (x − m) / s."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqdyn.arrays import Array
from seqdyn.facts import shown_by_facts


@shown_by_facts
@dataclass(frozen=True)
class Scaling:
    """An affine map per feature: z = (x − m) / s.

    Attributes
    ----------
    mean, scale : array, shape (features,)
        m, and s > 0 in the units of the data.
    """

    mean: Array
    scale: Array

    @classmethod
    def fit(cls, rows: Array) -> Scaling:
        """Fit mean and standard deviation of every feature, without NaN; a constant feature gets s = 1.

        Examples
        --------
        >>> Scaling.fit(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])).scale
        array([1., 1.])
        """
        rows = rows.astype(np.float64, copy=False)
        mean = np.nanmean(rows, axis=0)
        scale = np.nanstd(rows, axis=0)
        constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(mean, np.where(constant | (scale == 0), 1.0, scale))

    @classmethod
    def identity(cls, features: int) -> Scaling:
        """The map that changes nothing."""
        return cls(np.zeros(features), np.ones(features))

    def facts(self) -> dict[str, object]:
        """Return what the repr shows."""
        return {"mean": np.ravel(self.mean).tolist(), "scale": np.ravel(self.scale).tolist()}

    def apply(self, rows: Array) -> Array:
        """z from x."""
        return (rows - self.mean) / self.scale

    def invert(self, rows: Array) -> Array:
        """x from z."""
        return rows * self.scale + self.mean

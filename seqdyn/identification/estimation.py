"""Uncertainty of an estimated system: the covariance of its entries, its likelihood, and information criteria.

    Cov θ = σ² (JᵀJ)⁺ = Σ_j d_j d_jᵀ        J the derivatives of the errors by the entries θ

A root of the covariance is kept instead of the covariance: its columns d_j are changes of the system, and whatever is
asked of the system, a pole, a gain, a response, spreads as it changes along them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.facts import shown_by_facts, shown_by_shape


@shown_by_shape
class Directions(NamedTuple):
    """Changes of a system whose outer products sum up to the covariance of its entries.

    Every field is shaped as the system's own matrix, with a leading axis of the directions.
    """

    feedthrough: Array
    readout: Array
    input_map: Array
    transition: Array
    output_offset: Array
    state_offset: Array
    noise_gain: Array

    def of_inputs(self, inputs: int) -> Directions:
        """The same of a system that has the first inputs alone."""
        return self._replace(feedthrough=self.feedthrough[..., :inputs], input_map=self.input_map[..., :inputs])

    def in_basis(self, basis: Array, inverse: Array) -> Directions:
        """The same for h̃ = T h."""
        return self._replace(
            readout=self.readout @ inverse,
            input_map=basis @ self.input_map,
            transition=basis @ self.transition @ inverse,
            state_offset=self.state_offset @ basis.T,
            noise_gain=basis @ self.noise_gain,
        )

    def in_units(self, input_mean: Array, input_scale: Array, output_scale: Array) -> Directions:
        """The same between x and y, when these are between (x − m_x) / s_x and (y − m_y) / s_y."""
        feedthrough = self.feedthrough * output_scale[:, None] / input_scale
        input_map = self.input_map / input_scale
        return self._replace(
            feedthrough=feedthrough,
            readout=self.readout * output_scale[:, None],
            input_map=input_map,
            output_offset=self.output_offset * output_scale - feedthrough @ input_mean,
            state_offset=self.state_offset - input_map @ input_mean,
            noise_gain=self.noise_gain / output_scale,
        )


@shown_by_facts
@dataclass(frozen=True, eq=False, repr=False)
class Estimation:
    """Covariance, likelihood and criteria of a system that was estimated from data.

    Attributes
    ----------
    focus : {"prediction", "simulation"}
        Which error was made small: one step ahead, or of the free run.
    known : array of int, shape (outputs,)
        How many values of every output were known.
    parameters : int
        d: numbers that were free, n (2 l + m) + l m of a system of n states and m inputs, its offsets l, and the n of
        every record's start where that was estimated.
    log_likelihood : float
        ln L of the one-step errors, if they are Gaussian: −½ Σ_t (e_tᵀ R⁻¹ e_t + ln det 2πR).
    log_determinant : float
        ln det R of the covariance of the one-step errors.
    directions : Directions or None
        A root of the covariance of the entries; None where it was not computed.
    undetermined : Directions or None
        Changes of which the data tell nothing: what moves along them has no standard error but infinity.
    """

    focus: str
    known: Array
    parameters: int
    log_likelihood: float
    log_determinant: float
    directions: Directions | None = None
    undetermined: Directions | None = None

    def facts(self) -> dict[str, object]:
        """What a line or a small table shows: what was made small, on how many data, and how likely they are."""
        return {
            "focus": self.focus,
            "steps": self.steps,
            "parameters": self.parameters,
            "log_likelihood": self.log_likelihood,
            "standard_errors": self.directions is not None,
        }

    @property
    def steps(self) -> int:
        """T: the steps of the output that was known most often."""
        return int(np.max(self.known))

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 d − 2 ln L (Akaike 1974)."""
        return 2.0 * self.parameters - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, d ln T − 2 ln L (Schwarz 1978)."""
        return self.parameters * math.log(self.steps) - 2.0 * self.log_likelihood

    @property
    def fpe(self) -> float:
        """Akaike's final prediction error, det R (1 + d/T) / (1 − d/T) (Akaike 1969); inf where d ≥ T."""
        share = self.parameters / self.steps
        return math.exp(self.log_determinant) * (1 + share) / (1 - share) if share < 1 else math.inf

    def in_basis(self, basis: Array, inverse: Array) -> Estimation:
        """The same for h̃ = T h."""
        return self.changed(lambda along: along.in_basis(basis, inverse))

    def in_units(self, input_mean: Array, input_scale: Array, output_scale: Array) -> Estimation:
        """The same between x and y, when this is between (x − m_x) / s_x and (y − m_y) / s_y: densities change, too."""
        sizes = np.log(output_scale)
        return replace(
            self.changed(lambda along: along.in_units(input_mean, input_scale, output_scale)),
            log_likelihood=self.log_likelihood - float(self.known @ sizes),
            log_determinant=self.log_determinant + 2 * float(sizes.sum()),
        )

    def changed(self, change: Callable[[Directions], Directions]) -> Estimation:
        """The same estimation with its directions transformed."""
        found, unknown = (along and change(along) for along in (self.directions, self.undetermined))
        return replace(self, directions=found, undetermined=unknown)


def central_differences(change: Callable[[float, int], Array], count: int, step: float = 1e-4) -> Array:
    """A root of the covariance of a function of the system: central differences along all directions.

    ``change(size, j)`` is the function of the system moved by ``size`` standard deviations along direction j. Squares
    summed over the first axis are the variance, of a complex function that of real and imaginary part.
    """
    moved = [(change(step, j) - change(-step, j)) / (2 * step) for j in range(count)]
    return np.array(moved)

"""Transfer functions: every output as a ratio of polynomials in z, times an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqdyn.arrays import Array
from seqdyn.identification.channels import channel_names


@dataclass(frozen=True, eq=False)
class TransferFunction:
    """H_ij(z) = N_ij(z) / P(z): the ratios that a linear system is between its inputs and outputs.

    Attributes
    ----------
    numerators : array, shape (outputs, inputs, order + 1)
        Coefficients of N, the one of z^order first.
    denominator : array, shape (order + 1,)
        Coefficients of P, the characteristic polynomial of the transition that inputs reach and outputs show; the
        first is 1.
    dt : float
        Time between two steps.
    time_unit : str
    input_names, output_names : tuple of str
        Empty: they have none.

    Examples
    --------
    >>> print(TransferFunction(np.array([[[0.0, 2.0]]]), np.array([1.0, -0.5]), dt=0.1, time_unit="s"))
    input 1 → output 1
           2
        -------
        z - 0.5
    dt = 0.1 s
    """

    numerators: Array
    denominator: Array
    dt: float = 1.0
    time_unit: str = ""
    input_names: Sequence[str] = ()
    output_names: Sequence[str] = ()

    def __str__(self) -> str:
        outputs, inputs, _ = self.numerators.shape
        sources = channel_names(self.input_names, inputs, "input")
        goals = channel_names(self.output_names, outputs, "output")
        lines = []
        for row, goal in enumerate(goals):
            for column, source in enumerate(sources):
                lines += [f"{source} → {goal}", *_fraction(self.numerators[row, column], self.denominator)]
        return "\n".join([*lines, f"dt = {self.dt:g} {self.time_unit}".rstrip()])


def numerators(markov_parameters: Array, denominator: Array) -> Array:
    """N(z) = P(z) H(z), (outputs, inputs, order + 1): order + 1 Markov parameters h_k convolved with the denominator.

    N_k = Σ_{i ≤ k} p_i h_{k−i}        Kailath (1980), Linear Systems, section 2.3
    """
    terms = [np.tensordot(denominator[: k + 1], markov_parameters[k::-1], 1) for k in range(len(denominator))]
    return np.moveaxis(np.array(terms), 0, -1)


def _fraction(numerator: Array, denominator: Array) -> list[str]:
    """Three lines: one polynomial, a rule, the other."""
    above, below = _polynomial(numerator), _polynomial(denominator)
    if below == "1":
        return [f"    {above}"]
    width = max(len(above), len(below))
    return [f"    {part.center(width)}".rstrip() for part in (above, "-" * width, below)]


def _polynomial(coefficients: Array) -> str:
    """0.5 z^2 - z + 0.25: four digits, and no terms that are rounding."""
    written = ""
    for power, value in zip(reversed(range(len(coefficients))), coefficients, strict=True):
        if abs(value) <= 1e-12 * np.abs(coefficients).max():
            continue
        letter = "" if not power else "z" if power == 1 else f"z^{power}"
        size = "" if letter and f"{abs(value):.4g}" == "1" else f"{abs(value):.4g}"
        sign = ("-" if value < 0 else "") if not written else (" - " if value < 0 else " + ")
        written += sign + " ".join(part for part in (size, letter) if part)
    return written or "0"

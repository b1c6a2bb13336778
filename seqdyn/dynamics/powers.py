"""Powers of a constant transition at lags of any size, and how they grow before they decay.

    ‖D^k‖ → ρ^k in the long run, but on the way there it may grow by orders of magnitude, although ρ < 1

Lags are in steps, logarithms are natural.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import schur
from torch import Tensor

from seqdyn.arrays import EPSILON, Array
from seqdyn.checks import check_choice
from seqdyn.dynamics.products import Scaled, compose, log_norm, scaled

EIGENVALUE_ROUNDING = 10
"""In units of n ε ‖D‖: eigenvalues are computed to within it, by different processors differently."""
EVERY_LAG = 1024
"""Lags up to here are looked at one by one, later ones on a grid that grows by 2^(1/16)."""
LAST_LAG = 2**40
NEARLY_UNDERFLOWN = 1e-290
"""What is smaller beside entries of size 1 is about to underflow."""


def power_norms(matrix: Tensor | Array, lags: Sequence[int] | Tensor | Array, norm: str = "spectral") -> Tensor:
    """The norms of the powers of a constant transition, ln ‖D^k‖.

    Parameters
    ----------
    matrix : Tensor or array, shape (n, n)
        D, real and finite.
    lags : sequence of int, at least 0
        k, in steps, in any order and of any size: nothing overflows.
    norm : {"spectral", "frobenius"}
        The largest singular value, or the root of the sum of their squares.

    Returns
    -------
    Tensor of float64, shape (lags,)
        Natural logarithms, −∞ where the power is 0.

    Raises
    ------
    ValueError
        If the matrix is not square, real and finite, if ‖D^k‖ exceeds ρ^k by more than 1e290, or if a lag is no int of
        at least 0.

    Notes
    -----
    D = Q T Qᵀ with T (real Schur form) block triangular, so ‖D^k‖ = ‖T^k‖. T^k is the product of T^1, T^2, T^4, …, each
    kept as a :class:`~seqdyn.dynamics.products.Scaled` matrix. Errors of the logarithm grow as k ε times the condition
    of the eigenvalues.
    V Λ^k V⁻¹ was no more accurate in any case that was tried, and wrong by up to 1e9 times as much at short lags where
    V is ill-conditioned; powers of D itself go wrong for good where D is far from normal.

    References
    ----------
    Golub & Van Loan (2013), Matrix Computations, section 9.1 on functions of matrices.

    Examples
    --------
    >>> import torch
    >>> power_norms(torch.diag(torch.tensor([0.5, 0.25])), [1, 1_000_000])
    tensor([-6.9315e-01, -6.9315e+05], dtype=torch.float64)
    """
    check_choice("norm", norm, ("spectral", "frobenius"))
    wanted = _checked_powers(lags)
    powers = _Powers(schur(checked_transition(matrix), output="real")[0])
    found = {lag: float(log_norm(power, norm)) for lag, power in powers.walk(sorted(set(wanted)))}
    return torch.tensor([found[lag] for lag in wanted], dtype=torch.float64)


class _Powers:
    """The powers of a real Schur form; squares are made once."""

    def __init__(self, blocks: Array):
        self.squares = [scaled(torch.from_numpy(blocks))]
        self.one = scaled(torch.eye(len(blocks), dtype=torch.float64))

    def power(self, lag: int) -> Scaled:
        """T^lag, from the squares of its binary digits."""
        result = self.one
        for place in range(lag.bit_length()):
            if lag >> place & 1:
                result = self._square(place) if result is self.one else compose(result, self._square(place))
        return result

    def walk(self, lags: Sequence[int]) -> Iterator[tuple[int, Scaled]]:
        """The powers at rising lags, each from the one before."""
        last, power = 0, self.one
        for lag in lags:
            power = compose(power, self.power(lag - last)) if last else self.power(lag)
            last = lag
            self._check(power)
            yield lag, power

    def _check(self, power: Scaled) -> None:
        """Refuse to go on where the eigenvalues have been lost beside what stands above them."""
        if _on_diagonal(self.squares[0]) > 0 and _on_diagonal(power) < NEARLY_UNDERFLOWN:
            raise ValueError(
                "The norms of the powers of matrix exceed those of its eigenvalues by more than 1e290: the matrix is "
                "too far from normal for float64. Change the units of its variables so that they are of one size."
            )

    def _square(self, place: int) -> Scaled:
        """T^(2^place)."""
        while len(self.squares) <= place:
            self.squares.append(compose(self.squares[-1], self.squares[-1]))
        return self.squares[place]


def _on_diagonal(power: Scaled) -> float:
    """The largest entry in the diagonal blocks of the Schur form, where the eigenvalues are."""
    matrix = power.matrix.numpy()
    below = np.abs(np.diag(matrix, -1)).max(initial=0.0)
    return max(float(np.abs(np.diag(matrix)).max()), float(below))


class PowerGrowth(NamedTuple):
    """The largest ‖D^k‖ over k ≥ 1, its lag, and the first lag at which the norm is below 1."""

    peak: float
    peak_lag: int | None
    first_below_one: int | None


UNBOUNDED = PowerGrowth(math.inf, None, None)


def power_growth(blocks: Array, radius: float, gain: float) -> PowerGrowth:
    """How the powers of a real Schur form grow before they decay, from its spectral radius ρ and its norm σ_1."""
    powers = _Powers(blocks)
    margin = EIGENVALUE_ROUNDING * len(powers.one.matrix) * EPSILON * max(1.0, gain)
    if radius > 1 + margin:
        return UNBOUNDED
    if radius < 1 - margin:
        return _search(powers, decays=True)
    doubling = float(log_norm(powers.power(2**20))) - float(log_norm(powers.power(2**19)))
    return UNBOUNDED if doubling > 0.1 else _search(powers, decays=False)


def _search(powers: _Powers, decays: bool) -> PowerGrowth:
    """Walk along the lags up to the first norm below 1, or up to 2^20 if there is none."""
    before, best, peak_lag = 0, -math.inf, 1
    last = LAST_LAG if decays else 2**20
    rounding = EIGENVALUE_ROUNDING * len(powers.one.matrix) * EPSILON
    for lag, power in powers.walk(list(_grid(last))):
        if power.log > best or (decays and _may_be_below_one(power)):
            norm = float(log_norm(power))
            if norm > best + rounding * lag:  # else it is the same peak again
                best, peak_lag = norm, lag
            if decays and norm < 0:
                return _between_grid_points(powers, best, peak_lag, before, lag)
        before = lag
    return _between_grid_points(powers, best, peak_lag, None, None)


def _may_be_below_one(power: Scaled) -> bool:
    """Whether ‖D^k‖ < 1 cannot be ruled out: no column is longer than the norm."""
    return bool(power.log + torch.linalg.vector_norm(power.matrix, dim=0).max().log() < 0)


def _grid(last: int) -> Iterator[int]:
    """Every lag up to 1024, then sixteen an octave."""
    yield from range(1, EVERY_LAG + 1)
    for step in range(1, 16 * (int(math.log2(last / EVERY_LAG))) + 1):
        yield round(EVERY_LAG * 2 ** (step / 16))


def _between_grid_points(
    powers: _Powers, best: float, peak_lag: int, before: int | None, below: int | None
) -> PowerGrowth:
    """Look between the points of the grid, where it left some out."""
    if peak_lag > EVERY_LAG:
        best, peak_lag = _summit(powers, peak_lag)
    if below is not None and before is not None:
        while below - before > 1:
            middle = (before + below) // 2
            before, below = (before, middle) if float(log_norm(powers.power(middle))) < 0 else (middle, below)
    return PowerGrowth(math.exp(best), peak_lag, below)


def _summit(powers: _Powers, around: int) -> tuple[float, int]:
    """The largest norm near a point of the grid, by grids that close in on it."""
    step = max(1, around // 16)
    while True:
        lags = sorted({max(1, around + round(step * offset / 8)) for offset in range(-8, 9)})
        norms = [float(log_norm(powers.power(lag))) for lag in lags]
        index = int(np.argmax(norms))
        if step == 1:
            return norms[index], lags[index]
        around, step = lags[index], max(1, step // 4)


def checked_transition(matrix: Any) -> Array:
    """The matrix as an array of float64, after it has been found square, real and finite."""
    values = matrix.detach().cpu() if isinstance(matrix, Tensor) else torch.tensor(np.asarray(matrix))
    shape = tuple(values.shape)
    if values.dim() != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"matrix has shape {shape}, expected (n, n): a constant transition D, h_t = D h_{{t-1}}.")
    if values.is_complex():
        raise ValueError(f"matrix has dtype {values.dtype}, expected real numbers: write it as [[Re, −Im], [Im, Re]].")
    values = values.to(torch.float64)
    if not values.isfinite().all():
        raise ValueError(f"matrix {shape} holds {int((~values.isfinite()).sum())} values that are not finite.")
    return values.numpy()


def _checked_powers(lags: Any) -> list[int]:
    """The lags as ints."""
    values = np.asarray(lags.cpu() if isinstance(lags, Tensor) else lags)
    if values.ndim != 1 or (values.size and (values.dtype.kind not in "iu" or values.min() < 0)):
        raise ValueError(f"lags must be a sequence of ints of at least 0, got {lags!r}.")
    return [int(value) for value in values]

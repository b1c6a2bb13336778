"""Products of many Jacobians on a logarithmic scale, and their norms.

    P_{s,t} = ∂h_t/∂h_s = J_t J_{t-1} … J_{s+1}:   t − s factors, the newest on the left

Five hundred factors of norm 0.2 or 5 leave the range of float64. A :class:`Scaled` matrix keeps its size apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.facts import shown_by_shape

SMALLEST_TRUSTED = 1e-100
"""Sizes below it, and above its inverse, are not trusted: some of their squares are out of range."""


@shown_by_shape
class Scaled(NamedTuple):
    """The matrix e^log · matrix, with ‖matrix‖_F = 1.

    Zero is the zero matrix with log −∞.

    Attributes
    ----------
    matrix : Tensor, shape (..., n, m)
    log : Tensor, shape (...)
        Natural logarithm.
    """

    matrix: Tensor
    log: Tensor

    def at(self, *index: Any) -> Scaled:
        """Those at an index over the leading axes, from the first on."""
        return Scaled(self.matrix[index], self.log[index])


def scaled(matrix: Tensor) -> Scaled:
    """The matrix with its size kept apart."""
    size = torch.linalg.vector_norm(matrix, dim=(-2, -1))
    if ((size > SMALLEST_TRUSTED) & (size < 1 / SMALLEST_TRUSTED)).all():
        return Scaled(matrix / size[..., None, None], size.log())
    peak = torch.linalg.vector_norm(matrix, torch.inf, dim=(-2, -1))  # the squares may have under- or overflowed
    matrix = matrix / torch.where(peak == 0, 1.0, peak)[..., None, None]
    size = torch.linalg.vector_norm(matrix, dim=(-2, -1))
    return Scaled(matrix / torch.where(size == 0, 1.0, size)[..., None, None], peak.log() + size.log())


def compose(later: Scaled, earlier: Scaled) -> Scaled:
    """The product later · earlier, P_{s,u} = P_{t,u} P_{s,t}.

    It is associative, so a long product may be taken in any grouping, but not in any order.

    Parameters
    ----------
    later, earlier : Scaled
        With leading axes that broadcast.

    Returns
    -------
    Scaled

    Examples
    --------
    0.5^{2000}, far below the smallest float64:

    >>> import torch
    >>> half = Scaled(torch.ones(1, 1), 1000 * torch.tensor(0.5).log())
    >>> round(compose(half, half).log.item() / torch.tensor(0.5).log().item())
    2000
    """
    product = scaled(later.matrix @ earlier.matrix)
    return Scaled(product.matrix, product.log + later.log + earlier.log)


def total(factors: Scaled) -> Scaled:
    """The product of all factors along the last leading axis, which is time: the last one stands on the left.

    Parameters
    ----------
    factors : Scaled, shape (..., time, n, n)
        At least one.

    Returns
    -------
    Scaled, shape (..., n, n)

    Examples
    --------
    >>> import torch
    >>> halves = Scaled(torch.ones(3, 1, 1), torch.tensor(0.5).log().expand(3))
    >>> total(halves).log.exp()  # 0.5³
    tensor(0.1250)
    """
    matrix, log = factors
    while (count := log.shape[-1]) > 1:
        even = count - count % 2
        later, earlier = (Scaled(matrix[..., i:even:2, :, :], log[..., i:even:2]) for i in (1, 0))
        matrix, log = joined(compose(later, earlier), Scaled(matrix[..., even:, :, :], log[..., even:]))
    return Scaled(matrix[..., 0, :, :], log[..., 0])


def joined(first: Scaled, second: Scaled) -> Scaled:
    """The matrices of both, along the last leading axis."""
    return Scaled(torch.cat([first.matrix, second.matrix], -3), torch.cat([first.log, second.log], -1))


def log_norm(product: Scaled, norm: str = "spectral") -> Tensor:
    """The logarithm of a norm, ln ‖e^log · matrix‖, in nats; −∞ for a zero matrix, NaN where an entry is not finite.

    "spectral": σ_1, the largest factor by which a vector grows; "frobenius": (Σ σ_i²)^½, which costs nothing here.

    ln σ_1 is half the logarithm of the largest eigenvalue of M'M: exact to rounding, for squaring the singular values
    costs the small ones their digits, never the largest one.
    """
    finite = torch.isfinite(product.matrix).all(-1).all(-1)
    if norm == "frobenius":
        return torch.where(finite, product.log, torch.nan)
    matrix = torch.where(finite[..., None, None], product.matrix, 0.0)
    largest = torch.linalg.eigvalsh(matrix.mT @ matrix)[..., -1].clamp(min=0)
    return torch.where(finite, largest.log() / 2 + product.log, torch.nan)

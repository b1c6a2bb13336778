"""Singular values of a whole product, P = J_{T-1} … J_0 = ∂h_{T-1}/∂h_{-1}: which directions survive, and how much.

Those of a rescaled product are exact at the top and garbage at the bottom: 500 steps spread them over more decades
than a float has. QR factors of one step at a time do not lose the small ones, if their sizes are kept row by row.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.checks import check_count
from seqdyn.dynamics.lyapunov import log_diagonal
from seqdyn.dynamics.products import Scaled, compose, log_norm, scaled, total
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.facts import shown_by_shape
from seqdyn.state import State

if TYPE_CHECKING:
    from seqdyn.cell import Cell

SWEEPS = 60
"""QR sweeps over a triangle at most, until it is diagonal; singular values apart by a factor e need about ten."""

SHORT_ENOUGH = 10
"""Stretches of so few steps are multiplied out: the gap between σ_1 and σ_2 may not have opened yet."""


def transition_singular_values(
    cell: Cell, x: Any, state: State | None = None, *, rounds: int | None = None, seed: int = 0
) -> Tensor:
    """The logarithms of all singular values of P_{-1,T-1} = ∂h_{T-1}/∂h_{-1}, over the whole of x.

    QR backward in time, Q ← qr(J_t' Q), turns Q towards the right singular directions; see
    :func:`graded_singular_values` for what follows.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None.
    rounds : int, optional
        Deprecated: one pass backward and one forward are enough.
    seed : int
        Draws the first Q; the result does not depend on it.

    Returns
    -------
    Tensor, shape (batch, n)
        In nats, falling; −∞ for directions that are lost altogether, NaN where a Jacobian is not finite.

    Raises
    ------
    ValueError
        If input or state do not fit the cell, or the cell has no memory.

    Notes
    -----
    It takes 2 · batch · time factorisations of n × n matrices beside the Jacobians, and holds one stretch of these.

    References
    ----------
    Stewart (1997), On graded QR decompositions of products of matrices.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> halving = ExponentialMovingAverage(2, gamma=0.5)
    >>> transition_singular_values(halving, torch.zeros(1, 2000, 2)) / 2000
    tensor([[-0.6931, -0.6931]], dtype=torch.float64)
    """
    if rounds is not None:
        check_count("rounds", rounds)
        warnings.warn("rounds has no effect any more: one pass is exact. Leave it out.", FutureWarning, stacklevel=2)
    trajectory = Trajectory(cell, x, state)
    Q = _orthogonal(trajectory, seed)
    for stretch in trajectory.backward():
        for J in reversed(stretch.jacobians().unbind(1)):
            Q = torch.linalg.qr(J.mT @ Q).Q
    factors = (J for stretch in trajectory.forward() for J in stretch.jacobians().unbind(1))
    return with_leading(_whole_product(trajectory), graded_singular_values(factors, Q))


def graded_singular_values(factors: Iterable[Tensor], axes: Tensor) -> Tensor:
    """The logarithms of the singular values of a product J_m … J_1, in nats, falling, the small ones too.

        J_t Q_{t-1} = Q_t R_t,   R_m … R_1 = diag(e^ℓ) U

    The factors and ``axes``, the orthogonal Q_0, are (rows, n, n). U is a triangle with ones on its diagonal, nearly
    diagonal if Q_0 is near the right singular directions. QR sweeps over its transpose make it so; −∞ stands for
    directions that are lost altogether. Stewart (1997), On graded QR decompositions of products of matrices.

    Examples
    --------
    >>> import torch
    >>> shrinking = torch.tensor([[[1.0, 1.0], [0.0, 1e-5]]], dtype=torch.float64)
    >>> found = graded_singular_values([shrinking] * 100, torch.eye(2, dtype=torch.float64)[None])
    >>> round(found.sum().item() / 100, 6)
    -11.512925
    """
    sizes, identity = axes.new_zeros(axes.shape[:2]), torch.eye(axes.shape[-1], dtype=axes.dtype)
    shape = identity.expand_as(axes)
    for J in factors:
        axes, triangle = torch.linalg.qr(J @ axes)
        signs = triangle.diagonal(dim1=-2, dim2=-1).sign() + (triangle.diagonal(dim1=-2, dim2=-1) == 0)
        axes = axes * signs.unsqueeze(-2)  # a triangle with a positive diagonal, as the logarithms say it is
        sizes, shape = _graded_product(triangle * signs.unsqueeze(-1), sizes, shape)
    for _ in range(SWEEPS):
        if not (shape.triu(1).abs() >= 1e-8).any():
            break
        sizes, shape = _graded_product(torch.linalg.qr(shape.mT).R, sizes, identity)
    return sizes.sort(-1, descending=True).values


def _graded_product(triangle: Tensor, sizes: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """R diag(e^sizes) shape = diag(e^new sizes) new shape, with ones on the diagonal of the new shape.

    A row that has died is left with its 1: what is beside it has died as well.
    """
    growth = log_diagonal(triangle)
    dead = growth.isneginf().unsqueeze(-1)
    diagonal = torch.where(dead, 1.0, triangle.diagonal(dim1=-2, dim2=-1).unsqueeze(-1))
    ratios = (sizes.unsqueeze(-2) - sizes.unsqueeze(-1)).nan_to_num(nan=-torch.inf, posinf=0.0).triu(1)
    unit = torch.where(dead, 0.0, (triangle / diagonal).triu(1) * ratios.exp()) + torch.eye(sizes.shape[-1]).to(sizes)
    return sizes + growth, unit @ shape


def leading_singular_value(
    cell: Cell, x: Any, state: State | None = None, *, iterations: int = 4, seed: int = 0
) -> Tensor:
    """ln σ_1 of P_{-1,T-1} = ∂h_{T-1}/∂h_{-1} by power iteration on P'P, without a product of matrices.

    Each iteration carries one vector forward, v ← J_t v, and back, v ← J_t' v, and renormalises it at every step.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None.
    iterations : int of at least 1
        There and back; two or three are enough over a hundred steps.
    seed : int
        Draws the first vector.

    Returns
    -------
    Tensor, shape (batch,)
        In nats; from below. Over ten steps or fewer the product is formed and the value exact.

    Raises
    ------
    ValueError
        If ``iterations`` is below 1, input or state do not fit the cell, or the cell has no memory.

    Notes
    -----
    O(T n²) an iteration beside the Jacobians, where the product takes O(T n³): for wide states. The error falls like
    (σ_2/σ_1)^{4 iterations}, and the ratio shrinks exponentially with the length of x.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> cell = Linear(1, 2).double()
    >>> cell.transition.data = torch.diag(torch.tensor([0.5, 0.1], dtype=torch.float64))
    >>> leading_singular_value(cell, torch.zeros(1, 2000, 1)) / 2000
    tensor([-0.6931], dtype=torch.float64)
    """
    check_count("iterations", iterations)
    trajectory = Trajectory(cell, x, state)
    if trajectory.time <= SHORT_ENOUGH:
        return log_norm(_whole_product(trajectory))
    vector = _orthogonal(trajectory, seed)[..., :1]
    for _ in range(iterations):
        vector = _carried_back(trajectory, vector)
        vector, log = _carried_forward(trajectory, vector)
    return log


@shown_by_shape
class Condition(NamedTuple):
    """How many directions survive.

    Attributes
    ----------
    log_condition : Tensor, shape (...)
        ln σ_1 − ln σ_n in nats; +∞ where a direction is lost altogether.
    effective_rank : Tensor, shape (...)
        exp(−Σ p_i ln p_i) with p_i = σ_i² / Σ σ_j², from 1 to n; 0 where nothing is left.
    """

    log_condition: Tensor
    effective_rank: Tensor


def condition(log_singular_values: Tensor) -> Condition:
    """Condition number and effective rank, from the logarithms of singular values.

    Parameters
    ----------
    log_singular_values : Tensor, shape (..., n)
        In nats, in any order, as from :func:`transition_singular_values`.

    Returns
    -------
    Condition

    Raises
    ------
    ValueError
        If there are no singular values.

    References
    ----------
    Engelken (2023), Gradient flossing, for the condition number; Roy & Vetterli (2007), The effective rank.

    Examples
    --------
    Of four directions two survive, 10⁴⁰⁰ times larger than the others:

    >>> import torch
    >>> found = condition(torch.tensor([921.0, 921.0, 0.0, 0.0], dtype=torch.float64))
    >>> found.log_condition.item(), round(found.effective_rank.item(), 6)
    (921.0, 2.0)
    """
    if not log_singular_values.dim() or not log_singular_values.shape[-1]:
        raise ValueError(f"log_singular_values must be (..., n) with n ≥ 1, got {tuple(log_singular_values.shape)}.")
    largest, smallest = log_singular_values.amax(-1), log_singular_values.amin(-1)
    gone = largest == -torch.inf
    relative = 2 * (log_singular_values - torch.where(gone, 0.0, largest).unsqueeze(-1))
    shares = torch.softmax(torch.where(gone.unsqueeze(-1), 0.0, relative), -1)
    rank = torch.special.entr(shares).sum(-1).exp()
    return Condition(torch.where(gone, torch.inf, largest - smallest), torch.where(gone, 0.0, rank))


def _orthogonal(trajectory: Trajectory, seed: int) -> Tensor:
    """A random orthogonal matrix a sequence, (batch, n, n)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (trajectory.batch, trajectory.width, trajectory.width)
    return torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64)).Q


def _whole_product(trajectory: Trajectory) -> Scaled:
    """P over the whole trajectory."""
    product: Scaled | None = None
    for stretch in trajectory.forward():
        passed = total(scaled(stretch.jacobians()))
        product = passed if product is None else compose(passed, product)
    assert product is not None
    return product


def with_leading(product: Scaled, found: Tensor) -> Tensor:
    """The singular values that a product of matrices keeps, falling, and after them those found; NaN if it has one."""
    finite = product.matrix.isfinite().all(-1).all(-1, keepdim=True)
    values = torch.linalg.svdvals(torch.where(finite.unsqueeze(-1), product.matrix, 0.0))
    kept = values > values[:, :1] * torch.finfo(values.dtype).eps ** 0.5
    whole = torch.where(kept, values.log() + product.log.unsqueeze(1), found).cummin(1).values
    return torch.where(finite, whole, torch.nan)


def _carried_forward(trajectory: Trajectory, vector: Tensor) -> tuple[Tensor, Tensor]:
    """Forward through time: the direction of P v, and ln ‖P v‖ of a unit vector v."""
    log = torch.zeros(len(vector), dtype=vector.dtype)
    for stretch in trajectory.forward():
        for J in stretch.jacobians().unbind(1):
            vector, grown = scaled(J @ vector)
            log += grown
    return vector, log


def _carried_back(trajectory: Trajectory, vector: Tensor) -> Tensor:
    """Backward through time: the direction of P' v."""
    for stretch in trajectory.backward():
        for J in reversed(stretch.jacobians().unbind(1)):
            vector = scaled(J.mT @ vector).matrix
    return vector

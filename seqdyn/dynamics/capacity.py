"""How many past inputs a state holds: the linear memory capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from scipy.stats import chi2
from torch import Tensor

from seqdyn.dynamics.trajectory import Trajectory, check_cell, double
from seqdyn.facts import shown_by_shape
from seqdyn.state import flatten, leaves, map_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

ROWS_A_NUMBER = 20
"""States per width of the state that the regressions see."""

CHANCE = 0.01
"""Probability that noise passes for memory at any lag."""

CAPACITY_RANK = 1e-12
"""Singular values of the states below this share of the largest carry nothing but rounding."""


@shown_by_shape
class MemoryCapacity(NamedTuple):
    """How well a linear readout of h_t recalls the inputs before it.

    Attributes
    ----------
    by_lag : Tensor, shape (inputs, lags)
        r²(k) of the best linear readout of x_{t-k} from h_t, k = 0, 1, …; in [0, 1], 0 where it is no better than
        chance.
    total : float
        MC = Σ r²(k) over lags and inputs, at most n.
    """

    by_lag: Tensor
    total: float


def memory_capacity(
    cell: Cell,
    *,
    mean: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
    steps: int | None = None,
    longest: int | None = None,
    seed: int = 0,
) -> MemoryCapacity:
    """The linear memory capacity under independent normal inputs: MC = Σ_k r²(k) ≤ n.

    Parameters
    ----------
    cell : Cell
        Of at least one input; it is not changed.
    mean, scale : float or Tensor, shape (inputs,)
        Of the inputs that drive it: those of the data. A cell that is not linear remembers weak inputs longer.
    steps : int, optional
        States the regressions see; max(1000, 20 n) if None.
    longest : int, optional
        The longest lag k; max(100, 2 n) if None.
    seed : int
        Of the inputs.

    Returns
    -------
    MemoryCapacity

    Raises
    ------
    ValueError
        If the cell takes no input, or there are fewer than 2 n states.

    Notes
    -----
    r² is corrected for the number of its regressors, r̄² = 1 − (1 − r²)(T − 1)/(T − n − 1), and counts as 0 where noise
    alone would reach it at one of all lags with a probability of 1 %: without that the sum would grow with the lags.

    References
    ----------
    Jaeger (2001), Short term memory in echo state networks; Dambre et al. (2012), Information processing capacity of
    dynamical systems.

    Examples
    --------
    A window of 5 holds the last four inputs:

    >>> from seqdyn.cells.moving_average import MovingAverage
    >>> round(memory_capacity(MovingAverage(1, window=5)).total, 6)
    4.0
    """
    check_cell(cell)
    like = double(map_leaves(lambda leaf: leaf[:, 0], cell.alone(1, 1)))
    if not all(leaf.is_floating_point() for leaf in leaves(like)):
        raise ValueError(f"{type(cell).__name__} takes whole numbers: there is no correlation with them.")
    inputs = flatten(like).shape[1]
    if not inputs:
        raise ValueError(f"{type(cell).__name__} takes no input: there is nothing for it to remember.")
    width = Trajectory(cell, cell.alone(1, 1)).width
    steps = max(1000, ROWS_A_NUMBER * width) if steps is None else steps
    longest = max(100, 2 * width) if longest is None else longest
    if steps < 2 * width:
        raise ValueError(
            f"steps={steps} states are too few to measure the memory of {width} numbers: take at least {2 * width}."
        )
    drawn = torch.randn(longest + steps, inputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis = _basis(cell, unflatten(mean + scale * drawn, like), steps)
    noise = float(chi2.isf(CHANCE / (longest * inputs), basis.shape[1])) / steps
    pasts = (drawn[longest - lag : longest - lag + steps] for lag in range(longest))
    by_lag = torch.stack([_recall(basis, past, noise) for past in pasts], 1)
    return MemoryCapacity(by_lag, float(by_lag.sum()))


def _basis(cell: Cell, x: Any, steps: int) -> Tensor:
    """Orthonormal columns (steps, rank) that span the centred states of the last steps, one row a step."""
    driving = map_leaves(lambda leaf: leaf.unsqueeze(0), x)
    states = torch.cat([stretch.states()[0] for stretch in Trajectory(cell, driving).forward()])[-steps:]
    left, singular, _ = torch.linalg.svd(states - states.mean(0), full_matrices=False)
    return left[:, singular > CAPACITY_RANK * singular.max()]


def _recall(basis: Tensor, past: Tensor, noise: float) -> Tensor:
    """The corrected r² of every column of the past, (inputs,)."""
    past = past - past.mean(0)
    raw = (basis.T @ past).square().sum(0) / past.square().sum(0)
    steps, rank = basis.shape
    corrected = 1 - (1 - raw) * (steps - 1) / (steps - rank - 1)
    return torch.where(raw > noise, corrected.clamp(0, 1), 0.0)

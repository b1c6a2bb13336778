"""Growth of disturbances: norms of P_{s,t} = J_t … J_{s+1} by lag, and as a map over (s, t)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.checks import check_choice, check_count
from seqdyn.dynamics.gradients import known_quantiles
from seqdyn.dynamics.lag_products import LagProducts
from seqdyn.dynamics.products import Scaled, compose, joined, log_norm, scaled, total
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.facts import shown_by_shape
from seqdyn.state import State

if TYPE_CHECKING:
    from seqdyn.cell import Cell

NUMBERS_HELD = 2**25
"""About how many entries of products are held while a trajectory goes by: 256 MiB."""


@shown_by_shape
class TransitionNorms(NamedTuple):
    """ln ‖P_{s,s+k}‖ in nats, for every lag k at many starts s.

    Attributes
    ----------
    lags : tuple of int
        k, in steps.
    starts : list of Tensor, one a lag, shape (starts,)
        s; −1 is the state before the first step.
    log_norms : list of Tensor, one a lag, shape (batch, starts)
        Natural logarithms; −∞ where nothing is left, NaN where an entry is not finite.
    """

    lags: tuple[int, ...]
    starts: list[Tensor]
    log_norms: list[Tensor]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many starts each lag has."""
        return tuple(len(starts) for starts in self.starts)

    def quantiles(self, levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> Tensor:
        """Quantiles over starts and sequences together, (lags, levels), in nats.

        Parameters
        ----------
        levels : sequence of float in [0, 1]

        Returns
        -------
        Tensor, shape (lags, levels)
            Linear between neighbours; −∞ beside −∞; NaN where any value is.
        """
        columns = [values.flatten().unsqueeze(1) for values in self.log_norms]
        found = torch.cat([known_quantiles(column, levels) for column in columns])
        unknown = torch.stack([column.isnan().any() for column in columns])
        return torch.where(unknown.unsqueeze(1), torch.nan, found)

    @property
    def median(self) -> Tensor:
        """The median over starts and sequences together, (lags,), in nats."""
        return self.quantiles((0.5,))[:, 0]


def transition_norms(
    cell: Cell,
    x: Any,
    state: State | None = None,
    *,
    lags: str | Sequence[int] = "dyadic",
    norm: str = "spectral",
    starts: int | None = None,
    numbers: int = NUMBERS_HELD,
) -> TransitionNorms:
    """How much a small disturbance of the state can grow in k steps: ln ‖P_{s,s+k}‖ at many starts s.

        A_1(s) = J_{s+1},   A_{j+k}(s) = A_k(s+j) A_j(s),   A_k(s) = P_{s,s+k} = ∂h_{s+k}/∂h_s

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None.
    lags : "dyadic" or increasing ints in [1, time]
        k; dyadic are 1, 2, 4, … up to time.
    norm : {"spectral", "frobenius"}
        σ_1, exactly, or (Σ σ_i²)^½, which is much cheaper.
    starts : int, optional
        At about how many starts, evenly spread, a norm is taken; at all that there are if None.
    numbers : int
        About how many numbers may be held at a time.

    Returns
    -------
    TransitionNorms
        Natural logarithms.

    Raises
    ------
    ValueError
        If lags do not increase or do not fit the time, the norm is unknown, ``starts`` is not positive, input or
        state do not fit the cell, or the cell has no memory.

    Notes
    -----
    A lag k has the starts −1, …, time − 1 − k. Where products at all of them would not fit into ``numbers``, long
    lags keep to a grid of starts whose step is a power of two and at most k: the values on the grid are the same.
    ``starts`` also thins the products that nobody asks for. ``counts`` says how many starts each lag used.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks, eq. (5).

    Examples
    --------
    A spectral radius of 0.9, and yet a disturbance grows almost 39-fold before it decays:

    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> cell = Linear(1, 2).double()
    >>> cell.transition.data = torch.tensor([[0.9, 10.0], [0.0, 0.9]], dtype=torch.float64)
    >>> norms = transition_norms(cell, torch.zeros(1, 100, 1), lags=[1, 9, 62, 63])
    >>> [round(value, 3) for value in norms.median.exp().tolist()]
    [10.08, 38.746, 1.003, 0.917]
    """
    check_choice("norm", norm, ["spectral", "frobenius"])
    trajectory = Trajectory(cell, x, state, numbers=numbers // 32)  # what is held is copied once a stretch: seldom
    wanted = _checked_lags(lags, trajectory.time)
    if starts is not None:
        check_count("starts", starts, 1)
    ladder = LagProducts(wanted, trajectory, starts, numbers)
    chosen = {lag: ladder.starts(lag, starts) for lag in wanted}
    values = {lag: torch.empty(trajectory.batch, len(at), dtype=torch.float64) for lag, at in chosen.items()}
    for lag, begin, products in ladder.climb():
        if lag in chosen:
            here, places = ladder.within(lag, chosen[lag], begin, products)
            if len(places):
                values[lag][:, here] = log_norm(products.at(slice(None), places), norm)
    return TransitionNorms(wanted, [chosen[lag] - 1 for lag in wanted], [values[lag] for lag in wanted])


def _checked_lags(lags: str | Sequence[int], time: int) -> tuple[int, ...]:
    if isinstance(lags, str):
        check_choice("lags", lags, ["dyadic"])
        return tuple(1 << power for power in range(time.bit_length()))
    lags = list(lags) if isinstance(lags, Iterable) else [lags]
    whole = [lag for lag in lags if isinstance(lag, Integral) and not isinstance(lag, bool)]
    if not whole or len(whole) < len(lags) or any(a >= b for a, b in pairwise([0, *whole])):
        raise ValueError(f'lags must be "dyadic" or increasing ints of at least 1, got {lags!r}.')
    if whole[-1] > time:
        raise ValueError(f"lags reach {whole[-1]}, but x has only {time} steps: leave out those above {time}.")
    return tuple(int(lag) for lag in whole)


@shown_by_shape
class TransitionMap(NamedTuple):
    """ln ‖P_{s,t}‖ in nats, for pairs of times s ≤ t.

    Attributes
    ----------
    times : Tensor, shape (anchors,)
        The numbers of the steps; −1 is the state before the first one.
    log_norms : Tensor, shape (batch, anchors, anchors)
        s down the rows, t along the columns; 0 on the diagonal, NaN for s > t.
    """

    times: Tensor
    log_norms: Tensor


def transition_map(cell: Cell, x: Any, state: State | None = None, *, anchors: int = 64) -> TransitionMap:
    """How much a disturbance at time s can grow until time t: ln ‖P_{s,t}‖ in nats, for all pairs of a few times.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None.
    anchors : int of at least 2
        How many times, evenly spread from −1 to the last step; fewer where there are fewer steps.

    Returns
    -------
    TransitionMap
        Spectral norms, exactly.

    Raises
    ------
    ValueError
        If ``anchors`` is below 2, input or state do not fit the cell, or the cell has no memory.

    Notes
    -----
    It holds anchors · batch · n² numbers, whatever the time, and takes batch · anchors² / 2 eigenvalue problems:
    for 8 sequences at n = 128 about 14 s with 64 anchors and 4 s with 32.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> halving = ExponentialMovingAverage(1, gamma=0.5)
    >>> found = transition_map(halving, torch.zeros(1, 4, 1), anchors=3)
    >>> found.times
    tensor([-1,  1,  3])
    >>> found.log_norms[0].exp()
    tensor([[1.0000, 0.2500, 0.0625],
            [   nan, 1.0000, 0.2500],
            [   nan,    nan, 1.0000]], dtype=torch.float64)
    """
    check_count("anchors", anchors, 2)
    trajectory = Trajectory(cell, x, state)
    times = torch.linspace(-1, trajectory.time - 1, min(anchors, trajectory.time + 1), dtype=torch.float64)
    times = times.round().long()
    log_norms = torch.full((trajectory.batch, len(times), len(times)), torch.nan, dtype=torch.float64)
    log_norms.diagonal(dim1=1, dim2=2).zero_()
    started: Scaled | None = None
    for column, passed in enumerate(_segments(trajectory, (times[1:] + 1).tolist()), 1):
        new = passed.at(slice(None), None)
        started = new if started is None else joined(compose(new, started), new)
        log_norms[:, :column, column] = log_norm(started)
    return TransitionMap(times, log_norms)


def _segments(trajectory: Trajectory, ends: list[int]) -> Iterator[Scaled]:
    """The products between neighbouring anchors; each segment ends before the step of that number."""
    pieces: list[Scaled] = []
    waiting = iter(ends)
    end = next(waiting)
    for stretch in trajectory.forward():
        factors, at = scaled(stretch.jacobians()), stretch.start
        while end <= stretch.stop:
            yield _chained([*pieces, total(factors.at(slice(None), slice(at - stretch.start, end - stretch.start)))])
            pieces, at, end = [], end, next(waiting, trajectory.time + 1)
        if at < stretch.stop:
            pieces.append(total(factors.at(slice(None), slice(at - stretch.start, None))))


def _chained(pieces: list[Scaled]) -> Scaled:
    """The product of pieces, the oldest first in the list."""
    return total(Scaled(torch.stack([piece.matrix for piece in pieces], 1), torch.stack([p.log for p in pieces], 1)))

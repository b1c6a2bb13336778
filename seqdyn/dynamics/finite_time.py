"""Growth over finite times: local exponents from singular values, and a perturbed copy beside the trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.dynamics.closed_loop import run_plan
from seqdyn.dynamics.lyapunov import Frame, Tally, checked_count, chosen_burn_in, finite_jacobians
from seqdyn.dynamics.products import scaled, total
from seqdyn.dynamics.singular_values import graded_singular_values, with_leading
from seqdyn.dynamics.trajectory import NUMBERS_AT_ONCE, Trajectory
from seqdyn.facts import shown_by_shape
from seqdyn.loops import scan
from seqdyn.state import State, flatten, map_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

COPY_STEPS_AT_ONCE = 4096


@shown_by_shape
class DivergenceRate(NamedTuple):
    """The growth rate of a small deviation.

    Attributes
    ----------
    exponent, standard_error : float
        λ_1 and its standard error from the means over blocks, in nats per step or per unit of dt.
    per_sequence : Tensor, shape (batch,)
    """

    exponent: float
    standard_error: float
    per_sequence: Tensor


def finite_time_exponents(
    cell: Cell,
    x: Any = None,
    state: State | None = None,
    *,
    lag: int,
    k: int | None = None,
    steps: int | None = None,
    burn_in: int | None = None,
    dt: float = 1.0,
    last: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Lyapunov exponents of stretches of ``lag`` steps: λ_i(s) = ln σ_i(P_{s,s+lag}) / lag.

    P_{s,s+lag} = J_{s+lag} … J_{s+1} and σ_1 ≥ σ_2 ≥ … are its singular values. The stretches lie end to end.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such, optional
        What drives it; without it the cell runs alone, as in :func:`~seqdyn.dynamics.lyapunov.lyapunov_spectrum`.
    state : State, optional
        h_{-1}; the cell's initial state if None.
    lag : int, at least 1
        Steps of a stretch.
    k : int in [1, n], optional
        How many leading ones; all n if None.
    steps : int, optional
        How many to walk, burn-in included. All of x if None; needed without x.
    burn_in : int, optional
        Leading steps left out, rounded up to whole stretches; as in ``lyapunov_spectrum`` if None, as far as one
        stretch remains.
    dt : float > 0
        The time a step covers: 1 gives nats per step.
    last : Tensor, shape (batch, outputs), optional
        y_{-1}, for a closed loop.
    seed : int
        Of the directions the computation starts from; the result does not depend on it.

    Returns
    -------
    Tensor, shape (batch, starts, k)
        −∞ where a direction dies within the stretch. Steps after the last whole stretch are left out.

    Raises
    ------
    ValueError
        If an argument is out of range, no whole stretch fits, or the trajectory does not stay finite.

    Notes
    -----
    The leading values are those of the product, scaled as it grows. Of those that rounding would bury in it, QR
    backward in time finds the right singular directions, QR forward from them gives a triangle, scaled row by row,
    that is nearly diagonal, and QR sweeps over it make it so. It holds lag · n² numbers at least.

    Their mean over starts tends to the exponents as the lag grows. At short lags they lie above, and tell how far
    gradients can grow before they behave as the exponents say.

    References
    ----------
    Stewart (1997), On graded QR decompositions of products of matrices.

    Examples
    --------
    >>> from seqdyn.systems.henon import Henon
    >>> local = finite_time_exponents(Henon(), steps=1100, lag=10)
    >>> local.shape
    torch.Size([1, 99, 2])
    >>> bool(((local.sum(-1).exp() - 0.3).abs() < 1e-8).all())  # areas shrink alike in every stretch
    True
    """
    run = run_plan(cell, x, state, steps=steps, last=last)
    if not dt > 0:
        raise ValueError(f"dt, the time a step covers, must be positive, got {dt}.")
    trajectory = Trajectory(run.cell, run.x, run.state)
    lag = checked_count("lag", lag, 1, trajectory.time, trajectory.time)
    k = checked_count("k", k, 1, trajectory.width, trajectory.width)
    skipped = -(-chosen_burn_in(burn_in, trajectory.time) // lag)
    if burn_in is None:
        skipped = min(skipped, trajectory.time // lag - 1)
    if (skipped + 1) * lag > trajectory.time:
        raise ValueError(
            f"No stretch of lag={lag} steps is left of {trajectory.time} after burn_in={burn_in}: give more steps."
        )
    jacobian = trajectory.batch * trajectory.width**2
    together = lag * max(1, NUMBERS_AT_ONCE // (lag * jacobian))  # whole stretches only
    trajectory = Trajectory(run.cell, run.x, run.state, numbers=together * jacobian)
    found = []
    for stretch in trajectory.forward():
        jacobians = finite_jacobians(stretch)
        whole = jacobians[:, : jacobians.shape[1] // lag * lag].unflatten(1, (-1, lag))
        if whole.shape[1]:
            found.append(_log_singular_values(whole.flatten(0, 1), seed).unflatten(0, whole.shape[:2]))
    return torch.cat(found, 1)[:, skipped:, :k] / (lag * dt)


def _log_singular_values(jacobians: Tensor, seed: int) -> Tensor:
    """ln σ_i(J_m … J_1) of (rows, m, n, n) in descending order, (rows, n)."""
    rows, _, width, _ = jacobians.shape
    if width == 1:
        return jacobians.abs().log().sum(1).squeeze(-1)
    frame = Frame(rows, width, width, seed)
    frame.carry(jacobians.flip(1).mT)
    return with_leading(total(scaled(jacobians)), graded_singular_values(jacobians.unbind(1), frame.axes))


def divergence_exponent(
    cell: Cell,
    x: Any = None,
    state: State | None = None,
    *,
    steps: int | None = None,
    burn_in: int | None = None,
    dt: float = 1.0,
    last: Tensor | None = None,
    size: float = 1e-6,
    seed: int = 0,
) -> DivergenceRate:
    """The leading exponent by a perturbed copy beside the trajectory, brought back to a small distance at every step.

    λ_1 = mean_t ln (‖h'_t − h_t‖ / size), where h'_{t-1} = h_{t-1} + size · (the direction of the deviation before). It
    needs no derivative at all, and so checks the Jacobians of :func:`~seqdyn.dynamics.lyapunov.lyapunov_spectrum`.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x, state, steps, burn_in, dt, last
        As in :func:`~seqdyn.dynamics.lyapunov.lyapunov_spectrum`.
    size : float > 0
        The distance, in units of the state: small against what bends f, large against its rounding errors.
    seed : int
        Of the direction of the first deviation.

    Returns
    -------
    Divergence
        The exponent is −∞ if the copy meets the trajectory exactly.

    Raises
    ------
    ValueError
        If an argument is out of range or the trajectory does not stay finite.

    References
    ----------
    Engelken, Wolf & Abbott (2023), Lyapunov spectra of chaotic recurrent neural networks, Physical Review Research 5.

    Examples
    --------
    >>> from seqdyn.systems.logistic import Logistic
    >>> found = divergence_exponent(Logistic(2.0), steps=500)  # its fixed point is superstable
    >>> bool(found.exponent < -5)
    True
    """
    if not size > 0 or not dt > 0:
        raise ValueError(f"size and dt must be positive, got {size} and {dt}.")
    run = run_plan(cell, x, state, steps=steps, last=last)
    trajectory = Trajectory(run.cell, run.x, run.state)
    tally = Tally(trajectory.batch, trajectory.time, chosen_burn_in(burn_in, trajectory.time), 1)
    copy = _Copy(trajectory.batch, trajectory.width, size, seed)
    both = unflatten(copy.placed(flatten(trajectory.start)), trajectory.start)
    with torch.no_grad():
        for begin in range(0, trajectory.time, COPY_STEPS_AT_ONCE):
            part = map_leaves(lambda leaf: _twice(leaf[:, begin : begin + COPY_STEPS_AT_ONCE]), trajectory.x)  # noqa: B023
            both = scan(trajectory.cell, part, both, force=copy.brought_back).state
            tally.add(begin - 1, copy.growth())  # what is seen before a step is what the step before has done
        copy.brought_back(0, both)
    tally.add(trajectory.time - 1, copy.growth())
    if not tally.exponents().lt(torch.inf).all():
        raise ValueError("The trajectory or its copy does not stay finite: start in the basin of an attractor.")
    return DivergenceRate(
        float(tally.exponents()[0]) / dt, float(tally.standard_errors()[0]) / dt, tally.per_sequence()[:, 0] / dt
    )


class _Copy:
    """A perturbed copy of the first half of the rows, kept in their second half."""

    def __init__(self, batch: int, width: int, size: float, seed: int):
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(batch, width, generator=generator, dtype=torch.float64)
        self.size, self.direction = size, direction / direction.norm(dim=1, keepdim=True)
        self.rates: list[Tensor] = []

    def placed(self, original: Tensor) -> Tensor:
        """Rows (batch, n), and after them the same, a distance ``size`` away in the present directions."""
        return torch.cat([original, original + self.size * self.direction])

    def brought_back(self, t: int, state: State) -> State:
        """The copy at the distance ``size`` again, in the direction it has now or, where the two have met, had before.

        What the distance has grown by is noted.
        """
        original, beside = flatten(state).chunk(2)
        distance = (beside - original).norm(dim=1, keepdim=True)
        self.rates.append((distance / self.size).log())
        self.direction = torch.where(distance > 0, (beside - original) / distance, self.direction)
        return unflatten(self.placed(original), state)

    def growth(self) -> Tensor:
        """The growth rates recorded since the last call, (batch, steps, 1)."""
        rates, self.rates = self.rates, []
        return torch.stack(rates, 1)


def _twice(leaf: Tensor) -> Tensor:
    doubled = torch.cat([leaf, leaf]).detach().cpu()
    return doubled.double() if doubled.is_floating_point() else doubled

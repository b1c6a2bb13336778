"""Fixed and slow points of a cell whose input is held constant.

f(x*, h*) = h*,   q(h) = ½ ‖f(x*, h) − h‖²
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from seqdyn.dynamics.certificate import certified, contracts, newton_steps, unresolved
from seqdyn.dynamics.descent import cost_of, damped_descent
from seqdyn.dynamics.held import Field, held_input
from seqdyn.dynamics.newton import newton_roots
from seqdyn.dynamics.region import (
    WALKERS,
    Box,
    freed_states,
    reached_states,
    scale,
    span,
    state_bounds,
    states_under,
    walked_states,
)
from seqdyn.dynamics.spectrum import eigenvalues
from seqdyn.dynamics.trajectory import check_cell
from seqdyn.facts import shown_by_facts
from seqdyn.state import State, flatten, map_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

SLOW_SHARE = 1e-4
"""q below this share of the median squared step at the starts is slow."""

UNIT_MARGIN = 1e-8
"""|λ| this near to 1 neither decays nor grows."""

VANISHING_SPANS = 10.0
"""Spans of what is reached over which the speed at a slow point would not vanish, as it changes there."""

NEIGHBOURS = 8
"""Places around a slow point from which its pace is read, and around a fixed one at which its slope is."""

NEARBY = 1e-9
"""How far away these are from a fixed point, relative to 1 + max_i |h_i|: nothing smooth changes on the way."""

KINK = 1e-3
"""By so much more does |λ| jump at a kink than over this way where the step is smooth."""


@shown_by_facts
@dataclass(frozen=True, repr=False)
class FixedPoints:
    """Fixed and slow points of f(x*, ·): fixed before slow ones, few unstable directions first, then by share.

    Attributes
    ----------
    points : Tensor, shape (m, n)
        h*, flattened leaf after leaf.
    x : Tensor, shape (inputs,)
        The input that was held, x*.
    eigenvalues : Tensor of complex128, shape (m, n)
        Of J = ∂f/∂h there, the largest modulus first.
    speed : Tensor, shape (m,)
        ‖f(x*, h*) − h*‖ = √(2q), what one step moves.
    newton_step : Tensor, shape (m,)
        max_i |δ_i| of Newton's step δ = −(J − I)⁻¹ (f(x*, h*) − h*): how far away the fixed point is. At most
        1e-6 · (1 + max_i |h*_i|) for a fixed point, whatever n is; for a slow one it leads nowhere, and may be inf.
    isolated : Tensor of bool, shape (m,)
        Whether J − I is regular enough for Newton's step to count in all directions. False for a slow point; for a
        fixed one that rounding cannot tell from a line of fixed points: its step is that in the other directions; and
        for one at a kink, as relu's at 0, where J is the slope of one side and another side does not decay.
    slow : Tensor of bool, shape (m,)
        True for a *slow* point: a local minimum of q that is not 0.
    share : Tensor, shape (m,)
        The share of all starts that arrived at each. It is a basin of the search, not of the dynamics.
    rejected : int
        Starts that arrived at no fixed or slow point.
    starts : int
        All starts.
    """

    points: Tensor
    x: Tensor
    eigenvalues: Tensor
    speed: Tensor
    newton_step: Tensor
    isolated: Tensor
    slow: Tensor
    share: Tensor
    rejected: int
    starts: int

    def __len__(self) -> int:
        return len(self.points)

    def facts(self) -> dict[str, object]:
        """What a line or a small table shows: how many points of every kind, and how many starts found none."""
        return {**Counter(self.kinds), "starts": self.starts, "rejected": self.rejected}

    @property
    def stable(self) -> Tensor:
        """(m,) bool: isolated fixed points whose eigenvalues all lie inside the circle |λ| < 1. λ < −1 is unstable."""
        return self.isolated & (self.eigenvalues.abs() < 1 - UNIT_MARGIN).all(1)

    @property
    def index(self) -> Tensor:
        """(m,) int: how many directions are unstable, #{|λ| > 1}."""
        return (self.eigenvalues.abs() > 1 + UNIT_MARGIN).sum(1)

    @property
    def time_constants(self) -> Tensor:
        """(m, n), in steps: τ = −1/ln |λ|, in the order of the eigenvalues.

        0 for λ = 0, inf for |λ| = 1; negative where it grows: −τ is the time to grow by a factor e.
        """
        rates = self.eigenvalues.abs().log()
        return torch.where(rates == 0, torch.inf, -1 / rates)

    @property
    def kinds(self) -> list[str]:
        """What the leading eigenvalue, that of the largest modulus, makes of each point.

        Not a fixed point: ``"slow"``. No eigenvalue above 1, and |λ| = 1 for some or not isolated: ``"marginal"``.

        Stable: ``"stable spiral"`` if it is complex, else ``"stable node"``.

        Unstable: ``"saddle"`` if it is real, above 1, and some direction is stable, ``"unstable node"`` if none is;
        ``"flip"`` if it is below −1: deviations grow and change sign at every step; ``"Neimark–Sacker"`` if it is
        complex: they grow and rotate.
        """
        rows = zip(self.eigenvalues, self.isolated.tolist(), self.slow.tolist(), strict=True)
        return ["slow" if slow else _kind_of_point(values, isolated) for values, isolated, slow in rows]

    def states(self, cell: Cell) -> State:
        """The points as a state of m rows, in the cell's dtype and on its device: to start from, or to linearise at."""
        own = cell.initial_state(1)
        state = unflatten(self.points, own)
        return map_leaves(lambda leaf, like: leaf.to(like), state, own)


def fixed_points(
    cell: Cell,
    x: Any = None,
    starts: int | Tensor = 256,
    *,
    state: State | None = None,
    noise: float = 0.5,
    tolerance: float = 1e-10,
    merge: float = 1e-4,
    max_iterations: int = 200,
    seed: int = 0,
) -> FixedPoints:
    """Find the fixed and slow points of a cell whose input is held: f(x*, h*) = h*.

    Levenberg's and Marquardt's method on f(x*, h) − h from many starts at once, each point with its own damping and
    its own end; from where it does not arrive, Newton's.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed. A closed loop is ``seqdyn.OwnPast(cell)``, its state (h, y).
    x : Tensor, or a tree of such, optional
        (inputs,): x*. (batch, time, *inputs): its mean over batch and time is x*, and the starts come from the
        trajectory under x. None: nothing comes in, zeros.
    starts : int, or Tensor, shape (m, n)
        Where to search from: flattened states, or how many to draw. Under a given trajectory these are states of it,
        with noise. Else half are states of walks of 200 steps from random states, with noise, and half are random: even
        between two bounds that the state does not leave, else normal. All are inside these bounds.
    state : State, optional
        h_{-1} of the trajectory; the cell's initial state if None.
    noise : float, at least 0
        Standard deviation of the noise, relative to that of every component along the walk.
    tolerance : float > 0
        Fixed: max_i |f_i(x*, h) − h_i| ≤ tolerance · (1 + max_i |h_i|), whatever n is, and Newton's step is at most
        1e-6 · (1 + max_i |h_i|). Slow: not fixed, a minimum of q, and q < 1e-4 · the median of ‖f(x*, h) − h‖² over
        the starts; it has to be low for the pace of its units there, and in the span of the states that are reached.
    merge : float > 0
        Points closer than this · (1 + max_i |h_i|) in every component are one.
    max_iterations : int
        Of the search, at most.
    seed : int
        Of what is drawn.

    Returns
    -------
    FixedPoints
        Empty if nothing was found; ``.rejected`` counts the starts that arrived nowhere.

    Raises
    ------
    ValueError
        If shapes do not fit the cell, it has no memory, or an argument is out of range.

    Notes
    -----
    What is not found may still exist: more starts find more. A line of fixed points comes as a row of points apart by
    ``merge``, of kind "marginal".

    Those of a flow in steps, as of :class:`~seqdyn.systems.van_der_pol.VanDerPol`, are those of the step: all of the
    flow's and, where the step is too coarse, far out, also some of the integrator's own.

    A gate that holds a unit, z → 1, makes every state slow: one step moves it by (1 − z) of the way. So a small step is
    no sign of a fixed point. A small step of Newton's, δ = −(J − I)⁻¹ (f − h), is, for it does not know 1 − z; with the
    same slope the step after it must be at most a quarter of it, or rounding (Kantorovich).

    Where J − I is singular, or 1 − z is not above the rounding error, there is no telling a line of fixed points from
    none: ``isolated`` is False, and Newton's step counts only in the directions that rounding lets one see. Under a
    trajectory such points are reported only in its span. A unit that it does not move at all stays where a start puts
    it: such a unit may stand anywhere in its bounds, in any case within ±1.

    Slow points are reported only in the span of the states that the cell gets to: along the trajectory, or in walks of
    200 steps from its initial state under random inputs around x* (from random states, if it takes no input).

    Starts are drawn in the box that the state does not leave: (−1, 1) for a GRU's h, and whatever else thousands of
    random states and inputs do not contradict. No isolated fixed point lies outside it.

    References
    ----------
    Sussillo & Barak (2013), Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural
    networks, Neural Computation 25.
    Golub & Sussillo (2018), FixedPointFinder, Journal of Open Source Software 3.

    Examples
    --------
    The Hénon map has two, h₁ = (b − 1 ± √((1 − b)² + 4a)) / 2a, both unstable with an eigenvalue below −1 or above 1:

    >>> from seqdyn.systems.henon import Henon
    >>> found = fixed_points(Henon())
    >>> [round(value, 4) for value in sorted(found.points[:, 0].tolist())]
    [-1.1314, 0.6314]
    >>> sorted(found.kinds), found.stable.any().item()
    (['flip', 'saddle'], False)
    """
    for name, value in (("tolerance", tolerance), ("merge", merge), ("max_iterations", max_iterations)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}.")
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0, got {noise!r}.")
    check_cell(cell)
    field = Field(cell, held_input(cell, x))
    driven = x is not None and not (isinstance(x, Tensor) and x.dim() == 1)
    generator = torch.Generator().manual_seed(seed)
    box = state_bounds(field, generator)
    trajectory = states_under(field, x, state) if driven else None
    begin = _search_starts(field, trajectory, starts, noise, box, generator)
    reached = box.clamp(reached_states(field, box, generator) if trajectory is None else trajectory)
    held_at = torch.cat([begin, reached]) if trajectory is None else freed_states(field, reached, box, generator)
    arrived, certificate = _searched(field, begin, tolerance, max_iterations, box, span(held_at))
    low = ~certificate.fixed & (cost_of(field.gap(arrived)) < SLOW_SHARE * _median(field.gap(begin).square().sum(1)))
    slow = torch.zeros_like(low)
    slow[low] = _is_slow(field, arrived[low], reached, generator)
    return _ordered_points(_collected(field, arrived, certificate, slow, merge))


def _collected(field: Field, arrived: Tensor, certificate: _Certificate, slow: Tensor, merge: float) -> FixedPoints:
    """The rows that are fixed or slow, those that are closer than ``merge`` as one."""
    kept = certificate.fixed | slow
    speed = field.gap(arrived[kept]).norm(dim=1)
    leaders, counts = _distinct(arrived[kept], slow[kept], speed, merge)
    points = arrived[kept][leaders]
    values = _eigenvalues(field, points)
    isolated = (certificate.isolated & ~slow)[kept][leaders]
    isolated[isolated.clone()] &= ~_at_kink(field, points[isolated], values[isolated])
    return FixedPoints(
        points=points,
        x=flatten(field.x)[0],
        eigenvalues=values,
        speed=speed[leaders],
        newton_step=certificate.steps[kept][leaders],
        isolated=isolated,
        slow=slow[kept][leaders],
        share=counts / max(1, len(arrived)),
        rejected=int((~kept).sum()),
        starts=len(arrived),
    )


def _ordered_points(found: FixedPoints) -> FixedPoints:
    """Fixed before slow, few unstable directions first, then the largest share."""
    keys = zip(found.slow.tolist(), found.index.tolist(), (-found.share).tolist(), strict=True)
    order = torch.tensor([row for _, row in sorted((key, row) for row, key in enumerate(keys))], dtype=torch.long)
    names = ("points", "eigenvalues", "speed", "newton_step", "isolated", "slow", "share")
    return replace(found, **{name: getattr(found, name)[order] for name in names})


class _Certificate(NamedTuple):
    """At every row: the size of Newton's step, whether rounding lets one see all directions, whether it is fixed."""

    steps: Tensor
    isolated: Tensor
    fixed: Tensor


def _searched(
    field: Field, begin: Tensor, tolerance: float, max_iterations: int, box: Box, lines: Box
) -> tuple[Tensor, _Certificate]:
    """Search from every row, and certify what was found.

    Down q first, to slow points and lines of fixed points as well. Gates stop this way early; from where it finds no
    isolated point Newton's method sets out again, among the states that are known. ``lines`` is where a point that may
    be one of a line counts.
    """
    chunks = field.chunks(begin)
    arrived = box.rounded(torch.cat([damped_descent(field, rows, tolerance, max_iterations, box) for rows in chunks]))
    found = _certificate(field, arrived, tolerance, lines)
    rest = (~(found.fixed & found.isolated)).nonzero().squeeze(1)
    near = box.closed_by(span(torch.cat([begin, torch.stack(lines)])))
    for rows in rest.split(field.rows_at_once) if len(rest) else ():
        roots = newton_roots(field, begin[rows], near, max_iterations)
        anew = _certificate(field, roots, tolerance, lines)
        nearer = cost_of(field.gap(roots)) < cost_of(field.gap(arrived[rows]))
        better = anew.fixed & (anew.isolated | ~found.fixed[rows] | nearer)
        arrived[rows[better]] = roots[better]
        for whole, part in zip(found, anew, strict=True):
            whole[rows[better]] = part[better]
    return arrived, found


def _certificate(field: Field, h: Tensor, tolerance: float, lines: Box) -> _Certificate:
    """Certify rows; one that rounding cannot tell from a line of fixed points counts as fixed only inside ``lines``."""
    steps, isolated = torch.full((len(h),), torch.inf, dtype=h.dtype), torch.zeros(len(h), dtype=torch.bool)
    fixed = isolated.clone()
    still = (field.gap(h).abs().amax(1) <= tolerance * (1 + h.abs().amax(1))).nonzero().squeeze(1)
    for rows in still.split(field.rows_at_once) if len(still) else ():
        here, gap, jacobian = h[rows], field.gap(h[rows]), field.jacobian(h[rows])
        steps[rows], isolated[rows] = newton_steps(here, gap, jacobian), ~unresolved(here, jacobian)
        arrives = torch.where(isolated[rows], contracts(field.gap, here, gap, jacobian), lines.contains(here))
        fixed[rows] = arrives & certified(here, steps[rows])
    return _Certificate(steps, isolated, fixed)


def _is_slow(field: Field, h: Tensor, reached: Tensor, generator: torch.Generator) -> Tensor:
    """Whether a row is a slow point: q has a minimum there, is small for the pace of its units, and is reached.

    The pace of a unit is how fast its step changes around there, ‖∂F_i/∂h‖: where a gate holds it, it is low as well.
    """
    found = span(reached).contains(h)
    width = scale(reached) if found.any() else 0.0
    rest = found.nonzero().squeeze(1)
    for rows in rest.split(max(1, field.rows_at_once // NEIGHBOURS)) if len(rest) else ():
        gap, slope = field.gap(h[rows]), field.slope(h[rows])
        pace = _unit_pace(field, h[rows], 0.1 * width, generator)
        level = VANISHING_SPANS * width * (slope.mT @ gap.unsqueeze(2)).norm(dim=(1, 2)) < gap.square().sum(1)
        found[rows] = level & ((gap / pace).square().sum(1) < SLOW_SHARE * width**2)
    return found


def _unit_pace(field: Field, h: Tensor, width: float, generator: torch.Generator) -> Tensor:
    """The median of ‖∂F_i/∂h‖ over some places around every row, (m, n)."""
    away = torch.randn(len(h), NEIGHBOURS, field.width, generator=generator, dtype=h.dtype)
    slopes = field.slope((h.unsqueeze(1) + width * away).flatten(0, 1)).norm(dim=2)
    return slopes.unflatten(0, away.shape[:2]).nanmedian(1).values.clamp_min(1e-300)


def _median(values: Tensor) -> float:
    finite = values[values.isfinite()]
    return float(finite.median()) if len(finite) else 0.0


def _search_starts(
    field: Field, trajectory: Tensor | None, starts: int | Tensor, noise: float, box: Box, generator: torch.Generator
) -> Tensor:
    """Flattened states to search from, (m, n): as given, or inside the box, around a trajectory if there is one."""
    if isinstance(starts, Tensor):
        if starts.dim() != 2 or starts.shape[1] != field.width or not starts.isfinite().all():
            raise ValueError(
                f"starts must be finite and (m, {field.width}), {field.name}'s flattened states, got shape "
                f"{tuple(starts.shape)}."
            )
        return starts.detach().to("cpu", torch.float64)
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise ValueError(f"starts must be an int of at least 1 or a tensor (m, {field.width}), got {starts!r}.")
    count = (starts + 1) // 2 if trajectory is None else starts
    seen = walked_states(field, min(WALKERS, count), box, generator) if trajectory is None else trajectory
    drawn = seen[torch.randint(len(seen), (count,), generator=generator)] if len(seen) else seen
    spread = seen.std(0) if len(seen) > 1 else torch.ones(field.width, dtype=torch.float64)
    normal = torch.randn(len(drawn), field.width, generator=generator, dtype=torch.float64)
    near = drawn + noise * torch.where(spread > 0, spread, 1.0) * normal
    return torch.cat([box.clamp(near), box.draw(starts - len(drawn), generator)])


def _distinct(points: Tensor, slow: Tensor, speed: Tensor, merge: float) -> tuple[Tensor, Tensor]:
    """Merge rows closer than ``merge``: one representative each, and how many rows it stands for."""
    size = 1 + points.abs().amax(1)
    order = sorted(range(len(points)), key=lambda row: (bool(slow[row]), float(speed[row])))
    tree = cKDTree(points.numpy())
    free = set(order)
    leaders, counts = [], []
    for row in order:
        if row in free:
            near = free.intersection(tree.query_ball_point(points[row].numpy(), merge * float(size[row]), p=math.inf))
            free -= near | {row}
            leaders.append(row)
            counts.append(len(near))
    return torch.tensor(leaders, dtype=torch.long), torch.tensor(counts, dtype=torch.float64)


def _eigenvalues(field: Field, points: Tensor) -> Tensor:
    found = [eigenvalues(field.jacobian(chunk)) for chunk in field.chunks(points)] if len(points) else []
    return torch.cat(found) if found else torch.zeros(0, field.width, dtype=torch.complex128)


def _at_kink(field: Field, points: Tensor, values: Tensor) -> Tensor:
    """Whether a row lies at a kink: the step decays there, but grows on some side right beside it, (m,) bool."""
    found, size = torch.zeros(len(points), dtype=torch.bool), values.abs().amax(1)
    generator = torch.Generator().manual_seed(0)
    away = torch.randn(NEIGHBOURS // 2, field.width, generator=generator, dtype=points.dtype)
    sides = NEARBY * torch.cat([away, -away])
    rest = (size < 1 - UNIT_MARGIN).nonzero().squeeze(1)
    for rows in rest.split(max(1, field.rows_at_once // NEIGHBOURS)) if len(rest) else ():
        beside = points[rows].unsqueeze(1) + (1 + points[rows].abs().amax(1)).view(-1, 1, 1) * sides
        there = _eigenvalues(field, beside.flatten(0, 1)).abs().amax(1).view(-1, NEIGHBOURS).amax(1)
        found[rows] = (there >= 1 - UNIT_MARGIN) & (there > size[rows] + KINK)
    return found


def _kind_of_point(values: Tensor, isolated: bool) -> str:
    """The name of a fixed point with these eigenvalues, the largest modulus first."""
    leading, sizes = complex(values[0]), values.abs()
    rotates = abs(leading.imag) > UNIT_MARGIN * abs(leading)
    if sizes[0] < 1 - UNIT_MARGIN and isolated:
        return "stable spiral" if rotates else "stable node"
    if sizes[0] <= 1 + UNIT_MARGIN:
        return "marginal"
    if rotates:
        return "Neimark–Sacker"
    if leading.real < 0:
        return "flip"
    return "unstable node" if sizes[-1] > 1 + UNIT_MARGIN else "saddle"

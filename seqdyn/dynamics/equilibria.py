"""Fixed and slow points: where a cell stands still, or nearly so, while its input is held.

f(x*, h*) = h*,   q(h) = ½ ‖f(x*, h) − h‖²
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from seqdyn.autoregression import Past
from seqdyn.dynamics.certificate import certified, newton_steps, unresolved
from seqdyn.dynamics.descent import cost_of, descended
from seqdyn.dynamics.held import Field, held
from seqdyn.dynamics.spectrum import eigenvalues
from seqdyn.dynamics.trajectory import Trajectory, check_cell
from seqdyn.state import State, expand, flatten, hold, leaves, map_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

SLOW = 1e-4
"""q below this share of the median squared step at the starts is slow."""

MARGIN = 1e-8
"""|λ| this near to 1 neither decays nor grows."""

WALK = 200
"""Steps of the walk from which starts are taken where no trajectory is given."""

LEVEL = 10.0
"""Spans of what is reached over which the speed at a slow point would not vanish, as it changes there."""

NEIGHBOURS = 8
"""Places around a slow point from which its pace is read."""


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
        1e-6 · (1 + max_i |h*_i|) for a fixed point; for a slow one it leads nowhere, and may be inf.
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
    slow: Tensor
    share: Tensor
    rejected: int
    starts: int

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {kind}" for kind, number in Counter(self.kinds).items()) or "none"
        return f"<FixedPoints {counts}; {self.rejected} of {self.starts} starts arrived nowhere>"

    @property
    def stable(self) -> Tensor:
        """(m,) bool: a fixed point inside whose circle |λ| < 1 all eigenvalues lie. λ < −1 is unstable."""
        return ~self.slow & (self.eigenvalues.abs() < 1 - MARGIN).all(1)

    @property
    def index(self) -> Tensor:
        """(m,) int: how many directions are unstable, #{|λ| > 1}."""
        return (self.eigenvalues.abs() > 1 + MARGIN).sum(1)

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

        Not a fixed point: ``"slow"``. |λ| = 1 for some eigenvalue and above 1 for none: ``"marginal"``.

        Stable: ``"stable spiral"`` if it is complex, else ``"stable node"``.

        Unstable: ``"saddle"`` if it is real, above 1, and some direction is stable, ``"unstable node"`` if none is;
        ``"flip"`` if it is below −1: deviations grow and change sign at every step; ``"Neimark–Sacker"`` if it is
        complex: they grow and rotate.
        """
        return [
            "slow" if slow else _kind(values) for values, slow in zip(self.eigenvalues, self.slow.tolist(), strict=True)
        ]

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
    """The fixed and slow points of a cell while its input is held: f(x*, h*) = h*.

    Levenberg's and Marquardt's method on f(x*, h) − h from many starts at once, each point with its own damping and
    its own end, then Newton's.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed. A closed loop is ``seqdyn.OwnPast(cell)``, its state (h, y).
    x : Tensor, or a tree of such, optional
        (inputs,): x*. (batch, time, *inputs): its mean over batch and time is x*, and the starts come from the
        trajectory under x. None: nothing comes in, zeros.
    starts : int, or Tensor, shape (m, n)
        Where to search from: flattened states, or how many to draw. Under a given trajectory these are states of it,
        with noise. Else half are states of walks of 200 steps from random states, with noise, and half are random.
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

    A gate that holds a unit, z → 1, makes every state slow: one step moves it by (1 − z) of the way. So a small step is
    no sign of a fixed point, and a small step of Newton's, δ = −(J − I)⁻¹ (f − h), is: it does not know 1 − z. Where
    1 − z is not above the rounding error there is no telling a line of fixed points from none. Such points, as slow
    ones, are reported only in the span of the states that the cell gets to: along the trajectory, or in walks of 200
    steps from its initial state under random inputs around x* (from random states, if it takes no input).

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
    field = Field(cell, held(cell, x))
    driven = x is not None and not (isinstance(x, Tensor) and x.dim() == 1)
    generator = torch.Generator().manual_seed(seed)
    begin = _starts(field, x if driven else None, starts, state, noise, generator)
    reached = _trajectory(field, x, state) if driven else _reached(field, generator)
    arrived = torch.cat([descended(field, chunk, tolerance, max_iterations) for chunk in field.chunks(begin)])
    steps, fixed = _certificates(field, arrived, tolerance, _within(arrived, reached))
    slow = torch.zeros_like(fixed)
    low = cost_of(field.gap(arrived)) < SLOW * _median(field.gap(begin).square().sum(1))
    slow[~fixed & low] = _is_slow(field, arrived[~fixed & low], reached, generator)
    kept = fixed | slow
    speed = field.gap(arrived[kept]).norm(dim=1)
    leaders, counts = _distinct(arrived[kept], ~fixed[kept], speed, merge)
    found = FixedPoints(
        points=arrived[kept][leaders],
        x=flatten(field.x)[0],
        eigenvalues=_eigenvalues(field, arrived[kept][leaders]),
        speed=speed[leaders],
        newton_step=steps[kept][leaders],
        slow=~fixed[kept][leaders],
        share=counts / max(1, len(begin)),
        rejected=int((~kept).sum()),
        starts=len(begin),
    )
    return _in_order(found)


def _in_order(found: FixedPoints) -> FixedPoints:
    """Fixed before slow, few unstable directions first, then the largest share."""
    keys = zip(found.slow.tolist(), found.index.tolist(), (-found.share).tolist(), strict=True)
    order = torch.tensor([row for _, row in sorted((key, row) for row, key in enumerate(keys))], dtype=torch.long)
    names = ("points", "eigenvalues", "speed", "newton_step", "slow", "share")
    return replace(found, **{name: getattr(found, name)[order] for name in names})


def _certificates(field: Field, h: Tensor, tolerance: float, within: Tensor) -> tuple[Tensor, Tensor]:
    """The size of Newton's step at every row, and whether it is a fixed point.

    What rounding cannot tell from a line of fixed points is one only where the cell gets.
    """
    steps, blind = torch.full((len(h),), torch.inf, dtype=h.dtype), torch.zeros(len(h), dtype=torch.bool)
    still = (field.gap(h).abs().amax(1) <= tolerance * (1 + h.abs().amax(1))).nonzero().squeeze(1)
    for rows in still.split(field.rows_at_once) if len(still) else ():
        slope = field.jacobian(h[rows])
        blind[rows] = unresolved(h[rows], slope)
        here = ~blind[rows] | within[rows]
        steps[rows[here]] = newton_steps(h[rows][here], field.gap(h[rows][here]), slope[here])
    return steps, certified(h, steps) & (within | ~blind)


def _is_slow(field: Field, h: Tensor, reached: Tensor, generator: torch.Generator) -> Tensor:
    """Whether q has a minimum at a row: a place that the cell gets to, where q is level, and low for its own pace.

    The pace of a unit is how fast its step changes around there, ‖∂F_i/∂h‖: where a gate holds it, it is low as well.
    """
    found = _within(h, reached)
    if not found.any():
        return found
    span = (reached.amax(0) - reached.amin(0)).amax()
    for rows in found.nonzero().squeeze(1).split(max(1, field.rows_at_once // NEIGHBOURS)):
        gap, slope = field.gap(h[rows]), field.slope(h[rows])
        pace = _pace(field, h[rows], 0.1 * span, generator)
        level = LEVEL * span * (slope.mT @ gap.unsqueeze(2)).norm(dim=(1, 2)) < gap.square().sum(1)
        found[rows] = level & ((gap / pace).square().sum(1) < SLOW * span**2)
    return found


def _pace(field: Field, h: Tensor, width: Tensor, generator: torch.Generator) -> Tensor:
    """The median of ‖∂F_i/∂h‖ over some places around every row, (m, n)."""
    away = torch.randn(len(h), NEIGHBOURS, field.width, generator=generator, dtype=h.dtype)
    slopes = field.slope((h.unsqueeze(1) + width * away).flatten(0, 1)).norm(dim=2)
    return slopes.unflatten(0, away.shape[:2]).nanmedian(1).values.clamp_min(1e-300)


def _within(h: Tensor, reached: Tensor) -> Tensor:
    """Whether rows lie in the span of the states that were reached, component by component, (m,) bool."""
    if not len(reached):
        return torch.zeros(len(h), dtype=torch.bool)
    low, high = reached.amin(0), reached.amax(0)
    slack = 1e-6 * (1 + torch.maximum(low.abs(), high.abs()))
    return ((h >= low - slack) & (h <= high + slack)).all(1)


def _median(values: Tensor) -> float:
    finite = values[values.isfinite()]
    return float(finite.median()) if len(finite) else 0.0


def _starts(
    field: Field, x: Any, starts: int | Tensor, state: State | None, noise: float, generator: torch.Generator
) -> Tensor:
    """Flattened states to search from, (m, n); x is the trajectory they come from, if there is one."""
    if isinstance(starts, Tensor):
        if starts.dim() != 2 or starts.shape[1] != field.width or not starts.isfinite().all():
            raise ValueError(
                f"starts must be finite and (m, {field.width}), {field.name}'s flattened states, got shape "
                f"{tuple(starts.shape)}."
            )
        return starts.detach().to("cpu", torch.float64)
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise ValueError(f"starts must be an int of at least 1 or a tensor (m, {field.width}), got {starts!r}.")
    count = (starts + 1) // 2 if x is None else starts
    seen = _walks(field, count, generator) if x is None else _trajectory(field, x, state)
    drawn = seen[torch.randint(len(seen), (count,), generator=generator)] if len(seen) else seen
    spread = seen.std(0) if len(seen) > 1 else torch.ones(field.width, dtype=torch.float64)
    normal = torch.randn(starts, field.width, generator=generator, dtype=torch.float64)
    near = drawn + noise * torch.where(spread > 0, spread, 1.0) * normal[: len(drawn)]
    return torch.cat([near, normal[len(drawn) :]])


def _trajectory(field: Field, x: Any, state: State | None) -> Tensor:
    """The states under x."""
    trajectory = Trajectory(field.cell, x, state)
    return torch.cat([stretch.states().flatten(0, 1) for stretch in trajectory.forward()])


def _walks(field: Field, count: int, generator: torch.Generator) -> Tensor:
    """The states on some walks under x* from random states, and on that from the cell's initial one."""
    walkers = min(16, count)
    random = torch.randn(walkers, field.width, generator=generator, dtype=torch.float64)
    begin = torch.cat([flatten(field.like), random])
    return field.walk(hold(expand(field.x, len(begin)), WALK), unflatten(begin, field.like))


def _reached(field: Field, generator: torch.Generator) -> Tensor:
    """The states that the cell gets to, (m, n): from its initial one, pushed about by its inputs and then left alone.

    What takes no input, or one that is not made of numbers, gets anywhere: its walks begin in random states.
    """
    if not any(leaf.is_floating_point() and leaf.numel() for leaf in leaves(field.x)):
        return _walks(field, 16, generator)
    walkers = 16
    begin = expand(field.like, walkers)
    x = hold(expand(field.x, walkers), WALK)
    pushed = field.walk(_pushed(x, generator), begin)
    rest = [pushed[torch.randint(len(pushed), (walkers,), generator=generator)]] if len(pushed) else []
    return torch.cat([pushed, *[field.walk(x, unflatten(state, field.like)) for state in rest]])


def _pushed(x: Any, generator: torch.Generator) -> Any:
    """The input with normal noise; a cell on its own output is told another past."""
    if isinstance(x, Past):
        return Past(_pushed(x.value, generator), torch.ones_like(x.known), x.exogenous)
    return map_leaves(
        lambda leaf: (
            leaf + torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype) if leaf.is_floating_point() else leaf
        ),
        x,
    )


def _distinct(points: Tensor, slow: Tensor, speed: Tensor, merge: float) -> tuple[Tensor, Tensor]:
    """The rows that stand for all within ``merge`` of them, and how many each stands for: fixed before slow ones."""
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


def _kind(values: Tensor) -> str:
    """The name of a fixed point with these eigenvalues, the largest modulus first."""
    leading, sizes = complex(values[0]), values.abs()
    rotates = abs(leading.imag) > MARGIN * abs(leading)
    if sizes[0] < 1 - MARGIN:
        return "stable spiral" if rotates else "stable node"
    if sizes[0] <= 1 + MARGIN:
        return "marginal"
    if rotates:
        return "Neimark–Sacker"
    if leading.real < 0:
        return "flip"
    return "unstable node" if sizes[-1] > 1 + MARGIN else "saddle"

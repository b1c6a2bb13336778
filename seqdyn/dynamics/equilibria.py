"""Fixed and slow points: where a cell stands still, or nearly so, while its input is held.

f(x*, h*) = h*,   q(h) = ½ ‖f(x*, h) − h‖²
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from seqdyn.dynamics.derivatives import jacobian
from seqdyn.dynamics.spectrum import eigenvalues
from seqdyn.dynamics.trajectory import Trajectory, check_cell, check_driving, check_finite, double
from seqdyn.loops import scan
from seqdyn.state import State, expand, flatten, hold, map_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

SLOW = 1e-4
"""q below this share of the median squared step at the starts is slow."""

MARGIN = 1e-8
"""|λ| this near to 1 neither decays nor grows."""

WALK = 200
"""Steps of the walk from which starts are taken where no trajectory is given."""

NUMBERS_AT_ONCE = 2**22
"""Entries of Jacobians that are held at a time: 32 MiB."""


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
        Fixed: max_i |f_i(x*, h) − h_i| ≤ tolerance · (1 + max_i |h_i|), whatever n is. Slow: not fixed, and
        q < 1e-4 · the median of ‖f(x*, h) − h‖² over the starts.
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
    field = _Field(cell, _held(cell, x))
    driven = x is not None and not (isinstance(x, Tensor) and x.dim() == 1)
    begin = _starts(field, x if driven else None, starts, state, noise, torch.Generator().manual_seed(seed))
    arrived = torch.cat([_descended(field, chunk, tolerance, max_iterations) for chunk in field.chunks(begin)])
    gaps, paces = field.gap(arrived), field.gap(begin)
    fixed = gaps.abs().amax(1) <= tolerance * (1 + arrived.abs().amax(1))
    near = (arrived >= begin.amin(0) - _span(begin)).all(1) & (arrived <= begin.amax(0) + _span(begin)).all(1)
    kept = fixed | (near & (_cost(gaps) < SLOW * _median(paces.square().sum(1))))
    leaders, counts = _distinct(arrived[kept], ~fixed[kept], gaps[kept].norm(dim=1), merge)
    found = FixedPoints(
        points=arrived[kept][leaders],
        x=flatten(field.x)[0],
        eigenvalues=_eigenvalues(field, arrived[kept][leaders]),
        speed=gaps[kept][leaders].norm(dim=1),
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
    rows = {name: getattr(found, name)[order] for name in ("points", "eigenvalues", "speed", "slow", "share")}
    return replace(found, **rows)


def _span(begin: Tensor) -> Tensor:
    """How wide the starts lie, in every direction: a slow point further off is one of the search, not of the cell."""
    return begin.amax(0) - begin.amin(0)


def _median(values: Tensor) -> float:
    finite = values[values.isfinite()]
    return float(finite.median()) if len(finite) else 0.0


class _Field:
    """h ↦ f(x*, h) − h for rows of flattened states, on a float64 copy of the cell."""

    def __init__(self, cell: Cell, x: Any):
        trajectory = Trajectory(cell, hold(x, 1))  # its copy and its checks
        self.cell, self.like, self.width, self.x = trajectory.cell, trajectory.start, trajectory.width, x
        self.name = type(cell).__name__

    def rows(self, h: Tensor) -> tuple[Any, State]:
        return expand(self.x, len(h)), unflatten(h, self.like)

    @torch.no_grad()
    def gap(self, h: Tensor) -> Tensor:
        """f(x*, h) − h, (m, n)."""
        return flatten(self.cell(*self.rows(h))[1]) - h

    @torch.no_grad()
    def jacobian(self, h: Tensor) -> Tensor:
        """∂f/∂h, (m, n, n)."""
        x, before = self.rows(h)
        found: Tensor = jacobian(self.cell)(x, before, *self.cell(x, before))
        return found

    def chunks(self, h: Tensor) -> Iterator[Tensor]:
        """Rows whose Jacobians fit together."""
        yield from h.split(max(1, NUMBERS_AT_ONCE // self.width**2))

    @torch.no_grad()
    def walk(self, x: Any, state: State) -> Tensor:
        """The states along the way, (batch · time, n), those that are finite."""
        record = scan(self.cell, x, state, record=lambda x, before, output, after: flatten(after)).record.flatten(0, 1)
        return record[record.isfinite().all(1) & (record.abs().amax(1) < 1e6)]


def _held(cell: Cell, x: Any) -> Any:
    """x*, one row, in float64."""
    if x is None:
        return double(map_leaves(lambda leaf: leaf[:, 0], cell.alone(1, 1)))
    shape = cell.input_shape
    if isinstance(x, Tensor) and (shape is None or len(shape) != 1 or x.shape[-1:] != shape or x.dim() not in (1, 3)):
        inputs = ", ".join(map(str, shape)) if shape is not None else "…"
        raise ValueError(
            f"x must be a tensor ({inputs},), the input to hold, or (batch, time, {inputs}), got {tuple(x.shape)}."
        )
    if isinstance(x, Tensor) and x.dim() == 1:
        check_finite("x", x, ["feature"])
        return double(x[None])
    check_driving(cell, x)
    return map_leaves(lambda leaf: leaf.mean((0, 1)).unsqueeze(0), double(x))


def _starts(
    field: _Field, x: Any, starts: int | Tensor, state: State | None, noise: float, generator: torch.Generator
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


def _trajectory(field: _Field, x: Any, state: State | None) -> Tensor:
    """The states under x."""
    trajectory = Trajectory(field.cell, x, state)
    return torch.cat([stretch.states().flatten(0, 1) for stretch in trajectory.forward()])


def _walks(field: _Field, count: int, generator: torch.Generator) -> Tensor:
    """The states on some walks under x* from random states, and on that from the cell's initial one."""
    walkers = min(16, count)
    random = torch.randn(walkers, field.width, generator=generator, dtype=torch.float64)
    begin = torch.cat([flatten(field.like), random])
    return field.walk(hold(expand(field.x, len(begin)), WALK), unflatten(begin, field.like))


def _descended(field: _Field, begin: Tensor, tolerance: float, max_iterations: int) -> Tensor:
    """Where Levenberg's and Marquardt's method takes every row; those that have arrived are left alone."""
    h, damping = begin.clone(), torch.full((len(begin),), 1e-3, dtype=torch.float64)
    cost = _cost(field.gap(h))
    moving = cost.isfinite()
    for _ in range(max_iterations):
        rows = moving.nonzero().squeeze(1)
        if not len(rows):
            break
        step = _damped(field, h[rows], damping[rows])
        tried = h[rows] + step
        value = _cost(field.gap(tried))
        better = value < cost[rows]
        h[rows] = torch.where(better.unsqueeze(1), tried, h[rows])
        cost[rows] = torch.where(better, value, cost[rows])
        damping[rows] = torch.where(better, damping[rows] / 10, damping[rows] * 10).clamp_min(1e-14)
        moving[rows] = _goes_on(step, h[rows], cost[rows], damping[rows], tolerance)
    return _polished(field, h)


def _goes_on(step: Tensor, h: Tensor, cost: Tensor, damping: Tensor, tolerance: float) -> Tensor:
    """Neither arrived at a fixed point nor stuck where no step helps."""
    size = 1 + h.abs().amax(1)
    still = (step.abs().amax(1) < 1e-12 * size) | (damping > 1e12)
    return (cost > (0.1 * tolerance * size) ** 2 / 2) & ~still


def _damped(field: _Field, h: Tensor, damping: Tensor) -> Tensor:
    """δ = −(AᵀA + μ D)⁻¹ Aᵀ F with F = f − h, A = J − I, and D the mean square of A's columns."""
    slope = field.jacobian(h) - torch.eye(field.width, dtype=h.dtype)
    normal = slope.mT @ slope
    load = damping * normal.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    loaded = normal + torch.diag_embed(load.unsqueeze(1).expand(-1, field.width))
    step, _ = torch.linalg.solve_ex(loaded, slope.mT @ field.gap(h).unsqueeze(2))
    return -step.squeeze(2)


def _polished(field: _Field, h: Tensor) -> Tensor:
    """A few plain Newton steps, δ = −A⁻¹F, as long as they help: they do not square the condition of A."""
    for _ in range(5):
        slope, gap = field.jacobian(h) - torch.eye(field.width, dtype=h.dtype), field.gap(h)
        step, _ = torch.linalg.solve_ex(slope, gap.unsqueeze(2))
        tried = h - step.squeeze(2)
        better = _cost(field.gap(tried)) < _cost(gap)
        if not better.any():
            break
        h = torch.where(better.unsqueeze(1), tried, h)
    return h


def _cost(gap: Tensor) -> Tensor:
    """q = ½ ‖F‖²."""
    return gap.square().sum(1) / 2


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


def _eigenvalues(field: _Field, points: Tensor) -> Tensor:
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

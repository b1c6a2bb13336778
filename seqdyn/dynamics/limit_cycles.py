"""Limit cycles: closed orbits that a cell settles on while its input is held; their period and Floquet multipliers.

periodic         h_{t+p} = h_t: it repeats itself after p steps, in which it turns q times
quasi-periodic   h_t = h(ω t), F(h(θ)) = h(θ + ω): it turns on a closed curve, at any rate
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqdyn.checks import check_count, is_number
from seqdyn.dynamics.angles import TURN, wrapped_angle
from seqdyn.dynamics.cycle_search import found_cycle
from seqdyn.dynamics.held import Field, held_input
from seqdyn.dynamics.invariant_curve import Curve
from seqdyn.dynamics.periodic_orbit import NEUTRAL
from seqdyn.dynamics.trajectory import check_cell
from seqdyn.facts import shown_by_facts
from seqdyn.state import State, flatten, leaves, map_leaves, named_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

MULTIPLIERS_SHOWN = 3
"""Multipliers in the short form."""


@shown_by_facts
@dataclass(frozen=True, repr=False)
class LimitCycle:
    """A closed orbit of f(x*, ·), traversed at a constant rate: h_t = h(ω t), with phases in turns.

    Attributes
    ----------
    kind : {"periodic", "quasi-periodic"}
        Whether it repeats itself after ``steps`` steps, or turns on a closed curve at any rate.
    rotation : float
        ω, in turns a step: q/p where it is periodic. Phases count so that it lies in (0, ½].
    steps : int or None
        p, after which a periodic one repeats itself.
    dt : float
        The time a step covers.
    curve, output_curve : Curve
        The Fourier coefficients of h(θ), flattened leaf after leaf, and of the output y(θ) that comes with it.
    points : Tensor, shape (m, n)
        The p states of a periodic one, in the order of time; else h(θ) at 2N + 1 equal steps of the phase.
    multipliers : Tensor of complex128, shape (k,)
        The Floquet multipliers, by which small deviations grow in ``steps`` steps, or in one turn, the largest modulus
        first. Of a quasi-periodic one they are moduli, and one of them, of what is shifted along the curve, is 1.
    residual : float
        "Closed to": max |F^p(h) − h|, or max |F(h(θ)) − h(θ + ω)|, relative to the size of the cycle.
    x : Tensor, shape (inputs,)
        The input that was held, x*.
    """

    kind: str
    rotation: float
    steps: int | None
    dt: float
    curve: Curve
    output_curve: Curve
    points: Tensor
    multipliers: Tensor
    residual: float
    x: Tensor

    def facts(self) -> dict[str, object]:
        """What a line or a small table shows: its kind, period, leading multipliers and how well it closes."""
        sizes = ", ".join(f"{value:.3g}" for value in self.multipliers.abs()[:MULTIPLIERS_SHOWN].tolist())
        left = len(self.multipliers) - MULTIPLIERS_SHOWN
        turns = f" ({self.turns} turns in {self.steps} steps)" if self.turns and self.turns > 1 else ""
        return {
            "kind": self.kind,
            "stable": self.stable,
            "period": f"{self.period:.6g} {'steps' if self.dt == 1 else 'units of time'}{turns}",
            "multipliers": f"{sizes} and {left} more" if left > 0 else sizes,
            "residual": f"{self.residual:.1g}",
        }

    @property
    def period(self) -> float:
        """The time of one turn, dt/ω."""
        return self.dt / self.rotation

    @property
    def period_in_steps(self) -> float:
        """The steps of one turn, 1/ω."""
        return 1 / self.rotation

    @property
    def frequency(self) -> float:
        """Turns per unit of time, ω/dt; Hz if dt is in seconds."""
        return self.rotation / self.dt

    @property
    def turns(self) -> int | None:
        """q: how often a periodic one turns in its p steps."""
        return None if self.steps is None else round(self.rotation * self.steps)

    @property
    def winding(self) -> Tensor:
        """(n,) int: how many times every component that is an angle goes round in one turn; 0 for all others."""
        return self.curve.winding.round().long()

    @property
    def transverse(self) -> Tensor:
        """The multipliers without that of a shift along the curve: all of them for a periodic one."""
        if self.steps is not None:
            return self.multipliers
        kept = torch.ones(len(self.multipliers), dtype=torch.bool)
        kept[(self.multipliers - 1).abs().argmin()] = False
        return self.multipliers[kept]

    @property
    def stable(self) -> bool:
        """Whether all transverse multipliers lie inside the circle |μ| < 1: deviations die, but for a shift in time."""
        return bool((self.transverse.abs() < 1 - NEUTRAL).all())

    @property
    def exponents(self) -> Tensor:
        """(k,): the rates ln |μ| per unit of time, as Lyapunov exponents are."""
        span = self.period if self.steps is None else self.steps * self.dt
        return self.multipliers.abs().log() / span

    def at(self, theta: Tensor | float) -> Tensor:
        """h(θ) at phases in turns, (m, n) for θ (m,), (n,) for a number.

        A periodic cycle has p phases, j q/p; between them it is their trigonometric interpolation.
        """
        return _curve_at(self.curve, theta)

    def output_at(self, theta: Tensor | float) -> Tensor:
        """y(θ), the output of the step that ends in h(θ), (m, outputs) or (outputs,)."""
        return _curve_at(self.output_curve, theta)

    def lags(self, of: Any = None) -> Tensor:
        """How much later every output is than the one before it, in cycles, in (−½, ½].

        Parameters
        ----------
        of : sequence of int, or slice, optional
            Which outputs, in which order; all of them if None.

        Returns
        -------
        Tensor, shape (count − 1,)
            From the phases of their fundamentals; NaN where one of them has none.
        """
        first = self.output_curve.coefficients[1]
        size = first.abs().max()
        first = torch.where(first.abs() > 1e-9 * size, first, complex(math.nan, math.nan))
        chosen = first if of is None else first[of] if isinstance(of, slice) else first[list(of)]
        late = -chosen.angle() / TURN
        return 0.5 - torch.remainder(0.5 - late.diff(), 1)

    def phase_of(self, state: State) -> Tensor:
        """The phase in [0, 1) of the point of the cycle that is next to a state, for each of its rows, (m,)."""
        h = flatten(state).detach().to("cpu", torch.float64)
        grid = torch.arange(8 * self.curve.harmonics + 8, dtype=torch.float64) / (8 * self.curve.harmonics + 8)
        theta = grid[torch.stack([self._away(row, grid).square().sum(1).argmin() for row in h])]
        for _ in range(20):
            slope = self.curve.slope(theta)
            theta = theta + (self._away(h, theta) * slope).sum(1) / slope.square().sum(1)
        return theta.remainder(1)

    def _away(self, h: Tensor, theta: Tensor) -> Tensor:
        """h − h(θ), that of angles the short way round."""
        way = h - self.curve.at(theta)
        return torch.where(self.curve.winding != 0, wrapped_angle(way), way)

    def states(self, cell: Cell) -> State:
        """The points as a state of m rows, in the cell's dtype and on its device: to start from, or to linearise at."""
        own = cell.initial_state(1)
        return map_leaves(lambda leaf, like: leaf.to(like), unflatten(self.points, own), own)


def limit_cycle(
    cell: Cell,
    x: Tensor | None = None,
    state: State | None = None,
    *,
    steps: int = 60_000,
    harmonics: int = 256,
    tolerance: float = 1e-10,
    dt: float | None = None,
    k: int = 20,
) -> LimitCycle:
    """Find the limit cycle that a cell settles on while its input is held.

    It walks until the run repeats itself, or turns on a closed curve; Newton's method makes either exact.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed. A closed loop is ``seqdyn.OwnPast(cell)``, its state (h, y).
    x : Tensor, shape (inputs,), optional
        x*, the input that is held. None: nothing comes in, zeros.
    state : State of one row, optional
        Where the walk begins; the cell's initial state if None. Which cycle is found, if there are several, is up to
        it.
    steps : int
        How far to walk, at most. Windows of 1024, 2048, … steps are tried in turn.
    harmonics : int
        N, at most.
    tolerance : float > 0
        What ``residual`` has to reach.
    dt : float > 0, optional
        The time a step covers; ``cell.dt`` if the cell has one, else 1.
    k : int
        How many leading multipliers of a quasi-periodic cycle to find, at most.

    Returns
    -------
    LimitCycle

    Raises
    ------
    ValueError
        If an argument does not fit, the run escapes or rests, or it is not periodic in the time allowed. The message
        says what was found instead: the point, or the largest Lyapunov exponent.

    Notes
    -----
    A learnt map, or a flow advanced in steps, has no reason to come back to where it was: it goes round a closed curve,
    and its period is no whole number of steps. "Periodic" is what repeats itself and attracts all orbits beside it, as
    where it locks; and what repeats itself where no smooth curve is to be had. A rigid turn by 2/5 is a curve.

    Only cycles that attract are found: the walk has to end there. Relaxation oscillations, which jump, need many
    harmonics.

    Components that are angles, which the map takes modulo 2π, may grow or jump; see ``winding``.

    References
    ----------
    Schilder, Osinga & Vogt (2005), Continuation of quasi-periodic invariant tori, SIAM Journal on Applied Dynamical
    Systems 4.
    Das, Saiki, Sander & Yorke (2017), Quantitative quasiperiodicity, Nonlinearity 30: the averages of the multipliers.

    Examples
    --------
    The logistic map at r = 3.2 goes to and fro between two values, with a multiplier of 4 + 2r − r²:

    >>> from seqdyn.systems.logistic import Logistic
    >>> cycle = limit_cycle(Logistic(3.2))
    >>> cycle
    LimitCycle(kind=periodic, stable=True, period=2 steps, multipliers=0.16, residual=0)

    The Van der Pol oscillator, at μ = 1 and a step of 0.05, needs 133.27 steps a turn:

    >>> from seqdyn.systems.van_der_pol import VanDerPol
    >>> cycle = limit_cycle(VanDerPol())
    >>> cycle.kind, round(cycle.period, 4), cycle.stable
    ('quasi-periodic', 6.6633, True)
    """
    check_cell(cell)
    steps, harmonics, k = check_count("steps", steps, 2048), check_count("harmonics", harmonics), check_count("k", k)
    dt = float(getattr(cell, "dt", 1.0)) if dt is None else dt
    for name, value in (("tolerance", tolerance), ("dt", dt)):
        if not is_number(value) or not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive, finite number, got {value!r}.")
    if x is not None and (not isinstance(x, Tensor) or x.dim() != 1):
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"x is the input to hold, a tensor ({cell.input_size},), got {got}: give one row, without time."
        )
    field = Field(cell, held_input(cell, x))
    found = found_cycle(field, _start_of_walk(field, state), steps, harmonics, tolerance, k)
    return LimitCycle(dt=float(dt), x=flatten(field.x)[0] if leaves(field.x) else torch.zeros(0), **found._asdict())


def _start_of_walk(field: Field, state: State | None) -> Tensor:
    """The flattened state to begin in, (1, n)."""
    if state is None:
        return flatten(field.like)
    list(named_leaves(state, "state"))  # its check: a tree of tensors
    h = flatten(state).detach().to("cpu", torch.float64)
    if h.shape != (1, field.width):
        raise ValueError(
            f"state must be one row of {field.name}'s state, (1, {field.width}) in all, got {tuple(h.shape)}."
        )
    return h


def _curve_at(curve: Curve, theta: Tensor | float) -> Tensor:
    phases = torch.as_tensor(theta, dtype=torch.float64)
    found = curve.at(phases.reshape(-1))
    return found if phases.dim() else found[0]

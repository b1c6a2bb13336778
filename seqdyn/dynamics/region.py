"""Regions of a cell's state space: the box that it does not leave, and the states that it reaches."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.autoregression import Past
from seqdyn.dynamics.held import FIELD_NUMBERS_AT_ONCE, Field
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.state import State, expand, flatten, hold, leaves, map_leaves, unflatten

WALK = 200
"""Steps of a walk."""

UNMOVED = 1e-9
"""What does not move by more, relative to its size, along a trajectory stays where it is put."""

WALKERS = 16
"""Walks side by side."""

PROBES = 4096
"""States and inputs at which is looked for a way out of the box; fewer of a wide cell."""

PROBE_ROUNDING = 1e-12
"""A probe may leave by this, relative to its size."""


class Box(NamedTuple):
    """Bounds of every component of a flattened state, (n,) each; ±inf where there is none."""

    low: Tensor
    high: Tensor

    def clamp(self, h: Tensor) -> Tensor:
        """The nearest states inside, (m, n)."""
        return h.clamp(self.low, self.high)

    def contains(self, h: Tensor) -> Tensor:
        """Whether rows lie inside, component by component, but for a relative 1e-6, (m,) bool."""
        slack = 1e-6 * (1 + torch.maximum(_finite_bound(self.low), _finite_bound(self.high)))
        return ((h >= self.low - slack) & (h <= self.high + slack)).all(1)

    def rounded(self, h: Tensor) -> Tensor:
        """Rows that lie outside by rounding alone are moved inside, (m, n)."""
        return torch.where(self.contains(h).unsqueeze(1), self.clamp(h), h)

    def closed_by(self, other: Box) -> Box:
        """The same, with the bounds of another where there are none."""
        low = torch.where(self.low.isfinite(), self.low, other.low)
        return Box(low, torch.where(self.high.isfinite(), self.high, other.high))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random states inside, (count, n): even between two bounds, normal where there are none."""
        normal = torch.randn(count, len(self.low), generator=generator, dtype=torch.float64)
        even = torch.rand(count, len(self.low), generator=generator, dtype=torch.float64)
        return torch.where(self.low.isfinite(), self.low + (self.high - self.low) * even, normal)


def span(states: Tensor) -> Box:
    """The smallest box around states (m, n); one that contains nothing if there are none."""
    if not len(states):
        nothing = torch.full((states.shape[1],), torch.inf, dtype=states.dtype)
        return Box(nothing, -nothing)
    return Box(states.amin(0), states.amax(0))


def scale(states: Tensor) -> float:
    """The width of the middle nine tenths of states (m, n) in their widest component: outliers hardly count."""
    cut = max(1, round(len(states) / 20))
    return float((states.kthvalue(len(states) + 1 - cut, 0).values - states.kthvalue(cut, 0).values).max())


def state_bounds(field: Field, generator: torch.Generator) -> Box:
    """Find the box that the state does not leave, whatever the input: (−1, 1) for tanh, (0, 1) for σ, none for relu.

        min(−1, h_i) ≤ f_i(x, h) ≤ max(1, h_i)   for all x and h:   |h_i| ≤ 1 from any start with |h_i| ≤ 1

    Tried at 4096 random states and inputs from a hundredth to a thousand, half of the components at −1, 0 or 1; and so
    is 0 in the place of −1. Bounds are ±inf where none holds, as for an LSTM's c, and where the state is the same after
    any step.

    No isolated fixed point is lost. Where h_i > 1 and f_i(x, h) ≤ h_i all around, f_i(x, h) = h_i is a maximum of
    f_i − h_i: row i of J − I is 0. A unit rests out there only where it is held.

    Examples
    --------
    A GRU's state is a mean of its candidate, a tanh, and of what it was:

    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.dynamics.held import held_input
    >>> cell = GRU(2, 3)
    >>> box = state_bounds(Field(cell, held_input(cell, None)), torch.Generator().manual_seed(0))
    >>> box.low.tolist(), box.high.tolist()
    ([-1.0, -1.0, -1.0], [1.0, 1.0, 1.0])
    """
    inputs = sum(leaf.numel() for leaf in leaves(field.x))
    count = max(64, min(PROBES, FIELD_NUMBERS_AT_ONCE // (field.width + inputs)))
    h = _probes(count, field.width, generator)
    with torch.no_grad():
        after = flatten(
            field.cell(_with_noise(expand(field.x, count), generator, wide=True), unflatten(h, field.like))[1]
        )
    start, slack = flatten(field.like)[0], PROBE_ROUNDING * (1 + h.abs())
    low, high = torch.full_like(start, -torch.inf), torch.full_like(start, torch.inf)
    bounded = (after <= h.clamp_min(1.0) + slack).all(0) & (start <= 1) & (after != h).any(0)
    for level in (-1.0, 0.0):
        holds = bounded & (after >= h.clamp_max(level) - slack).all(0) & (start >= level)
        low[holds], high[holds] = level, 1.0
    return Box(low, high)


def states_under(field: Field, x: Any, state: State | None) -> Tensor:
    """The states under x, (batch · time, n)."""
    trajectory = Trajectory(field.cell, x, state)
    return torch.cat([stretch.states().flatten(0, 1) for stretch in trajectory.forward()])


def walked_states(field: Field, walkers: int, box: Box, generator: torch.Generator) -> Tensor:
    """The states on walks under x* from random states, and on that from the cell's initial one, (m, n)."""
    begin = torch.cat([flatten(field.like), box.draw(walkers, generator)])
    return field.walk(hold(expand(field.x, len(begin)), WALK), unflatten(begin, field.like))


def reached_states(field: Field, box: Box, generator: torch.Generator) -> Tensor:
    """The states that the cell reaches, (m, n): from its initial one, under random inputs and then without.

    What takes no input, or one that is not made of numbers, gets anywhere: its walks begin in random states.
    """
    if not any(leaf.is_floating_point() and leaf.numel() for leaf in leaves(field.x)):
        return walked_states(field, WALKERS, box, generator)
    begin, x = expand(field.like, WALKERS), hold(expand(field.x, WALKERS), WALK)
    pushed = field.walk(_with_noise(x, generator), begin)
    rest = [pushed[torch.randint(len(pushed), (WALKERS,), generator=generator)]] if len(pushed) else []
    return torch.cat([pushed, *[field.walk(x, unflatten(state, field.like)) for state in rest]])


def freed_states(field: Field, states: Tensor, box: Box, generator: torch.Generator) -> Tensor:
    """The states (m, n) of a trajectory; components that never move are drawn from their bounds, and the cell run on.

    It stands where a start puts it, so that where the trajectory has it tells nothing: it is drawn from its bounds,
    within ±1, and put at both of them.
    """
    still = states.amax(0) - states.amin(0) <= UNMOVED * (1 + states.abs().amax(0))
    if not still.any():
        return states
    anywhere = torch.cat([torch.stack(box), box.draw(len(states), generator)]).clamp(-1, 1)
    states = torch.where(still, anywhere, torch.cat([states[:1], states[-1:], states]))
    begin = states[torch.randint(len(states), (WALKERS,), generator=generator)]
    settled = field.walk(hold(expand(field.x, WALKERS), WALK), unflatten(begin, field.like))
    return torch.cat([states, box.clamp(settled)])


def _with_noise(x: Any, generator: torch.Generator, wide: bool = False) -> Any:
    """The input with normal noise, of all sizes if wide; a cell on its own output is told another past."""
    if isinstance(x, Past):
        return Past(_with_noise(x.value, generator, wide), torch.ones_like(x.known), x.exogenous)

    def noise(leaf: Tensor) -> Tensor:
        normal = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
        return normal * _sizes(len(leaf), 1, generator).view(-1, *[1] * (leaf.dim() - 1)) if wide else normal

    return map_leaves(lambda leaf: leaf + noise(leaf) if leaf.is_floating_point() else leaf, x)


def _probes(count: int, width: int, generator: torch.Generator) -> Tensor:
    """States of all sizes; a way out begins at the border, so that half of the components are there."""
    normal = torch.randn(count, width, generator=generator, dtype=torch.float64)
    border = torch.randint(-1, 2, normal.shape, generator=generator).to(normal)
    there = torch.rand(normal.shape, generator=generator) < 0.5
    return torch.where(there, border, normal * _sizes(count, width, generator))


def _sizes(count: int, width: int, generator: torch.Generator) -> Tensor:
    """From 0.01 to 1000, (count, width): half of the rows of one size, half of all sizes side by side."""
    decades = 5 * torch.rand(count, width, generator=generator, dtype=torch.float64) - 2
    decades[::2] = decades[::2, :1].clone()
    return 10**decades


def _finite_bound(bound: Tensor) -> Tensor:
    return bound.abs().nan_to_num(posinf=0.0)

"""Least squares on the free run: the linear part in one step, the whole model by Levenberg–Marquardt.

    min_θ Σ_records Σ_t w_t ‖y_t − ŷ_t(θ, h_{-1})‖²

ŷ is the free run from each record's own start. It is linear in C, A, y_0 and the starts once D and B are known, and
nearly linear in all of them over a small step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.identification.records import Group
from seqdyn.identification.sensitivity import MATRICES, Equations, equations
from seqdyn.identification.stability import Contraction, contraction, largest_modulus, tangent, transition_of
from seqdyn.identification.system import LinearSystem
from seqdyn.levenberg_marquardt import column_lengths, minimised

RADIUS_ROOM = 1e-11
"""Room below the limit of the spectral radius without which nothing can be refined."""
MEMORY = 0.55
"""The longest time constant, as a share of the longest record."""
LARGEST_DERIVATIVE = 1e100
"""Derivatives from which a model is none."""


@dataclass(frozen=True)
class Problem:
    """The problem of the free run: its data, and which entries are free.

    Attributes
    ----------
    groups : sequence of Group
    records : int
    feedthrough : bool
        Whether A may differ from 0.
    free_starts : bool
        Whether every record's h_{-1} is estimated; else it stays 0.
    stable : bool
        Whether D must keep its spectral radius below 1.
    disturbances : int
        So many of the last states are integrators that no input reaches: the drift of the outputs. Their entries of D,
        B and C stay as they are, and with them there is no offset y_0.
    corrections : int
        So many of the last inputs are known changes of the states: their entries of C and A stay as they are.
    """

    groups: Sequence[Group]
    records: int
    feedthrough: bool = True
    free_starts: bool = True
    stable: bool = True
    disturbances: int = 0
    corrections: int = 0

    entries: ClassVar[tuple[str, ...]] = MATRICES
    """The matrices that are estimated, in the order of their columns."""

    @property
    def longest(self) -> int:
        """Steps of the longest record."""
        return max(group.x.shape[1] for group in self.groups)

    @property
    def largest_radius(self) -> float:
        """The spectral radius of the longest memory that the longest record supports."""
        return math.exp(-1.0 / (MEMORY * self.longest))

    @property
    def first_radius(self) -> float:
        """Where a closed form with longer memories is moved: inside the limit, so that a search can go on."""
        return self.largest_radius ** (1.0 / 0.9)

    def running(self, system: LinearSystem) -> LinearSystem:
        """The system whose free run over the groups is ŷ."""
        return system

    def chain(self, system: LinearSystem) -> Array:
        """The derivative of the entries of the running system by those of the system."""
        return np.eye(sum(np.size(getattr(system, name)) for name in MATRICES))

    def faintest(self, system: LinearSystem) -> float:
        """The effect on the outputs below which a direction of a start counts as unseen."""
        return 0.0

    def dynamic(self, system: LinearSystem) -> int:
        """How many states are no disturbances."""
        return system.order - self.disturbances

    def columns(self, system: LinearSystem, names: Sequence[str]) -> Array:
        """The columns of the free entries of some matrices, among those of all entries."""
        masks = self.free_entries(system)
        return np.flatnonzero(np.concatenate([masks[name].ravel() & (name in names) for name in self.entries]))

    def free_entries(self, system: LinearSystem) -> dict[str, Array]:
        """Which entries of every matrix are free."""
        masks = {name: np.ones(np.shape(getattr(system, name)), dtype=bool) for name in self.entries}
        masks["feedthrough"][:] = self.feedthrough
        for name in ("input_map", "feedthrough"):
            masks[name][:, masks[name].shape[1] - self.corrections :] = False
        if self.disturbances:
            own = self.dynamic(system)
            masks["transition"][own:], masks["transition"][:, own:] = False, False
            masks["readout"][:, own:], masks["input_map"][own:] = False, False
            masks["output_offset"][:] = False
        return masks

    def error(self, system: LinearSystem, starts: Array) -> float:
        """Σ w ‖y − ŷ‖²; infinite where it overflows."""
        total, running = 0.0, self.running(system)
        for group in self.groups:
            y, _ = running.simulate(group.x.numpy(), starts[group.places])
            with np.errstate(over="ignore", invalid="ignore"):
                total += float((group.weight.numpy() * (group.y.numpy() - y) ** 2).sum())
        return total if np.isfinite(total) else np.inf


@dataclass(frozen=True)
class Fit:
    """A model, the start of every record, and the error Σ w ‖y − ŷ‖² of its free run.

    ``coordinates`` are those of its transition while it is kept stable.
    """

    system: LinearSystem
    starts: Array
    error: float
    coordinates: Contraction | None = None


def linear_part(problem: Problem, readout: Array, transition: Array) -> Fit:
    """C, A, y_0 and the starts by linear least squares on the simulated output, for known B and D.

    Van Overschee & De Moor (1996), Subspace Identification for Linear Systems, section 4.4.
    """
    outputs, order = readout.shape
    inputs = problem.groups[0].x.shape[-1]
    empty = LinearSystem(np.zeros((outputs, inputs)), readout, np.zeros((order, inputs)), transition)
    return with_linear_part(problem, empty, np.zeros((problem.records, order)))


def with_linear_part(problem: Problem, system: LinearSystem, starts: Array) -> Fit:
    """The fit with its linear part at the optimum for its D and B."""
    free = problem.columns(system, ("input_map", "feedthrough", "output_offset"))
    here, chain = _equations(problem, system, starts)
    matrix = here.matrix @ chain[:, free]
    if not np.abs(matrix).max(initial=0.0) < LARGEST_DERIVATIVE:
        return Fit(system, starts, np.inf)
    step, lengths = np.zeros(chain.shape[1]), column_lengths(matrix)
    step[free] = np.linalg.lstsq(matrix / lengths, here.target, rcond=1e-12)[0] / lengths
    start_steps = here.start_steps(chain @ step, problem.records, problem.faintest(system))
    return _after_step(problem, Fit(system, starts, np.inf), step, start_steps)


def refined(problem: Problem, fit: Fit, tolerance: float = 1e-6) -> Fit:
    """The fit after Levenberg–Marquardt steps on everything at once, stable throughout if the problem asks for it.

    Then no memory becomes longer than about half of the longest record, unless it was from the start: the data cannot
    tell such a mode and its start from a drift, and what cancels in the record does not cancel after it. Gupta & Mehra
    (1974), Computational aspects of maximum likelihood estimation, for sensitivities as states of a linear system.
    """
    own = problem.dynamic(fit.system)
    if problem.stable and own:
        transition = fit.system.transition[:own, :own]
        radius, limit = largest_modulus(transition), problem.largest_radius
        limit = limit if radius < limit else math.sqrt(radius)
        if limit - radius < RADIUS_ROOM:
            return fit
        fit = replace(fit, coordinates=contraction(transition, limit))
    fit = minimised(fit, lambda place: _linearised(problem, place), tolerance=tolerance)
    settled = with_linear_part(problem, fit.system, fit.starts)
    return settled if settled.error < fit.error else fit


def derivatives(problem: Problem, fit: Fit) -> Array:
    """R with RᵀR = JᵀJ, J the derivatives of all weighted errors by the free entries, the starts taken out."""
    here, chain = _equations(problem, fit.system, fit.starts)
    matrix: Array = here.matrix @ chain[:, problem.columns(fit.system, problem.entries)]
    return matrix


def _equations(problem: Problem, system: LinearSystem, starts: Array) -> tuple[Equations, Array]:
    """The least-squares problem in the entries of the running system, and what these are to the system's own."""
    here = equations(problem.running(system), problem.groups, starts, problem.free_starts)
    return here, problem.chain(system)


def _linearised(problem: Problem, fit: Fit) -> tuple[Array, Array, Callable[[Array], Fit]]:
    """Derivatives and errors about a fit in its free coordinates, and the step in them."""
    here, chain = _equations(problem, fit.system, fit.starts)
    matrix = here.matrix @ chain
    inner = problem.columns(fit.system, ["transition"])
    outer = problem.columns(fit.system, problem.entries[1:])
    by_transition = matrix[:, inner]
    if fit.coordinates is not None:
        by_transition = by_transition @ tangent(fit.coordinates)

    def move(free: Array) -> Fit:
        within, rest = np.split(free, [len(free) - len(outer)])
        transition, coordinates = _transition(problem, fit, within)
        step = np.zeros(chain.shape[1])
        step[: transition.size] = (transition - fit.system.transition).ravel()
        step[outer] = rest
        if not np.isfinite(step).all():
            return replace(fit, error=np.inf)
        start_steps = here.start_steps(chain @ step, problem.records, problem.faintest(fit.system))
        moved = _after_step(problem, fit, step, start_steps)
        return replace(moved, coordinates=coordinates)

    return np.hstack([by_transition, matrix[:, outer]]), here.target, move


def _transition(problem: Problem, fit: Fit, step: Array) -> tuple[Array, Contraction | None]:
    """D after a step in its coordinates."""
    transition, own = fit.system.transition.copy(), problem.dynamic(fit.system)
    if fit.coordinates is None:
        transition[:own, :own] += step.reshape(own, own)
        return transition, None
    W, Y, limit = fit.coordinates
    by_w, by_y = (torch.as_tensor(part) for part in np.split(step, [W.numel()]))
    moved = Contraction(W + by_w.view_as(W), Y + by_y.view_as(Y), limit)
    transition[:own, :own] = transition_of(moved).numpy()
    return transition, moved


def _after_step(problem: Problem, fit: Fit, step: Array, start_steps: Array) -> Fit:
    """The fit after a step of the entries and one of the starts."""
    entries = [getattr(fit.system, name) for name in problem.entries]
    parts = np.split(step, np.cumsum([entry.size for entry in entries])[:-1])
    changed = {
        name: entry + part.reshape(entry.shape)
        for name, entry, part in zip(problem.entries, entries, parts, strict=True)
    }
    system = replace(fit.system, **changed)
    starts = fit.starts + start_steps if problem.free_starts else fit.starts
    return Fit(system, starts, problem.error(system, starts))

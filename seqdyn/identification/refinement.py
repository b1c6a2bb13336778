"""Least squares on the free run: the linear part in one step, the whole model by Levenberg–Marquardt.

    min_θ Σ_records Σ_t w_t ‖y_t − ŷ_t(θ, h_{-1})‖²

ŷ is the free run from each record's own start. It is linear in C, A, y_0 and the starts once D and B are known, and
nearly linear in all of them over a small step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from seqdyn.identification.levenberg_marquardt import column_lengths, minimised
from seqdyn.identification.records import Group
from seqdyn.identification.sensitivity import MATRICES, Equations, equations
from seqdyn.identification.stability import Contraction, contraction, tangent, transition_of
from seqdyn.identification.system import LinearSystem

Array = np.ndarray[Any, Any]
ROUNDING = 1e-11
"""Room below the limit of the spectral radius without which nothing can be refined."""
LARGEST = 1e100
"""Derivatives from which a model is none."""


@dataclass(frozen=True)
class Problem:
    """The data, and what is free.

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
    """

    groups: Sequence[Group]
    records: int
    feedthrough: bool = True
    free_starts: bool = True
    stable: bool = True

    @property
    def longest(self) -> int:
        """Steps of the longest record."""
        return max(group.x.shape[1] for group in self.groups)

    def columns(self, system: LinearSystem, names: Sequence[str]) -> Array:
        """The columns of some matrices among those of all entries; none of a feedthrough that must be 0."""
        ends = np.cumsum([0, *(np.size(getattr(system, name)) for name in MATRICES)])
        wanted = [name in names and (self.feedthrough or name != "feedthrough") for name in MATRICES]
        return np.flatnonzero(np.repeat(wanted, np.diff(ends)))

    def error(self, system: LinearSystem, starts: Array) -> float:
        """Σ w ‖y − ŷ‖² of the free run; infinite where it overflows."""
        total = 0.0
        for group in self.groups:
            y, _ = system.simulate(group.x.numpy(), starts[group.places])
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
    """C, A, y_0 and the starts by linear least squares, for known B and D.

    References
    ----------
    Van Overschee & De Moor (1996), Subspace Identification for Linear Systems, section 4.4, for solving for them in
    the simulated output.
    """
    outputs, order = readout.shape
    inputs = problem.groups[0].x.shape[-1]
    empty = LinearSystem(np.zeros((outputs, inputs)), readout, np.zeros((order, inputs)), transition)
    return solved(problem, empty, np.zeros((problem.records, order)))


def solved(problem: Problem, system: LinearSystem, starts: Array) -> Fit:
    """The fit with its linear part at the optimum for its D and B."""
    free = problem.columns(system, ("input_map", "feedthrough", "output_offset"))
    here = equations(system, problem.groups, starts, problem.free_starts)
    step = np.zeros(here.matrix.shape[1])
    if not np.abs(here.matrix).max(initial=0.0) < LARGEST:
        return Fit(system, starts, np.inf)
    lengths = column_lengths(here.matrix[:, free])
    step[free] = np.linalg.lstsq(here.matrix[:, free] / lengths, here.target, rcond=1e-12)[0] / lengths
    return _moved(problem, Fit(system, starts, np.inf), here, step, None)


def refined(problem: Problem, fit: Fit, tolerance: float = 1e-6) -> Fit:
    """The fit after Levenberg–Marquardt steps on everything at once, stable throughout if the problem asks for it.

    Then no memory becomes longer than the longest record, unless it was from the start: the data cannot tell such a
    mode and its start from an offset, and what cancels in the record does not cancel after it.

    References
    ----------
    Gupta & Mehra (1974), Computational aspects of maximum likelihood estimation, for sensitivities as states of a
    linear system.
    """
    if problem.stable:
        radius, limit = fit.system.spectral_radius(), math.exp(-0.9 / problem.longest)
        limit = limit if radius < limit else math.sqrt(radius)
        if limit - radius < ROUNDING:
            return fit
        fit = replace(fit, coordinates=contraction(fit.system.transition, limit))
    fit = minimised(fit, lambda place: _linearised(problem, place), tolerance=tolerance)
    settled = solved(problem, fit.system, fit.starts)
    return settled if settled.error < fit.error else fit


def _linearised(problem: Problem, fit: Fit) -> tuple[Array, Array, Callable[[Array], Fit]]:
    """Derivatives and errors about a fit in its free coordinates, and the step in them."""
    here = equations(fit.system, problem.groups, fit.starts, problem.free_starts)
    inner = problem.columns(fit.system, ["transition"])
    outer = problem.columns(fit.system, MATRICES[1:])
    derivative = here.matrix[:, inner]
    if fit.coordinates is not None:
        derivative = derivative @ tangent(fit.coordinates)

    def move(free: Array) -> Fit:
        within, rest = np.split(free, [len(free) - len(outer)])
        transition, coordinates = _transition(fit, within)
        step = np.zeros(here.matrix.shape[1])
        step[inner] = (transition - fit.system.transition).ravel()
        step[outer] = rest
        return _moved(problem, fit, here, step, coordinates)

    return np.hstack([derivative, here.matrix[:, outer]]), here.target, move


def _transition(fit: Fit, step: Array) -> tuple[Array, Contraction | None]:
    """D after a step in its coordinates."""
    transition = fit.system.transition
    if fit.coordinates is None:
        return transition + step.reshape(transition.shape), None
    W, Y, limit = fit.coordinates
    by_w, by_y = (torch.as_tensor(part) for part in np.split(step, [W.numel()]))
    moved = Contraction(W + by_w.view_as(W), Y + by_y.view_as(Y), limit)
    return transition_of(moved).numpy(), moved


def _moved(problem: Problem, fit: Fit, here: Equations, step: Array, coordinates: Contraction | None) -> Fit:
    """The fit after a step of the entries, and the step of the starts that goes with it."""
    if not np.isfinite(step).all():
        return replace(fit, error=np.inf)
    entries = [getattr(fit.system, name) for name in MATRICES]
    parts = np.split(step, np.cumsum([entry.size for entry in entries])[:-1])
    changed = {
        name: entry + part.reshape(entry.shape) for name, entry, part in zip(MATRICES, entries, parts, strict=True)
    }
    system = replace(fit.system, **changed)
    starts = fit.starts + here.start_steps(step, problem.records) if problem.free_starts else fit.starts
    return Fit(system, starts, problem.error(system, starts), coordinates)

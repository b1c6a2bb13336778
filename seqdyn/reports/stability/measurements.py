"""All that a stability report measures, each instrument apart: one that fails does not take the others with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.dynamics.capacity import memory_capacity
from seqdyn.dynamics.equilibria import FixedPoints, fixed_points
from seqdyn.dynamics.gates import GateStatistics, Saturation, gate_statistics, saturation
from seqdyn.dynamics.gradients import (
    GradientByLag,
    ParameterGradients,
    accumulated_gradient,
    gradient_by_lag,
    output_gradient,
    parameter_gradients,
)
from seqdyn.dynamics.horizons import Horizon, horizons
from seqdyn.dynamics.lyapunov import LyapunovSpectrum, lyapunov_spectrum
from seqdyn.dynamics.norm_preservation import Omega, omega
from seqdyn.dynamics.powers import Normality, normality
from seqdyn.dynamics.singular_values import transition_singular_values
from seqdyn.dynamics.spectrum import spectral_radius
from seqdyn.dynamics.trajectory import Trajectory, rows_of
from seqdyn.dynamics.transitions import TransitionMap, TransitionNorms, transition_map, transition_norms
from seqdyn.reports.stability.finite import broken
from seqdyn.reports.stability.subject import Subject
from seqdyn.state import flatten, map_leaves, steps, take

TIERS = ("fast", "standard", "full")

ANCHORS, STARTS, SAMPLED = 32, 32, 64
"""Errors followed back, starts of products at every lag, steps whose spectral radius is taken."""

EXPONENTS, WHOLE = 8, 64
"""Leading exponents, and the width up to which all of them are measured."""


class Recurrence(NamedTuple):
    """One step's Jacobian, the one whose spectral radius is the median of those looked at.

    Attributes
    ----------
    at : str
        Where it was taken.
    matrix : Normality
    radii : Tensor
        The spectral radii along the trajectory.
    """

    at: str
    matrix: Normality
    radii: Tensor


@dataclass
class Measurements:
    """What was measured; None where it was not, ``failed`` says why.

    ``broken`` says what is not finite, and from where on; then nothing else is measured.
    """

    recurrence: Recurrence | None = None
    products: TransitionNorms | None = None
    map: TransitionMap | None = None
    singular_values: Tensor | None = None
    singular_steps: int = 0
    gradient: GradientByLag | None = None
    accumulated: Tensor | None = None
    omega: Omega | None = None
    parameters: ParameterGradients | None = None
    lyapunov: LyapunovSpectrum | None = None
    sum_rule: LyapunovSpectrum | None = None
    gates: dict[str, GateStatistics] | None = None
    saturation: dict[str, Saturation] | None = None
    horizons: dict[str, Horizon] | None = None
    fixed_points: FixedPoints | None = None
    trajectory: Tensor | None = None
    growth: float = 0.0
    broken: str | None = None
    failed: dict[str, str] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)


def measure(subject: Subject, tier: str, seed: int) -> Measurements:
    """Run every instrument of a tier on a subject.

    Parameters
    ----------
    subject : Subject
    tier : {"fast", "standard", "full"}
        ``"fast"`` leaves out Lyapunov exponents, the map and singular values; ``"full"`` adds fixed points and all
        exponents.
    seed : int
    """
    found = Measurements(broken=broken(subject))
    if found.broken is not None:
        found.omitted.append("everything else: the trajectory is not finite")
        return found
    cell, x, state = subject.cell, subject.x, subject.state
    errors = anchors(subject)
    lag = min(subject.required_lag, subject.steps)
    attempt = _Attempts(found)
    attempt("recurrence", lambda: recurrence(subject))
    attempt("products", lambda: transition_norms(cell, x, state, lags=_lags(lag, subject.steps), starts=STARTS))
    if errors:
        reach = max(lag, min(2000, 4 * lag))
        attempt("gradient", lambda: gradient_by_lag(cell, x, subject.loss, state, anchors=errors, longest=reach))
    attempt("accumulated", lambda: accumulated_gradient(cell, x, subject.loss, state))
    attempt("gates", lambda: gate_statistics(cell, x, state))
    attempt("saturation", lambda: saturation(cell, x, state))
    if subject.kind == "autonomous":
        found.growth = growth(subject)
    if tier == "fast":
        if subject.kind == "autonomous":
            attempt("lyapunov", lambda: lyapunov_spectrum(cell, *_one_run(subject), k=1))
        found.omitted += ["Lyapunov exponents", "singular values of products", "the map over (s, t)", "fixed points"]
        return found
    attempt("omega", lambda: omega(cell, x, subject.loss, state))
    if errors and any(True for _ in cell.parameters()):
        attempt("parameters", lambda: parameter_gradients(cell, x, subject.loss, state, anchors=errors))
    attempt("map", lambda: transition_map(cell, _rows(x, 1), _rows(state, 1), anchors=min(48, subject.steps)))
    found.singular_steps = min(lag, subject.steps)
    attempt(
        "singular_values",
        lambda: transition_singular_values(
            cell, steps(_rows(x, 2), 0, found.singular_steps), _rows(state, 2), seed=seed
        ),
    )
    _exponents(subject, found, attempt, tier)
    _memory(subject, found, attempt, seed)
    if tier != "full":
        found.omitted.append("fixed points (tier='full')")
        return found
    attempt("fixed_points", lambda: fixed_points(cell, None if subject.kind == "autonomous" else x, seed=seed))
    attempt("trajectory", lambda: torch.cat([part.states() for part in Trajectory(cell, x, state).forward()], 1))
    return found


def anchors(subject: Subject) -> list[int]:
    """The steps whose errors are followed: with an error at all, in the second half and K steps in if possible."""
    slopes = output_gradient(Trajectory(subject.cell, subject.x, subject.state), subject.loss)
    there = (slopes != 0).flatten(2).any(2).any(0).nonzero().flatten()
    for earliest in (max(subject.required_lag - 1, subject.steps // 2), subject.required_lag - 1, 0):
        late = there[there >= earliest]
        if len(late):
            return late[torch.linspace(0, len(late) - 1, min(ANCHORS, len(late))).round().long()].tolist()
    return []


def growth(subject: Subject) -> float:
    """ln of how much larger the states of the second half of a run are than those of the first."""
    sizes = torch.cat([part.states() for part in Trajectory(subject.cell, *_one_run(subject)).forward()], 1).norm(dim=2)
    early, late = sizes[0].chunk(2)
    return float((late.max() / early.max()).log()) if bool(early.any()) else 0.0


def recurrence(subject: Subject) -> Recurrence:
    """The Jacobian of a typical step, and the spectral radii of some along the way."""
    trajectory = Trajectory(subject.cell, subject.x, subject.state)
    wanted = torch.linspace(0, trajectory.time - 1, min(SAMPLED, trajectory.time)).round().long().unique()
    kept = []
    for stretch in trajectory.forward():
        here = wanted[(wanted >= stretch.start) & (wanted < stretch.stop)] - stretch.start
        if len(here):
            kept.append(stretch.jacobians()[:1, here])
    matrices = torch.cat(kept, 1)[0]
    radii = spectral_radius(matrices)
    typical = int(radii.argsort()[(len(radii) - 1) // 2])
    constant = bool((matrices == matrices[0]).all())
    at = "every step" if constant else f"step {int(wanted[typical])} of the first sequence, of median spectral radius"
    return Recurrence(at, normality(matrices[typical]), radii)


def _exponents(subject: Subject, found: Measurements, attempt: _Attempts, tier: str) -> None:
    """Lyapunov exponents, and the sum rule on a few steps where not all of them are measured."""
    cell, x, state = subject.cell, subject.x, subject.state
    if subject.kind == "autonomous":
        x, state = _one_run(subject)
    width = Trajectory(cell, steps(x, 0, 1), state).width
    count = width if tier == "full" or width <= WHOLE else EXPONENTS
    attempt("lyapunov", lambda: lyapunov_spectrum(cell, x, state, k=count))
    if count < width:
        found.omitted.append(f"{width - count} of {width} Lyapunov exponents (tier='full')")
        short = min(subject.steps, 32)
        attempt("sum_rule", lambda: lyapunov_spectrum(cell, steps(_rows(x, 1), 0, short), _rows(state, 1), burn_in=0))


def _memory(subject: Subject, found: Measurements, attempt: _Attempts, seed: int) -> None:
    """The memory capacity under inputs like those of the data, and the table of horizons."""
    capacity = None
    inputs = flatten(rows_of(subject.x))
    if not inputs.is_floating_point():
        found.omitted.append("memory capacity: with tokens there is no correlation")
    elif subject.kind == "driven" and inputs.shape[1]:
        mean, scale = inputs.mean(0), inputs.std(0, correction=0)
        capacity = attempt.value("capacity", lambda: memory_capacity(subject.cell, mean=mean, scale=scale, seed=seed))
    products, leading = found.products, found.lyapunov
    if products is not None:
        exponent = float("nan") if leading is None else float(leading.exponents[0])
        attempt(
            "horizons",
            lambda: horizons(products, exponent, found.gradient, found.accumulated, found.gates, capacity),
        )


class _Attempts:
    """Runs one instrument after the other and writes down what they find, or why they could not."""

    def __init__(self, found: Measurements):
        self.found = found

    def __call__(self, name: str, instrument: Callable[[], Any]) -> None:
        """Keep what the instrument finds under its name."""
        setattr(self.found, name, self.value(name, instrument))

    def value(self, name: str, instrument: Callable[[], Any]) -> Any:
        """What the instrument finds; None, and a line in ``failed``, where it cannot."""
        try:
            return instrument()
        except (ValueError, RuntimeError, NotImplementedError, ArithmeticError, np.linalg.LinAlgError) as error:
            self.found.failed[name] = f"{type(error).__name__}: {error}"
            return None


def _lags(required: int, steps: int) -> list[int]:
    """Powers of two up to four times the required lag, and that itself."""
    longest = min(steps, max(4 * required, 16))
    return sorted({required, *(2**power for power in range(32) if 2**power <= longest)})


def _one_run(subject: Subject) -> tuple[Any, Any]:
    """The stretches of a system alone as the one run they are: it has only one transient to leave out."""
    return map_leaves(lambda leaf: leaf[None], rows_of(subject.x)), _rows(subject.state, 1)


def _rows(tree: Any, count: int) -> Any:
    """The first sequences."""
    return take(tree, slice(count))

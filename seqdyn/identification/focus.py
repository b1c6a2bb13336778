"""The two errors that a fit can minimise: of the free run, or one step ahead.

Each has a closed form to begin with, a search, an error by which orders are compared, and what is known in the end.
The free run asks nothing of the noise, but takes for dynamics what drifts or is fed back. The one-step error asks for a
gain K, too, and is then right about noise with a memory, drift and feedback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
from scipy.linalg import block_diag

from seqdyn.arrays import Array
from seqdyn.identification.estimation import Directions, Estimation
from seqdyn.identification.hankel import Factor
from seqdyn.identification.kalman import states
from seqdyn.identification.noise import with_gain
from seqdyn.identification.prediction_error import (
    PredictionProblem,
    any_output_missing,
    beginning,
    completed,
    filtered_errors,
    innovation_form,
    one_step_errors,
    predicting,
    search_form,
    with_gaps,
    with_outputs_as_inputs,
    without_corrections,
)
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit, Problem, linear_part, refined, with_linear_part
from seqdyn.identification.stability import largest_modulus, pulled_inside
from seqdyn.identification.subspace import Subspace, predictor_subspace, realisation, subspace
from seqdyn.identification.system import LinearSystem
from seqdyn.identification.uncertainty import coloured_root, directions, free_parameters, undetermined, white_root

INSIST = 0.5
"""Share of the error below which a memory longer than the records support is kept."""
MARGINAL = 1e-9
"""Distance from the unit circle at which a mode that neither grows nor decays is kept."""
LARGEST_CONDITION = 1e8
"""Of I − D, from which a system counts as one with an integrator."""
DRIFTS = (0.03, 0.2, 0.6)
"""Shares of a one-step error that a drift may keep, to begin with."""


@dataclass(frozen=True)
class Freedom:
    """Which parts of the model are free, see :class:`~seqdyn.identification.refinement.Problem`."""

    feedthrough: bool = True
    free_starts: bool = True
    stable: bool = True


class Focus(Protocol):
    """What both have in common; they are built from the records that are fitted."""

    name: ClassVar[str]

    def state_subspace(self, data: Factor) -> Subspace:
        """The subspace of the states."""
        ...

    def begin(self, state_subspace: Subspace, order: int) -> tuple[Fit, float]:
        """The closed form, and the spectral radius it had before it was made stable."""
        ...

    def refine(self, fit: Fit, tolerance: float = 1e-6) -> Fit:
        """The fit with the least error."""
        ...

    def errors(self, records: Sequence[DataRecord], fit: Fit) -> list[Array]:
        """The errors that the focus minimises, at every step; 0 where y is missing."""
        ...

    def finish(self, fit: Fit, data: Factor, refine: bool) -> Fit:
        """The fit with a model of its noise and, after a refinement, its standard errors."""
        ...


@dataclass(frozen=True)
class Simulation:
    """The free run from every record's own start."""

    name: ClassVar[str] = "simulation"
    records: Sequence[DataRecord]
    problem: Problem
    weighting: str = "cva"

    @classmethod
    def of(cls, records: Sequence[DataRecord], freedom: Freedom, weighting: str = "cva") -> Simulation:
        own = Problem(grouped(records), len(records), freedom.feedthrough, freedom.free_starts, freedom.stable)
        return cls(records, own, weighting)

    def static(self) -> Fit:
        """The model without states; its errors are those one step ahead, too."""
        outputs = self.records[0].y.shape[1]
        fit = linear_part(self.problem, np.zeros((outputs, 0)), np.zeros((0, 0)))
        system = replace(fit.system, noise_gain=np.zeros((0, outputs)))
        return _with_likelihood(
            replace(fit, system=system), self.name, self.records, free_parameters(self.problem, fit)
        )

    def state_subspace(self, data: Factor) -> Subspace:
        return realisation(data) if data.inputs_hold_outputs else subspace(data, self.weighting)

    def begin(self, state_subspace: Subspace, order: int) -> tuple[Fit, float]:
        """The closed form; eigenvalues beyond the longest memory that the records support are moved to that limit.

        Or Maciejowski's stable transition is taken, if its run is closer to the data. Stable eigenvalues beyond the
        limit are kept where that halves the error.
        """
        problem, readout, transition = self.problem, state_subspace.readout(order), state_subspace.transition(order)
        radius = largest_modulus(transition)
        if not problem.stable or radius <= problem.largest_radius:
            return linear_part(problem, readout, transition), radius
        inside = [
            pulled_inside(moved, problem.first_radius)
            for moved in (transition, state_subspace.stable_transition(order))
        ]
        moved = min((linear_part(problem, readout, tried) for tried in inside), key=lambda fit: fit.error)
        if radius < 1.0 + MARGINAL:
            kept = linear_part(problem, readout, pulled_inside(transition, 1.0 - MARGINAL))
            moved = kept if kept.error < INSIST * moved.error else moved
        return moved, radius

    def refine(self, fit: Fit, tolerance: float = 1e-6) -> Fit:
        return refined(self.problem, fit, tolerance)

    def errors(self, records: Sequence[DataRecord], fit: Fit) -> list[Array]:
        return simulation_errors(records, fit)

    def finish(self, fit: Fit, data: Factor, refine: bool) -> Fit:
        fit = in_unit_states(fit, self.problem)
        if data.inputs_hold_outputs:
            return fit
        noisy = with_gain(fit.system, data, self.records, fit.starts, refine)
        if noisy.noise_gain is None:
            return fit
        known = _with_likelihood(
            replace(fit, system=noisy), self.name, self.records, _spent(self.problem, fit) + noisy.noise_gain.size
        )
        if not refine:
            return known
        root, unknown = coloured_root(self.problem, fit), undetermined(self.problem, fit)
        return _sure(known, directions(self.problem, fit, root), directions(self.problem, fit, unknown))


@dataclass(frozen=True)
class Prediction:
    """One step ahead, the Kalman gain among what is free.

    With ``disturbances`` the outputs drift, see :class:`~seqdyn.identification.refinement.Problem`.
    """

    name: ClassVar[str] = "prediction"
    records: Sequence[DataRecord]
    problem: PredictionProblem

    @classmethod
    def of(cls, records: Sequence[DataRecord], freedom: Freedom, disturbances: int = 0) -> Prediction:
        filled = [record.bridged() for record in records]
        ways = (freedom.feedthrough, freedom.free_starts, freedom.stable, disturbances)
        return cls(records, PredictionProblem(grouped(with_outputs_as_inputs(filled)), len(records), *ways))

    def state_subspace(self, data: Factor) -> Subspace:
        return predictor_subspace(data, self.problem.feedthrough)

    def begin(self, state_subspace: Subspace, order: int) -> tuple[Fit, float]:
        """The closed form from the subspace of the predictor."""
        plain = replace(self.problem, disturbances=0)
        fit, radius = beginning(self.records, plain, state_subspace, order)
        return (self._drifting(fit) if self.problem.disturbances else fit), radius

    def refine(self, fit: Fit, tolerance: float = 1e-6) -> Fit:
        return predicting(self.records, self.problem, fit, tolerance) if np.isfinite(fit.error) else fit

    def from_simulation(self, simulation: Simulation, fit: Fit, data: Factor, tolerance: float = 1e-6) -> Fit:
        """Search from a fit of the free run and the gain of its noise: it may end in another minimum."""
        noisy = with_gain(fit.system, data, simulation.records, fit.starts, refine=True)
        if noisy.noise_gain is None:
            return replace(fit, error=np.inf)
        begin = search_form(replace(fit, system=noisy, coordinates=None))
        return self.refine(replace(begin, error=self.problem.error(begin.system, begin.starts)), tolerance)

    def errors(self, records: Sequence[DataRecord], fit: Fit) -> list[Array]:
        return one_step_errors(completed(records, fit), fit)

    def finish(self, fit: Fit, data: Factor, refine: bool) -> Fit:
        problem = self.problem
        if refine and any_output_missing(self.records):
            problem, fit = with_gaps(self.records, problem, fit)
        fit = in_unit_states(fit, problem)
        inputs = self.records[0].x.shape[1]
        plain = innovation_form(without_corrections(fit, inputs))
        known = _with_likelihood(plain, self.name, self.records, _spent(problem, fit))
        if refine:
            roots = white_root(problem, fit), undetermined(problem, fit)
            known = _sure(known, *(directions(problem, fit, root).of_inputs(inputs) for root in roots))
        return counted_from_rest(known) if self.problem.free_starts else known

    def _drifting(self, fit: Fit) -> Fit:
        """The fit with an integrator of the errors beside its states, the best of some gains."""
        outputs = fit.system.outputs
        starts = np.hstack([fit.starts, np.tile(fit.system.output_offset, (len(fit.starts), 1))])
        assert fit.system.noise_gain is not None
        tried = []
        for share in DRIFTS:
            for gain in (fit.system.noise_gain, 0 * fit.system.noise_gain):
                system = LinearSystem(
                    fit.system.feedthrough,
                    np.hstack([fit.system.readout, np.eye(outputs)]),
                    np.vstack([fit.system.input_map, np.zeros((outputs, fit.system.inputs))]),
                    block_diag(fit.system.transition, np.eye(outputs)),
                    noise_gain=np.vstack([gain, share * np.eye(outputs)]),
                )
                if np.isfinite(self.problem.error(system, starts)):
                    tried.append(with_linear_part(self.problem, system, starts))
        return min(tried, key=lambda one: one.error, default=replace(fit, error=np.inf))


def simulation_errors(records: Sequence[DataRecord], fit: Fit) -> list[Array]:
    """y − ŷ of the free run; 0 where y is missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        return [
            np.nan_to_num(record.y - fit.system.simulate(record.x, start)[0], nan=0.0)
            for record, start in zip(records, fit.starts, strict=True)
        ]


def in_unit_states(fit: Fit, problem: Problem) -> Fit:
    """The same fit with states of root mean square 1 over the records; disturbances keep the unit of the outputs."""
    total, count = np.zeros(fit.system.order), 0
    running = states(problem.running(fit.system))
    for group in problem.groups:
        h, _ = running.simulate(group.x.numpy(), fit.starts[group.places])
        total, count = total + (h**2).sum(axis=(0, 1)), count + h.shape[0] * h.shape[1]
    size = np.sqrt(total / count)
    size = np.where(np.isfinite(size) & (size > 0), size, 1.0)
    size[problem.dynamic(fit.system) :] = 1.0
    return replace(fit, system=fit.system.in_basis(np.diag(1.0 / size)), starts=fit.starts / size, coordinates=None)


def counted_from_rest(fit: Fit) -> Fit:
    """The same fit with h_0 = 0, the states counted from δ = (I − D)⁻¹ h_0; the output at rest at x = 0 is y_0 + B δ.

    A system with an integrator stays as it is.
    """
    system, estimation = fit.system, fit.system.estimation
    gap = np.eye(system.order) - system.transition
    if np.linalg.cond(gap) > LARGEST_CONDITION:
        return fit
    inverse = np.linalg.inv(gap)
    rest = inverse @ system.state_offset

    def counted(along: Directions) -> Directions:
        moved = (along.transition @ rest + along.state_offset) @ inverse.T
        offsets = along.output_offset + along.readout @ rest + moved @ system.readout.T
        return along._replace(output_offset=offsets, state_offset=np.zeros_like(along.state_offset))

    if estimation is not None:
        estimation = estimation.changed(counted)
    offset = system.output_offset + system.readout @ rest
    system = replace(system, output_offset=offset, state_offset=None, estimation=estimation)
    return replace(fit, system=system, starts=fit.starts - rest)


def _spent(problem: Problem, fit: Fit) -> int:
    """d: what was estimated, the starts among it."""
    return free_parameters(problem, fit) + problem.records * fit.starts.shape[1] * problem.free_starts


def _sure(fit: Fit, found: Directions, unknown: Directions) -> Fit:
    """The fit with the covariance of its entries."""
    assert fit.system.estimation is not None
    estimation = replace(
        fit.system.estimation, directions=found, undetermined=unknown if len(unknown.transition) else None
    )
    return replace(fit, system=replace(fit.system, estimation=estimation))


def _with_likelihood(fit: Fit, focus: str, records: Sequence[DataRecord], count: int) -> Fit:
    """The fit with the covariance R of e_t, and the likelihood of the records.

    ln L = −½ Σ_t (e_tᵀ S_t⁻¹ e_t + ln det 2πS_t)        S_t = R, and larger after a gap
    """
    seen, covariance = filtered_errors(records, search_form(fit))
    known = ~np.isnan(np.concatenate([record.y for record in records]))
    errors = np.concatenate([one.errors * np.sqrt(one.share) for one in seen])
    shares = float(np.log(np.concatenate([one.share for one in seen])[known]).sum())
    likelihood = -0.5 * (_gaussian_deviance(errors, known, covariance) - shares)
    log_determinant = float(np.linalg.slogdet(covariance)[1])
    estimation = Estimation(focus, known.sum(axis=0), count, likelihood, log_determinant)
    return replace(fit, system=replace(fit.system, noise_covariance=covariance, estimation=estimation))


def _gaussian_deviance(errors: Array, known: Array, covariance: Array) -> float:
    """Σ_t (e_tᵀ R⁻¹ e_t + ln det 2πR) over what is known at every step."""
    total = 0.0
    for pattern in np.unique(known, axis=0):
        if pattern.any():
            rows = errors[(known == pattern).all(axis=1)][:, pattern]
            part = 2 * np.pi * covariance[np.ix_(pattern, pattern)]
            total += (
                2 * np.pi * float((rows @ np.linalg.inv(part) * rows).sum()) + len(rows) * np.linalg.slogdet(part)[1]
            )
    return total

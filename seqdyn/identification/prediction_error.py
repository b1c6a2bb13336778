"""Least squares on the one-step error: the system and its Kalman gain together.

    ŷ_t = A x_t + B h_{t-1} + y_0        h_t = (C − K A) x_t + (D − K B) h_{t-1} + K y_t

The predictor is a linear system itself, driven by inputs and measured outputs side by side: its errors, their
derivatives and the steps on them are those of a free run (:mod:`seqdyn.identification.refinement`). Noise that has
dynamics, drift and feedback then stand where they belong, in K, and not in what the inputs do.

During the search h_0 = 0; :func:`innovation_form` brings it to the form in which y_0 is an offset of the outputs alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.linalg import block_diag

from seqdyn.arrays import Array
from seqdyn.identification.kalman import filter_of, filtered, prediction_deviation, predictions_ahead
from seqdyn.identification.noise import steady_radius
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit, Problem, refined, with_linear_part
from seqdyn.identification.sensitivity import MATRICES
from seqdyn.identification.stability import pulled_inside
from seqdyn.identification.subspace import Subspace
from seqdyn.identification.system import LinearSystem

ROUNDS = 3
"""Times that missing outputs are filled in and errors are weighed anew."""
FAINTEST_SHARE = 0.01
"""Share of the readout below which a direction of a start is not estimated."""


@dataclass(frozen=True)
class PredictionProblem(Problem):
    """The problem of the one-step error: records driven by inputs and outputs."""

    entries: ClassVar[tuple[str, ...]] = (*MATRICES, "noise_gain")

    def running(self, system: LinearSystem) -> LinearSystem:
        """The predictor of the system."""
        return predictor(system)

    def chain(self, system: LinearSystem) -> Array:
        """d(D − KB) = dD − dK B − K dB,  d(C − KA) = dC − dK A − K dA,  and K is a part of the input map."""
        shapes = [np.shape(getattr(system, name)) for name in self.entries]
        count = sum(math.prod(shape) for shape in shapes)
        unit = np.split(np.eye(count), np.cumsum([math.prod(shape) for shape in shapes])[:-1], axis=1)
        dD, dC, dB, dA, dy, dK = (part.reshape(count, *shape) for part, shape in zip(unit, shapes, strict=True))
        K, A, B = system.noise_gain, system.feedthrough, system.readout
        moved = (
            dD - dK @ B - K @ dB,
            np.concatenate([dC - dK @ A - K @ dA, dK], axis=2),
            dB,
            np.concatenate([dA, np.zeros((count, system.outputs, system.outputs))], axis=2),
            dy,
        )
        return np.hstack([part.reshape(count, -1) for part in moved]).T

    def error(self, system: LinearSystem, starts: Array) -> float:
        """Σ w ‖e_t‖²; infinite where the predictor remembers longer than the system, and than a tenth of the record.

        Few data cannot tell such a predictor from one that has learnt by heart what their noise began with.
        """
        assert system.noise_gain is not None
        if not np.isfinite(system.noise_gain).all():
            return np.inf
        radius, limit = predictor(system).spectral_radius(), max(min(system.spectral_radius(), 1.0), self.steady_radius)
        return super().error(system, starts) if radius <= limit and radius < 1.0 else np.inf

    def faintest(self, system: LinearSystem) -> float:
        """A hundredth of the readout: the predictor forgets a start at once, the free run from it does not."""
        return FAINTEST_SHARE * float(np.linalg.norm(system.readout))

    @property
    def steady_radius(self) -> float:
        """The spectral radius of a predictor that remembers a tenth of the longest record."""
        return steady_radius(self.longest)


@dataclass(frozen=True)
class PredictorProblem(Problem):
    """The same problem in the entries of the predictor, whose last inputs are outputs: none moves itself."""

    outputs: int = 1

    def faintest(self, system: LinearSystem) -> float:
        return FAINTEST_SHARE * float(np.linalg.norm(system.readout))

    def free_entries(self, system: LinearSystem) -> dict[str, Array]:
        masks = super().free_entries(system)
        masks["feedthrough"][:, -self.outputs :] = False
        return masks


def predictor(system: LinearSystem) -> LinearSystem:
    """The system from [x_t; y_t] to ŷ_{t|t-1}."""
    assert system.noise_gain is not None
    return filter_of(system, system.noise_gain)


def from_predictor(running: LinearSystem) -> LinearSystem:
    """The system whose predictor this is: K, C = C̄ + K A and D = D̄ + K B."""
    inputs = running.inputs - running.outputs
    feedthrough, (input_map, gain) = running.feedthrough[:, :inputs], np.split(running.input_map, [inputs], axis=1)
    return LinearSystem(
        feedthrough,
        running.readout,
        input_map + gain @ feedthrough,
        running.transition + gain @ running.readout,
        running.output_offset,
        running.state_offset,
        gain,
    )


def innovation_form(fit: Fit) -> Fit:
    """The same fit driven by e_t = y_t − ŷ_t instead of y_t: K y_0 more in h_0."""
    return _offset_by(fit, 1.0)


def search_form(fit: Fit) -> Fit:
    """The inverse of :func:`innovation_form`."""
    return _offset_by(fit, -1.0)


def _offset_by(fit: Fit, sign: float) -> Fit:
    system = fit.system
    assert system.noise_gain is not None
    offset = system.state_offset + sign * system.noise_gain @ system.output_offset
    return replace(fit, system=replace(system, state_offset=offset))


def with_outputs_as_inputs(records: Iterable[DataRecord]) -> list[DataRecord]:
    """The records with their outputs beside their inputs."""
    return [DataRecord(np.hstack([record.x, np.nan_to_num(record.y)]), record.y, record.weight) for record in records]


# -------------------------------------------------------------------- where to begin


def predictor_part(
    records: Sequence[DataRecord], problem: Problem, readout: Array, transition: Array
) -> tuple[Fit, float]:
    """The fit with all but B and D̄ of its predictor by linear least squares; D is moved inside where it has to be."""
    outputs, order = readout.shape
    inputs = records[0].x.shape[1]
    linear = PredictorProblem(
        problem.groups, problem.records, problem.feedthrough, problem.free_starts, problem.stable, outputs=outputs
    )
    empty = LinearSystem(
        np.zeros((outputs, inputs + outputs)), readout, np.zeros((order, inputs + outputs)), transition
    )
    found = with_linear_part(linear, empty, np.zeros((problem.records, order)))
    system = from_predictor(found.system)
    radius = system.spectral_radius()
    if problem.stable and radius > problem.largest_radius:
        system = replace(system, transition=pulled_inside(system.transition, problem.first_radius))
        return with_linear_part(problem, system, found.starts), radius
    return Fit(system, found.starts, problem.error(system, found.starts)), radius


def beginning(
    records: Sequence[DataRecord], problem: PredictionProblem, state_subspace: Subspace, order: int
) -> tuple[Fit, float]:
    """The closed form: B and D̄ of the predictor from its subspace, the rest by linear least squares.

    Beside it comes the spectral radius of D before it was made stable.
    """
    transition = pulled_inside(state_subspace.transition(order), problem.steady_radius)
    return predictor_part(records, problem, state_subspace.readout(order), transition)


# -------------------------------------------------------------------- the search


def predicting(records: Sequence[DataRecord], problem: PredictionProblem, fit: Fit, tolerance: float = 1e-6) -> Fit:
    """The fit with the least one-step errors, every output weighted by the inverse of its error covariance.

        min Σ_t e_tᵀ R⁻¹ e_t        R the covariance of the errors so far: for Gaussian noise the maximum likelihood

    An output that is missing is what the fit so far predicts, and counts nothing. The search ends where the error falls
    by less than a share of ``tolerance``. Ljung (1999), System Identification, sections 7.2 and 7.4.
    """
    for _ in range(ROUNDS if any_output_missing(records) or len(fit.system.readout) > 1 else 1):
        filled = completed(records, fit)
        fit = _weighed_best(filled, problem, fit, _weighing(filled, fit), tolerance)
    return replace(fit, error=problem.error(fit.system, fit.starts))


def with_gaps(records: Sequence[DataRecord], problem: PredictionProblem, fit: Fit) -> tuple[PredictionProblem, Fit]:
    """The most likely fit of records in which outputs are missing, and its problem.

    After a gap the exact filter trusts the outputs more than the steady one does. What it adds to the states stands
    among the inputs, as the fit so far has it, and every error counts by the variance that the filter expects. Jones
    (1980), Maximum likelihood fitting of ARMA models to time series with missing observations.
    """
    inputs = fit.system.inputs
    problem = replace(problem, corrections=fit.system.order)
    for _ in range(ROUNDS):
        seen, covariance = filtered_errors(records, fit)
        corrected = [
            DataRecord(np.hstack([r.x, one.correction]), one.filled, r.weight * one.share)
            for r, one in zip(records, seen, strict=True)
        ]
        weighing = np.diag(1.0 / np.sqrt(np.maximum(np.diag(covariance), 1e-300)))
        problem = replace(problem, groups=grouped(with_outputs_as_inputs(corrected)))
        fit = _weighed_best(corrected, problem, _with_corrections(fit, inputs), weighing, 1e-6)
        extended, fit = fit, without_corrections(fit, inputs)
    return problem, replace(extended, error=problem.error(extended.system, extended.starts))


def _weighed_best(
    records: Sequence[DataRecord], problem: PredictionProblem, fit: Fit, weighing: Array, tolerance: float
) -> Fit:
    """The fit with the least Σ ‖W e_t‖²; its error is unknown."""
    weighed = replace(
        problem, groups=grouped(with_outputs_as_inputs(_weighed_record(record, weighing) for record in records))
    )
    inside = _in_output_basis(fit, weighing, problem.disturbances)
    found = refined(weighed, replace(inside, error=weighed.error(inside.system, inside.starts)), tolerance)
    return _in_output_basis(found, np.linalg.inv(weighing), problem.disturbances)


def _with_corrections(fit: Fit, inputs: int) -> Fit:
    """The same system with an input for every state, added to it."""
    system = fit.system
    order, outputs = system.order, system.outputs
    feedthrough = np.hstack([system.feedthrough[:, :inputs], np.zeros((outputs, order))])
    input_map = np.hstack([system.input_map[:, :inputs], np.eye(order)])
    return replace(fit, system=replace(system, feedthrough=feedthrough, input_map=input_map))


def without_corrections(fit: Fit, inputs: int) -> Fit:
    """The same fit with its first inputs alone."""
    system = fit.system
    feedthrough, input_map = system.feedthrough[:, :inputs], system.input_map[:, :inputs]
    return replace(fit, system=replace(system, feedthrough=feedthrough, input_map=input_map))


# -------------------------------------------------------------------- errors


class Filtered(NamedTuple):
    """The results of the exact filter on a record, all (time, …).

    ``errors`` one step ahead, 0 where none is known; ``share``, the variance of e_t over that of its error; ``filled``,
    the outputs with the predicted ones in the gaps; ``correction``, what it adds to the states of the steady filter.
    """

    errors: Array
    share: Array
    filled: Array
    correction: Array


def filtered_errors(records: Sequence[DataRecord], fit: Fit) -> tuple[list[Filtered], Array]:
    """What the exact filter of a fit makes of the records, and the covariance R of e_t that agrees with it."""
    errors = one_step_errors(completed(records, fit), fit)
    covariance = _pooled(errors, records)
    if not any_output_missing(records):
        nothing = [np.zeros((len(record.x), fit.system.order)) for record in records]
        parts = zip(errors, records, nothing, strict=True)
        return [Filtered(e, np.ones_like(e), record.y, none) for e, record, none in parts], covariance
    for _ in range(ROUNDS):
        seen = [
            _filtered_record(record, fit, start, covariance) for record, start in zip(records, fit.starts, strict=True)
        ]
        covariance = _pooled([one.errors * np.sqrt(one.share) for one in seen], records)
    return seen, covariance


def _filtered_record(record: DataRecord, fit: Fit, start: Array, covariance: Array) -> Filtered:
    system = replace(innovation_form(fit).system, noise_covariance=covariance)
    assert system.noise_gain is not None
    h = filtered(system, record.x, record.y, start)
    before = np.vstack([start, h[:-1]])
    y = record.x @ system.feedthrough.T + before @ system.readout.T + system.output_offset
    known = ~np.isnan(record.y)
    errors = np.where(known, record.y - y, 0.0)
    steady = record.x @ system.input_map.T + before @ system.transition.T + system.state_offset
    deviation = prediction_deviation(system, record.y, 1)
    share = np.diag(covariance) / np.maximum(deviation**2, 1e-300)
    return Filtered(errors, share, y + errors, h - steady - errors @ system.noise_gain.T)


def _pooled(errors: Sequence[Array], records: Sequence[DataRecord]) -> Array:
    """The covariance of errors over the steps at which both outputs are known."""
    joined, known = np.concatenate(errors), ~np.isnan(np.concatenate([record.y for record in records]))
    count = known.astype(float).T @ known
    covariance: Array = (joined * known).T @ (joined * known) / np.maximum(count, 1.0)
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, max(1e-14 * values.max(initial=0.0), 1e-30))) @ vectors.T


def any_output_missing(records: Sequence[DataRecord]) -> bool:
    """Whether any output is."""
    return any(np.isnan(record.y).any() for record in records)


def completed(records: Sequence[DataRecord], fit: Fit) -> list[DataRecord]:
    """The records with missing outputs as the fit predicts them, step by step: they count nothing."""
    if not any_output_missing(records):
        return list(records)
    system = innovation_form(fit).system
    found = []
    for record, start in zip(records, fit.starts, strict=True):
        y = predictions_ahead(system, record.x, record.y, start, 1)
        found.append(DataRecord(record.x, np.where(np.isnan(record.y), y, record.y), record.weight))
    return found


def one_step_errors(records: Sequence[DataRecord], fit: Fit) -> list[Array]:
    """e_t of every record; 0 where an output was filled in."""
    running = predictor(fit.system)
    return [
        record.y - running.simulate(part.x, start)[0]
        for record, part, start in zip(records, with_outputs_as_inputs(records), fit.starts, strict=True)
    ]


def _weighing(records: Sequence[DataRecord], fit: Fit) -> Array:
    """W with Wᵀ W = R⁻¹, of all outputs together where none is ever missing alone."""
    errors = np.concatenate(one_step_errors(records, fit))
    weight = np.concatenate([record.weight for record in records])
    together = bool((weight == weight[:, :1]).all())
    covariance = (errors * weight).T @ errors / np.maximum(weight.sum(axis=0), 1e-300)
    covariance = (covariance + covariance.T) / 2 if together else np.diag(np.diag(covariance))
    floor = 1e-12 * np.diag(np.maximum(np.diag(covariance), covariance.max()) + 1e-20)
    return np.linalg.inv(np.linalg.cholesky(covariance + floor))


def _weighed_record(record: DataRecord, weighing: Array) -> DataRecord:
    return DataRecord(record.x, record.y @ weighing.T, record.weight)


def _in_output_basis(fit: Fit, basis: Array, disturbances: int) -> Fit:
    """The same fit of the outputs ỹ = W y, with disturbances d̃ = W d; its error is unknown."""
    system = fit.system
    assert system.noise_gain is not None
    moved = replace(
        system,
        feedthrough=basis @ system.feedthrough,
        readout=basis @ system.readout,
        output_offset=basis @ system.output_offset,
        noise_gain=system.noise_gain @ np.linalg.inv(basis),
    )
    if not disturbances:
        return Fit(moved, fit.starts, np.inf)
    states = block_diag(np.eye(system.order - disturbances), basis)
    return Fit(moved.in_basis(states), fit.starts @ states.T, np.inf)

"""Estimate the Kalman gain of the innovation form.

    h_t = C x_t + D h_{t-1} + h_0 + K e_t        e_t = y_t − A x_t − B h_{t-1} − y_0

With e_t put in, the filter is a linear system driven by inputs and measured outputs, with transition D − K B.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqdyn.arrays import Array
from seqdyn.identification.hankel import Factor
from seqdyn.identification.kalman import equal_runs, filter_of, predictions_ahead, states
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Problem
from seqdyn.identification.sensitivity import equations
from seqdyn.identification.stability import largest_modulus
from seqdyn.identification.subspace import noise_markov
from seqdyn.identification.system import LinearSystem
from seqdyn.levenberg_marquardt import minimised

FILTER_MEMORY_SHARE = 10
"""A filter may remember one such part of the longest record."""


def with_noise(
    system: LinearSystem, data: Factor, records: Sequence[DataRecord], starts: Array, refine: bool
) -> LinearSystem:
    """The system with the gain of :func:`with_gain`, if it finds one, and the covariance of its one-step errors."""
    found = with_gain(system, data, records, starts, refine)
    if found.noise_gain is None:
        return found
    pieces = _all_segments(system, records, starts)
    errors = np.concatenate([part.y - predictions_ahead(found, part.x, part.y, start, 1) for part, start in pieces])
    return replace(found, noise_covariance=errors.T @ errors / len(errors))


def with_gain(
    system: LinearSystem, data: Factor, records: Sequence[DataRecord], starts: Array, refine: bool
) -> LinearSystem:
    """The system with the Kalman gain of its noise; ``data`` is the factor of the same records.

    The gain is the one that the data's unexplained future shows, [BK; BDK; …], or K = 0 where that makes no stable
    filter or a worse one. The refinement goes from there to the smallest one-step error, among stable filters. The
    system comes back as it was if neither gain makes a stable filter, or no step has all its outputs.

    Van Overschee & De Moor (1996), Subspace Identification for Linear Systems, section 4.4; Ljung (1999), section 7.2,
    for prediction-error minimisation.
    """
    pieces = _all_segments(system, records, starts)
    if not pieces:
        return system
    driven = [DataRecord(np.hstack([part.x, part.y - system.output_offset]), part.y, part.weight) for part, _ in pieces]
    problem, begins = Problem(grouped(driven), len(driven)), np.array([start for _, start in pieces])
    candidates = [_Filter.of(system, gain, problem, begins) for gain in (_shown(system, data), 0.0 * system.readout.T)]
    best = min(candidates, key=lambda place: place.error)
    if not np.isfinite(best.error):
        return system
    if refine:
        best = minimised(best, lambda place: place.linearised(problem, begins), tolerance=1e-4)
    return replace(system, noise_gain=best.gain)


def _all_segments(system: LinearSystem, records: Sequence[DataRecord], starts: Array) -> list[tuple[DataRecord, Array]]:
    """The stretches of all records without a gap, each with the state the free run has at its beginning."""
    pairs = zip(records, starts, strict=True)
    return [piece for record, start in pairs for piece in _measured_segments(system, record, start)]


@dataclass(frozen=True)
class _Filter:
    """A Kalman gain, and the one-step error Σ w ‖e_t‖² with it.

    It is infinite where the filter remembers longer than the system and a tenth of the record do: few data cannot tell
    such a filter from one that has learnt the mean of their noise.
    """

    system: LinearSystem
    gain: Array
    error: float

    @classmethod
    def of(cls, system: LinearSystem, gain: Array, problem: Problem, starts: Array) -> _Filter:
        limit = max(min(largest_modulus(system.transition), 1.0), steady_radius(problem.longest))
        radius = largest_modulus(system.transition - gain @ system.readout) if np.isfinite(gain).all() else np.inf
        if radius > limit or radius >= 1.0:
            return cls(system, gain, np.inf)
        return cls(system, gain, problem.error(filter_of(system, gain), starts))

    def linearised(self, problem: Problem, starts: Array) -> tuple[Array, Array, Callable[[Array], _Filter]]:
        """In the entries of K: the filter's transition is D − K B, its input map [C − K A, K]."""
        here = equations(filter_of(self.system, self.gain), problem.groups, starts, free_starts=False)
        order, outputs = self.gain.shape
        whole = np.eye(order * outputs).reshape(order * outputs, order, outputs)
        of_transition = -(whole @ self.system.readout).reshape(len(whole), order * order)
        of_input_map = np.concatenate([-whole @ self.system.feedthrough, whole], axis=2).reshape(
            len(whole), order * (self.system.inputs + outputs)
        )
        chain = np.hstack([of_transition, of_input_map]).T

        def move(step: Array) -> _Filter:
            return _Filter.of(self.system, self.gain + step.reshape(order, outputs), problem, starts)

        return here.matrix[:, : len(chain)] @ chain, here.target, move


def steady_radius(longest: int) -> float:
    """The spectral radius of a filter that remembers a tenth of so many steps."""
    return math.exp(-FILTER_MEMORY_SHARE / longest)


def _shown(system: LinearSystem, data: Factor) -> Array:
    """K from [BK; BDK; …], the response to the errors that the data show."""
    blocks = [system.readout]
    for _ in range(data.future - 2):
        blocks.append(blocks[-1] @ system.transition)
    gain: Array = np.linalg.lstsq(np.vstack(blocks), noise_markov(data)[system.outputs :], rcond=1e-9)[0]
    return gain


def _measured_segments(system: LinearSystem, record: DataRecord, start: Array) -> list[tuple[DataRecord, Array]]:
    """The stretches of a record without a gap, each with the state the free run has at its beginning."""
    before = states(system).simulate(record.x, start)[0]
    before = np.vstack([start, before[:-1]])
    known: Array = np.all((record.weight > 0) & ~np.isnan(record.y), axis=1)
    return [
        (DataRecord(record.x[begin:end], record.y[begin:end], record.weight[begin:end]), before[begin])
        for begin, end in equal_runs(known)
        if known[begin]
    ]

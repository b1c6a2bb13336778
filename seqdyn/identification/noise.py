"""The noise of the innovation form: the Kalman gain, the filter it makes, and predictions k steps ahead.

    h_t = C x_t + D h_{t-1} + h_0 + K e_t        e_t = y_t − A x_t − B h_{t-1} − y_0

With e_t put in, the filter is a linear system driven by inputs and measured outputs, with transition D − K B.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from seqdyn.identification.hankel import Factor
from seqdyn.identification.levenberg_marquardt import minimised
from seqdyn.identification.records import Record, grouped
from seqdyn.identification.refinement import Problem
from seqdyn.identification.sensitivity import equations
from seqdyn.identification.stability import spectral_radius
from seqdyn.identification.subspace import noise_markov
from seqdyn.identification.system import LinearSystem

Array = np.ndarray[Any, Any]
FEW = 64
"""Steps up to which a loop is faster than a kernel."""
SHARE = 10
"""A filter may remember one such part of the longest record."""


def with_noise(
    system: LinearSystem, data: Factor, records: Iterable[Record], starts: Array, refine: bool
) -> LinearSystem:
    """The system with the Kalman gain of its noise, and the covariance of its one-step errors.

    The gain is the one that the data's unexplained future shows, [BK; BDK; …], or K = 0 where that makes no stable
    filter or a worse one. The refinement goes from there to the smallest one-step error, among stable filters.

    Parameters
    ----------
    system : LinearSystem
    data : Factor
        Of the same records.
    records : iterable of Record
    starts : array, shape (records, order)
    refine : bool

    Returns
    -------
    LinearSystem
        As it came, if neither gain makes a stable filter, or no step has all its outputs.

    References
    ----------
    Van Overschee & De Moor (1996), Subspace Identification for Linear Systems, section 4.4; Ljung (1999), section 7.2,
    for prediction-error minimisation.
    """
    pieces = [
        piece for record, start in zip(records, starts, strict=True) for piece in _measured(system, record, start)
    ]
    if not pieces:
        return system
    driven = [Record(np.hstack([part.x, part.y - system.output_offset]), part.y, part.weight) for part, _ in pieces]
    problem, begins = Problem(grouped(driven), len(driven)), np.array([start for _, start in pieces])
    candidates = [_Filter.of(system, gain, problem, begins) for gain in (_shown(system, data), 0.0 * system.readout.T)]
    best = min(candidates, key=lambda place: place.error)
    if not np.isfinite(best.error):
        return system
    if refine:
        best = minimised(best, lambda place: place.linearised(problem, begins), tolerance=1e-4)
    found = replace(system, noise_gain=best.gain)
    errors = np.concatenate([part.y - predicted(found, part.x, part.y, start, 1) for part, start in pieces])
    return replace(found, noise_covariance=errors.T @ errors / len(errors))


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
        limit = max(min(spectral_radius(system.transition), 1.0), math.exp(-SHARE / problem.longest))
        radius = spectral_radius(system.transition - gain @ system.readout) if np.isfinite(gain).all() else np.inf
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


def _shown(system: LinearSystem, data: Factor) -> Array:
    """K from [BK; BDK; …], the response to the errors that the data show."""
    blocks = [system.readout]
    for _ in range(data.future - 2):
        blocks.append(blocks[-1] @ system.transition)
    gain: Array = np.linalg.lstsq(np.vstack(blocks), noise_markov(data)[system.outputs :], rcond=1e-9)[0]
    return gain


def _measured(system: LinearSystem, record: Record, start: Array) -> list[tuple[Record, Array]]:
    """The stretches of a record without a gap, each with the state the free run has at its beginning."""
    before = states(system).simulate(record.x, start)[0]
    before = np.vstack([start, before[:-1]])
    known: Array = np.all((record.weight > 0) & ~np.isnan(record.y), axis=1)
    return [
        (Record(record.x[begin:end], record.y[begin:end], record.weight[begin:end]), before[begin])
        for begin, end in _stretches(known)
        if known[begin]
    ]


def _stretches(known: Array) -> list[tuple[int, int]]:
    """Where rows are alike: (begin, end)."""
    return list(pairwise([0, *(np.flatnonzero(np.diff(known)) + 1).tolist(), len(known)])) if len(known) else []


def states(system: LinearSystem) -> LinearSystem:
    """The system whose outputs are this one's states h_t."""
    offset = system.state_offset
    return LinearSystem(system.input_map, system.transition, system.input_map, system.transition, offset, offset)


def filter_of(system: LinearSystem, gain: Array) -> LinearSystem:
    """The one-step predictor of y_t: a system driven by [x_t; y_t − y_0], with transition D − K B."""
    nothing = np.zeros((system.outputs, system.outputs))
    return LinearSystem(
        np.hstack([system.feedthrough, nothing]),
        system.readout,
        np.hstack([system.input_map - gain @ system.feedthrough, gain]),
        system.transition - gain @ system.readout,
        system.output_offset,
        system.state_offset,
    )


def filtered(system: LinearSystem, x: Array, y: Array, start: Array) -> Array:
    """h_t for every t, corrected by the outputs measured up to t.

    An output that is missing is taken as it was predicted, e_t = 0; where all are, the model runs on freely.

    Parameters
    ----------
    system : LinearSystem
        With a noise gain.
    x, y : array, shapes (time, inputs) and (time, outputs)
        NaN in y where it was not measured.
    start : array, shape (order,)
        h_{-1}.

    Returns
    -------
    array, shape (time, order)
    """
    assert system.noise_gain is not None
    known = ~np.isnan(y)
    seen = np.hstack([x, np.where(known, y - system.output_offset, 0.0)])
    _, pattern = np.unique(known, axis=0, return_inverse=True)
    filters: dict[int, LinearSystem] = {}
    h = np.empty((len(x), system.order))
    for begin, end in _stretches(pattern.ravel()):
        number = int(pattern.flat[begin])
        if number not in filters:
            filters[number] = states(filter_of(system, system.noise_gain * known[begin]))
        moves = filters[number]
        part = (
            _stepped(moves, seen[begin:end], start) if end - begin < FEW else moves.simulate(seen[begin:end], start)[0]
        )
        h[begin:end], start = part, part[-1]
    return h


def _stepped(moves: LinearSystem, x: Array, h: Array) -> Array:
    """The states over a few steps, without the overhead of a kernel."""
    drive = x @ moves.input_map.T + moves.state_offset
    found = np.empty((len(x), len(h)))
    for step, u in enumerate(drive):
        found[step] = h = moves.transition @ h + u
    return found


def predicted(system: LinearSystem, x: Array, y: Array, start: Array, steps_ahead: int) -> Array:
    """ŷ_{t|t-k}: outputs from the inputs up to t and the outputs up to t − k.

    The first k are those of the free run.

    Parameters
    ----------
    system, x, y, start
        As in :func:`filtered`.
    steps_ahead : int, at least 1
        k.

    Returns
    -------
    array, shape (time, outputs)
    """
    later = max(0, len(x) - steps_ahead)
    known = filtered(system, x, y, start)[:later]
    before = np.vstack([start, states(system).simulate(x[: steps_ahead - 1], start)[0], known])[: len(x)]
    for passed in range(1, steps_ahead):  # h_{t-k} runs on over x_{t-k+1} … x_{t-1}
        moved = before[steps_ahead:] @ system.transition.T + system.state_offset
        before[steps_ahead:] = moved + x[passed : passed + later] @ system.input_map.T
    result: Array = x @ system.feedthrough.T + before @ system.readout.T + system.output_offset
    return result

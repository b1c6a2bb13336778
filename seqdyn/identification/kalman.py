"""The Kalman filter of the innovation form: states and predictions from measured outputs, of which some may be missing.

    h_t = C x_t + D h_{t-1} + h_0 + K e_t        e_t = y_t − A x_t − B h_{t-1} − y_0,  Cov e_t = R

Where all outputs are known, e_t is known, and so is h_t: the gain is K. Where some are missing, the known ones (k) tell
what they can of e_t, and of the error of h_{t-1}, whose covariance is P:

    G = K_k + ((D − K_k B) P Bᵀ + (K − K_k) R)_k (B P Bᵀ + R)_kk⁻¹
    P ← (D − G B) P (D − G B)ᵀ + (K − G) R (K − G)ᵀ

K_k is K with zeros in the columns of the missing outputs, and so is G.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise, repeat
from typing import NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.identification.system import LinearSystem

SHORTEST_FOR_KERNEL = 64
"""Steps up to which a loop is faster than a kernel."""
STATIONARY = 1e-12
"""Change of a variance, in variances of the noise, below which the filter of a gap has become stationary."""
VAST = 1e100
"""Variance at which an unstable system, of which nothing is measured, stops becoming less certain."""


class FilterSegment(NamedTuple):
    """A run of steps at which the same outputs are known.

    ``gains`` G and ``covariances`` P of h_t belong to its first steps; the last ones hold to its end.
    """

    begin: int
    end: int
    gains: list[Array]
    covariances: list[Array]


def filtered(system: LinearSystem, x: Array, y: Array, start: Array) -> Array:
    """h_t for every t, corrected by the outputs measured up to t, from an h_{-1} that is taken as known.

    Where outputs are missing, NaN in y, the gain is the exact one, by the covariance of the noise. Of a system without
    that covariance a missing output is taken as it was predicted, e_t = 0. Where all are missing, the model runs on
    freely.

    Anderson & Moore (1979), Optimal Filtering, sections 5.2 and 9.3; Durbin & Koopman (2012), Time Series Analysis by
    State Space Methods, section 4.10, for missing outputs.

    Examples
    --------
    Two sensors of one state, of which the good one fails:

    >>> import numpy as np
    >>> level = LinearSystem.from_block(np.zeros((2, 0)), [[1.0], [1.0]], np.zeros((1, 0)), [[0.5]])
    >>> level = replace(level, noise_gain=[[0.2, 0.1]], noise_covariance=np.diag([1.0, 4.0]))
    >>> y = np.array([[1.0, 2.0], [np.nan, 2.0], [1.0, 2.0]])
    >>> filtered(level, np.zeros((3, 0)), y, np.zeros(1)).round(3).ravel()
    array([0.4 , 0.36, 0.48])
    """
    unit, scale = _in_unit_noise(system)
    known = ~np.isnan(y)
    seen = np.where(known, y / scale - unit.output_offset, 0.0)
    drive = x @ unit.input_map.T + unit.state_offset
    measured = np.where(known, seen - x @ unit.feedthrough.T, 0.0)
    filters: dict[bytes, LinearSystem] = {}
    h = np.empty((len(x), system.order))
    for begin, end, gains, _ in _filter_segments(unit, known):
        steady = begin + len(gains) if end - begin - len(gains) >= SHORTEST_FOR_KERNEL else end
        steps = zip(drive[begin:steady], measured[begin:steady], chain(gains, repeat(gains[-1])), strict=False)
        for step, (moved, shown, gain) in enumerate(steps, begin):
            h[step] = start = unit.transition @ start + moved + gain @ (shown - unit.readout @ start)
        if steady < end:
            filters.setdefault(gains[-1].tobytes(), states(filter_of(unit, gains[-1])))
            moves = filters[gains[-1].tobytes()]
            h[steady:end], start = moves.simulate(np.hstack([x, seen])[steady:end], start)
    return h


def predictions_ahead(system: LinearSystem, x: Array, y: Array, start: Array, steps_ahead: int) -> Array:
    """ŷ_{t|t-k}, (time, outputs): from the inputs up to t and the outputs up to t − k; the first k of the free run."""
    later = max(0, len(x) - steps_ahead)
    known = filtered(system, x, y, start)[:later]
    before = np.vstack([start, states(system).simulate(x[: steps_ahead - 1], start)[0], known])[: len(x)]
    for passed in range(1, steps_ahead):  # h_{t-k} runs on over x_{t-k+1} … x_{t-1}
        moved = before[steps_ahead:] @ system.transition.T + system.state_offset
        before[steps_ahead:] = moved + x[passed : passed + later] @ system.input_map.T
    result: Array = x @ system.feedthrough.T + before @ system.readout.T + system.output_offset
    return result


def prediction_deviation(system: LinearSystem, y: Array, steps_ahead: int) -> Array:
    """Standard deviation of y_t − ŷ_{t|t-k}, which grows where outputs are missing.

        Cov(y_t − ŷ_{t|t-k}) = Σ_k + B D^{k-1} P_{t-k} (B D^{k-1})ᵀ
        Σ_k = R + Σ_{j=1}^{k-1} (B D^{j-1} K) R (B D^{j-1} K)ᵀ

    It takes the system for the true one and its start for known; the first k steps are those of the free run, Σ_{t+1}.
    Of y, in the units of the outputs as the result is, it only matters where it is NaN. Ljung (1999), System
    Identification, section 3.2; Anderson & Moore (1979), Optimal Filtering, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> level = LinearSystem.from_block(np.zeros((1, 0)), [[1.0]], np.zeros((1, 0)), [[0.5]])
    >>> level = replace(level, noise_gain=[[0.5]], noise_covariance=[[1.0]])
    >>> prediction_deviation(level, np.array([[0.0], [np.nan], [np.nan], [0.0]]), 1).round(3).ravel()
    array([1.   , 1.   , 1.118, 1.146])
    """
    if system.noise_covariance is None:
        raise ValueError(
            "The system has no noise_covariance, from which the deviation of a prediction follows: give it one with "
            "dataclasses.replace(system, noise_covariance=…), or fit on records with known outputs."
        )
    unit, scale = _in_unit_noise(system)
    assert unit.noise_gain is not None
    assert unit.noise_covariance is not None
    ahead = [np.diag(unit.noise_covariance)]
    readout = unit.readout  # B D^{j-1}
    for _ in range(1, min(steps_ahead, len(y))):
        ahead.append(ahead[-1] + _variances(readout @ unit.noise_gain, unit.noise_covariance))
        readout = readout @ unit.transition
    variance = np.array([ahead[min(step, len(ahead) - 1)] for step in range(len(y))]).reshape(y.shape)
    for begin, end, _, covariances in _filter_segments(unit, ~np.isnan(y)):
        shown = np.array([_variances(readout, covariance) for covariance in covariances])
        whole = np.concatenate([shown, np.broadcast_to(shown[-1], (end - begin - len(shown), len(scale)))])
        later = variance[begin + steps_ahead : end + steps_ahead]
        later += whole[: len(later)]
    result: Array = np.sqrt(variance) * scale
    return result


# -------------------------------------------------------------------- gains


def _filter_segments(system: LinearSystem, known: Array) -> Iterator[FilterSegment]:
    """The gain and the covariance of h_t at every step, from a known start; outputs are in units of their noise."""
    gain, covariance = system.noise_gain, np.zeros((system.order, system.order))
    assert gain is not None
    ahead = _observability(system)
    for begin, end in equal_runs(known):
        if system.noise_covariance is None:
            yield FilterSegment(begin, end, [gain * known[begin]], [covariance])
            continue
        gains, covariances = [], []
        for _ in range(begin, end):
            gains.append(_gain(system, known[begin], covariance))
            before, covariance = covariance, _after(system, gains[-1], covariance)
            covariances.append(covariance)
            shown, change = (ahead @ values @ ahead.T for values in (covariance, covariance - before))
            if np.abs(change).max(initial=0.0) <= STATIONARY * np.abs(shown).max(initial=1.0) or shown.max() > VAST:
                break
        yield FilterSegment(begin, end, gains, covariances)


def _gain(system: LinearSystem, known: Array, covariance: Array) -> Array:
    """G, with zeros in the columns of the outputs that are missing."""
    noise_gain, noise = system.noise_gain, system.noise_covariance
    assert noise_gain is not None
    assert noise is not None
    gain: Array = noise_gain * known
    if known.any() and (covariance.any() or not known.all()):
        shown = covariance @ system.readout.T
        error = system.readout @ shown + noise
        cross = (system.transition - gain @ system.readout) @ shown + (noise_gain - gain) @ noise
        gain[:, known] += np.linalg.lstsq(error[known][:, known], cross[:, known].T, rcond=STATIONARY)[0].T
    return gain


def _after(system: LinearSystem, gain: Array, covariance: Array) -> Array:
    """P one step later: h_t − ĥ_t = (D − G B) (h_{t-1} − ĥ_{t-1}) + (K − G) e_t."""
    kept, unknown = system.transition - gain @ system.readout, system.noise_gain - gain
    result: Array = kept @ covariance @ kept.T + unknown @ system.noise_covariance @ unknown.T
    return result


def _in_unit_noise(system: LinearSystem) -> tuple[LinearSystem, Array]:
    """The system with outputs whose errors have variance 1, and the units of these."""
    if system.noise_gain is None:
        raise ValueError(
            "The system has no noise_gain, which a filter needs: give it one with dataclasses.replace(system, "
            "noise_gain=…), or fit on longer records."
        )
    nothing, one = np.zeros(system.inputs), np.ones(system.inputs)
    scale = np.ones(system.outputs) if system.noise_covariance is None else np.sqrt(np.diag(system.noise_covariance))
    scale = np.where(scale > 0, scale, 1.0)
    plain = replace(system, estimation=None)
    return plain.in_units(nothing, one, np.zeros(system.outputs), 1.0 / scale), scale


def _observability(system: LinearSystem) -> Array:
    """[B; BD; …; BD^{n-1}]: how an error of the state shows in the outputs to come."""
    blocks = [system.readout]
    for _ in range(system.order - 1):
        blocks.append(blocks[-1] @ system.transition)
    return np.vstack(blocks)


def _variances(readout: Array, covariance: Array) -> Array:
    """The diagonal of B P Bᵀ."""
    result: Array = ((readout @ covariance) * readout).sum(axis=1)
    return result


# -------------------------------------------------------------------- parts


def equal_runs(rows: Array) -> list[tuple[int, int]]:
    """(begin, end) of runs of equal rows, for rows (time, …)."""
    if not len(rows):
        return []
    flat = rows.reshape(len(rows), -1)
    changes = np.flatnonzero((flat[1:] != flat[:-1]).any(axis=1)) + 1
    return list(pairwise([0, *changes.tolist(), len(rows)]))


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

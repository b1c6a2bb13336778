"""From records to a model: subspace, linear part, refinement, order, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from seqdyn.identification.excitation import Excitation, excitation
from seqdyn.identification.hankel import Factor, factor
from seqdyn.identification.noise import states, with_noise
from seqdyn.identification.records import Record, grouped
from seqdyn.identification.refinement import Fit, Problem, linear_part, refined
from seqdyn.identification.stability import pulled_inside, spectral_radius
from seqdyn.identification.subspace import Subspace, realisation, subspace
from seqdyn.identification.system import LinearSystem

Array = np.ndarray[Any, Any]
BLOCK_ROWS = 20
"""Past and future steps of the Hankel matrices where the data allow so many."""
LARGEST_ORDER = 10
"""States that ``order="auto"`` looks at."""
INSIST = 0.98
"""Share of the error below which a memory longer than the record is kept."""
MARGINAL = 1e-9
"""Distance from the unit circle at which a mode that neither grows nor decays is kept."""
EXACT = 1e-8
"""Error, in units of the outputs, that is rounding alone."""
FEEDBACK_ORDER = 6
"""The same where inputs hold the last outputs, and no criterion on singular values applies."""


@dataclass(frozen=True)
class Settings:
    """What kind of model is asked for.

    Attributes
    ----------
    order : int or "auto"
    refine : bool
        Whether least squares on the free run follows the subspace estimate.
    weighting : {"cva", "n4sid", "moesp"}
    feedthrough, stable, free_starts : bool
        See :class:`~seqdyn.identification.refinement.Problem`.
    block_rows : int or None
        Past and future steps of the Hankel matrices; None: 20, or fewer where the data are short.
    validation_fraction : float
        The end of every record on which ``order="auto"`` compares orders.
    """

    order: Any = "auto"
    refine: bool = True
    weighting: str = "cva"
    feedthrough: bool = True
    stable: bool = True
    free_starts: bool = True
    block_rows: int | None = None
    validation_fraction: float = 0.25
    focus: str = "simulation"
    offset: str = "constant"
    input_delay: Any = 0


class Trial(NamedTuple):
    """One order in the search: RMS errors of the free run over the validation part, in units of the outputs given."""

    order: int
    singular_value: float
    subspace_error: float
    refined_error: float


@dataclass(frozen=True)
class Identification:
    """What was found.

    Attributes
    ----------
    system : LinearSystem
        With the model of the noise where the data allow one.
    starts : array, shape (records, order)
        h_{-1} of every record.
    refined : bool
        Whether the model is the refined one.
    singular_values : array
        Of the weighted projection.
    trials : list of Trial
        Of the search for an order; empty if it was given.
    excitation : Excitation or None
    spectral_radius_before : float
        Of the subspace estimate, before it was made stable.
    """

    system: LinearSystem
    starts: Array
    refined: bool
    singular_values: Array
    trials: list[Trial]
    excitation: Excitation | None
    spectral_radius_before: float


class TooShort(ValueError):
    """The records have too few steps for what was asked."""


def identify(records: Sequence[Record], settings: Settings) -> Identification:
    """Identify a linear state-space system from experiments.

    Parameters
    ----------
    records : sequence of Record
        Scaled to like sizes; of any lengths.
    settings : Settings

    Raises
    ------
    TooShort
        If the records are too short for the order.

    References
    ----------
    Ljung (1999), System Identification, sections 10.6 (subspace methods) and 7.2, 10.2 (prediction-error methods).
    """
    trials: list[Trial] = []
    order, refine = settings.order, settings.refine
    if not isinstance(order, Integral):
        trials = _trials(records, settings)
        order, refine = _best(trials, records)
    problem, order = _problem(records, settings), int(order)
    if not order:
        fit = linear_part(problem, np.zeros((records[0].y.shape[1], 0)), np.zeros((0, 0)))
        return Identification(fit.system, fit.starts, False, np.zeros(0), trials, None, 0.0)
    data = _hankel(records, order, settings.block_rows)
    candidates = _candidates(data, settings.weighting)
    fit, radius = _subspace_fit(problem, candidates, order)
    if refine:
        fit = refined(problem, fit)
    fit = _in_unit_states(fit, problem)
    system = fit.system if data.inputs_hold_outputs else with_noise(fit.system, data, records, fit.starts, refine)
    checked = excitation(records, data, order, settings.weighting)
    return Identification(system, fit.starts, refine, candidates.singular_values, trials, checked, radius)


def examine(records: Sequence[Record], settings: Settings) -> Excitation:
    """What the inputs reveal, for the order asked for or, with ``"auto"``, for one state."""
    order = int(settings.order) if isinstance(settings.order, Integral) else 1
    return excitation(records, _hankel(records, order, settings.block_rows), order, settings.weighting)


def noise_of(system: LinearSystem, records: Sequence[Record], block_rows: int | None) -> LinearSystem:
    """A system that was found otherwise, with its Kalman gain; without one where the records are too short."""
    try:
        data = _hankel(records, max(1, system.order), block_rows)
    except TooShort:
        return replace(system, noise_gain=None, noise_covariance=None)
    if data.inputs_hold_outputs:
        return replace(system, noise_gain=None, noise_covariance=None)
    return with_noise(system, data, records, np.zeros((len(records), system.order)), refine=True)


def _candidates(data: Factor, weighting: str) -> Subspace:
    return realisation(data) if data.inputs_hold_outputs else subspace(data, weighting)


def _problem(records: Sequence[Record], settings: Settings) -> Problem:
    return Problem(grouped(records), len(records), settings.feedthrough, settings.free_starts, settings.stable)


def _subspace_fit(problem: Problem, candidates: Subspace, order: int) -> tuple[Fit, float]:
    """The closed-form estimate, and the spectral radius it had before it was made stable.

    Eigenvalues outside move to where the memory is as long as the longest record, or the transition is Maciejowski's,
    whichever runs closer to the data. So do stable ones beyond that limit, unless the data insist on them.
    """
    readout, transition = candidates.readout(order), candidates.transition(order)
    radius = spectral_radius(transition)
    limit = math.exp(-1.0 / problem.longest)
    if not problem.stable or radius <= limit:
        return linear_part(problem, readout, transition), radius
    inside = [pulled_inside(moved, limit) for moved in (transition, candidates.stable_transition(order))]
    moved = min((linear_part(problem, readout, tried) for tried in inside), key=lambda fit: fit.error)
    if radius < 1.0 + MARGINAL:
        kept = linear_part(problem, readout, pulled_inside(transition, 1.0 - MARGINAL))
        moved = kept if kept.error < INSIST * moved.error else moved
    return moved, radius


def _in_unit_states(fit: Fit, problem: Problem) -> Fit:
    """The same fit with states of root mean square 1 over the records."""
    total, count = np.zeros(fit.system.order), 0
    for group in problem.groups:
        h, _ = states(fit.system).simulate(group.x.numpy(), fit.starts[group.places])
        total, count = total + (h**2).sum(axis=(0, 1)), count + h.shape[0] * h.shape[1]
    size = np.sqrt(total / count)
    size = np.where(np.isfinite(size) & (size > 0), size, 1.0)
    return replace(fit, system=fit.system.in_basis(np.diag(1.0 / size)), starts=fit.starts / size, coordinates=None)


# -------------------------------------------------------------------- the order


def _trials(records: Sequence[Record], settings: Settings) -> list[Trial]:
    """Every order, fitted on the beginnings and compared in the free run over the ends."""
    cuts = [len(record.x) - max(1, round(settings.validation_fraction * len(record.x))) for record in records]
    heads = [record.before(cut) for record, cut in zip(records, cuts, strict=True) if cut > 0]
    ends = [record for record, cut in zip(records, cuts, strict=True) if cut > 0]
    later = [np.arange(len(record.x)) >= cut for record, cut in zip(records, cuts, strict=True) if cut > 0]
    problem = _problem(heads, settings)

    def error(fit: Fit) -> float:
        total, count = 0.0, 0.0
        for record, late, start in zip(ends, later, fit.starts, strict=True):
            weight = record.weight * late[:, None]
            y, _ = fit.system.simulate(record.x, start)
            with np.errstate(over="ignore", invalid="ignore"):
                total += float((weight * np.nan_to_num(record.y - y) ** 2).sum())
            count += float(weight.sum())
        return math.sqrt(total / count) if np.isfinite(total) and count else np.inf

    static = error(linear_part(problem, np.zeros((heads[0].y.shape[1], 0)), np.zeros((0, 0))))
    trials = [Trial(0, np.inf, static, static)]
    try:
        data = _hankel(heads, None, settings.block_rows)
    except TooShort:
        return trials
    candidates = _candidates(data, settings.weighting)
    fits = [_subspace_fit(problem, candidates, order)[0] for order in range(1, _largest_order(data, candidates) + 1)]
    before = [error(fit) for fit in fits]
    for place, (fit, error_before) in enumerate(zip(fits, before, strict=True)):
        worth_it = settings.refine and error_before > EXACT
        after = error(refined(problem, fit, tolerance=1e-4)) if worth_it else error_before
        trials.append(Trial(place + 1, float(candidates.singular_values[place]), error_before, after))
    return trials


def _criterion(errors: Sequence[float], records: Sequence[Record]) -> Array:
    """Akaike's criterion with the validation error, for orders 0, 1, …: N ln(error²) + 2 d(n).

        d(n) = n (2 outputs + inputs) + outputs · inputs        N known outputs

    References
    ----------
    Akaike (1974), A new look at the statistical model identification; Bauer (2001) for d(n).
    """
    inputs, outputs = records[0].x.shape[1], records[0].y.shape[1]
    known = sum(int((record.weight > 0).sum()) for record in records)
    parameters = np.arange(len(errors)) * (2 * outputs + inputs) + outputs * inputs
    return known * np.log(np.square(errors) + EXACT**2) + 2 * parameters


def _best(trials: Sequence[Trial], records: Sequence[Record]) -> tuple[int, bool]:
    """The order of the least criterion, and whether its refinement had it."""
    errors = [min(trial.subspace_error, trial.refined_error) for trial in trials]
    best = trials[int(_criterion(errors, records).argmin())]
    return best.order, best.refined_error < best.subspace_error


def _largest_order(data: Factor, candidates: Subspace) -> int:
    """Where to stop the search."""
    limit = FEEDBACK_ORDER if data.inputs_hold_outputs else LARGEST_ORDER
    return min(limit, candidates.largest_order)


# -------------------------------------------------------------------- the horizon


def _hankel(records: Sequence[Record], order: int | None, block_rows: int | None) -> Factor:
    """The factor of the data with as many block rows as they allow, and as the order needs."""
    inputs, outputs = records[0].x.shape[1], records[0].y.shape[1]
    least = 2 if order is None else math.ceil(order / outputs) + 1
    chosen = block_rows or _block_rows(records, inputs + outputs, least)
    data = factor(records, chosen, chosen)
    needed = 2 * chosen * (inputs + outputs)
    if data.columns < needed and any(np.isnan(record.y).any() for record in records):
        records = [_bridged(record) for record in records]
        chosen = block_rows or _block_rows(records, inputs + outputs, least)
        data, needed = factor(records, chosen, chosen), 2 * chosen * (inputs + outputs)
    if data.columns < needed or chosen < least:
        rows = max(chosen, least)
        raise TooShort(
            f"{data.columns} stretches of {2 * chosen} known steps are too few: an order of {order or 1} with {inputs} "
            f"inputs and {outputs} outputs needs {rows} block rows and {2 * rows * (inputs + outputs)} stretches of "
            f"{2 * rows} steps, as a record of {2 * rows * (inputs + outputs + 1) - 1} steps has. Give longer records, "
            "a lower order, or method='gradient'."
        )
    return data


def _bridged(record: Record) -> Record:
    """The record with missing outputs on straight lines between known ones: good enough to begin with."""
    y = record.y.copy()
    steps = np.arange(len(y))
    for column in y.T:
        known = ~np.isnan(column)
        if known.any():
            column[~known] = np.interp(steps[~known], steps[known], column[known])
    return Record(record.x, y, record.weight)


def _block_rows(records: Sequence[Record], width: int, least: int) -> int:
    """The most block rows, up to 20, that leave two columns for every row of the Hankel matrices."""
    unknown = [np.flatnonzero(np.isnan(record.y).any(axis=1)) for record in records]
    lengths = np.concatenate(
        [np.diff([-1, *gaps, len(record.x)]) - 1 for gaps, record in zip(unknown, records, strict=True)]
    )
    for rows in range(max(BLOCK_ROWS, least), least, -1):
        if np.maximum(lengths - 2 * rows + 1, 0).sum() >= 4 * rows * width:
            return rows
    return least

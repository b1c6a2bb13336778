"""Choose the order and the error to minimise, by comparing fits on the end of every record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from seqdyn.arrays import Array
from seqdyn.facts import shown_by_shape
from seqdyn.identification.correlation import cross_correlation
from seqdyn.identification.focus import Focus, Freedom, Prediction, Simulation, simulation_errors
from seqdyn.identification.hankel import TooShort, horizon
from seqdyn.identification.prediction_error import completed, innovation_form, one_step_errors
from seqdyn.identification.records import DataRecord
from seqdyn.identification.refinement import Fit
from seqdyn.identification.subspace import Subspace

LARGEST_ORDER = 10
"""States that ``order="auto"`` looks at."""
FEEDBACK_ORDER = 6
"""The same where inputs hold the last outputs, and no criterion on singular values applies."""
FARTHER = 4
"""Orders beyond the best so far that are searched in any case."""
WHITENESS_LAGS = 20
"""Steps over which errors are looked at for what is left in them."""
NOT_WHITE, UNEXPLAINED = 0.01, 1e-4
"""p-values below which errors are not taken to be white, and a model is taken to be wrong."""
EXACT_ERROR = 1e-8
"""Error, in units of the outputs, that is rounding alone."""


class OrderTrial(NamedTuple):
    """One order and one focus: RMS errors over the validation part, in units of the outputs given.

    ``focus`` "prediction": one step ahead; "simulation": of the free run.
    """

    focus: str
    order: int
    singular_value: float
    subspace_error: float
    refined_error: float

    @property
    def error(self) -> float:
        """The lesser of the two."""
        return min(self.subspace_error, self.refined_error)


@dataclass(frozen=True)
class ValidationSplit:
    """Records cut in two: the beginnings ``heads`` are fitted, the ends of the ``whole`` compare fits.

    ``late`` marks the steps after the beginning of every record.
    """

    heads: list[DataRecord]
    whole: list[DataRecord]
    late: list[Array]

    @classmethod
    def of(cls, records: Sequence[DataRecord], fraction: float) -> ValidationSplit:
        """The last ``fraction`` of every record set aside; records too short for both parts are left out."""
        cuts = [len(record.x) - max(1, round(fraction * len(record.x))) for record in records]
        pairs = [(record, cut) for record, cut in zip(records, cuts, strict=True) if cut > 0]
        late = [np.arange(len(record.x)) >= cut for record, cut in pairs]
        return cls([record.before(cut) for record, cut in pairs], [record for record, _ in pairs], late)

    def squares(self, errors: Sequence[Array]) -> Array:
        """The weighted squared error of every late step, (steps,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [
                (record.weight * error**2).sum(axis=1)[late]
                for record, error, late in zip(self.whole, errors, self.late, strict=True)
            ]
        joined = np.concatenate(parts)
        return np.where(np.isfinite(joined), joined, np.inf)

    @property
    def counted(self) -> float:
        """The weight of all late steps."""
        return sum(float(record.weight[late].sum()) for record, late in zip(self.whole, self.late, strict=True))

    def error(self, focus: Focus, fit: Fit) -> float:
        """The error that the focus minimises, over the ends."""
        return self.root_mean_square(focus.errors(self.whole, fit)) if np.isfinite(fit.error) else np.inf

    def root_mean_square(self, errors: Sequence[Array]) -> float:
        """Of the late steps; infinite where a run overflows."""
        total = float(self.squares(errors).sum())
        return math.sqrt(total / self.counted) if np.isfinite(total) and self.counted else np.inf


@shown_by_shape
class FittedTrial(NamedTuple):
    """A trial with the better of its two fits, and whether its search began at the fit of the free run."""

    trial: OrderTrial
    fit: Fit
    from_simulation: bool = False


def fitted_trials(
    focus: Focus, split: ValidationSplit, order: int | None, block_rows: int | None, refine: bool
) -> list[FittedTrial]:
    """Fit every order to the beginnings, and compare them over the ends; the focus is that of the beginnings.

    Orders are the one given, or from 1 to 10, or to what the data can tell apart. Where ``refine`` asks for it a search
    follows the closed form; of orders far beyond the best so far only where that is the best.
    """
    try:
        data = horizon(split.heads, order, block_rows)
    except TooShort:
        return []
    state_subspace = focus.state_subspace(data)
    largest = min(FEEDBACK_ORDER if data.inputs_hold_outputs else LARGEST_ORDER, state_subspace.largest_order)
    if order is not None:
        return [_fitted_trial(focus, split, state_subspace, order, refine)]
    found: list[FittedTrial] = []
    for order in range(1, largest + 1):
        leader = best_by_criterion(found, split.whole) if found else None
        far = leader is not None and order > leader.trial.order + FARTHER
        found.append(_fitted_trial(focus, split, state_subspace, order, refine and not far))
        if far and refine and best_by_criterion(found, split.whole) is found[-1]:
            found[-1] = _fitted_trial(focus, split, state_subspace, order, refine)
    return found


def _fitted_trial(
    focus: Focus, split: ValidationSplit, state_subspace: Subspace, order: int, refine: bool
) -> FittedTrial:
    first, _ = focus.begin(state_subspace, order)
    before = split.error(focus, first)
    last = focus.refine(first, tolerance=1e-4) if refine and before > EXACT_ERROR else first
    after = before if last is first else split.error(focus, last)
    trial = OrderTrial(focus.name, order, float(state_subspace.singular_values[order - 1]), before, after)
    return FittedTrial(trial, last if after < before else first)


def from_free_run(
    ahead: FittedTrial, free: Fit, split: ValidationSplit, block_rows: int | None, freedom: Freedom
) -> FittedTrial:
    """The trial of the one-step error, or one that starts from the free run's fit of the same order, if that is better.

    Two searches may end in two places that the errors one step ahead can hardly tell apart: of a model that cannot be
    right, one is right about what is fast, and one about what is slow. The one that runs closer to the ends counts.
    """
    data = horizon(split.heads, free.system.order, block_rows)
    simulation, prediction = Simulation.of(split.heads, freedom), Prediction.of(split.heads, freedom)
    fit = prediction.from_simulation(simulation, free, data, tolerance=1e-4)
    if not explained_by_size(ahead.fit, fit, split.heads) or not _runs_closer(fit, ahead.fit, split):
        return ahead
    return FittedTrial(ahead.trial._replace(refined_error=split.error(prediction, fit)), fit, True)


def explained_by_size(fit: Fit, other: Fit, records: Sequence[DataRecord]) -> bool:
    """Whether the one-step errors of another fit of the same order are no larger than its d numbers can explain.

    T ln (Σ ‖e‖² of the other / Σ ‖e‖² of the fit) ≤ d
    """
    if other.error <= fit.error or fit.error == 0:
        return other.error <= fit.error and np.isfinite(other.error)
    return known_steps(records) * math.log(other.error / fit.error) <= parameters(fit.system.order, records)


def _runs_closer(one: Fit, other: Fit, split: ValidationSplit) -> bool:
    runs = [split.root_mean_square(simulation_errors(split.whole, innovation_form(fit))) for fit in (one, other)]
    return runs[0] < runs[1]


def static(records: Sequence[DataRecord], split: ValidationSplit, freedom: Freedom) -> FittedTrial:
    """The model without states, y_t = A x_t + y_0."""
    fit = Simulation.of(records, freedom).static()
    error = split.root_mean_square(simulation_errors(split.whole, fit))
    return FittedTrial(OrderTrial("simulation", 0, np.inf, error, error), fit)


def best_by_criterion(tried: Sequence[FittedTrial], records: Sequence[DataRecord]) -> FittedTrial:
    """The trial with the smallest value of Akaike's criterion on the validation error: N ln(error²) + 2 d(n).

    N outputs are known. Akaike (1974), A new look at the statistical model identification; Bauer (2001) for d(n).
    """
    known = sum(int((record.weight > 0).sum()) for record in records)
    spent = np.array([parameters(one.trial.order, records) for one in tried])
    errors = np.array([one.trial.error for one in tried])
    return tried[int((known * np.log(np.square(errors) + EXACT_ERROR**2) + 2 * spent).argmin())]


def parameters(order: int, records: Sequence[DataRecord]) -> int:
    """d(n) = n (2 outputs + inputs) + outputs · inputs."""
    inputs, outputs = records[0].x.shape[1], records[0].y.shape[1]
    return order * (2 * outputs + inputs) + outputs * inputs


def known_steps(records: Sequence[DataRecord]) -> float:
    """Known outputs, a mean over the outputs."""
    return sum(float((record.weight > 0).mean(axis=1).sum()) for record in records)


def worth_refining(attempt: FittedTrial, records: Sequence[DataRecord]) -> bool:
    """Whether a search should follow the closed form: where that was better over the ends.

    One step ahead it is the most likely fit, and is followed unless it was worse than its d numbers can explain,
    T ln (error² after / error² before) > 2 d.
    """
    trial = attempt.trial
    if attempt.from_simulation or trial.refined_error < trial.subspace_error:
        return True
    if trial.focus == "simulation" or not np.isfinite(trial.refined_error):
        return False
    spent = parameters(trial.order, records) / known_steps(records)
    return trial.refined_error <= trial.subspace_error * math.exp(spent)


def leaves_white(fit: Fit, records: Sequence[DataRecord]) -> bool:
    """Whether the errors of the free run are white: then no other fit is more likely."""
    return is_white(simulation_errors(records, fit), NOT_WHITE)


def explains(fit: Fit, records: Sequence[DataRecord]) -> bool:
    """Whether one-step errors are white and uncorrelated with past inputs: then the model can be right.

    Ljung (1999), System Identification, section 16.6.
    """
    errors = one_step_errors(completed(records, fit), fit)
    return is_white(errors, UNEXPLAINED) and _deaf(errors, records)


def runs_closer_by_far(simulation: FittedTrial, prediction: FittedTrial, split: ValidationSplit) -> bool:
    """Whether the free run's fit runs closer to the ends than the d numbers of the other can explain.

    ln (Σ ‖e‖² of the prediction / Σ ‖e‖² of the simulation) > 4 d / T
    """
    run, other = (
        float(split.squares(simulation_errors(split.whole, fit)).sum())
        for fit in (simulation.fit, innovation_form(prediction.fit))
    )
    spent = parameters(prediction.trial.order, split.heads) / known_steps(split.heads)
    return not np.isfinite(other) or other > math.exp(4 * spent) * run


def is_white(errors: Sequence[Array], level: float) -> bool:
    """Whether errors (time, outputs) of different steps are uncorrelated, by the test of Ljung and Box (1978)."""
    reach = min(WHITENESS_LAGS, *(len(error) - 1 for error in errors))
    count = sum(len(error) for error in errors)
    power = sum((error**2).sum(axis=0) for error in errors)
    if reach < 1 or not np.all(power > 0):
        return True
    products = [sum((error[k:] * error[: len(error) - k]).sum(axis=0) for error in errors) for k in range(1, reach + 1)]
    correlation = np.array(products) / power
    statistic = count * (count + 2) * (correlation**2 / (count - np.arange(1, reach + 1))[:, None]).sum(axis=0)
    return bool(chi2.sf(statistic, reach).min() > level / len(statistic))


def _deaf(errors: Sequence[Array], records: Sequence[DataRecord]) -> bool:
    """Whether errors do not correlate with the inputs of the same and of earlier steps."""
    long = [(error, record.x) for error, record in zip(errors, records, strict=True) if len(error) > 4 * WHITENESS_LAGS]
    for output, column in np.ndindex(errors[0].shape[1], records[0].x.shape[1]):
        pairs = [(e[:, output], x[:, column]) for e, x in long if np.ptp(e[:, output]) and np.ptp(x[:, column])]
        found = [cross_correlation(error, seen, range(WHITENESS_LAGS + 1)) for error, seen in pairs]
        statistic, freedom = (sum(part) for part in zip(*found, strict=True)) if found else (0.0, 1)
        if chi2.sf(statistic, freedom) < UNEXPLAINED / errors[0].shape[1] / records[0].x.shape[1]:
            return False
    return True

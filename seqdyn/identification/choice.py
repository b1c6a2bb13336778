"""Which order, and which error to make small: by what the data at the end of every record say of a fit to the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import chi2

from seqdyn.identification.focus import Focus, Freedom, Simulation, free_run_errors
from seqdyn.identification.horizon import TooShort, horizon
from seqdyn.identification.prediction_error import innovation_form
from seqdyn.identification.records import Record
from seqdyn.identification.refinement import Fit
from seqdyn.identification.subspace import Subspace

Array = np.ndarray[Any, Any]
LARGEST_ORDER = 10
"""States that ``order="auto"`` looks at."""
FEEDBACK_ORDER = 6
"""The same where inputs hold the last outputs, and no criterion on singular values applies."""
PATIENCE = 4.0
"""Free run errors may be larger by so many times d/T before the one-step error is no longer followed."""
EXACT = 1e-8
"""Error, in units of the outputs, that is rounding alone."""


class Trial(NamedTuple):
    """One order of one focus: RMS errors over the validation part, in units of the outputs given.

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
class Split:
    """Every record cut in two: what a fit is made of, and where it is compared.

    Attributes
    ----------
    heads, whole : list of Record
        The beginnings, and the records they are of.
    late : list of array of bool, shape (time,)
        The steps after the beginning.
    """

    heads: list[Record]
    whole: list[Record]
    late: list[Array]

    @classmethod
    def of(cls, records: Sequence[Record], fraction: float) -> Split:
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

    def root_mean_square(self, errors: Sequence[Array]) -> float:
        """Of the late steps; infinite where a run overflows."""
        total = float(self.squares(errors).sum())
        return math.sqrt(total / self.counted) if np.isfinite(total) and self.counted else np.inf


class Attempt(NamedTuple):
    """A trial, and the better of its two fits to the beginnings."""

    trial: Trial
    fit: Fit


def attempts(focus: Focus, split: Split, order: int | None, block_rows: int | None, refine: bool) -> list[Attempt]:
    """Every order, fitted on the beginnings and compared over the ends.

    Parameters
    ----------
    focus : Focus
        Of the beginnings.
    split : Split
    order : int or None
        None: from 1 to 10, or what the data can tell apart.
    block_rows : int or None
    refine : bool
        Whether a search follows the closed form.
    """
    try:
        data = horizon(split.heads, order, block_rows)
    except TooShort:
        return []
    candidates = focus.candidates(data)
    largest = min(FEEDBACK_ORDER if data.inputs_hold_outputs else LARGEST_ORDER, candidates.largest_order)
    orders = range(1, largest + 1) if order is None else [order]
    return [_attempt(focus, split, candidates, order, refine) for order in orders]


def _attempt(focus: Focus, split: Split, candidates: Subspace, order: int, refine: bool) -> Attempt:
    def error(fit: Fit) -> float:
        return split.root_mean_square(focus.errors(split.whole, fit)) if np.isfinite(fit.error) else np.inf

    first, _ = focus.begin(candidates, order)
    before = error(first)
    last = focus.refine(first, tolerance=1e-4) if refine and before > EXACT else first
    after = before if last is first else error(last)
    trial = Trial(focus.name, order, float(candidates.singular_values[order - 1]), before, after)
    return Attempt(trial, last if after < before else first)


def static(records: Sequence[Record], split: Split, freedom: Freedom) -> Attempt:
    """The model without states, y_t = A x_t + y_0."""
    fit = Simulation.of(records, freedom).static()
    error = split.root_mean_square(free_run_errors(split.whole, fit))
    return Attempt(Trial("simulation", 0, np.inf, error, error), fit)


def best(tried: Sequence[Attempt], records: Sequence[Record]) -> Attempt:
    """The order of the least criterion, Akaike's with the validation error: N ln(error²) + 2 d(n).

        d(n) = n (2 outputs + inputs) + outputs · inputs        N known outputs

    References
    ----------
    Akaike (1974), A new look at the statistical model identification; Bauer (2001) for d(n).
    """
    known = sum(int((record.weight > 0).sum()) for record in records)
    spent = np.array([parameters(one.trial.order, records) for one in tried])
    errors = np.array([one.trial.error for one in tried])
    return tried[int((known * np.log(np.square(errors) + EXACT**2) + 2 * spent).argmin())]


def parameters(order: int, records: Sequence[Record]) -> int:
    """d(n) = n (2 outputs + inputs) + outputs · inputs."""
    inputs, outputs = records[0].x.shape[1], records[0].y.shape[1]
    return order * (2 * outputs + inputs) + outputs * inputs


def known_steps(records: Sequence[Record]) -> float:
    """Known outputs, a mean over the outputs."""
    return sum(float((record.weight > 0).mean(axis=1).sum()) for record in records)


def predicts_better(simulation: Attempt, prediction: Attempt, split: Split) -> bool:
    """Whether the fit of the one-step error is the one to take, of a system whose inputs do not react to its outputs.

    If what the free run leaves is white, it is the most likely fit, and is taken. Else both fits run freely over the
    ends. Noise with a memory makes the one-step error the better guide, unless the model cannot be right: then the free
    run is better over the ends by more than the few numbers that were estimated explain,

        ln (Σ ‖e‖² of the prediction / Σ ‖e‖² of the simulation) > 4 d / T

    References
    ----------
    Ljung (1999), System Identification, sections 8.5 and 16.4: a fit makes small the error that it is asked to, where
    the model cannot be right, and d/T is what estimating d numbers adds to an error.
    """
    if not np.isfinite(prediction.fit.error) or simulation.trial.error <= EXACT:
        return False
    left = free_run_errors(split.heads, simulation.fit)
    if all(is_white([error[:, output] for error in left]) for output in range(left[0].shape[1])):
        return False
    ahead, free = (
        float(split.squares(free_run_errors(split.whole, fit)).sum())
        for fit in (innovation_form(prediction.fit), simulation.fit)
    )
    if not np.isfinite(ahead):
        return False
    spent = parameters(prediction.trial.order, split.heads) / known_steps(split.heads)
    return math.log(ahead / free) <= PATIENCE * spent


def is_white(errors: Sequence[Array], lags: int = 20) -> bool:
    """Whether errors of different steps are uncorrelated, by Ljung and Box's test at 1 %.

    References
    ----------
    Ljung & Box (1978), On a measure of lack of fit in time series models.
    """
    count, power = sum(len(error) for error in errors), sum(float(error @ error) for error in errors)
    reach = min(lags, *(len(error) - 1 for error in errors))
    if reach < 1 or power == 0:
        return True
    products = [sum(float(error[k:] @ error[: len(error) - k]) for error in errors) for k in range(1, reach + 1)]
    correlation = np.array(products) / power
    statistic = count * (count + 2) * (correlation**2 / (count - np.arange(1, reach + 1))).sum()
    return bool(chi2.sf(statistic, reach) > 0.01)

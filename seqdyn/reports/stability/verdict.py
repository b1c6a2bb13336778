"""The verdict: whether a gradient survives the lag that matters, and how sure that is.

    L = median log₁₀ ‖g_{t-K}‖ / ‖g_{t-1}‖     what an error tells the state K steps before it
    G = median log₁₀ ‖P_{t-K,t}‖               what any change of that state could do

Decided by L at the required lag K; a spectral radius, which says nothing about a finite lag, decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real
from typing import NamedTuple

import numpy as np

from seqdyn.reports.bootstrap_median import Estimate, estimate, quantiles
from seqdyn.reports.finite import Broken
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.subject import Subject
from seqdyn.reports.writing import counted, from_log10, written

FEWEST = 3
"""Errors below which an interval says nothing."""

ENOUGH = 3
"""How many times K all sequences together must be long."""


@dataclass(frozen=True)
class Thresholds:
    """Where a gradient counts as vanished or exploded; all of them are our own choice, and yours to change.

    Attributes
    ----------
    vanishing_warn, vanishing_fail : float
        log₁₀ of what is left of a gradient. Below −7 it is lost in the rounding of float32 sums.
    exploding_warn, exploding_fail : float
        log₁₀ of its growth.
    transient : float
        log₁₀ of a growth that dies again.
    saturated, clipped : float in (0, 1)
        Shares of gate values at their ends, and of training steps that were clipped.
    truncated : float in (0, 1)
        Share of the gradient that truncation leaves out.
    """

    vanishing_warn: float = -3.0
    vanishing_fail: float = -7.0
    exploding_warn: float = 2.0
    exploding_fail: float = 4.0
    transient: float = 2.0
    saturated: float = 0.9
    clipped: float = 0.5
    truncated: float = 0.1

    def __post_init__(self) -> None:
        values = [getattr(self, field.name) for field in fields(self)]
        if not all(isinstance(value, Real) and np.isfinite(float(value)) for value in values):
            raise ValueError(f"Thresholds are finite numbers, got {self}.")
        if not all(0 < share < 1 for share in (self.saturated, self.clipped, self.truncated)):
            raise ValueError(
                f"saturated, clipped and truncated are shares in (0, 1), got {self.saturated}, {self.clipped}, "
                f"{self.truncated}."
            )
        if not self.vanishing_fail <= self.vanishing_warn < self.exploding_warn <= self.exploding_fail:
            raise ValueError(
                "Thresholds must increase: vanishing_fail ≤ vanishing_warn < exploding_warn ≤ exploding_fail, got "
                f"{self.vanishing_fail}, {self.vanishing_warn}, {self.exploding_warn}, {self.exploding_fail}."
            )

    def side(self, value: float) -> str:
        """On which side of the thresholds a log₁₀ lies."""
        if np.isnan(value) or value > self.exploding_warn:
            return "EXPLODING"
        return "VANISHING" if value < self.vanishing_warn else "OK"

    def severity(self, value: float) -> str:
        """PASS, WARN or FAIL."""
        if self.side(value) == "OK":
            return "PASS"
        return "WARN" if self.vanishing_fail <= value <= self.exploding_fail else "FAIL"


class Verdict(NamedTuple):
    """The word, how bad it is, and why in one sentence."""

    name: str
    severity: str
    reason: str


class Evidence(NamedTuple):
    """What the verdict is made of, norms as log₁₀.

    Attributes
    ----------
    lag : int
        K.
    gradient, product : Estimate
        L and G.
    spread : tuple of float
        The 5 % and 95 % quantiles of L over sequences and errors.
    rows : int
        Steps of all sequences together.
    longest : int
        The longest lag that could be measured.
    peak, peak_lag
        The largest median log₁₀ ‖P‖ over all lags.
    exponent, exponent_error : float
        λ₁ and its standard error; NaN where they were not computed.
    autonomous : bool
    growth : float
        ln of how much the states of a system that runs alone have grown from the first half of the run to the second.
    values : int
        Errors at the required lag, over all sequences.
    broken : Broken or None
        What was not finite, why, and where it begins.
    bptt_length : int or None
        Where backpropagation is cut in training.
    guessed : bool
        Whether nobody said K: it is a share of one long sequence.
    """

    lag: int
    gradient: Estimate
    product: Estimate
    spread: tuple[float, float]
    rows: int
    longest: int
    peak: float
    peak_lag: int
    exponent: float
    exponent_error: float
    autonomous: bool
    growth: float = 0.0
    values: int = 1000
    broken: Broken | None = None
    bptt_length: int | None = None
    guessed: bool = False

    @property
    def chaotic(self) -> bool:
        """Whether the system alone parts neighbours and yet stays bounded: gradients grow in any good model of it."""
        parts = self.autonomous and self.exponent - 2 * self.exponent_error > 0
        return parts and self.growth < self.exponent * self.rows / 4  # else the states themselves grow at that rate

    @property
    def truncated(self) -> bool:
        """Whether backpropagation is too short for any error to teach what came K steps before: that takes K + 1."""
        return self.bptt_length is not None and self.bptt_length <= self.lag

    @property
    def decays(self) -> bool:
        """Whether disturbances that have grown die again."""
        return self.peak_lag < self.lag if np.isnan(self.exponent) else self.exponent <= 0


class Case(NamedTuple):
    """All that a check may look at."""

    subject: Subject
    found: Measurements
    evidence: Evidence
    limits: Thresholds


def evidence_of(subject: Subject, found: Measurements, seed: int) -> Evidence:
    """The numbers the verdict is made of; NaN where something was not measured."""
    lag = subject.required_lag
    gradient = np.full((1, 1), np.nan)
    if found.gradient is not None and lag <= len(found.gradient.lags):
        gradient = found.gradient.relative[..., lag - 1].numpy() / math.log(10)
    product = np.full((1, 1), np.nan)
    peak, peak_lag = math.nan, 0
    if found.products is not None:
        if lag in found.products.lags:
            product = found.products.log_norms[found.products.lags.index(lag)].numpy() / math.log(10)
        median = found.products.median.nan_to_num(-math.inf)
        peak, peak_lag = float(median.max()) / math.log(10), found.products.lags[int(median.argmax())]
    leading, (low, high) = found.lyapunov, quantiles(gradient, [0.05, 0.95])
    return Evidence(
        lag,
        estimate(gradient, seed),
        estimate(product, seed),
        (low, high),
        subject.sequences * subject.steps,
        subject.steps,
        peak,
        peak_lag,
        math.nan if leading is None else float(leading.exponents[0]),
        math.nan if leading is None else float(leading.standard_errors[0]),
        subject.kind == "autonomous",
        found.growth,
        int(np.isfinite(gradient).sum() + np.isinf(gradient).sum()),
        found.broken,
        subject.bptt_length,
        "tenth" in subject.required_lag_from,
    )


def decide(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """The verdict from the evidence, the gravest finding first."""
    if evidence.broken is not None:
        name = "EXPLODING" if evidence.broken.cause == "overflow" else "NOT FINITE"
        return Verdict(name, "FAIL", f"{evidence.broken.text}: what is not finite cannot be trained.")
    measured = _of_gradients(evidence, thresholds)
    if not evidence.truncated or (evidence.guessed and measured.severity == "FAIL"):
        return measured
    return Verdict("TRUNCATED", "WARN" if evidence.guessed else "FAIL", _truncated(evidence))


def _of_gradients(found: Evidence, thresholds: Thresholds) -> Verdict:
    """The verdict where all is finite and nothing is cut."""
    if found.chaotic:
        return Verdict("CHAOTIC", "PASS", _chaotic(found))
    lag, median = found.lag, found.gradient.median
    if lag > found.longest or found.rows < ENOUGH * lag or found.values < FEWEST or np.isnan(median):
        return Verdict("INCONCLUSIVE", "WARN", _too_little(found))
    low, high = found.spread
    if high > thresholds.exploding_warn and low < thresholds.vanishing_warn:
        return Verdict("MIXED", "WARN", _mixed(found))
    sides = {thresholds.side(value) for value in found.gradient}
    if len(sides) > 1:
        return Verdict("INCONCLUSIVE", "WARN", _undecided(found))
    return _settled(found, sides.pop(), thresholds)


def _settled(found: Evidence, side: str, thresholds: Thresholds) -> Verdict:
    """The verdict where the interval lies on one side of the thresholds."""
    median, over = found.gradient.median, f"Over {counted(found.lag, 'step')}"
    severity = thresholds.severity(median)
    if side == "EXPLODING":
        return Verdict(side, severity, f"{over} a gradient grows to {from_log10(median)} times its size (median).")
    if side == "VANISHING":
        left = "disappears" if np.isinf(median) else f"shrinks to {from_log10(median)} of its size"
        lost = ": too little for float32 to add to that of the nearest steps" if severity == "FAIL" else ""
        return Verdict(side, severity, f"{over} a gradient {left} (median){lost}.")
    if found.peak > thresholds.transient and found.decays:
        return Verdict("TRANSIENT", "WARN", _passing(found))
    return Verdict("OK", "PASS", f"{over} a gradient changes by a factor of {from_log10(median)} only (median).")


def _truncated(found: Evidence) -> str:
    cut = f"`bptt_length={found.bptt_length}` cuts every gradient after {counted(found.bptt_length or 0, 'step')}"
    guess = " That lag is a guess: say what it is by `required_lag`." if found.guessed else ""
    return f"{cut}: no error can teach the model what happened {counted(found.lag, 'step')} before it.{guess}"


def _chaotic(found: Evidence) -> str:
    return (
        f"The system by itself is chaotic, λ₁ = {found.exponent:.4g} ± {found.exponent_error:.2g} nats per step: the "
        "gradients of long closed loops explode in every model of it, and that is no defect."
    )


def _mixed(found: Evidence) -> str:
    low, high = map(from_log10, found.spread)
    return (
        f"Over {counted(found.lag, 'step')} some gradients vanish and others explode: 5 % shrink to {low} of their "
        f"size or less, and 5 % grow to {high} times their size or more."
    )


def _undecided(found: Evidence) -> str:
    median, low, high = map(from_log10, found.gradient)
    return (
        f"Over {counted(found.lag, 'step')} a gradient changes by a factor of {median} (median), but the interval of "
        f"that factor, from {low} to {high}, contains a threshold."
    )


def _passing(found: Evidence) -> str:
    return (
        f"A disturbance of the state grows to {from_log10(found.peak)} times its size over "
        f"{counted(found.peak_lag, 'step')} before it decays; over {counted(found.lag, 'step')} a gradient changes by "
        f"a factor of {from_log10(found.gradient.median)}."
    )


def _too_little(found: Evidence) -> str:
    lag, needed = counted(found.lag, "step"), ENOUGH * found.lag
    if found.lag > found.longest:
        return f"The required lag is {lag}, but the stretches that were measured have {written(found.longest)}."
    if found.rows < needed:
        return f"{found.rows} steps in all are too few to judge a lag of {lag}: at least {needed} are needed."
    if found.values:
        count = counted(found.values, "error reaches", "errors reach")
        return f"Only {count} back {lag}: an interval needs at least {FEWEST}."
    return f"No error of a measured step has a gradient with respect to the state {lag} before it."

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
from seqdyn.reports.writing import counted, from_log10

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
    rows, longest, values : int
        Steps of all sequences together, the longest lag that could be measured, and errors at the required lag.
    peak, peak_lag
        The largest median log₁₀ ‖P‖ over all lags.
    exponent, exponent_error, growth : float
        λ₁ and its standard error, NaN where they were not computed; of a system that runs alone, ln of how much its
        states grow from the first half of the run to the second.
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


@dataclass(frozen=True)
class Case:
    """All that a check may look at."""

    subject: Subject
    found: Measurements
    evidence: Evidence
    limits: Thresholds


def evidence_of(subject: Subject, found: Measurements, seed: int) -> Evidence:
    """The numbers the verdict is made of; NaN where something was not measured."""
    lag = subject.required_lag
    gradient = product = np.full((1, 1), np.nan)
    if found.gradient is not None and lag <= len(found.gradient.lags):
        gradient = found.gradient.relative[..., lag - 1].numpy() / math.log(10)
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
    says = _sentences(evidence)
    name, severity, finding = _finding(evidence, thresholds)
    if not evidence.truncated or (evidence.guessed and severity == "FAIL"):
        return Verdict(name, severity, says[finding])
    guess = " That lag is a guess: say what it is by `required_lag`." if evidence.guessed else ""
    return Verdict("TRUNCATED", "WARN" if evidence.guessed else "FAIL", says["truncated"] + guess)


def _finding(found: Evidence, thresholds: Thresholds) -> tuple[str, str, str]:
    """The verdict where all is finite and nothing is cut, how bad it is, and what is said of it."""
    if found.chaotic:
        return "CHAOTIC", "PASS", "chaotic"
    if lacking := _lacking(found):
        return "INCONCLUSIVE", "WARN", lacking
    low, high = found.spread
    if high > thresholds.exploding_warn and low < thresholds.vanishing_warn:
        return "MIXED", "WARN", "mixed"
    side, *others = {thresholds.side(value) for value in found.gradient}
    if others:
        return "INCONCLUSIVE", "WARN", "undecided"
    if side == "OK" and found.peak > thresholds.transient and found.decays:
        return "TRANSIENT", "WARN", "transient"
    severity = thresholds.severity(found.gradient.median)
    return side, severity, "lost" if side == "VANISHING" and severity == "FAIL" else side


def _lacking(found: Evidence) -> str:
    """Which data are lacking for a verdict; empty where there are enough."""
    if found.lag > found.longest:
        return "too short"
    if found.rows < ENOUGH * found.lag:
        return "too few steps"
    if found.values and found.values < FEWEST:
        return "too few errors"
    return "no error" if not found.values or np.isnan(found.gradient.median) else ""


def _sentences(found: Evidence) -> dict[str, str]:
    """What each finding would say of the evidence."""
    lag, cut, peak_lag = (counted(steps or 0, "step") for steps in (found.lag, found.bptt_length, found.peak_lag))
    median, least, most, low, high, peak = map(from_log10, (*found.gradient, *found.spread, found.peak))
    left = "disappears" if np.isneginf(found.gradient.median) else f"shrinks to {median} of its size"
    return {
        "truncated": f"`bptt_length={found.bptt_length}` cuts every gradient after {cut}: no error can teach the model "
        f"what happened {lag} before it.",
        "chaotic": f"The system by itself is chaotic, λ₁ = {found.exponent:.4g} ± {found.exponent_error:.2g} nats per "
        "step: the gradients of long closed loops explode in every model of it, and that is no defect.",
        "too short": f"The required lag is {lag}, but the stretches that were measured have {found.longest}.",
        "too few steps": f"{found.rows} steps in all are too few to judge a lag of {lag}: at least "
        f"{ENOUGH * found.lag} are needed.",
        "too few errors": f"Only {counted(found.values, 'error reaches', 'errors reach')} back {lag}: an interval "
        f"needs at least {FEWEST}.",
        "no error": f"No error of a measured step has a gradient with respect to the state {lag} before it.",
        "mixed": f"Over {lag} some gradients vanish and others explode: 5 % shrink to {low} of their size or less, and "
        f"5 % grow to {high} times their size or more.",
        "undecided": f"Over {lag} a gradient changes by a factor of {median} (median), but the interval of that "
        f"factor, from {least} to {most}, contains a threshold.",
        "transient": f"A disturbance of the state grows to {peak} times its size over {peak_lag} before it decays; "
        f"over {lag} a gradient changes by a factor of {median}.",
        "EXPLODING": f"Over {lag} a gradient grows to {median} times its size (median).",
        "VANISHING": f"Over {lag} a gradient {left} (median).",
        "lost": f"Over {lag} a gradient {left} (median): too little for float32 to add to that of the nearest steps.",
        "OK": f"Over {lag} a gradient changes by a factor of {median} only (median).",
    }

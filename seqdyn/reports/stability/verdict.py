"""The verdict: whether a gradient survives the lag that matters, and how sure that is.

    L = median log₁₀ ‖g_{t-K}‖ / ‖g_{t-1}‖     what an error tells the state K steps before it
    G = median log₁₀ ‖P_{t-K,t}‖               what any change of that state could do

Decided by L at the required lag K; a spectral radius, which says nothing about a finite lag, decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqdyn.reports.bootstrap_median import estimate, quantiles
from seqdyn.reports.causes import at_ends, cut_off
from seqdyn.reports.evidence import Evidence, Thresholds
from seqdyn.reports.input_sizes import FAR
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.subject import Subject
from seqdyn.reports.writing import counted, from_log10

FEWEST = 3
"""Errors below which an interval says nothing."""

ENOUGH = 3
"""How many times K all sequences together must be long."""


class Verdict(NamedTuple):
    """The word, how bad it is, and why in one sentence."""

    name: str
    severity: str
    reason: str


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
    values, sizes = int((~np.isnan(gradient)).sum()), subject.sizes
    silent = "" if values or found.broken is not None else cut_off(subject.cell, subject.name_of)
    far = sizes is not None and float(sizes.largest.max()) > FAR
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
        values,
        found.broken,
        subject.bptt_length,
        subject.guessed,
        silent,
        at_ends(found.gates, found.saturation) if far else 0.0,
    )


def decide(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """The verdict from the evidence, the gravest finding first."""
    if evidence.broken is not None:
        name = "EXPLODING" if evidence.broken.cause == "overflow" else "NOT FINITE"
        return Verdict(name, "FAIL", f"{evidence.broken.text}: what is not finite cannot be trained.")
    name, severity, finding = _finding(evidence, thresholds)
    if evidence.truncated and finding != "cut off" and not (evidence.guessed and severity == "FAIL"):
        name, severity, finding = "TRUNCATED", "WARN" if evidence.guessed else "FAIL", "truncated"
    guess = " That lag is a guess: say what it is by `required_lag`." if evidence.guessed else ""
    unsure = severity != "PASS" and finding not in ("cut off", "at ends")
    return Verdict(name, severity, _sentences(evidence)[finding] + (guess if unsure else ""))


def _finding(found: Evidence, thresholds: Thresholds) -> tuple[str, str, str]:
    """The verdict where all is finite and nothing is cut, how bad it is, and what is said of it."""
    if found.chaotic:
        return "CHAOTIC", "PASS", "chaotic"
    if found.cut_off:
        return "INCONCLUSIVE", "WARN", "cut off"
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
    if severity == "PASS" and found.at_ends > thresholds.saturated:
        return "SATURATED", "WARN", "at ends"
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
    only = " only" if abs(found.gradient.median) <= 1 else ""
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
        "cut off": f"{found.cut_off}, so no error depends on what came before.",
        "at ends": f"Inputs far from unit size hold {found.at_ends:.0%} of the values of gates or units at an end of "
        f"their range, where their weights learn nothing, although over {lag} a gradient changes by a factor of "
        f"{median} (median).",
        "mixed": f"Over {lag} some gradients vanish and others explode: 5 % shrink to {low} of their size or less, and "
        f"5 % grow to {high} times their size or more.",
        "undecided": f"Over {lag} a gradient changes by a factor of {median} (median), but the interval of that "
        f"factor, from {least} to {most}, contains a threshold.",
        "transient": f"A disturbance of the state grows to {peak} times its size over {peak_lag} before it decays; "
        f"over {lag} a gradient changes by a factor of {median}.",
        "EXPLODING": f"Over {lag} a gradient grows to {median} times its size (median).",
        "VANISHING": f"Over {lag} a gradient {left} (median).",
        "lost": f"Over {lag} a gradient {left} (median): too little for float32 to add to that of the nearest steps.",
        "OK": f"Over {lag} a gradient changes by a factor of {median}{only} (median).",
    }

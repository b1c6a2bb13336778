"""The verdict: whether a gradient survives the required lag, and how certain that is.

    L = median log₁₀ ‖g_{t-K}‖ / ‖g_{t-1}‖     gradient of an error at the state K steps before, relative to 1 step
    G = median log₁₀ ‖P_{t-K,t}‖               product of K Jacobians: the effect of any change of that state

L at the required lag K decides. The spectral radius, which says nothing about a finite lag, does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqdyn.reports.bootstrap import estimate, sample_quantiles
from seqdyn.reports.causes import at_ends, cut_off
from seqdyn.reports.evidence import Evidence, Thresholds
from seqdyn.reports.input_sizes import FAR_FROM_UNIT
from seqdyn.reports.number_format import format_log10, plural
from seqdyn.reports.probe import Probe
from seqdyn.reports.stability.measurements import Measurements

FEWEST_ERRORS = 3
"""An interval needs at least this many errors."""

LAGS_NEEDED = 3
"""All sequences together must be this many times as long as K."""


class Verdict(NamedTuple):
    """The verdict in one word, its severity, and the reason in one sentence."""

    name: str
    severity: str
    reason: str


@dataclass(frozen=True)
class ReportCase:
    """What a check is made from: the probe, what was measured, the evidence and the thresholds."""

    probe: Probe
    found: Measurements
    evidence: Evidence
    limits: Thresholds


def evidence_of(probe: Probe, found: Measurements, seed: int) -> Evidence:
    """The numbers that decide the verdict; NaN where something was not measured."""
    lag = probe.required_lag
    gradient = product = np.full((1, 1), np.nan)
    if found.gradient is not None and lag <= len(found.gradient.lags):
        gradient = found.gradient.relative[..., lag - 1].numpy() / math.log(10)
    peak, peak_lag = math.nan, 0
    if found.products is not None:
        if lag in found.products.lags:
            product = found.products.log_norms[found.products.lags.index(lag)].numpy() / math.log(10)
        median = found.products.median.nan_to_num(-math.inf)
        peak, peak_lag = float(median.max()) / math.log(10), found.products.lags[int(median.argmax())]
    leading, (low, high) = found.lyapunov, sample_quantiles(gradient, [0.05, 0.95])
    values, sizes = int((~np.isnan(gradient)).sum()), probe.sizes
    stopped = found.stopped and found.gradient is None
    silent = "" if values or stopped or found.non_finite is not None else cut_off(probe.cell, probe.name_of)
    far = sizes is not None and float(sizes.largest.max()) > FAR_FROM_UNIT
    return Evidence(
        lag,
        estimate(gradient, seed),
        estimate(product, seed),
        (low, high),
        probe.sequences * probe.steps,
        probe.steps,
        peak,
        peak_lag,
        math.nan if leading is None else float(leading.exponents[0]),
        math.nan if leading is None else float(leading.standard_errors[0]),
        probe.kind == "autonomous",
        found.growth,
        values,
        found.non_finite,
        probe.bptt_length,
        probe.guessed,
        silent,
        at_ends(found.gates, found.saturation) if far else 0.0,
        stopped,
    )


def decide(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """The verdict; the most serious finding decides."""
    if evidence.non_finite is not None:
        name = "EXPLODING" if evidence.non_finite.cause == "overflow" else "NOT FINITE"
        return Verdict(name, "FAIL", f"{evidence.non_finite.text}: such a model cannot be trained.")
    name, severity, finding = _finding(evidence, thresholds)
    if evidence.truncated and finding != "cut off" and not (evidence.guessed and severity == "FAIL"):
        name, severity, finding = "TRUNCATED", "WARN" if evidence.guessed else "FAIL", "truncated"
    guess = " That lag is a guess: give yours as `required_lag`." if evidence.guessed else ""
    unsure = severity != "PASS" and finding not in ("cut off", "at ends", "stopped")
    return Verdict(name, severity, _sentences(evidence)[finding] + (guess if unsure else ""))


def _finding(found: Evidence, thresholds: Thresholds) -> tuple[str, str, str]:
    """The verdict of a model that is finite and not truncated, its severity, and the key of its sentence."""
    if found.chaotic:
        return "CHAOTIC", "PASS", "chaotic"
    if found.stopped:
        return "INCONCLUSIVE", "WARN", "stopped"
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
    """Which data a verdict lacks; empty if there are enough."""
    if found.lag > found.longest:
        return "too short"
    if found.rows < LAGS_NEEDED * found.lag:
        return "too few steps"
    if found.values and found.values < FEWEST_ERRORS:
        return "too few errors"
    return "no error" if not found.values or np.isnan(found.gradient.median) else ""


def _sentences(found: Evidence) -> dict[str, str]:
    """The sentence of every finding."""
    lag, cut, peak_lag = (plural(steps or 0, "step") for steps in (found.lag, found.bptt_length, found.peak_lag))
    median, least, most, low, high, peak = map(format_log10, (*found.gradient, *found.spread, found.peak))
    only = " only" if abs(found.gradient.median) <= 1 else ""
    left = "disappears" if np.isneginf(found.gradient.median) else f"shrinks to {median} of its size"
    return {
        "truncated": f"`bptt_length={found.bptt_length}` cuts every gradient after {cut}: the model cannot learn from "
        f"what happened {lag} earlier.",
        "chaotic": f"The system itself is chaotic, λ₁ = {found.exponent:.4g} ± {found.exponent_error:.2g} nats per "
        "step: gradients over long closed loops explode in every model of it. This is not a defect of the model.",
        "stopped": "The report was stopped before the gradient was measured.",
        "too short": f"The required lag is {lag}, but the measured sequences have only {found.longest}.",
        "too few steps": f"{found.rows} steps in all are too few to judge a lag of {lag}: at least "
        f"{LAGS_NEEDED * found.lag} are needed.",
        "too few errors": f"Only {plural(found.values, 'error reaches', 'errors reach')} {lag} back: an interval "
        f"needs at least {FEWEST_ERRORS}.",
        "no error": f"No error has a gradient with respect to the state {lag} before it.",
        "cut off": f"{found.cut_off}, so no error depends on the past.",
        "at ends": f"Inputs far from unit size keep {found.at_ends:.0%} of the gate or unit values at an end of "
        f"their range, where their weights learn nothing, although over {lag} the median gradient changes by a factor "
        f"of {median}.",
        "mixed": f"Over {lag} some gradients vanish and others explode: 5 % shrink to {low} of their size or less, and "
        f"5 % grow to {high} times their size or more.",
        "undecided": f"Over {lag} the median gradient changes by a factor of {median}, but the interval of this "
        f"factor, {least} to {most}, contains a threshold.",
        "transient": f"A disturbance of the state grows to {peak} times its size over {peak_lag} before it decays; "
        f"over {lag} the median gradient changes by a factor of {median}.",
        "EXPLODING": f"Over {lag} the median gradient grows to {median} times its size.",
        "VANISHING": f"Over {lag} the median gradient {left}.",
        "lost": f"Over {lag} the median gradient {left}: float32 loses it beside the gradients of the nearest steps.",
        "OK": f"Over {lag} the median gradient changes by a factor of {median}{only}.",
    }

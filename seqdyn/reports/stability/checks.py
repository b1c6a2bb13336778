"""The checks of a stability report: each with an id that stays, a value, and the threshold it is held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.cells.linear import Linear
from seqdyn.dynamics.gates import GateStatistics
from seqdyn.dynamics.trajectory import rows_of
from seqdyn.reports.stability.finite import first_event
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.subject import Subject
from seqdyn.reports.stability.verdict import ENOUGH, FEWEST, Evidence, Thresholds
from seqdyn.reports.writing import counted, from_log10

STATUSES = ("PASS", "WARN", "FAIL", "SKIPPED", "ERROR")

SUM_RULE = 1e-6
"""Nats that Σ ln |R_ii| may be from ln |det J| at any step."""

DISAGREEMENT = 3.0
"""Decades between what errors and what any disturbance of the state can do over K steps."""

UNSURE = " It is this report that is unsure here, of its Lyapunov exponents: the model need not be at fault."
"""What a failing check of the report by itself says: such a check only warns."""

FAR = 5.0
"""Mean or scale of an input from which it is far from unit: it drives gates and units to the ends of their range."""

UPDATES = (1e-6, 0.1)
"""Change of the weights in a step, relative to them: less is standing still, more is jumping."""


class Check(NamedTuple):
    """One check.

    Attributes
    ----------
    id : str
        Stable: GS001, GS002, …
    name : str
    status : {"PASS", "WARN", "FAIL", "SKIPPED", "ERROR"}
    value, threshold : float or None
    unit : str
    message : str
        What was found.
    section : str
        Where in the report the numbers stand.
    """

    id: str
    name: str
    status: str
    value: float | None
    threshold: float | None
    unit: str
    message: str
    section: str


class Case(NamedTuple):
    """All that a check may look at."""

    subject: Subject
    found: Measurements
    evidence: Evidence
    limits: Thresholds


class Answer(NamedTuple):
    status: str
    value: float | None
    threshold: float | None
    message: str


class Rule(NamedTuple):
    """One line of the table: needs are names of measurements, without which the check is skipped or in error."""

    id: str
    name: str
    unit: str
    section: str
    needs: tuple[str, ...]
    judge: Callable[[Case], Answer]


def all_checks(subject: Subject, found: Measurements, evidence: Evidence, limits: Thresholds) -> list[Check]:
    """Every check, in the order of its id."""
    case = Case(subject, found, evidence, limits)
    return [_checked(rule, case) for rule in RULES]


def counts(checks: Sequence[Check]) -> dict[str, int]:
    """How many checks have each status; they add up to all of them."""
    return {status: sum(check.status == status for check in checks) for status in STATUSES}


def _checked(rule: Rule, case: Case) -> Check:
    def answer(status: str, value: float | None, threshold: float | None, message: str) -> Check:
        return Check(rule.id, rule.name, status, value, threshold, rule.unit, message, rule.section)

    for need in rule.needs:
        if need in case.found.failed:
            return answer("ERROR", None, None, case.found.failed[need])
        if getattr(case.found, need) is None:
            return answer("SKIPPED", None, None, f"{need} was not measured.")
    return answer(*rule.judge(case))


def _skipped(why: str) -> Answer:
    return Answer("SKIPPED", None, None, why)


def _at_most(value: float, threshold: float, message: str, bad: str = "WARN") -> Answer:
    return Answer("PASS" if value <= threshold else bad, value, threshold, message)


def _at_least(value: float, threshold: float, message: str, bad: str = "WARN") -> Answer:
    return Answer("PASS" if value >= threshold else bad, value, threshold, message)


# --- the gradient at the required lag ---------------------------------------------------------------------------------


def _finite(case: Case) -> Answer:
    broken = case.found.broken
    text = "Weights, loss, states, outputs and Jacobians are finite" if broken is None else broken.text
    return Answer("PASS" if broken is None else "FAIL", None, None, f"{text}.")


def _vanishing(case: Case) -> Answer:
    return _change(case, case.limits.vanishing_warn, case.limits.vanishing_fail, -1)


def _exploding(case: Case) -> Answer:
    if case.evidence.chaotic:
        return _skipped("In a chaotic system gradients grow, and that is no defect.")
    return _change(case, case.limits.exploding_warn, case.limits.exploding_fail, 1)


def _change(case: Case, warn: float, fail: float, sign: int) -> Answer:
    """Whether a gradient grows (sign 1) or shrinks (−1) beyond the thresholds."""
    median = case.evidence.gradient.median
    if math.isnan(median):
        return _skipped("No gradient was measured at this lag.")
    status = "PASS" if sign * median <= sign * warn else "WARN" if sign * median <= sign * fail else "FAIL"
    text = f"Over {counted(case.evidence.lag, 'step')} a gradient changes by a factor of {from_log10(median)} (median)."
    return Answer(status, median, fail if status == "FAIL" else warn, text)


def _agreement(case: Case) -> Answer:
    gradient, product = case.evidence.gradient.median, case.evidence.product.median
    if not (math.isfinite(gradient) and math.isfinite(product)):
        return _skipped("Nothing is left of one of the two.")
    text = (
        "Decades by which a gradient is smaller than what a disturbance of the state could do: it dies in the readout."
    )
    return _at_most(product - gradient, DISAGREEMENT, text)


def _enough(case: Case) -> Answer:
    needed = ENOUGH * case.evidence.lag
    return _at_least(
        case.evidence.rows, needed, f"Steps of all sequences together, to judge a lag of {case.evidence.lag}."
    )


def _decided(case: Case) -> Answer:
    sides = {case.limits.side(value) for value in case.evidence.gradient}
    if case.evidence.values < FEWEST:
        return Answer(
            "WARN", float(case.evidence.values), float(FEWEST), "Errors at this lag: too few for an interval."
        )
    text = f"The interval of the median lies {'on one side' if len(sides) == 1 else 'across a threshold'}."
    return Answer("PASS" if len(sides) == 1 else "WARN", None, None, text)


def _alike(case: Case) -> Answer:
    low, high = case.evidence.spread
    if math.isnan(low):
        return _skipped("No gradient was measured at this lag.")
    sides = {case.limits.side(value) for value in (low, case.evidence.gradient.median, high)}
    where = "one side of the thresholds" if len(sides) == 1 else "different sides of a threshold"
    text = f"Decades between the smallest and the largest 5 % of the gradients, which lie on {where}."
    return Answer("PASS" if len(sides) == 1 else "WARN", high - low, None, text)


def _transient(case: Case) -> Answer:
    if case.evidence.chaotic:
        return _skipped("In a chaotic system disturbances grow, and that is no defect.")
    if not case.evidence.decays:
        return _skipped("What grows here does not die again; see GS003 and GS011.")
    text = f"log₁₀ of the largest growth of a disturbance (median), which it has after {case.evidence.peak_lag} steps."
    return _at_most(case.evidence.peak, case.limits.transient, text)


def _rounding(case: Case) -> Answer:
    assert case.found.horizons is not None
    horizon = case.found.horizons.get("gradient, float32")
    if horizon is None or math.isnan(horizon.steps):
        return _skipped("The horizon of the gradient was not measured.")
    enough = horizon.steps >= case.evidence.lag or horizon.at_least
    text = "Steps after which a gradient is too small for float32 to add to that of the nearest steps."
    return Answer("PASS" if enough else "WARN", horizon.steps, float(case.evidence.lag), text)


def _fed(case: Case) -> Answer:
    assert case.found.parameters is not None
    silent = [name for name, logs in case.found.parameters.log_norms.items() if bool((logs == -math.inf).all())]
    text = f"Parameters that no error reaches: {', '.join(silent)}." if silent else "Every parameter is reached."
    return _at_most(float(len(silent)), 0.0, text)


# --- exponents --------------------------------------------------------------------------------------------------------


def _exponent(case: Case) -> Answer:
    found = case.found.lyapunov
    assert found is not None
    leading, error = float(found.exponents[0]), float(found.standard_errors[0])
    kind = "autonomous" if case.evidence.autonomous else found.kind
    text = f"λ₁ − 2 SE of the {kind} exponent, λ₁ = {leading:.4g} ± {error:.2g} {found.unit}."
    if case.evidence.chaotic:
        return Answer("PASS", leading - 2 * error, 0.0, text + " In a system that runs alone chaos is no defect.")
    return _at_most(leading - 2 * error, 0.0, text)


def _sum_rule(case: Case) -> Answer:
    spectra = [found for found in (case.found.lyapunov, case.found.sum_rule) if found is not None]
    residual = next((found.sum_rule_residual for found in spectra if not math.isnan(found.sum_rule_residual)), math.nan)
    if math.isnan(residual):
        return _skipped("Every Jacobian is singular: ln |det J| is −∞.")
    text = "|Σ ln |R_ii| − ln |det J_t|| at the worst step."
    return _at_most(residual, SUM_RULE, text if residual <= SUM_RULE else text + UNSURE)


def _self_check(name: str) -> Callable[[Case], Answer]:
    def judge(case: Case) -> Answer:
        assert case.found.lyapunov is not None
        check = next((check for check in case.found.lyapunov.checks() if check.name == name), None)
        if check is None:
            return _skipped("It was not possible here.")
        text = f"{check.meaning}." + ("" if check.passed else UNSURE)
        return Answer("PASS" if check.passed else "WARN", check.value, check.threshold, text)

    return judge


# --- truncation -------------------------------------------------------------------------------------------------------


def beyond(found: Measurements, length: int) -> float:
    """The share of the parameters' gradient from lags of ``length`` and more, at the nearest edge below it."""
    assert found.parameters is not None
    edges = np.asarray(found.parameters.edges)
    return float(found.parameters.beyond_apart[int((edges < max(length, 1)).nonzero()[0][-1])])


def _truncated(case: Case) -> Answer:
    length, lag = case.subject.bptt_length, case.evidence.lag
    if not length:
        return _skipped("Backpropagation is not truncated.")
    if case.evidence.truncated and not case.evidence.guessed:
        text = f"`bptt_length={length}` leaves out all of the gradient over {counted(lag, 'step')}."
        return Answer("FAIL", 1.0, case.limits.truncated, text)
    if case.found.parameters is None:
        return _skipped("parameters was not measured.")
    text = f"Share of the gradient that `bptt_length={length}` leaves out."
    return _at_most(beyond(case.found, length), case.limits.truncated, text)


def _wasted(case: Case) -> Answer:
    length, table = case.subject.bptt_length, case.found.horizons
    if not length or table is None or "gradient" not in table or math.isnan(table["gradient"].steps):
        return _skipped("Backpropagation is not truncated.")
    horizon = table["gradient"]
    reached = horizon.at_least or max(horizon.steps, case.evidence.lag) >= length / 2
    text = f"Steps over which a gradient keeps a hundredth of its size, of the {length} it is carried through."
    return Answer("PASS" if reached else "WARN", horizon.steps, length / 2, text)


# --- gates and units --------------------------------------------------------------------------------------------------


def keeping(found: Measurements) -> dict[str, GateStatistics]:
    """The gates that multiply the memory."""
    return {name: gate for name, gate in (found.gates or {}).items() if gate.time_constants is not None}


def slowest(found: Measurements) -> float:
    """The time constant that a tenth of the units exceeds, of the slowest layer; NaN without gates."""
    return max((float(gate.quantiles((0.9,))[0]) for gate in keeping(found).values()), default=math.nan)


def needed_time_constant(lag: int, limits: Thresholds) -> float:
    """τ with e^{−K/τ} = 10^vanishing_warn: a gate that holds this long keeps a gradient over K steps."""
    return -lag / (limits.vanishing_warn * math.log(10)) if limits.vanishing_warn < 0 else float(lag)


def _time_constants(case: Case) -> Answer:
    value = slowest(case.found)
    if math.isnan(value):
        return _skipped("No gate multiplies the memory.")
    kept, lag = from_log10(case.limits.vanishing_warn), counted(case.evidence.lag, "step")
    text = f"Time constant that a tenth of the units exceeds; the threshold keeps {kept} of a gradient over {lag}."
    return _at_least(value, needed_time_constant(case.evidence.lag, case.limits), text)


def most_closed(gates: dict[str, GateStatistics]) -> tuple[str, float]:
    """The gate most often at an end of its range, and how often: a gate that keeps the memory may well be open."""
    shares = {
        name: gate.total_saturated if gate.time_constants is None else gate.total_low for name, gate in gates.items()
    }
    return max(shares.items(), key=lambda pair: pair[1])


def _saturated(case: Case) -> Answer:
    gates = case.found.gates
    if not gates:
        return _skipped("The cell has no gates.")
    name, share = most_closed(gates)
    return _at_most(
        share,
        case.limits.saturated,
        f"Share of the values of the gate `{name}` at an end of its range, where no gradient passes.",
    )


def input_sizes(subject: Subject) -> tuple[Tensor, Tensor] | None:
    """Mean and scale of every input, in the cell's own units; None where inputs are no plain numbers, or matter not."""
    x = subject.x
    plain = isinstance(x, Tensor) and x.is_floating_point() and x.dim() == 3 and x.shape[2] > 0
    if subject.kind != "driven" or not plain or isinstance(subject.cell, Linear):
        return None
    rows = rows_of(x)
    return rows.mean(0), rows.std(0, correction=0)


def _scaled(case: Case) -> Answer:
    sizes = input_sizes(case.subject)
    if sizes is None:
        return _skipped("The inputs are no plain numbers, or the model is linear.")
    worst = float(torch.stack(sizes).abs().max())
    return _at_most(worst, FAR, "The largest mean or scale of an input, in the units the cell sees.")


def _units(case: Case) -> Answer:
    assert case.found.saturation is not None
    bounded = [part.total_saturated for part in case.found.saturation.values() if part.bounded]
    if not bounded:
        return _skipped("No part of the state stays within ±1.")
    return _at_most(
        max(bounded), case.limits.saturated, "Share of the states with |h| > 0.99, where no gradient passes."
    )


def _dead(case: Case) -> Answer:
    assert case.found.saturation is not None
    share = max((part.total_dead for part in case.found.saturation.values()), default=0.0)
    return _at_most(share, 0.1, "Share of the units that are 0 at every step: nothing can be learnt through them.")


# --- training ---------------------------------------------------------------------------------------------------------


def _clipped(case: Case) -> Answer:
    history = case.subject.history
    if history is None or "clip_fraction" not in history or not len(history):
        return _skipped("There is no history of a training.")
    if getattr(case.subject.estimator, "clip_quantile", None) is not None:
        return _skipped("clip_quantile clips a fixed share of the steps by itself.")
    share = float(history["clip_fraction"].mean())
    return _at_most(share, case.limits.clipped, "Share of the training steps whose gradient was clipped.")


def _events(case: Case) -> Answer:
    history = case.subject.history
    if history is None:
        return _skipped("There is no history of a training.")
    events = history.attrs.get("non_finite", [])
    where = f" First in {first_event(case.subject)}." if events else ""
    return _at_most(float(len(events)), 0.0, f"Steps whose loss or gradient was not finite.{where}", "FAIL")


def _updates(case: Case) -> Answer:
    history = case.subject.history
    matrices = [name for name, parameter in case.subject.cell.named_parameters() if parameter.dim() > 1]
    ratios = [] if history is None else [name for name in history if str(name).partition("/")[2] in matrices]
    ratios = [name for name in ratios if str(name).startswith("update_ratio/")]
    if history is None or not ratios or history[ratios].isna().all(axis=None):
        return _skipped("There is no history of a training.")
    last = history[ratios].iloc[-1].dropna()
    worst = float(last.max()) if float(last.max()) > UPDATES[1] else float(last.min())
    good = UPDATES[0] <= worst <= UPDATES[1]
    bound = UPDATES[1] if worst > UPDATES[1] else UPDATES[0]
    return Answer(
        "PASS" if good else "WARN", worst, bound, "‖Δθ‖/‖θ‖ of a step in the last epoch, the worst matrix of weights."
    )


RULES = (
    Rule("GS001", "finite", "", "products", (), _finite),
    Rule("GS002", "not vanishing", "log10", "gradient", ("gradient",), _vanishing),
    Rule("GS003", "not exploding", "log10", "gradient", ("gradient",), _exploding),
    Rule("GS004", "errors reach as far as disturbances", "decades", "gradient", ("gradient", "products"), _agreement),
    Rule("GS005", "enough data", "steps", "subject", (), _enough),
    Rule("GS006", "decided", "", "verdict", ("gradient",), _decided),
    Rule("GS007", "alike over sequences", "decades", "gradient", ("gradient",), _alike),
    Rule("GS008", "no transient growth", "log10", "products", ("products",), _transient),
    Rule("GS009", "float32 can add it", "steps", "horizons", ("horizons",), _rounding),
    Rule("GS010", "every parameter is reached", "parameters", "gradient", ("parameters",), _fed),
    Rule("GS011", "starts are forgotten", "nats per step", "lyapunov", ("lyapunov",), _exponent),
    Rule("GS012", "sum rule", "nats", "lyapunov", ("lyapunov",), _sum_rule),
    Rule("GS013", "adjoint", "nats per step", "lyapunov", ("lyapunov",), _self_check("adjoint")),
    Rule("GS014", "exponents settled", "nats per step", "lyapunov", ("lyapunov",), _self_check("settled")),
    Rule("GS015", "truncation loses little", "share", "gradient", (), _truncated),
    Rule("GS016", "truncation wastes little", "steps", "gradient", ("horizons",), _wasted),
    Rule("GS017", "gates hold long enough", "steps", "gates", ("gates",), _time_constants),
    Rule("GS018", "gates move", "share", "gates", ("gates",), _saturated),
    Rule("GS019", "units move", "share", "gates", ("saturation",), _units),
    Rule("GS020", "units live", "share", "gates", ("saturation",), _dead),
    Rule("GS021", "clipping is the exception", "share", "training", (), _clipped),
    Rule("GS022", "training stayed finite", "events", "training", (), _events),
    Rule("GS023", "updates are of a sensible size", "ratio", "training", (), _updates),
    Rule("GS024", "inputs are of unit size", "", "subject", (), _scaled),
)

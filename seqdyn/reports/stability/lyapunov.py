"""Lyapunov exponents: the mean rates at which neighbouring states part along the trajectory."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from seqdyn.dynamics.growth import growth
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.dynamics.trajectory import Trajectory, rows_of
from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.checks import Answer, at_most, rule, skipped
from seqdyn.reports.drawing import Axes, curve, drawing, numbers
from seqdyn.reports.evidence import ROUNDING
from seqdyn.reports.grids import Grid
from seqdyn.reports.pointers import Content, look_up
from seqdyn.reports.quantities import Axis, Quantity, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import Case
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Run, Theme
from seqdyn.reports.writing import counted, written
from seqdyn.state import map_leaves, steps, take

EXPONENTS, WHOLE = 8, 64
"""Leading exponents, and the width up to which all of them are measured."""
SUM_RULE = 1e-6
"""Nats that Σ ln |R_ii| may be from ln |det J| at any step."""
UNSURE = " It is this report that is unsure here, of its Lyapunov exponents: the model need not be at fault."
"""What a failing check of the report by itself says: such a check only warns."""
SHORT = 32
"""Steps on which the sum rule is looked at where not all exponents are measured."""
LINES = 4
"""Exponents that are drawn: the largest."""


def _measure(run: Run) -> None:
    subject, found = run.subject, run.found
    cell, x, state = subject.cell, subject.x, subject.state
    if subject.kind == "autonomous":
        x, state = _one_run(subject)
        found.growth = growth(cell, x, state)
    elif run.tier == "fast":
        found.omitted.append("Lyapunov exponents")
        return
    width = Trajectory(cell, steps(x, 0, 1), state).width
    count = 1 if run.tier == "fast" else width if run.tier == "full" or width <= WHOLE else EXPONENTS
    run("lyapunov", lambda: lyapunov_spectrum(cell, x, state, k=count))
    if count == width:
        return
    found.omitted.append(f"{width - count} of {width} Lyapunov exponents (tier='full')")
    if run.tier != "fast":
        one, short = slice(1), min(subject.steps, SHORT)
        start = steps(take(x, one), 0, short), take(state, one)
        run("sum_rule", lambda: lyapunov_spectrum(cell, *start, burn_in=0))


def _one_run(subject: Subject) -> tuple[Any, Any]:
    """The stretches of a system alone as the one run they are: it has only one transient to leave out."""
    return map_leaves(lambda leaf: leaf[None], rows_of(subject.x)), take(subject.state, slice(1))


def _content(subject: Subject, found: Measurements) -> dict[str, Any] | None:
    own = found.lyapunov
    if own is None:
        return None
    short = own.sum_rule_residual if found.sum_rule is None else found.sum_rule.sum_rule_residual
    return {
        "exponents": own.exponents.tolist(),
        "standard_errors": own.standard_errors.tolist(),
        **{name: getattr(own, name) for name in ("unit", "kind", "steps")},
        **{name: float(getattr(own, name)) for name in ("kaplan_yorke", "entropy", "lyapunov_time", "adjoint_gap")},
        "sum_rule_residual": float(short if math.isnan(own.sum_rule_residual) else own.sum_rule_residual),
        "running": {"steps": own.running_steps.tolist(), "values": own.running.tolist()},
        "finite_time": _finite_time(found, subject.required_lag),
    }


def _finite_time(found: Measurements, lag: int) -> dict[str, Any] | None:
    """The leading exponents of stretches of the required lag, ln ‖P‖ / k."""
    if found.products is None or lag not in found.products.lags:
        return None
    values = found.products.log_norms[found.products.lags.index(lag)].flatten()
    return {"lag": lag, "values": (values[values.isfinite()] / lag).tolist()}


@drawing("/lyapunov/running/values", x="steps", zero=True, columns=4)
def lyapunov_exponents(axes: Axes, content: Content) -> str:
    """The estimates as the run grows, and at its end with their standard errors: flat ends have converged."""
    found = content["lyapunov"]
    places = numbers(found["running"]["steps"])
    values = numbers(found["running"]["values"]).reshape(len(places), -1)
    for number in range(min(LINES, values.shape[1])):
        end, error, above = found["exponents"][number], found["standard_errors"][number], LINES - number
        look: dict[str, Any] = {"color": MODELS[number], "zorder": 2.0 + 0.1 * above}
        curve(axes, places, values[:, number], linewidth=1.4, label=f"λ{'₁₂₃₄'[number]}", **look)
        if math.isfinite(end) and math.isfinite(error):
            axes.errorbar(places[-1], end, error, fmt="o", capsize=3.0, **look)
    axes.set(title=f"Lyapunov exponents, {found['kind']}", ylabel=found["unit"])
    halfway, over = written(values[len(values) // 2, 0]), counted(found["running"]["steps"][-1], "step")
    first = f"{written(found['exponents'][0])} ± {written(found['standard_errors'][0])} {found['unit']}"
    count = counted(len(found["exponents"]), f"{found['kind']} exponent")
    return f"{count}; the largest is {first} after {over}, and was {halfway} half-way."


@drawing("/lyapunov/finite_time/values", y="stretches")
def finite_time_exponents(axes: Axes, content: Content) -> str:
    """The growth rates over stretches of one length: how much they differ along the trajectory."""
    found, exponent = content["lyapunov"]["finite_time"], look_up(content, "/lyapunov/exponents/0")
    values = numbers(found["values"])
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    margin = max(0.5 * (high - low) / 12, 1e-6 * max(abs(low), abs(high), 1e-3))
    count = int(np.clip(2 * np.sqrt(len(known)), 6, 40))
    bins = np.linspace(low - margin, high + margin, count).tolist()
    axes.hist(known, bins, histtype="stepfilled", color=MODELS[0], alpha=0.75)
    axes.axvline(0.0, color=PALETTE["data"], linewidth=1.0, label="neither grows nor decays")
    if exponent is not None and np.isfinite(exponent):
        axes.axvline(exponent, color=MODELS[1], linestyle="--", label="λ₁ of the whole run")
    lost = f" ({len(values) - len(known)} not finite)" if len(known) < len(values) else ""
    axes.set(title=f"Growth rates over {found['lag']} steps{lost}", xlabel=content["lyapunov"]["unit"])
    stretches = counted(len(values), "stretch grows", "stretches grow")
    return f"Growth rates over {counted(found['lag'], 'step')}: {int((values > 0).sum())} of {stretches}."


@rule("GS011", "starts are forgotten", "nats per step", "lyapunov", "lyapunov")
def forgetting(case: Case) -> Answer:
    found = case.found.lyapunov
    assert found is not None
    leading, error = float(found.exponents[0]), float(found.standard_errors[0])
    kind = "autonomous" if case.evidence.autonomous else found.kind
    text = f"λ₁ − 2 SE of the {kind} exponent, λ₁ = {leading:.4g} ± {error:.2g} {found.unit}."
    if case.evidence.chaotic:
        return Answer("PASS", leading - 2 * error, ROUNDING, text + " In a system that runs alone chaos is no defect.")
    return at_most(leading - 2 * error, ROUNDING, text + f" Up to {written(ROUNDING)} is rounding.")


@rule("GS012", "sum rule", "nats", "lyapunov", "lyapunov")
def sum_rule(case: Case) -> Answer:
    spectra = [found for found in (case.found.lyapunov, case.found.sum_rule) if found is not None]
    residual = next((one.sum_rule_residual for one in spectra if not math.isnan(one.sum_rule_residual)), math.nan)
    if math.isnan(residual):
        return skipped("No Jacobian has a determinant that float64 resolves.")
    text = "|Σ ln |R_ii| − ln |det J_t|| at the worst step."
    return at_most(residual, SUM_RULE, text if residual <= SUM_RULE else text + UNSURE)


def _self_check(name: str, case: Case) -> Answer:
    assert case.found.lyapunov is not None
    check = next((check for check in case.found.lyapunov.checks() if check.name == name), None)
    if check is None:
        return skipped("It was not possible here.")
    text = f"{check.meaning}." + ("" if check.passed else UNSURE)
    return Answer("PASS" if check.passed else "WARN", check.value, check.threshold, text)


adjoint = rule("GS013", "adjoint", "nats per step", "lyapunov", "lyapunov")(partial(_self_check, "adjoint"))
settled = rule("GS014", "exponents settled", "nats per step", "lyapunov", "lyapunov")(partial(_self_check, "settled"))


UNIT = "/lyapunov/unit"
NUMBER = (Axis("exponent"),)
RUNNING = (Axis("step", "step", "/lyapunov/running/steps/*"), *NUMBER)
ENDS = {"exponent": "/lyapunov/exponents/*", "standard error": "/lyapunov/standard_errors/*"}

LYAPUNOV = Theme(
    "lyapunov",
    "Lyapunov exponents",
    "Mean rates of growth along the trajectory: where all are below 0 the start is forgotten. One above 0 says of a "
    "driven model that two starts under the same input never meet; of a model that runs alone it is chaos where the "
    "state stays bounded, and plain growth where it does not.",
    _content,
    _measure,
    (
        Quantity("/lyapunov/exponents/*", "Lyapunov exponent", "exponents", UNIT, NUMBER),
        Quantity("/lyapunov/standard_errors/*", "standard error of the exponent", "standard_errors", UNIT, NUMBER),
        Quantity("/lyapunov/running/values/*/*", "", "running_exponents", UNIT, RUNNING),
        Quantity("/lyapunov/finite_time/values/*", "", "finite_time_exponents", UNIT, (Axis("sample"),)),
        single("/lyapunov/exponents/0", "largest Lyapunov exponent λ₁", UNIT),
        single("/lyapunov/steps", "steps behind the exponents", "steps"),
        single("/lyapunov/kaplan_yorke", "Kaplan–Yorke dimension"),
        single("/lyapunov/entropy", "entropy, the sum of the exponents above 0", UNIT),
        single("/lyapunov/lyapunov_time", "Lyapunov time, 1/λ₁ where λ₁ > 0", "steps"),
        single("/lyapunov/sum_rule_residual", "residual of the sum rule"),
        single("/lyapunov/adjoint_gap", "gap to the adjoint exponents"),
        single("/lyapunov/finite_time/lag", "stretches of the growth rates", "steps"),
    ),
    (Grid("Exponents, nats per step", "/lyapunov/exponents", ENDS, "number"),),
    (lyapunov_exponents, finite_time_exponents),
    rules=(forgetting, sum_rule, adjoint, settled),
)

"""Lyapunov exponents: the mean rates at which neighbouring states diverge along the trajectory."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.dynamics.state_growth import state_growth
from seqdyn.dynamics.trajectory import Trajectory, rows_of
from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.checks import Finding, check_rule, pass_at_most, skipped
from seqdyn.reports.drawing import Axes, curve, numbers, report_figure
from seqdyn.reports.evidence import EXPONENT_ROUNDING
from seqdyn.reports.number_format import format_number, plural
from seqdyn.reports.pointers import Content, look_up
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import Axis, ReportQuantity, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import ReportCase
from seqdyn.reports.table_layouts import TableLayout
from seqdyn.reports.theme import Examination, Theme
from seqdyn.state import map_leaves, steps, take

LEADING_COUNT, FULL_WIDTH = 8, 64
"""How many leading exponents are measured, and the state width up to which all of them are."""
SUM_RULE_TOLERANCE = 1e-6
"""Nats by which Σ ln |R_ii| may differ from ln |det J| at any step."""
REPORT_UNSURE = " The Lyapunov exponents of this report are uncertain here; the model need not be at fault."
"""The note of a check of the report itself that failed: such a check only warns."""
SUM_RULE_STEPS = 32
"""Steps on which the sum rule is checked if not all exponents are measured."""
DRAWN_EXPONENTS = 4
"""How many of the largest exponents are drawn."""


def measure_lyapunov(run: Examination) -> None:
    probe, found = run.probe, run.found
    cell, x, state = probe.cell, probe.x, probe.state
    if probe.kind == "autonomous":
        x, state = _one_run(probe)
        found.growth = state_growth(cell, x, state)
    elif run.tier == "fast":
        found.omitted.append("Lyapunov exponents")
        return
    width = Trajectory(cell, steps(x, 0, 1), state).width
    count = 1 if run.tier == "fast" else width if run.tier == "full" or width <= FULL_WIDTH else LEADING_COUNT
    run("lyapunov", lambda: lyapunov_spectrum(cell, x, state, k=count))
    if count == width:
        return
    found.omitted.append(f"{width - count} of {width} Lyapunov exponents (tier='full')")
    if run.tier != "fast":
        one, short = slice(1), min(probe.steps, SUM_RULE_STEPS)
        start = steps(take(x, one), 0, short), take(state, one)
        run("sum_rule", lambda: lyapunov_spectrum(cell, *start, burn_in=0))


def _one_run(probe: Probe) -> tuple[Any, Any]:
    """The pieces of an autonomous run joined again: such a run has only one transient to leave out."""
    return map_leaves(lambda leaf: leaf[None], rows_of(probe.x)), take(probe.state, slice(1))


def lyapunov_content(probe: Probe, found: Measurements) -> dict[str, Any] | None:
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
        "finite_time": _finite_time(found, probe.required_lag),
    }


def _finite_time(found: Measurements, lag: int) -> dict[str, Any] | None:
    """The growth rates ln ‖P‖ / k over pieces of the required lag k."""
    if found.products is None or lag not in found.products.lags:
        return None
    values = found.products.log_norms[found.products.lags.index(lag)].flatten()
    return {"lag": lag, "values": (values[values.isfinite()] / lag).tolist()}


@report_figure("/lyapunov/running/values", x="steps", zero=True, columns=4)
def lyapunov_exponents(axes: Axes, content: Content) -> str:
    """The estimates as the run grows, and their standard errors at its end: a flat curve has converged."""
    found = content["lyapunov"]
    places = numbers(found["running"]["steps"])
    values = numbers(found["running"]["values"]).reshape(len(places), -1)
    for number in range(min(DRAWN_EXPONENTS, values.shape[1])):
        end, error, above = found["exponents"][number], found["standard_errors"][number], DRAWN_EXPONENTS - number
        look: dict[str, Any] = {"color": MODELS[number], "zorder": 2.0 + 0.1 * above}
        curve(axes, places, values[:, number], linewidth=1.4, label=f"λ{'₁₂₃₄'[number]}", **look)
        if math.isfinite(end) and math.isfinite(error):
            axes.errorbar(places[-1], end, error, fmt="o", capsize=3.0, **look)
    axes.set(title=f"Lyapunov exponents, {found['kind']}", ylabel=found["unit"])
    halfway, over = format_number(values[len(values) // 2, 0]), plural(found["running"]["steps"][-1], "step")
    first = f"{format_number(found['exponents'][0])} ± {format_number(found['standard_errors'][0])} {found['unit']}"
    count = plural(len(found["exponents"]), f"{found['kind']} exponent")
    return f"{count}; the largest is {first} after {over}, and was {halfway} half-way."


@report_figure("/lyapunov/finite_time/values", y="pieces")
def growth_rates(axes: Axes, content: Content) -> str:
    """A histogram of the growth rates over pieces of one length along the trajectory."""
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
    pieces = plural(len(values), "piece grows", "pieces grow")
    return f"Growth rates over {plural(found['lag'], 'step')}: {int((values > 0).sum())} of {pieces}."


@check_rule("GS011", "starts are forgotten", "nats per step", "lyapunov", "lyapunov")
def forgetting(case: ReportCase) -> Finding:
    found = case.found.lyapunov
    assert found is not None
    leading, error = float(found.exponents[0]), float(found.standard_errors[0])
    kind = "autonomous" if case.evidence.autonomous else found.kind
    text = f"λ₁ − 2 SE of the {kind} exponent, λ₁ = {leading:.4g} ± {error:.2g} {found.unit}."
    if case.evidence.chaotic:
        return Finding("PASS", leading - 2 * error, EXPONENT_ROUNDING, f"{text} Chaos of a system itself is no defect.")
    text += f" Up to {format_number(EXPONENT_ROUNDING)} is rounding."
    return pass_at_most(leading - 2 * error, EXPONENT_ROUNDING, text)


@check_rule("GS012", "sum rule", "nats", "lyapunov", "lyapunov")
def sum_rule(case: ReportCase) -> Finding:
    spectra = [found for found in (case.found.lyapunov, case.found.sum_rule) if found is not None]
    residual = next((one.sum_rule_residual for one in spectra if not math.isnan(one.sum_rule_residual)), math.nan)
    if math.isnan(residual):
        return skipped("No Jacobian has a determinant that float64 can resolve.")
    text = "|Σ ln |R_ii| − ln |det J_t|| at the worst step."
    return pass_at_most(residual, SUM_RULE_TOLERANCE, text if residual <= SUM_RULE_TOLERANCE else text + REPORT_UNSURE)


def _self_check(name: str, case: ReportCase) -> Finding:
    assert case.found.lyapunov is not None
    check = next((check for check in case.found.lyapunov.checks() if check.name == name), None)
    if check is None:
        return skipped("This check is not possible here.")
    text = f"{check.meaning}." + ("" if check.passed else REPORT_UNSURE)
    return Finding("PASS" if check.passed else "WARN", check.value, check.threshold, text)


_SELF_CHECKED = "nats per step", "lyapunov", "lyapunov"
adjoint = check_rule("GS013", "adjoint", *_SELF_CHECKED)(partial(_self_check, "adjoint"))
settled = check_rule("GS014", "exponents settled", *_SELF_CHECKED)(partial(_self_check, "settled"))


EXPONENT_UNIT, STANDARD_ERROR = "/lyapunov/unit", "standard error of the exponent"
BY_EXPONENT = EXPONENT_UNIT, (Axis("exponent"),)
RUNNING_AXES = (Axis("step", "step", "/lyapunov/running/steps/*"), Axis("exponent"))
EXPONENT_COLUMNS = {"exponent": "/lyapunov/exponents/*", "standard error": "/lyapunov/standard_errors/*"}

LYAPUNOV_THEME = Theme(
    "lyapunov",
    "Lyapunov exponents",
    "Mean rates of growth along the trajectory. If all are below 0, the initial state is forgotten. If one is above 0, "
    "two initial states of a driven model never converge under the same input; a model that runs without inputs is "
    "chaotic if its state stays bounded, and grows if it does not.",
    lyapunov_content,
    measure_lyapunov,
    (
        ReportQuantity("/lyapunov/exponents/*", "Lyapunov exponent", "exponents", *BY_EXPONENT),
        ReportQuantity("/lyapunov/standard_errors/*", STANDARD_ERROR, "standard_errors", *BY_EXPONENT),
        ReportQuantity("/lyapunov/running/values/*/*", "", "running_exponents", EXPONENT_UNIT, RUNNING_AXES),
        ReportQuantity("/lyapunov/finite_time/values/*", "", "finite_time_exponents", EXPONENT_UNIT, (Axis("sample"),)),
        single("/lyapunov/exponents/0", "largest Lyapunov exponent λ₁", EXPONENT_UNIT),
        single("/lyapunov/steps", "steps behind the exponents", "steps"),
        single("/lyapunov/kaplan_yorke", "Kaplan–Yorke dimension"),
        single("/lyapunov/entropy", "entropy, the sum of the exponents above 0", EXPONENT_UNIT),
        single("/lyapunov/lyapunov_time", "Lyapunov time, 1/λ₁ where λ₁ > 0", "steps"),
        single("/lyapunov/sum_rule_residual", "residual of the sum rule"),
        single("/lyapunov/adjoint_gap", "gap to the adjoint exponents"),
        single("/lyapunov/finite_time/lag", "length of the pieces of the growth rates", "steps"),
    ),
    (TableLayout("Exponents, nats per step", "/lyapunov/exponents", EXPONENT_COLUMNS, "number"),),
    (lyapunov_exponents, growth_rates),
    rules=(forgetting, sum_rule, adjoint, settled),
)

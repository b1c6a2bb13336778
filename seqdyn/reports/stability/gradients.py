"""The gradient of the loss with respect to earlier states, by lag, by parameter and along time.

g_{t−k} = ∂E_t/∂h_{t−k}
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from seqdyn.dynamics.anchors import anchors
from seqdyn.dynamics.gradients import accumulated_gradient, gradient_by_lag, parameter_gradients
from seqdyn.dynamics.norm_preservation import omega
from seqdyn.figures import MODELS
from seqdyn.reports.checks import Finding, check_rule, pass_at_most, skipped
from seqdyn.reports.drawing import (
    Axes,
    curve,
    draw_map,
    mark,
    name_places,
    numbers,
    report_figure,
    short,
    without_infinities,
)
from seqdyn.reports.number_format import format_log10, format_number, plural
from seqdyn.reports.pointers import Content
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import QUANTILE, QUANTILES, Axis, ReportQuantity, curves, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import FEWEST_ERRORS, ReportCase
from seqdyn.reports.table_layouts import TableLayout, columns_from
from seqdyn.reports.theme import Examination, Theme, by_lag, log10, log10_quantiles, median_along, thinned

FOLLOWED_ERRORS = 32
"""How many errors are followed back in time."""
DISAGREEMENT = 3.0
"""Decades that the gradient of an error may be smaller than the product of Jacobians over K steps."""
LONGEST_LAG = 2000
"""A gradient is followed further back than this only if a longer lag is required."""


def measure_gradient(run: Examination) -> None:
    probe = run.probe
    cell, x, state, loss = probe.cell, probe.x, probe.state, probe.loss
    lag = min(probe.required_lag, probe.steps)
    errors = anchors(cell, x, loss, state, lag=probe.required_lag, count=FOLLOWED_ERRORS)
    if errors:
        reach = max(lag, min(LONGEST_LAG, 4 * lag))
        run("gradient", lambda: gradient_by_lag(cell, x, loss, state, anchors=errors, longest=reach))
    run("accumulated", lambda: accumulated_gradient(cell, x, loss, state))
    if run.tier == "fast":
        return
    run("omega", lambda: omega(cell, x, loss, state))
    if errors and any(True for _ in cell.parameters()):
        run("parameters", lambda: parameter_gradients(cell, x, loss, state, anchors=errors))


def gradient_content(probe: Probe, found: Measurements) -> dict[str, Any] | None:
    if found.gradient is None:
        return None
    kept, own, regulariser = thinned(len(found.gradient.lags)), found.parameters, found.omega
    return {
        "lags": found.gradient.lags[kept].tolist(),
        "quantiles": log10_quantiles(found.gradient.quantiles(list(QUANTILES.values()))[kept]),
        "accumulated": None if found.accumulated is None else median_along(log10(found.accumulated)),
        "omega": regulariser and {"value": float(regulariser.value), **median_along(regulariser.curve)},
        "parameters": None
        if own is None
        else {
            "edges": list(own.edges),
            "log10": {probe.name_of(name): log10(values).tolist() for name, values in own.log_norms.items()},
            **{name: getattr(own, name).tolist() for name in SHARE_LABELS},
        },
    }


BANDS = "/gradient/parameters/log10"


@report_figure(BANDS, title="Gradient by parameter and lag", height=1.5, rows=BANDS)
def gradient_by_parameter(axes: Axes, content: Content) -> str:
    """The gradient of every parameter, split into bands of lags."""
    found = content["gradient"]["parameters"]
    names = sorted(found["log10"])
    values = np.stack([numbers(found["log10"][name]) for name in names])
    known = values[np.isfinite(values)] if np.isfinite(values).any() else np.array([0.0, 1.0])
    limits = known.min(), max(known.max(), known.min() + 0.1)
    draw_map(axes, without_infinities(values), limits, "log10 of the norm", "viridis", aspect="auto")
    axes.set_yticks(np.arange(len(names)), [short(name) for name in names])
    name_places(axes, found["edges"])
    axes.set_xlabel("lag of the error, up to" + ("\n(grey: nothing arrives)" if np.isneginf(values).any() else ""))
    first, last = (format_number(values[:, place].max()) for place in (0, -1))
    ends = f"at most {first} from lag 0 and {last} from the lags up to {found['edges'][-1]}"
    return f"log10 norm of the gradient by parameter and band of lags: {ends}."


SHARE_LABELS = {"beyond": "of the sum", "beyond_apart": "of the parts"}
"""The two shares of the gradient from beyond a lag: between the parts nothing cancels."""


@report_figure(
    "/gradient/parameters/beyond", title="Share of the gradient from beyond a lag", x="lag, steps", y="share"
)
def truncation_share(axes: Axes, content: Content) -> str:
    """The share of the gradient from beyond each lag, which truncated backpropagation would leave out."""
    found, required = content["gradient"]["parameters"], content["subject"]["required_lag"]
    most = content["subject"]["thresholds"]["truncated"]
    limit, places = f"{format_number(100 * most)} %", np.arange(len(found["edges"]))
    for (name, label), colour, marker in zip(SHARE_LABELS.items(), MODELS, "os", strict=False):
        curve(axes, places, numbers(found[name]), color=colour, marker=marker, label=label)
    mark(axes, limit, y=most, linestyle=":")
    if len(places) > 1:
        mark(axes, f"required lag {required}", x=float(np.interp(required, found["edges"], places)))
    name_places(axes, found["edges"])
    axes.set_ylim(bottom=0.0)
    small = [edge for edge, share in zip(found["edges"], found["beyond_apart"], strict=True) if share <= most]
    where = f"falls to {limit} or less at lag {small[0]}" if small else f"stays above {limit} at every lag"
    return f"The share of the gradient from beyond a lag, summed over parts so that nothing cancels, {where}."


@check_rule("GS002", "not vanishing", "log10", "gradient", "gradient")
def not_vanishing(case: ReportCase) -> Finding:
    return _within(case, -1, case.limits.vanishing_warn, case.limits.vanishing_fail)


@check_rule("GS003", "not exploding", "log10", "gradient", "gradient")
def not_exploding(case: ReportCase) -> Finding:
    if case.evidence.chaotic:
        return skipped("In a chaotic system gradients grow, which is not a defect.")
    return _within(case, 1, case.limits.exploding_warn, case.limits.exploding_fail)


def _within(case: ReportCase, sign: int, warn: float, fail: float) -> Finding:
    """WARN or FAIL if the median gradient lies beyond these limits: above them for a sign of 1, below them for −1."""
    median = case.evidence.gradient.median
    if math.isnan(median):
        return skipped("No gradient was measured at this lag.")
    warned, failed = (sign * median > sign * limit for limit in (warn, fail))
    lag, factor = plural(case.evidence.lag, "step"), format_log10(median)
    text = f"Over {lag} the median gradient changes by a factor of {factor}."
    return Finding("FAIL" if failed else "WARN" if warned else "PASS", median, fail if failed else warn, text)


@check_rule("GS004", "errors reach as far as disturbances", "decades", "gradient", "gradient", "products")
def agreement(case: ReportCase) -> Finding:
    gradient, product = case.evidence.gradient.median, case.evidence.product.median
    if not (math.isfinite(gradient) and math.isfinite(product)):
        return skipped("One of the two norms is 0.")
    text = "Decades by which the gradient is smaller than the product of Jacobians: it is lost in the readout."
    return pass_at_most(product - gradient, DISAGREEMENT, text)


@check_rule("GS006", "decided", "", "verdict", "gradient")
def decisive(case: ReportCase) -> Finding:
    if case.evidence.values < FEWEST_ERRORS:
        text = "The number of errors at this lag is too small for an interval."
        return Finding("WARN", float(case.evidence.values), float(FEWEST_ERRORS), text)
    one = len({case.limits.side(value) for value in case.evidence.gradient}) == 1
    text = f"The interval of the median lies {'on one side' if one else 'across a threshold'}."
    return Finding("PASS" if one else "WARN", None, None, text)


@check_rule("GS007", "alike over sequences", "decades", "gradient", "gradient")
def uniform(case: ReportCase) -> Finding:
    low, high = case.evidence.spread
    if math.isnan(low):
        return skipped("No gradient was measured at this lag.")
    one = len({case.limits.side(value) for value in (low, case.evidence.gradient.median, high)}) == 1
    where = "one side of the thresholds" if one else "different sides of a threshold"
    text = f"Decades between the 5 % and 95 % quantiles of the gradients, which lie on {where}."
    return Finding("PASS" if one else "WARN", high - low, None, text)


@check_rule("GS010", "every parameter is reached", "parameters", "gradient", "parameters")
def reaches_all(case: ReportCase) -> Finding:
    assert case.found.parameters is not None
    norms = case.found.parameters.log_norms
    silent = [case.probe.name_of(name) for name, logs in norms.items() if bool((logs == -math.inf).all())]
    text = f"Parameters without a gradient: {', '.join(silent)}." if silent else "Every parameter has a gradient."
    return pass_at_most(float(len(silent)), 0.0, text)


@check_rule("GS015", "truncation loses little", "share", "gradient")
def truncation(case: ReportCase) -> Finding:
    length, lag = case.probe.bptt_length, case.evidence.lag
    if not length:
        return skipped("Backpropagation is not truncated.")
    if case.evidence.truncated:
        text = f"`bptt_length={length}` leaves out the whole gradient at a lag of {plural(lag, 'step')}."
        return Finding("WARN" if case.evidence.guessed else "FAIL", 1.0, case.limits.truncated, text)
    if case.found.parameters is None:
        return skipped("Gradients of single parameters were not measured.")
    text = f"The share of the gradient that `bptt_length={length}` leaves out."
    return pass_at_most(share_beyond(case.found, length), case.limits.truncated, text)


def share_beyond(found: Measurements, length: int) -> float:
    """The share of the parameters' gradient from lags of at least ``length``, at the nearest edge below it."""
    assert found.parameters is not None
    edges = np.asarray(found.parameters.edges)
    return float(found.parameters.beyond_apart[int((edges < max(length, 1)).nonzero()[0][-1])])


SHARES_BEYOND = columns_from("/gradient/parameters/{}/*", {"edges": "lag, steps"} | SHARE_LABELS)
GRADIENT_LAG = Axis("lag", "lag", "/gradient/lags/*")
BAND_AXIS = Axis("band", "lag", "/gradient/parameters/edges/*")
TIME_STEP, OMEGA_STEP = (Axis("step", "step", f"/gradient/{name}/steps/*") for name in ("accumulated", "omega"))
BEYOND_LABELS = {"beyond": "share beyond the lag", "beyond_apart": "share beyond the lag, apart"}
BAND_AXES = Axis("parameter", "name"), BAND_AXIS
ACCUMULATED = "/gradient/accumulated/median/*"

GRADIENT_THEME = Theme(
    "gradient",
    "Gradient of the loss",
    "The gradient of single errors with respect to earlier states, relative to lag 1, and the gradient that plain "
    "backpropagation accumulates. Parameters learn from a lag only if the gradient reaches that far.",
    gradient_content,
    measure_gradient,
    (
        ReportQuantity("/gradient/quantiles/*/*", "gradient", "gradient", "log10", (QUANTILE, GRADIENT_LAG)),
        ReportQuantity(ACCUMULATED, "accumulated gradient", "accumulated_gradient", "log10", (TIME_STEP,), 0.5),
        ReportQuantity("/gradient/omega/median/*", "Pascanu's Ω", "omega", "", (OMEGA_STEP,), 0.5),
        ReportQuantity(f"{BANDS}/*/*", "gradient of a parameter", "parameter_gradient", "log10", BAND_AXES),
        *curves("/gradient/parameters/{}/*", BEYOND_LABELS, "{}", BAND_AXIS),
        single("/gradient/omega/value", "Pascanu's Ω"),
    ),
    (
        by_lag("gradient", "log10 of the gradient by lag, relative to lag 1"),
        TableLayout("Share of the gradient from beyond a lag", "/gradient/parameters/edges", SHARES_BEYOND),
    ),
    (gradient_by_parameter, truncation_share),
    rules=(not_vanishing, not_exploding, agreement, decisive, uniform, reaches_all, truncation),
)

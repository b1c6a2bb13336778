"""The gradient of the loss: how far back errors reach, by lag, by parameter and along time.

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
from seqdyn.reports.checks import Answer, at_most, rule, skipped
from seqdyn.reports.drawing import Axes, curve, draw_map, drawing, finite, mark, name_places, numbers, short
from seqdyn.reports.grids import Grid, columns
from seqdyn.reports.pointers import Content
from seqdyn.reports.quantities import QUANTILE, QUANTILES, Axis, Quantity, curves, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import FEWEST, Case
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Run, Theme, along, by_lag, log10, quantiles, thinned
from seqdyn.reports.writing import counted, from_log10, written

ANCHORS = 32
"""Errors that are followed back."""
DISAGREEMENT = 3.0
"""Decades between what errors and what any disturbance of the state can do over K steps."""
LONGEST = 2000
"""Lags beyond which a gradient is followed only if it is required."""


def _measure(run: Run) -> None:
    subject = run.subject
    cell, x, state, loss = subject.cell, subject.x, subject.state, subject.loss
    lag = min(subject.required_lag, subject.steps)
    errors = anchors(cell, x, loss, state, lag=subject.required_lag, count=ANCHORS)
    if errors:
        reach = max(lag, min(LONGEST, 4 * lag))
        run("gradient", lambda: gradient_by_lag(cell, x, loss, state, anchors=errors, longest=reach))
    run("accumulated", lambda: accumulated_gradient(cell, x, loss, state))
    if run.tier == "fast":
        return
    run("omega", lambda: omega(cell, x, loss, state))
    if errors and any(True for _ in cell.parameters()):
        run("parameters", lambda: parameter_gradients(cell, x, loss, state, anchors=errors))


def _content(subject: Subject, found: Measurements) -> dict[str, Any] | None:
    if found.gradient is None:
        return None
    kept, own = thinned(len(found.gradient.lags)), found.parameters
    return {
        "lags": found.gradient.lags[kept].tolist(),
        "quantiles": quantiles(found.gradient.quantiles(list(QUANTILES.values()))[kept]),
        "accumulated": None if found.accumulated is None else along(log10(found.accumulated)),
        "omega": None if found.omega is None else {"value": float(found.omega.value), **along(found.omega.curve)},
        "parameters": None
        if own is None
        else {
            "edges": list(own.edges),
            "log10": {subject.name_of(name): log10(values).tolist() for name, values in own.log_norms.items()},
            **{name: getattr(own, name).tolist() for name in SHARES},
        },
    }


BANDS = "/gradient/parameters/log10"


@drawing(BANDS, title="Gradient by parameter and lag", height=1.5, rows=BANDS)
def gradient_by_parameter(axes: Axes, content: Content) -> str:
    """The part of the gradient that reaches every parameter from each band of lags."""
    found = content["gradient"]["parameters"]
    names = sorted(found["log10"])
    values = np.stack([numbers(found["log10"][name]) for name in names])
    known = values[np.isfinite(values)] if np.isfinite(values).any() else np.array([0.0, 1.0])
    limits = known.min(), max(known.max(), known.min() + 0.1)
    draw_map(axes, finite(values), limits, "log10 of the norm", "viridis", aspect="auto")
    axes.set_yticks(np.arange(len(names)), [short(name) for name in names])
    name_places(axes, found["edges"])
    axes.set_xlabel("lag of the error, up to" + ("\n(grey: nothing arrives)" if np.isneginf(values).any() else ""))
    ends = f"at most {written(values[:, 0].max())} from lag 0 and {written(values[:, -1].max())} from the lags up to"
    return f"log10 norm of the gradient by parameter and band of lags: {ends} {found['edges'][-1]}."


SHARES = {"beyond": "of the sum", "beyond_apart": "of the parts"}
"""What is a share of the gradient from beyond a lag: of the parts, nothing cancels."""


@drawing("/gradient/parameters/beyond", title="Share of the gradient from beyond a lag", x="lag, steps", y="share")
def truncation_share(axes: Axes, content: Content) -> str:
    """The share of the gradient from beyond each lag: what truncated backpropagation would leave out."""
    found, required = content["gradient"]["parameters"], content["subject"]["required_lag"]
    most = content["subject"]["thresholds"]["truncated"]
    limit, places = f"{written(100 * most)} %", np.arange(len(found["edges"]))
    for (name, label), colour, marker in zip(SHARES.items(), MODELS, "os", strict=False):
        curve(axes, places, numbers(found[name]), color=colour, marker=marker, label=label)
    mark(axes, limit, y=most, linestyle=":")
    if len(places) > 1:
        mark(axes, f"required lag {required}", x=float(np.interp(required, found["edges"], places)))
    name_places(axes, found["edges"])
    axes.set_ylim(bottom=0.0)
    small = [edge for edge, share in zip(found["edges"], found["beyond_apart"], strict=True) if share <= most]
    where = f"falls to {limit} or less at lag {small[0]}" if small else f"stays above {limit} at every lag"
    return f"The share of the gradient from beyond a lag, taken apart so that nothing cancels, {where}."


@rule("GS002", "not vanishing", "log10", "gradient", "gradient")
def not_vanishing(case: Case) -> Answer:
    median, limits = case.evidence.gradient.median, case.limits
    if math.isnan(median):
        return skipped("No gradient was measured at this lag.")
    status = "PASS" if median >= limits.vanishing_warn else "WARN" if median >= limits.vanishing_fail else "FAIL"
    return Answer(status, median, limits.vanishing_fail if status == "FAIL" else limits.vanishing_warn, _change(case))


@rule("GS003", "not exploding", "log10", "gradient", "gradient")
def not_exploding(case: Case) -> Answer:
    median, limits = case.evidence.gradient.median, case.limits
    if case.evidence.chaotic or math.isnan(median):
        chaos = "In a chaotic system gradients grow, and that is no defect."
        return skipped(chaos if case.evidence.chaotic else "No gradient was measured at this lag.")
    status = "PASS" if median <= limits.exploding_warn else "WARN" if median <= limits.exploding_fail else "FAIL"
    return Answer(status, median, limits.exploding_fail if status == "FAIL" else limits.exploding_warn, _change(case))


def _change(case: Case) -> str:
    factor = from_log10(case.evidence.gradient.median)
    return f"Over {counted(case.evidence.lag, 'step')} a gradient changes by a factor of {factor} (median)."


@rule("GS004", "errors reach as far as disturbances", "decades", "gradient", "gradient", "products")
def agreement(case: Case) -> Answer:
    gradient, product = case.evidence.gradient.median, case.evidence.product.median
    if not (math.isfinite(gradient) and math.isfinite(product)):
        return skipped("Nothing is left of one of the two.")
    text = "Decades by which a gradient is smaller than what a disturbance could do: it dies in the readout."
    return at_most(product - gradient, DISAGREEMENT, text)


@rule("GS006", "decided", "", "verdict", "gradient")
def decided(case: Case) -> Answer:
    if case.evidence.values < FEWEST:
        text = "Errors at this lag: too few for an interval."
        return Answer("WARN", float(case.evidence.values), float(FEWEST), text)
    one = len({case.limits.side(value) for value in case.evidence.gradient}) == 1
    text = f"The interval of the median lies {'on one side' if one else 'across a threshold'}."
    return Answer("PASS" if one else "WARN", None, None, text)


@rule("GS007", "alike over sequences", "decades", "gradient", "gradient")
def alike(case: Case) -> Answer:
    low, high = case.evidence.spread
    if math.isnan(low):
        return skipped("No gradient was measured at this lag.")
    one = len({case.limits.side(value) for value in (low, case.evidence.gradient.median, high)}) == 1
    where = "one side of the thresholds" if one else "different sides of a threshold"
    text = f"Decades between the smallest and the largest 5 % of the gradients, which lie on {where}."
    return Answer("PASS" if one else "WARN", high - low, None, text)


@rule("GS010", "every parameter is reached", "parameters", "gradient", "parameters")
def reached(case: Case) -> Answer:
    assert case.found.parameters is not None
    norms = case.found.parameters.log_norms
    silent = [case.subject.name_of(name) for name, logs in norms.items() if bool((logs == -math.inf).all())]
    text = f"Parameters that no error reaches: {', '.join(silent)}." if silent else "Every parameter is reached."
    return at_most(float(len(silent)), 0.0, text)


@rule("GS015", "truncation loses little", "share", "gradient")
def truncation(case: Case) -> Answer:
    length, lag = case.subject.bptt_length, case.evidence.lag
    if not length:
        return skipped("Backpropagation is not truncated.")
    if case.evidence.truncated:
        text = f"`bptt_length={length}` leaves out all of the gradient at a lag of {counted(lag, 'step')}."
        return Answer("WARN" if case.evidence.guessed else "FAIL", 1.0, case.limits.truncated, text)
    if case.found.parameters is None:
        return skipped("Gradients of single parameters were not measured.")
    text = f"Share of the gradient that `bptt_length={length}` leaves out."
    return at_most(beyond(case.found, length), case.limits.truncated, text)


def beyond(found: Measurements, length: int) -> float:
    """The share of the parameters' gradient from lags of ``length`` and more, at the nearest edge below it."""
    assert found.parameters is not None
    edges = np.asarray(found.parameters.edges)
    return float(found.parameters.beyond_apart[int((edges < max(length, 1)).nonzero()[0][-1])])


LAG = Axis("lag", "lag", "/gradient/lags/*")
BAND = Axis("band", "lag", "/gradient/parameters/edges/*")
STEP, OMEGA_STEP = (Axis("step", "step", f"/gradient/{name}/steps/*") for name in ("accumulated", "omega"))
BEYOND = {"beyond": "share beyond the lag", "beyond_apart": "share beyond the lag, apart"}
PARAMETER = Axis("parameter", "name")

GRADIENT = Theme(
    "gradient",
    "Gradient of the loss",
    "What single errors send back in time, relative to lag 1, apart from what plain backpropagation accumulates; "
    "parameters learn from a lag only as far as this reaches.",
    _content,
    _measure,
    (
        Quantity("/gradient/quantiles/*/*", "gradient", "gradient", "log10", (QUANTILE, LAG)),
        Quantity(
            "/gradient/accumulated/median/*", "accumulated gradient", "accumulated_gradient", "log10", (STEP,), 0.5
        ),
        Quantity("/gradient/omega/median/*", "Pascanu's Ω", "omega", "", (OMEGA_STEP,), 0.5),
        Quantity(f"{BANDS}/*/*", "gradient of a parameter", "parameter_gradient", "log10", (PARAMETER, BAND)),
        *curves("/gradient/parameters/{}/*", BEYOND, "{}", BAND),
        single("/gradient/omega/value", "Pascanu's Ω"),
    ),
    (
        by_lag("gradient", "log10 of the gradient by lag, relative to lag 1"),
        Grid(
            "Share of the gradient from beyond a lag",
            "/gradient/parameters/edges",
            columns("/gradient/parameters/{}/*", {"edges": "lag, steps"} | SHARES),
        ),
    ),
    (gradient_by_parameter, truncation_share),
    rules=(not_vanishing, not_exploding, agreement, decided, alike, reached, truncation),
)

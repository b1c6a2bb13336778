"""Products of Jacobians: the effect of a small change of the state some steps later.

P_{s,t} = ∂h_t/∂h_s = J_t … J_{s+1}
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.dynamics.singular_values import condition, transition_singular_values
from seqdyn.dynamics.transitions import transition_map, transition_norms
from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.checks import Finding, check_rule, pass_at_most, skipped
from seqdyn.reports.drawing import Axes, draw_curves, draw_map, numbers, report_figure
from seqdyn.reports.number_format import format_number
from seqdyn.reports.pointers import Content, look_up
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import QUANTILE, QUANTILES, Axis, ReportQuantity, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import ReportCase
from seqdyn.reports.theme import Examination, Theme, by_lag, log10, log10_quantiles
from seqdyn.state import steps, take

PRODUCT_STARTS = 32
"""How many products are measured at every lag."""
MAP_STEPS = 48
"""How many times the map shows."""
FLOAT32_ROUNDING = -6.92
"""log10 of the relative rounding error of float32: a term this much smaller is lost in a sum."""


def measure_products(run: Examination) -> None:
    probe, found = run.probe, run.found
    cell, x, state = probe.cell, probe.x, probe.state
    lag = min(probe.required_lag, probe.steps)
    lags = _lags_to_measure(lag, probe.steps)
    run("products", lambda: transition_norms(cell, x, state, lags=lags, starts=PRODUCT_STARTS))
    if run.tier == "fast":
        found.omitted += ["singular values of products", "the map over (s, t)"]
        return
    (one, first), (two, start) = ((take(x, slice(count)), take(state, slice(count))) for count in (1, 2))
    run("map", lambda: transition_map(cell, one, first, anchors=min(MAP_STEPS, probe.steps)))
    found.singular_steps = lag
    run("singular_values", lambda: transition_singular_values(cell, steps(two, 0, lag), start, seed=run.seed))


def _lags_to_measure(required: int, there: int) -> list[int]:
    """Powers of two up to four times the required lag, and the required lag."""
    longest = min(there, max(4 * required, 16))
    return sorted({required, *(2**power for power in range(32) if 2**power <= longest)})


def product_content(_: Probe, found: Measurements) -> dict[str, Any] | None:
    if found.products is None:
        return None
    own = found.map
    return {
        "lags": list(found.products.lags),
        "samples": [values.numel() for values in found.products.log_norms],
        "quantiles": log10_quantiles(found.products.quantiles(list(QUANTILES.values()))),
        "singular": _singular(found),
        "map": own and {"times": own.times.tolist(), "values": log10(own.log_norms[0].T).tolist()},
    }


def _singular(found: Measurements) -> dict[str, Any] | None:
    """The singular values of the longest product of the first sequence."""
    if found.singular_values is None:
        return None
    own = found.singular_values[0]
    spread = condition(own)
    return {
        "steps": found.singular_steps,
        "log10": log10(own).tolist(),
        "condition": float(log10(spread.log_condition)),
        "effective_rank": float(spread.effective_rank),
    }


CURVES = {"products": ("product", MODELS[0], " ‖P‖ of states"), "gradient": ("gradient", MODELS[1], " of an error")}
"""By section, the curves that are drawn by lag: name, colour, and the rest of the label."""

GUIDES = {"ρᵏ, spectral radius": "/recurrence/spectral_radius", "σ₁ᵏ": "/recurrence/largest_singular_value"}


@report_figure("/products/quantiles", "/gradient/quantiles", height=3.9)
def norms_by_lag(axes: Axes, content: Content) -> str:
    """‖P‖ and the gradient of single errors by lag: median, quartiles, 5 to 95 %, and three rules of thumb."""
    required = content["subject"]["required_lag"]
    curves = [
        (content[section], name + rest, colour, "-")
        for section, (name, colour, rest) in CURVES.items()
        if look_up(content, f"/{section}/quantiles")
    ]
    _draw_guides(axes, content, max(max(found["lags"]) for found, *_ in curves))
    low, high = draw_curves(axes, curves, required)
    if low < FLOAT32_ROUNDING < high:
        axes.axhline(
            FLOAT32_ROUNDING, color=PALETTE["note"], linestyle=(0, (1, 2)), linewidth=1.2, label="float32 rounding"
        )
    medians = [format_number(look_up(content, f"/verdict/{name}/median")) for name in ("gradient", "product")]
    return (
        f"At the required lag {required} the median log10 norm is {medians[0]} of the gradient and {medians[1]} of the "
        "product. Bands are quartiles and 5 to 95 %."
    )


def _draw_guides(axes: Axes, content: Content, last: int) -> None:
    """Three rules of thumb: ρᵏ, σ₁ᵏ and e^{λ₁ k}."""
    lags = np.unique(np.round(np.geomspace(1, max(2, last), 40)))
    bases = {label: look_up(content, where) for label, where in GUIDES.items()}
    rates = {label: np.log10(base) for label, base in bases.items() if base is not None and 0 < base < float("inf")}
    exponent = look_up(content, "/lyapunov/exponents/0")
    if exponent is not None and np.isfinite(exponent) and "step" in str(look_up(content, "/lyapunov/unit")):
        rates["exp(λ₁k), Lyapunov"] = exponent / np.log(10)
    for (label, rate), dashes in zip(rates.items(), ((0, (4, 2)), (0, (1, 1)), (0, (6, 2, 1, 2))), strict=False):
        axes.plot(lags, rate * lags, color=PALETTE["baseline"], linestyle=dashes, linewidth=1.2, label=label)


@report_figure(
    "/products/map/values", title="From every time to every later one", x="from step s", y="to step t", height=3.6
)
def product_map(axes: Axes, content: Content) -> str:
    """‖P_{s,t}‖ for pairs of times: blue where a perturbation decays, red where it grows."""
    values, times = (numbers(content["products"]["map"][name]) for name in ("values", "times"))
    limit = max(0.1, float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))
    step = (times[-1] - times[0]) / max(len(times) - 1, 1) or 1.0
    low, high = times[0] - step / 2, times[-1] + step / 2
    draw_map(axes, values, (-limit, limit), "log10 ‖∂hₜ/∂hₛ‖", "RdBu_r", extent=(low, high, high, low))
    known = values[~np.isnan(values)] if not np.isnan(values).all() else np.array([np.nan])
    ends = f"from {format_number(known.min())} to {format_number(known.max())}"
    return f"log10 norm of the product between pairs of steps: {ends}."


@check_rule("GS008", "no transient growth", "log10", "products", "products")
def no_transient(case: ReportCase) -> Finding:
    if case.evidence.chaotic:
        return skipped("In a chaotic system disturbances grow, which is not a defect.")
    if not case.evidence.decays:
        return skipped("Disturbances do not decay again; see GS003 and GS011.")
    text = f"log₁₀ of the largest median growth of a disturbance, reached after {case.evidence.peak_lag} steps."
    return pass_at_most(case.evidence.peak, case.limits.transient, text)


PRODUCT_LAG = Axis("lag", "lag", "/products/lags/*")
SINGULAR_VALUE_AXIS, LONGEST_PRODUCT = Axis("singular_value"), "singular value of the longest product"
MAP_AXES = tuple(Axis(name, "step", "/products/map/times/*") for name in ("time", "start"))

PRODUCTS_THEME = Theme(
    "products",
    "Products of Jacobians",
    "How much a small change of the state has grown some steps later: 0 is unchanged, −1 is a tenth. Below the "
    "rounding error of float32 it is lost in a sum.",
    product_content,
    measure_products,
    (
        ReportQuantity("/products/quantiles/*/*", "product", "product", "log10", (QUANTILE, PRODUCT_LAG)),
        ReportQuantity("/products/samples/*", "samples", "product_samples", "", (PRODUCT_LAG,)),
        single("/products/singular/steps", "steps of the longest product", "steps"),
        single("/products/singular/condition", "condition of the longest product", "decades"),
        single("/products/singular/effective_rank", "effective rank of the longest product"),
        ReportQuantity(
            "/products/singular/log10/*", LONGEST_PRODUCT, "product_singular_values", "log10", (SINGULAR_VALUE_AXIS,)
        ),
        ReportQuantity("/products/map/values/*/*", "", "product_map", "log10", MAP_AXES),
    ),
    (by_lag("products", "log10 ‖P‖ by lag", samples="samples"),),
    (norms_by_lag, product_map),
    rules=(no_transient,),
)

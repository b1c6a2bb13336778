"""The themes of a stability report in the order of its page, and what they have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from seqdyn.progress import Callback, track
from seqdyn.reports.checks import (
    CheckRule,
    Finding,
    ReportCheck,
    check_rule,
    counts,
    pass_at_least,
    pass_at_most,
    skipped,
)
from seqdyn.reports.drawing import ReportFigure
from seqdyn.reports.input_sizes import FAR_FROM_UNIT
from seqdyn.reports.json_text import Schema
from seqdyn.reports.non_finite import find_non_finite
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import ReportQuantity, single
from seqdyn.reports.stability.fixed_points import FIXED_POINTS_THEME
from seqdyn.reports.stability.gates import GATES_THEME
from seqdyn.reports.stability.gradients import GRADIENT_THEME
from seqdyn.reports.stability.horizons import HORIZONS_THEME
from seqdyn.reports.stability.lyapunov import LYAPUNOV_THEME
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.products import PRODUCTS_THEME
from seqdyn.reports.stability.recommendations import Recommendation
from seqdyn.reports.stability.recurrence import RECURRENCE_THEME
from seqdyn.reports.stability.training import TRAINING_THEME
from seqdyn.reports.stability.verdict import LAGS_NEEDED, ReportCase, Verdict
from seqdyn.reports.theme import Examination, Theme

THEMES: tuple[Theme, ...] = (
    PRODUCTS_THEME,
    GRADIENT_THEME,
    RECURRENCE_THEME,
    LYAPUNOV_THEME,
    GATES_THEME,
    HORIZONS_THEME,
    TRAINING_THEME,
    FIXED_POINTS_THEME,
)
"""A theme may use what the themes before it have measured."""

STABILITY_FIGURES: dict[str, ReportFigure] = {drawing.name: drawing for theme in THEMES for drawing in theme.figures}
"""Every figure by name, in the order of the page."""

STABILITY_QUANTITIES: tuple[ReportQuantity, ...] = (
    *(quantity for theme in THEMES for quantity in theme.quantities),
    single("/verdict/gradient/median", "gradient at the required lag", "log10"),
    single("/verdict/product/median", "product at the required lag", "log10"),
)
"""Every curve and number in the frame and the labelled arrays."""


@check_rule("GS001", "finite", "", "products")
def all_finite(case: ReportCase) -> Finding:
    non_finite = case.found.non_finite
    text = "Weights, loss, states, outputs and Jacobians are finite" if non_finite is None else non_finite.text
    return Finding("PASS" if non_finite is None else "FAIL", None, None, f"{text}.")


@check_rule("GS005", "enough data", "steps", "subject")
def enough_data(case: ReportCase) -> Finding:
    text = f"The steps of all sequences together, to judge a lag of {case.evidence.lag}."
    return pass_at_least(case.evidence.rows, LAGS_NEEDED * case.evidence.lag, text)


@check_rule("GS024", "inputs are of unit size", "", "subject")
def unit_size(case: ReportCase) -> Finding:
    sizes = case.probe.sizes
    if sizes is None:
        return skipped("The inputs are not plain numbers, or the recurrence is linear or normalises them itself.")
    seen = "of an output of the encoder" if sizes.encoded else "of an input, in the units of the cell"
    return pass_at_most(float(sizes.largest.max()), FAR_FROM_UNIT, f"The largest mean or scale {seen}.")


_OF_INPUTS = (all_finite, enough_data, unit_size)
CHECK_RULES: tuple[CheckRule, ...] = tuple(sorted((*_OF_INPUTS, *(rule for theme in THEMES for rule in theme.rules))))
"""Every check, in the order of the ids."""

STABILITY_SCHEMA = Schema(
    "seqdyn.stability_report",
    "a stability report",
    1,
    {name: (dict,) for name in ("schema", "subject", "verdict", "counts")}
    | {name: (list,) for name in ("checks", "recommendations")}
    | {theme.name: (list if theme is HORIZONS_THEME else dict, type(None)) for theme in THEMES},
)
"""The version grows with every change that an older reader would misread."""

CONVENTIONS = (
    "P_{s,t} = ∂h_t/∂h_s = J_t … J_{s+1}: t − s factors, the newest on the left; lag k = t − s.",
    "The state is all that one step passes to the next: (h, c) of an LSTM, the states of all layers of a stack.",
    "‖·‖ is the largest singular value of a matrix, the Euclidean length of a vector; curves are log₁₀.",
    "g_{t−k} = ∂E_t/∂h_{t−k}, relative to k = 1, the state next to the error; exponents are in nats per step.",
)


def measure_stability(
    probe: Probe, tier: str, seed: int, verbose: bool | int = 0, callback: Callback | None = None
) -> Measurements:
    """Run the instruments of a tier on a probe, theme by theme, until the callback asks to stop."""
    found = Measurements(non_finite=find_non_finite(probe))
    if found.non_finite is not None:
        found.omitted.append(f"everything else: {found.non_finite.cause}")
        return found
    run = Examination(probe, tier, seed, found)
    left = [theme.title.lower() for theme in THEMES]
    for theme in track(THEMES, "report", "section", verbose=verbose, callback=callback, describe=lambda one: one.title):
        theme.measure(run)
        left.pop(0)
    found.stopped = bool(left)
    found.omitted += [f"{title}: the report was stopped" for title in left]
    return found


def stability_content(
    case: ReportCase, verdict: Verdict, checks: Sequence[ReportCheck], advice: Sequence[Recommendation], seed: int
) -> dict[str, Any]:
    """The content of the report, as dictionaries, lists, numbers and strings."""
    probe, found, evidence = case.probe, case.found, case.evidence
    left = [f"{probe.unused} rows of the data (max_sequences, max_steps)"] if probe.unused else []
    about = {
        "seed": seed,
        "thresholds": dict(vars(case.limits)),
        "versions": {name: str(sys.modules[name].__version__) for name in ("seqdyn", "torch")},
        "conventions": list(CONVENTIONS),
        "not_computed": [*left, *found.omitted, *(f"{name}: {why}" for name, why in found.failed.items())],
    }
    estimates = {"gradient": evidence.gradient._asdict(), "product": evidence.product._asdict()}
    return {
        "schema": {"name": STABILITY_SCHEMA.name, "version": STABILITY_SCHEMA.version},
        "subject": probe.described() | about,
        "verdict": verdict._asdict() | estimates,
        **{theme.name: theme.content(probe, found) for theme in THEMES},
        "checks": [check._asdict() for check in checks],
        "counts": counts(checks),
        "recommendations": [one._asdict() for one in advice],
    }

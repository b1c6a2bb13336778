"""The themes of a stability report in the order of its page, and what is made of all of them together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm

from seqdyn.reports.checks import Check, Rule, counts
from seqdyn.reports.drawing import Drawing
from seqdyn.reports.finite import broken
from seqdyn.reports.json_text import Schema
from seqdyn.reports.quantities import Quantity, single
from seqdyn.reports.stability.fixed_points import FIXED_POINTS
from seqdyn.reports.stability.gates import GATES
from seqdyn.reports.stability.gradients import GRADIENT
from seqdyn.reports.stability.horizons import HORIZONS
from seqdyn.reports.stability.inputs import RULES as OF_INPUTS
from seqdyn.reports.stability.lyapunov import LYAPUNOV
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.products import PRODUCTS
from seqdyn.reports.stability.recommendations import Recommendation
from seqdyn.reports.stability.recurrence import RECURRENCE
from seqdyn.reports.stability.training import TRAINING
from seqdyn.reports.stability.verdict import Case, Verdict
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Run, Theme

THEMES: tuple[Theme, ...] = (
    PRODUCTS,
    GRADIENT,
    RECURRENCE,
    LYAPUNOV,
    GATES,
    HORIZONS,
    TRAINING,
    FIXED_POINTS,
)
"""Each is measured after those before it."""

FIGURES: dict[str, Drawing] = {drawing.name: drawing for theme in THEMES for drawing in theme.figures}
"""Every figure by name, in the order of the page."""

QUANTITIES: tuple[Quantity, ...] = (
    *(quantity for theme in THEMES for quantity in theme.quantities),
    single("/verdict/gradient/median", "gradient at the required lag", "log10"),
    single("/verdict/product/median", "product at the required lag", "log10"),
)
"""Every curve and number that the frame and the labelled arrays hold."""

RULES: tuple[Rule, ...] = tuple(sorted((*OF_INPUTS, *(rule for theme in THEMES for rule in theme.rules))))
"""Every check, in the order of its id."""

SCHEMA = Schema(
    "seqdyn.stability_report",
    "a stability report",
    1,
    {name: (dict,) for name in ("schema", "subject", "verdict", "counts")}
    | {name: (list,) for name in ("checks", "recommendations")}
    | {theme.name: (list if theme is HORIZONS else dict, type(None)) for theme in THEMES},
)
"""The version grows with every change that an older reader would get wrong."""

CONVENTIONS = (
    "P_{s,t} = ∂h_t/∂h_s = J_t … J_{s+1}: t − s factors, the newest on the left; lag k = t − s.",
    "The state is all that a step hands on: (h, c) of an LSTM, the states of all layers of a stack.",
    "‖·‖ is the largest singular value of a matrix, the Euclidean length of a vector; curves are log₁₀.",
    "g_{t−k} = ∂E_t/∂h_{t−k}, relative to k = 1, the nearest state an error sees; exponents are nats per step.",
)


def measure(subject: Subject, tier: str, seed: int, verbose: bool = False) -> Measurements:
    """Run every instrument of a tier on a subject; ``verbose`` says on the screen which theme is measured."""
    found = Measurements(broken=broken(subject))
    if found.broken is not None:
        found.omitted.append(f"everything else: {found.broken.cause}")
        return found
    run = Run(subject, tier, seed, found)
    with tqdm(THEMES, disable=not verbose, unit="theme", leave=False) as bar:
        for theme in bar:
            bar.set_description(f"stability report: {theme.title.lower()}")
            theme.measure(run)
    return found


def content_of(
    case: Case, verdict: Verdict, checks: Sequence[Check], advice: Sequence[Recommendation], seed: int
) -> dict[str, Any]:
    """Everything the report says, as dictionaries, lists, numbers and strings."""
    subject, found, evidence = case.subject, case.found, case.evidence
    left = [f"{subject.unused} rows of the data (max_sequences, max_steps)"] if subject.unused else []
    about = {
        "seed": seed,
        "thresholds": dict(vars(case.limits)),
        "versions": {name: str(sys.modules[name].__version__) for name in ("seqdyn", "torch")},
        "conventions": list(CONVENTIONS),
        "not_computed": [*left, *found.omitted, *(f"{name}: {why}" for name, why in found.failed.items())],
    }
    estimates = {"gradient": evidence.gradient._asdict(), "product": evidence.product._asdict()}
    return {
        "schema": {"name": SCHEMA.name, "version": SCHEMA.version},
        "subject": subject.described() | about,
        "verdict": verdict._asdict() | estimates,
        **{theme.name: theme.content(subject, found) for theme in THEMES},
        "checks": [check._asdict() for check in checks],
        "counts": counts(checks),
        "recommendations": [one._asdict() for one in advice],
    }

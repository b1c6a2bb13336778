"""How far back each measure reaches, in steps, side by side."""

from __future__ import annotations

import math
from typing import Any

from seqdyn.dynamics.capacity import memory_capacity
from seqdyn.dynamics.horizons import horizons
from seqdyn.dynamics.trajectory import rows_of
from seqdyn.reports.checks import Answer, rule, skipped
from seqdyn.reports.grids import Grid
from seqdyn.reports.page import Item, Number
from seqdyn.reports.pointers import Content, Key
from seqdyn.reports.quantities import Axis, Quantity
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import Case
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Run, Theme
from seqdyn.state import flatten


def _measure(run: Run) -> None:
    found = run.found
    if run.tier == "fast" or found.products is None:
        return
    capacity, products = _capacity(run), found.products
    exponent = float("nan") if found.lyapunov is None else float(found.lyapunov.exponents[0])
    run("horizons", lambda: horizons(products, exponent, found.gradient, found.accumulated, found.gates, capacity))


def _capacity(run: Run) -> Any:
    """The memory capacity under inputs like those of the data; None where there are no such inputs."""
    subject = run.subject
    inputs = flatten(rows_of(subject.x))
    if not inputs.is_floating_point():
        run.found.omitted.append("memory capacity: with tokens there is no correlation")
        return None
    if subject.kind != "driven" or not inputs.shape[1]:
        return None
    mean, scale = inputs.mean(0), inputs.std(0, correction=0)
    return run.value("capacity", lambda: memory_capacity(subject.cell, mean=mean, scale=scale, seed=run.seed))


def _content(_: Subject, found: Measurements) -> list[dict[str, Any]]:
    return [{"name": name, **row._asdict()} for name, row in (found.horizons or {}).items()]


def _steps(content: Content, place: Key) -> Item:
    one = content["horizons"][place]
    return Number(one["steps"], f"/horizons/{place}/steps", "≥ " if one["at_least"] else "")


NAME, MEANS = "/horizons/*/name", "/horizons/*/definition"


@rule("GS009", "float32 can add it", "steps", "horizons", "horizons")
def addable(case: Case) -> Answer:
    assert case.found.horizons is not None
    horizon = case.found.horizons.get("gradient, float32")
    if horizon is None or math.isnan(horizon.steps):
        return skipped("The horizon of the gradient was not measured.")
    enough = horizon.steps >= case.evidence.lag or horizon.at_least
    text = "Steps after which a gradient is too small for float32 to add to that of the nearest steps."
    return Answer("PASS" if enough else "WARN", horizon.steps, float(case.evidence.lag), text)


@rule("GS016", "truncation wastes little", "steps", "gradient", "horizons")
def no_waste(case: Case) -> Answer:
    length, table = case.subject.bptt_length, case.found.horizons
    assert table is not None
    if not length or "gradient" not in table or math.isnan(table["gradient"].steps):
        return skipped("Backpropagation is not truncated.")
    horizon = table["gradient"]
    reached = horizon.at_least or max(horizon.steps, case.evidence.lag) >= length / 2
    text = f"Steps over which a gradient keeps a hundredth of its size, of the {length} it is carried through."
    return Answer("PASS" if reached else "WARN", horizon.steps, length / 2, text)


HORIZONS = Theme(
    "horizons",
    "Horizons",
    "How far back each measure reaches. They differ, since each asks something else; the required lag is yours.",
    _content,
    _measure,
    (Quantity("/horizons/*/steps", "horizon", "horizons", "steps", (Axis("horizon", "name", NAME),)),),
    (Grid("Steps back", "/horizons", {"name": NAME, "steps": _steps, "means": MEANS}),),
    rules=(addable, no_waste),
)

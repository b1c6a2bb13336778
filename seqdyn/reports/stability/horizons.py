"""How far back each measure reaches, in steps, side by side."""

from __future__ import annotations

from typing import Any

from seqdyn.dynamics.capacity import memory_capacity
from seqdyn.dynamics.horizons import horizons
from seqdyn.dynamics.trajectory import rows_of
from seqdyn.reports.grids import Grid
from seqdyn.reports.page import Item, Number
from seqdyn.reports.pointers import Content, Key
from seqdyn.reports.quantities import Axis, Quantity
from seqdyn.reports.stability.measurements import Measurements
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

HORIZONS = Theme(
    "horizons",
    "Horizons",
    "How far back each measure reaches. They differ, since each asks something else; the required lag is yours.",
    _content,
    _measure,
    (Quantity("/horizons/*/steps", "horizon", "horizons", "steps", (Axis("horizon", "name", NAME),)),),
    (Grid("Steps back", "/horizons", {"name": NAME, "steps": _steps, "means": MEANS}),),
)

"""Horizons: how many steps back each measure reaches."""

from __future__ import annotations

import math
from typing import Any

from seqdyn.dynamics.capacity import memory_capacity
from seqdyn.dynamics.memory_length import horizon_table
from seqdyn.dynamics.trajectory import rows_of
from seqdyn.reports.checks import Finding, check_rule, skipped
from seqdyn.reports.page import Number, TableItem
from seqdyn.reports.pointers import Content, Key
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import Axis, ReportQuantity
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import ReportCase
from seqdyn.reports.table_layouts import Column, TableLayout
from seqdyn.reports.theme import Examination, Theme
from seqdyn.state import flatten


def measure_horizons(run: Examination) -> None:
    found = run.found
    if run.tier == "fast" or found.products is None:
        return
    capacity, products = _capacity(run), found.products
    exponent = float("nan") if found.lyapunov is None else float(found.lyapunov.exponents[0])
    run("horizons", lambda: horizon_table(products, exponent, found.gradient, found.accumulated, found.gates, capacity))


def _capacity(run: Examination) -> Any:
    """The memory capacity under inputs with the mean and scale of the data; None without such inputs."""
    probe = run.probe
    inputs = flatten(rows_of(probe.x))
    if not inputs.is_floating_point():
        run.found.omitted.append("memory capacity: tokens have no correlation")
        return None
    if probe.kind != "driven" or not inputs.shape[1]:
        return None
    mean, scale = inputs.mean(0), inputs.std(0, correction=0)
    return run.value("capacity", lambda: memory_capacity(probe.cell, mean=mean, scale=scale, seed=run.seed))


def horizon_content(_: Probe, found: Measurements) -> list[dict[str, Any]]:
    return [{"name": name, **row._asdict()} for name, row in (found.horizons or {}).items()]


def _horizon_steps(content: Content, place: Key) -> TableItem:
    one = content["horizons"][place]
    return Number(one["steps"], f"/horizons/{place}/steps", "≥ " if one["at_least"] else "")


HORIZON_NAME = "/horizons/*/name"
STEPS_BACK: dict[str, Column] = {"name": HORIZON_NAME, "steps": _horizon_steps, "means": "/horizons/*/definition"}


@check_rule("GS009", "float32 can add it", "steps", "horizons", "horizons")
def addable(case: ReportCase) -> Finding:
    assert case.found.horizons is not None
    horizon = case.found.horizons.get("gradient, float32")
    if horizon is None or math.isnan(horizon.steps):
        return skipped("The horizon of the gradient was not measured.")
    enough = horizon.steps >= case.evidence.lag or horizon.at_least
    text = "Steps after which float32 loses the gradient beside those of the nearest steps."
    return Finding("PASS" if enough else "WARN", horizon.steps, float(case.evidence.lag), text)


@check_rule("GS016", "truncation wastes little", "steps", "gradient", "horizons")
def no_waste(case: ReportCase) -> Finding:
    length, table = case.probe.bptt_length, case.found.horizons
    assert table is not None
    if not length or "gradient" not in table or math.isnan(table["gradient"].steps):
        return skipped("Backpropagation is not truncated.")
    horizon = table["gradient"]
    reached = horizon.at_least or max(horizon.steps, case.evidence.lag) >= length / 2
    text = f"Steps, of the {length} of backpropagation, over which a gradient keeps a hundredth of its size."
    return Finding("PASS" if reached else "WARN", horizon.steps, length / 2, text)


HORIZONS_THEME = Theme(
    "horizons",
    "Horizons",
    "How many steps back each measure reaches. Every measure has its own definition, so that they differ.",
    horizon_content,
    measure_horizons,
    (ReportQuantity("/horizons/*/steps", "horizon", "horizons", "steps", (Axis("horizon", "name", HORIZON_NAME),)),),
    (TableLayout("Steps back", "/horizons", STEPS_BACK),),
    rules=(addable, no_waste),
)

"""Gates and units: how long gates hold the memory, and whether gates and units still change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from seqdyn.dynamics.gates import gate_statistics, most_closed, needed_time_constant, saturation, slowest
from seqdyn.figures import MODELS
from seqdyn.reports.checks import Finding, check_rule, pass_at_least, pass_at_most, skipped
from seqdyn.reports.drawing import Axes, mark, numbers, report_figure, scale_by_power, short
from seqdyn.reports.number_format import format_log10, format_number, plural
from seqdyn.reports.pointers import Content, matches
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import Axis, ReportQuantity, curves, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import ReportCase
from seqdyn.reports.table_layouts import TableLayout, columns_from, last_of
from seqdyn.reports.theme import Examination, Theme

GATE_NUMBERS = {"mean": "mean", "below_5_percent": "share below 0.05", "above_95_percent": "share above 0.95"}
"""The single numbers of a gate."""


def measure_gates(run: Examination) -> None:
    probe = run.probe
    run("gates", lambda: gate_statistics(probe.cell, probe.x, probe.state))
    run("saturation", lambda: saturation(probe.cell, probe.x, probe.state))


def gate_content(_: Probe, found: Measurements) -> dict[str, Any] | None:
    if found.saturation is None:
        return None
    named = {
        name: {
            "mean": float(gate.mean.mean()),
            "below_5_percent": gate.total_low,
            "above_95_percent": gate.total_high,
            "unit_means": gate.mean.sort().values.tolist(),
            "time_constants": None if gate.time_constants is None else gate.time_constants.sort().values.tolist(),
        }
        for name, gate in (found.gates or {}).items()
    }
    parts = found.saturation.values()
    return {
        "named": named,
        "saturated": max((part.total_saturated for part in parts if part.bounded), default=0.0),
        "dead": max((part.total_dead for part in parts), default=0.0),
    }


HOLDING = "/gates/named/*/time_constants"
"""The place of the time constants of gates that multiply the memory."""


@report_figure(HOLDING, title="Memories of the units, sorted", x="share of the units, %", y="time constant, steps")
def gate_time_constants(axes: Axes, content: Content) -> str:
    """The time constants that the gates give the units, sorted, and the required lag."""
    required, warn = content["subject"]["required_lag"], content["subject"]["thresholds"]["vanishing_warn"]
    least = needed_time_constant(required, warn)
    found = {keys[0]: np.sort(numbers(own)) for keys, own in matches(content, HOLDING) if own}
    for number, (name, values) in enumerate(found.items()):
        share = 100 * (np.arange(len(values)) + 0.5) / len(values)
        there, endless = np.isfinite(values) & (values > 0), int(np.isposinf(values).sum())
        look: dict[str, Any] = {"color": MODELS[number % len(MODELS)], "marker": "os^Dv"[number % 5], "markersize": 3.5}
        label = short(str(name)) + (f" ({endless} without end)" if endless else "")
        axes.plot(share[there], values[there], linewidth=1.0, label=label, **look)
    mark(axes, f"required lag {required}", y=required)
    if np.isfinite(least) and least > 0:
        mark(axes, f"needed for it, {format_number(least)}", y=least, linestyle=":")
    axes.set_xlim(0, 100)
    scale_by_power(axes)
    every = np.concatenate(list(found.values()))
    kept, lag = format_log10(warn), plural(required, "step")
    units = f"{int((every >= least).sum())} of {plural(len(every), 'unit')} have at least {plural(least, 'step')}"
    return f"Time constants: {units}, which keep {kept} of a gradient over the required lag of {lag}."


@check_rule("GS017", "gates hold long enough", "steps", "gates", "gates")
def gates_hold(case: ReportCase) -> Finding:
    value, least = slowest(case.found.gates or {}), case.limits.vanishing_warn
    if math.isnan(value):
        return skipped("No gate multiplies the memory.")
    kept, lag = format_log10(least), plural(case.evidence.lag, "step")
    text = f"The time constant that a tenth of the units exceed; the threshold keeps {kept} of a gradient over {lag}."
    return pass_at_least(value, needed_time_constant(case.evidence.lag, least), text)


@check_rule("GS018", "gates move", "share", "gates", "gates")
def gates_move(case: ReportCase) -> Finding:
    if not case.found.gates:
        return skipped("The cell has no gates.")
    name, share = most_closed(case.found.gates)
    text = f"The share of the values of the gate `{name}` at an end of its range, where it passes no gradient."
    return pass_at_most(share, case.limits.saturated, text)


@check_rule("GS019", "units move", "share", "gates", "saturation")
def units_move(case: ReportCase) -> Finding:
    assert case.found.saturation is not None
    bounded = [part.total_saturated for part in case.found.saturation.values() if part.bounded]
    if not bounded:
        return skipped("No part of the state stays within ±1.")
    text = "The share of the states with |h| > 0.99, which pass no gradient."
    return pass_at_most(max(bounded), case.limits.saturated, text)


@check_rule("GS020", "units live", "share", "gates", "saturation")
def units_live(case: ReportCase) -> Finding:
    assert case.found.saturation is not None
    share = max((part.total_dead for part in case.found.saturation.values()), default=0.0)
    return pass_at_most(share, 0.1, "The share of the units that are 0 at every step, through which nothing is learnt.")


GATE_AXIS, UNIT_AXIS = Axis("gate", "name"), Axis("unit")
OVER_ALL = columns_from("/gates/named/*/{}", GATE_NUMBERS) | {"longest time constant, steps": last_of(HOLDING)}

GATES_THEME = Theme(
    "gates",
    "Gates and units",
    "A gate near an end of its range passes no gradient to its weights. A unit remembers long enough if its time "
    "constant keeps the share “vanishing warn” (a threshold) of a gradient over the required lag.",
    gate_content,
    measure_gates,
    (
        *curves("/gates/named/*/{}", GATE_NUMBERS, "", GATE_AXIS),
        ReportQuantity("/gates/named/*/unit_means/*", "mean of a unit", "unit_mean", "", (GATE_AXIS, UNIT_AXIS)),
        ReportQuantity(f"{HOLDING}/*", "time constant", "time_constant", "steps", (GATE_AXIS, UNIT_AXIS)),
        single("/gates/saturated", "saturated share of the state"),
        single("/gates/dead", "dead share of the units"),
    ),
    (TableLayout("Gates over all units and steps", "/gates/named", OVER_ALL, "gate"),),
    (gate_time_constants,),
    rules=(gates_hold, gates_move, units_move, units_live),
)

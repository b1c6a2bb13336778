"""Gates and units: how long gates hold the memory, and whether what should move does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from seqdyn.dynamics.gates import gate_statistics, most_closed, needed_time_constant, saturation, slowest
from seqdyn.figures import MODELS
from seqdyn.reports.checks import Answer, at_least, at_most, rule, skipped
from seqdyn.reports.drawing import Axes, drawing, mark, numbers, scale_by_power, short
from seqdyn.reports.grids import Grid, columns, last
from seqdyn.reports.pointers import Content, matches
from seqdyn.reports.quantities import Axis, Quantity, curves, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import Case
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Run, Theme
from seqdyn.reports.writing import counted, from_log10, written

SHARES = {"mean": "mean", "below_5_percent": "share below 0.05", "above_95_percent": "share above 0.95"}
"""The single numbers of a gate."""


def _measure(run: Run) -> None:
    subject = run.subject
    run("gates", lambda: gate_statistics(subject.cell, subject.x, subject.state))
    run("saturation", lambda: saturation(subject.cell, subject.x, subject.state))


def _content(_: Subject, found: Measurements) -> dict[str, Any] | None:
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
"""Where the time constants stand of gates that multiply the memory."""


@drawing(HOLDING, title="Memories of the units, sorted", x="share of the units, %", y="time constant, steps")
def gate_time_constants(axes: Axes, content: Content) -> str:
    """The memories that the gates make, sorted, and the lag they are needed for."""
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
        mark(axes, f"needed for it, {written(least)}", y=least, linestyle=":")
    axes.set_xlim(0, 100)
    scale_by_power(axes)
    every = np.concatenate(list(found.values()))
    kept, lag = from_log10(warn), counted(required, "step")
    units = f"{int((every >= least).sum())} of {counted(len(every), 'unit')} at {counted(least, 'step')} or longer"
    return f"Time constants: {units}, which keeps {kept} of a gradient over the required lag of {lag}."


@rule("GS017", "gates hold long enough", "steps", "gates", "gates")
def gates_hold(case: Case) -> Answer:
    value, least = slowest(case.found.gates or {}), case.limits.vanishing_warn
    if math.isnan(value):
        return skipped("No gate multiplies the memory.")
    kept, lag = from_log10(least), counted(case.evidence.lag, "step")
    text = f"Time constant that a tenth of the units exceeds; the threshold keeps {kept} of a gradient over {lag}."
    return at_least(value, needed_time_constant(case.evidence.lag, least), text)


@rule("GS018", "gates move", "share", "gates", "gates")
def gates_move(case: Case) -> Answer:
    if not case.found.gates:
        return skipped("The cell has no gates.")
    name, share = most_closed(case.found.gates)
    text = f"Share of the values of the gate `{name}` at an end of its range, where no gradient passes."
    return at_most(share, case.limits.saturated, text)


@rule("GS019", "units move", "share", "gates", "saturation")
def units_move(case: Case) -> Answer:
    assert case.found.saturation is not None
    bounded = [part.total_saturated for part in case.found.saturation.values() if part.bounded]
    if not bounded:
        return skipped("No part of the state stays within ±1.")
    text = "Share of the states with |h| > 0.99, where no gradient passes."
    return at_most(max(bounded), case.limits.saturated, text)


@rule("GS020", "units live", "share", "gates", "saturation")
def units_live(case: Case) -> Answer:
    assert case.found.saturation is not None
    share = max((part.total_dead for part in case.found.saturation.values()), default=0.0)
    return at_most(share, 0.1, "Share of the units that are 0 at every step: nothing can be learnt through them.")


GATE, UNIT = Axis("gate", "name"), Axis("unit")
OVER_ALL = columns("/gates/named/*/{}", SHARES) | {"longest time constant, steps": last(HOLDING)}

GATES = Theme(
    "gates",
    "Gates and units",
    "A gate near the end of its range passes no gradient to its weights. A unit holds what is needed if its time "
    "constant keeps the share of the threshold “vanishing warn” over the required lag.",
    _content,
    _measure,
    (
        *curves("/gates/named/*/{}", SHARES, "", GATE),
        Quantity("/gates/named/*/unit_means/*", "mean of a unit", "unit_mean", "", (GATE, UNIT)),
        Quantity(f"{HOLDING}/*", "time constant", "time_constant", "steps", (GATE, UNIT)),
        single("/gates/saturated", "saturated share of the state"),
        single("/gates/dead", "dead share of the units"),
    ),
    (Grid("Gates over all units and steps", "/gates/named", OVER_ALL, "gate"),),
    (gate_time_constants,),
    rules=(gates_hold, gates_move, units_move, units_live),
)

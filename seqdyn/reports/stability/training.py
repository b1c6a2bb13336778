"""The training history of an estimator: loss, gradient norms before clipping, and what was not finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.checks import Finding, check_rule, pass_at_most, skipped
from seqdyn.reports.drawing import Axes, curve, mark, numbers, report_figure, scale_by_power, short, whole_steps
from seqdyn.reports.non_finite import first_event
from seqdyn.reports.number_format import format_number, plural
from seqdyn.reports.pointers import Content
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import Axis, curves, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import ReportCase
from seqdyn.reports.table_layouts import TableLayout, columns_from, last_of
from seqdyn.reports.theme import Theme

HISTORY_COLUMNS = {
    "loss": "loss",
    "gradient_norm": "gradient norm before clipping",
    "clip_coefficient": "clip coefficient",
    "clip_fraction": "share of clipped steps",
    "steps_reached": "share of steps the gradient reaches",
}
"""The columns of a history, with their labels; norms are not logarithms."""

PARAMETER_COLUMNS = {"gradient_norm": HISTORY_COLUMNS["gradient_norm"], "update_ratio": "update ratio"}
"""The columns of every parameter, with their labels."""

UPDATES = (1e-6, 0.1)
"""The sensible range of ‖Δθ‖/‖θ‖ in one step: below it weights hardly move, above it they jump."""

DRAWN_PARAMETERS = 3
"""How many parameters are drawn: those with the largest norms."""

BAD = "#B3261E"
"""The colour of events that are not finite: dark enough to be read on white."""


def training_content(probe: Probe, _: Measurements) -> dict[str, Any] | None:
    history = probe.history
    if history is None or not len(history):
        return None
    names = [str(name).partition("/")[2] for name in history if str(name).startswith("gradient_norm/")]
    events = history.attrs.get("non_finite", [])
    parameters = {
        name: {one: history[f"{one}/{name}"].astype(float).tolist() for one in PARAMETER_COLUMNS} for name in names
    }
    return {
        "epochs": [int(epoch) for epoch in history["epoch"]],
        **{name: history[name].astype(float).tolist() for name in HISTORY_COLUMNS if name in history},
        "clip_norm": probe.clip_limits[0],
        "parameters": parameters,
        "non_finite": [event | {"parameters": list(event["parameters"])} for event in events],
    }


@report_figure("/training/epochs", x="epoch", y="norm", height=2.6)
def training_timeline(axes: Axes, content: Content) -> str:
    """Gradient norms before clipping, of all parameters and of the largest ones, and events that are not finite."""
    training = content["training"]
    epochs, events = numbers(training["epochs"]), training["non_finite"]
    parameters = {name: _positive_or_nan(found["gradient_norm"]) for name, found in training["parameters"].items()}
    largest = sorted(parameters, key=lambda name: (-_typical(parameters[name]), name))[:DRAWN_PARAMETERS]
    total = _positive_or_nan(training.get("gradient_norm") or np.full(len(epochs), np.nan))
    drawn = [("all parameters", total), *((short(name), parameters[name]) for name in largest)]
    for (label, values), colour in zip(drawn, (PALETTE["data"], *MODELS), strict=False):
        curve(axes, epochs, values, label=label, color=colour)
    if training.get("clip_norm"):
        mark(axes, "clipped above", y=training["clip_norm"])
    if any(np.isfinite(values).any() for _, values in drawn):
        scale_by_power(axes)
    if events:
        where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        bad = [event["epoch"] for event in events]
        axes.plot(bad, np.zeros(len(bad)), "x", color=BAD, label=f"not finite ({len(bad)})", **where)
    left = len(parameters) - DRAWN_PARAMETERS
    axes.set_title("Gradient before clipping" + (f", {left} smaller ones left out" if left > 0 else ""))
    whole_steps(axes)
    stopped = f"; {plural(len(events), 'step was', 'steps were')} not finite" if events else ""
    found = (training.get(name) or [np.nan] for name in ("loss", "gradient_norm"))
    losses, norms = (f"from {format_number(one[0])} to {format_number(one[-1])}" for one in found)
    count = plural(len(epochs), "epoch")
    return f"Over {count} the loss went {losses} and the norm of the gradient {norms}{stopped}."


def _positive_or_nan(values: Any) -> Array:
    """The values that a logarithmic axis can show; NaN for the others."""
    found = numbers(values)
    return np.where(np.isfinite(found) & (found > 0), found, np.nan)


def _typical(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else -np.inf


@check_rule("GS021", "clipping is the exception", "share", "training")
def seldom_clipped(case: ReportCase) -> Finding:
    history = case.probe.history
    if history is None or "clip_fraction" not in history or not len(history):
        return skipped("There is no history of a training.")
    if case.probe.clip_limits[1] is not None:
        return skipped("A quantile as clip_norm clips a fixed share of the steps by definition.")
    share = float(history["clip_fraction"].mean())
    return pass_at_most(share, case.limits.clipped, "The share of the training steps whose gradient was clipped.")


@check_rule("GS022", "training stayed finite", "events", "training")
def stayed_finite(case: ReportCase) -> Finding:
    if case.probe.history is None:
        return skipped("There is no history of a training.")
    events = case.probe.history.attrs.get("non_finite", [])
    where = f" First in {first_event(case.probe)}." if events else ""
    text = f"Training steps with a loss or gradient that is not finite.{where}"
    return pass_at_most(float(len(events)), 0.0, text, "FAIL")


@check_rule("GS023", "updates are of a sensible size", "ratio", "training")
def sensible_updates(case: ReportCase) -> Finding:
    history = case.probe.history
    matrices = [f"update_ratio/{name}" for name, values in case.probe.cell.named_parameters() if values.dim() > 1]
    ratios = [] if history is None else [name for name in history if name in matrices]
    if history is None or not ratios or history[ratios].isna().all(axis=None):
        return skipped("There is no history of a training.")
    last, (least, most) = history[ratios].iloc[-1].dropna(), UPDATES
    worst = float(last.max()) if float(last.max()) > most else float(last.min())
    text = "‖Δθ‖/‖θ‖ of one step in the last epoch, for the worst weight matrix."
    return Finding("PASS" if least <= worst <= most else "WARN", worst, most if worst > most else least, text)


TRAINED_PARAMETER, EPOCH_AXIS = Axis("parameter", "name"), Axis("epoch", "step", "/training/epochs/*")
BY_EPOCH = columns_from("/training/{}/*", {"epochs": "epoch"} | HISTORY_COLUMNS)
LAST_EPOCH = {label: last_of(f"/training/parameters/*/{name}") for name, label in PARAMETER_COLUMNS.items()}
EVENTS = columns_from("/training/non_finite/*/{}", ("epoch", "batch", "parameters"))

TRAINING_THEME = Theme(
    "training",
    "Training",
    "Norms are measured before clipping. If most steps are clipped, clipping sets the learning rate.",
    training_content,
    quantities=(
        *curves("/training/{}/*", HISTORY_COLUMNS, "training_{}", EPOCH_AXIS),
        *curves("/training/parameters/*/{}/*", PARAMETER_COLUMNS, "parameter_{}", TRAINED_PARAMETER, EPOCH_AXIS),
        single("/training/clip_norm", "norm above which gradients are clipped"),
    ),
    tables=(
        TableLayout("By epoch", "/training/epochs", BY_EPOCH),
        TableLayout("Parameters in the last epoch", "/training/parameters", LAST_EPOCH, "parameter"),
        TableLayout("Steps whose gradient was not finite", "/training/non_finite", EVENTS),
    ),
    figures=(training_timeline,),
    rules=(seldom_clipped, stayed_finite, sensible_updates),
)

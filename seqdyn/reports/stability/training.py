"""What the training of an estimator wrote down: loss, norms of the gradient before clipping, what was not finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.checks import Answer, at_most, rule, skipped
from seqdyn.reports.drawing import Array, Axes, curve, drawing, mark, numbers, scale_by_power, short, whole_steps
from seqdyn.reports.finite import first_event
from seqdyn.reports.grids import Grid, columns, last
from seqdyn.reports.pointers import Content
from seqdyn.reports.quantities import Axis, curves, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import Case
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Theme
from seqdyn.reports.writing import counted, written

COLUMNS = {
    "loss": "loss",
    "gradient_norm": "gradient norm before clipping",
    "clip_coefficient": "clip coefficient",
    "clip_fraction": "share of clipped steps",
    "steps_reached": "share of steps the gradient reaches",
}
"""The columns of a training; norms are not logarithms."""

PARAMETER = {"gradient_norm": COLUMNS["gradient_norm"], "update_ratio": "update ratio"}
"""What a training holds of every parameter."""

UPDATES = (1e-6, 0.1)
"""Change of the weights in a step, relative to them: less is standing still, more is jumping."""

LINES = 3
"""Parameters whose norms are drawn: those of the largest."""

BAD = "#B3261E"
"""The colour of what is not finite: dark enough to be read on white."""


def _content(subject: Subject, _: Measurements) -> dict[str, Any] | None:
    history = subject.history
    if history is None or not len(history):
        return None
    names = [str(name).partition("/")[2] for name in history if str(name).startswith("gradient_norm/")]
    events = history.attrs.get("non_finite", [])
    parameters = {name: {one: history[f"{one}/{name}"].astype(float).tolist() for one in PARAMETER} for name in names}
    return {
        "epochs": [int(epoch) for epoch in history["epoch"]],
        **{name: history[name].astype(float).tolist() for name in COLUMNS if name in history},
        "clip_norm": getattr(subject.estimator, "clip_norm", None),
        "parameters": parameters,
        "non_finite": [event | {"parameters": list(event["parameters"])} for event in events],
    }


@drawing("/training/epochs", x="epoch", y="norm", height=2.6)
def training_timeline(axes: Axes, content: Content) -> str:
    """Norms of the gradient before clipping, of all parameters and of the largest, and what was not finite."""
    training = content["training"]
    epochs, events = numbers(training["epochs"]), training["non_finite"]
    parameters = {name: _positive(found["gradient_norm"]) for name, found in training["parameters"].items()}
    largest = sorted(parameters, key=lambda name: (-_typical(parameters[name]), name))[:LINES]
    total = _positive(training.get("gradient_norm") or np.full(len(epochs), np.nan))
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
    others = f", {len(parameters) - LINES} smaller ones left out" if len(parameters) > LINES else ""
    axes.set_title(f"Gradient before clipping{others}")
    whole_steps(axes)
    stopped = f"; {counted(len(events), 'step was', 'steps were')} not finite" if events else ""
    losses, norms = (training.get(name) or [np.nan] for name in ("loss", "gradient_norm"))
    return (
        f"Over {counted(len(epochs), 'epoch')} the loss went from {written(losses[0])} to {written(losses[-1])} and "
        f"the norm of the gradient from {written(norms[0])} to {written(norms[-1])}{stopped}."
    )


def _positive(values: Any) -> Array:
    """What a logarithmic axis can show."""
    found = numbers(values)
    return np.where(np.isfinite(found) & (found > 0), found, np.nan)


def _typical(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else -np.inf


@rule("GS021", "clipping is the exception", "share", "training")
def seldom_clipped(case: Case) -> Answer:
    history = case.subject.history
    if history is None or "clip_fraction" not in history or not len(history):
        return skipped("There is no history of a training.")
    if getattr(case.subject.estimator, "clip_quantile", None) is not None:
        return skipped("clip_quantile clips a fixed share of the steps by itself.")
    share = float(history["clip_fraction"].mean())
    return at_most(share, case.limits.clipped, "Share of the training steps whose gradient was clipped.")


@rule("GS022", "training stayed finite", "events", "training")
def stayed_finite(case: Case) -> Answer:
    if case.subject.history is None:
        return skipped("There is no history of a training.")
    events = case.subject.history.attrs.get("non_finite", [])
    where = f" First in {first_event(case.subject)}." if events else ""
    return at_most(float(len(events)), 0.0, f"Steps whose loss or gradient was not finite.{where}", "FAIL")


@rule("GS023", "updates are of a sensible size", "ratio", "training")
def sensible_updates(case: Case) -> Answer:
    history = case.subject.history
    matrices = [f"update_ratio/{name}" for name, values in case.subject.cell.named_parameters() if values.dim() > 1]
    ratios = [] if history is None else [name for name in history if name in matrices]
    if history is None or not ratios or history[ratios].isna().all(axis=None):
        return skipped("There is no history of a training.")
    last, (least, most) = history[ratios].iloc[-1].dropna(), UPDATES
    worst = float(last.max()) if float(last.max()) > most else float(last.min())
    text = "‖Δθ‖/‖θ‖ of a step in the last epoch, the worst matrix of weights."
    return Answer("PASS" if least <= worst <= most else "WARN", worst, most if worst > most else least, text)


NAME, EPOCH = Axis("parameter", "name"), Axis("epoch", "step", "/training/epochs/*")
BY_EPOCH = columns("/training/{}/*", {"epochs": "epoch"} | COLUMNS)
LAST = {label: last(f"/training/parameters/*/{name}") for name, label in PARAMETER.items()}
EVENTS = columns("/training/non_finite/*/{}", {name: name for name in ("epoch", "batch", "parameters")})

TRAINING = Theme(
    "training",
    "Training",
    "Norms are those before clipping. Where most steps are clipped, clipping sets the learning rate.",
    _content,
    quantities=(
        *curves("/training/{}/*", COLUMNS, "training_{}", EPOCH),
        *curves("/training/parameters/*/{}/*", PARAMETER, "parameter_{}", NAME, EPOCH),
        single("/training/clip_norm", "norm above which gradients are clipped"),
    ),
    grids=(
        Grid("By epoch", "/training/epochs", BY_EPOCH),
        Grid("Parameters in the last epoch", "/training/parameters", LAST, "parameter"),
        Grid("Steps whose gradient was not finite", "/training/non_finite", EVENTS),
    ),
    figures=(training_timeline,),
    rules=(seldom_clipped, stayed_finite, sensible_updates),
)

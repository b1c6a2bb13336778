"""What the training of an estimator wrote down: loss, norms of the gradient before clipping, what was not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.drawing import (
    Array,
    curve,
    drawing,
    legend_below,
    numbers,
    scale_by_power,
    short,
    some,
    whole_steps,
)
from seqdyn.reports.grids import Grid
from seqdyn.reports.page import Item, Number
from seqdyn.reports.pointers import Content, Key, look_up, pointer
from seqdyn.reports.quantities import Axis, Quantity, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.subject import Subject
from seqdyn.reports.theme import Theme
from seqdyn.reports.writing import counted, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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

LINES = 3
"""Parameters whose norms are drawn: those of the largest."""

BAD = "#B3261E"
"""The colour of what is not finite: dark enough to be read on white."""


def _content(subject: Subject, _: Measurements) -> dict[str, Any] | None:
    history = subject.history
    if history is None or not len(history):
        return None
    names = [str(name).partition("/")[2] for name in history if str(name).startswith("gradient_norm/")]
    return {
        "epochs": [int(epoch) for epoch in history["epoch"]],
        **{name: [float(value) for value in history[name]] for name in COLUMNS if name in history},
        "clip_norm": getattr(subject.estimator, "clip_norm", None),
        "parameters": {
            name: {measure: [float(value) for value in history[f"{measure}/{name}"]] for measure in PARAMETER}
            for name in names
        },
        "non_finite": [
            {"epoch": event["epoch"], "batch": event["batch"], "parameters": list(event["parameters"])}
            for event in history.attrs.get("non_finite", [])
        ],
    }


# --- the figure -------------------------------------------------------------------------------------------------------


@drawing("/training/loss")
def training_loss(axes: Axes, content: Content) -> str:
    """The loss by epoch."""
    training = look_up(content, "/training")
    epochs, values = numbers(training["epochs"]), numbers(training["loss"])
    curve(axes, epochs, values, color=MODELS[0])
    if (values[np.isfinite(values)] > 0).all():
        scale_by_power(axes)
    axes.set(title="Loss of the training", xlabel="epoch", ylabel="loss")
    whole_steps(axes)
    return f"The loss went from {written(training['loss'][0])} to {written(training['loss'][-1])}."


@drawing("/training/epochs", height=2.4, below=training_loss)
def training_timeline(axes: Axes, content: Content) -> str:
    """Norms of the gradient before clipping, and the loss, by epoch."""
    training = look_up(content, "/training")
    epochs = numbers(training["epochs"])
    parameters = {name: _positive(found["gradient_norm"]) for name, found in training["parameters"].items()}
    largest = sorted(parameters, key=lambda name: (-_typical(parameters[name]), name))[:LINES]
    total = _positive(training.get("gradient_norm") or np.full(len(epochs), np.nan))
    curve(axes, epochs, total, label="all parameters", color=PALETTE["data"], linewidth=1.8)
    for name, colour in zip(largest, MODELS, strict=False):
        curve(axes, epochs, parameters[name], label=short(name), color=colour, linewidth=1.2)
    if training.get("clip_norm"):
        axes.axhline(training["clip_norm"], color=PALETTE["data"], linestyle="--", linewidth=1.0, label="clipped above")
    if any(np.isfinite(values).any() for values in (total, *parameters.values())):
        scale_by_power(axes)
    _mark_non_finite(axes, training["non_finite"])
    others = f", {len(parameters) - LINES} smaller ones left out" if len(parameters) > LINES else ""
    axes.set(title=f"Gradient before clipping{others}", xlabel="epoch", ylabel="norm")
    whole_steps(axes)
    legend_below(axes, columns=2)
    losses, norms = (training.get(name) or [np.nan] for name in ("loss", "gradient_norm"))
    events = counted(len(training["non_finite"]), "step was", "steps were")
    return (
        f"Over {counted(len(epochs), 'epoch')} the loss went from {written(losses[0])} to {written(losses[-1])} and "
        f"the norm of the gradient from {written(norms[0])} to {written(norms[-1])}; {events} not finite."
    )


def _mark_non_finite(axes: Axes, events: Sequence[Mapping[str, Any]]) -> None:
    """A cross at the lower edge for every step whose gradient was no number."""
    if events:
        epochs = [event["epoch"] for event in events]
        where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        axes.plot(epochs, np.zeros(len(epochs)), "x", color=BAD, label=f"not finite ({len(events)})", **where)


SHARES = {
    "clip_fraction": ("steps that were clipped", "-"),
    "clip_coefficient": ("clip coefficient", "--"),
    "steps_reached": ("steps the gradient reaches", ":"),
}
"""Columns of a training between 0 and 1."""


@drawing(*(f"/training/{name}" for name in SHARES), height=2.6)
def clipping(axes: Axes, content: Content) -> str:
    """How many steps were clipped, by how much, and how far the gradient reached, by epoch."""
    training = look_up(content, "/training")
    epochs = numbers(training["epochs"])
    for (name, (label, linestyle)), colour in zip(SHARES.items(), MODELS, strict=False):
        if some(training.get(name)):
            curve(axes, epochs, numbers(training[name]), color=colour, linestyle=linestyle, label=label)
    axes.set(title="Clipping and reach", xlabel="epoch", ylabel="share", ylim=(-0.03, 1.05))
    whole_steps(axes)
    legend_below(axes, columns=2)
    clipped = training.get("clip_fraction") or [np.nan]
    return f"Of all steps {written(100 * sum(clipped) / len(clipped))} % were clipped."


def _positive(values: Any) -> Array:
    """What a logarithmic axis can show."""
    found = numbers(values)
    return np.where(np.isfinite(found) & (found > 0), found, np.nan)


def _typical(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else -np.inf


def _last(measure: str) -> Any:
    """A measure of a parameter in the last epoch."""

    def item(content: Content, name: Key) -> Item:
        values = content["training"]["parameters"][name][measure]
        return Number(values[-1], pointer("training", "parameters", name, measure, len(values) - 1)) if values else "–"

    return item


def _parameters(content: Content, place: Key) -> Item:
    return ", ".join(content["training"]["non_finite"][place]["parameters"])


EPOCH = Axis("epoch", "step", "/training/epochs/*")

TRAINING = Theme(
    "training",
    "Training",
    "Norms are those before clipping. Where most steps are clipped, clipping sets the learning rate.",
    _content,
    quantities=(
        *(Quantity(f"/training/{name}/*", label, f"training_{name}", "", (EPOCH,)) for name, label in COLUMNS.items()),
        *(
            Quantity(
                f"/training/parameters/*/{name}/*", label, f"parameter_{name}", "", (Axis("parameter", "name"), EPOCH)
            )
            for name, label in PARAMETER.items()
        ),
        single("/training/clip_norm", "norm above which gradients are clipped"),
    ),
    grids=(
        Grid(
            "By epoch",
            "/training/epochs",
            {"epoch": "/training/epochs/*"} | {label: f"/training/{name}/*" for name, label in COLUMNS.items()},
        ),
        Grid(
            "Parameters in the last epoch",
            "/training/parameters",
            {label: _last(name) for name, label in PARAMETER.items()},
            "parameter",
        ),
        Grid(
            "Steps whose gradient was not finite",
            "/training/non_finite",
            {
                "epoch": "/training/non_finite/*/epoch",
                "batch": "/training/non_finite/*/batch",
                "parameters": _parameters,
            },
        ),
    ),
    figures=(training_timeline, clipping),
)

"""The figure of a motion report: the motion, its multipliers, and the effect of neurons on joints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.figures import MODELS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SECONDS = 8.0
"""How many seconds of the free run are drawn."""


def motion_figure(content: Mapping[str, Any]) -> Figure:
    """The last seconds of the free run, the cycle in the plane of two joints, multipliers, and neurons by joints."""
    drawing, axes = figure(2, 2, width=10.0, height=7.0)
    (above, plane), (circle, table) = axes
    _draw_motion(above, content)
    _draw_plane(plane, content)
    _draw_multipliers(circle, content)
    if (image := _draw_neurons(table, content)) is not None:
        drawing.colorbar(image, ax=table)
    verdict = content["verdict"]
    drawing.suptitle(f"{verdict['name']} ({verdict['severity']})", x=0.01, ha="left")
    return drawing


def _draw_motion(axes: Axes, content: Mapping[str, Any]) -> None:
    subject, values = content["subject"], np.asarray(content["angles"], dtype=float)
    count = min(len(values), round(SECONDS * subject["rate"]))
    finite = values[np.isfinite(values).all(axis=1)]
    shown = finite[-count:]
    count = len(shown)
    room = 1.1 * max(float(np.ptp(shown, axis=0).max()), 1e-6) if count else 1.0
    for number in range(shown.shape[1]):
        axes.plot(np.arange(count) / subject["rate"], shown[:, number] - number * room, color=MODELS[0], linewidth=1.0)
    axes.set_yticks([-k * room for k in range(shown.shape[1])], subject["joints"], fontsize=7)
    axes.set(xlabel="time, s", title="The end of the free run")


def _draw_plane(axes: Axes, content: Mapping[str, Any]) -> None:
    """The free run in the plane of two joints that move much and out of phase."""
    values = np.asarray(content["angles"], dtype=float)
    settled = values[len(values) // 2 :]
    if content["rhythm"] is None:
        axes.set_axis_off()
        return
    first = int(np.nanargmax(settled.std(axis=0)))
    moved = settled - settled.mean(axis=0)
    size = np.maximum(np.linalg.norm(moved, axis=0), 1e-12)
    alike = np.abs(moved.T @ moved[:, first]) / size / size[first]
    second = int(np.argmin(np.where(size > 0.3 * size[first], alike, np.inf)))
    names = content["subject"]["joints"]
    axes.plot(settled[:, first], settled[:, second], color=MODELS[0], linewidth=0.8)
    axes.set(xlabel=names[first], ylabel=names[second], title="The free run in the plane of two joints")


def _draw_multipliers(axes: Axes, content: Mapping[str, Any]) -> None:
    cycle = content["cycle"]
    if cycle is None or not cycle["found"]:
        axes.text(0.5, 0.5, "no closed cycle", ha="center", transform=axes.transAxes, color=PALETTE["note"])
        axes.set_axis_off()
        return
    sizes = cycle["multipliers"]
    axes.bar(np.arange(1, len(sizes) + 1), sizes, color=MODELS[0], width=0.5)
    axes.axhline(1.0, color=PALETTE["baseline"], linestyle="--", linewidth=1.0)
    axes.set_xticks(np.arange(1, len(sizes) + 1))
    axes.set(xlabel="multiplier", ylabel="modulus", title="What a deviation becomes in one turn")


def _draw_neurons(axes: Axes, content: Mapping[str, Any]) -> Any:
    found = content["neurons"]
    if found is None:
        axes.set_axis_off()
        return None
    change = np.nan_to_num(np.asarray(found["amplitude"], dtype=float), nan=-1.0)
    order = np.argsort(-np.abs(change).max(axis=1))[:16]
    size = max(float(np.abs(change).max()), 1e-12)
    image = axes.imshow(change[order], aspect="auto", cmap="RdBu_r", vmin=-size, vmax=size, interpolation="nearest")
    axes.grid(False)
    axes.set_yticks(range(len(order)), [found["names"][k] for k in order], fontsize=7)
    axes.set_xticks(range(change.shape[1]), content["subject"]["joints"], rotation=90, fontsize=7)
    axes.set_title("Amplitude while a neuron is held at its mean")
    return image

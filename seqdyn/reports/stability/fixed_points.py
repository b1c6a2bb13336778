"""Fixed and slow points: where the state would stay under a constant input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.drawing import Axes, numbers, report_figure
from seqdyn.reports.number_format import plural
from seqdyn.reports.page import TableItem
from seqdyn.reports.pointers import Content, Key
from seqdyn.reports.probe import Probe
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.table_layouts import TableLayout, columns_from
from seqdyn.reports.theme import Examination, Theme, thinned

STABILITIES = ("stable", "unstable", "marginal", "slow")
"""The kinds of fixed points; at a slow point the state hardly moves, but it is not a fixed point."""


def measure_fixed_points(run: Examination) -> None:
    probe = run.probe
    if run.tier != "full":
        run.found.omitted.append("fixed points" + ("" if run.tier == "fast" else " (tier='full')"))
        return
    cell, x, state = probe.cell, probe.x, probe.state
    still = None if probe.kind == "autonomous" else x
    run("fixed_points", lambda: fixed_points(cell, still, seed=run.seed))
    run("trajectory", lambda: torch.cat([part.states() for part in Trajectory(cell, x, state).forward()], 1))


def fixed_point_content(_: Probe, found: Measurements) -> dict[str, Any] | None:
    own = found.fixed_points
    if own is None or found.trajectory is None:
        return None
    states = found.trajectory.flatten(0, 1)
    states = states[thinned(len(states))]
    centre = states.mean(0)
    _, _, axes = torch.linalg.svd(states - centre, full_matrices=False)
    return {
        "points": _two_coordinates((own.points - centre) @ axes[:2].T),
        "trajectory": _two_coordinates((states - centre) @ axes[:2].T),
        **{name: getattr(own, name).tolist() for name in ("stable", "speed", "index", "share")},
        "kinds": list(own.kinds),
        "time_constants": [float(times.max()) for times in own.time_constants],
    }


def _two_coordinates(points: Tensor) -> list[list[float]]:
    """Points with two coordinates; a missing one is 0."""
    return torch.nn.functional.pad(points, (0, 2 - points.shape[1])).tolist()


def stabilities(found: Mapping[str, Any]) -> list[str]:
    """The entry of ``STABILITIES`` for every point: an unstable one has directions that lead away."""
    return [
        "slow" if kind == "slow" else "stable" if stable else "unstable" if index > 0 else "marginal"
        for kind, stable, index in zip(found["kinds"], found["stable"], found["index"], strict=True)
    ]


@report_figure("/fixed_points/points", x="first principal component", y="second principal component", height=3.6)
def fixed_point_plane(axes: Axes, content: Content) -> str:
    """Fixed and slow points and the trajectory, on two principal components."""
    found = content["fixed_points"]
    way, points = (numbers(found[name] or []).reshape(-1, 2) for name in ("trajectory", "points"))
    way, kinds = way[thinned(len(way))], np.array(stabilities(found))
    axes.plot(*way.T, color=PALETTE["baseline"], linewidth=0.6, alpha=0.6, label="trajectory", zorder=1)
    for label, marker, number in zip(STABILITIES, "oXsD", (0, 1, 2, 4), strict=True):
        if (chosen := kinds == label).any():
            look: dict[str, Any] = {"color": MODELS[number], "markersize": 8.0, "markeredgecolor": "white", "zorder": 3}
            axes.plot(*points[chosen].T, marker, label=f"{label} ({chosen.sum()})", **look)
    for point, index in zip(points, found["index"], strict=True):
        if index:
            axes.annotate(str(index), tuple(point), (4, 4), textcoords="offset points", fontsize=8.0, zorder=4)
    axes.set_title("Fixed points" + (", with the number of unstable directions" if any(found["index"]) else ""))
    axes.margins(0.1)
    many = Counter(kinds.tolist())
    return f"{plural(len(points), 'point')}: {', '.join(f'{many[kind]} {kind}' for kind in STABILITIES)}."


def _stability_item(content: Content, place: Key) -> TableItem:
    return stabilities(content["fixed_points"])[int(place)]


MEASURES = {
    "index": "unstable directions",
    "speed": "speed per step",
    "share": "share of starts",
    "time_constants": "slowest, steps",
}
POINT_COLUMNS = {
    "kind": "/fixed_points/kinds/*",
    "stability": _stability_item,
    **columns_from("/fixed_points/{}/*", MEASURES),
}

FIXED_POINTS_THEME = Theme(
    "fixed_points",
    "Fixed points",
    "Where the state would stay under a constant input; the index counts the directions that lead away.",
    fixed_point_content,
    measure_fixed_points,
    tables=(TableLayout("Points", "/fixed_points/kinds", POINT_COLUMNS),),
    figures=(fixed_point_plane,),
)

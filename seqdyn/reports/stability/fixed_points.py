"""Fixed and slow points: where the state would stay if the input stood still."""

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
from seqdyn.reports.drawing import Axes, drawing, numbers
from seqdyn.reports.grids import Grid, columns
from seqdyn.reports.page import Item
from seqdyn.reports.pointers import Content, Key
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Run, Theme, thinned
from seqdyn.reports.writing import counted

STABILITIES = ("stable", "unstable", "marginal", "slow")
"""What a fixed point can be; a slow one is a place where little moves, and none of the others."""


def _measure(run: Run) -> None:
    subject = run.subject
    if run.tier != "full":
        run.found.omitted.append("fixed points" + ("" if run.tier == "fast" else " (tier='full')"))
        return
    cell, x, state = subject.cell, subject.x, subject.state
    still = None if subject.kind == "autonomous" else x
    run("fixed_points", lambda: fixed_points(cell, still, seed=run.seed))
    run("trajectory", lambda: torch.cat([part.states() for part in Trajectory(cell, x, state).forward()], 1))


def _content(_: Subject, found: Measurements) -> dict[str, Any] | None:
    own = found.fixed_points
    if own is None or found.trajectory is None:
        return None
    states = found.trajectory.flatten(0, 1)
    states = states[thinned(len(states))]
    centre = states.mean(0)
    _, _, axes = torch.linalg.svd(states - centre, full_matrices=False)
    return {
        "points": _plane((own.points - centre) @ axes[:2].T),
        "trajectory": _plane((states - centre) @ axes[:2].T),
        **{name: getattr(own, name).tolist() for name in ("stable", "speed", "index", "share")},
        "kinds": list(own.kinds),
        "time_constants": [float(times.max()) for times in own.time_constants],
    }


def _plane(points: Tensor) -> list[list[float]]:
    """Two coordinates, also of what has only one."""
    return torch.nn.functional.pad(points, (0, 2 - points.shape[1])).tolist()


def stabilities(found: Mapping[str, Any]) -> list[str]:
    """Which of ``STABILITIES`` every fixed point is: unstable is only one with directions that lead away."""
    return [
        "slow" if kind == "slow" else "stable" if stable else "unstable" if index > 0 else "marginal"
        for kind, stable, index in zip(found["kinds"], found["stable"], found["index"], strict=True)
    ]


@drawing("/fixed_points/points", x="first principal component", y="second principal component", height=3.6)
def fixed_point_plane(axes: Axes, content: Content) -> str:
    """Fixed and slow points, and the trajectory, on two principal components."""
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
    return f"{counted(len(points), 'point')}: {', '.join(f'{many[kind]} {kind}' for kind in STABILITIES)}."


def _stability(content: Content, place: Key) -> Item:
    return stabilities(content["fixed_points"])[int(place)]


MEASURES = {
    "index": "unstable directions",
    "speed": "speed per step",
    "share": "share of starts",
    "time_constants": "slowest, steps",
}
POINTS = {"kind": "/fixed_points/kinds/*", "stability": _stability, **columns("/fixed_points/{}/*", MEASURES)}

FIXED_POINTS = Theme(
    "fixed_points",
    "Fixed points",
    "Where the state would stay if the input stood still; the index counts the directions that lead away.",
    _content,
    _measure,
    grids=(Grid("Points", "/fixed_points/kinds", POINTS),),
    figures=(fixed_point_plane,),
)

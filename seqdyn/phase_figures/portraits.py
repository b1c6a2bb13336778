"""Phase portraits, and delay embeddings of one output, with a panel for every system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count, is_int
from seqdyn.figures import STYLE, figure
from seqdyn.phase_figures.trajectories import (
    Trajectories,
    colours,
    named_trajectories,
    one_output,
    output_names,
    share_outside,
)

PORTRAIT_MARGIN = 0.1
"""The margin of a panel beyond the trajectories of the first system, as a share of their range."""

TRAJECTORY_WIDTH = 0.7
"""The line width of a trajectory: thin, since it passes many times."""


def plot_phase_portrait(
    y: Trajectories, outputs: Sequence[int] | None = None, *, names: Sequence[str] | None = None, points: bool = False
) -> Figure:
    """Draw two or three outputs against each other, with a panel for every system.

    All panels have the limits of the first system, the true one. What a model does beyond them is not drawn, but its
    title has the share of such steps: a run that leaves would shrink everything else to a dot.

    Parameters
    ----------
    y : array-like, shape (time, outputs) or (trajectories, time, outputs), or mapping of str to such
        One system, or several by name. Steps that are not finite count as beyond the limits.
    outputs : sequence of int, optional
        The two or three outputs to draw; None: the first three, or both of two.
    names : sequence of str, optional
        The names of all outputs.
    points : bool
        Whether to draw points without lines, as for maps.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes do not fit, or the first system is not finite.

    Examples
    --------
    >>> turn = np.linspace(0, 6.28, 100)
    >>> drawing = plot_phase_portrait(np.stack([np.cos(turn), np.sin(turn)], axis=1), names=["x", "y"])
    >>> drawing.axes[0].get_xlabel(), drawing.axes[0].get_ylabel()
    ('x', 'y')
    """
    systems = named_trajectories(y)
    count = next(iter(systems.values())).shape[2]
    chosen = list(range(min(count, 3))) if outputs is None else list(outputs)
    if len(chosen) not in (2, 3) or not all(is_int(one) and -count <= one < count for one in chosen):
        raise ValueError(
            f"A portrait shows two or three of the {count} outputs, got {chosen}; one alone is drawn by "
            "plot_delay_embedding."
        )
    labels = output_names(names, count)
    shown = {name: trajectories[:, :, chosen] for name, trajectories in systems.items()}
    return _portrait(shown, [labels[one] for one in chosen], points)


def plot_delay_embedding(
    y: Trajectories, delay: int, *, output: int = 0, dimension: int = 2, name: str = "y", points: bool = False
) -> Figure:
    """Draw one output against its own past: (y_t, y_{t−τ}) or (y_t, y_{t−τ}, y_{t−2τ}), a panel for every system.

    A single observed output shows the shape of the whole attractor. For a map, ``delay=1, points=True`` draws the map
    itself.

    Parameters
    ----------
    y : array-like, shape (time,), (time, outputs) or (trajectories, time, outputs), or mapping of str to such
        One system, or several by name.
    delay : int, at least 1
        τ, in steps; about a quarter of a turn is a good choice.
    output : int
        The number of the output, from 0.
    dimension : {2, 3}
        How many delayed values are drawn against each other.
    name : str
        The name of the output.
    points : bool
        Whether to draw points without lines, as for maps.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a trajectory is not longer than (dimension − 1) τ, or there is no such output.

    References
    ----------
    Takens (1981), Detecting strange attractors in turbulence.

    Examples
    --------
    >>> drawing = plot_delay_embedding([0.0, 1.0, 2.0, 3.0], delay=2)
    >>> drawing.axes[0].lines[0].get_xydata().tolist()
    [[2.0, 0.0], [3.0, 1.0]]
    """
    check_count("delay", delay)
    check_choice("dimension", dimension, (2, 3))
    shown = {}
    for label, values in one_output(named_trajectories(y), output).items():
        steps = values.shape[1] - (dimension - 1) * delay
        if steps < 1:
            raise ValueError(
                f"A trajectory of {values.shape[1]} steps has no pair {(dimension - 1) * delay} steps apart: take a "
                "shorter delay."
            )
        starts = [(dimension - 1 - number) * delay for number in range(dimension)]
        shown[label] = np.stack([values[:, start : start + steps] for start in starts], axis=2)
    past = [f"{name}(t − {number * delay})" for number in range(1, dimension)]
    return _portrait(shown, [f"{name}(t)", *past], points)


def _portrait(systems: dict[str, Array], labels: list[str], points: bool) -> Figure:
    """One panel for every system, with the limits of the first."""
    first = next(iter(systems.values())).reshape(-1, len(labels))
    if not np.isfinite(first).all():
        raise ValueError("The first system is not finite everywhere, but its range is used for all panels: cut it.")
    reach = np.where(np.ptp(first, axis=0) > 0, np.ptp(first, axis=0), 1.0)
    low, high = first.min(axis=0) - PORTRAIT_MARGIN * reach, first.max(axis=0) + PORTRAIT_MARGIN * reach
    drawing, panels = _panels(len(systems), len(labels))
    dots: dict[str, Any] = {"linestyle": "none", "marker": ".", "markersize": 2}
    look = dots if points else {"linewidth": TRAJECTORY_WIDTH}
    with matplotlib.rc_context(STYLE):
        for axes, colour, (name, values) in zip(panels, colours(len(systems)), systems.items(), strict=True):
            inside = ((values >= low) & (values <= high)).all(axis=2)
            for one in np.where(inside[:, :, None], values, np.nan):
                axes.plot(*one.T, color=colour, **look)
            axes.set_title(f"{name} {share_outside(inside)}".strip())
            for axis, label, *limits in zip("xyz", labels, low, high, strict=False):
                axes.set(**{f"{axis}label": label, f"{axis}lim": limits})
    return drawing


def _panels(count: int, dimension: int) -> tuple[Figure, list[Any]]:
    """Panels in a row, with two or three dimensions."""
    if dimension == 2:
        drawing, axes = figure(columns=count, width=1.0 + 3.6 * count, height=3.8)
        return drawing, list(np.ravel(axes))
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(0.6 + 4.0 * count, 4.2), layout="constrained")
        axes = drawing.subplots(1, count, squeeze=False, subplot_kw={"projection": "3d"})
        for one in axes[0]:
            one.set_box_aspect((1, 1, 0.85), zoom=0.85)  # else the label of the third axis is cut off
            one.locator_params(nbins=5)
            for axis in "xyz":
                one.tick_params(axis=axis, labelcolor=STYLE["xtick.labelcolor"], labelsize=STYLE["xtick.labelsize"])
    return drawing, list(axes[0])

"""Bifurcation diagrams: the values visited in the long run against a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from seqdyn.arrays import Array
from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.phase_figures.trajectories import colours, share_outside


def plot_bifurcation(scans: Mapping[str, Any], parameter: str, *, name: str = "y", centre: Any = None) -> Figure:
    """Draw a bifurcation diagram, the values that a system visits in the long run against a parameter, by system.

    A fixed point is one line, a cycle of period k is k lines, chaos fills bands. All panels have the limits of the
    first system, the true one.

    Parameters
    ----------
    scans : mapping of str to pair
        By the name of the system: the values of the parameter, (values,), and a list with an array for each of them:
        the values visited after the transient, such as the states of a map or the maxima of a flow. It may be empty.
    parameter : str
        The name of the parameter, for the axis.
    name : str
        The name of the visited quantity.
    centre : float, optional
        A value of the parameter to mark, such as the one a model was trained at.

    Returns
    -------
    matplotlib.figure.Figure
        The title has the share of values beyond the limits or not finite; parameters with values that are not finite
        are marked at the lower edge.

    Raises
    ------
    ValueError
        If a scan is not such a pair, or the first system visits no finite value.

    Examples
    --------
    >>> drawing = plot_bifurcation({"true system": ([1.0, 2.0], [[0.5], [0.3, 0.7]])}, "r")
    >>> drawing.axes[0].lines[0].get_xydata().tolist()
    [[1.0, 0.5], [2.0, 0.3], [2.0, 0.7]]
    """
    found = _scans(scans)
    visited = next(iter(found.values()))[1]
    if not np.isfinite(visited).any():
        raise ValueError(f"{next(iter(found))!r} visits no finite value, but its range is used for all panels.")
    low, high = visited[np.isfinite(visited)].min(), visited[np.isfinite(visited)].max()
    room = 0.05 * (high - low) or 1.0
    drawing, axes = figure(len(found), 1, height=0.8 + 2.4 * len(found), sharex=True)
    axes = np.ravel(axes)
    with matplotlib.rc_context(STYLE):
        for panel, colour, (label, (values, reached)) in zip(axes, colours(len(found)), found.items(), strict=True):
            finite = np.isfinite(reached)
            lost = np.unique(values[~finite])
            look: dict[str, Any] = {"linestyle": "none", "color": colour, "rasterized": True, "in_layout": False}
            panel.plot(values[finite], reached[finite], marker=".", markersize=1.5, markeredgewidth=0, **look)
            panel.plot(lost, np.full(len(lost), low - room), marker="x", markersize=4, clip_on=False, **look)
            if centre is not None:
                panel.axvline(centre, color=PALETTE["note"], linestyle=":", linewidth=1.2)
            inside = (reached >= low - room) & (reached <= high + room)
            panel.set_title(f"{label} {share_outside(inside)}".strip())
            panel.set(ylim=(low - room, high + room), ylabel=name)
            panel.margins(x=0.01)
        axes[-1].set_xlabel(parameter)
    return drawing


def _scans(scans: Mapping[str, Any]) -> dict[str, tuple[Array, Array]]:
    """By name, the parameter of every visited value, and the value."""
    if not isinstance(scans, Mapping) or not scans:
        raise ValueError(f"scans must be a mapping of names to (values, visited), got {type(scans).__name__}.")
    found = {}
    for name, scan in scans.items():
        if len(scan) != 2:
            raise ValueError(f"The scan of {name!r} has {len(scan)} parts, expected the pair (values, visited).")
        values, visited = np.asarray(scan[0], dtype=np.float64), scan[1]
        arrays = [np.ravel(np.asarray(one, dtype=np.float64)) for one in visited]
        if values.shape != (len(arrays),) or not len(arrays):
            raise ValueError(
                f"The scan of {name!r} has {len(arrays)} arrays for values of the shape {values.shape}: give an array "
                "of visited values for every value of the parameter, which may be empty."
            )
        found[str(name)] = np.repeat(values, [len(one) for one in arrays]), np.concatenate(arrays)
    return found

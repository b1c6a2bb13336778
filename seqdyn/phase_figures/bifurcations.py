"""Bifurcation diagrams: what is visited in the long run against a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.phase_figures.trajectories import colours, share_outside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


def plot_bifurcation(scans: Mapping[str, Any], parameter: str, *, name: str = "y", centre: Any = None) -> Figure:
    """What a system visits in the long run against a parameter, a panel a system: the bifurcation diagram.

    A fixed point is one line, a cycle of period k is k lines, chaos fills bands. All panels have the limits of the
    first, the truth.

    Parameters
    ----------
    scans : mapping of str to pair
        By the system's name: the values of the parameter, (values,), and a list of as many arrays, each what was
        visited there after the transient: the states of a map, the maxima of a flow. An array may be empty.
    parameter : str
        Its name, for the axis.
    name : str
        Of what is visited.
    centre : float, optional
        A value of the parameter to mark, such as where a model was trained.

    Returns
    -------
    matplotlib.figure.Figure
        What lies beyond the limits, or is not finite, is counted in the title; the values of the parameter at which
        something is not finite are marked at the lower edge.

    Raises
    ------
    ValueError
        If a scan is no such pair, or the first visits nothing finite.

    Examples
    --------
    >>> drawing = plot_bifurcation({"true system": ([1.0, 2.0], [[0.5], [0.3, 0.7]])}, "r")
    >>> drawing.axes[0].lines[0].get_xydata().tolist()
    [[1.0, 0.5], [2.0, 0.3], [2.0, 0.7]]
    """
    import matplotlib

    found = _scans(scans)
    visited = next(iter(found.values()))[1]
    if not np.isfinite(visited).any():
        raise ValueError(f"{next(iter(found))!r} visits nothing finite, but its range is that of all panels.")
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
    """By name, the parameter of every visit, and the visit."""
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
                f"The scan of {name!r} has {len(arrays)} arrays for values of the shape {values.shape}: give what was "
                "visited at every value of the parameter, an empty array where nothing was."
            )
        found[str(name)] = np.repeat(values, [len(one) for one in arrays]), np.concatenate(arrays)
    return found

"""Return maps: every maximum against the one before it."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from seqdyn.arrays import Array
from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.phase_figures.trajectories import Trajectories, colours, named_trajectories, one_output


def plot_return_map(y: Trajectories, *, output: int = 0, name: str = "y") -> Figure:
    """Draw every maximum of an output against the one before it, all systems in one panel, with the diagonal.

    For a strongly contracting flow this is a curve: a one-dimensional map that generates the chaos. A point on the
    diagonal is a cycle, which is stable if the slope of the curve there is less than 1 in size.

    Parameters
    ----------
    y : array-like, shape (time,), (time, outputs) or (trajectories, time, outputs), or mapping of str to such
        One system, or several by name; sampled finely.
    output : int
        The number of the output, from 0.
    name : str
        The name of the output.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no system has two consecutive maxima, or there is no such output.

    References
    ----------
    Lorenz (1963), Deterministic nonperiodic flow, section 8.

    Examples
    --------
    >>> drawing = plot_return_map([0.0, 1.0, 0.0, 3.0, 0.0, 2.0, 0.0], name="z")
    >>> drawing.axes[0].lines[1].get_xydata().tolist()
    [[1.0, 3.0], [3.0, 2.0]]
    """
    pairs = {}
    for label, values in one_output(named_trajectories(y), output).items():
        peaks = [successive_maxima(one) for one in values]
        pairs[label] = np.concatenate([np.stack([one[:-1], one[1:]], axis=1) for one in peaks])
    found = np.concatenate(list(pairs.values()))
    if not len(found):
        raise ValueError(f"Output {output} does not have two maxima in a row: it is at rest, or too short.")
    drawing, axes = figure(width=5.0, height=4.8)
    with matplotlib.rc_context(STYLE):
        axes.axline((found.min(),) * 2, slope=1, color=PALETTE["baseline"], linewidth=0.8)
        for colour, (label, both) in zip(colours(len(pairs)), pairs.items(), strict=True):
            look: dict[str, Any] = {"markersize": 2.5, "markeredgewidth": 0, "color": colour, "in_layout": False}
            axes.plot(*both.T, "o", label=label, **look)
        axes.set(xlabel=f"maximum of {name}", ylabel=f"next maximum of {name}", aspect="equal")
        if list(pairs) != [""]:
            drawing.legend(handles=axes.lines[1:], loc="outside upper left", ncols=4, markerscale=3)
    return drawing


def successive_maxima(values: Any) -> Array:
    """Find the height of every local maximum, in order, by a parabola through the sample and its two neighbours.

    Parameters
    ----------
    values : array-like, shape (time,)
        Plateaus, the two ends and the neighbours of values that are not finite are not maxima.

    Returns
    -------
    ndarray, shape (maxima,)

    Examples
    --------
    >>> successive_maxima(1 - (np.arange(9) - 3.3) ** 2).round(12)
    array([1.])
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"values has the shape {series.shape}, expected (time,) of one output.")
    before, at, after = series[:-2], series[1:-1], series[2:]
    top = np.isfinite(before) & np.isfinite(at) & np.isfinite(after) & (before < at) & (at > after)
    before, at, after = before[top], at[top], after[top]
    slope, curvature = (after - before) / 2, (at - before) + (at - after)
    heights: Array = at + slope * (slope / curvature) / 2
    return heights

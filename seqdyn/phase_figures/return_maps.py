"""Return maps: every maximum against the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.phase_figures.trajectories import Trajectories, colours, named_trajectories, one_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


def plot_return_map(y: Trajectories, *, output: int = 0, name: str = "y") -> Figure:
    """Every maximum of an output against the one before, all systems in one panel, with the diagonal.

    Where a flow contracts strongly this is a curve: a map of the line that generates the chaos. A point on the
    diagonal is a cycle, stable where the curve is less steep than 1.

    Parameters
    ----------
    y : array-like, shape (time,), (time, outputs) or (trajectories, time, outputs), or mapping of str to such
        One system, or several by name; sampled finely.
    output : int
        Which output.
    name : str
        Of the output.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no system has two maxima in a row, or there is no such output.

    References
    ----------
    Lorenz (1963), Deterministic nonperiodic flow, section 8.

    Examples
    --------
    >>> drawing = plot_return_map([0.0, 1.0, 0.0, 3.0, 0.0, 2.0, 0.0], name="z")
    >>> drawing.axes[0].lines[1].get_xydata().tolist()
    [[1.0, 3.0], [3.0, 2.0]]
    """
    import matplotlib

    pairs = {}
    for label, values in one_output(named_trajectories(y), output).items():
        peaks = [successive_maxima(one) for one in values]
        pairs[label] = np.concatenate([np.stack([one[:-1], one[1:]], axis=1) for one in peaks])
    found = np.concatenate(list(pairs.values()))
    if not len(found):
        raise ValueError(f"Output {output} has no two maxima in a row: it rests, or is too short to return.")
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
    """The height of every local maximum, in order, by the parabola through the sample and its two neighbours.

    Parameters
    ----------
    values : array-like, shape (time,)
        A plateau is no maximum, nor is an end; beside a value that is not finite there is none.

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

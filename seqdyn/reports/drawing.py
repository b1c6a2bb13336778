"""What the figures of reports share: numbers that may be infinite, axes of lags, legends and short names.

A norm of 0 has the logarithm −∞: a triangle at the lower edge marks it, and the line is interrupted there.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from seqdyn.arrays import Array
from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.reports.number_format import format_number
from seqdyn.reports.pointers import Content, look_up, matches

DrawPanel = Callable[[Axes, Content], str]
"""Draws one panel of a report, and returns a caption with its numbers."""

FIGURE_WIDTH = 5.2
"""In inches: so narrow that the letters stay readable on a telephone."""
FLAT = 4.0
"""An axis stays linear up to this ratio of the largest number to the smallest."""
CURVE_POINTS = 100
"""About how many points of a curve are drawn at most: the extremes of every part of it are kept."""
NAME_WIDTH = 22
"""How many letters of a name are shown."""

SEVERITY_COLOURS = {"PASS": "#00664B", "WARN": "#8A5A00", "FAIL": "#B3261E"}
"""The colour of a verdict, dark enough to be read on white."""


class ReportFigure(NamedTuple):
    """A figure of a report; calling it with a content returns the figure and its caption.

    needs    places of the content, at least one of which must be filled
    draw     draws the figure on axes, and returns its caption
    height   in inches
    rows     the place of the names that have a row of the figure each, 0.3 inches high; "" if there are none
    """

    name: str
    needs: tuple[str, ...]
    draw: DrawPanel
    height: float = 3.0
    rows: str = ""

    def drawable(self, content: Content) -> bool:
        """Whether there is something to draw."""
        return any(bool(value) for need in self.needs for _, value in matches(content, need))

    def __call__(self, content: Content) -> tuple[Figure, str]:
        """Return the figure and its caption; raises if nothing that it needs was computed."""
        if not self.drawable(content):
            where = " or ".join(self.needs)
            raise ValueError(f"There is nothing to draw: the report has nothing at {where}, since it was not computed.")
        height = self.height + 0.3 * len(look_up(content, self.rows) or ()) if self.rows else self.height
        drawn, axes = figure(width=FIGURE_WIDTH, height=height)
        with matplotlib.rc_context(STYLE):
            words = self.draw(axes, content)
        return drawn, words


def report_figure(
    *needs: str,
    title: str = "",
    x: str = "",
    y: str = "",
    zero: bool = False,
    columns: int = 2,
    height: float = 3.0,
    rows: str = "",
) -> Callable[[DrawPanel], ReportFigure]:
    """Turn a function that draws a panel into a figure, which gets the name of the function.

    The panel has a title, labels of the axes and, if asked for, a line at 0; the function may replace them. A legend
    with ``columns`` columns stands below.
    """

    def figure_of(draw: DrawPanel) -> ReportFigure:
        @wraps(draw)
        def panel(axes: Axes, content: Content) -> str:
            axes.set(title=title, xlabel=x, ylabel=y)
            if zero:
                axes.axhline(0.0, color=PALETTE["data"], linewidth=1.0)
            words = draw(axes, content)
            legend_below(axes, columns)
            return words

        return ReportFigure(draw.__name__, needs, panel, height, rows)

    return figure_of


def overview_figure(drawings: Sequence[ReportFigure], content: Content, lines: Sequence[str], severity: str) -> Figure:
    """Draw those figures that have something to show, two in a row, under lines in the colour of the severity."""
    there = [one for one in drawings if one.drawable(content)]
    rows, columns = max(1, (len(there) + 1) // 2), 1 if len(there) < 2 else 2
    drawing, axes = figure(rows, columns, width=11.0 if columns == 2 else 7.5, height=4.3 * rows + 0.9)
    panels = list(np.ravel(np.asarray(axes)))
    wrapped = [part for line in lines for part in textwrap.wrap(line.replace("`", ""), 120 if columns == 2 else 75)]
    with matplotlib.rc_context(STYLE):
        for panel, one in zip(panels, there, strict=False):
            one.draw(panel, content)
        for panel in panels[len(there) :]:
            panel.remove()
        colour = SEVERITY_COLOURS.get(severity, PALETTE["data"])
        drawing.suptitle(literal("\n".join(wrapped)), x=0.01, ha="left", fontsize=12.0, color=colour)
    return drawing


def numbers(values: Any) -> Array:
    """Values as floats; None becomes NaN."""
    return np.asarray(values, dtype=object).astype(np.float64)


def without_infinities(values: Array) -> Array:
    """The values, with NaN in place of infinities."""
    return np.where(np.isfinite(values), values, np.nan)


def curve(axes: Axes, places: Array, values: Array, limits: tuple[float, float] | None = None, **look: Any) -> None:
    """Draw a curve by all its points, or, if it is long, by its ends and the extremes of every part.

    If there are limits, a triangle at an edge marks an infinite value: a norm of 0, or one that overflows.
    """
    kept = _thinned(values)
    marker = "o" if len(places) < 3 else None
    axes.plot(places[kept], without_infinities(values)[kept], **({"marker": marker, "markersize": 4.0} | look))
    for beyond, triangle, edge in ((-np.inf, "v", 0), (np.inf, "^", 1)):
        if limits is not None and (chosen := values == beyond).any():
            edges = np.full(chosen.sum(), limits[edge])
            axes.plot(places[chosen], edges, triangle, color=look["color"], markersize=7.0, clip_on=False)


def limits_of(rows: Sequence[Any]) -> tuple[float, float]:
    """The range of all finite values and 0, with a margin."""
    values = np.concatenate([numbers(row).ravel() for row in rows])
    known = values[np.isfinite(values)]
    low, high = min(0.0, known.min(initial=0.0)), max(0.0, known.max(initial=0.0))
    margin = 0.06 * max(high - low, 0.5)
    return float(low - margin), float(high + margin)


def draw_band(
    axes: Axes, found: Mapping[str, Any], label: str, colour: str, limits: tuple[float, float], linestyle: str = "-"
) -> None:
    """Draw the median, the quartiles and 5 to 95 % of norms by lag; bands that reach −∞ end at the lower edge."""
    lags = numbers(found["lags"])
    quantiles = {name: numbers(values) for name, values in found["quantiles"].items()}
    kept = _thinned(quantiles["p50"], CURVE_POINTS // 2)
    for low, high, strength in (("p05", "p95", 0.13), ("p25", "p75", 0.25)):
        if linestyle == "-" and {low, high} <= set(quantiles):
            below, above = (np.clip(quantiles[name][kept], *limits) for name in (low, high))
            axes.fill_between(lags[kept], below, above, color=colour, alpha=strength, linewidth=0)
    marker = "o" if len(lags) < 30 else None
    look = {"color": colour, "linestyle": linestyle, "label": label, "marker": marker, "markersize": 3.0}
    curve(axes, lags, quantiles["p50"], limits, **look)


def draw_curves(axes: Axes, curves: Sequence[tuple[Any, str, str, str]], required: int) -> tuple[float, float]:
    """Draw norms by lag, each with its label, colour and line style, and the required lag; return the y limits."""
    limits = limits_of([values for found, *_ in curves for values in found["quantiles"].values()])
    for found, label, colour, line in curves:
        draw_band(axes, found, label, colour, limits, line)
    axes.axhline(0.0, color=PALETTE["data"], linewidth=0.8)
    mark(axes, f"required lag {required}", x=required)
    scale_by_lag(axes, max(required, *(max(found["lags"]) for found, *_ in curves)), limits)
    axes.set(title="Norms by lag", xlabel="lag, steps", ylabel="log10 of the norm")
    return limits


def mark(axes: Axes, label: str, x: float | None = None, y: float | None = None, linestyle: str = "--") -> None:
    """Draw a labelled vertical or horizontal line at a threshold."""
    look: dict[str, Any] = {"color": PALETTE["data"], "linestyle": linestyle, "linewidth": 1.2, "label": label}
    if x is not None:
        axes.axvline(x, **look)
    if y is not None:
        axes.axhline(y, **look)


def scale_by_lag(axes: Axes, last: float, limits: tuple[float, float]) -> None:
    """Scale the x axis by powers of two, so that the first lags, which matter most, have room."""
    axes.set_xscale("log", base=2)
    axes.set(xlim=(0.93, max(2.0, last) * 1.08), ylim=limits)
    powers = [2.0**power for power in range(int(np.log2(max(2.0, last))) + 1)]
    axes.xaxis.set_major_locator(FixedLocator(powers[:: 1 + len(powers) // 12]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda lag, _: f"{lag:.0f}"))


def scale_by_power(axes: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers, if the values span a large range."""
    low, high = axes.dataLim.intervaly
    if not (0 < low < math.inf and high > FLAT * low):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(float(value))))


def whole_steps(axes: Axes) -> None:
    """Put the ticks of the x axis at whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_map(axes: Axes, values: Array, limits: tuple[float, float], label: str, colours: str, **look: Any) -> None:
    """Draw a table of numbers as colours with a colour bar; NaN is grey, values beyond the limits are clipped."""
    beyond = int(np.isneginf(values).any()) + 2 * int(np.isposinf(values).any())
    shades = matplotlib.colormaps[colours].with_extremes(bad="#E6E6E6")
    limited = np.ma.masked_invalid(np.clip(values, *limits))
    image = axes.imshow(limited, cmap=shades, vmin=limits[0], vmax=limits[1], interpolation="none", **look)
    bar = _whole(axes).colorbar(image, ax=axes, extend=("neither", "min", "max", "both")[beyond], pad=0.02, shrink=0.9)
    bar.set_label(label, fontsize=STYLE["axes.labelsize"])
    bar.ax.tick_params(labelsize=STYLE["ytick.labelsize"], color=PALETTE["note"])
    bar.outline.set_visible(False)
    axes.grid(False)


def name_places(axes: Axes, labels: Sequence[Any], shift: float = 0.0) -> None:
    """Label every place of the x axis, or every second one if there are many."""
    axes.set_xticks(np.arange(len(labels)) + shift, [str(label) for label in labels])
    for place, label in enumerate(axes.get_xticklabels()):
        label.set_visible(len(labels) <= 11 or place % 2 == 0)


def legend_below(axes: Axes, columns: int) -> None:
    """Put the legend below the panel, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        below = ScaledTranslation(0.0, -0.48, _whole(axes).dpi_scale_trans)  # room for the labels of the axis
        placed: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, 0.0), "borderaxespad": 0.0}
        placed |= {"bbox_transform": axes.transAxes + below, "columnspacing": 1.4}
        axes.legend(ncols=columns, fontsize=9.0, handlelength=2.2, **placed)


def short(name: str) -> str:
    """A name with single spaces, and without its middle if it is long."""
    flat = " ".join(str(name).split())
    half = (NAME_WIDTH - 1) // 2
    return literal(flat if len(flat) <= NAME_WIDTH else f"{flat[:half]}…{flat[-half:]}")


def literal(text: str) -> str:
    """A text that matplotlib shows as it is, neither as mathematics nor hidden because of a leading underscore."""
    shown = text.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _thinned(values: Array, most: int = CURVE_POINTS) -> Array:
    if len(values) <= most:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), most // 2):
        known = stretch[np.isfinite(values[stretch])]
        kept |= {known[values[known].argmin()], known[values[known].argmax()]} if len(known) else {stretch[0]}
    return np.array(sorted(kept), dtype=np.intp)


def _whole(axes: Axes) -> Figure:
    """The figure of a panel."""
    return cast(Figure, axes.get_figure(root=True))

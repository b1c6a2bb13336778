"""What the figures of reports share: numbers that may be infinite, axes of lags, legends, and names that fit.

A norm of 0 has the logarithm −∞: a triangle at the lower edge marks it, and the line breaks off there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.reports.pointers import Content, look_up, matches
from seqdyn.reports.writing import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Draw = Callable[[Axes, Content], str]
"""Draws one panel from a report, and says in a sentence with its numbers what it shows."""

WIDTH = 5.2
"""Inches: narrow, so that the letters can still be read where a telephone shrinks the figure to its own width."""
FLAT = 4.0
"""The ratio of the largest number to the least up to which an axis stays linear."""
POINTS = 100
"""Points of a curve that are drawn, at most about: the extremes of every stretch stay."""
NAME_WIDTH = 22
"""Letters of a name that are shown."""


class Drawing(NamedTuple):
    """A figure of a report; a call gives it with its caption.

    Attributes
    ----------
    name : str
    needs : tuple of str
        Places of the report, one of which has to be filled.
    draw : callable
        Draws it on axes.
    height : float
        In inches.
    rows : str
        Where the names stand that have a row of it each, 0.3 inches higher; "" if none do.
    """

    name: str
    needs: tuple[str, ...]
    draw: Draw
    height: float = 3.0
    rows: str = ""

    def drawable(self, content: Content) -> bool:
        """Whether there is something to draw."""
        return any(bool(value) for need in self.needs for _, value in matches(content, need))

    def __call__(self, content: Content) -> tuple[Figure, str]:
        """The figure and its caption.

        Raises
        ------
        ValueError
            If what it needs was not computed.
        """
        if not self.drawable(content):
            where = " or ".join(self.needs)
            raise ValueError(f"The report has nothing at {where}: it was not computed, so there is nothing to draw.")
        height = self.height + 0.3 * len(look_up(content, self.rows) or ()) if self.rows else self.height
        drawn, axes = figure(width=WIDTH, height=height)
        with matplotlib.rc_context(STYLE):
            words = self.draw(axes, content)
        return drawn, words


def drawing(
    *needs: str,
    title: str = "",
    x: str = "",
    y: str = "",
    zero: bool = False,
    columns: int = 2,
    height: float = 3.0,
    rows: str = "",
) -> Callable[[Draw], Drawing]:
    """Make a figure of a function that draws a panel; it is named after the function.

    The panel comes with the title, the labels of the axes and, if asked for, a line at 0; the function may set others.
    A legend of so many columns stands below what has labels.
    """

    def figure_of(draw: Draw) -> Drawing:
        @wraps(draw)
        def panel(axes: Axes, content: Content) -> str:
            axes.set(title=title, xlabel=x, ylabel=y)
            if zero:
                axes.axhline(0.0, color=PALETTE["data"], linewidth=1.0)
            words = draw(axes, content)
            legend_below(axes, columns)
            return words

        return Drawing(draw.__name__, needs, panel, height, rows)

    return figure_of


def numbers(values: Any) -> Array:
    """Floats; None is NaN."""
    return np.asarray(values, dtype=object).astype(np.float64)


def finite(values: Array) -> Array:
    """NaN in place of infinities."""
    return np.where(np.isfinite(values), values, np.nan)


def curve(axes: Axes, places: Array, values: Array, limits: tuple[float, float] | None = None, **look: Any) -> None:
    """A curve of the points that draw it: all, or the least and the largest of every stretch, and the ends.

    Within limits a triangle at their edge marks what is infinite: a norm of 0, or one that overflows.
    """
    kept = _thinned(values)
    marker = "o" if len(places) < 3 else None
    axes.plot(places[kept], finite(values)[kept], **({"marker": marker, "markersize": 4.0} | look))
    for beyond, triangle, edge in ((-np.inf, "v", 0), (np.inf, "^", 1)):
        if limits is not None and (chosen := values == beyond).any():
            edges = np.full(chosen.sum(), limits[edge])
            axes.plot(places[chosen], edges, triangle, color=look["color"], markersize=7.0, clip_on=False)


def limits_of(rows: Sequence[Any]) -> tuple[float, float]:
    """From the least to the largest finite value and 0, with a margin."""
    values = np.concatenate([numbers(row).ravel() for row in rows])
    known = values[np.isfinite(values)]
    low, high = min(0.0, known.min(initial=0.0)), max(0.0, known.max(initial=0.0))
    margin = 0.06 * max(high - low, 0.5)
    return float(low - margin), float(high + margin)


def draw_band(
    axes: Axes, found: Mapping[str, Any], label: str, colour: str, limits: tuple[float, float], linestyle: str = "-"
) -> None:
    """Median, quartiles and 5 to 95 % of norms by lag; bands that reach −∞ go to the lower edge."""
    lags = numbers(found["lags"])
    quantiles = {name: numbers(values) for name, values in found["quantiles"].items()}
    kept = _thinned(quantiles["p50"], POINTS // 2)
    for low, high, strength in (("p05", "p95", 0.13), ("p25", "p75", 0.25)):
        if linestyle == "-" and {low, high} <= set(quantiles):
            below, above = (np.clip(quantiles[name][kept], *limits) for name in (low, high))
            axes.fill_between(lags[kept], below, above, color=colour, alpha=strength, linewidth=0)
    marker = "o" if len(lags) < 30 else None
    look = {"color": colour, "linestyle": linestyle, "label": label, "marker": marker, "markersize": 3.0}
    curve(axes, lags, quantiles["p50"], limits, **look)


def draw_curves(axes: Axes, curves: Sequence[tuple[Any, str, str, str]], required: int) -> tuple[float, float]:
    """Norms by lag, each with its label, colour and line, and the required lag; the limits of the y axis come back."""
    limits = limits_of([values for found, *_ in curves for values in found["quantiles"].values()])
    for found, label, colour, line in curves:
        draw_band(axes, found, label, colour, limits, line)
    axes.axhline(0.0, color=PALETTE["data"], linewidth=0.8)
    mark(axes, f"required lag {required}", x=required)
    scale_by_lag(axes, max(required, *(max(found["lags"]) for found, *_ in curves)), limits)
    axes.set(title="Norms by lag", xlabel="lag, steps", ylabel="log10 of the norm")
    return limits


def mark(axes: Axes, label: str, x: float | None = None, y: float | None = None, linestyle: str = "--") -> None:
    """A line at a number that something is held against, upright or level."""
    look: dict[str, Any] = {"color": PALETTE["data"], "linestyle": linestyle, "linewidth": 1.2, "label": label}
    if x is not None:
        axes.axvline(x, **look)
    if y is not None:
        axes.axhline(y, **look)


def scale_by_lag(axes: Axes, last: float, limits: tuple[float, float]) -> None:
    """Lags by powers of two, where the first steps, which matter most, have room."""
    axes.set_xscale("log", base=2)
    axes.set(xlim=(0.93, max(2.0, last) * 1.08), ylim=limits)
    powers = [2.0**power for power in range(int(np.log2(max(2.0, last))) + 1)]
    axes.xaxis.set_major_locator(FixedLocator(powers[:: 1 + len(powers) // 12]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda lag, _: f"{lag:.0f}"))


def scale_by_power(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers, where the numbers span more than it takes to see them side by side."""
    low, high = axes.dataLim.intervaly
    if not (0 < low < math.inf and high > FLAT * low):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(float(value))))


def whole_steps(axes: Axes) -> None:
    """Ticks at whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_map(axes: Axes, values: Array, limits: tuple[float, float], label: str, colours: str, **look: Any) -> None:
    """A table of numbers as colours, with a bar beside it; grey is no number, an end of the bar what lies beyond it."""
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
    """A label for every place of the x axis; every second one where there are many."""
    axes.set_xticks(np.arange(len(labels)) + shift, [str(label) for label in labels])
    for place, label in enumerate(axes.get_xticklabels()):
        label.set_visible(len(labels) <= 11 or place % 2 == 0)


def legend_below(axes: Axes, columns: int) -> None:
    """Below the panel, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        below = ScaledTranslation(0.0, -0.48, _whole(axes).dpi_scale_trans)  # room for the labels of the axis
        placed: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, 0.0), "borderaxespad": 0.0}
        placed |= {"bbox_transform": axes.transAxes + below, "columnspacing": 1.4}
        axes.legend(ncols=columns, fontsize=9.0, handlelength=2.2, **placed)


def short(name: str) -> str:
    """A name that fits: whitespace is one space, the middle of a long one is left out."""
    flat = " ".join(str(name).split())
    half = (NAME_WIDTH - 1) // 2
    return literal(flat if len(flat) <= NAME_WIDTH else f"{flat[:half]}…{flat[-half:]}")


def literal(text: str) -> str:
    """A text that matplotlib neither reads as mathematics nor hides."""
    shown = text.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _thinned(values: Array, most: int = POINTS) -> Array:
    if len(values) <= most:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), most // 2):
        known = stretch[np.isfinite(values[stretch])]
        kept |= {known[values[known].argmin()], known[values[known].argmax()]} if len(known) else {stretch[0]}
    return np.array(sorted(kept), dtype=np.intp)


def _whole(axes: Axes) -> Figure:
    """The figure of a panel."""
    return cast("Figure", axes.get_figure(root=True))

"""Figures of comparisons: errors against the horizon with the two best free runs, and fitted models on a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.figures import MODELS, PALETTE, STYLE, figure
from seqdyn.forecasting.figures import LEADER, spread_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seqdyn.reports.comparison import Comparison
    from seqdyn.reports.model_fits import ModelFits

TALLEST = 4.0
"""Models with an error of this many times the median are beyond the upper edge, and get a label there."""

LABEL_DISTANCE = 0.06
"""The smallest distance of two labels, as a share of the height of the axes."""

OVERSHOOT = 0.5
"""A panel shows the measured range and this share of it above and below; runs beyond that are cut."""


def plot_comparison(comparison: Comparison, output: Any = None) -> Figure:
    """Draw the figure of :meth:`~seqdyn.reports.comparison.Comparison.plot`: errors left, free runs right."""
    outputs = comparison.split.outputs
    chosen = outputs[0] if output is None else str(output)
    if chosen not in outputs:
        raise ValueError(f"output must be one of {outputs}, got {output!r}.")
    drawing, (left, right) = figure(columns=2, width=11.5, height=4.2)
    left.get_gridspec().set_width_ratios([1.0, 1.45])
    with matplotlib.rc_context(STYLE):
        looks = _model_looks(comparison)
        _draw_error_curves(left, comparison, looks)
        _draw_free_runs(right, comparison, chosen, looks)
    return drawing


def _model_looks(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """The colour of every model, in order; grey dashes for a reference."""
    models = [name for name, run in comparison.runs.items() if run.kind in ("linear", "nonlinear")]
    looks: dict[str, dict[str, Any]] = {
        name: {"color": MODELS[number % len(MODELS)], "linestyle": "-"} for number, name in enumerate(models)
    }
    references = [name for name, run in comparison.runs.items() if run.kind == "reference"]
    return looks | {name: {"color": PALETTE["baseline"], "linestyle": "--"} for name in references}


def _draw_error_curves(axes: Axes, comparison: Comparison, looks: dict[str, dict[str, Any]]) -> None:
    """Draw a line for every model, and a dot for its free run, with the name beside it."""
    horizons = np.array(comparison.split.horizons, dtype=np.float64)
    edge = horizons[-1] * max(2.0, (horizons[-1] / horizons[0]) ** 0.25)
    ends = {}
    for name, look in looks.items():
        line = np.array([comparison.error(name, int(k)) for k in horizons])
        end = comparison.error(name)
        axes.plot(horizons, line, marker="o", markersize=3.5, **look)
        axes.plot([horizons[-1], edge], [line[-1], end], **(look | {"linestyle": ":", "linewidth": 1.0}))
        axes.plot(edge, end, marker="D", markersize=5.0, color=look["color"])
        ends[name] = end
    finite = np.array([end for end in ends.values() if np.isfinite(end)])
    lines = [comparison.error(name, int(k)) for name in ends for k in horizons]
    inside = [value for value in (*lines, *finite) if np.isfinite(value) and value <= TALLEST * np.median(finite)]
    top = 1.08 * max(inside, default=1.0)
    axes.set(xscale="log", xlim=(0.85 * horizons[0], 1.12 * edge), ylim=(0.0, top))
    axes.set_xticks([*horizons, edge], [*(f"{k:.0f}" for k in horizons), "free\nrun"])
    axes.minorticks_off()
    unit = "RMSE" if len(comparison.split.outputs) == 1 else "RMSE, standard deviations"
    axes.set(title="Error against the horizon", xlabel="steps ahead", ylabel=unit)
    _label_free_runs(axes, ends, looks, edge)


def _label_free_runs(axes: Axes, ends: dict[str, float], looks: dict[str, dict[str, Any]], edge: float) -> None:
    """Put the names to the right, as close to the free runs as possible; names beyond the edge get their number."""
    top = axes.get_ylim()[1]
    height = {name: min(end / top, 1.0) if np.isfinite(end) else 1.0 for name, end in ends.items()}
    names = sorted(height, key=lambda name: height[name])
    places = spread_out(np.array([height[name] for name in names]), LABEL_DISTANCE)
    for name, place in zip(names, places - max(0.0, places[-1] - 1.0), strict=True):
        beyond = not ends[name] <= top
        axes.annotate(
            f"{name} ({ends[name]:.3g}) ↑" if beyond else name,
            xy=(edge, height[name] * top),
            xytext=(1.03, place),
            textcoords=axes.transAxes,
            color=looks[name]["color"],
            va="center",
            fontsize=9.0,
            annotation_clip=False,
            arrowprops=None if beyond else LEADER,
        )


def _draw_free_runs(axes: Axes, comparison: Comparison, output: str, looks: dict[str, dict[str, Any]]) -> None:
    """Draw the scored rows of the first record: measured, and the free runs of the best linear and nonlinear model."""
    runs = comparison.free_runs.xs(output, axis=1, level="output")
    first = runs[comparison.split.series == 0]
    times = _row_times(first.index)
    axes.plot(times, first["measured"].to_numpy(), color=PALETTE["data"], linewidth=1.2, label="measured")
    for kind in ("linear", "nonlinear"):
        name = comparison.best(kind)
        if name is not None:
            label = f"{name} (RMSE {comparison.error(name):.3g})"
            axes.plot(times, first[name].to_numpy(), label=label, linewidth=1.3, color=looks[name]["color"])
    where = "" if len(comparison.split.records) == 1 else ", first record"
    axes.set_title(f"Free run over the test part{where}", pad=24)
    axes.set(ylabel=output if len(comparison.split.outputs) > 1 else "")
    axes.margins(x=0.01)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.1, fontsize=9.0, handlelength=1.4)


def plot_model_fits(fits: ModelFits, record: int = 0) -> Figure:
    """Draw the figure of :meth:`~seqdyn.reports.model_fits.ModelFits.plot`, one panel for every output."""
    if not 0 <= record < len(fits.records):
        raise ValueError(f"record must be from 0 to {len(fits.records) - 1}, got {record!r}.")
    lengths = [len(one.y) for one in fits.records]
    rows = slice(sum(lengths[:record]), sum(lengths[: record + 1]))
    times, first = _row_times(fits.labels[rows]), fits.records[record].first
    count = len(fits.outputs)
    drawing, panels = figure(rows=count, width=9.0, height=1.2 + 2.6 * count, sharex=True)
    with matplotlib.rc_context(STYLE):
        for column, axes in enumerate(np.atleast_1d(panels)):
            axes.axvspan(times[0], times[first], color=PALETTE["plain"], zorder=0)
            axes.plot(times, fits.measured[rows, column], color=PALETTE["data"], linewidth=2.2, label="measured")
            for number, (name, predicted) in enumerate(fits.predictions.items()):
                share = fits.table["FIT %"][name, fits.outputs[column]]
                label, colour = f"{name}: {share:.1f} %", MODELS[number % len(MODELS)]
                axes.plot(times, predicted[rows, column], color=colour, linewidth=1.2, label=label)
            _finish_panel(axes, fits.measured[rows, column], fits.outputs[column])
        top, bottom = np.atleast_1d(panels)[[0, -1]]
        top.set_title(_fits_title(fits, record), loc="left")
        bottom.set_xlabel(_time_label(times))
    return drawing


def _finish_panel(axes: Axes, measured: Array, output: str) -> None:
    """Set the range, the name of the output and the legend of a panel."""
    low, high = np.nanmin(measured), np.nanmax(measured)
    room = OVERSHOOT * max(high - low, 1e-12 * max(1.0, abs(high)))
    limits = axes.get_ylim()
    axes.set_ylim(max(limits[0], low - room), min(limits[1], high + room))
    axes.set_ylabel(output)
    axes.margins(x=0.0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.4, fontsize=9.0, handlelength=1.4)


def _fits_title(fits: ModelFits, record: int) -> str:
    which = f", record {record}" if len(fits.records) > 1 else ""
    return f"{fits.kind.capitalize()}{which}: FIT of every model; grey rows are for the start"


def _row_times(labels: pd.Index) -> pd.Index:
    """The times of rows; a period is at its beginning."""
    times = labels.get_level_values(-1) if isinstance(labels, pd.MultiIndex) else labels
    return times.to_timestamp() if isinstance(times, pd.PeriodIndex) else times


def _time_label(times: pd.Index) -> str:
    """The label of the time axis: none for dates, "time, in steps" for row numbers, else the name of the times."""
    if isinstance(times, pd.DatetimeIndex):
        return ""
    counted = pd.api.types.is_integer_dtype(times) and times.name in (None, "time")
    return "time, in steps" if counted else str(times.name or "time")

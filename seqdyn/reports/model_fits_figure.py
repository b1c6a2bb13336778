"""The figure of fitted models on a record, with one panel for every output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.figures import MODELS, PALETTE, STYLE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seqdyn.reports.model_fits import ModelFits


OVERSHOOT = 0.5
"""A panel shows the measured range and this share of it above and below; runs beyond that are cut."""


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

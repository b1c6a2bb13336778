"""The two pictures of `seqdyn demo`: forecasts beside what came and ahead of the data, and the training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.image import imsave
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from seqdyn.arrays import Array
from seqdyn.cli.demo_cases import LEVELS, UNTRAINED, Case, Outcome
from seqdyn.figures import STYLE, figure, plot_history
from seqdyn.forecasting.figures import plot_backtest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WIDTH, DPI = 11.0, 120
"""Of every picture: inches, and pixels an inch."""


def draw_forecasts(path: Path, outcomes: Sequence[Outcome]) -> None:
    """One row a case with its backtest; below them, two in a row, what each forecasts after the last row."""
    tests = [[_test(outcome)] for outcome in outcomes]
    fans = [_fan(outcome, WIDTH / 2) for outcome in outcomes]
    _write_figure(path, [*tests, *(fans[place : place + 2] for place in range(0, len(fans), 2))])


def draw_training(path: Path, outcomes: Sequence[Outcome]) -> None:
    """One row a case: its loss, and the norm of its gradient; or a word where no epoch was kept."""
    _write_figure(path, [[_training(outcome) if outcome.epochs else _untrained(outcome)] for outcome in outcomes])


def _test(outcome: Outcome) -> Figure:
    """Forecasts that do not overlap, and the errors of all forecasts by step."""
    case, test = outcome.case, outcome.test
    own = test.frame["model"] == "model"
    cutoffs = np.sort(test.frame.loc[own, "cutoff"].unique())
    apart = cutoffs[::-1][:: -(-case.horizon // case.step)]
    frame = test.frame[test.frame["cutoff"].isin(apart)].replace({"model": {"model": "GRU"}})
    drawing = plot_backtest(frame, test.metrics("step").rename(index={"model": "GRU"}, level="model"), case.shown)
    left, right = drawing.axes
    _entitle(left, f"{_subject(case)}: {case.horizon} {case.period}s ahead, {len(apart)} of {case.windows} origins")
    left.set_ylabel(case.unit)
    right.set_xlabel(f"{case.period}s")
    drawing.set_size_inches(WIDTH, 3.5)
    return drawing


def _fan(outcome: Outcome, width: float) -> Figure:
    """The forecast after the last row."""
    case = outcome.case
    drawing = outcome.model.plot(case.horizon, level=LEVELS, series=case.shown)
    axes = drawing.axes[0]
    _entitle(axes, f"{_subject(case)} after {case.label(case.data.index[-1])}")
    axes.set_ylabel(case.unit)
    if isinstance(case.data.index, pd.DatetimeIndex):
        dates = AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(dates)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
    drawing.legends.clear()
    with matplotlib.rc_context(STYLE):
        drawing.legend(loc="outside upper right", ncols=4, columnspacing=0.9, handlelength=1.0, fontsize=8.5)
    drawing.set_size_inches(width, 3.2)
    return drawing


def _training(outcome: Outcome) -> Figure:
    drawing = plot_history(outcome.model.estimator_.history_)
    _entitle(drawing.axes[0], f"{outcome.case.title}: loss")
    for axes in drawing.axes:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    drawing.set_size_inches(WIDTH, 2.9)
    return drawing


def _untrained(outcome: Outcome) -> Figure:
    """What stands in the place of an empty figure."""
    drawing, axes = figure(width=WIDTH, height=0.6)
    axes.set_axis_off()
    _entitle(axes, f"{outcome.case.title}: {UNTRAINED}")
    return drawing


def _subject(case: Case) -> str:
    return case.title if case.shown is None else case.shown


def _entitle(axes: Axes, title: str) -> None:
    """Another title in the place of the old one."""
    axes.set_title(title, loc="left", fontsize=STYLE["axes.titlesize"])


def _write_figure(path: Path, rows: Sequence[Sequence[Figure]]) -> None:
    """Figures in rows, as one PNG."""
    lines = [np.hstack([_pixels(drawing) for drawing in row]) for row in rows]
    width = max(line.shape[1] for line in lines)
    page = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    imsave(path, np.vstack(page), dpi=DPI, pil_kwargs={"optimize": True})


def _pixels(drawing: Figure) -> Array:
    """A figure as an image, (height, width, 3)."""
    drawing.set_dpi(DPI)
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()

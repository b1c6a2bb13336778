"""The two figures of `seqdyn demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.lines import Line2D

from seqdyn.cli.experiment import RECURRENT, Problem, Result, digits
from seqdyn.figures import MODELS, PALETTE, STYLE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Solved = list[tuple[Problem, list[Result]]]

COLOURS = {
    "moving average": MODELS[4],
    "linear state space": MODELS[5],
    "Elman network": MODELS[2],
    "LSTM": MODELS[3],
    "GRU": MODELS[0],
}
"""One colour a model, the same in both figures; baselines are grey."""

RUN = MODELS[1]


def forecasts(solved: Solved) -> Figure:
    """Left: the test part, and what the best recurrent network says of it. Right: the errors of all models."""
    with matplotlib.rc_context(STYLE):
        drawing, axes = figure(len(solved), 3, width=12.0, height=3.2 * len(solved) + 0.4)
        axes[0, 0].get_gridspec().set_width_ratios([5, 1.5, 1.5])
        for (problem, results), (series, one_step, free_run) in zip(solved, axes, strict=True):
            _draw_series(series, problem, results)
            _draw_errors(one_step, problem, results, "one_step_error")
            _draw_errors(free_run, problem, results, "free_run_error")
            free_run.set_yticklabels([])
        axes[0, 1].set_title("RMSE, one step")
        axes[0, 2].set_title("RMSE, free run")
        handles = [
            Line2D([], [], color=PALETTE["data"], linewidth=1.2, label="actual"),
            _dot(MODELS[0], 5.0, "one step ahead"),
            Line2D([], [], color=RUN, marker="o", markersize=4, markevery=[0], label="free run of one cycle, from •"),
        ]
        drawing.legend(
            handles=handles, loc="outside upper left", ncols=len(handles), columnspacing=1.2, handlelength=1.6
        )
    return drawing


def training(solved: Solved) -> Figure:
    """Loss and gradient norm of every model that was trained by gradient, by epoch."""
    with matplotlib.rc_context(STYLE):
        drawing, axes = figure(len(solved), 2, width=10.0, height=2.8 * len(solved) + 0.4)
        for (problem, results), (left, right) in zip(solved, axes, strict=True):
            right.axhline(1.0, color=PALETTE["note"], linestyle="--", linewidth=1.2)
            for result in results:
                if hasattr(result.estimator, "history_"):
                    _draw_history(left, right, result.estimator.history_, COLOURS[result.model])
            left.set(title=f"{problem.title}: loss", yscale="log")
            right.set(title="Gradient norm", yscale="log")
        for one in axes[-1]:
            one.set_xlabel("epoch")
        trained = [result.model for result in solved[0][1] if hasattr(result.estimator, "history_")]
        handles = [
            *(Line2D([], [], color=COLOURS[model], label=model) for model in trained),
            Line2D([], [], color=PALETTE["data"], linestyle=":", label="validation"),
            _dot(PALETTE["data"], 10.0, "weights kept"),
            Line2D([], [], color=PALETTE["note"], linestyle="--", label="clipped above"),
        ]
        drawing.legend(
            handles=handles, loc="outside upper left", ncols=len(handles), columnspacing=1.2, handlelength=1.6
        )
    return drawing


def _draw_series(axes: Axes, problem: Problem, results: list[Result]) -> None:
    """The test part, what was said of it one step before, and free runs laid end to end."""
    best = min((result for result in results if result.model in RECURRENT), key=lambda result: result.free_run_error)
    cut, cycle = problem.cut, problem.cycle
    times, values = problem.values.index, problem.values.to_numpy()
    axes.plot(times[cut - 2 * cycle :], values[cut - 2 * cycle :], color=PALETTE["data"], linewidth=1.2)
    for begin in range(0, len(best.runs), cycle):
        run = best.runs[begin][: len(best.runs) - begin]
        path = [values[cut + begin - 1], *run]
        axes.plot(times[cut + begin - 1 :][: len(path)], path, "o-", color=RUN, markersize=4, markevery=[0])
    axes.plot(times[cut:], best.one_step, ".", color=MODELS[0], markersize=5)
    axes.axvline(times[cut], color=PALETTE["note"], linestyle=":", linewidth=1.2)
    for label, side in (("fit ", "right"), (" test", "left")):
        at: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": side, "va": "top"}
        axes.text(times[cut], 1.0, label, color=PALETTE["note"], **at)
    axes.set(title=f"{problem.title}: {best.model}", ylabel=problem.unit)
    axes.margins(x=0.01)


def _draw_errors(axes: Axes, problem: Problem, results: list[Result], error: str) -> None:
    """The error of every model as a bar."""
    errors = {result.model: getattr(result, error) for result in results}
    colours = [COLOURS.get(name, PALETTE["baseline"]) for name in errors]
    bars = axes.barh(list(errors), list(errors.values()), color=colours, height=0.7)
    axes.bar_label(bars, [f"{value:.{digits(results)}f}" for value in errors.values()], padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel(problem.unit)
    axes.margins(x=0.32)


def _draw_history(left: Axes, right: Axes, history: Any, colour: str) -> None:
    """One training: the loss, the validation loss and its best epoch, and the gradient."""
    left.plot(history["epoch"], history["loss"], color=colour)
    left.plot(history["epoch"], history["validation_loss"], color=colour, linestyle=":")
    best = history.loc[history["validation_loss"].idxmin()]
    left.plot(best["epoch"], best["validation_loss"], "o", color=colour, markersize=5)
    right.plot(history["epoch"], history["gradient_norm"], color=colour)


def _dot(colour: str, size: float, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=".", markersize=size, linestyle="none", label=label)

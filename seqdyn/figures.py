"""One plot style, and figures of what happens in time: a training, and forecasts beside what happened.

Figures are matplotlib ``Figure`` objects made without pyplot: nothing global changes and no window opens.
``figure.savefig(path)`` writes them; a notebook shows them after ``%matplotlib inline``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MODELS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""The colours of models, in order: the palette of Okabe and Ito, which colour-blind people can distinguish."""

PALETTE: dict[str, str] = {
    "data": "#222222",
    "baseline": "#7A7A7A",
    "note": "#5A5A5A",
    "grid": "#E3E3E3",
    "memory": "#DCEAF5",
    "plain": "#F3F3F3",
    **{f"model {number}": colour for number, colour in enumerate(MODELS, start=1)},
}
"""Colours by their role."""

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": PALETTE["note"],
    "axes.grid": True,
    "axes.labelcolor": PALETTE["data"],
    "axes.labelsize": 10.0,
    "axes.prop_cycle": f"cycler('color', {list(MODELS)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.0,
    "date.converter": "concise",
    "figure.dpi": 120.0,
    "figure.facecolor": "white",
    "font.family": ["sans-serif"],
    "font.size": 10.0,
    "grid.color": PALETTE["grid"],
    "grid.linewidth": 0.8,
    "legend.fontsize": 10.0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "mathtext.fontset": "dejavusans",
    "text.color": PALETTE["data"],
    "text.usetex": False,
    "xtick.color": PALETTE["note"],
    "xtick.labelcolor": PALETTE["data"],
    "xtick.labelsize": 9.0,
    "ytick.color": PALETTE["note"],
    "ytick.labelcolor": PALETTE["data"],
    "ytick.labelsize": 9.0,
}
"""The settings of matplotlib for every figure of the library: ``with matplotlib.rc_context(STYLE): …``."""


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float | None = None, sharex: bool = False
) -> tuple[Figure, Any]:
    """Make an empty figure in the style of the library.

    Parameters
    ----------
    rows, columns : int
        How many rows and columns of axes.
    width, height : float
        In inches; a height of None is 2.8 for every row.
    sharex : bool
        Whether all axes share one x axis.

    Returns
    -------
    Figure, axes
        One ``Axes``, or an array of them, as ``matplotlib.figure.Figure.subplots`` gives.

    Examples
    --------
    >>> drawing, (above, below) = figure(rows=2)
    >>> _ = above.plot([1, 4, 9])
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(width, 2.8 * rows if height is None else height), layout="constrained")
        axes = drawing.subplots(rows, columns, sharex=sharex)
        for one in np.ravel(np.asarray(axes)):
            for axis in ("x", "y"):  # matplotlib makes further ticks when it draws, with the settings of that time
                one.tick_params(
                    axis=axis,
                    color=STYLE[f"{axis}tick.color"],
                    labelcolor=STYLE[f"{axis}tick.labelcolor"],
                    labelsize=STYLE[f"{axis}tick.labelsize"],
                )
            one.grid(True, color=STYLE["grid.color"], linewidth=STYLE["grid.linewidth"])
    return drawing, axes


def plot_history(history: Mapping[str, Any]) -> Figure:
    """Draw a training: the loss and the gradient norm before clipping, by epoch.

    Parameters
    ----------
    history : mapping or DataFrame
        It must have ``loss`` and ``gradient_norm``, and may have ``epoch``, ``validation_loss`` and
        ``clip_coefficient`` (the factor of the gradient; epochs with a factor below 1 are marked). The scales are
        logarithmic if all values are positive.

    Returns
    -------
    Figure

    Examples
    --------
    >>> history = {"loss": [1.0, 0.1, 0.02], "gradient_norm": [9.0, 2.0, 0.4], "clip_coefficient": [0.1, 0.5, 1.0]}
    >>> drawing = plot_history(history)
    >>> [axes.get_yscale() for axes in drawing.axes]
    ['log', 'log']
    """
    import matplotlib

    columns = {str(name): np.asarray(history[name]) for name in history}
    missing = [name for name in ("loss", "gradient_norm") if name not in columns]
    if missing:
        raise ValueError(f"history has no column {' and no '.join(map(repr, missing))}: it has {list(columns)}.")
    values = {name: np.asarray(columns[name], dtype=float) for name in columns if name in _HISTORY}
    epoch = values.get("epoch", np.arange(1.0, len(values["loss"]) + 1))
    validation = values.get("validation_loss", np.full(len(epoch), np.nan))
    clipped = values.get("clip_coefficient", np.ones(len(epoch))) < 1
    drawing, (left, right) = figure(columns=2, width=9.0, height=3.2)
    with matplotlib.rc_context(STYLE):
        marker = "o" if len(epoch) < 3 else None
        left.plot(epoch, values["loss"], color=PALETTE["model 1"], label="training", marker=marker)
        if np.isfinite(validation).any():
            left.plot(epoch, validation, color=PALETTE["model 2"], label="validation", marker=marker)
            left.legend()
        right.plot(epoch, values["gradient_norm"], color=PALETTE["model 1"], marker=marker)
        if clipped.any():
            at = epoch[clipped], values["gradient_norm"][clipped]
            right.plot(*at, ".", color=PALETTE["model 2"], label=f"clipped ({clipped.sum()} of {len(epoch)})")
            right.legend()
        left.set(title="Loss", xlabel="epoch")
        right.set(title="Gradient norm, before clipping", xlabel="epoch")
        _logarithmic(left, values["loss"], validation)
        _logarithmic(right, values["gradient_norm"])
    return drawing


def plot_forecast(
    times: Any, actual: Any, predictions: Mapping[str, Any], split: Any = None, baseline: Any = None, unit: str = ""
) -> Figure:
    """Draw the data, and a line with the predictions of every model.

    Parameters
    ----------
    times : array-like, shape (time,)
        Numbers or dates.
    actual : array-like, shape (time,)
        The data; NaN if a value is not known.
    predictions : mapping of str to array-like, shape (time,)
        By the name of the model; NaN if it has no prediction.
    split : number or date, optional
        The first time of the test data, marked by a line with "fit" before it and "test" after it.
    baseline : array-like, shape (time,), optional
        The predictions of a baseline that models should beat.
    unit : str
        The unit of the values.

    Returns
    -------
    Figure

    Examples
    --------
    >>> drawing = plot_forecast(range(4), [1, 2, 3, 4], {"GRU": [1, 2, 3, 3.9]}, split=3, unit="°C")
    >>> drawing.axes[0].get_ylabel()
    '°C'
    """
    import matplotlib

    times = np.asarray(times)
    others = {"actual": actual, **predictions, **({} if baseline is None else {"baseline": baseline})}
    series = {name: _series(name, values, times) for name, values in others.items()}
    drawing, axes = figure(width=9.0, height=3.4)
    with matplotlib.rc_context(STYLE):
        axes.plot(times, series["actual"], color=PALETTE["data"], label="actual", linewidth=1.2)
        if baseline is not None:
            axes.plot(times, series["baseline"], color=PALETTE["baseline"], linestyle="--", label="baseline")
        for index, name in enumerate(predictions):
            axes.plot(times, series[name], color=MODELS[index % len(MODELS)], label=name)
        axes.set(ylabel=unit)
        axes.margins(x=0.01)
        if split is not None:
            _mark_split(axes, np.asarray(split, dtype=times.dtype)[()])
        drawing.legend(loc="outside upper left", ncols=min(len(series), 5))
    return drawing


_HISTORY = ("epoch", "loss", "validation_loss", "gradient_norm", "clip_coefficient")


def _logarithmic(axes: Axes, *series: Array) -> None:
    """Make the y axis logarithmic if all values are positive."""
    finite = np.concatenate([values[np.isfinite(values)] for values in series])
    if len(finite) and finite.min() > 0:
        axes.set_yscale("log")


def _series(name: str, values: Any, times: Array) -> Array:
    values = np.asarray(values, dtype=float)
    if values.shape != times.shape or values.ndim != 1:
        raise ValueError(
            f"{name!r} has shape {values.shape} and times {times.shape}: both must be (time,), one value for every "
            "time. Use NaN for missing values."
        )
    return values


def _mark_split(axes: Axes, split: Any) -> None:
    axes.axvline(split, color=PALETTE["note"], linestyle=":", linewidth=1.2)
    above: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "va": "bottom"}
    for label, offset, ha in (("fit", -5, "right"), ("test", 5, "left")):
        axes.annotate(label, (axes.convert_xunits(split), 1.0), (offset, 0), ha=ha, color=PALETTE["note"], **above)

"""The figures of forecasts: a fan ahead of a series, and a backtest beside what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from sklearn.isotonic import isotonic_regression

from seqdyn.arrays import Array
from seqdyn.figures import MODELS, PALETTE, STYLE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


TINTS = (0.16, 0.32, 0.48)
"""How much of the colour of the line the bands have, from the widest on."""

OTHERS = ("#C8C8C8", 1.0, 2)
"""Colour, width and order of the lines of baselines that have no name in the figure."""

NAIVE = ("seasonal_naive", "naive")
"""The forecast everybody has, of which the first that was run is named in the figure."""

HEADROOM = 1.15
"""How far the axis of errors reaches beyond the lines that have a name."""

LEADER = {"arrowstyle": "-", "color": "#BDBDBD", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 2, "relpos": (0.0, 0.5)}
"""From a label to the end of its line."""

FROM_ORIGIN: dict[str, Any] = {"linewidth": 1.4, "zorder": 3, "marker": "o", "markersize": 3.5, "markevery": [0]}
"""A forecast of a backtest, with a dot where it begins."""

LINE = 0.055
"""The least distance of two labels, as a share of the height of the axes."""


def plot_fan(
    times: Any,
    actual: Any,
    ahead: Any,
    mean: Any,
    quantiles: Mapping[float, Any] | None = None,
    *,
    title: str = "",
    unit: str = "",
) -> Figure:
    """The end of a series, its forecast, and the bands around it.

    Parameters
    ----------
    times : Index or array, shape (time,)
        Dates, periods or numbers.
    actual : array, shape (time,)
        What is known; NaN where it is missing.
    ahead : Index or array, shape (horizon,)
    mean : array, shape (horizon,)
        The point forecast.
    quantiles : mapping of float in (0, 1) to array, shape (horizon,), optional
        Every pair q and 1 − q becomes a band; others become lines.
    title, unit : str
        What is written above it, and beside the values.

    Examples
    --------
    >>> drawing = plot_fan(range(3), [1.0, 2.0, 3.0], [3, 4], [4.0, 5.0], {0.1: [3.5, 4.2], 0.9: [4.5, 5.8]})
    >>> drawing.axes[0].get_legend_handles_labels()[1]
    ['actual', 'forecast', '80 % interval']
    """
    known, later = _column("actual", actual, times), _column("mean", mean, ahead)
    spread = {q: _column(f"quantiles[{q:g}]", values, ahead) for q, values in (quantiles or {}).items()}
    drawing, axes = figure(width=9.0, height=3.6)
    with matplotlib.rc_context(STYLE):
        start = known[-1:].dropna()  # a forecast goes on from the last value, if that is known
        _draw_actual(axes, known)
        axes.plot(_joined_path(start, later), color=MODELS[0], label="forecast", zorder=3)
        _draw_bands(axes, {q: _joined_path(start, values) for q, values in spread.items()})
        if len(known):
            axes.axvline(known.index[-1], color=PALETTE["note"], linestyle=":", linewidth=1.0)
        axes.set(title=title, ylabel=unit)
        axes.margins(x=0.01)
        drawing.legend(loc="outside upper right", ncols=5, columnspacing=1.4, handlelength=1.6)
    return drawing


def plot_backtest(frame: pd.DataFrame, by_step: pd.DataFrame, series: Any = None, *, unit: str = "") -> Figure:
    """Left: one series and its forecasts from the origins. Right: the error of every model by step.

    ``frame`` is that of a :class:`~seqdyn.forecasting.backtest.Backtest`, whose first model is the one examined, and
    ``by_step`` its ``metrics("step")``. Three lines have a name: the model, the best of the baselines, and the naive
    forecast; the others are grey. Without a ``series`` the first one stands on the left.
    """
    own = frame["model"].iloc[0]
    names = list(dict.fromkeys(frame["series"]))
    chosen = names[0] if series is None else series
    if chosen not in names:
        raise ValueError(f"series must be one of {names[:10]}, got {series!r}.")
    rows = frame[(frame["model"] == own) & (frame["series"] == chosen)]
    drawing, (left, right) = figure(columns=2, width=11.0, height=3.8)
    left.get_gridspec().set_width_ratios([1.7, 1.0])
    with matplotlib.rc_context(STYLE):
        _draw_origins(left, rows)
        left.set_ylabel(unit)
        _draw_errors(right, by_step, own, unit)
        drawing.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=4, handlelength=1.6)
    return drawing


def history_length(horizon: int, season_length: int) -> int:
    """How many past steps to show beside a forecast, so that both can be read: three horizons, or three seasons."""
    return max(3 * horizon, 3 * season_length, 30)


def _column(name: str, values: Any, times: Any) -> pd.Series:
    """Values by time, as matplotlib can draw them."""
    index = pd.Index(times)
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (len(index),):
        raise ValueError(
            f"{name} has the shape {array.shape}, but there are {len(index)} times: give one value a time, NaN where "
            "there is none."
        )
    return pd.Series(array, _drawable_instants(index))


def _drawable_instants(index: pd.Index) -> pd.Index:
    return index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index


def _joined_path(start: pd.Series, later: pd.Series) -> pd.Series:
    """A path that begins at the last known value."""
    return pd.Series(np.r_[start.to_numpy(), later.to_numpy()], start.index.append(later.index))


def _draw_actual(axes: Axes, known: pd.Series) -> None:
    """The data; dots as well where some are missing, since a single one between gaps makes no line."""
    dots: dict[str, Any] = {"marker": ".", "markersize": 4.0} if known.isna().any() or len(known) < 3 else {}
    axes.plot(known, color=PALETTE["data"], label="actual", linewidth=1.2, zorder=2, **dots)


def _draw_bands(axes: Axes, spread: dict[float, pd.Series]) -> None:
    """Pairs of quantiles as bands, the widest below; others, but the median, as lines."""
    pairs = list(_central_pairs(list(spread)))
    for number, (low, high) in enumerate(pairs):
        colour = _tint(MODELS[0], TINTS[min(number + (len(pairs) == 1), len(TINTS) - 1)])
        band = spread[low], spread[high]
        axes.fill_between(band[0].index, *band, color=colour, linewidth=0, label=_interval_label(low, high), zorder=1)
    single = set(spread) - {q for pair in pairs for q in pair} - {0.5}
    for q in sorted(single):
        axes.plot(spread[q], color=MODELS[0], linestyle="--", linewidth=1.0, label=f"quantile {q:g}")


def _interval_label(low: float, high: float) -> str:
    return f"{100 * (high - low):g} % interval"


def _central_pairs(levels: list[float]) -> Iterator[tuple[float, float]]:
    """The central intervals among quantiles, the widest first."""
    for low in sorted(level for level in levels if level < 0.5):
        high = next((level for level in levels if np.isclose(level, 1 - low)), None)
        if high is not None:
            yield low, high


def _tint(colour: str, share: float) -> tuple[float, ...]:
    """A light version of a colour that covers what lies below it."""
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _draw_origins(axes: Axes, rows: pd.DataFrame) -> None:
    """What came, and the forecast from every origin, which begins with a dot; where they overlap, without bands."""
    windows = [window.sort_values("step") for _, window in rows.groupby("cutoff", sort=True)]
    actual = rows.drop_duplicates("time").sort_values("time")
    apart = len(actual) == len(rows)
    widest = next(_central_pairs([float(name) for name in rows.columns if _is_quantile(name)]), None)
    for number, window in enumerate(windows):
        time = _drawable_instants(pd.Index(window["time"]))
        if widest and apart:
            band = [window[f"{q:g}"].to_numpy(dtype=np.float64) for q in widest]
            colour, label = _tint(MODELS[0], TINTS[1]), _interval_label(*widest)
            axes.fill_between(time, *band, color=colour, linewidth=0, zorder=1, label=None if number else label)
        look = {"color": MODELS[0 if apart or number % 2 == 0 else 5], **FROM_ORIGIN}
        axes.plot(time, window["mean"].to_numpy(), label=None if number else "forecast, from •", **look)
    _draw_actual(axes, pd.Series(actual["y"].to_numpy(dtype=np.float64), _drawable_instants(pd.Index(actual["time"]))))
    axes.set_title(f"{rows['series'].iloc[0]}: {len(windows)} {'origin' if len(windows) == 1 else 'origins'}")
    axes.margins(x=0.02)


def _is_quantile(name: Any) -> bool:
    return str(name).replace(".", "", 1).isdigit()


def _draw_errors(axes: Axes, by_step: pd.DataFrame, own: str, unit: str) -> None:
    """One line a model; the model, the best of the baselines and the naive forecast have their names at the end."""
    metric = "MASE" if by_step["MASE"].notna().all() else "MAE"
    lines = {str(name): table.droplevel("model")[metric] for name, table in by_step.groupby(level="model", sort=False)}
    looks = _looks(lines, own)
    for name, line in lines.items():
        colour, width, order = looks.get(name, OTHERS)
        dot = "o" if len(line) < 3 else None
        axes.plot(line.index, line, color=colour, linewidth=width, zorder=order, marker=dot, markersize=4.0)
    steps = next(iter(lines.values())).index
    axes.set_xlim(*_axis_extent(axes.dataLim.intervalx))
    axes.set_ylim(0, HEADROOM * max(float(lines[name].max()) for name in looks) or 1.0)
    axes.set(title=f"{metric} by step ahead", xlabel="steps ahead", ylabel=unit if metric == "MAE" else "")
    if len(steps) < 4:
        axes.set_xticks(steps)
    else:
        axes.locator_params(axis="x", integer=True)
    _label_ends(axes, {name: lines[name] for name in looks}, looks)
    _mention(axes, len(lines) - len(looks))


def _looks(lines: Mapping[str, pd.Series], own: str) -> dict[str, tuple[str, float, int]]:
    """Colour, width and order of the lines that have a name."""
    naive = next((name for name in NAIVE if name in lines and name != own), None)
    best = min((name for name in lines if name != own), key=lambda name: lines[name].mean(), default=None)
    looks = {naive: (PALETTE["baseline"], 1.4, 3), best: (PALETTE["data"], 1.4, 3), own: (MODELS[0], 2.4, 4)}
    return {name: look for name, look in looks.items() if name is not None}


def _mention(axes: Axes, others: int) -> None:
    """How many grey lines there are; those of large errors may leave the axes at the top."""
    if others:
        text = f"grey: {others} more {'baseline' if others == 1 else 'baselines'}"
        axes.text(0.02, 0.98, text, transform=axes.transAxes, va="top", fontsize=8.5, color=PALETTE["note"])


def _axis_extent(interval: Any) -> tuple[float, float]:
    first, last = float(interval[0]), float(interval[1])
    room = 0.02 * (last - first) or 0.5
    return first - room, last + room


def _label_ends(axes: Axes, lines: Mapping[str, pd.Series], looks: Mapping[str, tuple[str, float, int]]) -> None:
    """Names to the right of the axes, as near to the ends of their lines as they can stand without touching."""
    top = axes.get_ylim()[1]
    ends = sorted((float(line.iloc[-1]) / top, name) for name, line in lines.items())
    places = spread_out(np.array([end for end, _ in ends]), LINE)
    for (end, name), place in zip(ends, places - min(0.0, places[0]), strict=True):
        colour, width, _ = looks[name]
        axes.annotate(
            name.replace("_", " "),
            xy=(float(lines[name].index[-1]), end * top),
            xytext=(1.07, place * top),
            textcoords=axes.get_yaxis_transform(),
            color=colour,
            weight="bold" if width > 2 else "normal",
            va="center",
            fontsize=9.0,
            annotation_clip=False,
            arrowprops=LEADER,
        )


def spread_out(wanted: Array, distance: float) -> Array:
    """Places at least a distance apart, in the order of those wanted, which are sorted, and as close to them as can be.

    Examples
    --------
    >>> spread_out(np.array([1.0, 1.0, 5.0]), 1.0)
    array([0.5, 1.5, 5. ])
    """
    steps = distance * np.arange(len(wanted))
    return np.asarray(isotonic_regression(wanted - steps) + steps)

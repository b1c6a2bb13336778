"""The figures of a stability report: one function a figure, and an overview of the most telling four.

All are drawn from ``content``, the report as one plain dictionary, without pyplot: nothing global changes. Norms are
log10. A norm of 0 has the logarithm −∞: it is marked by a triangle at the lower edge, and the line breaks off there.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from seqdyn.figures import MODELS, PALETTE, STYLE, figure
from seqdyn.reports.stability.tables import STABILITIES, Content, look_up, needed_time_constant, stabilities, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Draw = Callable[["Axes", Content], None]

WIDTH = 5.2
"""Inches: narrow, so that the letters can still be read where a telephone shrinks the figure to its own width."""
SINGLE = -6.92
"""log10 of the relative rounding of single precision: a term so much smaller is lost in a sum."""
LINES = 6
"""Curves that get a colour and a name; more are grey."""
POINTS = 600
"""Points of a curve that are drawn, at most about: the extremes of every stretch stay."""
NAME_WIDTH = 22
"""Letters of a name that are shown."""

STATUS_COLOURS = {"PASS": "#00664B", "WARN": "#8A5A00", "FAIL": "#B3261E"}
"""Dark enough to be read on white."""


# --- one function a figure --------------------------------------------------------------------------------------------


def spectrum(content: Content) -> Figure:
    """The eigenvalues of the recurrence on the unit circle, which is where powers neither grow nor decay.

    Parameters
    ----------
    content : mapping
        The report; so for every figure here.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If that section was not computed; so for every figure here.

    Examples
    --------
    >>> content = {"recurrence": {"eigenvalues": [[0.5, 0.5], [0.5, -0.5]], "spectral_radius": 0.7071}}
    >>> spectrum(content).axes[0].get_title(loc="left")
    'Eigenvalues, ρ = 0.7071'
    """
    return _drawn(_draw_spectrum, content, height=4.4)


def singular_values(content: Content) -> Figure:
    """The singular values of the recurrence: what one step stretches and shrinks at most."""
    return _drawn(_draw_singular_values, content)


def product_singular_values(content: Content) -> Figure:
    """The singular values of the longest product: how many directions of an error survive it."""
    return _drawn(_draw_product_singular_values, content)


def norms_by_lag(content: Content) -> Figure:
    """‖P‖ and the gradient of single errors by lag: medians, quartiles, 5 to 95 %, and what rules of thumb say."""
    return _drawn(_draw_norms, content, height=4.6)


def product_map(content: Content) -> Figure:
    """‖P_{s,t}‖ for pairs of times: blue where a perturbation decays, red where it grows."""
    return _drawn(_draw_map, content, height=4.4)


def gradient_by_parameter(content: Content) -> Figure:
    """The part of the gradient that reaches every parameter from each band of lags."""
    names = len(look_up(content, "/gradient/parameters/log10") or ())
    return _drawn(_draw_parameters, content, height=1.5 + 0.28 * max(names, 4))


def truncation_share(content: Content) -> Figure:
    """The share of the gradient from beyond each lag: what truncated backpropagation would leave out."""
    return _drawn(_draw_truncation, content)


def gradient_along_time(content: Content) -> Figure:
    """The accumulated gradient δ_t along a sequence, and Pascanu's Ω_t, which shows where it dies."""
    _needed(content, "/gradient/accumulated")
    draws = [_draw_accumulated, *([_draw_omega] if look_up(content, "/gradient/omega") else [])]
    return _stacked(draws, content)


def lyapunov_exponents(content: Content) -> Figure:
    """The Lyapunov exponents with their standard errors."""
    return _drawn(_draw_exponents, content)


def running_exponents(content: Content) -> Figure:
    """The estimates of the exponents as the trajectory grows: flat ends have converged."""
    return _drawn(_draw_running, content)


def finite_time_exponents(content: Content) -> Figure:
    """The growth rates over stretches of one length: how much they differ along the trajectory."""
    return _drawn(_draw_finite_time, content)


def gate_means(content: Content) -> Figure:
    """The mean of every unit of every gate; near the ends of its range no gradient comes through a gate."""
    gates = len(look_up(content, "/gates/named") or ())
    return _drawn(_draw_gate_means, content, height=1.5 + 0.45 * gates)


def gate_time_constants(content: Content) -> Figure:
    """The memories that the gates make, sorted, and the lag they are needed for."""
    return _drawn(_draw_time_constants, content)


def training_timeline(content: Content) -> Figure:
    """Loss, norms of the gradient before clipping, and clipping, by epoch."""
    training = _needed(content, "/training")
    draws = [_draw_loss] if _some(training.get("loss")) else []
    draws += [_draw_training_norms]
    draws += [_draw_clipping] if any(_some(training.get(key)) for key in SHARES) else []
    return _stacked(draws, content)


def fixed_points(content: Content) -> Figure:
    """Fixed and slow points, and the trajectory, on two principal components."""
    return _drawn(_draw_fixed_points, content, height=4.4)


FIGURES: dict[str, tuple[tuple[str, ...], Callable[[Content], Figure]]] = {
    "spectrum": (("/recurrence/eigenvalues",), spectrum),
    "singular_values": (("/recurrence/singular_values",), singular_values),
    "norms_by_lag": (("/products/quantiles", "/gradient/quantiles"), norms_by_lag),
    "product_map": (("/products/map/values",), product_map),
    "product_singular_values": (("/products/singular/log10",), product_singular_values),
    "gradient_by_parameter": (("/gradient/parameters/log10",), gradient_by_parameter),
    "truncation_share": (("/gradient/parameters/beyond",), truncation_share),
    "gradient_along_time": (("/gradient/accumulated/steps",), gradient_along_time),
    "lyapunov_exponents": (("/lyapunov/exponents",), lyapunov_exponents),
    "running_exponents": (("/lyapunov/running/values",), running_exponents),
    "finite_time_exponents": (("/lyapunov/finite_time/values",), finite_time_exponents),
    "gate_means": (("/gates/named",), gate_means),
    "gate_time_constants": (("/gates/named",), gate_time_constants),
    "training_timeline": (("/training/epochs",), training_timeline),
    "fixed_points": (("/fixed_points/points",), fixed_points),
}
"""Every figure by name: where what it needs stands in the report (one of several), and the function."""


def drawable(content: Content) -> list[str]:
    """The names of the figures there is something to draw for, in the order of the page.

    Examples
    --------
    >>> drawable({"recurrence": {"eigenvalues": [[0.5, 0.0]]}, "lyapunov": None})
    ['spectrum']
    """
    names = [name for name, (needs, _) in FIGURES.items() if any(look_up(content, need) for need in needs)]
    return [name for name in names if name != "gate_time_constants" or any(_time_constants(content).values())]


def overview(content: Content) -> Figure:
    """The verdict, norms by lag, the spectrum, the map and the gradient by parameter, in one figure.

    Parameters
    ----------
    content : mapping
        The report; panels of what was not computed are left out.

    Returns
    -------
    matplotlib.figure.Figure
    """
    there = drawable(content)
    draws = [draw for name, draw in PANELS.items() if name in there]
    rows, columns = max(1, (len(draws) + 1) // 2), 1 if len(draws) < 2 else 2
    drawing, axes = figure(rows, columns, width=11.0 if columns == 2 else 7.5, height=4.3 * rows + 0.9)
    panels = list(np.ravel(np.asarray(axes)))
    with matplotlib.rc_context(STYLE):
        for panel, draw in zip(panels, draws, strict=False):
            draw(panel, content)
        for panel in panels[len(draws) :]:
            panel.remove()
        _head(drawing, content, 120 if columns == 2 else 75)
    return drawing


def _head(drawing: Figure, content: Content, width: int) -> None:
    """The verdict over the figure."""
    verdict, subject = content["verdict"], content["subject"]
    title = f"{verdict['name']} ({verdict['severity']})  {subject['model']}, required lag {subject['required_lag']}"
    lines = [*textwrap.wrap(title, width), *textwrap.wrap(verdict["reason"], width)]
    colour = STATUS_COLOURS.get(verdict["severity"], PALETTE["data"])
    drawing.suptitle(_literal("\n".join(lines)), x=0.01, ha="left", fontsize=12.0, color=colour)


# --- spectra ----------------------------------------------------------------------------------------------------------


def _draw_spectrum(axes: Axes, content: Content) -> None:
    points = _numbers(_needed(content, "/recurrence/eigenvalues")).reshape(-1, 2)
    turn = np.linspace(0.0, 2 * np.pi, 361)
    axes.plot(np.cos(turn), np.sin(turn), color=PALETTE["data"], linewidth=1.0, label="unit circle")
    axes.axhline(0.0, color=PALETTE["grid"], linewidth=1.0)
    axes.axvline(0.0, color=PALETTE["grid"], linewidth=1.0)
    outside = np.hypot(*points.T) > 1
    inside: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 4.5, "alpha": 0.8, "markeredgewidth": 0.0}
    axes.plot(*points[~outside].T, color=MODELS[0], **inside)
    axes.plot(*points[outside].T, **(inside | {"marker": "D", "color": MODELS[1], "label": "outside"}))
    reach = 1.12 * max(1.0, np.max(np.abs(points[np.isfinite(points)]), initial=0.0))
    radius = look_up(content, "/recurrence/spectral_radius")
    axes.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach), xlabel="real part", ylabel="imaginary part")
    axes.set_title("Eigenvalues" if radius is None else f"Eigenvalues, ρ = {written(radius)}")
    if outside.any():
        legend_below(axes, columns=2)


def _draw_singular_values(axes: Axes, content: Content) -> None:
    values = _numbers(_needed(content, "/recurrence/singular_values"))
    number = np.arange(1, len(values) + 1)
    there = values > 0
    axes.plot(number[there], values[there], "o", color=MODELS[0], markersize=4.0)
    axes.axhline(1.0, color=PALETTE["data"], linewidth=1.0)
    if there.any() and values[there].max() > 30 * values[there].min():
        axes.set_yscale("log")
    missing = f" ({(~there).sum()} not above 0)" if not there.all() else ""
    axes.set(title=f"Singular values of the recurrence{missing}", xlabel="number", ylabel="singular value")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_product_singular_values(axes: Axes, content: Content) -> None:
    found = _needed(content, "/products/singular")
    values = _numbers(found["log10"])
    number = np.arange(1, len(values) + 1)
    axes.plot(number, _finite(values), "o", color=MODELS[0], markersize=4.0)
    limits = limits_of([values])
    axes.set_ylim(limits)
    _mark_infinite(axes, number, values, MODELS[0], limits)
    axes.set(title=f"Singular values of the product over {found['steps']} steps", xlabel="number", ylabel="log10 σ")
    axes.axhline(0.0, color=PALETTE["data"], linewidth=1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


# --- by lag -----------------------------------------------------------------------------------------------------------

CURVES = {
    "products": ("product ‖P‖ of states", "products", MODELS[0], "-"),
    "gradient": ("gradient of an error", "gradient", MODELS[1], "-"),
}
"""Label, section, colour and line of what is drawn by lag."""


def _draw_norms(axes: Axes, content: Content) -> None:
    curves = {key: content[key] for key in CURVES if look_up(content, f"/{key}/quantiles")}
    if not curves:
        raise _absent("/products/quantiles")
    limits = limits_of([values for found in curves.values() for values in found["quantiles"].values()])
    last = max(max(found["lags"]) for found in curves.values())
    for key, found in curves.items():
        label, _, colour, _ = CURVES[key]
        draw_band(axes, found, label, colour, limits)
    _draw_guides(axes, content, last)
    axes.axhline(0.0, color=PALETTE["data"], linewidth=0.8)
    if limits[0] < SINGLE < limits[1]:
        axes.axhline(SINGLE, color=PALETTE["note"], linestyle=(0, (1, 2)), linewidth=1.2, label="float32 rounding")
    mark_required_lag(axes, look_up(content, "/subject/required_lag"))
    scale_by_lag(axes, max(last, look_up(content, "/subject/required_lag") or 1), limits)
    axes.set(title="Norms by lag", xlabel="lag, steps", ylabel="log10 of the norm")
    legend_below(axes, columns=2)


def draw_band(
    axes: Axes, found: Mapping[str, Any], label: str, colour: str, limits: tuple[float, float], linestyle: str = "-"
) -> None:
    """Median, quartiles and 5 to 95 % of norms by lag; bands that reach −∞ go to the lower edge."""
    lags = _numbers(found["lags"])
    quantiles = {name: _numbers(values) for name, values in found["quantiles"].items()}
    for low, high, strength in (("p05", "p95", 0.13), ("p25", "p75", 0.25)):
        if linestyle == "-" and {low, high} <= set(quantiles):
            below, above = (np.clip(quantiles[name], *limits) for name in (low, high))
            axes.fill_between(lags, below, above, color=colour, alpha=strength, linewidth=0)
    marker = "o" if len(lags) < 30 else None
    median = quantiles["p50"]
    axes.plot(lags, _finite(median), color=colour, linestyle=linestyle, label=label, marker=marker, markersize=3.0)
    _mark_infinite(axes, lags, median, colour, limits)


def scale_by_lag(axes: Axes, last: float, limits: tuple[float, float]) -> None:
    """Lags by powers of two, where the first steps, which matter most, have room."""
    axes.set_xscale("log", base=2)
    axes.set(xlim=(0.93, max(2.0, last) * 1.08), ylim=limits)
    powers = [2.0**power for power in range(int(np.log2(max(2.0, last))) + 1)]
    axes.xaxis.set_major_locator(FixedLocator(powers[:: 1 + len(powers) // 12]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda lag, _: f"{lag:.0f}"))


def _draw_guides(axes: Axes, content: Content, last: int) -> None:
    """What powers of ρ and σ₁, and e^{λ₁ k}, would give."""
    lags = np.unique(np.round(np.geomspace(1, max(2, last), 80)))
    slopes = {label: look_up(content, where) for label, where in GUIDES.items()}
    rates = {
        label: np.log10(value) for label, value in slopes.items() if value is not None and 0 < value < float("inf")
    }
    exponent = look_up(content, "/lyapunov/exponents/0")
    if exponent is not None and np.isfinite(exponent) and "step" in str(look_up(content, "/lyapunov/unit")):
        rates["e$^{λ_1 k}$, Lyapunov"] = exponent / np.log(10)
    for (label, rate), dashes in zip(rates.items(), ((0, (4, 2)), (0, (1, 1)), (0, (6, 2, 1, 2))), strict=False):
        axes.plot(lags, rate * lags, color=PALETTE["baseline"], linestyle=dashes, linewidth=1.2, label=label)


GUIDES = {"ρ$^k$, spectral radius": "/recurrence/spectral_radius", "σ$_1^k$": "/recurrence/largest_singular_value"}


def _draw_map(axes: Axes, content: Content) -> None:
    found = _needed(content, "/products/map")
    values, times = _numbers(found["values"]), _numbers(found["times"])
    finite = np.abs(values[np.isfinite(values)])
    limit = max(0.1, float(finite.max(initial=0.0)))
    edges = _cell_edges(times)
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="#F0F0F0")
    shown = np.ma.masked_invalid(np.clip(values, -limit, limit))
    mesh = axes.pcolormesh(edges, edges, shown, cmap=colours, vmin=-limit, vmax=limit, rasterized=True)
    mesh.set_edgecolor("face")
    extend = ("neither", "min", "max", "both")[int(np.isneginf(values).any()) + 2 * int(np.isposinf(values).any())]
    bar = _whole(axes).colorbar(mesh, ax=axes, extend=extend, shrink=0.9)
    _dress_bar(bar, "log10 ‖∂h$_t$/∂h$_s$‖")
    axes.invert_yaxis()
    axes.grid(False)
    axes.set(title="From every time to every later one", xlabel="from step s", ylabel="to step t", aspect="equal")


def _draw_parameters(axes: Axes, content: Content) -> None:
    found = _needed(content, "/gradient/parameters")
    names = sorted(found["log10"])
    values = np.stack([_numbers(found["log10"][name]) for name in names])
    edges, finite = found["edges"], values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    span = max(float(high - low), 0.1)
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#DDDDDD")
    shown = np.ma.masked_invalid(values)
    mesh = axes.pcolormesh(shown, cmap=colours, vmin=low, vmax=low + span, edgecolor="white", linewidth=0.5)
    _dress_bar(_whole(axes).colorbar(mesh, ax=axes, pad=0.02), "log10 of the norm")
    axes.set_yticks(np.arange(len(names)) + 0.5, [_short(name) for name in names])
    axes.set_xticks(np.arange(len(edges)) + 0.5, [str(edge) for edge in edges])
    axes.invert_yaxis()
    axes.grid(False)
    missing = "\n(grey: nothing arrives)" if np.isneginf(values).any() else ""
    axes.set(title="Gradient by parameter and lag", xlabel=f"lag of the error, up to{missing}")
    _thin_labels(axes, len(edges))


def _draw_truncation(axes: Axes, content: Content) -> None:
    found = _needed(content, "/gradient/parameters")
    edges = _numbers(found["edges"])
    places = np.arange(len(edges))
    for key, label, colour, marker in (
        ("beyond", "of the sum", MODELS[0], "o"),
        ("beyond_apart", "of the parts, nothing cancels", MODELS[1], "s"),
    ):
        axes.plot(places, _finite(_numbers(found[key])), color=colour, marker=marker, markersize=4.0, label=label)
    axes.axhline(0.1, color=PALETTE["note"], linestyle=":", linewidth=1.2, label="10 %")
    required = look_up(content, "/subject/required_lag")
    if required is not None and len(edges) > 1:
        mark_required_lag(axes, float(np.interp(required, edges, places)), f"required lag {required}")
    axes.set_xticks(places, [f"{edge:.0f}" for edge in edges])
    axes.set_ylim(bottom=0.0)
    axes.set(title="Share of the gradient from beyond a lag", xlabel="lag, steps", ylabel="share")
    _thin_labels(axes, len(edges))
    legend_below(axes, columns=2)


def _draw_accumulated(axes: Axes, content: Content) -> None:
    curve = _needed(content, "/gradient/accumulated")
    steps, values = _numbers(curve["steps"]), _numbers(curve["median"])
    limits = limits_of([values])
    kept = _thinned(values)
    axes.plot(steps[kept], _finite(values)[kept], color=MODELS[1])
    axes.set(title="Accumulated gradient along time, median", xlabel="step", ylabel="log10 ‖δ$_t$‖", ylim=limits)
    _mark_infinite(axes, steps, values, MODELS[1], limits)


def _draw_omega(axes: Axes, content: Content) -> None:
    curve = _needed(content, "/gradient/omega")
    steps, values = _numbers(curve["steps"]), _numbers(curve["median"])
    kept = _thinned(values)
    axes.plot(steps[kept], _finite(values)[kept], color=MODELS[2])
    axes.set(title=f"Pascanu's Ω = {written(curve['value'])}: where it dies or grows", xlabel="step", ylabel="Ω$_t$")


# --- Lyapunov ---------------------------------------------------------------------------------------------------------


def _draw_exponents(axes: Axes, content: Content) -> None:
    found = _needed(content, "/lyapunov")
    values = _finite(_numbers(found["exponents"]))
    errors = _finite(_numbers(found["standard_errors"]))
    number = np.arange(1, len(values) + 1)
    axes.errorbar(number, values, yerr=errors, fmt="o", color=MODELS[0], markersize=4.0, capsize=3.0, linewidth=1.2)
    axes.axhline(0.0, color=PALETTE["data"], linewidth=1.0)
    lost = len(values) - np.isfinite(values).sum()
    title = f"Lyapunov exponents, {found['kind']}" + (f" ({lost} not finite)" if lost else "")
    axes.set(title=title, xlabel="number", ylabel=f"{found['unit']}, ± standard error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_running(axes: Axes, content: Content) -> None:
    running = _needed(content, "/lyapunov/running")
    steps, values = _numbers(running["steps"]), _finite(_numbers(running["values"]))
    values = values.reshape(len(steps), -1)
    for number in reversed(range(values.shape[1])):
        named = number < LINES
        colour = MODELS[number] if named else PALETTE["baseline"]
        label = f"λ$_{number + 1}$" if named else None
        kept = _thinned(values[:, number])
        axes.plot(steps[kept], values[kept, number], color=colour, linewidth=1.4 if named else 0.6, label=label)
    axes.axhline(0.0, color=PALETTE["data"], linewidth=1.0)
    axes.set(title="Exponents as the run grows", xlabel="steps", ylabel=str(look_up(content, "/lyapunov/unit")))
    legend_below(axes, columns=6, reverse=True)


def _draw_finite_time(axes: Axes, content: Content) -> None:
    found = _needed(content, "/lyapunov/finite_time")
    values = _numbers(found["values"])
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    margin = max(0.5 * (high - low) / 12, 1e-6 * max(abs(low), abs(high), 1e-3))
    count = int(np.clip(2 * np.sqrt(len(finite)), 6, 40))
    axes.hist(finite, bins=np.linspace(low - margin, high + margin, count).tolist(), color=MODELS[0], alpha=0.75)
    axes.axvline(0.0, color=PALETTE["data"], linewidth=1.0, label="neither grows nor decays")
    exponent = look_up(content, "/lyapunov/exponents/0")
    if exponent is not None and np.isfinite(exponent):
        axes.axvline(exponent, color=MODELS[1], linestyle="--", label="λ$_1$ of the whole run")
    lost = f" ({len(values) - len(finite)} not finite)" if len(finite) < len(values) else ""
    axes.set(title=f"Growth rates over {found['lag']} steps{lost}", ylabel="stretches")
    axes.set_xlabel(str(look_up(content, "/lyapunov/unit")))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes, columns=2)


# --- gates ------------------------------------------------------------------------------------------------------------


def _draw_gate_means(axes: Axes, content: Content) -> None:
    named = _needed(content, "/gates/named")
    names = sorted(named)
    values = {name: _numbers(named[name]["unit_means"]) for name in names}
    lowest = -1.0 if any((means < 0).any() for means in values.values()) else 0.0
    for zone in ((lowest, lowest + 0.05), (0.95, 1.0)):
        axes.axvspan(*zone, color=PALETTE["memory"], zorder=0)
    for place, name in enumerate(names):
        means = values[name][np.isfinite(values[name])]
        axes.plot(means, np.full(len(means), place), "|", color=MODELS[0], markersize=13.0, alpha=0.6)
        if len(means):
            axes.plot(np.median(means), place, "D", color=MODELS[1], markersize=5.0)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set(xlim=(lowest - 0.02, 1.02), ylim=(len(names) - 0.4, -0.6), xlabel="mean over time")
    axes.set_title("Means of the gates")
    handles = [_key("|", MODELS[0], "a unit"), _key("D", MODELS[1], "median")]
    legend_below(axes, columns=2, handles=handles)


def _time_constants(content: Content) -> dict[str, list[float]]:
    """Of the gates that have them."""
    named = look_up(content, "/gates/named") or {}
    return {name: named[name]["time_constants"] for name in sorted(named) if named[name]["time_constants"]}


def _draw_time_constants(axes: Axes, content: Content) -> None:
    found = _time_constants(content)
    if not found:
        raise _absent("/gates/named/…/time_constants")
    for number, (name, values) in enumerate(found.items()):
        sorted_values = np.sort(_numbers(values))
        share = 100 * (np.arange(len(sorted_values)) + 0.5) / len(sorted_values)
        there = np.isfinite(sorted_values) & (sorted_values > 0)
        endless = int(np.isposinf(sorted_values).sum())
        label = _short(name) + (f" ({endless} without end)" if endless else "")
        look: dict[str, Any] = {"color": MODELS[number % len(MODELS)], "marker": "os^Dv"[number % 5], "markersize": 3.5}
        axes.plot(share[there], sorted_values[there], label=label, linewidth=1.0, **look)
    required = look_up(content, "/subject/required_lag")
    if required:
        axes.axhline(required, color=PALETTE["data"], linestyle="--", linewidth=1.2, label=f"required lag {required}")
    needed = needed_time_constant(content)
    if np.isfinite(needed) and needed > 0:
        label = f"needed for it, {written(needed)}"
        axes.axhline(needed, color=PALETTE["data"], linestyle=":", linewidth=1.2, label=label)
    axes.set_yscale("log")
    axes.set(title="Memories of the units, sorted", xlabel="share of the units, %", ylabel="time constant, steps")
    axes.set_xlim(0, 100)
    legend_below(axes, columns=2)


# --- training ---------------------------------------------------------------------------------------------------------

SHARES = {
    "clip_fraction": ("steps that were clipped", "-"),
    "clip_coefficient": ("clip coefficient", "--"),
    "steps_reached": ("steps the gradient reaches", ":"),
}
"""Columns of a training between 0 and 1."""


def _draw_loss(axes: Axes, content: Content) -> None:
    training = _needed(content, "/training")
    epochs, values = _numbers(training["epochs"]), _numbers(training["loss"])
    kept = _thinned(values)
    axes.plot(epochs[kept], _finite(values)[kept], color=MODELS[0], marker="o" if len(epochs) < 3 else None)
    if (values[np.isfinite(values)] > 0).all():
        axes.set_yscale("log")
    axes.set(title="Loss", ylabel="loss")


def _draw_training_norms(axes: Axes, content: Content) -> None:
    training = _needed(content, "/training")
    epochs = _numbers(training["epochs"])
    parameters = {name: _numbers(found["gradient_norm"]) for name, found in training["parameters"].items()}
    largest = sorted(parameters, key=lambda name: (-_typical(parameters[name]), name))
    for place, name in reversed(list(enumerate(largest))):
        named = place < LINES
        look = {"color": MODELS[place] if named else PALETTE["baseline"], "linewidth": 1.2 if named else 0.6}
        _draw_positive(axes, epochs, parameters[name], label=_short(name) if named else None, **look)
    total = _numbers(training.get("gradient_norm") or np.full(len(epochs), np.nan))
    _draw_positive(axes, epochs, total, label="all parameters", color=PALETTE["data"], linewidth=1.8)
    if training.get("clip_norm"):
        axes.axhline(training["clip_norm"], color=PALETTE["data"], linestyle="--", linewidth=1.0, label="clipped above")
    if any((values[np.isfinite(values)] > 0).any() for values in (total, *parameters.values())):
        axes.set_yscale("log")
    _mark_non_finite(axes, training["non_finite"])
    others = f", {len(largest) - LINES} smaller ones in grey" if len(largest) > LINES else ""
    axes.set(title="Gradient before clipping", ylabel=f"norm{others}")
    legend_below(axes, columns=2, reverse=True)


def _mark_non_finite(axes: Axes, events: Sequence[Mapping[str, Any]]) -> None:
    """A cross at the lower edge for every step whose gradient was no number."""
    if events:
        epochs = [event["epoch"] for event in events]
        where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        label = f"not finite ({len(events)})"
        axes.plot(epochs, np.zeros(len(epochs)), "x", color=STATUS_COLOURS["FAIL"], label=label, **where)


def _draw_clipping(axes: Axes, content: Content) -> None:
    training = _needed(content, "/training")
    epochs = _numbers(training["epochs"])
    for (key, (label, linestyle)), colour in zip(SHARES.items(), MODELS, strict=False):
        if _some(training.get(key)):
            values = _finite(_numbers(training[key]))
            kept = _thinned(values)
            axes.plot(epochs[kept], values[kept], color=colour, linestyle=linestyle, label=label)
    axes.set(title="Clipping and reach", ylabel="share", ylim=(-0.03, 1.05))
    legend_below(axes, columns=2)


def _draw_positive(axes: Axes, epochs: Array, values: Array, label: str | None, **look: Any) -> None:
    """A curve for a logarithmic axis."""
    shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    kept = _thinned(shown)
    marker = "o" if len(epochs) < 3 else None
    axes.plot(epochs[kept], shown[kept], label=label, marker=marker, markersize=4.0, **look)


def _typical(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else -np.inf


# --- fixed points -----------------------------------------------------------------------------------------------------


def _draw_fixed_points(axes: Axes, content: Content) -> None:
    found = _needed(content, "/fixed_points")
    way = _numbers(found["trajectory"] or []).reshape(-1, 2)[: 4 * POINTS]
    points = _numbers(found["points"]).reshape(-1, 2)
    kinds = np.array(stabilities(found))
    axes.plot(*way.T, color=PALETTE["baseline"], linewidth=0.6, alpha=0.6, label="trajectory", zorder=1)
    for label, marker, colour in zip(STABILITIES, "oXsD", (MODELS[0], MODELS[1], MODELS[2], MODELS[4]), strict=True):
        if (chosen := kinds == label).any():
            look: dict[str, Any] = {"marker": marker, "color": colour, "markersize": 8.0, "markeredgecolor": "white"}
            axes.plot(*points[chosen].T, linestyle="", zorder=3, label=f"{label} ({chosen.sum()})", **look)
    for point, index in zip(points, found["index"], strict=True):
        if index:
            axes.annotate(str(index), tuple(point), (4, 4), textcoords="offset points", fontsize=8.0, zorder=4)
    axes.set(title="Fixed points", xlabel="first principal component", ylabel="second principal component")
    if any(found["index"]):
        axes.set_title("Fixed points, with the number of unstable directions")
    axes.margins(0.1)
    legend_below(axes, columns=2)


# --- what they share --------------------------------------------------------------------------------------------------

PANELS: dict[str, Draw] = {
    "norms_by_lag": _draw_norms,
    "spectrum": _draw_spectrum,
    "product_map": _draw_map,
    "gradient_by_parameter": _draw_parameters,
}
"""What the overview shows."""


def _drawn(draw: Draw, content: Content, height: float = 3.3) -> Figure:
    """One figure with one panel."""
    drawing, axes = figure(width=WIDTH, height=height)
    with matplotlib.rc_context(STYLE):
        draw(axes, content)
    return drawing


def _stacked(draws: Sequence[Draw], content: Content) -> Figure:
    """Panels above each other, over one axis of time."""
    drawing, axes = figure(len(draws), width=WIDTH, height=2.9 * len(draws) + 0.3)
    with matplotlib.rc_context(STYLE):
        for panel, draw in zip(np.ravel(np.asarray(axes)), draws, strict=True):
            draw(panel, content)
            panel.set_xlabel("step" if panel.get_xlabel() else "epoch")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return drawing


def _needed(content: Content, where: str) -> Any:
    found = look_up(content, where)
    if found is None or found == [] or found == {}:
        raise _absent(where)
    return found


def _absent(where: str) -> ValueError:
    return ValueError(f"The report has nothing at {where}: it was not computed, so there is nothing to draw.")


def _numbers(values: Any) -> Array:
    """Floats; None is NaN."""
    return np.asarray(values, dtype=object).astype(np.float64)


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _some(values: Any) -> bool:
    return bool(values) and bool(np.isfinite(_numbers(values)).any())


def limits_of(rows: Sequence[Any]) -> tuple[float, float]:
    """From the least to the largest finite value and 0, with a margin."""
    values = np.concatenate([_numbers(row).ravel() for row in rows])
    finite = values[np.isfinite(values)]
    low, high = min(0.0, finite.min(initial=0.0)), max(0.0, finite.max(initial=0.0))
    margin = 0.06 * max(high - low, 0.5)
    return float(low - margin), float(high + margin)


def _mark_infinite(axes: Axes, places: Array, values: Array, colour: str, limits: tuple[float, float]) -> None:
    """Triangles at the edge for a norm of 0, or one that overflows."""
    for chosen, marker, edge in ((np.isneginf(values), "v", limits[0]), (np.isposinf(values), "^", limits[1])):
        if chosen.any():
            axes.plot(places[chosen], np.full(chosen.sum(), edge), marker, color=colour, markersize=7.0, clip_on=False)


def mark_required_lag(axes: Axes, place: float | None, label: str = "") -> None:
    """A vertical line at the lag that decides."""
    if place is not None:
        name = label or f"required lag {place:g}"
        axes.axvline(place, color=PALETTE["data"], linestyle="--", linewidth=1.3, label=name)


def _thinned(values: Array) -> Array:
    """Places of a curve that draw it: all of them, or the least and the largest of every stretch, and the ends."""
    if len(values) <= POINTS:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), POINTS // 2):
        known = stretch[np.isfinite(values[stretch])]
        kept |= {known[values[known].argmin()], known[values[known].argmax()]} if len(known) else {stretch[0]}
    return np.array(sorted(kept), dtype=np.intp)


def _cell_edges(centres: Array) -> Array:
    """Borders between the centres of the cells of a map."""
    if len(centres) < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middles = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - middles[0], *middles, 2 * centres[-1] - middles[-1]])


def _thin_labels(axes: Axes, count: int) -> None:
    """Every second label where there are many."""
    for place, label in enumerate(axes.get_xticklabels()):
        label.set_visible(count <= 11 or place % 2 == 0)


def _dress_bar(bar: Any, label: str) -> None:
    bar.set_label(label, fontsize=STYLE["axes.labelsize"])
    bar.ax.tick_params(labelsize=STYLE["ytick.labelsize"], color=PALETTE["note"])
    bar.outline.set_visible(False)


def _whole(axes: Axes) -> Figure:
    """The figure of a panel."""
    return cast("Figure", axes.get_figure(root=True))


def _key(marker: str, colour: str, label: str) -> Line2D:
    return Line2D([], [], marker=marker, linestyle="", color=colour, label=label)


def legend_below(axes: Axes, columns: int, handles: list[Any] | None = None, reverse: bool = False) -> None:
    """Below the panel, where it hides nothing."""
    found = axes.get_legend_handles_labels()[0] if handles is None else handles
    if found:
        below = ScaledTranslation(0.0, -0.48, _whole(axes).dpi_scale_trans)  # room for the labels of the axis
        placed: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, 0.0), "borderaxespad": 0.0}
        placed |= {"bbox_transform": axes.transAxes + below, "columnspacing": 1.4}
        axes.legend(handles=found, ncols=columns, fontsize=9.0, handlelength=2.2, reverse=reverse, **placed)


def _short(name: str) -> str:
    """A name that fits: whitespace is one space, the middle of a long one is left out."""
    flat = " ".join(str(name).split())
    half = (NAME_WIDTH - 1) // 2
    return _literal(flat if len(flat) <= NAME_WIDTH else f"{flat[:half]}…{flat[-half:]}")


def _literal(text: str) -> str:
    """A text that matplotlib neither reads as mathematics nor hides."""
    shown = text.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown

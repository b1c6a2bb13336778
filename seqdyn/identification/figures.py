"""The figures of linear systems: Bode, poles and zeros, responses in time, and the spectra that tell the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.figures import MODELS, PALETTE, STYLE, figure
from seqdyn.identification.panels import (
    Band,
    Systems,
    band,
    bode_errors,
    by_name,
    draw_bands,
    draw_pole_regions,
    frequency_label,
    grid,
    label_panels,
    legend,
    looks,
    time_label,
    titles,
    unit_of_time,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seqdyn.identification.system import LinearSystem


FARTHEST_ZERO = 2.5
"""Zeros farther out than this are counted below the figure instead of drawn."""


def plot_bode(
    systems: Systems,
    frequencies: Any = None,
    *,
    others: Mapping[str, LinearSystem] | None = None,
    name: str = "model",
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    unit: str = "",
    angular: bool = False,
) -> Figure:
    """Gain in dB and phase in degrees over the frequency, with pointwise bands of 95 % of estimated systems.

    Parameters
    ----------
    systems : LinearSystem, or mapping of str to LinearSystem
        One, or several by name, with the same inputs and outputs.
    frequencies : array-like, optional
        In cycles per unit of time; every system up to its own Nyquist frequency if None.
    others : mapping of str to LinearSystem, optional
        Further systems to compare it with, by name.
    name : str
        The name of a single system beside others.
    inputs, outputs : sequence of str, optional
        Their names; those that the systems have if None.
    unit : str
        Of time, of systems that do not know it: ``"s"`` labels the frequency "Hz".
    angular : bool
        Whether the axis counts in rad instead of cycles per unit of time.

    Returns
    -------
    matplotlib.figure.Figure
        A column an input, two rows an output: 20 log₁₀ |H|, and the phase, unwrapped.

    Raises
    ------
    ValueError
        If the systems do not have the same inputs and outputs, have different units of time, or are too many to draw.

    References
    ----------
    Ljung (1999), System Identification, section 9.4, for the bands.

    Examples
    --------
    >>> from seqdyn.identification.system import LinearSystem
    >>> drawing = plot_bode({"slow": LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.9]])}, unit="s")
    >>> [axes.get_ylabel() for axes in drawing.axes]
    ['gain, dB', 'phase, °']
    """
    named = by_name(systems, others, name)
    columns, rows = titles(named, inputs, outputs)
    below = frequency_label(unit_of_time(named, unit), angular)
    lowest = min(float(system.frequency_grid()[0]) for system in named.values())
    drawing, axes = grid(2 * len(rows), len(columns), height=1.8)
    first: dict[tuple[int, ...], float] = {}
    bands: dict[tuple[int, int], list[Band]] = {place: [] for place in np.ndindex(axes.shape)}
    for look, (own_name, system) in zip(looks(), named.items(), strict=False):
        at, response = system.frequency_response(system.frequency_grid(lowest) if frequencies is None else frequencies)
        errors = bode_errors(system, at, response) if system.has_standard_errors() else ()
        shown = 2 * np.pi * at if angular else at
        for pair in np.ndindex(len(rows), len(columns)):
            for part, curve in enumerate(_decibels_and_degrees(response[:, *pair], first, pair)):
                place = 2 * pair[0] + part, pair[1]
                axes[place].plot(shown, curve, label=own_name, **look)
                bands[place] += [band(shown, curve, error[:, *pair], look["color"]) for error in errors[part:][:1]]
    for place, axis in np.ndenumerate(axes):
        axis.set_xscale("log")
        axis.margins(x=0.01)
        draw_bands(axis, bands[place])
        if place[0] % 2:
            _tick_degrees(axis)
    label_panels(axes, columns, rows, ("gain, dB", "phase, °"), below)
    _curves_by_name(drawing, named, banded=any(bands.values()))
    return drawing


def plot_poles(systems: Systems, *, others: Mapping[str, LinearSystem] | None = None, name: str = "model") -> Figure:
    """Poles and zeros in the complex plane, with the unit circle: inside it a system is stable.

    Around the poles of estimated systems lie the regions of 95 %: ellipses of pairs, bars of real poles.

    Parameters
    ----------
    systems : LinearSystem, or mapping of str to LinearSystem
        One, or several by name.
    others : mapping of str to LinearSystem, optional
        Further systems to compare it with, by name.
    name : str
        The name of a single system beside others.

    Returns
    -------
    matplotlib.figure.Figure
        Poles as ×, zeros as ○. Zeros far outside are only counted.

    Examples
    --------
    >>> from seqdyn.identification.system import LinearSystem
    >>> drawing = plot_poles(LinearSystem.from_block([[1.0]], [[1.0]], [[1.0]], [[0.9]]))
    >>> [line.get_label() for line in drawing.axes[0].lines if line.get_label()[0] != "_"]
    ['poles', 'zeros']
    """
    import matplotlib

    named = by_name(systems, others, name)
    drawing, axes = figure(width=5.6, height=5.6)
    far = 0
    with matplotlib.rc_context(STYLE):
        turn = np.exp(2j * np.pi * np.linspace(0, 1, 361))
        axes.plot(turn.real, turn.imag, color=PALETTE["baseline"], linewidth=1.0, zorder=1)
        for number, (own_name, system) in enumerate(named.items()):
            poles, zeros = system.poles(), system.zeros()
            near = zeros[np.abs(zeros) <= FARTHEST_ZERO]
            far += len(zeros) - len(near)
            look: dict[str, Any] = {"color": MODELS[number % len(MODELS)], "linestyle": "none"}
            own = f"{own_name}, " if own_name else ""
            if system.has_standard_errors():
                draw_pole_regions(axes, system, look["color"])
            axes.plot(poles.real, poles.imag, marker="x", markersize=8, label=f"{own}poles", **look)
            axes.plot(near.real, near.imag, marker="o", markersize=8, fillstyle="none", label=f"{own}zeros", **look)
        reach = 1.08 * max(
            1.0, *(abs(value) for line in axes.lines for value in (*line.get_xdata(), *line.get_ydata()))
        )
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", ylabel="imaginary part")
        outside = f"    ({far} zero{'s' * (far > 1)} farther out than {FARTHEST_ZERO:g})" if far else ""
        axes.set_xlabel(f"real part{outside}")
    legend(drawing, axes.lines[1:], columns=2, banded=any(system.has_standard_errors() for system in named.values()))
    return drawing


def plot_singular_values(values: Any, chosen: int | None = None, *, title: str = "") -> Figure:
    """Singular values on a logarithmic axis, largest first: the order of a model is read from where they fall.

    Parameters
    ----------
    values : array-like, shape (values,)
        Hankel singular values, or canonical correlations. Those that are 0 have no place on the axis and are left
        out.
    chosen : int, optional
        The order that was chosen: so many values are marked.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from seqdyn.identification.system import LinearSystem
    >>> drawing = plot_singular_values([3.2, 1.1, 1e-6], chosen=2)
    >>> drawing.axes[0].get_yscale()
    'log'
    """
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    sizes = np.asarray(values, dtype=np.float64)
    if sizes.ndim != 1 or not len(sizes) or not np.isfinite(sizes).all() or (sizes < 0).any():
        raise ValueError(f"values must be one row of numbers, none below 0, got an array of shape {sizes.shape}.")
    if chosen is not None and not 0 <= chosen <= len(sizes):
        raise ValueError(f"chosen must lie between 0 and the {len(sizes)} values, got {chosen!r}.")
    drawing, axes = figure(width=6.0, height=3.2)
    with matplotlib.rc_context(STYLE):
        number, kept = np.arange(1, len(sizes) + 1), len(sizes) if chosen is None else chosen
        for part, colour in ((slice(kept), PALETTE["model 1"]), (slice(kept, None), PALETTE["baseline"])):
            there = sizes[part] > 0
            axes.plot(number[part][there], sizes[part][there], "o", color=colour)
        if chosen is not None:
            axes.axvline(chosen + 0.5, color=PALETTE["note"], linestyle=":", linewidth=1.2)
            above = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "va": "bottom"}
            axes.annotate(f"order {chosen}", (chosen + 0.5, 1.0), (0, 2), ha="center", color=PALETTE["note"], **above)
        if (sizes > 0).any():
            axes.set_yscale("log")
        axes.set(xlabel="number", ylabel="singular value", xlim=(0.4, len(sizes) + 0.6))
        axes.set_title(title, pad=16)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return drawing


def plot_response(
    systems: Systems,
    kind: str = "step",
    time: int | None = None,
    *,
    others: Mapping[str, LinearSystem] | None = None,
    name: str = "model",
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    unit: str = "",
) -> Figure:
    """What the outputs do after a step, or an impulse, in every input, with bands of 95 % of estimated systems.

    Parameters
    ----------
    systems : LinearSystem, or mapping of str to LinearSystem
        One, or several by name, with the same inputs and outputs.
    kind : {"step", "impulse"}
    time : int, optional
        In steps; as long as the slowest system takes to settle to 1 % if None, from 10 to 500.
    others : mapping of str to LinearSystem, optional
        Further systems to compare it with, by name.
    name : str
        The name of a single system beside others.
    inputs, outputs : sequence of str, optional
        Their names; those that the systems have if None.
    unit : str
        Of time, of systems that do not know it.

    Returns
    -------
    matplotlib.figure.Figure
        A column an input, a row an output; deviations, without offsets.

    Raises
    ------
    ValueError
        If the systems do not have the same inputs and outputs, have different units of time, or are too many to draw.

    Examples
    --------
    >>> from seqdyn.identification.system import LinearSystem
    >>> drawing = plot_response(LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.5]]), "impulse", time=6)
    >>> drawing.axes[0].lines[0].get_ydata()
    array([0.    , 1.    , 0.5   , 0.25  , 0.125 , 0.0625])
    """
    if kind not in ("step", "impulse"):
        raise ValueError(f"kind must be 'step' or 'impulse', got {kind!r}.")
    named = by_name(systems, others, name)
    columns, rows = titles(named, inputs, outputs)
    below = time_label(unit_of_time(named, unit))
    drawing, axes = grid(len(rows), len(columns), height=2.6)
    reach = max(_settling(system) * system.dt for system in named.values())
    bands: dict[tuple[int, int], list[Band]] = {place: [] for place in np.ndindex(axes.shape)}
    for look, (own_name, system) in zip(looks(), named.items(), strict=False):
        steps = time if time is not None else int(np.clip(np.ceil(reach / system.dt), 10, 500))
        response = getattr(system, f"{kind}_response")(steps)
        error = system.standard_error(methodcaller(f"{kind}_response", steps)) if system.has_standard_errors() else None
        at = np.arange(steps) * system.dt
        for pair in np.ndindex(len(rows), len(columns)):
            curve = response[:, *pair]
            axes[pair].plot(at, curve, label=own_name, drawstyle="steps-post", **look)
            if error is not None:
                bands[pair].append(band(at, curve, error[:, *pair], look["color"], "post"))
    for place, axis in np.ndenumerate(axes):
        axis.axhline(0.0, color=PALETTE["baseline"], linewidth=0.8, zorder=1)
        axis.margins(x=0.01)
        draw_bands(axis, bands[place])
    label_panels(axes, columns, rows, (f"{kind} response",), below)
    _curves_by_name(drawing, named, banded=any(bands.values()))
    return drawing


def _curves_by_name(drawing: Figure, named: dict[str, LinearSystem], *, banded: bool) -> None:
    """A legend of the systems that have names."""
    curves = [line for line in drawing.axes[0].lines if line.get_label() in set(named) - {""}]
    legend(drawing, curves, columns=4, banded=banded)


def _tick_degrees(axis: Axes) -> None:
    """Phases over more than a quarter of a turn are read in eighths or quarters of a turn."""
    from matplotlib.ticker import MultipleLocator

    span = axis.get_ylim()[1] - axis.get_ylim()[0]
    if span > 90:
        axis.yaxis.set_major_locator(MultipleLocator(45 if span < 225 else 90 * np.ceil(span / 450)))


def _settling(system: LinearSystem) -> float:
    """Steps until a system has settled; of one that never settles, a few of its longest periods."""
    part = system.input_output_part()
    steps = part.forgetting_time()
    if np.isfinite(steps):
        return float(steps + part.order + 1)
    turning = part.periods()
    return float(max(100.0, 3 * turning[np.isfinite(turning)].max(initial=0.0) / system.dt))


def _decibels_and_degrees(
    response: Array, first: dict[tuple[int, ...], float], pair: tuple[int, ...]
) -> tuple[Array, Array]:
    """20 log₁₀ |H|, and the phase without jumps, starting within half a turn of the first system's; NaN where H = 0."""
    size = np.abs(response)
    there = size > 0
    decibels, degrees = np.full(len(size), np.nan), np.full(len(size), np.nan)
    decibels[there] = 20 * np.log10(size[there])
    degrees[there] = np.degrees(np.unwrap(np.angle(response[there])))
    if there.any():
        start = first.setdefault(pair, float(degrees[there][0]))
        degrees -= 360 * np.round((degrees[there][0] - start) / 360)
    return decibels, degrees

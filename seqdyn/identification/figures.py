"""The figures of linear systems: Bode, poles and zeros, responses in time, and the spectra that tell the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.figures import MODELS, PALETTE, STYLE, figure
from seqdyn.identification.system import LinearSystem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Systems = LinearSystem | Mapping[str, LinearSystem]

PANELS = 36
"""Pairs of an input and an output that one figure has room for."""

FARTHEST = 2.5
"""Zeros farther out than this are counted below the figure instead of drawn."""

DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")


def plot_bode(
    systems: Systems,
    frequencies: Any = None,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    unit: str = "",
) -> Figure:
    """Gain in dB and phase in degrees over the frequency.

    Parameters
    ----------
    systems : LinearSystem, or mapping of str to LinearSystem
        One, or several by name, with the same inputs and outputs.
    frequencies : array-like, optional
        In cycles per unit of time; every system up to its own Nyquist frequency if None.
    inputs, outputs : sequence of str, optional
        Their names.
    unit : str
        Of time: ``"s"`` labels the frequency "1/s".

    Returns
    -------
    matplotlib.figure.Figure
        A column an input, two rows an output: 20 log₁₀ |H|, and the phase, unwrapped.

    Raises
    ------
    ValueError
        If the systems do not have the same inputs and outputs, or there are too many of them to draw.

    Examples
    --------
    >>> drawing = plot_bode({"slow": LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.9]])}, unit="s")
    >>> [axes.get_ylabel() for axes in drawing.axes]
    ['gain, dB', 'phase, °']
    """
    from matplotlib.ticker import MultipleLocator

    named = _named(systems)
    columns, rows = _names(named, inputs, outputs)
    lowest = min(float(system._frequencies()[0]) for system in named.values())
    grids = {
        name: system._frequencies(lowest) if frequencies is None else frequencies for name, system in named.items()
    }
    found = {name: system.frequency_response(grids[name]) for name, system in named.items()}
    drawing, axes = _grid(2 * len(rows), len(columns), height=1.8)
    first: dict[tuple[int, int], float] = {}
    for look, (name, (at, response)) in zip(_looks(), found.items(), strict=False):
        for pair in np.ndindex(len(rows), len(columns)):
            decibels, degrees = _decibels_and_degrees(response[:, *pair], first, pair)
            axes[2 * pair[0], pair[1]].plot(at, decibels, label=name, **look)
            axes[2 * pair[0] + 1, pair[1]].plot(at, degrees, label=name, **look)
    for place, axis in np.ndenumerate(axes):
        axis.set_xscale("log")
        axis.margins(x=0.01)
        span = axis.get_ylim()[1] - axis.get_ylim()[0]
        if place[0] % 2 and span > 90:
            axis.yaxis.set_major_locator(MultipleLocator(45 if span < 225 else 90 * np.ceil(span / 450)))
    _label(axes, columns, rows, ("gain, dB", "phase, °"), f"frequency, {'1/' + unit if unit else 'cycles per step'}")
    _legend(drawing, named)
    return drawing


def plot_poles(systems: Systems) -> Figure:
    """Poles and zeros in the complex plane, with the unit circle: inside it a system is stable.

    Parameters
    ----------
    systems : LinearSystem, or mapping of str to LinearSystem
        One, or several by name.

    Returns
    -------
    matplotlib.figure.Figure
        Poles as ×, zeros as ○. Zeros far outside are only counted.

    Examples
    --------
    >>> drawing = plot_poles(LinearSystem.from_block([[1.0]], [[1.0]], [[1.0]], [[0.9]]))
    >>> [line.get_label() for line in drawing.axes[0].lines if line.get_label()[0] != "_"]
    ['poles', 'zeros']
    """
    import matplotlib

    named = _named(systems)
    drawing, axes = figure(width=5.6, height=5.6)
    far = 0
    with matplotlib.rc_context(STYLE):
        turn = np.exp(2j * np.pi * np.linspace(0, 1, 361))
        axes.plot(turn.real, turn.imag, color=PALETTE["baseline"], linewidth=1.0, zorder=1)
        for number, (name, system) in enumerate(named.items()):
            poles, zeros = system.poles(), system.zeros()
            near = zeros[np.abs(zeros) <= FARTHEST]
            far += len(zeros) - len(near)
            look: dict[str, Any] = {"color": MODELS[number % len(MODELS)], "linestyle": "none"}
            own = f"{name}, " if name else ""
            axes.plot(poles.real, poles.imag, marker="x", markersize=8, label=f"{own}poles", **look)
            axes.plot(near.real, near.imag, marker="o", markersize=8, fillstyle="none", label=f"{own}zeros", **look)
        reach = 1.08 * max(
            1.0, *(abs(value) for line in axes.lines for value in (*line.get_xdata(), *line.get_ydata()))
        )
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", ylabel="imaginary part")
        outside = f"    ({far} zero{'s' * (far > 1)} farther out than {FARTHEST:g})" if far else ""
        axes.set_xlabel(f"real part{outside}")
        drawing.legend(loc="outside upper left", ncols=2)
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
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    unit: str = "",
) -> Figure:
    """What the outputs do after a step, or an impulse, in every input.

    Parameters
    ----------
    systems : LinearSystem, or mapping of str to LinearSystem
        One, or several by name, with the same inputs and outputs.
    kind : {"step", "impulse"}
    time : int, optional
        In steps; as long as the slowest system takes to settle to 1 % if None, from 10 to 500.
    inputs, outputs : sequence of str, optional
        Their names.
    unit : str
        Of time.

    Returns
    -------
    matplotlib.figure.Figure
        A column an input, a row an output; deviations, without offsets.

    Raises
    ------
    ValueError
        If the systems do not have the same inputs and outputs, or there are too many of them to draw.

    Examples
    --------
    >>> drawing = plot_response(LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.5]]), "impulse", time=6)
    >>> drawing.axes[0].lines[0].get_ydata()
    array([0.    , 1.    , 0.5   , 0.25  , 0.125 , 0.0625])
    """
    if kind not in ("step", "impulse"):
        raise ValueError(f"kind must be 'step' or 'impulse', got {kind!r}.")
    named = _named(systems)
    columns, rows = _names(named, inputs, outputs)
    drawing, axes = _grid(len(rows), len(columns), height=2.6)
    reach = max(_settling(system) * system.dt for system in named.values())
    for look, (name, system) in zip(_looks(), named.items(), strict=False):
        steps = time if time is not None else int(np.clip(np.ceil(reach / system.dt), 10, 500))
        response = system.step_response(steps) if kind == "step" else system.impulse_response(steps)
        for pair in np.ndindex(len(rows), len(columns)):
            values = response[:, *pair]
            axes[pair].plot(np.arange(steps) * system.dt, values, label=name, drawstyle="steps-post", **look)
    for axis in axes.flat:
        axis.axhline(0.0, color=PALETTE["baseline"], linewidth=0.8, zorder=1)
        axis.margins(x=0.01)
    _label(axes, columns, rows, (f"{kind} response",), f"time, {unit}" if unit else "step")
    _legend(drawing, named)
    return drawing


# --- what they share --------------------------------------------------------------------------------------------------


def _named(systems: Systems) -> dict[str, LinearSystem]:
    """Systems by name; one alone has none."""
    if isinstance(systems, LinearSystem):
        return {"": systems}
    if not isinstance(systems, Mapping) or not systems:
        raise TypeError(f"Give one LinearSystem, or a mapping of names to such, got {type(systems).__name__}.")
    wrong = [str(name) for name, system in systems.items() if not isinstance(system, LinearSystem)]
    if wrong:
        raise TypeError(f"{', '.join(wrong)}: not a LinearSystem. A fitted model becomes one by linearise(model).")
    return {str(name): system for name, system in systems.items()}


def _names(
    named: Mapping[str, LinearSystem], inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """The names of the columns and rows of panels; all systems must have them."""
    sizes = {(system.inputs, system.outputs) for system in named.values()}
    if len(sizes) > 1:
        raise ValueError(f"The systems must have the same inputs and outputs, got (inputs, outputs) {sorted(sizes)}.")
    ((count, other),) = sizes
    if not count or not other or count * other > PANELS:
        raise ValueError(
            f"{count} inputs and {other} outputs make {count * other} panels; there is room for 1 to {PANELS}. Draw a "
            "part of the system."
        )
    columns = [f"input {i + 1}" for i in range(count)] if inputs is None else [str(name) for name in inputs]
    rows = [f"output {i + 1}" for i in range(other)] if outputs is None else [str(name) for name in outputs]
    if (len(columns), len(rows)) != (count, other):
        raise ValueError(f"{len(columns)} names of inputs and {len(rows)} of outputs, expected {count} and {other}.")
    alone = count == other == 1 and inputs is None and outputs is None
    return ([""], [""]) if alone else (columns, rows)


def _grid(rows: int, columns: int, height: float) -> tuple[Figure, Any]:
    """A figure and its panels, always an array (rows, columns)."""
    drawing, axes = figure(
        rows, columns, width=min(7.0 + 2.5 * (columns - 1), 14.0), height=0.9 + height * rows, sharex=True
    )
    return drawing, np.asarray(axes, dtype=object).reshape(rows, columns)


def _looks() -> Iterator[dict[str, Any]]:
    """Colour and dashes by number: where curves lie on each other, the one below shows between the dashes."""
    number = 0
    while True:
        yield {
            "color": MODELS[number % len(MODELS)],
            "linestyle": DASHES[number % len(DASHES)],
            "linewidth": STYLE["lines.linewidth"],
        }
        number += 1


def _label(axes: Any, columns: list[str], rows: list[str], quantities: tuple[str, ...], below: str) -> None:
    """Inputs on top, outputs and quantities at the side, time or frequency at the bottom."""
    _each(axes[0], lambda axis, place: axis.set_title(columns[place], loc="left", fontsize=STYLE["axes.titlesize"]))
    _each(axes[-1], lambda axis, _: axis.set_xlabel(below))
    for place, axis in enumerate(axes[:, 0]):
        row = rows[place // len(quantities)]
        quantity = quantities[place % len(quantities)]
        axis.set_ylabel(f"{row}\n{quantity}" if row else quantity)


def _each(axes: Any, action: Callable[[Axes, int], Any]) -> None:
    for place, axis in enumerate(axes):
        action(axis, place)


def _legend(drawing: Figure, named: Mapping[str, LinearSystem]) -> None:
    if list(named) == [""]:
        return
    import matplotlib

    with matplotlib.rc_context(STYLE):
        handles = [line for line in drawing.axes[0].lines if line.get_label() in named]
        drawing.legend(handles=handles, loc="outside upper left", ncols=min(len(named), 4), handlelength=2.6)


def _decibels_and_degrees(
    response: Array, first: dict[tuple[int, int], float], pair: tuple[int, ...]
) -> tuple[Array, Array]:
    """20 log₁₀ |H|, and the phase without jumps, starting within half a turn of the first system's; NaN where H = 0."""
    size = np.abs(response)
    there = size > 0
    decibels, degrees = np.full(len(size), np.nan), np.full(len(size), np.nan)
    decibels[there] = 20 * np.log10(size[there])
    degrees[there] = np.degrees(np.unwrap(np.angle(response[there])))
    if there.any():
        start = first.setdefault((pair[0], pair[1]), float(degrees[there][0]))
        degrees -= 360 * np.round((degrees[there][0] - start) / 360)
    return decibels, degrees


def _settling(system: LinearSystem) -> float:
    """Steps after which little happens; of a system that never settles, a few of its longest periods."""
    steps = system.forgetting_time()
    if np.isfinite(steps):
        return steps + system.order + 1
    turning = system.periods()
    return float(max(100.0, 3 * turning[np.isfinite(turning)].max(initial=0.0) / system.dt))

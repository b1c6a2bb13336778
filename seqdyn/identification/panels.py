"""Shared parts of the figures of linear systems: names, units on the axes, panels, curves, bands and a legend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from scipy.stats import chi2, norm

from seqdyn.arrays import Array
from seqdyn.figures import MODELS, PALETTE, STYLE, figure
from seqdyn.identification.analysis import Analysis
from seqdyn.identification.channels import channel_names
from seqdyn.identification.standard_errors import norms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seqdyn.identification.system import LinearSystem

Systems: TypeAlias = "LinearSystem | Mapping[str, LinearSystem]"

MOST_PAIRS = 36
"""Pairs of an input and an output that one figure has room for."""

DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")

VEIL = 0.18
"""How much of its colour a band of 95 % has."""

CONFIDENCE = 0.95
HALF_WIDTH = float(norm.ppf(0.5 + CONFIDENCE / 2))
"""Standard errors from the middle of a band to its edge."""
RADIUS = float(np.sqrt(chi2.ppf(CONFIDENCE, 2)))
"""The same of an ellipse in the plane."""


def by_name(
    systems: Systems, others: Mapping[str, LinearSystem] | None = None, name: str = "model"
) -> dict[str, LinearSystem]:
    """Systems by name; one alone has none, and is ``name`` beside others."""
    if isinstance(systems, Analysis):
        systems = {name if others else "": systems}
    if not isinstance(systems, Mapping) or not systems:
        raise TypeError(f"Give one LinearSystem, or a mapping of names to such, got {type(systems).__name__}.")
    if not isinstance(others, Mapping | None):
        raise TypeError(f"others is a {type(others).__name__}, expected a mapping such as {{'second': system}}.")
    twice = systems.keys() & (others or {}).keys()
    if twice:
        raise ValueError(f"{twice.pop()!r} names this system and one of the others: give it another name=….")
    named = {str(key): system for key, system in {**systems, **(others or {})}.items()}
    wrong = [key for key, system in named.items() if not isinstance(system, Analysis)]
    if wrong:
        raise TypeError(f"{', '.join(wrong)}: not a LinearSystem. A fitted model becomes one by linearise(model).")
    return named


def titles(
    named: Mapping[str, LinearSystem], inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """The titles of columns and rows of panels; all systems must have the same inputs and outputs."""
    sizes = {(system.inputs, system.outputs) for system in named.values()}
    if len(sizes) > 1:
        raise ValueError(f"The systems must have the same inputs and outputs, got (inputs, outputs) {sorted(sizes)}.")
    ((count, other),) = sizes
    if not count or not other or count * other > MOST_PAIRS:
        raise ValueError(
            f"{count} inputs and {other} outputs make {count * other} panels; there is room for 1 to {MOST_PAIRS}. "
            "Draw a part of the system."
        )
    own = [(system.input_names, system.output_names) for system in named.values()]
    given = next((names for names, _ in own if names), ()) if inputs is None else inputs
    beside = next((names for _, names in own if names), ()) if outputs is None else outputs
    if count == other == 1 and not len(given) and not len(beside):
        return [""], [""]
    columns = channel_names([str(name) for name in given], count, "input")
    rows = channel_names([str(name) for name in beside], other, "output")
    if (len(columns), len(rows)) != (count, other):
        raise ValueError(f"{len(columns)} names of inputs and {len(rows)} of outputs, expected {count} and {other}.")
    return columns, rows


# --- units of time ----------------------------------------------------------------------------------------------------


def unit_of_time(named: Mapping[str, LinearSystem], unit: str) -> str:
    """The unit of time of all systems; "step" if none is known and dt is 1, "unit of time" if dt is not."""
    known = {unit, *(system.time_unit for system in named.values())} - {""}
    if len(known) > 1:
        raise ValueError(
            f"The systems have different units of time: {', '.join(sorted(known))}. Give all of them dt in one unit, "
            "by dataclasses.replace(system, dt=…, time_unit=…)."
        )
    if known:
        return known.pop()
    return "step" if all(system.dt == 1 for system in named.values()) else "unit of time"


def frequency_label(unit: str, angular: bool) -> str:
    """ "frequency, Hz", "frequency, rad/s", "frequency, cycles per h"."""
    nameless = unit in ("step", "unit of time")
    if angular:
        return f"frequency, rad per {unit}" if nameless else f"frequency, rad/{unit}"
    return "frequency, Hz" if unit == "s" else f"frequency, cycles per {unit}"


def time_label(unit: str) -> str:
    """ "step", "time" or "time, s"."""
    return {"step": "step", "unit of time": "time"}.get(unit, f"time, {unit}")


# --- panels -----------------------------------------------------------------------------------------------------------


def grid(rows: int, columns: int, height: float) -> tuple[Figure, Any]:
    """A figure and its panels, always an array (rows, columns)."""
    drawing, axes = figure(
        rows, columns, width=min(7.0 + 2.5 * (columns - 1), 14.0), height=0.9 + height * rows, sharex=True
    )
    return drawing, np.asarray(axes, dtype=object).reshape(rows, columns)


def looks() -> Iterator[dict[str, Any]]:
    """Colours and dashes by number, so that curves that coincide can both be seen."""
    number = 0
    while True:
        yield {
            "color": MODELS[number % len(MODELS)],
            "linestyle": DASHES[number % len(DASHES)],
            "linewidth": STYLE["lines.linewidth"],
        }
        number += 1


def label_panels(axes: Any, columns: list[str], rows: list[str], quantities: tuple[str, ...], below: str) -> None:
    """Inputs on top, outputs and quantities at the side, time or frequency at the bottom."""
    _on_each(axes[0], lambda axis, place: axis.set_title(columns[place], loc="left", fontsize=STYLE["axes.titlesize"]))
    _on_each(axes[-1], lambda axis, _: axis.set_xlabel(below))
    for place, axis in enumerate(axes[:, 0]):
        row = rows[place // len(quantities)]
        quantity = quantities[place % len(quantities)]
        axis.set_ylabel(f"{row}\n{quantity}" if row else quantity)


def _on_each(axes: Any, action: Callable[[Axes, int], Any]) -> None:
    for place, axis in enumerate(axes):
        action(axis, place)


def legend(drawing: Figure, handles: Sequence[Any], *, columns: int, banded: bool) -> None:
    """A legend of curves by name, and of the bands where there are any."""
    import matplotlib
    from matplotlib.patches import Patch

    pale = [Patch(facecolor=PALETTE["baseline"], alpha=2 * VEIL, label="95 %")] if banded else []
    shown = [*handles, *pale]
    if shown:
        with matplotlib.rc_context(STYLE):
            drawing.legend(handles=shown, loc="outside upper left", ncols=min(len(shown), columns), handlelength=2.6)


# --- bands and regions ------------------------------------------------------------------------------------------------


class Band(NamedTuple):
    """A band around a curve: abscissae, edges, colour, and whether it is drawn in steps."""

    at: Array
    lower: Array
    upper: Array
    color: str
    step: Any = None


def band(at: Array, middle: Array, error: Array, color: str, step: Any = None) -> Band:
    """middle ± 1.96 standard errors."""
    return Band(at, middle - HALF_WIDTH * error, middle + HALF_WIDTH * error, color, step)


def bode_errors(system: LinearSystem, at: Array, response: Array) -> tuple[Array, Array]:
    """Standard errors of gain and phase, in dB and in degrees, from how H̃/H spreads where the system H̃ does.

        20 log₁₀ |H̃/H|,    arg H̃/H

    Both are (frequencies, outputs, inputs); NaN where H = 0, inf where the data tell nothing.
    """
    known = np.where(response == 0, np.nan, response)

    def beside(moved: LinearSystem) -> Array:
        ratio = moved.frequency_response(at).response / known
        return np.array([20 * np.log10(np.abs(ratio)), np.degrees(np.angle(ratio))])

    gain, phase = system.standard_error(beside)
    return gain, phase


def draw_bands(axes: Axes, bands: list[Band]) -> None:
    """Draw bands behind the curves; wide ones are cut at the panel's edge, infinite ones fill it."""
    if not bands:
        return
    low, high = axes.get_ylim()
    lower, upper = np.hstack([[one.lower, one.upper] for one in bands])
    known = np.isfinite(lower) & np.isfinite(upper)
    room = max(high - low, float(np.median((upper - lower)[known])) if known.any() else 0.0)
    bottom = max(lower[known].min(initial=low), low - room)
    top = min(upper[known].max(initial=high), high + room)
    for one in bands:
        edges = np.where(np.isneginf(one.lower), bottom, one.lower), np.where(np.isposinf(one.upper), top, one.upper)
        axes.fill_between(one.at, *edges, color=one.color, alpha=VEIL, linewidth=0, step=one.step)
    axes.set_ylim(bottom, top)


def draw_pole_regions(axes: Axes, system: LinearSystem, color: str) -> None:
    """An ellipse around a pole of a pair, a bar around a real one; neither where the standard error is infinite."""
    errors = system.pole_standard_errors()
    known = np.isfinite(errors.real) & np.isfinite(errors.imaginary)
    for pole, change in zip(system.poles()[known], system.pole_changes().T[known], strict=True):
        if pole.imag:
            region = pole + _ellipse(change)
            axes.fill(region.real, region.imag, color=color, alpha=2 * VEIL, linewidth=0)
        else:
            reach = HALF_WIDTH * float(norms(change.real))
            ends = pole.real - reach, pole.real + reach
            axes.hlines(0.0, *ends, color=color, alpha=2 * VEIL, linewidth=7.0)


def _ellipse(changes: Array) -> Array:
    """The border of the region of 95 % around 0 of a complex number with these changes."""
    _, sizes, directions = np.linalg.svd(np.column_stack([changes.real, changes.imag]), full_matrices=False)
    turn = np.linspace(0, 2 * np.pi, 121)
    corners = np.column_stack([np.cos(turn), np.sin(turn)])[:, : len(sizes)]
    border: Array = RADIUS * (corners * sizes) @ directions @ np.array([1, 1j])
    return border

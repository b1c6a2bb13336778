"""Where a system lies with 95 %: pointwise bands of its curves and regions of its poles, by the delta method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import chi2, norm

from seqdyn.identification.panels import VEIL
from seqdyn.identification.standard_errors import norms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]

LEVEL = 0.95
HALF_WIDTH = float(norm.ppf(0.5 + LEVEL / 2))
"""Standard errors from the middle of a band to its edge."""
RADIUS = float(np.sqrt(chi2.ppf(LEVEL, 2)))
"""The same of an ellipse in the plane."""


class Band(NamedTuple):
    """A strip around a curve: what it is over, its edges, its colour, and whether it goes in steps."""

    at: Array
    lower: Array
    upper: Array
    color: str
    step: Any = None


def band(at: Array, middle: Array, error: Array, color: str, step: Any = None) -> Band:
    """middle ± 1.96 standard errors."""
    return Band(at, middle - HALF_WIDTH * error, middle + HALF_WIDTH * error, color, step)


def bode_errors(system: Any, at: Array, response: Array) -> tuple[Array, Array]:
    """Standard errors of gain and phase, from how H̃/H spreads where the system H̃ does.

        20 log₁₀ |H̃/H|,    arg H̃/H

    Parameters
    ----------
    system : LinearSystem
    at : array, shape (frequencies,)
    response : array of complex, shape (frequencies, outputs, inputs)
        H.

    Returns
    -------
    array, shape (frequencies, outputs, inputs), and the same
        In dB and in degrees; NaN where H = 0, inf where the data tell nothing.
    """
    known = np.where(response == 0, np.nan, response)

    def beside(moved: Any) -> Array:
        ratio = moved.frequency_response(at).response / known
        return np.array([20 * np.log10(np.abs(ratio)), np.degrees(np.angle(ratio))])

    gain, phase = system.standard_error(beside)
    return gain, phase


def draw_bands(axes: Axes, bands: list[Band]) -> None:
    """Bands behind the curves; wide ones go out of the panel before they squeeze the curves, endless ones fill it."""
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


def draw_pole_regions(axes: Axes, system: Any, color: str) -> None:
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

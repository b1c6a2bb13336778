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
    """Standard errors of gain and phase, from the relative changes of H.

        d (20 log₁₀ |H|) = 20 / ln 10 · Re dH/H,    d arg H = Im dH/H

    Parameters
    ----------
    system : LinearSystem
    at : array, shape (frequencies,)
    response : array of complex, shape (frequencies, outputs, inputs)
        H.

    Returns
    -------
    array, shape (frequencies, outputs, inputs), and the same
        In dB and in degrees; NaN where H = 0.
    """
    changes = system.changes(lambda moved: moved.frequency_response(at).response)
    relative = changes / np.where(response == 0, np.nan, response)
    return 20 / np.log(10) * norms(relative.real), np.degrees(norms(relative.imag))


def draw_bands(axes: Axes, bands: list[Band]) -> None:
    """Bands behind the curves; wide ones go out of the panel before they squeeze the curves."""
    if not bands:
        return
    low, high = axes.get_ylim()
    widths = np.concatenate([one.upper - one.lower for one in bands])
    room = max(high - low, float(np.nanmedian(widths)) if np.isfinite(widths).any() else 0.0)
    for one in bands:
        axes.fill_between(one.at, one.lower, one.upper, color=one.color, alpha=VEIL, linewidth=0, step=one.step)
    least = np.nanmin([low, *(np.nanmin(one.lower, initial=low) for one in bands)])
    most = np.nanmax([high, *(np.nanmax(one.upper, initial=high) for one in bands)])
    axes.set_ylim(max(least, low - room), min(most, high + room))


def draw_pole_regions(axes: Axes, system: Any, color: str) -> None:
    """An ellipse around a pole of a pair, a bar around a real one; a multiple pole has neither."""
    for pole, change in zip(system.poles(), system.pole_changes().T, strict=True):
        if not np.isfinite(change).all():
            continue
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

"""Power spectra of several systems in the same panels."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqdyn.arrays import Array
from seqdyn.checks import is_number
from seqdyn.figures import STYLE, figure
from seqdyn.metrics.power_spectra import power_shares
from seqdyn.phase_figures.trajectories import Trajectories, colours, named_trajectories, output_names

MOST_PANELS = 8
"""How many outputs one figure has room for."""

DEPTH = 1e-7
"""The lower end of a spectrum, as a share of its peak: values below it are rounding errors."""


def plot_power_spectra(
    y: Trajectories, dt: float, *, smoothing: float = 20.0, names: Sequence[str] | None = None, unit: str = ""
) -> Figure:
    """Draw the power spectra of all systems, a panel for every output: the spectral distance D_H compares these.

    Every output is standardised, and the spectrum is a density: its integral over all frequencies is 1, so that
    trajectories of different lengths can be compared by eye.

    Parameters
    ----------
    y : array-like, shape (time,), (time, outputs) or (trajectories, time, outputs), or mapping of str to such
        One system, or several by name. Spectra are averaged over the trajectories of a system.
    dt : float > 0
        The time a step covers.
    smoothing : float, at least 0
        The standard deviation of the Gaussian that smooths, in frequency bins, as in
        :func:`seqdyn.metrics.power_spectrum_error`.
    names : sequence of str, optional
        The names of the outputs.
    unit : str
        The unit of time: ``"s"`` labels the frequency "1/s".

    Returns
    -------
    matplotlib.figure.Figure
        An output that is constant, or not finite somewhere, has no line.

    Raises
    ------
    ValueError
        If dt or smoothing is out of range, or there are too many outputs.

    Examples
    --------
    A period of 20 steps of 0.1:

    >>> drawing = plot_power_spectra(np.sin(2 * np.pi * np.arange(2000) / 20), dt=0.1, smoothing=2.0, unit="s")
    >>> frequency, density = drawing.axes[0].lines[0].get_data()
    >>> frequency[density.argmax()], drawing.axes[0].get_xlabel()
    (np.float64(0.5), 'frequency, 1/s')
    """
    if not is_number(dt) or not 0 < dt < np.inf:
        raise ValueError(f"dt must be a positive number, the time a step covers, got {dt!r}.")
    if not is_number(smoothing) or not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing must be a number of frequency bins of at least 0, got {smoothing!r}.")
    systems = named_trajectories(y)
    count = next(iter(systems.values())).shape[2]
    if count > MOST_PANELS:
        raise ValueError(f"{count} outputs are too many panels, there is room for {MOST_PANELS}: draw a part of them.")
    labels = output_names(names, count)
    drawing, axes = figure(count, 1, height=1.2 + 2.0 * count, sharex=True)
    panels = list(np.ravel(axes))
    with matplotlib.rc_context(STYLE):
        for output, panel in enumerate(panels):
            _draw_spectra(panel, {name: values[:, :, output] for name, values in systems.items()}, dt, smoothing)
            panel.set_ylabel(labels[output])
        panels[-1].set_xlabel(f"frequency, {'1/' + unit if unit else 'cycles per unit of time'}")
        if list(systems) != [""]:
            lines = {line.get_label(): line for panel in panels for line in panel.lines}
            handles = [lines[name] for name in systems if name in lines]
            drawing.legend(handles=handles, loc="outside upper left", ncols=4)
    return drawing


def _draw_spectra(panel: Axes, systems: dict[str, Array], dt: float, smoothing: float) -> None:
    """Draw the spectra of one output."""
    densities = {name: _density(values, dt, smoothing) for name, values in systems.items()}
    for colour, (name, density) in zip(colours(len(systems)), densities.items(), strict=True):
        if density is not None:
            frequency = np.fft.rfftfreq(systems[name].shape[1], dt)
            panel.plot(frequency, density, color=colour, label=name, linewidth=1.3)
    drawn = [density for density in densities.values() if density is not None]
    peak = max((float(density.max()) for density in drawn), default=1.0)
    low = min((float(density.min()) for density in drawn), default=1.0)
    panel.set(yscale="log", ylim=(max(low, DEPTH * peak) / 2, 2 * peak))
    panel.margins(x=0.01)


def _density(values: Array, dt: float, smoothing: float) -> Array | None:
    """The mean spectral density of one output over trajectories; None if one of them has no spectrum."""
    shares = [power_shares(one, smoothing) for one in values]
    known = [one for one in shares if one is not None]
    if len(known) < len(shares):
        return None
    density: Array = np.mean(known, axis=0) * values.shape[1] * dt
    return density

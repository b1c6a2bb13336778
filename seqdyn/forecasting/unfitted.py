"""Series with gaps, or with too few rows, in models that are fitted series by series."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import outside
from seqdyn.data.panels import Panel

LEAST_ROWS = 8
"""Rows below which nothing is fitted."""


def linearly_bridged(values: Array) -> Array:
    """Values whose gaps are bridged by straight lines; after the last known one they are level.

    Examples
    --------
    >>> linearly_bridged(np.array([1.0, np.nan, 3.0, np.nan]))
    array([1., 2., 3., 3.])
    """
    known = ~np.isnan(values)
    return np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])


def interpolated(panel: Panel) -> Panel:
    """The panel with the gaps of its target bridged."""
    target = panel.target.copy()
    for number in np.unique(panel.series[np.isnan(target)]):
        own = slice(int(panel.starts[number]), int(panel.ends[number]))
        target[own] = linearly_bridged(target[own])
    return replace(panel, target=target)


def last_value_notes(model: str, names: list[str], faults: list[str]) -> list[str]:
    """Which series could not be fitted, and why; one warning for all of it. An empty fault is none."""
    notes = [
        f"{model} could not be fitted to series {name} ({fault}): it forecasts the last value there."
        for name, fault in zip(names, faults, strict=True)
        if fault
    ]
    if notes:
        also = f" The same holds for {len(notes) - 1} other series; see notes_." if len(notes) > 1 else ""
        warnings.warn(notes[0] + also, stacklevel=outside())
    return notes

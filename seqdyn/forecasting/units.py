"""The units in which the linear forecasters see a series: logarithms, a centre and a scale, series by series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.tables import series_means

LEAST_ROWS_FOR_LOG = 8
"""Rows below which nothing tells whether logarithms forecast better."""


@dataclass(frozen=True)
class Units:
    """z = (q − c)/s with q = log y or y, and ũ = (u − c_u)/s_u, series by series.

    Attributes
    ----------
    centre, scale : array, shape (series,)
        c and s.
    logged : array of bool, shape (series,)
    input_centre, input_scale : array, shape (series, inputs)
        c_u and s_u of the covariates known ahead.
    """

    centre: Array
    scale: Array
    logged: Array
    input_centre: Array
    input_scale: Array

    @classmethod
    def of(cls, panel: Panel, season: int, logged: Array, scale: str | None, together: bool = False) -> Units:
        """The units of every series of a panel.

        s is mean |q_t − q_{t−m}| ("seasonal"), the standard deviation ("deviation"), mean |q| ("level") or 1 (None). If
        ``together``, one s_u serves all series, so that an input means the same in each; else its deviation in each.
        """
        q = logged_values(panel.target, logged[panel.series])
        centre = series_means(q, panel.starts)
        return cls(centre, _scale(panel, q, centre, season, scale), logged, *_input_units(panel, together))

    def of_panel(self, panel: Panel, number: Array) -> Array:
        """z of every row, shape (total,); ``number`` are the units that each series of the panel has."""
        owner = number[panel.series]
        return (logged_values(panel.target, self.logged[owner]) - self.centre[owner]) / self.scale[owner]

    def of_inputs(self, inputs: Array, owner: Array) -> Array:
        """ũ of covariates, shape (rows, …, inputs), 0 where missing; ``owner`` are the units of every row."""
        shape = (len(owner), *[1] * (inputs.ndim - 2), inputs.shape[-1])
        centre, scale = self.input_centre[owner].reshape(shape), self.input_scale[owner].reshape(shape)
        return np.nan_to_num((inputs - centre) / scale, nan=0.0)

    def restored(self, z: Array, owner: Array) -> Array:
        """y of z, shape (origins, …); ``owner`` are the units of every origin."""
        shape = (-1, *[1] * (z.ndim - 1))
        q = z * self.scale[owner].reshape(shape) + self.centre[owner].reshape(shape)
        logged = self.logged[owner].reshape(shape)
        with np.errstate(over="ignore"):
            return np.where(logged, np.exp(np.where(logged, q, 0.0)), q)


def logged_values(values: Array, logged: Array) -> Array:
    """q: logarithms where asked for, those of values ≤ 0 being missing; the values elsewhere.

    Examples
    --------
    >>> logged_values(np.array([1.0, -1.0, 5.0]), np.array([True, True, False]))
    array([ 0., nan,  5.])
    """
    positive = np.where(values > 0, values, np.nan)
    return np.where(logged, np.log(np.where(logged, positive, 1.0)), values)


def log_choices(panel: Panel, log: Any) -> list[Array]:
    """Which series may be logged, (series,) each: one choice, or with "auto" none and all long positive ones."""
    none = np.zeros(len(panel.names), dtype=bool)
    if log is False:
        return [none]
    positive = np.fmin.reduceat(panel.target, panel.starts) > 0
    if log is True and not positive.all():
        name = panel.names[int(np.argmin(positive))]
        raise ValueError(f"log=True, but series {name!r} has values ≤ 0: use log='auto', which leaves it as it is.")
    if log is True:
        return [positive]
    tried = positive & (panel.lengths >= LEAST_ROWS_FOR_LOG)
    return [none, tried] if tried.any() else [none]


def deviations(panel: Panel, values: Array) -> Array:
    """The standard deviation of the known values of every series, shape (series,)."""
    centre = series_means(values, panel.starts)
    return np.sqrt(series_means((values - centre[panel.series]) ** 2, panel.starts))


def _scale(panel: Panel, q: Array, centre: Array, season: int, kind: str | None) -> Array:
    if kind is None:
        return np.ones(len(centre))
    if kind == "seasonal":
        found = mean_changes(panel, season, q, deviations(panel, q))
    else:
        found = series_means(np.abs(q), panel.starts) if kind == "level" else deviations(panel, q)
    return np.where(found > 1e-9 * np.fmax.reduceat(np.abs(q), panel.starts), found, 1.0)


def _input_units(panel: Panel, together: bool) -> tuple[Array, Array]:
    """Mean and standard deviation of the covariates known ahead, (series, inputs); 1 for those that never change."""
    inputs = panel.future
    if not inputs.shape[1]:
        return np.zeros((len(panel.names), 0)), np.ones((len(panel.names), 0))
    centre = np.nan_to_num(series_means(inputs, panel.starts))
    square = (inputs - centre[panel.series]) ** 2
    variance = series_means(square, np.array([0]) if together else panel.starts)
    found = np.sqrt(np.nan_to_num(variance)) * np.ones_like(centre)
    return centre, np.where(found > 1e-9 * np.abs(centre), found, 1.0)

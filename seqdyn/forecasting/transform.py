"""Per-series transforms, fitted on what the fit has seen: logarithm, differences, scale.

q_t = log y_t  or  y_t
w_t = (1 − L)^d (1 − L^m)^D q_t
z_t = (w_t − c_i) / s_i          for series i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.data.panels import Panel

Array = np.ndarray[Any, Any]

SCALINGS = ("standard", "robust", "mean", "seasonal", None)
"""c and s: mean and standard deviation; median and interquartile range / 1.349; 0 and mean |w|; mean and mean
|w_t − w_{t-m}|; 0 and 1."""


@dataclass(frozen=True)
class SeriesTransform:
    """The transform of every series of a fit.

    Attributes
    ----------
    log : array of bool, shape (series,)
    centre, scale : array, shape (series, columns)
        c and s of the target, and of the past covariates after it.
    difference, seasonal_difference : int
        d and D; they act on the target alone.
    season_length : int
        m.
    """

    log: Array
    centre: Array
    scale: Array
    difference: int
    seasonal_difference: int
    season_length: int

    @classmethod
    def fit(
        cls, panel: Panel, log: Any, difference: int, seasonal_difference: int, season_length: int, scaling: str | None
    ) -> SeriesTransform:
        """The transform that goes with the rows of a panel."""
        logs = _logs(panel, log)
        blank = np.zeros((len(panel.names), 1 + panel.past.shape[1]))
        plain = cls(logs, blank, blank + 1, difference, seasonal_difference, season_length)
        w = plain.forward(panel)
        centre, scale = blank.copy(), blank + 1
        for number in range(len(panel.names)):
            centre[number], scale[number] = _location(w[panel.rows(number)], scaling, season_length)
        return cls(logs, centre, scale, difference, seasonal_difference, season_length)

    @property
    def memory(self) -> int:
        """How many past values a difference needs: d + m D."""
        return self.difference + self.season_length * self.seasonal_difference

    def select(self, series: Array) -> SeriesTransform:
        """The transform of some of the series."""
        return SeriesTransform(
            self.log[series],
            self.centre[series],
            self.scale[series],
            self.difference,
            self.seasonal_difference,
            self.season_length,
        )

    def levels(self, panel: Panel) -> Array:
        """q: the target, its logarithm where the series has one, (total,)."""
        log = self.log[panel.series]
        bad = log & (panel.target <= 0)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"Series {panel.names[panel.series[row]]!r} is {panel.target[row]:g} at {panel.times[row]!s}, but its "
                "logarithm is modelled: it must stay positive. Fit with log=False."
            )
        return np.where(log, np.log(np.where(log, np.where(bad, 1.0, panel.target), 1.0)), panel.target)

    def forward(self, panel: Panel, before: Array | None = None) -> Array:
        """z of target and past covariates, (total, columns); NaN where something it needs is missing.

        Parameters
        ----------
        panel : Panel
        before : array, shape (series, memory), optional
            q of the rows before each series of the panel.
        """
        w = self._differenced(panel, self.levels(panel), before)
        table = np.column_stack([w, panel.past])
        return (table - self.centre[panel.series]) / self.scale[panel.series]

    def recent(self, panel: Panel) -> Array:
        """q of the last ``memory`` rows of every series, gaps left as they are, (series, memory)."""
        q, place = self.levels(panel), panel.ends[:, None] - self.memory + np.arange(self.memory)
        return np.where(place >= panel.starts[:, None], q[np.maximum(place, 0)], np.nan)

    def tails(self, panel: Panel, series: Array, rows: Array) -> Array:
        """q of the ``memory`` rows before each origin, gaps filled with the last known value of the same phase."""
        if not self.memory:
            return np.zeros((len(rows), 0))
        q = self.levels(panel)
        period = self.season_length if self.seasonal_difference else 1
        steps = np.arange(len(q)) - panel.starts[panel.series]
        filled = pd.Series(q).groupby([panel.series, steps % period]).ffill()
        filled = filled.groupby(panel.series).ffill()
        tail: Array = filled.to_numpy()[rows[:, None] - self.memory + np.arange(self.memory)]
        return tail

    def backward(self, z: Array, series: Array, tails: Array) -> Array:
        """y from z of consecutive steps after each origin.

        Parameters
        ----------
        z : array, shape (origins, horizon, …)
        series : array of int, shape (origins,)
        tails : array, shape (origins, memory)
        """
        return self.to_data(self.integrated(z, series, tails), series)

    def integrated(self, z: Array, series: Array, tails: Array) -> Array:
        """q from z of consecutive steps after each origin; arguments as in :meth:`backward`."""
        rest = (1,) * (z.ndim - 1)
        w = z * self.scale[series, 0].reshape(-1, *rest) + self.centre[series, 0].reshape(-1, *rest)
        return self._integrated(w, tails)

    def to_data(self, q: Array, series: Array) -> Array:
        """y from q, (origins, …)."""
        log = np.broadcast_to(self.log[series].reshape(-1, *(1,) * (q.ndim - 1)), q.shape)
        return np.where(log, np.exp(np.where(log, np.clip(q, -700, 700), 0.0)), q)

    def moved(self, new: Panel, tails: Array, recent: Array) -> tuple[Array, Array]:
        """Tails and recent values after the rows of a panel."""
        if not self.memory:
            return tails, recent
        q, period = self.levels(new), self.season_length if self.seasonal_difference else 1
        filled, plain = np.empty_like(tails), np.empty_like(recent)
        for number in range(len(new.names)):
            own = q[new.rows(number)]
            line = np.concatenate([tails[number], own])
            for step in np.flatnonzero(np.isnan(line)):
                line[step] = line[step - period] if step >= period else line[step - 1]
            filled[number] = line[-self.memory :]
            plain[number] = np.concatenate([recent[number], own])[-self.memory :]
        return filled, plain

    def _differenced(self, panel: Panel, q: Array, before: Array | None) -> Array:
        if not self.memory:
            return q
        count, memory = len(panel.names), self.memory
        lead = np.full((count, memory), np.nan) if before is None else before
        steps = np.arange(len(q)) - panel.starts[panel.series]
        offsets = np.arange(count) * memory
        longer = np.full(len(q) + count * memory, np.nan)
        places = np.arange(len(q)) + offsets[panel.series] + memory
        longer[places] = q
        longer[(panel.starts + offsets)[:, None] + np.arange(memory)] = lead
        for lag, times in ((1, self.difference), (self.season_length, self.seasonal_difference)):
            for _ in range(times):
                longer = longer - np.concatenate([np.full(lag, np.nan), longer[:-lag]])
        w: Array = longer[places]
        return np.where(steps < memory, np.nan, w) if before is None else w

    def _integrated(self, w: Array, tails: Array) -> Array:
        """The inverse of the differences: q_t = w_t − Σ_j a_j q_{t-j}, with (1 − L)^d (1 − L^m)^D = 1 + Σ_j a_j L^j."""
        if not self.memory:
            return w
        polynomial = np.ones(1)
        for lag, times in ((1, self.difference), (self.season_length, self.seasonal_difference)):
            for _ in range(times):
                polynomial = np.convolve(polynomial, np.concatenate([[1.0], np.zeros(lag - 1), [-1.0]]))
        lags = np.flatnonzero(polynomial[1:]) + 1
        shape = (len(w), tails.shape[1], *w.shape[2:])
        past = np.broadcast_to(tails.reshape(*tails.shape, *(1,) * (w.ndim - 2)), shape)
        q = np.concatenate([past, w], axis=1).astype(np.float64)
        for step in range(self.memory, q.shape[1]):
            q[:, step] -= sum(polynomial[lag] * q[:, step - lag] for lag in lags)
        return q[:, self.memory :]


def _logs(panel: Panel, log: Any) -> Array:
    """Which series are modelled by their logarithm."""
    lowest = pd.Series(panel.target).groupby(panel.series).min().to_numpy()
    positive: Array = lowest > 0
    if log == "auto":
        return positive
    if log is True and not positive.all():
        number = int(np.argmax(~positive))
        raise ValueError(
            f"log=True needs positive series, but {panel.names[number]!r} has the value {lowest[number]:g}. Take "
            "log='auto', which leaves such series as they are, or log=False."
        )
    return np.full(len(positive), bool(log))


def _location(w: Array, scaling: str | None, season_length: int) -> tuple[Array, Array]:
    """c and s of the columns of one series; s is never 0."""
    columns = w.shape[1]
    if scaling is None or np.isnan(w).all():
        return np.zeros(columns), np.ones(columns)
    known = np.where(np.isnan(w).all(axis=0), 0.0, w)  # a column of which nothing is known says nothing
    if scaling == "mean":
        centre, scale = np.zeros(columns), np.nanmean(np.abs(known), axis=0)
    elif scaling == "robust":
        quartiles = np.nanquantile(known, [0.25, 0.5, 0.75], axis=0)
        centre, scale = quartiles[1], (quartiles[2] - quartiles[0]) / 1.349
    else:
        centre, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        steps = np.abs(known[season_length:] - known[:-season_length])
        if scaling == "seasonal" and len(steps) and not np.isnan(steps).all(axis=0).any():
            scale = np.nanmean(steps, axis=0)
    largest = np.nanmax(np.abs(known), axis=0)
    spread = np.where(scale > 1e-9 * largest, scale, np.nanstd(known, axis=0))
    return centre, np.where(spread > 1e-9 * largest, spread, np.where(largest > 0, 1e-9 * largest, 1.0))

"""Per-series transforms, fitted on what the fit has seen: logarithm, differences, scale.

q_t = log y_t  or  y_t
w_t = (1 − L)^d (1 − L^m)^D q_t
z_t = (w_t − c_i) / s_i          for series i
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.labels import quoted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.history import differences
from seqdyn.forecasting.tables import series_means

SCALINGS = ("standard", "robust", "mean", "seasonal", None)
"""c and s: mean and standard deviation; median and interquartile range / 1.349; 0 and mean |w|; mean and mean
|w_t − w_{t-m}|; 0 and 1."""

SMALLEST = 1e-9
"""The smallest spread that counts, relative to the largest |w|."""


@dataclass(frozen=True)
class SeriesTransform:
    """The transform of every series of a fit.

    Attributes
    ----------
    log : array of bool, shape (series,)
    centre, scale : array, shape (series, columns)
        c and s > 0 of the target, and of the past covariates after it.
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
        """The transform that goes with the rows of a panel; ``log="auto"`` takes logarithms where a series is positive.

        A spread that is 0, as that of long runs of one value can be, gives way to the standard deviation; that of a
        constant target to 1e-9 of its size, so that it is forecast as what it is; that of a constant covariate to its
        size.

        Examples
        --------
        >>> import pandas as pd
        >>> from seqdyn.data.panel_reading import read_panel
        >>> panel = read_panel(pd.Series([1.0, 3.0, 1.0, 3.0]))
        >>> transform = SeriesTransform.fit(panel, False, 0, 0, 1, "standard")
        >>> transform.forward(panel)[:, 0]
        array([-1.,  1., -1.,  1.])
        """
        logs = _logs(panel, log)
        blank = np.zeros((len(panel.names), 1 + panel.past.shape[1]))
        plain = cls(logs, blank, blank + 1, difference, seasonal_difference, season_length)
        w = plain.forward(panel)
        found = [_location(w[:, i], panel, scaling, season_length, i == 0) for i in range(w.shape[1])]
        centre, scale = (np.stack(values, axis=1) for values in zip(*found, strict=True))
        return cls(logs, centre, scale, difference, seasonal_difference, season_length)

    @property
    def memory(self) -> int:
        """How many past values a difference needs: d + m D."""
        return self.difference + self.season_length * self.seasonal_difference

    @property
    def period(self) -> int:
        """How far back the value lies that stands in for a missing one."""
        return self.season_length if self.seasonal_difference else 1

    def select(self, series: Array) -> SeriesTransform:
        """The transform of some of the series."""
        rest = self.difference, self.seasonal_difference, self.season_length
        return SeriesTransform(self.log[series], self.centre[series], self.scale[series], *rest)

    def levels(self, panel: Panel) -> Array:
        """q: the target, its logarithm where the series has one, (total,)."""
        if (np.abs(panel.target) > 1e150).any():
            row = int(np.argmax(np.abs(panel.target) > 1e150))
            raise ValueError(
                f"Series {quoted(panel.names[panel.series[row]])} is {panel.target[row]:g} at {panel.times[row]!s}: "
                "too large to compute with. Give it in another unit."
            )
        log = self.log[panel.series]
        bad = log & (panel.target <= 0)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"Series {quoted(panel.names[panel.series[row]])} is {panel.target[row]:g} at {panel.times[row]!s}, "
                "but its logarithm is modelled: it must stay positive. Fit with log=False."
            )
        return np.where(log, np.log(np.where(log, panel.target, 1.0)), panel.target)

    def forward(self, panel: Panel, before: Array | None = None) -> Array:
        """z of target and past covariates, (total, columns); NaN where something it needs is missing.

        ``before`` is q of the rows before each series of the panel, (series, memory).
        """
        w = self._differenced(panel, self.levels(panel), before)
        table = np.column_stack([w, panel.past])
        return (table - self.centre[panel.series]) / self.scale[panel.series]

    def _differenced(self, panel: Panel, q: Array, before: Array | None) -> Array:
        """w: every series in turn behind the ``memory`` values before it."""
        if not self.memory:
            return q
        lead = np.full((len(panel.names), self.memory), np.nan) if before is None else before
        offsets = np.arange(len(panel.names)) * self.memory
        places = np.arange(len(q)) + offsets[panel.series] + self.memory
        longer = np.empty(len(q) + lead.size)
        longer[places] = q
        longer[(panel.starts + offsets)[:, None] + np.arange(self.memory)] = lead
        for lag in self._lags():
            longer = longer - np.concatenate([np.full(lag, np.nan), longer[:-lag]])
        w: Array = longer[places]
        return w

    def _lags(self) -> Iterator[int]:
        """The lag of every difference that is taken."""
        yield from [1] * self.difference
        yield from [self.season_length] * self.seasonal_difference

    def recent(self, panel: Panel) -> Array:
        """q of the last ``memory`` rows of every series, gaps left as they are, (series, memory)."""
        q, place = self.levels(panel), panel.ends[:, None] - self.memory + np.arange(self.memory)
        return np.where(place >= panel.starts[:, None], q[np.maximum(place, 0)], np.nan)

    def tails(self, panel: Panel, series: Array, rows: Array, predicted: Array | None = None) -> Array:
        """q of the ``memory`` rows before each origin, gaps filled; before a series' first row stands that row.

        Gaps are filled with what the model predicted of z at every row; without that with the value one period before.
        """
        if not self.memory:
            return np.zeros((len(rows), 0))
        q = self.levels(panel)
        for number in np.unique(panel.series[np.isnan(q)]):
            own = panel.rows(int(number))
            q[own] = self._completed(q[own], None if predicted is None else self._steps_of(predicted[own], int(number)))
        place = rows[:, None] - self.memory + np.arange(self.memory)
        tail: Array = q[np.maximum(place, panel.starts[series][:, None])]
        return tail

    def moved(self, new: Panel, tails: Array, recent: Array, predicted: Array | None = None) -> tuple[Array, Array]:
        """Tails and recent values, (series, memory), after the rows of a panel; arguments as in :meth:`tails`."""
        if not self.memory:
            return tails, recent
        filled, plain = np.empty_like(tails), np.empty_like(recent)
        for number, own in enumerate(np.split(self.levels(new), new.starts[1:])):
            said = np.full(len(own), np.nan) if predicted is None else predicted[new.rows(number)]
            said = np.concatenate([np.full(self.memory, np.nan), self._steps_of(said, number)])
            filled[number] = self._completed(np.concatenate([tails[number], own]), said)[-self.memory :]
            plain[number] = np.concatenate([recent[number], own])[-self.memory :]
        return filled, plain

    def _steps_of(self, predicted: Array, number: int) -> Array:
        """w of one series from what was said of its z."""
        found: Array = predicted * self.scale[number, 0] + self.centre[number, 0]
        return found

    def _completed(self, line: Array, said: Array | None) -> Array:
        """q of one series with its gaps filled in order: by what was said of w there, or the value a period before."""
        line, (lags, factors) = line.copy(), self._recursion()
        for step in np.flatnonzero(np.isnan(line)):
            if said is not None and step >= self.memory and not np.isnan(said[step]):
                line[step] = said[step] - factors @ line[step - lags]
            elif step:
                line[step] = line[step - self.period] if step >= self.period else line[step - 1]
        return line

    def backward(self, z: Array, series: Array, tails: Array) -> Array:
        """y from z (origins, horizon, …) of consecutive steps after each origin, and the tails before it."""
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

    def _integrated(self, w: Array, tails: Array) -> Array:
        """The inverse of the differences: q_t = w_t − Σ_j a_j q_{t-j}."""
        if not self.memory:
            return w
        lags, factors = self._recursion()
        shape = (len(w), tails.shape[1], *w.shape[2:])
        past = np.broadcast_to(tails.reshape(*tails.shape, *(1,) * (w.ndim - 2)), shape)
        q = np.concatenate([past, w], axis=1).astype(np.float64)
        for step in range(self.memory, q.shape[1]):
            q[:, step] -= sum(factor * q[:, step - lag] for lag, factor in zip(lags, factors, strict=True))
        return q[:, self.memory :]

    def _recursion(self) -> tuple[Array, Array]:
        """The lags j and factors a_j of the differences: (1 − L)^d (1 − L^m)^D = 1 + Σ_j a_j L^j."""
        polynomial = np.ones(1)
        for lag in self._lags():
            polynomial = np.convolve(polynomial, np.concatenate([[1.0], np.zeros(lag - 1), [-1.0]]))
        lags = np.flatnonzero(polynomial[1:]) + 1
        return lags, polynomial[lags]


def _logs(panel: Panel, log: Any) -> Array:
    """Which series are modelled by their logarithm."""
    lowest = np.fmin.reduceat(panel.target, panel.starts)
    positive: Array = lowest > 0
    if isinstance(log, str) and log == "auto":
        return positive
    if log is True and not positive.all():
        number = int(np.argmax(~positive))
        raise ValueError(
            f"log=True needs positive series, but {quoted(panel.names[number])} has the value {lowest[number]:g}. Take "
            "log='auto', which leaves such series as they are, or log=False."
        )
    return np.full(len(positive), bool(log))


def _location(w: Array, panel: Panel, scaling: str | None, season_length: int, target: bool) -> tuple[Array, Array]:
    """c and s of one column for every series; s is never 0, and a column that is all missing has 0 and 1."""
    count = len(panel.names)
    if scaling is None:
        return np.zeros(count), np.ones(count)
    mean = series_means(w, panel.starts)
    deviation = np.sqrt(series_means((w - mean[panel.series]) ** 2, panel.starts))
    largest = np.nan_to_num(np.fmax.reduceat(np.abs(w), panel.starts))
    if scaling == "mean":
        centre, scale = np.zeros(count), series_means(np.abs(w), panel.starts)
    elif scaling == "robust":
        low, centre, high = _quartiles(w, panel)
        scale = (high - low) / 1.349
    elif scaling == "seasonal":
        centre, scale = mean, series_means(np.abs(differences(panel, season_length, w)), panel.starts)
    else:
        centre, scale = mean, deviation
    size = np.where(scale > SMALLEST * largest, scale, deviation)  # also if nothing is known of it
    floor = np.where(largest > 0, largest * (SMALLEST if target else 1), 1.0)
    return np.nan_to_num(centre), np.where(size > SMALLEST * largest, size, floor)


def _quartiles(values: Array, panel: Panel) -> list[Array]:
    """The quartiles of what is known of every series, on straight lines between ranks; NaN if nothing is."""
    ordered = values[np.lexsort([values, panel.series])]  # NaN last
    number = np.add.reduceat((~np.isnan(values)).astype(np.int64), panel.starts)
    found = []
    for share in (0.25, 0.5, 0.75):
        rank = share * np.maximum(number - 1, 0)
        below = np.floor(rank).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(number - 1, 0))
        low, high = ordered[panel.starts + below], ordered[panel.starts + above]
        found.append(low + (rank - below) * (high - low))
    return found

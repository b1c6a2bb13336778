"""What the history of a series allows its forecasts to be: its range, carried on along its own trend or growth.

    s   the range of the n known values, or their size where they never change or are few
    g   how fast values of one sign grow, from the means of the first and of the last third of the history
    [min − s (3 + k / (n − 1)),  max(max + s (3 + k / (n − 1)), max exp(k g⁺) + 3 s)]      k steps ahead

A forecast that leaves it has run away: a recursion diverges, or a logarithm is extrapolated and its exponential taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.checks import outside
from seqdyn.data.labels import quoted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.request import ForecastRequest, Forecasts

RANGES = 3.0
"""How many ranges a path may leave the known values by."""

LEAST_HALF_WIDTH = 1e-6
"""Half the width of the narrowest interval, in units of the range."""

KNOWN_FOR_RANGE, KNOWN_FOR_WIDTH = 10, 30
"""Fewer known values than this tell no range; and fewer than this little of how wide an interval is."""


@dataclass(frozen=True)
class Envelope:
    """The histories before some origins, in short; every attribute is an array of shape (origins,).

    Attributes
    ----------
    lowest, highest, last : array
        Of the known values; NaN where there are none.
    known : array of int
        How many there are.
    growth : array
        g, a step; 0 where values are not of one sign.
    """

    lowest: Array
    highest: Array
    last: Array
    known: Array
    growth: Array

    @classmethod
    def of(cls, panel: Panel, rows: Array | None = None) -> Envelope:
        """The histories before some rows, each behind a row of its series; before the end of every series if None.

        Examples
        --------
        >>> import pandas as pd
        >>> from seqdyn.data.panel_reading import read_panel
        >>> low, high = Envelope.of(read_panel(pd.Series(range(30)))).limits(2)
        >>> low.tolist(), high.tolist()
        ([[-88.0, -89.0]], [[117.0, 118.0]])
        """
        ends = panel.ends if rows is None else rows
        starts = panel.starts[panel.series[ends - 1]]
        y, known = panel.target, ~np.isnan(panel.target)
        place = _over(np.maximum, np.where(known, np.arange(len(y)), -1), starts, ends)
        count = _over(np.add, known.astype(np.int64), starts, ends)
        low, high = _over(np.fmin, y, starts, ends), _over(np.fmax, y, starts, ends)
        return cls(
            low, high, np.where(place >= 0, y[place], np.nan), count, _log_growth(panel, low, high, starts, ends)
        )

    def joined(self, new: Panel, owner: Array) -> Envelope:
        """With new rows of some series (``owner`` are their numbers); the growth stays as it was."""
        more = Envelope.of(new)
        parts = {name: getattr(self, name).copy() for name in ("lowest", "highest", "last", "known")}
        parts["lowest"][owner] = np.fmin(parts["lowest"][owner], more.lowest)
        parts["highest"][owner] = np.fmax(parts["highest"][owner], more.highest)
        parts["last"][owner] = np.where(np.isnan(more.last), parts["last"][owner], more.last)
        parts["known"][owner] += more.known
        return Envelope(**parts, growth=self.growth)

    @property
    def size(self) -> Array:
        """s, above 0: the range, or the largest |y| (1 if that is 0) where it is 0 or few values tell it."""
        size = np.fmax(np.abs(self.lowest), np.abs(self.highest))
        size = np.where(size > 0, size, 1.0)
        found = self.highest - self.lowest
        return np.where(found > 0, np.where(self.known < KNOWN_FOR_RANGE, np.fmax(found, size), found), size)

    def limits(self, horizon: int, stretch: Any = 1.0) -> tuple[Array, Array]:
        """Lowest and highest values of a forecast that has not run away, (origins, horizon) each.

        ``stretch``, of at least 1, is how many times as far from the history they are: one number, or one an origin.
        """
        steps, size = np.arange(1, horizon + 1), self.size[:, None]
        line = size * (RANGES + steps / np.maximum(self.known - 1, 1)[:, None])
        with np.errstate(over="ignore", invalid="ignore"):
            grown = np.exp(steps * np.maximum(self.growth, 0)[:, None])
            low, high = (edge[:, None] * grown for edge in (self.lowest, self.highest))
        slack = RANGES * size
        low = np.fmin(self.lowest[:, None] - line, low - slack)
        high = np.fmax(self.highest[:, None] + line, high + slack)
        more = np.broadcast_to(np.asarray(stretch) - 1.0, len(low))[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            low = low - np.where(more > 0, more * (self.lowest[:, None] - low), 0.0)
            high = high + np.where(more > 0, more * (high - self.highest[:, None]), 0.0)
        return low, high

    def notes(
        self, mean: Array, quantiles: Array | None, names: pd.Index, model: str, remedies: Sequence[str] = ()
    ) -> list[str]:
        """What is wrong with forecasts: those that are no numbers, that have run away, or whose quantiles lie far out.

        ``names`` has the series of every origin; ``remedies`` are settings of the model that may help if it runs away.
        """
        values = mean[:, :, None] if quantiles is None else np.concatenate([mean[:, :, None], quantiles], axis=2)
        low, high = self.limits(mean.shape[1])
        known = (self.known > 0)[:, None, None]
        failed = ~np.isfinite(values) & known
        beyond = ~failed & known & ((values < low[:, :, None]) | (values > high[:, :, None]))
        gone, wide = beyond & (np.arange(values.shape[2]) == 0), beyond & ~beyond[:, :, :1].any(axis=1, keepdims=True)
        found = []
        if failed.any():
            number, step, _ = np.argwhere(failed)[0]
            found.append(
                f"{model}: {_count(failed, names)} not finite, such as that of series {quoted(names[number])} "
                f"{step + 1} steps ahead."
            )
        if gone.any():
            ways = " or ".join(["compare with baselines", *([f"take {' or '.join(remedies)}"] if remedies else [])])
            found.append(f"{model}: {self._far(gone, values, names)}: the model has run away. Do not use them; {ways}.")
        if wide.any():
            number = int(np.argwhere(wide)[0][0])
            why = (
                f"{self.known[number]} known values tell little"
                if self.known[number] < KNOWN_FOR_WIDTH
                else "its errors say so"
            )
            found.append(
                f"{model}: quantiles of {self._far(wide, values, names)}, while the point forecast is within: "
                f"the interval is as wide as this because {why}. Give more rows, or ask for a narrower level."
            )
        return found

    def _far(self, found: Array, values: Array, names: pd.Index) -> str:
        """Which values are beyond the history, and what it is."""
        number, step, place = np.argwhere(found)[0]
        return (
            f"{_count(found, names)} far beyond the history, such as {values[number, step, place]:.4g} of series "
            f"{quoted(names[number])} {step + 1} steps ahead, whose known values lie in "
            f"[{self.lowest[number]:.4g}, {self.highest[number]:.4g}]"
        )

    def around(self, mean: Array, quantiles: Array | None, levels: Array | None) -> Array | None:
        """Quantiles of which every central interval holds the point forecast, and has a width.

        Those on the wrong side of it move to it, and LEAST_HALF_WIDTH of the range beyond it; not below 0 where no
        known value is.
        """
        if quantiles is None or levels is None:
            return quantiles
        centre, least = mean[:, :, None], LEAST_HALF_WIDTH * self.size[:, None, None]
        floor = np.where(self.lowest >= 0, 0.0, -np.inf)[:, None, None]
        lowest = np.minimum(np.maximum(centre - least, floor), centre)
        below = np.where(levels < 0.5, np.minimum(quantiles, lowest), quantiles)
        found: Array = np.where(levels > 0.5, np.maximum(below, centre + least), below)
        return found

    def checked(
        self, found: Forecasts, levels: Array | None, names: pd.Index, model: str, remedies: Sequence[str]
    ) -> tuple[Array, Array | None]:
        """Forecasts with all values finite, after a warning for every note; arguments as in :meth:`notes`."""
        quantiles = self.around(found.mean, found.quantiles, levels)
        wrong = self.notes(found.mean, quantiles, names, model, remedies)
        if any("not finite" in note for note in wrong):
            wrong[0] += " The last known value stands in their place."
        for note in (*wrong, *found.notes):
            warnings.warn(note, stacklevel=outside())
        return self.repaired(found.mean, quantiles, levels)

    def repaired(self, mean: Array, quantiles: Array | None, levels: Array | None) -> tuple[Array, Array | None]:
        """Forecasts whose values that are not finite are the last known one; quantiles lie on lines to the limits."""
        last = np.broadcast_to(self.last[:, None], mean.shape)
        fixed = np.where(np.isfinite(mean) | np.isnan(last), mean, last)
        if quantiles is None or levels is None or np.isfinite(quantiles).all():
            return fixed, quantiles
        low, high = (limit[:, :, None] for limit in self.limits(mean.shape[1]))
        share = np.abs(2 * levels - 1)
        wide = fixed[:, :, None] * (1 - share) + np.where(levels < 0.5, low, high) * share
        return fixed, np.sort(np.where(np.isfinite(quantiles), quantiles, wide), axis=2)


def held_within(values: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
    """Values (origins, horizon, …) within bounds (origins, horizon), and how many of every origin were not."""
    low, high = (bound.reshape(*bound.shape, *[1] * (values.ndim - 2)) for bound in bounds)
    found = np.clip(values, low, high)
    return found, (found != values).sum(axis=tuple(range(1, values.ndim)))


def held_forecasts(
    model: str, request: ForecastRequest, mean: Array, quantiles: Array | None = None, stretch: Any = 1.0
) -> tuple[Forecasts, int]:
    """Forecasts within the limits of their histories, with a note where they were not; and how many values were not."""
    bounds = Envelope.of(request.panel, request.rows).limits(request.horizon, stretch)
    mean, count = held_within(mean, bounds)
    quantiles = None if quantiles is None else np.sort(held_within(quantiles, bounds)[0], axis=-1)
    return Forecasts(mean, quantiles, runaway_notes(model, request, count)), int(count.sum())


def input_stretch(inputs: Array) -> Array:
    """How much wider bounds are where inputs (origins, horizon, inputs) leave their history: by their largest size."""
    found: Array = np.abs(inputs).max(axis=(1, 2), initial=1.0)
    return found


def runaway_notes(model: str, request: ForecastRequest, count: Array) -> tuple[str, ...]:
    """A note that names the series of which values were clipped, so many of each origin; none if there were none."""
    names = request.panel.names[np.unique(request.series[count > 0])]
    if not len(names):
        return ()
    some = ", ".join(map(quoted, names[:3])) + (f" and {len(names) - 3} others" if len(names) > 3 else "")
    return (
        f"{model}: the forecast of series {some} runs away from its history, and {int(count.sum())} values are held "
        f"{RANGES:g} ranges beyond it and its trend. Do not trust them: try a larger penalty, fewer lags, log=False, "
        "or another forecaster.",
    )


def _over(reduce: np.ufunc, values: Array, begins: Array, ends: Array) -> Array:
    """A reduction of values[begin:end] for every pair."""
    pairs = np.stack([begins, ends], axis=1).ravel()
    found: Array = reduce.reduceat(np.append(values, values[-1:]), pairs)[::2]  # an end may be the row after the last
    return found


def _log_growth(panel: Panel, low: Array, high: Array, starts: Array, ends: Array) -> Array:
    """The logarithm of last to first third's mean, a step; 0 for values of both signs."""
    third = np.maximum((ends - starts) // 3, 1)
    known = ~np.isnan(panel.target)
    means = []
    for begins, stops in ((starts, starts + third), (ends - third, ends)):
        total = _over(np.add, np.where(known, panel.target, 0.0), begins, stops)
        count = _over(np.add, known.astype(np.int64), begins, stops)
        means.append(np.divide(total, count, out=np.full(len(ends), np.nan), where=count > 0))
    one_sign = ((low > 0) | (high < 0)) & ~np.isnan(means[0] + means[1])
    ratio = np.divide(means[1], means[0], out=np.ones(len(ends)), where=one_sign)
    return np.log(ratio) / np.maximum(ends - starts - third, 1)


def _count(found: Array, names: pd.Index) -> str:
    """How many forecasts, of how many, have such a value."""
    return f"{int(found.any(axis=(1, 2)).sum())} of {len(names)} forecasts are"

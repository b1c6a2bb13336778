"""Split-conformal intervals: the spread of errors that were measured on rows the weights have not seen.

σ_{i,k}   how large errors of series i are k steps ahead beside those of the others, on the rows of the fit
r = (q − q̂) / σ_{i,k}   of origins that were held out, all series together
quantile p of q:   q̂ + σ_{i,k} · r_(⌈(n + 1) p⌉)

Where a step has too few errors for that, those of all steps are taken together, see :meth:`Conformal.widths`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.checks import outside
from seqdyn.data.labels import counted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.error_quantiles import ranked_quantiles, size_quantiles, student_factor
from seqdyn.forecasting.origins import Origins
from seqdyn.forecasting.request import ForecastRequest

ORIGINS_PER_SERIES, MOST_ORIGINS_IN_ALL = 120, 50_000
"""How many origins of every series its spread is measured at, and of all series together at most."""

RANKED_ERRORS, PRIOR_STRETCHES = 30, 5
"""With fewer errors than this at some step, those of all steps are taken together; and how many stretches of data the
growth of errors on the rows of the fit is worth."""


class MeasurableModel(Protocol):
    """A fitted model whose errors can be measured, on a scale q of the data where errors add up."""

    @property
    def names(self) -> pd.Index:
        """The series of the fit."""

    def point(self, request: ForecastRequest) -> Array:
        """q̂ from origins of a panel, (origins, horizon)."""

    def truth(self, request: ForecastRequest) -> Array:
        """q, what came, (origins, horizon)."""


@dataclass(frozen=True)
class Conformal:
    """Errors by step, in units of each series' usual error.

    Attributes
    ----------
    scores : array, shape (errors, horizon)
        r, NaN where y was missing.
    spread : array, shape (series, horizon)
        σ.
    profile : array, shape (horizon,)
        How errors grow with the steps, all series together: the mean |r| of every step, drawn to that of the rows of
        the fit where few of its errors are from stretches that do not overlap.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World; Lei et al. (2018), Distribution-Free
    Predictive Inference for Regression, section 5.2 (locally weighted).
    """

    scores: Array
    spread: Array
    profile: Array

    @classmethod
    def measure(cls, model: MeasurableModel, panel: Panel, origins: Origins, usual: Array) -> Conformal:
        """The scores of a fitted model at origins that its weights have not seen; series it does not know are left out.

        ``usual`` is what :func:`usual_errors` gives.
        """
        part = panel.select(np.flatnonzero(panel.names.isin(model.names)))
        place = part.names.get_indexer(panel.names)
        known = place[origins.series] >= 0
        series, offset = place[origins.series[known]], origins.rows[known] - panel.starts[origins.series[known]]
        origins = replace(origins, series=series, rows=part.starts[series] + offset, window=origins.window[known])
        spread, common = usual / usual.mean(axis=0), usual.mean(axis=0)
        owner = model.names.get_indexer(part.names)[series]
        scores = _origin_errors(model, part, origins) / spread[owner]
        return cls(scores, spread, _profile(scores, common))

    def on(self, usual: Array) -> Conformal:
        """The same scores for a model with other usual errors."""
        return replace(self, spread=usual / usual.mean(axis=0))

    @property
    def horizon(self) -> int:
        """The longest forecast whose errors were measured."""
        return int(self.scores.shape[1])

    @property
    def stretches(self) -> float:
        """ν: one more than how many stretches of the data, which do not overlap, the errors of a step are from.

        These are the mean over the steps of n_k / k.
        """
        count = (~np.isnan(self.scores)).sum(axis=0)
        return 1.0 + float((count / np.arange(1, self.horizon + 1)).mean())

    @property
    def widening(self) -> float:
        """How much wider intervals of 80 % are because of few errors: t_{0.9,ν} / z_{0.9}; 1 with enough of them."""
        if self._enough:
            return 1.0
        return float(student_factor(0.9, self.stretches))

    def reason(self, levels: Array) -> str:
        """Why intervals are wider than they would be with more errors; empty if they are not, or hardly."""
        known = (~np.isnan(self.scores)).sum(axis=0)
        furthest = float(np.maximum(levels, 1 - levels).max())
        share, count = (furthest, known.min()) if self._enough else (2 * furthest - 1, known.sum())
        if self.widening < 1.5 and count * (1 - share) >= share - 1e-9:
            return ""
        return (
            f"Intervals rest on {counted(known.min(), 'error')} at some steps, too few for the quantile {furthest:g}: "
            "they are wider for it. Give more rows, or hold more of them out (validation_fraction of the estimator, "
            "calibration of ConformalForecaster)."
        )

    def widths(self, series: Array, levels: Array, horizon: int) -> Array:
        """What is added to the point forecasts of some series for every quantile, (origins, horizon, quantiles).

        The p-quantile of n errors of a step is the one of rank ⌈(n + 1) p⌉, and of −errors for p < ½: then a new error
        exceeds it with probability at most 1 − p. Where that has no meaning for n as small as it is, the errors of all
        steps are taken together, each divided by the profile of its step, and without their signs: their quantile
        |2p − 1|, times Student's t_{p,ν} / z_p. Beyond the steps that were measured the profile goes on as k^a.
        """
        spread = self.spread[:, np.minimum(np.arange(horizon), self.horizon - 1)]
        offsets = self._ranked(levels, horizon) if self._enough else self._together(levels, horizon)
        return spread[series][:, :, None] * offsets

    @property
    def _enough(self) -> bool:
        return bool(((~np.isnan(self.scores)).sum(axis=0) >= RANKED_ERRORS).all())

    def _ranked(self, levels: Array, horizon: int) -> Array:
        """r of every step and level by its rank among the errors of the step, (horizon, quantiles)."""
        table = ranked_quantiles(self.scores[:, :horizon].T, levels)
        beyond = np.isnan(table).any(axis=1)
        if beyond.any():
            table[beyond] = self._together(levels, len(table))[beyond]
        grown = self._grown(horizon)[len(table) :] / self.profile[-1]
        return np.concatenate([table, table[-1] * grown[:, None]])

    def _together(self, levels: Array, horizon: int) -> Array:
        """The same from the errors of all steps, without their signs."""
        ratio = np.abs(self.scores / self.profile)
        size = np.sort(ratio[~np.isnan(ratio)])
        if not len(size):
            raise ValueError("No error could be measured: every value was missing in the rows held out for it.")
        inner = np.abs(2 * levels - 1)
        bound = size_quantiles(size, inner) * student_factor(0.5 + inner / 2, self.stretches)
        return self._grown(horizon)[:, None] * np.where(inner > 1e-9, np.sign(levels - 0.5) * bound, 0.0)

    def _grown(self, horizon: int) -> Array:
        """The profile, carried on beyond what was measured as its second half has grown: as k^a, 0 ≤ a ≤ 1."""
        if horizon <= self.horizon:
            return self.profile[:horizon]
        half = max(1, self.horizon // 2)
        growth = np.log(self.profile[-1] / self.profile[half - 1]) / np.log(max(self.horizon, 2) / half)
        exponent = np.clip(growth, 0, 1) if self.horizon > 1 else 0.5
        beyond = np.arange(self.horizon + 1, horizon + 1) / self.horizon
        return np.concatenate([self.profile, self.profile[-1] * beyond**exponent])


def _profile(scores: Array, common: Array) -> Array:
    """The mean |r| of every step, drawn to that on the rows of the fit times a factor, which counts PRIOR_STRETCHES."""
    count = (~np.isnan(scores)).sum(axis=0)
    total = np.nansum(np.abs(scores), axis=0)
    multiple = total.sum() / (count * common).sum() if total.any() else 1.0
    stretches = count / np.arange(1, len(count) + 1)
    mean = total / np.maximum(count, 1)
    found: Array = (stretches * mean + PRIOR_STRETCHES * multiple * common) / (stretches + PRIOR_STRETCHES)
    return np.maximum(found, 1e-9 * found.max())


def least_rows(horizon: int) -> int:
    """The rows of the longest series that a fit needs, whose errors are to be measured so many steps ahead."""
    return 2 * horizon + 2


def calibration_split(panel: Panel, horizon: int, calibration: int) -> tuple[Origins, Panel]:
    """The origins that errors are measured at, and the rows before them; a warning names series that are too short."""
    origins = Origins.of(panel, horizon, calibration, 1)
    before = origins.before(panel)
    least = least_rows(horizon)
    if int(before.lengths.max()) < least:
        raise ValueError(
            f"calibration={counted(calibration, 'origin')} of {counted(horizon, 'step')} leave at most "
            f"{counted(before.lengths.max(), 'row')} of a series to fit to, and at least {least} are needed: the "
            f"longest has {counted(panel.lengths.max(), 'row')}. Lower calibration or horizon."
        )
    for note in origins.notes:
        warnings.warn(f"Calibration: {note}", stacklevel=outside())
    return origins, before


def at_the_end(panel: Panel, held: Array, horizon: int) -> Origins:
    """Origins at the last ``held`` rows of every series, or at evenly spaced ones where these are very many."""
    apart = max(1, -(-int(held.sum()) // MOST_ORIGINS_IN_ALL))
    back = [np.arange(1, count + 1, apart)[::-1] for count in held]
    series = np.repeat(np.arange(len(held)), [len(own) for own in back])
    rows = panel.ends[series] - np.concatenate(back)
    return Origins(series, rows, np.zeros(len(rows), np.int64), horizon, 1)


def usual_errors(model: MeasurableModel, panel: Panel, horizon: int) -> Array:
    """How large a fitted model's errors are in every series and at every step in the fit, (series, horizon), above 0.

    A series' own profile over the steps is drawn halfway to that of all series, and more if it has few origins.
    """
    count = min(
        ORIGINS_PER_SERIES, max(1, MOST_ORIGINS_IN_ALL // len(panel.names)), int(panel.lengths.max()) - horizon - 2
    )
    origins = Origins.of(panel, horizon, count, 1)
    size = np.abs(_origin_errors(model, panel, origins))
    number = np.zeros((len(panel.names), origins.horizon))
    total = number.copy()
    np.add.at(number, origins.series, ~np.isnan(size))
    np.add.at(total, origins.series, np.nan_to_num(size))
    usual = total.sum(axis=1) / np.maximum(number.sum(axis=1), 1)
    usual = np.where(usual > 0, usual, np.median(usual[usual > 0]) if (usual > 0).any() else 1.0)
    own = total / np.maximum(number, 1) / usual[:, None]
    common = (own * number).sum(axis=0) / np.maximum(number.sum(axis=0), 1)
    share = number / (number + ORIGINS_PER_SERIES)
    profile = share * own + (1 - share) * common
    found: Array = usual[:, None] * np.maximum(profile, 1e-3)
    return found


def _origin_errors(model: MeasurableModel, panel: Panel, origins: Origins) -> Array:
    """q − q̂ at every origin, (origins, horizon)."""
    request = ForecastRequest.within(panel, origins.series, origins.rows, origins.horizon)
    return model.truth(request) - model.point(request)

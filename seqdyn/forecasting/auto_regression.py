"""Autoregression by least squares, one model a series, all series at once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count, outside
from seqdyn.data.panels import Panel
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.envelope import held_forecasts, input_stretch
from seqdyn.forecasting.forward_chaining import ForwardChaining, best_choices
from seqdyn.forecasting.lags import default_input_lags
from seqdyn.forecasting.least_squares import Order, fit_autoregressions
from seqdyn.forecasting.linear_weights import Weights, roll_out, with_inputs
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.tables import series_means
from seqdyn.forecasting.units import Units, log_choices

LEAST_ROWS = 8
"""Rows below which nothing is fitted."""


@dataclass(kw_only=True, repr=False, eq=False)
class AutoRegForecaster(PanelForecaster):
    """Autoregression by least squares, one model a series.

        z_t = c + Σ_{i≤p} φ_i z_{t−i} + Σ_{j≤q} β_j u_{t−j} + ε_t,    σ_k² = σ² Σ_{j<k} ψ_j²

    ψ is the model's response to a shock of one step; z are values or logarithms, standardised; u are the covariates
    known ahead. Missing values are interpolated linearly for the fit; when the history before an origin is run
    through, the model's own prediction takes their place, so nothing later is looked at. A forecast that leaves its
    history and its trend by several ranges is held there, and a warning names the series. A series that cannot be
    fitted gets its last value; a warning and ``notes_`` say so.

    Parameters
    ----------
    lags : int or None, at least 1
        p. None: the larger of m and 10 log₁₀ n, but at most a quarter of the series, and 60.
    input_lags : int or None, at least 0
        q, how many earlier values of a covariate count, besides the present one. None: 4, less for series of fewer
        than 80 rows.
    log : bool or "auto"
        Logarithms; "auto": of series whose values are all positive in the fit, where they forecast the later half
        better by weights fitted to what came before.
    n_jobs : int or None
        Unused: all series are fitted at once. It is kept for files that name it.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster; ``past`` and ``static`` are not used.

    Attributes
    ----------
    coefficients_ : array, shape (series, lags, 1)
        φ, that of the last value last.
    intercepts_ : array, shape (series, 1)
        c.
    input_coefficients_ : array, shape (series, input_lags + 1, inputs, 1)
        β, that of the present value last, in units of the inputs' deviations.
    logged_ : array of bool, shape (series,)
    deviation_ : array, shape (series,)
        σ, of z.
    notes_ : list of str
        Series that could not be fitted, and why.

    References
    ----------
    Hamilton (1994), Time Series Analysis, eqs. 3.4.31 and 4.2.28.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> wave = pd.Series(np.sin(np.arange(61) * np.pi / 6))
    >>> AutoRegForecaster(lags=2).fit(wave).forecast(2).round(3).tolist()
    [0.5, 0.866]
    """

    lags: int | None = None
    input_lags: int | None = None
    log: Any = "auto"
    n_jobs: int | None = None

    used_covariates = ("future",)

    def _learn(self, panel: Panel) -> None:
        season = self.season_of(panel)
        check_count("lags", self.lags, others=(None,))
        check_count("input_lags", self.input_lags, 0, (None,))
        check_choice("log", self.log, ("auto", True, False))
        whole, lags = interpolated(panel), self._lags(panel.lengths, season)
        least = self._fewest(panel, lags)
        self.logged_ = self._logged(panel, whole, lags, season)
        units, weights = self._fitted(whole, self.logged_, lags)
        self.centre_, self.scale_ = units.centre, units.scale
        self.input_centre_, self.input_scale_ = units.input_centre, units.input_scale
        self.coefficients_, self.intercepts_ = weights.coefficients, weights.intercepts
        self.input_coefficients_ = weights.inputs
        self.deviation_ = self._residual(whole, units, weights, np.where(panel.lengths < least, 1, lags))
        rows = zip(panel.lengths, least, strict=True)
        faults = [f"it has {count} rows, fewer than {few}" if count < few else "" for count, few in rows]
        self.notes_ = last_value_notes(type(self).__name__, [repr(name) for name in panel.names], faults)

    def _logged(self, panel: Panel, whole: Panel, lags: Array, season: int) -> Array:
        """Which series are logged: those that are forecast better so, where that is to be found out."""
        choices = log_choices(panel, self.log)
        if len(choices) == 1:
            return choices[0]
        last = ForwardChaining.of(panel, season, season)
        found = [last.errors(partial(self._tried, whole, logged, lags)) for logged in choices]
        return np.array(choices)[best_choices(np.concatenate(found), False), np.arange(len(lags))]

    def _tried(self, whole: Panel, logged: Array, lags: Array, kept: Array) -> tuple[Units, list[Weights]]:
        units, weights = self._fitted(whole, logged, lags, kept)
        return units, [weights]

    def _lags(self, lengths: Array, season: int) -> Array:
        if self.lags is not None:
            return np.full(len(lengths), int(self.lags))
        most = np.minimum(np.maximum(season, (10 * np.log10(lengths)).astype(np.int64)), 60)
        return np.maximum(1, np.minimum(most, lengths // 4))

    def _fewest(self, panel: Panel, lags: Array) -> Array:
        """Rows below which a series is not fitted."""
        inputs = panel.future.shape[1] * (self._input_lags(panel) + 1)
        return np.maximum(LEAST_ROWS, 2 * lags + 2 + inputs)

    def _input_lags(self, panel: Panel) -> int:
        if not panel.future.shape[1]:
            return 0
        return default_input_lags(panel) if self.input_lags is None else int(self.input_lags)

    def _fitted(self, panel: Panel, logged: Array, lags: Array, kept: Array | None = None) -> tuple[Units, Weights]:
        """Units and weights of a panel without gaps, of some targets; the last value where there are too few."""
        units = Units.of(panel, 1, logged, "deviation")
        values, inputs = units.of_panel(panel, np.arange(len(lags))), units.of_inputs(panel.future, panel.series)
        parts = []
        for count in np.unique(lags):
            own = np.flatnonzero(lags == count)
            order = Order(int(count), self._input_lags(panel))
            parts.append(
                (own, fit_autoregressions(panel, values, inputs, order, np.zeros((1, 1)), kept=kept, numbers=own)[0])
            )
        weights = Weights.joined(parts)
        rows = panel.lengths if kept is None else np.add.reduceat(kept, panel.starts, dtype=np.int64)
        few = rows < self._fewest(panel, lags)
        for part in (weights.coefficients, weights.intercepts, weights.inputs):
            part[few] = 0.0
        weights.coefficients[few, -1] = 1.0
        return units, weights

    def _residual(self, whole: Panel, units: Units, weights: Weights, lags: Array) -> Array:
        """Root mean square of the one-step errors of z in the rows of the fit, shape (series,)."""
        every = np.arange(len(lags))
        first = np.maximum(lags, weights.window - 1)
        rows = np.flatnonzero(whole.steps >= first[whole.series])
        z = roll_out(ForecastRequest.within(whole, whole.series[rows], rows, 1), every, units, weights)
        square = np.full(len(whole.target), np.nan)
        square[rows] = (units.of_panel(whole, every)[rows] - z[:, 0]) ** 2
        return np.sqrt(series_means(square, whole.starts))

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        owner = request.numbers(self.panel_.names)
        units = Units(self.centre_, self.scale_, self.logged_, self.input_centre_, self.input_scale_)
        weights = Weights(self.coefficients_, self.intercepts_, self.input_coefficients_)
        z = roll_out(request, self.panel_.names.get_indexer(request.panel.names), units, weights)
        stretch = input_stretch(units.of_inputs(request.future, owner))
        found = Forecasts.gaussian(z, lambda: self._deviation(request.horizon)[owner], request.levels).quantiles
        quantiles = None if found is None else units.restored(found, owner)
        return held_forecasts(type(self).__name__, request, units.restored(z, owner), quantiles, stretch)[0]

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of ``to_content``."""
        return super().from_content(with_inputs(content))

    def _deviation(self, horizon: int) -> Array:
        """σ_k of every series, (series, horizon), of z."""
        count, lags = self.coefficients_.shape[:2]
        shock = np.zeros((count, lags))
        shock[:, -1] = 1.0
        plain = Weights(self.coefficients_, np.zeros_like(self.intercepts_), np.zeros((count, 0, 0, 1)))
        response = np.ones((count, horizon))
        if horizon > 1:
            response[:, 1:] = plain.ahead(np.arange(count), shock, np.zeros((count, horizon, 0)), horizon - 1)
        with np.errstate(over="ignore"):
            return self.deviation_[:, None] * np.sqrt(np.cumsum(np.minimum(response**2, 1e100), axis=1))


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

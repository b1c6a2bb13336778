"""Forecasters by exponential smoothing, fitted to all series at once: with a trend, and by the Theta method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from seqdyn.arrays import Array
from seqdyn.checks import check_choice
from seqdyn.data.labels import quoted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.seasons import seasonal_indices_of
from seqdyn.forecasting.smoothing import (
    Course,
    Form,
    SmoothingState,
    extrapolate,
    first_level,
    fit_smoothing,
    run_smoothing,
)
from seqdyn.forecasting.smoothing_errors import deviation_growth, one_step

VALUES_PER_BLOCK = 2_000_000
"""How many values are held at once while series are run through side by side."""

RECENT = 1000
"""How many of the last rows the parameters are fitted to: smoothing forgets what was before."""


@dataclass(kw_only=True, repr=False, eq=False)
class SmoothingForecaster(PanelForecaster):
    """Exponential smoothing of all series at once, with a level, a trend and a season.

        ŷ_{t+k} = (l_t + (φ + … + φᵏ) b_t) + s_{t+k−m}

    with the recursion of :mod:`seqdyn.forecasting.smoothing`; a multiplicative season is a factor. α, β, γ and φ are
    found by least squares of the one-step errors of every series, all series side by side, so thousands take seconds.
    The state (l, b, s) is kept: new rows cost only themselves.

    Parameters
    ----------
    trend : {"damped", "linear", "none"}
        φ is fitted, or 1; or there is no trend.
    seasonal : {"none", "add", "mul"}
        A season that is added, a factor, or none. "mul" is "add" in series that are not positive.
    log : bool
        Model log y of the series whose values are all positive.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster; covariates are not used.

    Attributes
    ----------
    smoothing_ : array, shape (4, series)
        α, β, γ and φ.
    state_ : SmoothingState
        After the last known row, of values divided by ``scale_``.
    deviation_, freedom_ : array, shape (series,)
        σ of the next step, and the degrees of freedom of the Student distribution that intervals are made of, see
        :mod:`seqdyn.forecasting.smoothing_errors`.

    References
    ----------
    Hyndman, Koehler, Ord & Snyder (2008), Forecasting with Exponential Smoothing, chapters 2 and 3.

    Examples
    --------
    >>> import pandas as pd
    >>> line = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    >>> SmoothingForecaster(trend="linear").fit(line).forecast(2).round(3).tolist()
    [11.0, 12.0]
    """

    trend: str = "damped"
    seasonal: str = "none"
    log: bool = False

    used_covariates = ()

    def _learn(self, panel: Panel) -> None:
        season = self.season_of(panel)
        self._check()
        self.positive_ = np.fmin.reduceat(panel.target, panel.starts) > 0
        self.logged_ = self.positive_ & self.log
        size = np.nan_to_num(np.add.reduceat(np.nan_to_num(np.abs(panel.target)), panel.starts))
        count = np.add.reduceat(~np.isnan(panel.target), panel.starts)
        self.scale_ = np.where(self.logged_ | (size == 0), 1.0, size / np.maximum(count, 1))
        self._fit_all(panel, season)

    def _check(self) -> None:
        check_choice("trend", self.trend, ("damped", "linear", "none"))
        check_choice("seasonal", self.seasonal, ("none", "add", "mul"))
        check_choice("log", self.log, (True, False))

    def _fit_all(self, panel: Panel, season: int) -> None:
        """Parameters, first states, last states and the size of errors of all series, block by block."""
        count, m = len(panel.names), season if self._seasonal else 1
        self.smoothing_ = np.empty((4, count))
        self.deviation_, self.freedom_ = np.empty(count), np.empty(count)
        self.start_ = SmoothingState(np.empty(count), np.empty(count), np.empty((m, count)))
        self.state_ = SmoothingState(np.empty(count), np.empty(count), np.empty((m, count)))
        every = np.arange(count)
        for form, chosen in self._blocks(panel, m, every, every):
            values = self._aligned(panel, chosen, chosen)
            smoothed = self._prepared(values, chosen, season)
            start = first_level(form, smoothed, season)
            own, _ = fit_smoothing(form, _recent(smoothed, panel.lengths[chosen]), season)
            self.smoothing_[:, chosen] = own
            _write_state(self.start_, chosen, start)
            course = run_smoothing(form, own, start, smoothed)
            _write_state(self.state_, chosen, course.at(panel.lengths[chosen], np.arange(len(chosen))))
            states = self._fitted_states(form, chosen, np.minimum(season, panel.lengths[chosen]))
            self.deviation_[chosen], self.freedom_[chosen] = one_step(course.errors, values, len(form.free), states)

    def _fitted_states(self, form: Form, series: Array, phases: Array) -> Array:
        """How many first states were fitted, of series that show so many phases of the season, (series,)."""
        return 1 + (form.trend != "none") + (phases - 1) * (form.season != "none")

    @property
    def _seasonal(self) -> bool:
        """Whether the state has a season."""
        return self.seasonal != "none"

    def _form(self, positive: bool) -> Form:
        """The form of positive series, or of others."""
        if not self._seasonal:
            return Form(self.trend, "none")
        return Form(self.trend, "mul" if self.seasonal == "mul" and not self.log and positive else "add")

    def _prepared(self, values: Array, series: Array, season: int) -> Array:
        """What is smoothed, in the fit."""
        return values

    def _adjusted(self, values: Array, series: Array, first: Any) -> Array:
        """What is smoothed of values that begin ``first`` rows after the first of the fit."""
        return values

    def _blocks(self, panel: Panel, m: int, among: Array, owner: Array) -> Iterator[tuple[Form, Array]]:
        """Series of one form and of about one length, so many that their arrays stay small."""
        for positive in (True, False):
            chosen = among[self.positive_[owner[among]] == positive]
            chosen = chosen[np.argsort(panel.lengths[chosen], kind="stable")]
            while len(chosen):
                size = max(1, VALUES_PER_BLOCK // max(int(panel.lengths[chosen[-1]]), 8 * m * m))
                yield self._form(positive), chosen[-size:]
                chosen = chosen[:-size]

    def _owner(self, panel: Panel) -> Array:
        """The number that every series of a panel had in the fit."""
        if panel.names is self.panel_.names:
            return np.arange(len(panel.names))
        return self.panel_.names.get_indexer(panel.names)

    def _aligned(self, panel: Panel, series: Array, owner: Array) -> Array:
        """z of some series, (time, series): each begins in row 0, and is NaN after its end."""
        lengths = panel.lengths[series]
        row = np.arange(int(lengths.max()))[:, None]
        place = np.minimum(panel.starts[series] + row, len(panel.target) - 1)
        y = np.where(row < lengths, panel.target[place], np.nan)
        logged = self.logged_[owner]
        return np.where(logged, np.log(np.where(logged & (y > 0), y, np.nan)), y / self.scale_[owner])

    def _restored(self, z: Array, owner: Array) -> Array:
        """y of z (origins, …)."""
        shape = (-1, *[1] * (z.ndim - 1))
        logged = self.logged_[owner].reshape(shape)
        return np.where(
            logged, np.exp(np.clip(np.where(logged, z, 0.0), -700, 700)), z * self.scale_[owner].reshape(shape)
        )

    def forecast_ahead(self, horizon: int, future: Array, levels: Array | None = None) -> Forecasts:
        owner = np.arange(len(self.panel_.names))
        return self._from(self.state_, owner, self.panel_.lengths, horizon, levels)

    def follow(self, new: Panel, panel: Panel, known: Panel) -> None:
        """Filter the new rows alone."""
        owner = self.panel_.names.get_indexer(new.names)
        for form, chosen in self._blocks(new, len(self.state_.season), np.arange(len(owner)), owner):
            own = owner[chosen]
            values = self._adjusted(self._aligned(new, chosen, own), own, self.panel_.lengths[own])
            course = run_smoothing(form, self.smoothing_[:, own], _state_of(self.state_, own), values)
            _write_state(self.state_, own, course.at(new.lengths[chosen], np.arange(len(own))))
        super().follow(new, panel, known)

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        panel, series, rows = request.panel, request.series, request.rows
        owner, begun = self._owner(panel), self._begun(panel)
        state = SmoothingState(np.empty(len(rows)), np.empty(len(rows)), np.empty((len(self.start_.season), len(rows))))
        steps = rows - panel.starts[series]
        for form, chosen in self._blocks(panel, len(state.season), np.unique(series), owner):
            origin = np.flatnonzero(np.isin(series, chosen))
            place = np.searchsorted(np.sort(chosen), series[origin])
            course = self._course(form, panel, np.sort(chosen), owner, begun, int(steps[origin].max()))
            _write_state(state, origin, course.at(steps[origin], place))
        return self._from(state, owner[series], begun[series] + steps, request.horizon, request.levels)

    def _course(self, form: Form, panel: Panel, chosen: Array, owner: Array, begun: Array, until: int) -> Course:
        """A run over the first rows of some series."""
        own, shift = owner[chosen], begun[chosen]
        values = self._adjusted(self._aligned(panel, chosen, own)[:until], own, shift)
        start = _state_of(self.start_, own)
        if shift.any():
            start = _moved_start(start, shift, values, form)
        return run_smoothing(form, self.smoothing_[:, own], start, values)

    def _begun(self, panel: Panel) -> Array:
        """How many steps after the first row of the fit every series of a panel begins, (series,)."""
        owner = self._owner(panel)
        first, here = self.panel_.times[self.panel_.starts][owner], panel.times[panel.starts]
        begun = np.zeros(len(panel.names), dtype=np.int64)
        for number in np.flatnonzero(np.asarray(first != here)):
            low, high = min(first[number], here[number]), max(first[number], here[number])
            steps = len(panel.grid.between(low, high)) - 1
            begun[number] = steps if here[number] > first[number] else -steps
        return begun

    def _from(self, state: SmoothingState, owner: Array, count: Array, horizon: int, levels: Array | None) -> Forecasts:
        """Forecasts from states, after so many rows of the fit's first."""
        z = self._extrapolated(state, owner, count, horizon)
        mean = self._restored(z, owner)
        if levels is None:
            return Forecasts(mean)
        width = t.ppf(levels, self.freedom_[owner, None, None])
        width = width * self._deviation(state, owner, count, horizon)[:, :, None]
        return Forecasts(mean, self._restored(np.sort(z[:, :, None] + width, axis=2), owner), self._doubts(owner))

    def _doubts(self, owner: Array) -> tuple[str, ...]:
        """What is to be said of intervals of some series."""
        few = np.unique(owner[self.freedom_[owner] < 2])
        if not len(few):
            return ()
        return (
            f"Intervals are guesses in {len(few)} series, such as {quoted(self.known_.names[few[0]])}: one or two "
            "known values do not tell how far they stray.",
        )

    def _extrapolated(self, state: SmoothingState, owner: Array, count: Array, horizon: int) -> Array:
        """ẑ, (origins, horizon)."""
        return self._by_form(extrapolate, state, owner, horizon)

    def _by_form(self, steps_of: Callable[..., Array], state: SmoothingState, owner: Array, horizon: int) -> Array:
        """What a function of form, parameters, state and horizon says of every origin, (origins, horizon)."""
        found = np.empty((len(owner), horizon))
        for positive in (True, False):
            chosen = np.flatnonzero(self.positive_[owner] == positive)
            if len(chosen):
                own = self.smoothing_[:, owner[chosen]]
                found[chosen] = steps_of(self._form(positive), own, _state_of(state, chosen), horizon)
        return found

    def _deviation(self, state: SmoothingState, owner: Array, count: Array, horizon: int) -> Array:
        """σ_k, (origins, horizon)."""
        grown = self._by_form(deviation_growth, state, owner, horizon)
        return np.maximum(self.deviation_[owner], 1e-12)[:, None] * grown


@dataclass(kw_only=True, repr=False, eq=False)
class ThetaForecaster(SmoothingForecaster):
    """The Theta method: simple exponential smoothing of the seasonally adjusted series, and half the slope of its line.

        x_t = y_t / s_φ(t)                                 (or less it)
        ŷ_{t+k} = s_φ(t+k) (l_t + θ b (k − 1 + (1 − (1 − α)ᵗ) / α))

    s are the classical indices, b is the slope of the straight line through x, l its level by exponential smoothing
    with α, θ = ½. With θ = 0 no trend is continued.

    Parameters
    ----------
    seasonal : {"none", "add", "mul"}
        How the series is adjusted; "mul" is "add" in series that are not positive.
    trend : {"none"}
        The trend is that of the line; the level alone is smoothed.
    slope : float in [0, 1]
        θ, the share of the line's slope that is continued.
    log : bool
        Model log y of the series whose values are all positive.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster; covariates are not used.

    Attributes
    ----------
    indices_ : array, shape (m, series)
        s, by phase counted from the first row of the fit.
    slopes_ : array, shape (series,)
        b.

    References
    ----------
    Assimakopoulos & Nikolopoulos (2000), The theta model; Hyndman & Billah (2003), Unmasking the Theta method, eq. 8.

    Examples
    --------
    >>> import pandas as pd
    >>> line = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    >>> ThetaForecaster().fit(line).forecast(2).round(1).tolist()
    [10.5, 11.0]
    """

    trend: str = "none"
    slope: float = 0.5

    @property
    def _seasonal(self) -> bool:
        return False

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.slope <= 1:
            raise ValueError(f"slope is a share of the line's slope, in [0, 1], got {self.slope!r}.")

    def _fit_all(self, panel: Panel, season: int) -> None:
        m = season if self.seasonal != "none" else 1
        self.indices_, self.slopes_ = np.empty((m, len(panel.names))), np.empty(len(panel.names))
        super()._fit_all(panel, season)

    def _prepared(self, values: Array, series: Array, season: int) -> Array:
        multiplies = self._multiplies(series)
        for kind in (True, False):
            chosen = multiplies == kind
            if chosen.any():
                self.indices_[:, series[chosen]] = seasonal_indices_of(values[:, chosen], len(self.indices_), kind)
        adjusted = self._adjusted(values, series, 0)
        self.slopes_[series] = _slopes(adjusted)
        return adjusted

    def _adjusted(self, values: Array, series: Array, first: Any) -> Array:
        index = self._index(np.arange(len(values))[:, None] + first, series)
        return np.where(self._multiplies(series), values / np.where(index > 0, index, 1.0), values - index)

    def _index(self, steps: Array, series: Array) -> Array:
        """s of the steps since the first row of the fit, (steps, series)."""
        found: Array = self.indices_[steps % len(self.indices_), series]
        return found

    def _fitted_states(self, form: Form, series: Array, phases: Array) -> Array:
        season = self.indices_[:, series]
        return 1 + (self.slope > 0) + (phases - 1) * (season != season[0]).any(axis=0)

    def _deviation(self, state: SmoothingState, owner: Array, count: Array, horizon: int) -> Array:
        index = self._index(count[:, None] + np.arange(horizon), owner[:, None])
        factor = np.where(self._multiplies(owner)[:, None], index, 1.0)
        return super()._deviation(state, owner, count, horizon) * factor

    def _multiplies(self, series: Array) -> Array:
        found: Array = self.positive_[series] & (self.seasonal == "mul") & (not self.log)
        return found

    def _extrapolated(self, state: SmoothingState, owner: Array, count: Array, horizon: int) -> Array:
        alpha, steps = self.smoothing_[0, owner][:, None], np.arange(horizon)
        reached = (1 - (1 - alpha) ** count[:, None]) / alpha
        plain = state.level[:, None] + self.slope * self.slopes_[owner][:, None] * (steps + reached)
        index = self._index(count[:, None] + steps, owner[:, None])
        return np.where(self._multiplies(owner)[:, None], plain * index, plain + index)


def _slopes(values: Array) -> Array:
    """The slope of the straight line through the known values of every series, (series,)."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    row = np.arange(len(values))[:, None] * np.ones(values.shape[1])
    off = np.where(known, row - (row * known).sum(axis=0) / count, 0.0)
    square = (off**2).sum(axis=0)
    return (off * np.nan_to_num(values)).sum(axis=0) / np.where(square > 0, square, 1.0)


def _recent(values: Array, lengths: Array) -> Array:
    """The last rows of every series, each again from row 0 on."""
    if len(values) <= RECENT:
        return values
    place = np.maximum(lengths - RECENT, 0) + np.arange(RECENT)[:, None]
    return np.where(place < lengths, values[np.minimum(place, len(values) - 1), np.arange(values.shape[1])], np.nan)


def _state_of(state: SmoothingState, chosen: Array) -> SmoothingState:
    """The states of some series."""
    return SmoothingState(state.level[chosen], state.trend[chosen], state.season[:, chosen])


def _write_state(state: SmoothingState, chosen: Array, new: SmoothingState) -> None:
    """Write the states of some series."""
    state.level[chosen], state.trend[chosen], state.season[:, chosen] = new


def _moved_start(start: SmoothingState, shift: Array, values: Array, form: Form) -> SmoothingState:
    """First states of series that begin elsewhere than in the fit: their season turned, their level new."""
    m = len(start.season)
    season = np.take_along_axis(start.season, (np.arange(m)[:, None] + shift) % m, axis=0)
    first = np.where(
        np.isnan(values[0]), start.level, values[0] / season[0] if form.season == "mul" else values[0] - season[0]
    )
    return SmoothingState(np.where(shift != 0, first - start.trend, start.level), start.trend, season)

"""How series are best shown to a linear autoregression, found by forecasts of rows that its weights have not seen.

For every setting (logarithm, differences, lags, centring) and every ridge penalty λ one model of all series is solved
for without the last rows of each, run freely from several origins there, and scored by

    mean |y − ŷ| / mean |y_t − y_{t-m}|.

The best is where a network starts from: it cannot be much worse than that linear model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.least_squares import Order, fit_autoregressions
from seqdyn.forecasting.request import ForecastRequest
from seqdyn.forecasting.transform import SeriesTransform

START_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""λ, for values in units of their standard deviation."""

SAMPLE_SERIES, SAMPLE_ROWS = 200, 20_000
"""Series that are looked at, evenly spread, and rows at the end of each."""

LEARNT_SHARE, LEAST_LEARNT_ROWS = 0.4, 6
"""The share of every series, and the rows, that validation leaves to learn from at least."""

TESTED_SHARE, LEAST_ORIGINS = 0.4, 8
"""The share of a series that origins lie in, but at least so many origins."""

ZERO_ERROR = 1e-9
"""Errors below this are none."""

SMALL_COUNT = 10
"""Counts below this may be 0 one day."""

SETTING_GAIN, PENALTY_TIE = 0.02, 0.01
"""How much better than the ones before it, from the simplest on, a setting must be; and how much worse than the best a
larger penalty may be."""


@dataclass(frozen=True)
class SeriesSetting:
    """How series are shown to a model.

    Attributes
    ----------
    log : bool or "auto"
        As in :class:`~seqdyn.forecasting.transform.SeriesTransform`, like the next four.
    difference, seasonal_difference : int
    scaling : str or None
    lags : int
        p, how many of the last values the model sees.
    centred : bool
        Whether it sees them relative to the last one.
    penalty : float
        λ.
    """

    log: Any = False
    difference: int = 0
    seasonal_difference: int = 0
    scaling: str | None = "standard"
    lags: int = 2
    centred: bool = True
    penalty: float = 1.0

    def memory(self, season: int) -> int:
        """How many past values the differences need."""
        return self.difference + season * self.seasonal_difference

    def transform(self, panel: Panel, season: int) -> SeriesTransform:
        """The transform of every series of a panel."""
        return SeriesTransform.fit(panel, self.log, self.difference, self.seasonal_difference, season, self.scaling)


class ChosenSetting(NamedTuple):
    """What validation chose, of how many settings.

    The error is scaled; it is NaN where the series are too short to be validated.
    """

    setting: SeriesSetting
    error: float
    tried: int


class ValidationOrigins(NamedTuple):
    """Origins in the last rows of a panel, and every series without the rows from its first origin on."""

    request: ForecastRequest
    before: Panel


def validation_horizon(horizon: int | None, season: int) -> int:
    """The steps that settings are validated on: those asked for, else a season or two, at least 6.

    Examples
    --------
    >>> [validation_horizon(None, season) for season in (1, 4, 7, 12, 24)], validation_horizon(3, 12)
    ([6, 8, 12, 12, 24], 3)
    """
    return horizon or max(6, season, min(2 * season, 12))


def validation_origins(panel: Panel, horizon: int, count: int, least: int = LEAST_LEARNT_ROWS) -> ValidationOrigins:
    """Origins at the end of every series, half a horizon apart: in the last 40 % of it, but eight where there is room.

    A horizon counts up to a third of the median length; ``least`` rows at least are left before the first origin.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> tests = validation_origins(read_panel(pd.Series(range(40))), 6, 3)
    >>> tests.request.rows.tolist(), len(tests.before.target)
    ([34, 31, 28], 28)
    """
    length = int(np.median(panel.lengths))
    horizon = max(1, min(horizon, length // 3))
    step = max(1, horizon // 2)
    count = min(count, max(LEAST_ORIGINS, int(TESTED_SHARE * length / step)))
    back = horizon + step * np.arange(count)
    left = panel.lengths[:, None] - back
    good = left >= np.maximum(max(LEAST_LEARNT_ROWS, least), np.ceil(LEARNT_SHARE * panel.lengths))[:, None]
    series, number = np.nonzero(good)
    used = np.where(good, back, 0).max(axis=1, initial=0)
    request = ForecastRequest.within(panel, series, panel.ends[series] - back[number], horizon)
    return ValidationOrigins(request, panel.head(panel.lengths - used))


def validation_sample(panel: Panel) -> Panel:
    """The part of a panel that settings are chosen on: some of its series, the last rows of each."""
    count = len(panel.names)
    if count > SAMPLE_SERIES:
        panel = panel.select(np.unique(np.linspace(0, count - 1, SAMPLE_SERIES).astype(np.int64)))
    return panel.tail(SAMPLE_ROWS) if int(panel.lengths.max()) > SAMPLE_ROWS else panel


def candidate_settings(
    panel: Panel, seasons: Sequence[int], scaling: str | None, given: Mapping[str, Any]
) -> list[SeriesSetting]:
    """The settings to compare, from the simplest on; what is given is kept.

    Logarithms are tried where a series is positive and none is of counts below 10, which may be 0 one day. The panel
    has the rows before the tests. Who gave one of the differences gave both.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series(range(40)))
    >>> found = candidate_settings(panel, [1], "seasonal", {"difference": 0, "centred": True})
    >>> [(setting.log, setting.lags) for setting in found]
    [(False, 2), (False, 3), (False, 5)]
    """
    if "difference" in given or "seasonal_difference" in given:
        given = {"difference": 0, "seasonal_difference": 0} | dict(given)
    choices: dict[str, Sequence[Any]] = {
        "difference": (0, 1),
        "seasonal_difference": (0, 1) if seasons[0] > 1 else (0,),
        "log": (False, "auto") if _may_take_logarithms(panel) else (False,),
        "centred": (True, False),
        "lags": _lag_choices(panel, seasons),
    }
    choices |= {name: (value,) for name, value in given.items()}
    settings = [
        SeriesSetting(scaling=scaling, **dict(zip(choices, values, strict=True)))
        for values in product(*choices.values())
    ]
    room = int(panel.lengths.min()) // 2
    fits = [own for own in settings if own.lags > own.centred and own.memory(seasons[0]) <= room]
    return fits or settings[:1]


def best_setting(
    settings: Sequence[SeriesSetting],
    penalties: Sequence[float],
    season: int,
    tests: ValidationOrigins,
    steps: int = 1,
) -> ChosenSetting:
    """The setting whose linear model forecasts the last rows best; without any origin the first, of the middle penalty.

    Settings are tried in turn: a later one must be better by 2 %. Of the increasing penalties the largest is taken that
    is no more than 1 % worse than the best.
    """
    best = ChosenSetting(replace(settings[0], penalty=penalties[len(penalties) // 2]), np.nan, 0)
    if not len(tests.request.rows):
        return best
    scale = mean_changes(tests.before, season)[tests.request.series]
    least = np.inf
    for setting in settings:
        errors = linear_errors(setting, penalties, season, tests, scale, steps)
        place = int(np.flatnonzero(errors <= errors.min() * (1 + PENALTY_TIE))[-1])
        if errors[place] < least * (1 - SETTING_GAIN):
            least = float(errors[place])
            best = ChosenSetting(replace(setting, penalty=penalties[place]), least, len(settings) * len(penalties))
    return best


def linear_errors(
    setting: SeriesSetting,
    penalties: Sequence[float],
    season: int,
    tests: ValidationOrigins,
    scale: Array,
    steps: int = 1,
) -> Array:
    """Scaled errors of the linear models of a setting, one for every penalty; inf where one leaves all bounds."""
    asked, panel = tests.request, tests.request.panel
    transform = setting.transform(tests.before, season)
    z = transform.forward(tests.before)[:, 0]
    if not np.logical_or.reduceat(~np.isnan(z), tests.before.starts).all():
        return np.full(len(penalties), np.inf)
    unit = float(np.nanstd(z)) or 1.0
    order = Order(setting.lags, steps=steps, centred=setting.centred)
    none = np.zeros((len(z), 0))
    models = fit_autoregressions(tests.before, z / unit, none, order, np.array(penalties)[:, None], pooled=True)
    past = _past_values(transform.forward(panel)[:, 0] / unit, asked, setting.lags, transform.memory)
    tails, wanted = transform.tails(panel, asked.series, asked.rows), asked.actual()
    number, inputs = np.zeros(len(past), np.int64), np.zeros((len(past), steps + asked.horizon, 0))
    errors = []
    with np.errstate(over="ignore", invalid="ignore"):
        for model in models:
            ahead = unit * model.ahead(number, past, inputs, asked.horizon)
            errors.append(scaled_error(wanted, transform.backward(ahead, asked.series, tails), scale))
    return np.array(errors)


def scaled_error(wanted: Array, said: Array, scale: Array) -> float:
    """mean |y − ŷ| / scale over what is known, (origins, horizon), at least 1e-9; inf where it is not finite."""
    error = np.abs(wanted - said) / scale[:, None]
    known = ~np.isnan(wanted)
    found = float(error[known].mean()) if known.any() else np.inf
    return max(found, ZERO_ERROR) if np.isfinite(found) else np.inf


def _may_take_logarithms(panel: Panel) -> bool:
    lowest = np.fmin.reduceat(panel.target, panel.starts)
    known = np.nan_to_num(panel.target)
    whole = np.logical_and.reduceat(known == np.round(known), panel.starts)
    return bool((lowest > 0).any() and not (whole & (lowest > 0) & (lowest < SMALL_COUNT)).any())


def _lag_choices(panel: Panel, seasons: Sequence[int]) -> list[int]:
    """The numbers of lags to try: 2, 5, and one more than one, two or three seasons; at most a third of the rows."""
    most = max(2, int(np.median(panel.lengths)) // 3)
    several = {2, 5} if seasons[0] < 24 else {2}
    for season in seasons:
        several |= {season + 1, 2 * season + (season < 24)}
        several |= {3 * season + 1} if 1 < season < 12 else set()
    return sorted({min(lags, most) for lags in several if lags > 1})


def _past_values(z: Array, request: ForecastRequest, lags: int, memory: int) -> Array:
    """The values before every origin, gaps filled with the ones before them, (origins, lags)."""
    panel = request.panel
    first = panel.starts[request.series] + memory
    place = np.maximum(request.rows[:, None] + np.arange(-lags, 0), first[:, None])
    known = np.where(np.isnan(z), panel.starts[panel.series], np.arange(len(z)))
    filled = z[np.maximum.accumulate(known)]
    return np.nan_to_num(filled[place])

"""Forecasts of several models from the origins of a backtest."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from seqdyn.arrays import Array
from seqdyn.checks import outside
from seqdyn.data.labels import quoted
from seqdyn.data.panel_additions import check_zone
from seqdyn.data.panels import Panel
from seqdyn.forecasting.backtest import KEYS, Backtest
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.origins import Origins, naive_scales
from seqdyn.forecasting.reading import check_grid
from seqdyn.forecasting.request import ForecastRequest, Forecasts, quantile_columns
from seqdyn.progress import Callback, nested, track

if TYPE_CHECKING:
    from seqdyn.forecasting.contract import PanelForecaster


class _Task(NamedTuple):
    """One model, and the origins that it forecasts from with one fit."""

    name: str
    model: PanelForecaster
    chosen: Array


@dataclass(frozen=True)
class BacktestRun:
    """What all models of a backtest have in common.

    Attributes
    ----------
    panel : Panel
    origins : Origins
    refit : bool or int
        False: a fitted model is used as it is, and others are fitted before the first window. True: copies are fitted
        before every window; k: before every k-th.
    levels : array or None
        Quantiles.
    """

    panel: Panel
    origins: Origins
    refit: bool | int
    levels: Array | None

    def __post_init__(self) -> None:
        if not isinstance(self.refit, bool | int | np.integer) or (self.refit is not False and self.refit < 1):
            raise ValueError(f"refit must be True, False or a number of windows of at least 1, got {self.refit!r}.")

    def forecasts(
        self, models: Mapping[str, PanelForecaster], verbose: bool | int = 0, callback: Callback | None = None
    ) -> pd.DataFrame:
        """Forecasts of some models by name, one row a step; those so far where the callback ends it."""
        tasks = [task for name, model in models.items() for task in self._tasks(name, model)]
        unit = "model" if self.refit is False else "origin"
        watched = track(tasks, "backtest", unit, verbose=verbose, callback=callback, describe=lambda task: task.name)
        frames = [self._forecast(task, nested(verbose)) for task in watched]
        if len(frames) < len(tasks):
            self.origins.notes.append(f"The backtest was ended after {len(frames)} of {len(tasks)} × {unit}.")
        return pd.concat(frames, ignore_index=True)

    def _tasks(self, name: str, model: PanelForecaster) -> list[_Task]:
        window, count = self.origins.window, self.origins.count
        every = count if self.refit is False else int(self.refit)
        groups = [(window >= first) & (window < first + every) for first in range(0, count, every)]
        return [_Task(name, model, chosen) for chosen in groups if chosen.any()]

    def _forecast(self, task: _Task, verbose: int) -> pd.DataFrame:
        """Forecasts of one task; series that the model does not know are left out."""
        model = self._ready(task, verbose)
        request = self._request(task, model.known_.names)
        found = model.forecast_from(request)
        envelope = Envelope.of(request.panel, request.rows)
        quantiles = envelope.around(found.mean, found.quantiles, self.levels)
        quantiles = None if quantiles is None else model.bounded(quantiles)
        names = request.panel.names[request.series]
        wrong = envelope.notes(found.mean, quantiles, names, task.name, model.remedies())
        notes = self.origins.notes
        notes += [note for note in (*wrong, *found.notes) if note not in notes]
        return forecast_rows(Forecasts(found.mean, quantiles), request, task.name)

    def _ready(self, task: _Task, verbose: int) -> PanelForecaster:
        """The model as it is where it is fitted already, else a copy that is fitted before the origins."""
        if self.refit is False and hasattr(task.model, "known_"):
            check_zone(self.panel.times, task.model.known_, "df")
            check_grid(self.panel, task.model.known_)
            self._warn_of_the_past(task.model)
            return task.model
        copy = clone(task.model).set_params(verbose=verbose, callback=task.model.callback)
        fitted: PanelForecaster = copy.fit_panel(self.origins.before(self.panel, task.chosen))
        return fitted

    def _request(self, task: _Task, known: pd.Index) -> ForecastRequest:
        """The chosen origins, in a panel of the series that the model knows alone."""
        panel, origins = self.panel, self.origins
        kept = panel.names.isin(known)
        left = task.chosen & kept[origins.series]
        absent = np.unique(origins.series[task.chosen & ~left])
        series, rows = origins.series[left], origins.rows[left]
        if not left.any():
            raise ValueError(
                f"None of the series, such as {quoted(panel.names[absent[0]])}, were in the fit of {task.name}: fit it "
                "to them, or use apply on their history."
            )
        if len(absent):
            origins.notes.append(
                f"{len(absent)} series, such as {quoted(panel.names[absent[0]])}, were not in the fit of {task.name}: "
                "left out."
            )
        if not kept.all():
            part = panel.select(np.flatnonzero(kept))
            number = (np.cumsum(kept) - 1)[series]
            panel, series, rows = part, number, rows - panel.starts[series] + part.starts[number]
        return ForecastRequest.within(panel, series, rows, origins.horizon, self.levels)

    def _warn_of_the_past(self, model: PanelForecaster) -> None:
        """Warn if the model was fitted on rows that it is now tested on."""
        panel = self.panel
        seen = dict(zip(model.fitted_until_.names, model.fitted_until_.last, strict=True))
        for series, row in zip(panel.names, self.origins.first(panel), strict=True):
            until = seen.get(series)
            if until is not None and row < len(panel.target) and until >= panel.times[row]:
                warnings.warn(
                    f"The model was fitted on rows up to {until!s}, after the first origin of this backtest "
                    f"({panel.times[row - 1]!s} in series {quoted(series)}): the test is in-sample. Give refit=True, "
                    "or fit on earlier rows.",
                    stacklevel=outside(),
                )
                return


def forecast_rows(found: Forecasts, request: ForecastRequest, name: str) -> pd.DataFrame:
    """One row a forecast step that lies within its series: KEYS, and the quantiles asked for, NaN where none are."""
    panel, rows, horizon = request.panel, request.rows, request.horizon
    place = rows[:, None] + np.arange(horizon)
    inside = place < panel.ends[request.series][:, None]
    place, origin = place[inside], np.repeat(np.arange(len(rows)), horizon).reshape(-1, horizon)[inside]
    columns = panel.names[request.series[origin]], panel.times[rows[origin] - 1], panel.times[place]
    values = place - rows[origin] + 1, panel.target[place], found.mean[inside]
    table: dict[str, Any] = dict(zip(KEYS, (name, *columns, *values), strict=True))
    for i, column in enumerate(quantile_columns(() if request.levels is None else request.levels)):
        table[column] = np.nan if found.quantiles is None else found.quantiles[:, :, i][inside]
    return pd.DataFrame(table)


def scaled_error_of(found: Forecasts, request: ForecastRequest, season_length: int) -> float:
    """MASE of forecasts; MAE where that is not defined."""
    scales = naive_scales(request.panel, request.series, request.rows, season_length)
    table = Backtest(forecast_rows(found, request, "model"), season_length, scales).metrics()
    return float(table["MASE"].fillna(table["MAE"]).iloc[0])

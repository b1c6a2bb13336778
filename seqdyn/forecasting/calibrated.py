"""Split-conformal intervals around any forecaster."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.panels import Panel
from seqdyn.forecasting.conformal import Conformal, calibration_split, least_rows, usual_errors
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.transform import SeriesTransform
from seqdyn.progress import Meter

MOST_CALIBRATION = 100
"""Origins that errors are measured at where nothing else is asked for."""


@dataclass(repr=False, eq=False)
class ConformalForecaster(PanelForecaster):
    """Any forecaster with intervals from errors on rows that its fit has not seen.

    The forecaster is fitted without the last rows, its errors there are measured from ``calibration`` origins a series,
    and it is fitted anew to everything. See :mod:`seqdyn.forecasting.conformal`.

    Parameters
    ----------
    forecaster : forecaster
        Whose point forecasts are used. It is copied.
    horizon : int
        The longest forecast.
    calibration : int or None, at least 1
        Origins at the end of the fit's data, one step apart. None: a third of the rows of most series, at most 100,
        and no more than leave rows to fit to.
    log : bool or "auto"
        Measure errors of log y; ``"auto"`` where a series is positive.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster.

    Attributes
    ----------
    forecaster_ : forecaster
        Fitted to all rows.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from seqdyn import ConformalForecaster, NaiveForecaster
    >>> walk = pd.Series(np.cumsum(np.random.default_rng(0).normal(size=500)))
    >>> model = ConformalForecaster(NaiveForecaster(), horizon=5, calibration=100).fit(walk)
    >>> list(model.forecast(5, level=80).columns)
    ['mean', '0.1', '0.9']
    """

    forecaster: Any = None
    _: KW_ONLY
    horizon: int = 1
    calibration: int | None = None
    log: Any = "auto"

    def _learn(self, panel: Panel) -> None:
        if not isinstance(self.forecaster, PanelForecaster):
            raise TypeError(f"forecaster must be a forecaster of seqdyn, got {type(self.forecaster).__name__}.")
        horizon = check_count("horizon", self.horizon)
        origins, before = calibration_split(panel, horizon, self._calibration(panel, horizon))
        with Meter("calibrate", "fit", 2, self.verbose, self.callback) as meter:
            self._fit_inner(before)
            self.remember(before)
            measured = Conformal.measure(self, panel, origins, usual_errors(self, before, horizon))
            meter.advance(detail="without the last rows")
            self._fit_inner(panel)
            self.remember(panel)
            meter.advance(detail="on all rows")
        self.conformal_ = measured.on(usual_errors(self, panel, horizon))

    def _calibration(self, panel: Panel, horizon: int) -> int:
        """How many origins errors are measured at."""
        if self.calibration is not None:
            return check_count("calibration", self.calibration)
        room = int(panel.lengths.max()) - least_rows(horizon) - horizon + 1
        return max(1, min(MOST_CALIBRATION, int(np.median(panel.lengths)) // 3, room))

    def _fit_inner(self, panel: Panel) -> None:
        self.transform_ = SeriesTransform.fit(panel, self.log, 0, 0, 1, "standard")
        self.forecaster_ = self.inner(self.forecaster).fit_panel(panel)

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        found = self.forecaster_.forecast_from(replace(request, levels=None))
        return self._around(found, request.numbers(self.known_.names), request.levels)

    def forecast_ahead(self, horizon: int, future: Array, levels: Array | None = None) -> Forecasts:
        found = self.forecaster_.forecast_ahead(horizon, future)
        return self._around(found, np.arange(len(found.mean)), levels)

    def follow(self, new: Panel, panel: Panel, known: Panel) -> None:
        self.forecaster_.follow(new, panel, known)
        super().follow(new, panel, known)

    def bounded(self, values: Array) -> Array:
        bounded: Array = self.forecaster_.bounded(values)
        return bounded

    def remedies(self) -> list[str]:
        return list(self.forecaster_.remedies())

    def _around(self, found: Forecasts, series: Array, levels: Array | None) -> Forecasts:
        """Point forecasts, and the quantiles around them."""
        if levels is None:
            return found
        mean, horizon = found.mean, found.mean.shape[1]
        if horizon > self.conformal_.horizon:
            raise ValueError(
                f"The calibration measured errors up to {self.conformal_.horizon} steps ahead, not {horizon}: fit with "
                f"horizon={horizon}."
            )
        width = self.conformal_.widths(series, levels, horizon)
        values = self.transform_.to_data(self._levels(mean, series)[:, :, None] + width, series)
        reason = self.conformal_.reason(levels)
        return Forecasts(mean, np.sort(values, axis=2), (*found.notes, *([reason] if reason else [])))

    def facts(self) -> dict[str, object]:
        shape = self.conformal_.scores.shape
        return super().facts() | {"calibration": f"errors of {shape[0]} origins, up to {shape[1]} steps ahead"}

    @property
    def names(self) -> pd.Index:
        """The series of the fit."""
        return self.known_.names

    def point(self, request: ForecastRequest) -> Array:
        """q̂ from origins of a panel, (origins, horizon)."""
        return self._levels(self.forecaster_.forecast_from(request).mean, request.numbers(self.names))

    def truth(self, request: ForecastRequest) -> Array:
        """q, what came, (origins, horizon)."""
        return self._levels(request.actual(), request.numbers(self.names))

    def _levels(self, values: Array, series: Array) -> Array:
        """q of values (origins, horizon): their logarithms where these are taken, of at least 1e-300."""
        log = np.broadcast_to(self.transform_.log[series][:, None], values.shape)
        return np.where(log, np.log(np.where(log, np.maximum(values, 1e-300), 1.0)), values)

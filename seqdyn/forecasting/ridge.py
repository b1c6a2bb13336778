"""Ridge autoregression in closed form: of every series by itself, or of all of them together.

    q = log y or y,    z = (q − c) / s                    the units of a series
    ẑ_{t+k} = Σ_{i≤p} w_{ik} z_{t+1−i} + b_k              k = 1 … steps

Centring and differencing are linear, so they are folded into w: whatever was fitted, a forecast is this one formula,
fed with its own results where the horizon is longer than its steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count
from seqdyn.data.panels import Panel
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.envelope import held_forecasts, input_stretch
from seqdyn.forecasting.error_quantiles import error_quantiles
from seqdyn.forecasting.forward_chaining import ForwardChaining, best_choices
from seqdyn.forecasting.history import differences
from seqdyn.forecasting.lags import default_input_lags, default_lags, lag_candidates
from seqdyn.forecasting.least_squares import Order, fit_autoregressions
from seqdyn.forecasting.linear_weights import Weights, roll_out, with_inputs
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.tables import blocks, series_means
from seqdyn.forecasting.units import Units, log_choices, logged_values

RIDGE_PENALTIES = (0.1, 1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""What ``penalty="auto"`` chooses from."""

PLENTY, FOLDS = 30, 4
"""Origins at the end of the fit that suffice for quantiles; else so many parts of it are left out in turn."""


class RidgeSetting(NamedTuple):
    """What a ridge autoregression chooses: which series are logged, its lags, those of the inputs, and the penalty."""

    logged: Array
    lags: int
    input_lags: int
    penalty: float


@dataclass(kw_only=True, repr=False, eq=False)
class RidgeForecaster(PanelForecaster):
    """Linear autoregression with a squared penalty, in closed form.

        min_w Σ_t ‖z_{t+1…t+H} − z_t − Wᵀ (z_{t−p+1} − z_t, …, z_t − z_t, 1)‖² + λ ‖W‖²

    z is the series, or its logarithm, less its mean and divided by its mean absolute seasonal difference; without
    ``centred`` the last value z_t is not subtracted. The intercept is not penalised, and neither are the covariates
    known ahead, which enter every step by their value of that step and those of ``input_lags`` steps before it (with
    them, and z_t where it is subtracted: an ARX model). Rows with a missing lag or target carry no weight; a roll-out
    starts from a history whose gaps hold the model's own one-step predictions, and a history shorter than its lags is
    continued backwards by its first value. In a logged series a later value ≤ 0 counts as missing. A forecast that
    leaves its history and its trend by several ranges is held there, see
    :meth:`seqdyn.forecasting.envelope.Envelope.limits`, and a warning names the series.

    What is "auto" is chosen by the error, in the units of y, of forecasts in the later half of every series by weights
    fitted to what came before (:class:`seqdyn.forecasting.forward_chaining.ForwardChaining`).

    Parameters
    ----------
    lags : int, None or "auto", at least 1
        p. None: 7 m if m ≥ 24 and the series are three times as long, else m + 1 (5 if m = 1); m is the longest season.
    input_lags : int, None or "auto", at least 0
        How many earlier values of the covariates known ahead count, besides the present one. None: 4, less for series
        of fewer than 80 rows.
    penalty : float or "auto", at least 0
        λ, in units of z².
    log : bool or "auto"
        Logarithms. "auto": only of series whose values are all positive in the fit, and only where they forecast
        better.
    pooled : bool
        One model of all series, through the sum of their Gram matrices; else one a series.
    centred : bool
        Whether lags and targets are taken relative to the last value.
    strategy : {"recursive", "direct"}
        Predict one step and feed it back, or ``horizon`` steps at once.
    difference : int, at least 0
        How often z is differenced before the regression; forecasts are summed up again.
    scale : {"seasonal", "deviation", "level"} or None
        s: mean |q_t − q_{t−m}|, the standard deviation, mean |q|; None: z = q. It decides how much each series
        counts in a pooled fit, and what λ means.
    horizon : int or None
        Steps that "direct" predicts at once, and that "auto" chooses by; a season if None. Any horizon can be forecast.
    selection : {"global", "series"}
        Whether "auto" takes one choice for all series, or one for each (not if pooled).
    calibration : int, at least 1
        Quantiles come from the errors of forecasts from this many origins at the end of the fit (at most a third of
        it) by weights fitted without them, on the scale of q. Where that leaves fewer than 30, from all origins, by
        weights fitted without a quarter of the rows in turn. See
        :func:`seqdyn.forecasting.error_quantiles.error_quantiles`, also for what is done where errors are few.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster; ``past`` and ``static`` are not used.

    Attributes
    ----------
    coefficients_ : array, shape (models, lags + difference, steps)
        Weights of the last values, the newest last, centring and differencing folded in. One model, or one a series.
    intercepts_ : array, shape (models, steps)
    input_coefficients_ : array, shape (models, input_lags + steps, inputs, steps)
        Weights of the covariates known ahead, those of the last step last, in units of their deviations.
    lags_, input_lags_, penalties_, logged_ : array, shape (series,)
        What was chosen.
    clipped_ : int
        How many values of the last forecast were clipped: more than 0 means that a recursion ran away.

    References
    ----------
    Hoerl & Kennard (1970), Ridge Regression, eq. 2.1; Zeng et al. (2023), Are Transformers Effective for Time Series
    Forecasting?, section 4.2 (NLinear: centring); Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random
    World, section 4.2 (the rank of split conformal prediction).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> wave = pd.Series(5 + np.sin(np.arange(120) * np.pi / 6))
    >>> RidgeForecaster(lags=12, penalty=0.01).fit(wave).forecast(3).round(1).tolist()
    [5.0, 5.5, 5.9]
    """

    lags: Any = None
    input_lags: Any = None
    penalty: Any = 300.0
    log: Any = "auto"
    pooled: bool = False
    centred: bool = True
    strategy: str = "recursive"
    difference: int = 0
    scale: str | None = "seasonal"
    horizon: int | None = None
    selection: str = "global"
    calibration: int = 240

    used_covariates = ("future",)

    def _learn(self, panel: Panel) -> None:
        self._check(panel)
        self._choose(panel)
        units, weights = self._fitted(panel)
        self.centre_, self.scale_ = units.centre, units.scale
        self.input_centre_, self.input_scale_ = units.input_centre, units.input_scale
        self.coefficients_, self.intercepts_ = weights.coefficients, weights.intercepts
        self.input_coefficients_ = weights.inputs
        self.rows_ = panel.lengths
        self.clipped_ = 0
        self._known_offsets: dict[Any, Array] = {}

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        owner, units, levels = request.numbers(self.panel_.names), self._units, request.levels
        z = roll_out(request, self.panel_.names.get_indexer(request.panel.names), units, self._weights)
        stretch = input_stretch(units.of_inputs(request.future, owner))
        quantiles = None
        if levels is not None:
            around = z[..., None] + self._offsets(request.horizon, levels)[owner] / units.scale[owner, None, None]
            quantiles = units.restored(around, owner)
        mean = units.restored(z, owner)
        found, self.clipped_ = held_forecasts(type(self).__name__, request, mean, quantiles, stretch)
        return found

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of ``to_content``."""
        return super().from_content(with_inputs(content))

    @property
    def _units(self) -> Units:
        return Units(self.centre_, self.scale_, self.logged_, self.input_centre_, self.input_scale_)

    @property
    def _weights(self) -> Weights:
        return Weights(self.coefficients_, self.intercepts_, self.input_coefficients_)

    def _check(self, panel: Panel) -> None:
        check_choice("strategy", self.strategy, ("recursive", "direct"))
        check_choice("scale", self.scale, ("seasonal", "deviation", "level", None))
        check_choice("selection", self.selection, ("global", "series"))
        check_choice("log", self.log, ("auto", True, False))
        check_count("lags", self.lags, 1, (None, "auto"))
        check_count("input_lags", self.input_lags, 0, (None, "auto"))
        check_count("difference", self.difference, 0)
        check_count("horizon", self.horizon, 1, (None,))
        check_count("calibration", self.calibration, 1)
        if self.penalty != "auto" and (isinstance(self.penalty, str) or not 0 <= self.penalty < np.inf):
            raise ValueError(f"penalty must be 'auto' or a number of at least 0, got {self.penalty!r}.")

    def _horizon_of(self, panel: Panel) -> int:
        return self.horizon or self.season_of(panel)

    def _fitted(self, panel: Panel, kept: Array | None = None) -> tuple[Units, Weights]:
        """Units and weights of the chosen settings, learnt from all rows of a panel, or targets of some."""
        units, values, inputs = self._seen(panel, self.logged_)
        if self.pooled:
            order = self._order(panel, int(self.lags_[0]), int(self.input_lags_[0]))
            return units, fit_autoregressions(
                panel, values, inputs, order, self.penalties_[None], pooled=True, kept=kept
            )[0]
        parts = []
        for lags, input_lags in np.unique(np.stack([self.lags_, self.input_lags_]), axis=1).T.tolist():
            own = np.flatnonzero((self.lags_ == lags) & (self.input_lags_ == input_lags))
            order = self._order(panel, lags, input_lags)
            found = fit_autoregressions(panel, values, inputs, order, self.penalties_[None], kept=kept, numbers=own)
            parts.append((own, found[0]))
        return units, Weights.joined(parts)

    def _seen(self, panel: Panel, logged: Array) -> tuple[Units, Array, Array]:
        """Units of a panel, and its values and inputs in them."""
        units = Units.of(panel, self.season_of(panel), logged, self.scale, self.pooled)
        every = np.arange(len(panel.names))
        return units, units.of_panel(panel, every), units.of_inputs(panel.future, panel.series)

    def _order(self, panel: Panel, lags: int, input_lags: int) -> Order:
        steps = self._horizon_of(panel) if self.strategy == "direct" else 1
        return Order(lags, input_lags, steps, self.centred, self.difference)

    def _choose(self, panel: Panel) -> None:
        """Logarithms, lags and penalty of every series, those that are "auto" by the error on the last rows."""
        count = len(panel.names)
        settings = self._settings(panel)
        choice = np.zeros(count, dtype=np.int64)
        if len(settings) > 1:
            choice = best_choices(self._errors(panel, settings), self.pooled or self.selection == "global")
        self.lags_ = np.array([own.lags for own in settings])[choice]
        self.input_lags_ = np.array([own.input_lags for own in settings])[choice]
        self.penalties_ = np.array([own.penalty for own in settings])[choice]
        self.logged_ = np.array([own.logged for own in settings])[choice, np.arange(count)]

    def _settings(self, panel: Panel) -> list[RidgeSetting]:
        """All that are tried."""
        auto = lag_candidates(panel, self.seasons_of(panel)[-1]) if self.lags == "auto" else (self._lags(panel),)
        penalties = RIDGE_PENALTIES if self.penalty == "auto" else (float(self.penalty),)
        return [
            RidgeSetting(*own)
            for own in product(log_choices(panel, self.log), auto, self._input_lags(panel), penalties)
        ]

    def _lags(self, panel: Panel) -> int:
        return default_lags(panel, self.seasons_of(panel)[-1]) if self.lags is None else int(self.lags)

    def _input_lags(self, panel: Panel) -> tuple[int, ...]:
        most = default_input_lags(panel)
        if not panel.future.shape[1]:
            return (0,)
        if self.input_lags == "auto":
            return tuple(sorted({0, most, min(self._lags(panel), 3 * most)}))
        return (most if self.input_lags is None else int(self.input_lags),)

    def _errors(self, panel: Panel, settings: list[RidgeSetting]) -> Array:
        """Errors of all settings on the rows held out, (settings, series)."""
        last = ForwardChaining.of(panel, self._horizon_of(panel), self.season_of(panel))
        count = len(RIDGE_PENALTIES) if self.penalty == "auto" else 1
        errors = []
        for begin in range(0, len(settings), count):
            first = settings[begin]
            units, values, inputs = self._seen(panel, first.logged)
            order = self._order(panel, first.lags, first.input_lags)
            penalties = np.array([own.penalty for own in settings[begin : begin + count]])[:, None]
            learn = partial(fit_autoregressions, panel, values, inputs, order, penalties, pooled=self.pooled)
            errors.append(last.errors(lambda kept, units=units, learn=learn: (units, learn(kept=kept))))  # type: ignore[misc]
        return np.concatenate(errors)

    def _offsets(self, horizon: int, levels: Array) -> Array:
        """Quantiles about the point on the scale of q, (series, horizon, quantiles)."""
        known: dict[Any, Array] = self.__dict__.setdefault("_known_offsets", {})
        key = horizon, tuple(levels.tolist())
        if key not in known:
            known.clear()
            known[key] = self._measured(horizon, levels)
        return known[key]

    def _measured(self, horizon: int, levels: Array) -> Array:
        """The same, from errors in the rows of the fit, block by block of series."""
        history = self.panel_.head(self.rows_)
        part = _tested_parts(history, self.calibration, self.lags_)
        fits = [self._fitted(history, part != own)[1] for own in range(int(part.max(initial=0)) + 1)]
        walk = self._walk(history)
        found = np.empty((len(history.names), horizon, len(levels)))
        for block in blocks(np.minimum(history.lengths, max(self.calibration, 3 * PLENTY)), 4 * horizon):
            numbers = np.sort(block)
            errors = self._past_errors(history.select(numbers), numbers, fits, horizon)
            found[numbers] = error_quantiles(errors, levels, walk[numbers])
        return found

    def _past_errors(self, history: Panel, numbers: Array, fits: list[Weights], horizon: int) -> Array:
        """Errors, on the scale of q, of weights fitted without the rows they are tested on, (series, horizon, origins).

        ``numbers`` are those of the series of the panel in the fit; weights come in the order of the parts left out.
        """
        units, part = self._units, _tested_parts(history, self.calibration, self.lags_[numbers])
        values = units.of_panel(history, numbers)
        turn = _turns(history, part >= 0)
        found = np.full((len(numbers), horizon, int(turn.max(initial=0)) + 1), np.nan)
        for own, weights in enumerate(fits):
            rows = np.flatnonzero(part == own)
            if len(rows):
                series = history.series[rows]
                request = ForecastRequest.within(history, series, rows, horizon)
                error = request.actual(values) - roll_out(request, numbers, units, weights)
                found[series, :, turn[rows]] = error * self.scale_[numbers[series], None]
        return found

    def _walk(self, history: Panel) -> Array:
        """Root mean square of the one-step differences of q in the fit, |q| of a single row, shape (series,)."""
        q = logged_values(history.target, self.logged_[history.series])
        square = series_means(differences(history, 1, q) ** 2, history.starts)
        alone = series_means(np.abs(q), history.starts)
        return np.where(np.isnan(square), alone, np.sqrt(square))


def _tested_parts(panel: Panel, calibration: int, lags: Array) -> Array:
    """In which turn forecasts from a row are tested, shape (total,); −1: never.

    The end of a long series is one part; of a short one the rows after its lags, or half of it, are several.
    """
    tail = np.minimum(calibration, panel.lengths // 3)
    long = tail >= min(PLENTY, calibration)
    begin = np.where(long, panel.lengths - tail, np.clip(lags, 1, np.maximum(panel.lengths // 2, 1)))
    count = np.where(long, 1, FOLDS)
    after = panel.steps - begin[panel.series]
    turn = after * count[panel.series] // np.maximum(panel.lengths - begin, 1)[panel.series]
    return np.where(after >= 0, turn, -1)


def _turns(panel: Panel, chosen: Array) -> Array:
    """The number of every chosen row among those of its series, shape (total,)."""
    count = np.cumsum(chosen)
    before = np.concatenate([[0], count])[panel.starts]
    return count - 1 - before[panel.series]

"""Ridge autoregression in closed form: of every series by itself, or of all of them together.

    q = log y or y,    z = (q − c) / s                    the units of a series
    ẑ_{t+k} = Σ_{i≤p} w_{ik} z_{t+1−i} + b_k              k = 1 … steps

Centring and differencing are linear, so they are folded into w: whatever was fitted, a forecast is this one formula,
fed with its own results where the horizon is longer than its steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import norm

from seqdyn.checks import check_choice, check_count
from seqdyn.data.panels import Panel
from seqdyn.forecasting.contract import Forecasts, PanelForecaster
from seqdyn.forecasting.naive import check_season, root_mean_square

Array = np.ndarray[Any, Any]

PENALTIES = (0.1, 1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""What ``penalty="auto"`` chooses from."""

INTERCEPT = 1e-6
"""The penalty of the intercept."""

BLOCK = 8192
"""Origins rolled out at once."""


@dataclass(kw_only=True, repr=False, eq=False)
class RidgeForecaster(PanelForecaster):
    """Linear autoregression with a squared penalty, in closed form.

        min_w Σ_t ‖z_{t+1…t+H} − z_t − Wᵀ (z_{t−p+1} − z_t, …, z_t − z_t, 1)‖² + λ ‖W‖²

    z is the series, or its logarithm, less its mean and divided by its mean absolute seasonal difference; without
    ``centred`` the last value z_t is not subtracted. The intercept is not penalised. A forecast is clipped to
    [½ min, 2 max] of the values before its origin ([min − range, max + range] if they are not all positive). Rows with
    a missing lag or target carry no weight; a roll-out starts from a history whose gaps hold the model's own one-step
    predictions, and a history shorter than its lags is continued backwards by its first value. In a series that was
    positive in the fit and so is logged, a later value ≤ 0 counts as missing.

    Parameters
    ----------
    lags : int, None or "auto", at least 1
        p. None: 7 m if m ≥ 24 and the series are three times as long, else m + 1 (5 if m = 1). "auto": chosen on the
        last ``horizon`` rows of the fit.
    penalty : float or "auto", at least 0
        λ, in units of z². "auto": chosen as the lags are.
    log : bool or "auto"
        Logarithms. "auto": of series whose values are all positive in the fit.
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
        it) by weights fitted without them: the ⌈(N + 1) q⌉-th of N sorted errors at every step, on the scale of q.
    freq, season_length, id_col, time_col, target_col, past, future, static
        As in every forecaster; covariates are not used.

    Attributes
    ----------
    coefficients_ : array, shape (models, lags + difference, steps)
        Weights of the last values, the newest last, centring and differencing folded in. One model, or one a series.
    intercepts_ : array, shape (models, steps)
    lags_, penalties_ : array, shape (series,)
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

    def _learn(self, panel: Panel) -> None:
        self._check(panel)
        self.lags_, self.penalties_ = self._chosen(panel)
        units, weights = self._fitted(panel, self.lags_, self.penalties_)
        self.centre_, self.scale_, self.logged_ = units.centre, units.scale, units.logged
        self.coefficients_, self.intercepts_ = weights.coefficients, weights.intercepts
        self.rows_ = panel.lengths
        self.clipped_ = 0
        self._known_errors: dict[int, Array] = {}

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        number = self.panel_.names.get_indexer(panel.names)
        owner, units = number[series], self._units
        z = roll(panel, number, units, self._weights, series, rows, horizon)
        mean, self.clipped_ = clipped(panel, series, rows, units.restored(z, owner))
        if levels is None:
            return Forecasts(mean)
        around = z[..., None] + self._offsets(horizon, levels)[owner] / units.scale[owner, None, None]
        values, _ = clipped(panel, series, rows, units.restored(around, owner))
        return Forecasts(mean, np.sort(values, axis=-1))

    @property
    def _units(self) -> Units:
        return Units(self.centre_, self.scale_, self.logged_)

    @property
    def _weights(self) -> Weights:
        return Weights(self.coefficients_, self.intercepts_)

    def _check(self, panel: Panel) -> None:
        check_season(self._season(panel))
        check_choice("strategy", self.strategy, ("recursive", "direct"))
        check_choice("scale", self.scale, ("seasonal", "deviation", "level", None))
        check_choice("selection", self.selection, ("global", "series"))
        check_choice("log", self.log, ("auto", True, False))
        check_count("lags", self.lags, 1, (None, "auto"))
        check_count("difference", self.difference, 0)
        check_count("horizon", self.horizon, 1, (None,))
        check_count("calibration", self.calibration, 1)
        if self.penalty != "auto" and (isinstance(self.penalty, str) or not 0 <= self.penalty < np.inf):
            raise ValueError(f"penalty must be 'auto' or a number of at least 0, got {self.penalty!r}.")

    def _steps(self, panel: Panel) -> int:
        return self.horizon or self._season(panel)

    # ---------------------------------------------------------------- fitting

    def _fitted(self, panel: Panel, lags: Array, penalties: Array) -> tuple[Units, Weights]:
        """Units and weights, learnt from all rows of a panel."""
        units = Units.of(panel, self._season(panel), self.log, self.scale)
        values = units.of_panel(panel, np.arange(len(panel.names)))
        grams = [self._gram(panel, values, number, int(p)) for number, p in enumerate(lags)]
        grams = [_total(grams)] if self.pooled else grams
        found = [self._solved(own, float(penalty)) for own, penalty in zip(grams, penalties, strict=False)]
        return units, Weights.stacked(found)

    def _gram(self, panel: Panel, values: Array, number: int, lags: int) -> tuple[Array, Array]:
        own = np.diff(values[panel.rows(number)], n=self.difference)
        steps = self._steps(panel) if self.strategy == "direct" else 1
        return gram(own, lags, steps, self.centred)

    def _solved(self, gram: tuple[Array, Array], penalty: float) -> Weights:
        weights = solve(*gram, penalty, self.centred)
        for _ in range(self.difference):
            weights = weights.summed()
        return weights

    def _chosen(self, panel: Panel) -> tuple[Array, Array]:
        """Lags and penalty of every series, those that are "auto" by the error on the last rows."""
        lags = lag_candidates(panel, self._season(panel)) if self.lags == "auto" else (self._lags(panel),)
        penalties = PENALTIES if self.penalty == "auto" else (float(self.penalty),)
        pairs = np.array(list(product(lags, penalties)))
        if len(pairs) == 1:
            choice = np.zeros(len(panel.names), dtype=np.int64)
        else:
            choice = self._best(panel, lags, penalties)
        return pairs[choice, 0].astype(np.int64), pairs[choice, 1]

    def _lags(self, panel: Panel) -> int:
        return default_lags(panel, self._season(panel)) if self.lags is None else int(self.lags)

    def _best(self, panel: Panel, lags: tuple[int, ...], penalties: tuple[float, ...]) -> Array:
        """The number of the best pair of lags and penalty for every series."""
        errors = np.concatenate([self._validated(panel, p, penalties) for p in lags])
        together = np.nanmean(errors, axis=1) if (~np.isnan(errors)).any() else np.zeros(len(errors))
        if self.pooled or self.selection == "global":
            return np.full(len(panel.names), int(np.argmin(together)))
        errors = np.where(np.isnan(errors).any(axis=0), together[:, None], errors)
        return np.argmin(errors, axis=0)

    def _validated(self, panel: Panel, lags: int, penalties: tuple[float, ...]) -> Array:
        """Scaled errors on the last rows by weights fitted before them, (penalties, series)."""
        horizon = max(1, min(self._steps(panel), int(np.median(panel.lengths)) // 4))
        history = panel.head(np.maximum(panel.lengths - horizon, 1))
        every = np.arange(len(panel.names))
        units = Units.of(history, self._season(panel), self.log, self.scale)
        values = units.of_panel(history, every)
        grams = [self._gram(history, values, i, lags) for i in range(len(every))]
        grams = [_total(grams)] if self.pooled else grams
        rows = panel.starts + history.lengths
        actual = _ahead(panel, every, rows, horizon, panel.target)
        scale = np.array([_spread(history.target[history.rows(i)], self._season(panel)) for i in range(len(every))])
        errors = []
        for penalty in penalties:
            weights = Weights.stacked([self._solved(found, penalty) for found in grams])
            z = roll(panel, every, units, weights, every, rows, horizon)
            mean, _ = clipped(panel, every, rows, units.restored(z, every))
            errors.append(_row_means(np.abs(actual - mean)) / scale)
        return np.array(errors)

    # ---------------------------------------------------------------- quantiles

    def _offsets(self, horizon: int, levels: Array) -> Array:
        """Quantiles about the point on the scale of q, (series, horizon, quantiles)."""
        errors = self._past_errors(horizon)
        count = (~np.isnan(errors)).sum(axis=2)
        rank = np.where(
            levels >= 0.5, np.ceil((count[..., None] + 1) * levels), np.floor((count[..., None] + 1) * levels)
        )
        place = np.clip(rank, 1, np.maximum(count[..., None], 1)).astype(np.int64) - 1
        found = np.take_along_axis(errors, place, axis=2)
        return self._continued_offsets(found, count, levels)

    def _continued_offsets(self, found: Array, count: Array, levels: Array) -> Array:
        """Where a step has too few errors, those of the last that has enough grow with √k; without any, as a walk's."""
        steps = np.sqrt(np.arange(1, count.shape[1] + 1))
        enough = count >= np.maximum(np.minimum(10, count[:, :1] // 2), 1)
        last = enough.sum(axis=1) - 1
        grown = np.take_along_axis(found, np.maximum(last, 0)[:, None, None], axis=1)
        grown = grown * (steps / steps[np.maximum(last, 0)][:, None])[..., None]
        walk = (self._walk()[:, None] * steps)[..., None] * norm.ppf(levels)
        return np.where(enough[..., None], found, np.where((last >= 0)[:, None, None], grown, walk))

    def _walk(self) -> Array:
        """Root mean square of the one-step differences of q in the fit, shape (series,)."""
        history = self._history()
        q = self._units.of_panel(history, np.arange(len(history.names))) * self.scale_[history.series]
        found = [root_mean_square(np.diff(q[history.rows(i)])) for i in range(len(history.names))]
        return np.nan_to_num(np.array(found))

    def _history(self) -> Panel:
        return self.panel_.head(self.rows_)

    def _past_errors(self, horizon: int) -> Array:
        """Sorted errors of forecasts from the end of the fit, NaN last, (series, horizon, origins)."""
        known: dict[int, Array] = self.__dict__.setdefault("_known_errors", {})
        if horizon not in known:
            known.clear()
            known[horizon] = self._calibrated(self._history(), horizon)
        return known[horizon]

    def _calibrated(self, history: Panel, horizon: int) -> Array:
        """Errors, on the scale of q, of weights fitted without the rows they are tested on."""
        origins = np.minimum(self.calibration, history.lengths // 3)
        every = np.arange(len(history.names))
        units, weights = self._fitted(history.head(history.lengths - origins), self.lags_, self.penalties_)
        series = np.repeat(every, origins)
        turn = np.arange(len(series)) - np.repeat(np.cumsum(origins) - origins, origins)
        rows = (history.ends - origins)[series] + turn
        z = roll(history, every, units, weights, series, rows, horizon)
        error = _ahead(history, series, rows, horizon, units.of_panel(history, every)) - z
        table = np.full((len(every), horizon, max(1, int(origins.max()))), np.nan)
        table[series, :, turn] = error * units.scale[series, None]
        return np.sort(table, axis=2)


# -------------------------------------------------------------------- the parts


@dataclass(frozen=True)
class Units:
    """z = (q − c)/s with q = log y or y, series by series.

    Attributes
    ----------
    centre, scale : array, shape (series,)
        c and s.
    logged : array of bool, shape (series,)
    """

    centre: Array
    scale: Array
    logged: Array

    @classmethod
    def of(cls, panel: Panel, season: int, log: Any = "auto", scale: str | None = "seasonal") -> Units:
        """The units of every series of a panel."""
        blocks = [panel.target[panel.rows(i)] for i in range(len(panel.names))]
        logged = np.array([log is not False and bool(np.nanmin(block) > 0) for block in blocks])
        if log is True and not logged.all():
            name = panel.names[int(np.argmin(logged))]
            raise ValueError(f"log=True, but series {name!r} has values ≤ 0: use log='auto', which leaves it as it is.")
        q = [np.log(block) if own else block for block, own in zip(blocks, logged, strict=True)]
        return cls(
            np.array([np.nanmean(own) for own in q]), np.array([_scale(own, season, scale) for own in q]), logged
        )

    def of_panel(self, panel: Panel, number: Array) -> Array:
        """z of every row, shape (total,); ``number`` are the units that each series of the panel has."""
        owner = number[panel.series]
        logged = self.logged[owner]
        positive = np.where(panel.target > 0, panel.target, np.nan)
        q = np.where(logged, np.log(np.where(logged, positive, 1.0)), panel.target)
        return (q - self.centre[owner]) / self.scale[owner]

    def restored(self, z: Array, owner: Array) -> Array:
        """y of z, shape (origins, …); ``owner`` are the units of every origin."""
        shape = (-1, *[1] * (z.ndim - 1))
        q = z * self.scale[owner].reshape(shape) + self.centre[owner].reshape(shape)
        logged = self.logged[owner].reshape(shape)
        with np.errstate(over="ignore"):
            return np.where(logged, np.exp(np.where(logged, q, 0.0)), q)


@dataclass(frozen=True)
class Weights:
    """Linear autoregressions.

    Attributes
    ----------
    coefficients : array, shape (models, lags, steps)
        Of the last values, the newest last. One model of all series, or one a series.
    intercepts : array, shape (models, steps)
    """

    coefficients: Array
    intercepts: Array

    @classmethod
    def stacked(cls, models: list[Weights]) -> Weights:
        """Models side by side; those of fewer lags have zeros for the oldest."""
        lags = max(model.coefficients.shape[1] for model in models)
        padded = [
            np.pad(model.coefficients, ((0, 0), (lags - model.coefficients.shape[1], 0), (0, 0))) for model in models
        ]
        return cls(np.concatenate(padded), np.concatenate([model.intercepts for model in models]))

    def summed(self) -> Weights:
        """The model of a series whose differences these weights predict."""
        c = self.coefficients
        wide = np.pad(c, ((0, 0), (1, 0), (0, 0))) - np.pad(c, ((0, 0), (0, 1), (0, 0)))
        wide = np.cumsum(wide, axis=2)
        wide[:, -1] += 1.0
        return replace(self, coefficients=wide, intercepts=np.cumsum(self.intercepts, axis=1))

    def model_of(self, owner: Array) -> Array:
        """The number of the model of every series."""
        return np.zeros_like(owner) if len(self.coefficients) == 1 else owner

    def ahead(self, model: int, past: Array, horizon: int) -> Array:
        """Predictions after (origins, lags) values, (origins, horizon)."""
        weights, intercept = self.coefficients[model], self.intercepts[model]
        lags, steps = weights.shape
        values = np.empty((len(past), lags + -(-horizon // steps) * steps))
        values[:, :lags] = past
        for begin in range(0, values.shape[1] - lags, steps):
            found = values[:, begin : begin + lags] @ weights + intercept
            values[:, begin + lags : begin + lags + steps] = np.clip(found, -1e100, 1e100)
        return values[:, lags : lags + horizon]


def gram(values: Array, lags: int, steps: int, centred: bool) -> tuple[Array, Array]:
    """AᵀA and AᵀB of an autoregression; rows with a missing value are left out.

    Parameters
    ----------
    values : array, shape (time,)
    lags, steps : int
    centred : bool

    Returns
    -------
    tuple of array, shapes (lags + 1, lags + 1) and (lags + 1, steps)
        The last row belongs to the intercept.

    Examples
    --------
    >>> gram(np.array([1.0, 2.0, 4.0]), 1, 1, False)[0].tolist()
    [[5.0, 3.0], [3.0, 2.0]]
    """
    if len(values) < lags + steps:
        return np.zeros((lags + 1, lags + 1)), np.zeros((lags + 1, steps))
    window = sliding_window_view(values, lags + steps)
    window = window[~np.isnan(window).any(axis=1)]
    if centred:
        window = window - window[:, lags - 1 : lags]
    past = np.column_stack([window[:, :lags], np.ones(len(window))])
    return past.T @ past, past.T @ window[:, lags:]


def solve(left: Array, right: Array, penalty: float, centred: bool) -> Weights:
    """The ridge weights of a Gram matrix, centring folded in.

    Parameters
    ----------
    left, right : array
        As :func:`gram` returns them.
    penalty : float
        λ, of all but the intercept.
    centred : bool

    Returns
    -------
    Weights
    """
    diagonal = np.full(len(left), max(penalty, 1e-12 * float(np.trace(left)), 1e-300))
    diagonal[-1] = INTERCEPT
    found = np.linalg.solve(left + np.diag(diagonal), right)
    coefficients, intercept = found[:-1].copy(), found[-1]
    if centred:
        coefficients[-1] += 1.0 - coefficients.sum(axis=0)
    return Weights(coefficients[None], intercept[None])


def roll(
    panel: Panel, number: Array, units: Units, weights: Weights, series: Array, rows: Array, horizon: int
) -> Array:
    """z from many origins, (origins, horizon).

    Parameters
    ----------
    panel : Panel
    number : array of int, shape (series,)
        Which units, and which of the weights, each series of the panel has.
    units : Units
    weights : Weights
    series, rows : array of int, shape (origins,)
    horizon : int

    Returns
    -------
    array, shape (origins, horizon)
    """
    values = _filled(panel, units.of_panel(panel, number), weights, number, series, rows)
    lags = weights.coefficients.shape[1]
    model = weights.model_of(number[series])
    found = np.empty((len(rows), horizon))
    order = np.argsort(model, kind="stable")
    groups = np.split(order, np.searchsorted(model[order], np.unique(model))[1:])
    for group in groups:
        for begin in range(0, len(group), BLOCK):
            chosen = group[begin : begin + BLOCK]
            past = _past(panel, values, series[chosen], rows[chosen], lags)
            found[chosen] = weights.ahead(int(model[chosen[0]]), past, horizon)
    return found


def _filled(panel: Panel, values: Array, weights: Weights, number: Array, series: Array, rows: Array) -> Array:
    """Values whose gaps before the last origin hold the model's one-step predictions, from the past only."""
    until = panel.starts.copy()
    np.maximum.at(until, series, rows)
    owner = panel.series
    missing = np.flatnonzero(np.isnan(values) & (np.arange(len(values)) < until[owner]))
    lags, model = weights.coefficients.shape[1], weights.model_of(number)
    filled = values.copy()
    for row in missing:
        begin = int(panel.starts[owner[row]])
        if row == begin:
            filled[row] = 0.0
            continue
        past = filled[np.maximum(np.arange(row - lags, row), begin)]
        which = model[owner[row]]
        filled[row] = past @ weights.coefficients[which, :, 0] + weights.intercepts[which, 0]
    return filled


def _past(panel: Panel, values: Array, series: Array, rows: Array, lags: int) -> Array:
    """The values before every origin, (origins, lags); the first one stands for those before the series."""
    place = rows[:, None] + np.arange(-lags, 0)
    found: Array = values[np.maximum(place, panel.starts[series][:, None])]
    return found


def clipped(panel: Panel, series: Array, rows: Array, values: Array) -> tuple[Array, int]:
    """Forecasts within bounds, and how many were not.

    Parameters
    ----------
    panel : Panel
    series, rows : array of int, shape (origins,)
    values : array, shape (origins, …)

    Returns
    -------
    tuple of array and int
        The bounds are [½ min, 2 max] of the known values before the origin; if one is not positive, they are
        [min − range, max + range].
    """
    low, high = np.empty(len(rows)), np.empty(len(rows))
    for number in np.unique(series):
        chosen = series == number
        own = panel.target[panel.rows(int(number))]
        step = rows[chosen] - panel.starts[number] - 1
        low[chosen], high[chosen] = np.fmin.accumulate(own)[step], np.fmax.accumulate(own)[step]
    reach = high - low
    bounds = np.where(low > 0, 0.5 * low, low - reach), np.where(low > 0, 2.0 * high, high + reach)
    shape = (-1, *[1] * (values.ndim - 1))
    found = np.clip(values, bounds[0].reshape(shape), bounds[1].reshape(shape))
    return found, int((found != values).sum())


def default_lags(panel: Panel, season: int) -> int:
    """How many lags an autoregression has that nobody chose: seven seasons, one and a step, or 5.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> default_lags(read_panel(pd.Series(range(700))), 24), default_lags(read_panel(pd.Series(range(144))), 12)
    (168, 13)
    """
    length = int(np.median(panel.lengths))
    if season >= 24 and length >= 21 * season:
        return 7 * season
    return max(1, min(season + 1 if season > 1 else 5, length // 3))


def lag_candidates(panel: Panel, season: int) -> tuple[int, ...]:
    """What ``lags="auto"`` chooses from: a third of the series' length at most."""
    most = max(1, int(np.median(panel.lengths)) // 3)
    several = (season + 1, 2 * season, 7 * season, 14 * season) if season > 1 else (2, 4, 8, 16, 32)
    return tuple(sorted({min(lags, most) for lags in (*several, default_lags(panel, season))}))


def _scale(q: Array, season: int, kind: str | None) -> float:
    if kind is None:
        return 1.0
    if kind == "level":
        found = float(np.nanmean(np.abs(q)))
    else:
        found = _spread(q, season) if kind == "seasonal" else float(np.nanstd(q))
    return found if found > 1e-9 * float(np.nanmax(np.abs(q))) else 1.0


def _spread(values: Array, season: int) -> float:
    """Mean absolute seasonal difference; where there is none, the one-step one; then the standard deviation; then 1."""
    for lag in (season, 1):
        change = np.abs(values[lag:] - values[:-lag])
        known = change[~np.isnan(change)]
        if len(known) and known.mean() > 0:
            return float(known.mean())
    return float(np.nanstd(values)) or 1.0


def _ahead(panel: Panel, series: Array, rows: Array, horizon: int, values: Array) -> Array:
    """Values of the rows from every origin on, (origins, horizon); NaN past the series' end."""
    place = rows[:, None] + np.arange(horizon)
    inside = place < panel.ends[series][:, None]
    return np.where(inside, values[np.minimum(place, len(values) - 1)], np.nan)


def _row_means(values: Array) -> Array:
    """Means over the known values of every row; NaN where there are none."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _total(grams: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The Gram matrices of many series as one."""
    left, right = np.zeros_like(grams[0][0]), np.zeros_like(grams[0][1])
    for own in grams:
        left += own[0]
        right += own[1]
    return left, right

"""Combination: several forecasters as one, with equal weights, the median, or weights that were best in the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.base import clone

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count
from seqdyn.data.panels import Panel
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.origins import Origins
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.progress import track

MEMBER_SHARE = 0.6
"""The share of the rows of a series that comes before the first window."""


@dataclass(kw_only=True, repr=False, eq=False)
class CombinedForecaster(PanelForecaster):
    """Several forecasters as one.

        ŷ = Σ_i w_i ŷ_i,    w_i ≥ 0,  Σ_i w_i = 1

    or their median. Validated weights minimise Σ |y − Σ_i w_i ŷ_i| / Q over rolling windows at the end of the fit, of
    members fitted before the first of them; Q is the error of the seasonal naive forecast before it. The windows leave
    the members 60 % of the rows: on short series they overlap more, then are shorter and fewer. Quantiles are those of
    the members, combined in the same way.

    Parameters
    ----------
    models : dict, or sequence of (name, forecaster)
        The members, unfitted. Those without ``season_length`` take this one's.
    weights : {"equal", "median", "validated"}
    metric : {"mae", "mse"}
        What validated weights minimise: |y − ŷ|/Q or its square.
    n_windows : int, at least 1
        Windows to validate on, where there are rows enough.
    step_size : int or None, at least 1
        Steps between them; ``horizon`` if None.
    horizon : int or None, at least 1
        Steps of a window; a season if None, at least 2.
    selection : {"global", "series"}
        One set of weights, or one a series.
    shrinkage : float in [0, 1]
        With "series": how far each series' weights are drawn towards the global ones.
    refit : bool
        Whether members are fitted to everything once the weights are known.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster.

    Attributes
    ----------
    weights_ : DataFrame, shape (series, members)
        NaN for the median, which has none.
    members_ : dict
        The fitted members by name.
    notes_ : list of str
        Windows that were made smaller, and series that were too short to validate on.

    References
    ----------
    Bates & Granger (1969), The Combination of Forecasts; Lichtendahl, Grushka-Cockayne & Winkler (2013), Is It Better
    to Average Probabilities or Quantiles?, eq. 3.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.forecasting.naive import DriftForecaster, NaiveForecaster
    >>> members = {"naive": NaiveForecaster(), "drift": DriftForecaster()}
    >>> CombinedForecaster(models=members).fit(pd.Series([1.0, 2.0, 3.0])).forecast(2).tolist()
    [3.5, 4.0]
    """

    models: Any = ()
    weights: str = "equal"
    metric: str = "mae"
    n_windows: int = 3
    step_size: int | None = None
    horizon: int | None = None
    selection: str = "global"
    shrinkage: float = 0.5
    refit: bool = True

    def _learn(self, panel: Panel) -> None:
        members = self._unfitted(self.season_of(panel))
        self._check()
        self.notes_: list[str] = []
        self.names_ = list(members)
        self.shares_ = np.full((len(panel.names), len(members)), 1.0 / len(members))
        origins = self._origins(panel) if self.weights == "validated" else None
        if origins is not None:
            members = self._fitted(members, _before_windows(panel, origins), "validate")
            self.names_ = list(members)
            self.shares_ = self._validated(panel, origins, members)
        if self.refit or origins is None:
            members = self._fitted(members, panel, "fit")
        kept = [name in members for name in self.names_]
        self.members_, self.names_, self.shares_ = members, list(members), self.shares_[:, kept]
        if not all(kept):
            total = self.shares_.sum(axis=1, keepdims=True)
            self.shares_ = np.where(total > 0, self.shares_ / np.where(total > 0, total, 1.0), 1.0 / len(members))

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        found = [member.forecast_from(request) for member in self.members_.values()]
        shares = self.shares_[request.numbers(self.panel_.names)]
        mean = self._combined([one.mean for one in found], shares)
        notes = tuple(dict.fromkeys(note for one in found for note in one.notes))
        if request.levels is None:
            return Forecasts(mean, None, notes)
        giving = [number for number, one in enumerate(found) if one.quantiles is not None]
        if not giving:
            raise ValueError(f"None of the members {self.names_} gives quantiles: add one that does.")
        quantiles = self._combined([found[number].quantiles for number in giving], shares[:, giving])
        return Forecasts(mean, np.sort(quantiles, axis=-1), notes)

    @property
    def used_covariates(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those that any member uses."""
        members = self._unfitted(1).values()
        return tuple(
            kind for kind in ("past", "future", "static") if any(kind in own.used_covariates for own in members)
        )

    @property
    def weights_(self) -> pd.DataFrame:
        """The weights of all members in every series, (series, members)."""
        shares = self.shares_ if self.weights != "median" else np.full_like(self.shares_, np.nan)
        return pd.DataFrame(shares, index=self.panel_.names, columns=self.names_)

    def facts(self) -> dict[str, object]:
        return super().facts() | {"weights": self.weights_.mean().round(2).to_dict()}

    def _combined(self, values: list[Any], shares: Array) -> Array:
        """Members' values, (origins, …) each, as one."""
        if self.weights == "median":
            return np.median(np.stack(values), axis=0)
        total = shares.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, shares / np.where(total > 0, total, 1.0), 1.0 / shares.shape[1])
        shape = (-1, *[1] * (values[0].ndim - 1))
        mixed = np.zeros_like(values[0])
        for own, share in zip(values, shares.T, strict=True):
            mixed += np.where(share.reshape(shape) > 0, own, 0.0) * share.reshape(shape)
        return mixed

    def _unfitted(self, season: int) -> dict[str, PanelForecaster]:
        pairs = list(self.models.items() if isinstance(self.models, dict) else self.models)
        if not pairs or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
            raise ValueError(f"models must be a dict or a list of (name, forecaster), not empty, got {self.models!r}.")
        members: dict[str, PanelForecaster] = {}
        for name, model in pairs:
            if not isinstance(model, PanelForecaster) or name in members:
                fault = (
                    "is named twice" if name in members else f"is no forecaster of seqdyn but {type(model).__name__}"
                )
                raise ValueError(f"The member {name!r} {fault}.")
            members[str(name)] = clone(model)
            if model.season_length is None:
                members[str(name)].set_params(season_length=season)
        return members

    def _fitted(self, members: dict[str, PanelForecaster], panel: Panel, what: str) -> dict[str, PanelForecaster]:
        """Fitted copies of members; those so far, at least one, where the callback ends it."""
        watched = track(members, what, "member", verbose=self.verbose, callback=self.callback, describe=str)
        return {name: self.inner(members[name]).fit_panel(panel) for name in watched}

    def _check(self) -> None:
        check_choice("weights", self.weights, ("equal", "median", "validated"))
        check_choice("metric", self.metric, ("mae", "mse"))
        check_choice("selection", self.selection, ("global", "series"))
        if not 0 <= self.shrinkage <= 1:
            raise ValueError(f"shrinkage must be a number in [0, 1], got {self.shrinkage!r}.")

    def _origins(self, panel: Panel) -> Origins | None:
        """The last windows of every series that has rows enough; None where no series has."""
        check_count("n_windows", self.n_windows)
        horizon, step = self.horizon or max(self.season_of(panel), 2), self.step_size
        size = _fitting_windows(int(np.median(panel.lengths)), horizon, self.n_windows, step or horizon)
        if size is None:
            self.notes_.append(
                f"Weights are equal, since there is nothing to validate them on: half of the series have "
                f"{int(np.median(panel.lengths))} rows or fewer."
            )
            return None
        if size != (horizon, self.n_windows, step or horizon):
            self.notes_.append(
                f"Weights are validated on {size[1]} windows of {size[0]} steps, {size[2]} apart, in place of "
                f"{self.n_windows} of {horizon}, {step or horizon} apart: members keep {MEMBER_SHARE:.0%} of the rows."
            )
        origins = Origins.of(panel, *size)
        return self._of_long_series(panel, origins)

    def _of_long_series(self, panel: Panel, origins: Origins) -> Origins:
        """The windows before which a series keeps most of its rows."""
        kept = origins.rows - panel.starts[origins.series] >= MEMBER_SHARE * panel.lengths[origins.series]
        short = len(panel.names) - len(np.unique(origins.series[kept]))
        if short:
            self.notes_.append(f"{short} series are too short to validate on: they take the weights of the others.")
        return replace(origins, series=origins.series[kept], rows=origins.rows[kept], window=origins.window[kept])

    def _validated(self, panel: Panel, origins: Origins, members: dict[str, PanelForecaster]) -> Array:
        """The best weights of every series, (series, members)."""
        y, values, owner = self._past(panel, origins, members)
        every = np.repeat(simplex_weights(y, values, self.metric)[None], len(panel.names), axis=0)
        if self.selection == "global":
            return every
        for number in np.unique(owner):
            own = simplex_weights(y[owner == number], values[owner == number], self.metric)
            every[number] = self.shrinkage * every[number] + (1 - self.shrinkage) * own
        return every

    def _past(self, panel: Panel, origins: Origins, members: dict[str, PanelForecaster]) -> tuple[Array, Array, Array]:
        """Known values of the windows and what members forecast, both divided by Q, and their series."""
        series = origins.series
        request = ForecastRequest.within(panel, series, origins.rows, origins.horizon)
        found = [member.forecast_from(request).mean for member in members.values()]
        scale = mean_changes(_before_windows(panel, origins), self.season_of(panel))[series][:, None]
        actual = request.actual() / scale
        values = np.stack(found, axis=-1) / scale[..., None]
        known = ~np.isnan(actual) & ~np.isnan(values).any(axis=-1)
        owner = np.broadcast_to(series[:, None], actual.shape)
        return actual[known], values[known], owner[known]


def simplex_weights(y: Array, values: Array, metric: str = "mae") -> Array:
    """The convex combination of columns that is nearest to y: weights (members,) of values (rows, members).

        min_w Σ_t |y_t − Σ_i w_i v_ti|  (or its square),    w_i ≥ 0,  Σ_i w_i = 1

    It is never worse than one member alone, or all of them with equal weights.

    Examples
    --------
    >>> values = np.array([[1.0, 3.0], [2.0, 6.0], [4.0, 0.0]])
    >>> simplex_weights(values @ [0.25, 0.75], values).round(2)
    array([0.25, 0.75])
    """
    count = values.shape[1]
    equal = np.full(count, 1.0 / count)
    if count == 1 or not len(y):
        return equal
    loss = _absolute(y, values) if metric == "mae" else _squared(y, values)
    found = minimize(
        loss,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(count)},
        options={"maxiter": 200, "ftol": 1e-10},
    )
    best = np.clip(found.x, 0.0, None)
    candidates = [best / best.sum(), equal, *np.eye(count)] if np.isfinite(best).all() else [equal, *np.eye(count)]
    power = 1 if metric == "mae" else 2
    errors = [np.mean(np.abs(y - values @ weights) ** power) for weights in candidates]
    return candidates[int(np.argmin(errors))]


def _absolute(y: Array, values: Array) -> Callable[[Array], tuple[float, Array]]:
    """The mean absolute error, rounded off at zero, and its gradient."""
    usual = np.abs(y - values.mean(axis=1)).mean()
    small = 1e-3 * usual if usual > 0 else 1e-12

    def loss(weights: Array) -> tuple[float, Array]:
        error = values @ weights - y
        size = np.sqrt(error**2 + small**2)
        return float(size.mean()), values.T @ (error / size) / len(y)

    return loss


def _squared(y: Array, values: Array) -> Callable[[Array], tuple[float, Array]]:
    """The mean squared error and its gradient."""

    def loss(weights: Array) -> tuple[float, Array]:
        error = values @ weights - y
        return float(np.mean(error**2)), 2 * values.T @ error / len(y)

    return loss


def _fitting_windows(length: int, horizon: int, count: int, step: int) -> tuple[int, int, int] | None:
    """Horizon, number and step of windows that leave most of the rows of a series before them; None if none do.

    Examples
    --------
    >>> [_fitting_windows(*own) for own in ((72, 4, 3, 4), (28, 8, 3, 8), (12, 8, 3, 8), (3, 2, 3, 2))]
    [(4, 3, 4), (8, 3, 1), (4, 1, 1), None]
    """
    room = int(length * (1 - MEMBER_SHARE) + 1e-9)
    horizon = min(horizon, room)
    if room < 2:
        return None
    step = min(step, max(1, (room - horizon) // max(count - 1, 1)))
    return horizon, min(count, 1 + (room - horizon) // step), step


def _before_windows(panel: Panel, origins: Origins) -> Panel:
    """The rows of every series before its first window; all of them where it has none."""
    return panel.head(np.minimum(origins.first(panel), panel.ends) - panel.starts)

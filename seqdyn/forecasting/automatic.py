"""The forecaster for newcomers: closed forms and a network, tried against each other and weighted by past error.

ŷ = Σ_v w_v ŷ_v,    w_v ≥ 0,  Σ_v w_v = 1            for every series
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from seqdyn.arrays import Array
from seqdyn.checks import check_count, outside
from seqdyn.data.labels import quoted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.candidates import ForecasterPool, candidate_forecasters, network_of
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.descriptions import describe_automatic
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.error_growth import ErrorGrowth
from seqdyn.forecasting.forecaster import Forecaster
from seqdyn.forecasting.holdout import Holdout
from seqdyn.forecasting.reading import warn_of_unused
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.seasons import season_lengths
from seqdyn.forecasting.smoothers import ThetaForecaster
from seqdyn.forecasting.tables import series_means
from seqdyn.forecasting.weighing import leaning, weights
from seqdyn.progress import nested, track

SEASON_GAIN = 0.85
"""What another season must bring the error down to, to be taken instead of the frequency's own."""

SHARED = ("panel_", "known_", "fitted_until_")
"""What closed forms have in common with the whole, and files hold once; a network sees the panel in its own way."""


@dataclass(kw_only=True, repr=False, eq=False)
class AutoForecaster(PanelForecaster):
    """Forecasts that need no tuning: many simple models and a network, weighted by how well they did before.

        ŷ = Σ_v w_v ŷ_v,    w_m ∝ π_m error_m⁻⁴  over members m,  the best three variants of each mixed

    Members are exponential smoothing, the Theta method, smoothing of the seasonally adjusted series, ridge
    autoregression of each series and of all together, AutoReg, the naive forecasts, and a network. Each comes in
    variants: with and without logarithm, trend and season, of several lags and penalties. All are fitted without the
    last rows, forecast them from many origins, and are weighted by their errors there, series by series; a series of
    few rows leans on what holds for all. The network joins only where it beats the others together. What has a weight
    is fitted anew to everything. :mod:`seqdyn.forecasting.weighing` has the rule in full.

    Where no ``season_length`` is given, that of the frequency is compared with those that the autocorrelation suggests.
    Covariates known ahead reach the ridge autoregressions, AutoReg and the network.

    Intervals come from the errors of the weighted forecasts in the same trial, which their fits had not seen: their
    size in each series, their growth with the steps, and their law (:mod:`seqdyn.forecasting.error_growth`).

    Parameters
    ----------
    horizon : int or None, at least 1
        The steps ahead that members are compared on, and the default of ``forecast``. None: two seasons, one if it is
        longer than seven steps, or six where there is none; a quarter of the series at most.
    network : "auto", None, regressor or Forecaster
        The network that may join: ``"auto"``, a GRU where it trains in seconds; None, none; a regressor, or a
        :class:`~seqdyn.forecasting.forecaster.Forecaster` with settings of its own.
    lower, upper : float, "auto" or None
        Bounds of forecasts and quantiles. ``lower="auto"``: 0 where all values are counts (whole numbers from 0 on).
    random_state : int, RandomState or None
        Of the network.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster.

    Attributes
    ----------
    weights_ : DataFrame, shape (series, members)
    choices_ : DataFrame
        One row a variant: its member, its mean weight, and its error in the trial, relative to the seasonal naive one.
    seasons_ : tuple of int
        The seasons of its variants.
    members_ : list of forecaster
        The variants with a weight, fitted to everything.
    notes_ : list of str
        What was left out, and why.

    References
    ----------
    Bates & Granger (1969), The Combination of Forecasts; Makridakis, Spiliotis & Assimakopoulos (2020), The M4
    Competition, section 4 (combinations of simple methods); Pawlikowski & Chorowska (2020), Weighted ensemble of
    statistical models (weights by past error).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from seqdyn import AutoForecaster
    >>> months = pd.date_range("2015-01-01", periods=96, freq="MS")
    >>> sales = pd.Series(100 + np.arange(96) + 10 * np.sin(np.arange(96) * np.pi / 6), months)
    >>> model = AutoForecaster(network=None).fit(sales)
    >>> model.forecast(3).round().tolist()
    [196.0, 202.0, 207.0]
    """

    horizon: int | None = None
    network: Any = "auto"
    lower: Any = "auto"
    upper: float | None = None
    random_state: Any = None

    def _learn(self, panel: Panel) -> None:
        self.bounds_ = self._bounds(panel)
        self.notes_: list[str] = []
        self.seasons_ = seasons = self._chosen_seasons(panel)
        self.trial_horizon_ = self._tried_horizon(panel, seasons[0])
        trial = Holdout.of(panel, self.trial_horizon_, max(seasons))
        pool = candidate_forecasters(panel, seasons, int(np.median(trial.before.lengths)), self._common())
        self.notes_ += pool.notes
        count, fitted = len(pool.variants), self._tried(pool, trial)
        errors = np.array([trial.errors(_forecast_of(model, trial)) for model in fitted])
        shares = _variant_weights(pool, errors, trial)
        past = _past_forecasts(fitted, shares, trial, self.bounds_)
        if len(fitted) == count and (network := self._network(panel, trial, past)) is not None:
            pool.add("network", "recurrent", network[0])
            fitted, errors = [*fitted, network[1]], np.concatenate([errors, network[2][None]])
            shares = _variant_weights(pool, errors, trial)
            past = _past_forecasts(fitted, shares, trial, self.bounds_)
        elif self.network is not None:
            warn_of_unused(type(self).__name__, ("future",), panel.roles)
        used = np.flatnonzero(shares.any(axis=1))
        self.logged_ = _logged(pool, shares, panel)
        self.growth_ = self._growth(trial, past)
        self._say(pool, errors, shares, trial)
        self.shares_ = shares[used]
        chosen = [pool.variants[i].model for i in used]
        self.members_ = [_fitted_copy(model, panel) for model in track(chosen, "fit", "member", verbose=self.verbose)]

    def _tried(self, pool: ForecasterPool, trial: Holdout) -> list[PanelForecaster | None]:
        """Every variant fitted to the rows before the trial; the pool keeps those so far where the callback ends it."""
        variants = track(
            pool.variants,
            "compare",
            "candidate",
            verbose=self.verbose,
            callback=self.callback,
            describe=lambda variant: f"{variant.member}, {variant.name}",
        )
        fitted = [_fitted_before(variant.model, trial) for variant in variants]
        if len(fitted) < len(pool.variants):
            self.notes_.append(f"the comparison was ended after {len(fitted)} of {len(pool.variants)} candidates.")
            pool.variants = pool.variants[: len(fitted)]
        return fitted

    def _bounds(self, panel: Panel) -> tuple[float, float]:
        """The lowest and the highest value of a forecast."""
        known = panel.target[~np.isnan(panel.target)]
        counts = bool((known >= 0).all() and (known == np.round(known)).all())
        low = (0.0 if counts else -np.inf) if self.lower == "auto" else -np.inf if self.lower is None else self.lower
        high = np.inf if self.upper is None else self.upper
        for name, edge, beyond in (("lower", low, known < low), ("upper", high, known > high)):
            if beyond.any():
                row = int(np.flatnonzero(~np.isnan(panel.target))[np.argmax(beyond)])
                raise ValueError(
                    f"{name}={edge:g}, but series {quoted(panel.names[panel.series[row]])} is {panel.target[row]:g} at "
                    f"{panel.times[row]!s}: leave {name} out, or give one that holds in the past."
                )
        if not low < high:
            raise ValueError(f"lower={low:g} must be less than upper={high:g}.")
        return float(low), float(high)

    def _chosen_seasons(self, panel: Panel) -> tuple[int, ...]:
        """The seasons given; else that of the frequency or one that the data suggest, whichever forecasts better."""
        own = self.seasons_of(panel)
        if self.season_length is not None:
            return own
        horizon = self._tried_horizon(panel, own[0])
        others = [m for m in season_lengths(Holdout.of(panel, horizon, own[0]).before) if m != own[0]]
        if not others:
            return own
        trial = Holdout.of(panel, horizon, max(own[0], *others))
        errors = [_season_error(trial, self._common(), season) for season in (own[0], *others)]
        best = int(np.argmin(errors))
        if errors[best] >= SEASON_GAIN * errors[0]:
            return own
        self.notes_.append(
            f"season {others[best - 1]} is taken instead of the frequency's {own[0]}: its error in the trial is "
            f"{errors[best] / errors[0]:.2f} times as large."
        )
        return (others[best - 1],)

    def _tried_horizon(self, panel: Panel, season: int) -> int:
        if self.horizon is not None:
            return check_count("horizon", self.horizon)
        wanted = 6 if season == 1 else 2 * season if season <= 7 else season
        return max(1, min(wanted, int(np.median(panel.lengths)) // 4))

    def _common(self) -> dict[str, Any]:
        """The parameters that members share with the whole."""
        names = ("freq", "id_col", "time_col", "target_col", "past", "future", "static")
        inner = {"verbose": nested(self.verbose), "callback": self.callback}
        return {name: getattr(self, name) for name in names} | inner

    def _network(self, panel: Panel, trial: Holdout, past: Array) -> tuple[PanelForecaster, Any, Array] | None:
        """The network, unfitted and fitted before the trial, and its errors; None if it does not beat the others."""
        own = {"season_length": self.seasons_ if max(self.seasons_) > 1 else None, "horizon": self.trial_horizon_}
        network, why = network_of(self.network, panel, self.random_state, self._common() | own)
        if network is None:
            self.notes_ += [why] if why else []
            return None
        fitted = _fitted_before(network, trial)
        errors = trial.errors(_forecast_of(fitted, trial))
        ratio = _ratio(errors, trial.errors(past))
        what = "joins" if ratio < 1.0 else "is left out"
        self.notes_.append(f"the network {what}: its error in the trial is {ratio:.2f} times the others'.")
        return (network, fitted, errors) if ratio < 1.0 else None

    def _growth(self, trial: Holdout, past: Array) -> ErrorGrowth:
        """How far the weighted forecasts were off in the trial, on the scale that they are made on."""
        logged, panel = self.logged_[trial.request.series], trial.request.panel
        errors = _on_model_scale(trial.actual, logged) - _on_model_scale(past, logged)
        level = series_means(np.abs(panel.target), panel.starts)
        usual = np.where(self.logged_, trial.usual / np.maximum(level, 1e-300), trial.usual)
        return ErrorGrowth.from_errors(errors, trial.request.series, usual, trial.windows)

    def _say(self, pool: ForecasterPool, errors: Array, shares: Array, trial: Holdout) -> None:
        """Keep what was tried, and what it counts."""
        naive = errors[[variant.reference for variant in pool.variants]]
        reference = naive.min(axis=0) if len(naive) else np.full(errors.shape[1], np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(reference > 0, errors / reference, np.nan)
        usual = np.array([np.median(own) if len(own := row[np.isfinite(row)]) else np.nan for row in relative])
        self.tried_ = {
            "member": [variant.member for variant in pool.variants],
            "variant": [variant.name for variant in pool.variants],
            "weight": shares.mean(axis=1),
            "error": usual,
        }
        self.member_names_, number = pool.members, pool.number
        self.member_shares_ = np.array([shares[number == own].sum(axis=0) for own in range(len(pool.members))])
        rows = trial.request.panel.lengths - trial.before.lengths
        self.trial_origins_, self.trial_rows_ = len(trial.actual), int(rows.max())

    @property
    def weights_(self) -> pd.DataFrame:
        """What every member counts in every series, (series, members)."""
        check_is_fitted(self)
        return pd.DataFrame(self.member_shares_.T, index=self.known_.names, columns=self.member_names_)

    @property
    def choices_(self) -> pd.DataFrame:
        """All variants that were tried, the weightiest first."""
        check_is_fitted(self)
        return pd.DataFrame(self.tried_).sort_values("weight", ascending=False, kind="stable", ignore_index=True)

    def facts(self) -> dict[str, object]:
        weights = self.weights_.mean().round(2)
        return super().facts() | {"weights": weights[weights > 0].sort_values(ascending=False).to_dict()}

    def summary(self) -> str:
        """One screen: the data, what was chosen and why, and where intervals come from.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        return describe_automatic(self)

    def forecast_ahead(self, horizon: int, future: Array, levels: Array | None = None) -> Forecasts:
        found = [_quietly(model.forecast_ahead, horizon, future).mean for model in self.members_]
        owner = np.arange(len(self.panel_.names))
        return self._together(found, self._envelope(), owner, levels)

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        plain = replace(request, levels=None)
        found = [_quietly(model.forecast_from, plain).mean for model in self.members_]
        owner = request.numbers(self.panel_.names)
        return self._together(found, Envelope.of(request.panel, request.rows), owner, request.levels)

    def _together(self, found: list[Array], histories: Envelope, owner: Array, levels: Array | None) -> Forecasts:
        """The weighted mean of what members say, and the quantiles about it."""
        mean, gone = _weighted_mean(found, self.shares_[:, owner], histories, self.bounds_)
        notes = [self._runaway(number, own, owner) for number, own in enumerate(gone) if own.any()]
        if levels is None:
            return Forecasts(mean, None, tuple(notes))
        if self.growth_.windows.sum() < 1:
            notes.append(
                f"Intervals are guesses: {self.trial_rows_} rows could be tried, fewer than the {self.trial_horizon_} "
                "steps of a horizon."
            )
        return Forecasts(mean, self._around(mean, owner, levels), tuple(notes))

    def _runaway(self, number: int, gone: Array, owner: Array) -> str:
        name, kind = quoted(self.known_.names[owner[int(np.argmax(gone))]]), type(self.members_[number]).__name__
        return f"A {kind} has run away on series {name}: it is left out of {int(gone.sum())} forecasts."

    def _around(self, mean: Array, owner: Array, levels: Array) -> Array:
        """Quantiles about the point forecasts, (origins, horizon, quantiles); those of logarithms are factors."""
        offset = self.growth_.offsets(levels, mean.shape[1], owner)
        logged = self.logged_[owner][:, None, None]
        centre = mean[:, :, None]
        size = np.where(logged, np.abs(mean).max(axis=1)[:, None, None], 1.0)
        with np.errstate(over="ignore"):
            factor = centre * np.exp(np.where(logged, offset, 0.0))
        values = np.where(logged & (centre > 0), factor, centre + size * offset)
        return np.sort(np.clip(values, *self.bounds_), axis=2)

    def default_horizon(self) -> int | None:
        """The steps that members were compared on."""
        return getattr(self, "trial_horizon_", None) if self.horizon is None else self.horizon

    @property
    def used_covariates(self) -> tuple[str, ...]:  # type: ignore[override]
        """What members use; the network, if there is one, takes all."""
        return ("future",) if self.network is None else ("past", "future", "static")

    def follow(self, new: Panel, panel: Panel, known: Panel) -> None:
        """Members that keep a state filter the new rows; all share one panel."""
        self._check_new(new)
        for model in self.members_:
            model.follow(new, panel, known)
        super().follow(new, panel, known)

    def _check_new(self, new: Panel) -> None:
        """Warn of values that the fit did not reckon with."""
        owner = self.panel_.names.get_indexer(new.names)[new.series]
        low, high = self.bounds_
        for beyond, why in (
            ((new.target < low) | (new.target > high), f"outside the bounds [{low:g}, {high:g}] of the forecasts"),
            (
                self.logged_[owner] & (new.target <= 0),
                "not positive, and missing where its logarithm is modelled",
            ),
        ):
            if beyond.any():
                row = int(np.argmax(beyond))
                warnings.warn(
                    f"Series {quoted(new.names[new.series[row]])} is {new.target[row]:g} at {new.times[row]!s}: {why}. "
                    "Fit again.",
                    stacklevel=outside(),
                )

    def to_content(self) -> dict[str, Any]:
        """Parameters and fitted attributes as a tree that files can hold; what members share is held once."""
        content = super().to_content()
        members = [copy.copy(model) for model in self.members_]
        for model in members:
            for name in () if isinstance(model, Forecaster) else SHARED:
                model.__dict__.pop(name, None)
        content["fitted"]["members_"] = members
        return content

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        forecaster = super().from_content(content)
        for model in forecaster.members_:
            for name in () if isinstance(model, Forecaster) else SHARED:
                setattr(model, name, getattr(forecaster, name))
        return forecaster


def _fitted_before(model: PanelForecaster, trial: Holdout) -> Any:
    """A variant fitted to the rows before the trial; None where it could not be."""
    try:
        return _fitted_copy(model, trial.before)
    except ValueError:
        return None


def _forecast_of(fitted: PanelForecaster | None, trial: Holdout) -> Array:
    """What a variant forecasts in the trial, (origins, horizon); NaN throughout where it cannot."""
    try:
        if fitted is not None:
            found: Array = _quietly(fitted.forecast_from, trial.request).mean
            return found
    except ValueError:
        pass
    return np.full(trial.actual.shape, np.nan)


def _past_forecasts(
    fitted: list[PanelForecaster | None], shares: Array, trial: Holdout, bounds: tuple[float, float]
) -> Array:
    """The weighted forecasts of the trial, (origins, horizon)."""
    asked = trial.request
    if not len(asked.rows):
        return np.zeros(trial.actual.shape)
    used = np.flatnonzero(shares.any(axis=1))
    found = (_forecast_of(fitted[i], trial) for i in used)
    return _weighted_mean(found, shares[used][:, asked.series], Envelope.of(asked.panel, asked.rows), bounds)[0]


def _weighted_mean(
    found: Iterable[Array], shares: Array, histories: Envelope, bounds: tuple[float, float]
) -> tuple[Array, list[Array]]:
    """Σ w ŷ of forecasts (origins, horizon) that have not run away, within bounds; and who has, (origins,) each.

    Weights (forecasts, origins) are made to sum to 1; where nothing is left the last known value stands.
    """
    total: Any = 0.0
    weight, gone = np.zeros(shares.shape[1]), []
    low = high = np.zeros(0)
    for number, one in enumerate(found):
        if not number:
            low, high = histories.limits(one.shape[1])
        astray = ~((one >= low) & (one <= high)).all(axis=1)
        share = np.where(astray, 0.0, shares[number])
        gone.append(astray & (shares[number] > 0))
        total = total + np.where(share[:, None] > 0, one, 0.0) * share[:, None]
        weight += share
    some = weight[:, None] > 0
    mean = np.where(some, total / np.where(some, weight[:, None], 1.0), histories.last[:, None])
    return np.clip(mean, *bounds), gone


def _fitted_copy(model: PanelForecaster, panel: Panel) -> PanelForecaster:
    found: PanelForecaster = _quietly(clone(model).fit_panel, panel)
    return found


def _variant_weights(pool: ForecasterPool, errors: Array, trial: Holdout) -> Array:
    """What every variant counts in every series, (variants, series)."""
    return weights(leaning(errors, trial.windows), pool.number, pool.prior, float(trial.windows.sum()))


def _logged(pool: ForecasterPool, shares: Array, panel: Panel) -> Array:
    """Series that are forecast by their logarithms for the greater part, (series,)."""
    log = np.array([variant.log for variant in pool.variants])
    positive = np.fmin.reduceat(panel.target, panel.starts) > 0
    found: Array = (shares[log].sum(axis=0) > 0.5) & positive
    return found


def _on_model_scale(values: Array, logged: Array) -> Array:
    """log y where that is forecast, else y; of values (origins, horizon)."""
    log = np.broadcast_to(logged[:, None], values.shape)
    return np.where(log, np.log(np.where(log, np.maximum(values, 1e-300), 1.0)), values)


def _season_error(trial: Holdout, common: dict[str, Any], season: int) -> float:
    """The mean error of simple smoothing with a season; of the better of a constant level and a season."""
    own = common | {"season_length": season, "slope": 0.0}
    models = (ThetaForecaster(seasonal=kind, **own) for kind in ("none", "add"))
    found = [trial.errors(_forecast_of(_fitted_before(model, trial), trial)) for model in models]
    best = np.minimum(*found)
    return float(np.nanmean(best)) if not np.isnan(best).all() else np.inf


def _ratio(errors: Array, others: Array) -> float:
    """The mean of errors relative to that of others; infinite where nothing was tried."""
    known = ~np.isnan(errors) & ~np.isnan(others)
    if not known.any():
        return np.inf
    return float(errors[known].mean() / max(float(others[known].mean()), 1e-12))


def _quietly(work: Any, *arguments: Any) -> Any:
    """What work says, without its warnings: a member's doubts are weighed by its errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work(*arguments)

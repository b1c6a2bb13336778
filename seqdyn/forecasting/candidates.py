"""What an AutoForecaster chooses from: members, each in several variants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.estimators.numbers import is_sequence_regressor
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.deseasonalised import DeseasonalisedNaiveForecaster
from seqdyn.forecasting.forecaster import Forecaster
from seqdyn.forecasting.naive import (
    DriftForecaster,
    MovingAverageForecaster,
    NaiveForecaster,
    SeasonalNaiveForecaster,
)
from seqdyn.forecasting.ridge import RidgeForecaster
from seqdyn.forecasting.smoothers import SmoothingForecaster, ThetaForecaster
from seqdyn.forecasting.statistical import AutoRegForecaster

VARIANT_PENALTIES = (0.01, 1.0, 10.0, 100.0)
"""λ of the ridge regressions, in units of a series' seasonal differences."""

LONGEST_SEASON = 60
"""The longest season that is smoothed: a longer one has too many states."""

MOST_FITTED = 2000
"""Series beyond which members that are fitted one by one are left out."""

FEW_ROWS, MANY_ROWS = 60, 20_000
"""How many rows in all a network is tried on."""

MEMBER_PRIOR = {"smoothing": 2.0, "theta": 2.0, "naive": 0.5, "deseasonalised": 0.5}
"""What members count before any error is known; others 1."""


@dataclass(frozen=True)
class Variant:
    """One forecaster to choose from.

    Attributes
    ----------
    member : str
        What it is a variant of.
    name : str
        What tells it apart.
    model : PanelForecaster
        Unfitted.
    log : bool
        Whether it models logarithms.
    reference : bool
        Whether errors are told in units of its own: the last value, and the season before.
    """

    member: str
    name: str
    model: PanelForecaster
    log: bool = False
    reference: bool = False


@dataclass
class ForecasterPool:
    """Forecasters to choose from, and notes on what was left out, and why."""

    variants: list[Variant] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def members(self) -> list[str]:
        """What there are variants of, in their order."""
        return list(dict.fromkeys(variant.member for variant in self.variants))

    @property
    def number(self) -> Array:
        """The number of every variant's member, (variants,)."""
        order = self.members
        return np.array([order.index(variant.member) for variant in self.variants])

    @property
    def prior(self) -> Array:
        """What every member counts before any error is known, (members,)."""
        return np.array([MEMBER_PRIOR.get(member, 1.0) for member in self.members])

    def add(self, member: str, name: str, model: PanelForecaster, **kind: bool) -> None:
        """One more variant."""
        self.variants.append(Variant(member, name, model, **kind))


def candidate_forecasters(panel: Panel, seasons: tuple[int, ...], rows: int, common: dict[str, Any]) -> ForecasterPool:
    """All variants that suit a panel.

    ``seasons`` are the lengths to choose from, 1 where there is none; a series of usual length has ``rows`` for its
    first fit; ``common`` are the parameters that all forecasters take.
    """
    found = ForecasterPool()
    positive = np.fmin.reduceat(panel.target, panel.starts) > 0
    scales: dict[str, Any] = {"plain": False}
    if positive.any():
        scales["log"] = True if positive.all() else "auto"
    for season in seasons:
        own = common | {"season_length": season}
        end = f", season {season}" if len(seasons) > 1 else ""
        _smoothing_variants(found, own, season, scales, end)
        _ridge_variants(found, own, season, rows, scales, len(panel.names), end)
        if season > 1:
            found.add("naive", f"the season before{end}", SeasonalNaiveForecaster(**own), reference=True)
    _simple_variants(found, common | {"season_length": seasons[0]}, scales, len(panel.names))
    return found


def network_of(choice: Any, panel: Panel, random_state: Any, common: dict[str, Any]) -> tuple[Forecaster | None, str]:
    """The network that may join the members of a panel, unfitted; or None, and why.

    "auto" is a GRU, where its training takes seconds. A Forecaster keeps what it says of season and horizon.
    """
    if choice is None:
        return None, ""
    if isinstance(choice, Forecaster):
        own = ("season_length", "horizon")
        given = {name: getattr(choice, name) for name in own if getattr(choice, name) is not None}
        return clone(choice).set_params(**common | given), ""
    if is_sequence_regressor(choice):
        return Forecaster(choice, random_state=random_state, **common), ""
    if choice != "auto":
        raise TypeError(
            f"network={choice!r} is neither a regressor of seqdyn, such as GRURegressor(), nor a Forecaster, 'auto' or "
            "None."
        )
    rows = len(panel.target)
    if not FEW_ROWS <= rows <= MANY_ROWS:
        size = f"fewer than {FEW_ROWS}" if rows < FEW_ROWS else f"more than {MANY_ROWS}"
        return None, f"the network is left out: {rows} rows are {size}. Give one as network= to try it."
    return Forecaster(GRURegressor(random_state=random_state), random_state=random_state, **common), ""


def _smoothing_variants(
    found: ForecasterPool, own: dict[str, Any], season: int, scales: dict[str, Any], end: str
) -> None:
    """Exponential smoothing and Theta, with and without logarithm, trend and season."""
    kinds = ("none", "add", "mul") if 1 < season <= LONGEST_SEASON else ("none",)
    for scale, log in scales.items():
        for kind in (kind for kind in kinds if not (log and kind == "mul")):
            shape = {"none": "no season", "add": f"additive{end}", "mul": f"multiplicative{end}"}[kind]
            both = {"seasonal": kind, "log": bool(log), **own}
            for trend in ("damped", "none"):
                name = f"{scale}, {'damped' if trend == 'damped' else 'no'} trend, {shape}"
                found.add("smoothing", name, SmoothingForecaster(trend=trend, **both), log=bool(log))
            found.add("theta", f"{scale}, {shape}", ThetaForecaster(**both), log=bool(log))
            found.add("deseasonalised", f"{scale}, {shape}", ThetaForecaster(slope=0.0, **both), log=bool(log))


def _ridge_variants(
    found: ForecasterPool, own: dict[str, Any], season: int, rows: int, scales: dict[str, Any], series: int, end: str
) -> None:
    """Ridge autoregressions of several lags and penalties, each series by itself and all of them pooled."""
    several = [2, 4, 8] if season == 1 else [2, season + 1, 2 * season + 1]
    week = season >= 24 and rows >= 21 * season
    most = 7 * season if week else max(1, rows // 4)
    if season >= 24:
        several = [season + 1, 7 * season] if week else [season + 1]
    for scale, log in scales.items():
        for lags in sorted({min(lags, most) for lags in several}):
            for penalty in VARIANT_PENALTIES:
                both = {"lags": lags, "penalty": penalty, "log": log, **own}
                name = f"{scale}, {lags} lags, λ = {penalty:g}{end}"
                found.add("ridge", name, RidgeForecaster(**both), log=bool(log))
                if series > 1:
                    found.add("ridge_pooled", name, RidgeForecaster(pooled=True, **both), log=bool(log))


def _simple_variants(found: ForecasterPool, own: dict[str, Any], scales: dict[str, Any], series: int) -> None:
    """AutoReg and the naive ones."""
    found.add("naive", "last value", NaiveForecaster(**own), reference=True)
    found.add("naive", "drift", DriftForecaster(**own))
    found.add("naive", "mean", MovingAverageForecaster(window=1_000_000, **own))
    for scale, log in scales.items():
        found.add("auto_regression", scale, AutoRegForecaster(log=log, **own), log=bool(log))
    if series > MOST_FITTED:
        found.notes.append(
            f"naive2 is left out: it is fitted series by series, and {series} series are more than {MOST_FITTED}."
        )
        return
    found.add("deseasonalised", "naive2", DeseasonalisedNaiveForecaster(**own))

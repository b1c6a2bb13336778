"""The network that a forecaster makes of a regressor: what was left open is chosen on the last rows of the data.

Its linear part begins as the linear model that forecasts those rows best (:mod:`seqdyn.forecasting.linear_choice`), and
the recurrence is trained to correct it. Of the correction the share α is kept that forecasts them best,

    ŷ_t = W x_t + b + α [(W' − W) x_t + V h_t + b' − b]

so a recurrence that memorises is worth nothing, and one that has learnt something is kept. At the end everything is
trained anew on all rows, for as long and with the same share.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression
from seqdyn.composition import Readout
from seqdyn.data.panels import Panel
from seqdyn.estimators.numbers import is_closed_form
from seqdyn.estimators.regressors import GRURegressor, RecurrentRegressor
from seqdyn.forecasting.fitted import FittedNetwork
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.linear_choice import (
    START_PENALTIES,
    ChosenSetting,
    SeriesSetting,
    ValidationOrigins,
    best_setting,
    candidate_settings,
    scaled_error,
    validation_horizon,
    validation_origins,
    validation_sample,
)
from seqdyn.training.heads import POINTWISE

TRAINING_DEFAULTS: dict[str, Any] = {"learning_rate": 3e-3, "schedule": "cosine"}
"""What training is left open is done by: corrections of a start that is good already are small."""

MOST_EPOCHS, MOST_STEPS = 40, 2000
"""Its budget, whichever is spent first."""

SHORTEST_WINDOW = 96
"""The shortest window that long series are cut into; they are long from three windows on."""

CORRECTION_SHARES, SHARE_GAIN = (0.0, 0.25, 0.5, 0.75, 1.0), 0.01
"""α, and how much better than the ones before it a share must be."""


@dataclass(frozen=True)
class NetworkPlan:
    """How a forecaster shows series to its network, and how that is trained.

    Attributes
    ----------
    setting : SeriesSetting
    chosen : bool
        Whether the setting was chosen and is where the network starts; else it was given.
    error : float
        mean |y − ŷ| / mean |y_t − y_{t-m}| of free runs over the rows held out; NaN if none were.
    share : float in [0, 1]
        α, how much of the correction is kept.
    tried : int
        Settings compared, each penalty counted.
    """

    setting: SeriesSetting
    chosen: bool = False
    error: float = np.nan
    share: float = 1.0
    tried: int = 0

    def learnt(self, targets: Array, panel: Panel, season: int) -> Array:
        """The targets that are learnt from: NaN where the lags before them are not all known to the network yet.

        So the linear start is the model that was chosen. Where that would leave less than half of them, all count.
        """
        early = panel.steps < self.setting.memory(season) + self.setting.lags
        if not self.chosen or (~np.isnan(targets[~early])).sum() < (~np.isnan(targets)).sum() / 2:
            return targets
        return np.where(early[:, None], np.nan, targets)

    def describe(self) -> str:
        """One line."""
        own = self.setting
        parts = [
            f"{own.lags} lags{' relative to the last value' if own.centred else ''}",
            *(["logarithms"] if own.log else []),
            *([f"{own.difference} differences"] if own.difference else []),
            *([f"{own.seasonal_difference} seasonal differences"] if own.seasonal_difference else []),
            f"scaled by series ({own.scaling})",
        ]
        if self.chosen:
            kept = f"{self.share:.0%}" if self.share > 0 else "nothing"
            parts += [f"ridge start {own.penalty:g}", f"{kept} of what the network adds to it"]
        return ", ".join(parts)

    @property
    def linear(self) -> str:
        """Why the model is its linear start and nothing else; empty if it is not."""
        if self.share > 0:
            return ""
        if np.isnan(self.error):
            return "there were too few rows to try the network's correction on"
        return "the network's correction did not help"


def starts_open(estimator: Any) -> bool:
    """Whether it was left open where the training of a regressor begins: neither skip nor linear_start is set.

    Examples
    --------
    >>> starts_open(GRURegressor()), starts_open(GRURegressor(skip=True))
    (True, False)
    """
    return isinstance(estimator, RecurrentRegressor) and not estimator.skip and estimator.linear_start is None


def plan_network(
    model: Any, panel: Panel, seasons: Sequence[int], steps: int
) -> tuple[NetworkPlan, ValidationOrigins | None]:
    """The plan of a forecaster for a panel, its share still open, and the rows that share is to be found on.

    These are None if nothing is left to be found: no recurrence of its own start, or too few rows.
    """
    if not model.validation or not starts_open(_regressor(model)):
        return NetworkPlan(given_setting(model, panel, seasons)), None
    horizon = validation_horizon(model.horizon, seasons[0])
    least = max(steps + 3 if steps > 1 else 0, model.context_length or 0)
    choice = _best_choice(model, validation_sample(panel), seasons, steps, horizon, least)
    plan = NetworkPlan(choice.setting, True, choice.error, 0.0, choice.tried)
    tests = validation_origins(panel, horizon, model.validation, least)
    if _regressor(model).loss not in POINTWISE or not len(tests.request.rows):
        return NetworkPlan(choice.setting, True, choice.error, float(len(tests.request.rows) > 0), choice.tried), None
    return plan, tests


def given_setting(model: Any, panel: Panel, seasons: Sequence[int]) -> SeriesSetting:
    """What a forecaster was given, and the plain values of what it was not."""
    season = seasons[-1]
    plain = season + 1 if 1 < season <= panel.lengths.max() // 3 else 2
    lags = plain if model.lags is None else model.lags
    return SeriesSetting(
        False if model.log is None else model.log,
        model.difference or 0,
        model.seasonal_difference or 0,
        "standard" if model.scaling == "auto" else model.scaling,
        lags,
        lags > 1 if model.centred is None else model.centred,
    )


def configured(model: Any, plan: NetworkPlan, panel: Panel, columns: int, steps: int) -> Any:
    """A forecaster's regressor, told how many columns of its inputs are its targets' past, and how to be trained."""
    estimator = clone(_regressor(model))
    if is_closed_form(estimator):
        _check_closed_form(model, estimator, steps)
        return estimator.set_params(autoregression=Autoregression(columns))
    if plan.chosen:
        estimator.set_params(**recipe(estimator, plan.setting, panel))
    own = plan.setting.lags, plan.setting.centred, steps, model.teacher_forcing, model.free_run
    estimator.set_params(autoregression=Autoregression(columns, *own))
    if estimator.window is None and model.context_length is not None:
        estimator.set_params(window=model.context_length)
    if estimator.window is not None and estimator.warmup is None:
        estimator.set_params(warmup=min(estimator.window, int(panel.lengths.min())) // 5)
    return estimator


def recipe(estimator: Any, setting: SeriesSetting, panel: Panel) -> dict[str, Any]:
    """How a regressor is trained from a linear start: parameters that differ from those of its class stay as they are.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series(range(40)))
    >>> found = recipe(GRURegressor(max_epochs=7, learning_rate=1e-4), SeriesSetting(penalty=10.0), panel)
    >>> found["linear_start"], found["schedule"], "max_epochs" in found, "learning_rate" in found
    (10.0, 'cosine', False, False)
    """
    plain = type(estimator)().get_params(deep=False)
    found = {name: value for name, value in TRAINING_DEFAULTS.items() if getattr(estimator, name) == plain[name]}
    if estimator.max_epochs is None and estimator.max_steps is None and estimator.max_time is None:
        found |= {"max_epochs": MOST_EPOCHS, "max_steps": MOST_STEPS}
    if estimator.loss not in POINTWISE:
        found["early_stopping"] = True
    window = max(SHORTEST_WINDOW, 2 * setting.lags)
    if estimator.window is None and estimator.bptt_length is None and int(panel.lengths.max()) > 3 * window:
        found |= {"window": window, "stride": max(1, window // 4)}
    return found | {"skip": True, "linear_start": setting.penalty}


def mixed(start: Any, trained: Any, share: float) -> Any:
    """A copy of a trained regressor that keeps a share of what its readout gained over the linear start.

    ``start`` is fitted with the same parameters, without a step. Nobody reads the recurrence if the share is 0.
    """
    found = copy.deepcopy(trained)
    pairs = zip(*(_linear_readout(own.network_).named_parameters() for own in (start, found)), strict=True)
    with torch.no_grad():
        for (name, before), (_, after) in pairs:
            if not name.startswith("cell."):
                after.copy_(before + share * (after - before))
    return found


def best_share(networks: Sequence[FittedNetwork], tests: ValidationOrigins, season: int) -> tuple[int, float]:
    """Which of some networks forecasts the last rows best, by 1 % more than one before it, and its scaled error."""
    asked = tests.request
    wanted, scale = asked.actual(), mean_changes(tests.before, season)[asked.series]
    errors = []
    for network in networks:
        q, number = network.point(asked), asked.numbers(network.names)
        with np.errstate(over="ignore", invalid="ignore"):
            errors.append(scaled_error(wanted, network.transform.to_data(q, number), scale))
    place = 0
    for turn, error in enumerate(errors):
        place = turn if error < errors[place] * (1 - SHARE_GAIN) else place
    return place, errors[place]


def _best_choice(
    model: Any, panel: Panel, seasons: Sequence[int], steps: int, horizon: int, least: int
) -> ChosenSetting:
    tests = validation_origins(panel, horizon, model.validation, least)
    names = ("difference", "seasonal_difference", "lags", "centred")
    given = {name: getattr(model, name) for name in names if getattr(model, name) is not None}
    given |= {"log": model.log} if isinstance(model.log, bool) else {}
    scaling = "seasonal" if model.scaling == "auto" else model.scaling
    settings = candidate_settings(tests.before, seasons, scaling, given)
    return best_setting(settings, START_PENALTIES, seasons[0], tests, steps)


def _regressor(model: Any) -> Any:
    return GRURegressor(random_state=0) if model.estimator is None else model.estimator


def _check_closed_form(model: Any, estimator: Any, steps: int) -> None:
    """Raise if a regressor that is solved for is asked for what it cannot do."""
    kind = type(estimator).__name__
    if steps > 1:
        raise ValueError(f"{kind} predicts one step: it needs strategy='recursive'.")
    if model.lags not in (None, 1) or model.free_run or model.teacher_forcing != 1.0:
        raise ValueError(
            f"{kind} is solved for, and sees the last value only: leave out lags, free_run and teacher_forcing. "
            "(ARXRegressor(input_lags=…) has lags of its own.)"
        )


def _linear_readout(network: Any) -> Readout:
    """The readout that a linear start is in."""
    return next(part for part in network.modules() if isinstance(part, Readout) and part.direct is not None)

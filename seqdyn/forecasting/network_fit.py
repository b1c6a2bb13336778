"""The fit of a forecaster's network to a panel: rows in, a fitted network and its errors out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from seqdyn.arrays import Array
from seqdyn.data.calendar import calendar_names
from seqdyn.data.panels import Panel
from seqdyn.forecasting.fitted import FittedNetwork
from seqdyn.forecasting.inputs import ForecastInputs, lagged_targets, scale_features, targets
from seqdyn.forecasting.intervals import ForecastErrors, held_rows
from seqdyn.forecasting.linear_choice import ValidationOrigins
from seqdyn.forecasting.network import CORRECTION_SHARES, NetworkPlan, best_share, configured, mixed
from seqdyn.forecasting.requirements import check_extent, series_weights
from seqdyn.forecasting.transform import SeriesTransform
from seqdyn.progress import nested
from seqdyn.training.stopping import NonFiniteError

if TYPE_CHECKING:
    from seqdyn.forecasting.forecaster import Forecaster


@dataclass(frozen=True)
class NetworkFit:
    """A fitted network, the rows that it was fitted to, and how many more of every series its weights have not seen."""

    network: FittedNetwork
    panel: Panel
    X: Array
    Y: Array
    held: Array

    def errors(self, horizon: int) -> ForecastErrors:
        """The errors up to so many steps ahead."""
        return ForecastErrors.of(self.network, self.panel, self.X, self.Y, self.held, horizon)


def fit_network(model: Forecaster, plan: NetworkPlan, panel: Panel) -> NetworkFit:
    """Fit the network of a forecaster to a panel by a plan."""
    season, steps = model.season_of(panel), model.steps
    transform = plan.setting.transform(panel, season)
    names = calendar_names(model.calendar, season, panel.grid.freq, panel.grid.kind)
    panel = with_scales(panel, transform) if model.scale_features else panel
    inputs = ForecastInputs.of(panel, names, steps, model.weight)
    z = transform.forward(panel)
    check_extent(panel, z, steps, model.context_length, transform)
    X, Y = inputs.rows(panel, lagged_targets(z, panel)), targets(z, panel, steps)
    begins, ends = panel.stretches(max(50, 2 * season))
    estimator = _fit_regressor(model, plan, panel, X, plan.learnt(Y, panel, season), begins, ends)
    network = FittedNetwork(estimator, transform, inputs, steps, model.context_length, panel.names, panel.static)
    return NetworkFit(network, panel, X, Y, held_rows(estimator, panel, begins, ends))


def choose_share(
    model: Forecaster, plan: NetworkPlan, panel: Panel, tests: ValidationOrigins, horizon: int
) -> tuple[NetworkPlan, ForecastErrors]:
    """The plan with the share of the correction that forecasts the last rows best, and the errors there."""
    shares: tuple[float, ...] = CORRECTION_SHARES
    start = fit_network(model, replace(plan, share=0.0), tests.before).network
    try:
        whole = fit_network(model, replace(plan, share=1.0), tests.before).network.estimator
    except NonFiniteError:
        whole, shares = start.estimator, (0.0,)
    networks = [replace(start, estimator=mixed(start.estimator, whole, share)) for share in shares]
    place, error = best_share(networks, tests, model.season_of(panel))
    network, held = networks[place], panel.lengths - tests.before.lengths
    z = network.units(panel).forward(panel)
    errors = ForecastErrors.of(network, panel, network.rows(panel, z), targets(z, panel, model.steps), held, horizon)
    return replace(plan, share=shares[place], error=error), errors


def with_scales(panel: Panel, transform: SeriesTransform) -> Panel:
    """The panel with the scale of every series among its static covariates."""
    static = scale_features(panel, transform.levels(panel), transform.season_length)
    return panel.with_static(static if panel.static is None else panel.static.join(static))


def _fit_regressor(
    model: Forecaster, plan: NetworkPlan, panel: Panel, X: Array, Y: Array, begins: Array, ends: Array
) -> Any:
    """The regressor, fitted to the stretches between long gaps; its state goes through them."""
    weight = None if model.weight is None else series_weights(panel, model.weight)[panel.series[begins]]
    parts = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
    rows = [X[part] for part in parts], [Y[part] for part in parts], weight
    fresh, share = configured(model, plan, panel, 1 + panel.past.shape[1], model.steps), plan.share
    with _own_start(plan), _watched(fresh, model):
        start = _fit_without_steps(fresh, rows) if share < 1 else None
        found: Any = fresh.fit(*rows) if share > 0 else start
    if start is not None and share > 0:
        found = mixed(start, found, share)
    if len(parts) > len(panel.names) or 0 < share < 1:
        _, found.state_ = found.predict(np.split(X, panel.starts[1:]), return_state=True)
    return found


def _fit_without_steps(estimator: Any, rows: Any) -> Any:
    """A regressor as it begins, fitted without a step; its parameters stay those asked for."""
    fitted = clone(estimator).set_params(max_epochs=0).fit(*rows)
    return fitted.set_params(max_epochs=estimator.max_epochs)


@contextmanager
def _watched(estimator: Any, model: Forecaster) -> Iterator[None]:
    """The regressor shows its progress, one level less than the forecaster, while it is fitted."""
    own = {name: value for name, value in estimator.get_params(deep=False).items() if name in ("verbose", "callback")}
    inner = {"verbose": max(int(own.get("verbose", 0)), nested(model.verbose)), "callback": model.callback}
    estimator.set_params(**{name: inner[name] for name, value in own.items() if name == "verbose" or value is None})
    try:
        yield
    finally:
        estimator.set_params(**own)


@contextmanager
def _own_start(plan: NetworkPlan) -> Iterator[None]:
    """No warning of a short warm-up: a forecaster carries its state through the whole history.

    Nor of an early end, where the correction that it would grow by is validated.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="warmup=")
        if plan.chosen:
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
        yield

"""What `seqdyn forecast` and `seqdyn backtest` share: the model they build, and the comparison with baselines."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from seqdyn.cli.options import (
    COVARIATES,
    RIDGES,
    TRAINED_FORECASTERS,
    ForecasterName,
    Log,
    Options,
    StrategyName,
    option_name,
)
from seqdyn.cli.series import ROW, ColumnRoles, names
from seqdyn.cli.training import check_device, recurrent_regressor

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.data.panels import Panel
    from seqdyn.forecasting.backtest import Backtest


def build_model(options: Options, columns: ColumnRoles, panel: Panel, horizon: int, levels: list[float]) -> Any:
    """A forecaster with these settings, not yet fitted; settings that mean nothing to it are an error."""
    _check_meaning(options)
    shared: dict[str, Any] = {
        "freq": options.frequency,
        "season_length": options.seasons(),
        "time_col": columns.time or ROW,
        "target_col": columns.target,
        "verbose": options.verbose,
        **({} if columns.id is None else {"id_col": columns.id}),
        **{kind: names for kind in ("past", "future", "static") if (names := getattr(columns, kind))},
    }
    if options.model is ForecasterName.AUTO:
        return _automatic(options, shared | {"horizon": horizon})
    log = {None: "auto", Log.AUTO: "auto", Log.YES: True, Log.NO: False}[options.log]
    transformed = {"log": log, "strategy": str(options.strategy or StrategyName.RECURSIVE)}
    if options.model in TRAINED_FORECASTERS:
        return _trained(options, panel, levels, shared | transformed | {"horizon": horizon})
    from seqdyn.forecasting.defaults import default_baselines

    name = str(options.model).replace("-", "_")
    baseline = default_baselines([name], panel, horizon).models[name]
    return baseline.set_params(**shared, **(transformed if options.model in RIDGES else {}))


def _automatic(options: Options, shared: dict[str, Any]) -> Any:
    """Closed forms and a network, tried against each other and weighted."""
    from seqdyn.forecasting.automatic import AutoForecaster

    check_device(options.device)
    lower: Any = "auto" if options.lower is None else options.lower
    network = "auto" if options.network else None
    return AutoForecaster(network=network, lower=lower, upper=options.upper, random_state=options.seed, **shared)


def _trained(options: Options, panel: Panel, levels: list[float], shared: dict[str, Any]) -> Any:
    """A forecaster around a network, which is trained on windows as long as the forecaster's own default would take."""
    from seqdyn.estimators.linear import LinearStateSpaceRegressor
    from seqdyn.forecasting.forecaster import Forecaster

    check_device(options.device)
    calendar = "auto" if options.calendar == "auto" else names(options.calendar) or None
    forecaster = Forecaster(calendar=calendar, random_state=options.seed, **shared)
    default = forecaster.default_estimator(panel)
    rate = default.learning_rate if options.learning_rate is None else options.learning_rate
    training: dict[str, Any] = {"max_epochs": options.epochs or default.max_epochs, "learning_rate": rate}
    training |= {"window": default.window, "stride": default.stride}
    training |= {"random_state": options.seed, "device": options.device}
    if options.strategy is StrategyName.DIRECT:  # one row says all steps, so it says all quantiles, too
        training |= {"loss": "quantile", "quantiles": _quantiles(levels)}
    if options.model is ForecasterName.LINEAR:
        network: Any = LinearStateSpaceRegressor(order=options.hidden_size or 4, **training)
    else:
        hidden_size = options.hidden_size or default.hidden_size
        network = recurrent_regressor(str(options.model), hidden_size=hidden_size, **training)
    return forecaster.set_params(estimator=network)


def _quantiles(levels: list[float]) -> tuple[float, ...]:
    """The ends of central intervals in percent, and the median between them."""
    return tuple(sorted({0.5, *(round(0.5 + sign * level / 200, 6) for level in levels for sign in (-1, 1))}))


def _check_meaning(options: Options) -> None:
    """Raise for options that a model has no use for."""
    useless = {kind for kind, users in COVARIATES.items() if options.model not in users}
    if options.model is not ForecasterName.AUTO:
        useless |= {"network", "lower", "upper"}
    if options.model not in TRAINED_FORECASTERS:
        useless |= {"hidden_size", "epochs", "learning_rate", "calendar"}
    if options.model not in (*TRAINED_FORECASTERS, *RIDGES):
        useless |= {"log", "strategy"}
    found = [option_name(field.name) for field in fields(options) if field.name in useless & options.given]
    if found:
        raise ValueError(f"--model {options.model} has no use for {' and '.join(found)}: leave it out.")


def season_steps(model: Any, panel: Panel) -> int:
    """Steps in a season, the shortest of several: as was given, else by the frequency."""
    given = model.season_length
    return panel.grid.season_length() if given is None else min(given) if isinstance(given, list | tuple) else given


def backtest_beside(
    model: Any,
    frame: pd.DataFrame,
    panel: Panel,
    horizon: int,
    windows: int,
    step: int,
    *,
    refit: bool,
    level: Any = None,
) -> Backtest:
    """A backtest of the model beside the baselines, of which it may be one itself."""
    from seqdyn.forecasting.forecaster import Forecaster

    if isinstance(model, Forecaster):
        return model.backtest(frame, horizon, windows, step, refit=refit, level=level)
    from seqdyn.forecasting.defaults import default_baselines

    others, notes = default_baselines("auto", panel, horizon, windows, season_length=season_steps(model, panel))
    own = (type(model), getattr(model, "pooled", None))
    rivals = {name: other for name, other in others.items() if (type(other), getattr(other, "pooled", None)) != own}
    found = model.backtest(frame, horizon, windows, step, refit=refit, level=level, baselines=rivals)
    return replace(found, notes=[*found.notes, *notes])


def lost_to_naive(found: Backtest) -> str | None:
    """What to say if the naive forecast does better: that of the last season if one is known, else the last value."""
    import numpy as np

    table = found.metrics()
    naive = next((name for name in ("seasonal_naive", "naive") if name in table.index and name != "model"), None)
    if naive is None or "model" not in table.index:
        return None
    metric = "MASE" if table.loc[["model", naive], "MASE"].notna().all() else "MAE"
    own, other = float(table.loc["model", metric]), float(table.loc[naive, metric])
    if own <= other * (1 + 1e-9) or np.isnan(other):
        return None
    return f"the model loses to the naive forecast ({naive}): {metric} {own:.4g} against {other:.4g}."


def describe_model(model: Any) -> str:
    """A model in one line, by what is not as it is by default."""
    return " ".join(str(model).split())

"""What `seqdyn forecast` and `seqdyn backtest` share: their options, and the model they build."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from seqdyn.cli.series import ROW, Columns, counted, names, say
from seqdyn.cli.training import check_device, check_folder

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.data.panels import Panel
    from seqdyn.forecasting.backtest import Backtest

PICTURES = (".png", ".pdf", ".svg")


class Model(StrEnum):
    """What can forecast."""

    GRU = "gru"
    LSTM = "lstm"
    ELMAN = "elman"
    LINEAR = "linear"
    RIDGE = "ridge"
    RIDGE_POOLED = "ridge-pooled"
    EXPONENTIAL_SMOOTHING = "exponential-smoothing"
    AUTO_REGRESSION = "auto-regression"
    NAIVE2 = "naive2"
    SEASONAL_NAIVE = "seasonal-naive"
    NAIVE = "naive"
    DRIFT = "drift"
    MOVING_AVERAGE = "moving-average"


TRAINED = (Model.GRU, Model.LSTM, Model.ELMAN, Model.LINEAR)
"""The models that are trained by gradient; the others are baselines."""

RIDGES = (Model.RIDGE, Model.RIDGE_POOLED)


class Log(StrEnum):
    """Whether logarithms are modelled."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class Strategy(StrEnum):
    """How several steps are forecast."""

    RECURSIVE = "recursive"
    DIRECT = "direct"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of both commands: what the columns are, and what the model is."""

    target: Annotated[
        str | None, typer.Option(help="The column to forecast. Empty cells and absent rows are missing values.")
    ] = None
    time_column: Annotated[
        str | None, typer.Option("--time", help="The column of dates or integers. Default: the rows are numbered.")
    ] = None
    id_column: Annotated[
        str | None, typer.Option("--id", help="The column that names the series, where the file holds many.")
    ] = None
    future_columns: Annotated[str | None, typer.Option(help="Covariates that are known ahead: a,b,c.")] = None
    past_columns: Annotated[str | None, typer.Option(help="Covariates that are known up to the present: a,b,c.")] = None
    static_columns: Annotated[str | None, typer.Option(help="Numbers that are constant in a series: a,b,c.")] = None
    freq: Annotated[
        str | None, typer.Option(help="Frequency of the rows: h, D, MS, …, or a step. Default: found in the times.")
    ] = None
    season_length: Annotated[
        int | None, typer.Option(min=1, help="Steps in a season. Default: by the frequency (24 for h, 12 for MS, …).")
    ] = None
    model: Annotated[Model, typer.Option(help="The kind of model: the first four are trained.")] = Model.GRU
    hidden_size: Annotated[int | None, typer.Option(min=1, help="Width of the memory. Default: 32; 4 for linear.")] = (
        None
    )
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data, at most. Default: 100.")] = None
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimizer, Adam. Default: 0.01.")] = None
    log: Annotated[
        Log | None, typer.Option(help="Model logarithms. auto, the default: of series that are positive.")
    ] = None
    calendar: Annotated[
        str | None, typer.Option(help="Calendar features: auto, or hour,day_of_week,day_of_year,month,… Default: none.")
    ] = None
    strategy: Annotated[
        Strategy | None, typer.Option(help="Feed every step back (recursive, the default), or all steps at once.")
    ] = None
    seed: Annotated[int, typer.Option(help="Of all randomness; the same seed gives the same model.")] = 0
    device: Annotated[str, typer.Option(help="Where to train: auto, cpu or cuda.")] = "auto"


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of :class:`Options` as options of its own; it gets them as its argument ``options``."""
    own = [value for name, value in inspect.signature(command, eval_str=True).parameters.items() if name != "options"]
    hints = get_type_hints(Options, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(Options)
        if field.default is not MISSING
    ]

    def typed(**values: Any) -> None:
        options = Options(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        command(**values, options=options)

    typed.__name__, typed.__doc__ = command.__name__, command.__doc__
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + shared
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return typed


# --- the model


def columns_of(options: Options) -> Columns:
    """The columns that the options name."""
    if options.target is None:
        raise typer.BadParameter("name the column to forecast.", param_hint="'--target'")
    covariates = (names(options.past_columns), names(options.future_columns), names(options.static_columns))
    return Columns(options.target, options.time_column, options.id_column, *covariates)


def build_model(options: Options, columns: Columns, panel: Panel, horizon: int, levels: list[float]) -> Any:
    """A forecaster with these settings, not yet fitted; settings that mean nothing to it are an error."""
    _check_meaning(options)
    shared: dict[str, Any] = {
        "freq": frequency(options),
        "season_length": options.season_length,
        "time_col": columns.time or ROW,
        "target_col": columns.target,
        **({} if columns.id is None else {"id_col": columns.id}),
    }
    log = {None: "auto", Log.AUTO: "auto", Log.YES: True, Log.NO: False}[options.log]
    transformed = {"log": log, "strategy": str(options.strategy or Strategy.RECURSIVE)}
    if options.model in TRAINED:
        return _trained(options, columns, panel, levels, shared | transformed | {"horizon": horizon})
    from seqdyn.forecasting.defaults import default_baselines

    name = str(options.model).replace("-", "_")
    baseline = default_baselines([name], panel, horizon).models[name]
    return baseline.set_params(**shared, **(transformed if options.model in RIDGES else {}))


def _trained(options: Options, columns: Columns, panel: Panel, levels: list[float], shared: dict[str, Any]) -> Any:
    """A forecaster around a network, which is trained on windows as long as the forecaster's own default would take."""
    from seqdyn.estimators.linear import LinearStateSpaceRegressor
    from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor, LSTMRegressor
    from seqdyn.forecasting.forecaster import Forecaster

    check_device(options.device)
    covariates: dict[str, Any] = {"past": columns.past, "future": columns.future, "static": columns.static}
    calendar = "auto" if options.calendar == "auto" else names(options.calendar) or None
    forecaster = Forecaster(calendar=calendar, random_state=options.seed, **covariates, **shared)
    default = forecaster.default_estimator(panel)
    training: dict[str, Any] = {
        "window": default.window,
        "stride": default.stride,
        "max_epochs": options.epochs or default.max_epochs,
        "learning_rate": default.learning_rate if options.learning_rate is None else options.learning_rate,
        "random_state": options.seed,
        "device": options.device,
    }
    if options.strategy is Strategy.DIRECT:  # one row says all steps, so it says all quantiles, too
        training |= {"loss": "quantile", "quantiles": _quantiles(levels)}
    if options.model is Model.LINEAR:
        network: Any = LinearStateSpaceRegressor(order=options.hidden_size or 4, **training)
    else:
        recurrent: dict[Model, Any] = {Model.GRU: GRURegressor, Model.LSTM: LSTMRegressor, Model.ELMAN: ElmanRegressor}
        network = recurrent[options.model](hidden_size=options.hidden_size or default.hidden_size, **training)
    return forecaster.set_params(estimator=network)


def _quantiles(levels: list[float]) -> tuple[float, ...]:
    """The ends of central intervals in percent, and the median between them."""
    return tuple(sorted({0.5, *(round(0.5 + sign * level / 200, 6) for level in levels for sign in (-1, 1))}))


def frequency(options: Options) -> Any:
    """The frequency that was given: digits are a step between integers."""
    return int(options.freq) if options.freq is not None and options.freq.isdigit() else options.freq


def given(options: Options) -> set[str]:
    """The fields that were given, and are not as they are by default."""
    return {field.name for field in fields(options) if getattr(options, field.name) != field.default}


def option_name(field: str) -> str:
    """An option as it is typed."""
    return "--" + field.removesuffix("_column").replace("_", "-")


def _check_meaning(options: Options) -> None:
    """Raise for options that a baseline has no use for."""
    if options.model in TRAINED:
        return
    useless = {"hidden_size", "epochs", "learning_rate", "calendar", "past_columns", "future_columns", "static_columns"}
    if options.model not in RIDGES:
        useless |= {"log", "strategy"}
    found = [option_name(field.name) for field in fields(options) if field.name in useless & given(options)]
    if found:
        raise ValueError(f"--model {options.model} has no use for {' and '.join(found)}: leave it out.")


# --- comparing


def compare(
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

    others, notes = default_baselines("auto", panel, horizon, windows, season_length=model.season_length)
    own = (type(model), getattr(model, "pooled", None))
    rivals = {name: other for name, other in others.items() if (type(other), getattr(other, "pooled", None)) != own}
    found = model.backtest(frame, horizon, windows, step, refit=refit, level=level, baselines=rivals)
    return replace(found, notes=[*found.notes, *notes])


# --- the report


def parse_levels(text: str) -> list[float]:
    """``80,95`` as numbers."""
    try:
        levels = [float(part) for part in names(text)]
    except ValueError:
        levels = [0.0]
    if not levels or not all(0 < level < 100 for level in levels):
        raise typer.BadParameter(
            f"give percentages between 0 and 100, such as 80,95; got {text!r}.", param_hint="'--level'"
        )
    return levels


def check_writable(*paths: Path | None, picture: Path | None = None) -> None:
    """Raise before anything is computed, if a file cannot be written in the end."""
    for path in (*paths, picture):
        if path is not None:
            check_folder(path)
    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise ValueError(f"--plot writes {', '.join(PICTURES)}, got {picture.name!r}: change its ending.")


def describe_model(model: Any) -> str:
    """A model in one line, by what is not as it is by default."""
    return " ".join(str(model).split())


def describe_training(model: Any, seconds: float, aside: bool = False) -> None:
    """How long the fit took, and where the loss ended."""
    history = getattr(getattr(model, "estimator_", None), "history_", None)
    how = "fitted"
    if history is not None and len(history):
        how = f"loss {history['loss'].iloc[-1]:.4g} after {counted(len(history), 'epoch')}"
    say("training", f"{how}; {seconds:.1f} s", aside)

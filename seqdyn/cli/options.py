"""What `seqdyn forecast` and `seqdyn backtest` are told: their options."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from seqdyn.cli.reading import ReadOptions
from seqdyn.cli.series import ColumnRoles, names
from seqdyn.cli.training import DeviceName, Seed, check_folder

PICTURES = (".png", ".pdf", ".svg")


class ForecasterName(StrEnum):
    """What can forecast."""

    AUTO = "auto"
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


TRAINED_FORECASTERS = (ForecasterName.GRU, ForecasterName.LSTM, ForecasterName.ELMAN, ForecasterName.LINEAR)
"""The models that are trained by gradient; the others, but auto, are baselines."""

RIDGES = (ForecasterName.RIDGE, ForecasterName.RIDGE_POOLED)

COVARIATES = {
    "past_columns": (*TRAINED_FORECASTERS, ForecasterName.AUTO),
    "future_columns": (*TRAINED_FORECASTERS, *RIDGES, ForecasterName.AUTO, ForecasterName.AUTO_REGRESSION),
    "static_columns": (*TRAINED_FORECASTERS, ForecasterName.AUTO),
}
"""Which models use which covariates."""


class Log(StrEnum):
    """Whether logarithms are modelled."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class StrategyName(StrEnum):
    """How several steps are forecast."""

    RECURSIVE = "recursive"
    DIRECT = "direct"


@dataclass(frozen=True, kw_only=True)
class Options(ReadOptions):
    """The options of both commands: how the table is written, what its columns are, and what the model is."""

    target: Annotated[
        list[str] | None,
        typer.Option(
            help="The column to forecast; several: y,z, or give it again. Empty cells and absent rows are missing "
            "values. Default: all columns of numbers nobody named."
        ),
    ] = None
    time_column: Annotated[
        str | None,
        typer.Option(
            "--time",
            help="The column of dates or integers; row: number the rows. Default: the one that holds times, if any.",
        ),
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
        str | None,
        typer.Option(help="Steps in a season; several: 24,168. Default: by the frequency (24 for h, 12 for MS, …)."),
    ] = None
    model: Annotated[
        ForecasterName,
        typer.Option(
            help="auto tries closed forms and a network, and weights them; the next four are networks; the others are "
            "closed forms."
        ),
    ] = ForecasterName.AUTO
    network: Annotated[
        bool, typer.Option("--network/--no-network", help="Whether auto tries a network, too; it costs seconds.")
    ] = True
    lower: Annotated[
        float | None, typer.Option(help="No forecast is below; of auto. Default: 0 where the data are counts.")
    ] = None
    upper: Annotated[float | None, typer.Option(help="No forecast is above; of auto.")] = None
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
        StrategyName | None, typer.Option(help="Feed every step back (recursive, the default), or all steps at once.")
    ] = None
    seed: Seed = 0
    device: DeviceName = "auto"
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Show the progress, and what was chosen and why; twice: in detail.",
        ),
    ] = 0


def columns_of(options: Options) -> ColumnRoles:
    """The columns that the options name."""
    covariates = (names(options.past_columns), names(options.future_columns), names(options.static_columns))
    return ColumnRoles(tuple(dict.fromkeys(options.target or ())), options.time_column, options.id_column, *covariates)


def frequency(options: Options) -> Any:
    """The frequency that was given: digits are a step between integers."""
    return int(options.freq) if options.freq is not None and options.freq.isdigit() else options.freq


def seasons(options: Options) -> Any:
    """One season or several, as was given."""
    found = names(options.season_length)
    if not all(part.isdigit() and int(part) > 0 for part in found):
        raise typer.BadParameter(
            f"give steps, at least 1, such as 24 or 24,168; got {options.season_length!r}.",
            param_hint="'--season-length'",
        )
    return [int(part) for part in found] if len(found) > 1 else int(found[0]) if found else None


def given(options: Options) -> set[str]:
    """The fields that were given, and are not as they are by default; how the table is written is none of them."""
    aside = {field.name for field in fields(ReadOptions)} | {"verbose"}
    found = {field.name for field in fields(options) if getattr(options, field.name) not in (field.default, [])}
    return found - aside


def option_name(field: str) -> str:
    """An option as it is typed."""
    return "--" + field.removesuffix("_column").replace("_", "-")


def parse_levels(text: str) -> list[float]:
    """``80,95`` as numbers."""
    try:
        levels = [float(part) for part in names(text)]
    except ValueError:
        levels = [0.0]
    if not levels or not all(1 < level < 100 for level in levels):
        shares = [f"{100 * level:g}" for level in levels]
        hint = f" Did you mean {','.join(shares)}?" if levels and all(0 < level < 1 for level in levels) else ""
        raise typer.BadParameter(
            f"give percentages above 1 and below 100, such as 80,95; got {text!r}.{hint}", param_hint="'--level'"
        )
    return levels


def check_settings(options: Options) -> None:
    """Raise before anything is read, if a number means nothing: the season, the bounds, or the learning rate."""
    seasons(options)
    bounds = [bound for bound in (options.lower, options.upper) if bound is not None]
    if any(math.isnan(bound) for bound in bounds) or (len(bounds) == 2 and bounds[0] >= bounds[1]):
        raise typer.BadParameter(
            f"give a number below --upper; got {options.lower} and {options.upper}.", param_hint="'--lower'"
        )
    if options.learning_rate is not None and not 0 < options.learning_rate < math.inf:
        raise typer.BadParameter(
            f"give a number above 0, such as 0.01; got {options.learning_rate}.", param_hint="'--learning-rate'"
        )


def check_writable(*paths: Path | None, picture: Path | None = None) -> None:
    """Raise before anything is computed, if a file cannot be written in the end."""
    for path in (*paths, picture):
        if path is not None:
            check_folder(path)
    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise ValueError(f"--plot writes {', '.join(PICTURES)}, got {picture.name!r}: change its ending.")

"""What `seqdyn forecast` and `seqdyn backtest` are told: their options."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from seqdyn.cli.arguments import DeviceName, Seed, misused
from seqdyn.cli.reading import ReadOptions
from seqdyn.cli.series import ColumnRoles, names
from seqdyn.cli.training import check_folder

PICTURES = (".png", ".pdf", ".svg")


class ForecasterName(StrEnum):
    """What can forecast."""

    AUTO = "auto"
    GRU, LSTM, ELMAN, LINEAR = "gru", "lstm", "elman", "linear"
    RIDGE, RIDGE_POOLED = "ridge", "ridge-pooled"
    EXPONENTIAL_SMOOTHING, AUTO_REGRESSION = "exponential-smoothing", "auto-regression"
    NAIVE2, SEASONAL_NAIVE, NAIVE, DRIFT, MOVING_AVERAGE = (
        "naive2",
        "seasonal-naive",
        "naive",
        "drift",
        "moving-average",
    )


TRAINED_FORECASTERS = (ForecasterName.GRU, ForecasterName.LSTM, ForecasterName.ELMAN, ForecasterName.LINEAR)
"""The models that are trained by gradient; the others, but auto, are baselines."""

RIDGES = (ForecasterName.RIDGE, ForecasterName.RIDGE_POOLED)

COVARIATES = {
    "past_columns": (*TRAINED_FORECASTERS, ForecasterName.AUTO),
    "future_columns": (*TRAINED_FORECASTERS, *RIDGES, ForecasterName.AUTO, ForecasterName.AUTO_REGRESSION),
    "static_columns": (*TRAINED_FORECASTERS, ForecasterName.AUTO),
}
"""Which models use which covariates."""


Log = StrEnum("Log", "AUTO YES NO")
"""Whether logarithms are modelled."""

StrategyName = StrEnum("StrategyName", "RECURSIVE DIRECT")
"""How several steps are forecast."""


@dataclass(frozen=True, kw_only=True)
class Options(ReadOptions):
    """The options of both commands: how the table is written, what its columns are, and what the model is."""

    target: Annotated[
        list[str] | None,
        Option(
            help="The column to forecast; several: y,z, or give it again. Empty cells and absent rows are missing "
            "values. Default: all columns of numbers nobody named."
        ),
    ] = None
    time_column: Annotated[
        str | None,
        Option(
            "--time",
            help="The column of dates or integers; row: number the rows. Default: the one that holds times, if any.",
        ),
    ] = None
    id_column: Annotated[
        str | None, Option("--id", help="The column that names the series, where the file holds many.")
    ] = None
    future_columns: Annotated[str | None, Option(help="Covariates that are known ahead: a,b,c.")] = None
    past_columns: Annotated[str | None, Option(help="Covariates that are known up to the present: a,b,c.")] = None
    static_columns: Annotated[str | None, Option(help="Numbers that are constant in a series: a,b,c.")] = None
    freq: Annotated[
        str | None, Option(help="Frequency of the rows: h, D, MS, …, or a step. Default: found in the times.")
    ] = None
    season_length: Annotated[
        str | None,
        Option(help="Steps in a season; several: 24,168. Default: by the frequency (24 for h, 12 for MS, …)."),
    ] = None
    model: Annotated[
        ForecasterName,
        Option(
            help="auto tries closed forms and a network, and weights them; the next four are networks; the others are "
            "closed forms."
        ),
    ] = ForecasterName.AUTO
    network: Annotated[
        bool, Option("--network/--no-network", help="Whether auto tries a network, too; it costs seconds.")
    ] = True
    lower: Annotated[
        float | None, Option(help="No forecast is below; of auto. Default: 0 where the data are counts.")
    ] = None
    upper: Annotated[float | None, Option(help="No forecast is above; of auto.")] = None
    hidden_size: Annotated[int | None, Option(min=1, help="Width of the memory. Default: 32; 4 for linear.")] = None
    epochs: Annotated[int | None, Option(min=1, help="Passes over the data, at most. Default: 100.")] = None
    learning_rate: Annotated[float | None, Option(help="Of the optimizer, Adam. Default: 0.01.")] = None
    log: Annotated[Log | None, Option(help="Model logarithms. auto, the default: of series that are positive.")] = None
    calendar: Annotated[
        str | None, Option(help="Calendar features: auto, or hour,day_of_week,day_of_year,month,… Default: none.")
    ] = None
    strategy: Annotated[
        StrategyName | None, Option(help="Feed every step back (recursive, the default), or all steps at once.")
    ] = None
    seed: Seed = 0
    device: DeviceName = "auto"
    verbose: Annotated[
        int,
        Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Show the progress, and what was chosen and why; twice: in detail.",
        ),
    ] = 0

    @property
    def columns(self) -> ColumnRoles:
        """The columns that the options name."""
        covariates = (names(self.past_columns), names(self.future_columns), names(self.static_columns))
        return ColumnRoles(tuple(dict.fromkeys(self.target or ())), self.time_column, self.id_column, *covariates)

    @property
    def frequency(self) -> Any:
        """The frequency that was given: digits are a step between integers."""
        return int(self.freq) if self.freq is not None and self.freq.isdigit() else self.freq

    def seasons(self) -> Any:
        """One season or several, as was given."""
        found = names(self.season_length)
        if not all(part.isdigit() and int(part) > 0 for part in found):
            raise misused(
                "--season-length", f"give steps, at least 1, such as 24 or 24,168; got {self.season_length!r}."
            )
        return [int(part) for part in found] if len(found) > 1 else int(found[0]) if found else None

    @property
    def given(self) -> set[str]:
        """The fields that were given, and are not as they are by default; how the table is written is none of them."""
        aside = {field.name for field in fields(ReadOptions)} | {"verbose"}
        found = {field.name for field in fields(self) if getattr(self, field.name) not in (field.default, [])}
        return found - aside

    def check(self) -> None:
        """Raise before anything is read, if a number means nothing: the season, the bounds, or the learning rate."""
        self.seasons()
        bounds = [bound for bound in (self.lower, self.upper) if bound is not None]
        if any(math.isnan(bound) for bound in bounds) or (len(bounds) == 2 and bounds[0] >= bounds[1]):
            raise misused("--lower", f"give a number below --upper; got {self.lower} and {self.upper}.")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise misused("--learning-rate", f"give a number above 0, such as 0.01; got {self.learning_rate}.")


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
        raise misused("--level", f"give percentages above 1 and below 100, such as 80,95; got {text!r}.{hint}")
    return levels


def check_writable(*paths: Path | None, picture: Path | None = None) -> None:
    """Raise before anything is computed, if a file cannot be written in the end."""
    for path in (*paths, picture):
        if path is not None:
            check_folder(path)
    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise ValueError(f"--plot writes {', '.join(PICTURES)}, got {picture.name!r}: change its ending.")

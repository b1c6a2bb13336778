"""The baselines that every forecast and backtest can be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from seqdyn.data.panels import Panel
from seqdyn.files import registered
from seqdyn.forecasting.lags import default_lags
from seqdyn.typed_bases import BaseEstimator


class Registered(Mapping[str, Any]):
    """Classes by name, each imported when it is asked for, since every forecaster may name its baselines."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def __getitem__(self, name: str) -> Any:
        return registered(self.names[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


BASELINES = Registered(
    {
        "naive": "NaiveForecaster",
        "seasonal_naive": "SeasonalNaiveForecaster",
        "drift": "DriftForecaster",
        "moving_average": "MovingAverageForecaster",
        "naive2": "DeseasonalisedNaiveForecaster",
        "exponential_smoothing": "ExponentialSmoothingForecaster",
        "auto_regression": "AutoRegForecaster",
        "ridge": "RidgeForecaster",
        "ridge_pooled": "RidgeForecaster",
    }
)
"""All baselines by name."""

RIDGE = ("ridge", "ridge_pooled")
"""Those that are fitted for one horizon, by a penalty that is chosen."""

STATISTICAL = ("exponential_smoothing", "auto_regression")
"""Those fitted series by series, by iteration."""

MOST_STATISTICAL_SERIES, MOST_WINDOWS, MOST_STATISTICAL_ROWS = 20, 50, 20_000
"""How much of each "auto" gives to the statistical ones."""

MOST_PRODUCTS = 2e11
"""How many multiplications "auto" gives to a Gram matrix: some seconds."""


class Baselines(NamedTuple):
    """What to compare with: unfitted forecasters by name, and notes on what was left out, and why."""

    models: dict[str, Any]
    notes: list[str]


def default_baselines(
    choice: Any, panel: Panel, horizon: int, windows_count: int = 1, *, season_length: Any = None
) -> Baselines:
    """The baselines somebody chose, ready to be fitted, and notes on what "auto" left out.

    "auto" means all that are quick enough here, where each of ``windows_count`` origins may need a fit; names of
    :data:`BASELINES` mean those, however long they take; a dict the forecasters in it; None or an empty sequence none.
    Ridge regressions choose their penalty by themselves: one that suits hundreds of rows flattens a model of a hundred.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series(range(50)))
    >>> list(default_baselines(["naive", "drift"], panel, 6).models)
    ['naive', 'drift']
    >>> default_baselines("auto", panel, 6, 100).notes[0]
    'exponential_smoothing is left out: 100 windows are more than 50. Name it in baselines to run it.'
    """
    notes: list[str] = []
    if isinstance(choice, Mapping):
        return Baselines(dict(choice), notes)
    if isinstance(choice, BaseEstimator):
        raise TypeError(f"baselines takes names, or a dict: {{'mine': {type(choice).__name__}()}}.")
    if choice is None:
        return Baselines({}, notes)
    if isinstance(choice, str) and choice == "auto":
        season = panel.grid.season_length() if season_length is None else int(np.min(season_length))
        names, notes = _quick(panel, windows_count, season)
    else:
        names = [choice] if isinstance(choice, str) else list(choice)
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        known = ", ".join(map(repr, BASELINES))
        raise ValueError(f"There is no baseline {unknown[0]!r}: there are {known}, and 'auto' for all quick ones.")
    return Baselines({name: _made(name, horizon, season_length) for name in names}, notes)


def _made(name: str, horizon: int, season_length: Any) -> Any:
    extra: dict[str, Any] = {"horizon": horizon, "penalty": "auto"} if name in RIDGE else {}
    if name == "ridge_pooled":
        extra["pooled"] = True
    return BASELINES[name](season_length=season_length, **extra)


def _quick(panel: Panel, windows_count: int, season: int) -> tuple[list[str], list[str]]:
    """The names of what is quick enough, and notes on what is not; pooling one series is not pooling."""
    names = [name for name in BASELINES if name != "ridge_pooled" or len(panel.names) > 1]
    slow = {name: _statistical_fault(panel, windows_count) for name in STATISTICAL}
    slow |= {name: _ridge_fault(panel, season) for name in RIDGE if name in names}
    notes = [f"{name} is left out: {fault}. Name it in baselines to run it." for name, fault in slow.items() if fault]
    return [name for name in names if not slow.get(name)], notes


def _statistical_fault(panel: Panel, windows_count: int) -> str:
    sizes = (
        (len(panel.names), MOST_STATISTICAL_SERIES, "series"),
        (windows_count, MOST_WINDOWS, "windows"),
        (len(panel.target), MOST_STATISTICAL_ROWS, "rows"),
    )
    return next((f"{size} {what} are more than {most}" for size, most, what in sizes if size > most), "")


def _ridge_fault(panel: Panel, season: int) -> str:
    lags = default_lags(panel, season)
    products = len(panel.target) * lags**2
    if products <= MOST_PRODUCTS:
        return ""
    return f"{len(panel.target)} rows with {lags} lags are too many for a quick fit"

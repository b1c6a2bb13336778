"""Frames read for forecasters, and what is said where they do not fit: rows, labels and covariates."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.checks import outside
from seqdyn.data.labels import quoted
from seqdyn.data.panel_additions import static_frame
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel, Roles

COVARIATE_USERS = {
    "future": "RidgeForecaster, AutoRegForecaster and Forecaster use covariates known ahead",
    "past": "Forecaster uses covariates known up to the present",
    "static": "Forecaster uses static covariates",
}
"""Who uses what."""


def column_roles(id_col: str, time_col: str, target_col: str, *covariates: str | Sequence[str]) -> Roles:
    """What the columns of a frame are; covariates are the past, the future and the static ones."""
    for name, column in (("id_col", id_col), ("time_col", time_col)):
        if column == "mean":
            raise ValueError(f"{name}='mean' is what forecasts call their point forecast: rename the column.")
    return Roles(id_col, time_col, target_col, *((own,) if isinstance(own, str) else tuple(own) for own in covariates))


def read_with_static(df: Any, static: pd.DataFrame | None, roles: Roles, freq: Any, categories: Any) -> Panel:
    """A frame as a panel, with static covariates from a frame of their own where that is given."""
    if static is None:
        return read_panel(df, roles, freq, categories=categories)
    if not roles.static:
        raise ValueError("static was given, but no covariate is named in static= of the forecaster.")
    panel = read_panel(df, replace(roles, static=()), freq, categories=categories)
    return replace(panel, static=static_frame(static, panel, roles.static), roles=roles)


def check_whole(new: Panel) -> None:
    """Raise if rows are absent between the others."""
    if not new.present.all():
        row = int(np.argmin(new.present))
        raise ValueError(
            f"df has no row for series {quoted(new.names[new.series[row]])} at {new.times[row]!s}: give the rows "
            "in between (NaN where missing), or fill_gaps=True to take them as missing."
        )


def check_grid(panel: Panel, known: Panel) -> None:
    """Raise if a panel does not have the frequency of the fit."""
    if not panel.grid.same(known.grid, panel.times.min(), panel.times.max()):
        raise ValueError(
            f"df has the frequency {panel.grid.freq!r}, but the model was fitted for {known.grid.freq!r}: resample it, "
            f"or give freq={known.grid.freq!r} to the forecaster if rows are missing."
        )


def series_number(series: Any, names: pd.Index) -> int:
    """The place of a series among the names; the first if None."""
    number = 0 if series is None else int(names.get_indexer([series])[0])
    if number < 0:
        raise ValueError(f"There is no series {series!r}; the forecaster knows {list(names[:5])}.")
    return number


def warn_of_unused(model: str, used: tuple[str, ...], roles: Roles) -> None:
    """One warning that names the covariates a forecaster leaves out, and who uses them."""
    left = {kind: names for kind in COVARIATE_USERS if kind not in used and (names := getattr(roles, kind))}
    if left:
        columns = ", ".join(quoted(name) for names in left.values() for name in names)
        who = "; ".join(COVARIATE_USERS[kind] for kind in left)
        warnings.warn(f"{model} does not use the covariates {columns}: {who}.", stacklevel=outside())

"""What a forecaster says of itself: its parameters, and once it is fitted, its data, model and training."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from seqdyn.data.panels import Panel

if TYPE_CHECKING:
    from seqdyn.forecasting.forecaster import Forecaster


SHOWN_VARIANTS = 3
"""How many variants of a member are named."""


def with_shared_parameters(doc: str | None, shared: str | None, used: object) -> str | None:
    """A docstring in which the line of shared names, and what is said of them, gives way to their full description.

    Either docstring is None where Python strips them; ``used`` are the covariates that the forecaster uses.
    """
    line = re.search(r"^ +freq, season_length, id_col.*\n( {8}.*\n)+", doc or "", re.MULTILINE)
    if doc is None or shared is None or line is None:
        return doc
    full = shared[shared.index("    freq :") :].rstrip() + "\n"
    left = [kind for kind in ("past", "future", "static") if isinstance(used, tuple) and kind not in used]
    note = f"        This forecaster does not use {' or '.join(', '.join(left).rsplit(', ', 1))}.\n" if left else ""
    before, entry, after = full.partition("    verbose :")
    return doc[: line.start()] + before + note + entry + after + doc[line.end() :]


def describe_forecaster(model: Forecaster, panel: Panel) -> list[str]:
    """Data, model and training of a fitted forecaster, a line each."""
    gaps, missing = panel.gaps(), int(np.isnan(panel.target).sum())
    lengths = panel.lengths
    size = f"{lengths[0]}" if len(set(lengths.tolist())) == 1 else f"{lengths.min()} to {lengths.max()}"
    network = model.estimator_.network_
    weights = sum(parameter.numel() for parameter in network.parameters())
    linear = model.plan_.linear
    lines = [
        f"data      {len(lengths)} series of {size} rows, freq={panel.grid.freq!r}, season {model.season_length_}",
        f"          {missing} missing values, {len(gaps)} gaps of absent rows",
        f"model     {clone(model.estimator_)}",
        f"          linear, {model.strategy}: {linear}" if linear else f"          {weights} weights, {model.strategy}",
        f"          {model.plan_.describe()}",
    ]
    history = getattr(model.estimator_, "history_", None)
    if history is not None and len(history) and not linear:
        last = history.iloc[-1]
        lines.append(f"training  {len(history)} epochs, {last['seconds']:.1f} s, loss {last['loss']:.4g}")
    return lines


def describe_automatic(model: Any) -> str:
    """Data, members, intervals and notes of a fitted AutoForecaster, on one screen."""
    return "\n".join([*_data(model), "", *_members(model), "", *_intervals(model), *_notes(model)])


def _data(model: Any) -> list[str]:
    panel = model.panel_
    low, high = int(panel.lengths.min()), int(panel.lengths.max())
    size = f"{low}" if low == high else f"{low} to {high}"
    season = " and ".join(map(str, model.seasons_))
    series = f"{len(panel.names)} series" if len(panel.names) > 1 else "1 series"
    return [
        f"data       {series} of {size} rows, freq={panel.grid.freq!r}, season {season}",
        f"trial      the last {model.trial_rows_} rows, forecast {model.trial_horizon_} steps ahead from "
        f"{model.trial_origins_} origins by models fitted to the rows before",
    ]


def _members(model: Any) -> list[str]:
    table = model.choices_
    lines = [f"{'member':<16} {'weight':>7} {'error':>7}   best variants; errors beside those of the naive forecasts"]
    weight = model.weights_.mean()
    for name in weight.sort_values(ascending=False).index:
        own = table[table["member"] == name]
        used = own[own["weight"] > 0]
        error = float(np.average(used["error"], weights=used["weight"])) if len(used) else float(own["error"].min())
        best = "; ".join(used["variant"][:SHOWN_VARIANTS]) if len(used) else "none is good enough"
        lines.append(f"{name:<16} {weight[name]:>7.2f} {error:>7.2f}   {best}")
    return lines


def _intervals(model: Any) -> list[str]:
    growth = model.growth_
    logged = float(np.mean(model.logged_))
    scale = "y" if logged == 0 else "log y" if logged == 1 else f"log y in {logged:.0%} of the series, else y"
    lines = [
        f"intervals  from {len(growth.scores)} errors of the trial, on the scale of {scale}; k steps ahead they "
        f"grow as k^{growth.power:.2f}"
    ]
    low, high = model.bounds_
    if np.isfinite(low) or np.isfinite(high):
        lines.append(f"bounds     [{low:g}, {high:g}]")
    return lines


def _notes(model: Any) -> list[str]:
    return [f"note       {note}" for note in model.notes_]

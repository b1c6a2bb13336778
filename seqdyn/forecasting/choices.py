"""What an AutoForecaster has chosen, in words."""

from __future__ import annotations

from typing import Any

import numpy as np

SHOWN_VARIANTS = 3
"""How many variants of a member are named."""


def summary(model: Any) -> str:
    """One screen on a fitted AutoForecaster."""
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

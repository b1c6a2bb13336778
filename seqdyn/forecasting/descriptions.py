"""What a fitted forecaster says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqdyn.data.panels import Panel

if TYPE_CHECKING:
    from seqdyn.forecasting.forecaster import Forecaster


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
        f"model     {model.estimator_}",
        f"          linear, {model.strategy}: {linear}" if linear else f"          {weights} weights, {model.strategy}",
        f"          {model.plan_.describe()}",
    ]
    history = getattr(model.estimator_, "history_", None)
    if history is not None and len(history) and not linear:
        last = history.iloc[-1]
        lines.append(f"training  {len(history)} epochs, {last['seconds']:.1f} s, loss {last['loss']:.4g}")
    return lines

"""What a forecaster says of itself: its parameters, and once it is fitted, its data, model and training."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone

from seqdyn.data.panels import Panel

if TYPE_CHECKING:
    from seqdyn.forecasting.forecaster import Forecaster


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

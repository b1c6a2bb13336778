"""What the parameters and the data of a forecaster must be."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count
from seqdyn.data.panels import Panel
from seqdyn.estimators.numbers import is_sequence_regressor
from seqdyn.forecasting.transform import SCALINGS, SeriesTransform


def check_forecaster(model: Any) -> None:
    """Raise if parameters do not fit, or do not go together."""
    _check_estimator(model.estimator)
    check_choice("strategy", model.strategy, ("recursive", "direct"))
    check_choice("scaling", model.scaling, ("auto", *SCALINGS))
    check_choice("log", model.log, (True, False, None, "auto"))
    check_choice("centred", model.centred, (True, False, None))
    check_count("n_samples", model.n_samples)
    for name in ("horizon", "context_length", "lags"):
        check_count(name, getattr(model, name), others=(None,))
    for name in ("difference", "seasonal_difference"):
        check_count(name, getattr(model, name), 0, (None,))
    for name in ("free_run", "validation"):
        check_count(name, getattr(model, name), 0)
    if model.strategy == "direct" and model.horizon is None:
        raise ValueError("strategy='direct' predicts a fixed number of steps: give horizon.")


def _check_estimator(estimator: Any) -> None:
    if estimator is not None and not is_sequence_regressor(estimator):
        raise TypeError(
            f"estimator must be a regressor of seqdyn, such as GRURegressor(), got {type(estimator).__name__}."
        )
    if getattr(estimator, "autoregression", None) is not None:
        raise ValueError("The forecaster sets autoregression itself: give lags, centred, … to it, not the estimator.")
    if not getattr(estimator, "return_sequences", True):
        raise ValueError("The estimator must predict at every step: set return_sequences=True.")


def check_extent(panel: Panel, z: Array, steps: int, context_length: int | None, transform: SeriesTransform) -> None:
    """Raise if series are too short for what is asked of them, or a past covariate is missing altogether."""
    longest = int(panel.lengths.max())
    if longest < 2:
        raise ValueError("No series has more than one row: a network needs two or more, one to see and one to predict.")
    if steps >= longest:
        raise ValueError(
            f"horizon={steps}, but the longest series has {longest} rows: a direct model needs more rows than steps "
            "ahead."
        )
    short = panel.lengths < (context_length or 0)
    if short.any():
        number = int(np.argmax(short))
        raise ValueError(
            f"Series {panel.names[number]!r} has {panel.lengths[number]} rows, fewer than "
            f"context_length={context_length}: leave it out, or shorten the context."
        )
    empty = np.atleast_1d(np.isnan(z).all(axis=0))
    if empty[1:].any():
        column = panel.columns("past")[int(np.argmax(empty[1:]))]
        raise ValueError(f"The past covariate {column!r} is missing everywhere.")
    known = np.add.reduceat(~np.isnan(z[:, 0]), panel.starts)
    if (known == 0).any():
        number = int(np.argmax(known == 0))
        raise ValueError(
            f"Series {panel.names[number]!r} has {panel.lengths[number]} rows, but differences over "
            f"{transform.memory} steps leave nothing of it: leave the series out, or set difference and "
            "seasonal_difference to 0."
        )


def series_weights(panel: Panel, column: str) -> Array:
    """What every series counts in the loss, (series,), from a static covariate."""
    assert panel.static is not None
    weight: Array = panel.static[column].to_numpy(dtype=np.float64)
    if not (weight >= 0).all() or not weight.any():
        raise ValueError(f"weight={column!r} must be at least 0 for every series, and above 0 for some.")
    return weight

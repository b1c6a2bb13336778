"""Models on a split: fitted, run freely, and k steps ahead."""

from __future__ import annotations

import inspect
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone

from seqdyn.cell import Cell
from seqdyn.cells.linear import Linear
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.estimators.baselines import ARXRegressor
from seqdyn.estimators.linear import LinearStateSpaceRegressor
from seqdyn.estimators.moving_average import MovingAverageRegressor
from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor, LSTMRegressor
from seqdyn.metrics.points import rmse
from seqdyn.reports.splits import Record, Split
from seqdyn.state import leaves
from seqdyn.training.forward import forgetting_time

Array = np.ndarray[Any, Any]

PERSISTENCE = "persistence"
"""What stands for persistence among the models: it is a formula, not an estimator."""

BOUND = 1e100
"""A free run that passes it diverges."""

TRAINING: dict[str, Any] = {
    "hidden_size": 16, "linear_start": LinearStateSpaceRegressor(), "learning_rate": 3e-3,
    "schedule": "cosine", "max_epochs": 200, "early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 50,
}  # fmt: skip
"""How the networks are trained, unless models are given."""


@dataclass(eq=False, repr=False)
class Run:
    """What one model did.

    Attributes
    ----------
    free : array, shape (seeds, rows, outputs)
        The free run over the scored rows.
    ahead : array, shape (seeds, horizons, targets, outputs)
    kind : {"linear", "nonlinear", "reference", "failed"}
    seconds : float
        Of one fit.
    parameters : int
    memory : float
        Steps until two initial states agree to 1 %.
    estimators : list
        As fitted, one a seed.
    notes : list of str
        Warnings, or the error.
    """

    free: Array
    ahead: Array
    kind: str
    seconds: float = 0.0
    parameters: int = 0
    memory: float = 0.0
    estimators: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def checked(models: Any) -> dict[str, Any]:
    """The user's models, if each can be fitted, run and given a state."""
    if not isinstance(models, Mapping) or not models:
        raise TypeError(f"models must be a mapping from names to estimators, got {type(models).__name__}.")
    for name, model in models.items():
        able = not isinstance(model, type) and all(hasattr(model, do) for do in ("fit", "predict", "estimate_state"))
        if not able and not (isinstance(model, str) and model == PERSISTENCE):
            what = repr(model) if isinstance(model, str | type) else type(model).__name__
            raise TypeError(
                f"models[{name!r}] is {what}, expected a seqdyn regressor, which has fit, predict and estimate_state, "
                f"or {PERSISTENCE!r}."
            )
    return {str(name): model for name, model in models.items()}


def default_models(split: Split) -> dict[str, Any]:
    """From the least to the most free."""
    longest = max(1, min(split.window, split.fitted // (10 * split.sequences.rows.shape[1])))
    windows = [
        MovingAverageRegressor(window=k, weights="learned") for k in dict.fromkeys([longest, max(1, longest // 4)])
    ]
    return {
        "moving average": _best_of(windows, split),
        PERSISTENCE: PERSISTENCE,
        "ARX": _best_of([ARXRegressor(output_lags=p, input_lags=p) for p in (2, 1, 3, 4, 6, 8)], split),
        "linear state space": LinearStateSpaceRegressor(),
        "Elman": ElmanRegressor(**TRAINING),
        "GRU": GRURegressor(**TRAINING),
        "LSTM": LSTMRegressor(**TRAINING),
    }


def _best_of(candidates: list[Any], split: Split) -> Any:
    """The candidate with the least free-run error over the last quarter of the training part."""
    records = [Record(x[:first], y[:first], round(0.75 * first) - split.window) for x, y, first in split.records]
    inner = replace(split, records=records)
    if len(candidates) == 1 or min(record.first for record in records) < 2:
        return candidates[0]
    errors = []
    for model in candidates:
        try:
            error = rmse(
                inner.measured / inner.scale, _free_run(clone(model).fit(*inner.training()), inner) / inner.scale
            )
        except (ValueError, RuntimeError):  # too many lags for so few rows
            error = np.inf
        errors.append(error if np.isfinite(error) else np.inf)
    return candidates[int(np.argmin(errors))]


def run_model(model: Any, split: Split, seeds: int, random_state: int) -> Run:
    """The run of a model; where it fails, one of NaN with the error as its note."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run = _fit_and_run(model, split, seeds, random_state)
        except Exception as error:
            free = np.full((1, *split.measured.shape), np.nan)
            ahead = np.full((1, len(split.horizons), *split.measured[split.targets].shape), np.nan)
            text = f"failed: {type(error).__name__}: {error}"
            return Run(free, ahead, "failed", np.nan, 0, np.nan, notes=[text])
    run.notes = _said([str(warning.message) for warning in caught])
    if not np.isfinite(run.free).all():
        run.notes.append("the free run diverges")
    return run


def _said(warned: list[str]) -> list[str]:
    """Warnings that differ in more than their numbers; of a warm-up's length the column ``memory`` tells."""
    apart = {re.sub(r"[\d.]+", "", text): text for text in reversed(warned) if not text.startswith("warmup=")}
    return list(apart.values())[::-1]


def _fit_and_run(model: Any, split: Split, seeds: int, random_state: int) -> Run:
    begin, fitted = time.perf_counter(), []
    for one in _seeded(model, seeds, random_state):
        fitted.append(one.fit(*split.training()))
    seconds = (time.perf_counter() - begin) / len(fitted)
    free = np.stack([_free_run(one, split) for one in fitted])
    ahead = np.stack([_ahead(one, split, run) for one, run in zip(fitted, free, strict=True)])
    parameters = sum(parameter.numel() for parameter in fitted[0].cell_.parameters())
    memory = float(np.median([_memory(one) for one in fitted]))
    kind = "linear" if _recurrences(fitted[0]) <= {Linear, MovingAverage, ExponentialMovingAverage} else "nonlinear"
    return Run(free, ahead, kind, seconds, parameters, memory, fitted)


def _seeded(model: Any, seeds: int, random_state: int) -> list[Any]:
    """Clones; as many as seeds of a model that draws its first weights."""
    own = model.get_params(deep=False).get("random_state", "none")
    if own == "none":
        return [clone(model)]
    start = int(own) if isinstance(own, Integral) else random_state
    drawn = getattr(model, "method", "gradient") == "gradient"  # a linear system found in closed form draws nothing
    return [clone(model).set_params(random_state=start + number) for number in range(seeds if drawn else 1)]


def _free_run(model: Any, split: Split) -> Array:
    """ŷ of the scored rows (rows, outputs): no output is seen after the window."""
    found = []
    for record in split.records:
        state = _state(model, record, split)
        found.append(_column(model.predict(record.x[record.first :], initial_state=state), split)[split.window :])
    return np.concatenate(found)


def _state(model: Any, record: Record, split: Split) -> Any:
    """The state a record's test part begins with, from the rows of its window."""
    seen = slice(record.first, record.first + split.window)
    return model.estimate_state(record.x[seen], split.shaped(record.y[seen]))


def _ahead(model: Any, split: Split, free: Array) -> Array:
    """ŷ_{t|t-k} of the targets, (horizons, targets, outputs)."""
    if _recurrences(model) <= {MovingAverage, ExponentialMovingAverage}:
        return np.stack([free[split.targets]] * len(split.horizons))
    filters = getattr(model, "noise_gain_", None) is not None and "steps_ahead" in _arguments(model.predict)
    return np.stack([_filtered(model, split, k) if filters else _estimated(model, split, k) for k in split.horizons])


def _filtered(model: Any, split: Split, horizon: int) -> Array:
    """By the model's own filter, begun with the same state as the free run."""
    found = []
    for record in split.records:
        x, y = record.x[record.first :], split.shaped(record.y[record.first :])
        ahead = model.predict(x, y=y, steps_ahead=horizon, initial_state=_state(model, record, split))
        found.append(_column(ahead, split)[split.window :])
    return np.concatenate(found)[split.targets]


def _estimated(model: Any, split: Split, horizon: int) -> Array:
    """By moving-horizon estimation: the state from the window up to t − k, then k steps of free run."""
    x, y = split.windows(horizon)
    state = model.estimate_state(x[:, : split.window], y)
    return _column(model.predict(x, initial_state=state)[:, -1], split)


def persist(split: Split) -> Run:
    """The last value known k steps ago; in free run the last one of the window, for ever."""
    held, last = [pd.DataFrame(record.y).ffill().to_numpy() for record in split.records], split.window - 1
    free = [
        np.repeat(y[first + last][None], len(y) - first - split.window, axis=0)
        for y, (_, _, first) in zip(held, split.records, strict=True)
    ]
    rows = np.flatnonzero(split.scored)[split.targets]
    ahead = np.stack([np.concatenate(held)[rows - k] for k in split.horizons])
    return Run(np.concatenate(free)[None], ahead[None], "reference")


def _column(values: Any, split: Split) -> Array:
    """Predictions with an axis of outputs; infinite where they have left all bounds."""
    found = np.asarray(values, dtype=np.float64).reshape(-1, len(split.outputs))
    return np.where(np.abs(found) < BOUND, found, np.inf)


def _recurrences(model: Any) -> set[type]:
    """The classes of the innermost cells of a fitted model."""
    cells = [module for module in model.network_.modules() if isinstance(module, Cell)]
    inside = {id(cell) for outer in cells for cell in outer.modules() if cell is not outer and isinstance(cell, Cell)}
    outer = [cell for cell in cells if any(id(part) in inside for part in cell.modules() if part is not cell)]
    return {type(cell) for cell in cells if all(cell is not other for other in outer)}


def _arguments(function: Any) -> Mapping[str, Any]:
    return inspect.signature(function).parameters


def _memory(model: Any) -> float:
    """Steps until two initial states agree to 1 %: on the training data, or of a closed form on any."""
    own = getattr(model, "forgetting_time_", None)
    if own is not None:
        return float(own)
    cell = model.cell_
    like = [*leaves(cell.initial_state(1)), *cell.parameters()][0]
    return forgetting_time(cell, like.new_zeros(1, 500, cell.input_size), torch.Generator().manual_seed(0))

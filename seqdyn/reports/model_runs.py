"""Runs of models on a split: fitted, then run freely and k steps ahead."""

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

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.cells.linear import Linear
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.estimators.baselines import ARXRegressor
from seqdyn.estimators.linear import LinearStateSpaceRegressor
from seqdyn.estimators.moving_average import MovingAverageRegressor
from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor, LSTMRegressor
from seqdyn.metrics.points import rmse
from seqdyn.reports.comparison_split import ComparisonSplit, ScoredRecord
from seqdyn.state import leaves
from seqdyn.training.forward import forgetting_time

PERSISTENCE = "persistence"
"""The name of persistence among the models: it is a formula, not an estimator."""

DIVERGENCE_BOUND = 1e100
"""A free run beyond this value diverges."""

NETWORK_SETTINGS: dict[str, Any] = {
    "hidden_size": 16, "linear_start": LinearStateSpaceRegressor(), "learning_rate": 3e-3,
    "schedule": "cosine", "max_epochs": 200, "early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 50,
}  # fmt: skip
"""The settings of the default networks."""


@dataclass(eq=False, repr=False)
class ModelRun:
    """The fits and predictions of one model.

    free         the free run over the scored rows, (seeds, rows, outputs)
    ahead        the predictions k steps ahead, (seeds, horizons, targets, outputs)
    kind         "linear", "nonlinear", "reference" or "failed"
    seconds      the time of one fit
    parameters   how many parameters it has
    memory       steps until two initial states agree to 1 %
    estimators   the fitted estimators, one for every seed
    notes        warnings, or the error
    """

    free: Array
    ahead: Array
    kind: str
    seconds: float = 0.0
    parameters: int = 0
    memory: float = 0.0
    estimators: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def checked_estimators(models: Any) -> dict[str, Any]:
    """The user's models by name; raises if one cannot be fitted, run and given a state."""
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


def default_models(split: ComparisonSplit) -> dict[str, Any]:
    """The default models, in the order of their freedom."""
    longest = max(1, min(split.window, split.fitted // (10 * split.sequences.rows.shape[1])))
    windows = [
        MovingAverageRegressor(window=k, weights="learned") for k in dict.fromkeys([longest, max(1, longest // 4)])
    ]
    return {
        "moving average": _best_of(windows, split),
        PERSISTENCE: PERSISTENCE,
        "ARX": _best_of([ARXRegressor(output_lags=p, input_lags=p) for p in (2, 1, 3, 4, 6, 8)], split),
        "linear state space": LinearStateSpaceRegressor(),
        "Elman": ElmanRegressor(**NETWORK_SETTINGS),
        "GRU": GRURegressor(**NETWORK_SETTINGS),
        "LSTM": LSTMRegressor(**NETWORK_SETTINGS),
    }


def _best_of(candidates: list[Any], split: ComparisonSplit) -> Any:
    """The candidate with the smallest free-run error over the last quarter of the training part."""
    records = [ScoredRecord(x[:first], y[:first], round(0.75 * first) - split.window) for x, y, first in split.records]
    inner = replace(split, records=records)
    if len(candidates) == 1 or min(record.first for record in records) < 2:
        return candidates[0]
    errors = []
    for model in candidates:
        try:
            free = _free_run(clone(model).fit(*inner.training()), inner)
            error = rmse(inner.measured / inner.scale, free / inner.scale)
        except (ValueError, RuntimeError):  # too many lags for so few rows
            error = np.inf
        errors.append(error if np.isfinite(error) else np.inf)
    return candidates[int(np.argmin(errors))]


def run_model(model: Any, split: ComparisonSplit, seeds: int, random_state: int, verbose: int = 0) -> ModelRun:
    """Fit and run a model; if it fails, return a run of NaN with the error as its note."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run = _fit_and_run(model, split, seeds, random_state, verbose)
        except Exception as error:
            free = np.full((1, *split.measured.shape), np.nan)
            ahead = np.full((1, len(split.horizons), *split.measured[split.targets].shape), np.nan)
            text = f"failed: {type(error).__name__}: {error}"
            return ModelRun(free, ahead, "failed", np.nan, 0, np.nan, notes=[text])
    run.notes = _distinct_warnings([str(warning.message) for warning in caught])
    if not np.isfinite(run.free).all():
        run.notes.append("the free run diverges")
    return run


def _distinct_warnings(warned: list[str]) -> list[str]:
    """Warnings that differ in more than their numbers, without those about a warm-up, which ``memory`` replaces."""
    apart = {re.sub(r"[\d.]+", "", text): text for text in reversed(warned) if not text.startswith("warmup=")}
    return list(apart.values())[::-1]


def _fit_and_run(model: Any, split: ComparisonSplit, seeds: int, random_state: int, verbose: int) -> ModelRun:
    begin, fitted = time.perf_counter(), []
    for one in _seeded(model, seeds, random_state):
        if verbose and "verbose" in one.get_params(deep=False):
            one.set_params(verbose=verbose)
        fitted.append(one.fit(*split.training()))
    seconds = (time.perf_counter() - begin) / len(fitted)
    free = np.stack([_free_run(one, split) for one in fitted])
    ahead = np.stack([_steps_ahead(one, split, run) for one, run in zip(fitted, free, strict=True)])
    parameters = sum(parameter.numel() for parameter in fitted[0].cell_.parameters())
    memory = float(np.median([_memory(one) for one in fitted]))
    kind = "linear" if _recurrences(fitted[0]) <= {Linear, MovingAverage, ExponentialMovingAverage} else "nonlinear"
    return ModelRun(free, ahead, kind, seconds, parameters, memory, fitted)


def _seeded(model: Any, seeds: int, random_state: int) -> list[Any]:
    """Clones of a model: one for every seed if its initial weights are random, else one."""
    own = model.get_params(deep=False).get("random_state", "none")
    if own == "none":
        return [clone(model)]
    start = int(own) if isinstance(own, Integral) else random_state
    drawn = getattr(model, "method", "gradient") == "gradient"  # a linear system found in closed form draws nothing
    return [clone(model).set_params(random_state=start + number) for number in range(seeds if drawn else 1)]


def _free_run(model: Any, split: ComparisonSplit) -> Array:
    """ŷ of the scored rows in free run, (rows, outputs): no output after the window is used."""
    found = []
    for record in split.records:
        state = _state_before_test(model, record, split)
        found.append(_with_outputs(model.predict(record.x[record.first :], initial_state=state), split)[split.window :])
    return np.concatenate(found)


def _state_before_test(model: Any, record: ScoredRecord, split: ComparisonSplit) -> Any:
    """The state after the training part of a record, estimated from the rows of the window."""
    seen = slice(record.first, record.first + split.window)
    return model.estimate_state(record.x[seen], split.shaped(record.y[seen]))


def _steps_ahead(model: Any, split: ComparisonSplit, free: Array) -> Array:
    """ŷ_{t|t-k} of the targets, (horizons, targets, outputs)."""
    if _recurrences(model) <= {MovingAverage, ExponentialMovingAverage}:
        return np.stack([free[split.targets]] * len(split.horizons))
    known = getattr(model, "noise_gain_", None) is not None
    filters = known and "steps_ahead" in inspect.signature(model.predict).parameters
    predict = _ahead_by_filter if filters else _ahead_by_estimation
    return np.stack([predict(model, split, k) for k in split.horizons])


def _ahead_by_filter(model: Any, split: ComparisonSplit, horizon: int) -> Array:
    """Predictions k steps ahead by the model's own filter, from the same initial state as the free run."""
    found = []
    for record in split.records:
        x, y = record.x[record.first :], split.shaped(record.y[record.first :])
        ahead = model.predict(x, y=y, steps_ahead=horizon, initial_state=_state_before_test(model, record, split))
        found.append(_with_outputs(ahead, split)[split.window :])
    return np.concatenate(found)[split.targets]


def _ahead_by_estimation(model: Any, split: ComparisonSplit, horizon: int) -> Array:
    """Predictions k steps ahead by moving-horizon estimation: a free run from the state of the window up to t − k."""
    x, y = split.windows(horizon)
    state = model.estimate_state(x[:, : split.window], y)
    return _with_outputs(model.predict(x, initial_state=state)[:, -1], split)


def run_persistence(split: ComparisonSplit) -> ModelRun:
    """Run persistence: the last value known k steps ago; in free run always the last value of the window."""
    held, last = [pd.DataFrame(record.y).ffill().to_numpy() for record in split.records], split.window - 1
    free = [
        np.repeat(y[first + last][None], len(y) - first - split.window, axis=0)
        for y, (_, _, first) in zip(held, split.records, strict=True)
    ]
    rows = np.flatnonzero(split.scored)[split.targets]
    ahead = np.stack([np.concatenate(held)[rows - k] for k in split.horizons])
    return ModelRun(np.concatenate(free)[None], ahead[None], "reference")


def _with_outputs(values: Any, split: ComparisonSplit) -> Array:
    """Predictions with an axis of outputs; diverged ones are infinite."""
    found = np.asarray(values, dtype=np.float64).reshape(-1, len(split.outputs))
    return np.where(np.abs(found) < DIVERGENCE_BOUND, found, np.inf)


def _recurrences(model: Any) -> set[type]:
    """The classes of the innermost cells of a fitted model."""
    cells = [module for module in model.network_.modules() if isinstance(module, Cell)]
    inside = {id(cell) for outer in cells for cell in outer.modules() if cell is not outer and isinstance(cell, Cell)}
    outer = [cell for cell in cells if any(id(part) in inside for part in cell.modules() if part is not cell)]
    return {type(cell) for cell in cells if all(cell is not other for other in outer)}


def _memory(model: Any) -> float:
    """Steps until two initial states agree to 1 %, on the training data or, for a closed form, on zeros."""
    own = getattr(model, "forgetting_time_", None)
    if own is not None:
        return float(own)
    cell = model.cell_
    like = [*leaves(cell.initial_state(1)), *cell.parameters()][0]
    return forgetting_time(cell, like.new_zeros(1, 500, cell.input_size), torch.Generator().manual_seed(0))

"""What a score compares: predictions, the targets beside them, and the weights of what counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import Targets, as_targets, as_weights, missing_targets
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.state import State

StartOf = Callable[[Sequences, Array, Array], tuple[State | None, Array]]
"""From sequences, targets and weights of a score to h_{-1} of every record, and its first rows that are not scored."""
Predict = Callable[[Sequences, Array, Array, State | None], Array]
"""From sequences, targets, weights and h_{-1} of every record to predictions (rows, targets)."""


def check_target_names(estimator: SequenceEstimator, y: Any) -> None:
    """Raise if a frame names other targets than the fit, or the same in another order."""
    fitted = getattr(estimator, "target_names_", None)
    if isinstance(y, pd.DataFrame) and fitted is not None and list(map(str, y.columns)) != list(map(str, fitted)):
        raise ValueError(
            f"The columns of y are {list(y.columns)}, those of the fit were {list(fitted)}, in this order."
        )


def _at_rest(sequences: Sequences, table: Array, weight: Array) -> tuple[State | None, Array]:
    """From the strategy of the estimator, which takes no rows."""
    return None, np.zeros(len(sequences.lengths), dtype=np.int64)


def scored(
    estimator: SequenceEstimator,
    X: Any,
    y: Any,
    sample_weight: Any,
    start_of: StartOf = _at_rest,
    predict: Predict | None = None,
) -> tuple[Array, Targets, Array]:
    """Predictions (rows, targets), the targets beside them, and weights that are 0 where nothing is scored.

    Without a ``predict`` of its own it is the run of the network that is scored.
    """
    given, predictor = estimator.read(X), estimator.predictor_
    check_target_names(estimator, y)
    targets = as_targets(y, given, predictor.per_step)
    sequences = targets.sequences
    weight = as_weights(sample_weight, sequences)
    weight = np.ones(len(sequences.rows)) if weight is None else weight
    start, told = start_of(sequences, targets.table, weight)
    if predict is None:
        predicted = predictor.predicted(predictor.run(sequences, start).output)
    else:
        predicted = predict(sequences, targets.table, weight, start)
    if targets.table.shape[1] != predicted.shape[1]:
        raise ValueError(f"y has {targets.table.shape[1]} outputs, but the model predicts {predicted.shape[1]}.")
    known = ~missing_targets(targets.table).all(axis=1)
    if not predictor.per_step:
        return predicted, targets, _left(weight[given.starts], known)
    first = np.maximum(predictor.warmup_steps(sequences.lengths), told)
    return predicted, targets, _left(weight * (sequences.steps >= first[sequences.series]), known)


def _left(weight: Array, known: Any) -> Array:
    """The weights, if anything is left to score."""
    if not (weight[known] > 0).any():
        raise ValueError("No target is left to score: y is NaN everywhere, has no weight, or lies in the warm-up.")
    return weight

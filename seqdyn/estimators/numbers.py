"""What regressors of every kind can do: predict from a state that the first rows tell, estimate it, and be scored.

The functions :func:`predict_numbers`, :func:`estimate_start`, :func:`score_r2` and :func:`predict_quantiles` are
methods: a regressor takes them into its class body, ``predict = predict_numbers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.metrics import r2_score
from torch.nn.utils.rnn import pad_sequence

from seqdyn.arrays import Array
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import Targets, as_targets, target_names, target_numbers, target_rows
from seqdyn.estimators.scored import Predict, StartOf, check_target_names, scored
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.starts import estimated, given_state, is_estimate
from seqdyn.predictor import Predictor
from seqdyn.state import State, map_leaves
from seqdyn.training.state_estimation import estimate_state

BestStart = Callable[[Sequences, Array], State]
"""From records, and the numbers measured beside them, to the states that their free runs fit best from."""


def is_sequence_regressor(estimator: Any) -> bool:
    """Whether it is a regressor of the library."""
    return isinstance(estimator, SequenceEstimator) and is_regressor(estimator)


def is_closed_form(estimator: Any) -> bool:
    """Whether it is a regressor of the library that is solved for, and not trained."""
    return is_sequence_regressor(estimator) and "learning_rate" not in estimator.get_params(deep=False)


# -------------------------------------------------------------------- methods


@overload
def predict_numbers(
    self: SequenceEstimator, X: Array, *, y: Any = None, initial_state: Any = None, return_state: Literal[False] = False
) -> Array: ...
@overload
def predict_numbers(
    self: SequenceEstimator, X: Any, *, y: Any = None, initial_state: Any = None, return_state: bool = False
) -> Any: ...
def predict_numbers(
    self: SequenceEstimator, X: Any, *, y: Any = None, initial_state: Any = None, return_state: bool = False
) -> Any:
    """Predict a target for every step, or for every sequence.

    Parameters
    ----------
    X : array, list of arrays, DataFrame, or xarray.DataArray
        Sequences in any container ``fit`` takes.
    y : array, list of arrays, or DataFrame, optional
        Measured targets beside X, for ``initial_state="estimate"``; NaN where there was none.
    initial_state : State, array-like, "zero", "estimate" or None
        h_{-1} in network units, one row, or one a series; ``est.state_`` continues the training data. Plain numbers
        (width,) or (series, width) are the leaves of the State, one after the other. ``"zero"``: zeros.
        ``"estimate"``: the state whose run fits the first rows of (X, y) best, see :meth:`score`. None: the
        estimator's own strategy.
    return_state : bool
        Give back the state after the last step, too.

    Returns
    -------
    y : array
        Shaped as the targets of ``fit``, in their units.
    state : State
        With ``return_state=True`` only.

    Raises
    ------
    ValueError
        If X has other features than in ``fit``, holds NaN or inf, or the state does not fit.
    """
    return run_from(self, X, y, initial_state, return_state, lambda *record: best_start(self.predictor_, *record))


def estimate_start(self: SequenceEstimator, X: Any, y: Any) -> State:
    """The state at the start of a record, from its first rows: the one whose free run fits them best.

    Parameters
    ----------
    X, y : array, list of arrays, or DataFrame
        The first rows of the record (or records), as in ``fit``; some ten to a hundred usually suffice. NaN in y
        marks a missing target.

    Returns
    -------
    State
        For ``predict(X, initial_state=…)`` over the same record from its beginning.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ARXRegressor
    >>> y = 5 * 0.9 ** np.arange(100)
    >>> x = np.zeros((100, 1))
    >>> model = ARXRegressor(output_lags=1, input_lags=0).fit(x, y)
    >>> state = model.estimate_state(x[50:70], y[50:70])
    >>> bool(abs(model.predict(x[50:], initial_state=state) - y[50:]).max() < 1e-6)
    True
    """
    return best_start(self.predictor_, *measured_numbers(self, X, y))


def score_r2(self: SequenceEstimator, X: Any, y: Any, sample_weight: Any = None, initial_state: Any = None) -> float:
    """R², the mean over outputs; warm-up rows and missing targets are left out.

    Parameters
    ----------
    X, y, sample_weight
        As in ``fit``.
    initial_state : State, array-like, "zero", "estimate" or None
        As in :meth:`predict`. ``"estimate"``: the state whose run fits the first rows of every record best, which
        then carry no score. They are a tenth of the record, and at least 2 for every number in the state. A record
        of fewer than 3 a number, or without a known target among them, starts from the strategy, and all of it is
        scored.

    Returns
    -------
    float
        At most 1; 0 is as good as the mean of y.
    """
    return r2(self, X, y, sample_weight, initial_state, lambda *record: best_start(self.predictor_, *record))


@overload
def predict_quantiles(self: SequenceEstimator, X: Array) -> Array: ...
@overload
def predict_quantiles(self: SequenceEstimator, X: Any) -> Any: ...
def predict_quantiles(self: SequenceEstimator, X: Any) -> Any:
    """The quantiles at every step, which never cross; for the losses ``"quantile"`` and ``"gaussian"``.

    Parameters
    ----------
    X : array, list of arrays, or DataFrame
        As in ``predict``.

    Returns
    -------
    array
        Shaped as the prediction, with a last axis of the quantiles.
    """
    sequences, predictor = self.read(X), self.predictor_
    targets = predictor.codec.targets
    if "quantiles" not in targets.head.provides:
        loss = getattr(self, "loss", "mse")
        raise ValueError(f"loss={loss!r} knows no quantiles: fit with loss='quantile' or loss='gaussian'.")
    values = targets.quantiles(predictor.run(sequences).output)  # (rows, targets, quantiles)
    values = values[:, 0] if predictor.flat else values
    return sequences.restore(values) if predictor.per_step else values


# -------------------------------------------------------------------- what they are made of


def run_from(estimator: SequenceEstimator, X: Any, y: Any, start: Any, return_state: bool, best: BestStart) -> Any:
    """The predictions of a run from a start that is given, or that measured targets tell."""
    if y is None and not is_estimate(start):
        return SequenceEstimator.predict(estimator, X, initial_state=start, return_state=return_state)
    if y is None or not is_estimate(start):
        raise ValueError(
            f"y={'None' if y is None else 'given'} and initial_state={start!r}: measured targets tell the start, give "
            "y and initial_state='estimate' together."
        )
    sequences, numbers = measured_numbers(estimator, X, y)
    found, _ = estimated(estimator.predictor_, sequences, numbers, best)
    return estimator.predict_from(found, sequences, return_state)


def best_start(predictor: Predictor, sequences: Sequences, numbers: Array) -> State:
    """The states whose free runs fit some records best; shorter ones count nothing where they are over."""
    rows = predictor.rows(sequences, numbers)
    known = torch.ones_like(rows.y) if rows.weight is None else rows.weight
    lengths = sequences.lengths.tolist()
    x, wanted, weight = (
        map_leaves(lambda leaf: pad_sequence(leaf.split(lengths), batch_first=True), tree)
        for tree in (rows.x, rows.y, known)
    )
    return estimate_state(predictor.causal("estimate_state"), x, wanted, weight, predictor.codec.targets.head.point)


def measured_numbers(estimator: SequenceEstimator, X: Any, y: Any) -> tuple[Sequences, Array]:
    """Inputs, and the targets measured beside every one of them."""
    sequences = estimator.read(X)
    estimator.alignment.check_per_step()
    check_target_names(estimator, y)
    numbers = target_numbers(as_targets(y, sequences, per_step=True).table)
    check_some_known(numbers)
    if numbers.shape[1] != estimator.n_outputs_:
        raise ValueError(f"y has {numbers.shape[1]} outputs, but the model predicts {estimator.n_outputs_}.")
    return sequences, numbers


def check_some_known(numbers: Array) -> None:
    """Raise if no target is known."""
    if np.isnan(numbers).all():
        raise ValueError("y is NaN everywhere: at least one target must be known.")


def numbers_beside(estimator: SequenceEstimator, targets: Targets, y: Any, reset: bool) -> Array:
    """The numbers beside every step of a fit, NaN where one is missing; widths are remembered, or checked."""
    numbers = target_rows(target_numbers(targets.table), targets.sequences, estimator.alignment.per_step)
    estimator.alignment.check_columns(targets.sequences.rows.shape[1], numbers.shape[1])
    check_some_known(numbers)
    if reset:
        estimator.flat_targets_, estimator.target_names_ = targets.flat, target_names(y)
        estimator.n_outputs_ = numbers.shape[1]
    elif numbers.shape[1] != estimator.n_outputs_:
        raise ValueError(f"y has {numbers.shape[1]} outputs, but the fit so far was of {estimator.n_outputs_}.")
    return numbers


def numbers_that_count(table: Array, weight: Array) -> Array:
    """The numbers among targets (rows, targets) that have a weight, NaN elsewhere."""
    return np.where(weight[:, None] > 0, target_numbers(table), np.nan)


def r2(
    estimator: SequenceEstimator,
    X: Any,
    y: Any,
    sample_weight: Any,
    start: Any,
    best: BestStart,
    predict: Predict | None = None,
) -> float:
    """R² of the run, or of what is predicted in its place."""
    if is_estimate(start):
        estimator.alignment.check_per_step()
    predicted, targets, weight = scored(estimator, X, y, sample_weight, start_of(estimator, start, best), predict)
    numbers = target_numbers(targets.table)
    scores = []
    for column in range(numbers.shape[1]):
        known = ~np.isnan(numbers[:, column]) & (weight > 0)
        scores.append(r2_score(numbers[known, column], predicted[known, column], sample_weight=weight[known]))
    return float(np.mean(scores))


def start_of(estimator: SequenceEstimator, start: Any, best: BestStart) -> StartOf:
    """How the records of a score start."""

    def found(sequences: Sequences, table: Array, weight: Array) -> tuple[State | None, Array]:
        predictor = estimator.predictor_
        if is_estimate(start):
            return estimated(predictor, sequences, numbers_that_count(table, weight), best)
        series = len(sequences.lengths)
        return given_state(predictor, start, series), np.zeros(series, dtype=np.int64)

    return found

"""Scorers that know time, for ``GridSearchCV(scoring=…)``: without warm-up rows and missing targets, in any container.

scikit-learn's own scorers compare everything that ``predict`` gives with everything in y, and know 2-D data only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score
from sklearn.pipeline import Pipeline

from seqdyn.arrays import Array
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import Targets, as_targets
from seqdyn.data.time_index import directly_follows
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.metrics.points import fit_percent, mae, mape, rmse, smape
from seqdyn.predictor import Predictor
from seqdyn.state import State, map_leaves

Metric = Callable[[Any, Any], float]


@dataclass(frozen=True)
class TimeScorer:
    """A callable (estimator, X, y) -> score, larger is better; see :func:`time_scorer`."""

    metric: Metric
    sign: int = 1
    carry_state: bool = False

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """sign · the mean of the metric over outputs, on known targets after the warm-up."""
        model, X = _final(estimator, X)
        sequences, predictor = model.read(X), model.predictor_
        targets = as_targets(y, sequences, predictor.per_step)
        follows = _following(model, targets.sequences) if self.carry_state else np.zeros(len(sequences.lengths), bool)
        state = _carried(model, targets.sequences, follows) if follows.any() else None
        predicted = predictor.predicted(predictor.run(targets.sequences, state).output)
        return self.sign * self._mean(targets, predicted, _heard(predictor, targets.sequences, follows))

    def _mean(self, targets: Targets, predicted: Array, heard: Array) -> float:
        if targets.table.shape[1] != predicted.shape[1]:
            raise ValueError(f"y has {targets.table.shape[1]} outputs, but the model predicts {predicted.shape[1]}.")
        known = ~pd.isna(targets.table) & heard[:, None]
        if not known.any(axis=0).all():
            raise ValueError(
                f"No target is left to score in output {int(np.argmin(known.any(axis=0)))}: y is NaN everywhere, or "
                "lies in the warm-up."
            )
        pairs = zip(targets.table.T, predicted.T, known.T, strict=True)
        return float(np.mean([self.metric(y[one], values[one]) for y, values, one in pairs]))


def time_scorer(metric: Metric, sign: int = 1, *, carry_state: bool = False) -> TimeScorer:
    """A scorer for ``cross_val_score`` and ``GridSearchCV``: s = sign · mean_j metric(y_j, ŷ_j) over the outputs j.

    Warm-up rows and missing targets are left out. X and y come in any container of the estimators: 2-D, 3-D, lists,
    frames with one level or with (series, time), xarrays; the estimator may be the last step of a Pipeline.

    Parameters
    ----------
    metric : callable
        ``metric(y, predicted) -> float`` of arrays (known,) of one output; those of :mod:`seqdyn.metrics` and of
        ``sklearn.metrics`` are such.
    sign : {1, -1}
        -1 for an error, so that larger is better.
    carry_state : bool
        The test part of a fold is all that a scorer sees, so the state starts from the estimator's strategy, as if
        there had been no past: set a ``warmup``, or True. Then a series whose first row directly follows its last one
        in the training data, by their labels of time, starts from its row of ``est.state_``, and no row of it is
        warm-up. All others start from the strategy: new series, those after a gap, and the training data itself.

    Returns
    -------
    TimeScorer
        ``scorer(estimator, X, y) -> float``; it can be pickled if ``metric`` can.

    Raises
    ------
    ValueError
        In ``scorer(…)``: if no target is left to score; with ``carry_state`` if X has no labels of time, as an array,
        for then nothing can tell what it follows, or if the estimator was not fitted on such here (a file does not keep
        where its training ended).
    TypeError
        In ``scorer(…)``: for an estimator that is not one of seqdyn.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.model_selection import cross_val_score
    >>> from seqdyn import ARXRegressor
    >>> from seqdyn.data.splits import PanelTimeSplit
    >>> from seqdyn.metrics import mae
    >>> index = pd.MultiIndex.from_product([["a", "b"], range(60)], names=["series", "time"])
    >>> X = pd.DataFrame({"push": np.random.default_rng(0).normal(size=120)}, index)
    >>> y = X["push"].groupby(level=0).transform(lambda push: push.ewm(alpha=0.5, adjust=False).mean())
    >>> model, folds = ARXRegressor(output_lags=1, input_lags=0), PanelTimeSplit(3)
    >>> cold = cross_val_score(model, X, y, cv=folds, scoring=time_scorer(mae, -1))
    >>> carried = cross_val_score(model, X, y, cv=folds, scoring=time_scorer(mae, -1, carry_state=True))
    >>> bool((cold < -0.01).all()), bool((carried > -1e-4).all())
    (True, True)
    """
    if sign not in (1, -1):
        raise ValueError(f"sign must be 1 (a score) or -1 (an error), got {sign!r}.")
    return TimeScorer(metric, sign, carry_state)


scorers: dict[str, TimeScorer] = {
    "r2": time_scorer(r2_score),
    "fit_percent": time_scorer(fit_percent),
    "neg_mae": time_scorer(mae, -1),
    "neg_rmse": time_scorer(rmse, -1),
    "neg_mape": time_scorer(mape, -1),
    "neg_smape": time_scorer(smape, -1),
}
"""Scorers by name, which start every fold from the estimator's strategy."""


def _final(estimator: Any, X: Any) -> tuple[SequenceEstimator, Any]:
    """The last step of a Pipeline, and what it sees of X."""
    if isinstance(estimator, Pipeline):
        estimator, X = estimator[-1], estimator[:-1].transform(X)
    if not isinstance(estimator, SequenceEstimator):
        raise TypeError(
            f"A time scorer reads the state and the warm-up of seqdyn's estimators, got {type(estimator).__name__}. "
            "For others use sklearn.metrics.make_scorer."
        )
    return estimator, X


def _heard(predictor: Predictor, sequences: Sequences, follows: Array) -> Array:
    """Which predictions are scored: those after the warm-up, which a state that is carried on does not need."""
    if not predictor.per_step:
        return np.ones(len(sequences.lengths), dtype=bool)
    warmup = np.where(follows, 0, predictor.warmup_steps(sequences.lengths))
    return np.asarray(sequences.steps >= np.repeat(warmup, sequences.lengths))


def _following(model: SequenceEstimator, sequences: Sequences) -> Array:
    """Which series begin where their training ended, shape (series,)."""
    ends, begins = model.training_end_, sequences.beginnings()
    if ends is None or begins is None:
        missing = "X" if begins is None else "what the estimator was fitted on"
        raise ValueError(
            f"carry_state needs labels of time to see what directly follows the training data, but {missing} has none: "
            "fit and score on frames, with the time or (series, time) as index, or set carry_state=False."
        )
    return np.array([key in ends and directly_follows(head, ends[key]) for key, head in begins.items()], dtype=bool)


def _carried(model: SequenceEstimator, sequences: Sequences, follows: Array) -> State:
    """The state after the training data for series that follow it, that of the strategy for the others."""
    cell = model.predictor_.causal("carry_state=True")
    keys, trained = list(sequences.beginnings() or ()), list(model.training_end_ or ())
    place = torch.as_tensor([trained.index(key) if one else 0 for key, one in zip(keys, follows, strict=True)])
    chosen = torch.as_tensor(follows)

    def choose(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        rows = end.to(start.device)[place.to(start.device)]
        return torch.where(chosen.to(start.device).view(-1, *[1] * (start.dim() - 1)), rows, start)

    with torch.no_grad():
        return map_leaves(choose, cell.initial_state(len(follows)), model.state_)

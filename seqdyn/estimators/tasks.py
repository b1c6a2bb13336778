"""The two tasks: predicting numbers, and predicting classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from seqdyn.codecs import ClassTargets, NumberTargets
from seqdyn.data.sequences import Sequences, rank
from seqdyn.data.targets import (
    Targets,
    as_labels,
    as_numbers,
    as_targets,
    as_weights,
    check_no_infinity,
    is_missing,
    spread,
    target_names,
)
from seqdyn.estimators.gradient import GradientEstimator
from seqdyn.estimators.parameters import Rule, either, instance_of, loss_of, one_of, optional
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.state import State, map_leaves
from seqdyn.training.heads import POINTWISE, CrossEntropy, Custom, Head, check_quantiles, regression_head
from seqdyn.training.state_estimation import estimate_state

Array = np.ndarray[Any, Any]

NUMBER_LOSS: Rule = loss_of(*POINTWISE, "quantile", "gaussian")
"""The losses of numbers."""


@dataclass(kw_only=True, repr=False, eq=False)
class NumberEstimator(RegressorMixin, SequenceEstimator):
    """Predicting numbers: what regressors share, however they are trained."""

    def _target_codec(self) -> NumberTargets:
        return NumberTargets(self.target_scaling_, self._head(), check_quantiles(getattr(self, "quantiles", (0.5,))))

    def estimate_state(self, X: Any, y: Any) -> State:
        """The state at the start of a record, from its first rows: the one whose free run fits them best.

        Parameters
        ----------
        X, y : array, list of arrays, or DataFrame
            The first rows of the record (or records), as in ``fit``; some ten to a hundred usually suffice.

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
        sequences, numbers = self._measured(X, y)
        predictor = self.predictor_
        cell = predictor.causal("estimate_state")
        series = len(sequences.lengths)
        if len(set(sequences.lengths.tolist())) > 1:
            raise ValueError(
                f"estimate_state needs records of one length, got {sequences.lengths.tolist()[:5]} … rows."
            )
        rows = predictor.rows(sequences, numbers)
        known = torch.ones_like(rows.y) if rows.weight is None else rows.weight
        x, wanted, weight = (
            map_leaves(lambda leaf: leaf.view(series, -1, *leaf.shape[1:]), tree) for tree in (rows.x, rows.y, known)
        )
        return estimate_state(cell, x, wanted, weight, self._head().point)

    def _beside(self, sequences: Sequences, y: Any, reset: bool) -> tuple[Sequences, Array]:
        """The sequences, held if y is longer, and the numbers beside their steps; widths are remembered or checked."""
        targets = self._read_targets(y, sequences)
        sequences = targets.sequences
        check_no_infinity(targets.table, sequences, self._per_step)
        numbers = spread(as_numbers(targets.table), sequences, self._per_step)
        self._check_own_past(numbers.shape[1])
        if np.isnan(numbers).all():
            raise ValueError("y is NaN everywhere: at least one target must be known.")
        if reset:
            self.flat_targets_, self.target_names_, self.n_outputs_ = targets.flat, target_names(y), numbers.shape[1]
        elif numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the fit so far was of {self.n_outputs_}.")
        return sequences, numbers

    def _measured(self, X: Any, y: Any) -> tuple[Sequences, Array]:
        """Inputs, and the targets measured beside every one of them."""
        sequences = self.read(X)
        if not self._per_step or self._lag:
            raise ValueError(
                "Every output is compared with a target of the same step here: that needs return_sequences=True and "
                "output_lag=0."
            )
        _check_names(self, y)
        numbers = as_numbers(as_targets(y, sequences, per_step=True).table)
        if numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the model predicts {self.n_outputs_}.")
        if np.isnan(numbers).all():
            raise ValueError("y is NaN everywhere: at least one target must be known.")
        return sequences, numbers

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², the mean over outputs; warm-up rows and missing targets are left out.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.

        Returns
        -------
        float
            At most 1; 0 is as good as the mean of y.
        """
        predicted, targets, weight = _scored(self, X, y, sample_weight)
        numbers = as_numbers(targets.table)
        scores = []
        for column in range(numbers.shape[1]):
            known = ~np.isnan(numbers[:, column]) & (weight > 0)
            scores.append(r2_score(numbers[known, column], predicted[known, column], sample_weight=weight[known]))
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@dataclass(kw_only=True, repr=False, eq=False)
class NumberTask(NumberEstimator, GradientEstimator):
    """Predicting numbers, trained by gradient.

    Parameters
    ----------
    loss : {"mse", "mae", "huber", "quantile", "gaussian"} or callable
        Averaged over what counts: targets that are known, after the warm-up. A callable is
        ``(output, target) -> loss``, elementwise.
    quantiles : sequence of float in (0, 1)
        For ``loss="quantile"`` and ``predict_quantiles``.
    """

    loss: Any = "mse"
    quantiles: Any = (0.1, 0.5, 0.9)

    def predict_quantiles(self, X: Any) -> Array | list[Array]:
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
        return predicted_quantiles(self, X)

    def _rules(self) -> dict[str, Rule]:
        """What ``loss`` must be."""
        return super()._rules() | {"loss": NUMBER_LOSS}

    def _alike(self, fitted: Any, now: Any) -> bool:
        return alike(fitted, now, self.quantiles)

    def _head(self) -> Head:
        return regression_head(self.loss, self.quantiles)

    def _encode(self, targets: Targets, first: bool) -> tuple[Array, Array | None]:
        numbers = as_numbers(targets.table)
        if not first and numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the fit so far was of {self.n_outputs_}.")
        return numbers, None


def alike(fitted: Any, now: Any, quantiles: Any) -> bool:
    """Whether two losses of numbers say the same of a network's outputs."""
    one, other = (regression_head(loss, quantiles) for loss in (fitted, now))
    return one.outputs == other.outputs and one.knows == other.knows


def predicted_quantiles(estimator: SequenceEstimator, X: Any) -> Any:
    """The quantiles at every step, in the container of X, with a last axis of the quantiles."""
    sequences, predictor = estimator.read(X), estimator.predictor_
    targets = predictor.codec.targets
    if "quantiles" not in targets.head.knows:
        loss = getattr(estimator, "loss", "mse")
        raise ValueError(f"loss={loss!r} knows no quantiles: fit with loss='quantile' or loss='gaussian'.")
    values = targets.quantiles(predictor.run(sequences).output)  # (rows, targets, quantiles)
    values = values[:, 0] if predictor.flat else values
    return sequences.restore(values) if predictor.per_step else values


@dataclass(kw_only=True, repr=False, eq=False)
class ClassTask(ClassifierMixin, GradientEstimator):
    """Predicting classes, trained by gradient.

    Parameters
    ----------
    loss : "cross_entropy" or callable
        A callable is ``(output, target) -> loss`` of outputs (batch, time, classes) and class numbers
        (batch, time, 1).
    class_weight : None, "balanced" or dict
        What each class counts in the loss, as in scikit-learn.

    Attributes
    ----------
    classes_ : array, shape (classes,)
    """

    loss: Any = "cross_entropy"
    class_weight: Any = None

    def partial_fit(  # type: ignore[override]  # scikit-learn's order: classes come third
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one more epoch on new data.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.
        classes : array, optional
            All classes that will ever come; needed in the first call unless y holds them all.

        Returns
        -------
        self
        """
        announced = None if classes is None else np.unique(np.asarray(classes))
        if "network_" not in vars(self):
            self._announced = announced
        elif announced is not None and not np.array_equal(announced, self.classes_):
            raise ValueError(f"classes is {announced!r}, but the first call was of {self.classes_!r}.")
        try:
            return super().partial_fit(X, y, sample_weight)
        finally:
            self.__dict__.pop("_announced", None)

    def predict_proba(self, X: Any) -> Any:
        """The probability of every class, at every step or for every sequence.

        Parameters
        ----------
        X : array, list of arrays, or DataFrame
            As in ``predict``.

        Returns
        -------
        array
            Shaped as the prediction, with a last axis of the classes, in the order of ``classes_``.
        """
        return self._of_classes(X, "probabilities")

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithm of the probability of every class, exact also where that is too small for a number.

        Parameters
        ----------
        X : array, list of arrays, or DataFrame
            As in ``predict``.

        Returns
        -------
        array
            Shaped as the prediction, with a last axis of the classes, in the order of ``classes_``.
        """
        return self._of_classes(X, "log_probabilities")

    def _of_classes(self, X: Any, what: str) -> Any:
        sequences, predictor = self.read(X), self.predictor_
        values = getattr(predictor.codec.targets, what)(predictor.run(sequences).output)
        return sequences.restore(values) if self._per_step else values

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; warm-up rows and missing targets are left out.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.

        Returns
        -------
        float
            Between 0 and 1.
        """
        predicted, targets, weight = _scored(self, X, y, sample_weight)
        labels = targets.table[:, 0]
        known = ~is_missing(labels) & (weight > 0)
        return float(accuracy_score(labels[known], predicted[known, 0], sample_weight=weight[known]))

    def _rules(self) -> dict[str, Rule]:
        """What ``loss`` and ``class_weight`` must be."""
        weights = optional(either(one_of("balanced"), instance_of(dict, "a dict from classes to weights")))
        return super()._rules() | {"loss": loss_of("cross_entropy"), "class_weight": weights}

    def _alike(self, fitted: Any, now: Any) -> bool:
        return True  # always one output a class

    def _head(self) -> Head:
        count = len(self.classes_)
        return Custom(self.loss, count) if callable(self.loss) else CrossEntropy(count)

    def _target_codec(self) -> ClassTargets:
        return ClassTargets(self.classes_, self._head())

    @property
    def _scales_targets(self) -> bool:
        return False

    def _encode(self, targets: Targets, first: bool) -> tuple[Array, Array | None]:
        labels = as_labels(targets.table)
        known = ~is_missing(labels)
        if not known.any():
            raise ValueError("y is NaN everywhere: at least one target must be known.")
        check_classification_targets(labels[known])
        if first:
            self.classes_ = self._all_classes(np.unique(labels[known]))
        numbers = self._target_codec().encode(targets.table)
        return numbers, self._counts(labels, known, numbers)

    def _kinds(self, numbers: Array) -> Array:
        return np.nan_to_num(numbers[:, 0], nan=-1.0)

    def _all_classes(self, found: Array) -> Array:
        """The classes of a first fit: those found in y, or those announced to ``partial_fit``."""
        announced = vars(self).get("_announced")
        classes: Array = found if announced is None else announced
        if len(classes) < 2:
            raise ValueError(f"{type(self).__name__} needs two classes or more, but y holds one class: {found[0]!r}.")
        return classes

    def _read_targets(self, y: Any, sequences: Sequences) -> Targets:
        if y is not None and sequences.container in ("array", "frame") and rank(y) == 2:
            values = np.asarray(y)
            if values.shape[1] == 1:
                column = column_or_1d(values, warn=True)
                y = y.iloc[:, 0] if isinstance(y, pd.DataFrame) else column
        return super()._read_targets(y, sequences)

    def _counts(self, labels: Array, known: Array, numbers: Array) -> Array | None:
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, dict):
            _check_weights(self.class_weight, self.classes_)
        present = np.unique(labels[known])
        by_class = np.ones(len(self.classes_))
        by_class[np.searchsorted(self.classes_, present)] = compute_class_weight(
            self.class_weight if not isinstance(self.class_weight, dict) else _present(self.class_weight, present),
            classes=present,
            y=labels[known],
        )
        weight: Array = np.where(known, by_class[np.nan_to_num(numbers[:, 0]).astype(np.int64)], 1.0)
        return weight

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = True
        return tags


def _check_names(estimator: SequenceEstimator, y: Any) -> None:
    """Raise if a frame names other targets than the fit, or the same in another order."""
    fitted = getattr(estimator, "target_names_", None)
    if isinstance(y, pd.DataFrame) and fitted is not None and list(map(str, y.columns)) != list(map(str, fitted)):
        raise ValueError(
            f"The columns of y are {list(y.columns)}, those of the fit were {list(fitted)}, in this order."
        )


def _scored(estimator: SequenceEstimator, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Targets, Array]:
    """Predictions (rows, targets), the targets beside them, and weights that are 0 where nothing is scored."""
    sequences, predictor = estimator.read(X), estimator.predictor_
    _check_names(estimator, y)
    targets = as_targets(y, sequences, predictor.per_step)
    predicted = predictor.predicted(predictor.run(targets.sequences).output)
    if targets.table.shape[1] != predicted.shape[1]:
        raise ValueError(f"y has {targets.table.shape[1]} outputs, but the model predicts {predicted.shape[1]}.")
    weight = as_weights(sample_weight, targets.sequences)
    weight = np.ones(len(targets.sequences.rows)) if weight is None else weight
    known = ~is_missing(targets.table).all(axis=1)
    if not predictor.per_step:
        return predicted, targets, _left(weight[sequences.starts], known)
    lengths = targets.sequences.lengths
    heard = targets.sequences.steps >= np.repeat(predictor.warmup_steps(lengths), lengths)
    return predicted, targets, _left(weight * heard, known)


def _left(weight: Array, known: Any) -> Array:
    """The weights, if anything is left to score."""
    if not (weight[known] > 0).any():
        raise ValueError("No target is left to score: y is NaN everywhere, has no weight, or lies in the warm-up.")
    return weight


def _check_weights(weights: dict[Any, float], classes: Array) -> None:
    """Raise if a weight is of no class, or no weight."""
    known = classes.tolist()
    unknown = [label for label in weights if label not in known]
    if unknown:
        raise ValueError(f"class_weight names {unknown[0]!r}, which is no class: classes_ is {known}.")
    for label, weight in weights.items():
        if not (isinstance(weight, Real) and math.isfinite(weight) and weight >= 0):
            raise ValueError(f"class_weight[{label!r}] is {weight!r}, expected a number of at least 0.")


def _present(weights: dict[Any, float], present: Array) -> dict[Any, float]:
    """The weights of the classes that are there; scikit-learn warns about the others."""
    return {label: weight for label, weight in weights.items() if label in present}

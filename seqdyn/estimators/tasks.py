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
from torch.nn.utils.rnn import pad_sequence

from seqdyn.codecs import ClassTargets, NumberTargets
from seqdyn.data.sequences import Sequences, rank
from seqdyn.data.targets import (
    Targets,
    as_labels,
    as_targets,
    check_no_infinity,
    missing_targets,
    target_names,
    target_numbers,
    target_rows,
)
from seqdyn.estimators.gradient import GradientEstimator
from seqdyn.estimators.parameters import Rule, either, instance_of, loss_of, one_of, optional
from seqdyn.estimators.scored import Predict, StartOf, check_target_names, scored
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.starts import estimated, is_estimate
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

    def predict(self, X: Any, *, y: Any = None, initial_state: Any = None, return_state: bool = False) -> Any:
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
        if y is None and not is_estimate(initial_state):
            return super().predict(X, initial_state=initial_state, return_state=return_state)
        if y is None or not is_estimate(initial_state):
            raise ValueError(
                f"y={'None' if y is None else 'given'} and initial_state={initial_state!r}: measured targets tell the "
                "start, give y and initial_state='estimate' together."
            )
        sequences, numbers = self._measured(X, y)
        return self._predicted(sequences, self._estimated(sequences, numbers)[0], return_state)

    def _estimated(self, sequences: Sequences, numbers: Array) -> tuple[State, Array]:
        """The start of every record from its first rows, and how many these are."""
        return estimated(self.predictor_, sequences, numbers, self._best_start)

    def estimate_state(self, X: Any, y: Any) -> State:
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
        return self._best_start(*self._measured(X, y))

    def _best_start(self, sequences: Sequences, numbers: Array) -> State:
        """The states whose free runs fit some records best; shorter ones count nothing where they are over."""
        predictor = self.predictor_
        rows = predictor.rows(sequences, numbers)
        known = torch.ones_like(rows.y) if rows.weight is None else rows.weight
        lengths = sequences.lengths.tolist()
        x, wanted, weight = (
            map_leaves(lambda leaf: pad_sequence(leaf.split(lengths), batch_first=True), tree)
            for tree in (rows.x, rows.y, known)
        )
        return estimate_state(predictor.causal("estimate_state"), x, wanted, weight, self._head().point)

    def _beside(self, sequences: Sequences, y: Any, reset: bool) -> tuple[Sequences, Array]:
        """The sequences, held if y is longer, and the numbers beside their steps; widths are remembered or checked."""
        targets = self._read_targets(y, sequences)
        sequences = targets.sequences
        check_no_infinity(targets.table, sequences, self._per_step)
        numbers = target_rows(target_numbers(targets.table), sequences, self._per_step)
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
        self._check_per_step()
        check_target_names(self, y)
        numbers = target_numbers(as_targets(y, sequences, per_step=True).table)
        if numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the model predicts {self.n_outputs_}.")
        if np.isnan(numbers).all():
            raise ValueError("y is NaN everywhere: at least one target must be known.")
        return sequences, numbers

    def _check_per_step(self) -> None:
        if not self._per_step or self._lag:
            raise ValueError(
                "Every output is compared with a target of the same step here: that needs return_sequences=True and "
                "output_lag=0."
            )

    def score(self, X: Any, y: Any, sample_weight: Any = None, initial_state: Any = None) -> float:
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
        return self._r2(X, y, sample_weight, initial_state)

    def _r2(self, X: Any, y: Any, sample_weight: Any, start: Any, predict: Predict | None = None) -> float:
        """R² of the run, or of what is predicted in its place."""
        if is_estimate(start):
            self._check_per_step()
        predicted, targets, weight = scored(self, X, y, sample_weight, self._start_of(start), predict)
        numbers = target_numbers(targets.table)
        scores = []
        for column in range(numbers.shape[1]):
            known = ~np.isnan(numbers[:, column]) & (weight > 0)
            scores.append(r2_score(numbers[known, column], predicted[known, column], sample_weight=weight[known]))
        return float(np.mean(scores))

    def _start_of(self, start: Any) -> StartOf:
        """How the records of a score start."""

        def found(sequences: Sequences, table: Array, weight: Array) -> tuple[State | None, Array]:
            if is_estimate(start):
                return self._estimated(sequences, counted(table, weight))
            return self._given(start, sequences), np.zeros(len(sequences.lengths), dtype=np.int64)

        return found

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
        numbers = target_numbers(targets.table)
        if not first and numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the fit so far was of {self.n_outputs_}.")
        return numbers, None


def counted(table: Array, weight: Array) -> Array:
    """The numbers among targets (rows, targets) that have a weight, NaN elsewhere."""
    return np.where(weight[:, None] > 0, target_numbers(table), np.nan)


def alike(fitted: Any, now: Any, quantiles: Any) -> bool:
    """Whether two losses of numbers say the same of a network's outputs."""
    one, other = (regression_head(loss, quantiles) for loss in (fitted, now))
    return one.outputs == other.outputs and one.provides == other.provides


def predicted_quantiles(estimator: SequenceEstimator, X: Any) -> Any:
    """The quantiles at every step, in the container of X, with a last axis of the quantiles."""
    sequences, predictor = estimator.read(X), estimator.predictor_
    targets = predictor.codec.targets
    if "quantiles" not in targets.head.provides:
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
        predicted, targets, weight = scored(self, X, y, sample_weight)
        labels = targets.table[:, 0]
        known = ~missing_targets(labels) & (weight > 0)
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
        known = ~missing_targets(labels)
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

"""The two tasks, as values: predicting numbers, and predicting classes.

A task says what the outputs of a network mean (its head), how targets become numbers and outputs predictions (its
codec), and what every target counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from seqdyn.arrays import Array
from seqdyn.codecs import ClassTargets, NumberTargets
from seqdyn.data.scaling import Scaling
from seqdyn.data.targets import as_labels, missing_targets, target_numbers
from seqdyn.training.heads import CrossEntropy, Custom, Head, check_quantiles, regression_head


class EncodedTargets(NamedTuple):
    """Targets as ``numbers`` (rows, targets), NaN where one is missing; what every row ``counts`` by its value (None:
    all the same); and the kind of every row, of which a part that is held out takes its share."""

    numbers: Array
    counts: Array | None
    kinds: Array


@dataclass(frozen=True)
class NumberTask:
    """Predicting numbers.

    Parameters
    ----------
    loss : {"mse", "mae", "huber", "quantile", "gaussian"} or callable
        Averaged over what counts: targets that are known, after the warm-up. A callable is
        ``(output, target) -> loss``, elementwise.
    quantiles : sequence of float in (0, 1)
        For ``loss="quantile"`` and ``predict_quantiles``.
    """

    scales: ClassVar[bool] = True
    """Whether targets have a unit that can be scaled away."""

    loss: Any = "mse"
    quantiles: Any = (0.1, 0.5, 0.9)

    @property
    def head(self) -> Head:
        """What the outputs of a network mean."""
        return regression_head(self.loss, self.quantiles)

    def codec(self, scaling: Scaling) -> NumberTargets:
        """From outputs to predictions and back."""
        return NumberTargets(scaling, self.head, check_quantiles(self.quantiles))

    def encode(self, table: Array) -> EncodedTargets:
        """Targets (rows, targets) as numbers, all of one kind."""
        numbers = target_numbers(table)
        return EncodedTargets(numbers, None, np.zeros(len(numbers)))

    def alike(self, fitted: Any, now: Any) -> bool:
        """Whether two losses say the same of a network's outputs."""
        one, other = (regression_head(loss, self.quantiles) for loss in (fitted, now))
        return one.outputs == other.outputs and one.provides == other.provides


@dataclass(frozen=True)
class ClassTask:
    """Predicting classes.

    Parameters
    ----------
    loss : "cross_entropy" or callable
        A callable is ``(output, target) -> loss`` of outputs (batch, time, classes) and class numbers
        (batch, time, 1).
    class_weight : None, "balanced" or dict
        What each class counts in the loss, as in scikit-learn.
    classes : array, shape (classes,)
        All there are, in order; None before a fit.
    """

    scales: ClassVar[bool] = False
    """Whether targets have a unit that can be scaled away."""

    loss: Any = "cross_entropy"
    class_weight: Any = None
    classes: Any = None

    @property
    def head(self) -> Head:
        """What the outputs of a network mean."""
        count = len(self.classes)
        return Custom(self.loss, count) if callable(self.loss) else CrossEntropy(count)

    def codec(self, scaling: Scaling) -> ClassTargets:
        """From outputs to predictions and back."""
        return ClassTargets(self.classes, self.head)

    def learnt(self, table: Array, announced: Array | None, name: str) -> ClassTask:
        """The task with its classes: those found among targets, or those that were announced."""
        found = np.unique(_known_labels(table))
        classes = found if announced is None else announced
        if len(classes) < 2:
            given = "y holds" if announced is None else "classes names"
            raise ValueError(f"{name} needs two classes or more, but {given} one class: {classes.tolist()[0]!r}.")
        return replace(self, classes=classes)

    def encode(self, table: Array) -> EncodedTargets:
        """Targets (rows, targets) as class numbers; a class is a kind."""
        labels = _known_labels(table)
        numbers = self.codec(Scaling.identity(1)).encode(table)
        return EncodedTargets(numbers, self._counts(labels, numbers), np.nan_to_num(numbers[:, 0], nan=-1.0))

    def _counts(self, known: Array, numbers: Array) -> Array | None:
        """What every target counts by its class, 1 where one is missing."""
        given = self.class_weight
        if given is None:
            return None
        if isinstance(given, Mapping):
            _check_weights(given, self.classes)
        present = np.unique(known)
        weights = {label: given[label] for label in given if label in present} if isinstance(given, Mapping) else given
        by_class = np.ones(len(self.classes))
        by_class[np.searchsorted(self.classes, present)] = compute_class_weight(weights, classes=present, y=known)
        column: Array = numbers[:, 0]
        return np.where(np.isnan(column), 1.0, by_class[np.nan_to_num(column).astype(np.int64)])

    def alike(self, fitted: Any, now: Any) -> bool:
        """Whether two losses say the same of a network's outputs: there always is one output a class."""
        return True


def _known_labels(table: Array) -> Array:
    """The labels that are there, if they can be classes."""
    labels = as_labels(table)
    known: Array = labels[~missing_targets(labels)]
    if not len(known):
        raise ValueError("y is NaN everywhere: at least one target must be known.")
    check_classification_targets(known)
    return known


def _check_weights(weights: Mapping[Any, float], classes: Array) -> None:
    """Raise if a weight is of no class, or no weight."""
    known = classes.tolist()
    unknown = [label for label in weights if label not in known]
    if unknown:
        raise ValueError(f"class_weight names {unknown[0]!r}, which is no class: classes_ is {known}.")
    for label, weight in weights.items():
        if not (isinstance(weight, Real) and math.isfinite(weight) and weight >= 0):
            raise ValueError(f"class_weight[{label!r}] is {weight!r}, expected a number of at least 0.")

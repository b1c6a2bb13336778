"""The two tasks: predicting numbers, and predicting classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags, check_array, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from seqdyn.data.sequences import Sequences, rank
from seqdyn.data.targets import Targets, as_targets, as_weights
from seqdyn.estimators.gradient import GradientEstimator
from seqdyn.estimators.parameters import Rule, loss_of
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.state import State, map_leaves
from seqdyn.training.losses import POINTWISE, CrossEntropy, Loss, regression_loss
from seqdyn.training.state_estimation import estimate_state

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class NumberEstimator(RegressorMixin, SequenceEstimator):
    """Predicting numbers: what regressors share, however they are trained."""

    def _decoder(self) -> Callable[[Array], Array]:
        return self.target_scaling_.invert

    def _finish(self, values: Array) -> Any:
        return values

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
        cell = self._causal("estimate_state")
        if len(set(sequences.lengths.tolist())) > 1:
            raise ValueError(
                f"estimate_state needs records of one length, got {sequences.lengths.tolist()[:5]} … rows."
            )
        shape = (len(sequences.lengths), -1, numbers.shape[1])
        known = ~np.isnan(numbers)
        scaled = np.where(known, self.target_scaling_.apply(numbers), 0.0)
        rows = self._rows(sequences)
        return estimate_state(
            cell,
            map_leaves(lambda leaf: leaf.view(len(sequences.lengths), -1, *leaf.shape[1:]), rows.x),
            self._tensor(scaled).view(shape),
            self._tensor(known.astype(np.float64)).view(shape),
            self._point,
        )

    def _measured(self, X: Any, y: Any) -> tuple[Sequences, Array]:
        """Inputs, and the targets measured beside every one of them."""
        sequences = self._read(X)
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

    def _point(self, output: Tensor) -> Tensor:
        """From network outputs to the predicted targets, in network units."""
        return output

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
        sequences = self._read(X)
        loss = self._loss()
        if not hasattr(loss, "quantile"):
            raise ValueError(f"loss={self.loss!r} knows no quantiles: fit with loss='quantile' or loss='gaussian'.")
        output, _ = self._run(sequences, None, keep_state=False)
        spread = loss.quantile(output).cpu().numpy().astype(np.float64)  # (rows, targets, quantiles)
        values = spread * self.target_scaling_.scale[:, None] + self.target_scaling_.mean[:, None]
        values = values[:, 0] if self.flat_targets_ else values
        return sequences.restore(values) if self._per_step else values

    def _rules(self) -> dict[str, Rule]:
        """What ``loss`` must be."""
        return super()._rules() | {"loss": loss_of(*POINTWISE, "quantile", "gaussian")}

    def _alike(self, fitted: Any, now: Any) -> bool:
        return type(regression_loss(fitted, self.quantiles)) is type(regression_loss(now, self.quantiles))

    def _loss(self) -> Any:
        return regression_loss(self.loss, self.quantiles)

    def _point(self, output: Tensor) -> Tensor:
        point: Tensor = self._loss().point(output)
        return point

    def _decoder(self) -> Callable[[Array], Array]:
        loss, invert = self._loss(), self.target_scaling_.invert
        if loss.heads == 1:
            return invert
        return lambda output: invert(loss.point(torch.as_tensor(output)).numpy())

    def _encode(self, targets: Targets, first: bool) -> tuple[Array, Array | None]:
        numbers = as_numbers(targets.table)
        if not first and numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the fit so far was of {self.n_outputs_}.")
        return numbers, None


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
        if "network_" not in vars(self):
            self._announced = None if classes is None else np.unique(np.asarray(classes))
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
        sequences = self._read(X)
        output, _ = self._run(sequences, None, keep_state=False)
        values = self._decoder()(output.cpu().numpy())
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
        known = ~_missing(labels) & (weight > 0)
        return float(accuracy_score(labels[known], predicted[known, 0], sample_weight=weight[known]))

    def _rules(self) -> dict[str, Rule]:
        """What ``loss`` must be."""
        return super()._rules() | {"loss": loss_of("cross_entropy")}

    def _alike(self, fitted: Any, now: Any) -> bool:
        return True  # always one output a class

    def _loss(self) -> Any:
        if callable(self.loss):
            return _CallableClassLoss(self.loss, self._count())
        return CrossEntropy(self._count())

    def _count(self) -> int:
        return len(getattr(self, "classes_", ()))

    @property
    def _scales_targets(self) -> bool:
        return False

    def _decoder(self) -> Callable[[Array], Array]:
        return lambda output: softmax(output.astype(np.float64), axis=-1)

    def _finish(self, values: Array) -> Any:
        return np.asarray(self.classes_[values.argmax(-1)])[..., None]

    def _encode(self, targets: Targets, first: bool) -> tuple[Array, Array | None]:
        labels = self._labels(targets)
        known = ~_missing(labels)
        if not known.any():
            raise ValueError("y is NaN everywhere: at least one target must be known.")
        check_classification_targets(labels[known])
        found = np.unique(labels[known])
        if first:
            announced = getattr(self, "_announced", None)
            self.classes_ = found if announced is None else announced
            if len(self.classes_) < 2:
                raise ValueError(
                    f"{type(self).__name__} needs two classes or more, but y holds one class: {found[0]!r}."
                )
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds {unknown[:5]!r}, which the first fit did not know: classes_ is {self.classes_!r}."
            )
        self._loss_now = self._loss()
        numbers = np.full((len(labels), 1), np.nan)
        numbers[known, 0] = np.searchsorted(self.classes_, labels[known])
        return numbers, self._counts(labels, known, numbers)

    def _labels(self, targets: Targets) -> Array:
        if targets.table.shape[1] != 1:
            raise ValueError(
                f"y has {targets.table.shape[1]} columns; a classifier predicts one label: give one column."
            )
        return targets.table[:, 0]

    def _read_targets(self, y: Any, sequences: Sequences) -> Targets:
        if y is not None and sequences.container in ("array", "frame") and rank(y) == 2:
            y = np.asarray(y)
            y = column_or_1d(y, warn=True) if y.shape[1] == 1 else y
        return super()._read_targets(y, sequences)

    def _counts(self, labels: Array, known: Array, numbers: Array) -> Array | None:
        if self.class_weight is None:
            return None
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


class _CallableClassLoss(Loss):
    """A user's loss on class outputs; targets are class numbers, shape (batch, time, 1)."""

    def __init__(self, function: Any, classes: int):
        super().__init__(function)
        object.__setattr__(self, "classes", classes)

    @property
    def heads(self) -> int:
        return int(self.classes)  # type: ignore[attr-defined]


def as_numbers(table: Any) -> Array:
    """Targets as finite numbers or NaN."""
    numbers: Array = check_array(
        table, dtype=np.float64, ensure_all_finite="allow-nan", ensure_2d=True, input_name="y", ensure_min_samples=1
    )
    return numbers


def _check_names(estimator: SequenceEstimator, y: Any) -> None:
    """Raise if a frame names other targets than the fit, or the same in another order."""
    fitted = getattr(estimator, "target_names_", None)
    if isinstance(y, pd.DataFrame) and fitted is not None and list(map(str, y.columns)) != list(map(str, fitted)):
        raise ValueError(
            f"The columns of y are {list(y.columns)}, those of the fit were {list(fitted)}, in this order."
        )


def _scored(estimator: SequenceEstimator, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Targets, Array]:
    """Predictions (rows, targets), the targets beside them, and weights that are 0 where nothing is scored."""
    sequences = estimator._read(X)
    _check_names(estimator, y)
    targets = as_targets(y, sequences, estimator._per_step)
    output, _ = estimator._run(targets.sequences, None, keep_state=False)
    predicted = np.asarray(estimator._finish(estimator._decoder()(output.cpu().numpy())))
    if targets.table.shape[1] != predicted.shape[1]:
        raise ValueError(f"y has {targets.table.shape[1]} outputs, but the model predicts {predicted.shape[1]}.")
    weight = as_weights(sample_weight, targets.sequences)
    weight = np.ones(len(targets.sequences.rows)) if weight is None else weight
    known = ~_missing(targets.table).all(axis=1)
    if not estimator._per_step:
        return predicted, targets, _left(weight[sequences.starts], known)
    lengths = targets.sequences.lengths
    steps = np.arange(len(weight)) - np.repeat(targets.sequences.starts, lengths)
    heard = steps >= np.repeat(estimator._warmup_steps(lengths), lengths)
    return predicted, targets, _left(weight * heard, known)


def _left(weight: Array, known: Any) -> Array:
    """The weights, if anything is left to score."""
    if not (weight[known] > 0).any():
        raise ValueError("No target is left to score: y is NaN everywhere, has no weight, or lies in the warm-up.")
    return weight


def _missing(labels: Array) -> Array:
    missing: Array = pd.isna(labels)
    return missing


def _present(weights: dict[Any, float], present: Array) -> dict[Any, float]:
    """The weights of the classes that are there; scikit-learn warns about the others."""
    return {label: weight for label, weight in weights.items() if label in present}

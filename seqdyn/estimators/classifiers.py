"""Recurrent classifiers: any cell, and the named ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, overload

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, column_or_1d
from torch import nn

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lru import LRU
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.data.sequences import rank
from seqdyn.data.targets import missing_targets
from seqdyn.estimators.documented import documented
from seqdyn.estimators.layers import Layers
from seqdyn.estimators.learning import Learner, examples_of, fitted_so_far, prepare, run_session
from seqdyn.estimators.parameters import (
    Rule,
    check_parameters,
    check_unchanged,
    either,
    instance_of,
    loss_of,
    one_of,
    optional,
    unchanged_on_error,
)
from seqdyn.estimators.reading import read_inputs
from seqdyn.estimators.regressors import recurrent_learner
from seqdyn.estimators.scored import scored
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.tasks import ClassTask
from seqdyn.estimators.training import Clip, Training
from seqdyn.training.stopping import NonFiniteError
from seqdyn.typed_bases import ClassifierMixin

CLASS_RULES: dict[str, Rule] = {
    "loss": loss_of("cross_entropy"),
    "class_weight": optional(either(one_of("balanced"), instance_of(dict, "a dict from classes to weights"))),
}


@documented(Layers, Training, ClassTask)
@dataclass(kw_only=True, repr=False, eq=False)
class RecurrentClassifier(ClassifierMixin, SequenceEstimator):
    """A classifier around any recurrence: the probability of every class at every step, or for every sequence.

    Attributes
    ----------
    classes_ : array, shape (classes,)
        All there are, in order.
    cell_ : Cell
        The trained network, in network units.
    state_ : State
        After the last row of the training data, with the final weights; one row a series.
    history_ : DataFrame
        One row an epoch of the last call: epoch, loss (with the weighted Ω, which stands alone in omega),
        validation_loss, gradient_norm (before clipping), clip_coefficient, learning_rate, seconds; clip_fraction, the
        share of steps whose gradient was longer than the limit; steps_reached, the share of the steps of a sequence
        whose state receives a gradient of 1e-10 or more (in the last epoch of ``fit``, and after 1,000, 4,000, … steps;
        NaN between), and for every parameter of the network gradient_norm/… (before clipping, the mean over steps) and
        update_ratio/…, ‖Δθ‖/‖θ‖ of the first step, NaN where θ = 0.
        ``history_.attrs["non_finite"]`` lists where the training met a loss, gradient or weight that is not finite, as
        dicts of epoch, batch and parameters.
    forgetting_time_ : float
        Steps until two initial states agree to 1 % on the training data.

    Examples
    --------
    The sign of the running sum, at every step:

    >>> import numpy as np
    >>> from seqdyn import GRU, RecurrentClassifier
    >>> X = np.random.default_rng(0).normal(size=(40, 20, 1))
    >>> y = X.cumsum(axis=1)[:, :, 0] > 0
    >>> model = RecurrentClassifier(cell=GRU, hidden_size=8, max_epochs=40, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    options: ClassVar[tuple[str, ...]] = ()
    """Parameters that the class of the cell is called with."""

    cell: Any = Layers.cell
    hidden_size: Any = Layers.hidden_size
    num_layers: int = Layers.num_layers
    residual: bool = Layers.residual
    bidirectional: Any = Layers.bidirectional
    dropout: float = Layers.dropout
    skip: bool = Layers.skip
    linear_start: Any = Layers.linear_start
    return_sequences: bool = Training.return_sequences
    initial_state: Any = Training.initial_state
    warmup: int | None = Training.warmup
    output_lag: int = Training.output_lag
    window: int | None = Training.window
    stride: int = Training.stride
    bptt_length: int | None = Training.bptt_length
    streams: int = Training.streams
    omega: float = Training.omega
    initialise: Any = Training.initialise
    batch_size: int = Training.batch_size
    scale: bool = Training.scale
    warm_start: bool = Training.warm_start
    autoregression: Autoregression | None = Training.autoregression
    optimizer: str = Training.optimizer
    learning_rate: float = Training.learning_rate
    schedule: Any = Training.schedule
    weight_decay: float = Training.weight_decay
    clip_norm: Clip = Training.clip_norm
    clip_quantile: float | None = Training.clip_quantile
    weight_average: float = Training.weight_average
    max_epochs: int | None = Training.max_epochs
    max_steps: int | None = Training.max_steps
    max_time: float | None = Training.max_time
    early_stopping: bool = Training.early_stopping
    validation_fraction: float = Training.validation_fraction
    n_iter_no_change: int = Training.n_iter_no_change
    tol: float = Training.tol
    device: Any = Training.device
    dtype: str = Training.dtype
    random_state: Any = Training.random_state
    verbose: int | bool = Training.verbose
    callback: Any = Training.callback
    checkpoint: Any = Training.checkpoint
    checkpoint_every: float = Training.checkpoint_every
    loss: Any = ClassTask.loss
    class_weight: Any = ClassTask.class_weight

    # ---------------------------------------------------------------- the parts

    @property
    def task(self) -> ClassTask:
        """What the outputs of the network mean."""
        return ClassTask(self.loss, self.class_weight, vars(self).get("classes_"))

    def _learner(self, task: ClassTask) -> Learner:
        options = {name: getattr(self, name) for name in self.options}
        return recurrent_learner(self, task, self.cell, options)

    def _untrained(self) -> nn.Module:
        return self._learner(self.task).network(self.n_features_in_, self.n_outputs_, self.task.head, torch.Generator())

    def _shown_facts(self) -> dict[str, object]:
        facts = super()._shown_facts()
        return ({"classes": len(self.classes_)} if facts else {}) | facts

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on sequences.

        Parameters
        ----------
        X : array (time, features) or (series, time, features), list of arrays, or DataFrame
            One sequence, many of one length, many of unlike lengths, or one with labels. Finite.
        y : array, Series, DataFrame, or list of arrays
            Classes beside X, one a step or one a sequence; NaN marks a missing one.
        sample_weight : array, optional
            What every step, or every sequence, counts in the loss.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If parameters or data do not fit; the message says where.
        NonFiniteError
            If loss or gradient explode; it has the ``epoch``, the ``batch`` and the ``parameters``, and the estimator
            keeps the last good weights and the history up to there.

        Warns
        -----
        ConvergenceWarning
            If a budget was spent while the loss still fell; the message says which, and what to set.
        """
        fresh = not (self.warm_start and self.__sklearn_is_fitted__())
        return self._learn(X, y, sample_weight, None, fresh, whole=True)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch on new data, at a constant rate; scaling and optimizer go on from the last call.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`; after a first call one row is enough.
        classes : array, optional
            All classes that will ever come; needed in the first call unless y holds them all.

        Returns
        -------
        self
        """
        announced, fresh = None if classes is None else np.unique(np.asarray(classes)), not self.__sklearn_is_fitted__()
        if not fresh and announced is not None and not np.array_equal(announced, self.classes_):
            raise ValueError(f"classes is {announced!r}, but the first call was of {self.classes_!r}.")
        return self._learn(X, y, sample_weight, announced, fresh, whole=False)

    def _learn(self, X: Any, y: Any, sample_weight: Any, announced: Array | None, fresh: bool, whole: bool) -> Self:
        """A whole training, or one more epoch."""
        check_parameters(self, CLASS_RULES)
        with unchanged_on_error(self, but=NonFiniteError):
            if fresh:
                self.fitted_params_ = self.get_params(deep=False)
            else:
                check_unchanged(self, self.task.alike)
            sequences = read_inputs(self, X, fresh, self.alignment.missing)
            targets = self.targets_beside(sequences, one_column(y, sequences.container), self.return_sequences)
            task = self.task.learnt(targets.table, announced, type(self).__name__) if fresh else self.task
            self.classes_ = task.classes
            examples = examples_of(self, sequences, targets, y, sample_weight)
            run_session(self, prepare(self._learner(task), examples, None if fresh else fitted_so_far(self), whole))
        return self

    # ---------------------------------------------------------------- predicting

    @overload
    def predict_proba(self, X: Array) -> Array: ...
    @overload
    def predict_proba(self, X: Any) -> Any: ...
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

    @overload
    def predict_log_proba(self, X: Array) -> Array: ...
    @overload
    def predict_log_proba(self, X: Any) -> Any: ...
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
        return sequences.restore(values) if predictor.per_step else values

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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = True
        return tags


def one_column(y: Any, container: str) -> Any:
    """Labels as they are read: a table of one column is that column, with scikit-learn's warning."""
    if y is None or container not in ("array", "frame") or rank(y) != 2 or np.asarray(y).shape[1] != 1:
        return y
    column = column_or_1d(np.asarray(y), warn=True)
    return y.iloc[:, 0] if isinstance(y, pd.DataFrame) else column


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class ElmanClassifier(RecurrentClassifier):
    """A classifier of Elman layers: h_t = σ_h(W x_t + U h_{t-1} + b), P(y_t) = softmax(W_y h_t + b_y).

    Parameters
    ----------
    activation : {"tanh", "relu", "sigmoid"}
        σ_h.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ElmanClassifier
    >>> X = np.array([[0.0], [1.0]] * 20)
    >>> ElmanClassifier(hidden_size=4, max_epochs=50, random_state=0).fit(X, X[:, 0] > 0).predict(X[:4])
    array([False,  True, False,  True])
    """

    options: ClassVar[tuple[str, ...]] = ("activation",)

    cell: Any = field(default=Elman, init=False)
    activation: str = "tanh"


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class LSTMClassifier(RecurrentClassifier):
    """A classifier of LSTM layers, see :class:`~seqdyn.cells.lstm.LSTM` for the equations.

    Parameters
    ----------
    peepholes : bool
        Let the gates see the memory c.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import LSTMClassifier
    >>> X = np.random.default_rng(0).normal(size=(60, 8, 1))
    >>> y = np.where(X[:, 0, 0] > 0, "up", "down")
    >>> model = LSTMClassifier(return_sequences=False, hidden_size=8, max_epochs=60, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    options: ClassVar[tuple[str, ...]] = ("peepholes",)

    cell: Any = field(default=LSTM, init=False)
    peepholes: bool = False


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class GRUClassifier(RecurrentClassifier):
    """A classifier of GRU layers, see :class:`~seqdyn.cells.gru.GRU` for the equations.

    Parameters
    ----------
    reset_gate : {"after", "before"}
        Whether the reset acts after or before the recurrent product.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import GRUClassifier
    >>> X = np.array([[0.0], [1.0]] * 20)
    >>> GRUClassifier(hidden_size=4, max_epochs=50, random_state=0).fit(X, X[:, 0] > 0).predict_proba(X).shape
    (40, 2)
    """

    options: ClassVar[tuple[str, ...]] = ("reset_gate",)

    cell: Any = field(default=GRU, init=False)
    reset_gate: str = "after"


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class MinGRUClassifier(RecurrentClassifier):
    """A classifier of minimal GRU layers, parallel in time, see :class:`~seqdyn.cells.min_gru.MinGRU`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import MinGRUClassifier
    >>> X = np.array([[0.0], [1.0]] * 20)
    >>> MinGRUClassifier(hidden_size=4, max_epochs=50, random_state=0).fit(X, X[:, 0] > 0).predict(X[:4])
    array([False,  True, False,  True])
    """

    cell: Any = field(default=MinGRU, init=False)


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class MinLSTMClassifier(RecurrentClassifier):
    """A classifier of minimal LSTM layers, parallel in time, see :class:`~seqdyn.cells.min_lstm.MinLSTM`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import MinLSTMClassifier
    >>> X = np.array([[0.0], [1.0]] * 20)
    >>> MinLSTMClassifier(hidden_size=4, max_epochs=50, random_state=0).fit(X, X[:, 0] > 0).predict(X[:4])
    array([False,  True, False,  True])
    """

    cell: Any = field(default=MinLSTM, init=False)


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class LRUClassifier(RecurrentClassifier):
    """A classifier of linear recurrent units, parallel in time, see :class:`~seqdyn.cells.lru.LRU` for the equations.

    Parameters
    ----------
    output_activation : {"identity", "tanh", "relu", "sigmoid", "softmax"}
        σ_y, the only nonlinearity of a layer; with the identity the scores are linear in the inputs.
    r_min, r_max : float in [0, 1]
        The radii between which the λ start: near 1, memory is long.
    max_phase : float in (0, 2π]
        The largest angle at which they start.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import LRUClassifier
    >>> X = np.array([[0.0], [1.0]] * 20)
    >>> LRUClassifier(hidden_size=4, max_epochs=50, random_state=0).fit(X, X[:, 0] > 0).predict_proba(X).shape
    (40, 2)
    """

    options: ClassVar[tuple[str, ...]] = ("output_activation", "r_min", "r_max", "max_phase")

    cell: Any = field(default=LRU, init=False)
    output_activation: str = "relu"
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2 * math.pi

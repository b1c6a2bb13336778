"""Recurrent regressors: any cell, and the named ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lru import LRU
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.estimators.documented import documented
from seqdyn.estimators.layers import Layers
from seqdyn.estimators.learning import Learner, examples_of, fitted_so_far, prepare, run_session
from seqdyn.estimators.numbers import estimate_start, predict_numbers, predict_quantiles, score_r2
from seqdyn.estimators.parameters import NUMBER_LOSS, check_parameters, check_unchanged, unchanged_on_error
from seqdyn.estimators.reading import read_inputs
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.tasks import ClassTask, NumberTask
from seqdyn.estimators.training import Clip, Training
from seqdyn.training.batches import Rows
from seqdyn.training.stopping import NonFiniteError
from seqdyn.typed_bases import RegressorMixin


def recurrent_learner(estimator: Any, task: NumberTask | ClassTask, cell: Any, options: Mapping[str, Any]) -> Learner:
    """Layers of a cell, whose class is called with ``options``, trained as the parameters of an estimator say."""
    given = estimator.get_params(deep=False)
    own = {field.name: given[field.name] for field in fields(Layers) if field.name in given}
    layers, training = Layers(**own | {"cell": cell, "options": options}), Training.of(given)

    build = partial(layers.network, strategy=training.strategy, per_step=training.return_sequences)

    def begin(network: nn.Module, rows: Rows) -> None:
        layers.start(network, rows, training.autoregression, task.head)

    own_start = None if layers.linear_start is None else begin
    name = type(estimator).__name__
    return Learner(name=name, training=training, task=task, build=build, parameters=given, begin=own_start)


@documented(Layers, Training, NumberTask)
@dataclass(kw_only=True, repr=False, eq=False)
class RecurrentRegressor(RegressorMixin, SequenceEstimator):
    """A regressor around any recurrence: y_t, h_t = f_θ(x_t, h_{t-1}) for a cell f of the library or your own.

    Attributes
    ----------
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
    >>> import numpy as np
    >>> from seqdyn import GRU, RecurrentRegressor
    >>> wave = np.sin(0.3 * np.arange(200))[:, None]
    >>> model = RecurrentRegressor(cell=GRU, hidden_size=8, max_epochs=60, random_state=0)
    >>> model.fit(wave[:-1], wave[1:]).score(wave[:-1], wave[1:]) > 0.9
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
    loss: Any = NumberTask.loss
    quantiles: Any = NumberTask.quantiles

    # ---------------------------------------------------------------- the parts

    @property
    def task(self) -> NumberTask:
        """What the outputs of the network mean."""
        return NumberTask(self.loss, self.quantiles)

    @property
    def _learner(self) -> Learner:
        options = {name: getattr(self, name) for name in self.options}
        return recurrent_learner(self, self.task, self.cell, options)

    def _untrained(self) -> nn.Module:
        return self._learner.network(self.n_features_in_, self.n_outputs_, self.task.head, torch.Generator())

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on sequences.

        Parameters
        ----------
        X : array (time, features) or (series, time, features), list of arrays, or DataFrame
            One sequence, many of one length, many of unlike lengths, or one with labels. Finite.
        y : array, Series, DataFrame, or list of arrays
            Targets beside X, one a step or one a sequence; NaN marks a missing one.
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
        return self._learn(X, y, sample_weight, not (self.warm_start and self.__sklearn_is_fitted__()), whole=True)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch on new data, at a constant rate; scaling and optimizer go on from the last call.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`; after a first call one row is enough.

        Returns
        -------
        self
        """
        return self._learn(X, y, sample_weight, not self.__sklearn_is_fitted__(), whole=False)

    def _learn(self, X: Any, y: Any, sample_weight: Any, fresh: bool, whole: bool) -> Self:
        """A whole training, or one more epoch."""
        check_parameters(self, {"loss": NUMBER_LOSS})
        with unchanged_on_error(self, but=NonFiniteError):
            learner = self._learner
            if fresh:
                self.fitted_params_ = dict(learner.parameters)
            else:
                check_unchanged(self, self.task.alike)
            sequences = read_inputs(self, X, fresh, learner.training.alignment.missing)
            targets = self.targets_beside(sequences, y, self.return_sequences)
            examples = examples_of(self, sequences, targets, y, sample_weight)
            run_session(self, prepare(learner, examples, None if fresh else fitted_so_far(self), whole))
        return self

    # ---------------------------------------------------------------- predicting

    predict = predict_numbers
    predict_quantiles = predict_quantiles
    estimate_state = estimate_start
    score = score_r2


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class ElmanRegressor(RecurrentRegressor):
    """A regressor of Elman layers: h_t = σ_h(W x_t + U h_{t-1} + b), y_t = W_y h_t + b_y.

    Parameters
    ----------
    activation : {"tanh", "relu", "sigmoid"}
        σ_h.

    References
    ----------
    Elman (1990), Finding structure in time.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ElmanRegressor
    >>> wave = np.sin(0.3 * np.arange(200))
    >>> model = ElmanRegressor(hidden_size=8, max_epochs=100, random_state=0).fit(wave[:-1, None], wave[1:])
    >>> model.predict(wave[:-1, None]).shape
    (199,)
    """

    options: ClassVar[tuple[str, ...]] = ("activation",)

    cell: Any = field(default=Elman, init=False)
    activation: str = "tanh"


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class LSTMRegressor(RecurrentRegressor):
    """A regressor of LSTM layers, see :class:`~seqdyn.cells.lstm.LSTM` for the equations.

    Parameters
    ----------
    peepholes : bool
        Let the gates see the memory c.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory.

    Examples
    --------
    Many sequences, one target each:

    >>> import numpy as np
    >>> from seqdyn import LSTMRegressor
    >>> X = np.random.default_rng(0).normal(size=(64, 10, 2))
    >>> y = X[:, :, 0].sum(axis=1)
    >>> model = LSTMRegressor(return_sequences=False, max_epochs=40, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (64,)
    """

    options: ClassVar[tuple[str, ...]] = ("peepholes",)

    cell: Any = field(default=LSTM, init=False)
    peepholes: bool = False


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class GRURegressor(RecurrentRegressor):
    """A regressor of GRU layers, see :class:`~seqdyn.cells.gru.GRU` for the equations.

    Parameters
    ----------
    reset_gate : {"after", "before"}
        Whether the reset acts after or before the recurrent product.

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder–decoder.

    Examples
    --------
    Sequences of unlike lengths:

    >>> import numpy as np
    >>> from seqdyn import GRURegressor
    >>> X = [np.ones((5, 1)), np.ones((8, 1))]
    >>> y = [part.cumsum() for part in X]
    >>> model = GRURegressor(hidden_size=4, max_epochs=5, random_state=0).fit(X, y)
    >>> [len(part) for part in model.predict(X)]
    [5, 8]
    """

    options: ClassVar[tuple[str, ...]] = ("reset_gate",)

    cell: Any = field(default=GRU, init=False)
    reset_gate: str = "after"


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class MinGRURegressor(RecurrentRegressor):
    """A regressor of minimal GRU layers, parallel in time, see :class:`~seqdyn.cells.min_gru.MinGRU`.

    Stack them: ``num_layers=2``, or more with ``residual=True``.

    References
    ----------
    Feng et al. (2024), Were RNNs all we needed?

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import MinGRURegressor
    >>> wave = np.sin(0.3 * np.arange(200))
    >>> model = MinGRURegressor(hidden_size=8, num_layers=2, max_epochs=50, random_state=0)
    >>> model = model.fit(wave[:-1, None], wave[1:])
    >>> model.predict(wave[:-1, None]).shape
    (199,)
    """

    cell: Any = field(default=MinGRU, init=False)


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class MinLSTMRegressor(RecurrentRegressor):
    """A regressor of minimal LSTM layers, parallel in time, see :class:`~seqdyn.cells.min_lstm.MinLSTM`.

    Stack them: ``num_layers=2``, or more with ``residual=True``.

    References
    ----------
    Feng et al. (2024), Were RNNs all we needed?

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import MinLSTMRegressor
    >>> X = np.random.default_rng(0).normal(size=(64, 10, 2))
    >>> y = X[:, :, 0].sum(axis=1)
    >>> model = MinLSTMRegressor(return_sequences=False, max_epochs=40, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (64,)
    """

    cell: Any = field(default=MinLSTM, init=False)


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class LRURegressor(RecurrentRegressor):
    """A regressor of linear recurrent units, parallel in time, see :class:`~seqdyn.cells.lru.LRU` for the equations.

    Parameters
    ----------
    output_activation : {"identity", "tanh", "relu", "sigmoid", "softmax"}
        σ_y, the only nonlinearity of a layer; with the identity the network is a linear model.
    r_min, r_max : float in [0, 1]
        The radii between which the λ start: near 1, memory is long.
    max_phase : float in (0, 2π]
        The largest angle at which they start.

    References
    ----------
    Orvieto et al. (2023), Resurrecting recurrent neural networks for long sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import LRURegressor
    >>> wave = np.sin(0.3 * np.arange(200))
    >>> model = LRURegressor(hidden_size=8, max_epochs=50, random_state=0).fit(wave[:-1, None], wave[1:])
    >>> model.predict(wave[:-1, None]).shape
    (199,)
    """

    options: ClassVar[tuple[str, ...]] = ("output_activation", "r_min", "r_max", "max_phase")

    cell: Any = field(default=LRU, init=False)
    output_activation: str = "relu"
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2 * math.pi

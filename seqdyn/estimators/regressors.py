"""Recurrent regressors: any cell, and the named ones."""

from __future__ import annotations

from dataclasses import dataclass

from seqdyn.estimators.layers import AnyLayers, ElmanLayers, GRULayers, LSTMLayers
from seqdyn.estimators.tasks import NumberTask


@dataclass(kw_only=True, repr=False, eq=False)
class RecurrentRegressor(AnyLayers, NumberTask):
    """A regressor around any recurrence: y_t, h_t = f_θ(x_t, h_{t-1}) for a cell f of the library or your own.

    Parameters
    ----------
    cell : callable or Cell
        A class called as ``cell(input_size, hidden_size)`` for every layer, or one built cell.
    hidden_size, num_layers, residual, bidirectional, dropout
        The layers, see :class:`~seqdyn.estimators.layers.Layered`.
    quantiles
        For ``loss="quantile"``, see :class:`~seqdyn.estimators.tasks.NumberTask`.
    return_sequences, initial_state, warmup, output_lag, window, stride, bptt_length, streams, loss, optimizer, \
learning_rate, schedule, weight_decay, clip_norm, clip_quantile, omega, initialise, \
max_epochs, max_steps, max_time, batch_size, early_stopping, \
validation_fraction, n_iter_no_change, tol, scale, warm_start, device, dtype, random_state, verbose
        The training, see :class:`~seqdyn.estimators.gradient.GradientEstimator`.

    Attributes
    ----------
    cell_, state_, history_, forgetting_time_
        See :class:`~seqdyn.estimators.gradient.GradientEstimator`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import GRU, RecurrentRegressor
    >>> wave = np.sin(0.3 * np.arange(200))[:, None]
    >>> model = RecurrentRegressor(cell=GRU, hidden_size=8, max_epochs=60, random_state=0)
    >>> model.fit(wave[:-1], wave[1:]).score(wave[:-1], wave[1:]) > 0.9
    True
    """


@dataclass(kw_only=True, repr=False, eq=False)
class ElmanRegressor(ElmanLayers, NumberTask):
    """A regressor of Elman layers: h_t = σ_h(W x_t + U h_{t-1} + b), y_t = W_y h_t + b_y.

    Parameters
    ----------
    activation : {"tanh", "relu", "sigmoid"}
        σ_h.
    **others
        As in :class:`RecurrentRegressor`, all but ``cell``.

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


@dataclass(kw_only=True, repr=False, eq=False)
class LSTMRegressor(LSTMLayers, NumberTask):
    """A regressor of LSTM layers, see :class:`~seqdyn.cells.lstm.LSTM` for the equations.

    Parameters
    ----------
    peepholes : bool
        Let the gates see the memory c.
    **others
        As in :class:`RecurrentRegressor`, all but ``cell``.

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


@dataclass(kw_only=True, repr=False, eq=False)
class GRURegressor(GRULayers, NumberTask):
    """A regressor of GRU layers, see :class:`~seqdyn.cells.gru.GRU` for the equations.

    Parameters
    ----------
    reset_gate : {"after", "before"}
        Whether the reset acts after or before the recurrent product.
    **others
        As in :class:`RecurrentRegressor`, all but ``cell``.

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

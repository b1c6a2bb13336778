"""Recurrent classifiers: any cell, and the named ones."""

from __future__ import annotations

from dataclasses import dataclass

from seqdyn.estimators.layers import AnyLayers, ElmanLayers, GRULayers, LSTMLayers
from seqdyn.estimators.tasks import ClassTask


@dataclass(kw_only=True, repr=False, eq=False)
class RecurrentClassifier(AnyLayers, ClassTask):
    """A classifier around any recurrence: the probability of every class at every step, or for every sequence.

    Parameters
    ----------
    cell : callable or Cell
        A class called as ``cell(input_size, hidden_size)`` for every layer, or one built cell.
    class_weight : None, "balanced" or dict
        What each class counts in the loss.
    **others
        As in :class:`~seqdyn.estimators.regressors.RecurrentRegressor`, all but ``quantiles``; ``loss`` is
        ``"cross_entropy"``, or a callable of outputs (…, classes) and class numbers (…, 1).

    Attributes
    ----------
    classes_ : array, shape (classes,)
    cell_, state_, history_, forgetting_time_
        See :class:`~seqdyn.estimators.gradient.GradientEstimator`.

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


@dataclass(kw_only=True, repr=False, eq=False)
class ElmanClassifier(ElmanLayers, ClassTask):
    """A classifier of Elman layers: h_t = σ_h(W x_t + U h_{t-1} + b), P(y_t) = softmax(W_y h_t + b_y).

    Parameters
    ----------
    activation : {"tanh", "relu", "sigmoid"}
        σ_h.
    **others
        As in :class:`RecurrentClassifier`, all but ``cell``.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ElmanClassifier
    >>> X = np.array([[0.0], [1.0]] * 20)
    >>> ElmanClassifier(hidden_size=4, max_epochs=50, random_state=0).fit(X, X[:, 0] > 0).predict(X[:4])
    array([False,  True, False,  True])
    """


@dataclass(kw_only=True, repr=False, eq=False)
class LSTMClassifier(LSTMLayers, ClassTask):
    """A classifier of LSTM layers, see :class:`~seqdyn.cells.lstm.LSTM` for the equations.

    Parameters
    ----------
    peepholes : bool
        Let the gates see the memory c.
    **others
        As in :class:`RecurrentClassifier`, all but ``cell``.

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


@dataclass(kw_only=True, repr=False, eq=False)
class GRUClassifier(GRULayers, ClassTask):
    """A classifier of GRU layers, see :class:`~seqdyn.cells.gru.GRU` for the equations.

    Parameters
    ----------
    reset_gate : {"after", "before"}
        Whether the reset acts after or before the recurrent product.
    **others
        As in :class:`RecurrentClassifier`, all but ``cell``.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import GRUClassifier
    >>> X = np.array([[0.0], [1.0]] * 20)
    >>> GRUClassifier(hidden_size=4, max_epochs=50, random_state=0).fit(X, X[:, 0] > 0).predict_proba(X).shape
    (40, 2)
    """

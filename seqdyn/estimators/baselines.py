"""Baselines: what a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils import Tags
from torch import nn

from seqdyn.cells.linear import Linear
from seqdyn.composition import Offset
from seqdyn.data.scaling import Scaling
from seqdyn.estimators.closed_form import ClosedFormEstimator, least_squares
from seqdyn.estimators.linear_model import LinearModel
from seqdyn.training.batches import Rows

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class PersistenceRegressor(ClosedFormEstimator):
    """Everything stays as it is: y_t = x_t, for inputs that hold the present value of the targets.

    In one-step-ahead forecasting X is the series and y the same series one step later.

    Parameters
    ----------
    columns : sequence of int or str, or None
        Which feature holds the present value of each target, by number or (of a frame) by name; None: the first ones.
    warmup : int or None
        Leading steps that carry no score.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import PersistenceRegressor
    >>> level = np.array([1.0, 2.0, 4.0, 8.0])
    >>> PersistenceRegressor().fit(level[:-1, None], level[1:]).predict(level[:-1, None])
    array([1., 2., 4.])
    """

    columns: Any = None

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        names = list(getattr(self, "feature_names_in_", ()))
        asked = list(range(outputs)) if self.columns is None else list(self.columns)
        columns = [names.index(column) if column in names else column for column in asked]
        if len(columns) != outputs or not all(column in range(inputs) for column in columns):
            raise ValueError(
                f"Every target needs the feature that holds its present value: y has {outputs} columns, X {inputs} "
                f"features, columns={self.columns!r}."
            )
        network = Linear(inputs, 0, outputs, torch.Generator())
        with torch.no_grad():
            network.feedthrough.zero_()[range(outputs), columns] = 1.0
        return network

    def _solve(self, rows: Rows, targets: Array, weight: Array) -> None:
        """Nothing to solve: both scalings become the identity, so that y_t = x_t in the units of the data."""
        self.input_scaling_ = Scaling.identity(self.n_features_in_)
        self.target_scaling_ = Scaling.identity(self.n_outputs_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


@dataclass(kw_only=True, repr=False, eq=False)
class ARXRegressor(LinearModel, ClosedFormEstimator):
    """Autoregression with inputs, by least squares: y_t = Σ_{i=1}^{p} a_i y_{t-i} + Σ_{j=0}^{q} b_j x_{t-j} + b.

    The fit minimises the *one-step* error; ``predict`` is the *free run*: past outputs are its own predictions. With
    ``predict(X, y=…, steps_ahead=k)`` the outputs up to t − k are the measured ones.

    Parameters
    ----------
    output_lags : int, at least 0
        p.
    input_lags : int, at least 0
        q.
    warmup : int or None
        Leading steps that carry no weight and no score.

    Attributes
    ----------
    cell_ : Offset
        The same equation as a state-space model; its state holds the p last outputs and q last inputs.
    feedthrough_, readout_, input_map_, transition_, output_offset_, state_offset_, system_, block_matrix_
        The model, see :class:`~seqdyn.estimators.linear_model.LinearModel`.

    References
    ----------
    Ljung (1999), System Identification, section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ARXRegressor
    >>> x = np.random.default_rng(0).normal(size=(200, 1))
    >>> y = np.zeros(200)
    >>> for t in range(1, 200):
    ...     y[t] = 0.9 * y[t - 1] + x[t, 0]
    >>> model = ARXRegressor(output_lags=1, input_lags=0, warmup=1).fit(x, y)
    >>> float(round(model.score(x, y), 3))
    1.0
    """

    output_lags: int = 2
    input_lags: int = 2

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        hidden = outputs * self.output_lags + inputs * self.input_lags
        return Offset(Linear(inputs + 1, hidden, outputs, torch.Generator()))

    def _solve(self, rows: Rows, targets: Array, weight: Array) -> None:
        p, q = self.output_lags, self.input_lags
        past_y, known = _lags(targets, rows, 1, p)
        past_x, _ = _lags(rows.x.numpy(), rows, 0, q)
        gaps, _ = _lags((weight > 0).astype(float)[:, None], rows, 1, p)
        usable = weight * known * gaps.all(axis=1)
        if np.count_nonzero(usable) < 2:
            raise ValueError(
                f"n_samples={np.count_nonzero(usable)} steps have all their lags known; at least 2 are needed: give "
                "longer series, or lower output_lags or input_lags."
            )
        regressors = np.column_stack([past_y, past_x, np.ones(len(past_x))])
        solution = least_squares(regressors, targets, usable).T
        self._companion(solution[:, : past_y.shape[1]], solution[:, past_y.shape[1] : -1], solution[:, -1:])

    def _companion(self, a: Array, b: Array, offset: Array) -> None:
        """Write y_t = a [y_{t-1}; …] + b [x_t; x_{t-1}; …] + offset as [y; h] = [A B; C D] [x; 1; h]."""
        network: Any = self.network_
        outputs, inputs = self.n_outputs_, self.n_features_in_
        n = outputs * self.output_lags
        A, B = np.concatenate([b[:, :inputs], offset], axis=1), np.concatenate([a, b[:, inputs:]], axis=1)
        hidden = B.shape[1]
        C, D = np.zeros((hidden, inputs + 1)), np.zeros((hidden, hidden))
        if self.output_lags:
            C[:outputs], D[:outputs] = A, B
            D[outputs:n, : n - outputs] = np.eye(n - outputs)
        if self.input_lags:
            C[n : n + inputs, :inputs] = np.eye(inputs)
            D[n + inputs :, n : hidden - inputs] = np.eye(hidden - n - inputs)
        self.noise_gain_ = np.eye(hidden, outputs) if self.output_lags else None  # an error is a part of y_t
        for name, matrix in zip(("feedthrough", "readout", "input_map", "transition"), (A, B, C, D), strict=True):
            getattr(network.cell, name).copy_(torch.as_tensor(matrix))


def _lags(values: Array, rows: Rows, first: int, last: int) -> tuple[Array, Array]:
    """v_{t-first}, …, v_{t-last} side by side (total, …), and whether all of them lie inside the series."""
    count = max(0, last - first + 1)
    lagged = np.zeros((len(values), count * values.shape[1]))
    inside = np.zeros(len(values), dtype=bool)
    for start, length in zip(rows.starts.tolist(), rows.lengths.tolist(), strict=True):
        inside[start + max(last, 0) : start + length] = True
        for place, lag in enumerate(range(first, last + 1)):
            columns = slice(place * values.shape[1], (place + 1) * values.shape[1])
            lagged[start + lag : start + length, columns] = values[start : start + max(length - lag, 0)]
    return lagged, inside

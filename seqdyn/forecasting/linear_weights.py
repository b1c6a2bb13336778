"""Linear autoregressions with inputs, and what they predict from many origins of a panel.

    ẑ_{t+k} = Σ_{i≤p} w_{ik} z_{t+1−i} + Σ_{j≤k+q} v_{jk} u_{t+k−j} + b_k        k = 1 … steps

A longer horizon is fed with its own results. What comes before a series is its first value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.request import ForecastRequest
from seqdyn.forecasting.tables import BUDGET
from seqdyn.forecasting.units import Units

LARGEST_VALUE = 1e100
"""Where a recursion that runs away is held, so that it stays finite."""


@dataclass(frozen=True)
class Weights:
    """Linear autoregressions, one of all series, or one a series.

    Attributes
    ----------
    coefficients : array, shape (models, lags, steps)
        Of the last values, the newest last.
    intercepts : array, shape (models, steps)
    inputs : array, shape (models, input_lags + steps, inputs, steps)
        Of the covariates known ahead, those of the last of the steps last; 0 for those after the step.
    """

    coefficients: Array
    intercepts: Array
    inputs: Array

    @classmethod
    def joined(cls, parts: list[tuple[Array, Weights]]) -> Weights:
        """Models of some series each, with their numbers, as those of all; if lags are fewer, the oldest have zeros."""
        count = sum(len(numbers) for numbers, _ in parts)
        found = cls(*(np.zeros((count, *_widest(parts, name))) for name in ("coefficients", "intercepts", "inputs")))
        for numbers, own in parts:
            found.intercepts[numbers] = own.intercepts
            for whole, part in ((found.coefficients, own.coefficients), (found.inputs, own.inputs)):
                whole[numbers, whole.shape[1] - part.shape[1] :] = part
        return found

    def summed(self) -> Weights:
        """The models of a series, and inputs, whose differences these weights take."""
        coefficients = np.cumsum(_undone(self.coefficients), axis=2)
        coefficients[:, -1] += 1.0
        inputs = np.cumsum(_undone(self.inputs), axis=3)
        return replace(self, coefficients=coefficients, intercepts=np.cumsum(self.intercepts, axis=1), inputs=inputs)

    def model_of(self, owner: Array) -> Array:
        """The number of the model of every series."""
        return np.zeros_like(owner) if len(self.coefficients) == 1 else owner

    @property
    def window(self) -> int:
        """How many rows of the inputs a prediction looks at, those of its own steps included."""
        return int(self.inputs.shape[1])

    def ahead(self, model: Array, past: Array, inputs: Array, horizon: int) -> Array:
        """Predictions after (origins, lags) values, (origins, horizon).

        ``model`` is the number of every origin's model; inputs begin ``window − steps`` rows before the origin.
        """
        count, lags, steps = self.coefficients.shape
        window, wide = self.window, self.window * inputs.shape[2]
        weights = np.concatenate([self.coefficients, self.inputs.reshape(count, wide, steps)], axis=1)
        apply = _Product.of(weights, model)
        values = np.empty((len(past), lags + -(-horizon // steps) * steps))
        values[:, :lags] = past
        for begin in range(0, values.shape[1] - lags, steps):
            seen = inputs[:, begin : begin + window].reshape(len(past), wide)
            found = apply(np.concatenate([values[:, begin : begin + lags], seen], axis=1)) + self.intercepts[model]
            values[:, begin + lags : begin + lags + steps] = np.clip(found, -LARGEST_VALUE, LARGEST_VALUE)
        return values[:, lags : lags + horizon]


@dataclass(frozen=True)
class _Product:
    """Rows times the weights of their models: one product of matrices where they share one."""

    weights: Array
    shared: bool

    @classmethod
    def of(cls, weights: Array, model: Array) -> _Product:
        shared = len(model) > 0 and bool((model == model[0]).all())
        return cls(weights[model[0]] if shared else weights[model], shared)

    def __call__(self, rows: Array) -> Array:
        if self.shared:
            found: Array = rows @ self.weights
            return found
        if self.weights.shape[2] == 1:
            return np.einsum("rl,rl->r", rows, self.weights[:, :, 0])[:, None]
        return np.matmul(rows[:, None], self.weights)[:, 0]


def with_inputs(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a linear forecaster's file; one that was written before there were inputs has none of them."""
    fitted = content["fitted"]
    if "centre_" not in fitted:  # a member of a combination, which is fitted as a copy
        return content
    series, steps = len(fitted["centre_"]), fitted["intercepts_"].shape[1]
    none = {
        "input_centre_": np.zeros((series, 0)),
        "input_scale_": np.ones((series, 0)),
        "input_coefficients_": np.zeros((len(fitted["intercepts_"]), 0, 0, steps)),
        "input_lags_": np.zeros(series, dtype=np.int64),
    }
    return {**content, "fitted": none | fitted}


def roll_out(request: ForecastRequest, number: Array, units: Units, weights: Weights) -> Array:
    """z from many origins, (origins, horizon); ``number`` says which units and weights each series of the panel has."""
    panel, series, rows, horizon = request.panel, request.series, request.rows, request.horizon
    inputs = units.of_inputs(panel.future, number[panel.series])
    values = with_predicted_gaps(panel, units.of_panel(panel, number), inputs, weights, number, series, rows)
    model = weights.model_of(number[series])
    order, found = np.argsort(model, kind="stable"), np.empty((len(rows), horizon))
    for begin, end in _origin_pieces(model[order], weights, horizon):
        chosen = order[begin:end]
        past = values_before(panel, values, series[chosen], rows[chosen], weights.coefficients.shape[1])
        known = units.of_inputs(request.future[chosen], number[series[chosen]])
        seen = _inputs_seen(panel, inputs, known, weights, series[chosen], rows[chosen])
        found[chosen] = weights.ahead(model[chosen], past, seen, horizon)
    return found


def with_predicted_gaps(
    panel: Panel, values: Array, inputs: Array, weights: Weights, number: Array, series: Array, rows: Array
) -> Array:
    """Values whose gaps before the last origin hold the model's one-step predictions, from the past only."""
    until = panel.starts.copy()
    np.maximum.at(until, series, rows)
    missing = np.flatnonzero(np.isnan(values) & (np.arange(len(values)) < until[panel.series]))
    if not len(missing):
        return values
    filled, owner, step = values.copy(), panel.series[missing], panel.steps[missing]
    filled[missing[step == 0]] = 0.0
    first = Weights(weights.coefficients[..., :1], weights.intercepts[:, :1], _first_step_inputs(weights))
    for turn in np.unique(step[step > 0]):
        at, own = missing[step == turn], owner[step == turn]
        past = values_before(panel, filled, own, at, weights.coefficients.shape[1])
        seen = _inputs_seen(panel, inputs, inputs[at][:, None], first, own, at)
        filled[at] = first.ahead(weights.model_of(number[own]), past, seen, 1)[:, 0]
    return filled


def values_before(panel: Panel, values: Array, series: Array, rows: Array, count: int) -> Array:
    """The values before every origin, (origins, count, …); the first one stands for those before the series."""
    place = rows[:, None] + np.arange(-count, 0)
    found: Array = values[np.maximum(place, panel.starts[series][:, None])]
    return found


def _inputs_seen(panel: Panel, inputs: Array, known: Array, weights: Weights, series: Array, rows: Array) -> Array:
    """The inputs that predictions look at, (origins, rows, inputs): those before the origin and those known ahead."""
    steps = weights.intercepts.shape[1]
    before = values_before(panel, inputs, series, rows, max(weights.window - steps, 0))
    short = -known.shape[1] % steps
    return np.concatenate([before, known, np.repeat(known[:, -1:], short, axis=1)], axis=1)


def _first_step_inputs(weights: Weights) -> Array:
    """The weights of the inputs for the first step alone."""
    later = weights.intercepts.shape[1] - 1
    return weights.inputs[:, : weights.inputs.shape[1] - later, :, :1]


def _origin_pieces(model: Array, weights: Weights, horizon: int) -> list[tuple[int, int]]:
    """Stretches of the origins, sorted by model, that can be rolled out at once."""
    count, lags, steps = weights.coefficients.shape
    held = (lags + weights.window * weights.inputs.shape[2]) * (1 if count == 1 else steps) + horizon
    most = max(1, BUDGET // held)
    borders = np.flatnonzero(np.diff(model)) + 1
    crowded = steps > 1 and len(model) >= 8 * (len(borders) + 1)
    edges = [0, *(borders.tolist() if crowded else []), len(model)]
    return [(at, min(at + most, b)) for a, b in pairwise(edges) for at in range(a, b, most)]


def _undone(weights: Array) -> Array:
    """Weights of values for those of their differences, the oldest first on axis 1."""
    if not weights.size:
        return weights
    none = [(0, 0)] * (weights.ndim - 2)
    return np.pad(weights, ((0, 0), (1, 0), *none)) - np.pad(weights, ((0, 0), (0, 1), *none))


def _widest(parts: list[tuple[Array, Weights]], name: str) -> Array:
    return np.max([getattr(own, name).shape[1:] for _, own in parts], axis=0)

"""The reference for noise with dynamics: an ARMAX model by the prediction-error method, with scipy alone.

    y_t = −Σ a_i y_{t-i} + Σ b_j u_{t-j} + c_0 + e_t + Σ c_k e_{t-k}

The errors are e = (A y − B u − c_0 + s) / C, where s, free in the first rows, stands for what came before the record.
Their derivatives go through the same filter 1/C. Least squares begins from several starts, the best of which is kept.
Ljung (1999), System Identification, sections 4.2, 7.2 and 10.2; Hannan & Rissanen (1982) for the starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.signal import lfilter

Array = np.ndarray[Any, Any]
FARTHEST = 0.999
"""Largest modulus of a root of C at a start."""


class Armax(NamedTuple):
    """A fitted model.

    ``a`` (order,), ``b`` (inputs, lags), of which the first has the lag ``first``, ``c`` (moving,), the residuals, and
    the covariance of a, b and c in this order.
    """

    a: Array
    b: Array
    c: Array
    first: int
    residuals: Array
    covariance: Array

    def impulse_response(self, steps: int) -> Array:
        """(steps, inputs)."""
        impulse = np.zeros(steps)
        impulse[0] = 1.0
        lead = np.zeros(self.first)
        return np.stack([lfilter([*lead, *b], [1.0, *self.a], impulse) for b in self.b], axis=1)

    def poles(self) -> Array:
        return np.roots([1.0, *self.a])

    def gains(self) -> Array:
        """Static gains (inputs,)."""
        return self.b.sum(axis=1) / (1.0 + self.a.sum())

    @property
    def cost(self) -> float:
        return float(self.residuals @ self.residuals)


class Regression(NamedTuple):
    """What is linear once the moving average is known: y = columns · θ + noise."""

    y: Array
    columns: Array
    starts: Array

    @classmethod
    def of(cls, x: Array, y: Array, order: int, moving: int, first: int, constant: bool) -> Regression:
        past = [-delayed(y, lag) for lag in range(1, order + 1)]
        driven = [delayed(u, lag) for u in x.T for lag in range(first, order + 1)]
        level = [np.ones(len(y))] if constant else []
        return cls(y, np.stack([*past, *driven, *level], axis=1), np.eye(len(y), max(order, moving)))

    @property
    def linear(self) -> Array:
        return np.hstack([self.columns, self.starts])

    def errors(self, theta: Array, c: Array) -> Array:
        return lfilter([1.0], [1.0, *c], self.y - self.linear @ theta)

    def derivatives(self, errors: Array, c: Array) -> Array:
        """By the linear parameters, and by c."""
        lags = [delayed(errors, lag) for lag in range(1, len(c) + 1)]
        return -lfilter([1.0], [1.0, *c], np.column_stack([self.linear, *lags]), axis=0)


def delayed(values: Array, lag: int) -> Array:
    """The values ``lag`` steps before, 0 before the first."""
    return np.concatenate([np.zeros(min(lag, len(values))), values[: len(values) - lag]])


def armax(x: Array, y: Array, order: int, moving: int | None = None, first: int = 0, constant: bool = True) -> Armax:
    """Fit a model of as many lags of y and u; ``moving`` of e (as many, too, if None), ``first`` of u."""
    y, moving = np.ravel(y), order if moving is None else moving
    data = Regression.of(x, y, order, moving, first, constant)
    width = data.linear.shape[1]
    far = np.full(len(y), 1e3 * np.abs(y).max())

    def errors(theta: Array) -> Array:
        c = theta[width:]
        return data.errors(theta[:width], c) if largest_root(c) < 1.0 else far

    def jacobian(theta: Array) -> Array:
        return data.derivatives(errors(theta), theta[width:])

    tried = [
        least_squares(errors, start, jacobian, method="trf", x_scale="jac", max_nfev=200)
        for start in starts(data, x, order, moving)
    ]
    best = min(tried, key=lambda one: one.cost)
    lags = order + 1 - first
    split = np.split(best.x, [order, order + lags * x.shape[1], width])
    kept = [*range(order + lags * x.shape[1]), *range(width, len(best.x))]
    variance = 2 * best.cost / (len(y) - len(best.x))
    covariance = variance * np.linalg.pinv(best.jac.T @ best.jac)[np.ix_(kept, kept)]
    return Armax(split[0], split[1].reshape(x.shape[1], lags), split[3], first, best.fun, covariance)


def starts(data: Regression, x: Array, order: int, moving: int) -> Iterator[Array]:
    """From the residuals of long ARX models, from an ARX model, and from the errors of the free run (C = A)."""
    for lags in (2 * order + 4, 20):
        long = Regression.of(x, data.y, lags, 0, 0, True)
        known = long.y - long.columns @ np.linalg.lstsq(long.columns, long.y, rcond=None)[0]
        errors = np.column_stack([delayed(known, lag) for lag in range(1, moving + 1)])
        columns = np.hstack([data.linear, errors])
        theta = np.linalg.lstsq(columns, data.y, rcond=None)[0]
        c = inside(theta[data.linear.shape[1] :])
        yield solved(data, c)
    yield solved(data, np.zeros(moving))
    a = solved(data, np.zeros(moving))[:order]
    yield solved(data, inside(np.pad(a, (0, max(0, moving - order)))[:moving]))


def solved(data: Regression, c: Array) -> Array:
    """All parameters, the linear ones by least squares for this moving average."""
    filtered = lfilter([1.0], [1.0, *c], np.column_stack([data.y, data.linear]), axis=0)
    return np.concatenate([np.linalg.lstsq(filtered[:, 1:], filtered[:, 0], rcond=None)[0], c])


def largest_root(c: Array) -> float:
    return float(np.abs(np.roots([1.0, *c])).max(initial=0.0))


def inside(c: Array) -> Array:
    """The coefficients with roots outside reflected, and those near the circle moved in."""
    roots = np.roots([1.0, *c]).astype(complex)
    size = np.abs(roots)
    roots = np.where(size > 1.0, roots / np.maximum(size, 1e-12) ** 2, roots)
    size = np.abs(roots)
    roots = np.where(size > FARTHEST, roots * FARTHEST / np.maximum(size, 1e-12), roots)
    found = np.real(np.poly(roots))[1:]
    return np.pad(found, (0, len(c) - len(found)))

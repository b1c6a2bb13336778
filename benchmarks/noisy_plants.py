"""True systems for benchmarks: plants whose noise has dynamics, plants in a loop, outputs without inputs, and gaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import lfilter

from seqdyn.identification.system import LinearSystem

Array = np.ndarray[Any, Any]
STEPS = 50
"""Of an impulse response."""


class Plant(NamedTuple):
    """y = B/A u + C/D e by its polynomials, every input with its own B and A."""

    B: list[list[float]]
    A: list[list[float]]
    C: list[float]
    D: list[float]
    deviation: float

    def record(self, seed: int, rows: int) -> tuple[Array, Array]:
        random = np.random.default_rng(seed)
        x = random.normal(size=(rows, len(self.B)))
        y = sum(lfilter(b, a, u) for b, a, u in zip(self.B, self.A, x.T, strict=True))
        return x, y + lfilter(self.C, self.D, self.deviation * random.normal(size=rows))

    def impulse_response(self) -> Array:
        impulse = np.eye(1, STEPS)[0]
        return np.stack([lfilter(b, a, impulse) for b, a in zip(self.B, self.A, strict=True)], axis=1)


class Loop(NamedTuple):
    """A(z) y_t = B(z) u_t + C(z) e_t under u_t = r_t − gain · y_t; B begins with a lag of one step."""

    A: list[float]
    B: list[float]
    C: list[float]
    gain: float
    reference: float = 1.0
    stable: bool = True

    def record(self, seed: int, rows: int) -> tuple[Array, Array]:
        """Of the closed loop: (A + gain B) y = B r + C e."""
        random = np.random.default_rng(seed)
        r, e = self.reference * random.normal(size=rows), random.normal(size=rows)
        closed = np.add(self.A, self.gain * np.array(self.B))
        y = lfilter(self.B, closed, r) + lfilter(self.C, closed, e)
        return (r - self.gain * y)[:, None], y

    def poles(self) -> Array:
        return np.roots(self.A).astype(complex)

    def gains(self) -> Array:
        """The first response, and the static gain of a stable plant."""
        return np.array([self.B[1], np.sum(self.B) / np.sum(self.A)][: 1 + self.stable])


def disturbed(plant: Plant, pole: float, walk: float, white: float, seed: int, rows: int) -> tuple[Array, Array]:
    """The plant with a slow disturbance on its output, and white noise."""
    x, y = plant._replace(deviation=0.0).record(seed, rows)
    random = np.random.default_rng(10_000 + seed)
    slow = lfilter([1.0], [1.0, -pole], walk * random.normal(size=rows))
    return x, y + slow + white * random.normal(size=rows)


SECOND = Plant([[0.0, 0.3, 0.09]], [[1.0, -1.5, 0.7]], [1.0], [1.0], 0.0)
TWO_INPUTS = Plant([[0.0, 0.3, 0.09], [0.0, 0.3]], [[1.0, -1.5, 0.7], [1.0, -0.9]], [1.0], [1.0], 0.0)
LJUNG = Plant([[0.0, 1.0, 0.5]], [[1.0, -1.5, 0.7]], [1.0, -1.0, 0.2], [1.0, -1.5, 0.7], 1.0)
SLOW_NOISE = Plant([[0.0, 1.0, 0.5]], [[1.0, -1.6, 0.8]], [1.0, 0.3], [1.0, -0.95], 0.5)
RESONANT_NOISE = Plant([[0.0, 1.0, 0.5]], [[1.0, -1.6, 0.8]], [1.0, 0.5], [1.0, -1.0, 0.9], 0.5)
PLAIN_LOOP = Loop([1.0, -0.9], [0.0, 0.5], [1.0, 0.0], 0.8, 0.5)
SECOND_LOOP = Loop([1.0, -1.5, 0.7], [0.0, 1.0, 0.5], [1.0, 0.5, 0.0], 0.3)
UNSTABLE_LOOP = Loop([1.0, -1.85, 0.84], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], 0.6, 10.0, False)
UNSTABLE_COLOURED = Loop([1.0, -1.85, 0.84], [0.0, 1.0, 0.0], [1.0, -0.9, 0.2], 0.6, 10.0, False)
OUTPUT_NOISE = Plant([[0.0, 1.0, 0.5]], [[1.0, -1.5, 0.7]], [1.0], [1.0], 1.0)


# -------------------------------------------------------------------- several outputs

VECTOR = LinearSystem(
    np.zeros((2, 0)), [[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]], np.zeros((3, 0)),
    [[0.9, 0.3, 0.0], [-0.3, 0.9, 0.0], [0.0, 0.0, 0.7]],
    noise_gain=[[0.6, 0.1], [-0.2, 0.5], [0.3, 0.3]], noise_covariance=[[1.0, 0.5], [0.5, 1.0]],
)  # fmt: skip


TWO = LinearSystem(
    [[0.2, 0.0], [0.0, -0.3]], [[1.0, 0.0, 0.5], [0.5, -1.0, 1.0]], [[1.0, 0.3], [-0.4, 0.8], [0.5, 0.5]],
    [[0.7, 0.5, 0.0], [-0.5, 0.7, 0.0], [0.0, 0.0, 0.9]],
    noise_gain=[[0.3, 0.1], [-0.1, 0.2], [0.2, 0.3]], noise_covariance=[[0.25, 0.2], [0.2, 0.25]],
)  # fmt: skip


def innovations(system: LinearSystem, x: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """The outputs of a system with its noise, and e_t."""
    e = random.multivariate_normal(np.zeros(system.outputs), system.noise_covariance, len(x))
    both = LinearSystem(
        np.hstack([system.feedthrough, np.eye(system.outputs)]), system.readout,
        np.hstack([system.input_map, system.noise_gain]), system.transition,
    )  # fmt: skip
    return both.simulate(np.hstack([x, e]))[0], e


def moving(numerator: list[float], denominator: list[float]) -> Callable[..., tuple[Array, Array]]:
    def draw(rows: int, random: np.random.Generator) -> tuple[Array, Array]:
        e = random.normal(size=(rows, 1))
        return lfilter(numerator, denominator, e, axis=0), e

    return draw


def exact_filter(system: LinearSystem, x: Array, y: Array) -> Array:
    """ŷ_{t|t-1} of the Kalman filter that knows the truth; NaN in y is missing. From rest, as the records."""
    A, B, C, D, K, R = (
        system.feedthrough, system.readout, system.input_map, system.transition, system.noise_gain,
        system.noise_covariance,
    )  # fmt: skip
    h, P, ahead = np.zeros(system.order), np.zeros((system.order,) * 2), np.zeros(y.shape)
    for t in range(len(y)):
        ahead[t] = A @ x[t] + B @ h
        seen = ~np.isnan(y[t])
        S = (B @ P @ B.T + R)[np.ix_(seen, seen)]
        gain = np.linalg.solve(S, (D @ P @ B.T + K @ R)[:, seen].T).T
        h = C @ x[t] + D @ h + gain @ (y[t] - ahead[t])[seen]
        P = D @ P @ D.T + K @ R @ K.T - gain @ S @ gain.T
    return ahead


# -------------------------------------------------------------------- gaps


def a_tenth(y: Array, random: np.random.Generator) -> Array:
    return np.where(random.uniform(size=y.shape) < 0.1, np.nan, y)


def one_sensor(y: Array, _: np.random.Generator) -> Array:
    """The second output is out in every other stretch of 250 rows."""
    seen = y.copy()
    seen[np.arange(len(y)) % 500 >= 250, 1] = np.nan
    return seen

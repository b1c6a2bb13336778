"""Small estimators and data for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from seqdyn import (
    ARXRegressor,
    ElmanRegressor,
    ExponentialMovingAverageRegressor,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    MovingAverageRegressor,
    PersistenceRegressor,
    RecurrentRegressor,
)
from seqdyn.cells.lstm import LSTM
from seqdyn.estimators.echo_state import EchoStateRegressor
from seqdyn.estimators.next_generation import NextGenerationReservoirRegressor

Array = np.ndarray[Any, Any]

QUICK: dict[str, Any] = {"hidden_size": 4, "max_epochs": 3, "random_state": 0}
"""Enough to have learnt something that is no longer the initialisation."""


def lstm(**changes: Any) -> LSTMRegressor:
    """A small LSTM."""
    return LSTMRegressor(**QUICK | changes)


CAUSAL: dict[str, Callable[..., Any]] = {
    "elman": lambda **changes: ElmanRegressor(**QUICK | changes),
    "lstm": lstm,
    "gru": lambda **changes: GRURegressor(**QUICK | changes),
    "gru, reset before": lambda **changes: GRURegressor(**QUICK | {"reset_gate": "before"} | changes),
    "deep": lambda **changes: RecurrentRegressor(
        **QUICK | {"cell": LSTM, "hidden_size": (3, 4, 4), "residual": True, "dropout": 0.2} | changes
    ),
    "linear": lambda **changes: LinearStateSpaceRegressor(
        **{
            "order": 3,
            "method": "gradient",
            "initial_state": "zero",
            "stable": False,
            "max_epochs": 3,
            "random_state": 0,
        }
        | changes
    ),
    "learned start": lambda **changes: lstm(initial_state="learned", learning_rate=0.1, **changes),
}
"""Estimators trained by gradient, by name; each is called with parameters to change."""

CLOSED: dict[str, Callable[[], Any]] = {
    "moving average": lambda: MovingAverageRegressor(window=4),
    "moving average, learned": lambda: MovingAverageRegressor(window=4, weights="learned"),
    "exponential average": lambda: ExponentialMovingAverageRegressor(),
    "persistence": lambda: PersistenceRegressor(),
    "arx": lambda: ARXRegressor(),
    "identified": lambda: LinearStateSpaceRegressor(initial_state="zero"),
    "echo state": lambda: EchoStateRegressor(hidden_size=20, warmup=0, random_state=0),
    "next generation": lambda: NextGenerationReservoirRegressor(max_features=20, warmup=0),
}
"""Estimators with a closed form, by name."""


def table(steps: int = 40, features: int = 2, seed: int = 0) -> tuple[Array, Array]:
    """One sequence in units of its own, and a target with a memory: X (steps, features), y (steps,)."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(steps, features))
    y = X[:, 0] + 0.5 * np.r_[0, X[:-1, 0]] + 0.1 * generator.normal(size=steps)
    return 3 * X + 5, 20 * y - 7


def panel(series: int = 5, steps: int = 12, features: int = 2, seed: int = 0) -> tuple[Array, Array]:
    """Many such: X (series, steps, features), y (series, steps)."""
    parts = [table(steps, features, seed=seed + number) for number in range(series)]
    return np.stack([X for X, _ in parts]), np.stack([y for _, y in parts])


def ragged(lengths: tuple[int, ...] = (9, 4, 12), features: int = 2) -> tuple[list[Array], list[Array]]:
    """Of unlike lengths: lists of X (steps, features) and of y (steps,)."""
    parts = [table(steps, features, seed=steps) for steps in lengths]
    return [X for X, _ in parts], [y for _, y in parts]


def close(found: Any, expected: Any, tolerance: float) -> None:
    """Equal, relative to the largest value."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max(initial=1.0))

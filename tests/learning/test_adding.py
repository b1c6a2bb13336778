"""The adding problem: what a gate remembers over a hundred steps, and a plain recurrence does not.

Two inputs: values u_t uniform in [0, 1], and a marker that is 1 at two of the T steps. The target, after the last
step, is the sum of the two marked values. Always answering their mean, 1, costs 2/12 = 0.167.

Hochreiter & Schmidhuber (1997), Long short-term memory, section 5.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqdyn import ElmanRegressor, LSTMRegressor

Array = np.ndarray[Any, Any]

STEPS = 100
CHANCE = 2 / 12
BUDGET: dict[str, Any] = {
    "return_sequences": False,
    "hidden_size": 32,
    "max_epochs": 12,
    "batch_size": 32,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "n_iter_no_change": 1000,
}
"""756 steps on 2000 sequences: about 3 s on one core, for either model."""


def adding(series: int, seed: int) -> tuple[Array, Array]:
    """One marker in the first half, one in the second: X (series, STEPS, 2) and y (series,)."""
    generator = np.random.default_rng(seed)
    values = generator.uniform(size=(series, STEPS))
    first, second = (generator.integers(begin, begin + STEPS // 2, series) for begin in (0, STEPS // 2))
    markers = np.zeros((series, STEPS))
    row = np.arange(series)
    markers[row, first] = markers[row, second] = 1
    return np.stack([values, markers], axis=2), values[row, first] + values[row, second]


@pytest.fixture(scope="module")
def problem() -> tuple[Array, Array, Array, Array]:
    """What is learnt from, and fresh sequences."""
    return *adding(2000, seed=0), *adding(1000, seed=1)


@pytest.mark.parametrize("seed", range(3))
def test_lstm_solves_the_adding_problem(problem: tuple[Array, Array, Array, Array], seed: int) -> None:
    """The LSTM adds what is up to 99 steps apart: MSE < 0.01 on fresh sequences, for every seed."""
    X, y, fresh_X, fresh_y = problem
    model = LSTMRegressor(**BUDGET, random_state=seed).fit(X, y)
    assert np.mean((model.predict(fresh_X) - fresh_y) ** 2) < 0.01


def test_elman_does_not_at_the_same_budget(problem: tuple[Array, Array, Array, Array]) -> None:
    """The plain recurrence, of the same width and with the same steps, stays near chance."""
    X, y, fresh_X, fresh_y = problem
    model = ElmanRegressor(**BUDGET, random_state=0).fit(X, y)
    error = np.mean((model.predict(fresh_X) - fresh_y) ** 2)
    assert 0.05 < error < 1.5 * CHANCE


def test_chance_is_what_it_is_said_to_be(problem: tuple[Array, Array, Array, Array]) -> None:
    """The best constant answer costs 2/12."""
    _, _, _, fresh_y = problem
    assert np.mean((fresh_y - 1) ** 2) == pytest.approx(CHANCE, rel=0.1)

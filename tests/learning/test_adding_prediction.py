"""The adding problem again: what a stability report says before training, and which networks learn it.

Over 99 steps the gradient of one network vanishes at the start, another's explodes, a third's arrives; after twelve
epochs only the third has learnt. benchmarks/adding_prediction.py has more of them, and the exceptions: gates that are
shut at the start may open by what they learn from nearer steps, so VANISHING is no proof for a gated network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from seqdyn import ElmanRegressor, LSTMRegressor, stability_report
from tests.learning.test_adding import BUDGET, CHANCE, STEPS, adding

LAG = STEPS - 1


NETWORKS: dict[str, tuple[Any, str, bool]] = {
    "Elman, orthogonal × 2": (ElmanRegressor(**BUDGET, initialise=("orthogonal", 2.0)), "EXPLODING", False),
    "LSTM, bias -3": (LSTMRegressor(**BUDGET, initialise=("forget_bias", -3.0)), "VANISHING", False),
    "LSTM, bias 3": (LSTMRegressor(**BUDGET, initialise=("forget_bias", 3.0)), "OK", True),
}
"""A network, the verdict at its start, and whether it learns."""


@pytest.fixture(scope="module")
def problem() -> tuple[Any, Any, Any, Any]:
    """What is learnt from, and fresh sequences."""
    return *adding(2000, seed=0), *adding(1000, seed=1)


def verdict(model: Any, X: Any, y: Any) -> str:
    """TRANSIENT counts as OK: a disturbance grows on the way, and the gradient arrives."""
    found = stability_report(model, X, y, required_lag=LAG, max_sequences=32, tier="fast").verdict
    return "OK" if found == "TRANSIENT" else found


@pytest.mark.parametrize("name", NETWORKS)
def test_the_report_foresees_who_learns(name: str, problem: tuple[Any, Any, Any, Any]) -> None:
    """The gradient arrives before training: the error falls below a tenth of chance; else it stays above a fifth."""
    model, expected, learns = NETWORKS[name]
    X, y, fresh_X, fresh_y = problem
    model = clone(model).set_params(random_state=0)
    start = clone(model).set_params(optimizer="sgd", learning_rate=1e-300, max_steps=1).fit(X, y)  # a step of no length
    assert verdict(start, fresh_X, fresh_y) == expected
    model.fit(X, y)
    error = np.mean((model.predict(fresh_X) - fresh_y) ** 2)
    assert error < 0.1 * CHANCE if learns else error > 0.2 * CHANCE
    assert (verdict(model, fresh_X, fresh_y) == "OK") == learns

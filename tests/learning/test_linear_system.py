"""A known linear system is recovered from noise-free data by gradient alone.

h_t = D h_{t-1} + C x_t        y_t = B h_{t-1} + A x_t        (h_{-1} = 0)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from seqdyn import LinearStateSpaceRegressor
from seqdyn.metrics import fit_percent

Array = np.ndarray[Any, Any]


class System(NamedTuple):
    """A block matrix [A B; C D], as nested lists."""

    A: list[list[float]]
    B: list[list[float]]
    C: list[list[float]]
    D: list[list[float]]

    def simulate(self, steps: int, seed: int) -> tuple[Array, Array]:
        """White noise in, the output step by step."""
        A, B, C, D = (np.array(matrix) for matrix in self)
        x = np.random.default_rng(seed).normal(size=(steps, A.shape[1]))
        state, y = np.zeros(len(D)), []
        for now in x:
            y.append(A @ now + B @ state)
            state = C @ now + D @ state
        return x, np.array(y)

    def response(self, steps: int) -> Array:
        """A, BC, BDC, BD²C, …: what any model of the same system shares with it."""
        A, B, C, D = (np.array(matrix) for matrix in self)
        return np.array([A, *(B @ np.linalg.matrix_power(D, k) @ C for k in range(steps - 1))])


RESONANT = System(A=[[0.0]], B=[[1.0, 0.5]], C=[[1.0], [0.0]], D=[[1.5, -0.7], [1.0, 0.0]])
"""Order 2, one input, one output; poles of modulus 0.837."""

TWO_BY_TWO = System(
    A=[[0.1, 0.0], [0.0, 0.0]],
    B=[[1.0, 0.5, -1.0], [0.0, 1.0, 0.3]],
    C=[[1.0, 0.0], [0.0, 0.5], [1.0, 1.0]],
    D=[[0.9, 0.3, 0.0], [-0.3, 0.9, 0.0], [0.0, 0.0, 0.6]],
)
"""Order 3, two inputs, two outputs; poles of modulus 0.949, 0.949 and 0.6."""


@pytest.mark.parametrize(("system", "order"), [(RESONANT, 2), (TWO_BY_TWO, 3)], ids=["order 2", "order 3, two by two"])
def test_a_linear_system_is_recovered(system: System, order: int) -> None:
    """FIT > 99.9 % in free run on fresh data; the poles and the impulse response are those of the system."""
    model = LinearStateSpaceRegressor(
        order=order,
        method="gradient",
        learning_rate=0.1,
        schedule="cosine",
        max_epochs=2000,
        n_iter_no_change=2000,
        random_state=0,
    )
    model.fit(*system.simulate(300, seed=0))
    fresh_x, fresh_y = system.simulate(500, seed=1)
    assert fit_percent(fresh_y, model.predict(fresh_x)) > 99.9
    found = System(model.feedthrough_, model.readout_, model.input_map_, model.transition_)
    np.testing.assert_allclose(found.response(20), system.response(20), atol=1e-3)
    poles = [np.sort_complex(np.linalg.eigvals(D)) for D in (found.D, system.D)]
    np.testing.assert_allclose(*poles, atol=1e-3)

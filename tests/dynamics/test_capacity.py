"""The linear memory capacity against what is known exactly."""

from __future__ import annotations

import pytest
import torch

from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.dynamics.capacity import memory_capacity
from seqdyn.systems.henon import Henon
from tests.dynamics.unchanged import unchanged


def test_a_window_holds_exactly_what_it_holds() -> None:
    """Two inputs, a window of 6: five values of each."""
    found = memory_capacity(MovingAverage(2, window=6))
    torch.testing.assert_close(found.by_lag[:, :5], torch.ones(2, 5, dtype=torch.float64))
    assert not found.by_lag[:, 5:].any() and found.total == pytest.approx(10)


@pytest.mark.parametrize("gamma", [0.3, 0.8])
def test_an_exponential_average_is_worth_one_number(gamma: float) -> None:
    """h_t = (1 − γ) Σ γ^k x_{t-k}: r²(k) = (1 − γ²) γ^{2k}, which sums to 1 = n."""
    found = memory_capacity(ExponentialMovingAverage(1, gamma=gamma), steps=200_000, longest=60)
    lags = torch.arange(60, dtype=torch.float64)
    expected = (1 - gamma**2) * gamma ** (2 * lags)
    torch.testing.assert_close(found.by_lag[0], expected, rtol=0, atol=0.006)  # 3 standard errors of r²
    assert found.total == pytest.approx(1, abs=0.02)


def test_a_linear_network_has_its_width() -> None:
    """A generic linear network of n states holds n numbers; a saturated one less (Jaeger 2001, proposition 2)."""
    generator = torch.Generator().manual_seed(1)
    linear = Linear(1, 8, generator=generator).double()
    torch.nn.init.orthogonal_(linear.transition, gain=0.8, generator=generator)
    assert memory_capacity(linear, steps=20_000).total == pytest.approx(8, abs=0.1)
    network = Elman(1, 8, generator=generator).double()
    with torch.no_grad():
        network.recurrent_weight.copy_(linear.transition)
    weak, strong = (memory_capacity(network, scale=scale, steps=20_000).total for scale in (0.01, 3.0))
    assert weak == pytest.approx(8, abs=0.2) and strong < 6


def test_noise_counts_for_nothing() -> None:
    """A cell that hears no input recalls none, however many lags are looked at."""
    deaf = GRU(1, 6).double()
    torch.nn.init.zeros_(deaf.input_weight)
    torch.nn.init.normal_(deaf.bias, generator=torch.Generator().manual_seed(0))
    assert memory_capacity(deaf, longest=1000).total == 0


def test_the_model_stays_as_it_is() -> None:
    cell = GRU(2, 4)
    with unchanged(cell):
        memory_capacity(cell, mean=torch.tensor([1.0, 2.0]), scale=0.5)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="takes no input"):
        memory_capacity(Henon())
    with pytest.raises(ValueError, match="at least 16"):
        memory_capacity(Elman(1, 8), steps=10)

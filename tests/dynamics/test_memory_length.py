"""The table of horizons on cells whose memory is known in closed form."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor

from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.composition import Readout
from seqdyn.dynamics.memory_length import FLOAT_EPSILON, memory_horizons
from tests.dynamics.unchanged import unchanged


def drive(inputs: int, time: int = 400) -> Tensor:
    return torch.randn(2, time, inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def output(y: Tensor) -> Tensor:
    return y


@pytest.mark.parametrize("gamma", [0.5, 0.8, 0.9])
def test_every_horizon_of_an_exponential_average(gamma: float) -> None:
    """J = γ everywhere: each definition has its own closed form, and no two need agree."""
    found = memory_horizons(ExponentialMovingAverage(1, gamma=gamma).double(), drive(1), loss=output)
    rate = -math.log(gamma)
    assert found["lyapunov"].steps == pytest.approx(1 / rate, rel=1e-9)
    for name, share in {"": 0.01, **{f", {kind}": size for kind, size in FLOAT_EPSILON.items()}}.items():
        exact = 1 - math.log(share) / rate  # γ^{k-1} = share
        assert found[f"products{name}"].steps == pytest.approx(exact, rel=1e-9)
        assert found[f"gradient{name}"].steps == math.floor(exact)
        assert not found[f"gradient{name}"].at_least
    assert found["centroid"].steps == pytest.approx(1 / (1 - gamma), rel=1e-4)  # Σ k γ^{k-1} / Σ γ^{k-1}
    assert found["reached"].steps == 400 and found["reached"].at_least
    assert found["capacity"].steps == pytest.approx(1, abs=0.25)
    assert not any(name.startswith(("forget", "update")) for name in found)


def test_a_memory_that_never_fades() -> None:
    """D orthogonal: every horizon ends where the measurement does, and says so; λ₁ = 0 has no time constant."""
    cell = Linear(1, 3).double()
    torch.nn.init.orthogonal_(cell.transition, generator=torch.Generator().manual_seed(0))
    found = memory_horizons(cell, drive(1, time=64), loss=output)
    for name in ("products", "gradient", "products, float32", "gradient, float64"):
        assert found[name].at_least and found[name].steps == 64
    assert not found["lyapunov"].steps < 1e6  # NaN, or what rounding leaves of 1/0


def test_a_memory_that_ends() -> None:
    """A window of 5 forgets everything at once: no interpolation into −∞."""
    found = memory_horizons(MovingAverage(1, window=5).double(), drive(1), loss=output)
    assert found["products"].steps == 2 and not found["products"].at_least  # the lags 1, 2 and 4: none is left at 4
    assert found["gradient"].steps == 4 and found["capacity"].steps == pytest.approx(4)


def test_gates_have_time_constants() -> None:
    """With zero weights f = σ(1) at every step."""
    cell = LSTM(2, 6).double()
    for weight in (cell.input_weight, cell.recurrent_weight):
        torch.nn.init.zeros_(weight)
    found = memory_horizons(Readout(cell, 1), drive(2, time=50))
    assert found["forget"].steps == pytest.approx(-1 / math.log(1 / (1 + math.exp(-1))))
    assert found["forget, slowest tenth"].steps == pytest.approx(found["forget"].steps)
    assert "gradient" not in found and "reached" not in found  # no loss was given


def test_the_model_stays_as_it_is() -> None:
    cell = Readout(LSTM(2, 4), 1)
    with unchanged(cell):
        memory_horizons(cell, drive(2, time=40), loss=output)


def test_errors() -> None:
    with pytest.raises(ValueError, match="epsilon must lie"):
        memory_horizons(LSTM(2, 4), drive(2, time=40), epsilon=1.0)


def test_a_single_row_of_data() -> None:
    """One step of one sequence has no spread; that is no reason for NaN."""
    found = memory_horizons(ExponentialMovingAverage(1, gamma=0.5), drive(1, time=2)[:1, :1], loss=output)
    assert found["capacity"].steps == 0
    many = memory_horizons(ExponentialMovingAverage(1, gamma=0.5), drive(1, time=2)[:1], loss=output)
    assert many["capacity"].steps == pytest.approx(1, abs=0.25)


def test_a_loss_is_named_and_the_state_comes_third() -> None:
    """As in the other instruments."""
    cell, x = ExponentialMovingAverage(1, gamma=0.5).double(), drive(1, time=40)
    state = cell.initial_state(2)
    assert memory_horizons(cell, x, state, loss=output) == memory_horizons(cell, x, state=state, loss=output)
    assert "without Eₜ₋₁" in memory_horizons(cell, x, loss=output)["reached"].definition


def test_definitions_are_set_as_formulas():
    """They are printed as they are: powers of ten and indices as in print, no notation of a program."""
    found = memory_horizons(LSTM(1, 2), drive(1, 40), loss=output)
    every = " ".join(horizon.definition for horizon in found.values())
    assert "1.2·10⁻⁷" in every and "2.2·10⁻¹⁶" in every and "≥ 10⁻¹⁰" in every and "0.01" in every
    assert "gₜ₋ₖ" in every and not re.search(r"\de-\d|[_{}]", every)

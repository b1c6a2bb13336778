"""Gradients by lag against differentiation of the whole unrolled model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Stack
from seqdyn.dynamics import trajectory
from seqdyn.dynamics.gradients import accumulated_gradient, gradient_by_lag, known_quantiles, parameter_gradients
from seqdyn.loops import scan
from seqdyn.state import State, detach, leaves, map_leaves
from tests.dynamics.unchanged import unchanged

TIME = 30

CELLS = {
    "linear": lambda g: Linear(2, 4, output_size=3, generator=g),
    "elman": lambda g: Elman(2, 5, output_size=2, generator=g),
    "lstm": lambda g: LSTM(2, 3, generator=g),
    "gru, before": lambda g: GRU(2, 4, reset_gate="before", generator=g),
    "stack": lambda g: Readout(Stack([LSTM(2, 3, generator=g), Linear(3, 2, generator=g)]), 2, generator=g),
}


def drawn(name: str) -> tuple[Cell, Tensor]:
    generator = torch.Generator().manual_seed(3)
    cell = CELLS[name](generator).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return cell, torch.randn(2, TIME, 2, generator=generator, dtype=torch.float64)


def error(output: Tensor) -> Tensor:
    """E_t, unlike at every step."""
    weights = torch.linspace(0.5, 1.5, output.shape[1], dtype=torch.float64)[:, None]
    return weights * (output - 0.3) ** 2


def from_state(cell: Cell, x: Tensor, step: int) -> tuple[State, Tensor]:
    """h_{step-1} as the leaves of a graph, and the errors E_step, E_{step+1}, … that follow from it: the definition.

    All of the state is one point: an LSTM's h_{step-1} is not a function of its c_{step-1} here.
    """
    state = cell.initial_state(len(x)) if step == 0 else scan(cell, x[:, :step]).state
    state = start = map_leaves(lambda leaf: leaf.detach().requires_grad_(), state)
    outputs = []
    for t in range(step, x.shape[1]):
        output, state = cell(x[:, t], state)
        outputs.append(output)
    padded = torch.nn.functional.pad(torch.stack(outputs, 1), (0, 0, step, 0))
    return start, error(padded).sum(2)


def slope_norms(value: Tensor, state: State) -> Tensor:
    """‖∂value/∂h‖, one a row."""
    slopes = torch.autograd.grad(value, leaves(state), retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat(slopes, 1).norm(dim=1)


@pytest.fixture(params=[None, 64], ids=["one stretch", "many stretches"])
def stretches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:
        monkeypatch.setattr(trajectory, "NUMBERS_AT_ONCE", request.param)


@pytest.mark.usefixtures("stretches")
@pytest.mark.parametrize("name", CELLS)
def test_by_lag_against_autograd(name: str) -> None:
    """∂E_t/∂h_s for all s < t, single errors apart."""
    cell, x = drawn(name)
    found = gradient_by_lag(cell, x, error, anchors=[4, 17, 29], longest=25)
    assert found.log_norms.shape == (2, 3, 25)
    for step in range(TIME):
        state, errors = from_state(cell, x, step)
        for index, t in enumerate([4, 17, 29]):
            lag = t - step + 1  # of h_{step-1}
            if 1 <= lag <= 25:
                expected = slope_norms(errors[:, t].sum(), state)
                torch.testing.assert_close(found.log_norms[:, index, lag - 1].exp(), expected, rtol=1e-9, atol=1e-12)
    assert bool(found.log_norms[:, 0, 5:].isnan().all())  # before the sequence


@pytest.mark.usefixtures("stretches")
@pytest.mark.parametrize("name", CELLS)
def test_accumulated_against_autograd(name: str) -> None:
    """δ_s holds all errors; it is not ∂E_t/∂h_s of any one of them."""
    cell, x = drawn(name)
    found = accumulated_gradient(cell, x, error)
    for t in (0, 11, 29):
        state, errors = from_state(cell, x, t)
        expected = slope_norms(errors[:, t:].sum(), state)
        torch.testing.assert_close(found[:, t].exp(), expected, rtol=1e-9, atol=1e-12)
    single = gradient_by_lag(cell, x, error, anchors=[29], longest=30).log_norms[:, 0].flip(1)
    assert (single[:, :20] - found[:, :20]).abs().max() > 0.1
    torch.testing.assert_close(single[:, -1], found[:, -1])


@pytest.mark.usefixtures("stretches")
@pytest.mark.parametrize("name", CELLS)
def test_bands_sum_to_the_gradient(name: str) -> None:
    """The bands beyond k are what truncation at k loses; all of them together are the gradient."""
    cell, x = drawn(name)
    anchors = [9, 20]
    found = parameter_gradients(cell, x, error, anchors=anchors)
    assert found.edges == (0, 1, 2, 4, 8, 16, 20)
    whole = truncated_gradient(cell, x, anchors, longest=TIME)
    for edge, beyond in zip(found.edges, found.beyond, strict=True):
        kept = truncated_gradient(cell, x, anchors, longest=edge)
        torch.testing.assert_close(beyond, (whole - kept).norm() / whole.norm(), rtol=1e-8, atol=1e-10)
    assert list(found.log_norms) == [name for name, _ in cell.named_parameters()]
    assert bool((found.beyond_apart <= 1).all()) and found.beyond[-1] == 0 == found.beyond_apart[-1]


def truncated_gradient(cell: Cell, x: Tensor, anchors: list[int], longest: int) -> Tensor:
    """The gradient of the anchors' errors, the graph cut ``longest`` steps before each of them."""
    with torch.no_grad():
        states = [cell.initial_state(len(x))]
        for t in range(x.shape[1]):
            states.append(cell(x[:, t], states[-1])[1])
    weights = torch.linspace(0.5, 1.5, x.shape[1], dtype=torch.float64)
    parameters = list(cell.parameters())
    total = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64)
    for t in anchors:
        begin = max(0, t - longest)
        state = detach(states[begin])
        for s in range(begin, t + 1):
            output, state = cell(x[:, s], state)
        loss = (weights[t] * (output - 0.3) ** 2).sum()
        slopes = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        total += torch.cat([slope.flatten() for slope in slopes])
    return total


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_a_linear_cell_in_closed_form(factor: float) -> None:
    """g_{t-k} = ∂E/∂y B D^{k-1}, far beyond what float64 can hold."""
    cell = Linear(1, 1, output_size=1).double()
    for weight in cell.parameters():
        torch.nn.init.ones_(weight)
    torch.nn.init.constant_(cell.transition, factor)
    x = torch.zeros(1, 1500, 1, dtype=torch.float64)
    found = gradient_by_lag(cell, x, lambda y: y, anchors=[1499], longest=1500)
    expected = torch.arange(1500, dtype=torch.float64) * torch.tensor(factor, dtype=torch.float64).log()
    torch.testing.assert_close(found.log_norms[0, 0], expected, rtol=1e-12, atol=1e-12)
    shares = parameter_gradients(cell, torch.ones(1, 500, 1), lambda y: y, anchors=[499], edges=[0, 100])
    assert all(not value.isnan().any() for value in shares.log_norms.values())
    assert float(shares.beyond[1]) == pytest.approx(0.0 if factor < 1 else 0.8, abs=0.01)  # 3^k · 3^(499-k): all alike


def test_an_error_nobody_feels() -> None:
    """Without a path from the state to the error there is no gradient: −inf, not NaN; relative to it, nothing."""
    cell = Linear(1, 2, output_size=1).double()
    torch.nn.init.zeros_(cell.readout)
    found = gradient_by_lag(cell, torch.ones(1, 6, 1), lambda y: y, anchors=2)
    assert bool((found.log_norms[0, 1] == -torch.inf).all())
    assert found.relative.isnan().all()


def test_quantiles_keep_what_never_arrives() -> None:
    """−inf is a value, the smallest; NaN is none."""
    values = torch.tensor([[-torch.inf, 0.0], [-torch.inf, torch.nan], [1.0, 2.0]])
    found = known_quantiles(values.double(), [0.5, 1.0])
    assert found.tolist() == [[-torch.inf, 1.0], [1.0, 2.0]]


def test_the_model_stays_as_it_is() -> None:
    cell = Readout(LSTM(2, 3), 2)
    x = torch.randn(2, 20, 2, generator=torch.Generator().manual_seed(0))
    scan(cell, x).output.sum().backward()
    with unchanged(cell):
        gradient_by_lag(cell, x, error)
        accumulated_gradient(cell, x, error)
        parameter_gradients(cell, x, error)


def test_errors_say_what_is_wrong() -> None:
    cell, x = Elman(2, 3), torch.zeros(1, 10, 2)
    with pytest.raises(ValueError, match="anchors must be steps from 0 to 9"):
        gradient_by_lag(cell, x, error, anchors=[10])
    with pytest.raises(ValueError, match="at least 1"):
        gradient_by_lag(cell, x, error, anchors=0)
    with pytest.raises(ValueError, match="without a gradient"):
        gradient_by_lag(cell, x, lambda output: torch.zeros(1))
    with pytest.raises(ValueError, match="increase from 0"):
        parameter_gradients(cell, x, error, edges=[1, 2])
    with pytest.raises(ValueError, match=r"expects \(batch, time, 2\)"):
        gradient_by_lag(cell, torch.zeros(1, 10, 3), error)


@pytest.mark.parametrize("factor", [1e-300, 1e-160, 1e160, 1e300])
def test_no_square_leaves_the_range(factor: float) -> None:
    """|J|² is 0 or ∞ in float64, |J| is not: every length is known all the same."""
    cell = Linear(1, 1, output_size=1).double()
    for weight in cell.parameters():
        torch.nn.init.ones_(weight)
    torch.nn.init.constant_(cell.transition, factor)
    still, rate = torch.zeros(1, 5, 1), math.log(factor)
    powers = rate * torch.arange(5, dtype=torch.float64)
    found = gradient_by_lag(cell, still, lambda y: y, anchors=[4])
    torch.testing.assert_close(found.log_norms[0, 0], powers, rtol=1e-12, atol=1e-12)
    found = gradient_by_lag(cell, still, lambda y: factor * y, anchors=[4])
    torch.testing.assert_close(found.log_norms[0, 0], powers + rate, rtol=1e-12, atol=1e-12)
    largest = powers.flip(0) if factor > 1 else torch.zeros_like(powers)
    torch.testing.assert_close(accumulated_gradient(cell, still, lambda y: y)[0], largest, rtol=1e-12, atol=1e-12)
    shares = parameter_gradients(cell, torch.ones(1, 2, 1), lambda y: y, anchors=[1])
    assert float(shares.log_norms["readout"][0]) == pytest.approx(0, abs=1e-12)  # h_0 = 1
    assert float(shares.log_norms["input_map"][1]) == pytest.approx(0, abs=1e-12)
    assert float(shares.beyond_apart[0]) == pytest.approx(1 / (1 + math.sqrt(2)))
    assert not any(value.requires_grad for value in shares.log_norms.values())


def test_a_parameter_of_no_number() -> None:
    """Its gradient has the length 0."""
    cell = Linear(0, 2, output_size=1).double()
    state = cell.initial_state(1)._replace(**{cell.initial_state(1)._fields[0]: torch.ones(1, 2, dtype=torch.float64)})
    found = parameter_gradients(cell, torch.zeros(1, 6, 0), lambda y: y, state)
    assert bool((found.log_norms["input_map"] == -torch.inf).all())
    assert not found.beyond_apart.isnan().any()

"""Before training, a network started from a linear system is that system, to first order in its states."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Residual, Stack
from seqdyn.identification.recurrent_start import start_from
from seqdyn.identification.system import LinearSystem
from seqdyn.initial_state import Learned
from seqdyn.loops import scan

HIDDEN = 16

CELLS: dict[str, Callable[[int, torch.Generator], Cell]] = {
    "elman": lambda inputs, drawn: Elman(inputs, HIDDEN, generator=drawn),
    "gru": lambda inputs, drawn: GRU(inputs, HIDDEN, generator=drawn),
    "gru before": lambda inputs, drawn: GRU(inputs, HIDDEN, "before", drawn),
    "lstm": lambda inputs, drawn: LSTM(inputs, HIDDEN, generator=drawn),
    "lstm peepholes": lambda inputs, drawn: LSTM(inputs, HIDDEN, True, drawn),
}
every_cell = pytest.mark.parametrize("name", list(CELLS))


def a_system(order: int, inputs: int, outputs: int, seed: int = 0, radius: float = 0.9) -> LinearSystem:
    """A random stable system with feedthrough and offsets."""
    random = np.random.default_rng(seed)
    transition = random.normal(size=(order, order))
    transition *= radius / np.abs(np.linalg.eigvals(transition)).max()
    return LinearSystem(
        random.normal(size=(outputs, inputs)),
        random.normal(size=(outputs, order)),
        random.normal(size=(order, inputs)),
        transition,
        random.normal(size=outputs),
        0.3 * random.normal(size=order),
    )


def some_inputs(inputs: int, steps: int = 300) -> Tensor:
    return torch.as_tensor(np.random.default_rng(9).normal(size=(steps, inputs)))


def a_network(name: str, inputs: int, outputs: int, skip: bool = False) -> Cell:
    drawn = torch.Generator().manual_seed(0)
    return Learned()(Readout(CELLS[name](inputs, drawn), outputs, generator=drawn, skip=skip)).double()


def relative_error(network: Cell, system: LinearSystem, x: Tensor) -> float:
    """How far the network's free run is from the system's, in units of what the latter varies by."""
    y = system.simulate(x.numpy())[0]
    output = scan(network, x[None]).output[0].detach().numpy()
    return float(np.linalg.norm(output - y) / np.linalg.norm(y - y.mean(0)))


@every_cell
@pytest.mark.parametrize(("order", "inputs", "outputs"), [(1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 1, 1), (6, 3, 2)])
def test_the_error_shrinks_with_the_square_of_the_amplitude(name: str, order: int, inputs: int, outputs: int) -> None:
    system, x = a_system(order, inputs, outputs, seed=order), some_inputs(inputs)
    errors = {}
    for amplitude in (0.03, 0.003):
        network = a_network(name, inputs, outputs)
        start_from(network, system, x, amplitude)
        errors[amplitude] = relative_error(network, system, x)
    assert errors[0.03] < 0.05
    assert errors[0.003] < errors[0.03] / 80


@every_cell
def test_a_slow_system_is_kept(name: str) -> None:
    system, x = a_system(2, 1, 1, radius=0.999), some_inputs(1, 2000)
    network = a_network(name, 1, 1)
    start_from(network, system, x, 0.003)
    assert relative_error(network, system, x) < 0.02


@every_cell
def test_every_weight_still_learns(name: str) -> None:
    """The readout first; a step later, when it hears the spare units, all the rest."""
    x = some_inputs(2, 40)
    network = a_network(name, 2, 1)
    start_from(network, a_system(3, 2, 1), x)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        scan(network, x[None]).output.square().mean().backward()
        optimizer.step()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad.flatten(1) != 0).any(1).all() if parameter.ndim > 1 else parameter.grad.any())


def test_a_readout_form_needs_no_more_units_than_states() -> None:
    system = LinearSystem.from_rnn([[1.0], [0.5]], [[0.8, 0.1], [-0.2, 0.5]], [[1.0, -1.0]], [0.1, 0.2], [3.0])
    network = Readout(Elman(1, 2), 1).double()
    x = some_inputs(1)
    start_from(network, system, x, 0.003)
    assert relative_error(network, system, x) < 1e-3


@every_cell
def test_a_system_without_memory_has_its_outputs_as_states(name: str) -> None:
    system, x = LinearSystem.from_block([[2.0]], np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0))), some_inputs(1)
    network = a_network(name, 1, 1)
    start_from(network, system, x, 0.003)
    assert relative_error(network, system, x) < 1e-3


def test_a_readout_that_sees_the_input_begins_without_it() -> None:
    system, x = a_system(2, 1, 1), some_inputs(1)
    network = a_network("gru", 1, 1, skip=True)
    readout = next(module for module in network.modules() if isinstance(module, Readout))
    assert readout.direct is not None
    torch.nn.init.ones_(readout.direct)
    start_from(network, system, x, 0.003)
    assert relative_error(network, system, x) < 1e-2


def test_heads_share_the_outputs_of_the_system() -> None:
    """Three quantiles of one target begin together; a head that is no level begins at 0."""
    system, x = a_system(2, 1, 1), some_inputs(1)
    network = a_network("elman", 1, 3)
    start_from(network, system, x, 0.003, heads=torch.tensor([[1.0], [1.0], [0.0]]))
    output = scan(network, x[None]).output[0].detach().numpy()
    y = system.simulate(x.numpy())[0]
    np.testing.assert_allclose(output, y * [[1.0, 1.0, 0.0]], atol=0.02)


def test_states_have_the_amplitude_asked_for() -> None:
    system, x = a_system(4, 2, 1), some_inputs(2, 2000)
    network = a_network("elman", 2, 1)
    start_from(network, system, x, 0.01)
    states = scan(network, x[None], record=lambda x, before, output, after: after.h).record[0, :, :5]
    np.testing.assert_allclose(states.square().mean(0).sqrt().detach(), 0.01, rtol=1e-2)


def test_states_that_nothing_moves_do_no_harm() -> None:
    system = LinearSystem.from_block([[0.0]], [[1.0, 1.0]], [[1.0], [0.0]], [[0.5, 0.0], [0.0, 0.9]])
    network, x = a_network("gru", 1, 1), some_inputs(1)
    start_from(network, system, x, 0.003)
    assert relative_error(network, system, x) < 1e-2
    start_from(network.float(), system, torch.zeros_like(x), 0.003)
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_series_may_have_unlike_lengths() -> None:
    system, x = a_system(2, 1, 1), some_inputs(1)
    one, other, ragged = (a_network("elman", 1, 1) for _ in range(3))
    start_from(one, system, torch.stack([x, -x]), 0.003)
    start_from(other, system, [x, -x], 0.003)
    start_from(ragged, system, [x, x[:100]], 0.003)
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert relative_error(ragged, system, x) < 1e-2


def test_nothing_is_drawn_and_the_same_comes_out_twice() -> None:
    system, x = a_system(2, 1, 1), some_inputs(1)
    network = a_network("gru", 1, 1)
    twin = copy.deepcopy(network)
    before = torch.get_rng_state()
    start_from(network, system, x)
    start_from(twin, system, x)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, network.parameters(), twin.parameters()))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Readout(GRU(1, 2), 1), r"hidden_size=2 is too small.*order 2 with 1 outputs needs 3 units"),
        (Readout(Stack([GRU(1, 8), GRU(8, 8)]), 1), "num_layers=1"),
        (Readout(Residual(GRU(8, 8)), 1), "without residual"),
        (Readout(Linear(1, 8), 1), "possible for Elman, GRU and LSTM"),
        (Readout(Elman(1, 8, activation="relu"), 1), "activation='tanh'"),
        (Readout(Elman(1, 8, output_size=4), 1), "leave out output_size"),
        (Readout(GRU(1, 8), 1, "tanh"), "use 'identity'"),
        (GRU(1, 8), "needs a Readout"),
        (Readout(GRU(1, 8), 2), "1 inputs and 1 outputs, the network 1 and 2"),
        (Readout(GRU(2, 8), 1), "1 inputs and 1 outputs, the network 2 and 1"),
    ],
)
def test_what_does_not_go_says_why(network: Cell, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        start_from(network, a_system(2, 1, 1), some_inputs(network.input_size))


def test_a_system_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="grow without end"):
        start_from(a_network("gru", 1, 1), a_system(2, 1, 1, radius=30.0), some_inputs(1))


@pytest.mark.parametrize("amplitude", [0.0, -1.0, float("nan"), float("inf")])
def test_an_amplitude_is_above_0(amplitude: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        start_from(a_network("gru", 1, 1), a_system(2, 1, 1), some_inputs(1), amplitude)

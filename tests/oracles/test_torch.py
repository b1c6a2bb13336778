"""The recurrent cells against torch.nn, and against the lecture's equations written out in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM, LSTMState
from seqdyn.loops import scan
from seqdyn.state import leaves

INPUTS, HIDDEN, BATCH, TIME = 3, 5, 4, 12
Array = NDArray[np.float64]


def draw(cell: Cell) -> Cell:
    """The cell in float64 with all parameters drawn from N(0, 0.5²)."""
    generator = torch.Generator().manual_seed(0)
    cell.double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
    return cell


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def copy_weights(cell: Any, network: nn.RNNBase) -> nn.RNNBase:
    """Give torch's network the weights of the cell; its second bias is 0, but for the GRU's b_hn."""
    second = torch.zeros_like(cell.bias)
    if isinstance(cell, GRU):
        second[2 * cell.hidden_size :] = cell.recurrent_bias
    with torch.no_grad():
        network.weight_ih_l0.copy_(cell.input_weight)
        network.weight_hh_l0.copy_(cell.recurrent_weight)
        network.bias_ih_l0.copy_(cell.bias)
        network.bias_hh_l0.copy_(second)
    return network


def step_by_step(cell: Cell, x: Tensor, state: Any) -> Any:
    """The written step, not the kernel."""
    return scan(cell, x, state, record=lambda x, before, output, after: None)


PAIRS = {
    "rnn tanh": (lambda: Elman(INPUTS, HIDDEN), lambda: nn.RNN(INPUTS, HIDDEN, batch_first=True)),
    "rnn relu": (
        lambda: Elman(INPUTS, HIDDEN, activation="relu"),
        lambda: nn.RNN(INPUTS, HIDDEN, nonlinearity="relu", batch_first=True),
    ),
    "lstm": (lambda: LSTM(INPUTS, HIDDEN), lambda: nn.LSTM(INPUTS, HIDDEN, batch_first=True)),
    "gru": (lambda: GRU(INPUTS, HIDDEN), lambda: nn.GRU(INPUTS, HIDDEN, batch_first=True)),
}


@pytest.mark.parametrize("run", [scan, step_by_step], ids=["kernel", "step"])
@pytest.mark.parametrize("name", PAIRS)
def test_equals_torch(name: str, run: Any) -> None:
    """Outputs, final states and all gradients are torch's."""
    build, build_network = PAIRS[name]
    cell = draw(build())
    with torch.random.fork_rng():
        network = copy_weights(cell, build_network().double())
    x = randn(BATCH, TIME, INPUTS).requires_grad_()
    start = [0.5 * randn(BATCH, HIDDEN, seed=2 + i) for i in range(len(leaves(cell.initial_state(1))))]
    ours = [leaf.clone().requires_grad_() for leaf in start]
    result = run(cell, x, type(cell.initial_state(1))(*ours))

    theirs = [leaf.clone().requires_grad_() for leaf in start]
    x_too = x.detach().clone().requires_grad_()
    given = tuple(leaf[None] for leaf in theirs)
    output, last = network(x_too, given if len(given) == 2 else given[0])
    last = last if isinstance(last, tuple) else (last,)

    torch.testing.assert_close(result.output, output, rtol=1e-12, atol=1e-12)
    for mine, other in zip(leaves(result.state), last, strict=True):
        torch.testing.assert_close(mine, other[0], rtol=1e-12, atol=1e-12)

    weight = randn(BATCH, TIME, HIDDEN, seed=9)
    ((result.output * weight).sum() + sum((leaf**2).sum() for leaf in leaves(result.state))).backward()
    ((output * weight).sum() + sum((leaf**2).sum() for leaf in last)).backward()
    pairs = [(x.grad, x_too.grad), *((mine.grad, other.grad) for mine, other in zip(ours, theirs, strict=True))]
    pairs += [
        (cell.input_weight.grad, network.weight_ih_l0.grad),
        (cell.recurrent_weight.grad, network.weight_hh_l0.grad),
        (cell.bias.grad, network.bias_ih_l0.grad),
    ]
    if isinstance(cell, GRU):
        pairs.append((cell.recurrent_bias.grad, network.bias_hh_l0.grad[2 * HIDDEN :]))
    for mine, other in pairs:
        assert mine.abs().max() > 0
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def by_name(stacked: Tensor, names: str) -> dict[str, Array]:
    """The blocks of a stacked weight, by the letter of the gate."""
    return dict(zip(names, np.split(stacked.detach().numpy(), len(names)), strict=True))


def test_gru_in_the_form_of_the_lecture() -> None:
    """h_t = (1 − z) h_{t-1} + z h~ with the reset before the product; our z is 1 − z, so W_z, U_z, b_z are negated."""
    cell = draw(GRU(INPUTS, HIDDEN, reset_gate="before"))
    x, h = randn(BATCH, TIME, INPUTS), 0.5 * randn(BATCH, HIDDEN, seed=2)
    W, U, b = (by_name(p, "rzn") for p in (cell.input_weight, cell.recurrent_weight, cell.bias))
    for weights in (W, U, b):
        weights["z"] = -weights["z"]
    outputs, h_t = [], h.numpy()
    for x_t in x.unbind(1):
        x_t = x_t.numpy()
        z = sigmoid(x_t @ W["z"].T + h_t @ U["z"].T + b["z"])
        r = sigmoid(x_t @ W["r"].T + h_t @ U["r"].T + b["r"])
        candidate = np.tanh(x_t @ W["n"].T + (r * h_t) @ U["n"].T + b["n"])
        h_t = (1 - z) * h_t + z * candidate
        outputs.append(h_t)
    result = scan(cell, x, type(cell.initial_state(1))(h))
    np.testing.assert_allclose(result.output.detach().numpy(), np.stack(outputs, 1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.state.h.detach().numpy(), h_t, rtol=1e-12, atol=1e-12)


def test_the_two_forms_of_the_gru_differ() -> None:
    """With the same weights and no b_hn, the reset before and after the product are different networks."""
    after, before = draw(GRU(INPUTS, HIDDEN)), draw(GRU(INPUTS, HIDDEN, reset_gate="before"))
    with torch.no_grad():
        after.recurrent_bias.zero_()
        for name, parameter in before.named_parameters():
            parameter.copy_(after.get_parameter(name))
    x = randn(BATCH, TIME, INPUTS)
    difference = (scan(after, x).output - scan(before, x).output).abs()
    assert difference[:, 0].max() < 1e-15  # from zero the first step has nothing to reset
    assert difference[:, 1:].max() > 1e-3


@pytest.mark.parametrize("peepholes", [False, True], ids=["lecture", "peepholes"])
@pytest.mark.parametrize("run", [scan, step_by_step], ids=["kernel", "step"])
def test_lstm_written_out(peepholes: bool, run: Any) -> None:
    """The lecture's six equations; with peepholes i and f see c_{t-1}, o sees c_t (Gers & Schmidhuber 2000)."""
    cell = draw(LSTM(INPUTS, HIDDEN, peepholes=peepholes))
    x, start = randn(BATCH, TIME, INPUTS), LSTMState(randn(BATCH, HIDDEN, seed=2), randn(BATCH, HIDDEN, seed=3))
    W, U, b = (by_name(p, "ifgo") for p in (cell.input_weight, cell.recurrent_weight, cell.bias))
    p_i, p_f, p_o = cell.peephole.detach().numpy() if peepholes else np.zeros((3, HIDDEN))
    h, c = start.h.numpy(), start.c.numpy()
    outputs = []
    for x_t in x.unbind(1):
        a = {gate: x_t.numpy() @ W[gate].T + h @ U[gate].T + b[gate] for gate in "ifgo"}
        f, i = sigmoid(a["f"] + p_f * c), sigmoid(a["i"] + p_i * c)
        c = f * c + i * np.tanh(a["g"])
        h = sigmoid(a["o"] + p_o * c) * np.tanh(c)
        outputs.append(h)
    result = run(cell, x, start)
    np.testing.assert_allclose(result.output.detach().numpy(), np.stack(outputs, 1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.state.h.detach().numpy(), h, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.state.c.detach().numpy(), c, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("read", ["identity", "tanh", "relu", "sigmoid", "softmax"])
def test_elman_written_out(activation: str, read: str) -> None:
    """h_t = σ_h(W x_t + U h_{t-1} + b), y_t = σ_y(W_y h_t + b_y), for every pair of activations."""
    functions = {
        "identity": lambda a: a,
        "tanh": np.tanh,
        "relu": lambda a: np.maximum(a, 0),
        "sigmoid": sigmoid,
        "softmax": lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True),
    }
    cell = draw(Elman(INPUTS, HIDDEN, output_size=2, activation=activation, output_activation=read))
    x, h = randn(BATCH, TIME, INPUTS), np.zeros((BATCH, HIDDEN))
    W, U, b, W_y, b_y = (
        p.detach().numpy()
        for p in (cell.input_weight, cell.recurrent_weight, cell.bias, cell.affine.weight, cell.affine.bias)
    )
    outputs = []
    for x_t in x.unbind(1):
        h = functions[activation](x_t.numpy() @ W.T + h @ U.T + b)
        outputs.append(functions[read](h @ W_y.T + b_y))
    result = scan(cell, x)
    np.testing.assert_allclose(result.output.detach().numpy(), np.stack(outputs, 1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.state.h.detach().numpy(), h, rtol=1e-12, atol=1e-12)


def test_gates_are_those_of_the_equations() -> None:
    """Gates give back the states: c_t = f c_{t-1} + i g and h_t = o tanh(c_t), or h_t = (1 − z) n + z h_{t-1}."""
    x = randn(BATCH, TIME, INPUTS)
    lstm = draw(LSTM(INPUTS, HIDDEN, peepholes=True))
    kept = scan(lstm, x, record=lambda x, b, y, a: (lstm.gates(x, b, y, a), b, a)).record
    gates, before, after = kept
    torch.testing.assert_close(gates["forget"] * before.c + gates["input"] * gates["candidate"], after.c)
    torch.testing.assert_close(gates["output"] * torch.tanh(after.c), after.h)
    for reset_gate in ("after", "before"):
        gru = draw(GRU(INPUTS, HIDDEN, reset_gate=reset_gate))
        gates, before, after = scan(gru, x, record=lambda x, b, y, a, gru=gru: (gru.gates(x, b, y, a), b, a)).record
        z, n = gates["update"], gates["candidate"]
        torch.testing.assert_close((1 - z) * n + z * before.h, after.h)
        W_r, U_r, b_r = (p.chunk(3)[0] for p in (gru.input_weight, gru.recurrent_weight, gru.bias))
        torch.testing.assert_close(gates["reset"], torch.sigmoid(x @ W_r.T + before.h @ U_r.T + b_r))


def test_starting_weights() -> None:
    """U is orthogonal, biases are 0, and the LSTM's forget gate starts open."""
    eye = torch.eye(HIDDEN)
    for cell in (Elman(INPUTS, HIDDEN), LSTM(INPUTS, HIDDEN), GRU(INPUTS, HIDDEN)):
        for block in cell.recurrent_weight.detach().split(HIDDEN):
            torch.testing.assert_close(block @ block.T, eye, rtol=0, atol=1e-5)
    i, f, g, o = LSTM(INPUTS, HIDDEN).bias.detach().chunk(4)
    assert (f == 1).all() and not torch.stack([i, g, o]).any()
    assert not GRU(INPUTS, HIDDEN).bias.any() and not GRU(INPUTS, HIDDEN).recurrent_bias.any()
    assert not Elman(INPUTS, HIDDEN).bias.any()


def test_memory_alone_is_never_amplified() -> None:
    """∂c_T/∂c_0 along c alone is the product of the forget gates, at most 1; the full Jacobian may exceed it."""
    cell = draw(LSTM(INPUTS, HIDDEN))
    x = randn(1, TIME, INPUTS)
    h = scan(cell, x, record=lambda x, before, output, after: before.h).record
    c = torch.zeros(1, HIDDEN, dtype=torch.float64, requires_grad=True)
    last = scan(cell, x, LSTMState(torch.zeros_like(c), c), force=lambda t, state: LSTMState(h[:, t].detach(), state.c))
    (slope,) = torch.autograd.grad(last.state.c.sum(), c)
    gates = scan(cell, x, record=lambda x, b, y, a: cell.gates(x, b, y, a)["forget"]).record
    torch.testing.assert_close(slope, gates.prod(1).detach(), rtol=1e-12, atol=1e-12)
    assert slope.max() <= 1

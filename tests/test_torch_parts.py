"""Cells written as torch's modules: the same numbers both ways, and clear words where torch has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seqdyn import GRURegressor
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Embedding, Identity, Offset, Readout, Residual, Stack
from seqdyn.conversion import from_torch
from seqdyn.initial_state import Learned
from seqdyn.loops import scan
from seqdyn.row_modules import Encoded, Headed
from seqdyn.state import leaves
from seqdyn.torch_parts import TorchParts, to_torch
from tests.dynamics.unchanged import unchanged
from tests.laws.laws import close

RECURRENCES: dict[str, Any] = {
    "elman tanh": lambda inputs, hidden, seed: Elman(inputs, hidden, generator=generator(seed)),
    "elman relu": lambda inputs, hidden, seed: Elman(inputs, hidden, activation="relu", generator=generator(seed)),
    "lstm": lambda inputs, hidden, seed: LSTM(inputs, hidden, generator=generator(seed)),
    "gru": lambda inputs, hidden, seed: GRU(inputs, hidden, generator=generator(seed)),
}
MODULES: dict[str, Any] = {
    "rnn tanh": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


def generator(seed: int = 0) -> torch.Generator:
    """A seeded one."""
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def stir(cell: nn.Module, seed: int = 3) -> None:
    """Move every trained parameter away from where it starts, biases too."""
    draws = generator(seed)
    with torch.no_grad():
        for parameter in cell.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draws, dtype=parameter.dtype))


def run(parts: TorchParts, x: Tensor) -> Tensor:
    """y = head(recurrent(encoder(x)))."""
    rows = x if parts.encoder is None else parts.encoder(x)
    output = parts.recurrent(rows)[0]
    return output if parts.head is None else parts.head(output)


def tolerance(dtype: torch.dtype) -> float:
    """How far two orders of the same sums may differ after a few steps."""
    return 1e-11 if dtype == torch.float64 else 1e-4


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(RECURRENCES)),
    layers=st.integers(1, 3),
    headed=st.booleans(),
    bias=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**31),
)
def test_a_cell_there_and_back(name: str, layers: int, headed: bool, bias: bool, dtype: torch.dtype, seed: int) -> None:
    """Outputs, gradients by the input and by every parameter; and the cell that comes back is the cell."""
    cells = [RECURRENCES[name](3 if place == 0 else 4, 4, seed + place) for place in range(layers)]
    cell: Cell = cells[0] if layers == 1 else Stack(cells)
    cell = (Readout(cell, 2, generator=generator(seed)) if headed else cell).to(dtype)
    if not bias:
        freeze_biases(cell)
    stir(cell, seed)
    parts = to_torch(cell)
    assert parts.recurrent.batch_first and parts.recurrent.bias == bias
    assert parts.recurrent.num_layers == layers and isinstance(parts.head, nn.Linear) == headed
    back = from_torch(parts.recurrent, parts.head, encoder=parts.encoder)
    for (key, mine), (other, theirs) in zip(cell.named_parameters(), back.named_parameters(), strict=True):
        assert key == other and torch.equal(mine, theirs) and mine.requires_grad == theirs.requires_grad, key
    x = randn(2, 6, 3, dtype=dtype).requires_grad_()
    mine, theirs = scan(cell, x).output, run(parts, x)
    close(theirs, mine, "output", tolerance(dtype))
    slopes = [torch.autograd.grad((output**2).sum(), x, retain_graph=True)[0] for output in (mine, theirs)]
    close(slopes[1], slopes[0], "gradient by the input", 10 * tolerance(dtype))
    for output in (mine, theirs):
        (output**2).sum().backward()
    compare_gradients(back, cell, parts, tolerance=20 * tolerance(dtype))


def compare_gradients(named: Cell, cell: Cell, parts: TorchParts, tolerance: float) -> None:
    """Every parameter of a cell and its namesake in torch; of a sum each term has the gradient of the sum."""
    there = {key: value.grad for key, value in parts.recurrent.named_parameters()}
    head = {f"head.{key}": value.grad for key, value in (parts.head.named_parameters() if parts.head else ())}
    for key, parameter in cell.named_parameters():
        if parameter.grad is not None:
            first = named.torch_names[key].split(" + ")[0]
            theirs = head[first] if first in head else eval(first, {}, there)
            close(theirs, parameter.grad, key, tolerance)


def freeze_biases(cell: nn.Module) -> None:
    """Biases of zeros that are not trained: what a module without has."""
    for key, parameter in cell.named_parameters():
        if key.endswith("bias"):
            parameter.requires_grad_(False).zero_()


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(MODULES)),
    layers=st.integers(1, 3),
    bias=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**31),
)
def test_a_module_there_and_back(name: str, layers: int, bias: bool, dtype: torch.dtype, seed: int) -> None:
    """Weights are the same to the bit, outputs and last states to rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = MODULES[name](3, 4, num_layers=layers, bias=bias, batch_first=True, dtype=dtype)
    back, head, encoder = to_torch(from_torch(module))
    assert head is None and encoder is None and type(back) is type(module) and back.bias == bias
    for key, value in module.named_parameters():
        if "weight" in key:
            assert torch.equal(value, back.get_parameter(key)), key
    x = randn(2, 6, 3, dtype=dtype)
    close(back(x)[0], module(x)[0], "output", tolerance(dtype))
    close(leaves(back(x)[1]), leaves(module(x)[1]), "last state", tolerance(dtype))


NETWORKS: dict[str, Any] = {
    "own output": lambda: Elman(3, 4, output_size=2, generator=generator()),
    "output through softmax": lambda: Elman(3, 4, output_size=2, output_activation="softmax", generator=generator()),
    "readout through tanh": lambda: Readout(LSTM(3, 4), 2, "tanh", generator()),
    "head": lambda: Headed(GRU(3, 4), nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))),
    "head on a head": lambda: Headed(Readout(GRU(3, 4), 6), nn.Linear(6, 2)),
    "encoder": lambda: Encoded(GRU(5, 4), nn.Sequential(nn.Linear(3, 5), nn.Tanh())),
    "encoder inside": lambda: Readout(Encoded(GRU(5, 4), nn.Linear(3, 5)), 2),
    "linear layer below": lambda: Stack([Readout(Identity(3), 5), GRU(5, 4)]),
    "readout on a stack with readout": lambda: Stack([GRU(3, 4), Readout(GRU(4, 4), 2)]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    """What stands before and behind the recurrences, in whatever order it is wrapped."""
    cell = NETWORKS[name]().double()
    stir(cell)
    x = randn(2, 6, 3)
    with unchanged(cell):
        parts = to_torch(cell)
    close(run(parts, x), scan(cell, x).output, "output", 1e-11)
    back = from_torch(parts.recurrent, parts.head, encoder=parts.encoder)
    close(scan(back, x).output, scan(cell, x).output, "there and back", 1e-11)
    with torch.no_grad():  # the weights are copies
        for part in filter(None, parts):
            for parameter in part.parameters():
                parameter.zero_()
    assert scan(cell, x).output.any()


def test_tokens() -> None:
    """An Embedding is an nn.Embedding, on a cell as below a stack."""
    tokens = torch.tensor([[0, 6, 3]])
    for cell in (Embedding(GRU(3, 4), 7), Stack([Embedding(Identity(3), 7), GRU(3, 4), GRU(4, 4)])):
        parts = to_torch(cell)
        assert isinstance(parts.encoder, nn.Embedding)
        close(run(parts, tokens), scan(cell, tokens).output, "output", 1e-6)


def test_an_estimator_goes_to_torch() -> None:
    """The network of a fitted estimator, in its units."""
    X = randn(3, 20, 2).numpy()
    model = GRURegressor(hidden_size=5, num_layers=2, max_epochs=1, random_state=0).fit(X, X[..., :1])
    x = randn(2, 8, 2, dtype=torch.float32)
    close(run(to_torch(model.cell_), x), scan(model.cell_, x).output, "output", 1e-5)


def test_mode_what_is_trained_and_the_random_state_are_kept() -> None:
    """Frozen weights stay frozen, and nothing is drawn."""
    cell = Readout(Stack([GRU(3, 4), GRU(4, 4)]), 2).eval()
    cell.cell.layers[1].recurrent_weight.requires_grad_(False)  # type: ignore[union-attr, index]
    cell.affine.weight.requires_grad_(False)
    before = torch.random.get_rng_state()
    parts = to_torch(cell)
    assert torch.equal(torch.random.get_rng_state(), before)
    frozen = {key for part in filter(None, parts) for key, p in part.named_parameters() if not p.requires_grad}
    assert frozen == {"weight_hh_l1", "weight"} and not parts.recurrent.training


REFUSED: dict[str, Any] = {
    "no cell": (lambda: nn.GRU(3, 4), TypeError, "to_torch takes a Cell, got GRU"),
    "reset before": (lambda: GRU(3, 4, "before"), ValueError, "reset_gate='before': nn.GRU resets after"),
    "peepholes": (lambda: LSTM(3, 4, True), ValueError, "peepholes=True: the gates of nn.LSTM do not see c"),
    "sigmoid": (lambda: Elman(3, 4, activation="sigmoid"), ValueError, "activation='sigmoid': nn.RNN has tanh or relu"),
    "linear": (lambda: Linear(3, 4), ValueError, "torch has no module for Linear"),
    "offset": (lambda: Offset(GRU(3, 4)), ValueError, "torch has no module for Offset"),
    "residual": (lambda: Stack([GRU(3, 3), Residual(GRU(3, 3))]), ValueError, "torch has no module for Residual"),
    "learned start": (lambda: Learned()(GRU(3, 4)), ValueError, "starts from zeros: .* as hx"),
    "skip": (lambda: Readout(GRU(3, 4), 1, skip=True), ValueError, "Readout with skip=True: its head reads the input"),
    "tied": (lambda: Embedding(GRU(4, 4), 7, tied=7), ValueError, "Embedding with tied symbols"),
    "widths": (lambda: Stack([GRU(3, 4), GRU(4, 5)]), ValueError, "GRU of 4, GRU of 5; .* one kind and width"),
    "kinds": (lambda: Stack([GRU(3, 4), LSTM(4, 4)]), ValueError, "GRU of 4, LSTM of 4; .* one kind and width"),
    "activations": (
        lambda: Stack([Elman(3, 4), Elman(4, 4, activation="relu")]),
        ValueError,
        "several activations; those of an nn.RNN have one",
    ),
    "between": (lambda: Stack([Readout(GRU(3, 4), 4), GRU(4, 4)]), ValueError, "a Linear between two layers"),
    "nothing": (lambda: Identity(3), ValueError, "Identity holds no recurrence"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_does_not_have(name: str) -> None:
    """The reason is said in our words."""
    make, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        to_torch(make())

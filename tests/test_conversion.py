"""Cells made of torch's modules: equal numbers, independent weights, and clear words where it cannot be."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seqdyn.cells.elman import Elman
from seqdyn.composition import Readout, Stack
from seqdyn.conversion import Headed, from_torch
from seqdyn.files import load, save
from seqdyn.loops import scan
from seqdyn.state import leaves
from tests.dynamics.unchanged import unchanged
from tests.laws.laws import LAWS, check_closed_form, close

KINDS = {
    "rnn tanh": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}
CELLS = {
    "rnn tanh": lambda *sizes, **options: nn.RNNCell(*sizes, nonlinearity="tanh", **options),
    "rnn relu": lambda *sizes, **options: nn.RNNCell(*sizes, nonlinearity="relu", **options),
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
}


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(kind: Any, *sizes: int, seed: int = 0, **options: Any) -> Any:
    """A module in float64, drawn from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(*sizes, **options).double()


def states_of(last: Any) -> list[Tensor]:
    """torch's final state, (layers, batch, hidden) each, in the order of ours: layer after layer."""
    parts = last if isinstance(last, tuple) else (last,)
    return [part[layer] for layer in range(len(parts[0])) for part in parts]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(KINDS)),
    inputs=st.integers(1, 4),
    hidden=st.integers(1, 6),
    layers=st.integers(1, 3),
    bias=st.booleans(),
    batch_first=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_the_module(
    name: str, inputs: int, hidden: int, layers: int, bias: bool, batch_first: bool, seed: int
) -> None:
    """Outputs, final states of all layers and gradients by the input, of kernel and written step."""
    module = build(
        KINDS[name], inputs, hidden, seed=seed, num_layers=layers, bias=bias, batch_first=batch_first, dropout=0.0
    )
    cell, x = from_torch(module), randn(3, 7, inputs, seed=seed).requires_grad_()
    theirs = x if batch_first else x.transpose(0, 1)
    output, last = module(theirs)
    output = output if batch_first else output.transpose(0, 1)
    (slope,) = torch.autograd.grad((output**2).sum(), x)
    for result in (scan(cell, x), scan(cell, x, record=lambda x, before, output, after: None)):
        close(result.output, output, "output")
        for mine, other in zip(leaves(result.state), states_of(last), strict=True):
            close(mine, other, "final state")
        (own,) = torch.autograd.grad((result.output**2).sum(), x)
        close(own, slope, "gradient by the input", tolerance=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_equals_the_loop_over_a_torch_cell(name: str, bias: bool) -> None:
    """RNNCell, LSTMCell and GRUCell, one step after the other."""
    module = build(CELLS[name], 3, 5, bias=bias)
    x, state, outputs = randn(4, 9, 3), None, []
    for x_t in x.unbind(1):
        state = module(x_t, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    result = scan(from_torch(module), x)
    close(result.output, torch.stack(outputs, 1), "output")
    for mine, other in zip(leaves(result.state), state if isinstance(state, tuple) else (state,), strict=True):
        close(mine, other, "final state")


def test_dropout_is_left_out() -> None:
    """The cell is the module in inference, in whatever mode it is."""
    module = build(nn.GRU, 3, 5, num_layers=3, dropout=0.5, batch_first=True)
    cell, x = from_torch(module), randn(2, 6, 3)
    assert cell.training and module.training
    close(scan(cell, x).output, module.eval()(x)[0], "output")
    assert not from_torch(module).training


HEADS = {
    "linear": lambda: nn.Linear(5, 2),
    "linear without bias": lambda: nn.Linear(5, 2, bias=False),
    "network": lambda: nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 2)),
    "norm": lambda: nn.Sequential(nn.LayerNorm(5), nn.Softplus()),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, 2)),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str) -> None:
    """y_t = head(h_t); an affine head becomes a Readout."""
    module, head = build(nn.LSTM, 3, 5, num_layers=2, batch_first=True), build(HEADS[name])
    cell, x = from_torch(module, head), randn(3, 8, 3)
    expected = head.eval()(module(x)[0])
    assert isinstance(cell, Readout if "linear" in name else Headed)
    assert cell.output_size == expected.shape[-1]
    close(scan(cell, x).output, expected, "kernel")
    close(scan(cell, x, record=lambda x, before, output, after: None).output, expected, "written step")
    check_closed_form(cell, x)


def test_batch_norm_reads_a_row_alone() -> None:
    """A head for (batch, hidden) is run on rows, whatever the time axis."""
    head = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 1)).double()
    head[0].running_mean += 0.3
    module, x = build(nn.RNN, 3, 5, batch_first=True), randn(3, 8, 3)
    cell = from_torch(module, head).train()
    expected = head.eval()(module(x)[0].flatten(0, 1)).view(3, 8, 1)
    close(scan(cell, x).output, expected, "output, with the averages the head has")
    close(cell.head[0].running_mean, head[0].running_mean, "averages stay as they are", tolerance=0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["lstm", "gru without bias", "headed"])
def test_laws(law: Any, name: str) -> None:
    """A converted cell is a cell as any other."""
    if name == "headed":
        cell = from_torch(build(nn.LSTM, 3, 4), build(nn.Sequential, nn.Linear(4, 4), nn.Tanh()))
    else:
        cell = from_torch(build(nn.LSTM if name == "lstm" else nn.GRU, 3, 4, num_layers=2, bias=name == "lstm"))
    cell.requires_grad_()  # a law wants a gradient for every parameter
    law(cell, randn(4, 40, 3))


@pytest.mark.parametrize("name", KINDS)
def test_the_module_stays_as_it_is(name: str) -> None:
    """Conversion changes nothing, and neither does training one of the two change the other."""
    module = build(KINDS[name], 3, 5, num_layers=2, batch_first=True)
    head = nn.Sequential(nn.Linear(5, 2), nn.Dropout(0.1)).double()
    module(randn(1, 2, 3))[0].sum().backward()
    with unchanged(module), unchanged(head):
        cell = from_torch(module, head)
        scan(cell, randn(1, 4, 3)).output.sum().backward()
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.sub_(0.1 * parameter.grad)
    kept = copy.deepcopy(cell.state_dict())
    with torch.no_grad():
        for parameter in (*module.parameters(), *head.parameters()):
            parameter.zero_()
    assert all(torch.equal(kept[key], value) for key, value in cell.state_dict().items())


def test_dtype_and_what_is_trained_are_kept() -> None:
    """Frozen weights stay frozen, a missing bias is not trained, and half precision stays half."""
    module = nn.GRU(3, 5, num_layers=2)
    module.weight_hh_l1.requires_grad_(False)
    module.bias_ih_l0.requires_grad_(False)
    module.bias_hh_l0.requires_grad_(False)
    cell = from_torch(module, nn.Linear(5, 1, bias=False))
    frozen = {name for name, parameter in cell.named_parameters() if not parameter.requires_grad}
    assert frozen == {
        "cell.layers.0.bias",
        "cell.layers.0.recurrent_bias",
        "cell.layers.1.recurrent_weight",
        "affine.bias",
    }
    for dtype in (torch.float32, torch.bfloat16):
        assert {p.dtype for p in from_torch(nn.RNN(2, 3).to(dtype)).parameters()} == {dtype}
    bare = from_torch(nn.RNNCell(2, 3, bias=False))
    assert isinstance(bare, Elman) and not bare.bias.requires_grad and not bare.bias.any()


def test_weights_in_a_parametrisation_are_copied_as_they_act() -> None:
    """An orthogonal recurrent weight, which torch keeps in other coordinates."""
    module = nn.utils.parametrizations.orthogonal(build(nn.RNN, 3, 4, batch_first=True), "weight_hh_l0")
    x = randn(2, 6, 3)
    close(scan(from_torch(module), x).output, module(x)[0], "output")


@pytest.mark.parametrize("head", [None, nn.Linear(5, 2)], ids=["bare", "linear"])
def test_files(head: nn.Module | None, tmp_path: Path) -> None:
    """A converted cell of known parts is saved and loaded."""
    cell, x = from_torch(nn.LSTM(3, 5, num_layers=2, bias=False), head), torch.ones(1, 4, 3)
    save(tmp_path / "cell.safetensors", cell)
    again = load(tmp_path / "cell.safetensors")
    close(scan(again, x).output, scan(cell, x).output, "output", tolerance=0)
    assert isinstance(cell if head is None else cell.cell, Stack)
    assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in cell.parameters()]


def test_a_head_of_code_is_not_saved(tmp_path: Path) -> None:
    """The reason is said, and nothing is written."""
    cell = from_torch(nn.GRU(3, 5), nn.Sequential(nn.Linear(5, 2)))
    with pytest.raises(TypeError, match="a file holds no code"):
        save(tmp_path / "cell.safetensors", cell)
    with pytest.raises(TypeError, match="Sequential.*nn.Linear"):
        cell.constructor_arguments()
    assert not list(tmp_path.iterdir())


class Model(nn.Module):
    """A model as people have it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 4)
        self.head = nn.Linear(4, 1)


class Odd(nn.GRU):
    """A subclass that does something else."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Mixing(nn.Module):
    """A head in which sequences talk to each other."""

    def forward(self, h: Tensor) -> Tensor:
        return h - h.mean(0)


class Drawing(nn.Module):
    """A head that draws random numbers."""

    def forward(self, h: Tensor) -> Tensor:
        return h + torch.randn_like(h)


REFUSED = {
    "bidirectional": (lambda: from_torch(nn.GRU(3, 4, bidirectional=True)), ValueError, "future.*Encoder"),
    "projected": (lambda: from_torch(nn.LSTM(3, 4, proj_size=2)), ValueError, "proj_size=2.*ten lines"),
    "model": (lambda: from_torch(Model()), TypeError, r"got Model, which holds encoder \(LSTM\).*head="),
    "feed-forward": (lambda: from_torch(nn.Linear(3, 4)), TypeError, "got Linear: write the recurrence as a Cell"),
    "no module": (lambda: from_torch("lstm"), TypeError, "got str"),
    "subclass": (lambda: from_torch(Odd(3, 4)), TypeError, "Odd computes something of its own"),
    "function": (lambda: from_torch(nn.GRU(3, 4), torch.tanh), TypeError, "head must be an nn.Module"),
    "width": (lambda: from_torch(nn.GRU(3, 4), nn.Linear(5, 1)), ValueError, r"does not take h_t, a row \(4,\)"),
    "dtype": (lambda: from_torch(nn.GRU(3, 4), nn.Linear(4, 1).double()), ValueError, "torch.float32"),
    "tuple": (lambda: from_torch(nn.GRU(3, 4), nn.GRU(4, 1)), ValueError, "gives tuple of two rows"),
    "rank": (lambda: from_torch(nn.GRU(3, 4), nn.Unflatten(1, (2, 2))), ValueError, r"shape \(2, 2, 2\)"),
    "mixing": (lambda: from_torch(nn.GRU(3, 4), Mixing()), ValueError, "stands alone"),
    "drawing": (lambda: from_torch(nn.GRU(3, 4), Drawing()), ValueError, "stands alone"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    """What cannot be converted is named, with the way out, and torch's random state is left alone."""
    attempt, error, words = REFUSED[name]
    with torch.random.fork_rng(), pytest.raises(error, match=words):
        attempt()

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

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.composition import Embedding, Readout, Stack
from seqdyn.conversion import from_torch
from seqdyn.files import load, save
from seqdyn.loops import scan
from seqdyn.row_modules import Encoded, Headed
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
@pytest.mark.parametrize("name", ["lstm", "gru without bias", "headed", "encoded", "tokens", "backward"])
def test_laws(law: Any, name: str) -> None:
    """A converted cell is a cell as any other."""
    if name == "headed":
        cell = from_torch(build(nn.LSTM, 3, 4), build(nn.Sequential, nn.Linear(4, 4), nn.Tanh()))
    elif name == "encoded":
        cell = from_torch(build(nn.GRU, 3, 4), encoder=build(nn.Sequential, nn.Linear(4, 3), nn.Tanh()))
    elif name == "tokens":
        cell = from_torch(build(nn.LSTM, 3, 4), encoder=build(nn.Sequential, nn.Embedding(4, 3), nn.Tanh()))
    elif name == "backward":
        cell = from_torch(build(nn.GRU, 4, 4, bidirectional=True), direction="backward")
    else:
        cell = from_torch(build(nn.LSTM if name == "lstm" else nn.GRU, 3, 4, num_layers=2, bias=name == "lstm"))
    cell.requires_grad_()  # a law wants a gradient for every parameter
    law(cell, inputs_of(cell, 4, 40))


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", KINDS)
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    """It runs, and gives what torch gives in that precision."""
    module, head = build(KINDS[name], 3, 5, num_layers=2, batch_first=True).to(dtype), build(nn.Linear, 5, 2).to(dtype)
    cell, x = from_torch(module, head, encoder=build(nn.Linear, 2, 3).to(dtype)), randn(3, 7, 2).to(dtype)
    output, expected = scan(cell, x).output, head(module(cell.encoder(x))[0])
    assert output.dtype == dtype
    close(output.double(), expected.double(), "output", tolerance=20 * torch.finfo(dtype).eps)


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


# --- encoders ---------------------------------------------------------------------------------------------------------


ENCODERS = {
    "linear": (lambda: nn.Linear(2, 3), Encoded, (2,)),
    "network": (lambda: nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)), Encoded, (2,)),
    "norm": (lambda: nn.LayerNorm(3), Encoded, (3,)),
    "batch norm": (lambda: nn.BatchNorm1d(3), Encoded, (3,)),
    "embedding": (lambda: nn.Embedding(7, 3), Embedding, ()),
    "embedding with padding": (lambda: nn.Embedding(7, 3, padding_idx=0), Encoded, ()),
    "embedding in a network": (lambda: nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 3)), Encoded, ()),
}


def inputs_of(cell: Cell, *extents: int, seed: int = 1) -> Tensor:
    """Numbers or tokens (*extents, *inputs)."""
    if cell.input_shape == ():
        return torch.randint(cell.input_size, extents, generator=torch.Generator().manual_seed(seed))
    return randn(*extents, *cell.input_shape, seed=seed)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name: str, layers: int) -> None:
    """h_t = f(encoder(x_t), h_{t-1}), by kernel and written step, with all gradients of the encoder's weights."""
    make, kind, shape = ENCODERS[name]
    module, encoder, head = (
        build(nn.GRU, 3, 5, num_layers=layers, batch_first=True),
        build(make),
        build(nn.Linear, 5, 2),
    )
    cell = from_torch(module, head, encoder=encoder)
    assert isinstance(cell, kind) and cell.input_shape == shape
    x = inputs_of(cell, 3, 8)
    encoder.eval()
    rows = encoder(x.flatten(0, 1)).unflatten(0, (3, 8))
    expected = head(module(rows)[0])
    (expected**2).sum().backward()
    for result in (scan(cell, x), scan(cell, x, record=lambda x, before, output, after: None)):
        close(result.output, expected, "output")
        cell.zero_grad()
        (result.output**2).sum().backward()
        theirs = dict(encoder.named_parameters())
        for key, parameter in cell.named_parameters():
            if cell.torch_names[key].startswith("encoder."):
                close(parameter.grad, theirs.pop(cell.torch_names[key][8:]).grad, key, tolerance=1e-10)
        assert not theirs


def test_an_encoder_that_does_not_tell_its_inputs() -> None:
    """Pictures through a convolution, and a module with weights of its own."""
    encoder = build(nn.Sequential, nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    module = build(nn.LSTM, 3, 5, batch_first=True)
    with pytest.raises(ValueError, match=r"cannot be told from its first layer: give input_size"):
        from_torch(module, encoder=encoder)
    cell, x = from_torch(module, encoder=encoder, input_size=(1, 4, 4)), randn(2, 6, 1, 4, 4)
    assert cell.input_shape == (1, 4, 4) and cell.input_size == 16
    close(scan(cell, x).output, module(encoder(x.flatten(0, 1)).view(2, 6, 3))[0], "output")


def test_tokens_that_the_encoder_does_not_know() -> None:
    """The number that is too large is named."""
    for encoder in (nn.Embedding(7, 3), nn.Embedding(7, 3, padding_idx=0)):
        cell = from_torch(nn.GRU(3, 5), encoder=encoder)
        with pytest.raises(ValueError, match="between 1 and 7"):
            scan(cell, torch.tensor([[1, 7]]))


# --- directions and wrappers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_one_direction(name: str, bias: bool) -> None:
    """Each of the two of a bidirectional module, the backward one on the reversed sequence."""
    module = build(KINDS[name], 3, 5, bias=bias, batch_first=True, bidirectional=True)
    x = randn(4, 9, 3)
    both, last = module(x)
    forward, backward = (from_torch(module, direction=way) for way in ("forward", "backward"))
    close(scan(forward, x).output, both[..., :5], "forward")
    close(scan(backward, x, reverse=True).output, both[..., 5:], "backward")
    close(leaves(scan(backward, x, reverse=True).state)[0], states_of(last)[-2 if name == "lstm" else -1], "last state")
    assert forward.torch_names["recurrent_weight"] == "weight_hh_l0"
    assert backward.torch_names["recurrent_weight"] == "weight_hh_l0_reverse"


def compiled(module: nn.Module) -> Any:
    """By torch.compile, with the backend that is quick to import."""
    return torch.compile(module, backend="eager")


WRAPPERS: dict[str, Any] = {
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "compiled twice": lambda module: compiled(nn.DataParallel(compiled(module))),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_are_looked_through(name: str) -> None:
    """Around the recurrence, the head and the encoder, and around a part of these."""
    wrap = WRAPPERS[name]
    module, head, encoder = build(nn.LSTM, 3, 4), build(nn.Linear, 4, 2), build(nn.Linear, 2, 3)
    plain, x = from_torch(module, head, encoder=encoder), randn(2, 5, 2)
    wrapped = from_torch(wrap(module), wrap(head), encoder=nn.Sequential(wrap(encoder), nn.Identity()))
    close(scan(wrapped, x).output, scan(plain, x).output, "output", tolerance=0)
    assert isinstance(wrapped.cell, Readout)
    assert {type(part).__name__ for part in wrapped.modules()}.isdisjoint({"DataParallel", "OptimizedModule"})
    assert wrapped.torch_names["encoder.0.weight"] == "encoder.0.weight"


def test_distributed_modules_are_looked_through(tmp_path: Path) -> None:
    """DistributedDataParallel wants a process group, of one."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        module = nn.parallel.DistributedDataParallel(build(nn.GRU, 3, 4, batch_first=True))
        x = randn(2, 5, 3)
        close(scan(from_torch(module), x).output, module.module(x)[0], "output")
    finally:
        torch.distributed.destroy_process_group()


# --- names ------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(KINDS)),
    layers=st.integers(1, 3),
    bias=st.booleans(),
    headed=st.sampled_from([None, "linear", "linear without bias", "network", "weight norm"]),
    encoded=st.sampled_from([None, "linear", "embedding", "embedding with padding", "network"]),
)
def test_names_are_those_of_torch(name: str, layers: int, bias: bool, headed: str | None, encoded: str | None) -> None:
    """Evaluated in the user's modules, every name gives the value of the parameter; the rest torch lacks."""
    module = build(KINDS[name], 3, 5, num_layers=layers, bias=bias)
    head = None if headed is None else build(HEADS[headed])
    encoder = None if encoded is None else build(ENCODERS[encoded][0])
    cell = from_torch(module, head, encoder=encoder)
    theirs = dict(module.named_parameters())
    for place, part in (("head", head), ("encoder", encoder)):
        theirs |= {f"{place}.{key}": value for key, value in (part.named_parameters() if part else ())}
    own = dict(cell.named_parameters())
    for key, name_there in cell.torch_names.items():
        if name_there.startswith(("head.", "encoder.")):
            value = theirs[name_there]
        else:
            value = eval(name_there, {}, theirs)
        parts_stay_apart = name == "gru" and "_l" in name_there and key.endswith("bias")  # b_in and b_hn
        rows = slice(0, 10) if parts_stay_apart and not key.endswith("recurrent_bias") else slice(None)
        close(own.pop(key)[rows], value[rows], key)
    assert all(key.endswith("bias") and not value.any() and not value.requires_grad for key, value in own.items())


# --- models -----------------------------------------------------------------------------------------------------------


class Model(nn.Module):
    """A model as people have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 3)
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.lstm(self.embed(x))[0]))


class Deep(nn.Module):
    """One whose parts lie deeper, in lists."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(2, 6)
        self.blocks = nn.ModuleList([nn.ModuleDict({"core": nn.GRU(6, 4, batch_first=True)})])
        self.read = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.blocks[0]["core"](self.lift(x))[0])


class Outer(nn.Module):
    """One around another, which is wrapped."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.DataParallel(Deep())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


MODELS: dict[str, Any] = {
    "plain": (Model, "from_torch(model.lstm, head=model.fc, encoder=model.embed)"),
    "deep": (Deep, "from_torch(model.blocks[0]['core'], head=model.read, encoder=model.lift)"),
    "wrapped": (
        Outer,
        "from_torch(model.inner.module.blocks[0]['core'], head=model.inner.module.read, "
        "encoder=model.inner.module.lift)",
    ),
    "parallel": (
        lambda: nn.DataParallel(Model()),
        "from_torch(model.module.lstm, head=model.module.fc, encoder=model.module.embed)",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_a_model_is_told_can_be_pasted(name: str) -> None:
    """The call in the error works as it stands, and gives what the model gives."""
    make, call = MODELS[name]
    model = build(make).eval()
    with pytest.raises(TypeError) as caught:
        from_torch(model)
    assert str(caught.value).endswith(f"{call}.")
    cell = eval(call, {"from_torch": from_torch, "model": model, "nn": nn})
    x = inputs_of(cell, 2, 6)
    inner = model.module if isinstance(model, nn.DataParallel) else model
    close(scan(cell, x).output, inner(x), "output")


def test_what_a_cell_leaves_out_of_a_model_is_named() -> None:
    model = nn.ModuleDict({"gru": nn.GRU(3, 4), "attention": nn.MultiheadAttention(4, 1), "out": nn.Linear(4, 1)})
    with pytest.raises(TypeError, match=r"head=model\['out'\]\)\. model\['attention'\] is not in it: "):
        from_torch(model)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("wrapped", [lambda module: module, nn.DataParallel], ids=["bare", "wrapped"])
def test_a_cell_knows_what_it_was_made_of(wrapped: Any, batch_first: bool) -> None:
    """Name and layout of what was given, whatever is put around it."""
    module = wrapped(nn.LSTM(3, 4, num_layers=2, batch_first=batch_first))
    for cell in (from_torch(module), from_torch(module, nn.Linear(4, 1), encoder=nn.Embedding(9, 3))):
        assert (cell.torch_module, cell.torch_batch_first) == ("LSTM", batch_first)
        assert copy.deepcopy(cell).torch_batch_first is batch_first
    assert from_torch(nn.GRUCell(3, 4)).torch_batch_first


class Attending(nn.Module):
    """As the models of other libraries have it: known by the names of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.h = nn.ModuleList([type("GPT2Attention", (nn.Linear,), {})(4, 4)])


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


class Keeping(nn.Linear):
    """A head that keeps what it computed."""

    def __init__(self) -> None:
        super().__init__(4, 1)
        self.last = self(torch.zeros(1, 4))


HALVES = {
    "bidirectional": (lambda: from_torch(nn.GRU(3, 4, bidirectional=True)), ValueError, 'future.*direction="forward"'),
    "deep and bidirectional": (
        lambda: from_torch(nn.GRU(3, 4, 2, bidirectional=True), direction="forward"),
        ValueError,
        "2 layers: from the second on each reads both directions",
    ),
    "direction of one": (lambda: from_torch(nn.GRU(3, 4), direction="forward"), ValueError, "has one only"),
    "which direction": (lambda: from_torch(nn.GRU(3, 4), direction="back"), ValueError, "direction must be one of"),
    "head of both": (
        lambda: from_torch(nn.GRU(3, 4, bidirectional=True), nn.Linear(8, 1), direction="backward"),
        ValueError,
        "reads both directions does not fit",
    ),
}
ENCODED = {
    "encoder is a function": (lambda: from_torch(nn.GRU(3, 4), encoder=torch.tanh), TypeError, "encoder must be an nn"),
    "encoder of another width": (
        lambda: from_torch(nn.GRU(3, 4), encoder=nn.Linear(2, 5)),
        ValueError,
        "gives rows of 5, but the recurrence takes rows of 3",
    ),
    "encoder that mixes": (
        lambda: from_torch(nn.GRU(3, 4), encoder=Mixing(), input_size=3),
        ValueError,
        "stands alone",
    ),
    "encoder that draws": (
        lambda: from_torch(nn.GRU(3, 4), encoder=Drawing(), input_size=3),
        ValueError,
        "stands alone",
    ),
    "input size of the encoder": (
        lambda: from_torch(nn.GRU(3, 4), encoder=nn.Linear(2, 3), input_size=5),
        ValueError,
        r"does not take x_t, a row \(5,\).*takes rows of the shape \(2,\)",
    ),
    "input size of nonsense": (
        lambda: from_torch(nn.GRU(3, 4), encoder=nn.Linear(2, 3), input_size="2"),
        ValueError,
        "a width, a shape without the batch, or None, got '2'",
    ),
    "input size without encoder": (lambda: from_torch(nn.GRU(3, 4), input_size=5), ValueError, "takes rows of 3"),
    "dtype of the vectors": (
        lambda: from_torch(nn.GRU(3, 4), encoder=nn.Embedding(7, 3).double()),
        ValueError,
        "gives torch.float64, but the recurrence is of torch.float32",
    ),
    "dtype of the encoder": (
        lambda: from_torch(nn.GRU(3, 4), encoder=nn.Linear(2, 3).double()),
        ValueError,
        r"its weight is of torch.float64; give module.to\(torch.float32\)",
    ),
}
VALUELESS = {
    "meta": (lambda: from_torch(nn.LSTM(3, 4, device="meta")), ValueError, "LSTM.*'meta': weight_ih_l0 has a shape"),
    "meta head": (lambda: from_torch(nn.LSTM(3, 4), nn.Linear(4, 1, device="meta")), ValueError, "The head .*'meta'"),
    "meta encoder": (
        lambda: from_torch(nn.LSTM(3, 4), encoder=nn.Linear(2, 3, device="meta")),
        ValueError,
        "The encoder .*'meta'",
    ),
    "lazy head": (lambda: from_torch(nn.LSTM(3, 4), nn.LazyLinear(1)), ValueError, "lazy: weight has no shape yet"),
}
REFUSED = {
    **HALVES,
    **ENCODED,
    **VALUELESS,
    "projected": (lambda: from_torch(nn.LSTM(3, 4, proj_size=2)), ValueError, "proj_size=2.*ten lines"),
    "transformer": (
        lambda: from_torch(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 2)),
        TypeError,
        r"attends \(layers.0.self_attn, layers.1.self_attn\): every output looks at all inputs.*autograd",
    ),
    "decoder": (lambda: from_torch(nn.TransformerDecoderLayer(8, 2)), TypeError, "no state h_t of fixed size"),
    "attention": (lambda: from_torch(nn.MultiheadAttention(8, 2)), TypeError, r"attends \(itself\)"),
    "attention by name": (lambda: from_torch(Attending()), TypeError, r"attends \(h.0\): every output looks"),
    "attention in short": (
        lambda: from_torch(nn.Sequential(type("Attn", (nn.Linear,), {})(4, 4))),
        TypeError,
        r"attends \(0\)",
    ),
    "attention without a name": (
        lambda: from_torch(nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1))),
        TypeError,
        "If it is an attention model, .*no state h_t of fixed size",
    ),
    "compiled by jit": (lambda: from_torch(torch.jit.ScriptModule()), TypeError, "torch.jit: give the nn.Module"),
    "quantised": (
        lambda: from_torch(torch.ao.nn.quantizable.LSTM(3, 4)),
        TypeError,
        r"got torch\.ao\.nn\.quantizable\..*LSTM, which is quantised",
    ),
    "history": (lambda: from_torch(nn.GRU(3, 4), Keeping()), ValueError, "The head .*computed with a history"),
    "cell": (lambda: from_torch(Elman(3, 4)), TypeError, "a Cell already"),
    "step without a start": (lambda: from_torch(lambda x, h: (h, h)), TypeError, "needs initial_state and input_size"),
    "start of a module": (
        lambda: from_torch(nn.GRU(3, 4), initial_state=torch.zeros(4)),
        ValueError,
        "initial_state belongs to a step function; the GRU starts from zeros",
    ),
    "step with a head": (
        lambda: from_torch(lambda x, h: (h, h), nn.Linear(4, 1), initial_state=torch.zeros(4), input_size=4),
        ValueError,
        "takes no head",
    ),
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

"""Files: what is written comes back; what was touched, is foreign or unknown is an error, and runs nothing."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import math
import os
import pickle
import stat
import subprocess
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.extra.numpy as numpy_strategies
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import seqdyn
from seqdyn import files, registry
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU, GRUState
from seqdyn.cells.lstm import LSTM, LSTMState
from seqdyn.cells.moving_average import ExponentialMovingAverage
from seqdyn.composition import Readout, Residual, Stack
from seqdyn.encoder import Encoder
from seqdyn.files import FileFormatError
from seqdyn.initial_state import Given, Learned, Random, Started, Warmup, Zero
from seqdyn.loops import scan
from seqdyn.state import flatten
from tests.laws.cells import LAW_TABLE, Entry, prepare

IN_ONE_FOLDER = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


# --- stand-ins for what users and higher floors bring -----------------------------------------------------------------


@files.register
class StandInState(NamedTuple):
    h: Tensor


@files.register
class StandIn(Cell):
    """A user's cell; its torch.nn.Linear draws from torch's global generator."""

    def __init__(self, input_size: int, hidden_size: int, *, leak: float = 0.1):
        super().__init__(input_size, hidden_size)
        self.leak = leak
        self.drive = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch: int) -> StandInState:
        return StandInState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: StandInState) -> tuple[Tensor, StandInState]:
        h = (1 - self.leak) * state.h + self.leak * self.drive(x)
        return h, StandInState(h)


@files.register
class StandInHead(StandIn):
    """Does not keep ``output_size``, and says so."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None):
        super().__init__(input_size, hidden_size)
        self.head = None if output_size is None else nn.Linear(hidden_size, output_size)

    def constructor_arguments(self) -> dict[str, Any]:
        return {"output_size": None if self.head is None else self.head.out_features}


class Estimator:
    """An estimator as files.py sees one."""

    cell_: Any
    state_: Any
    inner_: Any
    feature_names_in_: Any

    def __init__(self, cell: Any = GRU, loss: Any = "mse"):
        self.cell, self.loss = cell, loss

    def to_content(self) -> dict[str, Any]:
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_")}
        return {"params": {"cell": self.cell, "loss": self.loss}, "fitted": fitted}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Estimator:
        self = cls(**content["params"])
        vars(self).update(content["fitted"])
        return self


@files.register
class StandInRegressor(Estimator):
    pass


@files.register
def stand_in_loss(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.safetensors"


def there_and_back(path: Path, value: Any) -> Any:
    files.write(path, value)
    return files.read(path)


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, NaN equal to NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and _bits(one) == _bits(other)
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        if one.dtype.kind == "O":
            return same(one.ravel().tolist(), other.ravel().tolist())
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fcmM"))
    if isinstance(one, np.generic):
        return same(np.asarray(one), np.asarray(other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one))
    if isinstance(one, float):
        return repr(one) == repr(other)
    return bool(one == other)


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def forge(path: Path, content: Any, tensors: dict[str, Tensor] | None = None, version: int = 1) -> None:
    """A file with a right seal and any content: what somebody who means harm would make."""
    seal(path, json.dumps({"format": version, "sha256": "0" * 64, "content": content}, separators=(",", ":")), tensors)


def seal(path: Path, text: str, tensors: dict[str, Tensor] | None = None) -> None:
    data = bytearray(safetensors.torch.save(tensors or {}, {"seqdyn": text}))
    start, stop = files._SEAL.search(data).span(2)  # type: ignore[union-attr]
    data[start:stop] = files._digest(data, start, stop)
    path.write_bytes(data)


# --- the registry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", files.REGISTRY)
def test_every_name_in_the_registry_resolves(name: str) -> None:
    found = getattr(importlib.import_module(files.REGISTRY[name]), name)
    assert inspect.isclass(found)
    assert registry.class_name(found, "") == name


def test_every_cell_and_state_of_the_library_is_in_the_registry() -> None:
    modules = {module for module in files.REGISTRY.values() if not module.startswith("seqdyn.estimators")}
    abstract = ("Cell", "Wrapper", "Attentive", "RowCell", "RowWrapper")
    for module in map(importlib.import_module, modules):
        for name, found in inspect.getmembers(module, inspect.isclass):
            own = found.__module__ == module.__name__ and not name.startswith("_") and name not in abstract
            if own and (issubclass(found, Cell) or (issubclass(found, tuple) and name.endswith("State"))):
                assert name in files.REGISTRY


def test_register_is_a_decorator_and_may_be_repeated() -> None:
    assert files.register(StandIn) is StandIn
    assert files.register(files.register(GRU)) is GRU


def test_register_refuses_a_name_that_is_taken() -> None:
    with pytest.raises(ValueError, match=r"'GRU' is the name of seqdyn\.cells\.gru\.GRU"):
        files.register(type("GRU", (StandIn,), {}))
    with pytest.raises(ValueError, match="'StandIn' is registered for"):
        files.register(type("StandIn", (Cell,), {"__module__": "elsewhere"}))
    with pytest.raises(TypeError, match="takes a class or a function with a name"):
        files.register(lambda: None)
    with pytest.raises(TypeError, match="takes a class or a function with a name"):
        files.register(3)  # type: ignore[type-var]


def test_a_class_defined_again_replaces_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OWN", dict(registry._OWN))

    def define() -> Any:
        @files.register
        class Again(NamedTuple):
            h: Tensor

        return Again

    old, new = define(), define()
    assert type(there_and_back(path, new(torch.zeros(1)))) is new
    with pytest.raises(TypeError, match="decorate the class"):
        files.write(path, old(torch.zeros(1)))


def test_files_that_know_a_class_by_its_former_name_still_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for former, present in registry.RENAMED.items():
        assert former not in registry.REGISTRY and registry.registered(former).__name__ == present
    files.save(path, Stack([StandIn(2, 2), GRU(2, 3)]))
    monkeypatch.setattr(registry, "RENAMED", {"StandIn": "GRU"})
    with pytest.raises(ValueError, match=r"'StandIn' is the name of seqdyn\.cells\.gru\.GRU"):
        files.register(StandIn)
    monkeypatch.setattr(registry, "_OWN", {})
    assert registry.registered("StandIn") is GRU


# --- values -----------------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
numbers = numpy_strategies.arrays(
    numpy_strategies.boolean_dtypes()
    | numpy_strategies.integer_dtypes()
    | numpy_strategies.unsigned_integer_dtypes()
    | numpy_strategies.floating_dtypes(sizes=(16, 32, 64))
    | numpy_strategies.complex_number_dtypes(sizes=(64, 128))
    | numpy_strategies.datetime64_dtypes(endianness="=")
    | numpy_strategies.timedelta64_dtypes(endianness="="),
    numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
).map(lambda array: array.astype(array.dtype.newbyteorder("=")))
labels = st.lists(st.text(max_size=4), max_size=4).map(lambda words: np.array(words, dtype=object)) | st.lists(
    st.text(max_size=4), min_size=1, max_size=4
).map(np.array)
tensors = numpy_strategies.arrays(
    st.sampled_from(["bool", "uint8", "int16", "int64", "float16", "float32", "float64", "complex64", "complex128"]),
    numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
).map(torch.from_numpy) | st.lists(st.floats(width=16), max_size=3).map(
    lambda values: torch.tensor(values, dtype=torch.bfloat16)
)
states = st.builds(LSTMState, tensors, tensors) | st.builds(GRUState, tensors) | st.builds(StandInState, tensors)
strategies = st.sampled_from([Zero(), Learned(), Random(0.5, seed=3), Warmup(), Warmup(4, Random())]) | states.map(
    Given
)
classes = st.sampled_from([GRU, Stack, LSTMState, StandIn, StandInRegressor, stand_in_loss])
leaves = (
    scalars
    | numbers
    | numbers.map(lambda array: array.reshape(-1)[0] if array.size else array)
    | labels
    | tensors
    | states
    | classes
)
trees = st.recursive(
    leaves | strategies,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["$tensor", "a.b", "__metadata__"]), inner, max_size=3)
        | st.dictionaries(st.integers() | st.booleans() | st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=12,
)


@IN_ONE_FOLDER
@given(content=trees)
def test_whatever_is_written_comes_back(path: Path, content: Any) -> None:
    assert same(there_and_back(path, content), content)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        2**100,
        "\x00 \ud800 “ \\ \" '\n",
        {"$tensor": "0"},
        {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, "a_b": torch.full((1,), 2.0)},
        {"__metadata__": torch.zeros(1)},
        {0: 1.0, "0": 2.0, None: 3},
        np.float64(1.5),
        np.bool_(True),
        np.str_("setosa"),
        np.datetime64("2024-03-01T12"),
        np.datetime64("NaT"),
        np.array(["a", "bc"]),
        np.empty((2, 0, 3), dtype="<U4"),
        np.array([["x", None], ["y", 3.5]], dtype=object),
        np.array(["a", np.str_("b"), np.nan], dtype=object),
        np.arange("2024-01", "2024-04", dtype="datetime64[M]"),
        np.array(2.0),
        np.arange(3, dtype=np.uint16),
        torch.zeros(0, 3),
        torch.tensor(4),
        torch.tensor([1.0, math.nan]).bfloat16(),
        torch.tensor([1 + 2j], dtype=torch.complex128),
        (),
        [],
        {},
    ],
    ids=repr,
)
def test_special_values_survive(path: Path, value: Any) -> None:
    assert same(there_and_back(path, value), value)


def test_views_are_stored_as_what_they_show(path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    content: dict[str, Any] = {
        "transposed": base.T,
        "column": base[:, 1],
        "expanded": torch.ones(1, 2).expand(3, 2),
        "halves": (base[:2], base[1:]),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "learnt": nn.Parameter(torch.ones(2)),
        "strided": np.arange(10)[::-2],
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(3, dtype=">i4"),
        "read_only": np.broadcast_to(np.float32(2), (2, 2)),
    }
    back = there_and_back(path, content)
    for name in ("transposed", "column", "expanded", "conjugate", "learnt"):
        assert torch.equal(back[name], content[name].detach().resolve_conj())
        assert not back[name].requires_grad
    assert torch.equal(back["halves"][0], base[:2]) and torch.equal(back["halves"][1], base[1:])
    for name in ("strided", "fortran", "big_endian", "read_only"):
        np.testing.assert_array_equal(back[name], content[name])
        back[name].flat[0] = 0  # what was read is the reader's own


def test_one_tensor_in_two_places_is_stored_once(path: Path) -> None:
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    back = there_and_back(path, {"first": weight, "second": weight})
    assert back["first"] is back["second"]
    assert path.stat().st_size < 5000


def test_dicts_of_other_kinds_come_back_as_dicts(path: Path) -> None:
    assert same(there_and_back(path, OrderedDict(a=1, b=torch.Size([2]))), {"a": 1, "b": (2,)})


def test_the_file_is_plain_safetensors_with_readable_names(path: Path) -> None:
    files.save(path, Stack([GRU(2, 3)]))
    with safetensors.safe_open(path, "pt") as file:
        assert "layers[0].input_weight" in file.keys()
        assert json.loads(file.metadata()["seqdyn"])["format"] == files.FORMAT


def test_a_file_says_who_wrote_it_and_when(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version, and an instant between before and after; neither is part of what is read back."""
    before = datetime.now(UTC).replace(microsecond=0)
    files.save(path, GRU(2, 3))
    found = files.written(path)
    assert found["seqdyn"] == seqdyn.__version__ and set(found) == {"seqdyn", "at"}
    assert before <= datetime.fromisoformat(found["at"]) <= datetime.now(UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    files.save(path, GRU(2, 3))
    assert files.written(path)["at"] == "1970-01-02T00:00:00+00:00"
    forge(path, None)
    assert files.written(path) == {}
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        files.written(path)


def test_the_same_content_makes_the_same_bytes_in_another_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    content = {"b": np.arange(3), "a": [1.5, "x"], "state": LSTMState(torch.zeros(1, 2), torch.ones(1, 2))}
    files.write(path, content)
    script = (
        "import sys, numpy as np, torch; from seqdyn import files; from seqdyn.cells.lstm import LSTMState; "
        "files.write(sys.argv[1], {'b': np.arange(3), 'a': [1.5, 'x'], "
        "'state': LSTMState(torch.zeros(1, 2), torch.ones(1, 2))})"
    )
    other = path.with_name("other.safetensors")
    subprocess.run([sys.executable, "-c", script, other], check=True, cwd=Path(files.__file__).parents[1])
    assert other.read_bytes() == path.read_bytes()


# --- what cannot be stored --------------------------------------------------------------------------------------------


class Unregistered(NamedTuple):
    h: Tensor


class Strange:
    pass


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"params": {"loss": lambda a, b: a}}, r"^params\.loss needs the function .*decorate the function.*loss='mse'"),
        ({"params": {"loss": nn.MSELoss()}}, r"^params\.loss needs the class torch.nn.modules.loss.MSELoss"),
        ({"params": [1, {"f": len}]}, r"^params\[1\]\.f is a builtin_function_or_method.*register"),
        ({"a": Strange()}, r"^a is a Strange, which a file cannot hold"),
        ({"a": Unregistered(torch.zeros(1))}, r"^a needs the class .*Unregistered.*decorate the class"),
        ({"cell": Unregistered}, r"^cell needs the class .*Unregistered"),
        ({"model": Estimator()}, r"^model needs the class .*Estimator.*@seqdyn.register before saving"),
        ({"seed": np.random.default_rng(0)}, r"^seed is a Generator.*use an int as the seed"),
        ({"seed": torch.Generator()}, r"^seed is a Generator.*use an int as the seed"),
        ({"a": {1, 2}}, "^a is a set"),
        ({"a": b"raw"}, "^a is a bytes"),
        ({"a": 1j}, "^a is a complex"),
        ({"a": 10**5000}, "^a is an int"),
        ({"a": np.longdouble(1)}, "^a is an array of (float128|longdouble|float96)"),
        ({"a": np.zeros(2, dtype=[("x", "f4")])}, "^a is an array of"),
        ({"a": np.ma.masked_array([1.0], mask=[True])}, "^a is a MaskedArray"),
        ({"a": np.array([[1], "x"], dtype=object)}, "^a is an object array"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "^a is a torch.sparse_coo tensor"),
        ({"a": torch.zeros(2, device="meta")}, "^a is a torch.strided tensor .* on meta"),
        ({(1, Strange()): 1}, r"^a key of content\[1\] is a Strange"),
        (CYCLE, "nested more than 100 levels deep, or contains itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_stored_is_refused_with_its_place(path: Path, content: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        files.write(path, content)
    assert os.listdir(path.parent) == []


def test_save_takes_models_only(path: Path) -> None:
    with pytest.raises(TypeError, match="save takes an estimator or a cell, got a dict"):
        files.save(path, {})
    files.write(path, {})
    with pytest.raises(FileFormatError, match=r"holds a dict, not a model: seqdyn\.files\.read"):
        files.load(path)


def test_load_refuses_another_kind_than_expected(path: Path) -> None:
    files.save(path, GRU(2, 3))
    assert files.load(path, GRU).hidden_size == files.load(path, Cell).hidden_size == 3
    with pytest.raises(FileFormatError, match=r"holds a GRU, where LSTM was expected\."):
        files.load(path, LSTM)


# --- cells ------------------------------------------------------------------------------------------------------------


def twins(cell: nn.Module, path: Path) -> Any:
    """The cell from the file, after a look at everything about it but its behaviour."""
    files.save(path, cell)
    back = files.load(path)
    assert type(back) is type(cell)
    assert str(back) == str(cell)
    assert same(dict(back.state_dict()), dict(cell.state_dict()))
    assert {name: buffer.dtype for name, buffer in back.named_buffers()} == {
        name: buffer.dtype for name, buffer in cell.named_buffers()
    }
    for one, other in zip(cell.modules(), back.modules(), strict=True):
        plain = {name: value for name, value in vars(one).items() if not name.startswith("_")}
        assert same({name: vars(other)[name] for name in plain}, plain)
    assert [parameter.requires_grad for parameter in back.parameters()] == [
        parameter.requires_grad for parameter in cell.parameters()
    ]
    return back


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("entry", LAW_TABLE, ids=lambda entry: entry.name)
def test_every_cell_comes_back_with_the_same_outputs(path: Path, entry: Entry, dtype: torch.dtype) -> None:
    cell, x = prepare(entry, dtype=dtype)
    back = twins(cell, path)
    one, other = scan(cell, x), scan(back, x)
    assert same(flatten(other.output).detach(), flatten(one.output).detach())
    assert str(other.state) == str(one.state)
    slow, fast = scan(back, x, record=lambda *_: torch.zeros(1)), other
    assert torch.allclose(flatten(slow.output), flatten(fast.output), atol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Encoder([LSTM(3, 4)]),
        lambda: Encoder([(LSTM(3, 4), Elman(3, 4)), GRU(8, 8)], residual=True, dropout=0.2),
        lambda: Encoder([(GRU(3, 2), GRU(3, 2))], output_size=5),
    ],
)
def test_every_encoder_comes_back_with_the_same_outputs(path: Path, build: Any) -> None:
    encoder = build()
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    assert same(tuple(twins(encoder, path)(x)), tuple(encoder(x)))


@pytest.mark.parametrize(
    "name", ["Logistic", "Henon", "Lorenz", "Lorenz96", "VanDerPol", "Duffing", "MackeyGlass", "CascadedTanks"]
)
def test_every_system_comes_back_with_the_same_outputs(path: Path, name: str) -> None:
    system = getattr(importlib.import_module(files.REGISTRY[name]), name)().double()
    x = torch.ones(1, 5, system.input_size, dtype=torch.float64)
    assert torch.equal(scan(twins(system, path), x).output, scan(system, x).output)


def test_a_users_cell_comes_back_and_no_global_number_is_drawn(path: Path) -> None:
    cell = Stack([StandIn(2, 3, leak=0.3), Started(StandInHead(3, 4), learned=True), StandInHead(4, 2, output_size=5)])
    before = torch.random.get_rng_state()
    back = twins(cell, path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert back.layers[2].head.out_features == 5 and back.layers[1].cell.head is None


def test_frozen_parameters_and_modes_survive(path: Path) -> None:
    cell = Stack([GRU(2, 3), Elman(3, 3)])
    cell.layers[0].requires_grad_(False)
    cell.layers[1].eval()
    back = twins(cell, path)
    assert [module.training for module in back.modules()] == [module.training for module in cell.modules()]
    assert not back.layers[0].bias.requires_grad and back.layers[1].bias.requires_grad


def test_one_cell_used_twice_keeps_one_set_of_weights(path: Path) -> None:
    twice = GRU(3, 3)
    files.save(path, Stack([twice, twice]))
    back = files.load(path)
    assert back.layers[0].input_weight is back.layers[1].input_weight
    assert len(list(back.parameters())) == len(list(twice.parameters()))


def test_mixed_precision_survives(path: Path) -> None:
    assert twins(Stack([GRU(2, 3).double(), GRU(3, 2)]), path).layers[0].no_bias.dtype == torch.float64
    assert twins(ExponentialMovingAverage(2, learned=True).bfloat16(), path).logit.dtype == torch.bfloat16


def test_a_cell_that_cannot_be_rebuilt_is_refused_at_save(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OWN", dict(registry._OWN))

    @files.register
    class Forgetful(StandIn):
        def __init__(self, input_size: int, hidden_size: int, window: int):
            super().__init__(input_size, hidden_size)

    @files.register
    class Doubling(StandIn):
        def __init__(self, input_size: int, hidden_size: int, rate: float):
            super().__init__(input_size, hidden_size)
            self.rate = 2 * rate

    @files.register
    class Optional(StandIn):
        def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None):
            super().__init__(input_size, hidden_size)
            self.head = None if output_size is None else nn.Linear(hidden_size, output_size)

    @files.register
    class Open(StandIn):
        def __init__(self, *sizes: int):
            super().__init__(*sizes)

    with pytest.raises(TypeError, match=r"takes 'window', but .* store it as self\.window"):
        files.save(path, Forgetful(1, 2, 3))
    with pytest.raises(TypeError, match=r"\(Doubling\) cannot be rebuilt from its attributes: its constructor makes"):
        files.save(path, Doubling(1, 2, 3.0))
    with pytest.raises(TypeError, match=r"(?s)cannot be rebuilt .*head\.weight.*define constructor_arg"):
        files.save(path, Stack([Optional(1, 2)]))
    with pytest.raises(TypeError, match=r"Open\(\) takes \*sizes"):
        files.save(path, Open(1, 2))


# --- estimators -------------------------------------------------------------------------------------------------------


def test_an_estimator_comes_back_with_all_it_learnt(path: Path) -> None:
    estimator = StandInRegressor(cell=StandIn, loss=stand_in_loss)
    estimator.cell_ = Readout(StandIn(2, 3), 1)
    estimator.state_ = StandInState(torch.ones(1, 3))
    estimator.feature_names_in_ = np.array(["a", "b"], dtype=object)
    estimator.inner_ = StandInRegressor()
    files.save(path, estimator)
    back = files.load(path)
    assert type(back) is StandInRegressor and type(back.inner_) is StandInRegressor
    assert back.cell is StandIn and back.loss is stand_in_loss
    assert same(back.state_, estimator.state_) and same(back.feature_names_in_, estimator.feature_names_in_)
    x = torch.ones(1, 4, 2)
    assert torch.equal(scan(back.cell_, x).output, scan(estimator.cell_, x).output)


def test_a_loss_that_cannot_be_stored_is_named_by_its_place(path: Path) -> None:
    with pytest.raises(TypeError, match=r"^params\.loss needs the function"):
        files.save(path, StandInRegressor(loss=lambda a, b: a - b))


# --- files that are damaged, foreign, newer or mean harm --------------------------------------------------------------


def sample() -> dict[str, Any]:
    state = LSTMState(torch.arange(3.0).view(1, 3), torch.ones(1, 3))
    return {"cell": GRU(1, 2, generator=torch.Generator().manual_seed(0)), "state": state, "scale": 0.5, "names": ["a"]}


def test_every_flipped_byte_is_an_error(path: Path) -> None:
    files.write(path, sample())
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=path.name):
            files.read(path)


@settings(IN_ONE_FOLDER, max_examples=300)
@given(data=st.data())
def test_any_change_is_an_error(path: Path, data: st.DataObject) -> None:
    files.write(path, sample())
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(start + 80, len(whole))))
    patch = data.draw(st.binary(max_size=80))
    damaged = whole[:start] + patch + whole[stop:]
    path.write_bytes(damaged)
    if damaged != whole:
        with pytest.raises(FileFormatError, match=path.name):
            files.read(path)


def test_every_truncation_is_an_error(path: Path) -> None:
    files.write(path, sample())
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=path.name):
            files.read(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(FileFormatError, match="is truncated or damaged"):
        files.read(path)
    path.write_bytes(whole + b"\x00")
    with pytest.raises(FileFormatError, match="is truncated or damaged"):
        files.read(path)


class Bomb:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def test_a_pickle_is_never_opened(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Bomb(target), protocol))
        with pytest.raises(
            FileFormatError, match="is a pickle, which can run any code" if protocol > 1 else "is not a"
        ):
            files.load(path)
    torch.save({"a": Bomb(target)}, path)
    with pytest.raises(FileFormatError, match=r"is a zip archive.*never opens one"):
        files.load(path)
    np.save(path.with_suffix(".npy"), np.array([Bomb(target)], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="is not a safetensors file"):
        files.load(path.with_suffix(".npy"))
    assert not target.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n3,4\n5,6\n", "is not a safetensors file"),
        (b"{}", "is not a safetensors file"),
        (safetensors.torch.save({"a": torch.zeros(1)}), "but not of seqdyn"),
        (safetensors.torch.save({"a": torch.zeros(1)}, {"format": "pt"}), "but not of seqdyn"),
        (safetensors.torch.save({}, {"seqdyn": "{}"}), "is truncated or damaged"),
    ],
)
def test_foreign_files_are_named_for_what_they_are(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=message):
        files.load(path)


def test_a_newer_format_asks_for_an_upgrade(path: Path) -> None:
    forge(path, {"$unheard of": 1}, version=2)
    with pytest.raises(FileFormatError, match=r"newer seqdyn \(format 2; this one reads up to 1\): upgrade"):
        files.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"$class": "Evil"}, "names 'Evil', which is not known here.*@seqdyn.register before loading"),
        ({"$class": "os.system"}, "names 'os.system'"),
        ({"$class": ["GRU"]}, "names \\['GRU'\\]"),
        ({"$record": "Evil", "fields": {}}, "names 'Evil'"),
        ({"$record": "GRU", "fields": {}}, "names 'GRU' as a record"),
        ({"$record": "stand_in_loss", "fields": {}}, "names 'stand_in_loss' as a record"),
        ({"$record": "Random", "fields": {"sale": 1}}, r"arguments that Random\(sale=…\) does not take"),
        ({"$record": "LSTMState", "fields": {"h": 1}}, "arguments that LSTMState"),
        ({"$cell": "LSTMState", "arguments": {}, "state": {}}, "names 'LSTMState' as a cell"),
        ({"$cell": "GRU", "arguments": {"input_size": -1, "hidden_size": 2}}, "must be an int of at least 0"),
        (
            {"$cell": "GRU", "arguments": {"input_size": 1, "hidden_size": 2}, "state": {}},
            "weights that do not fit GRU",
        ),
        ({"$cell": "GRU", "arguments": {"input_size": 1}}, "arguments that GRU"),
        ({"$cell": "GRU"}, "cannot rebuild: KeyError"),
        ({"$estimator": "GRU", "content": {}}, "names 'GRU' as an estimator"),
        ({"$estimator": "StandInRegressor", "content": {}}, "cannot rebuild: KeyError: 'params'"),
        ({"$tensor": "a"}, "cannot rebuild: KeyError"),
        ({"$array": {"$tensor": "t"}, "dtype": "O"}, "object is no type of times"),
        ({"$labels": [], "dtype": "f8", "shape": [0]}, "float64 is no type of labels"),
        ({"$labels": ["a"], "dtype": "<U1", "shape": [2]}, "cannot rebuild: ValueError"),
        ({"$float": "1"}, "cannot rebuild: KeyError"),
        ({"$import": "os"}, "cannot rebuild: KeyError"),
        ({"$tuple": 3}, "cannot rebuild: TypeError"),
    ],
)
def test_hostile_content_fails_and_runs_nothing(path: Path, content: Any, message: str) -> None:
    forge(path, content, {"t": torch.zeros(2, dtype=torch.int64)})
    with pytest.raises(FileFormatError, match=message):
        files.read(path)


def test_bottomless_content_fails(path: Path) -> None:
    text = json.dumps({"format": 1, "sha256": "0" * 64, "content": None}, separators=(",", ":"))
    seal(path, text.replace("null", "[" * 100_000 + "]" * 100_000))
    with pytest.raises(FileFormatError, match="cannot rebuild: RecursionError"):
        files.read(path)


def test_a_name_that_is_no_longer_registered_says_how_to_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.save(path, Residual(StandIn(2, 2)))
    monkeypatch.setattr(registry, "_OWN", {})
    with pytest.raises(FileFormatError, match=r"names 'StandIn'.*import or define it, and decorate it"):
        files.load(path)


# --- the folder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    files.write(path, "old")

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(type(error)):
            files.write(path, "new")
    assert os.listdir(path.parent) == [path.name]
    assert files.read(path) == "old"
    files.write(path, "new")
    assert files.read(path) == "new"


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
def test_what_killed_writers_left_is_cleared_away(path: Path) -> None:
    """Files of this target that nobody holds; not those of a writer who lives, of other targets, or of the user's."""
    import fcntl

    name = path.name
    left, held, others, own = (
        f".{name}.0123abcd.tmp",
        f".{name}.ffffffff.tmp",
        ".other.0123abcd.tmp",
        f".{name}.my.tmp",
    )
    for entry in (left, held, others, own):
        path.with_name(entry).write_bytes(b"half")
    with open(path.with_name(held), "r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        files.write(path, "new")
    assert sorted(os.listdir(path.parent)) == sorted([name, held, others, own])
    files.write(path, "newer")
    assert sorted(os.listdir(path.parent)) == sorted([name, others, own])
    assert files.read(path) == "newer"


def test_many_writers_of_one_file(path: Path) -> None:
    """Side by side: each file that is read is whole, and nothing is left."""
    script = "import sys; from seqdyn import files\nfor k in range(60): files.write(sys.argv[1], [sys.argv[2]] * 1000)"
    command = [sys.executable, "-c", script, str(path)]
    writers = [subprocess.Popen([*command, who], cwd=Path(files.__file__).parents[1]) for who in "ab"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            assert files.read(path) in (["a"] * 1000, ["b"] * 1000)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_file_has_the_permissions_any_new_file_has(path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        files.write(path, 1)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_link_is_written_through(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    files.write(link, 1)
    assert link.is_symlink() and files.read(path) == 1


def test_missing_files_and_folders_keep_their_own_errors(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.load(path)
    with pytest.raises(IsADirectoryError):
        files.load(path.parent)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        files.write(path.parent, 1)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        files.write(path.parent / "nowhere" / "file", 1)

"""Where weights start: what each start sets, what it leaves alone, and which cells it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import Tensor, nn

import seqdyn
from seqdyn import (
    ElmanClassifier,
    ElmanRegressor,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    RecurrentRegressor,
)
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Offset, Readout, Residual, Stack
from seqdyn.conversion import from_torch
from seqdyn.encoder import Encoder
from seqdyn.files import register
from seqdyn.initial_state import Learned
from seqdyn.training.initialisation import as_initialiser, chrono, forget_bias, identity, orthogonal
from tests.training.test_loop import six_series

Array = np.ndarray[Any, Any]


def generator(seed: int = 0) -> torch.Generator:
    """A seeded one."""
    return torch.Generator().manual_seed(seed)


CELLS: dict[str, Any] = {
    "elman": lambda: Elman(3, 6),
    "gru": lambda: GRU(3, 6),
    "gru, reset before": lambda: GRU(3, 6, "before"),
    "lstm": lambda: LSTM(3, 6),
    "lstm with peepholes": lambda: LSTM(3, 6, True),
    "linear": lambda: Linear(3, 6),
}


def blocks(cell: Any) -> list[Tensor]:
    """The recurrent matrices, one a gate."""
    weight = cell.transition if isinstance(cell, Linear) else cell.recurrent_weight
    return list(weight.detach().split(6))


def changed(cell: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """The parameters that are no longer what they were."""
    return {name for name, value in cell.state_dict().items() if not torch.equal(value, before[name])}


def weights(cell: nn.Module) -> dict[str, Tensor]:
    """A copy."""
    return {name: value.clone() for name, value in cell.state_dict().items()}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gain", [1.0, 0.7, 1.3])
def test_orthogonal(name: str, dtype: torch.dtype, gain: float) -> None:
    """All singular values of every gate's own matrix are the gain, and nothing else moves."""
    cell = CELLS[name]().to(dtype)
    before = weights(cell)
    orthogonal(cell, gain, generator())
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13
    for block in blocks(cell):
        assert block.dtype == dtype
        assert float((torch.linalg.svdvals(block) - gain).abs().max()) < tolerance
    assert changed(cell, before) <= {"recurrent_weight", "transition"}
    again = CELLS[name]().to(dtype)
    orthogonal(again, gain, generator())
    assert all(torch.equal(one, other) for one, other in zip(blocks(cell), blocks(again), strict=True))


def test_identity() -> None:
    """gain · I; an Elman's bias is 0; what comes once into an IRNN stays."""
    cell = Elman(2, 4, activation="relu", generator=generator())
    with torch.no_grad():
        cell.bias.fill_(1.0)
    identity(cell, 0.5)
    assert torch.equal(cell.recurrent_weight, 0.5 * torch.eye(4)) and not cell.bias.any()
    linear = Linear(2, 4)
    before = weights(linear)
    identity(linear)
    assert torch.equal(linear.transition, torch.eye(4)) and changed(linear, before) == {"transition"}


def test_forget_bias() -> None:
    """b_f of an LSTM and b_z of a GRU: with z near 1 a GRU keeps its state, too."""
    lstm, gru = LSTM(2, 4), GRU(2, 4)
    for cell in (lstm, gru):
        before = weights(cell)
        forget_bias(cell, 4.0)
        assert changed(cell, before) == {"bias"}
    assert [float(part.mean()) for part in lstm.bias.detach().chunk(4)] == [0, 4, 0, 0]
    assert [float(part.mean()) for part in gru.bias.detach().chunk(3)] == [0, 4, 0]
    for cell, name in ((lstm, "forget"), (gru, "update")):
        state = cell.initial_state(1)
        gate = cell.gates(torch.zeros(1, 2), state, None, state)[name]
        torch.testing.assert_close(gate, torch.full((1, 4), 4.0).sigmoid())


def test_chrono() -> None:
    """b_f = ln u with u uniform in [1, T_max − 1]; b_i = −b_f; the other biases stay."""
    draws = generator()
    biases: list[Tensor] = []
    lstm, gru = LSTM(1, 20), GRU(1, 20)
    for cell in [lstm, gru] * 200:
        chrono(cell, 50, draws)
        biases.append(cell.bias.detach().clone())
    i, f, g, o = torch.cat([bias.view(4, 20) for bias in biases[::2]], 1)
    r, z, n = torch.cat([bias.view(3, 20) for bias in biases[1::2]], 1)
    assert torch.equal(i, -f) and not g.any() and not o.any() and not r.any() and not n.any()
    for bias in (f, z):
        drawn = bias.double().exp()
        assert float(drawn.min()) >= 1 - 1e-6 and float(drawn.max()) <= 49 * (1 + 1e-6)
        assert float(drawn.mean()) == pytest.approx(25, abs=4 * 48 / np.sqrt(12 * 4000))
        assert float(drawn.var()) == pytest.approx(48**2 / 12, rel=0.06)
    edge = GRU(1, 3)
    chrono(edge, 2)
    assert not edge.bias.any()
    with pytest.raises(ValueError, match="longest must be .*at least 2, got 1"):
        chrono(edge, 1)


def test_minimal_cells_keep_as_much_as_they_are_told() -> None:
    """σ(b) of the memory, by f' of a MinLSTM and by 1 − z of a MinGRU; chrono spreads them as in a GRU."""
    for cell in (MinGRU(2, 4), MinLSTM(2, 4)):
        before = weights(cell)
        forget_bias(cell, 4.0)
        assert changed(cell, before) == {"bias"}
        state = cell.initial_state(1)
        gate = cell.gates(torch.zeros(1, 2), state, torch.zeros(1, 4), state)["forget"]
        torch.testing.assert_close(gate, torch.full((1, 4), 4.0).sigmoid())
        chrono(cell, 50, generator())
        gate = cell.gates(torch.zeros(1, 2), state, torch.zeros(1, 4), state)["forget"]
        gru = GRU(2, 4)
        chrono(gru, 50, generator())
        torch.testing.assert_close(gate, gru.bias.detach().chunk(3)[1].sigmoid()[None])


def test_wrappers_are_walked_through() -> None:
    """Stacks, residuals, readouts, offsets, starts and encoders: every recurrence in them, and nothing of their own."""
    stack = Stack([LSTM(3, 6), Residual(GRU(6, 6))])
    network = Learned()(Readout(stack, 2))
    before = weights(network)
    forget_bias(network, 2.0)
    assert {name.rpartition(".")[2] for name in changed(network, before)} == {"bias"}
    assert len(changed(network, before)) == 2
    encoder = Encoder([(GRU(3, 6), GRU(3, 6)), LSTM(12, 6)], output_size=2)
    before = weights(encoder)
    chrono(encoder, 30, generator())
    assert len(changed(encoder, before)) == 3
    offset = Offset(Linear(3, 6))
    identity(offset)
    assert torch.equal(offset.cell.transition, torch.eye(6))  # type: ignore[union-attr]


class Own(Cell):
    """A user's."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.zeros(batch, self.hidden_size),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = torch.tanh(self.mix(torch.cat([x, state[0]], 1)))
        return h, (h,)


@pytest.mark.parametrize(
    ("start", "cell", "message"),
    [
        (identity, GRU(2, 3), "gated cell .*use forget_bias or chrono; this network holds GRU"),
        (identity, Stack([Elman(2, 3), LSTM(3, 3)]), "this network holds LSTM"),
        (
            lambda cell: forget_bias(cell, 1.0),
            Elman(2, 3),
            "MinLSTM and MinGRU cells have; .* Elman",
        ),
        (
            lambda cell: chrono(cell, 9),
            Linear(2, 3),
            "MinLSTM and MinGRU cells have; .* Linear",
        ),
        (orthogonal, MovingAverage(2), "Elman, GRU, LSTM and Linear cells; this network holds MovingAverage"),
        (orthogonal, Own(2, 3), r"holds Own\. A callable initialise"),
        (orthogonal, nn.Linear(2, 3), "Linear holds no recurrence"),
    ],
)
def test_cells_that_do_not_fit(start: Any, cell: nn.Module, message: str) -> None:
    """The message says which do; nothing is changed."""
    before = weights(cell)
    with pytest.raises(ValueError, match=message):
        start(cell)
    assert not changed(cell, before)


def test_no_global_generator_is_touched() -> None:
    """Without a generator of one's own, too."""
    before = torch.random.get_rng_state()
    for cell in (LSTM(2, 3), GRU(2, 3)):
        orthogonal(cell)
        chrono(cell, 10)
    assert torch.equal(torch.random.get_rng_state(), before)


# --- in estimators ---------------------------------------------------------------------------------------------------


def begun(model: Any) -> Any:
    """An estimator whose weights have hardly moved."""
    X, y = six_series()
    y = y > 0 if hasattr(model, "class_weight") else y
    return model.set_params(max_epochs=1, learning_rate=1e-12, random_state=0).fit(X, y)


def test_names_and_tuples() -> None:
    """Each start of an estimator's ``initialise``, in its fitted network."""
    plain = begun(ElmanRegressor(hidden_size=5)).cell_
    turned = begun(ElmanRegressor(hidden_size=5, initialise=("orthogonal", 0.6))).cell_
    torch.testing.assert_close(torch.linalg.svdvals(turned.cell.recurrent_weight), torch.full((5,), 0.6))
    torch.testing.assert_close(turned.affine.weight, plain.affine.weight)  # what it does not set is drawn as ever
    irnn = begun(ElmanClassifier(hidden_size=5, activation="relu", initialise="identity")).cell_
    torch.testing.assert_close(irnn.cell.recurrent_weight, torch.eye(5))
    lstm = begun(LSTMRegressor(hidden_size=5, num_layers=2, initialise=("forget_bias", 3))).cell_
    for layer in lstm.cell.layers:
        torch.testing.assert_close(layer.bias[5:10], torch.full((5,), 3.0))
    both = begun(GRURegressor(hidden_size=5, bidirectional=True, initialise=("chrono", 40))).network_
    assert all(bool((cell.bias[5:10] > 0).any()) for cell in both.encoder.layers[0])
    linear = begun(LinearStateSpaceRegressor(order=3, method="gradient", stable=False, initialise=("identity", 0.9)))
    np.testing.assert_allclose(linear.transition_, 0.9 * np.eye(3), atol=1e-9)
    assert begun(RecurrentRegressor(cell=GRU(2, 4), initialise="orthogonal")).cell_ is not None


def test_the_seed_decides() -> None:
    """The same draws for the same seed; others for another."""
    X, y = six_series()
    fits = [
        GRURegressor(hidden_size=4, initialise=("chrono", 30), max_epochs=1, random_state=seed).fit(X, y).predict(X)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert np.abs(fits[0] - fits[2]).max() > 1e-6


@register
def slow_start(cell: nn.Module, draws: torch.Generator) -> None:
    """A start of one's own, which files know by its name."""
    for name, parameter in cell.named_parameters():
        if name.endswith("recurrent_weight"):
            parameter.data = torch.randn(parameter.shape, generator=draws).to(parameter) * 1e-3


def test_a_callable_is_given_cell_and_generator() -> None:
    """The whole network, on its device and in its dtype, and the generator of the fit."""
    cell = begun(RecurrentRegressor(cell=Own, hidden_size=3, initialise=_ones, dtype="float64")).cell_
    torch.testing.assert_close(cell.cell.mix.weight, torch.ones(3, 5, dtype=torch.float64))
    small = begun(ElmanRegressor(hidden_size=3, initialise=slow_start)).cell_
    assert 0 < small.cell.recurrent_weight.abs().max().item() < 0.01


def _ones(cell: Any, draws: torch.Generator) -> None:
    assert isinstance(cell, Cell) and isinstance(draws, torch.Generator)
    cell.cell.mix.weight.data.fill_(1.0)


def test_only_a_fresh_network_is_started() -> None:
    """Not by partial_fit or warm_start, which go on."""
    X, y = six_series()
    model = begun(ElmanRegressor(hidden_size=3, initialise="identity", warm_start=True))
    model.cell_.cell.recurrent_weight.data.fill_(0.1)
    for again in (model.partial_fit, model.fit):
        again(X, y)
        torch.testing.assert_close(model.cell_.cell.recurrent_weight, torch.full((3, 3), 0.1), atol=1e-6, rtol=0)


def test_it_comes_before_a_linear_start() -> None:
    """Which then sets what it sets."""
    X, y = six_series()
    settings: dict[str, Any] = {"hidden_size": 4, "skip": True, "linear_start": 0.1, "max_epochs": 1}
    settings |= {"learning_rate": 1e-12, "random_state": 0}
    model = ElmanRegressor(initialise="identity", **settings).fit(X, y)
    plain = ElmanRegressor(**settings).fit(X, y)
    np.testing.assert_allclose(model.predict(X), plain.predict(X), atol=1e-6)
    torch.testing.assert_close(model.cell_.cell.recurrent_weight, torch.eye(4))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "start", ["orthogonal", "identity", ("orthogonal", 0.9), ("forget_bias", 2.0), ("chrono", 50), slow_start, None]
)
def test_it_survives_clones_and_files(start: Any, tmp_path: Path) -> None:
    """As the same value of the same type."""
    make = ElmanRegressor if start in ("identity", None) or start is slow_start else GRURegressor
    model = begun(make(hidden_size=3, initialise=start))
    X, _ = six_series()
    model.save(tmp_path / "model.safetensors")
    back = seqdyn.load(tmp_path / "model.safetensors")
    for twin in (clone(model), back):
        assert twin.initialise == start and type(twin.initialise) is type(start)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))


def test_a_callable_that_files_do_not_know_is_refused(tmp_path: Path) -> None:
    """At ``save``, with the way out."""
    model = begun(RecurrentRegressor(cell=Elman, hidden_size=3, initialise=lambda cell, draws: None))
    with pytest.raises(TypeError, match=r"initialise needs the function .*@seqdyn.register"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["chrono", ("chrono",), ("chrono", "long"), ("identity", -1.0), [], 3.0, nn.Linear])
def test_values_that_are_none(value: Any) -> None:
    """What may be given is said."""
    with pytest.raises(ValueError, match=r"initialise must be None, 'orthogonal', .*got"):
        as_initialiser(value)


# --- torch's modules --------------------------------------------------------------------------------------------------


MODULES: dict[str, Any] = {
    "rnn": lambda **options: nn.RNN(3, 4, **options),
    "rnn relu": lambda **options: nn.RNN(3, 4, nonlinearity="relu", **options),
    "lstm": lambda **options: nn.LSTM(3, 4, **options),
    "gru": lambda **options: nn.GRU(3, 4, **options),
}
MODULE_CELLS: dict[str, Any] = {
    "rnn": lambda **options: nn.RNNCell(3, 4, **options),
    "rnn relu": lambda **options: nn.RNNCell(3, 4, nonlinearity="relu", **options),
    "lstm": lambda **options: nn.LSTMCell(3, 4, **options),
    "gru": lambda **options: nn.GRUCell(3, 4, **options),
}
BEGINNINGS: dict[str, Any] = {
    "orthogonal": lambda network: orthogonal(network, 0.8, generator(5)),
    "identity": lambda network: identity(network, 0.9),
    "forget_bias": lambda network: forget_bias(network, 3.9),
    "chrono": lambda network: chrono(network, 40, generator(5)),
}


FITTING = [
    (start, name)
    for start in BEGINNINGS
    for name in MODULES
    if start == "orthogonal" or (start == "identity") == name.startswith("rnn")
]


@pytest.mark.parametrize(
    ("start", "name", "bias"),
    [
        (*fitting, bias)
        for fitting in FITTING
        for bias in (True, False)
        if bias or fitting[0] not in ("forget_bias", "chrono")
    ],
)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_to_start_and_to_convert_may_change_places(start: str, name: str, layers: int, bias: bool) -> None:
    """A module that is started and becomes a cell is the cell that the module becomes and is started."""
    module = MODULES[name](num_layers=layers, bias=bias).double()
    cell = from_torch(module)
    BEGINNINGS[start](module)
    BEGINNINGS[start](cell)
    compare(from_torch(module), cell)


@pytest.mark.parametrize(("start", "name"), FITTING)
def test_the_same_of_cells_and_of_both_directions(start: str, name: str) -> None:
    """RNNCell, LSTMCell and GRUCell; and each direction of a bidirectional module, where nothing is drawn."""
    module = MODULE_CELLS[name]()
    cell = from_torch(module)
    BEGINNINGS[start](module)
    BEGINNINGS[start](cell)
    compare(from_torch(module), cell)
    both = MODULES[name](bidirectional=True)
    ways = ("forward", "backward") if start in ("identity", "forget_bias") else ("forward",)
    cells = [from_torch(both, direction=way) for way in ways]
    BEGINNINGS[start](both)
    for way, one in zip(ways, cells, strict=True):
        BEGINNINGS[start](one)
        compare(from_torch(both, direction=way), one)


def compare(one: nn.Module, other: nn.Module) -> None:
    """Two cells with the same parameters."""
    for (name, mine), (key, theirs) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert name == key and mine.requires_grad == theirs.requires_grad
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6 if mine.dtype == torch.float32 else 1e-14)


def test_the_sum_of_torchs_two_biases_is_set() -> None:
    """In all layers and directions of everything a model holds, and nothing else moves."""
    model = nn.ModuleDict(
        {
            "embed": nn.Embedding(5, 3),
            "lstm": nn.LSTM(3, 4, num_layers=2, bidirectional=True),
            "inner": nn.Sequential(nn.DataParallel(nn.GRUCell(8, 4)), nn.Linear(4, 1)),
        }
    )
    before = weights(model)
    forget_bias(torch.compile(model, backend="eager"), 3.9)
    assert {name.rpartition(".")[2].split("_l")[0] for name in changed(model, before)} == {"bias_ih", "bias_hh"}
    assert len(changed(model, before)) == 10
    lstm, gru = model["lstm"], model["inner"][0].module
    for suffix in ("l0", "l0_reverse", "l1", "l1_reverse"):
        total = getattr(lstm, f"bias_ih_{suffix}") + getattr(lstm, f"bias_hh_{suffix}")
        torch.testing.assert_close(total[4:8], torch.full((4,), 3.9))
    torch.testing.assert_close((gru.bias_ih + gru.bias_hh)[4:8], torch.full((4,), 3.9))
    for name in changed(model, before):
        keep = slice(4, 8)
        now, then = model.state_dict()[name].clone(), before[name].clone()
        now[keep], then[keep] = 0, 0
        assert torch.equal(now, then), name


def test_a_start_keeps_the_state_of_a_module() -> None:
    """What comes once into an nn.RNN of relu units stays, and an nn.LSTM with open gates remembers."""
    irnn = nn.RNN(2, 2, nonlinearity="relu", batch_first=True)
    identity(irnn)
    with torch.no_grad():
        irnn.weight_ih_l0.copy_(torch.eye(2))
    x = torch.zeros(1, 50, 2)
    x[0, 0] = torch.tensor([0.3, 0.7])
    torch.testing.assert_close(irnn(x)[0][0, -1], x[0, 0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_module_keeps_its_dtype(dtype: torch.dtype) -> None:
    """Half precision, too, in which nothing could be drawn."""
    gru = nn.GRU(3, 4).to(dtype)
    orthogonal(gru, generator=generator())
    chrono(gru, 30, generator())
    assert {parameter.dtype for parameter in gru.parameters()} == {dtype}
    singular = torch.linalg.svdvals(gru.weight_hh_l0[:4].double())
    torch.testing.assert_close(singular, torch.ones(4, dtype=torch.float64), rtol=0, atol=0.02)


def test_a_parametrisation_is_written_through() -> None:
    """The weight that acts is what was set."""
    module = nn.utils.parametrizations.weight_norm(nn.RNN(3, 4), "weight_hh_l0")
    identity(module, 0.5)
    torch.testing.assert_close(module.weight_hh_l0, 0.5 * torch.eye(4))


def test_a_cell_around_a_torch_module_is_walked_through() -> None:
    """A user's cell that is made of an nn.GRUCell, and a step function that is."""

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core = nn.GRUCell(3, 4)

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = self.core(x, h)
            return h, h

    cell = from_torch(Step(), initial_state=torch.zeros(4), input_size=3)
    forget_bias(cell, 2.5)
    torch.testing.assert_close((cell.step.core.bias_ih + cell.step.core.bias_hh)[4:8], torch.full((4,), 2.5))


@pytest.mark.parametrize(
    ("start", "module", "message"),
    [
        (identity, nn.LSTM(2, 3), r"use forget_bias or chrono; this network holds nn\.LSTM\."),
        (identity, nn.Sequential(nn.GRU(2, 3), nn.RNN(3, 3)), r"this network holds nn\.GRU\."),
        (lambda m: forget_bias(m, 1.0), nn.RNN(2, 3), r"forget gate, .*this network holds nn\.RNN\."),
        (lambda m: chrono(m, 9), nn.Transformer(8, 2, 1, 1, 8, batch_first=True), "Transformer holds no recurrence"),
        (lambda m: forget_bias(m, 1.0), nn.LSTM(2, 3, bias=False), r"the nn\.LSTM was built with bias=False: build"),
        (lambda m: chrono(m, 9), nn.GRUCell(2, 3, bias=False), r"the nn\.GRUCell was built with bias=False: build"),
        (orthogonal, nn.Sequential(nn.ReLU()), "Sequential holds no recurrence"),
    ],
)
def test_modules_that_do_not_fit(start: Any, module: nn.Module, message: str) -> None:
    """The message says which do; nothing is changed."""
    before = weights(module)
    with pytest.raises(ValueError, match=message):
        start(module)
    assert not changed(module, before)


def test_weights_that_cannot_be_set() -> None:
    """On meta there is nothing to set; under a hook what is set would be overwritten."""
    with pytest.raises(ValueError, match=r"\(LSTM\) is on the device 'meta'"):
        forget_bias(nn.LSTM(2, 3, device="meta"), 1.0)
    hooked = nn.RNN(2, 3)
    plain = hooked.weight_hh_l0
    del hooked._parameters["weight_hh_l0"]
    hooked.register_parameter("weight_hh_l0_raw", nn.Parameter(plain.detach().clone()))
    hooked.weight_hh_l0 = 2 * hooked.weight_hh_l0_raw.detach()
    with pytest.raises(ValueError, match=r"weight_hh_l0 of the nn\.RNN is no parameter: a hook computes it"):
        orthogonal(hooked)

"""Gates along a trajectory: closed forms, the product they stand for, and a model that stays as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import seqdyn.dynamics.gates as gates_module
from seqdyn import GRURegressor
from seqdyn.cell import Cell
from seqdyn.cells.echo_state import EchoState
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM, LSTMState
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Readout, Stack
from seqdyn.dynamics import trajectory
from seqdyn.dynamics.gates import forget_bias_for, gate_statistics, saturation, time_constant
from seqdyn.forecasting.forecaster import Forecaster
from seqdyn.loops import Scan, scan
from seqdyn.reports.probe import probe_of
from seqdyn.state import leaves, named_leaves
from tests.dynamics.unchanged import unchanged
from tests.laws.cells import LAW_TABLE, Entry, prepare
from tests.laws.laws import close


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(cell: Cell, scale: float = 1.0, seed: int = 0) -> Cell:
    """The cell in float64 with all its parameters from N(0, scale²)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.normal_(0.0, scale, generator=generator)
    return cell


TABLE = [
    (0.0, 0.5, 1.44),
    (1.0, 0.731, 3.19),
    (2.0, 0.881, 7.88),
    (3.0, 0.953, 20.6),
    (4.595, 0.990, 99.5),
    (5.0, 0.993, 149),
]
"""b, f and τ as printed in the reference on gradient diagnostics, section 7."""


@pytest.mark.parametrize(("bias", "gate", "steps"), TABLE)
def test_the_table_of_forget_biases(bias: float, gate: float, steps: float) -> None:
    """f = σ(b) and τ = −1 / ln f, to the digits that are printed, and back."""
    f = torch.sigmoid(torch.tensor(bias, dtype=torch.float64))
    assert f.item() == pytest.approx(gate, abs=6e-4)
    assert time_constant(f).item() == pytest.approx(steps, rel=4e-3)
    assert forget_bias_for(time_constant(f)).item() == pytest.approx(bias, abs=1e-12)


def test_time_constants_and_biases_at_the_ends() -> None:
    """0 forgets at once, 1 never; b → ln(τ − ½) for long memories, −1/τ for short ones, without overflow."""
    assert time_constant(torch.tensor([0.0, 1.0])).tolist() == [0.0, math.inf]
    assert forget_bias_for(1e12).item() == pytest.approx(math.log(1e12 - 0.5), rel=1e-13)
    assert forget_bias_for(1e-4).item() == pytest.approx(-1e4, rel=1e-13)
    steps = torch.tensor([0.5, 3.0, 40.0, 1e4], dtype=torch.float64)
    close(time_constant(torch.sigmoid(forget_bias_for(steps))), steps, "there and back", tolerance=1e-10)
    close(forget_bias_for(steps), torch.log(1 / (torch.exp(1 / steps) - 1)), "the formula", tolerance=1e-10)
    for attempt in (lambda: time_constant(1.5), lambda: time_constant(math.nan), lambda: forget_bias_for(0.0)):
        with pytest.raises(ValueError, match="must be"):
            attempt()


@pytest.mark.parametrize("build", [lambda: LSTM(2, 4), lambda: GRU(2, 4)], ids=["lstm", "gru"])
def test_without_weights_the_bias_tells_the_time_constant(build: Any) -> None:
    """Where the gate sees nothing, τ = −1 / ln σ(b) exactly, and for the LSTM c decays as e^{−t/τ}."""
    cell, bias = build().double(), torch.tensor([-2.0, 0.0, 1.0, 6.0], dtype=torch.float64)
    name = "forget" if isinstance(cell, LSTM) else "update"
    with torch.no_grad():
        for weight in (cell.input_weight, cell.recurrent_weight):
            weight.chunk(len(cell.bias) // 4)[1].zero_()
        cell.bias[4:8] = bias
    found = gate_statistics(cell, torch.ones(2, 1, 2, dtype=torch.float64).expand(2, 150, 2))[name]
    expected = time_constant(torch.sigmoid(bias))
    close(found.time_constants, expected, "τ", tolerance=1e-12)
    close(found.mean, torch.sigmoid(bias), "mean", tolerance=1e-12)
    close(found.low, torch.tensor([0.0, 0, 0, 0]).double(), "closed", tolerance=0)
    close(found.high, torch.tensor([0.0, 0, 0, 1]).double(), "open", tolerance=0)
    close(found.quantiles([0, 1 / 3, 1]), expected[[0, 1, 3]], "quantiles", tolerance=1e-12)


def test_what_is_kept_is_the_product_of_the_gates() -> None:
    """e^{−T/τ} = ∂c_T/∂c_0 along c: the geometric mean says so, the arithmetic mean does not."""
    cell, x = drawn(LSTM(3, 5), scale=2.0), randn(1, 200, 3)
    product = scan(cell, x, record=lambda x, b, y, a: cell.gates(x, b, y, a)["forget"]).record.log().sum(1)[0]
    found = gate_statistics(cell, x)["forget"]
    close(-200 / found.time_constants, product.detach(), "ln of what is kept", tolerance=1e-10)
    arithmetic = time_constant(found.mean)
    assert (arithmetic > 1.2 * found.time_constants).all()


def test_a_gate_that_alternates() -> None:
    """1 and 0.01 in turn keep a tenth a step; the arithmetic mean would say one half."""
    cell = LSTM(1, 1).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.input_weight[1] = 1.0
    f = torch.tensor([1 - 1e-9, 0.01], dtype=torch.float64)
    found = gate_statistics(cell, torch.logit(f).repeat(50).view(1, -1, 1))["forget"]
    assert found.time_constants.item() == pytest.approx(-1 / math.log(0.1), rel=1e-6)
    assert found.mean.item() == pytest.approx(0.505) and found.saturated.item() == 1
    assert (found.total_low, found.total_high, found.total_saturated) == (0.5, 0.5, 1.0)


CELLS = {
    "lstm": lambda: LSTM(3, 4),
    "gru": lambda: GRU(3, 4),
    "peepholes": lambda: LSTM(3, 4, peepholes=True),
    "stack": lambda: Readout(Stack([GRU(3, 4), LSTM(4, 2)], dropout=0.3), 2),
}


@pytest.mark.parametrize("time", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("name", CELLS)
def test_stretch_by_stretch_is_all_at_once(name: str, time: int) -> None:
    """Every number is that of the whole record, wherever the stretches end."""
    cell, x = drawn(CELLS[name]()), 2 * randn(3, time, 3)
    start = scan(cell, x).state
    record = scan(cell, x, start, record=cell.gates).record
    found = gate_statistics(cell, x, start)
    assert found.keys() == record.keys()
    for key, values in record.items():
        low, high = (-0.99, 0.99) if key.endswith("candidate") else (0.05, 0.95)
        close(found[key].mean, values.mean((0, 1)).detach(), "mean")
        close(found[key].low, (values < low).double().mean((0, 1)), "low")
        close(found[key].high, (values > high).double().mean((0, 1)), "high")
        keeps = key.endswith(("forget", "update"))
        assert (found[key].time_constants is not None) == keeps
        if keeps:
            close(found[key].time_constants, -1 / values.log().mean((0, 1)).detach(), "τ", tolerance=1e-10)


@pytest.mark.parametrize("measure", [gate_statistics, saturation])
def test_memory_does_not_grow_with_time(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No scan sees more than a stretch."""
    seen = []

    def watched(cell: Cell, x: Tensor, *rest: Any, **options: Any) -> Scan:
        seen.append(x.shape[1])
        return scan(cell, x, *rest, **options)

    monkeypatch.setattr(trajectory, "scan", watched)
    monkeypatch.setattr(gates_module, "RUN_AT_ONCE", 64 * 2 * 3**2)
    measure(GRU(2, 3), torch.zeros(2, 1000, 2))
    assert max(seen) == 64 and sum(seen) == 1 + 1000  # the first step is tried before


def test_candidates_and_hidden_units_at_their_ends() -> None:
    """Huge weights drive tanh to ±1 in known shares."""
    cell = Elman(1, 2).double()
    with torch.no_grad():
        cell.recurrent_weight.zero_()
        cell.input_weight.copy_(torch.tensor([[50.0], [0.1]]))
    x = torch.tensor([1.0, -1.0, 0.0, 1.0], dtype=torch.float64).view(1, 4, 1)
    found = saturation(cell, x)["h"]
    assert found.saturated.tolist() == [0.75, 0.0] and found.total_saturated == 0.375
    assert found.dead.tolist() == [False, False] and found.total_dead == 0
    lstm = drawn(LSTM(1, 3), scale=0.0)
    with torch.no_grad():
        lstm.input_weight[6:9] = torch.tensor([[50.0], [0.1], [-50.0]])
    candidate = gate_statistics(lstm, x)["candidate"]
    assert candidate.high.tolist() == [0.5, 0, 0.25] and candidate.low.tolist() == [0.25, 0, 0.5]
    assert candidate.time_constants is None
    with pytest.raises(ValueError, match="multiplies no memory"):
        candidate.quantiles()


def test_dead_relus() -> None:
    """A unit that no input reaches is dead, one that fires once in many stretches is not."""
    cell = Elman(1, 3, activation="relu").double()
    with torch.no_grad():
        cell.recurrent_weight.zero_()
        cell.input_weight.fill_(1.0)
        cell.bias.copy_(torch.tensor([-1.5, 0.5, -3.0]))
    x = torch.zeros(2, 300, 1)
    x[1, 170] = 2.0
    found = saturation(cell, x)["h"]
    assert found.dead.tolist() == [False, False, True] and found.total_dead == pytest.approx(1 / 3)


def test_names_and_cells_without_gates() -> None:
    """Every part of the state has its own line; no gates, no statistics."""
    assert gate_statistics(Elman(2, 3), torch.zeros(1, 70, 2)) == {}
    assert gate_statistics(Linear(2, 3), torch.zeros(1, 5, 2)) == {}
    assert list(saturation(Stack([LSTM(2, 3), GRU(3, 4)]), torch.zeros(1, 5, 2))) == ["0.h", "0.c", "1.h"]
    assert "1.update" in gate_statistics(Stack([LSTM(2, 3), GRU(3, 4)]), torch.zeros(1, 5, 2))


CARRIED = {"past", "seen", "row", "column"}
"""What parts of a state are called that keep inputs, count, or say what was there."""


@pytest.mark.parametrize("entry", LAW_TABLE, ids=lambda entry: entry.name)
def test_units_are_what_the_weights_compute(entry: Entry) -> None:
    """Of any cell: kept inputs, flags and counters are no units, and what stands in an inner cell by itself is one."""
    cell, x = prepare(entry)
    try:
        found = saturation(cell, x)
    except ValueError:
        pytest.skip("It has no memory to measure.")
    names = {name or "state" for name, _ in named_leaves(cell.initial_state(1))}
    assert found and set(found) <= names
    assert len(found) == len(names) or not CARRIED & {name.rpartition(".")[2] for name in found}
    if isinstance(cell, GRU | LSTM | Elman | EchoState):
        assert set(found) == names


def test_cells_without_weights_keep_all_their_parts() -> None:
    """There is nothing that could tell units apart."""
    assert list(saturation(MovingAverage(2, window=3), torch.ones(1, 9, 2))) == ["past"]


def test_the_units_of_a_forecasters_network() -> None:
    """Its delay line keeps the series, here zeros and ones, and flags that are always 1: none of these is a unit."""
    frame = pd.DataFrame({"on": np.arange(80) // 3 % 2.0}, index=pd.date_range("2024", periods=80, freq="D"))
    network = GRURegressor(hidden_size=4, max_epochs=1, random_state=0)
    probe = probe_of(Forecaster(network, horizon=2, lags=5).fit(frame), frame)
    names = {name.rpartition(".")[2] for name, _ in named_leaves(probe.state)}
    found = saturation(probe.cell, probe.x, probe.state)
    assert {"h", "past", "seen"} <= names
    assert not any(name.endswith(("seen", "past")) for name in found)
    assert any(name.endswith("h") and part.total_saturated < 0.5 for name, part in found.items())


def test_ends_of_time_constants_do_no_harm() -> None:
    """A gate that rounds to 1 has an infinite time constant, and the quantiles are still numbers."""
    cell = drawn(LSTM(1, 4), scale=0.0)
    with torch.no_grad():
        cell.bias[4:8] = torch.tensor([0.0, 0.0, 60.0, 60.0])
    found = gate_statistics(cell, torch.zeros(1, 3, 1))["forget"]
    assert found.time_constants[2:].tolist() == [math.inf] * 2
    assert not found.quantiles().isnan().any() and found.quantiles([0.0, 1.0])[1] == math.inf


@pytest.mark.parametrize("measure", [gate_statistics, saturation])
def test_errors(measure: Any) -> None:
    """What does not fit is said."""
    cell = LSTM(2, 3)
    with pytest.raises(ValueError, match=r"x has shape \(4, 7, 5\), but LSTM expects"):
        measure(cell, torch.zeros(4, 7, 5))
    with pytest.raises(ValueError, match=r"x has shape \(4,\), expected \(batch, time"):
        measure(cell, torch.zeros(4))
    with pytest.raises(ValueError, match="at least one step"):
        measure(cell, torch.zeros(4, 0, 2))
    with pytest.raises(ValueError, match="state"):
        measure(cell, torch.zeros(4, 7, 2), LSTMState(torch.zeros(4, 2), torch.zeros(4, 2)))


@pytest.mark.parametrize("measure", [gate_statistics, saturation])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_as_it_is(measure: Any, training: bool) -> None:
    """Parameters, gradients, dtype, mode and torch's random state; and the result carries no history."""
    cell, x = CELLS["stack"]().train(training), torch.ones(2, 70, 3, requires_grad=True)
    cell.cell.layers[0].bias.requires_grad_(False)
    scan(cell, x).output.sum().backward()
    grad = x.grad.clone()
    with unchanged(cell):
        found = measure(cell, x)
    assert torch.equal(x.grad, grad)
    assert not any(leaf.requires_grad for leaf in leaves(found)) and leaves(found)[0].dtype == torch.float64

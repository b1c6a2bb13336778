"""Prepared steps: a row goes through numpy, and comes out as the written step says."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from seqdyn import GRU, LSTM, Elman, ExponentialMovingAverage, GRURegressor, Linear, Readout, Stream, rollout, scan
from seqdyn.cell import Cell
from seqdyn.initial_state import Learned
from seqdyn.loops import Scan
from seqdyn.prepared import MOST_WEIGHTS, PreparedStep, quick_step
from seqdyn.state import detach, flatten, leaves, map_leaves, stack
from seqdyn.wrapper import Wrapper
from tests.laws.cells import LAW_TABLE, Entry, prepare

OFFERED = {
    "moving average", "moving average, learned", "moving average, window 1", "moving average, window 1, learned",
    "exponential average", "exponential average, learned", "linear", "linear, output size", "elman, tanh",
    "elman, relu", "elman, sigmoid", "elman, readout", "lstm", "lstm, one neuron", "lstm, peepholes",
    "gru, reset after", "gru, reset before", "stack", "stack, dropout, no masks", "stack, dropout, masks", "residual",
    "readout", "readout of dropout", "dropout within dropout", "readout, skip", "delay line", "delay line, residual",
    "delay line, centred", "own past", "own past, nothing beside", "own past, all known", "own past, centred",
    "own past, centred, all known", "own past, noise", "identity, stack", "offset", "zero start", "random start",
    "learned start", "learned start of a stack", "given start", "given start of two",
    "warm-up from a learned start", "translator", "nested",
}  # fmt: skip
"""Entries of the law table whose cells offer a prepared step."""

NOISY = {name for name in OFFERED if "masks" in name or "noise" in name or "dropout" in name} - {
    "stack, dropout, no masks"
}
"""Entries whose inputs come with what is drawn for them: that goes through the written step."""

PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
each_entry = pytest.mark.parametrize("entry", LAW_TABLE, ids=lambda entry: entry.name)
each_offer = pytest.mark.parametrize(
    "entry", [entry for entry in LAW_TABLE if entry.name in OFFERED], ids=lambda entry: entry.name
)


def one_row(entry: Entry, dtype: torch.dtype, time: int = 24) -> tuple[Cell, Any]:
    """A cell with its weights drawn, and a sequence of one row."""
    cell, x = prepare(entry, batch=1, time=time, dtype=dtype)
    return cell, detach(x)


def written(cell: Cell, x: Any, state: Any) -> tuple[Tensor, Any]:
    """The loop that anybody would write."""
    outputs = []
    with torch.no_grad():
        for t in range(leaves(x)[0].shape[1]):
            output, state = cell(map_leaves(lambda leaf, t=t: leaf[:, t], x), state)
            outputs.append(output)
    return stack(outputs), state


def close(found: Any, expected: Any, tolerance: float) -> None:
    """Leaf by leaf, in one dtype, relative to numbers of about 1."""
    for one, other in zip(leaves(found), leaves(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def small_gru(hidden: int = 5) -> Readout:
    draw = torch.Generator().manual_seed(0)
    return Readout(GRU(2, hidden, generator=draw), 1, generator=draw)


# -------------------------------------------------------------------- equal to the written step


@each_entry
def test_who_offers_a_prepared_step(entry: Entry) -> None:
    """The list above, and nobody else."""
    cell = prepare(entry)[0]
    assert (cell.prepared() is not NotImplemented) == (entry.name in OFFERED)


@each_offer
@PRECISIONS
def test_a_prepared_step_is_the_written_one(entry: Entry, dtype: torch.dtype, tolerance: float) -> None:
    """From step to step, from the initial state and from another one; what went in is as it was."""
    cell, x = one_row(entry, dtype)
    fresh = cell.initial_state(1)
    for start in (fresh, map_leaves(lambda leaf: leaf + 0.3, detach(fresh))):
        step = quick_step(cell, start)
        assert isinstance(step, PreparedStep)
        kept = map_leaves(Tensor.clone, (x, detach(start)))
        expected, end = written(cell, x, start)
        held, outputs = step.enter(start), []
        for t in range(24):
            output, held = step(map_leaves(lambda leaf, t=t: leaf[:, t], x), held)
            outputs.append(output)
        close(stack(outputs), expected, 24 * tolerance)
        close(step.leave(held), end, 24 * tolerance)
        assert type(step.leave(held)) is type(end)
        close((x, detach(start)), kept, 0.0)


@each_offer
def test_loops_without_gradients_take_it(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop of one row writes its first step alone; scans with gradients or hooks know written steps only."""
    if entry.name in NOISY:
        pytest.skip("what is drawn goes through the written step")
    cell, x = one_row(entry, torch.float64)
    expected, end = written(cell, x, cell.initial_state(1))
    taken, own = [], type(cell).forward

    def forward(self: Any, *arguments: Any) -> Any:
        taken.append(self is cell)
        return own(self, *arguments)

    def run(record: Any = None) -> Scan:
        inputs = iter([map_leaves(lambda leaf, t=t: leaf[:, t], x) for t in range(24)])
        start, last = cell.initial_state(1), expected[:, 0]
        return rollout(cell, start, 24, last=last, feed=lambda *_: next(inputs), record=record)

    monkeypatch.setattr(type(cell), "forward", forward)
    with torch.no_grad():
        quick = run()
    assert sum(taken) == 1
    close((quick.output, quick.state), (expected, end), 1e-11)
    close(run().output, expected, 0.0)
    with torch.no_grad():
        close(run(record=lambda x, before, output, after: None).output, expected, 0.0)
    assert sum(taken) == 49


def test_a_loop_of_several_rows_is_written() -> None:
    """Values are those of the steps to the last bit."""
    cell = small_gru()
    x = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(1))
    expected, end = written(cell, x, cell.initial_state(3))
    with torch.no_grad():
        run = scan(cell, x, reset=torch.zeros(3, 6, dtype=torch.bool), record=lambda *_: None)
    close((run.output, run.state), (expected, end), 0.0)


# -------------------------------------------------------------------- where it does not go


def test_where_the_written_step_goes_on() -> None:
    """Several rows, many weights, other numbers, weights that are computed, cells without an offer, transforms."""
    cell = small_gru()

    def prepared(cell: Cell, rows: int = 1) -> bool:
        return isinstance(quick_step(cell, cell.initial_state(rows)), PreparedStep)

    assert prepared(cell) and not prepared(cell, 2)
    assert prepared(GRU(2, 256)) and not prepared(GRU(2, 300)) and 3 * 300**2 > MOST_WEIGHTS
    assert not prepared(copy.deepcopy(cell).to(torch.bfloat16))
    assert not prepared(copy.deepcopy(cell).to("meta"))
    assert not isinstance(quick_step(cell, cell.double().initial_state(1)._replace(h=torch.zeros(1, 5))), PreparedStep)
    cell.float()
    assert not prepared(Wrapper(cell)) and not prepared(Readout(Wrapper(cell), 1))
    seen: list[bool] = []
    torch.func.vmap(lambda x: seen.append(prepared(cell)) or x)(torch.zeros(2))
    assert seen == [False]
    doubled = copy.deepcopy(cell)
    parametrize.register_parametrization(doubled.cell, "input_weight", _Doubled())
    assert not prepared(doubled)


class _Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_inputs_that_do_not_fit_are_errors_as_before() -> None:
    """Another precision, another width: nothing is turned into float64 on the way."""
    cell = small_gru()
    step = quick_step(cell, cell.initial_state(1))
    held = step.enter(cell.initial_state(1))
    with pytest.raises(RuntimeError, match="dtype"):
        step(torch.zeros(1, 2, dtype=torch.float64), held)
    with pytest.raises(ValueError, match="not aligned"):
        step(torch.zeros(1, 3), held)


def test_no_gradient_is_lost() -> None:
    """With gradients on, a loop of one row records them."""
    cell = small_gru()
    x = torch.zeros(1, 1)
    run = rollout(cell, cell.initial_state(1), 3, last=x, feed=lambda y, _: torch.cat([y, y], 1))
    run.output.sum().backward()
    assert all(parameter.grad is not None for parameter in cell.parameters())


# -------------------------------------------------------------------- streams


def pushed(stream: Stream, rows: Any) -> np.ndarray[Any, Any]:
    return np.array([stream.push(row) for row in rows])


ROWS = np.random.default_rng(0).normal(size=(12, 2))


def change_in_place(cell: Readout) -> None:
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(1.5)


def change_behind(cell: Readout) -> None:
    for parameter in cell.parameters():
        parameter.data.mul_(1.5)


def load(cell: Readout) -> None:
    cell.load_state_dict({name: 1.5 * value for name, value in cell.state_dict().items()})


def assign(cell: Readout) -> None:
    cell.load_state_dict({name: 1.5 * value for name, value in cell.state_dict().items()}, assign=True)


def take_a_step(cell: Readout) -> None:
    optimiser = torch.optim.Adam(cell.parameters(), lr=0.1)
    scan(cell, torch.ones(1, 4, 2)).output.sum().backward()
    optimiser.step()


def set_data(cell: Readout) -> None:
    for parameter in cell.parameters():
        parameter.data = 1.5 * parameter.data


def replace(cell: Readout) -> None:
    cell.cell.recurrent_weight = nn.Parameter(1.5 * cell.cell.recurrent_weight.detach())


def compute(cell: Readout) -> None:
    parametrize.register_parametrization(cell.cell, "input_weight", _Doubled())


@pytest.mark.parametrize(
    "change", [change_in_place, change_behind, load, assign, take_a_step, set_data, replace, compute]
)
def test_a_stream_reads_the_weights_as_they_are(change: Callable[[Readout], None]) -> None:
    """However they change, and be it between two pushes, with their state kept."""
    cell = small_gru()
    stream = Stream(cell)
    pushed(stream, ROWS[:6])
    old, before = stream.fork(), stream.state
    without = pushed(old, ROWS[6:])
    change(cell)
    expected, end = written(cell, torch.as_tensor(ROWS[None, 6:], dtype=torch.float32), before)
    found = pushed(stream, ROWS[6:])
    np.testing.assert_allclose(found, expected[0], rtol=0, atol=1e-6)
    close(stream.state, end, 1e-6)
    assert np.abs(found - without).max() > 1e-3


def test_a_fitted_stream_follows_partial_fit() -> None:
    """Predictions change with the weights; the state is kept."""
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40.0) % 7
    model = GRURegressor(hidden_size=4, max_epochs=1, random_state=0).fit(X, y)
    stream = model.stream()
    pushed(stream, X[:20])
    state = stream.state
    model.partial_fit(X, y)
    expected = model.predict(X[20:], initial_state=state)
    np.testing.assert_allclose(pushed(stream, X[20:]), expected, rtol=0, atol=1e-5)


def test_a_cell_that_is_converted_refuses_the_old_state() -> None:
    """Then nothing is read from the memory that was: a new state in the new precision leads on."""
    cell = small_gru()
    stream = Stream(cell)
    stream.push(ROWS[0])
    cell.double()
    with pytest.raises(RuntimeError, match="dtype"):
        stream.push(ROWS[1])


def test_a_learned_start_is_not_shared() -> None:
    """Pushing never writes into the parameters, and a state that was given out is a copy."""
    cell = Learned()(LSTM(2, 3))
    kept = [parameter.detach().clone() for parameter in cell.parameters()]
    stream = Stream(cell)
    answer = stream.push(ROWS[0])
    for leaf in leaves(stream.state):
        assert not leaf.requires_grad and not leaf.is_inference()
        leaf.fill_(9.0)
    state = stream.state
    answer[:] = 9.0
    close(stream.state, state, 0.0)
    for parameter, value in zip(cell.parameters(), kept, strict=True):
        torch.testing.assert_close(parameter.detach(), value, rtol=0, atol=0)


def test_a_state_that_was_given_is_copied() -> None:
    """Whoever gave it may change theirs."""
    cell = small_gru()
    given = map_leaves(Tensor.clone, cell.initial_state(1))
    stream, twin = Stream(cell, given), Stream(cell)
    given.h.fill_(9.0)
    np.testing.assert_array_equal(pushed(stream, ROWS), pushed(twin, ROWS))


def test_a_state_that_was_given_out_can_be_trained_through() -> None:
    """It is no inference tensor, by whichever step it came."""
    for cell in (small_gru(), Readout(Wrapper(GRU(2, 3)), 1)):
        stream = Stream(cell)
        stream.push(ROWS[0])
        scan(cell, torch.ones(1, 3, 2), stream.state).output.sum().backward()
        assert all(parameter.grad is not None for parameter in cell.parameters())


def test_what_overflows_is_silent_as_in_torch() -> None:
    """A linear cell that grows without bound, and a rectified one: infinite at last, without a warning."""
    linear = Linear(1, 1)
    elman = Elman(1, 1, activation="relu")
    with torch.no_grad():
        for parameter in (*linear.parameters(), *elman.parameters()):
            parameter.fill_(1e20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cell in (linear, elman):
            stream = Stream(cell)
            answers = pushed(stream, np.ones((4, 1)))
            assert not np.isfinite(answers[-1]).any()
        calm = Stream(GRU(1, 2))
        assert np.isfinite(pushed(calm, [[1e30], [-1e30], [3e38]])).all()


def test_streams_run_in_threads() -> None:
    """Forks over one network, at the same time."""
    cell = small_gru(32)
    start = Stream(cell)
    start.push(ROWS[0])
    rows = np.random.default_rng(1).normal(size=(8, 300, 2))
    expected = [pushed(start.fork(), part) for part in rows]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: pushed(start.fork(), part), rows))
    np.testing.assert_array_equal(found, expected)


def test_copies_part_from_their_weights() -> None:
    """A copy has its own weights; a fork shares them."""
    cell = small_gru()
    stream = Stream(cell)
    stream.push(ROWS[0])
    fork, others = stream.fork(), (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream)))
    expected = pushed(stream.fork(), ROWS[1:])
    change_in_place(cell)
    assert np.abs(pushed(fork, ROWS[1:]) - expected).max() > 1e-3
    for other in others:
        np.testing.assert_array_equal(pushed(other, ROWS[1:]), expected)


def test_a_stream_forecasts_by_prepared_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first step of a closed loop is written."""
    cell = Readout(ExponentialMovingAverage(1), 1, generator=torch.Generator().manual_seed(0))
    stream = Stream(cell)
    answer, expected = stream.push([1.0]), []
    by_hand = stream.fork()
    for _ in range(5):
        answer = by_hand.push(answer)
        expected.append(answer)
    taken: list[int] = []
    own = Readout.forward
    monkeypatch.setattr(Readout, "forward", lambda self, *inputs: taken.append(1) or own(self, *inputs))
    found = stream.forecast(5)
    assert len(taken) == 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    before = flatten(stream.state)
    stream.forecast(2)
    assert torch.equal(flatten(stream.state), before)

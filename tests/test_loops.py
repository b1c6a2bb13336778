"""Scan and rollout: what they refuse, and marks of any pattern. The laws proper are in tests/laws."""

from __future__ import annotations

import inspect
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import seqdyn
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.gru import GRU, GRUState
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM, LSTMState
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.composition import Stack
from seqdyn.initial_state import Learned
from seqdyn.loops import rollout, scan
from seqdyn.state import hold, is_held, leaves, map_leaves
from tests.laws.cells import Entry, prepare
from tests.laws.kinds import Pictures, Tokens
from tests.laws.laws import alone, close, gradients, some_state, valid

KERNELS = [
    Entry("moving average", lambda g: MovingAverage(2, window=3)),
    Entry("exponential average", lambda g: ExponentialMovingAverage(2, learned=True)),
    Entry("linear", lambda g: Linear(2, 3, generator=g)),
    Entry("elman", lambda g: Elman(2, 3, output_size=1, generator=g)),
    Entry("lstm", lambda g: LSTM(2, 2, generator=g)),
    Entry("stack", lambda g: Stack([Learned()(GRU(2, 2, generator=g)), LSTM(2, 2, peepholes=True, generator=g)])),
]


@st.composite
def marks(draw: Any) -> tuple[int, Tensor | None, Tensor | None]:
    """Any number of steps, each there or not, reset or not; long stretches are likely, so that kernels run."""
    time = draw(st.integers(1, 24))
    grids = []
    for share in (draw(st.sampled_from([0.02, 0.1, 0.5, 1.0])), draw(st.sampled_from([0.02, 0.1, 0.5]))):
        generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
        switched = torch.rand(3, time, generator=generator) < share
        grids.append(switched)
    mask = draw(st.sampled_from([None, grids[0].cumsum(1) % 2 == 0, ~grids[0]]))
    return time, mask, draw(st.sampled_from([None, grids[1]]))


@pytest.mark.parametrize("entry", KERNELS, ids=lambda entry: entry.name)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(marks())
def test_marks_of_any_pattern(entry: Entry, marked: tuple[int, Tensor | None, Tensor | None]) -> None:
    """However scan cuts time at masks and resets, each row is what it is alone, step by step."""
    time, mask, reset = marked
    cell, x = prepare(entry, batch=3, time=time)
    start = some_state(cell, 3)
    if mask is not None and not mask.any():
        close(scan(cell, x, start, mask=mask, reset=reset).state, start, "state", tolerance=0)
        return
    outputs, state = alone(cell, x, start, mask, reset)
    for record in (None, lambda x, before, output, after: None):
        result = scan(cell, x, start, mask=mask, reset=reset, record=record)
        close(valid(result.output, mask), outputs, "output")
        close(result.state, state, "state")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(marks())
def test_gradients_through_marks_of_any_pattern(marked: tuple[int, Tensor | None, Tensor | None]) -> None:
    """Cutting changes no gradient, of a parameter, an input or a state."""
    time, mask, reset = marked
    cell, x = prepare(KERNELS[-1], batch=3, time=time)
    start = some_state(cell, 3)

    def run(record: Any) -> dict[str, Tensor]:
        def values(x: Any, state: Any) -> tuple[Any, Any]:
            result = scan(cell, x, state, mask=mask, reset=reset, record=record)
            return valid(result.output, mask), result.state

        return gradients(cell, x, start, values)

    close(run(None), run(lambda x, before, output, after: None), "gradient", tolerance=1e-10)


def test_kernels_run_between_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ragged batch is cut at its distinct lengths: one kernel call a stretch, on the rows still there, no steps."""
    cell, x = prepare(KERNELS[2], batch=3, time=24)
    mask = torch.arange(24) < torch.tensor([[24], [9], [9]])
    sizes = []
    kernel = cell.unroll

    def counting(x: Tensor, state: Any, mask: Tensor | None = None) -> Any:
        if mask is None:
            sizes.append(tuple(x.shape))
        return kernel(x, state, mask)

    monkeypatch.setattr(cell, "unroll", counting)
    monkeypatch.setattr(cell, "forward", None)
    scan(cell, x, mask=mask)
    assert sizes == [(3, 9, 2), (1, 15, 2)]


def test_the_result_has_always_four_parts() -> None:
    """(output, state, record, mask), whatever was asked for."""
    cell, x = prepare(KERNELS[3], batch=2, time=3)
    for options in ({}, {"reverse": True}, {"record": lambda x, before, output, after: {"h": after.h}}):
        output, state, record, mask = scan(cell, x, **options)
        assert mask is None and output.shape == (2, 3, 1) and state.h.shape == (2, 3)
        assert (record is None) == ("record" not in options)
    assert record["h"].shape == (2, 3, 3)


def test_inputs_may_be_trees() -> None:
    """x may be a dict of tensors with any further axes; a step sees all of them at one instant."""

    class Camera(Cell):
        input_shape = None

        def initial_state(self, batch: int) -> tuple[Tensor]:
            return (torch.zeros(batch, 1),)

        def forward(self, x: Any, state: tuple[Tensor]) -> tuple[Any, tuple[Tensor]]:
            total = x["image"].sum((1, 2))[:, None] * x["scale"]
            return {"total": total, "image": x["image"]}, (state[0] + total,)

    x = {"image": torch.arange(16.0).view(1, 4, 2, 2), "scale": torch.ones(1, 4, 1)}
    result = scan(Camera(0, 1), x)
    assert result.output["image"].shape == (1, 4, 2, 2)
    assert result.output["total"].flatten().tolist() == [6, 22, 38, 54]
    assert result.state[0].item() == 120
    assert scan(Camera(0, 1), x, reverse=True).output["total"].flatten().tolist() == [6, 22, 38, 54]


def says(error: type[Exception], *words: str) -> Any:
    """Expect an error whose message holds all of these words."""
    return pytest.raises(error, match="".join(f"(?=.*{word})" for word in words))


gru = GRU(3, 4)
x = torch.zeros(2, 5, 3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (torch.zeros(5, 3), [r"x has shape \(5, 3\)", "GRU", r"\(batch, time, 3\)"]),
        (torch.zeros(3), [r"x has shape \(3,\)", r"\(batch, time, \*inputs\)"]),
        (torch.zeros(2, 5, 4), [r"x has shape \(2, 5, 4\)", "GRU", r"\(batch, time, 3\)"]),
        (torch.zeros(2, 5, 3, 1), [r"x has shape \(2, 5, 3, 1\)", "GRU", r"\(batch, time, 3\)"]),
        (torch.zeros(2, 0, 3), [r"x has shape \(2, 0, 3\)", "at least one step"]),
        ((x, torch.zeros(2, 4, 3)), [r"x\.1 has shape \(2, 4, 3\)", r"x\.0 has \(2, 5, 3\)", "hold"]),
        ((x, torch.zeros(3, 5, 3)), [r"x\.1 has shape \(3, 5, 3\)", r"x\.0 has \(2, 5, 3\)"]),
        ((x, torch.zeros(2)), [r"x\.1 has shape \(2,\)"]),
    ],
)
def test_inputs_of_wrong_shape(wrong: Any, words: list[str]) -> None:
    """The message says which leaf, its shape, and what the cell expects."""
    with says(ValueError, *words):
        scan(gru, wrong)


@pytest.mark.parametrize(
    "nothing", [None, (), {}, 3, np.zeros((2, 5, 3)), [[[1.0, 2.0, 3.0]]]], ids=lambda value: type(value).__name__
)
def test_inputs_without_a_tensor(nothing: Any) -> None:
    """Nothing to walk along, or numbers that are no tensor: the message says what x has to be."""
    with says(TypeError, "tensor", type(nothing).__name__):
        scan(gru, nothing)


@pytest.mark.parametrize("name", ["mask", "reset"])
@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (torch.ones(2, 5), [r"\(2, 5\)", "torch.float32", "expected", "torch.bool"]),
        (torch.ones(2, 5, dtype=torch.long), ["torch.int64", "expected", "torch.bool"]),
        (torch.ones(5, dtype=torch.bool), [r"\(5,\)", r"expected \(2, 5\)"]),
        (torch.ones(2, 4, dtype=torch.bool), [r"\(2, 4\)", r"expected \(2, 5\)"]),
        (torch.ones(2, 5, 1, dtype=torch.bool), [r"\(2, 5, 1\)", r"expected \(2, 5\)"]),
        (torch.ones(1, 5, dtype=torch.bool), [r"\(1, 5\)", r"expected \(2, 5\)"]),
    ],
)
def test_marks_of_wrong_shape_or_dtype(name: str, marks: Tensor, words: list[str]) -> None:
    """The message names the mark, what it is and what it should be."""
    with says(ValueError, name, *words):
        scan(gru, x, **{name: marks})


@pytest.mark.parametrize("name", ["mask", "reset"])
def test_marks_that_are_no_tensor(name: str) -> None:
    """A list of booleans is refused by name."""
    with pytest.raises((TypeError, ValueError), match=rf"(?=.*{name})(?=.*list)(?=.*torch\.bool)"):
        scan(gru, x, **{name: [[True] * 5] * 2})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (GRUState(torch.zeros(3, 4)), [r"state\.h has shape \(3, 4\)", r"\(2, 4\)", "GRU"]),
        (GRUState(torch.zeros(2, 5)), [r"state\.h has shape \(2, 5\)", r"\(2, 4\)"]),
        (GRUState(torch.zeros(2, 4, 1)), [r"state\.h has shape \(2, 4, 1\)"]),
        (GRUState(torch.zeros(2, 4, dtype=torch.float64)), ["torch.float64", "torch.float32"]),
        (LSTMState(torch.zeros(2, 4), torch.zeros(2, 4)), [r"state\.c", r"state\.h", "GRU", "initial_state"]),
        (torch.zeros(2, 4), ["leaves", r"state\.h", "initial_state"]),
        ((GRUState(torch.zeros(2, 4)),), [r"state\.0\.h", r"state\.h"]),
    ],
)
def test_states_that_do_not_fit(state: Any, words: list[str]) -> None:
    """The message names the leaf, and where to get a state that fits."""
    with says(ValueError, *words):
        scan(gru, x, state)


def test_states_of_another_layer() -> None:
    """In a stack the path leads to the layer."""
    two = Stack([GRU(3, 4), GRU(4, 2)])
    state = two.initial_state(2)
    with says(ValueError, r"state\.1\.h has shape \(2, 3\)", r"\(2, 2\)", "Stack"):
        scan(two, x, (state[0], GRUState(torch.zeros(2, 3))))


def feed(y: Tensor, known: Any) -> Tensor:
    """Two outputs back, one number known of the future."""
    return torch.cat([y, known], 1)


reader = Elman(3, 4, output_size=2)


def test_rollout_wants_a_row_a_step() -> None:
    """Too many or too few rows of the future: the message says how many there are and how many there should be."""
    start, last = reader.initial_state(2), torch.zeros(2, 2)
    for time in (3, 5):
        with says(ValueError, "exogenous", f"{time} rows", "steps=4"):
            rollout(reader, start, 4, last=last, feed=feed, exogenous=torch.zeros(2, time, 1))
    with says(ValueError, r"exogenous\.price", "3 rows", "steps=4"):
        rollout(reader, start, 4, last=last, feed=feed, exogenous={"price": torch.zeros(2, 3, 1)})


@pytest.mark.parametrize("steps", [0, -1])
def test_rollout_wants_a_step(steps: int) -> None:
    """Zero steps are no rollout."""
    with says(ValueError, "steps must be an int of at least 1", f"got {steps}"):
        rollout(reader, reader.initial_state(2), steps, last=torch.zeros(2, 2), feed=feed)


def test_rollout_wants_a_state_that_fits() -> None:
    """A state of another cell is refused as in a scan, not somewhere inside a matrix product."""
    with says(ValueError, r"state\.h has shape \(2, 5\)", r"\(2, 4\)", "Elman"):
        rollout(reader, ElmanState(torch.zeros(2, 5)), 3, last=torch.zeros(2, 2), feed=lambda y, _: torch.zeros(2, 3))


def test_rollout_by_hand() -> None:
    """x_t = feed(y_{t-1}, u_t), written out; `last` is the previous output, u_0 belongs to the first step ahead."""
    cell = Elman(3, 4, output_size=2, generator=torch.Generator().manual_seed(0)).double()
    known = torch.randn(2, 5, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = ElmanState(torch.full((2, 4), 0.3, dtype=torch.float64))
    y, state, expected = torch.ones(2, 2, dtype=torch.float64), start, []
    for t in range(5):
        y, state = cell(torch.cat([y, known[:, t]], 1), state)
        expected.append(y)
    last = torch.ones(2, 2, dtype=torch.float64)
    result = rollout(cell, start, 5, last=last, feed=feed, exogenous=known)
    close(result.output, torch.stack(expected, 1), "output")
    close(result.state, state, "state")


def test_rollout_calls() -> None:
    """feed sees None where nothing is known; force counts from 0 and sees the cell's own state."""
    seen: list[Any] = []

    def force(t: int, state: ElmanState) -> ElmanState:
        seen.append((t, type(state)))
        return state

    def note(y: Tensor, known: Any) -> Tensor:
        seen.append(known)
        return torch.cat([y, y[:, :1]], 1)

    rollout(reader, reader.initial_state(2), 2, last=torch.zeros(2, 2), feed=note, force=force)
    assert seen == [None, (0, ElmanState), None, (1, ElmanState)]


def test_rollout_carries_gradients() -> None:
    """The last output depends on the first input through the loop, also through `last` and the future."""
    cell, known = Elman(3, 4, output_size=2), torch.zeros(2, 6, 1, requires_grad=True)
    last = torch.zeros(2, 2, requires_grad=True)
    result = rollout(cell, cell.initial_state(2), 6, last=last, feed=feed, exogenous=known)
    result.output[:, -1].sum().backward()
    assert last.grad.abs().max() > 0 and known.grad[:, 0].abs().max() > 0


def test_hold_does_not_copy() -> None:
    """A constant becomes an input in time, as a view."""
    value = torch.arange(6.0).view(2, 3)
    held = hold(value, 4)
    assert held.shape == (2, 4, 3)
    assert held.data_ptr() == value.data_ptr()
    assert all(torch.equal(held[:, t], value) for t in range(4))
    assert hold(torch.zeros(2), 4).shape == (2, 4)


def test_state_detached_between_chunks_is_truncated_bptt() -> None:
    """Carried on without its history, a state ends gradients at the border of the chunk and changes no value."""
    cell, series = Elman(2, 3).double(), torch.randn(1, 8, 2, dtype=torch.float64, generator=torch.Generator())
    series.requires_grad_()
    first = scan(cell, series[:, :4])
    second = scan(cell, series[:, 4:], map_leaves(Tensor.detach, first.state))
    close(second.output, scan(cell, series).output[:, 4:], "output")
    (slope,) = torch.autograd.grad(second.output.sum(), series)
    assert not slope[:, :4].any() and slope[:, 4:].any()


class CountedState(NamedTuple):
    """``steps`` (batch,), an integer, and ``h`` (batch, hidden)."""

    steps: Tensor
    h: Tensor


class Counted(Cell):
    """Adds up its input, and counts."""

    def initial_state(self, batch: int) -> CountedState:
        return CountedState(torch.zeros(batch, dtype=torch.long), self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: CountedState) -> tuple[Tensor, CountedState]:
        h = state.h + x
        return h, CountedState(state.steps + 1, h)


def test_states_may_hold_integers() -> None:
    """A leaf of whole numbers, a counter or a token, goes through marks like any other and keeps its dtype."""
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    reset = torch.zeros(2, 5, dtype=torch.bool)
    reset[0, 3] = True
    state = scan(Counted(3, 3), torch.ones(2, 5, 3), mask=mask, reset=reset).state
    assert state.steps.tolist() == [2, 3] and state.steps.dtype == torch.long
    assert state.h[:, 0].tolist() == [2.0, 3.0]


# ---- rollout, until and record ---------------------------------------------------------------------------------------


def test_a_rollout_can_be_taken_in_pieces() -> None:
    """Five steps are two and three: an iterator that yields as it goes is nothing else."""
    cell, start, last = reader.double(), reader.double().initial_state(2), torch.ones(2, 2, dtype=torch.float64)
    known = torch.randn(2, 5, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole = rollout(cell, start, 5, last=last, feed=feed, exogenous=known)
    first = rollout(cell, start, 2, last=last, feed=feed, exogenous=known[:, :2])
    second = rollout(cell, first.state, 3, last=first.output[:, -1], feed=feed, exogenous=known[:, 2:])
    close(torch.cat([first.output, second.output], 1), whole.output, "output")
    close(second.state, whole.state, "state")
    reader.float()


def test_until_stops_row_by_row() -> None:
    """Counting up from different starts to 5: the step that reaches it still counts, the last row ends the loop."""
    counter = Linear(1, 0, 1)
    torch.nn.init.ones_(counter.feedthrough)
    calls: list[int] = []

    def over(output: Tensor) -> Tensor:
        calls.append(len(calls))
        return output[:, 0] >= 5

    start = torch.tensor([[3.0], [0.0], [4.0]])
    result = rollout(counter, counter.initial_state(3), 99, last=start, feed=lambda y, _: y + 1, until=over)
    assert result.mask.tolist() == [[True] * 2 + [False] * 3, [True] * 5, [True] + [False] * 4]
    assert [row[there].tolist() for row, there in zip(result.output[..., 0], result.mask, strict=True)] == [
        [4, 5],
        [1, 2, 3, 4, 5],
        [5],
    ]
    assert len(calls) == 5
    assert rollout(counter, counter.initial_state(3), 2, last=start, feed=lambda y, _: y).mask is None


def test_force_and_record_see_the_cells_own_input_and_state() -> None:
    """Not the state of the loop around it, and the input as it was fed."""
    seen: list[Any] = []

    def keep(x: Tensor, before: ElmanState, output: Tensor, after: ElmanState) -> Tensor:
        seen.append((x.shape, type(before), type(after)))
        return x

    start, last = reader.initial_state(2), torch.zeros(2, 2)
    result = rollout(reader, start, 3, last=last, feed=lambda y, _: torch.cat([y, y[:, :1]], 1), record=keep)
    assert set(seen) == {((2, 3), ElmanState, ElmanState)}
    assert torch.equal(result.record[:, 1:, :2], result.output[:, :-1])


# ---- what is held, and what is not there -----------------------------------------------------------------------------


class Sum(Cell):
    """h_t = h_{t-1} + memory, which comes in held; counts how often its leaf is made."""

    input_shape = None

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.zeros(batch, 2),)

    def forward(self, x: dict[str, Tensor], state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = state[0] + x["memory"].sum(1) + x["now"]
        return h, (h,)


def test_a_held_leaf_is_read_once() -> None:
    """Every step meets one and the same tensor, and its gradient is the sum over all steps."""
    memory, now = torch.randn(3, 4, 2, requires_grad=True), torch.randn(3, 50, 2)
    seen: list[int] = []
    record = lambda x, *_: seen.append(id(x["memory"])) or x["now"]  # noqa: E731
    held = scan(Sum(0, 2), {"memory": hold(memory, 50), "now": now}, record=record).output
    assert len(set(seen)) == 1
    copied = hold(memory, 50).contiguous()
    plain = scan(Sum(0, 2), {"memory": copied, "now": now}).output
    close(held, plain, "output", tolerance=0)
    slopes = [torch.autograd.grad(output[:, -1].sum(), memory, retain_graph=True)[0] for output in (held, plain)]
    close(slopes[0], slopes[1], "gradient")
    assert torch.equal(slopes[0], torch.full_like(memory, 50.0))


def test_what_is_held_without_a_history_has_no_gradient() -> None:
    """The constant behind a held leaf is used in its place only where both have a history."""
    memory, now = torch.randn(1, 4, 2, requires_grad=True), torch.randn(1, 5, 2, requires_grad=True)
    with torch.no_grad():
        blind = hold(memory, 5)
    for held in (blind, hold(memory.detach(), 5)):
        scan(Sum(0, 2), {"memory": held, "now": now}).output.sum().backward()
        assert memory.grad is None
    spread = memory.unsqueeze(1).expand(1, 5, 4, 2)  # held by somebody else
    scan(Sum(0, 2), {"memory": spread, "now": now}).output.sum().backward()
    assert torch.equal(memory.grad, torch.full_like(memory, 15.0))


def test_a_leaf_that_gathers_gradients_is_not_held() -> None:
    """Stride 0 in time or not: whoever asks for its gradient gets one for every step."""
    x = hold(torch.randn(2, 3), 4).requires_grad_()
    assert not is_held(x) and is_held(x.detach())
    cell = GRU(3, 2)
    scan(cell, x).output.sum().backward()
    own = torch.autograd.functional.jacobian(lambda v: scan(cell, v).output.sum(), x.detach().contiguous())
    close(x.grad, own, "gradient by step", tolerance=1e-6)


@pytest.mark.parametrize("build", [Elman, GRU, LSTM, Linear])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_padding_is_never_read(build: Any, value: float) -> None:
    """Whatever stands in padding, values and gradients are those of zeros there, as torch's packed sequences are."""
    cell = build(2, 3)
    mask = torch.arange(6) < torch.tensor([6, 3, 0])[:, None]
    outcomes = []
    for filling in (0.0, value):
        for record in (None, lambda *step: None):
            cell.zero_grad()
            x = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
            x[~mask] = filling
            result = scan(cell, x.requires_grad_(), mask=mask, record=record)
            (result.output[mask].sum() + sum(leaf.sum() for leaf in result.state)).backward()
            assert result.output.isfinite().all()
            outcomes.append((result.output[mask], result.state, x.grad, [p.grad.clone() for p in cell.parameters()]))
    for other in outcomes[1:]:
        close(other, outcomes[0], "outcome", tolerance=1e-5)
    assert not outcomes[-1][2][~mask].any()


def test_a_held_memory_of_rows_that_are_not_there_is_never_read() -> None:
    """A row without any step may hold anything."""
    memory = torch.ones(2, 3, 2)
    memory[1] = torch.nan
    memory.requires_grad_()
    x = {"memory": hold(memory, 4), "now": torch.zeros(2, 4, 2)}
    result = scan(Sum(0, 2), x, mask=torch.tensor([[True] * 4, [False] * 4]))
    result.output[0].sum().backward()
    assert result.output.isfinite().all() and memory.grad.isfinite().all() and not memory.grad[1].any()


def test_tokens_that_are_not_there_may_be_any_number() -> None:
    """−1, as padding often is, is no row of an embedding."""
    cell = Tokens(5, 3)
    tokens, mask = torch.tensor([[1, 2, -1], [3, -1, -1]]), torch.tensor([[True, True, False], [True, False, False]])
    alone_, _ = scan(cell, tokens[:1, :2])[:2]
    close(scan(cell, tokens, mask=mask).output[0, :2], alone_[0], "output", tolerance=1e-6)


@pytest.mark.parametrize(
    ("cell", "wrong", "words"),
    [
        (Tokens(5, 3), torch.zeros(2, 4), ["float32", r"Tokens expects \(batch, time\)", r"x\.long\(\)"]),
        (Tokens(5, 3), torch.zeros(2, 4, 5), [r"x has shape \(2, 4, 5\)", r"\(batch, time\)"]),
        (Pictures(3, 4, 4), torch.zeros(2, 4, 48), [r"\(2, 4, 48\)", r"\(batch, time, 3, 4, 4\)"]),
        (GRU(3, 4), (torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)), ["a tuple", r"\['0', '1'\]", "Noisy", "one tensor"]),
    ],
)
def test_inputs_of_another_kind_are_named(cell: Cell, wrong: Any, words: list[str]) -> None:
    with says(ValueError, *words):
        scan(cell, wrong)


def test_a_step_that_keeps_no_contract_is_named() -> None:
    """A cell whose forward forgets the state, or changes its shape: the message says which class it is."""

    class Forgetful(Elman):
        def forward(self, x: Tensor, state: Any) -> Any:
            return super().forward(x, state)[0]

        def unroll(self, x: Tensor, state: Any, mask: Any = None) -> Any:
            return NotImplemented

    class Growing(Forgetful):
        def forward(self, x: Tensor, state: Any) -> Any:
            return x, ElmanState(torch.cat([state.h, state.h], 1))

    with says(TypeError, r"Forgetful.forward\(x, state\) gave Tensor", r"the pair \(output, state\)"):
        scan(Forgetful(3, 2), torch.zeros(2, 4, 3))
    with says(
        ValueError, r"Growing.forward\(x, state\) gave a state with state\.h \(2, 4\)", r"from state\.h \(2, 2\)"
    ):
        scan(Growing(3, 2), torch.zeros(2, 4, 3))


# ---- scan beside the rest of torch -----------------------------------------------------------------------------------

FAST = pytest.mark.parametrize("build", [Elman, LSTM, GRU, Linear])


@FAST
@pytest.mark.parametrize("time", [6, 40])
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own, in jacfwd
def test_functional_transforms_take_the_written_step(build: Any, time: int) -> None:
    """torch.func differentiates and maps a scan; the answer is autograd's."""
    cell, x = build(3, 4).double(), torch.randn(2, time, 3, dtype=torch.float64)
    last = lambda v: scan(cell, v).output[:, -1]  # noqa: E731
    expected = torch.autograd.functional.jacobian(last, x)
    close(torch.func.jacrev(last)(x), expected, "jacrev")
    close(torch.func.jacfwd(last)(x), expected, "jacfwd")
    each = torch.func.vmap(lambda v: scan(cell, v[None]).output[0])(x)
    close(each, scan(cell, x).output, "vmap")


@FAST
def test_second_derivatives_in_single_precision(build: Any) -> None:
    """Right, or refused in words: torch's own kernels know some of them only once."""
    cell, x, v = build(2, 3), torch.randn(1, 40, 2), torch.randn(1, 40, 2)

    def product(record: Any) -> Tensor:
        return torch.autograd.functional.hvp(lambda x: scan(cell, x, record=record).output.tanh().pow(2).sum(), x, v)[1]

    right = product(lambda *step: None)
    assert right.abs().max() > 1e-3
    try:
        close(product(None), right, "second derivative", tolerance=1e-4)
    except RuntimeError as refusal:
        assert "differentia" in str(refusal) or "derivative" in str(refusal)


@FAST
def test_autocast_takes_the_written_step(build: Any) -> None:
    """Under autocast products are in half precision, the state stays as it is, and gradients arrive."""
    cell, x = build(3, 4), torch.randn(2, 20, 3)
    exact = scan(cell, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = scan(cell, x)
        masked = scan(cell, x, mask=torch.arange(20) < torch.tensor([20, 7])[:, None])
    assert all(leaf.dtype == torch.float32 for leaf in (*leaves(mixed.state), *leaves(masked.state)))
    close(mixed.output.float(), exact.output, "output", tolerance=0.1)
    mixed.output.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


class Scanned(torch.nn.Module):
    """A scan as the model that is exported."""

    def __init__(self, cell: Cell):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = scan(self.cell, x).output
        return output


@FAST
def test_a_scan_can_be_exported(build: Any) -> None:
    """torch.export traces the written step, and the exported program is the scan."""
    model, x = Scanned(build(3, 4)).eval(), torch.randn(2, 5, 3)
    program = torch.export.export(model, (x,))
    close(program.module()(x), model(x), "output", tolerance=1e-5)


def test_scan_is_a_plain_function() -> None:
    """It has a signature, pickles, and can be compiled."""
    assert inspect.isfunction(seqdyn.scan)
    assert list(inspect.signature(seqdyn.scan).parameters)[:3] == ["cell", "x", "state"]
    assert pickle.loads(pickle.dumps(seqdyn.scan)) is seqdyn.scan
    cell, x = Elman(3, 4), torch.randn(2, 5, 3)
    compiled = torch.compile(seqdyn.scan, backend="eager")
    close(compiled(cell, x).output, scan(cell, x).output, "output", tolerance=1e-5)

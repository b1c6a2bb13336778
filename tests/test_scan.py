"""Scan and rollout: what they refuse, and marks of any pattern. The laws proper are in tests/laws."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqdyn.cell import Cell, Stack
from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.gru import GRU, GRUState
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM, LSTMState
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.initial_state import Learned
from seqdyn.scan import hold, rollout, scan
from seqdyn.state import map_leaves
from tests.laws.cells import Entry, prepare
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


def test_the_result_has_always_three_parts() -> None:
    """(output, state, record), whatever was asked for."""
    cell, x = prepare(KERNELS[3], batch=2, time=3)
    for options in ({}, {"reverse": True}, {"record": lambda x, before, output, after: {"h": after.h}}):
        output, state, record = scan(cell, x, **options)
        assert output.shape == (2, 3, 1) and state.h.shape == (2, 3)
        assert (record is None) == ("record" not in options)
    assert record["h"].shape == (2, 3, 3)


def test_inputs_may_be_trees() -> None:
    """x may be a dict of tensors with any further axes; a step sees all of them at one instant."""

    class Camera(Cell):
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
    with says(ValueError, "steps must be at least 1", f"got {steps}"):
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
    assert seen == [(0, ElmanState), None, (1, ElmanState), None]


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

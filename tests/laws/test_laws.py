"""Every law over every cell of the library, and over two cells that a user might write."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.initial_state import drawing
from seqdyn.loops import scan
from seqdyn.state import leaves, map_leaves
from seqdyn.wrapper import Wrapper
from tests.laws.cells import LAW_TABLE, Entry, prepare
from tests.laws.laws import LAWS, check_constancy, check_fast_path, close


class LeakyState(NamedTuple):
    """``h`` (batch, hidden) and ``age`` (batch,): a leaf without further axes."""

    h: Tensor
    age: Tensor


class Leaky(Cell):
    """A user's cell: ten lines, no fast path, no closed form, a tree as its state."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.drive = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch: int) -> LeakyState:
        return LeakyState(self.zeros(batch, self.hidden_size), self.zeros(batch))

    def forward(self, x: Tensor, state: LeakyState) -> tuple[Tensor, LeakyState]:
        h = 0.9 * state.h + 0.1 * self.drive(x) + 0.01 * state.age[:, None]
        return h, LeakyState(h, state.age + 1)


class Rotation(Cell):
    """An autonomous system, without input: h_t = D h_{t-1} with D a rotation by 0.3; y_t is a matrix a row."""

    def __init__(self) -> None:
        super().__init__(0, 2)
        angle = torch.tensor(0.3, dtype=torch.float64)
        self.register_buffer(
            "turn", torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2).float()
        )

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.zeros(batch, 2) + 1,)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = state[0] @ self.turn.T
        return h[:, :, None] * h[:, None, :], (h,)


OWN = [Entry("a user's cell", lambda g: Leaky(3, 4)), Entry("an autonomous cell", lambda g: Rotation())]
KERNELS = {  # entries whose outermost cell must not fall back to the loop
    "moving average", "moving average, learned", "exponential average", "exponential average, learned",
    "linear", "linear, output size", "elman, tanh", "elman, relu", "elman, readout", "lstm", "gru, reset after",
    "readout", "residual", "stack", "zero start", "learned start", "given start", "translator",
    "masked window", "row lstm", "diagonal lstm", "pixels, rows", "pixels, diagonals, three levels",
}  # fmt: skip


def named(entry: Entry) -> str:
    return entry.name.replace(", ", "-").replace(" ", "_")


each_cell = pytest.mark.parametrize("entry", LAW_TABLE + OWN, ids=named)


@each_cell
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("check_"))
def test_law(law: Any, entry: Entry) -> None:
    """The law holds for the cell."""
    law(*prepare(entry))


@each_cell
def test_constancy_in_float32(entry: Entry) -> None:
    """Structure, shapes and dtype are constant in float32 too."""
    check_constancy(*prepare(entry, dtype=torch.float32))


@pytest.mark.parametrize("name", sorted(KERNELS))
@pytest.mark.parametrize("time", [1, 2, 70])
def test_fast_path_is_taken(name: str, time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells with a kernel take no step, and the kernel equals the loop over several of its blocks."""
    entry = next(entry for entry in LAW_TABLE if entry.name == name)
    cell, x = prepare(entry, time=time)
    expected = scan(cell, x, record=lambda x, before, output, after: None)
    taken = itertools.count()
    for part in cell.modules():
        if isinstance(part, Cell):
            monkeypatch.setattr(part, "forward", lambda *_: next(taken))
    result = scan(cell, x)
    assert next(taken) == 0
    close(result, expected, "kernel")


def test_fast_path_over_many_blocks() -> None:
    """Values and gradients agree over three blocks of the linear kernel and two of the exponential one."""
    for name in ("linear, output size", "exponential average, learned", "moving average, learned"):
        entry = next(entry for entry in LAW_TABLE if entry.name == name)
        check_fast_path(*prepare(entry, time=101))


class Tape(Cell):
    """Counts in decimals: h_t = 10 h_{t-1} + x_t, so that every digit tells what happened when."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.zeros(batch, 1) + 1,)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = 10 * state[0] + x
        return h, (h,)


@pytest.mark.parametrize(
    ("present", "fresh", "before", "after"),
    [
        (True, False, 7.0 + 2, 95.0),
        (True, True, 1.0 + 2, 35.0),  # reset, then force: the other way round it would be 1 and 15
        (False, False, None, 7.0),
        (False, True, None, 7.0),  # a step that is not there: its reset and its force do not happen
    ],
)
def test_order_within_a_step(present: bool, fresh: bool, before: float | None, after: float) -> None:
    """Reset → force → forward → mask: every combination, worked out by hand."""
    result = scan(
        Tape(),
        torch.full((1, 1, 1), 5.0),
        (torch.full((1, 1), 7.0),),
        mask=torch.tensor([[present]]),
        reset=torch.tensor([[fresh]]),
        force=lambda t, state: (state[0] + 2,),
        record=lambda x, before, output, after: (before, after),
    )
    assert result.state[0].item() == after
    if before is not None:
        assert result.output.item() == after
        assert [leaf.item() for leaf in leaves(result.record)] == [before, after]


@pytest.mark.parametrize("entry", LAW_TABLE, ids=named)
def test_global_generator_is_untouched(entry: Entry) -> None:
    """Building, scanning, drawing noise and drawing starts leave torch's global generator alone."""
    before = torch.get_rng_state()
    entry.build(None)
    cell, x = prepare(entry)
    scan(cell, x)
    cell.noise(2, 3, torch.Generator())
    with drawing(cell, torch.Generator()):
        scan(cell, x, record=lambda x, before, output, after: None)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("entry", LAW_TABLE, ids=named)
def test_building_follows_the_generator(entry: Entry) -> None:
    """One seed, one network."""
    one, same = (entry.build(torch.Generator().manual_seed(4)) for _ in range(2))
    close(dict(one.named_parameters()), dict(same.named_parameters()), "parameter", tolerance=0)


class Peeking(Wrapper):
    """Sees one step ahead, because its fast path shifts the input: causality and the fast path must notice."""

    def unroll(self, x: Any, state: Any, mask: Tensor | None = None) -> Any:
        return self.cell.unroll(torch.cat([x[:, 1:], x[:, :1]], 1), state, mask)


class Talking(Wrapper):
    """Mixes the rows of a batch."""

    def forward(self, x: Tensor, state: Any) -> tuple[Any, Any]:
        return self.cell(x + 1e-6 * x.mean(0), state)

    def unroll(self, x: Any, state: Any, mask: Tensor | None = None) -> Any:
        return NotImplemented


class _Once(torch.autograd.Function):
    """h_t = tanh(x_t) for all steps, with a gradient that is silently 0 when it is differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        h = torch.tanh(x)
        ctx.save_for_backward(h)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (h,) = ctx.saved_tensors
        return slope * (1 - h * h)


class Once(Wrapper):
    """Its fast path has the right gradient, and none of the second order."""

    def forward(self, x: Tensor, state: Any) -> tuple[Any, Any]:
        return torch.tanh(x), state

    def unroll(self, x: Any, state: Any, mask: Tensor | None = None) -> Any:
        return NotImplemented if mask is not None else (_Once.apply(x), state)


class Forgetful(Wrapper):
    """Changes itself with every step."""

    def forward(self, x: Tensor, state: Any) -> tuple[Any, Any]:
        with torch.no_grad():
            next(self.parameters()).mul_(0.999)
        return self.cell(x, state)

    def unroll(self, x: Any, state: Any, mask: Tensor | None = None) -> Any:
        return NotImplemented


class Widening(Wrapper):
    """Lets the dtype of the state grow."""

    def forward(self, x: Tensor, state: Any) -> tuple[Any, Any]:
        output, after = self.cell(x, state)
        return output, map_leaves(Tensor.double, after)


@pytest.mark.parametrize(
    ("wrong", "broken"),
    [
        (Peeking, {"causality", "fast_path", "kernel", "stream", "split", "padding"}),
        (Talking, {"batch", "padding", "padding_gradients"}),
        (Forgetful, {"purity", "stream", "split"}),
        (Once, {"second_derivatives"}),
    ],
)
def test_laws_catch_a_wrong_cell(wrong: type[Wrapper], broken: set[str]) -> None:
    """A law that cannot fail is none: cells with a planted fault break the laws that speak of it."""
    entry = next(entry for entry in LAW_TABLE if entry.name == "elman, tanh")
    failed = set()
    for law in LAWS:
        try:
            law(*prepare(Entry(wrong.__name__, lambda g: wrong(entry.build(g)))))
        except (AssertionError, RuntimeError):
            failed.add(law.__name__.removeprefix("check_"))
    assert broken <= failed


def test_constancy_catches_a_growing_dtype() -> None:
    """A state that turns into float64 breaks the law in float32: the loop says so."""
    entry = next(entry for entry in LAW_TABLE if entry.name == "exponential average")
    with pytest.raises(ValueError, match=r"Widening.forward\(x, state\) gave a state .*float64, but it started from"):
        check_constancy(*prepare(Entry("widening", lambda g: Widening(entry.build(g))), dtype=torch.float32))

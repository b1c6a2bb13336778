"""Functions of one step as cells: they obey the laws, equal what they are made of, and break no rule unnoticed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqdyn.conversion import from_torch
from seqdyn.dynamics.derivatives import record_block, record_jacobian
from seqdyn.dynamics.trajectory import float64_copy
from seqdyn.files import save
from seqdyn.loops import scan
from seqdyn.state import leaves
from tests.dynamics.unchanged import unchanged
from tests.laws.laws import LAWS, close


def randn(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Memory(NamedTuple):
    """A state with names."""

    fast: Tensor
    slow: Tensor


class Leaky(nn.Module):
    """A step of a user's, as a module."""

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.GRUCell(3, 4)
        self.drop = nn.Dropout(0.5)
        self.read = nn.Linear(4, 3)

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        fast = self.core(self.drop(x), memory.fast)
        slow = 0.9 * memory.slow + 0.1 * fast
        return self.read(slow), Memory(fast, slow)

    def step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """The same, as a method."""
        return self(x, memory)


W, U = randn(4, 3), 0.4 * randn(4, 4, seed=2)


def rows(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """h_t = tanh(W x + U h) for rows, with constants of float64."""
    h = torch.tanh(x @ W.T + h @ U.T)
    return h[:, :3], h


def single(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The same for one row."""
    h = torch.tanh(W @ x + U @ h)
    return h[:3], h


def oscillator(x: Tensor, h: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """A pendulum without weights, in a dict."""
    speed = h["speed"] - 0.1 * torch.sin(h["angle"]) + 0.1 * x[:, :1]
    angle = h["angle"] + 0.1 * speed
    return torch.cat([torch.cos(angle), torch.sin(angle), speed], 1), {"angle": angle, "speed": speed}


def zeros(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


STEPS: dict[str, Any] = {
    "rows": (lambda: rows, lambda: zeros(4)),
    "single row": (lambda: single, lambda: zeros(4)),
    "module": (lambda: Leaky().double(), lambda: Memory(zeros(4), zeros(4))),
    "module with a learned start": (
        lambda: Leaky().double(),
        lambda: Memory(nn.Parameter(zeros(4)), nn.Parameter(zeros(4))),
    ),
    "dict": (lambda: oscillator, lambda: {"angle": zeros(1) + 0.5, "speed": zeros(1)}),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", STEPS)
def test_laws(law: Any, name: str) -> None:
    """A step function is a cell as any other."""
    make, start = STEPS[name]
    law(from_torch(make(), initial_state=start(), input_size=3), randn(4, 24, 3))


@pytest.mark.parametrize("name", ["rows", "single row"])
def test_equals_the_module_that_it_writes_down(name: str) -> None:
    """The Elman network by hand, its outputs and derivatives."""
    module = nn.RNN(3, 4, bias=False, batch_first=True).double()
    with torch.no_grad():
        module.weight_ih_l0.copy_(W)
        module.weight_hh_l0.copy_(U)
    plain = from_torch(module)
    cell = from_torch(STEPS[name][0](), initial_state=zeros(4), input_size=3)
    x = randn(2, 7, 3)
    for record in (record_jacobian, record_block):
        mine, theirs = scan(cell, x, record=record(cell)), scan(plain, x, record=record(plain))
        close(mine.state, leaves(theirs.state)[0], "state")
        for one, other in zip(leaves(mine.record), leaves(theirs.record), strict=True):
            close(one, other[..., : one.shape[-2], :], "derivative")


def test_the_trained_modules_in_a_function_are_constants() -> None:
    """In the dtype of what comes in: a function of float32 modules is measured in float64, without their gradients."""
    recurrent, head = nn.GRUCell(3, 4), nn.Linear(4, 2)

    def step(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = recurrent(x, h)
        return head(h), h

    with unchanged(recurrent), unchanged(head):
        cell = float64_copy(from_torch(step, initial_state=torch.zeros(4), input_size=3))
        result = scan(cell, randn(2, 7, 3), record=record_jacobian(cell))
    assert copy.deepcopy(cell).step is cell.step
    assert not result.output.requires_grad and not result.record.requires_grad and not list(cell.parameters())
    plain = from_torch(copy.deepcopy(recurrent).double(), copy.deepcopy(head).double())
    theirs = scan(plain, randn(2, 7, 3), record=record_jacobian(plain))
    close(result.output, theirs.output, "output")
    close(result.record, theirs.record, "Jacobian")


def test_a_function_of_one_dtype_is_run_in_it() -> None:
    """With plain tensors of float32, where there is nothing to convert."""
    matrix = 0.5 * torch.eye(4)

    def step(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + h @ matrix)
        return h, h

    cell = float64_copy(from_torch(step, initial_state=torch.zeros(4), input_size=4))
    result = scan(cell, randn(2, 7, 4), record=record_jacobian(cell))
    assert {result.output.dtype, result.state.dtype, result.record.dtype} == {torch.float64}
    h = torch.zeros(2, 4)
    for x in randn(2, 7, 4).float().unbind(1):
        h = torch.tanh(x + h @ matrix)
    close(result.state, h.double(), "state", tolerance=1e-7)


def test_methods_and_compiled_functions() -> None:
    """A method of a module, and what torch.compile made, are functions like any other."""
    module = Leaky().double().eval()
    start, x = Memory(zeros(4), zeros(4)), randn(2, 5, 3)
    expected = scan(from_torch(module, initial_state=start, input_size=3), x).output
    for step in (module.step, torch.compile(module.step, backend="eager"), torch.compile(module, backend="eager")):
        close(scan(from_torch(step, initial_state=start, input_size=3), x).output, expected, "output")


def test_a_single_row_is_told_from_a_batch_of_its_own_size() -> None:
    """Square matrices and three numbers: no axis of the row passes for the batch of the trial."""
    square = 0.3 * randn(3, 3)

    def lorenz(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c = h
        change = torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])
        return h, h + 0.01 * change

    def matrix(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(square @ h + square @ x)
        return h, h

    for step in (lorenz, matrix):
        cell, x = from_torch(step, initial_state=randn(3), input_size=3), randn(4, 5, 3)
        result, h = scan(cell, x), [*randn(3).expand(4, 3)]
        for t in range(5):
            h = [step(x[row, t], h[row])[1] for row in range(4)]
        close(result.state, torch.stack(h), "state")


def test_names_and_copies() -> None:
    """A module is copied, its dropout is off, and its parameters are called as the user calls them."""
    module = Leaky().double()
    with unchanged(module):
        cell = from_torch(module, initial_state=Memory(nn.Parameter(zeros(4)), zeros(4)), input_size=3)
        scan(cell.train(), randn(2, 5, 3)).output.sum().backward()
    assert cell.torch_names == {f"step.{key}": key for key, _ in module.named_parameters()} | {
        "start_fast": "initial_state"
    }
    assert {key for key, _ in cell.named_parameters()} == set(cell.torch_names)


def test_tokens_pictures_and_no_input() -> None:
    """x of every shape."""
    table = randn(5, 4)

    def tokens(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return h, torch.tanh(h + table[x])

    assert scan(from_torch(tokens, initial_state=zeros(4), input_size=()), torch.tensor([[4, 0]])).state.shape == (1, 4)

    def pictures(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = 0.5 * h + x.mean(1)
        return h, h

    cell = from_torch(pictures, initial_state=zeros(2, 2), input_size=(3, 2, 2))
    assert cell.output_shape == (2, 2) and scan(cell, randn(1, 4, 3, 2, 2)).output.shape == (1, 4, 2, 2)

    def logistic(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = 3.9 * h * (1 - h)
        return h, h

    cell = from_torch(logistic, initial_state=zeros(1) + 0.3, input_size=0)
    states, h = scan(cell, torch.zeros(1, 6, 0, dtype=torch.float64)).output.flatten(), 0.3
    for value in states.tolist():
        h = 3.9 * h * (1 - h)
        assert value == pytest.approx(h, abs=1e-12)


def test_a_step_is_not_saved(tmp_path: Path) -> None:
    """A file holds no code."""
    for step, kind in ((rows, "function"), (Leaky().double(), "Leaky")):
        start = zeros(4) if step is rows else Memory(zeros(4), zeros(4))
        with pytest.raises(TypeError, match=f"class {kind}, and a file holds no code"):
            save(tmp_path / "cell.safetensors", from_torch(step, initial_state=start, input_size=3))


def alone_only(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Works for several rows, but not for one."""
    return h, torch.tanh(h[:, :] + x[1].mean())


def drawing(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    h = h + torch.rand_like(h)
    return h, h


def mixing(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    h = 0.5 * h - h.mean(0)
    return h, h


def in_place(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return 2 * h, h.mul_(0.5)


def by_numpy(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return h, torch.from_numpy(np.tanh(h.detach().numpy()))


def with_a_loop(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """For one row, and with a decision that vmap cannot follow."""
    h = W @ x + U @ h
    return h, torch.tanh(h) if float(h.sum()) > 0 else h


class Fixed(nn.Module):
    """A module that keeps a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.eye(4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = h @ self.matrix
        return h, h


REFUSED: dict[str, Any] = {
    "one result": (lambda x, h: h, {}, ValueError, "expected two things: the output y and the next state h"),
    "a tree as output": (lambda x, h: ((h, h), h), {}, ValueError, r"the output \(float64 .*expected \(batch"),
    "whole numbers": (lambda x, h: (h.long(), h), {}, ValueError, "the output int64"),
    "shape": (lambda x, h: (h, h[:, :2]), {}, ValueError, r"back as float64 \(5, 2\), but got it as float64 \(5, 4\)"),
    "dtype": (lambda x, h: (h, h.float()), {}, ValueError, "back as float32 .* dtypes must stay"),
    "structure": (lambda x, h: (h, (h, h)), {}, ValueError, r"back as \(float64 \(5, 4\), float64 \(5, 4\)\), but"),
    "a number": (lambda x, h: (h, 0.5), {}, ValueError, "back as a float"),
    "drawing": (drawing, {}, ValueError, "another result the second time: it draws"),
    "mixing": (mixing, {}, ValueError, "when it stands alone: it mixes"),
    "batch of one": (alone_only, {}, ValueError, "does not work for a batch of one. The step failed on x"),
    "in place": (in_place, {}, ValueError, "changes the state it is given in place"),
    "numpy": (by_numpy, {}, ValueError, "The state that the step gives has no gradient .*Write it in torch"),
    "no gradient": (lambda x, h: (h.detach(), h), {}, ValueError, "The output that the step gives has no gradient"),
    "vmap": (with_a_loop, {}, ValueError, "single rows, and torch.func.vmap cannot run it"),
    "failing": (lambda x, h: (h, h @ W.T), {}, ValueError, r"failed on x, float64 \(5, 3\), and h, float64 \(5, 4\)"),
    "fixed dtype": (Fixed(), {"initial_state": torch.zeros(4)}, ValueError, "does not work after .double"),
    "meta": (nn.Linear(3, 3, device="meta"), {}, ValueError, r"The step \(Linear\) is on the device 'meta'"),
    "no width": (rows, {"input_size": None}, ValueError, "needs input_size, the width of x_t .* got None"),
    "width of nonsense": (rows, {"input_size": "3"}, ValueError, "got '3'"),
    "start of numbers": (rows, {"initial_state": [0.0, 0.0]}, TypeError, "initial_state, .* dict of tensors, got list"),
    "whole start": (rows, {"initial_state": torch.zeros(4).long()}, ValueError, "no leaf of floating point: int64"),
    "meta start": (rows, {"initial_state": torch.zeros(4, device="meta")}, ValueError, "h has a shape but no values"),
    "not callable": ("step", {}, TypeError, "must be a function or module .* got str"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    """A trial step finds it out, says it in our words, and draws nothing from the global generator."""
    step, change, error, words = REFUSED[name]
    before = torch.random.get_rng_state()
    with pytest.raises(error, match=words):
        from_torch(step, **({"initial_state": zeros(4), "input_size": 3} | change))
    assert torch.equal(torch.random.get_rng_state(), before)

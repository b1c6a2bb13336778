"""Compiled recurrences: equal to the written steps and to float64, whatever the layout, the mask and the threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.kernels import compiled, through_time
from seqdyn.kernels.compiled import in_parallel
from seqdyn.kernels.elman import elman_recurrence
from seqdyn.kernels.gated import gated_recurrence
from seqdyn.kernels.gru import gru_recurrence
from seqdyn.kernels.lstm import lstm_recurrence
from seqdyn.kernels.memory import recycled
from seqdyn.loops import scan
from seqdyn.state import leaves


class Case(NamedTuple):
    """A kernel, a cell whose steps it computes, and how many sums a neuron has."""

    kernel: Callable[..., Any]
    cell: Callable[[int, int], Any]
    options: dict[str, Any]


CASES = {
    "elman tanh": Case(elman_recurrence, lambda i, h: Elman(i, h), {"activation": "tanh"}),
    "elman relu": Case(elman_recurrence, lambda i, h: Elman(i, h, activation="relu"), {"activation": "relu"}),
    "elman sigmoid": Case(elman_recurrence, lambda i, h: Elman(i, h, activation="sigmoid"), {"activation": "sigmoid"}),
    "gru after": Case(gru_recurrence, lambda i, h: GRU(i, h), {}),
    "gru before": Case(gru_recurrence, lambda i, h: GRU(i, h, reset_gate="before"), {}),
    "lstm": Case(lstm_recurrence, lambda i, h: LSTM(i, h), {}),
    "min gru": Case(gated_recurrence, lambda i, h: MinGRU(i, h), {}),
    "min lstm": Case(gated_recurrence, lambda i, h: MinLSTM(i, h), {}),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
SIZES = [(1, 1, 1, 1), (1, 40, 2, 5), (3, 7, 2, 1), (9, 12, 4, 33), (34, 5, 3, 20)]


def drawn(case: Case, batch: int, time: int, inputs: int, hidden: int, dtype: torch.dtype = torch.float64) -> Any:
    """A cell with drawn weights, x, and a start, in one dtype."""
    generator = torch.Generator().manual_seed(batch + time + hidden)
    cell = case.cell(inputs, hidden)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / hidden**0.5)
    cell = cell.to(dtype)
    x = torch.randn(batch, time, inputs, generator=generator).to(dtype)
    start = type(cell.initial_state(1))(
        *(torch.randn(batch, hidden, generator=generator).to(dtype) for _ in cell.initial_state(1))
    )
    mask = torch.rand(batch, time, generator=generator) < 0.7
    return cell, x, start, mask


def by_everything(run: Callable[[], tuple[Tensor, Any]], cell: nn.Module, x: Tensor, start: Any) -> list[Tensor]:
    """Outputs, the last state, and the gradients of random sums of both by x, the start and all weights."""
    values = [x, *start, *cell.parameters()]
    for value in values:
        value.requires_grad_()
    output, state = run()
    generator = torch.Generator().manual_seed(0)
    results = [output, *leaves(state)]
    weights = [torch.randn(value.shape, generator=generator).to(value) for value in results]
    gradients = torch.autograd.grad(results, values, weights)
    return [value.detach() for value in (*results, *gradients)]


def written(cell: Any, x: Tensor, start: Any, mask: Tensor | None) -> tuple[Tensor, Any]:
    """The cell step by step; held outputs where the mask is False, as the kernels give them."""
    run = scan(cell, x, start, mask=mask, record=lambda x, before, output, after: before[0])
    output = run.output if mask is None else torch.where(mask[..., None], run.output, run.record)
    return output, run.state


@each_case
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
def test_values_and_gradients_are_those_of_the_steps(case: Case, size: tuple[int, ...], ragged: bool) -> None:
    """In float64 to 1e-11, by x, the start and every weight, with a mask or without."""
    cell, x, start, mask = drawn(case, *size)
    mask = mask if ragged else None
    x = x if mask is None else x * mask[..., None]
    fast = by_everything(lambda: cell.unroll(x, start, mask), cell, x, start)
    slow = by_everything(lambda: written(cell, x, start, mask), cell, x, start)
    for ours, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@each_case
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
def test_float32_is_near_float64(case: Case, ragged: bool) -> None:
    """Values to 1e-5, gradients to 1e-4 of the largest."""
    cell, x, start, mask = drawn(case, 16, 50, 3, 24)
    mask = mask if ragged else None
    exact = by_everything(lambda: cell.unroll(x, start, mask), cell, x, start)
    cell, x, start, _ = drawn(case, 16, 50, 3, 24, torch.float32)
    rounded = by_everything(lambda: cell.unroll(x, start, mask), cell, x, start)
    values = 1 + len(start)
    for number, (ours, theirs) in enumerate(zip(rounded, exact, strict=True)):
        bar = 1e-5 if number < values else 1e-4
        assert (ours - theirs).abs().max() <= bar * theirs.abs().max()


@each_case
def test_gradcheck(case: Case) -> None:
    """The gradient is that of finite differences, and the second one, too."""
    cell, x, start, mask = drawn(case, 2, 4, 2, 3)
    names = [name for name, _ in cell.named_parameters()]

    def run(x: Tensor, *values: Tensor) -> Tensor:
        own = dict(zip(names, values[len(start) :], strict=True))
        output, state = torch.func.functional_call(
            _Unrolled(cell), {f"cell.{name}": value for name, value in own.items()}, (x, values[: len(start)], mask)
        )
        return output.sum(1) + sum(leaves(state))

    values = [x, *start, *(parameter.detach() for parameter in cell.parameters())]
    values = [value.clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(run, values)
    if "relu" not in case.options.values():
        assert torch.autograd.gradgradcheck(run, values)


class _Unrolled(nn.Module):
    """The kernel as the forward pass of a module."""

    def __init__(self, cell: Any):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, start: Any, mask: Tensor) -> Any:
        return self.cell.unroll(x, type(self.cell.initial_state(1))(*start), mask)


@each_case
def test_layouts(case: Case) -> None:
    """Time-major, every second row, a start that is one row: strides do not matter."""
    cell, x, start, _ = drawn(case, 6, 9, 3, 8)
    one = type(start)(*(leaf[:1] for leaf in start))
    spread = type(start)(*(leaf.expand(6, -1) for leaf in one))
    repeated = type(start)(*(leaf.repeat(6, 1) for leaf in one))
    expected, state = cell.unroll(x, repeated)
    for same in (x.transpose(0, 1).contiguous().transpose(0, 1), x.repeat_interleave(2, 0)[::2], x.flip(1).flip(1)):
        output, last = cell.unroll(same, spread)
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(last, state, rtol=1e-12, atol=1e-12)


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nan_stays_in_its_row(case: Case, dtype: torch.dtype) -> None:
    """From where it comes in, and in the gradients of that row alone."""
    cell, x, start, _ = drawn(case, 7, 10, 2, 9, dtype)
    x[3, 4] = torch.nan
    x.requires_grad_()
    output, _ = cell.unroll(x, start)
    expected = torch.zeros(7, 10, 9, dtype=torch.bool)
    expected[3, 4:] = True
    assert torch.equal(output.isnan(), expected)
    output.sum().backward()
    others = torch.arange(7) != 3
    assert x.grad is not None and not x.grad[others].isnan().any()
    assert x.grad[3].isnan().any() or "relu" in case.options.values()  # whose slope is 0 or 1


@each_case
def test_threads_do_not_matter(case: Case) -> None:
    """One thread and two give the same bits, and several Python threads at once do."""
    cell, x, start, _ = drawn(case, 48, 30, 3, 64, torch.float32)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = cell.unroll(x, start)[0]
        torch.set_num_threads(2)
        shared = [cell.unroll(x, start)[0]]
        workers = [threading.Thread(target=lambda: shared.append(cell.unroll(x, start)[0])) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        torch.set_num_threads(threads)
    assert len(shared) == 5
    for output in shared:
        torch.testing.assert_close(output, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("own", [False, True], ids=["torch's threads", "own threads"])
def test_every_row_is_run_once(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's threads, and by others where torch uses no GNU OpenMP; with more threads than rows, too."""
    if own:
        monkeypatch.setattr(compiled, "_torch_threads", lambda: None)
    for rows, threads in [(7, 2), (2, 3), (1, 1), (0, 2), (64, 5)]:
        seen: list[int] = []
        in_parallel(lambda first, last, seen=seen: seen.extend(range(first, last)), rows, threads)
        assert sorted(seen) == list(range(rows))


def test_an_error_in_a_thread_comes_out() -> None:
    """It is raised where the loop was started, not lost in a foreign thread."""

    def fail(first: int, last: int) -> None:
        raise RuntimeError(f"rows {first} to {last}")

    with pytest.raises(RuntimeError, match="rows"):
        in_parallel(fail, 4, 2)


@each_case
def test_gradient_twice_from_one_graph(case: Case) -> None:
    """retain_graph: what is kept for the gradient is not used up by it."""
    cell, x, start, _ = drawn(case, 4, 40, 2, 40, torch.float32)
    output, _ = cell.unroll(x, start)
    parameters = list(cell.parameters())
    first = torch.autograd.grad(output.sum(), parameters, retain_graph=True)
    cell.unroll(x, start)[0].sum().backward()
    again = torch.autograd.grad(output.sum(), parameters)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


@each_case
def test_what_is_held_is_not_written_over(case: Case) -> None:
    """Memory is used again only after the last view of it is gone."""
    cell, x, start, _ = drawn(case, 16, 64, 2, 32, torch.float32)
    with torch.no_grad():
        held = cell.unroll(x, start)[0]
        view, copy = held[3:5], held.clone()
        for scale in range(3):
            cell.unroll(scale * x, start)
        assert torch.equal(held, copy)
        del held
        cell.unroll(-x, start)
        assert torch.equal(view, copy[3:5])


@each_case
def test_a_state_holds_no_more_than_itself(case: Case) -> None:
    """Whoever keeps the last state does not keep the outputs of all steps."""
    cell, x, start, _ = drawn(case, 2, 500, 2, 16, torch.float32)
    for run in (torch.no_grad(), torch.enable_grad()):
        with run:
            _, state = cell.unroll(x, start)
        assert all(leaf.untyped_storage().nbytes() == 4 * leaf.numel() for leaf in leaves(state))


def test_memory_comes_back() -> None:
    """The same block is given out again, also to a tensor of a slightly different size, and never to two at once."""
    first = recycled((100, 1000), torch.float32)
    place = first.data_ptr()
    second = recycled((100, 1000), torch.float32)
    assert second.data_ptr() != place
    del first
    assert recycled((100, 1001), torch.float32).data_ptr() == place


@each_case
def test_frozen_weights_and_inputs_alone(case: Case) -> None:
    """Whatever wants a gradient gets it, and nothing else does."""
    cell, x, start, _ = drawn(case, 3, 6, 2, 5)
    full = dict(zip(("x", *dict(cell.named_parameters())), _gradients(cell, x, start, True), strict=True))
    cell.requires_grad_(False)
    (by_x,) = _gradients(cell, x, start, True)
    torch.testing.assert_close(by_x, full["x"])
    for name, parameter in cell.named_parameters():
        parameter.requires_grad_()
        (found,) = _gradients(cell, x, start, False)
        torch.testing.assert_close(found, full[name])
        parameter.requires_grad_(False)
    assert not cell.unroll(x.detach(), start)[0].requires_grad


def _gradients(cell: nn.Module, x: Tensor, start: Any, by_x: bool) -> tuple[Tensor, ...]:
    x = x.detach().requires_grad_(by_x)
    wanted = [value for value in (x, *cell.parameters()) if value.requires_grad]
    return torch.autograd.grad(cell.unroll(x, start)[0].square().sum(), wanted)  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, in forward mode
@each_case
def test_what_the_loops_do_not_know_falls_back(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """vmap, forward mode, autocast, export, other dtypes, and no numba: the result is the same."""
    cell, x, start, _ = drawn(case, 3, 6, 2, 5, torch.float32)
    expected = scan(cell, x, start).output

    mapped = torch.func.vmap(lambda row: scan(cell, row[None]).output[0])(x)
    torch.testing.assert_close(mapped, scan(cell, x).output, rtol=1e-4, atol=1e-5)

    tangent = torch.randn_like(x)
    _, pushed = torch.func.jvp(lambda x: scan(cell, x, start).output, (x,), (tangent,))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        same = torch.autograd.forward_ad.unpack_dual(scan(cell, dual, start).output).tangent
    torch.testing.assert_close(same, pushed, rtol=1e-4, atol=1e-5)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(scan(cell, x, start).output.float(), expected, rtol=0.1, atol=0.1)

    half = cell.bfloat16()
    output = scan(half, x.bfloat16(), type(start)(*(leaf.bfloat16() for leaf in start))).output
    torch.testing.assert_close(output.float(), expected, rtol=0.1, atol=0.1)

    cell, x, start, _ = drawn(case, 3, 6, 2, 5, torch.float32)
    monkeypatch.setattr(through_time, "available", lambda: False)
    torch.testing.assert_close(scan(cell, x, start).output, expected, rtol=1e-5, atol=1e-6)


class Scanned(nn.Module):
    """A cell along a sequence, as a module to export."""

    def __init__(self, cell: Any):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = scan(self.cell, x).output
        return output


@each_case
def test_export(case: Case) -> None:
    """An exported program takes the written steps, and computes the same."""
    cell, x, _, _ = drawn(case, 2, 4, 2, 3, torch.float32)
    program = torch.export.export(Scanned(cell), (x,), strict=False)
    torch.testing.assert_close(program.module()(x), scan(cell, x).output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations(dtype: Any) -> None:
    """tanh and σ are within 1e-6 everywhere; in double precision they are the library's own."""
    from seqdyn.kernels.loops import sigmoid, tanh

    def both(x: Any, squashed: Any, opened: Any) -> None:
        for i in range(len(x)):
            squashed[i], opened[i] = tanh(x[i]), sigmoid(x[i])

    x = np.concatenate([np.linspace(-30, 30, 200_001), [1e-30, -1e30, 1e30, np.inf, -np.inf, np.nan]]).astype(dtype)
    squashed, opened = np.empty_like(x), np.empty_like(x)
    compiled.compiled(both)(x, squashed, opened)
    exact = x.astype(np.float64)
    with np.errstate(over="ignore"):
        sigma = 1 / (1 + np.exp(-exact))
    bar = 4e-7 if dtype is np.float32 else 1e-15
    np.testing.assert_allclose(squashed, np.tanh(exact), rtol=bar, atol=0)
    np.testing.assert_allclose(opened, sigma, rtol=0, atol=bar)
    assert tanh(0.3) == np.tanh(0.3) and sigmoid(0.3) == pytest.approx(1 / (1 + np.exp(-0.3)), abs=1e-16)


PROGRAM = """
import os, sys, torch
from seqdyn.cells.elman import Elman
from seqdyn.loops import scan
assert "numba" not in sys.modules, "importing compiles nothing"
torch.set_num_threads(2)
torch.manual_seed(0)
cell, x = Elman(2, 64, generator=torch.Generator().manual_seed(0)), torch.randn(40, 50, 2)
def gradient():
    scan(cell, x).output.sum().backward()
    return cell.bias.grad.sum().item()
value = gradient()
if {fork}:
    cell.bias.grad = None
    child = os.fork()
    if child == 0:
        os._exit(0 if abs(gradient() - value) < 1e-3 * abs(value) else 1)
    assert os.waitpid(child, 0)[1] == 0
print(value)
"""


def run_program(folder: str | Path, fork: bool = False) -> subprocess.Popen[str]:
    """A fresh process with an own folder for compiled code."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(fork=fork)], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> float:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return float(output)


def test_processes_and_folders(tmp_path: Path) -> None:
    """Two processes compile at the same moment, a third reads what they kept and forks; a folder cannot be written."""
    both = [run_program(tmp_path), run_program(tmp_path)]
    values = [finished(process) for process in both]
    assert any(tmp_path.rglob("*.nbc"))
    values.append(finished(run_program(tmp_path, fork=hasattr(os, "fork"))))
    blocked = tmp_path / "a file, not a folder"
    blocked.touch()
    values.append(finished(run_program(blocked)))
    assert max(values) - min(values) <= 1e-3 * abs(values[0])

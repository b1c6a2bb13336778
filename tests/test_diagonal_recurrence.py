"""Diagonal recurrences: compiled loops and the tree are the loop by hand, both ways, and so are the cells."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor
from torch.nn.functional import linear

from seqdyn.backend import explain_backend
from seqdyn.cells.linear import Linear
from seqdyn.cells.lru import LRU
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.composition import Residual, Stack
from seqdyn.dynamics.gates import gate_statistics
from seqdyn.kernels import through_time
from seqdyn.kernels.diagonal import diagonal_recurrence
from seqdyn.kernels.gated import gated_recurrence
from seqdyn.kernels.projection import projected
from seqdyn.loops import scan

SIZES = [(1, 1, 1), (2, 1, 3), (3, 7, 5), (2, 2, 2), (5, 3, 1), (4, 64, 2), (1, 101, 9)]
PATHS = ["loops", "tree"]
EXACT = {"rtol": 1e-11, "atol": 1e-11}


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compiled loops, or what runs without numba."""
    if request.param == "tree":
        monkeypatch.setattr(through_time, "available", lambda: False)
    return str(request.param)


def drawn(
    batch: int, time: int, channels: int, dtype: torch.dtype = torch.float64, constant: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a with |a| ≤ 1, of which some are 0, b, h_{-1} and a mask."""
    generator = torch.Generator().manual_seed(batch + 10 * time + 100 * channels)
    shape = (channels,) if constant else (batch, time, channels)
    a, b, h = (
        torch.randn(shape, generator=generator, dtype=dtype)
        for shape in (shape, (batch, time, channels), (batch, channels))
    )
    a = a / a.abs().clamp(min=1.0)
    a = torch.where(torch.rand(shape, generator=generator) < 0.1, 0, a)
    return a, b, h, torch.rand(batch, time, generator=generator) < 0.6


def by_hand(a: Tensor, b: Tensor, h: Tensor, mask: Tensor | None = None) -> Tensor:
    """The definition."""
    states = []
    for t in range(b.shape[1]):
        new = (a if a.dim() == 1 else a[:, t]) * h + b[:, t]
        h = new if mask is None else torch.where(mask[:, t, None], new, h)
        states.append(h)
    return torch.stack(states, 1)


def outcome(run: Callable[..., Tensor], *values: Tensor, mask: Tensor | None = None) -> list[Tensor]:
    """All states, and the gradients of a random sum of them."""
    values = tuple(value.detach().requires_grad_() for value in values)
    states = run(*values, mask)
    weight = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=states.dtype)
    return [states.detach(), *torch.autograd.grad(states, values, weight)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
@pytest.mark.parametrize("constant", [False, True], ids=["varying", "constant"])
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
def test_states_and_gradients(
    path: str, size: tuple[int, int, int], dtype: torch.dtype, constant: bool, ragged: bool
) -> None:
    """Both paths are the loop by hand, by a, b and the start."""
    *values, mask = drawn(*size, dtype, constant)
    there = mask if ragged else None
    found, expected = outcome(diagonal_recurrence, *values, mask=there), outcome(by_hand, *values, mask=there)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
@pytest.mark.parametrize("constant", [False, True], ids=["varying", "constant"])
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
def test_finite_differences(path: str, dtype: torch.dtype, constant: bool, ragged: bool) -> None:
    """Once and twice."""
    *values, mask = drawn(2, 5, 2, dtype, constant)
    own = [value.requires_grad_() for value in values]
    there = mask if ragged else None
    assert torch.autograd.gradcheck(lambda *v: diagonal_recurrence(*v, there), own)
    assert torch.autograd.gradgradcheck(lambda *v: diagonal_recurrence(*v, there), own)


@pytest.mark.parametrize("pole", [0.9, -0.5, 1.0, 0.0])
def test_constant_factors_are_a_filter(path: str, pole: float) -> None:
    """scipy's 1 / (1 − p z⁻¹)."""
    b = torch.randn(3, 200, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = diagonal_recurrence(torch.tensor([pole], dtype=torch.float64), b, torch.zeros(3, 1).double())
    np.testing.assert_allclose(found[..., 0], lfilter([1.0], [1.0, -pole], b[..., 0].numpy()), rtol=1e-12, atol=1e-12)


def test_long_products_are_safe(path: str) -> None:
    """a^t far below the smallest number, and exact forgetting: nothing is divided by them."""
    a = torch.full((1, 5000, 2), 0.5)
    a[0, 2500] = 0.0
    b = torch.ones(1, 5000, 2)
    a.requires_grad_()
    states = diagonal_recurrence(a, b, torch.full((1, 2), 1e30))
    torch.testing.assert_close(states[0, 2499:2503, 0], torch.tensor([2.0, 1.0, 1.5, 1.75]))
    states[:, -1].sum().backward()
    assert a.grad is not None and a.grad.isfinite().all()
    assert a.grad[0, -1, 0] == 2.0 and (a.grad[0, :2500] == 0).all()


def test_layouts(path: str) -> None:
    """Strides and broadcast rows do not matter, nor does a lazy conjugate."""
    a, b, h, _ = drawn(6, 9, 4, torch.complex128)
    expected = outcome(diagonal_recurrence, a, b, h[:1].repeat(6, 1))[0]
    turned = (value.transpose(0, 1).contiguous().transpose(0, 1) for value in (a, b))
    torch.testing.assert_close(diagonal_recurrence(*turned, h[:1].expand(6, -1)), expected, **EXACT)
    every = (value.repeat_interleave(2, 2)[..., ::2] for value in (a, b))
    torch.testing.assert_close(diagonal_recurrence(*every, h[:1].repeat(6, 1)), expected, **EXACT)
    conjugate = diagonal_recurrence(a.conj(), b.conj(), h[:1].repeat(6, 1).conj())
    torch.testing.assert_close(conjugate.conj().resolve_conj(), expected, **EXACT)
    spread = outcome(lambda a, b, h, mask: diagonal_recurrence(a, b, h.expand(6, -1), mask), a, b, h[:1])
    summed = outcome(lambda a, b, h, mask: by_hand(a, b, h.expand(6, -1), mask), a, b, h[:1])
    torch.testing.assert_close(spread[3], summed[3], **EXACT)


def test_nan_stays_in_its_lane(path: str) -> None:
    """Of the row and the channel where it comes in, forward from there and backward."""
    a, b, h, _ = drawn(4, 30, 6, torch.float32)
    a = a.abs().clamp(min=0.1)
    b[2, 10, 3] = torch.nan
    values = [value.requires_grad_() for value in (a, b, h)]
    states = diagonal_recurrence(*values)
    expected = torch.zeros(4, 30, 6, dtype=torch.bool)
    expected[2, 10:, 3] = True
    assert torch.equal(states.isnan(), expected)
    by_a, *_ = torch.autograd.grad(states.sum(), values)
    assert torch.equal(by_a.isnan(), expected.roll(1, 1) & expected)


def test_threads_do_not_matter() -> None:
    """One, two, and several Python threads at once give the same; rows are cut in the middle."""
    a, b, h, _ = drawn(3, 5000, 67, torch.float32)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = outcome(diagonal_recurrence, a, b, h)
        torch.set_num_threads(2)
        shared = [outcome(diagonal_recurrence, a, b, h)]
        workers = [
            threading.Thread(target=lambda: shared.append(outcome(diagonal_recurrence, a, b, h))) for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        torch.set_num_threads(threads)
    assert len(shared) == 4
    for found in shared:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, alone, strict=True))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, in forward mode
def test_transforms() -> None:
    """vmap, jvp and vjp of torch.func meet operations that they know."""
    a, b, h, _ = drawn(3, 8, 2)
    mapped = torch.func.vmap(lambda a, b, h: diagonal_recurrence(a[None], b[None], h[None])[0])(a, b, h)
    torch.testing.assert_close(mapped, by_hand(a, b, h), **EXACT)
    _, pushed = torch.func.jvp(lambda b: diagonal_recurrence(a, b, h), (b,), (torch.ones_like(b),))
    torch.testing.assert_close(pushed, by_hand(a, torch.ones_like(b), torch.zeros_like(h)), **EXACT)
    _, pull = torch.func.vjp(lambda h: diagonal_recurrence(a, b, h)[:, -1], h)
    torch.testing.assert_close(pull(torch.ones(3, 2).double())[0], a.prod(1), **EXACT)


def test_half_precision_takes_the_tree() -> None:
    """Numbers that compiled loops do not know."""
    a, b, h, _ = (value.bfloat16() for value in drawn(2, 20, 3))
    found = diagonal_recurrence(a, b, h)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), by_hand(a.double(), b.double(), h.double()), rtol=0.1, atol=0.1)


def test_no_steps() -> None:
    """Nothing happens in no time, and to nobody."""
    assert diagonal_recurrence(torch.ones(2), torch.zeros(3, 0, 2), torch.zeros(3, 2)).shape == (3, 0, 2)
    assert diagonal_recurrence(torch.ones(2), torch.zeros(0, 4, 2), torch.zeros(0, 2)).shape == (0, 4, 2)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
def test_the_gated_average_is_a_diagonal_recurrence(size: tuple[int, int, int], ragged: bool) -> None:
    """With a = 1 − z and b = z ∘ n, in values and gradients."""
    s, n, h, mask = drawn(*size)
    sums, there = torch.cat([3 * s, n], 2), mask if ragged else None

    def apart(sums: Tensor, h: Tensor, mask: Tensor | None) -> Tensor:
        s, n = sums.chunk(2, 2)
        return by_hand(1 - torch.sigmoid(s), torch.sigmoid(s) * n, h, mask)

    found, expected = outcome(gated_recurrence, sums, h, mask=there), outcome(apart, sums, h, mask=there)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(gated_recurrence(sums, h, there), expected[0], **EXACT)


@pytest.mark.parametrize("bias", ["none", "one", "at every step"])
def test_projections_are_linear_maps(bias: str) -> None:
    """Values, gradients and second derivatives of torch's linear."""
    generator = torch.Generator().manual_seed(0)
    x, weight, steps = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 7, 4), (2, 4), (3, 7, 2))
    )
    own = {"none": (), "one": (steps[0, 0],), "at every step": (steps,)}[bias]
    values = [x, weight, *(value.detach().requires_grad_() for value in own)]
    found, expected = projected(*values), linear(x, weight) + (values[2] if own else 0)
    torch.testing.assert_close(found, expected, **EXACT)
    slopes = (torch.autograd.grad(output.square().sum(), values) for output in (found, expected))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    assert torch.autograd.gradgradcheck(projected, values)


# -------------------------------------------------------------------- the cells


@pytest.mark.parametrize("build", [MinGRU, MinLSTM, LRU], ids=["min gru", "min lstm", "lru"])
def test_float32_is_near_float64(build: Any) -> None:
    """Values to 1e-5, gradients to 1e-4 of the largest."""
    results = []
    for dtype in (torch.float32, torch.float64):
        cell = build(3, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
        x = torch.randn(16, 200, 3, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
        output = scan(cell, x).output
        weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
        results.append([output, *torch.autograd.grad((output * weight).sum(), [x, *cell.parameters()])])
    for number, (rounded, exact) in enumerate(zip(*results, strict=True)):
        assert (rounded - exact).abs().max() <= (1e-4 if number else 1e-5) * exact.abs().max()


def test_min_gru_is_the_paper() -> None:
    """h_t = (1 − z_t) h_{t-1} + z_t (W_n x_t + b_n), in numpy."""
    cell = MinGRU(2, 3, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(1)).double()
    (W_z, W_n), h = cell.input_weight.detach().numpy().reshape(2, 3, 2), np.zeros(3)
    for value in x[0].numpy():
        z = 1 / (1 + np.exp(-W_z @ value))
        h = (1 - z) * h + z * (W_n @ value)
    np.testing.assert_allclose(scan(cell, x).state.h[0].detach(), h, rtol=1e-12)


def test_min_lstm_shares_one_between_its_gates() -> None:
    """f' = f / (f + i) and i' = i / (f + i), and their limit where both are closed."""
    cell = MinLSTM(2, 3, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(1)).double()
    state = cell.initial_state(4)
    gates = cell.gates(x, state, *cell(x, state))
    i, f, _ = torch.sigmoid(linear(x, cell.input_weight, cell.bias)).chunk(3, 1)
    torch.testing.assert_close(gates["forget"], f / (f + i), **EXACT)
    torch.testing.assert_close(gates["input"], i / (f + i), **EXACT)
    with torch.no_grad():
        cell.input_weight.zero_()
        cell.bias.copy_(torch.tensor([-2001.0] * 3 + [-2000.0] * 3 + [1.0] * 3))
    output = scan(cell, x[:, None]).output
    torch.testing.assert_close(output, torch.full_like(output, 1 / (1 + math.e)), **EXACT)


def test_time_constants_of_the_gates() -> None:
    """A gate that keeps 0.9 of the memory at every step has τ = −1 / ln 0.9."""
    cell = MinGRU(1, 2)
    with torch.no_grad():
        cell.input_weight.zero_()
        cell.bias[:2] = math.log(0.1 / 0.9)
    found = gate_statistics(cell, torch.zeros(1, 30, 1))["forget"].time_constants
    assert found is not None
    torch.testing.assert_close(found, torch.full_like(found, -1 / math.log(0.9)), rtol=1e-5, atol=0)


def test_the_lru_is_a_linear_model_with_its_poles() -> None:
    """Its block matrix makes a Linear cell of the same outputs, whose eigenvalues are λ and λ̄."""
    cell = LRU(2, 6, output_size=3, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(2, 30, 2, generator=torch.Generator().manual_seed(1)).double()
    state = cell.initial_state(2)
    block = cell.block(x[:, 0], state, *cell(x[:, 0], state))
    same = Linear(2, 6, output_size=3).double()
    with torch.no_grad():
        for name, value in zip(block._fields, block, strict=True):
            getattr(same, name).copy_(value[0])
    torch.testing.assert_close(scan(cell, x).output, scan(same, x).output, **EXACT)
    poles = torch.cat([cell.poles(), cell.poles().conj()]).detach().resolve_conj()
    eigenvalues = torch.linalg.eigvals(block.transition[0].detach())
    assert (eigenvalues[:, None] - poles).abs().min(1).values.max() < 1e-12


def test_the_lru_starts_on_its_ring() -> None:
    """Evenly over the area between the radii and up to the angle, with unit variance under white noise."""
    generator = torch.Generator().manual_seed(0)
    cell = LRU(1, 8000, output_size=1, r_min=0.6, r_max=0.9, max_phase=1.0, generator=generator).double()
    radius, angle = cell.poles().abs().detach(), cell.poles().angle().detach()
    assert 0.6 <= radius.min() and radius.max() <= 0.9 and 0 < angle.min() and angle.max() <= 1.0
    area = (radius**2 - 0.36) / (0.81 - 0.36)
    levels = torch.linspace(0.1, 0.9, 9).double()
    torch.testing.assert_close(torch.quantile(area, levels), levels, rtol=0, atol=0.03)
    torch.testing.assert_close(torch.quantile(angle, levels), levels, rtol=0, atol=0.03)
    torch.testing.assert_close(cell.log_gain.exp() ** 2, 1 - radius**2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("radii", [(0.0, 1.0), (1.0, 1.0), (0.999, 1.0)], ids=str)
def test_the_lru_is_stable_and_finite_wherever_it_starts(radii: tuple[float, float]) -> None:
    """Also on the unit circle itself, and with weights far from the start."""
    cell = LRU(1, 64, r_min=radii[0], r_max=radii[1], generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        output = scan(cell, torch.ones(1, 300, 1)).output
        slopes = torch.autograd.grad(output.sum(), list(cell.parameters()))
        assert output.isfinite().all() and all(slope.isfinite().all() for slope in slopes)
        assert (cell.poles().abs() <= 1).all()
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.mul_(1.5).add_(0.3)


def test_what_the_lru_refuses() -> None:
    """Half a complex number, and rings that are none."""
    with pytest.raises(ValueError, match="hidden_size must be even, two real numbers for each complex one, got 3"):
        LRU(1, 3)
    with pytest.raises(ValueError, match="got 0.9 and 0.8"):
        LRU(1, 4, r_min=0.9, r_max=0.8)
    with pytest.raises(ValueError, match=r"max_phase must be an angle in \(0, 2π\], got 7"):
        LRU(1, 4, max_phase=7.0)


def test_one_scan_says_what_runs_it(path: str) -> None:
    """Compiled loops; the tree where they cannot run; step by step where there are no complex numbers."""
    network = Stack([MinGRU(2, 4), MinLSTM(4, 4), Residual(LRU(4, 4))])
    expected = {
        "loops": "in compiled loops",
        "tree": "as a tree, parallel in time: numba is not installed: pip install 'seqdyn[fast]'",
    }[path]
    cells = ("MinGRU(2 → 4)", "MinLSTM(4 → 4)", "LRU(4 → 4)")
    assert explain_backend(network, torch.zeros(1, 5, 2)).splitlines() == [f"{cell} runs {expected}." for cell in cells]
    half = explain_backend(LRU(2, 4).bfloat16(), torch.zeros(1, 5, 2, dtype=torch.bfloat16))
    assert half == "LRU(2 → 4) runs step by step: its numbers are complex, and of bfloat16 there are none."

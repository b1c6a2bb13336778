"""The blocked linear recurrence and its adjoint against the plain loop."""

import pytest
import torch
from torch import Tensor

from seqdyn.kernels import linear
from seqdyn.kernels.linear import linear_recurrence, linear_states


def loop(x: Tensor, h: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """The definition."""
    outputs = [x.new_zeros(len(x), 0, len(A))]
    for x_t in x.unbind(1):
        outputs.append((x_t @ A.T + h @ B.T).unsqueeze(1))
        h = x_t @ C.T + h @ D.T
    return torch.cat(outputs, 1), h


def problem(
    batch: int,
    time: int,
    inputs: int,
    hidden: int,
    outputs: int,
    radius: float = 0.95,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    """x, h_{-1}, A, B, C and D, with D of the given spectral radius."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, time, inputs), (batch, hidden), (outputs, inputs), (outputs, hidden), (hidden, inputs)]
    drawn = [torch.randn(*shape, generator=generator, dtype=dtype) for shape in shapes]
    transition = torch.randn(hidden, hidden, generator=generator, dtype=dtype)
    largest = torch.linalg.eigvals(transition).abs().max() if hidden else 1.0
    return [*drawn, transition * radius / largest]


def gradients(recurrence, arguments: list[Tensor], wanted: tuple[bool, ...] = (True,) * 6) -> list[Tensor]:
    """Of a sum with drawn weights over all outputs and the last state."""
    leaves = [value.clone().requires_grad_(to) for value, to in zip(arguments, wanted, strict=True)]
    generator = torch.Generator().manual_seed(1)
    total = sum(
        (part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum() for part in recurrence(*leaves)
    )
    return list(torch.autograd.grad(total, [leaf for leaf in leaves if leaf.requires_grad], materialize_grads=True))


def assert_same(ours: list[Tensor], peers: list[Tensor], tolerance: float) -> None:
    for mine, theirs in zip(ours, peers, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        scale = theirs.abs().max().item() if theirs.numel() else 0.0
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance * max(scale, 1e-300))


SIZES = [  # batch, inputs, hidden, outputs
    pytest.param(1, 1, 8, 1, id="single"),
    pytest.param(1, 1, 8, 8, id="states"),
    pytest.param(3, 2, 5, 3, id="several"),
    pytest.param(2, 7, 3, 1, id="wide inputs"),
    pytest.param(2, 1, 3, 7, id="wide outputs"),
    pytest.param(2, 6, 3, 7, id="both wide"),
    pytest.param(2, 2, 0, 3, id="no state"),
    pytest.param(2, 0, 4, 2, id="autonomous"),
    pytest.param(2, 3, 4, 0, id="no output"),
    pytest.param(1, 1, 1, 1, id="one"),
    pytest.param(40, 16, 16, 16, id="step by step"),
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 64 steps, and blocks for nearly everything."""
    monkeypatch.setattr(linear, "CHUNK_STEPS", 1)
    monkeypatch.setattr(linear, "LOOP", 0)
    monkeypatch.setattr(linear, "BLOCK_OVERHEAD", 0)
    monkeypatch.setattr(linear, "START", 2**40)


@pytest.mark.parametrize("time", [0, 1, 32, 33, 64, 127, 128, 129, 300])
@pytest.mark.parametrize("batch, inputs, hidden, outputs", SIZES)
def test_values_and_gradients_are_those_of_the_loop(batch: int, inputs: int, hidden: int, outputs: int, time: int):
    arguments = problem(batch, time, inputs, hidden, outputs)
    assert_same(list(linear_recurrence(*arguments)), list(loop(*arguments)), 1e-12)
    assert_same(gradients(linear_recurrence, arguments), gradients(loop, arguments), 1e-10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("time", [3, 4, 5, 63, 64, 65, 128, 197])
@pytest.mark.parametrize("batch, inputs, hidden, outputs", SIZES)
def test_the_same_in_small_chunks(batch: int, inputs: int, hidden: int, outputs: int, time: int):
    arguments = problem(batch, time, inputs, hidden, outputs)
    assert_same(list(linear_recurrence(*arguments)), list(loop(*arguments)), 1e-12)
    assert_same(gradients(linear_recurrence, arguments), gradients(loop, arguments), 1e-10)


def test_many_levels_and_chunks():
    arguments = problem(1, 2**17 + 77, 1, 4, 4)
    output, last = linear_recurrence(*arguments)
    expected, expected_last = loop(*arguments)
    assert_same([output, last], [expected, expected_last], 1e-12)


@pytest.mark.parametrize("batch, inputs, hidden, outputs", SIZES)
def test_single_precision(batch: int, inputs: int, hidden: int, outputs: int):
    arguments = problem(batch, 300, inputs, hidden, outputs, dtype=torch.float32)
    assert_same(list(linear_recurrence(*arguments)), list(loop(*arguments)), 1e-5)
    assert_same(gradients(linear_recurrence, arguments), gradients(loop, arguments), 1e-4)


@pytest.mark.parametrize("radius, time", [(1.5, 1000), (1.02, 20_000), (1e20, 12)])
def test_an_unstable_system_whose_values_stay_finite(radius: float, time: int):
    arguments = problem(2, time, 1, 3, 2, radius)
    assert_same(list(linear_recurrence(*arguments)), list(loop(*arguments)), 1e-10)
    assert_same(gradients(linear_recurrence, arguments), gradients(loop, arguments), 1e-10)


@pytest.mark.parametrize("radius", [1e6, 1e40])
def test_powers_that_overflow_do_no_harm_while_nothing_moves(radius: float):
    x, h, *matrices = problem(2, 1000, 1, 3, 2, radius)
    x[:, :-2], h = 0.0, torch.zeros_like(h)
    assert_same(list(linear_recurrence(x, h, *matrices)), list(loop(x, h, *matrices)), 1e-12)


def test_the_gradient_is_that_of_finite_differences():
    arguments = [value.requires_grad_() for value in problem(2, 70, 2, 2, 1)]
    assert torch.autograd.gradcheck(linear_recurrence, arguments)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("subset", range(1, 64))
def test_only_the_gradients_that_are_asked_for(subset: int):
    wanted = tuple(bool(subset >> bit & 1) for bit in range(6))
    arguments = problem(2, 70, 2, 3, 1)
    assert_same(gradients(linear_recurrence, arguments, wanted), gradients(loop, arguments, wanted), 1e-10)


def test_outputs_or_last_state_alone():
    x, *rest = (value.requires_grad_() for value in problem(2, 100, 2, 3, 1))
    for part in range(2):
        ours, peers = linear_recurrence(x, *rest)[part].sum(), loop(x, *rest)[part].sum()
        leaves = [x, *rest]
        assert_same(
            list(torch.autograd.grad(ours, leaves, materialize_grads=True)),
            list(torch.autograd.grad(peers, leaves, materialize_grads=True)),
            1e-10,
        )


@pytest.mark.parametrize("cut", [1, 50, 777])
def test_a_whole_is_its_two_parts(cut: int):
    x, h, *matrices = problem(2, 1000, 2, 5, 3)
    output, last = linear_recurrence(x, h, *matrices)
    first, between = linear_recurrence(x[:, :cut], h, *matrices)
    second, end = linear_recurrence(x[:, cut:], between, *matrices)
    assert_same([torch.cat([first, second], 1), end], [output, last], 1e-12)


def test_inputs_of_any_layout():
    x, *rest = problem(3, 200, 2, 5, 3)
    turned = x.transpose(1, 2).contiguous().transpose(1, 2)
    assert_same(list(linear_recurrence(turned, *rest)), list(linear_recurrence(x, *rest)), 1e-13)
    held = x[:, :1].expand(-1, 200, -1)
    assert_same(list(linear_recurrence(held, *rest)), list(linear_recurrence(held.clone(), *rest)), 1e-13)


def test_all_states():
    x, h, _, _, input_map, transition = problem(2, 500, 1, 4, 1)
    states, last = linear_states(x, h, input_map, transition)
    before, end = loop(x, h, torch.zeros_like(input_map), torch.eye(4, dtype=x.dtype), input_map, transition)
    assert_same([states[:, :-1], states[:, -1], last], [before[:, 1:], end, end], 1e-12)

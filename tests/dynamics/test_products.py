"""Scaled products, norms by lag, the map over (s, t) and singular values, against brute force on the Jacobians."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.dynamics.lag_products import LagProducts
from seqdyn.dynamics.products import Scaled, compose, log_norm, scaled, total
from seqdyn.dynamics.singular_values import condition, leading_singular_value, transition_singular_values
from seqdyn.dynamics.trajectory import Trajectory, jacobians
from seqdyn.dynamics.transitions import transition_map, transition_norms
from tests.dynamics.unchanged import unchanged
from tests.laws.cells import LAW_TABLE, Entry, prepare
from tests.laws.laws import some_state


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def driven(cell: Cell, scale: float = 0.6, batch: int = 2, time: int = 30) -> tuple[Cell, Tensor]:
    """A cell with all parameters drawn, and an input that moves its Jacobian."""
    cell = cell.double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(0.0, scale, generator=generator)
    return cell, randn(batch, time, cell.input_size)


def brute(J: Tensor, s: int, t: int) -> Tensor:
    """P_{s,t}, one factor after the other; s = −1 is before the first step."""
    product = torch.eye(J.shape[-1], dtype=J.dtype).expand(len(J), -1, -1)
    for r in range(s + 1, t + 1):
        product = J[:, r] @ product
    return product


def log_sigma(matrix: Tensor) -> Tensor:
    """ln of the largest singular value."""
    return torch.linalg.svdvals(matrix)[..., 0].log()


def near(actual: Any, expected: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance, equal_nan=True)


def test_scaled_matrices_have_norm_one() -> None:
    matrix = randn(3, 4, 4) * torch.tensor([1e-200, 1.0, 1e200], dtype=torch.float64)[:, None, None]
    found = scaled(matrix)
    near(torch.linalg.matrix_norm(found.matrix), torch.ones(3).double(), 1e-15)
    torch.testing.assert_close(found.matrix * found.log.exp()[:, None, None], matrix, rtol=1e-12, atol=0.0)


def test_composition_is_associative_and_keeps_the_order() -> None:
    a, b, c = (scaled(1e3**k * randn(2, 5, 5, seed=k)) for k in (1, 2, 3))
    left, right = compose(compose(c, b), a), compose(c, compose(b, a))
    near(left.log, right.log, 1e-12)
    near(left.matrix, right.matrix, 1e-13)
    assert (compose(a, b).matrix - compose(b, a).matrix).abs().max() > 0.01


def test_a_total_is_the_product_newest_on_the_left() -> None:
    for count in (1, 2, 3, 7, 8):
        J = randn(2, count, 3, 3)
        product = total(scaled(J))
        near(product.matrix * product.log.exp()[:, None, None], brute(J, -1, count - 1))


def test_zero_stays_zero() -> None:
    nothing = scaled(torch.zeros(2, 3, 3).double())
    product = compose(scaled(randn(2, 3, 3)), nothing)
    for found in (nothing, product):
        assert not found.matrix.any() and (found.log == -math.inf).all()
        assert (log_norm(found) == -math.inf).all() and (log_norm(found, "frobenius") == -math.inf).all()


def test_norms_are_exact() -> None:
    """Also with equal singular values, tiny ones, and rank one; a matrix that is not finite has none."""
    Q = torch.linalg.qr(randn(6, 6)).Q
    u = randn(6, 1, seed=2)
    matrices = torch.stack([Q, randn(6, 6), u @ u.T, Q * torch.logspace(0, -300, 6).double()])
    near(log_norm(scaled(matrices)), log_sigma(matrices), 1e-13)
    near(log_norm(scaled(matrices), "frobenius"), torch.linalg.matrix_norm(matrices).log(), 1e-13)
    assert log_norm(Scaled(torch.full((1, 2, 2), torch.nan), torch.zeros(1))).isnan().all()


MEMORIES = [entry for entry in LAW_TABLE if "window 1" not in entry.name and "beam" not in entry.name]


@pytest.mark.parametrize("entry", MEMORIES, ids=lambda entry: entry.name)
def test_norms_by_lag_are_brute_force(entry: Entry) -> None:
    """Every start and every sequence, at dyadic lags, for every cell of the library that has a memory."""
    cell, x = prepare(entry, batch=2, time=12)
    state = some_state(cell, 2)
    J = jacobians(cell, x, state)
    found = transition_norms(cell, x, state)
    assert found.lags == (1, 2, 4, 8) and found.counts == (12, 11, 9, 5)
    for lag, starts, values in zip(*found, strict=True):
        assert starts.tolist() == list(range(-1, 12 - lag))
        for column, s in enumerate(starts.tolist()):
            P = brute(J, s, s + lag)
            expected = log_sigma(P)
            rounding = torch.linalg.matrix_norm(P) < 1e-13  # nothing is left: zero here, rounding there
            near(values[:, column][~rounding], expected[~rounding], 1e-9)
            assert (values[:, column][rounding] < -29).all()


class Twisted(Cell):
    """A cell as a user writes one: a state of two leaves, one of them a matrix, and no closed form."""

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        return {"a": torch.full((batch, 2), 0.1).double(), "b": torch.full((batch, 1, 2), 0.3).double()}

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        a = torch.sin(state["a"] + state["b"][:, 0].flip(1) * x)
        return a, {"a": a, "b": 0.9 * state["b"] + state["a"].unsqueeze(1) ** 2}


def test_a_users_cell() -> None:
    """Any cell is enough: its steps are differentiated."""
    cell, x = Twisted(2, 4), randn(3, 20, 2)
    J = jacobians(cell, x)
    expected = log_sigma(brute(J, -1, 19))
    near(transition_norms(cell, x, lags=[20]).log_norms[0][:, 0], expected)
    near(transition_map(cell, x, anchors=3).log_norms[:, 0, 2], expected)
    near(transition_singular_values(cell, x)[:, 0], expected)
    near(leading_singular_value(cell, x, iterations=8), expected, 1e-6)


@pytest.mark.parametrize("norm", ["spectral", "frobenius"])
def test_any_lag(norm: str) -> None:
    """Lags between the powers of two, too; the longest is the whole trajectory."""
    cell, x = driven(GRU(2, 4))
    J = jacobians(cell, x)
    found = transition_norms(cell, x, lags=[3, 5, 7, 11, 12, 21, 23, 30], norm=norm)
    for lag, starts, values in zip(*found, strict=True):
        P = torch.stack([brute(J, s, s + lag) for s in starts.tolist()], 1)
        expected = log_sigma(P) if norm == "spectral" else torch.linalg.matrix_norm(P).log()
        near(values, expected)
    assert found.counts == tuple(31 - lag for lag in found.lags)


@pytest.mark.parametrize("lags", ["dyadic", [1, 3, 12, 13, 29, 48, 77, 150]])
@pytest.mark.parametrize("numbers", [1, 3000, 12000])
def test_thinned_starts_are_starts_of_the_whole(lags: Any, numbers: int) -> None:
    """With little memory long lags keep to a grid of starts; what is there is what all starts give."""
    cell, x = driven(LSTM(2, 3), time=150)
    whole, thin = transition_norms(cell, x, lags=lags), transition_norms(cell, x, lags=lags, numbers=numbers)
    assert whole.counts == tuple(151 - lag for lag in whole.lags)
    assert thin.counts[-1] < whole.counts[-1] or thin.counts[-2] < whole.counts[-2]
    for lag, all_starts, values, starts, fewer in zip(whole.lags, *whole[1:], *thin[1:], strict=True):
        step = int(starts[1] - starts[0]) if len(starts) > 1 else 1
        assert starts[0] == -1 and step & (step - 1) == 0 and step <= lag
        near(fewer, values[:, torch.isin(all_starts, starts)], 1e-11)


def test_a_few_starts_are_spread_evenly() -> None:
    cell, x = driven(Elman(2, 3), time=200)
    whole, few = transition_norms(cell, x), transition_norms(cell, x, starts=10)
    assert few.counts[:5] == (10,) * 5
    for all_starts, values, starts, fewer in zip(*whole[1:], *few[1:], strict=True):
        assert starts[0] == -1 and (starts.diff() > 0).all()
        assert len(starts) < 3 or starts.diff().max() <= 2 * starts.diff().min()
        near(fewer, values[:, torch.isin(all_starts, starts)], 1e-11)


def test_quantiles_are_over_starts_and_sequences() -> None:
    cell, x = driven(GRU(2, 3), batch=4)
    found = transition_norms(cell, x)
    values = found.log_norms[2]
    levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
    assert found.quantiles().shape == (5, 5)
    near(found.quantiles()[2], torch.quantile(values.flatten(), levels), 1e-14)
    near(found.median, found.quantiles()[:, 2], 0.0)


def test_what_is_forgotten_is_minus_infinity() -> None:
    """A window of four forgets everything after three steps; quantiles know −∞, and no NaN appears."""
    found = transition_norms(MovingAverage(2, window=4), randn(2, 12, 2))
    assert found.median[:2].isfinite().all() and (found.median[2:] == -math.inf).all()
    assert (found.quantiles()[2:] == -math.inf).all()
    assert (transition_singular_values(MovingAverage(2, window=4), randn(2, 12, 2)) == -math.inf).all()
    assert (leading_singular_value(MovingAverage(2, window=4), randn(2, 12, 2)) == -math.inf).all()


def test_what_is_not_finite_is_nan() -> None:
    """A trajectory that has blown up has no norm from there on, and its quantiles say so."""

    class Square(Elman):
        def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
            h = 1e200 * state.h**2 + x
            return h, type(state)(h)

        jacobian = Cell.jacobian
        block = Cell.block
        unroll = Cell.unroll

    cell, x = Square(1, 1), torch.ones(1, 12, 1)
    found = transition_norms(cell, x)
    assert found.log_norms[0][0, -1].isnan() and found.median[0].isnan()
    assert transition_map(cell, x).log_norms[0, 0, -1].isnan()
    assert transition_singular_values(cell, x).isnan().all() and leading_singular_value(cell, x).isnan().all()


def test_the_map_is_brute_force() -> None:
    """ln ‖P_{s,t}‖ at every pair of anchors, wherever stretches begin and end."""
    cell, x = driven(LSTM(2, 3), time=23)
    J = jacobians(cell, x)
    for anchors in (2, 5, 9, 24, 64):
        found = transition_map(cell, x, anchors=anchors)
        times = found.times.tolist()
        assert times[0] == -1 and times[-1] == 22 and len(times) == min(anchors, 24)
        for i, s in enumerate(times):
            for j, t in enumerate(times):
                value = found.log_norms[:, i, j]
                if s > t:
                    assert value.isnan().all()
                else:
                    near(value, log_sigma(brute(J, s, t)))


def test_the_map_does_not_depend_on_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, x = driven(GRU(2, 3), time=40)
    whole = transition_map(cell, x, anchors=7)
    monkeypatch.setattr("seqdyn.dynamics.transitions.Trajectory", lambda *given: Trajectory(*given, numbers=80))
    near(transition_map(cell, x, anchors=7).log_norms, whole.log_norms, 1e-11)


def compounds(J: Tensor, order: int) -> Tensor:
    """All minors of that order: the compound of a product is the product of the compounds."""
    picks = list(combinations(range(J.shape[-1]), order))
    rows = [torch.stack([torch.linalg.det(J[..., list(r), :][..., list(c)]) for c in picks], -1) for r in picks]
    return torch.stack(rows, -2)


@pytest.mark.parametrize("time", [1, 5, 60, 300])
def test_all_singular_values(time: int) -> None:
    """Exactly: ln σ_1 + … + ln σ_k is the norm of the product of the k-th compounds, which scaled products keep."""
    cell, x = driven(Elman(2, 5), scale=0.9, batch=3, time=time)
    J = jacobians(cell, x)
    sums = torch.stack([log_norm(total(scaled(compounds(J, order)))) for order in range(1, 6)], 1)
    expected = sums.diff(dim=1, prepend=torch.zeros(3, 1).double())
    found = transition_singular_values(cell, x)
    near(found, expected, 1e-6)
    near(found[:, 0], expected[:, 0], 1e-10)
    near(found.sum(1), torch.linalg.slogdet(J).logabsdet.sum(1), 1e-3)
    assert (found.diff(dim=1) <= 0).all()


def test_dead_neurons_are_lost_directions() -> None:
    """A relu that is off has a zero row in every Jacobian: −∞, never NaN, and the others stay right."""
    cell, x = driven(Elman(2, 6, activation="relu"), batch=1, time=40)
    with torch.no_grad():
        cell.bias[:] = 1.0
        cell.bias[:2] = -100.0
        cell.input_weight *= 0.1
        cell.recurrent_weight *= 0.3
    J = jacobians(cell, x)
    assert not J[:, :, :2].any() and J[:, :, 2:].any(-1).all()
    found = transition_singular_values(cell, x)[0]
    assert (found[-2:] == -math.inf).all() and found[:4].isfinite().all()
    near(found[0], log_norm(total(scaled(J)))[0], 1e-10)
    volume = torch.linalg.slogdet(J[0, 1:, 2:, 2:]).logabsdet.sum() + torch.linalg.svdvals(J[0, 0, 2:]).log().sum()
    near(found[:4].sum(), volume, 1e-6)


@pytest.mark.parametrize("time", [1, 10, 40, 200])
def test_the_leading_value_without_products(time: int) -> None:
    """Power iteration is σ_1; at ten steps and fewer it is exact."""
    cell, x = driven(Elman(2, 16), scale=0.4, batch=3, time=time)
    expected = log_norm(total(scaled(jacobians(cell, x))))
    found = leading_singular_value(cell, x, iterations=6)
    near(found, expected, 1e-12 if time <= 10 else 1e-3)
    assert (found <= expected + 1e-10).all()


def test_condition_counts_directions() -> None:
    found = condition(
        torch.tensor([[5000.0, 5000.0, -5000.0], [0.0, 0.0, 0.0], [-9000.0, -9000.0, -math.inf]]).double()
    )
    near(found.log_condition, torch.tensor([10000.0, 0.0, math.inf]).double())
    near(found.effective_rank, torch.tensor([2.0, 3.0, 2.0]).double(), 1e-12)
    values = randn(4).abs()
    shares = values**2 / (values**2).sum()
    near(condition(values.log()).effective_rank, (-(shares * shares.log()).sum()).exp(), 1e-12)
    near(condition(torch.full((2,), -math.inf)), (torch.tensor(math.inf), torch.tensor(0.0)))


INSTRUMENTS = [transition_norms, transition_map, transition_singular_values, leading_singular_value]


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda instrument: instrument.__name__)
def test_nothing_is_changed(instrument: Any) -> None:
    """Parameters, gradients, modes and torch's global random state; in training, with gradients on."""
    cell = LSTM(2, 3).train()
    cell(torch.ones(1, 2), cell.initial_state(1))[0].sum().backward()
    cell.bias.requires_grad_(False)
    x = torch.ones(2, 15, 2, requires_grad=True)
    with torch.enable_grad(), unchanged(cell):
        found = instrument(cell, x)
    tensors = [found] if isinstance(found, Tensor) else [part for part in found[-1]]
    assert not any(tensor.requires_grad for tensor in tensors) and x.grad is None


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda instrument: instrument.__name__)
def test_the_same_twice(instrument: Any) -> None:
    """What is random comes from a generator of its own."""
    cell, x = driven(GRU(2, 3))
    one, two = instrument(cell, x), instrument(cell, x)
    for a, b in zip(*([one], [two]) if isinstance(one, Tensor) else (one[-1], two[-1]), strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num())


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda instrument: instrument.__name__)
def test_no_memory_is_an_error(instrument: Any) -> None:
    with pytest.raises(ValueError, match="has no memory"):
        instrument(MovingAverage(2, window=1), torch.ones(1, 15, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lags": [1, 4, 3]}, r"increasing ints of at least 1, got \[1, 4, 3\]"),
        ({"lags": [2, 2]}, "increasing"),
        ({"lags": [0, 1]}, "at least 1"),
        ({"lags": [1.5]}, "increasing ints"),
        ({"lags": []}, "increasing ints"),
        ({"lags": 5.0}, "increasing ints"),
        ({"lags": [1, 16]}, "lags reach 16, but x has only 15 steps"),
        ({"lags": "octave"}, "lags must be one of 'dyadic', got 'octave'"),
        ({"norm": "nuclear"}, "norm must be one of 'spectral', 'frobenius', got 'nuclear'"),
        ({"starts": 0}, "starts must be an int of at least 1, got 0"),
    ],
)
def test_bad_input_to_norms(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transition_norms(Linear(1, 2), torch.ones(1, 15, 1), **options)


def test_bad_input() -> None:
    cell, x = Linear(1, 2), torch.ones(1, 15, 1)
    with pytest.raises(ValueError, match="anchors must be an int of at least 2, got 1"):
        transition_map(cell, x, anchors=1)
    with pytest.raises(ValueError, match="rounds must be an int of at least 1, got 0"):
        transition_singular_values(cell, x, rounds=0)
    with pytest.warns(FutureWarning, match="rounds has no effect"):
        transition_singular_values(cell, x, rounds=2)
    with pytest.raises(ValueError, match=r"iterations must be an int of at least 1, got 2\.0"):
        leading_singular_value(cell, x, iterations=2.0)
    with pytest.raises(ValueError, match=r"n ≥ 1, got \(3, 0\)"):
        condition(torch.zeros(3, 0))


@pytest.mark.parametrize("lags", ["dyadic", [1, 100, 999, 1000]])
def test_memory_does_not_grow_with_time(lags: Any) -> None:
    """What lies on the shelves stays within what was allowed, however long the trajectory."""
    cell, numbers = driven(GRU(2, 4))[0], 2**14
    for time in (1000, 8000):
        trajectory = Trajectory(cell, randn(2, time, 2), numbers=numbers // 32)
        wanted = [2**k for k in range(time.bit_length())] if lags == "dyadic" else lags
        ladder, most = LagProducts(wanted, trajectory, None, numbers), 0
        for _ in ladder.climb():
            most = max(most, sum(shelf.kept.matrix.numel() for shelf in ladder.shelves.values() if shelf.kept))
        assert numbers / 8 < most < 2 * numbers

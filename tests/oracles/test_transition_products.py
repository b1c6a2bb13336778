"""Products of Jacobians against differentiation of the whole, closed forms, and the wrong ways that must be seen."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Stack
from seqdyn.dynamics.products import compose, log_norm, scaled, total
from seqdyn.dynamics.singular_values import leading_singular_value, transition_singular_values
from seqdyn.dynamics.trajectory import jacobians
from seqdyn.dynamics.transitions import transition_map, transition_norms
from seqdyn.loops import scan
from seqdyn.state import flatten, unflatten


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def drawn(cell: Cell, scale: float = 0.8, seed: int = 0) -> Cell:
    """The cell in float64 with all parameters from N(0, scale²)."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.normal_(0.0, scale, generator=generator)
    return cell


def like_torch(cell: Any, seed: int = 0, forget: float = 0.0) -> Any:
    """The cell with weights as torch draws them, U(±1/√H), two biases in one, and so much more for the forget gate."""
    generator, bound = seeded(seed), cell.hidden_size**-0.5
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.uniform_(-bound, bound, generator=generator)
        cell.bias += torch.empty_like(cell.bias).uniform_(-bound, bound, generator=generator)
        if forget:
            cell.bias[cell.hidden_size : 2 * cell.hidden_size] += forget
    return cell


def differentiated(cell: Cell, x: Tensor, s: int, t: int) -> Tensor:
    """∂h_t/∂h_s of the first sequence by autograd through the steps s + 1, …, t; s = −1 is before the first."""
    before = cell.initial_state(1) if s < 0 else scan(cell, x[:, : s + 1]).state

    def whole(vector: Tensor) -> Tensor:
        return flatten(scan(cell, x[:, s + 1 : t + 1], unflatten(vector, before)).state)

    return torch.autograd.functional.jacobian(whole, flatten(before).detach())[0, :, 0]


CELLS = {
    "elman": lambda: drawn(Elman(2, 4)),
    "lstm": lambda: drawn(LSTM(2, 3)),
    "gru": lambda: drawn(GRU(2, 4)),
    "stack": lambda: drawn(Stack([GRU(2, 3), LSTM(3, 2)])),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_product_is_the_derivative_of_the_whole(name: str) -> None:
    """Norms by lag and the map against ∂h_t/∂h_s itself, along a trajectory whose Jacobians change all the time.

    Neither another order of the factors nor an index off by one would pass: both are tried.
    """
    cell, x = CELLS[name](), randn(1, 12, 2)
    J = jacobians(cell, x)[0]
    norms, found = transition_norms(cell, x, lags=range(1, 13)), transition_map(cell, x, anchors=13)
    for s, t in [(-1, 0), (-1, 11), (0, 3), (2, 9), (5, 11), (10, 11)]:
        P = differentiated(cell, x, s, t)
        product = total(scaled(J[s + 1 : t + 1]))
        torch.testing.assert_close(product.matrix * product.log.exp(), P, rtol=1e-9, atol=1e-13)
        expected = torch.linalg.svdvals(P)[0].log().item()
        assert norms.starts[t - s - 1][s + 1] == s
        assert norms.log_norms[t - s - 1][0, s + 1].item() == pytest.approx(expected, abs=1e-10)
        assert found.log_norms[0, s + 1, t + 1].item() == pytest.approx(expected, abs=1e-10)
    P, size = differentiated(cell, x, 2, 9), 1e-3 * differentiated(cell, x, 2, 9).abs().max()
    in_order, early = J[3:10], J[2:9]
    assert (torch.linalg.multi_dot(list(in_order)) - P).abs().max() > size, "oldest on the left is another matrix"
    assert (torch.linalg.multi_dot(list(early.flip(0))) - P).abs().max() > size, "one step earlier, too"
    assert abs(log_norm(total(scaled(early))) - log_norm(total(scaled(in_order)))) > 1e-3


def test_composition() -> None:
    """P_{s,u} = P_{t,u} P_{s,t}."""
    J = scaled(jacobians(drawn(LSTM(2, 3)), randn(1, 40, 2))[0])
    whole = total(J)
    for t in (1, 17, 39):
        parts = compose(total(J.at(slice(t, None))), total(J.at(slice(0, t))))
        torch.testing.assert_close(parts.matrix, whole.matrix, rtol=0, atol=1e-12)
        assert parts.log.item() == pytest.approx(whole.log.item(), abs=1e-11)


def linear(D: Tensor) -> Linear:
    cell = Linear(1, len(D)).double()
    with torch.no_grad():
        cell.transition.copy_(D)
    return cell


def test_a_linear_model_takes_powers() -> None:
    """P_{s,s+k} = D^k at every start."""
    cell = linear(randn(5, 5) / 2)
    found = transition_norms(cell, randn(2, 40, 1), lags=[1, 2, 7, 32, 40])
    for lag, values in zip(found.lags, found.log_norms, strict=True):
        expected = torch.linalg.matrix_norm(torch.linalg.matrix_power(cell.transition.detach(), lag), 2).log()
        torch.testing.assert_close(values, expected.expand_as(values), rtol=0, atol=1e-11)


def test_an_orthogonal_model_keeps_every_norm() -> None:
    """T21: ‖P‖ = 1 at any lag, and so are all singular values."""
    time, cell = 1500, linear(torch.linalg.qr(randn(6, 6)).Q)
    x = randn(1, time, 1)
    norms = transition_norms(cell, x, lags=[1, 10, 999, 1024, time])
    assert all(values.abs().max() < 1e-12 * time for values in norms.log_norms)
    assert transition_singular_values(cell, x).abs().max() < 1e-12 * time
    assert leading_singular_value(cell, x).abs().max() < 1e-12 * time
    assert transition_map(cell, x, anchors=5).log_norms.nan_to_num().abs().max() < 1e-12 * time


def test_a_spectral_radius_is_no_verdict() -> None:
    """T22: ρ = 0.9, yet the norm peaks at 38.75 at lag 9 and falls below 1 at lag 63 only."""
    cell = linear(torch.tensor([[0.9, 10.0], [0.0, 0.9]], dtype=torch.float64))
    norms = transition_norms(cell, torch.zeros(1, 80, 1), lags=range(1, 81)).median.exp()
    assert norms.argmax() + 1 == 9 and norms.max().item() == pytest.approx(38.745922717546996, abs=1e-10)
    assert (norms < 1).nonzero()[0] + 1 == 63


@pytest.mark.parametrize("seed", range(4))
def test_an_lstm_is_twice_as_wide(seed: int) -> None:
    """T20: at a forget bias of 3 the network remembers for 200 steps; a Jacobian of h alone says 10^{−170}."""
    cell = like_torch(LSTM(3, 64), seed, forget=3.0)
    x = randn(1, 200, 3, seed=seed)
    full = transition_norms(cell, x, lags=[200]).median.item() / math.log(10)
    hidden = jacobians(cell, x)[:, :, :64, :64]  # the mistake: c held fixed
    alone = log_norm(total(scaled(hidden))).item() / math.log(10)
    assert 0 < full < 4 and -190 < alone < -150
    assert full - alone > 100


def test_the_first_diagonal_of_a_forward_qr_is_not_the_norm() -> None:
    """Σ ln R_11 is below ln σ_1 by more than half a nat at lag 20 on random driven tanh networks of 16 neurons."""
    for seed in range(4):
        cell, x = drawn(Elman(3, 16), 0.4, seed), randn(1, 20, 3, seed=seed)
        Q, cumulative = torch.linalg.qr(randn(16, 16, seed=seed)).Q, 0.0
        for J in jacobians(cell, x)[0]:
            Q, R = torch.linalg.qr(J @ Q)
            cumulative += R[0, 0].abs().log().item()
        exact = torch.linalg.svdvals(differentiated(cell, x, -1, 19))[0].log().item()
        assert transition_norms(cell, x, lags=[20]).median.item() == pytest.approx(exact, abs=1e-9)
        assert transition_singular_values(cell, x)[0, 0].item() == pytest.approx(exact, abs=1e-9)
        assert cumulative < exact - 0.5


def test_a_plain_product_underflows() -> None:
    """0.5^150 is zero in float32 and 0.5^1100 in float64; the scaled product is right to 1e-12."""
    D = 0.5 * torch.eye(4, dtype=torch.float64)
    cell = linear(D)
    single, double = torch.eye(4), torch.eye(4).double()
    for _ in range(150):
        single = D.float() @ single
    for _ in range(1100):
        double = D @ double
    assert not single.any() and not double.any()
    norms = transition_norms(cell, torch.zeros(1, 1100, 1), lags=[150, 1100])
    for lag, value in zip(norms.lags, norms.median.tolist(), strict=True):
        assert value == pytest.approx(lag * math.log(0.5), rel=1e-12)


@pytest.mark.parametrize("hidden", [64, 256])
def test_a_default_network_forgets(hidden: int) -> None:
    """T18 and more: σ_1(W) ≈ 1.155 > 1 leaves it open, ρ(W) ≈ 0.577, and the driven products vanish."""
    cell = like_torch(Elman(3, hidden), seed=hidden)
    W = cell.recurrent_weight.detach()
    assert torch.linalg.matrix_norm(W, 2).item() == pytest.approx(2 / math.sqrt(3), rel=0.04 if hidden == 256 else 0.1)
    assert 0.95 < torch.linalg.eigvals(W).abs().max().item() * math.sqrt(3) < 1.2
    norms = transition_norms(cell, randn(1, 64, 3), lags=[16, 48], starts=2)
    rate = (norms.median[1] - norms.median[0]).item() / 32
    assert -0.8 < rate < -0.45  # an e-fold in less than 2.3 steps
    assert norms.median[1].item() < -20

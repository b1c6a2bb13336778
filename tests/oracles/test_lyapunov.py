"""Lyapunov exponents and fixed points against published values, closed forms, mean-field theory and plain numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq

from seqdyn.autoregression import OwnPast
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Stack
from seqdyn.dynamics import lyapunov
from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.dynamics.finite_time import divergence_exponent, finite_time_exponents
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.dynamics.spectrum import eigenvalues, spectral_radius
from seqdyn.dynamics.trajectory import jacobians
from seqdyn.systems.henon import Henon, HenonState
from seqdyn.systems.logistic import Logistic, LogisticState
from seqdyn.systems.lorenz import Lorenz, LorenzState


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


class Products(Cell):
    """h_t = D_{t mod p} h_{t-1}, with t counted by the input."""

    def __init__(self, *matrices):
        super().__init__(1, len(matrices[0]))
        self.register_buffer("matrices", torch.tensor(matrices, dtype=torch.float64))

    def initial_state(self, batch):
        return {"h": self.zeros(batch, self.hidden_size)}

    def forward(self, x, state):
        chosen = self.matrices[x[:, 0].long() % len(self.matrices)]
        h = (chosen @ state["h"].unsqueeze(2)).squeeze(2)
        return h, {"h": h}


def counted(steps):
    return torch.arange(steps, dtype=torch.float64).reshape(1, steps, 1)


def by_numpy(stack, burn_in=0):
    """The definition: ln |R_ii| of Q R = J Q, averaged; (steps, n, n) in, (n,) out."""
    q, total = np.linalg.qr(np.random.default_rng(1).normal(size=stack.shape[1:]))[0], 0
    for step, matrix in enumerate(stack):
        q, r = np.linalg.qr(matrix @ q)
        total = total + (np.log(np.abs(np.diag(r))) if step >= burn_in else 0)
    return total / (len(stack) - burn_in)


# T1 – T3, T6: known systems


def test_logistic_map_at_4_has_ln_2():
    start = LogisticState(torch.rand(100, 1, generator=seeded()).double())
    spectrum = lyapunov_spectrum(Logistic(4.0), state=start, steps=10_100, burn_in=100)  # 1e6 measured iterations
    assert float(spectrum.exponents[0]) == pytest.approx(math.log(2), abs=1e-4)
    assert float(spectrum.standard_errors[0]) < 2e-4
    assert spectrum.entropy == pytest.approx(math.log(2), abs=1e-4)
    assert spectrum.lyapunov_time == pytest.approx(1 / math.log(2), abs=3e-4)
    assert spectrum.passed


def test_henon():
    start = HenonState(0.1 * torch.randn(10, 2, generator=seeded()).double())
    spectrum = lyapunov_spectrum(Henon(), state=start, steps=10_500, burn_in=500)  # 1e5 measured iterations
    assert spectrum.exponents.tolist() == pytest.approx([0.41922, -1.62319], abs=0.004)
    assert float(spectrum.exponents.sum()) == pytest.approx(math.log(0.3), abs=1e-12)
    assert spectrum.kaplan_yorke == pytest.approx(1.25827, abs=0.003)
    assert spectrum.sum_rule_residual < 1e-13 and spectrum.passed


def test_lorenz():
    """T3. Some starts spiral slowly out of C± first: 30 units of time, 2000 measured ones in all."""
    start = LorenzState(torch.ones(50, 3).double() + 0.5 * torch.randn(50, 3, generator=seeded()).double())
    spectrum = lyapunov_spectrum(Lorenz(dt=0.01), state=start, steps=7000, burn_in=3000, dt=0.01)
    assert spectrum.exponents.tolist() == pytest.approx([0.9056, 0.0, -14.5723], abs=0.02)
    assert float(spectrum.exponents.sum()) == pytest.approx(-41 / 3, abs=2e-4)  # what RK4 at 0.01 allows
    assert spectrum.kaplan_yorke == pytest.approx(2.06215, abs=0.003)
    assert spectrum.unit == "nats per unit of time" and spectrum.kind == "autonomous" and spectrum.passed


def test_lorenz_settles_below_chaos():
    """T6. The exponents are those of C±: the eigenvalues there, to the order of the integrator."""
    system = Lorenz(rho=20.0)
    rest = math.sqrt(8 / 3 * 19)
    start = LorenzState(doubles([rest + 0.01, rest, 19.0]))
    spectrum = lyapunov_spectrum(system, state=start, steps=20_000, dt=0.01, k_adjoint=0)
    assert spectrum.exponents.tolist() == pytest.approx([-0.15479177, -0.15479177, -13.35708312], abs=1e-3)
    point = eigenvalues(system, state=LorenzState(doubles([rest, rest, 19.0])))[0].abs().log() / 0.01
    assert float(spectrum.exponents.sum()) == pytest.approx(float(point.sum()), abs=1e-8)
    assert float(point.sum()) == pytest.approx(-41 / 3, abs=1e-4)
    assert spectrum.lyapunov_time == math.inf and spectrum.kaplan_yorke == 0 and spectrum.entropy == 0


# T5, T21, T23: maps known exactly


def test_diagonal_maps_and_a_diagonal_flow():
    x = counted(2000)
    spectrum = lyapunov_spectrum(Products([[0.8, 0.0], [0.0, 1.1]]), x)
    assert spectrum.exponents.tolist() == pytest.approx([math.log(1.1), math.log(0.8)], abs=1e-12)
    assert spectrum.adjoint_gap < 1e-12
    assert float(lyapunov_spectrum(Products([[0.9]]), x).exponents[0]) == pytest.approx(math.log(0.9), abs=1e-12)
    flow = Products([[math.exp(0.01 * 0.1), 0.0], [0.0, math.exp(-0.01 * 0.4)]])
    found = lyapunov_spectrum(flow, counted(12_000), burn_in=8000, dt=0.01, k_adjoint=0)
    assert found.exponents.tolist() == pytest.approx([0.1, -0.4], abs=1e-12)


def test_an_orthogonal_map_keeps_everything():
    cell = Linear(1, 6).double()
    with torch.no_grad():
        cell.transition.copy_(torch.linalg.qr(torch.randn(6, 6, generator=seeded()).double()).Q)
    spectrum = lyapunov_spectrum(cell, torch.randn(2, 3000, 1, generator=seeded()).double())
    assert spectrum.exponents.abs().max() < 1e-14
    assert spectrum.kaplan_yorke in range(7)  # which sum of zeros is the last not negative is up to rounding
    local = finite_time_exponents(cell, torch.zeros(1, 200, 1), lag=20)
    assert local.abs().max() < 1e-13


THREE = [[[1, 2], [0, 0.5]], [[0.5, 0], [3, 1]], [[0, 1], [-1, 0.3]]]


def test_a_period_of_three_tells_the_order_of_the_factors():
    """T23: three factors that do not commute; two could not tell."""
    spectrum = lyapunov_spectrum(Products(*THREE), counted(1200), burn_in=300, k_adjoint=2)
    product = torch.linalg.multi_dot([torch.tensor(m, dtype=torch.float64) for m in reversed(THREE)])
    assert float(spectrum.exponents[0]) == pytest.approx(0.45243102671494334, abs=1e-12)
    assert float(spectrum.exponents[0]) == pytest.approx(float(spectral_radius(product).log()) / 3, abs=1e-12)
    assert spectrum.adjoint_gap < 1e-12
    backwards = divergence_exponent(Products(*THREE), counted(1200), burn_in=300)
    assert backwards.exponent == pytest.approx(0.45243102671494334, abs=1e-8)


def test_the_transposed_product_forward_in_time_is_another_one():
    """T23, the negative: Q ← qr(J_tᵀ Q) with growing t is neither the tangent map nor its adjoint."""
    stack = jacobians(Products(*THREE), counted(1200))[0].numpy()
    assert by_numpy(stack, 300)[0] == pytest.approx(0.45243102671494334, abs=1e-12)
    assert by_numpy(stack.transpose(0, 2, 1), 300)[0] == pytest.approx(-0.23104906, abs=1e-3)  # a complex pair
    assert by_numpy(stack[::-1].transpose(0, 2, 1), 300)[0] == pytest.approx(0.45243102671494334, abs=1e-12)


def test_the_transposed_product_forward_in_time_fails_the_self_check(monkeypatch):
    """Q ← qr(J_tᵀ Q) with growing t has the same determinants, so that the sum rule holds; the adjoint tells."""

    class Transposed(lyapunov.Frame):
        def carry(self, jacobians):
            return super().carry(jacobians.mT)

    frames = iter([Transposed, lyapunov.Frame])  # forward in time, backward in time
    right = lyapunov_spectrum(Products(*THREE), counted(1200), burn_in=300)
    assert right.passed and right.sum_rule_residual < 1e-12
    monkeypatch.setattr(lyapunov, "Frame", lambda *arguments: next(frames)(*arguments))
    wrong = lyapunov_spectrum(Products(*THREE), counted(1200), burn_in=300)
    assert [check.name for check in wrong.checks() if not check.passed] == ["adjoint"]
    assert wrong.sum_rule_residual < 1e-12 and wrong.adjoint_gap > 0.5


# T7 – T9: random networks against mean-field theory


def normal_mean(function):
    return quad(lambda z: function(z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), -12, 12, epsabs=1e-12)[0]


def mean_field(gain):
    """λ_1 of x ← J tanh(x), J_ij ~ N(0, g²/N), N → ∞: Δ = g² E tanh²(√Δ z), λ_1 = ½ ln(g² E sech⁴(√Δ z))."""
    if gain <= 1:
        return math.log(gain)

    def excess(variance):
        return gain**2 * normal_mean(lambda z: math.tanh(math.sqrt(variance) * z) ** 2) - variance

    spread = math.sqrt(brentq(excess, 1e-3, gain**2 + 1, xtol=1e-12))
    return math.log(gain**2 * normal_mean(lambda z: math.cosh(spread * z) ** -4)) / 2


@pytest.mark.parametrize(
    ("gain", "published"), [(0.5, -0.6931), (0.9, -0.1054), (1.5, 0.06522), (2.0, 0.15472), (5.0, 0.53243)]
)
def test_random_tanh_networks_follow_the_mean_field(gain, published):
    """T7 and T9 at N = 200, three seeds: finite networks lie nearer to 0 below the transition."""
    assert mean_field(gain) == pytest.approx(published, abs=2e-5 if gain > 1 else 1e-4)
    found = [float(random_network(gain, 200, seed).exponents[0]) for seed in range(3)]
    assert np.mean(found) == pytest.approx(published, abs=0.06)
    assert np.sign(np.mean(found)) == np.sign(gain - 1)


def random_network(gain, units, seed):
    generator = seeded(seed)
    cell = Elman(1, units, generator=generator).double()
    with torch.no_grad():
        cell.recurrent_weight.normal_(0, gain / math.sqrt(units), generator=generator)
    start = ElmanState(torch.randn(1, units, generator=generator).double())
    return lyapunov_spectrum(cell, torch.zeros(1, 500, 1), start, k=1, k_adjoint=0)


class RandomFlow(Cell):
    """dx/dt = −x + J tanh x, by Euler's steps."""

    def __init__(self, gain, units, dt, generator):
        super().__init__(0, units)
        self.dt = dt
        self.register_buffer("weight", torch.randn(units, units, generator=generator).double() * gain / units**0.5)

    def initial_state(self, batch):
        return ElmanState(self.zeros(batch, self.hidden_size))

    def forward(self, x, state):
        h = state.h + self.dt * (torch.tanh(state.h) @ self.weight.T - state.h)
        return h, ElmanState(h)

    def jacobian(self, x, before, output, after):
        slope = 1 - torch.tanh(before.h) ** 2
        return torch.eye(self.hidden_size).to(slope) * (1 - self.dt) + self.dt * self.weight * slope.unsqueeze(1)


@pytest.mark.parametrize(("gain", "theory", "tolerance"), [(0.5, -0.5, 0.05), (5.0, 0.436, 0.09)])
def test_random_flows_follow_the_dynamic_mean_field(gain, theory, tolerance):
    """T8 and T9 at N = 300, one seed."""
    generator = seeded()
    flow = RandomFlow(gain, 300, 0.05, generator)
    start = ElmanState(torch.randn(1, 300, generator=generator).double())
    spectrum = lyapunov_spectrum(flow, state=start, steps=1200, k=1, k_adjoint=0, dt=0.05)
    assert float(spectrum.exponents[0]) == pytest.approx(theory, abs=tolerance)


# Networks against plain numpy


@pytest.mark.parametrize("build", [lambda g: Elman(2, 5, generator=g), lambda g: LSTM(2, 3, generator=g)])
def test_driven_networks_follow_the_definition(build):
    """An Elman network in the form h = φ(a), an LSTM in (h, c)."""
    cell, x = build(seeded()).double(), torch.randn(1, 3000, 2, generator=seeded(1)).double()
    spectrum = lyapunov_spectrum(cell, x, burn_in=500)
    expected = np.sort(by_numpy(jacobians(cell, x)[0].numpy(), 500))[::-1]
    assert spectrum.exponents.tolist() == pytest.approx(expected.tolist(), abs=2e-3)
    assert spectrum.kind == "conditional" and spectrum.passed
    leading = lyapunov_spectrum(cell, x, burn_in=500, k=2)
    assert leading.exponents.tolist() == pytest.approx(spectrum.exponents[:2].tolist(), abs=1e-6)
    copy = divergence_exponent(cell, x, burn_in=500)
    assert copy.exponent == pytest.approx(float(spectrum.exponents[0]), abs=1e-3)


def test_both_forms_of_an_elman_network_have_the_same_exponents():
    """J^h = diag(φ') U for h = φ(a), and J^a = U diag(φ') for the pre-activation a."""
    cell, x = Elman(2, 5, generator=seeded()).double(), torch.randn(1, 4000, 2, generator=seeded(1)).double()
    weight = cell.recurrent_weight.detach().numpy()
    forms = jacobians(cell, x)[0].numpy()
    slopes = (forms * weight).sum(2) / (weight * weight).sum(1)  # J^h = diag(s) U
    other = weight * slopes[:, None, :]
    assert np.sort(by_numpy(other, 500))[::-1].tolist() == pytest.approx(
        lyapunov_spectrum(cell, x, burn_in=500).exponents.tolist(), abs=3e-3
    )


def test_the_spectrum_of_a_stack_is_the_union_of_its_layers():
    generator = seeded()
    below, above = GRU(2, 3, generator=generator).double(), Elman(3, 2, generator=generator).double()
    x = torch.randn(1, 6000, 2, generator=generator).double()
    whole = lyapunov_spectrum(Stack([below, above]), x).exponents
    first = lyapunov_spectrum(below, x).exponents
    second = lyapunov_spectrum(above, below.unroll(x, below.initial_state(1))[0].detach()).exponents
    union = torch.cat([first, second]).sort(descending=True).values
    assert whole.tolist() == pytest.approx(union.tolist(), abs=2e-3)


def test_a_closed_loop_is_its_block_matrix():
    """[h; y] ← [D C; B A] [h; y]: the exponents are ln |eigenvalues|."""
    cell = Linear(2, 3, 2, generator=seeded()).double()
    with torch.no_grad():
        for index, weight in enumerate(cell.parameters()):
            weight.copy_(0.3 * torch.randn(weight.shape, generator=seeded(index)))
    parts = [[cell.transition, cell.input_map], [cell.readout, cell.feedthrough]]
    block = torch.cat([torch.cat(row, 1) for row in parts]).detach()
    moduli = np.sort(np.abs(np.linalg.eigvals(block.numpy())))[::-1]
    spectrum = lyapunov_spectrum(cell, steps=5000, last=torch.ones(1, 2).double(), k_adjoint=0)
    assert spectrum.exponents.exp().tolist() == pytest.approx(moduli.tolist(), abs=2e-3)
    assert spectrum.kind == "autonomous" and spectrum.width == 5
    assert float(spectral_radius(OwnPast(cell))) == pytest.approx(moduli[0], abs=1e-12)


# Finite times


def test_finite_time_exponents_are_the_singular_values_of_the_product():
    cell, x = GRU(2, 6, generator=seeded()).double(), torch.randn(2, 105, 2, generator=seeded(1)).double()
    local = finite_time_exponents(cell, x, lag=10, burn_in=0)
    stack = jacobians(cell, x)
    assert local.shape == (2, 10, 6)
    for row in range(2):
        for start in range(10):
            window = stack[row, 10 * start : 10 * start + 10]
            product = torch.linalg.multi_dot(list(window.flip(0)))
            expected = torch.linalg.svdvals(product).log() / 10
            torch.testing.assert_close(local[row, start], expected, atol=1e-9, rtol=0)


def test_the_smallest_singular_value_of_a_long_product_is_as_good_as_the_largest():
    """The oracle is the product of the inverses, whose largest is the inverse of the smallest."""
    matrices = torch.randn(60, 5, 5, generator=seeded()).double()
    cell = Products(*matrices.tolist())
    local = finite_time_exponents(cell, counted(60), lag=60, burn_in=0)[0, 0] * 60
    product = inverse = torch.eye(5, dtype=torch.float64)
    for matrix in matrices:
        product, inverse = matrix @ product, inverse @ torch.linalg.inv(matrix)
    assert float(local[0]) == pytest.approx(float(torch.linalg.svdvals(product)[0].log()), abs=1e-9)
    assert float(local[-1]) == pytest.approx(-float(torch.linalg.svdvals(inverse)[0].log()), abs=1e-9)
    assert local[0] - local[-1] > 40  # far more than a product in float64 can hold


def test_perturbed_copies_of_chaotic_maps():
    found = divergence_exponent(Henon(), steps=20_000)
    spectrum = lyapunov_spectrum(Henon(), steps=20_000, k=1, k_adjoint=0)
    assert found.exponent == pytest.approx(float(spectrum.exponents[0]), abs=1e-4)
    assert found.standard_error == pytest.approx(float(spectrum.standard_errors[0]), rel=0.05)


# T10, T11: fixed points


def coupled_to_nothing(units):
    cell = Elman(1, units).double()
    with torch.no_grad():
        cell.recurrent_weight.copy_(2 * torch.eye(units))
    return cell


def test_scalar_fixed_point():
    """T10: a = tanh(2a)."""
    found = fixed_points(coupled_to_nothing(1))
    points, order = found.points[:, 0].sort()
    assert points.tolist() == pytest.approx([-0.9575040240772688, 0.0, 0.9575040240772688], abs=1e-14)
    slope = 0.16637208775167434
    assert found.eigenvalues[order, 0].real.tolist() == pytest.approx([slope, 2.0, slope], abs=1e-14)
    assert found.stable[order].tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(3))
def test_three_decoupled_units_have_twenty_seven(seed):
    """T11."""
    found = fixed_points(coupled_to_nothing(3), starts=1024, seed=seed)
    assert len(found) == 27 and not found.slow.any()
    assert found.index.bincount().tolist() == [8, 12, 6, 1]
    assert found.stable.sum() == 8 and found.speed.max() < 1e-15
    assert float(found.share.sum()) == pytest.approx(1) and found.rejected == 0
    kinds = found.kinds
    assert [kinds.count(kind) for kind in ("stable node", "saddle", "unstable node")] == [8, 18, 1]


def test_lorenz_has_its_three():
    found = fixed_points(Lorenz())
    rest = math.sqrt(72)
    expected = doubles([-rest, -rest, 27], [0, 0, 0], [rest, rest, 27])
    order = found.points[:, 0].argsort()
    torch.testing.assert_close(found.points[order], expected, atol=1e-12, rtol=0)
    assert [found.kinds[row] for row in order] == ["Neimark–Sacker", "saddle", "Neimark–Sacker"]
    rates = 11.82772345, -2.66666667, -22.82772345  # at 0: −β, and the roots of s² + 11 s − 270
    at_origin = found.eigenvalues[order[1]].real.log() / 0.01
    assert sorted(at_origin.tolist(), reverse=True) == pytest.approx(rates, abs=1e-3)

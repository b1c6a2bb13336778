"""The reference figures of gradient diagnostics that no other test holds: closed forms, complex steps, multiprecision.

Its rows T1–T3, T5–T11, T18 and T20–T23 are in test_lyapunov.py and test_transition_products.py beside this file, the
forget biases in tests/dynamics/test_gates.py. What takes longer than seconds is in benchmarks/reference_figures.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq
from torch import Tensor, nn

from seqdyn import stability_report
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear, LinearState
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Stack
from seqdyn.conversion import from_torch
from seqdyn.dynamics.finite_time import finite_time_exponents
from seqdyn.dynamics.gates import gate_statistics
from seqdyn.dynamics.gradients import accumulated_gradient, gradient_by_lag, parameter_gradients
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.dynamics.memory_length import memory_horizons
from seqdyn.dynamics.products import scaled, total
from seqdyn.dynamics.singular_values import leading_singular_value, transition_singular_values
from seqdyn.dynamics.trajectory import Trajectory, input_jacobians, jacobians
from seqdyn.dynamics.transitions import transition_norms
from seqdyn.loops import scan
from seqdyn.systems.henon import Henon, HenonState
from tests.learning.test_adding import adding

Array = np.ndarray[Any, Any]
DECADE = math.log(10)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def drawn(cell: Any, scale: float = 0.5, seed: int = 0) -> Any:
    """The module in float64 with all parameters from N(0, scale²)."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.normal_(0.0, scale, generator=generator)
    return cell


def like_torch(cell: Any, seed: int = 0) -> Any:
    """The cell with weights as torch draws them, U(±1/√H), its two biases in one."""
    generator, bound = seeded(seed), cell.hidden_size**-0.5
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.uniform_(-bound, bound, generator=generator)
        cell.bias += torch.empty_like(cell.bias).uniform_(-bound, bound, generator=generator)
    return cell


def scalar(decay: float, inputs: float = 0.0) -> Linear:
    """h_t = decay · h_{t-1} + inputs · x_t, y_t = h_{t-1}."""
    cell = Linear(1, 1).double()
    for weight, value in zip(cell.parameters(), (0.0, 1.0, inputs, decay), strict=True):
        nn.init.constant_(weight, value)
    return cell


# --- section 3.1: closed forms against a complex step -----------------------------------------------------------------


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def elman_step(w: dict[str, Array], x: Array, h: Array) -> Array:
    return np.tanh(w["input_weight"] @ x + w["recurrent_weight"] @ h + w["bias"])


def lstm_step(w: dict[str, Array], x: Array, state: Array) -> Array:
    h, c = np.split(state, 2)
    i, f, g, o = np.split(w["input_weight"] @ x + w["recurrent_weight"] @ h + w["bias"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c])


def gru_after(w: dict[str, Array], x: Array, h: Array) -> Array:
    a_r, a_z, a_n = np.split(w["input_weight"] @ x + w["bias"], 3)
    u_r, u_z, u_n = np.split(w["recurrent_weight"] @ h, 3)
    z = sigmoid(a_z + u_z)
    return (1 - z) * np.tanh(a_n + sigmoid(a_r + u_r) * (u_n + w["recurrent_bias"])) + z * h


def gru_before(w: dict[str, Array], x: Array, h: Array) -> Array:
    a_r, a_z, a_n = np.split(w["input_weight"] @ x + w["bias"], 3)
    U_r, U_z, U_n = np.split(w["recurrent_weight"], 3)
    z = sigmoid(a_z + U_z @ h)
    return (1 - z) * np.tanh(a_n + U_n @ (sigmoid(a_r + U_r @ h) * h)) + z * h


STEPS: dict[str, tuple[Callable[[], Cell], Callable[..., Array]]] = {
    "elman": (lambda: Elman(3, 5), elman_step),
    "lstm": (lambda: LSTM(3, 4), lstm_step),
    "gru, after": (lambda: GRU(3, 5), gru_after),
    "gru, before": (lambda: GRU(3, 5, reset_gate="before"), gru_before),
}


def complex_step(function: Callable[[Array], Array], at: Array) -> Array:
    """∂f/∂a, column by column, without a difference: Im f(a + iε e_k) / ε."""
    columns = [function(at + 1e-30j * axis).imag / 1e-30 for axis in np.eye(len(at))]
    return np.stack(columns, 1)


@pytest.mark.parametrize("name", STEPS)
def test_closed_forms_are_a_complex_step(name: str) -> None:
    """J_t and ∂h_t/∂x_t to rounding: steps written anew in numpy, which knows no derivative."""
    build, step = STEPS[name]
    cell, x = drawn(build(), 0.8), randn(1, 6, 3)
    weights = {key: value.detach().numpy() for key, value in cell.named_parameters()}
    state, J, C = np.zeros(jacobians(cell, x).shape[2]), jacobians(cell, x)[0], input_jacobians(cell, x)[0]
    for t, row in enumerate(x[0].numpy()):
        by_state = complex_step(lambda h: step(weights, row, h), state)  # noqa: B023
        by_input = complex_step(lambda u: step(weights, u, state), row)  # noqa: B023
        np.testing.assert_allclose(J[t].numpy(), by_state, rtol=0, atol=3e-15)
        np.testing.assert_allclose(C[t].numpy(), by_input, rtol=0, atol=3e-15)
        state = step(weights, row, state)


def test_the_volume_of_an_lstm_step() -> None:
    """ln |det J| = Σ ln f + Σ ln |tanh c · o (1 − o)| + ln |det U_o|, and an Elman step's Σ ln |φ'| + ln |det U|."""
    cell, x = drawn(LSTM(3, 6)), randn(1, 50, 3)
    found = scan(cell, x, record=lambda x, before, output, after: (cell.gates(x, before, output, after), after.c))
    gates, c = found.record
    o = gates["output"]
    volume = (gates["forget"].log() + (torch.tanh(c) * o * (1 - o)).abs().log()).sum(2)
    volume = volume + torch.linalg.slogdet(cell.recurrent_weight.chunk(4)[3]).logabsdet
    torch.testing.assert_close(torch.linalg.slogdet(jacobians(cell, x)).logabsdet, volume.detach(), rtol=0, atol=1e-11)
    plain = drawn(Elman(3, 6))
    h = scan(plain, x).output
    volume = (1 - h**2).log().sum(2) + torch.linalg.slogdet(plain.recurrent_weight).logabsdet
    torch.testing.assert_close(torch.linalg.slogdet(jacobians(plain, x)).logabsdet, volume.detach(), rtol=0, atol=1e-12)
    for network in (cell, plain):
        assert lyapunov_spectrum(network, x, burn_in=0).sum_rule_residual < 1e-11


def test_both_forms_of_an_elman_network_have_other_norms() -> None:
    """P^h = diag(φ'(a_t)) P^a diag(φ'(a_s))⁻¹ for h = φ(a): the same exponents, other norms at a finite lag."""
    cell, x = drawn(Elman(2, 5), 0.8), randn(1, 40, 2)
    slopes = 1 - scan(cell, x).output[0].detach() ** 2
    J, U, s, t = jacobians(cell, x)[0], cell.recurrent_weight.detach(), 4, 39
    by_sum = torch.linalg.multi_dot([U * slopes[step] for step in range(t - 1, s - 1, -1)])  # a_s → a_t
    own = torch.linalg.multi_dot(list(J[s + 1 : t + 1].flip(0)))
    torch.testing.assert_close(own, slopes[t][:, None] * by_sum / slopes[s], rtol=1e-10, atol=1e-15)
    apart = torch.linalg.matrix_norm(own, 2).log() - torch.linalg.matrix_norm(by_sum, 2).log()
    assert apart.abs() > 0.1


def test_the_norm_of_a_stack_is_not_that_of_its_layers() -> None:
    """Layers share exponents with the stack, not norms: the blocks below the diagonal fill in."""
    below, above = drawn(Elman(2, 4), 0.4), drawn(Elman(4, 4), 0.4, seed=1)
    with torch.no_grad():
        above.input_weight *= 10
    x = randn(1, 40, 2)
    whole = transition_norms(Stack([below, above]), x, lags=[8]).median
    alone = [transition_norms(below, x, lags=[8]).median]
    alone.append(transition_norms(above, scan(below, x).output.detach(), lags=[8]).median)
    assert whole > max(alone) + 0.5


# --- section 2: facts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [64, 256])
def test_a_default_network_forgets_where_its_weights_leave_it_open(hidden: int) -> None:
    """Fact 3(b): σ_1(W) > 1 proves nothing; driven, an e-fold takes two steps and float32 ends within forty.

    The page has −0.55 … −0.64 and does not say how many inputs there were: 3 to 32 of them give −0.49 … −0.71.
    """
    cell = like_torch(Elman(16, hidden), seed=1)
    assert torch.linalg.matrix_norm(cell.recurrent_weight, 2) > 1  # and γ = 1 for tanh
    rate = float(lyapunov_spectrum(cell, randn(1, 600, 16), k=1, k_adjoint=0, burn_in=100).exponents[0])
    assert -0.71 < rate < -0.49
    assert 1.4 < -1 / rate < 2.1 and 22 < math.log(1.19e-7) / rate < 33


def uninitialised(kind: Any, *sizes: int) -> Any:
    """A torch module whose weights come from a generator of their own."""
    with torch.random.fork_rng(devices=[]):  # its own start, drawn from the global generator, is thrown away
        return drawn(kind(*sizes, batch_first=True), 0.4)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU])
def test_a_retained_gradient_is_not_the_total_one(kind: Any) -> None:
    """Fact 7: ``output.grad`` of a fused network is ∂⁺L/∂h_t alone; the recurrence lives inside the operator."""
    module, x = uninitialised(kind, 2, 4), randn(1, 20, 2)
    output = module(x)[0]
    output.retain_grad()
    (output**2).sum().mul(0.5).backward()
    torch.testing.assert_close(output.grad, output.detach())
    later = accumulated_gradient(from_torch(module), x, lambda y: 0.5 * y**2)[
        0, 1:
    ].exp()  # what h_t owes to E_{t+1}, …
    assert bool((later > 1e-3).all())


def test_the_largest_singular_value_bounds_every_product() -> None:
    """Section 9: ‖P_{s,s+k}‖ ≤ (γ σ_1)^k with γ = 1 for tanh and 1/4 for the logistic function: sufficient, not needed.

    So a single logistic unit vanishes for every |w| < 4.
    """
    for activation, gamma in (("tanh", 1.0), ("sigmoid", 0.25)):
        cell, x = drawn(Elman(2, 6, activation=activation), 0.6), randn(1, 60, 2)
        bound = math.log(gamma) + torch.linalg.matrix_norm(cell.recurrent_weight, 2).log().item()
        norms = transition_norms(cell, x)
        for lag, values in zip(norms.lags, norms.log_norms, strict=True):
            assert values.max() <= lag * bound + 1e-12
    unit = drawn(Elman(1, 1, activation="sigmoid"))
    nn.init.constant_(unit.recurrent_weight, 3.9)
    assert transition_norms(unit, randn(1, 400, 1), lags=[300]).log_norms[0].max() < 300 * math.log(3.9 / 4)


# --- section 4: range, and norms of long products ---------------------------------------------------------------------

OVERFLOW = [(torch.float32, 2.0, 128), (torch.float32, 1.1, 931), (torch.float64, 2.0, 1024)]
UNDERFLOW = [(torch.float32, 0.5, 150), (torch.float64, 0.5, 1075)]
SUBNORMAL = [
    (torch.float32, 0.5, 127),
    (torch.float32, 0.9, 829),
    (torch.float64, 0.5, 1023),
    (torch.float64, 0.9, 6724),
]


def naive(dtype: torch.dtype, growth: float, steps: int) -> Tensor:
    """1, ρ, ρ², … as a product that keeps no scale."""
    kind: Any = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
    with np.errstate(over="ignore", under="ignore"):
        powers = np.multiply.accumulate(np.full(steps, growth, dtype=kind))
    return torch.from_numpy(np.concatenate([np.ones(1, kind), powers]))


def first(found: Tensor) -> int:
    return int(found.nonzero()[0])


def test_where_plain_products_leave_their_range() -> None:
    """The lags at which a plain product overflows, underflows and loses digits; ours is right at each of them."""
    for dtype, growth, lag in OVERFLOW:
        assert first(naive(dtype, growth, 2000).isinf()) == lag
    for dtype, growth, lag in UNDERFLOW:
        assert first(naive(dtype, growth, 2000) == 0) == lag
    for dtype, growth, lag in SUBNORMAL:
        assert first(naive(dtype, growth, 8000) < torch.finfo(dtype).tiny) == lag
    for growth in {case[1] for case in (*OVERFLOW, *SUBNORMAL)}:
        lags = sorted({case[2] for case in (*OVERFLOW, *UNDERFLOW, *SUBNORMAL) if case[1] == growth})
        found = transition_norms(scalar(growth), torch.zeros(1, max(lags), 1), lags=lags, starts=1).median
        assert found.tolist() == pytest.approx([lag * math.log(growth) for lag in lags], rel=1e-12)


def test_zero_is_no_test_of_underflow() -> None:
    """0.9^k stalls at four or five of the smallest subnormals and never becomes 0."""
    for dtype, smallest, steps in ((torch.float32, 2.0**-149, 3000), (torch.float64, 5e-324, 20_000)):
        last = naive(dtype, 0.9, steps)[-1]
        assert last.item() / smallest in (4, 5)
    lag = 20_000
    found = transition_norms(scalar(0.9), torch.zeros(1, lag, 1), lags=[lag], starts=1).median.item()
    assert found == pytest.approx(lag * math.log(0.9), rel=1e-12)


def test_power_iteration_comes_from_below_and_needs_few_rounds() -> None:
    """ln σ_1 by 1, 2 and 4 iterations: two are enough over 60 steps, at 20 four; an error is never upward."""
    errors = {}
    for time in (20, 60, 150):
        networks = [(drawn(Elman(3, 32), 0.25, seed), randn(1, time, 3, seed=seed)) for seed in range(6)]
        exact = torch.stack([transition_norms(cell, x, lags=[time]).median[0] for cell, x in networks])
        for rounds in (1, 2, 4):
            found = torch.cat([leading_singular_value(cell, x, iterations=rounds) for cell, x in networks])
            errors[time, rounds] = found - exact
    assert all(error.max() < 1e-10 for error in errors.values())
    assert errors[20, 1].min() < -0.2
    assert errors[20, 4].min() > -0.03 and errors[60, 2].min() > -0.1 and errors[60, 2].median() > -0.01
    assert errors[150, 2].min() > -1e-3


def test_one_random_vector_is_a_decade_too_low() -> None:
    """E ln ‖P v‖ − ln σ_1 = E ln |v · u_1| = −2.35 nats at n = 32 where one direction dominates."""
    cell, x, count = drawn(Elman(3, 32), 0.25), randn(1, 150, 3), 20_000
    vectors, logs = torch.nn.functional.normalize(randn(32, count), dim=0), torch.zeros(count, dtype=torch.float64)
    for J in jacobians(cell, x)[0]:
        vectors = J @ vectors
        logs += vectors.norm(dim=0).log()
        vectors = torch.nn.functional.normalize(vectors, dim=0)
    low = logs - transition_norms(cell, x, lags=[150]).median
    error = low.std().item() / math.sqrt(count)
    halves = torch.tensor([0.5, 16.0], dtype=torch.float64)
    theory = torch.special.digamma(halves).diff().item() / -2  # E ln |v · u|, for v uniform on the sphere
    assert theory == pytest.approx(-2.35, abs=0.005) and theory / DECADE == pytest.approx(-1, abs=0.03)
    assert low.mean().item() == pytest.approx(theory, abs=5 * error)
    assert leading_singular_value(cell, x).item() == pytest.approx(transition_norms(cell, x, lags=[150]).median.item())


def test_gaussian_probes_see_the_frobenius_norm() -> None:
    """E ‖P v‖² = ‖P‖_F² for v ~ N(0, I); of k probes the relative spread is √(2/k) where P has rank one."""
    cell, x, lag = drawn(Elman(3, 16), 0.3), randn(1, 80, 3), 80
    P = total(scaled(jacobians(cell, x)))
    probes = (P.matrix[0] @ randn(16, 80_000)).square().sum(0)  # in units of ‖P‖_F²
    assert P.log.item() == pytest.approx(transition_norms(cell, x, lags=[lag], norm="frobenius").median.item())
    assert probes.mean().item() == pytest.approx(1, abs=5 * math.sqrt(2 / 80_000))
    eight = probes.reshape(-1, 8).mean(1).std().item()
    assert eight == pytest.approx(math.sqrt(2 / 8), rel=0.1)


@pytest.fixture(scope="module")
def multiprecise() -> Iterator[tuple[Cell, Tensor, Tensor]]:
    """A driven tanh network of 16 units over 50 steps, and ln σ_i of its product in 200 digits."""
    cell, x = drawn(Elman(3, 16), 0.4), randn(1, 50, 3)
    with mpmath.workdps(200):
        product = mpmath.eye(16)
        for J in jacobians(cell, x)[0].tolist():
            product = mpmath.matrix(J) * product
        values = mpmath.svd_r(product, compute_uv=False)
        logs = sorted((float(mpmath.log(value)) for value in values), reverse=True)
    yield cell, x, torch.tensor(logs, dtype=torch.float64)


def test_singular_values_against_multiprecision(multiprecise: tuple[Cell, Tensor, Tensor]) -> None:
    """All of them are right to rounding; a product loses the small ones."""
    cell, x, exact = multiprecise
    assert (transition_singular_values(cell, x)[0] - exact).abs().max() < 1e-9
    product = total(scaled(jacobians(cell, x)[0]))
    naive = torch.linalg.svdvals(product.matrix).log() + product.log
    assert naive[0].item() == pytest.approx(exact[0].item(), abs=1e-12)
    assert (naive - exact)[-1] > 50  # the page has 156 nats: noise in place of what is left


def test_one_pass_forward_is_not_enough(multiprecise: tuple[Cell, Tensor, Tensor]) -> None:
    """A single forward QR from a random Q is wrong by a nat or more, the small values even more than the large."""
    cell, x, exact = multiprecise
    Q, logs = torch.linalg.qr(randn(16, 16)).Q, torch.zeros(16, dtype=torch.float64)
    for J in jacobians(cell, x)[0]:
        Q, R = torch.linalg.qr(J @ Q)
        logs += R.diagonal().abs().log()
    errors = (logs.sort(descending=True).values - exact).abs()
    assert errors[0] > 0.5 and 1 < errors.max() < 20


# --- section 5: exponents ---------------------------------------------------------------------------------------------


def test_blocks_of_the_henon_map_scatter_as_they_should() -> None:
    """λ_1 over 5000 steps has a standard deviation of 0.0056: the page's 0.0039 is a few blocks of one orbit."""
    start = HenonState(0.1 * randn(200, 2))
    found = lyapunov_spectrum(Henon(), state=start, steps=5500, burn_in=500, k=1, k_adjoint=0)
    assert found.per_sequence[:, 0].std().item() == pytest.approx(0.0056, rel=0.2)  # ± 5 % by chance


def test_finite_time_exponents_are_the_band_of_the_norm_plot() -> None:
    """λ_1 over a lag is ln ‖P‖ / lag at the same start, and its mean tends to λ_1 from above."""
    cell, x = drawn(GRU(2, 6), 0.8), randn(1, 2049, 2)
    norms = transition_norms(cell, x, lags=[8, 128])
    leading = lyapunov_spectrum(cell, x, k=1, burn_in=1).exponents[0]
    above = []
    for index, lag in enumerate(norms.lags):
        local = finite_time_exponents(cell, x, lag=lag, k=1, burn_in=0)[0, :, 0]
        own = norms.log_norms[index][0, ::lag][: len(local)] / lag
        assert (local - own).abs().median() < 1e-12
        torch.testing.assert_close(local, own, rtol=0, atol=1e-3 / lag)  # where σ_1 ≈ σ_2 sweeps end before they part
        above.append((local.mean() - leading).item())
    assert above[0] > above[1] > 0 and above[1] < 0.02


@pytest.mark.parametrize("build", [lambda: Elman(2, 12), lambda: LSTM(2, 6), lambda: GRU(2, 12)])
def test_gradients_decay_at_the_leading_exponent(build: Callable[[], Cell]) -> None:
    """(1/k) ln ‖∂E_t/∂h_{t−k}‖ → λ_1: gradients and exponents come from different code."""
    cell, x = drawn(build(), 0.5), randn(1, 1600, 2)
    rates = gradient_by_lag(cell, x, lambda y: 0.5 * y**2, anchors=[1599], longest=1500).log_norms[0, 0]
    spectrum = lyapunov_spectrum(cell, x, k=1, burn_in=100)
    slope = float(rates[1499] - rates[99]) / 1400
    assert slope == pytest.approx(float(spectrum.exponents[0]), abs=0.01)


# --- section 6: gradients through fused kernels -----------------------------------------------------------------------

KINDS = {"rnn": (nn.RNN, 1), "lstm": (nn.LSTM, 4), "gru": (nn.GRU, 3)}


class Fused:
    """A fused torch network with zeros ε_t added to all its sums: ∂L/∂ε_t = δa_t, what no hook inside it can see."""

    def __init__(self, name: str, x: Tensor):
        kind, gates = KINDS[name]
        self.plain, self.x, self.hidden = uninitialised(kind, 2, 5), x, 5
        wide = uninitialised(kind, 2 + 5 * gates, 5)
        with torch.no_grad():
            for own, given in zip(wide.parameters(), self.plain.parameters(), strict=True):
                own.copy_(torch.cat([given, torch.eye(len(given))], 1) if own.shape != given.shape else given)
        nudges = torch.zeros(1, x.shape[1], 5 * gates, dtype=torch.float64, requires_grad=True)
        output = wide(torch.cat([x, nudges], 2))[0]
        self.immediate, self.h = output.detach(), output.detach()  # of L = ½ Σ ‖h_t‖²
        (self.sums,) = torch.autograd.grad(0.5 * output.square().sum(), nudges)
        self.sums, self.weight = self.sums[0], self.plain.weight_hh_l0.detach()
        self.cell = from_torch(self.plain)

    def gates(self) -> dict[str, Tensor]:
        """The gates of the cell that computes the same, (time, hidden) each."""
        found = scan(self.cell, self.x, record=self.cell.gates).record
        return {name: gate[0].detach() for name, gate in found.items()}

    def expected(self) -> Tensor:
        """‖∂L/∂h_{t−1} − ∂⁺L/∂h_{t−1}‖ at every step, by the instrument."""
        return accumulated_gradient(self.cell, self.x, lambda y: 0.5 * y**2)[0].exp()


def test_the_sums_of_an_elman_network_give_its_gradient() -> None:
    """∂L/∂h_{t−1} = ∂⁺L/∂h_{t−1} + U' δa_t."""
    network = Fused("rnn", randn(1, 25, 2))
    torch.testing.assert_close((network.sums @ network.weight).norm(dim=1), network.expected())


def test_the_sums_of_a_gru_need_its_gates() -> None:
    """∂L/∂h_{t−1} = ∂⁺L/∂h_{t−1} + U_r' δa_r + U_z' δa_z + U_n' (r ∘ δa_n) + z ∘ ∂L/∂h_t; plain U' δa is wrong."""
    network = Fused("gru", randn(1, 25, 2))
    (U_r, U_z, U_n), (a_r, a_z, a_n) = network.weight.chunk(3), network.sums.chunk(3, dim=1)
    gates, later = network.gates(), torch.zeros(5, dtype=torch.float64)
    found = []
    for t in reversed(range(25)):
        whole = later + network.immediate[0, t]
        by_gates = a_r[t] @ U_r + a_z[t] @ U_z + (gates["reset"][t] * a_n[t]) @ U_n
        later = by_gates + gates["update"][t] * whole
        found.append(later.norm())
    torch.testing.assert_close(torch.stack(found[::-1]), network.expected())
    plain = (network.sums @ network.weight).norm(dim=1)
    assert ((plain - network.expected()).abs() / network.expected()).median() > 0.05


def test_the_sums_of_an_lstm_give_both_halves_of_its_gradient() -> None:
    """For h as in an Elman network, with all four gates; for c δc_t = δh_t ∘ o (1 − tanh² c) + f' ∘ δc'."""
    network = Fused("lstm", randn(1, 25, 2))
    gates, h = network.gates(), network.sums @ network.weight
    c = scan(network.cell, network.x, record=lambda x, before, output, after: after.c).record[0].detach()
    c_later, found = torch.zeros(5, dtype=torch.float64), []
    for t in reversed(range(25)):
        whole = network.immediate[0, t] + (h[t + 1] if t < 24 else 0)
        of_c = whole * gates["output"][t] * (1 - torch.tanh(c[t]) ** 2) + c_later
        c_later = gates["forget"][t] * of_c  # with h_{t−1} held: through c alone
        found.append(torch.cat([h[t], c_later]).norm())
    torch.testing.assert_close(torch.stack(found[::-1]), network.expected())


def test_what_truncation_leaves_out_of_a_known_memory() -> None:
    """h_t = w h_{t−1} + 1 in steady state: ∂h/∂w = Σ_k w^k h, so truncation at lag k leaves out w^k of it."""
    w = 0.9
    cell, x = scalar(w, inputs=1.0), torch.ones(1, 600, 1, dtype=torch.float64)
    start = LinearState(torch.full((1, 1), 1 / (1 - w), dtype=torch.float64))
    found = parameter_gradients(cell, x, lambda y: y, start, anchors=[599], edges=[0, 1, 5, 20, 100])
    by_w = found.log_norms["transition"].exp()
    outside = [(by_w[band + 1 :].sum() / by_w.sum()).item() for band in range(5)]
    assert outside == pytest.approx([w**k for k in (0, 1, 5, 20, 100)], rel=1e-9)
    assert found.beyond[-1] == 0
    assert bool((found.beyond_apart[:-1] >= found.beyond_apart[1:]).all())


# --- section 7: horizons ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_every_horizon_of_a_known_decay(decay: float) -> None:
    """h_t = w h_{t−1} + x_t: all of them in closed form."""
    rate, x = -math.log(decay), randn(1, 600, 1)
    found = memory_horizons(scalar(decay, inputs=1.0), x, loss=lambda y: y[:, -1:])
    assert found["lyapunov"].steps == pytest.approx(1 / rate, rel=1e-9)
    for name, share in (("", 0.01), (", float32", 2.0**-23), (", float64", 2.0**-52)):
        exact = 1 - math.log(share) / rate  # w^{k−1} = ε
        assert found[f"products{name}"].steps == pytest.approx(exact, rel=1e-9)
        assert found[f"gradient{name}"].steps == math.floor(exact) and not found[f"gradient{name}"].at_least
    assert found["centroid"].steps == pytest.approx(1 / (1 - decay), rel=1e-9)
    assert found["reached"].steps == math.floor(1 + math.log(1e10) / rate)
    assert 0.88 < found["capacity"].steps < 1.02  # one number in the state; the faintest lags are taken for noise


def test_a_memory_that_never_ends_says_so() -> None:
    """w = 1: horizons end where the sequence does, and there is no time constant."""
    found = memory_horizons(scalar(1.0, inputs=1.0), randn(1, 100, 1), loss=lambda y: y[:, -1:])
    assert math.isnan(found["lyapunov"].steps)
    assert found["products"].at_least and found["gradient"].at_least and found["reached"].at_least
    assert found["centroid"].steps == pytest.approx(50.5)


@pytest.mark.parametrize(("bias", "steps"), [(0.0, 1.44), (1.0, 3.19), (2.0, 7.88), (3.0, 20.6), (4.595, 99.5)])
def test_torch_adds_two_biases(bias: float, steps: float) -> None:
    """Section 7: what counts is b_ih + b_hh of torch's LSTM; the horizon of the gate is the table's."""
    module = uninitialised(nn.LSTM, 2, 3)
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()
        module.bias_ih_l0[3:6], module.bias_hh_l0[3:6] = bias + 2, -2
    cell, x = from_torch(module), randn(1, 64, 2)
    constants = gate_statistics(cell, x)["forget"].time_constants
    assert constants is not None and constants.tolist() == pytest.approx([steps] * 3, rel=4e-3)
    found = memory_horizons(cell, x)
    assert found["forget"].steps == found["forget, slowest tenth"].steps == pytest.approx(steps, rel=4e-3)


# --- section 12: rows -------------------------------------------------------------------------------------------------


class StandardMap(Cell):
    """p_t = p_{t−1} + k sin θ_{t−1}, θ_t = θ_{t−1} + p_t, both on a circle."""

    def __init__(self, k: float):
        super().__init__(0, 2)
        self.k = k

    def initial_state(self, batch: int) -> ElmanState:
        return ElmanState(self.zeros(batch, 2))

    def forward(self, x: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        p, angle = state.h.unbind(1)
        p = p + self.k * torch.sin(angle)
        h = torch.remainder(torch.stack([p, angle + p], 1), 2 * math.pi)
        return h, ElmanState(h)


def test_the_standard_map_keeps_areas() -> None:
    """T4, k = 1: the exponents of the chaotic orbit are a pair; its value converges too slowly to be asserted."""
    start = ElmanState(0.01 * randn(20, 2))  # beside the hyperbolic point
    found = lyapunov_spectrum(StandardMap(1.0), state=start, steps=6000)
    assert found.per_sequence.sum(1).abs().max() < 1e-14 and found.sum_rule_residual < 1e-12
    assert found.exponents[0] - 3 * found.standard_errors[0] > 0 and found.entropy > 0.05
    assert found.kaplan_yorke == pytest.approx(2)


MEAN_FIELD = [(1.5, 0.79335), (2.0, 2.12147), (5.0, 20.6994)]
NODES = np.linspace(-10, 10, 401)
NORMAL = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()  # the trapezoidal rule, exact to rounding here


@pytest.mark.parametrize(("gain", "variance"), MEAN_FIELD)
def test_the_variance_of_random_maps(gain: float, variance: float) -> None:
    """T7: Δ = g² E tanh²(√Δ z), and a network of 1500 units has it."""

    def excess(delta: float) -> float:
        return gain**2 * float(NORMAL @ np.tanh(math.sqrt(delta) * NODES) ** 2) - delta

    assert brentq(excess, 1e-2, gain**2 + 1) == pytest.approx(variance, rel=1e-5)
    weight, a = gain / math.sqrt(1500) * randn(1500, 1500), randn(1500, seed=2)
    squares = []
    for step in range(150):
        a = weight @ torch.tanh(a)
        squares += [a.square().mean().item()] if step >= 50 else []
    assert np.mean(squares) == pytest.approx(variance, rel=0.06)  # a finite network of one seed


def covariance(function: Callable[[Array], Array], variance: float, delta: Array) -> Array:
    """E[f(a) f(b)] for normal a and b of this variance and these covariances: E_z (E_u f(√Δ z + √(Δ0 − Δ) u))²."""
    found = []
    for value in np.clip(delta, 0, variance):
        inner = function(math.sqrt(value) * NODES[:, None] + math.sqrt(variance - value) * NODES[None, :])
        found.append(NORMAL @ (inner @ NORMAL) ** 2)
    return np.array(found)


def log_cosh(a: Array) -> Array:
    return np.logaddexp(a, -a) - math.log(2)


def stationary_variance(gain: float) -> float:
    """Δ0 with V(Δ0) = V(0), V(Δ) = −Δ²/2 + g² E[ln cosh a · ln cosh b]."""

    def gap(variance: float) -> float:
        ends = covariance(log_cosh, variance, np.array([0.0, variance]))
        return -(variance**2) / 2 + gain**2 * float(ends[1] - ends[0])

    return float(brentq(gap, 0.05 * gain**2 * (gain - 1), gain**2))


@pytest.mark.parametrize(("gain", "exponent"), [(1.5, 0.0468), (2.0, 0.1126), (5.0, 0.436)])
def test_the_theory_of_random_flows(gain: float, exponent: float) -> None:
    """T8: λ_1 = −1 + √(−E0) of a quantum well made of the autocovariance Δ(τ); at g = 2 Δ0 = 1.9248."""
    top = stationary_variance(gain)
    if gain == 2:
        assert top == pytest.approx(1.9248, abs=5e-4)
    s = np.linspace(0, 1, 601)[1:-1]  # Δ = Δ0 (1 − s²): the turning point does no harm
    delta = top * (1 - s**2)
    potential = -(delta**2) / 2 + gain**2 * covariance(log_cosh, top, delta)
    rest = -(top**2) / 2 + gain**2 * float(covariance(log_cosh, top, np.array([top]))[0])
    slowness = 2 * top * s / np.sqrt(2 * (rest - potential))  # dτ/ds
    times = np.concatenate([[0.0], np.cumsum((slowness[1:] + slowness[:-1]) / 2 * np.diff(s))]) + s[0] * slowness[0]
    well = gain**2 * covariance(lambda a: np.cosh(np.clip(a, -300, 300)) ** -2.0, top, delta)
    floor = gain**2 * float(covariance(lambda a: np.cosh(np.clip(a, -300, 300)) ** -2.0, top, np.zeros(1))[0])
    grid = (np.arange(6000) + 0.5) * 0.01  # half a line with an even state
    depth = np.interp(grid, times, well, right=floor)
    diagonal = 2 / 0.01**2 - depth
    diagonal[0] -= 1 / 0.01**2
    lowest = eigh_tridiagonal(diagonal, np.full(5999, -1 / 0.01**2), select="i", select_range=(0, 0))[0][0]
    assert -1 + math.sqrt(-lowest) == pytest.approx(exponent, rel=0.01)


@pytest.mark.parametrize(("steps", "chance"), [(100, 0.17329), (500, 0.03999), (1000, 0.020387)])
def test_the_chance_level_of_copying(steps: int, chance: float) -> None:
    """T13: without a memory ten of T + 20 answers are guessed among eight: 10 ln 8 / (T + 20).

    A memoryless strategy learnt from 4000 drawn sequences, the frequencies of what is due at each step, scores that on
    4000 fresh ones; and the LSTM, GRU and RNN of Bai et al. (2018), .0204, .0197, .0202 at T = 1000, know no more.
    """
    exact = 10 * math.log(8) / (steps + 20)
    assert exact == pytest.approx(chance, rel=5e-5)
    known, fresh = (copying(4000, steps, seed) for seed in (0, 1))
    frequency = torch.stack([(known == symbol).double().mean(0) for symbol in range(10)])  # (symbols, time)
    due = frequency.clamp_min(1e-12).log().gather(0, fresh)
    costs = -due.mean(1)
    error = costs.std().item() / math.sqrt(len(costs)) + exact * 10 * 7 / (2 * 4000) / math.log(8)  # and what is learnt
    assert costs.mean().item() == pytest.approx(exact, abs=4 * error)


def copying(series: int, steps: int, seed: int) -> Tensor:
    """What is due: a blank (8) while ten symbols come in and T steps pass, then those symbols."""
    symbols = torch.randint(8, (series, 10), generator=seeded(seed))
    return torch.cat([torch.full((series, steps + 10), 8), symbols], 1)


def test_the_chance_level_of_adding() -> None:
    """T14: the best constant costs 1/6, and so does a strategy that sees everything but the markers."""
    X, y = adding(20_000, seed=5)
    errors = (y - 1) ** 2
    assert errors.mean() == pytest.approx(1 / 6, abs=5 * errors.std() / math.sqrt(len(y)))
    features = np.column_stack([np.ones(len(y)), X[:, :, 0].sum(1)])
    weights = np.linalg.lstsq(features[:10_000], y[:10_000], rcond=None)[0]
    blind = (features[10_000:] @ weights - y[10_000:]) ** 2
    assert blind.mean() == pytest.approx(1 / 6, rel=0.05)


NETWORKS: dict[str, tuple[Callable[[], Cell], str]] = {
    "RNN": (lambda: like_torch(Elman(2, 32)), "VANISHING"),
    "LSTM": (lambda: like_torch(LSTM(2, 32)), "VANISHING"),
    "GRU": (lambda: keeping(like_torch(GRU(2, 32)), 8.0), "OK"),
}


def keeping(cell: Any, bias: float) -> Any:
    """The GRU with its update gate open: as it is where it has learnt to hold a number for 600 steps."""
    with torch.no_grad():
        cell.bias[cell.hidden_size : 2 * cell.hidden_size] += bias
    return cell


@pytest.mark.parametrize("name", NETWORKS)
def test_verdicts_at_600_steps(name: str) -> None:
    """T14: torch's LSTM and RNN, which stay at chance (Bai et al. 2018), vanish as they start; a GRU that holds is OK.

    As torch draws a GRU it vanishes, too: the page's OK is that of one that has learnt.
    """
    build, verdict = NETWORKS[name]
    values = torch.rand(8, 600, 1, generator=seeded(3), dtype=torch.float64)
    markers = (torch.rand(8, 600, 1, generator=seeded(4), dtype=torch.float64) < 1 / 300).double()
    cell = Readout(build(), 1, generator=seeded()).double()
    report = stability_report(cell, torch.cat([values, markers], 2), required_lag=599, tier="fast", loss=last_error)
    assert report.verdict == verdict, str(report)


def last_error(output: Tensor) -> Tensor:
    """½ (y_T − 1)² alone."""
    return 0.5 * (output[:, -1:] - 1) ** 2


@pytest.mark.parametrize("seed", range(3))
def test_default_recurrences(seed: int) -> None:
    """T18 at H = 256: σ_1 → 2/√3, ± 4 %, and ρ → 1/√3, −2 … +10 %."""
    W = like_torch(Elman(1, 256), seed).recurrent_weight.detach()
    assert torch.linalg.matrix_norm(W, 2).item() == pytest.approx(2 / math.sqrt(3), rel=0.04)
    assert 0.98 < torch.linalg.eigvals(W).abs().max().item() * math.sqrt(3) < 1.10


@pytest.mark.parametrize("w", [0.5, 0.95, 1.0, 1.3])
def test_a_power_and_its_derivatives(w: float) -> None:
    """T19: x_t = x_0 w^t has ∂/∂w = t x_0 w^{t−1}, every lag's part the same, and ∂²/∂w² = t (t − 1) x_0 w^{t−2}."""
    t, x_0 = 40, 1.5
    start = LinearState(torch.full((1, 1), x_0, dtype=torch.float64))
    found = parameter_gradients(
        scalar(w), torch.zeros(1, t + 1, 1), lambda y: y, start, anchors=[t], edges=[0, 1, 10, 30]
    )
    sizes = found.log_norms["transition"].exp().tolist()
    whole = t * x_0 * w ** (t - 1)
    assert found.edges == (0, 1, 10, 30, 40)
    assert sizes == pytest.approx([count / t * whole for count in (0, 1, 9, 20, 10)], rel=1e-12)
    weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    cell = scalar(w)
    step = {**dict(cell.named_parameters()), "transition": weight.reshape(1, 1)}
    state: Any = start
    for _ in range(t):
        _, state = torch.func.functional_call(cell, step, (torch.zeros(1, 1, dtype=torch.float64), state))
    (first_order,) = torch.autograd.grad(state.h.sum(), weight, create_graph=True)
    (second,) = torch.autograd.grad(first_order, weight)
    assert first_order.item() == pytest.approx(whole, rel=1e-12)
    assert second.item() == pytest.approx(t * (t - 1) * x_0 * w ** (t - 2), rel=1e-12)


# --- section 15: wrong implementations that must be seen --------------------------------------------------------------


def test_a_tangent_of_h_alone_would_call_a_perfect_memory_lost() -> None:
    """An LSTM with a forget gate of 1 and shut other gates keeps c for ever: λ_1 = 0; of h alone nothing is left."""
    cell = drawn(LSTM(2, 4), 0.0)
    with torch.no_grad():
        cell.bias[4:8] = 40.0
        cell.bias[0:4] = -40.0
    x = randn(1, 300, 2)
    assert float(lyapunov_spectrum(cell, x, k=1).exponents[0]) == pytest.approx(0, abs=1e-12)
    assert transition_norms(cell, x, lags=[256]).median.item() == pytest.approx(0, abs=0.2)  # o (1 − tanh² c) beside it
    assert not jacobians(cell, x)[:, :, :4, :4].any()


def test_stretches_do_not_shift_an_index() -> None:
    """P_{s,t} over several stretches of a trajectory is that of one: lags do not move at their borders."""
    cell, x = drawn(LSTM(2, 3), 0.8), randn(2, 90, 2)
    small = Trajectory(cell, x, numbers=7 * 2 * 36)
    joined = torch.cat([stretch.jacobians() for stretch in small.forward()], 1)
    assert small.steps == 7
    torch.testing.assert_close(joined, jacobians(cell, x), rtol=1e-12, atol=1e-15)
    backward = [stretch.jacobians() for stretch in small.backward()]
    assert torch.equal(torch.cat(backward[::-1], 1), joined)

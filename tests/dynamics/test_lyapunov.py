"""Lyapunov exponents of any cell: what is asked, what is refused, and that nothing is changed."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc

import pytest
import torch

from seqdyn.autoregression import OwnPast
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Readout
from seqdyn.dynamics import lyapunov
from seqdyn.dynamics.derivatives import autodiff_jacobian
from seqdyn.dynamics.finite_time import divergence_exponent, finite_time_exponents
from seqdyn.dynamics.lyapunov import Tally, lyapunov_spectrum
from seqdyn.dynamics.spectrum import eigenvalues, spectral_radius
from seqdyn.dynamics.trajectory import jacobians
from seqdyn.loops import rollout, scan
from seqdyn.state import unbind
from seqdyn.systems.henon import Henon, HenonState
from seqdyn.systems.logistic import Logistic
from tests.dynamics.unchanged import unchanged
from tests.laws.cells import LAW_TABLE, prepare


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


class Leaky(Cell):
    """What a user writes in ten lines, without a closed form."""

    def __init__(self, size=3):
        super().__init__(size, size)
        self.weight = torch.nn.Parameter(0.4 * torch.randn(size, size, generator=seeded()))

    def initial_state(self, batch):
        return (self.zeros(batch, self.hidden_size),)

    def forward(self, x, state):
        h = 0.5 * state[0] + torch.tanh(x + state[0] @ self.weight)
        return h, (h,)


@pytest.mark.parametrize("entry", [entry for entry in LAW_TABLE if "beam" not in entry.name], ids=lambda e: e.name)
def test_any_cell_of_the_library(entry):
    cell, x = prepare(entry, time=40)
    if not sum(leaf.numel() for leaf in leaves_of(cell)):
        with pytest.raises(ValueError, match="no memory"):
            lyapunov_spectrum(cell, x)
        return
    with unchanged(cell):
        spectrum = lyapunov_spectrum(cell, x, burn_in=10)
    parts = spectrum.exponents, spectrum.standard_errors, spectrum.running, spectrum.per_sequence
    assert not any(part.isnan().any() for part in parts)
    assert (spectrum.exponents.diff() <= 0).all() or spectrum.exponents.isinf().any()
    assert not math.isnan(spectrum.kaplan_yorke)
    assert spectrum.steps == 30 and len(spectrum.exponents) == spectrum.width
    told = set() if math.isnan(spectrum.sum_rule_residual) else {"sum rule"}  # no step of a singular Jacobian tells
    assert {check.name for check in spectrum.checks()} == {"adjoint", "settled"} | told
    assert all(check.passed for check in spectrum.checks() if check.name == "sum rule")


def leaves_of(cell):
    from seqdyn.state import leaves

    return leaves(cell.initial_state(1))


# Kinds


def test_a_cell_of_ones_own_driven_and_alone():
    cell = Leaky()
    with unchanged(cell):
        driven = lyapunov_spectrum(cell, torch.randn(2, 400, 3, generator=seeded()))
        alone = lyapunov_spectrum(cell, steps=400, last=torch.ones(2, 3))
    assert (driven.kind, alone.kind) == ("conditional", "autonomous")
    assert driven.width == 3 and alone.width == 6
    assert alone.exponents[3:].isneginf().all()  # y_t = h_t: the fed-back output has no life of its own
    assert divergence_exponent(cell, torch.randn(2, 400, 3, generator=seeded())).exponent == pytest.approx(
        float(driven.exponents[0]), abs=1e-3
    )


def test_the_closed_loop_is_the_rollout():
    cell = Readout(LSTM(2, 3, generator=seeded()), 2, generator=seeded(1)).double()
    last, state = noise(2, 2), scan(cell, noise(2, 7, 2)).state
    loop = OwnPast(cell)
    start = loop.start_from(state, last)
    expected = rollout(cell, state, 9, last=last, feed=lambda y, _: y)
    found = scan(loop, loop.alone(2, 9), start)
    torch.testing.assert_close(found.output, expected.output)
    torch.testing.assert_close(found.state.inner, expected.state)
    torch.testing.assert_close(found.state.last, expected.output[:, -1])


@pytest.mark.parametrize("cell", [Linear(2, 3, 2), Readout(GRU(2, 3), 2), Leaky(2)], ids=["linear", "gru", "own"])
def test_the_jacobian_of_the_closed_loop(cell):
    loop = OwnPast(cell.double())
    start = loop.start_from(None, noise(4, 2))
    alone = loop.alone(4, 1)
    found = jacobians(loop, alone, start)[:, 0]
    torch.testing.assert_close(found, autodiff_jacobian(loop, next(unbind(alone)), start).detach())


def test_dead_directions_are_minus_infinity_not_nan():
    relu = Elman(1, 4, activation="relu", generator=seeded()).double()
    with torch.no_grad():
        relu.recurrent_weight.mul_(0.5)
        relu.bias.copy_(torch.tensor([5.0, 5.0, 5.0, -50.0]))
    spectrum = lyapunov_spectrum(relu, 0.1 * noise(2, 300, 1))
    assert spectrum.exponents[:3].isfinite().all() and spectrum.exponents[3].isneginf()
    assert spectrum.standard_errors[3] == 0 and spectrum.passed
    with torch.no_grad():
        relu.bias.fill_(-50.0)  # nothing is alive
    dead = lyapunov_spectrum(relu, 0.1 * noise(2, 300, 1), k_adjoint=4)
    assert dead.exponents.isneginf().all() and dead.adjoint_gap == 0 and dead.kaplan_yorke == 0
    assert dead.lyapunov_time == math.inf and dead.passed
    assert finite_time_exponents(relu, 0.1 * noise(2, 300, 1), lag=5).isneginf().all()
    assert divergence_exponent(relu, 0.1 * noise(2, 300, 1)).exponent == -math.inf
    register = lyapunov_spectrum(MovingAverage(1, window=3), noise(1, 200, 1))
    assert register.exponents.isneginf().all()


# Accuracy


def test_blocks_measure_the_scatter():
    """The standard error of one sequence is the scatter between sequences."""
    start = HenonState(0.1 * noise(60, 2))
    scatter = lyapunov_spectrum(Henon(), state=start, steps=2200, burn_in=200, k=1, k_adjoint=0).per_sequence.std()
    alone = lyapunov_spectrum(Henon(), steps=2200, burn_in=200, k=1, k_adjoint=0)
    assert 0.5 < float(scatter / alone.standard_errors[0]) < 2


def test_running_curve_ends_at_the_exponents():
    spectrum = lyapunov_spectrum(Henon(), steps=3000, burn_in=300)
    assert spectrum.running.shape == (200, 2) and spectrum.running_steps[-1] == 2700
    torch.testing.assert_close(spectrum.running[-1], spectrum.exponents)
    short = lyapunov_spectrum(Henon(), steps=8, burn_in=3)
    assert short.running_steps.tolist() == [1, 2, 3, 4, 5]


def test_dt_only_changes_the_unit():
    steps, time = (lyapunov_spectrum(Henon(), steps=1000, dt=dt) for dt in (1.0, 0.1))
    for name in ("exponents", "standard_errors", "per_sequence", "running"):
        torch.testing.assert_close(10 * getattr(steps, name), getattr(time, name))
    assert time.lyapunov_time == pytest.approx(steps.lyapunov_time / 10)
    assert time.kaplan_yorke == pytest.approx(steps.kaplan_yorke)
    assert steps.unit == "nats per step" and time.passed and steps.passed


def test_a_batch_is_its_sequences():
    cell, x = GRU(2, 4, generator=seeded()).double(), noise(3, 600, 2)
    whole = lyapunov_spectrum(cell, x)
    for row in range(3):
        torch.testing.assert_close(whole.per_sequence[row], lyapunov_spectrum(cell, x[row : row + 1]).exponents)
    torch.testing.assert_close(whole.per_sequence.mean(0), whole.exponents)


def test_stretches_do_not_show(monkeypatch):
    cell, x = GRU(2, 4, generator=seeded()).double(), noise(2, 300, 2)
    whole = lyapunov_spectrum(cell, x, k_adjoint=4)
    local = finite_time_exponents(cell, x, lag=7)
    monkeypatch.setattr("seqdyn.dynamics.trajectory.Trajectory.__init__.__kwdefaults__", {"numbers": 2 * 16 * 11})
    monkeypatch.setattr("seqdyn.dynamics.finite_time.NUMBERS_AT_ONCE", 2 * 16 * 11)
    parts = lyapunov_spectrum(cell, x, k_adjoint=4)
    for name in ("exponents", "standard_errors", "per_sequence", "running"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    assert parts.adjoint_gap == pytest.approx(whole.adjoint_gap, abs=1e-12)
    torch.testing.assert_close(finite_time_exponents(cell, x, lag=7), local)


def test_the_leading_ones_alone():
    cell, x = LSTM(2, 3, generator=seeded()).double(), noise(2, 500, 2)
    whole, leading = (lyapunov_spectrum(cell, x, k=k) for k in (None, 3))
    torch.testing.assert_close(leading.exponents, whole.exponents[:3], atol=1e-6, rtol=0)
    assert math.isnan(leading.sum_rule_residual) and leading.kaplan_yorke == 0
    assert math.isnan(lyapunov_spectrum(Henon(), steps=500, k=1).kaplan_yorke)  # 1 + something unknown
    assert math.isnan(lyapunov_spectrum(Henon(), steps=500, k_adjoint=0).adjoint_gap)


@pytest.mark.parametrize("kind", [Elman, GRU, LSTM])
@pytest.mark.parametrize("scale", [1.0, 10.0, 30.0, 1000.0])
def test_saturation_does_not_break_the_sum_rule(kind, scale):
    """Where gates are shut, the determinant is rounding, and so is Σ ln |R_ii|: these steps tell nothing."""
    for units in (2, 16):
        cell = kind(3, units, generator=seeded()).double()
        spectrum = lyapunov_spectrum(cell, scale * noise(2, 200, 3), burn_in=0, k_adjoint=0)
        assert math.isnan(spectrum.sum_rule_residual) or spectrum.sum_rule_residual < 1e-6
        assert scale > 1 or spectrum.sum_rule_residual < 1e-9
        assert all(check.passed for check in spectrum.checks() if check.name == "sum rule")


def test_no_step_that_tells_is_not_a_breach():
    relu = Elman(1, 2, activation="relu", generator=seeded())
    torch.nn.init.constant_(relu.bias, -9.0)
    spectrum = lyapunov_spectrum(relu.double(), 0.1 * noise(1, 200, 1))
    assert math.isnan(spectrum.sum_rule_residual) and "sum rule" not in {check.name for check in spectrum.checks()}


def test_a_breach_is_seen_beside_steps_that_tell_nothing(monkeypatch):
    """A rate that is 1e-5 off at every step is told, also where most determinants are rounding."""
    cell, x = LSTM(3, 16, generator=seeded()).double(), 30 * noise(2, 200, 3)
    carry = lyapunov.Frame.carry
    assert lyapunov_spectrum(cell, x).sum_rule_residual < 1e-6
    monkeypatch.setattr(lyapunov.Frame, "carry", lambda self, jacobians: carry(self, jacobians) + 1e-5 / 32)
    bad = lyapunov_spectrum(cell, x, k_adjoint=0)
    assert bad.sum_rule_residual == pytest.approx(1e-5, rel=0.1)
    assert "sum rule" in {check.name for check in bad.checks() if not check.passed}


def test_a_failing_check_is_told():
    good = lyapunov_spectrum(Henon(), steps=5000)
    bad = dataclasses.replace(good, adjoint_gap=0.5)
    assert good.passed and not bad.passed
    assert [check.name for check in bad.checks() if not check.passed] == ["adjoint"]
    drifting = dataclasses.replace(good, running=good.running + torch.linspace(1, 0, 200).unsqueeze(1))
    assert [check.name for check in drifting.checks() if not check.passed] == ["settled"]


def test_kaplan_yorke_of_given_exponents():
    spectrum = lyapunov_spectrum(Henon(), steps=200)

    def dimension(*values, width=None):
        given = torch.tensor(values, dtype=torch.float64)
        return dataclasses.replace(spectrum, exponents=given, width=width or len(values)).kaplan_yorke

    assert dimension(0.9, 0.0, -14.5) == pytest.approx(2 + 0.9 / 14.5)
    assert dimension(-0.1, -0.2) == 0 and dimension(0.2, -0.1) == 2 and dimension(0.5, -math.inf) == 1
    assert math.isnan(dimension(0.2, -0.1, width=3)) and dimension(0.2, -0.4, width=3) == pytest.approx(1.5)


def test_finite_times_tend_to_the_exponents():
    local = finite_time_exponents(Henon(), steps=20_000, lag=50)
    exponents = lyapunov_spectrum(Henon(), steps=20_000).exponents
    assert local.mean((0, 1)).tolist() == pytest.approx(exponents.tolist(), abs=0.03)
    assert (local[..., 0].mean() > exponents[0]) and local.shape == (1, 360, 2)
    leading = finite_time_exponents(Henon(), steps=20_000, lag=50, k=1, dt=0.5)
    torch.testing.assert_close(leading, 2 * local[..., :1])


def test_memory_does_not_grow_with_the_steps():
    def peak(steps):
        tracemalloc.start()
        lyapunov_spectrum(Linear(1, 32), torch.zeros(1, 1, 1).expand(1, steps, 1), k=2)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(6000) < 1.5 * peak(1500) + 1e5


# One step


def test_spectral_radius_is_that_of_the_recurrent_matrix_at_rest():
    linear, elman = Linear(2, 4, generator=seeded()).double(), Elman(2, 4, generator=seeded()).double()
    for cell, weight in ((linear, linear.transition), (elman, elman.recurrent_weight)):
        with unchanged(cell):
            radius = spectral_radius(cell)
        assert radius.shape == () and float(radius) == pytest.approx(
            float(torch.linalg.eigvals(weight.detach()).abs().max()), abs=1e-12
        )
        torch.testing.assert_close(spectral_radius(weight), radius)


def test_spectral_radius_along_a_trajectory_and_at_a_state():
    cell, x = LSTM(2, 3, generator=seeded()).double(), noise(2, 5, 2)
    expected = torch.linalg.eigvals(jacobians(cell, x)).abs().amax(-1)
    torch.testing.assert_close(spectral_radius(cell, x), expected)
    assert eigenvalues(cell, x).shape == (2, 5, 6) and (eigenvalues(cell, x).abs().diff() <= 1e-15).all()
    state = scan(cell, x).state
    torch.testing.assert_close(spectral_radius(cell, state=state), spectral_radius(cell, 0 * x[:, :1], state)[:, 0])
    assert spectral_radius(LSTM(2, 3)).dtype == torch.float64


# Bad input

DRIVEN = torch.zeros(1, 50, 2)
FAR = HenonState(torch.full((1, 2), 3.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lyapunov_spectrum(Elman(2, 3)), "takes 2 input.*gives 3.*give x"),
        (lambda: lyapunov_spectrum(Elman(3, 3)), "give steps="),
        (lambda: lyapunov_spectrum(Henon()), "give steps="),
        (lambda: lyapunov_spectrum(Henon(), steps=0), "steps must be an int of at least 1"),
        (lambda: lyapunov_spectrum(Elman(2, 3), DRIVEN, steps=51), "steps=51, but x has 50"),
        (lambda: lyapunov_spectrum(Elman(2, 3), DRIVEN, last=torch.zeros(1, 3)), "last is for a closed loop"),
        (lambda: lyapunov_spectrum(Henon(), steps=50, last=torch.zeros(1, 2)), "last is for a closed loop"),
        (lambda: lyapunov_spectrum(Elman(3, 3), steps=50, last=torch.zeros(1, 2)), "last.*is .batch, 3.*got .1, 2"),
        (lambda: lyapunov_spectrum(Elman(2, 3), DRIVEN, k=4), "k must be an int from 1 to 3, got 4"),
        (lambda: lyapunov_spectrum(Elman(2, 3), DRIVEN, k=2, k_adjoint=3), "k_adjoint must be an int from 0 to 2"),
        (lambda: lyapunov_spectrum(Elman(2, 3), DRIVEN, burn_in=50), "burn_in must be an int from 0 to 49"),
        (lambda: lyapunov_spectrum(Elman(2, 3), DRIVEN, dt=0.0), "dt.*positive"),
        (lambda: lyapunov_spectrum(Elman(2, 3), torch.zeros(1, 50, 3)), "expects .batch, time, 2"),
        (lambda: lyapunov_spectrum(Elman(2, 3), DRIVEN, ElmanState(torch.zeros(1, 4))), "expects .1, 3"),
        (lambda: lyapunov_spectrum(Henon(), state=FAR, steps=50), "From step .*escapes"),
        (lambda: divergence_exponent(Henon(), state=FAR, steps=50), "stay finite"),
        (lambda: divergence_exponent(Henon(), steps=50, size=0.0), "size and dt must be positive"),
        (lambda: finite_time_exponents(Henon(), steps=50, lag=0), "lag must be an int from 1 to 50"),
        (lambda: finite_time_exponents(Henon(), steps=50, lag=30, burn_in=30), "No stretch of lag=30"),
        (lambda: spectral_radius(torch.zeros(2, 3)), "square matrices"),
        (lambda: spectral_radius(torch.eye(2), DRIVEN), "leave them out"),
        (lambda: spectral_radius(torch.full((2, 2), math.nan)), "NaN or inf"),
    ],
)
def test_bad_input_is_told_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_is_changed():
    cell = Readout(LSTM(2, 3, generator=seeded()), 2, generator=seeded())
    cell(torch.ones(1, 2), cell.initial_state(1))[0].sum().backward()
    x, state = torch.randn(2, 60, 2, generator=seeded()), scan(cell, torch.randn(2, 4, 2, generator=seeded())).state
    kept = x.clone()
    with unchanged(cell):
        lyapunov_spectrum(cell, x, state)
        lyapunov_spectrum(cell, state=state, steps=60)
        finite_time_exponents(cell, x, lag=3)
        divergence_exponent(cell, x)
        spectral_radius(cell, x)
    assert torch.equal(x, kept)


def test_the_seed_only_chooses_where_to_begin():
    one, other = (lyapunov_spectrum(Logistic(3.9), steps=300, seed=seed).exponents for seed in (0, 1))
    torch.testing.assert_close(one, other)
    cell, x = GRU(2, 4, generator=seeded()).double(), noise(1, 600, 2)
    one, other = (lyapunov_spectrum(cell, x, seed=seed).exponents for seed in (0, 1))
    torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


def test_tally_counts_every_step_once():
    tally = Tally(2, 507, 7, 1)
    for start in range(0, 507, 13):
        tally.add(start, torch.ones(2, min(13, 507 - start), 1, dtype=torch.float64))
    assert tally.counts.sum() == 500 and tally.exponents().tolist() == [1.0]
    assert tally.standard_errors().tolist() == [0.0]

"""Limit cycles: closed forms, quadrature, finite differences, long runs, and what is no cycle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from seqdyn.autoregression import OwnPast, Past
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout
from seqdyn.dynamics.limit_cycles import limit_cycle
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.held import Held
from seqdyn.loops import scan
from seqdyn.state import flatten
from seqdyn.systems.duffing import Duffing
from seqdyn.systems.henon import Henon
from seqdyn.systems.logistic import Logistic
from seqdyn.systems.salamander import Salamander
from seqdyn.systems.van_der_pol import VanDerPol
from tests.dynamics.test_equilibria import Given, seeded
from tests.dynamics.unchanged import unchanged

VAN_DER_POL = 6.66328686
"""The period at μ = 1, to all digits shown."""


class Begun(Given):
    """A map that begins in a given state."""

    def __init__(self, start, function):
        super().__init__(len(start), function)
        self.start.copy_(torch.tensor(start))


def circle(rotation, decay=0.5, radius=2.0, warp=0.0):
    """Deviations from a circle shrink by ``decay`` a step, and each step turns by ω; μ = decay^{1/ω} a turn."""

    def function(h):
        size, angle = h.norm(dim=1), torch.atan2(h[:, 1], h[:, 0])
        size = radius + decay * (size - radius)
        angle = angle + 2 * math.pi * (rotation + warp / (2 * math.pi) * angle.sin())
        return torch.stack([size * angle.cos(), size * angle.sin()], 1)

    return Begun([0.9, 1.4], function)


def delayed_logistic(rate):
    """x_t = r x_{t−1} (1 − x_{t−2}), a Neimark–Sacker bifurcation at r = 2 with ω = 1/6."""
    return Begun([0.6, 0.5], lambda h: torch.stack([rate * h[:, 0] * (1 - h[:, 1]), h[:, 0]], 1))


def stepped(cell, h, x=None):
    """F of rows of flattened states, an independent loop by hand."""
    own = cell.double()
    state = type(own.initial_state(1))(h) if hasattr(own.initial_state(1), "_fields") else {"h": h}
    inputs = torch.zeros(len(h), own.input_size).double() if x is None else x.expand(len(h), -1)
    return flatten(own(inputs, state)[1]).detach()


# periodic orbits


@pytest.mark.parametrize("rate", [3.1, 3.2, 3.4])
def test_two_steps_in_closed_form(rate):
    """h± = (r + 1 ± √((r − 3)(r + 1))) / 2r with multiplier 4 + 2r − r²."""
    cycle = limit_cycle(Logistic(rate))
    root = math.sqrt((rate - 3) * (rate + 1))
    assert sorted(cycle.points[:, 0].tolist()) == pytest.approx([(rate + 1 + s * root) / (2 * rate) for s in (-1, 1)])
    assert cycle.multipliers.real.tolist() == pytest.approx([4 + 2 * rate - rate**2], abs=1e-10)
    assert (cycle.kind, cycle.steps, cycle.turns, cycle.period, cycle.stable) == ("periodic", 2, 1, 2.0, True)
    assert cycle.residual < 1e-13 and cycle.transverse is cycle.multipliers


@pytest.mark.parametrize(("rate", "steps"), [(3.5, 4), (3.55, 8), (3.83, 3)])
def test_more_steps(rate, steps):
    """F^p(h) = h by hand, p is the smallest, and the multiplier is the product of all slopes."""
    cycle = limit_cycle(Logistic(rate))
    assert cycle.steps == steps and cycle.turns == 1
    h = cycle.points[:, 0]
    torch.testing.assert_close(rate * h * (1 - h), h.roll(-1), atol=1e-13, rtol=0)
    assert len(h.unique()) == steps
    assert complex(cycle.multipliers[0]) == pytest.approx(float((rate * (1 - 2 * h)).prod()), abs=1e-10)
    torch.testing.assert_close(cycle.at(torch.arange(steps).double() * cycle.rotation)[:, 0], h, atol=1e-13, rtol=0)


@pytest.mark.parametrize(("turns", "steps"), [(1, 3), (2, 5), (3, 8), (5, 12)])
def test_locked_turning(turns, steps):
    """ω = q/p with a term sin pφ that makes the orbit attract: it turns q times in its p steps."""
    turn = 2 * math.pi * turns / steps

    def function(h):
        size, angle = h.norm(dim=1), torch.atan2(h[:, 1], h[:, 0])
        angle = angle + turn - 0.05 * (steps * angle).sin()
        size = 2 + 0.5 * (size - 2)
        return torch.stack([size * angle.cos(), size * angle.sin()], 1)

    cycle = limit_cycle(Begun([1.0, 1.0], function))
    assert (cycle.kind, cycle.steps, cycle.turns) == ("periodic", steps, turns)
    assert cycle.period == pytest.approx(steps / turns) and cycle.stable
    expected = sorted([(1 - 0.05 * steps) ** steps, 0.5**steps], key=abs, reverse=True)
    assert cycle.multipliers.real.tolist() == pytest.approx(expected, abs=1e-9)


# closed curves


@pytest.mark.parametrize("rotation", [math.sqrt(2) - 1, 0.1234567, math.pi / 100])
def test_a_circle(rotation):
    cycle = limit_cycle(circle(rotation, decay=0.9))
    assert cycle.kind == "quasi-periodic" and cycle.rotation == pytest.approx(rotation, abs=1e-12)
    torch.testing.assert_close(cycle.points.norm(dim=1), torch.full((len(cycle.points),), 2.0).double())
    assert cycle.multipliers.real.tolist() == pytest.approx([1.0, 0.9 ** (1 / rotation)], abs=1e-8)
    assert cycle.stable and cycle.residual < 1e-12 and cycle.steps is cycle.turns is None


def test_newton_need_not_wait():
    """Deviations shrink by 1e-4 a step: after the first window nine tenths of them are left, and none in the answer."""
    cycle = limit_cycle(circle(0.1234567, decay=1 - 1e-4), steps=10_000)
    assert cycle.rotation == pytest.approx(0.1234567, abs=1e-12) and cycle.residual < 1e-12
    assert cycle.multipliers.real.tolist() == pytest.approx([1.0, (1 - 1e-4) ** (1 / 0.1234567)], abs=5e-6)
    assert cycle.points.norm(dim=1).sub(2).abs().max() < 1e-9


def test_a_turn_without_an_attracting_phase():
    """A rigid turn by 2/5: every phase repeats itself after 5 steps, so that the whole circle is the cycle."""
    cycle = limit_cycle(circle(0.4))
    assert (cycle.kind, cycle.steps, cycle.stable) == ("quasi-periodic", None, True)
    assert cycle.rotation == pytest.approx(0.4, abs=1e-12) and cycle.period == pytest.approx(2.5)
    assert cycle.multipliers.abs().tolist() == pytest.approx([1.0, 0.5**2.5], abs=1e-9)


def test_the_other_way_round():
    """A turn by −ω is one by ω with phases counted backwards."""
    cycle = limit_cycle(circle(-0.1234567))
    assert cycle.rotation == pytest.approx(0.1234567, abs=1e-12)
    theta = torch.tensor([0.3]).double()
    moved = stepped(circle(-0.1234567), cycle.at(theta))
    torch.testing.assert_close(moved, cycle.at(theta + cycle.rotation), atol=1e-12, rtol=0)


def test_an_uneven_circle():
    """φ ← φ + 2πω + a sin φ passes its circle at any pace, but steadily in θ; its ω is the mean turn of a long run."""
    cell = circle(0.15, warp=0.4)
    cycle = limit_cycle(cell)
    angle, total = 0.0, 200_000
    for _ in range(total):
        angle += 2 * math.pi * 0.15 + 0.4 * math.sin(angle)
    assert cycle.rotation == pytest.approx(angle / (2 * math.pi) / total, abs=2 / total)
    theta = torch.rand(50, generator=seeded()).double()
    torch.testing.assert_close(stepped(cell, cycle.at(theta)), cycle.at(theta + cycle.rotation), atol=1e-10, rtol=0)
    assert cycle.multipliers.real.tolist() == pytest.approx([1.0, 0.5 ** (1 / cycle.rotation)], abs=1e-6)


@pytest.mark.parametrize("rate", [2.03, 2.1])
def test_the_delayed_logistic_map(rate):
    """After the Neimark–Sacker bifurcation; against the turns of a long run around its fixed point 1 − 1/r."""
    cycle = limit_cycle(delayed_logistic(rate))
    centre, x, y, turns, total = 1 - 1 / rate, 0.6, 0.5, 0.0, 20_000
    for step in range(total + 1000):
        before = math.atan2(y - centre, x - centre)
        x, y = rate * x * (1 - y), x
        after = math.atan2(y - centre, x - centre)
        if step >= 1000:
            turns += ((after - before) / (2 * math.pi) + 0.5) % 1 - 0.5
    assert cycle.kind == "quasi-periodic"
    assert cycle.rotation == pytest.approx(abs(turns) / total, abs=2 / total)
    exponents = lyapunov_spectrum(delayed_logistic(rate), steps=6000, k_adjoint=0).exponents
    assert float(cycle.exponents[1]) == pytest.approx(float(exponents[1]), abs=1e-3)
    assert cycle.exponents[0].abs() < 1e-7 and cycle.stable


@pytest.mark.parametrize("dt", [0.02, 0.1, VAN_DER_POL / 64])
def test_van_der_pol(dt):
    """The period is off by C dt⁴, and the multiplier is exp ∮ div, by another method of order 8."""
    cycle = limit_cycle(VanDerPol(dt=dt))
    assert cycle.kind == "quasi-periodic" and cycle.stable
    assert cycle.period == pytest.approx(VAN_DER_POL + 0.8451 * dt**4, abs=2e-8 + 30 * dt**6)

    def flow(_, h):
        return [h[1], (1 - h[0] ** 2) * h[1] - h[0], 1 - h[0] ** 2]

    start = [*cycle.at(0.0).tolist(), 0.0]
    end = solve_ivp(flow, (0, VAN_DER_POL), start, method="DOP853", rtol=1e-11, atol=1e-12).y[2, -1]
    assert cycle.multipliers.real.tolist() == pytest.approx([1.0, math.exp(end)], abs=2e-4 * math.exp(end) + 2e-8)
    assert cycle.frequency == 1 / cycle.period and cycle.period_in_steps == pytest.approx(cycle.period / dt)


def test_the_order_of_the_period():
    """Richardson: two steps give the period at dt = 0, up to their dt⁶."""
    fine, coarse = (limit_cycle(VanDerPol(dt=dt)).period for dt in (0.04, 0.08))
    assert fine + (fine - coarse) / 15 == pytest.approx(VAN_DER_POL, abs=5e-7)


def test_a_hopf_normal_form_in_many_dimensions():
    """h ← Q g(Qᵀh): two of 60 directions turn, the others shrink at 58 rates of their own, and push the circle."""
    rotation, size = 0.0813, 60
    basis = torch.linalg.qr(torch.randn(size, size, generator=seeded()).double()).Q
    rates = torch.linspace(0.1, 0.95, size - 2).double()

    def function(h):
        parts = h @ basis
        radius = parts[:, :2].norm(dim=1, keepdim=True)
        angle = torch.atan2(parts[:, 1:2], parts[:, :1]) + 2 * math.pi * rotation
        radius = 1 + 0.6 * (radius - 1)
        turned = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)
        return torch.cat([turned, rates * parts[:, 2:] + 0.1 * turned[:, :1] ** 3], 1) @ basis.T

    cycle = limit_cycle(Begun([0.3] * size, function), k=5)
    expected = [1.0, *[float(rate) ** (1 / rotation) for rate in rates.flip(0)[:4]]]
    assert cycle.rotation == pytest.approx(rotation, abs=1e-11) and cycle.residual < 1e-10
    assert cycle.multipliers.real.tolist() == pytest.approx(expected, rel=1e-5)


# angles


def test_phases_that_grow_and_phases_that_jump():
    """A swimming salamander's phases grow without bound, the phase of a shaken spring is kept in [0, 2π)."""
    cycle = limit_cycle(Salamander(), torch.tensor([4.0, 4.0]))
    assert cycle.frequency == pytest.approx(1.1, abs=1e-6) and cycle.dt == pytest.approx(0.01)
    assert cycle.lags(range(8)).tolist() == pytest.approx([0.125] * 7, abs=1e-4)
    assert cycle.winding[:16].tolist() == [1] * 16 and not cycle.winding[16:].any()
    assert cycle.output_at(0.0).shape == (12,) and cycle.lags().isnan().any()  # the limbs are silent
    spring = limit_cycle(Duffing(gamma=0.2))
    assert spring.period == pytest.approx(2 * math.pi / 1.2, abs=1e-9)
    assert spring.winding.tolist() == [0, 0, 1] and spring.stable
    assert math.prod(spring.transverse.real.tolist()) == pytest.approx(math.exp(-0.3 * spring.period), rel=1e-5)


# trained networks, and what the answer offers


def generator_of_a_wave(period=17.3, units=24):
    """A GRU with weights as drawn and a readout by ridge regression, on its own output."""
    cell = Readout(GRU(1, units, generator=seeded(1)), 1, generator=seeded(2)).double()
    with torch.no_grad():
        cell.cell.input_weight.mul_(2)
        wave = torch.sin(2 * math.pi * torch.arange(601).double() / period)[None, :, None]
        noisy = wave + 0.02 * torch.randn(wave.shape, generator=seeded(3), dtype=torch.float64)
        states = scan(cell.cell, noisy[:, :-1]).output[0, 100:]
        design = torch.cat([states, torch.ones(len(states), 1)], 1)
        solution = torch.linalg.solve(design.T @ design + 1e-4 * torch.eye(units + 1), design.T @ wave[0, 101:])
        cell.affine.weight.copy_(solution[:-1].T)
        cell.affine.bias.copy_(solution[-1])
    loop = OwnPast(cell)
    return loop, scan(loop, Past(wave[:, :100], torch.ones(1, 100, 1).double())).state


def test_a_network_that_generates_a_wave():
    loop, state = generator_of_a_wave()
    with unchanged(loop):
        cycle = limit_cycle(loop, None, state, k=25)
    assert cycle.kind == "quasi-periodic" and cycle.period == pytest.approx(17.3, abs=0.2)
    assert float(cycle.output_curve.amplitude) == pytest.approx(math.sqrt(0.5), abs=0.05)
    own = lyapunov_spectrum(loop.cell, steps=3000, state=state.inner, last=state.last, k=3, k_adjoint=0)
    assert cycle.exponents[:3].tolist() == pytest.approx(own.exponents.tolist(), abs=5e-3)
    assert cycle.multipliers[-1] == 0  # y_t is a function of h_t, and dies in one step


def test_what_is_offered_fits_together():
    loop, state = generator_of_a_wave()
    cycle = limit_cycle(loop, None, state)
    theta = torch.tensor([0.1, 0.6]).double()
    rows = type(state)(type(state.inner)(cycle.at(theta)[:, :-1]), cycle.at(theta)[:, -1:])
    run = scan(loop, loop.alone(2, 40), rows)
    torch.testing.assert_close(flatten(run.state), cycle.at(theta + 40 * cycle.rotation), atol=1e-8, rtol=0)
    torch.testing.assert_close(run.output[:, 6], cycle.output_at(theta + 7 * cycle.rotation), atol=1e-8, rtol=0)
    torch.testing.assert_close(cycle.phase_of(rows), theta, atol=1e-8, rtol=0)
    assert flatten(cycle.states(loop)).shape == cycle.points.shape
    assert repr(cycle).startswith("LimitCycle(kind=quasi-periodic, stable=True, period=17.")
    assert "and 22 more" not in repr(cycle)


@pytest.mark.parametrize("shift", [0.1, -0.3, 0.5])
def test_lags(shift):
    """Outputs cos φ and cos(φ − 2π lag): the second one is late."""

    def function(h):
        angle = torch.atan2(h[:, 1], h[:, 0]) + 2 * math.pi * 0.0713
        late = angle - 2 * math.pi * shift
        return torch.stack([angle.cos(), angle.sin(), late.cos() + 0.2 * (2 * late).cos()], 1)

    cycle = limit_cycle(Begun([1.0, 0.2, 0.0], function))
    assert cycle.lags([0, 2]).tolist() == pytest.approx([shift], abs=1e-9)
    assert cycle.lags(slice(0, 2)).tolist() == pytest.approx([0.25], abs=1e-9)


def test_multipliers_are_those_of_finite_differences():
    """An Elman network that turns and locks, its period map differentiated by hand."""
    cell = Elman(1, 3, generator=seeded(4)).double()
    with torch.no_grad():
        cell.recurrent_weight.copy_(torch.tensor([[0.0, -3.0, 0.4], [3.0, 0.0, 0.0], [0.3, 0.0, 0.2]]))
    cycle = limit_cycle(cell, None, type(cell.initial_state(1))(torch.tensor([[0.1, 0.2, 0.0]])))
    assert (cycle.kind, cycle.steps) == ("periodic", 4)

    def period_map(h):
        for _ in range(4):
            h = stepped(cell, h)
        return h

    width = 1e-6
    away = width * torch.eye(3).double()
    slopes = (period_map(cycle.points[0] + away) - period_map(cycle.points[0] - away)).T / (2 * width)
    expected = np.sort(np.abs(np.linalg.eigvals(slopes.numpy())))[::-1]
    assert cycle.multipliers.abs().tolist() == pytest.approx(expected.tolist(), abs=1e-8)
    assert cycle.exponents.tolist() == pytest.approx((np.log(np.abs(cycle.multipliers.numpy())) / 4).tolist())


# what is no cycle


def torus(h):
    """Two turns side by side at incommensurate rates."""
    pairs = []
    for first, rotation in ((0, 0.1234567), (2, math.sqrt(2) / 10)):
        part = h[:, first : first + 2]
        turn = 2 * math.pi * rotation
        matrix = torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]).to(part)
        size = part.norm(dim=1, keepdim=True)
        pairs.append((part / size * (1 + 0.5 * (size - 1))) @ matrix)
    return torch.cat(pairs, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: limit_cycle(Logistic(2.8)), r"comes to rest at the fixed point \(0.6429\), .* modulus 0.8"),
        (lambda: limit_cycle(Logistic(3.9)), r"chaotic from here: its largest Lyapunov exponent is 0\.\d+ ±"),
        (lambda: limit_cycle(Henon()), "chaotic from here"),
        (lambda: limit_cycle(Begun([1.0, 0.0, 1.0, 0.0], torus), steps=5000), "turn at several frequencies"),
        (
            lambda: limit_cycle(VanDerPol(1.0), steps=5000, harmonics=16, tolerance=1e-9),
            r"VanDerPol is not periodic .* of 16 harmonics is invariant to tolerance=1e-09 \(the nearest one to \S+\). "
            "Give it more harmonics, harmonics=32, more steps to settle, steps=10000, or a larger tolerance",
        ),
        (
            lambda: limit_cycle(Held(Logistic(2.8), torch.zeros(1, 0))),
            "^Logistic comes to rest",
        ),
        (lambda: limit_cycle(Begun([0.5], lambda h: 2 * h)), r"not finite any more at step 1\d\d\d of the walk"),
        (lambda: limit_cycle(Elman(2, 3), torch.zeros(1, 5, 2)), r"a tensor \(2,\), got \(1, 5, 2\)"),
        (lambda: limit_cycle(Elman(2, 3), torch.tensor([1.0, math.nan])), "x holds nan at feature 1"),
        (lambda: limit_cycle(Elman(2, 3), None, Elman(2, 3).initial_state(2)), r"one row of Elman's state, \(1, 3\)"),
        (lambda: limit_cycle(Logistic(3.2), steps=100), "steps must be an int of at least 2048"),
        (lambda: limit_cycle(Logistic(3.2), tolerance=0.0), "tolerance must be a positive, finite number, got 0.0"),
        (lambda: limit_cycle(Logistic(3.2), tolerance=None), "tolerance must be a positive, finite number, got None"),
        (lambda: limit_cycle(Logistic(3.2), dt=-1.0), "dt must be a positive, finite number, got -1.0"),
        (lambda: limit_cycle(Logistic(3.2), dt="a"), "dt must be a positive, finite number, got 'a'"),
        (lambda: limit_cycle(Logistic(3.2), dt=math.inf), "dt must be a positive, finite number, got inf"),
    ],
)
def test_what_is_no_cycle_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_slow_spiral_is_at_rest():
    """Amplitudes shrink by 0.998 a step: this is no cycle, though a Fourier series fits a short window well."""
    turn = 2 * math.pi * 0.05
    matrix = 0.998 * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]).double()
    with pytest.raises(ValueError, match="comes to rest"):
        limit_cycle(Begun([1.0, 0.0], lambda h: h @ matrix.T.to(h)))


def test_the_input_is_held():
    """The mean of the oscillator over a turn is the constant force, for all other terms are derivatives."""
    cycle = limit_cycle(VanDerPol(), torch.tensor([0.3]))
    assert float(cycle.output_curve.coefficients[0, 0].real) == pytest.approx(0.3, abs=2e-6)
    assert cycle.x.tolist() == pytest.approx([0.3])

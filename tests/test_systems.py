"""Known dynamics against closed forms and scipy's integrators."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import ellipk

from seqdyn.dynamics.derivatives import autodiff_jacobian
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.flow import Flow, FlowState
from seqdyn.loops import scan
from seqdyn.state import hold, leaves, map_leaves
from seqdyn.systems.cascaded_tanks import CascadedTanks, CascadedTanksState
from seqdyn.systems.duffing import Duffing
from seqdyn.systems.henon import Henon, HenonState
from seqdyn.systems.logistic import Logistic, LogisticState
from seqdyn.systems.lorenz import Lorenz, LorenzState
from seqdyn.systems.lorenz96 import Lorenz96
from seqdyn.systems.mackey_glass import MackeyGlass, MackeyGlassState
from seqdyn.systems.pendulum import Pendulum
from seqdyn.systems.rossler import Rossler
from seqdyn.systems.salamander import Salamander, oscillators
from seqdyn.systems.simulate import simulate
from seqdyn.systems.van_der_pol import VanDerPol

FLOWS = [Lorenz, Lorenz96, Rossler, VanDerPol, Pendulum, Duffing, Salamander]
SYSTEMS = [Logistic, Henon, *FLOWS, MackeyGlass, CascadedTanks]


def drive(system, steps, batch=1):
    """An input that fits: nothing for autonomous systems, a modest voltage for the tanks."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, steps, system.input_size, generator=generator, dtype=leaves(system.initial_state(1))[0].dtype)
    return 2 * x


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


# All of them


@pytest.mark.parametrize("make", SYSTEMS)
def test_state_and_output_follow_the_dtype_and_keep_their_shape(make):
    for dtype in (torch.float32, torch.float64):
        system = make().to(dtype)
        state = system.initial_state(3)
        output, after = scan(system, drive(system, 5, batch=3), state)[:2]
        assert output.shape == (3, 5, system.output_size) and output.dtype == dtype
        assert map_leaves(lambda leaf: (leaf.shape, leaf.dtype), after) == map_leaves(
            lambda leaf: (leaf.shape, leaf.dtype), state
        )
        assert sum(leaf[0].numel() for leaf in leaves(state)) == system.hidden_size


@pytest.mark.parametrize("make", SYSTEMS)
def test_there_is_nothing_to_train(make):
    assert not list(make().parameters())


@pytest.mark.parametrize("make", [make for make in SYSTEMS if make is not Pendulum])  # it counts its turns
def test_stays_bounded_for_a_long_time(make):
    system = make().double()
    output = simulate(system, 2000, x=drive(system, 2000))
    assert output.isfinite().all() and output.abs().max() < 60


@pytest.mark.parametrize("make", [Logistic, Henon])
def test_closed_form_jacobian_equals_autodiff(make):
    system = make().double()
    before = scan(system, drive(system, 7, batch=4)).state
    before = map_leaves(lambda leaf: leaf + torch.linspace(0, 0.01, 4, dtype=leaf.dtype).unsqueeze(1), before)
    x = drive(system, 1, batch=4)[:, 0]
    closed = system.jacobian(x, before, *system(x, before))
    torch.testing.assert_close(closed, autodiff_jacobian(system, x, before))


@pytest.mark.parametrize("make", [*FLOWS, MackeyGlass, CascadedTanks])
def test_autodiff_jacobian_equals_central_differences(make):
    system = make().double()
    before = scan(system, drive(system, 50)).state
    x = drive(system, 1)[:, 0]
    (leaf,) = leaves(before)
    small = 1e-5 * torch.eye(leaf.shape[1], dtype=leaf.dtype)
    ahead, behind = (leaves(system(x.expand(len(small), -1), type(before)(leaf + s * small))[1])[0] for s in (1, -1))
    differences = ((ahead - behind) / 2e-5).T
    torch.testing.assert_close(autodiff_jacobian(system, x, before)[0], differences, atol=1e-8, rtol=1e-6)


# Simulate


def test_simulate_discards_the_beginning():
    whole = simulate(Logistic(), 30)
    torch.testing.assert_close(simulate(Logistic(), 20, discard=10), whole[:, 10:])


def test_simulate_takes_the_batch_of_the_state():
    state = LogisticState(torch.tensor([[0.2], [0.3], [0.4]]))
    assert simulate(Logistic(), 5, state).shape == (3, 5, 1)


def test_simulate_says_what_is_wrong():
    for steps in (0, -3, 2.5, "7"):
        with pytest.raises(ValueError, match="steps must be an int of at least 1"):
            simulate(Logistic(), steps)
    with pytest.raises(ValueError, match="discard must be an int of at least 0"):
        simulate(Logistic(), 3, discard=-1)
    with pytest.raises(ValueError, match="driven by 1 input"):
        simulate(CascadedTanks(), 5)
    with pytest.raises(ValueError, match="discard \\+ steps = 7"):
        simulate(CascadedTanks(), 5, x=torch.zeros(1, 5, 1), discard=2)
    with pytest.raises(ValueError, match=r"x must be a tensor \(batch, time, inputs\), got Tensor of .*\[5, 1\]"):
        simulate(CascadedTanks(), 5, x=torch.zeros(5, 1))
    with pytest.raises(ValueError, match=r"got ndarray of \(1, 5, 1\)"):
        simulate(CascadedTanks(), 5, x=np.zeros((1, 5, 1)))


def test_simulate_names_what_is_not_finite_from_the_beginning():
    """A gap in the data is not a time step that is too large."""
    x = torch.zeros(2, 9, 1)
    x[1, 4, 0] = math.nan
    with pytest.raises(ValueError, match="x is nan at step 4 of series 1, column 0"):
        simulate(Pendulum(), 9, x=x)
    with pytest.raises(ValueError, match="The state to start from is not finite"):
        simulate(Pendulum(), 9, FlowState(torch.tensor([[0.0, math.inf]])), torch.zeros(1, 9, 1))


# Logistic map


def test_logistic_at_four_has_a_closed_form():
    start = 0.3
    orbit = simulate(Logistic(r=4.0).double(), 12, LogisticState(doubles([start]))).flatten()
    angle = math.asin(math.sqrt(start))
    expected = [math.sin(2**t * angle) ** 2 for t in range(1, 13)]
    torch.testing.assert_close(orbit, doubles(*expected), atol=1e-11, rtol=0)


def test_logistic_settles_on_its_fixed_point_and_on_its_two_cycle():
    fixed = simulate(Logistic(r=2.8).double(), 2, discard=500).flatten()
    torch.testing.assert_close(fixed, doubles(1 - 1 / 2.8, 1 - 1 / 2.8))
    r = 3.3
    cycle = simulate(Logistic(r=r).double(), 2, discard=500).flatten().sort().values
    root = math.sqrt((r + 1) * (r - 3))
    torch.testing.assert_close(cycle, doubles((r + 1 - root) / (2 * r), (r + 1 + root) / (2 * r)))


@pytest.mark.parametrize("r", [-0.1, 4.1])
def test_logistic_refuses_rates_that_leave_the_interval(r):
    with pytest.raises(ValueError, match="r must be in"):
        Logistic(r=r)


# Hénon map


def test_henon_contracts_every_area_by_b():
    system = Henon().double()
    jacobians = scan(system, drive(system, 50), record=system.jacobian).record
    torch.testing.assert_close(torch.linalg.det(jacobians[0]), torch.full((50,), -0.3, dtype=torch.float64))


def test_henon_stays_on_its_fixed_point():
    a, b = 1.4, 0.3
    x = (b - 1 + math.sqrt((1 - b) ** 2 + 4 * a)) / (2 * a)
    output = simulate(Henon(a, b).double(), 3, HenonState(doubles([x, b * x])))
    torch.testing.assert_close(output, doubles([x, b * x]).expand(1, 3, 2), atol=1e-13, rtol=0)


# Flows


def ended(system, time, dt, force=1.2):
    """Where a flow is after a while, from near its start, under a constant force if it takes one."""
    system.dt = dt
    steps = round(time / dt)
    x = torch.full((1, steps, system.input_size), force, dtype=torch.float64)
    state = FlowState(system.initial_state(1).h + torch.linspace(0.1, 0.3, system.hidden_size, dtype=torch.float64))
    return scan(system, x, state).state.h[0].numpy(), state.h[0].numpy()


@pytest.mark.parametrize("make", FLOWS)
def test_a_flow_converges_with_order_four_to_scipys_solution(make):
    system, time = make().double(), 0.8
    force = torch.full((1, system.input_size), 1.2, dtype=torch.float64)

    def flow(_, h):
        return system.flow(torch.as_tensor(h)[None], force)[0].numpy()

    _, start = ended(system, time, 0.1)
    reference = solve_ivp(flow, (0, time), start, method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    dts = np.array([0.02, 0.01, 0.005]) * (0.25 if make in (Lorenz, Lorenz96) else 1)
    errors = [float(np.abs(ended(system, time, dt)[0] - reference).max()) for dt in dts]
    order = np.polyfit(np.log(dts), np.log(errors), 1)[0]
    assert errors[0] < 1e-4 and 3.7 < order < 4.4


@pytest.mark.parametrize("make", FLOWS)
def test_a_flow_wants_a_positive_dt(make):
    for dt in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="dt must be positive"):
            make(dt=dt)


def test_a_time_step_that_is_too_large_is_named_with_a_safe_one():
    """A linear decay is stable up to 2.79 / rate."""

    class Decay(Flow):
        def flow(self, h, x):
            return -10.0 * h

    simulate(Decay([1.0], dt=0.27).double(), 3000)
    with pytest.raises(ValueError, match=r"Decay is not finite any more at step \d+ of series 0. dt is 0.3; with 0.27"):
        simulate(Decay([1.0], dt=0.3).double(), 3000)
    assert Decay([1.0], dt=0.3).largest_step(doubles([1.0])[0], doubles([])) == pytest.approx(0.27)


TOO_LARGE = {Lorenz: 0.3, Lorenz96: 0.3, Rossler: 0.3, VanDerPol: 2.0, Pendulum: 60.0, Duffing: 2.0, Salamander: 2.0}


@pytest.mark.parametrize("make", TOO_LARGE)
def test_the_time_step_that_is_named_is_safe(make):
    """Also where it would be unstable only later than at the start."""
    system = make(dt=TOO_LARGE[make]).double()
    x = torch.ones(1, 100, system.input_size, dtype=torch.float64)
    with pytest.raises(ValueError, match=f"{make.__name__} is not finite any more at step") as raised:
        simulate(system, 100, x=x)
    named = re.search(r"dt is (\S+); with (\S+) it stays finite and stable for (\d+) steps", str(raised.value))
    assert named is not None and float(named[1]) == system.dt
    system.dt, time = float(named[2]), int(named[3])
    assert 0.01 < system.dt < float(named[1]) and time * system.dt >= 100 * float(named[1])
    assert simulate(system, time, x=x[:, :1].expand(-1, time, -1)).isfinite().all()


TOO_LARGE_BUT_FINITE = [
    (Salamander(dt=0.2), 4.0, 100),
    (Salamander(dt=0.14), 4.0, 100),
    (Pendulum(frequency=10.0, dt=0.5), 1.0, 100),
    (Pendulum(frequency=10.0, dt=0.29), 1.0, 100),
]


@pytest.mark.parametrize(("system", "force", "steps"), TOO_LARGE_BUT_FINITE)
def test_a_time_step_that_is_too_large_is_refused_though_the_run_stays_finite(system, force, steps):
    """With the one that is named it is run without objection."""
    system = copy.deepcopy(system).double()
    x = torch.full((1, steps, system.input_size), force, dtype=torch.float64)
    assert scan(system, x).output.isfinite().all()
    with pytest.raises(ValueError, match=r"too large at \d+ of 17 places along series 0") as raised:
        simulate(system, steps, x=x)
    named = re.search(r"with (\S+) it stays finite and stable for (\d+) steps", str(raised.value))
    assert named is not None and float(named[1]) < system.dt
    system.dt, time = float(named[1]), int(named[2])
    assert simulate(system, time, x=x[:, :1].expand(-1, time, -1)).isfinite().all()


@pytest.mark.parametrize("make", FLOWS)
def test_steps_of_twice_the_length_are_right(make):
    """So are the moments in which the Rössler system is fast, at four times its step."""
    system = make().double()
    system.dt *= 4 if make is Rossler else 2
    simulate(system, 500, x=2 * drive(system, 500))


def test_one_series_among_many_is_named():
    """Only the one that is driven leaves its place; where it rests the step is right."""
    system, x = Salamander(dt=0.2).double(), torch.zeros(5, 100, 2, dtype=torch.float64)
    simulate(system, 100, x=x)
    x[3] = 4.0
    with pytest.raises(ValueError, match="places along series 3: the run is finite"):
        simulate(system, 100, x=x)


@pytest.mark.parametrize("make", [Lorenz, Rossler, Duffing, Salamander])
def test_the_largest_steps_are_those_of_the_eigenvalues(make):
    """2.7 / max |λ|, for many places at once."""
    system = make().double()
    h = system.initial_state(6).h + torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]
    x = torch.ones(6, system.input_size, dtype=torch.float64)
    jacobian = torch.stack([torch.func.jacrev(lambda p: system.flow(p[None], x[:1])[0])(place) for place in h])
    rate = np.abs(np.linalg.eigvals(jacobian.numpy())).max(1)
    np.testing.assert_allclose(system.largest_steps(h, x), 2.7 / rate, rtol=1e-4)
    assert system.largest_step(h[2], x[2]) == pytest.approx(2.7 / rate[2], rel=1e-4)


def test_a_flow_that_stands_still_has_no_largest_step():
    class Still(Flow):
        def flow(self, h, x):
            return 0.0 * h

    assert Still([1.0, 2.0], dt=1.0).largest_step(doubles([1.0, 2.0])[0], doubles([])) == math.inf


def test_a_flow_that_escapes_with_every_time_step_says_so():
    """dh/dt = h² is at infinity after 1 / h_0."""

    class Explosion(Flow):
        def flow(self, h, x):
            return h**2

    with pytest.raises(ValueError, match=r"at step \d+ of series 0. dt is 0.1; with none that is smaller, down to"):
        simulate(Explosion([1.0], dt=0.1).double(), 20)


def test_a_map_that_escapes_is_named():
    with pytest.raises(ValueError, match="Henon is not finite any more at step 8 of series 1"):
        simulate(Henon().double(), 50, HenonState(doubles([0.0, 0.0], [5.0, 0.0])))


def test_a_flow_has_to_say_its_equation():
    with pytest.raises(NotImplementedError, match=r"say flow\(h, x\)"):
        simulate(Flow([1.0], dt=0.1), 1)


def test_constants_out_of_range_are_named():
    with pytest.raises(ValueError, match="size"):
        Lorenz96(3)
    with pytest.raises(ValueError, match="mu must be at least 0"):
        VanDerPol(-1.0)
    with pytest.raises(ValueError, match="frequency must be positive"):
        Pendulum(0.0)
    with pytest.raises(ValueError, match="damping at least 0"):
        Pendulum(damping=-0.1)


def near(system, count):
    """Starts that lie beside a system's own: many rows take the time of one."""
    moves = torch.randn(count, system.hidden_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return FlowState(system.initial_state(count).h.double() + 0.3 * moves)


def periods(values, dt):
    """The times between upward crossings of 0, by linear interpolation."""
    before = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    return np.diff((before - values[before] / (values[before + 1] - values[before])) * dt)


def test_rossler_rests_at_its_fixed_points():
    """x = a y', z = −y', with y' one of the roots of a y² + c y + b = 0."""
    a, b, c = 0.2, 0.2, 5.7
    for y in np.roots([a, c, b]):
        start = doubles([-a * y, y, -y])
        torch.testing.assert_close(simulate(Rossler().double(), 5, FlowState(start))[0, -1], start[0])


def test_rossler_turns_in_six_units_of_time():
    values = simulate(Rossler().double(), 2000, near(Rossler(), 10), discard=1000)[..., 0].numpy()
    turns = np.concatenate([periods(row, 0.05) for row in values])
    assert np.mean(turns) == pytest.approx(5.86, abs=0.03)


def test_lorenz96_moves_energy_and_makes_none():
    """Of the quadratic terms Σ h_i (h_{i+1} − h_{i−2}) h_{i−1} = 0, and the divergence is −1 a site."""
    system, h = Lorenz96(7).double(), torch.randn(4, 7, dtype=torch.float64)
    energy = (h * (system.flow(h, h[:, :0]) + h - 8.0)).sum(1)
    torch.testing.assert_close(energy, torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)
    jacobian = torch.func.jacrev(lambda h: system.flow(h[None], h[None, :0])[0])(h[0])
    assert float(jacobian.trace()) == pytest.approx(-7)


def test_lorenz96_knows_no_first_site():
    system, h = Lorenz96(6).double(), torch.randn(2, 6, dtype=torch.float64)
    moved = system.flow(h.roll(2, 1), h[:, :0])
    torch.testing.assert_close(moved, system.flow(h, h[:, :0]).roll(2, 1))


@pytest.mark.parametrize(("mu", "period"), [(0.0, 2 * math.pi), (1.0, 6.66329), (3.0, 8.85910)])
def test_van_der_pol_has_its_period(mu, period):
    system = VanDerPol(mu, dt=0.02).double()
    output = simulate(system, 4000, x=torch.zeros(1, 5500, 1, dtype=torch.float64), discard=1500)
    assert np.mean(periods(output[0, :, 0].numpy(), 0.02)) == pytest.approx(period, abs=2e-4)


@pytest.mark.parametrize("angle", [0.1, 1.0, 3.0])
def test_a_pendulum_without_friction_has_the_period_of_an_elliptic_integral(angle):
    system = Pendulum(frequency=2.0, damping=0.0, dt=0.01).double()
    x = torch.zeros(1, 4000, 1, dtype=torch.float64)
    output = simulate(system, 4000, FlowState(doubles([angle, 0.0])), x)[0]
    period = 4 * ellipk(math.sin(angle / 2) ** 2) / 2.0
    assert np.mean(periods(output[:, 0].numpy(), 0.01)) == pytest.approx(period, rel=1e-4)
    energy = output[:, 1] ** 2 / 2 - 4.0 * output[:, 0].cos()
    torch.testing.assert_close(energy, torch.full_like(energy, -4.0 * math.cos(angle)), atol=1e-6, rtol=0)


def test_a_pendulum_hangs_where_the_torque_holds_it():
    x = torch.full((1, 4000, 1), 0.5, dtype=torch.float64)
    output = simulate(Pendulum().double(), 4000, x=x)[0, -1]
    torch.testing.assert_close(output, doubles(math.asin(0.5), 0.0), atol=1e-9, rtol=0)


def test_duffing_rests_in_its_wells():
    for place in (1.0, -1.0):
        output = simulate(Duffing(gamma=0.0).double(), 2000, FlowState(doubles([place + 0.1, 0.0, 0.0])))
        assert float(output[0, -1, 0]) == pytest.approx(place, abs=1e-6)


def test_a_linear_duffing_oscillates_as_in_the_textbook():
    """β = 0: the amplitude of x is γ / √((α − ω²)² + δ² ω²)."""
    system = Duffing(delta=0.3, alpha=1.0, beta=0.0, gamma=0.5, omega=1.2).double()
    amplitude = float(simulate(system, 1000, discard=1500)[0, :, 0].abs().max())
    assert amplitude == pytest.approx(0.5 / math.hypot(1 - 1.44, 0.36), rel=1e-3)


def test_the_phase_of_duffing_stays_in_a_turn():
    phase = simulate(Duffing().double(), 500)[0, :, 2]
    assert 0 <= phase.min() < 0.1 and 6.2 < phase.max() < 2 * math.pi


def test_the_exponents_of_rossler_are_the_published_ones():
    """Sprott (2003), Chaos and time-series analysis: 0.0714, 0 and −5.3943."""
    system = Rossler().double()
    rows = torch.arange(80)
    turns = simulate(system, 120, near(system, 80), discard=800)[rows, rows * 120 // 80]  # not all in the same phase
    found = lyapunov_spectrum(system, state=FlowState(turns), steps=4000, burn_in=1500, dt=system.dt).exponents
    np.testing.assert_allclose(found, [0.0714, 0.0, -5.3943], atol=0.012)


def test_the_exponents_of_duffing_sum_to_its_friction():
    """One of them is 0, that of the phase; another is positive: it is chaotic."""
    system = Duffing().double()
    found = lyapunov_spectrum(system, state=near(system, 10), steps=3000, burn_in=1000, dt=system.dt).exponents
    assert float(found.sum()) == pytest.approx(-0.3, abs=1e-4)
    assert float(found[0]) > 0.05 and abs(float(found[1])) < 0.005


# The salamander


DRIVES = [(d, d) for d in (0.5, 1.0, 2.0, 3.0, 3.2, 4.0, 5.0, 5.5)] + [(4.2, 3.8), (3.8, 4.2), (4.8, 3.2), (3.2, 4.8)]


@pytest.fixture(scope="module")
def gait():
    """By the drives of both sides, after 30 s: frequencies (20,), lags of the left side, amplitudes, mean angle."""
    x = torch.tensor(DRIVES, dtype=torch.float64)[:, None].expand(-1, 1500, 2)
    ran = scan(Salamander(dt=0.02).double(), x, record=lambda x, before, output, after: after.h)
    found = {}
    for drives, recorded, angles in zip(DRIVES, ran.record, ran.output, strict=True):
        phase, amplitude, _ = oscillators(recorded)
        lags = ((phase[-1, :7] - phase[-1, 1:8]) / (2 * math.pi) + 0.5) % 1 - 0.5
        frequency = (phase[-1] - phase[-251]) / (10 * math.pi)
        found[drives] = frequency, lags, amplitude[-1, [0, 16]], float(angles[-250:, :8].mean())
    return found


GAITS = {
    1.0: (0.200, [0.029, 0.016, 0.061, 0.345, 0.067, 0.018, 0.028], [0.261, 0.262]),
    2.0: (0.400, [0.024, 0.012, 0.054, 0.369, 0.057, 0.013, 0.024], [0.326, 0.393]),
    3.0: (0.600, [0.022, 0.010, 0.050, 0.382, 0.052, 0.011, 0.022], [0.391, 0.524]),
    3.2: (0.940, [0.125] * 7, [0.404, 0.0]),
    4.0: (1.100, [0.125] * 7, [0.456, 0.0]),
    5.0: (1.300, [0.125] * 7, [0.521, 0.0]),
}
"""By drive: the frequency in Hz, the lags from head to tail in cycles, and both amplitudes."""


@pytest.mark.parametrize("drive", GAITS)
def test_the_salamander_walks_and_swims_as_published(drive, gait):
    frequency, lags, amplitudes = GAITS[drive]
    found = gait[drive, drive]
    torch.testing.assert_close(found[0][:16], torch.full((16,), frequency).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(found[1], doubles(*lags), atol=2e-3, rtol=0)
    torch.testing.assert_close(found[2], doubles(*amplitudes), atol=2e-3, rtol=0)
    if drive <= 3:
        torch.testing.assert_close(found[0][16:], found[0][:4], atol=1e-3, rtol=0)  # limbs keep time with the body


@pytest.mark.parametrize("drive", [0.5, 5.5])
def test_outside_its_range_the_salamander_rests(drive, gait):
    frequency, _, amplitudes, angle = gait[drive, drive]
    assert float(frequency.abs().max()) < 1e-6 and float(amplitudes.abs().max()) < 1e-6 and abs(angle) < 1e-6


@pytest.mark.parametrize(("left", "right", "hertz", "shift"), [(4.2, 3.8, 1.101, 0.026), (4.8, 3.2, 1.118, 0.104)])
def test_the_salamander_turns_to_the_side_that_is_driven_more(left, right, hertz, shift, gait):
    frequency, _, _, angle = gait[left, right]
    assert float(frequency[0]) == pytest.approx(hertz, abs=1e-3)
    assert float(frequency[8]) == pytest.approx(hertz, abs=1e-3)  # both sides are locked
    assert angle == pytest.approx(shift, abs=2e-3)
    assert gait[right, left][3] == pytest.approx(-shift, abs=2e-3)


def test_swimming_is_linear_of_order_two():
    """The Hankel matrix of the body's angles has rank 2 in a steady gait."""
    system = Salamander(dt=0.02).double()
    angles = simulate(system, 400, x=torch.full((1, 1900, 2), 4.0).double(), discard=1500)[0, :, :8]
    hankel = torch.cat([angles[k : k + 300] for k in range(20)], 1)
    sizes = torch.linalg.svdvals(hankel)
    assert float(sizes[2] / sizes[1]) < 1e-3


# Lorenz system


def test_lorenz_rests_at_its_fixed_point():
    side = math.sqrt(8 / 3 * 27)
    start = doubles([side, side, 27.0])
    torch.testing.assert_close(simulate(Lorenz().double(), 5, LorenzState(start))[0, -1], start[0])


# Mackey–Glass equation


def mackey_glass_reference(time, start=1.25, tau=17.0):
    """The method of steps: on each stretch of length τ the delayed value is a known function."""
    past, end = lambda t: np.array([start]), start
    for begin in np.arange(0, time, tau):
        stop = min(begin + tau, time)
        solution = solve_ivp(
            lambda t, h, past=past: 0.2 * past(t - tau) / (1 + past(t - tau) ** 10) - 0.1 * h,
            (begin, stop),
            [end],
            method="DOP853",
            rtol=1e-10,
            atol=1e-12,
            dense_output=True,
        )
        past, end = solution.sol, solution.y[0, -1]
    return end


def mackey_glass_error(dt, time):
    end = simulate(MackeyGlass(dt=dt).double(), round(time / dt))[0, -1, 0]
    return abs(float(end) - mackey_glass_reference(time))


def test_mackey_glass_agrees_with_the_method_of_steps():
    assert mackey_glass_error(1.0, 85.0) < 5e-3
    assert mackey_glass_error(0.1, 85.0) < 5e-5


def test_mackey_glass_converges_with_order_two():
    assert mackey_glass_error(0.5, 51.0) / mackey_glass_error(0.25, 51.0) == pytest.approx(4, rel=0.3)


def test_mackey_glass_register_shifts():
    system = MackeyGlass(tau=3.0)
    state = MackeyGlassState(torch.tensor([[0.4, 0.3, 0.2, 0.1]]))
    output, after = system(torch.zeros(1, 0), state)
    torch.testing.assert_close(after.past, torch.cat([output, torch.tensor([[0.4, 0.3, 0.2]])], dim=1))


def test_mackey_glass_stays_near_its_attractor():
    values = simulate(MackeyGlass(), 1000, discard=500)
    assert 0.2 < values.min() < 0.6 and 1.1 < values.max() < 1.4


@pytest.mark.parametrize(("tau", "dt"), [(17.0, 2.0), (0.5, 1.0), (17.0, 0.0), (math.nan, 1.0), (17.0, math.inf)])
def test_mackey_glass_wants_whole_steps(tau, dt):
    with pytest.raises(ValueError, match="whole number of steps"):
        MackeyGlass(tau=tau, dt=dt)


def test_mackey_glass_refuses_a_time_step_that_is_too_large():
    assert simulate(MackeyGlass(gamma=1.0, tau=2.7, dt=2.7), 500).isfinite().all()
    with pytest.raises(ValueError, match="dt=17.0 is too large for gamma=1.0: its decay is stable up to 2.7"):
        MackeyGlass(gamma=1.0, dt=17.0)


# Cascaded tanks


def voltage(value, steps):
    return hold(doubles([value]), steps)


def test_tanks_come_to_rest_where_the_closed_form_says():
    system, pump = CascadedTanks().double(), 2.5
    upper = (system.k4 * pump / system.k1) ** 2
    lower = (system.k2 / system.k3) ** 2 * upper
    state = scan(system, voltage(pump, 1000)).state
    torch.testing.assert_close(state.level, doubles([upper, lower]), atol=1e-6, rtol=0)


def test_tanks_agree_with_scipy_below_the_rim():
    system, pump, steps = CascadedTanks().double(), 3.2, 60

    def flow(_, level):
        upper, lower = np.sqrt(level)
        return [-0.06 * upper + 0.05 * pump, 0.035 * upper - 0.035 * lower]

    times = 4.0 * np.arange(1, steps + 1)
    exact = solve_ivp(flow, (0, times[-1]), [1.0, 3.0], t_eval=times, rtol=1e-10, atol=1e-12).y[1]
    output = simulate(system, steps, CascadedTanksState(doubles([1.0, 3.0])), voltage(pump, steps))
    np.testing.assert_allclose(output[0, :, 0].numpy(), exact, atol=2e-5)


def test_tanks_converge_with_order_four_below_the_rim():
    def end(dt):
        system, steps = CascadedTanks(dt=dt).double(), round(160 / dt)
        return scan(system, voltage(3.2, steps), CascadedTanksState(doubles([1.0, 3.0]))).state.level[0]

    reference, dts = end(0.1), np.array([8.0, 4.0, 2.0])
    errors = [float((end(dt) - reference).abs().max()) for dt in dts]
    assert 3.7 < np.polyfit(np.log(dts), np.log(errors), 1)[0] < 4.4


def test_tanks_lose_no_water_but_through_the_lower_outlet():
    """The volume, in units of k_2 x_1 + k_1 x_2, grows by what is pumped in and shrinks by what runs out."""
    system = CascadedTanks(overflow=1.0, maximum=8.0, k3=0.05, dt=0.4).double()
    levels = scan(system, voltage(4.5, 1000), record=lambda x, before, output, after: after.level).record[0]
    assert (levels[:, 0] == 8.0).any() and levels[:, 1].max() < 8.0
    volume = system.k2 * levels[:, 0] + system.k1 * levels[:, 1]
    outflow = system.k1 * system.k3 * (levels[1:, 1].sqrt() + levels[:-1, 1].sqrt()) / 2  # trapezium rule
    gained = system.dt * (system.k2 * system.k4 * 4.5 - outflow)
    torch.testing.assert_close(volume.diff(), gained, atol=5e-6, rtol=0)  # 3e-3 is pumped in a step


def test_tanks_overflow_at_the_rim():
    system = CascadedTanks(k3=0.05, overflow=0.5, dt=0.5).double()
    pump = 4.2
    levels = scan(system, voltage(pump, 3000)).state.level[0]
    spilled = system.k4 * pump - system.k1 * math.sqrt(10)
    into_lower = system.k2 * math.sqrt(10) + 0.5 * system.k2 / system.k1 * spilled
    assert levels[0] == 10.0
    assert float(levels[1]) == pytest.approx((into_lower / system.k3) ** 2, rel=1e-3)


def test_tanks_run_dry_with_finite_gradients():
    system = CascadedTanks().double()
    pump = voltage(0.0, 60).clone().requires_grad_()
    level = doubles([0.5, 0.0]).requires_grad_()
    output, state = scan(system, pump, CascadedTanksState(level))[:2]
    (output.sum() + state.level.sum()).backward()
    assert (state.level == 0).all()
    assert pump.grad.isfinite().all() and level.grad.isfinite().all()


@pytest.mark.parametrize("wrong", [{"k1": math.nan}, {"maximum": -1.0}, {"dt": math.inf}, {"overflow": 1.5}])
def test_tanks_refuse_impossible_constants(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CascadedTanks(**wrong)

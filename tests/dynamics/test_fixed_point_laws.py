"""Laws of fixed points over whole families of cells: a root is near, it can be reached, and no root is missing.

Roots are refined in extended precision, where it is one, with the equations written out in numpy.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqdyn.autoregression import OwnPast
from seqdyn.cells.echo_state import EchoState
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Stack
from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.dynamics.held import Field, held_input
from seqdyn.dynamics.newton import newton_roots
from seqdyn.dynamics.region import Box, span, state_bounds
from seqdyn.systems.henon import Henon
from seqdyn.systems.logistic import Logistic
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.pendulum import Pendulum
from seqdyn.systems.van_der_pol import VanDerPol
from tests.dynamics.test_certificate import candidate_gap, memory_gap, numbers, roots
from tests.dynamics.test_equilibria import Given, seeded

INFINITY = math.inf


def wide(cell, seed, size):
    """A cell with normal weights of this size."""
    generator = seeded(seed)
    cell = cell.double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(size * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return cell


FAMILIES = {
    "tanh": lambda n: Elman(1, n),
    "sigmoid": lambda n: Elman(1, n, activation="sigmoid"),
    "relu": lambda n: Elman(1, n, activation="relu"),
    "reset after": lambda n: GRU(1, n),
    "reset before": lambda n: GRU(1, n, reset_gate="before"),
    "lstm": lambda n: LSTM(1, n),
}
BOUNDS = {  # of h
    "tanh": (-1, 1),
    "sigmoid": (0, 1),
    "relu": (-INFINITY, INFINITY),
    "reset after": (-1, 1),
    "reset before": (-1, 1),
    "lstm": (-1, 1),
}


def sigma(a):
    return 1 / (1 + np.exp(-a))


def step(name, cell, state):
    """f(0, h) of rows, in the precision of the rows."""
    weight, bias = (numbers(own).astype(state.dtype) for own in (cell.recurrent_weight, cell.bias))
    if name in ("tanh", "sigmoid", "relu"):
        activation = {"tanh": np.tanh, "sigmoid": sigma, "relu": lambda a: np.maximum(a, 0)}[name]
        return activation(state @ weight.T + bias)
    n = cell.hidden_size
    h = state[:, :n]
    if name == "lstm":
        i, f, g, o = np.split(h @ weight.T + bias, 4, axis=1)
        c = sigma(f) * state[:, n:] + sigma(i) * np.tanh(g)
        return np.concatenate([sigma(o) * np.tanh(c), c], axis=1)
    r, z = (sigma(h @ weight[rows].T + bias[rows]) for rows in (slice(0, n), slice(n, 2 * n)))
    inner = (r * h) @ weight[2 * n :].T if name == "reset before" else r * (h @ weight[2 * n :].T + _inner(cell, h))
    return (1 - z) * np.tanh(bias[2 * n :] + inner) + z * h


def _inner(cell, h):
    return numbers(cell.recurrent_bias).astype(h.dtype)


def refined(name, cell, points):
    """Where Newton's method goes from here in extended precision, and the last step it took."""
    h = points.numpy().astype(np.longdouble)
    field = Field(cell, held_input(cell, None))
    for _ in range(60):
        slope = field.slope(torch.from_numpy(h.astype(np.float64))).numpy()
        move = np.linalg.solve(slope, (step(name, cell, h) - h)[:, :, None].astype(np.float64))[:, :, 0]
        h = h - move
    return h.astype(np.float64), np.abs(move).max(1)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("size", [1.0, 3.0, 8.0])
def test_every_fixed_point_is_near_a_root_and_can_be_reached(name, size):
    """Newton's method, in extended precision, moves an isolated one by less than its certificate says, and ends."""
    low, high = BOUNDS[name]
    count = 0
    for seed in range(4):
        n = seed + 2
        cell = wide(FAMILIES[name](n), seed, size / math.sqrt(n) if name == "relu" else size)
        found = fixed_points(cell, starts=128, seed=seed)
        assert (found.points[:, :n] >= low).all() and (found.points[:, :n] <= high).all()
        own = found.points[found.isolated]
        bound = 1e-6 * (1 + own.abs().amax(1).numpy())
        assert (found.newton_step[found.isolated].numpy() <= bound).all()
        root, last = refined(name, cell, own)
        moved = np.abs(root - own.numpy()).max(1)
        assert (moved <= bound).all() and (last <= 1e-3 * bound).all()
        assert (moved <= 2 * found.newton_step[found.isolated].numpy() + 0.1 * bound).all()
        count += len(own)
    assert count >= (1 if name == "relu" or size == 8 else 3)


@pytest.mark.parametrize(
    ("system", "count"),
    [(Henon(), 2), (Logistic(3.2), 2), (Logistic(0.5), 2), (Lorenz(), 3), (VanDerPol(), None), (Pendulum(), None)],
    ids=lambda value: type(value).__name__,
)
def test_every_fixed_point_of_a_system_stays(system, count):
    found = fixed_points(system)
    field = Field(system, held_input(system, None))
    assert found.isolated.all() and (count is None or len(found) == count)
    h = found.points
    for _ in range(20):
        h = h - torch.linalg.solve(field.slope(h), field.gap(h).unsqueeze(2)).squeeze(2)
    size = 1 + found.points.abs().amax(1)
    assert ((h - found.points).abs().amax(1) <= 1e-6 * size).all() and (
        field.gap(h).abs().amax(1) <= 1e-13 * size
    ).all()


@pytest.mark.parametrize("reset_gate", ["after", "before"])
def test_no_root_of_a_gru_is_missed(reset_gate):
    """Gates of N(0, 9) hold most units nearly always; the roots are those of the equation without gates."""
    for seed in range(2, 6):
        cell = wide(GRU(1, 6, reset_gate=reset_gate), seed, 3.0)
        expected = roots(candidate_gap(cell), 6, 100)
        found = fixed_points(cell, starts=256)
        points = numbers(found.points[found.isolated])
        assert len(points) == len(expected) >= 1
        assert max(np.abs(points - each).max(1).min() for each in expected) < 1e-6


def test_no_root_of_an_lstm_is_missed():
    for seed in range(4):
        cell = wide(LSTM(1, 2), seed, 3.0)
        gap = memory_gap(cell)
        expected = roots(lambda state, gap=gap: gap(state[None])[0], 4, 100)
        found = fixed_points(cell, starts=256)
        points = numbers(found.points[found.isolated])
        assert len(expected) and max(np.abs(points - each).max(1).min() for each in expected) < 1e-6


@pytest.mark.parametrize("kept", [0.0, 1 - 1e-4, 1 - 1e-8])
def test_newton_does_not_know_the_gate(kept):
    """h ← z h + (1 − z) tanh 2h: from anywhere to one of three roots, however little is let through."""
    cell = Given(3, lambda h: kept * h + (1 - kept) * torch.tanh(2 * h))
    begin = 2 * torch.rand(200, 3, generator=seeded(), dtype=torch.float64) - 1
    box = Box(-torch.ones(3).double(), torch.ones(3).double())
    ends = newton_roots(Field(cell, held_input(cell, None)), begin, box, 100)
    known = torch.tensor([-0.9575040240772688, 0.0, 0.9575040240772688], dtype=torch.float64)
    arrived = (ends.unsqueeze(2) - known).abs().amin(2).amax(1) < 1e-6
    assert arrived.double().mean() > 0.9


def test_points_that_are_far_apart_are_all_found():
    """h ← h + h (1 − h²)(4 − h²)(−1)/10 maps (−1, 1) to itself, and has points at ±2."""
    found = fixed_points(Given(1, lambda h: h - h * (h**2 - 1) * (h**2 - 4) / 10))
    assert sorted(round(value, 9) for value in found.points[:, 0].tolist()) == [-2.0, -1.0, 0.0, 1.0, 2.0]


def test_what_an_integrator_holds_is_a_line_of_marginal_points():
    """h ← h + x, and a second unit that forgets: every h₁ stays, and none is isolated."""
    found = fixed_points(Given(2, lambda h: h * torch.tensor([1.0, 0.5]).to(h), input_size=1), starts=64)
    assert len(found) > 10 and set(found.kinds) == {"marginal"} and not found.isolated.any()
    assert not found.stable.any() and not found.slow.any() and (found.newton_step < 1e-9).all()
    assert found.points[:, 1].abs().max() < 1e-9


def holding(kind, units, bias, closed=None):
    """A gated cell of which all weights are N(0, 1/4), and that holds its first unit by this bias."""
    cell = wide(kind(1, units), 3, 0.5)
    with torch.no_grad():
        if kind is GRU:
            cell.recurrent_bias.zero_()
        cell.bias.zero_()
        cell.bias[units] = bias
        if closed is not None:
            cell.bias[0] = closed
    return cell


INPUTS = {"alone": None, "driven": torch.randn(2, 40, 1, generator=seeded()).double(), "zeros": torch.zeros(1, 9, 1)}


@pytest.mark.parametrize("driven", INPUTS)
@pytest.mark.parametrize("units", [1, 3])
def test_a_unit_that_a_gate_holds_makes_a_line(units, driven):
    """z = 1, or f = 1 with i = 0, to all digits: every state of the unit is fixed, and no start arrives nowhere."""
    for cell in (holding(GRU, units, 40.0), holding(LSTM, units, 40.0, closed=-800.0)):
        found = fixed_points(cell, INPUTS[driven], starts=64)
        held_unit = found.points[:, 0 if isinstance(cell, GRU) else units]
        assert set(found.kinds) == {"marginal"} and not found.isolated.any() and found.rejected <= 8
        assert len(found) > 20 and held_unit.min() < -0.4 and held_unit.max() > 0.4
        assert Field(cell, found.x[None]).gap(found.points).abs().max() <= 2e-10


@pytest.mark.parametrize("bias", [20.0, 24.0, 28.0, 32.0])
def test_a_root_that_rounding_blurs_is_found_all_the_same(bias):
    """1 − z = e^−b: what little is let through leads Newton's method to n(h) = h, which is 0 without a bias."""
    found = fixed_points(holding(GRU, 3, bias), starts=64)
    assert "marginal" in found.kinds and found.points[0].abs().max() < 1e-3 and found.share[0] > 0.5


@pytest.mark.parametrize("units", [1, 2])
def test_every_state_of_a_relu_that_copies_is_fixed(units):
    """h ← max(h, 0): what is above 0 stays, and 0 itself stands at the edge of it, no node."""
    cell = wide(Elman(1, units, activation="relu"), 0, 0.0)
    with torch.no_grad():
        cell.recurrent_weight.copy_(torch.eye(units))
        cell.input_weight.fill_(1.0)
    found = fixed_points(cell, starts=64)
    assert set(found.kinds) == {"marginal"} and found.rejected == 0 and not found.stable.any()


@pytest.mark.parametrize(
    ("size", "kind"), [(0.5, "stable node"), (1.0, "marginal"), (1.3, "marginal"), (-0.5, "stable node")]
)
def test_at_a_kink_all_sides_are_asked(size, kind):
    """h ← max(a h, 0) at 0: the slope is 0 on one side and a on the other."""
    found = fixed_points(Given(1, lambda h: torch.relu(size * h)), starts=torch.tensor([[0.0]]))
    assert found.points.tolist() == [[0.0]] and found.kinds == [kind]


def test_tanh_with_the_identity_rests_at_0_under_any_trajectory():
    """h ← tanh h: I − J is singular at 0, also where the trajectory never leaves it."""
    cell = wide(Elman(1, 3), 0, 0.0)
    with torch.no_grad():
        cell.recurrent_weight.copy_(torch.eye(3))
    for x in INPUTS.values():
        found = fixed_points(cell, x, starts=64)
        assert set(found.kinds) == {"marginal"} and found.rejected == 0 and found.points.abs().max() < 1e-3


def test_a_line_goes_on_outside_of_one():
    """h ← h, without an input: nothing pulls it in, and points below −1 and above 1 are as good as any."""
    found = fixed_points(Given(1, lambda h: h))
    assert found.points.min() < -1 and found.points.max() > 1 and set(found.kinds) == {"marginal"}


def test_a_state_from_outside_opens_no_way():
    """A GRU that is started at 5 and holds it to all digits: there is no fixed point of it outside (−1, 1)."""
    cell = wide(GRU(1, 3), 0, 0.0)
    with torch.no_grad():
        cell.bias[3:6] = 60.0
    start = type(cell.initial_state(1))(torch.full((1, 3), 5.0).double())
    found = fixed_points(cell, torch.zeros(1, 20, 1).double(), starts=64, state=start)
    assert (found.points.abs() <= 1).all()


def test_a_given_trajectory_bounds_a_line():
    """Under inputs that push h to 3 at most, no point of the line lies further away."""
    cell = Given(1, lambda h: h, input_size=1)
    found = fixed_points(cell, torch.tensor([[1.0], [1.0], [1.0], [-3.0]])[None], starts=64, noise=3.0)
    assert len(found) > 5 and found.points.min() >= -1e-5 and found.points.max() <= 3 + 1e-5


@pytest.mark.parametrize(
    ("cell", "low", "high"),
    [
        *((make(3), [BOUNDS[name][0]] * 3, [BOUNDS[name][1]] * 3) for name, make in FAMILIES.items() if name != "lstm"),
        (LSTM(1, 2), [-1, -1, -INFINITY, -INFINITY], [1, 1, INFINITY, INFINITY]),
        (EchoState(1, 3, leak=0.3), [-1] * 3, [1] * 3),
        (Linear(1, 2), [-INFINITY] * 2, [INFINITY] * 2),
        (Stack([GRU(1, 2), Elman(2, 1, activation="relu")]), [-1, -1, -INFINITY], [1, 1, INFINITY]),
        (OwnPast(Readout(GRU(1, 2), 1)), [-1, -1, -INFINITY], [1, 1, INFINITY]),
        (Henon(), [-INFINITY] * 2, [INFINITY] * 2),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("size", [0.5, 2.0])
def test_bounds_of_a_state(cell, low, high, size):
    for seed in range(10):
        if list(cell.parameters()):
            wide(cell, seed, size)
        box = state_bounds(Field(cell, held_input(cell, None)), seeded(seed))
        assert box.low.tolist() == low and box.high.tolist() == high


def test_a_start_outside_is_no_bound():
    """1 bounds no state that begins at 5."""
    cell = Given(1, torch.tanh)
    cell.start.fill_(5.0)
    assert state_bounds(Field(cell, held_input(cell, None)), seeded()).high.tolist() == [INFINITY]


def test_what_is_drawn_lies_inside():
    box = Box(torch.tensor([-1.0, 0.0, -INFINITY]).double(), torch.tensor([1.0, 1.0, INFINITY]).double())
    drawn = box.draw(1000, seeded())
    assert box.contains(drawn).all() and drawn[:, 2].min() < -1 and 0 <= drawn[:, 1].min() < 0.01
    assert drawn[:, 0].std() == pytest.approx(1 / math.sqrt(3), abs=0.03) and torch.equal(box.clamp(drawn), drawn)
    assert box.contains(torch.tensor([[1.1, 0.0, 0.0], [0.0, -0.1, 0.0]])).tolist() == [False, False]
    assert not span(torch.zeros(0, 2)).contains(torch.zeros(1, 2)).any() and span(drawn).contains(drawn).all()

"""Certified fixed points: gates that hold make every state slow, and only the roots of the gateless equations count.

A GRU rests where its candidate is its state, n(h) = h, whatever its update gate does; an LSTM where c = i g / (1 − f).
Both are solved here without the gate, in numpy.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import root
from scipy.special import expit

from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.dynamics.certificate import certified, contracts, newton_steps, unresolved
from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.loops import scan
from seqdyn.state import flatten, hold
from tests.dynamics.test_equilibria import Given, seeded


def large(kind, units, seed, size=2.5, **arguments):
    """A cell whose weights are far larger than training starts with."""
    generator = seeded(seed)
    cell = kind(1, units, generator=generator, **arguments).double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(size * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return cell


def numbers(tensor):
    return tensor.detach().numpy()


def candidate_gap(cell):
    """n(h) − h of a GRU under an input of 0."""
    units, weight, bias = cell.hidden_size, numbers(cell.recurrent_weight), numbers(cell.bias)

    def gap(h):
        reset = expit(h @ weight[:units].T + bias[:units])
        if cell.reset_gate == "before":
            return np.tanh(bias[2 * units :] + (reset * h) @ weight[2 * units :].T) - h
        inner = h @ weight[2 * units :].T + numbers(cell.recurrent_bias)
        return np.tanh(bias[2 * units :] + reset * inner) - h

    return gap


def let_through(cell, h):
    """1 − z, to all digits."""
    place = slice(cell.hidden_size, 2 * cell.hidden_size)
    return expit(-(h @ numbers(cell.recurrent_weight)[place].T + numbers(cell.bias)[place]))


def memory_gap(cell):
    """(o tanh c − h, i g / (1 − f) − c) of an LSTM under an input of 0, with 1 − f = σ(−a)."""
    units = cell.hidden_size

    def gap(state):
        h, c = state[:, :units], state[:, units:]
        sums = np.split(h @ numbers(cell.recurrent_weight).T + numbers(cell.bias), 4, axis=1)
        i, left, g, o = expit(sums[0]), expit(-sums[1]), np.tanh(sums[2]), expit(sums[3])
        return np.concatenate([o * np.tanh(c) - h, i * g / left - c], axis=1)

    return gap


def roots(gap, units, starts=300):
    """All roots in the box (−1, 1)ⁿ that Powell's method finds from random starts."""
    found = []
    for start in np.random.default_rng(0).uniform(-1, 1, (starts, units)):
        solution = root(gap, start, tol=1e-13)
        here = solution.x
        if np.abs(gap(here)).max() < 1e-11 and all(np.abs(here - other).max() > 1e-5 for other in found):
            found.append(here)
    return np.array(found)


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_all_points_of_a_small_gru_and_no_others(units, seed):
    cell = large(GRU, units, seed)
    with torch.no_grad():  # so that many of them have several points
        cell.recurrent_weight[2 * units :] += 3 * torch.eye(units)
    expected = roots(candidate_gap(cell), units)
    found = fixed_points(cell, starts=512)
    points = numbers(found.points[~found.slow])
    assert len(points) == len(expected) >= 1
    assert max(np.abs(points - each).max(1).min() for each in expected) < 1e-6


@pytest.mark.parametrize("size", [2.5, 10.0])
@pytest.mark.parametrize("reset_gate", ["after", "before"])
def test_no_point_of_a_gru_lies_outside(reset_gate, size):
    """Far out z is 1 to all digits, and nothing moves at all. Inside, too, a unit may move by rounding alone."""
    for seed in range(6):
        cell = large(GRU, 6, seed, size, reset_gate=reset_gate)
        found = fixed_points(cell, starts=256)
        assert len(found) == 0 or found.points.abs().max() <= 1 + 1e-6
        points = numbers(found.points[~found.slow])
        away = np.abs(candidate_gap(cell)(points)) > 2e-6 * 20 * size  # n(h) − h is up to its slope times the distance
        moved = let_through(cell, points) * np.abs(candidate_gap(cell)(points))
        assert moved[away].max(initial=0.0) < 32 * 8 * 2.3e-16 * 2  # so many roundings, of 1 + |h|
        assert (found.newton_step[~found.slow] <= 2e-6).all()


def test_points_of_an_lstm_with_large_weights():
    """c = i g / (1 − f) is hundreds where the forget gate is near 1, and these points are as good as any."""
    largest = 0.0
    for seed in range(8):
        cell = large(LSTM, 3, seed)
        found = fixed_points(cell, starts=256)
        points = numbers(found.points[~found.slow])
        gap = np.abs(memory_gap(cell)(points)).max(1)
        assert (gap <= 1e-5 * (1 + np.abs(points).max(1))).all()
        largest = max(largest, np.abs(points).max(initial=0.0))
    assert largest > 20


def test_points_of_an_elman_network_with_large_weights():
    for seed in range(8):
        cell = large(Elman, 6, seed)
        found = fixed_points(cell, starts=256)
        points = numbers(found.points[~found.slow])
        moved = np.tanh(points @ numbers(cell.recurrent_weight).T + numbers(cell.bias))
        assert np.abs(moved - points).max(initial=0.0) < 1e-9
        assert not found.slow.any() or found.speed[found.slow].min() > 1e-9


def test_stable_points_attract():
    """Long iteration, from a little beside every stable point, comes back to it."""
    cell = large(GRU, 4, 16)
    found = fixed_points(cell, starts=512)
    stable = found.points[found.stable]
    assert len(stable) == 3
    beside = stable + 1e-3 * torch.randn(stable.shape, generator=seeded(), dtype=torch.float64)
    after = scan(cell, hold(torch.zeros(len(stable), 1).double(), 5000), type(cell.initial_state(1))(beside)).state
    torch.testing.assert_close(flatten(after), stable, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kept", [0.0, 0.9, 1 - 1e-3, 1 - 1e-6])
def test_the_step_does_not_know_the_gate(kept):
    """h ← z h + (1 − z) tanh 2h, at 0.5: Newton's step is that of tanh 2h − h, −0.2616 / −0.1602."""
    h = torch.full((1, 1), 0.5).double()
    target = float(torch.tanh(torch.tensor(1.0).double()))
    gap = torch.tensor([[(1 - kept) * (target - 0.5)]], dtype=torch.float64)
    jacobian = torch.tensor([[[1 + (1 - kept) * (2 * (1 - target**2) - 1)]]], dtype=torch.float64)
    expected = (target - 0.5) / (1 - 2 * (1 - target**2))
    assert float(newton_steps(h, gap, jacobian)) == pytest.approx(expected, rel=1e-6)


def test_a_slope_of_nothing():
    """No slope and no gap: a line of fixed points, known by nothing. No slope and a gap: nothing near, inf."""
    h, flat = torch.zeros(2, 2).double(), torch.eye(2).double().expand(2, 2, 2)
    steps = newton_steps(h, torch.tensor([[0.0, 0.0], [1e-9, 0.0]]).double(), flat)
    assert steps.tolist() == [0.0, float("inf")] and unresolved(h, flat).all()
    assert certified(h, steps).tolist() == [True, False]


@pytest.mark.parametrize("held", [1e-2, 1e-6, 1e-10])
def test_a_ghost_behind_a_gate_is_no_ghost(held):
    """h ← h + s (1 + h²): q is least at 0 and as small as s, but in the time 1/s of this unit it moves by 1."""
    unit = Given(2, lambda h: torch.stack([h[:, 0] + held * (1 + h[:, 0] ** 2), 0.5 * h[:, 1]], 1))
    grid = torch.cartesian_prod(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12))
    assert not len(fixed_points(unit, starts=grid))


@pytest.mark.parametrize("ghost", [1e-13, 1e-12, 1e-10])
def test_a_short_step_that_leads_nowhere_is_no_fixed_point(ghost):
    """h ← h + h² + ε moves by less than the tolerance at 0, and Newton's step from √ε is √ε; it has no fixed point."""
    found = fixed_points(Given(1, lambda h: h + h**2 + ghost), starts=torch.linspace(-1, 1, 50)[:, None])
    assert found.slow.all() and not found.isolated.any()


def test_a_saddle_node_is_a_fixed_point():
    """h ← h + h², a double root, of which Newton's method halves the distance at every step."""
    found = fixed_points(Given(1, lambda h: h + h**2))
    assert len(found) == 1 and not found.slow.any() and abs(float(found.points[0, 0])) < 1e-6


@pytest.mark.parametrize("function", [torch.tanh, lambda h: h - h**3], ids=["tanh", "h³"])
def test_a_fixed_point_that_is_about_to_split_is_marginal(function):
    """Pitchforks, at 0, where I − J is singular."""
    found = fixed_points(Given(1, function))
    assert found.kinds == ["marginal"] and abs(float(found.points[0, 0])) < 1e-4
    assert not found.isolated.any() and not found.stable.any()


def test_kantorovich_is_not_asked_of_rounding():
    """At a root both steps are rounding; beside it the second is far shorter, at a double root a quarter."""
    h = torch.tensor([[1.0], [1.001], [2.001]], dtype=torch.float64)

    def gap(h):
        return torch.where(h < 1.5, h**2 - 1, (h - 2) ** 2)

    jacobian = 1 + torch.where(h < 1.5, 2 * h, 2 * (h - 2))
    assert contracts(gap, h, gap(h), jacobian.unsqueeze(2)).all()
    assert not contracts(lambda h: gap(h) + 1e-5, h, gap(h) + 1e-5, jacobian.unsqueeze(2))[2]


@pytest.mark.parametrize("held", [1.0, 1e-2, 1e-4])
def test_a_ghost_keeps_its_place_at_any_pace(held):
    """h ← h + s (1e-3 + h²) has the ghost of a saddle-node at 0, in whatever time."""
    unit = Given(1, lambda h: h + held * (1e-3 + h**2))
    found = fixed_points(unit, starts=torch.linspace(-1, 1, 50)[:, None])
    assert found.kinds == ["slow"] and abs(float(found.points[0, 0])) < 1e-4
    assert float(found.speed[0]) == pytest.approx(1e-3 * held, rel=1e-6) and float(found.newton_step[0]) > 1

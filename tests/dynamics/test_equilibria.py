"""Fixed and slow points of any cell: kinds, starts, what is refused, and that nothing is changed."""

from __future__ import annotations

import math

import pytest
import torch

from seqdyn.autoregression import OwnPast
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Stack
from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.dynamics.trajectory import jacobians
from seqdyn.loops import scan
from seqdyn.state import flatten, hold
from seqdyn.systems.logistic import Logistic
from tests.dynamics.unchanged import unchanged


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Given(Cell):
    """h ← function(h), (batch, n), written by a user without a closed form."""

    def __init__(self, size, function, input_size=0):
        super().__init__(input_size, size)
        self.function = function
        self.register_buffer("start", torch.zeros(size))

    def initial_state(self, batch):
        return {"h": self.start.expand(batch, -1)}

    def forward(self, x, state):
        h = self.function(state["h"]) + x.sum(1, keepdim=True)
        return h, {"h": h}


def linear_map(matrix):
    own = torch.tensor(matrix, dtype=torch.float64)
    return Given(len(matrix), lambda h: h @ own.to(h).T)


def rotation(size, angle=0.5):
    return [[size * math.cos(angle), -size * math.sin(angle)], [size * math.sin(angle), size * math.cos(angle)]]


@pytest.mark.parametrize(
    ("matrix", "kind", "stable", "index"),
    [
        ([[0.5, 0.0], [0.0, 0.2]], "stable node", True, 0),
        (rotation(0.9), "stable spiral", True, 0),
        ([[1.5, 0.0], [0.0, 0.2]], "saddle", False, 1),
        ([[1.5, 0.0], [0.0, 2.0]], "unstable node", False, 2),
        ([[-1.5, 0.0], [0.0, 0.2]], "flip", False, 1),
        (rotation(1.1), "Neimark–Sacker", False, 2),
        (rotation(1.0), "marginal", False, 0),
        ([[-0.5, 0.0], [0.0, 0.2]], "stable node", True, 0),
    ],
)
def test_kinds(matrix, kind, stable, index):
    """The boundary is the unit circle: −1.5 is unstable though it lies far below the line Re λ = 1."""
    found = fixed_points(linear_map(matrix), starts=8)
    assert len(found) == 1 and found.points.abs().max() < 1e-12
    assert found.kinds == [kind] and found.stable.tolist() == [stable] and found.index.tolist() == [index]


def test_time_constants():
    found = fixed_points(linear_map([[0.5, 0.0], [0.0, 0.0]]), starts=8)
    assert found.time_constants[0].tolist() == pytest.approx([1 / math.log(2), 0.0])
    assert fixed_points(linear_map([[2.0]]), starts=8).time_constants[0, 0] == pytest.approx(-1 / math.log(2))
    assert fixed_points(linear_map([[-1.0]]), starts=8).time_constants[0, 0] == math.inf


def test_logistic_points_in_closed_form():
    found = fixed_points(Logistic(3.2))
    assert sorted(found.points[:, 0].tolist()) == pytest.approx([0.0, 1 - 1 / 3.2], abs=1e-12)
    assert sorted(found.eigenvalues[:, 0].real.tolist()) == pytest.approx([2 - 3.2, 3.2], abs=1e-12)


def test_the_held_input_moves_the_point():
    cell = Linear(2, 3, generator=seeded()).double()
    x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = fixed_points(cell, x)
    expected = torch.linalg.solve(torch.eye(3).double() - cell.transition, cell.input_map @ x).detach()
    torch.testing.assert_close(found.points[0], expected)
    assert len(found) == 1 and found.share.tolist() == [1.0] and torch.equal(found.x, x)
    driven = fixed_points(cell, torch.stack([x - 1, x + 1])[None].expand(2, -1, -1))
    torch.testing.assert_close(driven.points, found.points)
    zero = fixed_points(cell)
    assert zero.points.abs().max() < 1e-14


@pytest.mark.parametrize(
    "cell",
    [
        Elman(2, 8, generator=seeded()),
        LSTM(2, 8, generator=seeded()),
        GRU(2, 8, reset_gate="before", generator=seeded()),
        Stack([GRU(2, 4, generator=seeded()), Readout(LSTM(4, 3, generator=seeded()), 2, generator=seeded())]),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_a_fixed_point_stays_where_it_is(cell):
    x = torch.randn(2, 50, 2, generator=seeded())
    with unchanged(cell):
        found = fixed_points(cell, x)
    assert len(found) and not found.slow.all() and found.speed[~found.slow].max() < 1e-10
    own = cell.double()
    state = found.states(own)
    held = hold(found.x.expand(len(found), -1), 1)
    torch.testing.assert_close(flatten(scan(own, held, state).state), found.points, atol=1e-9, rtol=0)
    radius = torch.linalg.eigvals(jacobians(own, held, state)[:, 0]).abs().amax(1)
    torch.testing.assert_close(found.eigenvalues[:, 0].abs(), radius)


def test_states_are_the_cells_own():
    cell = LSTM(2, 3, generator=seeded())
    found = fixed_points(cell, torch.ones(2))
    state = found.states(cell)
    assert state.h.dtype == torch.float32 and state.c.shape == (len(found), 3)


def test_a_ghost_is_slow():
    """h ← h + h² + ε has no fixed point; q is least at 0, where the speed is ε."""
    found = fixed_points(Given(1, lambda h: h + h**2 + 1e-3), starts=torch.linspace(-1, 1, 50)[:, None])
    assert found.kinds == ["slow"] and found.slow.tolist() == [True] and found.stable.tolist() == [False]
    assert float(found.speed[0]) == pytest.approx(1e-3, rel=1e-9) and abs(float(found.points[0, 0])) < 1e-5
    assert float(found.eigenvalues[0, 0].real) == pytest.approx(1.0, abs=1e-5)


def test_no_point_is_an_empty_result():
    found = fixed_points(Given(2, lambda h: h + 1.0), starts=20)
    assert len(found) == 0 and found.rejected == found.starts == 20
    assert found.eigenvalues.shape == (0, 2) and found.kinds == [] and found.points.shape == (0, 2)
    assert found.stable.shape == found.share.shape == found.index.shape == (0,)
    assert len(flatten(found.states(Given(2, lambda h: h)))) == 0


def test_a_line_of_fixed_points_is_marginal():
    found = fixed_points(linear_map([[1.0, 0.0], [0.0, 0.5]]), starts=64)
    assert len(found) > 10 and set(found.kinds) == {"marginal"} and found.points[:, 1].abs().max() < 1e-9


@pytest.mark.parametrize("width", [2, 40])
def test_tolerances_do_not_depend_on_the_width(width):
    """Copies of one unit beside each other: what is fixed for one is fixed for all."""
    start = torch.full((1, width), 0.8)
    found = fixed_points(Given(width, lambda h: torch.tanh(2 * h)), starts=start)
    assert not found.slow.any() and (found.points - 0.9575040240772688).abs().max() < 1e-14
    close = fixed_points(Given(width, lambda h: torch.tanh(2 * h)), starts=torch.cat([start, start + 1e-3]))
    assert len(close) == 1 and close.share.tolist() == [1.0]


def test_starts_end_where_they_belong():
    starts = torch.tensor([[-1.0], [-0.9], [0.01], [0.8], [1.2]])
    found = fixed_points(Given(1, lambda h: torch.tanh(2 * h)), starts=starts)
    shares = dict(zip(found.points[:, 0].round(decimals=3).tolist(), found.share.tolist(), strict=True))
    assert shares == pytest.approx({-0.958: 0.4, 0.0: 0.2, 0.958: 0.4})
    assert found.starts == 5 and found.rejected == 0


def test_the_fixed_points_of_a_closed_loop():
    cell = Linear(1, 1).double()
    with torch.no_grad():
        for weight, value in zip(cell.parameters(), (0.5, 0.1, 0.25, 0.5), strict=True):
            weight.fill_(value)
    found = fixed_points(OwnPast(cell))
    assert len(found) == 1 and found.points.abs().max() < 1e-12
    moduli = torch.linalg.eigvals(torch.tensor([[0.5, 0.25], [0.1, 0.5]], dtype=torch.float64)).abs()
    assert sorted(found.eigenvalues[0].abs().tolist()) == pytest.approx(sorted(moduli.tolist()))


def test_the_seed_decides():
    cell = Elman(2, 6, generator=seeded())
    one, same, other = (fixed_points(cell, starts=16, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.points, same.points)
    assert len(other) >= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fixed_points(Elman(2, 3), torch.zeros(3)), r"x must be a tensor \(2,\)"),
        (lambda: fixed_points(Elman(2, 3), torch.full((2,), math.nan)), "x holds nan at feature 0"),
        (lambda: fixed_points(Elman(2, 3), starts=0), "starts must be an int of at least 1"),
        (lambda: fixed_points(Elman(2, 3), starts=torch.zeros(5, 2)), r"\(m, 3\), Elman's flattened states"),
        (lambda: fixed_points(Elman(2, 3), tolerance=0.0), "tolerance must be positive"),
        (lambda: fixed_points(Elman(2, 3), noise=-1.0), "noise must be at least 0"),
    ],
)
def test_bad_input_is_told_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()

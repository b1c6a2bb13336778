"""State Jacobians against differences, closed forms and products that are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import seqdyn.dynamics
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU, GRUState
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.composition import Offset, Readout, Residual, Stack
from seqdyn.dynamics.derivatives import autodiff_jacobian, record_jacobian
from seqdyn.loops import scan
from seqdyn.state import flatten, unflatten
from tests.laws.cells import LAW_TABLE, Entry, prepare
from tests.laws.laws import close, some_state


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


SMOOTH = [entry for entry in LAW_TABLE if not any(kind in entry.name for kind in ("relu", "window 1", "beam"))]
"""Not where a step has corners, or where a state of -1e9 leaves a difference no digits."""


@pytest.mark.parametrize("entry", SMOOTH, ids=lambda entry: entry.name)
def test_against_central_differences(entry: Entry) -> None:
    """Column k of J is (f(h + ε e_k) − f(h − ε e_k)) / 2ε, for the recorded and the differentiated Jacobian."""
    cell, x = prepare(entry, batch=3, time=1)
    before = some_state(cell, 3)
    vector = flatten(before)

    def after(value: Tensor) -> Tensor:
        return flatten(scan(cell, x, unflatten(value, before)).state)

    epsilon, columns = 1e-5, []
    for k in range(vector.shape[1]):
        nudge = torch.zeros_like(vector)
        nudge[:, k] = epsilon
        columns.append((after(vector + nudge) - after(vector - nudge)) / (2 * epsilon))
    expected = torch.stack(columns, 2)
    recorded = scan(cell, x, before, record=record_jacobian(cell)).record
    close(recorded[:, 0], expected, "recorded Jacobian", tolerance=1e-8)
    first = scan(cell, x, before, record=lambda x, b, output, a: autodiff_jacobian(cell, x, b)).record
    close(first[:, 0], expected, "differentiated Jacobian", tolerance=1e-8)


CLOSED = {
    "moving average": lambda: MovingAverage(3, window=4),
    "exponential average": lambda: ExponentialMovingAverage(3, learned=True),
    "linear": lambda: Linear(3, 4),
    "elman": lambda: Elman(3, 4),
    "lstm": lambda: LSTM(3, 4),
    "lstm, peepholes": lambda: LSTM(3, 4, peepholes=True),
    "gru, after": lambda: GRU(3, 4),
    "gru, before": lambda: GRU(3, 4, reset_gate="before"),
    "readout": lambda: Readout(LSTM(3, 4), 2),
    "residual": lambda: Residual(GRU(3, 3)),
    "offset": lambda: Offset(Linear(4, 3)),
    "stack": lambda: Stack([Elman(3, 4, output_size=5), GRU(5, 2), Readout(Linear(2, 4, output_size=2), 3)]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_are_there(name: str) -> None:
    """Cells with a closed form use it: were it missing, every law about it would pass unseen."""
    cell, x = CLOSED[name]().double(), randn(2, 3)
    before = cell.initial_state(2)
    output, after = cell(x, before)
    size = flatten(before).shape[1]
    assert cell.jacobian(x, before, output, after).shape == (2, size, size)
    shapes = [tuple(part.shape[1:]) for part in cell.block(x, before, output, after)]
    outputs = output.shape[1]
    assert shapes == [(outputs, 3), (outputs, size), (size, 3), (size, size)]


def test_the_linear_model_is_a_power() -> None:
    """P_{s,t} = D^{t-s}."""
    cell = Linear(2, 4, generator=seeded()).double()
    record = scan(cell, randn(1, 6, 2), record=record_jacobian(cell)).record[0]
    product = torch.linalg.multi_dot(list(record.flip(0)))
    close(product, torch.linalg.matrix_power(cell.transition, 6), "product")


def test_the_newest_factor_stands_on_the_left() -> None:
    """J_t … J_1 is the derivative, J_1 … J_t is not: the order cannot be mixed up unseen."""
    cell, x, h = Elman(2, 3, generator=seeded()).double(), randn(1, 4, 2), randn(1, 3)
    with torch.no_grad():
        cell.recurrent_weight.copy_(randn(3, 3, seed=5))
    state = type(cell.initial_state(1))
    record = scan(cell, x, state(h), record=record_jacobian(cell)).record[0]
    whole = torch.autograd.functional.jacobian(lambda h: scan(cell, x, state(h)).state.h[0], h)[:, 0]
    close(torch.linalg.multi_dot(list(record.flip(0))), whole, "newest on the left", tolerance=1e-10)
    assert (torch.linalg.multi_dot(list(record)) - whole).abs().max() > 1e-3


def test_averages() -> None:
    """The exponential average forgets by γ a step; a window of K forgets everything after K − 1 steps."""
    slow = ExponentialMovingAverage(2, gamma=0.9).double()
    close(
        scan(slow, randn(1, 3, 2), record=record_jacobian(slow)).record,
        0.9 * torch.eye(2).expand(1, 3, 2, 2).double(),
        "γ",
    )
    window = MovingAverage(2, window=4).double()
    shift = scan(window, randn(1, 1, 2), record=record_jacobian(window)).record[0, 0]
    assert torch.linalg.matrix_power(shift, 2).any() and not torch.linalg.matrix_power(shift, 3).any()


def test_the_lstm_is_twice_as_wide() -> None:
    """The state is (h, c). Without peepholes ∂c/∂c is the forget gate, and ∂h/∂c is o (1 − tanh² c) f."""
    cell = LSTM(3, 4, generator=seeded()).double()
    start = some_state(cell, 2)

    def keep(x: Tensor, before: object, output: Tensor, after: object) -> tuple:
        return record_jacobian(cell)(x, before, output, after), cell.gates(x, before, output, after), after

    J, gates, after = scan(cell, randn(2, 5, 3), start, record=keep).record
    assert J.shape == (2, 5, 8, 8)
    close(J[..., 4:, 4:], torch.diag_embed(gates["forget"]), "∂c/∂c")
    slope = gates["output"] * (1 - torch.tanh(after.c) ** 2) * gates["forget"]
    close(J[..., :4, 4:], torch.diag_embed(slope), "∂h/∂c")


def test_a_closed_gru_keeps_its_state() -> None:
    """Where z = 1 nothing changes, J = 1; where z = 0 and r = 0 the memory has no influence, J = 0."""
    cell = GRU(2, 3, generator=seeded()).double()
    with torch.no_grad():
        cell.bias[3:6] = 60.0
    kept = scan(cell, randn(1, 4, 2), GRUState(randn(1, 3)), record=record_jacobian(cell)).record
    close(kept, torch.eye(3).double().expand(1, 4, 3, 3), "kept")
    with torch.no_grad():
        cell.bias[:6] = -60.0
    lost = scan(cell, randn(1, 4, 2), GRUState(randn(1, 3)), record=record_jacobian(cell)).record
    close(lost, torch.zeros(1, 4, 3, 3).double(), "lost")


class Square(Cell):
    """h_t = h_{t-1}² + x_t, with a state of shape (batch, 2, 2) and no closed form."""

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (torch.full((batch, 2, 2), 0.5),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = state[0] @ state[0] + x.view(-1, 2, 2)
        return h.flatten(1), (h,)


def test_a_users_cell_is_differentiated() -> None:
    """Without a closed form: d(H H) = dH H + H dH, over the flattened state."""
    cell, H = Square(4, 4), torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.5, 0.0], [1.0, -1.0]]])
    record = scan(cell, torch.zeros(2, 1, 4), (H,), record=record_jacobian(cell)).record[:, 0]
    for row in range(2):
        expected = torch.kron(torch.eye(2), H[row].T.contiguous()) + torch.kron(H[row], torch.eye(2))
        close(record[row], expected, "derivative of a matrix product")


@pytest.mark.parametrize("name", ["elman", "lstm, peepholes", "gru, after", "gru, before"])
def test_a_penalty_on_jacobians_can_be_trained(name: str) -> None:
    """Gradients of the recorded Jacobians by the weights: closed form and differentiation agree, and are not zero."""
    cell, x = CLOSED[name]().double(), randn(2, 3, 3)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.4, generator=seeded(len(parameter)))
    weights = list(cell.parameters())
    slopes = []
    for record in (record_jacobian(cell), lambda x, before, output, after: autodiff_jacobian(cell, x, before)):
        penalty = (scan(cell, x, record=record).record ** 2).sum()
        slopes.append(torch.autograd.grad(penalty, weights))
    close(slopes[0], slopes[1], "gradient of the penalty", tolerance=1e-10)
    assert all(slope.abs().max() > 0 for slope in slopes[0])


def test_jacobians_do_not_disturb_training() -> None:
    """Recorded along a scan under autograd, they change no output; without autograd they are the same."""
    cell, x = Stack([GRU(3, 2, generator=seeded()), LSTM(2, 2, generator=seeded(1))]).double(), randn(2, 4, 3)
    seen = scan(cell, x, record=record_jacobian(cell))
    close(seen.output, scan(cell, x).output, "output")
    with torch.no_grad():
        close(scan(cell, x, record=record_jacobian(cell)).record, seen.record.detach(), "without autograd")
    assert seen.record.shape == (2, 4, 6, 6)


@pytest.mark.parametrize(
    "old, new", [("jacobian", "record_jacobian"), ("block", "record_block"), ("measured", "float64_copy")]
)
def test_former_names_warn_for_one_release(old: str, new: str) -> None:
    """They do what their successors do."""
    cell = GRU(2, 3)
    with pytest.warns(FutureWarning, match=f"{old} is now called {new}"):
        former = getattr(seqdyn.dynamics, old)(cell)
    assert type(former) is type(getattr(seqdyn.dynamics, new)(cell))

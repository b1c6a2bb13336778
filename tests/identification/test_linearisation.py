"""Cells and fitted models as linear systems: tangents of the real thing, in its units, and asking changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import lfilter

import seqdyn
from seqdyn import (
    GRU,
    LSTM,
    ARXRegressor,
    Autoregression,
    Elman,
    ElmanRegressor,
    ExponentialMovingAverageRegressor,
    GRUClassifier,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    MovingAverageRegressor,
    Stack,
)
from seqdyn.cell import Cell
from seqdyn.encoder import Encoder
from seqdyn.estimators.linearise import linearise
from seqdyn.identification.linearisation import linearised_along, linearised_at
from seqdyn.identification.system import LinearSystem
from seqdyn.loops import scan
from seqdyn.state import flatten, leaves, map_leaves, unflatten
from tests.laws.cells import LAW_TABLE, Entry, prepare

Array = np.ndarray[Any, Any]


def drawn(cell: Cell, scale: float = 0.4, seed: int = 0) -> Cell:
    """The cell in float64 with all parameters drawn."""
    generator = torch.Generator().manual_seed(seed)
    cell = cell.double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(0.0, scale, generator=generator)
    return cell


CELLS = {
    "elman": lambda: drawn(Elman(2, 5)),
    "gru": lambda: drawn(GRU(2, 5)),
    "gru, reset before": lambda: drawn(GRU(2, 5, reset_gate="before")),
    "lstm": lambda: drawn(LSTM(2, 5, peepholes=True)),
    "stack": lambda: drawn(seqdyn.Readout(Stack([GRU(2, 4), LSTM(4, 3)]), 2)),
}


@pytest.fixture(params=list(CELLS))
def cell(request: pytest.FixtureRequest) -> Cell:
    return CELLS[request.param]()


def stepped(cell: Cell, x: Array, h: Array) -> tuple[Array, Array]:
    """One step of the real cell from a flat state."""
    with torch.no_grad():
        output, after = cell(torch.as_tensor(x)[None], unflatten(torch.as_tensor(h)[None], cell.initial_state(1)))
    return output[0].numpy(), flatten(after)[0].numpy()


# --- one point --------------------------------------------------------------------------------------------------------


def test_the_tangent_touches_the_cell(cell: Cell) -> None:
    """At (x*, h*), which need not be at rest, it gives exactly y* and f(x*, h*)."""
    draw = np.random.default_rng(0)
    x, h = draw.normal(size=2), 0.5 * draw.normal(size=flatten(cell.initial_state(1)).shape[1])
    system = linearised_at(cell, x, unflatten(torch.as_tensor(h)[None], cell.initial_state(1)))
    for found, expected in zip(system.simulate(x[None], h), stepped(cell, x, h), strict=True):
        np.testing.assert_allclose(found.reshape(-1), expected, atol=1e-14)


def test_the_matrices_are_finite_differences(cell: Cell) -> None:
    draw = np.random.default_rng(1)
    x, h = draw.normal(size=2), 0.5 * draw.normal(size=flatten(cell.initial_state(1)).shape[1])
    system = linearised_at(cell, x, unflatten(torch.as_tensor(h)[None], cell.initial_state(1)))
    small = 1e-6
    for i, unit in enumerate(np.eye(2) * small):
        up, down = stepped(cell, x + unit, h), stepped(cell, x - unit, h)
        np.testing.assert_allclose(system.feedthrough[:, i], (up[0] - down[0]) / (2 * small), atol=1e-8)
        np.testing.assert_allclose(system.input_map[:, i], (up[1] - down[1]) / (2 * small), atol=1e-8)
    for i, unit in enumerate(np.eye(len(h)) * small):
        up, down = stepped(cell, x, h + unit), stepped(cell, x, h - unit)
        np.testing.assert_allclose(system.readout[:, i], (up[0] - down[0]) / (2 * small), atol=1e-8)
        np.testing.assert_allclose(system.transition[:, i], (up[1] - down[1]) / (2 * small), atol=1e-8)


def test_small_deviations_from_rest_are_predicted_to_first_order(cell: Cell) -> None:
    """Ten times smaller, the error is a hundred times smaller."""
    x = np.array([0.4, -0.3])
    system = linearised_at(cell, x)
    rest = system.steady_state(x)
    np.testing.assert_allclose(stepped(cell, x, rest)[1], rest, atol=1e-13)
    wiggle = np.random.default_rng(2).normal(size=(30, 2))
    start = unflatten(torch.as_tensor(rest)[None], cell.initial_state(1))
    errors = []
    for size in (1e-1, 1e-2, 1e-3):
        driven = x + size * wiggle
        with torch.no_grad():
            truth = scan(cell, torch.as_tensor(driven)[None], start).output[0].numpy()
        errors.append(np.abs(system.simulate(driven, rest)[0] - truth).max())
    assert errors[0] > 1e-6
    assert 50 < errors[0] / errors[1] < 200 and 50 < errors[1] / errors[2] < 200


def test_a_linear_cell_is_its_own_tangent() -> None:
    linear = drawn(seqdyn.Linear(2, 4, 3), 0.3)
    system = linearised_at(linear, [5.0, -2.0])
    for name in ("feedthrough", "readout", "input_map", "transition"):
        np.testing.assert_allclose(getattr(system, name), getattr(linear, name).detach().numpy(), atol=1e-14)
    np.testing.assert_allclose(system.output_offset, 0, atol=1e-12)
    np.testing.assert_allclose(system.state_offset, 0, atol=1e-12)


def test_the_jacobian_is_the_cells_own() -> None:
    """The closed form that the dynamics instruments use; an LSTM's state is [h; c]."""
    lstm = drawn(LSTM(2, 4))
    x, state = torch.randn(1, 2, dtype=torch.float64), map_leaves(torch.randn_like, lstm.initial_state(1))
    output, after = lstm(x, state)
    own = seqdyn.record_jacobian(lstm)(x, state, output, after)[0].detach().numpy()
    np.testing.assert_allclose(linearised_at(lstm, x[0].numpy(), state).transition, own, atol=1e-12)


def between_rows(cell: Cell) -> bool:
    """Whether it takes a row of numbers and gives one."""
    return len(cell.input_shape or ()) == len(cell.output_shape or ()) == 1


@pytest.mark.parametrize(
    "entry",
    [entry for entry in LAW_TABLE if entry.inputs.__name__ == "plain" and between_rows(entry.build(None))],
    ids=lambda entry: entry.name,
)
def test_every_cell_can_be_linearised_along_a_trajectory(entry: Entry) -> None:
    """One after the other the systems give the trajectory itself."""
    cell, x = prepare(entry, batch=1, time=7)
    cell.eval()
    with torch.no_grad():
        expected = scan(cell, x).output[0].flatten(1).numpy()
    start = cell.initial_state(1)
    h = flatten(start)[0].detach().double().numpy() if leaves(start) else np.zeros(0)
    systems, found = linearised_along(cell, x[0].numpy()), []
    for row, system in zip(x[0].numpy(), systems, strict=True):
        y, h = system.simulate(row[None], h)
        found.append(y[0])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_along_is_about_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = drawn(LSTM(2, 3))
    x = np.random.default_rng(0).normal(size=(6, 2))
    whole = linearised_along(cell, x)
    monkeypatch.setattr("seqdyn.identification.linearisation.DERIVATIVES_AT_ONCE", 1)  # one row in one go
    pieces = linearised_along(cell, x)
    state = cell.initial_state(1)
    for row, one, other in zip(x, whole, pieces, strict=True):
        alone = linearised_at(cell, row, state)
        for name in ("feedthrough", "readout", "input_map", "transition", "output_offset", "state_offset"):
            np.testing.assert_allclose(getattr(one, name), getattr(alone, name), atol=1e-12)
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)
        with torch.no_grad():
            state = cell(torch.as_tensor(row)[None], state)[1]


def test_nothing_changes_by_asking() -> None:
    cell = GRU(2, 4).train()
    cell.input_weight.grad = torch.ones_like(cell.input_weight)
    before, random = copy.deepcopy(cell.state_dict()), torch.random.get_rng_state()
    linearised_at(cell, [0.1, 0.2])
    linearised_along(cell, np.zeros((3, 2)))
    assert cell.training and cell.input_weight.dtype == torch.float32 and cell.input_weight.requires_grad
    assert torch.equal(cell.input_weight.grad, torch.ones_like(cell.input_weight))
    assert all(torch.equal(before[name], value) for name, value in cell.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())


class Moody(Elman):
    """Steps otherwise in training, as a user's cell with torch's own dropout does."""

    def forward(self, x: Any, state: Any) -> Any:
        return super().forward(torch.zeros_like(x) if self.training else x, state)


def test_it_is_the_model_in_evaluation_that_is_measured() -> None:
    cell = drawn(Moody(2, 3)).train()
    assert linearised_at(cell, [0.1, 0.2]).feedthrough.any() and cell.training


# --- the point of rest ------------------------------------------------------------------------------------------------


def one_neuron(recurrent: float, bias: float = 0.0) -> Elman:
    """h_t = tanh(x_t + u h_{t-1} + b)."""
    cell = Elman(1, 1)
    for name, weight in cell.named_parameters():
        torch.nn.init.constant_(weight, {"input_weight": 1.0, "recurrent_weight": recurrent, "bias": bias}[name])
    return cell


@pytest.mark.parametrize("x", [-2.0, 0.0, 0.5])
def test_the_point_of_rest_in_closed_form(x: float) -> None:
    """h = tanh(x + 0.5 h), and the pole there is 0.5 (1 − h²)."""
    system = linearised_at(one_neuron(0.5), [x])
    h = system.steady_state([x])
    np.testing.assert_allclose(h, np.tanh(x + 0.5 * h), atol=1e-14)
    np.testing.assert_allclose(system.poles(), 0.5 * (1 - h**2), atol=1e-13)


def test_the_point_of_rest_is_the_one_the_start_leads_to() -> None:
    """u = 2 has rest points near ±0.96 and at 0, which is unstable; a bias decides."""
    for bias in (0.1, -0.1):
        h = linearised_at(one_neuron(2.0, bias), [0.0]).steady_state([0.0])
        assert h[0] * bias > 0 and abs(h[0]) > 0.9
    assert linearised_at(one_neuron(2.0), [0.0]).poles().real == 2.0  # starting on it, one stays


def test_a_very_slow_cell_is_polished() -> None:
    """A memory of 10⁴ steps is not at rest after 10⁴ steps, but Newton's method is."""
    average = seqdyn.ExponentialMovingAverage(1, gamma=0.9999).double()
    np.testing.assert_allclose(linearised_at(average, [3.0]).steady_state([3.0]), [3.0], rtol=1e-9)
    np.testing.assert_allclose(linearised_at(average, [3.0]).poles(), [0.9999])


def test_states_that_do_not_settle() -> None:
    with pytest.raises(
        ValueError, match=r"the state does not settle.*still changes by .* oscillates, drifts or grows.*state="
    ):
        linearised_at(one_neuron(-3.0, 0.1), [0.0])  # flips from step to step
    adder = drawn(seqdyn.Linear(1, 1))
    with torch.no_grad():
        adder.transition.fill_(1.0)
        adder.input_map.fill_(1.0)
    with pytest.raises(ValueError, match="does not settle"):
        linearised_at(adder, [1.0])  # drifts
    with torch.no_grad():
        adder.transition.fill_(1.2)
    with pytest.raises(ValueError, match="does not settle"):
        linearised_at(adder, [1.0])  # grows beyond all numbers
    np.testing.assert_allclose(linearised_at(adder, [1.0], adder.initial_state(1)).poles(), [1.2])
    with torch.no_grad():
        adder.transition.fill_(1.0001)
    with pytest.raises(ValueError, match=r"does not stay at its only near point of rest \(spectral radius 1.0001\)"):
        linearised_at(adder, [1.0])  # grows so slowly that it looks settled


def test_bad_input() -> None:
    cell = GRU(2, 3)
    for x in ([1.0], [[1.0, 2.0]], [np.nan, 1.0]):
        with pytest.raises(ValueError, match=r"expected \(2,\): one finite number for each input of the cell"):
            linearised_at(cell, x)
    for x in (np.zeros(2), np.zeros((0, 2)), np.zeros((3, 1)), np.full((3, 2), np.inf)):
        with pytest.raises(ValueError, match=r"expected \(time, 2\)"):
            linearised_along(cell, x)
    for state in (LSTM(2, 3).initial_state(1), cell.initial_state(2)):
        with pytest.raises(ValueError, match="needs .*: one row"):
            linearised_at(cell, [0.0, 0.0], state)


# --- fitted models ----------------------------------------------------------------------------------------------------


def data(seed: int = 0, time: int = 300) -> tuple[Array, Array]:
    """Two inputs far from 0, one output far from 0, all in units of their own."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(time, 2)) * [3.0, 0.01] + [40.0, -2.0]
    u = (x - [40.0, -2.0]) / [3.0, 0.01]
    y = lfilter([0.0, 1.0], [1.0, -0.8], u[:, 0]) + lfilter([0.5], [1.0, 0.3], u[:, 1])
    return x, 1000.0 + 25.0 * y


def test_a_linear_model_is_its_own_linearisation() -> None:
    x, y = data()
    model = LinearStateSpaceRegressor(order=3, max_epochs=20, random_state=0, dtype="float64").fit(x, y)
    own = LinearSystem(
        model.feedthrough_,
        model.readout_,
        model.input_map_,
        model.transition_,
        model.output_offset_,
        model.state_offset_,
    )
    for system in (linearise(model), linearise(model, [55.0, -1.5]), linearise(model, x[:3])[2]):
        for name in ("feedthrough", "readout", "input_map", "transition", "output_offset", "state_offset"):
            np.testing.assert_allclose(getattr(system, name), getattr(own, name), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(system.poles(), own.poles(), atol=1e-10)
        np.testing.assert_allclose(
            system.frequency_response([0.0, 0.2]).response, own.frequency_response([0.0, 0.2]).response, rtol=1e-8
        )
    np.testing.assert_allclose(linearise(model).simulate(x)[0][:, 0], model.predict(x), rtol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        ARXRegressor(output_lags=2, input_lags=1),
        MovingAverageRegressor(window=4),
        ExponentialMovingAverageRegressor(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_other_linear_models_are_simulated_exactly(model: Any) -> None:
    x, y = data()
    model = model.fit(x, y)
    system = linearise(model)
    start = flatten(model.cell_.initial_state(1))[0].detach().numpy()
    np.testing.assert_allclose(system.simulate(x, start)[0][:, 0], model.predict(x), rtol=1e-5)


def test_arx_has_the_poles_of_its_polynomial() -> None:
    x, y = data()
    system = linearise(ARXRegressor(output_lags=2, input_lags=2).fit(x, y - 1000.0))
    np.testing.assert_allclose(sorted(system.poles().real[:2], key=abs), [-0.3, 0.8], atol=1e-6)


@pytest.mark.parametrize("estimator", [ElmanRegressor, GRURegressor, LSTMRegressor])
def test_a_fitted_network_near_a_point_in_units_of_the_data(estimator: Any) -> None:
    """Predictions around the operating point, to first order, from predict itself."""
    x, y = data()
    model = estimator(hidden_size=4, max_epochs=15, random_state=0, dtype="float64").fit(x, y)
    point = np.array([42.0, -2.005])
    system = linearise(model, point)
    rest = system.steady_state(point)
    wiggle = np.random.default_rng(1).normal(size=(25, 2)) * [3.0, 0.01]
    state = unflatten(torch.as_tensor(rest)[None], model.cell_.initial_state(1))
    errors = []
    for size in (1e-2, 1e-3):
        driven = point + size * wiggle
        truth = model.predict(driven, initial_state=state)
        errors.append(np.abs(system.simulate(driven, rest)[0][:, 0] - truth).max())
    assert 50 < errors[0] / errors[1] < 200


def test_a_trajectory_in_units_of_the_data() -> None:
    x, y = data(time=40)
    frame = pd.DataFrame(x, columns=["heat", "flow"])
    model = GRURegressor(hidden_size=4, max_epochs=3, random_state=0, dtype="float64").fit(frame, y)
    systems = linearise(model, frame, state=model.state_, dt=0.5)
    assert isinstance(systems, list) and len(systems) == 40 and systems[0].dt == 0.5
    h, found = flatten(model.state_)[0].numpy(), []
    for row, system in zip(x, systems, strict=True):
        value, h = system.simulate(row[None], h)
        found.append(value[0, 0])
    np.testing.assert_allclose(found, model.predict(frame, initial_state=model.state_), rtol=1e-9)
    with pytest.raises(ValueError, match="feature names"):
        linearise(model, frame[["flow", "heat"]])


@pytest.mark.parametrize("loss", ["quantile", "gaussian"])
def test_losses_of_several_outputs_count_with_their_point_prediction(loss: str) -> None:
    x, y = data()
    model = ElmanRegressor(hidden_size=3, loss=loss, max_epochs=3, random_state=0, dtype="float64").fit(x, y)
    systems = linearise(model, x[:20])
    h, found = np.zeros(3), []
    for row, system in zip(x, systems, strict=False):
        value, h = system.simulate(row[None], h)
        found.append(value[0, 0])
    assert systems[0].outputs == 1
    np.testing.assert_allclose(found, model.predict(x)[:20], rtol=1e-9)


def test_a_network_trained_on_a_linear_system_has_its_bode() -> None:
    """Gain within 2 dB and phase within 10° at all frequencies; between them the gain itself falls by 19 dB."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 60, 1))
    y = lfilter([1.0], [1.0, -0.8], x, axis=1)
    model = GRURegressor(hidden_size=6, max_epochs=120, learning_rate=0.02, schedule="cosine", random_state=0)
    system = linearise(model.fit(x, y))
    at = np.geomspace(0.01, 0.5, 30)
    found = system.frequency_response(at).response.ravel()
    ratio = found * (1 - 0.8 * np.exp(-2j * np.pi * at))
    assert np.abs(20 * np.log10(np.abs(ratio))).max() < 2.0
    assert np.degrees(np.abs(np.angle(ratio))).max() < 10.0


def test_a_cell_is_taken_in_its_own_units() -> None:
    cell = drawn(GRU(2, 3))
    np.testing.assert_array_equal(linearise(cell).transition, linearised_at(cell, [0.0, 0.0]).transition)
    np.testing.assert_array_equal(linearise(cell, [1.0, 2.0]).transition, linearised_at(cell, [1.0, 2.0]).transition)
    assert len(linearise(cell, np.zeros((4, 2)))) == 4


def test_a_model_stays_as_it_is() -> None:
    x, y = data(time=50)
    model = GRURegressor(hidden_size=3, max_epochs=2, random_state=0).fit(x, y)
    before, attributes = model.predict(x), set(vars(model))
    linearise(model)
    linearise(model, x)
    np.testing.assert_array_equal(model.predict(x), before)
    assert set(vars(model)) == attributes and next(model.cell_.parameters()).dtype == torch.float32


def test_models_that_are_no_causal_system() -> None:
    x, y = data(time=30)
    quick: dict[str, Any] = {"hidden_size": 2, "max_epochs": 1, "random_state": 0}
    with pytest.raises(ValueError, match="linearise needs a causal model"):
        linearise(GRURegressor(bidirectional=True, **quick).fit(x, y))
    with pytest.raises(ValueError, match=r"output_lag=2 y_t is read after x_\{t\+2\}"):
        linearise(GRURegressor(output_lag=2, **quick).fit(x, y))
    with pytest.raises(ValueError, match="feeds its own past to itself"):
        linearise(GRURegressor(autoregression=Autoregression(), **quick).fit(np.column_stack([y, x]), y))
    classifier = GRUClassifier(**quick).fit(x, y > 1000)
    with pytest.raises(TypeError, match="does not predict numbers"):
        linearise(classifier)
    assert linearise(classifier.cell_).outputs == 2
    with pytest.raises(TypeError, match="fitted regressor of this library or a Cell, got Encoder"):
        linearise(Encoder([GRU(2, 2)]))
    with pytest.raises(ValueError, match="not fitted"):
        linearise(GRURegressor())


def test_points_that_do_not_fit() -> None:
    x, y = data(time=30)
    model = GRURegressor(hidden_size=2, max_epochs=1, random_state=0).fit(x, y)
    for bad in ([1.0], [np.nan, 1.0], np.zeros(30)):
        with pytest.raises(ValueError, match=r"expected \(2,\), all finite, for an operating input, or \(time, 2\)"):
            linearise(model, bad)
    with pytest.raises(ValueError, match="holds 2 series, expected one trajectory"):
        linearise(model, np.zeros((2, 5, 2)))
    with pytest.raises(ValueError, match="3 features"):
        linearise(model, np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"expected \(features,\)"):
        linearise(model.cell_, 3.0)


def test_a_cell_of_pictures_is_no_system() -> None:
    from seqdyn.cells.masked_window import MaskedWindow

    with pytest.raises(ValueError, match=r"MaskedWindow has output_shape=\(4, 3\): a system is between rows"):
        linearised_along(MaskedWindow(4, 3), np.zeros((5, 4)))

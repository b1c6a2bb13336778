"""The linear system as an object: its views, its conventions, its changes of coordinates and units, its runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import StateSpace, dlsim, dlti

from seqdyn.identification.system import BlockForm, ControlForm, LinearSystem

Array = np.ndarray[Any, Any]


def random_system(
    order: int = 4, inputs: int = 2, outputs: int = 3, seed: int = 0, radius: float = 0.9
) -> LinearSystem:
    """A stable system with offsets and a model of the noise."""
    draw = np.random.default_rng(seed)
    transition = draw.normal(size=(order, order))
    transition *= radius / np.abs(np.linalg.eigvals(transition)).max()
    return LinearSystem(
        draw.normal(size=(outputs, inputs)),
        draw.normal(size=(outputs, order)),
        draw.normal(size=(order, inputs)),
        transition,
        draw.normal(size=outputs),
        draw.normal(size=order),
        0.1 * draw.normal(size=(order, outputs)),
        np.diag(draw.uniform(1, 2, size=outputs)),
    )


def written_out(system: LinearSystem, x: Array, h: Array) -> tuple[Array, Array]:
    """The two equations, step by step."""
    found = []
    for row in x:
        found.append(system.feedthrough @ row + system.readout @ h + system.output_offset)
        h = system.input_map @ row + system.transition @ h + system.state_offset
    return np.array(found), h


def inputs_for(system: LinearSystem, time: int = 50, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=(time, system.inputs))


# --- views ------------------------------------------------------------------------------------------------------------


def test_block_and_control_form_are_one_matrix_with_rows_and_columns_swapped() -> None:
    """[A B; C D] = P_l [A_c B_c; C_c D_c] P_r with P_l = [0 I; I 0] and P_r = [0 I; I 0]."""
    system = random_system()
    block, control = system.as_block(), system.as_control()
    n, m, l = system.order, system.inputs, system.outputs
    left = np.block([[np.zeros((l, n)), np.eye(l)], [np.eye(n), np.zeros((n, l))]])
    right = np.block([[np.zeros((n, m)), np.eye(n)], [np.eye(m), np.zeros((m, n))]])
    of_control = np.block([[control.A, control.B], [control.C, control.D]])
    np.testing.assert_array_equal(np.block([[block.A, block.B], [block.C, block.D]]), left @ of_control @ right)
    assert (block.convention, control.convention) == ("block", "control")


def test_the_views_lead_back() -> None:
    system = random_system()
    for again in (
        LinearSystem.from_block(system.as_block()),
        LinearSystem.from_control(system.as_control()),
        LinearSystem.from_control(system.to_scipy()),
        LinearSystem.from_block(system.feedthrough, system.readout, system.input_map, system.transition),
    ):
        for name in ("feedthrough", "readout", "input_map", "transition"):
            np.testing.assert_array_equal(getattr(again, name), getattr(system, name))


def test_the_sampling_time_travels() -> None:
    system = LinearSystem.from_control([[0.5]], [[1.0]], [[1.0]], [[0.0]], dt=0.25)
    assert system.as_control().dt == system.to_scipy().dt == 0.25
    assert LinearSystem.from_control(system.to_scipy()).dt == 0.25
    assert LinearSystem.from_control(system.as_control()).dt == 0.25
    assert LinearSystem.from_control(dlti([1.0], [1.0, -0.5], dt=True)).dt == 1.0  # scipy's "no unit"


def test_a_transfer_function_of_scipy_becomes_a_system() -> None:
    system = LinearSystem.from_control(dlti([1.0, 0.2], [1.0, -1.1, 0.3], dt=1.0))
    np.testing.assert_allclose(np.sort(system.poles().real), [0.5, 0.6])
    np.testing.assert_allclose(system.zeros(), [-0.2], atol=1e-12)


def test_mixed_up_conventions_are_refused() -> None:
    system = random_system()
    with pytest.raises(TypeError, match="use from_block"):
        LinearSystem.from_control(system.as_block())
    with pytest.raises(TypeError, match="use from_control"):
        LinearSystem.from_block(system.as_control())
    for view in (system.as_block(), system.as_control()):
        with pytest.raises(TypeError):
            tuple(view)
    assert not isinstance(system.as_block(), ControlForm) and not isinstance(system.as_control(), BlockForm)
    assert not hasattr(system, "A")


def test_no_sample_is_shifted() -> None:
    """h_{-1} is control theory's x_0: scipy's simulation from it is the same, sample by sample."""
    system = random_system()
    x, h = inputs_for(system), np.arange(1.0, 5.0)
    bare = LinearSystem.from_block(system.as_block())
    _, expected, _ = dlsim(StateSpace(*control(system), dt=1.0), x, x0=h)
    np.testing.assert_allclose(bare.simulate(x, h)[0], expected, atol=1e-12)


def control(system: LinearSystem) -> tuple[Array, Array, Array, Array]:
    form = system.as_control()
    return form.A, form.B, form.C, form.D


# --- linear networks --------------------------------------------------------------------------------------------------


def test_from_rnn_is_a_linear_network() -> None:
    """torch's nn.RNN knows no linear activation; far from its kink ReLU is one."""
    torch.manual_seed(0)
    rnn, readout = torch.nn.RNN(2, 3, nonlinearity="relu", batch_first=True).double(), torch.nn.Linear(3, 2).double()
    with torch.no_grad():
        rnn.weight_hh_l0.mul_(0.3)
        rnn.bias_hh_l0.add_(100.0)
        x = torch.randn(1, 30, 2, dtype=torch.float64)
        states, _ = rnn(x)
        expected = readout(states)[0].numpy()
    assert (states > 0).all()
    weights = (value.detach().numpy() for value in (rnn.weight_ih_l0, rnn.weight_hh_l0, readout.weight))
    biases = (rnn.bias_ih_l0 + rnn.bias_hh_l0).detach().numpy(), readout.bias.detach().numpy()
    system = LinearSystem.from_rnn(*weights, *biases)
    y, h = system.simulate(x[0].numpy())
    np.testing.assert_allclose(y, expected, atol=1e-10)
    np.testing.assert_allclose(h, states[0, -1].numpy(), atol=1e-10)
    assert system.is_readout_form()


def test_readout_form_is_a_strict_subclass() -> None:
    assert not random_system().is_readout_form()
    delay = LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.0]])  # y_t = x_{t-1}: h_t = x_t does not tell
    assert not delay.is_readout_form()
    assert LinearSystem.from_rnn([[1.0]], [[0.5]], [[2.0]]).is_readout_form()


@pytest.mark.parametrize("seed", range(3))
def test_any_system_has_a_readout_form_with_as_many_states_more_as_outputs(seed: int) -> None:
    system = random_system(seed=seed)
    wider = system.as_readout_form()
    assert wider.is_readout_form() and wider.order == system.order + system.outputs
    x, h = inputs_for(system), np.ones(system.order)
    y, last = system.simulate(x, h)
    found, states = wider.simulate(x, np.concatenate([h, np.zeros(system.outputs)]))
    np.testing.assert_allclose(found, y, atol=1e-10)
    np.testing.assert_allclose(states, np.concatenate([last, y[-1]]), atol=1e-10)
    response = system.frequency_response([0.0, 0.1, 0.37])
    np.testing.assert_allclose(wider.frequency_response([0.0, 0.1, 0.37]).response, response.response, atol=1e-10)
    poles = wider.poles()
    np.testing.assert_allclose(poles[: system.order], system.poles(), atol=1e-8)
    np.testing.assert_allclose(np.abs(poles[system.order :]), 0, atol=1e-8)


# --- coordinates and units --------------------------------------------------------------------------------------------


def test_another_basis_changes_nothing_between_input_and_output() -> None:
    system = random_system()
    basis = np.random.default_rng(5).normal(size=(4, 4))
    other = system.in_basis(basis)
    x, h = inputs_for(system), np.arange(4.0)
    y, last = system.simulate(x, h)
    found, states = other.simulate(x, basis @ h)
    np.testing.assert_allclose(found, y, atol=1e-9)
    np.testing.assert_allclose(states, basis @ last, atol=1e-9)
    np.testing.assert_allclose(other.markov_parameters(8), system.markov_parameters(8), atol=1e-9)
    assert other.noise_gain is not None and system.noise_gain is not None
    np.testing.assert_allclose(other.readout @ other.noise_gain, system.readout @ system.noise_gain, atol=1e-9)
    assert np.abs(other.transition - system.transition).max() > 0.1


def test_units() -> None:
    system = random_system()
    m_x, s_x = np.array([3.0, -1.0]), np.array([2.0, 0.5])
    m_y, s_y = np.array([1.0, 20.0, -4.0]), np.array([0.1, 3.0, 7.0])
    physical = system.in_units(m_x, s_x, m_y, s_y)
    x = inputs_for(system)
    np.testing.assert_allclose(physical.simulate(x * s_x + m_x)[0], system.simulate(x)[0] * s_y + m_y, atol=1e-9)
    assert physical.noise_gain is not None and system.noise_gain is not None
    error = np.array([0.3, -0.2, 0.5])
    np.testing.assert_allclose(physical.noise_gain @ (error * s_y), system.noise_gain @ error, atol=1e-12)
    np.testing.assert_allclose(physical.noise_covariance, np.diag(s_y) @ system.noise_covariance @ np.diag(s_y))


def test_balanced_coordinates_are_balanced_and_change_nothing() -> None:
    system = random_system()
    balanced = system.balanced()
    sizes = system.hankel_singular_values()
    for gramian in balanced.gramians():
        np.testing.assert_allclose(gramian, np.diag(sizes), atol=1e-10 * sizes[0])
    np.testing.assert_allclose(balanced.markov_parameters(30), system.markov_parameters(30), atol=1e-10)
    assert balanced.order == system.order and balanced.noise_gain is not None and system.noise_gain is not None
    np.testing.assert_allclose(balanced.readout @ balanced.noise_gain, system.readout @ system.noise_gain, atol=1e-9)
    x = inputs_for(system)
    rest = system.steady_state(np.zeros(system.inputs))
    np.testing.assert_allclose(balanced.simulate(x)[0], system.simulate(x, rest)[0], atol=1e-9)


def test_balancing_leaves_out_what_is_not_reached_or_not_seen() -> None:
    """Three states that matter, one that the inputs do not reach, one that does not show; in a mixed basis."""
    core = random_system(order=3)
    transition = np.zeros((5, 5))
    transition[:3, :3], transition[3, 3], transition[4, 4] = core.transition, 0.8, -0.7
    transition[:3, 3], transition[4, :3] = 0.4, 0.3
    padded = LinearSystem(
        core.feedthrough,
        np.hstack([core.readout, np.ones((3, 1)), np.zeros((3, 1))]),
        np.vstack([core.input_map, np.zeros((1, 2)), np.ones((1, 2))]),
        transition,
        core.output_offset,
        np.ones(5),
        np.ones((5, 3)),
    ).in_basis(np.random.default_rng(3).normal(size=(5, 5)))
    balanced = padded.balanced()
    assert balanced.order == 3 and balanced.noise_gain is None
    np.testing.assert_allclose(balanced.markov_parameters(30), core.markov_parameters(30), atol=1e-9)
    np.testing.assert_allclose(padded.hankel_singular_values()[3:], 0, atol=1e-12)
    x = inputs_for(core)
    rest = padded.steady_state(np.zeros(2))
    np.testing.assert_allclose(balanced.simulate(x)[0], padded.simulate(x, rest)[0], atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_truncated_system_errs_by_at_most_twice_what_it_leaves_out(order: int) -> None:
    system = random_system(order=6, seed=2)
    short = system.balanced(order)
    grid = np.linspace(0, 0.5, 400)
    gap = system.frequency_response(grid).response - short.frequency_response(grid).response
    worst = np.linalg.norm(gap, 2, axis=(1, 2)).max()
    left_out = system.hankel_singular_values()[order:]
    assert left_out[0] <= worst <= 2 * left_out.sum() and short.order == order and short.is_stable()


def test_balancing_refuses() -> None:
    with pytest.raises(ValueError, match="need a stable system"):
        random_system(radius=1.0).balanced()
    with pytest.raises(ValueError, match="between 0 and the 4 states"):
        random_system().balanced(5)


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_run_is_the_two_equations() -> None:
    system = random_system()
    x, h = inputs_for(system), np.arange(1.0, 5.0)
    for found, expected in zip(system.simulate(x, h), written_out(system, x, h), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_halves_make_the_whole_and_series_do_not_talk() -> None:
    system = random_system()
    x = np.random.default_rng(0).normal(size=(3, 40, 2))
    whole, last = system.simulate(x)
    first, between = system.simulate(x[:, :13])
    second, end = system.simulate(x[:, 13:], between)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-10)
    np.testing.assert_allclose(end, last, atol=1e-10)
    np.testing.assert_allclose(system.simulate(x[1])[0], whole[1], atol=1e-10)


def test_a_system_without_states_or_inputs() -> None:
    gain = LinearSystem(np.array([[2.0]]), np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0)), np.array([1.0]))
    assert gain.simulate(np.ones((3, 1)))[0].ravel().tolist() == [3.0, 3.0, 3.0]
    assert gain.order == 0 and gain.is_stable()
    alone = LinearSystem(np.zeros((1, 0)), np.ones((1, 1)), np.zeros((1, 0)), np.array([[0.5]]))
    np.testing.assert_allclose(alone.simulate(np.zeros((3, 0)), np.array([4.0]))[0].ravel(), [4, 2, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"readout": np.ones((3, 2))}, "do not fit together"),
        ({"input_map": np.ones((2, 2))}, "do not fit together"),
        ({"transition": np.ones((4, 3))}, "do not fit together"),
        ({"transition": np.ones(4)}, r"shape \(4,\), expected a matrix"),
        ({"feedthrough": np.full((3, 2), np.nan)}, "feedthrough holds NaN"),
        ({"readout": None}, "readout is missing"),
        ({"output_offset": np.ones(2)}, r"output_offset has shape \(2,\), expected \(3,\)"),
        ({"state_offset": 1.0}, "state_offset has shape"),
        ({"dt": 0.0}, "dt must be a time above 0"),
        ({"dt": np.inf}, "dt must be a time above 0"),
    ],
)
def test_bad_matrices(change: dict[str, Any], message: str) -> None:
    own = random_system()
    names = ("feedthrough", "readout", "input_map", "transition")
    with pytest.raises(ValueError, match=message):
        LinearSystem(**({name: getattr(own, name) for name in names} | change))


def test_bad_input() -> None:
    system = random_system()
    for x in (np.zeros(5), np.zeros((5, 3)), np.zeros((2, 5, 3))):
        with pytest.raises(ValueError, match=r"expected \(time, 2\)"):
            system.simulate(x)
    with pytest.raises(ValueError, match="do not fit together"):
        LinearSystem.from_rnn(np.ones((3, 2)), np.ones((3, 3)), np.ones((1, 4)))


# --- names and the unit of time ---------------------------------------------------------------------------------------


def test_names_and_the_unit_of_time_travel() -> None:
    system = replace(random_system(), dt=0.5, time_unit="s").with_names(["u", "v"], ["a", "b", "c"])
    ones = np.ones(2), np.ones(2), np.ones(3), np.ones(3)
    for other in (
        system.in_basis(2 * np.eye(4)),
        system.in_units(*ones),
        system.balanced(),
        system.balanced(2),
        system.as_readout_form(),
        system.with_input_delay(1),
        replace(system, state_offset=None),
    ):
        assert (other.dt, other.time_unit) == (0.5, "s")
        assert (other.input_names, other.output_names) == (("u", "v"), ("a", "b", "c"))


def test_every_way_in_takes_the_unit_of_time() -> None:
    block = random_system().as_block()
    for system in (
        LinearSystem.from_block(block, dt=0.5, time_unit="h"),
        LinearSystem.from_control(random_system().as_control(), dt=0.5, time_unit="h"),
        LinearSystem.from_control(random_system().to_scipy(), dt=0.5, time_unit="h"),
        LinearSystem.from_continuous([[-1.0]], [[1.0]], [[1.0]], [[0.0]], dt=0.5, time_unit="h"),
        LinearSystem.from_rnn([[1.0]], [[0.5]], [[2.0]], dt=0.5, time_unit="h"),
    ):
        assert (system.dt, system.time_unit) == (0.5, "h") and "dt=0.5 h," in repr(system)
    assert "dt=1," in repr(random_system())


def test_a_readout_form_predicts_the_same() -> None:
    """Its noise is carried: both forms have one predictor."""
    system = random_system()
    np.testing.assert_allclose(system.as_readout_form().prediction_covariance(6), system.prediction_covariance(6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_unit": None}, "time_unit must be a string such as 's', got None"),
        ({"time_unit": 1}, "time_unit must be a string"),
        ({"input_names": "uv"}, "input_names must be a sequence of strings, got 'uv'"),
        ({"input_names": [1, 2]}, "input_names must be a sequence of strings"),
        ({"input_names": ["u"]}, "input_names must be 2 names, one a channel, or none; got 1"),
        ({"output_names": ["a", "b"]}, "output_names must be 3 names"),
    ],
)
def test_bad_labels(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(random_system(), **change)


def test_methods_are_the_functions_of_the_modules() -> None:
    """One ancestor; what is assigned in the class body is found under its own name, with its own documentation."""
    assert [own.__name__ for own in LinearSystem.__mro__] == ["LinearSystem", "Analysis", "object"]
    shared = {name: value for name, value in vars(LinearSystem).items() if callable(value) and not name.startswith("_")}
    assert {"balanced", "to_scipy", "gramians", "standard_error", "plot_bode"} <= shared.keys()
    assert all(value.__name__ == name and value.__doc__ for name, value in shared.items())

"""What a linear system does: against scipy, closed forms and the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov
from scipy.signal import cont2discrete, dfreqresp, dimpulse, dlti, dstep

from seqdyn.identification.system import LinearSystem
from tests.identification.test_system import random_system

Array = np.ndarray[Any, Any]


def first_order(pole: float, dt: float = 1.0) -> LinearSystem:
    """y_t = h_{t-1}, h_t = pole h_{t-1} + x_t."""
    return LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[pole]], dt=dt)


def rotation(radius: float, angle: float) -> LinearSystem:
    c, s = radius * np.cos(angle), radius * np.sin(angle)
    return LinearSystem.from_block([[0.0]], [[1.0, 0.0]], [[1.0], [0.0]], [[c, -s], [s, c]])


# --- poles ------------------------------------------------------------------------------------------------------------


def test_poles_of_a_rotation() -> None:
    found = rotation(0.9, 0.4).poles()
    np.testing.assert_allclose(found, 0.9 * np.exp([0.4j, -0.4j]), atol=1e-12)
    np.testing.assert_allclose(rotation(0.9, 0.4).periods(), [2 * np.pi / 0.4] * 2)
    np.testing.assert_allclose(rotation(0.9, 0.4).time_constants(), [-1 / np.log(0.9)] * 2)


def test_poles_come_largest_first_and_are_complex() -> None:
    system = LinearSystem.from_control(np.diag([0.1, -0.9, 0.5]), np.ones((3, 1)), np.ones((1, 3)), [[0.0]])
    assert system.poles().dtype == complex and system.poles().real.tolist() == [-0.9, 0.5, 0.1]
    assert system.spectral_radius() == 0.9 and system.is_stable()
    np.testing.assert_array_equal(system.periods(), [2.0, np.inf, np.inf])


@pytest.mark.parametrize(("pole", "expected"), [(0.0, 0.0), (1.0, np.inf), (-1.2, np.inf), (np.exp(-0.2), 5.0)])
def test_time_constants(pole: float, expected: float) -> None:
    np.testing.assert_allclose(first_order(pole).time_constants(), [expected], atol=1e-12)
    np.testing.assert_allclose(first_order(pole, dt=0.1).time_constants(), [0.1 * expected], atol=1e-12)


@pytest.mark.parametrize(("pole", "level"), [(0.9, 0.01), (-0.5, 0.1), (0.99, 0.5)])
def test_forgetting_time_is_when_the_start_is_down_to_the_level(pole: float, level: float) -> None:
    steps = first_order(pole).forgetting_time(level)
    assert abs(pole) ** steps == pytest.approx(level)
    assert first_order(1.0).forgetting_time() == np.inf and first_order(0.0).forgetting_time() == 0.0
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        first_order(pole).forgetting_time(1.0)


# --- zeros ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numerator", [[1.0, -0.4, 0.3, 0.1], [0.0, 1.0, 0.4, -0.1], [0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 0.0, 3.0]]
)
def test_zeros_are_the_roots_of_the_numerator(numerator: list[float]) -> None:
    """With 0 to 3 steps of delay, that is with up to 3 infinite zeros."""
    system = LinearSystem.from_control(dlti(np.trim_zeros(numerator, "f"), [1.0, -1.2, 0.5, -0.1], dt=1.0))
    expected = np.sort_complex(np.roots(numerator).astype(complex))
    np.testing.assert_allclose(np.sort_complex(system.zeros()), expected, atol=1e-9)


def test_transmission_zero_of_two_inputs_and_two_outputs() -> None:
    """H(s) = [s − 1, 4; 4.5, 2 (s − 1)] / (s + 2): zero 4 and pole −2.

    Skogestad & Postlethwaite (2005), Multivariable Feedback Control, example 4.8; discrete time knows no difference.
    """
    gain, numerator = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[-3.0, 4.0], [4.5, -6.0]])
    system = LinearSystem.from_control(-2 * np.eye(2), np.eye(2), numerator, gain)
    response = gain + numerator / (4.0 + 2.0)
    assert abs(np.linalg.det(response)) < 1e-12
    np.testing.assert_allclose(system.zeros(), [4.0], atol=1e-9)  # of the two modes at −2 the outputs show one


def test_zeros_do_not_depend_on_the_basis_and_let_nothing_through() -> None:
    system = random_system(order=5, inputs=2, outputs=2, seed=4)
    other = system.in_basis(np.random.default_rng(0).normal(size=(5, 5)))
    zeros = system.zeros()
    assert len(zeros) == 5  # the feedthrough is invertible
    np.testing.assert_allclose(np.sort_complex(other.zeros()), np.sort_complex(zeros), atol=1e-7)
    for z in zeros:
        reached = np.linalg.solve(z * np.eye(5) - system.transition, system.input_map)
        assert np.linalg.svd(system.feedthrough + system.readout @ reached, compute_uv=False)[-1] < 1e-9


@pytest.mark.parametrize("scale", [1e-14, 1.0, 1e14])
def test_zeros_do_not_depend_on_units(scale: float) -> None:
    system = random_system(order=4, inputs=2, outputs=2)
    scaled = system.in_units(np.zeros(2), np.array([scale, 1.0]), np.zeros(2), np.array([1.0, scale]))
    np.testing.assert_allclose(np.sort_complex(scaled.zeros()), np.sort_complex(system.zeros()), rtol=1e-7)


def test_zeros_of_systems_that_are_not_square() -> None:
    assert len(random_system(order=4, inputs=1, outputs=3).zeros()) == 0  # three outputs are never silent together
    one = random_system(order=4, inputs=1, outputs=1, seed=3)
    doubled = LinearSystem.from_block(
        np.vstack([one.feedthrough] * 2), np.vstack([one.readout] * 2), one.input_map, one.transition
    )
    np.testing.assert_allclose(np.sort_complex(doubled.zeros()), np.sort_complex(one.zeros()), atol=1e-8)
    unreached = LinearSystem.from_block([[1.0]], [[1.0, 1.0]], [[1.0], [0.0]], np.diag([0.5, 0.3]))
    np.testing.assert_allclose(np.sort(unreached.zeros().real), [-0.5, 0.3], atol=1e-12)


def test_a_system_that_lets_nothing_through_at_all() -> None:
    assert len(LinearSystem.from_block([[0.0]], [[0.0]], [[0.0]], [[0.5]]).zeros()) <= 1
    assert len(LinearSystem.from_block([[2.0]], np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0))).zeros()) == 0


# --- responses --------------------------------------------------------------------------------------------------------


def test_responses_in_time_against_scipy() -> None:
    system = LinearSystem.from_control(random_system(order=5).to_scipy(), dt=0.5)
    for own, peer in ((system.impulse_response, dimpulse), (system.step_response, dstep)):
        _, expected = peer(system.to_scipy(), n=25)
        for channel, values in enumerate(expected):
            np.testing.assert_allclose(own(25)[:, :, channel], values, atol=1e-12)


def test_the_impulse_response_is_what_comes_out_after_an_impulse() -> None:
    system = random_system()
    silent = system.simulate(np.zeros((20, 2)))[0]
    for channel in range(2):
        x = np.zeros((20, 2))
        x[0, channel] = 1.0
        np.testing.assert_allclose(
            system.simulate(x)[0] - silent, system.impulse_response(20)[:, :, channel], atol=1e-10
        )
    form = system.as_block()
    for k, value in enumerate(system.markov_parameters(5)[1:]):
        np.testing.assert_allclose(value, form.B @ np.linalg.matrix_power(form.D, k) @ form.C, atol=1e-12)
    np.testing.assert_array_equal(system.markov_parameters(1)[0], form.A)


@pytest.mark.parametrize("dt", [1.0, 0.02])
def test_frequency_response_against_scipy(dt: float) -> None:
    system = LinearSystem.from_control(random_system(order=6, inputs=1, outputs=1).to_scipy(), dt=dt)
    w = np.linspace(0.01, 3.1, 40)
    _, expected = dfreqresp(system.to_scipy(), w=w)
    found = system.frequency_response(w / (2 * np.pi * dt))
    np.testing.assert_allclose(found.response[:, 0, 0], expected, rtol=1e-9)


def test_frequency_response_of_many_channels_is_the_formula() -> None:
    system = random_system(order=5, inputs=2, outputs=3)
    at, response = system.frequency_response()
    assert response.shape == (len(at), 3, 2) and at[-1] == 0.5 and (np.diff(at) > 0).all()
    for f, found in list(zip(at, response, strict=True))[::50]:
        reached = np.linalg.solve(np.exp(2j * np.pi * f) * np.eye(5) - system.transition, system.input_map)
        np.testing.assert_allclose(found, system.feedthrough + system.readout @ reached, atol=1e-10)


def test_frequency_response_is_the_transform_of_the_impulse_response() -> None:
    system = random_system(radius=0.8)
    spectrum = np.fft.rfft(system.impulse_response(400), axis=0)
    np.testing.assert_allclose(system.frequency_response(np.fft.rfftfreq(400)).response, spectrum, atol=1e-10)


def test_frequency_response_of_equal_poles_and_of_none() -> None:
    """A Jordan block has no basis of eigenvectors."""
    jordan = LinearSystem.from_control([[0.5, 1.0], [0.0, 0.5]], [[0.0], [1.0]], [[1.0, 0.0]], [[0.0]])
    at = np.array([0.0, 0.1, 0.5])
    expected = 1 / (np.exp(2j * np.pi * at) - 0.5) ** 2
    np.testing.assert_allclose(jordan.frequency_response(at).response.ravel(), expected, rtol=1e-12)
    gain = LinearSystem.from_block([[2.0]], np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0)))
    np.testing.assert_array_equal(gain.frequency_response(at).response.ravel(), [2, 2, 2])
    assert len(gain.frequency_response().frequencies) == 500 and gain.dc_gain().item() == 2


def test_a_pole_on_the_grid() -> None:
    response = first_order(1.0).frequency_response([0.0, 0.25]).response.ravel()
    assert abs(response[0]) > 1e14
    np.testing.assert_allclose(response[1], 1 / (1j - 1))
    oscillator = rotation(1.0, 2 * np.pi * 0.1).frequency_response([0.1, 0.2]).response.ravel()
    assert abs(oscillator[0]) > 1e12 and abs(oscillator[1]) < 10


def test_the_default_grid_shows_the_slowest_pole() -> None:
    slow = first_order(0.9999, dt=60.0)
    at, response = slow.frequency_response()
    assert at[-1] == 0.5 / 60
    np.testing.assert_allclose(abs(response[0, 0, 0]), slow.dc_gain().item(), rtol=0.01)
    assert len(first_order(1.0).frequency_response().frequencies) == 500


def test_frequencies_are_checked() -> None:
    system = first_order(0.5, dt=0.1)
    system.frequency_response([0.0, 5.0])
    for bad in ([-0.1], [5.1], [np.nan], [[0.1]], 0.1):
        with pytest.raises(ValueError, match="Nyquist frequency"):
            system.frequency_response(bad)


def test_dc_gain() -> None:
    system = random_system()
    np.testing.assert_allclose(system.dc_gain(), system.frequency_response([0.0]).response[0].real, atol=1e-10)
    np.testing.assert_allclose(system.step_response(500)[-1], system.dc_gain(), atol=1e-10)
    for pole in (
        first_order(1.0),
        LinearSystem.from_control([[1.0, 1.0], [0.0, 1.0]], [[0.0], [1.0]], [[1.0, 0.0]], [[0.0]]),
    ):
        with pytest.raises(ValueError, match="pole at 1"):
            pole.dc_gain()
    assert first_order(0.999999).dc_gain().item() == pytest.approx(1e6)
    assert first_order(1.5).dc_gain().item() == -2  # the algebra; nothing settles there


def test_the_steady_state_stays() -> None:
    system = random_system()
    h = system.steady_state([0.3, -2.0])
    np.testing.assert_allclose(system.simulate(np.tile([0.3, -2.0], (7, 1)), h)[1], h, atol=1e-10)
    assert np.abs(h).max() > 0.1
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        system.steady_state([1.0])


def test_a_sampled_system_has_the_poles_and_constants_of_the_continuous_one() -> None:
    """exp(s dt): time constants 2 and 0.3 s, sampled at 0.05 s."""
    *sampled, _ = cont2discrete((np.diag([-1 / 2, -1 / 0.3]), np.ones((2, 1)), np.ones((1, 2)), np.zeros((1, 1))), 0.05)
    system = LinearSystem.from_control(*sampled, dt=0.05)
    np.testing.assert_allclose(system.time_constants(), [2.0, 0.3])
    np.testing.assert_allclose(system.dc_gain(), [[2.3]])


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, None])
def test_counts_are_checked(bad: Any) -> None:
    for method in (
        first_order(0.5).markov_parameters,
        first_order(0.5).impulse_response,
        first_order(0.5).step_response,
    ):
        with pytest.raises(ValueError, match="int of at least 1"):
            method(bad)


# --- Gramians ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.3, 0.9, 0.9999])
def test_gramians_solve_the_lyapunov_equations(radius: float) -> None:
    system = random_system(order=6, radius=radius)
    reach, show = system.gramians()
    form = system.as_control()
    for found, matrix, drive in ((reach, form.A, form.B @ form.B.T), (show, form.A.T, form.C.T @ form.C)):
        np.testing.assert_allclose(found, matrix @ found @ matrix.T + drive, rtol=1e-9, atol=1e-9 * np.abs(found).max())
        np.testing.assert_allclose(found, solve_discrete_lyapunov(matrix, drive), rtol=1e-7, atol=1e-9 * found.max())


def test_gramians_of_one_state() -> None:
    reach, show = LinearSystem.from_block([[0.0]], [[3.0]], [[2.0]], [[0.5]]).gramians()
    np.testing.assert_allclose([reach.item(), show.item()], [4 / 0.75, 9 / 0.75])
    np.testing.assert_allclose(first_order(-0.999999).gramians().controllability, 1 / (1 - 0.999999**2), rtol=1e-9)


def test_hankel_singular_values_are_those_of_the_hankel_matrix() -> None:
    """Of [BC BDC BD²C …; BDC …; …], long enough."""
    system = random_system(order=4, radius=0.7)
    markov = system.markov_parameters(161)[1:]
    hankel = np.block([[markov[i + j] for j in range(80)] for i in range(80)])
    expected = np.linalg.svd(hankel, compute_uv=False)
    np.testing.assert_allclose(system.hankel_singular_values(), expected[:4], rtol=1e-9)
    assert expected[4] < 1e-10
    other = system.in_basis(np.random.default_rng(0).normal(size=(4, 4)))
    np.testing.assert_allclose(other.hankel_singular_values(), system.hankel_singular_values(), rtol=1e-9)


def test_small_hankel_singular_values_keep_their_digits() -> None:
    """1e-10 beside 1: roots of products of Gramians would have lost it. W_c = W_o here, so σ are its eigenvalues."""
    system = LinearSystem.from_block([[0.0]], [[1.0, 1e-5]], [[1.0], [1e-5]], np.diag([0.5, -0.5]))
    determinant, trace = 1e-10 * (1 / 0.75**2 - 1 / 1.25**2), 1 / 0.75
    np.testing.assert_allclose(system.hankel_singular_values(), [trace, determinant / trace], rtol=1e-4)
    assert system.balanced().order == 2


def test_there_is_one_hankel_singular_value_a_state() -> None:
    one_channel = LinearSystem.from_control(np.zeros((3, 3)), np.ones((3, 1)), np.ones((1, 3)), [[0.0]])
    values = one_channel.hankel_singular_values()
    assert len(values) == 3
    np.testing.assert_allclose(values, [3.0, 0.0, 0.0], atol=1e-12)
    for method in ("gramians", "hankel_singular_values"):
        with pytest.raises(ValueError, match="need a stable system"):
            getattr(first_order(1.0), method)()

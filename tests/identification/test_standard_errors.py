"""How sure a system is: against closed forms, draws of the system, and the laws of coordinates and units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.estimation import Directions, Estimation
from seqdyn.identification.system import LinearSystem
from tests.identification.test_system import random_system

Array = np.ndarray[Any, Any]

FIELDS = ("feedthrough", "readout", "input_map", "transition", "output_offset", "state_offset", "noise_gain")
QUANTITIES: dict[str, Callable[[LinearSystem], Array]] = {
    "gain": LinearSystem.dc_gain,
    "markov": lambda system: system.markov_parameters(6),
    "response": lambda system: system.frequency_response([0.0, 0.1, 0.4]).response,
    "rest": lambda system: system.readout @ system.steady_state(np.zeros(system.inputs)) + system.output_offset,
}


def estimated(system: LinearSystem, size: float = 1e-3, count: int = 40, seed: int = 0) -> LinearSystem:
    """The system with so many directions of spread."""
    draw = np.random.default_rng(seed)
    noise = np.zeros((system.order, system.outputs)) if system.noise_gain is None else system.noise_gain
    shapes = [np.shape(noise if name == "noise_gain" else getattr(system, name)) for name in FIELDS]
    directions = Directions(*(size * draw.normal(size=(count, *shape)) for shape in shapes))
    told = Estimation("prediction", np.full(system.outputs, 1000), 17, -1234.5, -2.0, directions)
    return replace(system, estimation=told)


def drawn(system: LinearSystem, count: int, seed: int = 1) -> list[LinearSystem]:
    """Systems from the Gaussian distribution that the directions describe."""
    draw = np.random.default_rng(seed)
    assert system.estimation is not None and system.estimation.directions is not None
    directions = system.estimation.directions
    found = []
    for _ in range(count):
        weights = draw.normal(size=len(directions.transition))
        moved = {name: getattr(system, name) + np.tensordot(weights, getattr(directions, name), 1) for name in FIELDS}
        found.append(replace(system, **moved, estimation=None))
    return found


def only(change: Array) -> LinearSystem:
    """A system of these poles' transition, of which nothing else is unsure."""
    order = change.shape[-1]
    empty = np.zeros((len(change), order, 1))
    return LinearSystem(
        [[0.0]],
        np.ones((1, order)),
        np.ones((order, 1)),
        np.zeros((order, order)),
        dt=0.5,
        estimation=Estimation(
            "simulation",
            np.array([100]),
            3,
            0.0,
            0.0,
            Directions(
                np.zeros((len(change), 1, 1)), empty.swapaxes(1, 2), empty, change, empty[:, 0], empty[..., 0], empty
            ),
        ),
    )


# --- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(QUANTITIES))
def test_standard_errors_are_those_of_draws(name: str) -> None:
    """2,000 draws: their standard deviation is off by 1.6 %, as one standard error."""
    system, count = estimated(random_system()), 2000
    values = np.array([QUANTITIES[name](one) for one in drawn(system, count)])
    parts = [values.real, values.imag] if np.iscomplexobj(values) else [values]
    found = system.standard_error(QUANTITIES[name])
    for part, error in zip(parts, [found.real, found.imag], strict=False):
        sure = error < 1e-9  # the imaginary part at frequency 0
        np.testing.assert_allclose(part.std(axis=0)[~sure], error[~sure], rtol=5 / np.sqrt(2 * count))


def test_standard_errors_of_poles_are_those_of_draws() -> None:
    system, count = estimated(random_system()), 2000
    errors, poles = system.pole_standard_errors(), system.poles()
    found = np.array([matched(one.poles(), poles) for one in drawn(system, count)])
    constants = -1 / np.log(np.abs(found))
    for values, error in zip((found.real, found.imag, np.abs(found), np.angle(found), constants), errors, strict=True):
        np.testing.assert_allclose(values.std(axis=0), error, rtol=5 / np.sqrt(2 * count), atol=1e-12)


def matched(poles: Array, to: Array) -> Array:
    """The poles in the order in which they are nearest to those."""
    return np.array([poles[np.abs(poles - one).argmin()] for one in to])


@pytest.mark.parametrize("name", list(QUANTITIES))
def test_another_basis_changes_no_standard_error(name: str) -> None:
    system = estimated(random_system())
    other = system.in_basis(np.random.default_rng(5).normal(size=(4, 4)))
    expected = system.standard_error(QUANTITIES[name])
    np.testing.assert_allclose(other.standard_error(QUANTITIES[name]), expected, rtol=1e-4, atol=1e-9)
    for found, own in zip(other.pole_standard_errors(), system.pole_standard_errors(), strict=True):
        np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-12)


def test_other_units_scale_standard_errors() -> None:
    system = estimated(random_system())
    s_x, s_y = np.array([2.0, 0.5]), np.array([0.1, 3.0, 7.0])
    physical = system.in_units(np.array([3.0, -1.0]), s_x, np.array([1.0, 20.0, -4.0]), s_y)
    expected = system.standard_error(LinearSystem.dc_gain) * s_y[:, None] / s_x
    np.testing.assert_allclose(physical.standard_error(LinearSystem.dc_gain), expected, rtol=1e-6)
    np.testing.assert_allclose(physical.pole_standard_errors().real, system.pole_standard_errors().real, rtol=1e-9)


# --- closed forms -----------------------------------------------------------------------------------------------------


def test_one_real_pole() -> None:
    """Var λ is the sum over the directions; τ = −dt / ln λ, so that dτ = dt / (λ ln² λ) dλ."""
    system = replace(only(np.array([[[0.03]], [[0.04]]])), transition=np.array([[0.8]]))
    errors = system.pole_standard_errors()
    np.testing.assert_allclose([errors.real, errors.modulus], 0.05)
    np.testing.assert_array_equal([errors.imaginary, errors.angle], 0)
    np.testing.assert_allclose(errors.time_constant, 0.5 / (0.8 * np.log(0.8) ** 2) * 0.05)
    assert system.standard_error(LinearSystem.dc_gain).item() == pytest.approx(0.05 / 0.2**2, rel=1e-6)


def test_a_pair_moves_by_radius_and_angle() -> None:
    """D = r (cos φ, −sin φ; sin φ, cos φ), moved along r in one direction and along φ in the other."""
    r, c, s = 0.9, np.cos(0.4), np.sin(0.4)
    along = np.array([0.01 * np.array([[c, -s], [s, c]]), 0.02 * r * np.array([[-s, -c], [c, -s]])])
    system = replace(only(along), transition=r * np.array([[c, -s], [s, c]]))
    errors = system.pole_standard_errors()
    np.testing.assert_allclose(errors.modulus, 0.01)
    np.testing.assert_allclose(errors.angle, 0.02)
    np.testing.assert_allclose(errors.real, np.hypot(0.01 * c, 0.02 * r * s))
    np.testing.assert_allclose(errors.imaginary, np.hypot(0.01 * s, 0.02 * r * c))


def test_a_multiple_pole_is_not_sure_at_all() -> None:
    """[0.5 1; ε 0.5] has the poles 0.5 ± √ε: no derivative at ε = 0."""
    jordan = np.array([[0.5, 1.0], [0.0, 0.5]])
    system = replace(only(np.array([[[0.0, 0.0], [0.1, 0.0]]])), transition=jordan)
    assert np.isinf(system.pole_standard_errors().real).all()
    kept = replace(only(np.array([[[0.0, 0.1], [0.0, 0.0]]])), transition=jordan)  # moves no pole
    np.testing.assert_array_equal(kept.pole_standard_errors().real, 0)


def test_poles_without_a_time_constant() -> None:
    system = replace(only(np.array([0.01 * np.eye(2)])), transition=np.diag([1.1, 0.0]))
    errors = system.pole_standard_errors()
    assert np.isnan(errors.time_constant).all()
    np.testing.assert_allclose(errors.modulus, 0.01)


def test_a_moved_system_is_moved_along_the_direction() -> None:
    system = estimated(random_system())
    assert system.estimation is not None and system.estimation.directions is not None
    moved = system.moved(2.0, 3)
    assert moved.estimation is None
    for name in FIELDS:
        change = getattr(system.estimation.directions, name)[3]
        np.testing.assert_allclose(getattr(moved, name), getattr(system, name) + 2.0 * change)
    quiet = replace(system, noise_gain=None, noise_covariance=None)
    assert quiet.moved(1.0, 0).noise_gain is None
    for j in (-1, 40, 99, 1.5, True):
        with pytest.raises(ValueError, match="j=.*expected a direction of the estimation: a whole number from 0 to 39"):
            system.moved(1.0, j)


def test_systems_without_states_have_no_poles_to_be_sure_of() -> None:
    gain = LinearSystem([[2.0]], np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0)), noise_gain=np.zeros((0, 1)))
    errors = estimated(gain).pole_standard_errors()
    assert all(len(part) == 0 for part in errors)
    assert estimated(gain).standard_error(LinearSystem.dc_gain).shape == (1, 1)


def test_a_system_without_a_free_number_is_sure() -> None:
    system = estimated(random_system(), count=0)
    np.testing.assert_array_equal(system.standard_error(LinearSystem.dc_gain), np.zeros((3, 2)))
    np.testing.assert_array_equal(system.pole_standard_errors().real, np.zeros(4))
    assert len(system.plot_bode().axes) == 12


# --- the noise --------------------------------------------------------------------------------------------------------


def test_prediction_covariance_is_that_of_simulated_errors() -> None:
    """From a known state, e_1 … e_k unknown: the deviations of 20,000 runs."""
    system, runs, steps = random_system(), 20_000, 6
    assert system.noise_gain is not None and system.noise_covariance is not None
    draw = np.random.default_rng(0)
    errors = draw.multivariate_normal(np.zeros(3), system.noise_covariance, size=(runs, steps))
    state, deviations = np.zeros((runs, 4)), np.zeros((runs, steps, 3))
    for t in range(steps):
        deviations[:, t] = state @ system.readout.T + errors[:, t]
        state = state @ system.transition.T + errors[:, t] @ system.noise_gain.T
    found = system.prediction_covariance(steps)
    assert found.shape == (steps, 3, 3)
    for t in range(steps):
        expected = deviations[:, t].T @ deviations[:, t] / runs
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_allclose(found[t] / scale, expected / scale, atol=5 * np.sqrt(2 / runs))


def test_prediction_covariance_of_an_ar_process() -> None:
    """y_t = 0.8 y_{t-1} + e_t: Σ_k = σ² (1 − 0.8^{2k}) / (1 − 0.8²)."""
    process = LinearSystem(
        np.zeros((1, 0)), [[0.8]], np.zeros((1, 0)), [[0.8]], noise_gain=[[1.0]], noise_covariance=[[2.0]]
    )
    k = np.arange(1, 9)
    expected = 2.0 * (1 - 0.8 ** (2 * k)) / (1 - 0.64)
    np.testing.assert_allclose(process.prediction_covariance(8).ravel(), expected)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_what_was_not_estimated_has_no_standard_errors() -> None:
    given, system = random_system(), estimated(random_system())
    assert system.estimation is not None
    bare = replace(system, estimation=replace(system.estimation, directions=None))
    for one, message in ((given, "given, not estimated"), (bare, "covariance of this system's entries was not")):
        for ask in (lambda s: s.standard_error(LinearSystem.dc_gain), lambda s: s.pole_standard_errors()):
            with pytest.raises(ValueError, match=message):
                ask(one)
        with pytest.raises(ValueError, match=message):
            one.moved(1.0, 0)


def test_without_a_model_of_the_noise_there_is_no_prediction_covariance() -> None:
    with pytest.raises(ValueError, match="noise_gain is None"):
        replace(random_system(), noise_gain=None).prediction_covariance(3)
    with pytest.raises(ValueError, match="noise_covariance is None"):
        replace(random_system(), noise_covariance=None).prediction_covariance(3)
    with pytest.raises(ValueError, match="steps_ahead"):
        random_system().prediction_covariance(0)

"""From discrete to continuous time and back: round trips, scipy, closed forms, and what has no continuous time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import StateSpace, TransferFunction, cont2discrete, dlti, lsim

from seqdyn.identification.system import LinearSystem
from tests.identification.test_analysis import first_order, rotation

Array = np.ndarray[Any, Any]


def continuous_system(order: int = 4, seed: int = 0, integrators: int = 0) -> StateSpace:
    """Slow enough for steps of 0.1; stable but for integrators."""
    draw = np.random.default_rng(seed)
    A = draw.normal(size=(order, order))
    A -= (np.linalg.eigvals(A).real.max() + 0.3) * np.eye(order)
    A[:integrators] = 0.0
    A[:integrators, -1:] = 1.0 if integrators else 0.0
    return StateSpace(A, draw.normal(size=(order, 2)), draw.normal(size=(3, order)), draw.normal(size=(3, 2)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", [0, 1, 4, 8])
def test_there_and_back(order: int, seed: int) -> None:
    system = continuous_system(order, seed) if order else StateSpace(*gain())
    again = LinearSystem.from_continuous(system, dt=0.1).to_continuous()
    for name in "ABCD":
        np.testing.assert_allclose(getattr(again, name), getattr(system, name), atol=1e-9)


def gain() -> tuple[Array, Array, Array, Array]:
    return np.zeros((0, 0)), np.zeros((0, 2)), np.zeros((3, 0)), np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize("integrators", [1, 2])
def test_integrators_go_there_and_back(integrators: int) -> None:
    """[D C; 0 I] has the eigenvalue 1 several times over, in a Jordan block."""
    system = continuous_system(4, integrators=integrators)
    again = LinearSystem.from_continuous(system, dt=0.1).to_continuous()
    np.testing.assert_allclose(again.A, system.A, atol=1e-7)
    np.testing.assert_allclose(again.B, system.B, atol=1e-7)


def test_a_discrete_system_goes_there_and_back() -> None:
    system = rotation(0.9, 0.3)
    again = LinearSystem.from_continuous(system.to_continuous(), dt=system.dt)
    for name in ("feedthrough", "readout", "input_map", "transition"):
        np.testing.assert_allclose(getattr(again, name), getattr(system, name), atol=1e-12)


def test_discretising_is_that_of_scipy() -> None:
    system = continuous_system()
    A, B, C, D, _ = cont2discrete((system.A, system.B, system.C, system.D), 0.2, method="zoh")
    for found in (
        LinearSystem.from_continuous(system, dt=0.2),
        LinearSystem.from_continuous(system.A, system.B, system.C, system.D, dt=0.2),
    ):
        for own, expected in zip(
            (found.transition, found.input_map, found.readout, found.feedthrough), (A, B, C, D), strict=True
        ):
            np.testing.assert_array_equal(own, expected)


def test_a_held_input_gives_the_same_outputs_at_every_step() -> None:
    """scipy's simulation over ten times as many steps, with inputs that are held."""
    system, dt = continuous_system(), 0.1
    x = np.random.default_rng(1).normal(size=(40, 2))
    fine = np.arange(400) * dt / 10
    _, expected, _ = lsim(system, np.repeat(x, 10, axis=0), fine, interp=False)
    found = LinearSystem.from_continuous(system, dt=dt).simulate(x)[0]
    np.testing.assert_allclose(found, expected[::10], atol=1e-9)


def test_poles_are_logarithms_and_gains_stay() -> None:
    system = LinearSystem.from_continuous(continuous_system(), dt=0.1)
    found = system.to_continuous()
    expected = np.log(system.poles()) / 0.1
    np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(found.A)), np.sort_complex(expected), atol=1e-9)
    gains = found.D - found.C @ np.linalg.solve(found.A, found.B)
    np.testing.assert_allclose(gains, system.dc_gain(), atol=1e-9)


def test_transfer_functions_of_scipy_are_read() -> None:
    """1 / (2 s + 1)."""
    system = LinearSystem.from_continuous(TransferFunction([1.0], [2.0, 1.0]), dt=0.1, time_unit="s")
    np.testing.assert_allclose(system.time_constants(), [2.0])
    np.testing.assert_allclose(system.dc_gain(), [[1.0]])
    assert (system.dt, system.time_unit) == (0.1, "s")


@pytest.mark.parametrize("pole", [0.0, 1e-15, -0.3, -1.0])
def test_poles_that_no_continuous_system_has(pole: float) -> None:
    system = LinearSystem.from_control(np.diag([0.9, pole]), np.ones((2, 1)), np.ones((1, 2)), [[0.0]])
    message = "1 of the poles are 0, .* delay" if abs(pole) < 1e-9 else f"the poles {pole:.4g} are negative"
    with pytest.raises(ValueError, match=message):
        system.to_continuous()


def test_a_delay_in_a_mixed_basis_has_no_continuous_time() -> None:
    """Rounding makes small numbers of its poles at 0, whose logarithms mean nothing."""
    late = first_order(0.9).with_input_delay(5)
    mixed = late.in_basis(np.random.default_rng(0).normal(size=(6, 6)))
    with pytest.raises(ValueError, match="no continuous-time system|No continuous-time system"):
        mixed.to_continuous()


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="discrete-time system: use from_control"):
        LinearSystem.from_continuous(dlti([1.0], [1.0, -0.5], dt=0.1), dt=0.1)
    with pytest.raises(TypeError, match="use from_continuous"):
        LinearSystem.from_control(continuous_system())
    with pytest.raises(ValueError, match="dt must be a time above 0, got 0"):
        LinearSystem.from_continuous(continuous_system(), dt=0)
    with pytest.raises(ValueError, match="B is missing"):
        LinearSystem.from_continuous([[1.0]], dt=0.1)

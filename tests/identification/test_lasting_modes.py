"""What does not decay and no input reaches, or no output shows: it changes nothing between inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.linalg import block_diag

from seqdyn.identification.estimation import Directions
from seqdyn.identification.lasting_modes import without_undriven_modes
from seqdyn.identification.system import LinearSystem
from tests.identification.test_analysis import first_order
from tests.identification.test_standard_errors import estimated
from tests.identification.test_system import inputs_for, random_system

Array = np.ndarray[Any, Any]

TURN = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
BESIDE = {
    "a drift of every output": np.eye(3),
    "a trend": np.array([[1.0, 1.0], [0.0, 1.0]]),
    "a season": TURN,
    "a level, a season and what grows": block_diag(1.0, TURN, -1.05),
    "a double pair": np.block([[TURN, np.eye(2)], [np.zeros((2, 2)), TURN]]),
}
CASES = [(name, seed) for name in BESIDE for seed in range(4)]


def drifting(system: LinearSystem, modes: Array, seed: int = 0, mixed: bool = True) -> LinearSystem:
    """The system with modes that no input reaches and all outputs show, in a mixed basis."""
    draw, count = np.random.default_rng([seed, 7]), len(modes)
    noise = system.noise_gain
    found = replace(
        system,
        readout=np.hstack([system.readout, draw.normal(size=(system.outputs, count))]),
        input_map=np.vstack([system.input_map, np.zeros((count, system.inputs))]),
        transition=block_diag(system.transition, modes),
        state_offset=np.concatenate([system.state_offset, np.zeros(count)]),
        noise_gain=None if noise is None else np.vstack([noise, 0.3 * np.ones((count, system.outputs))]),
    )
    return found.in_basis(draw.normal(size=(found.order, found.order))) if mixed else found


def transposed(system: LinearSystem) -> LinearSystem:
    """Inputs and outputs change places: what was not reached is not shown."""
    return LinearSystem(system.feedthrough.T, system.input_map.T, system.readout.T, system.transition.T)


QUANTITIES: dict[str, Callable[[LinearSystem], Array]] = {
    "gain": LinearSystem.dc_gain,
    "response": lambda system: system.frequency_response([0.0, 1e-9, 0.05, 0.5]).response,
    "zeros": lambda system: np.sort_complex(system.zeros()),
    "singular values": lambda system: system.hankel_singular_values()[:5],
    "balanced": lambda system: system.balanced().impulse_response(20),
    "denominator": lambda system: system.transfer_function().denominator,
    "numerators": lambda system: system.transfer_function().numerators,
    "part": lambda system: system.input_output_part().impulse_response(20),
}


# --- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("name", "seed"), CASES)
def test_between_inputs_and_outputs_it_changes_nothing(name: str, seed: int, turned: bool) -> None:
    core = random_system(order=5, inputs=3, seed=seed, radius=(0.5, 0.9, 0.99, 0.999)[seed])
    system = drifting(core, BESIDE[name], seed)
    core, system = (transposed(core), transposed(system)) if turned else (core, system)
    assert system.input_output_part().order == 5
    for quantity, of in QUANTITIES.items():
        expected = of(core)
        np.testing.assert_allclose(of(system), expected, atol=1e-8 * np.abs(expected).max(), err_msg=quantity)
    assert not system.hankel_singular_values()[5:].any()


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_standard_errors_are_those_of_the_system_without_a_drift(seed: int, mixed: bool) -> None:
    core = estimated(random_system(seed=seed), size=0.01)
    assert core.estimation is not None and core.estimation.directions is not None
    along = core.estimation.directions
    sizes = {"transition": (3, 3), "input_map": (3, 0), "readout": (0, 3), "state_offset": (3,), "noise_gain": (3, 0)}
    padded = {
        name: np.pad(getattr(along, name), [(0, 0), *((0, more) for more in sizes.get(name, (0, 0)))])
        for name in Directions._fields
        if name != "output_offset"
    }
    told = replace(core.estimation, directions=along._replace(**padded))
    system = replace(drifting(replace(core, estimation=None), np.eye(3), mixed=False), estimation=told)
    if mixed:
        system = system.in_basis(np.random.default_rng(seed).normal(size=(7, 7)))
    for quantity in (LinearSystem.dc_gain, lambda one: one.frequency_response([0.0, 0.1]).response):
        np.testing.assert_allclose(system.standard_error(quantity), core.standard_error(quantity), rtol=1e-6)


@pytest.mark.parametrize("units", [1e-8, 1e8])
def test_units_do_not_matter(units: float) -> None:
    core = random_system(seed=2).in_units(np.zeros(2), np.array([units, 1.0]), np.zeros(3), np.full(3, units))
    system = drifting(core, np.eye(3), mixed=False)
    np.testing.assert_allclose(system.dc_gain(), core.dc_gain(), rtol=1e-10)
    weakly = replace(system, input_map=np.where(np.arange(7)[:, None] == 6, 1e-6 * core.input_map[0], system.input_map))
    with pytest.raises(ValueError, match="pole at 1"):
        weakly.dc_gain()


def test_states_in_unlike_units() -> None:
    """A cylinder: its position in m sums up a velocity in m/s, and the pressure is in Pa."""
    transition = np.array([[1.0, 1e-3, 0.0], [0.0, 0.99, 1e-9], [0.0, -1e8, 0.9]])
    cylinder = LinearSystem([[0.0]], [[1.0, 0.0, 0.0]], [[0.0], [0.0], [1e7]], transition)
    assert cylinder.input_output_part() is cylinder
    with pytest.raises(ValueError, match="pole at 1"):
        cylinder.dc_gain()
    speed = replace(cylinder, readout=[[0.0, 1.0, 0.0]])
    expected = 1e7 * np.linalg.inv(np.eye(2) - transition[1:, 1:])[0, 1]
    np.testing.assert_allclose(speed.dc_gain(), expected, rtol=1e-9)
    drifts = drifting(speed, np.eye(1), mixed=False)
    np.testing.assert_allclose(drifts.dc_gain(), expected, rtol=1e-9)
    assert drifts.input_output_part().order == 2


@pytest.mark.parametrize("seed", range(6))
def test_a_drift_in_unlike_units(seed: int) -> None:
    core, draw = random_system(seed=seed), np.random.default_rng(seed)
    system = drifting(core, np.eye(3), seed).in_basis(np.diag(10 ** draw.uniform(-5, 5, size=7)))
    for quantity in (QUANTITIES["gain"], QUANTITIES["response"], QUANTITIES["part"], QUANTITIES["balanced"]):
        np.testing.assert_allclose(quantity(system), quantity(core), atol=1e-8 * np.abs(quantity(core)).max())


def test_what_is_left_is_closed_and_holds_what_drives_it() -> None:
    system = drifting(random_system(), BESIDE["a level, a season and what grows"])
    forth, back = without_undriven_modes(system.transition, system.input_map)
    moved, driven = system.transition @ back, system.input_map
    np.testing.assert_allclose(forth @ back, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(back @ (forth @ moved), moved, atol=1e-9 * np.abs(moved).max())
    np.testing.assert_allclose(back @ (forth @ driven), driven, atol=1e-9 * np.abs(driven).max())


@pytest.mark.parametrize("seed", range(5))
def test_at_rest_nothing_drifts(seed: int) -> None:
    """The outputs of the system without a drift, in whatever basis; and the state stays."""
    core = random_system(seed=seed)
    system, x = drifting(core, np.eye(3), seed), [0.3, -2.0]
    h = system.steady_state(x)
    held = np.tile(x, (7, 1))
    np.testing.assert_allclose(system.simulate(held, h)[1], h, atol=1e-9 * np.abs(h).max())
    expected = core.simulate(held, core.steady_state(x))[0]
    np.testing.assert_allclose(system.simulate(held, h)[0], expected, atol=1e-8 * np.abs(expected).max())


def test_a_balanced_system_runs_beside_the_drift() -> None:
    core = random_system(seed=1)
    system = drifting(core, np.eye(3))
    balanced, x = system.balanced(), inputs_for(core)
    rest = system.steady_state(np.zeros(2))
    np.testing.assert_allclose(balanced.simulate(x)[0], system.simulate(x, rest)[0], atol=1e-8)
    assert balanced.order == 4 and balanced.noise_gain is None


# --- what stays as it was ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.5, 0.999, 1.2])
def test_a_system_without_such_modes_is_its_own_part(radius: float) -> None:
    system = random_system(radius=radius)
    assert system.input_output_part() is system
    unreached = LinearSystem.from_block([[1.0]], [[1.0, 1.0]], [[1.0], [0.0]], np.diag([0.5, 0.3]))
    assert unreached.input_output_part() is unreached  # it decays


def test_poles_and_stability_keep_their_meaning() -> None:
    system = drifting(random_system(), np.eye(3), mixed=False)
    assert system.spectral_radius() == 1 and not system.is_stable() and system.forgetting_time() == np.inf
    assert len(system.poles()) == 7
    with pytest.raises(ValueError, match="input_output_part"):
        system.gramians()
    with pytest.raises(ValueError, match="input_output_part"):
        drifting(random_system(), np.eye(3)).gramians()  # rounding may put the poles inside the circle
    assert np.isfinite(system.input_output_part().gramians().observability).all()


@pytest.mark.parametrize("reach", [1.0, 1e-3, 1e-9])
def test_an_integrator_that_is_reached_still_raises(reach: float) -> None:
    """One of the drifts is; the others are not."""
    system = drifting(random_system(), np.eye(3), mixed=False)
    reached = replace(system, input_map=system.input_map + reach * np.eye(7)[:, [6]])
    with pytest.raises(ValueError, match="pole at 1"):
        reached.dc_gain()
    with pytest.raises(ValueError, match="need a stable system"):
        reached.hankel_singular_values()
    with pytest.raises(ValueError, match="pole at 1"):
        reached.steady_state([1.0, 1.0])
    assert reached.input_output_part().order == 5
    np.testing.assert_allclose(
        reached.input_output_part().impulse_response(9), reached.impulse_response(9), rtol=1e-9, atol=1e-9
    )


def test_an_offset_that_is_summed_up_leaves_no_state_of_rest() -> None:
    system = drifting(random_system(), np.eye(1), mixed=False)
    ramp = replace(system, state_offset=np.ones(5))
    assert ramp.dc_gain().shape == (3, 2)
    with pytest.raises(ValueError, match="offset"):
        ramp.steady_state([0.0, 0.0])
    assert first_order(1.0).steady_state([0.0]) == 0


def test_a_walk_without_inputs() -> None:
    walk = LinearSystem(np.zeros((1, 0)), [[1.0]], np.zeros((1, 0)), [[1.0]])
    assert walk.input_output_part().order == 0 and walk.dc_gain().shape == (1, 0)
    assert walk.steady_state([]) == 0 and walk.hankel_singular_values() == 0

"""Inputs that arrive late: every response is shifted, nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.system import LinearSystem
from tests.identification.test_standard_errors import estimated
from tests.identification.test_system import inputs_for, random_system

Array = np.ndarray[Any, Any]

DELAYS = [0, 1, 3, [0, 2], [3, 0], [2, 5], (1, 1), np.array([4, 1])]


def shifted(values: Array, delays: Any) -> Array:
    """Column i of the last axis moved d_i steps down the first."""
    found = np.zeros_like(values)
    for i, delay in enumerate(np.broadcast_to(delays, values.shape[-1])):
        found[delay:, ..., i] = values[: len(values) - delay, ..., i]
    return found


@pytest.mark.parametrize("delays", DELAYS, ids=str)
def test_every_response_is_shifted(delays: Any) -> None:
    system = random_system()
    late = system.with_input_delay(delays)
    np.testing.assert_array_equal(late.markov_parameters(12), shifted(system.markov_parameters(12), delays))
    x, steps = inputs_for(system), int(np.broadcast_to(delays, 2).sum())
    start = np.arange(1.0, 5.0)
    y, last = system.simulate(shifted(x, delays), start)
    found, state = late.simulate(x, np.concatenate([start, np.zeros(steps)]))
    np.testing.assert_allclose(found, y, atol=1e-10)
    np.testing.assert_allclose(state[:4], last, atol=1e-10)
    assert late.order == system.order + steps


def test_what_is_on_its_way_stands_in_the_state_newest_first() -> None:
    system = random_system()
    x = inputs_for(system)
    _, state = system.with_input_delay([2, 3]).simulate(x)
    np.testing.assert_array_equal(state[4:], [*x[-1:-3:-1, 0], *x[-1:-4:-1, 1]])


def test_delays_add_up() -> None:
    system = random_system()
    twice, once = system.with_input_delay([1, 2]).with_input_delay([2, 0]), system.with_input_delay([3, 2])
    np.testing.assert_allclose(twice.markov_parameters(10), once.markov_parameters(10), atol=1e-14)


def test_no_delay_changes_nothing() -> None:
    system = random_system()
    same = system.with_input_delay(0)
    for name in ("feedthrough", "readout", "input_map", "transition", "state_offset", "noise_gain"):
        np.testing.assert_array_equal(getattr(same, name), getattr(system, name))


def test_noise_names_time_and_certainty_are_carried() -> None:
    system = estimated(replace(random_system(), dt=0.5, time_unit="s").with_names(["u", "v"], ["a", "b", "c"]))
    late = system.with_input_delay([2, 0])
    assert (late.dt, late.time_unit, late.input_names, late.output_names) == (0.5, "s", ("u", "v"), ("a", "b", "c"))
    np.testing.assert_allclose(late.prediction_covariance(5), system.prediction_covariance(5))

    def markov(one: LinearSystem) -> Array:
        return one.markov_parameters(8)

    np.testing.assert_allclose(
        late.standard_error(markov), shifted(system.standard_error(markov), [2, 0]), rtol=1e-6, atol=1e-9
    )
    errors, before = late.pole_standard_errors(), system.pole_standard_errors()
    np.testing.assert_allclose(errors.modulus[:4], before.modulus, rtol=1e-6)
    np.testing.assert_array_equal(errors.real[4:], 0)  # poles at 0 are sure, although there are several


def test_without_directions_the_estimation_stays() -> None:
    system = estimated(random_system())
    assert system.estimation is not None
    bare = replace(system, estimation=replace(system.estimation, directions=None))
    told = bare.with_input_delay(2).estimation
    assert told is not None and told.directions is None and told.parameters == 17
    assert random_system().with_input_delay(2).estimation is None


def test_systems_without_inputs_or_states() -> None:
    gain = LinearSystem([[2.0]], np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0)))
    np.testing.assert_array_equal(gain.with_input_delay(2).markov_parameters(4).ravel(), [0, 0, 2, 0])
    alone = LinearSystem(np.zeros((1, 0)), np.ones((1, 1)), np.zeros((1, 0)), np.array([[0.5]]))
    assert alone.with_input_delay(3).order == 1


@pytest.mark.parametrize("delays", [-1, 1.5, True, [1], [1, 2, 3], [1, -1], "12", None])
def test_bad_delays(delays: Any) -> None:
    with pytest.raises(ValueError, match="whole number of steps from 0 on, or 2 of them"):
        random_system().with_input_delay(delays)

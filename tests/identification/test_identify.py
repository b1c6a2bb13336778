"""From records to a model: a family of random stable systems, orders, several experiments, too little data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.optimize import linear_sum_assignment

from seqdyn import LinearStateSpaceRegressor
from seqdyn.identification.hankel import TooShort
from seqdyn.identification.identify import Settings, examine, identify, noise_of
from seqdyn.identification.records import DataRecord
from seqdyn.identification.stability import largest_modulus
from seqdyn.identification.system import LinearSystem
from seqdyn.metrics import fit_percent
from tests.identification.test_subspace import READY_MADE, autonomous, innovations, markov_error

Array = np.ndarray[Any, Any]
WIDTHS = [(1, 1), (2, 1), (1, 2), (3, 3), (2, 3)]
"""Inputs and outputs."""


def stable_system(order: int, inputs: int, outputs: int, seed: int, weakest: float = 1e-3) -> LinearSystem:
    """A random system with poles of modulus 0.4 … 0.95 in a random basis, with offset.

    Systems are drawn anew until their smallest Hankel singular value is above ``weakest`` times the largest (about
    every second one at 1e-3): a state that neither hears nor speaks is in no data. No two poles are nearer than 0.05.
    """
    random = np.random.default_rng([seed, order, inputs, outputs])
    while True:
        blocks: list[Array] = []
        while (left := order - sum(map(len, blocks))) > 0:
            modulus, angle = random.uniform(0.4, 0.95), random.uniform(0.2, 2.9)
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            pair = left > 1 and random.random() < 0.6
            blocks.append(modulus * (turn if pair else np.array([[random.choice([-1.0, 1.0])]])))
        basis, _ = np.linalg.qr(random.normal(size=(order, order)))
        system = LinearSystem(
            random.normal(size=(outputs, inputs)),
            random.normal(size=(outputs, order)),
            random.normal(size=(order, inputs)),
            basis @ block_diag(*blocks) @ basis.T,
            random.normal(size=outputs),
        )
        values, poles = system.hankel_singular_values(), system.poles()
        apart = np.abs(poles[:, None] - poles) + np.eye(order)
        if values[-1] > weakest * values[0] and apart.min() > 0.05:
            return system


def matched(found: Array, poles: Array) -> Array:
    """The poles found in the order of the true ones, nearest first."""
    return found[linear_sum_assignment(np.abs(poles[:, None] - found))[1]]


def pole_error(found: LinearSystem, system: LinearSystem) -> float:
    return float(np.abs(matched(found.poles(), system.poles()) - system.poles()).max(initial=0.0))


def noisy(system: LinearSystem, time: int, level: float, seed: int) -> DataRecord:
    """White inputs; white noise on every output, ``level`` times what it varies by (0.1: 20 dB); of unit size."""
    random = np.random.default_rng([seed, 7])
    x = random.normal(size=(time, system.inputs))
    y = system.simulate(x)[0]
    size = y.std(axis=0)
    return DataRecord.of(x, (y + level * size * random.normal(size=y.shape)) / size)


# -------------------------------------------------------------------- the law


@pytest.mark.parametrize("method", ["subspace+gradient", "subspace"])
@pytest.mark.parametrize(("inputs", "outputs"), WIDTHS)
@pytest.mark.parametrize("order", range(1, 11))
def test_without_noise_every_system_of_the_family_is_found(order: int, inputs: int, outputs: int, method: str) -> None:
    """FIT > 99.99 % in the free run over fresh inputs, poles to 1e-6; measured: 100 − 2e-12 %, and 5e-14.

    The start of the fresh run is estimated from its first 60 steps; it is not from rest.
    """
    system = stable_system(order, inputs, outputs, seed=order)
    random = np.random.default_rng(order)
    x, fresh = random.normal(size=(500, inputs)), random.normal(size=(400, inputs))
    y, expected = (system.simulate(each, random.normal(size=order))[0] for each in (x, fresh))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LinearStateSpaceRegressor(order=order, method=method).fit(x, y)
    predicted = model.predict(fresh, initial_state=model.estimate_state(fresh[:60], expected[:60]))
    assert np.min(fit_percent(expected.squeeze(), predicted)) > 99.99999
    assert pole_error(model.system_, system) < 1e-8


@pytest.mark.parametrize("order", [2, 5, 8])
def test_weak_states_are_found_too(order: int) -> None:
    """With no floor on the Hankel singular values: ratios down to 2e-6, poles to 4e-12."""
    for seed in range(3):
        system = stable_system(order, 1, 1, seed, weakest=0.0)
        record = noisy(system, 600, 0.0, seed)
        assert pole_error(identify([record], Settings(order=order)).system, system) < 1e-8


@pytest.mark.parametrize("radius", [0.99, 0.999])
def test_slow_poles_are_found(radius: float) -> None:
    """Memories as long as the record, and longer."""
    slow = LinearSystem([[0.0]], [[1.0, 1.0]], [[0.1], [1.0]], np.diag([radius, 0.6]), [3.0])
    found = identify([innovations(slow, 500)], Settings(order=2)).system
    assert pole_error(found, slow) < 1e-9


# -------------------------------------------------------------------- the order

SISO = LinearSystem([[0.0]], [[1.0, 0.5]], [[1.0], [0.0]], [[1.5, -0.7], [1.0, 0.0]])
"""Order 2, poles 0.75 ± 0.37i."""
MIMO = LinearSystem(
    [[0.1, 0.0], [0.0, 0.0]],
    [[1.0, 0.5, -1.0], [0.0, 1.0, 0.3]],
    [[1.0, 0.0], [0.0, 0.5], [1.0, 1.0]],
    [[0.9, 0.3, 0.0], [-0.3, 0.9, 0.0], [0.0, 0.0, 0.6]],
)
"""Order 3, two inputs, two outputs; poles 0.9 ± 0.3i and 0.6."""
ORDERS = {
    "two": SISO,
    "three": MIMO,
    "five": stable_system(5, 2, 2, seed=0, weakest=0.05),
    "eight": stable_system(8, 2, 2, seed=0, weakest=0.05),
}
every_order = pytest.mark.parametrize("name", list(ORDERS))


@every_order
def test_without_noise_the_order_is_found(name: str) -> None:
    """Not one of the larger ones, whose errors differ in their rounding only."""
    system = ORDERS[name]
    found = [identify([noisy(system, 600, 0.0, seed)], Settings()).system.order for seed in range(2)]
    assert found == [system.order] * 2


@every_order
def test_through_noise_the_order_is_found(name: str) -> None:
    """20 dB; the free run is close to the truth in every case."""
    system, orders = ORDERS[name], []
    for seed in range(2):
        record = noisy(system, 600, 0.1, seed)
        found = identify([record], Settings())
        orders.append(found.system.order)
        clean = noisy(system, 600, 0.0, seed).y
        ran = found.system.simulate(record.x, found.starts[0])[0]
        assert np.sqrt(((ran - clean) ** 2).mean()) < 0.04
    assert orders == [system.order] * 2


def test_the_search_lists_what_it_tried() -> None:
    found = identify([noisy(SISO, 400, 0.1, 0)], Settings())
    assert [trial.order for trial in found.trials] == list(range(len(found.trials)))
    errors = [min(trial.subspace_error, trial.refined_error) for trial in found.trials]
    assert errors[found.system.order] < 1.05 * min(errors)
    assert errors[0] > 5 * errors[2]


def test_noise_alone_has_no_order() -> None:
    """Or next to none: at most 1 in every case."""
    random = np.random.default_rng(0)
    for _ in range(2):
        record = DataRecord.of(random.normal(size=(300, 1)), random.normal(size=(300, 1)))
        assert identify([record], Settings()).system.order <= 1


def test_a_static_gain_has_order_0() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2))
    found = identify([DataRecord.of(x, x @ [[2.0], [-1.0]] + 3.0)], Settings())
    assert found.system.order == 0
    np.testing.assert_allclose(found.system.feedthrough, [[2.0, -1.0]], atol=1e-12)


# -------------------------------------------------------------------- several experiments, gaps, no inputs


def test_experiments_of_unlike_lengths_and_starts_give_one_model() -> None:
    starts = [(2.0, -1.0), (0.0, 3.0), (-1.0, 1.0), (5.0, 5.0)]
    records = [
        innovations(READY_MADE, time, seed=place, start=starts[place]) for place, time in enumerate((60, 35, 90, 12))
    ]
    found = identify(records, Settings(order=2, block_rows=8))
    assert markov_error(found.system) < 1e-12
    for record, start in zip(records, found.starts, strict=True):
        np.testing.assert_allclose(found.system.simulate(record.x, start)[0], record.y, atol=1e-11)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_missing_outputs_are_done_without(share: float) -> None:
    """Wherever they are: fewer block rows are taken where long stretches are rare."""
    record = innovations(READY_MADE, 800)
    lost = np.random.default_rng(0).random((800, 1)) < share
    found = identify([DataRecord.of(record.x, np.where(lost, np.nan, record.y))], Settings(order=2))
    assert markov_error(found.system) < 1e-9


@pytest.mark.parametrize("order", [2, "auto"])
def test_an_autonomous_system_is_found(order: Any) -> None:
    """No inputs at all: X has no columns."""
    records = [innovations(autonomous(), 120, start=start) for start in ((2.0, -1.0), (0.0, 1.0))]
    found = identify(records, Settings(order=order)).system
    assert (found.order, found.inputs) == (2, 0)
    assert pole_error(found, READY_MADE) < 1e-8


def test_through_noise_an_autonomous_system_is_found_too() -> None:
    """One record, an oscillation of modulus 0.97 that fades."""
    turn = 0.97 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    fading = LinearSystem(np.zeros((1, 0)), [[1.0, 0.0]], np.zeros((2, 0)), turn)
    errors = 0.02 * np.random.default_rng(0).normal(size=(150, 1))
    record = DataRecord.of(np.zeros((150, 0)), fading.simulate(np.zeros((150, 0)), np.array([1.0, 2.0]))[0] + errors)
    assert pole_error(identify([record], Settings(order=2)).system, fading) < 0.005


# -------------------------------------------------------------------- stability


def test_an_unstable_estimate_is_moved_in_and_the_radius_before_is_told() -> None:
    growing = LinearSystem([[0.0]], [[1.0, 1.0]], [[1.0], [-0.5]], np.diag([1.03, 0.5]))
    record = innovations(growing, 150)
    held, free = (identify([record], Settings(order=2, stable=stable)) for stable in (True, False))
    assert held.spectral_radius_before == pytest.approx(1.03, abs=1e-6)
    assert largest_modulus(held.system.transition) < 1
    assert pole_error(free.system, growing) < 1e-8


@pytest.mark.parametrize("seed", range(6))
def test_too_high_orders_of_noisy_records_stay_stable(seed: int) -> None:
    """Order 7 on 120 noisy samples of a slow system: many closed forms are unstable."""
    slow = LinearSystem([[0.0]], [[1.0, 1.0]], [[0.1], [1.0]], np.diag([0.995, 0.6]))
    record = innovations(slow, 120, 0.5, seed)
    for refine in (False, True):
        assert largest_modulus(identify([record], Settings(order=7, refine=refine)).system.transition) < 1


# -------------------------------------------------------------------- without a closed form, or too little


def test_outputs_that_come_back_as_inputs_leave_no_noise_to_model() -> None:
    series = np.random.default_rng(0).normal(size=(300, 1)).cumsum(axis=0)
    record = DataRecord.of(series[:-1], series[1:])
    found = identify([record], Settings(order=1))
    assert found.system.noise_gain is None
    assert noise_of(found.system, [record], None).noise_gain is None


def test_records_too_short_for_the_order_are_refused_with_the_numbers() -> None:
    record = innovations(READY_MADE, 30)
    with pytest.raises(
        TooShort, match=r"an order of 10 .* needs 6 block rows and 48 stretches of 12 steps, as a record of 59 steps"
    ):
        identify([record], Settings(order=10))
    with pytest.raises(TooShort, match="block rows"):
        identify([innovations(READY_MADE, 400)], Settings(order=8, block_rows=3))
    with pytest.raises(TooShort, match="Give longer records"):
        examine([innovations(READY_MADE, 6)], Settings(order=2))


def test_a_search_over_too_few_steps_finds_a_static_model() -> None:
    assert identify([innovations(READY_MADE, 8)], Settings()).system.order == 0


def test_a_known_system_has_no_noise_where_the_record_is_too_short() -> None:
    assert noise_of(READY_MADE, [innovations(READY_MADE, 6)], None).noise_gain is None
    assert noise_of(READY_MADE, [innovations(READY_MADE, 300, 0.3)], None).noise_gain is not None

"""Which order and which error: what the ends of the records decide, case by case and by their laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from seqdyn.identification.choice import (
    FittedTrial,
    OrderTrial,
    ValidationSplit,
    best_by_criterion,
    explained_by_size,
    explains,
    is_white,
    leaves_white,
    parameters,
    runs_closer_by_far,
    worth_refining,
)
from seqdyn.identification.focus import Freedom, Prediction, Simulation
from seqdyn.identification.hankel import TooShort
from seqdyn.identification.identify import Settings, identify
from seqdyn.identification.records import DataRecord
from seqdyn.identification.refinement import Fit
from seqdyn.identification.system import LinearSystem
from tests.identification.plants import PLANT, closed_loop, filtered_noise, walking, without_inputs
from tests.identification.test_prediction_error import runs

Array = np.ndarray[Any, Any]
SECOND = ([0.0, 1.0, 0.5], [1.0, -1.5, 0.7])


# -------------------------------------------------------------------- the focus


def white(seed: int) -> DataRecord:
    return filtered_noise(*SECOND, [1.0], [1.0], 500, seed, 0.5)


def coloured(seed: int) -> DataRecord:
    return filtered_noise(*SECOND, [1.0, 0.3], [1.0, -0.9], 500, seed, 0.5)


def drift(seed: int) -> DataRecord:
    return walking(500, seed)


def loop(seed: int) -> DataRecord:
    return closed_loop(0.9, 0.5, 0.8, 500, seed)


def alone(seed: int) -> DataRecord:
    return without_inputs([1.0], [1.0, -1.5, 0.7], 500, seed)


@pytest.mark.parametrize(
    ("family", "focus"),
    [
        (white, "simulation"),
        (coloured, "prediction"),
        (drift, "prediction"),
        (loop, "prediction"),
        (alone, "prediction"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_noise_decides(family: Callable[[int], DataRecord], focus: str, seed: int) -> None:
    assert identify([family(seed)], Settings(order=2, focus="auto")).focus == focus


def test_a_plant_that_no_linear_model_explains_runs_freely_where_that_is_far_closer() -> None:
    """y = (3 z⁻¹ 0.1 / (1 − 0.9 z⁻¹) x)³ under steps: its one-step errors know of the inputs."""
    random = np.random.default_rng(1)
    x = np.repeat(random.uniform(-1, 1, 40), 20)
    y = lfilter([0.0, 0.3], [1.0, -0.9], x) ** 3 + 0.02 * random.normal(size=800)
    record = DataRecord.of(x[:, None], y[:, None])
    split = ValidationSplit.of([record], 0.25)
    found = {name: identify(split.heads, Settings(order=2, focus=name)) for name in ("simulation", "prediction")}
    errors = {
        name: split.root_mean_square([record.y - one.system.simulate(x[:, None], one.starts[0])[0]])
        for name, one in found.items()
    }
    assert errors["prediction"] > 1.02 * errors["simulation"]
    assert identify([record], Settings(order=2, focus="auto")).focus == "simulation"


@pytest.mark.parametrize("focus", ["prediction", "simulation"])
@pytest.mark.parametrize("family", [white, coloured])
def test_a_focus_that_is_given_is_kept(family: Callable[[int], DataRecord], focus: str) -> None:
    found = identify([family(0)], Settings(focus=focus))
    assert found.focus == focus
    assert {trial.focus for trial in found.trials if trial.order} == {focus}


def test_a_drift_needs_a_model_of_the_noise() -> None:
    with pytest.raises(ValueError, match=r"offset='drift' and focus='simulation' exclude each other"):
        identify([drift(0)], Settings(order=1, offset="drift", focus="simulation"))
    assert identify([white(0)], Settings(order=2, offset="drift", focus="auto")).focus == "prediction"


def test_without_a_search_no_focus_is_compared() -> None:
    found = identify([coloured(0)], Settings(order=2, focus="auto", refine=False))
    assert (found.focus, found.refined) == ("simulation", False)


# -------------------------------------------------------------------- too little data


@pytest.mark.parametrize("time", [6, 12, 20])
@pytest.mark.parametrize("inputs", [0, 1])
def test_short_records_of_noise_have_no_states(time: int, inputs: int) -> None:
    random = np.random.default_rng(time)
    record = DataRecord.of(random.normal(size=(time, inputs)), random.normal(size=(time, 1)))
    assert identify([record], Settings(focus="auto")).order == 0


@pytest.mark.parametrize("focus", ["prediction", "auto"])
def test_an_order_that_is_too_high_for_the_record_is_refused(focus: str) -> None:
    with pytest.raises(TooShort, match="an order of 4 with 1 inputs and 1 outputs needs 5 block rows"):
        identify(runs(PLANT, [20]), Settings(order=4, focus=focus))


# -------------------------------------------------------------------- the parts


def test_a_split_sets_the_ends_aside() -> None:
    records = runs(PLANT, [100, 41, 1])
    split = ValidationSplit.of(records, 0.25)
    assert [len(head.x) for head in split.heads] == [75, 31]
    assert [int(late.sum()) for late in split.late] == [25, 10]
    assert split.counted == 35
    errors = [np.where(late[:, None], 2.0, 100.0) for late in split.late]
    assert split.root_mean_square(errors) == pytest.approx(2.0)
    errors[0][-1] = np.inf
    assert split.root_mean_square(errors) == np.inf
    assert ValidationSplit.of(records[2:], 0.25).heads == []


@pytest.mark.parametrize("memory", [0.0, 0.3])
def test_white_errors_are_told_from_others(memory: float) -> None:
    """Of 400 white sequences 5 % are refused at 5 %, within three standard errors; a memory of 0.3 is always seen."""
    level, count = 0.05, 400
    refused = 0
    for seed in range(count):
        error = lfilter([1.0], [1.0, -memory], np.random.default_rng(seed).normal(size=(600, 1)), axis=0)
        refused += not is_white([error[:400], error[400:]], level)
    if memory:
        assert refused > 0.99 * count
    else:
        assert abs(refused / count - level) < 3 * np.sqrt(level * (1 - level) / count) + 0.01


def test_nothing_left_is_white() -> None:
    assert is_white([np.zeros((50, 1))], 0.05)
    assert is_white([np.ones((1, 1))], 0.05)


def test_the_truth_explains_and_a_wrong_plant_does_not() -> None:
    records = runs(PLANT, [600])
    truth = Fit(PLANT, np.zeros((1, 2)), 1.0)
    deaf = LinearSystem([[0.0]], PLANT.readout, [[0.0], [0.0]], PLANT.transition, noise_gain=PLANT.noise_gain)
    assert explains(truth, records)
    assert not explains(Fit(deaf, np.zeros((1, 2)), 1.0), records)
    x = np.random.default_rng(0).normal(size=(600, 1))
    late = DataRecord.of(x[1:], x[:-1] + np.random.default_rng(1).normal(size=(599, 1)))
    blind = Fit(LinearSystem([[0.0]], [[0.0]], [[0.0]], [[0.0]], noise_gain=[[0.0]]), np.zeros((1, 1)), 1.0)
    assert leaves_white(blind, [late])  # white inputs make white errors, which know of the inputs all the same
    assert not explains(blind, [late])
    assert not leaves_white(truth, records)  # the free run leaves the noise, which remembers
    assert leaves_white(truth, runs(LinearSystem(*(getattr(PLANT, n) for n in MATRICES)), [600]))


MATRICES = ("feedthrough", "readout", "input_map", "transition")


def attempt(order: int, error: float, focus: str = "prediction", fit_error: float = 1.0) -> FittedTrial:
    system = LinearSystem(np.zeros((1, 1)), np.zeros((1, order)), np.zeros((order, 1)), np.zeros((order, order)))
    return FittedTrial(OrderTrial(focus, order, 1.0, error, error), Fit(system, np.zeros((1, order)), fit_error))


def test_the_best_order_pays_for_its_numbers() -> None:
    """Two more states have 6 numbers more: N ln(error²) has to fall by 12."""
    records = [white(0)]
    just = np.exp(-12 / (2 * 500))
    assert parameters(3, records) - parameters(1, records) == 6
    for factor, order in ((1.001, 1), (0.999, 3)):
        assert best_by_criterion([attempt(1, 1.0), attempt(3, factor * just)], records).trial.order == order
    assert best_by_criterion([attempt(0, 1e-12), attempt(1, 1e-13)], records).trial.order == 0


def test_a_fit_compares_with_another_as_its_numbers_allow() -> None:
    records = [white(0)]
    one = attempt(2, 1.0).fit
    limit = np.exp(parameters(2, records) / 500)
    for error, expected in ((0.9, True), (0.999 * limit, True), (1.001 * limit, False), (np.inf, False)):
        assert explained_by_size(one, Fit(one.system, one.starts, error), records) == expected
    exact = Fit(one.system, one.starts, 0.0)
    assert explained_by_size(exact, exact, records)
    assert not explained_by_size(exact, one, records)
    nothing = Fit(one.system, one.starts, np.inf)
    assert explained_by_size(nothing, one, records)
    assert not explained_by_size(nothing, nothing, records)


def test_a_search_is_followed_unless_it_was_clearly_worse() -> None:
    records = [white(0)]
    share = np.exp(parameters(2, records) / 500)

    def tried(focus: str, after: float) -> FittedTrial:
        one = attempt(2, 1.0, focus)
        return one._replace(trial=one.trial._replace(refined_error=after))

    for focus, after, expected in (
        ("prediction", 0.9, True),
        ("prediction", 0.999 * share, True),
        ("prediction", 1.001 * share, False),
        ("prediction", np.inf, False),
        ("simulation", 0.9, True),
        ("simulation", 1.0001, False),
    ):
        assert worth_refining(tried(focus, after), records) == expected
    assert worth_refining(tried("simulation", 2.0)._replace(from_simulation=True), records)


def test_running_closer_by_far_is_more_than_numbers_explain() -> None:
    """The plant itself against one whose gain is off by 1 %, and by 60 %."""
    record = white(0)
    split = ValidationSplit.of([record], 0.25)

    def of_gain(factor: float) -> FittedTrial:
        system = LinearSystem(
            [[0.0]], PLANT.readout, PLANT.input_map * factor, PLANT.transition, noise_gain=np.zeros((2, 1))
        )
        return FittedTrial(OrderTrial("prediction", 2, 1.0, 1.0, 1.0), Fit(system, np.zeros((1, 2)), 1.0))

    assert not runs_closer_by_far(of_gain(1.0), of_gain(1.01), split)
    assert runs_closer_by_far(of_gain(1.0), of_gain(1.6), split)


@pytest.mark.parametrize("focus", [Simulation, Prediction])
def test_a_fit_that_failed_errs_without_end(focus: Any) -> None:
    split = ValidationSplit.of([white(0)], 0.25)
    failed = Fit(PLANT, np.zeros((1, 2)), np.inf)
    assert split.error(focus.of(split.heads, Freedom()), failed) == np.inf

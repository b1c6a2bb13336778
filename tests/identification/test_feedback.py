"""Whether inputs react to outputs: the share of false alarms, the power, and inputs that tell nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import kstest

from seqdyn.identification.excitation import feedback
from seqdyn.identification.hankel import horizon
from seqdyn.identification.records import DataRecord
from tests.identification.plants import closed_loop, filtered_noise, without_inputs
from tests.identification.test_subspace import READY_MADE, innovations

Array = np.ndarray[Any, Any]
RECORDS = 200
ROWS = 12
"""Block rows: as many past steps as the noise here is remembered."""


def p_value(*records: DataRecord) -> float:
    return feedback(horizon(records, None, ROWS))


def open_loop(memory: float, seed: int, time: int = 600) -> DataRecord:
    """y = 0.5 z⁻¹ / (1 − 0.8 z⁻¹) x + (1 + 0.4 z⁻¹) / (1 − 0.7 z⁻¹) e, inputs with a memory of their own."""
    random = np.random.default_rng([seed, int(100 * memory)])
    x = lfilter([1.0], [1.0, -memory], random.normal(size=time))
    y = lfilter([0.0, 0.5], [1.0, -0.8], x) + lfilter([1.0, 0.4], [1.0, -0.7], random.normal(size=time))
    return DataRecord.of(x[:, None], y[:, None])


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_in_open_loop_the_p_value_is_uniform(memory: float) -> None:
    """Of 200 records 10 are below 0.05, ± 3 standard errors of 3.1."""
    values = [p_value(open_loop(memory, seed)) for seed in range(RECORDS)]
    below = np.mean(np.array(values) < 0.05)
    assert below < 0.05 + 3 * np.sqrt(0.05 * 0.95 / RECORDS)
    assert kstest(values, "uniform").pvalue > 1e-3


def test_two_inputs_and_outputs_are_no_feedback() -> None:
    values = [p_value(innovations(READY_MADE, 700, 0.5, seed)) for seed in range(60)]
    assert np.mean(np.array(values) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("gain", [0.8, -0.4])
def test_a_loop_is_seen(gain: float) -> None:
    """A reaction of 0.4 and more within one step: every record of 600 steps shows it."""
    assert max(p_value(closed_loop(0.7, 0.5, gain, 600, seed, 1.0)) for seed in range(20)) < 1e-3


def test_more_records_and_more_steps_see_a_weak_loop() -> None:
    weak = [closed_loop(0.7, 0.5, 0.1, 400, seed, 1.0) for seed in range(8)]
    assert p_value(*weak) < 1e-3
    assert p_value(closed_loop(0.7, 0.5, 0.1, 3200, 0, 1.0)) < 1e-3
    assert np.median([p_value(record) for record in weak]) > 1e-3


@pytest.mark.parametrize("period", [2, 7])
def test_periodic_inputs_tell_nothing_of_feedback(period: int) -> None:
    """The past tells all of the future ones: no more can be told by them."""
    x = np.tile(np.random.default_rng(0).normal(size=period), 600 // period)
    y = lfilter([0.0, 1.0], [1.0, -0.5], x) + np.random.default_rng(1).normal(size=len(x))
    assert p_value(DataRecord.of(x[:, None], y[:, None])) == 1.0


def test_without_inputs_or_with_constant_ones_there_is_none() -> None:
    assert p_value(without_inputs([1.0], [1.0, -0.5], 500, 0)) == 1.0
    record = without_inputs([1.0], [1.0, -0.5], 500, 0)
    assert p_value(DataRecord.of(np.ones((500, 1)), record.y)) == 1.0


def test_too_few_data_tell_nothing() -> None:
    assert feedback(horizon([closed_loop(0.9, 0.5, 0.8, 40, 0)], None, 5)) == 1.0


def test_a_record_without_noise_is_no_feedback() -> None:
    """Nothing is left of the outputs that could be told: the p-value is no alarm."""
    record = filtered_noise([0.0, 0.5], [1.0, -0.8], [1.0], [1.0], 400, 0, 0.0)
    assert p_value(record) > 1e-3

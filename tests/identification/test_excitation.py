"""What the inputs reveal, counted and said in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqdyn.identification.excitation import Excitation, delays, excitation
from seqdyn.identification.hankel import factor
from seqdyn.identification.records import Record
from tests.identification.test_subspace import READY_MADE, innovations

Array = np.ndarray[Any, Any]


def examined(x: Array, order: int = 2, rows: int = 10, weighting: str = "cva", noise: float = 0.0) -> Excitation:
    """Of inputs that drive a smooth response."""
    random = np.random.default_rng(5)
    y = np.array([np.convolve(column, 0.8 ** np.arange(30))[: len(x)] for column in x.T]).sum(axis=0)[:, None]
    record = Record.of(x, y + noise * random.normal(size=y.shape))
    return excitation([record], factor([record], rows, rows), order, weighting)


def sinusoids(count: int, time: int = 500) -> Array:
    frequencies = np.linspace(0.3, 2.8, count)
    return np.sin(np.outer(np.arange(time), frequencies) + np.arange(count)).sum(axis=1)[:, None]


def white(inputs: int = 1, time: int = 1000) -> Array:
    return np.random.default_rng(0).normal(size=(time, inputs))


def periodic_binary(length: int = 4, time: int = 500) -> Array:
    """A maximal shift-register sequence of period 2^4 − 1."""
    register, found = [1] * length, []
    for _ in range(time):
        found.append(register[-1])
        register = [register[-1] ^ register[-2], *register[:-1]]
    return 2.0 * np.array(found)[:, None] - 1.0


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_r_sinusoids_excite_2_r_directions(count: int) -> None:
    found = examined(sinusoids(count))
    assert found.order == 2 * count
    assert bool(found.messages) == (2 * count < 5)


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_white_noise_excites_everything(inputs: int) -> None:
    found = examined(white(inputs))
    assert found.order == found.block_rows == 20
    assert found.condition < 3
    assert found.messages == ()


def test_a_binary_sequence_excites_its_period_less_the_mean() -> None:
    found = examined(periodic_binary())
    assert found.order == 14
    assert found.levels.tolist() == [2]


def test_slow_inputs_are_badly_conditioned_and_n4sid_does_not_stand_them() -> None:
    slow = np.cumsum(np.cumsum(white(), axis=0), axis=0)
    assert examined(slow).condition > 1e3
    assert examined(slow).messages == ()
    (message,) = examined(slow, weighting="n4sid").messages
    assert "take 'cva' or 'moesp'" in message


def test_too_few_frequencies_are_named_with_the_number_needed() -> None:
    (message,) = examined(sinusoids(1), order=4).messages
    assert "excite 2 directions, an order of 4 needs 9" in message
    assert "lower the order" in message
    assert message in str(examined(sinusoids(1), order=4))


def test_a_constant_input_is_named() -> None:
    (message,) = examined(np.hstack([white(), np.full((1000, 1), 3.0)])).messages
    assert message.startswith("Input 1 is constant")


def test_the_same_input_twice_is_named() -> None:
    x = white(2)
    (message,) = examined(np.hstack([x, x[:, :1]])).messages
    assert message.startswith("Inputs 0 and 2 are the same")


def test_inputs_that_add_up_to_another_are_named() -> None:
    x = white(2)
    assert examined(np.hstack([x, x[:, :1] + x[:, 1:]])).messages


@pytest.mark.parametrize("lag", [0, 1, 3, 7])
def test_a_delay_is_counted(lag: int) -> None:
    x = white(2)
    y = np.random.default_rng(1).normal(size=(1000, 1)) * 0.1
    y[lag:, 0] += x[: 1000 - lag, 0]
    y[2:, 0] += 0.8 * x[:-2, 1]
    np.testing.assert_array_equal(delays(factor([Record.of(x, y)], 10, 10)), [lag, 2])


def test_without_an_effect_the_delay_is_beyond_the_longest() -> None:
    y = np.random.default_rng(1).normal(size=(1000, 1))
    np.testing.assert_array_equal(delays(factor([Record.of(white(), y)], 3, 3)), [6])


def test_gaps_and_short_records_are_left_out_of_a_delay() -> None:
    """Nothing is regressed over a border: a record that is too short, and one that joins on."""
    x = white(1, 900)
    y = np.vstack([np.zeros((3, 1)), x[:-3]]) + 0.1 * np.random.default_rng(1).normal(size=(900, 1))
    y[50] = np.nan
    records = [Record.of(x[:400], y[:400]), Record.of(x[400:405], y[400:405]), Record.of(x[405:], y[405:])]
    np.testing.assert_array_equal(delays(factor(records, 10, 10)), [3])
    assert delays(factor([Record.of(x[:9], y[:9])], 2, 2)).tolist() == [0]


def test_without_inputs_there_is_nothing_to_excite() -> None:
    record = Record.of(np.zeros((100, 0)), white(1, 100))
    found = excitation([record], factor([record], 5, 5), 2, "cva")
    assert (found.order, found.condition, found.messages) == (0, 1.0, ())
    assert found.levels.shape == found.delay.shape == (0,)


def test_the_ready_made_system_has_no_delay() -> None:
    record = innovations(READY_MADE, 500, 0.3)
    np.testing.assert_array_equal(delays(factor([record], 10, 10)), [0, 0])

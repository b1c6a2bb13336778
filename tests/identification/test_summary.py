"""One screen of text: it holds the numbers of the system, and only what is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.system import LinearSystem
from tests.identification.test_analysis import first_order, rotation
from tests.identification.test_standard_errors import estimated
from tests.identification.test_system import random_system

Array = np.ndarray[Any, Any]

WIDE = replace(random_system(), dt=0.25, time_unit="s").with_names(["valve", "heater"], ["a", "b", "c"])
STATIC = LinearSystem([[2.0]], np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0)))
ALONE = LinearSystem(
    np.zeros((1, 0)), np.ones((1, 1)), np.zeros((1, 0)), [[0.5]], noise_gain=[[0.5]], noise_covariance=[[4.0]]
)

SYSTEMS = {
    "given": first_order(0.9),
    "pair": rotation(0.9, 0.3),
    "estimated": estimated(WIDE, size=0.01),
    "not stable": first_order(1.02),
    "integrator": first_order(1.0),
    "estimated integrator": estimated(first_order(1.0)),
    "without states": STATIC,
    "without inputs": ALONE,
    "estimated, without inputs": estimated(ALONE),
    "a delay": estimated(first_order(0.5)).with_input_delay(3),
    "large": random_system(order=30, inputs=20, outputs=20),
    "hours": replace(random_system(order=20), dt=1e-4, time_unit="h"),
}


def rows(text: str, start: str) -> list[list[str]]:
    """The cells of the table whose first line begins so."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith(start))
    last = next((number for number in range(first, len(lines)) if not lines[number]), len(lines))
    return [[cell.strip() for cell in line.split("  ") if cell] for line in lines[first:last]]


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_it_fits_one_screen_and_is_aligned(name: str) -> None:
    lines = SYSTEMS[name].summary().splitlines()
    assert len(lines) <= 50 and all(line == line.rstrip() and len(line) <= 100 for line in lines)
    assert not any(word in line for line in lines for word in ("nan", "inf", "None"))
    if SYSTEMS[name].order:
        table = lines[2 : lines.index("", 2)]
        assert len({len(line) for line in table if line[:4] != "and " and not line.endswith("at 0")}) == 1


def test_poles_and_times_are_those_of_the_system() -> None:
    table = rows(rotation(0.9, 0.3).summary(), "pole")
    assert table[1] == ["0.8598 ± 0.266i", "0.9", f"{-1 / np.log(0.9):.4g}", f"{2 * np.pi / 0.3:.4g}"]
    timed = replace(first_order(0.9), dt=0.5, time_unit="h").summary()
    assert "dt = 0.5 h; stable" in timed and "time constant, h" in timed
    assert rows(timed, "pole")[1] == ["0.9", "0.9", f"{-0.5 / np.log(0.9):.4g}", "-"]


def test_standard_errors_have_two_digits_and_values_as_many() -> None:
    system = SYSTEMS["estimated"]
    gains, errors = system.dc_gain(), system.standard_error(LinearSystem.dc_gain)
    table = rows(system.summary(), "static gain")
    assert table[0] == ["static gain", "valve", "heater"] and [row[0] for row in table[1:]] == ["a", "b", "c"]
    for row, column in np.ndindex(3, 2):
        value, error = (float(part) for part in table[row + 1][column + 1].split(" ± "))
        assert value == pytest.approx(gains[row, column], abs=0.06 * errors[row, column])
        assert error == pytest.approx(errors[row, column], rel=0.06)
    modulus, error = (float(part) for part in rows(system.summary(), "pole")[1][1].split(" ± "))
    assert modulus == pytest.approx(0.9, abs=error) and "± one standard error" in system.summary()


def test_noise_and_estimation() -> None:
    system = SYSTEMS["estimated"]
    text = system.summary()
    table = rows(text, "standard deviation of errors")
    deviations = np.sqrt(np.diagonal(system.prediction_covariance(10)[[0, -1]], axis1=1, axis2=2))
    assert [[float(cell) for cell in row[1:]] for row in table[1:]] == [
        [float(f"{value:.4g}") for value in own] for own in deviations.T
    ]
    assert "estimated for prediction: 1000 steps, 17 parameters" in text
    assert "log-likelihood -1234.5, AIC 2503.0, BIC 2586.4" in text
    assert "10 steps ahead" not in replace(system, noise_gain=None).summary()


def test_only_what_is_known_is_told() -> None:
    text = first_order(0.9).summary()
    assert not any(word in text for word in ("standard", "estimated", "zeros", "±"))
    assert "not stable (spectral radius 1.02)" in first_order(1.02).summary()
    assert "static gain: none, there is a pole at 1" in first_order(1.0).summary()
    assert "modulus" not in STATIC.summary() and rows(STATIC.summary(), "static gain")[1] == ["output 1", "2"]
    assert "static gain" not in ALONE.summary() and "0 inputs" in ALONE.summary()


def test_what_does_not_fit_is_counted() -> None:
    text = SYSTEMS["large"].summary()
    assert "and 10 more outputs" in text and "and 14 more inputs" in text
    assert rows(text, "pole")[-1] == ["and 7 more"]
    assert rows(SYSTEMS["a delay"].summary(), "pole")[-1] == ["3 poles at 0"]
    late = STATIC.with_input_delay(1).summary()
    assert "1 pole at 0" in late and "modulus" not in late

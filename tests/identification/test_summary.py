"""One screen of text: it holds the numbers of the system, and only what is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.estimation import Directions
from seqdyn.identification.system import LinearSystem
from tests.identification.test_analysis import first_order, rotation
from tests.identification.test_lasting_modes import drifting
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
    "a drift": drifting(WIDE, np.eye(3)),
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
        start = lines.index("") + 1
        table = lines[start : lines.index("", start)]
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


def test_a_drift_is_told_apart() -> None:
    """Its poles alone do not decay, and no input reaches them: gains and zeros are those of the rest."""
    for count in (1, 3):
        text, rest = drifting(WIDE, np.eye(3)[:count, :count]).summary(), WIDE.summary()
        assert text.splitlines()[0].endswith("dt = 0.25 s; stable, with a drift of the outputs")
        assert text.splitlines()[1] == f"drift: {count} pole{'s' * (count > 1)} at 1 that no input reaches"
        assert rows(text, "static gain") == rows(rest, "static gain") and "zeros: 1\n" not in text
    square = replace(random_system(outputs=2), dt=0.25)
    drifts = drifting(square, np.eye(2)).summary()
    assert [line for line in drifts.splitlines() if line.startswith("zeros")] == [
        line for line in square.summary().splitlines() if line.startswith("zeros")
    ]
    walk = replace(ALONE, transition=np.ones((1, 1))).summary()
    assert "stable, with a drift" in walk and "drift: 1 pole at 1" in walk


@pytest.mark.parametrize("modes", [[[-1.0]], [[1.05]], [[1.0, 0.0], [0.0, -1.0]]])
def test_other_modes_that_no_input_reaches_are_no_drift(modes: Any) -> None:
    text = drifting(WIDE, np.array(modes)).summary()
    assert "not stable (spectral radius 1" in text and "drift" not in text
    assert rows(text, "static gain") == rows(WIDE.summary(), "static gain")


def test_an_integrator_that_is_reached_or_not_shown_is_no_drift() -> None:
    for system in (first_order(1.0), LinearSystem([[1.0]], [[0.0]], [[1.0]], [[1.0]])):
        assert "not stable (spectral radius 1)" in system.summary()


def untold(system: LinearSystem, entry: tuple[int, int]) -> LinearSystem:
    """The system, of one entry of whose feedthrough the data tell nothing."""
    told = system.estimation
    assert told is not None and told.directions is not None
    nothing = Directions(*(0 * change[:1] for change in told.directions))
    nothing.feedthrough[0, *entry] = 1.0
    return replace(system, estimation=replace(told, undetermined=nothing))


@pytest.mark.parametrize("late", [0, 2])
def test_what_the_data_do_not_tell_is_unknown(late: int) -> None:
    system = untold(SYSTEMS["estimated"], (0, 1)).with_input_delay(late)
    text, gain = system.summary(), system.dc_gain()
    table = rows(text, "static gain")
    assert table[1][2] == f"{gain[0, 1]:.4g} ± unknown" and sum("unknown" in cell for row in table for cell in row) == 1
    assert text.endswith("± one standard error; unknown: the data do not tell it")
    assert "unknown" not in SYSTEMS["estimated"].summary()


def test_a_pole_of_which_the_data_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = SYSTEMS["estimated"].pole_standard_errors()
    lost = type(errors)(*(np.where(np.arange(4) == 0, np.inf, part) for part in errors))
    monkeypatch.setattr(LinearSystem, "pole_standard_errors", lambda system: lost)
    table = rows(SYSTEMS["estimated"].summary(), "pole")
    assert table[1][1] == "0.9 ± unknown" and "unknown" not in table[2][1]


def test_what_does_not_fit_is_counted() -> None:
    text = SYSTEMS["large"].summary()
    assert "and 10 more outputs" in text and "and 14 more inputs" in text
    assert rows(text, "pole")[-1] == ["and 7 more"]
    assert rows(SYSTEMS["a delay"].summary(), "pole")[-1] == ["3 poles at 0"]
    late = STATIC.with_input_delay(1).summary()
    assert "1 pole at 0" in late and "modulus" not in late

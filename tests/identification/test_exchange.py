"""Systems of other libraries, and transfer functions: there and back, and the same frequency response."""

from __future__ import annotations

import builtins
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.signal import dlti

from seqdyn.identification.system import LinearSystem
from tests.identification.test_analysis import first_order, rotation
from tests.identification.test_system import random_system

Array = np.ndarray[Any, Any]

MATRICES = ("feedthrough", "readout", "input_map", "transition")
NAMED = replace(random_system(), dt=0.25, time_unit="s").with_names(["u", "v"], ["a", "b", "c"])


def same_matrices(found: LinearSystem, expected: LinearSystem) -> None:
    for name in MATRICES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def gain(feedthrough: Any) -> LinearSystem:
    """A system without states."""
    outputs, inputs = np.shape(feedthrough)
    return LinearSystem(feedthrough, np.zeros((outputs, 0)), np.zeros((0, inputs)), np.zeros((0, 0)))


# --- python-control ---------------------------------------------------------------------------------------------------


def test_python_control_there_and_back() -> None:
    pytest.importorskip("control", reason="python-control is not installed")
    system = NAMED.to_control()
    assert (system.dt, system.input_labels, system.output_labels) == (0.25, ["u", "v"], ["a", "b", "c"])
    again = LinearSystem.from_control(system, time_unit="s")
    same_matrices(again, NAMED)
    assert (again.dt, again.time_unit) == (0.25, "s")
    assert (again.input_names, again.output_names) == (("u", "v"), ("a", "b", "c"))
    plain = LinearSystem.from_control(random_system().to_control())
    assert plain.input_names == plain.output_names == ()  # u[0], y[0] are no names


def test_python_control_computes_the_same() -> None:
    control = pytest.importorskip("control", reason="python-control is not installed")
    system = NAMED.to_control()
    at = np.array([0.01, 0.3, 1.7])
    expected = NAMED.frequency_response(at).response
    for one, turn in zip(expected, 2 * np.pi * at, strict=True):
        np.testing.assert_allclose(control.evalfr(system, np.exp(1j * turn * 0.25)), one)
    np.testing.assert_allclose(system.dcgain(), NAMED.dc_gain())
    static = gain([[2.0]]).to_control()
    assert static.nstates == 0 and static.dcgain() == 2.0


def test_transfer_functions_of_python_control_are_read() -> None:
    """Also with several inputs and outputs, with a delay, and with a pair that lets nothing through."""
    control = pytest.importorskip("control", reason="python-control is not installed")
    numerators = [[[1.0], [2.0, 1.0]], [[0.0], [0.3, -0.2, 0.1]]]
    denominators = [[[1.0, 0.5], [1.0, 0.2]], [[1.0], [1.0, -0.4, 0.2, 0.0]]]
    system = control.tf(numerators, denominators, 0.1)
    found = LinearSystem.from_control(system)
    assert found.dt == 0.1 and (found.inputs, found.outputs) == (2, 2)
    at = np.array([0.0, 1.0, 4.0])
    z = np.exp(2j * np.pi * at * 0.1)
    for row, column in np.ndindex(2, 2):
        expected = np.polyval(numerators[row][column], z) / np.polyval(denominators[row][column], z)
        np.testing.assert_allclose(found.frequency_response(at).response[:, row, column], expected, atol=1e-12)


def test_times_of_python_control() -> None:
    control = pytest.importorskip("control", reason="python-control is not installed")
    quadruple = ([[-0.5]], [[1.0]], [[1.0]], [[0.0]])
    for dt in (True, None):
        assert LinearSystem.from_control(control.ss(*quadruple, dt)).dt == 1.0
        assert LinearSystem.from_control(control.ss(*quadruple, dt), dt=0.3).dt == 0.3
    with pytest.raises(TypeError, match="use from_continuous"):
        LinearSystem.from_control(control.ss(*quadruple))
    held = LinearSystem.from_continuous(control.ss(*quadruple, inputs=["u"], outputs=["y"]), dt=0.1)
    assert (held.input_names, held.output_names) == (("u",), ("y",))
    assert held.poles()[0] == pytest.approx(np.exp(-0.05))
    fraction = control.tf([2.0], [2.0, 1.0])
    assert LinearSystem.from_continuous(fraction, dt=0.1).dc_gain().item() == pytest.approx(2.0)


def test_without_python_control_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "control":
            raise ModuleNotFoundError("No module named 'control'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delitem(sys.modules, "control", raising=False)
    with pytest.raises(ImportError, match="pip install control"):
        random_system().to_control()


# --- transfer functions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 3, 8])
def test_a_transfer_function_has_the_frequency_response(order: int) -> None:
    system = random_system(order=order) if order else gain([[2.0, 0.5]])
    found, at = system.transfer_function(), np.linspace(0.0, 0.5, 21)
    z = np.exp(2j * np.pi * at)
    response = system.frequency_response(at).response
    for row, column in np.ndindex(system.outputs, system.inputs):
        expected = np.polyval(found.numerators[row, column], z) / np.polyval(found.denominator, z)
        np.testing.assert_allclose(response[:, row, column], expected, rtol=1e-9)


def test_a_transfer_function_of_scipy_comes_back() -> None:
    numerator, denominator = [1.0, 0.2], [1.0, -1.1, 0.3]
    found = LinearSystem.from_control(dlti(numerator, denominator, dt=0.5)).transfer_function()
    np.testing.assert_allclose(found.denominator, denominator)
    np.testing.assert_allclose(found.numerators, [[[0.0, *numerator]]], atol=1e-14)
    assert found.dt == 0.5


def test_numerators_have_the_zeros() -> None:
    system = random_system(order=5, inputs=1, outputs=1)
    roots = np.sort_complex(np.roots(system.transfer_function().numerators[0, 0]).astype(complex))
    np.testing.assert_allclose(roots, np.sort_complex(system.zeros()), atol=1e-8)


def test_a_lightly_damped_rotation() -> None:
    """(z − r cos φ) / (z² − 2 r cos φ z + r²)."""
    found, c = rotation(0.999, 0.01).transfer_function(), 0.999 * np.cos(0.01)
    np.testing.assert_allclose(found.denominator, [1, -2 * c, 0.999**2], rtol=1e-14)
    np.testing.assert_allclose(found.numerators.ravel(), [0, 1, -c], rtol=1e-13)


def test_delays_are_exact() -> None:
    found = first_order(0.5).with_input_delay(3).transfer_function()
    np.testing.assert_array_equal(found.denominator, [1, -0.5, 0, 0, 0])
    np.testing.assert_array_equal(found.numerators.ravel(), [0, 0, 0, 0, 1])


def test_it_reads_as_fractions() -> None:
    system = LinearSystem.from_control(dlti([-1.0, 0.25], [1.0, -1.5, 0.0], dt=0.1), time_unit="s")
    text = str(system.with_names(["valve"], ["level"]).transfer_function())
    assert text.splitlines() == [
        "valve → level",
        "     -z + 0.25",
        "    -----------",
        "    z^2 - 1.5 z",
        "dt = 0.1 s",
    ]
    wide = str(NAMED.transfer_function()).splitlines()
    assert [line for line in wide if "→" in line] == [f"{x} → {y}" for y in "abc" for x in "uv"]
    assert wide[-1] == "dt = 0.25 s"
    assert str(gain([[2.0]]).transfer_function()).splitlines() == ["input 1 → output 1", "    2", "dt = 1"]

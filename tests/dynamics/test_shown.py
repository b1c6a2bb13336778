"""What results show of themselves: one line that says something, and a small table in notebooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seqdyn import dynamics
from seqdyn.cells.gru import GRU
from seqdyn.identification.identify import Settings, identify
from seqdyn.identification.records import DataRecord
from seqdyn.identification.system import LinearSystem
from seqdyn.systems.henon import Henon
from seqdyn.systems.logistic import Logistic

CELL = GRU(2, 40, generator=torch.Generator().manual_seed(0))
X = torch.ones(2, 50, 2)
SYSTEM = LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]], dt=2.0, time_unit="s")

RESULTS: dict[str, Callable[[], Any]] = {
    "exponents": lambda: dynamics.lyapunov_spectrum(CELL, X),
    "fixed points": lambda: dynamics.fixed_points(Henon()),
    "cycle": lambda: dynamics.limit_cycle(Logistic(3.2)),
    "gradient": lambda: dynamics.gradient_by_lag(CELL, X, lambda y: y),
    "parameters": lambda: dynamics.parameter_gradients(CELL, X, lambda y: y),
    "norms": lambda: dynamics.transition_norms(CELL, X),
    "map": lambda: dynamics.transition_map(CELL, X),
    "normality": lambda: dynamics.normality(torch.randn(30, 30, generator=torch.Generator().manual_seed(0))),
    "gates": lambda: dynamics.gate_statistics(CELL, X)["update"],
    "omega": lambda: dynamics.omega(CELL, X, lambda y: y),
    "system": lambda: SYSTEM,
    "response": lambda: SYSTEM.frequency_response(),
    "gramians": lambda: SYSTEM.gramians(),
    "identification": lambda: identified(),
    "estimation": lambda: identified().system.estimation,
    "excitation": lambda: identified().excitation,
}
WITH_TABLE = ("exponents", "fixed points", "cycle", "gradient", "system", "identification", "estimation", "excitation")


def identified() -> Any:
    x = np.random.default_rng(0).normal(size=(400, 1))
    return identify([DataRecord.of(x, SYSTEM.simulate(x)[0])], Settings(order=1))


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_one_line(name: str) -> None:
    """It begins with the name of its type, has no walls of numbers, and a table where there are facts."""
    result = RESULTS[name]()
    assert repr(result).startswith(f"{type(result).__name__}(") and "\n" not in repr(result) and len(repr(result)) < 600
    assert (name in WITH_TABLE) == hasattr(result, "_repr_html_")
    if name in WITH_TABLE:
        table = result._repr_html_()
        assert table.startswith(f"<table><caption>{type(result).__name__}") and table.count("<tr>") == len(
            result.facts()
        )


def test_facts_are_in_words() -> None:
    assert repr(SYSTEM) == (
        "LinearSystem(inputs=1, outputs=1, order=1, dt=2 s, spectral_radius=0.9, noise_model=no, estimated=no)"
    )
    assert (
        repr(RESULTS["cycle"]())
        == "LimitCycle(kind=periodic, stable=True, period=2 steps, multipliers=0.16, residual=0)"
    )
    assert repr(RESULTS["fixed points"]()).startswith("FixedPoints(")

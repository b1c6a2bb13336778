"""What is no cell is told the way to one, by every instrument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from seqdyn import dynamics
from seqdyn.estimators.regressors import GRURegressor

X = torch.zeros(1, 8, 2)

INSTRUMENTS: dict[str, Callable[[Any], Any]] = {
    "jacobians": lambda cell: dynamics.jacobians(cell, X),
    "input_jacobians": lambda cell: dynamics.input_jacobians(cell, X),
    "transition_norms": lambda cell: dynamics.transition_norms(cell, X),
    "transition_map": lambda cell: dynamics.transition_map(cell, X),
    "transition_singular_values": lambda cell: dynamics.transition_singular_values(cell, X),
    "leading_singular_value": lambda cell: dynamics.leading_singular_value(cell, X),
    "gradient_by_lag": lambda cell: dynamics.gradient_by_lag(cell, X, torch.sum),
    "accumulated_gradient": lambda cell: dynamics.accumulated_gradient(cell, X, torch.sum),
    "parameter_gradients": lambda cell: dynamics.parameter_gradients(cell, X, torch.sum),
    "omega": lambda cell: dynamics.omega(cell, X, torch.sum),
    "steps_reached": lambda cell: dynamics.steps_reached(cell, X, torch.sum),
    "eigenvalues": dynamics.eigenvalues,
    "spectral_radius": lambda cell: dynamics.spectral_radius(cell, X),
    "lyapunov_spectrum": lambda cell: dynamics.lyapunov_spectrum(cell, X),
    "finite_time_exponents": lambda cell: dynamics.finite_time_exponents(cell, X, lag=2),
    "divergence_exponent": lambda cell: dynamics.divergence_exponent(cell, X),
    "forced_growth": lambda cell: dynamics.forced_growth(cell, X),
    "recommended_alpha": lambda cell: dynamics.recommended_alpha(cell, X),
    "fixed_points": dynamics.fixed_points,
    "limit_cycle": dynamics.limit_cycle,
    "gate_statistics": lambda cell: dynamics.gate_statistics(cell, X),
    "saturation": lambda cell: dynamics.saturation(cell, X),
    "memory_capacity": dynamics.memory_capacity,
    "neurons": dynamics.neurons,
    "clamp": lambda cell: dynamics.clamp(cell, {"h[0]": 0.0}),
    "nudge": lambda cell: dynamics.nudge(cell, {"h[0]": 0.0}),
    "memory_horizons": lambda cell: dynamics.memory_horizons(cell, X),
}


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_the_way_to_a_cell(name: str) -> None:
    with pytest.raises(TypeError, match=r"got LSTM: seqdyn\.from_torch makes one"):
        INSTRUMENTS[name](torch.nn.LSTM(2, 3))
    with pytest.raises(TypeError, match=r"got GRURegressor: .*est\.cell_"):
        INSTRUMENTS[name](GRURegressor())


def test_every_instrument_is_asked() -> None:
    """What seqdyn.dynamics offers is an instrument of a cell, asked above, or something else, named here."""
    others = {"jacobian", "block", "Trajectory", "measured", "Scaled", "compose", "total", "condition", "power_norms"}
    others |= {"normality", "time_constant", "forget_bias_for", "record_jacobian", "record_block", "float64_copy"}
    results = {name for name in dynamics.__all__ if name[0].isupper()}
    assert set(dynamics.__all__) - others - results == set(INSTRUMENTS)

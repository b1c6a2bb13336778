"""Instruments: measurements of any cell along a trajectory. None of them changes what it measures.

    derivatives      ∂(y_t, h_t)/∂(x_t, h_{t-1}) of one step, recorded along a scan
    trajectory       a float64 copy of the cell, walked through in stretches; its Jacobians
    products         P_{s,t} = J_t … J_{s+1}: norms by lag, singular values, the map over (s, t)
    normality        powers of a constant matrix, and how they grow before they decay
    gradients        ∂E_t/∂h_s by lag, what reaches the parameters, what truncation leaves out
    norm_preservation  Pascanu's Ω, as a measure and as a penalty
    reach            how far back a gradient still counts
    lyapunov         exponents, conditional and autonomous
    equilibria       fixed and slow points
    gates            saturation, and the time constants gates imply
    horizons         how long the memory is, by every definition, in one table

The functions are at hand as ``seqdyn.dynamics.<name>``; they are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "derivatives": ("jacobian", "block"),
    "trajectory": ("jacobians", "input_jacobians", "Trajectory", "measured"),
}
"""Where each public name lives."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"seqdyn.dynamics.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'seqdyn.dynamics' has no attribute {name!r}; see dir(seqdyn.dynamics).")


def __dir__() -> list[str]:
    return sorted(__all__)

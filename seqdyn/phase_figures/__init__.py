"""Figures of dynamics: what a system, and a model of it, do in the long run, side by side.

    trajectories   systems by name, in the colours of their roles
    portraits      phase portraits, and delay embeddings of one output
    return_maps    every maximum against the one before
    spectra        power spectra over each other
    bifurcations   what is visited against a parameter

The functions are at hand as ``seqdyn.phase_figures.<name>``; they are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "portraits": ("plot_phase_portrait", "plot_delay_embedding"),
    "return_maps": ("plot_return_map", "successive_maxima"),
    "spectra": ("plot_power_spectra",),
    "bifurcations": ("plot_bifurcation",),
}
"""Where each public name lives."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"seqdyn.phase_figures.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'seqdyn.phase_figures' has no attribute {name!r}; see dir(seqdyn.phase_figures).")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Figures of dynamics: what a system, and a model of it, do in the long run, side by side.

    trajectories   systems by name, in the colours of their roles
    portraits      phase portraits, and delay embeddings of one output
    return_maps    every maximum against the one before
    spectra        power spectra over each other
    bifurcations   what is visited against a parameter

The functions are at hand as ``seqdyn.phase_figures.<name>``; they are imported when they are first used.
"""

from seqdyn.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""Scores, with their exact definitions. A NaN in y is a missing observation and is left out.

Nothing else is left out: a NaN in a forecast of a known y is a NaN in the score, and so is a score that is not defined.
Arrays are compared element by element; labels are not. Unless said otherwise a mean runs over everything known, over
all axes at once. The scores of free runs, the last three below, take whole trajectories and refuse a truth with gaps;
a run that blows up is scored as it is.

    points               errors of point predictions
    scaled               errors on the scale of the past of the same series
    quantiles            losses of quantiles
    ranked_probability   scores of a normal distribution, and of samples
    intervals            scores of prediction intervals
    free_runs            how long a free run stays with the truth, in Lyapunov times
    state_space          whether a generated trajectory visits the same places, equally often
    power_spectra        whether it moves at the same frequencies

The functions are at hand as ``seqdyn.metrics.<name>``; they are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "points": ("fit_percent", "rmse", "mae", "mape", "smape"),
    "scaled": ("mase", "rmsse", "owa"),
    "quantiles": ("pinball", "wql"),
    "ranked_probability": ("crps_gaussian", "crps_samples"),
    "intervals": ("interval_score", "msis", "coverage"),
    "free_runs": ("valid_prediction_time", "ValidPredictionTime"),
    "reconstructions": ("Divergence",),
    "state_space": ("state_space_divergence",),
    "power_spectra": ("power_spectrum_error",),
}
"""Where each public name lives."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"seqdyn.metrics.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'seqdyn.metrics' has no attribute {name!r}; see dir(seqdyn.metrics).")


def __dir__() -> list[str]:
    return sorted(__all__)

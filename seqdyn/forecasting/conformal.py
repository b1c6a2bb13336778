"""Split-conformal intervals: the spread of errors that were measured on rows the weights have not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqdyn.data.panels import Panel
from seqdyn.forecasting.backtest import Windows, following

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Conformal:
    """Errors by step, in units of each series' own scale.

    Attributes
    ----------
    errors : array, shape (errors, horizon)
        z − ẑ of the calibration origins of all series; NaN where y was missing.
    """

    errors: Array

    @classmethod
    def measure(cls, model: Any, panel: Panel, windows: Windows) -> Conformal:
        """The errors of a fitted model at the origins of ``windows``."""
        future = following(panel, windows.rows, windows.horizon)
        found = model.point(panel, windows.series, windows.rows, windows.horizon, future)
        truth = model.scaled(panel, windows.series, windows.rows, windows.horizon)
        return cls(truth - found)

    def offsets(self, levels: Array, horizon: int) -> Array:
        """What is added to the point forecast for every quantile, (horizon, quantiles).

        The p-quantile of n errors is the one of rank ⌈(n + 1) p⌉, of −errors for p < ½: then a new error exceeds it
        with probability at most 1 − p (Vovk, Gammerman & Shafer 2005).
        """
        if horizon > self.errors.shape[1]:
            raise ValueError(
                f"The calibration measured errors up to {self.errors.shape[1]} steps ahead, not {horizon}: fit with "
                f"horizon={horizon}."
            )
        return np.array([[_ranked(column, level) for level in levels] for column in self.errors[:, :horizon].T])


def _ranked(errors: Array, level: float) -> float:
    """The conformal quantile of one step's errors."""
    known = np.sort(errors[~np.isnan(errors)])
    if level < 0.5:
        return -_ranked(-known, 1 - level)
    rank = int(np.ceil((len(known) + 1) * level - 1e-9))
    if rank > len(known):
        raise ValueError(
            f"{len(known)} calibration errors are too few for the quantile {level:g}: at least "
            f"{int(np.ceil(level / (1 - level)))} are needed. Raise calibration."
        )
    return float(known[rank - 1])

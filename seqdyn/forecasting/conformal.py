"""Split-conformal intervals: the spread of errors that were measured on rows the weights have not seen.

σ_{i,k}   how large errors of series i are k steps ahead beside those of the others, on the rows of the fit
r = (q − q̂) / σ_{i,k}   of origins that were held out, all series together
quantile p of q:   q̂ + σ_{i,k} · r_(⌈(n + 1) p⌉)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqdyn.checks import outside
from seqdyn.data.panels import Panel
from seqdyn.forecasting.origins import Origins, following

Array = np.ndarray[Any, Any]

ORIGINS, MOST = 120, 50_000
"""How many origins of every series its spread is measured at, and of all series together at most."""


@dataclass(frozen=True)
class Conformal:
    """Errors by step, in units of each series' usual error.

    Attributes
    ----------
    scores : array, shape (errors, horizon)
        r, NaN where y was missing.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World; Lei et al. (2018), Distribution-Free
    Predictive Inference for Regression, section 5.2 (locally weighted).
    """

    scores: Array

    @classmethod
    def measure(cls, model: Any, panel: Panel, origins: Origins) -> Conformal:
        """The scores of a fitted model at origins that its weights have not seen."""
        known = np.isin(origins.series, np.flatnonzero(panel.names.isin(model.known_.names)))
        part = panel.select(np.flatnonzero(panel.names.isin(model.known_.names)))
        place = origins.rows[known] - panel.starts[origins.series[known]]
        series = part.names.get_indexer(panel.names)[origins.series[known]]
        origins = replace(origins, series=series, rows=part.starts[series] + place, window=origins.window[known])
        errors = _errors(model, part, origins)
        owner = model.known_.names.get_indexer(part.names)[series]
        return cls(errors / model.spread_[owner, : origins.horizon])

    def offsets(self, levels: Array, horizon: int) -> Array:
        """What is added to the point forecast for every quantile, in units of σ, (horizon, quantiles).

        The p-quantile of n errors is the one of rank ⌈(n + 1) p⌉, and of −errors for p < ½: then a new error exceeds
        it with probability at most 1 − p.
        """
        if horizon > self.scores.shape[1]:
            raise ValueError(
                f"The calibration measured errors up to {self.scores.shape[1]} steps ahead, not {horizon}: fit with "
                f"horizon={horizon}."
            )
        return np.array([[_ranked(column, level) for level in levels] for column in self.scores[:, :horizon].T])


def held_out(panel: Panel, horizon: int, calibration: int) -> tuple[Origins, Panel]:
    """The origins that errors are measured at, and the rows before them.

    Raises
    ------
    ValueError
        If too few rows are left to fit to.

    Warns
    -----
    UserWarning
        If some series are too short to be measured at all origins.
    """
    origins = Origins.of(panel, horizon, calibration, 1)
    before = origins.before(panel)
    if int(before.lengths.max()) < 2 * horizon + 2:
        raise ValueError(
            f"calibration={calibration} origins of {horizon} steps leave at most {before.lengths.max()} rows of a "
            f"series to fit to, and at least {2 * horizon + 2} are needed: the longest has {panel.lengths.max()} rows. "
            "Lower calibration or horizon."
        )
    for note in origins.notes:
        warnings.warn(f"Calibration: {note}", stacklevel=outside())
    return origins, before


def spread(model: Any, panel: Panel, horizon: int) -> Array:
    """σ: how large a fitted model's errors are in every series on the rows of the fit, beside all series' mean.

    A series' own profile over the steps is drawn halfway to that of all series, and more if it has few origins. Of a
    single series σ is 1.

    Returns
    -------
    array, shape (series, horizon)
    """
    count = min(ORIGINS, max(1, MOST // len(panel.names)), int(panel.lengths.max()) - horizon - 2)
    origins = Origins.of(panel, horizon, count, 1)
    size = np.abs(_errors(model, panel, origins))
    number = np.zeros((len(panel.names), origins.horizon))
    total = number.copy()
    np.add.at(number, origins.series, ~np.isnan(size))
    np.add.at(total, origins.series, np.nan_to_num(size))
    usual = total.sum(axis=1) / np.maximum(number.sum(axis=1), 1)
    usual = np.where(usual > 0, usual, np.median(usual[usual > 0]) if (usual > 0).any() else 1.0)
    own = total / np.maximum(number, 1) / usual[:, None]
    common = (own * number).sum(axis=0) / np.maximum(number.sum(axis=0), 1)
    share = number / (number + ORIGINS)
    profile = share * own + (1 - share) * common
    found = usual[:, None] * np.maximum(profile, 1e-3)
    found = found / found.mean(axis=0)
    return found


def _errors(model: Any, panel: Panel, origins: Origins) -> Array:
    """q − q̂ at every origin, (origins, horizon)."""
    future = following(panel, origins.rows, origins.horizon)
    found = model.point(panel, origins.series, origins.rows, origins.horizon, future)
    errors: Array = model.truth(panel, origins.series, origins.rows, origins.horizon) - found
    return errors


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

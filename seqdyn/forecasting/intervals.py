"""The errors of a fitted network, and the quantiles that follow from them.

The network's own head says it, or it is measured: on rows at the end of every series that were held out to choose on,
or by early stopping, at no further fit (:mod:`seqdyn.forecasting.conformal`); without such rows on those of the fit,
from which sample paths are drawn (:mod:`seqdyn.forecasting.paths`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.conformal import Conformal, at_the_end, usual_errors
from seqdyn.forecasting.fitted import Departure, FittedNetwork
from seqdyn.forecasting.paths import Residuals, path_pieces

RESIDUALS = 20_000
"""Rows of all series together whose one-step errors are kept for sample paths, at least 100 of each."""

DEFAULT_MEASURED_STEPS = 12
"""How many steps ahead errors are measured, where neither a horizon nor a season is longer."""

LEAST_NETWORK_WIDTH = 1e-6
"""Half the width of the narrowest interval, in units of a series."""


@dataclass(frozen=True)
class ForecastErrors:
    """The errors of a fitted network, as far as its head does not model them.

    Attributes
    ----------
    residuals : Residuals or None
        One step ahead; None where the head says it, or one row predicts several steps.
    conformal : Conformal or None
        Several steps ahead, on rows held out; None where there are none.
    """

    residuals: Residuals | None = None
    conformal: Conformal | None = None

    @classmethod
    def of(cls, network: FittedNetwork, panel: Panel, X: Array, Y: Array, held: Array, horizon: int) -> ForecastErrors:
        """Measure them on the rows X, Y of the fit; weights have not seen the last ``held`` of every series."""
        if "quantiles" in network.head.provides:
            return cls()
        residuals = _residuals(network, panel, X, Y, held) if network.steps == 1 else None
        return cls(residuals, _conformal(network, panel, held, horizon) if held.any() else None)

    def on(self, network: FittedNetwork, panel: Panel) -> ForecastErrors:
        """The same for a network that was fitted anew, to all of a panel: its usual errors set their sizes."""
        if self.conformal is None:
            return self
        usual = usual_errors(network, panel, self.conformal.horizon)
        return replace(self, conformal=self.conformal.on(usual))

    def among(self, names: pd.Index, others: pd.Index) -> ForecastErrors:
        """The same for other series, whose usual errors are those of the series of the fit in the middle."""
        place = names.get_indexer(others)

        def placed(values: Array) -> Array:
            return np.where((place >= 0)[:, None], values[place], np.median(values, axis=0))

        residuals, conformal = self.residuals, self.conformal
        if residuals is not None:
            residuals = replace(residuals, sizes=placed(residuals.sizes))
        if conformal is not None:
            conformal = replace(conformal, spread=placed(conformal.spread))
        return ForecastErrors(residuals, conformal)


def held_rows(estimator: Any, panel: Panel, begins: Array, ends: Array) -> Array:
    """How many rows at the end of every series a fit with early stopping has held out, (series,).

    The fit was to the stretches of the panel from ``begins`` to ``ends``.
    """
    if not getattr(estimator, "early_stopping", False):
        return np.zeros(len(panel.names), np.int64)
    last = np.flatnonzero(np.append(np.diff(panel.series[begins]) > 0, True))
    length = (ends - begins)[last]
    held = np.maximum(1, np.round(estimator.validation_fraction * length).astype(np.int64))
    return held + panel.ends - ends[last]


def network_quantiles(
    network: FittedNetwork, start: Departure, output: Tensor, levels: Array, errors: ForecastErrors, draws: Draws
) -> Array:
    """Quantiles of y from origins, (origins, horizon, quantiles), put in order; ``output`` is what the network says."""
    if errors.conformal is not None:
        z = network.points(output, draws.horizon)
        q = network.transform.integrated(z, start.series, start.tails)[:, :, None]
        width = errors.conformal.widths(start.series, levels, draws.horizon)
        least = LEAST_NETWORK_WIDTH * network.transform.scale[start.series, :1, None]
        width = np.sign(levels - 0.5) * np.maximum(np.sign(levels - 0.5) * width, least)
        return np.sort(network.transform.to_data(q + width, start.series), axis=2)
    if network.steps > 1:
        return np.sort(_head_quantiles(network, start, output, levels, draws.horizon), axis=2)
    pieces = path_pieces(network, start, draws.count, errors.residuals, draws.generator)
    return np.concatenate([np.moveaxis(np.quantile(paths, levels, axis=2), 0, 2) for paths in pieces])


@dataclass(frozen=True)
class Draws:
    """How far ahead, how many sample paths an origin, and what draws them."""

    horizon: int
    count: int
    generator: torch.Generator


def interval_notes(errors: ForecastErrors, levels: Array) -> tuple[str, ...]:
    """What is to be said of intervals, if anything."""
    if errors.conformal is not None:
        reason = errors.conformal.reason(levels)
        return (reason,) if reason else ()
    if errors.residuals is None or not errors.residuals.flatters:
        return ()
    return (
        f"Intervals are drawn from the errors of rows that the weights were fitted to, {1 / errors.residuals.seen:.2g} "
        "of them a weight: they are too narrow. Leave validation above 0, set early_stopping=True in the estimator, or "
        "put the forecaster into a ConformalForecaster: each measures errors on rows held out.",
    )


def _head_quantiles(network: FittedNetwork, start: Departure, output: Tensor, levels: Array, horizon: int) -> Array:
    """Quantiles as the heads of a direct model say; differences are undone along the point forecast."""
    if "quantiles" not in network.head.provides:
        raise ValueError(
            f"A direct model with loss={network.estimator.loss!r} says nothing of its errors: set early_stopping=True "
            "in the estimator or put the forecaster into a ConformalForecaster, which measure them, or fit with "
            "loss='quantile' or 'gaussian'."
        )
    codec = network.estimator.predictor_.codec.targets
    values = codec.quantiles(output[:, 0], tuple(levels))[:, : network.steps][:, :horizon]
    if not network.transform.memory:
        return network.transform.backward(values, start.series, start.tails)
    z = network.points(output, horizon)
    q = network.transform.integrated(z, start.series, start.tails)[:, :, None]
    width = (values - z[:, :, None]) * network.transform.scale[start.series, :1, None]
    return network.transform.to_data(q + width, start.series)


def _residuals(network: FittedNetwork, panel: Panel, X: Array, Y: Array, held: Array) -> Residuals:
    """One-step errors on the rows held out, where these are enough, else on the first rows of every series."""
    late = panel.steps >= (panel.lengths - held)[panel.series]
    if late.sum() >= 100:
        error = (Y - network.said(X, panel))[late]
        known = ~np.isnan(error).any(axis=1)
        return Residuals.of(error[known], panel.series[late][known], len(panel.names))
    few = panel.steps < max(100, RESIDUALS // len(panel.names))
    owner = panel.series[few]
    cuts = np.flatnonzero(np.diff(owner)) + 1
    error = Y[few] - np.concatenate(network.estimator.predict(np.split(X[few], cuts)))
    known = panel.steps[few] >= np.minimum(_delay_length(network), panel.lengths // 2)[owner]
    known &= ~np.isnan(error).any(axis=1)
    weights = sum(parameter.numel() for parameter in network.estimator.network_.parameters())
    rows = int((~np.isnan(Y).any(axis=1)).sum())
    return Residuals.of(error[known], owner[known], len(panel.names), weights / max(rows, 1))


def _delay_length(network: FittedNetwork) -> int:
    """How many rows a delay line of the network needs to be filled."""
    own = (getattr(network.estimator, name, 0) for name in ("output_lags", "input_lags"))
    lags = getattr(getattr(network.estimator, "autoregression", None), "lags", 1)
    return max(int(lags), 1 + max((int(number or 0) for number in own if isinstance(number, int)), default=0))


def _conformal(network: FittedNetwork, panel: Panel, held: Array, horizon: int) -> Conformal | None:
    """Errors from every origin in the rows held out; None where no value is known there."""
    before = panel.head(panel.lengths - held)
    horizon = min(horizon, int(held.max()), max(1, int(before.lengths.max()) - 3))
    if int(before.lengths.max()) < horizon + 3:
        return None
    usual = usual_errors(network, before, horizon)
    place = before.names.get_indexer(panel.names)
    whole = np.where((place >= 0)[:, None], usual[place], np.median(usual, axis=0))
    found = Conformal.measure(network, panel, at_the_end(panel, held, horizon), whole)
    return found if (~np.isnan(found.scores)).any() else None

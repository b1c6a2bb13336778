"""Bounds of forecasts: wide enough for any trend that goes on, and narrow enough to stop a recursion that runs away."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.data.labels import quoted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.envelope import RANGES, Envelope

Array = np.ndarray[Any, Any]


def clipped(panel: Panel, series: Array, rows: Array, values: Array, stretch: Any = 1.0) -> tuple[Array, Array]:
    """Forecasts within what the history before each origin allows, and how many were not.

    Parameters
    ----------
    panel : Panel
    series, rows : array of int, shape (origins,)
    values : array, shape (origins, horizon, …)
    stretch : float or array, shape (origins,)
        How many times as far from the history, trend included, the bounds are; at least 1.

    Returns
    -------
    tuple of array, shape as the values, and array of int, shape (origins,)
        Bounds are those of :meth:`seqdyn.forecasting.envelope.Envelope.limits`.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series([2.0, 0.0] * 5))
    >>> clipped(panel, np.array([0]), panel.ends, np.array([[1.0, 1e9]]))[1]
    array([1])
    """
    return held_within(values, limits(panel, series, rows, values.shape[1], stretch))


def limits(panel: Panel, series: Array, rows: Array, horizon: int, stretch: Any = 1.0) -> tuple[Array, Array]:
    """Lowest and highest values that forecasts may have, (origins, horizon) each; parameters as in :func:`clipped`."""
    envelope = Envelope.of(panel, rows)
    low, high = envelope.limits(horizon)
    more = np.broadcast_to(np.asarray(stretch) - 1.0, len(rows))[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        low = low - np.where(more > 0, more * (envelope.lowest[:, None] - low), 0.0)
        high = high + np.where(more > 0, more * (high - envelope.highest[:, None]), 0.0)
    return low, high


def held_within(values: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
    """Values within bounds, and how many of every origin were not."""
    low, high = (bound.reshape(*bound.shape, *[1] * (values.ndim - 2)) for bound in bounds)
    found = np.clip(values, low, high)
    return found, (found != values).sum(axis=tuple(range(1, values.ndim)))


def input_stretch(inputs: Array) -> Array:
    """How much wider bounds are where inputs leave their history: by their largest size in deviations, (origins,).

    Parameters
    ----------
    inputs : array, shape (origins, horizon, inputs)
        The covariates known ahead, standardised.
    """
    found: Array = np.abs(inputs).max(axis=(1, 2), initial=1.0)
    return found


def runaways(model: str, panel: Panel, series: Array, count: Array) -> tuple[str, ...]:
    """A note that names the series whose forecasts were clipped; none if none was."""
    names = panel.names[np.unique(series[count > 0])]
    if not len(names):
        return ()
    some = ", ".join(map(quoted, names[:3])) + (f" and {len(names) - 3} others" if len(names) > 3 else "")
    return (
        f"{model}: the forecast of series {some} runs away from its history, and {int(count.sum())} values are held "
        f"{RANGES:g} ranges beyond it and its trend. Do not trust them: try a larger penalty, fewer lags, log=False, "
        "or another forecaster.",
    )

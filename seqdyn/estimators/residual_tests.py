"""Tests of what a linear model has left unexplained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from seqdyn.identification.correlation import cross_correlation, whiteness

Array = np.ndarray[Any, Any]
LEVEL = 0.01
"""p-value below which something is left."""


def residual_tests(
    series: Array, inputs: Array, ahead: Array, free: Array, lags: int, names: tuple[list[str], list[str]]
) -> pd.DataFrame:
    """All tests of all outputs and inputs, over the longest series without a missing value.

    Parameters
    ----------
    series : array of int, shape (rows,)
        Which series a row belongs to.
    inputs : array, shape (rows, inputs)
    ahead, free : array, shape (rows, outputs)
        Errors one step ahead, and of the free run; NaN where none was measured.
    lags : int
    names : (outputs, inputs)
    """
    rows = _longest(series, np.all(~np.isnan(ahead) & ~np.isnan(free), axis=1))
    if len(rows) < 4 * lags:
        raise ValueError(
            f"The longest stretch of known outputs has {len(rows)} steps, but tests over lags={lags} need "
            f"{4 * lags}: give longer records or fewer lags."
        )
    found = []
    for output, name in enumerate(names[0]):
        found.append(("whiteness", name, "", *whiteness(ahead[rows, output], lags), "raise the order"))
        for column, source in enumerate(names[1]):
            seen = inputs[rows, column]
            if np.ptp(seen) == 0 or np.ptp(ahead[rows, output]) == 0:
                continue
            past, future = range(lags + 1), range(-lags, 0)
            for test, errors, reach, advice in (
                ("input", ahead, past, "raise the order"),
                ("input, free run", free, past, "raise the order, or try a nonlinear model"),
                ("feedback", ahead, future, "the input reacts to the output: fit with focus='prediction'"),
            ):
                statistic, freedom = cross_correlation(errors[rows, output], seen, reach)
                found.append((test, name, source, statistic, float(chi2.sf(statistic, freedom)), advice))
    table = pd.DataFrame(found, columns=["test", "output", "input", "statistic", "p_value", "verdict"])
    verdict = table["verdict"].where(table["p_value"] < LEVEL, "nothing left")
    return table.assign(verdict=verdict.where(table["p_value"].notna(), "cannot tell: the errors do not change"))


def _longest(series: Array, known: Array) -> Array:
    """The rows of the longest stretch of one series in which everything is known."""
    breaks = np.flatnonzero((np.diff(series) != 0) | (np.diff(known.astype(int)) != 0)) + 1
    stretches = [part for part in np.split(np.arange(len(known)), breaks) if len(part) and known[part[0]]]
    return max(stretches, key=len, default=np.zeros(0, dtype=int))

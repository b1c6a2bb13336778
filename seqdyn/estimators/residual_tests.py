"""Tests of what a linear model has left unexplained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import toeplitz
from scipy.stats import chi2
from statsmodels.tsa.stattools import acf, acovf, q_stat

Array = np.ndarray[Any, Any]
LEVEL = 0.01
"""p-value below which something is left."""


def whiteness(errors: Array, lags: int) -> tuple[float, float]:
    """Ljung and Box's Q of one error series, and its p-value: whether errors of different steps are correlated.

    References
    ----------
    Ljung & Box (1978), On a measure of lack of fit in time series models.
    """
    if np.ptp(errors) == 0:
        return np.nan, np.nan
    statistics, p_values = q_stat(acf(errors, nlags=lags, fft=True)[1:], len(errors))
    return float(statistics[-1]), float(p_values[-1])


def cross_correlation(errors: Array, inputs: Array, lags: range) -> tuple[float, float]:
    """Whether errors correlate with earlier inputs (lags ≥ 0) or later ones (lags < 0), and the p-value of that.

        T rᵀ P⁻¹ r ~ χ²        r_i = mean e_t x_{t-i},  P_ij = Σ_k R_e(k) R_x(k + i − j)

    The autocovariances R, tapered towards T^{1/2}, take account of errors and inputs that are not white.

    References
    ----------
    Ljung (1999), System Identification, section 16.6.
    """
    time = len(errors)
    errors, inputs = errors - errors.mean(), inputs - inputs.mean()
    shifted = [(errors[max(lag, 0) : time + min(lag, 0)], inputs[max(-lag, 0) : time - max(lag, 0)]) for lag in lags]
    correlation = np.array([late @ early for late, early in shifted]) / time
    reach = int(np.sqrt(time))
    taper = 1 - np.arange(reach + 1) / (reach + 1)
    of_errors = acovf(errors, fft=True, nlag=reach) * taper
    of_inputs = acovf(inputs, fft=True, nlag=min(time - 1, reach + len(lags)))
    of_inputs = np.pad(of_inputs, (0, reach + len(lags) + 1 - len(of_inputs)))
    steps = np.arange(-reach, reach + 1)
    row = [float(of_errors[abs(steps)] @ of_inputs[abs(steps + apart)]) for apart in range(len(lags))]
    values, vectors = np.linalg.eigh(toeplitz(row))
    kept = values > 1e-6 * values[-1]  # directions in which the inputs vary at all
    statistic = time * float(((vectors[:, kept].T @ correlation) ** 2 / values[kept]).sum())
    return statistic, float(chi2.sf(statistic, int(kept.sum())))


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
                ("feedback", ahead, future, "the input reacts to the output: subspace estimates are biased"),
            ):
                found.append((test, name, source, *cross_correlation(errors[rows, output], seen, reach), advice))
    table = pd.DataFrame(found, columns=["test", "output", "input", "statistic", "p_value", "verdict"])
    verdict = table["verdict"].where(table["p_value"] < LEVEL, "nothing left")
    return table.assign(verdict=verdict.where(table["p_value"].notna(), "cannot tell: the errors do not change"))


def _longest(series: Array, known: Array) -> Array:
    """The rows of the longest stretch of one series in which everything is known."""
    breaks = np.flatnonzero((np.diff(series) != 0) | (np.diff(known.astype(int)) != 0)) + 1
    stretches = [part for part in np.split(np.arange(len(known)), breaks) if len(part) and known[part[0]]]
    return max(stretches, key=len, default=np.zeros(0, dtype=int))

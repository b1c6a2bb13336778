"""Tests of one-step errors: their correlation with each other, and with earlier and later inputs."""

from __future__ import annotations

import numpy as np
from scipy.linalg import toeplitz
from scipy.stats import chi2
from statsmodels.tsa.stattools import acovf

from seqdyn.arrays import Array


def whiteness(errors: Array, lags: int) -> tuple[float, float]:
    """Ljung and Box's Q of one error series, and its p-value: whether errors of different steps are correlated.

        Q = (T + 2) / T Σ_{k=1}^{lags} N_k r_k² ~ χ²(lags)        r_k = mean e_t e_{t-k} / mean e_t²

    T errors are known, the others NaN, and N_k pairs of them k steps apart: T − k of a record without gaps. Lags with
    fewer pairs than there are lags are left out, and do not count in χ² either. Both are NaN of errors that do not
    change, or are never known so few steps apart.

    Ljung & Box (1978), On a measure of lack of fit in time series models; Stoffer & Toloi (1992), A note on the
    Ljung-Box-Pierce portmanteau statistic with missing data.
    """
    known, deviation = ~np.isnan(errors), _deviations(errors)
    time, power = int(known.sum()), float(deviation @ deviation)
    steps = range(1, min(lags, len(errors) - 1) + 1)
    pairs = np.array([np.count_nonzero(known[k:] & known[:-k]) for k in steps])
    products = np.array([deviation[k:] @ deviation[:-k] for k in steps])
    used = pairs >= lags
    if not varies(errors) or not used.any():
        return np.nan, np.nan
    statistic = time * (time + 2) * float((products[used] ** 2 / pairs[used]).sum()) / power**2
    return statistic, float(chi2.sf(statistic, used.sum()))


def varies(values: Array) -> bool:
    """Whether the known values are not all the same."""
    known = values[~np.isnan(values)]
    return bool(len(known) and np.ptp(known) > 0)


def cross_correlation(errors: Array, inputs: Array, lags: range) -> tuple[float, int]:
    """How far errors correlate with earlier inputs (lags ≥ 0) or later ones (lags < 0), and the degrees of freedom.

        T rᵀ P⁻¹ r ~ χ²        r_i = mean e_t x_{t-i},  P_ij = Σ_k R_e(k) R_x(k + i − j)

    The autocovariances R, tapered towards T^{1/2}, take account of errors and inputs that are not white. An error that
    is not known, NaN, is 0 in r and in R_e, which then hold as many pairs; NaN in both stands between two records.
    There are as many degrees of freedom as lags, fewer of inputs that vary in fewer directions.

    Ljung (1999), System Identification, section 16.6.
    """
    known, errors, inputs = ~np.isnan(inputs), _deviations(errors), _deviations(inputs)
    time = int(known.sum())
    correlation = np.array([np.dot(*_apart(errors, inputs, lag)) for lag in lags]) / time
    pairs = np.array([np.count_nonzero(np.logical_and(*_apart(known, known, lag))) for lag in lags])
    correlation *= np.sqrt((time - np.abs(lags)) / np.maximum(pairs, 1))  # as many as one record would have
    reach = int(np.sqrt(time))
    taper = 1 - np.arange(reach + 1) / (reach + 1)
    of_errors = _autocovariance(errors, reach, time) * taper
    of_inputs = _autocovariance(inputs, reach + len(lags), time)
    steps = np.arange(-reach, reach + 1)
    row = [float(of_errors[abs(steps)] @ of_inputs[abs(steps + apart)]) for apart in range(len(lags))]
    values, vectors = np.linalg.eigh(toeplitz(row))
    kept = values > 1e-6 * values[-1]  # directions in which the inputs vary at all
    statistic = time * float(((vectors[:, kept].T @ correlation) ** 2 / values[kept]).sum())
    return statistic, int(kept.sum())


def _deviations(values: Array) -> Array:
    """Deviations from the mean of the known values; 0 where a value is missing."""
    known = ~np.isnan(values)
    return np.where(known, values - values[known].mean(), 0.0) if known.any() else np.zeros(len(values))


def _apart(late: Array, early: Array, lag: int) -> tuple[Array, Array]:
    """Two series beside each other, the second ``lag`` steps before."""
    time = len(late)
    return late[max(lag, 0) : time + min(lag, 0)], early[max(-lag, 0) : time - max(lag, 0)]


def _autocovariance(deviations: Array, reach: int, time: int) -> Array:
    """Up to the lag ``reach``, over so many known steps; 0 beyond the record."""
    longest = min(len(deviations) - 1, reach)
    found = acovf(deviations, fft=True, nlag=longest, demean=False) * (len(deviations) / time)
    return np.pad(found, (0, reach - longest))

"""What one-step errors still hold: their correlation with each other, and with inputs before and after them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import toeplitz
from statsmodels.tsa.stattools import acf, acovf, q_stat

Array = np.ndarray[Any, Any]


def whiteness(errors: Array, lags: int) -> tuple[float, float]:
    """Ljung and Box's Q of one error series, and its p-value: whether errors of different steps are correlated.

        Q = T (T + 2) Σ_{k=1}^{lags} r_k² / (T − k) ~ χ²(lags)        r_k the autocorrelation of the errors

    Parameters
    ----------
    errors : array, shape (time,)
    lags : int, at least 1

    Returns
    -------
    statistic, p_value : float
        NaN of errors that do not change.

    References
    ----------
    Ljung & Box (1978), On a measure of lack of fit in time series models.

    Examples
    --------
    >>> import numpy as np
    >>> errors = np.random.default_rng(0).normal(size=300)
    >>> whiteness(errors, 10)[1] > 0.01, whiteness(np.cumsum(errors), 10)[1] > 0.01
    (True, False)
    """
    if np.ptp(errors) == 0:
        return np.nan, np.nan
    statistics, p_values = q_stat(acf(errors, nlags=lags, fft=True)[1:], len(errors))
    return float(statistics[-1]), float(p_values[-1])


def cross_correlation(errors: Array, inputs: Array, lags: range) -> tuple[float, int]:
    """How far errors correlate with earlier inputs (lags ≥ 0) or later ones (lags < 0), and the degrees of freedom.

        T rᵀ P⁻¹ r ~ χ²        r_i = mean e_t x_{t-i},  P_ij = Σ_k R_e(k) R_x(k + i − j)

    The autocovariances R, tapered towards T^{1/2}, take account of errors and inputs that are not white.

    Parameters
    ----------
    errors, inputs : array, shape (time,)
        Of one output and one input.
    lags : range
        i.

    Returns
    -------
    statistic : float
        χ² if they do not correlate.
    freedom : int
        Of χ²: as many as there are lags, fewer of inputs that vary in fewer directions.

    References
    ----------
    Ljung (1999), System Identification, section 16.6.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> errors, inputs = random.normal(size=(2, 300))
    >>> inputs[1:] += errors[:-1]
    >>> statistic, freedom = cross_correlation(errors, inputs, range(-5, 0))
    >>> statistic > 100, freedom
    (True, 5)
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
    return statistic, int(kept.sum())

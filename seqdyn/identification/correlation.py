"""What one-step errors still hold: their correlation with each other, and with inputs before and after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import toeplitz
from scipy.stats import chi2
from statsmodels.tsa.stattools import acf, acovf, q_stat

from seqdyn.identification.kalman import stretches

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


def feedback_p_value(inputs: Sequence[Array], errors: Sequence[Array], lags: int) -> float:
    """The p-value of no feedback: whether inputs of later steps know one-step errors of earlier ones.

        p = 1 − (1 − min_ij p_ij)^{inputs · outputs}        p_ij of Σ T rᵀ P⁻¹ r over the stretches of known errors

    An input that was chosen without a look at the outputs cannot know an error before it is made.

    Parameters
    ----------
    inputs, errors : sequence of array, shapes (time, inputs) and (time, outputs)
        One a record; errors one step ahead, of a model that fits, NaN where none is known. A stretch of known errors
        counts from four times ``lags`` steps on.
    lags : int, at least 1
        How many steps later an input may react. What it does within the step is not tested: x_t and e_t are correlated
        where an output reaches the input at once, and also where the model lacks a feedthrough.

    Returns
    -------
    float
        Uniform in [0, 1] without feedback; NaN where no stretch is long enough or nothing changes.

    References
    ----------
    Ljung (1999), System Identification, sections 13.4 and 16.6; Šidák (1967) for the least of several p-values.

    Examples
    --------
    >>> import numpy as np
    >>> errors = np.random.default_rng(0).normal(size=(500, 1))
    >>> deaf, reacting = np.random.default_rng(1).normal(size=(500, 1)), -0.5 * np.vstack([[[0.0]], errors[:-1]])
    >>> feedback_p_value([deaf], [errors], 10) > 0.01, feedback_p_value([reacting + deaf], [errors], 10) > 0.01
    (True, False)
    """
    parts = [part for x, e in zip(inputs, errors, strict=True) for part in _known(x, e, 4 * lags)]
    found = []
    for output, column in np.ndindex(errors[0].shape[1], inputs[0].shape[1]):
        pairs = [(e[:, output], x[:, column]) for x, e in parts if np.ptp(e[:, output]) and np.ptp(x[:, column])]
        sums = [cross_correlation(error, seen, range(-lags, 0)) for error, seen in pairs]
        if sums:
            statistic, freedom = map(sum, zip(*sums, strict=True))
            found.append(float(chi2.sf(statistic, freedom)))
    return 1.0 - (1.0 - min(found)) ** len(found) if found else np.nan


def _known(inputs: Array, errors: Array, least: int) -> list[tuple[Array, Array]]:
    """The stretches of so many steps without a gap."""
    known: Any = ~np.isnan(errors).any(axis=1)
    spans = [slice(begin, end) for begin, end in stretches(known) if known[begin] and end - begin >= least]
    return [(inputs[span], errors[span]) for span in spans]

"""Scores, with their exact definitions. A NaN in y is a missing observation and is left out.

Nothing else is left out: a NaN in a forecast of a known y is a NaN in the score, and so is a score that is not defined.
Arrays are compared element by element; labels are not. Unless said otherwise a mean runs over everything known, over
all axes at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from seqdyn.checks import check_count

Array = np.ndarray[Any, Any]


# --- points --------------------------------------------------------------------------------------------------------


def fit_percent(y: Any, predicted: Any) -> float:
    """FIT = 100 (1 − ‖y − ŷ‖ / ‖y − ȳ‖), in percent; the mean over outputs.

    100 is perfect, 0 is as good as the mean of y, and it may be negative. Missing observations (NaN in y) are left out.

    Parameters
    ----------
    y, predicted : array-like, shape (time,) or (time, outputs)

    Returns
    -------
    float
        At most 100; −inf where y is constant and ŷ is not y.

    References
    ----------
    Ljung (1999), System Identification, section 16.

    Examples
    --------
    >>> fit_percent([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    100.0
    """
    y, predicted = _alike(y, predicted=predicted)
    known = ~np.isnan(y)
    return float(np.mean([_fit_percent(y[one, i], predicted[one, i]) for i, one in enumerate(known.T)]))


def _fit_percent(y: Array, predicted: Array) -> float:
    error = float(np.linalg.norm(y - predicted))
    spread = float(np.linalg.norm(y - y.mean())) if len(y) else np.nan
    if error == 0 and len(y):
        return 100.0
    return 100 * (1 - error / spread) if spread else -np.inf


def rmse(y: Any, predicted: Any) -> float:
    """Root mean squared error, sqrt(mean((y − ŷ)²)), in the unit of y; missing observations are left out.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        At least 0; NaN if nothing is known.

    Examples
    --------
    >>> rmse([1.0, 1.0], [1.0, 3.0])
    1.4142135623730951
    """
    y, predicted = _alike(y, predicted=predicted)
    return float(np.sqrt(_mean((y - predicted) ** 2, y)))


def mae(y: Any, predicted: Any) -> float:
    """Mean absolute error, mean |y − ŷ|, in the unit of y; missing observations are left out.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        At least 0; NaN if nothing is known.

    Examples
    --------
    >>> mae([1.0, np.nan, 3.0], [2.0, 7.0, 3.0])
    0.5
    """
    y, predicted = _alike(y, predicted=predicted)
    return _mean(np.abs(y - predicted), y)


def mape(y: Any, predicted: Any) -> float:
    """Mean absolute percentage error, 100 mean(|y − ŷ| / |y|), in percent; missing observations are left out.

    Not defined where y is 0: then it is NaN. It punishes forecasts that are too high more than those too low.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        At least 0, in percent; NaN if a known y is 0, or nothing is known.

    References
    ----------
    Hyndman & Koehler (2006), Another look at measures of forecast accuracy.

    Examples
    --------
    >>> mape([100.0, 200.0], [110.0, 180.0])
    10.0
    >>> mape([0.0, 200.0], [0.0, 180.0])
    nan
    """
    y, predicted = _alike(y, predicted=predicted)
    return 100 * _mean(_ratio(np.abs(y - predicted), np.abs(y)), y)


def smape(y: Any, predicted: Any) -> float:
    """Symmetric MAPE as in M4, 200 mean(|y − ŷ| / (|y| + |ŷ|)), between 0 and 200; 0/0 counts as 0.

    Missing observations (NaN in y) are left out. Other definitions are a half or a hundredth of this one.

    Parameters
    ----------
    y, predicted : array-like, of one shape

    Returns
    -------
    float
        Between 0 and 200, in percent; NaN if nothing is known.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61 forecasting methods.

    Examples
    --------
    >>> smape([1.0, 0.0], [3.0, 0.0]), smape([1.0], [-1.0])
    (50.0, 200.0)
    """
    y, predicted = _alike(y, predicted=predicted)
    error, size = np.abs(y - predicted), np.abs(y) + np.abs(predicted)
    return 200 * _mean(np.where(size == 0, 0.0, _ratio(error, size)), y)


# --- against the past of the same series -----------------------------------------------------------------------------


def mase(y: Any, predicted: Any, training: Any, season_length: int = 1) -> float:
    """Mean absolute scaled error, mean |y − ŷ| / Q, with Q = mean_{t>m} |y_t − y_{t−m}| of the training part alone.

    Q is the error of the seasonal naive forecast where it was fitted, one step of length m ahead. The mean over
    outputs. Missing observations are left out, in y and in pairs of the training part.

    Parameters
    ----------
    y, predicted : array-like, shape (horizon,) or (horizon, outputs)
        Of one series. For many series take the mean of theirs.
    training : array-like, shape (n,) or (n, outputs)
        The series up to the forecast.
    season_length : int, at least 1
        m, in steps.

    Returns
    -------
    float
        At least 0; NaN where it is not defined: n ≤ m, or Q = 0 (a series that repeats itself exactly). Leave such
        series out of a mean over series, and say how many there were.

    References
    ----------
    Hyndman & Koehler (2006), Another look at measures of forecast accuracy.

    Examples
    --------
    >>> mase([4.0, 5.0], [4.0, 4.0], training=[1.0, 2.0, 3.0])
    0.5
    >>> mase([4.0, 5.0], [4.0, 4.0], training=[3.0, 3.0, 3.0])
    nan
    """
    y, predicted = _alike(y, predicted=predicted)
    error = np.array([_mean(np.abs(y - predicted)[:, i], y[:, i]) for i in range(y.shape[1])])
    return float(np.mean(_ratio(error, _naive_error(training, season_length, 1, y.shape[1]))))


def rmsse(y: Any, predicted: Any, training: Any, season_length: int = 1) -> float:
    """Root mean squared scaled error, sqrt(mean (y − ŷ)² / mean_{t>m} (y_t − y_{t−m})²), the latter of training alone.

    With m = 1 as in M5. The mean over outputs. Missing observations are left out, in y and in pairs of the training
    part.

    Parameters
    ----------
    y, predicted : array-like, shape (horizon,) or (horizon, outputs)
        Of one series.
    training : array-like, shape (n,) or (n, outputs)
    season_length : int, at least 1
        m, in steps.

    Returns
    -------
    float
        At least 0; NaN where it is not defined, as in :func:`mase`.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2022), The M5 competition: Background, organization, and implementation.

    Examples
    --------
    >>> rmsse([4.0, 5.0], [4.0, 3.0], training=[1.0, 2.0, 3.0])
    1.4142135623730951
    """
    y, predicted = _alike(y, predicted=predicted)
    error = np.array([_mean((y - predicted)[:, i] ** 2, y[:, i]) for i in range(y.shape[1])])
    return float(np.mean(np.sqrt(_ratio(error, _naive_error(training, season_length, 2, y.shape[1])))))


def owa(smape: float, mase: float, smape_naive2: float, mase_naive2: float) -> float:
    """Overall weighted average of M4, ½ (sMAPE / sMAPE_Naive2 + MASE / MASE_Naive2); 1 is as good as Naive2.

    Parameters
    ----------
    smape, mase : float
        Averaged over all series first: this is a ratio of means, not a mean of ratios.
    smape_naive2, mase_naive2 : float
        The same of the benchmark Naive2, the last value after a seasonal adjustment.

    Returns
    -------
    float
        At least 0.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61 forecasting methods.

    Examples
    --------
    >>> owa(9.1915, 2.395, smape_naive2=18.383, mase_naive2=2.395)
    0.75
    """
    return 0.5 * (smape / smape_naive2 + mase / mase_naive2)


# --- distributions -------------------------------------------------------------------------------------------------


def pinball(y: Any, predicted: Any, quantile: float) -> float:
    """Mean pinball loss, mean ρ_q(y, z), with ρ_q(y, z) = max(q (y − z), (q − 1) (y − z)), in the unit of y.

    Smallest in expectation where z is the q-quantile. ρ_0.5 is half the absolute error. Missing observations are left
    out.

    Parameters
    ----------
    y, predicted : array-like, of one shape
    quantile : float in (0, 1)
        q.

    Returns
    -------
    float
        At least 0; NaN if nothing is known.

    References
    ----------
    Koenker & Bassett (1978), Regression Quantiles.

    Examples
    --------
    >>> pinball([1.0, 3.0], [2.0, 2.0], quantile=0.75)
    0.5
    """
    y, predicted = _alike(y, predicted=predicted)
    return _mean(_pinball(y, predicted, *_quantiles([quantile])), y)


def wql(y: Any, predicted: Any, quantiles: Any) -> float:
    """Weighted quantile loss, mean_q 2 Σ ρ_q(y, z_q) / Σ |y|: everything is pooled before dividing.

    Of a point forecast, the same at all quantiles that lie symmetrically about a half, it is Σ |y − ŷ| / Σ |y|.
    Missing observations are left out.

    Parameters
    ----------
    y : array-like
        All series and steps.
    predicted : array-like, shape (*y.shape, quantiles)
        z_q, the quantiles on the last axis.
    quantiles : sequence of float in (0, 1)

    Returns
    -------
    float
        At least 0; NaN if y is 0 everywhere, or nothing is known.

    References
    ----------
    Salinas et al. (2020), DeepAR: Probabilistic forecasting with autoregressive recurrent networks.

    Examples
    --------
    >>> wql([2.0, 4.0], [[1.0, 3.0], [3.0, 5.0]], quantiles=[0.25, 0.75])
    0.16666666666666666
    """
    levels = _quantiles(quantiles)
    y, values = _with_last_axis(y, predicted, "quantiles", len(levels))
    known = ~np.isnan(y)
    loss = _pinball(y[..., None], values, levels)[known]
    return float(_ratio(2 * loss.sum() / len(levels), np.abs(y[known]).sum()))


def crps_gaussian(y: Any, mean: Any, deviation: Any) -> float:
    """Continuous ranked probability score of N(μ, σ²), mean σ (w (2Φ(w) − 1) + 2φ(w) − 1/√π), w = (y − μ)/σ.

    It is ∫ (F(z) − 1{z ≥ y})² dz, in the unit of y; of a point forecast, σ = 0, the absolute error. Missing
    observations are left out.

    Parameters
    ----------
    y, mean, deviation : array-like, of one shape
        deviation is σ ≥ 0, in the unit of y.

    Returns
    -------
    float
        At least 0; NaN if nothing is known.

    References
    ----------
    Gneiting & Raftery (2007), Strictly Proper Scoring Rules, Prediction, and Estimation.

    Examples
    --------
    >>> round(crps_gaussian([0.3], [1.0], [2.0]), 3)
    0.564
    """
    y, mean, deviation = _alike(y, mean=mean, deviation=deviation)
    if (deviation < 0).any():
        raise ValueError(
            f"deviation must be at least 0 everywhere, got {deviation.min():g}; give σ, not its logarithm."
        )
    w = _ratio(y - mean, deviation)
    density = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
    score = deviation * (w * (2 * ndtr(w) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return _mean(np.where(deviation == 0, np.abs(y - mean), score), y)


def crps_samples(y: Any, samples: Any, fair: bool = False) -> float:
    """Continuous ranked probability score of samples x_1 … x_S, mean (1/S) Σ_i |x_i − y| − (1/2S²) Σ_{i,j} |x_i − x_j|.

    In the unit of y. It is that of the samples' own distribution, which for small S is larger than that of the
    distribution they come from; ``fair`` takes this bias out. Missing observations are left out.

    Parameters
    ----------
    y : array-like
    samples : array-like, shape (*y.shape, samples)
        The samples on the last axis.
    fair : bool
        Divide the second sum by 2 S (S − 1); needs S ≥ 2. It may be negative.

    Returns
    -------
    float
        NaN if nothing is known.

    References
    ----------
    Gneiting & Raftery (2007), Strictly Proper Scoring Rules, Prediction, and Estimation; Ferro (2014), Fair scores for
    ensemble forecasts.

    Examples
    --------
    >>> crps_samples([0.0], [[-1.0, 1.0]]), crps_samples([0.0], [[-1.0, 1.0]], fair=True)
    (0.5, 0.0)
    """
    y, samples = _with_last_axis(y, samples, "samples", None)
    count = samples.shape[-1]
    if count < 1 + fair:
        raise ValueError(f"samples has {count} on its last axis, expected at least {1 + fair}{' for fair' * fair}.")
    ordered = np.sort(samples, axis=-1)
    apart = (ordered * (2 * np.arange(count) - count + 1)).sum(axis=-1)  # ½ Σ_{i,j} |x_i − x_j|
    near = np.abs(samples - y[..., None]).mean(axis=-1)
    return _mean(near - apart / (count * (count - fair)), y)


def interval_score(y: Any, lower: Any, upper: Any, level: float = 95.0) -> float:
    """Mean interval score, mean (u − l) + (2/α) (l − y)⁺ + (2/α) (y − u)⁺, with α = 1 − level/100, in the unit of y.

    It is (2/α) (ρ_{α/2}(y, l) + ρ_{1−α/2}(y, u)): narrow is good, missing y is paid for. Missing observations are left
    out.

    Parameters
    ----------
    y, lower, upper : array-like, of one shape
    level : float in (1, 100)
        The percentage that should lie inside: 80 means the quantiles 0.1 and 0.9.

    Returns
    -------
    float
        NaN if nothing is known.

    References
    ----------
    Gneiting & Raftery (2007), Strictly Proper Scoring Rules, Prediction, and Estimation, section 6.2.

    Examples
    --------
    >>> interval_score([1.0, 5.0], [0.0, 0.0], [4.0, 4.0], level=80)
    9.0
    """
    y, lower, upper = _alike(y, lower=lower, upper=upper)
    return _mean(_interval(y, lower, upper, level), y)


def msis(y: Any, lower: Any, upper: Any, training: Any, season_length: int = 1, level: float = 95.0) -> float:
    """Mean scaled interval score, the interval score divided by Q of :func:`mase`; M4 uses the level 95.

    The mean over outputs. Missing observations are left out.

    Parameters
    ----------
    y, lower, upper : array-like, shape (horizon,) or (horizon, outputs)
        Of one series.
    training : array-like, shape (n,) or (n, outputs)
    season_length : int, at least 1
        m, in steps.
    level : float in (1, 100)
        The percentage that should lie inside.

    Returns
    -------
    float
        NaN where it is not defined, as in :func:`mase`.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61 forecasting methods.

    Examples
    --------
    >>> msis([1.0, 5.0], [0.0, 0.0], [4.0, 4.0], training=[1.0, 3.0, 5.0], level=80)
    4.5
    """
    y, lower, upper = _alike(y, lower=lower, upper=upper)
    score = _interval(y, lower, upper, level)
    error = np.array([_mean(score[:, i], y[:, i]) for i in range(y.shape[1])])
    return float(np.mean(_ratio(error, _naive_error(training, season_length, 1, y.shape[1]))))


def coverage(y: Any, lower: Any, upper: Any) -> float:
    """The share of observations inside their interval, mean 1{l ≤ y ≤ u}; missing ones are left out.

    Parameters
    ----------
    y, lower, upper : array-like, of one shape

    Returns
    -------
    float
        Between 0 and 1, to be compared with level / 100; NaN if nothing is known, or a bound beside a known y is NaN.

    Examples
    --------
    >>> coverage([1.0, 5.0, np.nan], [0.0, 0.0, 0.0], [4.0, 4.0, 4.0])
    0.5
    """
    y, lower, upper = _alike(y, lower=lower, upper=upper)
    inside = ((lower <= y) & (y <= upper)).astype(np.float64)
    return _mean(np.where(np.isnan(lower) | np.isnan(upper), np.nan, inside), y)


# --- what they share -----------------------------------------------------------------------------------------------


def _pinball(y: Array, z: Array, quantile: Array) -> Array:
    loss: Array = np.maximum(quantile * (y - z), (quantile - 1) * (y - z))
    return loss


def _interval(y: Array, lower: Array, upper: Array, level: float) -> Array:
    if not 1 < level < 100:
        raise ValueError(f"level is a percentage between 1 and 100, got {level!r}: 95, not 0.95.")
    alpha = 1 - level / 100
    score: Array = upper - lower + 2 / alpha * (np.maximum(lower - y, 0) + np.maximum(y - upper, 0))
    return score


def _naive_error(training: Any, season_length: int, power: int, outputs: int) -> Array:
    """mean_{t>m} |y_t − y_{t−m}|^p of every output; 0 or NaN where it cannot scale anything."""
    check_count("season_length", season_length)
    past = _columns(training)
    if past.shape[1] != outputs:
        raise ValueError(f"training has {past.shape[1]} outputs, y has {outputs}: they must be of the same series.")
    change = np.abs(past[season_length:] - past[:-season_length]) ** power
    return np.array([_mean(column, column) for column in change.T])


def _mean(values: Array, y: Array) -> float:
    """The mean where y is known; NaN where nothing is."""
    known = ~np.isnan(y)
    return float(values[known].mean()) if known.any() else np.nan


def _ratio(above: Any, below: Any) -> Array:
    """above / below; NaN where below is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below != 0)


def _quantiles(quantiles: Any) -> Array:
    levels = np.asarray(quantiles, dtype=np.float64)
    if levels.ndim != 1 or not len(levels) or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"Quantiles lie between 0 and 1, got {quantiles!r}: 0.9, not 90.")
    return levels


def _alike(y: Any, **others: Any) -> list[Array]:
    """All as columns (time, outputs), of one shape: nothing is broadcast."""
    target = _columns(y)
    found = {name: _columns(values) for name, values in others.items()}
    for name, values in found.items():
        if values.shape != target.shape:
            raise ValueError(
                f"{name} has the shape {np.shape(others[name])}, y has {np.shape(y)}: every observation needs its own "
                "value, in the same place."
            )
    return [target, *found.values()]


def _with_last_axis(y: Any, values: Any, name: str, count: int | None) -> tuple[Array, Array]:
    """y, and as many values for each of it on a last axis."""
    target, many = np.asarray(y, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if many.shape[:-1] != target.shape or count not in (None, many.shape[-1]) or not many.ndim:
        raise ValueError(
            f"The {name} have the shape {many.shape}, expected {(*target.shape, name if count is None else count)}: "
            f"the shape of y, {target.shape}, and the {name} on the last axis."
        )
    return target, many


def _columns(values: Any) -> Array:
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    return array.reshape(len(array), -1 if array.size else 1)

"""Continuous ranked probability scores: of a normal distribution, and of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from seqdyn.metrics.observed import columns_alike, mean_of_known, ratio, with_last_axis


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
    y, mean, deviation = columns_alike(y, mean=mean, deviation=deviation)
    if (deviation < 0).any():
        raise ValueError(
            f"deviation must be at least 0 everywhere, got {deviation.min():g}; give σ, not its logarithm."
        )
    w = ratio(y - mean, deviation)
    density = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
    score = deviation * (w * (2 * ndtr(w) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return mean_of_known(np.where(deviation == 0, np.abs(y - mean), score), y)


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
    y, samples = with_last_axis(y, samples, "samples", None)
    count = samples.shape[-1]
    if count < 1 + fair:
        raise ValueError(f"samples has {count} on its last axis, expected at least {1 + fair}{' for fair' * fair}.")
    ordered = np.sort(samples, axis=-1)
    apart = (ordered * (2 * np.arange(count) - count + 1)).sum(axis=-1)  # ½ Σ_{i,j} |x_i − x_j|
    near = np.abs(samples - y[..., None]).mean(axis=-1)
    return mean_of_known(near - apart / (count * (count - fair)), y)

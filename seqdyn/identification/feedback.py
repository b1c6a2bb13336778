"""Whether the inputs react to the outputs, seen before any model is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import chi2

from seqdyn.identification.hankel import Factor

Array = np.ndarray[Any, Any]
AHEAD = 10
"""Steps of future inputs that are looked at."""


def feedback(data: Factor) -> float:
    """The p-value of the later inputs telling nothing of y_t that the past and x_t do not tell.

        T ln (det R₀ / det R₁) ~ χ²        R₀, R₁: covariance of what is left of y_t, without and with x_{t+1}, …

    Where the inputs are chosen freely the future ones know nothing of the noise in y_t; where they answer to the
    outputs they do.

    Parameters
    ----------
    data : Factor

    Returns
    -------
    float
        1 where there are no inputs, or too few data to tell.

    References
    ----------
    Sims (1972), Money, income, and causality; Geweke, Meese & Dent (1983), Comparing alternative tests of causality in
    temporal systems, for the past outputs among the regressors.
    """
    inputs, outputs = data.inputs, data.outputs
    ahead = min(AHEAD, data.future - 1)
    if not inputs or ahead < 1:
        return 1.0
    past = data.lower[data.future * inputs : -data.future * outputs]
    present, later = data.lower[:inputs], data.lower[inputs : (ahead + 1) * inputs]
    now = data.lower[-data.future * outputs :][:outputs]
    rank, left = _left(np.vstack([present, past]), now)
    whole, less = _left(np.vstack([present, past, later]), now)
    freedom = data.columns - whole
    if freedom < max(whole, 20) or whole == rank:
        return 1.0
    (_, larger), (_, smaller) = np.linalg.slogdet(left), np.linalg.slogdet(less)
    statistic = (data.columns - (rank + whole + 1) / 2) * (larger - smaller)
    return float(chi2.sf(statistic, (whole - rank) * outputs)) if np.isfinite(statistic) else 1.0


def _left(regressors: Array, targets: Array) -> tuple[int, Array]:
    """The rank of the regressors, and the covariance of what they leave of the targets."""
    solution, _, rank, _ = np.linalg.lstsq(regressors.T, targets.T, rcond=1e-9)
    errors = targets - solution.T @ regressors
    return int(rank), errors @ errors.T + 1e-20 * np.eye(len(targets))

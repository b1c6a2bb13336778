"""How long a free run stays with the truth, in Lyapunov times."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, is_number

ERROR_THRESHOLDS = {"rms": 0.4, "smape": 30.0}
"""The usual threshold ε of every norm: a share of σ, and a percentage."""


class ValidPredictionTime(NamedTuple):
    """The valid prediction time of every start, in Lyapunov times.

    Attributes
    ----------
    times : ndarray, shape (starts,)
        At most the horizon; a time equal to it says that the run was still valid where the data ended.
    horizon : float
        λ Δt · steps, the longest time that could be reached.
    """

    times: Array
    horizon: float

    @property
    def median(self) -> float:
        """Of the times."""
        return float(np.median(self.times))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The quarter of the times lies below the first, a quarter above the second."""
        low, high = np.quantile(self.times, [0.25, 0.75])
        return float(low), float(high)

    def share_above(self, level: float) -> float:
        """P(VPT > level): the share of starts that stay valid longer than so many Lyapunov times.

        Parameters
        ----------
        level : float
            In Lyapunov times, below the horizon.

        Raises
        ------
        ValueError
            If the runs are not longer than that.
        """
        if not level < self.horizon:
            raise ValueError(
                f"The runs end after {self.horizon:.3g} Lyapunov times, so none can be valid for more than {level}: "
                "predict more steps."
            )
        return float(np.mean(self.times > level))

    def __repr__(self) -> str:
        low, high = self.quartiles
        return (
            f"ValidPredictionTime(median {self.median:.3g}, quartiles {low:.3g} to {high:.3g}, of {len(self.times)} "
            f"start{'s' * (len(self.times) > 1)}, horizon {self.horizon:.3g} Lyapunov times)"
        )


def valid_prediction_time(
    y: Any,
    predicted: Any,
    *,
    exponent: float,
    dt: float,
    threshold: float | None = None,
    scale: Any = None,
    norm: str = "rms",
) -> ValidPredictionTime:
    """Valid prediction time, VPT = λ Δt · (number of leading steps with e_t ≤ ε), in Lyapunov times.

    The error of a step is e_t = sqrt(mean_i ((y_ti − ŷ_ti)/σ_i)²), or with ``norm="smape"``
    200 mean_i |y_ti − ŷ_ti| / (|y_ti| + |ŷ_ti|), where 0/0 counts as 0. The first step with e_t > ε ends it: being
    close again later does not count. A run that blows up ends there too, and counts with the time it reached.

    Parameters
    ----------
    y, predicted : array-like, shape (time, outputs) or (starts, time, outputs)
        The truth and the free run from the end of a warm-up; the first row is the first predicted step. A vector is
        one output. Take 50 starts or more: one says little.
    exponent : float > 0
        λ, the largest Lyapunov exponent, per unit of time: 0.906 for the Lorenz system.
    dt : float > 0
        Δt, the time a step covers.
    threshold : float > 0, optional
        ε; 0.4 for ``"rms"``, where 0.3 and 0.5 are in use as well, and 30 for ``"smape"``, if None.
    scale : float or array-like, shape (outputs,)
        σ_i > 0, needed by ``"rms"``, in the unit of y: the standard deviations of a *long* true trajectory,
        ``trajectory.std(axis=0)``. It is never taken from y, whose windows are short and see a part of the attractor.
    norm : {"rms", "smape"}

    Returns
    -------
    ValidPredictionTime
        ``times`` (starts,), ``median``, ``quartiles``, ``share_above(1)``, ``horizon``.

    Raises
    ------
    ValueError
        If the shapes differ, y has gaps, a number is not positive, σ is missing, or is given to a norm without one.

    References
    ----------
    Vlachas et al. (2020), Backpropagation algorithms and reservoir computing in recurrent neural networks for the
    forecasting of complex spatiotemporal dynamics (``"rms"``); Gilpin (2023), Model scale versus domain knowledge in
    statistical forecasting of chaotic systems (``"smape"``).

    Examples
    --------
    Valid for the first two of four steps of half a Lyapunov time:

    >>> valid_prediction_time([1.0, 2.0, 3.0, 4.0], [1.0, 2.1, 9.0, 4.0], exponent=0.5, dt=1.0, scale=1.0).times
    array([1.])
    """
    check_choice("norm", norm, tuple(ERROR_THRESHOLDS))
    threshold = ERROR_THRESHOLDS[norm] if threshold is None else threshold
    for name, value in {"exponent": exponent, "dt": dt, "threshold": threshold}.items():
        _check_positive(name, value)
    truth, runs = _by_start(y, predicted)
    with np.errstate(over="ignore", invalid="ignore"):  # a run that blows up ends where it does
        error = _rms(truth, runs, scale) if norm == "rms" else _smape(truth, runs, scale)
        valid = np.logical_and.accumulate(error <= threshold, axis=1).sum(axis=1)
    return ValidPredictionTime(exponent * dt * valid, exponent * dt * truth.shape[1])


def _rms(truth: Array, runs: Array, scale: Any) -> Array:
    """The error of every step over the standard deviations, (starts, time)."""
    if scale is None:
        raise ValueError(
            "scale is needed by norm='rms': the standard deviation of every output over a long true trajectory, "
            f"scale=trajectory.std(axis=0). The {truth.shape[1]} steps of y are no such trajectory."
        )
    deviation = np.asarray(scale, dtype=np.float64)
    if deviation.shape not in ((), truth.shape[2:]) or not ((deviation > 0) & (deviation < np.inf)).all():
        raise ValueError(
            f"scale must be a positive number for each of the {truth.shape[2]} outputs, got {scale!r}: the standard "
            "deviations of a long true trajectory. Leave out an output that does not change."
        )
    error: Array = np.sqrt(np.mean(((truth - runs) / deviation) ** 2, axis=2))
    return error


def _smape(truth: Array, runs: Array, scale: Any) -> Array:
    """The symmetric percentage error of every step, (starts, time)."""
    if scale is not None:
        raise ValueError("norm='smape' is relative to the values themselves and takes no scale: leave it out.")
    apart, size = np.abs(truth - runs), np.abs(truth) + np.abs(runs)
    share = np.divide(apart, size, out=np.zeros_like(apart), where=size != 0)
    error: Array = 200 * np.mean(share, axis=2)
    return error


def _by_start(y: Any, predicted: Any) -> tuple[Array, Array]:
    """Both as (starts, time, outputs)."""
    truth, runs = np.asarray(y, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if truth.shape != runs.shape or truth.ndim not in (1, 2, 3) or not truth.size:
        raise ValueError(
            f"predicted has the shape {runs.shape}, y has {truth.shape}: both must be (time, outputs), or (starts, "
            "time, outputs), not empty; cut them to the steps they have in common."
        )
    if not np.isfinite(truth).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(truth))[0])
        raise ValueError(f"y is {truth[place]} at {place}: the truth of a free run must be known at every step.")
    shape = (1,) * (truth.ndim < 3) + truth.shape + (1,) * (truth.ndim < 2)
    return truth.reshape(shape), runs.reshape(shape)


def _check_positive(name: str, value: Any) -> None:
    if not is_number(value) or not 0 < value < np.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}.")

"""Whether the data can tell what is asked of them: checks before a fit, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2

from seqdyn.identification.hankel import Factor
from seqdyn.identification.records import Record

Array = np.ndarray[Any, Any]
ILL_CONDITIONED = 1e3
"""Condition number of the inputs' Hankel matrix from which N4SID weighting is not to be trusted."""
LONGEST_DELAY = 25
"""Steps of delay that are looked for."""
UNLIKELY = 1e-3
"""p-value below which coefficients are not all nothing."""


@dataclass(frozen=True)
class Excitation:
    """What the inputs reveal.

    Attributes
    ----------
    order : int
        Order of persistent excitation per input, at most the block rows: how many past inputs the data can tell apart.
        r sinusoids have 2 r; white noise has all.
    block_rows : int
        How many were asked for.
    condition : float
        Of the inputs' Hankel matrix; 1 for white noise, infinite where some combination of inputs never changes.
    levels : array of int, shape (inputs,)
        Distinct values of every input. Two levels cannot reveal a static nonlinearity at the input.
    delay : array of int, shape (inputs,)
        Steps before an input shows in any output, as far as noise lets it be seen: up to 25, then 26.
    messages : tuple of str
        What is wrong, and what to do about it.
    """

    order: int
    block_rows: int
    condition: float
    levels: Array
    delay: Array
    messages: tuple[str, ...]

    def __str__(self) -> str:
        facts = (
            f"The inputs excite {self.order} of {self.block_rows} block rows (condition {self.condition:.3g}); "
            f"levels {self.levels.tolist()}, delay {[_steps(d) for d in self.delay.tolist()]} steps."
        )
        return "\n".join([facts, *self.messages])


def excitation(records: Sequence[Record], data: Factor, order: int, weighting: str) -> Excitation:
    """Examine the inputs of some records.

    Parameters
    ----------
    records : sequence of Record
    data : Factor
        Of these records.
    order : int
        States that are asked for; a model of n states needs excitation of order 2 n + 1.
    weighting : {"cva", "n4sid", "moesp"}

    References
    ----------
    Ljung (1999), System Identification, section 13.2; Willems et al. (2005) for Hankel matrices.
    """
    rows = np.concatenate([record.x for record in records])
    levels = np.array([len(np.unique(column)) for column in rows.T], dtype=int)
    values = _singular_values(data)
    rank = int((values > 1e-8 * values.max(initial=0.0)).sum()) if len(values) else 0
    excited = rank // max(1, data.inputs)
    condition = float(values[0] / values[-1]) if len(values) and values[-1] > 0 else np.inf
    block_rows = data.past + data.future
    condition = condition if data.inputs else 1.0
    messages = [*_constant(rows), *_duplicated(rows)]
    if not messages and np.linalg.matrix_rank(rows - rows.mean(axis=0), rtol=1e-8) < data.inputs:
        messages.append("Some inputs add up to another one: their effects cannot be told apart. Leave one out.")
    if data.inputs and not messages and excited < min(2 * order + 1, block_rows):
        messages.append(
            f"The inputs excite {excited} directions, an order of {order} needs {2 * order + 1}: other models explain "
            "the data as well. Give inputs with more frequencies (noise, a random binary sequence), or lower the order."
        )
    if weighting == "n4sid" and condition > ILL_CONDITIONED:
        messages.append(
            f"The inputs change little from step to step (condition {condition:.2g}), which weighting='n4sid' does not "
            "stand: take 'cva' or 'moesp'."
        )
    return Excitation(excited, block_rows, condition, levels, delays(data), tuple(messages))


def _steps(delay: int) -> int | str:
    return delay if delay <= LONGEST_DELAY else f"over {LONGEST_DELAY}"


def _singular_values(data: Factor) -> Array:
    """Of the Hankel matrix of all inputs, future and past."""
    count = (data.past + data.future) * data.inputs
    values: Array = np.linalg.svd(data.lower[:count], compute_uv=False)
    return values


def _constant(rows: Array) -> list[str]:
    found = [place for place, column in enumerate(rows.T) if np.ptp(column) == 0]
    return [f"Input {place} is constant: what it does cannot be told from an offset. Leave it out." for place in found]


def _duplicated(rows: Array) -> list[str]:
    found = []
    for place in range(rows.shape[1]):
        twins = [other for other in range(place) if np.array_equal(rows[:, other], rows[:, place])]
        if twins and np.ptp(rows[:, place]) > 0:
            found.append(f"Inputs {twins[0]} and {place} are the same: their effects cannot be told apart. Drop one.")
    return found


def delays(data: Factor) -> Array:
    """Steps before each input shows in an output: how many of its first coefficients are together nothing.

    The coefficients are those of a regression of y_t on the last inputs and outputs; for the first d of an input,
    θᵀ Cov(θ)⁻¹ θ ~ χ²(d · outputs) if they are 0, which is kept while its p-value is above 0.1 %.

    Parameters
    ----------
    data : Factor
        What the regression needs of the data.

    Returns
    -------
    array of int, shape (inputs,)
        At most 25, or the block rows; one more where no effect is seen; 0 where the data are too few to tell.

    References
    ----------
    Ljung (1999), System Identification, sections 9.4 and 16.5, for the distribution of the coefficients.
    """
    inputs, outputs = data.inputs, data.outputs
    lags = min(LONGEST_DELAY, data.past + data.future - 1, data.columns // (4 * (inputs + outputs)))
    found = np.zeros(inputs, dtype=int)
    freedom = data.columns - (lags + 1) * inputs - lags * outputs
    if not inputs or lags < 1 or freedom <= data.columns // 2:
        return found
    regressors, targets = (
        np.concatenate([_lagged_inputs(data, lags), _lagged_outputs(data, lags)]),
        data.lower[-outputs:],
    )
    solution = np.linalg.lstsq(regressors.T, targets.T, rcond=1e-8)[0]
    errors = targets - solution.T @ regressors
    precision = np.linalg.pinv(errors @ errors.T * data.columns / freedom + 1e-20 * np.eye(outputs))
    square = torch.as_tensor(regressors @ regressors.T)
    spread = torch.linalg.pinv(square, rtol=1e-12, hermitian=True).numpy() / data.columns
    for place in range(inputs):
        while found[place] <= lags and not _seen(solution, spread, precision, place, int(found[place]), inputs):
            found[place] += 1
    return found


def _seen(solution: Array, spread: Array, precision: Array, place: int, lag: int, inputs: int) -> bool:
    """Whether the coefficients of an input up to this lag are together something."""
    chosen = np.arange(lag + 1) * inputs + place
    theta = solution[chosen]
    weight = torch.linalg.pinv(torch.as_tensor(spread[np.ix_(chosen, chosen)]), rtol=1e-10, hermitian=True).numpy()
    statistic = float(np.trace(theta.T @ weight @ theta @ precision))
    return bool(chi2.sf(statistic, theta.size) < UNLIKELY)


def _lagged_inputs(data: Factor, lags: int) -> Array:
    """Rows of x_t, x_{t-1}, …, x_{t-lags}, where t is the last step of the future."""
    width = data.inputs
    future = data.lower[: data.future * width].reshape(data.future, width, -1)
    past = data.lower[data.future * width : (data.future + data.past) * width].reshape(data.past, width, -1)
    return np.concatenate([past, future])[::-1][: lags + 1].reshape((lags + 1) * width, -1)


def _lagged_outputs(data: Factor, lags: int) -> Array:
    """Rows of y_{t-1}, …, y_{t-lags}."""
    width = data.outputs
    rows = data.lower[(data.future + data.past) * data.inputs :]
    return rows.reshape(data.past + data.future, width, -1)[::-1][1 : lags + 1].reshape(lags * width, -1)

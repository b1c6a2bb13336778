"""Autoregression with inputs by least squares: the regression, the choice of its lags, and its state-space form.

    y_t = Σ_{i=1}^{p} a_i y_{t-i} + Σ_{j=0}^{q} b_j u_{t-j} + b + e_t        u_t = x_{t-d}, every input d of its own

All models of at most p and q lags are solved from one triangular factor R, that of [Φ y], Φ the matrix of regressors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag, null_space

from seqdyn.arrays import Array
from seqdyn.identification.estimation import Directions, Estimation
from seqdyn.identification.hankel import triangular
from seqdyn.identification.records import DataRecord
from seqdyn.identification.system import LinearSystem

MOST_LAGS = 10
"""Lags of outputs and of inputs that ``"auto"`` tries."""
ROWS_A_REGRESSOR = 4
"""Steps that the largest model ``"auto"`` tries has for every regressor."""
LEAST_VARIANCE = 1e-16
"""Variance, in units of the outputs, that is rounding alone."""
MOST_NUMBERS = 500_000
"""Numbers that the directions of an estimation may hold."""


class Lags(NamedTuple):
    """The numbers of lags: p of the outputs, from lag 1 on, and q of the inputs, from lag 0 on after their delays."""

    outputs: int
    inputs: int


class LagTrial(NamedTuple):
    """One choice of lags: regressors of every output, and Akaike's corrected criterion."""

    output_lags: int
    input_lags: int
    regressors: int
    aicc: float


class Solution(NamedTuple):
    """θ (outputs, regressors), the covariance E of the errors, and a root of (ΦᵀΦ)⁻¹, (regressors, rank)."""

    coefficients: Array
    covariance: Array
    root: Array


@dataclass(frozen=True)
class Regression:
    """R of the QR factorisation of √w [Φ y], Φ = [y_{t-1} … y_{t-p}, u_t … u_{t-q}, 1].

    ``factor`` is R, (regressors + outputs, regressors + outputs); ``steps`` is T, those of which all lags are known.
    """

    factor: Array
    lags: Lags
    inputs: int
    outputs: int
    steps: int

    @classmethod
    def of(cls, records: Sequence[DataRecord], lags: Lags, delays: Sequence[int]) -> Regression:
        """The regression over all records; none reaches over a border. Weights have the mean 1."""
        inputs, outputs = records[0].x.shape[1], records[0].y.shape[1]
        rows = [_rows_of_regression(record, lags, np.asarray(delays, dtype=int)) for record in records]
        regressors, weight = np.concatenate([row for row, _ in rows]), np.concatenate([weight for _, weight in rows])
        factor = np.zeros((regressors.shape[1], regressors.shape[1]))
        weighted = regressors * np.sqrt(weight / weight.mean() if len(weight) else weight)[:, None]
        upper = triangular(factor[:0], weighted)
        factor[: len(upper)] = upper
        return cls(factor, lags, inputs, outputs, len(weight))

    def solved(self, lags: Lags) -> Solution:
        """The model of these lags, at most as many as the regression has; of smallest norm where it is not unique."""
        chosen = self._columns(lags)
        regressors, targets = self.factor[:, chosen], self.factor[:, -self.outputs :]
        left, values, right = np.linalg.svd(regressors, full_matrices=False)
        kept = values > np.finfo(float).eps * max(self.steps, len(values)) * values.max(initial=0.0)
        root = right[kept].T / values[kept]
        coefficients = root @ left[:, kept].T @ targets
        errors = targets - regressors @ coefficients
        return Solution(coefficients.T, errors.T @ errors / max(1, self.steps), root)

    def _columns(self, lags: Lags) -> Array:
        """Where the regressors of a smaller model are."""
        past, count = self.outputs * self.lags.outputs, self.factor.shape[1] - self.outputs
        own, given = self.outputs * lags.outputs, self.inputs * (lags.inputs + 1)
        return np.concatenate([np.arange(own), np.arange(past, past + given), [count - 1]])

    def trial(self, lags: Lags) -> LagTrial:
        """The criterion of these lags (Hurvich & Tsai 1989; Bedrick & Tsai 1994, for several outputs).

        AICc = T (ln det E + l) + 2 l T (k + (l + 1)/2) / (T − k − l − 1)        k regressors, l outputs
        """
        steps, outputs, count = self.steps, self.outputs, len(self._columns(lags))
        free = steps - count - outputs - 1
        determinant = _log_determinant(self.solved(lags).covariance, LEAST_VARIANCE)
        penalty = 2 * outputs * steps * (count + (outputs + 1) / 2) / free if free > 0 else math.inf
        return LagTrial(*lags, count, steps * (determinant + outputs) + penalty)


def _rows_of_regression(record: DataRecord, lags: Lags, delays: Array) -> tuple[Array, Array]:
    """[Φ y] of one record, the steps of which everything is known; and what they count."""
    reach = max(lags.outputs, lags.inputs + int(delays.max(initial=0)))
    step = np.arange(reach, len(record.x))
    counted = np.where(record.weight.min(axis=1, keepdims=True) > 0, record.y, np.nan)
    past = [counted[step - lag] for lag in range(1, lags.outputs + 1)]
    given = [record.x[step[:, None] - delays - lag, np.arange(len(delays))] for lag in range(lags.inputs + 1)]
    rows = np.hstack([*past, *given, np.ones((len(step), 1)), counted[step]])
    known = ~np.isnan(rows).any(axis=1)
    return rows[known], record.weight[step[known]].min(axis=1)


def lag_trials(
    records: Sequence[DataRecord], outputs: Iterable[int] | None, inputs: Iterable[int] | None, delays: Sequence[int]
) -> list[LagTrial]:
    """The criterion of every choice of lags p and q over the same steps of scaled records, few lags first.

    None means the lags 0 … 10, or fewer where the data are short. Every input has a delay of its own.
    """
    for most in range(MOST_LAGS, -1, -1):
        p, q = (range(most + 1) if tried is None else list(tried) for tried in (outputs, inputs))
        regression = Regression.of(records, Lags(max(p), max(q)), delays)
        if regression.steps >= ROWS_A_REGRESSOR * regression.factor.shape[1]:
            break
    return [regression.trial(Lags(own, given)) for own in p for given in q]


def arx_system(regression: Regression, delays: Sequence[int]) -> LinearSystem:
    """The model of all lags as a state-space system with its noise; its state holds the last outputs and inputs.

    It has the covariance of the one-step errors, R = T E / (T − k), and an estimation whose directions are a root of
    R ⊗ (ΦᵀΦ)⁻¹: Ljung (1999), System Identification, sections 4.2 and 9.4; Lütkepohl (2005), New Introduction to
    Multiple Time Series Analysis, section 3.2.
    """
    lags, inputs, outputs = regression.lags, regression.inputs, regression.outputs
    found = regression.solved(lags)
    free = _companion(found.coefficients, lags, inputs)
    order = free.transition.shape[0]
    covariance = found.covariance * regression.steps / max(1, regression.steps - found.root.shape[1])
    gain = np.eye(order, outputs) if lags.outputs else np.zeros((order, outputs))  # an error is a part of y_t
    directions = None
    if outputs * found.root.shape[1] * (order + inputs) * (order + outputs) <= MOST_NUMBERS:
        directions = _coefficient_directions(found, covariance, lags, inputs)
    return LinearSystem(
        free.feedthrough,
        free.readout,
        free.input_map + _new(lags, inputs, outputs),
        free.transition + _moved_on(lags, inputs, outputs),
        free.output_offset,
        free.state_offset,
        gain,
        covariance,
        estimation=_estimation_of(regression, found, directions, _undetermined(found, lags, inputs)),
    ).with_input_delay(delays)


def _companion(coefficients: Array, lags: Lags, inputs: int) -> Directions:
    """[y; h] = [A B; C D] [u; h] as far as it follows from θ (…, outputs, regressors), with any leading axes."""
    *lead, outputs, _ = coefficients.shape
    past, order = outputs * lags.outputs, outputs * lags.outputs + inputs * lags.inputs
    own, given, offset = coefficients[..., :past], coefficients[..., past:-1], coefficients[..., -1]
    feedthrough, readout = given[..., :inputs], np.concatenate([own, given[..., inputs:]], axis=-1)
    input_map, transition = np.zeros((*lead, order, inputs)), np.zeros((*lead, order, order))
    state_offset, gain = np.zeros((*lead, order)), np.zeros((*lead, order, outputs))
    if lags.outputs:
        input_map[..., :outputs, :], transition[..., :outputs, :] = feedthrough, readout
        state_offset[..., :outputs] = offset
    return Directions(feedthrough, readout, input_map, transition, offset, state_offset, gain)


def _new(lags: Lags, inputs: int, outputs: int) -> Array:
    """The known part of C: u_t becomes its own first lag."""
    input_map = np.zeros((outputs * lags.outputs + inputs * lags.inputs, inputs))
    if lags.inputs:
        input_map[outputs * lags.outputs :][:inputs] = np.eye(inputs)
    return input_map


def _moved_on(lags: Lags, inputs: int, outputs: int) -> Array:
    """The known part of D: every lag becomes the next."""
    return block_diag(
        np.eye(outputs * lags.outputs, k=-outputs) if lags.outputs else np.zeros((0, 0)),
        np.eye(inputs * lags.inputs, k=-inputs) if lags.inputs else np.zeros((0, 0)),
    )


def _coefficient_directions(found: Solution, covariance: Array, lags: Lags, inputs: int) -> Directions:
    """A root of R ⊗ (ΦᵀΦ)⁻¹, the covariance of θ, as changes of the system."""
    values, vectors = np.linalg.eigh(covariance)
    loose = vectors * np.sqrt(np.maximum(values, 0.0))
    changes = np.einsum("ov,kr->vrok", loose, found.root)
    return _companion(changes.reshape(-1, *found.coefficients.shape), lags, inputs)


def _undetermined(found: Solution, lags: Lags, inputs: int) -> Directions | None:
    """Changes of θ that the regressors do not determine, as of two equal inputs; None where there are none."""
    unseen, outputs = null_space(found.root.T), len(found.coefficients)
    if not unseen.size:
        return None
    changes = np.einsum("ov,kr->vrok", np.eye(outputs), unseen)
    return _companion(changes.reshape(-1, *found.coefficients.shape), lags, inputs)


def _estimation_of(
    regression: Regression, found: Solution, directions: Directions | None, undetermined: Directions | None
) -> Estimation:
    steps, outputs = regression.steps, regression.outputs
    determinant = _log_determinant(found.covariance, 1e-300)
    likelihood = -0.5 * steps * (outputs * (1 + math.log(2 * math.pi)) + determinant)
    free = outputs * found.root.shape[1]
    known = np.full(outputs, steps)
    return Estimation("prediction", known, free, likelihood, determinant, directions, undetermined)


def _log_determinant(covariance: Array, least: float) -> float:
    """ln det E, with no variance below ``least``."""
    return float(np.log(np.maximum(np.linalg.eigvalsh(covariance), least)).sum())

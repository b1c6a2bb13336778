"""Ridge regressions of many series at once: Gram matrices side by side, for several penalties.

    min_{w, r} Σ_t ‖b_t − wᵀ a_t − rᵀ f_t‖² + λ ‖w‖² + κ ‖r‖²

a_t are the lags, b_t the values ahead; f_t, the intercept, the inputs and with them the level, are as good as free.
They are eliminated once, and what remains is solved for every λ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.linear_weights import Weights
from seqdyn.forecasting.tables import BUDGET, blocks, table

UNPENALISED = 1e-6
"""κ, the penalty of what is not penalised."""


@dataclass(frozen=True)
class Order:
    """What is regressed on what.

    Attributes
    ----------
    lags : int, at least 1
        p.
    input_lags : int, at least 0
        q: an input counts from the value of the step itself to that q rows before.
    steps : int, at least 1
        How many values ahead are predicted at once.
    centred : bool
        Whether lags and targets are taken relative to the last value.
    difference : int, at least 0
        How often everything is differenced first.
    """

    lags: int
    input_lags: int = 0
    steps: int = 1
    centred: bool = False
    difference: int = 0


@dataclass(frozen=True)
class Normal:
    """Normal equations of some regressions; the columns are the p lags, then what is free, the intercept last.

    Attributes
    ----------
    left : array, shape (models, columns, columns)
        AᵀA.
    right : array, shape (models, columns, targets)
        AᵀB.
    """

    left: Array
    right: Array

    def pooled(self) -> Normal:
        """The regression on all rows together."""
        return Normal(self.left.sum(axis=0, keepdims=True), self.right.sum(axis=0, keepdims=True))

    def plus(self, other: Normal) -> Normal:
        """The regression on the rows of both."""
        return Normal(self.left + other.left, self.right + other.right)

    def solved(self, lags: int, penalties: Array) -> Array:
        """The solutions for penalties (choices, models or 1) of the lags, (choices, models, columns, targets)."""
        free = self.left[:, lags:, lags:] + UNPENALISED * np.eye(self.left.shape[1] - lags)
        cross = self.left[:, :lags, lags:]
        gain = np.linalg.solve(free, np.concatenate([cross.swapaxes(1, 2), self.right[:, lags:]], axis=2))
        core = self.left[:, :lags, :lags] - cross @ gain[..., :lags]
        goal = self.right[:, :lags] - cross @ gain[..., lags:]
        least = np.maximum(1e-12 * np.trace(self.left, axis1=1, axis2=2), 1e-300)
        ridge = np.maximum(penalties, least)[..., None, None] * np.eye(lags)
        weights = np.stack([np.linalg.solve(core + own, goal) for own in ridge])
        return np.concatenate([weights, gain[..., lags:] - gain[..., :lags] @ weights], axis=-2)


def normal(values: Array, inputs: Array, order: Order, ahead: int = 0, kept: Array | None = None) -> Normal:
    """The normal equations of series side by side, (series, time, …); rows with a missing value are left out.

    Differences are taken already. ``ahead`` steps lie between the last lag and the first target; ``kept`` rows may be
    targets.

    Examples
    --------
    >>> normal(np.array([[1.0, 2.0, 4.0]]), np.zeros((1, 3, 0)), Order(1)).left[0].tolist()
    [[5.0, 3.0], [3.0, 2.0]]
    """
    series, time, count = inputs.shape
    targets = order.steps if not count else 1
    columns = order.lags + (count * (order.input_lags + 1) + order.centred if count else 0) + 1
    left, right = np.zeros((series, columns, columns)), np.zeros((series, columns, targets))
    first, last = max(order.lags, order.input_lags - ahead), time - ahead - targets
    piece = max(1, BUDGET // (series * (columns + targets)))
    for begin in range(first, last + 1, piece):
        origins = slice(begin, min(begin + piece, last + 1))
        past, goal = _regression_rows(values, inputs, order, origins, ahead, targets, kept)
        left += past.swapaxes(1, 2) @ past
        right += past.swapaxes(1, 2) @ goal
    return Normal(left, right)


def _regression_rows(
    values: Array, inputs: Array, order: Order, origins: slice, ahead: int, targets: int, kept: Array | None
) -> tuple[Array, Array]:
    """The rows of a regression and their targets; zeros where one is left out."""

    def windows(of: Array, width: int, shift: int) -> Array:
        return sliding_window_view(of, width, axis=1)[:, origins.start + shift : origins.stop + shift]

    lags = windows(values, order.lags, -order.lags)
    goal = windows(values, targets, ahead)
    level = lags[..., -1:] if order.centred else np.zeros(1)
    parts = [lags - level, np.ones((*goal.shape[:2], 1))]
    if inputs.shape[2]:
        seen = windows(inputs, order.input_lags + 1, ahead - order.input_lags)
        between = [level] if order.centred else []
        parts[1:1] = [*between, seen.swapaxes(2, 3).reshape(*goal.shape[:2], -1)]
    past, goal = np.concatenate(parts, axis=2), goal - level
    good = ~(np.isnan(past).any(axis=2) | np.isnan(goal).any(axis=2))
    if kept is not None:
        good &= windows(kept, targets, ahead).all(axis=2)
    return np.where(good[..., None], past, 0.0), np.where(good[..., None], goal, 0.0)


def fit_autoregressions(
    panel: Panel,
    values: Array,
    inputs: Array,
    order: Order,
    penalties: Array,
    *,
    pooled: bool = False,
    kept: Array | None = None,
    numbers: Array | None = None,
) -> list[Weights]:
    """Regressions of series of a panel, for some penalties (choices, series or 1): the weights of every choice.

    Centring and differencing are folded in. ``values`` and ``inputs`` are those of all rows of the panel; only rows
    ``kept`` may be targets. ``numbers`` are those of the series, all if None. ``pooled`` makes one regression of them.
    """
    numbers = np.arange(len(panel.names)) if numbers is None else numbers
    sums: list[Normal | None] = [None] * (order.steps if inputs.shape[1] else 1)
    solutions: list[list[Array]] = [[] for _ in sums]
    places = []
    for block in _series_blocks(panel, numbers, inputs, order):
        places.append(block)
        chosen = numbers[block]
        for ahead, found in enumerate(_normals(panel, values, inputs, order, chosen, kept, len(sums))):
            if pooled:
                before = sums[ahead]
                sums[ahead] = found.pooled() if before is None else before.plus(found.pooled())
            else:
                own = penalties if penalties.shape[1] == 1 else penalties[:, chosen]
                solutions[ahead].append(found.solved(order.lags, own))
    if pooled:
        whole = [total.solved(order.lags, penalties[:, :1]) for total in sums if total is not None]
    else:
        place = np.argsort(np.concatenate(places))
        whole = [np.concatenate(found, axis=1)[:, place] for found in solutions]
    return [
        _folded_weights([found[choice] for found in whole], order, inputs.shape[1]) for choice in range(len(penalties))
    ]


def _series_blocks(panel: Panel, numbers: Array, inputs: Array, order: Order) -> Iterator[Array]:
    width = order.lags + inputs.shape[1] * (order.input_lags + 1) + order.steps + 2
    return blocks(panel.lengths[numbers], width)


def _normals(
    panel: Panel, values: Array, inputs: Array, order: Order, chosen: Array, kept: Array | None, regressions: int
) -> Iterator[Normal]:
    """The normal equations of a block of series; with inputs those of every step by itself."""
    where = panel.starts[chosen], panel.lengths[chosen]
    own, known = (np.diff(table(part, *where), n=order.difference, axis=1) for part in (values, inputs))
    if kept is None:
        some, end = None, own.shape[1]
    else:
        some = (table(kept * 1.0, *where) == 1.0)[:, order.difference :]
        end = int(np.flatnonzero(some.any(axis=0)).max(initial=-1)) + 1
        some = some[:, :end]
    for ahead in range(regressions):
        yield normal(own[:, :end], known[:, :end], order, ahead, some)


def _folded_weights(solutions: list[Array], order: Order, count: int) -> Weights:
    lags, own = order.lags, count * (order.input_lags + 1)
    whole = np.concatenate(solutions, axis=2)
    coefficients = whole[:, :lags].copy()
    if order.centred:
        level = whole[:, lags] if count else 0.0
        coefficients[:, -1] += 1.0 + level - coefficients.sum(axis=1)
    inputs = np.zeros((len(whole), order.input_lags + order.steps if count else 0, count, order.steps))
    for ahead, found in enumerate(solutions if count else []):
        part = found[:, -1 - own : -1, 0].reshape(len(whole), order.input_lags + 1, count)
        inputs[:, ahead : ahead + order.input_lags + 1, :, ahead] = part
    weights = Weights(coefficients, whole[:, -1], inputs)
    for _ in range(order.difference):
        weights = weights.summed()
    return weights

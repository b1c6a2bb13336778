"""Exponential smoothing of many series at once: a level, a trend and a season as one recursion over arrays.

    base_t = l_{t−1} + φ b_{t−1}
    e_t = y_t − (base_t + s_{t−m})             what the prediction missed; 0 where y_t is missing
    l_t = base_t + α e_t
    b_t = φ b_{t−1} + α β e_t
    s_t = s_{t−m} + γ e_t

A multiplicative season predicts base_t s_{t−m}; then l and b follow e_t / s_{t−m}, and s follows e_t / base_t. Arrays
have time first and series last; every series begins in row 0, and those that end earlier are NaN after their end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqdyn.arrays import Array

LOWER_BOUNDS, UPPER_BOUNDS = np.array([0.01, 0.01, 0.005, 0.8]), np.array([0.99, 0.9, 0.9, 0.98])
"""Where α, β, γ and φ are looked for."""

BEGINNINGS = ((0.1, 0.1, 0.05), (0.3, 0.1, 0.1), (0.7, 0.05, 0.1), (0.9, 0.3, 0.1))
"""α, β and γ that the search begins with; φ is 0.93."""

SEARCH_ROUNDS, STRIDE = 14, 0.2
"""Rounds of the search, and its first step in √ of the range."""

LEAST_FACTOR = 1e-3
"""A factor below which nothing is divided by it; values are about 1."""

SEASON_PENALTY = 1e-4
"""What a first season is held to 0 by, in rows: a phase that was never seen stays there."""


@dataclass(frozen=True)
class Form:
    """Which parts a model has.

    Attributes
    ----------
    trend : {"none", "damped", "linear"}
    season : {"none", "add", "mul"}
    """

    trend: str = "damped"
    season: str = "none"

    @property
    def free(self) -> list[int]:
        """Which of α, β, γ and φ are fitted."""
        parts = (True, self.trend != "none", self.season != "none", self.trend == "damped")
        return [number for number, part in enumerate(parts) if part]


class SmoothingState(NamedTuple):
    """A state of exponential smoothing.

    Attributes
    ----------
    level, trend : array, shape (…, series)
        l and b.
    season : array, shape (m, …, series)
        s, that of the next step first.
    """

    level: Array
    trend: Array
    season: Array


class Course(NamedTuple):
    """What a run over values leaves.

    Attributes
    ----------
    levels, trends : array, shape (time + 1, series)
        l and b before every row, and after the last.
    seasons : array, shape (time + m, series)
        s; rows t … t + m − 1 are those of the steps that follow t rows.
    errors : array, shape (time, series)
        e, 0 where a value is missing.
    """

    levels: Array
    trends: Array
    seasons: Array
    errors: Array

    def at(self, rows: Array, series: Array) -> SmoothingState:
        """The states after so many rows of some series, (origins,) each."""
        m = len(self.seasons) - len(self.errors)
        ahead = self.seasons[rows + np.arange(m)[:, None], series]
        return SmoothingState(self.levels[rows, series], self.trends[rows, series], ahead)


def smoothing_step(form: Form, own: Array, level: Array, trend: Array, season: Array, y: Array) -> tuple[Array, ...]:
    """One step of exponential smoothing: l, b and s of this phase after it, and e; y is NaN where missing.

    ``own`` are α, β, γ and φ, (4, …, series).

    Examples
    --------
    >>> own = np.array([[0.5], [0.2], [0.0], [1.0]])
    >>> [part.item() for part in smoothing_step(Form("linear"), own, *np.array([[1.0], [1.0], [0.0], [4.0]]))]
    [3.0, 1.2, 0.0, 2.0]
    """
    alpha, beta, gamma, phi = own
    carried = phi * trend
    base = level + carried
    if form.season == "mul":
        error = _known_error(y - base * season)
        shock, bend = _divided(error, season), _divided(error, base)
    else:
        error = _known_error(y - base - season)
        shock = bend = error
    return base + alpha * shock, carried + alpha * beta * shock, season + gamma * bend, error


def squared_errors(form: Form, own: Array, start: SmoothingState, values: Array) -> Array:
    """Σ e² of a run, shape (…, series); inf where it left the finite numbers."""
    level, trend, season = start.level, start.trend, list(start.season)
    total = np.zeros(np.broadcast_shapes(level.shape, own.shape[1:]))
    with np.errstate(all="ignore"):
        for row, y in enumerate(values):
            phase = row % len(season)
            level, trend, season[phase], error = smoothing_step(form, own, level, trend, season[phase], y)
            total += error**2
    return np.where(np.isfinite(total), total, np.inf)


def run_smoothing(form: Form, own: Array, start: SmoothingState, values: Array) -> Course:
    """All states and errors of a run over values (time, series)."""
    m, (level, trend, season) = len(start.season), start
    course = Course(
        np.empty((len(values) + 1, *level.shape)),
        np.empty((len(values) + 1, *level.shape)),
        np.empty((len(values) + m, *level.shape)),
        np.empty((len(values), *level.shape)),
    )
    course.levels[0], course.trends[0], course.seasons[:m] = level, trend, season
    with np.errstate(all="ignore"):
        for row, y in enumerate(values):
            found = smoothing_step(form, own, course.levels[row], course.trends[row], course.seasons[row], y)
            course.levels[row + 1], course.trends[row + 1], course.seasons[row + m], course.errors[row] = found
    return course


def extrapolate(form: Form, own: Array, state: SmoothingState, horizon: int) -> Array:
    """ŷ_{t+k} = (l + (φ + … + φᵏ) b) and the season of step k, (origins, horizon).

    Examples
    --------
    >>> state = SmoothingState(np.array([1.0]), np.array([1.0]), np.array([[0.0], [5.0]]))
    >>> extrapolate(Form("linear", "add"), np.array([[0.5], [0.1], [0.1], [1.0]]), state, 3).tolist()
    [[2.0, 8.0, 4.0]]
    """
    steps = np.arange(1, horizon + 1)
    reach = np.cumsum(own[3][:, None] ** steps, axis=1)
    base = state.level[:, None] + reach * state.trend[:, None]
    season = state.season[(steps - 1) % len(state.season)].T
    return base * season if form.season == "mul" else base + season


def first_level(form: Form, values: Array, season: int) -> SmoothingState:
    """The state before the first row, from a straight line and a season through the first rows by least squares.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0])[:, None]
    >>> state = first_level(Form("linear", "add"), values, 2)
    >>> state.trend.round(3).item(), state.season.round(3)[:, 0].tolist()
    (0.5, [-0.25, 0.25])
    """
    seasonal, m = form.season != "none", season if form.season != "none" else 1
    first = values[: max(10, 4 * m) if seasonal else max(10, 2 * season + 2)]
    known = ~np.isnan(first)
    count, total = np.maximum(known.sum(axis=0), 1), np.nan_to_num(first)
    if form.trend == "none" and not seasonal:
        level = total.sum(axis=0) / count
        return SmoothingState(level, np.zeros_like(level), _no_season(form, 1, len(level)))
    level, slope, season_ = _line_and_season(first, known, m)
    trend = slope if form.trend != "none" else np.zeros_like(slope)
    if form.trend == "none":
        level = level + slope * (len(first) - 1) / 2
    if not seasonal:
        return SmoothingState(level - trend, trend, _no_season(form, 1, len(level)))
    if form.season == "mul":
        middle = level + trend * (len(first) - 1) / 2
        season_ = np.maximum(1 + _divided(season_, middle), LEAST_FACTOR)
    return SmoothingState(level - trend, trend, season_)


def fit_smoothing(form: Form, values: Array, season: int) -> tuple[Array, SmoothingState]:
    """α, β, γ and φ of every series by least squares of the one-step errors, and the state before the first row.

    The search tries a step up and down along every parameter, takes the best, and halves the steps that do not help.
    Values (time, series) are of about unit size.
    """
    start = first_level(form, values, season)
    place = np.array([[*begin, 0.93] for begin in BEGINNINGS]).T[:, :, None] * np.ones(values.shape[1])
    place[3] = 0.93 if form.trend == "damped" else 1.0
    place[1] *= form.trend != "none"
    place[2] *= form.season != "none"
    found = _squares_of_tries(form, place, start, values)
    best, least = _picked(place, found), found.min(axis=0)
    stride = np.full((len(form.free), values.shape[1]), STRIDE)
    for _ in range(SEARCH_ROUNDS):
        pairs = [(part, sign * own) for part, own in zip(form.free, stride, strict=True) for sign in (1, -1)]
        place = np.stack([_stepped(best, part, way) for part, way in pairs], axis=1)
        found = _squares_of_tries(form, place, start, values)
        helped = found.reshape(-1, 2, found.shape[1]).min(axis=1) < least
        stride = np.where(helped, stride, stride / 2)
        better = found.min(axis=0) < least
        best, least = np.where(better, _picked(place, found), best), np.minimum(found.min(axis=0), least)
    return best, start


def _squares_of_tries(form: Form, place: Array, start: SmoothingState, values: Array) -> Array:
    """Σ e² of parameters (4, tries, series)."""
    shape = place.shape[1:]
    level, trend = np.broadcast_to(start.level, shape), np.broadcast_to(start.trend, shape)
    season = np.broadcast_to(start.season[:, None], (len(start.season), *shape))
    return squared_errors(form, place, SmoothingState(level, trend, season), values[:, None])


def _picked(place: Array, found: Array) -> Array:
    """The parameters of the smallest of the tries, (4, series)."""
    chosen: Array = np.take_along_axis(place, found.argmin(axis=0)[None, None], axis=1)[:, 0]
    return chosen


def _stepped(own: Array, part: int, stride: Array) -> Array:
    """Parameters with one of them a step on, in √ of its range: small values are looked at more finely."""
    moved = own.copy()
    low, high = LOWER_BOUNDS[part], UPPER_BOUNDS[part]
    root = np.sqrt(np.clip((own[part] - low) / (high - low), 0, 1))
    moved[part] = low + (high - low) * np.clip(root + stride, 0, 1) ** 2
    return moved


def _line_and_season(values: Array, known: Array, season: int) -> tuple[Array, Array, Array]:
    """Level, slope and season (m, series), of mean 0, through the known of some rows; the season held to 0 lightly."""
    row = np.arange(len(values))
    phases = (row[:, None] % season == np.arange(season)).astype(float)
    columns = np.column_stack([np.ones(len(row)), row, *(phases.T if season > 1 else ())])
    products = (columns[:, :, None] * columns[:, None, :]).reshape(len(row), -1)
    left = (known.T.astype(float) @ products).reshape(-1, columns.shape[1], columns.shape[1])
    held = np.full(columns.shape[1], SEASON_PENALTY)
    held[:2] = 1e-9
    right = np.nan_to_num(values).T @ columns
    found = np.linalg.solve(left + np.diag(held), right[:, :, None])[:, :, 0].T
    own = found[2:] if season > 1 else np.zeros((1, values.shape[1]))
    return found[0] + own.mean(axis=0), found[1], own - own.mean(axis=0)


def _no_season(form: Form, m: int, series: int) -> Array:
    return np.full((m, series), 1.0 if form.season == "mul" else 0.0)


def _known_error(error: Array) -> Array:
    """The error; 0 where nothing is known."""
    return np.where(np.isnan(error), 0.0, error)


def _divided(error: Array, part: Array) -> Array:
    """error / part; 0 where the part is too small to divide by."""
    large = part > LEAST_FACTOR
    return np.where(large, error / np.where(large, part, 1.0), 0.0)

"""Which of several solved models is kept: the one that predicts best what was held out, in free run where it can.

Every model is solved for on the first part of the data. Where outputs are fed back, free runs over the last part are
compared, and a model is kept only if it stays in the range of the data in the long run, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.estimators.free_run import (
    LEAD,
    LONG_STARTS,
    LONG_STEPS,
    FreeRuns,
    comparable,
    losses,
    planned_runs,
    run_free,
    stays_inside,
)
from seqdyn.estimators.ridge import Affinity, Triangle
from seqdyn.training.batches import Rows

TRIED = 10
"""Of how many of the best it is looked whether they stay in the range of the data in the long run."""


class Trial(NamedTuple):
    """Models that are tried, alike but for their ridge.

    ``settings`` distinguish the ``cell``, which makes the features, from others. ``first`` is the triangle of the rows
    that come first, from which every ridge has its solution; ``held`` that of the rows that are held out, if any are.
    """

    settings: Mapping[str, Any]
    cell: Cell
    first: Triangle
    held: Triangle | None
    ridges: Sequence[float]
    solutions: Sequence[Affinity]

    @property
    def whole(self) -> Triangle:
        """The triangle of all rows."""
        return self.first if self.held is None else self.first.joined(self.held)


class Task(NamedTuple):
    """What models are tried on.

    ``rows`` are scaled, ``wanted`` (total, outputs) is what a readout has to give, ``weight`` (total,) what they count.
    ``last_values`` leading inputs are last values of the targets: then ``wanted`` is the change from them. ``fraction``
    is the share of every series that is held out, at its end.
    """

    rows: Rows
    wanted: Array
    weight: Array
    last_values: int
    fraction: float


class Choice(NamedTuple):
    """The ``trial`` that is kept, the ``place`` of its ridge, and the ``table`` of all that was tried."""

    trial: Trial
    place: int
    table: dict[str, Array]


def choose(trials: Sequence[Trial], task: Task) -> Choice:
    """The best trial and ridge, by what is held out."""
    runs = _runs(task, task.rows.starts.numpy() + first_held(task.rows, task.fraction))
    if runs is None:
        errors = [_held_out_errors(trial) for trial in trials]
        order = _by_error(errors)
    else:
        onto = [[onto_last(solution, task.last_values) for solution in trial.solutions] for trial in trials]
        found = [losses(run_free(trial.cell, own, runs), runs) for trial, own in zip(trials, onto, strict=True)]
        errors = comparable(found)
        early = task.rows.starts.numpy() + np.minimum(task.rows.lengths.numpy() // 4, LEAD)
        order = _from_the_first_to_stay(_by_error(errors), trials, onto, _runs(task, early, LONG_STARTS, LONG_STEPS))
    i, j = order[0]
    return Choice(trials[i], j, _table(trials, errors))


def first_held(rows: Rows, fraction: float) -> Array:
    """The first step of every series that is held out."""
    return np.asarray(np.ceil((1 - fraction) * rows.lengths.numpy()).astype(np.int64))


def held_out(rows: Rows, weight: Array, fraction: float) -> Array | None:
    """Which rows are held out, (total,); None where fewer than two that count would be left on either side."""
    later = np.zeros(len(weight), dtype=bool)
    cuts = rows.starts.numpy() + first_held(rows, fraction)
    for cut, end in zip(cuts, (rows.starts + rows.lengths).tolist(), strict=True):
        later[cut:end] = True
    enough = np.count_nonzero(weight[~later]) >= 2 and np.count_nonzero(weight[later]) >= 2
    return later if enough else None


def onto_last(solution: Affinity, count: int) -> Affinity:
    """From the change to the value: the last values, which are the first features, are added.

    Examples
    --------
    >>> onto_last(Affinity(np.array([[0.5], [2.0]]), np.zeros(1)), 1).weight.ravel()
    array([1.5, 2. ])
    """
    weight = solution.weight.copy()
    weight[range(count), range(count)] += 1.0
    return Affinity(weight, solution.bias)


def _runs(task: Task, cuts: Array, *sizes: int) -> FreeRuns | None:
    """Free runs from these rows on, if outputs are fed back and there is room."""
    count = task.last_values
    if not count:
        return None
    return planned_runs(task.rows, task.wanted + task.rows.x[:, :count].numpy(), task.weight, cuts, *sizes)


def _held_out_errors(trial: Trial) -> Array:
    """The mean squared error of every ridge on what is held out."""
    assert trial.held is not None
    return np.array([trial.held.error(solution) for solution in trial.solutions])


def _by_error(errors: Sequence[Array]) -> list[tuple[int, int]]:
    """The numbers of trial and ridge, the smallest error first, and of equal ones the stronger ridge."""
    flat = [(error, i, j) for i, own in enumerate(errors) for j, error in enumerate(own)]
    return [(i, j) for _, i, j in sorted(flat)]


def _from_the_first_to_stay(
    order: list[tuple[int, int]], trials: Sequence[Trial], onto: Sequence[Sequence[Affinity]], runs: FreeRuns | None
) -> list[tuple[int, int]]:
    """The order from the first on whose long runs stay in the range of the data; as it is where none of ten does."""
    for place, (i, j) in enumerate(order[:TRIED] if runs is not None else ()):
        assert runs is not None
        if stays_inside(run_free(trials[i].cell, [onto[i][j]], runs), runs).all():
            return order[place:]
    return order


def _table(trials: Sequence[Trial], errors: Sequence[Array]) -> dict[str, Array]:
    """What was tried, one row a choice of settings and ridge."""
    settings = {
        name: np.array([trial.settings[name] for trial in trials for _ in trial.ridges]) for name in trials[0].settings
    }
    ridges = np.concatenate([trial.ridges for trial in trials])
    return settings | {"ridge": ridges, "error": np.concatenate(errors)}

"""Validation of solved models by their free runs: predictions are fed back, over data that were held out.

The error of one step misleads: with two nearly collinear features a weak ridge fits it best, and leaves unstable modes
that a free run finds within a few steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.autoregression import beside
from seqdyn.cell import Cell
from seqdyn.estimators.ridge import Affinity
from seqdyn.loops import rollout, scan
from seqdyn.state import take
from seqdyn.training.batches import Rows
from seqdyn.wrapper import Wrapper

FREE_RUNS, FREE_RUN_STEPS = 12, 1000
"""How many free runs begin in what is held out, about, and how long they are, at most."""

LONG_STARTS, LONG_STEPS = 4, 5000
"""The same of the runs that look whether a model stays in the range of the data."""

LEAD = 500
"""Steps in which the state of a start is found, at most."""

FAR = 2.0
"""A run that comes so many times as far from the mean as the data has left them."""

VALID = 0.4
"""A run is with the truth up to this error, in standard deviations."""

FEWEST = 10
"""Steps over which errors are compared, at least."""


class FreeRuns(NamedTuple):
    """Where free runs begin, and the truth beside them, scaled.

    ``lead`` (starts, lead, inputs) are the rows up to the first that is predicted from, ``exogenous`` (starts, steps −
    1, inputs − targets) the other inputs after it, if any; ``truth`` (starts, steps, targets) and whether it is
    ``known`` (starts, steps) come next. ``limit`` is how far from 0 the data lie.
    """

    lead: Tensor
    exogenous: Tensor | None
    truth: Array
    known: Array
    limit: float


def planned_runs(
    rows: Rows, targets: Array, weight: Array, cuts: Array, starts: int = FREE_RUNS, longest: int = FREE_RUN_STEPS
) -> FreeRuns | None:
    """Free runs in the last part of every series, or None where that is too short.

    From row ``cuts`` (series,) of each on runs may begin, about ``starts`` of them; they are half as long as what
    follows it, and ``longest`` at most. The last values of the targets are the leading inputs; a target is not known
    where ``weight`` is 0.
    """
    begins, ends = rows.starts.numpy(), (rows.starts + rows.lengths).numpy()
    steps = min(longest, int((ends - cuts).max()) // 2)
    places = _places(cuts, ends - steps, starts)
    if not steps or not len(places):
        return None
    first, series = places.T
    lead = min(LEAD, int((first - begins[series]).min()) + 1)
    before, after = first[:, None] + np.arange(1 - lead, 1), first[:, None] + np.arange(steps)
    x, known = rows.x, weight[after] > 0
    rest = x[torch.as_tensor(after[:, 1:]), targets.shape[1] :]
    limit = float(np.abs(targets[weight > 0]).max())
    return FreeRuns(x[torch.as_tensor(before)], rest if rest.shape[-1] else None, targets[after], known, limit)


def _places(cuts: Array, last: Array, starts: int) -> Array:
    """Rows to start from and the series they are in, (starts, 2), evenly over where runs may begin."""
    fit = np.flatnonzero(last >= cuts)
    fit = fit[np.unique(np.linspace(0, len(fit) - 1, starts).round().astype(int))] if len(fit) > starts else fit
    each = -(-starts // max(1, len(fit)))
    rows = [np.unique(np.linspace(cuts[one], last[one], each).round().astype(int)) for one in fit]
    places: Array = np.array([(row, one) for one, own in zip(fit, rows, strict=True) for row in own], dtype=np.int64)
    return places.reshape(-1, 2)


def run_free(cell: Cell, solutions: Sequence[Affinity], runs: FreeRuns) -> Array:
    """The free runs of every solution, from the features of a cell to targets: (solutions, starts, steps, targets)."""
    starts, steps = runs.known.shape
    each = torch.arange(starts).repeat(len(solutions))
    fan, led = Fan(cell, solutions), scan(cell, runs.lead)
    last = fan.read(led.output[:, -1][each], None)
    found = last.unsqueeze(1)
    if steps > 1:
        exogenous = None if runs.exogenous is None else runs.exogenous[each]
        far = 2 * FAR * runs.limit  # what has left the data goes on from here, and does not overflow

        def feed(value: Tensor, rest: Any) -> Tensor:
            return beside(value.nan_to_num(far).clamp(-far, far), rest)

        ahead = rollout(fan, take(led.state, each), steps - 1, last=last, feed=feed, exogenous=exogenous)
        found = torch.cat([found, ahead.output], 1)
    return np.asarray(found.numpy().reshape(len(solutions), starts, steps, -1))


class Losses(NamedTuple):
    """How runs lose the truth. A run that leaves the range of the data has error 1 from its first step.

    ``curves`` (solutions, steps) are the means over starts of e_t = min(1, rms over targets), in standard deviations;
    ``valid`` (solutions,) is how many steps the median run is valid.
    """

    curves: Array
    valid: Array


def losses(found: Array, runs: FreeRuns) -> Losses:
    """From runs (solutions, starts, steps, targets) and the truth.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((1, 4, 1))
    >>> runs = FreeRuns(torch.zeros(1, 1, 1), None, truth, np.ones((1, 4), dtype=bool), limit=1.0)
    >>> losses(np.array([0.0, 0.1, 0.5, 1.5]).reshape(1, 1, 4, 1), runs)
    Losses(curves=array([[0. , 0.1, 0.5, 1. ]]), valid=array([2.]))
    """
    inside = stays_inside(found, runs)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.sqrt(((found - runs.truth) ** 2).mean(axis=3))
    errors = np.where(inside[:, :, None], np.fmin(errors, 1.0), 1.0) * runs.known
    lost = np.concatenate([errors > VALID, np.ones_like(errors[:, :, :1], dtype=bool)], 2)
    counts = np.maximum(runs.known.sum(0), 1)
    return Losses(errors.sum(1) / counts, np.median(lost.argmax(2), 1))


def stays_inside(found: Array, runs: FreeRuns) -> Array:
    """Which runs stay in the range of the data, (solutions, starts)."""
    inside: Any = (np.abs(found) <= FAR * runs.limit).all(axis=(2, 3))  # NaN is not inside
    return np.asarray(inside)


def comparable(lost: Sequence[Losses]) -> list[Array]:
    """The error of every solution (solutions,) of every trial, in [0, 1]: the mean of e_t over the steps that matter.

    These are twice as many as the best of all is valid for: later all have lost the truth, and what differs is chance.
    """
    steps = max(FEWEST, 2 * int(max(one.valid.max() for one in lost)))
    return [one.curves[:, :steps].mean(1) for one in lost]


class Fan(Wrapper):
    """A cell of features with several readouts, each for its own share of the rows of a batch, one after the other."""

    def __init__(self, cell: Cell, solutions: Sequence[Affinity]):
        super().__init__(cell, len(solutions[0].bias))
        self.weight = torch.as_tensor(np.stack([solution.weight for solution in solutions]))
        self.bias = torch.as_tensor(np.stack([solution.bias for solution in solutions]))

    def read(self, output: Tensor, x: Any) -> Tensor:
        shares = output.unflatten(0, (len(self.bias), -1))
        return torch.baddbmm(self.bias.unsqueeze(1), shares, self.weight).flatten(0, 1)

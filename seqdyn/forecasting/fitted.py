"""A fitted network among the series of its fit: rows of panels in, states at origins, and the steps after them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.data.panels import Panel
from seqdyn.forecasting.inputs import ForecastInputs, lagged_targets
from seqdyn.forecasting.request import ForecastRequest
from seqdyn.forecasting.transform import SeriesTransform
from seqdyn.loops import scan
from seqdyn.state import State, leaves, map_leaves, take
from seqdyn.training.batches import Rows
from seqdyn.training.forward import ROWS_AT_ONCE, run_network
from seqdyn.training.heads import Head

ORIGINS_AT_ONCE = 4096
"""How many origins are run ahead in one batch."""


class Departure(NamedTuple):
    """What forecasts start from, one row an origin.

    Attributes
    ----------
    state : State
        Before the first step.
    x : tree, leaves (origins, horizon, …)
        Inputs of the steps ahead: the last value in the first, and no values after it.
    series : array of int, shape (origins,)
        The number of each origin's series in the fit.
    tails : array, shape (origins, memory)
        What differences are undone from.
    """

    state: State
    x: Any
    series: Array
    tails: Array

    def part(self, chosen: slice) -> Departure:
        """Some of the origins."""
        return Departure(take(self.state, chosen), take(self.x, chosen), self.series[chosen], self.tails[chosen])


@dataclass(frozen=True)
class FittedNetwork:
    """What a fit leaves: ẑ_{t+1}, h_{t+1} = f(x_t, h_t), and how a panel becomes x and z.

    Attributes
    ----------
    estimator : regressor
        Fitted.
    transform : SeriesTransform
    inputs : ForecastInputs
    steps : int
        How many steps one row predicts.
    context_length : int or None
        How many rows condition a forecast; None: all.
    names : Index, shape (series,)
    static : DataFrame or None
        As it was in the fit.
    """

    estimator: Any
    transform: SeriesTransform
    inputs: ForecastInputs
    steps: int
    context_length: int | None
    names: pd.Index
    static: pd.DataFrame | None

    @property
    def head(self) -> Head:
        """What the outputs mean."""
        head: Head = self.estimator.predictor_.codec.targets.head
        return head

    def numbers(self, panel: Panel) -> Array:
        """The number in the fit of every series of a panel."""
        found: Array = self.names.get_indexer(panel.names)
        return found

    def described(self, panel: Panel) -> Panel:
        """A panel of known series, with their static covariates as they were in the fit."""
        return panel if self.static is None else panel.with_static(self.static.loc[panel.names])

    def units(self, panel: Panel) -> SeriesTransform:
        """The transform of the series of a panel."""
        return self.transform.select(self.numbers(panel))

    def rows(self, panel: Panel, z: Array) -> Array:
        """Inputs of all rows of a panel, (total, features)."""
        return self.inputs.rows(self.described(panel), lagged_targets(z, panel))

    def said(self, X: Array, panel: Panel) -> Array:
        """What the network says of z one step ahead at every row, (total, columns)."""
        found: Array = np.concatenate(self.estimator.predict(np.split(X, panel.starts[1:])))
        return found

    def states(self, panel: Panel, series: Array, rows: Array, X: Array) -> State:
        """The state at every origin, from one pass over the panel."""
        read = self.estimator.predictor_.rows(self.estimator.read(np.split(X, panel.starts[1:])))
        return at_origins(self.estimator.cell_, read, series, rows, self.context_length)

    def tails(self, panel: Panel, series: Array, rows: Array, X: Array) -> Array:
        """What differences are undone from; where values are missing, the network's own predictions stand for them."""
        holes = self.transform.memory and np.isnan(panel.target).any()
        return self.units(panel).tails(panel, series, rows, self.said(X, panel)[:, 0] if holes else None)

    def departure(self, request: ForecastRequest) -> Departure:
        """What forecasts from origins of a panel of series of the fit start from."""
        panel, series, rows = self.described(request.panel), request.series, request.rows
        z = self.units(panel).forward(panel)
        X = self.rows(panel, z)
        constants, times = self.inputs.constants(panel)[series], instants(panel, rows, request.horizon)
        beside = self.inputs.ahead(times, request.future, constants, panel.future[rows - 1])
        state, tails = self.states(panel, series, rows, X), self.tails(panel, series, rows, X)
        return Departure(state, self.encoded(z[rows - 1], beside), self.numbers(panel)[series], tails)

    def encoded(self, last: Array, beside: Array) -> Any:
        """Inputs of the steps ahead, in network units."""
        past = np.full((len(last), beside.shape[1], last.shape[1]), np.nan)
        past[:, 0] = last
        return self.estimator.predictor_.encode(np.concatenate([past, beside], axis=2))

    def output(self, start: Departure) -> Tensor:
        """What the network says of the steps after every origin, (origins, steps, outputs)."""
        return outputs_ahead(self.estimator.cell_, start.state, start.x)

    def points(self, output: Tensor, horizon: int) -> Array:
        """ẑ of the target, (origins, horizon)."""
        decoded = self.estimator.predictor_.decode(output)  # (origins, steps, columns · H)
        return decoded[:, 0, :horizon] if self.steps > 1 else decoded[:, :, 0]

    def point(self, request: ForecastRequest) -> Array:
        """q̂ from origins of a panel, (origins, horizon)."""
        start = self.departure(request)
        z = self.points(self.output(start), request.horizon)
        return self.transform.integrated(z, start.series, start.tails)

    def truth(self, request: ForecastRequest) -> Array:
        """q, what came, (origins, horizon)."""
        return request.actual(self.units(request.panel).levels(request.panel))


def instants(panel: Panel, rows: Array, horizon: int) -> list[pd.Index]:
    """The instants after every origin; those of equal origins are computed once."""
    lasts = panel.times[rows - 1]
    known = {last: panel.grid.after(last, horizon) for last in lasts.unique()}
    return [known[last] for last in lasts]


@torch.inference_mode()
def at_origins(cell: Cell, rows: Rows, series: Array, origins: Array, context_length: int | None = None) -> State:
    """The state before each origin: every row of its series before it has been read, or the last ``context_length``."""
    starts = rows.starts.numpy()
    offsets = origins - starts[series]
    if context_length is not None:
        lengths = np.minimum(offsets, context_length)
        spans = rows.part(torch.as_tensor(origins - lengths), torch.as_tensor(lengths))
        _, state = run_network(cell, spans)
        return state
    found, places = [], []
    for block in _origin_blocks(series):
        for chosen, state in _passed(cell, rows, series[block], offsets[block]):
            found.append(state)
            places.append(block[chosen])
    joined = map_leaves(lambda *parts: torch.cat(parts), *found)
    return take(joined, np.argsort(np.concatenate(places)))


@torch.inference_mode()
def outputs_ahead(cell: Cell, state: State, x: Any) -> Tensor:
    """Outputs of the steps after every origin, (origins, steps, outputs)."""
    pieces = []
    for begin in range(0, len(leaves(x)[0]), ORIGINS_AT_ONCE):
        part = slice(begin, begin + ORIGINS_AT_ONCE)
        pieces.append(scan(cell, take(x, part), take(state, part)).output)
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _origin_blocks(series: Array, size: int = 512) -> Iterator[Array]:
    """Origins by series, so many series at a time."""
    _, number = np.unique(series, return_inverse=True)
    for begin in range(0, int(number.max()) + 1, size):
        yield np.flatnonzero((number >= begin) & (number < begin + size))


def _passed(cell: Cell, rows: Rows, series: Array, offsets: Array) -> Iterator[tuple[Array, State]]:
    """Walk along some series together, from cut to cut: yields the origins that stand there, and their states."""
    members, row = np.unique(series, return_inverse=True)
    starts = rows.starts[torch.as_tensor(members)]
    ends = np.zeros(len(members), dtype=np.int64)
    np.maximum.at(ends, row, offsets)
    last = torch.as_tensor(ends)
    state = cell.initial_state(len(members))
    for begin, cut in pairwise([0, *np.unique(offsets)]):
        state = _states_after(cell, rows.x, starts, last, int(begin), int(cut), state)
        here = np.flatnonzero(offsets == cut)
        place = torch.as_tensor(row[here])
        yield here, take(state, place)


def _states_after(cell: Cell, x: Any, starts: Tensor, last: Tensor, begin: int, cut: int, state: State) -> State:
    """The states after the steps from ``begin`` to ``cut``; series that have ended before hold theirs."""
    size = max(1, ROWS_AT_ONCE // len(starts))
    for first in range(begin, cut, size):
        steps = torch.arange(first, min(first + size, cut))
        mask = None if bool((last > steps[-1]).all()) else (steps < last[:, None]).to(leaves(x)[0].device)
        index = starts[:, None] + torch.minimum(steps, last[:, None] - 1)
        state = scan(cell, take(x, index), state, mask=mask).state
    return state

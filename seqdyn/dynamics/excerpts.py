"""Cut data into excerpts to measure: of one length, disjoint, and long enough to show a lag.

Where series are of unlike lengths, or too many, or too long, of all lengths that are whole parts of a series the one is
taken that leaves out fewest rows; a stretch begins from the state that the rows before it lead to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.dynamics.driven import Driven
from seqdyn.dynamics.trajectory import double, float64_copy
from seqdyn.facts import shown_by_shape
from seqdyn.loops import scan
from seqdyn.state import State, flatten, map_leaves, take, unflatten
from seqdyn.training.batches import Rows

REST_CHANGE = 1e-3
"""A change of the state in one step below which a system counts as at rest."""


@shown_by_shape
class Excerpts(NamedTuple):
    """Excerpts of the data, all of one length: leaves (stretches, steps, …).

    ``state`` is h before every stretch; ``unused`` rows are in none.
    """

    x: Any
    target: Tensor
    weight: Tensor | None
    state: State
    unused: int


def excerpts(driven: Driven, lag: int, *, count: int = 8, longest: int | None = None) -> Excerpts:
    """Cut the data into at most ``count`` excerpts of one length, of two steps or more.

    For the lag K an excerpt has at least 2 K steps where a series has so many. It has at most ``longest`` steps, but
    may have 3 K in any case.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> series = [torch.zeros(100, 2), torch.zeros(50, 2)]
    >>> found = excerpts(Driven(GRU(2, 3), Rows.of(series)), lag=20)
    >>> found.x.shape, found.unused
    (torch.Size([3, 50, 2]), 0)
    """
    rows = driven.rows
    starts, steps = (_end_excerpts if driven.at_end else _disjoint_excerpts)(rows, lag, count)
    kept = steps if longest is None else min(steps, max(longest, 3 * lag))
    if kept < 2:
        raise ValueError(
            "Sequences of one step have no lag to look at: give at least two steps (series, time, inputs)."
        )
    if driven.at_end:
        starts = starts + steps - kept
    index = starts[:, None] + torch.arange(kept)
    weight = None if rows.weight is None else rows.weight.cpu()[index].double()
    state = _states_before(driven, starts)
    unused = int(rows.lengths.sum()) - len(starts) * kept
    return Excerpts(take(double(rows.x), index), take(double(rows.y), index), weight, state, unused)


def _disjoint_excerpts(rows: Rows, lag: int, count: int) -> tuple[Tensor, int]:
    """The starts of the stretches, and their length.

    Of all lengths that are whole parts of a series, and long enough for the lag, the one that leaves out fewest rows;
    of those the shortest, which makes most stretches. Of more stretches than are wanted, some evenly spread.
    """
    lengths = rows.lengths
    enough = min(2 * lag, int(lengths.max()))
    lasting = torch.tensor(sorted({length // parts for length in lengths.tolist() for parts in range(1, count + 1)}))
    lasting = lasting[lasting >= enough]
    there = (lengths[:, None] // lasting).sum(0)
    covered = there.clamp(max=count) * lasting
    steps = int(lasting[covered.argmax()])
    starts = torch.cat(
        [start + steps * torch.arange(int(length) // steps) for start, length in zip(rows.starts, lengths, strict=True)]
    )
    return starts[_evenly_spaced(len(starts), count)], steps


def _end_excerpts(rows: Rows, lag: int, count: int) -> tuple[Tensor, int]:
    """The ends of some series, which have one target each: of those longer than the lag and than half of all."""
    lengths = rows.lengths
    usual = float(lengths.float().median())
    enough = (lengths >= usual) if usual > lag else lengths > min(lag, int(lengths.max()) - 1)
    chosen = enough.nonzero().flatten()
    chosen = chosen[_evenly_spaced(len(chosen), count)]
    steps = int(lengths[chosen].min())
    return rows.starts[chosen] + lengths[chosen] - steps, steps


def _evenly_spaced(total: int, count: int) -> Tensor:
    """At most ``count`` of so many places, evenly spread."""
    return torch.linspace(0, total - 1, min(count, total)).round().long().unique()


@torch.no_grad()
def _states_before(driven: Driven, starts: Tensor) -> State:
    """h before every stretch: that of its series at the beginning, else what the rows before it lead to."""
    rows, found = driven.rows, []
    cell = float64_copy(driven.cell)
    fresh, own = _fresh(driven, cell), driven.states
    for start in starts.tolist():
        number = int(torch.where(rows.starts <= start, rows.starts, -1).argmax())
        begin = int(rows.starts[number])
        state = fresh if own is None else double(take(own, slice(number, number + 1)))
        if begin < start:
            before = map_leaves(lambda leaf: leaf[None, begin:start], rows.x)  # noqa: B023
            state = scan(cell, double(before), state).state
        found.append(state)
    return map_leaves(lambda *parts: torch.cat(parts), *found)


def _fresh(driven: Driven, cell: Cell) -> State:
    """h_{-1} where a series has none of its own."""
    fresh = cell.initial_state(1)
    if driven.alone:
        return _off_balance(cell, map_leaves(lambda leaf: leaf[:1], double(driven.rows.x)), fresh)
    return fresh


def _off_balance(cell: Cell, x: Any, state: State) -> State:
    """Move a state at rest by a thousandth: from exactly an unstable fixed point the cell would never leave."""
    _, after = cell(x, state)
    if bool((flatten(after) - flatten(state)).abs().max() > REST_CHANGE):
        return state
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(flatten(state).shape, generator=generator, dtype=torch.float64)
    return unflatten(flatten(state) + REST_CHANGE * drawn, state)

"""Batches: which rows one training step sees.

All series lie end to end in three tensors on the device. A batch is a table of row numbers, and one gather each for
inputs, targets and weights:

* :class:`Spans`: whole sequences, or windows of them, each from its own initial state (full BPTT);
* :class:`Streams`: the series laid end to end on parallel streams and walked in chunks, the state carried from chunk
  to chunk without end (truncated BPTT).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Series laid end to end, on the device.

    Attributes
    ----------
    x : Tensor, shape (total, inputs)
    y : Tensor, shape (total, targets)
        Finite everywhere; what is missing has weight 0.
    weight : Tensor, shape (total, targets) or (total, 1), or None
        What every target counts in the loss; None: all the same.
    starts, lengths : Tensor of int64, shape (series,), on the CPU
    """

    x: Tensor
    y: Tensor
    weight: Tensor | None
    starts: Tensor
    lengths: Tensor

    def part(self, starts: Tensor, lengths: Tensor) -> Rows:
        """The same tensors, seen through other spans."""
        return replace(self, starts=starts, lengths=lengths)


class Spanned(NamedTuple):
    """Spans of rows: where they start, how long they are, how many of their leading steps carry no loss."""

    starts: Tensor
    lengths: Tensor
    warmup: Tensor


class Batch(NamedTuple):
    """What one training step sees.

    Attributes
    ----------
    x : Tensor, shape (batch, time, inputs)
    y : Tensor, shape (batch, time, targets)
    weight : Tensor, shape (batch, time, targets) or (batch, time, 1), or None
    mask : Tensor of bool, shape (batch, time), or None
        False at padding.
    reset : Tensor of bool, shape (batch, time), or None
        True where a new series begins on a stream; on the CPU, where scan looks for borders without waiting.
    follows : bool
        Whether the state of the batch before is carried on.
    counts : bool
        Whether any target in it has weight; without one the state is advanced and nothing is learnt.
    lead : pair of Tensor, or None
        The rows before each span, (batch, lead, inputs), which fill delay lines; and whether each is there.
    """

    x: Tensor
    y: Tensor
    weight: Tensor | None
    mask: Tensor | None = None
    reset: Tensor | None = None
    follows: bool = False
    counts: bool = True
    lead: tuple[Tensor, Tensor] | None = None


def windows(starts: Tensor, lengths: Tensor, window: int, stride: int) -> tuple[Tensor, Tensor]:
    """Starts and lengths of all windows of a set of series.

    Windows advance by ``stride``; where that leaves rows at the end, one more window ends with the series. A series
    shorter than ``window`` is one window of its own length.

    Examples
    --------
    >>> windows(torch.tensor([0, 10]), torch.tensor([10, 3]), window=4, stride=3)
    (tensor([ 0,  3,  6, 10]), tensor([4, 4, 4, 3]))
    """
    found_starts, found_lengths = [], []
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        size = min(window, length)
        last = length - size
        offsets = torch.arange(0, last + 1, stride)
        if int(offsets[-1]) != last:
            offsets = torch.cat([offsets, torch.tensor([last])])
        found_starts.append(start + offsets)
        found_lengths.append(torch.full_like(offsets, size))
    return torch.cat(found_starts), torch.cat(found_lengths)


def heard(starts: Tensor, lengths: Tensor, warmup: Tensor, total: int) -> Tensor:
    """Which of the rows carry a loss in at least one span, after its warm-up: bool, shape (total,).

    Examples
    --------
    >>> heard(torch.tensor([0, 3]), torch.tensor([3, 3]), torch.tensor([1, 2]), total=7).long()
    tensor([0, 1, 1, 0, 0, 1, 0])
    """
    change = torch.zeros(total + 1, dtype=torch.int64)
    change.index_add_(0, starts + torch.minimum(warmup, lengths), torch.ones_like(starts))
    change.index_add_(0, starts + lengths, -torch.ones_like(starts))
    return change.cumsum(0)[:-1] > 0


class Spans:
    """Whole sequences or windows, shuffled every epoch; padded and masked where their lengths differ.

    Parameters
    ----------
    rows : Rows
        One batch row is one of its spans.
    batch_size : int
    warmup : Tensor of int64, shape (series,)
        Leading steps of every span that carry no loss.
    lead : int
        How many rows before a span come with it, to fill delay lines.
    borders : Tensor of int64, shape (series,), optional
        Where the series of each span begins; the span itself if None.
    """

    def __init__(self, rows: Rows, batch_size: int, warmup: Tensor, lead: int = 0, borders: Tensor | None = None):
        self.rows, self.batch_size, self.warmup, self.lead = rows, batch_size, warmup, lead
        self.borders = rows.starts if borders is None else borders
        self.ragged = bool((rows.lengths != rows.lengths[0]).any())
        self.warms_up = bool(warmup.any())
        self.counts = self._counts()
        self.device = rows.x.device
        self.only: Batch | None = None  # a single batch is the same in every epoch

    def __len__(self) -> int:
        return -(-len(self.rows.starts) // self.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """All spans once, in a new order."""
        if len(self) == 1:
            self.only = self.only or self._gather(torch.arange(len(self.rows.starts)))
            yield self.only
            return
        order = torch.randperm(len(self.rows.starts), generator=generator)
        for chosen in order.split(self.batch_size):
            yield self._gather(chosen)

    def _counts(self) -> Tensor | None:
        """Which spans hold a target with weight after their warm-up; None: all."""
        if self.rows.weight is None:
            return None
        weighted = self.rows.weight.cpu().gt(0).any(1).long()
        before = torch.nn.functional.pad(weighted.cumsum(0), (1, 0))
        ends = self.rows.starts + self.rows.lengths
        return before[ends] > before[torch.minimum(self.rows.starts + self.warmup, ends)]

    def _gather(self, chosen: Tensor) -> Batch:
        """One gather each for inputs, targets and weights."""
        starts, lengths, warmup = self.rows.starts[chosen], self.rows.lengths[chosen], self.warmup[chosen]
        steps = torch.arange(int(lengths.max()))
        mask = steps < lengths[:, None] if self.ragged else None
        heard = mask
        if self.warms_up:
            late = steps >= warmup[:, None]
            heard = late if mask is None else late & mask
        take = self._padded(starts, steps, mask) if mask is not None else self._windows(starts, len(steps))
        weight = None if self.rows.weight is None else take(self.rows.weight)
        if heard is not None:
            audible = heard.to(self.device, self.rows.x.dtype).unsqueeze(2)
            weight = audible if weight is None else weight * audible
        counts = self.counts is None or bool(self.counts[chosen].any())
        mask = None if mask is None else mask.to(self.device)
        lead = self._lead(starts, self.borders[chosen]) if self.lead else None
        return Batch(take(self.rows.x), take(self.rows.y), weight, mask, counts=counts, lead=lead)

    def _lead(self, starts: Tensor, borders: Tensor) -> tuple[Tensor, Tensor]:
        """The rows before every span, as far as they belong to its series."""
        place = starts[:, None] + torch.arange(-self.lead, 0)
        there = place >= borders[:, None]
        return self.rows.x[place.clamp(min=0).to(self.device)], there.to(self.device)

    def _windows(self, starts: Tensor, length: int) -> Callable[[Tensor], Tensor]:
        """Take spans of one length: all of them lie in an overlapping view, and one gather copies the chosen."""
        starts = starts.to(self.device)
        return lambda table: table.unfold(0, length, 1).transpose(1, 2).index_select(0, starts)

    def _padded(self, starts: Tensor, steps: Tensor, mask: Tensor) -> Callable[[Tensor], Tensor]:
        """Take spans of unlike lengths; padding repeats a finite row."""
        index = torch.where(mask, starts[:, None] + steps, starts[:, None]).to(self.device)
        return lambda table: table[index]


class Streams:
    """Series laid end to end on parallel streams, walked in chunks of k steps; the state goes on without end.

    Parameters
    ----------
    rows : Rows
    streams : int, at least 1
        The rows are divided evenly; more than one stream cuts a series that lies across a border.
    chunk : int, at least 1
        k, the steps the gradient goes back.
    warmup : Tensor of int64, shape (series,)
        Leading steps of every series (and of every stream) that carry no loss.
    """

    def __init__(self, rows: Rows, streams: int, chunk: int, warmup: Tensor):
        total = int(rows.lengths.sum())
        if not 1 <= streams <= total:
            raise ValueError(f"streams must lie between 1 and the {total} rows of the training data, got {streams}.")
        self.rows, self.chunk, self.streams = rows, chunk, streams
        self.length = -(-total // streams)
        self.order = torch.cat(
            [torch.arange(start, start + length) for start, length in zip(*_pairs(rows), strict=True)]
        )
        self.fresh = self._fresh(total)
        self.weight = self._weight(total, warmup)

    def __len__(self) -> int:
        return -(-self.length // self.chunk)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """All chunks in the order of time."""
        total, device = len(self.order), self.rows.x.device
        base = torch.arange(self.streams)[:, None] * self.length
        for begin in range(0, self.length, self.chunk):
            place = base + torch.arange(begin, min(begin + self.chunk, self.length))
            present = place < total
            place = place.clamp(max=total - 1)
            reset = self.fresh[place] & present
            reset[:, 0] &= begin > 0  # the first chunk starts from the initial state anyway
            index = self.order[place].to(device)
            weight = self._chunk_weight(place, present)
            yield Batch(
                self.rows.x[index],
                self.rows.y[index],
                None if weight is None else weight.to(device),
                None,
                reset if bool(reset.any()) else None,
                follows=begin > 0,
                counts=weight is None or bool(weight.any()),
            )

    def _fresh(self, total: int) -> Tensor:
        """True at the places where a series begins, or a stream."""
        fresh = torch.zeros(total, dtype=torch.bool)
        fresh[self.rows.lengths.cumsum(0)[:-1]] = True
        fresh[:: self.length] = True
        return fresh

    def _weight(self, total: int, warmup: Tensor) -> Tensor | None:
        """Row weights on the CPU, in the order of the streams, 0 in the warm-up after every fresh start."""
        own = None if self.rows.weight is None else self.rows.weight.cpu()[self.order]
        if not bool(warmup.any()):
            return own
        places = torch.arange(total)
        begun = torch.where(self.fresh, places, 0).cummax(0).values
        needed = torch.repeat_interleave(warmup, self.rows.lengths)
        heard = (places - begun >= needed).to(self.rows.x.dtype).unsqueeze(1)
        return heard if own is None else own * heard

    def _chunk_weight(self, place: Tensor, present: Tensor) -> Tensor | None:
        if self.weight is None:
            return None if bool(present.all()) else present.to(self.rows.x.dtype).unsqueeze(2)
        return self.weight[place] * present.to(self.weight.dtype).unsqueeze(2)


def _pairs(rows: Rows) -> tuple[list[int], list[int]]:
    return rows.starts.tolist(), rows.lengths.tolist()

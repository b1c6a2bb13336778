"""Batches: which rows one training step sees.

All series lie end to end in trees of tensors on the device. A batch is a table of row numbers, and one gather each for
inputs, targets and weights:

* :class:`Spans`: whole sequences, or windows of them, each from its own initial state (full BPTT);
* :class:`Streams`: the series laid end to end on parallel streams and walked in chunks, the state carried from chunk
  to chunk without end (truncated BPTT);
* :class:`Pairs`: sequences beside sequences of other lengths, with a mask on both sides.

Whatever has ``__len__``, ``epoch(generator, start)`` and ``shard(rank, world)`` are :class:`Batches`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from seqdyn.checks import check_choice, check_count
from seqdyn.state import leaves, map_leaves

ORDERS = ("bucketed", "shuffled")
"""How the sequences of an epoch are drawn."""

POOL = 100
"""Batches whose sequences are sorted by length together: they are alike in length, and differ from epoch to epoch."""


class Batch(NamedTuple):
    """What one training step sees.

    Attributes
    ----------
    x : tree, leaves (batch, time, *inputs)
    y : tree, leaves (batch, time, *targets)
    weight : Tensor, or None
        What every target counts, in a shape that broadcasts with y; None: all the same.
    mask : Tensor of bool, shape (batch, time), or None
        False at padding of x.
    reset : Tensor of bool, shape (batch, time), or None
        True where a new series begins on a stream; on the CPU, where scan looks for borders without waiting.
    lead : pair, or None
        The rows before each span, a tree (batch, lead, *inputs), which fill delay lines; and whether each is there.
    follows : bool
        Whether the state of the batch before is carried on.
    counts : bool
        Whether any target in it has weight; without one the state is advanced and nothing is learnt.
    """

    x: Any
    y: Any
    weight: Tensor | None = None
    mask: Tensor | None = None
    reset: Tensor | None = None
    lead: tuple[Any, Tensor] | None = None
    follows: bool = False
    counts: bool = True


class Padded(NamedTuple):
    """Sequences of unlike lengths side by side: ``value``, leaves (batch, time, …), and ``mask`` (batch, time), False
    at padding."""

    value: Any
    mask: Tensor

    @property
    def gaps(self) -> Tensor | None:
        """The mask, or None where everything is there: what a network need not be told."""
        return None if bool(self.mask.all()) else self.mask


class Batches(Protocol):
    """What the trainer asks of the plan of an epoch."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, generator: torch.Generator, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from number ``start`` on; everything is drawn before the first of them."""

    def shard(self, rank: int, world: int) -> Batches:
        """The share of one of ``world`` workers, who see the same batches in the same order, each its own rows."""


@dataclass(frozen=True)
class Rows:
    """Series laid end to end, on the device.

    Attributes
    ----------
    x : tree, leaves (total, *inputs)
    y : tree, leaves (total, *targets)
        Finite everywhere; what is missing has weight 0.
    weight : Tensor, shape (total, *targets) or such that it broadcasts, or None
        What every target counts in the loss; None: all the same.
    starts, lengths : Tensor of int64, shape (series,), on the CPU

    Examples
    --------
    >>> rows = Rows.of([torch.zeros(3, 2), torch.zeros(5, 2)])
    >>> rows.starts.tolist(), rows.lengths.tolist()
    ([0, 3], [3, 5])
    """

    x: Any
    y: Any
    weight: Tensor | None
    starts: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, x: Sequence[Any], y: Sequence[Any] | None = None, weight: Sequence[Tensor] | None = None) -> Rows:
        """Rows of sequences: each a tree with leaves (time, …), its targets and weights beside it.

        Parameters
        ----------
        x, y, weight : sequence of trees, or a tensor (series, time, …)
            Without y the targets are x itself.

        Raises
        ------
        ValueError
            If there is no sequence, one has no steps, or its leaves, targets and weights are not of one length.
        """
        if not len(x):
            raise ValueError("x holds no sequence: give one at least.")
        beside = [("y", y), ("weight", weight)]
        for name, other in beside:
            if other is not None and len(other) != len(x):
                raise ValueError(f"{name} holds {len(other)} sequences, x {len(x)}: give one for each.")
        for i, one in enumerate(x):
            found = {"x": one} | {name: other[i] for name, other in beside if other is not None}
            steps = {name: {len(leaf) for leaf in leaves(tree)} for name, tree in found.items()}
            if len(set().union(*steps.values())) != 1 or 0 in steps["x"]:
                told = ", ".join(f"{name} {' and '.join(map(str, sorted(own)))}" for name, own in steps.items())
                raise ValueError(f"Sequence {i} has unlike numbers of steps, or none: {told}. They must agree.")
        lengths = torch.tensor([len(leaves(one)[0]) for one in x])
        joined = map_leaves(lambda *parts: torch.cat(parts), *x)
        return cls(
            joined,
            joined if y is None else map_leaves(lambda *parts: torch.cat(parts), *y),
            None if weight is None else torch.cat(list(weight)),
            lengths.cumsum(0) - lengths,
            lengths,
        )

    def __len__(self) -> int:
        return len(leaves(self.x)[0])

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return leaves(self.x)[0].device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of numbers that stand beside them."""
        found = (leaf.dtype for leaf in (*leaves(self.x), *leaves(self.y)) if leaf.is_floating_point())
        return next(found, torch.get_default_dtype())

    def part(self, starts: Tensor, lengths: Tensor) -> Rows:
        """The same tensors, seen through other spans."""
        return replace(self, starts=starts, lengths=lengths)


class Spanned(NamedTuple):
    """Spans of rows: where they start, how long they are, how many of their leading steps carry no loss."""

    starts: Tensor
    lengths: Tensor
    warmup: Tensor


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


def drawn(lengths: Sequence[Tensor], size: int, order: str, generator: torch.Generator) -> list[Tensor]:
    """The sequences of every batch of an epoch, by number.

    Parameters
    ----------
    lengths : sequence of Tensor of int64, each of shape (sequences,)
        One, or two of pairs.
    size : int
        Sequences in a batch.
    order : {"bucketed", "shuffled"}
        ``"bucketed"``: those of a batch are alike in length, so that there is little padding, and batches come in a
        drawn order. Where all lengths are equal it is ``"shuffled"``.
    generator : torch.Generator
    """
    count = len(lengths[0])
    if count <= size:
        return [torch.arange(count)]
    shuffled = torch.randperm(count, generator=generator)
    if order == "shuffled" or all(bool((own == own[0]).all()) for own in lengths):
        return list(shuffled.split(size))
    batches = [batch for pool in shuffled.split(POOL * size) for batch in _sorted(lengths, pool, size).split(size)]
    return [batches[number] for number in torch.randperm(len(batches), generator=generator).tolist()]


def _sorted(lengths: Sequence[Tensor], pool: Tensor, size: int) -> Tensor:
    """Sequences by the first length; of pairs, in strips of like first lengths, by the second."""
    pool = pool[lengths[0][pool].argsort(stable=True)]
    if len(lengths) == 1:
        return pool
    strip = size * max(1, round((len(pool) / size) ** 0.5))
    return torch.cat([part[lengths[1][part].argsort(stable=True)] for part in pool.split(strip)])


class Spans:
    """Whole sequences or windows, drawn anew every epoch; padded and masked where their lengths differ.

    Parameters
    ----------
    rows : Rows
        One batch row is one of its spans.
    batch_size : int
    warmup : Tensor of int64, shape (series,), optional
        Leading steps of every span that carry no loss; none if None.
    lead : int
        How many rows before a span come with it, to fill delay lines.
    borders : Tensor of int64, shape (series,), optional
        Where the series of each span begins; the span itself if None.
    order : {"bucketed", "shuffled"}
        See :func:`drawn`.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        warmup: Tensor | None = None,
        lead: int = 0,
        borders: Tensor | None = None,
        order: str = "bucketed",
    ):
        self.rows, self.batch_size, self.lead = rows, check_count("batch_size", batch_size), lead
        self.order = check_choice("order", order, ORDERS)
        self.warmup = torch.zeros_like(rows.lengths) if warmup is None else warmup
        self.borders = rows.starts if borders is None else borders
        self.ragged = bool((rows.lengths != rows.lengths[0]).any())
        self.warms_up = bool(self.warmup.any())
        self.counts = self._counts()
        self.share = (0, 1)
        self.only: Batch | None = None  # a single batch is the same in every epoch

    def __len__(self) -> int:
        return -(-len(self.rows.starts) // self.batch_size)

    def epoch(self, generator: torch.Generator, start: int = 0) -> Iterator[Batch]:
        """All spans once, in a new order."""
        rank, world = self.share
        for chosen in drawn([self.rows.lengths], self.batch_size, self.order, generator)[start:]:
            if len(self) == 1:
                self.only = self.only or self._gather(chosen[rank::world])
                yield self.only
            else:
                yield self._gather(chosen[rank::world])

    def shard(self, rank: int, world: int) -> Self:
        """Every ``world``-th sequence of each batch."""
        mine = copy.copy(self)
        mine.share, mine.only = checked_share(rank, world), None
        return mine

    def _counts(self) -> Tensor | None:
        """Which spans hold a target with weight after their warm-up; None: all."""
        if self.rows.weight is None:
            return None
        weighted = self.rows.weight.cpu().gt(0).reshape(len(self.rows.weight), -1).any(1).long()
        before = torch.nn.functional.pad(weighted.cumsum(0), (1, 0))
        ends = self.rows.starts + self.rows.lengths
        return before[ends] > before[torch.minimum(self.rows.starts + self.warmup, ends)]

    def _gather(self, chosen: Tensor) -> Batch:
        """One gather each for inputs, targets and weights."""
        idle = not len(chosen)  # this worker has no sequence in this batch
        chosen = torch.zeros(1, dtype=torch.int64) if idle else chosen
        starts, lengths, warmup = self.rows.starts[chosen], self.rows.lengths[chosen], self.warmup[chosen]
        steps = torch.arange(int(lengths.max()))
        mask = steps < lengths[:, None] if self.ragged else None
        heard = mask
        if self.warms_up:
            late = steps >= warmup[:, None]
            heard = late if mask is None else late & mask
        take = _padded(starts, steps, mask) if mask is not None else _windows(starts, len(steps))
        y = map_leaves(take, self.rows.y)
        weight = None if self.rows.weight is None else take(self.rows.weight)
        if heard is not None:
            weight = _weighted(heard.to(self.rows.device, self.rows.dtype), weight, y)
        return Batch(
            map_leaves(take, self.rows.x),
            y,
            weight,
            None if mask is None else mask.to(self.rows.device),
            lead=self._lead(starts, self.borders[chosen]) if self.lead else None,
            counts=not idle and (self.counts is None or bool(self.counts[chosen].any())),
        )

    def _lead(self, starts: Tensor, borders: Tensor) -> tuple[Any, Tensor]:
        """The rows before every span, as far as they belong to its series."""
        place = starts[:, None] + torch.arange(-self.lead, 0)
        there = place >= borders[:, None]
        index = place.clamp(min=0).to(self.rows.device)
        return map_leaves(lambda table: table[index], self.rows.x), there.to(self.rows.device)


class Streams:
    """Series laid end to end on parallel streams, walked in chunks of k steps; the state goes on without end.

    Parameters
    ----------
    rows : Rows
    streams : int, at least 1
        The rows are divided evenly; more than one stream cuts a series that lies across a border.
    chunk : int, at least 1
        k, the steps the gradient goes back.
    warmup : Tensor of int64, shape (series,), optional
        Leading steps of every series (and of every stream) that carry no loss; none if None.
    """

    def __init__(self, rows: Rows, streams: int, chunk: int, warmup: Tensor | None = None):
        total = int(rows.lengths.sum())
        if not 1 <= streams <= total:
            raise ValueError(f"streams must lie between 1 and the {total} rows of the training data, got {streams}.")
        self.rows, self.chunk = rows, check_count("chunk", chunk)
        self.length = -(-total // streams)
        self.firsts = torch.arange(streams) * self.length
        pairs = zip(rows.starts.tolist(), rows.lengths.tolist(), strict=True)
        self.order = torch.cat([torch.arange(start, start + length) for start, length in pairs])
        self.fresh = self._fresh(total)
        self.weight = self._weight(total, torch.zeros_like(rows.lengths) if warmup is None else warmup)

    def __len__(self) -> int:
        return -(-self.length // self.chunk)

    @property
    def streams(self) -> int:
        """How many run side by side."""
        return len(self.firsts)

    def epoch(self, generator: torch.Generator, start: int = 0) -> Iterator[Batch]:
        """All chunks in the order of time."""
        total, device = len(self.order), self.rows.device
        for begin in range(start * self.chunk, self.length, self.chunk):
            place = self.firsts[:, None] + torch.arange(begin, min(begin + self.chunk, self.length))
            present = place < total
            place = place.clamp(max=total - 1)
            reset = self.fresh[place] & present
            reset[:, 0] &= begin > 0  # the first chunk starts from the initial state anyway
            index = self.order[place].to(device)
            y = map_leaves(lambda table: table[index], self.rows.y)  # noqa: B023
            weight = self._chunk_weight(place, present, y)
            yield Batch(
                map_leaves(lambda table: table[index], self.rows.x),  # noqa: B023
                y,
                None if weight is None else weight.to(device),
                reset=reset if bool(reset.any()) else None,
                follows=begin > 0,
                counts=weight is None or bool(weight.any()),
            )

    def shard(self, rank: int, world: int) -> Self:
        """Every ``world``-th stream."""
        if world > self.streams:
            raise ValueError(f"{self.streams} streams cannot be shared by {world} workers: set streams={world}.")
        rank, world = checked_share(rank, world)
        mine = copy.copy(self)
        mine.firsts = self.firsts[rank::world]
        return mine

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
        heard = (places - begun >= needed).to(self.rows.dtype)
        return _weighted(heard, own, self.rows.y)

    def _chunk_weight(self, place: Tensor, present: Tensor, y: Any) -> Tensor | None:
        if self.weight is None and bool(present.all()):
            return None
        return _weighted(present.to(self.rows.dtype), None if self.weight is None else self.weight[place], y)


class Pairs:
    """Pairs of sequences of unlike lengths, such as a sentence and its translation, drawn anew every epoch.

    x of a batch is the source, with its ``mask``; y is the target, a :class:`Padded` with a mask of its own. The weight
    is 0 at padding of the target.

    Parameters
    ----------
    source, target : Rows
        Of the same number of sequences; what counts of the targets stands in ``target.weight``, their values in
        ``target.x``.
    batch_size : int
    order : {"bucketed", "shuffled"}
        See :func:`drawn`.

    Examples
    --------
    >>> source = Rows.of([torch.tensor([4, 5]), torch.tensor([6])])
    >>> target = Rows.of([torch.tensor([7]), torch.tensor([8, 9])])
    >>> batch = next(Pairs(source, target, batch_size=2).epoch(torch.Generator()))
    >>> batch.x.tolist(), batch.mask.tolist(), batch.y.mask.tolist()
    ([[4, 5], [6, 6]], [[True, True], [True, False]], [[True, False], [True, True]])
    """

    def __init__(self, source: Rows, target: Rows, batch_size: int, order: str = "bucketed"):
        if len(source.starts) != len(target.starts):
            raise ValueError(f"{len(source.starts)} sources stand beside {len(target.starts)} targets: give pairs.")
        self.source, self.target = source, target
        self.batch_size, self.order = check_count("batch_size", batch_size), check_choice("order", order, ORDERS)
        self.share = (0, 1)

    def __len__(self) -> int:
        return -(-len(self.source.starts) // self.batch_size)

    def epoch(self, generator: torch.Generator, start: int = 0) -> Iterator[Batch]:
        """All pairs once, in a new order."""
        rank, world = self.share
        lengths = [self.source.lengths, self.target.lengths]
        for chosen in drawn(lengths, self.batch_size, self.order, generator)[start:]:
            yield self._gather(chosen[rank::world])

    def shard(self, rank: int, world: int) -> Self:
        """Every ``world``-th pair of each batch."""
        mine = copy.copy(self)
        mine.share = checked_share(rank, world)
        return mine

    def _gather(self, chosen: Tensor) -> Batch:
        idle = not len(chosen)
        chosen = torch.zeros(1, dtype=torch.int64) if idle else chosen
        (x, mask), (y, there) = _side(self.source, chosen), _side(self.target, chosen)
        weight = None if self.target.weight is None else _side(self.target, chosen, self.target.weight)[0]
        weight = _weighted(there.to(self.target.dtype), weight, y)
        return Batch(x, Padded(y, there), weight, mask, counts=not idle and bool(weight.any()))


def _side(rows: Rows, chosen: Tensor, table: Any = None) -> Padded:
    """Some sequences of some rows side by side, or of a table beside them."""
    starts, lengths = rows.starts[chosen], rows.lengths[chosen]
    steps = torch.arange(int(lengths.max()))
    mask = steps < lengths[:, None]
    value = map_leaves(_padded(starts, steps, mask), rows.x if table is None else table)
    return Padded(value, mask.to(rows.device))


def _windows(starts: Tensor, length: int) -> Callable[[Tensor], Tensor]:
    """Take spans of one length: all of them lie in an overlapping view, and one gather copies the chosen."""
    return lambda table: table.unfold(0, length, 1).movedim(-1, 1).index_select(0, starts.to(table.device))


def _padded(starts: Tensor, steps: Tensor, mask: Tensor) -> Callable[[Tensor], Tensor]:
    """Take spans of unlike lengths; padding repeats a finite row."""
    index = torch.where(mask, starts[:, None] + steps, starts[:, None])
    return lambda table: table[index.to(table.device)]


def _weighted(heard: Tensor, weight: Tensor | None, y: Any) -> Tensor:
    """Marks of steps as weights, with as many axes as the weights, or as the targets where these are one tensor."""
    like = weight if weight is not None else y if isinstance(y, Tensor) else heard
    marks = heard.reshape(*heard.shape, *[1] * (like.dim() - heard.dim()))
    return marks if weight is None else weight * marks


def checked_share(rank: int, world: int) -> tuple[int, int]:
    """The share of one worker, which takes every ``world``-th row from number ``rank`` on."""
    if not 0 <= rank < world:
        raise ValueError(f"rank must lie between 0 and world - 1 = {world - 1}, got {rank}.")
    return rank, world

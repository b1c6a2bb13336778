"""Batches: which rows one training step sees.

All series lie end to end in trees of tensors on the device (:class:`Rows`). A *span* is a stretch of rows of one
series: all of it, or a *window* of it. A batch is a table of row numbers, and one gather each for inputs, targets and
weights:

* :class:`Spans`: spans side by side, each from its own initial state (full BPTT);
* :class:`~seqdyn.training.streams.Streams`: the series on parallel streams, walked in chunks (truncated BPTT);
* :class:`~seqdyn.training.pairs.Pairs`: sequences beside sequences of other lengths, with a mask on both sides.

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
from seqdyn.facts import shown_by_facts, shown_by_shape
from seqdyn.state import leaves, map_leaves

ORDERS = ("bucketed", "shuffled")
"""How the sequences of an epoch are drawn."""

POOL = 100
"""Batches whose sequences are sorted by length together: they are alike in length, and differ from epoch to epoch."""


@shown_by_shape
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
    trailing : bool
        Whether all padding is known to stand behind the last step of its row: a causal network then needs no mask.
    """

    x: Any
    y: Any
    weight: Tensor | None = None
    mask: Tensor | None = None
    reset: Tensor | None = None
    lead: tuple[Any, Tensor] | None = None
    follows: bool = False
    counts: bool = True
    trailing: bool = False


@shown_by_shape
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


@shown_by_facts
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

    def facts(self) -> dict[str, object]:
        """How many series and rows, and what a row holds."""
        return {"series": len(self.starts), "rows": len(self), "x": self.x, "y": self.y, "weight": self.weight}

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


@shown_by_shape
class SpanBounds(NamedTuple):
    """Spans of rows: where they start, how long they are, how many of their leading steps carry no loss."""

    starts: Tensor
    lengths: Tensor
    warmup: Tensor


def cut_windows(starts: Tensor, lengths: Tensor, window: int, stride: int) -> tuple[Tensor, Tensor]:
    """Starts and lengths of all windows of a set of series.

    Windows advance by ``stride``; where that leaves rows at the end, one more window ends with the series. A series
    shorter than ``window`` is one window of its own length.

    Examples
    --------
    >>> cut_windows(torch.tensor([0, 10]), torch.tensor([10, 3]), window=4, stride=3)
    (tensor([ 0,  3,  6, 10]), tensor([4, 4, 4, 3]))
    """
    sizes = lengths.clamp(max=window)
    last = lengths - sizes
    series, number = numbered(1 + (last + stride - 1) // stride)
    return starts[series] + torch.minimum(number * stride, last[series]), sizes[series]


def numbered(counts: Tensor) -> tuple[Tensor, Tensor]:
    """The members of groups of so many: the group of each, and its number in it, from 0.

    Examples
    --------
    >>> numbered(torch.tensor([1, 3]))
    (tensor([0, 1, 1, 1]), tensor([0, 0, 1, 2]))
    """
    group = torch.repeat_interleave(counts)
    return group, torch.arange(len(group)) - (counts.cumsum(0) - counts)[group]


def loss_mask(starts: Tensor, lengths: Tensor, warmup: Tensor, total: int) -> Tensor:
    """Which of the rows carry a loss in at least one span, after its warm-up: bool, shape (total,).

    Examples
    --------
    >>> loss_mask(torch.tensor([0, 3]), torch.tensor([3, 3]), torch.tensor([1, 2]), total=7).long()
    tensor([0, 1, 1, 0, 0, 1, 0])
    """
    change = torch.zeros(total + 1, dtype=torch.int64)
    change.index_add_(0, starts + torch.minimum(warmup, lengths), torch.ones_like(starts))
    change.index_add_(0, starts + lengths, -torch.ones_like(starts))
    return change.cumsum(0)[:-1] > 0


def draw_batches(lengths: Sequence[Tensor], size: int, order: str, generator: torch.Generator) -> list[Tensor]:
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


@shown_by_facts
class Spans:
    """Spans, whole sequences or windows, drawn anew every epoch; padded and masked where their lengths differ.

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
        See :func:`draw_batches`.
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
        bounds = SpanBounds(rows.starts, rows.lengths, self.warmup)
        self.bounds = SpanBounds(*(bound.to(rows.device) for bound in bounds))
        tables = (rows.x, rows.y, rows.weight)
        self.windows = None if self.ragged else map_leaves(lambda table: windows(table, int(rows.lengths[0])), tables)
        self.counts = self._counts()
        self.share = (0, 1)
        self.only: Batch | None = None  # a single batch is the same in every epoch

    def __len__(self) -> int:
        return -(-len(self.rows.starts) // self.batch_size)

    def facts(self) -> dict[str, object]:
        """The plan of an epoch."""
        return {"spans": len(self.rows.starts), "batch_size": self.batch_size, "batches": len(self)}

    def epoch(self, generator: torch.Generator, start: int = 0) -> Iterator[Batch]:
        """All spans once, in a new order."""
        rank, world = self.share
        drawn = draw_batches([self.rows.lengths], self.batch_size, self.order, generator)[start:]
        mine = [chosen[rank::world] for chosen in drawn]
        device = torch.cat(mine).to(self.rows.device) if mine else torch.arange(0)  # all at once
        for chosen, there in zip(mine, device.split([len(chosen) for chosen in mine]), strict=True):
            if len(self) == 1:
                self.only = self.only or self._gather(chosen, there)
                yield self.only
            else:
                yield self._gather(chosen, there)

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

    def _gather(self, chosen: Tensor, there: Tensor) -> Batch:
        """One gather each for inputs, targets and weights of the ``chosen`` spans; ``there`` are the same, on the
        device."""
        idle = not len(chosen)  # this worker has no sequence in this batch
        if idle:
            chosen, there = torch.zeros(1, dtype=torch.int64), self.bounds.starts.new_zeros(1)
        starts = self.bounds.starts.index_select(0, there)
        time = int(self.rows.lengths[chosen].max() if self.ragged else self.rows.lengths[0])
        steps = torch.arange(time, device=starts.device) if self.ragged or self.warms_up else None
        mask, counted = self._marks(there, steps)
        if mask is None or steps is None:
            x, y, weight = map_leaves(lambda spans: spans.index_select(0, starts), self.windows)
        else:
            x, y, weight = map_leaves(take_padded(starts, steps, mask), (self.rows.x, self.rows.y, self.rows.weight))
        if counted is not None:
            weight = masked_weight(counted.to(self.rows.dtype), weight, y)
        return Batch(
            x,
            y,
            weight,
            mask,
            lead=self._lead(self.rows.starts[chosen], self.borders[chosen]) if self.lead else None,
            counts=not idle and (self.counts is None or bool(self.counts[chosen].any())),
            trailing=True,
        )

    def _marks(self, there: Tensor, steps: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Which steps of spans are there, and which of them count; None: all."""
        if steps is None:
            return None, None
        mask = steps < self.bounds.lengths[there, None] if self.ragged else None
        if not self.warms_up:
            return mask, mask
        late = steps >= self.bounds.warmup[there, None]
        return mask, late if mask is None else late & mask

    def _lead(self, starts: Tensor, borders: Tensor) -> tuple[Any, Tensor]:
        """The rows before every span, as far as they belong to its series."""
        place = starts[:, None] + torch.arange(-self.lead, 0)
        there = place >= borders[:, None]
        index = place.clamp(min=0).to(self.rows.device)
        return map_leaves(lambda table: table[index], self.rows.x), there.to(self.rows.device)


def windows(table: Tensor, length: int) -> Tensor:
    """All spans of one length, by their first row, (rows − length + 1, length, …): a view, without a copy.

    Examples
    --------
    >>> windows(torch.arange(4), 3)
    tensor([[0, 1, 2],
            [1, 2, 3]])
    """
    return table.unfold(0, length, 1).movedim(-1, 1)


def take_padded(starts: Tensor, steps: Tensor, mask: Tensor) -> Callable[[Tensor], Tensor]:
    """Take spans of unlike lengths; padding repeats a finite row."""
    index = torch.where(mask, starts[:, None] + steps, starts[:, None]).flatten()
    return lambda table: table.index_select(0, index.to(table.device)).unflatten(0, mask.shape)


def masked_weight(mask: Tensor, weight: Tensor | None, y: Any) -> Tensor:
    """Marks of steps as weights, with as many axes as the weights, or as the targets where these are one tensor."""
    like = weight if weight is not None else y if isinstance(y, Tensor) else mask
    marks = mask.reshape(*mask.shape, *[1] * (like.dim() - mask.dim()))
    return marks if weight is None else weight * marks


def checked_share(rank: int, world: int) -> tuple[int, int]:
    """The share of one worker, which takes every ``world``-th row from number ``rank`` on."""
    if not 0 <= rank < world:
        raise ValueError(f"rank must lie between 0 and world - 1 = {world - 1}, got {rank}.")
    return rank, world

"""Sequences beside sequences, such as sentences and their translations: their batches, and teacher forcing on them.

    loss = Σ m_t ℓ(decoder(y_{t-1}), y_t) / Σ m_t,   y_{-1}: the beginning

What the decoder sees is data: the true value before, or, where a coin of
:class:`~seqdyn.teacher_forcing.TeacherForcing` says so, what the decoder itself holds for the likeliest.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from seqdyn.checks import check_choice, check_count
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.facts import shown_by_facts
from seqdyn.state import State, leaves, map_leaves
from seqdyn.teacher_forcing import TeacherForcing
from seqdyn.training.batches import ORDERS, Batch, Padded, Rows, checked_share, draw_batches, masked_weight, take_padded
from seqdyn.training.heads import Head
from seqdyn.training.objective import Pass, elementwise, total_weight, weighted_mean

FULL = TeacherForcing()
"""Every step sees the true value."""


@shown_by_facts
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
        See :func:`~seqdyn.training.batches.draw_batches`.

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

    def facts(self) -> dict[str, object]:
        """The plan of an epoch."""
        return {"pairs": len(self.source.starts), "batch_size": self.batch_size, "batches": len(self)}

    def epoch(self, generator: torch.Generator, start: int = 0) -> Iterator[Batch]:
        """All pairs once, in a new order."""
        rank, world = self.share
        lengths = [self.source.lengths, self.target.lengths]
        for chosen in draw_batches(lengths, self.batch_size, self.order, generator)[start:]:
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
        weight = masked_weight(there.to(self.target.dtype), weight, y)
        return Batch(x, Padded(y, there), weight, mask, counts=not idle and bool(weight.any()))


def _side(rows: Rows, chosen: Tensor, table: Any = None) -> Padded:
    """Some sequences of some rows side by side, or of a table beside them."""
    starts, lengths = rows.starts[chosen], rows.lengths[chosen]
    steps = torch.arange(int(lengths.max()))
    mask = steps < lengths[:, None]
    value = map_leaves(take_padded(starts, steps, mask), rows.x if table is None else table)
    return Padded(value, mask.to(rows.device))


@dataclass(frozen=True)
class Forced:
    """Predict every value of a target from the source and those before it.

    Its batches are those of :class:`~seqdyn.training.batches.Pairs`.

    Parameters
    ----------
    head : Head
        What the decoder's outputs mean, and what they cost.
    begin : int
        The token that stands before the first.
    forcing : TeacherForcing
        Which steps see the true value before.
    """

    head: Head
    begin: int
    forcing: TeacherForcing = FULL

    def __call__(
        self, network: EncoderDecoder, batch: Batch, state: State | None, generator: torch.Generator, progress: float
    ) -> Pass:
        target, there = batch.y
        noise = network.noise(len(target), leaves(batch.x)[0].shape[1], target.shape[1], generator)
        seen, mask = shift_right(self.begin, target), source_mask(batch)
        if self.forcing.is_full or not network.training:
            output = network.forced(batch.x, mask, seen, noise)
        else:
            batch_size, time = target.shape[:2]
            known = self.forcing.known(batch_size, time, there.sum(1), progress, generator)
            known = known.to(next(network.parameters()))
            known[:, 0] = 1.0
            output = network.partly_forced(batch.x, mask, seen, known, noise)
        values = elementwise(self.head.loss(output, target), target)
        return Pass(weighted_mean(values, batch.weight), total_weight(values, batch.weight), None, output, {}, batch)


def source_mask(batch: Batch) -> Tensor | None:
    """Which steps of the sources are there; None if all are."""
    return None if batch.mask is None or bool(batch.mask.all()) else batch.mask


def shift_right(begin: int, tokens: Tensor) -> Tensor:
    """What a network sees when tokens (…, time) are its targets: the one before each, ``begin`` before the first.

    Examples
    --------
    >>> shift_right(9, torch.tensor([4, 5, 6]))
    tensor([9, 4, 5])
    """
    return torch.nn.functional.pad(tokens[..., :-1], (1, 0), value=begin)

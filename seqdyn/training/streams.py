"""Parallel streams, walked in chunks: the state is carried from chunk to chunk without end (truncated BPTT).

A corpus is one long row of tokens, of which each is predicted from all those before it:

    stream b    begin  s_0  s_1  …                x_t: what came last
                s_0    s_1  s_2  …                y_t: what comes now
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_facts
from seqdyn.state import map_leaves
from seqdyn.training.batches import Batch, Rows, checked_share, masked_weight, numbered

TOKENS_AT_ONCE = 1 << 20
"""Tokens that are read at once."""


@shown_by_facts
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
        series, step = numbered(rows.lengths)
        self.order = rows.starts[series] + step
        self.fresh = self._fresh(total)
        self.weight = self._weight(total, torch.zeros_like(rows.lengths) if warmup is None else warmup)

    def __len__(self) -> int:
        return -(-self.length // self.chunk)

    def facts(self) -> dict[str, object]:
        """The plan of an epoch."""
        return {"streams": self.streams, "chunk": self.chunk, "batches": len(self)}

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
        counted = (places - begun >= needed).to(self.rows.dtype)
        return masked_weight(counted, own, self.rows.y)

    def _chunk_weight(self, place: Tensor, present: Tensor, y: Any) -> Tensor | None:
        if self.weight is None and bool(present.all()):
            return None
        return masked_weight(present.to(self.rows.dtype), None if self.weight is None else self.weight[place], y)


@shown_by_facts
class TokenStreams:
    """Tokens on parallel streams, in chunks of k: x (streams, k) int64, and y (streams, k, 1), the tokens after them.

    Only a chunk is in memory, so that the tokens may be mapped from a file.

    Parameters
    ----------
    tokens : array of int, shape (time,)
        In memory or mapped from a file.
    streams : int, at least 1
        The row is divided evenly; what is left over at the end of the last stream has weight 0.
    chunk : int, at least 1
        k, the steps the gradient goes back.
    begin : int
        The token that stands before the first of every stream: nothing is known yet.

    Raises
    ------
    ValueError
        If there are fewer tokens than streams.

    Examples
    --------
    >>> streams = TokenStreams(np.array([7, 8, 9, 7]), streams=2, chunk=64, begin=0)
    >>> batch = next(streams.epoch(torch.Generator()))
    >>> batch.x.tolist(), batch.y.squeeze(2).tolist()
    ([[0, 7], [0, 9]], [[7, 8], [9, 7]])
    """

    def __init__(self, tokens: Array, streams: int, chunk: int, begin: int, device: torch.device | str = "cpu"):
        if not 1 <= check_count("streams", streams) <= len(tokens):
            raise ValueError(f"streams must lie between 1 and the {len(tokens)} symbols of the corpus, got {streams}.")
        self.tokens, self.chunk, self.begin, self.device = tokens, check_count("chunk", chunk), begin, device
        self.length = -(-len(tokens) // streams)
        self.firsts = [number * self.length for number in range(streams)]

    def __len__(self) -> int:
        return -(-self.length // self.chunk)

    def facts(self) -> dict[str, object]:
        """The plan of an epoch."""
        return {"tokens": len(self.tokens), "streams": len(self.firsts), "chunk": self.chunk, "batches": len(self)}

    def epoch(self, generator: torch.Generator, start: int = 0) -> Iterator[Batch]:
        """All chunks in the order of the text; nothing is drawn."""
        for place in range(start * self.chunk, self.length, self.chunk):
            stop = min(place + self.chunk, self.length)
            both = np.zeros((len(self.firsts), stop - place + 1), dtype=np.int64)
            both[:, 0] = self.begin  # over which the token before is written, where there is one
            there = [self._read(row, first, place, stop) for row, first in zip(both, self.firsts, strict=True)]
            rows = torch.from_numpy(both).to(self.device)
            whole = min(there) == stop - place
            weight = None if whole else self._weight(there, stop - place)
            yield Batch(rows[:, :-1], rows[:, 1:, None], weight, follows=place > 0, counts=max(there) > 0)

    def shard(self, rank: int, world: int) -> Self:
        """Every ``world``-th stream."""
        if world > len(self.firsts):
            raise ValueError(f"{len(self.firsts)} streams cannot be shared by {world} workers: set streams={world}.")
        rank, world = checked_share(rank, world)
        mine = copy.copy(self)
        mine.firsts = self.firsts[rank::world]
        return mine

    def digest(self) -> str:
        """What the tokens are, in 64 characters; they are read in pieces."""
        found = hashlib.sha256(str(self.tokens.dtype).encode())
        for start in range(0, len(self.tokens), TOKENS_AT_ONCE):
            found.update(np.ascontiguousarray(self.tokens[start : start + TOKENS_AT_ONCE]).tobytes())
        return found.hexdigest()

    def _read(self, row: Array, first: int, place: int, stop: int) -> int:
        """Fill a row with the tokens before and at steps ``place`` to ``stop`` of a stream; how many there are."""
        before = max(place - 1, 0)
        found = self.tokens[first + before : first + stop]
        row[place == 0 :][: len(found)] = found
        return max(0, len(found) - (place > 0))

    def _weight(self, there: list[int], steps: int) -> Tensor:
        """1 where there is a token, (streams, steps, 1)."""
        present = torch.arange(steps) < torch.tensor(there)[:, None]
        return present.unsqueeze(2).to(torch.get_default_dtype()).to(self.device)

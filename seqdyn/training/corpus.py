"""A corpus as batches: one long row of tokens, of which each is predicted from all those before it.

    stream b    begin  s_0  s_1  …                x_t: what came last
                s_0    s_1  s_2  …                y_t: what comes now

The row is cut into parallel streams, which are walked in chunks; the state is carried from chunk to chunk without end.
Only a chunk is in memory, so that the row may be mapped from a file.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from seqdyn.checks import check_count
from seqdyn.training.batches import Batch, checked_share

Array = np.ndarray[Any, Any]

PIECE = 1 << 20
"""Tokens that are read at once."""


class TokenStreams:
    """Tokens on parallel streams, in chunks of k: x (streams, k) int64, and y (streams, k, 1), the tokens after them.

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
        for start in range(0, len(self.tokens), PIECE):
            found.update(np.ascontiguousarray(self.tokens[start : start + PIECE]).tobytes())
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


def shifted(begin: int, tokens: Tensor) -> Tensor:
    """What a network sees when tokens (time,) are its targets: the one before each, ``begin`` before the first.

    Examples
    --------
    >>> shifted(9, torch.tensor([4, 5, 6]))
    tensor([9, 4, 5])
    """
    return torch.cat([tokens.new_tensor([begin]), tokens[:-1]])

"""Memory that is used again: the pages of a fresh buffer cost as much time as the arithmetic that fills it."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

SMALL_BYTES = 2**16
"""Bytes below which the system's allocator is as fast."""

IDLE_BYTES = 2**28
"""Bytes that may wait to be used again."""


class _Pool:
    """Blocks of memory that nobody holds, by their size."""

    def __init__(self) -> None:
        self.blocks: defaultdict[int, list[Tensor]] = defaultdict(list)
        self.idle = 0
        self.lock = threading.Lock()

    def take(self, size: int) -> Tensor:
        """A block of so many bytes."""
        with self.lock:
            if waiting := self.blocks[size]:
                self.idle -= size
                return waiting.pop()
        return torch.empty(size, dtype=torch.uint8)

    def give(self, block: Tensor) -> None:
        """Keep a block for the next who takes one of its size, as long as there is room."""
        with self.lock:
            if self.idle + len(block) <= IDLE_BYTES:
                self.idle += len(block)
                self.blocks[len(block)].append(block)


_POOL = _Pool()


class _Lease:
    """A block that goes back to the pool when the last array over it is gone."""

    def __init__(self, size: int):
        self.block = _POOL.take(size)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": (len(self.block),), "typestr": "|u1", "data": (self.block.data_ptr(), False), "version": 3}

    def __del__(self) -> None:
        _POOL.give(self.block)


def recycled(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor on the CPU whose memory is used again when its last view is gone.

    Examples
    --------
    >>> first = recycled((64, 1000), torch.float32)
    >>> place = first.data_ptr()
    >>> del first
    >>> recycled((1000, 64), torch.float32).data_ptr() == place
    True
    """
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL_BYTES:
        return torch.empty(shape, dtype=dtype)
    memory = torch.from_numpy(np.asarray(_Lease(_block_size(size))))
    return memory[:size].view(dtype).view(shape)


def _block_size(size: int) -> int:
    """A size in bytes rounded up, by an eighth at most, so that lengths that differ little share a block."""
    step = 2 ** (size.bit_length() - 4)
    return -(-size // step) * step

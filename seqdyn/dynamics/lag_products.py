"""Products of Jacobians at many lags and starts, built from shorter ones along a trajectory in bounded memory.

    A_1(s) = J_{s+1},   A_{j+k}(s) = A_k(s+j) A_j(s),   A_k(s) = P_{s,s+k}

What no product to come will need is let go of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from seqdyn.dynamics.products import Scaled, compose, scaled
from seqdyn.dynamics.trajectory import Trajectory


class LagProducts:
    """Products of Jacobians at a few lags, built from shorter ones along a trajectory.

    A lag is the sum of two shorter ones: a power of two of its halves, any other of its leading powers and its last.
    Its starts lie on a grid: multiples of the stride of its largest power of two. Strides are powers of two that
    divide their lag and never shrink from one power to the next, so both parts of a product are there.

    ``starts`` is about how many starts a lag needs over the whole time, None for as many as there are room for, and
    ``numbers`` about how many numbers may be held. A start is the number of the first step, s + 1: they begin at 0.
    """

    def __init__(self, lags: Sequence[int], trajectory: Trajectory, starts: int | None, numbers: int):
        self.parts = _factor_lags(lags)
        self.time = trajectory.time
        self.trajectory = trajectory
        square = trajectory.batch * trajectory.width**2
        self.room = _power_of_two(numbers // (2 * len(self.parts) * square))  # a shelf has twice the room
        coarsest = 1 if starts is None else _power_of_two(self.time // starts)
        self.stride = {
            lag: max(1, _power_of_two(lag) // self.room, min(coarsest, _power_of_two(lag))) for lag in self.parts
        }
        self.shelves = {lag: Shelf(stride) for lag, stride in self.stride.items()}

    def starts(self, lag: int, count: int | None = None) -> Tensor:
        """The starts of a lag, all on its grid or ``count`` of them, evenly spread."""
        grid = torch.arange(0, self.time - lag + 1, self.stride[lag])
        if count is None or count >= len(grid):
            return grid
        return grid[torch.linspace(0, len(grid) - 1, count, dtype=torch.float64).round().long()]

    def within(self, lag: int, starts: Tensor, begin: int, products: Scaled) -> tuple[Tensor, Tensor]:
        """Which of some starts lie in a piece that begins there, (starts,) of bool, and their places in it."""
        stride = self.stride[lag]
        here = (starts >= begin) & (starts < begin + products.log.shape[1] * stride)
        return here, (starts[here] - begin) // stride

    def climb(self) -> Iterator[tuple[int, int, Scaled]]:
        """Lag, first start and products (batch, starts, n, n) of every piece that is ready, as time goes by."""
        for stretch in self.trajectory.forward():
            for lag, shelf in self.shelves.items():
                new = scaled(stretch.jacobians()) if lag == 1 else self._formed(lag)
                if new is not None:
                    shelf.put(new)
                    yield lag, shelf.next - new.log.shape[1] * shelf.stride, new
            self._drop()

    def _formed(self, lag: int) -> Scaled | None:
        """The products that can be formed now: at each start where both factors are known."""
        early, late = self.parts[lag] or (0, 0)
        begin = self.shelves[lag].next
        end = min(self.shelves[early].next, self.shelves[late].next - early)
        if end <= begin:
            return None
        stride = self.stride[lag]
        later = self.shelves[late].take(begin + early, end + early, stride)
        return compose(later, self.shelves[early].take(begin, end, stride))

    def _drop(self) -> None:
        """Drop the products that no later one needs."""
        needed = {lag: [shelf.next] for lag, shelf in self.shelves.items()}
        for lag, parts in self.parts.items():
            if parts is not None:
                needed[parts[0]].append(self.shelves[lag].next)
                needed[parts[1]].append(self.shelves[lag].next + parts[0])
        for lag, shelf in self.shelves.items():
            shelf.drop(min(needed[lag]))


class Shelf:
    """The products of one lag that longer ones still need: a window that moves along the grid of starts.

    It moves inside one piece of memory: joining and cutting tensors would leave that in shreds.
    """

    def __init__(self, stride: int):
        self.stride = stride
        self.first = self.next = 0
        self.begin = self.end = 0
        self.kept: Scaled | None = None

    def put(self, new: Scaled) -> None:
        """Add the products at the next starts."""
        count = new.log.shape[1]
        if self.kept is None or self.end + count > self.kept.log.shape[1]:
            self._make_room(new)
        for kept, added in zip(self.kept or (), new, strict=True):
            kept[:, self.end : self.end + count] = added
        self.end += count
        self.next += count * self.stride

    def take(self, begin: int, end: int, stride: int) -> Scaled:
        """The products at ``begin``, ``begin + stride``, … before ``end``."""
        assert self.kept is not None
        first, last = (self.begin + -(-(start - self.first) // self.stride) for start in (begin, end))
        return self.kept.at(slice(None), slice(first, last, stride // self.stride))

    def drop(self, before: int) -> None:
        """Drop the products at starts before the given one."""
        passed = (before - self.first) // self.stride
        self.begin += passed
        self.first += passed * self.stride

    def _make_room(self, new: Scaled) -> None:
        """Move what is kept to the front of memory that is at least twice what is needed."""
        live, count = self.end - self.begin, new.log.shape[1]
        old = new.at(slice(None), slice(0, 0)) if self.kept is None else self.kept
        if old.log.shape[1] < 2 * (live + count):
            size = 2 * (live + count)
            self.kept = Scaled(*(part.new_empty(len(part), size, *part.shape[2:]) for part in new))
        for kept, moved in zip(self.kept or (), old.at(slice(None), slice(self.begin, self.end)), strict=True):
            kept[:, :live] = moved.clone()
        self.begin, self.end = 0, live


def _factor_lags(lags: Sequence[int]) -> dict[int, tuple[int, int] | None]:
    """Every lag that is needed, increasing, and the two it is made of: the earlier and the later one."""
    parts: dict[int, tuple[int, int] | None] = {1: None}
    missing = list(lags)
    while missing:
        lag = missing.pop()
        if lag not in parts:
            last = lag & -lag
            parts[lag] = (lag // 2, lag // 2) if last == lag else (lag - last, last)
            missing += parts[lag] or ()
    return dict(sorted(parts.items()))


def _power_of_two(value: int) -> int:
    """The largest power of two up to the value, at least 1."""
    return 1 << max(0, value.bit_length() - 1)

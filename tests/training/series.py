"""Series for the tests of the trainer, as rows and as plain lists."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.training.batches import Rows


class Series(NamedTuple):
    """Series of unlike lengths, one tensor each: what a hand-written loop walks over.

    Attributes
    ----------
    x, y : list of Tensor, (time, inputs) and (time, targets)
    weight : list of Tensor (time, targets), or None
    """

    x: list[Tensor]
    y: list[Tensor]
    weight: list[Tensor] | None

    def rows(self) -> Rows:
        """The same, end to end."""
        lengths = torch.tensor([len(part) for part in self.x])
        weight = None if self.weight is None else torch.cat(self.weight)
        return Rows(torch.cat(self.x), torch.cat(self.y), weight, lengths.cumsum(0) - lengths, lengths)

    def starts(self) -> list[int]:
        """The row each series begins at."""
        return [0, *accumulate(len(part) for part in self.x)][:-1]


def noise(
    lengths: list[int], *, inputs: int = 2, targets: int = 2, weighted: bool = False, dtype: torch.dtype = torch.float64
) -> Series:
    """Independent standard normal inputs and targets; weights are random, a third of them 0."""
    generator = torch.Generator().manual_seed(0)
    x, y = ([torch.randn(n, width, generator=generator, dtype=dtype) for n in lengths] for width in (inputs, targets))
    weight = [
        torch.rand(n, targets, generator=generator, dtype=dtype)
        * (torch.rand(n, targets, generator=generator) > 1 / 3).to(dtype)
        for n in lengths
    ]
    return Series(x, y, weight if weighted else None)


def numbered(lengths: list[int]) -> Series:
    """Every row's input and target is its own number."""
    parts = list(torch.arange(sum(lengths), dtype=torch.float64).unsqueeze(1).split(lengths))
    return Series(parts, parts, None)

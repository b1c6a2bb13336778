"""Prediction in batches: sequences of like lengths are run together, and a bar shows how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from torch import Tensor

from seqdyn.progress import track
from seqdyn.sentences import groups_of_like_length, padded_rows
from seqdyn.training.batches import Padded

Answer = TypeVar("Answer")
Batched = TypeVar("Batched")


def track_batches(parts: Sequence[Batched], what: str, verbose: bool | int) -> Iterator[Batched]:
    """Yield batches, with a bar where there are several and ``verbose`` asks for one.

    Examples
    --------
    >>> list(track_batches(["first", "second"], "score", verbose=0))
    ['first', 'second']
    """
    return track(parts, what, "batch", verbose=verbose if len(parts) > 1 else 0)


def map_by_length(
    rows: Sequence[Tensor], answer: Callable[[list[int], Padded], Iterable[Answer]], what: str, verbose: bool | int = 0
) -> list[Answer]:
    """One answer for every sequence, in its order: ``answer(numbers, padded)`` gives those of some of like lengths.

    Examples
    --------
    >>> import torch
    >>> map_by_length([torch.zeros(3), torch.zeros(1)], lambda numbers, padded: padded.gaps.sum(1).tolist(), "count")
    [3, 1]
    """
    found = dict[int, Answer]()
    for numbers in track_batches(list(groups_of_like_length(rows)), what, verbose):
        found.update(zip(numbers, answer(numbers, padded_rows([rows[number] for number in numbers])), strict=True))
    return [found[number] for number in range(len(rows))]

"""Where a run starts, as users say it: a State, plain numbers, or what the first rows of a record tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.codecs import tensor
from seqdyn.data.sequences import Sequences
from seqdyn.predictor import Predictor
from seqdyn.state import State, flatten, map_leaves, unflatten

PARTS = 10
"""One such part of a record tells its start."""
STATES = 2
"""So many rows a number of the state, at least."""
SHORTEST = 3
"""Rows a number of the state below which a record tells nothing of its start, and is left to rest."""


def is_estimate(start: Any) -> bool:
    """Whether a start is to be estimated."""
    return isinstance(start, str) and start == "estimate"


def is_rest(start: Any) -> bool:
    """Whether a start is a state of zeros, by its name."""
    return isinstance(start, str) and start == "zero"


def given_state(predictor: Predictor, start: Any, series: int) -> State | None:
    """A start as a State of the network; None, the strategy, as it is.

    Plain numbers, (width,) for all or (series, width), are the leaves of the State, one after the other; ``"zero"`` is
    a State of zeros. Anything else is a ValueError.
    """
    if start is None or _holds_tensors(start):
        return start
    like = predictor.causal("initial_state").initial_state(1)
    if is_rest(start):
        return map_leaves(torch.zeros_like, like)
    if isinstance(start, Tensor) and isinstance(like, Tensor) and start.dim() == like.dim():
        return start
    width = flatten(like).shape[1]
    expected = (
        f"'zero', 'estimate' where y is given beside X, a State, or plain numbers of shape ({width},) or "
        f"({series}, {width})"
    )
    try:
        numbers = np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"initial_state={start!r}, expected {expected}.") from None
    rows = np.atleast_2d(numbers)
    if numbers.ndim not in (1, 2) or rows.shape[1] != width or len(rows) not in (1, series):
        raise ValueError(f"initial_state has shape {numbers.shape}, expected {expected}.")
    if not np.isfinite(rows).all():
        raise ValueError(f"initial_state holds NaN or inf: {start!r}.")
    return _state(tensor(rows, flatten(like)), like)


def start_rows(lengths: Array, width: int) -> Array:
    """Rows that a start is estimated from: a tenth of every record, and at least 2 a number of the state."""
    return np.asarray(np.maximum(-(-lengths // PARTS), STATES * width))


def leading_rows(lengths: Array, width: int) -> Array:
    """Rows that tell the start of every record, see :func:`start_rows`; none of one with fewer than 3 a number.

    Examples
    --------
    >>> leading_rows(np.array([5, 6, 100, 1000]), width=2)
    array([  0,   4,  10, 100])
    """
    return np.where((lengths < SHORTEST * width) | (width == 0), 0, start_rows(lengths, width))


def estimated(
    predictor: Predictor, sequences: Sequences, numbers: Array, best: Callable[[Sequences, Array], State]
) -> tuple[State, Array]:
    """The start of every record from its first rows, and how many these are.

    ``best(sequences, numbers)`` gives the starts that fit best. A record of which no output is known there is left to
    rest.
    """
    rest = predictor.causal("initial_state='estimate'").initial_state(len(sequences.lengths))
    start = flatten(rest).detach()
    rows = leading_rows(sequences.lengths, start.shape[1])
    early = sequences.steps < rows[sequences.series]
    told = np.bincount(sequences.series, early & ~np.isnan(numbers).all(axis=1), len(rows)) > 0
    rows, early = rows * told, early & told[sequences.series]
    if told.any():
        heads = Sequences(sequences.rows[early], rows[told], "list")
        start[torch.as_tensor(told)] = flatten(best(heads, numbers[early])).to(start)
    return _state(start, rest), rows


def _state(numbers: Tensor, like: State) -> State:
    """Numbers (rows, width) as a state, every leaf of its own type."""
    return map_leaves(lambda leaf, own: leaf.to(own.dtype), unflatten(numbers, like), like)


def _holds_tensors(start: Any) -> bool:
    """Whether it is a tree with tensors in it."""
    branches = start.values() if isinstance(start, dict) else start if isinstance(start, tuple | list) else ()
    return any(isinstance(branch, Tensor) or _holds_tensors(branch) for branch in branches)

"""Clips of human motion, and the windows of them that are seen and predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count

PAST, FUTURE = 50, 25
"""Frames that are seen, and that are predicted."""

ROOT = 6
"""Leading columns that are the root: its position and its rotation. They are not scored."""

STILL_DEVIATION = 1e-4
"""A column with no larger standard deviation does not move, rad."""

SEED = 1234567890
"""From which the protocol draws its windows."""


class Windows(NamedTuple):
    """``past``, shape (windows, 50, columns), and ``future``, (windows, 25, columns): exponential maps, rad."""

    past: Array
    future: Array


def halve(clip: Any, phase: int = 0) -> Array:
    """Every second frame of a clip, (frames, columns).

    Parameters
    ----------
    clip : DataFrame or array, shape (frames, columns)
        Three columns for the position of the root, three for its rotation, and three for every joint: exponential maps,
        rad.
    phase : {0, 1}
        The first frame that is kept. The protocol takes 0; the other half is as good for learning.

    Raises
    ------
    ValueError
        If the columns are not threes, there is no joint, or a value is NaN or infinite.

    Examples
    --------
    >>> halve(np.arange(5)[:, None] * np.ones(9), phase=1)[:, 0]
    array([1., 3.])
    """
    return as_clip(clip)[check_choice("phase", phase, (0, 1)) :: 2]


def published_starts(frames: int, count: int = 8) -> list[int]:
    """Where the windows of the protocol begin in a clip of so many frames: drawn, so that they overlap.

    Parameters
    ----------
    frames : int, more than 75
        Of the halved clip.
    count : int, at least 1

    References
    ----------
    Martinez, Black & Romero (2017), after Jain, Zamir, Savarese & Saxena (2016), Structural-RNN.

    Examples
    --------
    >>> published_starts(180)
    [2, 102, 47, 12, 51, 33, 43, 60]
    """
    check_count("frames", frames, PAST + FUTURE + 1, why=f"a window takes {PAST + FUTURE}")
    draw = np.random.RandomState(SEED)
    return [int(draw.randint(0, frames - PAST - FUTURE)) for _ in range(check_count("count", count))]


def separate_starts(frames: int) -> list[int]:
    """Where windows begin that do not overlap: one after the other.

    Parameters
    ----------
    frames : int, at least 75
        Of the halved clip.

    Examples
    --------
    >>> separate_starts(180)
    [0, 75]
    """
    check_count("frames", frames, PAST + FUTURE, why=f"a window takes {PAST + FUTURE}")
    return list(range(0, frames - PAST - FUTURE + 1, PAST + FUTURE))


def cut(frames: Any, starts: Sequence[int]) -> Windows:
    """Windows of 50 frames that are seen and 25 that follow.

    Parameters
    ----------
    frames : array, shape (frames, columns)
        Of a halved clip.
    starts : sequence of int
        The first frame of every window.

    Returns
    -------
    Windows

    Raises
    ------
    ValueError
        If a window does not fit into the clip.

    Examples
    --------
    >>> windows = cut(np.arange(180)[:, None] * np.ones(9), [0, 100])
    >>> windows.past.shape, windows.future.shape, windows.future[1, :2, 0]
    ((2, 50, 9), (2, 25, 9), array([150., 151.]))
    """
    values = as_clip(frames)
    first = np.asarray(list(starts), dtype=np.int64)
    outside = (first < 0) | (first + PAST + FUTURE > len(values))
    if not len(first) or outside.any():
        raise ValueError(
            f"starts holds {first[outside].tolist()[:5] or 'nothing'}, but a window of {PAST + FUTURE} frames begins "
            f"at 0 to {len(values) - PAST - FUTURE} in a clip of {len(values)}."
        )
    rows = values[first[:, None] + np.arange(PAST + FUTURE)]
    return Windows(rows[:, :PAST], rows[:, PAST:])


def as_clip(clip: Any) -> Array:
    """A clip as an array (frames, columns), if it is one."""
    values = np.asarray(clip, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"A clip has shape {values.shape}, expected (frames, columns).")
    check_threes(values.shape[1])
    if not np.isfinite(values).all():
        frame, column = map(int, np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"A clip is NaN or infinite, first at frame {frame}, column {column}.")
    return values


def check_threes(columns: int) -> None:
    """Raise if so many columns are not those of a whole clip."""
    if columns % 3 or columns <= ROOT:
        raise ValueError(
            f"There are {columns} columns, expected 6 of the root and 3 for every joint: give all columns of the clip, "
            "also those that do not move."
        )

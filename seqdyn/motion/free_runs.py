"""Free runs of a motion: a network on its own last angles, piece by piece, and where a run has diverged."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.loops import Force, Recorder, Scan, scan
from seqdyn.state import State
from seqdyn.state import steps as stretch

STEPS_PER_PIECE = 1000
"""Steps of a free run after which it is checked."""

DIVERGED_RANGES = 10.0
"""A free run that leaves the range of its training by this many ranges has diverged."""


class FreeRun(NamedTuple):
    """A free run, and what was recorded of it.

    Attributes
    ----------
    angles : DataArray
        As :meth:`~seqdyn.motion.model.MotionModel.free_run` returns them.
    record : tree or None
        Leaves (series, time, …).
    """

    angles: Any
    record: Any


def free_run_pieces(
    cell: Cell, x: Any, led: int, time: int, force: Force | None = None, record: Recorder | None = None
) -> Iterator[Scan]:
    """A free run piece by piece, after its warm-up: ``led`` of ``time`` steps. A force counts from its end."""
    with torch.no_grad():
        state = scan(cell, stretch(x, 0, led)).state if led else None
        for first in range(led, time, STEPS_PER_PIECE):
            later = force if force is None or first == led else partial(_offset_force, force, first - led)
            piece = scan(cell, stretch(x, first, min(first + STEPS_PER_PIECE, time)), state, force=later, record=record)
            state = piece.state
            yield piece


def _offset_force(force: Force, first: int, t: int, state: State) -> State:
    """A force whose steps are counted from an earlier one."""
    return force(first + t, state)


def has_diverged(angles: Any, span: Array) -> Array:
    """Where a run (…, time, joints) is not finite, or ten ranges outside the ``span`` of the training: (…, time).

    Examples
    --------
    >>> has_diverged([[0.5], [20.0]], np.array([[0.0], [1.0]])).astype(int)
    array([0, 1])
    """
    values, (low, high) = np.asarray(angles), span
    room = DIVERGED_RANGES * max(float((high - low).max()), 1e-12)
    stays: Array = (np.isfinite(values) & (values >= low - room) & (values <= high + room)).all(axis=-1)
    return ~stays


def check_bounded(values: Array, span: Array, before: int, led: int, rate: float) -> None:
    """Raise where a run (series, time, joints) has diverged; ``before`` steps of it came before these."""
    lost = has_diverged(values, span)
    if lost.any():
        step, series = (int(number) for number in np.argwhere(lost.T)[0])
        step += before
        raise FloatingPointError(
            f"The free run of series {series} diverges at step {step} ({(led + step) / rate:g} s): a joint is "
            f"{DIVERGED_RANGES:g} ranges outside of what the training has seen, or not finite. Train longer, or on "
            "windows that run free: autoregression=Autoregression(free_run=…)."
        )

"""Delayed inputs: a shift register holds those that have not arrived yet.

r_t = T r_{t-1} + E x_t        what is on its way
x̄_t = S r_{t-1} + P x_t        what arrives: the oldest entry, or x_t itself where there is no delay
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.identification.estimation import Directions


class Register(NamedTuple):
    """The matrices of a shift register: input by input, the newest entry of each first.

    P (inputs, inputs) passes inputs without a delay on, S (inputs, steps) reads the oldest entries, E (steps, inputs)
    takes the inputs in, and T (steps, steps) moves the entries on.
    """

    passed: Array
    oldest: Array
    entry: Array
    shift: Array


def checked_delays(delays: Any, inputs: int, name: str = "delays") -> tuple[int, ...]:
    """Check delays, whole numbers of steps from 0 on: one an input, or one for all."""
    given = list(delays) if isinstance(delays, Sequence | np.ndarray) else [delays] * inputs
    whole = all(isinstance(delay, Integral) and not isinstance(delay, bool) and int(delay) >= 0 for delay in given)
    if len(given) != inputs or not whole:
        raise ValueError(
            f"{name} must be a whole number of steps from 0 on, or {inputs} of them, one an input; got {delays!r}."
        )
    return tuple(int(delay) for delay in given)


def check_shorter(delays: Sequence[int], lengths: Array) -> None:
    """Raise if an input acts later than the shortest of the records lasts."""
    longest, shortest = max(delays, default=0), int(np.min(lengths))
    if longest >= shortest:
        raise ValueError(
            f"input_delay={longest}, but the shortest record has {shortest} rows: no input would have acted by its "
            "end. Lower input_delay, or leave short records out."
        )


def shift_register(delays: Sequence[int]) -> Register:
    """The shift register of the delays of every input, with as many entries as all delays together."""
    inputs, ends = len(delays), np.cumsum(delays, dtype=int)
    steps = int(sum(delays))
    late = np.array([delay > 0 for delay in delays], dtype=bool)
    oldest, entry, shift = np.zeros((inputs, steps)), np.zeros((steps, inputs)), np.eye(steps, k=-1)
    number, newest = np.flatnonzero(late), (ends - np.asarray(delays, dtype=int))[late]
    oldest[number, ends[late] - 1] = 1.0
    entry[newest, number] = 1.0
    shift[newest] = 0.0  # a register does not take over what the one before it lets go
    return Register(np.diag((~late).astype(float)), oldest, entry, shift)


def behind(
    register: Register, feedthrough: Array, readout: Array, input_map: Array, transition: Array
) -> tuple[Array, Array, Array, Array]:
    """A, B, C and D, or changes of them along leading axes, of the system behind the register; its state is [h; r]."""
    upper = np.concatenate([transition, input_map @ register.oldest], axis=-1)
    lower = np.hstack([np.zeros((len(register.shift), transition.shape[-1])), register.shift])
    return (
        feedthrough @ register.passed,
        np.concatenate([readout, feedthrough @ register.oldest], axis=-1),
        _above(input_map @ register.passed, register.entry),
        _above(upper, lower),
    )


def changes_behind(register: Register, directions: Directions) -> Directions:
    """The directions of an estimation behind the register, whose own entries are known exactly."""
    still = register._replace(entry=np.zeros_like(register.entry), shift=np.zeros_like(register.shift))
    changed = behind(still, *directions[:4])
    steps = len(register.shift)
    return Directions(
        *changed,
        directions.output_offset,
        np.pad(directions.state_offset, ((0, 0), (0, steps))),
        np.pad(directions.noise_gain, ((0, 0), (0, steps), (0, 0))),
    )


def _above(upper: Array, lower: Array) -> Array:
    """[upper; lower] for every upper along the leading axes."""
    return np.concatenate([upper, np.broadcast_to(lower, (*upper.shape[:-2], *lower.shape))], axis=-2)

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

    Attributes
    ----------
    passed : array, shape (inputs, inputs)
        P, x_t → x̄_t: 1 for inputs without a delay.
    oldest : array, shape (inputs, steps)
        S, r_{t-1} → x̄_t.
    entry : array, shape (steps, inputs)
        E, x_t → r_t.
    shift : array, shape (steps, steps)
        T, r_{t-1} → r_t.
    """

    passed: Array
    oldest: Array
    entry: Array
    shift: Array


def checked_delays(delays: Any, inputs: int, name: str = "delays") -> tuple[int, ...]:
    """Check delays: one an input, or one for all.

    Parameters
    ----------
    delays : int, or sequence of int
    inputs : int
    name : str
        How the user calls them.

    Raises
    ------
    ValueError
        If there are not as many as inputs, or one is not a whole number of steps.
    """
    given = list(delays) if isinstance(delays, Sequence | np.ndarray) else [delays] * inputs
    whole = all(isinstance(delay, Integral) and not isinstance(delay, bool) and int(delay) >= 0 for delay in given)
    if len(given) != inputs or not whole:
        raise ValueError(
            f"{name} must be a whole number of steps from 0 on, or {inputs} of them, one an input; got {delays!r}."
        )
    return tuple(int(delay) for delay in given)


def check_shorter(delays: Sequence[int], lengths: Array) -> None:
    """Raise if an input acts later than a record lasts.

    Parameters
    ----------
    delays : sequence of int
        In steps, one an input.
    lengths : array of int, shape (records,)
        In rows.
    """
    longest, shortest = max(delays, default=0), int(np.min(lengths))
    if longest >= shortest:
        raise ValueError(
            f"input_delay={longest}, but the shortest record has {shortest} rows: no input would have acted by its "
            "end. Lower input_delay, or leave short records out."
        )


def shift_register(delays: Sequence[int]) -> Register:
    """The shift register of these delays.

    Parameters
    ----------
    delays : sequence of int
        In steps, one an input.

    Returns
    -------
    Register
        Of as many entries as all delays together.

    Examples
    --------
    >>> shift_register([2, 0]).shift
    array([[0., 0.],
           [1., 0.]])
    """
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
    """A, B, C and D of the system behind the register; its state is [h; r].

    Parameters
    ----------
    register : Register
    feedthrough, readout, input_map, transition : array, shape (…, rows, columns)
        A, B, C and D, or changes of them along a leading axis.

    Returns
    -------
    four arrays
        A, B, C and D.
    """
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

"""Checks of arguments: an error says what was received and what was expected."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from numbers import Integral, Real
from types import FrameType
from typing import Any, TypeGuard

import numpy as np


def is_int(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number of any library, and no truth value.

    Examples
    --------
    >>> is_int(3), is_int(np.int64(3)), is_int(True), is_int(3.0)
    (True, True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a real number of any library, and no truth value.

    Examples
    --------
    >>> is_number(3), is_number(0.5), is_number(True), is_number("3")
    (True, True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def is_one_of(value: Any, choices: Sequence[Any]) -> bool:
    """Whether a value is one of some names or truth values; numpy's own count as Python's, and 1 is not True.

    Examples
    --------
    >>> is_one_of("mean", ("mean", "sum")), is_one_of(1, (True, False))
    (True, False)
    """
    value = value.item() if isinstance(value, np.generic) else value
    return any(type(value) is type(choice) and value == choice for choice in choices)


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return the value if it is one of the choices, else say what they are.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> check_choice("norm", "spectral", ("spectral", "frobenius"))
    'spectral'
    """
    if not is_one_of(value, choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    return value


def check_count(name: str, value: Any, least: int = 1, others: Sequence[Any] = (), why: str = "") -> Any:
    """Return the value as an int if it is a whole number of at least ``least``, or as it is if it is one of ``others``.

    Parameters
    ----------
    name : str
        How the error calls it.
    value : int
    least : int
    others : sequence
        What else is allowed, such as None or "auto".
    why : str
        Why it has to be so, for the end of the error.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> check_count("horizon", 12), check_count("lags", None, others=(None, "auto"))
    (12, None)
    """
    if is_one_of(value, others):
        return value
    if not is_int(value) or value < least:
        also = "".join(f"{other!r} or " for other in others)
        raise ValueError(f"{name} must be {also}an int of at least {least}, got {value!r}{why and ': '}{why}.")
    return int(value)


def outside() -> int:
    """The ``stacklevel`` with which a warning points at the line of the user's that led to it."""
    frame: FrameType | None = inspect.currentframe()
    level = 0
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "seqdyn":
        frame, level = frame.f_back, level + 1
    return level

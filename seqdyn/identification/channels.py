"""Names of inputs and outputs: those that were given, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def checked_names(names: Any, size: int, what: str) -> tuple[str, ...]:
    """One name a channel, or none at all."""
    given = () if names is None else names
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{what} must be a sequence of strings, got {names!r}.")
    if len(given) not in (0, size):
        raise ValueError(f"{what} must be {size} names, one a channel, or none; got {len(given)}: {tuple(given)}.")
    return tuple(given)


def channel_names(names: Sequence[str], size: int, kind: str) -> list[str]:
    """The names; "input 1", "input 2", … where there are none."""
    return list(names) or [f"{kind} {i + 1}" for i in range(size)]

"""Checkpoints: a training that was killed goes on where it was, to the bit.

A checkpoint is one file with everything the next step depends on (:meth:`seqdyn.training.loop.Trainer.state`), and a
mark of what the training is of. A new one is written beside the old and takes its place: there always is one whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.files import FileFormatError, read, write
from seqdyn.state import leaves, map_leaves

if TYPE_CHECKING:
    from seqdyn.training.loop import Trainer


class Resumable(Protocol):
    """What goes on where it was."""

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs, as a tree that files can hold."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


class Checkpoint:
    """Where a training is kept, and how often.

    Parameters
    ----------
    path : str or path-like
        Written while the training runs, and when it is over.
    every : float, at least 0
        Seconds between two writings, at the end of a step.
    mark : mapping of str to str, optional
        What the training is of, by name: a checkpoint with another mark is refused.
    beside : mapping of str to Resumable, optional
        What else goes on with the training, such as an observer.

    Examples
    --------
    >>> Checkpoint("training.safetensors", every=300, mark={"batch_size": "32"}).path.name
    'training.safetensors'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: float = 60.0,
        mark: Mapping[str, str] | None = None,
        beside: Mapping[str, Resumable] | None = None,
    ):
        if isinstance(every, bool) or not isinstance(every, int | float) or not every >= 0:
            raise ValueError(f"checkpoint_every must be a number of seconds of at least 0, got {every!r}.")
        self.path, self.every = Path(path), float(every)
        self.mark, self.beside = dict(mark or {}), dict(beside or {})
        self.last = time.monotonic()

    def restore(self, trainer: Trainer) -> None:
        """Let a training go on from the file, where there is one.

        Raises
        ------
        ValueError
            If it is the checkpoint of another training; the message says what differs.
        FileFormatError
            If the file is no checkpoint, or damaged.
        """
        self.last = time.monotonic()
        if not self.path.exists():
            return
        content = read(self.path)
        if not isinstance(content, dict) or "training" not in content:
            raise FileFormatError(f"{self.path} is no checkpoint of a training: give another path.")
        self._check(content["mark"])
        training = content["training"]
        trainer.load_state(training | {"carried": _rebuilt(training["carried"], trainer.network)})
        for name, other in self.beside.items():
            other.load_state(content["beside"][name])

    def offer(self, trainer: Trainer) -> None:
        """Write, if it is time."""
        if time.monotonic() - self.last >= self.every:
            self.write(trainer)

    def write(self, trainer: Trainer) -> None:
        """Write everything the next step depends on; whoever is killed here finds the file that was there before."""
        training = trainer.state()
        carried = None if training["carried"] is None else leaves(training["carried"])
        beside = {name: other.state() for name, other in self.beside.items()}
        write(self.path, {"mark": self.mark, "training": training | {"carried": carried}, "beside": beside})
        self.last = time.monotonic()

    def _check(self, mark: Mapping[str, str]) -> None:
        names = [name for name in {**mark, **self.mark} if mark.get(name) != self.mark.get(name)]
        if names:
            differences = [_difference(name, mark.get(name), self.mark.get(name)) for name in names]
            raise ValueError(
                f"{self.path} is the checkpoint of another training: {'; '.join(differences)}. Give another path for "
                "this one, or remove the file to begin anew."
            )


def _rebuilt(carried: list[Tensor] | None, network: nn.Module) -> Any:
    """A state from its leaves: its structure is the cell's, whose class files need not know."""
    if carried is None or not isinstance(network, Cell):
        return carried
    pieces = iter(carried)
    return map_leaves(lambda leaf: next(pieces).to(leaf), network.initial_state(len(carried[0])))


def described(value: Any) -> str:
    """A parameter as a mark: the same text for the same value, in any process.

    Examples
    --------
    >>> described(0.5), described("adam"), described((3, None)), described(described)
    ('0.5', "'adam'", 'tuple(3, None)', 'seqdyn.training.checkpoint.described')
    """
    name = type(value).__name__
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, nn.Module):
        return f"{name} {digest(*value.state_dict().values())}"
    if isinstance(value, Tensor | np.ndarray):
        return f"{name} {digest(value)}"
    if isinstance(value, np.random.RandomState):
        return f"{name} {digest(np.asarray(cast(Any, value.get_state())[1]))}"
    if isinstance(value, tuple | list):
        return f"{name}({', '.join(map(described, value))})"
    if dataclasses.is_dataclass(value):
        parts = (f"{part.name}={described(getattr(value, part.name))}" for part in dataclasses.fields(value))
        return f"{name}({', '.join(parts)})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def digest(*values: Any) -> str:
    """A short fingerprint of arrays and tensors: their numbers, shapes and types.

    Examples
    --------
    >>> digest(np.zeros(3)) == digest(np.zeros(3)), digest(np.zeros(3)) == digest(np.ones(3))
    (True, False)
    """
    found = hashlib.sha256()
    for value in values:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        found.update(f"{array.shape}{array.dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def _difference(name: str, was: str | None, now: str | None) -> str:
    if name == "data":
        return "it was of other data"
    return f"{name} was {was} and is {now} now"

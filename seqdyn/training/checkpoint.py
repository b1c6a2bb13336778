"""Checkpoints: a training that was killed goes on where it was, to the bit.

A checkpoint is one file with everything the next step depends on (:meth:`seqdyn.training.loop.Trainer.state`), and a
mark of what the training is of. A new one is written beside the old and takes its place: there always is one whole.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.facts import shown_by_facts
from seqdyn.files import FileFormatError, read, write

if TYPE_CHECKING:
    from seqdyn.training.loop import Trainer


class Resumable(Protocol):
    """What goes on where it was."""

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs, as a tree that files can hold."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


@shown_by_facts
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
        self.states: dict[str, type] = {}
        self.last = time.monotonic()

    def facts(self) -> dict[str, object]:
        """Where it is, and how often it is written."""
        return {"path": str(self.path), "every": self.every, "beside": list(self.beside)}

    def restore(self, trainer: Trainer) -> None:
        """Let a training go on from the file, where there is one.

        Raises
        ------
        ValueError
            If it is the checkpoint of another training; the message says what differs.
        FileNotFoundError
            If the folder of the file is not there.
        FileFormatError
            If the file is no checkpoint, or damaged.
        """
        self.last = time.monotonic()
        self.states = _state_classes(trainer)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"checkpoint is {self.path}, but there is no folder {self.path.parent}.")
        if not self.path.exists():
            return
        content = read(self.path)
        if not isinstance(content, dict) or "training" not in content:
            raise FileFormatError(f"{self.path} is no checkpoint of a training: give another path.")
        self._check(content["mark"], self._mark(trainer))
        training = content["training"]
        carried = training["carried"][0 if trainer.workers is None else trainer.workers.rank]
        device = next(iter(trainer.parameters.values())).device
        trainer.load_state(training | {"carried": _rebuilt(carried, self.states, device)})
        for name, other in self.beside.items():
            other.load_state(content["beside"][name])

    def offer(self, trainer: Trainer) -> None:
        """Write, if it is time; of several workers the first one's clock counts, and it writes for all."""
        due = time.monotonic() - self.last >= self.every
        if due if trainer.workers is None else trainer.workers.agreed(due):
            self.write(trainer)

    def write(self, trainer: Trainer) -> None:
        """Write everything the next step depends on; whoever is killed here finds the file that was there before."""
        training, workers = trainer.state(), trainer.workers
        own = _taken_apart(training["carried"], self.states)
        carried = [own] if workers is None else workers.gathered(own)
        if workers is None or workers.rank == 0:
            beside = {name: other.state() for name, other in self.beside.items()}
            mark = self._mark(trainer)
            write(self.path, {"mark": mark, "training": training | {"carried": carried}, "beside": beside})
        self.last = time.monotonic()

    def _mark(self, trainer: Trainer) -> dict[str, str]:
        workers = {} if trainer.workers is None else {"workers": str(trainer.workers.world)}
        return trainer.mark() | workers | self.mark

    def _check(self, was: Mapping[str, str], now: Mapping[str, str]) -> None:
        names = [name for name in {**self.mark, **was, **now} if was.get(name) != now.get(name)]
        if names:
            told = [name for name in names if name in self.mark] or names
            differences = [_difference(name, was.get(name), now.get(name)) for name in told]
            raise ValueError(
                f"{self.path} is the checkpoint of another training: {'; '.join(differences)}. One path is one "
                "training: give another for this one, remove the file to begin anew, or set checkpoint=None where many "
                "are made, as in a search or a backtest."
            )


def _state_classes(trainer: Trainer) -> dict[str, type]:
    """The classes of states of all cells in a training, by name: files hold the names alone."""
    trainer.set_mode(training=False)  # a random start draws nothing
    cells = (part for own in trainer.modules for part in own.modules() if isinstance(part, Cell))
    found: dict[str, type] = {}
    for cell in cells:
        _collect(cell.initial_state(1), found)
    return found


def _collect(tree: Any, found: dict[str, type]) -> None:
    if isinstance(tree, dict | tuple | list):
        if hasattr(tree, "_fields"):
            found[type(tree).__name__] = type(tree)
        for branch in tree.values() if isinstance(tree, dict) else tree:
            _collect(branch, found)


def _taken_apart(tree: Any, states: Mapping[str, type]) -> Any:
    """A carried tree as files hold it: every tuple with the name of its class."""
    if tree is None or isinstance(tree, Tensor | bool | int | float | str):
        return tree
    if isinstance(tree, dict):
        return {"dict": {name: _taken_apart(branch, states) for name, branch in tree.items()}}
    name = type(tree).__name__
    if not isinstance(tree, tuple | list) or (name not in ("tuple", "list") and states.get(name) is not type(tree)):
        raise TypeError(
            f"The objective carries a {name}, which a checkpoint cannot hold: carry tensors, numbers, tuples, lists, "
            "dicts and states of the cells in the network."
        )
    return {name: [_taken_apart(branch, states) for branch in tree]}


def _rebuilt(content: Any, states: Mapping[str, type], device: torch.device) -> Any:
    """The inverse of :func:`_taken_apart`."""
    if isinstance(content, Tensor):
        return content.to(device)
    if not isinstance(content, dict):
        return content
    (name, held), *_ = content.items()
    if name == "dict":
        return {key: _rebuilt(branch, states, device) for key, branch in held.items()}
    branches = [_rebuilt(branch, states, device) for branch in held]
    if name in ("tuple", "list"):
        return tuple(branches) if name == "tuple" else branches
    return states[name](*branches)


def described(value: Any) -> str:
    """A parameter as a mark: the same text for the same value, in any process.

    Examples
    --------
    >>> from seqdyn.initial_state import Zero
    >>> described(0.5), described("adam"), described((3, None)), described(Zero)
    ('0.5', "'adam'", 'tuple(3, None)', 'seqdyn.initial_state.Zero')
    """
    name = type(value).__name__
    if inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    if inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__} {_of_function(value)}"
    if inspect.ismethod(value):
        return f"{described(value.__func__)} of {described(value.__self__)}"
    if isinstance(value, functools.partial):
        return f"partial({described(value.func)}, {described(value.args)}, {described(value.keywords)})"
    if isinstance(value, dict):
        return f"{name}({', '.join(f'{described(key)}: {described(own)}' for key, own in value.items())})"
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
    if " at 0x" not in repr(value):
        return repr(value)
    if not isinstance(own := getattr(value, "__dict__", None), dict):
        raise ValueError(f"A checkpoint cannot tell one {name} from another: give its class a __repr__ that does.")
    return f"{described(type(value))} {described(own)}"


def _of_function(function: Any) -> str:
    """A fingerprint of what a function does: its code, its defaults, and what it closes over."""
    closed = [cell.cell_contents for cell in function.__closure__ or () if cell.cell_contents is not function]
    held = described([function.__defaults__, function.__kwdefaults__, closed])
    return hashlib.sha256(f"{_of_code(function.__code__)} {held}".encode()).hexdigest()[:16]


def _of_code(code: CodeType) -> str:
    constants = [
        _of_code(own)
        if isinstance(own, CodeType)
        else sorted(map(repr, own))
        if isinstance(own, frozenset)
        else repr(own)
        for own in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


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

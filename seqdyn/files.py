"""The file format: one safetensors file with its configuration as JSON in the header, and never any code.

    file    = length of the header (8 bytes) | header | tensors
    header  = {"__metadata__": {"seqdyn": text}, name of a tensor: {dtype, shape, offsets}, …}
    text    = {"format": 1, "sha256": digest of the file with the digest's 64 characters at 0, "written": {"seqdyn":
              version, "at": instant}, "content": tree}

Loading a file nobody trusts can fail, never execute: a file holds values and names, and names are looked up in a
static registry. Every later format keeps the beginning of the text, so that an old seqdyn can say what it has met.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import re
import secrets
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast, overload

import safetensors.torch
import torch
from torch import nn

from seqdyn.file_content import from_tree, kind_in_words, to_tree
from seqdyn.registry import REGISTRY, FileFormatError, register, registered

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows, where a file that is open cannot be removed
    flock = None  # type: ignore[assignment]

__all__ = [
    "FORMAT",
    "REGISTRY",
    "FileFormatError",
    "load",
    "read",
    "register",
    "registered",
    "save",
    "storable",
    "write",
    "written",
]

Path = str | os.PathLike[str]
ModelKind = TypeVar("ModelKind")

FORMAT = 1
"""The newest format this seqdyn writes and reads."""

_SEAL = re.compile(rb'"__metadata__":\{"seqdyn":"\{\\"format\\":(\d{1,9}),\\"sha256\\":\\"([0-9a-f]{64})\\"')
_BLANK = b"0" * 64
_MAX_HEADER = 100_000_000  # safetensors refuses to read more


def save(path: Path, model: Any) -> None:
    """Write an estimator or a built cell to a file; a file that is there already is replaced in one piece.

    Parameters
    ----------
    path : str or path-like
        By convention ``….safetensors``.
    model : estimator or cell

    Raises
    ------
    TypeError
        If something in it cannot be stored; the message says where it is, and the way out.

    Examples
    --------
    >>> import tempfile
    >>> from seqdyn.cells.gru import GRU
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/gru.safetensors", GRU(3, 8))
    ...     load(f"{folder}/gru.safetensors").hidden_size
    8
    """
    if not _is_model(model):
        raise TypeError(
            f"save takes an estimator or a cell, got {kind_in_words(model)}; seqdyn.files.write takes other values."
        )
    write(path, model)


@overload
def load(path: Path) -> Any: ...
@overload
def load(path: Path, kind: type[ModelKind]) -> ModelKind: ...
def load(path: Path, kind: type[Any] | None = None) -> Any:
    """Read the estimator or cell from a file, on the CPU. It runs no code of the file's.

    Parameters
    ----------
    path : str or path-like
    kind : type, optional
        The class that is expected, such as ``GRURegressor`` or ``Cell``: a model of another is refused, and type
        checkers know what is returned.

    Returns
    -------
    estimator or cell

    Raises
    ------
    FileFormatError
        If the file is damaged, foreign, newer than this seqdyn, names something that is not registered, or holds
        another kind of model.
    FileNotFoundError, IsADirectoryError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from seqdyn.cells.gru import GRU
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/cell.safetensors", GRU(2, 3))
    ...     load(f"{folder}/cell.safetensors", GRU).hidden_size
    3
    """
    model = read(path)
    if not _is_model(model):
        raise FileFormatError(f"{path} holds {kind_in_words(model)}, not a model: seqdyn.files.read returns it.")
    if kind is not None and not isinstance(model, kind):
        raise FileFormatError(f"{path} holds {kind_in_words(model)}, where {kind.__name__} was expected.")
    return model


def write(path: Path, content: Any) -> None:
    """Write a tree of values to a file.

    Parameters
    ----------
    path : str or path-like
        The file is written beside it and then takes its place: nobody ever sees half a file.
    content : tree
        None, bools, ints, floats, strings; dicts, lists and tuples; numpy arrays of numbers, times and strings, numpy
        scalars; tensors; pandas' offsets; and what is registered: states, strategies, cells, estimators, and classes as
        values.

    Raises
    ------
    TypeError
        If something in the tree cannot be stored; the message says where it is, and the way out.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/run.safetensors", {"shape": (3, 4), "loss": float("nan")})
    ...     read(f"{folder}/run.safetensors")
    {'shape': (3, 4), 'loss': nan}
    """
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise IsADirectoryError(f"{os.fspath(path)} is a folder: give the name of a file in it.")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"There is no folder {os.path.dirname(target)} to write {os.path.basename(target)} in.")
    tree, tensors = to_tree(content)
    text = {"format": FORMAT, "sha256": _BLANK.decode(), "written": _now(), "content": tree}
    header = json.dumps(text, allow_nan=False, separators=(",", ":"))
    data = bytearray(safetensors.torch.save(tensors, {"seqdyn": header}))
    if int.from_bytes(data[:8], "little") > _MAX_HEADER:
        raise ValueError(f"The configuration takes more than {_MAX_HEADER} bytes: store long lists as arrays.")
    start, stop = cast(re.Match[bytes], _SEAL.search(data)).span(2)
    data[start:stop] = _digest(data, start, stop)
    replace_file(target, data)


def storable(value: Any) -> Any:
    """A parameter of a model as files hold it: devices, paths and steps of time by their names."""
    if isinstance(value, torch.device | timedelta):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def read(path: Path) -> Any:
    """Read what :func:`write` wrote: the same values in the same types, tensors on the CPU.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    tree

    Raises
    ------
    FileFormatError
        If the file is damaged, foreign, newer than this seqdyn, or names something that is not registered.
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    """
    data = _sealed_bytes(path)
    try:
        with torch.random.fork_rng(devices=[]):  # a constructor may draw; reading may not
            return from_tree(_text(data)["content"], safetensors.torch.load(data))
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)} {error}") from error.__cause__
    except Exception as error:
        raise FileFormatError(
            f"{os.fspath(path)} holds what this seqdyn cannot rebuild: {type(error).__name__}: {error}"
        ) from error


def written(path: Path) -> dict[str, str]:
    """Who wrote a file, and when; nothing of its content is rebuilt.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    dict
        ``"seqdyn"``: the version of the library; ``"at"``: the instant, in UTC. Empty where a file does not tell.

    Raises
    ------
    FileFormatError, FileNotFoundError, IsADirectoryError
        As :func:`read`.
    """
    data = _sealed_bytes(path)
    try:
        return {str(key): str(value) for key, value in _text(data).get("written", {}).items()}
    except Exception as error:
        raise FileFormatError(
            f"{os.fspath(path)} does not say who wrote it: {type(error).__name__}: {error}"
        ) from error


def _sealed_bytes(path: Path) -> bytes:
    """The bytes of a file, if it is whole and this seqdyn knows its format."""
    with open(path, "rb") as file:
        data = file.read()
    seal = _SEAL.search(data)
    if seal is None:
        raise FileFormatError(f"{os.fspath(path)} {_explain_missing_seal(data)}")
    if _digest(data, *seal.span(2)) != seal[2]:
        raise FileFormatError(f"{os.fspath(path)} is truncated or damaged: its contents do not match its checksum.")
    if int(seal[1]) > FORMAT:
        raise FileFormatError(
            f"{os.fspath(path)} was written by a newer seqdyn (format {int(seal[1])}; this one reads up to {FORMAT}): "
            "upgrade with pip install --upgrade seqdyn."
        )
    return data


def _now() -> dict[str, str]:
    """Who writes, and when; SOURCE_DATE_EPOCH, where it is set, makes the same file twice."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(int(seconds), UTC)
    return {"seqdyn": sys.modules["seqdyn"].__version__, "at": now.isoformat(timespec="seconds")}


def _text(data: bytes) -> Any:
    """The configuration in the header."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["seqdyn"])


def _is_model(value: Any) -> bool:
    return not inspect.isclass(value) and (hasattr(value, "to_content") or isinstance(value, nn.Module))


def _digest(data: bytes | bytearray, start: int, stop: int) -> bytes:
    """The SHA-256 of the whole file, with the digest's own place at 0."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(_BLANK)
    digest.update(view[stop:])
    return digest.hexdigest().encode()


def _explain_missing_seal(data: bytes) -> str:
    """What a file without a seal is, as far as can be told without opening it."""
    if not data:
        return "is empty."
    if data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") and data[8:9] != b"{":
        return "is a pickle, which can run any code: seqdyn never opens one. Save the model with seqdyn."
    if data[:4] == b"PK\x03\x04":
        return "is a zip archive, perhaps of torch.save with a pickle inside: seqdyn never opens one."
    if data[8:9] != b"{":
        return "is not a safetensors file, or only a few bytes of one."
    if b'"seqdyn"' in data[:64]:
        return "is truncated or damaged: the beginning of its header does not read."
    return "is a safetensors file, or part of one, but not of seqdyn: its header has no 'seqdyn' metadata."


def replace_file(target: str, data: bytes | bytearray) -> None:
    """Write a file beside the target, then let it take the target's place.

    On failure the target is as it was, and nothing is left. What writers of the same target that were killed have left
    is removed; a file that a living writer holds is not touched.

    Parameters
    ----------
    target : str
        In a folder that is there; no link.
    data : bytes

    Raises
    ------
    OSError
        If the disk is full, or the folder may not be written to.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replace_file(f"{folder}/numbers", b"1 2 3")
    ...     pathlib.Path(folder, "numbers").read_bytes()
    b'1 2 3'
    """
    folder, name = os.path.split(target)
    _remove_abandoned(folder, name)
    beside, descriptor = _open_beside(folder, name)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if flock is not None:
                os.replace(beside, target)  # still locked: nobody takes it for a file that was left over
        if flock is None:
            os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _open_beside(folder: str, name: str) -> tuple[str, int]:
    """A new file beside the target, locked while it is written."""
    while True:
        path = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if flock is not None:
            flock(descriptor, LOCK_EX)
        if os.path.exists(path):
            return path, descriptor
        os.close(descriptor)  # cleared away before it was locked


def _remove_abandoned(folder: str, name: str) -> None:
    """Remove what writers of this target that were killed have left: files that nobody holds."""
    left = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp")
    for entry in filter(left.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, entry)
        with contextlib.suppress(OSError):  # somebody is writing it
            if flock is None:
                os.unlink(path)
                continue
            descriptor = os.open(path, os.O_WRONLY)
            try:
                flock(descriptor, LOCK_EX | LOCK_NB)
                os.unlink(path)
            finally:
                os.close(descriptor)

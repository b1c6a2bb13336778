"""Writing a file in one piece: nobody ever sees half of it, also where the writer is killed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows, where a file that is open cannot be removed
    flock = None  # type: ignore[assignment]


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

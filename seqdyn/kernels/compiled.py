"""Loops compiled by numba: loaded when first used, compiled once for a machine, run on torch's own threads.

numba is the extra ``fast``. Where it is missing, :func:`available` is False and nobody asks for the rest. Modules of
compiled loops are named ``…_loops``; they import numba, and are themselves imported by those who run them, not before.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

FLAGS = {"contract", "nsz", "arcp"}
"""What the compiler may do to arithmetic: fuse a product with a sum, ignore the sign of zero, divide by multiplying.
It may not assume that there is no NaN: NaN stays in its row, and goes on from there."""


@functools.cache
def available() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays when it is first called, without the interpreter's lock, and keep it on disk.

    Where no folder can be written, it is compiled once a process.
    """
    import numba

    _keep_forks_alive()
    _stopwatch()
    options: dict[str, Any] = {"nogil": True, "fastmath": FLAGS, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


@functools.cache
def _stopwatch() -> Any:
    """Measures how long numba compiles, from now on."""
    from numba.core import event

    watch = event.TimingListener()
    event.register("numba:compile", watch)
    return watch


def compile_seconds() -> float:
    """How long this process has compiled loops; 0 where they were read from disk."""
    if "numba" not in sys.modules:
        return 0.0
    watch = _stopwatch()
    return float(watch.duration) if watch.done else 0.0


@functools.cache
def _keep_forks_alive() -> None:
    """Give a forked process one thread: those of its parent are not there, and OpenMP would wait for them for ever."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class _Parts:
    """What the threads of one parallel region do: the same function on equal parts of the rows."""

    def __init__(self, run: Callable[[int, int], None], rows: int, threads: int):
        self.run, self.rows, self.threads = run, rows, threads
        self.errors: list[BaseException] = []

    def __call__(self, part: int) -> None:
        try:
            self.run(part * self.rows // self.threads, (part + 1) * self.rows // self.threads)
        except BaseException as error:  # nothing may leave through foreign frames
            self.errors.append(error)


def in_parallel(run: Callable[[int, int], None], rows: int, threads: int) -> None:
    """Call ``run(first, last)`` on equal parts of the rows, one on each thread.

    On Linux these are the threads on which torch runs its products. Threads of our own would share the cores with
    them, which wait for a while after every product without giving their core away.

    Examples
    --------
    >>> parts = []
    >>> in_parallel(lambda first, last: parts.append((first, last)), 5, 2)
    >>> sorted(parts)
    [(0, 2), (2, 5)]
    """
    if threads <= 1:
        return run(0, rows)
    parts = _Parts(run, rows, threads)
    pool = _torch_threads()
    if pool is not None:
        pool(parts)
    else:
        list(_own_threads(os.getpid(), threads).map(parts, range(threads)))
    if parts.errors:
        raise parts.errors[0]


@functools.cache
def _torch_threads() -> Callable[[_Parts], None] | None:
    """Start a parallel region of the OpenMP library that torch uses; None where torch uses no GNU OpenMP."""
    try:
        torch_cpu = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        parallel, number, team = (
            getattr(torch_cpu, name) for name in ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        )
    except (OSError, AttributeError):
        return None
    body_type = ctypes.CFUNCTYPE(None, ctypes.py_object)

    @body_type
    def body(parts: _Parts) -> None:
        for part in range(number(), parts.threads, team()):
            parts(part)

    parallel.argtypes = [body_type, ctypes.py_object, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return lambda parts: parallel(body, parts, parts.threads, 0)


@functools.cache
def _own_threads(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of our own, of one process."""
    return ThreadPoolExecutor(threads, thread_name_prefix="seqdyn")


WORK = 3 * 2**20
"""Multiplications below which a second thread costs more than it saves."""


def threads_for(rows: int, work: float) -> int:
    """How many threads share the rows: as many as torch may use, one where the work is small.

    ``work`` counts multiplications.

    Examples
    --------
    >>> threads_for(1, 1e9), threads_for(64, 10.0)
    (1, 1)
    """
    return 1 if work < WORK else max(1, min(torch.get_num_threads(), rows))

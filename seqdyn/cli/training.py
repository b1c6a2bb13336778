"""What every command shares that trains a model, keeps it in a file, or reads it from one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def budget(epochs: int | None, minutes: float | None) -> dict[str, Any]:
    """How long to train, as parameters of a model."""
    return {"max_epochs": epochs, "max_time": None if minutes is None else 60 * minutes}


def count_held_out(share: float, count: int) -> int:
    """How many of the last examples are kept for the score; one at least is left to learn from."""
    return min(round(share * count), count - 1)


def check_folder(path: Path) -> None:
    """Raise before anything is computed, if a file cannot be written in the end."""
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.absolute().parent} to write {path.name} in: make it first.")


def check_device(device: str) -> None:
    """Raise if there is no such device here."""
    import torch

    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise ValueError(f"--device must be auto, cpu or cuda, got {device!r}.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: torch finds no GPU here. Use --device auto or cpu.")


def run_training(train: Callable[[], Any]) -> tuple[bool, float]:
    """Train; returns whether Ctrl-C cut it short, and how many seconds it took."""
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        train()
    for warning in caught:
        warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
    return any("interrupted" in str(warning.message) for warning in caught), time.monotonic() - began


def recurrent_regressor(cell: str, **settings: Any) -> Any:
    """An estimator around a recurrent cell: lstm, gru or elman."""
    from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor, LSTMRegressor

    return {"lstm": LSTMRegressor, "gru": GRURegressor, "elman": ElmanRegressor}[cell](**settings)


def load_kind(path: Path, kind: type[Kind] | tuple[type[Kind], ...], words: str, writer: str) -> Kind:
    """A fitted model of a class, or of one of several, from a file; errors call it ``words``, written by ``writer``."""
    from seqdyn.files import load

    model = load(path)
    if not isinstance(model, kind):
        raise TypeError(f"{path} holds a {type(model).__name__}, not a {words}: {writer} writes one.")
    return model


@contextmanager
def one_thread() -> Iterator[None]:
    """Small networks and matrices gain little by more threads, and lose much where the threads wait for a core."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

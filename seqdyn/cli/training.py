"""What every command shares that trains a model, keeps it in a file, or reads it from one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

Kind = TypeVar("Kind")

ModelFile = Annotated[Path, typer.Option(help="The model file to write, *.safetensors.")]
Minutes = Annotated[float | None, typer.Option(help="How long to train at most.")]
Seed = Annotated[int, typer.Option(help="Of all randomness; the same seed gives the same model.")]
DeviceName = Annotated[str, typer.Option(help="Where to train: auto, cpu or cuda.")]
TestFraction = Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the data, its end, kept for the score.")]
Verbosity = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Show a progress bar; -vv: more of them, in more detail.",
    ),
]


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


def run_training(train: Callable[[], Any]) -> bool:
    """Train; returns whether Ctrl-C cut it short."""
    with warnings.catch_warnings(record=True) as caught:
        train()
    for warning in caught:
        warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
    return any("interrupted" in str(warning.message) for warning in caught)


def load_kind(path: Path, kind: type[Kind] | tuple[type[Kind], ...], words: str, writer: str) -> Kind:
    """A fitted model of one class, or one of several, from a file.

    Parameters
    ----------
    path : Path
    kind : type, or tuple of them
    words : str
        What it is called.
    writer : str
        The command that writes one.
    """
    from seqdyn.files import load

    model = load(path)
    if not isinstance(model, kind):
        raise TypeError(f"{path} holds a {type(model).__name__}, not a {words}: {writer} writes one.")
    return model

"""Convert torch's tensors to NumPy's arrays: of any device and precision, packed and nested ones, too.

| given                    | read as                                          |
|--------------------------|--------------------------------------------------|
| tensor                   | an array, on the CPU; half precision as float64  |
| ``PackedSequence``       | a list of arrays (time, …), in the order before packing |
| nested tensor            | a list of arrays                                 |
| list of tensors          | a list of arrays                                 |
| anything else            | as it is                                         |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


class Laid(NamedTuple):
    """X and y as every reader takes them, series first; ``layout`` says how X was laid out, empty where it was so."""

    X: Any
    y: Any
    layout: str


def series_first(X: Any, y: Any = None, time_first: bool = False) -> Laid:
    """Read what torch's networks take as sequences and their targets: (series, time, …).

    Parameters
    ----------
    X : Tensor, array, PackedSequence, list of these, or anything else
        Sequences.
    y : the same, optional
        Targets; beside a packed X they may be padded.
    time_first : bool
        Whether three axes are (time, series, inputs), as a torch network with ``batch_first=False`` takes them. Two
        axes are one sequence (time, inputs), and a list holds such, either way.

    Raises
    ------
    ValueError
        If X is made of something else than real numbers, y is not laid out as X, or a tensor holds no numbers.

    Examples
    --------
    >>> X, y, layout = series_first(torch.zeros(50, 4, 3), torch.zeros(50, 4), time_first=True)
    >>> X.shape, y.shape
    ((4, 50, 3), (4, 50))
    >>> layout
    'X was read as (time, series, inputs), 50 steps of 4 series, as batch_first=False says'
    """
    packed = isinstance(X, PackedSequence)
    X, y = _as_numpy(X, "X"), _as_numpy(y, "y")
    _check_numbers(X, "X")
    if packed and isinstance(y, np.ndarray):
        return Laid(X, _without_padding(y, [len(part) for part in X], time_first), "")
    if not time_first or not isinstance(X, np.ndarray) or X.ndim != 3:
        return Laid(X, y, "")
    if isinstance(y, np.ndarray):
        y = _turned(y, X)
    layout = f"X was read as (time, series, inputs), {len(X)} steps of {X.shape[1]} series, as batch_first=False says"
    return Laid(X.swapaxes(0, 1), y, layout)


def _as_numpy(values: Any, name: str) -> Any:
    """Without torch, and any other library's array as NumPy's; tables with labels as they are."""
    values = without_torch(values, name)
    labelled = any(hasattr(values, own) for own in ("columns", "dims", "index"))
    return np.asarray(values) if hasattr(values, "__array__") and not labelled else values


def _check_numbers(values: Any, name: str) -> None:
    """Raise if something that is no table with labels holds no real numbers."""
    many = type(values) in (list, tuple) or (isinstance(values, np.ndarray) and values.dtype == object)
    if values is None or hasattr(values, "columns") or hasattr(values, "dims"):
        return
    if many and np.ndim(values[0] if len(values) else 0):
        for number, part in enumerate(values):
            _check_numbers(part, f"{name}[{number}]")
        return
    found = np.asarray(values)
    if not found.ndim or found.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} is of type {type(values).__name__}, of shape {found.shape} and {found.dtype}; expected real "
            "numbers, (series, time, inputs) or (time, inputs): a tensor, array, list of such, frame or xarray."
        )


def _turned(y: Any, X: Any) -> Any:
    """Targets (time, series, …) as (series, time, …)."""
    steps, series = X.shape[:2]
    if steps > 1 and y.ndim < 3 and len(y) == series != steps and y.shape[1:] != (steps,):
        raise ValueError(one_a_series(y.shape, series, steps, time_first=True))
    if y.shape[:2] != X.shape[:2]:
        raise ValueError(
            f"y has shape {y.shape}, expected {X.shape[:2]} or {(*X.shape[:2], 'outputs')} beside X of shape "
            f"{X.shape}: with batch_first=False both are (time, series, …)."
        )
    return y.swapaxes(0, 1)


def one_a_series(shape: tuple[int, ...], series: int, steps: int, time_first: bool = False) -> str:
    """What to say of one target a series where one a step is expected.

    Examples
    --------
    >>> print(one_a_series((8,), 8, 120).partition(": ")[2])
    steps = numpy.full((8, 120), numpy.nan); steps[:, -1] = y.
    """
    wanted, last = ((steps, series), "-1") if time_first else ((series, steps), ":, -1")
    return (
        f"y has shape {shape}, one target a series, expected {wanted} or ({wanted[0]}, {wanted[1]}, outputs). For an "
        "error at the last step alone let the other targets be missing: "
        f"steps = numpy.full({(*wanted, *shape[1:])}, numpy.nan); steps[{last}] = y."
    )


def _without_padding(y: Any, lengths: list[int], time_first: bool) -> list[Any]:
    """Padded targets as a list of sequences, each as long as its inputs."""
    wanted = (max(lengths), len(lengths)) if time_first else (len(lengths), max(lengths))
    if y.shape[:2] != wanted:
        raise ValueError(
            f"y has shape {y.shape}, expected {wanted} or {(*wanted, 'outputs')} beside {len(lengths)} packed "
            f"sequences of up to {max(lengths)} steps; a packed y or a list of sequences will do as well."
        )
    rows = y.swapaxes(0, 1) if time_first else y
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def without_torch(values: Any, name: str = "X") -> Any:
    """Read torch's containers as NumPy's.

    Raises
    ------
    ValueError
        If a tensor holds no numbers, because it is on the device ``"meta"``.

    Examples
    --------
    >>> rows = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])
    >>> [part.shape for part in without_torch(rows)]
    [(3, 2), (2, 2)]
    >>> without_torch(torch.ones(2, dtype=torch.bfloat16)).dtype
    dtype('float64')
    """
    if isinstance(values, PackedSequence):
        padded, lengths = pad_packed_sequence(values, batch_first=True)
        return [_tensor_as_array(row[:length], name) for row, length in zip(padded, lengths.tolist(), strict=True)]
    if isinstance(values, Tensor):
        return _tensor_as_array(values, name)
    if type(values) in (list, tuple) and any(isinstance(part, Tensor) for part in values):
        return [without_torch(part, f"{name}[{number}]") for number, part in enumerate(values)]
    return values


def _tensor_as_array(values: Tensor, name: str) -> Any:
    if values.is_meta:
        raise ValueError(
            f"{name} is a tensor of shape {tuple(values.shape)} on the device 'meta', which holds no numbers: give "
            "tensors that were computed, on the CPU or a GPU."
        )
    if values.is_nested:
        return [_tensor_as_array(part, f"{name}[{number}]") for number, part in enumerate(values.unbind())]
    dense = values.detach().to_dense() if values.layout != torch.strided else values.detach()
    if dense.is_floating_point() and dense.dtype not in (torch.float32, torch.float64):
        dense = dense.double()
    return dense.cpu().resolve_conj().resolve_neg().numpy()

"""Convert cells to torch's own modules, which compute the same numbers without seqdyn.

y_t = head(recurrent(encoder(x)))_t
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Embedding, Identity, Readout, Stack
from seqdyn.initial_state import Started
from seqdyn.row_modules import Encoded, Headed
from seqdyn.torch_modules import bare_copy, copy_sum, layers_of

ACTIVATION_MODULES: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(-1),
}
"""torch's modules for the activations of a readout."""


class TorchParts(NamedTuple):
    """A network in torch's own modules: y_t = head(recurrent(encoder(x)))_t.

    Attributes
    ----------
    recurrent : nn.RNN, nn.LSTM or nn.GRU
        With ``batch_first=True``.
    head : nn.Module or None
        What reads its outputs; an nn.Linear for a plain readout.
    encoder : nn.Module or None
        What its inputs pass through first.
    """

    recurrent: nn.Module
    head: nn.Module | None
    encoder: nn.Module | None


def to_torch(cell: Cell) -> TorchParts:
    """Convert a cell to the torch modules that compute the same. This is the inverse of :func:`seqdyn.from_torch`.

    Parameters
    ----------
    cell : Cell
        An Elman, LSTM or GRU cell, or a Stack of equal ones; it may be read by a Readout, an affine output of its own,
        or a Headed, and take its inputs through an Embedding or an Encoded. It stays as it is.

    Returns
    -------
    TorchParts
        ``(recurrent, head, encoder)``, head and encoder None where there is none. Weights are copied; dtype, device,
        ``requires_grad`` and training mode are the cell's. b_ih is the bias of the cell and b_hh is 0, but for the
        GRU's b_hn; where all biases are zeros that are not trained, the module has ``bias=False``.

    Raises
    ------
    TypeError
        If cell is no Cell.
    ValueError
        If torch has no module for it; the message says for what.

    Notes
    -----
    Dropout is left out, as in :func:`seqdyn.from_torch`: torch's is drawn anew at every step, a cell's once a sequence.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> cell, x = Readout(GRU(3, 8), 1), torch.ones(4, 10, 3)
    >>> gru, head, _ = to_torch(cell)
    >>> torch.allclose(head(gru(x)[0]), scan(cell, x).output, atol=1e-6)
    True
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"to_torch takes a Cell, got {type(cell).__name__}.")
    steps = _layers_in_order(cell)
    places = [place for place, part in enumerate(steps) if isinstance(part, Cell)]
    if not places:
        raise ValueError(f"{type(cell).__name__} holds no recurrence, of which torch has a module.")
    first, last = places[0], places[-1]
    recurrent = _module_of(steps[first : last + 1])
    parts = TorchParts(recurrent, _sequential(steps[last + 1 :]), _sequential(steps[:first]))
    for part in filter(None, parts):
        part.train(cell.training)
    return parts


def _layers_in_order(cell: Any) -> list[Any]:
    """What happens in one step, one thing after the other: recurrences, and modules that work row by row."""
    kind = type(cell)
    if kind is Stack:
        return [part for layer in cell.layers for part in _layers_in_order(layer)]
    if kind is Identity:
        return []
    if kind is Readout and not cell.skip:
        return [*_layers_in_order(cell.cell), *_affine(cell.affine, cell.activation)]
    if kind is Headed:
        return [*_layers_in_order(cell.cell), bare_copy("The head", cell.head)]
    if kind is Embedding and cell.tied is None:
        return [_embedding(cell), *_layers_in_order(cell.cell)]
    if kind is Encoded:
        return [bare_copy("The encoder", cell.encoder), *_layers_in_order(cell.cell)]
    if kind is Elman:
        return [cell, *(_affine(cell.affine, cell.output_activation) if cell.affine is not None else ())]
    if kind in (LSTM, GRU):
        return [cell]
    raise ValueError(
        f"torch has no module for {kind.__name__}{_because(cell)}. to_torch takes Elman, LSTM and GRU cells, alone or "
        "in a Stack, with Readout, Headed, Embedding and Encoded around them."
    )


def _because(cell: Any) -> str:
    """What stands in the way of a cell that torch could nearly have."""
    if type(cell) is Readout:
        return " with skip=True: its head reads the input, too"
    if type(cell) is Embedding:
        return " with tied symbols: its head and its encoder are one matrix"
    if type(cell) is Started:
        return ", a cell with a start of its own, but a module starts from zeros: convert its cell, and give h as hx"
    return ""


def _sequential(modules: list[nn.Module]) -> nn.Module | None:
    """Modules one after the other."""
    return (modules[0] if len(modules) == 1 else nn.Sequential(*modules)) if modules else None


def _module_of(layers: list[Any]) -> nn.Module:
    """The recurrent module of cells on top of each other."""
    first = layers[0]
    _check_layers(layers)
    kind = {Elman: nn.RNN, LSTM: nn.LSTM, GRU: nn.GRU}[type(first)]
    options: dict[str, Any] = {"nonlinearity": first.activation} if kind is nn.RNN else {}
    options["bias"] = any(bool(bias.any()) or bias.requires_grad for layer in layers for bias in _biases(layer))
    like = first.recurrent_weight
    options |= {"batch_first": True, "dtype": like.dtype, "device": "meta"}  # where nothing is drawn
    module = kind(first.input_size, first.hidden_size, len(layers), **options).to_empty(device=like.device)
    for layer, cell in zip(layers_of(module), layers, strict=True):
        copy_sum(getattr(module, layer.input_weight), [cell.input_weight])
        copy_sum(getattr(module, layer.recurrent_weight), [cell.recurrent_weight])
        for name, source in zip(layer.biases, _torch_biases(cell), strict=False):
            copy_sum(getattr(module, name), [source])
    return module


def _check_layers(layers: list[Any]) -> None:
    """Raise unless torch has one module for all of these layers."""
    first = layers[0]
    for layer in layers:
        if not isinstance(layer, Cell):
            raise ValueError(
                f"There is a {type(layer).__name__} between two layers; in torch's modules the outputs of a layer are "
                "the inputs of the next. Convert the layers one by one."
            )
        if type(layer) is not type(first) or layer.hidden_size != first.hidden_size:
            forms = ", ".join(f"{type(cell).__name__} of {cell.hidden_size}" for cell in layers)
            raise ValueError(
                f"The layers are {forms}; those of torch's modules are of one kind and width. Convert them one by one."
            )
        _check_cell(layer)
    if type(first) is Elman and len({layer.activation for layer in layers}) > 1:
        raise ValueError("The layers have several activations; those of an nn.RNN have one. Convert them one by one.")


def _check_cell(cell: Any) -> None:
    """Raise if a cell is of a form that torch does not have."""
    if type(cell) is GRU and cell.reset_gate != "after":
        raise ValueError(
            f"torch has no module for a GRU with reset_gate={cell.reset_gate!r}: nn.GRU resets after the product with "
            "U_n, n = tanh(W_n x + b_n + r ∘ (U_n h + b_hn)). Train one with reset_gate='after'."
        )
    if type(cell) is LSTM and cell.peepholes:
        raise ValueError("torch has no module for an LSTM with peepholes=True: the gates of nn.LSTM do not see c.")
    if type(cell) is Elman and cell.activation not in ("tanh", "relu"):
        raise ValueError(
            f"torch has no module for an Elman cell with activation={cell.activation!r}: nn.RNN has tanh or relu."
        )


def _biases(cell: Any) -> list[Tensor]:
    """b, and the GRU's b_hn."""
    return [bias for bias in (cell.bias, getattr(cell, "recurrent_bias", None)) if bias is not None]


def _torch_biases(cell: Any) -> tuple[Tensor, Tensor]:
    """b_ih and b_hh of a cell: its bias and 0, but for the GRU's b_hn."""
    bias, *inner = _biases(cell)
    if inner:
        return bias, nn.functional.pad(inner[0], (2 * cell.hidden_size, 0))
    return bias, torch.zeros_like(bias, requires_grad=bias.requires_grad)


def _affine(affine: Affine, activation: str) -> list[nn.Module]:
    """A readout as torch's modules."""
    size, given = affine.weight.shape
    bias = bool(affine.bias.any()) or affine.bias.requires_grad
    linear = nn.utils.skip_init(nn.Linear, given, size, bias=bias, dtype=affine.weight.dtype)
    linear = linear.to(affine.weight.device)
    copy_sum(linear.weight, [affine.weight])
    if bias:
        copy_sum(linear.bias, [affine.bias])
    return [linear, *(ACTIVATION_MODULES[activation]() for _ in range(activation != "identity"))]


def _embedding(cell: Embedding) -> nn.Module:
    embedding = nn.utils.skip_init(nn.Embedding, *cell.weight.shape, dtype=cell.weight.dtype).to(cell.weight.device)
    copy_sum(embedding.weight, [cell.weight])
    return embedding

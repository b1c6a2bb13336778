"""torch modules around a cell that work row by row: an encoder before it, a head behind it.

o_t, h_t = f(encoder(x_t), h_{t-1}),   y_t = head(o_t)
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell, apart, noisy
from seqdyn.checks import is_int
from seqdyn.torch_modules import bare_copy, check_values, unwrapped
from seqdyn.wrapper import Wrapper


class Headed(Wrapper):
    """A cell read through any torch module: y_t = head(o_t), with o_t the inner cell's output.

    Parameters
    ----------
    cell : Cell
        Gives o_t (batch, outputs).
    head : nn.Module
        From o_t to y_t, (batch, ·) both, row by row. A copy of it is kept.

    Raises
    ------
    TypeError
        If the head is no module.
    ValueError
        If the head cannot read o_t, mixes the rows of a batch, or draws random numbers.

    Notes
    -----
    A step is pure, so the head always runs as in inference: its dropout drops nothing, its batch norm uses the
    averages it has. Its weights can be trained. A file holds no code: for a head other than nn.Linear, for which
    :class:`~seqdyn.composition.Readout` stands, that is to be saved, write a cell of your own.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> Headed(GRU(3, 8), nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))).output_size
    2
    """

    def __init__(self, cell: Cell, head: nn.Module):
        head = own_module("head", head)
        super().__init__(cell, head_width(cell, head))
        self.head = head

    def train(self, mode: bool = True) -> Headed:
        """Set the mode of the cell; the head stays in evaluation mode."""
        super().train(mode)
        self.head.eval()
        return self

    def read(self, output: Tensor, x: Any) -> Tensor:
        rows: Tensor = self.head(output.flatten(0, -2))
        return rows.unflatten(0, output.shape[:-1])

    def constructor_arguments(self) -> dict[str, Any]:
        raise TypeError(no_code("head", self.head, "use an nn.Linear as the head, or"))


class Encoded(Wrapper):
    """A cell whose inputs pass through a torch module first: y_t, h_t = f(encoder(x_t), h_{t-1}).

    Parameters
    ----------
    cell : Cell
        Takes rows of numbers, as wide as the encoder's outputs.
    encoder : nn.Module
        From x_t (batch, *inputs) to (batch, ·), row by row. A copy of it is kept.
    input_size : int or tuple of int, optional
        The width of x_t, or its shape without the batch; ``()`` for tokens, whole numbers. None: that of the first
        layer, if this tells it (nn.Linear, nn.Embedding, nn.LayerNorm, nn.BatchNorm1d).

    Raises
    ------
    TypeError
        If the encoder is no module.
    ValueError
        If its inputs are not known, what it gives does not fit the cell, it mixes the rows of a batch, or it draws
        random numbers.

    Notes
    -----
    As :class:`Headed` does, it runs the module as in inference, and is not saved to files.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.loops import scan
    >>> cell = Encoded(GRU(8, 16), nn.Sequential(nn.Linear(3, 8), nn.ReLU()))
    >>> cell.input_size, scan(cell, torch.zeros(1, 5, 3)).output.shape
    (3, torch.Size([1, 5, 16]))
    """

    def __init__(self, cell: Cell, encoder: nn.Module, input_size: int | tuple[int, ...] | None = None):
        encoder = own_module("encoder", encoder)
        super().__init__(cell)
        self.input_shape = _input_shape(encoder, input_size)
        self.input_size = prod(self.input_shape) if self.input_shape else _symbols(encoder)
        _check_encoder(cell, encoder, self.input_shape, self.input_size)
        self.encoder = encoder

    def train(self, mode: bool = True) -> Encoded:
        """Set the mode of the cell; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def see(self, x: Any) -> Any:
        value, noise = apart(x)
        before = value.dim() - len(self.input_shape or ())  # the axes of batch and time
        try:
            rows = self.encoder(value.flatten(0, before - 1))
        except IndexError as error:
            if self.input_shape:
                raise
            raise ValueError(
                f"The tokens lie between {int(value.min())} and {int(value.max())}, but the encoder knows "
                f"{self.input_size} of them, from 0 to {self.input_size - 1}."
            ) from error
        return noisy(rows.unflatten(0, value.shape[:before]), noise)

    def inner_output(self, x: Any, before: Any, output: Any) -> Any:
        return output

    def constructor_arguments(self) -> dict[str, Any]:
        raise TypeError(no_code("encoder", self.encoder, ""))


class Widths(NamedTuple):
    """The shapes of the rows that a module takes and returns, where its layers tell.

    Attributes
    ----------
    inputs : tuple of int or None
        The shape of a row that it takes: ``(width,)``, or ``()`` for tokens.
    outputs : tuple of int or None
        The shape of a row that it gives.
    """

    inputs: tuple[int, ...] | None
    outputs: tuple[int, ...] | None


def layer_widths(module: nn.Module) -> Widths:
    """Return the shapes of rows that the first layer with weights takes and the last one returns.

    Examples
    --------
    >>> layer_widths(nn.Sequential(nn.Embedding(65, 8), nn.Tanh(), nn.Linear(8, 4)))
    Widths(inputs=(), outputs=(4,))
    """
    found = list(_layer_widths(module))
    return Widths(found[0].inputs, found[-1].outputs) if found else Widths(None, None)


def _layer_widths(module: nn.Module) -> Iterator[Widths]:
    """Those of every layer that has weights of its own."""
    for layer in module.modules():
        if isinstance(layer, nn.Embedding):
            yield Widths((), (layer.embedding_dim,))
        elif isinstance(layer, nn.Linear):
            yield Widths((layer.in_features,), (layer.out_features,))
        elif isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1:
            yield Widths(tuple(layer.normalized_shape), tuple(layer.normalized_shape))
        elif isinstance(layer, nn.BatchNorm1d):
            yield Widths((layer.num_features,), (layer.num_features,))
        elif any(True for _ in layer.parameters(recurse=False)):
            yield Widths(None, None)


def own_module(name: str, module: Any) -> nn.Module:
    """Return a copy of a head or an encoder without wrappers, in evaluation mode."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name} must be an nn.Module or None, got {type(module).__name__}: make a module of it.")
    check_values(f"The {name}", unwrapped(module))
    return bare_copy(f"The {name}", module).eval()


def head_width(cell: Cell, head: nn.Module) -> int:
    """The width of what a head gives, after a trial on two rows."""
    rows = torch.linspace(-1, 1, 2 * cell.output_size).view(2, -1).to(cell.zeros(1))
    return _width_after_trial("head", head, rows, "h_t", rows.dtype)


def no_code(name: str, module: Any, way: str) -> str:
    """Explain why a cell that holds a torch module or a function cannot be saved."""
    kind = type(module).__name__
    return (
        f"The {name} is of the class {kind}, and a file holds no code: {way + ' ' if way else ''}write the whole as a "
        "Cell of your own and decorate it with @seqdyn.register."
    )


def as_shape(input_size: Any) -> tuple[int, ...] | None:
    """The shape of a row from its width or its shape; None if it is neither.

    Examples
    --------
    >>> as_shape(3), as_shape((1, 8, 8)), as_shape(()), as_shape("wide")
    ((3,), (1, 8, 8), (), None)
    """
    if is_int(input_size) and input_size >= 0:
        return (int(input_size),)
    if isinstance(input_size, tuple | list) and all(is_int(extent) and extent > 0 for extent in input_size):
        return tuple(map(int, input_size))
    return None


def _input_shape(encoder: nn.Module, input_size: Any) -> tuple[int, ...]:
    """The shape of x_t: the one that is given, or that the first layer tells."""
    if input_size is not None:
        given = as_shape(input_size)
        if given is None:
            raise ValueError(f"input_size must be a width, a shape without the batch, or None, got {input_size!r}.")
        return given
    shape = layer_widths(encoder).inputs
    if shape is None:
        raise ValueError(
            f"What the encoder ({type(encoder).__name__}) takes cannot be told from its first layer: give input_size, "
            "the width of x_t or its shape without the batch, () for tokens."
        )
    return shape


def _symbols(encoder: nn.Module) -> int:
    """How many tokens the first embedding knows."""
    return next((part.num_embeddings for part in encoder.modules() if isinstance(part, nn.Embedding)), 1)


def _check_encoder(cell: Cell, encoder: nn.Module, shape: tuple[int, ...], size: int) -> None:
    """Raise unless what the encoder gives fits the cell."""
    if shape:
        rows = torch.linspace(-1, 1, 2 * prod(shape)).view(2, *shape).to(cell.zeros(1))
    else:
        rows = torch.arange(2, device=cell.zeros(1).device) % size
    width = _width_after_trial("encoder", encoder, rows, "x_t", cell.zeros(1).dtype)
    if cell.input_shape != (width,):
        raise ValueError(
            f"The encoder ({type(encoder).__name__}) gives rows of {width}, but the recurrence takes rows of "
            f"{cell.input_size}: give the module whose outputs the recurrence reads."
        )


def _width_after_trial(name: str, module: nn.Module, rows: Tensor, symbol: str, dtype: torch.dtype) -> int:
    """The width of what a module gives, after a trial on two rows, together and alone."""
    what = f"The {name} ({type(module).__name__})"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            both, alone = module(rows), module(rows[:1])
    except Exception as error:
        told = _why_not(module, rows)
        raise ValueError(
            f"{what} does not take {symbol}, a row {tuple(rows[0].shape)} of {rows.dtype} on {rows.device} for every "
            f"sequence: {told or error}"
        ) from error
    if not isinstance(both, Tensor) or both.dim() != 2 or len(both) != 2:
        got = f"shape {tuple(both.shape)}" if isinstance(both, Tensor) else type(both).__name__
        raise ValueError(f"{what} gives {got} of two rows {symbol}, expected (2, outputs).")
    if both.dtype != dtype:
        raise ValueError(f"{what} gives {both.dtype}, but the recurrence is of {dtype}: give module.to({dtype}).")
    near = torch.finfo(dtype).eps ** 0.5
    if not torch.allclose(both[:1], alone, rtol=near, atol=near, equal_nan=True):
        raise ValueError(
            f"{what} gives a row another value when it stands alone: it mixes the sequences of a batch or draws random "
            "numbers, and a step must do neither."
        )
    return both.shape[1]


def _why_not(module: nn.Module, rows: Tensor) -> str:
    """The likely reason why a module does not take rows, in words; empty where none is seen."""
    expected = layer_widths(module).inputs
    if expected is not None and expected != tuple(rows.shape[1:]):
        return f"it takes rows of the shape {expected}."
    for name, parameter in module.named_parameters():
        if rows.is_floating_point() and parameter.is_floating_point() and parameter.dtype != rows.dtype:
            return f"its {name} is of {parameter.dtype}; give module.to({rows.dtype})."
        if parameter.device != rows.device:
            return f"its {name} is on {parameter.device}; give module.to({str(rows.device)!r})."
    return ""

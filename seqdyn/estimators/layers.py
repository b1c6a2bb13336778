"""Networks of layers: which cell, how many, how wide, in which directions."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.cell import Cell
from seqdyn.cells.gru import GRU
from seqdyn.checks import is_number
from seqdyn.composition import Readout, Residual, Stack
from seqdyn.encoder import Encoder
from seqdyn.estimators.linear_start import start_linear, start_recurrence
from seqdyn.initial_state import Given, InitialState
from seqdyn.training.batches import Rows
from seqdyn.training.forward import Annotator
from seqdyn.training.heads import Head

CellFactory = Callable[..., Cell]


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Layers of one kind of cell, and an affine readout on top: what a network is made of.

    Parameters
    ----------
    cell : callable or Cell
        A class (or function) called as ``cell(input_size, hidden_size)`` for every layer, such as ``GRU`` or a user's
        own; or one built cell, which is copied and used as the only layer.
    options : mapping of str to value
        What the class is called with, beside.
    hidden_size : int or tuple of int
        Width of the memory; a tuple gives one a layer.
    num_layers : int
        Layers of ``hidden_size``, when that is an int.
    residual : bool
        Add each layer's input to its output where the widths agree.
    bidirectional : {False, True, "first"}
        False: causal. True: every layer reads both directions. ``"first"``: only the first, as in Google's
        translation network.
    dropout : float in [0, 1)
        Share of every layer's outputs dropped in training, one mask a sequence (or chunk), held in time.
    skip : bool
        Let the readout see the inputs, too: a linear model beside the recurrent one. A number as ``linear_start``
        brings it along.
    linear_start : float, LinearStateSpaceRegressor or None
        Where the training begins, in regressors. A number: the linear model of ``skip`` alone, solved for with this
        ridge penalty. A linear model: a clone is fitted on the training part, and the recurrence begins as that system
        (one Elman, GRU or LSTM layer of at least order + outputs units; small learning rates, 1e-3 to 3e-3, keep what
        it gives).
    """

    cell: Any = GRU
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden_size: Any = 32
    num_layers: int = 1
    residual: bool = False
    bidirectional: Any = False
    dropout: float = 0.0
    skip: bool = False
    linear_start: Any = None

    def network(
        self, inputs: int, outputs: int, strategy: InitialState, per_step: bool, generator: torch.Generator
    ) -> nn.Module:
        """An untrained network of these widths; it answers at every step (``per_step``), or at the end of a series."""
        if self.bidirectional:
            return self._encoder(inputs, outputs, strategy, per_step, generator)
        layers = []
        width = inputs
        for hidden in self._widths:
            layer = self._layer(width, hidden, generator)
            layers.append(Residual(layer) if self.residual and layer.output_size == width else layer)
            width = layer.output_size
        alone = len(layers) == 1 and not self.dropout
        stack = layers[0] if alone else Stack(layers, self.dropout)
        skip = self.skip or is_number(self.linear_start)
        return strategy(Readout(stack, outputs, generator=generator, skip=skip))

    def start(self, network: nn.Module, rows: Rows, own_past: Autoregression | None, head: Head) -> None:
        """Begin at a linear model of the rows the network will be trained on, where one is asked for."""
        if self.linear_start is None:
            return
        if hasattr(self.linear_start, "get_params"):
            start_recurrence(cast(Cell, network), rows, self.linear_start, head)
        else:
            start_linear(cast(Cell, network), rows, self.linear_start, own_past, head)

    def _encoder(
        self, inputs: int, outputs: int, strategy: InitialState, per_step: bool, generator: torch.Generator
    ) -> Annotator:
        if isinstance(strategy, Given):
            raise ValueError(
                "initial_state=State needs a causal model; with bidirectional use 'zero', 'random' or 'learned'."
            )

        def layer(width: int, hidden: int) -> Cell:
            return strategy(self._layer(width, hidden, generator))

        layers, _ = directed(layer, inputs, self._widths, self.bidirectional)
        return Annotator(Encoder(layers, self.residual, self.dropout, outputs, generator), per_step)

    def _layer(self, inputs: int, hidden: int, generator: torch.Generator) -> Cell:
        """One layer: a cell of these widths."""
        return layer_of(self.cell, inputs, hidden, generator, self.options)

    @property
    def _widths(self) -> tuple[int, ...]:
        return widths_of(self.hidden_size, self.num_layers, self.cell)


def directed(
    layer: Callable[[int, int], Cell], inputs: int, widths: Sequence[int], bidirectional: bool | str
) -> tuple[list[Cell | tuple[Cell, Cell]], int]:
    """Layers in one direction or two, for an :class:`~seqdyn.encoder.Encoder`, and the width of the last.

    ``layer(inputs, hidden)`` makes a cell.

    Examples
    --------
    >>> layers, width = directed(GRU, 3, (4, 5), "first")
    >>> len(layers[0]), layers[1].input_size, width
    (2, 8, 5)
    """
    found: list[Cell | tuple[Cell, Cell]] = []
    for index, hidden in enumerate(widths):
        both = bidirectional is True or (bidirectional == "first" and index == 0)
        cells = [layer(inputs, hidden) for _ in range(2 if both else 1)]
        found.append((cells[0], cells[1]) if both else cells[0])
        inputs = sum(cell.output_size for cell in cells)
    return found, inputs


def widths_of(hidden_size: Any, num_layers: int, cell: Any = None) -> tuple[int, ...]:
    """The width of every layer; of a built cell, its own."""
    if isinstance(cell, Cell):
        return (cell.hidden_size,)
    return tuple(hidden_size) if isinstance(hidden_size, tuple | list) else (hidden_size,) * num_layers


def layer_of(
    cell: Any, inputs: int, hidden: int, generator: torch.Generator, options: Mapping[str, Any] = MappingProxyType({})
) -> Cell:
    """A layer of these widths: a class or function called with them, ``options``, and the generator if it takes one.

    A built cell is copied. It is a ValueError if it is neither, or has other widths.
    """
    if isinstance(cell, Cell):
        return checked_cell(copy.deepcopy(cell), inputs)
    if not callable(cell):
        raise ValueError(f"cell must be a Cell, or a class called as cell(input_size, hidden_size), got {cell!r}.")
    names = list(inspect.signature(cell).parameters)
    own_class = inspect.isclass(cell) and issubclass(cell, Cell)
    if own_class and not any(name.startswith("hidden") for name in names):
        raise ValueError(
            f"{cell.__name__} takes no hidden_size, but {names}: give a function of both widths, such as "
            f"cell=lambda inputs, hidden: {cell.__name__}(inputs), or a built cell."
        )
    own = {"generator": generator} if "generator" in names else {}
    return checked_cell(cell(inputs, hidden, **options, **own), inputs)


def checked_cell(cell: Cell, inputs: int) -> Cell:
    """A user's cell, if it takes these inputs."""
    if not isinstance(cell, Cell):
        raise TypeError(f"cell(input_size, hidden_size) must make a seqdyn Cell, got {type(cell).__name__}.")
    if cell.input_size != inputs:
        raise ValueError(
            f"{type(cell).__name__} has input_size={cell.input_size}, but what comes to it has {inputs} features."
        )
    return cell

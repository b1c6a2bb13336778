"""Where the weights and biases of a recurrence are, in a cell of ours and in a module of torch's alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.torch_modules import RECURRENT, check_values, layers_of

CELL_PARAMETERS: dict[type[Cell], tuple[str, tuple[str, ...]]] = {
    Elman: ("recurrent_weight", ("bias",)),
    GRU: ("recurrent_weight", ("bias",)),
    LSTM: ("recurrent_weight", ("bias",)),
    Linear: ("transition", ()),
    MinGRU: ("", ("bias",)),
    MinLSTM: ("", ("bias",)),
}
"""Which parameter takes h_{t-1} to the next state ("": none does), and which are added to it."""
TORCH_CELLS: dict[type[nn.Module], type[Cell]] = {
    nn.RNN: Elman,
    nn.RNNCell: Elman,
    nn.GRU: GRU,
    nn.GRUCell: GRU,
    nn.LSTM: LSTM,
    nn.LSTMCell: LSTM,
}
"""The cell that each of torch's recurrences is."""


class Recurrence(NamedTuple):
    """One recurrence: h_t = f(U h_{t-1} + Σ b), with the blocks of its gates below each other in U and in every b.

    Attributes
    ----------
    kind : type of Cell
        Elman, GRU, LSTM, Linear, MinGRU or MinLSTM; any other cell has no names.
    owner : nn.Module
        What holds the parameters.
    recurrent_weight : str
        The name of U, (gates · hidden, hidden).
    biases : tuple of str
        The names of the biases that are added up, (gates · hidden,) each: one in a cell, two in torch, none without.
    """

    kind: type[Cell]
    owner: Any
    recurrent_weight: str = ""
    biases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What users call it."""
        name = type(self.owner).__name__
        return f"nn.{name}" if type(self.owner) in RECURRENT else name

    def weight_blocks(self) -> tuple[Tensor, ...]:
        """U of every gate, (hidden, hidden) each."""
        return self._blocks(self.recurrent_weight)

    def bias_blocks(self) -> tuple[Tensor, ...]:
        """The first bias of every gate, (hidden,) each."""
        return self._blocks(self.biases[0])

    def set_weight(self, blocks: list[Tensor]) -> None:
        """Set U from the blocks of its gates."""
        self._write(self.recurrent_weight, blocks)

    def set_bias(self, gates: dict[int, Tensor | float]) -> None:
        """Make the sum of the biases what is given, gate by gate; the other gates stay."""
        for place, name in enumerate(self.biases):
            blocks = list(self._blocks(name))
            for gate, value in gates.items():
                like = blocks[gate]
                given = torch.as_tensor(0.0 if place else value, dtype=like.dtype, device=like.device)
                blocks[gate] = given.expand_as(like)
            self._write(name, blocks)

    def _blocks(self, name: str) -> tuple[Tensor, ...]:
        weight: Tensor = getattr(self.owner, name)
        return weight.split(self.owner.hidden_size)

    def _write(self, name: str, blocks: list[Tensor]) -> None:
        value: Tensor = getattr(self.owner, name)
        written = torch.cat([block.to(value) for block in blocks])
        if parametrize.is_parametrized(self.owner, name):
            setattr(self.owner, name, written)
        else:
            value.copy_(written)


def recurrences(network: nn.Module) -> list[Recurrence]:
    """Every recurrence in a network, from input to output: of our cells and of torch's modules.

    A cell that holds another cell, or one of torch's recurrences, is only what holds it.

    Parameters
    ----------
    network : nn.Module

    Raises
    ------
    ValueError
        If a parameter has no value to change, or is computed from others by a hook.

    Examples
    --------
    >>> [found.recurrent_weight for found in recurrences(nn.Sequential(nn.LSTM(3, 4, num_layers=2)))]
    ['weight_hh_l0', 'weight_hh_l1']
    """
    found = [found for part in network.modules() for found in _own_recurrences(part)]
    for recurrence in found:
        check_values("The recurrence", recurrence.owner)
        own = dict(recurrence.owner.named_parameters(recurse=False, remove_duplicate=False))
        for name in filter(None, (recurrence.recurrent_weight, *recurrence.biases)):
            if name not in own and not parametrize.is_parametrized(recurrence.owner, name):
                raise ValueError(
                    f"{name} of the {recurrence.name} is no parameter: a hook computes it from others (such as "
                    "torch.nn.utils.weight_norm). Set the start first, and the hook after it."
                )
    return found


def _own_recurrences(part: nn.Module) -> Iterator[Recurrence]:
    """The recurrences that a module is itself."""
    if isinstance(part, RECURRENT):
        kind = next(cell for base, cell in TORCH_CELLS.items() if isinstance(part, base))
        for layer in layers_of(part):
            yield Recurrence(kind, part, layer.recurrent_weight, layer.biases)
    elif isinstance(part, Cell) and not any(isinstance(inner, (Cell, *RECURRENT)) for inner in _inner(part)):
        known = next((kind for kind in CELL_PARAMETERS if isinstance(part, kind)), None)
        yield Recurrence(type(part), part) if known is None else Recurrence(known, part, *CELL_PARAMETERS[known])


def _inner(part: nn.Module) -> list[Any]:
    return [inner for inner in part.modules() if inner is not part]

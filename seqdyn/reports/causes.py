"""Causes of what gradients do that lie outside the recurrence: a readout of zeros, and inputs far from unit size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.cells.linear import Linear
from seqdyn.composition import Readout, Wrapper
from seqdyn.dynamics.gates import GateStatistics, Saturation, most_closed
from seqdyn.row_modules import Headed


def silent_readouts(cell: Cell) -> list[str]:
    """The names of the weights that read the state and are all 0: no error depends on the state then.

    Parameters
    ----------
    cell : Cell

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> cell = Readout(GRU(2, 4), 1)
    >>> silent_readouts(cell)
    []
    >>> _ = nn.init.zeros_(cell.affine.weight)
    >>> silent_readouts(cell)
    ['affine.weight']
    """
    return [name for name, weight in _readers(cell) if not weight.any()]


def _readers(cell: Cell, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """What reads the state, from the output inwards."""
    if isinstance(cell, Readout):
        yield f"{place}affine.weight", cell.affine.weight
    elif isinstance(cell, Linear):
        yield f"{place}readout", cell.readout
    elif isinstance(cell, Headed):
        layers = [(name, part) for name, part in cell.head.named_modules() if isinstance(part, nn.Linear)]
        yield from ((f"{place}{'.'.join(filter(None, ('head', name)))}.weight", part.weight) for name, part in layers)
    if isinstance(cell, Wrapper):
        yield from _readers(cell.cell, f"{place}cell.")


def at_ends(gates: Mapping[str, GateStatistics] | None, saturation: Mapping[str, Saturation] | None) -> float:
    """The share of values at an end of their range, of the gate or part of the state where it is largest; 0 of none.

    Parameters
    ----------
    gates, saturation : mapping, optional
        As :func:`~seqdyn.dynamics.gates.gate_statistics` and :func:`~seqdyn.dynamics.gates.saturation` give them.

    Examples
    --------
    >>> at_ends({}, None)
    0.0
    """
    units = [part.total_saturated for part in (saturation or {}).values() if part.bounded]
    return max([0.0, *units, *([most_closed(gates)[1]] if gates else [])])

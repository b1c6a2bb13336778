"""Causes of vanishing gradients outside the recurrence: weights of zeros, and inputs far from unit size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.linear import Linear
from seqdyn.composition import Readout
from seqdyn.dynamics.gates import GateStatistics, Saturation, most_closed
from seqdyn.row_modules import Headed
from seqdyn.wrapper import Wrapper


def cut_off(cell: Cell, name_of: Callable[[str], str] = str) -> str:
    """Say whether errors cannot depend on earlier states, because the weights that read or pass on the state are all 0.

    ``name_of`` gives the user's name of a parameter of the cell. Empty if no such weights are all 0.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> cell = Readout(GRU(2, 4), 1)
    >>> cut_off(cell)
    ''
    >>> _ = nn.init.zeros_(cell.affine.weight)
    >>> cut_off(cell)
    "Nothing reads the state: the readout's weights `affine.weight` are all 0"
    """
    reads, carries = (_readers(cell), "reads the state: the readout's"), (_carriers(cell), "carries the state on: the")
    for weights, why in (reads, carries):
        silent = ", ".join(f"`{name_of(name)}`" for name, weight in weights if not weight.any())
        if silent:
            return f"Nothing {why} weights {silent} are all 0"
    return ""


def _carriers(cell: Cell) -> Iterator[tuple[str, Tensor]]:
    """The weights that alone carry the state to the next step; a gated cell has its gates, too."""
    for place, part in cell.named_modules():
        if isinstance(part, Elman | Linear):
            own = "transition" if isinstance(part, Linear) else "recurrent_weight"
            yield f"{place}.{own}".lstrip("."), getattr(part, own)


def _readers(cell: Cell, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """The weights that read the state, from the output inwards."""
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
    """The largest share of values at an end of their range, over gates and bounded parts of the state."""
    units = [part.total_saturated for part in (saturation or {}).values() if part.bounded]
    return max([0.0, *units, *([most_closed(gates)[1]] if gates else [])])

"""Cells made of torch's recurrent modules: the same numbers, and the contract of a cell.

y_t = head(h_t),   h_t = f(x_t, h_{t-1}),   with f an nn.RNN, nn.LSTM, nn.GRU, or one of their cells
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Stack, Wrapper

KINDS: tuple[type[nn.Module], ...] = (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell)
"""What :func:`from_torch` takes."""


def from_torch(module: nn.Module, head: nn.Module | None = None) -> Cell:
    """The cell that computes what a torch module computes: y_t = head(h_t).

    Parameters
    ----------
    module : nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell or nn.GRUCell
        With any number of layers, with or without biases, in one direction. It stays as it is.
    head : nn.Module, optional
        What reads the last layer: from h_t (batch, hidden) to y_t (batch, outputs). None: y_t = h_t.

    Returns
    -------
    Cell
        An :class:`~seqdyn.cells.elman.Elman`, :class:`~seqdyn.cells.lstm.LSTM` or :class:`~seqdyn.cells.gru.GRU`, a
        :class:`~seqdyn.composition.Stack` of them where there are several layers; around it a
        :class:`~seqdyn.composition.Readout` where the head is an ``nn.Linear``, and a :class:`Headed` where it is
        something else. Dtype, device, ``requires_grad`` and training mode are the module's.

    Raises
    ------
    TypeError
        If the module is of another kind.
    ValueError
        If it is bidirectional or projects its state, or if the head does not read h_t row by row.

    Notes
    -----
    The weights are *copied*: training one does not train the other. torch adds two biases, of which the cell has the
    sum; the GRU's b_hn stays apart. A bias that is not there is one of zeros that is not trained.

    The cell is the module in inference: ``dropout`` between layers, which torch draws anew at every step, is left out.
    ``batch_first`` is a layout of data, and the cell's is always (batch, time, inputs).

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> lstm, head = torch.nn.LSTM(3, 8, num_layers=2, batch_first=True), torch.nn.Linear(8, 1)
    >>> cell, x = from_torch(lstm, head), torch.zeros(4, 10, 3)
    >>> torch.allclose(scan(cell, x).output, head(lstm(x)[0]), atol=1e-6)
    True
    """
    _check_module(module)
    layers = [_layer(module, suffix) for suffix in _suffixes(module)]
    cell: Cell = layers[0] if len(layers) == 1 else Stack(layers)
    if type(head) is nn.Linear:
        cell = _read_by(cell, head)
    elif head is not None:
        cell = Headed(cell, head)
    return cell.train(module.training)


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
        head = _own_head(head)
        super().__init__(cell, _output_size(cell, head))
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
        raise TypeError(
            f"The head is of the class {type(self.head).__name__}, and a file holds no code: use an nn.Linear as the "
            "head, or write the whole as a Cell of your own and decorate it with @seqdyn.register."
        )


def _check_module(module: Any) -> None:
    kind = next((kind for kind in KINDS if isinstance(module, kind)), None)
    if kind is None:
        raise TypeError(_foreign(module))
    name = type(module).__name__
    if type(module).forward is not kind.forward:
        raise TypeError(f"{name} computes something of its own, not what {kind.__name__} does: {OWN_RECURRENCE}")
    if getattr(module, "bidirectional", False):
        raise ValueError(
            f"The {name} is bidirectional: half of its output depends on the future, so there is no state h_t that the "
            "past determines. Train one with bidirectional=False; for whole sequences there is seqdyn.cell.Encoder."
        )
    if getattr(module, "proj_size", 0):
        raise ValueError(f"The {name} has proj_size={module.proj_size}, expected 0: {OWN_RECURRENCE}")


OWN_RECURRENCE = (
    "write the recurrence as a Cell, which takes about ten lines (see seqdyn.cell.Cell), and every instrument takes it."
)


def _foreign(module: Any) -> str:
    """What to say of something that is no recurrent module, but may hold one."""
    wanted = f"from_torch takes {', '.join(f'nn.{kind.__name__}' for kind in KINDS)}; got {type(module).__name__}"
    inside = [
        f"{name} ({type(part).__name__})"
        for name, part in (module.named_modules() if isinstance(module, nn.Module) else ())
        if isinstance(part, KINDS)
    ]
    if inside:
        return (
            f"{wanted}, which holds {', '.join(inside)}: give that part, and what reads it as the head, "
            "from_torch(model.recurrent, head=model.head)."
        )
    return f"{wanted}: {OWN_RECURRENCE}"


def _suffixes(module: Any) -> list[str]:
    """What torch appends to the names of the weights of every layer."""
    return [f"_l{index}" for index in range(module.num_layers)] if isinstance(module, nn.RNNBase) else [""]


def _layer(module: Any, suffix: str) -> Cell:
    """One layer as a cell with a copy of its weights."""
    input_weight, recurrent_weight = (getattr(module, name + suffix) for name in ("weight_ih", "weight_hh"))
    biases = [getattr(module, name + suffix) for name in ("bias_ih", "bias_hh")] if module.bias else []
    cell = _empty(module, input_weight.shape[1]).to(input_weight.device, input_weight.dtype)
    _fill(cell.input_weight, [input_weight])
    _fill(cell.recurrent_weight, [recurrent_weight])
    if isinstance(cell, GRU):
        size = module.hidden_size
        _fill(cell.recurrent_bias, [second[-size:] for second in biases[1:]])  # b_hn stands inside the reset
        biases = biases[:1] + [nn.functional.pad(second[:-size], (0, size)) for second in biases[1:]]
    _fill(cell.bias, biases)
    return cell


def _empty(module: Any, input_size: int) -> Any:
    """A cell of the module's kind, with weights of its own."""
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        return LSTM(input_size, module.hidden_size)
    if isinstance(module, nn.GRU | nn.GRUCell):
        return GRU(input_size, module.hidden_size)
    return Elman(input_size, module.hidden_size, activation=module.nonlinearity)


def _fill(parameter: Any, sources: list[Tensor]) -> None:
    """Make a parameter the sum of the sources, trained if one of them is."""
    with torch.no_grad():
        parameter.zero_()
        for source in sources:
            parameter.add_(source)
    parameter.requires_grad_(any(source.requires_grad for source in sources))


def _read_by(cell: Cell, head: nn.Linear) -> Readout:
    """The cell with an affine head."""
    readout = Readout(cell, _output_size(cell, head))
    readout.affine.to(head.weight.device, head.weight.dtype)
    _fill(readout.affine.weight, [head.weight])
    _fill(readout.affine.bias, [] if head.bias is None else [head.bias])
    return readout


def _own_head(head: Any) -> nn.Module:
    """A copy of the head, in evaluation mode."""
    if not isinstance(head, nn.Module):
        raise TypeError(f"head must be an nn.Module or None, got {type(head).__name__}: make a module of it.")
    return copy.deepcopy(head).eval()


def _output_size(cell: Cell, head: nn.Module) -> int:
    """The width of what the head gives, after a trial on two rows."""
    rows = torch.linspace(-1, 1, 2 * cell.output_size).view(2, -1).to(cell.zeros(1))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            both, alone = head(rows), head(rows[:1])
    except Exception as error:
        raise ValueError(
            f"The head ({type(head).__name__}) does not take h_t, a row {tuple(rows[0].shape)} of {rows.dtype} on "
            f"{rows.device} for every sequence: {error}"
        ) from error
    if not isinstance(both, Tensor) or both.dim() != 2 or len(both) != 2:
        got = f"shape {tuple(both.shape)}" if isinstance(both, Tensor) else type(both).__name__
        raise ValueError(f"The head ({type(head).__name__}) gives {got} of two rows h_t, expected (2, outputs).")
    near = torch.finfo(rows.dtype).eps ** 0.5
    if not torch.allclose(both[:1], alone, rtol=near, atol=near, equal_nan=True):
        raise ValueError(
            f"The head ({type(head).__name__}) gives a row another value when it stands alone: it mixes the sequences "
            "of a batch or draws random numbers, and a step must do neither."
        )
    return both.shape[1]

"""Initialise a recurrent network so that it is a given linear system, to first order in its states.

Small states see only the slope of tanh, which is 1. With gates that begin constant, all three recurrences are then

    s_t = k s_{t-1} + w tanh(W x_t + b + U v s_{t-1}) ≈ w W x_t + (k + w v U) s_{t-1} + w b,    o_t = r s_t

    Elman   s = h   k = 0     w = 1        v = 1     r = 1
    GRU     s = h   k = z_0   w = 1 − z_0  v = r_0   r = 1      z_0 = r_0 = 1/2
    LSTM    s = c   k = f_0   w = i_0      v = o_0   r = o_0    i_0 = o_0 = 1/2, f_0 = σ(1)

so that W, U and b follow from a linear system whose states are small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Stack
from seqdyn.identification.kalman import states
from seqdyn.identification.system import LinearSystem
from seqdyn.initial_state import Started

STATE_ROWS_AT_ONCE = 2**16
"""Rows of one series whose states are held at once."""

WEAKEST = 1e-3
"""Of states of size 1, directions in which they move less than this are not magnified further."""


class ConstantGates(NamedTuple):
    """A cell's recurrence while its gates are constant: k, w, v and r of the module's first lines."""

    keep: float
    write: float
    heard: float
    read: float


@torch.no_grad()
def start_from(
    network: Cell,
    system: LinearSystem,
    x: Tensor | Sequence[Tensor],
    amplitude: float = 0.1,
    heads: Tensor | None = None,
) -> None:
    """Set the weights of a recurrent network so that its free run is a linear system's.

    The system is brought to the form y_t = V h_t + b_y (with as many states more as it has outputs, unless it has that
    form), and to the basis in which its states on ``x`` are uncorrelated and of size ``amplitude``. Units beyond the
    states keep their weights, but are read by nobody.

    Parameters
    ----------
    network : Cell
        One :class:`~seqdyn.cells.elman.Elman` (tanh), :class:`~seqdyn.cells.gru.GRU` or
        :class:`~seqdyn.cells.lstm.LSTM` under a :class:`~seqdyn.composition.Readout`. Changed in place.
    system : LinearSystem
        Between inputs and outputs in network units.
    x : Tensor, shape (time, inputs) or (series, time, inputs), or list of (time, inputs)
        Inputs in network units that drive the states as the training will.
    amplitude : float, above 0
        Root mean square of every state. The free run is the system's up to a share of the order of ``amplitude²``;
        the smaller it is, the more a step of the training moves an output.
    heads : Tensor, shape (network's outputs, system's outputs), optional
        What every output of the network takes from those of the system; the identity if None.

    Raises
    ------
    ValueError
        If the network is of another kind, too small, or the system's free run on ``x`` has no end.

    Notes
    -----
    The Elman network becomes h_t = tanh(C x_t + D h_{t-1} + h_0). In general U = (D − k) / (w v), W = C / w,
    b = h_0 / w and W_y = V / r. The gates of these units begin without weights, at their usual biases: a gate half
    open learns fastest, and its memory damps what a step of the training does. Of the readout, the weights that see
    the input begin at 0. A learning rate of 1e-3 to 3e-3 keeps what the start gives.

    References
    ----------
    Schoukens (2021), Improved Initialization of State-Space Artificial Neural Networks: the same idea for a linear
    part with feed-forward layers beside it.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> echo = LinearSystem.from_block([[1.0]], [[0.5]], [[1.0]], [[0.5]])
    >>> x = torch.zeros(4, 1)
    >>> x[0] = 1.0
    >>> network = Readout(GRU(1, 8), 1)
    >>> start_from(network, echo, x, amplitude=0.01)
    >>> scan(network, x[None]).output.squeeze().detach().round(decimals=3)
    tensor([1.0000, 0.5000, 0.2500, 0.1250])
    """
    readout, cell = _affine_readout(network), _recurrence(network)
    if not 0 < amplitude < math.inf:
        raise ValueError(f"amplitude must be a number above 0, got {amplitude!r}.")
    _check_widths(network, system, heads)
    read = system if system.is_readout_form() else system.as_readout_form()
    _check_room(cell, read.order, system)
    small = _with_small_states(read, x, amplitude)
    linearised = _with_constant_gates(cell, small.order)
    _set_recurrence(cell, small, linearised)
    _read_from(readout, small, linearised.read, heads)


# -------------------------------------------------------------------- the system


def _with_small_states(system: LinearSystem, x: Tensor | Sequence[Tensor], amplitude: float) -> LinearSystem:
    """The system in the basis in which Σ h_t h_tᵀ / T = amplitude² I on these inputs."""
    moment = _second_moment(system, [x] if isinstance(x, Tensor) and x.ndim == 2 else list(x))
    size = np.sqrt(np.diag(moment))
    size = np.where(size > 0, size, 1.0)
    variance, axes = np.linalg.eigh(moment / np.outer(size, size))
    deviation = np.sqrt(np.maximum(variance, WEAKEST**2))
    return system.in_basis(amplitude * (axes / deviation).T / size)


def _second_moment(system: LinearSystem, series: list[Tensor]) -> Array:
    """The mean of h_t h_tᵀ over the free run on all series."""
    moves = states(system)
    total, steps = np.zeros((system.order, system.order)), 0
    with np.errstate(over="ignore", invalid="ignore"):
        for one in series:
            h = None
            for piece in one.detach().cpu().double().split(STATE_ROWS_AT_ONCE):
                run, h = moves.simulate(piece.numpy(), h)
                total += run.T @ run
                steps += len(run)
    if not np.isfinite(total).all():
        raise ValueError(
            f"The states of the linear system grow without end on x (spectral radius {system.spectral_radius():.4g}): "
            "start from a stable system."
        )
    return total / max(1, steps)


# -------------------------------------------------------------------- the network


def _set_recurrence(cell: Elman | GRU | LSTM, system: LinearSystem, linearised: ConstantGates) -> None:
    """W = C / w, U = (D − k) / (w v) and b = h_0 / w in the leading units."""
    keep, write, heard, _ = linearised
    recurrent = (system.transition - keep * np.eye(system.order)) / (write * heard)
    weights = (cell.input_weight, cell.recurrent_weight, cell.bias)
    W, U, b = (weight.chunk(_gates(cell))[_candidate(cell)] for weight in weights)
    used = slice(0, system.order)
    W[used] = torch.as_tensor(system.input_map / write).to(W)
    U[used, used] = torch.as_tensor(recurrent).to(U)
    b[used] = torch.as_tensor(system.state_offset / write).to(b)


def _with_constant_gates(cell: Elman | GRU | LSTM, order: int) -> ConstantGates:
    """Disconnect the leading units from all others, and keep their gates at their initial biases."""
    for weight in (cell.input_weight, cell.recurrent_weight):
        for block in weight.chunk(_gates(cell)):
            block[:order] = 0.0
    for bias in cell.bias.chunk(_gates(cell)):
        bias[:order] = 0.0
    if isinstance(cell, Elman):
        return ConstantGates(keep=0.0, write=1.0, heard=1.0, read=1.0)
    if isinstance(cell, GRU):
        if cell.recurrent_bias is not None:
            cell.recurrent_bias[:order] = 0.0
        return ConstantGates(keep=0.5, write=0.5, heard=0.5, read=1.0)
    cell.bias.chunk(4)[1][:order] = 1.0
    if cell.peephole is not None:
        cell.peephole[:, :order] = 0.0
    return ConstantGates(keep=1 / (1 + math.exp(-1.0)), write=0.5, heard=0.5, read=0.5)


def _read_from(readout: Readout, system: LinearSystem, read: float, heads: Tensor | None) -> None:
    """W_y = V / r with [A B] = V [C D], and b_y = y_0 − V h_0."""
    below = np.hstack([system.input_map, system.transition])
    above = np.hstack([system.feedthrough, system.readout])
    V = np.linalg.lstsq(below.T, above.T, rcond=None)[0].T
    offset = system.output_offset - V @ system.state_offset
    given = np.eye(system.outputs) if heads is None else heads.double().cpu().numpy()
    weight, bias = readout.affine.weight, readout.affine.bias
    weight.zero_()
    weight[:, : system.order] = torch.as_tensor(given @ V / read).to(weight)
    bias.copy_(torch.as_tensor(given @ offset))
    if readout.direct is not None:
        readout.direct.zero_()


def _gates(cell: Elman | GRU | LSTM) -> int:
    """Blocks of rows in a cell's weights."""
    return len(cell.bias) // cell.hidden_size


def _candidate(cell: Elman | GRU | LSTM) -> int:
    """The block of the tanh."""
    return 0 if isinstance(cell, Elman) else 2


# -------------------------------------------------------------------- what does not go


def _affine_readout(network: Cell) -> Readout:
    """The affine readout on top of the network."""
    inner = network.cell if isinstance(network, Started) else network
    if not isinstance(inner, Readout):
        raise ValueError(
            f"A linear start needs a Readout around one recurrent layer, got {type(inner).__name__}: build "
            "Readout(cell, outputs), and leave out autoregression and bidirectional."
        )
    if inner.activation != "identity":
        raise ValueError(f"A linear start needs a linear readout, got activation={inner.activation!r}: use 'identity'.")
    return inner


def _recurrence(network: Cell) -> Elman | GRU | LSTM:
    """The one recurrent layer of the network."""
    cell = _affine_readout(network).cell
    if isinstance(cell, Stack):
        raise ValueError(
            f"A linear start is for one recurrent layer without dropout, got a Stack of {len(cell.layers)} with "
            f"dropout={cell.dropout}: set num_layers=1 and dropout=0."
        )
    if not isinstance(cell, Elman | GRU | LSTM):
        raise ValueError(
            f"A linear start is possible for Elman, GRU and LSTM layers, got {type(cell).__name__}: choose one of "
            "them, without residual."
        )
    if isinstance(cell, Elman) and (cell.activation != "tanh" or cell.affine is not None):
        raise ValueError(
            "A linear start needs an Elman layer that is linear for small states and has no readout of its own, got "
            f"activation={cell.activation!r} and output_size={cell.output_size}: set activation='tanh' and leave out "
            "output_size."
        )
    return cell


def _check_widths(network: Cell, system: LinearSystem, heads: Tensor | None) -> None:
    given = (system.outputs, system.outputs) if heads is None else tuple(heads.shape)
    if system.inputs != network.input_size or given != (network.output_size, system.outputs):
        raise ValueError(
            f"The linear system has {system.inputs} inputs and {system.outputs} outputs, the network "
            f"{network.input_size} and {network.output_size}"
            + (": fit both on the same data." if heads is None else f", and heads has shape {given}.")
        )


def _check_room(cell: Cell, states: int, system: LinearSystem) -> None:
    if cell.hidden_size < states:
        raise ValueError(
            f"hidden_size={cell.hidden_size} is too small for the linear start: a system of order {system.order} with "
            f"{system.outputs} outputs needs {states} units. Raise hidden_size or lower the order."
        )

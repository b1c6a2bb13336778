"""Where the weights of a recurrence start: orthogonal, the identity, or with a memory of a given length.

Each function changes every recurrence inside a network in place: those of our cells, through whatever wraps them
(stacks, readouts, residuals, offsets, the two directions of an encoder), and torch's own nn.RNN, nn.LSTM, nn.GRU and
their cells, alone or inside any model, in all layers and directions. One that a start does not fit is an error.

torch adds two biases, b_ih + b_hh. What is set here is their sum: b_ih takes the value, and b_hh becomes 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.checks import is_number
from seqdyn.generators import own_generator
from seqdyn.training.recurrences import Recurrence, recurrences

Initialiser = Callable[[nn.Module, torch.Generator], None]

WRITE, KEEP = 0, 1
"""Which blocks of a bias belong to the gates that write and keep: i, f of (i, f, g, o) and of (i, f, n); z of (r, z, n)
keeps, and z of (z, n) writes."""


@torch.no_grad()
def orthogonal(network: nn.Module, gain: float = 1.0, generator: torch.Generator | None = None) -> None:
    """Make the recurrent weights orthogonal times a gain: all singular values of U, of every gate's own, are the gain.

    Parameters
    ----------
    network : nn.Module
        A cell, an encoder, one of torch's recurrent modules, or a model that holds some; changed in place. Its
        recurrences are Elman, GRU, LSTM and Linear cells, or nn.RNN, nn.GRU and nn.LSTM.
    gain : float > 0
        The singular values. At 1 a linear network neither shrinks nor stretches any gradient.
    generator : torch.Generator, optional
        A fresh one if None.

    Raises
    ------
    ValueError
        If there is another recurrence in it, or none.

    References
    ----------
    Saxe, McClelland & Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks; Henaff, Szlam & LeCun (2016), Recurrent orthogonal networks and long-memory tasks.

    Examples
    --------
    >>> cell = Elman(3, 8)
    >>> orthogonal(cell, gain=0.9)
    >>> bool((torch.linalg.svdvals(cell.recurrent_weight) - 0.9).abs().max() < 1e-6)
    True
    """
    generator = own_generator(generator)
    reason = "orthogonal sets the recurrent weights of Elman, GRU, LSTM and Linear cells"
    for recurrence in _fitting_recurrences(network, (Elman, GRU, LSTM, Linear), reason):
        drawn = [_room_for(block) for block in recurrence.weight_blocks()]
        recurrence.set_weight([nn.init.orthogonal_(block, gain, generator) for block in drawn])


@torch.no_grad()
def identity(network: nn.Module, gain: float = 1.0) -> None:
    """Make the recurrent weights the identity times a gain: the state is held until the input changes it.

    Parameters
    ----------
    network : nn.Module
        A cell, an encoder, one of torch's recurrent modules, or a model that holds some; changed in place. Its
        recurrences are Elman cells (with ``activation="relu"``: the IRNN), Linear cells, or nn.RNN. The biases of an
        Elman cell and of nn.RNN become 0.
    gain : float > 0
        At 1 nothing is forgotten; below it, γ^k after k steps.

    Raises
    ------
    ValueError
        If there is another recurrence in it, or none: a gated cell holds its state by a gate.

    References
    ----------
    Le, Jaitly & Hinton (2015), A simple way to initialize recurrent networks of rectified linear units.

    Examples
    --------
    >>> cell = Elman(1, 2, activation="relu")
    >>> identity(cell, gain=0.5)
    >>> cell.recurrent_weight.tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    reason = (
        "identity sets the recurrent weights of Elman and Linear cells; a gated cell (GRU, LSTM) holds its state by "
        "its forget gate: use forget_bias or chrono"
    )
    for recurrence in _fitting_recurrences(network, (Elman, Linear), reason):
        (weight,) = recurrence.weight_blocks()
        recurrence.set_weight([gain * torch.eye(len(weight))])
        recurrence.set_bias({0: 0.0})


@torch.no_grad()
def forget_bias(network: nn.Module, value: float) -> None:
    """Set the bias of the gate that keeps the old state: b_f of an LSTM, b_z of a GRU.

    Of a MinGRU, whose z is the share of the new, it is −b_z; of a MinLSTM b_f and −b_i, so that f' = σ(b).

    Parameters
    ----------
    network : nn.Module
        A cell, an encoder, one of torch's recurrent modules, or a model that holds some; changed in place. Its
        recurrences are LSTM, GRU, MinLSTM and MinGRU cells, or nn.LSTM and nn.GRU.
    value : float
        b. Where nothing else opens or closes it the gate is σ(b), and the memory falls to 1/e in −1/ln σ(b) ≈ e^b + ½
        steps: 3.2 at b = 1, 20.6 at 3, 149 at 5.

    Raises
    ------
    ValueError
        If there is another recurrence in it, or none.

    References
    ----------
    Gers, Schmidhuber & Cummins (2000), Learning to forget; Jozefowicz, Zaremba & Sutskever (2015), An empirical
    exploration of recurrent network architectures.

    Examples
    --------
    >>> cell = GRU(1, 2)
    >>> forget_bias(cell, 3.0)
    >>> cell.bias.tolist()
    [0.0, 0.0, 3.0, 3.0, 0.0, 0.0]

    Of torch's LSTM, whose gates are i, f, g, o:

    >>> lstm = nn.LSTM(3, 2)
    >>> forget_bias(lstm, 3.0)
    >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0)[2:4].tolist()
    [3.0, 3.0]
    """
    for recurrence in _gated_recurrences(network, "forget_bias"):
        recurrence.set_bias(_keeping(recurrence.kind, value))


@torch.no_grad()
def chrono(network: nn.Module, longest: float, generator: torch.Generator | None = None) -> None:
    """Spread the memories of the units up to a longest one: b_f = ln U[1, T_max − 1].

    The input gate of an LSTM closes as much as its forget gate opens, b_i = −b_f. A GRU has b_z = ln U[1, T_max − 1],
    with z the share of the old state that is kept; a MinGRU and a MinLSTM have the same share.

    Parameters
    ----------
    network : nn.Module
        A cell, an encoder, one of torch's recurrent modules, or a model that holds some; changed in place. Its
        recurrences are LSTM, GRU, MinLSTM and MinGRU cells, or nn.LSTM and nn.GRU.
    longest : float of at least 2
        T_max, the longest dependence that is expected, in steps.
    generator : torch.Generator, optional
        A fresh one if None.

    Raises
    ------
    ValueError
        If there is another recurrence in it, or none, if one has no bias, or ``longest`` is below 2.

    References
    ----------
    Tallec & Ollivier (2018), Can recurrent neural networks warp time?

    Examples
    --------
    >>> cell = LSTM(1, 50)
    >>> chrono(cell, longest=100)
    >>> i, f, g, o = cell.bias.detach().chunk(4)
    >>> bool((f >= 0).all() and (f <= 4.6).all() and torch.equal(i, -f))
    True
    """
    if not longest >= 2:
        raise ValueError(f"longest must be a number of steps of at least 2, got {longest!r}.")
    generator = own_generator(generator)
    for recurrence in _gated_recurrences(network, "chrono"):
        keep = _room_for(recurrence.bias_blocks()[KEEP]).uniform_(1, longest - 1, generator=generator).log_()
        recurrence.set_bias(_keeping(recurrence.kind, keep) | ({WRITE: -keep} if recurrence.kind is LSTM else {}))


def as_initialiser(value: Any) -> Initialiser | None:
    """What an estimator's ``initialise`` does with a network and a generator.

    Parameters
    ----------
    value : None, "orthogonal", "identity", (name, number) or callable
        The names of this module; ``("forget_bias", value)`` and ``("chrono", longest)`` need their number. A callable
        is ``(cell, generator) -> None``.

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> initialise = as_initialiser(("chrono", 100))
    >>> initialise(LSTM(2, 3), torch.Generator())
    """
    if value is None or (callable(value) and not isinstance(value, type)):
        return value
    name, numbers = (value[0], tuple(value[1:])) if isinstance(value, tuple | list) and value else (value, ())
    counts = (0, 1) if name in ("orthogonal", "identity") else (1,)
    if not isinstance(name, str) or name not in _BY_NAME or len(numbers) not in counts:
        raise ValueError(f"initialise must be {INITIALISERS}, got {value!r}.")
    lowest = {"forget_bias": -math.inf, "chrono": 2.0}.get(name, math.ulp(0.0))
    if not all(is_number(number) and math.isfinite(number) and number >= lowest for number in numbers):
        raise ValueError(f"initialise must be {INITIALISERS}, got {value!r}.")
    return lambda cell, generator: _BY_NAME[name](cell, numbers, generator)


_BY_NAME: dict[str, Callable[[nn.Module, Any, torch.Generator], None]] = {
    "orthogonal": lambda cell, numbers, generator: orthogonal(cell, (*numbers, 1.0)[0], generator),
    "identity": lambda cell, numbers, generator: identity(cell, *numbers),
    "forget_bias": lambda cell, numbers, generator: forget_bias(cell, *numbers),
    "chrono": lambda cell, numbers, generator: chrono(cell, numbers[0], generator),
}
INITIALISERS = (
    "None, 'orthogonal', 'identity', ('orthogonal', gain) or ('identity', gain) with a gain above 0, "
    "('forget_bias', value), ('chrono', longest) with at least 2 steps, or a callable (cell, generator) -> None"
)
"""What ``initialise`` may be, in words."""


def _gated_recurrences(network: nn.Module, start: str) -> list[Recurrence]:
    """The recurrences of a network, if all of them have a forget gate with a bias."""
    found = _fitting_recurrences(
        network,
        (LSTM, GRU, MinLSTM, MinGRU),
        f"{start} sets the bias of a forget gate, which LSTM, GRU, MinLSTM and MinGRU cells have",
    )
    bare = next((recurrence for recurrence in found if not recurrence.biases), None)
    if bare is not None:
        raise ValueError(
            f"{start} sets the bias of a forget gate, but the {bare.name} was built with bias=False: build it with "
            "bias=True."
        )
    return found


def _keeping(kind: type, value: Any) -> dict[int, Any]:
    """The biases with which a cell of this kind keeps σ(value) of its memory, where the input is 0."""
    if kind is MinGRU:
        return {WRITE: -value}
    return {KEEP: value, WRITE: -value} if kind is MinLSTM else {KEEP: value}


def _fitting_recurrences(network: nn.Module, kinds: tuple[type, ...], reason: str) -> list[Recurrence]:
    """The recurrences of a network; raises before any is changed if there is none, or one of another kind."""
    found = recurrences(network)
    other = sorted({recurrence.name for recurrence in found if recurrence.kind not in kinds})
    if other or not found:
        holds = f"this network holds {', '.join(other)}" if other else f"{type(network).__name__} holds no recurrence"
        raise ValueError(f"{reason}; {holds}. A callable initialise=(cell, generator) can start any cell.")
    return found


def _room_for(block: Tensor) -> Tensor:
    """What is drawn for a block: on the CPU, where generators are, and not in half precision."""
    return torch.empty(block.shape, dtype=torch.promote_types(block.dtype, torch.float32))

"""Pascanu's Ω: how much the length of the gradient changes in every step back, as a measure and as a penalty.

    Ω = Σ_k Ω_k,   Ω_k = (‖δ_{k+1} J_{k+1}‖ / ‖δ_{k+1}‖ − 1)²,   δ_k = ∂C/∂h_k,   J_k = ∂h_k/∂h_{k-1}

It is 0 where a step back keeps the gradient's length, and near 1 where the signal dies.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.checks import check_choice
from seqdyn.dynamics.state_gradients import OutputLoss, Swept, remembers, returned, sweep
from seqdyn.dynamics.trajectory import rows_of
from seqdyn.facts import shown_by_shape
from seqdyn.state import State, flatten, leaves, map_leaves, unflatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

OMEGA_BOUND = 1e-20
"""‖δ‖² below which a step does not count: its direction is rounding."""
FORMS = ("norm", "squared")


@shown_by_shape
class Omega(NamedTuple):
    """Pascanu's Ω.

    Attributes
    ----------
    value : float
        The sum over time of the batch's mean of Ω_k, over the sum of the share of rows that count; NaN without any.
    curve : Tensor, shape (batch, time − 1)
        Ω_k for the way back from step k + 1 to step k, k = 0, 1, …; NaN where ‖δ_{k+1}‖² < 1e-20.
    """

    value: float
    curve: Tensor


def omega(cell: Cell, x: Any, loss: OutputLoss, state: State | None = None, *, form: str = "norm") -> Omega:
    """Pascanu's Ω, step by step: where the gradient of a loss grows or vanishes on its way back.

        Ω_k = (‖δ_{k+1} J_{k+1}‖ / ‖δ_{k+1}‖ − 1)²            form="norm", eq. (9)
        Ω_k = (‖δ_{k+1} J_{k+1}‖² / ‖δ_{k+1}‖² − 1)²          form="squared", eq. (10) and the published code

    Parameters
    ----------
    cell : Cell
        Any; it is not changed. What is measured is a copy in float64, on the CPU, in evaluation mode.
    x : Tensor, shape (batch, time, inputs), or a tree of such
    loss : callable
        ``loss(output) -> C``, a scalar, or what every row and step costs (batch, time), which is summed. δ is the
        gradient of that sum, accumulated over all later steps; its scale matters only against the bound 1e-20.
    state : State, optional
        h_{-1}; the cell's initial state if None.
    form : {"norm", "squared"}

    Returns
    -------
    Omega
        ``value``, and the ``curve`` (batch, time − 1) that shows where.

    Raises
    ------
    ValueError
        If input or state do not fit the cell, the cell has no memory, or the form is another.

    Notes
    -----
    h is the whole flattened state: of an LSTM (h, c), each taken with the other held.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks, eqs. (9) and (10).

    Examples
    --------
    Every step back halves the gradient, (1/2 − 1)² = 1/4:

    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> half = Linear(1, 1)
    >>> for weight, value in zip(half.parameters(), (0.0, 1.0, 1.0, 0.5)):
    ...     _ = torch.nn.init.constant_(weight, value)
    >>> found = omega(half, torch.zeros(1, 4, 1), lambda output: output[:, -1].sum())
    >>> found.value, found.curve
    (0.25, tensor([[0.2500, 0.2500,    nan]], dtype=torch.float64))
    """
    check_choice("form", form, FORMS)
    log_norms, ratios = returned(cell, x, loss, state)
    changes = ratios[:, 1:] if form == "norm" else ratios[:, 1:].square()
    curve = (changes - 1).square().where(2 * log_norms[:, 1:] >= math.log(OMEGA_BOUND), torch.nan)
    return Omega(float(curve.nanmean()), curve)


def omega_penalty(network: Cell, x: Any, loss: OutputLoss, form: str = "norm") -> Tensor:
    """Pascanu's Ω as a regulariser: its ``value``, differentiable by the weights; 0 where no step counts.

    States and δ are constants: the gradient is that of the immediate dependence of J_{k+1} on the weights alone. So the
    trajectory is run once, and then all its steps at once, as the rows of one batch. The network is causal, its weights
    are read, and their gradients left alone. The slope of an activation is taken at the new sum, which moves with the
    weights; the published code holds it. Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent
    neural networks, sections 3.3 and 4.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.elman import Elman
    >>> network = Elman(2, 3, generator=torch.Generator().manual_seed(0))
    >>> omega_penalty(network, torch.ones(4, 9, 2), lambda output: output[:, -1].square().sum()).backward()
    >>> network.recurrent_weight.grad.shape
    torch.Size([3, 3])
    """
    if not remembers(network.initial_state(1)) or leaves(x)[0].shape[1] < 2:
        return leaves(x)[0].new_zeros(())
    return frozen_omega(network, sweep(network, x, loss), form)


def frozen_omega(cell: Cell, run: Swept, form: str = "norm") -> Tensor:
    """Ω's value where states and δ are what they were in this run, whatever the weights are now."""
    terms, counts = _terms(cell, run, form)
    return terms.sum() / counts.sum().clamp(min=1)


@torch.enable_grad()
def _terms(cell: Cell, run: Swept, form: str) -> tuple[Tensor, Tensor]:
    """Ω_k and whether it counts, each (batch, time − 1); 0 where it does not."""
    x, before = (rows_of(map_leaves(lambda leaf: leaf[:, 1:], tree)) for tree in (run.x, run.before))
    delta = run.gradient[:, 1:].flatten(0, 1)
    back = _pulled_back(cell, x, before, delta)
    squared = delta.square().sum(1)
    counts = squared >= OMEGA_BOUND
    share = torch.linalg.vector_norm(back, dim=1) / squared.where(counts, 1.0).sqrt()
    ratio = share if form == "norm" else share.square()
    shape = run.gradient.shape[0], run.gradient.shape[1] - 1
    return (ratio - 1).square().where(counts, 0.0).view(shape), counts.view(shape)


def _pulled_back(cell: Cell, x: Any, before: State, delta: Tensor) -> Tensor:
    """δ_{k+1} J_{k+1} for all rows, differentiable by the weights."""
    start = flatten(before).requires_grad_()
    after = flatten(cell(x, unflatten(start, before))[1])
    if not after.requires_grad:  # the new state does not depend on the old one
        return torch.zeros_like(delta)
    return torch.autograd.grad(after, start, delta, create_graph=True, materialize_grads=True)[0]

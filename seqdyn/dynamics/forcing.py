"""How strong generalised teacher forcing must be so that no gradient grows along the data.

    v_t = α y_{t-1} + (1 − α) ŷ_{t-1},   J_t(α) = ∂(h_t, ŷ_t)/∂(h_{t-1}, ŷ_{t-1}) = J_t(0) diag(1, 1 − α)

Along the forced trajectory, ŷ_{t-1} = y_{t-1}, what is fed back counts (1 − α) of what it would in a free run. A map
without a memory of its own is all feedback: J_t(α) = (1 − α) J_t(0). What a memory h carries is not forced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from seqdyn.autoregression import OwnPast, OwnPastState, Past
from seqdyn.checks import check_choice, is_number
from seqdyn.dynamics.closed_loop import on_own_output
from seqdyn.dynamics.products import Scaled, log_norm, scaled, total
from seqdyn.dynamics.trajectory import Stretch, Trajectory, check_cell
from seqdyn.state import State

if TYPE_CHECKING:
    from seqdyn.cell import Cell

ALPHA_HALVINGS = 20
"""Halvings of the interval of α: it is then known to 1e-6."""


class Growth(NamedTuple):
    """By how much a gradient grows in one step at most, in the mean over the time of a sequence.

    Attributes
    ----------
    product : float
        max over sequences of ‖J_T … J_1‖₂^{1/T}: what happens from the first step to the last.
    bound : float
        max over sequences of (‖J_T‖₂ … ‖J_1‖₂)^{1/T}, at least as much: the product upper bound of Hess et al., who
        write σ̃ for it.
    """

    product: float
    bound: float


def forced_growth(cell: Cell, x: Any, state: State | None = None, *, alpha: float = 0.0) -> Growth:
    """How gradients grow along the data when a network is trained with generalised forcing.

    Parameters
    ----------
    cell : Cell
        One that sees its targets' last values, an :class:`~seqdyn.autoregression.OwnPast` such as the ``cell_`` of an
        estimator with ``autoregression``; or one that takes what it gives, whose x is then y_{t-1}. It is not changed.
    x : Past or Tensor, shape (batch, time, outputs)
        The true last values, as in the training: windows of its length, some ten of them.
    state : State, optional
        h_{-1} of ``cell``; its initial state if None.
    alpha : float in [0, 1]
        α; 0 is the free run, linearised along the data.

    Returns
    -------
    Growth

    Raises
    ------
    ValueError
        If the cell has no feedback, or a last value is not known.

    Notes
    -----
    The Jacobians take 8 · batch · time · n² bytes, n the width of (h, ŷ).

    References
    ----------
    Hess, Monfared, Brenner & Durstewitz (2023), Generalized Teacher Forcing for Learning Chaotic Dynamics, section 3.3.

    Examples
    --------
    A rotation that grows by a tenth a step, and is forced by half:

    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> spiral = Linear(2, 0, 2)
    >>> _ = spiral.feedthrough.data.copy_(torch.tensor([[0.0, -1.1], [1.1, 0.0]]))
    >>> growth = forced_growth(spiral, torch.ones(1, 20, 2), alpha=0.5)
    >>> round(growth.product, 6), round(growth.bound, 6)
    (0.55, 0.55)
    """
    if not is_number(alpha) or not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be a number in [0, 1], got {alpha!r}.")
    factors = _forced_jacobians(*_jacobians_of_loop(cell, x, state), alpha)
    return Growth(_of_product(factors), _of_steps(factors))


def recommended_alpha(cell: Cell, x: Any, state: State | None = None, *, by: str = "product") -> float:
    """The least α of generalised forcing with which gradients do not grow along the data.

    For a map without a memory α = max(0, 1 − 1/σ̃), with its growth σ̃ in a free run. With a memory α is searched for.

    Parameters
    ----------
    cell, x, state
        As in :func:`forced_growth`.
    by : {"product", "bound"}
        Which growth is to be at most 1. ``"bound"``, that of the source, says more than is needed, and nothing for a
        network with a memory: the norm of one step of it exceeds 1 at any α, though products of many do not.

    Returns
    -------
    float
        α in [0, 1]; 0 where gradients do not grow in a free run, and 1 where no α keeps them from it: then the memory
        amplifies, not the feedback.

    References
    ----------
    Hess, Monfared, Brenner & Durstewitz (2023), Generalized Teacher Forcing for Learning Chaotic Dynamics, section 3.3.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> double = Linear(1, 0, 1)
    >>> _ = torch.nn.init.constant_(double.feedthrough, 2.0)
    >>> recommended_alpha(double, torch.ones(1, 20, 1))
    0.5
    """
    growth = GROWTHS[check_choice("by", by, list(GROWTHS))]
    jacobians, fed_back = _jacobians_of_loop(cell, x, state)
    if growth(_forced_jacobians(jacobians, fed_back, 0.0)) <= 1:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(ALPHA_HALVINGS):
        middle = (low + high) / 2
        grows = growth(_forced_jacobians(jacobians, fed_back, middle)) > 1
        low, high = (middle, high) if grows else (low, middle)
    return high


def _jacobians_of_loop(cell: Cell, x: Any, state: State | None) -> tuple[Tensor, int]:
    """J_t(0) along the forced trajectory, (batch, time, n, n), and the width of what is fed back, which comes last."""
    check_cell(cell)
    loop = cell if isinstance(cell, OwnPast) else on_own_output(cell)
    past = x if isinstance(x, Past) else Past(x, torch.ones_like(x))
    if state is not None and not isinstance(state, OwnPastState):
        state = loop.start_from(state)
    unknown = (past.known <= 0).nonzero()
    if len(unknown):
        where = ", ".join(map(str, unknown[0].tolist()))
        raise ValueError(
            f"x.known is 0 at (sequence, step, …) {where}: growth is measured along true values. Leave out what is not "
            "known, or fill it."
        )
    forced = past._replace(known=torch.ones_like(past.known))
    found = [_free(stretch).jacobians() for stretch in Trajectory(loop, forced, state).forward()]
    return torch.cat(found, 1), past.value[0, 0].numel()


def _free(stretch: Stretch) -> Stretch:
    """The same steps with the true value as last prediction: the states stay the same, all feedback counts."""
    before = cast(OwnPastState, stretch.before)
    x = stretch.x._replace(known=torch.zeros_like(stretch.x.known))
    return stretch._replace(x=x, before=before._replace(last=stretch.x.value))


def _forced_jacobians(jacobians: Tensor, fed_back: int, alpha: float) -> Scaled:
    """J(α) = J(0) diag(1, 1 − α)."""
    share = torch.ones_like(jacobians[0, 0, 0])
    share[len(share) - fed_back :] = 1 - alpha
    return scaled(jacobians * share)


def _of_product(factors: Scaled) -> float:
    """max over sequences of ‖J_T … J_1‖₂^{1/T}."""
    return float((log_norm(total(factors)) / factors.log.shape[1]).max().exp())


def _of_steps(factors: Scaled) -> float:
    """max over sequences of (‖J_T‖₂ … ‖J_1‖₂)^{1/T}."""
    return float(log_norm(factors).mean(1).max().exp())


GROWTHS: dict[str, Callable[[Scaled], float]] = {"product": _of_product, "bound": _of_steps}
"""How growth is measured, by name."""

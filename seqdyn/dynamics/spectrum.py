"""Eigenvalues of the Jacobian of one step, and the largest modulus among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqdyn.dynamics.trajectory import Trajectory, check_cell
from seqdyn.state import State, leaves

if TYPE_CHECKING:
    from seqdyn.cell import Cell


def eigenvalues(cell: Cell | Tensor, x: Any = None, state: State | None = None) -> Tensor:
    """The eigenvalues of J_t = ∂h_t/∂h_{t-1}, the largest modulus first.

    Parameters
    ----------
    cell : Cell or Tensor, shape (…, n, n)
        Any cell, which is not changed; or the matrices themselves.
    x : Tensor, shape (batch, time, *inputs), or a tree of such, optional
        Along the trajectory under x. None: at one point, ``state``, under an input of zeros.
    state : State, optional
        h_{-1}; the cell's initial state if None.

    Returns
    -------
    Tensor of complex128
        (batch, time, n) with x, (batch, n) with a state alone, (n,) at the initial state, (…, n) for matrices.

    Raises
    ------
    ValueError
        If input or state do not fit the cell, it has no memory, or something is not finite.

    Notes
    -----
    |λ| = 1, the unit circle, separates what decays from what grows: an eigenvalue below −1 grows as one above 1 does.

    Examples
    --------
    A rotation by a quarter turn:

    >>> import torch
    >>> eigenvalues(torch.tensor([[0.0, -1.0], [1.0, 0.0]])).imag.abs()
    tensor([1., 1.], dtype=torch.float64)
    """
    if isinstance(cell, Tensor):
        return _sorted_eigenvalues(_checked_matrices(cell, x, state))
    if x is not None:
        trajectory = Trajectory(cell, x, state)
        return torch.cat([_sorted_eigenvalues(stretch.jacobians()) for stretch in trajectory.forward()], 1)
    check_cell(cell)
    rows = 1 if state is None else len(leaves(state)[0])
    found = _sorted_eigenvalues(next(Trajectory(cell, cell.alone(rows, 1), state).forward()).jacobians())[:, 0]
    return found[0] if state is None else found


def spectral_radius(cell: Cell | Tensor, x: Any = None, state: State | None = None) -> Tensor:
    """The spectral radius of J_t = ∂h_t/∂h_{t-1}: ρ = max_i |λ_i|.

    Parameters
    ----------
    cell : Cell or Tensor, shape (…, n, n)
        Any cell, which is not changed; or the matrices themselves.
    x : Tensor, shape (batch, time, *inputs), or a tree of such, optional
        Along the trajectory under x. None: at one point, ``state``, under an input of zeros. For a linear cell that
        is ρ(D), for an Elman network with zero bias at rest ρ(U).
    state : State, optional
        h_{-1}; the cell's initial state if None.

    Returns
    -------
    Tensor
        (batch, time) with x, (batch,) with a state alone, a scalar at the initial state, (…) for matrices.

    Raises
    ------
    ValueError
        If input or state do not fit the cell, it has no memory, or something is not finite.

    Notes
    -----
    ρ says how the powers of *one* matrix end, not how they begin, and nothing of a product of different ones:
    D = [[0.9, 10], [0, 0.9]] has ρ = 0.9, and ‖D⁹‖ = 38.7. Along a trajectory see
    :func:`~seqdyn.dynamics.lyapunov.lyapunov_spectrum`.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.elman import Elman
    >>> spectral_radius(Elman(2, 8))  # its recurrent weights start orthogonal
    tensor(1.0000, dtype=torch.float64)
    """
    found: Tensor = eigenvalues(cell, x, state).abs().amax(-1)
    return found


def _checked_matrices(matrices: Tensor, x: Any, state: State | None) -> Tensor:
    if x is not None or state is not None:
        raise ValueError("x and state are for a cell; given matrices, leave them out.")
    if matrices.dim() < 2 or matrices.shape[-1] != matrices.shape[-2] or not matrices.shape[-1]:
        raise ValueError(f"Eigenvalues are those of square matrices (…, n, n), got {tuple(matrices.shape)}.")
    return matrices.detach().to("cpu", torch.float64)


def _sorted_eigenvalues(matrices: Tensor) -> Tensor:
    if not matrices.isfinite().all():
        raise ValueError("The matrices (Jacobians) hold NaN or inf: the trajectory escapes, or the weights are broken.")
    found = torch.linalg.eigvals(matrices)
    return found.gather(-1, found.abs().argsort(dim=-1, descending=True, stable=True))

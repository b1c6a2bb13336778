"""Flows: systems given by a differential equation; one step of the cell is one Runge–Kutta step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.facts import shown_by_shape
from seqdyn.kernels.runge_kutta import runge_kutta

SQUARINGS = 20
"""How often a derivative is squared to find its largest eigenvalue."""


@shown_by_shape
class FlowState(NamedTuple):
    """``h`` (batch, hidden): where the system is."""

    h: Tensor


class Flow(Cell):
    """A system given by dh/dt = f(h, x), whose output is its state: y_t = h_t.

    A subclass says :meth:`flow`. One step advances the time by ``dt`` with the classical Runge–Kutta method of order 4;
    the input, if there is one, is held during the step. Without inputs the scan's x is (batch, time, 0).

    Parameters
    ----------
    start : sequence of float
        Where it begins; its length is the dimension.
    dt : float > 0
        The time one step covers.
    input_size : int
        Numbers that drive it.

    Raises
    ------
    ValueError
        If dt is not positive and finite.

    Examples
    --------
    >>> from seqdyn.systems.simulate import simulate
    >>> class Decay(Flow):
    ...     def flow(self, h, x):
    ...         return -h
    >>> simulate(Decay([1.0], dt=0.5), steps=2)[0, :, 0]
    tensor([0.6068, 0.3682])
    """

    start: Tensor

    def __init__(self, start: Sequence[float], dt: float, input_size: int = 0):
        if not 0 < dt < math.inf:
            raise ValueError(f"dt must be positive and finite, got {dt}.")
        super().__init__(input_size, hidden_size=len(start))
        self.dt = dt
        self.register_buffer("start", torch.tensor(start, dtype=torch.get_default_dtype()))

    def initial_state(self, batch: int) -> FlowState:
        return FlowState(self.start.expand(batch, -1))

    def flow(self, h: Tensor, x: Tensor) -> Tensor:
        """dh/dt, (batch, hidden), from h (batch, hidden) and x (batch, inputs)."""
        raise NotImplementedError(f"{type(self).__name__} does not say flow(h, x), its dh/dt.")

    def largest_step(self, h: Tensor, x: Tensor) -> float:
        """The largest dt at which the method is stable near one place: 2.7 / max |λ|, λ the eigenvalues of ∂f/∂h.

        The fourth-order method damps what decays up to |λ| dt = 2.79, and keeps what oscillates up to 2.83.

        Parameters
        ----------
        h, x : Tensor, shape (hidden,) and (inputs,)
        """
        return float(self.largest_steps(h[None], x[None]))

    def largest_steps(self, h: Tensor, x: Tensor) -> Tensor:
        """The largest stable dt near each of many places, as :meth:`largest_step`, all at once.

        Parameters
        ----------
        h, x : Tensor, shape (count, hidden) and (count, inputs)

        Returns
        -------
        Tensor of float64, shape (count,)
            Infinite where nothing moves, 0 where the derivative is not finite.

        Examples
        --------
        >>> from seqdyn.systems.pendulum import Pendulum
        >>> Pendulum(frequency=10.0).largest_steps(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.zeros(2, 1))
        tensor([0.2700, 0.3673], dtype=torch.float64)
        """
        x = x.detach().to(h)
        derivative = torch.func.jacrev(lambda places: self.flow(places, x).sum(0))(h.detach())  # rows do not mix
        rate = _spectral_radius(derivative.movedim(0, 1).to("cpu", torch.float64))
        return torch.where(rate.isnan(), 0.0, 2.7 / rate)

    def forward(self, x: Tensor, state: FlowState) -> tuple[Tensor, FlowState]:
        h = runge_kutta(lambda h, _: self.flow(h, x), state.h, self.dt)
        return h, FlowState(h)


def _spectral_radius(matrix: Tensor) -> Tensor:
    """max |λ| of every matrix (count, n, n), ‖M^k‖^(1/k): to 1e-4 also where eigenvalues coincide.

    Algorithms for the eigenvalues themselves fail there now and then.
    """
    logarithm = torch.zeros(len(matrix), dtype=matrix.dtype)
    for squared in range(SQUARINGS):
        size = torch.linalg.matrix_norm(matrix)
        logarithm += size.log() / 2**squared
        matrix = matrix / torch.where(size > 0, size, 1.0)[:, None, None]
        matrix = matrix @ matrix
    return logarithm.exp()

"""The linear state-space model with the full block matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.arrays import Array
from seqdyn.cell import Block, Cell
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.linear import linear_recurrence
from seqdyn.prepared import shared_arrays


@shown_by_shape
class LinearState(NamedTuple):
    """``h`` (batch, hidden)."""

    h: Tensor


class Linear(Cell):
    """The linear state-space model: [y_t; h_t] = [A B; C D] [x_t; h_{t-1}].

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int, optional
        ``hidden_size`` if None.
    generator : torch.Generator, optional
        Draws the weights; a fresh one if None.

    Attributes
    ----------
    feedthrough : Parameter, shape (outputs, inputs)
        A, x → y; starts at 0.
    readout : Parameter, shape (outputs, hidden)
        B, h → y.
    input_map : Parameter, shape (hidden, inputs)
        C, x → h.
    transition : Parameter, shape (hidden, hidden)
        D, h → h; starts stable, with memories spread from 1 to about 20 steps.

    Notes
    -----
    Control theory writes A_control = D, B_control = C, C_control = B, D_control = A, and x_0 = h_{-1}.

    Examples
    --------
    An accumulator, h_t = h_{t-1} + x_t and y_t = h_{t-1} + x_t:

    >>> import torch
    >>> from seqdyn.loops import scan
    >>> accumulator = Linear(1, 1)
    >>> for weight in accumulator.parameters():
    ...     _ = torch.nn.init.ones_(weight)
    >>> scan(accumulator, torch.ones(1, 4, 1)).output.flatten().tolist()
    [1.0, 2.0, 3.0, 4.0]
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__(input_size, hidden_size, output_size)
        self.feedthrough = nn.Parameter(torch.empty(self.output_size, input_size))
        self.readout = nn.Parameter(torch.empty(self.output_size, hidden_size))
        self.input_map = nn.Parameter(torch.empty(hidden_size, input_size))
        self.transition = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew: D = Q diag(λ) Qᵀ with λ from 0.95 down to 0, in a random basis Q."""
        generator = own_generator(generator)
        nn.init.zeros_(self.feedthrough)
        nn.init.xavier_uniform_(self.readout, generator=generator)
        nn.init.xavier_uniform_(self.input_map, generator=generator)
        basis = nn.init.orthogonal_(torch.empty_like(self.transition), generator=generator)
        poles = torch.linspace(0.95, 0.0, self.hidden_size + 1)[:-1].to(basis)
        with torch.no_grad():
            self.transition.copy_(basis @ torch.diag(poles) @ basis.T)

    def initial_state(self, batch: int) -> LinearState:
        return LinearState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: LinearState) -> tuple[Tensor, LinearState]:
        y = x @ self.feedthrough.T + state.h @ self.readout.T
        h = x @ self.input_map.T + state.h @ self.transition.T
        return y, LinearState(h)

    def unroll(self, x: Tensor, state: LinearState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        output, h = linear_recurrence(x, state.h, self.feedthrough, self.readout, self.input_map, self.transition)
        return output, LinearState(h)

    def prepared(self) -> Any:
        A, B, C, D = shared_arrays(self.feedthrough.T, self.readout.T, self.input_map.T, self.transition.T)

        def step(x: Array, state: tuple[Array]) -> tuple[Array, tuple[Array]]:
            (h,) = state
            return x.dot(A) + h.dot(B), (x.dot(C) + h.dot(D),)

        return step

    def jacobian(self, x: Tensor, before: LinearState, output: Tensor, after: LinearState) -> Tensor:
        return self.transition.expand(len(x), -1, -1)

    def block(self, x: Tensor, before: LinearState, output: Tensor, after: LinearState) -> Block:
        own = self.feedthrough, self.readout, self.input_map, self.transition
        return Block(*(weight.expand(len(x), -1, -1) for weight in own))

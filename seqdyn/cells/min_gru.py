"""The minimal gated recurrent unit: its gate does not see the state, so that all steps are done at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seqdyn.cell import Block, Cell
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.diagonal import diagonal_path
from seqdyn.kernels.gated import gated_recurrence
from seqdyn.kernels.projection import projected


@shown_by_shape
class MinGRUState(NamedTuple):
    """``h`` (batch, hidden)."""

    h: Tensor


class MinGRU(Cell):
    """The minimal gated recurrent unit: a moving average of candidates, whose weight the input sets at every step.

        z_t = σ(W_z x_t + b_z)                      share of the new
        n_t = W_n x_t + b_n                         candidate
        h_t = (1 − z_t) ∘ h_{t-1} + z_t ∘ n_t,   y_t = h_t

    Gate and candidate see x_t alone. So h enters by a product, no unit sees another, and a whole sequence takes two
    products of matrices and one pass through time, see :mod:`seqdyn.kernels.diagonal`.

    Parameters
    ----------
    input_size, hidden_size : int
    generator : torch.Generator, optional
        Draws the weights; a fresh one if None.

    Attributes
    ----------
    input_weight : Parameter, shape (2 hidden, inputs)
        W in the order z, n; starts Glorot uniform per gate.
    bias : Parameter, shape (2 hidden,)
        Starts at 0.

    Notes
    -----
    h_t is linear in h_{t-1}: what one layer cannot do, such as counting up to a bound, takes two or more. Their
    ``num_layers`` is worth more than that of a GRU.

    z is the share of the new, as in the paper; the z of :class:`~seqdyn.GRU` is what is kept, 1 − z here. This is the
    plain form of the paper. Its other one, for products in logarithms, keeps h positive; here nothing is divided, and
    no logarithm is needed.

    References
    ----------
    Feng et al. (2024), Were RNNs all we needed?, section 3.1.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> scan(MinGRU(2, 3), torch.zeros(1, 5, 2)).output.shape
    torch.Size([1, 5, 3])
    """

    def __init__(self, input_size: int, hidden_size: int, generator: torch.Generator | None = None):
        super().__init__(input_size, hidden_size)
        self.input_weight = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(2 * hidden_size))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw W anew and set the biases to 0."""
        generator = own_generator(generator)
        for weight in self.input_weight.chunk(2):
            nn.init.xavier_uniform_(weight, generator=generator)
        nn.init.zeros_(self.bias)

    def initial_state(self, batch: int) -> MinGRUState:
        return MinGRUState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: MinGRUState) -> tuple[Tensor, MinGRUState]:
        z, n = self._gates(x)
        h = (1 - z) * state.h + z * n
        return h, MinGRUState(h)

    def unroll(self, x: Tensor, state: MinGRUState, mask: Tensor | None = None) -> Any:
        output = gated_recurrence(projected(x, self.input_weight, self.bias), state.h, mask)
        return output, MinGRUState(output[:, -1].clone())

    def backend(self, x: Tensor, state: MinGRUState, mask: Tensor | None = None) -> str:
        return diagonal_path(self.input_weight, x, state.h)

    def gates(self, x: Tensor, before: MinGRUState, output: Tensor, after: MinGRUState) -> dict[str, Tensor]:
        z, _ = self._gates(x)
        return {"input": z, "forget": 1 - z}

    def block(self, x: Tensor, before: MinGRUState, output: Tensor, after: MinGRUState) -> Block:
        z, n = (value.unsqueeze(2) for value in self._gates(x))
        W_z, W_n = self.input_weight.chunk(2)
        input_map = (n - before.h.unsqueeze(2)) * z * (1 - z) * W_z + z * W_n
        transition = torch.diag_embed(1 - z.squeeze(2))
        return Block(input_map, transition, input_map, transition)

    def _gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and n."""
        a_z, n = linear(x, self.input_weight, self.bias).chunk(2, dim=-1)
        return torch.sigmoid(a_z), n

"""The minimal long short-term memory: its gates do not see the state, so that all steps are done at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from seqdyn.cell import Block, Cell
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.diagonal import diagonal_path
from seqdyn.kernels.gated import gated_recurrence
from seqdyn.kernels.projection import projected


@shown_by_shape
class MinLSTMState(NamedTuple):
    """``h`` (batch, hidden)."""

    h: Tensor


class MinLSTM(Cell):
    """The minimal long short-term memory: two gates that share one, set by the input alone.

        i_t = σ(W_i x_t + b_i),   f_t = σ(W_f x_t + b_f)        input and forget
        n_t = W_n x_t + b_n                                     candidate
        h_t = f'_t ∘ h_{t-1} + i'_t ∘ n_t,   y_t = h_t
        f' = f / (f + i),   i' = i / (f + i)

    Since f' + i' = 1, the size of h does not depend on how long a sequence is. The state is h alone.

    Parameters
    ----------
    input_size, hidden_size : int
    generator : torch.Generator, optional
        Draws the weights; a fresh one if None.

    Attributes
    ----------
    input_weight : Parameter, shape (3 hidden, inputs)
        W in the order i, f, n; starts Glorot uniform per gate.
    bias : Parameter, shape (3 hidden,)
        Starts at 0, but 1 for the forget gate.

    Notes
    -----
    i' = σ(ln i − ln f) is computed this way, with ln σ(a) = −softplus(−a): also where both gates are closed.
    h_t is linear in h_{t-1}, as in :class:`~seqdyn.MinGRU`: stack two or more layers.

    References
    ----------
    Feng et al. (2024), Were RNNs all we needed?, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> scan(MinLSTM(2, 3), torch.zeros(1, 5, 2)).output.shape
    torch.Size([1, 5, 3])
    """

    def __init__(self, input_size: int, hidden_size: int, generator: torch.Generator | None = None):
        super().__init__(input_size, hidden_size)
        self.input_weight = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw W anew and set the biases to 0, that of the forget gate to 1."""
        generator = own_generator(generator)
        for weight in self.input_weight.chunk(3):
            nn.init.xavier_uniform_(weight, generator=generator)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias[self.hidden_size : 2 * self.hidden_size])

    def initial_state(self, batch: int) -> MinLSTMState:
        return MinLSTMState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: MinLSTMState) -> tuple[Tensor, MinLSTMState]:
        i, f, n = self._gates(x)
        h = f * state.h + i * n
        return h, MinLSTMState(h)

    def unroll(self, x: Tensor, state: MinLSTMState, mask: Tensor | None = None) -> Any:
        a_i, a_f, n = projected(x, self.input_weight, self.bias).chunk(3, dim=-1)
        output = gated_recurrence(torch.cat([_log_ratio(a_i, a_f), n], 2), state.h, mask)
        return output, MinLSTMState(output[:, -1].clone())

    def backend(self, x: Tensor, state: MinLSTMState, mask: Tensor | None = None) -> str:
        return diagonal_path(self.input_weight, x, state.h)

    def gates(self, x: Tensor, before: MinLSTMState, output: Tensor, after: MinLSTMState) -> dict[str, Tensor]:
        i, f, _ = self._gates(x)
        return {"input": i, "forget": f}

    def block(self, x: Tensor, before: MinLSTMState, output: Tensor, after: MinLSTMState) -> Block:
        a_i, a_f, _ = linear(x, self.input_weight, self.bias).chunk(3, dim=-1)
        i, f, n = self._gates(x)
        W_i, W_f, W_n = self.input_weight.chunk(3)
        slope = ((n - before.h) * i * f).unsqueeze(2)  # ∂h by ln i − ln f, whose slopes are 1 − σ(a)
        ratio = torch.sigmoid(-a_i).unsqueeze(2) * W_i - torch.sigmoid(-a_f).unsqueeze(2) * W_f
        input_map, transition = slope * ratio + i.unsqueeze(2) * W_n, torch.diag_embed(f)
        return Block(input_map, transition, input_map, transition)

    def _gates(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """i', f' and n."""
        a_i, a_f, n = linear(x, self.input_weight, self.bias).chunk(3, dim=-1)
        ratio = _log_ratio(a_i, a_f)
        return torch.sigmoid(ratio), torch.sigmoid(-ratio), n


def _log_ratio(a_i: Tensor, a_f: Tensor) -> Tensor:
    """ln i − ln f, for i and f = σ(a)."""
    return softplus(-a_f) - softplus(-a_i)

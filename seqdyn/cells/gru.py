"""The gated recurrent unit, in both of its forms."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seqdyn.activations import ARRAY_ACTIVATIONS
from seqdyn.arrays import Array
from seqdyn.cell import Block, Cell
from seqdyn.checks import check_choice
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.gru import gru_recurrence
from seqdyn.kernels.through_time import fits, in_words, unfit
from seqdyn.prepared import shared_arrays


@shown_by_shape
class GRUState(NamedTuple):
    """``h`` (batch, hidden)."""

    h: Tensor


class GRU(Cell):
    """The gated recurrent unit: one gate sets what is kept, the other what the candidate sees of the state.

        r_t = σ(W_r x_t + U_r h_{t-1} + b_r)                       reset
        z_t = σ(W_z x_t + U_z h_{t-1} + b_z)                       keep
        n_t = tanh(W_n x_t + b_n + r_t ∘ (U_n h_{t-1} + b_hn))     candidate, reset_gate="after"
        n_t = tanh(W_n x_t + b_n + U_n (r_t ∘ h_{t-1}))            candidate, reset_gate="before"
        h_t = (1 − z_t) ∘ n_t + z_t ∘ h_{t-1},   y_t = h_t

    Parameters
    ----------
    input_size, hidden_size : int
    reset_gate : {"after", "before"}
        Whether r_t acts after or before the product with U_n. ``"after"`` is torch's and cuDNN's form.
    generator : torch.Generator, optional
        Draws the weights; a fresh one if None.

    Attributes
    ----------
    input_weight : Parameter, shape (3 hidden, inputs)
        W in the order r, z, n; starts Glorot uniform per gate.
    recurrent_weight : Parameter, shape (3 hidden, hidden)
        U; starts orthogonal per gate.
    bias : Parameter, shape (3 hidden,)
        Starts at 0.
    recurrent_bias : Parameter, shape (hidden,), with ``reset_gate="after"`` only
        b_hn, inside the reset; starts at 0.

    Notes
    -----
    Many texts write h_t = (1 − z_t) ∘ h_{t-1} + z_t ∘ n_t: their z is 1 − z here. Negating W_z, U_z and b_z turns
    one into the other.

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder–decoder, eqs. (5)–(8).

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> scan(GRU(2, 3), torch.zeros(1, 5, 2)).output.shape
    torch.Size([1, 5, 3])
    """

    no_bias: Tensor

    def __init__(
        self, input_size: int, hidden_size: int, reset_gate: str = "after", generator: torch.Generator | None = None
    ):
        super().__init__(input_size, hidden_size)
        self.reset_gate = check_choice("reset_gate", reset_gate, ("after", "before"))
        self.input_weight = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.recurrent_bias = nn.Parameter(torch.empty(hidden_size)) if reset_gate == "after" else None
        self.register_buffer("no_bias", torch.zeros(2 * hidden_size), persistent=False)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw W and U anew and set the biases to 0."""
        generator = own_generator(generator)
        for weight in self.input_weight.chunk(3):
            nn.init.xavier_uniform_(weight, generator=generator)
        for weight in self.recurrent_weight.chunk(3):
            nn.init.orthogonal_(weight, generator=generator)
        nn.init.zeros_(self.bias)
        if self.recurrent_bias is not None:
            nn.init.zeros_(self.recurrent_bias)

    def initial_state(self, batch: int) -> GRUState:
        return GRUState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        _, z, n, _ = self._step(x, state.h)
        h = (1 - z) * n + z * state.h
        return h, GRUState(h)

    def unroll(self, x: Tensor, state: GRUState, mask: Tensor | None = None) -> Any:
        own = self.input_weight, self.recurrent_weight, self.bias
        if fits(x, state.h, *own):
            output = gru_recurrence(x, state.h, *own, self.recurrent_bias, mask)
            return output, GRUState(output[:, -1].clone())
        if mask is not None or self.recurrent_bias is None:
            return NotImplemented
        weights = [*own, torch.cat([self.no_bias, self.recurrent_bias])]
        output, h = torch.gru(x, state.h.unsqueeze(0), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return output, GRUState(h[0])

    def backend(self, x: Tensor, state: GRUState, mask: Tensor | None = None) -> str:
        lacks = "masks" if mask is not None else "reset before the product" if self.recurrent_bias is None else None
        return in_words(unfit(x, state.h, self.input_weight, self.recurrent_weight, self.bias), lacks)

    def gates(self, x: Tensor, before: GRUState, output: Tensor, after: GRUState) -> dict[str, Tensor]:
        r, z, n, _ = self._step(x, before.h)
        return {"reset": r, "update": z, "candidate": n}

    def jacobian(self, x: Tensor, before: GRUState, output: Tensor, after: GRUState) -> Tensor:
        r, z, n, q = (value.unsqueeze(2) for value in self._step(x, before.h))
        U_r, U_z, U_n = self.recurrent_weight.chunk(3)
        h = before.h.unsqueeze(2)
        if self.reset_gate == "after":
            inner = r * U_n + q * r * (1 - r) * U_r
        else:
            inner = U_n @ (torch.diag_embed(r.squeeze(2)) + h * r * (1 - r) * U_r)
        return torch.diag_embed(z.squeeze(2)) + (h - n) * z * (1 - z) * U_z + (1 - z) * (1 - n**2) * inner

    def block(self, x: Tensor, before: GRUState, output: Tensor, after: GRUState) -> Block:
        r, z, n, q = (value.unsqueeze(2) for value in self._step(x, before.h))
        W_r, W_z, W_n = self.input_weight.chunk(3)
        h = before.h.unsqueeze(2)
        if self.reset_gate == "after":
            inner = W_n + q * r * (1 - r) * W_r
        else:
            inner = W_n + self.recurrent_weight.chunk(3)[2] @ (h * r * (1 - r) * W_r)
        input_map = (h - n) * z * (1 - z) * W_z + (1 - z) * (1 - n**2) * inner
        transition = self.jacobian(x, before, output, after)
        return Block(input_map, transition, input_map, transition)

    def prepared(self) -> Any:
        W, U, b = shared_arrays(self.input_weight.T, self.recurrent_weight.T, self.bias)
        H, sigmoid = self.hidden_size, ARRAY_ACTIVATIONS["sigmoid"]
        U_rz, U_n = U[:, : 2 * H], U[:, 2 * H :]
        b_hn = None if self.recurrent_bias is None else shared_arrays(self.recurrent_bias)[0]

        def step(x: Array, state: tuple[Array]) -> tuple[Array, tuple[Array]]:
            (h,) = state
            a, q = x.dot(W) + b, h.dot(U_rz if b_hn is None else U)
            gates = sigmoid(a[..., : 2 * H] + q[..., : 2 * H])
            r, z = gates[..., :H], gates[..., H:]
            inner = (r * h).dot(U_n) if b_hn is None else r * (q[..., 2 * H :] + b_hn)
            n = np.tanh(a[..., 2 * H :] + inner)
            h = n + z * (h - n)
            return h, (h,)

        return step

    def _step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The gates r and z, the candidate n, and what r multiplies or is multiplied into (q)."""
        a_r, a_z, a_n = linear(x, self.input_weight, self.bias).chunk(3, dim=-1)
        if self.recurrent_bias is not None:
            q_r, q_z, q_n = linear(h, self.recurrent_weight).chunk(3, dim=-1)
            r, z = torch.sigmoid(a_r + q_r), torch.sigmoid(a_z + q_z)
            q = q_n + self.recurrent_bias
            return r, z, torch.tanh(a_n + r * q), q
        U_rz, U_n = self.recurrent_weight.split([2 * self.hidden_size, self.hidden_size])
        q_r, q_z = linear(h, U_rz).chunk(2, dim=-1)
        r, z = torch.sigmoid(a_r + q_r), torch.sigmoid(a_z + q_z)
        q = linear(r * h, U_n)
        return r, z, torch.tanh(a_n + q), q

"""The long short-term memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seqdyn.activations import ARRAY_ACTIVATIONS
from seqdyn.arrays import Array
from seqdyn.cell import Block, Summing
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.lstm import lstm_recurrence
from seqdyn.kernels.through_time import fits, in_words, unfit
from seqdyn.prepared import shared_arrays


@shown_by_shape
class LSTMState(NamedTuple):
    """``h`` (batch, hidden), what is read out, and ``c`` (batch, hidden), the memory behind the gates."""

    h: Tensor
    c: Tensor


class LSTM(Summing):
    """The long short-term memory: three gates control a memory cell that changes by sums alone.

        i_t = σ(W_i x_t + U_i h_{t-1} + b_i)        write
        f_t = σ(W_f x_t + U_f h_{t-1} + b_f)        keep
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)     candidate
        o_t = σ(W_o x_t + U_o h_{t-1} + b_o)        read
        c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
        h_t = o_t ∘ tanh(c_t),   y_t = h_t

    Parameters
    ----------
    input_size, hidden_size : int
    peepholes : bool
        Let the gates see the memory: p_i ∘ c_{t-1}, p_f ∘ c_{t-1} and p_o ∘ c_t join the sums.
    generator : torch.Generator, optional
        Draws the weights; a fresh one if None.

    Attributes
    ----------
    input_weight : Parameter, shape (4 hidden, inputs)
        W in the order i, f, g, o; starts Glorot uniform per gate.
    recurrent_weight : Parameter, shape (4 hidden, hidden)
        U; starts orthogonal per gate.
    bias : Parameter, shape (4 hidden,)
        Starts at 0, the forget gate's at 1: the network remembers until it learns to forget.
    peephole : Parameter, shape (3, hidden), with ``peepholes`` only
        p_i, p_f, p_o; starts at 0.

    Notes
    -----
    ∂c_t/∂c_{t-1} along c alone is f_t ≤ 1: dampened, never amplified. The full Jacobian of (h, c) can still grow.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory; Gers, Schmidhuber & Cummins (2000) for the forget
    gate; Gers & Schmidhuber (2000), Recurrent nets that time and count, for the peepholes.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> scan(LSTM(2, 3), torch.zeros(1, 5, 2)).state.c.shape
    torch.Size([1, 3])
    """

    no_bias: Tensor

    def __init__(
        self, input_size: int, hidden_size: int, peepholes: bool = False, generator: torch.Generator | None = None
    ):
        super().__init__(input_size, hidden_size)
        self.peepholes = peepholes
        self.input_weight = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.peephole = nn.Parameter(torch.zeros(3, hidden_size)) if peepholes else None
        self.register_buffer("no_bias", torch.zeros(4 * hidden_size), persistent=False)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw W and U anew, set b to 0 and the forget gate's to 1."""
        generator = own_generator(generator)
        for weight in self.input_weight.chunk(4):
            nn.init.xavier_uniform_(weight, generator=generator)
        for weight in self.recurrent_weight.chunk(4):
            nn.init.orthogonal_(weight, generator=generator)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias.chunk(4)[1])
        if self.peephole is not None:
            nn.init.zeros_(self.peephole)

    def initial_state(self, batch: int) -> LSTMState:
        return LSTMState(self.zeros(batch, self.hidden_size), self.zeros(batch, self.hidden_size))

    def summed(self, sums: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        *_, o, c = self._gated(sums, state)
        h = o * torch.tanh(c)
        return h, LSTMState(h, c)

    def unroll(self, x: Tensor, state: LSTMState, mask: Tensor | None = None) -> Any:
        own = self.input_weight, self.recurrent_weight, self.bias
        if self.peepholes:
            return NotImplemented
        if fits(x, *state, *own):
            output, c = lstm_recurrence(x, *state, *own, mask)
            return output, LSTMState(output[:, -1].clone(), c)
        if mask is not None:
            return NotImplemented
        start, weights = (state.h.unsqueeze(0), state.c.unsqueeze(0)), [*own, self.no_bias]
        output, h, c = torch.lstm(x, start, weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return output, LSTMState(h[0], c[0])

    def backend(self, x: Tensor, state: LSTMState, mask: Tensor | None = None) -> str:
        if self.peepholes:
            return "step by step: no kernel knows peepholes"
        reason = unfit(x, *state, self.input_weight, self.recurrent_weight, self.bias)
        return in_words(reason, None if mask is None else "masks")

    def gates(self, x: Tensor, before: LSTMState, output: Tensor, after: LSTMState) -> dict[str, Tensor]:
        i, f, g, o, _ = self._step(x, before)
        return {"input": i, "forget": f, "candidate": g, "output": o}

    def jacobian(self, x: Tensor, before: LSTMState, output: Tensor, after: LSTMState) -> Tensor:
        slopes = self._slopes(x, before)
        return torch.cat([slopes.by(self.recurrent_weight), slopes.by_memory()], 2)

    def block(self, x: Tensor, before: LSTMState, output: Tensor, after: LSTMState) -> Block:
        slopes = self._slopes(x, before)
        input_map = slopes.by(self.input_weight)
        transition = torch.cat([slopes.by(self.recurrent_weight), slopes.by_memory()], 2)
        return Block(input_map[:, : self.hidden_size], transition[:, : self.hidden_size], input_map, transition)

    def prepared(self) -> Any:
        W, U, b = shared_arrays(self.input_weight.T, self.recurrent_weight.T, self.bias)
        p = None if self.peephole is None else shared_arrays(self.peephole)[0]
        H, sigmoid = self.hidden_size, ARRAY_ACTIVATIONS["sigmoid"]

        def step(x: Array, state: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            h, c = state
            a = x.dot(W) + b + h.dot(U)
            if p is not None:
                a[..., : 2 * H] += np.concatenate([p[0] * c, p[1] * c], -1)
            gates, g, a_o = sigmoid(a[..., : 2 * H]), np.tanh(a[..., 2 * H : 3 * H]), a[..., 3 * H :]
            c = gates[..., H:] * c + gates[..., :H] * g
            h = sigmoid(a_o if p is None else a_o + p[2] * c) * np.tanh(c)
            return h, (h, c)

        return step

    def _slopes(self, x: Tensor, before: LSTMState) -> _Slopes:
        i, f, g, o, c = (value.unsqueeze(2) for value in self._step(x, before))
        p_i, p_f, p_o = self.zeros(3, self.hidden_size, 1) if self.peephole is None else self.peephole.unsqueeze(2)
        write, forget, candidate = g * i * (1 - i), before.c.unsqueeze(2) * f * (1 - f), i * (1 - g**2)
        read = torch.tanh(c) * o * (1 - o)
        open_ = o * (1 - torch.tanh(c) ** 2) + read * p_o
        return _Slopes(write, forget, candidate, read, f + write * p_i + forget * p_f, open_)

    def _step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The gates i, f, g, o and the new memory c."""
        return self._gated(linear(x, self.input_weight, self.bias), state)

    def _gated(self, sums: Tensor, state: LSTMState) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The same from W x + b."""
        a_i, a_f, a_g, a_o = (sums + linear(state.h, self.recurrent_weight)).chunk(4, dim=-1)
        if self.peephole is not None:
            a_i, a_f = a_i + self.peephole[0] * state.c, a_f + self.peephole[1] * state.c
        i, f, g = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g)
        c = f * state.c + i * g
        if self.peephole is not None:
            a_o = a_o + self.peephole[2] * c
        return i, f, g, torch.sigmoid(a_o), c


class _Slopes(NamedTuple):
    """Derivatives inside one step, (batch, hidden, 1) each: of c_t and h_t by the sums in the gates, and by c."""

    write: Tensor
    """∂c_t by the sum of i."""
    forget: Tensor
    """∂c_t by the sum of f."""
    candidate: Tensor
    """∂c_t by the sum of g."""
    read: Tensor
    """∂h_t by the sum of o."""
    keep: Tensor
    """∂c_t/∂c_{t-1}."""
    open: Tensor
    """∂h_t/∂c_t."""

    def by(self, weight: Tensor) -> Tensor:
        """∂(h_t, c_t) by what the sums see through a weight (4 hidden, ·)."""
        W_i, W_f, W_g, W_o = weight.chunk(4)
        c = self.write * W_i + self.forget * W_f + self.candidate * W_g
        return torch.cat([self.read * W_o + self.open * c, c], 1)

    def by_memory(self) -> Tensor:
        """∂(h_t, c_t)/∂c_{t-1}."""
        return torch.cat(
            [torch.diag_embed((self.open * self.keep).squeeze(2)), torch.diag_embed(self.keep.squeeze(2))], 1
        )

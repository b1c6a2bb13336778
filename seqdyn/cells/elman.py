"""The Elman network, the simple recurrent network."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seqdyn.activations import ACTIVATIONS, ARRAY_ACTIVATIONS, through
from seqdyn.affine import Affine
from seqdyn.arrays import Array
from seqdyn.cell import Block, Cell
from seqdyn.checks import check_choice
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.elman import elman_recurrence
from seqdyn.kernels.through_time import fits, in_words, unfit
from seqdyn.prepared import shared_arrays

ELMAN_ACTIVATIONS = ("tanh", "relu", "sigmoid")
"""What σ_h may be."""


@shown_by_shape
class ElmanState(NamedTuple):
    """``h`` (batch, hidden)."""

    h: Tensor


class Elman(Cell):
    """The Elman network: h_t = σ_h(W x_t + U h_{t-1} + b), y_t = σ_y(W_y h_t + b_y).

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int, optional
        Width of y_t. None leaves out the readout: y_t = h_t.
    activation : {"tanh", "relu", "sigmoid"}
        σ_h.
    output_activation : {"identity", "tanh", "relu", "sigmoid", "softmax"}
        σ_y, where there is a readout.
    generator : torch.Generator, optional
        Draws the weights; a fresh one if None.

    Attributes
    ----------
    input_weight : Parameter, shape (hidden, inputs)
        W, starts Glorot uniform.
    recurrent_weight : Parameter, shape (hidden, hidden)
        U, starts orthogonal: all singular values are 1.
    bias : Parameter, shape (hidden,)
        b, starts at 0.

    References
    ----------
    Elman (1990), Finding structure in time.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> scan(Elman(4, 3, output_size=4, output_activation="softmax"), torch.eye(4)[None]).output.shape
    torch.Size([1, 4, 4])
    """

    no_bias: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        activation: str = "tanh",
        output_activation: str = "identity",
        generator: torch.Generator | None = None,
    ):
        super().__init__(input_size, hidden_size, output_size)
        generator = own_generator(generator)
        self.activation = check_choice("activation", activation, ELMAN_ACTIVATIONS)
        self.output_activation = check_choice("output_activation", output_activation, list(ACTIVATIONS))
        self.input_weight = nn.Parameter(torch.empty(hidden_size, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(hidden_size))
        self.register_buffer("no_bias", torch.zeros(hidden_size), persistent=False)
        self.affine = None if output_size is None else Affine(hidden_size, output_size, generator)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw W and U anew and set b to 0."""
        generator = own_generator(generator)
        nn.init.xavier_uniform_(self.input_weight, generator=generator)
        nn.init.orthogonal_(self.recurrent_weight, generator=generator)
        nn.init.zeros_(self.bias)

    def initial_state(self, batch: int) -> ElmanState:
        return ElmanState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        a = linear(x, self.input_weight, self.bias) + linear(state.h, self.recurrent_weight)
        h = ACTIVATIONS[self.activation](a)
        return self._read(h), ElmanState(h)

    def unroll(self, x: Tensor, state: ElmanState, mask: Tensor | None = None) -> Any:
        own = self.input_weight, self.recurrent_weight, self.bias
        if fits(x, state.h, *own):
            hidden = elman_recurrence(x, state.h, *own, mask, self.activation)
            return self._read(hidden), ElmanState(hidden[:, -1].clone())
        fused = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}.get(self.activation)
        if mask is not None or fused is None:
            return NotImplemented
        weights = [*own, self.no_bias]
        hidden, last = fused(x, state.h.unsqueeze(0), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return self._read(hidden), ElmanState(last[0])

    def backend(self, x: Tensor, state: ElmanState, mask: Tensor | None = None) -> str:
        lacks = "masks" if mask is not None else "sigmoid" if self.activation == "sigmoid" else None
        return in_words(unfit(x, state.h, self.input_weight, self.recurrent_weight, self.bias), lacks)

    def jacobian(self, x: Tensor, before: ElmanState, output: Tensor, after: ElmanState) -> Tensor:
        return through(self.activation, after.h, self.recurrent_weight)

    def block(self, x: Tensor, before: ElmanState, output: Tensor, after: ElmanState) -> Block:
        input_map = through(self.activation, after.h, self.input_weight)
        transition = self.jacobian(x, before, output, after)
        if self.affine is None:
            return Block(input_map, transition, input_map, transition)
        feedthrough, readout = self.affine.weight @ input_map, self.affine.weight @ transition
        return Block(
            through(self.output_activation, output, feedthrough),
            through(self.output_activation, output, readout),
            input_map,
            transition,
        )

    def prepared(self) -> Any:
        W, U, b = shared_arrays(self.input_weight.T, self.recurrent_weight.T, self.bias)
        activation, read = ARRAY_ACTIVATIONS[self.activation], ARRAY_ACTIVATIONS[self.output_activation]
        readout = None if self.affine is None else shared_arrays(self.affine.weight.T, self.affine.bias)

        def step(x: Array, state: tuple[Array]) -> tuple[Array, tuple[Array]]:
            h = activation(x.dot(W) + b + state[0].dot(U))
            return h if readout is None else read(h.dot(readout[0]) + readout[1]), (h,)

        return step

    def constructor_arguments(self) -> dict[str, Any]:
        return {"output_size": None} if self.affine is None else {}

    def _read(self, h: Tensor) -> Tensor:
        return h if self.affine is None else ACTIVATIONS[self.output_activation](self.affine(h))

"""Cells built from cells: with a readout, a shortcut, a constant input, an embedding, or stacked in layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seqdyn.activations import ACTIVATIONS, ARRAY_ACTIVATIONS, through
from seqdyn.affine import Affine
from seqdyn.arrays import Array
from seqdyn.cell import Attending, Block, Cell, apart, noisy
from seqdyn.checks import check_choice, check_count
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.loops import unroll
from seqdyn.prepared import shared_arrays
from seqdyn.state import State, hold
from seqdyn.wrapper import Wrapper, check_row


class Readout(Wrapper):
    """A cell read through an affine map: y_t = σ_y(W_y o_t + b_y), with o_t the inner cell's output.

    Parameters
    ----------
    cell : Cell
        With outputs (batch, outputs).
    output_size : int
        Width of y_t.
    activation : {"identity", "tanh", "relu", "sigmoid", "softmax"}
        σ_y.
    generator : torch.Generator, optional
        Draws W_y (Glorot uniform); a fresh one if None. b_y starts at 0.
    skip : bool
        Let it read the input, too: y_t = σ_y(W_y o_t + W_x x_t + b_y), a linear model beside the cell. W_x starts at 0.

    Raises
    ------
    ValueError
        If the cell does not give a row of numbers, or with ``skip`` does not take one.

    Examples
    --------
    >>> from seqdyn.cells.elman import Elman
    >>> Readout(Elman(3, 8), 2).output_size
    2
    """

    def __init__(
        self,
        cell: Cell,
        output_size: int,
        activation: str = "identity",
        generator: torch.Generator | None = None,
        skip: bool = False,
    ):
        check_row("Readout reads", cell, cell.output_shape)
        if skip:
            check_row("skip reads", cell, None if cell.attends else cell.input_shape)
        super().__init__(cell, output_size)
        self.activation = check_choice("activation", activation, list(ACTIVATIONS))
        self.affine = Affine(cell.output_size, output_size, generator)
        self.skip = skip
        self.direct = nn.Parameter(torch.zeros(output_size, cell.input_size)) if skip else None

    def read(self, output: Tensor, x: Any) -> Tensor:
        value = self.affine(output)
        if self.direct is not None:
            value = value + nn.functional.linear(apart(x)[0], self.direct)
        return ACTIVATIONS[self.activation](value)

    def prepared(self) -> Any:
        if (inner := self.cell.prepared()) is NotImplemented:
            return NotImplemented
        W, b = shared_arrays(self.affine.weight.T, self.affine.bias)
        direct = None if self.direct is None else shared_arrays(self.direct.T)[0]
        activation = ARRAY_ACTIVATIONS[self.activation]

        def step(x: Array, state: Any) -> tuple[Array, Any]:
            output, after = inner(x, state)
            value = output.dot(W) + b
            return activation(value if direct is None else value + x.dot(direct)), after

        return step

    def outer_block(self, inner: Block, output: Tensor) -> Block:
        feedthrough, readout = self.affine.weight @ inner.feedthrough, self.affine.weight @ inner.readout
        if self.direct is not None:
            feedthrough = feedthrough + self.direct
        return inner._replace(
            feedthrough=through(self.activation, output, feedthrough), readout=through(self.activation, output, readout)
        )


class Residual(Wrapper):
    """A cell with a shortcut around it: y_t = x_t + o_t, with o_t the inner cell's output.

    Parameters
    ----------
    cell : Cell
        Its outputs have the shape of its inputs.

    References
    ----------
    Wu et al. (2016), Google's Neural Machine Translation System, eq. (6).

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.gru import GRU
    >>> Residual(GRU(3, 3)).output_shape
    (3,)
    """

    def __init__(self, cell: Cell):
        if cell.attends or cell.input_shape != cell.output_shape or not cell.input_shape:
            raise ValueError(
                f"Residual adds input and output, but {type(cell).__name__} has input_shape={cell.input_shape} and "
                f"output_shape={cell.output_shape}: make them equal, or put a Readout({cell.input_size}) around the "
                "cell."
            )
        super().__init__(cell)

    def read(self, output: Tensor, x: Any) -> Tensor:
        return output + apart(x)[0]

    def prepared(self) -> Any:
        if (inner := self.cell.prepared()) is NotImplemented:
            return NotImplemented

        def step(x: Array, state: Any) -> tuple[Array, Any]:
            output, after = inner(x, state)
            return output + x, after

        return step

    def inner_output(self, x: Any, before: State, output: Tensor) -> Tensor:
        return output - apart(x)[0]

    def outer_block(self, inner: Block, output: Tensor) -> Block:
        return inner._replace(feedthrough=inner.feedthrough + torch.eye(self.input_size).to(inner.feedthrough))


class Offset(Wrapper):
    """A cell whose last input is the constant 1: y_t, h_t = f([x_t; 1], h_{t-1}). It gives a linear cell its offsets.

    Parameters
    ----------
    cell : Cell
        Takes one input more than comes in.

    Examples
    --------
    >>> from seqdyn.cells.linear import Linear
    >>> Offset(Linear(3, 8)).input_size
    2
    """

    def __init__(self, cell: Cell):
        check_row("Offset gives", cell, None if cell.attends else cell.input_shape)
        if cell.input_size < 1:
            raise ValueError(f"Offset needs a cell with an input to hold at 1, but {type(cell).__name__} takes none.")
        super().__init__(cell)
        self.input_size = cell.input_size - 1
        self.input_shape = (self.input_size,)

    def see(self, x: Any) -> Any:
        value, noise = apart(x)
        return noisy(torch.nn.functional.pad(value, (0, 1), value=1.0), noise)

    def prepared(self) -> Any:
        if (inner := self.cell.prepared()) is NotImplemented:
            return NotImplemented

        def step(x: Array, state: Any) -> tuple[Array, Any]:
            seen = np.ones_like(x, shape=(*x.shape[:-1], x.shape[-1] + 1))
            seen[..., :-1] = x
            return inner(seen, state)

        return step

    def inner_output(self, x: Any, before: State, output: Any) -> Any:
        return output

    def outer_block(self, inner: Block, output: Any) -> Block:
        """The input held at 1 is no input of this cell."""
        return inner._replace(feedthrough=inner.feedthrough[..., :-1], input_map=inner.input_map[..., :-1])


@shown_by_shape
class IdentityState(NamedTuple):
    """``h`` (batch, 0): nothing is remembered."""

    h: Tensor


class Identity(Cell):
    """A cell without memory that returns its input, y_t = x_t. It fills the place of a layer where none is needed.

    Parameters
    ----------
    input_size : int

    Examples
    --------
    The vectors of tokens as the lowest layer of a stack:

    >>> from seqdyn.cells.lstm import LSTM
    >>> Stack([Embedding(Identity(8), symbols=65), LSTM(8, 16)]).input_shape
    ()
    """

    def __init__(self, input_size: int):
        super().__init__(input_size, 0, input_size)
        self.register_buffer("like", torch.zeros(0), persistent=False)  # it has no parameter to tell dtype and device

    def initial_state(self, batch: int) -> IdentityState:
        return IdentityState(self.zeros(batch, 0))

    def forward(self, x: Tensor, state: IdentityState) -> tuple[Tensor, IdentityState]:
        return x, state

    def unroll(self, x: Tensor, state: IdentityState, mask: Tensor | None = None) -> Any:
        return x, state

    def prepared(self) -> Any:
        return lambda x, state: (x, state)

    def block(self, x: Tensor, before: IdentityState, output: Tensor, after: IdentityState) -> Block:
        whole = torch.eye(self.input_size).to(x).expand(len(x), -1, -1)
        nothing = x.new_zeros(len(x), self.input_size, 0)
        return Block(whole, nothing, nothing.mT, x.new_zeros(len(x), 0, 0))


class Embedding(Wrapper):
    """A cell that takes tokens: y_t, h_t = f(E_{s_t}, h_{t-1}), with one row of E for every symbol.

    It is the same as one-hot vectors times E, without the zeros; the vectors are learnt.

    Parameters
    ----------
    cell : Cell
        Takes rows of numbers, as wide as the vectors shall be.
    symbols : int, at least 1
        Tokens are whole numbers from 0 to symbols − 1.
    generator : torch.Generator, optional
        Draws E, N(0, 1) (with ``tied``: N(0, 1 / width)); a fresh one if None.
    dropout : float in [0, 1)
        Share of the entries of E_{s_t} dropped in training, one mask a sequence.
    tied : int, optional
        Score so many of the symbols, the first, by their own vectors: y_t = E_{:tied} o_t + b, with o_t the inner
        cell's output, as wide as the vectors.

    Raises
    ------
    ValueError
        If the cell does not take a row of numbers, or with ``tied`` gives one of another width; in a step, if a token
        is none of the symbols.

    References
    ----------
    Bengio et al. (2003), A neural probabilistic language model; Press & Wolf (2017), Using the output embedding to
    improve language models (tied).

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.loops import scan
    >>> scan(Embedding(GRU(3, 8), symbols=65), torch.tensor([[7, 0, 64]])).output.shape
    torch.Size([1, 3, 8])
    >>> Embedding(GRU(8, 8), symbols=66, tied=65).output_shape
    (65,)
    """

    def __init__(
        self,
        cell: Cell,
        symbols: int,
        generator: torch.Generator | None = None,
        dropout: float = 0.0,
        tied: int | None = None,
    ):
        check_row("Embedding gives", cell, cell.input_shape)
        super().__init__(cell, check_count("tied", tied, others=(None,)))
        self.symbols = self.input_size = check_count("symbols", symbols)
        self.input_shape = ()
        self.dropout = check_share("dropout", dropout)
        self.tied = tied
        if tied is not None and (tied > symbols or cell.output_shape != (cell.input_size,)):
            raise ValueError(
                f"tied={tied} reads outputs by the vectors of that many of {symbols} symbols, {cell.input_size} wide, "
                f"but {type(cell).__name__} gives {cell.output_shape}: make its outputs as wide as its inputs."
            )
        self.weight = nn.Parameter(torch.empty(self.symbols, cell.input_size))
        scale = 1.0 if tied is None else cell.input_size**-0.5
        nn.init.normal_(self.weight, 0.0, scale, generator=own_generator(generator))
        self.bias = None if tied is None else nn.Parameter(torch.zeros(tied))

    def see(self, x: Any) -> Any:
        given, noise = apart(x)
        mask, own = (None, None) if noise is None else noise
        token = given.x if self.attends else given
        try:
            vector = nn.functional.embedding(token, self.weight)
        except IndexError:
            raise ValueError(
                f"The tokens lie between {int(token.min())} and {int(token.max())}, but there are {self.symbols} "
                f"symbols, from 0 to {self.symbols - 1}."
            ) from None
        vector = vector if mask is None else vector * mask
        return noisy(Attending(vector, given.memory) if self.attends else vector, own)

    def read(self, output: Any, x: Any) -> Any:
        return output if self.tied is None else nn.functional.linear(output, self.weight[: self.tied], self.bias)

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        dropout, own = self.dropout if self.training else 0.0, self.cell.noise(batch, time, generator)
        mask = dropout_mask(self.zeros(batch, self.weight.shape[1]), dropout, time, generator)
        return None if mask is None and own is None else LayerNoise(mask, own)

    def inner_output(self, x: Any, before: State, output: Any) -> Any:
        return output if self.tied is None else super().inner_output(x, before, output)


class Stack(Cell):
    """Cells on top of each other: the output of each is the input of the next, in the same step.

    The state is a tuple with one entry a layer. Dropout is drawn once a pass and held in time, so that a step stays
    pure: in training x is ``Noisy(x, noise)``, with one :class:`LayerNoise` a layer as :meth:`noise` draws them.

    Parameters
    ----------
    layers : sequence of Cell
        From input to output; each takes the shape the one before gives.
    dropout : float in [0, 1)
        Share of every layer's outputs that is dropped in training.

    References
    ----------
    Gal & Ghahramani (2016), A Theoretically Grounded Application of Dropout in Recurrent Neural Networks.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.loops import scan
    >>> two = Stack([GRU(3, 8), GRU(8, 4)])
    >>> scan(two, torch.zeros(1, 5, 3)).output.shape
    torch.Size([1, 5, 4])
    """

    layers: Any

    def __init__(self, layers: Sequence[Cell], dropout: float = 0.0):
        layers = list(layers)
        if not layers:
            raise ValueError("Stack needs at least one layer, got none.")
        for below, above in pairwise(layers):
            if above.attends:
                raise ValueError(f"{type(above).__name__} reads a memory: only the lowest layer of a Stack can.")
            if above.input_shape is not None and below.output_shape != above.input_shape:
                raise ValueError(
                    f"{type(above).__name__} expects inputs of the shape {above.input_shape}, but the layer below it "
                    f"({type(below).__name__}) gives {below.output_shape}."
                )
        super().__init__(layers[0].input_size, sum(layer.hidden_size for layer in layers), layers[-1].output_size)
        self.input_shape, self.output_shape = layers[0].input_shape, layers[-1].output_shape
        self.attends = layers[0].attends
        self.layers = nn.ModuleList(layers)
        self.dropout = check_share("dropout", dropout)

    def initial_state(self, batch: int) -> State:
        return tuple(cell.initial_state(batch) for cell in self.layers)

    def primed(self, lead: Any, there: Tensor) -> State:
        first, *others = self.layers
        return (first.primed(lead, there), *(cell.initial_state(len(there)) for cell in others))

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        return self._run(lambda layer, seen, before: layer(seen, before), x, state)

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        return self._run(lambda layer, seen, before: unroll(layer, seen, before, mask), x, state)

    def prepared(self) -> Any:
        steps = [layer.prepared() for layer in self.layers]
        if any(layer is NotImplemented for layer in steps):
            return NotImplemented

        def step(x: Any, state: Any) -> tuple[Any, Any]:
            states = []
            for layer, before in zip(steps, state, strict=True):
                x, after = layer(x, before)
                states.append(after)
            return x, tuple(states)

        return step

    def block(self, x: Any, before: State, output: Any, after: State) -> Any:
        whole = None
        for layer, step, mask in self._passes(x, before, after):
            own = layer.block(*step)
            if own is NotImplemented:
                return NotImplemented
            if mask is not None:
                rows = mask.unsqueeze(2)
                own = own._replace(feedthrough=rows * own.feedthrough, readout=rows * own.readout)
            whole = own if whole is None else whole.feeding(own)
        return whole

    def gates(self, x: Any, before: State, output: Any, after: State) -> dict[str, Tensor]:
        return {
            f"{index}.{name}": gate
            for index, (layer, step, _) in enumerate(self._passes(x, before, after))
            for name, gate in layer.gates(*step).items()
        }

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        dropout = self.dropout if self.training else 0.0
        return layer_noise([(cell,) for cell in self.layers], dropout, batch, time, generator)

    def _run(self, run: Any, x: Any, state: State) -> tuple[Any, State]:
        """One step, or all of them, through every layer."""
        x, noise = self._split(x)
        states = []
        for layer, before, (mask, own) in zip(self.layers, state, noise, strict=True):
            output, after = run(layer, noisy(x, own), before)
            x = output if mask is None else output * mask
            states.append(after)
        return x, tuple(states)

    def _passes(self, x: Any, before: State, after: State) -> Iterator[tuple[Cell, tuple[Any, State, Any, State], Any]]:
        """Every layer with its own (x, before, output, after) at this step, and the mask on what it gives."""
        x, noise = self._split(x)
        for index, (layer, (mask, own)) in enumerate(zip(self.layers, noise, strict=True)):
            seen = noisy(x, own)
            output, _ = layer(seen, before[index])
            yield layer, (seen, before[index], output, after[index]), mask
            x = output if mask is None else output * mask

    def _split(self, x: Any) -> tuple[Any, tuple[LayerNoise, ...]]:
        """The input, and what was drawn for every layer."""
        x, noise = apart(x)
        return x, noise or (LayerNoise(None, None),) * len(self.layers)


class LayerNoise(NamedTuple):
    """What is drawn for one layer: the dropout mask on what it gives, (batch, time, *outputs), and its own noise."""

    mask: Tensor | None
    own: Any


def layer_noise(
    layers: Sequence[Sequence[Cell]], dropout: float, batch: int, time: int, generator: torch.Generator
) -> tuple[LayerNoise, ...] | None:
    """One :class:`LayerNoise` a layer; None if there is none at all.

    A layer of two directions has the pair of their own noises.
    """

    def mask(layer: Sequence[Cell]) -> Tensor | None:
        return dropout_mask(layer[0].zeros(batch, *_joint_shape(layer)), dropout, time, generator) if dropout else None

    def own(layer: Sequence[Cell]) -> Any:
        drawn = tuple(cell.noise(batch, time, generator) for cell in layer)
        return drawn[0] if len(drawn) == 1 else None if all(part is None for part in drawn) else drawn

    noise = tuple(LayerNoise(mask(layer), own(layer)) for layer in layers)
    return noise if any(part is not None for entry in noise for part in entry) else None


def dropout_mask(like: Tensor, dropout: float, time: int, generator: torch.Generator) -> Tensor | None:
    """0 with probability ``dropout``, else 1 / (1 − dropout), one for every entry of ``like``, held in time; None
    without dropout."""
    if not dropout:
        return None
    drawn = torch.empty(like.shape, dtype=like.dtype, device=generator.device)
    return hold(drawn.bernoulli_(1 - dropout, generator=generator).div_(1 - dropout).to(like.device), time)


def check_share(name: str, value: float) -> float:
    """Return the value if it lies in [0, 1), else raise."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}.")
    return value


def _joint_shape(layer: Sequence[Cell]) -> tuple[int, ...]:
    """The shape of what a layer gives: of two directions the rows side by side."""
    shape = layer[0].output_shape
    if shape is None:
        raise ValueError(f"{type(layer[0]).__name__} gives a tree, of which dropout does not know what to drop.")
    return shape if len(layer) == 1 else (sum(cell.output_size for cell in layer),)

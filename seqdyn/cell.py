"""The contract of every recurrence, and how recurrences are put together.

    y_t, h_t = f_θ(x_t, h_{t-1})

:class:`Cell` is the contract; :class:`Stack`, :class:`Residual`, :class:`Readout`, :class:`Offset` and
:class:`Encoder` compose. :class:`Block` is the derivative of one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from seqdyn.scan import hold, scan, unroll
from seqdyn.state import State, map_leaves

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda value: value,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda value: torch.softmax(value, dim=-1),
}

SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": torch.ones_like,
    "tanh": lambda value: 1 - value**2,
    "relu": lambda value: (value > 0).to(value),
    "sigmoid": lambda value: value * (1 - value),
}
"""σ' as a function of σ's value; relu's is 0 at 0."""


def through(activation: str, value: Tensor, slopes: Tensor) -> Tensor:
    """The chain rule: ∂σ(a)/∂v from σ(a), (batch, outputs), and ∂a/∂v, (batch, outputs, ·) or (outputs, ·)."""
    if activation == "softmax":
        return value.unsqueeze(2) * (slopes - value.unsqueeze(1) @ slopes)
    return SLOPES[activation](value).unsqueeze(2) * slopes


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return the value if it is one of the choices, else say what they are."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    return value


class Block(NamedTuple):
    """The derivative of one step, ∂(y_t, h_t)/∂(x_t, h_{t-1}) = [A B; C D], for every row of a batch.

    The state is flattened leaf after leaf (an LSTM's is [h; c]). Of the linear model it is the model itself.

    Attributes
    ----------
    feedthrough : Tensor, shape (batch, outputs, inputs)
        A = ∂y_t/∂x_t.
    readout : Tensor, shape (batch, outputs, n)
        B = ∂y_t/∂h_{t-1}.
    input_map : Tensor, shape (batch, n, inputs)
        C = ∂h_t/∂x_t.
    transition : Tensor, shape (batch, n, n)
        D = ∂h_t/∂h_{t-1}, the Jacobian J_t.
    """

    feedthrough: Tensor
    readout: Tensor
    input_map: Tensor
    transition: Tensor

    def feeding(self, above: Block) -> Block:
        """The block of two cells in series: this one's output is the input of the one above, in the same step."""
        corner = self.transition.new_zeros(len(self.transition), self.transition.shape[1], above.transition.shape[1])
        return Block(
            above.feedthrough @ self.feedthrough,
            torch.cat([above.feedthrough @ self.readout, above.readout], 2),
            torch.cat([self.input_map, above.input_map @ self.feedthrough], 1),
            torch.cat(
                [
                    torch.cat([self.transition, corner], 2),
                    torch.cat([above.input_map @ self.readout, above.transition], 2),
                ],
                1,
            ),
        )


class Cell(nn.Module):
    """One step of a stateful predictor: y_t, h_t = f_θ(x_t, h_{t-1}).

    A subclass owes :meth:`initial_state` and :meth:`forward`. It gets the scan, truncated BPTT, streaming, the
    estimators, files and every instrument for it. It may add a fast path :meth:`unroll`, derivatives in closed form
    (:meth:`jacobian`, :meth:`block`), and names for its :meth:`gates`; each returns ``NotImplemented`` where it does
    not apply, and the written step is used.

    A step is *pure*: it changes nothing and draws nothing; randomness comes in as an input (:meth:`noise`).

    Parameters
    ----------
    input_size, hidden_size : int
        Widths of x_t and of the memory.
    output_size : int, optional
        Width of y_t; ``hidden_size`` if None.

    Notes
    -----
    Store constructor arguments under their own names, as scikit-learn's estimators do: the cell can then be saved.
    Those that cannot be read back this way go into :meth:`constructor_arguments`.

    Examples
    --------
    A leaky integrator with a learned input map, written by a user:

    >>> import torch
    >>> from typing import NamedTuple
    >>> class LeakyState(NamedTuple):
    ...     h: torch.Tensor
    >>> class Leaky(Cell):
    ...     def __init__(self, input_size, hidden_size):
    ...         super().__init__(input_size, hidden_size)
    ...         self.drive = torch.nn.Linear(input_size, hidden_size)
    ...     def initial_state(self, batch):
    ...         return LeakyState(self.zeros(batch, self.hidden_size))
    ...     def forward(self, x, state):
    ...         h = 0.9 * state.h + 0.1 * self.drive(x)
    ...         return h, LeakyState(h)
    >>> from seqdyn.scan import scan
    >>> scan(Leaky(2, 3), torch.zeros(1, 4, 2)).output.shape
    torch.Size([1, 4, 3])
    """

    input_size: int
    hidden_size: int
    output_size: int

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("output_size", output_size)):
            if size is not None and (not isinstance(size, Integral) or isinstance(size, bool) or size < 0):
                raise ValueError(f"{name} must be an int of at least 0, got {size!r}.")
        self.input_size = int(input_size)
        self.hidden_size = int(hidden_size)
        self.output_size = int(hidden_size if output_size is None else output_size)

    def initial_state(self, batch: int) -> State:
        """The memory before the first step, h_{-1}, for ``batch`` rows."""
        raise NotImplementedError(f"{type(self).__name__} must define initial_state(batch).")

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        """One step: from x (batch, *inputs) and the state to (output, state)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x, state).")

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        """Fast path over x (batch, time, *inputs), equal to the loop; ``NotImplemented`` where there is none."""
        return NotImplemented

    def jacobian(self, x: Any, before: State, output: Any, after: State) -> Any:
        """∂h_t/∂h_{t-1} in closed form, (batch, n, n) over the flattened state, or ``NotImplemented``."""
        block = self.block(x, before, output, after)
        return block if block is NotImplemented else block.transition

    def block(self, x: Any, before: State, output: Any, after: State) -> Any:
        """∂(y_t, h_t)/∂(x_t, h_{t-1}) in closed form, a :class:`Block`, or ``NotImplemented``."""
        return NotImplemented

    def gates(self, x: Any, before: State, output: Any, after: State) -> dict[str, Tensor]:
        """Gate activations at this step by name, (batch, hidden) each; empty for a cell without gates."""
        return {}

    def noise(self, batch: int, generator: torch.Generator) -> Any:
        """Random inputs for one training chunk (dropout masks), drawn by the trainer; None if there are none."""
        return None

    def constructor_arguments(self) -> dict[str, Any]:
        """The constructor arguments, for files, that no attribute of the same name tells."""
        return {}

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, output_size={self.output_size}"

    def zeros(self, batch: int, *shape: int) -> Tensor:
        """Zeros (batch, *shape) on the device and in the dtype of this cell's own parameters or buffers."""
        for own in (*self.parameters(), *self.buffers()):
            return own.new_zeros(batch, *shape)
        return torch.zeros(batch, *shape)


class Wrapper(Cell):
    """A cell around another one: all that it does not change itself is the inner cell's."""

    def __init__(self, cell: Cell, output_size: int | None = None):
        super().__init__(cell.input_size, cell.hidden_size, cell.output_size if output_size is None else output_size)
        self.cell = cell

    def initial_state(self, batch: int) -> State:
        return self.cell.initial_state(batch)

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        return cast(tuple[Any, State], self.cell(x, state))

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        return self.cell.unroll(x, state, mask)

    def jacobian(self, x: Any, before: State, output: Any, after: State) -> Any:
        return self.cell.jacobian(x, before, self._inner(x, before, output), after)

    def block(self, x: Any, before: State, output: Any, after: State) -> Any:
        if type(self).forward is not Wrapper.forward and type(self)._outer is Wrapper._outer:
            return NotImplemented  # it does something of its own and does not say how that changes the derivative
        inner = self.cell.block(x, before, self._inner(x, before, output), after)
        return inner if inner is NotImplemented else self._outer(inner, output)

    def gates(self, x: Any, before: State, output: Any, after: State) -> dict[str, Tensor]:
        return self.cell.gates(x, before, self._inner(x, before, output), after)

    def noise(self, batch: int, generator: torch.Generator) -> Any:
        return self.cell.noise(batch, generator)

    def _inner(self, x: Any, before: State, output: Any) -> Any:
        """The inner cell's own output at this step."""
        return output

    def _outer(self, inner: Block, output: Any) -> Any:
        """The derivative of this cell's step from that of the inner one."""
        return inner


class Readout(Wrapper):
    """A cell read through an affine map: y_t = σ_y(W_y o_t + b_y), with o_t the inner cell's output.

    Parameters
    ----------
    cell : Cell
    output_size : int
        Width of y_t.
    activation : {"identity", "tanh", "relu", "sigmoid", "softmax"}
        σ_y.
    generator : torch.Generator, optional
        Draws W_y (Glorot uniform); a fresh one if None. b_y starts at 0.
    skip : bool
        Let it read the input, too: y_t = σ_y(W_y o_t + W_x x_t + b_y), a linear model beside the cell. W_x starts at 0.

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
        super().__init__(cell, output_size)
        self.activation = check_choice("activation", activation, list(ACTIVATIONS))
        self.affine = Affine(cell.output_size, output_size, generator)
        self.skip = skip
        self.direct = nn.Parameter(torch.zeros(output_size, cell.input_size)) if skip else None

    def forward(self, x: Any, state: State) -> tuple[Tensor, State]:
        output, state = self.cell(x, state)
        return self._read(output, x), state

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        output, state = unroll(self.cell, x, state, mask)
        return self._read(output, x), state

    def _inner(self, x: Any, before: State, output: Any) -> Any:
        return self.cell(x, before)[0]

    def _outer(self, inner: Block, output: Tensor) -> Block:
        feedthrough, readout = self.affine.weight @ inner.feedthrough, self.affine.weight @ inner.readout
        if self.direct is not None:
            feedthrough = feedthrough + self.direct
        return inner._replace(
            feedthrough=through(self.activation, output, feedthrough),
            readout=through(self.activation, output, readout),
        )

    def _read(self, output: Tensor, x: Any) -> Tensor:
        value = self.affine(output)
        if self.direct is not None:
            value = value + nn.functional.linear(_value(x), self.direct)
        return ACTIVATIONS[self.activation](value)


class Residual(Wrapper):
    """A cell with a shortcut around it: y_t = x_t + o_t, with o_t the inner cell's output.

    Parameters
    ----------
    cell : Cell
        With ``output_size == input_size``.

    References
    ----------
    Wu et al. (2016), Google's Neural Machine Translation System, eq. (6).
    """

    def __init__(self, cell: Cell):
        if cell.input_size != cell.output_size:
            raise ValueError(
                f"Residual adds input and output, but {type(cell).__name__} has input_size={cell.input_size} and "
                f"output_size={cell.output_size}: make them equal, or put a Readout({cell.input_size}) around the cell."
            )
        super().__init__(cell)

    def forward(self, x: Any, state: State) -> tuple[Tensor, State]:
        output, state = self.cell(x, state)
        return _value(x) + output, state

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        output, state = unroll(self.cell, x, state, mask)
        return _value(x) + output, state

    def _inner(self, x: Any, before: State, output: Any) -> Any:
        return output - _value(x)

    def _outer(self, inner: Block, output: Tensor) -> Block:
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
        if cell.input_size < 1:
            raise ValueError(f"Offset needs a cell with an input to hold at 1, but {type(cell).__name__} takes none.")
        super().__init__(cell)
        self.input_size = cell.input_size - 1

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        return cast(tuple[Any, State], self.cell(self._joined(x), state))

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        return unroll(self.cell, self._joined(x), state, mask)

    def jacobian(self, x: Any, before: State, output: Any, after: State) -> Any:
        return self.cell.jacobian(self._joined(x), before, output, after)

    def block(self, x: Any, before: State, output: Any, after: State) -> Any:
        return super().block(self._joined(x), before, output, after)

    def gates(self, x: Any, before: State, output: Any, after: State) -> dict[str, Tensor]:
        return self.cell.gates(self._joined(x), before, output, after)

    def _outer(self, inner: Block, output: Any) -> Block:
        """The input held at 1 is no input of this cell."""
        return inner._replace(feedthrough=inner.feedthrough[..., :-1], input_map=inner.input_map[..., :-1])

    def _joined(self, x: Any) -> Any:
        value = torch.nn.functional.pad(_value(x), (0, 1), value=1.0)
        return (value, x[1]) if isinstance(x, tuple) else value


class Stack(Cell):
    """Cells on top of each other: the output of each is the input of the next, in the same step.

    The state is a tuple with one entry a layer. Dropout is drawn once per chunk and held in time, so that a step
    stays pure: in training x is the pair ``(x, noise)``, with one entry ``(mask, own noise of the layer)`` a layer as
    :meth:`noise` draws them, each leaf held in time.

    Parameters
    ----------
    layers : sequence of Cell
        From input to output; each takes the width the one before gives.
    dropout : float in [0, 1)
        Share of every layer's outputs that is dropped in training.

    References
    ----------
    Gal & Ghahramani (2016), A Theoretically Grounded Application of Dropout in Recurrent Neural Networks.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.gru import GRU
    >>> two = Stack([GRU(3, 8), GRU(8, 4)])
    >>> scan(two, torch.zeros(1, 5, 3)).output.shape
    torch.Size([1, 5, 4])
    """

    def __init__(self, layers: Sequence[Cell], dropout: float = 0.0):
        layers = list(layers)
        if not layers:
            raise ValueError("Stack needs at least one layer, got none.")
        for below, above in pairwise(layers):
            if below.output_size != above.input_size:
                raise ValueError(
                    f"{type(above).__name__} expects input_size={above.input_size}, but the layer below it "
                    f"({type(below).__name__}) gives output_size={below.output_size}."
                )
        super().__init__(layers[0].input_size, sum(layer.hidden_size for layer in layers), layers[-1].output_size)
        self.layers = nn.ModuleList(layers)
        self.dropout = _check_share(dropout)

    def initial_state(self, batch: int) -> State:
        return tuple(cell.initial_state(batch) for cell in self._cells())

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        x, noise = self._split(x)
        states = []
        for layer, before, (mask, own) in zip(self.layers, state, noise, strict=True):
            output, after = layer(_with(x, own), before)
            x = output if mask is None else output * mask
            states.append(after)
        return x, tuple(states)

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        x, noise = self._split(x)
        states = []
        for layer, before, (dropped, own) in zip(self._cells(), state, noise, strict=True):
            output, after = unroll(layer, _with(x, own), before, mask)
            x = output if dropped is None else output * dropped
            states.append(after)
        return x, tuple(states)

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

    def noise(self, batch: int, generator: torch.Generator) -> Any:
        return _noise([(cell,) for cell in self._cells()], self.dropout, batch, generator)

    def _cells(self) -> list[Cell]:
        return cast(list[Cell], list(self.layers))

    def _passes(self, x: Any, before: State, after: State) -> Iterator[tuple[Cell, tuple[Any, State, Any, State], Any]]:
        """Every layer with its own (x, before, output, after) at this step, and the mask on what it gives."""
        x, noise = self._split(x)
        for index, (layer, (mask, own)) in enumerate(zip(self._cells(), noise, strict=True)):
            seen = _with(x, own)
            output, _ = layer(seen, before[index])
            yield layer, (seen, before[index], output, after[index]), mask
            x = output if mask is None else output * mask

    def _split(self, x: Any) -> tuple[Any, tuple[Any, ...]]:
        """The input, and what was drawn for every layer: a pair, of which the second half is no tensor."""
        drawn = isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], tuple)
        return x if drawn else (x, ((None, None),) * len(self.layers))


class Encoding(NamedTuple):
    """What an :class:`Encoder` returns: ``output`` (batch, time, outputs) and ``summary`` (batch, outputs)."""

    output: Tensor
    summary: Tensor


class Encoder(nn.Module):
    """Layers that may look in both directions, for whole sequences: (x, mask) → (output, summary).

    A layer is a :class:`Cell`, or a pair of cells of which the second walks backwards; a pair's output is
    [→o_t; ←o_t]. It is not a Cell: the past alone does not determine its state.

    Parameters
    ----------
    layers : sequence of Cell or (Cell, Cell)
        From input to output.
    residual : bool
        Add a layer's input to its output where the widths agree.
    dropout : float in [0, 1)
        Share of every layer's outputs dropped in training, one mask a sequence.
    output_size : int, optional
        Read output and summary through y = W_y o + b_y.
    generator : torch.Generator, optional
        Draws W_y.

    Notes
    -----
    The summary joins what each direction has seen last: →o at the last valid step, ←o at the first.

    References
    ----------
    Schuster & Paliwal (1997), Bidirectional Recurrent Neural Networks; Wu et al. (2016) for the first layer
    bidirectional and residual layers above it.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.lstm import LSTM
    >>> google = Encoder([(LSTM(3, 4), LSTM(3, 4)), LSTM(8, 8), LSTM(8, 8)], residual=True)
    >>> output, summary = google(torch.zeros(2, 5, 3))
    >>> output.shape, summary.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        layers: Sequence[Cell | tuple[Cell, Cell]],
        residual: bool = False,
        dropout: float = 0.0,
        output_size: int | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if not layers:
            raise ValueError("Encoder needs at least one layer, got none.")
        pairs = [tuple(layer) if isinstance(layer, tuple | list) else (layer,) for layer in layers]
        if any(len(pair) not in (1, 2) for pair in pairs):
            raise ValueError(f"A layer is one cell or a pair of cells, got {max(map(len, pairs))} of them.")
        self.input_size = pairs[0][0].input_size
        width = self.input_size
        for index, pair in enumerate(pairs):
            for cell in pair:
                if cell.input_size != width:
                    raise ValueError(
                        f"Layer {index} ({type(cell).__name__}) expects input_size={cell.input_size}, but what comes "
                        f"to it has width {width}."
                    )
            width = sum(cell.output_size for cell in pair)
        self.layers = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)
        self.residual = residual
        self.dropout = _check_share(dropout)
        self.output_size = width if output_size is None else output_size
        self.affine = None if output_size is None else Affine(width, output_size, generator)

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: tuple[Any, ...] | None = None) -> Encoding:
        """Encode x (batch, time, inputs); ``noise`` is what :meth:`noise` drew, in training."""
        for layer, (dropped, own) in zip(self._pairs(), noise or ((None, None),) * len(self.layers), strict=True):
            output, summary = _both_directions(layer, x, mask, own)
            if self.residual and output.shape == x.shape:
                output, summary = output + x, summary + _ends(layer, x, mask)
            if dropped is not None:
                output, summary = output * hold(dropped, output.shape[1]), summary * dropped
            x = output
        return Encoding(x, summary) if self.affine is None else Encoding(self.affine(x), self.affine(summary))

    def constructor_arguments(self) -> dict[str, Any]:
        """The constructor arguments, for files, that no attribute of the same name tells."""
        return {"output_size": None} if self.affine is None else {}

    def noise(self, batch: int, generator: torch.Generator) -> Any:
        """One entry (dropout mask, own noise) a layer, for one batch; None if there is none."""
        return _noise(self._pairs(), self.dropout, batch, generator)

    def _pairs(self) -> list[Sequence[Cell]]:
        return cast(list[Sequence[Cell]], list(self.layers))


class Affine(nn.Module):
    """W o + b, with W drawn by the caller's generator (Glorot uniform) and b = 0."""

    def __init__(self, input_size: int, output_size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(output_size, input_size))
        self.bias = nn.Parameter(torch.zeros(output_size))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw W anew and set b to 0."""
        nn.init.xavier_uniform_(self.weight, generator=own_generator(generator))
        nn.init.zeros_(self.bias)

    def forward(self, value: Tensor) -> Tensor:
        return nn.functional.linear(value, self.weight, self.bias)


def own_generator(generator: torch.Generator | None) -> torch.Generator:
    """The caller's generator, or a new one seeded by the operating system: never torch's global one."""
    if generator is not None:
        return generator
    fresh = torch.Generator()
    fresh.seed()
    return fresh


def _check_share(dropout: float) -> float:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}.")
    return dropout


def _noise(
    layers: Sequence[Sequence[Cell]], dropout: float, batch: int, generator: torch.Generator
) -> tuple[Any, ...] | None:
    """One entry (dropout mask, own noise) a layer; None if there is none at all.

    A mask (batch, outputs) is 0 with probability ``dropout``, else 1 / (1 − dropout). A layer of two directions has
    the pair of their own noises.
    """

    def mask(layer: Sequence[Cell]) -> Tensor | None:
        if not dropout:
            return None
        like = layer[0].zeros(batch, sum(cell.output_size for cell in layer))
        drawn = torch.empty(like.shape, dtype=like.dtype, device=generator.device)
        return drawn.bernoulli_(1 - dropout, generator=generator).div_(1 - dropout).to(like.device)

    def own(layer: Sequence[Cell]) -> Any:
        drawn = tuple(cell.noise(batch, generator) for cell in layer)
        return drawn[0] if len(drawn) == 1 else None if all(part is None for part in drawn) else drawn

    noise = tuple((mask(layer), own(layer)) for layer in layers)
    return noise if any(part is not None for entry in noise for part in entry) else None


def _with(x: Any, noise: Any) -> Any:
    """The input of a cell: x, or the pair of x and what is drawn for the cell."""
    return x if noise is None else (x, noise)


def _value(x: Any) -> Any:
    """x without the noise that may come with it."""
    return x[0] if isinstance(x, tuple) else x


def _both_directions(layer: Sequence[Cell], x: Tensor, mask: Tensor | None, noise: Any) -> tuple[Tensor, Tensor]:
    noises = (noise,) if len(layer) == 1 else noise or (None, None)
    outputs = []
    for index, (cell, own) in enumerate(zip(layer, noises, strict=True)):
        held = map_leaves(lambda leaf: hold(leaf, x.shape[1]), own)
        outputs.append(scan(cell, _with(x, held), mask=mask, reverse=index == 1).output)
    ends = [_end(output, mask, first=index == 1) for index, output in enumerate(outputs)]
    return torch.cat(outputs, dim=-1), torch.cat(ends, dim=-1)


def _ends(layer: Sequence[Cell], x: Tensor, mask: Tensor | None) -> Tensor:
    """The input at the step each part of the summary was taken from, for the residual shortcut."""
    pieces = x.split([cell.output_size for cell in layer], dim=-1)
    return torch.cat([_end(piece, mask, first=index == 1) for index, piece in enumerate(pieces)], dim=-1)


def _end(output: Tensor, mask: Tensor | None, first: bool) -> Tensor:
    """The value at each row's first or last valid step."""
    if mask is None:
        return output[:, 0 if first else -1]
    steps = torch.arange(mask.shape[1], device=mask.device)
    step = torch.where(mask, steps, mask.shape[1]).amin(1) if first else torch.where(mask, steps, -1).amax(1)
    step = step.clamp(0, mask.shape[1] - 1)
    return output[torch.arange(len(output), device=output.device), step]

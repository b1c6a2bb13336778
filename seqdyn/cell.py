"""The contract of every recurrence: a step, and where it starts.

    y_t, h_t = f_θ(x_t, h_{t-1})

:class:`Cell` is the contract, :class:`Noisy` an input with what is drawn for it, :class:`Attending` one with a memory
beside it, :class:`Block` the derivative of one step.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape
from seqdyn.state import State, hold


class Noisy(NamedTuple):
    """An input together with the random numbers drawn for it. Its type marks it: the form of a tuple means nothing.

    Attributes
    ----------
    x : tree, leaves (batch, *shape), or (batch, time, *shape) along a sequence
        The input itself.
    noise : tree
        What :meth:`Cell.noise` drew. Without it dropout is off, and a latent variable is its mean.

    Examples
    --------
    >>> noisy("x", "mask")
    Noisy(x='x', noise='mask')
    """

    x: Any
    noise: Any


def noisy(x: Any, noise: Any) -> Any:
    """Return x with the random numbers drawn for it, or x alone where nothing is drawn.

    Examples
    --------
    >>> noisy("x", None), noisy("x", "z")
    ('x', Noisy(x='x', noise='z'))
    """
    return x if noise is None else Noisy(x, noise)


def apart(x: Any) -> tuple[Any, Any]:
    """Split an input into x and what is drawn for it, or None. This is the inverse of :func:`noisy`.

    Examples
    --------
    >>> apart(Noisy("x", "z")), apart("x")
    (('x', 'z'), ('x', None))
    """
    return (x.x, x.noise) if isinstance(x, Noisy) else (x, None)


@shown_by_shape
class Attending(NamedTuple):
    """An input together with the memory that the cell reads. Its type marks it, as that of :class:`Noisy` does.

    Attributes
    ----------
    x : tree, leaves (batch, *shape), or (batch, time, *shape) along a sequence
        The input itself.
    memory : tree
        What does not change in time, such as what an encoder made of a sentence: held along a sequence,
        see :func:`seqdyn.hold`.

    Examples
    --------
    >>> import torch
    >>> Attending(torch.zeros(1, 2), torch.ones(1, 5, 3)).memory.shape  # five rows to read
    torch.Size([1, 5, 3])
    """

    x: Any
    memory: Any


@shown_by_shape
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
        """Return the block of two cells in series, where this cell's output is the input of the cell above."""
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

    Attributes
    ----------
    input_shape, output_shape : tuple of int, or None
        The shape of x_t and of y_t without the batch, ``(input_size,)`` and ``(output_size,)`` unless a subclass says
        otherwise: ``()`` for tokens, whole numbers of int64; ``(channels, height, width)`` for pictures; None for a
        tree of tensors, which the cell checks itself.
    attends : bool
        Whether the cell reads a memory beside its input: x_t is then :class:`Attending`, and ``input_shape`` that of
        its ``x``.

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
    >>> from seqdyn.loops import scan
    >>> scan(Leaky(2, 3), torch.zeros(1, 4, 2)).output.shape
    torch.Size([1, 4, 3])
    """

    input_size: int
    hidden_size: int
    output_size: int
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    attends: bool = False

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None):
        super().__init__()
        self.input_size = check_count("input_size", input_size, 0)
        self.hidden_size = check_count("hidden_size", hidden_size, 0)
        self.output_size = check_count("output_size", hidden_size if output_size is None else output_size, 0)
        if not hasattr(type(self), "input_shape"):
            self.input_shape = (self.input_size,)
        if not hasattr(type(self), "output_shape"):
            self.output_shape = (self.output_size,)

    def initial_state(self, batch: int) -> State:
        """The memory before the first step, h_{-1}, for ``batch`` rows."""
        raise NotImplementedError(f"{type(self).__name__} must define initial_state(batch).")

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        """One step: from x (batch, *input_shape), a tree or :class:`Noisy`, and the state to (output, state)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x, state).")

    def unroll(self, x: Any, state: State, mask: Tensor | None = None) -> Any:
        """Fast path over x (batch, time, *input_shape), equal to the loop; ``NotImplemented`` where there is none."""
        return NotImplemented

    def backend(self, x: Any, state: State, mask: Tensor | None = None) -> str:
        """What runs this cell over x (batch, time, *input_shape), in words that follow "it runs"."""
        if self.unroll(x, state, mask) is NotImplemented:
            return "step by step: it has no kernel" + ("" if mask is None else " that knows masks")
        return "in torch operations over whole stretches of time"

    def prepared(self) -> Any:
        """The step on arrays, ``(x, state) -> (output, state)``, or ``NotImplemented`` where there is none.

        Equal to the written step, also on one row without the batch; the state it gives is of plain tuples. It reads
        the parameters where they lie, see :func:`seqdyn.prepared.shared_arrays`, and changes nothing in place.
        """
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

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        """The random inputs of one pass, leaves (batch, time, …), for ``Noisy(x, noise)``; None if there are none.

        What belongs to a whole sequence, as a dropout mask does, is drawn once and held; what is new at every step, as
        a latent variable is, is drawn for all of them. Dropout is drawn in training mode only.
        """
        return None

    def primed(self, lead: Any, there: Tensor) -> State:
        """The initial state of sequences whose rows before the first step are known: delay lines are filled with them.

        Parameters
        ----------
        lead : tree, leaves (batch, rows, *input_shape)
            The rows before the first step, oldest first.
        there : Tensor of bool, shape (batch, rows)
            Whether each belongs to the same series.
        """
        return self.initial_state(len(there))

    def alone(self, batch: int, time: int) -> Any:
        """The input (batch, time, *input_shape) of a cell left to itself: zeros."""
        if self.input_shape is None:
            raise ValueError(f"{type(self).__name__} takes a tree, and does not say what it is when nothing comes in.")
        if self.attends:
            raise ValueError(f"{type(self).__name__} reads a memory, and nothing stands for one: give it an input.")
        nothing = self.zeros(batch, *self.input_shape)
        return hold(nothing if self.input_shape else nothing.long(), time)

    def constructor_arguments(self) -> dict[str, Any]:
        """The constructor arguments, for files, that no attribute of the same name tells."""
        return {}

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, output_size={self.output_size}"

    def zeros(self, batch: int, *shape: int) -> Tensor:
        """Zeros (batch, *shape) on the device and in the dtype of this cell's own parameters or buffers."""
        for own in chain(self.parameters(), self.buffers()):
            return own.new_zeros(batch, *shape)
        return torch.zeros(batch, *shape)


def outline(cell: nn.Module) -> str:
    """Return a cell in a line: its type, with the cells inside it or with the widths of its input and memory.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.composition import Readout, Stack
    >>> outline(Readout(Stack([GRU(1, 8), GRU(8, 4)]), 2))
    'Readout(Stack(GRU(1 → 8), GRU(8 → 4)))'
    """
    parts = chain.from_iterable(part if isinstance(part, nn.ModuleList) else [part] for part in cell.children())
    inside = ", ".join(outline(part) for part in parts if isinstance(part, Cell))
    widths = f"{cell.input_size} → {cell.hidden_size}" if isinstance(cell, Cell) else ""
    return f"{type(cell).__name__}({inside or widths})"


class Summing(Cell):
    """A cell whose input enters by a sum alone: y_t, h_t = g(W x_t + b, h_{t-1}).

    What wraps it may compute W x + b itself, once for a part of x that does not change.

    Attributes
    ----------
    input_weight : Parameter, shape (sums, inputs)
        W.
    bias : Parameter, shape (sums,)
        b.
    """

    input_weight: nn.Parameter
    bias: nn.Parameter

    def summed(self, sums: Tensor, state: State) -> tuple[Any, State]:
        """g: one step from W x + b (batch, sums)."""
        raise NotImplementedError(f"{type(self).__name__} must define summed(sums, state).")

    def forward(self, x: Tensor, state: State) -> tuple[Any, State]:
        return self.summed(nn.functional.linear(x, self.input_weight, self.bias), state)

"""Recurrences that attend to the memory of another sequence.

    s_t, h_t = f(x_t, h_{t-1}),   c_t = Σ_j α_tj v_j,   y_t = tanh(W_c [s_t; c_t])

The memory is a held input: its keys and values are made once, and a step only reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell, apart, noisy
from seqdyn.composition import LayerNoise, check_share, dropout_mask
from seqdyn.facts import shown_by_shape
from seqdyn.loops import unroll
from seqdyn.scores import Attentive, Reader, check_queries, read_once
from seqdyn.state import State


@shown_by_shape
class AttentionState(NamedTuple):
    """``lower``: of the layer that asks; ``upper``: of those that see the answer, one a layer."""

    lower: State
    upper: tuple[State, ...]


class AttentionNoise(NamedTuple):
    """What is drawn for a decoder: the noise of every layer, and the dropout mask behind every layer, and on y_t."""

    layers: tuple[Any, ...]
    masks: tuple[Tensor | None, ...]


class AttentionDecoder(Attentive):
    """A decoder of several layers: the lowest queries the memory, and the others see what it reads.

        s_t, h_t = lower(x_t, h_{t-1})
        α_t = softmax_j(score(s_t, k_j)),   c_t = Σ_j α_tj v_j
        u_t, g_t = upper([s_t; c_t], g_{t-1})        every upper layer sees c_t beside what comes from below
        y_t = tanh(W_c [u_t; c_t] + b_c)             u_t = s_t without upper layers

    The recurrence does not see y_t, so that a sequence that is known is one fused pass; with :class:`InputFeeding`
    around it, it does. Its input is :class:`~seqdyn.cell.Attending` (x_t, memory); the memory is what
    ``attention.memory(rows, there)`` gives, held in time.

    Parameters
    ----------
    lower : Cell
    attention : Attention or MultiHead
        Its queries are as wide as the outputs of ``lower``.
    upper : sequence of Cell
        Each takes what comes from below, and c_t behind it.
    residual : bool
        Add what comes from below to the output of every upper layer of the same width.
    output_size : int, optional
        Width of y_t; that of u_t if None.
    dropout : float in [0, 1)
        Share of what is dropped in training between the layers, and of y_t; one mask a sequence.
    generator : torch.Generator, optional
        Draws W_c.

    References
    ----------
    Luong, Pham & Manning (2015), eq. (5) (without upper layers); Wu et al. (2016), Google's Neural Machine Translation
    System, section 3 (upper layers that see the context).

    Examples
    --------
    >>> from seqdyn.cell import Attending
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.loops import scan
    >>> from seqdyn.scores import Attention
    >>> from seqdyn.state import hold
    >>> attention = Attention("general", 8, 6)
    >>> decoder, memory = AttentionDecoder(GRU(3, 8), attention), attention.memory(torch.zeros(2, 4, 6))
    >>> scan(decoder, Attending(torch.zeros(2, 5, 3), hold(memory, 5))).output.shape
    torch.Size([2, 5, 8])
    """

    upper: Any

    def __init__(
        self,
        lower: Cell,
        attention: Reader,
        upper: Sequence[Cell] = (),
        residual: bool = False,
        output_size: int | None = None,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        check_queries(lower, attention)
        width = lower.output_size
        for number, layer in enumerate(upper):
            if layer.input_shape != (width + attention.context_size,):
                raise ValueError(
                    f"Upper layer {number} ({type(layer).__name__}) takes {layer.input_shape}, expected the {width} "
                    f"outputs from below and {attention.context_size} of the context: "
                    f"({width + attention.context_size},)."
                )
            width = layer.output_size
        hidden = lower.hidden_size + sum(layer.hidden_size for layer in upper)
        super().__init__(lower.input_size, hidden, width if output_size is None else output_size)
        self.input_shape = lower.input_shape
        self.lower, self.attention, self.upper = lower, attention, nn.ModuleList(upper)
        self.residual, self.dropout = residual, check_share("dropout", dropout)
        self.join = Affine(width + attention.context_size, self.output_size, generator)

    def initial_state(self, batch: int) -> AttentionState:
        upper = tuple(layer.initial_state(batch) for layer in self.upper)
        return AttentionState(self.lower.initial_state(batch), upper)

    def forward(self, x: Any, state: AttentionState) -> tuple[Tensor, AttentionState]:
        return self._run(lambda layer, *given: layer(*given), x, state)

    def unroll(self, x: Any, state: AttentionState, mask: Tensor | None = None) -> Any:
        once = NotImplemented if mask is not None else read_once(x)
        return NotImplemented if once is NotImplemented else self._run(unroll, once, state)

    def gates(self, x: Any, before: AttentionState, output: Any, after: AttentionState) -> dict[str, Tensor]:
        """``"attention"``: α_t, (batch, source)."""
        (value, memory), noise = apart(x)
        own, (mask, *_) = self._noise(noise)
        asking, _ = self.lower(noisy(value, own[0]), before.lower)
        return {"attention": self.attention(asking if mask is None else asking * mask, memory).weights}

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        layers = self._layers()
        own = tuple(layer.noise(batch, time, generator) for layer in layers)
        widths = [*(layer.output_size for layer in layers[:-1]), self.output_size]
        dropout = self.dropout if self.training else 0.0
        drawn = [dropout_mask(self.zeros(batch, width), dropout, time, generator) for width in widths]
        if all(part is None for part in (*own, *drawn)):
            return None
        return AttentionNoise(own, (*drawn[:-1], None, drawn[-1]))

    def constructor_arguments(self) -> dict[str, Any]:
        return {"upper": list(self.upper)}

    def _run(self, run: Any, x: Any, state: AttentionState) -> tuple[Tensor, AttentionState]:
        """One step, or all of them: the equations are the same."""
        (value, memory), noise = apart(x)
        own, masks = self._noise(noise)
        below, lower = run(self.lower, noisy(value, own[0]), state.lower)
        below = dropped(below, masks[0])
        context = self.attention(below, memory).context
        upper = []
        for layer, drawn, mask, before in zip(self.upper, own[1:], masks[1:], state.upper, strict=False):
            output, after = run(layer, noisy(torch.cat([below, context], -1), drawn), before)
            output = output + below if self.residual and output.shape == below.shape else output
            below = dropped(output, mask)
            upper.append(after)
        y = torch.tanh(self.join(torch.cat([below, context], -1)))
        return dropped(y, masks[-1]), AttentionState(lower, tuple(upper))

    def _noise(self, noise: AttentionNoise | None) -> AttentionNoise:
        """What was drawn for every layer, or nothing."""
        nothing = (None,) * (len(self.upper) + 1)
        return AttentionNoise(nothing, (*nothing, None)) if noise is None else noise

    def _layers(self) -> list[Cell]:
        return [self.lower, *self.upper]


@shown_by_shape
class ContextInputState(NamedTuple):
    """``inner``: of the inner cell; ``query`` (batch, outputs): s_{t-1}, with which the next step asks."""

    inner: State
    query: Tensor


class ContextInput(Attentive):
    """A recurrence whose previous state queries the memory, and whose step takes the context as input.

        α_t = softmax_j(score(s_{t-1}, k_j)),   c_t = Σ_j α_tj v_j
        s_t, h_t = f([x_t; c_t], h_{t-1}),   y_t = tanh(W_c [s_t; c_t] + b_c)

    It is run step by step. Its input is :class:`~seqdyn.cell.Attending` (x_t, memory), as that of
    :class:`AttentionDecoder`.

    Parameters
    ----------
    cell : Cell
        Takes c_t behind its inputs.
    attention : Attention or MultiHead
        Its queries are as wide as the outputs of ``cell``.
    output_size : int, optional
        Width of y_t; that of s_t if None.
    dropout : float in [0, 1)
        Share of y_t that is dropped in training, one mask a sequence.
    generator : torch.Generator, optional
        Draws W_c.

    References
    ----------
    Bahdanau, Cho & Bengio (2015), eqs. (4) to (6), with a tanh layer for their maxout.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.scores import Attention
    >>> ContextInput(GRU(9, 8), Attention("additive", 8, 6)).input_size
    3
    """

    def __init__(
        self,
        cell: Cell,
        attention: Reader,
        output_size: int | None = None,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        check_queries(cell, attention)
        context = attention.context_size
        if cell.input_shape != (cell.input_size,) or cell.input_size < context:
            raise ValueError(
                f"{type(cell).__name__} takes {cell.input_shape}: it must take its inputs, and the {context} of the "
                "context behind them."
            )
        width = cell.output_size if output_size is None else output_size
        super().__init__(cell.input_size - context, cell.hidden_size, width)
        self.cell, self.attention, self.dropout = cell, attention, check_share("dropout", dropout)
        self.join = Affine(cell.output_size + context, self.output_size, generator)

    def initial_state(self, batch: int) -> ContextInputState:
        return ContextInputState(self.cell.initial_state(batch), self.zeros(batch, self.cell.output_size))

    def forward(self, x: Any, state: ContextInputState) -> tuple[Tensor, ContextInputState]:
        (value, memory), noise = apart(x)
        mask, own = noise or (None, None)
        context = self.attention(state.query, memory).context
        query, inner = self.cell(noisy(torch.cat([value, context], 1), own), state.inner)
        y = torch.tanh(self.join(torch.cat([query, context], 1)))
        return dropped(y, mask), ContextInputState(inner, query)

    def gates(self, x: Any, before: ContextInputState, output: Any, after: ContextInputState) -> dict[str, Tensor]:
        """``"attention"``: α_t, (batch, source)."""
        return {"attention": self.attention(before.query, apart(x)[0].memory).weights}

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        own, dropout = self.cell.noise(batch, time, generator), self.dropout if self.training else 0.0
        mask = dropout_mask(self.zeros(batch, self.output_size), dropout, time, generator)
        return None if mask is None and own is None else LayerNoise(mask, own)


@shown_by_shape
class InputFeedingState(NamedTuple):
    """``inner``: of the inner cell; ``last`` (batch, outputs): y_{t-1}."""

    inner: State
    last: Tensor


class InputFeeding(Cell):
    """A cell that sees its own last output beside its input: y_t, h_t = f([x_t; y_{t-1}], h_{t-1}).

    Around an :class:`AttentionDecoder` it tells the recurrence what was attended to before.

    Parameters
    ----------
    cell : Cell
        Takes its outputs behind its inputs.

    References
    ----------
    Luong, Pham & Manning (2015), section 3.3.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> InputFeeding(GRU(7, 4)).input_size
    3
    """

    def __init__(self, cell: Cell):
        if cell.input_shape != (cell.input_size,) or cell.input_size < cell.output_size:
            raise ValueError(
                f"{type(cell).__name__} takes {cell.input_shape} and gives {cell.output_size} outputs: it must take "
                "its inputs, and its outputs behind them."
            )
        super().__init__(cell.input_size - cell.output_size, cell.hidden_size, cell.output_size)
        self.cell, self.attends = cell, cell.attends

    def initial_state(self, batch: int) -> InputFeedingState:
        return InputFeedingState(self.cell.initial_state(batch), self.zeros(batch, self.output_size))

    def forward(self, x: Any, state: InputFeedingState) -> tuple[Tensor, InputFeedingState]:
        output, inner = self.cell(self._see(x, state.last), state.inner)
        return output, InputFeedingState(inner, output)

    def gates(self, x: Any, before: InputFeedingState, output: Any, after: InputFeedingState) -> dict[str, Tensor]:
        return self.cell.gates(self._see(x, before.last), before.inner, output, after.inner)

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        return self.cell.noise(batch, time, generator)

    def _see(self, x: Any, last: Tensor) -> Any:
        given, noise = apart(x)
        value = torch.cat([given.x if self.attends else given, last], 1)
        return noisy(given._replace(x=value) if self.attends else value, noise)


def dropped(output: Tensor, mask: Tensor | None) -> Tensor:
    """The output of a layer behind its dropout mask, if there is one."""
    return output if mask is None else output * mask

"""Decoders that attend, from the names of their parts: what writes a translation, or a caption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from seqdyn.cell import Cell
from seqdyn.cells.attention import AttentionDecoder, ContextInput, InputFeeding
from seqdyn.cells.hard_attention import HardAttention
from seqdyn.composition import Embedding, Residual, Stack
from seqdyn.scores import Attention, attention_of


@dataclass(frozen=True)
class DecoderPlan:
    """What a decoder is made of, in the words of :class:`~seqdyn.estimators.writer.Writer`; ``layers`` are its own."""

    attention: str | None
    context: str
    input_feeding: bool
    layers: int
    hidden_size: int
    embedding_size: int
    heads: int
    residual: bool
    dropout: float

    def build(
        self, layer: Callable[[int, int], Cell], memory_size: int, symbols: int, generator: torch.Generator
    ) -> Embedding:
        """From the token before, and a memory of rows ``memory_size`` wide, to the scores of the next symbol.

        ``layer(inputs, hidden)`` makes every layer.
        """
        hidden, width = self.hidden_size, self.embedding_size
        if self.attention == "hard":
            reader = Attention("general", hidden, memory_size, generator)
            cell: Cell = HardAttention(self._stack(layer, width), reader, symbols, generator)
            return Embedding(cell, symbols + 1, generator, self.dropout)
        attention = attention_of(self.attention or "general", hidden, memory_size, self.heads, generator)
        if self.context == "input":
            inner = self._stack(layer, width + attention.context_size)
            cell = ContextInput(inner, attention, width, self.dropout, generator)
        else:
            lower = layer(width * (1 + self.input_feeding), hidden)
            upper = [layer(hidden + attention.context_size, hidden) for _ in range(self.layers - 1)]
            cell = AttentionDecoder(lower, attention, upper, self.residual, width, self.dropout, generator)
            cell = InputFeeding(cell) if self.input_feeding else cell
        return Embedding(cell, symbols + 1, generator, self.dropout, symbols)

    def _stack(self, layer: Callable[[int, int], Cell], inputs: int) -> Cell:
        """All layers as one recurrence."""
        lowest = layer(inputs, self.hidden_size)
        if self.layers == 1 and not self.dropout:
            return lowest
        above = [layer(self.hidden_size, self.hidden_size) for _ in range(self.layers - 1)]
        return Stack([lowest, *(Residual(cell) if self.residual else cell for cell in above)], self.dropout)

"""Networks that read or write symbols: which symbols, and by which recurrence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.data.text import TEXT_UNITS, Vocabulary
from seqdyn.estimators.layers import layer_of
from seqdyn.estimators.parameters import Rule, at_least, either, instance_of, one_of, optional

NAMED_CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "gru": GRU, "elman": Elman}
"""Cells that can be given by name."""


@dataclass(frozen=True, kw_only=True)
class SymbolLayers:
    """The symbols of a text, and the recurrence of the layers that read or write them.

    Parameters
    ----------
    unit : {"character", "word", "subword"}
        What a symbol is. Sub-words need the library ``tokenizers``: ``pip install seqdyn[text]``.
    cell : {"lstm", "gru", "elman"} or callable
        Every layer; or a class called as ``cell(input_size, hidden_size)`` for each.
    vocabulary_size : int, optional
        Keep this many symbols, the most frequent; all of them if None. Of sub-words: learn this many.
    min_count : int, at least 1
        Keep symbols that appear at least this often.

    Examples
    --------
    >>> SymbolLayers(unit="word", cell="gru").layer(torch.Generator())(3, 8).hidden_size
    8
    """

    unit: str = "character"
    cell: Any = "lstm"
    vocabulary_size: int | None = None
    min_count: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """These parameters out of all parameters of an estimator."""
        return cls(**{field.name: parameters[field.name] for field in fields(cls)})

    @property
    def drops_symbols(self) -> bool:
        """Whether the vocabulary may leave symbols out."""
        return self.unit != "subword" and (self.min_count > 1 or self.vocabulary_size is not None)

    def layer(self, generator: torch.Generator) -> Callable[[int, int], Cell]:
        """A function ``layer(inputs, hidden)`` that makes a layer of these widths."""
        cell = NAMED_CELLS[self.cell] if isinstance(self.cell, str) else self.cell
        return lambda inputs, hidden: layer_of(cell, inputs, hidden, generator)

    def vocabulary(self, texts: Iterable[str], marks: Sequence[str] = ()) -> Vocabulary:
        """The vocabulary of some texts, with these marks."""
        return Vocabulary.of_texts(texts, self.unit, marks, self.vocabulary_size, self.min_count)


_CLASS: Rule = (
    lambda value: callable(value) and not isinstance(value, Cell),
    "a class called as cell(input_size, hidden_size)",
)

SYMBOL_RULES: dict[str, Rule] = {
    "unit": one_of(*TEXT_UNITS),
    "cell": either(one_of(*NAMED_CELLS), _CLASS),
    "vocabulary_size": optional(at_least(1)),
    "min_count": at_least(1),
    "embedding_size": at_least(1),
}
"""What the parameters of :class:`SymbolLayers` must be; its layers have several widths, so ``cell`` is a class."""

BUILT_CELL: Rule = either(SYMBOL_RULES["cell"], instance_of(Cell, "a built Cell"))
"""What ``cell`` may be where one built layer is enough."""


def vocabulary_text(vocabulary: Vocabulary) -> str:
    """The size of a vocabulary in words.

    Examples
    --------
    >>> vocabulary_text(Vocabulary.of("hello"))
    '4 characters'
    """
    return f"{len(vocabulary.symbols):,} {vocabulary.unit}s"

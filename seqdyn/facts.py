"""What an object shows of itself: one line for ``__repr__``, one small table for ``_repr_html_``."""

from __future__ import annotations

import html
from collections.abc import Mapping, Set
from itertools import islice
from typing import Any, TypeVar

from seqdyn.checks import is_int, is_number

Record = TypeVar("Record")

WIDEST = 80
"""Characters of one fact in a line; what is longer is cut."""
MOST_ITEMS = 6
"""Items of a collection that are shown."""


def fact_line(title: str, facts: Mapping[str, object]) -> str:
    """Return the facts in one line, as a call would be written: ``Title(name=value, …)``; values by :func:`shown`.

    Examples
    --------
    >>> fact_line("Stream", {"cell": "GRU(1 → 8)", "steps": 3})
    'Stream(cell=GRU(1 → 8), steps=3)'
    """
    return f"{title}({', '.join(f'{name}={_shortened(shown(value))}' for name, value in facts.items())})"


def fact_table(title: str, facts: Mapping[str, object]) -> str:
    """Return the facts as an HTML table that stands alone, for notebooks; title, names and values are escaped.

    Examples
    --------
    >>> fact_table("Stream", {"steps": 3})
    '<table><caption>Stream</caption><tr><th>steps</th><td>3</td></tr></table>'
    """
    rows = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(shown(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"


def shown(value: Any) -> str:
    """Return a value in one line: arrays and tensors by type and shape (no number is read), numbers to four digits.

    Examples
    --------
    >>> import numpy as np
    >>> shown(np.zeros((3, 2))), shown(1 / 3), shown({"a": [1, 2.5]})
    ('float64 (3, 2)', '0.3333', '{a: [1, 2.5]}')
    """
    if isinstance(value, str):
        return " ".join(value.split())
    if is_int(value):
        return str(value)
    if is_number(value) and not isinstance(value, bool):
        return f"{value:.4g}"
    return _collection(value) if isinstance(value, list | tuple | Set | Mapping) else _single(value)


def shown_by_facts(cls: type[Record]) -> type[Record]:
    """Show the objects of a class by what their method ``facts()`` tells: a line, and a table in notebooks.

    Examples
    --------
    >>> @shown_by_facts
    ... class Line:
    ...     def facts(self):
    ...         return {"slope": 2.0}
    >>> Line()
    Line(slope=2)
    """

    def line(self: Any) -> str:
        return fact_line(cls.__name__, self.facts())

    def table(self: Any) -> str:
        return fact_table(cls.__name__, self.facts())

    cls.__repr__, cls._repr_html_ = line, table  # type: ignore[attr-defined, method-assign]
    return cls


def shown_by_shape(cls: type[Record]) -> type[Record]:
    """Show a NamedTuple of tensors by dtypes and shapes, rather than by all its numbers; nothing else changes.

    Examples
    --------
    >>> import torch
    >>> from typing import NamedTuple
    >>> @shown_by_shape
    ... class LeakyState(NamedTuple):
    ...     h: torch.Tensor
    >>> LeakyState(torch.zeros(1, 8))
    LeakyState(h=float32 (1, 8))
    """
    cls.__repr__ = shown  # type: ignore[method-assign]
    return cls


def _single(value: Any) -> str:
    """A value that holds no others: by its own text where that is a line and says something, else by its type."""
    if isinstance(value, type) or hasattr(value, "__name__"):
        return str(value.__name__)
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__ if dtype is None else str(dtype).removeprefix('torch.')} {tuple(shape)}"
    text = repr(value)
    return type(value).__name__ if "\n" in text or " object at 0x" in text else text


def _collection(value: Any) -> str:
    """The first items of a collection, in its own brackets."""
    if hasattr(value, "_fields"):
        return fact_line(type(value).__name__, dict(zip(value._fields, value, strict=True)))
    pairs = isinstance(value, Mapping)
    items = [
        f"{shown(item)}: {shown(value[item])}" if pairs else shown(item) for item in islice(iter(value), MOST_ITEMS)
    ]
    if len(value) > MOST_ITEMS:
        items.append(f"… {len(value)} in all")
    first, last = "[]" if isinstance(value, list) else "()" if isinstance(value, tuple) else "{}"
    return f"{first}{', '.join(items)}{',' if isinstance(value, tuple) and len(value) == 1 else ''}{last}"


def _shortened(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"

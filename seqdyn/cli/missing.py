"""Missing numbers: the words that stand for them in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset((
    "", "-", "--", "\u2013", "\u2014", ".", "..", "...", "?", ":", "na",
    "n.a.", "n/a", "nan", "null", "none",
))  # fmt: skip
"""What stands for a number that is not known, in small letters and without spaces around it."""


def known_cells(cells: pd.Series) -> pd.Series:
    """Cells of text, without spaces around them, that do not stand for a missing number.

    Examples
    --------
    >>> import pandas as pd
    >>> list(known_cells(pd.Series(["1", " - ", "n.a.", "x "])))
    ['1', 'x']
    """
    known = cells.dropna().astype(str).str.strip()
    return known[~known.str.lower().isin(MISSING)]


def mostly(known: pd.Series, words: str) -> bool:
    """Whether more than half of the cells are such words."""
    return 2 * int(known.str.fullmatch(words).sum()) > len(known)


def said_missing(marked: Mapping[str, pd.Series], name: str) -> list[str]:
    """How many cells of which columns were read as missing, and what stands there."""
    marked = {column: cells[cells.str.strip() != ""] for column, cells in marked.items() if len(cells)}
    marked = {column: cells for column, cells in marked.items() if len(cells)}
    if not marked:
        return []
    words = sorted({str(cell).strip() for cells in marked.values() for cell in cells})
    count = sum(map(len, marked.values()))
    return [
        f"{name}: {count} cell{'s' if count > 1 else ''} of {', '.join(map(repr, marked))} with "
        f"{', '.join(map(repr, words))} {'were' if count > 1 else 'was'} read as missing."
    ]

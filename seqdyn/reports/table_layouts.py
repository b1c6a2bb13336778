"""Tables of a page, filled from places in the content of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from seqdyn.reports.page import Number, PageTable, TableItem
from seqdyn.reports.pointers import Content, Key, filled, keys_of, look_up

SHOWN_ROWS = 12
"""How many rows a table shows by default."""

Column = str | Callable[[Content, Key], TableItem]


class TableLayout(NamedTuple):
    """A table of a page, and the places in the content that fill it.

    rows      the place of the list or dictionary that has one entry for every row
    columns   by header, the place of a number (``*`` is the key of the row), or a function (content, key) -> item
    head      the header of a first column with the keys; "" for no such column
    most      how many rows are shown; if there are more: those at powers of two, at the required lag, and the last
    """

    caption: str
    rows: str
    columns: Mapping[str, Column]
    head: str = ""
    most: int = SHOWN_ROWS

    def table(self, content: Content) -> PageTable:
        """The filled table; it has no rows if nothing was measured."""
        keys = keys_of(look_up(content, self.rows))
        shown = [key for key in keys if len(keys) <= self.most or self._telling(content, key, len(keys) - 1)]
        part = "" if len(shown) == len(keys) else f" ({len(shown)} of {len(keys)}; all are in the JSON)"
        headers = [*([self.head] if self.head else []), *self.columns]
        rows = [self._row(content, key) for key in shown]
        return without_empty_columns(PageTable(self.caption + part, headers, rows))

    def _row(self, content: Content, key: Key) -> list[TableItem]:
        columns = self.columns.values()
        items = [one(content, key) if callable(one) else item(content, filled(one, key)) for one in columns]
        return [str(key + 1 if isinstance(key, int) else key), *items] if self.head else items

    def _telling(self, content: Content, key: Key, last: int) -> bool:
        """Whether the row is at a power of two, at the required lag, or at the end."""
        first = next(iter(self.columns.values()))
        label = None if callable(first) or self.head else look_up(content, filled(first, key))
        place = label if isinstance(label, int) else key + 1 if isinstance(key, int) else 1
        wanted = {2**power for power in range(40)} | {content["subject"]["required_lag"]}
        return place in wanted or key == last


def without_empty_columns(table: PageTable) -> PageTable:
    """The table without empty columns: those without a text and without a number other than NaN.

    Examples
    --------
    >>> table = PageTable("Sizes", ["name", "size", "unit"], [["a", Number(1.0), ""], ["b", Number(2.0), ""]])
    >>> without_empty_columns(table).columns
    ['name', 'size']
    """
    there = [any(_says(row[place]) for row in table.rows) for place in range(len(table.columns))]
    rows = [[one for one, kept in zip(row, there, strict=True) if kept] for row in table.rows]
    headers = [one for one, kept in zip(table.columns, there, strict=True) if kept]
    return PageTable(table.caption, headers, rows) if table.rows else table


def _says(one: TableItem) -> bool:
    """Whether an item of a table is not empty."""
    if isinstance(one, Number):
        return one.value is not None and one.value == one.value
    return one != ""


def columns_from(pattern: str, labels: Mapping[str, str] | Sequence[str]) -> dict[str, Column]:
    """One column for each name, which replaces ``{}`` in the pattern; a name without a label is its own.

    Examples
    --------
    >>> columns_from("/products/{}/*", {"lags": "lag, steps", "samples": "samples"})
    {'lag, steps': '/products/lags/*', 'samples': '/products/samples/*'}
    """
    labels = labels if isinstance(labels, Mapping) else dict(zip(labels, labels, strict=True))
    return {label: pattern.format(name) for name, label in labels.items()}


def item(content: Content, where: str) -> TableItem:
    """The item at a place: a text, a number, or a list of texts joined by commas."""
    found = look_up(content, where)
    return found if isinstance(found, str) else ", ".join(found) if isinstance(found, list) else Number(found, where)


def last_of(pattern: str) -> Column:
    """A column of the last numbers of lists; a dash for an empty list."""

    def column(content: Content, key: Key) -> TableItem:
        where = filled(pattern, key)
        values = look_up(content, where)
        return Number(values[-1], f"{where}/{len(values) - 1}") if values else "–"

    return column

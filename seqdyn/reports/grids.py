"""Tables of a report's page, made of places in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from seqdyn.reports.page import Item, Number, Table
from seqdyn.reports.pointers import Content, Key, filled, keys_of, look_up

ROWS = 12
"""Rows of a table, unless it says otherwise."""

Column = str | Callable[[Content, Key], Item]


class Grid(NamedTuple):
    """A table of the page, made of places in the report.

    Attributes
    ----------
    caption : str
    rows : str
        Where the list or the dictionary stands that has one entry a row.
    columns : dict of str to pattern or callable
        The header, and where the number stands (``*`` is the key of the row) or what gives it.
    head : str
        The header of a first column with the keys; "" for none.
    most : int
        Rows that are shown; of more, those at powers of two, at the required lag, and the last.
    """

    caption: str
    rows: str
    columns: Mapping[str, Column]
    head: str = ""
    most: int = ROWS

    def table(self, content: Content) -> Table:
        """The table; without rows where nothing was measured."""
        keys = keys_of(look_up(content, self.rows))
        shown = [key for key in keys if len(keys) <= self.most or self._telling(content, key, len(keys) - 1)]
        part = "" if len(shown) == len(keys) else f" ({len(shown)} of {len(keys)}; all are in the JSON)"
        headers = [*([self.head] if self.head else []), *self.columns]
        return told(Table(self.caption + part, headers, [self._row(content, key) for key in shown]))

    def _row(self, content: Content, key: Key) -> list[Item]:
        items = [
            one(content, key) if callable(one) else item(content, filled(one, key)) for one in self.columns.values()
        ]
        return [str(key + 1 if isinstance(key, int) else key), *items] if self.head else items

    def _telling(self, content: Content, key: Key, last: int) -> bool:
        """Whether the row stands at a power of two, at the required lag, or at the end."""
        first = next(iter(self.columns.values()))
        label = None if callable(first) or self.head else look_up(content, filled(first, key))
        place = label if isinstance(label, int) else key + 1 if isinstance(key, int) else 1
        wanted = {2**power for power in range(40)} | {content["subject"]["required_lag"]}
        return place in wanted or key == last


def told(table: Table) -> Table:
    """The table without the columns in which nothing stands: no text, and no number but NaN.

    Examples
    --------
    >>> told(Table("Sizes", ["name", "size", "unit"], [["a", Number(1.0), ""], ["b", Number(2.0), ""]])).columns
    ['name', 'size']
    """
    there = [any(_says(row[place]) for row in table.rows) for place in range(len(table.columns))]
    rows = [[one for one, kept in zip(row, there, strict=True) if kept] for row in table.rows]
    headers = [one for one, kept in zip(table.columns, there, strict=True) if kept]
    return Table(table.caption, headers, rows) if table.rows else table


def _says(one: Item) -> bool:
    """Whether an item of a table says something."""
    if isinstance(one, Number):
        return one.value is not None and one.value == one.value
    return one != ""


def columns(pattern: str, labels: Mapping[str, str]) -> dict[str, Column]:
    """One column for each name, which takes the place of ``{}`` in the pattern.

    Examples
    --------
    >>> columns("/products/{}/*", {"lags": "lag, steps", "samples": "samples"})
    {'lag, steps': '/products/lags/*', 'samples': '/products/samples/*'}
    """
    return {label: pattern.format(name) for name, label in labels.items()}


def item(content: Content, where: str) -> Item:
    """A text as it is, a number as one, texts in a row."""
    found = look_up(content, where)
    return found if isinstance(found, str) else ", ".join(found) if isinstance(found, list) else Number(found, where)


def last(pattern: str) -> Column:
    """The last number of the list that stands there; a dash where there is none."""

    def column(content: Content, key: Key) -> Item:
        where = filled(pattern, key)
        values = look_up(content, where)
        return Number(values[-1], f"{where}/{len(values) - 1}") if values else "–"

    return column

"""Panels: many series on one regular grid of time.

:mod:`seqdyn.data.panel_reading` reads one from a frame, :mod:`seqdyn.data.panel_additions` what comes to it later,
:mod:`seqdyn.data.panel_additions` what is known of the future; its :meth:`Panel.restore` gives forecasts back in the
layout that came in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.data.columns import column_names
from seqdyn.data.grids import Grid
from seqdyn.data.labels import index_content, index_from
from seqdyn.data.panel_layouts import Layout, Roles
from seqdyn.data.sequences import EndToEnd


@dataclass(frozen=True)
class Panel(EndToEnd):
    """Series laid end to end, each without holes.

    Attributes
    ----------
    names : Index, shape (series,)
    lengths : array of int, shape (series,)
    times : Index, shape (total,)
        The instant of every row.
    target : array, shape (total,)
        NaN where missing.
    past, future : array, shape (total, columns)
        A number is one column, a category one column a value; :meth:`columns` has what they are called.
    static : DataFrame or None
        One row a series.
    present : array of bool, shape (total,)
        False at rows that the frame did not have.
    grid : Grid
    layout : Layout
    roles : Roles
    categories : dict of tuple
        The values of every past and future covariate that is a category.
    """

    names: pd.Index
    lengths: Array
    times: pd.Index
    target: Array
    past: Array
    future: Array
    static: pd.DataFrame | None
    present: Array
    grid: Grid
    layout: Layout
    roles: Roles = field(default_factory=Roles)
    categories: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def columns(self, role: str) -> tuple[str, ...]:
        """What the columns of ``past`` or ``future`` are called."""
        return column_names(getattr(self.roles, role), self.categories)

    # ---------------------------------------------------------------- where rows are

    @property
    def ends(self) -> Array:
        """The row after each series' last, shape (series,)."""
        return np.cumsum(self.lengths, dtype=np.int64)

    @property
    def last(self) -> list[Any]:
        """The last instant of every series."""
        return list(self.times[self.ends - 1])

    def rows(self, number: int) -> slice:
        """The rows of a series."""
        start = int(self.lengths[:number].sum())
        return slice(start, start + int(self.lengths[number]))

    def ahead(self, horizon: int) -> list[pd.Index]:
        """The instants after each series, ``horizon`` of them."""
        last = self.last
        known = {instant: self.grid.after(instant, horizon) for instant in dict.fromkeys(last)}
        return [known[instant] for instant in last]

    def gaps(self) -> pd.DataFrame:
        """The absent rows.

        Returns
        -------
        DataFrame
            One row a gap: series, the instants before (``after``) and after it (``before``), missing (NaT) where the
            series begins or ends in it, and how many rows are ``missing``.
        """
        absent = np.flatnonzero(~self.present)
        series = self.series[absent]
        border = (np.diff(absent) > 1) | (np.diff(series) > 0)
        some = np.full(min(1, len(absent)), True)
        begins, ends = absent[np.concatenate([some, border])], absent[np.concatenate([border, some])]
        inner = self.steps[begins] > 0, ends + 1 < self.ends[self.series[ends]]
        after, before = self.times[begins - 1], self.times[np.minimum(ends + 1, len(self.times) - 1)]
        return pd.DataFrame(
            {
                "series": self.names[self.series[begins]],
                "after": after if inner[0].all() else after.where(inner[0]),
                "before": before if inner[1].all() else before.where(inner[1]),
                "missing": ends - begins + 1,
            }
        )

    # ---------------------------------------------------------------- parts and wholes

    def with_static(self, static: pd.DataFrame) -> Panel:
        """The panel with other static covariates, one row a series."""
        return replace(self, static=static)

    def head(self, lengths: Array) -> Panel:
        """The leading rows of every series, as many as ``lengths`` (series,) says; series of no rows are left out."""
        lengths = np.clip(lengths, 0, self.lengths)
        return self._take(self.steps < np.repeat(lengths, self.lengths), lengths)

    def tail(self, count: int) -> Panel:
        """The last rows of every series."""
        left = np.repeat(self.ends, self.lengths) - np.arange(len(self.target))
        return self._take(left <= count, np.minimum(count, self.lengths))

    def select(self, chosen: Array) -> Panel:
        """Some of the series, by their numbers, in the order of the panel."""
        kept = np.isin(np.arange(len(self.lengths)), chosen)
        return self._take(np.repeat(kept, self.lengths), np.where(kept, self.lengths, 0))

    def _take(self, kept: Array, lengths: Array) -> Panel:
        left = lengths > 0
        return replace(
            self,
            names=self.names[left],
            lengths=lengths[left],
            times=self.times[kept],
            target=self.target[kept],
            past=self.past[kept],
            future=self.future[kept],
            static=None if self.static is None else self.static[left],
            present=self.present[kept],
        )

    def joined(self, new: Panel) -> Panel:
        """This panel, every series continued by the rows of another one.

        They must follow: :func:`~seqdyn.data.panel_additions.read_more` sees to it.
        """
        place = new.names.get_indexer(self.names)  # −1: nothing new
        lengths = self.lengths + np.where(place >= 0, new.lengths[place], 0)
        starts = np.cumsum(lengths) - lengths
        owner = self.names.get_indexer(new.names)[new.series]
        row = np.concatenate([self.steps + starts[self.series], new.steps + (starts + self.lengths)[owner]])
        order = np.argsort(row)

        def join(own: Any, more: Any) -> Any:
            return np.concatenate([own, more])[order]

        return replace(
            self,
            lengths=lengths,
            times=self.times.append(new.times)[order],
            target=join(self.target, new.target),
            past=join(self.past, new.past),
            future=join(self.future, new.future),
            present=join(self.present, new.present),
        )

    # ---------------------------------------------------------------- giving back

    def restore(self, columns: dict[str, Array], times: list[pd.Index]) -> Any:
        """Forecasts in the layout that came in.

        Parameters
        ----------
        columns : dict of array, shape (series, horizon)
            By name; the first is the point forecast.
        times : list of Index, one a series

        Returns
        -------
        DataFrame, Series, DataArray or Dataset
            A long frame or MultiIndex frame has these columns; a wide frame a column a series (with more than one
            array: a column a series and array), NaN at instants that are not among a series' own; a Series or
            DataArray stays one if there is one array. Frames of polars and pyarrow come back as such; float32, nullable
            and pyarrow-backed columns keep their type, whole numbers as numbers with a fraction.
        """
        return self.layout.restore(self.names, columns, times)

    # ---------------------------------------------------------------- files

    def stretches(self, longest: int) -> tuple[Array, Array]:
        """Begins and ends of the rows of every series between gaps of more than ``longest`` missing targets."""
        missing = np.isnan(self.target)
        edge = np.concatenate([[True], (np.diff(missing) != 0) | (np.diff(self.series) != 0), [True]])
        bounds = np.flatnonzero(edge)
        gap = missing[bounds[:-1]] & (np.diff(bounds) > longest)
        begins = np.concatenate([self.starts, bounds[1:][gap]])
        ends = np.concatenate([bounds[:-1][gap], self.ends])
        begins, ends = np.sort(begins), np.sort(ends)
        return begins[begins < ends], ends[begins < ends]

    def to_content(self) -> dict[str, Any]:
        """The panel as a tree that files can hold."""
        plain = ("lengths", "target", "past", "future", "present", "grid", "layout", "roles", "categories")
        static = self.static
        return {name: getattr(self, name) for name in plain} | {
            "names": index_content(self.names),
            "times": index_content(self.times),
            "static": None if static is None else {name: index_content(pd.Index(static[name])) for name in static},
        }

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Panel:
        """The inverse of :meth:`to_content`."""
        names, static = index_from(content["names"]), content["static"]
        if static is not None:
            columns = {name: index_from(column).to_numpy() for name, column in static.items()}
            static = pd.DataFrame(columns, index=names)
        return cls(**{**content, "names": names, "times": index_from(content["times"]), "static": static})

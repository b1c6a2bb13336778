"""A theme of a report: one topic, with all that is needed to measure it, store it, draw it and check it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.dynamics.gradients import known_quantiles
from seqdyn.reports.checks import CheckRule
from seqdyn.reports.drawing import ReportFigure
from seqdyn.reports.page import Number, PageTable, TableRows
from seqdyn.reports.pointers import Content, look_up
from seqdyn.reports.quantities import QUANTILES, ReportQuantity
from seqdyn.reports.table_layouts import TableLayout, columns_from, without_empty_columns

CONTENT_POINTS = 400
"""How many points of a curve the content keeps."""


@dataclass
class Examination:
    """A report in the making. Calling it runs one instrument, and keeps the result or the reason of a failure.

    ``found`` has an attribute for every instrument, and ``failed``, a dictionary of the reasons of failures.
    """

    probe: Any
    tier: str
    seed: int
    found: Any

    def __call__(self, name: str, instrument: Callable[[], Any]) -> None:
        """Keep the result of an instrument under its name."""
        setattr(self.found, name, self.value(name, instrument))

    def value(self, name: str, instrument: Callable[[], Any]) -> Any:
        """The result of an instrument; if it fails None, and the reason goes to ``failed``."""
        try:
            return instrument()
        except (ValueError, RuntimeError, NotImplementedError, ArithmeticError, np.linalg.LinAlgError) as error:
            self.found.failed[name] = f"{type(error).__name__}: {error}"
            return None


@dataclass(frozen=True)
class Theme:
    """One topic of a report: a section of its content and of its page.

    name         the name of its section in the content
    title, how   the heading on the page, and how to read what is below it
    content      ``content(probe, found)`` is the section, in plain values; norms are log₁₀
    measure      ``measure(examination)`` runs its instruments
    quantities   its quantities in the frame and the labelled arrays
    tables, figures, rules   what it has on the page, and its checks
    """

    name: str
    title: str
    how: str
    content: Callable[[Any, Any], Any]
    measure: Callable[[Examination], None] = lambda run: None
    quantities: tuple[ReportQuantity, ...] = ()
    tables: tuple[TableLayout, ...] = ()
    figures: tuple[ReportFigure, ...] = ()
    rules: tuple[CheckRule, ...] = ()

    def filled_tables(self, content: Content) -> list[PageTable]:
        """A table of its single numbers, and its other tables, without empty ones."""
        single = [one for one in self.quantities if not one.axes and one.label]
        rows: TableRows = [
            [one.label, Number(value, one.where), one.unit_in(content)]
            for one in single
            if (value := look_up(content, one.where)) is not None
        ]
        tables = [without_empty_columns(PageTable("Single numbers", ["quantity", "value", "unit"], rows))]
        return [table for table in [*tables, *(layout.table(content) for layout in self.tables)] if table.rows]


def log10(natural: Tensor) -> Tensor:
    """Natural logarithms as logarithms to base ten."""
    return natural / math.log(10)


def log10_quantiles(logs: Tensor) -> dict[str, list[float]]:
    """Columns of natural logarithms, one for each quantile, as log₁₀ by name."""
    return dict(zip(QUANTILES, log10(logs).T.tolist(), strict=True))


def by_lag(section: str, caption: str, **others: str) -> TableLayout:
    """A table of norms by lag; ``others`` are headers of other lists of the section with a number for every lag."""
    lags = columns_from(f"/{section}/{{}}/*", {"lags": "lag, steps"} | others)
    norms = columns_from(f"/{section}/quantiles/{{}}/*", {name: f"{name}, log10" for name in QUANTILES})
    return TableLayout(caption, f"/{section}/lags", lags | norms)


def median_along(curves: Tensor) -> dict[str, Any]:
    """The median over sequences, at some of the steps."""
    kept = thinned(curves.shape[1], even=True)
    return {"steps": kept.tolist(), "median": known_quantiles(curves[:, kept], [0.5])[:, 0].tolist()}


def thinned(count: int, even: bool = False) -> Tensor:
    """At most :data:`CONTENT_POINTS` of ``count`` places, spread evenly or at growing distances."""
    if count <= CONTENT_POINTS:
        return torch.arange(count)
    growing = torch.logspace(0, math.log10(count), CONTENT_POINTS) - 1
    places = torch.linspace(0, count - 1, CONTENT_POINTS) if even else growing
    return places.round().long().clamp(0, count - 1).unique()

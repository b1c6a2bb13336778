"""A theme of a report: one quantity, which it measures, writes down, draws and words by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.dynamics.gradients import known_quantiles
from seqdyn.reports.checks import Rule
from seqdyn.reports.drawing import Drawing
from seqdyn.reports.grids import Grid, columns, told
from seqdyn.reports.page import Number, Rows, Table
from seqdyn.reports.pointers import Content, look_up
from seqdyn.reports.quantities import QUANTILES, Quantity

POINTS = 400
"""How many points a curve of the content keeps."""


@dataclass
class Run:
    """One report in the making. A call runs one instrument and keeps what it finds, or why it could not.

    Attributes
    ----------
    subject : object
        What is measured.
    tier : {"fast", "standard", "full"}
        How thoroughly.
    seed : int
    found : object
        Has an attribute for every instrument, and ``failed``, a dictionary of what could not be measured, and why.
    """

    subject: Any
    tier: str
    seed: int
    found: Any

    def __call__(self, name: str, instrument: Callable[[], Any]) -> None:
        """Keep what the instrument finds under its name."""
        setattr(self.found, name, self.value(name, instrument))

    def value(self, name: str, instrument: Callable[[], Any]) -> Any:
        """What the instrument finds; None, and a line in ``failed``, where it cannot."""
        try:
            return instrument()
        except (ValueError, RuntimeError, NotImplementedError, ArithmeticError, np.linalg.LinAlgError) as error:
            self.found.failed[name] = f"{type(error).__name__}: {error}"
            return None


@dataclass(frozen=True)
class Theme:
    """One quantity of a report.

    Attributes
    ----------
    name : str
        Of its section in the content.
    title, how : str
        Heading of the page, and how to read what is below it.
    content : callable
        From the subject and what was found to the section: dictionaries, lists, numbers and strings; norms are log₁₀.
    measure : callable
        Runs its instruments.
    quantities : tuple of Quantity
        What the frame and the labelled arrays have of it.
    grids : tuple of Grid
        Its tables.
    figures : tuple of Drawing
    rules : tuple of Rule
        Its checks.
    """

    name: str
    title: str
    how: str
    content: Callable[[Any, Any], Any]
    measure: Callable[[Run], None] = lambda run: None
    quantities: tuple[Quantity, ...] = ()
    grids: tuple[Grid, ...] = ()
    figures: tuple[Drawing, ...] = ()
    rules: tuple[Rule, ...] = ()

    def tables(self, content: Content) -> list[Table]:
        """Its single numbers, and its other tables, where there are any."""
        single = [one for one in self.quantities if not one.axes and one.label]
        rows: Rows = [
            [one.label, Number(value, one.where), one.unit_in(content)]
            for one in single
            if (value := look_up(content, one.where)) is not None
        ]
        tables = [told(Table("Single numbers", ["quantity", "value", "unit"], rows))]
        return [table for table in [*tables, *(grid.table(content) for grid in self.grids)] if table.rows]


def log10(natural: Tensor) -> Tensor:
    """Natural logarithms, to base ten."""
    return natural / math.log(10)


def quantiles(logs: Tensor) -> dict[str, list[float]]:
    """Columns of natural logarithms, one a quantile, by name and as log₁₀."""
    return dict(zip(QUANTILES, log10(logs).T.tolist(), strict=True))


def by_lag(section: str, caption: str, **others: str) -> Grid:
    """The table of norms by lag, with the headers of what else of the section has a number for every lag."""
    lags = columns(f"/{section}/{{}}/*", {"lags": "lag, steps"} | others)
    norms = columns(f"/{section}/quantiles/{{}}/*", {name: f"{name}, log10" for name in QUANTILES})
    return Grid(caption, f"/{section}/lags", lags | norms)


def along(curves: Tensor) -> dict[str, Any]:
    """The median over sequences at some steps."""
    kept = thinned(curves.shape[1], even=True)
    return {"steps": kept.tolist(), "median": known_quantiles(curves[:, kept], [0.5])[:, 0].tolist()}


def thinned(count: int, even: bool = False) -> Tensor:
    """At most POINTS places out of so many: evenly spread, or ever further apart."""
    if count <= POINTS:
        return torch.arange(count)
    places = torch.linspace(0, count - 1, POINTS) if even else torch.logspace(0, math.log10(count), POINTS) - 1
    return places.round().long().clamp(0, count - 1).unique()

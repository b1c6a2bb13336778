"""Two reports beside each other: what a change of the model, or its training, has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seqdyn.reports.grids import Column, Grid
from seqdyn.reports.json_text import keep
from seqdyn.reports.page import Page, Section, render
from seqdyn.reports.pointers import Content
from seqdyn.reports.quantities import Quantity
from seqdyn.reports.writing import written

SHOWN = 8
"""Numbers that ``str`` shows; the frame has them all."""

ABSENT = "absent"
"""The status of a check that one of two reports does not have."""

WHOLE = 10_000
"""Tables of a difference show all their rows."""


class ReportDifference(Mapping[str, Any]):
    """One report beside another: a mapping of plain lists and dictionaries, ready for JSON but for ∞ and NaN.

    Its keys are ``verdict``, ``checks`` (those whose status changed) and ``numbers`` (all single ones of either).

    Parameters
    ----------
    before, after : mapping
        The contents of the reports. Every check has an ``id``, a ``name``, a ``status`` and a ``value``.
    quantities : sequence of Quantity
        Of these the single numbers are compared, and those that have a name.
    """

    title = "Before and after"

    def __init__(self, before: Content, after: Content, quantities: Sequence[Quantity]) -> None:
        self.before, self.after = before, after
        self._content: dict[str, Any] = {
            "verdict": {"before": _verdict(before), "after": _verdict(after)},
            "checks": list(_changed_checks(before, after)),
            "numbers": list(_numbers(before, after, quantities)),
        }

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._badge()}, {len(self['checks'])} checks changed)"

    def __str__(self) -> str:
        changes = [f"{one['id']} {one['name']}: {one['before']} → {one['after']}" for one in self["checks"]]
        return "\n".join([self._headline(), *(changes or ["No check changed its status."]), *self._moved()])

    def to_frame(self) -> pd.DataFrame:
        """Every number of both reports, and the difference.

        Returns
        -------
        DataFrame
            ``section``, ``quantity``, ``unit``, ``before``, ``after`` and ``difference`` (after − before); NaN where
            a report does not have it.
        """
        columns = ["section", "quantity", "unit", "before", "after", "difference"]
        return pd.DataFrame(self["numbers"], columns=columns).astype(dict.fromkeys(columns[3:], "float64"))

    def to_html(self, path: str | Path | None = None, *, minimal: bool = False) -> str:
        """One standalone page, as that of a report, written to ``path``; ``minimal`` leaves the figures out."""
        changed = [CHECKS.table(self)] if self["checks"] else []
        how = "Those whose status changed." if changed else "No check changed its status."
        page = Page(
            title=self.title,
            badge=self._badge(),
            severity=self["verdict"]["after"]["severity"],
            reason=self._headline(),
            tables=[self._verdicts().table(self)],
            advice=[],
            sections=[
                *self._sections(minimal),
                Section("checks", "Checks", how, (), changed),
                Section("numbers", "Numbers", MISSING, (), [NUMBERS.table(self)], folded=True),
            ],
        )
        return keep(render(page), path)

    def _badge(self) -> str:
        return " → ".join(self["verdict"][when]["name"] for when in ("before", "after"))

    def _headline(self) -> str:
        names = [self["verdict"][when]["name"] for when in ("before", "after")]
        return f"Still {names[0]}." if names[0] == names[1] else f"{self._badge()}."

    def _verdicts(self) -> Grid:
        return Grid("Verdicts", "/verdict", columns("verdict", name="verdict", severity="", reason=""), "report")

    def _sections(self, minimal: bool) -> list[Section]:
        """What this kind of report compares besides."""
        return []

    def _moved(self) -> list[str]:
        """The first of the numbers that moved, one a line."""
        moved = [one for one in self["numbers"] if written(one["before"]) != written(one["after"])]
        lines = [
            f"{one['quantity']}: {written(one['before'])} → {written(one['after'])} {one['unit']}".rstrip()
            for one in moved[:SHOWN]
        ]
        return lines + ([f"{len(moved) - SHOWN} more numbers moved: to_frame()"] if len(moved) > SHOWN else [])


def columns(section: str, **headers: str) -> dict[str, Column]:
    """Columns of a grid: the entries of a section, by their headers; an entry is its own header where that is empty."""
    return {header or name: f"/{section}/*/{name}" for name, header in headers.items()}


def pair(before: float | None, after: float | None) -> dict[str, Any]:
    """Both, and after − before; what is infinite in the same way has not changed."""
    if before is None or after is None:
        return {"before": before, "after": after, "difference": None}
    return {"before": before, "after": after, "difference": 0.0 if before == after else after - before}


def content_of(report: Any, name: str) -> Content:
    """The content of what is a report, or the content of one."""
    found = getattr(report, "content", report)
    if not isinstance(found, Mapping) or not {"subject", "verdict", "checks"} <= set(found):
        raise TypeError(f"{name} must be a report, or its content, got {type(report).__name__}.")
    return found


MISSING = "After − before; what one report lacks has no difference."

CHECKS = Grid(
    "Changed checks",
    "/checks",
    columns("checks", id="", name="check", before="", after="", value_before="", value_after=""),
    most=WHOLE,
)

NUMBERS = Grid(
    "Single numbers",
    "/numbers",
    columns("numbers", quantity="", before="", after="", difference="", unit=""),
    most=WHOLE,
)


def _verdict(content: Content) -> dict[str, Any]:
    return {key: content["verdict"][key] for key in ("name", "severity", "reason")}


def _changed_checks(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    first, second = ({one["id"]: one for one in content["checks"]} for content in (before, after))
    for name in sorted(first | second):
        old, new = first.get(name, {}), second.get(name, {})
        own = {"id": name} | {key: new.get(key, old.get(key)) for key in ("name", "unit")}
        statuses = {"before": old.get("status", ABSENT), "after": new.get("status", ABSENT)}
        if statuses["before"] != statuses["after"]:
            yield own | statuses | {"value_before": old.get("value"), "value_after": new.get("value")}


def _numbers(before: Content, after: Content, quantities: Sequence[Quantity]) -> Iterator[dict[str, Any]]:
    """The single numbers of either report, and those that have a name."""
    for quantity in quantities:
        if quantity.label and [axis.column for axis in quantity.axes] in ([], ["name"]):
            first, second = (dict(quantity.entries(content)) for content in (before, after))
            unit = quantity.unit_in(after) or quantity.unit_in(before)
            for labels in sorted(first | second):
                name = ": ".join([*labels, quantity.label])
                own = {"section": quantity.where.split("/")[1], "quantity": name, "unit": unit}
                yield own | pair(first.get(labels), second.get(labels))

"""The comparison of two reports: the effect of a change of the model or its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seqdyn.facts import fact_line, fact_table
from seqdyn.reports.json_text import keep
from seqdyn.reports.number_format import format_number
from seqdyn.reports.page import Page, Section, render
from seqdyn.reports.pointers import Content
from seqdyn.reports.quantities import ReportQuantity
from seqdyn.reports.table_layouts import TableLayout, columns_from

SHOWN_CHANGES = 8
"""How many numbers ``str`` shows; the frame has them all."""

ABSENT = "absent"
"""The status of a check that only the other report has."""

ALL_ROWS = 10_000
"""A limit so high that tables show all their rows."""


class ReportDifference(Mapping[str, Any]):
    """The comparison of two reports: a mapping of plain lists and dictionaries (which may hold ∞ and NaN).

    Its keys are ``verdict``, ``checks`` (those whose status changed) and ``numbers`` (all single numbers of either).

    Parameters
    ----------
    before, after : mapping
        The contents of the reports. Every check has an ``id``, a ``name``, a ``status`` and a ``value``.
    quantities : sequence of ReportQuantity
        The quantities to compare: single numbers, and those with one number for every name.
    """

    title = "Before and after"

    def __init__(self, before: Content, after: Content, quantities: Sequence[ReportQuantity]) -> None:
        self.before, self.after = before, after
        self._content: dict[str, Any] = {
            "verdict": {"before": _verdict_part(before), "after": _verdict_part(after)},
            "checks": list(_changed_checks(before, after)),
            "numbers": list(_number_changes(before, after, quantities)),
        }

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        return fact_line(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        changes = {one["id"]: f"{one['before']} → {one['after']}" for one in self["checks"]}
        return fact_table(type(self).__name__, self._facts() | changes)

    def _facts(self) -> dict[str, object]:
        return {"verdict": self._badge(), "checks_changed": len(self["checks"])}

    def summary(self) -> str:
        """The comparison on one screen, as ``print`` shows it."""
        return str(self)

    def __str__(self) -> str:
        changes = [f"{one['id']} {one['name']}: {one['before']} → {one['after']}" for one in self["checks"]]
        return "\n".join([self._headline(), *(changes or ["No check changed its status."]), *self._moved()])

    def to_frame(self) -> pd.DataFrame:
        """Every number of both reports with its difference.

        Returns
        -------
        DataFrame
            ``section``, ``quantity``, ``unit``, ``before``, ``after`` and ``difference`` (after − before); NaN where
            a report does not have the number.
        """
        columns = ["section", "quantity", "unit", "before", "after", "difference"]
        return pd.DataFrame(self["numbers"], columns=columns).astype(dict.fromkeys(columns[3:], "float64"))

    def to_html(self, path: str | Path | None = None, *, minimal: bool = False) -> str:
        """Return the comparison as one HTML page that needs no network and no script.

        Parameters
        ----------
        path : path, optional
            A file to write it to.
        minimal : bool
            Whether to leave out the figures.
        """
        changed = [CHANGED_CHECKS.table(self)] if self["checks"] else []
        how = "The checks whose status changed." if changed else "No check changed its status."
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
                Section("numbers", "Numbers", NO_DIFFERENCE, (), [CHANGED_NUMBERS.table(self)], folded=True),
            ],
        )
        return keep(render(page), path)

    def _badge(self) -> str:
        return " → ".join(self["verdict"][when]["name"] for when in ("before", "after"))

    def _change(self) -> str:
        """The change of the verdict, in words."""
        names = [self["verdict"][when]["name"] for when in ("before", "after")]
        return f"Still {names[0]}" if names[0] == names[1] else self._badge()

    def _headline(self) -> str:
        return f"{self._change()}."

    def _verdicts(self) -> TableLayout:
        wanted = columns_from("/verdict/*/{}", {"name": "verdict", "severity": "severity", "reason": "reason"})
        return TableLayout("Verdicts", "/verdict", wanted, "report")

    def _sections(self, minimal: bool) -> list[Section]:
        """Further sections of this kind of report."""
        return []

    def _moved(self) -> list[str]:
        """The first numbers that changed, one in a line."""
        moved = [one for one in self["numbers"] if format_number(one["before"]) != format_number(one["after"])]
        lines = [
            f"{one['quantity']}: {format_number(one['before'])} → {format_number(one['after'])} {one['unit']}".rstrip()
            for one in moved[:SHOWN_CHANGES]
        ]
        left = len(moved) - SHOWN_CHANGES
        return lines + ([f"{left} more numbers moved: to_frame()"] if left > 0 else [])


def pair(before: float | None, after: float | None) -> dict[str, Any]:
    """Both numbers and after − before, which is 0 for equal infinities."""
    if before is None or after is None:
        return {"before": before, "after": after, "difference": None}
    return {"before": before, "after": after, "difference": 0.0 if before == after else after - before}


def report_content(report: Any, name: str) -> Content:
    """The content of a report, or the content itself if that is given."""
    found = getattr(report, "content", report)
    if not isinstance(found, Mapping) or not {"subject", "verdict", "checks"} <= set(found):
        raise TypeError(f"{name} must be a report or its content, got {type(report).__name__}.")
    return found


NO_DIFFERENCE = "After − before; a number that one report lacks has no difference."

_CHECK = {one: one for one in ("id", "name", "before", "after", "value_before", "value_after")} | {"name": "check"}
CHANGED_CHECKS = TableLayout("Changed checks", "/checks", columns_from("/checks/*/{}", _CHECK), most=ALL_ROWS)

_NUMBER = ("quantity", "before", "after", "difference", "unit")
CHANGED_NUMBERS = TableLayout("Single numbers", "/numbers", columns_from("/numbers/*/{}", _NUMBER), most=ALL_ROWS)


def _verdict_part(content: Content) -> dict[str, Any]:
    return {key: content["verdict"][key] for key in ("name", "severity", "reason")}


def _changed_checks(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    first, second = ({one["id"]: one for one in content["checks"]} for content in (before, after))
    for name in sorted(first | second):
        old, new = first.get(name, {}), second.get(name, {})
        own = {"id": name} | {key: new.get(key, old.get(key)) for key in ("name", "unit")}
        statuses = {"before": old.get("status", ABSENT), "after": new.get("status", ABSENT)}
        if statuses["before"] != statuses["after"]:
            yield own | statuses | {"value_before": old.get("value"), "value_after": new.get("value")}


def _number_changes(before: Content, after: Content, quantities: Sequence[ReportQuantity]) -> Iterator[dict[str, Any]]:
    """The single numbers of either report, and the numbers by name."""
    for quantity in quantities:
        if quantity.label and [axis.column for axis in quantity.axes] in ([], ["name"]):
            first, second = (dict(quantity.entries(content)) for content in (before, after))
            unit = quantity.unit_in(after) or quantity.unit_in(before)
            for labels in sorted(first | second):
                name = ": ".join([*labels, quantity.label])
                own = {"section": quantity.where.split("/")[1], "quantity": name, "unit": unit}
                yield own | pair(first.get(labels), second.get(labels))

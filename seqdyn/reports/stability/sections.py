"""The page of a stability report: verdict, advice and evidence on two screens, and the rest in folded sections."""

from __future__ import annotations

import math
from collections.abc import Mapping

from seqdyn.reports.number_format import plural
from seqdyn.reports.page import (
    Page,
    PageTable,
    Picture,
    Section,
    Sentences,
    Status,
    TableItem,
    TableRows,
    encode,
    render,
)
from seqdyn.reports.pointers import Content, Key
from seqdyn.reports.stability.themes import STABILITY_FIGURES, THEMES
from seqdyn.reports.table_layouts import Column, TableLayout, columns_from, item, without_empty_columns
from seqdyn.reports.theme import Theme

EVIDENCE = ("norms_by_lag", "gate_time_constants", "training_timeline")
"""The figures outside the folded sections."""

ADVICE = 3
"""How many recommendations stand at the top."""


def stability_page(content: Content, *, minimal: bool = False) -> str:
    """Return the report as one HTML page of two screens, with the rest in folded sections.

    The same content gives the same text. Every number has all its digits in ``value``, and its place in the report's
    JSON in ``data-pointer``.
    """
    return render(_stability_layout(content, {} if minimal else pictures(content)))


def pictures(content: Content) -> dict[str, Picture]:
    """Every figure that has something to draw, with its caption."""
    drawn = {name: drawing(content) for name, drawing in STABILITY_FIGURES.items() if drawing.drawable(content)}
    return {name: encode(figure).picture(caption) for name, (figure, caption) in drawn.items()}


def _stability_layout(content: Content, drawn: Mapping[str, Picture]) -> Page:
    """The page, with the figures that could be drawn."""
    verdict = content["verdict"]
    measured = [section for theme in THEMES if (section := _theme_section(theme, content, drawn)) is not None]
    there = {one.anchor for one in measured}
    return Page(
        title=f"Stability report: {content['subject']['model']}",
        badge=verdict["name"],
        severity=verdict["severity"],
        reason=verdict["reason"],
        tables=(),
        advice=[one["text"] for one in content["recommendations"][:ADVICE]],
        sections=[
            _evidence_section(content, drawn),
            *measured,
            *_closing_sections(content),
            _subject_section(content, [theme.title for theme in THEMES if theme.name not in there]),
        ],
    )


def _evidence_section(content: Content, drawn: Mapping[str, Picture]) -> Section:
    """The evidence: norms with their intervals, the checks that did not pass, and the most important figures."""
    lag = plural(content["subject"]["required_lag"], "step")
    names = {"gradient": "gradient of an error, L", "product": "product of Jacobians, G"}
    parts = ("median", "low", "high")
    known = {key: name for key, name in names.items() if not math.isnan(content["verdict"][key]["median"])}
    rows: TableRows = [
        [name, *(item(content, f"/verdict/{key}/{part}") for part in parts)] for key, name in known.items()
    ]
    norms = PageTable(f"Norms at the required lag of {lag}", ["log10 of the", "median", "95 % from", "to"], rows)
    bad = [row for row in CHECK_TABLE.table(content).rows if row[1] not in (Status("PASS"), Status("SKIPPED"))]
    failing = without_empty_columns(PageTable("Checks that did not pass", [*CHECK_TABLE.columns], bad))
    tables = [table for table in (norms, failing) if table.rows]
    return Section("evidence", "Why", "", [drawn[name] for name in EVIDENCE if name in drawn], tables)


def _theme_section(theme: Theme, content: Content, drawn: Mapping[str, Picture]) -> Section | None:
    """The section of a theme; None if nothing of it was computed."""
    names = [one.name for one in theme.figures if one.name in drawn and one.name not in EVIDENCE]
    tables = theme.filled_tables(content)
    if not content.get(theme.name) and not tables:
        return None
    return Section(theme.name, theme.title, theme.how, [drawn[name] for name in names], tables, folded=True)


def _status_item(content: Content, place: Key) -> TableItem:
    return Status(content["checks"][place]["status"])


COUNT_TABLE = TableLayout("How many", "/counts", {"checks": "/counts/*"}, "status")

_CHECKED = {"name": "check", "value": "value", "threshold": "threshold", "unit": "unit", "message": "what was found"}
_COLUMNS: dict[str, Column] = {"id": "/checks/*/id", "status": _status_item, **columns_from("/checks/*/{}", _CHECKED)}
CHECK_TABLE = TableLayout("Every check", "/checks", _COLUMNS, most=100)

ADVISED = {"id": "id", "text": "recommendation", "number": "number", "unit": "unit", "check": "check"}
ADVICE_TABLE = TableLayout("What to do", "/recommendations", columns_from("/recommendations/*/{}", ADVISED), most=100)

THRESHOLD_TABLE = TableLayout("Thresholds", "/subject/thresholds", {"value": "/subject/thresholds/*"}, "name")


def _tables(content: Content, *grids: TableLayout) -> list[PageTable]:
    """The tables that have rows."""
    return [table for grid in grids if (table := grid.table(content)).rows]


def _closing_sections(content: Content) -> list[Section]:
    """All checks and all recommendations."""
    checked = "SKIPPED: not asked for, or does not apply. ERROR: could not be computed. Neither counts as passed."
    advised = "Each follows from the check beside it." if content["recommendations"] else "There is nothing to advise."
    return [
        Section("checks", "Every check", checked, (), _tables(content, COUNT_TABLE, CHECK_TABLE), folded=True),
        Section("recommendations", "Every recommendation", advised, (), _tables(content, ADVICE_TABLE), folded=True),
    ]


APART = ("thresholds", "versions", "conventions", "not_computed")
"""The parts of the subject that are not single lines of its table."""


def _subject_section(content: Content, missing: list[str]) -> Section:
    subject = content["subject"]
    single = [key for key, value in subject.items() if key not in APART and value != ""]
    rows: TableRows = [[key.replace("_", " "), item(content, f"/subject/{key}")] for key in sorted(single)]
    rows += [[f"version of {name}", version] for name, version in sorted(subject["versions"].items())]
    rows += [["version of this report's schema", item(content, "/schema/version")]]
    left_out = [*subject["not_computed"], *([f"Sections left out: {', '.join(missing)}."] if missing else [])]
    return Section(
        "subject",
        "What was measured, and what was not",
        "The model was not changed. Norms are spectral norms unless stated otherwise.",
        tables=[PageTable("Subject", ["quantity", "value"], rows), *_tables(content, THRESHOLD_TABLE)],
        lists=[
            Sentences("Not computed", left_out or ["Nothing was left out."]),
            Sentences("Conventions", subject["conventions"]),
        ],
        folded=True,
    )

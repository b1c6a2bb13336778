"""The page of a stability report: verdict, what to do, the evidence on two screens, and all else folded away."""

from __future__ import annotations

import math
from collections.abc import Mapping

from seqdyn.reports.grids import Grid, columns, item, told
from seqdyn.reports.page import Item, Page, Picture, Rows, Section, Sentences, Status, Table, encode, render
from seqdyn.reports.pointers import Content, Key
from seqdyn.reports.stability.themes import FIGURES, THEMES
from seqdyn.reports.theme import Theme
from seqdyn.reports.writing import counted

EVIDENCE = ("norms_by_lag", "gate_time_constants", "training_timeline")
"""The figures that are not folded away."""

ADVICE = 3
"""Recommendations that stand at the top."""


def to_html(content: Content, *, minimal: bool = False) -> str:
    """The report as one HTML page of two screens, with all else folded away.

    Parameters
    ----------
    content : mapping
        The report.
    minimal : bool
        True: no figures.

    Returns
    -------
    str
        The same text for the same content. Every number shown carries all its digits in ``value``, and where it stands
        in the report's JSON in ``data-pointer``.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.elman import Elman
    >>> from seqdyn.reports.stability.report import stability_report
    >>> report = stability_report(Elman(1, 4), torch.ones(4, 60, 1), required_lag=10, tier="fast")
    >>> page = to_html(report.content, minimal=True)
    >>> report.verdict in page, "<script" in page
    (True, False)
    """
    return render(_page(content, {} if minimal else pictures(content)))


def pictures(content: Content) -> dict[str, Picture]:
    """Every figure there is something to draw for, with its caption."""
    drawn = {name: drawing(content) for name, drawing in FIGURES.items() if drawing.drawable(content)}
    return {name: encode(figure).picture(caption) for name, (figure, caption) in drawn.items()}


def _page(content: Content, drawn: Mapping[str, Picture]) -> Page:
    """The page with the figures there are."""
    verdict = content["verdict"]
    measured = [section for theme in THEMES if (section := _measured(theme, content, drawn)) is not None]
    return Page(
        title=f"Stability report: {content['subject']['model']}",
        badge=verdict["name"],
        severity=verdict["severity"],
        reason=verdict["reason"],
        tables=(),
        advice=[one["text"] for one in content["recommendations"][:ADVICE]],
        sections=[
            _evidence(content, drawn),
            *measured,
            *_closing(content),
            _subject(content, [theme.title for theme in THEMES if theme.name not in {one.anchor for one in measured}]),
        ],
    )


def _evidence(content: Content, drawn: Mapping[str, Picture]) -> Section:
    """What the verdict rests on: norms with their intervals, the checks that did not pass, and the telling figures."""
    lag = counted(content["subject"]["required_lag"], "step")
    names = {"gradient": "gradient of an error, L", "product": "product of Jacobians, G"}
    parts = ("median", "low", "high")
    known = {key: name for key, name in names.items() if not math.isnan(content["verdict"][key]["median"])}
    rows: Rows = [[name, *(item(content, f"/verdict/{key}/{part}") for part in parts)] for key, name in known.items()]
    norms = Table(f"Norms at the required lag of {lag}", ["log10 of the", "median", "95 % from", "to"], rows)
    bad = [row for row in CHECKS.table(content).rows if row[1] not in (Status("PASS"), Status("SKIPPED"))]
    failing = told(Table("Checks that did not pass", [*CHECKS.columns], bad))
    tables = [table for table in (norms, failing) if table.rows]
    return Section("evidence", "Why", "", [drawn[name] for name in EVIDENCE if name in drawn], tables)


def _measured(theme: Theme, content: Content, drawn: Mapping[str, Picture]) -> Section | None:
    """The section of a theme, if anything of it was computed."""
    names = [one.name for one in theme.figures if one.name in drawn and one.name not in EVIDENCE]
    tables = theme.tables(content)
    if not content.get(theme.name) and not tables:
        return None
    return Section(theme.name, theme.title, theme.how, [drawn[name] for name in names], tables, folded=True)


def _status(content: Content, place: Key) -> Item:
    return Status(content["checks"][place]["status"])


COUNTS = Grid("How many", "/counts", {"checks": "/counts/*"}, "status")

NUMBERS = {"value": "value", "threshold": "threshold", "unit": "unit", "message": "what was found"}
EVERY = (
    columns("/checks/*/{}", {"id": "id"}) | {"status": _status} | columns("/checks/*/{}", {"name": "check"} | NUMBERS)
)
CHECKS = Grid("Every check", "/checks", EVERY, most=100)

ADVISED = {"id": "id", "text": "recommendation", "number": "number", "unit": "unit", "check": "check"}
RECOMMENDATIONS = Grid("What to do", "/recommendations", columns("/recommendations/*/{}", ADVISED), most=100)

THRESHOLDS = Grid("Thresholds", "/subject/thresholds", {"value": "/subject/thresholds/*"}, "name")


def _tables(content: Content, *grids: Grid) -> list[Table]:
    """Those that have rows."""
    return [table for grid in grids if (table := grid.table(content)).rows]


def _closing(content: Content) -> list[Section]:
    """All checks, and all that is advised."""
    checked = "SKIPPED was not asked for or does not apply, ERROR could not be computed; neither counts as passed."
    advised = "Each follows from the check named beside it." if content["recommendations"] else "Nothing is advised."
    return [
        Section("checks", "Every check", checked, (), _tables(content, COUNTS, CHECKS), folded=True),
        Section("recommendations", "Every recommendation", advised, (), _tables(content, RECOMMENDATIONS), folded=True),
    ]


APART = ("thresholds", "versions", "conventions", "not_computed")
"""What of the subject is no single line of its table."""


def _subject(content: Content, missing: list[str]) -> Section:
    subject = content["subject"]
    single = [key for key, value in subject.items() if key not in APART and value != ""]
    rows: Rows = [[key.replace("_", " "), item(content, f"/subject/{key}")] for key in sorted(single)]
    rows += [[f"version of {name}", version] for name, version in sorted(subject["versions"].items())]
    rows += [["version of this report's schema", item(content, "/schema/version")]]
    left_out = [*subject["not_computed"], *([f"Sections left out: {', '.join(missing)}."] if missing else [])]
    return Section(
        "subject",
        "What was measured, and what was not",
        "The model was not changed. Norms are spectral unless it says otherwise.",
        tables=[Table("Subject", ["quantity", "value"], rows), *_tables(content, THRESHOLDS)],
        lists=[
            Sentences("Not computed", left_out or ["Nothing was left out."]),
            Sentences("Conventions", subject["conventions"]),
        ],
        folded=True,
    )

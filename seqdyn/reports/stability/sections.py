"""The page of a stability report: verdict, what to do, the evidence on two screens, and all else folded away."""

from __future__ import annotations

from collections.abc import Mapping

from seqdyn.reports.grids import item
from seqdyn.reports.page import Item, Number, Page, Picture, Rows, Section, Sentences, Status, Table, encode, render
from seqdyn.reports.pointers import Content, look_up, pointer
from seqdyn.reports.stability.checks import STATUSES
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
    return render(page_of(content, {} if minimal else pictures(content)))


def pictures(content: Content) -> dict[str, Picture]:
    """Every figure there is something to draw for, with its caption."""
    drawn = {name: drawing(content) for name, drawing in FIGURES.items() if drawing.drawable(content)}
    return {name: encode(figure).picture(caption) for name, (figure, caption) in drawn.items()}


def page_of(content: Content, drawn: Mapping[str, Picture]) -> Page:
    """Put the page of a report together.

    Parameters
    ----------
    content : mapping
        The report.
    drawn : mapping of str to Picture
        The figures there are, by name.

    Returns
    -------
    Page
    """
    subject, verdict = content["subject"], content["verdict"]
    measured = [section for theme in THEMES if (section := _measured(theme, content, drawn)) is not None]
    return Page(
        title=f"Stability report: {subject['model']}",
        badge=verdict["name"],
        severity=verdict["severity"],
        reason=verdict["reason"],
        tables=(),
        advice=[one["text"] for one in content["recommendations"][:ADVICE]],
        sections=[
            _evidence(content, drawn),
            *measured,
            _checks(content),
            _recommendations(content),
            _subject(content, [theme.title for theme in THEMES if theme.name not in {one.anchor for one in measured}]),
        ],
    )


def _evidence(content: Content, drawn: Mapping[str, Picture]) -> Section:
    """What the verdict rests on: norms with their intervals, the checks that did not pass, and the telling figures."""
    lag = counted(content["subject"]["required_lag"], "step")
    names = {"gradient": "gradient of an error, L", "product": "product of Jacobians, G"}
    rows: Rows = [
        [label, *(_number(content, f"/verdict/{key}/{part}") for part in ("median", "low", "high"))]
        for key, label in names.items()
    ]
    norms = Table(f"Norms at the required lag of {lag}", ["log10 of the", "median", "95 % from", "to"], rows)
    bad = [place for place, check in enumerate(content["checks"]) if check["status"] not in ("PASS", "SKIPPED")]
    failing = Table("Checks that did not pass", CHECK, [_check_row(content, place) for place in bad])
    own = [drawn[name] for name in EVIDENCE if name in drawn]
    return Section("evidence", "Why", "", own, [norms, *([failing] if bad else [])])


def _measured(theme: Theme, content: Content, drawn: Mapping[str, Picture]) -> Section | None:
    """The section of a theme, if anything of it was computed."""
    own = [drawn[name] for name in (one.name for one in theme.figures) if name in drawn and name not in EVIDENCE]
    tables = theme.tables(content)
    if not content.get(theme.name) and not tables:
        return None
    return Section(theme.name, theme.title, theme.how, own, tables, folded=True)


# --- checks, recommendations, and what was measured -------------------------------------------------------------------

CHECK = ("id", "status", "check", "value", "threshold", "unit", "what was found")


def _checks(content: Content) -> Section:
    statuses = [status for status in STATUSES if status in content["counts"]]
    many: Rows = [["checks", *(_number(content, f"/counts/{status}") for status in statuses)]]
    rows = [_check_row(content, place) for place in range(len(content["checks"]))]
    tables = [Table("How many", ["status", *statuses], many), Table("Every check", CHECK, rows)]
    how = "SKIPPED was not asked for or does not apply, ERROR could not be computed; neither counts as passed."
    return Section("checks", "Every check", how, (), [table for table in tables if table.rows], folded=True)


def _check_row(content: Content, place: int) -> list[Item]:
    check = content["checks"][place]
    numbers = [_number(content, f"/checks/{place}/{key}") for key in ("value", "threshold")]
    return [check["id"], Status(check["status"]), check["name"], *numbers, check["unit"], check["message"]]


def _recommendations(content: Content) -> Section:
    rows: Rows = [
        [one["id"], one["text"], _number(content, f"/recommendations/{place}/number"), one["unit"], one["check"]]
        for place, one in enumerate(content["recommendations"])
    ]
    table = Table("What to do", ["id", "recommendation", "number", "unit", "check"], rows)
    how = "Each follows from the check named beside it, and carries its number." if rows else "Nothing is advised."
    return Section("recommendations", "Every recommendation", how, (), [table] if rows else [], folded=True)


SUBJECT = {
    "model": "model",
    "cell": "cell",
    "kind": "kind",
    "state": "state",
    "width": "width of the state",
    "parameters": "parameters",
    "sequences": "sequences",
    "steps": "steps of each",
    "layout": "read as",
    "measured_in": "measured in",
    "errors": "errors followed back",
    "required_lag": "required lag, steps",
    "required_lag_from": "required lag comes from",
    "seed": "seed",
}
"""What was measured, in the order of the page."""


def _subject(content: Content, missing: list[str]) -> Section:
    subject = content["subject"]
    rows: Rows = [
        [label, item(content, pointer("subject", key))] for key, label in SUBJECT.items() if subject.get(key, "") != ""
    ]
    rows += [[f"version of {name}", version] for name, version in sorted(subject["versions"].items())]
    rows += [["version of this report's schema", _number(content, "/schema/version")]]
    limits: Rows = [
        [name.replace("_", " "), _number(content, pointer("subject", "thresholds", name))]
        for name in sorted(subject["thresholds"])
    ]
    left_out = [*subject["not_computed"], *([f"Sections left out: {', '.join(missing)}."] if missing else [])]
    return Section(
        "subject",
        "What was measured, and what was not",
        "The model was not changed. Norms are spectral unless it says otherwise.",
        tables=[Table("Subject", ["quantity", "value"], rows), Table("Thresholds", ["name", "value"], limits)],
        lists=[
            Sentences("Not computed", left_out or ["Nothing was left out."]),
            Sentences("Conventions", subject["conventions"]),
        ],
        folded=True,
    )


def _number(content: Content, where: str) -> Item:
    return Number(look_up(content, where), where)

"""Two stability reports beside each other: what a change of the model, or its training, has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import pandas as pd

from seqdyn.figures import STYLE, figure
from seqdyn.reports.drawing import WIDTH, legend_below
from seqdyn.reports.grids import Grid
from seqdyn.reports.json_text import keep
from seqdyn.reports.page import Item, Number, Page, Section, encode, render
from seqdyn.reports.pointers import Content, Key, look_up
from seqdyn.reports.stability.products import CURVES, draw_curves
from seqdyn.reports.stability.themes import QUANTITIES
from seqdyn.reports.writing import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 8
"""Numbers that ``str`` shows; the frame has them all."""

ABSENT = "absent"
"""The status of a check that one of two reports does not have."""


def compare(before: Any, after: Any, *, other_lag: bool = False) -> Difference:
    """Set one report beside another.

    Parameters
    ----------
    before, after : mapping, or a report with such ``content``
    other_lag : bool
        Whether the required lags may differ. The verdicts then answer different questions.

    Returns
    -------
    Difference
        A mapping with the keys ``verdict``, ``checks``, ``numbers``, ``horizons`` and ``norms``.

    Raises
    ------
    ValueError
        If the required lags differ.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> from seqdyn.reports.stability.report import stability_report
    >>> reports = []
    >>> for gain in (0.5, 0.99):
    ...     cell = Linear(1, 4).double()
    ...     _ = torch.nn.init.orthogonal_(cell.transition, gain, generator=torch.Generator().manual_seed(0))
    ...     reports.append(stability_report(cell, torch.ones(8, 100, 1), required_lag=20, tier="fast"))
    >>> print(str(compare(*reports)).splitlines()[0])
    VANISHING → OK; log10 of the gradient at the required lag 20 went from −5.72 to −0.08293.
    """
    first, second = _content(before, "before"), _content(after, "after")
    lags = [content["subject"]["required_lag"] for content in (first, second)]
    if lags[0] != lags[1] and not other_lag:
        raise ValueError(
            f"The reports answer different questions: the required lag is {lags[0]} before and {lags[1]} after. Make "
            "both with the same required_lag, or say other_lag=True to compare them all the same."
        )
    return Difference(first, second)


class Difference(Mapping[str, Any]):
    """The result of :func:`compare`: a mapping of plain lists and dictionaries, ready for JSON but for ∞ and NaN.

    Parameters
    ----------
    before, after : mapping
        The reports.
    """

    def __init__(self, before: Content, after: Content) -> None:
        self.before, self.after = before, after
        self._content = {
            "verdict": {"before": _verdict(before), "after": _verdict(after)},
            "checks": list(_changed_checks(before, after)),
            "numbers": list(_numbers(before, after)),
            "horizons": list(_horizons(before, after)),
            "norms": list(_norms(before, after)),
        }

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        verdict, checks = self["verdict"], len(self["checks"])
        return f"Difference({verdict['before']['name']} → {verdict['after']['name']}, {checks} checks changed)"

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._changes(), *self._largest()])

    def to_frame(self) -> pd.DataFrame:
        """Every number of both reports, and the difference.

        Returns
        -------
        DataFrame
            ``section``, ``quantity``, ``unit``, ``before``, ``after`` and ``difference`` (after − before); NaN where
            a report does not have it.
        """
        columns = ["section", "quantity", "unit", "before", "after", "difference"]
        horizons = [{"section": "horizons", "quantity": one["name"], "unit": "steps"} | one for one in self["horizons"]]
        frame = pd.DataFrame([*self["numbers"], *horizons], columns=columns)
        return frame.astype(dict.fromkeys(columns[3:], "float64"))

    def to_html(self, path: str | Path | None = None, *, minimal: bool = False) -> str:
        """One standalone page, as that of a report, written to ``path``; ``minimal`` leaves the figure out."""
        verdict, words = self["verdict"], self._headline()
        tables = {name: grid.table(self) for name, grid in GRIDS.items()}
        drawn = [] if minimal or not self["norms"] else [encode(self.plot()).picture(f"Medians by lag. {words}")]
        how = {"checks": "Those whose status changed." if self["checks"] else "No check changed its status."}
        how |= {"norms": "Before is dashed.", "numbers": "After − before; what one report lacks has no difference."}
        page = Page(
            title=f"Stability before and after: {self.after['subject']['model']}",
            badge=f"{verdict['before']['name']} → {verdict['after']['name']}",
            severity=verdict["after"]["severity"],
            reason=words,
            tables=[tables["verdicts"]],
            advice=[],
            sections=[
                Section("norms", "Norms by lag", how["norms"], drawn),
                Section("checks", "Checks", how["checks"], (), [tables["checks"]] if self["checks"] else []),
                Section("numbers", "Numbers", how["numbers"], (), [tables["numbers"], tables["horizons"]], folded=True),
            ],
        )
        return keep(render(page), path)

    def plot(self) -> Figure:
        """The medians by lag of both reports, before dashed, after with its quartiles.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If neither report has norms by lag.
        """
        reports = {"before": (self.before, "--"), "after": (self.after, "-")}
        curves = [
            (content[section], f"{name}, {when}", colour, line)
            for section, (name, colour, _) in CURVES.items()
            for when, (content, line) in reports.items()
            if look_up(content, f"/{section}/quantiles")
        ]
        if not curves:
            raise ValueError("Neither report has norms by lag: there is nothing to draw.")
        drawing, axes = figure(width=WIDTH, height=4.4)
        with matplotlib.rc_context(STYLE):
            draw_curves(axes, curves, self.after["subject"]["required_lag"])
            legend_below(axes, columns=2)
        return drawing

    def _headline(self) -> str:
        first, second = self["verdict"]["before"], self["verdict"]["after"]
        names = f"{first['name']} → {second['name']}" if first["name"] != second["name"] else f"Still {first['name']}"
        norms = f"went from {written(first['gradient'])} to {written(second['gradient'])}"
        lags = [content["subject"]["required_lag"] for content in (self.before, self.after)]
        lag = str(lags[0]) if lags[0] == lags[1] else f"({lags[0]} before, {lags[1]} after)"
        return f"{names}; log10 of the gradient at the required lag {lag} {norms}."

    def _changes(self) -> list[str]:
        changes = [f"{one['id']} {one['name']}: {one['before']} → {one['after']}" for one in self["checks"]]
        return changes or ["No check changed its status."]

    def _largest(self) -> list[str]:
        """The first of the numbers that moved, one a line."""
        moved = [one for one in self["numbers"] if written(one["before"]) != written(one["after"])]
        lines = [
            f"{one['quantity']}: {written(one['before'])} → {written(one['after'])} {one['unit']}".rstrip()
            for one in moved[:SHOWN]
        ]
        return lines + ([f"{len(moved) - SHOWN} more numbers moved: to_frame()"] if len(moved) > SHOWN else [])


def _bounded(when: str) -> Callable[[Content, Key], Item]:
    """A horizon, which may be a bound."""
    return lambda content, place: Number(
        content["horizons"][place][when], "", "≥ " if content["horizons"][place][f"at_least_{when}"] else ""
    )


def _columns(section: str, **headers: str) -> dict[str, str]:
    return {header or name: f"/{section}/*/{name}" for name, header in headers.items()}


WHOLE = 10_000
"""These tables show all their rows."""

GRIDS = {
    "verdicts": Grid(
        "Verdicts",
        "/verdict",
        _columns("verdict", name="verdict", severity="", gradient="L, log10", product="G, log10", reason=""),
        "report",
    ),
    "checks": Grid(
        "Changed checks",
        "/checks",
        _columns(
            "checks", id="", name="check", before="", after="", value_before="value before", value_after="value after"
        ),
        most=WHOLE,
    ),
    "numbers": Grid(
        "Single numbers",
        "/numbers",
        _columns("numbers", quantity="", before="", after="", difference="", unit=""),
        most=WHOLE,
    ),
    "horizons": Grid(
        "Horizons",
        "/horizons",
        {
            "name": "/horizons/*/name",
            "before, steps": _bounded("before"),
            "after, steps": _bounded("after"),
            **_columns("horizons", difference="difference, steps", definition=""),
        },
        most=WHOLE,
    ),
}
"""The tables of the page, made of places in the difference."""


# --- what is compared -------------------------------------------------------------------------------------------------


def _content(report: Any, name: str) -> Content:
    found = getattr(report, "content", report)
    if not isinstance(found, Mapping) or not {"subject", "verdict", "checks"} <= set(found):
        raise TypeError(f"{name} must be a stability report, or its content, got {type(report).__name__}.")
    return found


def _verdict(content: Content) -> dict[str, Any]:
    found = content["verdict"]
    medians = {key: look_up(found, f"/{key}/median") for key in ("gradient", "product")}
    return {key: found[key] for key in ("name", "severity", "reason")} | medians


def _changed_checks(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    first, second = ({one["id"]: one for one in content["checks"]} for content in (before, after))
    for name in sorted(first | second):
        old, new = first.get(name, {}), second.get(name, {})
        own = {"id": name} | {key: new.get(key, old.get(key)) for key in ("name", "unit")}
        statuses = {"before": old.get("status", ABSENT), "after": new.get("status", ABSENT)}
        if statuses["before"] != statuses["after"]:
            yield own | statuses | {"value_before": old.get("value"), "value_after": new.get("value")}


def _numbers(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    """The single numbers of a report, and those of each gate."""
    for quantity in QUANTITIES:
        if [axis.column for axis in quantity.axes] not in ([], ["name"]) or not quantity.label:
            continue
        first, second = (dict(quantity.entries(content)) for content in (before, after))
        unit, section = quantity.unit_in(after) or quantity.unit_in(before), quantity.where.split("/")[1]
        for labels in sorted(first | second) if section != "horizons" else ():
            name = ": ".join([*labels, quantity.label])
            yield {"section": section, "quantity": name, "unit": unit} | _pair(first.get(labels), second.get(labels))


def _horizons(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    first, second = ({one["name"]: one for one in content.get("horizons") or ()} for content in (before, after))
    for name, one in (first | second).items():
        old, new = first.get(name, {}), second.get(name, {})
        bounds = {f"at_least_{when}": bool(own.get("at_least")) for when, own in (("before", old), ("after", new))}
        yield {"name": name, "definition": one["definition"]} | _pair(old.get("steps"), new.get("steps")) | bounds


def _norms(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    """The medians by lag, where either has one."""
    for section in CURVES:
        first, second = (_medians(content, section) for content in (before, after))
        for lag in sorted(first | second):
            yield {"quantity": CURVES[section][0], "lag": lag} | _pair(first.get(lag), second.get(lag))


def _medians(content: Content, section: str) -> dict[int, float]:
    lags, values = look_up(content, f"/{section}/lags"), look_up(content, f"/{section}/quantiles/p50")
    return dict(zip(lags, values, strict=True)) if lags and values else {}


def _pair(before: float | None, after: float | None) -> dict[str, Any]:
    """Both, and after − before; what is infinite in the same way has not changed."""
    if before is None or after is None:
        return {"before": before, "after": after, "difference": None}
    return {"before": before, "after": after, "difference": 0.0 if before == after else after - before}

"""The comparison of two stability reports: the effect of a change of the model or its training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from seqdyn.figures import STYLE, figure
from seqdyn.reports.difference import ALL_ROWS, ReportDifference, pair, report_content
from seqdyn.reports.drawing import FIGURE_WIDTH, legend_below
from seqdyn.reports.number_format import format_number
from seqdyn.reports.page import Number, Section, TableItem, encode
from seqdyn.reports.pointers import Content, Key, look_up
from seqdyn.reports.stability.products import CURVES, draw_curves
from seqdyn.reports.stability.themes import STABILITY_QUANTITIES
from seqdyn.reports.table_layouts import TableLayout, columns_from


def compare_reports(before: Any, after: Any, *, other_lag: bool = False) -> StabilityDifference:
    """Compare a stability report before a change with one after it.

    Parameters
    ----------
    before, after : StabilityReport, or the content of one
        The two reports.
    other_lag : bool
        Whether the required lags may differ. The verdicts then answer different questions.

    Returns
    -------
    StabilityDifference
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
    >>> print(str(compare_reports(*reports)).splitlines()[0])
    VANISHING → OK; log10 of the gradient at the required lag 20 went from −5.72 to −0.08293.
    """
    first, second = report_content(before, "before"), report_content(after, "after")
    lags = [content["subject"]["required_lag"] for content in (first, second)]
    if lags[0] != lags[1] and not other_lag:
        raise ValueError(
            f"The reports answer different questions: the required lag is {lags[0]} before and {lags[1]} after. Make "
            "both with the same required_lag, or pass other_lag=True to compare them anyway."
        )
    return StabilityDifference(first, second)


class StabilityDifference(ReportDifference):
    """The result of :func:`compare_reports`, which also has ``horizons`` and ``norms`` by lag.

    Parameters
    ----------
    before, after : mapping
        The contents of the reports.
    """

    def __init__(self, before: Content, after: Content) -> None:
        super().__init__(before, after, [one for one in STABILITY_QUANTITIES if not one.where.startswith("/horizons")])
        self.title = f"Stability before and after: {after['subject']['model']}"
        for when, content in (("before", before), ("after", after)):
            medians = {key: look_up(content, f"/verdict/{key}/median") for key in ("gradient", "product")}
            self._content["verdict"][when] |= medians
        self._content["horizons"] = list(_horizon_changes(before, after))
        self._content["norms"] = list(_norm_changes(before, after))

    def to_frame(self) -> pd.DataFrame:
        horizons = [{"section": "horizons", "quantity": one["name"], "unit": "steps"} | one for one in self["horizons"]]
        numbers = super().to_frame()
        return pd.DataFrame([*numbers.to_dict("records"), *horizons], columns=numbers.columns).astype(numbers.dtypes)

    def plot(self) -> Figure:
        """Draw the medians by lag of both reports, before dashed, after with its quartiles.

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
        drawing, axes = figure(width=FIGURE_WIDTH, height=4.4)
        with matplotlib.rc_context(STYLE):
            draw_curves(axes, curves, self.after["subject"]["required_lag"])
            legend_below(axes, columns=2)
        return drawing

    def _headline(self) -> str:
        norms = [self["verdict"][when]["gradient"] for when in WHEN]
        lags = [content["subject"]["required_lag"] for content in (self.before, self.after)]
        lag = str(lags[0]) if lags[0] == lags[1] else f"({lags[0]} before, {lags[1]} after)"
        change = f"went from {format_number(norms[0])} to {format_number(norms[1])}"
        return f"{self._change()}; log10 of the gradient at the required lag {lag} {change}."

    def _verdicts(self) -> TableLayout:
        headers = {"name": "verdict", "severity": "severity", "gradient": "L, log10", "product": "G, log10"}
        wanted = columns_from("/verdict/*/{}", headers | {"reason": "reason"})
        return TableLayout("Verdicts", "/verdict", wanted, "report")

    def _sections(self, minimal: bool) -> list[Section]:
        caption = f"Medians by lag. {self._headline()}"
        drawn = [] if minimal or not self["norms"] else [encode(self.plot()).picture(caption)]
        table = HORIZON_CHANGES.table(self)
        horizons = Section("horizons", "Horizons", "How many steps back.", (), [table], folded=True)
        return [Section("norms", "Norms by lag", "Before is dashed.", drawn), horizons]


WHEN = ("before", "after")


def _bounded_number(when: str) -> Callable[[Content, Key], TableItem]:
    """A column of horizons, some of which are lower bounds."""
    return lambda content, place: Number(
        content["horizons"][place][when], "", "≥ " if content["horizons"][place][f"at_least_{when}"] else ""
    )


HORIZON_CHANGES = TableLayout(
    "Horizons",
    "/horizons",
    columns_from("/horizons/*/{}", ["name"])
    | {when: _bounded_number(when) for when in WHEN}
    | columns_from("/horizons/*/{}", ["difference", "definition"]),
    most=ALL_ROWS,
)


def _horizon_changes(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    first, second = ({one["name"]: one for one in content.get("horizons") or ()} for content in (before, after))
    for name, one in (first | second).items():
        old, new = first.get(name, {}), second.get(name, {})
        bounds = {f"at_least_{when}": bool(own.get("at_least")) for when, own in zip(WHEN, (old, new), strict=True)}
        yield {"name": name, "definition": one["definition"]} | pair(old.get("steps"), new.get("steps")) | bounds


def _norm_changes(before: Content, after: Content) -> Iterator[dict[str, Any]]:
    """The medians by lag that either report has."""
    for section, (name, *_) in CURVES.items():
        first, second = (_medians(content, section) for content in (before, after))
        for lag in sorted(first | second):
            yield {"quantity": name, "lag": lag} | pair(first.get(lag), second.get(lag))


def _medians(content: Content, section: str) -> dict[int, float]:
    lags, values = look_up(content, f"/{section}/lags"), look_up(content, f"/{section}/quantiles/p50")
    return dict(zip(lags, values, strict=True)) if lags and values else {}

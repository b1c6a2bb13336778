"""The motion report as one HTML page, on the template of the stability report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from seqdyn.reports.motion.figures import motion_figure
from seqdyn.reports.motion.measurements import MotionContent
from seqdyn.reports.page import Number, Page, PageTable, Picture, Section, Sentences, Status, TableRows, encode, render

if TYPE_CHECKING:
    from seqdyn.reports.motion.report import MotionReport

TABLE_NEURONS = 12
"""How many neurons the table has."""


def motion_page(report: MotionReport, *, minimal: bool = False) -> str:
    """Return the report as one HTML page."""
    content = report.content
    pictures = []
    if not minimal and content["rhythm"] is not None:
        words = "The end of the free run, two joints against each other, the multipliers, and neurons by joints."
        pictures = [encode(motion_figure(content)).picture(words)]
    return render(_motion_layout(report, pictures))


def _motion_layout(report: MotionReport, pictures: list[Picture]) -> Page:
    content = report.content
    checks = [
        [check["check"], Status(check["status"]), Number(check["value"]), Number(check["threshold"]), check["meaning"]]
        for check in content["checks"]
    ]
    table = PageTable("Checks", ("check", "status", "value", "threshold", "meaning"), checks)
    sections = [] if content["rhythm"] is None else [_rhythm_section(report)]
    sections += [] if content["cycle"] is None else [_mechanism_section(content)]
    sections += [] if content["neurons"] is None else [_neurons_section(report)]
    if sections:
        sections[0] = sections[0]._replace(pictures=pictures)
    title = f"Motion report: {content['subject']['model']}"
    return Page(title, report.verdict, report.severity, report.reason, [table], [], sections)


def _rhythm_section(report: MotionReport) -> Section:
    frame = report.joints()
    numbers = [[Number(value) if math.isfinite(value) else "" for value in row] for row in frame.to_numpy()]
    rows = [[str(joint), *values] for joint, values in zip(frame.index, numbers, strict=True)]
    unit = report.content["subject"]["unit"]
    table = PageTable("Joints", ("joint", f"mean, {unit}", f"amplitude, {unit}", "lag to the next, cycles"), rows)
    how = "Every joint oscillates at the same frequency; measured over the second half of the free run."
    return Section("rhythm", "1 Rhythm", how, (), (table,))


def exponent_words(content: MotionContent, digits: int) -> str:
    """The exponents of a report with their errors, in words."""
    pairs = zip(content["exponents"]["values"], content["exponents"]["errors"], strict=True)
    return ", ".join(f"{value:.{digits}g}" + (f" ± {error:.1g}" if error else "") for value, error in pairs)


def point_words(content: MotionContent) -> str:
    """The kinds of fixed and slow points of a report, in words."""
    return ", ".join(f"{number} {kind}" for kind, number in content["points"]["kinds"].items()) or "none"


def _mechanism_section(content: dict[str, Any]) -> Section:
    cycle, rates, points, back = (content[name] for name in ("cycle", "exponents", "points", "back"))
    said = [] if cycle["found"] else [f"No limit cycle: {cycle['why']}"]
    if cycle["found"]:
        said = [
            f"A {cycle['kind']} cycle of {cycle['frequency']:.6g} Hz, {cycle['period_in_steps']:.6g} steps a turn, "
            f"closed to {cycle['residual']:.1e} of its size.",
            "Multipliers: " + ", ".join(f"{value:.4g}" for value in cycle["multipliers"]) + ".",
        ]
    if rates is not None:
        said.append(f"Exponents per second, of {rates['of']}: {exponent_words(content, 4)}.")
    if points is not None:
        said.append(f"Fixed and slow points: {point_words(content)}, found from {points['starts']} starts.")
    if back is not None:
        said.append(f"The motion returns from {back['share']:.0%} of {back['starts']} perturbed starts.")
    how = "A multiplier below 1 pulls a deviation back to the cycle; one of exactly 1 shifts it along the cycle."
    return Section("mechanism", "2 Mechanism", how, (), (), (Sentences("What was found", said),))


def _neurons_section(report: MotionReport) -> Section:
    frame = report.neurons()
    strongest = frame.fillna(-1.0).abs().max(axis=1).sort_values(ascending=False).index[:TABLE_NEURONS]
    rows: TableRows = [[str(name), *(Number(float(value)) for value in frame.loc[name])] for name in strongest]
    caption = "Change of the amplitude, in shares of the largest joint's"
    table = PageTable(caption, ("neuron", *map(str, frame.columns)), rows)
    how = "One neuron at a time is held at its mean: −1 where the largest joint stops, 0 where nothing changes."
    return Section("neurons", "3 Neurons", how, (), (table,))

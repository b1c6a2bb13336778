"""The motion report as one HTML page, on the template of the stability report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from seqdyn.reports.motion.figures import overview
from seqdyn.reports.page import Item, Number, Page, Picture, Section, Sentences, Status, Table, encode, render

if TYPE_CHECKING:
    from seqdyn.reports.motion.report import MotionReport

NEURONS = 12
"""Rows of the table of neurons."""


def to_html(report: MotionReport, *, minimal: bool = False) -> str:
    """The report as one HTML page."""
    content = report.content
    pictures = []
    if not minimal and content["rhythm"] is not None:
        words = "The end of the free run, the plane of two joints, the multipliers, and what neurons do to joints."
        pictures = [encode(overview(content)).picture(words)]
    return render(_page(report, pictures))


def _page(report: MotionReport, pictures: list[Picture]) -> Page:
    content = report.content
    checks = [
        [check["check"], Status(check["status"]), Number(check["value"]), Number(check["threshold"]), check["meaning"]]
        for check in content["checks"]
    ]
    table = Table("Checks", ("check", "status", "value", "threshold", "meaning"), checks)
    sections = [] if content["rhythm"] is None else [_rhythm(report), _mechanism(content)]
    sections += [] if content["neurons"] is None else [_neurons(report)]
    if sections:
        sections[0] = sections[0]._replace(pictures=pictures)
    title = f"Motion report: {content['subject']['model']}"
    return Page(title, report.verdict, report.severity, report.reason, [table], [], sections)


def _rhythm(report: MotionReport) -> Section:
    frame = report.joints()
    numbers = [[Number(value) if math.isfinite(value) else "" for value in row] for row in frame.to_numpy()]
    rows = [[str(joint), *values] for joint, values in zip(frame.index, numbers, strict=True)]
    unit = report.content["subject"]["unit"]
    table = Table("Joints", ("joint", f"mean, {unit}", f"amplitude, {unit}", "lag to the next, cycles"), rows)
    how = "One oscillation for every joint, of one frequency, measured on the second half of the free run."
    return Section("rhythm", "1 Rhythm", how, (), (table,))


def _mechanism(content: dict[str, Any]) -> Section:
    cycle, rates, points = content["cycle"], content["exponents"], content["points"]
    said = [] if cycle["found"] else [f"No limit cycle: {cycle['why']}"]
    if cycle["found"]:
        said = [
            f"A {cycle['kind']} cycle of {cycle['frequency']:.6g} Hz, {cycle['period_in_steps']:.6g} steps a turn, "
            f"closed to {cycle['residual']:.1e} of its size.",
            "Multipliers: " + ", ".join(f"{value:.4g}" for value in cycle["multipliers"]) + ".",
        ]
    pairs = zip(rates["values"], rates["errors"], strict=True)
    shown = ", ".join(f"{value:.4g}" + (f" ± {error:.1g}" if error else "") for value, error in pairs)
    said.append(f"Exponents per second, of {rates['of']}: {shown}.")
    kinds = ", ".join(f"{number} {kind}" for kind, number in points["kinds"].items()) or "none"
    said.append(f"Fixed and slow points: {kinds}, found from {points['starts']} starts.")
    back = content["back"]
    said.append(f"From {back['share']:.0%} of {back['starts']} perturbed starts the motion comes back.")
    how = "How the motion holds together: a multiplier below 1 pulls back, one of exactly 1 shifts along the cycle."
    return Section("mechanism", "2 Mechanism", how, (), (), (Sentences("What was found", said),))


def _neurons(report: MotionReport) -> Section:
    frame = report.neurons()
    strongest = frame.fillna(-1.0).abs().max(axis=1).sort_values(ascending=False).index[:NEURONS]
    rows: list[list[Item]] = [[str(name), *(Number(float(value)) for value in frame.loc[name])] for name in strongest]
    table = Table(
        "Change of the amplitude, in shares of the largest joint's", ("neuron", *map(str, frame.columns)), rows
    )
    how = "Every neuron is held at its mean, one at a time: −1 where the largest joint stops, 0 where nothing changes."
    return Section("neurons", "3 Neurons", how, (), (table,))

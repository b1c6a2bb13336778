"""The section *Speed* of benchmarks/README.md, from the files in benchmarks/results/ alone.

Ratios are medians over the rounds, with quartiles in brackets and the 95 % bootstrap interval of the median after them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import NAMES, fit, results
from benchmarks.speed.protocol import Comparison, Row
from benchmarks.speed.questions import question
from benchmarks.speed.statistics import MEASURES, Summary, compared, fitted_line, met, summary

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"

INTRODUCTION = (
    "## Speed",
    "",
    "`python -m benchmarks run NAME` measures; `python -m benchmarks table` writes this section from the files in",
    "`results/`, which hold every round. Contestants take turns in an order that is drawn. × says how many times",
    "faster seqdyn is, below 1 that it is slower: the median over the rounds, then in brackets the quartiles and the",
    "95 % bootstrap interval of the median. Absolute times are of the machine named and of nothing else.",
)

UNITS = {"cells": ("ms", 1e3), "long": ("s", 1), "stream": ("µs", 1e6), "cold": ("s", 1), "linear": ("ms", 1e3)}
"""The unit of seconds in each table, and how many of it make a second."""


def written(folder: Path = results.FOLDER) -> str:
    """The section between its markers."""
    stored = {name: found for name in NAMES if (found := results.read(name, folder)) is not None}
    picture = ["", "![Speed beside others, by cell and workload; whole fits; growth](speed.png)"]
    lines = picture if stored else ["", "Nothing is stored yet."]
    for name, found in stored.items():
        lines += ["", *section(name, found)]
    return "\n".join([BEGIN, *INTRODUCTION, *lines, "", END])


def section(name: str, found: dict[str, Any]) -> list[str]:
    """One benchmark: its question, how it was measured, its table."""
    asked = question(Path(__file__).with_name(f"{name}.py"))
    return [f"**{name}**: {asked}", "", measured(found), "", *TABLES.get(name, plain)(name, found["rows"])]


def measured(found: dict[str, Any]) -> str:
    """When, on what, with what."""
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    before, after = found["load"]
    threads = "one thread" if found["threads"] == 1 else f"{found['threads']} threads"
    quick = "A quick look, of few rounds. " if found["quick"] else ""
    return (
        f"{quick}{found['date']}, {found['processor']}, {found['cores']} cores, {threads}, load "
        f"{before:.1f} before and {after:.1f} after, seed {found['seed']}; {versions}."
    )


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]


def plain(name: str, rows: list[Row]) -> list[str]:
    """What most have: labels, both medians, the comparison, and the bar."""
    unit, scale = UNITS[name]
    head = [*rows[0].labels, f"ours, {unit}", "beside", f"theirs, {unit}", "comparison", "bar"]
    lines = []
    for row in rows:
        for asked in row.comparisons:
            ours = number(summary(row.rounds[asked.ours][asked.of]).median * scale)
            peer = "" if asked.peer is None else number(summary(row.rounds[asked.peer][asked.of]).median * scale)
            lines.append(
                [*map(str, row.labels.values()), ours, asked.peer or "", peer, *verdict(row, asked, unit, scale)]
            )
    return table(head, lines)


def of_cells(name: str, rows: list[Row]) -> list[str]:
    """One line a cell, workload and number of threads, with the roof and page faults."""
    head = ["cell", "workload", "threads", "seqdyn, ms", "torch, ms", "ratio", "bar", "% of roof", "page faults a step"]
    lines = []
    for row in rows:
        ours, theirs = row.rounds["seqdyn"], row.rounds["torch"]
        median = summary(ours["seconds"]).median
        roof = f"{100 * compared(ours['seconds'], ours['roof'], 'ratio').median:.0f}" if "roof" in ours else ""
        faults = f"{np.median(ours['faults']):.0f}; torch {np.median(theirs['faults']):.0f}"
        times = [number(1e3 * median), number(1e3 * summary(theirs["seconds"]).median)]
        lines.append([*map(str, row.labels.values()), *times, *verdict(row, row.comparisons[0]), roof, faults])
    return table(head, lines)


def of_fits(name: str, rows: list[Row]) -> list[str]:
    """One line a library in every kind and lane, with what it learnt; losses stand beside wins."""
    head = ["model", "lane", "library", "300 steps, s", "seqdyn is faster", "bar", "import, s", "first call, s"]
    head += ["peak memory of the process, MiB", "held-out error", "s to the target", "parameters", "losses off ours"]
    lines = []
    for row in rows:
        asked = {one.peer: one for one in row.comparisons}
        for library, columns in row.rounds.items():
            medians = {key: summary(values).median for key, values in columns.items()}
            curve = row.facts["curves"][library]
            steps = curve["steps_to_target"]
            reached = "not reached" if steps is None else number(medians["seconds"] * steps / fit.STEPS)
            lane, model = row.labels["lane"], row.labels["model"]
            differs = fit.DIFFERS.get((library, lane, model), fit.DIFFERS.get((library, lane)))
            apart = f"{row.facts['curves_apart'][library]:.1%}" + (f"; {differs}" if differs else "")
            lines.append([
                *map(str, row.labels.values()), library, number(medians["seconds"]),
                *(verdict(row, asked[library]) if library in asked else ["", ""]),
                number(medians["import"]), number(medians["first"]), f"{medians['memory']:.0f}",
                number(curve["errors"][-1]), reached, str(curve["parameters"]), "" if library == "seqdyn" else apart,
            ])  # fmt: skip
    return table(head, lines)


def of_growth(name: str, rows: list[Row]) -> list[str]:
    """One line a size: the median, the fitted line, and how far off it is."""
    lines = []
    for row in rows:
        sizes = [int(size) for size in row.rounds]
        medians = [summary(columns["seconds"]).median for columns in row.rounds.values()]
        line = fitted_line(sizes, medians)
        worst = float(np.abs(line.residuals).max())
        for size, median, off in zip(sizes, medians, line.residuals, strict=True):
            lines.append([row.labels["what"], f"{size:,}", number(1e3 * median), f"{off:+.1%}", ""])
        told = f"{number(1e3 * line.fixed)} ms + {number(1e6 * line.each)} µs · n"
        bar = row.facts["bar"]
        lines.append([row.labels["what"], "line", told, f"{worst:.1%} at most", f"≤ {bar:.0%} {mark(worst <= bar)}"])
    return table(["what grows", "n", "one epoch, ms", "off the line", "bar"], lines)


TABLES: dict[str, Callable[[str, list[Row]], list[str]]] = {"cells": of_cells, "fit": of_fits, "growth": of_growth}


def verdict(row: Row, asked: Comparison, unit: str = "s", scale: float = 1) -> list[str]:
    """The comparison with its spread, and the bar with whether it is met."""
    unit = {"ratio": "×", "share": "of theirs", "excess": f"{unit} more", "value": unit}[asked.measure]
    scale = 1 if asked.measure in ("ratio", "share") else scale
    found = comparison(row, asked)
    low, high = (number(scale * value) for value in found.quartiles)
    first, last = (number(scale * value) for value in found.interval)
    told = f"**{number(scale * found.median)} {unit}** ({low}–{high}; {first}–{last})"
    if asked.bar is None:
        return [told, ""]
    sign, good = MEASURES[asked.measure].sign, met(found.median, asked.measure, asked.bar)
    return [told, f"{sign} {scale * asked.bar:g} {mark(good)}"]


def comparison(row: Row, asked: Comparison) -> Summary:
    """What a comparison comes to."""
    ours = row.rounds[asked.ours][asked.of]
    return compared(ours, ours if asked.peer is None else row.rounds[asked.peer][asked.of], asked.measure)


def mark(good: bool) -> str:
    """Whether a bar is met."""
    return "met" if good else "**missed**"


def number(value: float) -> str:
    """Three digits, without an exponent where it can be read without.

    Examples
    --------
    >>> number(1.0), number(12.345), number(123.45), number(6543.2), number(0.00123)
    ('1.00', '12.3', '123', '6,543', '1.2e-03')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 0.01 else f"{value:.1e}"


def with_section(readme: str, own: str) -> str:
    """A README with this section in the place of the former, or at its end."""
    if BEGIN not in readme:
        return f"{readme.rstrip()}\n\n{own}\n"
    before, _, rest = readme.partition(BEGIN)
    return before + own + rest.partition(END)[2]

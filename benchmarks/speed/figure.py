"""benchmarks/speed.png: ratios by cell and workload, whole fits, and growth, from the stored rounds alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.speed import fit, results
from benchmarks.speed.protocol import Row
from benchmarks.speed.statistics import fitted_line, summary
from benchmarks.speed.table import comparison
from seqdyn.figures import MODELS, PALETTE, STYLE, figure

PICTURE = Path(__file__).parents[1] / "speed.png"
DRAWN = ("cells", "fit", "growth")


def digest(folder: Path = results.FOLDER) -> str:
    """What the figure is drawn from, in few letters; the picture holds it as its description."""
    text = b"".join(path.read_bytes() for name in DRAWN if (path := folder / f"{name}.json").exists())
    return hashlib.sha256(text).hexdigest()[:16]


def draw(folder: Path = results.FOLDER, picture: Path = PICTURE) -> None:
    """Write the picture."""
    drawing, axes = figure(rows=3, width=8.0, height=11.0)
    with matplotlib.rc_context(STYLE):
        for name, panel, own in zip(DRAWN, (draw_cells, draw_fits, draw_growth), axes, strict=True):
            found = results.read(name, folder)
            if found is not None:
                panel(own, found["rows"])
        drawing.savefig(picture, metadata={"Description": digest(folder), "Software": None})


def draw_cells(axes: Any, rows: list[Row]) -> None:
    """Ratios with their intervals, and the bars as strokes; most threads only."""
    most = max(row.labels["threads"] for row in rows)
    shown = [row for row in rows if row.labels["threads"] == most]
    kinds = list(dict.fromkeys(row.labels["cell"] for row in shown))
    loads = list(dict.fromkeys(row.labels["workload"] for row in shown))
    for row in shown:
        kind, load = kinds.index(row.labels["cell"]), loads.index(row.labels["workload"])
        place, asked = load + 0.14 * (kind - (len(kinds) - 1) / 2), row.comparisons[0]
        found = comparison(row, asked)
        axes.plot([place, place], found.interval, color=MODELS[kind])
        axes.plot(place, found.median, "o", color=MODELS[kind], label=kinds[kind] if load == 0 else None)
        if asked.bar is not None:
            axes.plot([place - 0.05, place + 0.05], [asked.bar] * 2, color=PALETTE["note"])
    axes.axhline(1.0, color=PALETTE["baseline"], linewidth=1.0)
    axes.set(yscale="log", ylabel="times as fast as torch's module")
    threads = "one thread" if most == 1 else f"{most} threads"
    axes.set_title(f"One training step, {threads}; strokes across: bars to reach")
    axes.set_xticks(range(len(loads)), [load.replace(", I", ",\nI") for load in loads])
    axes.legend(ncols=len(kinds), loc="upper left")


def draw_fits(axes: Any, rows: list[Row]) -> None:
    """Milliseconds a step of every library, by model and lane, with quartiles."""
    libraries = list(rows[0].rounds)
    for number, library in enumerate(libraries):
        values = [1e3 / fit.STEPS * np.array(row.rounds[library]["seconds"]) for row in rows]
        found = [summary(one) for one in values]
        places = np.arange(len(rows)) + 0.16 * (number - (len(libraries) - 1) / 2)
        medians = np.array([one.median for one in found])
        spread = np.abs(np.array([one.quartiles for one in found]).T - medians)
        axes.bar(places, medians, 0.15, color=MODELS[number], label=library)
        axes.errorbar(places, medians, spread, fmt="none", color=PALETTE["data"], linewidth=1.0)
    axes.set(ylabel="milliseconds a step")
    axes.margins(y=0.2)
    axes.set_title("A whole fit of 300 steps (B 32, T 96, H 64), with quartiles")
    axes.set_xticks(range(len(rows)), [f"{row.labels['model']},\n{row.labels['lane']}" for row in rows])
    axes.legend(ncols=len(libraries), loc="upper left")


def draw_growth(axes: Any, rows: list[Row]) -> None:
    """Medians and the fitted lines."""
    for row, colour in zip(rows, MODELS, strict=False):
        sizes = np.array([int(size) for size in row.rounds])
        medians = [summary(columns["seconds"]).median for columns in row.rounds.values()]
        line = fitted_line(sizes, medians)
        between = np.geomspace(sizes.min(), sizes.max(), 100)
        axes.plot(
            between, line.fixed + line.each * between, color=colour, label=f"fixed + each · n ({row.labels['what']})"
        )
        axes.plot(sizes, medians, "o", color=colour)
    axes.set(xscale="log", yscale="log", xlabel="n, steps or series", ylabel="seconds an epoch")
    axes.set_title("Growth of a fit with the data")
    axes.legend()

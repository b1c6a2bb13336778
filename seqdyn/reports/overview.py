"""Some figures of a report in one, under its verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.reports.drawing import Drawing, literal
from seqdyn.reports.pointers import Content

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"PASS": "#00664B", "WARN": "#8A5A00", "FAIL": "#B3261E"}
"""Of a severity: dark enough to be read on white."""


def overview(drawings: Sequence[Drawing], content: Content, lines: Sequence[str], severity: str) -> Figure:
    """The first panels of some figures, two a row, under the verdict.

    Parameters
    ----------
    drawings : sequence of Drawing
        Those of what was not computed are left out.
    content : mapping
        The report.
    lines : sequence of str
        What stands over them.
    severity : {"PASS", "WARN", "FAIL"}
        Gives the colour of the lines.

    Returns
    -------
    matplotlib.figure.Figure
    """
    there = [one for one in drawings if one.drawable(content)]
    rows, columns = max(1, (len(there) + 1) // 2), 1 if len(there) < 2 else 2
    drawing, axes = figure(rows, columns, width=11.0 if columns == 2 else 7.5, height=4.3 * rows + 0.9)
    panels = list(np.ravel(np.asarray(axes)))
    wrapped = [part for line in lines for part in textwrap.wrap(line.replace("`", ""), 120 if columns == 2 else 75)]
    with matplotlib.rc_context(STYLE):
        for panel, one in zip(panels, there, strict=False):
            one.draw(panel, content)
        for panel in panels[len(there) :]:
            panel.remove()
        colour = COLOURS.get(severity, PALETTE["data"])
        drawing.suptitle(literal("\n".join(wrapped)), x=0.01, ha="left", fontsize=12.0, color=colour)
    return drawing

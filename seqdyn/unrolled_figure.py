"""A cell drawn folded, y_t, h_t = f(x_t, h_{t-1}), and unrolled in time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.checks import check_count
from seqdyn.figures import PALETTE, STYLE
from seqdyn.state import leaves, map_leaves, named_leaves

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_unrolled(cell: Any, steps: int = 3, *, x: Any = None) -> Figure:
    """Draw a cell folded, y_t, h_t = f(x_t, h_{t-1}), and unrolled in time, with the shapes of x, h and y.

    The shapes come from one step that is run on zeros; the model is not changed.

    Parameters
    ----------
    cell : Cell
        The cell to draw; the layers of a stack, and a readout, are drawn on top of each other.
    steps : int, at least 1
        How many steps are drawn.
    x : Tensor, shape (1, *inputs), or a tree of such, optional
        The input of one step, for cells with other inputs than ``(batch, input_size)``.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from seqdyn.cells.lstm import LSTM
    >>> drawing = plot_unrolled(LSTM(3, 8), steps=4)
    >>> "c (batch, 8)" in [text.get_text() for text in drawing.findobj(lambda part: hasattr(part, "get_text"))]
    True
    """
    import matplotlib

    check_count("steps", steps)
    if isinstance(cell, type) or not callable(cell) or not hasattr(cell, "initial_state"):
        raise TypeError(
            f"plot_unrolled draws a built Cell, which has an initial_state and steps forward; got "
            f"{'the class ' + cell.__name__ if isinstance(cell, type) else type(cell).__name__}."
        )
    anatomy = _dissect(cell, x)
    with matplotlib.rc_context(STYLE):
        return _Drawing(anatomy, steps).draw()


# --- the parts of a cell ----------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """One box: its title, the shapes of the leaves of its state by name, and the shapes of its outputs."""

    title: str
    state: dict[str, str]
    outputs: list[str]


@dataclass(frozen=True)
class _Anatomy:
    rows: list[_Row]
    inputs: list[str]
    outputs: list[str]
    parameters: int


def _dissect(cell: Any, x: Any) -> _Anatomy:
    """Run one step, layer by layer, and keep all shapes."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        state = cell.initial_state(1)
        if x is not None:
            rows, output = _boxes_of(cell, x, state)
        else:
            try:
                x = map_leaves(lambda leaf: leaf[:, 0], cell.alone(1, 1))
                rows, output = _boxes_of(cell, x, state)
            except Exception as error:
                raise ValueError(
                    f"{type(cell).__name__} cannot take a step on zeros ({error}): give plot_unrolled the input of one "
                    "step as x."
                ) from error
    inputs = [_shape(leaf) for leaf in leaves(x) if leaf[0].numel()]
    count = sum(parameter.numel() for parameter in cell.parameters())
    return _Anatomy(rows, inputs, [_shape(leaf) for leaf in leaves(output)], count)


def _boxes_of(cell: Any, x: Any, state: Any) -> tuple[list[_Row], Any]:
    """A row for every part of a composite cell, from input to output; and its output."""
    layers, inner = getattr(cell, "layers", None), getattr(cell, "cell", None)
    if layers is not None and type(state) is tuple and len(layers) == len(state) and all(map(_is_cell, layers)):
        rows: list[_Row] = []
        for layer, before in zip(layers, state, strict=True):
            more, x = _boxes_of(layer, x, before)
            rows += more
        return rows, x
    if _is_cell(inner) and getattr(cell, "steps_alike", False):
        return _boxes_of(inner, x, state)
    output, _ = cell(x, state)
    shapes = [_shape(leaf) for leaf in leaves(output)]
    if _is_cell(inner) and hasattr(cell, "affine"):
        below, _ = _boxes_of(inner, x, state)
        return [*below, _Row(type(cell).__name__, {}, shapes)], output
    memory = {name or "h": _shape(leaf) for name, leaf in named_leaves(state) if leaf.numel()}
    return [_Row(_cell_title(cell), memory, shapes)], output


def _cell_title(cell: Any) -> str:
    inner = [*getattr(cell, "layers", [])] if not hasattr(cell, "cell") else [cell.cell]
    inside = ", ".join(map(_cell_title, filter(_is_cell, inner)))
    return f"{type(cell).__name__}({inside})" if inside else type(cell).__name__


def _is_cell(value: Any) -> bool:
    return hasattr(value, "initial_state") and callable(value)


def _shape(leaf: Tensor) -> str:
    return f"({', '.join(['batch', *map(str, leaf.shape[1:])])})"


# --- the drawing ------------------------------------------------------------------------------------------------------

# In inches: the height of an upward arrow, the distance of parallel arrows, the width of a loop, the line spacing.
_RISE, _SPREAD, _LOOP, _LINE = 0.5, 0.26, 0.42, 0.19


class _Drawing:
    """Boxes and arrows on a page measured in inches."""

    def __init__(self, anatomy: _Anatomy, steps: int):
        self.anatomy, self.steps = anatomy, steps
        self.rows = anatomy.rows
        self.box = max(0.9, *(_width(row.title, 10) + 0.3 for row in self.rows))
        widths = (_width(_at_time(name, steps), 10) for row in self.rows for name in _lanes(row))
        self.gap = max(0.7, max(widths, default=0.0) + 0.4)
        self.heights = [
            max(0.5 + _SPREAD * (len(_lanes(row)) - 1), _LINE * len(_state_lines(row)) - 0.3) if row.state else 0.38
            for row in self.rows
        ]
        self.memory = max((_width(line, 9) for row in self.rows for line in _state_lines(row)), default=0.0)
        self.flow = 0.3 + max(_width(", ".join(shapes), 9) for shapes in (anatomy.inputs, anatomy.outputs))

    def draw(self) -> Figure:
        from matplotlib.figure import Figure

        left = max(self.box / 2, self.flow / 2) + 0.2
        folded = max(self.box / 2 + _LOOP + self.memory, self.flow / 2) + 0.2
        start = left + folded + 0.7 + self.gap + self.box / 2
        width = start + (self.steps - 1) * (self.box + self.gap) + self.box / 2 + self.gap + 0.5
        top = self._bottom(len(self.rows)) + 0.35
        page = Figure(figsize=(width, top + 0.5))
        self.axes = page.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, top + 0.5))
        self.axes.axis("off")
        self.axes.grid(False)
        self._fold(left)
        middle = (self._bottom(0) + self._bottom(len(self.rows)) - _RISE) / 2
        self._arrow((left + folded + 0.1, middle), (left + folded + 0.6, middle), colour="note", width=2.5)
        for step in range(self.steps):
            self._column(start + step * (self.box + self.gap), step)
        centre = start + (self.steps - 1) * (self.box + self.gap) / 2
        self._text(left, top + 0.2, "folded", colour="note")
        self._text(centre, top + 0.2, "unrolled in time", colour="note")
        weights = f"{self.anatomy.parameters:,} parameters" if self.anatomy.parameters else "no parameters"
        note = f"{weights}, the same at every step" if self.anatomy.parameters else weights
        self._text(centre, 0.2, note, colour="note", size=9)
        return page

    def _fold(self, centre: float) -> None:
        """Draw one column, with a loop for the state."""
        anatomy = self.anatomy
        for index, row in enumerate(self.rows):
            self._box(centre, index, row)
            if row.state:
                self._loop(centre + self.box / 2, self._centre(index), row)
            if index:
                self._rise(centre, index)
                below = ", ".join(self.rows[index - 1].outputs)
                self._text(centre + 0.08, self._bottom(index) - _RISE / 2, below, colour="note", size=8, ha="left")
        if anatomy.inputs:
            self._rise(centre, 0)
            self._text(centre, self._bottom(0) - _RISE - 0.14, f"$x_t$  {', '.join(anatomy.inputs)}", size=9)
        self._rise(centre, len(self.rows))
        self._text(centre, self._bottom(len(self.rows)) + 0.14, f"$y_t$  {', '.join(anatomy.outputs)}", size=9)

    def _column(self, centre: float, step: int) -> None:
        """Draw the step at time t + step."""
        for index, row in enumerate(self.rows):
            self._box(centre, index, row)
            self._memory(centre - self.box / 2 - self.gap, index, row, step - 1)
            if step == self.steps - 1:
                self._memory(centre + self.box / 2, index, row, step)
                if row.state:
                    self._text(centre + self.box / 2 + self.gap + 0.08, self._centre(index), "…", ha="left")
            if index or self.anatomy.inputs:
                self._rise(centre, index)
        if self.anatomy.inputs:
            self._text(centre, self._bottom(0) - _RISE - 0.14, _at_time("x", step))
        self._rise(centre, len(self.rows))
        self._text(centre, self._bottom(len(self.rows)) + 0.14, _at_time("y", step))

    def _memory(self, start: float, index: int, row: _Row, step: int) -> None:
        """Draw the arrows of the state of a row from one step to the next, one for each leaf."""
        names = _lanes(row)
        for lane, name in enumerate(names):
            y = self._centre(index) + _SPREAD * ((len(names) - 1) / 2 - lane) - 0.06
            self._arrow((start, y), (start + self.gap, y), colour="model 2")
            self._text(start + self.gap / 2 - 0.04, y + 0.1, _at_time(name, step), colour="model 2", size=9)

    def _loop(self, side: float, middle: float, row: _Row) -> None:
        from matplotlib.path import Path

        reach, half = side + _LOOP * 4 / 3, 0.16
        bend = Path(
            [(side, middle + half), (reach, middle + half + 0.1), (reach, middle - half - 0.1), (side, middle - half)],
            [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
        )
        self._arrow(path=bend, colour="model 2")
        lines = _state_lines(row)
        for place, line in enumerate(lines):
            y = middle + _LINE * ((len(lines) - 1) / 2 - place)
            self._text(side + _LOOP + 0.06, y, line, colour="model 2", size=9, ha="left")

    def _box(self, centre: float, index: int, row: _Row) -> None:
        from matplotlib.patches import FancyBboxPatch

        corner = (centre - self.box / 2, self._bottom(index))
        look: dict[str, Any] = {"edgecolor": PALETTE["data"], "linewidth": 1.2}
        look["facecolor"] = PALETTE["memory" if row.state else "plain"]
        shape = "round,pad=0,rounding_size=0.08"
        self.axes.add_patch(FancyBboxPatch(corner, self.box, self.heights[index], boxstyle=shape, gid="step", **look))
        self._text(centre, self._centre(index), row.title)

    def _rise(self, centre: float, index: int) -> None:
        """Draw the arrow into the box of this index, or out of the last box."""
        self._arrow((centre, self._bottom(index) - _RISE), (centre, self._bottom(index)))

    def _arrow(self, *ends: tuple[float, float], path: Any = None, colour: str = "data", width: float = 1.4) -> None:
        from matplotlib.patches import FancyArrowPatch

        start, stop = ends or (None, None)
        look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 10 + width, "linewidth": width}
        look["color"] = PALETTE[colour]
        self.axes.add_patch(FancyArrowPatch(start, stop, path=path, shrinkA=0, shrinkB=0, **look))

    def _text(self, x: float, y: float, text: str, colour: str = "data", size: float = 10, ha: str = "center") -> None:
        self.axes.text(x, y, text, color=PALETTE[colour], fontsize=size, ha=ha, va="center")

    def _bottom(self, index: int) -> float:
        """The bottom of a box; after the last box, the end of the last arrow."""
        return (0.75 + _RISE if self.anatomy.inputs else 0.55) + sum(self.heights[:index]) + index * _RISE

    def _centre(self, index: int) -> float:
        return self._bottom(index) + self.heights[index] / 2


def _lanes(row: _Row) -> list[str]:
    """The names at the arrows of a row; more than three leaves share one arrow."""
    return list(row.state) if len(row.state) <= 3 else ["state"]


def _state_lines(row: _Row) -> list[str]:
    """The leaves of the state of a row with their shapes, in at most six lines."""
    lines = [f"{name} {shape}" for name, shape in row.state.items()]
    return lines if len(lines) <= 6 else [*lines[:5], f"and {len(lines) - 5} more"]


def _at_time(name: str, step: int) -> str:
    """A quantity at time t + step, in mathtext."""
    plain = re.sub(r"[^\w.]", "", name).replace("_", r"\_")
    symbol = plain if len(plain) == 1 else rf"\mathrm{{{plain}}}"
    return f"${symbol}_{{t{step:+d}}}$" if step else f"${symbol}_t$"


def _width(text: str, size: float) -> float:
    """The width of a text, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    points, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath="$" in text)
    return float(points) / 72

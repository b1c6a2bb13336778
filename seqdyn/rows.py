"""Pictures as sequences of rows and of pixels: the contract of a cell whose steps are rows.

    y_r, h_r = f(x_r, h_{r-1})                        a row (width, ·) is a step
    y_rc, k_rc, l_rc = g(x_rc, a_rc, l_{r,c-1})       inside it, a pixel: what is above, and what is to the left
    a_r = above(h_{r-1}),   h_r = below(x_r, k_r, h_{r-1})

A :class:`RowCell` says the second and third line; the first follows. So one network is trained on whole rows, or a
whole picture at once, and writes a picture pixel by pixel, by :class:`Raster`, at the cost of one pixel each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape
from seqdyn.loops import scan, unroll
from seqdyn.state import State, leaves, map_leaves, select
from seqdyn.wrapper import Wrapper


class Seen(NamedTuple):
    """The input of one pixel: its own features ``x``, and what comes from the rows ``above``."""

    x: Any
    above: Any


class RowCell(Cell):
    """A cell whose steps are the rows of a picture, and which can go through a row pixel by pixel.

    A subclass owes :meth:`initial_state`, :meth:`above`, :meth:`left`, :meth:`pixel` and :meth:`below`. A step of a
    whole row is a scan along its pixels, unless the subclass writes a faster one.

    Parameters
    ----------
    width : int
        Pixels in a row.
    input_size, hidden_size, output_size : int
        Of each pixel.

    Attributes
    ----------
    input_shape, output_shape : tuple
        (width, input_size), (width, output_size).
    """

    def __init__(self, width: int, input_size: int, hidden_size: int, output_size: int | None = None):
        super().__init__(input_size, hidden_size, output_size)
        self.width = check_count("width", width)
        self.input_shape, self.output_shape = (width, input_size), (width, self.output_size)

    def entering(self, x: Tensor) -> Tensor:
        """What every pixel of a row x (batch, width, ·) is given as its own."""
        return x

    def above(self, state: State) -> Any:
        """What every pixel of the next row sees of the rows above, leaves (batch, width, …)."""
        raise NotImplementedError

    def left(self, batch: int) -> Any:
        """What is to the left of the first pixel of a row."""
        raise NotImplementedError

    def pixel(self, x: Any, above: Any, left: Any) -> tuple[Tensor, Any, Any]:
        """One pixel: its output, what the row below will need of it, and what the next pixel finds to its left."""
        raise NotImplementedError

    def below(self, x: Tensor, kept: Any, state: State) -> State:
        """The state after a row x (batch, width, ·), from what its pixels kept, leaves (batch, width, …)."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, kept = scan(_Along(self), Seen(self.entering(x), self.above(state))).output
        return y, self.below(x, kept, state)


class _Along(Cell):
    """A row of a :class:`RowCell` as a sequence: x is :class:`Seen`, the output is (y, kept)."""

    input_shape, output_shape = None, None

    def __init__(self, cell: RowCell):
        super().__init__(cell.input_size, cell.hidden_size, cell.output_size)
        self.cell = cell

    def initial_state(self, batch: int) -> Any:
        return self.cell.left(batch)

    def forward(self, x: Seen, state: Any) -> tuple[Any, Any]:
        y, kept, left = self.cell.pixel(x.x, x.above, state)
        return (y, kept), left


class RowStack(RowCell):
    """Row cells on top of each other.

    Parameters
    ----------
    layers : sequence of RowCell
    """

    layers: Any

    def __init__(self, layers: Sequence[RowCell]):
        first, last = layers[0], layers[-1]
        super().__init__(first.width, first.input_size, first.hidden_size, last.output_size)
        self.layers = nn.ModuleList(layers)
        self.input_shape = first.input_shape

    def initial_state(self, batch: int) -> tuple[State, ...]:
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def entering(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers[0].entering(x))

    def above(self, state: State) -> Any:
        return tuple(layer.above(own) for layer, own in zip(self.layers, state, strict=True))

    def left(self, batch: int) -> Any:
        return tuple(layer.left(batch) for layer in self.layers)

    def pixel(self, x: Any, above: Any, left: Any) -> tuple[Tensor, Any, Any]:
        kept, after = [], []
        for layer, over, beside in zip(self.layers, above, left, strict=True):
            x, own, beside = layer.pixel(x, over, beside)
            kept.append((x, own))
            after.append(beside)
        return x, tuple(kept), tuple(after)

    def below(self, x: Tensor, kept: Any, state: State) -> State:
        found = []
        for layer, (y, own), before in zip(self.layers, kept, state, strict=True):
            found.append(layer.below(x, own, before))
            x = y
        return tuple(found)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self._run(lambda layer, x, before: layer(x, before), x, state)

    def unroll(self, x: Tensor, state: State, mask: Tensor | None = None) -> Any:
        return self._run(lambda layer, x, before: unroll(layer, x, before, mask), x, state)

    def _run(self, run: Any, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One row, or all of them, through every layer."""
        found = []
        for layer, before in zip(self.layers, state, strict=True):
            x, after = run(layer, x, before)
            found.append(after)
        return x, tuple(found)

    def constructor_arguments(self) -> dict[str, Any]:
        return {"layers": list(self.layers)}


class RowWrapper(RowCell):
    """A row cell around another one: y = read(o, x), pixel by pixel.

    Parameters
    ----------
    cell : RowCell
    output_size : int
    """

    def __init__(self, cell: RowCell, output_size: int):
        super().__init__(cell.width, cell.input_size, cell.hidden_size, output_size)
        self.cell, self.input_shape = cell, cell.input_shape

    def read(self, output: Tensor, x: Tensor) -> Tensor:
        """y of the inner cell's output, and x as it came; on the last axis alone."""
        raise NotImplementedError

    def initial_state(self, batch: int) -> State:
        return self.cell.initial_state(batch)

    def entering(self, x: Tensor) -> Tensor:
        return self.cell.entering(x)

    def above(self, state: State) -> Any:
        return self.cell.above(state)

    def left(self, batch: int) -> Any:
        return self.cell.left(batch)

    def pixel(self, x: Any, above: Any, left: Any) -> tuple[Tensor, Any, Any]:
        output, kept, left = self.cell.pixel(x, above, left)
        return self.read(output, x), kept, left

    def below(self, x: Tensor, kept: Any, state: State) -> State:
        return self.cell.below(x, kept, state)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        output, state = self.cell(x, state)
        return self.read(output, x), state

    def unroll(self, x: Tensor, state: State, mask: Tensor | None = None) -> Any:
        output, state = unroll(self.cell, x, state, mask)
        return self.read(output, x), state


class PixelResidual(RowWrapper):
    """A recurrence with a shortcut around it: y = x + W o + b, with o the inner cell's output.

    Parameters
    ----------
    cell : RowCell
    generator : torch.Generator, optional
        Draws W.

    References
    ----------
    Van den Oord, Kalchbrenner & Kavukcuoglu (2016), Pixel recurrent neural networks, section 3.3.
    """

    def __init__(self, cell: RowCell, generator: torch.Generator | None = None):
        super().__init__(cell, cell.input_size)
        self.affine = Affine(cell.output_size, cell.input_size, generator)

    def read(self, output: Tensor, x: Tensor) -> Tensor:
        return x + self.affine(output)


class PixelReadout(RowWrapper):
    """Scores of every pixel's value: y = W_2 relu(W_1 relu(o) + b_1) + b_2, with o the inner cell's output.

    Parameters
    ----------
    cell : RowCell
    output_size : int
        Scores of a pixel.
    generator : torch.Generator, optional
        Draws both matrices.
    """

    def __init__(self, cell: RowCell, output_size: int, generator: torch.Generator | None = None):
        super().__init__(cell, output_size)
        self.hidden = Affine(cell.output_size, cell.output_size, generator)
        self.scores = Affine(cell.output_size, output_size, generator)

    def read(self, output: Tensor, x: Tensor) -> Tensor:
        return self.scores(torch.relu(self.hidden(torch.relu(output))))


@shown_by_shape
class PlacedState(NamedTuple):
    """``row`` (batch, 1), how many rows there were; the ``inner`` cell's state."""

    row: Tensor
    inner: State


class Placed(RowWrapper):
    """A row cell with a bias for every place of the picture: y_rc = o_rc + b_rc.

    Rows below the last keep the bias of the last.

    Parameters
    ----------
    cell : RowCell
    height : int
        Rows of a picture.
    """

    def __init__(self, cell: RowCell, height: int):
        super().__init__(cell, cell.output_size)
        self.height = check_count("height", height)
        self.bias = nn.Parameter(torch.zeros(height, cell.width, cell.output_size))

    def initial_state(self, batch: int) -> PlacedState:
        return PlacedState(self.zeros(batch, 1), self.cell.initial_state(batch))

    def above(self, state: PlacedState) -> Any:
        return self._biases(state, 1).squeeze(1), self.cell.above(state.inner)

    def pixel(self, x: Any, above: Any, left: Any) -> tuple[Tensor, Any, Any]:
        output, kept, left = self.cell.pixel(x, above[1], left)
        return output + above[0], kept, left

    def below(self, x: Tensor, kept: Any, state: PlacedState) -> PlacedState:
        return PlacedState(state.row + 1, self.cell.below(x, kept, state.inner))

    def forward(self, x: Tensor, state: PlacedState) -> tuple[Tensor, PlacedState]:
        output, inner = self.cell(x, state.inner)
        return output + self._biases(state, 1).squeeze(1), PlacedState(state.row + 1, inner)

    def unroll(self, x: Tensor, state: PlacedState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        output, inner = unroll(self.cell, x, state.inner)
        time = output.shape[1]
        return output + self._biases(state, time), PlacedState(state.row + time, inner)

    def _biases(self, state: PlacedState, time: int) -> Tensor:
        """The biases of the next rows, (batch, time, width, outputs)."""
        rows = state.row.floor().long() + torch.arange(time, device=state.row.device)
        return self.bias[rows.clamp(0, self.height - 1)]


class Pixels(Wrapper):
    """Row cells as a model of pictures: from rows of values 0 … levels − 1 to the scores of these very values.

    Parameters
    ----------
    cell : RowCell
        Its first layer shows no pixel its own value; it gives one score a pixel (the log-odds of a 1) for two levels,
        else one a level.
    levels : int, at least 2

    Attributes
    ----------
    input_shape, output_shape : tuple
        (width,), (width · scores,): of every pixel all scores, one after the other.
    """

    def __init__(self, cell: RowCell, levels: int = 2):
        scores = 1 if levels == 2 else check_count("levels", levels, 2)
        if cell.output_size != scores:
            raise ValueError(f"levels={levels} needs {scores} score(s) a pixel, but the cell gives {cell.output_size}.")
        super().__init__(cell, cell.width * scores)
        self.levels, self.width = levels, cell.width

    def see(self, x: Tensor) -> Tensor:
        return x / (self.levels - 1)

    def read(self, output: Tensor, x: Tensor) -> Tensor:
        return output.flatten(-2)

    def inner_output(self, x: Any, before: State, output: Tensor) -> Tensor:
        return output.unflatten(-1, (self.width, -1))


@shown_by_shape
class RasterState(NamedTuple):
    """Where a picture stands that is written pixel by pixel.

    Attributes
    ----------
    column : Tensor, shape (batch, 1)
        Pixels of this row that are written.
    rows : State
        After the row above.
    above, left : tree
        What the pixels of this row see of those above, and what the next one finds to its left.
    values : Tensor, shape (batch, width)
        Of this row, as far as they are known.
    kept : tree, leaves (batch, width, …)
        What its pixels have kept for the row below.
    """

    column: Tensor
    rows: State
    above: Any
    left: Any
    values: Tensor
    kept: Any


class Raster(Cell):
    """A model of pictures pixel by pixel: from the value of the last pixel to the scores of the next one's values.

    Its law: along a picture in raster order it gives what the rows give at once. Every pixel costs the same.

    Parameters
    ----------
    pixels : Pixels

    Examples
    --------
    >>> from seqdyn.cells.masked_window import MaskedWindow
    >>> rows = Pixels(PixelReadout(MaskedWindow(width=4, output_size=6), 1))
    >>> scan(Raster(rows), torch.zeros(1, 12).long()).output.shape, scan(rows, torch.zeros(1, 3, 4)).output.shape
    (torch.Size([1, 12, 2]), torch.Size([1, 3, 4]))
    """

    input_shape = ()

    def __init__(self, pixels: Pixels):
        super().__init__(pixels.levels, pixels.hidden_size, pixels.levels)
        self.pixels = pixels

    def initial_state(self, batch: int) -> RasterState:
        return self.beginning(self._cell.initial_state(batch))

    def beginning(self, rows: State) -> RasterState:
        """The state at the beginning of the row that follows some rows."""
        cell, batch = self._cell, len(leaves(rows)[0])
        above, left = cell.above(rows), cell.left(batch)
        values = self.zeros(batch, cell.width)
        _, kept, _ = cell.pixel(values[:, 0], map_leaves(lambda leaf: leaf[:, 0], above), left)
        empty = map_leaves(lambda leaf: leaf.new_zeros(batch, cell.width, *leaf.shape[1:]), kept)
        return RasterState(self.zeros(batch, 1), rows, above, left, values, empty)

    def forward(self, x: Tensor, state: RasterState) -> tuple[Tensor, RasterState]:
        cell, x = self._cell, self.pixels.see(x.to(state.values))
        column = state.column.floor().long().clamp(0, cell.width).squeeze(1)
        state = state._replace(values=_put(state.values, column - 1, x))
        over = column == cell.width
        if bool(over.any()):
            rows = cell.below(state.values, state.kept, state.rows)
            state = select(over, self.beginning(rows), state)
            column = torch.where(over, 0, column)
        beside = torch.where(column == 0, 0.0, x)
        y, kept, left = cell.pixel(beside, _at_column(state.above, column), state.left)
        after = state._replace(
            column=(column + 1).to(state.column).unsqueeze(1),
            left=left,
            kept=map_leaves(lambda leaf, value: _put(leaf, column, value), state.kept, kept),
        )
        return y if self.pixels.levels > 2 else torch.cat([torch.zeros_like(y), y], 1), after

    @property
    def _cell(self) -> RowCell:
        return cast(RowCell, self.pixels.cell)


def _at_column(tree: Any, column: Tensor) -> Any:
    """The leaves (batch, width, …) at one column a row."""
    return map_leaves(lambda leaf: leaf[torch.arange(len(column)), column], tree)


def _put(leaf: Tensor, column: Tensor, value: Tensor) -> Tensor:
    """A leaf (batch, width, …) with another value at one column a row; none where there is no such column."""
    here = torch.arange(leaf.shape[1], device=leaf.device) == column.unsqueeze(1)
    return torch.where(here.view(*here.shape, *[1] * (leaf.dim() - 2)), value.unsqueeze(1), leaf)

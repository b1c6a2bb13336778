"""Figures of pictures: glimpse by glimpse, side by side, and lit where a captioner looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.figures import MODELS, figure

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import DataArray

    from seqdyn.images.painting import Strip


PICTURE_INCHES = 0.8
"""Inches of a picture."""


def strip_figure(pictures: Strip) -> Figure:
    """Plot pictures glimpse by glimpse: one row each, time from left to right."""
    if not hasattr(pictures, "probabilities"):
        raise TypeError(f"pictures is a {type(pictures).__name__}: give a Strip, as sample(n, return_steps=True).")
    count, steps = pictures.probabilities.shape[:2]
    drawing, axes = figure(count, steps, width=PICTURE_INCHES * steps, height=PICTURE_INCHES * count + 0.4)
    for number, place in enumerate(np.ravel(axes)):
        picture, step = divmod(number, steps)
        _draw_picture(place, pictures.probabilities[picture, step])
        _draw_windows(place, pictures, picture, step)
    drawing.supxlabel("time →")
    return drawing


def animate_strip(pictures: Strip, path: str | os.PathLike[str], frames_per_second: int) -> None:
    """Write the glimpses as an animated GIF, all pictures side by side; the last frame stays for a second."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    count, steps = pictures.probabilities.shape[:2]
    columns = min(count, 8)
    rows = -(-count // columns)
    drawing, grid = figure(rows, columns, width=1.2 * columns, height=1.2 * rows)
    axes = np.ravel(grid)
    for place in axes[count:]:
        place.set_axis_off()

    def draw(frame: int) -> list[Any]:
        for picture, place in enumerate(axes[:count]):
            place.clear()
            _draw_picture(place, pictures.probabilities[picture, min(frame, steps - 1)])
            if frame < steps:
                _draw_windows(place, pictures, picture, frame)
        return []

    frames = steps + frames_per_second
    FuncAnimation(drawing, draw, frames=frames).save(str(path), writer=PillowWriter(fps=frames_per_second))


def gallery(rows: Sequence[Sequence[Array] | Array], labels: Sequence[str] | None = None) -> Figure:
    """Plot rows of pictures.

    Parameters
    ----------
    rows : sequence of sequences of array, shape (height, width) or (3, height, width)
        From 0, paper, to 1, ink; NaN is shown as hidden. Colours are shown as they are.
    labels : sequence of str, optional
        One a column.
    """
    columns = max(map(len, rows))
    height, width = np.shape(rows[0][0])[-2:]
    page = np.full((len(rows) * (height + 1) + 1, columns * (width + 1) + 1, 3), 0.85)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            top, left = row * (height + 1) + 1, column * (width + 1) + 1
            page[top : top + height, left : left + width] = _coloured(np.asarray(picture, dtype=float))
    side = PICTURE_INCHES * columns, PICTURE_INCHES * len(rows) * height / width
    drawing, axes = figure(1, 1, width=side[0], height=side[1] + 0.3)
    axes.imshow(page, interpolation="nearest")
    axes.grid(False)
    axes.set_yticks([])
    axes.xaxis.tick_top()
    names = [] if labels is None else list(labels)
    axes.set_xticks([(width + 1) * column + width / 2 + 0.5 for column in range(len(names))], names)
    axes.tick_params(length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return drawing


def _coloured(picture: Array) -> Array:
    """A picture as (height, width, 3): grey with its ink dark, what is NaN in pale blue."""
    if picture.ndim == 3:
        return np.moveaxis(picture, 0, -1)
    grey = np.repeat(1 - np.nan_to_num(picture)[..., None], 3, -1)
    return np.where(np.isnan(picture)[..., None], np.array([176, 196, 222]) / 255, grey)


def caption_figure(image: Any, weights: DataArray) -> Figure:
    """Plot a picture once for every word, lit where the captioner looked: weights (word, row, column)."""
    picture = _unit_picture(image)
    words = [str(word) for word in weights["word"].values]
    columns = min(len(words), 6)
    rows = -(-len(words) // columns)
    drawing, axes = figure(rows, columns, width=1.3 * columns, height=1.5 * rows)
    for place in np.ravel(axes)[len(words) :]:
        place.set_axis_off()
    for place, word, seen in zip(np.ravel(axes), words, weights.values, strict=False):
        _draw_picture(place, picture)
        extent = (-0.5, picture.shape[-1] - 0.5, picture.shape[-2] - 0.5, -0.5)
        place.imshow(seen, cmap="Oranges", vmin=0, vmax=1, alpha=0.6, extent=extent, interpolation="nearest")
        place.set_title(word, fontsize=9)
    return drawing


def _unit_picture(image: Any) -> Array:
    """A picture as (height, width) or (3, height, width), from 0 to 1 between its own extremes."""
    given = image.detach().cpu() if hasattr(image, "detach") else image
    found = np.asarray(given)
    if found.dtype.kind not in "buif" or found.ndim not in (2, 3):
        raise ValueError(f"A picture is drawn from an array (height, width) or of 1 or 3 channels, got {type(image)}.")
    if found.ndim == 3 and found.shape[0] not in (1, 3):
        if found.shape[2] not in (1, 3):
            raise ValueError(f"A picture of shape {found.shape} cannot be drawn: it has neither 1 nor 3 channels.")
        found = np.moveaxis(found, -1, 0)
    found = found.astype(float) - found.min()
    found = found / max(found.max(), 1e-12)
    return found[0] if found.ndim == 3 and len(found) == 1 else found


def _draw_picture(place: Axes, picture: Array) -> None:
    if picture.ndim == 3:
        place.imshow(np.moveaxis(picture, 0, -1), vmin=0, vmax=1)
    else:
        from matplotlib import colormaps

        place.imshow(picture, cmap=colormaps["gray_r"].with_extremes(bad="#B0C4DE"), vmin=0, vmax=1)
    place.set_xticks([])
    place.set_yticks([])
    place.grid(False)
    for spine in place.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.5)


def _draw_windows(place: Axes, pictures: Strip, picture: int, step: int) -> None:
    """Rectangles around what is read (blue) and written (orange), their lines as wide as the filters; a margin shows
    those at the border."""
    from matplotlib.patches import Rectangle

    height, width = pictures.probabilities.shape[-2:]
    margin = 0.5 + 0.08 * max(height, width)
    for windows, colour in ((pictures.read, MODELS[0]), (pictures.write, MODELS[1])):
        if windows is not None:
            x, y, half, sigma, _ = windows[picture, step]
            corner, side = (x - half - 0.5, y - half - 0.5), 2 * half + 1
            line = float(np.clip(sigma, 0.5, 3.0))
            place.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=line))
            place.set_xlim(-margin, width - 1 + margin)
            place.set_ylim(height - 1 + margin, -margin)
